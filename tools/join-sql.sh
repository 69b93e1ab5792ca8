#!/bin/sh
# Joins the kit's script with the store's, which travels inside functions of the kit.
#   join-sql.sh                    the script that installs the extension
#   join-sql.sh sql/upgrade/crm--X--Y.sql   the one that leads from X to Y: what is written there, and the store's scripts anew
set -eu
or_replace=
if [ $# = 0 ]; then
	printf '%s\n' '\echo Use "CREATE EXTENSION crm" to load this file. \quit'
	for f in sql/kit/*.sql; do
		printf '\n-- %s\n' "$f"
		cat "$f"
	done
else
	printf '%s\n' '\echo Use "ALTER EXTENSION crm UPDATE" to load this file. \quit'
	cat "$1"
	or_replace='OR REPLACE '
fi

# lines FILE: its lines; "-- again NAME" stands for those from "-- shared NAME" to "-- end NAME" above it in the file
lines() {
	awk '$1 == "--" && $2 == "again" && NF == 3 { if (!($3 in text)) { print FILENAME ": no lines " $3 >"/dev/stderr"; exit 1 } printf "%s", text[$3]; next }
		$1 == "--" && $2 == "end" && NF == 3 { name = ""; next }
		$1 == "--" && $2 == "shared" && NF == 3 { name = $3; text[name] = ""; next }
		name != "" { text[name] = text[name] $0 "\n" }
		{ print }' "$1"
}

# wrap FUNCTION COMMENT FILE...: the files as one text that FUNCTION returns
wrap() {
	printf "\nCREATE ${or_replace}FUNCTION %s() RETURNS text\nLANGUAGE sql IMMUTABLE PARALLEL SAFE\n" "$1"
	printf 'SET search_path = pg_catalog, pg_temp\nAS $crm_function$ SELECT $crm_script$'
	name=$1 comment=$2
	shift 2
	for f in "$@"; do
		printf '\n-- %s\n' "$f"
		lines "$f"
	done
	printf '$crm_script$::text $crm_function$;\n'
	printf "COMMENT ON FUNCTION %s() IS '%s';\n" "$name" "$comment"
}
wrap store_script 'the SQL that makes the tables, views, functions and triggers of a store; run by create_store' sql/store/*.sql
wrap part_script 'the SQL that make_parts runs last in each part of a distributed store' sql/distributed/part/*.sql
wrap distributed_script 'the SQL that distribute_store runs last: what of a distributed store is answered by its parts, or by tables that only it has' sql/distributed/*.sql
wrap seed_script 'the SQL that fills the configuration tables of a new store; run by create_store when seed is true' sql/seed/*.sql

# The steps that lead an older store to this version: sql/upgrade/store--X--Y.sql
printf "\nCREATE ${or_replace}FUNCTION store_upgrade_steps() RETURNS TABLE (from_version text, to_version text, script text)\nLANGUAGE sql IMMUTABLE PARALLEL SAFE\n"
printf 'SET search_path = pg_catalog, pg_temp\nAS $crm_function$\nSELECT NULL::text, NULL::text, NULL::text WHERE false\n'
for f in sql/upgrade/store--*--*.sql; do
	[ -e "$f" ] || continue
	versions=$(basename "$f" .sql)
	versions=${versions#store--}
	printf "UNION ALL SELECT '%s', '%s', \$crm_script\$\n-- %s\n" "${versions%%--*}" "${versions##*--}" "$f"
	lines "$f"
	printf '$crm_script$\n'
done
printf '$crm_function$;\n'
printf "COMMENT ON FUNCTION store_upgrade_steps() IS 'the scripts that bring a store of an older version up, step by step; run by upgrade_store';\n"
