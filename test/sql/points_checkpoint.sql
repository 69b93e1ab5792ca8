-- Merkle trees, checkpoints and proofs; what a ledger's owner may not do.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
-- the vectors of RFC 6962's reference implementation
SELECT n, crm.merkle_root((array['\x','\x00','\x10','\x2021','\x3031','\x40414243','\x5051525354555657','\x606162636465666768696a6b6c6d6e6f']::bytea[])[1:n]) FROM generate_series(0, 8) n;
SELECT crm.merkle_path(array['\x','\x00','\x10','\x2021','\x3031']::bytea[], 2);
SELECT crm.merkle_path(array['\x','\x00']::bytea[], 2);
SELECT count(*) AS paths, bool_and(crm.merkle_verify(l, i - 1, n, p, r)) AS right,
       bool_or(crm.merkle_verify(l || '\x00', i - 1, n, p, r)) AS other_leaf,
       bool_or(n > 1 AND crm.merkle_verify(l, i % n, n, p, r)) AS other_index,
       bool_or(crm.merkle_verify(l, i - 1, n, p || r, r)) AS longer,
       bool_or(n > 1 AND crm.merkle_verify(l, i - 1, n, p[2:], r)) AS shorter,
       bool_or(crm.merkle_verify(l, i - 1, n, p, '\x00')) AS other_root
FROM generate_series(1, 40) n, LATERAL (SELECT array_agg(int8send(x)) a FROM generate_series(1, n) x) q, generate_series(1, n) i,
     LATERAL (SELECT a[i] AS l, crm.merkle_path(a, i - 1) AS p, crm.merkle_root(a) AS r) z;
SELECT crm.merkle_verify('\x', -1, 1, '{}', sha256('')), crm.merkle_verify('\x', 0, 0, '{}', sha256('')), crm.merkle_verify('\x', 0, 2, array[null]::bytea[], sha256('')),
       crm.merkle_verify('\x', 0, 1, '{}', sha256('\x00')), crm.merkle_verify('\x', 0, 9223372036854775807, '{}', sha256('\x00'));

SELECT crm.create_store('t_checkpoint');
SET search_path = t_checkpoint, crm, pg_temp;
INSERT INTO customer (customer_id) SELECT generate_series(1, 9);
SELECT checkpoint, accounts, entries, changed, tree_root FROM points_checkpoint();
SELECT count(*) FROM generate_series(1, 7) c, LATERAL (SELECT earn(c, 10, 't', n::text, as_of => '2026-01-01') FROM generate_series(1, 3) n) e;
SELECT checkpoint, accounts, entries, changed FROM points_checkpoint();
SELECT redeem(3, 10, 't', 'r', as_of => '2026-01-02') \g /dev/null
SELECT checkpoint, accounts, entries, changed FROM points_checkpoint();
SELECT checkpoint, accounts, entries, changed FROM points_checkpoint();
SELECT customer_id, p -> 'checkpoint' AS checkpoint, p -> 'seq' AS seq, p -> 'index' AS index, p -> 'size' AS size, jsonb_array_length(p -> 'path') AS path, jsonb_array_length(p -> 'chain') AS chain,
       merkle_verify(points_leaf(customer_id, 'points', (p ->> 'seq')::bigint, decode(p ->> 'head', 'hex')), (p ->> 'index')::bigint, (p ->> 'size')::bigint,
                     ARRAY(SELECT decode(h, 'hex') FROM jsonb_array_elements_text(p -> 'path') h), decode(p ->> 'tree_root', 'hex')) AS proven
FROM (SELECT c AS customer_id, points_proof(c) AS p FROM (VALUES (1), (3), (7)) v (c)
      UNION ALL SELECT 3, points_proof(3, checkpoint => 2)) q;
