#!/usr/bin/python3
"""A reference worker: claims messages by batch, sends them, says how it went, and sleeps until it is notified.

    outbox_worker.py DSN STORE NAME [--batch N] [--lease SECONDS] [--journal FILE] [--fail PERCENT] [--until-empty] [--seed N]

The gateway here is a file: each line is an idempotency key that was handed over. A real one gets the key too and drops what it has seen. The order is what
matters: claim and commit, send, acknowledge and commit. A worker killed anywhere in between leaves messages whose lease ends; they are sent again.
"""
import argparse
import os
import random
import select
import sys
import time

import psycopg2


class Gateway:
    """Takes messages; refuses some, as gateways do."""

    def __init__(self, path, fail, seed):
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644) if path else None
        self.fail = fail
        self.random = random.Random(seed)

    def send(self, keys):
        """Which of the keys were taken. One write a batch, so that the file has whole lines whenever we die."""
        taken = [self.random.random() * 100 >= self.fail for _ in keys]
        if self.file is not None:
            os.write(self.file, "".join(key + "\n" for key, ok in zip(keys, taken) if ok).encode())
        return taken


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("dsn")
    arguments.add_argument("store")
    arguments.add_argument("name")
    arguments.add_argument("--batch", type=int, default=500)
    arguments.add_argument("--lease", type=float, default=60)
    arguments.add_argument("--journal")
    arguments.add_argument("--fail", type=float, default=0)
    arguments.add_argument("--poll", type=float, default=30)
    arguments.add_argument("--until-empty", action="store_true")
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()

    connection = psycopg2.connect(given.dsn)
    connection.autocommit = True
    cursor = connection.cursor()
    store = psycopg2.extensions.quote_ident(given.store, cursor)
    gateway = Gateway(given.journal, given.fail, given.seed)
    # Listening comes before looking, so that nothing written in between is missed.
    cursor.execute("LISTEN crm_outbox")
    while True:
        cursor.execute(
            f"SELECT c.customer_id, c.outbox_id, c.idempotency_key FROM {store}.claim_outbox(%s, %s, make_interval(secs => %s), as_of => clock_timestamp()) c",
            (given.name, given.batch, given.lease))
        rows = cursor.fetchall()
        if rows:
            # With the text of render_message(customer_id, outbox_id), were this a real one.
            taken = gateway.send([f"{row[0]}/{row[2]}" for row in rows])
            sent = [row for row, ok in zip(rows, taken) if ok]
            cursor.execute(f"SELECT {store}.sent_outbox(%s, %s::bigint[], %s::bigint[], clock_timestamp())",
                           (given.name, [row[0] for row in sent], [row[1] for row in sent]))
            for row, ok in zip(rows, taken):
                if not ok:
                    cursor.execute(f"SELECT {store}.failed_outbox(%s, %s, %s, 'gateway busy', clock_timestamp())", (given.name, row[0], row[1]))
            continue
        if given.until_empty:
            cursor.execute(f"SELECT EXISTS (SELECT FROM {store}.outbox WHERE state = 'pending') OR EXISTS (SELECT FROM {store}.outbox WHERE state = 'claimed')")
            if not cursor.fetchone()[0]:
                break
        # Leases that end and messages put off raise no notification: so look now and then.
        select.select([connection], [], [], min(given.poll, 0.2) if given.until_empty else given.poll)
        connection.poll()
        connection.notifies.clear()
    connection.close()


if __name__ == "__main__":
    started = time.time()
    try:
        main()
    except psycopg2.OperationalError as error:
        sys.exit(f"connection lost after {time.time() - started:.0f} s: {error}")
