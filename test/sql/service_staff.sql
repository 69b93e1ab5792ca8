-- Agents, complaints and follow-ups as a shop works with them: bonus, training, compensation, notices, consent and quiet hours.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'Asia/Shanghai';
SELECT crm.create_store('t_staff');
SET search_path = t_staff, crm, public;
INSERT INTO agent (agent, name, team, commission_rate) VALUES ('amy', 'Amy', 'east', 0.02), ('bo', 'Bo', 'west', 0.01), ('cy', 'Cy', NULL, 0);
INSERT INTO customer (customer_id, joined_at) SELECT i, '2020-01-01' FROM generate_series(1, 9) i;
-- Customer 8 has no phone.
INSERT INTO contact (customer_id, phone) SELECT i, '+86139000000' || lpad(i::text, 2, '0') FROM generate_series(1, 9) i WHERE i <> 8;
INSERT INTO privacy_policy (version, valid_from, body, purposes) VALUES ('1', '2020-01-01', 'policy', '{marketing,care,survey}');

-- Commission: amy's orders 100 and 400, bo's 1000 and, half given back, 300.
SELECT count(record_interaction(i, 'qianniu', 'out', '您好', CASE WHEN i < 3 THEN 'amy' ELSE 'bo' END, reference => 'r' || i, as_of => '2026-03-01 10:00')) FROM generate_series(1, 4) i;
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES
    (1, 'a', 100, '2026-03-02 09:00'), (2, 'b', 400, '2026-03-02 09:00'), (3, 'c', 1000, '2026-03-02 09:00'), (4, 'd', 300, '2026-03-02 09:00');
UPDATE purchase SET refunded = 150 WHERE order_no = 'd';
SELECT agent, orders, net_sales, commission, ratings, factor, bonus FROM agent_bonus('2026-03-01', '2026-04-01');
-- West gets 3 % and 5 an order from 500 on; a rule that is over counts no more.
INSERT INTO commission_rule (team, minimum, rate, per_order) VALUES ('west', 500, 0.03, 5);
INSERT INTO commission_rule (agent, rate, priority, valid_until) VALUES ('amy', 0.5, 9, '2026-03-01');
SELECT agent, net_sales, commission, bonus FROM agent_bonus('2026-03-01', '2026-04-01');

-- Five tickets of amy rated 5, 5, 4, 4, 5: 4.60, so 1.1 times; one of bo is too few to count.
SELECT count(rate_ticket(t.customer_id, t.ticket_id, s.score))
FROM (VALUES (1, 5), (2, 5), (3, 4), (4, 4), (5, 5)) s (id, score),
     LATERAL open_ticket(s.id, 'delivery', 'late', reference => 't' || s.id, assignee => 'amy', product => 'P1', as_of => '2026-03-05 10:00') o,
     LATERAL move_ticket(o.customer_id, o.ticket_id, 'resolved', root_cause => 'courier', resolution => 'sent again', as_of => '2026-03-05 11:00') t;
SELECT (rate_ticket(m.customer_id, m.ticket_id, 1)).satisfaction
FROM open_ticket(6, 'goods', 'torn', severity => 4, reference => 't6', assignee => 'bo', as_of => '2026-03-05 10:00') o,
     LATERAL move_ticket(o.customer_id, o.ticket_id, 'resolved', root_cause => 'seam', resolution => 'paid back', as_of => '2026-03-05 11:00') m;
SELECT * FROM agent_satisfaction('2026-03-01', '2026-04-01');
SELECT agent, commission, ratings, satisfaction, factor, bonus FROM agent_bonus('2026-03-01', '2026-04-01');
-- Surveys about an order rate the agent of the order.
INSERT INTO survey (survey, title) VALUES ('order', '订单');
INSERT INTO survey_question (survey, version, question, seq, kind, wording) VALUES ('order', 1, 'service', 1, 'csat', '服务');
SELECT publish_survey('order', 1);
SELECT submit_survey(invite(3, 'order', 'mall/c', '2026-03-06'), '{"service": 2}', '2026-03-07');
SELECT agent, of_tickets, of_surveys, satisfaction FROM agent_satisfaction('2026-03-01', '2026-04-01');

