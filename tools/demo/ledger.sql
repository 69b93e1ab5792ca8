-- The ledger that can't lie: a superuser changes an entry and a balance, and verification names both. Rolled back.
\pset tuples_only on
\pset format unaligned
\if :zh
    \echo '== 积分账本'
    SELECT format('%s 笔分录, %s 位客户, 可用积分合计 %s; 全部重算校验:发现 %s 处问题。', (SELECT count(*) FROM shop.points_entry), count(DISTINCT customer_id), sum(available) FILTER (WHERE program = 'points'), (SELECT count(*) FROM shop.points_verify())) FROM shop.points_account;
    \echo '超级用户绕过触发器,偷偷给最高消费客户加 10000 分并修改一笔分录,校验指出:'
\else
    \echo '== The points ledger'
    SELECT format('%s entries of %s customers, %s points available; replayed and verified: %s findings.', (SELECT count(*) FROM shop.points_entry), count(DISTINCT customer_id), sum(available) FILTER (WHERE program = 'points'), (SELECT count(*) FROM shop.points_verify())) FROM shop.points_account;
    \echo 'A superuser silences the triggers, gives the best customer 10,000 points and alters an entry. Verification says:'
\endif
BEGIN;
SET LOCAL session_replication_role = replica;
SELECT customer_id AS best FROM buyer ORDER BY monetary DESC, customer_id LIMIT 1 \gset
SET LOCAL client_min_messages = error;
ALTER TABLE shop.points_entry DISABLE TRIGGER ALL;
ALTER TABLE shop.points_account DISABLE TRIGGER ALL;
UPDATE shop.points_account SET available = available + 10000 WHERE customer_id = :best AND program = 'points';
UPDATE shop.points_entry SET points = points + 1 WHERE (customer_id, program, seq) = (SELECT customer_id, program, seq FROM shop.points_entry WHERE program = 'growth' ORDER BY customer_id, seq LIMIT 1);
SELECT format('  customer %s, %s, entry %s: %s', customer_id, program, seq, finding) FROM shop.points_verify() WHERE customer_id IS NOT NULL LIMIT 4;
ROLLBACK;
