-- Orders that follow a table of the application's own.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'Asia/Shanghai';
SELECT crm.create_store('t_capture');
CREATE SCHEMA t_capture_app;
CREATE TYPE t_capture_app.way AS ENUM ('app', 'web');
CREATE TABLE t_capture_app.orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    buyer text, sn varchar(40) UNIQUE, paid_fen integer, refund_fen integer DEFAULT 0, paid timestamp, st text,
    receiver text, mobile text, lines jsonb, made bigint, way t_capture_app.way, stock integer
);
INSERT INTO t_capture_app.orders (buyer, sn, paid_fen, refund_fen, paid, st, receiver, mobile, lines, made) VALUES
    ('zhang', 'S1', 19950, 0, '2026-01-05 10:00', '交易成功', '张三', '13800138000', '[{"sku":"tea","qty":2,"price":9975}]', 1767578400),
    ('li', 'S2', 5000, 5000, '2026-01-06 10:00', '已付款', '李四', NULL, NULL, 1767664800),
    ('zhang', 'S3', 700, 0, NULL, '交易关闭', '张三', NULL, NULL, 1767751200);

-- The example of the manual, and what was there before.
SELECT crm.capture_orders('t_capture', 't_capture_app.orders', '{"customer":"buyer", "order_no":"sn", "amount":{"column":"paid_fen","scale":0.01}, "refunded":{"column":"refund_fen","scale":0.01}, "paid_at":"paid", "status":{"column":"st","map":{"已付款":"paid","交易成功":"completed","交易关闭":"cancelled"}}, "channel":{"value":"mall"}, "ordered_at":"made", "name":"receiver", "phone":"mobile", "items":{"column":"lines","product":"sku","quantity":"qty","amount":"price","scale":0.01}}');
SELECT order_no, channel, status, history, amount, refunded, ordered_at, paid_at FROM t_capture.purchase ORDER BY 1;
SELECT external_id, order_count, spend_total, refunded_total, name, phone FROM t_capture.identity JOIN t_capture.customer_summary USING (customer_id) LEFT JOIN t_capture.contact USING (customer_id) ORDER BY 1;
SELECT order_no, line, product, quantity, amount FROM t_capture.purchase_item;
SELECT relid, per_row FROM t_capture.order_source;

-- Inserts, updates, a new number, a new buyer, deletes.
INSERT INTO t_capture_app.orders (buyer, sn, paid_fen, paid, st, receiver, mobile, made) VALUES ('wang', 'S4', 100, '2026-02-01', '已付款', NULL, '13900139000', 1769875200);
UPDATE t_capture_app.orders SET st = '交易成功', refund_fen = 50 WHERE sn = 'S4';
UPDATE t_capture_app.orders SET sn = 'S4b' WHERE sn = 'S4';
UPDATE t_capture_app.orders SET buyer = 'li' WHERE sn = 'S4b';
UPDATE t_capture_app.orders SET lines = '[{"sku":"tea","qty":1,"price":9900},{"sku":"pot","price":10050}]', receiver = '张三丰', mobile = NULL WHERE sn = 'S1';
DELETE FROM t_capture_app.orders WHERE sn = 'S2';
INSERT INTO t_capture_app.orders (buyer, sn, paid_fen, paid, st) VALUES ('li', 'S1', 1, '2026-03-01', '已付款'), ('new', 'S9', 5, '2026-03-02', '已付款')
ON CONFLICT (sn) DO UPDATE SET paid_fen = orders.paid_fen + 1;
SELECT order_no, external_id, p.status, history, amount, refunded, ordered_at FROM t_capture.purchase p JOIN t_capture.identity i USING (customer_id) ORDER BY 1;
SELECT order_no, line, product, quantity, amount FROM t_capture.purchase_item ORDER BY 1, 2;
SELECT external_id, name, phone FROM t_capture.identity JOIN t_capture.contact USING (customer_id) ORDER BY 1;
SELECT * FROM t_capture.recount_customers();
-- What staff wrote stays while nothing new is said, and an update that touches nothing mapped writes nothing.
UPDATE t_capture.contact SET phone = '13111111111' WHERE name = '张三丰';
SELECT xmin AS before FROM t_capture.purchase WHERE order_no = 'S1' \gset
UPDATE t_capture_app.orders SET stock = 1;
UPDATE t_capture_app.orders SET refund_fen = 1 WHERE sn = 'S1' AND refund_fen = 1;
SELECT phone, p.xmin = :'before' AS untouched FROM t_capture.purchase p JOIN t_capture.contact USING (customer_id) WHERE order_no = 'S1';

