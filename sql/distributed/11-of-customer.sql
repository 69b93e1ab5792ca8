-- Functions of one customer that ask several tables: they run in the part that has the customer.
DO $do$
DECLARE
    f record;
    asked text;
    body text;
BEGIN
    FOR f IN
        SELECT p.oid, p.proname, p.proretset, p.prorettype, p.prosecdef, y.typtype = 'c' AS gives_row, format_type(p.prorettype, NULL) AS result, p.provolatile = 'v' AS writes,
               pg_get_function_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS returns,
               array_position(p.proargnames, 'customer_id') AS place,
               (SELECT string_agg('%L::' || format_type(t, NULL), ', ' ORDER BY n) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY u (t, n)) AS holes,
               (SELECT string_agg('$' || n, ', ' ORDER BY n) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY u (t, n)) AS given,
               (SELECT string_agg(format('%I %s', p.proargnames[n], format_type(t, NULL)), ', ' ORDER BY n) FROM unnest(p.proallargtypes, p.proargmodes) WITH ORDINALITY u (t, m, n) WHERE m IN ('o', 't')) AS columns,
               (SELECT string_agg(quote_ident(p.proargnames[n]), ', ' ORDER BY n) FROM unnest(p.proallargtypes, p.proargmodes) WITH ORDINALITY u (t, m, n) WHERE m IN ('o', 't')) AS outs
        FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_type y ON y.oid = p.prorettype
        WHERE p.pronamespace = (SELECT k.relnamespace FROM pg_catalog.pg_class k WHERE k.oid = 'customer'::regclass)
          AND p.proname IN ('failed_outbox', 'outbox_event', 'render_message',
                            'tier_at', 'tier_benefits', 'growth_between', 'tier_progress', 'benefit_period_start', 'price_for',
                            'contact_refusal', 'set_contact', 'grant_tier', 'lock_tier', 'judge_order', 'use_benefit', 'check_in', 'earn_event', 'earn_for', 'attend_activity', 'enter_draw')
    LOOP
        asked := format('ask_part(part_of($%s), format(%L, %s), NULL, %L) j', f.place,
                        CASE WHEN f.columns IS NOT NULL THEN 'SELECT to_jsonb(r)::text' ELSE 'SELECT r::text' END || format(' FROM %I(%s) r', f.proname, f.holes), f.given, f.writes);
        body := CASE
            WHEN f.columns IS NOT NULL AND f.proretset THEN format('RETURN QUERY SELECT v.* FROM %s CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (%s)', asked, f.columns)
            WHEN f.columns IS NOT NULL THEN format('SELECT v.* INTO %s FROM %s CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (%s)', f.outs, asked, f.columns)
            WHEN f.proretset THEN format('RETURN QUERY SELECT (t.d).* FROM (SELECT j::%s AS d FROM %s OFFSET 0) t', f.result, asked)
            WHEN f.prorettype = 'void'::regtype THEN format('PERFORM %s', regexp_replace(asked, ' j$', ''))
            ELSE format('RETURN (SELECT j::%s FROM %s)', f.result, asked) END;
        EXECUTE format(E'CREATE OR REPLACE FUNCTION %I(%s) RETURNS %s\nLANGUAGE plpgsql %s %s\nSET search_path FROM CURRENT\nAS %L',
                       f.proname, f.arguments, f.returns, CASE WHEN f.writes THEN 'VOLATILE' ELSE 'STABLE' END, CASE WHEN f.prosecdef THEN 'SECURITY DEFINER' END,
                       format(E'#variable_conflict use_column\nBEGIN\n    %s;\nEND', body));
    END LOOP;
END
$do$;
