#!/bin/sh
# Runs every program of doc/clients.md and those of test/clients against a store, directly and through PgBouncer in transaction mode.
# Prints a table of the first, and one of client by check from what the second count; doc/clients.md must show the latter.
#   WRITE=1   writes it there
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh
crm_scratch clients
leave() {
	[ ! -f "$work/run/pgbouncer.pid" ] || kill "$(cat "$work/run/pgbouncer.pid")" 2>/dev/null || true
	crm_clean
}
trap leave EXIT
crm_start
createdb shopdb
psql -X -q -v ON_ERROR_STOP=1 shopdb -c "CREATE EXTENSION crm" -c "SELECT crm.create_store('shop')" -o /dev/null

# A value of each type that the extension has, so that none is forgotten; sealed values need a key.
as_server sh -c "umask 077; printf 'enc 1 active %s\n' \"\$(head -c 32 /dev/urandom | base64)\" >'$CRM_DIR/keyring'"
as_server sh -c "echo \"crm.keyring_file = '$CRM_DIR/keyring'\" >>'$PGDATA/postgresql.conf'"
as_server pg_ctl -D "$PGDATA" reload >/dev/null
psql -X -q -At -F "$(printf '\t')" -v ON_ERROR_STOP=1 shopdb >"$work/values" <<'SQL'
CREATE FUNCTION pg_temp.example(type text) RETURNS text LANGUAGE sql AS $$
SELECT CASE type
    WHEN 'tagset' THEN '{vip,"a, b",区域:华东}'
    WHEN 'tagquery' THEN 'vip & (品类:* | !lost)'
    WHEN 'audience' THEN '{1-70000,100000,4000000000}'
    WHEN 'points_lots' THEN '{100 until 2026-12-31T00:00:00Z, 50}'
    WHEN 'rule' THEN 'spend_12m > 500 AND lifecycle IN (''新客'', ''active'')'
    WHEN 'rfm' THEN '5-4-3'
    WHEN 'purchase_months' THEN '{2025-01:1:62.5,2025-02:2:125}'
    WHEN 'rfm_model' THEN (SELECT crm.rfm_fit(i, i, i::float8)::text FROM generate_series(1, 50) i)
    WHEN 'sealed' THEN crm.seal('13812341234', 'contact.phone')::text
END
$$;
SELECT t.typname, coalesce(pg_temp.example(t.typname), '(no value of this type in tools/test-clients.sh)')
FROM pg_type t
WHERE t.typnamespace = 'crm'::regnamespace AND t.typtype = 'b' AND t.typelem = 0 AND t.typreceive <> 0
ORDER BY 1;
SQL

# pgJDBC speaks TCP only: a free port of the loopback.
port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
psql -X -q postgres -c "ALTER SYSTEM SET listen_addresses = '127.0.0.1'" -c "ALTER SYSTEM SET port = $port"
as_server pg_ctl -D "$PGDATA" -m fast -w stop >/dev/null
as_server pg_ctl -D "$PGDATA" -l "$CRM_DIR/server.log" -w start >/dev/null
pool_port=
if command -v pgbouncer >/dev/null 2>&1; then
	pool_port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	as_server sh -c "cat >'$CRM_DIR/pgbouncer.ini'" <<-INI
		[databases]
		shopdb = host=127.0.0.1 port=$port
		[pgbouncer]
		listen_addr = 127.0.0.1
		listen_port = $pool_port
		unix_socket_dir = $PGHOST
		auth_type = any
		auth_file =
		pool_mode = transaction
		pidfile = $PGHOST/pgbouncer.pid
		default_pool_size = 2
		ignore_startup_parameters = extra_float_digits
		server_reset_query_always = 0
	INI
	sed -i "s/port=$port/port=$port user=$PGUSER/" "$CRM_DIR/pgbouncer.ini"
	as_server pgbouncer -q "$CRM_DIR/pgbouncer.ini" >"$CRM_DIR/pgbouncer.log" 2>&1 &
	sleep 2
fi

