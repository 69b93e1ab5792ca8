-- Orders that come from tables and files of the shop, and the checks of a store: the same statements for a store on one node and for one
-- over three, after workload.sql and whole.sql.
\set ON_ERROR_STOP off
\pset format unaligned
\pset tuples_only on
\set VERBOSITY terse
SET search_path = :store, crm;
SET citus.propagate_set_commands = 'local';

\echo capture
SELECT setval(pg_get_serial_sequence('customer', 'customer_id'), 6000) > 0;
CREATE TABLE public.web_order (sn text PRIMARY KEY, buyer text NOT NULL, state text NOT NULL, cents bigint, given_back bigint NOT NULL DEFAULT 0, paid timestamptz,
                               who text, tel text, lines jsonb);
INSERT INTO public.web_order SELECT 'W' || i, 'buyer' || i % 40, CASE i % 7 WHEN 0 THEN 'new' ELSE 'done' END, 100 * i, 0, '2029-05-01'::timestamptz + i * interval '1 hour',
                                    '客户' || i % 40, '137' || lpad((i % 40)::text, 8, '0'),
                                    jsonb_build_array(jsonb_build_object('sku', 'p' || i % 5, 'cat', 'c' || i % 3, 'cents', 60 * i), jsonb_build_object('sku', 'q', 'cat', 'c9', 'cents', 40 * i))
FROM generate_series(1, 200) i;
\set mapping '{"customer": "buyer", "order_no": "sn", "channel": {"value": "web2"}, "status": {"column": "state", "map": {"new": "pending", "done": "completed", "void": "cancelled"}}, "amount": {"column": "cents", "scale": 0.01}, "refunded": {"column": "given_back", "scale": 0.01}, "paid_at": "paid", "ordered_at": "paid", "completed_at": "paid", "name": "who", "phone": "tel", "items": {"column": "lines", "scale": 0.01, "product": "sku", "category": "cat", "amount": "cents"}}'
SELECT crm.capture_orders(:'store', 'public.web_order', :'mapping');
-- Customers are named by what the shop calls them: their numbers go by the nodes.
\set buyer '(SELECT i.external_id AS buyer, i.customer_id FROM identity i WHERE i.channel = ''web2'' OFFSET 0)'
SELECT count(*), count(DISTINCT customer_id) FROM :buyer b;
SELECT b.buyer, count(*), sum(p.amount), sum(p.net), sum(p.refunded), count(p.order_at) FROM (SELECT * FROM purchase WHERE channel = 'web2' OFFSET 0) p JOIN :buyer b USING (customer_id) GROUP BY 1 ORDER BY 1;
SELECT category, count(*), sum(amount) FROM purchase_item WHERE channel = 'web2' GROUP BY 1 ORDER BY 1;
-- History earns nothing; what comes now does.
INSERT INTO public.web_order VALUES ('W201', 'buyer1', 'done', 5000, 0, '2029-06-01', '王一', '13700000001', NULL), ('W202', 'buyer2', 'done', 7000, 0, '2029-06-01', NULL, NULL, NULL),
                                    ('W203', 'newcomer', 'done', 9900, 0, '2029-06-02', '新人', '13900000000', '[{"sku": "x", "cat": "c1", "cents": 9900}]');
