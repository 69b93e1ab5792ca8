-- What orders earn: paid, completed, refunded, cancelled, moved; singly and by the statement.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
SELECT crm.create_store('t_points_orders');
SET search_path = t_points_orders, crm, pg_temp;
SELECT program, event, points, per_amount, on_status FROM points_rule ORDER BY rule;
INSERT INTO customer (customer_id) SELECT generate_series(1, 1000);
CREATE VIEW b AS SELECT customer_id, coalesce(max(available) FILTER (WHERE program = 'points'), 0) AS points,
    coalesce(max(pending) FILTER (WHERE program = 'points'), 0) AS pending, coalesce(max(available) FILTER (WHERE program = 'growth'), 0) AS growth
    FROM points_balance GROUP BY customer_id;
-- nothing is earned by what is not paid, or too small
INSERT INTO purchase (customer_id, order_no, status, amount) VALUES (1, 'a', 'pending', 250);
INSERT INTO purchase (customer_id, order_no, amount) VALUES (1, 'small', 99.99);
SELECT * FROM b;
UPDATE purchase SET status = 'paid' WHERE order_no = 'a';
SELECT * FROM b;
UPDATE purchase SET status = 'shipped' WHERE order_no = 'a';
UPDATE purchase SET status = 'completed', completed_at = now() WHERE order_no = 'a';
SELECT * FROM b;
-- refunds leave what the rule gives for the amount that is kept
UPDATE purchase SET refunded = 60 WHERE order_no = 'a';
SELECT * FROM b;
UPDATE purchase SET refunded = 10 WHERE order_no = 'a';
SELECT * FROM b;
UPDATE purchase SET refunded = 60 WHERE order_no = 'a';
UPDATE purchase SET refunded = 250 WHERE order_no = 'a';
SELECT * FROM b;
SELECT seq, kind, points, balance_after, source, reference, reverses, detail FROM points_entry WHERE customer_id = 1 AND program = 'points' ORDER BY seq;
INSERT INTO purchase (customer_id, order_no, amount, refunded) VALUES (2, 'b', 100, 0), (3, 'c', 250, 0), (4, 'd', 1000, 0), (5, 'e', 1000, 300);
SELECT * FROM b WHERE customer_id BETWEEN 2 AND 5 ORDER BY 1;
UPDATE purchase SET refunded = CASE order_no WHEN 'b' THEN 99.99 WHEN 'c' THEN 60 ELSE 300 END WHERE customer_id BETWEEN 2 AND 5;
SELECT * FROM b WHERE customer_id BETWEEN 2 AND 5 ORDER BY 1;
-- today's rule does not change what was earned by the old one
UPDATE points_rule SET points = 10 WHERE program = 'points';
UPDATE purchase SET refunded = 500 WHERE order_no = 'd';
INSERT INTO purchase (customer_id, order_no, amount) VALUES (6, 'f', 1000);
SELECT * FROM b WHERE customer_id IN (4, 6) ORDER BY 1;
UPDATE points_rule SET points = 1 WHERE program = 'points';
-- cancelled: what was earned goes, what was redeemed for it comes back
SELECT earn(7, 500, 'gift', '1') \g /dev/null
INSERT INTO purchase (customer_id, order_no, status, amount) VALUES (7, 'g', 'pending', 300);
SELECT redeem(7, 200, 'purchase', 'mall/g') \g /dev/null
UPDATE purchase SET status = 'paid' WHERE order_no = 'g';
SELECT * FROM b WHERE customer_id = 7;
UPDATE purchase SET status = 'cancelled' WHERE order_no = 'g';
SELECT * FROM b WHERE customer_id = 7;
UPDATE purchase SET status = 'paid' WHERE order_no = 'g';
UPDATE purchase SET status = 'cancelled' WHERE order_no = 'g';
SELECT * FROM b WHERE customer_id = 7;
-- moved to another customer, deleted
INSERT INTO purchase (customer_id, order_no, status, amount, completed_at) VALUES (8, 'h', 'completed', 450, now());
SELECT * FROM b WHERE customer_id IN (8, 9);
UPDATE purchase SET customer_id = 9 WHERE order_no = 'h';
SELECT * FROM b WHERE customer_id IN (8, 9) ORDER BY 1;
DELETE FROM purchase WHERE order_no = 'h';
SELECT * FROM b WHERE customer_id IN (8, 9) ORDER BY 1;
-- history earns nothing
INSERT INTO purchase (customer_id, order_no, status, amount, history) VALUES (10, 'i', 'completed', 450, true);
SELECT * FROM b WHERE customer_id = 10;
-- waiting days, windows, inactive rules
UPDATE points_rule SET wait_days = 7 WHERE program = 'points';
INSERT INTO purchase (customer_id, order_no, status, amount, ordered_at, completed_at) VALUES (11, 'j', 'completed', 450, now() - interval '10 days', now() - interval '6 days'), (11, 'k', 'completed', 450, now() - interval '10 days', now() - interval '8 days');
SELECT * FROM b WHERE customer_id = 11;
UPDATE points_rule SET wait_days = 0, valid_until = now() WHERE program = 'points';
INSERT INTO purchase (customer_id, order_no, status, amount) VALUES (12, 'l', 'completed', 450);
UPDATE points_rule SET valid_until = NULL, active = program = 'points';
INSERT INTO purchase (customer_id, order_no, status, amount) VALUES (12, 'm', 'completed', 450);
SELECT * FROM b WHERE customer_id = 12;
-- what an inactive rule gave is still clawed back
UPDATE points_rule SET active = false;
UPDATE purchase SET refunded = 300 WHERE order_no = 'm';
SELECT * FROM b WHERE customer_id = 12;
UPDATE points_rule SET active = true;
-- growth lives twelve months, exactly
INSERT INTO purchase (customer_id, order_no, status, amount, ordered_at) VALUES (13, 'n', 'completed', 450, now() - interval '12 months'), (13, 'o', 'completed', 50, now() - interval '12 months' + interval '1 hour');
SELECT growth FROM b WHERE customer_id = 13;
-- closed accounts do not stop orders
SELECT earn(14, 1, 'gift', '1') \g /dev/null
UPDATE points_account SET closed = true WHERE customer_id = 14;
INSERT INTO purchase (customer_id, order_no, status, amount) VALUES (14, 'p', 'completed', 450);
SELECT * FROM b WHERE customer_id = 14;
-- by the statement, with several orders of one customer, and by COPY
INSERT INTO purchase (customer_id, order_no, status, amount, ordered_at) SELECT 100 + n % 800, 'q' || n, CASE n % 3 WHEN 0 THEN 'completed' ELSE 'paid' END, n % 1000, now() - n * interval '1 minute' FROM generate_series(1, 3000) n;
UPDATE purchase SET status = 'completed', completed_at = now() WHERE status = 'paid' AND customer_id >= 100;
UPDATE purchase SET refunded = amount / 2 WHERE customer_id >= 100;
SELECT count(*) AS wrong FROM (SELECT customer_id, sum(floor(net / 100)) AS points, sum(floor(net)) AS growth FROM purchase WHERE customer_id >= 100 GROUP BY 1) p LEFT JOIN b USING (customer_id) WHERE (p.points, p.growth, 0) IS DISTINCT FROM (coalesce(b.points, 0), coalesce(b.growth, 0), coalesce(b.pending, 0));
COPY purchase (customer_id, order_no, amount) FROM STDIN;
15	r1	100
15	r2	200
16	r3	300
\.
SELECT * FROM b WHERE customer_id IN (15, 16) ORDER BY 1;
SELECT * FROM points_verify();
SELECT program, sum(amount) FROM points_trial_balance GROUP BY 1 ORDER BY 1;
SELECT crm.drop_store('t_points_orders', 't_points_orders');
