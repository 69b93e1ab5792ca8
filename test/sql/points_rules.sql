-- What rules say of orders: multipliers, items, tiers, birthdays, campaigns, rounding, remainders; whose account; behaviours.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
SELECT crm.create_store('t_points_rules');
SET search_path = t_points_rules, crm, pg_temp;
SELECT install_preset('textbook');
INSERT INTO customer (customer_id, joined_at) SELECT i, '2026-01-01' FROM generate_series(1, 60) i;
CREATE FUNCTION b(ids bigint[]) RETURNS TABLE (customer_id bigint, points bigint, pending bigint, growth bigint) LANGUAGE sql AS $$
    SELECT customer_id, max(available) FILTER (WHERE program = 'points'), max(pending) FILTER (WHERE program = 'points'), max(available) FILTER (WHERE program = 'growth')
    FROM points_balance WHERE customer_id = ANY (ids) GROUP BY 1 ORDER BY 1 $$;
-- the examples of the rules: 1 point per 100, what is left after a refund
INSERT INTO purchase (customer_id, order_no, status, amount) VALUES (1, 'a', 'completed', 100), (2, 'b', 'completed', 250), (3, 'c', 'completed', 1000);
UPDATE purchase SET refunded = CASE order_no WHEN 'a' THEN 99.99 WHEN 'b' THEN 60 ELSE 300 END WHERE order_no IN ('a', 'b', 'c');
SELECT * FROM b('{1,2,3}');
-- growth doubled for marked goods: 600 plain and 400 double; the lines come with the order, or after it
INSERT INTO points_multiplier (rule, times, category) SELECT rule, 2, '{new,fine}' FROM points_rule WHERE program = 'growth' AND event = 'order';
WITH o AS (INSERT INTO purchase (customer_id, order_no, amount) VALUES (4, 'd', 1000) RETURNING customer_id, channel, order_no)
INSERT INTO purchase_item (customer_id, channel, order_no, line, product, category, amount)
SELECT customer_id, channel, order_no, line, 'p' || line, category, amount FROM o, (VALUES (1, 'plain', 600), (2, 'new', 400)) i (line, category, amount);
INSERT INTO purchase (customer_id, order_no, amount) VALUES (5, 'e', 1000);
SELECT * FROM b('{4,5}');
INSERT INTO purchase_item (customer_id, channel, order_no, line, product, category, amount) VALUES (5, 'mall', 'e', 1, 'p1', NULL, 600), (5, 'mall', 'e', 2, 'p2', 'new', 400);
SELECT * FROM b('{4,5}');
SELECT customer_id, seq, kind, points, reference, detail -> 'items' AS items, detail - 'items' AS rule FROM points_entry WHERE program = 'growth' AND customer_id IN (4, 5) ORDER BY 1, 2;
-- an item refund claws back that item's points; what is given back of the order as a whole is spread
INSERT INTO purchase_refund (customer_id, channel, order_no, refund_no, line, amount) VALUES (4, 'mall', 'd', 'r1', 2, 400), (5, 'mall', 'e', 'r1', 1, 600);
SELECT * FROM b('{4,5}');
INSERT INTO purchase (customer_id, order_no, amount) VALUES (6, 'f', 1000);
INSERT INTO purchase_item (customer_id, channel, order_no, line, product, category, amount) VALUES (6, 'mall', 'f', 1, 'p1', NULL, 600), (6, 'mall', 'f', 2, 'p2', 'fine', 400);
UPDATE purchase SET refunded = 500 WHERE order_no = 'f';
SELECT * FROM b('{6}');
UPDATE purchase SET refunded = 0 WHERE order_no = 'f';
SELECT * FROM b('{6}');
-- lines that cover more, or less, than the order; that change; that go; a refund that turns out to be of another line
INSERT INTO purchase (customer_id, order_no, amount) VALUES (7, 'g', 900), (8, 'h', 900);
INSERT INTO purchase_item (customer_id, channel, order_no, line, product, category, amount) VALUES (7, 'mall', 'g', 1, 'p1', NULL, 600), (7, 'mall', 'g', 2, 'p2', 'new', 400), (8, 'mall', 'h', 1, 'p2', 'new', 400);
SELECT * FROM b('{7,8}');
UPDATE purchase_item SET category = 'plain' WHERE order_no = 'g' AND line = 2;
DELETE FROM purchase_item WHERE order_no = 'h';
SELECT * FROM b('{7,8}');
UPDATE purchase_refund SET line = 2 WHERE order_no = 'e';
SELECT * FROM b('{5}');
-- what is marked later changes nothing for orders that earned
UPDATE points_multiplier SET category = '{plain}';
INSERT INTO purchase (customer_id, order_no, amount) VALUES (9, 'i', 100);
INSERT INTO purchase_item (customer_id, channel, order_no, line, product, category, amount) VALUES (9, 'mall', 'i', 1, 'p1', 'plain', 100);
UPDATE purchase_item SET quantity = 2 WHERE order_no IN ('d', 'f');
SELECT * FROM b('{4,6,9}');
DELETE FROM points_multiplier;
UPDATE purchase SET refunded = 100 WHERE order_no = 'f';
SELECT * FROM b('{6}');
-- the birthday month of the diamond tier doubles points; nobody else's does, and growth never
INSERT INTO contact (customer_id, birth_date) VALUES (10, '1990-02-28'), (11, '1988-02-29'), (12, '1990-02-28'), (13, '1990-03-01'), (14, '1990-02-10');
SELECT count(grant_tier(c, CASE c WHEN 12 THEN 'gold' ELSE 'diamond' END, as_of => '2026-01-02')) FROM unnest('{10,11,12,13,14}'::bigint[]) c;
INSERT INTO purchase (customer_id, order_no, status, amount, paid_at) SELECT c, 'bd' || c, 'completed', 1000, '2026-02-15' FROM generate_series(10, 13) c;
SELECT * FROM b('{10,11,12,13}');
-- in the store's time zone: 31 January 16:00 UTC is 1 February in Shanghai, 28 February 16:00 is 1 March
INSERT INTO purchase (customer_id, order_no, status, amount, paid_at) VALUES (14, 'z1', 'completed', 100, '2026-01-31 15:59:59'), (14, 'z2', 'completed', 100, '2026-01-31 16:00'),
    (14, 'z3', 'completed', 100, '2026-02-28 15:59:59'), (14, 'z4', 'completed', 100, '2026-02-28 16:00');