SELECT b.buyer, e.kind, e.points, e.reference FROM (SELECT * FROM points_entry WHERE source = 'purchase' AND reference LIKE 'web2/%' OFFSET 0) e JOIN :buyer b USING (customer_id) ORDER BY 1, e.seq;
UPDATE public.web_order SET given_back = 2000 WHERE sn = 'W201';
UPDATE public.web_order SET state = 'void' WHERE sn IN ('W202', 'W8', 'W9');
UPDATE public.web_order SET sn = 'W203b' WHERE sn = 'W203';
UPDATE public.web_order SET lines = '[{"sku": "z", "cat": "c1", "cents": 1}]' WHERE sn = 'W10';
DELETE FROM public.web_order WHERE sn IN ('W11', 'W12');
-- Another's by now: the order goes there, with its items.
UPDATE public.web_order SET buyer = 'buyer3' WHERE sn = 'W20';
UPDATE public.web_order SET buyer = 'brand new' WHERE sn = 'W201';
COPY public.web_order (sn, buyer, state, cents, paid) FROM stdin WITH (FORMAT csv);
C1,buyer5,done,1000,2029-06-03
C2,copied,done,2000,2029-06-03
\.
INSERT INTO public.web_order (sn, buyer, state, cents, paid) VALUES ('X1', 'buyer5', 'odd', 1, '2029-06-03');
INSERT INTO public.web_order (sn, buyer, state, cents, paid) VALUES ('X2', 'buyer5', 'done', NULL, '2029-06-03');
TRUNCATE public.web_order;
BEGIN;
INSERT INTO public.web_order (sn, buyer, state, cents, paid) VALUES ('U1', 'buyer6', 'done', 1, '2029-06-03'), ('U2', 'undone', 'done', 1, '2029-06-03');
ROLLBACK;
SELECT b.buyer, count(*), sum(p.amount), sum(p.net), sum(p.refunded), count(p.order_at) FROM (SELECT * FROM purchase WHERE channel = 'web2' OFFSET 0) p JOIN :buyer b USING (customer_id) GROUP BY 1 ORDER BY 1;
SELECT p.order_no, b.buyer, p.status, p.amount, p.refunded FROM (SELECT * FROM purchase WHERE channel = 'web2' AND order_no !~ '^W[0-9]+$' OR order_no IN ('W8', 'W10', 'W11', 'W20', 'W201', 'W202') OFFSET 0) p JOIN :buyer b USING (customer_id) ORDER BY 1;
SELECT order_no, line, product, amount FROM purchase_item WHERE channel = 'web2' AND order_no IN ('W10', 'W20', 'W203b') ORDER BY 1, 2;
SELECT b.buyer, c.name, c.phone FROM (SELECT * FROM contact OFFSET 0) c JOIN :buyer b USING (customer_id) ORDER BY 1;
SELECT b.buyer, s.order_count, s.spend_total, s.refunded_total FROM (SELECT * FROM customer_summary OFFSET 0) s JOIN :buyer b USING (customer_id) ORDER BY 1;
SELECT b.buyer, a.available, a.pending FROM (SELECT * FROM points_account WHERE program = 'points' OFFSET 0) a JOIN :buyer b USING (customer_id) ORDER BY 1;
SELECT crm.capture_orders(:'store', 'public.web_order', :'mapping');
SELECT crm.release_orders(:'store', 'public.web_order');
INSERT INTO public.web_order (sn, buyer, state, cents, paid) VALUES ('R1', 'buyer5', 'done', 1, '2029-06-03');
SELECT count(*) FROM purchase WHERE order_no = 'R1';
DROP TABLE public.web_order;

\echo import_orders
SELECT setval(pg_get_serial_sequence('customer', 'customer_id'), 7000) > 0;
CREATE TEMP TABLE order_file (customer text, sn text, ordered_at text, amount text, refunded text, status text, name text, phone text);
INSERT INTO order_file SELECT 'f' || i % 30, 'I' || i, '2029-07-' || lpad((1 + i % 28)::text, 2, '0'), (10 * i)::text, CASE i % 9 WHEN 0 THEN '5' END, CASE i % 5 WHEN 0 THEN 'paid' END,
                              '文件' || i % 30, CASE WHEN i % 30 < 20 THEN '136' || lpad((i % 30)::text, 8, '0') END FROM generate_series(1, 120) i;
