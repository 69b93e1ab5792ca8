-- What is different in a part of a distributed store.

-- The limits of the value classes rank all customers: who asks the parts for a moment gives them.
CREATE OR REPLACE FUNCTION value_limits_at(as_of timestamptz) RETURNS value_fit
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
    SELECT nullif(current_setting('crm_part.given', true), '')::value_fit
$$;
CREATE OR REPLACE FUNCTION value_limits_now() RETURNS value_fit
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT NULL::value_fit
$$;

CREATE FUNCTION customer_360_row(customer_id bigint) RETURNS SETOF customer_360
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY SELECT v.* FROM customer_360 v WHERE v.customer_id = customer_360_row.customer_id;
END
$$;
COMMENT ON FUNCTION customer_360_row(bigint) IS 'customer_360 of one customer';
CREATE FUNCTION points_balance_row(customer_id bigint) RETURNS SETOF points_balance
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY SELECT v.* FROM points_balance v WHERE v.customer_id = points_balance_row.customer_id;
END
$$;
COMMENT ON FUNCTION points_balance_row(bigint) IS 'points_balance of one customer';
CREATE FUNCTION points_lot_row(customer_id bigint) RETURNS SETOF points_lot
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY SELECT v.* FROM points_lot v WHERE v.customer_id = points_lot_row.customer_id;
END
$$;
COMMENT ON FUNCTION points_lot_row(bigint) IS 'points_lot of one customer';

CREATE FUNCTION shard_of(name text) RETURNS regclass
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    -- A view of a part stands on one shard.
    RETURN (SELECT DISTINCT d.refobjid::regclass FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
            WHERE w.ev_class = to_regclass(quote_ident(name)) AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> w.ev_class);
END
$$;
COMMENT ON FUNCTION shard_of(text) IS 'the shard behind a table of this part';

CREATE FUNCTION part_number() RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN substring(current_schema() FROM '[0-9]+$')::bigint;
END
$$;
COMMENT ON FUNCTION part_number() IS 'the number of this part';

CREATE FUNCTION checkpoint_part(number bigint, OUT part bigint, OUT accounts bigint, OUT entries numeric, OUT changed bigint, OUT root bytea)
RETURNS record
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    part := part_number();
    WITH now_heads AS MATERIALIZED (
        SELECT a.customer_id, a.program, a.seq, a.head FROM points_account a WHERE a.seq > 0
    ), changed AS MATERIALIZED (
        SELECT h.*, row_number() OVER (ORDER BY h.customer_id, h.program) - 1 AS leaf
        FROM now_heads h
        LEFT JOIN LATERAL (SELECT l.seq FROM points_checkpoint_leaf l
                           WHERE l.customer_id = h.customer_id AND l.program = h.program
                           ORDER BY l.checkpoint DESC LIMIT 1) b ON true
        WHERE h.seq IS DISTINCT FROM b.seq
    ), leaves AS (
        INSERT INTO points_checkpoint_leaf (customer_id, program, checkpoint, leaf, seq, head)
        SELECT c.customer_id, c.program, checkpoint_part.number, c.leaf, c.seq, c.head FROM changed c
    )
    SELECT (SELECT count(*) FROM now_heads), (SELECT coalesce(sum(h.seq), 0) FROM now_heads h), (SELECT count(*) FROM changed),
           crm.merkle_root((SELECT coalesce(array_agg(crm.points_leaf(c.customer_id, c.program, c.seq, c.head) ORDER BY c.leaf), '{}') FROM changed c))
        INTO accounts, entries, changed, root;
END
$$;
COMMENT ON FUNCTION checkpoint_part(bigint) IS 'the leaves of a checkpoint in this part, and the root over them';

CREATE FUNCTION checkpoint_trees() RETURNS TABLE (part bigint, checkpoint bigint, changed bigint, root bytea)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT part_number(), k.checkpoint, (SELECT count(*) FROM points_checkpoint_leaf l WHERE l.checkpoint = k.checkpoint),
           crm.merkle_root((SELECT coalesce(array_agg(crm.points_leaf(l.customer_id, l.program, l.seq, l.head) ORDER BY l.leaf), '{}')
                            FROM points_checkpoint_leaf l WHERE l.checkpoint = k.checkpoint))
    FROM points_checkpoint k;
END
$$;
COMMENT ON FUNCTION checkpoint_trees() IS 'the tree of each checkpoint in this part, from its leaves';
