#!/bin/sh
# Static analysis: cppcheck and clang-tidy over src/.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh
include=$("$crm_pg_config" --includedir-server)
version=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" crm.control)
cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability --inline-suppr --std=c99 \
	--suppressions-list=tools/cppcheck-suppressions.txt \
	-Isrc -DCRM_VERSION=\"$version\" -DPG_VERSION_NUM=150000 -DUSE_ICU=1 src
clang-tidy --quiet --warnings-as-errors='*' \
	--checks='-*,clang-analyzer-*,-clang-analyzer-security.insecureAPI.*,-clang-analyzer-deadcode.DeadStores,bugprone-*,-bugprone-easily-swappable-parameters,-bugprone-reserved-identifier,-bugprone-narrowing-conversions,-bugprone-implicit-widening-of-multiplication-result,-bugprone-assignment-in-if-condition,-bugprone-macro-parentheses,-bugprone-sizeof-expression,-bugprone-branch-clone' \
	src/*/*.c -- -Isrc -I"$include" -D_GNU_SOURCE -DCRM_VERSION=\"$version\" 2>/dev/null
echo "lint: clean"
