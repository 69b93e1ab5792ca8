#!/usr/bin/python3
"""Speed of the points ledger against fair baselines of the same run: prints a Markdown table.

Run by make bench in an empty database of a private cluster (PGHOST, PGPORT, PGUSER, PGDATABASE); CRM_BENCH_SCALE (1 by default) shortens runs and shrinks data.
"""
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import psycopg2

SCALE = float(os.environ.get("CRM_BENCH_SCALE", "1"))
SECONDS = max(2, int(6 * SCALE))
CLIENTS = int(os.environ.get("CRM_BENCH_CLIENTS", "16"))
ROUNDS = 3 if SCALE >= 1 else 1
ACCOUNTS = 10000
DATABASE = os.environ.get("PGDATABASE", "postgres")
ROWS = []

# A correct ledger as one would write it by hand: lots as rows, expiry booked, idempotency, an account locked, a chain, append-only.
BASELINE = """
CREATE SCHEMA base;
CREATE TABLE base.account (customer_id bigint PRIMARY KEY, seq bigint NOT NULL DEFAULT 0, available bigint NOT NULL DEFAULT 0,
    head bytea NOT NULL DEFAULT '\\x') WITH (fillfactor = 70);
CREATE TABLE base.entry (customer_id bigint, seq bigint, kind text NOT NULL, points bigint NOT NULL, source text NOT NULL, reference text NOT NULL,
    expires_at timestamptz, booked_at timestamptz NOT NULL DEFAULT now(), balance_after bigint, hash bytea,
    PRIMARY KEY (customer_id, seq), UNIQUE (customer_id, kind, reference, source));
CREATE TABLE base.lot (customer_id bigint, expires_at timestamptz, remaining bigint NOT NULL, PRIMARY KEY (customer_id, expires_at)) WITH (fillfactor = 70);
CREATE FUNCTION base.gate() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE a base.account; earlier base.entry; gone bigint;
BEGIN
    SELECT * INTO a FROM base.account WHERE customer_id = NEW.customer_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        INSERT INTO base.account (customer_id) VALUES (NEW.customer_id) ON CONFLICT DO NOTHING;
        SELECT * INTO a FROM base.account WHERE customer_id = NEW.customer_id FOR NO KEY UPDATE;
    END IF;
    SELECT * INTO earlier FROM base.entry WHERE customer_id = NEW.customer_id AND kind = NEW.kind AND reference = NEW.reference AND source = NEW.source;
    IF FOUND THEN
        IF earlier.points <> NEW.points THEN RAISE EXCEPTION 'repeated'; END IF;
        RETURN NULL;
    END IF;
    SELECT coalesce(sum(remaining), 0) INTO gone FROM base.lot WHERE customer_id = NEW.customer_id AND expires_at <= now();
    IF gone > 0 THEN
        DELETE FROM base.lot WHERE customer_id = NEW.customer_id AND expires_at <= now();
        a.seq := a.seq + 1;
        a.available := a.available - gone;
        a.head := sha256(a.head || convert_to(concat_ws('|', NEW.customer_id, a.seq, 'expire', gone, 'lapse', a.seq, now(), a.available), 'UTF8'));
        INSERT INTO base.entry VALUES (NEW.customer_id, a.seq, 'expire', gone, 'lapse', a.seq::text, NULL, now(), a.available, a.head);
    END IF;
    INSERT INTO base.lot AS l VALUES (NEW.customer_id, coalesce(NEW.expires_at, 'infinity'), NEW.points)
        ON CONFLICT (customer_id, expires_at) DO UPDATE SET remaining = l.remaining + excluded.remaining;
    NEW.seq := a.seq + 1;
    NEW.balance_after := a.available + NEW.points;
    NEW.hash := sha256(a.head || convert_to(concat_ws('|', NEW.customer_id, NEW.seq, NEW.kind, NEW.points, NEW.source, NEW.reference, NEW.expires_at, NEW.booked_at, NEW.balance_after), 'UTF8'));
    UPDATE base.account SET seq = NEW.seq, available = NEW.balance_after, head = NEW.hash WHERE customer_id = NEW.customer_id;
    RETURN NEW;
END $$;
CREATE TRIGGER gate BEFORE INSERT ON base.entry FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION base.gate();
CREATE FUNCTION base.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'append-only'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE OR DELETE ON base.entry FOR EACH ROW EXECUTE FUNCTION base.refuse();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON base.entry EXECUTE FUNCTION base.refuse();
"""


