-- Predictions of the models with given parameters, and fits on made data.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET extra_float_digits = 0;
SET search_path = crm, public;
CREATE TEMP TABLE given AS SELECT
    ROW(.243, 4.414, .793, 2.426, NULL, NULL, NULL)::bgnbd AS bg,
    ROW(.5534, 10.5802, .6061, 11.6562, NULL, NULL, NULL)::pareto_nbd AS pn,
    ROW(.553, 10.578, .606, 11.669, NULL, NULL, NULL)::pareto_nbd AS pn_paper,
    ROW(6.25, 3.74, 15.44, NULL, NULL, NULL)::gamma_gamma AS gg;

-- BG/NBD, the published predictions for CDNOW.
SELECT round(expected_purchases(bg, 39, 2, 30.43, 38.86)::numeric, 6) AS "1.226028", round(p_alive(bg, 2, 30.43, 38.86)::numeric, 6) AS ".726579" FROM given;
SELECT t, expected, round(expected_purchases(bg, t)::numeric, 5) = expected AS equal
FROM given, (VALUES (.1429, .00783), (1, .05327), (3, .15087), (31.8571, 1.04200), (32, 1.04524), (78, 1.86052)) v (t, expected);
SELECT to_char(purchase_pmf(bg, 2, 10), '9.9999999EEEE') AS "1.0786896e-07", round(purchase_pmf(bg, 39, 0)::numeric, 7) AS ".5737864" FROM given;
SELECT n, p, round(purchase_pmf(bg, 30, n)::numeric, 10) = p AS equal
FROM given, (VALUES (11, .0019995214), (12, .0015170236), (13, .0011633150), (14, .0009003148), (15, .0007023638),
                    (16, .0005517902), (17, .0004361913), (18, .0003467171), (19, .0002769613), (20, .0002222260)) v (n, p);
SELECT round(sum(purchase_pmf(bg, 30, n))::numeric, 6) AS all, round(sum(n * purchase_pmf(bg, 30, n))::numeric, 4) = round(max(expected_purchases(bg, 30))::numeric, 4) AS mean
FROM given, generate_series(0, 400) n;
SELECT purchase_pmf(bg, 0, 0) AS at_once, purchase_pmf(bg, 30, -1) AS negative FROM given;
SELECT p_alive(bg, 0, 0, 1000) AS "1", p_alive(bg, 1000, 10, 100) AS "0" FROM given;
-- Scaling time by ten changes nothing.
SELECT max(abs(p_alive(bg, x, t_x, t) - p_alive(scaled, x, 10 * t_x, 10 * t))) < 1e-12 AS p_alive,
       max(abs(expected_purchases(bg, 39, x, t_x, t) - expected_purchases(scaled, 390, x, 10 * t_x, 10 * t))) < 1e-12 AS expected
FROM given, (SELECT ROW(.243, 44.14, .793, 2.426, NULL, NULL, NULL)::bgnbd AS scaled) s, generate_series(1, 20) x, generate_series(5, 40, 5) t, LATERAL (SELECT t * .9 AS t_x) l;
-- Finite for extreme customers, and within what their history allows.
SELECT count(*), bool_and(expected_purchases(bg, h, x, t_x, t) BETWEEN 0 AND (x + 1) * h / t) AS bg, bool_and(expected_purchases(pn, h, x, t_x, t) BETWEEN 0 AND (x + 1) * h / t) AS pn,
       bool_and(p_alive(bg, x, t_x, t) BETWEEN 0 AND 1) AS bg_alive, bool_and(p_alive(pn, x, t_x, t) BETWEEN 0 AND 1) AS pn_alive
FROM given, unnest(ARRAY[1, 10, 100, 1000, 10000]) x, unnest(ARRAY[1, 100, 1000, 100000]) t, unnest(ARRAY[.001, .5, .999999, 1]) part, LATERAL (SELECT t * part AS t_x) l,
     unnest(ARRAY[0, 1e-6, 1, 52, 5200]) h;
