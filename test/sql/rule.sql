\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET client_min_messages = warning;
SET search_path = crm, public;
CREATE SCHEMA t_rule;
CREATE TABLE t_rule.person (customer_id bigint, name text, orders bigint, spend numeric, score double precision, city text,
    day date, at timestamptz, span interval, vip boolean, tags crm.tagset, attributes jsonb, small smallint, kind point);
CREATE TABLE t_rule.contact (customer_id bigint, birth_date date);

-- canonical form, and that it reads back as the same rule
CREATE TABLE t_rule.text (id int, rule crm.rule);
INSERT INTO t_rule.text VALUES
    (1, 'spend_12m>=1500 or spend_total >=2500'),
    (2, 'last_order_at < now() - interval ''90 days'''),
    (3, 'not (a = 1 and (b = 2 or c = 3)) and (d = 1 and e = 2)'),
    (4, '((a)) + 1 * 2 > (3 - (4 - 5)) and -(-a) = - 5 and - b < 0'),
    (5, 'a in (1, -2, 3) and b not in (''x'', ''it''''s'') and "Odd name" is not null'),
    (6, 'a between 1 + 1 and 5 and b not between ''2026-01-01'' and current_date - 3'),
    (7, 'city like ''50\%%'' and city not like ''_x'' and city ilike ''a%'''),
    (8, 'anniversary(birth_date) <= CURRENT_DATE + 7'),
    (9, 'tags @@ ''vip & !churned'' and tags ? ''a'' and tags ?| ''{a,b}'' and has_tag(tags, ''c'')'),
    (10, 'a::numeric / 3 > 1 and (-5)::double precision < x and ''5''::int = y and cast(at as date) = date ''2026-01-31'''),
    (11, '(a = 1) is true and (b > 2 or c) is not unknown and a is distinct from b and a is not distinct from 3'),
    (12, 'extract(month from at) = 2 and round(spend, 2) > 1.50 and greatest(a, b, 3) > least(1, 2) and coalesce(a, 0) % 3 = 1'),
    (13, 'attributes ->> ''size'' = ''L'''),
    (14, 'true'),
    (15, 'at >= timestamptz ''2026-01-31 08:00+08'' and span < interval ''1 year 6 months'''),
    (16, E'name = ''a\\b'' -- and a comment'),
    (17, 'U&"\0061" = 1 and not not b');
SELECT id, rule FROM t_rule.text ORDER BY id;
SELECT count(*) AS read_back, count(*) FILTER (WHERE rule::text::crm.rule = rule) AS same,
       count(*) FILTER (WHERE rule::text::crm.rule::text = rule::text) AS same_text FROM t_rule.text;
SELECT crm.rule_columns('a = 1 AND b > a AND anniversary(birth_date) = CURRENT_DATE');
SELECT 'a=1'::crm.rule = 'a  =  1'::crm.rule AS same, 'a=1'::crm.rule <> 'a=2'::crm.rule AS other;
SELECT rule, count(*) FROM (VALUES ('a=1'::crm.rule), ('(a) = 1'), ('a=2')) v (rule) GROUP BY rule ORDER BY rule::text;
-- the session's settings change nothing
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SELECT 'city like ''50\\%%'''::crm.rule;
RESET standard_conforming_strings;
RESET escape_string_warning;

-- binary form
CREATE TABLE t_rule.copied (LIKE t_rule.text);
\copy t_rule.text TO 'results/rule.bin' (FORMAT binary)
\copy t_rule.copied FROM 'results/rule.bin' (FORMAT binary)
SELECT count(*) AS copied, count(*) FILTER (WHERE c.rule = t.rule) AS same FROM t_rule.copied c JOIN t_rule.text t USING (id);

