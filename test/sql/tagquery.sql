-- The type tagquery: what it reads, how it writes it, what matches.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET search_path = public, crm;

-- Canonical form, which reads back as the same
CREATE TABLE t_tagquery (id serial, q text);
INSERT INTO t_tagquery (q) VALUES
    ('vip'), (' ＶＩＰ '), ('a&b'), ('a & b | c'), ('a & (b | c)'), ('(a & b) & (c & (d))'), ('a | (b | c) | d & e'), ('!a'), ('!!a'), ('!!!(a)'),
    ('!(a & b)'), ('!(a | !b)'), ('!(!(a | b))'), ('品类:*'), ('channel:* & !Channel:Tmall'), ('*'), ('!*'), ('"a b" & "q\"u\\o"'), ('"a b"*'),
    ('a\&b'), ('"&|!()*"'), ('o''neil'), ('（vip｜高频）＆！流失'), ('vip　&　会员＊'), ('a\ b'), ('"ＶＩＰ"*'), ('a:b:c'), ('{a}'), ('a,b'), ('"""'), ('"\""');
DELETE FROM t_tagquery WHERE q = '"""';
SELECT id, q, q::tagquery AS canonical, q::tagquery::text::tagquery = q::tagquery AS same FROM t_tagquery ORDER BY id;

-- What it refuses
SELECT ''::tagquery;
SELECT '   '::tagquery;
SELECT 'a b'::tagquery;
SELECT 'a &'::tagquery;
SELECT '& a'::tagquery;
SELECT 'a && b'::tagquery;
SELECT 'a | | b'::tagquery;
SELECT '!'::tagquery;
SELECT '()'::tagquery;
SELECT '(a'::tagquery;
SELECT 'a)'::tagquery;
SELECT '(a b)'::tagquery;
SELECT 'a*b'::tagquery;
SELECT 'a**'::tagquery;
SELECT 'a*"b"'::tagquery;
SELECT '"a'::tagquery;
SELECT '"a\'::tagquery;
SELECT '""'::tagquery;
SELECT '""*'::tagquery;
SELECT E'a & \u200B'::tagquery;
SELECT E'a & "b\x01"'::tagquery;
SELECT ('a & ' || repeat('b', 256))::tagquery;
SELECT (repeat('(', 501) || 'a' || repeat(')', 501))::tagquery;
SELECT (repeat('(', 500) || 'a' || repeat(')', 500))::tagquery;
SELECT ('a' || repeat(' & a', 10000))::tagquery;
SELECT length(('a' || repeat(' & a', 9999))::tagquery::text), (repeat('!', 100001) || 'a')::tagquery;
\set VERBOSITY sqlstate
SELECT 'a b'::tagquery;
SELECT E'\u200B'::tagquery;
SELECT repeat('b', 256)::tagquery;
SELECT ('a' || repeat(' & a', 10000))::tagquery;
\set VERBOSITY default

-- Deep queries that alternate
SELECT length(q::text), '{a}' @@ q FROM (SELECT (repeat('(a & !(b | ', 249) || 'a' || repeat('))', 249))::tagquery AS q) s;

-- What matches
SELECT q, t, t::tagset @@ q::tagquery AS matches, q::tagquery @@ t::tagset AS matched
FROM (VALUES ('vip', '{vip,x}'), ('vip', '{vi,vip2}'), ('a & b', '{a,b}'), ('a & b', '{a}'), ('a | b', '{b}'), ('a | b', '{c}'),
             ('a & !b', '{a}'), ('a & !b', '{a,b}'), ('!a', '{}'), ('*', '{}'), ('*', '{a}'), ('!*', '{}'), ('channel:*', '{channel:jd}'),
             ('channel:*', '{chan,channel}'), ('channel:*', '{channel:}'), ('vi*', '{vip}'), ('vip*', '{vi,vjp}'),
             ('a & (b | c) & !(d & e)', '{a,c,d}'), ('a & (b | c) & !(d & e)', '{a,c,d,e}'), ('a & b | c', '{c}')) v (q, t);
-- A set that is not walked but searched
SELECT tags @@ 't1' AS one, tags @@ 't100' AS last, tags @@ 't101' AS none, tags @@ 't10*' AS prefix, tags @@ 'u*' AS behind, tags @@ '!s & t5*' AS both, tags @@ '*' AS any
FROM (SELECT tagset(array_agg('t' || i)) AS tags FROM generate_series(1, 100) i) s;
SELECT '{a}'::tagset @@ NULL::tagquery;

-- Binary form, order and hash
SELECT tagquery_send('vip & 品类:*');
SELECT q::tagquery, count(*) FROM (VALUES ('a & b'), ('A&B'), ('b & a'), ('(a) & (b)')) v (q) GROUP BY 1 ORDER BY 1;
SELECT count(DISTINCT q::tagquery) FROM t_tagquery;
SET enable_hashagg = off;
SELECT count(*) FROM (SELECT q::tagquery FROM t_tagquery GROUP BY 1) s;
SELECT count(*) FROM t_tagquery a JOIN t_tagquery b ON a.q::tagquery = b.q::tagquery WHERE a.q::tagquery >= 'a' AND a.q::tagquery <> 'a';
DROP TABLE t_tagquery;
SELECT p.oid::regprocedure FROM pg_proc p
WHERE p.pronamespace = 'crm'::regnamespace AND ('tagquery'::regtype = ANY (p.proargtypes) OR p.prorettype = 'tagquery'::regtype)
  AND obj_description(p.oid, 'pg_proc') IS NULL;
