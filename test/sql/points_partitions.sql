-- A ledger in partitions is the same ledger.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET client_min_messages = warning;
SELECT crm.create_store('t_whole');
SELECT crm.create_store('t_parts', partitions => 4);
SELECT crm.create_store('t_none', partitions => 2000);
SELECT relid::regclass, isleaf FROM pg_partition_tree('t_parts.points_entry');
SELECT * FROM crm.store_findings('t_parts');

CREATE FUNCTION pg_temp.work(store text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('search_path', store || ', crm', true);
    INSERT INTO customer (customer_id) SELECT generate_series(1, 60);
    INSERT INTO purchase (customer_id, order_no, amount, status, paid_at, completed_at)
        SELECT 1 + i % 60, 'o' || i, 100 + i * 31 % 500, 'completed', t.at, t.at FROM generate_series(1, 300) i, LATERAL (SELECT now() - i * interval '3 days' AS at) t;
    UPDATE purchase SET status = 'cancelled' WHERE order_no IN ('o3', 'o77', 'o200');
    INSERT INTO purchase_refund (customer_id, channel, order_no, refund_no, amount, at) SELECT p.customer_id, p.channel, p.order_no, 'r', 40, now() FROM purchase p WHERE p.order_no LIKE 'o1_';
    PERFORM earn(c, 50, 'shop', 'e' || c, expires_at => now() + c * interval '1 day') FROM generate_series(1, 60) c;
    PERFORM earn(c, 50, 'shop', 'e' || c, expires_at => now() + c * interval '1 day') FROM generate_series(1, 60) c;
    PERFORM redeem(c, 20, 'shop', 'd' || c) FROM generate_series(1, 60, 2) c;
    PERFORM restore(c, 'd' || c, 5, reference => 'back') FROM generate_series(1, 60, 4) c;
    PERFORM refund(c, 'e' || c, 10, reference => 'claw') FROM generate_series(1, 60, 3) c;
    PERFORM hold(c, 10, 'shop', 'h' || c, expires_at => now() + interval '1 hour') FROM generate_series(1, 60, 5) c;
    PERFORM capture(c, 'h' || c, 4) FROM generate_series(1, 60, 10) c;
    PERFORM transfer(1, 2, 7, 'shop', 't');
    PERFORM earn(4, 9, 'shop', 'later', available_at => now() + interval '5 days');
    PERFORM count(*) FROM post_points(ARRAY(SELECT ROW(c, 'earn', 3, 'batch', 'b', NULL, NULL, NULL, NULL, NULL, NULL)::points_movement FROM generate_series(1, 60) c));
    PERFORM count(*) FROM post_points(ARRAY(SELECT ROW(c, 'redeem', 1000000, 'batch', 'much', NULL, NULL, NULL, NULL, NULL, NULL)::points_movement FROM generate_series(1, 5) c), atomic => false);
    INSERT INTO points_entry (customer_id, kind, points, source, reference) SELECT c, 'earn', 2, 'raw', 'r' FROM generate_series(1, 60) c;
    INSERT INTO points_entry (customer_id, kind, points, source, reference) SELECT c, 'earn', 2, 'raw', 'r' FROM generate_series(1, 60) c;
    -- What one customer's lots, holds and pending points come to a year later.
    PERFORM points_lapse_due('points_entry', now() + interval '30 days', 10000);
    PERFORM merge_customers(1, 5, 'test');
END
$$;
SELECT t_whole.install_preset('textbook');
SELECT t_parts.install_preset('textbook');
BEGIN;
SELECT pg_temp.work('t_whole');
SELECT pg_temp.work('t_parts');
SELECT count(*) > 1000 AS entries FROM t_parts.points_entry;
-- Hash by hash.
SELECT count(*) AS differ FROM (SELECT to_jsonb(e) FROM t_whole.points_entry e EXCEPT SELECT to_jsonb(e) FROM t_parts.points_entry e) x;
SELECT count(*) AS differ FROM (SELECT to_jsonb(e) FROM t_parts.points_entry e EXCEPT SELECT to_jsonb(e) FROM t_whole.points_entry e) x;
SELECT count(*) AS differ FROM (SELECT to_jsonb(a) FROM t_whole.points_account a EXCEPT SELECT to_jsonb(a) FROM t_parts.points_account a) x;
SELECT count(*) AS differ FROM (SELECT to_jsonb(h) FROM t_whole.points_hold h EXCEPT SELECT to_jsonb(h) FROM t_parts.points_hold h) x;
SELECT count(*) AS differ FROM (SELECT to_jsonb(s) - 'joined_at' FROM t_whole.customer_360 s EXCEPT SELECT to_jsonb(s) - 'joined_at' FROM t_parts.customer_360 s) x;
COMMIT;
SET search_path = t_parts, crm;
SELECT count(DISTINCT tableoid) AS partitions FROM points_entry;
SELECT count(*) FROM points_verify();
SELECT count(*) FROM points_verify(7);
SELECT sum(n) FROM generate_series(1, 3) part, LATERAL (SELECT count(*) AS n FROM points_verify(part => part, parts => 3)) v;
SELECT changed > 0 AS taken FROM points_checkpoint();
SELECT count(*) FROM earn(8, 1, 'shop', 'after');
SELECT count(*) FROM points_verify_since();
SELECT count(*) FROM points_verify_checkpoints();
SELECT count(*) FROM points_verify_entries('points_entry', NULL, NULL, 1, 1);
-- Straight into a partition it is the same gate, and out of none anything.
DO $$
DECLARE
    leaf regclass := (SELECT tableoid FROM points_entry WHERE customer_id = 9 LIMIT 1);
BEGIN
    EXECUTE format('INSERT INTO %s (customer_id, kind, points, source, reference) VALUES (9, ''earn'', 1, ''direct'', ''d'')', leaf);
    RAISE INFO '%', (SELECT seq = (SELECT seq FROM points_account a WHERE (a.customer_id, a.program) = (9, 'points')) FROM points_entry WHERE reference = 'd');
END
$$;
DELETE FROM points_entry_0;
UPDATE points_entry_1 SET points = 0;
TRUNCATE points_entry_2 CASCADE;
-- What is changed behind the ledger's back is found in its partition.
SET session_replication_role = replica;
ALTER TABLE points_entry_3 DISABLE TRIGGER ALL;
UPDATE points_entry_3 SET points = points + 1 WHERE (customer_id, program, seq) = (SELECT customer_id, program, max(seq) FROM points_entry_3 GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 1);
ALTER TABLE points_entry_3 ENABLE TRIGGER ALL;
RESET session_replication_role;
SELECT count(*) AS found FROM points_verify() WHERE customer_id IS NOT NULL;
SELECT finding FROM points_verify() WHERE customer_id IS NULL;
SELECT crm.repair_triggers('t_parts');
SELECT count(*) FROM points_verify() WHERE customer_id IS NULL;
SET search_path = public;
SELECT crm.drop_store('t_whole', confirm => 't_whole');
SELECT crm.drop_store('t_parts', confirm => 't_parts');

-- Accounts are found by their keys also by a session that began while there were none.
SELECT crm.create_store('t_fresh', partitions => 2);
SET search_path = t_fresh, crm;
INSERT INTO customer (customer_id) SELECT generate_series(1, 200);
DO $$
BEGIN
    FOR i IN 1 .. 200 LOOP
        PERFORM earn(i, 10, 'shop', 'r' || i);
    END LOOP;
END
$$;
SELECT pg_stat_force_next_flush();
SELECT idx_tup_read BETWEEN 200 AND 3000 AS by_key FROM pg_stat_user_indexes WHERE indexrelid = 'points_account_pkey'::regclass;
SET search_path = public;
SELECT crm.drop_store('t_fresh', confirm => 't_fresh');
