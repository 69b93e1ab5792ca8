#!/usr/bin/python3
"""What tiers and 50 instant tag rules add to an order, as processor time of the session that inserts it.

Stores with the same customers and history take the same orders in turns, one statement and transaction an order:
  bare    no trigger on orders (primary key, unique order number, foreign key and checks are there)
  plain   crm keeps the summaries, nothing more
  rules   and lifts by the textbook's ladder, and 50 tag rules
  points  the summaries, points and growth: the order path of a seeded store
  total   all of it: that order path, tiers and rules
  peer    all that by hand-written PL/pgSQL row triggers

The first table says what tiers and rules add: total to points, and rules to plain. The second has all of it beside PL/pgSQL.
The base has all that a seeded store does to an order by itself; only the conditions of tiers and the tag rules are missing. Rounds of a
hundred orders a store follow each other in random order, and a ratio is the median of those of the rounds: what disturbs the machine
for longer than a round changes both sides.

Steady state of a shop: two years of orders in the sequence of their days, five a customer and year on average, customers' rates
by a gamma distribution (shape 0.6: few buy often), amounts log-normal (median 90, mean 140). Tiers and tags are applied, and each
customer has ordered once since the store went live, so that accounts are there; then orders come: one in ten is a customer's first,
the others by the customers' rates. The limits of the 50 rules grow from step to step, as those of a shop. Orders of some weeks come
within seconds, so windows do not move meanwhile.
Worst case: one rule more, which every order changes.

The peer keeps the same summary; a ledger of two programs with a sequence, a unique reference, a balance and a SHA-256 chain,
though no lots; the same tier_member and tier_change; the same tags with their events, though no audiences. It must come to the
same tags, tiers and balances. CRM_BENCH_SCALE: 1 is 20,000 customers and 20,000 orders a store and mix."""
import bisect
import itertools
import os
import random
import statistics

import psycopg2

SCALE = float(os.environ.get("CRM_BENCH_SCALE", "1"))
CUSTOMERS = max(1000, int(20000 * SCALE))
ORDERS = max(600, int(20000 * SCALE))
CHUNK = 100
STORES = ["bare", "plain", "rules", "points", "total", "peer"]
RULES = (
    [f"order_count >= {n}" for n in (1, 2, 3, 5, 10, 20, 30, 50, 100, 200)]
    + [f"spend_total >= {n}" for n in (100, 200, 500, 1000, 2000, 3000, 5000, 10000, 20000, 50000)]
    + [f"spend_12m >= {n} AND last_order_at > now() - interval '{d} days'"
       for n, d in ((300, 365), (600, 365), (1200, 365), (2500, 180), (5000, 180), (8000, 90), (15000, 90), (30000, 90))]
    + ["orders_12m >= 3 AND avg_order_12m < 50", "orders_12m >= 6 AND avg_order_12m < 100", "avg_order_12m BETWEEN 100 AND 200",
       "avg_order_12m BETWEEN 200 AND 500", "orders_12m >= 2 AND avg_order_12m >= 500"]
    + [f"orders_12m >= {n}" for n in (2, 4, 6, 12, 24, 52)]
    + [f"refunded_total >= {n}" for n in (1, 100, 500)]
    + [f"discount_total >= {n}" for n in (1, 100, 500)]
    + [f"first_order_at < now() - interval '{y} years' AND order_count >= {n}" for y, n in ((1, 2), (1, 5), (1, 10), (1, 20), (1, 50))])
assert len(RULES) == 50


def connect():
    db = psycopg2.connect("")
    db.autocommit = True
    return db.cursor()


def processor(pid):
    """Seconds of processor time that a backend has used."""
    with open(f"/proc/{pid}/schedstat") as stat:
        return int(stat.read().split()[0]) / 1e9


def figure(rule, row):
    """A rule as the peer's PL/pgSQL says it: columns are those of variables."""
    for column in ("order_count", "spend_total", "refunded_total", "discount_total", "first_order_at", "last_order_at"):
        rule = rule.replace(column, f"{row}.{column}")
    return rule


