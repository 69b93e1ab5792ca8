#!/bin/sh
# RFM of a million customers: rfm_fit and rfm_score against percentile_cont and CASE.
set -eu
n=$(awk -v s="${CRM_BENCH_SCALE:-1}" 'BEGIN { printf "%d", 1000000 * s }')
run() { psql -XAtq -v ON_ERROR_STOP=1 "$@"; }
run >/dev/null <<SQL
CREATE EXTENSION crm;
SELECT setseed(0.5);
CREATE TABLE buyer AS
SELECT g AS customer_id, (random() * 700)::int AS recency, (1 + random() ^ 4 * 30)::bigint AS frequency, round((random() ^ 3 * 5000)::numeric, 2) AS monetary
FROM generate_series(1, $n) g;
SQL
run -c 'VACUUM ANALYZE buyer'

ours="SELECT crm.r(s) AS r, crm.f(s) AS f, crm.m(s) AS m, n FROM (
SELECT crm.rfm_score((SELECT crm.rfm_fit(recency, frequency, monetary) FROM buyer), recency, frequency, monetary) AS s, count(*) AS n FROM buyer GROUP BY 1) x"
score() { # score COLUMN CUTS FIRST..FIFTH
	printf 'CASE WHEN %s <= %s[1] THEN %s WHEN %s <= %s[2] THEN %s WHEN %s <= %s[3] THEN %s WHEN %s <= %s[4] THEN %s ELSE %s END' \
		"$1" "$2" "$3" "$1" "$2" "$4" "$1" "$2" "$5" "$1" "$2" "$6" "$7"
}
cuts() { printf "(SELECT percentile_cont('{.2,.4,.6,.8}'::float8[]) WITHIN GROUP (ORDER BY %s) FROM buyer)" "$1"; }
theirs="WITH c AS MATERIALIZED (SELECT $(cuts recency) AS r, $(cuts frequency) AS f, $(cuts monetary::float8) AS m)
SELECT $(score recency '(SELECT r FROM c)' 5 4 3 2 1) AS r, $(score frequency '(SELECT f FROM c)' 1 2 3 4 5) AS f,
$(score monetary '(SELECT m FROM c)' 1 2 3 4 5) AS m, count(*) AS n FROM buyer GROUP BY 1, 2, 3"
settings="SET jit = off; SET work_mem = '256MB';"

best() { # best QUERY: least of five times in ms
	for i in 1 2 3 4 5; do
		printf '%s\n\\timing on\nSELECT count(*) FROM (%s) q;\n' "$settings" "$1" | run | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
	done | sort -n | head -n 1
}
different=$(run -c "$settings SELECT count(*) FROM ((($ours) EXCEPT ALL ($theirs)) UNION ALL (($theirs) EXCEPT ALL ($ours))) d" | tail -n 1)
a=$(best "$ours")
b=$(best "$theirs")
serial="SET max_parallel_workers_per_gather = 0;"
settings="$settings $serial"
c=$(best "$ours")
d=$(best "$theirs")
echo "RFM of $n customers, fit and score; groups of scores that differ: $different"
echo
echo "| | crm, ms | percentile_cont and CASE, ms | ratio |"
echo "|---|---|---|---|"
awk -v a="$a" -v b="$b" -v c="$c" -v d="$d" 'BEGIN {
	printf "| parallel plans allowed | %.0f | %.0f | %.1f |\n", a, b, b / a
	printf "| one process | %.0f | %.0f | %.1f |\n", c, d, d / c }'
echo
echo '```'
run -c "EXPLAIN (COSTS OFF) SELECT crm.rfm_fit(recency, frequency, monetary) FROM buyer" -c "EXPLAIN (COSTS OFF) $ours"
echo '```'
[ "$different" = 0 ]
