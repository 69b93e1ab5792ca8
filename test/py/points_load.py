#!/usr/bin/python3
"""Posts to a points ledger from several threads until the server goes away, and remembers what was acknowledged.

points_load.py load DSN FILE SEED THREADS SECONDS    appends "kind customer reference points" of each acknowledged movement to FILE
points_load.py check DSN FILE                        each is in the ledger exactly once; posting it again changes nothing
"""
import random
import sys
import threading
import time

import psycopg2

CUSTOMERS = 40
CALLS = {
    "earn": "SELECT seq FROM shop.earn(%s, %s, 'load', %s)",
    "redeem": "SELECT seq FROM shop.redeem(%s, %s, 'load', %s)",
    "hold": "SELECT seq FROM shop.hold(%s, %s, 'load', %s)",
    "transfer_out": "SELECT seq FROM shop.transfer(%s, %s, %s, 'load', %s)",
}


def call(cursor, kind, customer, points, reference):
    if kind == "transfer_out":
        cursor.execute(CALLS[kind], (customer, customer % CUSTOMERS + 1, points, reference))
    else:
        cursor.execute(CALLS[kind], (customer, points, reference))
    return cursor.fetchone()


def worker(dsn, out, lock, seed, number, until):
    rng = random.Random("%s/%s" % (seed, number))
    count = 0
    try:
        connection = psycopg2.connect(dsn)
        connection.autocommit = True
        cursor = connection.cursor()
        while time.monotonic() < until:
            kind = rng.choices(list(CALLS), (6, 2, 1, 1))[0]
            customer, points = rng.randint(1, CUSTOMERS), rng.randint(1, 50)
            reference = "%s-%s-%s" % (seed, number, count)
            count += 1
            try:
                call(cursor, kind, customer, points, reference)
            except psycopg2.Error as e:
                if e.pgcode != "CP001":
                    raise
                continue
            with lock:
                out.write("%s %d %s %d\n" % (kind, customer, reference, points))
                out.flush()
    except psycopg2.Error as e:
        if not isinstance(e, (psycopg2.OperationalError, psycopg2.InterfaceError)):
            print("unexpected: %s %s" % (e.pgcode, e))


def load(dsn, path, seed, threads, seconds):
    lock = threading.Lock()
    until = time.monotonic() + float(seconds)
    with open(path, "a", encoding="utf-8") as out:
        workers = [threading.Thread(target=worker, args=(dsn, out, lock, seed, n, until)) for n in range(int(threads))]
        for w in workers:
            w.start()
        for w in workers:
            w.join()


def check(dsn, path):
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    cursor = connection.cursor()
    with open(path, encoding="utf-8") as file:
        lines = [line.split() for line in file]
    cursor.execute("SELECT sum(seq) FROM shop.points_account")
    before = cursor.fetchone()[0]
    wrong = 0
    for kind, customer, reference, points in lines:
        cursor.execute("SELECT count(*), min(points) FROM shop.points_entry WHERE customer_id = %s AND program = 'points' AND kind = %s"
                       " AND reference = %s AND source = 'load'", (int(customer), kind, reference))
        if cursor.fetchone() != (1, int(points)):
            print("lost or doubled: %s %s %s %s" % (kind, customer, reference, points))
            wrong += 1
    for kind, customer, reference, points in lines[-200:]:
        call(cursor, kind, int(customer), int(points), reference)
    cursor.execute("SELECT sum(seq) FROM shop.points_account")
    if cursor.fetchone()[0] != before:
        print("a repeat posted something")
        wrong += 1
    cursor.execute("SELECT customer_id, seq, finding FROM shop.points_verify()")
    for row in cursor.fetchall():
        print("verify: %s" % (row,))
        wrong += 1
    print("%d acknowledged, %d wrong" % (len(lines), wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(load(*sys.argv[2:]) if sys.argv[1] == "load" else check(*sys.argv[2:]))
