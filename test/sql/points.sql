-- The points ledger: each verb, each refusal, lapses, raw rows.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
SELECT crm.create_store('t_points');
SET search_path = t_points, crm, pg_temp;
INSERT INTO customer (customer_id) SELECT generate_series(1, 30);
CREATE FUNCTION pg_temp.entries(c bigint) RETURNS TABLE (seq bigint, kind text, points bigint, after bigint, reverses bigint, short bigint, at text, reference text, lots points_lots)
LANGUAGE sql AS $$ SELECT seq, kind, points, balance_after, reverses, shortfall, to_char(booked_at, 'MM-DD HH24:MI'), source || '/' || coalesce(reference, '-'), lots FROM t_points.points_entry WHERE customer_id = c ORDER BY program, seq $$;

-- lots
SELECT '{}'::points_lots, ' { 5 until 2027-01-01T00:00:00Z,100,7 from infinity until 2026-12-31T12:30:00.5Z , 2 until 2027-01-01T00:00:00Z }'::points_lots;
SELECT pg_column_size('{100 until 2026-12-31T16:00:00Z, 20 until 2027-01-31T16:00:00Z, 30 until 2027-02-28T16:00:00Z, 1000000 until 2027-03-31T16:00:00Z}'::points_lots) AS bytes_of_4;
SELECT '{0}'::points_lots;
SELECT '{1,}'::points_lots;
SELECT '{1 until 2026-02-30T00:00:00Z}'::points_lots;
SELECT '{9223372036854775807, 1 until 2026-02-28T00:00:00Z}'::points_lots;
SELECT * FROM points_lots_unnest('{5 until 2027-01-01T00:00:00Z, 100, 7 from infinity}');
SELECT points_lots_send('{5 until 2000-01-01T00:00:01Z, 100}');

-- earn: first, repeat, other content
SELECT seq, kind, points, balance_after, expires_at, substr(hash::text, 1, 20) AS hash FROM earn(1, 100, 'order', 'o1', as_of => '2026-01-10 08:00+00');
SELECT seq, points FROM earn(1, 100, 'order', 'o1', as_of => '2026-01-11 08:00+00');
SELECT earn(1, 99, 'order', 'o1');
SELECT earn(1, 100, 'order', 'o1', expires_at => '2030-01-01');
SELECT earn(1, 0, 'order', 'o2');
SELECT earn(1, -5, 'order', 'o2');
SELECT earn(1, 9223372036854775807, 'order', 'o2');
SELECT earn(1, 5, 'order', '');
SELECT earn(1, 5, 'order', NULL);
SELECT earn(1, 5, 'order', '13800138000');
SELECT earn(1, 5, 'order', 'a@b.example');
SELECT earn(1, 5, '13800138000', 'o-1');
SELECT earn(1, 5, 'order', 'o-1', detail => '{"item": ["book", {"by": "+8613800138000"}]}');
SELECT earn(1, 5, 'order', 'o-1', detail => '{"phone": 13800138000}');
SELECT redeem(1, 5, 'order', 'o-1', detail => '{"a@b.example": 1}');
INSERT INTO points_entry (customer_id, kind, points, source, reference, detail) VALUES (1, 'earn', 5, 'order', 'o-1', '"a@b.example"');
SELECT post_points(ARRAY[ROW(1, 'earn', 5, 'order', 'o-1', NULL, NULL, NULL, NULL, NULL, '["13800138000"]')::crm.points_movement]);
SELECT count(*) FROM points_entry e WHERE e.reference = 'o-1';
SELECT earn(1, 5, 'order', 'o2', program => 'miles');
SELECT earn(999, 5, 'order', 'o2');
SELECT earn(1, 5, 'order', 'o2', as_of => 'infinity');
-- the lot that expires first goes first; expires_at is exclusive
SELECT seq FROM earn(1, 50, 'order', 'o3', as_of => '2026-01-10 09:00+00', expires_at => '2026-03-01 00:00+00');
SELECT seq, balance_after, lots FROM redeem(1, 60, 'mall', 'r1', as_of => '2026-02-28 23:59:59.999999+00');
SELECT redeem(1, 91, 'mall', 'r2', as_of => '2026-02-28 23:59:59.999999+00');
SELECT redeem(1, 60, 'mall', 'r1', program => 'growth');
-- restore: to its lots; the one that expired meanwhile expires at once
SELECT seq, points, balance_after, lots FROM restore(1, 'r1', 5, reference => 'r1-a', as_of => '2026-02-28 23:59:59.999999+00');
SELECT seq, points, balance_after, lots FROM restore(1, 'r1', as_of => '2026-03-02 00:00+00');
SELECT restore(1, 'r1', 1, reference => 'r1-c', as_of => '2026-03-02 00:00+00');
SELECT restore(1, 'nothing');
SELECT * FROM pg_temp.entries(1);
-- a retry of an earlier "all" is a repeat; another number is not
SELECT seq, points FROM restore(1, 'r1');
SELECT restore(1, 'r1', 54);

