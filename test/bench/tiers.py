#!/usr/bin/python3
"""evaluate_tiers over a million customers against PL/pgSQL that judges them one by one, with the same rows as outcome.

The peer is what a careful writer of PL/pgSQL would write for the textbook's ladder: one loop over a join that brings each
customer's figures, statements only for who changes, the summary for the totals of a life. It writes to tables with the same
columns, indexes and foreign keys, and the rows of both are compared. CRM_BENCH_SCALE: 1 is 1,000,000 customers."""
import sys

from lib.shop import Shop, scaled

N = scaled(1000000, 5000)
shop = Shop()
run = shop.run
timed = shop.timed


def orders(count, since, until):
    shop.orders(count, N, f"timestamptz '{since}'", f"timestamptz '{until}'")


shop.customers(N)
orders(5 * N, "2024-01-01", "2026-02-01")
run("VACUUM ANALYZE")
run("CREATE SCHEMA peer")
for table in "tier_member", "tier_change":
    run(f"CREATE TABLE peer.{table} (LIKE shop.{table} INCLUDING ALL, FOREIGN KEY (customer_id) REFERENCES shop.customer ON DELETE CASCADE)")
run("ALTER TABLE peer.tier_member ADD FOREIGN KEY (tier) REFERENCES shop.tier ON UPDATE CASCADE, SET (fillfactor = 90)")
run("""
CREATE FUNCTION peer.cycle_end(start timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT ((start AT TIME ZONE s.time_zone)::date + interval '12 months') AT TIME ZONE s.time_zone FROM shop.settings s $$;
CREATE FUNCTION peer.year_before(at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT (at AT TIME ZONE s.time_zone - interval '12 months') AT TIME ZONE s.time_zone FROM shop.settings s $$;
CREATE PROCEDURE peer.evaluate(as_of timestamptz) LANGUAGE plpgsql AS $$
DECLARE
    c record;
    old peer.tier_member;
    tiers CONSTANT text[] := ARRAY['ordinary', 'silver', 'gold', 'diamond'];
    in_year CONSTANT numeric[] := ARRAY[NULL, 500, 1500, 3000];
    in_all CONSTANT numeric[] := ARRAY[NULL, 800, 2500, 5000];
    to_keep CONSTANT numeric[] := ARRAY[NULL, 500, 1500, 3000];
    year_start timestamptz := peer.year_before(as_of);
    growth bigint;
    held integer;
    found integer;
    by_year boolean;
    new_end timestamptz;
BEGIN
    -- Cycles that are over, each by the growth at its own end.
    LOOP
        found := 0;
        FOR old IN SELECT * FROM peer.tier_member t WHERE t.judged_at <= as_of ORDER BY t.customer_id LOOP
            found := 1;
            held := array_position(tiers, old.tier);
            SELECT coalesce(sum(CASE WHEN e.kind IN ('refund', 'transfer_out') THEN -e.points ELSE e.points END), 0) INTO growth
            FROM shop.points_entry e
            LEFT JOIN shop.points_entry o ON o.customer_id = e.customer_id AND o.program = e.program AND o.seq = e.reverses
            WHERE e.customer_id = old.customer_id AND e.program = 'growth' AND e.kind IN ('earn', 'refund', 'adjust', 'transfer_in', 'transfer_out')
              AND coalesce(o.occurred_at, e.occurred_at) > peer.year_before(old.judged_at) AND coalesce(o.occurred_at, e.occurred_at) <= old.judged_at;
            IF growth >= to_keep[held] THEN
                new_end := peer.cycle_end(old.period_end);
                UPDATE peer.tier_member t SET period_end = new_end, judged_at = new_end, rests_on = NULL WHERE t.customer_id = old.customer_id;
            ELSE
                LOOP
                    held := held - 1;
                    EXIT WHEN held = 1 OR growth >= to_keep[held];
                END LOOP;
                new_end := CASE WHEN held > 1 THEN peer.cycle_end(old.judged_at) END;
                INSERT INTO peer.tier_change (customer_id, from_tier, to_tier, value, reason, at, threshold, condition, period_end, change_no, before)
                SELECT old.customer_id, old.tier, tiers[held], growth, 'period_end', old.judged_at, to_keep[array_position(tiers, old.tier)], t.keep, new_end, old.last_change + 1,
                       jsonb_build_object('tier', old.tier, 'since', old.since, 'basis', old.basis, 'period_end', old.period_end, 'peak', old.peak, 'rests_on', old.rests_on)
                FROM shop.tier t WHERE t.tier = old.tier;
                UPDATE peer.tier_member t SET tier = tiers[held], since = old.judged_at, period_end = new_end, judged_at = new_end, rests_on = NULL,
                       last_change = old.last_change + 1
                WHERE t.customer_id = old.customer_id;
            END IF;
        END LOOP;
        EXIT WHEN found = 0;
    END LOOP;
    -- Then who rises.
    FOR c IN SELECT s.customer_id, s.spend_total, coalesce(p.spend, 0) AS spend_12m, coalesce(m.tier, 'ordinary') AS tier, coalesce(m.peak, 1) AS peak,
                    coalesce(m.last_change, 0) AS last_change, m.since, m.basis, m.period_end, m.rests_on, m.lock_until
             FROM shop.customer_summary s
             LEFT JOIN (SELECT p.customer_id, sum(p.net) AS spend FROM shop.purchase p
                        WHERE p.order_at > year_start AND p.order_at <= as_of GROUP BY p.customer_id) p ON p.customer_id = s.customer_id
             LEFT JOIN peer.tier_member m ON m.customer_id = s.customer_id
             ORDER BY s.customer_id LOOP
        held := array_position(tiers, c.tier);
        found := 4;
        WHILE found > held LOOP
            by_year := c.spend_12m >= in_year[found];
            EXIT WHEN by_year OR (found > c.peak AND c.spend_total >= in_all[found]);
            found := found - 1;
        END LOOP;
        CONTINUE WHEN found <= held;
        new_end := peer.cycle_end(as_of);
        INSERT INTO peer.tier_change (customer_id, from_tier, to_tier, value, reason, at, threshold, condition, period_end, change_no, before)
        VALUES (c.customer_id, c.tier, tiers[found], CASE WHEN by_year THEN c.spend_12m ELSE c.spend_total END, 'upgrade', as_of,
                CASE WHEN by_year THEN in_year[found] ELSE in_all[found] END,
                (CASE WHEN by_year THEN 'spend_12m >= ' || in_year[found] ELSE 'spend_total >= ' || in_all[found] END)::crm.rule, new_end, c.last_change + 1,
                jsonb_build_object('tier', c.tier, 'since', c.since, 'basis', c.basis, 'period_end', c.period_end, 'peak', c.peak, 'rests_on', c.rests_on));
        INSERT INTO peer.tier_member AS t (customer_id, tier, since, basis, period_end, judged_at, peak, last_change, rests_on)
        VALUES (c.customer_id, tiers[found], as_of, 'earned', new_end, new_end, greatest(found, c.peak), c.last_change + 1, c.last_change + 1)
        ON CONFLICT (customer_id) DO UPDATE
        SET tier = EXCLUDED.tier, since = EXCLUDED.since, basis = EXCLUDED.basis, period_end = EXCLUDED.period_end,
            judged_at = greatest(EXCLUDED.period_end, t.lock_until), peak = EXCLUDED.peak, last_change = EXCLUDED.last_change, rests_on = EXCLUDED.rests_on;
    END LOOP;
END
$$""")

