-- The pages of doc/reference, printed one after another: "@@ page" and its lines. Read from the catalogs of a database with
-- the extension and a store named shop; run from the source tree, whose files say which topic an object belongs to.
\set QUIET on
\set ON_ERROR_STOP on
\set SHOW_CONTEXT never
\pset tuples_only on
\pset format unaligned
\pset pager off
SET client_min_messages = warning;
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SET timezone = 'UTC';
SET quote_all_identifiers = off;
LOAD 'crm';
SET search_path = shop, crm, pg_catalog, pg_temp;

-- Which files make which page. A file that no line names goes to the page of the nearest number below it.
CREATE TEMP TABLE topic (topic text PRIMARY KEY, position integer, title text, guide text);
INSERT INTO topic VALUES
    ('stores', 1, 'Stores', 'operations'), ('orders', 2, 'Customers and orders', 'orders'), ('tags', 3, 'Tags and audiences', 'tags'),
    ('points', 4, 'Points', 'points'), ('tiers', 5, 'Rules, segments, tiers, life cycle', 'rules'), ('value', 6, 'RFM and lifetime value', 'value-models'),
    ('masks', 7, 'Masks, validators, pinyin', 'masks'), ('privacy', 8, 'Personal data', 'privacy'), ('sealed', 9, 'Sealed values', 'sealed'),
    ('service', 10, 'Serving customers', 'service'), ('marketing', 11, 'Marketing', 'marketing'), ('activities', 12, 'Draws, games, courses', 'activities'),
    ('merging', 13, 'Duplicates and merging', 'merging'), ('exchange', 14, 'Data in and out', 'exchange'), ('reports', 15, 'Reports', 'report');
CREATE TEMP TABLE topic_from (layer text, number integer, topic text REFERENCES topic, PRIMARY KEY (layer, number));
INSERT INTO topic_from VALUES
    ('kit', 0, 'stores'), ('kit', 20, 'tags'), ('kit', 30, 'points'), ('kit', 40, 'value'), ('kit', 45, 'tiers'), ('kit', 50, 'masks'), ('kit', 53, 'sealed'),
    ('kit', 55, 'privacy'), ('kit', 60, 'orders'), ('kit', 70, 'service'), ('kit', 71, 'marketing'), ('kit', 75, 'exchange'), ('kit', 80, 'stores'),
    ('store', 0, 'stores'), ('store', 10, 'orders'), ('store', 11, 'sealed'), ('store', 20, 'orders'), ('store', 28, 'value'), ('store', 30, 'tags'),
    ('store', 40, 'points'), ('store', 50, 'tiers'), ('store', 57, 'value'), ('store', 60, 'privacy'), ('store', 70, 'service'), ('store', 78, 'orders'),
    ('store', 80, 'marketing'), ('store', 84, 'merging'), ('store', 85, 'exchange'), ('store', 86, 'activities'), ('store', 88, 'exchange'),
    ('store', 89, 'tiers'), ('store', 90, 'points'), ('store', 91, 'reports');

-- Which object stands in which file: by its COMMENT, else by the statement that makes it.
CREATE TEMP TABLE line (content text);
\copy line FROM PROGRAM 'grep -oHE "^ *(COMMENT ON|CREATE( OR REPLACE)?) (TABLE|VIEW|SEQUENCE|FUNCTION|PROCEDURE|AGGREGATE|TYPE|DOMAIN|OPERATOR CLASS|OPERATOR) .*" sql/kit/*.sql sql/store/*.sql | tr "\t\\\\" "  "'
CREATE TEMP TABLE place AS
SELECT DISTINCT ON (p.m[4], p.m[5], layer, number) p.m[4] AS class, p.m[5] AS name, layer, number, t.topic
FROM line, regexp_match(content, '^sql/(\w+)/(\d+)[^:]*: *(?:COMMENT ON|CREATE(?: OR REPLACE)?) ()?(TABLE|VIEW|SEQUENCE|FUNCTION|PROCEDURE|AGGREGATE|TYPE|DOMAIN|OPERATOR CLASS|OPERATOR) "?([a-z0-9_]+|[^ a-z]+)') AS p (m),
    LATERAL (SELECT p.m[1], p.m[2]::integer) l (layer, number),
    LATERAL (SELECT f.topic FROM topic_from f WHERE f.layer = l.layer AND f.number <= l.number ORDER BY f.number DESC LIMIT 1) t;

