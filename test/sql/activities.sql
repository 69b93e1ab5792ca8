-- Lucky draws, games and courses as a shop runs them, from an empty store to the report.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'Asia/Shanghai';
SELECT crm.create_store('t_act');
SET search_path = t_act, crm, public;
INSERT INTO customer (customer_id, joined_at) SELECT i, '2020-01-01' FROM generate_series(1, 8) i;
SELECT count(earn(i, 100, 'gift', 'start', as_of => '2026-03-01')) FROM generate_series(1, 6) i;

-- A draw: 10 points an entry, two in all and one a day, for who has an order or not; four prizes.
INSERT INTO coupon_template (template, name, kind, value) VALUES ('c5', '5 元', 'fixed', 5);
INSERT INTO reward (reward, name, kind, points) VALUES ('mug', '杯子', 'goods', 300);
INSERT INTO draw (draw, name, opens_at, closes_at, cost, entries_per_customer, entries_per_day, condition)
VALUES ('spring', '春季抽奖', '2026-03-02', '2026-03-05', 10, 2, 1, 'points >= 10');
SELECT open_draw('spring', '2026-03-01');
INSERT INTO draw_prize (draw, seq, prize, stock, kind, points, coupon_template, reward) VALUES
    ('spring', 1, 'phone', 1, 'goods', NULL, NULL, NULL), ('spring', 2, 'mug', 1, 'reward', NULL, NULL, 'mug'),
    ('spring', 3, 'coupon', 1, 'coupon', NULL, 'c5', NULL), ('spring', 4, 'points', 1, 'points', 50, NULL, NULL);
SELECT enter_draw(1, 'spring', 'a', '2026-03-02');
UPDATE draw SET state = 'drawn';
SELECT open_draw('spring', '2026-03-01') = open_draw('spring', '2026-03-01') AS published;
SELECT sha256(s.seed) = d.seed_hash AS of_the_seed FROM draw_seed s JOIN draw d USING (draw);
SELECT seed FROM draw;
UPDATE draw SET cost = 0;
UPDATE draw SET closes_at = '2026-03-03';
UPDATE draw_prize SET stock = 9 WHERE seq = 1;
INSERT INTO draw_prize (draw, seq, prize, stock) VALUES ('spring', 9, 'another', 1);
SELECT enter_draw(1, 'spring', 'a', '2026-03-01 12:00');
SELECT count(enter_draw(i, 'spring', 'a', '2026-03-02 12:00')) FROM generate_series(1, 6) i;
SELECT (enter_draw(1, 'spring', 'a', '2026-03-02 12:00')).ticket = (SELECT ticket FROM draw_entry WHERE customer_id = 1) AS same_ticket;
SELECT enter_draw(1, 'spring', 'b', '2026-03-02 13:00');
SELECT count(enter_draw(1, 'spring', 'b', '2026-03-03 13:00'));
SELECT enter_draw(1, 'spring', 'c', '2026-03-04 13:00');
SELECT enter_draw(7, 'spring', 'a', '2026-03-04 13:00');
SELECT customer_id, available FROM points_account WHERE program = 'points' ORDER BY 1;
SELECT close_draw('spring', '2026-03-04');
SELECT run_draw('spring', as_of => '2026-03-04');
SELECT (close_draw('spring', '2026-03-05 00:01')).entries;
SELECT cancel_draw('spring');
SELECT enter_draw(2, 'spring', 'late', '2026-03-04 23:59');
DELETE FROM draw_entry WHERE customer_id = 2;
UPDATE draw SET entries_digest = sha256('other');
SELECT run_draw('spring', '12345');
SELECT run_draw('spring', as_of => '2026-03-05 10:00'), run_draw('spring', as_of => '2026-03-05 10:00');
UPDATE draw SET seed = sha256('other');
SELECT w.place, p.prize, w.state FROM draw_winner w JOIN draw_prize p USING (draw, seq) ORDER BY 1;
SELECT count(DISTINCT customer_id) = 4 AS four_customers FROM draw_winner;
SELECT customer_id AS winner, ticket FROM draw_winner WHERE place = 1 \gset
SELECT state FROM hand_prize(:winner, 'spring', :'ticket');
SELECT state FROM hand_prize(:winner, 'spring', :'ticket');
SELECT customer_id AS winner, ticket FROM draw_winner WHERE place = 4 \gset
SELECT state FROM hand_prize(:winner, 'spring', :'ticket');
SELECT hand_prize(7, 'spring', gen_random_uuid());
-- Prizes went through their gates, once.
SELECT source, kind, count(*), sum(points) FROM points_entry WHERE source IN ('draw', 'prize', 'reward') GROUP BY 1, 2 ORDER BY 1, 2;
SELECT template, reference FROM coupon;
SELECT entries, customers, points_taken, prizes, winners, handed, failed FROM draw_report;
SELECT line ->> 'kind' AS kind, count(*), bool_and(line::text !~ 'customer_id') AS no_customer FROM (SELECT draw_export('spring')::jsonb AS line) v GROUP BY 1 ORDER BY 1;

