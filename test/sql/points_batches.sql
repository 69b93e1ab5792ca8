-- Large batches are posted as if no movement repeated an earlier one, and again with looking each up where that was wrong: the results
-- are those of the movements one by one.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
SET client_min_messages = warning;
SELECT crm.create_store('t_batches');
INSERT INTO t_batches.customer (customer_id) SELECT generate_series(1, 100);
CREATE FUNCTION t_batches.movement(customer_id bigint, kind text, points bigint, reference text) RETURNS crm.points_movement LANGUAGE sql AS
$$ SELECT ROW(customer_id, kind, points, 'test', reference, NULL, NULL, NULL, NULL, timestamptz '2026-05-01', NULL)::crm.points_movement $$;
CREATE VIEW t_batches.state AS
SELECT count(*) AS accounts, sum(seq) AS seq, sum(available) AS available, (SELECT count(*) FROM t_batches.points_entry) AS entries,
       (SELECT count(*) FROM t_batches.points_verify()) AS wrong FROM t_batches.points_account;

-- New ones, for accounts that are new and then for accounts that are there; several of an account.
SELECT status, count(*), sum(balance_after) FROM t_batches.post_points(ARRAY(SELECT t_batches.movement(1 + g % 100, 'earn', 10, 'a' || g) FROM generate_series(0, 199) g)) GROUP BY status;
SELECT status, count(*), sum(balance_after) FROM t_batches.post_points(ARRAY(SELECT t_batches.movement(1 + g % 100, 'earn', 10, 'b' || g) FROM generate_series(0, 299) g)) GROUP BY status;
TABLE t_batches.state;

-- All again, some again, one twice in a batch: the first time it is posted.
SELECT status, count(*), sum(seq), sum(balance_after) FROM t_batches.post_points(ARRAY(SELECT t_batches.movement(1 + g % 100, 'earn', 10, 'b' || g) FROM generate_series(0, 299) g)) GROUP BY status;
SELECT status, count(*), sum(seq), sum(balance_after) FROM t_batches.post_points(ARRAY(SELECT t_batches.movement(1 + g % 100, 'earn', 10, 'b' || g) FROM generate_series(250, 349) g)) GROUP BY status ORDER BY status;
SELECT status, count(*), min(ordinal), max(ordinal) FROM t_batches.post_points(ARRAY(SELECT t_batches.movement(7, 'earn', 1, CASE WHEN g IN (10, 60) THEN 'c10' ELSE 'c' || g END) FROM generate_series(1, 70) g)) GROUP BY status ORDER BY status;
TABLE t_batches.state;

-- All or nothing: one that cannot be, one with other content; nothing is left of the batch.
SELECT * FROM t_batches.post_points(ARRAY(SELECT t_batches.movement(g, 'redeem', CASE g WHEN 40 THEN 1000 ELSE 5 END, 'd' || g) FROM generate_series(1, 100) g));
SELECT * FROM t_batches.post_points(ARRAY(SELECT t_batches.movement(g, 'earn', 11, CASE g WHEN 41 THEN 'a40' ELSE 'e' || g END) FROM generate_series(1, 100) g));
SELECT * FROM t_batches.post_points(ARRAY(SELECT t_batches.movement(g, 'earn', 1, 'f' || g) FROM generate_series(1, 101) g));
TABLE t_batches.state;

-- Row by row: each its own result. A repeated redemption is repeated though its points are gone.
SELECT status, sqlstate, count(*), min(ordinal) FROM t_batches.post_points(ARRAY(SELECT t_batches.movement(g, 'redeem', 50, 'g' || g) FROM generate_series(1, 100) g)) GROUP BY status, sqlstate;
SELECT status, sqlstate, count(*), min(ordinal) FROM t_batches.post_points(ARRAY(
    SELECT t_batches.movement(g, 'redeem', CASE WHEN g BETWEEN 31 AND 34 THEN 49 ELSE 50 END, CASE WHEN g BETWEEN 51 AND 55 THEN 'h' ELSE 'g' END || g) FROM generate_series(1, 102) g), false)
GROUP BY status, sqlstate ORDER BY min(ordinal);
TABLE t_batches.state;

-- Other kinds: what they reverse is in the same batch or before.
SELECT status, count(*), sum(balance_after) FROM t_batches.post_points(ARRAY(SELECT t_batches.movement(g, k, CASE k WHEN 'hold' THEN 3 END, 'i' || g) FROM generate_series(1, 30) g, unnest(ARRAY['hold', 'capture']) k WHERE g <> 7)
    || ARRAY(SELECT t_batches.movement(g, 'restore', 20, 'g' || g) FROM generate_series(1, 30) g)) GROUP BY status;