INSERT INTO order_file VALUES ('f1', 'I200', 'soon', '1'), ('f1', 'I201', '2029-07-01', 'much'), ('f2', 'I1', '2029-07-01', '1'), ('f2', 'S1', '2029-07-01', '1'), (NULL, 'I202', '2029-07-01', '1');
SELECT * FROM import_orders('order_file', '{"order_no": "sn"}');
SELECT count(*) FROM purchase WHERE order_no LIKE 'I%';
SELECT * FROM import_orders('order_file', '{"order_no": "sn"}', 'skip');
SELECT count(*), max(reason) FROM import_orders('order_file', '{"order_no": "sn"}', 'skip');
INSERT INTO order_file VALUES ('f1', 'I300', '2029-08-01', '77', NULL, NULL, 'other', '13611111111'), ('f99', 'I301', '2029-08-01', '78', NULL, NULL, 'last', NULL);
SELECT count(*) FROM import_orders('order_file', '{"order_no": "sn"}', 'skip');
\set filed '(SELECT i.external_id AS who, i.customer_id FROM identity i WHERE i.channel = ''import'' OFFSET 0)'
SELECT f.who, c.customer_id, c.joined_at, s.order_count, s.spend_total FROM (SELECT c.customer_id, c.joined_at FROM customer c OFFSET 0) c JOIN (SELECT * FROM customer_summary OFFSET 0) s USING (customer_id) JOIN :filed f USING (customer_id) ORDER BY 1;
SELECT f.who, c.name, c.phone FROM (SELECT * FROM contact OFFSET 0) c JOIN :filed f USING (customer_id) ORDER BY 1;
SELECT order_no, status, amount, refunded, ordered_at, paid_at, completed_at FROM purchase WHERE order_no LIKE 'I%' ORDER BY 1;
SELECT f.who, a.available, a.pending FROM (SELECT * FROM points_account WHERE program = 'points' OFFSET 0) a JOIN :filed f USING (customer_id) ORDER BY 1;

\echo import_file
SELECT setval(pg_get_serial_sequence('customer', 'customer_id'), 8000) > 0;
INSERT INTO privacy_policy (version, valid_from, purposes, body) VALUES ('v1', '2020-01-01', '{marketing}', 'We keep what we need.') ON CONFLICT DO NOTHING;
INSERT INTO import_mapping (mapping, kind, channel, language, link_contact) VALUES ('people', 'customer', 'old', 'en', true), ('bills', 'order', 'old', 'en', true);
INSERT INTO import_column (mapping, position, field, columns, transform, required) VALUES
    ('people', 1, 'external_id', '{id}', 'text', true), ('people', 2, 'name', '{name}', 'text', false), ('people', 3, 'phone', '{phone}', 'phone', false), ('people', 4, 'email', '{email}', 'email', false),
    ('people', 5, 'region', '{region}', 'text', false), ('people', 6, 'tags', '{tags}', 'tags', false), ('people', 7, 'points', '{points}', 'number', false), ('people', 8, 'tier', '{tier}', 'text', false),
    ('people', 9, 'note', '{note}', 'text', false), ('people', 10, 'consent.sms', '{sms}', 'yes_no', false), ('people', 11, 'attribute.size', '{size}', 'text', false), ('people', 12, 'joined_at', '{since}', 'date', false),
    ('bills', 1, 'order_no', '{no}', 'text', true), ('bills', 2, 'external_id', '{id}', 'text', true), ('bills', 3, 'amount', '{amount}', 'money', false), ('bills', 4, 'ordered_at', '{at}', 'time', false),
    ('bills', 5, 'refunded', '{back}', 'money', false), ('bills', 6, 'product', '{product}', 'text', false), ('bills', 7, 'phone', '{phone}', 'phone', false);
