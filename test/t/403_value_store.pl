# RFM and the models through a store, on the published data.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = $ENV{CRM_DATA} || '../shared/data';
plan skip_all => 'skipped: no data' unless -r "$data/cdnow_elog.csv" && -r "$data/rfm_orders.csv";

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
$node->safe_psql('postgres', qq{
CREATE EXTENSION crm;
SELECT crm.create_store('shop', time_zone => 'Asia/Shanghai', language => 'en');
SELECT crm.create_store('fmr', time_zone => 'Asia/Shanghai', language => 'en');
CREATE TABLE event (masterid int, id int, day date, cds int, sales numeric);
\\copy event FROM '$data/cdnow_elog.csv' WITH (FORMAT csv, HEADER)
CREATE TABLE orders (customer text, day date, revenue numeric, first_name text, last_name text, email text);
\\copy orders FROM '$data/rfm_orders.csv' WITH (FORMAT csv, HEADER)
INSERT INTO shop.customer (customer_id) SELECT DISTINCT id FROM event;
INSERT INTO shop.purchase (customer_id, order_no, amount, history, ordered_at, paid_at)
SELECT id, row_number() OVER (), sales, true, at, at FROM event, LATERAL (SELECT day + time '23:30' AT TIME ZONE 'Asia/Shanghai' AS at) t;
CREATE TABLE person AS SELECT customer, row_number() OVER (ORDER BY customer) AS customer_id FROM (SELECT DISTINCT customer FROM orders) o;
INSERT INTO fmr.customer (customer_id) SELECT customer_id FROM person;
INSERT INTO fmr.purchase (customer_id, order_no, amount, history, ordered_at, paid_at)
SELECT customer_id, row_number() OVER (), revenue, true, at, at
FROM orders JOIN person USING (customer), LATERAL (SELECT day + time '00:30' AT TIME ZONE 'Asia/Shanghai' AS at) t;
UPDATE fmr.settings SET rfm_method = 'quantile_plus_one';
SELECT fmr.refit_rfm('2006-12-31 12:00+08');
});

sub one
{
	my ($query) = @_;
	return $node->safe_psql('postgres', $query);
}

is( one(q{SELECT segment, count(*), sum(frequency), round(sum(monetary)), round(sum(monetary) / sum(frequency), 2)
          FROM fmr.customer_rfm_at('2006-12-31 12:00+08') GROUP BY 1 ORDER BY segment COLLATE "C"}),
	"About To Sleep|102|283|23449|82.86
At Risk|28|216|22227|102.90
Can't Lose Them|47|274|32446|118.42
Champions|35|316|31646|100.15
Lost|148|393|35324|89.88
Loyal Customers|170|799|76562|95.82
Need Attention|10|57|4562|80.04
New Customers|104|329|28837|87.65
Potential Loyalist|342|2211|204856|92.65
Promising|9|28|4249|151.75", 'the published segments, out of a store');
is(one('SELECT count(*), sum(frequency), sum(monetary)::bigint FROM fmr.customer_rfm'), '995|4906|464158', 'the view of today has all');
is(one(q{SELECT count(*) FROM fmr.customer_rfm WHERE crm.r(rfm) > 1}), '0', 'in which nobody came lately');

is( one(q{SELECT state, buyers, repeat_buyers, history_days, round((bgnbd).log_likelihood::numeric, 1), round((gamma_gamma).log_likelihood::numeric, 1)
          FROM shop.refit_value_models('1997-09-30 12:00+08')}),
	'ok|2357|946|272|-9582.4|-4055.9', 'models of the store, days in its time zone');
is( one(q{SELECT count(*) FROM event e JOIN shop.customer_value('1997-09-30 12:00+08') v ON v.customer_id = e.id
          WHERE e.day = '1997-01-01' AND v.t <> 272 / 7.0::float8}), '0', 'age');
is(one(q{SELECT customers, actual FROM shop.model_check('1998-06-30 23:59+08', 273) WHERE repeats = 'all'}), '2357|1882', 'the published holdout');
my ($bg, $pn) = split /\|/, one(q{SELECT bgnbd, pareto_nbd FROM shop.model_check('1998-06-30 23:59+08', 273) WHERE repeats = 'all'});
ok(abs($bg / 1882 - 1) < .15 && abs($pn / 1882 - 1) < .15, 'both models foretell it within 15 per cent') or diag("$bg $pn");
is(one(q{SELECT sum(bgnbd) FILTER (WHERE repeats = 'all') - sum(bgnbd) FILTER (WHERE repeats <> 'all') BETWEEN -.5 AND .5 FROM shop.model_check('1998-06-30 23:59+08', 273)}),
	't', 'its classes add up');
# Who is warned of does come back less.
is( one(q{WITH warned AS (SELECT customer_id FROM shop.churn_warning(0.8, '1997-09-30 12:00+08')),
               after AS (SELECT id, count(*) AS n FROM event WHERE day > '1997-09-30' GROUP BY 1)
          SELECT avg(coalesce(n, 0)) FILTER (WHERE w.customer_id IS NOT NULL) < avg(coalesce(n, 0)) FILTER (WHERE w.customer_id IS NULL) / 2
          FROM shop.customer_value('1997-09-30 12:00+08') v LEFT JOIN warned w USING (customer_id) LEFT JOIN after ON id = v.customer_id WHERE v.x > 0}),
	't', 'warnings come true');
is(one(q{SELECT sum(customers) FROM shop.report_cohort WHERE months_after = 0}), '2357', 'cohorts hold every buyer');
is(one(q{SELECT sum(spend) FROM shop.report_cohort}), '244091.9400', 'and every amount');
is(one(q{SELECT buyers, repeat_buyers FROM shop.report_repurchase}), one(q{SELECT count(*), count(*) FILTER (WHERE d > 1) FROM (SELECT count(DISTINCT day) AS d FROM event GROUP BY id) q}), 'repurchase');

# A dump restores the models and their table, bit by bit.
my $before = one('SELECT bgnbd, pareto_nbd, gamma_gamma FROM shop.value_model');
my $rfm_before = one('SELECT model FROM fmr.rfm_fit');
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-h', $node->host, '-p', $node->port, '-f', $dump, 'postgres' ], 'dump');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', $node->host, '-p', $node->port, '-d', 'copy', '-f', $dump ], 'restore');
is($node->safe_psql('copy', 'SELECT bgnbd, pareto_nbd, gamma_gamma FROM shop.value_model'), $before, 'models restored');
is($node->safe_psql('copy', 'SELECT model FROM fmr.rfm_fit'), $rfm_before, 'RFM model restored');
is($node->safe_psql('copy', q{SELECT md5(string_agg(c::text, ',' ORDER BY customer_id)) FROM shop.customer_value('1997-09-30 12:00+08') c}),
	one(q{SELECT md5(string_agg(c::text, ',' ORDER BY customer_id)) FROM shop.customer_value('1997-09-30 12:00+08') c}), 'and say the same');
$node->stop;
done_testing();
