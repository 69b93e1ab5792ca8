-- Citus reads what stands behind a view with the rights of who asks. A view that shows what its reader may not read asks as the owner.

-- There is no archive here: who reads entries, as each verb does, reads one table of one node.
DO $do$
BEGIN
    EXECUTE (SELECT format('CREATE OR REPLACE VIEW points_entry_all AS SELECT %s FROM points_entry e', string_agg(format('e.%I', a.attname), ', ' ORDER BY a.attnum))
             FROM pg_catalog.pg_attribute a WHERE a.attrelid = 'points_entry_all'::regclass AND a.attnum > 0);
END
$do$;

CREATE FUNCTION let_views_read() RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    v record;
    owner name := (SELECT pg_get_userbyid(s.nspowner) FROM pg_catalog.pg_namespace s WHERE s.nspname = current_schema());
    routine text;
BEGIN
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
