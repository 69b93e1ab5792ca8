-- What crm.health asks, and the jobs that keep a store well.

CREATE TABLE job_schedule (
    job text PRIMARY KEY,
    command text NOT NULL,
    cron text NOT NULL CHECK (cron ~ '^\S+( \S+){4}$'),
    overdue_after interval NOT NULL CHECK (overdue_after > interval '0'),
    active boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE job_schedule IS 'the jobs that keep the store well, for schedule_jobs() and crontab(); crm.health tells which are overdue';
COMMENT ON COLUMN job_schedule.job IS 'as in job_progress';
COMMENT ON COLUMN job_schedule.command IS 'SQL; {store} stands for the store''s schema';
COMMENT ON COLUMN job_schedule.cron IS 'minute hour day month weekday';
COMMENT ON COLUMN job_schedule.overdue_after IS 'crm.health asks for attention when work has waited so long';
COMMENT ON COLUMN job_schedule.active IS 'false: the store does not use it';

CREATE PROCEDURE verify_store(checkpoint boolean DEFAULT true, store regclass DEFAULT 'settings'::regclass)
LANGUAGE plpgsql
AS $$
DECLARE
    schema pg_catalog.text := (SELECT c.relnamespace::pg_catalog.regnamespace::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) store);
    check_name pg_catalog.text;
    found bigint;
    findings pg_catalog.jsonb := '{}';
    done bigint := 0;
    checks CONSTANT pg_catalog.text[] := '{points_verify,points_verify_checkpoints,recount_customers,check_tag_audience}';
BEGIN
    IF checkpoint THEN
        EXECUTE pg_catalog.format('SELECT %s.points_checkpoint()', schema);
        COMMIT;
    END IF;
    FOREACH check_name IN ARRAY checks LOOP
        -- A transaction each, so that none holds back vacuum for the time of all.
        EXECUTE pg_catalog.format('SELECT pg_catalog.count(*) FROM %s.%I()', schema, check_name) INTO found;
        findings := findings OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object(check_name, found);
        done := done OPERATOR(pg_catalog.+) 1;
        EXECUTE pg_catalog.format($job$INSERT INTO %s.job_progress AS j (job, state, done, total, cursor) VALUES ('verify_store', $1, $2, $3, $4)
            ON CONFLICT (job) DO UPDATE SET state = excluded.state, done = excluded.done, total = excluded.total, cursor = excluded.cursor,
                started_at = CASE WHEN excluded.done OPERATOR(pg_catalog.=) 1 THEN excluded.started_at ELSE j.started_at END,
                updated_at = excluded.updated_at$job$, schema)
            USING CASE WHEN done OPERATOR(pg_catalog.=) pg_catalog.cardinality(checks) THEN 'done' ELSE 'running' END, done,
                  pg_catalog.cardinality(checks)::pg_catalog.int8, findings;
        IF found OPERATOR(pg_catalog.>) 0 THEN
            RAISE WARNING '% findings: SELECT * FROM %.%()', found, schema, check_name;
        END IF;
        COMMIT;
    END LOOP;
END
$$;
COMMENT ON PROCEDURE verify_store(boolean, regclass) IS
'checks the ledger, its checkpoints, the summaries and the audiences, a transaction each, and leaves the number of findings in job_progress.cursor, which crm.health reads; warns of each kind found. checkpoint: takes one first';
REVOKE EXECUTE ON PROCEDURE verify_store(boolean, regclass) FROM PUBLIC;

CREATE FUNCTION scheduled_jobs() RETURNS TABLE (name text, cron text, command text)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT format('%s %s', n.nspname, j.job), j.cron, replace(j.command, '{store}', quote_ident(n.nspname))
    FROM job_schedule j
    CROSS JOIN (SELECT c.relnamespace FROM pg_catalog.pg_class c WHERE c.oid = 'job_schedule'::regclass) t
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
    WHERE j.active
    ORDER BY j.job
$$;
COMMENT ON FUNCTION scheduled_jobs() IS 'the active jobs of job_schedule as pg_cron takes them';

