#!/bin/sh
# What the order triggers add, against the same work hand-written: correct PL/pgSQL row triggers, and the best SQL over
# transition tables. All variants keep the same columns, monthly buckets included; the time of the bare statement (foreign
# key and indexes included) is taken off on both sides. orderpath.py has the same with points, tiers and rules.
#   CRM_BENCH_SCALE  1 is full size: 5 s a run, 3 rounds, COPY of 1,000,000 orders into 100,000 customers
set -eu
scale=${CRM_BENCH_SCALE:-1}
db=crm_bench_orders
seconds=$(awk "BEGIN { s = 5 * $scale; print s < 2 ? 2 : int(s) }")
rounds=$(awk "BEGIN { print $scale < 1 ? 2 : 3 }")
customers=$(awk "BEGIN { print int(100000 * $scale) }")
orders=$(awk "BEGIN { print int(1000000 * $scale) }")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$db" "$@"; }

psql -X -q -d postgres -c "DROP DATABASE IF EXISTS $db" -c "CREATE DATABASE $db" 2>/dev/null
sql -c 'CREATE EXTENSION crm'

make_store() { # make_store KIND: a store whose orders are kept in this way
	sql >/dev/null <<-SQL
		SET client_min_messages = warning;
		SELECT crm.drop_store(name, name) FROM crm.store WHERE name = '$1';
		SELECT crm.create_store('$1');
		-- The work compared is that of the summaries.
		DELETE FROM $1.points_rule;
		INSERT INTO $1.customer SELECT FROM generate_series(1, $customers);
	SQL
	[ "$1" = crm ] || [ "$1" = b_crm ] || sql >/dev/null <<-SQL
		DROP TRIGGER purchase_inserted ON $1.purchase;
		DROP TRIGGER purchase_updated ON $1.purchase;
		DROP TRIGGER purchase_deleted ON $1.purchase;
	SQL
	case $1 in
	b_row)
		sql <<-'SQL'
			CREATE FUNCTION b_row.keep(c bigint, p b_row.purchase, sign integer) RETURNS void LANGUAGE plpgsql AS $$
			BEGIN
			    UPDATE b_row.customer_summary s SET
			        order_count = order_count + CASE WHEN p.order_at IS NULL THEN 0 ELSE sign END,
			        spend_total = spend_total + sign * p.net,
			        refunded_total = refunded_total + CASE WHEN p.status IN ('pending', 'cancelled') THEN 0 ELSE sign * (p.amount - p.net) END,
			        discount_total = discount_total + CASE WHEN p.order_at IS NULL THEN 0 ELSE sign * p.discount END,
			        cost_total = cost_total + CASE WHEN p.order_at IS NULL THEN 0 ELSE sign * coalesce(p.cost, 0) END,
			        months = CASE WHEN p.order_at IS NULL THEN months ELSE months OPERATOR(crm.+) crm.purchase_months(p.order_at, sign * p.net, sign) END,
			        first_order_at = CASE WHEN sign > 0 THEN least(first_order_at, p.order_at) ELSE first_order_at END,
			        last_order_at = CASE WHEN sign > 0 THEN greatest(last_order_at, p.order_at) ELSE last_order_at END
			    WHERE customer_id = c;
			    IF sign < 0 THEN
			        UPDATE b_row.customer_summary s SET (first_order_at, last_order_at) =
			            (SELECT min(o.order_at), max(o.order_at) FROM b_row.purchase o WHERE o.customer_id = c)
			        WHERE s.customer_id = c AND (s.first_order_at >= p.order_at OR s.last_order_at <= p.order_at);
			    END IF;
			END $$;
			CREATE FUNCTION b_row.keep_row() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN
			    IF TG_OP = 'INSERT' THEN
			        -- Most rows come by INSERT, so this one is written out.
			        UPDATE b_row.customer_summary s SET
			            order_count = order_count + CASE WHEN NEW.order_at IS NULL THEN 0 ELSE 1 END,
			            spend_total = spend_total + NEW.net,
			            refunded_total = refunded_total + CASE WHEN NEW.status IN ('pending', 'cancelled') THEN 0 ELSE NEW.amount - NEW.net END,
			            discount_total = discount_total + CASE WHEN NEW.order_at IS NULL THEN 0 ELSE NEW.discount END,
			            cost_total = cost_total + CASE WHEN NEW.order_at IS NULL THEN 0 ELSE coalesce(NEW.cost, 0) END,
			            months = CASE WHEN NEW.order_at IS NULL THEN months ELSE months OPERATOR(crm.+) crm.purchase_months(NEW.order_at, NEW.net) END,
			            first_order_at = least(first_order_at, NEW.order_at),
			            last_order_at = greatest(last_order_at, NEW.order_at)
			        WHERE customer_id = NEW.customer_id;
			        RETURN NULL;
			    END IF;
			    PERFORM b_row.keep(OLD.customer_id, OLD, -1);
			    IF TG_OP = 'UPDATE' THEN
			        PERFORM b_row.keep(NEW.customer_id, NEW, 1);
			    END IF;
			    RETURN NULL;
			END $$;
			CREATE TRIGGER keep AFTER INSERT OR UPDATE OR DELETE ON b_row.purchase FOR EACH ROW EXECUTE FUNCTION b_row.keep_row();
		SQL
		;;
	b_sql)
		sql <<-'SQL'
			CREATE FUNCTION b_sql.keep_rows() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN
			    -- In order, so that two statements do not wait for each other.
			    PERFORM FROM b_sql.customer_summary s WHERE s.customer_id IN (SELECT n.customer_id FROM new_rows n) ORDER BY s.customer_id FOR NO KEY UPDATE;
			    UPDATE b_sql.customer_summary s SET
			        order_count = order_count + d.orders, spend_total = spend_total + d.spend, refunded_total = refunded_total + d.refunded,
			        discount_total = discount_total + d.discount, cost_total = cost_total + d.cost, months = months OPERATOR(crm.+) d.m,
			        first_order_at = least(first_order_at, d.first), last_order_at = greatest(last_order_at, d.last)
			    FROM (SELECT n.customer_id, count(n.order_at) AS orders, sum(n.net) AS spend,
			                 sum(CASE WHEN n.status IN ('pending', 'cancelled') THEN 0 ELSE n.amount - n.net END) AS refunded,
			                 coalesce(sum(n.discount) FILTER (WHERE n.order_at IS NOT NULL), 0) AS discount,
			                 coalesce(sum(n.cost) FILTER (WHERE n.order_at IS NOT NULL), 0) AS cost,
			                 crm.purchase_months_agg(n.order_at, n.net) AS m, min(n.order_at) AS first, max(n.order_at) AS last
			          FROM new_rows n GROUP BY n.customer_id) d
			    WHERE s.customer_id = d.customer_id;
			    RETURN NULL;
			END $$;
			CREATE TRIGGER keep AFTER INSERT ON b_sql.purchase REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION b_sql.keep_rows();
		SQL
		;;
	esac
}

