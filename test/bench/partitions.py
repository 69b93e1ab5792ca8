#!/usr/bin/python3
"""What partitions cost: the same work on a store of one table and on stores of 4 and 16 partitions, in turns.

Statements run in functions of PL/pgSQL, one session. Prints a Markdown table: processor time of the server's process for a call in the store of one table, median
of the rounds, and for the others the median of the rounds' ratios to it. CRM_BENCH_SCALE: 1 is 20,000 customers with 60,000 orders."""
import os
import statistics

import psycopg2

SCALE = float(os.environ.get("CRM_BENCH_SCALE") or 1)
CUSTOMERS = max(1000, int(20000 * SCALE))
CALLS = max(100, int(1000 * SCALE))
BATCH = max(100, int(3000 * SCALE))
WARM, ROUNDS = 2, 5
PARTS = (0, 4, 16)

db = psycopg2.connect("")
db.autocommit = True
sql = db.cursor()


def run(text, *values):
    sql.execute(text, values or None)
    return sql.fetchone() if sql.description else None


backend = run("SELECT pg_backend_pid()")[0]


def processor():
    """Seconds that the server's process has been on a processor."""
    with open("/proc/%d/schedstat" % backend, encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e9


# Of the number i of a call: customers are scattered, and every store has the same.
WHO = "1 + (i::bigint * 7919) % " + str(CUSTOMERS)


def each(statement):
    return "FOR i IN first .. first + calls - 1 LOOP " + statement + " END LOOP;"


WORK = (
    # name, body, all at once, with rules of points and tiers
    ("an order", each(f"INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES ({WHO}, 'n' || i, 250, now());"), False, False),
    (f"an order of {BATCH:,} in one statement",
     f"INSERT INTO purchase (customer_id, order_no, amount, paid_at) SELECT {WHO}, 'm' || i, 250, now() FROM generate_series(first, first + calls - 1) i;", True, False),
    ("status of an order by its whole key", each(f"UPDATE purchase p SET status = 'shipped' WHERE p.customer_id = {WHO} AND p.channel = 'mall' AND p.order_no = 'n' || i;"), False, False),
    ("an order found by its number",
     each("PERFORM p.amount FROM purchase_number n JOIN purchase p USING (customer_id, channel, order_no) WHERE n.channel = 'mall' AND n.order_no = 'n' || i;"), False, False),
    ("deletion of an order", each(f"DELETE FROM purchase p WHERE p.customer_id = {WHO} AND p.channel = 'mall' AND p.order_no = 'n' || i;"), False, False),
    ("earn", each(f"PERFORM earn({WHO}, 5, 'bench', 'e' || i);"), False, False),
    ("raw INSERT into points_entry",
     each(f"INSERT INTO points_entry (customer_id, kind, points, source, reference) VALUES ({WHO}, 'earn', 5, 'raw', 'w' || i);"), False, False),
    (f"a movement of {BATCH:,} in post_points",
     f"PERFORM count(*) FROM post_points(ARRAY(SELECT ROW({WHO}, 'earn', 5, 'many', 'b' || i, NULL, NULL, NULL, NULL, NULL, NULL)::crm.points_movement "
     "FROM generate_series(first, first + calls - 1) i));", True, False),
    ("balance of one account", each(f"PERFORM * FROM points_balance b WHERE b.customer_id = {WHO};"), False, False),
    ("an order, with points and growth value", each(f"INSERT INTO purchase (customer_id, order_no, amount, paid_at, completed_at) VALUES ({WHO}, 'r' || i, 250, now(), now());"), False, True),
    (f"the same, of {BATCH:,} in one statement",
     f"INSERT INTO purchase (customer_id, order_no, amount, paid_at, completed_at) SELECT {WHO}, 's' || i, 250, now(), now() FROM generate_series(first, first + calls - 1) i;", True, True),
)


def make(name, parts, rules):
    run("SELECT crm.create_store(%s, partitions => %s)", name, parts)
    run("SET search_path = %s, crm" % name)
    if rules:
        run("SELECT install_preset('textbook')")
    else:
        run("DELETE FROM points_rule")
    run("INSERT INTO customer (customer_id, joined_at) SELECT i, now() - interval '2 years' FROM generate_series(1, %s) i", CUSTOMERS)
    for part in range(3):
        run(f"""INSERT INTO purchase (customer_id, order_no, amount, paid_at, history)
                SELECT {WHO.replace('%', '%%')}, 'h' || i, 100 + i %% 300, now() - interval '1 year', true FROM generate_series(%s::bigint, %s::bigint) i""", part * CUSTOMERS, (part + 1) * CUSTOMERS - 1)
    for n, (_, body, _, with_rules) in enumerate(WORK):
        if with_rules == rules:
            run(f"CREATE FUNCTION work_{n}(first bigint, calls bigint) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $work$ BEGIN {body} END $work$")
    run("VACUUM (ANALYZE)")


run("SET client_min_messages = error; SET jit = off; SET synchronous_commit = off")
run("CREATE EXTENSION IF NOT EXISTS crm")
for rules in (False, True):
    for parts in PARTS:
        make("%s%d" % ("r" if rules else "p", parts), parts, rules)

print("\nPartitions: %s customers, %s orders; processor time of one session.\n" % (f"{CUSTOMERS:,}", f"{3 * CUSTOMERS:,}"))
print("| what | one table, µs | %s |" % " | ".join("%d partitions" % p for p in PARTS[1:]))
print("|---|---:|%s" % ("---:|" * (len(PARTS) - 1)), flush=True)
for n, (what, _, together, rules) in enumerate(WORK):
    calls = BATCH if together else CALLS
    times = {p: [] for p in PARTS}
    for turn in range(WARM + ROUNDS):
        for parts in PARTS:
            before = processor()
            run("SELECT %s%d.work_%d(%d, %d)" % ("r" if rules else "p", parts, n, turn * calls + 1, calls))
            if turn >= WARM:
                times[parts].append((processor() - before) / calls * 1e6)
    print("| %s | %.3g | %s |" % (what, statistics.median(times[0]),
                                 " | ".join("%.2f" % statistics.median(t / one for t, one in zip(times[p], times[0])) for p in PARTS[1:])), flush=True)

# The same work has the same result.
for rules in (False, True):
    sums = {p: run("""SELECT (SELECT (count(*), sum(net)) FROM {0}.purchase)::text, (SELECT (count(*), sum(spend_total)) FROM {0}.customer_summary)::text,
                      (SELECT (count(*), sum(points)) FROM {0}.points_entry)::text, (SELECT count(*) FROM {0}.recount_customers())""".format("%s%d" % ("r" if rules else "p", p))) for p in PARTS}
    if len(set(sums.values())) > 1 or sums[0][3]:
        raise SystemExit("the stores differ: %s" % sums)
