-- Everything known of a customer in one row. Lines from "-- shared NAME" to "-- end NAME" stand again where it says "-- again NAME": tools/join-sql.sh puts them there.

-- What the views below need of the settings and of what was fitted last, computed once for a statement.
CREATE VIEW customer_360_basis AS
SELECT g.time_zone, g.language, g.new_days, g.returned_days, g.rfm_scheme, g.lifetime_model, g.lifetime_months, g.lifetime_discount,
       g.value_at_risk_months, g.tier_window,
       -- As in lifecycle_limits.
       CASE WHEN g.lifecycle_by = 'gaps' AND g.gap_days_p97 IS NOT NULL THEN g.gap_days_p50 ELSE g.active_days END AS active_limit,
       CASE WHEN g.lifecycle_by = 'gaps' AND g.gap_days_p97 IS NOT NULL THEN g.gap_days_p90 ELSE g.dormant_days END AS dormant_limit,
       CASE WHEN g.lifecycle_by = 'gaps' AND g.gap_days_p97 IS NOT NULL THEN g.gap_days_p97 ELSE g.at_risk_days END AS at_risk_limit,
       coalesce(f.value_limits, value_limits_now()) AS value_limits, f.rfm_model, f.value_model_id, f.bgnbd, f.pareto_nbd, f.gamma_gamma, f.base_tier,
       y.year_start, date_trunc('month', y.year_start, 'UTC') AS edge_start,
       (date_trunc('month', y.year_start AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC' AS edge_end,
       date_trunc('month', now(), 'UTC') AS month_start,
       (now() AT TIME ZONE g.time_zone)::date AS today,
       -- Whose last order is older has not returned, by whole days in any time zone.
       now() - make_interval(days => g.returned_days + 2) AS returned_since,
       CASE g.tier_window
           WHEN 'rolling' THEN (now() AT TIME ZONE g.time_zone - make_interval(months => g.tier_window_months)) AT TIME ZONE g.time_zone
           WHEN 'calendar' THEN date_trunc('year', now() AT TIME ZONE g.time_zone) AT TIME ZONE g.time_zone - interval '1 microsecond'
           ELSE '-infinity' END AS window_start,
       true AS here
FROM settings g LEFT JOIN in_force f ON f.row_no = 1
CROSS JOIN LATERAL (SELECT (now() AT TIME ZONE g.time_zone - interval '12 months') AT TIME ZONE g.time_zone AS year_start) y
-- Of type bigint as it stands: the planner takes any other 0 for one that only the executor knows, and keeps the view from parallel workers.
OFFSET bigint '0';
COMMENT ON VIEW customer_360_basis IS 'one row: limits, moments and models that customer_360 and customer_360_all compute with';

CREATE VIEW customer_360 AS
SELECT
       -- shared totals
       c.customer_id, c.status, c.joined_at, c.occupation, c.region, c.influence, c.source, c.last_source, c.attributes, c.tags,
       s.order_count, s.spend_total, s.refunded_total, s.discount_total,
       s.spend_total - s.cost_total AS margin_total,
       round(s.spend_total / nullif(s.order_count, 0), 4) AS avg_order,
       w.orders AS orders_12m, w.spend AS spend_12m,
       round(w.spend / nullif(w.orders, 0), 4) AS avg_order_12m,
       -- end totals
       o.orders_window, coalesce(o.spend_window, 0) AS spend_window,
       -- shared figures
       s.first_order_at, s.last_order_at,
       l.today - (s.last_order_at AT TIME ZONE l.time_zone)::date AS days_since_order,
       round((extract(epoch FROM s.last_order_at - s.first_order_at) / 86400 / nullif(s.order_count - 1, 0))::numeric, 2) AS avg_gap_days,
       s.last_order_at + (s.last_order_at - s.first_order_at) / nullif(s.order_count - 1, 0) AS next_order_at,
       round(s.refunded_total / nullif(s.spend_total + s.refunded_total, 0), 4) AS return_rate,
       round(s.discount_total / nullif(s.spend_total + s.discount_total, 0), 4) AS discount_share,
       round(o.promoted::numeric / nullif(s.order_count, 0), 4) AS promotion_share, o.last_channel, i.top_category, i.top_category_share,
       coalesce(n.views_30d, 0) AS views_30d, coalesce(n.carts_30d, 0) AS carts_30d,
       round(coalesce(e.views, 0)::numeric / nullif(s.order_count, 0), 2) AS views_per_order,
       round((extract(epoch FROM s.last_order_at - e.first_look) / 60)::numeric, 1) AS minutes_to_order,
       coalesce(e.reviews_read, 0) AS reviews_read,
       CASE WHEN pa.next_due <= now() THEN (points_now(pa, now())).available ELSE coalesce(pa.available, 0) END AS points,
       CASE WHEN pa.next_due <= now() THEN (points_now(pa, now())).pending ELSE coalesce(pa.pending, 0) END AS points_pending,
       CASE WHEN ga.next_due <= now() THEN (points_now(ga, now())).available ELSE coalesce(ga.available, 0) END AS growth,
       coalesce(m.tier, l.base_tier) AS tier, m.since AS tier_since, m.period_end AS tier_until,
       y.lifecycle,
       y.rfm, rfm_segment(y.rfm, l.rfm_model, l.rfm_scheme, l.language) AS rfm_segment,
       z.p_alive, z.expected_orders_12m, z.clv, 1 - z.p_alive AS churn_risk,
       y.value_class,
       CASE WHEN s.order_count > 0 THEN 'closed'
            -- end figures
            -- Scalar, so that they are planned once: EXISTS would be planned twice.
            WHEN (SELECT true FROM purchase p WHERE p.customer_id = c.customer_id LIMIT 1) THEN 'unclosed'
            WHEN (SELECT true FROM behavior_event e WHERE e.customer_id = c.customer_id AND e.kind = 'inquiry' LIMIT 1)
                 OR (SELECT true FROM interaction i WHERE i.customer_id = c.customer_id AND i.direction = 'in' LIMIT 1) THEN 'inquiry'
            -- shared grade
            ELSE 'unclosed' END AS relation,
       CASE WHEN s.order_count = 0 THEN NULL
            WHEN y.lifecycle = 'churned' THEN 'lost'
            WHEN y.value_class = 'high' AND s.order_count >= 3 THEN 'mature'
            WHEN s.order_count >= 2 AND months_spend(s.months, now() - interval '6 months', 'infinity')
                                        > months_spend(s.months, now() - interval '12 months', now() - interval '6 months') THEN 'growing'
            ELSE 'ordinary' END AS service_grade,
       -- end grade
       k.open_tickets,
       (SELECT max(i.at) FROM interaction i WHERE i.customer_id = c.customer_id) AS last_contact_at,
       k.satisfaction
FROM customer c
JOIN customer_summary s ON s.customer_id = c.customer_id
-- Tables are read in the view itself, not in functions: a function would read them with the rights of whoever reads the view.
CROSS JOIN customer_360_basis l
-- What is counted or computed of a customer is joined on the left and has an aggregate or HAVING, so that it is known to be one row: the planner drops it
-- where nothing of it is named. Who asks for one customer reads each table once. Moments stand in FILTER, not in WHERE, so that a customer's rows are always found by the customer.
-- Whole months of the 12 come from the buckets; orders only of a month that the window cuts and in which the customer ordered, or ahead of the clock.
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE s.first_order_at <= l.year_start AND p.order_at > l.year_start AND p.order_at < l.edge_end
                                  OR s.last_order_at > now() AND p.order_at >= l.month_start AND p.order_at <= now()) AS orders,
           money_sum(p.net) FILTER (WHERE s.first_order_at <= l.year_start AND p.order_at > l.year_start AND p.order_at < l.edge_end
                                    OR s.last_order_at > now() AND p.order_at >= l.month_start AND p.order_at <= now()) AS spend
    FROM purchase p
    WHERE p.customer_id = s.customer_id
      AND (s.last_order_at > now()
           OR s.first_order_at <= l.year_start AND months_orders(s.months, l.edge_start - interval '1 microsecond', l.edge_end) > 0)) d ON true
