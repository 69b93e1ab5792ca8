-- What the owner of the shop looks at. All are views of now; days and months are those of the store's time zone.

-- Interactions and complaints count as signs of loss.
CREATE OR REPLACE VIEW customer_contact_event AS
SELECT e.customer_id, e.at FROM behavior_event e
UNION ALL
SELECT i.customer_id, i.at FROM interaction i WHERE i.direction = 'in';
CREATE OR REPLACE VIEW customer_open_complaint AS
SELECT t.customer_id, min(t.opened_at) AS since
FROM ticket t
WHERE t.kind = 'complaint' AND t.state NOT IN ('resolved', 'closed')
GROUP BY t.customer_id;

ALTER TABLE settings
    ADD COLUMN price_bands numeric[] NOT NULL DEFAULT '{0,50,100,200,500,1000,2000}' CHECK (cardinality(price_bands) BETWEEN 1 AND 50 AND array_position(price_bands, NULL) IS NULL);
COMMENT ON COLUMN settings.price_bands IS 'ascending lower limits of the bands of report_price_band';

CREATE VIEW purchase_day AS
SELECT p.customer_id, (p.order_at AT TIME ZONE s.time_zone)::date AS day, count(*) AS orders, sum(p.net) AS spend
FROM purchase p CROSS JOIN settings s
WHERE p.order_at IS NOT NULL
GROUP BY 1, 2;
COMMENT ON VIEW purchase_day IS 'the days on which each customer bought, in the store''s time zone';

CREATE VIEW report_cohort AS
WITH months AS (
    SELECT d.customer_id, date_trunc('month', d.day)::date AS month, sum(d.orders) AS orders, sum(d.spend) AS spend
    FROM purchase_day d GROUP BY 1, 2
), born AS (
    SELECT m.customer_id, min(m.month) AS cohort FROM months m GROUP BY 1
), size AS (
    SELECT b.cohort, count(*) AS customers FROM born b GROUP BY 1
), grid AS (
    SELECT z.cohort, z.customers, g.month::date AS month
    FROM size z, LATERAL generate_series(z.cohort::timestamp, (SELECT max(m.month) FROM months m)::timestamp, interval '1 month') g (month)
), seen AS (
    SELECT b.cohort, m.month, count(*) AS buyers, sum(m.orders) AS orders, sum(m.spend) AS spend
    FROM months m JOIN born b USING (customer_id) GROUP BY 1, 2
)
SELECT g.cohort,
       (extract(year FROM age(g.month, g.cohort)) * 12 + extract(month FROM age(g.month, g.cohort)))::integer AS months_after,
       g.customers,
       coalesce(n.buyers, 0) AS buyers,
       round(coalesce(n.buyers, 0)::numeric / g.customers, 4) AS retention,
       coalesce(n.orders, 0)::bigint AS orders,
       coalesce(n.spend, 0) AS spend,
       round(sum(coalesce(n.spend, 0)) OVER (PARTITION BY g.cohort ORDER BY g.month) / g.customers, 2) AS spend_per_customer
FROM grid g LEFT JOIN seen n USING (cohort, month);
COMMENT ON VIEW report_cohort IS
'customers by the month of their first order: how many bought again each month after, what they spent, and what a customer of the cohort has brought up to then';

CREATE VIEW report_repurchase AS
WITH steps AS (
    SELECT d.customer_id, d.day, row_number() OVER w AS n, d.day - lag(d.day) OVER w AS gap
    FROM purchase_day d WINDOW w AS (PARTITION BY d.customer_id ORDER BY d.day)
), year AS (
    SELECT count(*) AS buyers, count(*) FILTER (WHERE w.orders_12m > 1) AS repeat
    FROM customer_window w WHERE w.orders_12m > 0
)
SELECT count(*) FILTER (WHERE t.n = 1) AS buyers,
       count(*) FILTER (WHERE t.n = 2) AS repeat_buyers,
       round(count(*) FILTER (WHERE t.n = 2)::numeric / nullif(count(*) FILTER (WHERE t.n = 1), 0), 4) AS repurchase_rate,
       max(y.buyers) AS buyers_12m,
       max(y.repeat) AS repeat_buyers_12m,
       round(max(y.repeat)::numeric / nullif(max(y.buyers), 0), 4) AS repurchase_rate_12m,
       round(avg(t.gap), 1) AS mean_gap,
       percentile_disc(0.5) WITHIN GROUP (ORDER BY t.gap) AS median_gap,
       percentile_disc(0.9) WITHIN GROUP (ORDER BY t.gap) AS p90_gap,
       round(count(*) FILTER (WHERE t.n = 2 AND t.gap <= 30)::numeric / nullif(count(*) FILTER (WHERE t.n = 1), 0), 4) AS second_within_30,
       round(count(*) FILTER (WHERE t.n = 2 AND t.gap <= 90)::numeric / nullif(count(*) FILTER (WHERE t.n = 1), 0), 4) AS second_within_90,
       round(count(*) FILTER (WHERE t.n = 2 AND t.gap <= 365)::numeric / nullif(count(*) FILTER (WHERE t.n = 1), 0), 4) AS second_within_365
