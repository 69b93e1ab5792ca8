-- Consent, and the rights of the person.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
SET client_min_messages = error;
SELECT crm.create_store('t_right');
SET client_min_messages = warning;
SET search_path = t_right;
INSERT INTO customer (customer_id, joined_at, special_needs, attributes) VALUES (1, '2020-01-01', 'allergic to nuts', '{"pet": "cat Mimi"}'), (2, '2020-01-01', NULL, '{}'), (3, '2026-01-01', NULL, '{}');
INSERT INTO contact (customer_id, name, phone, email) VALUES (1, '张三丰', '13812341234', 'sanfeng@example.com'), (2, '李四', '13900001111', NULL), (3, '王五', NULL, 'wang@example.com');

-- A consent rests on a policy that tells of its purpose.
SELECT give_consent(1, 'marketing');
INSERT INTO privacy_policy (version, valid_from, body, purposes) VALUES ('1', '2021-01-01', 'We write about offers.', '{marketing}');
SELECT give_consent(1, 'marketing', at => '2020-06-01');
SELECT give_consent(1, 'care', at => '2021-06-01');
SELECT give_consent(1, 'nothing', at => '2021-06-01');
SELECT give_consent(1, 'marketing', evidence => '{"form": "A-77", "phone": "13812341234"}', at => '2021-06-01') > 0 AS given;
SELECT customer_id, purpose, channel, given, valid, source, policy_version FROM consent_state;
\set noon '''2025-06-01 12:00+08'''
SELECT c, contact_refusal(c, 'sms', 'marketing', :noon) FROM generate_series(1, 4) c;
SELECT contact_refusal(1, 'sms', 'parcel', :noon), contact_refusal(3, 'sms', 'service', :noon), contact_refusal(3, 'email', 'service', :noon), contact_refusal(2, 'app', 'care', :noon);
SELECT may_contact(1, 'sms', 'marketing', :noon), may_contact(1, 'sms', 'marketing', '2020-12-01 12:00+08') AS before_consent;
-- A no on one channel, on all, a yes again.
SELECT withdraw_consent(1, channel => 'sms', at => '2022-01-01') > 0 AS withdrawn;
SELECT contact_refusal(1, 'sms', 'marketing', :noon), contact_refusal(1, 'email', 'marketing', :noon), contact_refusal(1, 'sms', 'marketing', '2021-12-31 12:00+08');
SELECT withdraw_consent(1, at => '2022-02-01') > 0 AS withdrawn;
SELECT contact_refusal(1, 'sms', 'marketing', :noon), contact_refusal(1, 'email', 'marketing', :noon);
SELECT give_consent(1, 'marketing', 'email', at => '2022-03-01') > 0 AS given;
SELECT contact_refusal(1, 'sms', 'marketing', :noon), contact_refusal(1, 'email', 'marketing', :noon);
SELECT withdraw_consent(2, 'care', at => '2022-03-01') > 0 AS objected;
SELECT contact_refusal(2, 'sms', 'care', :noon);
-- A newer policy asks anew.
INSERT INTO privacy_policy (version, valid_from, body, purposes, renew) VALUES ('2', '2023-01-01', 'We also profile.', '{marketing,care}', '{marketing}');
SELECT contact_refusal(1, 'email', 'marketing', :noon), contact_refusal(1, 'email', 'marketing', '2022-12-31 12:00+08');
SELECT give_consent(1, 'marketing', 'email', at => '2023-03-01') > 0 AS given;
SELECT contact_refusal(1, 'email', 'marketing', :noon);
UPDATE privacy_policy SET body = 'We sell it all.' WHERE version = '2';
DELETE FROM privacy_policy;
UPDATE consent SET given = true;
DELETE FROM consent WHERE customer_id = 1;
TRUNCATE consent;
-- Quiet hours are the store's, over midnight too.
SELECT t, is_quiet(t), next_loud(t) FROM unnest('{2025-06-01 08:59+08,2025-06-01 09:00+08,2025-06-01 20:59+08,2025-06-01 21:00+08,2025-06-02 00:30+08}'::timestamptz[]) t;
SELECT contact_refusal(1, 'email', 'marketing', '2025-06-01 21:00+08'), contact_refusal(1, 'email', 'service', '2025-06-01 21:00+08');
UPDATE settings SET quiet_from = '12:00', quiet_until = '14:00';
SELECT t, is_quiet(t), next_loud(t) FROM unnest('{2025-06-01 11:59+08,2025-06-01 12:00+08,2025-06-01 14:00+08}'::timestamptz[]) t;
UPDATE settings SET quiet_until = '12:00';
SELECT is_quiet(:noon);
-- The same answer for one and for all.
INSERT INTO customer (customer_id, joined_at) SELECT g, '2021-01-01' FROM generate_series(100, 129) g;
INSERT INTO contact (customer_id, phone, email) SELECT g, CASE WHEN g % 3 > 0 THEN '139' || g END, CASE WHEN g % 5 > 0 THEN g || '@example.com' END FROM generate_series(100, 129) g;
INSERT INTO consent (customer_id, purpose, channel, given, at)
    SELECT g, (ARRAY['marketing', 'care'])[1 + g % 2], (ARRAY['*', 'sms', 'email'])[1 + (g / 2 + n) % 3], (g / 7 + n) % 3 > 0, '2023-02-01'::timestamptz + n * interval '1 day'
    FROM generate_series(100, 129) g, generate_series(1, 3) n;
