-- What goes with what: each part counts its orders, the counts are added up.

CREATE OR REPLACE FUNCTION count_baskets(since timestamptz, until timestamptz) RETURNS TABLE (product text, other text, baskets bigint)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT v.product, v.other, sum(v.baskets)::bigint
    FROM ask_parts(format('SELECT to_jsonb(n)::text FROM count_baskets(%L, %L) n', since, until)) j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (product text, other text, baskets bigint)
    GROUP BY v.product, v.other;
END
$$;
