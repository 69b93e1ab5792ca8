-- Service under the access kinds: what each can do with its own role, and what none of them gets to see.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'Asia/Shanghai';
SET client_min_messages = warning;
SELECT crm.create_store('t_srole');
SET search_path = t_srole, crm, public;
INSERT INTO agent (agent, name) VALUES ('amy', 'Amy');
INSERT INTO customer (customer_id, joined_at) VALUES (1, '2020-01-01'), (2, '2020-01-01');
INSERT INTO contact (customer_id, name, phone) VALUES (1, '欧阳娜娜', '+8613912345678'), (2, '张三', '+8613912345679');
INSERT INTO survey (survey, title) VALUES ('s', 's');
INSERT INTO survey_question (survey, version, question, seq, kind, wording) VALUES ('s', 1, 'q', 1, 'csat', 'q');
SELECT publish_survey('s', 1);
INSERT INTO community (community, platform, name) VALUES ('g', 'qq', 'g');
INSERT INTO improvement (root_cause, measure, owner) VALUES ('courier', 'another', 'amy');
INSERT INTO coupon_template (template, name, kind, value) VALUES ('sorry', 's', 'fixed', 5);
INSERT INTO compensation_coupon VALUES ('sorry');
CREATE TEMP TABLE invited AS SELECT invite(2, 's') AS id;
DO $$
DECLARE k text;
BEGIN
    FOREACH k IN ARRAY '{owner,agent,marketer,analyst,auditor,app}'::text[] LOOP
        EXECUTE format('CREATE ROLE crm_t_srole_%s', k);
        PERFORM crm.grant_access('t_srole', 'crm_t_srole_' || k, k);
        EXECUTE format('GRANT SELECT ON invited TO crm_t_srole_%s', k);
    END LOOP;
END $$;
-- An agent's day.
SET ROLE crm_t_srole_agent;
SET crm.actor = 'amy';
SELECT agent FROM record_interaction(1, 'qianniu', 'out', '您好', reference => 'm1', as_of => '2026-03-02 10:00');
SELECT ticket_id, state FROM open_ticket(1, 'delivery', 'late', reference => 't1', as_of => '2026-03-02 10:00');
SELECT state FROM assign_ticket(1, 1, 'amy', '2026-03-02 10:05');
SELECT state FROM move_ticket(1, 1, 'answered', as_of => '2026-03-02 10:10');
SELECT count(*) FROM escalate_tickets('2026-03-02 10:10');
SELECT points FROM compensate_ticket(1, 1, 50, '2026-03-02 10:20');
SELECT compensate_ticket_coupon(1, 1, 'sorry', '2026-03-02 10:20') IS NOT NULL AS coupon;
SELECT state FROM move_ticket(1, 1, 'resolved', root_cause => 'courier', resolution => 'sent again', as_of => '2026-03-02 11:00');
SELECT satisfaction FROM rate_ticket(1, 1, 5, '2026-03-02 12:00');
SELECT plan FROM plan_follow_up(1, '2026-03-02 10:00', 'call back');
SELECT customer_id, claimed_by FROM claim_follow_ups('amy', 1, as_of => '2026-03-02 12:00');
SELECT follow_up_id AS task FROM follow_up WHERE customer_id = 1 \gset
SELECT state FROM finish_follow_up(1, :task, 'amy', 'reached', as_of => '2026-03-02 12:10');
SELECT join_community(1, 'g', as_of => '2026-03-02 12:20'), record_community_activity(1, 'g', 'like', as_of => '2026-03-02 12:21'), leave_community(1, 'g', '2026-03-02 12:22');
SELECT invite(1, 's') IS NOT NULL AS invited;
SELECT kind, what FROM timeline(1, 20) WHERE kind <> 'tag' ORDER BY at, kind, what;
SELECT ticket_id, breached FROM ticket_time;
-- Not an agent's: mass messages, forged ledgers and limits, clear contacts, others' secrets.
SELECT finish_improvement(1);
SELECT care_due();
UPDATE community SET capacity = 9999;
UPDATE settings SET compensation_points = 999999;
INSERT INTO compensation_coupon VALUES ('sorry', 1);
INSERT INTO outbox (customer_id, channel, purpose, idempotency_key) VALUES (1, 'sms', 'care', 'x');
SELECT queue_message(1, 'sms', 'care', 'x', '{}', 'x');
SELECT invitation_id FROM survey_invitation;
SELECT payload FROM outbox;
SELECT answers FROM survey_answer;
SELECT phone FROM contact;
SELECT * FROM agent_bonus('2026-03-01', '2026-04-01');
RESET ROLE;
-- The shop's app takes answers, and that is all.
SET ROLE crm_t_srole_app;
SELECT submit_survey(id, '{"q": 4}') FROM invited;
SELECT count(*) FROM survey_answer;
SELECT count(*) FROM ticket;
SELECT open_ticket(1, 'x', 'x');
RESET ROLE;
-- An analyst reads reports; never what was said, to whom, or by which link.
SET ROLE crm_t_srole_analyst;
SELECT count(*) FROM ticket_cause;
SELECT count(*) FROM response_report();
SELECT csat FROM csat('s');
SELECT plan, done, reached FROM follow_up_completion;
SELECT agent, orders, bonus FROM agent_bonus('2026-03-01', '2026-04-01');
SELECT body FROM interaction;
SELECT body FROM ticket;
SELECT reference FROM survey_invitation;
SELECT timeline(1);
RESET ROLE;
SET ROLE crm_t_srole_marketer;
SELECT question FROM survey_driver;
SELECT send_invitation(1, 's', 'm', 'sms', '2026-03-02 12:00') AS refused;
SELECT body FROM interaction;
RESET ROLE;
SET ROLE crm_t_srole_auditor;
SELECT agent, may_reveal FROM agent_training_state;
SELECT body FROM ticket;
RESET ROLE;
SET ROLE crm_t_srole_owner;
SELECT finish_improvement(1, '2026-03-03 10:00');
SELECT agent FROM agent_report;
RESET ROLE;
-- No view or function of these tables shows a field of contact and nothing that waits to be sent holds one.
SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 't_srole'::regnamespace AND c.relname IN ('service_turn', 'follow_up_workload', 'follow_up_completion', 'improvement_effect', 'improvement_report', 'improvement_notice', 'ticket_cause',
    'repeat_complaint', 'ticket_time', 'ticket_breach', 'survey_score', 'survey_driver', 'community_report', 'care_report', 'agent_training_state', 'agent_report', 'outbox', 'care_greeting')
  AND a.attname IN ('phone', 'email', 'wechat', 'id_number', 'address', 'birth_date', 'gender');
SELECT count(*) FROM outbox o WHERE o.payload::text ~ '139123|欧阳|张三';
SELECT * FROM check_privacy();
DO $$
DECLARE k text;
BEGIN
    FOREACH k IN ARRAY '{owner,agent,marketer,analyst,auditor,app}'::text[] LOOP
        EXECUTE format('DROP OWNED BY crm_t_srole_%s', k);
    END LOOP;
END $$;
RESET search_path;
SELECT crm.drop_store('t_srole', 't_srole');
DROP TABLE invited;
DROP ROLE crm_t_srole_owner, crm_t_srole_agent, crm_t_srole_marketer, crm_t_srole_analyst, crm_t_srole_auditor, crm_t_srole_app;
