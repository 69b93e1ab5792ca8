-- Statistics of tag sets and the estimates made from them. The table is smaller than the sample, so counts are exact.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET search_path = public, crm;
SET max_parallel_workers_per_gather = 0;

CREATE TABLE t_stat (id int, tags tagset);
-- Forty tags by power law, a channel for 80 %, one of 5,000 rare tags for each, a tenth NULL, some empty
INSERT INTO t_stat
SELECT i, CASE WHEN i % 10 = 9 THEN NULL WHEN i % 50 = 8 THEN '{}' ELSE
    tagset(ARRAY(SELECT t FROM (SELECT 'tag:' || lpad(j::text, 3, '0') AS t FROM generate_series(1, 40) j
                                WHERE (hashint8(i * 1000 + j) & 1048575) < 800000 / j
                                UNION ALL SELECT 'channel:' || CASE WHEN i % 4 < 2 THEN 'tmall' WHEN i % 4 = 2 THEN 'jd' ELSE 'wechat' END WHERE i % 5 < 4
                                UNION ALL SELECT 'sku:' || (hashint8(i) & 1048575) % 5000) s)) END
FROM generate_series(1, 20000) i;
CREATE TABLE t_query (id int, query tagquery, part tagset, tag text, any_of text[]);
INSERT INTO t_query SELECT i, format('tag:%s & !channel:jd', lpad((i % 20 + 1)::text, 3, '0'))::tagquery, tagset(ARRAY['tag:' || lpad((i % 10 + 1)::text, 3, '0')]),
    'TAG:' || lpad((i % 30 + 1)::text, 3, '0'), ARRAY['tag:020', 'tag:' || lpad((i % 30 + 1)::text, 3, '0')]
FROM generate_series(1, 100) i;

