\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'Asia/Shanghai';
SET client_min_messages = warning;
SELECT crm.create_store('t_segment');
SET search_path = t_segment, crm, public;
INSERT INTO customer (customer_id, joined_at) SELECT i, now() - interval '3 years' FROM generate_series(1, 12) i;

-- the life cycle, by days since the orders
INSERT INTO purchase (customer_id, order_no, amount, discount, paid_at)
SELECT c, format('%s-%s', c, days), amount, discount, now() - make_interval(days => days)
FROM (VALUES (2, 30, 100, 0), (3, 31, 100, 0), (4, 90, 50, 0), (4, 200, 50, 0), (5, 91, 10, 0), (6, 180, 10, 0), (7, 181, 10, 0), (8, 365, 10, 0),
             (9, 366, 10, 0), (10, 5, 80, 20), (10, 400, 80, 20), (10, 900, 80, 20), (11, 10, 90, 10), (11, 20, 90, 10), (11, 40, 90, 0), (11, 60, 90, 0),
             (11, 80, 90, 0), (11, 100, 90, 0), (12, 3, 5000, 0)) v (c, days, amount, discount);
SELECT customer_id, lifecycle, stage, stage_zh FROM customer_lifecycle ORDER BY 1;
SELECT customer_id, lifecycle FROM customer_360_at(now() + interval '300 days') ORDER BY 1;
CALL record_lifecycle();
SELECT from_stage, to_stage, customers FROM lifecycle_transitions ORDER BY 1, 2;
SELECT customer_id, to_stage, (now()::date - at::date) AS days_ago FROM lifecycle_change WHERE customer_id IN (5, 7, 9, 10) ORDER BY 1;
CALL record_lifecycle();
CALL record_lifecycle(now() + interval '61 days');
SELECT customer_id, from_stage, to_stage, at::date - now()::date AS in_days, at = date_trunc('day', at) AS midnight FROM lifecycle_change WHERE from_stage IS NOT NULL ORDER BY 1;
SELECT * FROM lifecycle_matrix(now() - interval '100 days') ORDER BY 1, 2;
SELECT * FROM refit_lifecycle();
UPDATE settings SET lifecycle_by = 'gaps';
SELECT customer_id, lifecycle FROM customer_lifecycle WHERE customer_id IN (3, 4, 11) ORDER BY 1;
UPDATE settings SET lifecycle_by = 'days';

-- the row of a customer; the same at a moment
SELECT order_count, spend_total, orders_12m, spend_12m, avg_order_12m, days_since_order, avg_gap_days, promotion_share, discount_share, points, points_pending, growth,
       tier, lifecycle, value_class, relation, service_grade FROM customer_360 WHERE customer_id = 11;
SELECT order_count, spend_total, orders_12m, spend_12m, avg_order_12m, days_since_order, promotion_share, growth, tier, lifecycle, relation
FROM customer_360_at(now() - interval '50 days') WHERE customer_id = 11;
SELECT count(*) AS differ FROM
    (SELECT to_jsonb(c) - 'service_grade' AS r FROM customer_360 c EXCEPT SELECT to_jsonb(c) - 'service_grade' FROM customer_360_at(now()) c) d;
SELECT count(*) AS columns, count(meaning) AS described FROM describe_columns();
SELECT name, type, meaning FROM describe_columns() WHERE name IN ('tags', 'spend_12m', 'tier');

-- value: the first ceil(0.2 n) of the n buyers of 12 months, at risk first
SELECT customer_id, rank, buyers, spend_12m, cumulated_share FROM value_ranking() ORDER BY rank;
SELECT customer_id, value_class FROM customer_360 WHERE value_class IS NOT NULL ORDER BY 1;
SELECT buyers, high_buyers, high_revenue_share FROM refit_value_classes();
SELECT value_class, count(*) FROM customer_360 GROUP BY 1 ORDER BY 1;

-- segments: by rule, by tags, both; live and frozen
SELECT segment, segment_members(segment) FROM segment ORDER BY 1;
INSERT INTO segment (segment, rule, query) VALUES ('mine', 'order_count >= 1', NULL), ('both', 'order_count >= 3', 'friend & !rude'), ('tagged', NULL, 'friend');
UPDATE customer SET tags = '{friend}' WHERE customer_id IN (1, 10, 11);
UPDATE customer SET tags = tags + 'rude' WHERE customer_id = 10;
SELECT segment, segment_size(segment), segment_members(segment) FROM segment WHERE kind = 'own' ORDER BY 1;
SELECT segment_size('mine', estimate => true) > 0 AS estimated;
SELECT freeze_segment('mine');
INSERT INTO purchase (customer_id, order_no, amount) VALUES (1, '1-0', 10);
SELECT segment_size('mine') AS frozen, (SELECT count(*) FROM customer_360 WHERE order_count >= 1) AS now;
SELECT * FROM segment_difference('both', now() - interval '50 days');
SELECT * FROM segment_difference('crowd_repurchase', now() - interval '90 days');
INSERT INTO segment (segment, rule) VALUES ('bad', 'phone = ''1''');
INSERT INTO segment (segment, rule) VALUES ('bad', 'order_count = ''many''');
SELECT segment_members('nobody');

