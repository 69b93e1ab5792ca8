-- A store over the nodes of Citus. Nothing here needs Citus until it is called.

CREATE FUNCTION is_distributed(relation regclass) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION is_distributed(regclass) IS 'whether Citus keeps the rows of this table in shards, or copies of it on every node; false where there is no Citus';

CREATE FUNCTION on_shards(relation regclass, query text) RETURNS SETOF jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    shard record;
BEGIN
    IF NOT crm.is_distributed(relation) THEN
        RETURN QUERY EXECUTE format('SELECT to_jsonb(q) FROM (' || query || ') q', relation);
        RETURN;
    END IF;
    FOR shard IN EXECUTE 'SELECT * FROM run_command_on_shards($1, $2)'
        USING relation, format('SELECT coalesce(jsonb_agg(q), ''[]'') FROM (%s) q', query)
    LOOP
        IF NOT shard.success THEN
            RAISE EXCEPTION 'shard % of "%" failed: %', shard.shardid, relation, shard.result USING ERRCODE = 'external_routine_exception';
        END IF;
        RETURN QUERY SELECT j FROM jsonb_array_elements(shard.result::jsonb) j;
    END LOOP;
END
$$;
COMMENT ON FUNCTION on_shards(regclass, text) IS
'runs a query on every shard of a table, ''%s'' in it being the shard, and gives the rows of all; on the table itself when it is not distributed. On shards each query is a transaction of its own';