-- Training: what counts today, and whether reveal is open as far as training goes.
INSERT INTO agent_training VALUES ('amy', 'products', shop_date() - 300, shop_date() + 60), ('amy', 'phone', shop_date() - 400, shop_date() - 1), ('bo', 'products', shop_date() - 9, NULL);
INSERT INTO security_training (person, passed_at, expires_at) VALUES ('amy', '2020-01-01', '2099-01-01'), ('bo', '2020-01-01', now() - interval '1 day');
UPDATE settings SET reveal_needs_training = true;
SELECT agent, courses, expired, next_expiry - shop_date() AS expires_in, may_reveal FROM agent_training_state ORDER BY 1;

-- Compensation through the gates of points and coupons, once a ticket.
SELECT kind, points, balance_after FROM compensate_ticket(1, 1, 200, '2026-03-05 12:00');
SELECT kind, points, balance_after FROM compensate_ticket(1, 1, 200, '2026-03-05 12:05');
SELECT compensate_ticket(1, 1, 300, '2026-03-05 12:10');
SELECT compensate_ticket(2, 2, 5000);
INSERT INTO coupon_template (template, name, kind, value) VALUES ('sorry', '致歉券', 'fixed', 10), ('sorry50', '致歉券', 'fixed', 50);
SELECT compensate_ticket_coupon(1, 1, 'sorry');
INSERT INTO compensation_coupon VALUES ('sorry', 1), ('sorry50', 3);
SELECT compensate_ticket_coupon(1, 1, 'sorry') = compensate_ticket_coupon(1, 1, 'sorry') AS same_code;
SELECT compensate_ticket_coupon(1, 1, 'sorry50');
SELECT compensate_ticket_coupon(6, 6, 'sorry50') IS NOT NULL AS given;
SELECT compensate_ticket_coupon(2, 2, 'sorry50');
SELECT customer_id, template, reference, state FROM coupon ORDER BY 1;
SELECT customer_id, action, remark FROM ticket_event WHERE action IN ('compensate', 'coupon') ORDER BY customer_id, action;

-- Steps hold for whoever writes, and say which are allowed.
UPDATE ticket SET state = 'working' WHERE customer_id = 1;
UPDATE ticket SET state = 'new' WHERE customer_id = 6;
SELECT count(move_ticket(i, i, 'closed', as_of => '2026-03-05 15:00')) FROM generate_series(1, 3) i;
SELECT (move_ticket(1, 1, 'closed')).state;
SELECT assign_ticket(1, 1, 'bo');
SELECT rate_ticket(9, 9, 1);
SELECT count(*) FROM ticket_event WHERE action = 'assign';
SELECT count(assign_ticket(6, 6, 'amy')) FROM generate_series(1, 2);
SELECT count(*) FROM ticket_event WHERE action = 'assign';

-- A mended cause: one notice to each who complained, where it may be sent; nobody twice.
SELECT o.ticket_id FROM open_ticket(8, 'delivery', 'late', reference => 't8', product => 'P1', as_of => '2026-03-05 10:00') o;
SELECT o.ticket_id FROM open_ticket(5, 'delivery', 'late once more', reference => 't5b', product => 'P1', as_of => '2026-03-06 10:00') o;
SELECT restrict_customer(4, 'asked');
UPDATE ticket SET root_cause = 'courier' WHERE category = 'delivery';
INSERT INTO improvement (root_cause, product, measure, owner, due_on) VALUES ('courier', 'P1', '换了快递', 'amy', shop_date() - 1), ('seam', NULL, '加固', 'bo', shop_date() - 1);
SELECT finish_improvement(1, '2026-03-10 23:00'), finish_improvement(1, '2026-03-10 23:05');
SELECT customer_id, ticket_id, queued_at IS NOT NULL AS told, refused FROM improvement_notice ORDER BY 1;
UPDATE contact SET phone = '+8613900000008' WHERE customer_id = 8;
INSERT INTO contact (customer_id, phone) VALUES (8, '+8613900000008') ON CONFLICT DO NOTHING;
SELECT finish_improvement(1, '2026-03-11 10:00');
SELECT customer_id, channel, purpose, template, payload, due_at FROM outbox WHERE idempotency_key LIKE 'improvement/%' ORDER BY 1;
SELECT root_cause, overdue, complained, told, not_told FROM improvement_report ORDER BY 1;

