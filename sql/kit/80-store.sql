-- Making, listing, renaming and dropping stores. PL/pgSQL, since this is administration.

CREATE FUNCTION stores()
RETURNS TABLE (name name, owner name, version text, time_zone text, currency text, language text, created_at timestamptz)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s record;
BEGIN
    FOR s IN
        SELECT n.nspname, c.oid, pg_get_userbyid(n.nspowner) AS owner
        FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'store_version' AND NOT a.attisdropped
        WHERE c.relname = 'settings' AND c.relkind = 'r'
        ORDER BY n.nspname
    LOOP
        name := s.nspname;
        owner := s.owner;
        IF has_schema_privilege(s.nspname, 'USAGE') AND has_table_privilege(s.oid, 'SELECT') THEN
            EXECUTE format('SELECT store_version, time_zone, currency, language, created_at FROM %I.settings', s.nspname)
                INTO version, time_zone, currency, language, created_at;
        ELSE
            version := NULL; time_zone := NULL; currency := NULL; language := NULL; created_at := NULL;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION stores() IS 'the schemas of this database that hold a store; settings are null where the caller may not read them';

CREATE VIEW store AS SELECT name, owner, version, time_zone, currency, language, created_at FROM crm.stores();
COMMENT ON VIEW store IS 'the stores of this database';
GRANT SELECT ON store TO PUBLIC;

CREATE FUNCTION check_store_name(name text) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF name IS NULL OR name = '' OR octet_length(name) > 50 THEN
        RAISE EXCEPTION 'invalid store name "%"', name
            USING ERRCODE = 'invalid_name', HINT = 'A store name has 1 to 50 bytes.';
    END IF;
    IF name ~ '^pg_' OR name IN ('crm', 'public', 'information_schema') THEN
        RAISE EXCEPTION 'store name "%" is reserved', name
            USING ERRCODE = 'reserved_name', HINT = 'Choose a schema name of your own, such as shop.';
    END IF;
END
$$;
COMMENT ON FUNCTION check_store_name(text) IS 'raises unless a store may have this name';

CREATE FUNCTION require_store(name text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM crm.stores() s WHERE s.name = require_store.name) THEN
        RAISE EXCEPTION 'store "%" does not exist', name
            USING ERRCODE = 'invalid_schema_name',
                  HINT = 'SELECT name FROM crm.store lists the stores; crm.create_store() makes one.';
    END IF;
END
$$;
COMMENT ON FUNCTION require_store(text) IS 'raises unless a store of this name exists';

CREATE FUNCTION run_script(script text) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    part pg_catalog.text;
BEGIN
    -- File by file, so that an error shows the file that it is in.
    FOREACH part IN ARRAY pg_catalog.regexp_split_to_array(script, '\n(?=-- sql/[a-z]+/[0-9a-z-]+\.sql\n)')
    LOOP
        IF part OPERATOR(pg_catalog.<>) '' THEN
            EXECUTE part;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION run_script(text) IS 'runs the parts of a store script in the caller''s search_path';

CREATE FUNCTION require_sealing() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    denied text;
BEGIN
    SELECT string_agg(f::regprocedure::text, ', ' ORDER BY n) INTO denied
    FROM unnest('{crm.unseal(crm.sealed),"crm.unseal(crm.sealed,text)","crm.unseal(crm.sealed,text,text)",crm.clear(crm.sealed),crm.reseal(crm.sealed),"crm.blind_index(text,text)",
                  "crm.blind_indexes(text,text)",crm.keyring_keys(),crm.shred_key(text),crm.has_key(text)}'::text[]) WITH ORDINALITY u (f, n)
    WHERE NOT has_function_privilege(f::regprocedure, 'EXECUTE');
    IF denied IS NOT NULL THEN
        RAISE EXCEPTION 'the owner of a sealed store must be able to open what it keeps'
            USING ERRCODE = 'insufficient_privilege', DETAIL = format('Role "%s" may not execute %s.', CURRENT_USER, denied),
                  HINT = format('GRANT EXECUTE ON FUNCTION %s TO %I', denied, CURRENT_USER);
    END IF;
    -- Each key that is needed is asked for once: without one nothing could be stored.
    PERFORM crm.unseal(crm.seal('', 'crm')), crm.blind_index('', 'crm');
