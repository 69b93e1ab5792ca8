#!/bin/sh
# The way from one version to the next: makes a next version out of this tree (a new function in the kit; a new table, column and
# function in the store), updates a database with a store to it, and compares the catalogs with a fresh installation of it.
# Prints TAP. Needs CRM_DIR, the private PostgreSQL of tools/lib.sh with crm installed and its cluster running.
set -eu
cd "$(dirname "$0")/.."
top=$PWD
. tools/lib.sh
version=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" crm.control)
next=${version%.*}.$((${version##*.} + 1))
n=0
is() { # is NAME EXPECTED ACTUAL
	n=$((n + 1))
	if [ "$2" = "$3" ]; then echo "ok $n - $1"; return; fi
	echo "not ok $n - $1"
	printf '%s\n' "expected: $2" "got: $3" | head -n 20 | sed 's/^/# /'
}
sql() { psql -X -q -At -v ON_ERROR_STOP=1 "$@" 2>&1 || true; }
describe() { # every object of the extension and of the store, with what defines it
	sql -f test/upgrade/catalog.sql -o "$2" "$1"
	pg_dump --schema-only --no-owner -n shop "$1" | grep -vE '^(--|$|\\|SET |SELECT pg_catalog)' | sed 's/,$//' | LC_ALL=C sort >>"$2"
}

sql -o /dev/null -f test/upgrade/store.sql postgres
sql -f test/upgrade/fingerprint.sql shopdb >"$CRM_DIR/before"

tree=$CRM_DIR/next
mkdir "$tree"
cp -a . "$tree/"
cd "$tree"
touch -r crm.control .stamp
sed -i "s/^default_version.*/default_version = '$next'/" crm.control
touch -r .stamp crm.control
touch src/base/crm.c
mkdir -p sql/upgrade
cat >sql/kit/99-next.sql <<'SQL'
CREATE FUNCTION next_answer() RETURNS integer LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS 'SELECT 42';
COMMENT ON FUNCTION next_answer() IS 'made for a test';
SQL
cat >sql/store/99-next.sql <<'SQL'
CREATE TABLE next_thing (customer_id bigint PRIMARY KEY REFERENCES customer, note text);
COMMENT ON TABLE next_thing IS 'made for a test';
ALTER TABLE settings ADD COLUMN next_days integer NOT NULL DEFAULT 3;
COMMENT ON COLUMN settings.next_days IS 'made for a test';
CREATE FUNCTION next_count() RETURNS bigint LANGUAGE sql STABLE BEGIN ATOMIC SELECT count(*) FROM next_thing; END;
COMMENT ON FUNCTION next_count() IS 'made for a test';
SQL
cat >sql/seed/99-next.sql <<'SQL'
INSERT INTO access_rule (kind, object_type, object, privilege) VALUES ('analyst', 'table', 'next_thing', 'SELECT');
SQL
cp sql/kit/99-next.sql "sql/upgrade/crm--$version--$next.sql"
cat sql/store/99-next.sql sql/seed/99-next.sql >"sql/upgrade/store--$version--$next.sql"
make -s -j"$(nproc)" PG_CONFIG="$crm_pg_config" with_llvm=no EXTVERSION="$next" CRM_CFLAGS="${CRM_CFLAGS:-}" CRM_LDFLAGS="${CRM_LDFLAGS:-}" all >/dev/null
make -s PG_CONFIG="$crm_pg_config" with_llvm=no EXTVERSION="$next" CRM_CFLAGS="${CRM_CFLAGS:-}" CRM_LDFLAGS="${CRM_LDFLAGS:-}" DESTDIR="$CRM_DIR/pg" install >/dev/null
cd "$top"

is "the new library works under the old scripts until the update" "$next|$version" \
	"$(sql shopdb -c "SELECT crm.library_version(), extversion FROM pg_extension WHERE extname = 'crm'")"
is "writes go on meanwhile" "" "$(sql -f test/upgrade/after.sql shopdb)"
is "ALTER EXTENSION crm UPDATE" "$next" "$(sql shopdb -c "ALTER EXTENSION crm UPDATE" -c "SELECT extversion FROM pg_extension WHERE extname = 'crm'")"
is "health says that the store waits for its step" attention "$(sql shopdb -c "SELECT state FROM crm.health('shop') WHERE subject = 'version'")"
sql shopdb -c "CREATE ROLE crm_t_upgrade" -c "SELECT crm.grant_access('shop', 'crm_t_upgrade', 'analyst')" >/dev/null
is "upgrade_store" "upgraded to $next" "$(sql shopdb -c "SELECT crm.upgrade_store('shop')")"
is "a granted kind has its privileges on the new table" t "$(sql shopdb -c "SELECT has_table_privilege('crm_t_upgrade', 'shop.next_thing', 'SELECT')")"
sql shopdb -c "SELECT crm.revoke_access('shop', 'crm_t_upgrade', 'analyst')" -c "DROP ROLE crm_t_upgrade" >/dev/null
is "every object of the store is there" "" "$(sql shopdb -c "SELECT * FROM crm.store_findings('shop')")"
sql -c "CREATE DATABASE shopfresh" postgres
sql shopfresh -c "CREATE EXTENSION crm" -c "SELECT crm.create_store('shop')" >/dev/null
describe shopdb "$CRM_DIR/upgraded"
describe shopfresh "$CRM_DIR/fresh"
lines=$(wc -l <"$CRM_DIR/fresh")
is "the catalogs say something: $lines lines" yes "$([ "$lines" -gt 5000 ] && echo yes)"
is "the catalogs of an upgraded and of a fresh store are the same" "" "$(diff "$CRM_DIR/upgraded" "$CRM_DIR/fresh" || true)"
sql shopdb -c "DELETE FROM shop.purchase WHERE order_no = 'after'"
is "writes go on" "" "$(sql -f test/upgrade/after.sql shopdb)"
is "a second time does nothing" "store shop is at version $next" "$(sql shopdb -c "SELECT crm.upgrade_store('shop')")"
sql postgres -c "DROP DATABASE shopdb" -c "DROP DATABASE shopfresh"
echo "1..$n"
