"""Audiences and tag_audience against their peers of the same run. Prints Markdown.

CRM_BENCH_SCALE=0.1 makes everything a tenth of the size; PGHOST, PGPORT, PGUSER and PGDATABASE say where.
"""
import os
import subprocess
import tempfile
import time

import psycopg2

scale = float(os.environ.get("CRM_BENCH_SCALE", "1"))
customers = int(1_000_000 * scale)
ids = int(10_000_000 * scale)
here = os.path.dirname(os.path.abspath(__file__))

KINDS = (("random tenth of a range", 10), ("random hundredth of a range", 100), ("blocks of 1000 in a row", 0))
OPERATIONS = (("and", "a & b"), ("or", "a | b"), ("andnot", "a - b"), ("and_cardinality", "crm.and_cardinality(a, b)"),
              ("or_cardinality", "crm.or_cardinality(a, b)"), ("andnot_cardinality", "crm.minus_cardinality(a, b)"))

conn = psycopg2.connect()
conn.autocommit = True
cur = conn.cursor()


def sql(text, *args):
    cur.execute(text, args or None)
    return cur.fetchall() if cur.description else None


def ms(text, repeat=9):
    """least milliseconds of a statement, after one to warm up: other work on the machine only ever adds"""
    times = []
    sql(text)
    for _ in range(repeat):
        start = time.perf_counter()
        sql(text)
        times.append((time.perf_counter() - start) * 1000)
    return min(times)


def row(what, ours, peer, bar, more=True):
    ratio = peer / ours if more else ours / peer
    print(f"| {what} | {ours:.3g} ms | {peer:.3g} ms | {ratio:.3g}x | {bar} |", flush=True)


def made_of(span, aggregate):
    """a query that gives one set of random ids: of a range so many times as wide, or (0) in blocks"""
    if span:
        return f"SELECT {aggregate % f'(random() * {span} * {ids})::bigint'} FROM generate_series(1, {ids})"
    return (f"SELECT {aggregate % '(b * 2000 + r)'} FROM (SELECT (random() * {ids} / 1000)::bigint b FROM generate_series(1, {ids} / 1000)) s, "
            "generate_series(0, 999) r")


def in_server(expression, turns, table="pair", kind="crm.audience", flat="p.%s | '{}'"):
    """least milliseconds of an expression of a and b, of so many turns in one statement that starting it counts for nothing;
    a generic plan, lest planning evaluates it once for all"""
    sql(f"""CREATE OR REPLACE FUNCTION timed() RETURNS double precision LANGUAGE plpgsql
        SET search_path = crm, public SET plan_cache_mode = force_generic_plan AS $$
        DECLARE a {kind}; b {kind}; t timestamptz; times double precision[];
        BEGIN
            -- Held flat in memory, as the C loop's are.
            SELECT {flat % "a"}, {flat % "b"} INTO a, b FROM {table} p;
            FOR i IN 1 .. 31 LOOP
                t := clock_timestamp();
                PERFORM {expression} FROM generate_series(1, {turns});
                times := times || extract(epoch FROM clock_timestamp() - t)::double precision * 1000 / {turns};
            END LOOP;
            RETURN (SELECT min(x) FROM unnest(times) x);
        END $$""")
    return sql("SELECT timed()")[0][0]


