-- Scores, models, segments, without outside data.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET search_path = crm, public;

-- The score: text, parts, order, binary form.
SELECT '5-4-3'::rfm AS rfm, r('5-4-3'::rfm), f('5-4-3'::rfm), m('5-4-3'::rfm), rfm(1, 20, 100);
SELECT s::rfm FROM unnest(ARRAY['1-5-5', '5-1-1', '4-5-5', '4-5-4', '10-1-1']) s ORDER BY s::rfm DESC;
SELECT count(DISTINCT s::rfm), max(r(s::rfm)) FROM unnest(ARRAY['1-1-1', '1-1-1', '2-1-1']) s;
SELECT rfm_send('5-4-3'), '5-4-3'::rfm = '5-4-3' AS eq, '5-4-3'::rfm <> '5-4-3' AS ne, '3-5-5'::rfm < '5-1-1' AS lt;
SELECT '5-4'::rfm;
SELECT '5-4-0'::rfm;
SELECT '5-4-101'::rfm;
SELECT '5-4-03'::rfm;
SELECT '5-4-3 '::rfm;
SELECT rfm(0, 1, 1);
CREATE TEMP TABLE scores (s rfm, model rfm_model);
INSERT INTO scores SELECT rfm(a, b, c), rfm_model(ARRAY[a, a + 1], ARRAY[b], ARRAY[c + .1, 7, 8], a > 3)
FROM generate_series(1, 5) a, generate_series(1, 5) b, generate_series(1, 5) c;
CREATE INDEX ON scores (s);
CREATE INDEX ON scores USING hash (s);
SET enable_seqscan = off;
SELECT count(*) FROM scores WHERE s >= '4-1-1';
SELECT count(*) FROM scores WHERE s = '4-1-1';
RESET enable_seqscan;

-- The model: text and binary forms give back the same; bad ones are refused.
SELECT rfm_model(ARRAY[30, 90], ARRAY[2, 5.5], ARRAY[100, 500, 1000]);
SELECT rfm_model('{30,90}', '{2}', '{100}', right_closed => true)::jsonb;
SELECT bool_and(model::text::rfm_model::text = model::text) FROM scores;
SELECT r_cuts(m), f_cuts(m), m_cuts(m) FROM (SELECT rfm_model('{30,90}', '{2}', '{0.1}') AS m) x;
SELECT rfm_model_send('{"closed": "right", "r": [30], "f": [2], "m": [100]}');
SELECT '{"r": [30], "f": [2], "m": [100]}'::rfm_model;
SELECT '{"r": [30], "f": [2]}'::rfm_model;
SELECT '[1]'::rfm_model;
SELECT '{"r": [30], "f": [2], "m": []}'::rfm_model;
SELECT '{"r": [30], "f": [5, 2], "m": [1]}'::rfm_model;
SELECT '{"r": [30], "f": [2], "m": [1e400]}'::rfm_model;
SELECT '{"r": [30], "f": ["2"], "m": [1]}'::rfm_model;
SELECT '{"closed": "both", "r": [30], "f": [2], "m": [1]}'::rfm_model;
SELECT '{"r": [30], "f": [2], "m": [1], "customers": -1}'::rfm_model;
SELECT '{"r": [30], "f": [2], "m": [1], "customers": 3, "means": [1, 2, 3]}'::rfm_model;
SELECT rfm_model('{30,10}', '{2}', '{100}');
SELECT rfm_model('{NaN}', '{2}', '{100}');
SELECT rfm_model('{}', '{2}', '{100}');
SELECT rfm_model('{1,null}', '{2}', '{100}');
SELECT rfm_model('{{1},{2}}', '{2}', '{100}');
SELECT rfm_model(array_agg(g), '{2}', '{100}') FROM generate_series(1, 100) g;

-- Which side of a cut point a value falls on; null in, null out.
SELECT closed, v, rfm_score(rfm_model('{10,20}', '{10,20}', '{10,20}', closed), v, v, v)
FROM unnest(ARRAY[false, true]) closed, unnest(ARRAY[9.5, 10, 10.5, 20, 21]) v ORDER BY 1, 2;
SELECT rfm_score(rfm_model('{10}', '{10}', '{10}'), NULL, 1, 1) IS NULL AS null_in;
SELECT rfm_score(rfm_model('{10}', '{10}', '{10}'), 'Infinity', 'Infinity', '-Infinity');

