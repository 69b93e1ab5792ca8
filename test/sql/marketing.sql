-- Coupons and campaigns, from an empty store to the effect.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'Asia/Shanghai';
SELECT crm.create_store('t_marketing');
SET search_path = t_marketing, crm, public;
INSERT INTO customer (customer_id, joined_at) SELECT i, '2025-01-01' FROM generate_series(1, 700) i;
INSERT INTO contact (customer_id, name, phone) SELECT i, '客' || i, '138' || lpad(i::text, 8, '0') FROM generate_series(1, 600) i;

-- Codes: unguessable, mistakes found, as people type them.
SELECT count(DISTINCT c), bool_and(c = coupon_code_canonical(c)), bool_and(length(c) = 16) FROM (SELECT coupon_code() c FROM generate_series(1, 1000)) s;
SELECT count(*) FROM (SELECT coupon_code() c FROM generate_series(1, 1000)) s
WHERE coupon_code_canonical(lower(substr(c, 1, 4)) || '-' || replace(substr(c, 5, 4), '0', 'O') || ' ' || replace(substr(c, 9), '1', 'l')) = c;
SELECT count(*) FROM (SELECT coupon_code() c FROM generate_series(1, 1000)) s
WHERE coupon_code_canonical(overlay(c PLACING CASE substr(c, 7, 1) WHEN '5' THEN '6' ELSE '5' END FROM 7 FOR 1)) IS NOT NULL;
SELECT coupon_code_canonical('hello'), coupon_code_canonical(''), coupon_code_canonical('券');

INSERT INTO coupon_template (template, name, kind, value, threshold, valid_days, total_limit, customer_limit, day_limit, claimable) VALUES
    ('t300', '满300减50', 'threshold', 50, 300, 30, 3, 2, 1, true);
INSERT INTO coupon_template (template, name, kind, value, max_discount, stacks) VALUES ('p10', '9折', 'percent', 10, 20, true);
INSERT INTO coupon_template (template, name, kind, stacks) VALUES ('ship', '包邮', 'freight', true);
SELECT state, valid_until FROM issue_coupon(1, 't300', 'r1', '2026-03-01');
SELECT count(DISTINCT (issue_coupon(1, 't300', 'r1', '2026-03-01')).code) FROM generate_series(1, 3);
SELECT issue_coupon(1, 't300', 'r2', '2026-03-01');
SELECT state FROM issue_coupon(1, 't300', 'r2', '2026-03-02');
SELECT issue_coupon(1, 't300', 'r3', '2026-03-03');
SELECT state FROM claim_coupon(2, 't300', '2026-03-03');
SELECT claim_coupon(3, 't300', '2026-03-03');
SELECT claim_coupon(3, 'p10');
SELECT issue_coupon(3, 'nope', 'x');
SELECT issue_coupon(9999, 'p10', 'x');
SELECT coupon_discount('t300', 299.99), coupon_discount('t300', 300), coupon_discount('p10', 99.99), coupon_discount('p10', 1000), coupon_discount('ship', 10, 12);