LEFT JOIN LATERAL (
    SELECT months_orders(s.months, CASE WHEN s.first_order_at > l.year_start THEN '-infinity' ELSE l.year_start END,
                         CASE WHEN s.last_order_at <= now() THEN 'infinity' ELSE now() END)
           + coalesce(d.orders, 0) AS orders,
           months_spend(s.months, CASE WHEN s.first_order_at > l.year_start THEN '-infinity' ELSE l.year_start END,
                        CASE WHEN s.last_order_at <= now() THEN 'infinity' ELSE now() END)
           + coalesce(d.spend, 0) AS spend
    HAVING true) w ON true
CROSS JOIN LATERAL (SELECT CASE l.tier_window WHEN 'anniversary' THEN last_anniversary(c.joined_at, now(), l.time_zone) - interval '1 microsecond'
                                              ELSE l.window_start END AS window_start) x
LEFT JOIN tier_member m ON m.customer_id = c.customer_id
LEFT JOIN points_account pa ON pa.customer_id = c.customer_id AND pa.program = 'points'
LEFT JOIN points_account ga ON ga.customer_id = c.customer_id AND ga.program = 'growth'
LEFT JOIN LATERAL (
    SELECT lifecycle_stage(s.order_count, s.first_order_at, s.last_order_at,
                           CASE WHEN s.order_count > 1 AND s.last_order_at > l.returned_since AND s.last_order_at - s.first_order_at > make_interval(days => l.at_risk_limit)
                                THEN (SELECT max(p.order_at) FILTER (WHERE p.order_at < s.last_order_at) FROM purchase p WHERE p.customer_id = c.customer_id) END,
                           now(), l.time_zone, l.new_days, l.active_limit, l.dormant_limit, l.at_risk_limit, l.returned_days) AS lifecycle,
           -- shared classes
           CASE WHEN s.order_count > 0 THEN
               rfm_score(l.rfm_model,
                         l.today - (s.last_order_at AT TIME ZONE l.time_zone)::date,
                         s.order_count, s.spend_total::double precision) END AS rfm,
           value_class(c.customer_id, w.spend, w.orders, s.spend_total - s.cost_total, s.last_order_at, now(), l.value_at_risk_months,
                       l.value_limits) AS value_class
           -- end classes
    HAVING true) y ON true
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE p.order_at > x.window_start) AS orders_window, money_sum(p.net) FILTER (WHERE p.order_at > x.window_start) AS spend_window,
           count(p.order_at) FILTER (WHERE p.discount > 0) AS promoted, latest(p.channel, p.order_at, p.order_no) AS last_channel,
           buyer_summary((p.order_at AT TIME ZONE l.time_zone)::date, p.net::double precision, l.today, 7)
               FILTER (WHERE p.order_at <= now()) AS b
    FROM purchase p
    WHERE p.customer_id = c.customer_id) o ON true
