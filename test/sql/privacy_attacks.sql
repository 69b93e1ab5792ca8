-- Every way that was found around masks elsewhere, tried by every access kind: refused, or masked.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET client_min_messages = warning;
SELECT crm.create_store('t_attack');
SET search_path = t_attack, public;
INSERT INTO customer (customer_id) SELECT generate_series(1, 40);
INSERT INTO contact (customer_id, name, phone, email, id_number, address)
    SELECT i, '欧阳娜娜', '13812341234', 'secret@example.com', '11010519491231002X', '北京市海淀区马连洼街道289号' FROM generate_series(1, 40) i;
INSERT INTO note (customer_id, body) VALUES (1, '电话 13812341234');
INSERT INTO identity (channel, external_id, customer_id) VALUES ('wechat', 'openid-of-nana', 1);
ANALYZE contact; ANALYZE note; ANALYZE identity;
CREATE SCHEMA t_scratch;
GRANT ALL ON SCHEMA t_scratch TO PUBLIC;
-- The owner's own views, never granted; one of them runs as who asks.
CREATE VIEW t_scratch.owners AS SELECT * FROM contact;
CREATE VIEW t_scratch.askers WITH (security_invoker) AS SELECT * FROM contact;
GRANT SELECT ON t_scratch.askers TO PUBLIC;

