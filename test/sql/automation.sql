-- Automations as data: begun by events and rules, each step once.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'Asia/Shanghai';
SELECT crm.create_store('t_automation');
SET search_path = t_automation, crm, public;
INSERT INTO customer (customer_id, joined_at) SELECT i, '2026-01-01' FROM generate_series(1, 4) i;
INSERT INTO contact (customer_id, name, phone) SELECT i, '客' || i, '1380000000' || i FROM generate_series(1, 3) i;
INSERT INTO coupon_template (template, name, kind, value, total_limit) VALUES ('second', '第二单', 'fixed', 10, 2);
INSERT INTO message_template VALUES ('thanks', 'sms', 'service', NULL, '{name}, 谢谢');

-- After a first order: tag at once, thanks after a day, a coupon after a week unless a second order came.
INSERT INTO automation (automation, name, trigger, since, active) VALUES ('welcome', '首单', 'purchase', '2026-02-01', true);
INSERT INTO automation_step (automation, step, wait, condition, action, params) VALUES
    ('welcome', 1, '0', NULL, 'tag', '{"tag": "journey:welcome"}'),
    ('welcome', 2, '1 day', NULL, 'message', '{"template": "thanks", "channel": "sms", "purpose": "service"}'),
    ('welcome', 3, '0', 'order_count > 1', 'end', '{}'),
    ('welcome', 4, '6 days', NULL, 'coupon', '{"template": "second"}'),
    ('welcome', 5, '0', NULL, 'points', '{"points": 20}');
-- A step without what its action needs, or with a condition over something unknown, is refused.
INSERT INTO automation_step (automation, step, action) VALUES ('welcome', 9, 'coupon');
INSERT INTO automation_step (automation, step, action, condition) VALUES ('welcome', 9, 'end', 'no_such_column > 1');
INSERT INTO automation (automation, name, trigger, since) VALUES ('x', 'x', 'rule', '2026-01-01');

INSERT INTO purchase (customer_id, order_no, amount, paid_at) SELECT i, 'a' || i, 100, timestamptz '2026-02-02 10:00' FROM generate_series(1, 4) i;
CALL run_automations('2026-02-02 11:00');
CALL run_automations('2026-02-02 11:00');
SELECT customer_id, tags FROM customer ORDER BY 1;
SELECT customer_id, occasion, next_step, due_at FROM automation_run ORDER BY 1;
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (2, 'b2', 50, '2026-02-03 09:00');
UPDATE automation SET since = '2026-02-02 12:00' WHERE automation = 'welcome';
DELETE FROM purchase WHERE order_no = 'b2';
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (2, 'b2', 50, '2026-02-01 09:00');
CALL run_automations('2026-02-03 12:00');
CALL run_automations('2026-02-10 12:00');
CALL run_automations('2026-02-10 12:00');
SELECT customer_id, step, outcome, error FROM automation_log ORDER BY 1, 2;
SELECT customer_id, template, idempotency_key FROM outbox ORDER BY 1;
SELECT customer_id, template FROM coupon ORDER BY 1;
SELECT customer_id, points, source FROM points_entry WHERE source = 'automation' ORDER BY 1;

-- When a rule becomes true: once, or again after so many days.
INSERT INTO automation (automation, name, trigger, rule, repeat_days, active) VALUES ('big', '大单', 'rule', 'spend_total >= 150', 30, true);
INSERT INTO automation_step (automation, step, action, params) VALUES ('big', 1, 'follow_up', '{"channel": "phone"}');
CALL run_automations('2026-03-01 12:00');
CALL run_automations('2026-03-20 12:00');
SELECT customer_id, occasion FROM automation_run WHERE automation = 'big' ORDER BY 2;
CALL run_automations('2026-04-02 12:00');
SELECT customer_id, occasion FROM automation_run WHERE automation = 'big' ORDER BY 2;
SELECT customer_id, plan, reference FROM follow_up ORDER BY follow_up_id;
SELECT job, state FROM job_progress WHERE job = 'run_automations';
RESET search_path;
SELECT crm.drop_store('t_automation', 't_automation');
