-- The store on one page: charts drawn here, each with its numbers and the query that made them. Nothing of contact is read.

CREATE FUNCTION report_figure()
RETURNS TABLE (seq integer, name text, kind text, series integer, title_zh text, title_en text, note_zh text, note_en text, query text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $figures$
    -- kind: tiles, stack (series added up), group (series side by side), pyramid, heat (row, column, value), treemap, interval (value, low, high).
    -- The first column of a query names the bar; the next ones, as many as series says, are drawn; the others are in the table alone.
    VALUES
    (1, 'summary', 'tiles', 0, '概况', 'Summary', '截至报告时刻。', 'Up to the moment of the report.', $query$
SELECT (SELECT count(*) FROM customer c WHERE c.joined_at <= $1) AS customers,
       count(*) AS buyers,
       coalesce(sum(b.frequency), 0) AS orders,
       round(coalesce(sum(b.monetary), 0), 2) AS revenue,
       round(sum(b.monetary) / nullif(sum(b.frequency), 0), 2) AS average_order,
       round(100.0 * count(*) FILTER (WHERE b.frequency > 1) / nullif(count(*), 0), 1) AS repurchase_percent
FROM buyer_rfm_values($1) b$query$),
    (2, 'revenue', 'stack', 1, '每月净销售额', 'Revenue by month', '最近 24 个月，扣除退款。', 'The last 24 months, net of refunds.', $query$
WITH sold AS (
    SELECT date_trunc('month', p.order_at AT TIME ZONE s.time_zone) AS month, sum(p.net) AS revenue, count(*) AS orders
    FROM purchase p CROSS JOIN settings s WHERE p.order_at <= $1 GROUP BY 1
)
SELECT to_char(m.month, 'YYYY-MM') AS month, coalesce(n.revenue, 0) AS revenue, coalesce(n.orders, 0) AS orders
FROM settings s
CROSS JOIN LATERAL generate_series(
    greatest((SELECT min(f.month) FROM sold f), date_trunc('month', $1 AT TIME ZONE s.time_zone) - interval '23 months'),
    CASE WHEN EXISTS (SELECT FROM sold) THEN date_trunc('month', $1 AT TIME ZONE s.time_zone) END, interval '1 month') m (month)
LEFT JOIN sold n ON n.month = m.month
ORDER BY m.month$query$),
    (3, 'customers', 'stack', 2, '每月成交客户', 'Buyers by month', '首单在当月的为新客。', 'New: the first order fell in the month.', $query$
WITH bought AS (
    SELECT p.customer_id, date_trunc('month', p.order_at AT TIME ZONE s.time_zone) AS month
    FROM purchase p CROSS JOIN settings s WHERE p.order_at <= $1 GROUP BY 1, 2
), born AS (
    SELECT b.customer_id, min(b.month) AS month FROM bought b GROUP BY 1
)
SELECT to_char(m.month, 'YYYY-MM') AS month,
       count(*) FILTER (WHERE n.month = b.month) AS new_buyers,
       count(*) FILTER (WHERE n.month < b.month) AS returning_buyers
FROM settings s
CROSS JOIN LATERAL generate_series(
    greatest((SELECT min(n.month) FROM born n), date_trunc('month', $1 AT TIME ZONE s.time_zone) - interval '23 months'),
    CASE WHEN EXISTS (SELECT FROM born) THEN date_trunc('month', $1 AT TIME ZONE s.time_zone) END, interval '1 month') m (month)
LEFT JOIN bought b ON b.month = m.month
LEFT JOIN born n ON n.customer_id = b.customer_id
GROUP BY m.month ORDER BY m.month$query$),
    (4, 'rfm', 'heat', 1, 'RFM 热力图：人均消费', 'RFM heat map: mean spend', '行：最近购买分 R，列：购买频次分 F；分数越高越好。先运行 refit_rfm()。', 'Rows: recency score R, columns: frequency score F; higher is better. Made by the model of refit_rfm().', $query$
SELECT r(c.rfm) AS r_score, f(c.rfm) AS f_score, round(avg(c.monetary), 2) AS mean_spend, count(*) AS customers
FROM customer_rfm_at($1) c WHERE c.rfm IS NOT NULL
GROUP BY 1, 2 ORDER BY 1 DESC, 2$query$),
    (5, 'segments', 'treemap', 1, 'RFM 人群', 'RFM segments', '各人群的客户占比。', 'Part of the buyers in each segment.', $query$
SELECT c.segment, round(100.0 * count(*) / sum(count(*)) OVER (), 1) AS customers_percent, count(*) AS customers,
       sum(c.monetary) AS spend, round(100 * sum(c.monetary) / nullif(sum(sum(c.monetary)) OVER (), 0), 1) AS spend_percent
FROM customer_rfm_at($1) c WHERE c.segment IS NOT NULL
GROUP BY c.segment ORDER BY count(*) DESC, c.segment$query$),
    (6, 'tiers', 'pyramid', 1, '会员等级金字塔', 'Tier pyramid', '当前等级（不随报告时刻变化）。', 'Tiers held now, whatever the moment of the report.', $query$
SELECT t.name AS tier, t.customers, round(100 * t.share, 1) AS customers_percent, t.spend_12m, round(100 * t.share_of_spend, 1) AS spend_percent
FROM report_tier t ORDER BY t.seq DESC$query$),
    (7, 'lifecycle', 'stack', 1, '客户生命周期', 'Lifecycle stages', '按最近一次购买的时间判断。', 'Judged by the dates of the orders.', $query$
WITH counted AS (
    SELECT l.lifecycle, count(*) AS customers FROM customer_lifecycle_at($1) l GROUP BY 1
)
SELECT CASE s.language WHEN 'zh' THEN g.name_zh ELSE g.name_en END AS stage, coalesce(l.customers, 0) AS customers,
       round(100.0 * coalesce(l.customers, 0) / nullif(sum(l.customers) OVER (), 0), 1) AS customers_percent
FROM settings s
CROSS JOIN (VALUES (1, 'prospect', '潜在', 'prospect'), (2, 'new', '新客', 'new'), (3, 'active', '活跃', 'active'), (4, 'returned', '回流', 'returned'),
                   (5, 'dormant', '沉睡', 'dormant'), (6, 'at_risk', '流失预警', 'at risk'), (7, 'churned', '流失', 'churned')) g (seq, stage, name_zh, name_en)
LEFT JOIN counted l ON l.lifecycle = g.stage
WHERE EXISTS (SELECT FROM customer) ORDER BY g.seq$query$),
    (8, 'cohort', 'heat', 1, '同期群留存 %', 'Cohort retention, %', '行：首单月份；列：之后第几个月；最近 12 个同期群。月份按全月计。', 'Rows: month of the first order; columns: months after; the last 12 cohorts, by whole months.', $query$
SELECT to_char(c.cohort, 'YYYY-MM') AS cohort, c.months_after, round(100 * c.retention, 1) AS retention_percent, c.buyers, c.customers
FROM report_cohort c
WHERE c.cohort + make_interval(months => c.months_after) <= shop_date($1) AND c.months_after < 12
  AND c.cohort > shop_date($1) - interval '12 months'
ORDER BY 1, 2$query$),
    (9, 'points', 'group', 2, '积分发放与核销', 'Points issued and redeemed', '按入账月份，最近 12 个月。', 'By month of booking, the last 12 months.', $query$
SELECT to_char(l.month, 'YYYY-MM') AS month, l.issued, l.redeemed, l.expired, l.reversed
FROM points_liability l
WHERE l.program = 'points' AND l.month <= shop_date($1) AND l.month > shop_date($1) - interval '12 months' ORDER BY l.month$query$),
    (10, 'outstanding', 'stack', 1, '未使用积分', 'Points outstanding', '月末余额；负债为预计兑现金额。', 'At the end of each month; liability is the money it is expected to cost.', $query$
SELECT to_char(l.month, 'YYYY-MM') AS month, l.closing AS outstanding, l.liability
FROM points_liability l
WHERE l.program = 'points' AND l.month <= shop_date($1) AND l.month > shop_date($1) - interval '12 months' ORDER BY l.month$query$),
    (11, 'expiry', 'stack', 1, '积分到期预告', 'Points expiry ahead', '当前未使用积分按到期月份。', 'Points outstanding now by the last month in which they can be spent.', $query$
SELECT coalesce(to_char(a.expires_in, 'YYYY-MM'), CASE s.language WHEN 'zh' THEN '永不过期' ELSE 'never' END) AS expires_in,
       coalesce(a.available, 0) + coalesce(a.pending, 0) AS points, coalesce(a.available, 0) AS available, coalesce(a.pending, 0) AS pending, a.customers
FROM points_ageing a CROSS JOIN settings s
WHERE a.program = 'points' ORDER BY a.expires_in NULLS LAST LIMIT 24$query$),
    (12, 'churn', 'stack', 1, '流失预警', 'Churn warning', '涉及价值最高的 15 位客户，仅显示编号。', 'The 15 customers with most at stake, by number only.', $query$
SELECT '#' || w.customer_id AS customer, w.at_stake, round(100 * w.risk::numeric, 1) AS risk_percent, w.days_since AS days_since_order, w.usual_gap, w.action
FROM churn_warning(0.5, $1) w ORDER BY w.at_stake DESC NULLS LAST, w.customer_id LIMIT 15$query$),
    (13, 'nps', 'stack', 1, '净推荐值 NPS', 'Net promoter score', '9–10 分占比减 0–6 分占比；最近 12 个月。', 'Percent of 9 and 10 less percent of 0 to 6; the last 12 months.', $query$
SELECT to_char(n.month, 'YYYY-MM') AS month,
       round(100.0 * (sum(n.promoters) - sum(n.detractors)) / sum(n.answers), 1) AS nps,
       sum(n.answers) AS answers, sum(n.promoters) AS promoters, sum(n.passives) AS passives, sum(n.detractors) AS detractors
FROM nps(NULL, $1 - interval '12 months', $1) n GROUP BY n.month ORDER BY n.month$query$),
    (14, 'sources', 'stack', 1, '客户来源', 'Sources', '首次来源，含下级；客户数最多的 15 个。', 'Sources of the first touch, each with all below it; the 15 largest.', $query$
SELECT r.name AS source, r.customers, r.buyers, r.orders, r.spend, round(100 * r.repurchase_rate, 1) AS repurchase_percent
FROM report_source r WHERE r.customers > 0 ORDER BY r.customers DESC, r.source LIMIT 15$query$),
    (15, 'tier_moves', 'heat', 1, '等级迁移', 'Moves between tiers', '行：原等级；列：新等级；最近 12 个月的变动次数。', 'Rows: from, columns: to; changes of the last 12 months.', $query$
SELECT coalesce(CASE s.language WHEN 'zh' THEN f.name_zh ELSE f.name_en END, f.tier) AS from_tier,
       coalesce(CASE s.language WHEN 'zh' THEN t.name_zh ELSE t.name_en END, t.tier) AS to_tier, count(c.customer_id) AS changes, count(DISTINCT c.customer_id) AS customers
FROM settings s CROSS JOIN tier f CROSS JOIN tier t
LEFT JOIN tier_change c ON c.from_tier = f.tier AND c.to_tier = t.tier AND c.at <= $1 AND c.at > $1 - interval '12 months'
WHERE EXISTS (SELECT FROM tier_change e WHERE e.at <= $1 AND e.at > $1 - interval '12 months')
GROUP BY f.seq, 1, t.seq, 2 ORDER BY f.seq, t.seq$query$),
    (16, 'stage_moves', 'heat', 1, '生命周期流转', 'Moves between lifecycle stages', '行：原阶段；列：新阶段；最近 12 个月，由 record_lifecycle() 记录。', 'Rows: from, columns: to; the last 12 months, as record_lifecycle() wrote them.', $query$
WITH stage (seq, stage, name_zh, name_en) AS (
    VALUES (1, 'prospect', '潜在', 'prospect'), (2, 'new', '新客', 'new'), (3, 'active', '活跃', 'active'), (4, 'returned', '回流', 'returned'),
           (5, 'dormant', '沉睡', 'dormant'), (6, 'at_risk', '流失预警', 'at risk'), (7, 'churned', '流失', 'churned')
)
SELECT CASE s.language WHEN 'zh' THEN f.name_zh ELSE f.name_en END AS from_stage, CASE s.language WHEN 'zh' THEN t.name_zh ELSE t.name_en END AS to_stage,
       count(c.customer_id) AS changes, count(DISTINCT c.customer_id) AS customers
FROM settings s CROSS JOIN stage f CROSS JOIN stage t
LEFT JOIN lifecycle_change c ON c.from_stage = f.stage AND c.to_stage = t.stage AND c.at <= $1 AND c.at > $1 - interval '12 months'
WHERE EXISTS (SELECT FROM lifecycle_change e WHERE e.from_stage IS NOT NULL AND e.at <= $1 AND e.at > $1 - interval '12 months')
GROUP BY f.seq, 1, t.seq, 2 ORDER BY f.seq, t.seq$query$),
    (17, 'uplift', 'interval', 1, '活动净提升', 'Uplift of campaigns', '下单率比对照组高出的百分点，附 95% 区间（Newcombe）；区间跨 0 即不显著。最近 10 个活动。', 'Percentage points of buyers above the hold-out, with the 95 % interval (Newcombe): across zero is not significant. The last 10 campaigns.', $query$
SELECT k.campaign, e.uplift, e.uplift_low, e.uplift_high, e.significant, e.sent, e.ordered, e.held_out, e.held_out_ordered, e.revenue, e.extra_revenue, e.cost, e.roi
FROM (SELECT k.campaign, k.launched_at FROM campaign k WHERE k.launched_at <= $1 ORDER BY k.launched_at DESC LIMIT 10) k
CROSS JOIN LATERAL campaign_effect(k.campaign, $1) e
WHERE e.variant = 'all' AND e.uplift IS NOT NULL ORDER BY k.launched_at DESC$query$),
    (18, 'service', 'group', 2, '客服首次人工响应（分钟）', 'First answer by a person, minutes', '最近 30 天，按渠道；自动回复不计。', 'The last 30 days by channel; automatic replies do not count.', $query$
SELECT r.channel, round((extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY r.median)) / 60)::numeric, 1) AS median_minutes,
       round((extract(epoch FROM max(r.p90)) / 60)::numeric, 1) AS slowest_p90_minutes, sum(r.turns) AS turns, sum(r.answered) AS answered
