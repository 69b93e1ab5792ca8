-- Orders from a file: a staging table of text columns goes in, rows that can't be taken come out with their line and reason.

CREATE FUNCTION is_timestamptz(value text) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM value::timestamptz;
    RETURN true;
EXCEPTION WHEN data_exception THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION is_timestamptz(text) IS 'whether the text can be read as a moment';

-- By arrays, so that a store over several nodes is asked for these alone.
CREATE FUNCTION known_orders(channels text[], order_nos text[]) RETURNS TABLE (channel text, order_no text, customer_id bigint)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT n.channel, n.order_no, n.customer_id
    FROM purchase_number n JOIN unnest(channels, order_nos) w (channel, order_no) ON w.channel = n.channel AND w.order_no = n.order_no;
END
$$;
COMMENT ON FUNCTION known_orders(text[], text[]) IS 'which of these order numbers the store has, and whose they are';
REVOKE EXECUTE ON FUNCTION known_orders(text[], text[]) FROM PUBLIC;

CREATE FUNCTION known_identities(channel text, external_ids text[]) RETURNS TABLE (external_id text, customer_id bigint)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT i.external_id, i.customer_id
    FROM identity i JOIN unnest(external_ids) w (external_id) ON w.external_id = i.external_id
    WHERE i.channel = known_identities.channel;
END
$$;
COMMENT ON FUNCTION known_identities(text, text[]) IS 'the customers that a channel knows by these ids, those that there are';
REVOKE EXECUTE ON FUNCTION known_identities(text, text[]) FROM PUBLIC;

CREATE FUNCTION import_orders(source regclass, mapping jsonb DEFAULT '{}', bad_rows text DEFAULT 'refuse', channel text DEFAULT 'mall')
RETURNS TABLE (line bigint, reason text)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    fields CONSTANT text[] := ARRAY['customer', 'order_no', 'ordered_at', 'amount', 'refunded', 'channel', 'status', 'name', 'phone', 'email'];
    field text;
    picked text := '';
    zone text := (SELECT s.time_zone FROM settings s);
