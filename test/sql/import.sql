-- Orders from a file: what can't be taken is named with line and reason, and nothing else is lost.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SELECT crm.create_store('t_import');
CREATE TEMP TABLE order_file (kunde text, sn text, ordered_at text, amount text, refunded text, status text, name text, phone text);
INSERT INTO order_file VALUES
    ('c1', 'n1', '2026-01-05 10:00', '100.00', '0', 'completed', '张三', '13812341234'),
    ('c1', 'n2', '2026-01-06 10:00', '50', '20.5', NULL, '张三', NULL),
    ('c2', 'n3', '2026-02-31', '10', NULL, NULL, NULL, NULL),
    ('c2', 'n4', '2026-01-07', '-3', NULL, NULL, NULL, NULL),
    ('c2', 'n5', '2026-01-07', 'ten', NULL, NULL, NULL, NULL),
    ('c2', 'n6', '2026-01-07', '10', '11', NULL, NULL, NULL),
    ('c2', 'n7', '2026-01-07', '10', '1', '已付款', NULL, NULL),
    ('c2', 'n1', '2026-01-07', '10', '1', 'paid', NULL, NULL),
    ('', 'n8', '2026-01-07', '10', NULL, NULL, NULL, NULL),
    ('c3', 'n9', '2026-01-08 23:30', '30', NULL, 'pending', 'Ada', NULL);
-- A missing column is named.
SELECT * FROM t_import.import_orders('order_file');
SELECT * FROM t_import.import_orders('order_file', '{"customer":"kunde","order_no":"sn"}', bad_rows => 'some');
SELECT * FROM t_import.import_orders('order_file', '{"customer":"kunde","order_no":"sn"}');
SELECT count(*) FROM t_import.purchase;
SELECT * FROM t_import.import_orders('order_file', '{"customer":"kunde","order_no":"sn"}', bad_rows => 'skip');
SELECT i.external_id, p.order_no, p.status, p.amount, p.refunded, p.net, p.ordered_at AT TIME ZONE 'Asia/Shanghai' AS local
FROM t_import.purchase p JOIN t_import.identity i USING (customer_id) ORDER BY 2;
SELECT i.external_id, c.name, c.phone FROM t_import.identity i LEFT JOIN t_import.contact c USING (customer_id) ORDER BY 1;
-- Again: what is there already is said, not doubled.
SELECT * FROM t_import.import_orders('order_file', '{"customer":"kunde","order_no":"sn"}') WHERE line IN (2, 3, 11);
SELECT crm.drop_store('t_import', 't_import');
