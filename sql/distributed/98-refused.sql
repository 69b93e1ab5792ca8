-- What a store over several nodes does not do says so, before anything is written.
DO $do$
DECLARE
    f record;
BEGIN
    FOR f IN
        SELECT p.proname, p.prokind, pg_get_function_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result, v.hint
        FROM (VALUES ('merge_customers', 'Two customers may be on two nodes: transfer() moves their points.'), ('undo_merge', 'Nothing was merged here.'),
                     ('import_store', 'Import it into a store of one node, and distribute that.'), ('settle_merges', 'Nothing was merged here.'), ('merge_duplicates', 'Two customers may be on two nodes: find_duplicates() names them.'),
                     ('archive_points', 'Entries stay where they are.')) v (name, hint)
        JOIN pg_catalog.pg_proc p ON p.proname = v.name AND p.pronamespace = (SELECT k.relnamespace FROM pg_catalog.pg_class k WHERE k.oid = 'customer'::regclass)
    LOOP
        EXECUTE format($f$
            CREATE OR REPLACE %s %I(%s)%s
            LANGUAGE plpgsql
            AS $$
            BEGIN
                RAISE EXCEPTION '%%() does not run over several nodes', %L USING ERRCODE = 'feature_not_supported', HINT = %L;
            END
            $$$f$, CASE f.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, f.proname, f.arguments, ' RETURNS ' || f.result, f.proname, f.hint);
    END LOOP;
END
$do$;
