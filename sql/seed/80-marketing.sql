INSERT INTO message_template (template, channel, purpose, body) VALUES
    ('care_birthday', 'sms', 'care', '{name},生日快乐!礼物已放入您的账户。'),
    ('care_anniversary', 'sms', 'care', '{name},感谢您一年来的陪伴。'),
    ('care_holiday', 'sms', 'care', '{name},祝您{event}快乐!'),
    ('order_confirmed', 'sms', 'service', '订单{order_no}已确认。'),
    ('order_shipped', 'sms', 'service', '订单{order_no}已发货。'),
    ('order_received', 'sms', 'service', '订单{order_no}已签收,请评价:{link}');

INSERT INTO order_message (event, template) VALUES
    ('confirmed', 'order_confirmed'), ('shipped', 'order_shipped'), ('received', 'order_received');

INSERT INTO access_rule (kind, object_type, object, privilege)
SELECT 'marketer', 'table', t, p
FROM unnest('{coupon_template,campaign,campaign_variant,message_template}'::text[]) t, unnest('{SELECT,INSERT,UPDATE}'::text[]) p
UNION ALL
SELECT k, 'table', t, 'SELECT' FROM unnest('{analyst,marketer}'::text[]) k, unnest('{coupon_report,campaign_report,outbox_backlog}'::text[]) t
UNION ALL
SELECT 'agent', 'table', t, 'SELECT' FROM unnest('{coupon,coupon_template,message_template}'::text[]) t;

INSERT INTO privacy_rule (table_name, column_name, erase, step, exported, why) VALUES
    ('coupon', '*', 'keep', 0, true, 'what was given'),
    ('outbox', '*', 'delete', 0, true, 'messages to the person');

INSERT INTO privacy_rule (table_name, column_name, erase, step, exported, why) VALUES
    ('automation_run', '*', 'keep', 0, true, 'where the person was in a flow'),
    ('automation_log', '*', 'keep', 0, true, 'what a flow did');
