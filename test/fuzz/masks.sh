#!/bin/sh
# Fuzzes the masks, the validators, and the readers of sealed values with address and undefined-behaviour sanitizers.
#   sh test/fuzz/masks.sh [SECONDS [TARGET...]]      SECONDS for each target, 600 when not given
# What is found stays in the folder named at the end; test/fuzz/corpus holds the inputs to begin with.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-600}
[ $# -eq 0 ] || shift
targets=${*:-masks validators sealed_in sealed_recv sealed_round}
pg_config=${PG_CONFIG:-pg_config}
work=$(mktemp -d "${TMPDIR:-/tmp}/crm-fuzz.XXXXXX")
status=0
for target in $targets; do
	${CLANG:-clang} -w -g -O1 -no-pie -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -DFUZZ_TARGET="\"$target\"" -DCRM_VERSION='"fuzz"' -Isrc \
		-I"$($pg_config --includedir-server)" -o "$work/$target" test/fuzz/masks.c src/privacy/mask*.c src/privacy/validate.c src/privacy/normalize.c src/privacy/pinyin.c \
		src/privacy/seal*.c src/privacy/cipher.c src/base/unicode.c \
		-L"$($pg_config --libdir)" -L"$($pg_config --pkglibdir)" -lpgcommon -lpgport -lcrypto -licui18n -licuuc -Wl,--allow-multiple-definition -Wl,--unresolved-symbols=ignore-all
	mkdir -p "$work/corpus_$target"
	ASAN_OPTIONS=detect_leaks=0 "$work/$target" -max_total_time="$seconds" -max_len=600 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
		-artifact_prefix="$work/$target-" "$work/corpus_$target" "test/fuzz/corpus/$target" >"$work/$target.log" 2>&1 || status=1
	printf '%s: ' "$target"
	sed -n 's/^stat::number_of_executed_units: */executions /p' "$work/$target.log" | tr '\n' ' '
	ls "$work" | grep -qE "^$target-(crash|timeout|oom|leak)" && { echo "FOUND SOMETHING, see $work"; status=1; } || echo "nothing found"
done
[ $status -ne 0 ] || rm -rf "$work"
[ $status -eq 0 ] || echo "fuzzing failed; logs are in $work"
exit $status
