#!/usr/bin/python3
"""Does anything cost more in a large store? The same work on stores of 10^4, 10^5 and 10^6 customers, each with 3 orders and 10 ledger entries a customer.

Prints a Markdown table: processor time of the server's process for a call, or for a customer in what goes over all of them, and bytes on disk for a row; the
last column is the greatest ratio between two neighbouring decades. Stores take turns, so that what else the machine does meets all of them.

CRM_BENCH_SCALE: 1 is up to 10^6 customers (3 * 10^6 orders, 10^7 entries), 0.1 up to 10^5, 10 up to 10^7. CRM_GROWTH_DECADES: how many decades (3).
CRM_GROWTH_ONLY: a regular expression, only the lines that it matches. Then history is loaded without the triggers of orders, which takes a third of the time.
Keep the largest store in memory (CRM_SHARED_BUFFERS=6GB), else the disk is measured. Exits with 1 when something grows by more than 1.3 a decade."""
import os
import random
import re
import sys
import time

import psycopg2

LARGEST = max(1000, int(1000000 * float(os.environ.get("CRM_BENCH_SCALE") or 1)))
DECADES = int(os.environ.get("CRM_GROWTH_DECADES") or 3)
SIZES = [LARGEST // 10 ** d for d in range(DECADES - 1, -1, -1)]
ONLY = os.environ.get("CRM_GROWTH_ONLY") or ""
LIMIT = 1.3
ORDERS = 3
POSTED = 4
ROUNDS = 7
CALLS = 150
NOW = "timestamptz '2026-03-01 04:00+00'"
db = psycopg2.connect("")
db.autocommit = True
sql = db.cursor()
rng = random.Random(17)
failures = []


def note(*text):
    print(time.strftime("%H:%M:%S"), *text, file=sys.stderr, flush=True)


def run(text, *values):
    sql.execute(text, values or None)
    return sql.fetchone() if sql.description else None


def processor():
    """Seconds that the server's process has been on a processor, to the nanosecond."""
    with open("/proc/%d/schedstat" % backend, encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e9


def make(size):
    """A store of so many customers: three orders each over two years, which post points and growth value, four earnings besides, three tags, one message."""
    store = "s%d" % size
    start, used = time.time(), processor()
    run("SELECT crm.create_store('%s')" % store)
    run("SELECT %s.install_preset('textbook')" % store)
    run("SET search_path = %s, crm" % store)
    run("INSERT INTO tag (tag) SELECT 'tag:' || k FROM generate_series(1, 50) k")
    run("INSERT INTO tag_rule (tag, rule) VALUES ('big', 'spend_12m >= 1500'), ('often', 'orders_12m >= 3'), ('asleep', 'last_order_at < now() - interval ''6 months''')")
    run("INSERT INTO coupon_template (template, name, kind, value, valid_days) VALUES ('ten', 'ten', 'fixed', 10, 30)")
    # What was bought before there were tiers: evaluate_tiers judges it afterwards.
    columns = run("SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute WHERE attrelid = 'tier'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''")[0]
    run("CREATE TEMP TABLE ladder AS SELECT %s FROM tier" % columns)
    run("DELETE FROM tier")
    step = 100000
    for first in range(1, size + 1, step):
        last = min(first + step - 1, size)
        run("""INSERT INTO customer (customer_id, joined_at, tags)
               SELECT i, timestamptz '2024-01-01' + (i %% 1000) * interval '1 hour',
                      crm.tagset(ARRAY['tag:' || 1 + i %% 50, 'tag:' || 1 + i / 7 %% 50, 'tag:' || 1 + i / 91 %% 50])
               FROM generate_series(%s, %s) i""", first, last)
        run("INSERT INTO contact (customer_id, name, phone) SELECT i, '客户' || i, '138' || lpad((i %% 100000000)::text, 8, '0') FROM generate_series(%s, %s) i", first, last)
        run("INSERT INTO interaction (customer_id, at, channel, direction, body) SELECT i, timestamptz '2025-06-01' + (i %% 5000) * interval '1 hour', 'app', 'in', 'hello' FROM generate_series(%s, %s) i",
            first, last)
        run("CALL fold_tag_audience()")
    note(size, "customers made in %.0f s, processor %.0f s" % (time.time() - start, processor() - used))
    run("SELECT setval(pg_get_serial_sequence('customer', 'customer_id'), %s)", size)
    total = ORDERS * size
    triggers = []
    if ONLY:
        sql.execute("""SELECT quote_ident(tgname), CASE tgenabled WHEN 'A' THEN 'ALWAYS' WHEN 'R' THEN 'REPLICA' ELSE '' END
                       FROM pg_trigger WHERE tgrelid = 'purchase'::regclass AND tgenabled <> 'D'""")
        triggers = sql.fetchall()
        run("ALTER TABLE purchase DISABLE TRIGGER ALL")
    for first in range(0, total, step):
        # A multiplier that has no factor in common with the sizes scatters the customers; every customer has ORDERS orders.
        run("""INSERT INTO purchase (customer_id, order_no, amount, status, paid_at, completed_at)
               SELECT 1 + (i::bigint * 7919) %% %s, 'o' || i, 100 + i * 31 %% 500, 'completed', t.at, t.at + interval '3 days'
               FROM generate_series(%s, %s) i, LATERAL (SELECT timestamptz '2024-02-01' + i * (interval '25 months' / %s) AS at) t""",
            size, first, min(first + step, total) - 1, total)
    if ONLY:
        for name, state in triggers:
            run("ALTER TABLE purchase ENABLE %s TRIGGER %s" % (state, name))
        run("ANALYZE")
        run("""UPDATE customer_summary s
               SET order_count = t.order_count, spend_total = t.spend_total, refunded_total = t.refunded_total, discount_total = t.discount_total,
                   cost_total = t.cost_total, first_order_at = t.first_order_at, last_order_at = t.last_order_at, months = t.months
               FROM purchase_total t WHERE t.customer_id = s.customer_id""")
    for first in range(1, size + 1, step // POSTED):
        run("""SELECT count(*) FROM post_points(ARRAY(
                   SELECT ROW(c, 'earn', 10 + k, 'load', 'k' || k, NULL, NULL, NULL, NULL, timestamptz '2026-02-25' + k * interval '1 hour', NULL)::crm.points_movement
                   FROM generate_series(%s, %s) c, generate_series(1, %s) k))""", first, min(first + step // POSTED - 1, size), POSTED)
    note(size, "made in %.0f s, processor %.0f s" % (time.time() - start, processor() - used))
    loaded = processor() - used
    run("ANALYZE")
    run("INSERT INTO tier (%s) SELECT * FROM ladder" % columns)
    run("DROP TABLE ladder")
    start = time.time()
    run("CALL apply_tag_rules(%s)" % NOW)
    run("CALL evaluate_tiers(%s)" % NOW)
    run("CALL fold_tag_audience()")
    run("SELECT refit_rfm(%s)" % NOW)
    run("SELECT refit_value_classes(%s)" % NOW)
    run("SELECT points_checkpoint()")
    note(size, "rules and tiers in %.0f s" % (time.time() - start))
    run("VACUUM (ANALYZE)")
    return loaded


def wanted(what):
    return re.search(ONLY, what)


def flat(what, unit, values, bar=LIMIT):
    if not wanted(what):
        return
    ratios = [b / a for a, b in zip(values, values[1:]) if a > 0]
    worst = max(ratios) if ratios else 1
    print("| %s | %s | %s | %.2f%s |" % (what, unit, " | ".join("%.4g" % v for v in values), worst, "" if worst <= bar else " **"), flush=True)
    if worst > bar:
        failures.append("%s: %.2f" % (what, worst))


def calls(what, prepared, parameters, once=False):
    """A statement with random customers: the least mean of the rounds, in microseconds. parameters(size) gives the arguments of one call."""
    if not wanted(what):
        return
    best = {size: 1e9 for size in SIZES}
    run("DEALLOCATE ALL")
    for size in SIZES:
        run("SET search_path = s%d, crm" % size)
        run("PREPARE p%d%s" % (size, prepared))
    for _ in range(ROUNDS if not once else 3):
        for size in SIZES:
            run("SET search_path = s%d, crm" % size)
            arguments = [parameters(size) for _ in range(CALLS if not once else 3)]
            # The first calls read what the others then find in memory, as in a server that is up for a while.
            for a in arguments[:10 if not once else 1]:
                sql.execute("EXECUTE p%d(%s)" % (size, a))
            arguments = [parameters(size) for _ in arguments]
            before = processor()
            for a in arguments:
                sql.execute("EXECUTE p%d(%s)" % (size, a))
            best[size] = min(best[size], (processor() - before) / len(arguments) * 1e6)
    flat(what, "µs", [best[s] for s in SIZES])


def passes(what, statements, unit="µs a customer", divisor=1, rounds=2):
    """What goes over all customers: the least of the rounds for a customer."""
    if not wanted(what):
        return
    best = {size: 1e9 for size in SIZES}
    for _ in range(rounds):
        for size in SIZES:
            run("SET search_path = s%d, crm" % size)
            before = processor()
            run(statements)
            best[size] = min(best[size], (processor() - before) / size / divisor * 1e6)
    flat(what, unit, [best[s] for s in SIZES])


numbers = iter(range(1, 10 ** 12))


def customer(size):
    return str(rng.randint(1, size))


def new(size):
    return "%d, 'n%d'" % (rng.randint(1, size), next(numbers))


backend = run("SELECT pg_backend_pid()")[0]
run("SET client_min_messages = error; SET jit = off; SET synchronous_commit = off; SET max_parallel_workers_per_gather = 0; SET work_mem = '64MB'; SET maintenance_work_mem = '1GB'")
run("CREATE EXTENSION IF NOT EXISTS crm")
load = {size: make(size) for size in SIZES}
run("CHECKPOINT")

print("\nGrowth: %s customers, %d orders and %d ledger entries each; processor time, all in memory.\n" % (", ".join(map(str, SIZES)), ORDERS, 2 * ORDERS + POSTED))
print("| what | unit | %s | greatest ratio (bar %.1f) |" % (" | ".join("%d customers" % s for s in SIZES), LIMIT))
print("|---|---|%s---|" % ("---:|" * len(SIZES)))

# Disk
for what, tables, rows in (("bytes a customer, contact, summary, tags", "customer contact customer_summary tag_event tag_audience tag_audience_change tier_member tier_change", "customer"),
                           ("bytes an order", "purchase", "purchase"),
                           ("bytes a ledger entry", "points_entry", "points_entry"),
                           ("bytes a points account", "points_account", "points_account")):
    values = []
    for size in SIZES:
        values.append(float(run("SELECT (SELECT sum(pg_total_relation_size(('s%d.' || t)::regclass)) FROM unnest(string_to_array('%s', ' ')) t) / (SELECT count(*) FROM s%d.%s)" % (size, tables, size, rows))[0]))
    flat(what, "bytes", values)

# Writing
calls("order, with points, growth value and tier", "(bigint, text) AS INSERT INTO purchase (customer_id, order_no, amount, status, paid_at, completed_at) VALUES ($1, $2, 250, 'completed', %s, %s)" % (NOW, NOW), new)
calls("a refund of an order",
      "(bigint, text) AS INSERT INTO purchase_refund (customer_id, channel, order_no, refund_no, amount, at) SELECT p.customer_id, p.channel, p.order_no, $2, 1, %s FROM purchase p WHERE p.customer_id = $1 ORDER BY p.order_no LIMIT 1" % NOW, new)
calls("earn", "(bigint, text) AS SELECT earn($1, 5, 'bench', $2)", new)
calls("redeem", "(bigint, text) AS SELECT redeem($1, 1, 'bench', $2)", new)
calls("raw INSERT into points_entry", "(bigint, text) AS INSERT INTO points_entry (customer_id, kind, points, source, reference) VALUES ($1, 'earn', 5, 'raw', $2)", new)
calls("tag one customer", "(bigint, text) AS SELECT tag_customer($1, 'tag:x' || right($2, 2))", new)
calls("record an interaction", "(bigint, text) AS SELECT record_interaction($1, 'app', 'in', 'hello')", new)
calls("queue a message", "(bigint, text) AS SELECT queue_message($1, 'app', 'service', NULL, '{}', $2)", new)
calls("queue a text message of marketing", "(bigint, text) AS SELECT queue_message($1, 'sms', 'marketing', NULL, '{}', $2)", new)
calls("issue a coupon", "(bigint, text) AS SELECT issue_coupon($1, 'ten', $2)", new)
calls("find or create a customer", "(bigint, text) AS SELECT find_or_create_customer('mall', $2)", new)

# Reading one
calls("customer_360 of one", "(bigint) AS SELECT * FROM customer_360 WHERE customer_id = $1", customer)
calls("customer_360_of one", "(bigint) AS SELECT * FROM customer_360_of($1)", customer)
calls("timeline of one", "(bigint) AS SELECT * FROM timeline($1)", customer)
calls("points_balance of one", "(bigint) AS SELECT * FROM points_balance WHERE customer_id = $1", customer)
calls("points_balance_at of one", "(bigint) AS SELECT points_balance_at($1, '2025-06-01')", customer)
calls("points_verify of one", "(bigint) AS SELECT * FROM points_verify($1)", customer)
calls("matches_rule of one", "(bigint) AS SELECT matches_rule($1, 'spend_12m >= 1500 and orders_12m >= 2')", customer)
calls("tier_at of one", "(bigint) AS SELECT tier_at($1)", customer)
calls("recommend to one", "(bigint) AS SELECT * FROM recommend($1)", customer)
calls("claim 100 messages", "(bigint) AS SELECT count(*) FROM claim_outbox('w', 100)", customer, once=True)

# Over all
for what, statement in (
        ("count a tag query by bitmaps", "SELECT cardinality(audience_of('tag:1 & !tag:2'))"),
        ("count a tag query by the index", "SELECT count(*) FROM customer WHERE tags @@ 'tag:1 & !tag:2'"),
        ("fold_tag_audience", "CALL fold_tag_audience()"),
        ("customer_360_all", "SELECT count(spend_12m), count(tier), count(points) FROM customer_360_all"),
        ("customer_360_all with what orders tell", "SELECT count(lifecycle), count(clv), count(last_channel) FROM customer_360_all"),
        ("customer_window", "SELECT sum(spend_12m) FROM customer_window"),
        ("apply_tag_rules that changes nothing", "CALL apply_tag_rules(%s)" % NOW),
        ("evaluate_tiers that changes nothing", "CALL evaluate_tiers(%s)" % NOW),
        ("record_lifecycle", "CALL record_lifecycle(%s)" % NOW),
        ("expire_points with nothing due", "CALL expire_points('2020-01-01')"),
        ("recount_customers", "SELECT count(*) FROM recount_customers()"),
        ("check_tag_audience", "SELECT count(*) FROM check_tag_audience()"),
        ("points_verify", "SELECT count(*) FROM points_verify()"),
        ("points_checkpoint", "SELECT points_checkpoint()"),
        ("points_verify_since", "SELECT count(*) FROM points_verify_since()"),
        ("refit_rfm", "SELECT refit_rfm(%s)" % NOW)):
    try:
        passes(what, statement)
    except psycopg2.Error as error:
        note(what, str(error))

# Wrong sums would make every figure worthless.
for size in SIZES:
    run("SET search_path = s%d, crm" % size)
    wrong = run("SELECT (SELECT count(*) FROM points_verify()) + (SELECT count(*) FROM recount_customers()) + (SELECT count(*) FROM check_tag_audience())")[0]
    if wrong:
        failures.append("%d findings in the store of %d" % (wrong, size))

flat("making a customer with all that stands above, per order", "µs", [load[s] / s / ORDERS * 1e6 for s in SIZES])
if failures:
    print("\nGrows or is wrong: " + "; ".join(failures))
    sys.exit(1)
