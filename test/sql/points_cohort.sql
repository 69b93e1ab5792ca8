-- Points by the month in which they were earned: followed one point at a time by a model that knows nothing of layers.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
SELECT crm.create_store('t_points_cohort');
SET search_path = t_points_cohort, crm, pg_temp;
UPDATE settings SET time_zone = 'Asia/Shanghai';
UPDATE points_rule SET active = false WHERE program = 'growth';
INSERT INTO customer (customer_id) SELECT generate_series(1, 20);
UPDATE points_program SET expiry = 'months', expiry_n = 12, redemption_rate = 0.85, value = 0.1, restore_grace_days = 30 WHERE program = 'points';
-- by hand
SELECT points FROM earn(1, 100, 't', 'jan', as_of => '2025-01-10');
SELECT points FROM earn(1, 40, 't', 'feb', as_of => '2025-02-10');
SELECT points FROM redeem(1, 110, 't', 'r', as_of => '2025-03-01');
SELECT points FROM restore(1, 'r', 20, as_of => '2025-03-05');
SELECT points FROM refund(1, 'jan', 30, as_of => '2025-04-01');
CALL expire_points('2026-05-01');
SELECT earned_in, month, opening, issued, redeemed, expired, reversed, closing, expected_breakage, liability FROM points_cohort_flow ORDER BY 1, 2;
-- a debt belongs to the month whose earning was refunded, until later points pay it
UPDATE points_program SET debt_allowed = true WHERE program = 'points';
SELECT points FROM earn(2, 50, 't', 'jan', as_of => '2025-01-10');
SELECT points FROM redeem(2, 50, 't', 'r', as_of => '2025-02-01');
SELECT points FROM refund(2, 'jan', as_of => '2025-03-01');
SELECT points FROM earn(2, 80, 't', 'apr', as_of => '2025-04-01');
SELECT f.* FROM (SELECT crm.points_flows(date_trunc('month', booked_at)::date, seq, kind, points, booked_at, shortfall, reverses, expires_at, available_at, lots ORDER BY seq) AS flows
                 FROM points_entry WHERE customer_id = 2) k, unnest(k.flows) f;
SELECT p.* FROM (SELECT crm.points_left(date_trunc('month', booked_at)::date, seq, kind, points, booked_at, shortfall, reverses, expires_at, available_at, lots ORDER BY seq) AS parts
                 FROM points_entry WHERE customer_id = 2) k, unnest(k.parts) p;
SELECT crm.points_flows('2026-01-01', 1, 'earn', 5, '2026-01-01', NULL, NULL, NULL, NULL, NULL) FROM generate_series(1, 2);
SELECT crm.points_flows(NULL, 1, 'earn', 5, '2026-01-01', NULL, NULL, NULL, NULL, NULL);
SELECT crm.points_flows('2026-01-01', 1, 'earn', 5, '2026-01-01', NULL, NULL, NULL, NULL, NULL) WHERE false;
-- what would overflow in one row becomes two
SELECT f.issued FROM (SELECT crm.points_flows('2026-01-01', n, 'earn', 9223372036854775807, '2026-01-01', NULL, NULL, NULL, NULL, NULL ORDER BY n) AS flows FROM generate_series(1, 2) n) k, unnest(k.flows) f;

-- everything that can happen, orders too
DO $$
DECLARE
    n integer;
    c bigint;
    x integer;
    at timestamptz;
