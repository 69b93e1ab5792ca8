#!/bin/sh
# Fuzzes the readers of audiences with address and undefined-behaviour sanitizers, and their algebra against CRoaring.
#   sh test/fuzz/audience.sh [SECONDS [TARGET...]]      SECONDS for each target, 1200 when not given
# What is found stays in the folder named at the end; test/fuzz/corpus holds the inputs to begin with.
set -eu
cd "$(dirname "$0")/../.."
. test/fuzz/lib.sh
seconds=${1:-1200}
[ $# -eq 0 ] || shift
for t in ${*:-audience_in audience_recv}; do
	fuzz "$t" "$seconds" 20000 test/fuzz/audience.c src/tags/audience_format.c src/tags/audience_write.c src/tags/audience_kernel.c src/tags/audience_op.c \
		src/tags/audience_io.c src/tags/audience_read.c src/tags/audience_set.c src/tags/audience_arrays.c $(server_flags) -lroaring -lm
done
fuzz_end