columns = {
    "tier_member": "customer_id, tier, since, basis, period_end, judged_at, lock_until, peak, last_change, rests_on",
    "tier_change": "customer_id, from_tier, to_tier, value, reason, at, threshold, condition::text, note, actor, period_end, change_no, before",
}
moments = [("the first, of an imported history", "2026-02-01", 0), ("a night later", "2026-02-02", N // 150), ("a month later", "2026-03-05", N // 5),
           ("a year later: every cycle is over", "2027-03-05", N)]
print(f"\nevaluate_tiers, {N:,} customers, {5 * N:,} orders, the textbook's ladder\n")
print("| | changes of tier | crm, s | PL/pgSQL, s | PL/pgSQL : crm | the same, processor | rows that differ |")
print("|---|---|---|---|---|---|---|", flush=True)
differ = 0
for number, (name, moment, count) in enumerate(moments):
    if count:
        orders(count, moments[number - 1][1], moment)
    run("CHECKPOINT")
    before = run("SELECT count(*) FROM shop.tier_change")[0]
    calls = [("shop", "CALL shop.evaluate_tiers(%s)"), ("peer", "CALL peer.evaluate(%s)")]
    took = {}
    for who, call in calls if number % 2 else reversed(calls):
        took[who] = timed(call, moment)
    changes = run("SELECT count(*) FROM shop.tier_change")[0] - before
    wrong = sum(run(f"SELECT count(*) FROM ((TABLE a EXCEPT TABLE b) UNION ALL (TABLE b EXCEPT TABLE a)) d".join(
        [f"WITH a AS (SELECT {c} FROM shop.{t}), b AS (SELECT {c} FROM peer.{t}) ", ""]))[0] for t, c in columns.items())
    differ += wrong
    # A row as soon as it is known: a run at full size takes long.
    print(f"| {name} | {changes:,} | {took['shop'][0]:.2f} | {took['peer'][0]:.2f} | {took['peer'][0] / took['shop'][0]:.1f} | "
                f"{took['peer'][1] / took['shop'][1]:.1f} | {wrong} |", flush=True)
    for schema in "shop", "peer":
        run(f"VACUUM ANALYZE {schema}.tier_member")
        run(f"VACUUM ANALYZE {schema}.tier_change")
    run("VACUUM shop.customer")
    run("VACUUM shop.customer_summary")

if differ:
    sys.exit("the outcomes differ")
shop.check()