-- A draw that is cancelled gives the points back; one with a beacon is drawn with it only.
INSERT INTO draw (draw, name, opens_at, closes_at, cost) VALUES ('off', 'x', '2026-03-02', '2026-03-05', 10);
INSERT INTO draw_prize (draw, seq, prize, stock) VALUES ('off', 1, 'x', 1);
SELECT open_draw('off', '2026-03-01') IS NOT NULL, enter_draw(5, 'off', 'a', '2026-03-03') IS NOT NULL;
SELECT cancel_draw('off', '2026-03-04'), cancel_draw('off', '2026-03-04');
SELECT kind, points FROM points_entry WHERE customer_id = 5 AND reference LIKE 'off/%' ORDER BY seq;
INSERT INTO draw (draw, name, opens_at, closes_at, beacon_source) VALUES ('beacon', 'x', '2026-03-02', '2026-03-05', 'drand round 4510000');
INSERT INTO draw_prize (draw, seq, prize, stock) VALUES ('beacon', 1, 'x', 3);
SELECT open_draw('beacon', '2026-03-01') IS NOT NULL, enter_draw(5, 'beacon', 'a', '2026-03-03') IS NOT NULL, (close_draw('beacon', '2026-03-05')).entries;
SELECT run_draw('beacon');
SELECT run_draw('beacon', '7f3a');

-- A game: 5 points a try, three tries a day; at most 30 points a day and 65 in all.
INSERT INTO game (game, name, cost, plays_per_day, points_per_day, budget) VALUES ('wheel', '大转盘', 5, 3, 30, 65);
INSERT INTO game_outcome (game, outcome, chance, points) VALUES ('wheel', 'win', 1, 20);
INSERT INTO game_outcome (game, outcome, chance, points) VALUES ('wheel', 'more', 0.5, 20);
SELECT outcome, points FROM play_game(1, 'wheel', 'a', '2026-03-02 10:00');
SELECT outcome, points FROM play_game(1, 'wheel', 'a', '2026-03-02 10:00');
SELECT outcome, points FROM play_game(1, 'wheel', 'b', '2026-03-02 11:00');
SELECT outcome, points FROM play_game(1, 'wheel', 'c', '2026-03-02 12:00');
SELECT outcome, points FROM play_game(1, 'wheel', 'd', '2026-03-02 13:00');
SELECT outcome, points FROM play_game(1, 'wheel', 'd', '2026-03-03 00:00');
SELECT outcome, points FROM play_game(2, 'wheel', 'a', '2026-03-02 10:00');
SELECT outcome, points FROM play_game(7, 'wheel', 'a', '2026-03-02 10:00');
SELECT outcome, points FROM play_game(1, 'nosuch', 'a');
SELECT plays, customers, wins, budget, spent, points_taken FROM game_report;
SELECT rank, customer_id, points, plays FROM game_leaderboard('wheel');
-- A prize with a stock of one, beside points.
INSERT INTO game (game, name, plays_per_day, budget) VALUES ('card', '刮刮卡', 9, 0);
INSERT INTO game_outcome (game, outcome, chance, coupon_template, stock) VALUES ('card', 'coupon', 1, 'c5', 1);
SELECT outcome, code IS NOT NULL AS code FROM play_game(3, 'card', 'a', '2026-03-02');
SELECT outcome, code IS NOT NULL AS code FROM play_game(4, 'card', 'a', '2026-03-02');
-- Chance is what it says: 1000 tries, within five standard deviations.
INSERT INTO game (game, name, plays_per_day, points_per_day, budget) VALUES ('dice', 'x', 1000000, 1000000, 1000000);
INSERT INTO game_outcome (game, outcome, chance) VALUES ('dice', 'a', 0.25), ('dice', 'b', 0.5);
SELECT abs(count(*) FILTER (WHERE outcome = 'a') - 250) < 69 AS quarter, abs(count(*) FILTER (WHERE outcome = 'b') - 500) < 80 AS half,
       abs(count(*) FILTER (WHERE outcome IS NULL) - 250) < 69 AS rest
FROM generate_series(1, 1000) i, play_game(8, 'dice', i::text, '2026-03-02');

