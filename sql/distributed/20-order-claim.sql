-- Order numbers and outside ids are unique in the whole shop: each stands in a table that is split by it.

CREATE TABLE order_claim (
    channel text NOT NULL,
    order_no text NOT NULL,
    customer_id bigint NOT NULL,
    PRIMARY KEY (channel, order_no)
);
COMMENT ON TABLE order_claim IS 'whose an order number is, split by the number; written by claim_orders before the order, in one transaction';
DO $do$
BEGIN
    EXECUTE format('ALTER TABLE order_claim OWNER TO %I', (SELECT pg_catalog.pg_get_userbyid(k.relowner) FROM pg_catalog.pg_class k WHERE k.oid = 'customer'::regclass));
    PERFORM create_distributed_table('order_claim', 'order_no', colocate_with => 'none');
    INSERT INTO order_claim (channel, order_no, customer_id) SELECT p.channel, p.order_no, p.customer_id FROM purchase p;
END
$do$;

CREATE FUNCTION claim_orders(channels text[], order_nos text[], customer_ids bigint[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    w record;
    made bigint;
BEGIN
    IF cardinality(channels) <> cardinality(order_nos) OR cardinality(channels) <> cardinality(customer_ids) THEN
        RAISE EXCEPTION 'channels, order_nos and customer_ids differ in length' USING ERRCODE = 'array_subscript_error';
    END IF;
    SELECT count(DISTINCT (u.channel, u.order_no)) INTO made FROM unnest(channels, order_nos) u (channel, order_no);
    SELECT made - count(*) INTO made
    FROM order_claim k JOIN (SELECT DISTINCT u.channel, u.order_no FROM unnest(channels, order_nos) u (channel, order_no)) u ON u.channel = k.channel AND u.order_no = k.order_no;
    -- Shard by shard and numbers in order, so that two sessions never wait in a circle.
    PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
    INSERT INTO order_claim (channel, order_no, customer_id)
    SELECT DISTINCT u.channel, u.order_no, u.customer_id FROM unnest(channels, order_nos, customer_ids) u (channel, order_no, customer_id) ORDER BY 1, 2, 3
    ON CONFLICT DO NOTHING;
    SELECT k.*, u.customer_id AS wanted INTO w
    FROM order_claim k JOIN unnest(channels, order_nos, customer_ids) u (channel, order_no, customer_id) ON u.channel = k.channel AND u.order_no = k.order_no
    WHERE k.customer_id <> u.customer_id ORDER BY k.channel, k.order_no LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'order "%" of channel "%" is another customer''s', w.order_no, w.channel
            USING ERRCODE = 'unique_violation', DETAIL = format('It is claimed for customer %s, not %s.', w.customer_id, w.wanted),
                  HINT = 'An order number belongs to one customer in the whole shop.';
    END IF;
    RETURN made;
END
$$;
REVOKE EXECUTE ON FUNCTION claim_orders(text[], text[], bigint[]) FROM PUBLIC;
COMMENT ON FUNCTION claim_orders(text[], text[], bigint[]) IS
'claims order numbers for customers, before the orders are inserted and in the same transaction; how many were new. Again for the same customer changes nothing. Error: 23505 when a number is another customer''s';

CREATE FUNCTION unclaimed_orders() RETURNS TABLE (channel text, order_no text, customer_id bigint, holder bigint)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT p.channel, p.order_no, p.customer_id, k.customer_id
    FROM ask_parts('SELECT to_jsonb(r)::text FROM (SELECT p.channel, p.order_no, p.customer_id FROM purchase p) r') j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) p (channel text, order_no text, customer_id bigint)
    LEFT JOIN (SELECT c.channel, c.order_no, c.customer_id FROM order_claim c OFFSET 0) k ON k.channel = p.channel AND k.order_no = p.order_no
    WHERE k.customer_id IS DISTINCT FROM p.customer_id
    ORDER BY 1, 2, 3;
END
$$;
REVOKE EXECUTE ON FUNCTION unclaimed_orders() FROM PUBLIC;
COMMENT ON FUNCTION unclaimed_orders() IS 'orders whose number nobody claimed (holder is null) or another customer did: none when all senders claim';

CREATE FUNCTION find_or_create_many(channels text[], external_ids text[], sources text[]) RETURNS SETOF identity
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    missing record;
BEGIN
    FOR attempt IN 1..10 LOOP
        WITH wanted AS MATERIALIZED (
            SELECT u.channel, u.external_id, (array_agg(u.source ORDER BY u.n) FILTER (WHERE u.source IS NOT NULL))[1] AS source
            FROM unnest(channels, external_ids, sources) WITH ORDINALITY u (channel, external_id, source, n)
            GROUP BY u.channel, u.external_id
        ), known AS MATERIALIZED (
            SELECT i.channel, i.external_id FROM identity i JOIN unnest(channels, external_ids) u (channel, external_id) ON u.channel = i.channel AND u.external_id = i.external_id
        )
        SELECT array_agg(w.channel ORDER BY w.channel, w.external_id) AS channels, array_agg(w.external_id ORDER BY w.channel, w.external_id) AS external_ids,
               array_agg(w.source ORDER BY w.channel, w.external_id) AS sources, NULL::bigint[] AS ids INTO missing
        FROM wanted w WHERE NOT EXISTS (SELECT FROM known k WHERE k.channel = w.channel AND k.external_id = w.external_id);
        IF missing.channels IS NULL THEN
            RETURN QUERY
                SELECT i.* FROM identity i
                JOIN (SELECT DISTINCT u.channel, u.external_id FROM unnest(channels, external_ids) u (channel, external_id)) u ON u.channel = i.channel AND u.external_id = i.external_id;
            RETURN;
        END IF;
        IF attempt > 1 AND current_setting('transaction_isolation') IN ('repeatable read', 'serializable') OR attempt = 10 THEN
            RAISE EXCEPTION 'could not serialize access: another transaction made the same customer'
                USING ERRCODE = 'serialization_failure', HINT = 'Run the transaction again.';
        END IF;
        missing.ids := ARRAY(SELECT nextval(pg_get_serial_sequence('customer', 'customer_id')) FROM unnest(missing.channels));
        -- Who inserts the identity makes the customer. Shard by shard and keys in order, so that two sessions never wait in a circle.
        PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
        INSERT INTO identity (channel, external_id, customer_id)
        SELECT u.channel, u.external_id, u.customer_id FROM unnest(missing.channels, missing.external_ids, missing.ids) u (channel, external_id, customer_id) ORDER BY 1, 2
        ON CONFLICT DO NOTHING;
        INSERT INTO customer (customer_id, source, last_source)
        SELECT u.customer_id, u.source, u.source
        FROM (SELECT i.channel, i.external_id, i.customer_id FROM identity i JOIN unnest(missing.channels, missing.external_ids, missing.ids) w (channel, external_id, customer_id)
              ON w.channel = i.channel AND w.external_id = i.external_id AND w.customer_id = i.customer_id OFFSET 0) mine
        JOIN unnest(missing.channels, missing.external_ids, missing.sources, missing.ids) u (channel, external_id, source, customer_id) ON u.customer_id = mine.customer_id;
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION find_or_create_many(text[], text[], text[]) FROM PUBLIC;
COMMENT ON FUNCTION find_or_create_many(text[], text[], text[]) IS 'find_or_create_customers for many at once, in a few statements over all nodes';

CREATE OR REPLACE FUNCTION find_or_create_customers(channels text[], external_ids text[], sources text[] DEFAULT NULL)
RETURNS SETOF identity
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    w record;
    made identity;
BEGIN
    IF cardinality(channels) <> cardinality(external_ids) THEN
        RAISE EXCEPTION 'channels and external_ids differ in length' USING ERRCODE = 'array_subscript_error';
    END IF;
    IF cardinality(channels) > 10 THEN
        RETURN QUERY SELECT f.* FROM find_or_create_many(channels, external_ids, sources) f;
        RETURN;
    END IF;
    -- Who inserts the identity makes the customer; keys in order, so that two sessions never wait in a circle.
    FOR w IN
        SELECT u.channel, u.external_id, (array_agg(u.source ORDER BY u.n) FILTER (WHERE u.source IS NOT NULL))[1] AS source
        FROM unnest(channels, external_ids, sources) WITH ORDINALITY u (channel, external_id, source, n)
        GROUP BY u.channel, u.external_id ORDER BY u.channel, u.external_id
    LOOP
        FOR attempt IN 1..10 LOOP
            SELECT i.* INTO made FROM identity i WHERE i.channel = w.channel AND i.external_id = w.external_id;
            EXIT WHEN FOUND;
            IF attempt > 1 AND current_setting('transaction_isolation') IN ('repeatable read', 'serializable') OR attempt = 10 THEN
                RAISE EXCEPTION 'could not serialize access: another transaction made the same customer'
                    USING ERRCODE = 'serialization_failure', HINT = 'Run the transaction again.';
            END IF;
            made.customer_id := nextval(pg_get_serial_sequence('customer', 'customer_id'));
            INSERT INTO identity (channel, external_id, customer_id) VALUES (w.channel, w.external_id, made.customer_id) ON CONFLICT DO NOTHING;
            IF FOUND THEN
                INSERT INTO customer (customer_id, source, last_source) VALUES (made.customer_id, w.source, w.source);
            END IF;
        END LOOP;
        RETURN NEXT made;
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION put_contacts(customers bigint[], names text[], phones text[], emails text[], addresses text[]) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    p record;
BEGIN
    FOR p IN SELECT o.* FROM parts_of(customers) o LOOP
        PERFORM ask_part(p.part, format('SELECT put_contacts(%L, %L, %L, %L, %L)::text', picked(customers, p.numbers), picked(names, p.numbers), picked(phones, p.numbers), picked(emails, p.numbers), picked(addresses, p.numbers)), NULL, true);
    END LOOP;
END
$$;

-- It stays, so that its key does.
INSERT INTO privacy_rule (table_name, column_name, erase, step, exported, why) VALUES
    ('order_claim', '*', 'keep', 0, false, 'the numbers of purchase, over all nodes'),
    ('tag_audience_change', '*', 'keep', 0, false, 'customers of a tag as bits, for minutes');