def sets():
    sql("CREATE EXTENSION crm")
    print(f"### Audiences: {ids} ids in each of two sets\n")
    print("| what | crm | CRoaring in a C loop | ratio | bar |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        loop = os.path.join(work, "loop")
        subprocess.run(["cc", "-O2", "-o", loop, os.path.join(here, "croaring_loop.c"), "-lroaring", "-lm"], check=True)
        for kind, span in KINDS:
            sql("DROP TABLE IF EXISTS pair")
            made = made_of(span, "crm.audience_agg(%s)")
            sql(f"CREATE TABLE pair AS SELECT a, b FROM ({made}) x(a), ({made}) y(b)")
            for i, side in enumerate("ab"):
                # The head of a value with one part takes 16 bytes; what follows is a portable bitmap.
                data = bytes(sql(f"SELECT crm.audience_send({side}) FROM pair")[0][0])
                with open(os.path.join(work, side), "wb") as f:
                    f.write(data[16:])
            out = subprocess.run([loop, os.path.join(work, "a"), os.path.join(work, "b")], check=True, capture_output=True, text=True).stdout
            peer = {line.split()[0]: float(line.split()[1]) for line in out.splitlines()}
            for op, expression in OPERATIONS:
                turns = max(1, int(0.5 / peer[op]))
                ours = in_server(expression, turns)
                row(f"{op}, {kind}", ours, peer[op], "<= 1.1x", more=False)


def tags():
    print(f"\n### Tags: {customers} customers x 11 of 2000 tags by power law\n")
    sql("SELECT crm.create_store('shop')")
    sql("SET search_path = shop, crm, public")
    sql("SET work_mem = '256MB'")
    sql("SELECT setseed(0.5)")
    sql(f"""CREATE UNLOGGED TABLE given AS
        SELECT id, array_agg(DISTINCT 'tag' || lpad(k::text, 6, '0')) AS tags FROM (
            SELECT k, 1 + floor(random() * {customers})::bigint AS id
            FROM generate_series(1, 2000) k, generate_series(1, (least(0.8, 1.36 / k) * {customers})::int)) s GROUP BY id""")
    sql("ALTER TABLE customer DISABLE TRIGGER tags_inserted")
    sql("INSERT INTO customer (customer_id, tags) SELECT id, tagset(tags) FROM given ORDER BY id")
    sql("ALTER TABLE customer ENABLE TRIGGER tags_inserted")
    sql("SELECT recount_tag_audience()")
    sql("CREATE TABLE plain (id bigint PRIMARY KEY, tags text[] NOT NULL) WITH (fillfactor = 90)")
    sql("INSERT INTO plain SELECT * FROM given ORDER BY id")
    sql("CREATE INDEX ON plain USING gin (tags)")
    sql("VACUUM ANALYZE customer")
    sql("VACUUM ANALYZE plain")
    sql("VACUUM ANALYZE tag_audience")
    print("| what | tag_audience | GIN | ratio | bar |\n|---|---|---|---|---|")
    for query in ("tag000002 & tag000009 & !tag000001", "(tag000050 | tag000060) & !tag000001", "tag000300 & tag000020", "!tag000001"):
        counted = f"SELECT count_tags('{query}')"
        scanned = f"SELECT count(*) FROM customer WHERE tags @@ '{query}'"
        assert sql(counted) == sql(scanned), query
        row(f"count of `{query}` ({sql(counted)[0][0]})", ms(counted), ms(scanned, 5), ">= 50x")

    print("\n| what | crm | text[] with GIN | ratio | bar |\n|---|---|---|---|---|")
    ours, peer = [], []
    for n in range(5):
        members = f"SELECT audience_agg(1 + floor(random() * {customers})::bigint) AS a FROM generate_series(1, 10000)"
        sql("DROP TABLE IF EXISTS chosen")
        sql(f"CREATE TABLE chosen AS {members}")
        start = time.perf_counter()
        sql(f"SELECT tag_customers(a, 'new{n}', 'bench') FROM chosen")
        ours.append((time.perf_counter() - start) * 1000)
        start = time.perf_counter()
        sql(f"UPDATE plain SET tags = tags || 'new{n}'::text WHERE id = ANY ((SELECT a::bigint[] FROM chosen)::bigint[]) AND NOT tags @> ARRAY['new{n}']")
        peer.append((time.perf_counter() - start) * 1000)
    row("add a tag to 10000 customers, with events and audiences", min(ours), min(peer), "<= 2x", more=False)
    assert sql("SELECT count(*) FROM check_tag_audience()")[0][0] == 0
    start = time.perf_counter()
    sql("CALL fold_tag_audience()")
    print(f"\nFolding the changes of these five statements took {(time.perf_counter() - start) * 1000:.0f} ms.")
    cur.execute("SELECT pg_size_pretty(pg_total_relation_size('tag_audience'))")
    print(f"tag_audience takes {cur.fetchone()[0]}.")


if __name__ == "__main__":
    sets()
    tags()
