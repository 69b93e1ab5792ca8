\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'Asia/Shanghai';
SET client_min_messages = warning;
SELECT crm.create_store('t_tier');
SET search_path = t_tier, crm, public;
SELECT install_preset('textbook');
SELECT tier, seq, qualify, keep FROM tier ORDER BY seq;
SELECT tier, n, condition, lifetime FROM tier_condition ORDER BY seq, n;
INSERT INTO customer (customer_id, joined_at) SELECT i, '2023-01-01' FROM generate_series(1, 40) i;
CREATE VIEW history AS
SELECT customer_id AS c, from_tier, to_tier, round(value, 2) AS value, threshold, reason, at, condition, period_end FROM tier_change ORDER BY customer_id, change_no;

-- up by each branch, at once; up by several steps; the limit itself lifts, a cent less does not
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES
    (1, '1a', 500, '2024-03-05 14:00'), (2, '2a', 499.99, '2024-03-05 14:00'), (3, '3a', 1500, '2024-03-05 14:00'), (4, '4a', 3000, '2024-03-05 14:00');
-- in all: 450 in each of two years, no 12 months with 500
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (5, '5a', 450, '2023-01-05 12:00');
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (5, '5b', 349.99, '2024-03-05 12:00');
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (5, '5c', 0.01, '2024-03-06 12:00');
-- each order of one statement is judged at its own moment, whatever the order of the rows
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES
    (6, '6c', 1000, '2024-06-01 12:00'), (6, '6a', 300, '2024-03-01 12:00'), (6, '6b', 300, '2024-04-01 12:00');
SELECT * FROM history;

-- kept: 500 of growth within the 12 months before the end of the cycle; else down to the tier that matches
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (3, '3b', 700, '2024-12-01 12:00'), (1, '1b', 600, '2024-12-01 12:00');
CALL evaluate_tiers('2025-03-05 00:00');
CALL evaluate_tiers('2025-03-05 00:00');
SELECT customer_id, tier, period_end FROM tier_member WHERE customer_id IN (1, 3, 4) ORDER BY 1;
CALL evaluate_tiers('2026-03-05 00:00');
SELECT * FROM history WHERE c IN (1, 3, 4);
-- who fell does not bounce back on the next small order though the sum of all is high
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (4, '4b', 10, '2026-04-01 12:00');
SELECT tier_at(4, '2026-04-02');
-- but the order that crosses the limit lifts
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (1, '1c', 300, '2026-04-01 12:00'), (3, '3c', 299.99, '2026-04-01 12:00');
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (3, '3d', 0.02, '2026-04-02 12:00');
SELECT * FROM history WHERE c IN (1, 3, 4) AND at > '2026-03-31';
-- a second evaluation adds nothing, and a late one gives what timely ones would have
SELECT count(*) FROM tier_change \gset before_
CALL evaluate_tiers('2026-04-03');
CALL evaluate_tiers('2026-04-03', batch => 3);
SELECT count(*) = :before_count AS same FROM tier_change;
INSERT INTO purchase (customer_id, order_no, amount, paid_at) SELECT c, c || x.n, x.amount, x.at
FROM generate_series(7, 8) c, (VALUES ('a', 3100, timestamptz '2023-01-10 10:00'), ('b', 1600, '2024-01-05 10:00'), ('c', 20, '2025-05-05 10:00')) x (n, amount, at);
SELECT customer_id, tier FROM tier_member WHERE customer_id IN (7, 8) ORDER BY 1;
CALL evaluate_tiers('2026-08-01');
SELECT * FROM history WHERE c = 7;
SELECT count(*) AS differ FROM (SELECT from_tier, to_tier, value, reason, at FROM tier_change WHERE customer_id = 7
                                EXCEPT SELECT from_tier, to_tier, value, reason, at FROM tier_change WHERE customer_id = 8) d;

-- one step; to the base; not at all
UPDATE settings SET tier_downgrade = 'one_step';
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (9, '9a', 3000, '2024-03-05 14:00'), (10, '10a', 3000, '2024-03-05 14:00'), (11, '11a', 3000, '2024-03-05 14:00');
SELECT judge_due('{9}', '2026-03-05 00:00');
UPDATE settings SET tier_downgrade = 'to_base';
SELECT judge_due('{10}', '2026-03-05 00:00');
UPDATE settings SET tier_downgrade = 'none';
SELECT judge_due('{11}', '2026-03-05 00:00');
UPDATE settings SET tier_downgrade = 'to_match';
SELECT customer_id, tier, period_end FROM tier_member WHERE customer_id IN (9, 10, 11) ORDER BY 1;

