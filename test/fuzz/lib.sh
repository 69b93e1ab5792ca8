# Shared by the scripts beside it: compiles a target with address and undefined-behaviour sanitizers and runs it for a while.
#   FUZZ_TABLE=file   a line of a Markdown table for each target is added to it
pg_config=${PG_CONFIG:-pg_config}
work=$(mktemp -d "${TMPDIR:-/tmp}/crm-fuzz.XXXXXX")
status=0

# server_flags: what sources that include the server's headers are compiled with
server_flags() {
	printf '%s ' -w -g -O1 -no-pie "-I$($pg_config --includedir-server)" "-L$($pg_config --libdir)" "-L$($pg_config --pkglibdir)" -lpgcommon -lpgport
}

# fuzz TARGET SECONDS LARGEST COMPILER_ARGUMENTS...: LARGEST is the longest input. test/fuzz/corpus/TARGET holds inputs to begin with, and so may $work/corpus_TARGET.
fuzz() {
	target=$1 for_seconds=$2 largest=$3
	shift 3
	${CLANG:-clang} -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -DFUZZ_TARGET="\"$target\"" -DCRM_VERSION='"fuzz"' -Isrc \
		-o "$work/$target" "$@" -Wl,--allow-multiple-definition -Wl,--unresolved-symbols=ignore-all
	mkdir -p "$work/corpus_$target"
	begin=$(ls -d "test/fuzz/corpus/$target" 2>/dev/null || true)
	started=$(date +%s)
	# The clock of a timeout is the wall's: on a busy machine ten seconds are not long.
	( ASAN_OPTIONS=detect_leaks=0 "$work/$target" -max_total_time="$for_seconds" -max_len="$largest" -timeout=60 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix="$work/$target-" $dict "$work/corpus_$target" $begin >"$work/$target.log" 2>&1 && echo 0 >"$work/$target.status" || echo 1 >"$work/$target.status"
	times >"$work/$target.times" )
	ended=$(date +%s)
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$target.log")
	places=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$work/$target.log" | tail -n 1)
	cpu=$(awk 'NR == 2 { gsub(/[ms]/, " "); print $1 * 60 + $2 + $3 * 60 + $4 }' "$work/$target.times")
	found=$(ls "$work" | grep -cE "^$target-(crash|timeout|oom|leak)" || true)
	[ "$(cat "$work/$target.status")" = 0 ] || status=1
	[ "$found" = 0 ] || status=1
	[ -z "${FUZZ_TABLE:-}" ] || awk -v t="$target" -v r="${runs:-0}" -v s=$((ended - started)) -v c="$cpu" -v p="${places:-0}" -v f="$found" \
		'BEGIN { printf "| %s | %s | %.1f | %.1f | %d | %s |\n", t, r < 1e5 ? r : sprintf("%.1f million", r / 1e6), s / 60, c / 60, p, f ? f : "nothing" }' >>"$FUZZ_TABLE"
	if [ "$found" = 0 ]; then echo "$target: executions ${runs:-0}, nothing found"; else echo "$target: executions ${runs:-0}, FOUND SOMETHING, see $work"; fi
}
dict=

fuzz_end() {
	if [ $status = 0 ]; then rm -rf "$work"; else echo "fuzzing failed; logs are in $work"; fi
	exit $status
}
