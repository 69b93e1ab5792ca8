-- What is owed, by the month it was booked, earned and expires: every sum exact. And movements of customers that are not there.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
SELECT crm.create_store('t_points_liability');
SET search_path = t_points_liability, crm, pg_temp;
INSERT INTO customer (customer_id) SELECT generate_series(1, 200);
UPDATE points_program SET expiry = 'months', expiry_n = 12, redemption_rate = 0.85, value = 0.1, restore_grace_days = 30 WHERE program = 'points';
-- one account, followed by hand: of points with one end the oldest go first
SELECT points FROM earn(1, 100, 't', 'jan', as_of => '2025-01-10');
SELECT points FROM earn(1, 40, 't', 'feb', as_of => '2025-02-10');
SELECT points FROM earn(1, 10, 't', 'same', as_of => '2025-02-11');
SELECT points FROM redeem(1, 110, 't', 'r', as_of => '2025-03-01');
SELECT points FROM hold(1, 5, 't', 'h', as_of => '2025-03-02', expires_at => '2030-01-01');
SELECT program, earned_in, expires_in, outstanding, expected_breakage, liability FROM points_cohort ORDER BY 1, 2, 3;
SELECT month, opening, issued, redeemed, expired, reversed, closing, outstanding, expected_breakage, liability FROM points_liability ORDER BY 1;
SELECT points FROM refund(1, 'feb', as_of => '2025-03-03');
SELECT points FROM restore(1, 'r', 20, as_of => '2026-02-15');
SELECT earned_in, expires_in, outstanding FROM points_cohort ORDER BY 1, 2;
CALL expire_points('2026-04-01');
SELECT month, opening, issued, redeemed, expired, reversed, closing, outstanding FROM points_liability ORDER BY 1;
-- many accounts, everything that can happen to them, debts too
UPDATE points_program SET debt_allowed = true WHERE program = 'points';
DO $$
DECLARE
    n integer;
    c bigint;
    x integer;
    at timestamptz;
BEGIN
    FOR n IN 1..3000 LOOP
        x := (n * 7919) % 1000003;
        c := 2 + x % 150;
        at := timestamptz '2025-01-01 00:00+00' + n * interval '3 hours';
        BEGIN
            CASE x % 11
                WHEN 0 THEN PERFORM redeem(c, 1 + x % 40, 't', 'r' || n, as_of => at);
                WHEN 1 THEN PERFORM refund(c, (SELECT e.reference FROM points_entry e WHERE e.customer_id = c AND e.kind = 'earn' ORDER BY e.seq DESC OFFSET x % 3 LIMIT 1), as_of => at);
                WHEN 2 THEN PERFORM hold(c, 1 + x % 30, 't', 'h' || n, as_of => at, expires_at => at + interval '200 days');
                WHEN 3 THEN PERFORM capture(c, (SELECT h.reference FROM points_hold h WHERE h.customer_id = c AND h.state = 'open' LIMIT 1), as_of => at);
                WHEN 4 THEN PERFORM transfer(c, 2 + (c + 7) % 150, 1 + x % 20, 't', 'x' || n, as_of => at);
                WHEN 5 THEN PERFORM adjust(c, x % 41 - 25, 't', 'a' || n, 'test', as_of => at);
                WHEN 6 THEN PERFORM restore(c, (SELECT e.reference FROM points_entry e WHERE e.customer_id = c AND e.kind IN ('redeem', 'capture') ORDER BY e.seq DESC OFFSET x % 2 LIMIT 1), as_of => at);
                ELSE PERFORM earn(c, 1 + x % 60, 't', 'e' || n, as_of => at, expires_at => CASE WHEN x % 5 = 0 THEN at + interval '70 days' ELSE at + interval '300 days' END);
            END CASE;
        EXCEPTION WHEN sqlstate 'CP001' OR sqlstate 'CP003' OR sqlstate 'CP004' OR sqlstate 'CP008' OR sqlstate 'CP009' THEN NULL;
        END;
    END LOOP;
END
$$;
CALL expire_points('2026-02-01');
SELECT kind, count(*) > 10 AS many FROM points_entry GROUP BY 1 ORDER BY 1;
SELECT count(*) FILTER (WHERE available < 0) > 0 AS debts, count(*) FILTER (WHERE held > 0) > 0 AS holds FROM points_account;
SELECT count(*) > 12 AS months, count(*) FILTER (WHERE opening + issued - redeemed - expired + reversed <> closing) AS wrong,
       count(*) FILTER (WHERE opening <> previous) AS gaps
FROM (SELECT l.*, lag(closing, 1, 0) OVER (PARTITION BY program ORDER BY month) AS previous FROM points_liability l) l;
SELECT (SELECT sum(available + pending + held) FROM points_account) - (SELECT closing FROM points_liability ORDER BY month DESC LIMIT 1) AS closing,
       (SELECT sum(available + pending + held) FROM points_account) - (SELECT sum(outstanding) FROM points_liability) AS by_month,
       (SELECT sum(available + pending + held) FROM points_account) - (SELECT sum(outstanding) FROM points_cohort) AS by_cohort;
SELECT count(*) AS wrong FROM (SELECT coalesce(expires_in, 'infinity') AS expires_in, sum(outstanding) AS points FROM points_cohort WHERE outstanding > 0 GROUP BY 1) c
FULL JOIN (SELECT coalesce(date_trunc('month', l.expires_at AT TIME ZONE s.time_zone - interval '1 microsecond')::date, 'infinity') AS expires_in, sum(l.remaining) AS points
           FROM settings s, (SELECT a.lots FROM points_account a UNION ALL SELECT h.lots FROM points_hold h WHERE h.state = 'open') t,
                LATERAL crm.points_lots_unnest(t.lots) l GROUP BY 1) g ON g.expires_in = c.expires_in
WHERE g.points IS DISTINCT FROM c.points;
SELECT * FROM points_verify();
-- movements of customers and programs that are not there: a result each, or all or nothing
SELECT * FROM post_points(ARRAY[
    ROW(999, 'earn', 1, 'b', '1', NULL, NULL, NULL, NULL, '2026-03-01', NULL),
    ROW(190, 'earn', 5, 'b', '1', NULL, NULL, NULL, NULL, '2026-03-01', NULL),
    ROW(190, 'earn', 5, 'b', '1', 'miles', NULL, NULL, NULL, '2026-03-01', NULL),
    ROW(998, 'redeem', 5, 'b', '1', NULL, NULL, NULL, NULL, '2026-03-01', NULL)]::points_movement[], atomic => false);
SELECT count(*) FROM post_points(ARRAY[ROW(999, 'earn', 1, 'b', '1', NULL, NULL, NULL, NULL, '2026-03-01', NULL)]::points_movement[], atomic => false);
SELECT * FROM post_points(ARRAY[
    ROW(191, 'earn', 5, 'b', '1', NULL, NULL, NULL, NULL, '2026-03-01', NULL),
    ROW(999, 'earn', 1, 'b', '1', NULL, NULL, NULL, NULL, '2026-03-01', NULL)]::points_movement[]);
SELECT customer_id, program, available FROM points_account WHERE customer_id >= 190;
SELECT crm.drop_store('t_points_liability', 't_points_liability');
