-- The verbs of the ledger. They run as the store's owner, so that EXECUTE on one is all that a role needs.

CREATE FUNCTION points_target(customer_id bigint, program text, kinds text[], source text, reference text)
RETURNS points_entry
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $points$
DECLARE
    found points_entry;
    k text;
    n integer;
BEGIN
    FOREACH k IN ARRAY kinds
    LOOP
        SELECT count(*) INTO n FROM points_entry_all e
        WHERE e.customer_id = points_target.customer_id AND e.program = points_target.program AND e.kind = k
          AND e.reference = points_target.reference AND (points_target.source IS NULL OR e.source = points_target.source);
        IF n > 1 THEN
            RAISE EXCEPTION 'more than one entry of kind % has this reference', k
                USING ERRCODE = 'CP009',
                      DETAIL = format('customer %s, program %s, reference %s', customer_id, program, reference),
                      HINT = 'Give the source too.';
        ELSIF n = 1 THEN
            SELECT e.* INTO found FROM points_entry_all e
            WHERE e.customer_id = points_target.customer_id AND e.program = points_target.program AND e.kind = k
              AND e.reference = points_target.reference AND (points_target.source IS NULL OR e.source = points_target.source);
            RETURN found;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'there is no entry of kind % with this reference', array_to_string(kinds, ' or ')
        USING ERRCODE = 'CP009',
              DETAIL = format('customer %s, program %s, source %s, reference %s', customer_id, program, coalesce(source, '(any)'), reference),
              HINT = 'Give the customer, program and reference that the points were posted with.';
END
$points$;
COMMENT ON FUNCTION points_target(bigint, text, text[], text, text) IS 'the entry that a verb refers to by its reference; raises CP009 when there is none, or more than one';
REVOKE EXECUTE ON FUNCTION points_target(bigint, text, text[], text, text) FROM PUBLIC;

CREATE FUNCTION earn(customer_id bigint, points bigint, source text, reference text, program text DEFAULT 'points',
                     expires_at timestamptz DEFAULT NULL, available_at timestamptz DEFAULT NULL,
                     as_of timestamptz DEFAULT now(), note text DEFAULT NULL, detail jsonb DEFAULT NULL)
RETURNS points_entry
LANGUAGE crm_points SECURITY DEFINER
AS 'earn';
COMMENT ON FUNCTION earn IS
'gives a customer points. expires_at: null follows the program''s policy, infinity is never; available_at: pending until then, infinity until a mature entry. A repeat of (source, reference) answers with the first entry. Errors: CP002 other content, CP005 closed, CP006 overflow, CP008 no points';
REVOKE EXECUTE ON FUNCTION earn FROM PUBLIC;

CREATE FUNCTION redeem(customer_id bigint, points bigint, source text, reference text, program text DEFAULT 'points',
                       as_of timestamptz DEFAULT now(), note text DEFAULT NULL, detail jsonb DEFAULT NULL)
RETURNS points_entry
LANGUAGE crm_points SECURITY DEFINER
AS 'redeem';
COMMENT ON FUNCTION redeem IS
'spends points, those that expire first. A repeat of (source, reference) answers with the first entry. Errors: CP001 insufficient, CP002 other content, CP005 closed, CP011 the program is not redeemable';
REVOKE EXECUTE ON FUNCTION redeem FROM PUBLIC;

CREATE FUNCTION hold(customer_id bigint, points bigint, source text, reference text, program text DEFAULT 'points',
                     expires_at timestamptz DEFAULT NULL, as_of timestamptz DEFAULT now(), note text DEFAULT NULL)
RETURNS points_entry
LANGUAGE crm_points SECURITY DEFINER
AS 'hold';
COMMENT ON FUNCTION hold IS
'puts points aside until capture or release; at expires_at (null: the program''s hold_minutes) they go back by themselves. Errors as redeem, CP004 overdue when made';
REVOKE EXECUTE ON FUNCTION hold FROM PUBLIC;

CREATE FUNCTION capture(customer_id bigint, hold_reference text, points bigint DEFAULT NULL, source text DEFAULT NULL, program text DEFAULT 'points',
                         as_of timestamptz DEFAULT now(), note text DEFAULT NULL)
