-- Serving customers, from an empty store to the reports.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'Asia/Shanghai';
SELECT crm.create_store('t_service');
SET search_path = t_service, crm, public;
INSERT INTO agent (agent, name, commission_rate) VALUES ('amy', 'Amy', 0.02), ('bo', 'Bo', 0.01);
INSERT INTO customer (customer_id, joined_at) SELECT i, '2020-01-01' FROM generate_series(1, 6) i;
INSERT INTO contact (customer_id, phone) SELECT i, '+86139000000' || lpad(i::text, 2, '0') FROM generate_series(1, 6) i;

-- Messages: an automatic answer is no first answer of a person.
INSERT INTO reply_template (template, keywords, body, topic) VALUES ('hours', '{几点,营业}', '营业时间 9:00-18:00', 'hours');
SELECT direction, automatic FROM record_interaction(1, 'qianniu', 'in', '你们几点关门?', reference => 'm1', as_of => '2026-03-02 10:00');
SELECT direction FROM record_interaction(1, 'qianniu', 'in', '你们几点关门?', reference => 'm1', as_of => '2026-03-02 10:00');
SELECT agent FROM record_interaction(1, 'qianniu', 'out', '六点', 'amy', as_of => '2026-03-02 10:20');
SELECT agent FROM record_interaction(1, 'qianniu', 'out', '欢迎', 'amy', as_of => '2026-03-02 10:21');
SELECT direction FROM record_interaction(1, 'qianniu', 'in', '好的', as_of => '2026-03-02 11:00');
SELECT direction FROM record_interaction(1, 'qianniu', 'in', '有货吗', as_of => '2026-03-02 11:05');
SELECT agent FROM record_interaction(1, 'qianniu', 'out', '有', 'bo', as_of => '2026-03-02 11:30');
SELECT direction FROM record_interaction(2, 'wechat', 'in', 'hello', as_of => '2026-03-02 12:00');
SELECT * FROM service_turn ORDER BY customer_id, turn;
SELECT * FROM response_report('2026-03-01', '2026-04-01');
SELECT count(*), count(*) FILTER (WHERE automatic) FROM interaction;

-- Orders go to who answered last, or by hand.
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (1, 'a', 100, '2026-03-03 09:00'), (1, 'b', 50, '2026-03-20 09:00'), (2, 'c', 70, '2026-03-03 09:00');
INSERT INTO order_agent VALUES (2, 'mall', 'c', 'amy');
SELECT agent, order_no, net FROM agent_orders('2026-03-01', '2026-04-01') ORDER BY 2;

-- Deadlines: four working hours, over a weekend, a holiday and a day worked in its place.
INSERT INTO working_day VALUES ('2026-05-01', false, NULL, '劳动节'), ('2026-05-04', false, NULL, '劳动节'), ('2026-05-05', false, NULL, '劳动节'), ('2026-05-09', true, 5, '调休');
SELECT at, add_working_time(at, '4 hours') FROM unnest('{2026-03-02 10:00,2026-03-06 16:00,2026-03-07 12:00,2026-04-30 17:00,2026-05-08 17:00}'::timestamptz[]) at;
SELECT working_time('2026-04-30 17:00', '2026-05-06 10:00'), working_time('2026-05-08 17:00', '2026-05-11 09:30');
-- Daylight saving: in New York the night of 8 March 2026 is an hour short.
UPDATE settings SET time_zone = 'America/New_York';
INSERT INTO working_hours VALUES (7, '00:00', '24:00');
SELECT working_time('2026-03-08 00:00 America/New_York', '2026-03-09 00:00 America/New_York');
DELETE FROM working_hours WHERE weekday = 7;
UPDATE settings SET time_zone = 'Asia/Shanghai';

