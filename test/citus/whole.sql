-- What needs many customers at once: the same statements for a store on one node and for one over three, after workload.sql.
\set ON_ERROR_STOP off
\pset format unaligned
\pset tuples_only on
\set VERBOSITY terse
SET search_path = :store, crm;
SET citus.propagate_set_commands = 'local';

\echo models
SELECT (refit_rfm('2026-09-01')) IS NOT NULL;
SELECT high_buyers, high_spend, high_orders, high_margin, high_customer_id, middle_customer_id, high_revenue_share FROM refit_value_classes('2026-09-01');
SELECT * FROM refit_lifecycle('2026-09-01');
UPDATE settings SET model_min_buyers = 50, lifecycle_by = 'gaps';
SELECT state, buyers, repeat_buyers, round(value_correlation::numeric, 6), round((bgnbd).r::numeric, 3) FROM refit_value_models('2026-09-01');
SELECT buyers, high_buyers, high_spend, high_customer_id, middle_customer_id FROM value_limits;
SELECT base_tier, NOT rfm_model IS NULL, (value_limits).high_customer_id, value_model_id FROM in_force;
SELECT customer_id, rank, spend_12m, cumulated_share FROM value_ranking('2026-09-01') WHERE rank <= 20 ORDER BY rank;
SELECT customer_id, rfm, segment FROM customer_rfm_at('2026-09-01') ORDER BY 1;
SELECT customer_id, rfm, segment FROM customer_rfm ORDER BY 1;
SELECT customer_id, round(p_alive::numeric, 4), round(clv, 0) FROM customer_value('2026-09-01') ORDER BY 1;

\echo customer_360
SELECT customer_id, status, tags, order_count, spend_total, margin_total, avg_order, orders_12m, spend_12m, orders_window, spend_window, first_order_at, last_order_at,
       days_since_order, avg_gap_days, return_rate, discount_share, promotion_share, last_channel, top_category, top_category_share, points, points_pending, growth, tier,
       tier_since, tier_until, lifecycle, rfm, rfm_segment, round(p_alive::numeric, 4), value_class, relation, service_grade, open_tickets
FROM customer_360 ORDER BY customer_id;
SELECT customer_id, status, tags, order_count, spend_total, margin_total, avg_order, orders_12m, spend_12m, orders_window, spend_window, first_order_at, last_order_at,
       days_since_order, avg_gap_days, return_rate, discount_share, promotion_share, last_channel, top_category, top_category_share, points, points_pending, growth, tier,
       tier_since, tier_until, lifecycle, rfm, rfm_segment, round(p_alive::numeric, 4), value_class, relation, service_grade, open_tickets
FROM customer_360_all ORDER BY customer_id;
SELECT customer_id, points, tier, lifecycle FROM customer_360 WHERE customer_id = 13;
SELECT lifecycle, count(*), sum(points) FROM customer_360 GROUP BY 1 ORDER BY 1;
SELECT customer_id, spend_total, orders_12m, points, growth, tier, lifecycle, rfm, value_class, service_grade FROM customer_360_at('2026-04-01') ORDER BY 1;
SELECT stage, count(*) FROM customer_lifecycle GROUP BY 1 ORDER BY 1;

\echo segments
INSERT INTO segment (segment, rule) VALUES ('spenders', 'spend_12m >= 3000'), ('gold', 'tier = ''gold'''), ('dear', 'value_class = ''high'' and days_since_order > 1');
INSERT INTO segment (segment, query) VALUES ('vips', 'vip & !early');
INSERT INTO segment (segment, rule, query) VALUES ('both', 'order_count >= 8', 'vip | early');
INSERT INTO segment (segment, rule) VALUES ('bad', 'no_such_column > 1');
SELECT segment, segment_members(segment) FROM segment ORDER BY 1;
SELECT segment, segment_members(segment, '2026-04-01') FROM segment ORDER BY 1;
SELECT segment, segment_size(segment), segment_size(segment, estimate => true) > 0 FROM segment ORDER BY 1;
SELECT * FROM segment_difference('spenders', '2026-01-01', '2026-08-01');
SELECT freeze_segment('spenders', '2026-08-01');
SELECT freeze_segment('spenders', '2026-09-01');
SELECT frozen_at, segment_members('spenders') FROM segment WHERE segment = 'spenders';
SELECT segment_members('nobody');

