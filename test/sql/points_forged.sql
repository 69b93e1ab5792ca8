-- What a superuser forges behind the ledger's back is found and named.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
SELECT crm.create_store('t_forged');
SET search_path = t_forged, crm, pg_temp;
INSERT INTO customer (customer_id) SELECT generate_series(1, 20);
SELECT count(*) FROM generate_series(1, 20) c, LATERAL (SELECT earn(c, 10 * n, 't', n::text, as_of => '2026-01-01') FROM generate_series(1, 5) n) e;
SELECT hold(1, 5, 't', 'h', as_of => '2026-01-01'), redeem(2, 30, 't', 'r', as_of => '2026-01-02'), adjust(3, 5, 't', 'a', 'reason', as_of => '2026-01-02') \g /dev/null
SELECT * FROM points_verify();
SET session_replication_role = replica;
-- the immutability triggers fire always
UPDATE points_entry SET points = 1;
DELETE FROM points_entry;
ALTER TABLE points_entry DISABLE TRIGGER USER;
SELECT finding FROM points_verify() ORDER BY 1;
BEGIN;
UPDATE points_entry SET points = 11 WHERE customer_id = 4 AND seq = 1;
UPDATE points_entry SET hash = set_byte(hash, 31, get_byte(hash, 31) # 1) WHERE customer_id = 5 AND seq = 5;
DELETE FROM points_entry WHERE customer_id = 6 AND seq = 3;
DELETE FROM points_entry WHERE customer_id = 7 AND seq = 5;
DELETE FROM points_entry WHERE customer_id = 8;
UPDATE points_entry SET seq = -seq WHERE customer_id = 9 AND seq IN (2, 3);
UPDATE points_entry SET seq = 5 + seq WHERE customer_id = 9 AND seq < 0;
UPDATE points_entry SET occurred_at = occurred_at - interval '1 day' WHERE customer_id = 10 AND seq = 2;
UPDATE points_entry SET source = 'x' WHERE customer_id = 11 AND seq = 1;
UPDATE points_entry SET balance_after = 0 WHERE customer_id = 12 AND seq = 4;
UPDATE points_entry SET reverses = 1 WHERE customer_id = 2 AND seq = 6;
UPDATE points_account SET available = 1000000 WHERE customer_id = 13;
UPDATE points_account SET lots = '{100, 50 until 2030-01-01T00:00:00Z}' WHERE customer_id = 14;
UPDATE points_account SET redeemed = 1, earned = 151 WHERE customer_id = 15;
UPDATE points_account SET next_due = '2026-01-01' WHERE customer_id = 16;
UPDATE points_account SET booked_at = '2020-01-01' WHERE customer_id = 17;
DELETE FROM points_account WHERE customer_id = 18;
UPDATE points_hold SET points = 6;
UPDATE points_note SET note = 'another';
INSERT INTO points_entry SELECT 19, 99, points, balance_after, occurred_at, booked_at, reverses, expires_at, available_at, shortfall, program, kind, 'new', reference, lots, detail, note_hash, actor, hash FROM points_entry WHERE customer_id = 19 AND seq = 5;
SELECT * FROM points_verify() WHERE finding NOT LIKE 'trigger%' ORDER BY 1, 3;
ROLLBACK;
-- accounts swapped
BEGIN;
UPDATE points_entry SET customer_id = customer_id + 100 WHERE customer_id IN (4, 5);
UPDATE points_entry SET customer_id = CASE customer_id WHEN 104 THEN 5 ELSE 4 END WHERE customer_id > 100;
SELECT * FROM points_verify() WHERE finding NOT LIKE 'trigger%' ORDER BY 1, 3;
ROLLBACK;
-- references repeated after the constraint is dropped
BEGIN;
ALTER TABLE points_entry DROP CONSTRAINT points_entry_reference;
SELECT count(*) FROM points_verify() WHERE finding NOT LIKE 'trigger%';
ROLLBACK;
ALTER TABLE points_entry ENABLE TRIGGER USER;
SELECT finding FROM points_verify() ORDER BY 1;
ALTER TABLE points_entry ENABLE ALWAYS TRIGGER points_immutable_row;
ALTER TABLE points_entry ENABLE ALWAYS TRIGGER points_immutable_statement;
RESET session_replication_role;
SELECT * FROM points_verify();
SELECT crm.drop_store('t_forged', 't_forged');
