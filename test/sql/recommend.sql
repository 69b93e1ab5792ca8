-- What goes with what: learned as orders come, told with its reason.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
SET client_min_messages = error;
SELECT crm.create_store('t_recommend');
SET client_min_messages = warning;
SET search_path = t_recommend, crm, public;
-- 200 baskets: tea goes with cups, coffee with filters, milk with all; the dice are a formula.
INSERT INTO customer (customer_id, joined_at) SELECT i, '2025-01-01' FROM generate_series(1, 210) i;
INSERT INTO purchase (customer_id, order_no, amount, paid_at, history) SELECT i, 'o' || i, 10, timestamptz '2026-01-01' + i * interval '1 hour', true FROM generate_series(1, 200) i;
INSERT INTO purchase_item (customer_id, channel, order_no, line, product, amount)
SELECT i, 'mall', 'o' || i, row_number() OVER (PARTITION BY i), p, 5
FROM generate_series(1, 200) i
CROSS JOIN LATERAL (SELECT 'tea' WHERE i % 2 = 0 UNION ALL SELECT 'cup' WHERE i % 2 = 0 AND i % 5 < 4 OR i % 17 = 0
                    UNION ALL SELECT 'coffee' WHERE i % 2 = 1 UNION ALL SELECT 'filter' WHERE i % 2 = 1 AND i % 3 < 2
                    UNION ALL SELECT 'milk' WHERE i % 4 < 2) x (p);
INSERT INTO product (product, category, in_stock) VALUES ('tea', 'drinks', true), ('coffee', 'drinks', true), ('milk', 'dairy', true), ('cup', 'dishes', true), ('filter', 'dishes', true);
-- In parts as at once.
SELECT learn_baskets('2026-01-03'), learn_baskets('2026-01-03'), learn_baskets('2026-01-31'), learn_baskets('2026-01-31');
CREATE TEMP TABLE in_parts AS SELECT * FROM product_affinity;
SELECT learn_baskets('2026-01-31', again => true);
SELECT count(*) FROM ((TABLE in_parts EXCEPT TABLE product_affinity) UNION ALL (TABLE product_affinity EXCEPT TABLE in_parts)) d;
-- As counted from the baskets.
SELECT product, other, together, with_product, with_other FROM product_affinity WHERE product = 'tea' AND other = 'cup';
SELECT count(*) FILTER (WHERE tea AND cup) AS together, count(*) FILTER (WHERE tea) AS with_tea, count(*) FILTER (WHERE cup) AS with_cup
FROM (SELECT bool_or(product = 'tea') AS tea, bool_or(product = 'cup') AS cup FROM purchase_item GROUP BY order_no) b;
SELECT llr > 10.83 AND lift > 1 AS sure FROM product_affinity WHERE product = 'tea' AND other = 'cup';
SELECT llr > 10.83 AND lift > 1 AS sure FROM product_affinity WHERE product = 'tea' AND other = 'milk';
-- G2 of the table 110, 2442; 111, 29114: 270.72, as in Dunning's paper.
SELECT round(log_likelihood_ratio(110, 2442, 111, 29114)::numeric, 2) AS g2;
-- Who bought tea is offered cups because of it; who bought both, what everybody buys.
INSERT INTO purchase (customer_id, order_no, amount, paid_at, history) VALUES (201, 'x', 5, '2026-02-01', true), (202, 'y', 5, '2026-02-01', true);
INSERT INTO purchase_item (customer_id, channel, order_no, line, product, amount) VALUES (201, 'mall', 'x', 1, 'tea', 5), (202, 'mall', 'y', 1, 'coffee', 5);
SELECT product, because FROM recommend(201, 1);
SELECT product, because FROM recommend(202, 1);
SELECT product, because FROM recommend(203, 2);
SELECT product = 'tea' AS owned FROM recommend(201, 10) WHERE product = 'tea';
SELECT count(*) FROM recommend(201, 10, exclude_owned => false) WHERE product = 'tea';
-- Not what is out of stock.
UPDATE product SET in_stock = false WHERE product = 'cup';
SELECT product, because FROM recommend(201, 10) WHERE product = 'cup';
UPDATE product SET in_stock = true WHERE product = 'cup';
SELECT category FROM next_category(201, 1);
SELECT category, score > 0 AS scored FROM next_category(201) ORDER BY category;
-- A bulk order is no basket.
UPDATE settings SET basket_limit = 3;
INSERT INTO purchase (customer_id, order_no, amount, paid_at, history) VALUES (204, 'bulk', 5, '2026-02-02', true);
INSERT INTO purchase_item (customer_id, channel, order_no, line, product, amount) SELECT 204, 'mall', 'bulk', i, 'p' || i, 1 FROM generate_series(1, 4) i;
SELECT learn_baskets('2026-02-03'), (SELECT count(*) FROM product_count WHERE product LIKE 'p_');
RESET search_path;
SET client_min_messages = error;
SELECT crm.drop_store('t_recommend', 't_recommend');