SELECT reference, points FROM points_entry WHERE customer_id = 14 AND program = 'points' AND kind = 'earn' ORDER BY 1;
-- the ledger never says that it was the month of birth; a refund keeps the double
SELECT detail FROM points_entry WHERE customer_id = 10 AND program = 'points' AND kind = 'earn';
UPDATE contact SET birth_date = NULL WHERE customer_id = 10;
UPDATE purchase SET refunded = 300 WHERE order_no = 'bd10';
SELECT * FROM b('{10}');
-- a lunar birthday is kept in the month into which it falls: the 1st of the 1st month was 17 February in 2026
INSERT INTO contact (customer_id, birth_date, birth_calendar) VALUES (15, '1990-01-27', 'lunar');
SELECT count(grant_tier(15, 'diamond', as_of => '2026-01-02'));
INSERT INTO purchase (customer_id, order_no, status, amount, paid_at) VALUES (15, 'l1', 'completed', 100, '2026-02-03'), (15, 'l2', 'completed', 100, '2026-01-27');
SELECT reference, points FROM points_entry WHERE customer_id = 15 AND program = 'points' ORDER BY 1;
-- the order that lifts to a tier does not yet have its benefits; the next has
UPDATE tier_benefit SET kind = 'points_multiplier', value = 3 WHERE kind = 'birthday_multiplier';
INSERT INTO purchase (customer_id, order_no, status, amount, paid_at) VALUES (16, 'up1', 'completed', 3000, '2026-02-01');
INSERT INTO purchase (customer_id, order_no, status, amount, paid_at) VALUES (16, 'up2', 'completed', 100, '2026-02-02');
SELECT reference, points FROM points_entry WHERE customer_id = 16 AND program = 'points' AND kind = 'earn' ORDER BY 1;
-- benefits by the amount: what a refund brings below it loses them
INSERT INTO tier_benefit (tier, kind, value, threshold) VALUES ('diamond', 'points_multiplier', 5, 1000);
INSERT INTO purchase (customer_id, order_no, status, amount, paid_at) VALUES (16, 'st', 'completed', 1200, '2026-02-03');
SELECT points, detail FROM points_entry WHERE customer_id = 16 AND program = 'points' AND reference = 'mall/st';
UPDATE purchase SET refunded = 300 WHERE order_no = 'st';
SELECT sum(CASE kind WHEN 'earn' THEN points ELSE -points END) AS left FROM points_entry WHERE customer_id = 16 AND program = 'points' AND reference LIKE 'mall/st%';
DELETE FROM tier_benefit WHERE kind = 'points_multiplier';
-- several match: the largest, or the product; campaigns by the moment of the order
INSERT INTO points_multiplier (rule, times, tier, valid_from, valid_until, category, birthday_month)
SELECT rule, m.* FROM points_rule, (VALUES
    (1.5, NULL::text[], '2026-06-18'::timestamptz, '2026-06-19'::timestamptz, NULL::text[], false), (2, '{gold}', NULL, NULL, NULL, false),
    (3, NULL, NULL, NULL, '{new}', false), (4, '{silver}', NULL, NULL, '{new}', true)) m
