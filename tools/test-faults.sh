#!/bin/sh
# Runs the tests of faults, and prints a table of what they met: work by fault, with the number of cases and what was found true after them.
# Fails when a test fails, or when work, faults or what is said of them differ from the page; the numbers of cases are of chance.
#   CRM_FAULT_ROUNDS=n   each fault meets each work of 012_faults n times
#   WRITE=1              puts the table into doc/operations.md
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh
dir=$(mktemp -d "${TMPDIR:-/tmp}/crm-faults.XXXXXX")
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
failed=0
MET=$dir/met SUITES=tap TESTS="001_smoke 011_replication 012_faults 014_disk_full 300_points_crash 600_service_kills 711_outbox_worker" sh tools/test.sh || failed=1

# hit, fault, cases, test, what was checked
awk -F'\t' '
	BEGIN { n = split("kill -9|`immediate` stop|disk full|no memory for locks|statement timeout|cancel|client lost|session ended", fault, "|") }
	!($1 in seen) { seen[$1] = 1; work[++rows] = $1 }
	{
		tried[$1, $2] = 1; cases[$1, $2] += $3; known = 0
		for (i = 1; i <= n; i++) if (fault[i] == $2) known = 1
		if (!known) { print "unknown fault: " $2 >"/dev/stderr"; exit 1 }
		if (index("; " checked[$1] ";", "; " $5 ";") == 0) checked[$1] = checked[$1] (checked[$1] == "" ? "" : "; ") $5
		if (index(" " by[$1] " ", " `" $4 "` ") == 0) by[$1] = by[$1] (by[$1] == "" ? "" : " ") "`" $4 "`"
	}
	END {
		printf "| what was hit |"; for (i = 1; i <= n; i++) printf " %s |", fault[i]; print " found true after | by |"
		printf "|---|"; for (i = 1; i <= n; i++) printf "---:|"; print "---|---|"
		for (r = 1; r <= rows; r++) {
			w = work[r]
			printf "| %s |", w
			for (i = 1; i <= n; i++) printf(" %s |", !((w, fault[i]) in tried) ? "–" : cases[w, fault[i]] == 0 ? "needs none" : cases[w, fault[i]])
			printf " %s | %s |\n", checked[w], by[w]
		}
	}' "$dir/met" >"$dir/table"
cat "$dir/table"
[ -z "${WRITE:-}" ] || [ "$failed" = 1 ] || crm_page_table doc/operations.md "make fault-matrix" "$dir/table"
without_counts() { sed 's/| *[0-9][0-9]* *\(|\)/| n |/g; s/| *[0-9][0-9]* *\(|\)/| n |/g'; }
sed -n '/^<!-- make fault-matrix -->$/,/^<!-- so far -->$/p' doc/operations.md | grep '^|' | without_counts >"$dir/there" || true
without_counts <"$dir/table" >"$dir/now"
if ! diff "$dir/there" "$dir/now" >"$dir/differ"; then
	echo "doc/operations.md says otherwise (WRITE=1 make fault-matrix writes it):"
	cat "$dir/differ"
	failed=1
fi
exit $failed
