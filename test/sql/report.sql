-- The page and its charts: well-formed, with the values of the queries, and without a person in it.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SELECT crm.create_store('t_report', language => 'en');
SET search_path = t_report, crm, public;
-- An empty store has a page too, without charts but with every figure.
CREATE TEMP TABLE page AS SELECT xmlparse(document report_html('2025-06-15 12:00+08')) AS x;
SELECT (xpath('count(/html/body/main/section)', x))[1] AS sections, (xpath('count(//*[local-name()="svg"])', x))[1] AS charts,
       (xpath('count(//details/pre)', x))[1] AS queries, (xpath('count(//p[@class="none"])', x))[1] AS without FROM page;
SELECT count(*) AS figures, count(*) FILTER (WHERE kind <> 'tiles') AS drawn, count(report_svg(name)) AS charts FROM report_figure();

INSERT INTO customer (customer_id, source, joined_at) VALUES (1, 'free/search/exact', '2025-01-01'), (2, 'paid/keyword', '2025-01-01'), (3, 'paid/keyword', '2025-01-01'),
    (4, NULL, '2025-01-01'), (5, NULL, '2026-01-01');
SET client_min_messages = warning;
INSERT INTO contact (customer_id, name, phone, email) VALUES (1, 'Zhang Xiaoming', '13812345678', 'xiaoming@example.com');
INSERT INTO purchase (customer_id, channel, order_no, amount, refunded, status, ordered_at, paid_at) VALUES
    (1, 'mall', 'a1', 100, 0, 'paid', '2025-01-31 23:30+08', '2025-01-31 23:30+08'),
    (1, 'mall', 'a2', 300, 50, 'paid', '2025-02-01 00:30+08', '2025-02-01 00:30+08'),
    (2, 'mall', 'b1', 1000, 0, 'completed', '2025-02-10 10:00+08', '2025-02-10 10:00+08'),
    (2, 'mall', 'b2', 12345.67, 0, 'paid', '2025-05-10 10:00+08', '2025-05-10 10:00+08'),
    (3, 'mall', 'c1', 49.99, 0, 'shipped', '2025-01-15 09:59+08', '2025-01-15 09:59+08'),
    (1, 'mall', 'a9', 777, 0, 'paid', '2025-06-15 12:01+08', '2025-06-15 12:01+08');
SELECT refit_rfm('2025-06-15 12:00+08') IS NOT NULL AS fitted;
INSERT INTO value_model (as_of, state, buyers, history_days, repeat_buyers, bgnbd) VALUES ('2025-05-01 00:00+08', 'ok', 4, 400, 2, ROW(.243, 4.414, .793, 2.426, NULL, NULL, NULL));
-- A name of configuration that is markup stays text.
UPDATE source SET name_en = '<script>alert("&")</script>' WHERE source = 'paid/keyword';
SELECT (earn(1, 500, 'order', 'k1', as_of => '2025-03-01 10:00+08')).seq AS earned;
SELECT (redeem(1, 120, 'order', 'k2', as_of => '2025-04-01 10:00+08')).seq AS redeemed;

-- As of a moment: what came a minute later is not counted.
UPDATE page SET x = xmlparse(document report_html('2025-06-15 12:00+08'));
SELECT unnest(xpath('//section[@id="summary"]//dd/text()', x)) AS summary FROM page;
SELECT unnest(xpath('//section[@id="revenue"]//tbody/tr/td[1]/text()', x)) AS month, unnest(xpath('//section[@id="revenue"]//tbody/tr/td[2]/text()', x)) AS revenue,
       unnest(xpath('//section[@id="revenue"]//*[local-name()="rect"]/@data-value', x)) AS drawn,
       unnest(xpath('//section[@id="revenue"]//*[local-name()="rect"]/@width', x)) AS width FROM page;
