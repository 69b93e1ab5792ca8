#!/bin/sh
# Fuzzes the readers of points_lots, rfm, rfm_model and purchase_months with address and undefined-behaviour sanitizers.
#   sh test/fuzz/values.sh [SECONDS [TARGET...]]      SECONDS for each target, 1200 when not given
# The text forms of rfm_model and purchase_months, and rules, are read with the server's own numeric, jsonb and parser: test/py/type_fuzz.py feeds those to a server.
set -eu
cd "$(dirname "$0")/../.."
. test/fuzz/lib.sh
seconds=${1:-1200}
[ $# -eq 0 ] || shift
for t in ${*:-points_lots_in points_lots_recv rfm_in rfm_recv rfm_model_recv purchase_months_recv}; do
	mkdir -p "$work/corpus_$t"
	printf '{100 until 2026-12-31T00:00:00Z, 20 from 2026-05-01T00:00:00Z until 2027-01-31T16:00:00Z, 50}' >"$work/corpus_$t/lots"
	printf '5-4-3' >"$work/corpus_$t/rfm"
	printf '\000\000\000\001\000\000\000\000\000\000\000\144\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000' >"$work/corpus_$t/one"
	printf '\001\000\001\001\001\000\000\000\000\000\000\000\011\077\370\000\000\000\000\000\000\077\370\000\000\000\000\000\000\077\370\000\000\000\000\000\000\077\370\000\000\000\000\000\000\077\370\000\000\000\000\000\000\077\370\000\000\000\000\000\000' >"$work/corpus_$t/model"
	fuzz "$t" "$seconds" 2000 test/fuzz/values.c src/points/lots.c src/points/lots_io.c src/value/rfm.c src/value/rfm_model.c \
		src/store/purchase_months.c src/store/money.c src/base/number.c $(server_flags) -lm
done
fuzz_end
