-- crm.audience: sets of customer ids.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET search_path = public, crm;

-- Text form: any order and repeats in, order and ranges out.
SELECT a::audience FROM (VALUES ('{}'), (' { 3 , 1,2 ,2} '), ('{1,2}'), ('{5-9,1,2,3}'), ('{-3--1,-9,0}'), ('{65534-65537}'),
    ('{4294967295,4294967296}'), ('{-9223372036854775808,9223372036854775807}'), ('{1-4294967295}'), ('{7-7}'),
    ('{-5-5}'), ('{0-100000,100002-200000}')) v(a);
SELECT pg_column_size('{1-4294967295}'::audience) < 1000000 AS compact, cardinality('{1-4294967295}'::audience);
\set VERBOSITY sqlstate
SELECT 'x'::audience;
\set VERBOSITY default
SELECT ''::audience;
SELECT '{1'::audience;
SELECT '{1 2}'::audience;
SELECT '{1,}'::audience;
SELECT '{,1}'::audience;
SELECT '{1} x'::audience;
SELECT '{9223372036854775808}'::audience;
SELECT '{-9223372036854775809}'::audience;
SELECT '{3-}'::audience;
SELECT '{3-2}'::audience;
SELECT '{- 3}'::audience;
SELECT '{1-4294967296}'::audience;
SELECT '{-9223372036854775808-9223372036854775807}'::audience;
SELECT '{1-3000000000,1-3000000000}'::audience;
SELECT '{0-4294967294}'::audience | '{-1,-2}'::audience;

-- Arrays.
SELECT audience(ARRAY[5, 3, 3, -1, 8589934592]), audience('{}'::bigint[]), audience('{{1,2},{3,4}}'::bigint[]);
SELECT audience(ARRAY[1, NULL]);
SELECT '{5,1,2-4}'::audience::bigint[], '{}'::audience::bigint[], ARRAY[2, 1]::bigint[]::audience;
SELECT '{1-200000000}'::audience::bigint[];

-- Algebra.
SELECT a | b AS "or", a & b AS "and", a - b AS minus, a # b AS "xor", a @> b AS has, a <@ b AS "within", a && b AS overlaps, a = b AS same
FROM (VALUES ('{1-5}'::audience, '{4-8}'::audience), ('{1-5}', '{2,3}'), ('{}', '{}'), ('{1}', '{}'), ('{1-100000}', '{50000-150000}'),
    ('{1,70000,8589934593}', '{70000,8589934592}'), ('{-1}', '{1}')) v(a, b);
SELECT '{1,5}'::audience @> 5 AS yes, '{1,5}'::audience @> 4 AS no, 5 <@ '{1-9}'::audience AS yes, '{1-9}'::audience @> '{2}' AS yes,
       '{-4294967296}'::audience @> -4294967296 AS yes, '{}'::audience @> 0 AS no;
SELECT and_cardinality(a, b), or_cardinality(a, b), minus_cardinality(a, b), audience_jaccard(a, b)
FROM (VALUES ('{1-5}'::audience, '{4-8}'::audience), ('{}', '{}')) v(a, b);

-- Lists that share much, of many lengths: ids are taken eight at a time.
SELECT count(*) AS wrong FROM generate_series(1, 40, 2) n, generate_series(1, 40, 3) m, generate_series(1, 3) span,
    LATERAL (SELECT ARRAY(SELECT i::bigint FROM generate_series(1, 60 * span) i WHERE hashint8(i * 1000 + n) % 60 * span < n) a,
        ARRAY(SELECT i::bigint FROM generate_series(1, 60 * span) i WHERE hashint8(i * 7000 + m + span) % 60 * span < m) b) s
WHERE (audience(a) | audience(b))::bigint[] IS DISTINCT FROM ARRAY(SELECT unnest(a) UNION SELECT unnest(b) ORDER BY 1)
   OR (audience(a) - audience(b))::bigint[] IS DISTINCT FROM ARRAY(SELECT unnest(a) EXCEPT SELECT unnest(b) ORDER BY 1)
   OR (audience(a) & audience(b))::bigint[] IS DISTINCT FROM ARRAY(SELECT unnest(a) INTERSECT SELECT unnest(b) ORDER BY 1)
   OR and_cardinality(audience(a), audience(b)) <> (SELECT count(*) FROM unnest(a) x WHERE x = ANY (b));

-- Order and classes. Equal sets are equal however they came about.
SELECT a FROM (VALUES ('{2}'::audience), ('{1,3}'), ('{}'), ('{1}'), ('{1,2}'), ('{-1}'), ('{1-100000}'), ('{1-99999}'), ('{1,2,4294967296}')) v(a) ORDER BY a;
SELECT count(*), min(a::text) FROM (VALUES ('{1-10000}'::audience), ('{1-9999}'::audience | '{10000}'),
    ('{1-10000,20000}'::audience - '{20000}')) v(a) GROUP BY a;
SELECT count(DISTINCT a), count(DISTINCT audience_hash(a)), count(DISTINCT audience_hash_extended(a, 7)) FROM
    (SELECT CASE WHEN r THEN '{1-5000}'::audience ELSE (SELECT audience_or_agg(audience(ARRAY[i])) FROM generate_series(1, 5000) i) END
     FROM (VALUES (true), (false)) v(r)) s(a);
