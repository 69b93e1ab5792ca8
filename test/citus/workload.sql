-- The same statements for a store on one node and for one over three.  psql -v store=shop
\set ON_ERROR_STOP on
SET search_path = :store, crm;
SET citus.propagate_set_commands = 'local';

INSERT INTO tier (tier, seq, name_en, qualify) VALUES
    ('silver', 2, 'silver', 'spend_12m >= 3000'), ('gold', 3, 'gold', 'spend_12m >= 8000');
INSERT INTO customer (customer_id, joined_at, region) SELECT i, '2025-01-01', CASE i % 3 WHEN 0 THEN 'east' ELSE 'west' END FROM generate_series(1, 200) i;
INSERT INTO customer (customer_id, joined_at) VALUES (201, '2025-02-01');
INSERT INTO contact (customer_id, name, phone) SELECT i, '客户' || i, '1380000' || lpad(i::text, 4, '0') FROM generate_series(1, 50) i;

-- Orders by INSERT: one row, several rows, from a query; and by COPY.
INSERT INTO purchase (customer_id, channel, order_no, status, amount, ordered_at, paid_at)
VALUES (1, 'mall', 'S1', 'completed', 100, '2026-01-01', '2026-01-01');
INSERT INTO purchase (customer_id, channel, order_no, status, amount, ordered_at, paid_at)
VALUES (1, 'mall', 'S2', 'completed', 250.5, '2026-02-01', '2026-02-01'), (2, 'mall', 'S3', 'paid', 80, '2026-02-01', '2026-02-01'),
       (3, 'shop', 'S4', 'pending', 80, '2026-02-02', NULL), (2, 'shop', 'S5', 'completed', 4000, '2026-02-03', '2026-02-03');
INSERT INTO purchase (customer_id, channel, order_no, status, amount, discount, ordered_at, paid_at)
SELECT 1 + i * 7 % 200, 'mall', 'Q' || i, CASE i % 5 WHEN 0 THEN 'paid' ELSE 'completed' END, 10 + i % 97 * 13, i % 10,
       '2025-06-01'::timestamptz + i * interval '5 hours', '2025-06-01'::timestamptz + i * interval '5 hours'
FROM generate_series(1, 1500) i;
COPY purchase (customer_id, channel, order_no, status, amount, ordered_at, paid_at) FROM stdin WITH (FORMAT csv);
11,web,C1,completed,120,2026-03-01,2026-03-01
12,web,C2,completed,999.99,2026-03-01,2026-03-01
13,web,C3,completed,5000,2026-03-02,2026-03-02
13,web,C4,completed,6000,2026-03-03,2026-03-03
14,web,C5,paid,75,2026-03-03,2026-03-03
15,web,C6,completed,60,2026-03-04,2026-03-04
\.
INSERT INTO purchase_item (customer_id, channel, order_no, line, product, category, quantity, amount)
VALUES (13, 'web', 'C3', 1, 'lamp', 'home', 1, 2000), (13, 'web', 'C3', 2, 'chair', 'home', 2, 3000), (11, 'web', 'C1', 1, 'pen', 'office', 3, 120);

-- What happens to orders: paid later, refunded by column, by rows of refunds, cancelled, deleted.
UPDATE purchase SET status = 'completed', paid_at = '2026-02-05' WHERE customer_id = 3 AND order_no = 'S4';
-- One order a customer: entries of one statement are booked in the order in which its rows lie.
UPDATE purchase SET status = 'completed', completed_at = '2026-05-01' WHERE order_no IN ('Q5', 'Q10', 'Q15', 'Q20', 'Q25', 'Q30', 'Q35');
INSERT INTO purchase_refund (customer_id, channel, order_no, refund_no, amount, at) VALUES (13, 'web', 'C4', 'R1', 1500, '2026-03-10');
INSERT INTO purchase_refund (customer_id, channel, order_no, refund_no, line, amount, at)
VALUES (13, 'web', 'C3', 'R2', 1, 2000, '2026-03-11'), (11, 'web', 'C1', 'R3', NULL, 20, '2026-03-11'), (12, 'web', 'C2', 'R4', NULL, 99.99, '2026-03-11');
UPDATE purchase_refund SET amount = 1000 WHERE customer_id = 13 AND refund_no = 'R1';
DELETE FROM purchase_refund WHERE customer_id = 12 AND refund_no = 'R4';
UPDATE purchase SET status = 'cancelled' WHERE customer_id = 15 AND order_no = 'C6';
DELETE FROM purchase WHERE customer_id = 14 AND order_no = 'C5';

-- Tags.
UPDATE customer SET tags = tags + 'vip' WHERE customer_id <= 20;
UPDATE customer SET tags = tags | '{channel:mall,early}' WHERE customer_id % 10 = 0;
UPDATE customer SET tags = tags - ARRAY['vip'] WHERE customer_id BETWEEN 5 AND 9;
UPDATE customer SET tags = tag_put(tags, 'channel:shop') WHERE customer_id = 10;
SELECT tag_customer(30, 'gift', 'test', '2030-01-01') IS NOT NULL AS put;
SELECT untag_customer(20, 'vip', 'test') IS NOT NULL AS untagged;

-- The verbs of points.
SELECT (earn(1, 500, 'test', 'e1', as_of => '2026-06-01')).balance_after;
SELECT (earn(1, 500, 'test', 'e1', as_of => '2026-06-01')).seq IS NOT NULL AS repeated;
SELECT (earn(2, 300, 'test', 'e1', expires_at => '2026-07-01', as_of => '2026-06-01', note => 'welcome')).points;
SELECT (redeem(1, 120, 'test', 'r1', as_of => '2026-06-02')).points;
SELECT (restore(1, 'r1', 50, reference => 'r1/1', as_of => '2026-06-03')).points;
SELECT (hold(1, 60, 'test', 'h1', as_of => '2026-06-03')).points;
SELECT (capture(1, 'h1', 40, as_of => '2026-06-04')).points;
SELECT (hold(2, 60, 'test', 'h2', as_of => '2026-06-03')).points;
SELECT (release(2, 'h2', as_of => '2026-06-04')).kind;
SELECT (refund(1, 'e1', 100, as_of => '2026-06-05')).points;
SELECT (adjust(3, 33, 'test', 'a1', 'a reason', as_of => '2026-06-05')).points;
SELECT (earn(4, 10, 'test', 'p1', available_at => 'infinity', as_of => '2026-06-05')).points;
SELECT (mature(4, 'p1', as_of => '2026-06-06')).kind;
INSERT INTO points_entry (customer_id, kind, points, source, reference, occurred_at)
SELECT i, 'earn', i, 'bulk', 'b' || i, '2026-06-07' FROM generate_series(1, 150) i;
CALL expire_points('2026-08-01');

-- In one transaction with a savepoint, and one that rolls back.
BEGIN;
SELECT (earn(7, 70, 'tx', 't1', as_of => '2026-08-02')).points;
SAVEPOINT s;
SELECT (earn(8, 80, 'tx', 't1', as_of => '2026-08-02')).points;
ROLLBACK TO s;
SELECT (redeem(7, 20, 'tx', 't2', as_of => '2026-08-02')).points;
UPDATE customer SET tags = tags + 'tx' WHERE customer_id = 7;
COMMIT;
BEGIN;
SELECT (earn(9, 90, 'tx', 't1', as_of => '2026-08-02')).points;
ROLLBACK;
