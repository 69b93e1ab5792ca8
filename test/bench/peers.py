#!/usr/bin/python3
"""The parts of crm beside what one would take instead, in one table: run by make bench-peers.

Postgres's own text[], intarray and tsvector are always there. The others are used where they are at hand, and none of their code is in this project:
    pg_roaringbitmap          where CREATE EXTENSION roaringbitmap works
    CRM_PGLEDGER=folder       a copy of pgledger
    CRM_ANON=folder           the folder sql/ of PostgreSQL Anonymizer: of it the masking functions written in SQL
    CRM_LIFETIMES=a:b         folders to import lifetimes, and what it needs, from
CRM_BENCH_SCALE=0.1 makes everything a tenth of the size; PGHOST, PGPORT, PGUSER and PGDATABASE say where; CRM_DATA has the data of CDNOW.
"""
import csv
import os
import re
import subprocess
import sys
import time
import warnings

import psycopg2

import audience
import masks
import points
import tags

DATA = os.environ.get("CRM_DATA", "")
PUBLISHED = (0.243, 4.414, 0.793, 2.426, -9582.4)

# A double entry as one would write it in an afternoon: two legs a movement, balances beside them, a reference that cannot come twice. It knows no
# lots, expiry, holds, refunds or chain.
PLAIN = """
CREATE SCHEMA plain;
CREATE TABLE plain.account (id bigint PRIMARY KEY, balance bigint NOT NULL DEFAULT 0) WITH (fillfactor = 70);
CREATE TABLE plain.movement (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, reference text NOT NULL UNIQUE, at timestamptz NOT NULL DEFAULT now());
CREATE TABLE plain.leg (account bigint NOT NULL REFERENCES plain.account, movement bigint NOT NULL REFERENCES plain.movement, points bigint NOT NULL,
    balance_after bigint NOT NULL, PRIMARY KEY (account, movement));
CREATE FUNCTION plain.move(giver bigint, taker bigint, points bigint, reference text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE m bigint; given bigint; taken bigint;
BEGIN
    INSERT INTO plain.movement (reference) VALUES (reference) RETURNING id INTO m;
    -- In one order, lest two movements wait for each other.
    PERFORM FROM plain.account WHERE id IN (giver, taker) ORDER BY id FOR NO KEY UPDATE;
    UPDATE plain.account SET balance = balance - points WHERE id = giver RETURNING balance INTO given;
    UPDATE plain.account SET balance = balance + points WHERE id = taker RETURNING balance INTO taken;
    INSERT INTO plain.leg VALUES (giver, m, -points, given), (taker, m, points, taken);
    RETURN m;
END $$;
"""


def line(what, ours, peer, theirs, unit, better, note=""):
    """One row; better is above 1 where crm is faster or smaller."""
    print("| %s | %.3g %s | %s | %.3g %s | %.2f | %s |" % (what, ours, unit, peer, theirs, unit, better, note), flush=True)


def less(what, ours, peer, theirs, unit, note=""):
    line(what, ours, peer, theirs, unit, theirs / ours, note)


def more(what, ours, peer, theirs, unit, note=""):
    line(what, ours, peer, theirs, unit, ours / theirs, note)


def missing(what, peer, note):
    print("| %s | | %s | not at hand | | %s |" % (what, peer, note), flush=True)


def head(title):
    print("\n### %s\n\n| what | crm | peer | its figure | crm better by | |\n|---|---:|---|---:|---:|---|" % title, flush=True)