SET enable_hashjoin = off;
SELECT count(*) FROM (VALUES ('{1}'::audience), ('{2}')) a(x) JOIN (VALUES ('{2}'::audience), ('{3}')) b(x) USING (x);
RESET enable_hashjoin;
CREATE TEMP TABLE frozen (id int PRIMARY KEY, a audience UNIQUE);
INSERT INTO frozen VALUES (1, '{1-3}'), (2, '{1-4}');
INSERT INTO frozen VALUES (3, '{1,2,3}');
SELECT attstorage FROM pg_attribute WHERE attrelid = 'frozen'::regclass AND attname = 'a';

-- One audience.
SELECT cardinality(a), is_empty(a), crm.min(a), crm.max(a), rank(a, 5), crm.select(a, 1), crm.select(a, 4), crm.select(a, 0), crm.select(a, 99)
FROM (VALUES ('{-7,3,5,8,100000}'::audience), ('{}'), ('{1-100000}'), ('{1-10,5000000000-5000000009}')) v(a);
SELECT members('{3,1,65535-65537,-1,8589934592}'::audience);
SELECT count(*), sum(m), min(m), max(m) FROM members('{1-100000,200000-200010}'::audience) m;
SELECT members('{1-10000000}'::audience) LIMIT 2;
SELECT count(*) FROM members('{}'::audience);

-- Samples and splits.
SELECT cardinality(sample(a, 100, 1)), sample(a, 100, 1) = sample(a, 100, 1), sample(a, 100, 1) = sample(a, 100, 2), sample(a, 100, 1) <@ a,
       sample(a, 10, 1) <@ sample(a, 11, 1) AS nested, sample(a, 1000000, 1) = a AS whole, is_empty(sample(a, 0, 1)) FROM (SELECT '{1-100000}'::audience) s(a);
SELECT sample('{1-20}', 3, 42), split('{1-20}', 0.3, 42);
SELECT sample('{1}', -1);
SELECT cardinality(split(a, 0.1, 1)) BETWEEN 9500 AND 10500 AS about, split(a, 0.1, 1) <@ split(a, 0.2, 1) AS nested,
       split(a, 0.1, 1) & b = split(b, 0.1, 1) AS stable, split(a, 0) = '{}' AS none, split(a, 1) = a AS whole,
       cardinality(split(a, 0.5, 1) & split(a, 0.5, 2)) BETWEEN 24000 AND 26000 AS independent
FROM (SELECT '{1-100000}'::audience, '{1-500,70000}'::audience) s(a, b);
SELECT count(*) FROM generate_series(1, 1000) i WHERE in_split(i, 0.3, 9) <> (split('{1-1000}', 0.3, 9) @> i);
SELECT split('{1}', 1.1);
SELECT split('{1}', 'NaN');
SELECT in_split(1, -0.1);

-- Aggregates.
SELECT audience_agg(i) FROM generate_series(1, 5) i;
SELECT audience_agg(i), audience_or_agg(NULL), audience_and_agg('{}'), audience_xor_agg(NULL) FROM (VALUES (NULL::bigint)) v(i);
SELECT audience_or_agg(a), audience_and_agg(a), audience_xor_agg(a) FROM (VALUES ('{1-5}'::audience), ('{4-8}'), (NULL), ('{4,9,4294967300}')) v(a);
SELECT i, audience_agg(i) OVER (ORDER BY i ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM generate_series(1, 4) i;
SELECT audience_agg(i) FILTER (WHERE i % 2 = 0), audience_agg(i * 4294967296) FROM generate_series(1, 3) i;
-- Many parts: ids of a snowflake kind.
SELECT cardinality(a), a = audience(ARRAY(SELECT (i * 7919 % 5000) * 4294967296 + i % 3 FROM generate_series(1, 5000) i)) AS same
FROM (SELECT audience_agg((i * 7919 % 5000) * 4294967296 + i % 3) FROM generate_series(1, 5000) i) s(a);
-- Parallel plans give the same.
CREATE TABLE audience_t (id bigint, a audience);
INSERT INTO audience_t SELECT i * 3, audience(ARRAY[i, i + 1, 7]) FROM generate_series(1, 20000) i;
ANALYZE audience_t;
SELECT audience_agg(id) AS ag, audience_or_agg(a) AS o, audience_and_agg(a) AS an, audience_xor_agg(a) AS x INTO TEMP one FROM audience_t;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT audience_agg(id), audience_or_agg(a), audience_and_agg(a), audience_xor_agg(a) FROM audience_t;
SELECT audience_agg(id) = ag, audience_or_agg(a) = o, audience_and_agg(a) = an, audience_xor_agg(a) = x, cardinality(ag), an
FROM audience_t, one GROUP BY ag, o, an, x;
SELECT audience_agg(id) FROM audience_t WHERE id < 0;
DROP TABLE audience_t;
RESET ALL;
SET search_path = public, crm;

-- Every function of the type has a comment.
SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
WHERE nspname = 'crm' AND proname ~ 'audience|split|match' AND obj_description(p.oid, 'pg_proc') IS NULL ORDER BY 1;
SELECT amname, amvalidate(c.oid) FROM pg_opclass c JOIN pg_am m ON m.oid = opcmethod WHERE opcintype = 'audience'::regtype ORDER BY 1;