LEFT JOIN LATERAL (
    SELECT (array_agg(t.category ORDER BY t.amount DESC, t.category) FILTER (WHERE t.category IS NOT NULL))[1] AS top_category,
           round(max(t.amount) / nullif(sum(t.amount), 0), 4) AS top_category_share
    FROM (SELECT i.category, sum(i.amount) AS amount FROM purchase_item i WHERE i.customer_id = c.customer_id GROUP BY i.category) t) i ON true
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE e.kind = 'view') AS views_30d, count(*) FILTER (WHERE e.kind IN ('cart', 'favourite')) AS carts_30d
    FROM behavior_event e
    WHERE e.customer_id = c.customer_id AND e.at > now() - interval '30 days') n ON true
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE e.kind = 'view' AND e.at <= s.last_order_at) AS views,
           min(e.at) FILTER (WHERE e.kind = 'view' AND e.at <= s.last_order_at AND e.at > s.last_order_at - interval '30 days') AS first_look,
           count(*) FILTER (WHERE e.kind = 'review_read') AS reviews_read
    FROM behavior_event e
    WHERE e.customer_id = c.customer_id) e ON true
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE k.state NOT IN ('resolved', 'closed')) AS open_tickets,
           (array_agg(k.satisfaction ORDER BY k.closed_at DESC NULLS LAST, k.ticket_id DESC) FILTER (WHERE k.satisfaction IS NOT NULL))[1] AS satisfaction
    FROM ticket k
    WHERE k.customer_id = c.customer_id) k ON true
LEFT JOIN LATERAL (
    -- shared lifetime
    SELECT CASE WHEN s.order_count = 0 OR l.value_model_id IS NULL THEN NULL WHEN l.lifetime_model = 'bgnbd' THEN p_alive(l.bgnbd, (o.b).x, (o.b).t_x, (o.b).t)
                ELSE p_alive(l.pareto_nbd, (o.b).x, (o.b).t_x, (o.b).t) END AS p_alive,
           CASE WHEN s.order_count = 0 OR l.value_model_id IS NULL THEN NULL WHEN l.lifetime_model = 'bgnbd' THEN expected_purchases(l.bgnbd, 365.0 / 7, (o.b).x, (o.b).t_x, (o.b).t)
                ELSE expected_purchases(l.pareto_nbd, 365.0 / 7, (o.b).x, (o.b).t_x, (o.b).t) END AS expected_orders_12m,
           round(CASE WHEN s.order_count = 0 OR l.value_model_id IS NULL THEN NULL
                      WHEN l.lifetime_model = 'bgnbd' THEN clv(l.bgnbd, l.gamma_gamma, (o.b).x, (o.b).t_x, (o.b).t, (o.b).mean, l.lifetime_months, l.lifetime_discount, 4.345)
                      ELSE clv(l.pareto_nbd, l.gamma_gamma, (o.b).x, (o.b).t_x, (o.b).t, (o.b).mean, l.lifetime_months, l.lifetime_discount, 4.345) END::numeric, 2) AS clv
    -- end lifetime
    HAVING true) z ON true
WHERE c.status <> 'merged';
COMMENT ON VIEW customer_360 IS 'one row a customer with everything known, as of now; no personal data. describe_columns() says what each column means';

-- The same for a pass over all customers. PostgreSQL gives no subquery that depends on a row to parallel workers, and looking up each customer's orders costs
-- more than grouping all of them; so each table is grouped by customer and joined by hash. Nothing is computed that a query does not name: a group is
-- one row a customer, so the planner drops the joins whose columns nobody reads.
CREATE VIEW customer_360_all AS
SELECT
       -- again totals
       CASE WHEN l.tier_window = 'anniversary' THEN coalesce(x.orders_window, 0) ELSE coalesce(o.orders_window, 0) END AS orders_window,
       CASE WHEN l.tier_window = 'anniversary' THEN coalesce(x.spend_window, 0) ELSE coalesce(o.spend_window, 0) END AS spend_window,
       -- again figures
            WHEN c.customer_id IN (SELECT p.customer_id FROM purchase p WHERE p.order_at IS NULL) THEN 'unclosed'
            WHEN c.customer_id IN (SELECT b.customer_id FROM behavior_event b WHERE b.kind = 'inquiry')
                 OR c.customer_id IN (SELECT a.customer_id FROM interaction a WHERE a.direction = 'in') THEN 'inquiry'
            -- again grade
       coalesce(k.open_tickets, 0) AS open_tickets,
       t.last_contact_at, k.satisfaction
