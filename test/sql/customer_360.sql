-- customer_360 against the same figures written plainly, a subquery a figure, on random data.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET client_min_messages = warning;
SELECT crm.create_store('t_360');
SET search_path = t_360, crm;
SELECT install_preset('textbook');

-- As it would be written by who cares for nothing but what it means.
CREATE VIEW plain_360 AS
SELECT c.customer_id, c.status, c.joined_at, c.occupation, c.region, c.influence, c.source, c.last_source, c.attributes, c.tags,
       s.order_count, s.spend_total, s.refunded_total, s.discount_total,
       s.spend_total - s.cost_total AS margin_total,
       round(s.spend_total / nullif(s.order_count, 0), 4) AS avg_order,
       w.orders AS orders_12m, w.spend AS spend_12m,
       round(w.spend / nullif(w.orders, 0), 4) AS avg_order_12m,
       (SELECT count(*) FROM purchase p WHERE p.customer_id = c.customer_id AND p.order_at > x.window_start) AS orders_window,
       (SELECT coalesce(sum(p.net), 0) FROM purchase p WHERE p.customer_id = c.customer_id AND p.order_at > x.window_start) AS spend_window,
       s.first_order_at, s.last_order_at,
       (now() AT TIME ZONE l.time_zone)::date - (s.last_order_at AT TIME ZONE l.time_zone)::date AS days_since_order,
       round((extract(epoch FROM s.last_order_at - s.first_order_at) / 86400 / nullif(s.order_count - 1, 0))::numeric, 2) AS avg_gap_days,
       s.last_order_at + (s.last_order_at - s.first_order_at) / nullif(s.order_count - 1, 0) AS next_order_at,
       round(s.refunded_total / nullif(s.spend_total + s.refunded_total, 0), 4) AS return_rate,
       round(s.discount_total / nullif(s.spend_total + s.discount_total, 0), 4) AS discount_share,
       (SELECT round(count(*) FILTER (WHERE p.discount > 0)::numeric / nullif(count(*), 0), 4)
        FROM purchase p WHERE p.customer_id = c.customer_id AND p.order_at IS NOT NULL) AS promotion_share,
       (SELECT p.channel FROM purchase p WHERE p.customer_id = c.customer_id AND p.order_at IS NOT NULL ORDER BY p.order_at DESC, p.order_no LIMIT 1) AS last_channel,
       (SELECT i.category FROM purchase_item i WHERE i.customer_id = c.customer_id AND i.category IS NOT NULL
        GROUP BY i.category ORDER BY sum(i.amount) DESC, i.category LIMIT 1) AS top_category,
       (SELECT round(max(t.amount) / nullif(sum(t.amount), 0), 4)
        FROM (SELECT sum(i.amount) AS amount FROM purchase_item i WHERE i.customer_id = c.customer_id GROUP BY i.category) t) AS top_category_share,
       (SELECT count(*) FROM behavior_event e WHERE e.customer_id = c.customer_id AND e.kind = 'view' AND e.at > now() - interval '30 days') AS views_30d,
       (SELECT count(*) FROM behavior_event e WHERE e.customer_id = c.customer_id AND e.kind IN ('cart', 'favourite') AND e.at > now() - interval '30 days') AS carts_30d,
       (SELECT round(count(*)::numeric / nullif(s.order_count, 0), 2) FROM behavior_event e
        WHERE e.customer_id = c.customer_id AND e.kind = 'view' AND e.at <= s.last_order_at) AS views_per_order,
       (SELECT round((extract(epoch FROM s.last_order_at - min(e.at)) / 60)::numeric, 1) FROM behavior_event e
        WHERE e.customer_id = c.customer_id AND e.kind = 'view' AND e.at <= s.last_order_at AND e.at > s.last_order_at - interval '30 days') AS minutes_to_order,
       (SELECT count(*) FROM behavior_event e WHERE e.customer_id = c.customer_id AND e.kind = 'review_read') AS reviews_read,
       CASE WHEN pa.next_due <= now() THEN (points_now(pa, now())).available ELSE coalesce(pa.available, 0) END AS points,
       CASE WHEN pa.next_due <= now() THEN (points_now(pa, now())).pending ELSE coalesce(pa.pending, 0) END AS points_pending,
       CASE WHEN ga.next_due <= now() THEN (points_now(ga, now())).available ELSE coalesce(ga.available, 0) END AS growth,
       coalesce(m.tier, l.base_tier) AS tier, m.since AS tier_since, m.period_end AS tier_until,
       y.lifecycle,
       y.rfm, rfm_segment(y.rfm, l.rfm_model, l.rfm_scheme, l.language) AS rfm_segment,
       z.p_alive, z.expected_orders_12m, z.clv, 1 - z.p_alive AS churn_risk,
       y.value_class,
       CASE WHEN s.order_count > 0 THEN 'closed'
            WHEN EXISTS (SELECT FROM purchase p WHERE p.customer_id = c.customer_id) THEN 'unclosed'
            WHEN EXISTS (SELECT FROM behavior_event e WHERE e.customer_id = c.customer_id AND e.kind = 'inquiry')
                 OR EXISTS (SELECT FROM interaction i WHERE i.customer_id = c.customer_id AND i.direction = 'in') THEN 'inquiry'
            ELSE 'unclosed' END AS relation,
       CASE WHEN s.order_count = 0 THEN NULL
            WHEN y.lifecycle = 'churned' THEN 'lost'
            WHEN y.value_class = 'high' AND s.order_count >= 3 THEN 'mature'
            WHEN s.order_count >= 2 AND months_spend(s.months, now() - interval '6 months', 'infinity')
                                        > months_spend(s.months, now() - interval '12 months', now() - interval '6 months') THEN 'growing'
            ELSE 'ordinary' END AS service_grade,
       (SELECT count(*) FROM ticket k WHERE k.customer_id = c.customer_id AND k.state NOT IN ('resolved', 'closed')) AS open_tickets,
       (SELECT max(i.at) FROM interaction i WHERE i.customer_id = c.customer_id) AS last_contact_at,
       (SELECT k.satisfaction FROM ticket k WHERE k.customer_id = c.customer_id AND k.satisfaction IS NOT NULL
        ORDER BY k.closed_at DESC NULLS LAST, k.ticket_id DESC LIMIT 1) AS satisfaction
