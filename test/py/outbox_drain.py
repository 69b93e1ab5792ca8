#!/usr/bin/python3
"""Drains an outbox by workers of which some are killed (SIGKILL) in mid-work, and counts what came of it.

    outbox_drain.py DSN STORE FOLDER [--workers N] [--kill-every SECONDS] [--lease SECONDS] [--batch N] [--fail PERCENT] [--seed N] [--limit SECONDS]

Prints one line: rows=.. sent=.. left=.. dead=.. delivered=.. deliveries=.. acknowledged=.. twice=.. kills=.. seconds=..
A trigger notes every acknowledgement, so what is counted does not rest on what a killed worker would have said.
"""
import argparse
import os
import random
import subprocess
import sys
import time

import psycopg2

AUDIT = """
CREATE TABLE acknowledgement (customer_id bigint, outbox_id bigint);
CREATE FUNCTION note_acknowledgement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.acknowledgement SELECT n.customer_id, n.outbox_id FROM new_rows n JOIN old_rows o USING (customer_id, outbox_id)
    WHERE n.state = 'sent' AND o.state <> 'sent';
    RETURN NULL;
END $$;
CREATE TRIGGER note_acknowledgement AFTER UPDATE ON {store}.outbox REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION note_acknowledgement();
"""


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("dsn")
    arguments.add_argument("store")
    arguments.add_argument("folder")
    arguments.add_argument("--workers", type=int, default=8)
    arguments.add_argument("--kill-every", type=float, default=1)
    arguments.add_argument("--lease", type=float, default=2)
    arguments.add_argument("--batch", type=int, default=500)
    arguments.add_argument("--fail", type=float, default=0)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--limit", type=float, default=300)
    given = arguments.parse_args()
    dice = random.Random(given.seed)
    worker = os.path.join(os.path.dirname(os.path.abspath(__file__)), "outbox_worker.py")

    connection = psycopg2.connect(given.dsn)
    connection.autocommit = True
    cursor = connection.cursor()
    store = psycopg2.extensions.quote_ident(given.store, cursor)
    cursor.execute(AUDIT.format(store=store))
    cursor.execute(f"SELECT count(*) FROM {store}.outbox")
    rows = cursor.fetchone()[0]

    started = time.time()
    running = {}
    born = 0
    kills = 0

    def begin(n):
        nonlocal born
        born += 1
        running[n] = subprocess.Popen([
            sys.executable, worker, given.dsn, given.store, f"w{n}.{born}", "--batch", str(given.batch), "--lease", str(given.lease), "--fail", str(given.fail),
            "--seed", str(given.seed * 1000 + born), "--journal", os.path.join(given.folder, f"journal.{n}"), "--until-empty"])

    for n in range(given.workers):
        begin(n)
    next_kill = started + given.kill_every / 2
    while any(process.poll() is None for process in running.values()):
        time.sleep(0.05)
        if time.time() - started > given.limit:
            for process in running.values():
                process.kill()
            sys.exit(f"not drained after {given.limit} s")
        if time.time() < next_kill:
            continue
        next_kill = time.time() + given.kill_every * (0.5 + dice.random())
        alive = [n for n, process in running.items() if process.poll() is None]
        # The last of them may be done any moment, then nothing would be left to test.
        if len(alive) > given.workers // 2:
            n = dice.choice(alive)
            running[n].kill()
            running[n].wait()
            kills += 1
            begin(n)
    failed = [process.returncode for process in running.values() if process.returncode != 0]
    seconds = time.time() - started
    if failed:
        sys.exit(f"workers ended with {failed}")

    deliveries = 0
    delivered = set()
    for name in os.listdir(given.folder):
        if name.startswith("journal."):
            with open(os.path.join(given.folder, name), encoding="utf-8") as file:
                for line in file:
                    deliveries += 1
                    delivered.add(line)
    cursor.execute(f"SELECT count(*) FILTER (WHERE state = 'sent'), count(*) FILTER (WHERE state IN ('pending', 'claimed')), count(*) FILTER (WHERE state = 'dead') FROM {store}.outbox")
    sent, left, dead = cursor.fetchone()
    cursor.execute("SELECT count(*), count(*) - count(DISTINCT (customer_id, outbox_id)) FROM acknowledgement")
    acknowledged, twice = cursor.fetchone()
    print(f"rows={rows} sent={sent} left={left} dead={dead} delivered={len(delivered)} deliveries={deliveries} acknowledged={acknowledged} twice={twice} "
          f"kills={kills} seconds={seconds:.1f}")


main()