\set people 'id,name,phone,email,region,tags,points,tier,note,sms,size,since\na1,Ann,13512345678,ann@x.cc,north,"vip,early",120,silver,likes tea,yes,L,2024-01-02\na2,Bob,13512345679,,,,,,,no,,\na3,客户7,13800000007,new@x.cc,south,vip,30,gold,,,,\na4,Dora,,dora@x.cc,,new,5,,,,M,2023-05-06\na5,,,bad,,,many,,,,,\na1,again,,,,,,,,,,\na6,Fay,13512345670,,,,7,copper,,,,\n'
SELECT line, action, changed, reason FROM import_file('people', :'people', as_of => '2029-08-01');
SELECT count(*) FROM identity WHERE channel = 'old';
SELECT line, action, customer_id, changed, reason FROM import_file('people', :'people', true, 'skip', as_of => '2029-08-01');
SELECT line, action, customer_id, changed, reason FROM import_file('people', :'people', true, 'skip', as_of => '2029-08-01');
SELECT customer_id, CASE WHEN joined_at < '2026-01-01' THEN joined_at END, region, tags, attributes FROM customer WHERE customer_id > 8000 OR customer_id = 7 ORDER BY 1;
SELECT c.customer_id, c.name, c.phone, c.email FROM contact c WHERE customer_id > 8000 OR customer_id = 7 ORDER BY 1;
SELECT customer_id, program, kind, points, source, reference FROM points_entry WHERE source = 'import' ORDER BY 1, 2, seq;
SELECT customer_id, tier FROM tier_member WHERE customer_id > 8000 OR customer_id = 7 ORDER BY 1;
SELECT customer_id, purpose, channel, given, source FROM consent ORDER BY 1, 2, 3;
SELECT customer_id, body, author FROM note ORDER BY 1, 2;
SELECT customer_id, tag, added FROM tag_event WHERE customer_id > 8000 ORDER BY 1, 2;
\set bills 'no,id,amount,at,back,product,phone\nB1,a1,100.50,2029-08-02 10:00,,lamp,\nB2,a2,20,2029-08-02,,pen,\nB3,z9,30,2029-08-03,10,,13800000009\nB4,a1,x,2029-08-03,,,\nB5,z10,55,2029-08-04,,,\nB1,a2,1,2029-08-03,,,\n'
SELECT line, action, customer_id, changed, reason FROM import_file('bills', :'bills', as_of => '2029-08-05');
SELECT line, action, customer_id, changed, reason FROM import_file('bills', :'bills', true, 'skip', as_of => '2029-08-05');
SELECT line, action, customer_id, changed, reason FROM import_file('bills', replace(replace(:'bills', ',55,', ',60,'), 'B2,a2', 'B2,a1'), true, 'skip', as_of => '2029-08-05');
SELECT line, action, customer_id, changed, reason FROM import_file('bills', E'no,id,amount,at\nH1,a4,500,2020-01-01\n', true, history => true, as_of => '2029-08-05');
SELECT customer_id, order_no, amount, refunded, status, ordered_at, history FROM purchase WHERE channel = 'old' ORDER BY 2;
SELECT customer_id, order_no, line, product, amount FROM purchase_item WHERE channel = 'old' ORDER BY 2;
SELECT i.external_id, i.customer_id FROM identity i WHERE channel = 'old' ORDER BY 1;
SELECT customer_id, kind, points, reference FROM points_entry WHERE reference LIKE 'old/%' ORDER BY 1, seq;

\echo checks
SELECT * FROM recount_customers();
SELECT * FROM check_tag_audience();
SELECT * FROM points_verify();
SELECT * FROM points_verify(7);
UPDATE contact SET name = '新名' WHERE customer_id IN (5, 6);
DELETE FROM contact WHERE customer_id = 49;
SELECT customer_id, field, action, source FROM contact_change WHERE customer_id < 50 ORDER BY customer_id, change_id;
CALL verify_store();
SELECT state, done, total, cursor FROM job_progress WHERE job = 'verify_store';
SELECT subject, state, regexp_replace(detail, '20[0-9: -]{14}', 'today') FROM crm.health(:'store') WHERE subject ~ 'backlog|bloat|statistics|verified|change feed|overdue' ORDER BY 1;