FROM customer c
JOIN customer_summary s ON s.customer_id = c.customer_id
-- Tables are read in the view itself, not in functions: a function would read them with the rights of whoever reads the view.
CROSS JOIN (SELECT g.*, k.active_days AS active_limit, k.dormant_days AS dormant_limit, k.at_risk_days AS at_risk_limit,
                   (SELECT ROW(f.*)::value_fit FROM value_limits f) AS value_limits,
                   (SELECT r.model FROM rfm_fit r ORDER BY r.as_of DESC, r.rfm_fit_id DESC LIMIT 1) AS rfm_model,
                   (SELECT m FROM value_model m WHERE m.state = 'ok' ORDER BY m.as_of DESC, m.value_model_id DESC LIMIT 1) AS value_model,
                   (SELECT t.tier FROM tier t ORDER BY t.seq LIMIT 1) AS base_tier,
                   y.year_start, date_trunc('month', y.year_start, 'UTC') AS edge_start,
                   (date_trunc('month', y.year_start AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC' AS edge_end
            FROM settings g CROSS JOIN lifecycle_limits k
            CROSS JOIN LATERAL (SELECT (now() AT TIME ZONE g.time_zone - interval '12 months') AT TIME ZONE g.time_zone AS year_start) y
            OFFSET 0) l
CROSS JOIN LATERAL (
    -- Whole months from the buckets, and orders only from a month that the window cuts and in which the customer ordered.
    SELECT months_orders(s.months, CASE WHEN s.first_order_at > l.year_start THEN '-infinity' ELSE l.year_start END,
                         CASE WHEN s.last_order_at <= now() THEN 'infinity' ELSE now() END)
           + CASE WHEN s.first_order_at <= l.year_start AND months_orders(s.months, l.edge_start - interval '1 microsecond', l.edge_end) > 0
                  THEN (SELECT count(*) FROM purchase p WHERE p.customer_id = s.customer_id AND p.order_at > l.year_start AND p.order_at < l.edge_end) ELSE 0 END
           + CASE WHEN s.last_order_at > now()
                  THEN (SELECT count(*) FROM purchase p WHERE p.customer_id = s.customer_id AND p.order_at >= date_trunc('month', now(), 'UTC') AND p.order_at <= now()) ELSE 0 END
           AS orders,
           months_spend(s.months, CASE WHEN s.first_order_at > l.year_start THEN '-infinity' ELSE l.year_start END,
                        CASE WHEN s.last_order_at <= now() THEN 'infinity' ELSE now() END)
           + CASE WHEN s.first_order_at <= l.year_start AND months_orders(s.months, l.edge_start - interval '1 microsecond', l.edge_end) > 0
                  THEN (SELECT coalesce(sum(p.net), 0) FROM purchase p WHERE p.customer_id = s.customer_id AND p.order_at > l.year_start AND p.order_at < l.edge_end) ELSE 0 END
           + CASE WHEN s.last_order_at > now()
                  THEN (SELECT coalesce(sum(p.net), 0) FROM purchase p WHERE p.customer_id = s.customer_id AND p.order_at >= date_trunc('month', now(), 'UTC') AND p.order_at <= now()) ELSE 0 END
           AS spend OFFSET 0) w
CROSS JOIN LATERAL (SELECT CASE l.tier_window
               WHEN 'rolling' THEN (now() AT TIME ZONE l.time_zone - make_interval(months => l.tier_window_months)) AT TIME ZONE l.time_zone
               WHEN 'calendar' THEN date_trunc('year', now() AT TIME ZONE l.time_zone) AT TIME ZONE l.time_zone - interval '1 microsecond'
               WHEN 'anniversary' THEN last_anniversary(c.joined_at, now(), l.time_zone) - interval '1 microsecond'
               ELSE '-infinity' END AS window_start) x
LEFT JOIN tier_member m ON m.customer_id = c.customer_id
LEFT JOIN points_account pa ON pa.customer_id = c.customer_id AND pa.program = 'points'
LEFT JOIN points_account ga ON ga.customer_id = c.customer_id AND ga.program = 'growth'
CROSS JOIN LATERAL (
    SELECT lifecycle_stage(s.order_count, s.first_order_at, s.last_order_at,
                           CASE WHEN s.order_count > 1 AND s.last_order_at - s.first_order_at > make_interval(days => l.at_risk_limit)
                                THEN (SELECT max(p.order_at) FROM purchase p WHERE p.customer_id = c.customer_id AND p.order_at < s.last_order_at) END,
                           now(), l.time_zone, l.new_days, l.active_limit, l.dormant_limit, l.at_risk_limit, l.returned_days) AS lifecycle,
           CASE WHEN s.order_count > 0 THEN
               rfm_score(l.rfm_model,
                         (now() AT TIME ZONE l.time_zone)::date - (s.last_order_at AT TIME ZONE l.time_zone)::date,
                         s.order_count, s.spend_total::double precision) END AS rfm,
           value_class(c.customer_id, w.spend, w.orders, s.spend_total - s.cost_total, s.last_order_at, now(), l.value_at_risk_months,
                       l.value_limits) AS value_class OFFSET 0) y
CROSS JOIN LATERAL (SELECT (SELECT buyer_summary((p.order_at AT TIME ZONE l.time_zone)::date, p.net::double precision, (now() AT TIME ZONE l.time_zone)::date, 7)
                            FROM purchase p WHERE p.customer_id = c.customer_id AND p.order_at <= now() AND l.value_model IS NOT NULL) AS b OFFSET 0) h
CROSS JOIN LATERAL (
    SELECT CASE WHEN s.order_count = 0 THEN NULL WHEN l.lifetime_model = 'bgnbd' THEN p_alive((l.value_model).bgnbd, (h.b).x, (h.b).t_x, (h.b).t)
                ELSE p_alive((l.value_model).pareto_nbd, (h.b).x, (h.b).t_x, (h.b).t) END AS p_alive,
           CASE WHEN s.order_count = 0 THEN NULL WHEN l.lifetime_model = 'bgnbd' THEN expected_purchases((l.value_model).bgnbd, 365.0 / 7, (h.b).x, (h.b).t_x, (h.b).t)
                ELSE expected_purchases((l.value_model).pareto_nbd, 365.0 / 7, (h.b).x, (h.b).t_x, (h.b).t) END AS expected_orders_12m,
           round(CASE WHEN s.order_count = 0 THEN NULL
                      WHEN l.lifetime_model = 'bgnbd' THEN clv((l.value_model).bgnbd, (l.value_model).gamma_gamma, (h.b).x, (h.b).t_x, (h.b).t, (h.b).mean, l.lifetime_months, l.lifetime_discount, 4.345)
                      ELSE clv((l.value_model).pareto_nbd, (l.value_model).gamma_gamma, (h.b).x, (h.b).t_x, (h.b).t, (h.b).mean, l.lifetime_months, l.lifetime_discount, 4.345) END::numeric, 2) AS clv
    OFFSET 0) z
WHERE c.status <> 'merged';

CREATE FUNCTION differing(OUT customers bigint, OUT differing bigint)
LANGUAGE sql
AS $$
    SELECT (SELECT count(*) FROM customer_360),
           (SELECT count(*) FROM ((TABLE customer_360 EXCEPT ALL TABLE plain_360) UNION ALL (TABLE plain_360 EXCEPT ALL TABLE customer_360)) d)
$$;

-- The view for passes over all customers, and the function for one.
CREATE FUNCTION differing_all(OUT differing bigint)
LANGUAGE sql
AS $$
    SELECT count(*) FROM ((TABLE customer_360 EXCEPT ALL TABLE customer_360_all) UNION ALL (TABLE customer_360_all EXCEPT ALL TABLE customer_360)) d
$$;

SELECT * FROM differing();
SELECT setseed(0.36);
INSERT INTO customer (joined_at) SELECT now() - random() * interval '4 years' FROM generate_series(1, 300);
INSERT INTO customer (joined_at, status, merged_into) VALUES (now(), 'merged', 1);
-- Orders of four years and some days ahead, at equal moments too; refunds, discounts, orders that do not count.
INSERT INTO purchase (customer_id, channel, order_no, status, amount, refunded, discount, cost, ordered_at, paid_at, history)
SELECT c.id, c.channel, 'o' || c.i, CASE WHEN random() < 0.1 THEN 'pending' ELSE 'paid' END, c.amount,
       CASE WHEN random() < 0.1 THEN c.amount WHEN random() < 0.2 THEN round(c.amount / 3, 2) ELSE 0 END,
       CASE WHEN random() < 0.3 THEN 5 ELSE 0 END, CASE WHEN random() < 0.5 THEN round(c.amount / 2, 2) END, c.at, c.at, true
FROM (SELECT i, 1 + floor(power(random(), 3) * 250)::bigint AS id, (ARRAY['mall', 'tmall', 'jd'])[1 + i % 3] AS channel,
             round((10 + random() * 400)::numeric, 2) AS amount,
             date_trunc('hour', now()) + interval '5 days' - power(random(), 2) * interval '4 years' AS at
      FROM generate_series(1, 1000) i) c;
INSERT INTO purchase (customer_id, channel, order_no, amount, paid_at, history)
SELECT p.customer_id, 'b', p.order_no || 'b', p.amount, p.paid_at, true FROM purchase p WHERE p.status = 'paid' AND random() < 0.1;
INSERT INTO purchase_item (customer_id, channel, order_no, line, product, category, amount)
SELECT p.customer_id, p.channel, p.order_no, n, 'p' || n, (ARRAY['shoes', 'books', 'tea', NULL])[1 + floor(random() * 4)::integer], (10 * n)::numeric
FROM purchase p CROSS JOIN generate_series(1, 2) n WHERE random() < 0.7;
INSERT INTO behavior_event (customer_id, at, kind)
SELECT 1 + floor(random() * 300)::bigint, now() - random() * interval '90 days',
       (ARRAY['view', 'view', 'cart', 'favourite', 'review_read', 'inquiry'])[1 + floor(random() * 6)::integer]
FROM generate_series(1, 1200);
INSERT INTO behavior_event (customer_id, at, kind)
SELECT s.customer_id, s.last_order_at - random() * interval '40 days', 'view' FROM customer_summary s WHERE s.order_count > 0;
INSERT INTO interaction (customer_id, at, channel, direction)
SELECT 1 + floor(random() * 300)::bigint, now() - random() * interval '90 days', 'phone', CASE WHEN random() < 0.5 THEN 'in' ELSE 'out' END FROM generate_series(1, 160);
INSERT INTO ticket (customer_id, category, subject, state, opened_at, resolved_at, closed_at, satisfaction)
SELECT 1 + floor(random() * 300)::bigint, 'goods', 's', CASE WHEN i % 2 = 0 THEN 'new' ELSE 'closed' END, now() - interval '9 days',
       CASE WHEN i % 2 = 1 THEN now() - interval '2 days' END, CASE WHEN i % 2 = 1 THEN date_trunc('day', now()) END, CASE WHEN i % 4 = 1 THEN 1 + i % 5 END
FROM generate_series(1, 200) i;
ANALYZE;
SELECT * FROM differing();
SELECT * FROM differing_all();

-- Tiers, points that lapsed without being booked, models, limits.
CALL evaluate_tiers();
INSERT INTO points_entry (customer_id, program, kind, points, source, reference, expires_at)
SELECT c.customer_id, 'points', 'earn', 100, 'test', 'r' || c.customer_id, now() + CASE WHEN c.customer_id % 2 = 0 THEN interval '1 second' ELSE interval '1 year' END
FROM customer c WHERE c.status = 'active' AND c.customer_id % 3 = 0;
SELECT refit_rfm() IS NOT NULL AS rfm, (refit_value_classes()).value_fit_id IS NOT NULL AS classes;
UPDATE settings SET model_min_buyers = 50;
SELECT (refit_value_models()).state;
SELECT pg_sleep(1);
SELECT * FROM differing();
SELECT * FROM differing_all();
SELECT count(*) FILTER (WHERE points = 0 AND customer_id % 6 = 0) > 0 AS lapsed, count(p_alive) > 100 AS models, count(DISTINCT tier) AS tiers,
       count(DISTINCT lifecycle) AS stages, count(DISTINCT value_class) AS classes, count(DISTINCT relation) AS relations, count(DISTINCT service_grade) AS grades,
       count(DISTINCT last_channel) AS channels, count(DISTINCT top_category) AS categories, count(DISTINCT satisfaction) AS satisfactions,
       count(*) FILTER (WHERE spend_12m <> spend_total) > 0 AS earlier, count(*) FILTER (WHERE minutes_to_order > 0) > 0 AS looked
FROM customer_360;

-- Other settings.
UPDATE settings SET lifetime_model = 'pareto_nbd', tier_window = 'anniversary', rfm_scheme = 'eight', language = 'en', time_zone = 'America/New_York';
SELECT gaps > 0 AS gaps FROM refit_lifecycle();
UPDATE settings SET lifecycle_by = 'gaps';
SELECT * FROM differing();
SELECT * FROM differing_all();
UPDATE settings SET tier_window = 'calendar', returned_days = 900, lifetime_months = 3;
SELECT * FROM differing();
SELECT * FROM differing_all();
UPDATE settings SET tier_window = 'lifetime';
SELECT * FROM differing();
SELECT * FROM differing_all();

-- in_force follows its tables, whatever is done to them.
CREATE VIEW in_force_wrong AS
SELECT f.base_tier IS DISTINCT FROM (SELECT tier FROM tier ORDER BY seq LIMIT 1)
       OR f.rfm_model::text IS DISTINCT FROM (SELECT model::text FROM rfm_fit ORDER BY as_of DESC, rfm_fit_id DESC LIMIT 1)
       OR (f.value_limits).value_fit_id IS DISTINCT FROM (SELECT value_fit_id FROM value_fit ORDER BY as_of DESC, value_fit_id DESC LIMIT 1)
       OR f.value_model_id IS DISTINCT FROM (SELECT value_model_id FROM value_model WHERE state = 'ok' ORDER BY as_of DESC, value_model_id DESC LIMIT 1) AS wrong
FROM in_force f;
INSERT INTO rfm_fit (as_of, model) VALUES (now() + interval '1 day', rfm_model('{30,90,180,365}', '{2,3,5,8}', '{100,500,1000,2000}'));
INSERT INTO value_model (as_of, state, buyers, history_days, repeat_buyers, bgnbd)
VALUES (now() + interval '1 day', 'ok', 1, 1, 1, ROW(.243, 4.414, .793, 2.426, NULL, NULL, NULL)),
       (now() + interval '2 days', 'not converged', 1, 1, 1, NULL);
SELECT (refit_value_classes(now() - interval '1 year')).value_fit_id IS NOT NULL AS refitted;
SELECT wrong, (bgnbd).r FROM in_force, in_force_wrong;
UPDATE value_model SET state = 'not converged';
DELETE FROM value_fit;
UPDATE rfm_fit SET as_of = as_of - interval '10 days' WHERE rfm_fit_id > 1;
SELECT wrong, value_model_id, value_limits FROM in_force, in_force_wrong;
SELECT * FROM differing();
SELECT * FROM differing_all();
TRUNCATE rfm_fit;
SELECT wrong, rfm_model FROM in_force, in_force_wrong;
INSERT INTO in_force (base_tier) VALUES ('gold');
SELECT count(*), min(base_tier) FROM in_force;

-- A query reads only what its columns need.
CREATE FUNCTION tables_read(query text) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
    RETURN (SELECT string_agg(DISTINCT m[1], ' ' ORDER BY m[1]) FROM regexp_matches(plan::text, '"Relation Name": "([a-z_]+)"', 'g') m
            WHERE m[1] NOT IN ('customer', 'customer_summary', 'settings', 'in_force'));
END
$$;
SELECT tables_read('SELECT customer_id FROM customer_360 WHERE order_count > 3');
SELECT tables_read('SELECT customer_id FROM customer_360 WHERE spend_12m > 3');
SELECT tables_read('SELECT customer_id FROM customer_360 WHERE tier = ''gold''');
SELECT tables_read('SELECT customer_id FROM customer_360 WHERE lifecycle = ''new''');
SELECT tables_read('SELECT customer_id FROM customer_360 WHERE open_tickets > 3');
SELECT tables_read('SELECT customer_id FROM customer_360 WHERE clv > 3');
SELECT tables_read('SELECT customer_id FROM customer_360_all WHERE order_count > 3');
SELECT tables_read('SELECT customer_id FROM customer_360_all WHERE spend_12m > 3');
SELECT tables_read('SELECT customer_id FROM customer_360_all WHERE tier = ''gold''');
SELECT tables_read('SELECT customer_id FROM customer_360_all WHERE clv > 3');

-- One customer without preparing: the same row, by a plan that is made once.
SELECT count(*) FILTER (WHERE f IS DISTINCT FROM v) AS differing, count(f.customer_id) > 100 AS some
FROM customer_360 v LEFT JOIN LATERAL customer_360_of(v.customer_id) f ON true;
SELECT count(*) FROM customer_360_of((SELECT customer_id FROM customer WHERE status = 'merged'));

-- All customers in one parallel pass: workers read the large tables, and nothing is looked up for each row.
CREATE FUNCTION plan_of(query text, OUT gathers bigint, OUT workers text, OUT partial boolean, OUT read_by_workers text, OUT for_each_row bigint)
LANGUAGE plpgsql
AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
    WITH RECURSIVE node (n, in_worker) AS (
        SELECT (plan -> 0 -> 'Plan')::jsonb, false
        UNION ALL
        SELECT c.n, node.in_worker OR node.n ->> 'Node Type' LIKE 'Gather%'
        FROM node CROSS JOIN LATERAL jsonb_array_elements(node.n -> 'Plans') c (n)
    )
    SELECT count(*) FILTER (WHERE n ->> 'Node Type' LIKE 'Gather%'),
           string_agg(n ->> 'Workers Planned', ' ') FILTER (WHERE n ->> 'Node Type' LIKE 'Gather%'),
           bool_or(n ->> 'Partial Mode' = 'Partial'),
           string_agg(DISTINCT n ->> 'Relation Name', ' ' ORDER BY n ->> 'Relation Name')
               FILTER (WHERE in_worker AND n ->> 'Parallel Aware' = 'true' AND n ->> 'Relation Name' <> 'settings'),
           count(*) FILTER (WHERE n ->> 'Parent Relationship' = 'SubPlan' OR n ->> 'Index Cond' LIKE '%customer_id%')
        INTO gathers, workers, partial, read_by_workers, for_each_row
    FROM node;
END
$$;
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
-- Tables of this size would rather be looked up than hashed.
SET enable_nestloop = off;
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SET enable_mergejoin = off;
SELECT * FROM plan_of('SELECT count(*) FROM customer_360_all WHERE order_count > 3');
SELECT * FROM plan_of('SELECT tier, count(*), sum(points), sum(growth), avg(avg_gap_days) FROM customer_360_all GROUP BY tier');
SELECT gathers, workers, read_by_workers, for_each_row FROM plan_of('SELECT rfm_segment, count(*), sum(spend_total) FROM customer_360_all GROUP BY rfm_segment');
-- What is counted from orders is grouped first.
SELECT gathers > 0 AS gathered, for_each_row FROM plan_of('SELECT sum(clv) FROM customer_360_all');
-- With many orders a customer it is computed in parts, which the leader puts together to the same.
ALTER TABLE purchase ALTER customer_id SET (n_distinct = 5);
ANALYZE purchase;
SELECT partial FROM plan_of('SELECT sum(clv), count(last_channel), sum(spend_window), sum(promotion_share) FROM customer_360_all');
SELECT * FROM differing_all();
ALTER TABLE purchase ALTER customer_id RESET (n_distinct);
ANALYZE purchase;
SELECT gathers > 0 AS gathered, for_each_row FROM plan_of('SELECT lifecycle, count(*) FROM customer_360_all GROUP BY 1');
-- Workers compute what the leader does.
SELECT * FROM differing_all();
DROP VIEW plain_360, in_force_wrong;
DROP FUNCTION differing(), differing_all(), tables_read(text), plan_of(text);
RESET search_path;
SELECT crm.drop_store('t_360', confirm => 't_360');
