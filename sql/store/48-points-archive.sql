-- Moving old entries out of the ledger, and back.

CREATE FUNCTION points_archive_cut(customer_id bigint, program text, before timestamptz) RETURNS bigint
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $points$
    SELECT l.seq
    FROM points_account a
    JOIN points_checkpoint_leaf l ON l.customer_id = a.customer_id AND l.program = a.program AND l.seq > a.archived
    JOIN points_entry e ON e.customer_id = l.customer_id AND e.program = l.program AND e.seq = l.seq AND e.hash = l.head
    WHERE a.customer_id = $1 AND a.program = $2 AND e.booked_at < $3
      -- nothing after it refers to anything before it, now or later
      AND NOT EXISTS (SELECT FROM points_entry r
                      WHERE r.customer_id = $1 AND r.program = $2 AND r.reverses <= l.seq AND r.seq > l.seq)
      AND NOT EXISTS (SELECT FROM points_hold h WHERE h.customer_id = $1 AND h.program = $2 AND h.state = 'open' AND h.seq <= l.seq)
      AND NOT EXISTS (SELECT FROM points_entry p
                      WHERE a.pending > 0 AND p.customer_id = $1 AND p.program = $2 AND p.seq <= l.seq AND p.kind = 'earn' AND p.available_at > a.booked_at
                        AND NOT EXISTS (SELECT FROM points_entry m
                                        WHERE m.customer_id = $1 AND m.program = $2 AND m.reverses = p.seq AND m.kind = 'mature'
                                          AND (m.available_at IS NULL OR m.available_at <= a.booked_at)))
    ORDER BY l.seq DESC
    LIMIT 1
$points$;
COMMENT ON FUNCTION points_archive_cut(bigint, text, timestamptz) IS
'the last entry of an account booked before a moment up to which it can be archived: a checkpoint has it as the account''s last, and nothing after it refers to anything up to it: no refund, restoral, capture, release or mature entry, no open hold, no earning that waits to become available. Null when there is none';
REVOKE EXECUTE ON FUNCTION points_archive_cut(bigint, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION points_archive_batch(INOUT last_customer bigint, INOUT last_program text, before timestamptz, batch integer, OUT seen bigint, OUT moved bigint)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $points$
DECLARE
    a record;
    cut bigint;
BEGIN
    seen := 0;
    moved := 0;
    FOR a IN SELECT p.customer_id, p.program FROM points_account p
             JOIN LATERAL (SELECT e.booked_at FROM points_entry e WHERE e.customer_id = p.customer_id AND e.program = p.program ORDER BY e.seq LIMIT 1) f
                 ON f.booked_at < points_archive_batch.before
             WHERE p.seq > p.archived AND (p.customer_id, p.program) > (last_customer, last_program)
             ORDER BY p.customer_id, p.program LIMIT batch LOOP
        seen := seen + 1;
        last_customer := a.customer_id;
        last_program := a.program;
        -- Whoever posts has the account locked; the next run takes it.
        PERFORM FROM points_account p WHERE p.customer_id = a.customer_id AND p.program = a.program FOR NO KEY UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        cut := points_archive_cut(a.customer_id, a.program, before);
        IF cut IS NOT NULL THEN
            moved := moved + crm.points_archive_account('points_entry'::regclass, a.customer_id, a.program, cut);
        END IF;
    END LOOP;
END
$points$;
COMMENT ON FUNCTION points_archive_batch(bigint, text, timestamptz, integer) IS 'one transaction of archive_points: the next accounts by customer and program that have an entry booked before a moment; says how many it saw and how many entries it moved';
REVOKE EXECUTE ON FUNCTION points_archive_batch(bigint, text, timestamptz, integer) FROM PUBLIC;

CREATE PROCEDURE archive_points(before timestamptz, batch integer DEFAULT 100, ledger regclass DEFAULT 'points_entry'::regclass)
LANGUAGE plpgsql
AS $points$
DECLARE
    last_customer bigint := -9223372036854775808;
    last_program pg_catalog.text := '';
    n bigint;
    m bigint;
    seen bigint := 0;
BEGIN
    IF before IS NULL OR before OPERATOR(pg_catalog.>) (pg_catalog.now() OPERATOR(pg_catalog.-) '400 days'::pg_catalog.interval) THEN
        RAISE EXCEPTION 'entries younger than 400 days stay in the ledger'
            USING ERRCODE = '22023', DETAIL = pg_catalog.format('before is %L', before),
                  HINT = 'Choose a moment before which nothing is refunded or restored any more.';
    END IF;
    LOOP
        PERFORM pg_catalog.set_config('search_path', crm.store_path(ledger), true);
        SELECT b.last_customer, b.last_program, b.seen, b.moved INTO last_customer, last_program, n, m
        FROM points_archive_batch(last_customer, last_program, before, batch) b;
        seen := seen OPERATOR(pg_catalog.+) n;
        PERFORM points_archive_progress(seen, n OPERATOR(pg_catalog.=) 0, before);
        COMMIT;
        EXIT WHEN n OPERATOR(pg_catalog.=) 0;
    END LOOP;
END
$points$;
COMMENT ON PROCEDURE archive_points(timestamptz, integer, regclass) IS
'moves entries booked before a moment, at least 400 days ago, to points_entry_archive, account by account as far as points_archive_cut allows; take a points_checkpoint now and then, since an account can only be cut where one has it. Commits by batch, passes over locked accounts, can be stopped and run again; progress in job_progress counts accounts. Errors: 22023 too young, CP010 a damaged account';
REVOKE EXECUTE ON PROCEDURE archive_points(timestamptz, integer, regclass) FROM PUBLIC;

CREATE FUNCTION points_archive_progress(seen bigint, ended boolean, before timestamptz) RETURNS void
LANGUAGE sql
SET search_path FROM CURRENT
AS $points$
    INSERT INTO job_progress AS j (job, state, done, total, cursor)
    VALUES ('archive_points', CASE WHEN $2 THEN 'done' ELSE 'running' END, $1, greatest($1, (SELECT count(*) FROM points_account p WHERE p.seq > p.archived)),
            jsonb_build_object('before', $3))
    ON CONFLICT (job) DO UPDATE SET state = excluded.state, done = excluded.done, total = excluded.total, cursor = excluded.cursor,
        started_at = CASE WHEN j.state = 'done' OR excluded.done < j.done THEN excluded.started_at ELSE j.started_at END, updated_at = excluded.updated_at
$points$;
COMMENT ON FUNCTION points_archive_progress(bigint, boolean, timestamptz) IS 'keeps job_progress for archive_points, and the moment before which it archives, for crm.health';
REVOKE EXECUTE ON FUNCTION points_archive_progress(bigint, boolean, timestamptz) FROM PUBLIC;

CREATE FUNCTION points_restore_archive(customer_id bigint, program text DEFAULT 'points') RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path FROM CURRENT
AS $points$
    SELECT crm.points_unarchive_account('points_entry'::regclass, $1, $2)
    FROM points_account a WHERE a.customer_id = $1 AND a.program = $2
$points$;
COMMENT ON FUNCTION points_restore_archive(bigint, text) IS
'brings an account''s archived entries back into the ledger, each compared with its neighbours by its hash; gives how many, null without an account. Then what refers to them can be refunded or restored; what does keeps them from being archived again';
REVOKE EXECUTE ON FUNCTION points_restore_archive(bigint, text) FROM PUBLIC;