FROM steps t CROSS JOIN year y;
COMMENT ON VIEW report_repurchase IS
'how many buyers bought again (orders of one day are one; in the last 12 months: orders), how many days lie between, and which part came back soon after the first order';

CREATE VIEW report_new_returning AS
SELECT date_trunc('month', p.order_at AT TIME ZONE s.time_zone)::date AS month,
       count(*) AS orders,
       sum(p.net) AS spend,
       count(DISTINCT p.customer_id) AS buyers,
       count(DISTINCT p.customer_id) FILTER (WHERE f.month = date_trunc('month', p.order_at AT TIME ZONE s.time_zone)) AS new_buyers,
       coalesce(sum(p.net) FILTER (WHERE f.month = date_trunc('month', p.order_at AT TIME ZONE s.time_zone)), 0) AS new_spend,
       count(DISTINCT p.customer_id) FILTER (WHERE f.month < date_trunc('month', p.order_at AT TIME ZONE s.time_zone)) AS returning_buyers,
       coalesce(sum(p.net) FILTER (WHERE f.month < date_trunc('month', p.order_at AT TIME ZONE s.time_zone)), 0) AS returning_spend
FROM purchase p
CROSS JOIN settings s
JOIN (SELECT c.customer_id, date_trunc('month', c.first_order_at AT TIME ZONE z.time_zone) AS month
      FROM customer_summary c CROSS JOIN settings z) f USING (customer_id)
WHERE p.order_at IS NOT NULL
GROUP BY 1;
COMMENT ON VIEW report_new_returning IS 'each month''s orders, by buyers whose first order fell in it and by those who had bought before';

CREATE FUNCTION source_above() RETURNS TABLE (source text, ancestor text)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH RECURSIVE above AS (
        SELECT s.source, s.source AS ancestor FROM source s
        UNION
        SELECT a.source, s.parent FROM above a JOIN source s ON s.source = a.ancestor WHERE s.parent IS NOT NULL
    )
    SELECT a.source, a.ancestor FROM above a;
END;
COMMENT ON FUNCTION source_above() IS 'the sources, each with itself and every source above it in the tree';

CREATE VIEW report_source AS
WITH who AS (
    SELECT c.source, count(*) AS customers, count(*) FILTER (WHERE u.order_count > 0) AS buyers,
           count(*) FILTER (WHERE u.order_count > 1) AS repeat_buyers, sum(u.order_count)::bigint AS orders, sum(u.spend_total) AS spend,
           sum(v.clv) AS clv, count(v.clv) AS valued
    FROM customer c
    JOIN customer_summary u USING (customer_id)
    LEFT JOIN customer_value() v USING (customer_id)
    WHERE c.status IN ('active', 'restricted')
    GROUP BY 1
), cost AS (
    SELECT k.source, sum(k.cost) AS cost FROM source_cost k GROUP BY 1
)
SELECT t.source, t.depth, CASE g.language WHEN 'zh' THEN t.name_zh ELSE t.name_en END AS name, t.paid,
       coalesce(sum(w.customers), 0)::bigint AS customers,
       coalesce(sum(w.buyers), 0)::bigint AS buyers,
       round(sum(w.buyers) / nullif(sum(w.customers), 0), 4) AS conversion,
       coalesce(sum(w.orders), 0)::bigint AS orders,
       coalesce(sum(w.spend), 0) AS spend,
       round(sum(w.spend) / nullif(sum(w.orders), 0), 2) AS avg_order,
       round(sum(w.repeat_buyers) / nullif(sum(w.buyers), 0), 4) AS repurchase_rate,
       round(sum(w.clv) / nullif(sum(w.valued), 0), 2) AS avg_clv,
       coalesce(sum(k.cost), 0) AS cost,
       round(sum(k.cost) / nullif(sum(w.customers), 0), 2) AS cost_per_customer,
       round(sum(k.cost) / nullif(sum(w.buyers), 0), 2) AS cost_per_buyer,
       round((sum(w.spend) + coalesce(sum(w.clv), 0)) / nullif(sum(k.cost), 0), 2) AS value_over_cost,
       round(sum(w.clv) / nullif(sum(k.cost), 0), 2) AS clv_over_cost
