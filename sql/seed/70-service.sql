INSERT INTO working_hours (weekday, opens, closes) SELECT d, '09:00', '18:00' FROM generate_series(1, 5) d;

INSERT INTO ticket_step (from_state, to_state) VALUES
    ('new', 'answered'), ('new', 'resolved'), ('new', 'closed'),
    ('answered', 'working'), ('answered', 'waiting'), ('answered', 'resolved'), ('answered', 'closed'),
    ('working', 'waiting'), ('working', 'resolved'),
    ('waiting', 'working'), ('waiting', 'resolved'), ('waiting', 'closed'),
    ('resolved', 'closed'), ('resolved', 'reopened'), ('closed', 'reopened'),
    ('reopened', 'answered'), ('reopened', 'working'), ('reopened', 'resolved');

INSERT INTO follow_up_plan (plan, kind, channel, days, threshold, cap_days, priority, name_zh, name_en) VALUES
    ('manual', 'manual', 'phone', 0, NULL, 0, 0, '人工安排', 'by hand'),
    ('after_purchase', 'after_purchase', 'phone', 7, NULL, 30, 10, '购买后回访', 'after a purchase'),
    ('dormant', 'dormant', 'phone', 180, NULL, 60, 20, '沉睡唤醒', 'no purchase for half a year'),
    ('complaint_closed', 'complaint_closed', 'phone', 3, NULL, 0, 40, '投诉回访', 'after a complaint was closed'),
    ('high_value', 'high_value', 'phone', 0, 5000, 60, 30, '高价值客户关怀', 'spend of 12 months above the threshold');

INSERT INTO care_event (event, kind, calendar, month, day, days_before, template, gift, name_zh, name_en) VALUES
    ('birthday', 'birthday', NULL, NULL, NULL, 0, 'care_birthday', '{"points": 88}', '生日', 'birthday'),
    ('first_purchase', 'first_purchase', NULL, NULL, NULL, 0, 'care_anniversary', '{}', '首购周年', 'anniversary of the first purchase'),
    ('new_year', 'holiday', 'gregorian', 1, 1, 0, 'care_holiday', '{}', '元旦', 'New Year'),
    ('spring_festival', 'holiday', 'lunar', 1, 1, 0, 'care_holiday', '{}', '春节', 'Spring Festival'),
    ('lantern', 'holiday', 'lunar', 1, 15, 0, 'care_holiday', '{}', '元宵节', 'Lantern Festival'),
    ('dragon_boat', 'holiday', 'lunar', 5, 5, 0, 'care_holiday', '{}', '端午节', 'Dragon Boat Festival'),
    ('qixi', 'holiday', 'lunar', 7, 7, 0, 'care_holiday', '{}', '七夕', 'Qixi'),
    ('mid_autumn', 'holiday', 'lunar', 8, 15, 0, 'care_holiday', '{}', '中秋节', 'Mid-Autumn Festival'),
    ('national_day', 'holiday', 'gregorian', 10, 1, 0, 'care_holiday', '{}', '国庆节', 'National Day');

INSERT INTO access_rule (kind, object_type, object, privilege)
SELECT 'agent', 'table', t, p
FROM (VALUES ('interaction'), ('ticket'), ('ticket_event'), ('follow_up'), ('community_member'), ('community_activity')) v(t), unnest('{SELECT,INSERT,UPDATE}'::text[]) p
WHERE NOT (t IN ('interaction', 'ticket_event') AND p = 'UPDATE')
UNION ALL
SELECT k, 'table', t, 'SELECT'
FROM unnest('{agent,marketer,analyst}'::text[]) k,
     unnest('{agent,working_hours,working_day,ticket_step,reply_template,follow_up_plan,care_event,community,survey,survey_question}'::text[]) t
UNION ALL
SELECT k, 'table', t, 'SELECT'
FROM unnest('{analyst}'::text[]) k,
     unnest('{service_turn,follow_up_workload,follow_up_completion,ticket_cause,repeat_complaint,ticket_breach,improvement,improvement_effect,survey_score,survey_driver,community_report}'::text[]) t;
