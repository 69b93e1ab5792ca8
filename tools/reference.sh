#!/bin/sh
# Writes doc/reference anew from the catalogs of a private cluster with crm and a store.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh

crm_scratch reference
crm_start
createdb reference
psql -X -q -d reference -c "CREATE EXTENSION crm" -c "SELECT crm.create_store('shop')" >/dev/null
psql -X -d reference -f tools/reference.sql >"$work/pages"
rm -rf doc/reference
mkdir doc/reference
awk '/^@@ / { page = "doc/reference/" $2; next } { print > page }' "$work/pages"
ls doc/reference | wc -l | sed 's/$/ pages in doc\/reference/'
