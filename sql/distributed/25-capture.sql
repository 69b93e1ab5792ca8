-- Orders from tables and files: customers and numbers on the coordinator, then a part at a time.

CREATE FUNCTION take_orders(channels text[], order_nos text[], customer_ids bigint[]) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    w record;
    what text;
BEGIN
    PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
    INSERT INTO order_claim (channel, order_no, customer_id)
    SELECT u.* FROM unnest(channels, order_nos, customer_ids) u (channel, order_no, customer_id) ORDER BY 1, 2
    ON CONFLICT DO NOTHING;
    -- An order that is another customer's by now goes there, with what belongs to it.
    FOR w IN
        SELECT p.channel, p.order_no, p.customer_id AS holder, u.customer_id
        FROM purchase p JOIN unnest(channels, order_nos, customer_ids) u (channel, order_no, customer_id) ON u.channel = p.channel AND u.order_no = p.order_no
        WHERE p.customer_id <> u.customer_id ORDER BY 1, 2
    LOOP
        SELECT a INTO what FROM ask_part(part_of(w.holder), format('SELECT take_out_order(%L, %L, %L)::text', w.holder, w.channel, w.order_no), NULL, true) a;
        PERFORM ask_part(part_of(w.customer_id), format('SELECT put_in_order(%L, %L)::text', w.customer_id, what), NULL, true);
    END LOOP;
    FOR w IN
        SELECT k.channel, k.order_no, u.customer_id
        FROM order_claim k JOIN unnest(channels, order_nos, customer_ids) u (channel, order_no, customer_id) ON u.channel = k.channel AND u.order_no = k.order_no
        WHERE k.customer_id <> u.customer_id ORDER BY 1, 2
    LOOP
        UPDATE order_claim k SET customer_id = w.customer_id WHERE k.channel = w.channel AND k.order_no = w.order_no;
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION take_orders(text[], text[], bigint[]) FROM PUBLIC;
COMMENT ON FUNCTION take_orders(text[], text[], bigint[]) IS 'makes order numbers those of these customers, each number once; orders that others had by them move';

CREATE OR REPLACE FUNCTION write_captured(rows captured_order[], customers bigint[], mapping jsonb, contacts boolean[] DEFAULT NULL, history boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    p record;
BEGIN
    PERFORM take_orders(array_agg(r.channel ORDER BY r.ordinality), array_agg(r.order_no ORDER BY r.ordinality), customers) FROM unnest(rows) WITH ORDINALITY r;
    FOR p IN SELECT o.* FROM parts_of(customers) o LOOP
        PERFORM ask_part(p.part, format('SELECT write_captured(%L, %L, %L, %L, %L)::text', picked(rows, p.numbers), picked(customers, p.numbers), mapping, picked(contacts, p.numbers), history), NULL, true);
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION drop_captured(rows captured_order[]) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    channels text[];
    order_nos text[];
    p record;
BEGIN
    SELECT array_agg(r.channel), array_agg(r.order_no) INTO channels, order_nos FROM unnest(rows) r;
    FOR p IN
        SELECT part_of(k.customer_id) AS part, array_agg(k.customer_id) AS ids, array_agg(k.channel) AS channels, array_agg(k.order_no) AS order_nos
        FROM known_orders(channels, order_nos) k GROUP BY 1 ORDER BY 1
    LOOP
        PERFORM ask_part(p.part, format('WITH gone AS (DELETE FROM purchase p USING unnest(%L::bigint[], %L::text[], %L::text[]) w (customer_id, channel, order_no)
                                                       WHERE p.customer_id = w.customer_id AND p.channel = w.channel AND p.order_no = w.order_no RETURNING 1)
                                         SELECT count(*)::text FROM gone', p.ids, p.channels, p.order_nos), NULL, true);
    END LOOP;
    FOR p IN SELECT u.* FROM unnest(channels, order_nos) u (channel, order_no) ORDER BY 1, 2 LOOP
        DELETE FROM order_claim k WHERE k.channel = p.channel AND k.order_no = p.order_no;
    END LOOP;
END
$$;

-- Files.

CREATE OR REPLACE FUNCTION import_differences(m import_mapping, as_of timestamptz, people imported_person[]) RETURNS SETOF imported_person
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    p record;
BEGIN
    FOR p IN SELECT o.* FROM parts_of(ARRAY(SELECT x.customer_id FROM unnest(people) WITH ORDINALITY x ORDER BY x.ordinality)) o LOOP
        RETURN QUERY
        SELECT (t.d).*
        FROM (SELECT a::imported_person AS d
              FROM ask_part(p.part, format('SELECT d::text FROM import_differences(%L, %L, %L) d', m, as_of, picked(people, p.numbers))) a OFFSET 0) t;
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION import_people(m import_mapping, as_of timestamptz, why text, opening text, people imported_person[]) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    p record;
BEGIN
    FOR p IN SELECT o.* FROM parts_of(ARRAY(SELECT x.customer_id FROM unnest(people) WITH ORDINALITY x ORDER BY x.ordinality)) o LOOP
        PERFORM ask_part(p.part, format('SELECT import_people(%L, %L, %L, %L, %L)::text', m, as_of, why, opening, picked(people, p.numbers)), NULL, true);
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION import_purchases(m import_mapping, history boolean, orders imported_order[]) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    p record;
BEGIN
    FOR p IN SELECT o.* FROM parts_of(ARRAY(SELECT x.customer_id FROM unnest(orders) WITH ORDINALITY x ORDER BY x.ordinality)) o LOOP
        PERFORM ask_part(p.part, format('SELECT import_purchases(%L, %L, %L)::text', m, history, picked(orders, p.numbers)), NULL, true);
    END LOOP;
END
$$;
