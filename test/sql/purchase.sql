-- Orders and the summaries they keep.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'Asia/Shanghai';
SELECT crm.create_store('t_purchase');
SET search_path = t_purchase, crm;
INSERT INTO customer DEFAULT VALUES;
INSERT INTO customer SELECT FROM generate_series(1, 4);
SELECT count(*) FROM customer_summary;

CREATE FUNCTION pg_temp.show() RETURNS TABLE (c bigint, n bigint, spend numeric, refunded numeric, discount numeric, cost numeric, first timestamptz, last timestamptz, months crm.purchase_months)
LANGUAGE sql SET search_path = t_purchase
AS 'SELECT customer_id, order_count, trim_scale(spend_total), trim_scale(refunded_total), trim_scale(discount_total), trim_scale(cost_total), first_order_at, last_order_at, months FROM customer_summary WHERE order_count <> 0 OR spend_total <> 0 OR refunded_total <> 0 OR first_order_at IS NOT NULL ORDER BY 1';

-- What counts: paid, shipped and completed orders, at paid_at or else ordered_at.
INSERT INTO purchase (customer_id, order_no, status, amount, discount, cost, freight, ordered_at, paid_at) VALUES
    (1, 'A1', 'paid', 100, 5, 60, 12, '2026-01-31 23:00', '2026-02-01 00:30'),
    (1, 'A2', 'pending', 10, 1, 1, 0, '2026-01-15', NULL),
    (1, 'A3', 'cancelled', 10, 1, 1, 0, '2026-01-15', '2026-01-15'),
    (2, 'A4', 'shipped', 50.25, 0, NULL, 0, '2026-03-01', NULL),
    (3, 'A5', 'completed', 0, 0, NULL, 0, '2026-03-01', '2026-03-02'),
    (3, 'A6', 'refunded', 80, 0, 30, 0, '2026-03-01', '2026-03-02');
SELECT * FROM pg_temp.show();
-- A partial refund lowers the spend, a full one takes the order out.
INSERT INTO purchase_refund (customer_id, channel, order_no, refund_no, amount) VALUES (1, 'mall', 'A1', 'r1', 30), (2, 'mall', 'A4', 'r1', 0.25);
SELECT * FROM pg_temp.show();
UPDATE purchase_refund SET amount = 100 WHERE order_no = 'A1';
SELECT * FROM pg_temp.show();
DELETE FROM purchase_refund WHERE order_no = 'A1';
SELECT * FROM pg_temp.show();
-- An order that comes late, one that moves, a paid_at that changes, a first that goes.
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (1, 'A7', 1, '2025-12-31');
UPDATE purchase SET paid_at = '2025-11-30' WHERE order_no = 'A7';
UPDATE purchase SET customer_id = 2 WHERE order_no = 'A7';
SELECT * FROM pg_temp.show();
DELETE FROM purchase WHERE order_no = 'A7';
UPDATE purchase SET customer_id = 4 WHERE order_no = 'A4';
SELECT * FROM pg_temp.show();
SELECT order_no, customer_id, refunded FROM purchase_refund JOIN purchase USING (customer_id, channel, order_no);
-- ON CONFLICT DO UPDATE and MERGE.
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (1, 'A1', 7, '2026-02-02'), (5, 'B1', 9, '2026-02-02')
ON CONFLICT (channel, order_no) DO UPDATE SET amount = EXCLUDED.amount, paid_at = EXCLUDED.paid_at, customer_id = EXCLUDED.customer_id;
MERGE INTO purchase p USING (VALUES (1, 'A1', 8), (2, 'B2', 3), (5, 'B1', 0)) v (customer_id, order_no, amount) ON p.order_no = v.order_no
WHEN MATCHED AND v.amount = 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET amount = v.amount
WHEN NOT MATCHED THEN INSERT (customer_id, order_no, amount, paid_at) VALUES (v.customer_id, v.order_no, v.amount, '2026-04-01');
WITH gone AS (DELETE FROM purchase WHERE order_no = 'B2' RETURNING *), fresh AS (UPDATE purchase SET amount = 2 WHERE order_no = 'A4')
INSERT INTO purchase (customer_id, order_no, amount, paid_at) SELECT 5, 'B3', 3, '2026-05-01';
SELECT * FROM pg_temp.show();
SELECT * FROM recount_customers();

