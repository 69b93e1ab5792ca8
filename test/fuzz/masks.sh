#!/bin/sh
# Fuzzes the masks, the validators, and the readers of sealed values with address and undefined-behaviour sanitizers.
#   sh test/fuzz/masks.sh [SECONDS [TARGET...]]      SECONDS for each target, 1200 when not given
# What is found stays in the folder named at the end; test/fuzz/corpus holds the inputs to begin with.
set -eu
cd "$(dirname "$0")/../.."
. test/fuzz/lib.sh
seconds=${1:-1200}
[ $# -eq 0 ] || shift
for t in ${*:-masks validators sealed_in sealed_recv sealed_round}; do
	fuzz "$t" "$seconds" 600 test/fuzz/masks.c src/privacy/mask*.c src/privacy/validate.c src/privacy/normalize.c src/privacy/pinyin.c \
		src/privacy/seal*.c src/privacy/cipher.c src/base/unicode.c $(server_flags) -lcrypto -licui18n -licuuc
done
fuzz_end
