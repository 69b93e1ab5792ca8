-- GIN over tagset: every operator gives with the index what it gives without.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET search_path = public, crm;
CREATE TABLE t_gin (id int PRIMARY KEY, tags tagset);
INSERT INTO t_gin SELECT i, tagset(ARRAY(SELECT t FROM (SELECT 'tag:' || j AS t FROM generate_series(1, 30) j WHERE hashint4(i * 31 + j) % (j + 1) = 0
                                                        UNION ALL SELECT 'channel:' || (ARRAY['tmall','jd','wechat'])[i % 3 + 1] WHERE i % 5 > 0
                                                        UNION ALL SELECT '会员' WHERE i % 7 = 0) s))
FROM generate_series(1, 3000) i;
INSERT INTO t_gin VALUES (3001, '{}'), (3002, NULL), (3003, '{}'), (3004, '{会员}'), (3005, '{channel:jd}');
-- Sets beyond the largest number key, one of them the other and more
INSERT INTO t_gin SELECT 4000 + n, tagset(array_agg('big' || i)) FROM (VALUES (254), (255), (256), (300)) v (n), generate_series(1, n) i GROUP BY n;
CREATE INDEX t_gin_tags ON t_gin USING gin (tags);
-- Some rows in the pending list
INSERT INTO t_gin SELECT id + 5000, tags + 'new' FROM t_gin WHERE id % 10 = 1;

CREATE TABLE t_condition (id serial, condition text);
INSERT INTO t_condition (condition)
SELECT format('tags %s %L::tagset', o, s)
FROM unnest(ARRAY['@>', '<@', '&&', '=']) o,
     unnest(ARRAY['{}', '{会员}', '{channel:jd}', '{channel:jd,tag:2}', '{none}', '{tag:1,tag:2,tag:3,tag:4,channel:tmall,会员}', '{none,channel:jd}', '{channel:jd,new}']) s;
INSERT INTO t_condition (condition)
SELECT format('tags %s %L::text[]', o, s) FROM unnest(ARRAY['?|', '?&']) o, unnest(ARRAY['{}', '{NEW}', '{Channel:JD,tag:2}', '{none,会员}', '{"",会员}', '{"",NULL}', '{NULL}']) s;
INSERT INTO t_condition (condition)
SELECT format('tags ? %L', s) FROM unnest(ARRAY['NEW', 'channel:jd', 'none', '', 'channel:']) s;
INSERT INTO t_condition (condition)
SELECT format('tags @@ %L', s)
FROM unnest(ARRAY['new', 'channel:*', 'tag:1*', 'none*', 'channel:jd & tag:2 & !会员', '(channel:jd | channel:tmall) & !tag:2', '!channel:*', '!new', '!*', '*', '* & !tag:1', 'none | !*',
                  'tag:2 & tag:2*', 'tag:* & !tag:1 & !tag:2', '!(tag:1 | tag:2 & !channel:jd)', 'none & !none', 'none | !none', 'big256', 'big25*', 'new & !(channel:* | 会员)']) s;
INSERT INTO t_condition (condition)
SELECT format('tags %s (SELECT tags FROM t_gin WHERE id = %s)', o, id) FROM unnest(ARRAY['=', '<@', '@>']) o, generate_series(4254, 4256) id UNION ALL
SELECT format('tags %s (SELECT tags FROM t_gin WHERE id = 4300)', o) FROM unnest(ARRAY['=', '<@', '@>']) o;

CREATE FUNCTION t_check(OUT condition text, OUT matches bigint, OUT same boolean) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
    by_scan int[];
    by_index int[];
    plan text;
    line text;
BEGIN
    FOR condition IN SELECT c.condition FROM t_condition c ORDER BY id LOOP
        SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = on;
        EXECUTE format('SELECT array_agg(id ORDER BY id) FROM t_gin WHERE %s', condition) INTO by_scan;
        -- Since 16 the order of the aggregate may come from the primary key.
        SET LOCAL enable_bitmapscan = on; SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off;
        plan := '';
        FOR line IN EXECUTE format('EXPLAIN SELECT array_agg(id ORDER BY id) FROM t_gin WHERE %s', condition) LOOP
            plan := plan || line;
        END LOOP;
        EXECUTE format('SELECT array_agg(id ORDER BY id) FROM t_gin WHERE %s', condition) INTO by_index;
        matches := coalesce(cardinality(by_scan), 0);
        same := by_scan IS NOT DISTINCT FROM by_index AND plan ~ 't_gin_tags';
        RETURN NEXT;
    END LOOP;
END
$$;
SELECT * FROM t_check();
VACUUM t_gin;
SELECT count(*) AS conditions, count(*) FILTER (WHERE same) AS same FROM t_check();

-- Few rows are fetched for <@, = and NOT: the index is exact, so nothing is removed by a recheck
CREATE FUNCTION t_removed(query text) RETURNS TABLE (line text) LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL enable_seqscan = off;
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) ' || query LOOP
        line := replace(line, '.00', ''); IF line ~ 'Removed|Index Scan|Cond' THEN RETURN NEXT; END IF;
    END LOOP;
END
$$;
SELECT * FROM t_removed('SELECT id FROM t_gin WHERE tags <@ ''{channel:jd,会员}''');
SELECT * FROM t_removed('SELECT id FROM t_gin WHERE tags = ''{channel:jd}''');
SELECT * FROM t_removed('SELECT id FROM t_gin WHERE tags @@ ''channel:jd & !tag:2 & !tag:3*''');

-- Lossy pages of the bitmap are rechecked
SET work_mem = '64kB';
SELECT count(*) AS conditions, count(*) FILTER (WHERE same) AS same FROM t_check();
RESET work_mem;

-- A damaged index would be seen here after heavy updates
UPDATE t_gin SET tags = tags - 'new' | '{updated}' WHERE id % 3 = 0;
DELETE FROM t_gin WHERE id % 4 = 0;
VACUUM t_gin;
SELECT count(*) AS conditions, count(*) FILTER (WHERE same) AS same FROM t_check();
DROP FUNCTION t_check, t_removed;
DROP TABLE t_gin, t_condition;