BEGIN
    FOR n IN 1..600 LOOP
        x := (n * 7919) % 1000003;
        c := 3 + x % 17;
        at := timestamptz '2025-01-01 00:00+00' + n * interval '15 hours';
        BEGIN
            CASE x % 13
                WHEN 0, 11 THEN PERFORM redeem(c, 1 + x % 40, 't', 'r' || n, as_of => at);
                WHEN 1 THEN PERFORM refund(c, (SELECT e.reference FROM points_entry e WHERE e.customer_id = c AND e.program = 'points' AND e.kind = 'earn' ORDER BY e.seq DESC OFFSET x % 3 LIMIT 1), 1 + x % 30, reference => 'c' || n, as_of => at);
                WHEN 2 THEN PERFORM hold(c, 1 + x % 30, 't', 'h' || n, as_of => at, expires_at => at + interval '50 days');
                WHEN 3 THEN PERFORM capture(h.customer_id, h.reference, 1 + x % 2 * (h.points - 1), as_of => at) FROM (SELECT * FROM points_hold h WHERE h.state = 'open' ORDER BY h.due_at DESC LIMIT 1) h;
                WHEN 4 THEN PERFORM transfer(c, 3 + (c + 7) % 17, 1 + x % 20, 't', 'x' || n, as_of => at);
                WHEN 5 THEN PERFORM adjust(c, x % 81 - 60, 't', 'a' || n, 'test', as_of => at);
                WHEN 6 THEN PERFORM restore(c, (SELECT e.reference FROM points_entry e WHERE e.customer_id = c AND e.program = 'points' AND e.kind IN ('redeem', 'capture') ORDER BY e.seq DESC OFFSET x % 2 LIMIT 1), 1 + x % 15, reference => 'b' || n, as_of => at);
                WHEN 7 THEN INSERT INTO purchase (customer_id, order_no, amount, status, paid_at) VALUES (c, 'o' || n, 1000 + x % 2000, 'paid', at);
                WHEN 8 THEN UPDATE purchase SET status = 'completed', completed_at = at WHERE order_no = (SELECT p.order_no FROM purchase p WHERE p.status = 'paid' ORDER BY p.order_no LIMIT 1);
                WHEN 9 THEN PERFORM earn(c, 1 + x % 60, 't', 'e' || n, as_of => at, available_at => at + interval '20 days');
                ELSE PERFORM earn(c, 1 + x % 60, 't', 'e' || n, as_of => at, expires_at => CASE WHEN x % 5 = 0 THEN at + interval '70 days' ELSE at + interval '300 days' END);
            END CASE;
        EXCEPTION WHEN sqlstate 'CP001' OR sqlstate 'CP003' OR sqlstate 'CP004' OR sqlstate 'CP008' OR sqlstate 'CP009' THEN NULL;
        END;
    END LOOP;
END
$$;
CALL expire_points('2026-02-01');
SELECT kind, count(*) > 3 AS many, count(*) FILTER (WHERE reverses IS NOT NULL) > 0 AS reverses FROM points_entry WHERE program = 'points' GROUP BY 1 ORDER BY 1;
SELECT count(*) FILTER (WHERE available < 0) > 0 AS debts, count(*) FILTER (WHERE held > 0) > 0 AS holds FROM points_account;

-- The model: every point is a row, and every entry says where points go.
CREATE TEMP TABLE unit (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id bigint, program text, earned_in date, expires timestamptz, available timestamptz,
                         place text DEFAULT 'account', seq bigint, nth bigint);
