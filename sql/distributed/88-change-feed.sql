-- The feed of changes: a feed a part, each in its own order, read together. A cursor says of each part how far one has read.

CREATE OR REPLACE FUNCTION change_seen() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    -- The triggers of the shards call the function of their part: what is left is a TRUNCATE, which is nobody's.
    RAISE EXCEPTION 'cannot truncate table "%": its changes are watched', TG_TABLE_NAME
        USING ERRCODE = 'feature_not_supported', HINT = 'DELETE the rows, or unwatch_changes() first.';
END
$$;

CREATE FUNCTION cursor_positions(cursor text) RETURNS TABLE (part bigint, txid xid8, event_id bigint)
LANGUAGE plpgsql IMMUTABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    IF cursor !~ '^(\d{1,18}:\d{1,20}-\d{1,19}(,\d{1,18}:\d{1,20}-\d{1,19})*)$' THEN
        RAISE EXCEPTION 'invalid cursor "%"', cursor
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give back a cursor as change_feed gave it; null begins at the oldest event.';
    END IF;
    RETURN QUERY
    SELECT split_part(u.one, ':', 1)::bigint, split_part(split_part(u.one, ':', 2), '-', 1)::xid8, split_part(u.one, '-', 2)::bigint
    FROM string_to_table(cursor, ',') u (one) WHERE u.one <> '';
END
$$;
COMMENT ON FUNCTION cursor_positions(text) IS 'how far a cursor has read in each part. Error: 22023';

CREATE OR REPLACE FUNCTION change_feed(after text DEFAULT NULL, max_rows integer DEFAULT 1000)
RETURNS TABLE (cursor text, at timestamptz, table_name name, op text, customer_id bigint, key jsonb, changed text[])
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    given jsonb := (SELECT coalesce(jsonb_object_agg(p.part, p.txid || '-' || p.event_id), '{}') FROM cursor_positions(after) p);
    r record;
