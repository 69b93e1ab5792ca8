-- Files of other systems in and out: each mapping with the platform's own column names, bad rows by line, and back again.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
\getenv abs_srcdir PG_ABS_SRCDIR

-- The reader of CSV.
SELECT * FROM crm.csv_rows(E'\ufeffa,b,c\r\n1,"x ""q"" ,\r\ny",3\r\n\r\n4,"5"z,6\r7;8,\n9,"open\n10');
SELECT * FROM crm.csv_rows(E'a;b;"c;d"\n1;2;3');
SELECT * FROM crm.csv_rows(E'a\tb,c\t\n');
SELECT * FROM crm.csv_rows('a,b', 'xy');
SELECT crm.csv_line(ARRAY['a', 'b,c', NULL, 'say "hi"', E'x\ny', '=1+1', '-5', '+8613800000001', '-a', '@b', ' x', '']), crm.csv_line(ARRAY['']), crm.csv_line(ARRAY['a', 'b;'], ';');
SELECT count(*) FROM generate_series(1, 500) i,
    LATERAL (SELECT ARRAY(SELECT translate(substr(md5(i::text || j), 1, (i + j) % 7), '0123456789', E'",;\n\r\t =ü中') FROM generate_series(1, 4) j) || 'end'::text AS f) f,
    LATERAL crm.csv_rows(crm.csv_line(f.f), ',') r
WHERE r.problem IS NOT NULL OR ARRAY(SELECT regexp_replace(x, '^''(?=[=+@\t\r-])', '') FROM unnest(r.fields) x) <> f.f;
SELECT crm.decode_file(convert_to('买家会员名', 'GBK')), crm.decode_file(convert_to('买家会员名', 'UTF8')), crm.decode_file(convert_to('é', 'LATIN1'), 'LATIN1');
SELECT crm.decode_file('\xfffe4100');
SELECT crm.decode_file('\xff41');
SELECT v, crm.is_masked(v) FROM unnest(ARRAY['138****1234', '张**', '138xxxx1234', 'Max', '李•', '×××××', NULL]) v;

SELECT crm.create_store('t_exchange');
SET search_path = t_exchange, crm, public;

