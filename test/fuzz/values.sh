#!/bin/sh
# Fuzzes the readers of points_lots, rfm, rfm_model and purchase_months with address and undefined-behaviour sanitizers.
#   sh test/fuzz/values.sh [SECONDS [TARGET...]]      SECONDS for each target, 300 when not given
# The text forms of rfm_model and purchase_months, and rules, are read with the server's own numeric, jsonb and parser: test/py/type_fuzz.py feeds those to a server.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-300}
[ $# -eq 0 ] || shift
targets=${*:-points_lots_in points_lots_recv rfm_in rfm_recv rfm_model_recv purchase_months_recv}
pg_config=${PG_CONFIG:-pg_config}
work=$(mktemp -d "${TMPDIR:-/tmp}/crm-fuzz.XXXXXX")
status=0
for target in $targets; do
	${CLANG:-clang} -w -g -O1 -no-pie -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -DFUZZ_TARGET="\"$target\"" -DCRM_VERSION='"fuzz"' -Isrc \
		-I"$($pg_config --includedir-server)" -o "$work/$target" test/fuzz/values.c src/points/lots.c src/points/lots_io.c src/value/rfm.c src/value/rfm_model.c \
		src/store/purchase_months.c src/store/money.c src/base/number.c \
		-L"$($pg_config --libdir)" -L"$($pg_config --pkglibdir)" -lpgcommon -lpgport -lm -Wl,--allow-multiple-definition -Wl,--unresolved-symbols=ignore-all
	mkdir -p "$work/corpus_$target"
	printf '{100 until 2026-12-31T00:00:00Z, 20 from 2026-05-01T00:00:00Z until 2027-01-31T16:00:00Z, 50}' >"$work/corpus_$target/lots"
	printf '5-4-3' >"$work/corpus_$target/rfm"
	printf '\000\000\000\001\000\000\000\000\000\000\000\144\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000' >"$work/corpus_$target/one"
	ASAN_OPTIONS=detect_leaks=0 "$work/$target" -max_total_time="$seconds" -max_len=2000 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
		-artifact_prefix="$work/$target-" "$work/corpus_$target" >"$work/$target.log" 2>&1 || status=1
	printf '%s: ' "$target"
	sed -n 's/^stat::number_of_executed_units: */executions /p' "$work/$target.log" | tr '\n' ' '
	ls "$work" | grep -qE "^$target-(crash|timeout|oom|leak)" && { echo "FOUND SOMETHING, see $work"; status=1; } || echo "nothing found"
done
[ $status -ne 0 ] || rm -rf "$work"
[ $status -eq 0 ] || echo "fuzzing failed; logs are in $work"
exit $status
