-- Following a table that the application already has.

CREATE FUNCTION origin_begin() RETURNS void LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION origin_begin() IS 'lets ordinary triggers fire although the session applies replicated changes, until origin_end() or the end of the (sub)transaction; called by the row triggers of capture_orders';
CREATE FUNCTION origin_end() RETURNS void LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION origin_end() IS 'ends origin_begin()';

CREATE FUNCTION check_captured_columns(relid regclass, columns text[], types text[]) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bad record;
BEGIN
    SELECT w.name, w.type INTO bad
    FROM unnest(columns, types) w (name, type)
    WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = relid AND a.attname = w.name AND NOT a.attisdropped
                      AND format_type(a.atttypid, NULL) = w.type)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'column "%" of captured table % is no longer there as %', bad.name, relid, bad.type
            USING ERRCODE = 'CO005', HINT = 'Release the table with crm.release_orders() and capture it again.';
    END IF;
END
$$;
COMMENT ON FUNCTION check_captured_columns(regclass, text[], text[]) IS 'raises CO005 unless the columns have the types they had when the table was captured: what runs with the store''s rights never meets a type of somebody else''s';

CREATE FUNCTION mapping_expression(relid regclass, key text, spec jsonb, prefix text, time_zone text, OUT expression text, OUT column_name text, OUT column_type text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kind text := CASE WHEN key IN ('amount', 'refunded', 'freight', 'discount', 'cost') THEN 'money'
                      WHEN key IN ('ordered_at', 'paid_at', 'shipped_at', 'completed_at') THEN 'moment'
                      WHEN key = 'items' THEN 'items' ELSE 'text' END;
    allowed text[] := CASE kind WHEN 'money' THEN '{column,value,scale}'::text[]
                                WHEN 'moment' THEN '{column,unit}'
                                WHEN 'items' THEN '{column,scale,product,category,quantity,amount,cost}'
                                ELSE '{column,value,map}' END;
    type_id oid;
    base_id oid;
    base_kind "char";
    wrong text;
BEGIN
    IF jsonb_typeof(spec) = 'string' THEN
        spec := jsonb_build_object('column', spec);
    END IF;
    IF jsonb_typeof(spec) <> 'object' OR (spec ? 'column') = (spec ? 'value') THEN
        RAISE EXCEPTION 'mapping of "%" is neither a column nor a value', key
            USING ERRCODE = 'CO001', DETAIL = format('It is %s.', spec),
                  HINT = 'Give a column name, {"column": …} or {"value": …}.';
    END IF;
    SELECT k INTO wrong FROM jsonb_object_keys(spec) k WHERE NOT k = ANY (allowed) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'mapping of "%" has an unknown property "%"', key, wrong
            USING ERRCODE = 'CO001', HINT = format('It may have %s.', array_to_string(allowed, ', '));
    END IF;
    IF jsonb_typeof(spec -> 'scale') <> 'number' OR spec ? 'unit' AND spec ->> 'unit' NOT IN ('s', 'ms') OR jsonb_typeof(spec -> 'map') <> 'object' THEN
        RAISE EXCEPTION 'mapping of "%" has a wrong scale, unit or map', key
            USING ERRCODE = 'CO001', DETAIL = format('It is %s.', spec),
                  HINT = 'scale is a number such as 0.01, unit is "s" or "ms", map is an object from words to words.';
    END IF;

    IF spec ? 'value' THEN
        IF jsonb_typeof(spec -> 'value') NOT IN ('string', 'number') OR kind = 'money' AND jsonb_typeof(spec -> 'value') <> 'number' THEN
            RAISE EXCEPTION 'mapping of "%" has a value of a wrong type', key
                USING ERRCODE = 'CO001', DETAIL = format('It is %s.', spec -> 'value'), HINT = 'Amounts are numbers, everything else is text.';
        END IF;
        expression := format('%L::%s', spec ->> 'value', CASE kind WHEN 'money' THEN 'numeric' ELSE 'text' END);
        RETURN;
    END IF;

    column_name := spec ->> 'column';
    SELECT a.atttypid INTO type_id FROM pg_attribute a
    WHERE a.attrelid = relid AND a.attname = column_name AND a.attnum > 0 AND NOT a.attisdropped;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'table % has no column "%", which the mapping names for "%"', relid, column_name, key
            USING ERRCODE = 'undefined_column',
                  HINT = format('Its columns are %s.', (SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_attribute a
                                                        WHERE a.attrelid = relid AND a.attnum > 0 AND NOT a.attisdropped));
    END IF;
    SELECT CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END, t.typtype INTO base_id, base_kind FROM pg_type t WHERE t.oid = type_id;
    column_type := format_type(type_id, NULL);
    expression := format('%s.%I', prefix, column_name);

    IF kind = 'money' AND base_id IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype, 'float4'::regtype, 'float8'::regtype) THEN
        expression := format('round(%s::numeric * %s, 4)', expression, coalesce(spec ->> 'scale', '1'));
    ELSIF kind = 'moment' AND base_id = 'timestamptz'::regtype THEN
        NULL;
    ELSIF kind = 'moment' AND base_id IN ('timestamp'::regtype, 'date'::regtype) THEN
        expression := format('(%s::timestamp AT TIME ZONE %L)', expression, time_zone);
    ELSIF kind = 'moment' AND base_id IN ('int4'::regtype, 'int8'::regtype) THEN
        -- Seconds or milliseconds of Unix time; 0 is how many applications write null.
        expression := format('to_timestamp(nullif(%s, 0)::numeric / %s)', expression, CASE spec ->> 'unit' WHEN 'ms' THEN 1000 ELSE 1 END);
    ELSIF kind = 'items' AND base_id IN ('json'::regtype, 'jsonb'::regtype) THEN
        expression := format('%s::jsonb', expression);
    ELSIF kind = 'text' AND base_kind = 'e' THEN
        -- Not a cast: the owner of the type could have made one that runs code of his own.
        expression := format('enum_out(%s)::text', expression);
    ELSIF kind = 'text' AND base_id IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype,
                                        'numeric'::regtype, 'uuid'::regtype, 'bool'::regtype, 'name'::regtype) THEN
        expression := format('%s::text', expression);
    ELSE
        RAISE EXCEPTION 'column "%" of table % has type %, which cannot be "%"', column_name, relid, column_type, key
            USING ERRCODE = 'datatype_mismatch',
                  HINT = CASE kind WHEN 'money' THEN 'Amounts are integers, numeric or floating point.'
                                   WHEN 'moment' THEN 'Moments are timestamp, timestamptz, date, or integers of Unix time.'
                                   WHEN 'items' THEN 'Items are a json or jsonb array.'
                                   ELSE 'It has to be text, a number, uuid, boolean or an enum.' END;
    END IF;
    IF spec ? 'map' THEN
        expression := format('CASE %s %s ELSE %s END', expression,
                             coalesce((SELECT string_agg(format('WHEN %L THEN %L', m.key, m.value), ' ') FROM jsonb_each_text(spec -> 'map') m),
                                      'WHEN NULL THEN NULL'), expression);
    END IF;
