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
RETURN NULL::value_fit;

-- Views of the part are read by who may not read its tables: what they ask by functions is asked as the owner, or stands in the view itself.
DO $do$
DECLARE
    body text;
    v record;
BEGIN
    ALTER FUNCTION points_now(points_account, timestamptz) SECURITY DEFINER SET search_path FROM CURRENT;
    ALTER FUNCTION working_time(timestamptz, timestamptz) SECURITY DEFINER SET search_path FROM CURRENT;
    FOR v IN VALUES ('consent_state', 'consent_at(timestamptz)', '{consent_at.as_of,now()}'::text[]),
                    ('customer_window', 'summary_window(timestamptz, integer)', '{summary_window.as_of,now(),summary_window.months,12}') LOOP
        body := regexp_replace(pg_get_function_sqlbody(v.column2::regprocedure), '^BEGIN ATOMIC(.*);\s*END$', '\1');
        FOR i IN 1 .. cardinality(v.column3) BY 2 LOOP
            body := replace(body, v.column3[i], v.column3[i + 1]);
        END LOOP;
        EXECUTE format('CREATE OR REPLACE VIEW %I AS SELECT v.* FROM (%s) v (%s)', v.column1, body,
                       (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a WHERE a.attrelid = v.column1::regclass AND a.attnum > 0));
    END LOOP;
END
$do$;

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

-- The tables of this part: the shards and the copies that its views stand on.
CREATE OR REPLACE FUNCTION store_relations() RETURNS SETOF regclass
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT DISTINCT k.oid::regclass
    FROM pg_catalog.pg_class v
    JOIN pg_catalog.pg_rewrite w ON w.ev_class = v.oid
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
    JOIN pg_catalog.pg_class k ON k.oid = d.refobjid AND k.relkind = 'r'
    WHERE v.relnamespace = to_regnamespace(quote_ident(current_schema())) AND v.relkind = 'v';
END
$$;

CREATE FUNCTION points_trigger_findings() RETURNS SETOF text
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    -- A trigger of a shard has the number of the shard behind its name.
    RETURN QUERY
    SELECT format('trigger %s of %s is %s', w.trigger, w.shard,
                  CASE t.tgenabled WHEN 'O' THEN 'enabled for origin only' WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'enabled for replica only' WHEN 'A' THEN 'enabled always' ELSE 'missing' END)
    FROM (SELECT x.trigger, x.state, shard_of(x.name) AS shard
          FROM (VALUES ('points_entry', 'points_gate', 'O'::"char"), ('points_entry', 'points_immutable_row', 'A'), ('points_entry', 'points_immutable_statement', 'A'),
                       ('points_account', 'points_guard', 'O'), ('points_account', 'points_check_head', 'O'),
                       ('points_checkpoint_leaf', 'points_immutable_row', 'A'), ('points_checkpoint_leaf', 'points_immutable_statement', 'A'),
                       ('points_start', 'points_immutable_row', 'A'), ('points_start', 'points_immutable_statement', 'A'),
                       ('points_entry_archive', 'points_immutable_row', 'A'), ('points_entry_archive', 'points_immutable_statement', 'A')) x (name, trigger, state)) w
    JOIN pg_catalog.pg_class k ON k.oid = w.shard
    LEFT JOIN pg_catalog.pg_trigger t ON t.tgrelid = w.shard AND t.tgname = w.trigger || substring(k.relname FROM '_[0-9]+$')
    WHERE t.tgenabled IS DISTINCT FROM w.state;
END
$$;
COMMENT ON FUNCTION points_trigger_findings() IS 'triggers of this part''s share of the ledger that are not in their shipped state';

CREATE FUNCTION own_columns(name text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
            FROM pg_catalog.pg_attribute a WHERE a.attrelid = shard_of(own_columns.name) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '');
END
$$;
COMMENT ON FUNCTION own_columns(text) IS 'the columns of a table of this part that are written';

CREATE FUNCTION take_out_order(customer_id bigint, channel text, order_no text) RETURNS jsonb
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    what jsonb := jsonb_build_object(
        'purchase', (SELECT jsonb_agg(to_jsonb(p) || jsonb_build_object('refunded', p.refunded - coalesce((SELECT sum(r.amount) FROM purchase_refund r
                                                                                                            WHERE r.customer_id = $1 AND r.channel = $2 AND r.order_no = $3), 0)))
                     FROM purchase p WHERE p.customer_id = $1 AND p.channel = $2 AND p.order_no = $3),
        'purchase_item', (SELECT jsonb_agg(to_jsonb(t)) FROM purchase_item t WHERE t.customer_id = $1 AND t.channel = $2 AND t.order_no = $3),
        'order_agent', (SELECT jsonb_agg(to_jsonb(g)) FROM order_agent g WHERE g.customer_id = $1 AND g.channel = $2 AND g.order_no = $3),
        'purchase_refund', (SELECT jsonb_agg(to_jsonb(r)) FROM purchase_refund r WHERE r.customer_id = $1 AND r.channel = $2 AND r.order_no = $3));
BEGIN
    DELETE FROM purchase p WHERE p.customer_id = $1 AND p.channel = $2 AND p.order_no = $3;
    RETURN what;
END
$$;
COMMENT ON FUNCTION take_out_order(bigint, text, text) IS 'deletes an order and gives it, with its items, refunds and agents, for put_in_order in another part';

CREATE FUNCTION put_in_order(customer_id bigint, what jsonb) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['purchase', 'purchase_item', 'order_agent', 'purchase_refund'] LOOP
        EXECUTE format('INSERT INTO %1$I (%2$s) SELECT %2$s FROM jsonb_populate_recordset(NULL::%1$I, (SELECT jsonb_agg(o || jsonb_build_object(''customer_id'', $1)) FROM jsonb_array_elements($2) o))',
                       name, own_columns(name)) USING put_in_order.customer_id, CASE jsonb_typeof(what -> name) WHEN 'array' THEN what -> name ELSE '[]' END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION put_in_order(bigint, jsonb) IS 'makes an order that take_out_order has given one of this customer';

-- Who writes a row may not use the part, so its triggers run as the owner.
DO $do$
BEGIN
    EXECUTE (SELECT string_agg(format('ALTER FUNCTION %s SECURITY DEFINER', p.oid::regprocedure), '; ')
             FROM pg_catalog.pg_proc p WHERE p.pronamespace = to_regnamespace(quote_ident(current_schema())) AND p.prorettype = 'trigger'::regtype AND NOT p.prosecdef);
END
$do$;
