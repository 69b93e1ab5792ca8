-- A database with a store in which every part has something, for the tests of upgrades and replicas.
\set ON_ERROR_STOP 1
CREATE DATABASE shopdb;
\c shopdb
CREATE EXTENSION crm;
SELECT crm.create_store('shop');
SET search_path = shop, crm, pg_temp;
INSERT INTO customer (customer_id, joined_at) SELECT i, timestamptz '2024-01-01 00:00+00' FROM generate_series(1, 200) i;
INSERT INTO purchase (customer_id, channel, order_no, status, amount, ordered_at, paid_at, completed_at)
SELECT 1 + i % 200, 'mall', 'n' || i, 'completed', 100 + i, t, t, t
FROM generate_series(1, 1000) i, LATERAL (SELECT timestamptz '2025-01-01 00:00+00' + i * interval '5 hours' AS t) t;
UPDATE purchase SET refunded = amount / 2 WHERE order_no LIKE '%7';
UPDATE customer SET tags = tags + 'channel:mall' + ('区域:' || customer_id % 7) WHERE customer_id % 3 = 0;
INSERT INTO contact (customer_id, name, phone) VALUES (1, '张三', '13812341234');
SELECT count(earn(c, 100, 'gift', 'x')) FROM generate_series(1, 100) c;
SELECT count(redeem(c, 30, 'gift', 'y')) FROM generate_series(1, 100, 2) c;
SELECT points_checkpoint() IS NOT NULL;
ANALYZE;