CREATE TABLE t_scratch.attack (n int GENERATED ALWAYS AS IDENTITY, name text, statements text[]);
INSERT INTO t_scratch.attack (name, statements) VALUES
    ('select', '{SELECT phone FROM contact}'),
    ('table', '{TABLE contact}'),
    ('whole row', '{SELECT c FROM contact c}'),
    ('row_to_json', '{SELECT row_to_json(c) FROM contact c}'),
    ('common table expression', '{WITH w AS (SELECT phone FROM contact) SELECT * FROM w}'),
    ('sublink', '{SELECT (SELECT phone FROM contact LIMIT 1)}'),
    ('where probe', ARRAY['SELECT count(*) FROM contact WHERE phone = ''13812341234''']),
    ('order by', '{SELECT customer_id FROM contact ORDER BY phone}'),
    ('group by', '{SELECT count(*) FROM contact GROUP BY phone}'),
    ('using join', '{SELECT 1 FROM contact JOIN contact d USING (phone)}'),
    ('tablesample', '{SELECT phone FROM contact TABLESAMPLE SYSTEM (100)}'),
    ('for update', '{SELECT phone FROM contact FOR UPDATE}'),
    ('ctid', '{SELECT ctid FROM contact}'),
    ('cursor', '{DECLARE c CURSOR FOR SELECT phone FROM contact, FETCH 1 FROM c}'),
    ('create table as', '{CREATE TEMP TABLE copied AS SELECT * FROM contact, TABLE copied}'),
    ('select into', '{SELECT phone INTO TEMP copied FROM contact, TABLE copied}'),
    ('materialized view', '{CREATE MATERIALIZED VIEW t_scratch.m AS SELECT phone FROM t_attack.contact, TABLE t_scratch.m}'),
    ('own view', '{CREATE TEMP VIEW v AS SELECT phone FROM contact, TABLE v}'),
    ('own invoker view', '{CREATE TEMP VIEW v WITH (security_invoker) AS SELECT phone FROM contact, TABLE v}'),
    ('owner''s view', '{SELECT phone FROM t_scratch.owners}'),
    ('owner''s invoker view', '{SELECT phone FROM t_scratch.askers}'),
    ('begin atomic', ARRAY['CREATE FUNCTION t_scratch.f() RETURNS SETOF text BEGIN ATOMIC SELECT phone FROM t_attack.contact; END', 'SELECT t_scratch.f()']),
    ('sql function', ARRAY['CREATE FUNCTION t_scratch.f() RETURNS SETOF text LANGUAGE sql AS $f$ SELECT phone FROM t_attack.contact $f$', 'SELECT t_scratch.f()']),
    ('security definer', ARRAY['CREATE FUNCTION t_scratch.f() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER AS $f$ SELECT phone FROM t_attack.contact $f$', 'SELECT t_scratch.f()']),
    ('plpgsql', ARRAY['DO $f$ BEGIN RAISE EXCEPTION ''%'', (SELECT phone FROM t_attack.contact LIMIT 1); END $f$']),
    ('update returning', '{UPDATE contact SET wechat = ''x'' WHERE customer_id = 1 RETURNING phone}'),
    ('update from itself', '{UPDATE contact SET gender = phone}'),
    ('update where', ARRAY['UPDATE contact SET wechat = ''x'' WHERE phone = ''13812341234''']),
    ('delete where', ARRAY['DELETE FROM contact WHERE phone = ''13812341234''']),
    ('on conflict', ARRAY['INSERT INTO contact (customer_id) VALUES (1) ON CONFLICT (customer_id) DO UPDATE SET gender = contact.phone RETURNING gender']),
    ('merge', '{MERGE INTO contact c USING customer s ON s.customer_id = c.customer_id WHEN MATCHED THEN UPDATE SET gender = c.phone}'),
    ('unique error', '{INSERT INTO contact (customer_id) VALUES (1)}'),
    ('check error', '{UPDATE contact SET gender = ''?'' WHERE customer_id = 1}'),
    ('foreign key', '{CREATE TABLE t_scratch.k (phone text REFERENCES t_attack.contact (phone))}'),
    ('inherit', '{CREATE TABLE t_scratch.k () INHERITS (t_attack.contact)}'),
    ('trigger', '{CREATE TRIGGER t BEFORE UPDATE ON contact FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()}'),
    ('rule', '{CREATE RULE r AS ON UPDATE TO contact DO ALSO SELECT OLD.phone}'),
    ('policy', '{CREATE POLICY p ON contact}'),
    ('statistics object', '{CREATE STATISTICS t_scratch.s ON phone\, email FROM contact}'),
    ('publication', '{CREATE PUBLICATION t_attack_pub FOR TABLE contact}'),
    ('grant oneself', '{GRANT SELECT ON contact TO PUBLIC, SELECT phone FROM contact}'),
    ('alter owner', '{ALTER TABLE contact OWNER TO CURRENT_USER}'),
    ('pg_stats', ARRAY['SELECT string_agg(concat(most_common_vals, histogram_bounds), '' '' ORDER BY tablename, attname) FROM pg_stats WHERE schemaname = ''t_attack'' AND tablename IN (''contact'', ''note'', ''identity'')']),
    ('pg_statistic', '{SELECT stavalues1 FROM pg_statistic WHERE starelid = ''contact''::regclass}'),
    ('explain', ARRAY['EXPLAIN (ANALYZE, VERBOSE, COSTS OFF) SELECT phone FROM contact']),
    ('table_to_xml', '{SELECT table_to_xml(''contact''\, true\, false\, '''')}'),
    ('query_to_xml', '{SELECT query_to_xml(''SELECT * FROM contact''\, true\, false\, '''')}'),
    ('schema_to_xml', '{SELECT schema_to_xml(''t_attack''\, true\, false\, '''')}'),
    ('copy to a file', '{COPY contact TO ''/tmp/t_attack''}'),
    ('copy to a program', '{COPY contact TO PROGRAM ''cat''}'),
    ('masked view', '{SELECT v FROM contact_masked v}'),
    ('probe of the masked view', ARRAY['SELECT count(*) FROM contact_masked WHERE phone = ''13812341234''']),
    ('table from the masked view', '{CREATE TEMP TABLE copied AS SELECT * FROM contact_masked, TABLE copied}'),
    ('leaky function on the masked view', ARRAY['CREATE FUNCTION t_scratch.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $f$ BEGIN RAISE EXCEPTION ''saw %'', $1; END $f$',
                                                'SELECT phone FROM contact_masked WHERE t_scratch.leak(phone)']),
    ('error in a cast of the masked view', '{SELECT phone::int FROM contact_masked}'),
    ('note', '{SELECT body FROM note}'),
    ('masked note', '{SELECT body FROM note_masked}'),
    ('identity', '{SELECT external_id FROM identity}'),
    ('masked identity', '{SELECT external_id FROM identity_masked}'),
    ('clear_value', '{SELECT clear_value(1\, ''phone'')}'),
    ('count_reveal', '{SELECT count_reveal(''postgres'')}'),
    ('erase_rows', ARRAY['SELECT erase_rows(''{1}'', ''{1}'')']),
    ('change a log', '{UPDATE contact_access SET purpose = ''x''}'),
    ('forge a policy', ARRAY['INSERT INTO crm.masked_table (relid, readers) VALUES (''contact'', ARRAY[current_user])']),
    ('unmask', '{SELECT crm.unmask_column(''contact''\, ''phone'')}'),
    ('drop the masks', '{SELECT crm.drop_masks(''contact'')}'),
    ('delete the policy', ARRAY['WITH d AS (DELETE FROM crm.mask_policy WHERE relid = ''t_attack.contact''::regclass RETURNING 1) SELECT ''deleted '' || count(*) FROM d']);

CREATE FUNCTION t_scratch.try(role name, attack t_scratch.attack) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    statement text;
    got record;
    outcome text := 'nothing';
    message text;
    detail text;
    hint text;