FROM customer c
JOIN customer_summary s ON s.customer_id = c.customer_id
-- A hash join, so that a worker reads the settings once; on the left, since as an inner one the planner takes it for one that halves the rows, and so
-- carries the settings through the hash tables of everybody.
LEFT JOIN customer_360_basis l ON l.here = (c.status <> 'merged')
LEFT JOIN (SELECT p.customer_id,
                  count(*) FILTER (WHERE p.order_at < l.edge_end) AS edge_orders, money_sum(p.net) FILTER (WHERE p.order_at < l.edge_end) AS edge_spend,
                  count(*) FILTER (WHERE p.order_at >= l.month_start) AS month_orders, money_sum(p.net) FILTER (WHERE p.order_at >= l.month_start) AS month_spend
           FROM purchase p JOIN customer_360_basis l ON l.here = (p.order_at IS NOT NULL)
           WHERE p.order_at > l.year_start AND p.order_at < l.edge_end OR p.order_at >= l.month_start AND p.order_at <= now()
           GROUP BY p.customer_id) d ON d.customer_id = c.customer_id
CROSS JOIN LATERAL (
    SELECT months_orders(s.months, CASE WHEN s.first_order_at > l.year_start THEN '-infinity' ELSE l.year_start END,
                         CASE WHEN s.last_order_at <= now() THEN 'infinity' ELSE now() END)
           + CASE WHEN s.first_order_at <= l.year_start THEN coalesce(d.edge_orders, 0) ELSE 0 END
           + CASE WHEN s.last_order_at > now() THEN coalesce(d.month_orders, 0) ELSE 0 END AS orders,
           months_spend(s.months, CASE WHEN s.first_order_at > l.year_start THEN '-infinity' ELSE l.year_start END,
                        CASE WHEN s.last_order_at <= now() THEN 'infinity' ELSE now() END)
           + CASE WHEN s.first_order_at <= l.year_start THEN coalesce(d.edge_spend, 0) ELSE 0 END
           + CASE WHEN s.last_order_at > now() THEN coalesce(d.month_spend, 0) ELSE 0 END AS spend) w
LEFT JOIN tier_member m ON m.customer_id = c.customer_id
LEFT JOIN points_account pa ON pa.customer_id = c.customer_id AND pa.program = 'points'
LEFT JOIN points_account ga ON ga.customer_id = c.customer_id AND ga.program = 'growth'
LEFT JOIN (SELECT p.customer_id, max(p.order_at) AS previous_order_at
           FROM purchase p JOIN customer_summary s ON s.customer_id = p.customer_id CROSS JOIN customer_360_basis l
           WHERE s.order_count > 1 AND s.last_order_at > l.returned_since AND s.last_order_at - s.first_order_at > make_interval(days => l.at_risk_limit) AND p.order_at < s.last_order_at
           GROUP BY p.customer_id) q ON q.customer_id = c.customer_id
CROSS JOIN LATERAL (
    SELECT lifecycle_stage(s.order_count, s.first_order_at, s.last_order_at, q.previous_order_at,
                           now(), l.time_zone, l.new_days, l.active_limit, l.dormant_limit, l.at_risk_limit, l.returned_days) AS lifecycle,
           -- again classes
) y
-- Everything that is counted from all orders, in one pass over them; what no column asks for is not counted.
LEFT JOIN (SELECT p.customer_id,
                  count(*) FILTER (WHERE p.order_at > l.window_start) AS orders_window, money_sum(p.net) FILTER (WHERE p.order_at > l.window_start) AS spend_window,
                  count(*) FILTER (WHERE p.discount > 0) AS promoted, latest(p.channel, p.order_at, p.order_no) AS last_channel,
                  buyer_summary((p.order_at AT TIME ZONE l.time_zone)::date, p.net::double precision, l.today, 7) FILTER (WHERE p.order_at <= now()) AS b
           FROM purchase p JOIN customer_360_basis l ON l.here = (p.order_at IS NOT NULL)
           -- In order the groups need no table, and what is looked up of them lies side by side: a table of many customers fits no cache.
           GROUP BY p.customer_id ORDER BY p.customer_id) o ON o.customer_id = c.customer_id
-- Where the window begins with each customer's own year; nothing is read where it does not.
LEFT JOIN (SELECT p.customer_id, count(*) AS orders_window, money_sum(p.net) AS spend_window
           FROM purchase p JOIN customer c ON c.customer_id = p.customer_id
           JOIN customer_360_basis l ON l.here = (p.order_at IS NOT NULL) AND l.tier_window = 'anniversary'
           WHERE p.order_at > last_anniversary(c.joined_at, now(), l.time_zone) - interval '1 microsecond'
           GROUP BY p.customer_id) x ON x.customer_id = c.customer_id
CROSS JOIN LATERAL (
    -- again lifetime
) z
LEFT JOIN (SELECT t.customer_id, (array_agg(t.category ORDER BY t.amount DESC, t.category) FILTER (WHERE t.category IS NOT NULL))[1] AS top_category,
                  round(max(t.amount) / nullif(sum(t.amount), 0), 4) AS top_category_share
           FROM (SELECT i.customer_id, i.category, sum(i.amount) AS amount FROM purchase_item i GROUP BY i.customer_id, i.category) t
           GROUP BY t.customer_id) i ON i.customer_id = c.customer_id
