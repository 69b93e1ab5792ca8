"""Random valid rules: the same answer by the evaluator of the order path, by crm.rule_sql, and by the expression itself run as SQL.

usage: rule_random.py CONNECTION [COUNT [SEED]]
"""
import random
import sys

import psycopg2

connection = psycopg2.connect(sys.argv[1])
count = int(sys.argv[2]) if len(sys.argv) > 2 else 10000
seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 30)
print("seed", seed)
rng = random.Random(seed)
cursor = connection.cursor()

NOW = "timestamptz '2026-03-15 01:30:00+08'"
cursor.execute("""
    SET timezone = 'Asia/Shanghai'; SET datestyle = 'ISO, YMD'; SET search_path = crm, public;
    CREATE TEMP TABLE person (id bigint, orders bigint, visits bigint, spend numeric, score double precision, city text, name text,
                              day date, joined date, at timestamptz, seen timestamptz, span interval, vip boolean, fan boolean)
""")


def maybe(value, nulls=0.15):
    return None if rng.random() < nulls else value


for i in range(40):
    cursor.execute("INSERT INTO person VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)", (
        i, maybe(rng.randint(-3, 12)), maybe(rng.randint(0, 5)), maybe(str(rng.randint(-500, 300000) / 100)), maybe(rng.random() * 4 - 1),
        maybe(rng.choice(["上海", "Beijing", "北京", "a%b", "", "Bern"])), maybe(rng.choice(["abc", "ABC", "a'b", "a\\b", "x_y"])),
        maybe("2026-%02d-%02d" % (rng.randint(1, 4), rng.randint(1, 28))), maybe("2025-%02d-%02d" % (rng.randint(1, 12), rng.randint(1, 28))),
        maybe("2026-%02d-%02d %02d:30:00+08" % (rng.randint(1, 4), rng.randint(1, 28), rng.randint(0, 23))),
        maybe("2025-%02d-%02d 00:00:00+08" % (rng.randint(1, 12), rng.randint(1, 28))),
        maybe("%d days %d hours" % (rng.randint(0, 100), rng.randint(0, 30))), maybe(rng.random() < 0.5), maybe(rng.random() < 0.5)))


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def number(depth):
    pick = rng.random()
    if depth <= 0 or pick < 0.35:
        return rng.choice(["orders", "visits", "spend", "score"])
    if pick < 0.6:
        return rng.choice(["0", "1", "2", "3", "5", "-1", "7", "1.5", "100", "-2.25", "0.1", "1500", "'2'::bigint", "(-3)::numeric"])
    if pick < 0.75:
        return "(%s %s %s)" % (number(depth - 1), rng.choice("+-*"), number(depth - 1))
    if pick < 0.8:
        return "(%s / %s)" % (number(0), rng.choice(["2", "-3", "1.5"]))
    if pick < 0.82:
        return "(%s %% %s)" % (rng.choice(["orders", "visits", "spend"]), rng.choice(["2", "3"]))
    if pick < 0.86:
        return "(- %s)" % number(0)
    if pick < 0.9:
        return "%s(%s)" % (rng.choice(["abs", "floor", "ceil", "round", "ceiling"]), number(depth - 1))
    if pick < 0.93:
        return "%s(%s, %s)" % (rng.choice(["coalesce", "greatest", "least"]), number(depth - 1), number(depth - 1))
    if pick < 0.95:
        return "round(%s, %d)" % (rng.choice(["spend", "orders"]), rng.randint(0, 2))
    if pick < 0.97:
        return "length(%s)" % text(depth - 1)
    if pick < 0.985:
        return "(%s - %s)" % (rng.choice(["day", "joined", "CURRENT_DATE"]), rng.choice(["day", "joined", "CURRENT_DATE"]))
    return "extract(%s FROM %s)" % (rng.choice(["year", "quarter", "month", "week", "day", "isodow", "dow"]), rng.choice(["day", "joined", "at", "seen"]))


def text(depth):
    pick = rng.random()
    if depth <= 0 or pick < 0.7:
        return rng.choice(["city", "name"])
    if pick < 0.85:
        return "%s(%s)" % (rng.choice(["lower", "upper"]), text(depth - 1))
    return "coalesce(%s, %s)" % (text(depth - 1), literal(rng.choice(["abc", "北京", "it's"])))


def span():
    return "interval '%s'" % rng.choice(["90 days", "1 month", "1 year 2 months", "3 hours", "36 hours", "1 day 12 hours", "2 weeks", "45 minutes"])


def moment(depth):
    pick = rng.random()
    if depth <= 0 or pick < 0.4:
        return rng.choice(["at", "seen"])
    if pick < 0.55:
        return "now()"
    if pick < 0.85:
        return "%s %s %s" % (rng.choice(["at", "seen", "now()", "CURRENT_TIMESTAMP"]), rng.choice("+-"), span())
    return "timestamptz '2026-0%d-1%d 0%d:30+08'" % (rng.randint(1, 3), rng.randint(0, 9), rng.randint(0, 9))


