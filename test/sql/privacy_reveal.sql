-- Clear values: counted, recorded, refused.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET client_min_messages = warning;
CREATE ROLE crm_t_rev_agents;
CREATE ROLE crm_t_rev_anna IN ROLE crm_t_rev_agents;
CREATE ROLE crm_t_rev_app;
CREATE ROLE crm_t_rev_auditor;
SELECT crm.create_store('t_rev');
SET search_path = t_rev;
SELECT crm.grant_access('t_rev', 'crm_t_rev_agents', 'agent'), crm.grant_access('t_rev', 'crm_t_rev_auditor', 'auditor'), crm.grant_access('t_rev', 'crm_t_rev_app', 'app');
INSERT INTO customer (customer_id) SELECT generate_series(1, 3);
INSERT INTO contact (customer_id, name, phone, birth_date) VALUES (1, '张三', '13812341234', '1990-01-02'), (2, '李四', '13900001111', NULL);
SELECT role, per_hour, per_day FROM reveal_limit;
SELECT set_reveal_limit('crm_t_rev_agents', per_hour => 4, per_day => 6);

SET ROLE crm_t_rev_anna;
SELECT reveal(1, 'phone', 'deliver order 77'), reveal(1, 'birth_date', 'deliver order 77');
SELECT reveal(2, 'email', 'deliver order 78') IS NULL AS no_email;
SELECT reveal(1, 'provenance', 'x y');
SELECT reveal(1, NULL, 'x y');
SELECT reveal(1, 'phone', ' ');
SELECT reveal(1, 'phone', NULL);
SELECT reveal(1, 'phone', E'two\nlines');
SELECT reveal(99, 'phone', 'call back');
-- A ROLLBACK takes the row away, not the count.
BEGIN;
SELECT reveal(1, 'phone', 'call back on 13812341234');
ROLLBACK;
SELECT reveal(1, 'phone', 'call back');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT customer_id, field, purpose, actor, role FROM contact_access ORDER BY access_id;
-- The next hour opens again, the day does not; the counter is turned back as if an hour had passed.
CREATE FUNCTION pg_temp.hour_passed() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    counter regclass := (SELECT quote_ident(l.counter) FROM t_rev.reveal_limit l WHERE l.role = 'crm_t_rev_agents');
    packed bigint;