-- refund: own lot first, then others, then shortfall, or debt
SELECT earn(2, 100, 'order', 'a', as_of => '2026-01-01', expires_at => '2026-06-01'), earn(2, 30, 'order', 'b', as_of => '2026-01-02', expires_at => '2026-05-01') \g /dev/null
SELECT seq, points, shortfall, balance_after, lots FROM refund(2, 'a', 40, as_of => '2026-01-03');
SELECT refund(2, 'a', 20, as_of => '2026-01-03');
SELECT refund(2, 'a', 61, reference => 'a-2', as_of => '2026-01-03');
SELECT seq FROM redeem(2, 70, 'mall', 'r', as_of => '2026-01-03');
SELECT seq, points, shortfall, balance_after, lots FROM refund(2, 'a', reference => 'a-2', as_of => '2026-01-03');
SELECT refund(2, 'a', reference => 'a-3');
SELECT refund(2, 'r');
INSERT INTO points_program (program, debt_allowed) VALUES ('credit', true);
SELECT earn(2, 10, 'order', 'a', program => 'credit', as_of => '2026-01-01') \g /dev/null
SELECT redeem(2, 10, 'mall', 'r', program => 'credit', as_of => '2026-01-01') \g /dev/null
SELECT seq, balance_after, lots FROM refund(2, 'a', program => 'credit', as_of => '2026-01-02');
SELECT seq, balance_after FROM earn(2, 4, 'order', 'c', program => 'credit', as_of => '2026-01-02');
SELECT redeem(2, 1, 'mall', 'r2', program => 'credit');
SELECT seq, balance_after FROM earn(2, 9, 'order', 'd', program => 'credit', as_of => '2026-01-02');
SELECT lots, available FROM points_account WHERE customer_id = 2 AND program = 'credit';

-- hold, capture, release, overdue
SELECT earn(3, 100, 'order', 'a', as_of => '2026-01-01') \g /dev/null
SELECT seq, balance_after, lots FROM hold(3, 60, 'cart', 'h1', as_of => '2026-01-02', expires_at => '2026-01-03');
SELECT redeem(3, 41, 'mall', 'x', as_of => '2026-01-02');
SELECT capture(3, 'h1', 61, as_of => '2026-01-02');
SELECT seq, points, balance_after FROM capture(3, 'h1', 25, as_of => '2026-01-02');
SELECT seq, points FROM capture(3, 'h1', 25);
SELECT capture(3, 'h1');
SELECT release(3, 'h1', as_of => '2026-01-02');
SELECT hold(3, 10, 'cart', 'h2', as_of => '2026-01-02', expires_at => '2026-01-03') \g /dev/null
SELECT capture(3, 'h2', 5, as_of => '2026-01-03');
SELECT available, pending, held FROM points_balance WHERE customer_id = 3;
SELECT hold(3, 10, 'cart', 'h3', as_of => '2026-01-04') \g /dev/null
SELECT seq, points, balance_after FROM release(3, 'h3', as_of => '2026-01-05');
SELECT release(3, 'h2', as_of => '2026-01-05');
SELECT hold(3, 10, 'cart', 'h4', as_of => '2026-01-05', expires_at => '2026-01-05');
SELECT release(3, 'h9');
SELECT * FROM pg_temp.entries(3);
SELECT seq, reference, points, state, captured, resolved_seq FROM points_hold WHERE customer_id = 3 ORDER BY seq;

-- pending, mature
SELECT seq, balance_after FROM earn(4, 10, 'order', 'a', available_at => '2026-02-01', as_of => '2026-01-01');
SELECT seq, balance_after FROM earn(4, 20, 'order', 'b', available_at => 'infinity', as_of => '2026-01-01');
SELECT seq, points, balance_after FROM mature(4, 'b', available_at => '2026-01-20', as_of => '2026-01-10');
SELECT redeem(4, 1, 'mall', 'x', as_of => '2026-01-15');
SELECT seq, points, balance_after, lots FROM refund(4, 'a', 4, as_of => '2026-01-15');
SELECT seq, balance_after FROM redeem(4, 26, 'mall', 'x', as_of => '2026-02-01');
SELECT mature(4, 'b');
SELECT * FROM pg_temp.entries(4);

