-- Orders in partitions are the same orders.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
SET client_min_messages = warning;
SELECT crm.create_store('t_whole');
SELECT crm.create_store('t_parts', partitions => 3);
SELECT relid::regclass, isleaf FROM unnest('{t_parts.purchase,t_parts.purchase_item,t_parts.purchase_refund,t_parts.order_agent}'::regclass[]) t, pg_partition_tree(t);
SELECT c.relname, c.relkind FROM pg_class c WHERE c.relname = 'purchase_number' ORDER BY c.relnamespace::regnamespace::text;
SELECT c.conrelid::regclass, pg_get_constraintdef(c.oid) FROM pg_constraint c WHERE c.conname IN ('purchase_order_no', 'purchase_number_pkey') ORDER BY 1::text, 2;
SELECT * FROM crm.store_findings('t_whole');
SELECT * FROM crm.store_findings('t_parts');
CREATE TABLE public.t_parts_sale (sn text PRIMARY KEY, buyer text, paid numeric, at timestamptz, state text, items jsonb);

-- The same work in both.
CREATE FUNCTION pg_temp.work(store text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    zero CONSTANT timestamptz := '2026-01-01 08:00+00';
BEGIN
    PERFORM set_config('search_path', store || ', crm', true);
    INSERT INTO tag (tag) VALUES ('spender'), ('frequent');
    INSERT INTO tag_rule (tag, rule) VALUES ('spender', 'spend_total >= 800'), ('frequent', 'order_count >= 5');
    INSERT INTO customer (customer_id, joined_at) SELECT i, zero - interval '1 year' FROM generate_series(1, 50) i;
    PERFORM setval('customer_customer_id_seq', 100);
    INSERT INTO purchase (customer_id, order_no, amount, discount, cost, status, paid_at, completed_at)
        SELECT 1 + i % 50, 'o' || i, 100 + i * 31 % 500, i % 3, 40, 'completed', t.at, t.at FROM generate_series(1, 200) i, LATERAL (SELECT zero - i * interval '3 days' AS at) t;
    INSERT INTO purchase_item (customer_id, channel, order_no, line, product, category, amount)
        SELECT p.customer_id, p.channel, p.order_no, l, 'p' || l, 'c' || l, p.amount / 2 FROM purchase p, generate_series(1, 2) l;
    UPDATE purchase SET status = 'cancelled' WHERE order_no IN ('o3', 'o77', 'o120');
    UPDATE purchase SET order_no = 'renamed ' || order_no WHERE order_no IN ('o4', 'o5');
    -- One by one: the orders of a statement are taken in the order in which it finds them, which partitions change.
    FOR i IN 10..12 LOOP
        UPDATE purchase SET customer_id = customer_id % 50 + 1 WHERE order_no = 'o' || i;
    END LOOP;
    INSERT INTO purchase_refund (customer_id, channel, order_no, refund_no, line, amount, at)
        SELECT p.customer_id, p.channel, p.order_no, 'r' || l, l, 20 + l, zero FROM purchase p, generate_series(1, 2) l WHERE p.order_no LIKE 'o1_';
    UPDATE purchase_refund SET amount = amount + 1 WHERE refund_no = 'r1';
    DELETE FROM purchase_refund WHERE order_no = 'o19' AND refund_no = 'r2';
    -- An order with refunds, lines and points moves.
    UPDATE purchase SET customer_id = 40 WHERE order_no = 'o15';
    DELETE FROM purchase WHERE order_no IN ('o20', 'o21');
    -- One at a time, and what has been taken already.
    FOR i IN 201..230 LOOP
        INSERT INTO purchase (customer_id, channel, order_no, amount, status, paid_at) VALUES (i % 7 + 1, 'app', 'o' || i, i, 'paid', zero + i * interval '1 hour')
            ON CONFLICT ON CONSTRAINT purchase_order_no DO UPDATE SET amount = EXCLUDED.amount;
        INSERT INTO purchase (customer_id, channel, order_no, amount, status, paid_at) VALUES (i % 7 + 1, 'app', 'o' || i, i + 1, 'paid', zero + i * interval '1 hour')
            ON CONFLICT ON CONSTRAINT purchase_order_no DO UPDATE SET amount = EXCLUDED.amount;
        UPDATE purchase SET status = 'shipped', shipped_at = paid_at + interval '1 hour' WHERE channel = 'app' AND order_no = 'o' || i AND i % 2 = 0;
    END LOOP;
    MERGE INTO purchase p USING (SELECT c, 'm' || c AS order_no FROM generate_series(1, 5) c UNION ALL SELECT 2, 'o201') m
        ON p.order_no = m.order_no AND p.channel IN ('mall', 'app')
        WHEN MATCHED THEN UPDATE SET amount = p.amount + 5
        WHEN NOT MATCHED THEN INSERT (customer_id, order_no, amount, paid_at) VALUES (m.c, m.order_no, 77, '2026-01-20+00');
    PERFORM merge_customers(1, 5, 'the same');
    PERFORM undo_merge((SELECT max(merge_id) FROM merge_log), 'no');
    PERFORM merge_customers(2, 6, 'the same');

    -- Captured, by files, by the application.
    INSERT INTO public.t_parts_sale SELECT 's' || i, 'b' || i % 6, 10 * i, zero + i * interval '1 day', 'paid', '[{"product": "x", "amount": 3}, {"product": "y", "amount": 4}]' FROM generate_series(1, 20) i;
    PERFORM crm.capture_orders(store, 'public.t_parts_sale', '{"order_no": "sn", "customer": "buyer", "amount": "paid", "paid_at": "at", "status": "state", "items": "items"}', earn_history => true);
    UPDATE public.t_parts_sale SET paid = paid + 1 WHERE sn IN ('s1', 's2', 's3');
    -- To another customer; with fewer lines; another number; gone.
    UPDATE public.t_parts_sale SET buyer = 'new' WHERE sn = 's4';
    UPDATE public.t_parts_sale SET buyer = 'b1' WHERE sn = 's5';
    UPDATE public.t_parts_sale SET paid = 500 WHERE sn = 's5';
    UPDATE public.t_parts_sale SET items = '[{"product": "z", "amount": 9}]' WHERE sn = 's6';
    UPDATE public.t_parts_sale SET sn = 's7b' WHERE sn = 's7';
    DELETE FROM public.t_parts_sale WHERE sn = 's9';
    PERFORM crm.release_orders(store, 'public.t_parts_sale');
    TRUNCATE public.t_parts_sale;
    CREATE TEMP TABLE t_file (customer text, order_no text, ordered_at text, amount text) ON COMMIT DROP;
    INSERT INTO t_file VALUES ('u1', 'f1', '2026-01-05', '30'), ('u2', 'f2', '2026-01-06', '40'), ('u2', 'o30', '2026-01-07', '50');
    CREATE TEMP TABLE IF NOT EXISTS t_found (store text, line bigint, reason text);
    INSERT INTO t_found SELECT store, i.* FROM import_orders('t_file', bad_rows => 'skip') i;
    DROP TABLE t_file;
    CREATE TEMP TABLE IF NOT EXISTS t_imported (store text, line bigint, action text, changed text[], reason text);
    INSERT INTO t_imported SELECT store, i.line, i.action, i.changed, i.reason FROM import_file('taobao_orders', E'订单编号,买家会员名,买家应付货款,买家实际支付金额,订单状态,订单创建时间,订单付款时间\nt1,甲,10,10,交易成功,2026-01-02 10:00,2026-01-02 10:01\nt2,乙,20,20,等待买家付款,2026-01-02 11:00,\n', apply => true) i;
    INSERT INTO t_imported SELECT store, i.line, i.action, i.changed, i.reason FROM import_file('taobao_orders', E'订单编号,买家会员名,买家应付货款,买家实际支付金额,订单状态,订单创建时间,订单付款时间\nt1,甲,10,10,交易成功,2026-01-02 10:00,2026-01-02 10:01\nt2,乙,20,20,交易成功,2026-01-02 11:00,2026-01-02 12:00\n', apply => true) i;
    PERFORM erase_customer(9, 'asked', zero + interval '40 days');
END
$$;
CREATE FUNCTION pg_temp.differ(of_table text, leave text[] DEFAULT '{}') RETURNS TABLE (relation text, whole bigint, parts bigint, missing bigint, more bigint) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('WITH w AS (SELECT to_jsonb(x) - $1 AS j FROM t_whole.%1$I x), p AS (SELECT to_jsonb(x) - $1 AS j FROM t_parts.%1$I x)
        SELECT %1$L, (SELECT count(*) FROM w), (SELECT count(*) FROM p), (SELECT count(*) FROM (SELECT j FROM w EXCEPT ALL SELECT j FROM p) d), (SELECT count(*) FROM (SELECT j FROM p EXCEPT ALL SELECT j FROM w) d)', of_table) USING leave;
END
$$;
SELECT t_whole.install_preset('textbook');
SELECT t_parts.install_preset('textbook');
BEGIN;
SELECT pg_temp.work('t_whole');
SELECT pg_temp.work('t_parts');
-- How many there are depends on the day of the test, as tiers are judged up to now.
SELECT d.relation, d.whole > 0 AS some, d.missing, d.more FROM unnest('{customer,customer_summary,purchase,purchase_item,purchase_refund,purchase_number,points_account,points_entry,tier_member,tier_change,identity,customer_360,purchase_total}'::text[]) r,
    pg_temp.differ(r, CASE r WHEN 'tier_change' THEN '{booked_at,before}'::text[] ELSE '{}' END) d;
SELECT count(*) AS differ FROM (SELECT line, reason FROM t_found WHERE store = 't_whole' EXCEPT SELECT line, reason FROM t_found WHERE store = 't_parts') d;
SELECT line, reason FROM t_found WHERE store = 't_parts';
SELECT count(*) AS differ FROM (SELECT line, action, changed, reason FROM t_imported WHERE store = 't_whole' EXCEPT SELECT line, action, changed, reason FROM t_imported WHERE store = 't_parts') d;
SELECT line, action, changed, reason FROM t_imported WHERE store = 't_parts';
COMMIT;
SET search_path = t_parts, crm;
SELECT * FROM recount_customers();
SELECT count(*) FROM points_verify();
SELECT count(DISTINCT tableoid) FROM purchase;
SELECT * FROM check_privacy();

-- A number is one order's, whoever has it.
INSERT INTO purchase (customer_id, order_no, amount) VALUES (7, 'o30', 1);
INSERT INTO purchase (customer_id, order_no, amount) VALUES (7, 'twice', 1), (8, 'twice', 1);
UPDATE purchase SET order_no = 'o31' WHERE order_no = 'o30';
INSERT INTO purchase (customer_id, channel, order_no, amount) VALUES (7, 'other', 'o30', 1);
INSERT INTO purchase (customer_id, order_no, amount) VALUES (7, 'o30', 1) ON CONFLICT ON CONSTRAINT purchase_order_no DO NOTHING;
INSERT INTO purchase (customer_id, order_no, amount) VALUES (7, 'o30', 1) ON CONFLICT (channel, order_no) DO NOTHING;
BEGIN;
DELETE FROM purchase WHERE order_no = 'o30';
INSERT INTO purchase (customer_id, order_no, amount) VALUES (7, 'o30', 1);
SELECT customer_id FROM purchase_number WHERE (channel, order_no) = ('mall', 'o30');
SAVEPOINT a;
DELETE FROM purchase WHERE order_no = 'o30';
ROLLBACK TO a;
SELECT customer_id FROM purchase_number WHERE (channel, order_no) = ('mall', 'o30');
ROLLBACK;
-- Customers change numbers within one statement.
SELECT order_no, customer_id FROM purchase_number WHERE order_no IN ('o40', 'o49') ORDER BY 1;
UPDATE purchase SET customer_id = 91 - customer_id WHERE order_no IN ('o40', 'o49');
SELECT order_no, customer_id FROM purchase_number WHERE order_no IN ('o40', 'o49') ORDER BY 1;
UPDATE purchase SET order_no = CASE order_no WHEN 'o40' THEN 'o49' ELSE 'o40' END WHERE order_no IN ('o40', 'o49') AND channel = 'mall';
SELECT order_no, customer_id FROM purchase_number WHERE order_no IN ('o40', 'o49') ORDER BY 1;
COPY purchase (customer_id, order_no, amount) FROM stdin;
3	k2	10
9	k1	20
\.
COPY purchase (customer_id, order_no, amount) FROM stdin;
3	k3	10
9	o31	20
\.
SELECT * FROM purchase_number WHERE order_no LIKE 'k%' ORDER BY 2;

-- A statement that names a partition is one on the whole.
DO $$
DECLARE
    leaf regclass := (SELECT tableoid FROM purchase WHERE customer_id = 12 LIMIT 1);
BEGIN
    EXECUTE format('INSERT INTO %s (customer_id, order_no, amount, paid_at) VALUES (12, ''direct'', 100, now())', leaf);
    RAISE INFO '%', (SELECT customer_id FROM purchase_number WHERE order_no = 'direct');
    EXECUTE format('UPDATE %s SET order_no = ''direct 2'' WHERE order_no = ''direct''', leaf);
    RAISE INFO '%', (SELECT (order_no, customer_id) FROM purchase_number WHERE order_no LIKE 'direct%');
    EXECUTE format('INSERT INTO %s (customer_id, channel, order_no, refund_no, amount) VALUES (12, ''mall'', ''direct 2'', ''r'', 5)', replace(leaf::text, 'purchase', 'purchase_refund'));
    RAISE INFO '%', (SELECT refunded FROM purchase WHERE order_no = 'direct 2');
END
$$;
SELECT * FROM recount_customers();

-- A captured order goes to another customer and changes at once: it moves first, and has one entry of points more for that.
INSERT INTO public.t_parts_sale VALUES ('c1', 'b1', 100, '2026-02-01+00', 'paid'), ('c2', 'b2', 100, '2026-02-01+00', 'paid');
SELECT crm.capture_orders('t_parts', 'public.t_parts_sale', '{"order_no": "sn", "customer": "buyer", "amount": "paid", "paid_at": "at", "status": "state"}', earn_history => true);
UPDATE public.t_parts_sale SET buyer = 'b3', paid = paid + 50;
SELECT order_no, (SELECT i.external_id FROM identity i WHERE i.customer_id = p.customer_id) AS buyer, amount FROM purchase p WHERE order_no LIKE 'c_' ORDER BY 1;
SELECT kind, count(*) FROM points_entry WHERE reference ~ '^mall/c[12]' GROUP BY 1 ORDER BY 1;
DELETE FROM public.t_parts_sale WHERE sn = 'c1';
-- The feed of changes and messages about orders speak of the whole, whichever partition a statement names.
SELECT watch_changes('{purchase}'), tell_orders();
SELECT * FROM watched_table;
SELECT count(*) AS triggers FROM pg_trigger WHERE tgname ~ '^(change_feed|order_told)' AND tgrelid::regclass::text LIKE 'purchase%';
DELETE FROM purchase WHERE order_no = 'direct 2';
DO $$ BEGIN EXECUTE format('UPDATE %s SET amount = amount + 1 WHERE order_no = ''o31''', (SELECT tableoid::regclass FROM purchase WHERE order_no = 'o31')); END $$;
SELECT table_name, op, key, changed FROM change_event ORDER BY event_id;
SELECT unwatch_changes('{purchase}'), tell_orders(false);
SELECT count(*) AS triggers FROM pg_trigger WHERE tgname ~ '^(change_feed|order_told)' AND tgrelid::regclass::text LIKE 'purchase%';
-- Old orders are removed partition by partition.
INSERT INTO retention_rule (rule, action, table_name, time_column, keep, active) VALUES ('orders', 'delete', 'purchase', 'ordered_at', '10 years', true);
UPDATE purchase SET ordered_at = ordered_at - interval '20 years' WHERE customer_id BETWEEN 20 AND 30;
CALL apply_retention(batch => 7);
SELECT count(*) FROM purchase WHERE customer_id BETWEEN 20 AND 30;
SELECT * FROM recount_customers();

-- A partition of one's own: with its columns in another order it is refused; what is missing on it is found.
SELECT crm.create_store('t_one', partitions => 1);
SET search_path = t_one, crm;
INSERT INTO customer (customer_id) VALUES (1);
ALTER TABLE purchase DETACH PARTITION purchase_0;
CREATE TABLE other (LIKE purchase INCLUDING GENERATED INCLUDING CONSTRAINTS INCLUDING DEFAULTS);
ALTER TABLE other DROP COLUMN channel, DROP CONSTRAINT IF EXISTS purchase_order;
ALTER TABLE other ADD channel text NOT NULL DEFAULT 'mall';
ALTER TABLE other ADD CONSTRAINT purchase_order CHECK (purchase_check(order_no, status, amount, refunded, freight, discount, cost, ordered_at, paid_at, completed_at, currency, currency_rate));
ALTER TABLE purchase ATTACH PARTITION other FOR VALUES WITH (MODULUS 1, REMAINDER 0);
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (1, 'y', 20, '2026-01-02+00');
ALTER TABLE purchase DETACH PARTITION other;
CREATE TABLE attached (LIKE purchase INCLUDING ALL);
ALTER TABLE purchase ATTACH PARTITION attached FOR VALUES WITH (MODULUS 1, REMAINDER 0);
SELECT finding, object, hint FROM crm.store_findings('t_one');
SELECT crm.partition_triggers('purchase');
SELECT finding, object FROM crm.store_findings('t_one');
INSERT INTO attached (customer_id, order_no, amount, paid_at) VALUES (1, 'x', 10, '2026-01-01+00');
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (1, 'y', 20, '2026-01-02+00');
UPDATE attached SET amount = amount + 1, order_no = order_no || '1';
DELETE FROM attached WHERE order_no = 'y1';
SELECT * FROM purchase_number;
SELECT order_count, spend_total FROM customer_summary;
SELECT * FROM recount_customers();
-- What is lost behind the triggers' back is found, and made good.
SET session_replication_role = replica;
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (1, 'z', 5, '2026-01-03+00');
UPDATE purchase SET order_no = 'x2' WHERE order_no = 'x1';
RESET session_replication_role;
SELECT * FROM recount_customers();
SELECT subject, state, detail FROM crm.health('t_one') WHERE subject = 'order numbers';
SELECT count(*) FROM recount_customers(fix => true);
SELECT * FROM recount_customers();
SELECT subject, state, detail FROM crm.health('t_one') WHERE subject = 'order numbers';
TRUNCATE purchase CASCADE;
TRUNCATE attached CASCADE;
-- Triggers of its own would not fire, and without its key nothing would keep numbers unique.
CREATE FUNCTION t_one.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER own BEFORE INSERT ON purchase_number FOR EACH ROW EXECUTE FUNCTION t_one.nothing();
DELETE FROM purchase WHERE order_no = 'z';
DROP TRIGGER own ON purchase_number;
ALTER TABLE purchase_number DROP CONSTRAINT purchase_number_pkey;
DELETE FROM purchase WHERE order_no = 'z';
DROP TABLE purchase_number;
DELETE FROM purchase WHERE order_no = 'z';
SET search_path = public;
SELECT crm.rename_store('t_parts', 't_named');
INSERT INTO t_named.purchase (customer_id, order_no, amount) VALUES (7, 'o31', 1);
INSERT INTO t_named.purchase (customer_id, order_no, amount) VALUES (7, 'renamed', 1);
SELECT * FROM t_named.purchase_number WHERE order_no = 'renamed';
SELECT * FROM crm.adopt_store('t_named');
SELECT crm.upgrade_store('t_named') ~ '^store t_named is at';
SELECT crm.distribute_store('t_named');
SELECT crm.drop_store('t_whole', confirm => 't_whole'), crm.drop_store('t_named', confirm => 't_named'), crm.drop_store('t_one', confirm => 't_one');
DROP TABLE t_parts_sale, t_found, t_imported;