RETURNS points_entry
LANGUAGE crm_points SECURITY DEFINER
AS 'capture';
COMMENT ON FUNCTION capture IS
'takes the points of a hold for good, the whole or a part; the rest goes back to its lots at once. Errors: CP001 more than held, CP003 already resolved, CP004 overdue, CP009 no such hold';
REVOKE EXECUTE ON FUNCTION capture FROM PUBLIC;

CREATE FUNCTION release(customer_id bigint, hold_reference text, source text DEFAULT NULL, program text DEFAULT 'points',
                         as_of timestamptz DEFAULT now(), note text DEFAULT NULL)
RETURNS points_entry
LANGUAGE crm_points SECURITY DEFINER
AS 'release';
COMMENT ON FUNCTION release IS
'gives the points of a hold back to their lots. Errors: CP003 already resolved, CP004 overdue (they went back then), CP009 no such hold';
REVOKE EXECUTE ON FUNCTION release FROM PUBLIC;

CREATE FUNCTION refund(customer_id bigint, earn_reference text, points bigint DEFAULT NULL, source text DEFAULT NULL, reference text DEFAULT NULL, program text DEFAULT 'points',
                         as_of timestamptz DEFAULT now(), note text DEFAULT NULL)
RETURNS points_entry
LANGUAGE crm_points SECURITY DEFINER
AS 'refund';
COMMENT ON FUNCTION refund IS
'claws points back that an earning gave, all that are left of it or some: from its own lot first, then from others; what is not there is owed where the program allows debt, else recorded as shortfall. Give each further part of one earning a reference of its own. Errors: CP001 more than is left, CP009 no such earning';
REVOKE EXECUTE ON FUNCTION refund FROM PUBLIC;

CREATE FUNCTION restore(customer_id bigint, redeem_reference text, points bigint DEFAULT NULL, source text DEFAULT NULL, reference text DEFAULT NULL, program text DEFAULT 'points',
                         as_of timestamptz DEFAULT now(), note text DEFAULT NULL)
RETURNS points_entry
LANGUAGE crm_points SECURITY DEFINER
AS 'restore';
COMMENT ON FUNCTION restore IS
'gives redeemed points back, all or some, to the lots they came from; what has expired meanwhile expires at once, or lives restore_grace_days. Give each further part a reference of its own. Errors: CP001 more than is left, CP009 no such redemption';
REVOKE EXECUTE ON FUNCTION restore FROM PUBLIC;

CREATE FUNCTION mature(customer_id bigint, earn_reference text, source text DEFAULT NULL, reference text DEFAULT NULL, program text DEFAULT 'points',
                         available_at timestamptz DEFAULT NULL, as_of timestamptz DEFAULT now(), note text DEFAULT NULL)
RETURNS points_entry
LANGUAGE crm_points SECURITY DEFINER
AS 'mature';
COMMENT ON FUNCTION mature IS
'makes the pending points of an earning available, at once or from available_at on. Errors: CP003 available already, CP009 no such earning';
REVOKE EXECUTE ON FUNCTION mature FROM PUBLIC;

ALTER TABLE settings ADD COLUMN adjust_points bigint NOT NULL DEFAULT 1000 CHECK (adjust_points >= 0);
COMMENT ON COLUMN settings.adjust_points IS 'points of one account that may be adjusted within 24 hours, up and down counted alike, by whoever is neither the store''s owner nor of kind owner';