-- A complaint from opening to closing.
SELECT ticket_id, state, deadline_at FROM open_ticket(3, 'delivery', 'late', severity => 3, product => 'P1', reference => 'r1', as_of => '2026-03-06 16:00');
SELECT ticket_id FROM open_ticket(3, 'delivery', 'late', reference => 'r1', as_of => '2026-03-06 16:05');
SELECT move_ticket(3, 1, 'working');
SELECT move_ticket(3, 9, 'answered');
SELECT ticket_id, escalation FROM escalate_tickets('2026-03-09 10:00');
SELECT ticket_id, escalation FROM escalate_tickets('2026-03-09 11:00');
SELECT ticket_id, escalation FROM escalate_tickets('2026-03-09 11:00');
SELECT state, answered_at FROM move_ticket(3, 1, 'answered', as_of => '2026-03-09 11:30');
SELECT state, answered_at FROM move_ticket(3, 1, 'working', as_of => '2026-03-09 12:00');
SELECT move_ticket(3, 1, 'resolved', as_of => '2026-03-09 15:00');
SELECT state FROM move_ticket(3, 1, 'resolved', root_cause => 'courier', resolution => 'sent again', as_of => '2026-03-09 15:00');
SELECT satisfaction FROM rate_ticket(3, 1, 4);
SELECT state, closed_at FROM move_ticket(3, 1, 'closed', as_of => '2026-03-10 09:30');
SELECT to_first_answer, to_close, breached FROM ticket_time;
SELECT action, from_state, to_state, remark FROM ticket_event ORDER BY event_id;
SELECT ticket_id FROM open_ticket(3, 'delivery', 'again', as_of => '2026-03-20 10:00');
SELECT ticket_id FROM open_ticket(4, 'delivery', 'broken', as_of => '2026-03-21 10:00');
UPDATE ticket SET root_cause = 'courier' WHERE ticket_id > 1;
SELECT * FROM repeat_complaint;
SELECT category, root_cause, tickets, customers FROM ticket_cause ORDER BY 3 DESC;
INSERT INTO improvement (root_cause, measure, owner, due_on) VALUES ('courier', 'another courier', 'amy', '2026-04-01');
SELECT finish_improvement(1, '2026-04-01');
SELECT finish_improvement(1, '2026-04-02');
SELECT customer_id, ticket_id FROM improvement_notice ORDER BY 1;
SELECT complaints_90_days_before, complaints_90_days_after FROM improvement_effect;

-- Follow-ups: planned once, claimed by one, finished by who claimed.
SELECT plan_follow_ups('2026-03-13 10:00');
SELECT plan_follow_ups('2026-03-13 10:00');
SELECT customer_id, plan, reference, due_at FROM follow_up ORDER BY 1, 2;
SELECT customer_id, claimed_by, attempts FROM claim_follow_ups('amy', 1, as_of => '2026-03-13 10:00');
SELECT customer_id, claimed_by FROM claim_follow_ups('bo', 5, as_of => '2026-03-13 10:00') ORDER BY 1;
SELECT customer_id, claimed_by, attempts FROM claim_follow_ups('bo', 5, as_of => '2026-03-13 10:31') ORDER BY 1;
SELECT follow_up_id AS task FROM follow_up WHERE customer_id = 3 \gset
SELECT state FROM finish_follow_up(3, :task, 'amy', 'reached');
SELECT follow_up_id AS task FROM follow_up WHERE customer_id = 1 \gset
SELECT f.state, f.outcome FROM finish_follow_up(1, :task, 'bo', 'reached', next_at => '2026-04-13 10:00', as_of => '2026-03-13 11:00') f;
SELECT state, reference = 'after ' || :task AS follows, due_at FROM follow_up WHERE customer_id = 1 ORDER BY due_at;
SELECT plan, agent, done, reached, ordered_within_30_days FROM follow_up_completion;

-- Surveys: versions, branches, one answer an invitation.
INSERT INTO survey (survey, title) VALUES ('order', '订单满意度');
INSERT INTO survey_question (survey, version, question, seq, kind, wording, options, overall, show_question, show_answers, required) VALUES
    ('order', 1, 'nps', 1, 'nps', '推荐给朋友的可能性', NULL, true, NULL, NULL, true),
    ('order', 1, 'goods', 2, 'csat', '商品', NULL, false, NULL, NULL, true),
    ('order', 1, 'delivery', 3, 'csat', '物流', NULL, false, NULL, NULL, true),
    ('order', 1, 'again', 4, 'single', '会再来吗', '{yes,no}', false, NULL, NULL, true),
    ('order', 1, 'why', 5, 'text', '为什么', NULL, false, 'again', '{no}', true);
SELECT invite(1, 'order');
SELECT publish_survey('order', 1);
SELECT submit_survey(invite(c, 'order', as_of => '2026-03-05'), a::jsonb, '2026-03-06') FROM (VALUES
    (1, '{"nps": 10, "goods": 5, "delivery": 4, "again": "yes"}'),
    (2, '{"nps": 9, "goods": 5, "delivery": 2, "again": "yes"}'),
    (3, '{"nps": 3, "goods": 2, "delivery": 4, "again": "no", "why": "贵"}'),
    (4, '{"nps": 7, "goods": 4, "delivery": 3, "again": "yes"}')) v(c, a);
