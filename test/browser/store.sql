-- What the orders of the demo do not bring: campaigns, interactions, answers, tags, tiers, moves between them. For the report page's test.
SET search_path = shop, crm, pg_temp;
SELECT install_preset('textbook') \g /dev/null
CALL evaluate_tiers('2025-06-01');
CALL evaluate_tiers('2026-01-01');
CALL record_lifecycle('2025-06-01');
CALL record_lifecycle('2026-01-01');
SELECT refit_rfm('2026-01-01') \g /dev/null
SELECT refit_value_models('2026-01-01') \g /dev/null
UPDATE customer SET tags = tags + ('渠道偏好:' || (ARRAY['天猫', '抖音', '门店'])[1 + customer_id % 3]) + (CASE WHEN customer_id % 11 = 0 THEN 'VIP 客户' ELSE '普通' END);
UPDATE customer SET source = (ARRAY['free/search/exact', 'paid/keyword'])[1 + customer_id % 2] WHERE customer_id % 3 > 0;
INSERT INTO agent (agent, name) VALUES ('a1', '小美'), ('a2', '小强');
INSERT INTO interaction (customer_id, at, channel, direction, agent, body)
SELECT c, timestamptz '2025-12-15 10:00+08' + c * interval '7 minutes' + d * (1 + c % 13) * interval '1 minute', (ARRAY['qianniu', 'wechat', 'douyin', 'phone'])[1 + c % 4],
       CASE d WHEN 0 THEN 'in' ELSE 'out' END, CASE d WHEN 1 THEN 'a' || 1 + c % 2 END, 'x'
FROM generate_series(1, 800) c, generate_series(0, 1) d;
INSERT INTO campaign (campaign, name, channel, audience, holdout, seed, state, launched_at, target, held_out, fixed_cost)
SELECT k, k, 'app', audience('{1}'), 0.2, 1, 'launched', timestamptz '2025-11-01' + n * interval '10 days', (SELECT audience_agg(i) FROM generate_series(1, 900) i WHERE i % 5 <> 0),
       (SELECT audience_agg(i) FROM generate_series(1, 900) i WHERE i % 5 = 0), 1000
FROM unnest('{双十一 会员专享满减,冬季唤醒,very-long-campaign-name-that-somebody-made-for-the-end-of-the-year}'::text[]) WITH ORDINALITY u (k, n);
INSERT INTO outbox (customer_id, channel, purpose, idempotency_key, due_at, state, sent_at, campaign, variant)
SELECT i, 'app', 'marketing', k.campaign || i, k.launched_at, 'sent', k.launched_at, k.campaign, 'a' FROM campaign k, generate_series(1, 900) i WHERE i % 5 <> 0;
INSERT INTO survey (survey, title) VALUES ('order', '订单满意度');
INSERT INTO survey_question (survey, version, question, seq, kind, wording) VALUES ('order', 1, 'nps', 1, 'nps', '您会推荐我们吗？');
SELECT publish_survey('order', 1) \g /dev/null
SELECT count(submit_survey(invite(c, 'order', as_of => timestamptz '2025-08-01' + c * interval '3 hours'), format('{"nps": %s}', (c * 7) % 11)::jsonb, timestamptz '2025-08-02' + c * interval '3 hours'))
FROM generate_series(1, 900) c \g /dev/null
