-- The type tagset: canonical form, text, binary and array forms, operators, order.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET search_path = public, crm;

-- One tag, however it is typed
SELECT '{ＶＩＰ,VIP, vip ,"  Vip"}'::tagset;
SELECT tagset(ARRAY['ＶＩＰ', ' vip ', 'Straße', '①②', 'ｶﾞ', E'a\u3000 \t b', '½']);
SELECT '{}'::tagset, '  {  }  '::tagset, '{b,a,"a, b","q\"u\\o{te}",c d}'::tagset;
SELECT '{"null",NuLl\l,"a b"}'::tagset;
SELECT '{"null"}'::tagset::text[] = ARRAY['null'];

-- What is no tag
SELECT E'{a,\u200B}'::tagset;
SELECT '{a,""}'::tagset;
SELECT '{a,"   "}'::tagset;
SELECT tagset(ARRAY[E'a\x01b']);
SELECT tagset(ARRAY[E'\u0378']);
SELECT tagset(ARRAY[E'a\U000E0FFF']);
SELECT tagset(ARRAY[repeat('a', 256)]);
SELECT cardinality(tagset(ARRAY[repeat('a', 255), repeat(' ', 1000) || 'b']));
SELECT tagset(ARRAY[repeat('会', 86)]);
SELECT tagset(ARRAY[repeat(' ', 70000) || 'b']);
SELECT tagset(ARRAY['a', NULL]);
SELECT '{a,null}'::tagset;
SELECT 'vip'::tagset;
SELECT ''::tagset;
SELECT '{a,,b}'::tagset;
SELECT '{a,}'::tagset;
SELECT '{a'::tagset;
SELECT '{"a'::tagset;
SELECT '{a"b}'::tagset;
SELECT '{a{b}'::tagset;
SELECT '{a} b'::tagset;
SELECT '{a\'::tagset;
\set VERBOSITY sqlstate
SELECT E'{\u200B}'::tagset;
SELECT tagset(ARRAY[repeat('a', 256)]);
SELECT 'vip'::tagset;
SELECT tag_put('{}', 'vip');
\set VERBOSITY default

-- Array form: any shape in, sorted out
SELECT tagset(ARRAY[['b', 'a'], ['B', 'c']]), tagset('{}'::text[]);
SELECT tag_array('{b,a}'), '{b,a}'::tagset::text[];
SELECT * FROM tags('{b,a,会员,"a, b"}');
SELECT count(*) FROM tags('{}');
SELECT cardinality('{}'::tagset), cardinality('{a,A,b}'::tagset);

-- Membership
SELECT a, b, a::tagset @> b::tagset AS contains, a::tagset <@ b::tagset AS contained, a::tagset && b::tagset AS overlaps
FROM (VALUES ('{}', '{}'), ('{a}', '{}'), ('{}', '{a}'), ('{a,b,c}', '{a,c}'), ('{a,b,c}', '{a,d}'), ('{a,b}', '{c,d}'),
             ('{a,b}', '{a,b}'), ('{a,ab}', '{ab}'), ('{ab}', '{a}'), ('{b,c,d}', '{a}')) v (a, b);
SELECT '{vip,b}'::tagset ? ' ＶＩＰ', '{vip,b}'::tagset ? 'vi', '{vip}'::tagset ? '', '{vip}'::tagset ? E'\u200B',
       '{vip}'::tagset ? repeat('a', 300), '{vip}'::tagset ? NULL;
SELECT '{vip,b}'::tagset ?| ARRAY['x', 'VIP'], '{vip,b}'::tagset ?| ARRAY['x', NULL, ''], '{vip,b}'::tagset ?| '{}';
SELECT '{vip,b}'::tagset ?& ARRAY['B', 'VIP', NULL, 'b'], '{vip,b}'::tagset ?& ARRAY['x', 'vip'], '{vip,b}'::tagset ?& ARRAY['vip', ''],
       '{vip,b}'::tagset ?& '{}';
SELECT has_tag('{vip}', 'VIP'), has_tag(tags => '{vip}', tag => 'x');