SELECT expected_purchases(bg, 1e9, 3, 10, 12) < 1e9 AS far, p_alive(bg, 5, 1, 1e12) BETWEEN 0 AND 1e-50 AS gone, round(expected_purchases(pn, 52, 1000, 52, 52)::numeric, 6) AS frequent FROM given;
-- The poles a = 1, a + b = 1 and s = 1 are smooth.
SELECT a, round(expected_purchases(ROW(.243, 4.414, a, 2.426, NULL, NULL, NULL)::bgnbd, 39, 2, 30.43, 38.86)::numeric, 8)
FROM unnest(ARRAY[.999, .9999, .99999, .999999, 1, 1.000001, 1.00001, 1.0001, 1.001]) a;
SELECT b, round(expected_purchases(ROW(.243, 4.414, .5, b, NULL, NULL, NULL)::bgnbd, 39)::numeric, 8)
FROM unnest(ARRAY[.499, .49999, .499999, .5, .500001, .50001, .501]) b;
SELECT s, round(expected_purchases(ROW(.5534, 10.5802, s, 11.6562, NULL, NULL, NULL)::pareto_nbd, 52, 2, 30, 31)::numeric, 8)
FROM unnest(ARRAY[.999, .999999, 1 - 1e-13, 1, 1 + 1e-13, 1.000001, 1.001]) s;
-- Great r against small a + b takes the other form of the same function; where both hold they agree.
SELECT round(expected_purchases(ROW(r, 40, .7, 1.5, NULL, NULL, NULL)::bgnbd, 10, 30, 50, 52)::numeric, 9) AS expected
FROM unnest(ARRAY[2.1999999999, 2.2000000001]) r;
SELECT round(expected_purchases(ROW(80, 90, .7, 1.5, NULL, NULL, NULL)::bgnbd, 10)::numeric, 5) AS regular,
       round((SELECT sum(n * purchase_pmf(ROW(80, 90, .7, 1.5, NULL, NULL, NULL)::bgnbd, 10, n)) FROM generate_series(0, 100) n)::numeric, 5) AS by_pmf;

-- Pareto/NBD.
SELECT round(p_alive(pn, 26, 30.86, 31)::numeric, 8) AS ".99791777", round(expected_purchases(pn, 52, 26, 30.86, 31)::numeric, 4) AS "25.4549",
       round(expected_purchases(pn_paper, 52, 26, 30.86, 31)::numeric, 4) AS "25.4585" FROM given;
SELECT t, round(expected_purchases(pn, t)::numeric, 4) AS fitted, round(expected_purchases(pn_paper, t)::numeric, 4) AS paper,
       abs(expected_purchases(pn, t) - (ARRAY[0, .05077821, .09916088, .14542507, .18979930, .23247466, .27361274, .31335159, .35181024, .38909211])[t + 1]) < .01 AS published
FROM given, generate_series(0, 9) t;
-- alpha above and below beta, and equal: one formula.
SELECT round(p_alive(ROW(.55, alpha, .6, 10, NULL, NULL, NULL)::pareto_nbd, 3, 20, 40)::numeric, 8) FROM unnest(ARRAY[9.9999999, 10, 10.0000001]) alpha;

-- Chances of each number of purchases, against the integral over both rates (a grid of 6,001 logs of each); they sum to 1, and to the mean that a closed form gives.
SELECT n, abs(purchase_pmf(pn_paper, 39, n) / p - 1) < 1e-12 AS equal
FROM given, (VALUES (0, 0.593625031602343), (1, 0.165562947277165), (2, 0.0824871841163112), (5, 0.0214848283618197), (10, 0.00419343933208015)) v (n, p);
SELECT r, alpha, s, beta, abs(sum(p) - 1) < 1e-10 AS one, abs(sum(n * p) / expected_purchases(ROW(r, alpha, s, beta, NULL, NULL, NULL)::pareto_nbd, h) - 1) < 1e-9 AS mean
FROM (VALUES (.553, 10.578, .606, 11.669, 39.0, 600), (.3, 500, .2, .5, 100, 60), (80, 90, 1, 1.5, 10, 100), (2, 1e-3, 2, 1e3, .01, 800), (1e4, 1e4, 1e4, 1e4, 3, 40))
         v (r, alpha, s, beta, h, last)