mkdir "$work/clients" "$work/counts"
awk -v dir="$work/clients" '/^```(python|java|javascript|c)$/ { n++; file = sprintf("%s/%d.%s", dir, n, substr($0, 4)); next } /^```$/ { file = "" } file { print > file }' doc/clients.md
cp test/clients/* "$work/clients/"
VALUES=$work/values
export VALUES
passed=0 failed=0
echo "| program | connection | result |
|---|---|---|"
report() { # report NAME CONNECTION STATUS
	case $3 in
	passed) passed=$((passed + 1)) ;;
	failed) failed=$((failed + 1)) ;;
	esac
	echo "| $1 | $2 | $3 |"
}
try() { # try NAME CONNECTION COMMAND...: an example's last line must be "done"; a program of test/clients counts what held
	name=$1 way=$2
	shift 2
	good=0
	"$@" >"$work/log" 2>"$work/err" || good=1
	case $name in
	*', checks')
		cp "$work/log" "$work/counts/${name%, checks}.$way"
		[ "$(grep -cE '^(version|text|binary|verbs|errors) ' "$work/log")" = 5 ] || good=1 ;;
	*) [ "$(tail -n 1 "$work/log")" = "done" ] || good=1 ;;
	esac
	if [ $good = 0 ]; then report "$name" "$way" passed; else
		report "$name" "$way" failed
		cat "$work/log" "$work/err" | head -n 30 | sed 's/^/    /'
	fi
}
has() { # has CLIENT: is it here? Sets $without to the reason when not.
	without="skipped: not installed"
	case $1 in
	psycopg | psycopg2) /usr/bin/python3 -c "import $1" 2>/dev/null ;;
	pgJDBC) command -v javac >/dev/null 2>&1 && [ -r "$jar" ] ;;
	node-postgres)
		if [ ! -d "$work/node/node_modules/pg" ] && command -v npm >/dev/null 2>&1; then
			mkdir -p "$work/node" && (cd "$work/node" && npm install --silent --no-audit --no-fund pg >/dev/null 2>&1) || true
		fi
		[ -d "$work/node/node_modules/pg" ] || [ -d /usr/share/nodejs/pg ] ;;
	libpq) cc -I"$("$crm_pg_config" --includedir)" -o "$work/program" "$f" -lpq 2>"$work/cc.log" || { without="skipped: $(head -n 1 "$work/cc.log")"; return 1; } ;;
	esac
}
jar=/usr/share/java/postgresql.jar
run_all() { # run_all CONNECTION PORT
	way=$1
	DSN="postgresql://$PGUSER@127.0.0.1:$2/shopdb"
	JDBC_URL="jdbc:postgresql://127.0.0.1:$2/shopdb?user=$PGUSER&prepareThreshold=0"
	export DSN JDBC_URL
	psql -X -q -h 127.0.0.1 -p "$port" shopdb -c "UPDATE shop.customer SET tags = '{}'"
	for f in "$work"/clients/*; do
		kind=
		case $f in
		*/common.py) continue ;;
		*/[wW]ith*) kind=', checks' ;;
		esac
		case $f in
		*.python | *.py)
			client=$(sed -n 's/^import \(psycopg[0-9]*\)$/\1/p' "$f")
			set -- /usr/bin/python3 "$f" ;;
		*.java)
			client=pgJDBC
			class=$(sed -n 's/^public class \([A-Za-z]*\).*/\1/p' "$f")
			mkdir -p "$work/java" && cp "$f" "$work/java/$class.java"
			set -- sh -c "cd '$work/java' && javac -nowarn -encoding UTF-8 -cp $jar $class.java && java -Dfile.encoding=UTF-8 -cp $jar:. $class" ;;
		*.javascript | *.js)
			client=node-postgres
			set -- env NODE_PATH="$work/node/node_modules:/usr/share/nodejs" node -e "$(cat "$f")" ;;
		*.c)
			client=libpq
			set -- "$work/program" ;;
		esac
		if has "$client"; then try "$client$kind" "$way" "$@"; else report "$client$kind" "$way" "$without"; fi
	done
}
run_all direct "$port"
if [ -n "$pool_port" ]; then
	POOLED=1
	export POOLED
	run_all pooled "$pool_port"
else
	echo "| all | PgBouncer | skipped: not installed |"
fi
PGPORT=$port

# client by check, and the same in the page but for the version of the driver
table=$work/table
echo '| client | version | text out and in | binary out and in | verbs | SQLSTATE and hint | through PgBouncer, transaction mode |
|---|---|---|---|---|---|---|' >"$table"
of() { sed -n "s/^$1 //p" "$2" | sed 's/^none$/–/'; }
for f in "$work"/counts/*.direct; do
	[ -e "$f" ] || continue
	client=$(basename "$f" .direct)
	pool=$work/counts/$client.pooled
	if [ ! -e "$pool" ]; then
		through='not tried'
	elif cmp -s "$f" "$pool"; then
		through='the same'
	elif [ "$(of binary "$pool")" = – ] && [ "$(grep -v '^binary' "$f")" = "$(grep -v '^binary' "$pool")" ]; then
		through='the same as text; in binary the driver wants prepared statements that outlive a transaction'
	else
		through=$(grep -v '^version' "$pool" | tr '\n' ' ')
	fi
	echo "| $client | $(of version "$f") | $(of text "$f") | $(of binary "$f") | $(of verbs "$f") | $(of errors "$f") | $through |" >>"$table"
done
echo
cat "$table"
in_page() { sed -n '/^<!-- make test-clients -->$/,/^<!-- so far -->$/p' doc/clients.md | grep '^|'; }
[ -z "${WRITE:-}" ] || crm_page_table doc/clients.md "make test-clients" "$table"
no_version() { sed 's/^\(|[^|]*|\)[^|]*|/\1/' "$1"; }
in_page >"$work/page_table"
no_version "$work/page_table" >"$work/there"
no_version "$table" >"$work/now"
# A client that is not installed here has no row; of those that are, the page says what was found.
if grep -vxFf "$work/there" "$work/now" >"$work/differ"; then
	echo "not in doc/clients.md (WRITE=1 make test-clients writes it):"
	cat "$work/differ"
	failed=$((failed + 1))
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