FROM source_tree() t
JOIN source_above() a ON a.ancestor = t.source
LEFT JOIN who w ON w.source = a.source
LEFT JOIN cost k ON k.source = a.source
CROSS JOIN settings g
GROUP BY t.source, t.depth, t.name_zh, t.name_en, t.paid, g.language;
COMMENT ON VIEW report_source IS
'sources of the first touch, each with all below it: how many customers came, how many of them bought and bought again, what they spent and are expected to, and what the source cost. value_over_cost counts spend so far and lifetime value ahead, clv_over_cost the latter alone';

CREATE VIEW report_channel AS
SELECT p.channel,
       count(DISTINCT p.customer_id) FILTER (WHERE p.order_at IS NOT NULL) AS buyers,
       count(DISTINCT p.customer_id) FILTER (WHERE p.order_at = u.first_order_at) AS new_buyers,
       count(p.order_at) AS orders,
       sum(p.net) AS spend,
       round(sum(p.net) / nullif(count(p.order_at), 0), 2) AS avg_order,
       round(count(p.order_at)::numeric / nullif(count(DISTINCT p.customer_id) FILTER (WHERE p.order_at IS NOT NULL), 0), 2) AS orders_per_buyer,
       sum(p.refunded) AS refunded,
       round(sum(p.refunded) / nullif(sum(p.amount) FILTER (WHERE p.status NOT IN ('pending', 'cancelled')), 0), 4) AS refund_rate
FROM purchase p JOIN customer_summary u USING (customer_id)
GROUP BY 1;
COMMENT ON VIEW report_channel IS 'orders by the channel they came through; new_buyers are those whose first order of all it brought';

CREATE VIEW report_value_pyramid AS
WITH year AS (
    SELECT w.customer_id, w.spend_12m AS spend FROM customer_window w WHERE w.orders_12m > 0
), ranked AS (
    SELECT y.spend, row_number() OVER (ORDER BY y.spend DESC, y.customer_id) AS n, count(*) OVER () AS customers, sum(y.spend) OVER () AS total
    FROM year y
), banded AS (
    SELECT r.*, CASE WHEN r.n <= ceil(r.customers * 0.01) THEN 1 WHEN r.n <= ceil(r.customers * 0.05) THEN 5 WHEN r.n <= ceil(r.customers * 0.20) THEN 20
                     WHEN r.n <= ceil(r.customers * 0.50) THEN 50 ELSE 100 END AS top_percent
    FROM ranked r
)
SELECT b.top_percent, count(*) AS customers, sum(b.spend) AS spend,
       round(sum(b.spend) / nullif(max(b.total), 0), 4) AS share,
       round(sum(sum(b.spend)) OVER (ORDER BY b.top_percent) / nullif(max(b.total), 0), 4) AS cumulative_share,
       round(sum(b.spend) / count(*), 2) AS spend_per_customer,
       min(b.spend) AS from_spend
FROM banded b GROUP BY b.top_percent;
COMMENT ON VIEW report_value_pyramid IS
'buyers of the last 12 months by spend, dearest first, ties by id: the top 1 %, then up to 5, 20, 50 and 100 %. cumulative_share at top_percent 20 is the real figure behind 20/80';

CREATE VIEW customer_category AS
SELECT i.customer_id, i.category, count(DISTINCT (i.channel, i.order_no)) AS orders, sum(i.quantity) AS quantity, sum(i.amount) AS spend,
       round(sum(i.amount) / nullif(sum(sum(i.amount)) OVER w, 0), 4) AS share,
       row_number() OVER (PARTITION BY i.customer_id ORDER BY sum(i.amount) DESC, i.category)::integer AS rank
FROM purchase_item i JOIN purchase p USING (customer_id, channel, order_no)
WHERE p.order_at IS NOT NULL AND i.category IS NOT NULL
GROUP BY i.customer_id, i.category
WINDOW w AS (PARTITION BY i.customer_id);
COMMENT ON VIEW customer_category IS 'what each customer prefers: categories by spend';

CREATE VIEW report_category AS
SELECT c.category, count(*) AS buyers, count(*) FILTER (WHERE c.orders > 1) AS repeat_buyers,
       round(count(*) FILTER (WHERE c.orders > 1)::numeric / count(*), 4) AS repurchase_rate,
       count(*) FILTER (WHERE c.rank = 1) AS favourite_of,
       sum(c.orders)::bigint AS orders, sum(c.quantity) AS quantity, sum(c.spend) AS spend,
       round(sum(c.spend) / nullif(sum(sum(c.spend)) OVER (), 0), 4) AS share
