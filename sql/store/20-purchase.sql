-- Orders and what they add up to.

-- The expressions are functions in C, since the executor reads their stored form anew for every statement.

CREATE TABLE purchase (
    customer_id bigint NOT NULL REFERENCES customer_summary,
    channel text NOT NULL DEFAULT 'mall',
    order_no text NOT NULL,
    status text NOT NULL DEFAULT 'paid',
    history boolean NOT NULL DEFAULT false,
    amount numeric(16,4) NOT NULL,
    refunded numeric(16,4) NOT NULL DEFAULT 0,
    freight numeric(16,4) NOT NULL DEFAULT 0,
    discount numeric(16,4) NOT NULL DEFAULT 0,
    cost numeric(16,4),
    ordered_at timestamptz NOT NULL DEFAULT now(),
    paid_at timestamptz,
    shipped_at timestamptz,
    completed_at timestamptz,
    order_at timestamptz GENERATED ALWAYS AS (purchase_order_at(status, amount, refunded, paid_at, ordered_at)) STORED,
    net numeric GENERATED ALWAYS AS (purchase_net(status, amount, refunded)) STORED,
    source text REFERENCES source,
    currency text,
    currency_rate numeric,
    PRIMARY KEY (customer_id, channel, order_no),
    CONSTRAINT purchase_order_no UNIQUE (channel, order_no),
    CONSTRAINT purchase_order CHECK (purchase_check(order_no, status, amount, refunded, freight, discount, cost,
                                                    ordered_at, paid_at, completed_at, currency, currency_rate))
);
CREATE INDEX purchase_order_at ON purchase USING brin (order_at) WITH (autosummarize = on);
COMMENT ON TABLE purchase IS 'orders. Spend is net, counted at order_at; unpaid, cancelled and fully refunded orders count nothing';
COMMENT ON COLUMN purchase.channel IS 'shop or platform of the order';
COMMENT ON COLUMN purchase.order_no IS 'number there; unique in its channel';
COMMENT ON COLUMN purchase.freight IS 'not part of amount';
COMMENT ON COLUMN purchase.ordered_at IS 'when it was placed';
COMMENT ON COLUMN purchase.paid_at IS 'when it was paid; an order counts from then on';
COMMENT ON COLUMN purchase.shipped_at IS 'when it was sent';
COMMENT ON COLUMN purchase.completed_at IS 'when it was received; makes points available';
COMMENT ON COLUMN purchase.source IS 'source that brought this order';
COMMENT ON COLUMN purchase.status IS 'pending, paid, shipped, completed, cancelled or refunded';
COMMENT ON COLUMN purchase.history IS 'imported history: counts in summaries and reports, earns no points';
COMMENT ON COLUMN purchase.amount IS 'paid for the goods, without freight, in the store''s currency';
COMMENT ON COLUMN purchase.refunded IS 'given back of amount so far; kept by purchase_refund where that is used';
COMMENT ON COLUMN purchase.discount IS 'given away at the sale; amount is what was left to pay';
COMMENT ON COLUMN purchase.cost IS 'what the goods cost the shop; null when unknown';
COMMENT ON COLUMN purchase.order_at IS 'the moment it counts as an order: paid_at, else ordered_at; null while it does not count';
COMMENT ON COLUMN purchase.net IS 'what it adds to spend: amount - refunded, 0 while it does not count';
COMMENT ON COLUMN purchase.currency IS 'currency it was paid in, when not the store''s; its amounts are converted when it is inserted, see set_currency_rate()';
COMMENT ON COLUMN purchase.currency_rate IS 'rate that its amounts were converted by; a row that comes with a rate is taken as converted';

-- ON CONFLICT DO UPDATE and MERGE fire both the first and the second.
CREATE TRIGGER purchase_inserted AFTER INSERT ON purchase REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION purchase_changed();
CREATE TRIGGER purchase_updated AFTER UPDATE ON purchase REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION purchase_changed();
CREATE TRIGGER purchase_deleted AFTER DELETE ON purchase REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION purchase_changed();
CREATE TRIGGER purchase_truncated BEFORE TRUNCATE ON purchase
FOR EACH STATEMENT EXECUTE FUNCTION purchase_changed();

