CREATE FUNCTION log_likelihood_ratio(together bigint, only_a bigint, only_b bigint, neither bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT greatest(0, 2 * (
        CASE WHEN together > 0 THEN together * ln(together::double precision * n / (a * b)) ELSE 0 END
        + CASE WHEN only_a > 0 THEN only_a * ln(only_a::double precision * n / (a * (n - b))) ELSE 0 END
        + CASE WHEN only_b > 0 THEN only_b * ln(only_b::double precision * n / ((n - a) * b)) ELSE 0 END
        + CASE WHEN neither > 0 THEN neither * ln(neither::double precision * n / ((n - a) * (n - b))) ELSE 0 END))
    FROM (SELECT (together + only_a + only_b + neither)::double precision AS n, (together + only_a)::double precision AS a, (together + only_b)::double precision AS b) t;
END;
COMMENT ON FUNCTION log_likelihood_ratio(bigint, bigint, bigint, bigint) IS
'how surely two things go together, from counts of baskets with both, one, the other and neither (T. Dunning, 1993); 0 when they are independent';
