#!/bin/sh
# sqlsmith writes random queries over a store for so many seconds (default 1200): none may crash the server, and none may meet an
# internal error (XX000) of ours.   sh tools/smith.sh [SECONDS] [SEED]
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh
seconds=${1:-1200} seed=${2:-1}
command -v sqlsmith >/dev/null 2>&1 || { echo "skipped: no sqlsmith (Debian's package sqlsmith)"; exit 0; }
CI=1
crm_scratch smith
crm_start
psql -X -q -v ON_ERROR_STOP=1 -o /dev/null -f test/upgrade/store.sql postgres
psql -X -q shopdb -c "ALTER SYSTEM SET statement_timeout = '2s'" -c "ALTER SYSTEM SET log_error_verbosity = verbose" \
	-c "ALTER SYSTEM SET log_min_messages = error" -c "ALTER DATABASE shopdb SET search_path = shop, crm" -c "SELECT pg_reload_conf()" >/dev/null
as_server timeout "$seconds" sqlsmith --target="host=$PGHOST port=$PGPORT user=$PGUSER dbname=shopdb" --exclude-catalog --seed="$seed" \
	>"$work/smith.out" 2>&1 || true
tries=$(grep -c '^[0-9-]* .*STATEMENT:' "$work/server.log" || true)
crashes=$(grep -cE 'was terminated by signal|TRAP:' "$work/server.log" || true)
# An internal error whose place is in a file of ours: LOCATION follows the message in verbose logs.
internal=$(grep -A 20 'ERROR:  XX000' "$work/server.log" | grep 'LOCATION:' | sed 's/.*LOCATION:  //; s/:[0-9]*$//' | sort | uniq -c | sort -rn)
tail -n 3 "$work/smith.out"
echo "$seconds seconds, seed $seed: $tries statements refused, $crashes crashes"
if [ -n "$internal" ]; then
	echo "internal errors by place:"
	echo "$internal"
fi
if [ "$crashes" != 0 ]; then
	grep -B 2 -A 5 -E 'was terminated by signal|TRAP:' "$work/server.log" | head -n 60
	exit 1
fi
for place in $(echo "$internal" | awk '{ print $NF }'); do
	[ -z "$(find src -name "$place")" ] || { echo "an internal error of ours: $place"; grep -B 6 "$place" "$work/server.log" | head -n 40; exit 1; }
done
