#!/usr/bin/python3
"""A shop's day in short: 16 sessions with mixed work, one that runs the jobs, one that sends messages, for CRM_SOAK_MINUTES (20).

Nothing may grow: memory of the sessions' processes after the first quarter, space a live row, what waits to be folded or sent. In the end every sum,
the ledger and the audiences are recounted, and crm.health asks for nothing. Prints Markdown; exits with 1 when something is wrong.
CRM_SOAK_CUSTOMERS: 5000. CRM_SEED: of the random numbers. Run by make soak."""
import os
import random
import statistics
import sys
import threading
import time
from collections import Counter

import psycopg2

if "soak" not in os.environ.get("BENCH", ""):
    print("soak: runs when asked for, make soak")
    sys.exit(0)
MINUTES = float(os.environ.get("CRM_SOAK_MINUTES") or 20)
CUSTOMERS = int(os.environ.get("CRM_SOAK_CUSTOMERS") or 5000)
CLIENTS = 16
SEED = int(os.environ.get("CRM_SEED") or time.time())
TABLES = ["customer", "customer_summary", "points_account", "points_hold", "outbox", "coupon", "tag_audience", "tag_audience_change", "tier_member", "tag_expiry", "job_progress"]
done = Counter()
refused = Counter()
wrong = []
samples = []
lock = threading.Lock()
stop = threading.Event()
sessions = []
# Which memory contexts these sessions have, looked at from inside after each quarter: what grows has a name.
LOOKED_INTO = ("client 0", "jobs", "sender")
contexts = {}


def connect(name):
    connection = psycopg2.connect("", application_name=name)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("SET search_path = shop, crm; SET client_min_messages = error; SET synchronous_commit = off")
    if name == "jobs":
        # A pass over all customers may take what it is given for sorting and hashing: little, so that growth of the shop is not taken for a leak.
        cursor.execute("SET work_mem = '512kB'; SET maintenance_work_mem = '4MB'")
    return connection, cursor


def look_into(name, cursor, begun):
    """Once a quarter: bytes by memory context of this session. The first look is for what looking itself needs."""
    quarter = int(4 * (time.time() - begun) / (MINUTES * 60))
    if (name, quarter) in contexts:
        return
    cursor.execute("SELECT coalesce(c.parent || ' / ', '') || c.name, sum(c.total_bytes)::bigint, count(*) FROM pg_backend_memory_contexts c GROUP BY 1")
    contexts[name, quarter] = {row[0]: row[1:] for row in cursor.fetchall()}


def session(name, body):
    """Runs a piece of work again and again; a refusal by the rules of the trade is part of it, any other error is not."""
    connection, cursor = connect(name)
    with lock:
        sessions.append((name, connection.info.backend_pid))
    begun = time.time()
    while not stop.is_set():
        try:
            if name in LOOKED_INTO:
                look_into(name, cursor, begun)
            what = body(cursor)
            with lock:
                done[what] += 1
        except psycopg2.Error as error:
            connection.rollback()
            with lock:
                if error.pgcode and (error.pgcode.startswith("C") or error.pgcode in ("40001",)):
                    refused[error.pgcode] += 1
                elif len(wrong) < 20:
                    wrong.append("%s: %s %s" % (name, error.pgcode, str(error).strip().replace("\n", " ")[:300]))
                    print(wrong[-1], file=sys.stderr, flush=True)
    connection.close()


REPORTS = ["SELECT * FROM report_repurchase", "SELECT * FROM report_channel", "SELECT * FROM points_liability", "SELECT * FROM report_hour", "SELECT count(*) FROM customer_360",
           "SELECT * FROM response_report()"]