CREATE FUNCTION points_verify_shards(entries regclass, only_customer bigint, only_program text, part integer, parts integer)
RETURNS TABLE (customer_id bigint, program text, seq bigint, finding text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF crm.is_distributed(entries) THEN
        RETURN QUERY
            SELECT (j ->> 'customer_id')::bigint, j ->> 'program', (j ->> 'seq')::bigint, j ->> 'finding'
            FROM crm.on_shards(entries, format('SELECT * FROM crm.points_verify_entries(''%%s'', %L, %L, %L, %L)', only_customer, only_program, part, parts)) j;
    ELSE
        RETURN QUERY SELECT v.customer_id, v.program, v.seq, v.finding FROM crm.points_verify_entries(entries, only_customer, only_program, part, parts) v;
    END IF;
END
$$;
COMMENT ON FUNCTION points_verify_shards(regclass, bigint, text, integer, integer) IS 'points_verify_entries on every shard of a ledger, on the ledger itself when it is not distributed';

CREATE FUNCTION distribution_plan(store text)
RETURNS TABLE (relation regclass, placement text, dropped text[], steps text[])
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    schema oid := (SELECT n.oid FROM pg_namespace n WHERE n.nspname = store);
    t record;
    c record;
    keys text;
BEGIN
    PERFORM crm.require_store(store);
    FOR t IN
        SELECT k.oid, k.relname,
               CASE WHEN k.relname = 'identity' THEN 'external_id'
                    -- Codes wait for whoever redeems next, whichever customer that is.
                    WHEN k.relname IN ('reward_code', 'part_key', 'points_checkpoint_part') THEN 'every node'
                    -- It names tables of this node.
                    WHEN k.relname = 'order_source' THEN 'coordinator'
                    WHEN k.relname = 'tag_audience_change' OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = k.oid AND a.attname = 'customer_id' AND NOT a.attisdropped)
                    THEN 'customer_id' ELSE 'every node' END AS kind
        FROM pg_class k
        WHERE k.relnamespace = schema AND k.relkind IN ('r', 'p') AND NOT k.relispartition
        ORDER BY k.oid
    LOOP
        relation := t.oid;
        placement := t.kind;
        dropped := '{}';
        steps := '{}';
        FOR c IN
            SELECT o.oid, o.conname, o.contype, o.confupdtype,
                   (SELECT array_agg(a.attname ORDER BY u.n) FROM unnest(o.conkey) WITH ORDINALITY u (k, n) JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = u.k) AS columns,
                   (SELECT array_agg(a.attname ORDER BY u.n) FROM unnest(o.confkey) WITH ORDINALITY u (k, n) JOIN pg_attribute a ON a.attrelid = o.confrelid AND a.attnum = u.k) AS refers,
                   f.relname AS target,
                   EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = o.confrelid AND a.attname = 'customer_id' AND NOT a.attisdropped) AND f.relname <> 'reward_code' AS by_customer
            FROM pg_constraint o
            LEFT JOIN pg_class f ON f.oid = o.confrelid
            WHERE o.conrelid = t.oid AND o.contype IN ('p', 'u', 'f')
            ORDER BY o.contype, o.conname
        LOOP
            IF c.contype = 'f' THEN
                -- A key between customers, or from a table on every node to one in shards, cannot be checked on one node.
                IF c.by_customer AND (t.kind <> 'customer_id'
                                      OR coalesce(array_position(c.columns, 'customer_id') <> array_position(c.refers, 'customer_id'), true)) THEN
                    dropped := dropped || format('%s: %s', c.conname, pg_get_constraintdef(c.oid));
                    steps := steps || format('ALTER TABLE %s DROP CONSTRAINT %I', relation, c.conname);
                ELSIF t.relname = 'points_checkpoint_leaf' AND t.kind = 'customer_id' THEN
                    -- The root of a checkpoint is known when all parts have written their leaves.
                    steps := steps || format('ALTER TABLE %s DROP CONSTRAINT %I', relation, c.conname)
                             || format('ALTER TABLE %s ADD CONSTRAINT %I %s DEFERRABLE INITIALLY DEFERRED', relation, c.conname, pg_get_constraintdef(c.oid));
                ELSIF c.confupdtype <> 'a' AND t.kind = 'customer_id' THEN
                    -- A row's customer never changes on Citus, and it takes no ON UPDATE action beside that.
                    steps := steps || format('ALTER TABLE %s DROP CONSTRAINT %I', relation, c.conname)
                             || format('ALTER TABLE %s ADD CONSTRAINT %I %s', relation, c.conname, regexp_replace(pg_get_constraintdef(c.oid), ' ON UPDATE (CASCADE|SET NULL|SET DEFAULT|RESTRICT)', ''));
                END IF;
            ELSIF t.kind = 'customer_id' AND NOT coalesce('customer_id' = ANY (c.columns), false) THEN
                -- Unique within a customer is what a shard can check; whoever looks the rows up by these columns finds an index still.
                dropped := dropped || format('%s: %s', c.conname, pg_get_constraintdef(c.oid));
                steps := steps || format('ALTER TABLE %s DROP CONSTRAINT %I', relation, c.conname);
                IF c.contype = 'p' AND t.relname = 'tag_audience_change' THEN
                    steps := steps || format('ALTER TABLE %s ADD COLUMN customer_id bigint NOT NULL DEFAULT 0', relation);
                END IF;
                keys := (SELECT string_agg(quote_ident(k), ', ') FROM unnest(c.columns) k);
                IF c.contype = 'p' THEN
                    steps := steps || format('ALTER TABLE %s ADD CONSTRAINT %I PRIMARY KEY (customer_id, %s)', relation, c.conname, keys);
                ELSE
                    IF NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conrelid = t.oid AND o.contype = 'p'
                                   AND (SELECT array_agg(a.attname) FROM unnest(o.conkey) k JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k)
                                       <@ ('customer_id'::name || c.columns)) THEN
                        steps := steps || format('ALTER TABLE %s ADD CONSTRAINT %I UNIQUE (customer_id, %s)', relation, c.conname || '_customer', keys);
                    END IF;
                    steps := steps || format('CREATE INDEX %I ON %s (%s)', c.conname, relation, keys);
                END IF;
            END IF;
        END LOOP;
        FOR c IN
            SELECT x.indexrelid, i.relname, pg_get_indexdef(x.indexrelid) AS definition
            FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
            WHERE t.kind = 'customer_id' AND x.indrelid = t.oid AND x.indisunique
              AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = x.indexrelid)
              AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attname = 'customer_id' AND a.attnum = ANY (x.indkey::smallint[]))
            ORDER BY i.relname
        LOOP
            dropped := dropped || c.definition;
            steps := steps || format('DROP INDEX %s', c.indexrelid::regclass) || regexp_replace(c.definition, '^CREATE UNIQUE', 'CREATE');
        END LOOP;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION distribution_plan(text) IS
'what crm.distribute_store would do with each table of a store: split it by customer_id, split it by external_id, copy it to every node, or leave it on the coordinator; what it would drop, since no node could check it alone, and by which steps';