WHERE program = 'points' AND event = 'order';
CREATE FUNCTION buy(who bigint, no text, at timestamptz) RETURNS void LANGUAGE sql AS $$
    WITH o AS (INSERT INTO purchase (customer_id, order_no, status, amount, paid_at) VALUES (who, no, 'completed', 1000, at) RETURNING customer_id, channel, order_no)
    INSERT INTO purchase_item (customer_id, channel, order_no, line, product, category, amount)
    SELECT customer_id, channel, order_no, line, 'p' || line, category, 500 FROM o, (VALUES (1, 'plain'), (2, 'new')) i (line, category) $$;
SELECT buy(20, 'm1', '2026-06-17 23:59:59'), buy(20, 'm2', '2026-06-18'), buy(20, 'm3', '2026-06-19'), buy(12, 'm4', '2026-06-18 12:00') \g /dev/null
UPDATE settings SET points_multipliers = 'product';
SELECT buy(20, 'n2', '2026-06-18'), buy(12, 'n4', '2026-06-18 12:00') \g /dev/null
UPDATE settings SET points_multipliers = 'largest';
SELECT reference, points, detail -> 'times' AS times, detail -> 'product' AS product, jsonb_path_query_array(detail, '$.items[*].times') AS items FROM points_entry WHERE customer_id IN (12, 20) AND program = 'points' AND kind = 'earn' AND reference ~ '^mall/[mn]' ORDER BY 1;
-- the stored multiplier holds after the campaign, and when the rule is gone
DELETE FROM points_multiplier;
UPDATE purchase SET refunded = 500 WHERE order_no IN ('m2', 'n2');
SELECT left(reference, 7) AS reference, sum(CASE kind WHEN 'earn' THEN points ELSE -points END) AS left FROM points_entry WHERE customer_id = 20 AND program = 'points' GROUP BY 1 ORDER BY 1;
-- minimum and rounding
UPDATE points_rule SET minimum = 50, rounding = 'nearest' WHERE program = 'points';
INSERT INTO purchase (customer_id, order_no, status, amount) VALUES (21, 's1', 'completed', 49.99), (22, 's2', 'completed', 50), (23, 's3', 'completed', 149.99), (24, 's4', 'completed', 150);
UPDATE points_rule SET minimum = 0, rounding = 'up' WHERE program = 'points';
INSERT INTO purchase (customer_id, order_no, status, amount) VALUES (25, 's5', 'completed', 0.01), (26, 's6', 'completed', 100), (27, 's7', 'completed', 100.01);
SELECT * FROM b('{21,22,23,24,25,26,27}');
UPDATE purchase SET refunded = 110 WHERE order_no = 's4';
SELECT * FROM b('{24}');
UPDATE points_rule SET rounding = 'down' WHERE program = 'points';
-- days of waiting are kept with the order, as is that it waits for its completion
UPDATE points_rule SET wait_days = 7 WHERE program = 'points';
INSERT INTO purchase (customer_id, order_no, amount, ordered_at) VALUES (28, 'w', 500, now() - interval '10 days');
UPDATE points_rule SET wait_days = 0, on_status = 'paid' WHERE program = 'points';
UPDATE purchase SET status = 'completed', completed_at = now() - interval '6 days' WHERE order_no = 'w';
SELECT * FROM b('{28}');
UPDATE points_rule SET on_status = 'completed' WHERE program = 'points';
-- remainders carried: the whole points of all orders together, whatever comes and goes
UPDATE points_program SET carry_remainder = true WHERE program = 'points';
INSERT INTO purchase (customer_id, order_no, status, amount) VALUES (30, 'k1', 'completed', 50);
SELECT * FROM b('{30}');
INSERT INTO purchase (customer_id, order_no, status, amount) VALUES (30, 'k2', 'completed', 149.99), (30, 'k3', 'completed', 0.01);
SELECT * FROM b('{30}');
UPDATE purchase SET refunded = 0.01 WHERE order_no = 'k2';
SELECT * FROM b('{30}');
UPDATE purchase SET refunded = 50 WHERE order_no = 'k1';
SELECT * FROM b('{30}');
UPDATE purchase SET refunded = 0 WHERE customer_id = 30;
UPDATE purchase SET status = 'cancelled' WHERE order_no = 'k2';
SELECT * FROM b('{30}');
SELECT seq, kind, points, balance_after, reference, reverses FROM points_entry WHERE customer_id = 30 AND program = 'points' ORDER BY 1;
INSERT INTO purchase (customer_id, order_no, status, amount, ordered_at) SELECT 31 + n % 5, 'kk' || n, 'completed', (n * 7919 % 100000) / 100.0, now() - n * interval '1 minute' FROM generate_series(1, 300) n;
UPDATE purchase SET refunded = trunc(amount * (length(order_no) + hashtext(order_no) % 7 + 7) / 20, 2) WHERE order_no LIKE 'kk%' AND hashtext(order_no) % 3 = 0;
DELETE FROM purchase WHERE order_no LIKE 'kk%' AND hashtext(order_no) % 5 = 0;
SELECT count(*) AS wrong FROM (SELECT customer_id, floor(sum(net) / 100) AS points FROM purchase WHERE customer_id BETWEEN 31 AND 35 GROUP BY 1) p
LEFT JOIN points_balance b ON b.customer_id = p.customer_id AND b.program = 'points' WHERE b.available IS DISTINCT FROM p.points;
UPDATE points_program SET carry_remainder = false WHERE program = 'points';
UPDATE purchase SET refunded = amount WHERE customer_id BETWEEN 31 AND 35;
SELECT sum(available) FROM points_balance WHERE customer_id BETWEEN 31 AND 35 AND program = 'points';
-- an inactive rule, one that is gone and an order that earns nothing make no account
UPDATE points_rule SET active = false;
INSERT INTO purchase (customer_id, order_no, status, amount) VALUES (40, 'x', 'paid', 500);
UPDATE purchase SET refunded = 100 WHERE order_no = 'x';
UPDATE purchase SET status = 'completed', completed_at = now() WHERE order_no = 'x';
DELETE FROM purchase WHERE order_no = 'x';
UPDATE points_rule SET active = true;
INSERT INTO purchase (customer_id, order_no, status, amount) VALUES (41, 'y', 'paid', 0.5);
UPDATE purchase SET refunded = 0.1 WHERE order_no = 'y';
UPDATE purchase SET status = 'completed', completed_at = now() WHERE order_no = 'y';
INSERT INTO purchase (customer_id, order_no, status, amount) VALUES (42, 'gone', 'completed', 500);
DELETE FROM points_rule;
INSERT INTO purchase (customer_id, order_no, status, amount) VALUES (43, 'none', 'completed', 500);
UPDATE purchase SET refunded = 100 WHERE order_no IN ('gone', 'none');
SELECT customer_id, program, available FROM points_account WHERE customer_id BETWEEN 40 AND 43 ORDER BY 1, 2;
INSERT INTO points_rule (program, event, points, per_amount, on_status) VALUES ('points', 'order', 1, 100, 'completed'), ('growth', 'order', 1, 1, 'paid');
-- an order may post to another's account, such as a family's
INSERT INTO purchase (customer_id, order_no, status, amount, points_customer) VALUES (45, 'f1', 'completed', 500, 44);
SELECT * FROM b('{44,45}');
UPDATE purchase SET customer_id = 46 WHERE order_no = 'f1';
SELECT * FROM b('{44,45,46}');
UPDATE purchase SET refunded = 200 WHERE order_no = 'f1';
SELECT * FROM b('{44,45,46}');
UPDATE purchase SET points_customer = NULL WHERE order_no = 'f1';
SELECT * FROM b('{44,45,46}');
-- behaviours: each reference once, at most so often, while it holds
INSERT INTO points_rule (program, event, points, limit_times, limit_period, valid_until) VALUES
    ('growth', 'review', 50, 2, 'day', NULL), ('points', 'review', 3, 1, 'ever', NULL), ('points', 'activity', 10, NULL, 'day', '2026-05-01'), ('points', 'survey', 20, NULL, 'day', NULL);
