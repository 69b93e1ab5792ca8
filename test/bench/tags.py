"""Tag sets against text[], intarray and tsvector: a million customers, 11 tags each of 2,000 by power law.

CRM_BENCH_SCALE scales the number of customers. Connects as libpq's environment says, as superuser. Prints Markdown. Times
are processor time of the server's process, all data in memory, so that what else the machine does counts little.
"""
import math
import os
import random
import re
import sys
import time

import psycopg2

scale = float(os.environ.get("CRM_BENCH_SCALE") or 1)
customers = int(1000000 * scale)
tag_count = 2000
connection = psycopg2.connect("")
connection.autocommit = True
cursor = connection.cursor()
run = cursor.execute
rng = random.Random(42)
index_size = {}
TAG = "'tag:' || lpad(k::text, 5, '0')"
KINDS = {
    "tagset": ("tagset(ARRAY(SELECT %s FROM unnest(ks) k))" % TAG, "gin (tags)"),
    "text": ("ARRAY(SELECT %s FROM unnest(ks) k)" % TAG, "gin (tags)"),
    "int": ("ks", "gin (tags gin__int_ops)"),
    # Quoted, since the colon is an operator to tsvector's input.
    "tsv": ("array_to_tsvector(ARRAY(SELECT %s FROM unnest(ks) k))" % TAG, "gin (tags)"),
}
rows = []
lines = []


def t(k):
    return "tag:%05d" % k


A, B, C, D = 1, 50, 300, 400
SHAPES = [
    ("A & B & !C", "%s & %s & !%s" % (t(A), t(B), t(C)), "%d&%d&!%d" % (A, B, C),
     "tags @> '{%s,%s}' AND NOT tags @> '{%s}'" % (t(A), t(B), t(C))),
    ("(C \\| D) & !A", "(%s | %s) & !%s" % (t(C), t(D), t(A)), "(%d|%d)&!%d" % (C, D, A),
     "tags && '{%s,%s}' AND NOT tags @> '{%s}'" % (t(C), t(D), t(A))),
]


def note(*text):
    print(*text, file=sys.stderr, flush=True)


def share(k):
    return 0.8 / k ** 0.87


def cpu(query):
    """Milliseconds of processor time that the server spent on a query, and what it returned."""
    run("SET log_min_messages = fatal; SET client_min_messages = log; SET log_statement_stats = on")
    connection.notices.clear()
    run(query)
    result = cursor.fetchone()[0] if cursor.description else None
    user, system = re.search(r"([0-9.]+) s user, ([0-9.]+) s system", "".join(connection.notices)).groups()
    run("RESET log_statement_stats; RESET client_min_messages")
    return (float(user) + float(system)) * 1000, result