BEGIN
    BEGIN
        EXECUTE format('SET LOCAL ROLE %I', role);
        FOREACH statement IN ARRAY attack.statements LOOP
            IF statement ~* '^(select|table|with|fetch|update.*returning|insert.*returning|explain)' AND statement !~* ' into temp ' THEN
                FOR got IN EXECUTE statement LOOP
                    outcome := CASE WHEN got::text ~ '13812341234|secret@|11010519491231002X|娜|马连洼|openid-of' THEN 'LEAK ' || left(got::text, 200)
                                    WHEN got::text ~ '138\*' THEN 'masked' ELSE left(got::text, 40) END;
                    EXIT WHEN outcome LIKE 'LEAK%';
                END LOOP;
            ELSE
                EXECUTE statement;
            END IF;
        END LOOP;
        RAISE EXCEPTION USING ERRCODE = 'XX999', MESSAGE = outcome;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
        outcome := CASE WHEN SQLSTATE = 'XX999' THEN message
                        WHEN concat(message, detail, hint) ~ '13812341234|secret@|11010519491231002X|娜|马连洼|openid-of' THEN 'LEAK in error: ' || concat(message, detail, hint)
                        WHEN message LIKE 'saw %' THEN message
                        WHEN SQLSTATE = '42501' THEN 'denied'
                        ELSE message END;
    END;
    RETURN outcome;
END $$;

CREATE TABLE t_scratch.outcome AS SELECT NULL::text AS kind, a.n, a.name, NULL::text AS outcome FROM t_scratch.attack a LIMIT 0;
DO $$
DECLARE
    k text;
    r name;
BEGIN
    FOREACH k IN ARRAY '{owner,agent,marketer,analyst,auditor,app,nobody}'::text[] LOOP
        r := 'crm_t_attack_' || k;
        EXECUTE format('CREATE ROLE %I', r);
        IF k <> 'nobody' THEN
            PERFORM crm.grant_access('t_attack', r, k);
        ELSE
            EXECUTE format('GRANT USAGE ON SCHEMA t_attack TO %I', r);
        END IF;
        INSERT INTO t_scratch.outcome SELECT k, a.n, a.name, t_scratch.try(r, a) FROM t_scratch.attack a ORDER BY a.n;
    END LOOP;
    -- A member of a group has what the group has, no more.
    CREATE ROLE crm_t_attack_member;
    GRANT crm_t_attack_agent TO crm_t_attack_member;
    INSERT INTO t_scratch.outcome SELECT 'member of agent', a.n, a.name, t_scratch.try('crm_t_attack_member', a) FROM t_scratch.attack a ORDER BY a.n;
END $$;
-- Nothing leaks. Kinds with the same outcome share a line.
SELECT count(*) AS tried, count(*) FILTER (WHERE outcome LIKE '%LEAK%') AS leaks FROM t_scratch.outcome;
\pset format unaligned
\pset tuples_only on
SELECT name, string_agg(outcome || CASE WHEN kinds = 8 THEN '' ELSE ' (' || who || ')' END, '; ' ORDER BY outcome)
FROM (SELECT n, name, outcome, count(*) AS kinds, string_agg(kind, ', ' ORDER BY kind) AS who FROM t_scratch.outcome GROUP BY n, name, outcome) o
GROUP BY n, name ORDER BY n;
\pset format aligned
\pset tuples_only off

-- At the top level: COPY to the client, and plans made before the role changed.
PREPARE early AS SELECT phone FROM t_attack.contact LIMIT 1;
EXECUTE early;
SET ROLE crm_t_attack_agent;
EXECUTE early;
COPY contact TO STDOUT;
COPY contact (phone) TO STDOUT;
COPY (SELECT phone FROM contact) TO STDOUT;
COPY (SELECT phone, name FROM contact_masked LIMIT 1) TO STDOUT;
-- Tables of one's own cannot stand in for the store's.
CREATE TEMP TABLE reveal_limit AS SELECT 'crm_t_attack_agent'::name AS role, 1000000 AS per_hour, 1000000 AS per_day, 'x'::name AS counter;
CREATE TEMP TABLE settings AS SELECT true AS singleton, 1000000 AS reveal_per_hour;
CREATE FUNCTION t_scratch.eq(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'planted operator called'; END $$;
CREATE OPERATOR t_scratch.= (LEFTARG = text, RIGHTARG = text, FUNCTION = t_scratch.eq);
CREATE FUNCTION t_scratch.btrim(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'planted function called'; END $$;
SET search_path = t_scratch, pg_temp, t_attack, pg_catalog;
SELECT t_attack.reveal(1, 'phone', 'planted');
SELECT customer_id, phone FROM t_attack.search_contact('13812341234', 1);
SELECT t_attack.contact_refusal(1, 'sms', 'service', '2026-06-01 12:00+08');
RESET search_path;
RESET ROLE;
DEALLOCATE early;
DROP TABLE pg_temp.reveal_limit, pg_temp.settings;
SELECT crm.drop_store('t_attack', 't_attack');
DROP SCHEMA t_scratch CASCADE;
DO $$ DECLARE r name; BEGIN
    FOR r IN SELECT rolname FROM pg_roles WHERE rolname LIKE 'crm\_t\_attack\_%' LOOP EXECUTE format('DROP OWNED BY %I; DROP ROLE %I', r, r); END LOOP;
END $$;