-- What a cell can be.
SELECT t, v, import_value(v, t) FROM (VALUES
    ('text', '　 张三 '), ('text', '="0123"'), ('text', '''138'), ('text', '-'), ('phone', '138 0000 0001'), ('phone', '+44 20 7946 0000'), ('phone', '12'),
    ('email', 'A@Example.com'), ('email', 'a@'), ('date', '2026/1/5'), ('date', '2026年1月5日'), ('date', '20260105'), ('date', '46027'), ('date', '2026-02-30'),
    ('date', '2026.1.5'), ('date_mdy', '1/5/2026'), ('date_mdy', '2026-01-05'), ('time', '2026-01-05 10:00'), ('time', '2026-01-05T10:00:00Z'), ('time', '2026-01-05 10:00:00.25+0100'),
    ('time_mdy', '01/05/2026 1:02 PM'), ('time', '25:00'), ('money', '¥1,234.50'), ('money', '12元'), ('money', '-3'), ('money', '1.23456'), ('money_minor', '12345'),
    ('number', '1,280'), ('number', '3.0'), ('number', 'x'), ('gender', '先生'), ('gender', 'F'), ('gender', '保密'), ('gender', '?'), ('yes_no', '是'), ('yes_no', 'maybe'), ('no_yes', 'true'),
    ('tags', 'VIP; 母婴，老客户|vip'), ('tags', E'a\u0001b')) x (t, v);
SELECT import_value('买家已付款，等待卖家发货', 'words', '{"买家已付款,等待卖家发货=paid"}'), import_value('?', 'words', '{a=b}');
SELECT import_header('姓名（必填）'), import_header(' Last  Name* '), import_header('商家实收金额（元）');

-- What was not written with the mapping in mind.
SELECT * FROM import_file('nobody', 'a');
SELECT * FROM import_file('taobao_members', '');
SELECT * FROM import_file('taobao_members', E'nick,phone\na,b');
SELECT * FROM import_file('taobao_members', E'会员昵称\na', bad_rows => 'some');

-- Members of Taobao: GBK, masked values, numbers kept by a spreadsheet's ="…", six bad rows.
SELECT install_preset('textbook');
\set file :abs_srcdir '/data/taobao_members.csv'
\lo_import :file
\set tb_members :LASTOID
SELECT * FROM import_file('taobao_members', lo_get(:tb_members));
SELECT count(*) FROM customer;
SELECT line, action, reason FROM import_file('taobao_members', lo_get(:tb_members), apply => true) WHERE action = 'bad' LIMIT 1;
SELECT count(*) FROM customer;
SELECT line, action, changed FROM import_file('taobao_members', lo_get(:tb_members), apply => true, bad_rows => 'skip') WHERE action <> 'bad';
SELECT i.external_id, c.name, c.phone, c.gender, c.birth_date, k.tags, k.attributes, b.available, m.tier, m.period_end = cycle_end(now()) AS for_a_cycle
FROM identity i JOIN customer k USING (customer_id) LEFT JOIN contact c USING (customer_id) LEFT JOIN points_balance b ON b.customer_id = i.customer_id LEFT JOIN tier_member m ON m.customer_id = i.customer_id ORDER BY 1;
SELECT field, source FROM contact_provenance p JOIN identity i USING (customer_id) WHERE external_id = 'tb_lihua' ORDER BY 1;
-- Again: nothing.
SELECT line, action, changed, reason FROM import_file('taobao_members', lo_get(:tb_members), apply => true, bad_rows => 'skip') WHERE action <> 'bad';
SELECT count(*) FROM points_entry;

-- What the person says stands above the file; what is masked replaces nothing.
SELECT set_contact(customer_id, '{"name": "李华华", "phone": "13811111111"}') FROM identity WHERE external_id = 'tb_lihua';
SELECT set_contact(customer_id, '{"phone": "13800000002"}', 'third_party') FROM identity WHERE external_id = 'tb_zhang3';
SELECT line, action, changed, reason FROM import_file('taobao_members', lo_get(:tb_members), apply => true, bad_rows => 'skip') WHERE line <= 3;
SELECT i.external_id, c.name, c.phone FROM identity i JOIN contact c USING (customer_id) ORDER BY 1;

-- Orders of Taobao.
\set file :abs_srcdir '/data/taobao_orders.csv'
\lo_import :file
\set tb_orders :LASTOID
SELECT * FROM import_file('taobao_orders', lo_get(:tb_orders));
SELECT count(*) FROM import_file('taobao_orders', lo_get(:tb_orders), apply => true, bad_rows => 'skip');
SELECT i.external_id, p.order_no, p.status, p.amount, p.freight, p.net, p.ordered_at, p.paid_at, t.product, t.quantity
FROM purchase p JOIN (SELECT customer_id, external_id FROM identity) i USING (customer_id) JOIN purchase_item t USING (customer_id, channel, order_no) ORDER BY 2;
SELECT line, action, changed, reason FROM import_file('taobao_orders', lo_get(:tb_orders), apply => true, bad_rows => 'skip') WHERE action <> 'bad';
-- A later file: the order was sent, and the buyer moved.
SELECT line, action, changed, reason FROM import_file('taobao_orders',
    replace(replace(crm.decode_file(lo_get(:tb_orders)), '买家已付款，等待卖家发货', '卖家已发货，等待买家确认'), '某某路1号', '某某路9号'), apply => true, bad_rows => 'skip') WHERE action = 'changed';
SELECT status FROM purchase WHERE order_no = '2600000000000002';

-- Youzan: the phone links a customer of Taobao, whose data stays.
UPDATE contact SET phone = '13800000001', source = 'person' WHERE name = '李华华';
\set file :abs_srcdir '/data/youzan_customers.csv'
\lo_import :file
SELECT line, action, changed, reason FROM import_file('youzan_customers', lo_get(:LASTOID), apply => true, bad_rows => 'skip');
SELECT array_agg(channel || ' ' || external_id ORDER BY 1) FROM identity WHERE customer_id = (SELECT customer_id FROM identity WHERE external_id = 'tb_lihua');

-- Pinduoduo: no id of the buyer, virtual and masked numbers.
\set file :abs_srcdir '/data/pinduoduo_orders.csv'
\lo_import :file
SELECT line, action, changed, reason FROM import_file('pinduoduo_orders', lo_get(:LASTOID), apply => true, bad_rows => 'skip');
SELECT i.external_id, p.order_no, p.status, p.amount, p.discount, p.refunded, p.net, p.shipped_at, p.completed_at, c.name, c.phone, c.address
FROM purchase p JOIN identity i USING (customer_id, channel) LEFT JOIN contact c USING (customer_id) WHERE channel = 'pinduoduo' ORDER BY 2;

-- Fxiaoke, Shopify and Zoho; yes to marketing needs a policy, no counts always.
\set file :abs_srcdir '/data/fxiaoke_contacts.csv'
\lo_import :file
SELECT line, action, changed, reason FROM import_file('fxiaoke_contacts', lo_get(:LASTOID), apply => true, bad_rows => 'skip');
INSERT INTO privacy_policy (version, valid_from, body, purposes) VALUES ('1', '2025-01-01', 'x', '{marketing}');
\set file :abs_srcdir '/data/shopify_customers.csv'
\lo_import :file
\set shopify :LASTOID
SELECT line, action, changed, reason FROM import_file('shopify_customers', lo_get(:shopify), apply => true, bad_rows => 'skip');
SELECT line, action, changed, reason FROM import_file('shopify_customers', lo_get(:shopify), apply => true, bad_rows => 'skip');
\set file :abs_srcdir '/data/zoho_contacts.csv'
\lo_import :file
SELECT line, action, changed, reason FROM import_file('zoho_contacts', lo_get(:LASTOID), apply => true, bad_rows => 'skip');
SELECT i.channel, i.external_id, c.name, c.phone, c.email, c.birth_date, c.address, k.region, k.occupation, k.tags, k.joined_at < now() - interval '1 day' AS joined_before
FROM identity i JOIN contact c USING (customer_id) JOIN customer k USING (customer_id) WHERE channel IN ('fxiaoke', 'shopify', 'zoho') ORDER BY 1, 2;
SELECT i.external_id, s.channel, s.given, s.source FROM consent_state s JOIN identity i USING (customer_id) ORDER BY 1, 2;
SELECT body, author FROM note ORDER BY note_id;

-- Out: masked, whatever the mapping.
UPDATE customer SET joined_at = timestamptz '2026-01-01 00:00+00' + customer_id * interval '1 day';
SELECT export_csv('shopify_customers', (SELECT audience_agg(customer_id) FROM identity WHERE channel = 'shopify'));
SELECT export_csv('taobao_members', audience_of('老客户'));
SELECT export_csv('taobao_orders', (SELECT audience_agg(customer_id) FROM identity WHERE external_id = 'tb_lihua'));
SELECT export_csv('nobody');
-- Round trip: out in clear and into another store, then out again, gives the same file; and nothing changes here.
SELECT crm.create_store('t_exchange2');
INSERT INTO t_exchange2.privacy_policy (version, valid_from, body, purposes) VALUES ('1', '2025-01-01', 'x', '{marketing}');
SELECT t_exchange2.install_preset('textbook');
CREATE TEMP TABLE trip (mapping text, first text, here text, there text, second text);
INSERT INTO trip (mapping, first) SELECT m.mapping, (SELECT string_agg(l, E'\r\n') FROM t_exchange.export_clear(m.mapping,
        (SELECT audience_agg(i.customer_id) FROM identity i WHERE i.channel = m.channel), 'round trip') l) FROM import_mapping m WHERE mapping <> 'crm_customers' ORDER BY kind, mapping;
UPDATE trip SET here = (SELECT string_agg(DISTINCT action, ' ') FROM t_exchange.import_file(mapping, first, apply => true));
SELECT mapping, here FROM trip ORDER BY 1;
DO $$
DECLARE t record;
BEGIN
    FOR t IN SELECT * FROM trip JOIN t_exchange.import_mapping USING (mapping) ORDER BY kind, mapping LOOP
        UPDATE trip SET there = (SELECT string_agg(DISTINCT action, ' ') FROM t_exchange2.import_file(t.mapping, t.first, apply => true, history => true)) WHERE mapping = t.mapping;
    END LOOP;
    UPDATE trip x SET second = (SELECT string_agg(l, E'\r\n') FROM t_exchange2.export_clear(x.mapping,
        (SELECT crm.audience_agg(i.customer_id) FROM t_exchange2.identity i JOIN t_exchange2.import_mapping m USING (channel) WHERE m.mapping = x.mapping), 'round trip') l);
END $$;
SELECT mapping, there, (SELECT array_agg(l ORDER BY l) FROM regexp_split_to_table(first, '\r\n') l) = (SELECT array_agg(l ORDER BY l) FROM regexp_split_to_table(second, '\r\n') l) AS same, (SELECT count(*) - 1 FROM crm.csv_rows(first)) AS rows FROM trip ORDER BY 1;

-- Who may: a marketer gets masks, clear values need a right and are counted and recorded.
CREATE ROLE crm_t_exchange_m;
CREATE ROLE crm_t_exchange_o;
SELECT crm.grant_access('t_exchange', 'crm_t_exchange_m', 'marketer'), crm.grant_access('t_exchange', 'crm_t_exchange_o', 'owner');
SET ROLE crm_t_exchange_m;
SELECT count(*) FROM t_exchange.export_csv('zoho_contacts');
SELECT t_exchange.export_clear('zoho_contacts', NULL, 'newsletter');
SELECT * FROM t_exchange.import_file('zoho_contacts', 'a');
RESET ROLE;
SELECT set_reveal_limit('crm_t_exchange_o', 5, 5);
SET ROLE crm_t_exchange_o;
SELECT count(*) FROM t_exchange.export_clear('zoho_contacts', t_exchange.audience_of('chess'), 'newsletter of May');
SELECT count(*) FROM t_exchange.export_clear('zoho_contacts', NULL, 'newsletter of May');
SELECT count(*) FROM t_exchange.export_clear('zoho_contacts', NULL, '');
RESET ROLE;
SELECT field, purpose, role, count(*) FROM contact_access WHERE role LIKE 'crm_t_%' GROUP BY 1, 2, 3;
SELECT count(*) FROM crm.check_masks('t_exchange.contact') WHERE who ~ 'export|import';

-- A whole store into an empty one: the same customers, tags, tiers and balances; again, nothing.
CREATE FUNCTION pg_temp.picture(store text) RETURNS TABLE (what text, n bigint, sum text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('search_path', store || ', crm, public', true);
    RETURN QUERY EXECUTE 'SELECT ''customers'', count(*), md5(string_agg(c::text || coalesce(k.name || k.phone || k.address, ''''), '','' ORDER BY c.customer_id)) FROM customer c LEFT JOIN contact k USING (customer_id)';
    RETURN QUERY EXECUTE 'SELECT ''provenance'', count(*), md5(string_agg(p.customer_id || p.field || p.source, '','' ORDER BY p.customer_id, p.field)) FROM contact_provenance p';
    RETURN QUERY EXECUTE 'SELECT ''identities'', count(*), md5(string_agg(i.channel || i.external_id || i.customer_id, '','' ORDER BY i.channel, i.external_id)) FROM identity i';
    RETURN QUERY EXECUTE 'SELECT ''tags'', sum(c.customers)::bigint, md5(string_agg(c::text, '','' ORDER BY c.tag)) FROM tag_count c';
    RETURN QUERY EXECUTE 'SELECT ''tiers'', count(*), md5(string_agg(m::text, '','' ORDER BY m.customer_id)) FROM tier_member m';
    RETURN QUERY EXECUTE 'SELECT ''lots'', sum(l.remaining)::bigint, md5(string_agg(l::text, '','' ORDER BY l.customer_id, l.program, l.expires_at, l.available_at)) FROM points_lot l';
    RETURN QUERY EXECUTE 'SELECT ''balances'', sum(b.available)::bigint, md5(string_agg(b::text, '','' ORDER BY b.customer_id, b.program)) FROM points_balance b';
    RETURN QUERY EXECUTE 'SELECT ''consents'', count(*), md5(string_agg(s.customer_id || s.channel || s.given, '','' ORDER BY s.customer_id, s.channel)) FROM consent_state s';
    RETURN QUERY EXECUTE 'SELECT ''summaries'', count(*), md5(string_agg(s::text, '','' ORDER BY s.customer_id)) FROM customer_summary s';
END $$;
SELECT earn(1, 500, 'test', 'soon', expires_at => '2100-01-01'), earn(1, 70, 'test', 'later', available_at => '2100-01-01'), hold(1, 100, 'test', 'h1', expires_at => '2100-06-01') IS NOT NULL \g /dev/null
UPDATE points_program SET debt_allowed = true, expiry = 'months', expiry_n = 1 WHERE program = 'points';
SELECT adjust(2, -30, 'test', 'owes', 'returned after spending') \g /dev/null
SELECT tag_customer(2, 'vip', expires_at => '2100-01-01');
SELECT crm.create_store('t_exchange3');
CREATE TEMP TABLE store_rows AS SELECT * FROM export_store();
SELECT part, rows, added FROM t_exchange3.import_store('store_rows');
SELECT * FROM pg_temp.picture('t_exchange') EXCEPT SELECT * FROM pg_temp.picture('t_exchange3');
SELECT what, n > 0 AS there FROM pg_temp.picture('t_exchange3');
SELECT count(*) FROM t_exchange3.points_verify() v;
SELECT part, rows, added FROM t_exchange3.import_store('store_rows') WHERE part = 'customer';
SELECT count(*) FROM (SELECT * FROM pg_temp.picture('t_exchange') EXCEPT SELECT * FROM pg_temp.picture('t_exchange3')) d;
SELECT count(*) AS entries, count(DISTINCT reference) AS openings FROM t_exchange3.points_entry WHERE source = 'import';
WITH c AS (INSERT INTO t_exchange3.customer DEFAULT VALUES RETURNING customer_id) SELECT customer_id > (SELECT max(customer_id) FROM t_exchange.customer) FROM c;
-- Not into a store with other people or other money.
SELECT * FROM t_exchange2.import_store('store_rows');
UPDATE store_rows SET content = content || '{"currency": "EUR"}' WHERE part = 'store';
SELECT * FROM t_exchange3.import_store('store_rows');

RESET search_path;
DROP OWNED BY crm_t_exchange_m, crm_t_exchange_o;
SELECT crm.drop_store('t_exchange', 't_exchange'), crm.drop_store('t_exchange2', 't_exchange2'), crm.drop_store('t_exchange3', 't_exchange3');
SELECT lo_unlink(oid) FROM pg_largeobject_metadata \g /dev/null
DROP ROLE crm_t_exchange_m, crm_t_exchange_o;
