#!/usr/bin/python3
"""Speed of finding and merging duplicates: prints a Markdown table.

Run by make bench in an empty database of a private cluster (PGHOST, PGPORT, PGUSER, PGDATABASE). CRM_BENCH_SCALE (1 by default) is the share of 100,000
customers, of whom each tenth stands in the store twice. The peer compares customers by the same normalised keys in one self-join without blocks.
"""
import os
import sys
import time

import psycopg2

SCALE = float(os.environ.get("CRM_BENCH_SCALE", "1"))
N = max(2000, int(100000 * SCALE))
DATABASE = os.environ.get("PGDATABASE", "postgres")


def run(sql):
    connection = psycopg2.connect(dbname=DATABASE)
    connection.autocommit = True
    cursor = connection.cursor()
    started = time.time()
    cursor.execute(sql)
    rows = cursor.fetchall() if cursor.description else None
    seconds = time.time() - started
    connection.close()
    return rows, seconds


def main():
    run("CREATE EXTENSION crm")
    run("SELECT crm.create_store('shop')")
    run("DELETE FROM shop.points_rule")
    run("INSERT INTO shop.points_rule (program, points, per_amount, on_status) VALUES ('points', 1, 1, 'paid')")
    run(f"INSERT INTO shop.customer (customer_id) SELECT generate_series(1, {N})")
    # Of each ten one is the one before again, in other words.
    run(f"""INSERT INTO shop.contact (customer_id, name, phone, email, address)
        SELECT i, CASE i % 10 WHEN 0 THEN ' Name ' || i - 1 ELSE 'name ' || i END,
               CASE i % 10 WHEN 0 THEN '+86 138-' || lpad((i - 1)::text, 8, '0') ELSE '138' || lpad(i::text, 8, '0') END,
               CASE i % 10 WHEN 0 THEN 'USER' || i - 1 || '@Example.com' ELSE 'user' || i || '@example.com' END, 'street ' || i
        FROM generate_series(1, {N}) i""")
    run(f"INSERT INTO shop.purchase (customer_id, order_no, amount, paid_at) SELECT 1 + i % {N}, 'o' || i, 10 + i % 100, now() - interval '10 days' FROM generate_series(1, {2 * N}) i")
    run("VACUUM ANALYZE")
    found, seconds = run("SELECT pairs, passed_over FROM shop.find_duplicates()")
    peer, peer_seconds = run("""SELECT count(*) FROM (
        SELECT DISTINCT a.customer_id, b.customer_id FROM shop.contact a JOIN shop.contact b ON a.customer_id < b.customer_id
         AND crm.normalize_phone(a.phone) = crm.normalize_phone(b.phone)
        UNION SELECT a.customer_id, b.customer_id FROM shop.contact a JOIN shop.contact b ON a.customer_id < b.customer_id
         AND crm.normalize_email(a.email) = crm.normalize_email(b.email)
        UNION SELECT a.customer_id, b.customer_id FROM shop.contact a JOIN shop.contact b ON a.customer_id < b.customer_id
         AND crm.normalize_name(a.name) = crm.normalize_name(b.name) AND crm.normalize_name(a.address) = crm.normalize_name(b.address)) p""")
    again, again_seconds = run("SELECT pairs FROM shop.find_duplicates()")
    batch = min(1000, N // 10)
    merged, merge_seconds = run(f"SELECT merged, failed FROM shop.merge_duplicates({batch})")
    wrong, _ = run("SELECT (SELECT count(*) FROM shop.points_verify()) + (SELECT count(*) FROM shop.recount_customers())")
    if found[0][0] != N // 10 or peer[0][0] != N // 10 or again[0][0] != N // 10 or merged[0] != (batch, 0) or wrong[0][0] != 0:
        sys.exit(f"found {found}, peer {peer}, again {again}, merged {merged}, wrong {wrong}")
    print(f"## Duplicates ({N:,} customers, {N // 10:,} pairs)\n")
    print("| | seconds |")
    print("|---|---|")
    print(f"| find_duplicates, four keys, scored and queued | {seconds:.1f} |")
    print(f"| again, nothing new | {again_seconds:.1f} |")
    print(f"| three self-joins on the same keys, pairs alone | {peer_seconds:.1f} |")
    print(f"| merge_duplicates, {batch:,} merges with orders and points | {merge_seconds:.1f} ({1000 * merge_seconds / batch:.1f} ms each) |")


main()