FROM customer_category c GROUP BY c.category;
COMMENT ON VIEW report_category IS 'categories: who buys them, buys them again, and likes them best';

CREATE VIEW report_price_band AS
SELECT b.low AS from_amount, b.high AS to_amount, count(p.order_at) AS orders, count(DISTINCT p.customer_id) AS buyers,
       coalesce(sum(p.net), 0) AS spend,
       round(count(p.order_at) / nullif(sum(count(p.order_at)) OVER (), 0), 4) AS share_of_orders
FROM (SELECT l.low, lead(l.low) OVER (ORDER BY l.low) AS high FROM settings s, LATERAL unnest(s.price_bands) l (low)) b
LEFT JOIN purchase p ON p.order_at IS NOT NULL AND p.amount >= b.low AND (b.high IS NULL OR p.amount < b.high)
GROUP BY b.low, b.high;
COMMENT ON VIEW report_price_band IS 'orders by their amount, in the bands of settings.price_bands (from, up to but without)';

CREATE VIEW report_hour AS
SELECT extract(isodow FROM p.order_at AT TIME ZONE s.time_zone)::integer AS weekday,
       extract(hour FROM p.order_at AT TIME ZONE s.time_zone)::integer AS hour,
       count(*) AS orders, count(DISTINCT p.customer_id) AS buyers, sum(p.net) AS spend
FROM purchase p CROSS JOIN settings s
WHERE p.order_at IS NOT NULL
GROUP BY 1, 2;
COMMENT ON VIEW report_hour IS 'when orders come: weekday (1 Monday to 7 Sunday) and hour of the store''s time zone';

CREATE FUNCTION category_forecast(days integer DEFAULT 30, as_of timestamptz DEFAULT now())
RETURNS TABLE (category text, expected_orders numeric, buyers bigint, orders_before bigint)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH lines AS (
        SELECT DISTINCT i.customer_id, i.channel, i.order_no, i.category, p.order_at
        FROM purchase_item i JOIN purchase p USING (customer_id, channel, order_no)
        WHERE p.order_at <= category_forecast.as_of AND i.category IS NOT NULL
    ), shares AS (
        -- Which part of a customer's orders held the category.
        SELECT l.customer_id, l.category, count(*)::numeric / nullif(o.orders, 0) AS share
        FROM lines l
        JOIN (SELECT p.customer_id, count(*) AS orders FROM purchase p WHERE p.order_at <= category_forecast.as_of GROUP BY 1) o USING (customer_id)
        GROUP BY l.customer_id, l.category, o.orders
    ), ahead AS (
        SELECT h.customer_id,
               CASE s.lifetime_model WHEN 'bgnbd' THEN expected_purchases(m.bgnbd, category_forecast.days / 7.0, h.x, h.t_x, h.t)
                                     ELSE expected_purchases(m.pareto_nbd, category_forecast.days / 7.0, h.x, h.t_x, h.t) END AS orders
        FROM buyer_history(category_forecast.as_of) h
        CROSS JOIN settings s
        JOIN value_model m ON m.value_model_id = (
            SELECT l.value_model_id FROM value_model l WHERE l.state = 'ok'
            ORDER BY l.as_of <= category_forecast.as_of DESC, abs(extract(epoch FROM l.as_of - category_forecast.as_of)), l.value_model_id DESC
            LIMIT 1)
    )
    SELECT h.category, round(sum(a.orders::numeric * h.share), 2), count(*),
           (SELECT count(*) FROM lines l WHERE l.category = h.category
                                           AND l.order_at > category_forecast.as_of - make_interval(days => category_forecast.days))
    FROM shares h JOIN ahead a USING (customer_id)
    GROUP BY h.category
    ORDER BY 2 DESC, 1;
END;
COMMENT ON FUNCTION category_forecast(integer, timestamptz) IS
'orders expected to hold each category in the next days: of each buyer the purchases the model in force expects, times the part of the buyer''s orders that held it. orders_before are those of as many days before. New customers are not in it; no rows before refit_value_models has succeeded';

CREATE VIEW report_category_forecast AS
SELECT f.category, f.expected_orders, f.buyers, f.orders_before FROM category_forecast(30) f;
COMMENT ON VIEW report_category_forecast IS 'orders expected by category in the next 30 days, for stock and supply; see category_forecast()';