BEGIN
    -- Within a part in its order, among parts by moment.
    FOR r IN
        SELECT v.*
        FROM (SELECT x.*, max(x.at) OVER (PARTITION BY x.part ORDER BY x.n) AS moment
              FROM ask_parts(format('SELECT (to_jsonb(f) || jsonb_build_object(''part'', part_number(), ''n'', f.n))::text
                                     FROM (SELECT c.*, row_number() OVER () AS n FROM change_feed(current_setting(''crm_part.given'')::jsonb ->> part_number()::text, %L) c) f', max_rows), given::text) j
              CROSS JOIN LATERAL jsonb_to_record(j::jsonb) x (part bigint, n bigint, cursor text, at timestamptz, table_name name, op text, customer_id bigint, key jsonb, changed text[])) v
        ORDER BY v.moment, v.part, v.n LIMIT max_rows
    LOOP
        given := given || jsonb_build_object(r.part, r.cursor);
        cursor := (SELECT string_agg(p.key || ':' || p.value, ',' ORDER BY p.key) FROM jsonb_each_text(given) p);
        at := r.at;
        table_name := r.table_name;
        op := r.op;
        customer_id := r.customer_id;
        key := r.key;
        changed := r.changed;
        RETURN NEXT;
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION next_changes(consumer text, max_rows integer DEFAULT 1000)
RETURNS TABLE (cursor text, at timestamptz, table_name name, op text, customer_id bigint, key jsonb, changed text[])
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM take_consumer(consumer);
    RETURN QUERY
    SELECT f.* FROM change_feed((SELECT string_agg(p.part || ':' || p.txid || '-' || p.event_id, ',' ORDER BY p.part) FROM change_position p WHERE p.consumer = next_changes.consumer), max_rows) f;
END
$$;

CREATE FUNCTION put_positions(consumer text, parts bigint[], txids xid8[], event_ids bigint[]) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    moment timestamptz := clock_timestamp();
BEGIN
    DELETE FROM change_position p WHERE p.consumer = put_positions.consumer AND p.part = ANY (parts);
    INSERT INTO change_position (consumer, part, txid, event_id)
    SELECT put_positions.consumer, u.part, u.txid, u.event_id FROM unnest(parts, txids, event_ids) u (part, txid, event_id);
    UPDATE change_consumer c SET acked_at = moment WHERE c.consumer = put_positions.consumer;
END
$$;
REVOKE EXECUTE ON FUNCTION put_positions(text, bigint[], xid8[], bigint[]) FROM PUBLIC;
COMMENT ON FUNCTION put_positions(text, bigint[], xid8[], bigint[]) IS 'notes how far a reader of the feed is in these parts';

CREATE OR REPLACE FUNCTION ack_changes(consumer text, cursor text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    gone record;
BEGIN
    PERFORM cursor_positions(ack_changes.cursor);
    PERFORM FROM change_consumer x WHERE x.consumer = ack_changes.consumer FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'consumer "%" has read nothing', consumer USING ERRCODE = 'no_data_found', HINT = 'next_changes(consumer) makes it.';
    END IF;
    IF EXISTS (SELECT FROM cursor_positions(ack_changes.cursor) p
               LEFT JOIN (SELECT split_part(a, ' ', 1)::bigint AS part, split_part(a, ' ', 2)::xid8 AS open
                          FROM ask_parts('SELECT part_number() || '' '' || pg_snapshot_xmin(pg_current_snapshot())') a) o ON o.part = p.part
               WHERE (p.txid < o.open) IS NOT TRUE) THEN
        RAISE EXCEPTION 'cursor "%" lies ahead of the feed', ack_changes.cursor
            USING ERRCODE = 'CE004', HINT = 'Acknowledge the cursor of an event that was handled.';
    END IF;
    SELECT array_agg(p.part) AS parts, array_agg(p.txid) AS txids, array_agg(p.event_id) AS event_ids INTO gone
    FROM cursor_positions(ack_changes.cursor) p
    LEFT JOIN (SELECT k.part, k.txid, k.event_id FROM change_position k WHERE k.consumer = ack_changes.consumer) k ON k.part = p.part
    WHERE k.part IS NULL OR (p.txid, p.event_id) > (k.txid, k.event_id);
    IF gone.parts IS NULL THEN
        RETURN false;
    END IF;
    PERFORM put_positions(ack_changes.consumer, gone.parts, gone.txids, gone.event_ids);
    RETURN true;
END
$$;

CREATE OR REPLACE FUNCTION reset_changes(consumer text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    now_at record;
BEGIN
    SELECT array_agg(split_part(a, ' ', 1)::bigint) AS parts, array_agg((split_part(a, ' ', 2)::bigint - 1)::text::xid8) AS txids, array_agg(9223372036854775807) AS event_ids INTO now_at
    FROM ask_parts('SELECT part_number() || '' '' || pg_snapshot_xmin(pg_current_snapshot())') a;
    INSERT INTO change_consumer (consumer) VALUES (reset_changes.consumer) ON CONFLICT DO NOTHING;
    UPDATE change_consumer c SET missed = false WHERE c.consumer = reset_changes.consumer;
    PERFORM put_positions(reset_changes.consumer, now_at.parts, now_at.txids, now_at.event_ids);
END
$$;

CREATE FUNCTION change_lag_rows() RETURNS TABLE (consumer text, missed boolean, acked_at timestamptz, waiting bigint, oldest timestamptz, held_back bigint)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT v.consumer, bool_or(v.missed), max(v.acked_at), sum(v.waiting)::bigint, min(v.oldest), sum(v.held_back)::bigint
    FROM ask_parts('SELECT to_jsonb(l)::text FROM change_lag l') j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (consumer text, missed boolean, acked_at timestamptz, waiting bigint, oldest timestamptz, held_back bigint)
    GROUP BY v.consumer;
END
$$;
COMMENT ON FUNCTION change_lag_rows() IS 'the rows of change_lag, of all parts together';
DO $do$
BEGIN
    CREATE OR REPLACE VIEW change_lag AS SELECT l.consumer, l.missed, l.acked_at, l.waiting, l.oldest, l.held_back FROM change_lag_rows() l;
END
$do$;

CREATE OR REPLACE FUNCTION prune_some_changes(keep interval, force boolean, as_of timestamptz, batch integer) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    p record;
    n bigint := 0;
BEGIN
    FOR p IN
        SELECT (a::jsonb ->> 'part')::bigint AS part, (a::jsonb ->> 'n')::bigint AS n, (a::jsonb ->> 'txid')::xid8 AS txid
        FROM ask_parts(format('SELECT (to_jsonb(r) || jsonb_build_object(''part'', part_number()))::text FROM prune_part(%L, %L, %L, %L) r', keep, force, as_of, batch), NULL, true) a
    LOOP
        n := n + p.n;
        IF force AND p.n > 0 THEN
            UPDATE change_consumer c SET missed = true
            WHERE NOT c.missed AND NOT EXISTS (SELECT 1 FROM change_position k WHERE k.consumer = c.consumer AND k.part = p.part AND k.txid >= p.txid);
        END IF;
    END LOOP;
    RETURN n;
END
$$;

CREATE OR REPLACE PROCEDURE prune_changes(keep interval DEFAULT '30 days', force boolean DEFAULT false, batch integer DEFAULT 10000, as_of timestamptz DEFAULT now(),
                                          feed regclass DEFAULT 'change_event'::regclass)
LANGUAGE plpgsql
AS $$
DECLARE
    path pg_catalog.text := crm.store_path(feed);
    n bigint;
    done bigint := 0;
BEGIN
    LOOP
        PERFORM pg_catalog.set_config('search_path', path, true);
        n := prune_some_changes(keep, force, as_of, batch);
        done := done + n;
        PERFORM job_done('prune_changes', done);
        COMMIT;
        EXIT WHEN n OPERATOR(pg_catalog.=) 0;
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION renumber_changes() RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RAISE EXCEPTION 'events of a store over several nodes are not numbered anew'
        USING ERRCODE = 'feature_not_supported', HINT = 'Before a shard moves or a backup is restored elsewhere: read the feed to its end; after it reset_changes() for each consumer.';
END
$$;

DO $do$
BEGIN
    CREATE INDEX change_event_order ON change_event (txid, event_id);
END
$do$;