-- grace: 30 more days in which the limit can be reached
UPDATE settings SET tier_grace_days = 30;
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (12, '12a', 600, '2024-05-01 10:00'), (13, '13a', 600, '2024-05-01 10:00');
SELECT judge_due('{12,13}', '2026-05-01 00:00');
SELECT customer_id, tier, period_end, judged_at FROM tier_member WHERE customer_id IN (12, 13) ORDER BY 1;
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (12, '12b', 450, '2026-05-10 10:00'), (12, '12c', 60, '2026-05-20 10:00');
SELECT judge_due('{12,13}', '2026-05-31 00:00');
SELECT * FROM history WHERE c IN (12, 13);
SELECT customer_id, tier, period_end FROM tier_member WHERE customer_id IN (12, 13) ORDER BY 1;
UPDATE settings SET tier_grace_days = 0;

-- refunds: take the tier back at once when the upgrade has lost what it rested on; else count only at the end
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (14, '14a', 600, now() - interval '40 days');
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (14, '14b', 1000, now() - interval '20 days');
UPDATE purchase SET refunded = 100 WHERE order_no = '14a';
SELECT tier FROM tier_member WHERE customer_id = 14;
UPDATE purchase SET refunded = 500 WHERE order_no = '14b';
SELECT tier FROM tier_member WHERE customer_id = 14;
UPDATE purchase SET status = 'cancelled' WHERE order_no = '14b';
SELECT c, from_tier, to_tier, value, threshold, reason, condition FROM history WHERE c = 14;
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (15, '15a', 600, now() - interval '40 days'), (15, '15b', 600, now() - interval '30 days');
UPDATE purchase SET refunded = 600 WHERE order_no = '15a';
SELECT tier FROM tier_member WHERE customer_id = 15;
-- the tier that was there before comes back with its cycle
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (16, '16a', 600, now() - interval '60 days');
SELECT period_end AS silver_end FROM tier_member WHERE customer_id = 16 \gset
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (16, '16b', 900, now() - interval '10 days');
INSERT INTO purchase_refund (customer_id, channel, order_no, refund_no, amount) VALUES (16, 'mall', '16b', 'r1', 900);
SELECT tier, period_end = :'silver_end' AS same_cycle, rests_on FROM tier_member WHERE customer_id = 16;

-- the shop's midnight, a leap day, a change of zone
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES
    (17, '17a', 600, '2024-02-28 23:59:59'), (18, '18a', 600, '2024-02-29 00:00:00'), (19, '19a', 600, '2024-02-29 23:59:59.999999'), (20, '20a', 600, '2024-03-01 00:00:00');
SELECT customer_id, period_end FROM tier_member WHERE customer_id BETWEEN 17 AND 20 ORDER BY 1;
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES
    (21, '21a', 300, '2024-05-01 00:00'), (21, '21b', 300, '2024-05-01 00:00'), (21, '21c', 1000, '2024-05-01 23:59'), (21, '21d', 2000, '2024-05-02 00:00');
SELECT * FROM history WHERE c = 21;
-- an order at the moment a cycle ends counts for it
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (22, '22a', 500, '2024-05-01 10:00');
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (22, '22b', 500, '2026-05-01 00:00');
SELECT tier, period_end FROM tier_member WHERE customer_id = 22;
CALL evaluate_tiers('2026-05-01 00:00');
SELECT tier, period_end FROM tier_member WHERE customer_id = 22;
UPDATE settings SET time_zone = 'America/New_York';
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (23, '23a', 600, '2024-03-05 08:00');
SELECT tier, period_end FROM tier_member WHERE customer_id = 23;
UPDATE settings SET time_zone = 'Asia/Shanghai';

-- other ladders: points of a calendar year, orders, growth
UPDATE settings SET tier_window = 'calendar', tier_period = 'calendar';
UPDATE tier SET qualify = 'spend_window >= 500', keep = 'spend_window >= 500' WHERE tier = 'silver';
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (24, '24a', 400, '2024-12-31 23:00'), (24, '24b', 400, '2025-01-01 00:00');
CALL evaluate_tiers('2025-01-02');
SELECT tier_at(24, '2025-01-02');
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (24, '24c', 100, '2025-06-01 00:00');
CALL evaluate_tiers('2025-06-02');
SELECT * FROM history WHERE c = 24;
SELECT install_preset('textbook');

-- progress, warning
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (25, '25a', 600, '2025-09-01 10:00'), (25, '25b', 300, '2026-02-01 10:00'), (26, '26a', 700, '2024-09-01 10:00'), (27, '27a', 100, '2026-01-01');
SELECT * FROM tier_progress(25, '2026-03-01');
SELECT * FROM tier_progress(27, '2026-03-01');
SELECT * FROM tier_progress(28, '2026-03-01');
SELECT judge_due('{26}', '2026-03-01');
SELECT * FROM tier_warning('2026-08-10') WHERE customer_id BETWEEN 25 AND 27;

