#!/bin/sh
# Builds crm, runs its tests on a private cluster, and closes with one line: N passed, N failed.
#   TESTS="tagset rfm"   only these SQL tests, isolation specs and TAP files (by name)
#   SUITES="sql tap"     only these kinds, of: sql isolation upgrade tap
#   LONG=1               with what takes longer than ten minutes
#   MET=file             takes what the tests of faults met, for tools/test-faults.sh
set -eu
cd "$(dirname "$0")/.."
top=$PWD
. tools/lib.sh

crm_scratch test

# The server's user may not be able to read the source folder, so the tests run on a copy.
mkdir -p "$work/src"
cp -R test expected tools sql src crm.control README.md doc CHANGELOG.md META.json debian Dockerfile "$work/src/" 2>/dev/null || true
[ "$(id -u)" != 0 ] || chown -R "$crm_user" "$work/src"
data=${CRM_DATA:-}
if [ -z "$data" ] && [ -d ../shared/data ]; then
	data=$(cd ../shared/data && pwd)
fi
CRM_DATA=$data
# The TAP tests make clusters of the environment's locale, and crm needs UTF-8.
LANG=C.UTF-8
export CRM_DATA LANG
unset LC_ALL

crm_start
pgxs_test=$(dirname "$("$crm_pg_config" --pgxs)")/../test
wanted() { # wanted NAME: is it among TESTS, or are all?
	[ -z "${TESTS:-}" ] && return 0
	for t in $TESTS; do [ "$t" = "$1" ] && return 0; done
	return 1
}

suite() { # suite NAME: is this kind wanted?
	case " ${SUITES:-sql isolation upgrade tap} " in *" $1 "*) return 0 ;; esac
	return 1
}

passed=0 failed=0
out=$work/out
count_all() { # adds the results in $out; a runner that failed ($status) without naming a test is a failure too
	p=$(grep -cE '^(test .*\.\.\. ok|ok [0-9]+ |     [a-z_0-9]+ +\.\.\. ok)' "$out" || true)
	f=$(grep -cE '^(test .*\.\.\. FAILED|not ok [0-9]+ |     [a-z_0-9]+ +\.\.\. FAILED)' "$out" || true)
	# A TAP file that dies before its plan says so in prove's summary alone.
	f=$((f + $(grep -c 'Parse errors: No plan found' "$out" || true)))
	if [ "$status" != 0 ] && [ "$f" = 0 ]; then f=1; fi
	passed=$((passed + p)) failed=$((failed + f))
}

run_in() { # run_in DIR COMMAND...: as the server's user, in DIR
	dir=$1
	shift
	as_server sh -c 'cd "$1" && shift && exec "$@"' sh "$dir" "$@"
}

sql=
for f in test/sql/*.sql; do
	n=$(basename "$f" .sql)
	[ -e "$f" ] && suite sql && wanted "$n" && sql="$sql $n"
done
if [ -n "$sql" ]; then
	echo "# SQL tests"
	run_in "$work/src" "$pgxs_test/regress/pg_regress" --inputdir=test --bindir="$(dirname "$(command -v psql)")" --host="$PGHOST" --port="$PGPORT" \
		--user="$PGUSER" --dbname=crm_regress --load-extension=crm --outputdir="$work/src" $sql >"$out" 2>&1 && status=0 || status=1
	cat "$out"
	count_all
	if [ -f "$work/src/regression.diffs" ]; then
		cat "$work/src/regression.diffs" | head -n "${DIFF_LINES:-300}"
	fi
	rm -rf "$top/results"
	cp -R "$work/src/results" "$top/results" 2>/dev/null || true
fi

specs=
for f in test/isolation/specs/*.spec; do
	n=$(basename "$f" .spec)
	[ -e "$f" ] && suite isolation && wanted "$n" && specs="$specs $n"
done
if [ -n "$specs" ]; then
	echo "# isolation specs"
	mkdir -p "$work/src/test/isolation/expected"
	[ "$(id -u)" != 0 ] || chown -R "$crm_user" "$work/src/test/isolation"
	PGISOLATIONTIMEOUT=60
	export PGISOLATIONTIMEOUT
	run_in "$work/src/test/isolation" "$pgxs_test/isolation/pg_isolation_regress" --inputdir=. --outputdir=out_iso --bindir="$(dirname "$(command -v psql)")" --host="$PGHOST" \
		--port="$PGPORT" --user="$PGUSER" --dbname=crm_isolation --load-extension=crm $specs >"$out" 2>&1 && status=0 || status=1
	cat "$out"
	count_all
	cat "$work/src/test/isolation/out_iso/regression.diffs" 2>/dev/null | head -n "${DIFF_LINES:-300}" || true
	rm -rf "$top/test/isolation/results"
	cp -R "$work/src/test/isolation/out_iso/results" "$top/test/isolation/results" 2>/dev/null || true
fi
if suite upgrade && wanted upgrade; then
	echo "# upgrade"
	CRM_DIR="$work" PG_CONFIG="$crm_pg_config" sh tools/test-upgrade.sh >"$out" 2>&1 && status=0 || status=1
	cat "$out"
	count_all
	# The next version is not to be met by the tests that follow.
	crm_private "$work"
fi
crm_stop

tap=
for f in test/t/*.pl ${LONG:+test/long/*.pl}; do
	n=$(basename "$f" .pl)
	[ -e "$f" ] && suite tap && wanted "$n" && tap="$tap $f"
done
if [ -n "$tap" ]; then
	echo "# TAP"
	PG_REGRESS=$pgxs_test/regress/pg_regress
	PERL5LIB=$pgxs_test/perl${PERL5LIB:+:$PERL5LIB}
	TESTDIR=$work/src
	TESTDATADIR=$work/src/tmp_check
	TESTLOGDIR=$work/src/tmp_check/log
	export PG_REGRESS PERL5LIB TESTDIR TESTDATADIR TESTLOGDIR
	unset PGHOST PGPORT PGDATABASE PGUSER PGDATA
	CRM_MET=$work/src/met
	export CRM_MET
	run_in "$work/src" prove --verbose --timer $tap >"$out" 2>&1 && status=0 || status=1
	grep -vE '^(ok|# )' "$out" | head -n 400
	count_all
	[ -z "${MET:-}" ] || cat "$CRM_MET" >"$MET" || true
	[ "$status" = 0 ] || grep -E '^(not ok|# )' "$out" | grep -vE '^# ( *.std(out|err). =>|[{}]|.$|background_psql|(connect|issuing|results) )' | tail -n 80
	if [ "$failed" -gt 0 ]; then
		rm -rf "$top/results/log"
		mkdir -p "$top/results"
		cp -R "$TESTLOGDIR" "$top/results/log" 2>/dev/null || true
	fi
fi

if [ -n "${SANITIZE:-}" ]; then
	find "$work/server.log" "$work/src/tmp_check/log" -name '*.log' -exec grep -hE 'AddressSanitizer|runtime error' {} + 2>/dev/null | sort | uniq -c >"$work/sanitizer" || true
	cat "$work/sanitizer"
	failed=$((failed + $(wc -l <"$work/sanitizer")))
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
