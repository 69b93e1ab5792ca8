INSERT INTO working_hours (weekday, opens, closes) SELECT d, '09:00', '18:00' FROM generate_series(1, 5) d;

INSERT INTO ticket_step (from_state, to_state) VALUES
    ('new', 'answered'), ('new', 'resolved'), ('new', 'closed'),
    ('answered', 'working'), ('answered', 'waiting'), ('answered', 'resolved'), ('answered', 'closed'),
    ('working', 'waiting'), ('working', 'resolved'),
    ('waiting', 'working'), ('waiting', 'resolved'), ('waiting', 'closed'),
    ('resolved', 'closed'), ('resolved', 'reopened'), ('closed', 'reopened'),
    ('reopened', 'answered'), ('reopened', 'working'), ('reopened', 'resolved');

INSERT INTO follow_up_plan (plan, kind, channel, days, threshold, cap_days, priority, name_zh, name_en, purpose) VALUES
    ('manual', 'manual', 'phone', 0, NULL, 0, 0, '人工安排', 'by hand', 'service'),
    ('after_purchase', 'after_purchase', 'phone', 7, NULL, 30, 10, '购买后回访', 'after a purchase', 'service'),
    ('dormant', 'dormant', 'phone', 180, NULL, 60, 20, '沉睡唤醒', 'no purchase for half a year', 'marketing'),
    ('complaint_closed', 'complaint_closed', 'phone', 3, NULL, 0, 40, '投诉回访', 'after a complaint was closed', 'service'),
    ('high_value', 'high_value', 'phone', 0, 5000, 60, 30, '高价值客户关怀', 'spend of 12 months above the threshold', 'care');

INSERT INTO care_event (event, kind, calendar, month, day, days_before, template, gift, name_zh, name_en) VALUES
    ('birthday', 'birthday', NULL, NULL, NULL, 0, 'care_birthday', '{"points": 88}', '生日', 'birthday'),
    ('tier', 'tier', NULL, NULL, NULL, 0, 'care_tier', '{}', '等级周年', 'anniversary of the tier'),
    ('first_purchase', 'first_purchase', NULL, NULL, NULL, 0, 'care_anniversary', '{}', '首购周年', 'anniversary of the first purchase'),
    ('new_year', 'holiday', 'gregorian', 1, 1, 0, 'care_holiday', '{}', '元旦', 'New Year'),
    ('spring_festival', 'holiday', 'lunar', 1, 1, 0, 'care_holiday', '{}', '春节', 'Spring Festival'),
    ('lantern', 'holiday', 'lunar', 1, 15, 0, 'care_holiday', '{}', '元宵节', 'Lantern Festival'),
    ('dragon_boat', 'holiday', 'lunar', 5, 5, 0, 'care_holiday', '{}', '端午节', 'Dragon Boat Festival'),
    ('qixi', 'holiday', 'lunar', 7, 7, 0, 'care_holiday', '{}', '七夕', 'Qixi'),
    ('mid_autumn', 'holiday', 'lunar', 8, 15, 0, 'care_holiday', '{}', '中秋节', 'Mid-Autumn Festival'),
    ('national_day', 'holiday', 'gregorian', 10, 1, 0, 'care_holiday', '{}', '国庆节', 'National Day');

INSERT INTO message_template (template, channel, purpose, body) VALUES
    ('improvement', 'sms', 'care', '{name},您反馈的问题我们已改进:{event}。感谢您的意见。'),
    ('survey_invitation', 'sms', 'survey', '{name},请用一分钟评价我们的服务:{link}'),
    ('care_tier', 'sms', 'care', '{name},感谢您又一年的会员陪伴。');

INSERT INTO satisfaction_factor (satisfaction, factor) VALUES (1, 0.8), (3.5, 0.9), (4, 1), (4.5, 1.1);

