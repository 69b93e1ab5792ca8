#!/bin/sh
# Runs the benchmarks of test/bench on a private cluster; each prints a Markdown table of ratios.
#   BENCH="orders tags"   only these      CRM_BENCH_SCALE=0.1   smaller (default 1)
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh
CRM_CFLAGS="-O2 ${CRM_CFLAGS:-}"
crm_scratch bench
CRM_SHARED_BUFFERS=${CRM_SHARED_BUFFERS:-2GB}
CRM_FSYNC=${CRM_FSYNC:-on}
crm_start
CRM_BENCH_SCALE=${CRM_BENCH_SCALE:-1}
if [ -z "${CRM_DATA:-}" ] && [ -d ../shared/data ]; then
	CRM_DATA=$(cd ../shared/data && pwd)
fi
CRM_DATA=${CRM_DATA:-}
export CRM_BENCH_SCALE CRM_DATA
cp -R test "$work/test"
[ "$(id -u)" != 0 ] || chown -R "$crm_user" "$work/test"
for f in test/bench/*.sh test/bench/*.py; do
	[ -e "$f" ] || continue
	name=$(basename "$f")
	name=${name%.*}
	# Beside other software only when asked for: it takes what is at hand of theirs.
	[ "$name" != peers ] || [ -n "${BENCH:-}" ] || continue
	case " ${BENCH:-$name} " in *" $name "*) ;; *) continue ;; esac
	createdb "bench_$name"
	case $f in
	*.sh) as_server env PGDATABASE="bench_$name" sh "$work/$f" ;;
	*.py) as_server env PGDATABASE="bench_$name" /usr/bin/python3 "$work/$f" ;;
	esac
	dropdb --force "bench_$name"
done
