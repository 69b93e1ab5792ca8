-- Tags of customers in a store: dictionary, events, expiry, audiences.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SELECT crm.create_store('t_tags');
SET search_path = t_tags, crm, public;
CREATE VIEW events AS SELECT customer_id, string_agg(CASE WHEN added THEN '+' ELSE '-' END || tag || coalesce(' (' || why || ')', ''), ', ' ORDER BY event_id) AS events
FROM t_tags.tag_event GROUP BY 1 ORDER BY 1;

-- The dictionary folds what it is given.
INSERT INTO tag (tag, name_zh, valid_for) VALUES ('ＶＩＰ２ ', '二级', '30 days'), ('Group:Regulars', '熟客', NULL);
INSERT INTO tag_namespace (namespace, exclusive) VALUES ('Size ', true);
INSERT INTO tag (tag) VALUES ('vip');
INSERT INTO tag (tag) VALUES (' ');
INSERT INTO tag_namespace (namespace) VALUES ('a:b');
SELECT tag, namespace, name_zh, kind, valid_for FROM tag ORDER BY 1;

-- Every change of tags is an event, however it comes.
ALTER TABLE customer ALTER customer_id RESTART 100000;
INSERT INTO customer (customer_id, tags) VALUES (1, '{vip,a}'), (2, '{}'), (3, '{b}');
UPDATE customer SET tags = tags - 'a' + 'c' WHERE customer_id <> 3;
UPDATE customer SET region = 'x';
UPDATE customer SET tags = tags + 'c' WHERE customer_id = 1;
BEGIN;
SET LOCAL crm.actor = '小王';
SET LOCAL crm.tag_reason = 'by hand';
INSERT INTO customer (customer_id, tags) VALUES (3, '{z}'), (4, '{z}') ON CONFLICT (customer_id) DO UPDATE SET tags = customer.tags | EXCLUDED.tags;
COMMIT;
COPY customer (customer_id, tags) FROM stdin;
5	{vip,"a b"}
6	{a}
\.
SELECT * FROM events;
SELECT DISTINCT who = CURRENT_USER, who = '小王', why FROM tag_event ORDER BY 1;
SELECT * FROM tag_count ORDER BY 1;

-- Verbs.
SELECT tag_customer(1, 'ＶＩＰ'), tag_customer(1, 'new', 'asked for it'), untag_customer(1, 'a'), untag_customer(1, 'vip', 'left');
SELECT tag_customers('{1-100}', 'Sale', 'spring'), tag_customers('{1-3}', 'sale'), untag_customers('{1,2}', 'sale', 'over'), tag_customers('{}', 'x');
SELECT tag_customer(99, 'x');
SELECT tag_customer(1, '');
SELECT customer_id, tags FROM customer ORDER BY 1;
SELECT * FROM events WHERE customer_id = 1;

-- Namespaces: exclusive or not.
SELECT tag_customer(1, 'lifecycle:new'), tag_customer(1, 'lifecycle:active'), put_tag(1, 'lifecycle:dormant'), put_tag(1, 'lifecycle:dormant'), tag_customer(1, 'group:a'), tag_customer(1, 'group:b');
SELECT put_tag(1, 'group:c');
SELECT put_tag(1, 'plain');
UPDATE customer SET tags = tags + 'lifecycle:new' WHERE customer_id = 1;
UPDATE customer SET tags = tags + 'size:s' + 'size:l';
INSERT INTO customer (tags) VALUES ('{size:s,size:l}');
UPDATE customer SET tags = crm.tag_put(tags, 'lifecycle:new') WHERE customer_id = 1;
SELECT tags, crm.tag_value(tags, 'lifecycle') FROM customer WHERE customer_id = 1;

-- Expiry: from the dictionary, or as given.
SELECT tag_customer(2, 'vip2'), tag_customer(2, 'gift', 'welcome', now() + '1 day'), tag_customer(3, 'vip2', NULL, now() + '1 hour');
SELECT customer_id, tag, round(extract(epoch FROM expires_at - now()) / 3600) AS hours FROM tag_expiry ORDER BY 1, 2;
SELECT tag_customer(3, 'vip2', NULL, now() + '60 days');
SELECT untag_customer(2, 'gift');
SELECT customer_id, tag, round(extract(epoch FROM expires_at - now()) / 3600) AS hours FROM tag_expiry ORDER BY 1, 2;
CALL expire_tags(now() + '40 days', 1);
SELECT customer_id, tag, round(extract(epoch FROM expires_at - now()) / 3600) AS hours FROM tag_expiry ORDER BY 1, 2;
SELECT * FROM events WHERE customer_id IN (2, 3);
SELECT state, done, total FROM job_progress WHERE job = 'expire_tags';

-- Counts from bitmaps alone, before and after folding.
CREATE FUNCTION compare(query tagquery) RETURNS text LANGUAGE sql SET search_path FROM CURRENT AS $$
    SELECT CASE WHEN count_tags(query) = count(*) AND audience_of(query) = coalesce(audience_agg(customer_id), '{}') THEN count(*) || ' of both' ELSE 'differ' END
    FROM customer WHERE tags @@ query $$;
INSERT INTO customer (customer_id, tags) SELECT i * 1000, tagset(ARRAY['t' || i % 7, 'u' || i % 11, 'even' || i % 2]) FROM generate_series(1, 3000) i;
CREATE TABLE queries (q tagquery);
INSERT INTO queries VALUES ('t1'), ('t1 & u2'), ('t1 | u2'), ('!t1'), ('t1 & !u2'), ('!t1 & !u2'), ('!(t1 & u2)'), ('(t1 | t2) & !(u3 | !even0)'), ('t*'), ('!t*'),
    ('lifecycle:*'), ('*'), ('!*'), ('nothing'), ('!nothing'), ('nothing | t1'), ('nothing & t1'), ('"a b" | !t*');