BEGIN
    IF bad_rows IS NULL OR bad_rows NOT IN ('refuse', 'skip') THEN
        RAISE EXCEPTION 'bad_rows is "%"', bad_rows
            USING ERRCODE = 'invalid_parameter_value', HINT = 'refuse takes nothing when a row is bad; skip takes the good rows.';
    END IF;
    FOREACH field IN ARRAY fields LOOP
        IF NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = source AND a.attname = coalesce(mapping ->> field, field)
                       AND a.attnum > 0 AND NOT a.attisdropped) THEN
            IF mapping ? field OR field IN ('customer', 'order_no', 'ordered_at', 'amount') THEN
                RAISE EXCEPTION 'the file has no column "%" for %', coalesce(mapping ->> field, field), field
                    USING ERRCODE = 'undefined_column', HINT = 'Name the columns of the file in mapping, such as {"order_no": "sn"}.';
            END IF;
            picked := picked || format(', NULL::text AS %I', field);
        ELSE
            picked := picked || format(', nullif(btrim(t.%I::text), '''') AS %I', coalesce(mapping ->> field, field), field);
        END IF;
    END LOOP;
    -- The line counts from 2: line 1 of a file is its header.
    PERFORM set_config('client_min_messages', 'warning', true);
    DROP TABLE IF EXISTS pg_temp.import_row;
    EXECUTE format('CREATE TEMP TABLE import_row AS SELECT row_number() OVER (ORDER BY t.ctid) + 1 AS line, NULL::text AS reason %s FROM %s t', picked, source);
    PERFORM set_config('timezone', zone, true);

    UPDATE pg_temp.import_row r SET reason =
        CASE WHEN r.customer IS NULL THEN 'customer is empty'
             WHEN r.order_no IS NULL THEN 'order_no is empty'
             WHEN r.ordered_at IS NULL THEN 'ordered_at is empty'
             WHEN NOT is_timestamptz(r.ordered_at) THEN format('ordered_at "%s" is no date', r.ordered_at)
             WHEN r.amount IS NULL THEN 'amount is empty'
             WHEN r.amount !~ '^[+-]?[0-9]{1,12}(\.[0-9]+)?$' THEN format('amount "%s" is no number', r.amount)
             WHEN r.amount::numeric < 0 THEN format('amount %s is negative', r.amount)
             WHEN r.refunded !~ '^[0-9]{1,12}(\.[0-9]+)?$' THEN format('refunded "%s" is no amount', r.refunded)
             WHEN r.refunded::numeric > r.amount::numeric THEN format('refunded %s is above the amount %s', r.refunded, r.amount)
             WHEN r.status NOT IN ('pending', 'paid', 'shipped', 'completed', 'cancelled', 'refunded')
                 THEN format('status "%s" is not one of pending, paid, shipped, completed, cancelled, refunded', r.status)
        END;
    UPDATE pg_temp.import_row r SET reason = format('order_no "%s" stands in line %s already', r.order_no, f.line)
    FROM (SELECT coalesce(i.channel, import_orders.channel) AS channel, i.order_no, min(i.line) AS line
          FROM pg_temp.import_row i WHERE i.reason IS NULL GROUP BY 1, 2 HAVING count(*) > 1) f
    WHERE r.reason IS NULL AND coalesce(r.channel, import_orders.channel) = f.channel AND r.order_no = f.order_no AND r.line > f.line;
    UPDATE pg_temp.import_row r SET reason = format('order_no "%s" is in the store already', r.order_no)
    FROM (SELECT array_agg(coalesce(i.channel, import_orders.channel)) AS channels, array_agg(i.order_no) AS order_nos FROM pg_temp.import_row i WHERE i.reason IS NULL) g
    CROSS JOIN LATERAL known_orders(g.channels, g.order_nos) p
    WHERE r.reason IS NULL AND p.channel = coalesce(r.channel, import_orders.channel) AND p.order_no = r.order_no;

    RETURN QUERY SELECT i.line, i.reason FROM pg_temp.import_row i WHERE i.reason IS NOT NULL ORDER BY i.line;
    IF FOUND AND bad_rows = 'refuse' THEN
        DROP TABLE pg_temp.import_row;
        RETURN;
    END IF;

    -- A file's own customer number means one person, whatever the channel of the order.
    CREATE TEMP TABLE import_person ON COMMIT DROP AS
        SELECT i.customer, NULL::bigint AS customer_id, false AS made, min(i.ordered_at::timestamptz) AS joined_at,
               (array_agg(i.name ORDER BY i.line DESC) FILTER (WHERE i.name IS NOT NULL))[1] AS name,
               (array_agg(i.phone ORDER BY i.line DESC) FILTER (WHERE i.phone IS NOT NULL))[1] AS phone,
               (array_agg(i.email ORDER BY i.line DESC) FILTER (WHERE i.email IS NOT NULL))[1] AS email
        FROM pg_temp.import_row i
        WHERE i.reason IS NULL
        GROUP BY i.customer;
    UPDATE pg_temp.import_person p SET customer_id = k.customer_id
    FROM (SELECT array_agg(x.customer) AS ids FROM pg_temp.import_person x) g CROSS JOIN LATERAL known_identities('import', g.ids) k
    WHERE k.external_id = p.customer;
    UPDATE pg_temp.import_person p SET customer_id = n.customer_id, made = true
    FROM (SELECT w.customer, nextval(pg_get_serial_sequence('customer', 'customer_id')) AS customer_id
          FROM (SELECT x.customer FROM pg_temp.import_person x WHERE x.customer_id IS NULL ORDER BY x.joined_at, x.customer) w) n
    WHERE n.customer = p.customer;
    INSERT INTO customer (customer_id, joined_at)
        SELECT p.customer_id, p.joined_at FROM pg_temp.import_person p WHERE p.made ORDER BY p.customer_id;
    INSERT INTO identity (channel, external_id, customer_id)
        SELECT 'import', p.customer, p.customer_id FROM pg_temp.import_person p WHERE p.made ON CONFLICT DO NOTHING;
    INSERT INTO contact AS c (customer_id, name, phone, email)
        SELECT p.customer_id, p.name, p.phone, p.email FROM pg_temp.import_person p
        WHERE p.name IS NOT NULL OR p.phone IS NOT NULL OR p.email IS NOT NULL
        ON CONFLICT (customer_id) DO UPDATE
        SET name = coalesce(c.name, excluded.name), phone = coalesce(c.phone, excluded.phone), email = coalesce(c.email, excluded.email);
    IF crm.is_distributed('purchase'::regclass) THEN
        -- No node alone could keep their numbers unique.
        PERFORM claim_orders(array_agg(coalesce(i.channel, import_orders.channel)), array_agg(i.order_no), array_agg(p.customer_id))
        FROM pg_temp.import_row i JOIN pg_temp.import_person p USING (customer) WHERE i.reason IS NULL;
    END IF;
    INSERT INTO purchase (customer_id, channel, order_no, status, amount, refunded, ordered_at, paid_at, completed_at)
        SELECT p.customer_id, coalesce(i.channel, import_orders.channel), i.order_no, coalesce(i.status, 'completed'),
               i.amount::numeric, coalesce(i.refunded::numeric, 0), i.ordered_at::timestamptz,
               CASE WHEN coalesce(i.status, 'completed') NOT IN ('pending', 'cancelled') THEN i.ordered_at::timestamptz END,
               CASE WHEN coalesce(i.status, 'completed') = 'completed' THEN i.ordered_at::timestamptz END
        FROM pg_temp.import_row i JOIN pg_temp.import_person p USING (customer)
        WHERE i.reason IS NULL;
    DROP TABLE pg_temp.import_row, pg_temp.import_person;
END
$$;
COMMENT ON FUNCTION import_orders(regclass, jsonb, text, text) IS
'takes orders from a staging table of text columns (customer, order_no, ordered_at, amount, and optionally refunded, channel, status, name, phone, email; other names by mapping) and returns the rows it could not take, with line (the header is line 1) and reason. bad_rows: refuse takes nothing when one is bad, skip takes the good ones. An order without status counts as completed';
REVOKE EXECUTE ON FUNCTION import_orders(regclass, jsonb, text, text) FROM PUBLIC;
