#!/bin/sh
# The main job on real-looking orders, in a private cluster that goes away afterwards.
#   ORDERS=file.csv   the user's own orders (header: customer, order_no, ordered_at, amount and optionally refunded, channel, status, name, phone, email)
#   MAP='{"order_no":"sn"}'   other column names        BAD=skip   take the good rows when some are bad
#   DEMO_LANG=zh|en   language of what is printed       KEEP=1     leave the cluster up and open psql, with a tour
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh

case ${ORDERS:-} in
"" | /*) ;;
*) ORDERS=$PWD/$ORDERS ;;
esac
if [ -n "${ORDERS:-}" ] && [ ! -r "$ORDERS" ]; then
	echo "crm: cannot read ORDERS=$ORDERS" >&2
	exit 1
fi
if [ -z "${DEMO_LANG:-}" ]; then
	case ${LC_ALL:-${LANG:-}} in zh*) DEMO_LANG=zh ;; *) DEMO_LANG=en ;; esac
fi

no_map="{}"
crm_scratch demo
[ -z "${KEEP:-}" ] || trap - EXIT
crm_start
createdb demo
PGDATABASE=demo
export PGDATABASE
run() { psql -X -q -v ON_ERROR_STOP=1 "$@"; }
run -c "CREATE EXTENSION crm" -c "SELECT crm.create_store('shop', language => '$DEMO_LANG')" >/dev/null

# The file is read here, as the caller, and goes to the server by the connection.
if [ -n "${ORDERS:-}" ]; then
	columns=$(head -n 1 "$ORDERS" | sed 's/^\xef\xbb\xbf//; s/\r$//' | /usr/bin/python3 -c '
import csv, sys
print(", ".join("\"" + c.strip().replace("\"", "\"\"") + "\" text" for c in next(csv.reader(sys.stdin))))')
	printf '%s\n' "CREATE TEMP TABLE order_file ($columns);" '\copy order_file FROM PSTDIN WITH (FORMAT csv, HEADER)' >"$work/load.sql"
	cat >>"$work/load.sql" <<-'SQL'
		CREATE TEMP TABLE bad AS SELECT * FROM shop.import_orders('order_file', :'map', :'bad');
		SELECT 'line ' || line || ': ' || reason FROM bad ORDER BY line LIMIT 20;
		SELECT count(*) > 0 AND :'bad' = 'refuse' AS refused FROM bad \gset
		\if :refused
			\echo 'Nothing was taken. Mend the lines, or set BAD=skip to take the others.'
			\quit
		\endif
	SQL
	run -At -v map="${MAP:-$no_map}" -v bad="${BAD:-refuse}" -f "$work/load.sql" <"$ORDERS"
elif [ -r "${CRM_DATA:-../shared/data}/online_retail_orders.csv" ]; then
	run -At -f tools/demo/online_retail.sql <"${CRM_DATA:-../shared/data}/online_retail_orders.csv"
else
	run -At -f tools/demo/generate.sql -c "SELECT * FROM shop.import_orders('order_file')"
fi
[ "$(run -At -c 'SELECT count(*) FROM shop.purchase')" -gt 0 ] || exit 1
run -v lang="$DEMO_LANG" -f tools/demo/report.sql -f tools/demo/ledger.sql
run -At -c "SELECT shop.report_html((SELECT max(order_at) + interval '1 day' FROM shop.purchase))" >crm-report.html
echo
case $DEMO_LANG in zh) echo "== 图表报告: crm-report.html (用浏览器打开)" ;; *) echo "== The report in charts: crm-report.html (open it in a browser)" ;; esac

if [ -n "${KEEP:-}" ]; then
	echo
	echo "The cluster stays up. Connect:  psql -h $PGHOST -p $PGPORT -U $PGUSER demo"
	echo "Stop and remove it:             tools/dev.sh stop $work"
	case $DEMO_LANG in
	zh) echo "导览,逐步演示(顾客的一天、商家的周一、审计、攻击者):\\i tools/demo/tour.sql" ;;
	*) echo "A tour, step by step (a customer's day, a merchant's Monday, an auditor's check, an attacker's try):  \\i tools/demo/tour.sql" ;;
	esac
	# Where a person sits, psql opens; the tour waits for Enter at its stops.
	if [ -t 0 ] && [ -t 1 ]; then
		psql -X -P pager=off
	fi
fi