-- adjust, transfer, convert
SELECT adjust(5, 10, 'staff', 'x', ' ');
SELECT seq, points, balance_after, actor = current_user AS by_me FROM adjust(5, 30, 'staff', 'x', 'goodwill', expires_at => '2027-01-01', as_of => '2026-01-01');
SELECT seq, points, balance_after FROM adjust(5, -10, 'staff', 'y', 'mistake', as_of => '2026-01-01');
SELECT adjust(5, -21, 'staff', 'z', 'mistake', as_of => '2026-01-01');
SELECT adjust(5, 0, 'staff', 'z', 'mistake');
SELECT note FROM points_note WHERE customer_id = 5 ORDER BY seq;
SELECT seq, kind, balance_after, lots, detail FROM transfer(5, 6, 15, 'gift', 'g1', as_of => '2026-01-02', note => 'happy birthday');
SELECT seq FROM transfer(5, 6, 15, 'gift', 'g1', as_of => '2026-01-02');
SELECT transfer(5, 7, 15, 'gift', 'g1');
SELECT transfer(5, 5, 1, 'gift', 'g2');
SELECT transfer(5, 6, 6, 'gift', 'g2');
SELECT seq, kind, balance_after, lots FROM points_entry WHERE customer_id = 6;
SELECT seq, kind, points, balance_after, lots FROM convert(6, 10, 'swap', 's1', 'points', 'credit', rate => 0.35, as_of => '2026-01-03');
SELECT convert(6, 1, 'swap', 's2', 'points', 'credit', rate => 0.35);

-- expiry by policy, in the store's zone; given ones are never rounded
UPDATE points_program SET expiry = 'months', expiry_n = 12 WHERE program = 'points';
SELECT expires_at FROM earn(10, 1, 't', 'months', as_of => '2026-01-30 15:59:59+00');
SELECT expires_at FROM earn(10, 1, 't', 'leap', as_of => '2027-02-28 16:00:00+00');
UPDATE points_program SET expiry = 'days', expiry_n = 30, expiry_round = 'day_end' WHERE program = 'points';
SELECT expires_at FROM earn(11, 1, 't', 'days', as_of => '2026-01-30 15:59:59+00');
UPDATE points_program SET expiry = 'year_end', expiry_n = 1 WHERE program = 'points';
SELECT expires_at FROM earn(11, 1, 't', 'year', as_of => '2026-12-31 15:59:59+00');
UPDATE points_program SET expiry = 'fixed_dates', expiry_dates = '{06-30,12-31}' WHERE program = 'points';
SELECT expires_at FROM earn(12, 1, 't', 'fixed1', as_of => '2026-06-29 15:59:59+00');
SELECT expires_at FROM earn(12, 1, 't', 'fixed2', as_of => '2026-06-29 16:00:00+00');
SELECT expires_at FROM earn(12, 1, 't', 'fixed3', as_of => '2026-12-31 00:00:00+00');
SELECT expires_at FROM earn(12, 1, 't', 'never', as_of => '2026-12-31 00:00:00+00', expires_at => 'infinity');
UPDATE points_program SET expiry_dates = '{13-01}' WHERE program = 'points';
UPDATE points_program SET expiry = 'never', expiry_dates = NULL WHERE program = 'points';
SELECT expires_at FROM earn(12, 1, 't', 'growth', program => 'growth', as_of => '2026-02-28 03:04:05.678+00');

-- lapses in the order in which they were due, and the balance at any moment
SELECT earn(13, 10, 't', 'a', as_of => '2026-01-01', expires_at => '2026-02-01'), earn(13, 20, 't', 'b', as_of => '2026-01-01', expires_at => '2026-04-01'),
       earn(13, 40, 't', 'c', as_of => '2026-01-01', available_at => '2026-03-01') \g /dev/null
