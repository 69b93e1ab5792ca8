-- The reports, on a shop small enough to add up by hand.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SELECT crm.create_store('t_reports', time_zone => 'Asia/Shanghai', language => 'en');
SET search_path = t_reports, crm, public;
-- Empty, every report is empty or zero, and none fails.
SELECT (SELECT count(*) FROM report_cohort) AS cohort, (SELECT buyers FROM report_repurchase) AS repurchase, (SELECT count(*) FROM report_new_returning) AS new_returning,
       (SELECT sum(customers) FROM report_source) AS source, (SELECT count(*) FROM report_channel) AS channel, (SELECT count(*) FROM report_value_pyramid) AS pyramid,
       (SELECT count(*) FROM report_category) AS category, (SELECT sum(orders) FROM report_price_band) AS band, (SELECT count(*) FROM report_hour) AS hour,
       (SELECT count(*) FROM report_category_forecast) AS forecast;

INSERT INTO customer (customer_id, source) VALUES (1, 'free/search/exact'), (2, 'free/search/broad'), (3, 'paid/keyword'), (4, 'paid/keyword'), (5, NULL), (6, 'free/search/exact');
INSERT INTO source_cost VALUES ('paid/keyword', '2025-01-01', 60), ('paid/keyword', '2025-01-02', 40), ('free/search', '2025-01-01', 10);
INSERT INTO purchase (customer_id, channel, order_no, amount, refunded, status, ordered_at, paid_at) VALUES
    (1, 'mall', 'a1', 100, 0, 'paid', '2025-01-31 23:30+08', '2025-01-31 23:30+08'),
    (1, 'mall', 'a2', 300, 50, 'paid', '2025-02-01 00:30+08', '2025-02-01 00:30+08'),
    (1, 'tmall', 'a3', 50, 0, 'paid', '2025-04-10 10:00+08', '2025-04-10 10:00+08'),
    (2, 'tmall', 'b1', 1000, 0, 'completed', '2025-02-10 10:00+08', '2025-02-10 10:00+08'),
    (2, 'tmall', 'b2', 200, 200, 'refunded', '2025-03-10 10:00+08', '2025-03-10 10:00+08'),
    (3, 'mall', 'c1', 49.99, 0, 'shipped', '2025-01-15 09:59+08', '2025-01-15 09:59+08'),
    (3, 'mall', 'c2', 20, 0, 'paid', '2025-01-15 21:00+08', '2025-01-15 21:00+08'),
    (4, 'mall', 'd1', 80, 0, 'cancelled', '2025-01-15 21:00+08', NULL),
    (6, 'mall', 'e1', 2000, 0, 'paid', date_trunc('day', now(), 'Asia/Shanghai') - interval '957 hours', date_trunc('day', now(), 'Asia/Shanghai') - interval '957 hours'),
    (6, 'mall', 'e2', 1000, 0, 'paid', date_trunc('day', now(), 'Asia/Shanghai') - interval '237 hours', date_trunc('day', now(), 'Asia/Shanghai') - interval '237 hours');
INSERT INTO purchase_item (customer_id, channel, order_no, line, product, category, quantity, amount) VALUES
    (1, 'mall', 'a1', 1, 'tea', 'drinks', 2, 60), (1, 'mall', 'a1', 2, 'cup', 'kitchen', 1, 40), (1, 'mall', 'a2', 1, 'pot', 'kitchen', 1, 300), (1, 'tmall', 'a3', 1, 'tea', 'drinks', 1, 50),
    (2, 'tmall', 'b1', 1, 'kettle', 'kitchen', 1, 1000), (2, 'tmall', 'b2', 1, 'tea', 'drinks', 1, 200), (3, 'mall', 'c1', 1, 'tea', 'drinks', 1, 49.99), (3, 'mall', 'c2', 1, 'gum', NULL, 1, 20);