END
$$;
COMMENT ON FUNCTION require_sealing() IS 'raises unless the current role can seal, open and index values. Errors: CV101 no keyring or no key for a purpose, 42501';

CREATE FUNCTION is_partitioned(relation regclass) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION is_partitioned(regclass) IS 'whether this is a partitioned table: what differs in a store made with partitions asks it of purchase or points_entry';

CREATE FUNCTION partition_triggers(relation regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    t record;
    whole text := (SELECT format(' ON %I.%I ', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation);
BEGIN
    FOR t IN
        SELECT p.relid AS part, g.tgname AS name, pg_get_triggerdef(g.oid) AS definition, g.tgenabled AS state,
               format(' ON %I.%I ', n.nspname, c.relname) AS place
        FROM pg_partition_tree(relation) p
        JOIN pg_class c ON c.oid = p.relid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        CROSS JOIN pg_trigger g
        WHERE p.parentrelid IS NOT NULL AND g.tgrelid = relation AND NOT g.tgisinternal AND g.tgtype::integer & 1 = 0
          AND NOT EXISTS (SELECT FROM pg_trigger x WHERE x.tgrelid = p.relid AND x.tgname = g.tgname)
        ORDER BY c.relname, g.tgname
    LOOP
        EXECUTE overlay(t.definition PLACING t.place FROM strpos(t.definition, whole) FOR length(whole));
        EXECUTE format('ALTER TABLE %s %s TRIGGER %I', t.part,
                       CASE t.state WHEN 'O' THEN 'ENABLE' WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'DISABLE' END, t.name);
    END LOOP;
END
$$;
COMMENT ON FUNCTION partition_triggers(regclass) IS
'gives the partitions of a table its triggers of statements, which PostgreSQL gives them only for rows: a statement that names a partition fires those of the partition. For a partition that is attached later, too';

CREATE FUNCTION partition_script(script text, partitions integer) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    by_customer CONSTANT text := E') PARTITION BY HASH (customer_id);';
    -- What follows an order by its key is split as orders are, since its rows go where the order goes.
    tables CONSTANT text[] := '{points_entry,purchase,purchase_item,purchase_refund,order_agent}';
    change record;
BEGIN
    FOR change IN
        SELECT * FROM (VALUES
            (E'UNIQUE (customer_id, reference, program, kind, source)\n);', E'UNIQUE (customer_id, reference, program, kind, source)\n' || by_customer),
            -- One name for what ON CONFLICT rests on, in both kinds of store.
            (E'PRIMARY KEY (customer_id, channel, order_no),\n    CONSTRAINT purchase_order_no UNIQUE (channel, order_no),',
             'CONSTRAINT purchase_order_no PRIMARY KEY (customer_id, channel, order_no),'),
            (E'ordered_at, paid_at, completed_at, currency, currency_rate))\n);', E'ordered_at, paid_at, completed_at, currency, currency_rate))\n' || by_customer),
            (E'REFERENCES purchase ON UPDATE CASCADE ON DELETE CASCADE\n);', E'REFERENCES purchase ON UPDATE CASCADE ON DELETE CASCADE\n' || by_customer),
            (E'CREATE VIEW purchase_number WITH (security_invoker = true) AS\nSELECT p.channel, p.order_no, p.customer_id FROM purchase p;\nCOMMENT ON VIEW',
             E'CREATE TABLE purchase_number (\n    channel text,\n    order_no text,\n    customer_id bigint NOT NULL,\n    PRIMARY KEY (channel, order_no)\n);\nCOMMENT ON TABLE')) c (old, new)
    LOOP
        IF strpos(script, change.old) = 0 THEN
            RAISE EXCEPTION 'the script of a store has nothing like "%" to partition', change.old;
        END IF;
        script := replace(script, change.old, change.new);
    END LOOP;
    -- Behind everything, so that the partitions get the indexes and triggers of all parts.
    RETURN script || (
        SELECT string_agg(format(E'\nCREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS %s, REMAINDER %s);', format('%s_%s', t, i), t, partitions, i), '' ORDER BY n, i)
               || (SELECT string_agg(format(E'\nSELECT crm.partition_triggers(%L);', t), '') FROM unnest(tables) t)
        FROM unnest(tables) WITH ORDINALITY u (t, n), generate_series(0, partitions - 1) i);
END
$$;
COMMENT ON FUNCTION partition_script(text, integer) IS
'the script of a store whose points_entry, and purchase with what follows its key, are partitioned by hash of customer_id';

CREATE FUNCTION create_store(name text, seed boolean DEFAULT true, time_zone text DEFAULT 'Asia/Shanghai',
                             currency text DEFAULT 'CNY', language text DEFAULT 'zh', sealed boolean DEFAULT false,
                             partitions integer DEFAULT 0)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
SET check_function_bodies = on
AS $$
DECLARE
    script text := crm.store_script();
    propagation text := current_setting('citus.enable_ddl_propagation', true);
BEGIN
    PERFORM crm.check_store_name(name);
    IF EXISTS (SELECT FROM crm.stores() s WHERE s.name = create_store.name) THEN
        RAISE EXCEPTION 'store "%" already exists', name
            USING ERRCODE = 'duplicate_schema', HINT = 'Choose another name, or use the store that is there.';
    END IF;
    IF EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = create_store.name) THEN
        RAISE EXCEPTION 'schema "%" already exists', name
            USING ERRCODE = 'duplicate_schema', HINT = 'A store makes its own schema. A restored one is taken over by crm.adopt_store().';
    END IF;
    BEGIN
        PERFORM now() AT TIME ZONE create_store.time_zone;
    EXCEPTION WHEN invalid_parameter_value THEN
        RAISE EXCEPTION 'unknown time zone "%"', time_zone
            USING ERRCODE = 'invalid_parameter_value', HINT = 'SELECT name FROM pg_timezone_names lists them.';
    END;
    IF time_zone IS NULL OR currency IS NULL OR currency !~ '^[A-Z]{3}$' THEN
        RAISE EXCEPTION 'invalid currency "%"', currency
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the three letters of ISO 4217, such as CNY.';
    END IF;
    IF language IS NULL OR language NOT IN ('zh', 'en') THEN
        RAISE EXCEPTION 'invalid language "%"', language
            USING ERRCODE = 'invalid_parameter_value', HINT = 'The languages of a store are zh and en.';
    END IF;

    IF partitions IS NULL OR partitions NOT BETWEEN 0 AND 1024 THEN
        RAISE EXCEPTION 'invalid number of partitions %', partitions
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Ledger and orders have 1 to 1024 partitions, or 0 for none.';
    END IF;
    IF partitions > 0 THEN
        script := crm.partition_script(script, partitions);
    END IF;

    IF sealed THEN
        PERFORM crm.require_sealing();
    END IF;

    -- A store is made on one node; crm.distribute_store() takes it to the others.
    IF propagation IS NOT NULL THEN
        PERFORM set_config('citus.enable_ddl_propagation', 'off', true);
    END IF;
    EXECUTE format('CREATE SCHEMA %I', name);
    -- The script asks for this comment when it makes the tables, and a dump carries it.
    EXECUTE format('COMMENT ON SCHEMA %I IS %L', name, CASE WHEN sealed THEN 'a sealed store of the extension crm' ELSE 'a store of the extension crm' END);
    PERFORM set_config('search_path', format('%I, crm, pg_temp', name), true);
    PERFORM crm.run_script(script);
    IF seed THEN
        INSERT INTO settings (store_version, time_zone, currency, language)
        VALUES (crm.library_version(), create_store.time_zone, create_store.currency, create_store.language);
        PERFORM crm.run_script(crm.seed_script());
        -- A table never analysed is taken for ten pages; joined to itself that makes thousands of rows of one.
        ANALYZE settings;
    END IF;
    PERFORM crm.write_manifest(name);
    IF propagation IS NOT NULL THEN
        PERFORM set_config('citus.enable_ddl_propagation', propagation, true);
    END IF;
END
$$;
COMMENT ON FUNCTION create_store(text, boolean, text, text, text, boolean, integer) IS
'makes a store: a schema with the tables, views, functions and triggers of crm, owned by the caller, who needs CREATE on the database. seed => false leaves every table empty, for restores and replicas. sealed => true keeps names, phones, e-mail and postal addresses, WeChat names and ID numbers as crm.sealed, which takes a keyring and EXECUTE on the functions that open it. partitions => n splits points_entry, purchase, purchase_item, purchase_refund and order_agent into n tables each by hash of customer_id, and makes purchase_number a table that keeps order numbers unique. Errors: CV101 no keyring, 42501 the owner may not unseal, 42P06 exists, 42939 reserved name, 22023 bad time zone, currency, language or number of partitions';

CREATE FUNCTION drop_store(name text, confirm text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
    PERFORM crm.require_store(name);
    IF confirm IS DISTINCT FROM name THEN
        RAISE EXCEPTION 'store "%" is not dropped: confirm says "%"', name, confirm
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = format('This removes every customer, order and point of the store. SELECT crm.drop_store(%L, confirm => %L) does it.', name, name);
    END IF;
    PERFORM crm.on_parts(name, format('crm.drop_part(%L, p.part)', name));
    EXECUTE format('DROP SCHEMA %I CASCADE', name);
END
$$;
COMMENT ON FUNCTION drop_store(text, text) IS 'drops a store with all its data; confirm must repeat the name';

CREATE FUNCTION pin_routines(name text, new_name text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    routine regprocedure;
BEGIN
    FOR routine IN
        SELECT p.oid FROM pg_proc p
        WHERE p.pronamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = new_name)
          AND EXISTS (SELECT FROM unnest(p.proconfig) c
                      WHERE c LIKE format('search\_path=%s, crm,%%', replace(replace(quote_ident(name), '_', '\_'), '%', '\%')))
    LOOP
        EXECUTE format('ALTER ROUTINE %s SET search_path = %I, crm, pg_temp', routine, new_name);
    END LOOP;
END
$$;
COMMENT ON FUNCTION pin_routines(text, text) IS 'lets the functions of a schema that was renamed find each other under its new name';

CREATE FUNCTION rename_store(name text, new_name text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM crm.require_store(name);
    PERFORM crm.check_store_name(new_name);
    IF EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = new_name) THEN
        RAISE EXCEPTION 'schema "%" already exists', new_name
            USING ERRCODE = 'duplicate_schema', HINT = 'Choose another name.';
    END IF;
    EXECUTE format('ALTER SCHEMA %I RENAME TO %I', name, new_name);
    PERFORM crm.pin_routines(name, new_name), crm.on_parts(new_name, format('crm.rename_part(%L, %L, p.part)', name, new_name));
END
$$;
COMMENT ON FUNCTION rename_store(text, text) IS 'renames a store and pins the search_path of its functions anew; a plain ALTER SCHEMA RENAME would leave them pointing at the old name';

CREATE FUNCTION grant_access(store text, role name, kind text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    acting text := current_setting('role');
    distributed boolean := crm.is_distributed(to_regclass(format('%I.access_grantee', store)));
    kinds text[];
    a record;
BEGIN
    PERFORM crm.require_store(store);
    EXECUTE format('SELECT array_agg(DISTINCT kind ORDER BY kind) FROM %I.access_rule', store) INTO kinds;
    IF kind IS NULL OR NOT kind = ANY (kinds) THEN
        RAISE EXCEPTION 'unknown access kind "%"', kind
            USING ERRCODE = 'invalid_parameter_value', HINT = format('The kinds are %s.', array_to_string(kinds, ', '));
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role) THEN
        RAISE EXCEPTION 'role "%" does not exist', role
            USING ERRCODE = 'undefined_object', HINT = 'CREATE ROLE makes it; crm creates no roles.';
    END IF;
    IF distributed THEN
        -- Citus lets one role alone change a table in a transaction, by one connection a node; and the owner's functions write to some of these.
        PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
        PERFORM set_config('role', (SELECT pg_get_userbyid(n.nspowner) FROM pg_namespace n WHERE n.nspname = store), true);
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', store, role);
    FOR a IN EXECUTE format('SELECT object_type, object, privilege FROM %I.access_rule WHERE kind = %L ORDER BY 1, 2, 3', store, kind)
    LOOP
        EXECUTE CASE a.object_type
                    WHEN 'table' THEN format('GRANT %s ON %I.%I TO %I', a.privilege, store, a.object, role)
                    WHEN 'sequence' THEN format('GRANT %s ON SEQUENCE %I.%I TO %I', a.privilege, store, a.object, role)
                    WHEN 'routine' THEN
                        (SELECT string_agg(format('GRANT %s ON ROUTINE %s TO %I', a.privilege, p.oid::regprocedure, role), '; ')
                         FROM pg_proc p
                         WHERE p.pronamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = store)
                           AND p.proname = a.object)
                END;
    END LOOP;
    EXECUTE format('INSERT INTO %I.access_grantee (role, kind) VALUES (%L, %L) ON CONFLICT DO NOTHING', store, role, kind);
    IF distributed THEN
        EXECUTE format('SELECT %I.access_granted(%L, %L)', store, role, kind);
        PERFORM set_config('role', acting, true);
    END IF;
END
$$;
COMMENT ON FUNCTION grant_access(text, name, text) IS
'gives a role the privileges of an access kind (owner, agent, marketer, analyst, auditor, app) on a store, as listed in <store>.access_rule; run by the store''s owner';

CREATE FUNCTION revoke_access(store text, role name, kind text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given boolean;
    a record;
BEGIN
    PERFORM crm.require_store(store);
    IF crm.is_distributed(format('%I.access_grantee', store)::regclass) THEN
        PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
    END IF;
    EXECUTE format('WITH gone AS (DELETE FROM %I.access_grantee g WHERE g.role = %L AND g.kind = %L RETURNING 1) SELECT count(*) > 0 FROM gone', store, role, kind)
        INTO given;
    IF NOT given THEN
        RAISE EXCEPTION 'role "%" does not have the access kind "%"', role, kind
            USING ERRCODE = 'undefined_object', HINT = format('SELECT * FROM %I.access_grantee lists who has which.', store);
    END IF;
    -- What another kind of the same role gives stays.
    FOR a IN EXECUTE format(
        'SELECT object_type, object, privilege FROM %1$I.access_rule WHERE kind = %2$L
         EXCEPT SELECT r.object_type, r.object, r.privilege FROM %1$I.access_rule r JOIN %1$I.access_grantee g ON g.kind = r.kind AND g.role = %3$L
         ORDER BY 1, 2, 3', store, kind, role)
    LOOP
        EXECUTE CASE a.object_type
                    WHEN 'table' THEN format('REVOKE %s ON %I.%I FROM %I', a.privilege, store, a.object, role)
                    WHEN 'sequence' THEN format('REVOKE %s ON SEQUENCE %I.%I FROM %I', a.privilege, store, a.object, role)
                    WHEN 'routine' THEN
                        (SELECT string_agg(format('REVOKE %s ON ROUTINE %s FROM %I', a.privilege, p.oid::regprocedure, role), '; ')
                         FROM pg_proc p
                         WHERE p.pronamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = store)
                           AND p.proname = a.object)
                END;
    END LOOP;
    EXECUTE format('SELECT EXISTS (SELECT FROM %I.access_grantee g WHERE g.role = %L)', store, role) INTO given;
    IF NOT given THEN
        EXECUTE format('REVOKE USAGE ON SCHEMA %I FROM %I', store, role);
    END IF;
END
$$;
COMMENT ON FUNCTION revoke_access(text, name, text) IS
'takes an access kind from a role again, but not what another kind of the same role gives; run by the store''s owner. Error: 42704 when the role does not have it';