SELECT hold(13, 5, 't', 'h', as_of => '2026-01-02', expires_at => '2026-01-15') \g /dev/null
SELECT at::date, points_balance_at(13, at) FROM unnest('{2025-12-31,2026-01-01,2026-01-14,2026-01-15,2026-01-31,2026-02-01,2026-02-28,2026-03-01,2026-04-01}'::timestamptz[]) at;
SELECT earn(13, 1, 't', 'late', as_of => '2026-05-01') \g /dev/null
SELECT * FROM pg_temp.entries(13);
SELECT at::date, points_balance_at(13, at) FROM unnest('{2025-12-31,2026-01-01,2026-01-14,2026-01-15,2026-01-31,2026-02-01,2026-02-28,2026-03-01,2026-04-01}'::timestamptz[]) at;
SELECT seq, occurred_at, booked_at FROM earn(13, 1, 't', 'old', as_of => '2026-01-01');

-- jobs
SELECT earn(14, 10, 't', 'a', as_of => '2026-01-01', expires_at => '2026-02-01'), earn(15, 10, 't', 'a', as_of => '2026-01-01', expires_at => '2026-02-02') \g /dev/null
SELECT customer_id, program, points, expires_at FROM points_expiring('40 days', as_of => '2026-01-01') WHERE customer_id IN (14, 15);
CALL expire_points('2026-02-01', batch => 1);
SELECT customer_id, seq, kind, points FROM points_entry WHERE customer_id IN (14, 15) ORDER BY 1, 2;
CALL mature_points();
CALL release_overdue_holds();
SELECT job, state FROM job_progress ORDER BY 1;

-- batches
SELECT * FROM post_points(ARRAY[
    ROW(21, 'earn', 100, 'b', '1', NULL, NULL, NULL, NULL, '2026-01-01', NULL),
    ROW(20, 'earn', 10, 'b', '1', NULL, NULL, NULL, NULL, '2026-01-01', NULL),
    ROW(21, 'redeem', 60, 'b', '2', NULL, NULL, NULL, NULL, '2026-01-01', NULL),
    ROW(21, 'redeem', 60, 'b', '3', NULL, NULL, NULL, NULL, '2026-01-01', NULL),
    ROW(21, 'earn', 100, 'b', '1', NULL, NULL, NULL, NULL, '2026-01-01', NULL),
    ROW(21, 'earn', 101, 'b', '1', NULL, NULL, NULL, NULL, '2026-01-01', NULL),
    ROW(21, 'refund', NULL, 'b', '1', NULL, NULL, NULL, 1, '2026-01-01', NULL),
    ROW(20, 'expire', 1, 'b', '9', NULL, NULL, NULL, NULL, '2026-01-01', NULL)]::points_movement[], atomic => false);
SELECT * FROM post_points(ARRAY[
    ROW(22, 'earn', 100, 'b', '1', NULL, NULL, NULL, NULL, '2026-01-01', NULL),
    ROW(22, 'redeem', 101, 'b', '2', NULL, NULL, NULL, NULL, '2026-01-01', NULL)]::points_movement[]);
SELECT count(*) FROM points_entry WHERE customer_id = 22;
SELECT count(*) FROM post_points('{}');

-- rows as an ORM or COPY brings them
INSERT INTO points_entry (customer_id, kind, points, source, reference, occurred_at) VALUES
    (23, 'earn', 10, 'raw', '1', '2026-01-01'), (23, 'redeem', 4, 'raw', '1', '2026-01-01'), (23, 'earn', 10, 'raw', '1', '2026-01-01');
INSERT INTO points_entry (customer_id, kind, points, source, reference) VALUES (23, 'earn', 10, 'raw', '1') ON CONFLICT DO NOTHING;
INSERT INTO points_entry (customer_id, kind, points, source, reference) VALUES (23, 'earn', 11, 'raw', '1') ON CONFLICT DO NOTHING;
INSERT INTO points_entry (customer_id, kind, points, source, reference) VALUES (23, 'redeem', 7, 'raw', '2');
INSERT INTO points_entry (customer_id, kind, points, source, reference) VALUES (23, 'gift', 7, 'raw', '2');
INSERT INTO points_entry (customer_id, kind, points, source, reference) VALUES (23, 'expire', 1, 'raw', '2');
INSERT INTO points_entry (customer_id, kind, points, source, reference, seq) VALUES (23, 'earn', 1, 'raw', '2', 3);
INSERT INTO points_entry (customer_id, kind, points, source, reference, seq, balance_after, occurred_at, booked_at, hash)
    VALUES (23, 'earn', 1, 'raw', '2', 3, 7, '2026-01-01', '2026-01-01', sha256('')), (24, 'earn', 1, 'raw', '2', 1, 7, '2026-01-01', '2026-01-01', sha256(''));
