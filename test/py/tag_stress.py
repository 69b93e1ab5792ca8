"""Taggers at work while counts are compared with a recount, each time in one snapshot.

    tag_stress.py DSN SEED TAGGERS SECONDS
"""
import multiprocessing
import random
import sys
import time

import psycopg2
import psycopg2.errors

# Processes that share what is above; since Python 3.14 they would begin anew from the top of this file.
multiprocessing.set_start_method("fork")

dsn, seed, taggers, seconds = sys.argv[1], *map(int, sys.argv[2:5])
CUSTOMERS = 3000
TAGS = [f"t{i}" for i in range(12)] + ["group:a", "group:b", "lifecycle:new", "lifecycle:active", "lifecycle:dormant"]


def tagger(n, until, work):
    """changes tags in every way there is"""
    rng = random.Random(seed * 1000 + n)
    conn = psycopg2.connect(dsn)
    conn.autocommit = True
    cur = conn.cursor()
    cur.execute("SET search_path = shop, crm")
    done = 0
    while time.time() < until:
        who, tag, other = rng.randrange(1, CUSTOMERS), rng.choice(TAGS), rng.choice(TAGS[:12])
        kind = rng.randrange(12)
        try:
            if kind < 4:
                cur.execute("SELECT tag_customer(%s, %s)", (who, tag))
            elif kind < 7:
                cur.execute("SELECT untag_customer(%s, %s)", (who, tag))
            elif kind == 7:
                cur.execute("SELECT tag_customers(%s, %s)", (f"{{{who}-{who + 50}}}", tag))
            elif kind == 8:
                cur.execute("UPDATE customer SET tags = tags - %s::text[] + %s WHERE customer_id BETWEEN %s AND %s",
                            ([other], rng.choice(TAGS[:12]), who, who + 20))
            elif kind == 9:
                # Two changes of the same customers in one transaction, half of them rolled back.
                cur.execute("BEGIN")
                cur.execute("UPDATE customer SET tags = tags + %s WHERE customer_id = %s", (other, who))
                cur.execute("SAVEPOINT s")
                cur.execute("UPDATE customer SET tags = tags - %s::text[] WHERE customer_id = %s", ([other], who))
                if rng.random() < 0.5:
                    cur.execute("ROLLBACK TO s")
                cur.execute(rng.choice(["COMMIT", "COMMIT", "ROLLBACK"]))
            elif kind == 10:
                cur.execute("INSERT INTO customer (tags) SELECT %s::tagset FROM generate_series(1, 3)", ("{" + other + "}",))
            else:
                cur.execute("DELETE FROM customer_summary WHERE customer_id > %s AND customer_id %% 16 = %s", (CUSTOMERS, n))
                cur.execute("DELETE FROM customer WHERE customer_id > %s AND customer_id %% 16 = %s", (CUSTOMERS, n))
            done += 1
        except (psycopg2.errors.DeadlockDetected, psycopg2.errors.ForeignKeyViolation):
            # Taggers that update in no order may block each other; that is theirs to repeat.
            cur.execute("ROLLBACK")
    work.put(done)


def folder(until, work):
    conn = psycopg2.connect(dsn)
    conn.autocommit = True
    cur = conn.cursor()
    folds = 0
    while time.time() < until:
        cur.execute("CALL shop.fold_tag_audience()")
        folds += 1
        time.sleep(0.2)
    work.put(-folds)


conn = psycopg2.connect(dsn)
conn.autocommit = True
cur = conn.cursor()
cur.execute("SET search_path = shop, crm")
cur.execute("INSERT INTO customer (tags) SELECT tagset(ARRAY['t' || i %% 12, 't' || i %% 5]) FROM generate_series(1, %s) i", (CUSTOMERS,))
until = time.time() + seconds
work = multiprocessing.Queue()
crew = [multiprocessing.Process(target=tagger, args=(n, until, work)) for n in range(taggers)]
crew += [multiprocessing.Process(target=folder, args=(until, work)) for n in range(2)]
for p in crew:
    p.start()
rng = random.Random(seed)
compared = wrong = 0
while time.time() < until:
    a, b, c = (rng.choice(TAGS) for _ in range(3))
    query = rng.choice(['"{0}"', '"{0}" & "{1}" & !"{2}"', '("{0}" | "{1}") & !"{2}"', '!"{0}"', 'lifecycle:* & !"{0}"', '!t*']).format(a, b, c)
    cur.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    cur.execute("SELECT count_tags(%s), cardinality(audience_of(%s)), (SELECT count(*) FROM customer WHERE tags @@ %s::tagquery)", (query,) * 3)
    row = cur.fetchone()
    if len(set(row)) > 1:
        wrong += 1
        print(f"seed {seed}: {query}: {row}")
    if compared % 5 == 0:
        cur.execute("SELECT * FROM check_tag_audience()")
        for bad in cur.fetchall():
            wrong += 1
            print(f"seed {seed}: {bad}")
    cur.execute("COMMIT")
    compared += 1
results = [work.get() for _ in crew]
for p in crew:
    p.join()
cur.execute("SELECT count(*) FROM check_tag_audience()")
wrong += cur.fetchone()[0]
# The events tell how everybody's tags came about.
cur.execute("""SELECT count(*) FROM (
        SELECT e.customer_id, e.tag, sum(CASE WHEN e.added THEN 1 ELSE -1 END) AS n FROM tag_event e GROUP BY 1, 2) e
    FULL JOIN (SELECT c.customer_id, t.tag FROM customer c CROSS JOIN LATERAL tags(c.tags) t(tag)) c USING (customer_id, tag)
    WHERE coalesce(e.n, 0) <> CASE WHEN c.tag IS NULL THEN 0 ELSE 1 END
       OR (e.n IS NULL AND c.tag IS NOT NULL)""")
odd = cur.fetchone()[0]
cur.execute("SELECT count(*) FROM tag_audience_change")
changes = sum(r for r in results if r > 0)
folds = -sum(r for r in results if r < 0)
print(f"seed {seed}: {taggers} taggers, {changes} changes, {folds} folds, {compared} comparisons, {wrong} wrong, {odd} odd histories, {cur.fetchone()[0]} rows not folded")
sys.exit(wrong > 0 or odd > 0 or compared < 5 or changes < 50 or folds < 1 or any(p.exitcode for p in crew))
