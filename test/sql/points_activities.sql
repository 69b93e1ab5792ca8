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
-- Privileges: a tier or a benefit until a date.
SELECT install_preset('textbook');
SELECT points FROM earn(5, 1000, 'gift', 'g2', as_of => '2026-01-20');
INSERT INTO reward (reward, name, kind, points, tier, benefit, privilege_days, privilege_until) VALUES
    ('gold', '金卡一月', 'privilege', 100, 'gold', NULL, 30, NULL), ('silver', '银卡', 'privilege', 100, 'silver', NULL, NULL, '2026-12-31'),
    ('ship', '免邮', 'privilege', 50, NULL, 'free_shipping', 10, NULL), ('trial', '试用', 'privilege', 50, NULL, 'trial', NULL, '2026-03-01');
INSERT INTO reward (reward, name, kind, points, privilege_days) VALUES ('x', 'x', 'goods', 1, 5);
INSERT INTO reward (reward, name, kind, points, tier) VALUES ('x', 'x', 'privilege', 1, 'gold');
SELECT points FROM redeem_reward(5, 'gold', 'p1', '2026-02-01');
SELECT tier_at(5, '2026-01-31'), tier_at(5, '2026-02-01');
SELECT points FROM redeem_reward(5, 'gold', 'p2', '2026-02-11');
SELECT to_tier, reason, at, period_end FROM tier_change WHERE customer_id = 5 ORDER BY change_no;
SELECT redeem_reward(5, 'silver', 'p1', '2026-02-12');
CALL evaluate_tiers('2026-04-02');
SELECT tier_at(5, '2026-04-01 23:59:59'), tier_at(5, '2026-04-02');
SELECT points FROM redeem_reward(5, 'ship', 'p1', '2026-05-01');
SELECT points FROM redeem_reward(5, 'ship', 'p2', '2026-05-03');
SELECT points FROM redeem_reward(5, 'trial', 'p1', '2026-02-14');
SELECT redeem_reward(5, 'trial', 'p2', '2026-02-15');
SELECT redeem_reward(5, 'trial', 'p2', '2026-03-01');
SELECT benefit, since, until FROM customer_benefit ORDER BY 1, 2;
SELECT kind, tier FROM tier_benefits(5, '2026-05-20') WHERE kind IN ('free_shipping', 'trial');
SELECT kind, tier FROM tier_benefits(5, '2026-05-21') WHERE kind IN ('free_shipping', 'trial');
SELECT kind FROM use_benefit(5, 'free_shipping', 'o1', '2026-05-20 23:59:59');
SELECT use_benefit(5, 'free_shipping', 'o2', '2026-05-21');
SELECT cancelled_at IS NOT NULL AS cancelled FROM cancel_reward(5, 'ship', 'p2', '2026-05-12');
SELECT kind FROM tier_benefits(5, '2026-05-12') WHERE kind = 'free_shipping';
SELECT cancel_reward(5, 'gold', 'p1');
SELECT available FROM points_balance WHERE customer_id = 5 AND program = 'points';
-- Invitations at each of the three moments; only what rests on an order goes with it.
UPDATE settings SET invite_register_points = 5, invite_paid_points = 20, invite_completed_points = 30;
INSERT INTO customer (customer_id, joined_at) VALUES (6, '2026-06-01'), (7, '2026-06-01');
SELECT inviter FROM invited_by(7, 6, '2026-06-02');
SELECT settle_invitations('2026-06-02');
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (7, 'i1', 50, '2026-06-03');
SELECT settle_invitations('2026-06-04'), settle_invitations('2026-06-04');
UPDATE purchase SET status = 'completed', completed_at = '2026-06-05' WHERE order_no = 'i1';
SELECT settle_invitations('2026-06-06'), settle_invitations('2026-06-06');
SELECT source, points FROM points_entry WHERE customer_id = 6 ORDER BY seq;
UPDATE purchase SET status = 'refunded', refunded = 50 WHERE order_no = 'i1';
SELECT settle_invitations('2026-06-07'), settle_invitations('2026-06-07');
SELECT source, kind, points, balance_after FROM points_entry WHERE customer_id = 6 ORDER BY seq;
-- Periodic zeroing: fixed dates, rolling months, the end of the year.
INSERT INTO points_program (program, expiry, expiry_n, expiry_dates, expiry_round) VALUES
    ('fixed', 'fixed_dates', NULL, '{01-01,07-01}', 'none'), ('rolling', 'months', 3, NULL, 'month_end'), ('yearly', 'year_end', 0, NULL, 'none');
SELECT count(earn(4, 10, 'z', m::text, program => p, as_of => m)) FROM unnest('{fixed,rolling,yearly}'::text[]) p,
    unnest('{2026-01-01 00:00+08,2026-04-15 12:00+08,2026-06-30 23:59:59+08,2026-07-01 00:00+08,2026-12-31 23:59:59+08}'::timestamptz[]) m;
SELECT p AS program, points_balance_at(4, '2026-06-30 23:59:59.9+08', p) AS before_july, points_balance_at(4, '2026-07-01 00:00+08', p) AS july,
       points_balance_at(4, '2026-12-31 23:59:59.9+08', p) AS before_january, points_balance_at(4, '2027-01-01 00:00+08', p) AS january
FROM unnest('{fixed,rolling,yearly}'::text[]) p;
SELECT rank, customer_id, points FROM points_leaderboard('-infinity', 'infinity');
SELECT * FROM points_verify();
SELECT sum(amount) FROM points_trial_balance;
RESET search_path;
SELECT crm.drop_store('t_activities', 't_activities');
