-- Retention in a part.

CREATE FUNCTION retired_in_part(before timestamptz, as_of timestamptz, batch integer) RETURNS SETOF bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT c.customer_id
    FROM customer c LEFT JOIN customer_summary s ON s.customer_id = c.customer_id
    WHERE c.status IN ('active', 'restricted') AND greatest(c.joined_at, s.last_order_at) < before
      AND NOT EXISTS (SELECT FROM legal_hold h WHERE h.customer_id = c.customer_id AND h.released_at IS NULL AND (h.until IS NULL OR h.until > as_of))
    ORDER BY c.customer_id LIMIT batch FOR UPDATE OF c SKIP LOCKED;
END
$$;
COMMENT ON FUNCTION retired_in_part(timestamptz, timestamptz, integer) IS 'customers of this part who bought nothing for as long as a rule of retention keeps them, locked';