def client(number):
    rng = random.Random(SEED * 100 + number)
    serial = 0
    orders, earned, redeemed, held, coupons = [], [], [], [], []

    def take(pool):
        return pool.pop(rng.randrange(len(pool)))

    def work(c):
        nonlocal serial
        serial += 1
        if serial <= len(REPORTS):
            # What is seldom asked for is planned once a session; that is no growth.
            c.execute(REPORTS[serial - 1])
            return "report"
        who = min(int(rng.paretovariate(0.7)), CUSTOMERS) if rng.random() < 0.3 else rng.randint(1, CUSTOMERS)
        name = "%d-%d" % (number, serial)
        x = rng.random()
        for pool in (orders, earned, redeemed, held, coupons):
            del pool[:-500]
        if x < 0.20:
            c.execute("INSERT INTO purchase (customer_id, order_no, amount, status, paid_at, completed_at) VALUES (%s, %s, %s, 'completed', now(), now())", (who, name, rng.randint(1, 500)))
            orders.append((who, name))
            return "order"
        if x < 0.21:
            c.execute("""INSERT INTO purchase (customer_id, order_no, amount, status, paid_at)
                         SELECT 1 + (hashint4(i + %s) & 2147483647) %% %s, %s || '-' || i, 10 + i, 'paid', now() - i * interval '1 day' FROM generate_series(1, 100) i""", (serial, CUSTOMERS, name))
            return "100 orders"
        if x < 0.26 and orders:
            who, order = rng.choice(orders)
            c.execute("INSERT INTO purchase_refund (customer_id, channel, order_no, refund_no, amount) SELECT p.customer_id, p.channel, p.order_no, %s, least(1, p.amount - p.refunded) FROM purchase p"
                      " WHERE p.customer_id = %s AND p.channel = 'mall' AND p.order_no = %s AND p.amount > p.refunded", (name, who, order))
            return "partial refund"
        if x < 0.28 and orders:
            who, order = take(orders)
            c.execute("UPDATE purchase SET status = 'cancelled' WHERE customer_id = %s AND channel = 'mall' AND order_no = %s AND refunded = 0", (who, order))
            return "cancel an order"
        if x < 0.38:
            c.execute("SELECT earn(%s, %s, 'soak', %s, expires_at => now() + %s * interval '1 minute')", (who, rng.randint(1, 50), name, rng.randint(1, 30)))
            earned.append((who, name))
            return "earn"
        if x < 0.43:
            c.execute("SELECT redeem(%s, %s, 'soak', %s)", (who, rng.randint(1, 20), name))
            redeemed.append((who, name))
            return "redeem"
        if x < 0.45 and earned:
            who, reference = rng.choice(earned)
            c.execute("SELECT refund(%s, %s, 1, 'soak', %s)", (who, reference, name))
            return "refund points"
        if x < 0.46 and redeemed:
            who, reference = take(redeemed)
            c.execute("SELECT restore(%s, %s, source => 'soak', reference => %s)", (who, reference, name))
            return "restore points"
        if x < 0.50:
            c.execute("SELECT hold(%s, %s, 'soak', %s, expires_at => now() + interval '5 minutes')", (who, rng.randint(1, 10), name))
            held.append((who, name))
            return "hold"
        if x < 0.53 and held:
            who, reference = take(held)
            c.execute("SELECT %s(%%s, %%s, source => 'soak')" % rng.choice(("capture", "release")), (who, reference))
            return "capture or release"
        if x < 0.60:
            c.execute("SELECT %s(%%s, %%s)" % rng.choice(("tag_customer", "untag_customer", "put_tag")), (who, "soak:%d" % rng.randint(1, 30)))
            return "tag"
        if x < 0.62:
            c.execute("SELECT tag_customer(%s, 'soon', expires_at => now() + interval '30 seconds')", (who,))
            return "tag for a while"
        if x < 0.68:
            c.execute("SELECT record_interaction(%s, 'app', %s, 'hello')", (who, rng.choice(("in", "out"))))
            return "interaction"
        if x < 0.74:
            c.execute("SELECT queue_message(%s, 'app', 'service', NULL, '{}', %s)", (who, name))
            return "queue a message"
        if x < 0.77:
            c.execute("SELECT i.code FROM issue_coupon(%s, 'ten', %s) i", (who, name))
            coupons.append((c.fetchone()[0], name))
            return "issue a coupon"
        if x < 0.79 and coupons:
            code, order = take(coupons)
            c.execute("SELECT lock_coupon(%s, 'mall', %s, 100)", (code, order))
            if rng.random() < 0.7:
                c.execute("SELECT redeem_coupon(%s, 'mall', %s)", (code, order))
            return "use a coupon"
        if x < 0.81:
            c.execute("SELECT find_or_create_customer('app', %s)", (str(rng.randint(1, CUSTOMERS)),))
            return "find or create"
        if x < 0.88:
            c.execute("SELECT * FROM customer_360 WHERE customer_id = %s", (who,))
            c.fetchall()
            return "customer_360"
        if x < 0.93:
            c.execute("SELECT * FROM timeline(%s)", (who,))
            c.fetchall()
            return "timeline"
        if x < 0.97:
            c.execute("SELECT available FROM points_balance WHERE customer_id = %s", (who,))
            return "balance"
        if x < 0.995:
            c.execute("SELECT cardinality(audience_of('soak:1 & !soak:2'))")
            return "count tags"
        c.execute(rng.choice(REPORTS))
        return "report"

    return work