-- Made while the scripts are joined, or by create_store.
INSERT INTO place VALUES ('FUNCTION', 'store_script', 'kit', 80, 'stores'), ('FUNCTION', 'seed_script', 'kit', 80, 'stores'), ('FUNCTION', 'distributed_script', 'kit', 80, 'stores'), ('FUNCTION', 'part_script', 'kit', 80, 'stores'), ('FUNCTION', 'store_upgrade_steps', 'kit', 80, 'stores'),
    ('FUNCTION', 'store_manifest', 'store', 0, 'stores');

-- An overloaded name may stand in several files: then its argument decides.
CREATE FUNCTION pg_temp.topic_of(layer text, name text, first_type oid) RETURNS text LANGUAGE sql AS $$
    SELECT p.topic FROM place p
    WHERE p.layer = topic_of.layer AND p.name = topic_of.name
    ORDER BY p.topic = (SELECT q.topic FROM place q JOIN pg_type t ON q.name = t.typname WHERE t.oid = first_type AND q.class = 'TYPE' ORDER BY q.number LIMIT 1) DESC NULLS LAST, p.number
    LIMIT 1 $$;

-- Text for a cell of a table.
CREATE FUNCTION pg_temp.cell(text) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(replace(replace(replace(replace(regexp_replace(btrim($1), '\s+', ' ', 'g'), '|', '\|'), '<', '&lt;'), '*', '\*'), '[', '\['), '') $$;
CREATE FUNCTION pg_temp.code(text) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce('`' || replace(nullif(regexp_replace(btrim($1), '\s+', ' ', 'g'), ''), '|', '\|') || '`', '') $$;
-- Types and defaults as people write them.
CREATE FUNCTION pg_temp.brief(text) RETURNS text LANGUAGE sql AS $$
    SELECT regexp_replace(regexp_replace(replace(replace($1, 'timestamp with time zone', 'timestamptz'), 'character varying', 'varchar'),
                          '''::(text|name|regclass|interval|jsonb|timestamptz|date|numeric|bigint|"char"|[a-z_.]+)(\[\])?', '''', 'g'), 'NULL::[a-z_. ]+(\[\])?', 'NULL', 'g') $$;

CREATE TEMP TABLE item AS
SELECT CASE n.nspname WHEN 'crm' THEN 'kit' ELSE 'store' END AS layer,
       CASE p.prokind WHEN 'a' THEN 'aggregate' WHEN 'p' THEN 'procedure' ELSE CASE WHEN p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype) THEN 'trigger function' ELSE 'function' END END AS kind,
       p.proname::text AS name, 'pg_proc'::regclass AS class, p.oid,
       format('%s(%s)', p.proname, regexp_replace(pg_temp.brief(pg_get_function_arguments(p.oid)), '\mIN ', '', 'g')) AS signature,
       CASE WHEN p.prokind <> 'p' THEN pg_temp.brief(pg_get_function_result(p.oid)) END AS result,
       obj_description(p.oid, 'pg_proc') AS what,
       pg_temp.topic_of(CASE n.nspname WHEN 'crm' THEN 'kit' ELSE 'store' END, p.proname, p.proargtypes[0]) AS topic
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname IN ('crm', 'shop')
  -- What the server calls by itself is no part of what one writes.
  AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) t WHERE t IN ('internal'::regtype, 'cstring'::regtype))
  AND p.prorettype NOT IN ('internal'::regtype, 'cstring'::regtype)
  AND (n.nspname = 'crm' OR p.prorettype <> 'trigger'::regtype)
  AND NOT (p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype) AND obj_description(p.oid, 'pg_proc') IS NULL)
  AND NOT (EXISTS (SELECT FROM pg_operator o WHERE o.oprcode = p.oid) AND coalesce(obj_description(p.oid, 'pg_proc'), 'implementation of') ~ 'implementation of')
  AND NOT (EXISTS (SELECT FROM pg_amproc a WHERE a.amproc = p.oid))
  AND NOT EXISTS (SELECT FROM pg_aggregate a WHERE p.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn))
  AND NOT EXISTS (SELECT FROM pg_type t WHERE p.oid IN (t.typinput, t.typoutput, t.typreceive, t.typsend, t.typsubscript, t.typanalyze))