BEGIN
    EXECUTE format('SELECT last_value FROM %s', counter) INTO packed;
    PERFORM setval(counter, packed # (1::bigint << 40));
END $$;
SELECT pg_temp.hour_passed();
SET ROLE crm_t_rev_anna;
SELECT reveal(1, 'phone', 'call back'), reveal(1, 'name', 'call back');
SELECT reveal(1, 'phone', 'call back');
RESET ROLE;
SELECT set_reveal_limit('crm_t_rev_agents');
-- Restricted customers are left alone; merged ones lead to who they became.
SELECT restrict_customer(2, 'disputes a bill of 13900001111');
UPDATE customer SET status = 'merged', merged_into = 1 WHERE customer_id = 3;
SET ROLE crm_t_rev_anna;
SELECT reveal(2, 'phone', 'call back');
SELECT set_contact(2, '{"phone": "1"}');
SELECT reveal(3, 'phone', 'call back');
RESET ROLE;
SELECT restricted, reason FROM restriction;
SELECT restrict_customer(2, 'settled', false);
SET ROLE crm_t_rev_anna;
SELECT reveal(2, 'phone', 'call back');
RESET ROLE;
-- Training.
UPDATE settings SET reveal_needs_training = true;
INSERT INTO security_training (person, passed_at, expires_at) VALUES ('lily', now() - interval '2 years', now() - interval '1 year');
SET ROLE crm_t_rev_anna;
SELECT reveal(1, 'phone', 'call back');
RESET ROLE;
INSERT INTO security_training (person) VALUES ('lily');
SET ROLE crm_t_rev_anna;
SET crm.actor = 'lily';
SELECT reveal(1, 'phone', 'call back');
RESET crm.actor;
RESET ROLE;
UPDATE settings SET reveal_needs_training = false;
-- An application says who asks, once it may ask at all; a role without a counter may not.
SET ROLE crm_t_rev_app;
SELECT reveal(1, 'phone', 'show own profile');
RESET ROLE;
GRANT EXECUTE ON FUNCTION reveal TO crm_t_rev_app;
SET ROLE crm_t_rev_app;
SELECT reveal(1, 'phone', 'show own profile');
SET crm.actor = 'user 1';
SELECT reveal(1, 'phone', 'show own profile');
RESET ROLE;
SELECT set_reveal_limit('crm_t_rev_app', 0, 0);
SET ROLE crm_t_rev_app;
SELECT reveal(1, 'phone', 'show own profile');
RESET crm.actor;
RESET ROLE;
-- A superuser is a member of every role, of the application's too, and yet no application.
BEGIN;
SELECT reveal(1, 'phone', 'look into a complaint');
ROLLBACK;
-- A counter cannot be turned in a read-only transaction, so nothing is shown.
SET ROLE crm_t_rev_anna;
BEGIN READ ONLY;
SELECT reveal(1, 'phone', 'call back');
ROLLBACK;
RESET ROLE;
-- The log is added to, and read by auditors.
UPDATE contact_access SET purpose = 'nothing';
DELETE FROM contact_access;
TRUNCATE contact_access;
SET ROLE crm_t_rev_auditor;
SELECT role, actor, field, times, customers FROM access_report() ORDER BY 1, 2, 3;
SELECT reveal(1, 'phone', 'curious');
RESET ROLE;
SELECT (SELECT count(*) FROM contact_access) = (SELECT sum(times) FROM access_report()) AS complete;

-- Provenance: what a third party says never replaces what the person said.
SELECT set_contact(1, '{"phone": "13700000001", "email": "san@example.com"}', source => 'person', legal_basis => 'consent');
SELECT set_contact(1, '{"phone": "13700000002", "wechat": "zhangsan_1990"}', source => 'third_party');
UPDATE contact SET phone = '13700000003', email = NULL, source = 'import' WHERE customer_id = 1;
SELECT phone, email, wechat, source FROM contact WHERE customer_id = 1;
SELECT field, source, legal_basis FROM contact_provenance WHERE customer_id = 1 ORDER BY 1;
UPDATE contact SET phone = '13700000004' WHERE customer_id = 1;
UPDATE contact SET wechat = 'san_1990', source = 'order' WHERE customer_id = 1;
UPDATE contact SET provenance = '{}', source = 'third_party', phone = '13700000009' WHERE customer_id = 1;
SELECT phone, provenance -> 'phone' ->> 'source' AS source FROM contact WHERE customer_id = 1;
SELECT field, action, source FROM contact_change WHERE customer_id = 1 ORDER BY change_id;
SELECT set_contact(1, '{"shoe_size": "44"}');
UPDATE contact SET source = 'rumour' WHERE customer_id = 1;
DELETE FROM contact_change;
-- The trigger keeps the pinyin of the name, and leaves it when a name is refused.
UPDATE contact SET name = '欧阳锋' WHERE customer_id = 1;
SELECT name_pinyin, name_initials FROM contact WHERE customer_id = 1;
UPDATE contact SET name = '李四', source = 'third_party' WHERE customer_id = 1;
SELECT name, name_pinyin, name_initials FROM contact WHERE customer_id = 1;
UPDATE contact SET name = NULL WHERE customer_id = 1;
SELECT name, name_pinyin, name_initials FROM contact WHERE customer_id = 1;
UPDATE contact SET name = '张三', name_pinyin = 'wrong' WHERE customer_id = 1;
SELECT name_pinyin, name_initials FROM contact WHERE customer_id = 1;
-- Staff find people without reading the table.
SET ROLE crm_t_rev_anna;
SELECT * FROM search_contact('13900001111');
SELECT * FROM search_contact('张三');
SELECT * FROM search_contact('zhang');
SELECT * FROM search_contact('Zhang San');
SELECT * FROM search_contact('ls');
SELECT * FROM search_contact('%');
RESET ROLE;
RESET search_path;
SELECT crm.drop_store('t_rev', 't_rev');
DROP ROLE crm_t_rev_anna, crm_t_rev_agents, crm_t_rev_app, crm_t_rev_auditor;