CREATE FUNCTION crontab() RETURNS SETOF text
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT format('%s psql -X -q -d %s -c ''%s''', j.cron, quote_literal(current_database()), replace(j.command, '''', '''\'''''))
    FROM scheduled_jobs() j
$$;
COMMENT ON FUNCTION crontab() IS 'the active jobs as lines of a crontab, for machines without pg_cron';

CREATE FUNCTION schedule_jobs() RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    here name := (SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = 'job_schedule'::regclass);
    j record;
    n bigint := 0;
BEGIN
    IF to_regprocedure('cron.schedule(text,text,text)') IS NULL THEN
        RAISE EXCEPTION 'pg_cron is not installed in this database' USING ERRCODE = 'undefined_object',
            HINT = format('CREATE EXTENSION pg_cron, or put the lines of %I.crontab() into a crontab.', here);
    END IF;
    -- What this store had there and no longer wants goes.
    FOR j IN EXECUTE 'SELECT c.jobid FROM cron.job c WHERE c.jobname LIKE $1 AND c.username = CURRENT_USER AND c.database = current_database()'
        USING replace(replace(here::text, '\', '\\'), '_', '\_') || ' %'
    LOOP
        EXECUTE 'SELECT cron.unschedule($1)' USING j.jobid;
    END LOOP;
    FOR j IN SELECT * FROM scheduled_jobs() LOOP
        EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING j.name, j.cron, j.command;
        n := n + 1;
    END LOOP;
    RETURN n;
END
$$;
COMMENT ON FUNCTION schedule_jobs() IS 'gives pg_cron the active jobs of job_schedule, in place of those this store had there: how many. Run it again after job_schedule changed. Error 42704 without pg_cron, with the way around it';

CREATE FUNCTION health_jobs() RETURNS TABLE (subject text, state text, detail text)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT 'overdue jobs', CASE WHEN count(*) FILTER (WHERE x.late) = 0 THEN 'ok' ELSE 'attention' END,
           CASE WHEN count(*) FILTER (WHERE x.late) = 0 THEN format('%s jobs in job_schedule, none overdue', count(*))
                ELSE string_agg(format('%s: last %s', x.job, coalesce(to_char(x.last, 'YYYY-MM-DD HH24:MI'), 'never')), '; ' ORDER BY x.job) FILTER (WHERE x.late) END
    FROM (SELECT j.job, p.updated_at AS last, coalesce(p.updated_at, s.created_at) < now() - j.overdue_after AS late
          FROM job_schedule j CROSS JOIN settings s LEFT JOIN job_progress p ON p.job = j.job
          WHERE j.active) x
$$;
COMMENT ON FUNCTION health_jobs() IS 'for crm.health: jobs of job_schedule that did not run in their time';

CREATE FUNCTION health_backlog() RETURNS TABLE (subject text, state text, detail text)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    -- Counted to a bound, so that a great backlog is told as fast as a small one.
    SELECT b.subject, CASE WHEN b.n > b.bar THEN 'attention' ELSE 'ok' END,
           format('%s%s%s', b.n, CASE WHEN b.n = 100001 THEN ' or more' END, b.what)
    FROM (SELECT 'points backlog' AS subject, 0 AS bar, ' accounts with movements due for more than a day: CALL expire_points()' AS what,
                 (SELECT count(*) FROM (SELECT 1 FROM points_account a WHERE a.next_due < now() - interval '1 day' AND NOT a.closed LIMIT 100001) x) AS n
          UNION ALL
          SELECT 'tag backlog', 0, ' tags expired for more than a day: CALL expire_tags()',
                 (SELECT count(*) FROM (SELECT 1 FROM tag_expiry e WHERE e.expires_at < now() - interval '1 day' LIMIT 100001) x)
          UNION ALL
          SELECT 'unfolded tag changes', 50000, ' rows in tag_audience_change: CALL fold_tag_audience()',
                 (SELECT count(*) FROM (SELECT 1 FROM tag_audience_change LIMIT 100001) x)
          UNION ALL
          SELECT 'outbox backlog', 0, ' messages due for more than an hour: are the workers up?',
                 (SELECT count(*) FROM (SELECT 1 FROM outbox o WHERE o.state = 'pending' AND o.due_at < now() - interval '1 hour' LIMIT 100001) x)) b
$$;
COMMENT ON FUNCTION health_backlog() IS 'for crm.health: what waits to be booked, folded or sent';

CREATE FUNCTION health_ledger() RETURNS TABLE (subject text, state text, detail text)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT 'verified', CASE WHEN NOT x.used OR x.findings = 0 AND x.state = 'done' AND x.at > now() - interval '8 days' THEN 'ok' ELSE 'attention' END,
           CASE WHEN NOT x.used THEN 'the ledger is empty'
                WHEN x.at IS NULL THEN 'never: CALL verify_store()'
                ELSE format('%s, %s findings%s', to_char(x.at, 'YYYY-MM-DD HH24:MI'), x.findings, CASE WHEN x.state <> 'done' THEN ', not finished' END) END
    FROM (SELECT EXISTS (SELECT 1 FROM points_account a WHERE a.seq > 0) AS used, p.state, p.updated_at AS at,
                 (SELECT coalesce(sum(v.value::bigint), 0) FROM jsonb_each_text(p.cursor) v) AS findings
          FROM (SELECT) o LEFT JOIN job_progress p ON p.job = 'verify_store') x
    UNION ALL
    SELECT 'checkpoint', CASE WHEN NOT x.used OR x.at > now() - interval '8 days' THEN 'ok' ELSE 'attention' END,
           CASE WHEN NOT x.used THEN 'the ledger is empty'
                WHEN x.at IS NULL THEN 'none: SELECT points_checkpoint(), and keep its root outside'
                ELSE format('the last on %s', to_char(x.at, 'YYYY-MM-DD HH24:MI')) END
    FROM (SELECT EXISTS (SELECT 1 FROM points_account a WHERE a.seq > 0) AS used, (SELECT max(c.taken_at) FROM points_checkpoint c) AS at) x
$$;
COMMENT ON FUNCTION health_ledger() IS 'for crm.health: how old the last verification and the last checkpoint are, and what was found';

CREATE FUNCTION health_archive() RETURNS TABLE (subject text, state text, detail text)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    -- Who archives once goes on: what is as old as the last run's entries were, and a month older, should have followed them. Of the newest checkpoint
    -- of that age a thousand accounts are asked, so that a large ledger answers as fast as a small one.
    WITH j AS MATERIALIZED (
        SELECT a.updated_at, a.state, CASE WHEN isfinite(b.before) THEN now() - (a.updated_at - b.before) - interval '1 month' END AS cold,
               v.updated_at AS verified, v.state AS verify_state
        FROM job_progress a
        CROSS JOIN LATERAL (SELECT (a.cursor ->> 'before')::timestamptz AS before) b
        LEFT JOIN job_progress v ON v.job = 'verify_store'
        WHERE a.job = 'archive_points'),
    behind AS MATERIALIZED (
        SELECT count(*) AS n
        FROM (SELECT l.customer_id, l.program, j.cold
              FROM j
              CROSS JOIN LATERAL (SELECT c.checkpoint FROM points_checkpoint c WHERE c.taken_at < j.cold ORDER BY c.checkpoint DESC LIMIT 1) c
              JOIN points_checkpoint_leaf l ON l.checkpoint = c.checkpoint
              JOIN points_account a ON a.customer_id = l.customer_id AND a.program = l.program AND l.seq > a.archived
              LIMIT 1000) x
        WHERE points_archive_cut(x.customer_id, x.program, x.cold) IS NOT NULL)
    SELECT 'archive',
           CASE WHEN j.updated_at IS NULL OR b.n = 0 AND NOT x.unverified THEN 'ok' ELSE 'attention' END,
           CASE WHEN j.updated_at IS NULL THEN 'not used'
                ELSE format('run on %s', to_char(j.updated_at, 'YYYY-MM-DD HH24:MI'))
                     || CASE WHEN b.n > 0 THEN format('; %s accounts of a checkpoint have entries that are due: CALL archive_points(%L)', b.n, to_char(j.cold, 'YYYY-MM-DD')) ELSE '' END
                     || CASE WHEN x.unverified THEN '; not verified since: CALL verify_store()' ELSE '' END END
    FROM behind b
    LEFT JOIN j ON true
    CROSS JOIN LATERAL (SELECT (j.verified > j.updated_at AND j.verify_state = 'done') IS NOT TRUE AND j.updated_at < now() - interval '2 days' AS unverified) x
$$;
COMMENT ON FUNCTION health_archive() IS 'for crm.health: whether what is old enough was archived, and verified thereafter; ok where archive_points was never run';
REVOKE EXECUTE ON FUNCTION health_archive() FROM PUBLIC;

CREATE FUNCTION store_relations() RETURNS SETOF regclass
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT c.oid::regclass FROM pg_catalog.pg_class c
    WHERE c.relnamespace = (SELECT s.relnamespace FROM pg_catalog.pg_class s WHERE s.oid = 'settings'::regclass) AND c.relkind = 'r'
$$;
COMMENT ON FUNCTION store_relations() IS 'the tables of the store';

CREATE FUNCTION health_tables() RETURNS TABLE (subject text, state text, detail text)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    WITH t AS MATERIALIZED (
        SELECT c.oid, c.relname, c.relkind, c.reltuples, pg_catalog.age(c.relfrozenxid) AS age, c.reloptions, pg_catalog.pg_relation_size(c.oid) AS size,
               u.n_live_tup, u.n_dead_tup, u.n_mod_since_analyze, u.n_ins_since_vacuum
        FROM store_relations() h (relid) JOIN pg_catalog.pg_class c ON c.oid = h.relid LEFT JOIN pg_catalog.pg_stat_user_tables u ON u.relid = c.oid)
    SELECT 'bloat', CASE WHEN x.n = 0 THEN 'ok' ELSE 'attention' END,
           CASE WHEN x.n = 0 THEN 'no table with many dead rows' ELSE format('dead rows: %s; VACUUM them, and look for old snapshots', x.list) END
    FROM (SELECT count(*) AS n, string_agg(format('%s %s of %s', t.relname, t.n_dead_tup, t.n_live_tup + t.n_dead_tup), ', ' ORDER BY t.n_dead_tup DESC) AS list
          FROM t WHERE t.n_dead_tup > 10000 AND t.n_dead_tup > 0.3 * (t.n_live_tup + t.n_dead_tup)) x
    UNION ALL
    SELECT 'statistics', CASE WHEN x.n = 0 THEN 'ok' ELSE 'attention' END,
           CASE WHEN x.n = 0 THEN 'the planner knows the tables' ELSE format('out of date: %s; ANALYZE', x.list) END
    FROM (SELECT count(*) AS n, string_agg(t.relname, ', ' ORDER BY t.relname) AS list
          FROM t WHERE t.reltuples < 0 AND t.size > 1000000 OR t.n_mod_since_analyze > 10000 + 0.3 * t.n_live_tup) x
    UNION ALL
    SELECT 'autovacuum', CASE WHEN x.n = 0 AND current_setting('autovacuum')::boolean AND current_setting('track_counts')::boolean THEN 'ok' ELSE 'attention' END,
           CASE WHEN NOT current_setting('autovacuum')::boolean OR NOT current_setting('track_counts')::boolean THEN 'off for the whole server'
                WHEN x.n = 0 THEN 'on' ELSE format('off or far behind: %s', x.list) END
    FROM (SELECT count(*) AS n, string_agg(t.relname, ', ' ORDER BY t.relname) AS list
          FROM t WHERE t.reloptions::text ~ 'autovacuum_enabled=(false|off|0|no)' OR t.age > 1.5 * current_setting('autovacuum_freeze_max_age')::bigint) x
    UNION ALL
    SELECT 'old snapshots', CASE WHEN x.n = 0 THEN 'ok' ELSE 'attention' END,
           CASE WHEN x.n = 0 THEN 'none older than an hour' ELSE format('%s transactions older than an hour hold back vacuum (pg_stat_activity, pg_prepared_xacts)', x.n) END
    FROM (SELECT (SELECT count(*) FROM pg_catalog.pg_stat_activity a WHERE a.datname = current_database() AND a.backend_xmin IS NOT NULL AND a.xact_start < now() - interval '1 hour')
                 + (SELECT count(*) FROM pg_catalog.pg_prepared_xacts p WHERE p.database = current_database() AND p.prepared < now() - interval '1 hour') AS n) x
$$;
COMMENT ON FUNCTION health_tables() IS 'for crm.health: dead rows, age of statistics, autovacuum, and what holds it back';

CREATE FUNCTION health_access() RETURNS TABLE (subject text, state text, detail text)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    WITH here AS (SELECT c.relnamespace AS oid FROM pg_catalog.pg_class c WHERE c.oid = 'settings'::regclass),
    given AS (
        SELECT g.role, g.kind, r.object, r.privilege, c.oid AS relation, split_part(r.privilege, ' (', 1) AS verb,
               string_to_array(nullif(rtrim(split_part(r.privilege, ' (', 2), ')'), ''), ', ') AS columns
        FROM access_grantee g
        JOIN pg_catalog.pg_roles p ON p.rolname = g.role
        JOIN access_rule r ON r.kind = g.kind AND r.object_type = 'table'
        JOIN pg_catalog.pg_class c ON c.relname = r.object AND c.relnamespace = (SELECT h.oid FROM here h)),
    finding AS (
        SELECT format('role %s of access_grantee is gone', g.role) AS what FROM access_grantee g
        WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles p WHERE p.rolname = g.role)
        UNION ALL
        SELECT DISTINCT format('%s lacks what %s gives: crm.grant_access', g.role, g.kind) FROM given g
        WHERE CASE WHEN g.columns IS NULL THEN NOT pg_catalog.has_table_privilege(g.role, g.relation, g.verb)
                   ELSE EXISTS (SELECT FROM unnest(g.columns) n (name) JOIN pg_catalog.pg_attribute a ON a.attrelid = g.relation AND a.attname = n.name
                                WHERE NOT pg_catalog.has_column_privilege(g.role, g.relation, a.attnum, g.verb)) END
        UNION ALL
        SELECT format('everybody has %s on %s', a.privilege_type, c.relname)
        FROM pg_catalog.pg_class c CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
        WHERE c.relnamespace = (SELECT h.oid FROM here h) AND c.relkind IN ('r', 'p', 'v', 'S') AND a.grantee = 0)
    SELECT 'privileges', CASE WHEN count(*) = 0 THEN 'ok' ELSE 'attention' END,
           CASE WHEN count(*) = 0 THEN format('%s roles have what their kinds give', (SELECT count(*) FROM access_grantee))
                ELSE left(string_agg(f.what, '; ' ORDER BY f.what), 300) END
    FROM finding f
$$;
COMMENT ON FUNCTION health_access() IS 'for crm.health: whether the roles of access_grantee have what their kinds give, and what everybody may do';

CREATE FUNCTION health_keyring() RETURNS TABLE (subject text, state text, detail text)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    IF NOT has_function_privilege('crm.keyring_keys()', 'EXECUTE') THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT 'keyring', 'ok', format('%s keys, active for %s', count(*), coalesce(string_agg(k.purpose, ', ' ORDER BY k.purpose) FILTER (WHERE k.active), 'nothing'))
                 FROM crm.keyring_keys() k;
EXCEPTION WHEN OTHERS THEN
    RETURN QUERY SELECT 'keyring', CASE WHEN is_sealed() THEN 'attention' ELSE 'ok' END, CASE WHEN is_sealed() THEN SQLERRM ELSE 'none, and nothing here is sealed' END;
END
$$;
COMMENT ON FUNCTION health_keyring() IS 'for crm.health: whether the keys of sealed columns can be reached';