-- Algebra
SELECT '{a,b}'::tagset | '{c,B}', '{a,b}'::tagset & '{c,B}', '{a,b}'::tagset + ' Aa', '{a,b}'::tagset + 'a', '{}'::tagset + 'x';
SELECT '{a,b,c}'::tagset - 'B', '{a,b,c}'::tagset - ARRAY['a', 'C', NULL, ''], '{a,b,c}'::tagset - '', '{a}'::tagset - 'a';
SELECT '{a}'::tagset + '';
SELECT '{a}'::tagset + repeat('a', 256);
SELECT '{a}'::tagset - '{a}'::tagset;
SELECT jaccard('{a,b,c}', '{b,c,d}'), jaccard('{}', '{}'), jaccard('{a}', '{}');

-- Namespaces
SELECT tag_put('{vip,lifecycle:new,lifecycle:old}', 'Lifecycle:ACTIVE'), tag_put('{}', 'a:b'), tag_put('{a:b,ab:c}', 'a:c');
SELECT tag_put('{}', 'vip');
SELECT tag_put('{}', ':vip');
SELECT tag_put('{}', 'vip:');
SELECT tag_put('{}', '');
SELECT tag_value('{channel:tmall,channel:jd,vip}', 'Channel'), tag_value('{a:b}', 'vip'), tag_value('{a:b}', ''), tag_value('{a:b:c}', 'a'),
       tag_value('{a:b:c}', 'a:b'), tag_value('{a:}', 'a');

-- Order and hash
CREATE TABLE t_tagset (id int, tags tagset);
INSERT INTO t_tagset VALUES (1, '{b}'), (2, '{a,b}'), (3, '{}'), (4, '{a}'), (5, '{B}'), (6, NULL), (7, '{a,c}'), (8, '{ab}');
SELECT tags, array_agg(id ORDER BY id) FROM t_tagset GROUP BY tags ORDER BY tags;
SELECT count(DISTINCT tags) FROM t_tagset;
SELECT min(id) FROM t_tagset WHERE tags = '{ B }' AND tags >= '{a}' AND tags > '{a}' AND tags <= '{b}' AND tags <> '{a}' AND NOT tags < '{a}';
SET enable_mergejoin = off; SET enable_nestloop = off;
SELECT count(*) FROM t_tagset a JOIN t_tagset b USING (tags);
RESET enable_mergejoin; SET enable_hashjoin = off;
SELECT count(*) FROM t_tagset a JOIN t_tagset b USING (tags);
RESET enable_nestloop; RESET enable_hashjoin;
CREATE UNIQUE INDEX ON t_tagset (tags) WHERE id < 5 OR id = 9;
INSERT INTO t_tagset VALUES (9, '{B, a}');
CREATE TABLE t_tagset_part (tags tagset) PARTITION BY HASH (tags);
CREATE TABLE t_tagset_part_0 PARTITION OF t_tagset_part FOR VALUES WITH (MODULUS 1, REMAINDER 0);
INSERT INTO t_tagset_part SELECT tags FROM t_tagset WHERE tags IS NOT NULL;
SELECT count(*) FROM t_tagset_part;

-- Large sets, compressed and out of line
INSERT INTO t_tagset SELECT 100, tagset(array_agg('tag ' || i)) FROM generate_series(1, 20000) i;
SELECT cardinality(tags), tags ? 'tag 19999', tags ? 'tag 20001', tags @> '{tag 7,tag 1234}', cardinality(tags - 'TAG 5'), cardinality(tags | '{x}'),
       (SELECT count(*) FROM tags(t.tags)) FROM t_tagset t WHERE id = 100;

-- Binary and text round trips
SELECT tagset_send('{vip,会员}');
SELECT count(*) FROM t_tagset WHERE tags::text::tagset IS DISTINCT FROM tags OR tags::text[]::tagset IS DISTINCT FROM tags;
DROP TABLE t_tagset, t_tagset_part;

-- Operators that answer with a boolean are LEAKPROOF, and every function of the type has a comment
SELECT p.oid::regprocedure FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode
WHERE o.oprleft = 'tagset'::regtype AND o.oprresult = 'boolean'::regtype AND NOT p.proleakproof;
SELECT p.oid::regprocedure FROM pg_proc p
WHERE p.pronamespace = 'crm'::regnamespace AND ('tagset'::regtype = ANY (p.proargtypes) OR p.prorettype = 'tagset'::regtype)
  AND obj_description(p.oid, 'pg_proc') IS NULL;