SELECT code AS c1 FROM coupon WHERE customer_id = 1 AND reference = 'r1' \gset
SELECT code AS c2 FROM issue_coupon(1, 'p10', 'a', '2026-03-01') \gset
SELECT code AS c3 FROM issue_coupon(1, 'ship', 'a', '2026-03-01') \gset
SELECT lock_coupon(:'c1', 'mall', 'o1', 100, as_of => '2026-03-05');
SELECT state, discount FROM lock_coupon(:'c1', 'mall', 'o1', 400, as_of => '2026-03-05');
SELECT state, discount FROM lock_coupon(:'c1', 'mall', 'o1', 400, as_of => '2026-03-05');
\set VERBOSITY sqlstate
SELECT lock_coupon(:'c1', 'mall', 'o2', 400, as_of => '2026-03-05');
SELECT lock_coupon(:'c2', 'mall', 'o1', 400, as_of => '2026-03-05');
SELECT redeem_coupon(:'c1', 'mall', 'o2');
SELECT redeem_coupon(:'c2', 'mall', 'o1');
SELECT lock_coupon('0000000000000000', 'mall', 'o2', 400);
SELECT lock_coupon('ABC', 'mall', 'o2', 400);
SELECT lock_coupon(:'c1', 'mall', 'o3', 400, as_of => '2026-05-05');
\set VERBOSITY default
-- A lock that ran out is free again; coupons that stack go together.
SELECT state, order_no FROM lock_coupon(:'c1', 'mall', 'o3', 400, as_of => '2026-03-06');
SELECT state FROM redeem_coupon(:'c1', 'mall', 'o3', '2026-03-06');
SELECT state FROM redeem_coupon(:'c1', 'mall', 'o3', '2026-03-06');
SELECT state, discount FROM lock_coupon(:'c2', 'mall', 'o4', 150, as_of => '2026-03-06');
SELECT state, discount FROM lock_coupon(:'c3', 'mall', 'o4', 150, 12, as_of => '2026-03-06');
-- Refunded in full, the order gives its coupon back.
INSERT INTO purchase (customer_id, order_no, amount, discount, paid_at) VALUES (1, 'o3', 350, 50, '2026-03-06 10:00');
UPDATE purchase SET refunded = 100 WHERE order_no = 'o3';
SELECT state FROM coupon WHERE code = :'c1';
SELECT template, issued, redeemed, discount, net_sales FROM coupon_report ORDER BY 1;
UPDATE purchase SET refunded = 350 WHERE order_no = 'o3';
SELECT state IN ('issued', 'expired') AS given_back, order_no, discount FROM coupon WHERE code = :'c1';
SELECT expire_coupons('2026-06-01');
SELECT template, state, count(*) FROM coupon GROUP BY 1, 2 ORDER BY 1, 2;

-- A template's placeholders are checked before anything is sent.
INSERT INTO message_template VALUES ('bad', 'sms', 'marketing', NULL, 'Hi {nmae}');
INSERT INTO message_template VALUES ('win', 'sms', 'marketing', NULL, '{name}: {coupon}'), ('win_b', 'sms', 'marketing', NULL, '{name}!');

-- A campaign: those without consent or address stay out, a share is held out, the rest is split.
INSERT INTO privacy_policy (version, valid_from, body, purposes) VALUES ('1', '2025-01-01', 'text', '{marketing}');
SELECT count(give_consent(i, 'marketing', at => '2026-01-01')) FROM generate_series(1, 550) i;
INSERT INTO campaign (campaign, name, channel, audience, holdout, seed, scheduled_at, message_cost, fixed_cost)
    VALUES ('spring', '春季', 'sms', (SELECT audience_agg(i) FROM generate_series(51, 700) i), 0.2, 42, '2026-04-01 22:00', 0.05, 10);
SELECT freeze_campaign('spring', '2026-04-01');
INSERT INTO campaign_variant (campaign, variant, share, template) VALUES ('spring', 'a', 0.5, 'win'), ('spring', 'b', 0.5, 'win_b');
SELECT state, cardinality(target) + cardinality(held_out) AS allowed, refused, cardinality(target & held_out) AS both FROM freeze_campaign('spring', '2026-04-01');
SELECT c.held_out = f.held_out AS same_split FROM campaign c, freeze_campaign('spring', '2026-04-01') f WHERE c.campaign = 'spring';
SELECT sum(cardinality(members)) = (SELECT cardinality(target) FROM campaign WHERE campaign = 'spring') AS all_in, bool_and(cardinality(members) BETWEEN 150 AND 250) AS even FROM campaign_variant;
SELECT launch_campaign('spring', '2026-04-01') = (SELECT cardinality(target) FROM campaign WHERE campaign = 'spring') AS written;
SELECT launch_campaign('spring', '2026-04-01');
SELECT DISTINCT due_at, campaign FROM outbox;
SELECT freeze_campaign('spring');
-- Over all campaigns one SMS a day.
INSERT INTO campaign (campaign, name, channel, audience, holdout, seed, scheduled_at) VALUES ('second', '二', 'sms', audience('{51,52,1,2}'), 0, 1, '2026-04-02 10:00');
INSERT INTO campaign_variant (campaign, variant, template) VALUES ('second', 'a', 'win');
SELECT state, refused FROM freeze_campaign('second', '2026-04-02 09:30');
SELECT i, EXISTS (SELECT FROM outbox o WHERE o.customer_id = i) AS had_one, c.target @> i AS gets_second FROM campaign c, unnest('{51,52,1,2}'::bigint[]) i WHERE c.campaign = 'second' ORDER BY 1;