CREATE FUNCTION sql_to_plpgsql(routine regprocedure) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p pg_proc;
    body text;
    header text;
    outs text;
    casts text;
    names text;
    returns_row boolean;
BEGIN
    SELECT * INTO STRICT p FROM pg_proc q WHERE q.oid = routine;
    header := pg_get_functiondef(p.oid);
    IF p.prosqlbody IS NULL THEN
        body := p.prosrc;
        header := left(header, strpos(header, E'\nAS $') - 1);
    ELSE
        body := pg_get_function_sqlbody(p.oid);
        header := left(header, strpos(header, body) - 1);
        body := CASE WHEN body LIKE 'RETURN %' THEN regexp_replace(body, '^RETURN', 'SELECT') ELSE regexp_replace(body, '^BEGIN ATOMIC(.*)END$', '\1') END;
    END IF;
    body := regexp_replace(body, '[[:space:]]*;?[[:space:]]*$', '');
    returns_row := NOT p.proretset AND (SELECT y.typtype = 'c' FROM pg_type y WHERE y.oid = p.prorettype);
    -- A row that is one value, or the columns of one; an argument and a column of one name: only SQL takes those.
    IF EXISTS (SELECT FROM unnest(p.proargnames, p.proargmodes) u (name, mode) WHERE u.name <> '' GROUP BY u.name HAVING count(*) > 1)
       OR returns_row OR body ~ ';[[:space:]]*\n' OR p.provariadic <> 0 THEN
        RETURN header || format(E'\nAS %L', body);
    END IF;
    header := regexp_replace(header, E'\n LANGUAGE sql', E'\n LANGUAGE plpgsql');
    SELECT string_agg(quote_ident(o.name), ', ' ORDER BY o.n), string_agg(format('q.%I::%s', 'c' || o.n, o.type), ', ' ORDER BY o.n), string_agg('c' || o.n, ', ' ORDER BY o.n)
        INTO outs, casts, names
    FROM (SELECT row_number() OVER (ORDER BY u.n) AS n, u.name, format_type(u.type, NULL) AS type
          FROM unnest(p.proargnames, p.proallargtypes, p.proargmodes) WITH ORDINALITY u (name, type, mode, n) WHERE u.mode IN ('o', 'b', 't')
          UNION ALL
          SELECT row_number() OVER (ORDER BY a.attnum), a.attname, format_type(a.atttypid, a.atttypmod)
          FROM pg_type y JOIN pg_attribute a ON a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped WHERE y.oid = p.prorettype AND y.typtype = 'c'
          UNION ALL
          SELECT 1, NULL, format_type(p.prorettype, NULL) WHERE p.proretset AND p.proallargtypes IS NULL AND (SELECT y.typtype <> 'c' FROM pg_type y WHERE y.oid = p.prorettype)) o;
    RETURN header || format(E'\nAS %L', E'#variable_conflict use_column\n' || CASE
        WHEN p.proretset AND body ~* '\m(INSERT|UPDATE|DELETE)\M' THEN format(E'BEGIN\n    RETURN QUERY %s;\nEND', body)
        WHEN p.proretset THEN format(E'BEGIN\n    RETURN QUERY SELECT %s FROM (%s) q (%s);\nEND', casts, body, names)
        WHEN outs IS NOT NULL THEN format(E'BEGIN\n    %s INTO %s;\nEND', body, outs)
        WHEN p.prorettype = 'void'::regtype AND body !~* '^[[:space:]]*(SELECT|WITH)' THEN format(E'BEGIN\n    %s;\nEND', body)
        ELSE format(E'DECLARE\n    result %s;\nBEGIN\n    %s INTO result;\n    RETURN%s;\nEND', CASE WHEN p.prorettype = 'void'::regtype THEN 'record' ELSE format_type(p.prorettype, NULL) END,
                    body, CASE WHEN p.prorettype = 'void'::regtype THEN '' ELSE ' result' END)
        END);
END
$$;
COMMENT ON FUNCTION sql_to_plpgsql(regprocedure) IS
'the statement that makes an SQL function of one statement a PL/pgSQL function that gives the same: what distribute_store() runs, since Citus plans no statement of an SQL function with arguments';

