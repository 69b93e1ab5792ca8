#!/bin/sh
# Fuzzes the readers of tag sets and tag queries with address and undefined-behaviour sanitizers.
#   sh test/fuzz/tags.sh [SECONDS [TARGET...]]      SECONDS for each target, 1200 when not given
# What is found stays in the folder named at the end; test/fuzz/corpus holds the inputs to begin with.
set -eu
cd "$(dirname "$0")/../.."
. test/fuzz/lib.sh
seconds=${1:-1200}
[ $# -eq 0 ] || shift
dict=-dict=test/fuzz/tags.dict
for t in ${*:-tagset_in tagset_recv tagquery_in tagquery_recv}; do
	fuzz "$t" "$seconds" 2000 test/fuzz/tags.c src/tags/tagset.c src/tags/tagset_core.c src/tags/tagquery.c src/tags/tagquery_parse.c \
		src/tags/tagquery_tree.c src/base/unicode.c $(server_flags) -licui18n -licuuc
done
fuzz_end