UNION ALL
SELECT 'kit', 'operator', o.oprname, 'pg_operator'::regclass, o.oid,
       concat_ws(' ', format_type(nullif(o.oprleft, 0), NULL), o.oprname, format_type(o.oprright, NULL)), format_type(o.oprresult, NULL),
       coalesce(obj_description(o.oid, 'pg_operator'), regexp_replace(obj_description(o.oprcode, 'pg_proc'), '; implementation of .*', '')),
       pg_temp.topic_of('kit', (SELECT typname FROM pg_type t WHERE t.typnamespace = 'crm'::regnamespace AND t.oid IN (o.oprleft, o.oprright) ORDER BY t.oid = o.oprleft DESC LIMIT 1), NULL)
FROM pg_operator o WHERE o.oprnamespace = 'crm'::regnamespace
UNION ALL
SELECT 'kit', 'operator class', c.opcname, 'pg_opclass'::regclass, c.oid,
       format('%s USING %s', c.opcname, m.amname), format_type(c.opcintype, NULL) || CASE WHEN c.opcdefault THEN ', the default' ELSE '' END, obj_description(c.oid, 'pg_opclass'),
       pg_temp.topic_of('kit', (SELECT typname FROM pg_type t WHERE t.oid = c.opcintype), NULL)
FROM pg_opclass c JOIN pg_am m ON m.oid = c.opcmethod WHERE c.opcnamespace = 'crm'::regnamespace
UNION ALL
SELECT 'kit', 'cast', concat(c.castsource::regtype, ' ', c.casttarget::regtype), 'pg_cast'::regclass, c.oid,
       format('%s::%s', format_type(c.castsource, NULL), format_type(c.casttarget, NULL)),
       CASE c.castcontext WHEN 'i' THEN 'everywhere' WHEN 'a' THEN 'in assignments' ELSE 'written out' END, coalesce(obj_description(c.oid, 'pg_cast'), obj_description(c.castfunc, 'pg_proc'), ''),
       pg_temp.topic_of('kit', t.typname, NULL)
