#!/bin/sh
# Runs every program of doc/clients.md against a store, directly and through PgBouncer in transaction mode. Prints a table.
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

mkdir "$work/clients"
awk -v dir="$work/clients" '/^```(python|java|javascript|c)$/ { n++; file = sprintf("%s/%d.%s", dir, n, substr($0, 4)); next } /^```$/ { file = "" } file { print > file }' doc/clients.md
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
try() { # try NAME CONNECTION COMMAND...: the program's last line must be "done"
	name=$1 way=$2
	shift 2
	if "$@" >"$work/log" 2>&1 && [ "$(tail -n 1 "$work/log")" = "done" ]; then report "$name" "$way" passed; else
		report "$name" "$way" failed
		tail -n 15 "$work/log" | sed 's/^/    /'
	fi
}
run_all() { # run_all CONNECTION PORT
	way=$1
	DSN="postgresql://$PGUSER@127.0.0.1:$2/shopdb"
	JDBC_URL="jdbc:postgresql://127.0.0.1:$2/shopdb?user=$PGUSER&prepareThreshold=0"
	export DSN JDBC_URL
	psql -X -q -h 127.0.0.1 -p "$port" shopdb -c "UPDATE shop.customer SET tags = '{}'"
	for f in "$work"/clients/*; do
		case $f in
		*.python)
			module=$(sed -n 's/^import \(psycopg[0-9]*\)$/\1/p' "$f")
			if /usr/bin/python3 -c "import $module" 2>/dev/null; then try "$module" "$way" /usr/bin/python3 "$f"; else report "$module" "$way" "skipped: not installed"; fi ;;
		*.java)
			jar=/usr/share/java/postgresql.jar
			if command -v javac >/dev/null 2>&1 && [ -r "$jar" ]; then
				cp "$f" "$work/clients/Shop.txt"
				mkdir -p "$work/java" && cp "$f" "$work/java/Shop.java"
				try pgJDBC "$way" sh -c "cd '$work/java' && javac -encoding UTF-8 -cp $jar Shop.java && java -Dfile.encoding=UTF-8 -cp $jar:. Shop"
			else report pgJDBC "$way" "skipped: not installed"; fi ;;
		*.javascript)
			if [ ! -d "$work/node/node_modules/pg" ] && command -v npm >/dev/null 2>&1; then
				mkdir -p "$work/node" && (cd "$work/node" && npm install --silent --no-audit --no-fund pg >/dev/null 2>&1) || true
			fi
			if [ -d "$work/node/node_modules/pg" ] || [ -d /usr/share/nodejs/pg ]; then
				try node-postgres "$way" env NODE_PATH="$work/node/node_modules:/usr/share/nodejs" node -e "$(cat "$f")"
			else report node-postgres "$way" "skipped: not installed"; fi ;;
		*.c)
			cp "$f" "$work/program.c"
			if cc -I"$("$crm_pg_config" --includedir)" -o "$work/program" "$work/program.c" -lpq 2>"$work/cc.log"; then try libpq "$way" "$work/program"; else report libpq "$way" "skipped: $(head -n 1 "$work/cc.log")"; fi ;;
		esac
	done
}
run_all direct "$port"
if [ -n "$pool_port" ]; then run_all "PgBouncer, transaction mode" "$pool_port"; else echo "| all | PgBouncer | skipped: not installed |"; fi
PGPORT=$port
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