SELECT unnest(xpath('//section[@id="customers"]//tbody/tr/td/text()', x)) AS buyers FROM page LIMIT 6;
-- Against the reports, after all orders.
SELECT array_agg(spend ORDER BY month) = (SELECT array_remove(xpath('//*[local-name()="rect"]/@data-value', report_svg('revenue', '2025-06-30')::xml)::text[]::numeric[], 0)) AS revenue,
       array_agg(new_buyers ORDER BY month) || array_agg(returning_buyers ORDER BY month)
       = (SELECT array_agg(v ORDER BY k, o) FROM (SELECT v, o, o % 2 = 0 AS k, sum(v) OVER (PARTITION BY (o - 1) / 2) AS month
              FROM unnest(xpath('//*[local-name()="rect"]/@data-value', (SELECT report_svg('customers', '2025-06-30'))::xml)::text[]::bigint[]) WITH ORDINALITY u (v, o)
              WHERE true) d WHERE month > 0) AS buyers
FROM report_new_returning;
SELECT (SELECT array_agg(customers ORDER BY seq DESC) FROM report_tier) = xpath('//*[local-name()="rect"]/@data-value', report_svg('tiers')::xml)::text[]::bigint[] AS tiers,
       (SELECT count(*) FROM customer_lifecycle_at('2025-06-15 12:00+08')) = (SELECT sum(v) FROM unnest(xpath('//*[local-name()="rect"]/@data-value', report_svg('lifecycle', '2025-06-15 12:00+08')::xml)::text[]::bigint[]) v) AS lifecycle;
SELECT (SELECT array_agg(round(avg, 2)) FROM (SELECT avg(monetary) FROM customer_rfm_at('2025-06-15 12:00+08') GROUP BY r(rfm), f(rfm) ORDER BY r(rfm) DESC, f(rfm)) a)
       = xpath('//*[local-name()="rect"]/@data-value', report_svg('rfm', '2025-06-15 12:00+08')::xml)::text[]::numeric[] AS rfm,
       (SELECT array_agg(100 * retention ORDER BY cohort, months_after) FROM report_cohort WHERE cohort + make_interval(months => months_after) < '2025-07-01' AND months_after < 12)
       = xpath('//*[local-name()="rect"]/@data-value', report_svg('cohort', '2025-06-30')::xml)::text[]::numeric[] AS cohort;
SELECT xpath('//*[local-name()="svg"]/*[local-name()="rect"]/@data-value', report_svg('sources')::xml) AS sources, xpath('//section[@id="points"]//tbody/tr/td/text()', x) AS points FROM page;
SELECT count(*) > 0 AS warned, bool_and(v ~ '^#\d+$') AS by_number FROM page, unnest(xpath('//section[@id="churn"]//tbody/tr/td[1]/text()', x)::text[]) v;

-- Every chart is named and described, ids are unique, nothing comes from elsewhere, and nobody is in it.
SELECT (xpath('count(//*[local-name()="svg"][@role="img"][*[local-name()="title"]][*[local-name()="desc"]])', x))[1] AS named, (xpath('count(//*[local-name()="svg"])', x))[1] AS charts,
       (xpath('count(//table)', x))[1] AS tables, (xpath('count(//section/details/pre)', x))[1] AS queries,
       (xpath('count(//*[local-name()="script" or local-name()="link" or local-name()="img" or @src or @href or @onload])', x))[1] AS foreign,
       (SELECT count(*) = count(DISTINCT i) FROM unnest(xpath('//@id', x)::text[]) i) AS unique_ids,
       x::text ~ '&lt;script&gt;alert' AS escaped, x::text ~* 'zhang|xiaoming|13812345678|5678|example\.com' AS person FROM page;
-- The query shown is the one that made the numbers.
SELECT (SELECT query FROM report_draw('nps', '2025-06-15 12:00+08')) ~ '2025-06-15 04:00:00\+00''::timestamptz' AS shown;
UPDATE settings SET language = 'zh';
SELECT x IS DOCUMENT AS whole, xpath('/html/@lang', x) AS lang, xpath('//section[@id="revenue"]/h2/text()', x) AS title, xpath('//section[@id="revenue"]//th/text()', x) AS heads
FROM (SELECT xmlparse(document report_html('2025-06-15 12:00+08')) AS x) p;

