-- Reading the ledger. Views count what is due by now, whether or not it is booked.

CREATE FUNCTION points_now(account points_account, at timestamptz, OUT available bigint, OUT pending bigint, OUT held bigint, OUT lots crm.points_lots)
RETURNS record
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT s.available, s.pending, s.held, s.lots
    FROM crm.points_state_at(account.available, account.pending, account.held, account.lots,
             (SELECT array_agg(h.lots ORDER BY h.seq) FROM points_hold h
              WHERE account.held > 0 AND h.customer_id = account.customer_id AND h.program = account.program AND h.state = 'open'),
             (SELECT array_agg(h.due_at ORDER BY h.seq) FROM points_hold h
              WHERE account.held > 0 AND h.customer_id = account.customer_id AND h.program = account.program AND h.state = 'open'),
             at) s;
END;
COMMENT ON FUNCTION points_now(points_account, timestamptz) IS 'what an account is at a moment not before its last entry';

-- The function is called for the few accounts on which something is due, not for each and then thrown away.
CREATE VIEW points_balance AS
SELECT a.customer_id, a.program,
       coalesce(s.available, a.available) AS available,
       coalesce(s.pending, a.pending) AS pending,
       coalesce(s.held, a.held) AS held
FROM points_account a
LEFT JOIN LATERAL (SELECT n.available, n.pending, n.held FROM (SELECT now() AS at WHERE a.next_due <= now() OFFSET 0) d CROSS JOIN LATERAL points_now(a, d.at) n) s ON true;
COMMENT ON VIEW points_balance IS 'the points of each customer and program now: available to spend (below zero: owed), pending, held';

CREATE VIEW points_lot AS
SELECT a.customer_id, a.program, l.remaining, l.expires_at, l.available_at
FROM points_account a
LEFT JOIN LATERAL (SELECT n.lots FROM (SELECT now() AS at WHERE a.next_due <= now() OFFSET 0) d CROSS JOIN LATERAL points_now(a, d.at) n) s ON true
CROSS JOIN LATERAL crm.points_lots_unnest(coalesce(s.lots, a.lots)) l;
COMMENT ON VIEW points_lot IS 'the points of each customer and program by the moment they expire (null: never) and become available (null: now; infinity: when an order completes)';

CREATE FUNCTION points_balance_at(customer_id bigint, at timestamptz, program text DEFAULT 'points') RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $points$
DECLARE
    a points_account;
    low bigint := 0;
    high bigint;
    middle bigint;
    balance bigint := 0;
    e record;
BEGIN
    SELECT * INTO a FROM points_account p
    WHERE p.customer_id = points_balance_at.customer_id AND p.program = points_balance_at.program;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    IF at >= a.booked_at THEN
        RETURN (SELECT n.available FROM points_now(a, at) n);
    END IF;
    -- booked_at never goes backwards, so the number of the entry is found by halving, from where the archive ends.
    IF a.archived > 0 THEN
        low := a.archived;
        SELECT s.booked_at, s.available AS balance_after INTO e FROM points_start s
        WHERE s.customer_id = points_balance_at.customer_id AND s.program = points_balance_at.program AND s.seq = a.archived;
        IF at < e.booked_at THEN
            RETURN coalesce((SELECT p.balance_after FROM points_entry_archived p
                             WHERE p.customer_id = points_balance_at.customer_id AND p.program = points_balance_at.program AND p.booked_at <= at
                             ORDER BY p.seq DESC LIMIT 1), 0);
        END IF;
        balance := e.balance_after;
    END IF;
    high := a.seq;
    WHILE low < high LOOP
        middle := (low + high + 1) / 2;
        SELECT p.booked_at, p.balance_after INTO e FROM points_entry p
        WHERE p.customer_id = points_balance_at.customer_id AND p.program = points_balance_at.program AND p.seq = middle;
        IF e.booked_at <= at THEN
            low := middle;
            balance := e.balance_after;
        ELSE
            high := middle - 1;
        END IF;
    END LOOP;
    RETURN balance;
END
$points$;
COMMENT ON FUNCTION points_balance_at(bigint, timestamptz, text) IS 'points that were, are or will be available at a moment if nothing else happens; what lapsed counts from the moment it lapsed';

CREATE VIEW points_journal AS
SELECT e.customer_id, e.program, e.seq, e.booked_at, e.kind, leg.account,
       CASE leg.side WHEN 'to' THEN m.amount ELSE -m.amount END AS amount
