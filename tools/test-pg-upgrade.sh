#!/bin/sh
# pg_upgrade of a database with a store, from the PostgreSQL in the given folder (its libraries in /old/lib) to this machine's.
# Run by tools/test-matrix.sh inside its chroots, as root.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh
old_bin=$1
work=$(mktemp -d /tmp/crm-upgrade.XXXXXX)
chmod 755 "$work"
CRM_DIR=$work
trap 'crm_stop; rm -rf "$work"' EXIT
crm_build
crm_private "$work"
chown -R "$crm_user" /old
new_bin=$work/pg$("$crm_pg_config" --bindir)
mkdir "$work/run"
chown "$crm_user" "$work/run"

# The old programs find their libraries by this path; the new ones must not see it, so pg_upgrade gets wrappers.
wrapped=$work/old_bin
mkdir "$wrapped"
for f in "$old_bin"/*; do
	n=$(basename "$f")
	case $n in
	postgres) continue ;; # pg_ctl looks for the server beside its real self
	esac
	printf '#!/bin/sh\nexec env LD_LIBRARY_PATH=/old/lib %s "$@"\n' "$f" >"$wrapped/$n"
	chmod 755 "$wrapped/$n"
done
printf '#!/bin/sh\nexec env LD_LIBRARY_PATH=/old/lib %s "$@"\n' "$old_bin/postgres" >"$wrapped/postgres"
chmod 755 "$wrapped/postgres"

ok() { echo "ok $1"; }
old_sql() { as_server "$wrapped/psql" -X -q -At -v ON_ERROR_STOP=1 -h "$work/run" -p 54320 -U "$crm_user" "$@"; }
new_sql() { as_server "$new_bin/psql" -X -q -At -v ON_ERROR_STOP=1 -h "$work/run" -p 54321 -U "$crm_user" "$@"; }
init() { as_server "$1/initdb" -D "$2" -U "$crm_user" --encoding=UTF8 --no-locale --auth=trust --no-sync $3 >/dev/null; }

# PostgreSQL 18 makes checksums unless told otherwise, and both clusters must agree.
checksums=
as_server "$new_bin/initdb" --help | grep -q -- --no-data-checksums && checksums=--no-data-checksums
init "$wrapped" "$work/old" ""
init "$new_bin" "$work/new" "$checksums"
as_server "$wrapped/pg_ctl" -D "$work/old" -w -l "$work/old.log" -o "-k $work/run -p 54320 -c listen_addresses= -c jit=off" start >/dev/null
old_sql -f test/upgrade/store.sql postgres
old_sql -f test/upgrade/fingerprint.sql shopdb >"$work/before"
as_server "$wrapped/pg_ctl" -D "$work/old" -m fast -w stop >/dev/null
ok "an old cluster with a store"

(cd "$work" && as_server env -C "$work/run" "$new_bin/pg_upgrade" -b "$wrapped" -B "$new_bin" -d "$work/old" -D "$work/new" \
	-s "$work/run" -U "$crm_user") >"$work/upgrade.log" 2>&1 || {
	# Minor releases of 2026 write an attribute that older ones of any branch do not read.
	if grep -rq 'unrecognized parameter "pg_attver"' "$work/new/pg_upgrade_output.d"; then
		echo "skipped: $("$new_bin/postgres" --version) does not read what $("$wrapped/postgres" --version) writes: it needs a newer minor release"
		exit 77
	fi
	tail -n 40 "$work/upgrade.log"; grep -rhE -A 3 'ERROR|FATAL|error:' "$work/new/pg_upgrade_output.d" | head -n 40
	exit 1
}
ok "pg_upgrade"
PGDATA=$work/new
as_server "$new_bin/pg_ctl" -D "$work/new" -w -l "$work/new.log" -o "-k $work/run -p 54321 -c listen_addresses= -c jit=off" start >/dev/null
new_sql -f test/upgrade/fingerprint.sql shopdb >"$work/after"
cmp "$work/before" "$work/after"
ok "the same data, ledger verified"
new_sql -c "SELECT * FROM crm.store_findings('shop')" shopdb | grep . && exit 1
ok "every object of the store is there"
new_sql -f test/upgrade/after.sql shopdb | grep . && exit 1
ok "orders, points and tags work on"
