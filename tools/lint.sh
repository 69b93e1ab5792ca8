#!/bin/sh
# Static analysis: cppcheck and clang-tidy over src/, the checks of .clang-tidy.
#   LINT_FILES="src/tags/tagset.c"   only these       LINT_JOBS=2   so many at a time (as many as there are processors)
# A file that is not done after LINT_SECONDS (600) is a failure. The slowest five are named at the end.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh
version=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" crm.control)
work=$(mktemp -d "${TMPDIR:-/tmp}/crm-lint.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
LINT_INCLUDE=$("$crm_pg_config" --includedir-server)
LINT_VERSION=$version
LINT_WORK=$work
export LINT_INCLUDE LINT_VERSION LINT_WORK
status=0

jobs=${LINT_JOBS:-$(nproc)}
cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability --inline-suppr --std=c99 -j "$jobs" \
	--suppressions-list=tools/cppcheck-suppressions.txt \
	-Isrc -DCRM_VERSION=\"$version\" -DPG_VERSION_NUM=150000 -DUSE_ICU=1 ${LINT_FILES:-src} || status=1

# One file at a time, so that each has its own time and its own verdict; what includes of PostgreSQL say is not ours.
ls -S ${LINT_FILES:-src/*/*.c} | xargs -P "$jobs" -I FILE sh -c '
	log=$LINT_WORK/$(echo "$1" | tr / _)
	begun=$(date +%s)
	said=0
	timeout "${LINT_SECONDS:-600}" clang-tidy --quiet "$1" -- -Isrc -I"$LINT_INCLUDE" -D_GNU_SOURCE -DCRM_VERSION=\"$LINT_VERSION\" >"$log" 2>"$log.err" || said=$?
	echo "$(($(date +%s) - begun)) s $1" >>"$LINT_WORK/times"
	[ $said != 0 ] || exit 0
	if [ $said = 124 ]; then echo "$1: not done after ${LINT_SECONDS:-600} seconds"; fi
	cat "$log"
	grep -E "error:" "$log.err" || true
	echo "$1" >>"$LINT_WORK/failed"
' sh FILE
sort -rn "$work/times" | head -n 5
if [ -s "$work/failed" ]; then
	echo "lint: findings in $(wc -l <"$work/failed") of $(wc -l <"$work/times") files"
	exit 1
fi
[ $status = 0 ]
echo "lint: clean ($(wc -l <"$work/times") files)"