\echo change_feed
SELECT watch_changes('{nothing}');
SELECT watch_changes('{customer,contact,purchase,points_entry}');
SELECT * FROM watched_table ORDER BY 1;
SELECT reset_changes('late');
INSERT INTO customer (customer_id, region) SELECT i, 'north' FROM generate_series(9001, 9020) i;
UPDATE customer SET region = 'south', occupation = 'cook' WHERE customer_id BETWEEN 9001 AND 9006;
UPDATE customer SET region = region WHERE customer_id BETWEEN 9001 AND 9020;
INSERT INTO contact (customer_id, name, phone) VALUES (9001, '张三', '13812341234'), (9002, '李四', '13812341235');
UPDATE contact SET phone = '13899998888' WHERE customer_id = 9002;
INSERT INTO purchase (customer_id, channel, order_no, status, amount, ordered_at, paid_at) SELECT 9000 + i, 'feed', 'F' || i, 'completed', 10 * i, '2029-09-01', '2029-09-01' FROM generate_series(1, 20) i;
UPDATE purchase SET order_no = 'F1b' WHERE customer_id = 9001 AND order_no = 'F1';
DELETE FROM purchase WHERE customer_id = 9002;
SELECT (earn(9003, 5, 'test', 'feed', as_of => '2029-09-02')).points;
COPY customer (customer_id) FROM stdin;
9031
9032
\.
BEGIN;
INSERT INTO customer (customer_id) VALUES (9041);
ROLLBACK;
-- Events are told when everything older has ended.
\set settle 'DO $s$ BEGIN FOR i IN 1..200 LOOP EXIT WHEN (SELECT max(l.held_back) FROM change_lag l) = 0; COMMIT; PERFORM pg_sleep(0.1); END LOOP; END $s$'
:settle;
SELECT customer_id, table_name, op, key, changed FROM change_feed() ORDER BY 1, 2, 3, key::text;
SELECT consumer, waiting > 50, held_back, missed FROM change_lag ORDER BY 1;
-- In bits, each event once and those of a customer in their order.
CREATE TEMP TABLE told (n bigint GENERATED ALWAYS AS IDENTITY, customer_id bigint, table_name name, op text, key jsonb);
DO $$
DECLARE
    last text;
    more bigint;
BEGIN
    FOR i IN 1..100 LOOP
        CREATE TEMP TABLE bit AS SELECT * FROM next_changes('erp', 7);
        INSERT INTO told (customer_id, table_name, op, key) SELECT b.customer_id, b.table_name, b.op, b.key FROM bit b;
        SELECT (array_agg(b.cursor))[count(*)], count(*) INTO last, more FROM bit b;
        DROP TABLE bit;
        EXIT WHEN more = 0;
        ASSERT ack_changes('erp', last);
        ASSERT NOT ack_changes('erp', last);
    END LOOP;
END
$$;
SELECT count(*) = (SELECT count(*) FROM change_feed()), count(*) = count(DISTINCT (customer_id, table_name, op, key)) FROM told;
SELECT table_name, op, key FROM told WHERE customer_id = 9001 ORDER BY n;
SELECT count(*) FROM next_changes('erp');
SELECT count(*) > 50 FROM next_changes('late');
SELECT ack_changes('nobody', '');
SELECT count(*) FROM change_feed('x');
CALL prune_changes('0', as_of => now() + interval '1 minute');
SELECT count(*) > 50 FROM change_feed();
SELECT reset_changes('late');
CALL prune_changes('0', as_of => now() + interval '1 minute');
SELECT count(*) FROM change_feed();
UPDATE customer SET region = 'west' WHERE customer_id BETWEEN 9010 AND 9012;
:settle;
SELECT customer_id, table_name, op, changed FROM next_changes('late') ORDER BY 1;
CALL prune_changes('0', force => true, as_of => now() + interval '1 minute');
SELECT consumer, missed FROM change_consumer ORDER BY 1;
\set VERBOSITY sqlstate
SELECT count(*) FROM next_changes('late');
\set VERBOSITY terse
SELECT subject, state, detail FROM health_change_feed();
SELECT unwatch_changes('{customer,contact,purchase,points_entry}');
UPDATE customer SET region = 'east' WHERE customer_id = 9010;
SELECT count(*) FROM change_event;