FROM response_report($1 - interval '30 days', $1) r WHERE r.agent IS NOT NULL GROUP BY r.channel ORDER BY sum(r.turns) DESC$query$),
    (19, 'tags', 'stack', 1, '标签', 'Tags', '当前客户数最多的 15 个标签。', 'The 15 tags that most customers have now.', $query$
SELECT t.tag, t.customers FROM tag_count t ORDER BY t.customers DESC, t.tag LIMIT 15$query$)
$figures$;
COMMENT ON FUNCTION report_figure() IS 'the figures of report_html: how each is drawn, and the query behind it, in which $1 is the moment of the report';

CREATE FUNCTION report_word(word text, language text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN language = 'zh' THEN coalesce(pg_catalog.jsonb_extract_path_text('{
    "customers": "客户数", "buyers": "成交客户", "orders": "订单数", "revenue": "净销售额", "average_order": "客单价", "repurchase_percent": "复购率 %",
    "month": "月份", "new_buyers": "新客", "returning_buyers": "老客", "r_score": "R 分", "f_score": "F 分", "mean_spend": "人均消费", "segment": "人群",
    "customers_percent": "客户占比 %", "spend": "消费额", "spend_percent": "消费占比 %", "tier": "等级", "spend_12m": "12 个月消费", "stage": "阶段",
    "cohort": "首单月份", "months_after": "之后第几月", "retention_percent": "留存率 %", "issued": "发放", "redeemed": "核销", "expired": "过期", "reversed": "调整",
    "outstanding": "余额", "liability": "负债", "expires_in": "到期月份", "points": "积分", "available": "可用", "pending": "待生效", "customer": "客户编号",
    "at_stake": "涉及价值", "risk_percent": "风险 %", "days_since_order": "距上次购买(天)", "usual_gap": "通常间隔(天)", "action": "建议", "nps": "NPS",
    "from_tier": "原等级", "to_tier": "新等级", "from_stage": "原阶段", "to_stage": "新阶段", "changes": "变动", "campaign": "活动", "uplift": "提升(百分点)", "uplift_low": "下限", "uplift_high": "上限",
    "significant": "显著", "sent": "发送", "ordered": "下单", "held_out": "对照组", "held_out_ordered": "对照下单", "extra_revenue": "增量销售额", "cost": "成本", "roi": "ROI", "channel": "渠道",
    "median_minutes": "中位数", "slowest_p90_minutes": "最慢 P90", "turns": "咨询", "answered": "已答", "tag": "标签", "answers": "答卷数", "promoters": "推荐者", "passives": "中立者", "detractors": "贬损者", "source": "来源"}'::jsonb, word), word)
    ELSE pg_catalog.replace(word, '_', ' ') END;
COMMENT ON FUNCTION report_word(text, text) IS 'heading of a column of a figure in zh or en';

CREATE FUNCTION xml_escape(value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
    pg_catalog.regexp_replace(value, '[\x01-\x08\x0B\x0C\x0E-\x1F\x7F\uFFFE\uFFFF]', '', 'g'),
    '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;');
COMMENT ON FUNCTION xml_escape(text) IS 'text safe inside XML elements and quoted attributes; characters that XML forbids are left out';

CREATE FUNCTION svg_tick_step(extent numeric, ticks integer DEFAULT 4) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $step$
DECLARE
    power numeric;
BEGIN
    IF extent IS NULL OR extent <= 0 OR ticks < 1 THEN
        RETURN 1;
    END IF;
    power := 10 ^ floor(log(extent / ticks));
    RETURN trim_scale((SELECT min(m * power) FROM unnest('{1,2,2.5,5,10}'::numeric[]) m WHERE m * power * ticks >= extent * 0.9999));
END
$step$;
COMMENT ON FUNCTION svg_tick_step(numeric, integer) IS 'distance of axis ticks: 1, 2, 2.5 or 5 times a power of ten, so that about as many ticks cover the extent';

CREATE FUNCTION svg_number(value numeric, language text DEFAULT 'en') RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN value IS NULL THEN '–'
    WHEN language = 'zh' AND pg_catalog.abs(value) >= 100000000 THEN pg_catalog.trim_scale(pg_catalog.round(value / 100000000, 2)) || '亿'
    WHEN language = 'zh' AND pg_catalog.abs(value) >= 10000 THEN pg_catalog.trim_scale(pg_catalog.round(value / 10000, 2)) || '万'
    WHEN pg_catalog.abs(value) >= 1000000000 THEN pg_catalog.trim_scale(pg_catalog.round(value / 1000000000, 2)) || 'G'
    WHEN pg_catalog.abs(value) >= 1000000 THEN pg_catalog.trim_scale(pg_catalog.round(value / 1000000, 2)) || 'M'
    WHEN pg_catalog.abs(value) >= 10000 THEN pg_catalog.trim_scale(pg_catalog.round(value / 1000, 1)) || 'k'
    WHEN pg_catalog.abs(value) >= 100 THEN pg_catalog.trim_scale(pg_catalog.round(value, 0))::text
    ELSE pg_catalog.trim_scale(pg_catalog.round(value, 2))::text END;
COMMENT ON FUNCTION svg_number(numeric, text) IS 'a number short enough for a chart: 12.3k, 4.5M, or 万 and 亿; the table beside has it whole';

CREATE FUNCTION svg_width(value text) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 7.8 * pg_catalog.length(value) + 4.7 * pg_catalog.length(pg_catalog.regexp_replace(value, '[\x01-\u02FF]', '', 'g'));
COMMENT ON FUNCTION svg_width(text) IS 'room that text takes at 12 pixels, on the safe side; wide characters count more';

CREATE FUNCTION svg_bars(labels text[], names text[], amounts numeric[], mode text DEFAULT 'stack', language text DEFAULT 'en') RETURNS text
LANGUAGE plpgsql IMMUTABLE
SET search_path FROM CURRENT
AS $bars$
DECLARE
    series integer := cardinality(names);
    n integer := cardinality(labels);
    high numeric := 0;
    low numeric := 0;
    above boolean;
    room numeric;
    unit numeric;
    x0 numeric;
    x numeric;
    w numeric;
    y numeric := 4;
    top numeric;
    row_height integer;
    total numeric;
    v numeric;
    tick numeric;
    label text;
    body text := '';
BEGIN
    -- Amounts go row by row, one for each series.
    FOR i IN 1..n LOOP
        total := 0;
        FOR k IN 1..series LOOP
            v := coalesce(amounts[(i - 1) * series + k], 0);
            total := CASE mode WHEN 'stack' THEN total + v ELSE v END;
            high := greatest(high, total);
            low := least(low, total);
        END LOOP;
    END LOOP;
    SELECT max(svg_width(l)) > 96, max(svg_width(l)) INTO above, room FROM unnest(labels) l;
    row_height := CASE WHEN mode = 'group' THEN series * 13 + 5 ELSE 20 END + CASE WHEN above THEN 16 ELSE 0 END;
    x0 := CASE WHEN above THEN 4 ELSE room + 10 END;
    unit := (360 - x0 - CASE WHEN low < 0 THEN 50 ELSE 0 END - CASE mode WHEN 'pyramid' THEN 8 ELSE 58 END) / nullif(high - low, 0);
    IF low < 0 THEN
        x0 := x0 + 50 - low * unit;
    END IF;
    IF series > 1 THEN
        x := 4;
        FOR k IN 1..series LOOP
            body := body || format('<rect class="c%s" x="%s" y="%s" width="10" height="10"/><text x="%s" y="%s">%s</text>', k, x, y + 2, x + 15, y + 11, xml_escape(names[k]));
            x := x + svg_width(names[k]) + 34;
        END LOOP;
        y := y + 22;
    END IF;
    top := y;
    IF mode <> 'pyramid' AND unit IS NOT NULL THEN
        tick := svg_tick_step(high - low);
        FOR t IN ceil(low / tick)::integer .. floor(high / tick)::integer LOOP
            x := round(x0 + t * tick * unit, 1);
            body := body || format('<line class="%s" x1="%s" x2="%s" y1="%s" y2="%s"/><text class="ax" x="%s" y="%s" text-anchor="middle">%s</text>',
                CASE t WHEN 0 THEN 'base' ELSE 'grid' END, x, x, top, top + n * row_height, least(x, 344), top + n * row_height + 14, svg_number(t * tick, language));
        END LOOP;
    END IF;
    FOR i IN 1..n LOOP
        label := labels[i];
        IF svg_width(label) > 350 THEN
            label := left(label, 26) || '…';
        END IF;
        IF above THEN
            body := body || format('<text x="4" y="%s">%s</text>', y + 13, xml_escape(label));
        ELSE
            body := body || format('<text x="%s" y="%s" text-anchor="end">%s</text>', CASE WHEN low < 0 THEN room + 4 ELSE x0 - 6 END, y + row_height / 2 + 4, xml_escape(label));
        END IF;
        top := y + CASE WHEN above THEN 16 ELSE 0 END;
        x := x0;
        total := 0;
        FOR k IN 1..series LOOP
            v := coalesce(amounts[(i - 1) * series + k], 0);
            w := round(abs(v) * coalesce(unit, 0), 1);
            total := total + v;
            IF mode = 'pyramid' THEN
                x := round(x0 + (high * coalesce(unit, 0) - w) / 2, 1);
            ELSIF mode = 'group' THEN
                x := x0;
            END IF;
            body := body || format('<rect class="c%s" data-value="%s" x="%s" y="%s" width="%s" height="%s"><title>%s</title></rect>',
                k, trim_scale(v), round(CASE WHEN v < 0 THEN x - w ELSE x END, 1), CASE mode WHEN 'group' THEN top + 2 + (k - 1) * 13 ELSE top + 3 END, w,
                CASE mode WHEN 'group' THEN 12 ELSE 14 END,
                xml_escape(labels[i] || CASE WHEN series > 1 THEN ' ' || names[k] ELSE '' END || ': ' || trim_scale(v)));
            x := x + CASE WHEN v < 0 THEN -w ELSE w END;
            IF mode = 'group' THEN
                body := body || format('<text class="v" x="%s" y="%s">%s</text>', x + 4, top + 12 + (k - 1) * 13, svg_number(v, language));
            END IF;
        END LOOP;
        IF mode = 'pyramid' THEN
            -- The number stands inside a bar wide enough, else beside it.
            body := body || format('<text class="%s" x="%s" y="%s"%s>%s</text>', CASE WHEN w >= 60 THEN 'in' ELSE 'v' END,
                CASE WHEN w >= 60 THEN round(x - w / 2, 1) ELSE x + 4 END, top + 14, CASE WHEN w >= 60 THEN ' text-anchor="middle"' ELSE '' END, svg_number(total, language));
        ELSIF mode = 'stack' THEN
            body := body || format('<text class="v" x="%s" y="%s"%s>%s</text>', CASE WHEN total < 0 THEN x - 4 ELSE x + 4 END, top + 14,
                CASE WHEN total < 0 THEN ' text-anchor="end"' ELSE '' END, svg_number(total, language));
        END IF;
        y := y + row_height;
    END LOOP;
    RETURN format('<svg xmlns="http://www.w3.org/2000/svg" class="crm" role="img" viewBox="0 0 360 %s" width="360" height="%s" aria-labelledby="@">@%s</svg>', y + 20, y + 20, body);
END
$bars$;
COMMENT ON FUNCTION svg_bars(text[], text[], numeric[], text, text) IS
'horizontal bars from zero, each with its number, 360 wide; amounts row by row, one of each series. mode is stack, group or pyramid. Each @ is the place of an id and of title and desc, which report_svg puts in';

CREATE FUNCTION svg_heat(rows text[], cols text[], amounts numeric[], language text DEFAULT 'en') RETURNS text
LANGUAGE plpgsql IMMUTABLE
SET search_path FROM CURRENT
AS $heat$
DECLARE
    ys text[];
    xs text[];
    high numeric;
    room numeric;
    cw numeric;
    ch numeric := 26;
    i integer;
    j integer;
    shade integer;
    head integer;
    body text := '';
BEGIN
    SELECT array_agg(d.v ORDER BY d.o) INTO ys FROM (SELECT v, min(o) AS o FROM unnest(rows) WITH ORDINALITY u (v, o) GROUP BY v) d;
    SELECT array_agg(d.v ORDER BY CASE WHEN d.v ~ '^\d+$' THEN d.v::numeric END, d.o) INTO xs FROM (SELECT v, min(o) AS o FROM unnest(cols) WITH ORDINALITY u (v, o) GROUP BY v) d;
    SELECT max(svg_width(v)) + 8 INTO room FROM unnest(ys) v;
    SELECT max(a) INTO high FROM unnest(amounts) a;
    cw := round((356 - room) / greatest(cardinality(xs), 5), 2);
    -- Names too wide for their column stand in two lines, by turns.
    head := CASE WHEN (SELECT max(svg_width(v)) FROM unnest(xs) v) * 11 / 12 > cw AND cw >= 14 THEN 34 ELSE 20 END;
    FOR k IN 1..cardinality(xs) LOOP
        CONTINUE WHEN cw < 14 AND k % ceil(14 / cw)::integer <> 1;
        body := body || format('<text class="ax" x="%s" y="%s" text-anchor="middle">%s</text>', least(round(room + (k - 0.5) * cw, 1), 358 - round(svg_width(xs[k]) / 2, 1)),
            head - CASE WHEN head = 34 AND k % 2 = 1 THEN 20 ELSE 6 END, xml_escape(xs[k]));
    END LOOP;
    FOR k IN 1..cardinality(ys) LOOP
        body := body || format('<text class="ax" x="%s" y="%s" text-anchor="end">%s</text>', room - 4, head + (k - 0.5) * ch + 4, xml_escape(ys[k]));
    END LOOP;
    FOR k IN 1..cardinality(amounts) LOOP
        i := array_position(ys, rows[k]);
        j := array_position(xs, cols[k]);
        shade := CASE WHEN high > 0 THEN least(6, greatest(1, ceil(6 * coalesce(amounts[k], 0) / high))) ELSE 1 END;
        body := body || format('<rect class="h%s" data-value="%s" x="%s" y="%s" width="%s" height="%s"><title>%s</title></rect>',
            shade, trim_scale(amounts[k]), round(room + (j - 1) * cw + 0.5, 1), head + (i - 1) * ch + 0.5, round(cw - 1, 1), ch - 1,
            xml_escape(rows[k] || ' × ' || cols[k] || ': ' || trim_scale(amounts[k])));
        IF cw >= 22 THEN
            body := body || format('<text class="t%s" x="%s" y="%s" text-anchor="middle">%s</text>', shade, round(room + (j - 0.5) * cw, 1), head + (i - 0.5) * ch + 4,
                svg_number(CASE WHEN cw < 40 THEN round(amounts[k]) ELSE amounts[k] END, language));
        END IF;
    END LOOP;
    RETURN format('<svg xmlns="http://www.w3.org/2000/svg" class="crm" role="img" viewBox="0 0 360 %s" width="360" height="%s" aria-labelledby="@">@%s</svg>',
                  head + 4 + cardinality(ys) * ch, head + 4 + cardinality(ys) * ch, body);
END
$heat$;
COMMENT ON FUNCTION svg_heat(text[], text[], numeric[], text) IS 'a grid of cells, darker for more, each with its number when there is room; rows, columns and amounts go together by position. For @ see svg_bars';

CREATE FUNCTION report_style() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 'svg.crm,:root{--fg:#1a1a1a;--bg:#fff;--mute:#595959;--line:#dadada;--c1:#0072b2;--c2:#e69f00;--c3:#009e73;--in:#fff;--h1:#eef5fb;--h2:#cfe3f3;--h3:#9fcae6;--h4:#5ba3d0;--h5:#2171b5;--h6:#08306b;--t:#111;--t5:#fff}'
    '@media screen and (prefers-color-scheme:dark){svg.crm,:root{--fg:#ececec;--bg:#16181d;--mute:#a9b0ba;--line:#3a3f48;--c1:#56b4e9;--c2:#e69f00;--c3:#2bc79a;--in:#111;--h1:#1d2a38;--h2:#234260;--h3:#2a5d8c;--h4:#5ba3d0;--h5:#9fcae6;--h6:#deebf7;--t:#f2f2f2;--t5:#111}.crm .t4{fill:#111}}'
    'svg.crm{display:block;width:100%;height:auto;max-width:560px;font:12px system-ui,"Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif;print-color-adjust:exact;-webkit-print-color-adjust:exact}'
    '.crm text{fill:var(--fg)}.crm .ax{fill:var(--mute);font-size:11px}.crm .v{font-weight:600}.crm .in{fill:var(--in);font-weight:600}.crm .grid{stroke:var(--line)}.crm .base{stroke:var(--mute)}.crm .whisker{stroke:var(--c1);stroke-width:3}'
    '.crm .c1{fill:var(--c1)}.crm .c2{fill:var(--c2)}.crm .c3{fill:var(--c3)}.crm .h1{fill:var(--h1)}.crm .h2{fill:var(--h2)}.crm .h3{fill:var(--h3)}.crm .h4{fill:var(--h4)}.crm .h5{fill:var(--h5)}.crm .h6{fill:var(--h6)}'
    '.crm .t1,.crm .t2,.crm .t3{fill:var(--t);font-size:10.5px}.crm .t4{font-size:10.5px;fill:#111}.crm .t5,.crm .t6{fill:var(--t5);font-size:10.5px}'
    '@media screen and (prefers-color-scheme:dark){.crm .t4{fill:#111}}';
COMMENT ON FUNCTION report_style() IS 'style sheet of the charts, light and dark; colours that stay apart for the colour-blind';

CREATE FUNCTION report_draw(figure text, as_of timestamptz, OUT title text, OUT note text, OUT query text, OUT head text[], OUT cells text[], OUT svg text)
RETURNS record
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET datestyle = 'ISO, YMD'
SET timezone = 'UTC'
AS $draw$
DECLARE
    f record;
    language text := (SELECT s.language FROM settings s);
    columns text[];
    drawn integer;
    body json;
BEGIN
    SELECT * INTO f FROM report_figure() r WHERE r.name = figure;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no figure "%"', figure USING ERRCODE = 'invalid_parameter_value',
            HINT = format('Figures are %s.', (SELECT string_agg(r.name, ', ' ORDER BY r.seq) FROM report_figure() r WHERE r.kind <> 'tiles'));
    END IF;
    IF NOT isfinite(as_of) THEN
        RAISE EXCEPTION 'a report needs a moment, not %', as_of USING ERRCODE = 'invalid_parameter_value';
    END IF;
    title := CASE language WHEN 'zh' THEN f.title_zh ELSE f.title_en END;
    note := CASE language WHEN 'zh' THEN f.note_zh ELSE f.note_en END;
    query := ltrim(replace(f.query, '$1', quote_literal(as_of) || '::timestamptz'), E'\n');
    EXECUTE format('SELECT json_agg(row_to_json(q)) FROM (%s) q', query) INTO body;
    IF body IS NULL THEN
        RETURN;
    END IF;
    SELECT array_agg(k ORDER BY o) INTO columns FROM json_object_keys(body -> 0) WITH ORDINALITY j (k, o);
    SELECT array_agg(report_word(c, language) ORDER BY o) INTO head FROM unnest(columns) WITH ORDINALITY u (c, o);
    -- cells: row by row.
    SELECT array_agg(CASE WHEN json_typeof(l.value) = 'number' THEN trim_scale(round((l.value #>> '{}')::numeric, 4))::text ELSE l.value #>> '{}' END ORDER BY e.o, l.o)
    INTO cells
    FROM json_array_elements(body) WITH ORDINALITY e (r, o), json_each(e.r) WITH ORDINALITY l (key, value, o);
    IF f.kind = 'tiles' THEN
        RETURN;
    END IF;
    drawn := cardinality(columns);
    IF f.kind = 'heat' THEN
        SELECT svg_heat(array_agg(cells[i + 1] ORDER BY i), array_agg(cells[i + 2] ORDER BY i), array_agg(cells[i + 3]::numeric ORDER BY i), language)
        INTO svg FROM generate_series(0, cardinality(cells) - 1, drawn) i;
    ELSIF f.kind = 'treemap' THEN
        SELECT svg_treemap(array_agg(cells[i + 1] ORDER BY i), array_agg(cells[i + 2]::numeric ORDER BY i), language)
        INTO svg FROM generate_series(0, cardinality(cells) - 1, drawn) i;
    ELSIF f.kind = 'interval' THEN
        SELECT svg_intervals(array_agg(cells[i + 1] ORDER BY i), array_agg(cells[i + 2]::numeric ORDER BY i), array_agg(cells[i + 3]::numeric ORDER BY i),
                             array_agg(cells[i + 4]::numeric ORDER BY i), language)
        INTO svg FROM generate_series(0, cardinality(cells) - 1, drawn) i;
    ELSE
        SELECT svg_bars((SELECT array_agg(coalesce(cells[i + 1], '–') ORDER BY i) FROM generate_series(0, cardinality(cells) - 1, drawn) i),
                        head[2:1 + f.series],
                        (SELECT array_agg(coalesce(cells[i + 1 + k], '0')::numeric ORDER BY i, k)
                         FROM generate_series(0, cardinality(cells) - 1, drawn) i, generate_series(1, f.series) k),
                        f.kind, language) INTO svg;
    END IF;
    -- The drawing's two marks come before any text of it.
    svg := regexp_replace(svg, 'aria-labelledby="@">@',
        format('aria-labelledby="crm-%1$s-t crm-%1$s-d"><title id="crm-%1$s-t">%2$s</title><desc id="crm-%1$s-d">%3$s</desc>', f.name, xml_escape(title),
               xml_escape(note || ' ' || CASE language WHEN 'zh' THEN '数值见旁边的表格。' ELSE 'The numbers are in the table beside it.' END)));
END
$draw$;
COMMENT ON FUNCTION report_draw(text, timestamptz) IS 'one figure: its words, its query, its table (heads, and cells row by row) and its chart; table and chart are null when there is no data';

CREATE FUNCTION report_svg(name text, as_of timestamptz DEFAULT now()) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path FROM CURRENT
AS $svg$
DECLARE
    f record;
BEGIN
    SELECT * INTO f FROM report_draw(coalesce(name, ''), coalesce(as_of, now()));
    RETURN regexp_replace(f.svg, '</desc>', '</desc><style>' || report_style() || '</style>');
END
$svg$;
COMMENT ON FUNCTION report_svg(text, timestamptz) IS
'one chart of report_html as an SVG document: revenue, customers, rfm, segments, tiers, lifecycle, cohort, points, outstanding, expiry, churn, nps, sources, tier_moves, stage_moves, uplift, service, tags. Null when there is no data. Error: 22023 no such figure';
REVOKE EXECUTE ON FUNCTION report_svg(text, timestamptz) FROM PUBLIC;

CREATE FUNCTION report_html(as_of timestamptz DEFAULT now()) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path FROM CURRENT
AS $html$
DECLARE
    at timestamptz := coalesce(as_of, now());
    s record;
    zh boolean;
    r record;
    f record;
    width integer;
    page text;
    part text;
    title text;
    numeric_column boolean[];
BEGIN
    SELECT g.language, g.currency, g.time_zone INTO s FROM settings g;
    zh := s.language = 'zh';
    title := CASE WHEN zh THEN '客户报告' ELSE 'Customer report' END;
    page := format('<!DOCTYPE html>%s<html lang="%s"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/><meta name="color-scheme" content="light dark"/><title>%s</title><style>%s</style></head><body>',
        E'\n', CASE WHEN zh THEN 'zh-CN' ELSE 'en' END, title, report_style() ||
        '*{box-sizing:border-box}body{margin:0 auto;padding:16px;max-width:1180px;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,"Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif}'
        'h1{font-size:1.6em;margin:.2em 0}h2{font-size:1.15em;margin:0}.note{color:var(--mute);margin:.1em 0 .6em;font-size:.9em}section{border-top:1px solid var(--line);padding:16px 0}'
        '.fig{display:grid;gap:16px;grid-template-columns:minmax(0,1fr);align-items:start}@media (min-width:860px),print{.fig{grid-template-columns:minmax(0,1fr) minmax(0,1fr)}}'
        '.tab{overflow:auto;max-height:420px}.tab:focus-visible{outline:2px solid var(--c1)}table{border-collapse:collapse;width:100%;font-size:.85em;font-variant-numeric:tabular-nums}'
        'th,td{padding:3px 6px;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}th{font-weight:600;color:var(--mute)}td.n,th.n{text-align:right;white-space:nowrap}'
        -- Words stay whole, Chinese ones too; what is wider scrolls.
        'td:not(.n),th:not(.n){min-width:6.5em;word-break:keep-all}td:last-child:not(.n){min-width:13em}'
        'dl{display:grid;gap:12px;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));margin:8px 0}dl div{border:1px solid var(--line);border-radius:8px;padding:8px 12px}dt{color:var(--mute);font-size:.85em}dd{margin:0;font-size:1.2em;font-weight:600;overflow-wrap:anywhere}'
        'details{margin-top:8px;font-size:.85em}summary{cursor:pointer;color:var(--mute)}pre{overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid var(--line);border-radius:6px;padding:8px;margin:6px 0;font-size:.92em}'
        '@media print{body{padding:0;max-width:none;font-size:11px}section{break-inside:avoid}.tab{max-height:none;overflow:visible}details{display:none}}');
    page := page || format('<header><h1>%s</h1><p class="note">%s</p></header><main>', title, xml_escape(CASE WHEN zh
        THEN format('截至 %s（%s），金额单位 %s。不含个人信息。', to_char(at AT TIME ZONE s.time_zone, 'YYYY-MM-DD HH24:MI'), s.time_zone, s.currency)
        ELSE format('As of %s (%s), amounts in %s. No personal data.', to_char(at AT TIME ZONE s.time_zone, 'YYYY-MM-DD HH24:MI'), s.time_zone, s.currency) END));
    FOR r IN SELECT g.name, g.kind FROM report_figure() g ORDER BY g.seq LOOP
        SELECT * INTO f FROM report_draw(r.name, at);
        page := page || format('<section id="%s"><h2>%s</h2><p class="note">%s</p>', r.name, xml_escape(f.title), xml_escape(f.note));
        width := cardinality(f.head);
        IF f.cells IS NULL THEN
            page := page || format('<p class="none">%s</p>', CASE WHEN zh THEN '暂无数据' ELSE 'No data' END);
        ELSIF r.kind = 'tiles' THEN
            SELECT string_agg(format('<div><dt>%s</dt><dd>%s</dd></div>', xml_escape(f.head[i]), coalesce(xml_escape(f.cells[i]), '–')), '' ORDER BY i) INTO part
            FROM generate_series(1, width) i;
            page := page || '<dl>' || part || '</dl>';
        ELSE
            -- Numbers stand right; a column is one of numbers when nothing else is in it.
            SELECT array_agg(c.n ORDER BY c.k) INTO numeric_column
            FROM (SELECT (i - 1) % width AS k, bool_and(f.cells[i] ~ '^-?[0-9.]+$') IS TRUE AS n FROM generate_series(1, cardinality(f.cells)) i GROUP BY 1) c;
            SELECT string_agg(CASE WHEN (i - 1) % width = 0 THEN CASE WHEN i > 1 THEN '</tr>' ELSE '' END || '<tr>' ELSE '' END
                              || CASE WHEN numeric_column[(i - 1) % width + 1] THEN '<td class="n">' ELSE '<td>' END || coalesce(xml_escape(f.cells[i]), '–') || '</td>', '' ORDER BY i) INTO part
            FROM generate_series(1, cardinality(f.cells)) i;
            page := page || format('<div class="fig"><div>%s</div><div class="tab" tabindex="0" role="region" aria-label="%s"><table><thead><tr>%s</tr></thead><tbody>%s</tr></tbody></table></div></div>',
                f.svg, xml_escape(f.title),
                (SELECT string_agg(CASE WHEN numeric_column[i] THEN '<th scope="col" class="n">' ELSE '<th scope="col">' END || xml_escape(f.head[i]) || '</th>', '' ORDER BY i) FROM generate_series(1, width) i),
                part);
        END IF;
        page := page || format('<details><summary>%s</summary><pre>%s</pre></details></section>', CASE WHEN zh THEN '查询语句' ELSE 'Query' END, xml_escape(f.query));
    END LOOP;
    RETURN page || E'</main></body></html>\n';
END
$html$;
COMMENT ON FUNCTION report_html(timestamptz) IS
'the store at a moment on one HTML page without scripts or network, well-formed as XML, in settings.language: charts, their numbers and the queries behind them. Customers are numbers only; contact is not read. Tiers, sources and expiry are those of now';
REVOKE EXECUTE ON FUNCTION report_html(timestamptz) FROM PUBLIC;