PEER = """
CREATE TABLE peer.account (customer_id bigint, program text, balance bigint NOT NULL, earned bigint NOT NULL, seq bigint NOT NULL, head bytea,
    PRIMARY KEY (customer_id, program)) WITH (fillfactor = 80);
CREATE TABLE peer.entry (customer_id bigint, program text, seq bigint, kind text NOT NULL, points bigint NOT NULL, source text NOT NULL,
    reference text NOT NULL, balance_after bigint NOT NULL, occurred_at timestamptz NOT NULL, booked_at timestamptz NOT NULL, hash bytea NOT NULL,
    PRIMARY KEY (customer_id, program, seq), UNIQUE (customer_id, program, kind, source, reference));
CREATE FUNCTION peer.earn(c bigint, ref text, net numeric, at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE r record; p bigint; a peer.account; h bytea;
BEGIN
    FOR r IN SELECT x.program, x.points, x.per_amount, x.minimum FROM peer.points_rule x WHERE x.event = 'order' AND x.active ORDER BY x.program LOOP
        p := floor(net / r.per_amount) * r.points;
        CONTINUE WHEN p = 0 OR net < r.minimum;
        SELECT * INTO a FROM peer.account x WHERE x.customer_id = c AND x.program = r.program FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            INSERT INTO peer.account VALUES (c, r.program, 0, 0, 0, NULL) RETURNING * INTO a;
        END IF;
        h := sha256(coalesce(a.head, '') || convert_to(concat_ws('|', c, r.program, a.seq + 1, 'earn', p, 'purchase', ref, a.balance + p, at), 'UTF8'));
        INSERT INTO peer.entry VALUES (c, r.program, a.seq + 1, 'earn', p, 'purchase', ref, a.balance + p, at, now(), h);
        UPDATE peer.account x SET balance = a.balance + p, earned = a.earned + p, seq = a.seq + 1, head = h WHERE x.customer_id = c AND x.program = r.program;
    END LOOP;
END $$;
CREATE FUNCTION peer.keep() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    s peer.customer_summary; m peer.tier_member; held integer; best text; best_seq integer; crossed text; n12 bigint; spend_12m numeric; avg_order_12m numeric;
    orders_12m bigint; ends timestamptz; start timestamptz := (NEW.order_at AT TIME ZONE 'UTC' - interval '12 months') AT TIME ZONE 'UTC';
    have text[]; want text[]; rule_tags text[]; comes text[]; goes text[];
BEGIN
    UPDATE peer.customer_summary x SET
        order_count = order_count + CASE WHEN NEW.order_at IS NULL THEN 0 ELSE 1 END, spend_total = spend_total + NEW.net,
        refunded_total = refunded_total + CASE WHEN NEW.status IN ('pending', 'cancelled') THEN 0 ELSE NEW.amount - NEW.net END,
        discount_total = discount_total + CASE WHEN NEW.order_at IS NULL THEN 0 ELSE NEW.discount END,
        cost_total = cost_total + CASE WHEN NEW.order_at IS NULL THEN 0 ELSE coalesce(NEW.cost, 0) END,
        months = CASE WHEN NEW.order_at IS NULL THEN months ELSE months OPERATOR(crm.+) crm.purchase_months(NEW.order_at, NEW.net) END,
        first_order_at = least(first_order_at, NEW.order_at), last_order_at = greatest(last_order_at, NEW.order_at)
    WHERE x.customer_id = NEW.customer_id RETURNING x.* INTO s;
    IF NEW.order_at IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM peer.earn(NEW.customer_id, NEW.channel || '/' || NEW.order_no, NEW.net, NEW.order_at);
    -- The last 12 months: whole months from the summary, the month that the window cuts from its orders.
    orders_12m := crm.months_orders(s.months, start, 'infinity');
    spend_12m := crm.months_spend(s.months, start, 'infinity');
    IF s.first_order_at <= start THEN
        SELECT orders_12m + count(*), spend_12m + coalesce(sum(p.net), 0) INTO orders_12m, spend_12m FROM peer.purchase p
        WHERE p.customer_id = NEW.customer_id AND p.order_at > start AND p.order_at < (date_trunc('month', start AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
    ELSE
        orders_12m := crm.months_orders(s.months, '-infinity', 'infinity');
        spend_12m := crm.months_spend(s.months, '-infinity', 'infinity');
    END IF;
    avg_order_12m := round(spend_12m / nullif(orders_12m, 0), 4);
    -- The ladder: a limit on the sum of all lifts by the order that crosses it, or who never had the tier.
    SELECT * INTO m FROM peer.tier_member t WHERE t.customer_id = NEW.customer_id;
    held := coalesce((SELECT t.seq FROM peer.tier t WHERE t.tier = m.tier), 0);
    SELECT l.tier, l.seq, l.by INTO best, best_seq, crossed
    FROM (SELECT t.tier, t.seq, CASE WHEN spend_12m >= t.limit_12m THEN 'spend_12m'
                                     WHEN s.spend_total >= t.limit_all AND (t.seq > coalesce(m.peak, 0) OR s.spend_total - NEW.net < t.limit_all) THEN 'spend_total' END AS by
          FROM peer.ladder t) l
    WHERE l.by IS NOT NULL AND l.seq > held ORDER BY l.seq DESC LIMIT 1;
    IF FOUND THEN
        ends := ((NEW.order_at AT TIME ZONE 'UTC')::date + interval '12 months') AT TIME ZONE 'UTC';
        INSERT INTO peer.tier_change (customer_id, from_tier, to_tier, value, reason, at, threshold, condition, period_end, change_no, before)
        SELECT NEW.customer_id, coalesce(m.tier, 'ordinary'), best, CASE crossed WHEN 'spend_12m' THEN spend_12m ELSE s.spend_total END, 'upgrade', NEW.order_at,
               CASE crossed WHEN 'spend_12m' THEN l.limit_12m ELSE l.limit_all END,
               format('%s >= %s', crossed, CASE crossed WHEN 'spend_12m' THEN l.limit_12m ELSE l.limit_all END)::crm.rule, ends, coalesce(m.last_change, 0) + 1, to_jsonb(m)
        FROM peer.ladder l WHERE l.tier = best;
        INSERT INTO peer.tier_member AS w (customer_id, tier, since, basis, period_end, judged_at, peak, last_change, rests_on)
        VALUES (NEW.customer_id, best, NEW.order_at, 'earned', ends, ends, greatest(m.peak, best_seq), coalesce(m.last_change, 0) + 1, coalesce(m.last_change, 0) + 1)
        ON CONFLICT (customer_id) DO UPDATE SET tier = EXCLUDED.tier, since = EXCLUDED.since, basis = EXCLUDED.basis, period_end = EXCLUDED.period_end,
            judged_at = EXCLUDED.judged_at, peak = EXCLUDED.peak, last_change = EXCLUDED.last_change, rests_on = EXCLUDED.rests_on;
    END IF;
    -- Tags.
    want := array_remove(ARRAY[%(wanted)s], NULL);
    SELECT c.tags::text[], c.rule_tags::text[] INTO have, rule_tags FROM peer.customer c WHERE c.customer_id = NEW.customer_id;
    IF NOT (want <@ have) OR NOT (rule_tags <@ want) THEN
        comes := ARRAY(SELECT unnest(want) EXCEPT ALL SELECT unnest(have));
        goes := ARRAY(SELECT unnest(have) INTERSECT SELECT unnest(rule_tags) EXCEPT ALL SELECT unnest(want));
        IF comes <> '{}' OR goes <> '{}' THEN
            UPDATE peer.customer c SET tags = (c.tags OPERATOR(crm.-) goes) OPERATOR(crm.|) crm.tagset(comes),
                rule_tags = (c.rule_tags OPERATOR(crm.-) goes) OPERATOR(crm.|) crm.tagset(comes)
            WHERE c.customer_id = NEW.customer_id;
            INSERT INTO peer.tag_event (customer_id, tag, added, at, who) SELECT NEW.customer_id, t, true, now(), current_user FROM unnest(comes) t
            UNION ALL SELECT NEW.customer_id, t, false, now(), current_user FROM unnest(goes) t;
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER keep AFTER INSERT ON peer.purchase FOR EACH ROW EXECUTE FUNCTION peer.keep();
"""