-- Helpers.
SELECT svg_tick_step(v) FROM unnest('{0,7,100,1300,0.03,4,1e9}'::numeric[]) v;
SELECT svg_number(v) AS en, svg_number(v, 'zh') AS zh FROM unnest('{0,0.126,-45.5,999.4,12345,1234567,123456789,NULL}'::numeric[]) v;
SELECT xml_escape(E'a<b>&"''\x01\x1f c');
SELECT xpath('//*[local-name()="rect"]/@x', s) AS x, xpath('//*[local-name()="rect"]/@width', s) AS width
FROM (SELECT replace(svg_bars('{up,down}', '{a}', '{50,-50}'), '@', '')::xml AS s) b;
-- Areas of a treemap are in proportion and fill their rectangle; a point lies in its interval.
SELECT count(*) AS areas, bool_and(abs((w + 1) * (h + 1) / (360 * 220.0) - v / 21) < 0.01) AS proportional, round(sum((w + 1) * (h + 1)) / (360 * 220), 2) AS filled
FROM (SELECT replace(svg_treemap('{a,b,c,d,e,f,none}', '{1,2,3,4,5,6,0}'), '@', '')::xml AS s) t,
     unnest(xpath('//*[local-name()="rect"]/@width', s)::text[]::numeric[], xpath('//*[local-name()="rect"]/@height', s)::text[]::numeric[],
            xpath('//*[local-name()="rect"]/@data-value', s)::text[]::numeric[]) u (w, h, v);
SELECT xpath('//*[local-name()="circle"]/@cx', s) AS points, xpath('//*[@class="whisker"]/@x1', s) AS lows, xpath('//*[@class="whisker"]/@x2', s) AS highs, xpath('//*[@class="base"]/@x1', s) AS zero
FROM (SELECT replace(svg_intervals('{a,b}', '{5,-1}', '{-1.69,-2}', '{9.38,0}'), '@', '')::xml AS s) i;
INSERT INTO campaign (campaign, name, channel, audience, holdout, seed, state, launched_at, target, held_out)
    VALUES ('measured', '测', 'app', audience('{1}'), 0.2, 1, 'launched', '2025-02-01', audience('{1,2}'), audience('{3}'));
INSERT INTO outbox (customer_id, channel, purpose, idempotency_key, due_at, state, sent_at, campaign, variant)
    SELECT i, 'app', 'marketing', 'm', '2025-02-01', 'sent', '2025-02-01', 'measured', 'a' FROM generate_series(1, 2) i;
SELECT (SELECT array_agg(uplift) FROM campaign_effect('measured', '2025-06-15 12:00+08') WHERE variant = 'all')
       = xpath('//*[local-name()="circle"]/@data-value', report_svg('uplift', '2025-06-15 12:00+08')::xml)::text[]::numeric[] AS uplift;
SELECT report_svg('nothing');
SELECT report_html('infinity');

-- Who may.
CREATE ROLE crm_t_report_analyst;
CREATE ROLE crm_t_report_agent;
SELECT crm.grant_access('t_report', 'crm_t_report_analyst', 'analyst'), crm.grant_access('t_report', 'crm_t_report_agent', 'agent');
SET ROLE crm_t_report_analyst;
SELECT length(report_html()) > 10000 AS page, report_svg('tiers') ~ '<style>' AS chart;
SET ROLE crm_t_report_agent;
SELECT report_html();
SELECT report_svg('tiers');
RESET ROLE;
RESET client_min_messages;
SELECT crm.drop_store('t_report', 't_report');
DROP OWNED BY crm_t_report_analyst, crm_t_report_agent;
DROP ROLE crm_t_report_analyst, crm_t_report_agent;
