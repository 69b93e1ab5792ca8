#!/bin/sh
# Fuzzes the reader of comma-separated values with address and undefined-behaviour sanitizers: sh test/fuzz/csv.sh [SECONDS]
set -eu
cd "$(dirname "$0")/../.."
. test/fuzz/lib.sh
mkdir -p "$work/corpus_csv"
cp test/data/*.csv "$work/corpus_csv/"
printf '\001"a""b",c\r\n"d\ne";f\tg\n"open' >"$work/corpus_csv/seed"
fuzz csv "${1:-1200}" 4096 -g -O1 -Wall -Wextra test/fuzz/csv.c src/exchange/csv.c
fuzz_end