\echo coupons
INSERT INTO coupon_template (template, kind, value, name, total_limit, customer_limit) VALUES ('t1', 'fixed', 5, 't', 3, 2), ('t2', 'percent', 10, 't', NULL, NULL);
INSERT INTO coupon_template (template, kind, value, name, condition) VALUES ('t3', 'fixed', 5, 't', 'order_count >= 1');
SELECT state, template FROM issue_coupon(1, 't2', 'a', '2029-10-01');
SELECT state, template FROM issue_coupon(2, 't1', 'a', '2029-10-01');
SELECT state, template FROM issue_coupon(2, 't1', 'a', '2029-10-01');
BEGIN;
SELECT state, template FROM issue_coupon(3, 't1', 'a', '2029-10-01');
SELECT state, template FROM issue_coupon(3, 't3', 'a', '2029-10-01');
COMMIT;
SELECT state, template FROM issue_coupon(4, 't1', 'a', '2029-10-01');
\set VERBOSITY sqlstate
SELECT state, template FROM issue_coupon(5, 't1', 'a', '2029-10-01');
SELECT state, template FROM issue_coupon(999999, 't2', 'a', '2029-10-01');
SELECT template, issued FROM coupon_stock ORDER BY 1;
SELECT code FROM coupon WHERE customer_id = 1 AND template = 't2' \gset
SELECT customer_id, discount, state FROM lock_coupon(:'code', 'mall', 'C1', 100, as_of => '2029-10-02');
SELECT customer_id, discount, state FROM lock_coupon(:'code', 'mall', 'C1', 100, as_of => '2029-10-02');
SELECT lock_coupon(:'code', 'mall', 'C2', 100, as_of => '2029-10-02 00:01');
SELECT lock_coupon('nosuch', 'mall', 'C2', 100);
SELECT customer_id, discount, state FROM redeem_coupon(:'code', 'mall', 'C1', '2029-10-02');
SELECT redeem_coupon(:'code', 'mall', 'C2', '2029-10-02');
SELECT customer_id, state FROM return_coupon(:'code', '2029-10-03');
SELECT customer_id, discount, state FROM lock_coupon(:'code', 'mall', 'F4', 100, as_of => '2029-10-04');
-- An order that is given back gives its coupon back.
SELECT code FROM coupon WHERE customer_id = 3 AND template = 't3' \gset
SELECT customer_id, discount, state FROM lock_coupon(:'code', 'mall', 'CO1', 100, as_of => '2029-10-04');
INSERT INTO purchase (customer_id, channel, order_no, status, amount, ordered_at, paid_at) VALUES (3, 'mall', 'CO1', 'paid', 95, '2029-10-04', '2029-10-04');
SELECT customer_id, discount, state FROM redeem_coupon(:'code', 'mall', 'CO1', '2029-10-04');
UPDATE purchase SET status = 'cancelled' WHERE customer_id = 3 AND order_no = 'CO1';
SELECT customer_id, template, state FROM coupon ORDER BY 1, 2;
SELECT expire_coupons('2040-01-01');
SELECT template, issued, redeemed FROM coupon_report ORDER BY 1;
\set VERBOSITY terse

\echo campaigns
UPDATE settings SET time_zone = 'UTC';
INSERT INTO message_template (template, channel, purpose, body) VALUES ('m1', 'sms', 'service', 'hello'), ('m2', 'sms', 'service', 'hallo');
INSERT INTO campaign (campaign, name, channel, purpose, rule, holdout, seed, coupon_template) VALUES ('autumn', 'a', 'sms', 'service', 'order_count >= 1', 0.2, 7, 't2');
INSERT INTO campaign (campaign, name, channel, purpose, query, segment, audience, holdout, seed) VALUES ('tags', 'a', 'sms', 'service', 'vip', NULL, '{1-30}', 0, 7);
INSERT INTO campaign_variant (campaign, variant, share, template) VALUES ('autumn', 'a', 0.5, 'm1'), ('autumn', 'b', 0.5, 'm2'), ('tags', 'a', 1, 'm1');
SELECT campaign_audience('autumn'), campaign_audience('tags');
SELECT count(*) FROM contactable('sms', 'service');
SELECT state, target, held_out, refused FROM freeze_campaign('autumn', '2029-10-05 10:00');
SELECT launch_campaign('autumn', '2029-10-05 10:00'), launch_campaign('tags', '2029-10-05 10:00');
SELECT launch_campaign('autumn', '2029-10-05 11:00');
SELECT customer_id, channel, template, due_at, variant, payload ? 'coupon' FROM outbox WHERE campaign IS NOT NULL ORDER BY campaign, customer_id;
SELECT variant, members FROM campaign_variant ORDER BY campaign, variant;
SELECT cancel_campaign('tags');
SELECT campaign, state, refused FROM campaign ORDER BY 1;
SELECT count(*) FROM coupon WHERE reference = 'campaign/autumn';
SELECT campaign, name, channel, state, targeted, held_out, refused, written, waiting, sent, delivered, opened, dead, coupons_redeemed, customers_redeeming, coupon_discount FROM campaign_report ORDER BY 1;

