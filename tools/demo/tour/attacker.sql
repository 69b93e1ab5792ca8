-- An attacker's try: an agent's login tries to read what it should not, to make points, and to slip code in. All ends in errors, which are meant.
\set say_en '4. An attacker''s try, with the login of an agent. First: read phone numbers.'
\set say_zh '四、攻击者的尝试,用的是客服账号。先试着读手机号。'
\ir say.sql
SELECT 'tour_agent_' || count(*) AS agent, 'tour_app_' || count(*) AS app FROM pg_roles WHERE rolname LIKE 'tour\_agent\_%' \gset
CREATE ROLE :"agent" NOLOGIN;
CREATE ROLE :"app" NOLOGIN;
SELECT crm.grant_access('shop', :'agent', 'agent') AS agent, crm.grant_access('shop', :'app', 'app') AS app \gset granted_
INSERT INTO shop.customer DEFAULT VALUES RETURNING customer_id AS victim \gset
SELECT shop.set_contact(:victim, '{"phone": "13700001234"}') AS set_contact, (shop.earn(:victim, 50, 'welcome', 'tour')).points;
SET ROLE :"agent";
SELECT phone FROM shop.contact WHERE customer_id = :victim;
SELECT phone FROM shop.contact_masked WHERE customer_id = :victim;

\set say_en 'By a view of his own? By the planner''s statistics? By a sort that gives the order away?'
\set say_zh '自建视图?看规划器的统计信息?靠排序泄露顺序?'
\ir say.sql
CREATE TEMP VIEW peek AS SELECT phone FROM shop.contact;
SELECT * FROM peek LIMIT 1;
SELECT count(*) AS statistics_seen FROM pg_stats WHERE schemaname = 'shop' AND tablename = 'contact' AND attname = 'phone';
SELECT customer_id FROM shop.contact ORDER BY phone LIMIT 1;

RESET ROLE;

\set say_en 'Points then, with the login of the application: straight into the account, by the verb for corrections, as a bare entry, by rewriting what was.'
\set say_zh '改用应用程序的账号造积分:直接改账户、调用更正动作、直接插入分录、改写历史。'
\ir say.sql
SET ROLE :"app";
UPDATE shop.points_account SET available = 1000000 WHERE customer_id = :victim;
SELECT shop.adjust(:victim, 1000000, 'gift', 'friend', 'a friend');
INSERT INTO shop.points_entry (customer_id, kind, points, source, reference) VALUES (:victim, 'adjust', 1000000, 'gift', 'friend');
INSERT INTO shop.points_entry (customer_id, kind, points, source, reference, seq, balance_after) VALUES (:victim, 'earn', 5, 'gift', 'friend', 1, 1000000);
DELETE FROM shop.points_entry WHERE customer_id = :victim AND kind = 'redeem';
RESET ROLE;

\set say_en 'And as the owner of the store? Not either.'
\set say_zh '换成店铺的所有者呢?也不行。'
\ir say.sql
UPDATE shop.points_entry SET points = points + 1 WHERE customer_id = :victim;
TRUNCATE shop.points_entry CASCADE;

\set say_en 'Code in a rule: a marketer''s field that ends up in SQL elsewhere. A rule is a closed language.'
\set say_zh '把代码藏进规则:别处会拼进 SQL 的字段。而规则是一种封闭的语言。'
\ir say.sql
SELECT 'spend_12m > 0); DROP TABLE customer; --'::crm.rule;
SELECT 'pg_sleep(60) IS NOT NULL'::crm.rule;

\set say_en 'Clear values one by one are allowed for work, counted, and end at a limit.'
\set say_zh '因工作逐个查看明文是允许的,但会计数,到上限为止。'
\ir say.sql
SELECT shop.set_reveal_limit(:'agent', 2, 2) AS set_reveal_limit;
SET ROLE :"agent";
SELECT left(shop.reveal(:victim, 'phone', 'call back'), 3) AS first;
SELECT left(shop.reveal(:victim, 'phone', 'call back'), 3) AS second;
SELECT left(shop.reveal(:victim, 'phone', 'call back'), 3) AS third;
RESET ROLE;
SELECT field, purpose, count(*) FROM shop.contact_access WHERE role = :'agent' GROUP BY field, purpose ORDER BY 1, 2;