END
$$;
COMMENT ON FUNCTION mapping_expression(regclass, text, jsonb, text, text) IS
'how one property of a captured order is computed from a row called prefix. Errors: CO001 bad mapping, 42703 missing column, 42804 column of a wrong type';

CREATE FUNCTION captured_row(relid regclass, mapping jsonb, prefix text, time_zone text, OUT expressions text, OUT columns text[], OUT types text[])
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keys text[] := '{customer,channel,order_no,status,amount,refunded,freight,discount,cost,ordered_at,paid_at,shipped_at,completed_at,currency,source,items,name,phone,email,address}';
    key text;
    wrong text;
    e record;
    list text[] := '{}';
    paid_at text;
BEGIN
    IF mapping IS NULL OR jsonb_typeof(mapping) <> 'object' THEN
        RAISE EXCEPTION 'mapping is not a JSON object'
            USING ERRCODE = 'CO001', HINT = 'Such as {"customer": "buyer", "order_no": "sn", "amount": "paid"}.';
    END IF;
    SELECT k INTO wrong FROM jsonb_object_keys(mapping) k WHERE NOT k = ANY (keys) ORDER BY k LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'mapping has an unknown key "%"', wrong
            USING ERRCODE = 'CO001', HINT = format('The keys are %s.', array_to_string(keys, ', '));
    END IF;
    SELECT k INTO wrong FROM unnest(ARRAY['customer', 'order_no', 'amount']) k WHERE NOT mapping ? k LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'mapping lacks "%"', wrong
            USING ERRCODE = 'CO001', HINT = 'customer, order_no and amount have to be mapped.';
    END IF;
    columns := '{}';
    types := '{}';
    FOREACH key IN ARRAY keys LOOP
        IF mapping ? key THEN
            e := crm.mapping_expression(relid, key, mapping -> key, prefix, time_zone);
            IF e.column_name IS NOT NULL THEN
                columns := columns || e.column_name;
                types := types || e.column_type;
            END IF;
            list := list || e.expression;
        ELSIF key = 'channel' THEN
            list := list || '''mall''::text'::text;
        ELSIF key = 'status' AND mapping ? 'paid_at' THEN
            -- Without a status, an order with a moment of payment is paid.
            e := crm.mapping_expression(relid, 'paid_at', mapping -> 'paid_at', prefix, time_zone);
            list := list || format('CASE WHEN %s IS NULL THEN ''pending'' ELSE ''paid'' END', e.expression);
        ELSIF key = 'status' THEN
            list := list || '''paid''::text'::text;
        ELSE
            list := list || 'NULL'::text;
        END IF;
    END LOOP;
    expressions := array_to_string(list, ', ');