LEFT JOIN (SELECT b.customer_id, count(*) FILTER (WHERE b.kind = 'view') AS views_30d, count(*) FILTER (WHERE b.kind IN ('cart', 'favourite')) AS carts_30d
           FROM behavior_event b
           WHERE b.at > now() - interval '30 days'
           GROUP BY b.customer_id) n ON n.customer_id = c.customer_id
LEFT JOIN (SELECT b.customer_id, count(*) FILTER (WHERE b.kind = 'view' AND b.at <= s.last_order_at) AS views,
                  min(b.at) FILTER (WHERE b.kind = 'view' AND b.at <= s.last_order_at AND b.at > s.last_order_at - interval '30 days') AS first_look,
                  count(*) FILTER (WHERE b.kind = 'review_read') AS reviews_read
           FROM behavior_event b JOIN customer_summary s ON s.customer_id = b.customer_id
           GROUP BY b.customer_id) e ON e.customer_id = c.customer_id
LEFT JOIN (SELECT k.customer_id, count(*) FILTER (WHERE k.state NOT IN ('resolved', 'closed')) AS open_tickets,
                  (array_agg(k.satisfaction ORDER BY k.closed_at DESC NULLS LAST, k.ticket_id DESC) FILTER (WHERE k.satisfaction IS NOT NULL))[1] AS satisfaction
           FROM ticket k
           GROUP BY k.customer_id) k ON k.customer_id = c.customer_id
LEFT JOIN (SELECT a.customer_id, max(a.at) AS last_contact_at FROM interaction a GROUP BY a.customer_id) t ON t.customer_id = c.customer_id
WHERE c.status <> 'merged';
COMMENT ON VIEW customer_360_all IS 'the rows and columns of customer_360, made for passes over all customers: in parallel and without looking up each one. For one customer or a few ask customer_360';

CREATE FUNCTION customer_360_of(customer_id bigint) RETURNS SETOF customer_360
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
BEGIN
    RETURN QUERY SELECT v.* FROM customer_360 v WHERE v.customer_id = customer_360_of.customer_id;
END
$$;
COMMENT ON FUNCTION customer_360_of(bigint) IS 'the row of customer_360 for one customer, planned once in a session: for callers who cannot prepare statements. Reads with the rights of the caller';

