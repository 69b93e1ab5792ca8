-- Rewards, check-ins, invitations, the leaderboard.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'Asia/Shanghai';
SELECT crm.create_store('t_activities');
SET search_path = t_activities, crm, public;
INSERT INTO customer (customer_id, joined_at) SELECT i, '2026-01-01' FROM generate_series(1, 5) i;
SELECT available FROM points_balance WHERE customer_id = 1;
-- One check-in a day of the shop; every seventh day in a row brings more.
SELECT (check_in(1, d + time '23:30')).streak FROM generate_series(date '2026-01-01', date '2026-01-08', interval '1 day') d;
SELECT streak FROM check_in(1, '2026-01-08 23:59');
SELECT streak FROM check_in(1, '2026-01-10 00:00');
SELECT available FROM points_balance WHERE customer_id = 1 AND program = 'points';
-- Invitations: no self, no circle, once; paid with the first order and taken back with it.
SELECT inviter FROM invited_by(2, 1, '2026-01-02');
SELECT inviter FROM invited_by(2, 1, '2026-01-02');
SELECT invited_by(2, 3);
SELECT invited_by(3, 3);
SELECT inviter FROM invited_by(3, 2, '2026-01-02');
SELECT invited_by(1, 3);
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (2, 'o1', 50, '2026-01-11'), (4, 'o2', 50, '2026-01-11');
SELECT invited_by(4, 1);
SELECT settle_invitations('2026-01-12'), settle_invitations('2026-01-12');
SELECT available FROM points_balance WHERE customer_id = 1 AND program = 'points';
UPDATE purchase SET refunded = 50 WHERE order_no = 'o1';
SELECT settle_invitations('2026-01-13'), settle_invitations('2026-01-13');
SELECT available FROM points_balance WHERE customer_id = 1 AND program = 'points';
-- Rewards: stock, limits, codes, all or nothing.
SELECT points FROM earn(5, 1000, 'gift', 'g', as_of => '2026-01-05');
INSERT INTO coupon_template (template, name, kind, value) VALUES ('c', 'c', 'fixed', 5);
INSERT INTO reward (reward, name, kind, points, total_limit, customer_limit, coupon_template) VALUES
    ('mug', '杯子', 'goods', 300, 2, 2, NULL), ('game', '游戏币', 'virtual', 100, NULL, NULL, NULL), ('coupon', '券', 'coupon', 10, NULL, 1, 'c');
INSERT INTO reward_code VALUES ('game', 'G-1');
SELECT points FROM redeem_reward(5, 'mug', 'r1', '2026-01-14');
SELECT points FROM redeem_reward(5, 'mug', 'r1', '2026-01-14');
SELECT points FROM redeem_reward(5, 'mug', 'r2', '2026-01-14');
SELECT redeem_reward(5, 'mug', 'r3', '2026-01-14');
SELECT cancelled_at IS NOT NULL AS cancelled FROM cancel_reward(5, 'mug', 'r2', '2026-01-15');
SELECT cancelled_at IS NOT NULL AS cancelled FROM cancel_reward(5, 'mug', 'r2', '2026-01-15');
SELECT code FROM redeem_reward(5, 'game', 'r1', '2026-01-14');
SELECT redeem_reward(5, 'game', 'r2', '2026-01-14');
SELECT cancel_reward(5, 'game', 'r1');
SELECT length(code) FROM redeem_reward(5, 'coupon', 'r1', '2026-01-14');
SELECT redeem_reward(5, 'coupon', 'r2', '2026-01-14');
SELECT redeem_reward(1, 'mug', 'r1', '2026-01-14');
SELECT redeem_reward(1, 'car', 'r1', '2026-01-14');
SELECT available FROM points_balance WHERE customer_id = 5 AND program = 'points';
SELECT reward, redeemed FROM reward_stock;
SELECT rank, customer_id, points FROM points_leaderboard('-infinity', 'infinity');
SELECT * FROM points_verify();
SELECT sum(amount) FROM points_trial_balance;
RESET search_path;
SELECT crm.drop_store('t_activities', 't_activities');