FROM pg_cast c JOIN pg_type t ON t.typnamespace = 'crm'::regnamespace AND t.oid = CASE WHEN (SELECT typnamespace FROM pg_type s WHERE s.oid = c.castsource) = 'crm'::regnamespace THEN c.castsource ELSE c.casttarget END
UNION ALL
SELECT CASE n.nspname WHEN 'crm' THEN 'kit' ELSE 'store' END, CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END, t.typname, 'pg_type'::regclass, t.oid, t.typname,
       CASE t.typtype WHEN 'd' THEN 'domain over ' || format_type(t.typbasetype, t.typtypmod)
                      WHEN 'c' THEN (SELECT '(' || string_agg(a.attname || ' ' || pg_temp.brief(format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum) || ')' FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
                      ELSE 'base type' END,
       obj_description(t.oid, 'pg_type'), pg_temp.topic_of(CASE n.nspname WHEN 'crm' THEN 'kit' ELSE 'store' END, t.typname, NULL)
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname IN ('crm', 'shop') AND t.typtype IN ('b', 'c', 'd', 'e') AND t.typelem = 0 AND (t.typrelid = 0 OR (SELECT c.relkind FROM pg_class c WHERE c.oid = t.typrelid) = 'c')
UNION ALL
SELECT CASE n.nspname WHEN 'crm' THEN 'kit' ELSE 'store' END, CASE c.relkind WHEN 'v' THEN 'view' ELSE 'table' END, c.relname, 'pg_class'::regclass, c.oid, c.relname, NULL, obj_description(c.oid, 'pg_class'),
       pg_temp.topic_of(CASE n.nspname WHEN 'crm' THEN 'kit' ELSE 'store' END, regexp_replace(c.relname, '_masked$', ''), NULL)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('crm', 'shop') AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition;

-- A page must be able to name everything and place it.
DO $$
DECLARE
    missing text;
BEGIN
    SELECT string_agg(format('%s %s (%s)', kind, signature, CASE WHEN topic IS NULL THEN 'no file found' ELSE 'no comment' END), E'\n' ORDER BY kind COLLATE "C", signature COLLATE "C") INTO missing
    FROM item WHERE topic IS NULL OR what IS NULL;
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION E'not for the reference:\n%', missing;
    END IF;
END
$$;

-- A verb is what help() names or a kind is granted.
UPDATE item i SET kind = 'verb', signature = CASE kind WHEN 'procedure' THEN 'CALL ' ELSE '' END || signature
WHERE layer = 'store' AND kind IN ('function', 'procedure')
  AND (EXISTS (SELECT FROM crm.help_topics() h WHERE i.name = ANY (h.verbs)) OR EXISTS (SELECT FROM shop.access_rule r WHERE r.object_type = 'routine' AND r.object = i.name)
       OR kind = 'procedure' OR i.name ~ '_report$|^report_');

-- Which access kinds may use it.
CREATE FUNCTION pg_temp.kinds(object_type text, object text) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(kind || CASE WHEN letters = 'x' THEN '' ELSE ' ' || letters END, ', ' ORDER BY array_position('{owner,agent,marketer,analyst,auditor,app}', kind)), '')
    FROM (SELECT r.kind, string_agg(DISTINCT CASE WHEN r.privilege LIKE '% (%' THEN '(' || l || ')' ELSE l END, '' ORDER BY CASE WHEN r.privilege LIKE '% (%' THEN '(' || l || ')' ELSE l END) AS letters
          FROM shop.access_rule r, LATERAL (SELECT CASE split_part(r.privilege, ' ', 1) WHEN 'SELECT' THEN 'r' WHEN 'INSERT' THEN 'a' WHEN 'UPDATE' THEN 'w' WHEN 'DELETE' THEN 'd' ELSE 'x' END) p (l)
          WHERE r.object_type = kinds.object_type AND r.object = kinds.object::name GROUP BY r.kind) k $$;

CREATE TEMP TABLE page (topic text, part integer, sort text COLLATE "C", n integer, content text);

-- Head of each page.
INSERT INTO page
SELECT topic, 0, '', 0, format(E'# Reference: %s\n\nGuide: [%s](../%s.md). All pages: [reference](README.md).', lower(left(title, 1)) || substr(title, 2), guide, guide) FROM topic;
UPDATE page SET content = replace(replace(content, 'rFM', 'RFM'), 'dATA', 'Data') WHERE part = 0;

-- Tables of what has a line each.
INSERT INTO page
SELECT topic, s.part, '', 0, E'\n## ' || s.heading || E'\n' || s.header
FROM (VALUES
    (10, 'kit', ARRAY['type', 'domain'], 'Types', E'\n| type | made of | what |\n|---|---|---|'),
    (11, 'kit', ARRAY['operator'], 'Operators', E'\n| operator | gives | what |\n|---|---|---|'),
    (12, 'kit', ARRAY['operator class'], 'Operator classes', E'\n| class | for | what |\n|---|---|---|'),
    (13, 'kit', ARRAY['cast'], 'Casts', E'\n| cast | applies | what |\n|---|---|---|'),
    (14, 'kit', ARRAY['function', 'procedure'], 'Functions of the kit', E'\nIn schema `crm`.\n\n| function | gives | what |\n|---|---|---|'),
    (15, 'kit', ARRAY['aggregate'], 'Aggregates', E'\n| aggregate | gives | what |\n|---|---|---|'),
    (16, 'kit', ARRAY['trigger function'], 'Trigger functions', E'\n| function | what |\n|---|---|'),
    (17, 'kit', ARRAY['table', 'view'], 'Tables and views of the kit', E'\nIn schema `crm`.\n\n| name | columns | what |\n|---|---|---|'),
    (20, 'store', ARRAY['verb'], 'Verbs of a store',
         E'\nIn the schema of the store. The third column names the [access kinds](../privacy.md#access-kinds) that are granted it. `all`: everybody who may use the schema, with the privileges he has on what it reads and writes. Empty: the owner of the store. Procedures (`CALL`) commit by batch, so they run outside a transaction block.\n\n| verb | gives | kinds | what |\n|---|---|---|---|'),
    (22, 'store', ARRAY['function', 'procedure'], 'Functions behind them',
         E'\nWhat verbs, views and triggers are made of. They may change with any version.\n\n| function | gives | kinds | what |\n|---|---|---|---|'),
    (21, 'store', ARRAY['type', 'domain'], 'Types of a store', E'\n| type | made of | what |\n|---|---|---|')
) s (part, layer, kinds, heading, header), topic
WHERE EXISTS (SELECT FROM item i WHERE i.topic = topic.topic AND i.layer = s.layer AND i.kind = ANY (s.kinds));

INSERT INTO page
SELECT topic, s.part, i.name || ' ' || i.signature, 1,
       CASE WHEN i.kind = 'trigger function' THEN format('| %s | %s |', pg_temp.code(i.signature), pg_temp.cell(i.what))
            WHEN i.kind IN ('table', 'view') THEN format('| %s | %s | %s |', pg_temp.code(i.signature),
                 pg_temp.code((SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = i.oid AND a.attnum > 0 AND NOT a.attisdropped)), pg_temp.cell(i.what))
            WHEN i.layer = 'store' AND s.part IN (20, 22) THEN format('| %s | %s | %s | %s |', pg_temp.code(i.signature), pg_temp.code(i.result),
                 CASE WHEN has_function_privilege('public', i.oid, 'EXECUTE') THEN 'all' ELSE pg_temp.kinds('routine', i.name) END, pg_temp.cell(i.what))
            ELSE format('| %s | %s | %s |', pg_temp.code(CASE i.kind WHEN 'procedure' THEN 'CALL ' ELSE '' END || i.signature),
                 CASE WHEN i.kind IN ('cast') OR (i.kind IN ('type') AND i.result = 'base type') THEN i.result ELSE pg_temp.code(i.result) END, pg_temp.cell(i.what)) END
FROM item i JOIN (VALUES (10, 'kit', 'type'), (10, 'kit', 'domain'), (11, 'kit', 'operator'), (12, 'kit', 'operator class'), (13, 'kit', 'cast'), (14, 'kit', 'function'), (14, 'kit', 'procedure'),
                         (15, 'kit', 'aggregate'), (16, 'kit', 'trigger function'), (17, 'kit', 'table'), (17, 'kit', 'view'), (20, 'store', 'verb'), (22, 'store', 'function'), (21, 'store', 'type'), (21, 'store', 'domain'))
    s (part, layer, kind) ON s.layer = i.layer AND s.kind = i.kind;

-- Tables and views of a store: a heading each, with columns; of a view that says nothing about them their names and types alone.
ALTER TABLE item ADD bare boolean NOT NULL DEFAULT false;
UPDATE item i SET bare = true WHERE kind = 'view' AND NOT EXISTS (SELECT FROM pg_description d WHERE d.classoid = 'pg_class'::regclass AND d.objoid = i.oid AND d.objsubid > 0);
INSERT INTO page
SELECT DISTINCT topic, s.part, '', 0, E'\n## ' || s.heading || CASE s.part WHEN 30 THEN
    E'\n\nKey columns are marked `*`. Privileges of the access kinds: r reads, a adds, w changes, d deletes, in brackets of some columns only.' ELSE '' END
FROM item i JOIN (VALUES (30, 'table', 'Tables of a store'), (31, 'view', 'Views of a store')) s (part, kind, heading) USING (kind) WHERE i.layer = 'store';
INSERT INTO page
SELECT i.topic, CASE i.kind WHEN 'table' THEN 30 ELSE 31 END, i.name, 1,
       format(E'\n### %s\n\n%s%s\n\n%s', i.name, pg_temp.cell(upper(left(i.what, 1)) || substr(i.what, 2)) || CASE WHEN i.what ~ '[.?!]$' THEN '' ELSE '.' END,
              coalesce(' For ' || nullif(pg_temp.kinds('table', i.name), '') || '.', ''),
              CASE WHEN i.bare THEN (SELECT string_agg(format('`%s` %s', a.attname, pg_temp.brief(format_type(a.atttypid, a.atttypmod))), ', ' ORDER BY a.attnum)
                                     FROM pg_attribute a WHERE a.attrelid = i.oid AND a.attnum > 0 AND NOT a.attisdropped)
                   ELSE E'| column | type | what |\n|---|---|---|' END)
FROM item i WHERE i.layer = 'store' AND i.kind IN ('table', 'view');
INSERT INTO page
SELECT i.topic, CASE i.kind WHEN 'table' THEN 30 ELSE 31 END, i.name, 1 + row_number() OVER (PARTITION BY i.oid ORDER BY a.attnum),
       format('| %s%s | %s | %s |', pg_temp.code(a.attname), CASE WHEN a.attnum = ANY (k.conkey) THEN ' \*' ELSE '' END,
              pg_temp.code(pg_temp.brief(format_type(a.atttypid, a.atttypmod)) || CASE WHEN a.attnotnull AND i.kind = 'table' AND NOT coalesce(a.attnum = ANY (k.conkey), false) THEN ' not null' ELSE '' END
                  || CASE WHEN a.attgenerated <> '' THEN ' generated' WHEN a.attidentity <> '' THEN ' identity'
                          WHEN length(pg_get_expr(d.adbin, d.adrelid)) < 50 THEN ' default ' || pg_temp.brief(pg_get_expr(d.adbin, d.adrelid)) ELSE '' END),
              concat_ws('; ', nullif(pg_temp.cell(col_description(i.oid, a.attnum)), ''), f.target))
FROM item i JOIN pg_attribute a ON a.attrelid = i.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN pg_constraint k ON k.conrelid = i.oid AND k.contype = 'p'
    LEFT JOIN LATERAL (SELECT '→ ' || string_agg(DISTINCT format('`%s`', c.confrelid::regclass), ', ') AS target FROM pg_constraint c
                       WHERE c.conrelid = i.oid AND c.contype = 'f' AND a.attnum = c.conkey[cardinality(c.conkey)]) f ON true
WHERE i.layer = 'store' AND i.kind IN ('table', 'view') AND NOT i.bare;

-- Parameters of the server that the library knows.
INSERT INTO page
SELECT 'stores', 5, '', 0, E'\n## Configuration parameters\n\n| parameter | set by | default | what |\n|---|---|---|---|'
UNION ALL
SELECT 'stores', 5, name, 1, format('| `%s` | %s | %s | %s |', name,
       CASE context WHEN 'user' THEN 'everybody, `SET`' WHEN 'superuser' THEN 'superusers, `SET`' WHEN 'sighup' THEN 'server configuration, reload' ELSE context END, pg_temp.code(boot_val), pg_temp.cell(short_desc))
FROM pg_settings WHERE name LIKE 'crm.%';

-- Who may do what in a store: a role of each kind, asked for its privileges one by one.
DO $$
DECLARE
    k text;
BEGIN
    FOREACH k IN ARRAY '{owner,agent,marketer,analyst,auditor,app}'::text[] LOOP
        EXECUTE format('CREATE ROLE %I', 'crm_reference_' || k);
        PERFORM crm.grant_access('shop', 'crm_reference_' || k, k);
    END LOOP;
END
$$;
CREATE TEMP TABLE may AS
WITH role AS (SELECT k.kind, k.n, 'crm_reference_' || k.kind AS name FROM unnest('{owner,agent,marketer,analyst,auditor,app}'::text[]) WITH ORDINALITY k (kind, n))
SELECT role.kind, role.n, CASE c.relkind WHEN 'v' THEN 'view' ELSE 'table' END AS of_kind, c.relname::text AS object, p.privilege, p.letter,
       has_table_privilege(role.name, c.oid, p.privilege) AS whole,
       CASE WHEN p.privilege IN ('SELECT', 'INSERT', 'UPDATE') THEN has_any_column_privilege(role.name, c.oid, p.privilege) ELSE false END AS part
FROM role, pg_class c, (VALUES ('SELECT', 'r'), ('INSERT', 'a'), ('UPDATE', 'w'), ('DELETE', 'd'), ('TRUNCATE', 'D'), ('REFERENCES', 'x'), ('TRIGGER', 't')) p (privilege, letter)
WHERE c.relnamespace = 'shop'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
UNION ALL
SELECT role.kind, role.n, 'sequence', c.relname, 'USAGE', 'U', has_sequence_privilege(role.name, c.oid, 'USAGE'), false
FROM role, pg_class c WHERE c.relnamespace = 'shop'::regnamespace AND c.relkind = 'S'
UNION ALL
SELECT role.kind, role.n, 'routine', p.proname, 'EXECUTE', 'X', bool_or(has_function_privilege(role.name, p.oid, 'EXECUTE')), false
FROM role, pg_proc p WHERE p.pronamespace = 'shop'::regnamespace AND p.prorettype <> 'trigger'::regtype AND NOT has_function_privilege('public', p.oid, 'EXECUTE')
GROUP BY role.kind, role.n, p.proname;
INSERT INTO topic VALUES ('access', 16, 'Privileges', 'privacy');
INSERT INTO page
SELECT 'access', 0, '', 0, E'# Reference: privileges\n\nGuide: [privacy](../privacy.md#access-kinds). All pages: [reference](README.md).\n\nA role of each access kind, made by `crm.grant_access` in a new store and asked for its privileges by `has_table_privilege` and its kin.'
UNION ALL
SELECT 'access', 1, '', 0, E'\n## How many objects\n\nIn brackets: of some columns only.\n\n| objects | privilege | there are | owner | agent | marketer | analyst | auditor | app |\n|---|---|---:|---:|---:|---:|---:|---:|---:|'
UNION ALL
SELECT 'access', 1, format('%s %s', array_position('{table,view,sequence,routine}', of_kind), array_position('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER,USAGE,EXECUTE}', privilege)), 1,
       format('| %s | %s | %s | %s |', of_kind || CASE of_kind WHEN 'routine' THEN 's that not everybody executes' ELSE 's' END, privilege, max(there), string_agg(CASE WHEN part > 0 THEN format('%s (%s)', whole, part) ELSE coalesce(nullif(whole, 0)::text, '') END, ' | ' ORDER BY n))
FROM (SELECT of_kind, privilege, n, count(*) AS there, count(*) FILTER (WHERE whole) AS whole, count(*) FILTER (WHERE part AND NOT whole) AS part FROM may GROUP BY of_kind, privilege, n) m
GROUP BY of_kind, privilege
UNION ALL
SELECT 'access', 2, '', 0, format(E'\nEverybody (`PUBLIC`): %s on the schema, %s tables, views and sequences, and %s routines, which run with the rights of whoever calls them%s.',
       CASE WHEN has_schema_privilege('public', 'shop', 'USAGE') THEN 'USAGE' ELSE 'nothing' END,
       (SELECT coalesce(nullif(count(*), 0)::text, 'no') FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace = 'shop'::regnamespace AND a.grantee = 0),
       (SELECT count(*) FROM pg_proc p WHERE p.pronamespace = 'shop'::regnamespace AND p.prorettype <> 'trigger'::regtype AND has_function_privilege('public', p.oid, 'EXECUTE')),
       (SELECT ', but for ' || string_agg(format('`%s`', p.proname), ' and ' ORDER BY p.proname) || ', which run with those of the store''s owner'
        FROM pg_proc p WHERE p.pronamespace = 'shop'::regnamespace AND p.prorettype <> 'trigger'::regtype AND p.prosecdef AND has_function_privilege('public', p.oid, 'EXECUTE')));
INSERT INTO page
SELECT 'access', 3, array_position('{table,view,sequence,routine}', k)::text, 0, format(E'\n## %ss\n\n%s\n\n| %s | owner | agent | marketer | analyst | auditor | app |\n|---|---|---|---|---|---|---|', initcap(k),
       CASE k WHEN 'sequence' THEN 'U uses.' WHEN 'routine' THEN 'X executes. Those that everybody executes are left out: they read and write with the rights of the caller.'
              ELSE 'r reads, a adds, w changes, d deletes, D truncates, x refers to, t makes triggers; in brackets: of some columns only.' END || ' What no kind has anything on is left out.', k)
FROM unnest('{table,view,sequence,routine}'::text[]) k WHERE EXISTS (SELECT FROM may m WHERE m.of_kind = k AND (m.whole OR m.part))
UNION ALL
SELECT 'access', 3, array_position('{table,view,sequence,routine}', of_kind)::text || ' ' || object, 1, format('| `%s` | %s |', object, string_agg(letters, ' | ' ORDER BY n))
FROM (SELECT of_kind, object, n, coalesce(string_agg(CASE WHEN whole THEN letter WHEN part THEN format('(%s)', letter) END, '' ORDER BY array_position('{r,a,w,d,D,x,t,U,X}', letter)), '') AS letters
      FROM may GROUP BY of_kind, object, n) m
GROUP BY of_kind, object HAVING string_agg(letters, '') <> '';
DO $$
DECLARE
    k text;
BEGIN
    FOREACH k IN ARRAY '{owner,agent,marketer,analyst,auditor,app}'::text[] LOOP
        PERFORM crm.revoke_access('shop', 'crm_reference_' || k, k);
        EXECUTE format('DROP ROLE %I', 'crm_reference_' || k);
    END LOOP;
END
$$;

-- The first page: topics, and every name that can be called.
INSERT INTO topic VALUES ('README', 0, '', '');
INSERT INTO page
SELECT 'README', 0, '', 0, E'# Reference\n\nEverything public, as the comments in the database tell it. `make reference` writes these pages from the catalogs, and a test compares them.\nAt the prompt the same is `SELECT * FROM crm.help()`, `\\df+ shop.*` and `\\d+ shop.purchase`.\n\n| page | types | operators | functions | aggregates | tables | views | verbs |\n|---|---:|---:|---:|---:|---:|---:|---:|'
UNION ALL
SELECT 'README', 1, to_char(t.position, 'FM00'), 0, format('| [%s](%s.md) | %s | %s | %s | %s | %s | %s | %s |', t.title, t.topic,
       nullif(count(*) FILTER (WHERE kind IN ('type', 'domain')), 0), nullif(count(*) FILTER (WHERE kind = 'operator'), 0), nullif(count(*) FILTER (WHERE layer = 'kit' AND kind IN ('function', 'procedure', 'trigger function')), 0),
       nullif(count(*) FILTER (WHERE kind = 'aggregate'), 0), nullif(count(*) FILTER (WHERE kind = 'table'), 0), nullif(count(*) FILTER (WHERE kind = 'view'), 0),
       nullif(count(*) FILTER (WHERE layer = 'store' AND kind = 'verb'), 0))
FROM topic t JOIN item i USING (topic) GROUP BY t.topic, t.title, t.position
UNION ALL
SELECT 'README', 1, '99', 0, '| [Privileges](access.md), who may do what |  |  |  |  |  |  |  |'
UNION ALL
SELECT 'README', 2, '', 0, E'\n## Names\n\n| | |\n|---|---|'
UNION ALL
SELECT 'README', 3, initial, 0, format('| %s | %s |', initial, string_agg(format('[%s](%s.md)', name, topic), ' · ' ORDER BY name COLLATE "C", topic COLLATE "C"))
FROM (SELECT DISTINCT upper(left(name, 1)) AS initial, name, topic FROM item WHERE kind IN ('function', 'verb', 'procedure', 'aggregate', 'type', 'domain', 'table', 'view')) i GROUP BY initial;

SELECT CASE WHEN part = 0 THEN '@@ ' || topic || E'.md\n' ELSE '' END || content
FROM page JOIN topic USING (topic) ORDER BY topic.position, part, sort, n, content COLLATE "C";