SELECT program, points FROM earn_for(50, 'review', 'r1', '2026-04-01 01:00');
SELECT program, points FROM earn_for(50, 'review', 'r1', '2026-04-01 02:00');
SELECT program, points FROM earn_for(50, 'review', 'r2', '2026-04-01 03:00');
SELECT program, points FROM earn_for(50, 'review', 'r3', '2026-04-01 15:59');
SELECT program, points FROM earn_for(50, 'review', 'r3', '2026-04-01 16:00');
SELECT kind, points FROM refund(50, 'r3', source => 'review', program => 'growth', as_of => '2026-04-01 17:00');
SELECT program, points FROM earn_for(50, 'activity', 'a1', '2026-04-30 23:59');
SELECT count(*) FROM earn_for(50, 'activity', 'a2', '2026-05-01');
SELECT * FROM earn_for(50, 'order', 'a2');
SELECT count(*) FROM earn_for(50, 'dance', 'a2');
INSERT INTO survey (survey, version, title) VALUES ('s', 1, 's');
INSERT INTO survey_invitation (customer_id, survey, version, expires_at) VALUES (51, 's', 1, '2030-01-01');
UPDATE survey_invitation SET answered_at = '2026-04-02' WHERE customer_id = 51;
UPDATE survey_invitation SET answered_at = '2026-04-03' WHERE customer_id = 51;
SELECT source, reference, points, occurred_at FROM points_entry WHERE customer_id = 51;
UPDATE points_account SET closed = true WHERE customer_id = 51;
INSERT INTO survey_invitation (customer_id, survey, version, reference, expires_at) VALUES (51, 's', 1, 'again', '2030-01-01');
UPDATE survey_invitation SET answered_at = '2026-04-04' WHERE reference = 'again';
SELECT count(*) FROM points_entry WHERE customer_id = 51;
-- a single line has its points in the entry too
INSERT INTO points_multiplier (rule, times, product) SELECT rule, 2.5, '{q}' FROM points_rule WHERE program = 'growth' AND event = 'order';
WITH o AS (INSERT INTO purchase (customer_id, order_no, amount) VALUES (55, 'one', 10) RETURNING customer_id, channel, order_no)
INSERT INTO purchase_item (customer_id, channel, order_no, line, product, amount) SELECT o.*, 1, 'q', 10 FROM o;
SELECT points, detail -> 'items' AS items FROM points_entry WHERE customer_id = 55 AND program = 'growth';
-- a detail that somebody made up harms nothing
SELECT points FROM earn(52, 7, 'purchase', 'mall/forged', detail => '{"points": 1e30, "per": 1, "times": [{"times": -1}, 3, "x"], "marks": {"a": 1}}');
INSERT INTO purchase (customer_id, order_no, status, amount) VALUES (52, 'forged', 'completed', 500);
SELECT * FROM b('{52}');
SELECT points FROM earn(53, 7, 'purchase', 'mall/forged2', detail => '{"points": 1000000000, "per": 0.0001, "times": [{"times": 1000000}]}');
INSERT INTO purchase (customer_id, order_no, status, amount) VALUES (53, 'forged2', 'completed', 999999999999.9999);
SELECT points FROM earn(54, 7, 'purchase', 'mall/forged3', detail => '{"points": 1, "per": 1, "marks": [{"times": 2, "category": ["x", 4, null]}, {"times": 3, "product": "y"}]}');
INSERT INTO purchase (customer_id, order_no, status, amount) VALUES (54, 'forged3', 'completed', 5);
SELECT * FROM b('{54}');
SELECT * FROM points_verify();
SELECT program, sum(amount) FROM points_trial_balance GROUP BY 1 ORDER BY 1;
SELECT crm.drop_store('t_points_rules', 't_points_rules');
