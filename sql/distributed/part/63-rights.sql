-- Retention in a part.

CREATE FUNCTION retain_in_part(name text, time_column text, before timestamptz, as_of timestamptz, batch integer) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    piece regclass;
    affected bigint := 0;
BEGIN
    -- Partition by partition, since a row's ctid is unique in its own only.
    FOR piece IN SELECT t FROM crm.table_tree(shard_of(name)) t JOIN pg_catalog.pg_class c ON c.oid = t AND c.relkind = 'r' LOOP
        EXECUTE format('DELETE FROM ONLY %1$s WHERE ctid = ANY (ARRAY(SELECT t.ctid FROM ONLY %1$s t WHERE t.%2$I < $1
                            AND NOT EXISTS (SELECT FROM legal_hold h WHERE h.customer_id = t.customer_id AND h.released_at IS NULL AND (h.until IS NULL OR h.until > $3))
                            LIMIT $2 FOR UPDATE SKIP LOCKED))', piece, time_column)
            USING before, batch, as_of;
        GET DIAGNOSTICS affected = ROW_COUNT;
        EXIT WHEN affected > 0;
    END LOOP;
    RETURN affected;
END
$$;
COMMENT ON FUNCTION retain_in_part(text, text, timestamptz, timestamptz, integer) IS 'deletes a batch of what a rule of retention no longer keeps of the customers of this part';

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
