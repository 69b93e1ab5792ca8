-- Citus reads what stands behind a view with the rights of who asks. A view that shows what its reader may not read asks as the owner.

-- There is no archive here: who reads entries, as each verb does, reads one table of one node.
DO $do$
BEGIN
    EXECUTE (SELECT format('CREATE OR REPLACE VIEW points_entry_all AS SELECT %s FROM points_entry e', string_agg(format('e.%I', a.attname), ', ' ORDER BY a.attnum))
             FROM pg_catalog.pg_attribute a WHERE a.attrelid = 'points_entry_all'::regclass AND a.attnum > 0);
END
$do$;

CREATE FUNCTION show_view(name text) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    owner name := (SELECT pg_get_userbyid(s.nspowner) FROM pg_catalog.pg_namespace s WHERE s.nspname = current_schema());
    shown text := name || '_parts';
    split_by text := CASE name WHEN 'identity_masked' THEN 'placed' ELSE 'customer_id' END;
    columns text;
    picked text;
    role text;
BEGIN
    SELECT string_agg(format('%I %s%s', a.attname, format_type(a.atttypid, a.atttypmod), CASE WHEN a.attcollation <> y.typcollation THEN ' COLLATE ' || a.attcollation::regcollation END),
                      ', ' ORDER BY a.attnum),
           string_agg(format('p.%I', a.attname), ', ' ORDER BY a.attnum) INTO columns, picked
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type y ON y.oid = a.atttypid WHERE a.attrelid = quote_ident(name)::regclass AND a.attnum > 0;
    -- Identities lie by what is masked here: by a column of their places no reader can look for it, and no node is left out.
    EXECUTE format('CREATE TABLE %I (%s) PARTITION BY LIST (%I)', shown, columns || CASE name WHEN 'identity_masked' THEN ', placed text' ELSE '' END, split_by);
    EXECUTE format('COMMENT ON TABLE %I IS %L', shown, format('has no rows: its shards are %s in the parts of the store, and %s is read by it', name, name));
    EXECUTE format('ALTER TABLE %I OWNER TO %I', shown, owner);
    PERFORM create_distributed_table(quote_ident(shown), split_by, colocate_with => format('%I.%I', current_schema(), CASE name WHEN 'identity_masked' THEN 'identity' ELSE 'customer' END));
    IF name = 'identity_masked' AND to_regclass('identity_empty_parts') IS NULL THEN
        -- Before it moves shards Citus adds up the sizes of those that are partitioned, and takes no sum of views alone.
        CREATE TABLE identity_empty_parts (placed text) PARTITION BY LIST (placed);
        EXECUTE format('ALTER TABLE identity_empty_parts OWNER TO %I', owner);
        COMMENT ON TABLE identity_empty_parts IS 'has no rows, and nothing is read from it: without it Citus would not move shards of identity';
        PERFORM create_distributed_table('identity_empty_parts', split_by, colocate_with => format('%I.identity', current_schema()));
    END IF;
    FOR role IN
        SELECT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END
        FROM pg_catalog.pg_class k CROSS JOIN LATERAL aclexplode(k.relacl) x WHERE k.oid = quote_ident(name)::regclass AND x.privilege_type = 'SELECT'
    LOOP
        EXECUTE format('GRANT SELECT ON %I TO %s', shown, role);
    END LOOP;
    INSERT INTO access_rule (kind, object_type, object, privilege)
    SELECT r.kind, 'table', shown, r.privilege FROM access_rule r WHERE r.object_type = 'table' AND r.object = name AND r.privilege LIKE 'SELECT%'
    ON CONFLICT DO NOTHING;
    -- A join with what lies by the customer reads these first, which Citus sees by the DISTINCT.
    EXECUTE format(CASE name WHEN 'identity_masked' THEN 'CREATE OR REPLACE VIEW %I AS SELECT %s FROM (SELECT DISTINCT p.* FROM %I p WHERE crm.shows_parts(%L::regclass, %L::bigint)) p'
                             ELSE 'CREATE OR REPLACE VIEW %I AS SELECT %s FROM %I p WHERE crm.shows_parts(%L::regclass, %L::bigint)' END, name, picked, shown, format('%I.%I', current_schema(), shown),
                   crm.parts_placed(quote_ident(shown)::regclass));
    EXECUTE format('ALTER VIEW %I OWNER TO %I', name, owner);