def tag_sets():
    tags.prepare()
    head("Tag sets: %d customers, processor time" % tags.customers)
    tags.run("SELECT avg(pg_column_size(s.tags)), avg(pg_column_size(x.tags)), avg(pg_column_size(i.tags)), avg(pg_column_size(v.tags)) "
             "FROM c_tagset s JOIN c_text x USING (id) JOIN c_int i USING (id) JOIN c_tsv v USING (id)")
    bytes_each = dict(zip(tags.KINDS, map(float, tags.cursor.fetchone())))
    names = (("text", "text[]", ""), ("int", "int[] with intarray", "names are kept elsewhere"), ("tsv", "tsvector", ""))
    for kind, name, note in names:
        less("bytes a customer", bytes_each["tagset"], name, bytes_each[kind], "B", note)
    for kind, name, note in names:
        less("GIN index", tags.index_size["tagset"] / 1e6, name, tags.index_size[kind] / 1e6, "MB", "" if kind == "text" else note)
    tags.queries()
    for what, ours, theirs, peer, _, unit, note in tags.rows:
        less(what, ours, peer, theirs, unit, note)
    change = {"tagset": "tags + 'new:%d'", "text": "array_append(tags, 'new:%d')", "int": "tags + (100000 + %d)",
              "tsv": "tags || array_to_tsvector(ARRAY['new:%d'])"}
    took = {kind: [] for kind in change}
    for turn in range(5):
        for kind, expression in change.items():
            tags.run("SELECT gin_clean_pending_list('c_%s_tags')" % kind)
            tags.run("CHECKPOINT")
            update = "UPDATE c_%s SET tags = %s WHERE id %% %d = %d" % (kind, expression % turn, max(1, tags.customers // 10000), turn)
            took[kind].append(tags.cpu(update)[0])
    for kind, name, note in names:
        less("add a tag to 10,000 customers", sorted(took["tagset"])[2], name, sorted(took[kind])[2], "ms", "keeps duplicates" if kind != "tsv" else "")


def audiences():
    sql = audience.sql
    head("Sets of customers: %d ids each, time" % audience.ids)
    try:
        sql("CREATE EXTENSION roaringbitmap")
    except psycopg2.Error:
        missing("sets of ids", "pg_roaringbitmap", "the extension roaringbitmap is not installed")
        return
    sql("SET search_path = public, crm")
    sql("SET jit = off")
    sql("SET max_parallel_workers_per_gather = 0")
    name = "pg_roaringbitmap " + sql("SELECT extversion FROM pg_extension WHERE extname = 'roaringbitmap'")[0][0]
    theirs = {"and": "a & b", "or": "a | b", "andnot": "a - b", "and_cardinality": "rb64_and_cardinality(a, b)", "or_cardinality": "rb64_or_cardinality(a, b)",
              "andnot_cardinality": "rb64_andnot_cardinality(a, b)"}
    for kind, span in audience.KINDS:
        sql("DROP TABLE IF EXISTS pair, pair_rb, pair_rb32")
        made = audience.made_of(span, "crm.audience_agg(%s)")
        sql("CREATE TABLE pair AS SELECT a, b FROM (%s) x(a), (%s) y(b)" % (made, made))
        sql("CREATE TABLE pair_rb AS SELECT rb64_runoptimize(rb64_build(a::bigint[])) AS a, rb64_runoptimize(rb64_build(b::bigint[])) AS b FROM pair")
        sql("CREATE TABLE pair_rb32 AS SELECT rb_runoptimize(rb_build(a::bigint[]::int[])) AS a, rb_runoptimize(rb_build(b::bigint[]::int[])) AS b FROM pair")
        size, size64, size32 = sql("SELECT pg_column_size(p.a | '{}'), pg_column_size(q.a | '{}'), pg_column_size(r.a | '{}') FROM pair p, pair_rb q, pair_rb32 r")[0]
        less("bytes, " + kind, size / 1e6, name + " roaringbitmap64", size64 / 1e6, "MB", "roaringbitmap of 32 bits: %.3g MB" % (size32 / 1e6))
        assert sql("SELECT crm.and_cardinality(p.a, p.b) = rb64_and_cardinality(q.a, q.b) FROM pair p, pair_rb q")[0][0]
        for op, expression in audience.OPERATIONS:
            rough = max(audience.in_server(expression, 1), 1e-3)
            turns = max(1, int(2 / rough))
            ours = audience.in_server(expression, turns)
            peer = audience.in_server(theirs[op], turns, "pair_rb", "roaringbitmap64", "p.%s | '{}'::roaringbitmap64")
            peer32 = audience.in_server(theirs[op].replace("rb64", "rb"), turns, "pair_rb32", "roaringbitmap", "p.%s | '{}'::roaringbitmap")
            less("%s, %s" % (op, kind), ours, name + " roaringbitmap64", peer, "ms", "of 32 bits: %.3g ms" % peer32)
    ours, peer, peer32 = (audience.in_server("a @> (7 * generate_series)::%s" % cast, 1000, table, of, flat) for table, cast, of, flat in (
        ("pair", "bigint", "crm.audience", "p.%s | '{}'"), ("pair_rb", "bigint", "roaringbitmap64", "p.%s | '{}'::roaringbitmap64"),
        ("pair_rb32", "int", "roaringbitmap", "p.%s | '{}'::roaringbitmap")))
    less("is one id in it?", ours * 1000, name + " roaringbitmap64", peer * 1000, "µs", "of 32 bits: %.3g µs" % (peer32 * 1000))
    sql("CREATE TABLE ids AS SELECT (random() * 10 * %s)::bigint AS id FROM generate_series(1, %s)", audience.ids, audience.ids)
    less("made by an aggregate, ids in no order", audience.ms("SELECT crm.cardinality(crm.audience_agg(id)) FROM ids", 3), name + " roaringbitmap64",
         audience.ms("SELECT rb64_cardinality(rb64_build_agg(id)) FROM ids", 3), "ms")
    sql("CREATE TABLE many AS SELECT crm.audience_agg(id) AS a FROM ids GROUP BY id % 200")
    sql("CREATE TABLE many_rb AS SELECT rb64_build(a::bigint[]) AS a FROM many")
    less("union of 200 sets by an aggregate", audience.ms("SELECT crm.cardinality(crm.audience_or_agg(a)) FROM many", 5), name + " roaringbitmap64",
         audience.ms("SELECT rb64_or_cardinality_agg(a) FROM many_rb", 5), "ms")


def ledgers():
    points.prepare()
    points.run(PLAIN)
    points.run("INSERT INTO plain.account SELECT generate_series(0, %s)", points.ACCOUNTS)
    n = points.ACCOUNTS
    pair = "\\set a random(1, %d)\n\\set b random(1, %d)\n" % (n, n)
    other = "CASE WHEN :b = :a THEN :a %% %d + 1 ELSE :b END" % n
    peers = [("a correct PL/pgSQL gate with the same rules", points.BASE % n, "base.entry", "base.entry"),
             ("plain double entry, any two accounts", pair + "SELECT plain.move(:a, %s, 5, gen_random_uuid()::text);\n" % other, None, None),
             ("plain double entry, all from the programme's account", pair + "SELECT plain.move(0, :a, 5, gen_random_uuid()::text);\n", "plain.movement,plain.leg", "plain.movement")]
    path = os.environ.get("CRM_PGLEDGER", "")
    ledger = os.path.exists(path + "/pgledger.sql")
    if ledger:
        for name in ("vendor/scoville-pgsql-ulid/uuid-to-ulid.sql", "vendor/scoville-pgsql-ulid/ulid-to-uuid.sql", "pgledger.sql"):
            subprocess.run(["psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-f", path + "/" + name, points.DATABASE], check=True, capture_output=True)
        points.run("CREATE TABLE peer (n integer PRIMARY KEY, id text NOT NULL)")
        points.run("INSERT INTO peer SELECT n, (SELECT id FROM pgledger_create_account('a' || n, 'USD')) FROM generate_series(0, %s) n", n)
        peers += [("pgledger, any two accounts", pair + "SELECT count(*) FROM peer a, peer b, LATERAL pgledger_create_transfer(a.id, b.id, 5) WHERE a.n = :a AND b.n = %s;\n" % other, None, None),
                  ("pgledger, all from the programme's account", pair + "SELECT count(*) FROM peer a, peer b, LATERAL pgledger_create_transfer(a.id, b.id, 5) WHERE a.n = 0 AND b.n = :a;\n",
                   "pgledger_transfers,pgledger_entries", "pgledger_transfers")]
    points.run("VACUUM ANALYZE")
    head("Ledgers: one earning a transaction, %d clients, %d accounts" % (points.CLIENTS, n))
    for sync in (True, False):
        ours, *theirs = points.rates(lambda s=sync: points.pgbench(points.EARN % n, sync=s)[0], *[lambda p=p, s=sync: points.pgbench(p[1], sync=s)[0] for p in peers])
        for (name, _, _, _), rate in zip(peers, theirs):
            more("earnings, synchronous commit " + ("on" if sync else "off"), ours, name, rate, "/s")

    def bytes_of(tables, counted):
        return float(points.run("SELECT (SELECT sum(pg_total_relation_size(t)) FROM unnest(string_to_array(%s, ',')::regclass[]) t) / (SELECT count(*) FROM " + counted + ")", tables)[0][0])
    ours = bytes_of("shop.points_entry", "shop.points_entry")
    for name, _, tables, counted in peers:
        if tables:
            less("bytes an earning with indexes", ours, name.split(",")[0], bytes_of(tables, counted), "B")
    if not ledger:
        missing("earnings", "pgledger", "CRM_PGLEDGER names its folder")


def masking():
    count = masks.N
    table = {}
    head("Masks: %d values, processor time" % count)
    run, cpu = tags.run, tags.cpu
    run("RESET search_path")
    run("DROP SCHEMA IF EXISTS anon CASCADE")
    folder = os.environ.get("CRM_ANON", "")
    theirs = {}
    if os.path.exists(folder + "/anon.sql"):
        run("CREATE SCHEMA anon")
        with open(folder + "/anon.sql", encoding="utf-8") as file:
            source = file.read()
        for name in ("partial", "partial_email"):
            run(re.search(r"CREATE OR REPLACE FUNCTION anon\.%s\(.*?\n;" % name, source, re.DOTALL).group(0))
        theirs = {"mask_phone(v)": "anon.partial(v, 3, '****', 4)", "mask_partial(v, 3, 4)": "anon.partial(v, 3, '****', 4)", "mask_email(v)": "anon.partial_email(v)",
                  "mask_bank_card(v)": "anon.partial(v, 6, '*********', 4)", "mask_id_number(v)": "anon.partial(v, 1, '***************', 2)"}
    for n, (mask, value, pattern, to) in enumerate(masks.MASKS):
        table = "values_%d" % n
        run("CREATE UNLOGGED TABLE %s AS SELECT %s AS v FROM generate_series(1, %d) i" % (table, value, count))
        run("VACUUM ANALYZE " + table)

        def rate(expression, base=table):
            """Millions of values a second, reading the column not counted."""
            read = min(cpu("SELECT count(v) FROM " + base)[0] for _ in range(5))
            return count / max(min(cpu("SELECT count(%s) FROM %s" % (expression, base))[0] for _ in range(3)) - read, 0.001) / 1000
        ours = rate("crm." + mask)
        what = "`%s`" % mask if mask != "mask_name(v)" else "`mask_name(v)`, " + ("Chinese" if "张" in value else "Latin")
        more(what, ours, "regexp_replace", rate("regexp_replace(v, '%s', '%s')" % (pattern, to)), "million/s")
        if mask in theirs:
            more(what, ours, "Anonymizer's " + theirs[mask].split("(")[0], rate(theirs[mask]), "million/s")
    if not theirs:
        missing("masks", "PostgreSQL Anonymizer", "CRM_ANON names its folder sql/")


def purchase_models():
    try:
        import models
    except SystemExit:
        head("Purchase models")
        missing("BG/NBD", "SciPy", "python3-numpy and python3-scipy are not installed")
        return
    np = models.np
    lifetimes = None
    sys.path[:0] = [p for p in os.environ.get("CRM_LIFETIMES", "").split(":") if p]
    warnings.simplefilter("ignore")
    try:
        import lifetimes
    except ImportError:
        pass
    name = "lifetimes " + lifetimes.__version__ if lifetimes else "lifetimes"
    histories = models.world(models.N // 10)
    models.load(*histories)
    fit = "SELECT (f).r, (f).alpha, (f).a, (f).b, (f).log_likelihood FROM (SELECT crm.bgnbd_fit(x, t_x, t) AS f FROM %s OFFSET 0) q"
    head("Purchase models: BG/NBD, one core, data in memory")
    ones = np.ones(len(histories[0]))
    ours, found = models.timed(lambda: models.query(fit % "history"), 5)
    what = "fit of %d customers" % len(ones)
    took, theirs = models.timed(lambda: models.minimize(models.loss_and_gradient, np.zeros(4), (*histories, ones), "L-BFGS-B", jac=True, options={"ftol": 1e-13}), 1)
    less(what, ours, "SciPy L-BFGS-B, gradient by hand", took, "s", "log likelihoods %.3f and %.3f" % (found[4], -theirs.fun * len(ones)))
    took, _ = models.timed(lambda: models.grouped(*histories), 1)
    less(what, ours, "the same over different histories alone", took, "s")
    if lifetimes:
        took, f = models.timed(lambda: lifetimes.BetaGeoFitter().fit(*histories), 1)
        less(what, ours, name, took, "s", "its parameters differ by at most %.0e of theirs" % max(abs(a / b - 1) for a, b in zip(found, f.params_)))
        model = "ROW({},{},{},{},NULL,NULL,NULL)::crm.bgnbd".format(*found[:4])
        ours, _ = models.timed(lambda: models.query("SELECT sum(crm.p_alive(%s, x, t_x, t)), sum(crm.expected_purchases(%s, 52, x, t_x, t)) FROM history" % (model, model)), 3)
        took, _ = models.timed(lambda: (f.conditional_probability_alive(*histories).sum(), f.conditional_expected_number_of_purchases_up_to_time(52, *histories).sum()), 3)
        less("p_alive and purchases of 52 weeks, %d customers" % len(ones), ours, name, took, "s")
    else:
        missing(what, name, "CRM_LIFETIMES names its folder")
    if not os.path.exists(DATA + "/cdnow_summary.csv"):
        missing("CDNOW", "published figures", "CRM_DATA has no cdnow_summary.csv")
        return
    with open(DATA + "/cdnow_summary.csv", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    names = [c.strip().lower() for c in rows[0]]
    columns = [[float(r[names.index(c)]) for r in rows[1:]] for c in ("frequency", "recency", "t")]
    models.sql.execute("CREATE TABLE cdnow (x bigint, t_x double precision, t double precision)")
    for row in zip(*columns):
        models.sql.execute("INSERT INTO cdnow VALUES (%s, %s, %s)", row)
    models.sql.execute("ANALYZE cdnow")
    ours, found = models.timed(lambda: models.query(fit % "cdnow"), 9)
    print("| CDNOW, r α a b and log likelihood | %.3f %.3f %.3f %.3f, %.1f | published (Fader, Hardie, Lee 2005) | %s | %s | |" % (
        *found, "%.3f %.3f %.3f %.3f, %.1f" % PUBLISHED, "equal" if all(abs(a - b) < max(0.0021, abs(b) * 1e-5) for a, b in zip(found, PUBLISHED)) else "DIFFERENT"))
    if lifetimes:
        took, f = models.timed(lambda: lifetimes.BetaGeoFitter().fit(*map(np.array, columns)), 3)
        less("CDNOW, %d customers" % len(columns[0]), ours * 1000, name, took * 1000, "ms", "its parameters: " + " ".join("%.3f" % p for p in f.params_))


def main():
    start = time.monotonic()
    audience.sql("CREATE EXTENSION crm")
    print("Peers: %s; crm %s. Above 1 crm is the faster or smaller." % (audience.sql("SELECT version()")[0][0].split(" (")[0].split(" on ")[0], audience.sql("SELECT extversion FROM pg_extension WHERE extname = 'crm'")[0][0]))
    wanted = os.environ.get("PEERS", "").split()
    for part in (tag_sets, audiences, ledgers, masking, purchase_models):
        if not wanted or part.__name__ in wanted:
            part()
    print("\n%.0f minutes." % ((time.monotonic() - start) / 60))


if __name__ == "__main__":
    main()