SELECT points_proof(9);
UPDATE points_checkpoint SET root = '';
DELETE FROM points_checkpoint_leaf;
SELECT * FROM points_verify_checkpoints();
-- a removed account, a tail cut off with the account set back, a forged chain: only the checkpoint knows
SET session_replication_role = replica;
ALTER TABLE points_entry DISABLE TRIGGER USER;
BEGIN;
DELETE FROM points_entry WHERE customer_id = 1;
DELETE FROM points_account WHERE customer_id = 1;
DELETE FROM points_entry WHERE customer_id = 2 AND seq = 3;
UPDATE points_account a SET seq = 2, available = 20, earned = 20, lots = '{20}', head = e.hash FROM points_entry e WHERE a.customer_id = 2 AND e.customer_id = 2 AND e.seq = 2;
DELETE FROM points_entry WHERE customer_id = 4;
DELETE FROM points_account WHERE customer_id = 4;
SET session_replication_role = origin;
ALTER TABLE points_entry ENABLE TRIGGER USER;
SELECT count(*) FROM (SELECT earn(4, 1000, 't', n::text, as_of => '2026-01-01') FROM generate_series(1, 3) n) e;
SELECT * FROM points_verify() WHERE finding NOT LIKE 'trigger%';
SELECT * FROM points_verify_checkpoints() ORDER BY 1, 3;
SELECT * FROM points_verify_since() ORDER BY 1, 3;
ROLLBACK;
-- since a checkpoint: an account that stands still is compared with its last entry, one that moved is built up again
SELECT * FROM points_verify_since();
BEGIN;
UPDATE points_entry SET points = 11 WHERE customer_id = 5 AND seq = 2;
UPDATE points_account SET available = 31 WHERE customer_id = 6;
UPDATE points_account SET pending = 1 WHERE customer_id = 3;
SELECT * FROM points_verify_since() ORDER BY 1, 3;
SELECT * FROM points_verify_since(2) ORDER BY 1, 3;
SELECT part, v.* FROM generate_series(1, 2) part, LATERAL points_verify_since(1, part, 2) v ORDER BY 2, 4;
ROLLBACK;
BEGIN;
ALTER TABLE points_checkpoint DISABLE TRIGGER USER;
ALTER TABLE points_checkpoint_leaf DISABLE TRIGGER USER;
DELETE FROM points_checkpoint_leaf WHERE customer_id = 5;
UPDATE points_checkpoint SET entries = 23 WHERE checkpoint = 3;
SELECT * FROM points_verify_checkpoints();
ROLLBACK;
ALTER TABLE points_entry ENABLE TRIGGER USER;
RESET session_replication_role;
SELECT repair_triggers('t_checkpoint');
SELECT * FROM points_verify();
RESET search_path;
SELECT crm.drop_store('t_checkpoint', 't_checkpoint');

-- an owner who is no superuser
CREATE ROLE crm_t_owner;
GRANT CREATE ON DATABASE :DBNAME TO crm_t_owner;
SET ROLE crm_t_owner;
SELECT crm.create_store('t_owned');
INSERT INTO t_owned.customer (customer_id) VALUES (1), (2);
SELECT balance_after FROM t_owned.earn(1, 10, 't', '1');
SELECT balance_after FROM t_owned.transfer(1, 2, 4, 't', '1');
ALTER TABLE t_owned.points_entry DISABLE TRIGGER points_gate;
ALTER TABLE t_owned.points_entry DISABLE TRIGGER USER;
ALTER TABLE t_owned.points_account DISABLE TRIGGER ALL;
ALTER TABLE t_owned.points_entry ENABLE REPLICA TRIGGER points_gate;
ALTER TABLE t_owned.points_entry ALTER COLUMN points TYPE bigint USING 0;
ALTER TABLE t_owned.points_entry ADD COLUMN mine text, DROP COLUMN points;
ALTER TABLE t_owned.points_entry ADD COLUMN mine text;
CREATE RULE r AS ON INSERT TO t_owned.points_entry DO INSTEAD NOTHING;
DROP TRIGGER points_gate ON t_owned.points_entry;
DROP TABLE t_owned.points_entry CASCADE;
ALTER TABLE t_owned.points_entry ENABLE ALWAYS TRIGGER points_immutable_row;
ALTER TABLE t_owned.points_rule ALTER COLUMN points TYPE numeric;
SET search_path = t_owned;
ALTER TABLE points_entry DISABLE TRIGGER points_gate;
RESET search_path;
UPDATE t_owned.points_account SET available = 5;
SELECT balance_after FROM t_owned.earn(1, 10, 't', '2');
SELECT * FROM t_owned.points_verify();
SELECT crm.drop_store('t_owned', 't_owned');
RESET ROLE;
REVOKE CREATE ON DATABASE :DBNAME FROM crm_t_owner;
DROP ROLE crm_t_owner;