END
$$;
COMMENT ON FUNCTION captured_row(regclass, jsonb, text, text) IS 'the fields of captured_order computed from a row called prefix, with the columns and types they rest on';

CREATE FUNCTION capture_function(store text, source_id integer, relid regclass, mapping jsonb, per_row boolean, time_zone text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    row_new record := crm.captured_row(relid, mapping, CASE WHEN per_row THEN 'NEW' ELSE 't' END, time_zone);
    row_old record := crm.captured_row(relid, mapping, CASE WHEN per_row THEN 'OLD' ELSE 't' END, time_zone);
    from_new text := CASE WHEN per_row THEN '' ELSE ' FROM new_rows t' END;
    from_old text := CASE WHEN per_row THEN '' ELSE ' FROM old_rows t' END;
BEGIN
    RETURN format($f$
CREATE FUNCTION %1$I.%2$I() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = %1$I, crm, pg_temp
AS $function$
DECLARE
    mapping constant jsonb := %3$L;
    part record;
BEGIN
    IF NOT EXISTS (SELECT FROM order_source s WHERE s.source_id = %4$s AND (s.relid = TG_RELID OR s.relid IN (SELECT pg_partition_ancestors(TG_RELID)))) THEN
        RAISE EXCEPTION 'table %% is not captured by this store', TG_RELID::regclass
            USING ERRCODE = 'insufficient_privilege', HINT = 'crm.capture_orders() attaches a table; drop this trigger.';
    END IF;
    IF TG_OP = 'TRUNCATE' THEN
        RAISE EXCEPTION 'cannot truncate table %%: its orders are captured', TG_RELID::regclass
            USING ERRCODE = 'feature_not_supported', HINT = 'DELETE the rows, or release the table with crm.release_orders() first.';
    END IF;
    PERFORM crm.check_captured_columns(TG_RELID, %5$L, %6$L);
%7$s
    -- A key that no longer stands there: the order was deleted or has another number now.
    IF TG_OP = 'DELETE' THEN
        PERFORM drop_captured(g.orders)
        FROM (SELECT array_agg(r.o) AS orders
              FROM (SELECT ROW(%10$s)::captured_order AS o, row_number() OVER () / 5000 AS chunk%11$s) r GROUP BY r.chunk) g;
    ELSIF TG_OP = 'UPDATE' THEN
        PERFORM drop_captured(g.orders)
        FROM (SELECT array_agg(r.o) AS orders
              FROM (SELECT ROW(%10$s)::captured_order AS o, row_number() OVER () / 5000 AS chunk%11$s) r
              WHERE NOT EXISTS (SELECT FROM (SELECT ROW(%8$s)::captured_order AS n%9$s) x WHERE (x.n).channel = (r.o).channel AND (x.n).order_no = (r.o).order_no)
              GROUP BY r.chunk) g;
        -- Rows of which nothing that is mapped changed are left alone; contacts follow only what changed of them.
        FOR part IN
            WITH o AS MATERIALIZED (SELECT ROW(%10$s)::captured_order AS o%11$s),
                 n AS (SELECT ROW(%8$s)::captured_order AS n%9$s),
                 c AS (SELECT x.n, NOT EXISTS (SELECT FROM o WHERE ((o.o).channel, (o.o).customer, (o.o).name, (o.o).phone, (o.o).email, (o.o).address)
                                                             IS NOT DISTINCT FROM ((x.n).channel, (x.n).customer, (x.n).name, (x.n).phone, (x.n).email, (x.n).address)
                                                             AND (o.o).order_no = (x.n).order_no) AS fresh,
                              (row_number() OVER (ORDER BY (x.n).channel, (x.n).customer) - 1) / 5000 AS chunk
                       FROM (SELECT n.n FROM n EXCEPT SELECT o.o FROM o) x)
            SELECT array_agg(c.n) AS orders, array_agg(c.fresh) AS fresh FROM c GROUP BY c.chunk ORDER BY c.chunk
        LOOP
            PERFORM put_captured(part.orders, mapping, part.fresh);
        END LOOP;
    ELSE
        FOR part IN
            SELECT array_agg(c.n) AS orders
            FROM (SELECT x.n, (row_number() OVER (ORDER BY (x.n).channel, (x.n).customer) - 1) / 5000 AS chunk
                  FROM (SELECT ROW(%8$s)::captured_order AS n%9$s) x) c
            GROUP BY c.chunk ORDER BY c.chunk
        LOOP
            PERFORM put_captured(part.orders, mapping);
        END LOOP;
    END IF;
%12$s
    RETURN NULL;
END
$function$$f$,
        store, 'capture_' || source_id, mapping::text, source_id, row_new.columns, row_new.types,
        CASE WHEN per_row THEN '    PERFORM crm.origin_begin();' ELSE '' END,
        row_new.expressions, from_new, row_old.expressions, from_old,
        CASE WHEN per_row THEN '    PERFORM crm.origin_end();' ELSE '' END);
END
$body$;
COMMENT ON FUNCTION capture_function(text, integer, regclass, jsonb, boolean, text) IS 'the trigger function that capture_orders makes for a table';

CREATE FUNCTION require_owners(store text, relid regclass) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM crm.require_store(store);
    IF NOT pg_has_role((SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = store), 'USAGE') THEN
        RAISE EXCEPTION 'must be owner of store "%"', store USING ERRCODE = 'insufficient_privilege',
            HINT = 'Whoever attaches a table to a store decides what its orders are.';
    END IF;
    IF NOT pg_has_role((SELECT c.relowner FROM pg_class c WHERE c.oid = relid), 'USAGE') THEN
        RAISE EXCEPTION 'must be owner of table %', relid USING ERRCODE = 'insufficient_privilege',
            HINT = 'A trigger on the table is made or dropped.';
    END IF;
END
$$;
COMMENT ON FUNCTION require_owners(text, regclass) IS 'raises unless the caller has the rights of the owner of the store and of the table';

CREATE FUNCTION capture_orders(store text, source_table regclass, mapping jsonb, fill boolean DEFAULT true, per_row boolean DEFAULT false,
                               earn_history boolean DEFAULT false)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    zone text;
    store_owner name;
    id integer;
    function_name text;
    events text[] := ARRAY['INSERT', 'UPDATE', 'DELETE'];
    referencing text[] := ARRAY['NEW TABLE AS new_rows', 'OLD TABLE AS old_rows NEW TABLE AS new_rows', 'OLD TABLE AS old_rows'];
    selection text;
    twice text;
    n bigint := 0;
BEGIN
    PERFORM crm.require_owners(store, source_table);
    IF (SELECT c.relkind FROM pg_class c WHERE c.oid = source_table) NOT IN ('r', 'p') THEN
        RAISE EXCEPTION '% is not a table', source_table
            USING ERRCODE = 'wrong_object_type', HINT = 'Orders are captured from tables; name the table behind the view.';
    END IF;
    IF crm.is_distributed(source_table) THEN
        RAISE EXCEPTION 'table % is distributed, and its orders are not captured', source_table
            USING ERRCODE = 'feature_not_supported', HINT = 'A table of the coordinator alone is followed, such as one that a subscription feeds, with per_row => true.';
    END IF;
    EXECUTE format('SELECT time_zone FROM %I.settings', store) INTO zone;
    IF zone IS NULL THEN
        RAISE EXCEPTION 'store "%" has no settings', store
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Restore its data first.';
    END IF;
    -- Bad mappings raise here, before anything is made.
    selection := (crm.captured_row(source_table, mapping, 't', zone)).expressions;

    BEGIN
        EXECUTE format('INSERT INTO %I.order_source (relid, mapping, per_row) VALUES ($1, $2, $3) RETURNING source_id', store)
            INTO id USING source_table, mapping, per_row;
    EXCEPTION WHEN unique_violation THEN
        RAISE EXCEPTION 'store "%" captures table % already', store, source_table
            USING ERRCODE = 'duplicate_object', HINT = 'crm.release_orders() lets it go; its orders stay.';
    END;
    function_name := 'capture_' || id;
    SELECT pg_get_userbyid(s.nspowner) INTO store_owner FROM pg_namespace s WHERE s.nspname = store;
    EXECUTE crm.capture_function(store, id, source_table, mapping, per_row, zone);
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %I.%I() FROM PUBLIC', store, function_name);
    FOR i IN 1..3 LOOP
        EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s %s FOR EACH %s EXECUTE FUNCTION %I.%I()',
                       format('crm_%s_%s_%s', store, function_name, lower(events[i])), events[i], source_table,
                       CASE WHEN per_row THEN '' ELSE 'REFERENCING ' || referencing[i] END,
                       CASE WHEN per_row THEN 'ROW' ELSE 'STATEMENT' END, store, function_name);
        IF per_row THEN
            EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', source_table, format('crm_%s_%s_%s', store, function_name, lower(events[i])));
        END IF;
    END LOOP;
    EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION %I.%I()',
                   format('crm_%s_%s_truncate', store, function_name), source_table, store, function_name);
    EXECUTE format('ALTER FUNCTION %I.%I() OWNER TO %I', store, function_name, store_owner);

    -- The triggers hold off writers until the end of the transaction, so no change falls between history and them.
    IF fill THEN
        selection := format('SELECT ROW(%s)::%I.captured_order AS n FROM %s t', selection, store, source_table);
        EXECUTE format('SELECT (x.n).order_no FROM (%s) x GROUP BY (x.n).channel, (x.n).order_no HAVING count(*) > 1 LIMIT 1', selection) INTO twice;
        IF twice IS NOT NULL THEN
            RAISE EXCEPTION 'order "%" stands in table % more than once', twice, source_table
                USING ERRCODE = 'CO004', HINT = 'Map order_no to what tells the rows apart; a table of order lines cannot be captured.';
        END IF;
        -- In one statement, since a variable of this function cannot take the captured_order of one store after that of another.
        EXECUTE format('SELECT coalesce(sum(p.n), 0) FROM (SELECT array_agg(c.n) AS orders, count(*) AS n FROM (SELECT x.n, (row_number() OVER (ORDER BY (x.n).channel, (x.n).customer) - 1) / 5000 AS chunk FROM (%s) x) c GROUP BY c.chunk ORDER BY c.chunk) p, LATERAL %I.put_captured(p.orders, $1, NULL, $2)', selection, store)
            INTO n USING mapping, NOT earn_history;
    END IF;
    RETURN n;