SELECT submit_survey(invite(1, 'order'), '{}', '2026-03-06');
SELECT submit_survey(invite(5, 'order', as_of => '2026-03-05'), '{"nps": 11, "goods": 5, "delivery": 4, "again": "yes"}', '2026-03-06');
SELECT submit_survey(invite(5, 'order'), '{"nps": 10, "goods": 5, "delivery": 4, "again": "yes", "why": "x"}', '2026-03-06');
SELECT submit_survey(invite(5, 'order'), '{"nps": 10, "goods": 5, "again": "yes"}', '2026-03-06');
SELECT submit_survey(invite(5, 'order'), '{"nps": 10, "goods": 5, "delivery": 4, "again": "maybe"}', '2026-03-06');
SELECT submit_survey(invite(5, 'order'), '{"nps": 10, "goods": 5, "delivery": 4, "again": "yes"}', '2026-05-06');
SELECT count(*) FROM survey_answer WHERE customer_id = 5;
-- 2 promoters, 1 detractor of 4: 25.0. Satisfied with the goods: 3 of 4.
SELECT * FROM nps('order');
SELECT * FROM csat('order');
SELECT * FROM survey_driver ORDER BY question;
-- A published version does not change; the next one keeps the old answers apart.
UPDATE survey_question SET wording = 'x' WHERE question = 'nps';
SELECT copy_survey('order');
UPDATE survey_question SET wording = '还会推荐吗' WHERE question = 'nps' AND version = 2;
SELECT publish_survey('order', 2);
SELECT submit_survey(invite(6, 'order', as_of => '2026-04-05'), '{"nps": 0, "goods": 1, "delivery": 1, "again": "yes"}', '2026-04-06');
SELECT version, month, answers, nps FROM nps('order');

-- Care: each greeting once, lunar birthdays too, after a missed week as well.
UPDATE contact c SET birth_date = v.birth_date, birth_calendar = v.calendar
FROM (VALUES (1, date '1990-03-10', 'gregorian'), (2, '2004-02-29', 'gregorian'), (3, '2023-03-22', 'lunar'), (4, '2025-01-28', 'lunar')) v (id, birth_date, calendar) WHERE c.customer_id = v.id;
UPDATE care_event SET active = event IN ('birthday', 'spring_festival', 'mid_autumn');
SELECT care_due('2026-03-10', as_of => '2026-03-10 09:00'), care_due('2026-03-10', as_of => '2026-03-10 09:00'), care_due('2026-03-11', as_of => '2026-03-11 09:00');
SELECT customer_id, event, year, day FROM care_greeting ORDER BY 1, 2, 3;
-- Ten years, every fourth day, against the published days of the festivals, the job lying down one week of five.
DO $$
BEGIN
    FOR i IN 0 .. 3660 BY 4 LOOP
        CONTINUE WHEN (i / 7) % 5 = 4;
        PERFORM t_service.care_due(date '2026-03-12' + i, catch_up => 12, as_of => (date '2026-03-12' + i) + time '09:00');
    END LOOP;
END
$$;
WITH published (event, day) AS (
    SELECT 'spring_festival', unnest('{2027-02-06,2028-01-26,2029-02-13,2030-02-03,2031-01-23,2032-02-11,2033-01-31,2034-02-19,2035-02-08,2036-01-28}'::date[])
    UNION ALL SELECT 'mid_autumn', unnest('{2026-09-25,2027-09-15,2028-10-03,2029-09-22,2030-09-12,2031-10-01,2032-09-19,2033-09-08,2034-09-27,2035-09-16}'::date[]))
SELECT coalesce(p.event, g.event) AS event, coalesce(p.day, g.day) AS day, count(g.*) AS greeted
FROM published p FULL JOIN (SELECT * FROM care_greeting WHERE event <> 'birthday' AND customer_id IN (1, 2)) g ON g.event = p.event AND g.day = p.day
GROUP BY 1, 2 HAVING count(g.*) <> 2 OR count(p.*) <> 2;
SELECT customer_id, count(*), count(DISTINCT year), min(day), max(day) FROM care_greeting WHERE event = 'birthday' GROUP BY 1 ORDER BY 1;
SELECT day FROM care_greeting WHERE event = 'birthday' AND customer_id = 3 ORDER BY 1 LIMIT 4;
SELECT count(*) = (SELECT count(*) FROM care_greeting) AS each_in_outbox FROM outbox WHERE idempotency_key LIKE 'care/%';

-- Communities: capacity holds.
INSERT INTO community (community, platform, name, capacity) VALUES ('vip1', 'wechat', 'VIP 群', 2);
SELECT join_community(1, 'vip1'), join_community(1, 'vip1'), join_community(2, 'vip1');
SELECT join_community(3, 'vip1');
SELECT leave_community(1, 'vip1'), leave_community(1, 'vip1'), join_community(3, 'vip1');
SELECT community, members, joined_30_days, left_30_days FROM community_report;
SELECT subject, state FROM crm.health('t_service') WHERE subject LIKE 'messages%';
-- One customer in one stream.
SELECT at, kind, what FROM timeline(3, 8, '2026-03-11') ORDER BY at DESC, kind, what;
SELECT count(*), count(DISTINCT kind) FROM timeline(1, 100, 'infinity');
RESET search_path;
SELECT crm.drop_store('t_service', 't_service');