CROSS JOIN generate_series(0, last) n
CROSS JOIN LATERAL (SELECT purchase_pmf(ROW(r, alpha, s, beta, NULL, NULL, NULL)::pareto_nbd, h, n) AS p) q
GROUP BY r, alpha, s, beta, h ORDER BY r, alpha;
SELECT purchase_pmf(pn, 0, 0) AS at_once, purchase_pmf(pn, 0, 1) AS later, purchase_pmf(pn, 30, -1) AS negative, purchase_pmf(pn, 1e300, 3) < 1 AS far FROM given;
SELECT purchase_pmf(pn, -1, 0) FROM given;

-- Far apart, against the integral over the moment of leaving (Simpson's rule, 200,000 steps).
SELECT p, round(p_alive(ROW(r, alpha, s, beta, NULL, NULL, NULL)::pareto_nbd, x, t_x, t)::numeric, 8) = p AS equal
FROM (VALUES (.55, 1, .6, 50, 3, 20, 40, .61139174), (.55, 50, .6, 1, 3, 20, 40, .54167868), (.55, .1, 2.5, 300, 0, 0, 40, .54859252),
             (.55, 300, 2.5, .1, 7, 30, 40, .45506196), (.7, 4, 40, 900, 5, 100, 200, .00107069)) v (r, alpha, s, beta, x, t_x, t, p);
-- Every customer as likely to leave: a and b without bound, and still the chances are those of the plain mix.
SELECT round(expected_purchases(ROW(.5, 4, a, 4 * a, NULL, NULL, NULL)::bgnbd, 26, 3, 20, 30)::numeric, 4) AS expected
FROM unnest(ARRAY[50, 500, 5000, 50000]) a;

-- Gamma-Gamma.
SELECT x, mean, round(expected_value(gg, x, mean)::numeric, 2) = e AS exact, abs(expected_value(gg, x, mean) - published) < .1 AS published
FROM given, (VALUES (2, 22.35, 24.66, 24.65), (1, 11.77, 18.92, 18.91), (0, 0, 35.22, 35.17), (7, 73.74, 71.47, 71.46), (2, 25.55, 27.29, 27.28)) v (x, mean, e, published);
SELECT expected_value(ROW(2, .5, 10, NULL, NULL, NULL)::gamma_gamma, 0, 0) IS NULL AS no_mean, round(expected_value(ROW(2, .5, 10, NULL, NULL, NULL)::gamma_gamma, 1, 20)::numeric, 4) AS mean;

-- Discounted cash flow: a month, two, discount; against the sum written out.
SELECT round((clv(bg, gg, 2, 30.43, 38.86, 22.35, 1, 0, 4.345) - expected_value(gg, 2, 22.35) * expected_purchases(bg, 4.345, 2, 30.43, 38.86))::numeric, 12) AS one_month,
       round((clv(bg, gg, 2, 30.43, 38.86, 22.35, 1, 1, 4.345) / clv(bg, gg, 2, 30.43, 38.86, 22.35, 1, 0, 4.345))::numeric, 12) AS half,
       round((clv(bg, gg, 2, 30.43, 38.86, 22.35, 2, 0, 4.345) / clv(bg, gg, 2, 30.43, 38.86, 22.35, 1, 0, 4.345))::numeric, 1) AS twice,
       round((clv(bg, gg, 2, 30.43, 38.86, 22.35, 2, 1, 4.345) / clv(bg, gg, 2, 30.43, 38.86, 22.35, 1, 0, 4.345))::numeric, 2) AS three_quarters,
       clv(bg, gg, 2, 30.43, 38.86, 22.35, 0, .01, 4.345) AS nothing
FROM given;
SELECT round(clv(bg, gg, 2, 30.43, 38.86, 22.35)::numeric, 6) AS year,
       round((SELECT expected_value(gg, 2, 22.35) * sum((expected_purchases(bg, i * 4.345, 2, 30.43, 38.86) - expected_purchases(bg, (i - 1) * 4.345, 2, 30.43, 38.86)) / 1.01 ^ i)
              FROM generate_series(1, 12) i)::numeric, 6) AS written_out,
       round(clv(pn, gg, 2, 30.43, 38.86, 22.35)::numeric, 6) AS pareto_year,
       round((SELECT expected_value(gg, 2, 22.35) * sum((expected_purchases(pn, i * 4.345, 2, 30.43, 38.86) - expected_purchases(pn, (i - 1) * 4.345, 2, 30.43, 38.86)) / 1.01 ^ i)
              FROM generate_series(1, 12) i)::numeric, 6) AS written_out
FROM given;

-- Arguments that make no sense are refused; null gives null.
SELECT p_alive(bg, -1, 0, 1) FROM given;
SELECT p_alive(bg, 1, 3, 2) FROM given;
SELECT p_alive(pn, 'NaN', 1, 2) FROM given;
SELECT expected_purchases(bg, -1, 1, 1, 2) FROM given;
SELECT expected_purchases(bg, 'Infinity') FROM given;
SELECT expected_value(gg, 1, -5) FROM given;
SELECT clv(bg, gg, 1, 1, 2, 5, -1) FROM given;
SELECT clv(bg, gg, 1, 1, 2, 5, 12, -1) FROM given;
SELECT clv(bg, gg, 1, 1, 2, 5, 12, .01, 0) FROM given;
SELECT p_alive(ROW(.2, NULL, 1, 1, NULL, NULL, NULL)::bgnbd, 1, 1, 2);
SELECT p_alive(ROW(.2, -4, 1, 1, NULL, NULL, NULL)::bgnbd, 1, 1, 2);
SELECT p_alive(bg, NULL, 1, 2) IS NULL AS null_history, p_alive(NULL::bgnbd, 1, 1, 2) IS NULL AS null_model FROM given;
-- The cache of the model follows when it changes from row to row, also between the arguments.
SELECT round(p_alive(ROW(.243, 4.414, a, 2.426, NULL, NULL, NULL)::bgnbd, 2, 30.43, 38.86)::numeric, 6) AS p,
       round(clv(ROW(.243, 4.414, a, 2.426, NULL, NULL, NULL)::bgnbd, ROW(6.25, 3.74, v, NULL, NULL, NULL)::gamma_gamma, 2, 30.43, 38.86, 22.35)::numeric, 3) AS clv
FROM (VALUES (.793, 15.44), (.793, 16), (.5, 16), (.793, 15.44)) v (a, v);

-- buyer_summary: same day merged, order of rows of no account, later ones left out.
CREATE TEMP TABLE log (id int, day date, amount numeric);
INSERT INTO log VALUES (1, '2015-01-01', 1), (1, '2015-02-06', 2), (2, '2015-01-01', 2), (3, '2015-01-01', 3), (3, '2015-01-02', 1), (3, '2015-01-05', 5),
    (4, '2015-01-16', 6), (4, '2015-02-02', 3), (4, '2015-02-05', 3), (4, '2015-02-05', 6), (5, '2015-01-16', 3), (5, '2015-01-17', 1), (5, '2015-01-18', 8), (6, '2015-02-02', 5);
SELECT id, (buyer_summary(day, amount, '2015-02-07')).* FROM log GROUP BY id ORDER BY id;
SELECT id, (buyer_summary(day, amount, '2015-02-07' ORDER BY random())).* FROM log GROUP BY id ORDER BY id;
SELECT id, (buyer_summary(day, amount, '2015-02-04', 7)).* FROM log GROUP BY id ORDER BY id;
SELECT id, buyer_summary(day, '2015-01-10') FROM log GROUP BY id ORDER BY id;
SELECT buyer_summary(day, amount, NULL) FROM log;
SELECT buyer_summary(day, amount, '2015-02-07', 0) FROM log;
SELECT buyer_summary('infinity', 1, '2015-02-07'), buyer_summary(NULL, 1, '2015-02-07');
SELECT buyer_summary(day, NULL, '2015-02-07') FROM log WHERE id = 3;

-- Fits: what is no history, too little of it, and made data whose parameters come back.
SELECT bgnbd_fit(x, t_x, t) IS NULL AS nobody FROM (VALUES (1, 1, 2)) v (x, t_x, t) WHERE false;
SELECT bgnbd_fit(0, 0, t) IS NULL AS no_repeats, pareto_nbd_fit(0, 0, t) IS NULL AS no_repeats, gamma_gamma_fit(0, 0) IS NULL AS no_repeats FROM generate_series(1, 9) t;
SELECT bgnbd_fit(1.5, 1, 2);
SELECT bgnbd_fit(-1, 1, 2);
SELECT bgnbd_fit(1, 3, 2);
SELECT pareto_nbd_fit(0, 1, 2);
SELECT bgnbd_fit(1, 0, 2);
SELECT bgnbd_fit(1, 'NaN', 2);
SELECT gamma_gamma_fit(1, 'Infinity');
-- One history over and over has no single maximum: the fit says so and stays finite.
SELECT (f).customers, isfinite FROM (SELECT bgnbd_fit(2, 10, 20) AS f FROM generate_series(1, 50)) x,
LATERAL (SELECT (f).log_likelihood < 0 AND ((f).fit ->> 'converged') IS NOT NULL AS isfinite) y;

-- 20,000 customers of a BG/NBD and Gamma-Gamma world, made with a fixed seed.
CREATE FUNCTION pg_temp.gamma_of(shape double precision) RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
    d double precision := CASE WHEN shape < 1 THEN shape + 1 ELSE shape END - 1.0 / 3;
    c double precision := 1 / sqrt(9 * d);
    n double precision;
    v double precision;
BEGIN
    LOOP
        n := sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random());
        v := (1 + c * n) ^ 3;
        IF v > 0 AND ln(1 - random()) < n * n / 2 + d - d * v + d * ln(v) THEN
            RETURN d * v * CASE WHEN shape < 1 THEN (1 - random()) ^ (1 / shape) ELSE 1 END;
        END IF;
    END LOOP;
