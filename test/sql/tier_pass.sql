-- Tiers of many customers: what C writes without the executor is what SQL writes. A store in partitions is judged by SQL alone.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
SET client_min_messages = warning;
SELECT crm.create_store('t_pass');
SELECT crm.create_store('t_pass_sql', partitions => 2);

CREATE FUNCTION pg_temp.both(statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('search_path', 't_pass, crm', true);
    EXECUTE statement;
    PERFORM set_config('search_path', 't_pass_sql, crm', true);
    EXECUTE statement;
    PERFORM set_config('search_path', 'public', true);
END
$$;
CREATE FUNCTION pg_temp.differ() RETURNS bigint LANGUAGE sql AS $$
    SELECT (SELECT count(*) FROM ((TABLE t_pass.tier_member EXCEPT TABLE t_pass_sql.tier_member) UNION ALL (TABLE t_pass_sql.tier_member EXCEPT TABLE t_pass.tier_member)) x)
         + (SELECT count(*) FROM ((SELECT to_jsonb(c) - 'booked_at' FROM t_pass.tier_change c EXCEPT SELECT to_jsonb(c) - 'booked_at' FROM t_pass_sql.tier_change c)
                                  UNION ALL (SELECT to_jsonb(c) - 'booked_at' FROM t_pass_sql.tier_change c EXCEPT SELECT to_jsonb(c) - 'booked_at' FROM t_pass.tier_change c)) x)
$$;

SELECT pg_temp.both($$ SELECT install_preset('textbook') $$);
SELECT pg_temp.both($$ INSERT INTO customer (joined_at) SELECT timestamptz '2022-05-05' + i * interval '1 day' FROM generate_series(1, 400) i $$);
-- Imported, so that nothing is judged or earned at once; some orders lie on the edges of years.
SELECT pg_temp.both($$ INSERT INTO purchase (customer_id, order_no, amount, status, paid_at, completed_at, history)
    SELECT 1 + (i::bigint * i * 7919) % 397, 'o' || i, (i * 37) % 900 + 0.5, 'completed', at, at, true
    FROM generate_series(1, 4000) i, LATERAL (SELECT CASE WHEN i % 50 = 0 THEN timestamptz '2023-12-31 16:00' + i % 3 * interval '1 year' ELSE timestamptz '2023-01-01' + i * 7919 % 4001 * interval '7 hours' END AS at) t $$);
SELECT pg_temp.both($$ SELECT count(*) FROM (SELECT earn(i, 100 + i * 97 % 4000, 't', 'g' || i || '/' || n, program => 'growth', as_of => timestamptz '2023-03-01' + (i + n * 170) * interval '1 day')
    FROM generate_series(1, 390, 3) i, generate_series(1, 5) n) e $$);
SELECT pg_temp.both($$ SELECT count(*) FROM (SELECT refund(i, 'g' || i || '/2', 60, source => 't', reference => 'r' || i, program => 'growth', as_of => timestamptz '2025-06-01') FROM generate_series(1, 390, 9) i) r $$);
-- of growth the place of an entry is its own; the rest is by the same moments
CREATE TABLE public.t_pass_step (n integer PRIMARY KEY, at timestamptz, change text);
INSERT INTO public.t_pass_step VALUES
    (1, '2023-12-31 16:00', 'SELECT 1'),
    (2, '2024-01-01 03:00', 'SELECT 1'),
    (3, '2024-02-29 12:00', $$ SELECT count(*) FROM (SELECT grant_tier(i, CASE i % 2 WHEN 0 THEN 'gold' ELSE 'silver' END, '2024-07-01', paid => i % 3 = 0, as_of => '2024-02-01') FROM generate_series(5, 400, 11) i) g $$),
    (4, '2024-12-31 16:00', $$ UPDATE settings SET tier_grace_days = 10 $$),
    (5, '2025-01-03', 'SELECT 1'),
    (6, '2025-02-01', $$ UPDATE settings SET tier_downgrade = 'one_step', tier_grace_days = 0 $$),
    (7, '2025-05-05', $$ UPDATE tier_member SET lock_until = '2025-09-01' WHERE customer_id % 13 = 0 $$),
    (8, '2025-10-01', $$ UPDATE settings SET tier_period = 'calendar', tier_downgrade = 'none' $$),
    (9, '2026-01-05', $$ UPDATE settings SET tier_downgrade = 'to_base' $$),
    (10, '2026-02-05', $$ UPDATE tier SET keep = 'spend_12m >= 700 OR order_count > 12 AND avg_order_12m > 300' WHERE tier = 'gold' $$),
    (11, '2026-06-01', $$ UPDATE tier SET qualify = 'orders_12m >= 4 OR last_order_at > now() - interval ''20 days''' WHERE tier = 'silver' $$),
    (12, '2027-01-01', $$ UPDATE settings SET tier_downgrade = 'to_match', tier_period = 'upgrade' $$),
    (13, '2027-03-01', $$ UPDATE tier SET keep = NULL WHERE tier = 'silver' $$),
    (14, '2028-03-01', $$ UPDATE tier SET qualify = 'margin_total >= 4000' WHERE tier = 'diamond' $$),
    -- backwards: nobody is judged before the tier held
    (15, '2026-12-01', 'SELECT 1');
\pset format unaligned
\pset tuples_only on
SELECT format('SELECT pg_temp.both(%L)', change), format('CALL t_pass.evaluate_tiers(%L, 70)', at), format('CALL t_pass_sql.evaluate_tiers(%L)', at),
       format('SELECT %s AS step, pg_temp.differ(), (SELECT count(*) FROM t_pass.tier_change), (SELECT count(*) FROM t_pass.tier_member WHERE tier <> ''ordinary'')', n)
FROM public.t_pass_step ORDER BY n
\gexec
\pset tuples_only off
SELECT reason, count(*) FROM t_pass.tier_change GROUP BY 1 ORDER BY 1;
-- whether C did it
SELECT crm.tiers_rise('t_pass.purchase', '2026-02-01', 0, 1000) IS NULL AS rise, crm.tiers_rise('t_pass_sql.purchase', '2026-02-01', 0, 1000) IS NULL AS rise_sql;
SELECT pg_temp.both($$ UPDATE tier SET qualify = 'spend_12m >= 3000 OR spend_total >= 5000' WHERE tier = 'diamond' $$);
SELECT cardinality(crm.tiers_rise('t_pass.purchase', '2023-12-01', -5, 1000)), crm.tiers_rise('t_pass.purchase', '2022-02-01', 0, 1000), cardinality(crm.tiers_rise('t_pass.purchase', '2025-02-01', 100, 105));
SELECT lifted, rest FROM crm.tiers_lift('t_pass.purchase', '{}', '2026-02-01');
SELECT lifted, rest FROM crm.tiers_lift('t_pass_sql.purchase', '{1,2}', '2026-02-01');
SELECT lifted FROM crm.tiers_lift('t_pass.purchase', '{1,NULL}', '2026-02-01');
SELECT ended FROM crm.tiers_end('t_pass.purchase', '{1,2}', '{2026-02-01}', NULL);
SELECT ended FROM crm.tiers_end('t_pass.purchase', NULL, '{2026-02-01}', NULL);
-- a trigger that a shop adds is heeded: SQL writes
CREATE FUNCTION public.t_pass_seen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := 'seen'; RETURN NEW; END $$;
CREATE TRIGGER seen BEFORE INSERT ON t_pass.tier_change FOR EACH ROW EXECUTE FUNCTION public.t_pass_seen();
INSERT INTO t_pass.purchase (customer_id, order_no, amount, paid_at, history) SELECT i, 'late' || i, 9000, '2028-05-01', true FROM generate_series(1, 20) i;
CALL t_pass.evaluate_tiers('2028-06-01');
SELECT count(*) > 5 AS many, count(*) = count(note) AS heeded FROM t_pass.tier_change WHERE at = '2028-06-01';
DROP TRIGGER seen ON t_pass.tier_change;
-- under a snapshot of the whole transaction SQL judges, and the outcome is the same
SET default_transaction_isolation = 'repeatable read';
SELECT pg_temp.both($$ UPDATE settings SET tier_period = 'upgrade' $$);
CALL t_pass.evaluate_tiers('2030-01-01');
RESET default_transaction_isolation;
SELECT count(*) FROM t_pass.tier_member WHERE judged_at <= '2030-01-01';
-- who does not own the store has no use of it
CREATE ROLE crm_t_pass_reader;
GRANT USAGE ON SCHEMA t_pass TO crm_t_pass_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA t_pass TO crm_t_pass_reader;
SET ROLE crm_t_pass_reader;
SELECT crm.tiers_rise('t_pass.purchase', '2026-02-01', 0, 1000) IS NULL AS rise;
SELECT lifted, rest FROM crm.tiers_lift('t_pass.purchase', '{1,2}', '2026-02-01');
RESET ROLE;
DROP TABLE public.t_pass_step;
SELECT crm.drop_store('t_pass', 't_pass');
SELECT crm.drop_store('t_pass_sql', 't_pass_sql');
DROP FUNCTION public.t_pass_seen();
DROP ROLE crm_t_pass_reader;
