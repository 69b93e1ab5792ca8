#!/bin/sh
# Tiers, tags by rule, customer_360 and what the order path pays for them. CRM_BENCH_SCALE: 1 is full size, 1,000,000 customers.
# The peer is PL/pgSQL that does the same work, customer by customer, with the same result.
set -eu
scale=$(awk "BEGIN { s = 1000 * ${CRM_BENCH_SCALE:-1}; print s < 5 ? 5 : int(s) }")
db=crm_bench_rules
PGOPTIONS="-c jit=off"
export PGOPTIONS
dropdb --if-exists "$db" 2>/dev/null || true
createdb "$db"
trap 'dropdb --if-exists "$db" 2>/dev/null || true' EXIT
sql() { psql -X -q -t -A -v ON_ERROR_STOP=1 -d "$db" "$@"; }
seconds() {
	start=$(date +%s.%N)
	sql -c "$1" >/dev/null
	awk -v a="$start" -v b="$(date +%s.%N)" 'BEGIN { printf "%.2f", b - a }'
}

sql <<SQL >/dev/null
CREATE EXTENSION crm;
SELECT crm.create_store('shop');
SELECT shop.install_preset('textbook');
SELECT setseed(0.5);
INSERT INTO shop.customer (joined_at) SELECT now() - interval '3 years' FROM generate_series(1, $scale * 1000);
INSERT INTO shop.purchase (customer_id, order_no, amount, paid_at, history)
SELECT 1 + floor(random() * $scale * 1000)::bigint, 'o' || i, round((10 + random() * random() * 600)::numeric, 2), now() - random() * interval '800 days', true
FROM generate_series(1, $scale * 5000) i;
SELECT shop.refit_rfm();
SELECT shop.refit_value_classes();
ANALYZE;
CREATE TABLE peer_member (customer_id bigint PRIMARY KEY, tier text);
CREATE TABLE peer_change (customer_id bigint, from_tier text, to_tier text, value numeric, at timestamptz);
CREATE PROCEDURE peer_evaluate(as_of timestamptz) LANGUAGE plpgsql AS \$\$
DECLARE
    c record;
    spend numeric;
    total numeric;
    found text;
    held text;
BEGIN
    FOR c IN SELECT customer_id FROM shop.customer ORDER BY customer_id LOOP
        SELECT coalesce(sum(net) FILTER (WHERE order_at > as_of - interval '12 months'), 0), coalesce(sum(net), 0) INTO spend, total
        FROM shop.purchase WHERE customer_id = c.customer_id AND order_at <= as_of;
        SELECT tier INTO held FROM peer_member WHERE customer_id = c.customer_id;
        found := CASE WHEN spend >= 3000 OR total >= 5000 THEN 'diamond' WHEN spend >= 1500 OR total >= 2500 THEN 'gold'
                      WHEN spend >= 500 OR total >= 800 THEN 'silver' ELSE 'ordinary' END;
        IF found <> coalesce(held, 'ordinary') THEN
            INSERT INTO peer_change VALUES (c.customer_id, coalesce(held, 'ordinary'), found, spend, as_of);
            INSERT INTO peer_member VALUES (c.customer_id, found) ON CONFLICT (customer_id) DO UPDATE SET tier = EXCLUDED.tier;
        END IF;
    END LOOP;
END \$\$;
SQL

at=$(sql -c "SELECT now()")
peer=$(seconds "CALL peer_evaluate('$at')")
ours=$(seconds "CALL shop.evaluate_tiers('$at')")
again=$(seconds "CALL shop.evaluate_tiers('$at')")
differ=$(sql -c "SELECT count(*) FROM (SELECT customer_id, tier FROM peer_member EXCEPT SELECT customer_id, tier FROM shop.tier_member) d")

sql <<'SQL' >/dev/null
INSERT INTO shop.tag_rule (tag, rule)
SELECT 'rule' || i, format('spend_12m >= %s AND order_count >= %s AND last_order_at > now() - interval ''%s days''', i * 20, i % 8, 100 + i * 10)::crm.rule
FROM generate_series(1, 50) i;
SQL
tags=$(seconds "CALL shop.apply_tag_rules()")
tags_again=$(seconds "CALL shop.apply_tag_rules()")
one=$(seconds "SELECT count(*) FROM shop.customer_360 WHERE spend_12m >= 1000 AND order_count >= 3")

script=$(mktemp)
chmod o+r "$script"
printf '\\set id random(1, %s)\nSELECT * FROM shop.customer_360 WHERE customer_id = :id;\n' "$((scale * 1000))" >"$script"
log=$(mktemp -d)
(cd "$log" && pgbench -n -M prepared -T 10 -l -f "$script" "$db" >/dev/null)
p99=$(cat "$log"/pgbench_log* | awk '{print $3}' | sort -n | awk '{v[NR] = $1} END {printf "%.2f", v[int(NR * 0.99)] / 1000}')

printf '\\set id random(1, %s)\nINSERT INTO shop.purchase (customer_id, order_no, amount) VALUES (:id, gen_random_uuid()::text, 20);\n' "$((scale * 1000))" >"$script"
with=$(pgbench -n -M prepared -T 10 -f "$script" "$db" | sed -n 's/^latency average = \(.*\) ms/\1/p')
sql -c "UPDATE shop.tag_rule SET enabled = false; UPDATE shop.tier SET qualify = NULL" >/dev/null
without=$(pgbench -n -M prepared -T 10 -f "$script" "$db" | sed -n 's/^latency average = \(.*\) ms/\1/p')
rm -rf "$script" "$log"

cat <<MD
| $scale,000 customers, $((scale * 5)),000 orders | crm | peer | ratio |
|---|---|---|---|
| evaluate_tiers, first | $ours s | $peer s (PL/pgSQL) | $(awk -v a="$peer" -v b="$ours" 'BEGIN { printf "%.1f", a / b }') × faster; customers that differ: $differ |
| evaluate_tiers, again | $again s | | |
| 50 tag rules, first pass | $tags s | 50 × $one s (a pass a rule) | $(awk -v a="$one" -v b="$tags" 'BEGIN { printf "%.1f", 50 * a / b }') × faster |
| 50 tag rules, nothing to change | $tags_again s | | |
| customer_360 of one customer, p99 | $p99 ms | | |
| order insert with tiers and 50 rule tags | $with ms | $without ms (without them) | + $(awk -v a="$with" -v b="$without" 'BEGIN { printf "%.0f", 100 * (a / b - 1) }') % |
MD