-- Errors: each names the order, and nothing is left behind.
INSERT INTO purchase (customer_id, order_no, amount) VALUES (1, 'E1', 1), (1, 'E2', -1);
INSERT INTO purchase (customer_id, order_no, amount, status) VALUES (1, 'E1', 1, '已付款');
INSERT INTO purchase (customer_id, order_no, amount, cost) VALUES (1, 'E1', 1, -2);
INSERT INTO purchase (customer_id, order_no, amount, refunded) VALUES (1, 'E1', 1, 2);
INSERT INTO purchase_refund (customer_id, channel, order_no, refund_no, amount) VALUES (1, 'mall', 'A1', 'r1', 5), (1, 'mall', 'A1', 'r2', 4);
UPDATE purchase SET amount = 1 WHERE order_no = 'A4';
UPDATE purchase SET refunded = 3 WHERE order_no = 'A4';
INSERT INTO purchase (customer_id, order_no, amount) VALUES (99, 'E1', 1);
INSERT INTO purchase (customer_id, order_no, amount, ordered_at, paid_at) VALUES (1, 'E1', 1, '2026-01-01', 'infinity');
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (1, 'E1', 1, '20000-01-01');
SET client_min_messages = warning;
TRUNCATE purchase CASCADE;
RESET client_min_messages;
TRUNCATE purchase_refund;
-- Another currency needs a rate of its day.
INSERT INTO purchase (customer_id, order_no, amount, currency) VALUES (1, 'U1', 10, 'CNY'), (1, 'U2', 10, 'USD');
SELECT set_currency_rate('USD', '2026-01-01', 7), set_currency_rate('USD', '2026-06-01', 6.5);
INSERT INTO purchase (customer_id, order_no, amount, cost, currency, paid_at) VALUES
    (5, 'U1', 10, NULL, 'CNY', '2026-05-02'), (5, 'U2', 10.01, 2, 'USD', '2026-05-31 23:59'), (5, 'U3', 10, 0, 'USD', '2026-06-01 00:00');
INSERT INTO purchase (customer_id, order_no, amount, currency, paid_at) VALUES (5, 'U4', 10, 'USD', '2025-12-31 23:59');
INSERT INTO purchase (customer_id, order_no, amount, currency, paid_at) VALUES (5, 'U5', 10, 'EUR', '2026-06-01');
SELECT order_no, amount, cost, currency, currency_rate FROM purchase WHERE order_no LIKE 'U%' ORDER BY 1;
SELECT * FROM recount_customers();

-- Thousands of random statements of all kinds; a recount finds nothing.
SELECT setseed(0.42);
INSERT INTO customer SELECT FROM generate_series(1, 45);
DO $$
DECLARE
    n integer := 0;
