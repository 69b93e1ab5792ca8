#!/bin/sh
# Runs every target of the scripts beside it and prints a table: target, runs, minutes, findings.
#   sh test/fuzz/run-all.sh [SECONDS [SCRIPT...]]      SECONDS for each target, 1200 when not given; SCRIPT such as tags or csv
#   WRITE=1   puts the table into doc/operations.md
set -eu
cd "$(dirname "$0")/../.."
. tools/lib.sh
seconds=${1:-1200}
[ $# -eq 0 ] || shift
FUZZ_TABLE=$(mktemp)
export FUZZ_TABLE
trap 'rm -f "$FUZZ_TABLE" "$FUZZ_TABLE.page"' EXIT
status=0
for script in ${*:-tags audience masks values csv}; do
	sh "test/fuzz/$script.sh" "$seconds" >&2 || status=1
done
table=$FUZZ_TABLE.page
{
	echo '| target | runs | minutes | of processor | branches reached | found |'
	echo '|---|---:|---:|---:|---:|---|'
	cat "$FUZZ_TABLE"
} >"$table"
cat "$table"
[ -z "${WRITE:-}" ] || crm_page_table doc/operations.md "sh test/fuzz/run-all.sh" "$table"
exit $status