CREATE FUNCTION check_adjusted(customer_id bigint, program text, as_of timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $points$
DECLARE
    asker name := crm.caller();
    allowed bigint := (SELECT s.adjust_points FROM settings s);
    adjusted numeric;
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = 'points_entry'::regclass AND pg_has_role(asker, c.relowner, 'USAGE'))
       OR EXISTS (SELECT FROM access_grantee g JOIN pg_catalog.pg_roles r ON r.rolname = g.role WHERE g.kind = 'owner' AND pg_has_role(asker, r.oid, 'USAGE')) THEN
        RETURN;
    END IF;
    -- At another time than now its 24 hours would be others.
    IF as_of <> now() THEN
        RAISE EXCEPTION 'role "%" adjusts points at this moment only', asker
            USING ERRCODE = 'CP013', DETAIL = format('as_of is %s.', as_of), HINT = 'Leave out as_of, or let a role of kind owner do it.';
    END IF;
    SELECT sum(abs(e.points)) INTO adjusted FROM points_entry e
    WHERE e.customer_id = check_adjusted.customer_id AND e.program = check_adjusted.program AND e.kind = 'adjust' AND e.booked_at > now() - interval '24 hours';
    IF adjusted > allowed THEN
        RAISE EXCEPTION 'more points are adjusted than role "%" may', asker
            USING ERRCODE = 'CP013', DETAIL = format('With these, %s points of this account are adjusted within 24 hours.', adjusted),
                  HINT = format('settings.adjust_points allows %s; a role of kind owner has no limit.', allowed);
    END IF;