END
$$;
COMMENT ON FUNCTION capture_orders(text, regclass, jsonb, boolean, boolean, boolean) IS
'makes a store follow a table of the application''s own: its rows so far (fill) and every insert, update and delete from now on become purchases; the number of rows filled in. History earns no points unless earn_history. per_row => true makes ALWAYS row triggers, for a table fed by a subscription, under which statement triggers do not fire. Called by who owns both store and table. Errors: CO001 bad mapping, 42703 missing column, 42804 wrong type, 42501 not owner, 42710 captured already, 0A000 a table that Citus distributes, CO003 unknown status word, CO004 order number twice';

CREATE FUNCTION release_orders(store text, source_table regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    id integer;
BEGIN
    PERFORM crm.require_owners(store, source_table);
    EXECUTE format('DELETE FROM %I.order_source WHERE relid = $1 RETURNING source_id', store) INTO id USING source_table;
    IF id IS NULL THEN
        RAISE EXCEPTION 'store "%" does not capture table %', store, source_table
            USING ERRCODE = 'undefined_object', HINT = format('SELECT relid FROM %I.order_source lists its tables.', store);
    END IF;
    -- Takes the triggers along.
    EXECUTE format('DROP FUNCTION IF EXISTS %I.%I() CASCADE', store, 'capture_' || id);
END
$$;
COMMENT ON FUNCTION release_orders(text, regclass) IS 'ends capture_orders() for a table: its triggers go, the captured orders stay';