def build(sql, rules):
    """Stores with the same past; returns the customers' weights."""
    names = [f"rule{i:02}" for i in range(len(rules))]
    random.seed(4711)
    rates = [random.gammavariate(0.6, 5 / 0.6) for _ in range(CUSTOMERS)]
    cumulated = list(itertools.accumulate(rates))
    count = 10 * CUSTOMERS
    with open("/tmp/crm_bench_orderpath.copy", "w") as file:
        for i in range(count):
            customer = 1 + bisect.bisect_left(cumulated, random.random() * cumulated[-1])
            file.write(f"{customer}\t{i}\t{random.lognormvariate(4.5, 0.94):.2f}\t{730 * (count - i) / count:.5f}\n")
    sql.execute("CREATE TABLE IF NOT EXISTS past (customer_id bigint, n integer, amount numeric, days double precision); TRUNCATE past")
    with open("/tmp/crm_bench_orderpath.copy") as file:
        sql.copy_expert("COPY past FROM STDIN", file)
    os.remove("/tmp/crm_bench_orderpath.copy")
    for store in STORES:
        sql.execute(f"""SET client_min_messages = warning;
            SELECT crm.drop_store('{store}', '{store}') FROM crm.store WHERE name = '{store}';
            SELECT crm.create_store('{store}', time_zone => 'UTC');
            SELECT {store}.install_preset('textbook');
            UPDATE {store}.points_rule SET on_status = 'paid';
            UPDATE {store}.tier SET keep = NULL;
            INSERT INTO {store}.customer (joined_at) SELECT now() - interval '3 years' FROM generate_series(1, {int(CUSTOMERS * 1.5) + ORDERS});
            INSERT INTO {store}.purchase (customer_id, order_no, amount, paid_at, history)
            SELECT customer_id, 'h' || n, amount, now() - days * interval '1 day', true FROM past ORDER BY n""")
        if store in ("rules", "total", "peer"):
            for name, rule in zip(names, rules):
                sql.execute(f"INSERT INTO {store}.tag_rule (tag, rule) VALUES (%s, %s::crm.rule)", (name, rule))
            sql.execute(f"CALL {store}.evaluate_tiers()")
            sql.execute(f"CALL {store}.apply_tag_rules()")
        else:
            sql.execute(f"UPDATE {store}.tier SET qualify = NULL")
        if store in ("bare", "plain", "rules"):
            sql.execute(f"DELETE FROM {store}.points_rule WHERE event = 'order'")
        if store in ("bare", "peer"):
            sql.execute(f"""DROP TRIGGER purchase_inserted ON {store}.purchase; DROP TRIGGER purchase_updated ON {store}.purchase;
                            DROP TRIGGER purchase_deleted ON {store}.purchase""")
    sql.execute("""CREATE TABLE peer.ladder AS SELECT t.tier, t.seq, max(c.threshold) FILTER (WHERE NOT c.lifetime) AS limit_12m,
                   max(c.threshold) FILTER (WHERE c.lifetime) AS limit_all FROM peer.tier t JOIN peer.tier_condition c USING (tier) GROUP BY 1, 2;
                   DROP TRIGGER tags_updated ON peer.customer""")
    sql.execute(PEER.replace(
        "%(wanted)s", ",\n        ".join(f"CASE WHEN {figure(r, 's')} THEN '{n}' END" for n, r in zip(names, rules))).replace("%%", "%"))
    sql.execute("CREATE TABLE IF NOT EXISTS opening (customer_id bigint, amount numeric); TRUNCATE opening")
    sql.execute("INSERT INTO opening SELECT u.id, u.amount FROM unnest(%s, %s::numeric[]) u (id, amount)",
                (list(range(1, CUSTOMERS + 1)), [f"{random.lognormvariate(4.5, 0.94):.2f}" for _ in range(CUSTOMERS)]))
    for store in STORES:
        sql.execute(f"INSERT INTO {store}.purchase (customer_id, order_no, amount) SELECT customer_id, 'opening' || customer_id, amount FROM opening ORDER BY 1")
    sql.execute("VACUUM ANALYZE")
    return cumulated


