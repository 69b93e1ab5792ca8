CREATE FUNCTION coupon_code() RETURNS text
LANGUAGE c VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION coupon_code() IS 'a new coupon code: 15 random characters (75 bits) of Crockford''s base 32 and a check character';

CREATE FUNCTION coupon_code_canonical(text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION coupon_code_canonical(text) IS 'a code as it was issued, from how somebody typed it (case, spaces, hyphens, O for 0, I and L for 1); null when the check character is wrong';

CREATE FUNCTION wilson(successes bigint, trials bigint, OUT low double precision, OUT high double precision)
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT (p + z * z / (2 * n) - z * sqrt((p * (1 - p) + z * z / (4 * n)) / n)) / (1 + z * z / n),
           (p + z * z / (2 * n) + z * sqrt((p * (1 - p) + z * z / (4 * n)) / n)) / (1 + z * z / n)
    FROM (SELECT successes::double precision / trials AS p, trials::double precision AS n, 1.959963984540054::double precision AS z WHERE trials > 0) v;
END;
COMMENT ON FUNCTION wilson(bigint, bigint) IS 'Wilson''s 95 % interval of a proportion (E. B. Wilson, 1927); null without trials';

CREATE FUNCTION uplift(treated bigint, treated_successes bigint, held_out bigint, held_out_successes bigint,
                       OUT points numeric, OUT low numeric, OUT high numeric, OUT significant boolean)
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT round((100 * (t.p - h.p))::numeric, 2),
           round((100 * (t.p - h.p - sqrt(power(t.p - t.low, 2) + power(h.high - h.p, 2))))::numeric, 2),
           round((100 * (t.p - h.p + sqrt(power(t.high - t.p, 2) + power(h.p - h.low, 2))))::numeric, 2),
           t.p - h.p - sqrt(power(t.p - t.low, 2) + power(h.high - h.p, 2)) > 0
           OR t.p - h.p + sqrt(power(t.high - t.p, 2) + power(h.p - h.low, 2)) < 0
    FROM (SELECT treated_successes::double precision / treated AS p, w.low, w.high FROM wilson(treated_successes, treated) w WHERE treated > 0) t,
         (SELECT held_out_successes::double precision / held_out AS p, w.low, w.high FROM wilson(held_out_successes, held_out) w WHERE held_out > 0) h;
END;
COMMENT ON FUNCTION uplift(bigint, bigint, bigint, bigint) IS
'difference of two proportions in percentage points with its 95 % interval by Newcombe''s hybrid score method (R. G. Newcombe, 1998, method 10), and whether the interval leaves out zero; null without members on either side';