SELECT cohort, months_after, customers, buyers, retention, orders, spend, spend_per_customer FROM report_cohort
WHERE cohort < '2025-12-01' AND months_after <= 3 ORDER BY 1, 2;
SELECT sum(spend) = (SELECT sum(spend_total) FROM customer_summary) AS all_spend, sum(orders) = (SELECT sum(order_count) FROM customer_summary) AS all_orders FROM report_cohort;
SELECT * FROM report_repurchase;
SELECT * FROM report_new_returning WHERE month < '2025-12-01' ORDER BY 1;
SELECT source, name, customers, buyers, conversion, orders, spend, avg_order, repurchase_rate, avg_clv, cost, cost_per_customer, cost_per_buyer, value_over_cost, clv_over_cost
FROM report_source WHERE customers > 0 ORDER BY 1;
SELECT * FROM report_channel ORDER BY 1;
SELECT * FROM report_value_pyramid ORDER BY 1;
SELECT * FROM customer_category ORDER BY 1, rank;
SELECT * FROM report_category ORDER BY 1;
SELECT * FROM report_price_band ORDER BY 1;
SELECT * FROM report_hour WHERE weekday = 3 AND buyers > 0 AND spend < 100 ORDER BY 1, 2;
SELECT sum(orders) FROM report_hour;
\set VERBOSITY terse
UPDATE settings SET price_bands = '{0,NULL}';
\set VERBOSITY default
-- A complaint and a question to the service count for churn_warning.
SELECT count(*) FROM customer_open_complaint;
INSERT INTO interaction (customer_id, channel, direction, at) VALUES (1, 'phone', 'in', '2025-04-01 10:00+08'), (1, 'phone', 'out', '2025-04-01 11:00+08');
SELECT * FROM customer_contact_event;

-- The forecast: a model in force, given here, times the part of the orders that held the category.
INSERT INTO value_model (as_of, state, buyers, history_days, repeat_buyers, bgnbd) VALUES ('2025-05-01 00:00+08', 'ok', 4, 400, 2, ROW(.243, 4.414, .793, 2.426, NULL, NULL, NULL));
SELECT category, expected_orders, buyers, orders_before,
       round((SELECT sum(expected_purchases(m.bgnbd, 30 / 7.0, h.x, h.t_x, h.t)::numeric * CASE h.customer_id WHEN 1 THEN 2 / 3.0 WHEN 2 THEN (f.category = 'kitchen')::int ELSE (f.category = 'drinks')::int / 2.0 END)
              FROM value_model m, buyer_history('2025-05-01 00:00+08') h), 2) = expected_orders AS by_hand
FROM category_forecast(30, '2025-05-01 00:00+08') f;
-- Analysts read every report, agents none.
CREATE ROLE crm_t_reports_analyst;
CREATE ROLE crm_t_reports_agent;
SELECT crm.grant_access('t_reports', 'crm_t_reports_analyst', 'analyst'), crm.grant_access('t_reports', 'crm_t_reports_agent', 'agent');
SET ROLE crm_t_reports_analyst;
SELECT (SELECT count(*) > 0 FROM report_cohort) AND (SELECT buyers > 0 FROM report_repurchase) AND (SELECT count(*) > 0 FROM report_new_returning) AND (SELECT count(*) > 0 FROM report_source)
       AND (SELECT count(*) > 0 FROM report_channel) AND (SELECT count(*) > 0 FROM report_value_pyramid) AND (SELECT count(*) > 0 FROM report_category)
       AND (SELECT count(*) > 0 FROM report_price_band) AND (SELECT count(*) > 0 FROM report_hour) AND (SELECT count(*) > 0 FROM report_category_forecast) AS reads;
SET ROLE crm_t_reports_agent;
SELECT * FROM report_cohort;
RESET ROLE;
RESET search_path;
SELECT crm.drop_store('t_reports', confirm => 't_reports');
DROP ROLE crm_t_reports_analyst;
DROP ROLE crm_t_reports_agent;