-- Follow-ups: who objected or has no address is left out; quiet hours wait; caps and steps hold.
UPDATE follow_up_plan SET active = plan IN ('after_purchase', 'complaint_closed', 'manual');
UPDATE follow_up_plan SET purpose = 'care' WHERE plan = 'after_purchase';
INSERT INTO consent (customer_id, purpose, given, at) VALUES (2, 'care', false, '2026-03-03');
SELECT plan_follow_ups('2026-03-10 12:00'), plan_follow_ups('2026-03-10 12:00');
SELECT customer_id, plan, reference, due_at, state FROM follow_up ORDER BY 1, 2;
SELECT count(*) FROM claim_follow_ups('amy', 9, as_of => '2026-03-10 22:00');
SELECT DISTINCT due_at, state FROM follow_up;
INSERT INTO consent (customer_id, purpose, given, at) VALUES (3, 'care', false, '2026-03-11');
UPDATE follow_up SET plan = 'after_purchase', reference = 'mall/c' WHERE customer_id = 3;
SELECT customer_id, plan, attempts FROM claim_follow_ups('amy', 9, as_of => '2026-03-11 10:00') ORDER BY 1;
SELECT customer_id, state, refused FROM follow_up WHERE state = 'cancelled';
SELECT follow_up_id AS task FROM follow_up WHERE customer_id = 3 \gset
SELECT finish_follow_up(3, :task, 'amy', 'reached');
SELECT follow_up_id AS task FROM follow_up WHERE customer_id = 1 \gset
SELECT release_follow_up(1, :task, 'bo'), release_follow_up(1, :task, 'amy'), release_follow_up(1, :task, 'amy');
SELECT finish_follow_up(1, :task, 'amy', 'reached');
UPDATE follow_up SET state = 'done', outcome = 'reached', done_at = now() WHERE customer_id = 1;
SELECT state FROM cancel_follow_up(1, :task);
SELECT plan FROM plan_follow_up(9, '2026-03-12 10:00', 'x', plan => 'dormant');
SELECT plan FROM plan_follow_up(9, '2026-03-12 10:00', 'x', plan => 'dormant');
SELECT plan FROM plan_follow_up(9, '2026-03-13 10:00', 'y', plan => 'dormant');
SELECT plan FROM plan_follow_up(9, '2026-03-13 10:00', 'y');
SELECT plan FROM plan_follow_up(9, '2026-03-13 10:00', 'y', plan => 'nosuch');
SELECT agent, open_tickets, overdue_tickets FROM agent_report ORDER BY 1;

-- Groups: what members do is recorded once; others have no part in it.
INSERT INTO community (community, platform, name, capacity) VALUES ('qq1', 'qq', 'QQ', 2);
SELECT join_community(1, 'qq1', as_of => '2026-03-01'), record_community_activity(1, 'qq1', 'message', 3, '2026-03-02'), record_community_activity(1, 'qq1', 'message', 3, '2026-03-02');
SELECT record_community_activity(2, 'qq1', 'like', 1, '2026-03-02');
RESET search_path;
SELECT crm.drop_store('t_staff', 't_staff');