FROM points_entry_all e
CROSS JOIN LATERAL (SELECT e.points - coalesce(e.shortfall, 0) AS amount,
    CASE e.kind WHEN 'earn' THEN 'issued' WHEN 'restore' THEN 'redeemed' WHEN 'adjust' THEN 'adjusted' WHEN 'transfer_in' THEN 'transfer'
                WHEN 'capture' THEN 'held' WHEN 'release' THEN 'held' ELSE 'customer' END AS from_account,
    CASE e.kind WHEN 'redeem' THEN 'redeemed' WHEN 'capture' THEN 'redeemed' WHEN 'hold' THEN 'held' WHEN 'refund' THEN 'refunded'
                WHEN 'expire' THEN 'expired' WHEN 'transfer_out' THEN 'transfer' ELSE 'customer' END AS to_account) m
CROSS JOIN LATERAL (VALUES ('from', m.from_account), ('to', m.to_account)) AS leg (side, account);
COMMENT ON VIEW points_journal IS 'the ledger in double entry: two legs an entry, whose amounts sum to 0. customer is what customers have, available or pending; held what is put aside; the others are the programme''s side';

CREATE VIEW points_trial_balance AS
SELECT j.program, j.account, sum(j.amount) AS amount
FROM points_journal j
GROUP BY j.program, j.account;
COMMENT ON VIEW points_trial_balance IS 'balance of each account of points_journal; the amounts of a program sum to 0, and -issued, redeemed … are the totals of all time';

CREATE VIEW points_cohort AS
SELECT k.program, l.earned_in,
       date_trunc('month', l.expires_at AT TIME ZONE s.time_zone - interval '1 microsecond')::date AS expires_in,
       sum(l.points)::bigint AS outstanding,
       round(sum(l.points) * (1 - p.redemption_rate), 4) AS expected_breakage,
       round(sum(l.points) * p.value * p.redemption_rate, 4) AS liability
FROM (SELECT e.program, crm.points_left(date_trunc('month', e.booked_at AT TIME ZONE t.time_zone)::date, e.seq, e.kind, e.points, e.booked_at,
                                        e.shortfall, e.reverses, e.expires_at, e.available_at, e.lots ORDER BY e.seq) AS parts
      FROM points_entry_all e
      CROSS JOIN settings t
      GROUP BY e.customer_id, e.program) k
CROSS JOIN LATERAL unnest(k.parts) l
JOIN points_program p ON p.program = k.program
CROSS JOIN settings s
GROUP BY 1, 2, 3, p.redemption_rate, p.value
HAVING sum(l.points) <> 0;
COMMENT ON VIEW points_cohort IS 'outstanding points as booked, by the month in which they were earned and the last month in which they can be spent (null: they never expire), with what is expected to lapse and the liability of the rest. Transferred points count from the transfer, restored ones from when they were earned, debts (below zero) from the earning that was refunded or the adjustment';

CREATE VIEW points_cohort_flow AS
WITH flow AS (
    SELECT k.program, f.earned_in, f.booked_in AS month,
           sum(f.issued) AS issued, sum(f.redeemed) AS redeemed, sum(f.expired) AS expired, sum(f.reversed) AS reversed
    FROM (SELECT e.program, crm.points_flows(date_trunc('month', e.booked_at AT TIME ZONE t.time_zone)::date, e.seq, e.kind, e.points, e.booked_at,
                                             e.shortfall, e.reverses, e.expires_at, e.available_at, e.lots ORDER BY e.seq) AS flows
          FROM points_entry_all e
          CROSS JOIN settings t
          GROUP BY e.customer_id, e.program) k
    CROSS JOIN LATERAL unnest(k.flows) f
    GROUP BY 1, 2, 3
), closed AS (
    -- A cohort has a row in every month in which anything is booked, so that the rows of a month add up to points_liability.
    SELECT c.program, c.earned_in, m.month,
           coalesce(f.issued, 0) AS issued, coalesce(f.redeemed, 0) AS redeemed, coalesce(f.expired, 0) AS expired, coalesce(f.reversed, 0) AS reversed,
           sum(coalesce(f.issued - f.redeemed - f.expired + f.reversed, 0)) OVER (PARTITION BY c.program, c.earned_in ORDER BY m.month) AS closing
    FROM (SELECT DISTINCT program, earned_in FROM flow) c
    JOIN (SELECT DISTINCT program, month FROM flow) m ON m.program = c.program AND m.month >= c.earned_in
    LEFT JOIN flow f ON f.program = c.program AND f.earned_in = c.earned_in AND f.month = m.month
)
SELECT d.program, d.earned_in, d.month, d.closing - (d.issued - d.redeemed - d.expired + d.reversed) AS opening,
       d.issued, d.redeemed, d.expired, d.reversed, d.closing,
       round(d.closing * (1 - p.redemption_rate), 4) AS expected_breakage,
       round(d.closing * p.value * p.redemption_rate, 4) AS liability