CREATE FUNCTION customer_360_at(as_of timestamptz) RETURNS SETOF customer_360
LANGUAGE sql STABLE PARALLEL SAFE ROWS 100000
BEGIN ATOMIC
    SELECT c.customer_id, c.status, c.joined_at, c.occupation, c.region, c.influence, c.source, c.last_source, c.attributes, c.tags,
           s.order_count, s.spend_total, s.refunded_total, s.discount_total,
           s.spend_total - s.cost_total,
           round(s.spend_total / nullif(s.order_count, 0), 4),
           coalesce(w.orders, 0), coalesce(w.spend, 0),
           round(w.spend / nullif(w.orders, 0), 4),
           (SELECT count(*) FROM purchase p WHERE p.customer_id = c.customer_id AND p.order_at > window_start(customer_360_at.as_of, c.joined_at) AND p.order_at <= customer_360_at.as_of),
           (SELECT coalesce(money_sum(p.net), 0) FROM purchase p WHERE p.customer_id = c.customer_id AND p.order_at > window_start(customer_360_at.as_of, c.joined_at) AND p.order_at <= customer_360_at.as_of),
           s.first_order_at, s.last_order_at,
           (customer_360_at.as_of AT TIME ZONE l.time_zone)::date - (s.last_order_at AT TIME ZONE l.time_zone)::date,
           round((extract(epoch FROM s.last_order_at - s.first_order_at) / 86400 / nullif(s.order_count - 1, 0))::numeric, 2),
           s.last_order_at + (s.last_order_at - s.first_order_at) / nullif(s.order_count - 1, 0),
           round(s.refunded_total / nullif(s.spend_total + s.refunded_total, 0), 4),
           round(s.discount_total / nullif(s.spend_total + s.discount_total, 0), 4),
           (SELECT round(count(*) FILTER (WHERE p.discount > 0)::numeric / nullif(count(*), 0), 4)
            FROM purchase p WHERE p.customer_id = c.customer_id AND p.order_at <= customer_360_at.as_of),
           (SELECT p.channel FROM purchase p WHERE p.customer_id = c.customer_id AND p.order_at <= customer_360_at.as_of ORDER BY p.order_at DESC, p.order_no LIMIT 1),
           (SELECT i.category FROM purchase_item i JOIN purchase p ON (p.customer_id, p.channel, p.order_no) = (i.customer_id, i.channel, i.order_no)
            WHERE i.customer_id = c.customer_id AND i.category IS NOT NULL AND p.order_at <= customer_360_at.as_of
            GROUP BY i.category ORDER BY sum(i.amount) DESC, i.category LIMIT 1),
           (SELECT round(max(t.amount) / nullif(sum(t.amount), 0), 4)
            FROM (SELECT sum(i.amount) AS amount FROM purchase_item i JOIN purchase p ON (p.customer_id, p.channel, p.order_no) = (i.customer_id, i.channel, i.order_no)
                  WHERE i.customer_id = c.customer_id AND p.order_at <= customer_360_at.as_of GROUP BY i.category) t),
           (SELECT count(*) FROM behavior_event e WHERE e.customer_id = c.customer_id AND e.kind = 'view'
            AND e.at > customer_360_at.as_of - interval '30 days' AND e.at <= customer_360_at.as_of),
           (SELECT count(*) FROM behavior_event e WHERE e.customer_id = c.customer_id AND e.kind IN ('cart', 'favourite')
            AND e.at > customer_360_at.as_of - interval '30 days' AND e.at <= customer_360_at.as_of),
           (SELECT round(count(*)::numeric / nullif(s.order_count, 0), 2) FROM behavior_event e
            WHERE e.customer_id = c.customer_id AND e.kind = 'view' AND e.at <= s.last_order_at),
           (SELECT round((extract(epoch FROM s.last_order_at - min(e.at)) / 60)::numeric, 1) FROM behavior_event e
            WHERE e.customer_id = c.customer_id AND e.kind = 'view' AND e.at <= s.last_order_at AND e.at > s.last_order_at - interval '30 days'),
           (SELECT count(*) FROM behavior_event e WHERE e.customer_id = c.customer_id AND e.kind = 'review_read' AND e.at <= customer_360_at.as_of),
           points_balance_at(c.customer_id, customer_360_at.as_of, 'points'),
           CASE WHEN pa.next_due <= now() THEN (points_now(pa, now())).pending ELSE coalesce(pa.pending, 0) END,
           growth_between(c.customer_id, year_before(customer_360_at.as_of), customer_360_at.as_of),
           tier_at(c.customer_id, customer_360_at.as_of),
           (SELECT h.at FROM tier_change h WHERE h.customer_id = c.customer_id AND h.at <= customer_360_at.as_of ORDER BY h.at DESC, h.change_no DESC LIMIT 1),
           (SELECT h.period_end FROM tier_change h WHERE h.customer_id = c.customer_id AND h.at <= customer_360_at.as_of ORDER BY h.at DESC, h.change_no DESC LIMIT 1),
           y.lifecycle, y.rfm, rfm_segment(y.rfm, r.model, l.rfm_scheme, l.language),
           z.p_alive, z.expected_orders_12m, z.clv, 1 - z.p_alive,
           y.value_class,
           CASE WHEN s.order_count > 0 THEN 'closed'
                WHEN EXISTS (SELECT FROM purchase p WHERE p.customer_id = c.customer_id) THEN 'unclosed'
                WHEN EXISTS (SELECT FROM behavior_event e WHERE e.customer_id = c.customer_id AND e.kind = 'inquiry')
                     OR EXISTS (SELECT FROM interaction i WHERE i.customer_id = c.customer_id AND i.direction = 'in') THEN 'inquiry'
                ELSE 'unclosed' END,
           CASE WHEN s.order_count = 0 THEN NULL
                WHEN y.lifecycle = 'churned' THEN 'lost'
                WHEN y.value_class = 'high' AND s.order_count >= 3 THEN 'mature'
                WHEN s.order_count >= 2 AND (SELECT sum(CASE WHEN p.order_at > customer_360_at.as_of - interval '6 months' THEN p.net ELSE -p.net END)
                                             FROM purchase p WHERE p.customer_id = c.customer_id AND p.order_at > customer_360_at.as_of - interval '12 months'
                                               AND p.order_at <= customer_360_at.as_of) > 0 THEN 'growing'
                ELSE 'ordinary' END,
           (SELECT count(*) FROM ticket k WHERE k.customer_id = c.customer_id AND k.opened_at <= customer_360_at.as_of
              AND (coalesce(k.resolved_at, k.closed_at) IS NULL OR coalesce(k.resolved_at, k.closed_at) > customer_360_at.as_of)),
           (SELECT max(i.at) FROM interaction i WHERE i.customer_id = c.customer_id AND i.at <= customer_360_at.as_of),
           (SELECT k.satisfaction FROM ticket k WHERE k.customer_id = c.customer_id AND k.satisfaction IS NOT NULL AND k.closed_at <= customer_360_at.as_of
            ORDER BY k.closed_at DESC, k.ticket_id DESC LIMIT 1)
    FROM customer c
    JOIN customer_orders_at(customer_360_at.as_of) s ON s.customer_id = c.customer_id
    CROSS JOIN (SELECT g.*, k.active_days AS active_limit, k.dormant_days AS dormant_limit, k.at_risk_days AS at_risk_limit
                FROM settings g CROSS JOIN lifecycle_limits k) l
    LEFT JOIN summary_window(customer_360_at.as_of, 12) w ON w.customer_id = c.customer_id
    -- As customer_rfm_at and customer_value have it, but so that the planner can see that each is one row, and leaves out what nobody reads.
    LEFT JOIN rfm_fit r ON r.rfm_fit_id = (SELECT o.rfm_fit_id FROM rfm_fit o
                                           ORDER BY o.as_of <= customer_360_at.as_of DESC, abs(extract(epoch FROM o.as_of - customer_360_at.as_of)), o.rfm_fit_id DESC
                                           LIMIT 1)
    LEFT JOIN value_model f ON f.value_model_id = (SELECT o.value_model_id FROM value_model o WHERE o.state = 'ok'
                                                   ORDER BY o.as_of <= customer_360_at.as_of DESC, abs(extract(epoch FROM o.as_of - customer_360_at.as_of)), o.value_model_id DESC
                                                   LIMIT 1)
    LEFT JOIN (SELECT p.customer_id, buyer_summary((p.order_at AT TIME ZONE t.time_zone)::date, p.net::double precision,
                                                   (customer_360_at.as_of AT TIME ZONE t.time_zone)::date, 7) AS b
               FROM purchase p CROSS JOIN settings t
               WHERE p.order_at <= customer_360_at.as_of
               GROUP BY p.customer_id) h ON h.customer_id = c.customer_id
    LEFT JOIN points_account pa ON pa.customer_id = c.customer_id AND pa.program = 'points'
    CROSS JOIN LATERAL (
        SELECT lifecycle_stage(s.order_count, s.first_order_at, s.last_order_at,
                               CASE WHEN s.order_count > 1 AND s.last_order_at > customer_360_at.as_of - make_interval(days => l.returned_days + 2)
                                         AND s.last_order_at - s.first_order_at > make_interval(days => l.at_risk_limit)
                                    THEN (SELECT max(p.order_at) FILTER (WHERE p.order_at < s.last_order_at) FROM purchase p WHERE p.customer_id = c.customer_id) END,
                               customer_360_at.as_of, l.time_zone, l.new_days, l.active_limit, l.dormant_limit, l.at_risk_limit, l.returned_days) AS lifecycle,
               value_class(c.customer_id, coalesce(w.spend, 0), coalesce(w.orders, 0), s.spend_total - s.cost_total, s.last_order_at, customer_360_at.as_of,
                           l.value_at_risk_months, (SELECT v FROM value_limits_at(customer_360_at.as_of) v)) AS value_class,
               CASE WHEN s.order_count > 0 THEN
                   rfm_score(r.model, (customer_360_at.as_of AT TIME ZONE l.time_zone)::date - (s.last_order_at AT TIME ZONE l.time_zone)::date,
                             s.order_count, s.spend_total) END AS rfm) y
    CROSS JOIN LATERAL (
        SELECT CASE l.lifetime_model WHEN 'bgnbd' THEN p_alive(f.bgnbd, (h.b).x, (h.b).t_x, (h.b).t)
                                     ELSE p_alive(f.pareto_nbd, (h.b).x, (h.b).t_x, (h.b).t) END AS p_alive,
               CASE l.lifetime_model WHEN 'bgnbd' THEN expected_purchases(f.bgnbd, 365.0 / 7, (h.b).x, (h.b).t_x, (h.b).t)
                                     ELSE expected_purchases(f.pareto_nbd, 365.0 / 7, (h.b).x, (h.b).t_x, (h.b).t) END AS expected_orders_12m,
               round(CASE l.lifetime_model
                         WHEN 'bgnbd' THEN clv(f.bgnbd, f.gamma_gamma, (h.b).x, (h.b).t_x, (h.b).t, (h.b).mean, l.lifetime_months, l.lifetime_discount, 4.345)
                         ELSE clv(f.pareto_nbd, f.gamma_gamma, (h.b).x, (h.b).t_x, (h.b).t, (h.b).mean, l.lifetime_months, l.lifetime_discount, 4.345) END::numeric, 2) AS clv) z
    WHERE c.status <> 'merged' AND c.joined_at <= greatest(customer_360_at.as_of, c.joined_at);
