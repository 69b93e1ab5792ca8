-- Aggregates over tag sets, subscripts, and the search of saved queries.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET search_path = public, crm;

CREATE TABLE t_agg (id int, tags tagset);
SELECT tag_counts(tags), tagset_union(tags), tagset_intersect(tags) FROM t_agg;
INSERT INTO t_agg VALUES (1, NULL);
SELECT tag_counts(tags), tagset_union(tags), tagset_intersect(tags) FROM t_agg;
INSERT INTO t_agg VALUES (2, '{}');
SELECT tag_counts(tags), tagset_union(tags), tagset_intersect(tags) FROM t_agg;
TRUNCATE t_agg;
INSERT INTO t_agg VALUES (1, '{VIP,a,"b\"c"}'), (2, '{vip,会员,a}'), (3, NULL), (4, '{a}');
SELECT tag_counts(tags), tagset_union(tags), tagset_intersect(tags) FROM t_agg;
SELECT id, tag_counts(tags) OVER w, tagset_union(tags) OVER w, tagset_intersect(tags) OVER w FROM t_agg WINDOW w AS (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW);
SELECT id % 2 AS odd, tag_counts(tags) FROM t_agg GROUP BY 1 ORDER BY 1;

-- Parallel workers give the same
INSERT INTO t_agg SELECT i, tagset(ARRAY['all', 'a' || i % 7, 'b' || i % 1000, 'c' || i]) FROM generate_series(5, 20000) i;
INSERT INTO t_agg VALUES (20001, '{all}');
DELETE FROM t_agg WHERE id < 5;
CREATE TABLE t_serial AS SELECT tag_counts(tags) AS counts, tagset_union(tags) AS all_tags, tagset_intersect(tags) AS common FROM t_agg;
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2;
ALTER TABLE t_agg SET (parallel_workers = 2);
EXPLAIN (COSTS OFF) SELECT tag_counts(tags), tagset_union(tags), tagset_intersect(tags) FROM t_agg;
SELECT counts = (SELECT tag_counts(tags) FROM t_agg) AS counts, all_tags = (SELECT tagset_union(tags) FROM t_agg) AS all_tags,
       common = (SELECT tagset_intersect(tags) FROM t_agg) AS common, common AS is, cardinality(all_tags), counts ->> 'all' AS "all", counts ->> 'a3' AS a3
FROM t_serial;
SELECT count(*) = (SELECT cardinality(all_tags) FROM t_serial) AND sum(value::bigint) = (SELECT sum(cardinality(tags)) FROM t_agg)
FROM t_serial, jsonb_each_text(counts);
RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET min_parallel_table_scan_size; RESET max_parallel_workers_per_gather;
DROP TABLE t_agg, t_serial;

-- Subscripts
CREATE TABLE t_sub (id int, tags tagset);
INSERT INTO t_sub VALUES (1, '{vip,lifecycle:new}'), (2, NULL), (3, '{}');
SELECT id, tags['lifecycle'], tags['LifeCycle'] AS folded, tags['vip'] AS none, tags[NULL] AS nothing FROM t_sub ORDER BY id;
UPDATE t_sub SET tags['Lifecycle'] = 'ACTIVE', tags['channel'] = 'jd';
SELECT * FROM t_sub ORDER BY id;
UPDATE t_sub SET tags['lifecycle'] = NULL;
SELECT * FROM t_sub ORDER BY id;
UPDATE t_sub SET tags['a:b'] = 'c';
UPDATE t_sub SET tags[''] = 'c';
UPDATE t_sub SET tags['a'] = '';
UPDATE t_sub SET tags[NULL] = 'x';
SELECT tags[1:2] FROM t_sub;
SELECT tags['a']['b'] FROM t_sub;
DROP TABLE t_sub;

-- Which saved queries does a set match? With the index as without
CREATE TABLE t_saved (id int PRIMARY KEY, query tagquery);
INSERT INTO t_saved
SELECT i, (CASE i % 10 WHEN 0 THEN format('t%s', i % 50) WHEN 1 THEN format('t%s & t%s', i % 50, i % 7) WHEN 2 THEN format('t%s | t%s', i % 50, i % 31)
                       WHEN 3 THEN format('t%s & !t%s', i % 50, i % 7) WHEN 4 THEN format('(t%s | ns%s:*) & u%s', i % 50, i % 4, i % 3)
                       WHEN 5 THEN format('ns%s:v%s*', i % 4, i % 3) WHEN 6 THEN format('u* & !t%s', i % 50) WHEN 7 THEN format('!t%s & !ns%s:*', i % 50, i % 4)
                       WHEN 8 THEN format('!(t%s | !ns%s:v1)', i % 50, i % 4) ELSE format('!(t%s & u%s) | * & t%s', i % 50, i % 3, i % 9) END)::tagquery
FROM generate_series(1, 500) i;
INSERT INTO t_saved VALUES (501, '*'), (502, '!*'), (503, '会*'), (504, '会员:*'), (505, 'none*'), (506, NULL), (507, 'x | *'), (508, '!(a | b)'), (509, '!(!t1 | !t2)'), (510, ('t1 & !(x' || repeat(' & "some longer tag"', 200) || ')')::tagquery), (511, ('!z' || repeat(' & !"another tag"', 200))::tagquery);
CREATE INDEX t_saved_query ON t_saved USING gin (query);
CREATE FUNCTION t_check(OUT tags tagset, OUT matches bigint, OUT same boolean) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
    by_scan int[];
    by_index int[];
BEGIN
    FOREACH tags IN ARRAY ARRAY['{}', '{t1}', '{t1,t2}', '{t5,t7,u1,ns1:v1}', '{ns2:v2,ns3:v0}', '{u2}', '{会}', '{会员:x,u}', '{t3,t9,t30,t31,u0,u1,u2,ns0:v0,ns0:v1}', '{":",x}']::tagset[] LOOP
        SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = on;
        SELECT array_agg(id ORDER BY id) INTO by_scan FROM t_saved WHERE query @@ t_check.tags;
        SET LOCAL enable_bitmapscan = on; SET LOCAL enable_seqscan = off;
        SELECT array_agg(id ORDER BY id) INTO by_index FROM t_saved WHERE t_check.tags @@ query;
        matches := cardinality(by_scan);
        same := by_scan IS NOT DISTINCT FROM by_index;
        RETURN NEXT;
    END LOOP;
END
$$;
SELECT * FROM t_check();
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM t_saved WHERE '{t1,t2}'::tagset @@ query;
DROP FUNCTION t_check;
DROP TABLE t_saved;
