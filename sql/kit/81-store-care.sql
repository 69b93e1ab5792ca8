-- Checking, repairing and upgrading stores.

CREATE FUNCTION is_shard(relation regclass) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION is_shard(regclass) IS 'whether this table is a shard, or a copy, of one that Citus distributes: a trigger asks it of TG_RELID';

CREATE FUNCTION table_name(relation regclass) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION table_name(regclass) IS 'the name of a table, of a shard that of the table that Citus distributes: a trigger asks it of TG_RELID, since TG_TABLE_NAME is the shard''s on a shard';

CREATE FUNCTION store_objects(name text) RETURNS SETOF text
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH schema AS (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname = store_objects.name)
    SELECT format('%s %I', CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'view' WHEN 'S' THEN 'sequence'
                                          WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' WHEN 'c' THEN 'type' ELSE 'table' END, c.relname)
    FROM pg_catalog.pg_class c JOIN schema ON c.relnamespace = schema.oid
    WHERE NOT c.relispartition AND c.relkind <> 't'
      -- A store over several nodes has copies of some tables here, under other numbers after they were moved.
      AND NOT crm.is_shard(coalesce((SELECT i.indrelid FROM pg_catalog.pg_index i WHERE i.indexrelid = c.oid), c.oid))
    UNION ALL
    SELECT format('column %I.%I %s', c.relname, a.attname, replace(pg_catalog.format_type(a.atttypid, a.atttypmod), format('%I.', store_objects.name), ''))
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'v', 'm', 'c') AND NOT c.relispartition
    JOIN schema ON c.relnamespace = schema.oid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND NOT crm.is_shard(c.oid)
    UNION ALL
    SELECT format('constraint %I on %I', k.conname, c.relname)
    FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid AND NOT c.relispartition
    JOIN schema ON c.relnamespace = schema.oid
    -- A key to a partitioned table has a child for each partition of that.
    WHERE k.conparentid = 0 AND NOT crm.is_shard(c.oid)
    UNION ALL
    SELECT format('trigger %I on %I is %s', t.tgname, c.relname,
                  CASE t.tgenabled WHEN 'O' THEN 'enabled' WHEN 'A' THEN 'always' WHEN 'R' THEN 'replica' ELSE 'disabled' END)
    FROM pg_catalog.pg_trigger t
    JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid AND NOT c.relispartition
    JOIN schema ON c.relnamespace = schema.oid
    WHERE NOT t.tgisinternal AND NOT crm.is_shard(c.oid)
    UNION ALL
    SELECT format('routine %I(%s)%s', p.proname, replace(pg_catalog.pg_get_function_identity_arguments(p.oid), format('%I.', store_objects.name), ''),
                  CASE WHEN p.prosecdef THEN ' security definer' ELSE '' END)
    FROM pg_catalog.pg_proc p JOIN schema ON p.pronamespace = schema.oid
    WHERE p.proname <> 'store_manifest';
END;
COMMENT ON FUNCTION store_objects(text) IS 'the objects of a schema in words, without the schema''s name: what adopt_store and health compare';