-- A look-up in both kinds of store: in one that create_store() made with partitions this is a table, kept by the triggers of purchase.
CREATE VIEW purchase_number WITH (security_invoker = true) AS
SELECT p.channel, p.order_no, p.customer_id FROM purchase p;
COMMENT ON VIEW purchase_number IS 'whose order a number is: the way to an order by its channel and number alone. A table of its own where purchase is partitioned, which no key of purchase could keep unique there';

CREATE TABLE purchase_item (
    customer_id bigint NOT NULL,
    channel text NOT NULL,
    order_no text NOT NULL,
    line integer NOT NULL,
    product text NOT NULL,
    category text,
    quantity numeric(16,4) NOT NULL DEFAULT 1 CHECK (quantity > 0),
    amount numeric(16,4) NOT NULL CHECK (amount >= 0),
    cost numeric(16,4) CHECK (cost >= 0),
    PRIMARY KEY (customer_id, channel, order_no, line),
    FOREIGN KEY (customer_id, channel, order_no) REFERENCES purchase ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE purchase_item IS 'lines of an order';
COMMENT ON COLUMN purchase_item.line IS 'number of the line in the order';
COMMENT ON COLUMN purchase_item.product IS 'product code';
COMMENT ON COLUMN purchase_item.category IS 'category, for points, preferences and forecasts';
COMMENT ON COLUMN purchase_item.quantity IS 'pieces';
COMMENT ON COLUMN purchase_item.cost IS 'of the line, for the margin';
COMMENT ON COLUMN purchase_item.amount IS 'paid for the line';

CREATE TABLE purchase_refund (
    customer_id bigint NOT NULL,
    channel text NOT NULL,
    order_no text NOT NULL,
    refund_no text NOT NULL,
    line integer,
    amount numeric(16,4) NOT NULL CHECK (amount > 0),
    reason text,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (customer_id, channel, order_no, refund_no),
    FOREIGN KEY (customer_id, channel, order_no) REFERENCES purchase ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE purchase_refund IS 'money given back on an order, whole or for one line: the source of purchase.refunded';
COMMENT ON COLUMN purchase_refund.refund_no IS 'number of the refund; unique in its order';
COMMENT ON COLUMN purchase_refund.amount IS 'given back';
COMMENT ON COLUMN purchase_refund.reason IS 'why';
COMMENT ON COLUMN purchase_refund.at IS 'when';

COMMENT ON COLUMN purchase_refund.line IS 'the line of purchase_item given back; null for the order as a whole';

CREATE FUNCTION purchase_refund_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    customers bigint[];
    channels text[];
    order_nos text[];
    deltas numeric[];
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        RAISE EXCEPTION 'cannot truncate table "%"', TG_TABLE_NAME
            USING ERRCODE = 'feature_not_supported', DETAIL = 'purchase.refunded would no longer add up to its refunds.',
                  HINT = 'DELETE the rows.';
    END IF;
    -- By order, in the order of its key. An order that moves to another customer takes its refunds along: that nets to nothing.
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(d.customer_id), array_agg(d.channel), array_agg(d.order_no), array_agg(d.delta) INTO customers, channels, order_nos, deltas
        FROM (SELECT n.customer_id, n.channel, n.order_no, sum(n.amount) AS delta FROM new_rows n GROUP BY 1, 2, 3 ORDER BY 2, 3) d;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(d.customer_id), array_agg(d.channel), array_agg(d.order_no), array_agg(d.delta) INTO customers, channels, order_nos, deltas
        FROM (SELECT o.customer_id, o.channel, o.order_no, -sum(o.amount) AS delta FROM old_rows o GROUP BY 1, 2, 3 ORDER BY 2, 3) d;
    ELSE
        SELECT array_agg(d.customer_id), array_agg(d.channel), array_agg(d.order_no), array_agg(d.delta) INTO customers, channels, order_nos, deltas
        FROM (SELECT coalesce(min(u.customer_id) FILTER (WHERE u.amount > 0), min(u.customer_id)) AS customer_id, u.channel, u.order_no, sum(u.amount) AS delta
              FROM (SELECT n.customer_id, n.channel, n.order_no, n.amount FROM new_rows n
                    UNION ALL SELECT o.customer_id, o.channel, o.order_no, -o.amount FROM old_rows o) u
              GROUP BY 2, 3 HAVING sum(u.amount) <> 0 ORDER BY 2, 3) d;
    END IF;
    IF crm.is_shard(TG_RELID) THEN
        -- One customer a statement, so that Citus sees that none leaves the node.
        FOR i IN 1..coalesce(cardinality(customers), 0) LOOP
            UPDATE purchase p SET refunded = p.refunded + deltas[i]
            WHERE p.customer_id = customers[i] AND p.channel = channels[i] AND p.order_no = order_nos[i];
        END LOOP;
        RETURN NULL;
    END IF;
    IF cardinality(channels) > 1 THEN
        PERFORM FROM purchase p
        JOIN unnest(customers, channels, order_nos) d (customer_id, channel, order_no)
            ON (p.customer_id, p.channel, p.order_no) = (d.customer_id, d.channel, d.order_no)
        ORDER BY p.channel, p.order_no FOR NO KEY UPDATE OF p;
    END IF;
    UPDATE purchase p SET refunded = p.refunded + d.delta
    FROM unnest(customers, channels, order_nos, deltas) d (customer_id, channel, order_no, delta)
    WHERE p.customer_id = d.customer_id AND p.channel = d.channel AND p.order_no = d.order_no;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION purchase_refund_changed() FROM PUBLIC;
COMMENT ON FUNCTION purchase_refund_changed() IS 'statement trigger of purchase_refund: keeps purchase.refunded; 23514 names the order whose refunds exceed its amount';

CREATE TRIGGER purchase_refund_inserted AFTER INSERT ON purchase_refund REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION purchase_refund_changed();
CREATE TRIGGER purchase_refund_updated AFTER UPDATE ON purchase_refund REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION purchase_refund_changed();
CREATE TRIGGER purchase_refund_deleted AFTER DELETE ON purchase_refund REFERENCING OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION purchase_refund_changed();
CREATE TRIGGER purchase_refund_truncated BEFORE TRUNCATE ON purchase_refund
FOR EACH STATEMENT EXECUTE FUNCTION purchase_refund_changed();

-- Other currencies. The converting trigger is made with the first rate, since a row trigger slows COPY for everybody.

CREATE TABLE currency_rate (
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    day date NOT NULL,
    rate numeric NOT NULL CHECK (rate > 0),
    PRIMARY KEY (currency, day)
);
COMMENT ON TABLE currency_rate IS 'what one unit of a currency is worth in the store''s from a day on; see set_currency_rate()';

CREATE FUNCTION convert_purchase() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    store_currency text;
    on_day date;
BEGIN
    SELECT s.currency, (coalesce(NEW.paid_at, NEW.ordered_at) AT TIME ZONE s.time_zone)::date INTO store_currency, on_day FROM settings s;
    IF NEW.currency = store_currency THEN
        RETURN NEW;
    END IF;
    SELECT r.rate INTO NEW.currency_rate FROM currency_rate r
    WHERE r.currency = NEW.currency AND r.day <= on_day ORDER BY r.day DESC LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no rate for order "%" in % on %', NEW.order_no, NEW.currency, on_day
            USING ERRCODE = 'CO002', HINT = format('set_currency_rate(%L, day, rate) with that day or an earlier one gives it.', NEW.currency);
    END IF;
    NEW.amount := round(NEW.amount * NEW.currency_rate, 4);
    NEW.refunded := round(NEW.refunded * NEW.currency_rate, 4);
    NEW.freight := round(NEW.freight * NEW.currency_rate, 4);
    NEW.discount := round(NEW.discount * NEW.currency_rate, 4);
    NEW.cost := round(NEW.cost * NEW.currency_rate, 4);
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION convert_purchase() FROM PUBLIC;
COMMENT ON FUNCTION convert_purchase() IS 'row trigger of purchase, once there is a rate: converts an order that comes in another currency';

CREATE FUNCTION convert_purchases() RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = 'purchase'::regclass AND t.tgname = 'purchase_converted') THEN
        CREATE TRIGGER purchase_converted BEFORE INSERT ON purchase FOR EACH ROW
        WHEN (NEW.currency IS NOT NULL AND NEW.currency_rate IS NULL) EXECUTE FUNCTION convert_purchase();
    END IF;
END
$$;
COMMENT ON FUNCTION convert_purchases() IS 'makes the trigger that converts orders, unless it is there';
REVOKE EXECUTE ON FUNCTION convert_purchases() FROM PUBLIC;

CREATE FUNCTION set_currency_rate(currency text, day date, rate numeric) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    INSERT INTO currency_rate AS r (currency, day, rate)
    VALUES (set_currency_rate.currency, set_currency_rate.day, set_currency_rate.rate)
    ON CONFLICT ON CONSTRAINT currency_rate_pkey DO UPDATE SET rate = EXCLUDED.rate;
    PERFORM convert_purchases();
END
$$;
COMMENT ON FUNCTION set_currency_rate(text, date, numeric) IS
'what one unit of a currency is worth in the store''s from a day on, until the next rate; orders that come in it are converted by the rate of the day they were paid. Later changes of a rate leave orders alone. Run by the store''s owner';

-- Windows.

CREATE FUNCTION summary_window(as_of timestamptz DEFAULT now(), months integer DEFAULT 12)
RETURNS TABLE (customer_id bigint, orders bigint, spend numeric)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- Whole months come from the buckets, and orders only from the months that the window cuts; for a customer all of whose
    -- orders lie inside an edge, that edge counts as infinite.
    SELECT s.customer_id,
           months_orders(s.months, CASE WHEN s.first_order_at > w.lo THEN '-infinity' ELSE w.lo END,
                         CASE WHEN s.last_order_at <= w.hi THEN 'infinity' ELSE w.hi END)
           + CASE WHEN s.first_order_at <= w.lo OR w.one_month AND s.last_order_at > w.hi THEN coalesce(e.lo_orders, 0) ELSE 0 END
           + CASE WHEN s.last_order_at > w.hi THEN coalesce(e.hi_orders, 0) ELSE 0 END,
           months_spend(s.months, CASE WHEN s.first_order_at > w.lo THEN '-infinity' ELSE w.lo END,
                        CASE WHEN s.last_order_at <= w.hi THEN 'infinity' ELSE w.hi END)
           + CASE WHEN s.first_order_at <= w.lo OR w.one_month AND s.last_order_at > w.hi THEN coalesce(e.lo_spend, 0) ELSE 0 END
           + CASE WHEN s.last_order_at > w.hi THEN coalesce(e.hi_spend, 0) ELSE 0 END
    FROM (SELECT b.lo, b.hi, date_trunc('month', b.lo, 'UTC') = date_trunc('month', b.hi, 'UTC') AS one_month
          FROM (SELECT summary_window.as_of AS hi,
                       (summary_window.as_of AT TIME ZONE t.time_zone - make_interval(months => summary_window.months)) AT TIME ZONE t.time_zone AS lo
                FROM settings t) b) w
    CROSS JOIN customer_summary s
    LEFT JOIN (SELECT p.customer_id,
                      count(*) FILTER (WHERE p.order_at < v.lo_end) AS lo_orders,
                      money_sum(p.net) FILTER (WHERE p.order_at < v.lo_end) AS lo_spend,
                      count(*) FILTER (WHERE p.order_at >= v.lo_end) AS hi_orders,
                      money_sum(p.net) FILTER (WHERE p.order_at >= v.lo_end) AS hi_spend
               FROM (SELECT b.lo, b.hi, (date_trunc('month', b.lo AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC' AS lo_end,
                            date_trunc('month', b.hi, 'UTC') AS hi_start
                     FROM (SELECT summary_window.as_of AS hi,
                                  (summary_window.as_of AT TIME ZONE t.time_zone - make_interval(months => summary_window.months)) AT TIME ZONE t.time_zone AS lo
                           FROM settings t) b) v
               JOIN purchase p ON p.order_at > v.lo AND p.order_at <= v.hi AND (p.order_at < v.lo_end OR p.order_at >= v.hi_start)
               GROUP BY p.customer_id) e ON e.customer_id = s.customer_id;
END;
COMMENT ON FUNCTION summary_window(timestamptz, integer) IS
'orders and spend of each customer in (as_of - months, as_of], months counted in the store''s time zone; from the monthly buckets and the orders of the months that the window cuts';

CREATE VIEW customer_window AS
SELECT w.customer_id, w.orders AS orders_12m, w.spend AS spend_12m FROM summary_window(now(), 12) w;
COMMENT ON VIEW customer_window IS 'orders and spend of each customer in the last 12 months';

-- Counting anew.

CREATE VIEW purchase_total AS
SELECT p.customer_id, count(p.order_at) AS order_count, money_sum(p.net) AS spend_total,
       money_sum(CASE WHEN p.status IN ('paid', 'shipped', 'completed', 'refunded') THEN p.amount - p.net ELSE 0 END) AS refunded_total,
       coalesce(money_sum(p.discount) FILTER (WHERE p.order_at IS NOT NULL), 0) AS discount_total,
       coalesce(money_sum(p.cost) FILTER (WHERE p.order_at IS NOT NULL), 0) AS cost_total,
       min(p.order_at) AS first_order_at, max(p.order_at) AS last_order_at,
       purchase_months_agg(p.order_at, p.net) AS months
FROM purchase p
GROUP BY p.customer_id;
COMMENT ON VIEW purchase_total IS 'what customer_summary must say of the customers that have orders, counted from the orders';

CREATE FUNCTION recount_customers(fix boolean DEFAULT false)
RETURNS TABLE (customer_id bigint, column_name text, stored text, actual text)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    ids bigint[] := '{}';
    id bigint;
BEGIN
    FOR customer_id, column_name, stored, actual IN
        SELECT c.customer_id, v.column_name, v.stored, v.actual
        FROM crm.customers_to_recount('customer'::regclass, 'customer_summary'::regclass, 'purchase'::regclass) c (customer_id)
        LEFT JOIN customer_summary s ON s.customer_id = c.customer_id
        LEFT JOIN LATERAL (SELECT * FROM purchase_total t WHERE t.customer_id = c.customer_id) t ON true
        CROSS JOIN LATERAL (VALUES
            ('customer_id', s.customer_id::text, c.customer_id::text),
            ('order_count', s.order_count::text, coalesce(t.order_count, 0)::text),
            ('spend_total', trim_scale(s.spend_total)::text, trim_scale(coalesce(t.spend_total, 0))::text),
            ('refunded_total', trim_scale(s.refunded_total)::text, trim_scale(coalesce(t.refunded_total, 0))::text),
            ('discount_total', trim_scale(s.discount_total)::text, trim_scale(coalesce(t.discount_total, 0))::text),
            ('cost_total', trim_scale(s.cost_total)::text, trim_scale(coalesce(t.cost_total, 0))::text),
            ('first_order_at', s.first_order_at::text, t.first_order_at::text),
            ('last_order_at', s.last_order_at::text, t.last_order_at::text),
            ('months', s.months::text, coalesce(t.months, '{}')::text)) v (column_name, stored, actual)
        WHERE v.stored IS DISTINCT FROM v.actual
          AND (s.customer_id IS NOT NULL OR v.column_name = 'customer_id')
        ORDER BY c.customer_id
    LOOP
        IF fix AND (cardinality(ids) = 0 OR ids[cardinality(ids)] <> recount_customers.customer_id) THEN
            ids := ids || recount_customers.customer_id;
        END IF;
        RETURN NEXT;
    END LOOP;
    -- Where purchase is partitioned, the numbers of its orders stand in a table of their own.
    IF crm.is_partitioned('purchase'::regclass) THEN
        FOR customer_id, column_name, stored, actual IN
            SELECT coalesce(p.customer_id, n.customer_id), 'purchase_number', format('%s/%s of %s', n.channel, n.order_no, n.customer_id),
                   format('%s/%s of %s', p.channel, p.order_no, p.customer_id)
            FROM purchase p FULL JOIN purchase_number n ON n.channel = p.channel AND n.order_no = p.order_no
            WHERE p.customer_id IS DISTINCT FROM n.customer_id
            ORDER BY 1, 4, 3
        LOOP
            stored := nullif(stored, '/ of ');
            actual := nullif(actual, '/ of ');
            RETURN NEXT;
        END LOOP;
        IF fix THEN
            DELETE FROM purchase_number n
            WHERE NOT EXISTS (SELECT FROM purchase p WHERE p.customer_id = n.customer_id AND p.channel = n.channel AND p.order_no = n.order_no);
            -- A number that two customers have stays with one of them, and is found again.
            INSERT INTO purchase_number (channel, order_no, customer_id)
                SELECT p.channel, p.order_no, p.customer_id FROM purchase p ORDER BY p.channel COLLATE "C", p.order_no COLLATE "C"
                ON CONFLICT DO NOTHING;
        END IF;
    END IF;
    FOREACH id IN ARRAY ids LOOP
        INSERT INTO customer_summary (customer_id) VALUES (id) ON CONFLICT DO NOTHING;
        -- Under the lock, a statement of its own sees what those before it in the queue have written.
        PERFORM FROM customer_summary s WHERE s.customer_id = id FOR NO KEY UPDATE;
        UPDATE customer_summary s
        SET order_count = coalesce(t.order_count, 0), spend_total = coalesce(t.spend_total, 0),
            refunded_total = coalesce(t.refunded_total, 0), discount_total = coalesce(t.discount_total, 0),
            cost_total = coalesce(t.cost_total, 0), first_order_at = t.first_order_at, last_order_at = t.last_order_at,
            months = coalesce(t.months, '{}')
        FROM (SELECT id AS customer_id) i LEFT JOIN purchase_total t ON t.customer_id = i.customer_id
        WHERE s.customer_id = id;
    END LOOP;
END
$$;
COMMENT ON FUNCTION recount_customers(boolean) IS
'counts all orders anew and gives a row for each column of customer_summary that differs, and for each order that purchase_number misses or misplaces: none when all is well. fix => true also repairs what differs';

CREATE FUNCTION health_orders() RETURNS TABLE (subject text, state text, detail text)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    percent real;
    lost bigint;
BEGIN
    IF NOT crm.is_partitioned('purchase'::regclass) THEN
        RETURN;
    END IF;
    -- Of about a thousand orders: recount_customers() asks all.
    SELECT least(100, 100000 / greatest(sum(c.reltuples), 1)) INTO percent FROM pg_partition_tree('purchase') t JOIN pg_catalog.pg_class c ON c.oid = t.relid WHERE t.isleaf;
    SELECT count(*) INTO lost FROM purchase p TABLESAMPLE SYSTEM (percent)
    WHERE NOT EXISTS (SELECT FROM purchase_number n WHERE n.channel = p.channel AND n.order_no = p.order_no AND n.customer_id = p.customer_id);
    RETURN QUERY SELECT 'order numbers', CASE WHEN lost = 0 THEN 'ok' ELSE 'attention' END,
        CASE WHEN lost = 0 THEN 'as in a sample of orders'
             ELSE format('%s orders of a sample are not in purchase_number: recount_customers(fix => true), as after any restore of data alone from a store without partitions', lost) END;
END
$$;
COMMENT ON FUNCTION health_orders() IS 'for crm.health, where purchase is partitioned: are the numbers of a sample of orders known?';
REVOKE EXECUTE ON FUNCTION health_orders() FROM PUBLIC;

-- What the columns without a word above are.
COMMENT ON COLUMN purchase.customer_id IS 'who bought';
COMMENT ON COLUMN purchase_item.customer_id IS 'who bought';
COMMENT ON COLUMN purchase_item.channel IS 'channel of the order';
COMMENT ON COLUMN purchase_item.order_no IS 'number of the order';
COMMENT ON COLUMN purchase_refund.customer_id IS 'who bought';
COMMENT ON COLUMN purchase_refund.channel IS 'channel of the order';
COMMENT ON COLUMN purchase_refund.order_no IS 'number of the order';
COMMENT ON COLUMN currency_rate.currency IS 'ISO 4217 code of the foreign currency';
COMMENT ON COLUMN currency_rate.day IS 'first day, in the store''s time zone, on which the rate holds';
COMMENT ON COLUMN currency_rate.rate IS 'units of the store''s currency for one unit of this one';
COMMENT ON COLUMN purchase_number.channel IS 'channel of the order';
COMMENT ON COLUMN purchase_number.order_no IS 'number of the order';
COMMENT ON COLUMN purchase_number.customer_id IS 'who bought';
