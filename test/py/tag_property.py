"""Random tag sets, queries, index searches and aggregates against the model; random Unicode strings.

usage: tag_property.py CONNECTION [CASES [STRINGS [SEED]]]
"""
import io
import random
import sys
import unicodedata
from collections import Counter

import psycopg2

import tag_model as model

connection = psycopg2.connect(sys.argv[1])
connection.autocommit = True
cases = int(sys.argv[2]) if len(sys.argv) > 2 else 5000
strings = int(sys.argv[3]) if len(sys.argv) > 3 else 10000
seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.randrange(1 << 30)
print("seed", seed)
rng = random.Random(seed)
cursor = connection.cursor()
cursor.execute("SET search_path = crm, public; SET max_parallel_workers_per_gather = 0")
failures = 0

# Few tags, so that sets often share some; prefixes of one another; namespaces; what needs quotes; what folds.
BASE = ["a", "b", "ab", "abc", "b c", "vip", "vip2", "会员", "会", "高频购买", "channel:tmall", "channel:jd", "channel:", "lifecycle:new", "lifecycle:old",
        "x&y", "q\"u", "o\\o", "{br}", "c,d", "null", "(p)", "s*", "!n", "|", "straße", "ﬁn", "０１", "ümlaut", "𠮷野", "👍"]


def spell(tag):
    """The same tag as somebody may type it."""
    if rng.random() < 0.6:
        return tag
    text = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" and rng.random() < 0.3 else c.upper() if rng.random() < 0.5 else c for c in tag)
    # Some capitals fold to something else than the small letter; those are left small.
    text = text if model.fold(text) == model.fold(tag) else tag
    if rng.random() < 0.3:
        text = rng.choice([" ", "\u3000", "\t", "\u200b"]) + text
    if rng.random() < 0.3:
        text += rng.choice(["  ", "\u00ad", "\n", "\u00a0"])
    return text


def some_tags(most=8):
    size = rng.choice([0, 1, 1, 2, 3, 5, most])
    return [spell(rng.choice(BASE)) for _ in range(size)]


def folded(tags):
    return frozenset(model.fold(t) for t in tags)


def some_query(depth=3):
    kind = rng.choice(["tag", "tag", "prefix", "not", "and", "or", "and", "or"]) if depth else rng.choice(["tag", "tag", "prefix"])
    if kind == "tag":
        return "tag", spell(rng.choice(BASE))
    if kind == "prefix":
        tag = rng.choice(BASE)
        return "prefix", "" if rng.random() < 0.1 else tag[:rng.randint(1, len(tag))] if tag.isascii() and " " not in tag else tag
    if kind == "not":
        return "not", some_query(depth - 1)
    return kind, [some_query(depth - 1) for _ in range(rng.randint(2, 3))]


def quoted(tag):
    return '"' + tag.replace("\\", "\\\\").replace('"', '\\"') + '"'


def written(tree, above="or"):
    """A text of the query, with needless blanks and parentheses here and there."""
    kind = tree[0]
    if kind in ("tag", "prefix"):
        plain = tree[1].isalnum() and rng.random() < 0.7
        text = (tree[1] if plain or not tree[1] else quoted(tree[1])) + ("*" if kind == "prefix" else "")
    elif kind == "not":
        text = rng.choice(["!", "! ", "!!!", "！"]) + written(tree[1], "not")
    else:
        signs = ["&", " & ", "＆"] if kind == "and" else ["|", " | ", "\n｜ "]
        text = rng.choice(signs).join(written(t, kind) for t in tree[1])
        if above == "not" or (above == "and" and kind == "or"):
            return rng.choice(["(%s)", " ( %s )", "（%s）"]) % text
    return "(" + text + ")" if rng.random() < 0.1 else text


def check(what, got, expected, *about):
    global failures
    if got != expected:
        failures += 1
        if failures < 20:
            print("DIFFERENT", what, "got", repr(got), "expected", repr(expected), "for", *map(repr, about))


def listed(tags):
    return model.order(tags)


# 1. Operators and functions
OPERATORS = """
    SELECT n, tag_array(a), a @> b, a <@ b, a && b, a = b, a <> b, a < b, a <= b, a > b, a >= b, tagset_cmp(a, b), a ? t, has_tag(a, t), a ?| l, a ?& l,
           a @@ q, q @@ a, tag_array(a | b), tag_array(a & b), tag_array(a + t), tag_array(a - t), tag_array(a - l), cardinality(a), jaccard(a, b),
           tag_value(a, 'Channel'), tag_array(tag_put(a, p)), (tagset_hash(a) = tagset_hash(b)) OR a <> b,
           a::text::tagset = a AND a::text[]::tagset = a AND q::text::tagquery = q, ARRAY(SELECT tags(a)),
           a::text::text[] = a::text[], a @@ (q::text)::tagquery
    FROM (SELECT n, tagset(a) AS a, tagset(b) AS b, t, l, q::tagquery AS q, p FROM given) s ORDER BY n"""
