-- Tiers and membership in figures.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SELECT crm.create_store('t_tier_reports', time_zone => 'Asia/Shanghai', language => 'en');
SET search_path = t_tier_reports, crm, public;
SELECT count(*) FROM report_membership;
SELECT install_preset('textbook');
INSERT INTO customer (customer_id) SELECT g FROM generate_series(1, 10) g;
INSERT INTO purchase (customer_id, order_no, amount, ordered_at, paid_at)
SELECT c, c || '-' || o, amount, now() - make_interval(days => 20 - o), now() - make_interval(days => 20 - o)
FROM (VALUES (1, 2, 300), (2, 1, 1600), (3, 1, 40), (4, 2, 30)) v (c, n, amount), generate_series(1, v.n) o;
CALL evaluate_tiers(now());
SELECT customer_id, tier FROM tier_member ORDER BY 1;
SELECT * FROM report_tier ORDER BY seq;
SELECT from_tier, to_tier, direction, sum(customers) AS customers FROM report_tier_migration GROUP BY 1, 2, 3 ORDER BY 1, 2;
SELECT * FROM report_membership ORDER BY 1;
RESET search_path;
SELECT crm.drop_store('t_tier_reports', confirm => 't_tier_reports');