-- granted and paid tiers, lock
SELECT from_tier, to_tier, reason, period_end FROM grant_tier(29, 'gold', '2026-06-01 00:00', as_of => '2026-03-01');
SELECT judge_due('{29}', '2026-06-01 00:00');
SELECT * FROM history WHERE c = 29;
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (30, '30a', 600, '2024-05-01 10:00');
SELECT lock_tier(30, '2027-01-01 00:00');
SELECT judge_due('{30}', '2026-12-01 00:00');
SELECT tier, judged_at FROM tier_member WHERE customer_id = 30;
SELECT judge_due('{30}', '2027-01-01 00:00');
SELECT tier FROM tier_member WHERE customer_id = 30;

-- prices, benefits, returns
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (31, '31a', 5000, '2026-01-01 10:00');
SELECT c.customer_id, tier_at(c.customer_id, '2026-02-01') AS tier, p.*
FROM (VALUES (28, 1000), (25, 310), (25, 316), (25, 1000), (31, 1200), (31, 99.99)) a (customer_id, amount)
JOIN customer c USING (customer_id) CROSS JOIN LATERAL price_for(a.customer_id, a.amount, '2026-02-01') p ORDER BY 1, 3;
UPDATE settings SET reduction_on = 'list';
SELECT * FROM price_for(25, 310, '2026-02-01');
UPDATE customer SET tags = '{88vip}' WHERE customer_id IN (28, 31);
SELECT tier_discount FROM price_for(28, 100, '2026-02-01') UNION ALL SELECT tier_discount FROM price_for(31, 100, '2026-02-01');
-- a coupon comes last, on what is left; one that cannot be used takes nothing off
INSERT INTO coupon_template (template, name, kind, value, threshold) VALUES ('ten', 'ten off', 'threshold', 10, 60), ('fifth', 'a fifth off', 'percent', 20, 0);
SELECT code AS ten FROM issue_coupon(25, 'ten', 'r1', '2026-01-01') \gset
SELECT code AS fifth FROM issue_coupon(25, 'fifth', 'r1', '2026-01-01') \gset
SELECT p.* FROM (VALUES (100, :'ten'), (60, :'ten'), (310, :'fifth'), (99.99, :'fifth'), (100, 'nonsense'), (100, NULL)) a (amount, code)
CROSS JOIN LATERAL price_for(25, a.amount, '2026-02-01', coupon_code => a.code) p;
SELECT coupon AS not_of_another FROM price_for(28, 100, '2026-02-01', :'ten');
SELECT coupon AS not_before FROM price_for(25, 100, '2025-12-31', :'ten');
SELECT state FROM lock_coupon(:'ten', 'mall', 'x1', 95, as_of => '2026-02-01');
SELECT coupon AS not_twice FROM price_for(25, 100, '2026-02-01', :'ten');
SELECT code FROM tier ORDER BY seq;
UPDATE settings SET platform_stacking = true, reduction_on = 'discounted';
SELECT tier_discount FROM price_for(31, 100, '2026-02-01');
SELECT kind, value, threshold, quota, used, remaining FROM tier_benefits(31, '2026-02-01');
SELECT kind, reference, tier FROM use_benefit(31, 'free_repair', 'r1', '2026-02-01');
SELECT kind, reference, tier FROM use_benefit(31, 'free_repair', 'r1', '2026-02-01');
SELECT kind, reference, tier FROM use_benefit(31, 'free_repair', 'r2', '2026-02-01');


DO $$ BEGIN PERFORM use_benefit(31, 'free_repair', 'r3', '2026-02-01'); EXCEPTION WHEN OTHERS THEN RAISE WARNING '% %', SQLSTATE, SQLERRM; END $$;
DO $$ BEGIN PERFORM use_benefit(28, 'free_repair', 'r3', '2026-02-01'); EXCEPTION WHEN OTHERS THEN RAISE WARNING '% %', SQLSTATE, SQLERRM; END $$;
\set VERBOSITY terse
SELECT kind FROM use_benefit(31, 'free_repair', 'r3', '2027-01-01 00:00');
INSERT INTO purchase (customer_id, order_no, amount, paid_at, completed_at, status) VALUES (31, '31b', 10, '2026-01-05 10:00', '2026-01-09 20:00', 'completed');
SELECT order_no, return_until(p) FROM purchase p WHERE customer_id = 31 ORDER BY 1;

-- errors
UPDATE tier_change SET reason = 'paid' WHERE customer_id = 1;
DELETE FROM tier_change WHERE customer_id = 1;
TRUNCATE tier_change;
UPDATE tier SET qualify = 'phone = ''1''' WHERE tier = 'gold';
SELECT grant_tier(1, 'platinum');
SELECT install_preset('other');
RESET search_path;
SELECT crm.drop_store('t_tier', confirm => 't_tier');
