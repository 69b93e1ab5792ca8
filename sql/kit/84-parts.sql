-- The parts of a distributed store: on the node of each shard a schema with views on the shards of one range of customers and the
-- store's functions over them, so that what joins, ranks or loops over many customers runs there as it does on one node.

CREATE FUNCTION shard_sibling(shard regclass, name text) RETURNS regclass
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION shard_sibling(regclass, text) IS 'the shard with the same customers, or this node''s copy, of the table of this name beside the table of a shard; the table itself when nothing is distributed';

CREATE FUNCTION part_schema(store text, part bigint) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN store || '_part_' || part;
COMMENT ON FUNCTION part_schema(text, bigint) IS 'the schema of a part of a distributed store, named after the number of its shard of customer';

CREATE FUNCTION conflict_by_columns(schema oid, statement text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c record;
    found boolean := false;
BEGIN
    FOR c IN
        SELECT o.conname,
               (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY u.n) FROM unnest(o.conkey) WITH ORDINALITY u (k, n) JOIN pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = u.k) AS columns,
               EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = o.conrelid AND a.attname = 'customer_id' AND NOT a.attisdropped)
               AND NOT EXISTS (SELECT FROM unnest(o.conkey) k JOIN pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k WHERE a.attname = 'customer_id') AS lacks_customer
        FROM pg_constraint o WHERE o.connamespace = schema AND o.contype IN ('p', 'u') AND strpos(statement, 'ON CONFLICT ON CONSTRAINT ' || o.conname || ' ') > 0
    LOOP
        statement := replace(statement, format('ON CONFLICT ON CONSTRAINT %s ', c.conname), format('ON CONFLICT (%s%s) ', CASE WHEN c.lacks_customer THEN 'customer_id, ' END, c.columns));
        found := true;
    END LOOP;
    -- A name that would have been ambiguous was an error before, so this changes nothing else.
    IF found AND strpos(statement, ' LANGUAGE plpgsql') > 0 AND strpos(statement, '#variable_conflict') = 0 THEN
        statement := regexp_replace(statement, E'\nAS \\$function\\$', E'\nAS $function$\n#variable_conflict use_column');
    END IF;
    RETURN statement;
END
$$;
COMMENT ON FUNCTION conflict_by_columns(oid, text) IS 'a statement that makes a function, with the columns of a constraint where the function names it: a view has columns, and no constraint';