\echo tag_rules
INSERT INTO tag_rule (tag, rule) VALUES ('spender', 'spend_12m >= 3000'), ('sleeper', 'lifecycle = ''churned'''), ('vip', 'spend_total >= 9000'), ('golden', 'tier = ''gold''');
CALL apply_tag_rules('2026-09-01');
SELECT customer_id, tag FROM customer_rule_tag ORDER BY 1, 2;
SELECT customer_id, tags FROM customer ORDER BY 1;
-- An order judges the rules on its own columns at once.
INSERT INTO purchase (customer_id, channel, order_no, status, amount, ordered_at, paid_at) VALUES (50, 'mall', 'TR1', 'completed', 9500, '2026-09-02', '2026-09-02');
SELECT customer_id, tags FROM customer WHERE customer_id = 50;
UPDATE tag_rule SET enabled = false WHERE tag = 'spender';
DELETE FROM tag_rule WHERE tag = 'golden';
CALL apply_tag_rules('2026-09-03');
SELECT customer_id, tag FROM customer_rule_tag ORDER BY 1, 2;
SELECT tag, customers FROM tag_count ORDER BY 1;

\echo tiers
UPDATE tier SET keep = 'spend_12m >= 2500' WHERE tier = 'silver';
UPDATE tier SET keep = 'spend_12m >= 7000' WHERE tier = 'gold';
-- Ends the cycle of some and lifts others by the order path: first cycles that are over, then the order.
INSERT INTO purchase (customer_id, channel, order_no, status, amount, ordered_at, paid_at)
SELECT i, 'mall', 'T' || i, 'completed', 3100, '2027-08-20', '2027-08-20' FROM generate_series(1, 30) i;
SELECT customer_id, change_no, from_tier, to_tier, reason, at, value, threshold FROM tier_change ORDER BY 1, 2;
-- A refund takes back what an order lifted.
UPDATE purchase SET status = 'refunded', refunded = amount WHERE order_no IN ('T1', 'T4', 'T9', 'T30');
SELECT customer_id, tier, since, basis, period_end, judged_at, peak, last_change, rests_on FROM tier_member ORDER BY 1;
CALL evaluate_tiers('2027-09-01');
SELECT customer_id, tier, since, basis, period_end, judged_at, peak, last_change, rests_on FROM tier_member ORDER BY 1;
CALL evaluate_tiers('2029-01-01', 7);
CALL evaluate_tiers('2029-01-01');
SELECT customer_id, change_no, from_tier, to_tier, reason, at, value, threshold FROM tier_change ORDER BY 1, 2;
SELECT judge_due(ARRAY[1, 2, 3], '2030-01-01'), judge_upgrade(ARRAY[1, 2, 3], ARRAY['2027-08-21', '2027-08-21', '2027-08-21']::timestamptz[]);
SELECT tier, count(*) FROM tier_member GROUP BY 1 ORDER BY 1;

\echo post_points
SELECT * FROM post_points(ARRAY(SELECT ROW(i, 'earn', 10 * i, 'batch', 'p' || i, NULL, '2031-01-01', NULL, NULL, '2029-02-01', NULL)::crm.points_movement FROM generate_series(40, 80) i)) ORDER BY ordinal;
SELECT * FROM post_points(ARRAY(SELECT ROW(i, CASE WHEN i % 3 = 0 THEN 'redeem' ELSE 'earn' END, CASE WHEN i % 6 = 0 THEN 1000000 ELSE 7 END, 'batch', 'q' || i, NULL, NULL, NULL, NULL, '2029-02-02', NULL)::crm.points_movement
                                FROM generate_series(195, 210) i), false) ORDER BY ordinal;
-- All or nothing: customer 60 has not so many.
SELECT count(*) FROM post_points(ARRAY[ROW(59, 'earn', 5, 'batch', 'n1', NULL, NULL, NULL, NULL, '2029-02-03', NULL)::crm.points_movement,
                                       ROW(60, 'redeem', 50000000, 'batch', 'n2', NULL, NULL, NULL, NULL, '2029-02-03', NULL)::crm.points_movement]);
SELECT count(*) FROM points_entry WHERE reference IN ('n1', 'n2');
-- A repeat gives what there is.
SELECT * FROM post_points(ARRAY(SELECT ROW(i, 'earn', 10 * i, 'batch', 'p' || i, NULL, '2031-01-01', NULL, NULL, '2029-02-01', NULL)::crm.points_movement FROM generate_series(40, 45) i)) ORDER BY ordinal;
BEGIN;
SELECT count(*) FROM post_points(ARRAY(SELECT ROW(i, 'earn', 1, 'batch', 'undone', NULL, NULL, NULL, NULL, '2029-02-04', NULL)::crm.points_movement FROM generate_series(1, 100) i));
ROLLBACK;
SELECT count(*) FROM points_entry WHERE reference = 'undone';

