-- Making, renaming and dropping stores.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SELECT crm.create_store('shop_a');
SELECT name, version = crm.library_version() AS current, time_zone, currency, language FROM crm.store;
SELECT crm.create_store('shop_a');
SELECT crm.create_store('crm');
SELECT crm.create_store('pg_shop');
SELECT crm.create_store('shop_b', time_zone => 'Mars/Olympus');
SELECT crm.create_store('shop_b', currency => 'yuan');
SELECT crm.create_store('shop_b', language => 'fr');
SELECT crm.create_store('商店', seed => false);
SELECT name FROM crm.store ORDER BY 1;
SELECT crm.rename_store('shop_a', 'shop_b');
SELECT crm.rename_store('shop_a', 'shop_c');
SELECT * FROM crm.health('shop_b') WHERE subject IN ('version', 'objects');
SELECT crm.upgrade_store('shop_b');
SELECT * FROM crm.adopt_store('shop_b');
SELECT * FROM crm.adopt_store('商店');
-- What is missing or changed is found.
SET client_min_messages = warning;
BEGIN;
SET LOCAL client_min_messages = warning;
ALTER TABLE shop_b.contact DROP COLUMN wechat CASCADE;
DROP FUNCTION shop_b.shop_date CASCADE;
SELECT finding, object FROM crm.store_findings('shop_b') WHERE object ~ '^(column contact.wechat|routine shop_date)' ORDER BY 1, 2;
ROLLBACK;
UPDATE shop_b.settings SET store_version = '99.0.0';
SELECT crm.upgrade_store('shop_b');
SELECT * FROM crm.adopt_store('shop_b');
UPDATE shop_b.settings SET store_version = '0.0.1';
SELECT crm.upgrade_store('shop_b');
SELECT shop_b.shop_date('2026-01-01 23:00+00');
-- A kind of access is given and taken; what another kind gives stays.
CREATE ROLE crm_t_store_worker;
SELECT crm.grant_access('shop_b', 'crm_t_store_worker', 'agent'), crm.grant_access('shop_b', 'crm_t_store_worker', 'analyst');
SELECT crm.revoke_access('shop_b', 'crm_t_store_worker', 'marketer');
SELECT crm.revoke_access('shop_b', 'crm_t_store_worker', 'agent');
SELECT g.kind, has_table_privilege('crm_t_store_worker', 'shop_b.purchase', 'SELECT') AS analysis, has_table_privilege('crm_t_store_worker', 'shop_b.interaction', 'INSERT') AS work
FROM shop_b.access_grantee g WHERE g.role = 'crm_t_store_worker';
SELECT crm.revoke_access('shop_b', 'crm_t_store_worker', 'analyst');
-- Nothing is left that would keep the role.
DROP ROLE crm_t_store_worker;
SELECT crm.drop_store('shop_b', confirm => 'shop');
SELECT crm.drop_store('shop_b', confirm => 'shop_b');
SELECT crm.drop_store('商店', '商店');
SELECT count(*) FROM crm.store;