JOBS = ["CALL fold_tag_audience()", "CALL expire_points()", "CALL release_overdue_holds()", "CALL expire_tags()", "SELECT expire_coupons()", "CALL run_automations()", "CALL apply_tag_rules()",
        "CALL evaluate_tiers()", "CALL record_lifecycle()", "CALL prune_changes()", "SELECT refit_rfm()"]


def jobs():
    turn = 0

    def work(c):
        nonlocal turn
        job = JOBS[turn % len(JOBS)]
        turn += 1
        c.execute(job)
        # The first time after the first round: what it plans must not come late and look like growth.
        if turn % (10 * len(JOBS)) == len(JOBS):
            c.execute("CALL verify_store()")
        stop.wait(1)
        return "job"

    return work


def sender():
    def work(c):
        c.execute("WITH o AS MATERIALIZED (SELECT * FROM claim_outbox('soak', 200)) SELECT sent_outbox('soak', array_agg(o.customer_id), array_agg(o.outbox_id)) FROM o HAVING count(*) > 0")
        if c.rowcount == 0:
            stop.wait(0.5)
        return "send"

    return work


def anonymous(pid):
    """Kilobytes of a process that are its own."""
    try:
        with open("/proc/%d/status" % pid, encoding="ascii") as file:
            return int(next(line for line in file if line.startswith("RssAnon")).split()[1])
    except (OSError, StopIteration):
        return 0


def watch(cursor, start):
    """One sample: minutes, memory by session, bytes and rows by table."""
    with lock:
        now = list(sessions)
    memory = {name: anonymous(pid) for name, pid in now}
    sizes = {}
    for table in TABLES:
        cursor.execute("SELECT pg_relation_size('%s'), pg_indexes_size('%s'), count(*) FROM %s" % (table, table, table))
        sizes[table] = cursor.fetchone()
    cursor.execute("SELECT count(*) FROM outbox WHERE state = 'pending'")
    samples.append(((time.time() - start) / 60, memory, sizes, cursor.fetchone()[0]))


control, sql = connect("control")
sql.execute("CREATE EXTENSION IF NOT EXISTS crm")
sql.execute("SELECT crm.create_store('shop'); SELECT shop.install_preset('textbook')")
sql.execute("INSERT INTO customer (customer_id) SELECT generate_series(1, %s); SELECT setval(pg_get_serial_sequence('customer', 'customer_id'), %s)", (CUSTOMERS, CUSTOMERS))
sql.execute("INSERT INTO contact (customer_id, name, phone) SELECT i, '客户' || i, '138' || lpad(i::text, 8, '0') FROM generate_series(1, %s) i", (CUSTOMERS,))
sql.execute("INSERT INTO coupon_template (template, name, kind, value, valid_days) VALUES ('ten', 'ten', 'fixed', 10, 30)")
sql.execute("INSERT INTO tag_rule (tag, rule) VALUES ('big', 'spend_12m >= 1500'), ('often', 'orders_12m >= 5')")
print("Soak: %g minutes, %d sessions, %d customers, seed %d\n" % (MINUTES, CLIENTS, CUSTOMERS, SEED), flush=True)
start = time.time()
threads = [threading.Thread(target=session, args=("client %d" % n, client(n))) for n in range(CLIENTS)]
threads += [threading.Thread(target=session, args=("jobs", jobs())), threading.Thread(target=session, args=("sender", sender()))]
for t in threads:
    t.start()
