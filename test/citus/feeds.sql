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