BEGIN
    FOR i IN 1..800 LOOP
        CASE floor(random() * 8)
        WHEN 0, 1 THEN
            INSERT INTO purchase (customer_id, channel, order_no, status, amount, refunded, discount, cost, ordered_at, paid_at)
            SELECT 1 + floor(random() * 50), 'r', n + g, (ARRAY['pending','paid','shipped','completed','cancelled','refunded'])[1 + floor(random() * 6)],
                   a, round((random() * a)::numeric, 4), round((random() * 9)::numeric, 2), CASE WHEN random() < 0.5 THEN round((random() * a)::numeric, 4) END,
                   '2024-01-01'::timestamptz + random() * interval '900 days', CASE WHEN random() < 0.5 THEN '2024-01-01'::timestamptz + random() * interval '900 days' END
            FROM (SELECT g, round((random() * 100)::numeric, 4) AS a FROM generate_series(1, (random() * 10)::int) g) v;
            n := n + 10;
        WHEN 2 THEN
            UPDATE purchase SET status = (ARRAY['pending','paid','shipped','completed','cancelled','refunded'])[1 + floor(random() * 6)]
            WHERE channel = 'r' AND customer_id = 1 + floor(random() * 50);
        WHEN 3 THEN
            UPDATE purchase SET customer_id = 1 + floor(random() * 50) WHERE channel = 'r' AND random() < 0.02;
        WHEN 4 THEN
            UPDATE purchase SET paid_at = '2024-01-01'::timestamptz + random() * interval '900 days' WHERE channel = 'r' AND random() < 0.02;
        WHEN 5 THEN
            DELETE FROM purchase WHERE channel = 'r' AND random() < 0.02;
        WHEN 6 THEN
            INSERT INTO purchase_refund (customer_id, channel, order_no, refund_no, amount)
            SELECT customer_id, channel, order_no, 'x' || i, round((random()::numeric * (amount - refunded)), 4)
            FROM purchase WHERE channel = 'r' AND amount - refunded > 1 AND random() < 0.05 AND random() > 0
            ON CONFLICT DO NOTHING;
        ELSE
            INSERT INTO purchase (customer_id, channel, order_no, amount)
            SELECT customer_id, channel, order_no, amount FROM purchase WHERE channel = 'r' AND random() < 0.02
            ON CONFLICT (channel, order_no) DO UPDATE SET amount = purchase.amount + 1, paid_at = now() - random() * interval '300 days';
        END CASE;
    END LOOP;
EXCEPTION WHEN check_violation THEN
    RAISE EXCEPTION 'unexpected: %', SQLERRM;
END
$$;
SELECT count(*) > 100 AS orders FROM purchase WHERE order_at IS NOT NULL;
SELECT count(*) > 0 AS refunds FROM purchase_refund;
SELECT * FROM recount_customers();
-- The window equals a plain count at many moments.
SELECT count(*), count(*) FILTER (WHERE w.orders > 0) > 100 AS some, count(*) FILTER (WHERE (w.orders, w.spend) IS DISTINCT FROM (n, s)) AS wrong
FROM (VALUES (12), (1), (3), (24)) k (months), generate_series(1, 15) g,
     LATERAL (SELECT '2024-06-01 00:00'::timestamptz + g * interval '47 days 5 hours 3 minutes' AS as_of) t,
     LATERAL summary_window(t.as_of, k.months) w,
     LATERAL (SELECT count(*) AS n, coalesce(sum(p.net), 0) AS s FROM purchase p
              WHERE p.customer_id = w.customer_id AND p.order_at <= t.as_of AND p.order_at > t.as_of - make_interval(months => k.months)) x;
-- Its edges: (as_of - months, as_of].
SELECT count(*), count(*) FILTER (WHERE (w.orders, w.spend) IS DISTINCT FROM (n, s)) AS wrong
FROM (SELECT order_at + make_interval(months => m) AS as_of FROM purchase, (VALUES (0), (12)) v (m) WHERE channel = 'r' AND customer_id < 3 AND order_at IS NOT NULL) t,
     LATERAL summary_window(t.as_of) w,
     LATERAL (SELECT count(*) AS n, coalesce(sum(p.net), 0) AS s FROM purchase p
              WHERE p.customer_id = w.customer_id AND p.order_at <= t.as_of AND p.order_at > t.as_of - interval '12 months') x
HAVING count(*) FILTER (WHERE (w.orders, w.spend) IS DISTINCT FROM (n, s)) > 0 OR count(*) = 0;
-- What a recount finds, and repairs.
UPDATE customer_summary SET order_count = 99, months = '{}' WHERE customer_id = 3;
ALTER TABLE purchase DISABLE TRIGGER USER;
DELETE FROM purchase WHERE customer_id = 4 AND channel = 'mall';
ALTER TABLE purchase ENABLE TRIGGER USER;
SELECT customer_id, column_name FROM recount_customers(fix => true);
SELECT * FROM recount_customers();
-- It finds exactly what a plain comparison does, among few customers and among thousands, and what no orders could make.
BEGIN;
CREATE VIEW differs AS
SELECT c.customer_id FROM customer c LEFT JOIN customer_summary s USING (customer_id) LEFT JOIN purchase_total t USING (customer_id)
WHERE (s.customer_id, s.order_count, s.spend_total, s.refunded_total, s.discount_total, s.cost_total, s.first_order_at, s.last_order_at, s.months)
      IS DISTINCT FROM
      (c.customer_id, coalesce(t.order_count, 0), coalesce(t.spend_total, 0), coalesce(t.refunded_total, 0), coalesce(t.discount_total, 0),
       coalesce(t.cost_total, 0), t.first_order_at, t.last_order_at, coalesce(t.months, '{}'));