INSERT INTO access_rule (kind, object_type, object, privilege)
SELECT k.kind, v.object_type, o.object, p.privilege
FROM (VALUES
    -- what agents write, by the verbs or by themselves; steps are guarded by triggers
    ('owner,agent', 'table', 'interaction,ticket_event', 'SELECT,INSERT'),
    ('owner,agent', 'table', 'ticket,follow_up,community_member,community_activity', 'SELECT,INSERT,UPDATE'),
    ('owner,agent', 'table', 'order_agent', 'SELECT,INSERT,UPDATE,DELETE'),
    ('agent', 'table', 'community', 'UPDATE (members)'),
    -- the payload holds links that open
    ('agent,marketer', 'table', 'outbox', 'SELECT (customer_id\, outbox_id\, channel\, purpose\, template\, due_at\, state\, sent_at\, delivered_at\, opened_at\, campaign\, variant)'),
    ('agent', 'table', 'survey_invitation', 'SELECT (customer_id\, survey\, version\, reference\, invited_at\, expires_at\, answered_at)'),
    -- lists
    ('owner,agent,marketer,analyst', 'table', 'agent,working_hours,working_day,ticket_step,reply_template,follow_up_plan,care_event,community,survey,survey_question,compensation_coupon', 'SELECT'),
    ('owner', 'table', 'agent,agent_training,working_hours,working_day,ticket_step,reply_template,follow_up_plan,care_event,community,survey,survey_question,improvement,compensation_coupon,commission_rule,satisfaction_factor', 'SELECT,INSERT,UPDATE,DELETE'),
    ('marketer', 'table', 'survey,survey_question,care_event', 'INSERT,UPDATE'),
    -- reports
    ('owner,analyst', 'table', 'service_turn,ticket_cause,repeat_complaint,ticket_time,ticket_breach,follow_up_workload,follow_up_completion,improvement,improvement_effect,improvement_report,survey_score,survey_driver,community_report,care_report,order_agent,commission_rule,satisfaction_factor', 'SELECT'),
    ('marketer', 'table', 'survey_score,survey_driver,community_report,care_report,follow_up_completion', 'SELECT'),
    ('agent', 'table', 'ticket_cause,repeat_complaint,ticket_time,follow_up_workload,improvement,improvement_report,community_report', 'SELECT'),
    ('owner,auditor', 'table', 'agent_training,agent_training_state', 'SELECT'),
    ('owner', 'table', 'agent_report,care_greeting,improvement_notice,survey_invitation,survey_answer', 'SELECT'),
    -- verbs that act as the store's owner
    ('owner', 'routine', 'finish_improvement', 'EXECUTE'),
    ('owner,agent', 'routine', 'compensate_ticket,compensate_ticket_coupon', 'EXECUTE'),
    ('owner,analyst', 'routine', 'agent_orders,agent_satisfaction,agent_bonus', 'EXECUTE'),
    ('owner,agent,marketer,app', 'routine', 'invite', 'EXECUTE'),
    ('owner,agent,marketer', 'routine', 'send_invitation', 'EXECUTE'),
    ('owner,agent,app', 'routine', 'submit_survey', 'EXECUTE')) v (kinds, object_type, objects, privileges)
CROSS JOIN LATERAL unnest(string_to_array(v.kinds, ',')) k (kind)
CROSS JOIN LATERAL unnest(string_to_array(v.objects, ',')) o (object)
-- A comma behind a backslash belongs to a list of columns.
CROSS JOIN LATERAL (SELECT replace(x, '\', '') AS privilege FROM regexp_split_to_table(v.privileges, '(?<!\\),') x) p
ON CONFLICT DO NOTHING;

INSERT INTO privacy_rule (table_name, column_name, erase, step, exported, why) VALUES
    ('follow_up', 'refused', 'keep', 0, true, 'a reason of a closed list'),
    ('improvement_notice', 'refused', 'keep', 0, true, 'a reason of a closed list'),
    ('care_greeting', 'gift_error', 'null', 0, true, 'may name the customer'),
    ('care_greeting', 'gift', 'keep', 0, true, NULL);