def connect(database=DATABASE):
    connection = psycopg2.connect(dbname=database)
    connection.autocommit = True
    return connection


def run(sql, *parameters):
    connection = connect()
    try:
        cursor = connection.cursor()
        cursor.execute(sql, parameters or None)
        return cursor.fetchall() if cursor.description else None
    finally:
        connection.close()


def pgbench(script, clients=CLIENTS, sync=True, seconds=SECONDS, builtin=False):
    """Transactions a second, and the 99th percentile of their latency in ms."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["pgbench", "-n", "-c", str(clients), "-j", "2", "-T", str(seconds), "-M", "prepared", "-l", "--log-prefix", folder + "/log"]
        if builtin:
            command += ["-b", "tpcb-like"]
        else:
            path = folder + "/script"
            with open(path, "w", encoding="utf-8") as file:
                file.write(script)
            command += ["-f", path]
        environment = dict(os.environ, PGOPTIONS="-c synchronous_commit=" + ("on" if sync else "off"))
        done = subprocess.run(command + [DATABASE], env=environment, capture_output=True, text=True, check=False)
        tps = re.search(r"tps = ([0-9.]+)", done.stdout)
        if tps is None:
            sys.exit(done.stdout + done.stderr)
        latencies = sorted(int(line.split()[2]) for name in os.listdir(folder) if name.startswith("log") for line in open(folder + "/" + name, encoding="utf-8"))
        return float(tps.group(1)), latencies[len(latencies) * 99 // 100] / 1000 if latencies else 0


def rates(*measurements):
    """Medians of interleaved rounds."""
    values = [[] for _ in measurements]
    for _ in range(ROUNDS):
        for n, measure in enumerate(measurements):
            values[n].append(measure())
            if n == 0:
                sample()
    return [statistics.median(v) for v in values]


def row(what, ours, theirs, ratio, bar):
    print("| %s | %s | %s | %s | %s |" % (what, ours, theirs, ratio, bar), flush=True)


def compare(what, ours, theirs, bar, unit="/s"):
    row(what, "%.0f%s" % (ours, unit), "%.0f%s" % (theirs, unit), "%.2f" % (ours / theirs), bar)


# One column of one call needs no scan of the function's result. A reference comes with the request, as an order's number does: the client makes it, as it makes the numbers of TPC-B. It is as long as a UUID.
REQUEST = r"""\set c random(1, %d)
\set a random(10000000000000000, 99999999999999999)
\set b random(100000000000000000, 999999999999999999)
"""
EARN = REQUEST + "SELECT (shop.earn(:c, 5, 'bench', :a || '-' || :b)).seq;\n"
INSERT = REQUEST + "INSERT INTO shop.points_entry (customer_id, kind, points, source, reference) VALUES (:c, 'earn', 5, 'bench', :a || '-' || :b);\n"
BASE = REQUEST + "INSERT INTO base.entry (customer_id, kind, points, source, reference) VALUES (:c, 'earn', 5, 'bench', :a || '-' || :b);\n"
REPLAY = r"""\set c random(1, 1000)
SELECT (shop.earn(:c, 5, 'replay', 'the same')).seq;
"""
# What a commit alone costs: all that writes anything waits for the same disk.
COMMIT = "SELECT pg_logical_emit_message(true, 'crm', '');\n"


def prepare():
    run("CREATE EXTENSION IF NOT EXISTS crm")
    run("SELECT crm.create_store('shop')")
    run("INSERT INTO shop.customer (customer_id) SELECT generate_series(1, %s)", ACCOUNTS)
    run("INSERT INTO shop.points_program (program, expiry, expiry_n) SELECT 'p' || n, 'months', 12 FROM generate_series(1, 16) n")
    run(BASELINE)
    run("INSERT INTO base.account (customer_id) SELECT generate_series(1, %s)", ACCOUNTS)
    for _ in range(2):
        run("SELECT count(*) FROM generate_series(1, %s) c, LATERAL shop.earn(c, 5, 'warm', gen_random_uuid()::text)", ACCOUNTS)
        run("INSERT INTO base.entry (customer_id, kind, points, source, reference) SELECT c, 'earn', 5, 'warm', gen_random_uuid() FROM generate_series(1, %s) c", ACCOUNTS)
    run("SELECT count(*) FROM generate_series(1, 1000) c, LATERAL shop.earn(c, 5, 'replay', 'the same')")
    run("VACUUM ANALYZE")


def timed(sql, *parameters):
    start = time.monotonic()
    run(sql, *parameters)
    return time.monotonic() - start


def singles():
    for sync, bars in ((True, ("≥ 2.5", "")), (False, ("≥ 2.5", "≥ 1.15"))):
        name = "sync commit " + ("on" if sync else "off")
        earn, tpcb, base, insert = rates(
            lambda: pgbench(EARN % ACCOUNTS, sync=sync)[0],
            lambda: pgbench(None, sync=sync, builtin=True)[0],
            lambda: pgbench(BASE % ACCOUNTS, sync=sync)[0],
            lambda: pgbench(INSERT % ACCOUNTS, sync=sync)[0])
        compare("earn against pgbench TPC-B, " + name, earn, tpcb, bars[0])
        compare("an INSERT into points_entry against pgbench TPC-B, " + name, insert, tpcb, "")
        compare("the same against a correct PL/pgSQL gate, " + name, earn, base, bars[1])
    earn, commits = rates(lambda: pgbench(EARN % ACCOUNTS)[0], lambda: pgbench(COMMIT)[0])
    compare("earn against commits that write nothing else, sync commit on", earn, commits, "")
    run("UPDATE shop.points_program SET expiry = 'months', expiry_n = 12 WHERE program = 'points'")
    spread = EARN.replace(":b)", ":b, 'p' || (:c %% 16 + 1))")
    one, many = rates(lambda: pgbench(EARN % ACCOUNTS)[0], lambda: pgbench(spread % ACCOUNTS)[0])
    compare("all earnings of one program against sixteen", one, many, "≥ 0.95")
    single, replay = rates(lambda: pgbench(EARN % ACCOUNTS)[0], lambda: pgbench(REPLAY)[0])
    compare("replay of a known reference against earn", replay, single, "≥ 2")
    row("WAL an entry earned, and a replay", "%.0f bytes" % wal("new"), "%.0f bytes" % wal("the same"), "", "0 but for the lock")


def wal(reference):
    """Bytes of WAL a call of earn, from one session at a time."""
    connection = connect()
    with connection.cursor() as cursor:
        cursor.execute("CHECKPOINT")
        for _ in range(2):
            # The first round writes full pages.
            cursor.execute("SELECT pg_current_wal_insert_lsn()")
            before = cursor.fetchone()[0]
            for c in range(1, 501):
                cursor.execute("SELECT seq FROM shop.earn(%s, 5, 'replay', %s)", (c, reference if reference == "the same" else "%s %s" % (reference, time.monotonic_ns())))
            cursor.execute("SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", (before,))
            written = cursor.fetchone()[0]
    connection.close()
    return written / 500


def batches():
    """Before the single earnings, so that both ledgers hold the same number of entries: later ours has several times as many."""
    n = max(10, int(50 * SCALE))
    ours = base = 0
    connection = connect()
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        for r in range(n):
            start = time.monotonic()
            cursor.execute("INSERT INTO base.entry (customer_id, kind, points, source, reference) SELECT 1 + (g * 7919 + %s) %% %s, 'earn', 5, 'batch', %s::text || '-' || g FROM generate_series(1, 1000) g", (r, ACCOUNTS, r))
            base += time.monotonic() - start
            start = time.monotonic()
            cursor.execute("SELECT count(*) FROM shop.post_points(ARRAY(SELECT ROW(1 + (g * 7919 + %s) %% %s, 'earn', 5, 'batch', %s::text || '-' || g, NULL, NULL, NULL, NULL, NULL, NULL)::crm.points_movement FROM generate_series(1, 1000) g))", (r, ACCOUNTS, r))
            ours += time.monotonic() - start
    connection.close()
    compare("batches of 1,000 against the PL/pgSQL gate", 1000 * n / ours, 1000 * n / base, "≥ 2.5")
    single = pgbench(EARN % ACCOUNTS, clients=1)[0]
    # As the single calls, from a session that is there.
    connection = connect()
    with connection.cursor() as cursor:
        start = time.monotonic()
        for r in range(n):
            cursor.execute("SELECT count(*) FROM shop.post_points(ARRAY(SELECT ROW(1 + (g * 7919 + %s) %% %s, 'earn', 5, 'call', %s::text || '-' || g, NULL, NULL, NULL, NULL, NULL, NULL)::crm.points_movement FROM generate_series(1, 1000) g))", (r, ACCOUNTS, r))
        seconds = time.monotonic() - start
    connection.close()
    compare("batch of 1,000 in one call against single calls of one client, sync commit on", 1000 * n / seconds, single, "≥ 10")


def lots():
    run("INSERT INTO shop.customer (customer_id) SELECT generate_series(20001, 20200)")
    run("SELECT count(*) FROM generate_series(20001, 20100) c, generate_series(1, 100) n, LATERAL shop.earn(c, 1, 'lots', n::text, expires_at => now() + n * interval '1 day') e")
    run("SELECT count(*) FROM generate_series(20101, 20200) c, LATERAL shop.earn(c, 100, 'lots', '1') e")
    hundred = timed("SELECT count(*) FROM generate_series(20001, 20100) c, LATERAL shop.redeem(c, 100, 'lots', 'all') e")
    one = timed("SELECT count(*) FROM generate_series(20101, 20200) c, LATERAL shop.redeem(c, 100, 'lots', 'all') e")
    compare("redeem across 100 open lots against one", hundred * 1e4, one * 1e4, "≤ 3", " µs")
    run("INSERT INTO shop.customer (customer_id) SELECT generate_series(30001, 30100)")
    run("UPDATE shop.points_program SET expiry = 'months', expiry_n = 12, expiry_round = 'month_end' WHERE program = 'points'")
    # The median of five rounds in one session: a round takes milliseconds, which the start of a session would be most of.
    firsts, laters = [], []
    connection = connect()
    with connection.cursor() as cursor:
        def microseconds(sql, *parameters):
            start = time.monotonic()
            cursor.execute(sql, parameters)
            return (time.monotonic() - start) / 400 * 1e6
        for begin in range(30001, 30101, 20):
            of = "SELECT count(*) FROM generate_series(%s, %s) c, "
            firsts.append(microseconds(of + "generate_series(1, 20) n, LATERAL shop.earn(c, 1, 'year', n::text, as_of => now() - interval '1 year') e", begin, begin + 19))
            cursor.execute(of + "generate_series(21, 1000) n, LATERAL shop.earn(c, 1, 'year', n::text, as_of => now() - interval '360 days' + n * interval '8 hours') e", (begin, begin + 19))
            laters.append(microseconds(of + "generate_series(1001, 1020) n, LATERAL shop.earn(c, 1, 'year', n::text) e", begin, begin + 19))
    connection.close()
    compare("earn with 1,000 earnings in the year before against the first", statistics.median(laters), statistics.median(firsts), "≤ 2", " µs")


def chain():
    """What the chain costs: hashing alone, beside what an entry costs in a batch."""
    n = int(200000 * SCALE) or 1000
    hashed = timed("SELECT count(sha256(repeat('x', 220)::bytea || int8send(g))) FROM generate_series(1, %s) g", n)
    plain = timed("SELECT count(repeat('x', 220)::bytea || int8send(g)) FROM generate_series(1, %s) g", n)
    cost = max(hashed - plain, 0) / n
    entries = 20000
    batch = timed("SELECT count(*) FROM shop.post_points(ARRAY(SELECT ROW(1 + (g * 7919) %% %s, 'earn', 5, 'chain', g::text, NULL, NULL, NULL, NULL, NULL, NULL)::crm.points_movement FROM generate_series(1, %s) g))", ACCOUNTS, entries) / entries
    row("hash chain on against off, in batches (cost of hashing taken off)", "%.1f µs" % (batch * 1e6), "%.1f µs" % ((batch - cost) * 1e6), "%.2f" % ((batch - cost) / batch), "≥ 0.85")


def expiry():
    due = int(1000000 * SCALE)
    first = 1000001
    run("INSERT INTO shop.customer (customer_id) SELECT generate_series(%s, %s)", first, first + due - 1)
    for low in range(first, first + due, 100000):
        high = min(low + 100000, first + due) - 1
        run("SELECT count(*) FROM shop.post_points(ARRAY(SELECT ROW(g, 'earn', 5, 'due', '1', NULL, now() + interval '1 hour', NULL, NULL, NULL, NULL)::crm.points_movement FROM generate_series(%s, %s) g))", low, high)
    run("VACUUM ANALYZE shop.points_account")
    redeem = REQUEST % 1000 + "SELECT seq FROM shop.redeem(:c, 1, 'while', :a || '-' || :b);\n"
    quiet = pgbench(redeem, clients=4)[1]
    result = {}
    busy = threading.Thread(target=lambda: result.update(p99=pgbench(redeem, clients=4)[1]))
    busy.start()
    seconds = timed("CALL shop.expire_points(now() + interval '2 hours')")
    busy.join()
    row("expiry of %d due lots" % due, "%.0f/s" % (due / seconds), "", "", "≥ 30,000/s")
    row("redeem p99 meanwhile against before", "%.1f ms" % result["p99"], "%.1f ms" % quiet, "%.2f" % (result["p99"] / quiet), "< 2")


def processor(pid):
    """Seconds that a process was on a processor."""
    with open("/proc/%d/schedstat" % pid, encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e9


def verify():
    entries = run("SELECT count(*) FROM shop.points_entry")[0][0]
    connection = connect()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
        best = [], []
        for _ in range(ROUNDS):
            start, before = time.monotonic(), processor(pid)
            cursor.execute("SELECT count(*) FROM crm.points_verify_entries('shop.points_entry', NULL, NULL, 1, 1)")
            best[0].append(time.monotonic() - start)
            best[1].append(processor(pid) - before)
    connection.close()
    row("verify, one core (%d entries)" % entries, "%.0f/s" % (entries / min(best[0])), "", "", "≥ 500,000/s")
    row("the same by processor time", "%.0f/s" % (entries / min(best[1])), "", "", "≥ 500,000/s")
    wrong = run("SELECT count(*) FROM shop.points_verify()")[0][0]
    row("wrong accounts after all this", str(wrong), "", "", "0")


SIZES = []


def sample():
    """Bytes an entry now. The pages of an index fill and split in waves while it grows evenly, so one moment says little."""
    n, total = run("SELECT count(*), pg_total_relation_size('shop.points_entry') FROM shop.points_entry")[0]
    SIZES.append(total / n)


def size():
    row("bytes an entry with indexes, mean of %d moments while it grows" % len(SIZES), "%.0f (%.0f to %.0f)" % (statistics.mean(SIZES), min(SIZES), max(SIZES)), "", "", "≤ 350")


def peer():
    """pgledger, where CRM_PGLEDGER names a copy of its repository."""
    path = os.environ.get("CRM_PGLEDGER", "")
    if not os.path.exists(path + "/pgledger.sql"):
        row("peer: pgledger", "", "not at hand", "", "≥ 5")
        return
    for name in ("vendor/scoville-pgsql-ulid/uuid-to-ulid.sql", "vendor/scoville-pgsql-ulid/ulid-to-uuid.sql", "pgledger.sql"):
        subprocess.run(["psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-f", path + "/" + name, DATABASE], check=True, capture_output=True)
    run("CREATE TABLE peer (n integer PRIMARY KEY, id text NOT NULL)")
    run("INSERT INTO peer SELECT n, (SELECT id FROM pgledger_create_account('a' || n, 'USD')) FROM generate_series(1, %s) n", ACCOUNTS)
    run("VACUUM ANALYZE")
    transfer = "\\set a random(1, %d)\n\\set b random(1, %d)\nSELECT count(*) FROM peer a, peer b, LATERAL pgledger_create_transfer(a.id, b.id, 5) WHERE a.n = :a AND b.n = CASE WHEN :b = :a THEN :a %% %d + 1 ELSE :b END;\n"
    earn, other = rates(lambda: pgbench(EARN % ACCOUNTS)[0], lambda: pgbench(transfer % (ACCOUNTS, ACCOUNTS, ACCOUNTS))[0])
    compare("peer: pgledger, sync commit on", earn, other, "≥ 5")


def main():
    subprocess.run(["pgbench", "-i", "-q", "-s", str(50 if SCALE >= 1 else 10), DATABASE], check=True, capture_output=True)
    prepare()
    print("| what | crm | baseline | ratio | bar |")
    print("|---|---|---|---|---|")
    batches()
    singles()
    size()
    peer()
    lots()
    chain()
    expiry()
    verify()


if __name__ == "__main__":
    main()