-- Workers: claimed, sent, failed, dead; a lease that ends brings the message back.
SELECT count(*), min(attempts) FROM claim_outbox('w1', 10, as_of => '2026-04-02 09:00');
SELECT count(*) FROM claim_outbox('w2', 1000, as_of => '2026-04-02 09:00');
SELECT render_message(customer_id, outbox_id) LIKE '客%' AS rendered FROM outbox WHERE claimed_by = 'w1' LIMIT 1;
SELECT sent_outbox('w1', array_agg(customer_id), array_agg(outbox_id), '2026-04-02 09:00:10') FROM outbox WHERE claimed_by = 'w2';
SELECT sent_outbox('w2', array_agg(customer_id), array_agg(outbox_id), '2026-04-02 09:00:10') = count(*) AS acknowledged FROM outbox WHERE claimed_by = 'w2';
SELECT count(*), min(attempts) FROM claim_outbox('w3', 1000, as_of => '2026-04-02 09:02');
SELECT failed_outbox('w3', customer_id, outbox_id, 'gateway down', '2026-04-02 09:02') FROM outbox WHERE claimed_by = 'w3' ORDER BY customer_id LIMIT 1;
SELECT state, due_at, error FROM outbox WHERE error IS NOT NULL;
UPDATE outbox SET attempts = 5 WHERE claimed_by = 'w3' AND customer_id = (SELECT max(customer_id) FROM outbox WHERE claimed_by = 'w3');
SELECT failed_outbox('w3', customer_id, outbox_id, 'no such number', '2026-04-02 09:02') FROM outbox WHERE attempts = 5 AND claimed_by = 'w3';
SELECT channel, purpose, dead FROM outbox_backlog WHERE dead > 0;

-- The effect: 400 sent with 40 buyers against a hold-out of 100 with 5.
INSERT INTO campaign (campaign, name, channel, audience, holdout, seed, state, launched_at, target, held_out, fixed_cost)
    VALUES ('measured', '测', 'app', audience('{1}'), 0.2, 1, 'launched', '2026-05-01', (SELECT audience_agg(i) FROM generate_series(1, 400) i), (SELECT audience_agg(i) FROM generate_series(401, 500) i), 1000);
INSERT INTO outbox (customer_id, channel, purpose, idempotency_key, due_at, state, sent_at, campaign, variant)
    SELECT i, 'app', 'marketing', 'm', '2026-05-01', 'sent', '2026-05-01', 'measured', 'a' FROM generate_series(1, 400) i;
INSERT INTO purchase (customer_id, order_no, amount, paid_at) SELECT i, 'm' || i, 100, timestamptz '2026-05-03' FROM generate_series(1, 40) i UNION ALL SELECT i, 'm' || i, 100, '2026-05-04' FROM generate_series(401, 405) i;
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (300, 'late', 100, '2026-05-09'), (301, 'before', 100, '2026-04-30');
SELECT variant, sent, ordered, ordered_percent, revenue, held_out, held_out_ordered, uplift, uplift_low, uplift_high, significant, extra_revenue, cost, roi FROM campaign_effect('measured');
-- Newcombe's own example: 56/70 against 48/80 gives 20.0 with 5.2 to 33.4.
SELECT * FROM uplift(70, 56, 80, 48);