cursor.execute("CREATE TEMP TABLE given (n int, a text[], b text[], t text, l text[], q text, p text)")
done = 0
while done < cases:
    rows = []
    for n in range(min(2000, cases - done)):
        a = some_tags()
        b = some_tags() if rng.random() < 0.7 else [spell(t) for t in a if rng.random() < 0.8]
        l = some_tags(4) + ([""] if rng.random() < 0.05 else [])
        rows.append((n, a, b, spell(rng.choice(BASE)), l, some_query(), "channel:" + rng.choice(["jd", "x", "TMALL"])))
    cursor.execute("TRUNCATE given")
    cursor.execute("INSERT INTO given VALUES " + ",".join(
        cursor.mogrify("(%s, %s::text[], %s::text[], %s, %s::text[], %s, %s)", (n, a, b, t, l, written(q), p)).decode() for n, a, b, t, l, q, p in rows))
    cursor.execute(OPERATORS)
    for (n, a, b, t, l, q, p), got in zip(rows, cursor.fetchall()):
        x, y, tag, valid = folded(a), folded(b), model.fold(t), folded(i for i in l if i)
        kx, ky = [i.encode() for i in listed(x)], [i.encode() for i in listed(y)]
        match = model.matches(q, x)
        expected = (n, listed(x), x >= y, x <= y, bool(x & y), x == y, x != y, kx < ky, kx <= ky, kx > ky, kx >= ky, (kx > ky) - (kx < ky), tag in x, tag in x,
                    bool(x & valid), valid <= x and "" not in l, match, match, listed(x | y), listed(x & y), listed(x | {tag}), listed(x - {tag}), listed(x - valid),
                    len(x), len(x & y) / len(x | y) if x | y else 1.0, model.value(x, "channel"), listed(model.put(x, p)), True, True, listed(x), True, match)
        check("operators", got, expected, a, b, t, l, q, p)
    done += len(rows)
print("%d cases of operators" % done)

