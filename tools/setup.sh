#!/bin/sh
# Installs the packages that building and testing need and that are missing. Debian and its kin only; elsewhere it says what to install.
set -eu
cd "$(dirname "$0")/.."

major=${PG_MAJOR:-}
if [ -z "$major" ]; then
	pg_config=${PG_CONFIG:-pg_config}
	if command -v "$pg_config" >/dev/null 2>&1 && [ -f "$("$pg_config" --pgxs)" ]; then
		major=$("$pg_config" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
	elif command -v apt-cache >/dev/null 2>&1; then
		major=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/.*postgresql-\([0-9][0-9]*\)$/\1/p' | head -n 1)
	fi
fi

need="gcc make libicu-dev libssl-dev libroaring-dev libnlopt-dev libipc-run-perl python3 python3-psycopg2"
need="$need postgresql-${major:-15} postgresql-server-dev-${major:-15}"
case ${1:-} in
lint) need="$need cppcheck clang-tidy" ;;
sanitize) need="$need clang libclang-rt-dev" ;;
valgrind) need="$need valgrind" ;;
bench) need="$need python3-numpy python3-scipy" ;;
browser) need="$need chromium" ;;
clients)
	need="$need pgbouncer libpostgresql-jdbc-java python3-psycopg libpq-dev"
	command -v javac >/dev/null 2>&1 || need="$need default-jdk-headless"
	command -v npm >/dev/null 2>&1 || need="$need nodejs npm"
	;;
esac

missing=
if command -v dpkg-query >/dev/null 2>&1; then
	for p in $need; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
	done
	[ -n "$missing" ] || exit 0
fi

if ! command -v apt-get >/dev/null 2>&1; then
	for c in cc make "${PG_CONFIG:-pg_config}"; do
		command -v "$c" >/dev/null 2>&1 || missing="$missing $c"
	done
	if [ -n "$missing" ]; then
		echo "crm: this machine has no apt-get. Install by hand:$missing, and the headers of PostgreSQL 15 or later, ICU, OpenSSL, CRoaring and NLopt." >&2
		exit 1
	fi
	exit 0
fi

if [ "$(id -u)" = 0 ]; then
	as_root=
elif command -v sudo >/dev/null 2>&1; then
	as_root=sudo
else
	echo "crm: these packages are missing and neither root nor sudo is at hand to install them:$missing" >&2
	exit 1
fi

echo "crm: installing$missing"
# The server package would start a cluster of its own on port 5432; this project starts private ones.
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
	$as_root mkdir -p /etc/postgresql-common
	echo 'create_main_cluster = false' | $as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
	made_conf=yes
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install_missing() {
	DEBIAN_FRONTEND=noninteractive $as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold $missing >"$log" 2>&1
}
if ! install_missing; then
	$as_root apt-get update >/dev/null 2>&1 || true
	if ! install_missing; then
		cat "$log" >&2
		echo "crm: apt-get could not install:$missing" >&2
		exit 1
	fi
fi
if [ "${made_conf:-}" = yes ]; then
	$as_root rm -f /etc/postgresql-common/createcluster.conf
	# Now that the package is configured, its own default configuration takes the file's place.
fi