-- Order events go to the customer once, and receiving asks for satisfaction.
UPDATE order_message SET active = true;
SELECT tell_orders();
INSERT INTO purchase (customer_id, order_no, amount, status) VALUES (1, 'e1', 10, 'paid');
UPDATE purchase SET status = 'shipped' WHERE order_no = 'e1';
UPDATE purchase SET status = 'shipped', cost = 1 WHERE order_no = 'e1';
UPDATE purchase SET status = 'completed' WHERE order_no = 'e1';
SELECT template, payload ->> 'order_no' AS order_no, payload ->> 'event' AS event FROM outbox WHERE idempotency_key LIKE 'order/%' ORDER BY outbox_id;
-- In production is told by the verb; received asks for satisfaction once an order, whoever tells it again.
INSERT INTO message_template VALUES ('made', 'sms', 'service', NULL, '订单{order_no}生产中');
INSERT INTO order_message (event, template, active) VALUES ('in_production', 'made', true);
INSERT INTO survey (survey, title) VALUES ('order', '满意度');
INSERT INTO survey_question (survey, version, question, seq, kind, wording, overall, required) VALUES ('order', 1, 'nps', 1, 'nps', '推荐', true, true);
SELECT publish_survey('order', 1);
UPDATE order_message SET survey = 'order' WHERE event = 'received';
INSERT INTO purchase (customer_id, order_no, amount, status) VALUES (2, 'e2', 10, 'paid');
SELECT tell_order(2, 'mall', 'e2', 'in_production'), tell_order(2, 'mall', 'e2', 'in_production'), tell_order(2, 'mall', 'e2', 'nonsense');
UPDATE purchase SET status = 'completed' WHERE order_no = 'e2';
UPDATE purchase SET cost = 2 WHERE order_no = 'e2';
SELECT tell_order(2, 'mall', 'e2', 'received');
SELECT o.payload ->> 'event' AS event, (o.payload ->> 'link') = i.invitation_id::text AS asks FROM outbox o LEFT JOIN survey_invitation i USING (customer_id)
WHERE o.customer_id = 2 AND o.idempotency_key LIKE 'order/mall/e2/%' ORDER BY o.outbox_id;
SELECT count(*) FROM survey_invitation WHERE customer_id = 2;
SELECT tell_orders(false);

-- Apart: who hears from one campaign hears nothing of another near by, on any channel; and again when both were frozen before.
INSERT INTO campaign (campaign, name, channel, audience, holdout, seed, scheduled_at, apart)
    SELECT c, c, 'app', audience('{81,82,83}'), 0, 1, '2026-07-01 12:00', a FROM (VALUES ('first', interval '0'), ('near', '2 days'), ('far', '2 days')) v (c, a);
UPDATE campaign SET audience = audience('{82,83,84}') WHERE campaign = 'near';
UPDATE campaign SET scheduled_at = '2026-07-04 12:00' WHERE campaign = 'far';
INSERT INTO campaign_variant (campaign, variant, template) SELECT c, 'v', 'win' FROM unnest('{first,near,far}'::text[]) c;
SELECT f.campaign, cardinality(f.target) AS target, f.refused FROM unnest('{first,near,far}'::text[]) c, freeze_campaign(c, '2026-06-30 12:00') f;
SELECT c, launch_campaign(c, '2026-06-30 12:00') FROM unnest('{first,near,far}'::text[]) WITH ORDINALITY u (c, n) ORDER BY n;
SELECT campaign, targeted, refused, written, waiting, sent FROM campaign_report WHERE campaign IN ('first', 'near', 'far', 'measured') ORDER BY 1;
DELETE FROM campaign WHERE campaign = 'near';
UPDATE campaign SET campaign = 'renamed' WHERE campaign = 'near';
SELECT cancel_campaign('near');
-- What messages refer to exists and stays.
INSERT INTO outbox (customer_id, channel, purpose, idempotency_key) VALUES (90, 'app', 'service', 'x'), (4711, 'app', 'service', 'x');
INSERT INTO outbox (customer_id, channel, purpose, idempotency_key, campaign) VALUES (90, 'app', 'service', 'x', 'nope');
DELETE FROM customer WHERE customer_id = 81;
-- A message that takes down every worker is given up.
INSERT INTO outbox (customer_id, channel, purpose, idempotency_key, due_at) VALUES (90, 'phone', 'service', 'poison', '2026-08-01');
SELECT i, count(c.*) AS claimed FROM generate_series(1, 6) i LEFT JOIN claim_outbox('w', 10, '1 minute', '{phone}', timestamptz '2026-08-01' + i * interval '1 hour') c ON true GROUP BY 1 ORDER BY 1;
SELECT state, attempts, error FROM outbox WHERE idempotency_key = 'poison';
RESET search_path;
SELECT crm.drop_store('t_marketing', 't_marketing');