-- A numeric amount is the double that its cast gives.
SELECT count(*), count(*) FILTER (WHERE (m_cuts(rfm_fit))[1] <> v::float8) AS differs
FROM (SELECT v, rfm_fit(1, 1, v)
      FROM (SELECT (s || d || e)::numeric AS v FROM unnest(ARRAY['', '-']) s,
                   unnest(ARRAY['0', '0.1', '0.01', '12.34', '0.00001234', '9999.9999', '123456789.12', '9007199254740992', '9007199254740993', '90071992547409.93',
                                '0.3333333333333333', '1234567890123456.7', '99999999999999999999', '0.07', '1.005', '4.35', '70000000']) d,
                   unnest(ARRAY['', 'e-12', 'e18', 'e-30', 'e40']) e
            UNION ALL SELECT (g * 7919 % 100003) / 100.0 FROM generate_series(1, 1000) g) x
      GROUP BY v) y;
SELECT rfm_score(rfm_model('{1}', '{1}', '{1}'), 1, 1, 'NaN'::numeric), rfm_score(rfm_model('{1}', '{1}', '{1}'), 1, 1, '-Infinity'::numeric);
-- The fit equals percentile_cont, and every type of number goes in.
CREATE TEMP TABLE buyer AS
SELECT g AS id, (g * 7919) % 400 AS recency, ((g * 104729) % 23)::bigint AS frequency, ((g * 15485863::bigint) % 99991) / 100.0 AS monetary
FROM generate_series(1, 5000) g;
WITH cuts AS (
    SELECT b, percentile_cont(p) WITHIN GROUP (ORDER BY recency) AS r, percentile_cont(p) WITHIN GROUP (ORDER BY frequency) AS f,
           percentile_cont(p) WITHIN GROUP (ORDER BY monetary) AS m
    FROM buyer, LATERAL (SELECT b, array_agg(i::float8 / b ORDER BY i) AS p FROM unnest(ARRAY[2, 3, 5, 10, 100]) b, generate_series(1, b - 1) i GROUP BY b) bins
    GROUP BY b, p),
fits AS (
    SELECT b, rfm_fit(recency, frequency, monetary, b) AS q, rfm_fit(recency, frequency, monetary, b, 'quantile_plus_one') AS p
    FROM buyer, unnest(ARRAY[2, 3, 5, 10, 100]) b GROUP BY b)
SELECT b, r_cuts(q) = r AS r, f_cuts(q) = f AS f, m_cuts(q) = m AS m,
       r_cuts(p) = (SELECT array_agg(x + 1) FROM unnest(r) x) AS r1, m_cuts(p) = (SELECT array_agg(x + 1) FROM unnest(m) x) AS m1
FROM cuts JOIN fits USING (b) ORDER BY b;
SELECT rfm_fit(recency, frequency, monetary)::text = rfm_fit(recency, frequency, monetary, 5, 'quantile')::text AS defaults,
       rfm_fit(recency::int, frequency::bigint, monetary::numeric)::text = rfm_fit(recency::float8, frequency::int, monetary::float8)::text AS types,
       rfm_fit(recency::numeric, frequency::numeric, monetary::numeric, 5)::text = rfm_fit(recency::smallint, frequency::real, monetary::float8, 5)::text AS more_types
FROM buyer;
SELECT rfm_fit(recency, frequency, monetary) FROM buyer;
-- The means kept are those of the scores.
SELECT round(avg(r(s)), 6) AS r, round(avg(f(s)), 6) AS f, round(avg(m(s)), 6) AS m,
       ((any_model::jsonb) -> 'means') AS means
FROM (SELECT rfm_score(model, recency, frequency, monetary) AS s, model::text AS any_model
      FROM buyer, (SELECT rfm_fit(recency, frequency, monetary) AS model FROM buyer) x) y
