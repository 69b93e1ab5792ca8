#!/bin/sh
# Builds crm without a warning and runs its tests on each PostgreSQL that Debian has, each in a chroot of its own, and upgrades a
# database with a store from the machine's own PostgreSQL to each of them by pg_upgrade. Prints a table: version by suite.
#   MATRIX="trixie sid"   which releases of Debian (default: both), and here: this machine's own PostgreSQL, without a chroot
#   SUITES, TESTS         as for tools/test.sh, and the suite upgrade
#   MATRIX_DIR=dir        keeps the chroots there for the next run, and the results of earlier runs for the table (default: a folder that is removed)
#   WRITE=1               puts the table into doc/operations.md
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh

skip() { echo "skipped: $1"; exit 0; }
[ "$(id -u)" = 0 ] || skip "chroots need root"
if ! command -v debootstrap >/dev/null 2>&1; then
	apt-get install -y --no-install-recommends debootstrap >/dev/null 2>&1 || skip "debootstrap cannot be installed"
fi
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -E '/debian/?$' | head -n 1)
[ -n "$mirror" ] || skip "apt knows no mirror of Debian"
# pg_upgrade needs a new server at least as recent as the old one's minor release, and those come by the security archive.
security=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -E '/debian-security/?$' | head -n 1)

dir=${MATRIX_DIR:-}
if [ -z "$dir" ]; then
	dir=$(mktemp -d "${TMPDIR:-/tmp}/crm-matrix.XXXXXX")
	made_dir=$dir
fi
mkdir -p "$dir"
mounted=
leave() {
	for m in $mounted; do umount "$m" 2>/dev/null || umount -l "$m"; done
	[ -z "${made_dir:-}" ] || rm -rf --one-file-system "$made_dir"
}
trap leave EXIT
trap 'exit 1' INT TERM
commit=$(git rev-parse --short HEAD)
results=$dir/results
touch "$results"
# result RELEASE VERSION ICU SUITE PASSED FAILED: takes the place of what the suite gave before. A few tests are no suite.
result() {
	echo "# $1, $2: $4 $5 passed, $6 failed"
	[ -z "${TESTS:-}" ] || return 0
	grep -v "^$1|$2|[^|]*|$4|" "$results" >"$results.new" || true
	echo "$1|$2|$3|$4|$5|$6|$commit" >>"$results.new"
	mv "$results.new" "$results"
}
# suite_result RELEASE VERSION ICU SUITE LOG: from the last line of tools/test.sh
suite_result() {
	line=$(tail -n 1 "$5")
	result "$1" "$2" "$3" "$4" "${line%% passed*}" "$(echo "$line" | sed -n 's/.*, \([0-9]*\) failed/\1/p')"
}

# enter ROOT COMMAND...
enter() {
	root=$1
	shift
	chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root DEBIAN_FRONTEND=noninteractive "$@"
}

make_root() { # make_root RELEASE: a chroot with what the tests need
	root=$dir/$1
	if [ ! -e "$root/ready" ]; then
		rm -rf --one-file-system "$root"
		debootstrap --variant=minbase --include=make,ca-certificates "$1" "$root" "$mirror" >"$dir/$1.log" 2>&1 || return 1
		# Packages must start no servers here.
		printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
		chmod 755 "$root/usr/sbin/policy-rc.d"
		cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
		for f in /etc/apt/apt.conf.d/*proxy* /etc/apt/apt.conf; do
			[ ! -e "$f" ] || cp "$f" "$root/etc/apt/apt.conf.d/"
		done
		# A mirror may lag behind what its own Release file promises.
		echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/99lagging"
		[ "$1" = sid ] || [ -z "$security" ] || echo "deb $security $1-security main" >"$root/etc/apt/sources.list.d/security.list"
		touch "$root/ready"
	fi
	for m in "proc proc $root/proc" "tmpfs shm $root/dev/shm"; do
		set -- $m
		mkdir -p "$3"
		if ! mountpoint -q "$3"; then
			if [ "$1" = tmpfs ]; then mount -t tmpfs -o mode=1777 "$2" "$3"; else mount -t "$1" "$2" "$3"; fi || return 1
			mounted="$3 $mounted"
		fi
	done
	rm -rf "$root/src"
	mkdir -p "$root/src/crm"
	git archive HEAD | tar -x -C "$root/src/crm"
	data=${CRM_DATA:-../shared/data}
	if [ -d "$data" ]; then
		mkdir -p "$root/src/shared"
		cp -R "$data" "$root/src/shared/data"
	fi
	enter "$root" sh -c 'cd /src/crm && apt-get update -qq && apt-get -qq -y upgrade && sh tools/setup.sh' >>"$dir/setup.log" 2>&1
}

# old_server ROOT: this machine's PostgreSQL with crm and the libraries of both, under /old of the chroot
old_server() {
	old=$1/old
	rm -rf "$old"
	CI=1
	crm_build
	crm_private "$old" >/dev/null
	bindir=$("$crm_pg_config" --bindir)
	mkdir -p "$old/lib"
	for f in "$old/pg$bindir/postgres" "$old/pg$bindir/pg_ctl" "$old/pg$bindir/initdb" "$old/pg$bindir/psql" \
		"$old/pg$bindir/pg_dump" "$old/pg$("$crm_pg_config" --pkglibdir)/crm.so"; do
		ldd "$f" | awk '$3 ~ /^\// { print $3 }'
	done | sort -u | grep -vE '/(libc|libm|ld-linux[^/]*|libpthread|libdl|librt)\.so' | xargs -I{} cp -L {} "$old/lib/"
	# CRoaring is loaded by its name, so ldd does not tell.
	roaring=$("${CC:-cc}" -print-file-name=libroaring.so)
	cp -L "$roaring" "$old/lib/$(objdump -p "$roaring" | sed -n 's/^ *SONAME *//p')"
}