CREATE FUNCTION t_rule.try(what text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text; detail text; hint text;
BEGIN
    RETURN 'ACCEPTED ' || what::crm.rule::text;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ' ' || message || CASE WHEN detail <> '' THEN ' | ' || detail ELSE '' END;
END $$;

-- the attack list: nothing may be accepted
CREATE FUNCTION t_rule.planted(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE DOMAIN t_rule.int AS bigint CHECK (t_rule.planted(VALUE));
CREATE TABLE t_rule.attack (id int GENERATED ALWAYS AS IDENTITY, what text);
INSERT INTO t_rule.attack (what) VALUES
    ('orders = (SELECT 1)'), ('EXISTS (SELECT FROM pg_authid)'), ('orders IN (SELECT 1)'), ('orders = ANY (SELECT 1)'),
    ('orders = ANY (ARRAY[1])'), ('ARRAY(SELECT rolpassword FROM pg_authid) IS NULL'), ('orders = 1; DROP TABLE t_rule.person'),
    ('orders = 1 UNION SELECT 1'), ('orders = 1 ORDER BY 1'), ('orders = 1 LIMIT 1'), ('orders = 1 FOR UPDATE'),
    ('orders = 1 GROUP BY orders'), ('orders = 1 HAVING true'), ('orders = 1) OR (1 = 1'), (''), ('   '), ('-- nothing'),
    ('/* open'), ('orders = 1 WINDOW w AS ()'), ('orders = 1 INTERSECT SELECT'),
    ('orders::t_rule.int = 1'), ('CAST(orders AS t_rule.int) = 1'), ('orders::int[] IS NULL'), ('orders::regclass IS NULL'),
    ('''pg_authid''::regclass IS NULL'), ('name::name = ''x'''), ('spend::numeric(3,1) = 1'), ('name::xml IS NULL'),
    ('name::public.text = ''x'''), ('name::t_rule.person IS NULL'), ('at::timestamp IS NULL'), ('name::"char" = ''x'''),
    ('orders OPERATOR(t_rule.=) 1'), ('orders OPERATOR(pg_catalog.=) 1'), ('orders @ 1'), ('orders ~ ''a'''), ('name !~ ''a'''),
    ('orders ^ 2 = 1'), ('name || ''a'' = ''b'''), ('orders << 1 = 1'), ('orders # 1 = 1'), ('|/ spend > 1'), ('@ orders = 1'),
    ('pg_sleep(1) IS NULL'), ('t_rule.planted(orders)'), ('pg_catalog.now() IS NULL'), ('pg_read_file(''x'') = ''y'''),
    ('dblink(''x'', ''y'') IS NULL'), ('lo_import(''x'') IS NULL'), ('current_setting(''x'') = ''y'''), ('set_config(''a'', ''b'', false) = ''c'''),
    ('query_to_xml(''select 1'', true, true, '''') IS NULL'), ('version() = ''x'''), ('random() < 0.5'), ('clock_timestamp() > now()'),
    ('nextval(''s'') = 1'), ('count(*) > 1'), ('sum(spend) > 1'), ('row_number() OVER () = 1'), ('abs(DISTINCT orders) = 1'),
    ('abs(VARIADIC orders) = 1'), ('abs(orders) FILTER (WHERE true) = 1'), ('abs(a => orders) = 1'), ('now(1) IS NULL'), ('abs() = 1'),
    ('CURRENT_USER = ''x'''), ('SESSION_USER = ''x'''), ('CURRENT_CATALOG = ''x'''), ('LOCALTIMESTAMP IS NULL'), ('CURRENT_TIME IS NULL'),
    ('ctid IS NULL'), ('xmin = 1'), ('tableoid = 1'), ('person.orders = 1'), ('t_rule.person.orders = 1'), ('person.* IS NULL'),
    ('* = 1'), ('(person).orders = 1'), ('person[1] = 1'), ('ROW(orders) = ROW(1)'), ('(orders, spend) = (1, 2)'), ('(orders, spend) IN ((1, 2))'),
    ('$1 = 1'), ('CASE WHEN true THEN true END'), ('NULLIF(orders, 1) = 1'), ('orders = NULL'), ('orders IN (1, NULL)'),
    ('orders IN (spend)'), ('name COLLATE "C" = ''x'''), ('at AT TIME ZONE ''UTC'' IS NULL'), ('name SIMILAR TO ''x'''), ('name LIKE city'),
    ('name LIKE ''x'' ESCAPE ''y'''), ('name LIKE ''x\'''), ('orders BETWEEN SYMMETRIC 1 AND 2'), ('(at, at) OVERLAPS (at, at)'),
    ('name IS DOCUMENT'), ('name IS NORMALIZED'), ('orders = DEFAULT'), ('GROUPING(orders) = 1'), ('B''1'' = B''1'''), ('orders IS OF (int)'),
    ('birth_date = ''2000-01-01'''), ('anniversary(day) = CURRENT_DATE'), ('anniversary(contact.birth_date) = CURRENT_DATE'),
    ('at > ''now''::timestamptz'), ('at > ''today''::timestamptz'), ('day = date ''1/2/2026'''), ('day = date ''infinity'''),
    ('at < now() - interval ''90 days ago'''), ('at < now() - interval ''-90 days'''), ('at < now() - interval ''1-2'''), ('at < now() - interval ''2000 years'''),
    ('at < now() - interval ''90'' day'), ('at < now() - spend::interval'), ('spend > ''NaN''::numeric'), ('spend > 1e400'), ('spend > 10x'),
    ('extract(epoch FROM at) > 0'), ('extract(''timezone'' FROM at) > 0'), ('overlay(name placing ''a'' from 1) = ''b'''), ('substring(name from 1) = ''a'''),
    ('XMLELEMENT(name a) IS NULL'), ('XMLSERIALIZE(CONTENT attributes AS text) = ''a'''), ('TREAT(orders AS bigint) = 1'), ('orders = ALL (ARRAY[1])'),
    ('U&''\0000'' = name'), ('"" = 1'), (repeat('(', 4000) || 'true' || repeat(')', 3999)), ('orders = ' || repeat('1', 100)),
    ('NOT ' || repeat('NOT ', 1200) || 'vip'), (repeat('orders = 1 AND ', 700) || 'true'), ('a = ' || repeat('-', 1) || repeat('(-', 1100) || 'b' || repeat(')', 1100));
SELECT id, left(t_rule.try(what), 150) AS answer FROM t_rule.attack ORDER BY id;
-- A function until PostgreSQL 16, an expression of its own since 17
SELECT left(t_rule.try('JSON_VALUE(attributes, ''$'') = ''a'''), 5) AS json_value;
SELECT count(*) AS attacks, count(*) FILTER (WHERE t_rule.try(what) LIKE 'ACCEPTED%') AS accepted FROM t_rule.attack;

-- names and types
CREATE FUNCTION t_rule.check(what text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text; detail text; hint text;
BEGIN
    RETURN crm.rule_check(what::crm.rule, 't_rule.person');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ' ' || message || ' | ' || detail || ' | ' || hint;
END $$;
SELECT t_rule.check(what) FROM (VALUES (1, 'ordres = 1'), (2, 'person IS NULL'), (3, 'orders = ''x'''), (4, 'name = 1'), (5, 'at > 5'), (6, 'orders'), (7, '''x'''),
    (8, 'orders AND vip'), (9, 'NOT name'), (10, 'kind IS NULL'), (11, 'vip + 1 = 2'), (12, 'day + orders > day'), (13, 'at + at > at'), (14, 'orders @@ ''a'''),
    (15, 'tags @@ ''a &'''), (16, 'tags ? city'), (17, 'attributes = ''{}'''), (18, 'length(orders) = 1'), (19, 'extract(hour FROM day) = 1'), (20, 'spend::bigint = 1'),
    (21, 'round(spend, orders) = 1'), (22, 'name LIKE ''a%'' AND orders IN (1, ''2'') AND day = ''2026-01-01'' AND at - at > ''3 days'' AND small = 3'),
    (23, 'score % 2 = 1'), (24, 'tags = ''{a}'''), (25, 'tags < ''{a}''')) v (id, what) ORDER BY id;

-- operators planted in the search_path are not used
CREATE FUNCTION t_rule.always(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR t_rule.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = t_rule.always);
INSERT INTO t_rule.person (customer_id, orders, tags) VALUES (1, 7, '{vip,a}');
SET search_path = t_rule, pg_catalog;
SELECT orders = 8::bigint AS planted, crm.rule_test('orders = 8', p) AS by_rule FROM person p;
SELECT crm.rule_sql('orders = 8 OR orders IN (8) OR orders IS NOT DISTINCT FROM 8 OR orders / 0 = 8', 't_rule.person', 'p') AS sql \gset
SELECT :sql AS by_sql FROM person p;
RESET search_path;
SELECT crm.rule_test('tags ? ''vip'' AND has_tag(tags, ''a'') AND NOT tags ?| ''{x,y}'' AND cardinality(tags) = 2', p) FROM t_rule.person p;
-- division by zero gives null and stops nothing; nor does an overflow in the order path
SELECT crm.rule_test('orders / 0 = 1 OR orders % 0 = 1 OR orders * 900000000000000000 * 90 > 0', p) FROM t_rule.person p;

-- moments in the store's time zone, whatever the session's is
SELECT crm.rule_sql('at < CURRENT_DATE AND at >= ''2026-01-31'' AND at < ''2026-01-31 08:00'' AND day = at::date AND at > now() - interval ''1 month''',
                    't_rule.person', 'p', '2026-03-31 01:00+08', 'Asia/Shanghai');
SELECT crm.rule_sql('anniversary(birth_date) = CURRENT_DATE', 't_rule.person', 'p', '2026-03-31 01:00+08');
SELECT crm.rule_sql_each('at < now() - interval ''20 days'' AND day > CURRENT_DATE - 3', 't_rule.person', 'p', 'moment') AS each_row_by_its_own;
SELECT crm.anniversary(day, '2026-02-28'), crm.anniversary(day, '2026-03-01'), crm.anniversary(day, '2028-02-29')
FROM (VALUES (date '2000-02-29'), ('1999-02-28'), ('1999-12-31')) v (day);

-- a sign before a number is the number's own, whatever stands between
SELECT r, r = r::text::crm.rule::text AS reads_back
FROM (SELECT t::crm.rule::text AS r FROM unnest(ARRAY['- (+ 3) / 2 < a', '-(-(+ 3)) < a', '- + - 2.5 < a', '-(3::int) < a', '- + 0 < a', '-(+ a) < 1']) t) v;

-- the guard
CREATE TABLE t_rule.guarded (rule crm.rule);
CREATE TRIGGER rule_guard BEFORE INSERT OR UPDATE ON t_rule.guarded FOR EACH ROW EXECUTE FUNCTION crm.rule_guard('person');
INSERT INTO t_rule.guarded VALUES ('orders > 3'), (NULL);
\set VERBOSITY terse
INSERT INTO t_rule.guarded VALUES ('phone = ''1''');
UPDATE t_rule.guarded SET rule = 'orders > ''x''';
\set VERBOSITY default
DROP SCHEMA t_rule CASCADE;
