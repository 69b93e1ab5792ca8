-- Care: who may be greeted, when, with what, and each once, whatever runs twice.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'Asia/Shanghai';
SELECT crm.create_store('t_care');
SET search_path = t_care, crm, public;
INSERT INTO privacy_policy (version, valid_from, body, purposes) VALUES ('1', '2020-01-01', 'policy', '{marketing,care,survey}');
INSERT INTO customer (customer_id, joined_at) SELECT i, '2020-01-01' FROM generate_series(1, 8) i;
INSERT INTO contact (customer_id, phone, birth_date) SELECT i, CASE WHEN i <> 3 THEN '+86139000000' || lpad(i::text, 2, '0') END, '1990-03-10' FROM generate_series(1, 8) i;
-- 2 objected, 3 has no phone, 4 is restricted, 5 objected to SMS only, 6 objected and changed their mind.
INSERT INTO consent (customer_id, purpose, channel, given, at) VALUES (2, 'care', '*', false, '2025-01-01'), (5, 'care', 'sms', false, '2025-01-01'),
    (6, 'care', '*', false, '2025-01-01'), (6, 'care', '*', true, '2025-06-01');
SELECT restrict_customer(4, 'asked');
INSERT INTO coupon_template (template, name, kind, value, total_limit) VALUES ('bday', '生日券', 'fixed', 10, 2);
UPDATE care_event SET active = event IN ('birthday', 'tier'), gift = CASE event WHEN 'birthday' THEN '{"points": 88, "coupon": "bday"}' ELSE '{}' END::jsonb;

-- A minute before and after the shop's midnight; the greeting waits for the end of the quiet hours.
SELECT care_due(as_of => '2026-03-09 23:59'), care_due(as_of => '2026-03-10 00:01'), care_due(as_of => '2026-03-10 00:01'), care_due(as_of => '2026-03-10 10:00');
SELECT customer_id, channel, purpose, payload ->> 'event' AS event, due_at FROM outbox ORDER BY 1;
-- Points and coupons came through their gates, a gift whole or not at all: with two coupons in stock two customers wait for the next run.
SELECT customer_id, day, gift, left(gift_error, 5) AS gift_error FROM care_greeting ORDER BY 1;
SELECT customer_id, points, source, reference FROM points_entry ORDER BY 1;
UPDATE coupon_template SET total_limit = 10;
SELECT care_due(as_of => '2026-03-11 10:00');
SELECT customer_id, gift, gift_error FROM care_greeting ORDER BY 1;
SELECT customer_id, count(*), sum(points) FROM points_entry GROUP BY 1 ORDER BY 1;
SELECT customer_id, template, reference FROM coupon ORDER BY 1;
-- A missed week: 5 takes SMS again on the 13th and is greeted once within the week, not after it; 2 comes too late.
INSERT INTO consent (customer_id, purpose, channel, given, at) VALUES (5, 'care', 'sms', true, '2026-03-13'), (2, 'care', '*', true, '2026-03-18');
SELECT care_due(as_of => '2026-03-16 10:00'), care_due(as_of => '2026-03-17 10:00'), care_due(as_of => '2026-03-18 10:00');
SELECT customer_id, year FROM care_greeting ORDER BY 1;
-- The job lies down over the birthday of 2027 and for six days more.
SELECT care_due(as_of => '2027-03-09 10:00'), care_due(as_of => '2027-03-16 10:00'), care_due(as_of => '2027-03-17 10:00');
SELECT year, count(*) FROM care_greeting GROUP BY 1 ORDER BY 1;

-- Anniversary of the tier.
UPDATE care_event SET active = event = 'tier';
INSERT INTO tier (tier, seq) VALUES ('gold', 5);
INSERT INTO tier_member (customer_id, tier, since, basis) VALUES (1, 'gold', '2025-05-05 10:00', 'granted'), (6, 'ordinary', '2025-05-05 10:00', 'granted');
SELECT care_due(as_of => '2025-05-05 12:00'), care_due(as_of => '2026-05-05 12:00'), care_due(as_of => '2026-05-06 12:00');
SELECT customer_id, event, year, day FROM care_greeting WHERE event = 'tier';

-- Born in a leap month, on 2020-06-01 (the tenth of the leap fourth month): kept in the fourth month where there is no leap one.
UPDATE care_event SET active = event = 'birthday', gift = '{}';
UPDATE contact SET birth_date = '2020-06-01', birth_calendar = 'lunar' WHERE customer_id = 7;
SELECT lunar_date('2020-06-01'), lunar_birthday('2020-06-01', 2026), lunar_birthday('2020-06-01', 2039);
SELECT care_due(as_of => '2028-05-03 12:00'), care_due(as_of => '2028-05-04 12:00');
SELECT customer_id, year, day FROM care_greeting WHERE customer_id = 7 AND year = 2028;
SELECT event, year, greeted, gifts, gifts_failed FROM care_report ORDER BY 1, 2;
RESET search_path;
SELECT crm.drop_store('t_care', 't_care');