GROUP BY any_model;
-- Fewer customers than bins.
SELECT count(*), bool_and(r_cuts(q) = r) AS r, bool_and(m_cuts(q) = m) AS m
FROM (SELECT n, b, rfm_fit(recency, frequency, monetary, b) AS q,
             percentile_cont((SELECT array_agg(i::float8 / b ORDER BY i) FROM generate_series(1, b - 1) i)) WITHIN GROUP (ORDER BY recency) AS r,
             percentile_cont((SELECT array_agg(i::float8 / b ORDER BY i) FROM generate_series(1, b - 1) i)) WITHIN GROUP (ORDER BY monetary) AS m
      FROM buyer, generate_series(18, 120, 3) n, unnest(ARRAY[5, 47, 100]) b WHERE id <= n GROUP BY n, b) x;
-- Sorted, reversed and constant input; small input; nulls.
SELECT rfm_fit(g, -g, 7) FROM generate_series(1, 3000) g;
SELECT rfm_fit(g, g, g) FROM generate_series(1, 2) g;
SELECT rfm_fit(1, 1, 1) AS one, rfm_fit(NULL, 1, 1) IS NULL AS none, (SELECT rfm_fit(1, 1, 1) IS NULL FROM buyer WHERE false) AS empty;
SELECT rfm_fit(CASE WHEN g <= 4 THEN g END, g, g, 2) FROM generate_series(1, 8) g;
SELECT rfm_fit(1, 1, 1, 1);
SELECT rfm_fit(1, 1, 1, 101);
SELECT rfm_fit(1, 1, 1, NULL);
SELECT rfm_fit(1, 1, 1, 5, 'ntile');
SELECT rfm_fit(1, 'Infinity', 1);
SELECT rfm_fit('NaN', 1, 1);
-- As a window aggregate the state is read many times.
SELECT id, f_cuts(rfm_fit(recency, frequency, monetary, 3) OVER (ORDER BY id)) FROM buyer ORDER BY id LIMIT 4;
-- In parallel it gives the same.
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
CREATE TABLE public.rfm_buyer AS SELECT * FROM buyer;
ALTER TABLE public.rfm_buyer SET (parallel_workers = 2);
EXPLAIN (COSTS OFF) SELECT rfm_fit(recency, frequency, monetary, 5, 'quantile') FROM public.rfm_buyer;
SELECT (SELECT rfm_fit(recency, frequency, monetary)::text FROM public.rfm_buyer) = (SELECT rfm_fit(recency, frequency, monetary)::text FROM buyer) AS same;
DROP TABLE public.rfm_buyer;

-- Segments: first match wins, so that two of the older table can never be.
SELECT rfm_segment('5-5-5', 'rfm_package', 'en'), rfm_segment('5-5-5', 'rfm_package', 'zh'), rfm_segment('5-5-5');
SELECT n, (SELECT count(*) FROM scores WHERE rfm_segment(s, 'rfm_package', 'en') = n) AS v03,
       (SELECT count(*) FROM scores WHERE rfm_segment(s, 'rfm_package_v02', 'en') = n) AS v02
FROM unnest(ARRAY['Champions', 'Potential Loyalist', 'Loyal Customers', 'Promising', 'New Customers', 'Can''t Lose Them', 'At Risk',
                  'Need Attention', 'About To Sleep', 'Lost', 'Others']) n;
SELECT s, rfm_segment(s, 'eight', 'zh') AS zh, rfm_segment(s, 'eight', 'en') AS en
FROM unnest(ARRAY['5-5-5', '5-1-5', '1-5-5', '1-1-5', '5-5-1', '5-1-1', '1-5-1', '1-1-1', '3-3-3', '4-4-4']::rfm[]) s;
-- With a model, high is above its mean scores; a tie is low.
SELECT rfm_segment('2-2-2', model, 'eight', 'zh') AS above, rfm_segment('1-2-1', model, 'eight', 'zh') AS ties, rfm_segment('5-5-5', model, 'rfm_package', 'en') AS table_scheme
FROM (SELECT '{"r": [1, 2], "f": [1, 2], "m": [1, 2], "customers": 9, "means": [1.9, 2, 1.99]}'::rfm_model AS model) x;
SELECT rfm_segment('5-5-5', 'nine', 'en');
SELECT rfm_segment('5-5-5', 'eight', 'fr');