END
$points$;
COMMENT ON FUNCTION check_adjusted(bigint, text, timestamptz) IS 'refuses what adjust just wrote when the caller''s role may not adjust so much. Errors: CP013';
REVOKE EXECUTE ON FUNCTION check_adjusted(bigint, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION adjust(customer_id bigint, points bigint, source text, reference text, reason text, program text DEFAULT 'points',
                       expires_at timestamptz DEFAULT NULL, as_of timestamptz DEFAULT now())
RETURNS points_entry
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $points$
DECLARE
    posted points_entry;
    salt bytea;
    note_hash bytea;
BEGIN
    IF reason IS NULL OR btrim(reason) = '' THEN
        RAISE EXCEPTION 'an adjustment needs a reason'
            USING ERRCODE = 'CP008', DETAIL = format('customer %s, program %s', customer_id, program), HINT = 'Say why in reason.';
    END IF;
    salt := uuid_send(gen_random_uuid());
    note_hash := sha256(salt || convert_to(reason, 'UTF8'));
    INSERT INTO points_entry (customer_id, program, kind, points, source, reference, occurred_at, note_hash, expires_at)
    VALUES (adjust.customer_id, adjust.program, 'adjust', adjust.points, adjust.source, adjust.reference, as_of, note_hash, adjust.expires_at)
    RETURNING * INTO posted;
    IF NOT FOUND THEN
        SELECT e.* INTO posted FROM points_entry_all e
        WHERE e.customer_id = adjust.customer_id AND e.program = adjust.program AND e.kind = 'adjust'
          AND e.reference = adjust.reference AND e.source = adjust.source;
    ELSE
        INSERT INTO points_note VALUES (posted.customer_id, posted.program, posted.seq, salt, reason);
        PERFORM check_adjusted(posted.customer_id, posted.program, as_of);
    END IF;
    RETURN posted;
END
$points$;
COMMENT ON FUNCTION adjust IS
'adds or takes away (below zero) points by hand; reason is kept as the entry''s note, and who did it in actor. Who is neither owner nor of kind owner is bound by settings.adjust_points. Errors: CP001 insufficient, CP008 no reason, CP013 more than this role may';
REVOKE EXECUTE ON FUNCTION adjust FROM PUBLIC;

CREATE FUNCTION transfer(customer_id bigint, to_customer_id bigint, points bigint, source text, reference text,
                         program text DEFAULT 'points', as_of timestamptz DEFAULT now(), note text DEFAULT NULL)
RETURNS points_entry
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $points$
DECLARE
    posted points_entry;
    salt bytea := uuid_send(gen_random_uuid());
    s bigint;
BEGIN
    s := crm.points_transfer('points_entry'::regclass, customer_id, to_customer_id, program, program, points, points, source, reference, as_of,
                             sha256(salt || convert_to(note, 'UTF8')));
    SELECT e.* INTO posted FROM points_entry_all e
    WHERE e.customer_id = transfer.customer_id AND e.program = transfer.program AND e.seq = s;
    IF posted.note_hash = sha256(salt || convert_to(note, 'UTF8')) THEN
        INSERT INTO points_note VALUES (posted.customer_id, posted.program, posted.seq, salt, note);
    END IF;
    RETURN posted;
END
$points$;
COMMENT ON FUNCTION transfer IS
'moves points to another customer; their lots keep their expiry. Both accounts are locked in order. Gives the transfer_out; the transfer_in has the same source and reference. Errors as redeem; CP008 to oneself';
REVOKE EXECUTE ON FUNCTION transfer FROM PUBLIC;

CREATE FUNCTION convert(customer_id bigint, points bigint, source text, reference text, from_program text, to_program text,
                        rate numeric DEFAULT 1, as_of timestamptz DEFAULT now(), note text DEFAULT NULL)
RETURNS points_entry
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $points$
DECLARE
    posted points_entry;
    salt bytea := uuid_send(gen_random_uuid());
    s bigint;
BEGIN
    IF rate IS NULL OR rate <= 0 OR rate = 'NaN' OR rate = 'Infinity' OR floor(points * rate) < 1 THEN
        RAISE EXCEPTION 'invalid rate %', rate
            USING ERRCODE = 'CP008', DETAIL = format('customer %s, %s points', customer_id, points), HINT = 'At least one point comes out.';
    END IF;
    s := crm.points_transfer('points_entry'::regclass, customer_id, customer_id, from_program, to_program, points, floor(points * rate)::bigint, source, reference, as_of,
                             sha256(salt || convert_to(note, 'UTF8')));
    SELECT e.* INTO posted FROM points_entry_all e
    WHERE e.customer_id = convert.customer_id AND e.program = convert.from_program AND e.seq = s;
    IF posted.note_hash = sha256(salt || convert_to(note, 'UTF8')) THEN
        INSERT INTO points_note VALUES (posted.customer_id, posted.program, posted.seq, salt, note);
    END IF;
    SELECT e.* INTO posted FROM points_entry_all e
    WHERE e.customer_id = convert.customer_id AND e.program = convert.to_program AND e.kind = 'transfer_in'
      AND e.reference = convert.reference AND e.source = convert.source;
    RETURN posted;
END
$points$;
COMMENT ON FUNCTION convert(bigint, bigint, text, text, text, text, numeric, timestamptz, text) IS
'turns points of one program into floor(points * rate) of another; their lots keep their expiry. Gives the entry in the new program. Errors as redeem; CP008 when nothing would come out';
REVOKE EXECUTE ON FUNCTION convert(bigint, bigint, text, text, text, text, numeric, timestamptz, text) FROM PUBLIC;

CREATE FUNCTION post_points(movements crm.points_movement[], atomic boolean DEFAULT true)
RETURNS SETOF crm.points_result
LANGUAGE sql SECURITY DEFINER
SET search_path FROM CURRENT
AS $points$
    SELECT * FROM crm.points_post('points_entry'::regclass, movements, atomic)
$points$;
COMMENT ON FUNCTION post_points(crm.points_movement[], boolean) IS
'posts many movements in one call; accounts are locked in order. atomic: all or nothing, the first refusal raises; else row by row, each with its own result. Adjustments among them need no reason here: EXECUTE is for the owner alone';
REVOKE EXECUTE ON FUNCTION post_points(crm.points_movement[], boolean) FROM PUBLIC;

CREATE PROCEDURE lapse_points(job text, as_of timestamptz, batch integer, ledger regclass)
LANGUAGE plpgsql
AS $points$
DECLARE
    store pg_catalog.text := (SELECT c.relnamespace::pg_catalog.regnamespace::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) ledger);
    done bigint := 0;
    total bigint;
    before pg_catalog.text := pg_catalog.current_setting('synchronous_commit');
    began pg_catalog.timestamptz;
    shown pg_catalog.timestamptz;
    apart boolean := crm.is_distributed(ledger);
    n bigint;