CREATE FUNCTION write_manifest(name text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- As a function it travels with the schema, whatever becomes of the data.
    EXECUTE format('CREATE OR REPLACE FUNCTION %I.store_manifest() RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS %L',
                   name, format('SELECT %L::pg_catalog.text[]', (SELECT array_agg(o ORDER BY o) FROM crm.store_objects(name) o)));
    EXECUTE format('COMMENT ON FUNCTION %I.store_manifest() IS %L', name, 'the objects that crm made in this store');
END
$$;
COMMENT ON FUNCTION write_manifest(text) IS 'records what a store consists of, in <store>.store_manifest(); run by create_store and upgrade_store';

CREATE FUNCTION store_findings(name text)
RETURNS TABLE (finding text, object text, hint text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    expected text[];
    present text[];
    mixed text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                   WHERE n.nspname = store_findings.name AND p.proname = 'store_manifest' AND p.pronargs = 0) THEN
        RETURN QUERY SELECT 'missing', 'routine store_manifest()', 'The schema was not restored whole.';
        RETURN;
    END IF;
    EXECUTE format('SELECT %I.store_manifest()', name) INTO expected;
    SELECT array_agg(o) INTO present FROM crm.store_objects(name) o;

    RETURN QUERY
        SELECT 'trigger state', e, format('SELECT crm.repair_triggers(%L) sets it back.', store_findings.name)
        FROM unnest(expected) e
        WHERE e LIKE 'trigger %' AND e <> ALL (present)
          AND EXISTS (SELECT FROM unnest(present) p WHERE split_part(p, ' is ', 1) = split_part(e, ' is ', 1) AND p LIKE 'trigger %')
        ORDER BY e;
    RETURN QUERY
        SELECT 'missing', e, 'Restore the whole schema, or make the object again.'
        FROM unnest(expected) e
        WHERE e <> ALL (present)
          AND NOT (e LIKE 'trigger %' AND EXISTS (SELECT FROM unnest(present) p
                   WHERE split_part(p, ' is ', 1) = split_part(e, ' is ', 1) AND p LIKE 'trigger %'))
        ORDER BY e;
    RETURN QUERY
        SELECT 'missing', format('trigger %I on %s', g.tgname, p.relid::regclass), format('SELECT crm.partition_triggers(%L)', w.oid::regclass)
        FROM pg_class w
        JOIN pg_namespace n ON n.oid = w.relnamespace
        JOIN pg_trigger g ON g.tgrelid = w.oid AND NOT g.tgisinternal AND g.tgtype::integer & 1 = 0
        CROSS JOIN LATERAL pg_partition_tree(w.oid) p
        JOIN unnest(expected) e ON split_part(e, ' is ', 1) = format('trigger %I on %I', g.tgname, w.relname)
        WHERE n.nspname = store_findings.name AND w.relkind = 'p' AND NOT w.relispartition AND p.parentrelid IS NOT NULL
          AND NOT EXISTS (SELECT FROM pg_trigger x WHERE x.tgrelid = p.relid AND x.tgname = g.tgname)
        ORDER BY 2;
    RETURN QUERY
        SELECT 'search_path', p.oid::regprocedure::text, format('ALTER ROUTINE %s SET search_path = %I, crm, pg_temp', p.oid::regprocedure, store_findings.name)
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = store_findings.name
          AND EXISTS (SELECT FROM unnest(p.proconfig) c
                      WHERE c LIKE 'search\_path=%, crm, pg\_temp' AND c <> format('search_path=%I, crm, pg_temp', store_findings.name));
    SELECT string_agg(DISTINCT format('%s of %s', c.relname, pg_get_userbyid(c.relowner)), ', ') INTO mixed
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = store_findings.name AND c.relkind IN ('r', 'p') AND c.relowner <> n.nspowner;
    IF mixed IS NOT NULL THEN
        RETURN QUERY SELECT 'owner', mixed, 'Give all tables of a store to the owner of its schema.';
    END IF;
END
$$;
COMMENT ON FUNCTION store_findings(text) IS 'what in a store is not as crm made it: missing objects, trigger states, unpinned functions, mixed owners; no row when all is well';

CREATE FUNCTION adopt_store(name text)
RETURNS TABLE (finding text, object text, hint text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    routine regprocedure;
    version text;
BEGIN
    PERFORM crm.require_store(name);
    EXECUTE format('SELECT store_version FROM %I.settings', name) INTO version;
    IF version IS NULL THEN
        RAISE EXCEPTION 'store "%" has no row in settings', name
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Restore the data of the store first.';
    END IF;
    IF string_to_array(version, '.')::int[] > string_to_array(crm.library_version(), '.')::int[] THEN
        RAISE EXCEPTION 'store "%" has version %, the extension is %', name, version, crm.library_version()
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Install a newer crm and run ALTER EXTENSION crm UPDATE.';
    END IF;
    -- Restored under another name: the functions still point at the old one.
    FOR routine IN
        SELECT p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = adopt_store.name
          AND EXISTS (SELECT FROM unnest(p.proconfig) c
                      WHERE c LIKE 'search\_path=%, crm, pg\_temp' AND c <> format('search_path=%I, crm, pg_temp', adopt_store.name))
    LOOP
        EXECUTE format('ALTER ROUTINE %s SET search_path = %I, crm, pg_temp', routine, name);
    END LOOP;
    PERFORM crm.repair_triggers(name);
    PERFORM crm.adopt_masks(name);
    RETURN QUERY SELECT f.finding, f.object, f.hint FROM crm.store_findings(name) f;
END
$$;
COMMENT ON FUNCTION adopt_store(text) IS 'takes over a restored store: pins search_path, sets trigger states, and lists what is missing; no row when the store is whole. Errors: 55000 when settings is empty or newer than the extension';

CREATE FUNCTION repair_triggers(store text) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    expected text[];
    t record;
    repaired integer := 0;
BEGIN
    PERFORM crm.require_store(store);
    EXECUTE format('SELECT %I.store_manifest()', store) INTO expected;
    IF crm.is_distributed(format('%I.settings', store)::regclass) THEN
        PERFORM set_config('citus.enable_unsafe_triggers', 'on', true), set_config('citus.multi_shard_modify_mode', 'sequential', true);
    END IF;
    FOR t IN
        SELECT c.oid::regclass AS relation, g.tgname AS name, split_part(e, ' is ', 2) AS state
        FROM pg_trigger g
        JOIN pg_class c ON c.oid = g.tgrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        -- A partition's triggers are as those of the whole.
        JOIN pg_class w ON w.oid = CASE WHEN c.relispartition THEN pg_partition_root(c.oid) ELSE c.oid END
        JOIN unnest(expected) e ON split_part(e, ' is ', 1) = format('trigger %I on %I', g.tgname, w.relname)
        WHERE n.nspname = store AND NOT g.tgisinternal
          AND split_part(e, ' is ', 2) <> CASE g.tgenabled WHEN 'O' THEN 'enabled' WHEN 'A' THEN 'always' WHEN 'R' THEN 'replica' ELSE 'disabled' END
    LOOP
        EXECUTE format('ALTER TABLE %s %s TRIGGER %I', t.relation,
                       CASE t.state WHEN 'enabled' THEN 'ENABLE' WHEN 'always' THEN 'ENABLE ALWAYS' WHEN 'replica' THEN 'ENABLE REPLICA' ELSE 'DISABLE' END,
                       t.name);
        repaired := repaired + 1;
    END LOOP;
    RETURN repaired;
END
$$;
COMMENT ON FUNCTION repair_triggers(text) IS 'sets the triggers of a store back to their shipped states (pg_restore --disable-triggers changes them silently); the number changed';

CREATE FUNCTION health(store text)
RETURNS TABLE (subject text, state text, detail text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    version text;
    part name;
    findings bigint;
BEGIN
    PERFORM crm.require_store(store);
    EXECUTE format('SELECT store_version FROM %I.settings', store) INTO version;
    RETURN QUERY SELECT 'version', CASE WHEN version = crm.library_version() THEN 'ok' ELSE 'attention' END,
        CASE WHEN version = crm.library_version() THEN version
             ELSE format('store %s, extension %s: SELECT crm.upgrade_store(%L)', coalesce(version, 'empty'), crm.library_version(), store) END;
    SELECT count(*) INTO findings FROM crm.store_findings(store);
    RETURN QUERY SELECT 'objects', CASE WHEN findings = 0 THEN 'ok' ELSE 'attention' END,
        CASE WHEN findings = 0 THEN 'all there, triggers as shipped'
             ELSE (SELECT string_agg(f.finding || ': ' || f.object, '; ') FROM (SELECT * FROM crm.store_findings(store) LIMIT 5) f) END;
    RETURN QUERY EXECUTE format(
        'SELECT ''job '' || job, CASE WHEN state = ''running'' AND updated_at < now() - interval ''1 hour'' THEN ''attention'' ELSE ''ok'' END,
                format(''%%s, %%s of %%s, %%s'', state, done, coalesce(total::text, ''?''), updated_at) FROM %I.job_progress ORDER BY job', store);
    -- Every part of a store adds a function health_<part>().
    FOR part IN
        SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = store AND p.proname LIKE 'health\_%' AND p.pronargs = 0 AND has_function_privilege(p.oid, 'EXECUTE')
        ORDER BY 1
    LOOP
        RETURN QUERY EXECUTE format('SELECT h.subject, h.state, h.detail FROM %I.%I() h', store, part);
    END LOOP;
END
$$;
COMMENT ON FUNCTION health(text) IS 'how a store is: one row a subject, state ok or attention, and what to do';

CREATE FUNCTION upgrade_store(name text) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    version text;
    step record;
    wanted text := crm.library_version();
    grantee record;
    applied text := '';
BEGIN
    PERFORM crm.require_store(name);
    IF crm.is_distributed(format('%I.settings', name)::regclass) THEN
        RAISE EXCEPTION 'store "%" is distributed and is not upgraded', name
            USING ERRCODE = 'feature_not_supported', HINT = 'doc/citus.md tells what upgrades would undo.';
    END IF;
    PERFORM set_config('lock_timeout', '5s', true);
    EXECUTE format('SELECT store_version FROM %I.settings FOR UPDATE', name) INTO version;
    IF version IS NULL THEN
        RAISE EXCEPTION 'store "%" has no row in settings', name
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Restore the data of the store first.';
    END IF;
    IF string_to_array(version, '.')::int[] > string_to_array(wanted, '.')::int[] THEN
        RAISE EXCEPTION 'store "%" has version %, the extension is %', name, version, wanted
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Install a newer crm and run ALTER EXTENSION crm UPDATE.';
    END IF;
    WHILE version <> wanted LOOP
        SELECT s.to_version, s.script INTO step FROM crm.store_upgrade_steps() s WHERE s.from_version = version;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'no upgrade step leads from version % of store "%"', version, name
                USING ERRCODE = 'object_not_in_prerequisite_state', HINT = format('Versions lead step by step up to %s.', wanted);
        END IF;
        PERFORM set_config('search_path', format('%I, crm, pg_temp', name), true);
        PERFORM crm.run_script(step.script);
        PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
        version := step.to_version;
        EXECUTE format('UPDATE %I.settings SET store_version = %L', name, version);
        applied := applied || ' ' || version;
    END LOOP;
    IF applied <> '' THEN
        PERFORM crm.write_manifest(name);
        FOR grantee IN EXECUTE format('SELECT role, kind FROM %I.access_grantee g WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = g.role)', name)
        LOOP
            PERFORM crm.grant_access(name, grantee.role, grantee.kind);
        END LOOP;
        RETURN 'upgraded to' || applied;
    END IF;
    RETURN format('store %s is at version %s', name, version);
END
$$;
COMMENT ON FUNCTION upgrade_store(text) IS
'brings a store to the version of the extension, step by step in one transaction under lock_timeout 5 s, and gives the privileges of granted kinds again; says what was done. What the user built on a changed object makes it fail with PostgreSQL''s own message that names it, and nothing is changed';
