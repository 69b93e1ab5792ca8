-- A merchant's Monday: how it goes, whom we lose, whom to write to with a hold-out, what came of it.
\set say_en '2. A merchant''s Monday. How did the last four weeks go, by channel?'
\set say_zh '二、商家的周一。最近四周各渠道的生意如何?'
\ir say.sql
SELECT channel, count(*) AS orders, round(sum(net)) AS revenue, count(DISTINCT customer_id) AS buyers
FROM shop.purchase WHERE order_at BETWEEN timestamptz :'today' - interval '4 weeks' AND :'today' GROUP BY channel ORDER BY revenue DESC LIMIT 5;

\set say_en 'Who spent much and is slipping away? Any query gives a set of customers, and a set is one value.'
\set say_zh '谁消费高却在流失?任何查询都能得出一群客户,而一群客户就是一个值。'
\ir say.sql
DROP TABLE IF EXISTS slipping;
CREATE TEMP TABLE slipping AS SELECT audience_agg(customer_id) AS who FROM shop.customer_summary
WHERE spend_total >= 500 AND last_order_at < timestamptz :'today' - interval '90 days';
SELECT cardinality(who) AS slipping, round(sum(spend_total)) AS they_spent FROM slipping, shop.customer_summary WHERE who @> customer_id GROUP BY who;

\set say_en 'Tag them, and count by tags; the counts come from bitmaps, not from a scan.'
\set say_zh '给他们打标签,再按标签计数;数字来自位图,不扫表。'
\ir say.sql
SELECT shop.tag_customers(who, 'winback:monday', why => 'tour') AS newly_tagged FROM slipping;
SELECT shop.count_tags('winback:monday') AS tagged;

\set say_en 'A coupon and a message with a tenth held out. People who never agreed to marketing are left out, and the shop can prove who agreed.'
\set say_zh '一张券、一条消息,留出一成作对照。没有同意营销的人不会收到,谁同意过有据可查。'
\ir say.sql
INSERT INTO shop.privacy_policy (version, valid_from, body, purposes) VALUES ('tour', now() - interval '1 day', 'We tell you of offers.', '{marketing}') ON CONFLICT DO NOTHING;
-- As if two of three had ticked the box.
SELECT count(*) AS agreed FROM slipping, members(who) m, LATERAL shop.give_consent(m, 'marketing', 'sms', evidence => '{"form": "tour"}') WHERE m % 3 > 0;
INSERT INTO shop.coupon_template (template, name, kind, value, threshold, valid_days, total_limit, customer_limit)
    VALUES ('tour50', '满300减50', 'threshold', 50, 300, 30, 100000, 1) ON CONFLICT DO NOTHING;
INSERT INTO shop.message_template (template, channel, purpose, body) VALUES ('tour', 'sms', 'marketing', '{name}: {coupon}') ON CONFLICT DO NOTHING;
SELECT 'tour-' || count(*) AS campaign FROM shop.campaign \gset
INSERT INTO shop.campaign (campaign, name, channel, audience, holdout, coupon_template) SELECT :'campaign', 'Monday', 'sms', who, 0.1, 'tour50' FROM slipping;
INSERT INTO shop.campaign_variant (campaign, variant, share, template) VALUES (:'campaign', 'a', 1, 'tour');
SELECT state, refused FROM shop.freeze_campaign(:'campaign');
SELECT shop.launch_campaign(:'campaign') AS written;
SELECT campaign, targeted, held_out, refused, waiting FROM shop.campaign_report WHERE campaign = :'campaign';

\set say_en 'A worker of the gateway takes two messages, and reports them sent. Weeks later campaign_effect compares with those held out.'
\set say_zh '短信网关的进程取走两条并回报已发送。几周后 campaign_effect 与对照组比较效果。'
\ir say.sql
SELECT coalesce(array_agg(customer_id), '{}') AS taken_customers, coalesce(array_agg(outbox_id), '{}') AS taken FROM shop.claim_outbox('tour', 2, '1 minute', '{sms}', as_of => now() + interval '1 day') \gset
SELECT shop.sent_outbox('tour', :'taken_customers'::bigint[], :'taken'::bigint[]) AS sent;
SELECT targeted, held_out, sent FROM shop.campaign_report WHERE campaign = :'campaign';