def measure(sql, cumulated):
    """Microseconds of an order in each store, by rounds; shares of orders that changed a tag or a tier."""
    sessions = {}
    for store in STORES:
        session = connect()
        session.execute("SET synchronous_commit = off")
        session.execute(f"PREPARE o (bigint, text, numeric) AS INSERT INTO {store}.purchase (customer_id, order_no, amount) VALUES ($1, $2, $3)")
        session.execute("SELECT pg_backend_pid()")
        sessions[store] = (session, session.fetchone()[0])
    fresh = itertools.count(CUSTOMERS + 1)
    times = {store: [] for store in STORES}
    sql.execute("SELECT coalesce(max(event_id), 0) FROM total.tag_event")
    first_event = sql.fetchone()[0]
    sql.execute('SELECT count(*) FROM total.tier_change')
    first_change = sql.fetchone()[0]
    n = 0
    for chunk in range(-1, ORDERS // CHUNK):
        orders = []
        for _ in range(CHUNK):
            n += 1
            customer = next(fresh) if random.random() < 0.1 else 1 + bisect.bisect_left(cumulated, random.random() * cumulated[-1])
            orders.append((customer, f"n{n}", f"{random.lognormvariate(4.5, 0.94):.2f}"))
        for store in random.sample(STORES, len(STORES)):
            session, pid = sessions[store]
            start = processor(pid)
            for order in orders:
                session.execute("EXECUTE o (%s, %s, %s)", order)
            # The first chunk fills caches.
            if chunk >= 0:
                times[store].append((processor(pid) - start) / CHUNK * 1e6)
    sql.execute('SELECT count(DISTINCT (customer_id, at)) FROM total.tag_event WHERE event_id > %s', (first_event,))
    tags = sql.fetchone()[0] / n
    sql.execute('SELECT count(*) FROM total.tier_change')
    tiers = (sql.fetchone()[0] - first_change) / n
    for session, _ in sessions.values():
        session.connection.close()
    return times, tags, tiers


def adds(times, more, base):
    """Median over the rounds of what one store costs more than another, in per cent."""
    return f"{100 * statistics.median(m / b - 1 for m, b in zip(times[more], times[base])):+.0f} %"


def check(sql):
    """The peer must have come to the same."""
    for what, query in (
        ("tags", "SELECT customer_id, tags::text FROM {}.customer"),
        ("tiers", "SELECT customer_id, tier, peak FROM {}.tier_member"),
        ("changes of tiers", "SELECT customer_id, change_no, from_tier, to_tier, round(value, 2), threshold::numeric, reason FROM {}.tier_change"),
        ("summaries", "SELECT customer_id, order_count, spend_total FROM {}.customer_summary")):
        sql.execute(f"SELECT count(*) FROM ({query.format('peer')} EXCEPT {query.format('total')}) d")
        differ = sql.fetchone()[0]
        if differ:
            raise SystemExit(f"{what}: {differ} of the peer's rows differ")
    sql.execute("""SELECT count(*) FROM (SELECT customer_id, program COLLATE "C", balance FROM peer.account
                   EXCEPT SELECT customer_id, program, available FROM total.points_account) d""")
    if (differ := sql.fetchone()[0]):
        raise SystemExit(f"balances: {differ} of the peer's rows differ")


def main():
    sql = connect()
    sql.execute("CREATE EXTENSION IF NOT EXISTS crm")
    print(f"Processor time of an order, {CUSTOMERS} customers with {10 * CUSTOMERS} orders of two years; {ORDERS} orders a store in turns, "
          f"medians of rounds of {CHUNK}.\n")
    print("| mix | orders that change a tag, a tier | order path: summaries, points, growth | with tiers and 50 rules | they add | summaries alone "
          "| with tiers and 50 rules | they add |")
    print("|---|---|---|---|---|---|---|---|")
    beside = []
    for mix, rules in (("a shop's", RULES), ("every order changes a tag", RULES[:-1] + ["order_count % 2 = 0"])):
        cumulated = build(sql, rules)
        times, tags, tiers = measure(sql, cumulated)
        t = {store: statistics.median(own) for store, own in times.items()}
        print(f"| {mix} | {100 * tags:.0f} %, {100 * tiers:.1f} % | {t['points']:.0f} us | {t['total']:.0f} us | {adds(times, 'total', 'points')} "
              f"| {t['plain']:.0f} us | {t['rules']:.0f} us | {adds(times, 'rules', 'plain')} |", flush=True)
        beside.append(f"| {mix} | {t['bare']:.0f} us | {t['total']:.0f} us | {t['peer']:.0f} us | "
                      f"{statistics.median((c - b) / (p - b) for c, b, p in zip(times['total'], times['bare'], times['peer'])):.2f} |")
        check(sql)
    print("\n| mix | no trigger | crm, all of it | PL/pgSQL, all of it | crm adds : PL/pgSQL adds |")
    print("|---|---|---|---|---|")
    print("\n".join(beside))


if __name__ == "__main__":
    main()