UPDATE customer SET status = 'restricted' WHERE customer_id % 11 = 0;
WITH one AS (SELECT channel, purpose, customer_id, may_contact(customer_id, channel, purpose, :noon) AS may
             FROM customer, unnest('{sms,email,app}'::text[]) channel, unnest('{marketing,care,service}'::text[]) purpose),
     many AS (SELECT channel, purpose, contactable(channel, purpose, :noon) AS customer_id
              FROM unnest('{sms,email,app}'::text[]) channel, unnest('{marketing,care,service}'::text[]) purpose)
SELECT channel, purpose, count(*) FILTER (WHERE may) AS allowed, count(*) FILTER (WHERE may <> (many.channel IS NOT NULL)) AS different
FROM one LEFT JOIN many USING (channel, purpose, customer_id)
GROUP BY 1, 2 ORDER BY 1, 2;
UPDATE customer SET status = 'active' WHERE status = 'restricted';

-- To know.
INSERT INTO identity (channel, external_id, customer_id) VALUES ('wechat', 'openid-sanfeng', 1);
INSERT INTO note (customer_id, body) VALUES (1, 'Zhang Sanfeng rang from 13812341234');
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (1, 'A1', 100, '2024-05-01'), (2, 'B1', 50, '2024-05-01');
UPDATE contact SET phone = '13812341235' WHERE customer_id = 1;
INSERT INTO customer (customer_id, status, merged_into, joined_at) VALUES (4, 'merged', 1, '2022-01-01');
INSERT INTO contact (customer_id, name) VALUES (4, '张三丰的旧号');
-- A table of the user's own that refers to customers is part of it.
CREATE TABLE pet (customer_id bigint REFERENCES customer, name text, gift_from bigint REFERENCES customer, PRIMARY KEY (customer_id, name));
INSERT INTO pet VALUES (1, 'Mimi of Sanfeng', 2);
SELECT * FROM check_privacy() WHERE table_name = 'pet';
SELECT k, jsonb_array_length(v) AS rows FROM jsonb_each(export_customer(1)) e (k, v)
WHERE k IN ('customer', 'contact', 'identity', 'note', 'purchase', 'consent', 'contact_change', 'pet', 'pet.gift_from', 'contact_access') ORDER BY 1;
SELECT x -> 'customer' -> 0 -> 'attributes' AS attributes, x #>> '{contact,0,phone}' AS phone, x #> '{contact_change,0}' ? 'old_hash' AS hash, x #> '{contact_access,0}' ? 'client' AS client FROM export_customer(4) x;
SELECT count(*) FROM export_rows(2) WHERE table_name = 'pet.gift_from';
SELECT export_customer(98);