kinds="b_bare b_row b_sql b_crm"
for k in $kinds; do make_store "$k"; done
sql -c 'VACUUM ANALYZE' -c 'CHECKPOINT'

for k in $kinds; do
	cat >"$work/$k.sql" <<-SQL
		\set c random(1, $customers)
		\set a random(1, 99999)
		\set d random(0, 700)
		\set n random(1, 4000000000000000000)
		INSERT INTO $k.purchase (customer_id, order_no, amount, paid_at)
		VALUES (:c, :n::text, :a / 100.0, '2026-01-01 00:00+00'::timestamptz + :d * interval '1 day');
	SQL
done

median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

echo "Single inserts, $customers customers, $seconds s a run, median of $rounds rounds. Added = what a trigger adds to the bare INSERT."
echo
echo "| commit | clients | bare/s | PL/pgSQL row/s | SQL statement/s | crm/s | added, PL/pgSQL row | added, crm | crm : PL/pgSQL row |"
echo "|---|---|---|---|---|---|---|---|---|"
for commit in ${CRM_BENCH_COMMIT:-on off}; do
	sql -c "ALTER SYSTEM SET fsync = $commit" -c "ALTER SYSTEM SET synchronous_commit = $commit" -c 'SELECT pg_reload_conf()' >/dev/null
	sleep 1
	for clients in 1 8 16; do
		rm -f "$work"/*.tps
		r=0
		while [ $r -lt "$rounds" ]; do
			for k in $kinds; do
				pgbench -n -M prepared -f "$work/$k.sql" -c "$clients" -j 2 -T "$seconds" "$db" 2>"$work/pgbench.err" |
					sed -n 's/^tps = \([0-9.]*\).*/\1/p' >>"$work/$k.tps"
			done
			r=$((r + 1))
		done
		bare=$(median <"$work/b_bare.tps") row=$(median <"$work/b_row.tps") stm=$(median <"$work/b_sql.tps") crm=$(median <"$work/b_crm.tps")
		awk -v commit=$commit -v c="$clients" -v b="$bare" -v r="$row" -v s="$stm" -v m="$crm" 'BEGIN {
			printf "| %s | %d | %d | %d | %d | %d | %.1f us | %.1f us | %.2f |\n", commit, c, b, r, s, m,
			       1e6 * (c / r - c / b), 1e6 * (c / m - c / b), (1 / m - 1 / b) / (1 / r - 1 / b) }'
	done