CREATE INDEX ON unit (customer_id, program, place, seq);
CREATE TEMP TABLE moved (program text, earned_in date, month date, what text, n bigint);
CREATE FUNCTION pg_temp.settle(c bigint, p text, m date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    debt pg_temp.unit;
    paid pg_temp.unit;
BEGIN
    LOOP
        SELECT * INTO debt FROM unit WHERE customer_id = c AND program = p AND place = 'debt' ORDER BY id LIMIT 1;
        EXIT WHEN NOT FOUND;
        SELECT * INTO paid FROM unit WHERE customer_id = c AND program = p AND place = 'arriving' ORDER BY expires, nth LIMIT 1;
        EXIT WHEN NOT FOUND;
        DELETE FROM unit WHERE id IN (debt.id, paid.id);
        INSERT INTO moved VALUES (p, debt.earned_in, m, 'reversed', 1), (p, paid.earned_in, m, 'reversed', -1);
    END LOOP;
    UPDATE unit SET place = 'account', available = '-infinity' WHERE customer_id = c AND program = p AND place = 'arriving';
END
$$;
DO $$
DECLARE
    e points_entry;
    o points_entry;
    l record;
    m date;
    word text;
    sign integer;
    took bigint;
    got bigint;
BEGIN
    FOR e IN SELECT * FROM points_entry ORDER BY customer_id, program, seq LOOP
        m := date_trunc('month', e.booked_at AT TIME ZONE 'Asia/Shanghai');
        SELECT * INTO o FROM points_entry p WHERE p.customer_id = e.customer_id AND p.program = e.program AND p.seq = e.reverses;
        CASE
            WHEN e.kind = 'earn' OR e.kind = 'adjust' AND e.points > 0 THEN
                INSERT INTO unit (customer_id, program, earned_in, expires, available, place)
                SELECT e.customer_id, e.program, m, coalesce(e.expires_at, 'infinity'), coalesce(e.available_at, '-infinity'),
                       CASE WHEN e.available_at > e.booked_at THEN 'account' ELSE 'arriving' END FROM generate_series(1, e.points);
                INSERT INTO moved VALUES (e.program, m, m, CASE e.kind WHEN 'earn' THEN 'issued' ELSE 'reversed' END, e.points);
            WHEN e.kind = 'transfer_in' THEN
                INSERT INTO unit (customer_id, program, earned_in, expires, available, place)
                SELECT e.customer_id, e.program, m, coalesce(u.expires_at, 'infinity'), '-infinity', 'arriving' FROM points_lots_unnest(e.lots) u, generate_series(1, u.remaining);
                INSERT INTO moved VALUES (e.program, m, m, 'reversed', e.points);
            WHEN e.kind = 'capture' THEN
                WITH t AS (UPDATE unit SET place = 'spent', seq = e.seq WHERE id IN
                               (SELECT id FROM unit WHERE customer_id = e.customer_id AND program = e.program AND place = 'held' AND seq = e.reverses ORDER BY nth LIMIT e.points) RETURNING earned_in)
                INSERT INTO moved SELECT e.program, t.earned_in, m, 'redeemed', 1 FROM t;
            WHEN e.kind = 'release' THEN
                UPDATE unit SET place = 'arriving' WHERE customer_id = e.customer_id AND program = e.program AND place = 'held' AND seq = e.reverses;
            WHEN e.kind = 'restore' THEN
                WITH t AS (UPDATE unit SET place = 'arriving', expires = CASE WHEN expires <= e.booked_at AND e.expires_at IS NOT NULL THEN e.expires_at ELSE expires END WHERE id IN
                               (SELECT id FROM unit WHERE customer_id = e.customer_id AND program = e.program AND place = 'spent' AND seq = e.reverses ORDER BY nth DESC LIMIT e.points) RETURNING earned_in)
                INSERT INTO moved SELECT e.program, t.earned_in, m, 'reversed', 1 FROM t;
            ELSE
                -- lots are taken: those of the refunded month first, then the oldest
                word := CASE e.kind WHEN 'redeem' THEN 'redeemed' WHEN 'expire' THEN 'expired' ELSE 'reversed' END;
                sign := CASE word WHEN 'reversed' THEN -1 ELSE 1 END;
                took := 0;
                FOR l IN SELECT coalesce(u.expires_at, 'infinity') AS expires, coalesce(u.available_at, '-infinity') AS available, u.remaining FROM points_lots_unnest(e.lots) u LOOP
                    WITH t AS (SELECT id, row_number() OVER (ORDER BY o.kind IS NOT NULL AND o.kind = 'earn' AND coalesce(o.expires_at, 'infinity') = l.expires
                                                                      AND earned_in = date_trunc('month', o.booked_at AT TIME ZONE 'Asia/Shanghai') DESC, earned_in, id) AS n
                               FROM unit WHERE customer_id = e.customer_id AND program = e.program AND place = 'account' AND expires = l.expires AND available = l.available)
                    UPDATE unit p SET seq = e.seq, nth = took + t.n,
                           place = CASE e.kind WHEN 'redeem' THEN 'spent' WHEN 'hold' THEN 'held' WHEN 'mature' THEN 'arriving' ELSE 'gone' END
                    FROM t WHERE p.id = t.id AND t.n <= l.remaining;
                    GET DIAGNOSTICS got = ROW_COUNT;
                    took := took + got;
                END LOOP;
                IF e.kind NOT IN ('hold', 'mature') THEN
                    INSERT INTO moved SELECT e.program, earned_in, m, word, sign FROM unit
                    WHERE customer_id = e.customer_id AND program = e.program AND seq = e.seq AND place IN ('spent', 'gone');
                ELSIF e.kind = 'mature' AND e.reverses IS NOT NULL AND e.available_at > e.booked_at THEN
                    UPDATE unit SET place = 'account', available = e.available_at WHERE customer_id = e.customer_id AND program = e.program AND place = 'arriving';
                END IF;
                IF e.kind IN ('refund', 'adjust') THEN
                    WITH d AS (INSERT INTO unit (customer_id, program, earned_in, place)
                               SELECT e.customer_id, e.program, CASE WHEN o.seq IS NULL THEN m ELSE date_trunc('month', o.booked_at AT TIME ZONE 'Asia/Shanghai') END, 'debt'
                               FROM generate_series(1, abs(e.points) - coalesce(e.shortfall, 0) - took) RETURNING earned_in)
                    INSERT INTO moved SELECT e.program, d.earned_in, m, 'reversed', -1 FROM d;
                END IF;
        END CASE;
        PERFORM pg_temp.settle(e.customer_id, e.program, m);
    END LOOP;
END
$$;
SELECT count(*) > 50 AS flows, count(*) FILTER (WHERE (f.issued, f.redeemed, f.expired, f.reversed) IS DISTINCT FROM (w.issued, w.redeemed, w.expired, w.reversed)) AS wrong
FROM (SELECT * FROM points_cohort_flow WHERE (issued, redeemed, expired, reversed) <> (0, 0, 0, 0)) f
FULL JOIN (SELECT program, earned_in, month, coalesce(sum(n) FILTER (WHERE what = 'issued'), 0) AS issued, coalesce(sum(n) FILTER (WHERE what = 'redeemed'), 0) AS redeemed,
                  coalesce(sum(n) FILTER (WHERE what = 'expired'), 0) AS expired, coalesce(sum(n) FILTER (WHERE what = 'reversed'), 0) AS reversed
           FROM moved GROUP BY 1, 2, 3) w USING (program, earned_in, month)
WHERE f.program IS NOT NULL OR (w.issued, w.redeemed, w.expired, w.reversed) <> (0, 0, 0, 0);
SELECT count(*) > 10 AS cohorts, count(*) FILTER (WHERE c.outstanding IS DISTINCT FROM w.points) AS wrong
FROM (SELECT program, earned_in, coalesce(expires_in, 'infinity') AS expires_in, outstanding FROM points_cohort) c
FULL JOIN (SELECT program, earned_in, CASE WHEN place = 'debt' OR expires = 'infinity' THEN 'infinity' ELSE date_trunc('month', expires AT TIME ZONE 'Asia/Shanghai' - interval '1 microsecond')::date END AS expires_in,
                  sum(CASE place WHEN 'debt' THEN -1 ELSE 1 END) AS points
           FROM unit WHERE place IN ('account', 'held', 'debt') GROUP BY 1, 2, 3) w USING (program, earned_in, expires_in)
WHERE c.program IS NOT NULL OR w.points <> 0;
-- the other figures are sums of these
SELECT count(*) > 10 AS months, count(*) FILTER (WHERE (l.opening, l.issued, l.redeemed, l.expired, l.reversed, l.closing) IS DISTINCT FROM (s.opening, s.issued, s.redeemed, s.expired, s.reversed, s.closing)) AS wrong
FROM points_liability l
FULL JOIN (SELECT program, month, sum(opening) AS opening, sum(issued) AS issued, sum(redeemed) AS redeemed, sum(expired) AS expired, sum(reversed) AS reversed, sum(closing) AS closing
           FROM points_cohort_flow GROUP BY 1, 2) s USING (program, month);
SELECT count(*) FILTER (WHERE opening + issued - redeemed - expired + reversed <> closing) AS wrong,
       count(*) FILTER (WHERE opening <> previous) AS gaps, count(*) FILTER (WHERE month < earned_in) AS before, count(*) FILTER (WHERE month > earned_in AND issued <> 0) AS late
FROM (SELECT f.*, lag(closing, 1, 0) OVER (PARTITION BY program, earned_in ORDER BY month) AS previous FROM points_cohort_flow f) f;
SELECT count(*) FILTER (WHERE c.outstanding IS DISTINCT FROM f.closing) AS wrong
FROM (SELECT program, earned_in, sum(outstanding) AS outstanding FROM points_cohort GROUP BY 1, 2) c
FULL JOIN (SELECT DISTINCT ON (program, earned_in) program, earned_in, closing FROM points_cohort_flow ORDER BY program, earned_in, month DESC) f USING (program, earned_in)
WHERE coalesce(c.outstanding, 0) <> 0 OR f.closing <> 0;
SELECT count(*) FROM points_verify();
SELECT crm.drop_store('t_points_cohort', 't_points_cohort');
