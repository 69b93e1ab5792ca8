-- Old entries in the archive: the same figures, the same answers, and what is forged is found.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
SET client_min_messages = warning;
SELECT crm.create_store('t_plain');
SELECT crm.create_store('t_archive', partitions => 3);

-- Notes are salted, so hashes differ from store to store; all else does not.
-- The same work in two stores, of which the one in partitions is archived, the other at the end; what is refused counts as an answer.
CREATE FUNCTION pg_temp.work(store text, first integer, last integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    c bigint;
    x integer;
    at timestamptz;
    answer bigint;
    answers text := '';
BEGIN
    PERFORM set_config('search_path', store || ', crm, pg_temp', true);
    FOR n IN first..last LOOP
        x := (n * 7919) % 1000003;
        c := 1 + x % 13;
        at := timestamptz '2021-01-01 00:00+00' + n * interval '12 hours';
        answer := -1;
        BEGIN
            CASE x % 12
                WHEN 0, 7 THEN SELECT seq INTO answer FROM redeem(c, 1 + x % 40, 't', 'r' || n, as_of => at, note => CASE WHEN x % 5 = 0 THEN 'a note' END);
                WHEN 1 THEN SELECT r.seq INTO answer FROM points_entry_all e, refund(c, e.reference, 1 + x % 9, source => e.source, reference => 'c' || n, as_of => at) r
                            WHERE e.seq = (SELECT max(seq) FROM points_entry_all m WHERE m.customer_id = c AND m.program = 'points' AND m.kind = 'earn' AND m.source = 't') AND e.customer_id = c AND e.program = 'points';
                WHEN 2 THEN SELECT seq INTO answer FROM hold(c, 1 + x % 30, 't', 'h' || n, as_of => at, expires_at => at + interval '9 days');
                WHEN 3 THEN SELECT r.seq INTO answer FROM (SELECT * FROM points_hold h WHERE h.state = 'open' ORDER BY h.customer_id, h.seq DESC LIMIT 1) h, capture(h.customer_id, h.reference, 1 + x % 2 * (h.points - 1), as_of => at) r;
                WHEN 4 THEN SELECT seq INTO answer FROM transfer(c, 1 + (c + 6) % 13, 1 + x % 20, 't', 'x' || n, as_of => at);
                WHEN 5 THEN SELECT seq INTO answer FROM adjust(c, x % 41 - 15, 't', 'a' || n, 'test', as_of => at);
                WHEN 6 THEN SELECT seq INTO answer FROM earn(c, 1 + x % 60, 't', 'e' || n, as_of => at, available_at => at + interval '12 days');
                ELSE SELECT seq INTO answer FROM earn(c, 1 + x % 60, 't', 'e' || n, as_of => at, expires_at => CASE WHEN x % 5 = 0 THEN at + interval '70 days' ELSE at + interval '900 days' END);
            END CASE;
        EXCEPTION WHEN OTHERS THEN answers := answers || SQLSTATE;
        END;
        answers := answers || coalesce(answer::text, '-') || ' ';
    END LOOP;
    RETURN md5(answers);
END
$$;
CREATE FUNCTION pg_temp.same(store text) RETURNS TABLE (what text, differ bigint) LANGUAGE plpgsql AS $$
DECLARE
    q text;
BEGIN
    FOREACH q IN ARRAY ARRAY[
        'points_entry_all', 'SELECT to_jsonb(x) - ''{hash,note_hash}''::text[] FROM %s.points_entry_all x',
        'points_account', 'SELECT to_jsonb(x) - ''{archived,head}''::text[] FROM %s.points_account x',
        'points_hold', 'SELECT * FROM %s.points_hold',
        'points_journal', 'SELECT * FROM %s.points_journal',
        'points_trial_balance', 'SELECT * FROM %s.points_trial_balance',
        'points_liability', 'SELECT * FROM %s.points_liability',
        'points_cohort_flow', 'SELECT * FROM %s.points_cohort_flow',
        'points_cohort', 'SELECT * FROM %s.points_cohort',
        'points_export', 'SELECT to_jsonb(x) - ''{hash,note_hash}''::text[] FROM %s.points_export x',
        'points_balance_at', 'SELECT c, d, %1$s.points_balance_at(c, timestamptz ''2020-12-01 12:00+00'' + d * interval ''23 days'') FROM generate_series(1, 13) c, generate_series(0, 60) d',
        'leaderboard', 'SELECT * FROM %s.points_leaderboard(''2021-01-01'', ''2022-06-01'')',
        'timeline', 'SELECT c, t.at, t.kind, t.what FROM generate_series(1, 13) c, %s.timeline(c, 1000) t'] LOOP
        IF q NOT LIKE 'SELECT%' THEN
            what := q;
        ELSE
            EXECUTE format('SELECT count(*) FROM (((SELECT to_jsonb(y) FROM (%1$s) y) EXCEPT ALL (SELECT to_jsonb(y) FROM (%2$s) y)) UNION ALL ((SELECT to_jsonb(y) FROM (%2$s) y) EXCEPT ALL (SELECT to_jsonb(y) FROM (%1$s) y))) x', format(q, 't_plain'), format(q, store)) INTO differ;
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;
INSERT INTO t_plain.customer (customer_id) SELECT generate_series(1, 15);
INSERT INTO t_archive.customer (customer_id) SELECT generate_series(1, 15);
DO $$
BEGIN
    FOR n IN 0..19 LOOP
        IF (SELECT count(DISTINCT pg_temp.work(s, 1 + n * 15, 15 + n * 15)) FROM unnest('{t_plain,t_archive}'::text[]) s) <> 1 THEN
            RAISE INFO '% differs', n;
        END IF;
        PERFORM t_archive.points_checkpoint();
    END LOOP;
END
$$;

CALL t_archive.archive_points('2100-01-01+00');
CALL t_archive.archive_points(NULL);
CALL t_archive.archive_points('2021-05-01', batch => 3);
SELECT state, done FROM t_archive.job_progress WHERE job = 'archive_points';
SELECT count(*) BETWEEN 5 AND 13 AS accounts, sum(archived) > 100 AS entries FROM t_archive.points_account WHERE archived > 0;
SELECT count(*) FROM t_archive.points_verify();
SELECT count(*) FROM t_archive.points_verify(archive => false);
SELECT count(*) FROM t_archive.points_verify(3);
SELECT sum(n) FROM generate_series(1, 3) part, LATERAL (SELECT count(*) AS n FROM t_archive.points_verify(part => part, parts => 3)) v;
SELECT count(*) FROM t_archive.points_verify_since();
SELECT count(*) FROM t_archive.points_verify_checkpoints();
SELECT * FROM pg_temp.same('t_archive');

-- It goes on: what is asked of archived entries is refused, what repeats them is answered; then archived again.
SELECT t_archive.points_archive_cut(2, 'points', '2030-01-01') IS NULL AS at_its_end;
SELECT pg_temp.work('t_plain', 301, 400) IS NOT NULL AS done;
SELECT pg_temp.work('t_archive', 301, 400) IS NOT NULL AS done;
SELECT pg_temp.work('t_archive', 100, 100) IS NOT NULL AS repeated;
SET search_path = t_archive, crm, pg_temp;
SELECT count(*) AS wrong FROM points_entry_archived e, LATERAL earn(e.customer_id, e.points, e.source, e.reference, as_of => '2025-01-01') r
WHERE e.kind = 'earn' AND r.seq <> e.seq;
SELECT DISTINCT r.status, r.seq = e.seq AS same_seq FROM points_entry_archived e,
    LATERAL post_points(ARRAY[ROW(e.customer_id, e.kind, e.points, e.source, e.reference, NULL, NULL, NULL, e.reverses, NULL, NULL)::points_movement]) r
WHERE e.kind IN ('earn', 'redeem', 'hold', 'refund', 'restore', 'capture') AND e.reference IS NOT NULL;
-- in a batch that is posted as if all were new, too
SELECT status, count(*) > 20 AS many FROM post_points(ARRAY(SELECT ROW(e.customer_id, e.kind, e.points, e.source, e.reference, NULL, NULL, NULL, NULL, NULL, NULL)::points_movement
    FROM points_entry_archived e WHERE e.kind = 'earn') || ARRAY(SELECT ROW(14, 'earn', 1, 'b', 'b' || i, NULL, NULL, NULL, NULL, NULL, NULL)::points_movement FROM generate_series(1, 60) i)) GROUP BY 1 ORDER BY 1;
SELECT min(e.seq) AS e1, min(e.reference) AS r1, min(e.points) AS p1 FROM (SELECT * FROM points_entry_archived WHERE customer_id = 2 AND kind = 'earn' ORDER BY seq LIMIT 1) e \gset
SELECT seq FROM earn(2, :p1 + 1, 't', :'r1');
SELECT seq FROM refund(2, :'r1');
INSERT INTO points_entry (customer_id, kind, points, source, reference, reverses) VALUES (2, 'refund', 1, 't', 'raw', :e1);
INSERT INTO points_entry (customer_id, kind, points, source, reference) VALUES (2, 'earn', :p1, 't', :'r1');
-- a complete row that would stand where the archive is
INSERT INTO points_entry SELECT * FROM points_entry_archived WHERE customer_id = 2 AND seq = :e1;
DELETE FROM points_entry WHERE customer_id = 2;
DELETE FROM points_entry_archive;
UPDATE points_start SET available = 0;
TRUNCATE points_entry_archive;
SELECT count(*) FROM points_verify();

-- Orders: nothing is earned twice, and what is archived is not refunded.
UPDATE points_rule SET on_status = 'paid' WHERE event = 'order';
INSERT INTO purchase (customer_id, order_no, amount, status, paid_at, completed_at) VALUES (15, 'old', 900, 'completed', '2021-01-05', '2021-01-05'), (15, 'old2', 500, 'completed', '2021-01-06', '2021-01-06');
SELECT kind, points FROM redeem(15, 2, 'purchase', 'default/old2', as_of => '2021-01-07');
SELECT count(*) FROM points_checkpoint();
CALL archive_points('2021-05-01');
SELECT program, seq, archived FROM points_account WHERE customer_id = 15 ORDER BY 1;
UPDATE purchase SET cost = 10 WHERE order_no = 'old';
UPDATE purchase SET refunded = 100 WHERE order_no = 'old';
UPDATE purchase SET status = 'cancelled' WHERE order_no = 'old2';
SELECT points_restore_archive(15), points_restore_archive(15, 'growth'), points_restore_archive(99);
UPDATE purchase SET refunded = 100 WHERE order_no = 'old';
UPDATE purchase SET status = 'cancelled' WHERE order_no = 'old2';
SELECT program, seq, available, archived FROM points_account WHERE customer_id = 15 ORDER BY 1;

-- A second time, then all of it back.
SELECT count(*) FROM points_checkpoint();
CALL archive_points('2021-12-01');
SELECT count(*) > 5 AS twice FROM (SELECT customer_id, program FROM points_start GROUP BY 1, 2 HAVING count(*) > 1) x;
SELECT count(*) FROM points_verify();
SELECT count(*) FROM points_verify_since();
SELECT count(*) FROM points_verify_checkpoints();
SELECT sum(points_restore_archive(customer_id, program)) > 30 AS back FROM points_account WHERE customer_id IN (2, 3, 4);
SELECT count(*) FROM points_verify();
SELECT count(*) FROM points_start WHERE customer_id IN (2, 3, 4);
SELECT seq = :e1 AS same FROM earn(2, :p1, 't', :'r1');
-- the rest is moved to where it comes from, and merged
SELECT count(*) FROM merge_customers(5, 6, 'test');
SELECT count(*) FROM points_verify();

-- What a superuser changes is found.
CREATE FUNCTION pg_temp.tampered(change text) RETURNS TABLE (finding text) LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL session_replication_role = replica;
    ALTER TABLE points_start DISABLE TRIGGER ALL;
    ALTER TABLE points_entry_archive DISABLE TRIGGER ALL;
    ALTER TABLE points_entry DISABLE TRIGGER ALL;
    ALTER TABLE points_account DISABLE TRIGGER ALL;
    EXECUTE change;
    RAISE EXCEPTION USING ERRCODE = 'CP999', MESSAGE = (SELECT coalesce(string_agg(DISTINCT regexp_replace(v.finding, '[0-9]+', 'N', 'g'), '; '), 'nothing') FROM points_verify() v WHERE v.customer_id IS NOT NULL);
END
$$;
CREATE FUNCTION pg_temp.found(change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v text;
BEGIN
    PERFORM * FROM pg_temp.tampered(change);
    RETURN 'no error';
EXCEPTION WHEN sqlstate 'CP999' THEN
    RETURN SQLERRM;
END
$$;
SELECT customer_id AS c, max(s.seq) AS s FROM points_start s JOIN points_account a USING (customer_id, program)
    WHERE program = 'points' AND a.seq > a.archived AND customer_id NOT IN (5, 6) GROUP BY 1 ORDER BY 1 LIMIT 1 \gset
SELECT format('program = ''points'' AND customer_id = %s', :c) AS one \gset
SELECT pg_temp.found('SELECT 1') AS nothing;
SELECT pg_temp.found('UPDATE points_start SET available = available + 5 WHERE ' || :'one') AS start_balance;
SELECT pg_temp.found('UPDATE points_start SET lots = ''{}'', available = 0 WHERE ' || :'one') AS start_lots;
SELECT pg_temp.found('UPDATE points_start SET earned = earned + 5 WHERE ' || :'one' || '; UPDATE points_account SET earned = earned + 5 WHERE ' || :'one') AS start_and_account;
SELECT pg_temp.found('UPDATE points_start SET head = sha256(head) WHERE ' || :'one') AS start_head;
SELECT pg_temp.found('UPDATE points_start SET checkpoint = 1 WHERE checkpoint <> 1 AND ' || :'one') AS start_checkpoint;
SELECT pg_temp.found('DELETE FROM points_start WHERE ' || :'one') AS start_gone;
SELECT pg_temp.found('UPDATE points_account SET archived = 0 WHERE ' || :'one') AS account_archived;
-- a start moved ahead over an entry that is then taken out
SELECT pg_temp.found(format('UPDATE points_start s SET seq = e.seq, head = e.hash, available = e.balance_after, booked_at = e.booked_at
        FROM points_entry e WHERE s.seq = %2$s AND e.seq = %2$s + 1 AND (s.program, s.customer_id) = (''points'', %1$s) AND (e.program, e.customer_id) = (''points'', %1$s);
    DELETE FROM points_entry WHERE seq = %2$s + 1 AND (program, customer_id) = (''points'', %1$s);
    UPDATE points_account SET archived = %2$s + 1 WHERE (program, customer_id) = (''points'', %1$s)', :c, :s)) AS start_ahead;
SELECT pg_temp.found('UPDATE points_entry_archive SET entries[1].points = entries[1].points + 1 WHERE ' || :'one') AS archived_points;
SELECT pg_temp.found('UPDATE points_entry_archive SET entries[2].reference = ''other'' WHERE ' || :'one') AS archived_reference;
SELECT pg_temp.found('UPDATE points_entry_archive SET entries = entries[1:1] || entries[3:] WHERE ' || :'one') AS archived_entry_gone;
SELECT pg_temp.found('DELETE FROM points_entry_archive WHERE ' || :'one') AS archive_gone;
SELECT pg_temp.found('UPDATE points_entry_archive SET digests = '''' WHERE ' || :'one') AS digests;
SELECT pg_temp.found('INSERT INTO points_entry SELECT * FROM points_entry_archived WHERE seq = 1 AND ' || :'one') AS back_in_the_ledger;
SELECT count(*) FROM points_verify();

-- A person is forgotten whose entries are archived: what is personal goes, the archive stays as it was and verifies, and nothing of the person is in it.
INSERT INTO customer (customer_id) VALUES (16), (17);
UPDATE customer SET status = 'merged', merged_into = 16 WHERE customer_id = 17;
INSERT INTO contact (customer_id, name, phone) VALUES (16, 'Zhang Sanfeng', '13812341234');
SELECT count(earn(16, 100 + i, 't', 'p' || i, as_of => '2020-03-01', note => 'Sanfeng rang from 13812341234')) FROM generate_series(1, 3) i;
SELECT count(redeem(16, 50, 't', 'q1', as_of => '2020-03-02', note => 'a gift to Sanfeng''s mother'));
SELECT seq FROM earn(16, 1, 't', '13812341234', as_of => '2020-03-03');
SELECT changed > 0 AS taken FROM points_checkpoint();
SELECT count(earn(16, 7, 't', 'p9', as_of => '2024-03-01', note => 'Sanfeng again'));
CALL archive_points('2020-04-01');
SELECT seq, archived, available FROM points_account WHERE customer_id = 16;
CREATE FUNCTION pg_temp.traces(pattern text) RETURNS TABLE (found_in text) LANGUAGE plpgsql AS $$
DECLARE
    hit boolean;
BEGIN
    FOR found_in IN SELECT c.relname FROM pg_class c WHERE c.relnamespace = 't_archive'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1 LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I x WHERE x::text ~ $1)', found_in) INTO hit USING pattern;
        IF hit THEN RETURN NEXT; END IF;
    END LOOP;
END $$;
ANALYZE points_note;
SELECT * FROM pg_temp.traces('Sanfeng|13812341234');
CREATE TEMP TABLE archived AS SELECT to_jsonb(a) AS row FROM points_entry_archive a WHERE customer_id = 16;
SELECT export_customer(16) #> '{points_entry_archive,0}' ? 'entries' AS told;
SELECT erase_customer(16, 'asked by letter') -> 'done' -> 'points_note' AS notes;
SELECT * FROM pg_temp.traces('Sanfeng|13812341234');
SELECT count(*) FROM pg_stats WHERE schemaname = 't_archive' AND tablename = 'points_note' AND concat(most_common_vals, histogram_bounds) ~ 'Sanfeng';
SELECT count(*) AS changed FROM (TABLE archived EXCEPT SELECT to_jsonb(a) FROM points_entry_archive a WHERE customer_id = 16) x;
SELECT count(*) FROM points_verify();
SELECT count(*) FROM points_verify_checkpoints();
-- what came back is as it was, and its balance at any day
SELECT points_balance_at(16, '2020-03-01 12:00+00'), points_restore_archive(16), points_balance_at(16, '2020-03-01 12:00+00');
SELECT count(*) FROM points_verify();
SELECT * FROM pg_temp.traces('Sanfeng|13812341234');

-- The other store, not in partitions, as one batch; then all of it back.
CREATE TEMP TABLE before AS SELECT to_jsonb(e) FROM t_plain.points_entry e;
SET search_path = t_plain, crm, pg_temp;
SELECT count(*) FROM points_checkpoint();
CALL archive_points('2025-01-01');
SELECT sum(archived) > 100 AS archived FROM points_account;
SELECT count(*) FROM points_verify();
SELECT count(*) AS differ FROM (TABLE before EXCEPT ALL SELECT to_jsonb(e) FROM points_entry_all e) x;
SELECT sum(points_restore_archive(customer_id, program)) > 100 AS back FROM points_account;
SELECT count(*) FROM points_verify();
SELECT count(*) AS differ FROM (TABLE before EXCEPT ALL SELECT to_jsonb(e) FROM points_entry e) x;
SELECT count(*) FROM points_entry_archive;

-- What fails while an account is written leaves no door open in a session that did nothing else.
\c -
SET client_min_messages = warning;
SET search_path = t_archive, crm, pg_temp;
CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$;
CREATE TRIGGER fails BEFORE UPDATE ON points_account FOR EACH ROW EXECUTE FUNCTION fails();
SELECT points_restore_archive(customer_id, program) FROM points_account WHERE archived > 0 ORDER BY 1 LIMIT 1;
DROP TRIGGER fails ON points_account;
UPDATE points_account SET available = available + 1 WHERE customer_id = 7 AND program = 'points';
SELECT count(*) FROM points_verify();
SET search_path = public;
SELECT crm.drop_store('t_plain', 't_plain');
SELECT crm.drop_store('t_archive', 't_archive');