FROM closed d
JOIN points_program p USING (program)
WHERE (d.issued, d.redeemed, d.expired, d.reversed, d.closing) <> (0, 0, 0, 0, 0);
COMMENT ON VIEW points_cohort_flow IS 'the points of each month of earning, by month of booking in the store''s time zone: opening + issued - redeemed - expired + reversed = closing, exactly. The rows of a month add up to points_liability, the last closing of a month of earning is what points_cohort has of it. reversed nets refunds, restorals, adjustments and transfers, and debts of one month that points of another paid. As booked: CALL expire_points() first';

CREATE VIEW points_flow AS
SELECT e.program, date_trunc('month', e.booked_at AT TIME ZONE s.time_zone)::date AS month,
       sum(CASE WHEN e.kind = 'earn' THEN e.points ELSE 0 END) AS issued,
       sum(CASE WHEN e.kind IN ('redeem', 'capture') THEN e.points ELSE 0 END) AS redeemed,
       sum(CASE WHEN e.kind = 'expire' THEN e.points ELSE 0 END) AS expired,
       sum(CASE e.kind WHEN 'refund' THEN coalesce(e.shortfall, 0) - e.points
                       WHEN 'restore' THEN e.points WHEN 'adjust' THEN e.points
                       WHEN 'transfer_in' THEN e.points WHEN 'transfer_out' THEN -e.points ELSE 0 END) AS reversed
FROM points_entry_all e
CROSS JOIN settings s
GROUP BY 1, 2;
COMMENT ON VIEW points_flow IS 'the points of each month of booking in the store''s time zone, as points_liability counts them';

CREATE VIEW points_liability AS
WITH closed AS (
    SELECT f.*, sum(f.issued - f.redeemed - f.expired + f.reversed) OVER (PARTITION BY f.program ORDER BY f.month) AS closing
    FROM points_flow f
)
SELECT c.program, c.month, c.closing - (c.issued - c.redeemed - c.expired + c.reversed) AS opening,
       c.issued, c.redeemed, c.expired, c.reversed, c.closing,
       round(c.closing * (1 - p.redemption_rate), 4) AS expected_breakage,
       round(c.closing * p.value * p.redemption_rate, 4) AS liability,
       coalesce(o.outstanding, 0) AS outstanding
FROM closed c
JOIN points_program p USING (program)
LEFT JOIN (SELECT k.program, k.earned_in, sum(k.outstanding) AS outstanding FROM points_cohort k GROUP BY 1, 2) o
    ON o.program = c.program AND o.earned_in = c.month;
COMMENT ON VIEW points_liability IS 'points owed to customers by month of booking in the store''s time zone: opening + issued - redeemed - expired + reversed = closing, exactly. reversed nets refunds, restorals, adjustments and transfers; liability = closing * value * redemption_rate of the program, in the store''s currency; outstanding is what is left of the points earned in the month, which add up to the last closing. As booked: CALL expire_points() first';

CREATE VIEW points_ageing AS
SELECT l.program, date_trunc('month', l.expires_at AT TIME ZONE s.time_zone - interval '1 microsecond')::date AS expires_in,
       sum(l.remaining) FILTER (WHERE l.available_at IS NULL) AS available,
       sum(l.remaining) FILTER (WHERE l.available_at IS NOT NULL) AS pending,
       count(DISTINCT l.customer_id) AS customers
FROM points_lot l
CROSS JOIN settings s
GROUP BY 1, 2;
COMMENT ON VIEW points_ageing IS 'outstanding points by the last month in which they can be spent (null: they never expire)';

CREATE FUNCTION points_expiring(within interval DEFAULT '30 days', as_of timestamptz DEFAULT now())
RETURNS TABLE (customer_id bigint, program text, points bigint, expires_at timestamptz)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $points$
    SELECT a.customer_id, a.program, l.remaining, l.expires_at
    FROM points_account a
    CROSS JOIN LATERAL crm.points_lots_unnest((SELECT n.lots FROM points_now(a, as_of) n)) l
    WHERE a.next_due < as_of + within AND l.expires_at < as_of + within
    ORDER BY l.expires_at, a.customer_id, a.program
$points$;
COMMENT ON FUNCTION points_expiring(interval, timestamptz) IS 'lots that expire within a time from as_of, the first ones first: whom to remind';
