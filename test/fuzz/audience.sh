#!/bin/sh
# Fuzzes the readers of audiences with address and undefined-behaviour sanitizers, and their algebra against CRoaring.
#   sh test/fuzz/audience.sh [SECONDS [TARGET...]]      SECONDS for each target, 1200 when not given
# What is found stays in the folder named at the end; test/fuzz/corpus holds the inputs to begin with.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-1200}
[ $# -eq 0 ] || shift
targets=${*:-audience_in audience_recv}
pg_config=${PG_CONFIG:-pg_config}
work=$(mktemp -d "${TMPDIR:-/tmp}/crm-fuzz.XXXXXX")
status=0
for target in $targets; do
	${CLANG:-clang} -w -g -O1 -no-pie -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -DFUZZ_TARGET="\"$target\"" -DCRM_VERSION='"fuzz"' -Isrc \
		-I"$($pg_config --includedir-server)" -o "$work/$target" test/fuzz/audience.c src/tags/audience_format.c src/tags/audience_write.c \
		src/tags/audience_kernel.c src/tags/audience_op.c src/tags/audience_io.c src/tags/audience_read.c src/tags/audience_set.c src/tags/audience_arrays.c \
		-L"$($pg_config --libdir)" -L"$($pg_config --pkglibdir)" -lpgcommon -lpgport -lroaring -lm -Wl,--unresolved-symbols=ignore-all
	mkdir -p "$work/corpus_$target"
	ASAN_OPTIONS=detect_leaks=0 "$work/$target" -max_total_time="$seconds" -max_len=20000 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix="$work/$target-" "$work/corpus_$target" "test/fuzz/corpus/$target" >"$work/$target.log" 2>&1 || status=1
	printf '%s: ' "$target"
	sed -n 's/^stat::number_of_executed_units: */executions /p' "$work/$target.log" | tr '\n' ' '
	ls "$work" | grep -qE "^$target-(crash|timeout|oom|leak)" && { echo "FOUND SOMETHING, see $work"; status=1; } || echo "nothing found"
done
[ $status -ne 0 ] || rm -rf "$work"
[ $status -eq 0 ] || echo "fuzzing failed; logs are in $work"
exit $status