failed=0
run_release() {
	release=$1
	echo "# $release"
	make_root "$release" || { echo "skipped: $release: no chroot can be made here ($(tail -n 1 "$dir/$release.log" 2>/dev/null))"; return 0; }
	root=$dir/$release
	version=$(enter "$root" pg_config --version | sed 's/PostgreSQL \([0-9.a-z]*\).*/\1/')
	icu=$(enter "$root" sh -c 'dpkg-query -W -f "\${Version}" libicu-dev' | sed 's/-.*//')
	for suite in ${SUITES:-sql isolation tap upgrade}; do
		[ "$suite" != upgrade ] || continue
		log=$dir/$release.$suite.log
		enter "$root" sh -c "cd /src/crm && CI=1 TESTS='${TESTS:-}' SUITES=$suite sh tools/test.sh" >"$log" 2>&1 || {
			failed=1
			grep -E 'FAILED|^not ok|warning|error' "$log" | head -n 20
		}
		suite_result "$release" "$version" "$icu" $suite "$log"
	done
	case " ${SUITES:-upgrade} " in *" upgrade "*) ;; *) return 0 ;; esac
	old_server "$root"
	log=$dir/$release.pg_upgrade.log
	if enter "$root" sh /src/crm/tools/test-pg-upgrade.sh "/old/pg$("$crm_pg_config" --bindir)" >"$log" 2>&1; then
		result "$release" "$version" "$icu" pg_upgrade "$(grep -c '^ok' "$log")" 0
	elif [ $? = 77 ]; then
		tail -n 1 "$log"
	else
		failed=1
		tail -n 20 "$log"
		result "$release" "$version" "$icu" pg_upgrade "$(grep -c '^ok' "$log")" 1
	fi
}

# This machine's own, with the upgrade of the extension and a store.
run_here() {
	echo "# here"
	version=$("$crm_pg_config" --version | sed 's/PostgreSQL \([0-9.a-z]*\).*/\1/')
	icu=$(dpkg-query -W -f '${Version}' libicu-dev 2>/dev/null | sed 's/-.*//')
	release=$(. /etc/os-release && echo "${VERSION_CODENAME:-here}")
	for suite in ${SUITES:-sql isolation tap upgrade}; do
		log=$dir/here.$suite.log
		CI=1 SUITES=$suite sh tools/test.sh >"$log" 2>&1 || {
			failed=1
			grep -E 'FAILED|^not ok|warning|error' "$log" | head -n 20
		}
		suite_result "$release" "$version" "$icu" $suite "$log"
	done
}

for release in ${MATRIX:-trixie sid}; do
	if [ "$release" = here ]; then run_here; else run_release "$release"; fi
done

# version by suite: passed, and what failed
awk -F'|' '
	function cell(k) { return k in passed ? passed[k] (failed[k] > 0 ? ", **" failed[k] " failed**" : "") : "–" }
	{ k = $2; if (!(k in seen)) { seen[k] = 1; order[++n] = k } release[k] = $1; icu[k] = $3; passed[k, $4] = $5; failed[k, $4] = $6
	  if (index(" " commits[k] " ", " " $7 " ") == 0) commits[k] = commits[k] (commits[k] == "" ? "" : " ") $7 }
	END {
		print "| PostgreSQL | Debian | ICU | SQL tests | isolation specs | TAP checks | upgrade of a store | pg_upgrade from here | of commit |"
		print "|---|---|---|---:|---:|---:|---:|---:|---|"
		for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (order[j] + 0 < order[i] + 0) { x = order[i]; order[i] = order[j]; order[j] = x }
		for (i = 1; i <= n; i++) { k = order[i]
			printf "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", k, release[k], icu[k], cell(k SUBSEP "sql"), cell(k SUBSEP "isolation"), cell(k SUBSEP "tap"),
				cell(k SUBSEP "upgrade"), cell(k SUBSEP "pg_upgrade"), commits[k] }
	}' "$results" >"$dir/table"
cat "$dir/table"
[ -z "${WRITE:-}" ] || crm_page_table doc/operations.md "make test-matrix" "$dir/table"
exit $failed
