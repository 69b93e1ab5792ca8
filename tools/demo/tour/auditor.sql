-- An auditor's check: does the ledger hold, was it changed behind our back, who saw clear values?
\set say_en '3. An auditor''s check. Every account is replayed from its first entry: hashes, sums, lots.'
\set say_zh '三、审计。每个账户从第一笔起重算:哈希、金额、批次。'
\ir say.sql
SELECT count(*) AS entries, count(DISTINCT customer_id) AS customers FROM shop.points_entry;
SELECT count(*) AS findings FROM shop.points_verify();
SELECT program, sum(amount) AS must_be_zero FROM shop.points_trial_balance GROUP BY program ORDER BY program;

\set say_en 'A checkpoint: one root over all accounts, kept outside the database (here: in a psql variable).'
\set say_zh '检查点:所有账户汇成一个根值,保存在数据库之外(这里存进 psql 变量)。'
\ir say.sql
SELECT encode(root, 'hex') AS root FROM shop.points_checkpoint() \gset
\echo :root

\set say_en 'Now a superuser cheats: triggers off, 10,000 points for the best customer. Verification names the account. Then it is rolled back.'
\set say_zh '超级用户作弊:关掉触发器,给大客户加一万分。校验指出这个账户。随后回滚。'
\ir say.sql
SELECT customer_id AS best FROM shop.customer_summary ORDER BY spend_total DESC, customer_id LIMIT 1 \gset
BEGIN;
SET LOCAL client_min_messages = error;
SET LOCAL session_replication_role = replica;
ALTER TABLE shop.points_account DISABLE TRIGGER ALL;
UPDATE shop.points_account SET available = available + 10000 WHERE customer_id = :best AND program = 'points';
SELECT program, finding FROM shop.points_verify(:best);
ROLLBACK;
SELECT count(*) AS findings FROM shop.points_verify(:best);

\set say_en 'What was a balance a month ago? One index probe. Who looked at clear personal data? A row for each look, with the purpose.'
\set say_zh '一个月前余额多少?查一次索引。谁看过明文?每次一行,带用途。'
\ir say.sql
SELECT shop.points_balance_at(:best, now()) AS now, shop.points_balance_at(:best, (SELECT max(order_at) - interval '1 month' FROM shop.purchase)) AS earlier;
SET crm.actor = 'auditor Chen';
SELECT shop.reveal(:best, 'phone', 'auditor asks for a sample') IS NOT NULL AS revealed;
SELECT field, purpose, actor, role FROM shop.contact_access WHERE customer_id = :best ORDER BY at DESC LIMIT 1;
RESET crm.actor;

\set say_en 'Is there a way around the masks, and is every trigger in its place?'
\set say_zh '有没有绕过脱敏的途径?每个触发器都在位吗?'
\ir say.sql
SELECT count(*) AS ways_around FROM crm.check_masks();
SELECT count(*) AS checked, count(*) FILTER (WHERE state <> 'ok') AS need_attention FROM crm.health('shop');