-- In a store: refit, the view, and a moment in the past.
RESET search_path;
SELECT crm.create_store('t_rfm', time_zone => 'Asia/Shanghai', language => 'en');
SET search_path = t_rfm, crm, public;
SELECT refit_rfm() IS NULL AS nobody_yet;
INSERT INTO customer DEFAULT VALUES;
INSERT INTO customer (customer_id) SELECT g FROM generate_series(101, 140) g;
INSERT INTO customer_summary (customer_id) SELECT customer_id FROM customer ON CONFLICT DO NOTHING;
-- Customer 100 + g: g / 4 + 1 orders, the last one 10 g days ago.
-- Days are days of the store: no change of clocks lies between.
SET timezone = 'Asia/Shanghai';
INSERT INTO purchase (customer_id, order_no, amount, paid_at)
SELECT 100 + g, g || '-' || o, 10 * g, now() - make_interval(days => 10 * g + 3 * (o - 1))
FROM generate_series(1, 40) g, generate_series(1, g / 4 + 1) o;
-- What counts nothing changes nothing.
INSERT INTO purchase (customer_id, order_no, status, amount, paid_at) VALUES (101, 'x1', 'cancelled', 1e6, now()), (101, 'x2', 'pending', 1e6, NULL);
SELECT count(*), min(recency), max(recency), sum(frequency), sum(monetary) FROM buyer_rfm_values();
SELECT refit_rfm();
SELECT count(*), max(as_of) = max(fitted_at) AS current FROM rfm_fit;
-- The summary is the orders part's; here it is filled by hand so that this test stands alone.
UPDATE customer_summary s SET order_count = n, spend_total = amount, last_order_at = last
FROM (SELECT customer_id, count(*) AS n, sum(net) AS amount, max(order_at) AS last FROM purchase WHERE order_at IS NOT NULL GROUP BY 1) p
WHERE p.customer_id = s.customer_id;
SELECT * FROM customer_rfm WHERE customer_id IN (101, 110, 120, 130, 140) ORDER BY customer_id;
SELECT segment, count(*) FROM customer_rfm GROUP BY 1 ORDER BY 1;
SELECT count(*) AS differs FROM customer_rfm FULL JOIN customer_rfm_at() USING (customer_id, recency, frequency, monetary, rfm, segment)
WHERE customer_rfm IS NULL OR customer_rfm_at IS NULL;
UPDATE settings SET rfm_scheme = 'eight', language = 'zh';
SELECT segment, count(*) FROM customer_rfm GROUP BY 1 ORDER BY 1;
-- In the past: fewer buyers, recency counted from then.
SELECT count(*), min(recency), max(recency) FROM customer_rfm_at(now() - interval '100 days');
-- Midnight is the shop's: 17:00 UTC is the next day in Shanghai.
SELECT recency FROM customer_rfm_at((SELECT date_trunc('day', max(order_at) AT TIME ZONE 'Asia/Shanghai') AT TIME ZONE 'Asia/Shanghai' + interval '1 day' FROM purchase WHERE customer_id = 101)) WHERE customer_id = 101;
SELECT recency FROM customer_rfm_at((SELECT date_trunc('day', max(order_at) AT TIME ZONE 'Asia/Shanghai') AT TIME ZONE 'Asia/Shanghai' + interval '1 day - 1 microsecond' FROM purchase WHERE customer_id = 101)) WHERE customer_id = 101;
-- Cut points of one's own take over.
INSERT INTO rfm_fit (as_of, model) VALUES (now(), rfm_model('{30,90,180,365}', '{2,3,5,8}', '{100,500,1000,2000}'));
SELECT customer_id, rfm, segment FROM customer_rfm WHERE customer_id IN (101, 140) ORDER BY 1;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
SET enable_seqscan = off;
DO $$
DECLARE
    line text;
BEGIN
    -- How a plan names its InitPlan depends on the version.
    FOR line IN EXPLAIN (COSTS OFF) SELECT * FROM customer_rfm WHERE customer_id = 101 LOOP
        CONTINUE WHEN line ~ 'Disabled: true'; -- said since 18
        RAISE INFO '%', replace(replace(line, ' (returns $0)', ''), '(InitPlan 1).col1', '$0');
    END LOOP;
END
$$;
\set VERBOSITY terse
UPDATE settings SET rfm_bins = 1;
UPDATE settings SET rfm_method = 'ntile';
RESET search_path;
SELECT crm.drop_store('t_rfm', confirm => 't_rfm');
