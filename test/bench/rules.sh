#!/bin/sh
# Tags by rule and customer_360. CRM_BENCH_SCALE: 1 is full size, 1,000,000 customers. tiers.py has evaluate_tiers,
# orderpath.py what rules and tiers add to an order.
set -eu
scale=$(awk "BEGIN { s = 1000 * ${CRM_BENCH_SCALE:-1}; print s < 5 ? 5 : int(s) }")
db=crm_bench_rules
PGOPTIONS="-c jit=off"
export PGOPTIONS
dropdb --if-exists "$db" 2>/dev/null || true
createdb "$db"
log=$(mktemp -d)
script=$(mktemp)
trap 'dropdb --if-exists --force "$db" 2>/dev/null || true; rm -rf "$script" "$log"' EXIT
chmod o+r "$script"
sql() { psql -X -q -t -A -v ON_ERROR_STOP=1 -d "$db" "$@"; }
seconds() {
	start=$(date +%s.%N)
	sql -c "$1" >/dev/null
	awk -v a="$start" -v b="$(date +%s.%N)" 'BEGIN { printf "%.2f", b - a }'
}

sql <<SQL >/dev/null
SET client_min_messages = warning;
CREATE EXTENSION crm;
SELECT crm.create_store('shop');
SELECT shop.install_preset('textbook');
-- What is added to an order is that of tiers and rules alone.
DELETE FROM shop.points_rule;
SELECT setseed(0.5);
INSERT INTO shop.customer (joined_at) SELECT now() - interval '3 years' FROM generate_series(1, $scale * 1000);
INSERT INTO shop.purchase (customer_id, order_no, amount, paid_at, history)
SELECT 1 + floor(power(random(), 1.5) * $scale * 1000)::bigint, 'o' || i, round((10 + random() * random() * 600)::numeric, 2),
       now() - interval '800 days' + i * interval '800 days' / ($scale * 5000), true
FROM generate_series(1, $scale * 5000) i;
SELECT shop.refit_rfm();
SELECT shop.refit_value_classes();
VACUUM ANALYZE;
CALL shop.evaluate_tiers();
SQL

sql <<'SQL' >/dev/null
INSERT INTO shop.tag_rule (tag, rule)
SELECT 'rule' || i, (CASE i % 5
    WHEN 0 THEN format('spend_12m >= %s AND order_count >= %s AND last_order_at > now() - interval ''%s days''', 2000 + i * 500, i % 8, 100 + i * 10)
    WHEN 1 THEN format('order_count >= %s', 4 + i)
    WHEN 2 THEN format('spend_total >= %s AND refunded_total < %s', i * 500, i)
    WHEN 3 THEN format('orders_12m >= %s AND avg_order_12m < %s', 5 + i, 40 + 4 * i)
    ELSE format('first_order_at < now() - interval ''%s days'' AND order_count >= %s', i * 20, 10 + i) END)::crm.rule
FROM generate_series(1, 50) i;
SQL
tags=$(seconds "CALL shop.apply_tag_rules()")
sql -c "VACUUM ANALYZE"
tags_again=$(seconds "CALL shop.apply_tag_rules()")
one=$(seconds "SELECT count(*) FROM shop.customer_360 WHERE spend_12m >= 1000 AND order_count >= 3")
all=$(seconds "COPY (SELECT * FROM shop.customer_360) TO '/dev/null'")

printf '\\set id random(1, %s)\nSELECT * FROM shop.customer_360 WHERE customer_id = :id;\n' "$((scale * 1000))" >"$script"
(cd "$log" && pgbench -n -M prepared -T 10 -l -f "$script" "$db" >/dev/null 2>&1)
p99=$(cat "$log"/pgbench_log* | awk '{print $3}' | sort -n | awk '{v[NR] = $1} END {printf "%.2f", v[int(NR * 0.99)] / 1000}')

cat <<MD
| $scale,000 customers, $((scale * 5)),000 orders | crm | peer | ratio |
|---|---|---|---|
| 50 tag rules, first pass | $tags s | 50 × $one s (a pass a rule) | $(awk -v a="$one" -v b="$tags" 'BEGIN { printf "%.1f", 50 * a / b }') × faster |
| 50 tag rules, nothing to change | $tags_again s | | |
| customer_360 of all customers, all columns | $all s | | |
| customer_360 of one customer, p99 | $p99 ms | | |
MD
