#!/bin/sh
# SQL tests with the server under valgrind's memcheck. What it says of a stack in which crm.so has no part is not ours to mend and is left out.
#   TESTS="tagset points"   which (default: those of the types and aggregates; a test that makes a store takes an hour)
# PostgreSQL's own valgrind marks need a server compiled with USE_VALGRIND, which Debian's is not: what is caught is reading what was never
# written, and reading or writing outside of memory from malloc, not outside of a palloc'ed piece. test/fuzz catches those, with pieces of their own.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh
command -v valgrind >/dev/null 2>&1 || { echo "valgrind is missing" >&2; exit 1; }
tests=${TESTS:-tagset tagquery tag_aggregate tag_gin audience mask validate rule purchase_months lunar pinyin}
CRM_CFLAGS="-g -O1 -fno-inline ${CRM_CFLAGS:-}"
crm_scratch valgrind
mkdir -p "$work/src" "$work/memcheck"
cp -R test expected "$work/src/"
[ "$(id -u)" != 0 ] || chown -R "$crm_user" "$work/src" "$work/memcheck"
CRM_SHARED_BUFFERS=16MB
crm_start
crm_stop
postgres=$(command -v postgres)
as_server valgrind --quiet --trace-children=yes --leak-check=no --undef-value-errors=yes --num-callers=25 --error-limit=no \
	--trace-children-skip="/bin/*,/usr/bin/*" --suppressions="$work/src/test/valgrind.supp" --log-file="$work/memcheck/%p.log" "$postgres" -D "$PGDATA" >"$work/server.log" 2>&1 &
for i in $(seq 1 300); do
	pg_isready -q -h "$PGHOST" -p "$PGPORT" && break
	kill -0 $! 2>/dev/null || { cat "$work"/memcheck/*.log "$work/server.log" >&2; exit 1; }
	sleep 1
done
pgxs_test=$(dirname "$("$crm_pg_config" --pgxs)")/../test
as_server sh -c 'cd "$1" && shift && exec "$@"' sh "$work/src" "$pgxs_test/regress/pg_regress" --inputdir=test --bindir="$(dirname "$(command -v psql)")" \
	--host="$PGHOST" --port="$PGPORT" --user="$PGUSER" --dbname=crm_regress --load-extension=crm --outputdir="$work/src" $tests || { status=1; head -n 80 "$work/src/regression.diffs"; }
crm_stop
wait
# One report is what stands between two lines of the process number alone.
cat "$work"/memcheck/*.log | awk '
	/^==[0-9]+== *$/ { if (ours) printf "%s\n", report; report = ""; ours = 0; next }
	{ report = report $0 "\n" }
	/\(in .*\/crm\.so\)|\(.*src\/[a-z]+\/|\([a-z_]+\.c:[0-9]+\)/ { if ($0 ~ /crm\.so/ || known($0)) ours = 1 }
	function known(line,   file) { if (match(line, /\([a-z_0-9]+\.c:/)) { file = substr(line, RSTART + 1, RLENGTH - 2); return file in mine } return 0 }
	BEGIN { while (("ls src/*/*.c" | getline path) > 0) { sub(/.*\//, "", path); mine[path] = 1 } }
	END { if (ours) printf "%s\n", report }' >"$work/found"
head -n 200 "$work/found"
n=$(grep -cE '^==[0-9]+== +(at|by) ' "$work/found" || true)
if [ "${n:-0}" -gt 0 ]; then
	echo "valgrind: reports with crm.so in them"
	exit 1
fi
echo "valgrind: nothing of ours, in $(ls "$work/memcheck" | wc -l) processes${status:+; a test printed something else, see above}"
[ -z "${status:-}" ]