\echo transfer
SELECT customer_id, kind, points, balance_after, lots FROM transfer(59, 60, 100, 'gift', 'g1', as_of => '2029-03-01');
SELECT customer_id, seq, kind, points FROM transfer(59, 60, 100, 'gift', 'g1', as_of => '2029-03-01');
SELECT customer_id, kind, points, balance_after, lots FROM transfer(60, 61, 350, 'gift', 'g2', as_of => '2029-03-02');
SELECT customer_id, kind, points, balance_after, lots FROM transfer(61, 62, 5, 'gift', 'g3', as_of => '2029-03-02');
SELECT customer_id, kind, points, balance_after, lots FROM transfer(62, 63, 7, 'gift', 'g4', as_of => '2029-03-02', note => 'for you');
\set VERBOSITY sqlstate
SELECT transfer(61, 62, 50000000, 'gift', 'g5', as_of => '2029-03-02');
SELECT transfer(61, 61, 5, 'gift', 'g6', as_of => '2029-03-02');
SELECT transfer(61, 999999, 5, 'gift', 'g7', as_of => '2029-03-02');
SELECT transfer(61, 64, 5, 'gift', 'g3', as_of => '2029-03-02');
\set VERBOSITY terse
SELECT customer_id, note FROM points_note WHERE note = 'for you';
SELECT customer_id, program, seq, kind, points, source, reference, balance_after, lots, detail, CASE WHEN customer_id NOT IN (62) THEN encode(hash, 'hex') END
FROM points_entry WHERE customer_id BETWEEN 59 AND 64 ORDER BY 1, 2, 3;

\echo balances
SELECT * FROM points_balance ORDER BY 1, 2;
SELECT * FROM points_balance WHERE customer_id = 60 ORDER BY 2;
SELECT * FROM points_lot WHERE customer_id BETWEEN 40 AND 65 ORDER BY 1, 2, 4, 5, 3;
SELECT rank, customer_id, points FROM points_leaderboard('2026-01-01', '2030-01-01', n => 15) ORDER BY 1;

\echo checkpoints
SELECT checkpoint, accounts, entries, changed FROM points_checkpoint();
SELECT (earn(11, 11, 'cp', 'c1', as_of => '2029-04-01')).points, (earn(12, 12, 'cp', 'c1', as_of => '2029-04-01')).points;
SELECT checkpoint, accounts, entries, changed FROM points_checkpoint();
SELECT checkpoint, accounts, entries, changed FROM points_checkpoint();
SELECT count(*) FROM points_verify_checkpoints();
SELECT count(*) FROM points_verify_since();
SELECT count(*) FROM points_verify_since(1);
SELECT i, points_proof(i) ->> 'seq', points_proof(i) ->> 'checkpoint' FROM unnest(ARRAY[1, 11, 60, 999999]) i;
SELECT points_proof(11, checkpoint => 1) ->> 'checkpoint';
SELECT count(*) FROM crm.points_verify_shards('points_entry'::regclass, NULL, NULL, 1, 1);

\echo identity
SELECT setval(pg_get_serial_sequence('customer', 'customer_id'), 5000) > 0;
SELECT count(*), count(DISTINCT customer_id) FROM find_or_create_customers(ARRAY['wx', 'tb', 'wx', 'wx'], ARRAY['o1', 'o1', 'o2', 'o1'], NULL);
SELECT count(*) FROM find_or_create_customers(ARRAY['wx', 'wx'], ARRAY['o1', 'o3'], NULL);
SELECT find_or_create_customer('wx', 'o1') = find_or_create_customer('wx', 'o1', '王小明', '13900000001'), find_or_create_customer('wx', 'o1') <> find_or_create_customer('tb', 'o1');
SELECT find_or_create_customer('wx', 'o4', '李雷', '13900000002') IS NOT NULL;
SELECT i.channel, i.external_id FROM identity i ORDER BY 1, 2;
SELECT c.name, c.phone FROM contact c WHERE c.phone LIKE '139%' ORDER BY 2;
SELECT count(*), sum(s.order_count) FROM customer c JOIN customer_summary s USING (customer_id) WHERE c.customer_id <= 201;
BEGIN;
SELECT find_or_create_customer('wx', 'undone', '韩梅梅') IS NOT NULL;
ROLLBACK;
SELECT count(*) FROM identity WHERE external_id = 'undone';

\echo folding
SELECT tag, customers FROM tag_count WHERE tag <> 'x' ORDER BY 1;
CALL fold_tag_audience();
SELECT count(*) FROM tag_audience_change;
SELECT tag, customers FROM tag_count ORDER BY 1;
SELECT tag_members('vip');
UPDATE customer SET tags = tags - ARRAY['vip'] WHERE customer_id <= 3;
SELECT tag_members('vip'), count_tags('vip & !early'), audience_of('early');
CALL fold_tag_audience();
SELECT tag_members('vip'), count_tags('vip & !early');
UPDATE customer SET tags = tags - ARRAY['vip'] WHERE tags ? 'vip';
CALL fold_tag_audience();
SELECT tag, customers FROM tag_count ORDER BY 1;