END;
COMMENT ON FUNCTION customer_360_at(timestamptz) IS
'customer_360 as of a moment: orders, points, growth, tier and classes as they were, by the orders and refunds known today; attributes, tags and status as they are now';

CREATE FUNCTION describe_columns() RETURNS TABLE (name name, type text, meaning text)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT a.attname, format_type(a.atttypid, a.atttypmod), col_description(a.attrelid, a.attnum)
    FROM pg_attribute a
    WHERE a.attrelid = 'customer_360'::regclass AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
$$;
COMMENT ON FUNCTION describe_columns() IS 'the columns of customer_360 that rules may name, with type and meaning';

COMMENT ON COLUMN customer_360.customer_id IS 'the customer';
COMMENT ON COLUMN customer_360.status IS 'active, restricted or erased';
COMMENT ON COLUMN customer_360.joined_at IS 'when the customer became known';
COMMENT ON COLUMN customer_360.occupation IS 'occupation';
COMMENT ON COLUMN customer_360.region IS 'region';
COMMENT ON COLUMN customer_360.influence IS 'reach in social media as staff judge it, 0 to 5';
COMMENT ON COLUMN customer_360.source IS 'where the customer came from first';
COMMENT ON COLUMN customer_360.last_source IS 'where the customer came from last';
COMMENT ON COLUMN customer_360.attributes IS 'the shop''s own fields; in rules: attributes ->> ''key''';
COMMENT ON COLUMN customer_360.tags IS 'tags; in rules: tags ? ''vip'', tags @@ ''vip & !churned''';
COMMENT ON COLUMN customer_360.order_count IS 'orders that count: paid and not refunded in full';
COMMENT ON COLUMN customer_360.spend_total IS 'spend in all, net of refunds, without freight';
COMMENT ON COLUMN customer_360.refunded_total IS 'given back in all';
COMMENT ON COLUMN customer_360.discount_total IS 'discounts in all';
COMMENT ON COLUMN customer_360.margin_total IS 'spend less known cost';
COMMENT ON COLUMN customer_360.avg_order IS 'spend an order';
COMMENT ON COLUMN customer_360.orders_12m IS 'orders in the last 12 months';
COMMENT ON COLUMN customer_360.spend_12m IS 'spend in the last 12 months';
COMMENT ON COLUMN customer_360.avg_order_12m IS 'spend an order in the last 12 months';
COMMENT ON COLUMN customer_360.orders_window IS 'orders in the window of the tiers (settings.tier_window)';
COMMENT ON COLUMN customer_360.spend_window IS 'spend in the window of the tiers (settings.tier_window)';
COMMENT ON COLUMN customer_360.first_order_at IS 'first order';
COMMENT ON COLUMN customer_360.last_order_at IS 'last order';
COMMENT ON COLUMN customer_360.days_since_order IS 'days since the last order, in the store''s time zone';
COMMENT ON COLUMN customer_360.avg_gap_days IS 'average days between orders; null before the second';
COMMENT ON COLUMN customer_360.next_order_at IS 'when the next order would come by the average gap';
COMMENT ON COLUMN customer_360.return_rate IS 'refunds as a share of what was paid, 0 to 1';
COMMENT ON COLUMN customer_360.discount_share IS 'discounts as a share of the price before, 0 to 1';
COMMENT ON COLUMN customer_360.promotion_share IS 'share of the orders with a discount, 0 to 1';
COMMENT ON COLUMN customer_360.last_channel IS 'channel of the last order';
COMMENT ON COLUMN customer_360.top_category IS 'category with the most money';
COMMENT ON COLUMN customer_360.top_category_share IS 'its share of the money, 0 to 1';
COMMENT ON COLUMN customer_360.views_30d IS 'goods looked at in the last 30 days';
COMMENT ON COLUMN customer_360.carts_30d IS 'goods put in the cart or among the favourites in the last 30 days';
COMMENT ON COLUMN customer_360.views_per_order IS 'goods looked at for each order';
COMMENT ON COLUMN customer_360.minutes_to_order IS 'minutes from the first look to the last order, within 30 days';
COMMENT ON COLUMN customer_360.reviews_read IS 'reviews read';
COMMENT ON COLUMN customer_360.points IS 'points to spend';
COMMENT ON COLUMN customer_360.points_pending IS 'points that wait for the completion of orders';
COMMENT ON COLUMN customer_360.growth IS 'growth value of the last 12 months';
COMMENT ON COLUMN customer_360.tier IS 'tier';
COMMENT ON COLUMN customer_360.tier_since IS 'since when';
COMMENT ON COLUMN customer_360.tier_until IS 'end of its cycle, exclusive';
COMMENT ON COLUMN customer_360.lifecycle IS 'prospect, new, active, dormant, at_risk, churned, returned';
COMMENT ON COLUMN customer_360.rfm IS 'scores of recency, frequency, monetary value, such as 5-4-3; null before refit_rfm';
COMMENT ON COLUMN customer_360.rfm_segment IS 'segment of the scores';
COMMENT ON COLUMN customer_360.p_alive IS 'probability of being still a customer, 0 to 1, by the last refit of the value models; null while there is too little data';
COMMENT ON COLUMN customer_360.expected_orders_12m IS 'orders expected in the next 12 months';
COMMENT ON COLUMN customer_360.clv IS 'value expected in the next 12 months, discounted';
COMMENT ON COLUMN customer_360.churn_risk IS '1 - p_alive';
COMMENT ON COLUMN customer_360.value_class IS 'at_risk, high, middle, low, by contribution of 12 months; null for who never bought';
COMMENT ON COLUMN customer_360.relation IS 'closed (成交), unclosed (未成交), inquiry (询单)';
COMMENT ON COLUMN customer_360.service_grade IS 'ordinary, growing, mature, lost';
COMMENT ON COLUMN customer_360.open_tickets IS 'tickets that are neither resolved nor closed';
COMMENT ON COLUMN customer_360.last_contact_at IS 'last message or call, in or out';
COMMENT ON COLUMN customer_360.satisfaction IS 'with the last closed case, 1 to 5';

CREATE VIEW customer_lifecycle AS
SELECT v.customer_id, v.lifecycle,
       CASE v.lifecycle WHEN 'prospect' THEN 'potential' WHEN 'new' THEN 'new' WHEN 'active' THEN 'active' WHEN 'returned' THEN 'active'
                        WHEN 'churned' THEN 'lost' ELSE 'dormant' END AS stage,
       CASE v.lifecycle WHEN 'prospect' THEN '潜在' WHEN 'new' THEN '新' WHEN 'active' THEN '活跃' WHEN 'returned' THEN '活跃'
                        WHEN 'churned' THEN '流失' ELSE '沉睡' END AS stage_zh
FROM customer_360 v;
COMMENT ON VIEW customer_lifecycle IS 'stage of each customer now, beside the five stages of the trade (潜在, 新, 活跃, 沉睡, 流失): at_risk is 沉睡, returned is 活跃';