-- The same twice gives the same.
SELECT status, sqlstate, count(*) FROM t_batches.post_points(ARRAY(SELECT t_batches.movement(g, k, CASE k WHEN 'hold' THEN 3 END, 'i' || g) FROM generate_series(1, 30) g, unnest(ARRAY['hold', 'capture']) k WHERE g <> 7)
    || ARRAY(SELECT t_batches.movement(g, 'restore', 20, 'g' || g) FROM generate_series(1, 30) g)) GROUP BY status, sqlstate;
TABLE t_batches.state;

-- In a transaction that goes on, and one that is given up.
BEGIN;
SELECT status, count(*) FROM t_batches.post_points(ARRAY(SELECT t_batches.movement(g, 'earn', 1, 'j' || g) FROM generate_series(1, 100) g)) GROUP BY status;
SAVEPOINT s;
SELECT status, count(*) FROM t_batches.post_points(ARRAY(SELECT t_batches.movement(g, 'earn', 1, 'k' || g) FROM generate_series(1, 100) g)) GROUP BY status;
ROLLBACK TO s;
SELECT status, count(*) FROM t_batches.post_points(ARRAY(SELECT t_batches.movement(g, 'earn', 1, CASE WHEN g % 2 = 0 THEN 'j' ELSE 'k' END || g) FROM generate_series(1, 100) g)) GROUP BY status ORDER BY status;
COMMIT;
TABLE t_batches.state;

-- Without the unique constraint the ledger looks every reference up, as it must; verification then looks for repeats itself.
ALTER TABLE t_batches.points_entry DROP CONSTRAINT points_entry_reference;
CREATE INDEX points_entry_reference ON t_batches.points_entry (customer_id, reference, program, kind, source);
SELECT status, count(*) FROM t_batches.post_points(ARRAY(SELECT t_batches.movement(g, 'earn', 1, CASE WHEN g % 2 = 0 THEN 'j' ELSE 'l' END || g) FROM generate_series(1, 100) g)) GROUP BY status ORDER BY status;
TABLE t_batches.state;

-- An index of the user's on the columns of crm's own partial one gets every entry.
CREATE INDEX ON t_batches.points_entry (customer_id, program, reverses);
ALTER TABLE t_batches.points_entry ADD CONSTRAINT points_entry_reference_again UNIQUE (customer_id, reference, program, kind, source);
DROP INDEX t_batches.points_entry_reverses;
SELECT status, count(*) FROM t_batches.post_points(ARRAY(SELECT t_batches.movement(g, 'earn', 1, 'm' || g) FROM generate_series(1, 100) g)) GROUP BY status ORDER BY status;
SET enable_seqscan = off;
SELECT count(*) = (SELECT sum(seq) FROM t_batches.points_account) AS all_there FROM t_batches.points_entry WHERE customer_id > 0 AND program = 'points';
RESET enable_seqscan;

-- What a job found due is taken in pieces; the table is written anew between them, an account is closed, another is found not due.
SELECT count(*) FROM generate_series(1, 6) c, LATERAL t_batches.earn(c, 9, 'due', 'n', expires_at => now() + interval '1 hour');
SELECT crm.points_lapse_due('t_batches.points_entry', date_trunc('day', now()) + interval '2 days', 2);
UPDATE t_batches.points_account SET closed = true WHERE customer_id = (SELECT max(customer_id) FROM t_batches.points_account WHERE next_due < date_trunc('day', now()) + interval '2 days');
SELECT kind FROM t_batches.redeem((SELECT min(customer_id) FROM t_batches.points_account WHERE next_due < date_trunc('day', now()) + interval '2 days'), 1, 'due', 'n', as_of => date_trunc('day', now()) + interval '2 days');
VACUUM FULL t_batches.points_account;
SELECT crm.points_lapse_due('t_batches.points_entry', date_trunc('day', now()) + interval '2 days', 1);
SELECT crm.points_lapse_due('t_batches.points_entry', date_trunc('day', now()) + interval '2 days', 5);
SELECT crm.points_lapse_due('t_batches.points_entry', date_trunc('day', now()) + interval '2 days', 5);
SELECT customer_id, count(*) FILTER (WHERE kind = 'expire') AS expired FROM t_batches.points_entry WHERE customer_id BETWEEN 1 AND 6 AND (reference = 'n' OR kind = 'expire') GROUP BY 1 ORDER BY 1;

SELECT crm.drop_store('t_batches', 't_batches');