SELECT q, compare(q) FROM queries;
SELECT count(*) > 0 FROM tag_audience_change;
CALL fold_tag_audience();
SELECT count(*) FROM tag_audience_change;
SELECT count(*), sum(cardinality(members)) FROM tag_audience WHERE tag = 't1';
UPDATE customer SET tags = tags - 't1' + 't2' WHERE customer_id % 4000 = 0;
DELETE FROM customer WHERE customer_id = 3000000;
SELECT q, compare(q) FROM queries;
SELECT * FROM check_tag_audience();
SELECT cardinality(tag_members('T2')), cardinality(all_customers()), cardinality(tag_members('none'));
-- A rollback takes all with it, a savepoint its part.
BEGIN;
UPDATE customer SET tags = tags + 'gone';
SAVEPOINT s;
DELETE FROM customer WHERE customer_id > 5000;
SELECT compare('gone'), compare('!t1');
ROLLBACK TO s;
SELECT compare('gone'), compare('!t1');
ROLLBACK;
SELECT compare('gone'), compare('!t1');
-- Damage is found and repaired.
ALTER TABLE customer DISABLE TRIGGER tags_updated;
UPDATE customer SET tags = tags + 'secret' - 'b' WHERE customer_id = 3;
ALTER TABLE customer ENABLE TRIGGER tags_updated;
SELECT * FROM check_tag_audience();
SELECT recount_tag_audience();
SELECT * FROM check_tag_audience();

-- Renaming and merging.
CALL rename_tag('t3', 't4');
CALL rename_tag('Group:Regulars', 'group:friends', 2);
SELECT tag_customers('{1,2}', 'group:friends'), tag_customers('{2,3}', 'group:fans', NULL, now() + '5 days');
INSERT INTO tag (tag, name_en) VALUES ('group:fans', 'fans'), ('group:empty', 'empty');
CALL rename_tag('group:friends', 'group:fans');
CALL merge_tags('{group:friends,group:fans}', 'group:club', 1);
SELECT tag, name_en FROM tag WHERE namespace = 'group' ORDER BY 1;
SELECT customer_id, tags FROM customer WHERE tags ? 'group:club' ORDER BY 1;
SELECT customer_id, tag, expires_at > now() + '4 days' FROM tag_expiry WHERE tag ^@ 'group:' ORDER BY 1;
SELECT * FROM customer_group ORDER BY 1;
SELECT count(*) FROM check_tag_audience();

-- About how many, without reading a table.
ANALYZE customer;
SELECT crm.estimate('t_tags', 't1') BETWEEN count_tags('t1') / 2 AND count_tags('t1') * 2 AS near FROM (SELECT) s;
SELECT crm.estimate('t_none', 't1');

-- Official tags are out of reach of agents, and in reach of the app.
CREATE ROLE crm_t_tags_agent;
CREATE ROLE crm_t_tags_app;
CREATE ROLE crm_t_tags_analyst;
SELECT crm.grant_access('t_tags', 'crm_t_tags_agent', 'agent'), crm.grant_access('t_tags', 'crm_t_tags_app', 'app'), crm.grant_access('t_tags', 'crm_t_tags_analyst', 'analyst');
SELECT tag_customer(4, '88VIP');
SET ROLE crm_t_tags_agent;
SET search_path = t_tags, crm, public;
SELECT tag_customer(4, 'mine', 'agent''s'), tag_customer(5, 'vip2');
SELECT untag_customer(4, '88vip');
SELECT tag_customer(5, '88vip');
UPDATE customer SET tags = '{}' WHERE customer_id = 4;
INSERT INTO customer (tags) VALUES ('{credit:crown}');
UPDATE customer SET tags = tags - 'mine' WHERE customer_id = 4;
SELECT tag, added, who, why FROM tag_event WHERE customer_id = 4 ORDER BY event_id DESC LIMIT 2;
INSERT INTO tag_event (customer_id, tag, added, at, who) VALUES (4, 'forged', true, now(), 'x');
DELETE FROM tag_audience_change;
SELECT count_tags('vip');
RESET ROLE;
SET ROLE crm_t_tags_app;
SET search_path = t_tags, crm, public;
SELECT untag_customer(4, '88vip');
RESET ROLE;
SET ROLE crm_t_tags_analyst;
SET search_path = t_tags, crm, public;
SELECT count_tags('vip'), cardinality(audience_of('vip'));
SELECT tag_customer(4, 'x');
RESET ROLE;
SET search_path = t_tags, crm, public;

-- A store renamed, and used from outside.
SELECT crm.rename_store('t_tags', 't_tags2');
SET search_path = public;
INSERT INTO t_tags2.customer (tags) SELECT '{one,two}'::crm.tagset FROM generate_series(1, 10);
SELECT t_tags2.tag_customers('{1-100000}', 'three'), t_tags2.count_tags('three & one');
CALL t_tags2.fold_tag_audience();
CALL t_tags2.expire_tags();
CALL t_tags2.rename_tag('one', 'uno');
SELECT * FROM t_tags2.tag_count ORDER BY 1;
DROP OWNED BY crm_t_tags_agent, crm_t_tags_app, crm_t_tags_analyst;
DROP ROLE crm_t_tags_agent, crm_t_tags_app, crm_t_tags_analyst;
SELECT crm.drop_store('t_tags2', 't_tags2');
