-- Views that join what Citus does not: each part gives its rows, those of a group are added up.
DO $do$
DECLARE
    v text;
    keys integer;
    columns text;
    picked text;
BEGIN
    FOR v, keys IN VALUES ('points_trial_balance', 2), ('points_flow', 2), ('campaign_report', 8), ('check_in_leaderboard', NULL) LOOP
        SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum),
               string_agg(format(CASE WHEN a.attnum > keys THEN 'sum(r.%1$I)::%2$s AS %1$I'
                                      WHEN a.attname = 'rank' THEN 'row_number() OVER (ORDER BY r.streak DESC, r.at, r.customer_id) AS rank'
                                      ELSE 'r.%1$I%3$s' END, a.attname, format_type(a.atttypid, a.atttypmod),
                                 CASE WHEN a.attcollation <> y.typcollation THEN ' COLLATE ' || a.attcollation::regcollation END), ', ' ORDER BY a.attnum)
               || format(' FROM %I() r', v || '_rows') || coalesce(' GROUP BY ' || (SELECT string_agg(n::text, ', ') FROM generate_series(1, keys) n), '') INTO columns, picked
        FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type y ON y.oid = a.atttypid WHERE a.attrelid = v::regclass AND a.attnum > 0;
        EXECUTE format($f$
            CREATE FUNCTION %1$I() RETURNS TABLE (%2$s)
            LANGUAGE plpgsql STABLE SECURITY DEFINER
            SET search_path FROM CURRENT
            AS $$
            BEGIN
                RETURN QUERY SELECT v.* FROM ask_parts(%3$L) j CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (%2$s);
            END
            $$;
            REVOKE EXECUTE ON FUNCTION %1$I() FROM PUBLIC;
            COMMENT ON FUNCTION %1$I() IS %4$L;
            CREATE OR REPLACE VIEW %5$I AS SELECT %6$s;
        $f$, v || '_rows', columns, format('SELECT to_jsonb(r)::text FROM %I r', v), 'the rows of ' || v || ' of all parts', v, picked);
        PERFORM grant_as_view(v, format('%I()', v || '_rows'));
    END LOOP;
END
$do$;

CREATE OR REPLACE FUNCTION points_expiring(within interval DEFAULT '30 days', as_of timestamptz DEFAULT now())
RETURNS TABLE (customer_id bigint, program text, points bigint, expires_at timestamptz)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT v.* FROM ask_parts(format('SELECT to_jsonb(r)::text FROM points_expiring(%L, %L) r', within, as_of)) j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (customer_id bigint, program text, points bigint, expires_at timestamptz)
    ORDER BY v.expires_at, v.customer_id, v.program;
END
$$;