END $$;
CREATE FUNCTION pg_temp.life_of(t double precision, r double precision, alpha double precision, a double precision, b double precision,
    OUT x integer, OUT t_x double precision) LANGUAGE plpgsql AS $$
DECLARE
    rate double precision := pg_temp.gamma_of(r) / alpha;
    ga double precision := pg_temp.gamma_of(a);
    leave double precision := ga / (ga + pg_temp.gamma_of(b));
    at double precision := 0;
BEGIN
    x := 0; t_x := 0;
    LOOP
        at := at - ln(1 - random()) / greatest(rate, 1e-12);
        EXIT WHEN at > t;
        x := x + 1; t_x := at;
        EXIT WHEN random() < leave;
    END LOOP;
END $$;
SELECT setseed(0.42);
CREATE TABLE public.models_world AS
SELECT g AS id, 20 + g % 60 AS t, x, t_x FROM generate_series(1, 20000) g, LATERAL pg_temp.life_of(20 + g % 60, .6, 5, .8, 2.5);
SELECT (f).customers, (f).fit ->> 'converged' AS converged,
       abs((f).r - .6) < 3 * ((f).fit #>> '{standard_errors,r}')::float8 AS r, abs((f).alpha - 5) < 3 * ((f).fit #>> '{standard_errors,alpha}')::float8 AS alpha,
       abs((f).a - .8) < 3 * ((f).fit #>> '{standard_errors,a}')::float8 AS a, abs((f).b - 2.5) < 3 * ((f).fit #>> '{standard_errors,b}')::float8 AS b,
       ((f).fit #>> '{standard_errors,r}')::float8 < .05 AS narrow
FROM (SELECT bgnbd_fit(x, t_x, t) AS f FROM public.models_world OFFSET 0) q;
-- In parallel, to the last digit.
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
ALTER TABLE public.models_world SET (parallel_workers = 2);
EXPLAIN (COSTS OFF) SELECT bgnbd_fit(x, t_x, t) FROM public.models_world;
SELECT bgnbd_fit(x, t_x, t)::text AS parallel FROM public.models_world \gset
SET max_parallel_workers_per_gather = 0;
SELECT bgnbd_fit(x, t_x, t)::text = :'parallel' AS same FROM public.models_world;
SELECT bgnbd_fit(x, t_x, t ORDER BY random())::text = :'parallel' AS same FROM public.models_world;
DROP TABLE public.models_world;
