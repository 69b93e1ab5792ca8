#!/bin/sh
# Fuzzes the reader of comma-separated values with address and undefined-behaviour sanitizers: sh test/fuzz/csv.sh [SECONDS]
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-1200}
work=$(mktemp -d "${TMPDIR:-/tmp}/crm-fuzz.XXXXXX")
${CLANG:-clang} -g -O1 -Wall -Wextra -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -Isrc -o "$work/csv" test/fuzz/csv.c src/exchange/csv.c
mkdir -p "$work/corpus"
cp test/data/*.csv "$work/corpus/"
printf '\001"a""b",c\r\n"d\ne";f\tg\n"open' >"$work/corpus/seed"
status=0
"$work/csv" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$work/csv-" "$work/corpus" >"$work/log" 2>&1 || status=1
sed -n 's/^stat::number_of_executed_units: */csv: executions /p' "$work/log"
if [ $status -eq 0 ]; then
	echo "nothing found"
	rm -rf "$work"
else
	echo "found something, see $work"
fi
exit $status