-- Errors name what is wrong, and nothing is left behind.
INSERT INTO t_capture_app.orders (buyer, sn, paid_fen, st) VALUES ('li', 'E1', 1, '已付款'), ('li', 'E2', 1, '奇怪');
INSERT INTO t_capture_app.orders (buyer, sn, paid_fen, st) VALUES (NULL, 'E1', 1, '已付款');
INSERT INTO t_capture_app.orders (buyer, sn, paid_fen, st) VALUES ('li', 'E1', NULL, '已付款');
INSERT INTO t_capture_app.orders (buyer, sn, paid_fen, st) VALUES ('li', 'E1', -1, '已付款');
UPDATE t_capture_app.orders SET refund_fen = paid_fen + 1 WHERE sn = 'S1';
TRUNCATE t_capture_app.orders;
SELECT crm.capture_orders('t_capture', 't_capture_app.orders', '{"customer":"buyer","order_no":"sn","amount":"paid_fen"}');
SELECT count(*) FROM t_capture_app.orders;
SELECT crm.release_orders('t_capture', 't_capture_app.orders');
SELECT crm.release_orders('t_capture', 't_capture_app.orders');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 't_capture_app.orders'::regclass AND NOT tgisinternal;
SELECT crm.capture_orders('t_nowhere', 't_capture_app.orders', '{}');
SELECT crm.capture_orders('t_capture', 't_capture_app.orders', '[]');
SELECT crm.capture_orders('t_capture', 't_capture_app.orders', '{"customer":"buyer","order_no":"sn"}');
SELECT crm.capture_orders('t_capture', 't_capture_app.orders', '{"customer":"buyer","order_no":"sn","amount":"paid_yuan"}');
SELECT crm.capture_orders('t_capture', 't_capture_app.orders', '{"customer":"buyer","order_no":"sn","amount":"st"}');
SELECT crm.capture_orders('t_capture', 't_capture_app.orders', '{"customer":"buyer","order_no":"sn","amount":"paid_fen","paid_at":"st"}');
SELECT crm.capture_orders('t_capture', 't_capture_app.orders', '{"customer":"lines","order_no":"sn","amount":"paid_fen"}');
SELECT crm.capture_orders('t_capture', 't_capture_app.orders', '{"customer":"buyer","order_no":"sn","amount":"paid_fen","items":"st"}');
SELECT crm.capture_orders('t_capture', 't_capture_app.orders', '{"customer":"buyer","order_no":"sn","amount":"paid_fen","colour":"st"}');
SELECT crm.capture_orders('t_capture', 't_capture_app.orders', '{"customer":"buyer","order_no":"sn","amount":{"column":"paid_fen","scale":"1; DROP"}}');
SELECT crm.capture_orders('t_capture', 't_capture_app.orders', '{"customer":{"value":"x","column":"buyer"},"order_no":"sn","amount":"paid_fen"}');
SELECT crm.capture_orders('t_capture', 't_capture_app.orders', '{"customer":"buyer","order_no":"sn","amount":"paid_fen","paid_at":{"column":"made","unit":"h"}}');
SELECT crm.capture_orders('t_capture', 't_capture_app.orders', '{"customer":"buyer","order_no":"st","amount":"paid_fen"}');
CREATE VIEW t_capture_app.v AS SELECT * FROM t_capture_app.orders;
SELECT crm.capture_orders('t_capture', 't_capture_app.v', '{"customer":"buyer","order_no":"sn","amount":"paid_fen"}');
SELECT count(*) FROM t_capture.order_source;

-- Row triggers that always fire, for a table that a subscription feeds; an enum, and milliseconds.
UPDATE t_capture_app.orders SET way = 'app', made = made * 1000;
SELECT crm.capture_orders('t_capture', 't_capture_app.orders', '{"customer":"buyer","order_no":"sn","amount":{"column":"paid_fen","scale":0.01},"status":{"value":"paid"},"paid_at":{"column":"made","unit":"ms"},"channel":{"column":"way","map":{"app":"手机"}}}', per_row => true, earn_history => true);
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 't_capture_app.orders'::regclass AND NOT tgisinternal ORDER BY 1;
SET session_replication_role = replica;
INSERT INTO t_capture_app.orders (buyer, sn, paid_fen, made, way) VALUES ('rep', 'R1', 300, 1769875200123, 'app');
UPDATE t_capture_app.orders SET paid_fen = 400 WHERE sn = 'R1';
INSERT INTO t_capture_app.orders (buyer, sn, paid_fen, made, way) VALUES ('rep', 'R2', 300, 1769875200123, 'web');
DELETE FROM t_capture_app.orders WHERE sn = 'R2';
SHOW session_replication_role;
INSERT INTO t_capture_app.orders (buyer, sn, paid_fen, made, way) VALUES ('rep', 'R3', -300, 1769875200123, 'web');
INSERT INTO t_capture.customer DEFAULT VALUES;
SELECT count(*) - (SELECT count(*) FROM t_capture.customer_summary) AS silent_again FROM t_capture.customer;
RESET session_replication_role;
SELECT order_no, external_id, p.channel, history, amount, paid_at, order_count FROM t_capture.purchase p JOIN t_capture.identity i USING (customer_id) JOIN t_capture.customer_summary USING (customer_id) WHERE p.channel = '手机' ORDER BY 1;
DELETE FROM t_capture.customer c WHERE NOT EXISTS (SELECT FROM t_capture.customer_summary s WHERE s.customer_id = c.customer_id);
SELECT * FROM t_capture.recount_customers();
-- A column that changes its type is noticed.
DROP VIEW t_capture_app.v;
ALTER TABLE t_capture_app.orders ALTER paid_fen TYPE bigint;
UPDATE t_capture_app.orders SET paid_fen = 401 WHERE sn = 'R1';
ALTER TABLE t_capture_app.orders ALTER paid_fen TYPE integer;
SELECT crm.rename_store('t_capture', 't_capture2');
UPDATE t_capture_app.orders SET paid_fen = 402 WHERE sn = 'R1';
SELECT amount FROM t_capture2.purchase WHERE order_no = 'R1';
SELECT crm.rename_store('t_capture2', 't_capture');