-- tags by rule: set and removed, in one pass; by hand they stay
INSERT INTO tag_rule (tag, rule) VALUES ('buyer', 'order_count >= 1'), ('quiet', 'lifecycle IN (''dormant'', ''at_risk'', ''churned'')'), ('friend', 'order_count >= 6');
SELECT tag, instant FROM tag_rule ORDER BY 1;
CALL apply_tag_rules();
SELECT customer_id, tags FROM customer ORDER BY 1;
SELECT customer_id, tag FROM customer_rule_tag ORDER BY 1, 2;
CREATE TEMP TABLE stamp AS SELECT customer_id, ctid AS place FROM customer;
CALL apply_tag_rules(batch => 5);
SELECT count(*) AS rewritten FROM customer c JOIN stamp s USING (customer_id) WHERE c.ctid <> s.place;
-- at once with the order
INSERT INTO customer (customer_id) VALUES (13);
INSERT INTO purchase (customer_id, order_no, amount) VALUES (13, '13-0', 10), (9, '9-0', 10);
SELECT customer_id, tags FROM customer WHERE customer_id IN (9, 13) ORDER BY 1;
DELETE FROM purchase WHERE order_no = '13-0';
SELECT tags FROM customer WHERE customer_id = 13;
UPDATE tag_rule SET rule = 'order_count >= 2' WHERE tag = 'buyer';
INSERT INTO purchase (customer_id, order_no, amount) VALUES (13, '13-1', 10);
SELECT tags FROM customer WHERE customer_id = 13;
INSERT INTO purchase (customer_id, order_no, amount) VALUES (13, '13-2', 10);
SELECT tags FROM customer WHERE customer_id = 13;
UPDATE tag_rule SET enabled = false;
CALL apply_tag_rules();
SELECT customer_id, tags FROM customer WHERE tags <> '{}' ORDER BY 1;
SELECT count(*) FROM customer_rule_tag;
-- what a person took away neither the pass nor the next order that deserves it brings back
UPDATE tag_rule SET enabled = true;
CALL apply_tag_rules();
UPDATE customer SET tags = tags - 'buyer' WHERE customer_id = 13;
CALL apply_tag_rules();
SELECT tags, rule_tags FROM customer WHERE customer_id = 13;
INSERT INTO purchase (customer_id, order_no, amount) VALUES (13, '13-3', 10);
SELECT tags, rule_tags FROM customer WHERE customer_id = 13;
-- a tag that lapses is written by the statement, and what a person gave stays
INSERT INTO tag (tag, kind, valid_for) VALUES ('friend', 'rule', '1 year');
UPDATE tag_rule SET rule = 'order_count >= 4' WHERE tag = 'friend';
UPDATE customer SET tags = tags + 'mine' WHERE customer_id = 13;
INSERT INTO tag_rule (tag, rule) VALUES ('mine', 'order_count = 4');
INSERT INTO purchase (customer_id, order_no, amount) VALUES (13, '13-4', 10);
SELECT tags, rule_tags FROM customer WHERE customer_id = 13;
SELECT customer_id, tag FROM tag_expiry ORDER BY 1, 2;
SELECT customer_id, tag, since = (SELECT max(e.at) FROM tag_event e WHERE e.customer_id = 13 AND e.tag = 'friend') AS then FROM customer_rule_tag WHERE tag = 'friend' AND customer_id = 13;
DELETE FROM purchase WHERE order_no = '13-4';
SELECT tags, rule_tags FROM customer WHERE customer_id = 13;
SELECT count(*) FROM tag_expiry;
-- of a rule that is no more the tag stays, as one given by hand
DELETE FROM tag_rule WHERE tag = 'buyer';
CALL apply_tag_rules(batch => 3);
SELECT count(*) FILTER (WHERE tags ? 'buyer') AS tagged, count(*) FILTER (WHERE rule_tags ? 'buyer') AS noted FROM customer;
SELECT * FROM check_tag_audience();
RESET search_path;
SELECT crm.drop_store('t_segment', confirm => 't_segment');