CREATE VIEW compared AS
SELECT count(d.customer_id) AS plain, count(r.id) AS found, count(*) FILTER (WHERE d.customer_id = r.id) AS both
FROM differs d FULL JOIN crm.customers_to_recount('customer', 'customer_summary', 'purchase') r (id) ON r.id = d.customer_id;
SELECT * FROM compared;
SET LOCAL session_replication_role = replica;
UPDATE customer_summary SET order_count = order_count + 1 WHERE customer_id = 1;
UPDATE customer_summary SET spend_total = 'NaN' WHERE customer_id = 2;
UPDATE customer_summary SET spend_total = spend_total + 0.00001 WHERE customer_id = 3;
UPDATE customer_summary SET refunded_total = refunded_total + 1 WHERE customer_id = 5;
UPDATE customer_summary SET discount_total = -1 WHERE customer_id = 6;
UPDATE customer_summary SET cost_total = 1e20 WHERE customer_id = 7;
UPDATE customer_summary SET first_order_at = 'infinity' WHERE customer_id IN (8, 50);
UPDATE customer_summary SET last_order_at = '-infinity' WHERE customer_id = 9;
UPDATE customer_summary SET last_order_at = last_order_at - interval '1 microsecond' WHERE customer_id = 10;
UPDATE customer_summary SET first_order_at = NULL WHERE customer_id = 11;
UPDATE customer_summary SET months = months + purchase_months('2025-01-01', 1) WHERE customer_id = 12;
DELETE FROM customer_summary WHERE customer_id = 13;
DELETE FROM purchase WHERE customer_id = 14;
UPDATE purchase SET status = 'cancelled' WHERE customer_id = 15;
SELECT * FROM compared;
SELECT customer_id, column_name FROM recount_customers() WHERE customer_id IN (2, 8, 13, 50);
SET LOCAL session_replication_role = origin;
INSERT INTO customer (customer_id) SELECT generate_series(100000, 120000);
INSERT INTO purchase (customer_id, channel, order_no, amount, discount, paid_at)
    SELECT 100000 + k % 9000, 'many', k, k % 97, k % 7, timestamptz '2025-01-01' + k * interval '1 hour' FROM generate_series(1, 15000) k;
UPDATE customer_summary SET spend_total = spend_total + 1 WHERE customer_id % 1000 = 0 AND customer_id >= 100000;
SELECT * FROM compared;
SELECT count(*) FROM recount_customers(fix => true);
SELECT * FROM compared;
ROLLBACK;

-- An application needs no right on the summary.
CREATE ROLE crm_t_purchase_app;
SELECT crm.grant_access('t_purchase', 'crm_t_purchase_app', 'app');
SET ROLE crm_t_purchase_app;
INSERT INTO customer DEFAULT VALUES RETURNING customer_id;
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (51, 'app', 5, '2026-05-05');
UPDATE purchase SET status = 'completed' WHERE order_no = 'app';
SELECT order_count, spend_total FROM customer_summary WHERE customer_id = 51;
UPDATE customer_summary SET spend_total = 1000000;
SELECT find_or_create_customer('mall', 'bob', phone => '13800138000') = find_or_create_customer('mall', 'bob') AS same;
SELECT phone FROM contact;
RESET ROLE;
SELECT * FROM recount_customers();
-- A customer without orders can go.
DELETE FROM customer WHERE customer_id = 50 AND NOT EXISTS (SELECT FROM purchase WHERE customer_id = 50);
DELETE FROM customer WHERE customer_id = 51;
SET client_min_messages = warning;
DROP OWNED BY crm_t_purchase_app;
DROP ROLE crm_t_purchase_app;
RESET search_path;
SELECT crm.drop_store('t_purchase', 't_purchase');