interval = max(2, MINUTES * 60 / 40)
while time.time() - start < MINUTES * 60:
    stop.wait(interval)
    watch(sql, start)
    print("%.1f min, %d done, %d MB" % (samples[-1][0], sum(done.values()), sum(samples[-1][1].values()) // 1024), file=sys.stderr, flush=True)
stop.set()
for t in threads:
    t.join()
failures = list(wrong)

quarter = len(samples) // 4
first, last = samples[quarter:2 * quarter], samples[-quarter:]
print("| session | memory of its own in the second quarter | in the last | ratio |\n|---|---:|---:|---:|")
for name in ["clients", "jobs", "sender"]:
    before, after = ([v for s in part for n, v in s[1].items() if n == name or name == "clients" and n.startswith("client ")] for part in (first, last))
    a, b = statistics.median(before), statistics.median(after)
    print("| %s | %.1f MB | %.1f MB | %.2f |" % (name, a / 1024, b / 1024, b / a))
    if b > 1.1 * a + 2048:
        failures.append("memory of %s grew from %d to %d kB" % (name, a, b))
print("\n| session | memory context | kB after a quarter | after three | how many | then |\n|---|---|---:|---:|---:|---:|")
for name in LOOKED_INTO:
    before, after = contexts.get((name, 1), {}), contexts.get((name, 3), {})
    for context in sorted(after, key=lambda c: before.get(c, (0, 0))[0] - after[c][0]):
        (a, m), (b, n) = before.get(context, (0, 0)), after[context]
        if b - a >= 65536:
            print("| %s | %s | %d | %d | %d | %d |" % (name, context, a // 1024, b // 1024, m, n))
print("\n| table | rows | bytes a row after a quarter | at the end | indexes after a quarter | at the end |\n|---|---:|---:|---:|---:|---:|")
for table in TABLES:
    (h0, i0, n0), (h1, i1, n1) = first[0][2][table], samples[-1][2][table]
    print("| %s | %d | %.0f | %.0f | %.0f | %.0f |" % (table, n1, h0 / max(n0, 1), h1 / max(n1, 1), i0 / max(n0, 1), i1 / max(n1, 1)))
    if h1 + i1 > 4000000 and (h1 + i1) / max(n1, 1) > 2 * (h0 + i0) / max(n0, 1):
        failures.append("%s grew to %d bytes for %d rows" % (table, h1 + i1, n1))
most = max(s[2]["tag_audience_change"][2] for s in samples)
print("\nMost rows unfolded: %d; most messages waiting: %d." % (most, max(s[3] for s in samples)))
if most > 50000 or max(s[3] for s in last) > 5000:
    failures.append("a backlog grew")

print("\n| check | findings |\n|---|---:|")
for check in ("points_verify()", "points_verify_checkpoints()", "recount_customers()", "check_tag_audience()",
              "(SELECT FROM purchase p LEFT JOIN (SELECT r.customer_id, r.channel, r.order_no, sum(r.amount) AS amount FROM purchase_refund r GROUP BY 1, 2, 3) r USING (customer_id, channel, order_no)"
              " WHERE p.refunded <> coalesce(r.amount, 0)) AS refunds",
              "(SELECT FROM points_trial_balance t GROUP BY t.program HAVING sum(t.amount) <> 0) AS trial_balance",
              "(SELECT FROM points_balance b WHERE b.available < 0 OR b.held < 0) AS balances_below_zero"):
    sql.execute("SELECT count(*) FROM " + check)
    n = sql.fetchone()[0]
    print("| %s | %d |" % (check.split(" AS ")[-1] if " AS " in check else check, n))
    if n:
        failures.append("%d findings of %s" % (n, check))
sql.execute("CALL fold_tag_audience(); ")
sql.execute("CALL verify_store()")
sql.execute("SELECT subject, detail FROM crm.health('shop') WHERE state <> 'ok' AND subject NOT IN ('bloat', 'statistics')")
for subject, detail in sql.fetchall():
    print("| health: %s | %s |" % (subject, detail))
    failures.append("health: %s %s" % (subject, detail))
print("\nDone: %s. Refused by the rules: %s." % (", ".join("%s %d" % d for d in done.most_common()), ", ".join("%s %d" % r for r in refused.most_common())))
if failures:
    print("\nWrong: " + "\n".join(failures))
    sys.exit(1)
print("\nNothing grew, all checks hold.")
