#!/bin/sh
# Does what is given out work? The archive builds by itself, what it installs is what it uninstalls, and the Debian package (where its tools are there)
# gives a server that makes a store.   sh tools/packaging/check.sh
set -eu
cd "$(dirname "$0")/../.."
. tools/lib.sh
top=$PWD
work=$(mktemp -d "${TMPDIR:-/tmp}/crm-package.XXXXXX")
chmod 755 "$work"
CRM_DIR=$work
trap 'crm_clean' EXIT
trap 'exit 1' INT TERM
version=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" crm.control)

sh tools/packaging/dist.sh
python3 -m zipfile -e "crm-$version.zip" "$work"
cd "$work/crm-$version"
make -s -j"$(nproc)" with_llvm=no all
make -s with_llvm=no DESTDIR="$work/there" install
find "$work/there" -type f | sed "s#^$work/there##" | sort >"$work/installed"
make -s with_llvm=no DESTDIR="$work/there" uninstall
find "$work/there" -type f | sed "s#^$work/there##" >"$work/left"
[ -s "$work/installed" ] && [ ! -s "$work/left" ] || { echo "uninstall leaves:" && cat "$work/left" && exit 1; }
echo "ok: $(wc -l <"$work/installed") files installed and uninstalled"

if command -v dpkg-buildpackage >/dev/null 2>&1 && command -v dh >/dev/null 2>&1 && command -v pg_buildext >/dev/null 2>&1; then
	make -s with_llvm=no clean >/dev/null
	# The name of the server's headers package stands in Build-Depends; what is missing is said by the build itself.
	dpkg-buildpackage -us -uc -b -d -rfakeroot >"$work/deb.log" 2>&1 || dpkg-buildpackage -us -uc -b -d >"$work/deb.log" 2>&1 || { tail -n 30 "$work/deb.log"; exit 1; }
	for deb in "$work"/postgresql-*-crm_"$version"_*.deb; do
		major=$(basename "$deb" | sed 's/postgresql-\([0-9]*\)-.*/\1/')
		dpkg-deb -c "$deb" | awk '{print $6}' | grep -qx "./usr/lib/postgresql/$major/lib/crm.so"
		dpkg-deb -f "$deb" Depends | grep -q "postgresql-$major"
		dpkg-deb -f "$deb" Depends | grep -q libroaring
		bindir=/usr/lib/postgresql/$major/bin
		for d in "$bindir" "/usr/lib/postgresql/$major/lib" "/usr/share/postgresql/$major"; do
			mkdir -p "$work/pg$d"
			cp -a "$d/." "$work/pg$d/"
		done
		dpkg-deb -x "$deb" "$work/pg"
		[ "$(id -u)" != 0 ] || chown -R "$crm_user" "$work/pg"
		PATH="$work/pg$bindir:$PATH"
		export PATH
		[ "$(id -u)" != 0 ] || chown "$crm_user" "$work"
		crm_start
		psql -X -v ON_ERROR_STOP=1 -Atq -c "CREATE EXTENSION crm" -c "SELECT crm.create_store('shop')" -c "INSERT INTO shop.customer (customer_id) VALUES (1)" \
			-c "INSERT INTO shop.purchase (customer_id, order_no, amount) VALUES (1, 'n1', 10)" -c "SELECT order_count FROM shop.customer_summary" | grep -qx 1
		crm_stop
		rm -rf "$work/data"
		echo "ok: $(basename "$deb") makes a store"
		! command -v lintian >/dev/null 2>&1 || lintian --fail-on error "$deb"
	done
else
	echo "skipped: dpkg-buildpackage, debhelper or pg_buildext is not there"
fi
cd "$top"