BEGIN
    EXECUTE pg_catalog.format('SELECT pg_catalog.count(*) FROM %s.points_account WHERE next_due OPERATOR(pg_catalog.<=) $1', store) INTO total USING as_of;
    LOOP
        began := pg_catalog.clock_timestamp();
        -- What a crash takes is booked again by the next run; only the last commit, which says that all is done, waits for the disk.
        PERFORM pg_catalog.set_config('synchronous_commit', 'off', true);
        IF apart THEN
            SELECT coalesce(pg_catalog.sum((j OPERATOR(pg_catalog.->>) 'n')::bigint), 0) INTO n
            FROM crm.on_shards(ledger, pg_catalog.format('SELECT crm.points_lapse_due(''%%s'', %L, %s) AS n', as_of, batch)) j;
        ELSE
            n := crm.points_lapse_due(ledger, as_of, batch);
        END IF;
        IF n OPERATOR(pg_catalog.=) 0 THEN
            PERFORM pg_catalog.set_config('synchronous_commit', before, true);
        END IF;
        done := done OPERATOR(pg_catalog.+) n;
        IF n OPERATOR(pg_catalog.=) 0 OR shown IS NULL OR began OPERATOR(pg_catalog.>) (shown OPERATOR(pg_catalog.+) interval '250 ms') THEN
            shown := began;
            EXECUTE pg_catalog.format($$INSERT INTO %s.job_progress AS j (job, state, done, total) VALUES ($1, $2, $3, $4)
                ON CONFLICT (job) DO UPDATE SET state = excluded.state, done = excluded.done, total = excluded.total,
                    started_at = CASE WHEN excluded.done OPERATOR(pg_catalog.=) $5 THEN excluded.started_at ELSE j.started_at END,
                    updated_at = excluded.updated_at$$, store)
                USING job, CASE WHEN n OPERATOR(pg_catalog.=) 0 THEN 'done' ELSE 'running' END, done, total, n;
        END IF;
        COMMIT;
        EXIT WHEN n OPERATOR(pg_catalog.=) 0;
        -- What waits for this WAL to be flushed is somebody at a till. For the processor nobody waits long: between
        -- rows the ledger lets others go first.
        PERFORM pg_catalog.pg_sleep(extract(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) began)::pg_catalog.float8 OPERATOR(pg_catalog./) 4);
    END LOOP;
END
$points$;
COMMENT ON PROCEDURE lapse_points(text, timestamptz, integer, regclass) IS
'the body of expire_points, mature_points and release_overdue_holds, which differ in the name that job_progress shows: what is due on an account is booked in the order in which it was due, whatever it is';

CREATE PROCEDURE expire_points(as_of timestamptz DEFAULT now(), batch integer DEFAULT 200, ledger regclass DEFAULT 'points_entry'::regclass)
LANGUAGE plpgsql
AS $points$
BEGIN
    PERFORM pg_catalog.set_config('search_path', crm.store_path(ledger), true);
    CALL lapse_points('expire_points', as_of, batch, ledger);
END
$points$;
COMMENT ON PROCEDURE expire_points IS
'books expired points, with whatever else is due on the same accounts, in the order in which it was due. Commits by batch, rests a quarter as long as each took, passes over locked accounts, can be stopped and run again; progress in job_progress. Nothing depends on it: a verb books what is due on its account, and points_balance counts it';

CREATE PROCEDURE mature_points(as_of timestamptz DEFAULT now(), batch integer DEFAULT 200, ledger regclass DEFAULT 'points_entry'::regclass)
LANGUAGE plpgsql
AS $points$
BEGIN
    PERFORM pg_catalog.set_config('search_path', crm.store_path(ledger), true);
    CALL lapse_points('mature_points', as_of, batch, ledger);
END
$points$;
COMMENT ON PROCEDURE mature_points IS
'books pending points whose day has come as available, with whatever else is due on the same accounts, in the order in which it was due. Commits by batch, passes over locked accounts, can be stopped and run again; progress in job_progress. Nothing depends on it: a verb books what is due on its account, and points_balance counts it';

CREATE PROCEDURE release_overdue_holds(as_of timestamptz DEFAULT now(), batch integer DEFAULT 200, ledger regclass DEFAULT 'points_entry'::regclass)
LANGUAGE plpgsql
AS $points$
BEGIN
    PERFORM pg_catalog.set_config('search_path', crm.store_path(ledger), true);
    CALL lapse_points('release_overdue_holds', as_of, batch, ledger);
END
$points$;
COMMENT ON PROCEDURE release_overdue_holds IS
'gives overdue holds back, with whatever else is due on the same accounts, in the order in which it was due. Commits by batch, passes over locked accounts, can be stopped and run again; progress in job_progress. Nothing depends on it: a verb books what is due on its account, and points_balance counts it';
