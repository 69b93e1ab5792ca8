-- Tiers and membership in figures. Days and months are those of the store's time zone.

CREATE VIEW report_tier AS
WITH held AS (
    SELECT coalesce(m.tier, (SELECT b.tier FROM tier b ORDER BY b.seq LIMIT 1)) AS tier,
           count(*) AS customers,
           count(*) FILTER (WHERE w.orders_12m > 0) AS buyers_12m,
           count(*) FILTER (WHERE w.orders_12m > 1) AS repeat_buyers_12m,
           coalesce(sum(w.orders_12m), 0)::bigint AS orders_12m,
           coalesce(sum(w.spend_12m), 0) AS spend_12m
    FROM customer c
    JOIN customer_window w USING (customer_id)
    LEFT JOIN tier_member m USING (customer_id)
    WHERE c.status IN ('active', 'restricted')
    GROUP BY 1
)
SELECT t.seq, t.tier, CASE s.language WHEN 'zh' THEN t.name_zh ELSE t.name_en END AS name,
       coalesce(h.customers, 0) AS customers,
       round(coalesce(h.customers, 0) / nullif(sum(h.customers) OVER (), 0), 4) AS share,
       coalesce(h.buyers_12m, 0) AS buyers_12m,
       round(h.repeat_buyers_12m::numeric / nullif(h.buyers_12m, 0), 4) AS repurchase_rate_12m,
       coalesce(h.orders_12m, 0) AS orders_12m,
       coalesce(h.spend_12m, 0) AS spend_12m,
       round(coalesce(h.spend_12m, 0) / nullif(sum(h.spend_12m) OVER (), 0), 4) AS share_of_spend,
       round(h.spend_12m / nullif(h.orders_12m, 0), 2) AS avg_order_12m
FROM tier t CROSS JOIN settings s LEFT JOIN held h USING (tier);
COMMENT ON VIEW report_tier IS 'how the customers stand on the ladder of tiers, and what each tier bought in the last 12 months';

CREATE VIEW report_tier_migration AS
SELECT date_trunc('month', c.at AT TIME ZONE s.time_zone)::date AS month, c.from_tier, c.to_tier, c.reason,
       CASE WHEN t.seq > f.seq THEN 'up' WHEN t.seq < f.seq THEN 'down' ELSE 'same' END AS direction,
       count(*) AS changes, count(DISTINCT c.customer_id) AS customers
FROM tier_change c
CROSS JOIN settings s
LEFT JOIN tier f ON f.tier = c.from_tier
LEFT JOIN tier t ON t.tier = c.to_tier
GROUP BY 1, 2, 3, 4, 5;
COMMENT ON VIEW report_tier_migration IS 'who moved from tier to tier each month, and why';

CREATE VIEW report_membership AS
WITH people AS (
    SELECT coalesce(m.tier, b.tier) <> b.tier AS member, w.orders_12m, w.spend_12m
    FROM customer c
    JOIN customer_window w USING (customer_id)
    LEFT JOIN tier_member m USING (customer_id)
    CROSS JOIN (SELECT t.tier FROM tier t ORDER BY t.seq LIMIT 1) b
    WHERE c.status IN ('active', 'restricted') AND w.orders_12m > 0
)
SELECT p.member, count(*) AS buyers_12m,
       count(*) FILTER (WHERE p.orders_12m > 1) AS repeat_buyers_12m,
       round(count(*) FILTER (WHERE p.orders_12m > 1)::numeric / count(*), 4) AS repurchase_rate_12m,
       round(sum(p.orders_12m)::numeric / count(*), 2) AS orders_per_buyer,
       round(sum(p.spend_12m) / nullif(sum(p.orders_12m), 0), 2) AS avg_order_12m,
       round(sum(p.spend_12m) / count(*), 2) AS spend_per_buyer,
       round(sum(p.spend_12m) / nullif(sum(sum(p.spend_12m)) OVER (), 0), 4) AS share_of_spend
FROM people p GROUP BY p.member;
COMMENT ON VIEW report_membership IS
'buyers of the last 12 months above the lowest tier against the others: do members buy again more often and spend more an order? Since tiers are earned by buying, a part of the difference is that';
