#!/usr/bin/python3
"""A bank: clients move points between accounts at random, in one isolation level, while another looks at the whole in snapshots.

points_bank.py DSN LEVEL SEED CLIENTS SECONDS

In every snapshot the two sides of the ledger sum to nothing, no account is below zero, its lots, holds and head are those of its
last entry, and what the customers have is what was issued less what left. In the end each acknowledged movement is there once.
"""
import random
import sys
import threading
import time

import psycopg2

CUSTOMERS = 30
REFUSED = {"CP001", "CP003", "CP004", "CP008", "CP009"}
AGAIN = {"40001", "40P01"}
KIND = {"earn": "earn", "redeem": "redeem", "hold": "hold", "capture": "capture", "release": "release",
        "refund": "refund", "restore": "restore", "transfer": "transfer_out"}
CHECKS = (
    ("the two sides of a program",
     "SELECT program, sum(amount) FROM shop.points_trial_balance GROUP BY 1 HAVING sum(amount) <> 0"),
    ("accounts below zero",
     "SELECT customer_id, program, available FROM shop.points_account WHERE available < 0 OR pending < 0 OR held < 0"),
    ("lots",
     "SELECT a.customer_id, a.program FROM shop.points_account a WHERE a.available + a.pending <> "
     "(SELECT coalesce(sum(l.remaining), 0) FROM crm.points_lots_unnest(a.lots) l)"),
    ("holds",
     "SELECT a.customer_id, a.program FROM shop.points_account a WHERE a.held <> (SELECT coalesce(sum(h.points), 0) FROM "
     "shop.points_hold h WHERE (h.customer_id, h.program, h.state) = (a.customer_id, a.program, 'open'))"),
    ("heads",
     "SELECT a.customer_id, a.program FROM shop.points_account a WHERE a.seq > 0 AND (a.head, a.available) IS DISTINCT FROM "
     "(SELECT (e.hash, e.balance_after) FROM shop.points_entry e WHERE (e.customer_id, e.program, e.seq) = "
     "(a.customer_id, a.program, a.seq)) OR a.seq <> (SELECT count(*) FROM shop.points_entry e WHERE "
     "(e.customer_id, e.program) = (a.customer_id, a.program))"),
    ("what was issued and what left",
     "SELECT t.program FROM (SELECT program, sum(available + pending + held) AS there FROM shop.points_account GROUP BY 1) t "
     "JOIN (SELECT program, sum(CASE kind WHEN 'earn' THEN points WHEN 'restore' THEN points WHEN 'redeem' THEN -points "
     "WHEN 'capture' THEN -points WHEN 'expire' THEN -points WHEN 'refund' THEN coalesce(shortfall, 0) - points ELSE 0 END) AS flow "
     "FROM shop.points_entry GROUP BY 1) f USING (program) WHERE t.there <> f.flow"),
)


class Client(threading.Thread):
    def __init__(self, dsn, level, seed, number, until):
        super().__init__()
        self.dsn, self.level, self.number, self.until = dsn, level, number, until
        self.rng = random.Random("%s/%s/%s" % (seed, level, number))
        self.done, self.refused, self.retries, self.problem = [], 0, 0, None

    def movement(self, n):
        rng = self.rng
        customer, points = rng.randint(1, CUSTOMERS), rng.randint(1, 60)
        reference = "%s-%d-%d" % (self.level.replace(" ", ""), self.number, n)
        verb = rng.choices(("earn", "redeem", "hold", "capture", "release", "refund", "restore", "transfer"),
                           (5, 4, 3, 2, 1, 1, 1, 6))[0]
        if verb == "transfer":
            other = rng.randint(1, CUSTOMERS - 1)
            return verb, customer, reference, "SELECT (shop.transfer(%s, %s, %s, 'bank', %s)).points", (
                customer, other + (other >= customer), points, reference)
        if verb in ("earn", "redeem", "hold"):
            return verb, customer, reference, "SELECT (shop.%s(%%s, %%s, 'bank', %%s)).points" % verb, (customer, points, reference)
        # What is undone is one of this client's own, and mostly still open.
        target = rng.choice(self.done[-40:]) if self.done else ("earn", customer, "none")
        if verb in ("capture", "release"):
            return verb, target[1], target[2], "SELECT (shop.%s(%%s, %%s)).points" % verb, (target[1], target[2])
        return verb, target[1], target[2], "SELECT (shop.%s(%%s, %%s)).points" % verb, (target[1], target[2])

    def run(self):
        try:
            connection = psycopg2.connect(self.dsn)
            cursor = connection.cursor()
            n = 0
            while time.monotonic() < self.until:
                verb, customer, reference, sql, args = self.movement(n)
                n += 1
                while True:
                    try:
                        cursor.execute("BEGIN ISOLATION LEVEL " + self.level)
                        cursor.execute(sql, args)
                        connection.commit()
                        self.done.append((verb, customer, reference))
                        break
                    except psycopg2.Error as e:
                        connection.rollback()
                        if e.pgcode in AGAIN:
                            self.retries += 1
                            time.sleep(self.rng.random() / 500)
                            continue
                        if e.pgcode not in REFUSED:
                            raise
                        self.refused += 1
                        break
        except Exception as e:  # whatever stops a client fails the test
            self.problem = "client %d: %s" % (self.number, e)


def look(connection):
    """Check one snapshot; what is wrong."""
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    cursor = connection.cursor()
    wrong = []
    for name, sql in CHECKS:
        cursor.execute(sql)
        rows = cursor.fetchmany(3)
        if rows:
            wrong.append("%s: %s" % (name, rows))
    connection.commit()
    return wrong


def main(dsn, level, seed, clients, seconds):
    until = time.monotonic() + float(seconds)
    threads = [Client(dsn, level, seed, i, until) for i in range(int(clients))]
    for t in threads:
        t.start()
    connection = psycopg2.connect(dsn)
    looks, wrong = 0, []
    while time.monotonic() < until:
        wrong += look(connection)
        looks += 1
        time.sleep(0.2)
    for t in threads:
        t.join()
        if t.problem:
            wrong.append(t.problem)
    wrong += look(connection)
    cursor = connection.cursor()
    cursor.execute("SELECT count(*) FROM shop.points_verify()")
    findings = cursor.fetchone()[0]
    # Each acknowledged movement is there once; a repeat of one gives no further entry.
    acknowledged = {(KIND[v], c, r) for t in threads for v, c, r in t.done}
    cursor.execute("SELECT kind, customer_id, reference FROM shop.points_entry WHERE source = 'bank' AND reference LIKE %s",
                   (level.replace(" ", "") + "-%",))
    rows = [row for row in cursor.fetchall() if row[0] != "transfer_in"]
    there = set(rows)
    if len(rows) != len(there):
        wrong.append("%d movements are there twice" % (len(rows) - len(there)))
    if acknowledged != there:
        wrong.append("lost %s, not acknowledged %s" % (list(acknowledged - there)[:3], list(there - acknowledged)[:3]))
    for line in wrong[:20]:
        print("wrong: " + line)
    print("%s: %d movements, %d refused, %d retries, %d snapshots, %d wrong, %d findings" % (
        level, len(rows), sum(t.refused for t in threads), sum(t.retries for t in threads), looks, len(wrong), findings))


if __name__ == "__main__":
    main(*sys.argv[1:])
