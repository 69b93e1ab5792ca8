#!/bin/sh
# A cluster of one's own while developing.  tools/dev.sh start DIR | reload DIR | psql DIR [ARG...] | stop DIR
# start builds and starts; reload builds again and installs into the running one (new sessions load the new library).
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh
command=$1 dir=$2
shift 2
case $command in
start)
	crm_build
	mkdir -p "$dir"
	chmod 755 "$dir"
	crm_private "$dir"
	crm_start
	createdb -h "$PGHOST" -p "$PGPORT" -U "$PGUSER" crm 2>/dev/null || true
	echo "psql -h $PGHOST -p $PGPORT -U $PGUSER crm"
	;;
reload)
	crm_build
	crm_private "$dir"
	;;
psql)
	CRM_DIR=$dir
	exec psql -X -h "$dir/run" -p 54329 -U "$crm_user" "$@"
	;;
stop)
	CRM_DIR=$dir
	PGDATA=$dir/data
	PATH="$dir/pg$("$crm_pg_config" --bindir):$PATH"
	crm_clean
	;;
esac