-- A course of three lessons with two places, and a live stream; what they earn stands in points_rule.
INSERT INTO points_rule (program, event, points) VALUES ('points', 'activity_attend', 2), ('points', 'course_complete', 30), ('growth', 'activity_complete', 5), ('points', 'activity_complete', 10);
INSERT INTO activity (activity, kind, title, starts_at, ends_at, lessons, capacity) VALUES ('makeup', 'course', '化妆课', '2026-03-02', '2026-04-01', 3, 2);
INSERT INTO activity (activity, kind, title, starts_at) VALUES ('live1', 'live', '直播', '2026-03-03 20:00');
SELECT join_activity(1, 'makeup', '2026-03-01');
UPDATE activity SET state = 'open';
SELECT customer_id, progress FROM join_activity(1, 'makeup', '2026-03-01');
SELECT customer_id, progress FROM join_activity(1, 'makeup', '2026-03-01');
SELECT customer_id, progress FROM join_activity(2, 'makeup', '2026-03-01');
SELECT customer_id, progress FROM join_activity(3, 'makeup', '2026-03-01');
SELECT leave_activity(2, 'makeup'), leave_activity(2, 'makeup'), (join_activity(3, 'makeup', '2026-03-01')).customer_id;
SELECT attend_activity(2, 'makeup', 1);
SELECT attend_activity(1, 'makeup', 1, 10, '2026-03-01 10:00');
SELECT progress, minutes, completed_at FROM attend_activity(1, 'makeup', 1, 10, '2026-03-02 10:00');
SELECT progress, minutes, completed_at FROM attend_activity(1, 'makeup', 3, 45, '2026-03-03 10:00');
SELECT progress, minutes, completed_at FROM attend_activity(1, 'makeup', 3, 45, '2026-03-03 10:00');
SELECT progress, minutes, completed_at FROM attend_activity(1, 'makeup', 2, 20, '2026-03-04 10:00');
SELECT attend_activity(1, 'makeup', 4);
SELECT leave_activity(1, 'makeup');
SELECT progress FROM attend_activity(3, 'makeup', 1, 5, '2026-03-03 11:00');
SELECT count(join_activity(i, 'live1', '2026-03-03')), count(attend_activity(i, 'live1', CASE WHEN i < 3 THEN 1 END, i, '2026-03-03 20:30')) FROM generate_series(1, 4) i;
-- A rule that changes later posts nothing a second time.
UPDATE points_rule SET active = false WHERE event = 'course_complete';
SELECT earn_event(1, '{course_complete,activity_complete}', 'makeup', '2026-03-05');
SELECT customer_id, program, source, reference, points FROM points_entry WHERE source LIKE 'activity%' ORDER BY 1, 2, 3, 4;
SELECT * FROM activity_leaderboard('makeup');
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (1, 'x', 100, '2026-03-10');
SELECT * FROM activity_report();
UPDATE activity SET state = 'draft';
SELECT count(check_in(1, shop_date() - i + time '12:00')) FROM generate_series(3, 1, -1) i;
SELECT rank, customer_id, streak FROM check_in_leaderboard;

-- Rights: the seed of an open draw is for nobody's eyes, codes for few.
INSERT INTO draw (draw, name, opens_at, closes_at) VALUES ('open', 'x', '2020-03-02', '2099-03-05');
INSERT INTO draw_prize (draw, seq, prize, stock) VALUES ('open', 1, 'x', 1);
SELECT open_draw('open') IS NOT NULL;
DO $$
DECLARE k text;
BEGIN
    FOREACH k IN ARRAY '{owner,agent,marketer,analyst,auditor,app}'::text[] LOOP
        EXECUTE format('CREATE ROLE crm_t_act_%s', k);
        PERFORM crm.grant_access('t_act', 'crm_t_act_' || k, k);
    END LOOP;
END $$;
SELECT string_agg(r.rolname, ' ') FROM pg_roles r WHERE r.rolname LIKE 'crm\_t\_act\_%'
    AND (has_any_column_privilege(r.oid, 'draw_seed', 'SELECT') OR has_function_privilege(r.oid, 'draw_order(text, bytea, text)', 'EXECUTE') OR has_function_privilege(r.oid, 'earn_event(bigint, text[], text, timestamptz)', 'EXECUTE') AND r.rolname <> 'crm_t_act_owner');
SET ROLE crm_t_act_marketer;
SELECT seed FROM draw WHERE draw = 'open';
SELECT seed FROM draw_seed;
UPDATE draw SET state = 'cancelled' WHERE draw = 'open';
INSERT INTO draw (draw, name, opens_at, closes_at, state, seed_hash) VALUES ('mine', 'x', '2020-03-02', '2099-03-05', 'open', sha256('known'));
INSERT INTO draw_entry (customer_id, draw, reference, who, at) VALUES (1, 'open', 'mine', gen_random_uuid(), now());
RESET ROLE;
SET ROLE crm_t_act_app;
SELECT (enter_draw(1, 'open', 'x')).draw;
SELECT draw_export('open')::jsonb - '{seed_hash,opens_at,closes_at}'::text[];
SELECT code FROM draw_winner;
SELECT code FROM game_play;
SELECT run_draw('open');
RESET ROLE;
SELECT * FROM check_privacy();
DO $$
DECLARE k text;
BEGIN
    FOREACH k IN ARRAY '{owner,agent,marketer,analyst,auditor,app}'::text[] LOOP
        EXECUTE format('DROP OWNED BY crm_t_act_%s', k);
    END LOOP;
END $$;
RESET search_path;
SELECT crm.drop_store('t_act', 't_act');
DROP ROLE crm_t_act_owner, crm_t_act_agent, crm_t_act_marketer, crm_t_act_analyst, crm_t_act_auditor, crm_t_act_app;
