#!/bin/sh
# Runs every target of the scripts beside it and prints a table: target, runs, minutes, findings.
#   sh test/fuzz/run-all.sh [SECONDS [SCRIPT...]]      SECONDS for each target, 1200 when not given; SCRIPT such as tags or csv
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-1200}
[ $# -eq 0 ] || shift
FUZZ_TABLE=$(mktemp)
export FUZZ_TABLE
trap 'rm -f "$FUZZ_TABLE"' EXIT
status=0
for script in ${*:-tags audience masks values csv}; do
	sh "test/fuzz/$script.sh" "$seconds" >&2 || status=1
done
echo '| target | runs | minutes | of processor | branches reached | found |
|---|---:|---:|---:|---:|---|'
cat "$FUZZ_TABLE"
exit $status