INSERT INTO points_entry SELECT * FROM points_entry WHERE customer_id = 23;
COPY points_entry (customer_id, kind, points, source, reference, occurred_at) FROM STDIN;
25	earn	5	copy	1	2026-01-01
25	hold	2	copy	2	2026-01-01
25	capture	\N	copy	2	2026-01-01
25	earn	5	copy	1	2026-01-01
\.
SELECT * FROM pg_temp.entries(25);
UPDATE points_entry SET points = 1;
DELETE FROM points_entry WHERE false;
TRUNCATE points_entry CASCADE;
INSERT INTO points_entry (customer_id, kind, points, source, reference) VALUES (23, 'earn', 10, 'raw', '1') ON CONFLICT (customer_id, program, seq) DO UPDATE SET points = 5;
UPDATE points_account SET available = 1000000 WHERE customer_id = 23;
DELETE FROM points_account;
UPDATE points_account SET closed = true WHERE customer_id = 23;
SELECT earn(23, 1, 't', 'closed');
SELECT seq FROM earn(23, 10, 'raw', '1');
UPDATE points_account SET closed = false WHERE customer_id = 23;
-- several in one transaction, savepoints
BEGIN;
SELECT seq FROM earn(26, 5, 't', '1', as_of => '2026-01-01');
SAVEPOINT s;
SELECT seq FROM earn(26, 5, 't', '2', as_of => '2026-01-01');
ROLLBACK TO s;
SELECT seq FROM earn(26, 6, 't', '2', as_of => '2026-01-01');
COMMIT;
-- a trigger that skips or changes rows is found
CREATE FUNCTION pg_temp.meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.points = 13 THEN RETURN NULL; END IF; NEW.balance_after := 0; RETURN NEW; END $$;
CREATE TRIGGER zz_meddle BEFORE INSERT ON points_entry FOR EACH ROW WHEN (NEW.customer_id = 27 AND NEW.points = 13) EXECUTE FUNCTION pg_temp.meddle();
SELECT earn(27, 13, 't', '1');
DROP TRIGGER zz_meddle ON points_entry;

SELECT * FROM points_verify();
SELECT program, sum(amount) FROM points_trial_balance GROUP BY 1 ORDER BY 1;
SELECT program, account, amount FROM points_trial_balance ORDER BY 1, 2;
SELECT count(*) AS wrong FROM points_liability WHERE opening + issued - redeemed - expired + reversed <> closing;
SELECT sum(j.amount) = (SELECT sum(available + pending) FROM points_account) AS agrees FROM points_journal j WHERE account = 'customer';

-- privileges
CREATE ROLE crm_t_points_app;
CREATE ROLE crm_t_points_raw;
SELECT grant_access('t_points', 'crm_t_points_app', 'app');
GRANT USAGE ON SCHEMA t_points TO crm_t_points_raw;
GRANT INSERT ON points_entry TO crm_t_points_raw;
SET ROLE crm_t_points_app;
SELECT seq FROM earn(28, 5, 't', '1', as_of => '2026-01-01');
SELECT available FROM points_balance WHERE customer_id = 28;
SELECT adjust(28, 5, 't', '1', 'because');
SELECT post_points('{}');
INSERT INTO points_entry (customer_id, kind, points, source, reference) VALUES (28, 'adjust', 10, 'raw', '1');
INSERT INTO points_entry (customer_id, kind, points, source, reference) VALUES (28, 'transfer_in', 10, 'raw', '1');
SELECT crm.points_post('t_points.points_entry', '{}', true);
UPDATE points_account SET closed = true;
SET ROLE crm_t_points_raw;
INSERT INTO points_entry (customer_id, kind, points, source, reference) VALUES (28, 'earn', 10, 'raw', '1');
INSERT INTO points_entry (customer_id, kind, points, source, reference) VALUES (28, 'adjust', 10, 'raw', '1');
RESET ROLE;
SELECT available FROM points_balance WHERE customer_id = 28;
SELECT * FROM points_verify(28);
RESET search_path;
SELECT crm.rename_store('t_points', 't_points2');
SELECT seq, balance_after FROM t_points2.earn(28, 5, 't', 'renamed', as_of => '2026-01-01') ;
CALL t_points2.expire_points();
SELECT crm.drop_store('t_points2', 't_points2');
DROP ROLE crm_t_points_app;
DROP ROLE crm_t_points_raw;
