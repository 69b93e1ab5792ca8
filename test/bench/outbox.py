#!/usr/bin/python3
"""Speed of campaigns and the outbox: prints a Markdown table.

Run by make bench in an empty database of a private cluster (PGHOST, PGPORT, PGUSER, PGDATABASE). CRM_BENCH_SCALE (1 by default) is the share of 1,000,000
messages. The peer claims from a queue of its own in the same database: a bare table with the usual SKIP LOCKED update, no lease, no attempts.
"""
import os
import sys
import threading
import time

import psycopg2

SCALE = float(os.environ.get("CRM_BENCH_SCALE", "1"))
N = max(20000, int(1000000 * SCALE))
WORKERS = 8
BATCH = int(os.environ.get("CRM_BENCH_BATCH", "500"))
DATABASE = os.environ.get("PGDATABASE", "postgres")


def connect():
    connection = psycopg2.connect(dbname=DATABASE)
    connection.autocommit = True
    return connection


def cpu(pid):
    """Seconds of processor that a server process of this machine used, as far as it can be seen."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return float("nan")


def run(sql, *parameters):
    """The rows, seconds and seconds of processor."""
    connection = connect()
    cursor = connection.cursor()
    pid = connection.info.backend_pid
    started, before = time.time(), cpu(pid)
    cursor.execute(sql, parameters or None)
    rows = cursor.fetchall() if cursor.description else None
    seconds, used = time.time() - started, cpu(pid) - before
    connection.close()
    return rows, seconds, used


def drain(step):
    """Eight workers until nothing is left; rows done, seconds, and those of processor."""
    done = [0] * WORKERS
    used = [0.0] * WORKERS

    def work(n):
        connection = connect()
        cursor = connection.cursor()
        # What a worker acknowledges and loses in a crash it sends again: the same that a gateway's time-out does.
        cursor.execute("SET synchronous_commit = off")
        while True:
            count = step(cursor, f"w{n}")
            if count == 0:
                break
            done[n] += count
        used[n] = cpu(connection.info.backend_pid)
        connection.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(WORKERS)]
    started = time.time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done), time.time() - started, sum(used)


def ours(cursor, worker):
    cursor.execute("SELECT array_agg(c.customer_id), array_agg(c.outbox_id) FROM shop.claim_outbox(%s, %s, '1 minute') c", (worker, BATCH))
    customers, numbers = cursor.fetchone()
    if customers is None:
        return 0
    cursor.execute("SELECT shop.sent_outbox(%s, %s::bigint[], %s::bigint[])", (worker, customers, numbers))
    return cursor.fetchone()[0]


def peer(cursor, worker):
    cursor.execute(
        "WITH p AS (SELECT id FROM queue WHERE state = 'pending' ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED), "
        "u AS (UPDATE queue q SET state = 'claimed', worker = %s FROM p WHERE q.id = p.id RETURNING q.id) SELECT array_agg(id) FROM u", (BATCH, worker))
    numbers = cursor.fetchone()[0]
    if numbers is None:
        return 0
    cursor.execute("UPDATE queue SET state = 'sent' WHERE id = ANY (%s)", (numbers,))
    return cursor.rowcount


def main():
    run("CREATE EXTENSION crm")
    run("SELECT crm.create_store('shop')")
    run(f"INSERT INTO shop.customer (customer_id) SELECT generate_series(1, {N})")
    run(f"INSERT INTO shop.contact (customer_id, name, phone) SELECT i, 'c' || i, '138' || lpad(i::text, 8, '0') FROM generate_series(1, {N}) i")
    run("INSERT INTO shop.privacy_policy (version, valid_from, body, purposes) VALUES ('1', '2020-01-01', 'text', '{marketing}')")
    run(f"INSERT INTO shop.consent (customer_id, purpose, channel, given, source, policy_version, at) SELECT i, 'marketing', '*', true, 'person', '1', '2024-01-01' FROM generate_series(1, {N}) i")
    run("INSERT INTO shop.message_template VALUES ('a', 'sms', 'marketing', NULL, 'Hello {name}'), ('b', 'sms', 'marketing', NULL, '{name}!')")
    run("INSERT INTO shop.campaign (campaign, name, channel, audience, holdout, seed, scheduled_at) SELECT 'big', 'big', 'sms', crm.audience_agg(customer_id), 0.1, 42, '2024-06-01 12:00+08' FROM shop.customer")
    run("INSERT INTO shop.campaign_variant (campaign, variant, share, template) VALUES ('big', 'a', 0.5, 'a'), ('big', 'b', 0.5, 'b')")
    run("VACUUM ANALYZE")
    run("CHECKPOINT")
    _, freeze, freeze_cpu = run("SELECT shop.freeze_campaign('big', '2024-06-01 12:00+08')")
    rows, launch, launch_cpu = run("SELECT shop.launch_campaign('big', '2024-06-01 12:00+08')")
    written = rows[0][0]
    run("VACUUM ANALYZE shop.outbox")
    run("CREATE TABLE queue (id bigint PRIMARY KEY, state text NOT NULL DEFAULT 'pending', worker text)")
    run("CREATE INDEX ON queue (id) WHERE state = 'pending'")
    run(f"INSERT INTO queue (id) SELECT generate_series(1, {written})")
    run("VACUUM ANALYZE queue")
    run("CHECKPOINT")
    done, seconds, used = drain(ours)
    bare, bare_seconds, bare_used = drain(peer)
    left = run("SELECT count(*) FROM shop.outbox WHERE state <> 'sent'")[0][0][0]
    if done != written or left != 0 or bare != written:
        sys.exit(f"{written} written, {done} acknowledged, {left} left, {bare} of the peer")
    print(f"## Outbox ({N:,} in the audience, {WORKERS} workers, batches of {BATCH})\n")
    print("| | result | of processor |")
    print("|---|---|---|")
    print(f"| audience frozen, held out and split | {freeze:.1f} s | {freeze_cpu:.1f} s |")
    print(f"| {written:,} messages written to the outbox | {launch:.1f} s | {launch_cpu:.1f} s |")
    print(f"| together | {freeze + launch:.1f} s | {freeze_cpu + launch_cpu:.1f} s |")
    print(f"| claimed and acknowledged | {done / seconds:,.0f} rows/s | {1e6 * used / done:.0f} us a row |")
    print(f"| a bare queue table, no lease, key or attempts | {bare / bare_seconds:,.0f} rows/s | {1e6 * bare_used / bare:.0f} us a row |")


main()