CREATE FUNCTION t_estimate(condition text, source text DEFAULT 't_stat') RETURNS TABLE (ok boolean, estimated bigint, actual bigint) LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE format('EXPLAIN (FORMAT JSON) SELECT FROM %s WHERE %s', source, condition) INTO plan;
    estimated := (plan #>> '{0,Plan,Plan Rows}')::numeric;
    EXECUTE format('SELECT count(*) FROM %s WHERE %s', source, condition) INTO actual;
    ok := estimated <= actual * 2 + 20 AND actual <= estimated * 2 + 20;
    RETURN NEXT;
END
$$;

-- Without statistics the estimates are guesses, but nothing breaks
SELECT condition, estimated FROM unnest(ARRAY['tags @> ''{tag:001}''', 'tags @@ ''channel:* & !x''', 'tags <@ ''{tag:001}''', 'tags ? ''a''']) condition, t_estimate(condition);

ANALYZE t_stat;
ANALYZE t_query;
SELECT most_common_elems::text::tagset ? 'tag:001' AS has_001, cardinality(most_common_elems::text::text[]) > 40 AS has_all,
       elem_count_histogram[1] AS least, array_length(elem_count_histogram, 1) AS bounds
FROM pg_stats WHERE tablename = 't_stat' AND attname = 'tags';
SELECT k, count(*) FROM pg_statistic, unnest(ARRAY[stakind1, stakind2, stakind3, stakind4, stakind5]) k
WHERE starelid = 't_stat'::regclass AND staattnum = 2 GROUP BY 1 ORDER BY 1;

CREATE TABLE t_condition (id serial, condition text);
INSERT INTO t_condition (condition) VALUES
    ('tags @> ''{tag:001}'''), ('tags @> ''{tag:001,tag:002}'''), ('tags @> ''{tag:030}'''), ('tags @> ''{}'''), ('tags @> ''{tag:001,none}'''),
    ('''{tag:003}'' <@ tags'), ('tags && ''{tag:010,tag:020,channel:jd}'''), ('tags && ''{}'''), ('tags && ''{none}'''),
    ('tags <@ ''{}'''), ('tags <@ ''{tag:001}'''), ('tags = ''{}'''),
    ('tags ? ''TAG:005'''), ('tags ? ''none'''), ('tags ? '''''), ('has_tag(tags, ''tag:005'')'),
    ('tags ?| ''{tag:005,tag:006}'''), ('tags ?& ''{tag:005,tag:006,NULL}'''), ('tags ?& ''{tag:005,""}'''),
    ('tags @@ ''tag:001 & !tag:002'''), ('tags @@ ''!tag:001'''), ('tags @@ ''!channel:tmall'''), ('tags @@ ''channel:*'''), ('tags @@ ''!channel:*'''),
    ('tags @@ ''channel:tmall | channel:jd | channel:wechat'''), ('tags @@ ''!(channel:tmall | channel:jd)'''), ('tags @@ ''channel:* & !channel:tmall'''),
    ('tags @@ ''channel:t*'''), ('tags @@ ''chan*'''), ('tags @@ ''tag:00*'''), ('tags @@ ''tag:02*'''), ('tags @@ ''tag:03*'''), ('tags @@ ''sku:*'''), ('tags @@ ''sku:12*'''),
    ('tags @@ ''sku:123*'''), ('tags @@ ''sku:4999'''), ('tags @@ ''*'''), ('tags @@ ''!*'''), ('tags @@ ''none* | tag:009'''),
    ('tags @@ ''(tag:003 | tag:003) & !(tag:002 | tag:002) & !(tag:002 | tag:002)'''), ('tags @@ ''(tag:001 | tag:002) & (channel:jd | tag:010) & !tag:003''') ;
SELECT condition, ok, CASE WHEN NOT ok THEN estimated END AS estimated, CASE WHEN NOT ok THEN actual END AS actual FROM t_condition, t_estimate(condition) ORDER BY id;

-- Joins
SELECT condition, ok, CASE WHEN NOT ok THEN estimated END AS estimated, CASE WHEN NOT ok THEN actual END AS actual
FROM unnest(ARRAY['tags @@ query', 'query @@ tags', 'tags @> part', 'part <@ tags', 'tags && part', 'tags ? tag', 'has_tag(tags, tag)', 'tags ?| any_of', 'tags ?& any_of'])
     WITH ORDINALITY u (condition, n), t_estimate(condition, 't_stat, t_query') ORDER BY n;

-- A value to be given later
PREPARE later (text) AS SELECT FROM t_stat WHERE tags ? $1;
SET plan_cache_mode = force_generic_plan;
CREATE FUNCTION t_rows(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
    RETURN (plan #>> '{0,Plan,Plan Rows}')::numeric BETWEEN 1 AND 1000;
END
$$;
SELECT t_rows('EXECUTE later (''tag:001'')');

-- An operator of others that names these estimators, for types they do not know, gets guesses and no crash
CREATE SCHEMA t_other;
CREATE FUNCTION t_other.odd(text[], bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE FUNCTION t_other.odd(tagset, bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE FUNCTION t_other.odd(bigint, tagset) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR t_other.@@ (LEFTARG = text[], RIGHTARG = bigint, FUNCTION = t_other.odd, RESTRICT = tagset_matches_sel, JOIN = tagset_matches_joinsel);
CREATE OPERATOR t_other.@@ (LEFTARG = tagset, RIGHTARG = bigint, FUNCTION = t_other.odd, RESTRICT = tagset_matches_sel, JOIN = tagset_matches_joinsel);
CREATE OPERATOR t_other.@> (LEFTARG = tagset, RIGHTARG = bigint, FUNCTION = t_other.odd, RESTRICT = tagset_contains_sel, JOIN = tagset_contains_joinsel);
CREATE OPERATOR t_other.? (LEFTARG = bigint, RIGHTARG = tagset, FUNCTION = t_other.odd, RESTRICT = tagset_has_tag_sel, JOIN = tagset_has_tag_joinsel);
CREATE OPERATOR t_other.?& (LEFTARG = tagset, RIGHTARG = bigint, FUNCTION = t_other.odd, RESTRICT = tagset_has_all_sel, JOIN = tagset_has_all_joinsel);
CREATE TABLE t_other.t AS SELECT ARRAY['a', 'b' || i % 3] AS a, i::bigint AS n FROM generate_series(1, 100) i;
ANALYZE t_other.t;
SELECT count(*) FROM t_other.t WHERE a OPERATOR(t_other.@@) 5;
SELECT count(*) FROM t_stat WHERE tags OPERATOR(t_other.@@) 5::bigint AND tags OPERATOR(t_other.@>) 5::bigint AND tags OPERATOR(t_other.?&) 7::bigint AND 5::bigint OPERATOR(t_other.?) tags;
SELECT count(*) > 0 FROM t_stat, t_other.t WHERE tags OPERATOR(t_other.@@) n AND tags OPERATOR(t_other.@>) n AND n OPERATOR(t_other.?) tags AND id < 10;
SET client_min_messages = warning;
DROP SCHEMA t_other CASCADE;
RESET client_min_messages;

-- A domain has the same statistics; a column of NULL alone has none
CREATE DOMAIN t_domain AS tagset;
CREATE TABLE t_domain_table AS SELECT tags::t_domain AS tags FROM t_stat;
CREATE TABLE t_null (tags tagset);
INSERT INTO t_null SELECT NULL FROM generate_series(1, 10);
ANALYZE t_domain_table;
ANALYZE t_null;
SELECT ok FROM t_estimate('tags @@ ''tag:001 & channel:jd''', 't_domain_table');
SELECT estimated FROM t_estimate('tags @@ ''tag:001 & channel:jd''', 't_null');

-- has_tag is the operator to the planner, index and all
CREATE INDEX t_stat_tags ON t_stat USING gin (tags);
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM t_stat WHERE has_tag(tags, 'VIP');
EXPLAIN (COSTS OFF) SELECT count(*) FROM t_stat WHERE has_tag(tag => 'VIP', tags => tags) AND NOT has_tag(tags, 'tag:001');
-- Through a security barrier and row-level security too, since the operators are LEAKPROOF
CREATE VIEW t_barrier WITH (security_barrier) AS SELECT * FROM t_stat WHERE id % 2 = 0;
EXPLAIN (COSTS OFF) SELECT count(*) FROM t_barrier WHERE tags @@ 'vip & !jd' AND has_tag(tags, 'x');
DROP VIEW t_barrier;
RESET enable_seqscan;

-- About how many customers of a store match
SELECT create_store('t_tag_stats');
INSERT INTO t_tag_stats.customer (tags) SELECT tagset(ARRAY['all', CASE WHEN i % 4 = 0 THEN 'channel:jd' ELSE 'channel:tmall' END]) FROM generate_series(1, 1000) i;
ANALYZE t_tag_stats.customer;
SELECT estimate('t_tag_stats', 'all'), estimate('t_tag_stats', 'channel:jd & all'), estimate('t_tag_stats', 'channel:*'), estimate('t_tag_stats', 'none');
SELECT estimate('t_no_such_store', 'all');
SET client_min_messages = warning;
SELECT drop_store('t_tag_stats', 't_tag_stats');
RESET client_min_messages;

-- More different tags than are kept, pruned while counting
ALTER TABLE t_stat ALTER tags SET STATISTICS 5;
ANALYZE t_stat;
SELECT condition, ok, CASE WHEN NOT ok THEN estimated END AS estimated, CASE WHEN NOT ok THEN actual END AS actual
FROM unnest(ARRAY['tags @@ ''tag:001''', 'tags @@ ''channel:*''', 'tags @@ ''sku:*''', 'tags @@ ''sku:1*''', 'tags @@ ''!sku:1* & tag:001''']) WITH ORDINALITY u (condition, n), t_estimate(condition) ORDER BY n;
SELECT cardinality(most_common_elems::text::text[]) <= 50 FROM pg_stats WHERE tablename = 't_stat' AND attname = 'tags';

DROP FUNCTION t_estimate, t_rows;
DROP TABLE t_stat, t_query, t_condition, t_domain_table, t_null;
DROP DOMAIN t_domain;