CREATE FUNCTION part_statements(store text) RETURNS TABLE (n bigint, statement text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    schema oid := (SELECT s.oid FROM pg_namespace s WHERE s.nspname = store);
BEGIN
    -- Names of the store are written without its schema, so that they are found in the part's.
    PERFORM set_config('search_path', format('%I, crm, pg_temp', store), true);
    RETURN QUERY
        SELECT row_number() OVER (ORDER BY d.oid), crm.conflict_by_columns(schema, d.statement)
        FROM (SELECT p.oid,
                     regexp_replace(regexp_replace(replace(pg_get_functiondef(p.oid), format('FUNCTION %I.', store), 'FUNCTION '),
                                                   E'\n SET search_path TO [^\n]*', E'\n SET search_path FROM CURRENT'),
                                    $r$'points_entry'::regclass$r$, '''@points_entry''::regclass', 'g') AS statement
              FROM pg_proc p
              JOIN pg_language l ON l.oid = p.prolang
              WHERE p.pronamespace = schema AND p.prokind = 'f' AND (p.prorettype <> 'trigger'::regtype OR l.lanname = 'plpgsql')
              UNION ALL
              SELECT k.oid, format('CREATE TYPE %I AS (%s)', k.relname, (SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
                                                                         FROM pg_attribute a WHERE a.attrelid = k.oid AND a.attnum > 0 AND NOT a.attisdropped))
              FROM pg_class k WHERE k.relnamespace = schema AND k.relkind = 'c'
              UNION ALL
              SELECT k.oid, format('CREATE VIEW %I%s AS %s', k.relname, ' WITH (' || array_to_string(k.reloptions, ', ') || ')', pg_get_viewdef(k.oid))
              FROM pg_class k WHERE k.relnamespace = schema AND k.relkind = 'v') d;
    PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
END
$$;
COMMENT ON FUNCTION part_statements(text) IS 'the statements that make the functions and views of a store anew in a schema that has its tables';

CREATE FUNCTION not_in_part(name text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'table "%" is not split by customer, so a part of the store does not have it', name
        USING ERRCODE = 'feature_not_supported', HINT = 'Ask it on the coordinator, in the store itself.';
END
$$;
COMMENT ON FUNCTION not_in_part(text) IS 'raises: stands in a part of a distributed store for a table that is split by something else than the customer';

CREATE FUNCTION part_reads_only() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'table "%" is not written in a part of the store', TG_TABLE_NAME
        USING ERRCODE = 'feature_not_supported', HINT = 'It is the same on every node: write it on the coordinator, in the store itself.';
END
$$;
COMMENT ON FUNCTION part_reads_only() IS 'trigger INSTEAD OF INSERT OR UPDATE OR DELETE, in the parts of a distributed store: keeps the copies of a table alike';

CREATE FUNCTION part_triggers(store text, part bigint) RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    schema text := crm.part_schema(store, part);
    customer regclass := format('%I.%I', store, 'customer_' || part)::regclass;
    t record;
    steps text[] := '{}';
BEGIN
    FOR t IN
        SELECT g.tgname, k.oid::regclass AS shard, pg_get_triggerdef(g.oid) AS definition, p.proname, s.nspname,
               CASE g.tgenabled WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' WHEN 'D' THEN 'DISABLE' END AS state
        FROM (SELECT DISTINCT crm.shard_sibling(customer, x.relname) AS oid
              FROM pg_class x JOIN pg_attribute a ON a.attrelid = x.oid AND a.attname = 'customer_id' AND NOT a.attisdropped
              WHERE x.relnamespace = (SELECT s.oid FROM pg_namespace s WHERE s.nspname = store) AND x.relkind IN ('r', 'p') AND crm.is_distributed(x.oid)
                AND x.relname NOT IN ('identity', 'order_claim', 'reward_code', 'part_key') AND NOT crm.is_shard(x.oid) AND NOT crm.stands_for_view(x.oid)) h
        JOIN pg_class k ON k.oid = h.oid
        JOIN pg_trigger g ON g.tgrelid = k.oid AND NOT g.tgisinternal
        JOIN pg_proc p ON p.oid = g.tgfoid
        JOIN pg_language l ON l.oid = p.prolang AND l.lanname = 'plpgsql'
        JOIN pg_namespace s ON s.oid = p.pronamespace AND s.nspname IN (store, schema)
    LOOP
        steps := steps || format('DROP TRIGGER IF EXISTS %I ON %s', t.tgname, t.shard)
                 || replace(t.definition, format(' EXECUTE FUNCTION %I.%I(', t.nspname, t.proname), format(' EXECUTE FUNCTION %I.%I(', schema, t.proname));
        IF t.state IS NOT NULL THEN
            steps := steps || format('ALTER TABLE %s %s TRIGGER %I', t.shard, t.state, t.tgname);
        END IF;
    END LOOP;
    RETURN steps;
END
$$;
COMMENT ON FUNCTION part_triggers(text, bigint) IS 'the statements by which triggers of the shards of a part that ask the store by its names call the functions of the part';

CREATE FUNCTION point_triggers(store text, part bigint) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    step text;
BEGIN
    PERFORM set_config('citus.enable_ddl_propagation', 'off', true);
    FOREACH step IN ARRAY crm.part_triggers(store, part) LOOP
        EXECUTE step;
    END LOOP;
END
$$;
COMMENT ON FUNCTION point_triggers(text, bigint) IS 'lets the triggers of the shards of a part call the functions of the part, after some were made: run there, with the caller''s rights';

CREATE FUNCTION parts_placed(relation regclass) RETURNS bigint
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION parts_placed(regclass) IS 'a number that tells, on the coordinator, whether shards of a table were moved or split since: the sum of the numbers that Citus gives to their places';

CREATE FUNCTION shows_parts(relation regclass, placed bigint) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION shows_parts(regclass, bigint) IS
'true, in the condition of a view of a distributed store that is read through a table whose shards are views of the parts; raises 55000 when parts_placed() of that table is another than when they were made, or a shard of it here is a table. Immutable, so that it is asked once, when a statement is planned, as it is again after a shard was moved';

CREATE FUNCTION note_places(store text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v record;
BEGIN
    FOR v IN
        SELECT w.oid::regclass AS view, t.oid::regclass AS shown, pg_get_viewdef(w.oid) AS definition
        FROM pg_class t
        JOIN pg_class w ON w.relnamespace = t.relnamespace AND w.relkind = 'v' AND w.relname = regexp_replace(t.relname, '_parts$', '')
        WHERE t.relnamespace = (SELECT s.oid FROM pg_namespace s WHERE s.nspname = store) AND t.relkind = 'p' AND crm.stands_for_view(t.oid)
    LOOP
        EXECUTE format('CREATE OR REPLACE VIEW %s AS %s', v.view, regexp_replace(v.definition, '(shows_parts\([^,]*, )''?[0-9]+''?(::bigint)?\)', format('\1%L::bigint)', crm.parts_placed(v.shown))));
    END LOOP;
END
$$;
COMMENT ON FUNCTION note_places(text) IS 'lets the views of a distributed store that are read from the parts know where those are now: part of make_parts';

CREATE FUNCTION stands_for_view(relation regclass) RETURNS boolean
LANGUAGE sql STABLE STRICT
RETURN (SELECT k.relname LIKE '%\_parts' FROM pg_catalog.pg_class k WHERE k.oid = relation) AND crm.is_partitioned(relation) AND crm.is_distributed(relation);
COMMENT ON FUNCTION stands_for_view(regclass) IS
'whether a table of a distributed store has no rows and its shards are views of the parts, by which a view of the store is read with the rights of its owner: such a table is partitioned and has no partition, so that Citus moves no rows of it';

CREATE FUNCTION show_in_part(store text, part bigint) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    t record;
    g record;
    shard text;
    columns text;
    query text;
BEGIN
    PERFORM set_config('citus.enable_ddl_propagation', 'off', true), set_config('citus.enable_manual_changes_to_shards', 'on', true);
    FOR t IN EXECUTE $q$
        SELECT k.oid, s.shardid, k.relname, k.relacl, pg_get_userbyid(k.relowner) AS owner, v.oid::regclass AS view, v.reloptions, b.shardid AS identity
        FROM pg_class k
        JOIN pg_dist_shard s ON s.logicalrelid = k.oid
        JOIN pg_class v ON v.relname = regexp_replace(k.relname, '_parts$', '') AND v.relkind = 'v' AND v.relnamespace = to_regnamespace(quote_ident($3))
        LEFT JOIN pg_dist_shard b ON b.logicalrelid = $4 AND b.shardminvalue = s.shardminvalue AND k.relname = 'identity_masked_parts'
        WHERE k.relnamespace = to_regnamespace(quote_ident($1)) AND k.relkind = 'p' AND crm.stands_for_view(k.oid)
          AND CASE WHEN k.relname = 'identity_masked_parts' THEN (SELECT h.relkind <> 'v' FROM pg_class h WHERE h.oid = to_regclass(format('%I.%I', $1, k.relname || '_' || s.shardid)))
                   ELSE s.shardminvalue = (SELECT c.shardminvalue FROM pg_dist_shard c WHERE c.shardid = $2) END $q$
        USING store, part, crm.part_schema(store, part), to_regclass(format('%I.identity', store))
    LOOP
        shard := format('%I.%I', store, t.relname || '_' || t.shardid);
        IF to_regclass(shard) IS NOT NULL THEN
            EXECUTE format('DROP %s %s', CASE (SELECT k.relkind FROM pg_class k WHERE k.oid = to_regclass(shard)) WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, shard);
        END IF;
        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO columns FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped;
        IF t.identity IS NULL THEN
            query := format('SELECT %s FROM %s', columns, t.view);
        ELSE
            -- These lie by their own key, so a part does not have them: its view is made over the shard.
            query := regexp_replace(regexp_replace(pg_get_viewdef(t.view), ' FROM .*', format(', t.ctid::text AS placed FROM %I.%I t', store, 'identity_' || t.identity)), ';$', '');
            query := format('SELECT %s FROM (%s) v', columns, query);
        END IF;
        EXECUTE format('CREATE VIEW %s%s AS %s', shard, ' WITH (' || array_to_string(t.reloptions, ', ') || ')', query);
        EXECUTE format('ALTER VIEW %s OWNER TO %I', shard, t.owner);
        FOR g IN SELECT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END AS role FROM aclexplode(t.relacl) x WHERE x.privilege_type = 'SELECT' LOOP
            EXECUTE format('GRANT SELECT ON %s TO %s', shard, g.role);
        END LOOP;
    END LOOP;
END
$$;
COMMENT ON FUNCTION show_in_part(text, bigint) IS 'puts views of a part of a distributed store in the place of the shards of the tables that stand for them, on the node that has the part: run there';

CREATE FUNCTION make_part(store text, part bigint) RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
SET check_function_bodies = off
AS $$
DECLARE
    schema text := crm.part_schema(store, part);
    owner name := (SELECT pg_get_userbyid(s.nspowner) FROM pg_namespace s WHERE s.nspname = store);
    customer regclass := format('%I.%I', store, 'customer_' || part)::regclass;
    ledger regclass := crm.shard_sibling(customer, 'points_entry');
    t record;
    statements text[];
    waiting text[];
    remaining text[];
    step text;
    columns text;
    triggers text[];
BEGIN
    PERFORM set_config('citus.enable_ddl_propagation', 'off', true);
    EXECUTE format('SELECT array_agg(s.statement ORDER BY s.n) FROM %s s', crm.shard_sibling(customer, 'part_statement')) INTO statements;
    triggers := crm.part_triggers(store, part);
    EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', schema);
    EXECUTE format('CREATE SCHEMA %I AUTHORIZATION %I', schema, owner);
    EXECUTE format('COMMENT ON SCHEMA %I IS %L', schema, format('a part of the distributed store %I', store));
    PERFORM set_config('role', owner, true), set_config('search_path', format('%I, crm, pg_temp', schema), true);
    FOR t IN
        SELECT k.relname, k.oid, x.column_name, x.sequence,
               CASE WHEN k.relname IN ('identity', 'order_claim') THEN 'elsewhere'
                    WHEN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = k.oid AND a.attname = 'customer_id' AND NOT a.attisdropped)
                         AND k.relname NOT IN ('reward_code', 'part_key') THEN 'here' ELSE 'copy' END AS kind
        FROM pg_class k
        LEFT JOIN LATERAL (SELECT array_agg(a.attname ORDER BY a.attnum) AS column_name,
                                  array_agg(pg_get_serial_sequence(k.oid::regclass::text, a.attname) ORDER BY a.attnum) AS sequence
                           FROM pg_attribute a WHERE a.attrelid = k.oid AND a.attnum > 0 AND pg_get_serial_sequence(k.oid::regclass::text, a.attname) IS NOT NULL) x ON true
        WHERE k.relnamespace = (SELECT s.oid FROM pg_namespace s WHERE s.nspname = store) AND k.relkind IN ('r', 'p') AND crm.is_distributed(k.oid)
          AND NOT k.relispartition AND NOT crm.is_shard(k.oid) AND NOT crm.stands_for_view(k.oid)
        ORDER BY k.oid
    LOOP
        -- A column of the row type of a table of the store has that of the part's here.
        SELECT string_agg(CASE WHEN y.typtype = 'c' AND y.typnamespace = k.relnamespace
                               THEN format('CASE WHEN NOT s.%1$I IS NULL THEN ROW((s.%1$I).*)::%2$I END AS %1$I', a.attname, y.typname)
                               ELSE format('s.%I', a.attname) END, ', ' ORDER BY a.attnum) INTO columns
        FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid JOIN pg_class k ON k.oid = a.attrelid
        WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped;
        -- By this, which a view has not by itself, a job that judges tags sees who was written since.
        IF t.relname = 'customer_summary' THEN
            columns := columns || ', s.xmin';
        END IF;
        IF t.kind = 'elsewhere' THEN
            -- Its rows are not in the order of customers: those beside this part are not those of its customers.
            SELECT string_agg(format('NULL::%s AS %I', format_type(a.atttypid, a.atttypmod), a.attname), ', ' ORDER BY a.attnum) INTO columns
            FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped;
            EXECUTE format('CREATE VIEW %I AS SELECT %s WHERE crm.not_in_part(%L)', t.relname, columns, t.relname);
        ELSE
            EXECUTE format('CREATE VIEW %I AS SELECT %s FROM %s s', t.relname, columns, crm.shard_sibling(customer, t.relname::text));
        END IF;
        IF t.kind <> 'here' THEN
            EXECUTE format('CREATE TRIGGER not_in_part INSTEAD OF INSERT OR UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION crm.part_reads_only()', t.relname);
        END IF;
        -- A shard has no sequence of its own: Citus gives each node numbers that no other gives.
        FOR i IN 1 .. coalesce(cardinality(t.column_name), 0) LOOP
            EXECUTE format('ALTER VIEW %I ALTER COLUMN %I SET DEFAULT nextval(%L)', t.relname, t.column_name[i], t.sequence[i]);
        END LOOP;
    END LOOP;
    -- In the order in which they were made, those that need something later once more.
    waiting := statements;
    LOOP
        remaining := '{}';
        FOREACH step IN ARRAY waiting LOOP
            BEGIN
                EXECUTE replace(step, '''@points_entry''', quote_literal(ledger));
            EXCEPTION WHEN OTHERS THEN
                remaining := remaining || step;
            END;
        END LOOP;
        EXIT WHEN cardinality(remaining) = 0 OR cardinality(remaining) = cardinality(waiting);
        waiting := remaining;
    END LOOP;
    PERFORM crm.run_script(crm.part_script());
    FOREACH step IN ARRAY triggers LOOP
        EXECUTE step;
    END LOOP;
    PERFORM set_config('role', 'none', true), set_config('search_path', 'pg_catalog, pg_temp', true);
    PERFORM crm.show_in_part(store, part);
    -- What groups by a primary key leans on it, which a view does not have: that stays with the coordinator.
    RETURN ARRAY(SELECT substring(r FROM '(?:FUNCTION|VIEW) ("[^"]+"|[a-z0-9_]+)') FROM unnest(remaining) r ORDER BY 1);
END
$$;
REVOKE EXECUTE ON FUNCTION make_part(text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION make_part(text, bigint) IS 'makes, on the node that has this shard of customer, the part of a distributed store: run there by make_parts. Gives the names of what cannot be had there';

CREATE FUNCTION make_parts(store text) RETURNS TABLE (part bigint, customer_id bigint, missing text[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    customer regclass := format('%I.customer', store)::regclass;
    shards bigint[];
    found bigint[] := '{}';
    ids bigint[] := '{}';
    id bigint := 0;
    shard bigint;
BEGIN
    PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true), set_config('citus.override_table_visibility', 'off', true);
    EXECUTE 'SELECT array_agg(s.shardid ORDER BY s.shardminvalue::integer) FROM pg_dist_shard s WHERE s.logicalrelid = $1' INTO shards USING customer;
    -- Of each shard a number that hashes to it: so a statement finds its node.
    WHILE cardinality(found) < cardinality(shards) LOOP
        id := id + 1;
        EXECUTE 'SELECT get_shard_id_for_distribution_column($1, $2)' INTO shard USING customer, id;
        IF shard <> ALL (found) THEN
            found := found || shard;
            ids := ids || id;
        END IF;
    END LOOP;
    EXECUTE format('DELETE FROM %I.store_part', store);
    EXECUTE format('DELETE FROM %I.part_key', store);
    FOR i IN 1 .. cardinality(found) LOOP
        EXECUTE format('INSERT INTO %I.store_part (customer_id, part) VALUES ($1, $2)', store) USING ids[i], found[i];
        EXECUTE format('INSERT INTO %I.part_key (part, place, customer_id) VALUES ($1, $2, $3)', store) USING found[i], array_position(shards, found[i]) - 1, ids[i];
    END LOOP;
    RETURN QUERY EXECUTE format('SELECT p.part, p.customer_id, crm.make_part(%L, p.part) FROM %I.store_part p', store, store);
    PERFORM crm.note_places(store);
END
$$;
REVOKE EXECUTE ON FUNCTION make_parts(text) FROM PUBLIC;
COMMENT ON FUNCTION make_parts(text) IS
'makes the parts of a distributed store anew: after shards were moved or split, a node was added, or the store was changed. What cannot be had in a part is listed. Run by a superuser on the coordinator';

CREATE FUNCTION rename_part(store text, new_name text, part bigint) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('citus.enable_ddl_propagation', 'off', true);
    EXECUTE format('ALTER SCHEMA %I RENAME TO %I', crm.part_schema(store, part), crm.part_schema(new_name, part));
    PERFORM crm.pin_routines(crm.part_schema(store, part), crm.part_schema(new_name, part));
END
$$;
COMMENT ON FUNCTION rename_part(text, text, bigint) IS 'renames a part of a distributed store, on its node: run there by rename_store';

CREATE FUNCTION drop_part(store text, part bigint) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
    PERFORM set_config('citus.enable_ddl_propagation', 'off', true);
    EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', crm.part_schema(store, part));
END
$$;
COMMENT ON FUNCTION drop_part(text, bigint) IS 'drops a part of a distributed store, on its node: run there by drop_store';

CREATE FUNCTION on_parts(store text, step text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF crm.is_distributed(format('%I.customer', store)::regclass) THEN
        PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
        EXECUTE format('SELECT count(s.done) FROM (SELECT (%s)::text AS done FROM %I.store_part p OFFSET 0) s', step, store);
        -- Citus takes a SELECT for one that reads: by this it knows that every node must be asked whether it can commit.
        EXECUTE format('DELETE FROM %I.store_part p WHERE p.part < 0', store);
    END IF;
END
$$;
COMMENT ON FUNCTION on_parts(text, text) IS 'runs a step, an expression over p.part, for each part of a store on its node; nothing when the store is not distributed';

CREATE FUNCTION renew_in_part(store text, part bigint, name text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    schema text := crm.part_schema(store, part);
    owner name := (SELECT pg_get_userbyid(s.nspowner) FROM pg_namespace s WHERE s.nspname = store);
    step text;
    shard text;
BEGIN
    PERFORM set_config('citus.enable_ddl_propagation', 'off', true), set_config('search_path', format('%I, crm, pg_temp', schema), true);
    EXECUTE format('SELECT s.statement FROM %s s WHERE s.statement LIKE $1', crm.shard_sibling(format('%I.%I', store, 'customer_' || part)::regclass, 'part_statement'))
        INTO STRICT step USING format('CREATE VIEW %I %%', name);
    -- Citus drops no shard that is a view.
    FOR shard IN EXECUTE 'SELECT format(''%I.%I'', $1, $2 || ''_parts_'' || s.shardid) FROM pg_dist_shard s WHERE s.logicalrelid = to_regclass(format(''%I.%I'', $1, $2 || ''_parts''))' USING store, name LOOP
        IF EXISTS (SELECT FROM pg_class k WHERE k.oid = to_regclass(shard) AND k.relkind = 'v') THEN
            EXECUTE format('DROP VIEW %s', shard);
        END IF;
    END LOOP;
    EXECUTE format('DROP VIEW IF EXISTS %I CASCADE', name);
    -- The statement lies in a table of the owner.
    PERFORM set_config('role', owner, true);
    EXECUTE step;
    PERFORM set_config('role', 'none', true), set_config('search_path', 'pg_catalog, pg_temp', true);
END
$$;
COMMENT ON FUNCTION renew_in_part(text, bigint, text) IS 'makes a view of a part of a distributed store anew, from part_statement, on the node that has the part: run there';

CREATE FUNCTION renew_shown_view(view regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    store text;
    name text;
    definition text;
BEGIN
    SELECT n.nspname, k.relname INTO store, name FROM pg_class k JOIN pg_namespace n ON n.oid = k.relnamespace WHERE k.oid = view;
    IF to_regclass(format('%I.%I', store, name || '_parts')) IS NULL OR NOT crm.stands_for_view(format('%I.%I', store, name || '_parts')::regclass) THEN
        RETURN;
    END IF;
    PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true), set_config('search_path', format('%I, crm, pg_temp', store), true);
    definition := pg_get_viewdef(view);
    EXECUTE format('UPDATE %I.part_statement SET statement = $1 WHERE statement LIKE $2', store)
        USING format('CREATE VIEW %I %s', name, 'AS ' || definition), format('CREATE VIEW %I %%', name);
    PERFORM crm.on_parts(store, format('crm.renew_in_part(%L, p.part, %L)', store, name));
    EXECUTE format('DROP TABLE %I.%I', store, name || '_parts');
    EXECUTE format('SELECT %I.show_view(%L)', store, name);
    PERFORM crm.on_parts(store, format('crm.show_in_part(%L, p.part)', store));
    PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
END
$$;
COMMENT ON FUNCTION renew_shown_view(regclass) IS 'lets the parts of a distributed store show a view as it was defined anew on the coordinator; nothing when no parts show it. Part of apply_masks';

CREATE FUNCTION run_in_part(store text, part bigint, query text, given text DEFAULT NULL, actor text DEFAULT NULL, zone text DEFAULT current_setting('TimeZone'))
RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    schema text := crm.part_schema(store, part);
    acted text := coalesce(current_setting('crm.actor', true), '');
BEGIN
    IF to_regnamespace(quote_ident(schema)) IS NULL THEN
        RAISE EXCEPTION 'store "%" has no part % on this node', store, part
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = format('SELECT * FROM crm.make_parts(%L) on the coordinator makes the parts anew, after a shard was moved.', store);
    END IF;
    PERFORM set_config('search_path', format('%I, crm, pg_temp', schema), true), set_config('crm_part.given', given, true),
            set_config('crm.actor', coalesce(actor, ''), true), set_config('TimeZone', zone, true);
    RETURN QUERY EXECUTE query;
    PERFORM set_config('crm.actor', acted, true);
END
$$;
COMMENT ON FUNCTION run_in_part(text, bigint, text, text, text, text) IS
'runs a query that gives one column of text in a part of a distributed store, on the node that has it and with the caller''s rights. given is what the query may ask for by current_setting(''crm_part.given''), actor who acts behind the login, zone the time zone of the session that asks';