-- Who may attach what.
CREATE ROLE crm_t_capture_shop;
CREATE ROLE crm_t_capture_mallory;
GRANT CREATE ON DATABASE :"DBNAME" TO crm_t_capture_shop;
GRANT ALL ON SCHEMA t_capture_app TO crm_t_capture_mallory, crm_t_capture_shop;
SET ROLE crm_t_capture_shop;
SELECT crm.create_store('t_capture3');
CREATE TABLE t_capture_app.mine (buyer integer, sn uuid, paid float8);
SELECT crm.capture_orders('t_capture3', 't_capture_app.mine', '{"customer":"buyer","order_no":"sn","amount":"paid"}');
GRANT USAGE ON SCHEMA t_capture3 TO crm_t_capture_mallory;
GRANT INSERT ON t_capture_app.mine TO crm_t_capture_mallory;
SET ROLE crm_t_capture_mallory;
CREATE TABLE t_capture_app.theirs (buyer integer, sn uuid, paid float8);
SELECT crm.capture_orders('t_capture3', 't_capture_app.theirs', '{"customer":"buyer","order_no":"sn","amount":"paid"}');
CREATE TRIGGER forge AFTER INSERT ON t_capture_app.theirs REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION t_capture3.capture_1();
INSERT INTO t_capture3.order_source (relid, mapping) VALUES ('t_capture_app.theirs', '{}');
-- An insert into the attached table needs no right in the store.
INSERT INTO t_capture_app.mine VALUES (7, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 12.5);
SELECT count(*) FROM t_capture3.purchase;
SET ROLE crm_t_capture_shop;
SELECT crm.capture_orders('t_capture3', 't_capture_app.theirs', '{"customer":"buyer","order_no":"sn","amount":"paid"}');
SELECT external_id, order_no, amount, order_count FROM t_capture3.purchase JOIN t_capture3.identity USING (customer_id) JOIN t_capture3.customer_summary USING (customer_id);
-- Even with the function at hand, a table without its row is refused.
GRANT EXECUTE ON FUNCTION t_capture3.capture_1() TO crm_t_capture_mallory;
SET ROLE crm_t_capture_mallory;
CREATE TRIGGER forge AFTER INSERT ON t_capture_app.theirs REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION t_capture3.capture_1();
INSERT INTO t_capture_app.theirs VALUES (7, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12', 1000000);
RESET ROLE;
SET client_min_messages = warning;
SELECT crm.drop_store('t_capture3', 't_capture3');
DROP OWNED BY crm_t_capture_shop, crm_t_capture_mallory;
DROP ROLE crm_t_capture_shop, crm_t_capture_mallory;
SELECT crm.drop_store('t_capture', 't_capture');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 't_capture_app.orders'::regclass AND NOT tgisinternal;
-- Events: a default partition takes them until their month has one.
SELECT crm.create_store('t_capture');
SET search_path = t_capture, crm;
INSERT INTO customer DEFAULT VALUES;
INSERT INTO behavior_event (customer_id, at, kind, product, dwell) VALUES (1, '2026-01-31 23:30', 'view', 'tea', '20 seconds'), (1, '2026-02-01 00:30', 'cart', 'tea', NULL);
COPY behavior_event (customer_id, at, kind, product) FROM stdin;
1	2026-02-28 23:59:59+08	favourite	pot
1	2026-03-01 00:00:00+08	inquiry	pot
\.
SELECT add_event_partition('2026-02-14'), add_event_partition('2026-02-01');
INSERT INTO behavior_event (customer_id, at, kind) VALUES (1, '2026-02-10', 'share');
SELECT tableoid::regclass, at, kind FROM behavior_event ORDER BY at;
INSERT INTO behavior_event (customer_id, at, kind) VALUES (1, '2026-01-01', 'Not a word');
INSERT INTO behavior_event (customer_id, kind) VALUES (99, 'view');
RESET search_path;
SET client_min_messages = warning;
SELECT crm.drop_store('t_capture', 't_capture');
DROP SCHEMA t_capture_app CASCADE;