# 2. The index gives what a scan gives and what the model gives
cursor.execute("CREATE TEMP TABLE indexed (id int, tags tagset)")
stored = [folded(some_tags(12)) for _ in range(800)]
cursor.execute("INSERT INTO indexed VALUES " + ",".join(cursor.mogrify("(%s, tagset(%s::text[]))", (i, list(s))).decode() for i, s in enumerate(stored[:700])))
cursor.execute("CREATE INDEX ON indexed USING gin (tags)")
cursor.execute("INSERT INTO indexed VALUES " + ",".join(cursor.mogrify("(%s, tagset(%s::text[]))", (i + 700, list(s))).decode() for i, s in enumerate(stored[700:])))
searches = max(cases // 20, 200)
for i in range(searches):
    l = some_tags(6)
    x = folded(l)
    tag = rng.choice(BASE)
    q = some_query()
    condition, value, test = rng.choice([
        ("tags @> tagset(%s::text[])", l, lambda s: s >= x), ("tags <@ tagset(%s::text[])", l, lambda s: s <= x),
        ("tags && tagset(%s::text[])", l, lambda s: bool(s & x)), ("tags = tagset(%s::text[])", l, lambda s: s == x),
        ("tags ?| %s::text[]", l, lambda s: bool(s & x)), ("tags ?& %s::text[]", l, lambda s: s >= x),
        ("tags ? %s", spell(tag), lambda s: model.fold(tag) in s), ("has_tag(tags, %s)", spell(tag), lambda s: model.fold(tag) in s),
        ("tags @@ %s::tagquery", written(q), lambda s: model.matches(q, s)), ("%s::tagquery @@ tags", written(q), lambda s: model.matches(q, s)),
        ("tags @@ %s::tagquery", written(q), lambda s: model.matches(q, s)), ("NOT tags @@ %s::tagquery", written(q), lambda s: not model.matches(q, s))])
    expected = [n for n, s in enumerate(stored) if test(s)]
    for setting in ("SET enable_seqscan = off; SET enable_bitmapscan = on", "SET enable_seqscan = on; SET enable_bitmapscan = off"):
        cursor.execute(setting + "; SELECT array(SELECT id FROM indexed WHERE " + condition + " ORDER BY id)", (value,))
        check("search", cursor.fetchone()[0], expected, condition, value)
    if i == searches // 2:
        cursor.execute("VACUUM indexed")
print("%d searches with and without index" % searches)

# 3. Saved queries
saved = [some_query() for _ in range(600)]
cursor.execute("CREATE TEMP TABLE saved (id int, query tagquery)")
cursor.execute("INSERT INTO saved VALUES " + ",".join(cursor.mogrify("(%s, %s)", (i, written(q))).decode() for i, q in enumerate(saved)))
cursor.execute("CREATE INDEX ON saved USING gin (query)")
reverse = max(cases // 100, 50)
for i in range(reverse):
    l = some_tags()
    x = folded(l)
    expected = [n for n, q in enumerate(saved) if model.matches(q, x)]
    for setting in ("SET enable_seqscan = off; SET enable_bitmapscan = on", "SET enable_seqscan = on; SET enable_bitmapscan = off"):
        cursor.execute(setting + "; SELECT array(SELECT id FROM saved WHERE query @@ tagset(%s::text[]) ORDER BY id)", (l,))
        check("saved queries", cursor.fetchone()[0], expected, l)
print("%d sets against %d saved queries" % (reverse, len(saved)))

# 4. Aggregates, alone and by parallel workers
cursor.execute("CREATE TABLE public.tag_property (g int, tags tagset); ALTER TABLE public.tag_property SET (parallel_workers = 2)")
groups = max(cases // 200, 50)
members = [[folded(some_tags()) if rng.random() < 0.9 else None for _ in range(rng.randint(0, 12))] for _ in range(groups)]
rows = [(g, None if s is None else list(s)) for g, sets in enumerate(members) for s in sets]
cursor.execute("INSERT INTO public.tag_property VALUES " + ",".join(cursor.mogrify("(%s, tagset(%s::text[]))", r).decode() for r in rows))
for setting in ("SET max_parallel_workers_per_gather = 0", "SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0"):
    cursor.execute(setting + "; SELECT g, tag_counts(tags), tag_array(tagset_union(tags)), tag_array(tagset_intersect(tags)) FROM public.tag_property GROUP BY g ORDER BY g")
    found = {row[0]: row[1:] for row in cursor.fetchall()}
    for g, sets in enumerate(members):
        real = [s for s in sets if s is not None]
        if sets:
            check("aggregates", found[g], (dict(Counter(t for s in real for t in s)), listed(frozenset().union(*real)) if real else None,
                                            listed(frozenset.intersection(*real)) if real else None), sets)
cursor.execute("DROP TABLE public.tag_property")
print("%d groups aggregated" % groups)

# 5. Unicode: folding agrees with the model where Python knows the characters, is idempotent, and survives every round trip
cursor.execute("""
    CREATE FUNCTION pg_temp.try_tag(t text) RETURNS text LANGUAGE plpgsql AS $$
    BEGIN RETURN (crm.tag_array(crm.tagset(ARRAY[t])))[1]; EXCEPTION WHEN SQLSTATE 'CT001' OR SQLSTATE 'CT002' THEN RETURN NULL; END $$""")


def some_character():
    while True:
        c = rng.choice([lambda: rng.randrange(1, 128), lambda: rng.randrange(0x80, 0x600), lambda: rng.randrange(0x600, 0x3000), lambda: rng.randrange(0x3000, 0xA000),
                        lambda: rng.randrange(0xA000, 0x10000), lambda: rng.randrange(0x10000, 0x20000), lambda: rng.randrange(0x20000, 0x110000)])()
        if not 0xD800 <= c < 0xE000:
            return chr(c)


texts = ["".join(some_character() for _ in range(rng.choice([1, 1, 2, 3, 6, 12]))) for _ in range(strings)]
cursor.execute("SELECT n, pg_temp.try_tag(t) FROM unnest(%s::text[]) WITH ORDINALITY u (t, n) ORDER BY n", (texts,))
accepted = []
compared = 0
for (n, got), text in zip(cursor.fetchall(), texts):
    if all(unicodedata.category(c) != "Cn" for c in text):
        check("fold", got, model.fold(text), text)
        compared += 1
    if got is not None:
        accepted.append(got)
cursor.execute("SELECT count(*) FROM unnest(%s::text[]) t WHERE pg_temp.try_tag(t) IS DISTINCT FROM t", (accepted,))
check("fold is idempotent", cursor.fetchone()[0], 0)
cursor.execute("DROP TABLE IF EXISTS public.unicode_tags; CREATE TABLE public.unicode_tags (id int, tags tagset, query tagquery)")
cursor.execute("INSERT INTO public.unicode_tags SELECT min(n), tagset(array_agg(t)), tagquery_or(array_agg(t)) FROM unnest(%s::text[]) WITH ORDINALITY u (t, n) GROUP BY n / 3"
               .replace("tagquery_or(array_agg(t))", "string_agg('\"' || replace(replace(t, '\\', '\\\\'), '\"', '\\\"') || '\"', ' | ')::tagquery"), (accepted,))
cursor.execute("SELECT count(*) FROM public.unicode_tags WHERE tags::text::tagset <> tags OR tags::text[]::tagset <> tags OR query::text::tagquery <> query OR NOT tags @@ query")
check("text round trip", cursor.fetchone()[0], 0)
for form in ("text", "binary"):
    data = io.BytesIO()
    cursor.copy_expert("COPY public.unicode_tags TO STDOUT (FORMAT %s)" % form, data)
    data.seek(0)
    cursor.execute("CREATE TEMP TABLE copied_%s (LIKE public.unicode_tags)" % form)
    cursor.copy_expert("COPY copied_%s FROM STDIN (FORMAT %s)" % (form, form), data)
    cursor.execute("SELECT count(*) FROM public.unicode_tags u FULL JOIN copied_%s c USING (id) WHERE u.tags IS DISTINCT FROM c.tags OR u.query IS DISTINCT FROM c.query" % form)
    check("COPY " + form, cursor.fetchone()[0], 0)
print("%d strings, %d of them tags, %d compared with the model" % (len(texts), len(accepted), compared))

print("failures", failures)
sys.exit(1 if failures else 0)