CREATE FUNCTION distribute_store(store text, shards integer DEFAULT 32)
RETURNS TABLE (relation regclass, placement text, dropped text[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
SET check_function_bodies = off
SET plan_cache_mode = auto
AS $$
DECLARE
    schema oid := (SELECT n.oid FROM pg_namespace n WHERE n.nspname = store);
    owner oid := (SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = store);
    customer regclass;
    denied text;
    triggers text[];
    v record;
    step text;
    t record;
    f record;
BEGIN
    PERFORM crm.require_store(store);
    IF NOT EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'citus') THEN
        RAISE EXCEPTION 'store "%" cannot be distributed: this database has no Citus', store
            USING ERRCODE = 'feature_not_supported', HINT = 'CREATE EXTENSION citus on every node, and citus_add_node() for each worker.';
    END IF;
    IF NOT pg_has_role(CURRENT_USER, owner, 'USAGE') OR NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = CURRENT_USER) THEN
        RAISE EXCEPTION 'store "%" is distributed by a superuser', store
            USING ERRCODE = 'insufficient_privilege', HINT = 'The triggers of the points ledger are made anew meanwhile, which its owner alone may not do.';
    END IF;
    customer := format('%I.customer', store)::regclass;
    IF crm.is_partitioned(format('%I.purchase', store)::regclass) THEN
        RAISE EXCEPTION 'store "%" has partitions and is not distributed', store
            USING ERRCODE = 'feature_not_supported', HINT = 'Shards are partitions over nodes: make a store without partitions and restore into it; doc/scale.md tells how.';
    END IF;
    IF crm.is_distributed(customer) THEN
        RAISE EXCEPTION 'store "%" is distributed already', store USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    SELECT string_agg(s.finding || ' ' || s.object, ', ') INTO denied FROM crm.store_findings(store) s WHERE s.finding LIKE 'trigger%' OR s.finding LIKE 'missing%';
    IF denied IS NOT NULL THEN
        RAISE EXCEPTION 'store "%" is not whole', store
            USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = denied, HINT = format('SELECT * FROM crm.adopt_store(%L) tells more.', store);
    END IF;
    PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true), set_config('citus.enable_unsafe_triggers', 'on', true),
            set_config('citus.enable_ddl_propagation', 'off', true), set_config('citus.enable_local_reference_table_foreign_keys', 'off', true), set_config('citus.shard_count', shards::text, true);

    -- What the parts are made of: the functions and views as they are now.
    EXECUTE format('CREATE TABLE %I.part_statement (n bigint PRIMARY KEY, statement text NOT NULL)', store);
    EXECUTE format('COMMENT ON TABLE %I.part_statement IS %L', store, 'the statements that make the parts of this store; crm.make_parts() runs them');
    EXECUTE format('CREATE TABLE %I.store_part (customer_id bigint PRIMARY KEY, part bigint NOT NULL)', store);
    EXECUTE format('COMMENT ON TABLE %I.store_part IS %L', store, 'a row on each shard: the number of the part, and a number, which need be no customer''s, that is kept there');
    EXECUTE format('CREATE TABLE %I.part_key (part bigint PRIMARY KEY, place bigint NOT NULL, customer_id bigint NOT NULL)', store);
    EXECUTE format('COMMENT ON TABLE %I.part_key IS %L', store, 'the rows of store_part on every node, with the place of each part in the order of hashes');
    EXECUTE format('CREATE TABLE %I.points_checkpoint_part (checkpoint bigint, place bigint, part bigint NOT NULL, changed bigint NOT NULL, root bytea NOT NULL, PRIMARY KEY (checkpoint, place))', store);
    EXECUTE format('COMMENT ON TABLE %I.points_checkpoint_part IS %L', store, 'the trees of a checkpoint, one a part: points_checkpoint.tree_root is the root over theirs');
    EXECUTE format('CREATE TABLE %I.change_position (consumer text, part bigint, txid xid8 NOT NULL, event_id bigint NOT NULL, PRIMARY KEY (consumer, part))', store);
    EXECUTE format('COMMENT ON TABLE %I.change_position IS %L', store, 'up to which event of each part a reader of the change feed has acknowledged');
    EXECUTE format('CREATE TABLE %I.customer_key (table_name name, column_name name, PRIMARY KEY (table_name, column_name))', store);
    EXECUTE format('COMMENT ON TABLE %I.customer_key IS %L', store, 'columns besides customer_id that name a customer: their foreign keys, which no node could check, are gone');
    EXECUTE format('INSERT INTO %I.customer_key SELECT k.relname, a.attname FROM pg_constraint o JOIN pg_class k ON k.oid = o.conrelid JOIN pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = o.conkey[1]
                    WHERE o.contype = ''f'' AND o.confrelid = $1 AND cardinality(o.conkey) = 1 AND k.relnamespace = $2 AND k.oid <> $1 AND a.attname <> ''customer_id''', store)
        USING customer::oid, schema;
    EXECUTE format('ALTER TABLE %1$I.customer_key OWNER TO %2$I; ALTER TABLE %1$I.change_position OWNER TO %2$I; ALTER TABLE %1$I.part_statement OWNER TO %2$I; ALTER TABLE %1$I.store_part OWNER TO %2$I; ALTER TABLE %1$I.part_key OWNER TO %2$I; ALTER TABLE %1$I.points_checkpoint_part OWNER TO %2$I', store, pg_get_userbyid(owner));
    EXECUTE format('INSERT INTO %I.part_statement SELECT s.n, s.statement FROM crm.part_statements(%L) s', store, store);

    -- Rows are copied to the shards as they are: no trigger fires for them.
    SELECT array_agg(d.step ORDER BY g.tgrelid, g.tgname, d.n) INTO triggers
    FROM pg_trigger g JOIN pg_class k ON k.oid = g.tgrelid
    CROSS JOIN LATERAL (VALUES
        -- Citus makes no trigger on shards that fires on TRUNCATE too: that becomes one of its own.
        (1, replace(pg_get_triggerdef(g.oid), ' OR TRUNCATE ON ', ' ON ')),
        (2, CASE WHEN pg_get_triggerdef(g.oid) LIKE '% OR TRUNCATE ON %'
                 THEN regexp_replace(replace(pg_get_triggerdef(g.oid), format('TRIGGER %I ', g.tgname), format('TRIGGER %I ', g.tgname || '_truncate')),
                                     ' (BEFORE|AFTER) .* OR TRUNCATE ON ', ' \1 TRUNCATE ON ') END),
        (3, CASE g.tgenabled WHEN 'A' THEN format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', g.tgrelid::regclass, g.tgname)
                             WHEN 'R' THEN format('ALTER TABLE %s ENABLE REPLICA TRIGGER %I', g.tgrelid::regclass, g.tgname) END),
        (4, CASE WHEN g.tgenabled = 'A' AND pg_get_triggerdef(g.oid) LIKE '% OR TRUNCATE ON %'
                 THEN format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', g.tgrelid::regclass, g.tgname || '_truncate') END)) d (n, step)
    WHERE k.relnamespace = schema AND NOT g.tgisinternal AND g.tgparentid = 0 AND d.step IS NOT NULL;
    FOR t IN
        SELECT g.tgname, g.tgrelid::regclass AS relation FROM pg_trigger g JOIN pg_class k ON k.oid = g.tgrelid
        WHERE k.relnamespace = schema AND NOT g.tgisinternal AND g.tgparentid = 0
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', t.tgname, t.relation);
    END LOOP;
    -- Citus takes what views and function bodies name for what their tables need, and gives up at the first circle; and it plans no
    -- statement of an SQL function that has arguments. So those become PL/pgSQL, and the views wait for the tables.
    FOR f IN
        SELECT crm.sql_to_plpgsql(p.oid) AS definition
        FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
        WHERE p.pronamespace = schema AND l.lanname = 'sql' AND p.prokind = 'f' AND (p.prosqlbody IS NOT NULL OR p.proconfig IS NOT NULL)
    LOOP
        EXECUTE f.definition;
    END LOOP;
    -- Of a query without columns Citus cannot put together what several shards answer.
    FOR f IN
        SELECT regexp_replace(pg_get_functiondef(p.oid), '\mEXISTS *\(\s*SELECT\s+FROM\M', 'EXISTS (SELECT 1 FROM', 'g') AS definition
        FROM pg_proc p WHERE p.pronamespace = schema AND p.prokind IN ('f', 'p') AND p.prosrc ~ '\mEXISTS *\(\s*SELECT\s+FROM\M'
    LOOP
        EXECUTE f.definition;
    END LOOP;
    CREATE TEMPORARY TABLE pg_temp.crm_distribution_view ON COMMIT DROP AS
        SELECT k.oid,
               -- One that groups by a primary key leans on the constraint, which Citus does not follow: it stays on this node.
               EXISTS (SELECT FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
                       WHERE w.ev_class = k.oid AND d.refclassid = 'pg_constraint'::regclass) AS here,
               format('CREATE OR REPLACE VIEW %s%s AS %s', k.oid::regclass, ' WITH (' || array_to_string(k.reloptions, ', ') || ')', pg_get_viewdef(k.oid)) AS definition,
               format('CREATE OR REPLACE VIEW %s AS SELECT %s', k.oid::regclass,
                      (SELECT string_agg(format('NULL::%s%s AS %I', format_type(a.atttypid, a.atttypmod),
                                                CASE WHEN a.attcollation <> y.typcollation THEN ' COLLATE ' || a.attcollation::regcollation END, a.attname), ', ' ORDER BY a.attnum)
                       FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid WHERE a.attrelid = k.oid AND a.attnum > 0)) AS stub
        FROM pg_class k WHERE k.relnamespace = schema AND k.relkind = 'v';
    FOR v IN SELECT * FROM pg_temp.crm_distribution_view LOOP
        EXECUTE v.stub;
    END LOOP;
    CREATE TEMPORARY TABLE pg_temp.crm_distribution ON COMMIT DROP AS SELECT * FROM crm.distribution_plan(store);
    FOR t IN SELECT p.relation, p.steps FROM pg_temp.crm_distribution p LOOP
        FOREACH step IN ARRAY t.steps LOOP
            EXECUTE step;
        END LOOP;
    END LOOP;

    -- What a table refers to, by a key or by a function in a check or a default, comes before it.
    CREATE TEMPORARY TABLE pg_temp.crm_distribution_order ON COMMIT DROP AS
        WITH RECURSIVE edge AS (
            SELECT d.classid, d.objid, d.refclassid, d.refobjid FROM pg_depend d WHERE d.deptype <> 'e'
            UNION ALL SELECT 'pg_class'::regclass, x.adrelid, 'pg_attrdef'::regclass, x.oid FROM pg_attrdef x
            UNION ALL SELECT 'pg_class'::regclass, o.conrelid, 'pg_constraint'::regclass, o.oid FROM pg_constraint o WHERE o.conrelid <> 0
            UNION ALL SELECT 'pg_class'::regclass, w.ev_class, 'pg_rewrite'::regclass, w.oid FROM pg_rewrite w
        ), reach AS (
            SELECT p.relation::oid AS start, 'pg_class'::regclass::oid AS class, p.relation::oid AS obj FROM pg_temp.crm_distribution p
            UNION
            SELECT r.start, e.refclassid, e.refobjid FROM reach r JOIN edge e ON e.classid = r.class AND e.objid = r.obj
        )
        SELECT DISTINCT r.start AS relid, r.obj AS needs FROM reach r JOIN pg_temp.crm_distribution p ON p.relation = r.obj AND r.class = 'pg_class'::regclass
        WHERE r.start <> r.obj;
    PERFORM set_config('citus.enable_ddl_propagation', 'on', true);
    LOOP
        SELECT p.* INTO t FROM pg_temp.crm_distribution p
        WHERE NOT crm.is_distributed(p.relation) AND p.placement <> 'coordinator'
          AND NOT EXISTS (SELECT FROM pg_temp.crm_distribution_order o WHERE o.relid = p.relation AND NOT crm.is_distributed(o.needs))
        ORDER BY p.placement = 'customer_id', p.relation <> customer, p.relation::text
        LIMIT 1;
        EXIT WHEN NOT FOUND;
        CASE
            WHEN t.placement = 'every node' THEN
                EXECUTE 'SELECT create_reference_table($1)' USING t.relation;
            WHEN t.placement = 'external_id' OR t.relation = customer THEN
                EXECUTE 'SELECT create_distributed_table($1, $2, colocate_with => ''none'')' USING t.relation, t.placement;
            ELSE
                EXECUTE 'SELECT create_distributed_table($1, ''customer_id'', colocate_with => $2)' USING t.relation, customer::text;
        END CASE;
    END LOOP;
    SELECT string_agg(p.relation::text, ', ') INTO denied FROM pg_temp.crm_distribution p WHERE NOT crm.is_distributed(p.relation) AND p.placement <> 'coordinator';
    IF denied IS NOT NULL THEN
        RAISE EXCEPTION 'these tables need each other: %', denied
            USING ERRCODE = 'feature_not_supported', HINT = 'Citus takes tables in an order in which each needs only those before it.';
    END IF;
    -- Some functions give rows of a view.
    FOR v IN SELECT * FROM pg_temp.crm_distribution_view w WHERE NOT w.here ORDER BY w.oid LOOP
        EXECUTE v.stub;
    END LOOP;
    FOR f IN
        SELECT p.oid::regprocedure AS routine, 'customer_id' = ANY (p.proargnames[1:p.pronargs]) AND p.prorettype <> 'trigger'::regtype
               -- One node counts what a role sees in clear, and tickets, whose numbers people say, and knows who acts in the session.
               AND p.proname NOT IN ('reveal', 'open_ticket', 'record_interaction', 'move_ticket', 'assign_ticket', 'rate_ticket') AS of_customer
        FROM pg_proc p
        WHERE p.pronamespace = schema AND p.prokind IN ('f', 'p')
        ORDER BY p.oid
    LOOP
        IF f.of_customer THEN
            -- A verb runs where its customer is.
            EXECUTE 'SELECT create_distributed_function($1, ''customer_id'', colocate_with => $2)' USING f.routine, customer::text;
        ELSE
            EXECUTE 'SELECT create_distributed_function($1)' USING f.routine;
        END IF;
    END LOOP;
    -- Citus carries over what was granted, not what was taken from everybody.
    SELECT string_agg(p.oid::regprocedure::text, ', ' ORDER BY p.oid) INTO step FROM pg_proc p
    WHERE p.pronamespace = schema AND p.prokind IN ('f', 'p') AND p.proacl IS NOT NULL AND NOT EXISTS (SELECT FROM aclexplode(p.proacl) x WHERE x.grantee = 0);
    EXECUTE format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC', step);
    FOREACH step IN ARRAY triggers LOOP
        EXECUTE step;
    END LOOP;
    PERFORM crm.make_parts(store);
    PERFORM set_config('search_path', format('%I, crm, pg_temp', store), true);
    PERFORM crm.run_script(crm.distributed_script());
    PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
    -- What the script made is the store's, so that no function of it runs with other rights.
    FOR f IN SELECT p.oid::regprocedure AS routine, p.prokind FROM pg_proc p WHERE p.pronamespace = schema AND p.proowner <> owner LOOP
        EXECUTE format('ALTER %s %s OWNER TO %I', CASE f.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, f.routine, pg_get_userbyid(owner));
    END LOOP;
    -- But those that the script has made.
    FOR v IN SELECT * FROM pg_temp.crm_distribution_view w WHERE pg_get_viewdef(w.oid) !~ '\mFROM\M' ORDER BY w.oid LOOP
        PERFORM set_config('citus.enable_ddl_propagation', CASE WHEN v.here THEN 'off' ELSE 'on' END, true);
        EXECUTE v.definition;
    END LOOP;
    PERFORM set_config('citus.enable_ddl_propagation', 'on', true);
    -- On the other nodes a view is whose who made it there.
    FOR v IN SELECT * FROM pg_temp.crm_distribution_view w WHERE NOT w.here LOOP
        EXECUTE format('ALTER VIEW %s OWNER TO %I', v.oid::regclass, pg_get_userbyid(owner));
    END LOOP;
    EXECUTE format('SELECT %I.let_views_read()', store);
    PERFORM crm.write_manifest(store);
    RETURN QUERY SELECT p.relation, p.placement, p.dropped FROM pg_temp.crm_distribution p ORDER BY p.relation::text;
END
$$;
REVOKE EXECUTE ON FUNCTION distribute_store(text, integer) FROM PUBLIC;
COMMENT ON FUNCTION distribute_store(text, integer) IS
'spreads a store over the nodes of Citus, in one transaction: tables of customers in shards by customer_id, identity by external_id, everything else on every node, with its triggers, views and functions. Gives each table''s placement and the constraints it lost. Run by a superuser on the coordinator; orders and points stop meanwhile. Errors: 0A000 no Citus, or a store with partitions, 42501 not a superuser, 55000 distributed already, or triggers missing or not in their shipped state';
