-- The models in a store: refit, customer_value, model_check, churn_warning.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET extra_float_digits = 0;
SELECT crm.create_store('t_models', time_zone => 'Asia/Shanghai', language => 'en');
SET search_path = t_models, crm, public;
-- Nobody has bought yet.
SELECT state, buyers, history_days, repeat_buyers, bgnbd IS NULL AS none FROM refit_value_models('2026-06-30 12:00+08');
SELECT count(*) FROM customer_value('2026-06-30 12:00+08');
SELECT count(*) FROM churn_warning();
SELECT * FROM model_check('2026-06-30 12:00+08');

-- 400 customers, the first order of each within 120 days of 2025-07-01; some buy often, some leave early.
INSERT INTO customer (customer_id) SELECT g FROM generate_series(1, 400) g;
INSERT INTO purchase (customer_id, order_no, amount, ordered_at, paid_at)
SELECT g, g || '-' || k, 20 + (g * 37) % 90 + (g * k * 13) % 17, at, at
FROM generate_series(1, 400) g,
     LATERAL (SELECT CASE WHEN g % 5 < 2 THEN 0 ELSE ((g * 7919) % 97) ^ 2 / 97 ^ 2 * 9 END::int AS n, ((g * 104729) % 89) / 89.0 AS life) b,
     generate_series(0, b.n) k,
     LATERAL (SELECT timestamptz '2025-07-01 20:00+08' + make_interval(days => g % 120)
                     + make_interval(secs => CASE WHEN k = 0 THEN 0 ELSE (86400 * (3 + (life * 330 * ((k * 31 + g * 17) % 101) / 101.0))) END) AS at) t;
-- Two orders of one day are one; what counts nothing is no order; other days do not mix in UTC.
INSERT INTO customer (customer_id) VALUES (1001);
INSERT INTO purchase (customer_id, order_no, status, amount, ordered_at, paid_at) VALUES
    (1001, 'a', 'paid', 10, '2026-01-01 00:30+08', '2026-01-01 00:30+08'),
    (1001, 'b', 'paid', 30, '2026-01-15 00:30+08', '2026-01-15 00:30+08'),
    (1001, 'c', 'paid', 50, '2026-01-15 23:30+08', '2026-01-15 23:30+08'),
    (1001, 'd', 'cancelled', 1000, '2026-02-15 12:00+08', '2026-02-15 12:00+08'),
    (1001, 'e', 'paid', 70, '2026-07-15 12:00+08', '2026-07-15 12:00+08');
SELECT * FROM buyer_history('2026-01-29 12:00+08') WHERE customer_id = 1001;

-- Too few buyers, by the settings; then enough.
SELECT state, buyers, history_days, bgnbd IS NULL AS none FROM refit_value_models('2026-06-30 12:00+08');
SELECT count(*), count(p_alive), count(clv) FROM customer_value('2026-06-30 12:00+08');
UPDATE settings SET model_min_buyers = 100, model_min_days = 400;
SELECT state, buyers, history_days FROM refit_value_models('2026-06-30 12:00+08');
UPDATE settings SET model_min_days = 100;
SELECT state, buyers, history_days, repeat_buyers, (bgnbd).customers, (gamma_gamma).customers AS spenders, abs(value_correlation) < 1 AS correlation,
       ((bgnbd).fit ->> 'converged')::boolean AS bg, ((bgnbd).fit ->> 'at_bound')::boolean AS all_leave_alike, ((pareto_nbd).fit ->> 'converged')::boolean AS pn
FROM refit_value_models('2026-06-30 12:00+08');
SELECT count(*), count(*) FILTER (WHERE state = 'ok') AS ok FROM value_model;

-- customer_value is what the kit's functions say of the history.
SELECT count(*), bool_and(v.p_alive = p_alive(m.bgnbd, v.x, v.t_x, v.t)) AS alive, bool_and(v.p_alive BETWEEN 0 AND 1) AS chance,
       bool_and(v.expected_orders_12m = expected_purchases(m.bgnbd, 365.0 / 7, v.x, v.t_x, v.t)) AS expected,
       bool_and(v.clv = round(clv(m.bgnbd, m.gamma_gamma, v.x, v.t_x, v.t, v.mean_value, 12, 0.01, 4.345)::numeric, 2)) AS clv, bool_and(v.clv >= 0) AS no_debt