done
sql -c 'ALTER SYSTEM RESET fsync' -c 'ALTER SYSTEM RESET synchronous_commit' -c 'SELECT pg_reload_conf()' >/dev/null
for k in b_row b_sql b_crm; do
	[ "$(sql -c "SELECT count(*) FROM $k.recount_customers()")" = 0 ] || { echo "$k does not add up" >&2; exit 1; }
done

echo
echo "COPY of $orders orders into $customers customers, seconds, median of $rounds rounds."
echo
sql -c "COPY (SELECT 1 + (hashint8(i) & 2147483647) % $customers, 'o' || i, ((hashint8(i + 7) & 2147483647) % 100000) / 100.0,
               '2024-01-01 00:00+00'::timestamptz + ((hashint8(i + 13) & 2147483647) % 730) * interval '1 day' FROM generate_series(1, $orders) i) TO STDOUT" >"$work/orders.copy"
rm -f "$work"/*.copy_time
r=0
while [ $r -lt "$rounds" ]; do
	for k in $kinds; do
		make_store "$k"
		sql -c "VACUUM ANALYZE $k.customer_summary" -c CHECKPOINT
		cat >"$work/copy.sql" <<-SQL
			\timing on
			\copy $k.purchase (customer_id, order_no, amount, paid_at) FROM '$work/orders.copy'
			\timing off
		SQL
		sql -f "$work/copy.sql" >"$work/copy.out"
		sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' "$work/copy.out" >>"$work/$k.copy_time"
	done
	r=$((r + 1))
done
for k in b_row b_sql b_crm; do
	[ "$(sql -c "SELECT count(*) FROM $k.recount_customers()")" = 0 ] || { echo "$k does not add up" >&2; exit 1; }
done
bare=$(median <"$work/b_bare.copy_time") row=$(median <"$work/b_row.copy_time") stm=$(median <"$work/b_sql.copy_time") crm=$(median <"$work/b_crm.copy_time")
awk -v b="$bare" -v r="$row" -v s="$stm" -v m="$crm" 'BEGIN {
	print "| bare | PL/pgSQL row | SQL statement | crm | crm : PL/pgSQL row | crm : SQL statement |"
	print "|---|---|---|---|---|---|"
	printf "| %.2f | %.2f | %.2f | %.2f | %.2f | %.2f |\n", b / 1000, r / 1000, s / 1000, m / 1000, (m - b) / (r - b), (m - b) / (s - b) }'
psql -X -q -d postgres -c "DROP DATABASE $db"
