"""Eight writers and a reader of the feed of changes: nothing is lost, nothing comes twice.

change_feed.py CONNINFO SECONDS SEED: writers make customers in transactions that dawdle, roll back and come in every length; a reader takes
what comes and acknowledges it in the transaction that keeps it, crashing at times before its COMMIT. At the end what it kept is what was committed.
"""
import random
import sys
import threading
import time

import psycopg2

conninfo, seconds, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
committed = [[] for _ in range(8)]
stop = time.monotonic() + seconds


def write(n):
    rng = random.Random(seed * 100 + n)
    connection = psycopg2.connect(conninfo)
    cursor = connection.cursor()
    base = (n + 1) * 1000000
    while time.monotonic() < stop:
        ids = []
        for _ in range(rng.randint(1, 4)):
            first = base
            base += rng.randint(1, 5)
            cursor.execute("INSERT INTO shop.customer (customer_id) SELECT generate_series(%s::bigint, %s)", (first, base - 1))
            ids += range(first, base)
            if rng.random() < 0.3:
                time.sleep(rng.random() * 0.05)
        if rng.random() < 0.2:
            connection.rollback()
        else:
            connection.commit()
            committed[n] += ids
    connection.close()


writers = [threading.Thread(target=write, args=(n,)) for n in range(8)]
for writer in writers:
    writer.start()

rng = random.Random(seed)
connection = psycopg2.connect(conninfo)
got, order, crashes, ended = [], [], 0, None
while True:
    alive = any(writer.is_alive() for writer in writers)
    cursor = connection.cursor()
    cursor.execute("SELECT cursor, customer_id FROM shop.next_changes('py', %s)", (rng.randint(1, 60),))
    rows = cursor.fetchall()
    if rows:
        cursor.execute("SELECT shop.ack_changes('py', %s)", (rows[-1][0],))
        if rng.random() < 0.1:
            connection.close()
            connection = psycopg2.connect(conninfo)
            crashes += 1
            continue
        connection.commit()
        got += [row[1] for row in rows]
        order += [tuple(map(int, row[0].split("-"))) for row in rows]
        continue
    connection.commit()
    if not alive:
        cursor.execute("SELECT sum(waiting + held_back) FROM shop.change_lag")
        if cursor.fetchone()[0] == 0:
            break
        ended = ended or time.monotonic()
        if time.monotonic() > ended + 60:
            break
    time.sleep(0.005)

wanted = [i for ids in committed for i in ids]
print("seed", seed, "committed", len(wanted), "got", len(got), "crashes", crashes)
print("lost", len(set(wanted) - set(got)), "doubled", len(got) - len(set(got)), "foreign", len(set(got) - set(wanted)),
      "ordered", order == sorted(order), "busy", len(wanted) > 100 and crashes > 0)