FROM customer_value('2026-06-30 12:00+08') v, value_model m WHERE m.state = 'ok';
UPDATE settings SET lifetime_model = 'pareto_nbd', lifetime_months = 24;
SELECT bool_and(v.p_alive = p_alive(m.pareto_nbd, v.x, v.t_x, v.t)) AS alive,
       bool_and(v.clv = round(clv(m.pareto_nbd, m.gamma_gamma, v.x, v.t_x, v.t, v.mean_value, 24, 0.01, 4.345)::numeric, 2)) AS clv
FROM customer_value('2026-06-30 12:00+08') v, value_model m WHERE m.state = 'ok';
UPDATE settings SET lifetime_model = 'bgnbd', lifetime_months = 12;
-- One customer is found by index, not by counting all.
CREATE FUNCTION pg_temp.plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || query; END $$;
ANALYZE purchase;
SELECT trim(plan) FROM pg_temp.plan('SELECT * FROM customer_value() WHERE customer_id = 7') plan WHERE plan LIKE '%customer_id = 7%';

-- Calibration and holdout: every buyer of the calibration, every purchase day of the holdout.
SELECT repeats, customers, actual, bgnbd > 0 AS foretold, bgnbd_error >= 0 AS error FROM model_check('2026-06-30 12:00+08', 120);
SELECT (SELECT actual FROM model_check('2026-06-30 12:00+08', 120) WHERE repeats = 'all') =
       (SELECT count(DISTINCT (customer_id, (order_at AT TIME ZONE 'Asia/Shanghai')::date)) FROM purchase
        WHERE order_at >= '2026-03-03 00:00+08' AND order_at <= '2026-06-30 12:00+08') AS actual_counts;
SELECT count(*) FROM model_check('2026-06-30 12:00+08', 360);

-- Warnings: overdue against the own rhythm, falling spend, less interaction, complaint.
INSERT INTO customer (customer_id) SELECT g FROM generate_series(2001, 2005) g;
INSERT INTO purchase (customer_id, order_no, amount, ordered_at, paid_at)
SELECT c, c || '-' || k, 100, at, at
FROM (VALUES (2001, 10, 200), (2002, 10, 5), (2003, 10, 40), (2004, 30, 20), (2005, 30, 20)) v (c, gap, silent), generate_series(0, 9) k,
     LATERAL (SELECT timestamptz '2026-06-30 10:00+08' - make_interval(days => silent + k * gap) AS at) t;
INSERT INTO behavior_event (customer_id, kind, at) SELECT 2004, 'view', timestamptz '2026-06-30 10:00+08' - make_interval(days => d) FROM generate_series(91, 170, 4) d;
CREATE OR REPLACE VIEW customer_open_complaint AS SELECT customer_id, timestamptz '2026-06-29 10:00+08' AS since FROM customer WHERE customer_id = 2005;
SELECT customer_id, at_stake > 0 AS stake, reasons, action, days_since, usual_gap, spend_90d, spend_90d_before
FROM churn_warning(0, '2026-06-30 12:00+08') WHERE customer_id BETWEEN 2001 AND 2005 ORDER BY customer_id;
SELECT customer_id FROM churn_warning(0.5, '2026-06-30 12:00+08') WHERE customer_id BETWEEN 2001 AND 2005 ORDER BY customer_id;
SELECT bool_and(risk BETWEEN 0.9 AND 1), bool_and(risk >= round((1 - p_alive)::numeric, 4) - 1e-9) FROM churn_warning(0.9, '2026-06-30 12:00+08');
UPDATE settings SET language = 'zh';
SELECT action FROM churn_warning(0.5, '2026-06-30 12:00+08') WHERE customer_id = 2001;
-- The analyst may look, and change nothing.
CREATE ROLE crm_t_models_analyst;
SELECT crm.grant_access('t_models', 'crm_t_models_analyst', 'analyst');
SET ROLE crm_t_models_analyst;
SELECT count(*) FROM customer_value('2026-06-30 12:00+08');
SELECT refit_value_models('2026-06-30 12:00+08');
RESET ROLE;
RESET search_path;
SELECT crm.drop_store('t_models', confirm => 't_models');
DROP ROLE crm_t_models_analyst;
