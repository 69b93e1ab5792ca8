#!/bin/sh
# One customer's timeline and the agents' report over 1,000,000 interactions (CRM_BENCH_SCALE=1).
set -eu
n=$(awk "BEGIN { print int(1000000 * ${CRM_BENCH_SCALE:-1}) }")
psql -X -q -v ON_ERROR_STOP=1 <<SQL >/dev/null
SET client_min_messages = warning;
CREATE EXTENSION crm;
SELECT crm.create_store('shop');
INSERT INTO shop.agent (agent, name) SELECT 'a' || i, 'a' || i FROM generate_series(1, 20) i;
INSERT INTO shop.customer (customer_id, joined_at) SELECT i, timestamptz '2025-01-01' FROM generate_series(1, $n / 20) i;
INSERT INTO shop.interaction (customer_id, at, channel, direction, agent, body)
    SELECT 1 + (i::bigint * 7919) % ($n / 20), timestamptz '2025-01-01' + i * interval '20 seconds', 'wechat', CASE WHEN i % 2 = 0 THEN 'in' ELSE 'out' END,
           CASE WHEN i % 2 = 1 THEN 'a' || 1 + i % 20 END, 'text' FROM generate_series(1, $n) i;
ANALYZE;
SQL
report=$(psql -X -At -c '\timing on' -c "SELECT count(*) FROM shop.response_report('2025-01-01', '2027-01-01')" | sed -n 's/^Time: \([0-9.]*\).*/\1/p')
script=$(mktemp)
printf '%s\n' "\\set c random(1, $n / 20)" 'SELECT count(*) FROM shop.timeline(:c, 50);' >"$script"
log=$(mktemp -d)
(cd "$log" && pgbench -n -M prepared -c 1 -t 2000 -l -f "$script" >/dev/null 2>&1)
p99=$(cat "$log"/pgbench_log.* | awk '{ print $3 / 1000 }' | sort -n | awk '{ v[NR] = $1 } END { printf "%.2f", v[int(NR * 0.99)] }')
p50=$(cat "$log"/pgbench_log.* | awk '{ print $3 / 1000 }' | sort -n | awk '{ v[NR] = $1 } END { printf "%.2f", v[int(NR * 0.5)] }')
rm -rf "$log" "$script"
echo "| $n interactions | ms | bar |"
echo "|---|---|---|"
echo "| timeline of one customer, median | $p50 | |"
echo "| timeline of one customer, p99 | $p99 | 5 |"
echo "| response report of all agents, one pass | $report | |"