-- To be forgotten.
INSERT INTO legal_hold (customer_id, reason) VALUES (1, 'court case 12');
SELECT erase_customer(1, 'asked by letter');
UPDATE legal_hold SET released_at = now();
SELECT erase_customer(1, '');
ANALYZE contact; ANALYZE note; ANALYZE customer; ANALYZE pet;
SELECT count(*) > 0 AS known_to_statistics FROM pg_stats WHERE schemaname = 't_right' AND concat(most_common_vals, histogram_bounds) ~ 'sanfeng|13812341234|张三丰|Mimi';
SELECT erase_customer(1, 'asked by letter') - 'receipt' - 'erased_at' - 'done';
INSERT INTO privacy_rule (table_name, column_name, erase) VALUES ('pet', '*', 'delete');
SELECT customer_id, status, merged_into, special_needs, attributes FROM customer WHERE customer_id IN (1, 4) ORDER BY 1;
SELECT reason, done -> 'contact' AS contacts, done -> 'unclassified' AS left_over FROM erasure ORDER BY customer_id;
-- Once more is the same receipt.
SELECT erase_customer(1, 'again') ->> 'reason' AS reason, count(*) FROM erasure GROUP BY 1;
-- No trace, table by table (the user's own was not classified then).
CREATE FUNCTION pg_temp.traces(pattern text) RETURNS TABLE (found_in text) LANGUAGE plpgsql AS $$
DECLARE
    t regclass;
    hit boolean;
BEGIN
    FOR t IN SELECT c.oid FROM pg_class c WHERE c.relnamespace = 't_right'::regnamespace AND c.relkind IN ('r', 'p', 'm') ORDER BY c.relname LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s x WHERE x::text ~ $1)', t) INTO hit USING pattern;
        IF hit THEN found_in := t; RETURN NEXT; END IF;
    END LOOP;
    RETURN QUERY SELECT format('statistics of %s.%s', s.tablename, s.attname) FROM pg_stats s
        WHERE s.schemaname = 't_right' AND concat(s.most_common_vals, s.histogram_bounds, s.most_common_elems) ~ pattern;
END $$;
SELECT * FROM pg_temp.traces('sanfeng|Sanfeng|13812341234|13812341235|张三丰|Mimi|openid-sanfeng|A-77|nuts');
SELECT count(*) FROM purchase WHERE customer_id = 1;
SELECT order_count, spend_total FROM customer_summary WHERE customer_id = 1;
SELECT contact_refusal(1, 'sms', 'service', :noon), customer_id, evidence FROM consent WHERE customer_id = 1 AND evidence IS NOT NULL;
UPDATE erasure SET done = '{}';
DELETE FROM erasure;
SELECT set_contact(1, '{"name": "back"}');

-- A restored backup forgets again.
SELECT jsonb_agg(r - 'receipt' - 'erased_at') FROM erasure_receipts() r WHERE r ->> 'customer_id' = '1';
SELECT jsonb_agg(r) AS receipts FROM erasure_receipts() r \gset
SELECT replay_erasures(:'receipts'::jsonb);
SELECT crm.create_store('t_restored');
INSERT INTO t_restored.customer (customer_id, joined_at) VALUES (1, '2020-01-01'), (4, '2023-03-03');
INSERT INTO t_restored.contact (customer_id, name) VALUES (1, '张三丰'), (4, 'somebody else by now');
SELECT t_restored.replay_erasures(:'receipts'::jsonb);
SELECT customer_id, name FROM t_restored.contact;
SELECT t_restored.replay_erasures(:'receipts'::jsonb);
SELECT crm.drop_store('t_restored', 't_restored');

-- Retention.
UPDATE retention_rule SET active = true, keep = '5 years' WHERE rule = 'silent customers';
INSERT INTO legal_hold (customer_id, reason) VALUES (100, 'dispute');
CALL apply_retention('2026-12-01', 50);
SELECT status, count(*) FROM customer WHERE customer_id >= 100 GROUP BY 1 ORDER BY 1;
SELECT status FROM customer WHERE customer_id IN (2, 3) ORDER BY customer_id;
SELECT done, state FROM job_progress WHERE job = 'retention silent customers';
CREATE TABLE visit (customer_id bigint, at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM ('2020-01-01') TO ('2022-01-01');
CREATE TABLE visit_2 PARTITION OF visit FOR VALUES FROM ('2022-01-01') TO ('2030-01-01');
INSERT INTO visit SELECT 100 + g % 3, '2021-12-01'::timestamptz + g * interval '1 day' FROM generate_series(0, 119) g;
INSERT INTO retention_rule (rule, action, table_name, time_column, keep, active) VALUES ('visits', 'delete', 'visit', 'at', '1 year', true);
CALL apply_retention('2023-02-01', 10);
SELECT customer_id, count(*), min(at) FROM visit GROUP BY 1 ORDER BY 1;
RESET search_path;
SET client_min_messages = error;
SELECT crm.drop_store('t_right', 't_right');