END
$$;
REVOKE EXECUTE ON FUNCTION show_view(text) FROM PUBLIC;
COMMENT ON FUNCTION show_view(text) IS 'makes a view of rows of a customer each read through a table whose shards are that view in the parts, which show_in_part puts there: so Citus plans with it as with a table, and the parts show it with the rights of the owner';

CREATE FUNCTION let_views_read() RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    v record;
    owner name := (SELECT pg_get_userbyid(s.nspowner) FROM pg_catalog.pg_namespace s WHERE s.nspname = current_schema());
    routine text;
    name text;
BEGIN
    -- Rows of a customer each, made of what lies in her part.
    FOREACH name IN ARRAY ARRAY['customer_360_all', 'contact_masked', 'contact_provenance', 'contact_quality', 'note_masked', 'identity_masked', 'consent_state', 'points_balance', 'points_lot', 'points_journal', 'points_entry_archived',
                                'customer_rfm', 'customer_window', 'customer_contact_event', 'customer_open_complaint', 'repeat_complaint', 'ticket_time', 'service_turn'] LOOP
        PERFORM show_view(name);
    END LOOP;
    PERFORM crm.on_parts(current_schema(), format('crm.show_in_part(%L, p.part)', current_schema()));
    FOR v IN
        WITH RECURSIVE reads AS (
            SELECT k.oid AS view, k.oid AS relation, k.relkind FROM pg_catalog.pg_class k WHERE k.relnamespace = to_regnamespace(quote_ident(current_schema())) AND k.relkind = 'v'
            UNION
            SELECT r.view, k.oid, k.relkind
            FROM reads r
            JOIN pg_catalog.pg_rewrite w ON w.ev_class = r.relation
            JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.relation
            JOIN pg_catalog.pg_class k ON k.oid = d.refobjid AND k.relkind IN ('r', 'p', 'v')
            WHERE r.relkind = 'v'
        )
        SELECT k.relname AS name, pg_get_viewdef(k.oid) AS definition,
               string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum) AS columns,
               string_agg(format('r.%I%s', a.attname, CASE WHEN a.attcollation <> y.typcollation THEN ' COLLATE ' || a.attcollation::regcollation END), ', ' ORDER BY a.attnum) AS picked
        FROM pg_catalog.pg_class k
        JOIN pg_catalog.pg_attribute a ON a.attrelid = k.oid AND a.attnum > 0
        JOIN pg_catalog.pg_type y ON y.oid = a.atttypid
        WHERE k.oid IN (SELECT r.view FROM reads r JOIN pg_catalog.pg_class t ON t.oid = r.relation
                            AND (t.relkind IN ('r', 'p') AND crm.is_distributed(t.oid)
                                 -- Another view that asks by a function.
                                 OR t.oid <> r.view AND to_regprocedure(quote_ident(t.relname || '_rows') || '()') IS NOT NULL)
                        JOIN pg_catalog.pg_class n ON n.oid = r.view
                        JOIN access_rule u ON u.object_type = 'table' AND u.object = n.relname AND u.privilege LIKE 'SELECT%'
                        WHERE NOT EXISTS (SELECT 1 FROM access_rule o WHERE o.kind = u.kind AND o.object_type = 'table' AND o.object = t.relname AND o.privilege = 'SELECT'))
        GROUP BY k.oid, k.relname
        ORDER BY k.oid
    LOOP
        routine := format('%I()', v.name || '_rows');
        EXECUTE format(E'CREATE FUNCTION %s RETURNS TABLE (%s)\nLANGUAGE plpgsql STABLE SECURITY DEFINER\nSET search_path FROM CURRENT\nAS %L', routine, v.columns,
                       format(E'#variable_conflict use_column\nBEGIN\n    RETURN QUERY %s;\nEND', rtrim(v.definition, ';')));
        EXECUTE format('ALTER FUNCTION %s OWNER TO %I', routine, owner);
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', routine);
        EXECUTE format('COMMENT ON FUNCTION %s IS %L', routine, 'the rows of ' || v.name || ', read as the owner of the store');
        EXECUTE format('CREATE OR REPLACE VIEW %I AS SELECT %s FROM %s r', v.name, v.picked, routine);
        EXECUTE format('ALTER VIEW %I OWNER TO %I', v.name, owner);
        PERFORM grant_as_view(quote_ident(v.name), routine);
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION let_views_read() FROM PUBLIC;
COMMENT ON FUNCTION let_views_read() IS 'makes views that show what their readers may not read themselves ask as the owner: run once, when the store is distributed';
