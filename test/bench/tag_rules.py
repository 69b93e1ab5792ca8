#!/usr/bin/python3
"""50 tag rules in one pass of apply_tag_rules against 50 UPDATE statements, with the same tags as outcome; customer_360 of one customer.

The peer is what a careful writer would do: the figures that the rules name are put into a table once, with the tags beside
them, so that each of the fifty statements reads one narrow table and writes only who changes. The peer keeps no index and no history of
tags, and no note of which tags a rule has set. CRM_BENCH_SCALE: 1 is 1,000,000 customers."""
import glob
import os
import subprocess
import sys
import tempfile

from lib.shop import Shop, scaled

N = scaled(1000000, 5000)
shop = Shop()
run = shop.run
timed = shop.timed
shop.customers(N)
shop.orders(5 * N, N, "now() - interval '800 days'", "now()", 1.5)
run("SELECT shop.refit_rfm()")
run("SELECT shop.refit_value_classes()")
run("VACUUM ANALYZE")

RULES = [(
    f"spend_12m >= {2000 + i * 500} AND order_count >= {i % 8} AND last_order_at > now() - interval '{100 + i * 10} days'",
    f"order_count >= {4 + i}",
    f"spend_total >= {i * 500} AND refunded_total < {i}",
    f"orders_12m >= {5 + i} AND avg_order_12m < {40 + 4 * i}",
    f"first_order_at < now() - interval '{i * 20} days' AND order_count >= {10 + i}",
)[i % 5] for i in range(1, 51)]
for i, rule in enumerate(RULES, 1):
    run("INSERT INTO shop.tag_rule (tag, rule) VALUES (%s, %s)", f"rule{i}", rule)
run("CREATE SCHEMA peer")
run("CREATE TABLE peer.customer (customer_id bigint PRIMARY KEY, tags text[] NOT NULL) WITH (fillfactor = 90)")
run("INSERT INTO peer.customer SELECT customer_id, '{}' FROM shop.customer")
run("VACUUM ANALYZE peer.customer")


def peer():
    """All fifty statements; seconds on the wall and of the processor, figures included."""
    wall, used = timed("""CREATE TABLE peer.figures AS
        SELECT s.customer_id, s.order_count, s.spend_total, s.refunded_total, s.first_order_at, s.last_order_at,
               coalesce(p.orders, 0) AS orders_12m, coalesce(p.spend, 0) AS spend_12m, round(p.spend / p.orders, 4) AS avg_order_12m
        FROM shop.customer_summary s
        LEFT JOIN (SELECT customer_id, count(*) AS orders, sum(net) AS spend FROM shop.purchase
                   WHERE order_at > now() - interval '12 months' AND order_at <= now() GROUP BY customer_id) p USING (customer_id)""")
    for text in ["ALTER TABLE peer.figures ADD PRIMARY KEY (customer_id)", "ANALYZE peer.figures"] + [
            f"""UPDATE peer.customer c
                SET tags = CASE WHEN f.holds THEN array_append(c.tags, 'rule{i}') ELSE array_remove(c.tags, 'rule{i}') END
                FROM (SELECT customer_id, coalesce({rule}, false) AS holds FROM peer.figures) f
                WHERE f.customer_id = c.customer_id AND f.holds <> ('rule{i}' = ANY (c.tags))""" for i, rule in enumerate(RULES, 1)]:
        more = timed(text)
        wall, used = wall + more[0], used + more[1]
    run("DROP TABLE peer.figures")
    return wall, used


def pgbench(script, seconds):
    """Sorted latencies in milliseconds of one client with prepared statements."""
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/script", "w") as file:
            file.write(script)
        subprocess.run(["pgbench", "-n", "-M", "prepared", "-T", str(seconds), "-l", "-f", f"{folder}/script"], cwd=folder, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return sorted(float(line.split()[2]) / 1000 for name in glob.glob(f"{folder}/pgbench_log*") for line in open(name))


rows = []
for name in "first: all tags are new", "again: nothing changes", "after a week's orders":
    if name.startswith("after"):
        shop.orders(N // 20, N, "now() - interval '7 days'", "now()", 1.5)
    run("CHECKPOINT")
    ours = timed("CALL shop.apply_tag_rules()")
    theirs = peer()
    wrong = run("""SELECT count(*) FROM shop.customer c JOIN peer.customer p USING (customer_id)
                   WHERE NOT (c.tags::text[] @> p.tags AND c.tags::text[] <@ p.tags)""")[0]
    if wrong:
        sys.exit(f"{wrong} customers have other tags")
    rows.append(f"| {name} | {ours[0]:.1f} | {theirs[0]:.1f} | {theirs[0] / ours[0]:.1f} | {theirs[1] / ours[1]:.1f} |")
    run("VACUUM ANALYZE peer.customer")
    run("VACUUM ANALYZE shop.customer")
tags = run("SELECT sum(crm.cardinality(tags)) FROM shop.customer")[0]
one = pgbench(f"\\set id random(1, {N})\nSELECT * FROM shop.customer_360 WHERE customer_id = :id;\n", 10)
bare = pgbench(f"\\set id random(1, {N})\nSELECT * FROM shop.customer_summary WHERE customer_id = :id;\n", 5)
# Counting rows would leave out the columns.
everyone = timed("COPY (SELECT * FROM shop.customer_360) TO '/dev/null'")

print(f"\n50 tag rules, {N:,} customers, {5 * N:,} orders, {tags:,} tags; the same tags by both\n")
print("| | apply_tag_rules, s | 50 UPDATE, s | ratio | ratio, processor |")
print("|---|---|---|---|---|")
print("\n".join(rows))
print(f"\n| customer_360 of one customer, prepared | median, ms | p99, ms |\n|---|---|---|")
for name, took in ("customer_360", one), ("customer_summary, for comparison", bare):
    print(f"| {name} | {took[len(took) // 2]:.2f} | {took[int(len(took) * 0.99)]:.2f} |")
print(f"\ncustomer_360 of all, all columns: {everyone[0]:.1f} s, {everyone[1] / N * 1e6:.0f} µs of processor each")
shop.check()