def race(queries, times=21):
    """The median time of each query and what it returned; they take turns."""
    took = [[] for _ in queries]
    results = [None] * len(queries)
    for _ in range(times):
        for i, query in enumerate(queries):
            one, results[i] = cpu(query)
            took[i].append(one)
    return [sorted(t)[times // 2] for t in took], results


def estimate(query):
    run("EXPLAIN (FORMAT JSON) " + query)
    return cursor.fetchone()[0][0]["Plan"]["Plan Rows"]


def row(what, ours, theirs, peer, bar, unit="ms", note_text=""):
    rows.append((what, ours, theirs, peer, bar, unit, note_text))
    ratio = ours / theirs
    lines.append("| %s | %.4g %s | %s %.4g %s | %.2f | %s | %s |" % (what, ours, unit, peer, theirs, unit, ratio, bar, note_text))


def prepare():
    """The same customers with their tags in each kind of column."""
    run("SET client_min_messages = warning; SET max_parallel_workers_per_gather = 0; SET jit = off; SET work_mem = '256MB'; SET maintenance_work_mem = '512MB'")
    run("CREATE EXTENSION IF NOT EXISTS crm; CREATE EXTENSION IF NOT EXISTS intarray; SET search_path = public, crm; SELECT setseed(0.42)")
    note("making", customers, "customers")
    run("CREATE TABLE draws (id int, k int)")
    # So many draws with replacement that a share of all customers is drawn.
    plan = ",".join("(%d, %d)" % (k, -math.log(1 - share(k)) * customers) for k in range(1, tag_count + 1))
    run("INSERT INTO draws SELECT 1 + floor(random() * %d)::int, k FROM (VALUES %s) v (k, n), generate_series(1, n)" % (customers, plan))
    run("CREATE TABLE base AS SELECT id, array_agg(DISTINCT k) AS ks FROM draws GROUP BY id; DROP TABLE draws")
    for kind, (expression, index) in KINDS.items():
        run("CREATE TABLE c_%s WITH (fillfactor = 90) AS SELECT id, %s AS tags FROM base ORDER BY id" % (kind, expression))
        run("ALTER TABLE c_%s ADD PRIMARY KEY (id)" % kind)
        start = time.time()
        run("CREATE INDEX c_%s_tags ON c_%s USING %s" % (kind, kind, index))
        note(kind, "index built in %.1f s" % (time.time() - start))
        run("VACUUM ANALYZE c_%s" % kind)
        run("SELECT pg_relation_size('c_%s_tags')" % kind)
        index_size[kind] = cursor.fetchone()[0]
    run("CHECKPOINT")


def sizes():
    run("SELECT avg(pg_column_size(s.tags)), avg(pg_column_size(x.tags)), avg(pg_column_size(i.tags)), avg(pg_column_size(v.tags)), avg(cardinality(s.tags)) "
        "FROM c_tagset s JOIN c_text x USING (id) JOIN c_int i USING (id) JOIN c_tsv v USING (id)")
    size = list(map(float, cursor.fetchone()))
    row("bytes a customer", size[0], size[1], "text[]", "0.65", "B", "%.1f tags each; int[] %.0f B, tsvector %.0f B" % (size[4], size[2], size[3]))
    row("size of the GIN index", index_size["tagset"] / 1e6, index_size["text"] / 1e6, "text[]", "", "MB", "one key a row more, for = and <@")


def queries():
    """Boolean queries, a prefix, and sets within a set."""
    for name, query, ints, texts in SHAPES:
        (ours, by_int, by_text), (n, m, k) = race(["SELECT count(*) FROM c_tagset WHERE tags @@ '%s'" % query, "SELECT count(*) FROM c_int WHERE tags @@ '%s'" % ints,
                                                   "SELECT count(*) FROM c_text WHERE " + texts])
        assert n == m == k, (n, m, k)
        row("`%s` by GIN" % name, ours, by_int, "intarray", "1.2", note_text="%d rows" % n)
        row("`%s` by GIN" % name, ours, by_text, "text[] with outer NOT", "0.7")

    prefix = "tag:0190"
    (ours, by_tsv), (n, m) = race(["SELECT count(*) FROM c_tagset WHERE tags @@ '%s*'" % prefix, "SELECT count(*) FROM c_tsv WHERE tags @@ '''%s'':*'::tsquery" % prefix])
    assert n == m, (n, m)
    row("prefix `%s*`" % prefix, ours, by_tsv, "tsvector", "1.0", note_text="%d rows; estimated %d, by tsvector %d" % (
        n, estimate("SELECT FROM c_tagset WHERE tags @@ '%s*'" % prefix), estimate("SELECT FROM c_tsv WHERE tags @@ '''%s'':*'::tsquery" % prefix)))
    (ours, by_text), (n, m) = race(["SELECT count(*) FROM c_%s WHERE tags <@ '{%s,%s,%s}'" % (kind, t(1), t(2), t(3)) for kind in ("tagset", "text")], 3)
    assert n == m
    row("`<@` three common tags", ours, by_text, "text[]", "", note_text="%d rows" % n)


def estimates():
    worst, worst_of, tried = 1.0, "", 0
    conditions = ["tags @> '{%s}'" % t(k) for k in (1, 10, 100, 500, 1000, 1500, 2000)]
    for _ in range(40):
        a, b, c, d = (int(2 ** rng.uniform(0, 10.9)) for _ in range(4))
        p = "tag:%s" % ("%05d" % c)[:rng.randint(3, 5)]
        conditions += ["tags @> '{%s,%s}'" % (t(a), t(b)), "tags && '{%s,%s,%s}'" % (t(a), t(b), t(c)), "tags @@ '%s & !%s'" % (t(a), t(b)),
                       "tags @@ '(%s | %s) & !(%s & %s)'" % (t(a), t(b), t(c), t(d)), "tags @@ '%s* & !%s'" % (p, t(a)), "tags @@ '!%s* & %s'" % (p, t(a)),
                       "tags ? '%s'" % t(d), "tags @@ '%s*'" % p]
    for condition in conditions:
        run("SELECT count(*) FROM c_tagset WHERE " + condition)
        actual = cursor.fetchone()[0]
        if actual > 100:
            off = max(estimate("SELECT FROM c_tagset WHERE " + condition) / actual, actual / estimate("SELECT FROM c_tagset WHERE " + condition))
            tried += 1
            if off > worst:
                worst, worst_of = off, "%s: %d rows" % (condition.replace("|", "\\|"), actual)
    lines.append("| estimates, the worst of %d with over 100 rows | %.2f× off | | | 2× | `%s` |" % (tried, worst, worst_of))
    run("CREATE TABLE asked (id int, q tagquery); CREATE TABLE wanted (id int, w tagset)")
    for i in range(200):
        a, b = (int(2 ** rng.uniform(0, 10.9)) for _ in range(2))
        run("INSERT INTO asked VALUES (%s, %s); INSERT INTO wanted VALUES (%s, %s)", (i, rng.choice(["%s & !%s", "%s & (%s | %s*)" % ("%s", "%s", "tag:01")]) % (t(a), t(b)), i, "{%s}" % t(a)))
    run("ANALYZE asked; ANALYZE wanted")
    for source, condition in (("c_tagset, asked", "tags @@ q"), ("c_tagset, wanted", "tags @> w"), ("c_tagset, wanted", "tags && w")):
        run("SELECT count(*) FROM %s WHERE %s" % (source, condition))
        actual = cursor.fetchone()[0]
        guess = estimate("SELECT FROM %s WHERE %s" % (source, condition))
        lines.append("| estimate of the join `%s` | %.2f× off | | | 2× | %d pairs, estimated %d |" % (condition, max(guess / actual, actual / guess), actual, guess))


def adding():
    """One tag more for 10,000 customers: type and index alone."""
    for kind in ("tagset", "text"):
        run("ALTER TABLE c_%s SET (autovacuum_enabled = off)" % kind)
    took = {"tagset": [], "text": []}
    for turn in range(5):
        for kind, expression in (("tagset", "tags + 'new:%d'" % turn), ("text", "array_append(tags, 'new:%d')" % turn)):
            run("SELECT gin_clean_pending_list('c_%s_tags')" % kind)
            run("CHECKPOINT")
            took[kind].append(cpu("UPDATE c_%s SET tags = %s WHERE id %% %d = %d" % (kind, expression, customers // 10000, turn))[0])
    row("add one tag to 10,000 customers", sorted(took["tagset"])[2], sorted(took["text"])[2], "text[]", "0.9", note_text="median of 5")


def matching():
    """Which of 5,000 saved queries does a customer match?"""
    run("CREATE TABLE saved (id int PRIMARY KEY, name text, query tagquery)")
    for i in range(5000):
        a, b, c, d = (int(rng.uniform(1, tag_count)) for _ in range(4))
        e = int(rng.uniform(100, tag_count)) // 10
        query = rng.choice(["%s & %s" % (t(a), t(b)), "%s & (%s | %s) & !%s" % (t(a), t(b), t(c), t(d)), "(%s | %s) & %s & !%s" % (t(a), t(b), t(c), t(d)),
                            "%s & !%s & tag:%04d*" % (t(a), t(b), e), "%s | %s & !(%s | %s)" % (t(a), t(b), t(c), t(d)), "%s & (%s | tag:%04d*)" % (t(a), t(b), e)])
        run("INSERT INTO saved VALUES (%s, %s, %s)", (i, "audience %d" % i, query))
    run("CREATE INDEX ON saved USING gin (query)")
    run("VACUUM ANALYZE saved")
    run("SET enable_material = off; SET enable_memoize = off")
    MATCH = "SELECT count(*) FROM (SELECT tags FROM c_tagset WHERE id <= 200 ORDER BY id OFFSET 0) c, saved WHERE query @@ c.tags"
    times = {"enable_seqscan": [], "enable_bitmapscan": []}
    for _ in range(11):
        for other, off in (("enable_bitmapscan", "enable_seqscan"), ("enable_seqscan", "enable_bitmapscan")):
            run("SET %s = on; SET %s = off" % (other, off))
            took, n = cpu(MATCH)
            times[off].append(took)
    index, scan = (sorted(times[off])[5] for off in ("enable_seqscan", "enable_bitmapscan"))
    lines.append("| which of 5,000 saved queries match a customer | %.3f ms | sequential scan %.3f ms | %.1f× faster | 20× | %d matches in 200 customers |" % (index / 200, scan / 200, scan / index, n))


def main():
    for part in (prepare, sizes, queries, estimates, adding, matching):
        part()
    print("\n### Tag sets: %d customers\n" % customers)
    print("Times are processor time.\n\n| what | crm | peer | ratio | bar | |\n|---|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