def day(depth):
    pick = rng.random()
    if depth <= 0 or pick < 0.5:
        return rng.choice(["day", "joined"])
    if pick < 0.7:
        return "CURRENT_DATE - %d" % rng.randint(0, 100)
    if pick < 0.8:
        return "%s + %d" % (rng.choice(["day", "joined", "CURRENT_DATE"]), rng.randint(0, 40))
    if pick < 0.9:
        return "date '2026-0%d-1%d'" % (rng.randint(1, 3), rng.randint(0, 9))
    return rng.choice(["at::date", "CAST(seen AS date)", "CURRENT_DATE"])


def comparison():
    return rng.choice(["=", "<>", "<", "<=", ">", ">=", "!="])


def pair(make, depth):
    pick = rng.random()
    if pick < 0.6:
        return "%s %s %s" % (make(depth), comparison(), make(depth))
    if pick < 0.8:
        return "%s %sBETWEEN %s AND %s" % (make(depth), rng.choice(["", "NOT "]), make(depth), make(depth))
    if pick < 0.9:
        return "%s IS %sDISTINCT FROM %s" % (make(depth), rng.choice(["", "NOT "]), make(depth))
    return "(%s) IS %sNULL" % (make(depth), rng.choice(["", "NOT "]))


def condition(depth):
    pick = rng.random()
    if depth > 0 and pick < 0.45:
        parts = [condition(depth - 1) for _ in range(rng.randint(2, 3))]
        joined = rng.choice([" AND ", " OR "]).join("(%s)" % part if rng.random() < 0.6 else part for part in parts)
        return "(%s)" % joined
    if depth > 0 and pick < 0.52:
        return "NOT (%s)" % condition(depth - 1)
    if depth > 0 and pick < 0.56:
        return "(%s) IS %s%s" % (condition(depth - 1), rng.choice(["", "NOT "]), rng.choice(["TRUE", "FALSE", "UNKNOWN", "NULL"]))
    pick = rng.random()
    if pick < 0.3:
        return pair(number, 2)
    if pick < 0.4:
        return "%s %sIN (%s)" % (rng.choice(["orders", "visits", "spend"]), rng.choice(["", "NOT "]), ", ".join(rng.choice(["1", "2", "-1", "5", "3"]) for _ in range(rng.randint(1, 4))))
    if pick < 0.5:
        return pair(text, 1)
    if pick < 0.56:
        return "%s %s%s %s" % (text(1), rng.choice(["", "NOT "]), rng.choice(["LIKE", "ILIKE"]), literal(rng.choice(["a%", "%b", "_", "%", "B%n", "x\\_y", "上%"])))
    if pick < 0.62:
        return "%s %sIN (%s)" % (rng.choice(["city", "name"]), rng.choice(["", "NOT "]), ", ".join(literal(rng.choice(["上海", "abc", "", "Bern"])) for _ in range(rng.randint(1, 3))))
    if pick < 0.78:
        return pair(moment, 1)
    if pick < 0.88:
        return pair(day, 1)
    if pick < 0.92:
        return "%s %s %s" % (rng.choice(["at", "seen"]), comparison(), rng.choice(["day", "joined", "CURRENT_DATE", "'2026-02-01'"]))
    if pick < 0.95:
        return "%s %s %s" % (rng.choice(["now() - at", "at - seen", "span"]), comparison(), rng.choice([span(), "span"]))
    return rng.choice(["vip", "fan", "vip = fan", "vip IS NOT TRUE", "true", "NOT fan"])


def check(batch):
    cursor.execute("SELECT t.rule::rule::text, t.rule::rule::text::rule::text FROM unnest(%s) WITH ORDINALITY t (rule, n) ORDER BY n", (batch,))
    canonical = []
    for written, (first, second) in zip(batch, cursor.fetchall()):
        if first != second:
            sys.exit("canonical form differs when read back:\n%s\n%s\n%s" % (written, first, second))
        canonical.append(first)
    cursor.execute("SELECT rule_sql(t.rule::rule, 'person', 'p', %s) FROM unnest(%%s) WITH ORDINALITY t (rule, n) ORDER BY n" % NOW, (batch,))
    by_sql = [row[0] for row in cursor.fetchall()]
    columns = []
    for written, first, sql in zip(batch, canonical, by_sql):
        plain = written.replace("now()", NOW).replace("CURRENT_TIMESTAMP", NOW).replace("CURRENT_DATE", "date '2026-03-15'")
        again = first.replace("now()", NOW).replace("CURRENT_DATE", "date '2026-03-15'")
        columns += ["coalesce((%s), false)" % plain, "coalesce((%s), false)" % again, "coalesce((%s), false)" % sql,
                    "rule_test(%s, p, %s)" % (literal(first), NOW)]
    cursor.execute("SELECT " + ", ".join(columns) + " FROM person p ORDER BY id")
    true = 0
    for row in cursor.fetchall():
        for i, written in enumerate(batch):
            plain, again, sql, compiled = row[4 * i:4 * i + 4]
            true += plain
            if not plain == again == sql == compiled:
                sys.exit("answers differ: as SQL %s, canonical form %s, rule_sql %s, evaluator %s\n%s\n%s" % (plain, again, sql, compiled, written, by_sql[i]))
    return true


done = true = 0
while done < count:
    batch = [condition(rng.randint(0, 3)) for _ in range(min(50, count - done))]
    true += check(batch)
    done += len(batch)
share = true / (40.0 * done)
print("%d rules on 40 rows, %.0f %% true" % (done, 100 * share))
if not 0.1 < share < 0.9:
    sys.exit("the rules decide nothing")