\echo order_messages
INSERT INTO customer (customer_id, joined_at) SELECT i, '2029-01-01' FROM generate_series(9101, 9112) i;
INSERT INTO contact (customer_id, name, phone) SELECT 9100 + i, '收件' || i, '1350000' || lpad(i::text, 4, '0') FROM generate_series(1, 8) i;
INSERT INTO survey (survey, title) VALUES ('order', '满意度');
INSERT INTO survey_question (survey, version, question, seq, kind, wording, overall) VALUES ('order', 1, 'nps', 1, 'nps', '推荐', true);
SELECT publish_survey('order', 1);
INSERT INTO message_template (template, channel, purpose, body) VALUES ('made', 'sms', 'service', '订单{order_no}生产中');
INSERT INTO order_message (event, template, active) VALUES ('in_production', 'made', true);
UPDATE order_message SET active = true;
UPDATE order_message SET survey = 'order' WHERE event = 'received';
SELECT tell_orders();
INSERT INTO purchase (customer_id, order_no, status, amount, paid_at) SELECT 9100 + i, 'M' || i, CASE i % 3 WHEN 0 THEN 'pending' WHEN 1 THEN 'paid' ELSE 'completed' END, 10 * i, '2029-10-06' FROM generate_series(1, 10) i;
UPDATE purchase SET status = 'shipped' WHERE customer_id BETWEEN 9101 AND 9104 AND order_no LIKE 'M%';
UPDATE purchase SET status = 'shipped' WHERE customer_id BETWEEN 9101 AND 9104 AND order_no LIKE 'M%';
SELECT tell_order(9105, 'mall', 'M5', 'in_production'), tell_order(9105, 'mall', 'M5', 'shipped'), tell_order(9105, 'mall', 'M5', 'shipped');
SELECT customer_id, channel, template, payload - 'link', payload ->> 'link' IS NOT NULL AS link, idempotency_key, state FROM outbox WHERE idempotency_key LIKE 'order/%' ORDER BY 1, 6;
SELECT tell_orders(false);
INSERT INTO purchase (customer_id, order_no, status, amount, paid_at) VALUES (9101, 'M99', 'paid', 1, '2029-10-06');
SELECT count(*) FROM outbox WHERE idempotency_key LIKE 'order/%';

\echo duplicates
INSERT INTO contact (customer_id, name, phone, email, address) VALUES (9109, '收件1', '+86 135 0000 0001', NULL, NULL), (9110, 'Li Si', NULL, 'li@x.cc', NULL), (9111, 'LI  SI', NULL, 'LI@x.cc', NULL);
UPDATE contact SET address = '杭州市西湖区1号' WHERE customer_id IN (9109, 9101, 9102);
SELECT pairs >= 2, passed_over FROM find_duplicates();
SELECT customer_id, other, score, reasons, problem, order_count, other_order_count FROM duplicate_queue WHERE customer_id > 9100 ORDER BY 1, 2;
SELECT decide_duplicate(9111, 9110, false);
SELECT decide_duplicate(9111, 9110, false);
UPDATE contact SET phone = NULL WHERE customer_id = 9109;
SELECT passed_over FROM find_duplicates();
SELECT customer_id, other, score, reasons, state FROM duplicate_candidate WHERE customer_id > 9100 ORDER BY 1, 2;
SELECT passed_over > 0 FROM find_duplicates(1);
SELECT customer_id, other, state FROM duplicate_candidate WHERE customer_id > 9100 ORDER BY 1, 2;
SELECT customer_id, other FROM duplicate_queue;

\echo contact_quality
SELECT customer_id, field, finding FROM contact_quality WHERE customer_id > 9100 ORDER BY 1, 2, 3;
SELECT confirm_contact(9101, '2029-10-07');
SELECT field, finding, customers > 0 FROM contact_quality_report ORDER BY 1, 2;
