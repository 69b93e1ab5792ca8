# Recommendations against held-out last orders of real baskets: better than the most popular products.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = ($ENV{CRM_DATA} || '../shared/data') . '/cj_transactions_sample.csv.gz';
plan skip_all => 'skipped: no data' unless -r $data;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', "fsync = off\njit = off\n");
$node->start;
my $csv = PostgreSQL::Test::Utils::tempdir() . '/transactions.csv';
system_or_bail('sh', '-c', 'gzip -dc "$1" > "$2"', 'sh', $data, $csv);

my $out = $node->safe_psql('postgres', qq{
CREATE EXTENSION crm;
SELECT crm.create_store('shop');
SET search_path = shop, crm, public;
CREATE TEMP TABLE t (household_id bigint, store_id int, basket_id text, product_id text, quantity numeric, sales_value numeric, a numeric, b numeric, c numeric, week int, at timestamptz);
\\copy t FROM '$csv' WITH (FORMAT csv, HEADER)
INSERT INTO customer (customer_id, joined_at) SELECT DISTINCT household_id, timestamptz '2016-01-01' FROM t;
INSERT INTO purchase (customer_id, channel, order_no, amount, paid_at) SELECT household_id, 'cj', basket_id, greatest(sum(sales_value), 0), min(at) FROM t GROUP BY 1, 2, 3;
INSERT INTO purchase_item (customer_id, channel, order_no, line, product, quantity, amount)
    SELECT household_id, 'cj', basket_id, row_number() OVER (PARTITION BY basket_id ORDER BY product_id), product_id, greatest(quantity, 1), greatest(sales_value, 0) FROM t;
CREATE TEMP TABLE last AS SELECT DISTINCT ON (customer_id) customer_id, order_no FROM purchase ORDER BY customer_id, order_at DESC, order_no;
DELETE FROM last l WHERE NOT EXISTS (SELECT FROM purchase p WHERE p.customer_id = l.customer_id AND p.order_no <> l.order_no);
CREATE TEMP TABLE held AS SELECT l.customer_id, i.product FROM last l JOIN purchase_item i USING (customer_id, order_no);
DELETE FROM purchase p USING last l WHERE l.customer_id = p.customer_id AND l.order_no = p.order_no;
SELECT learn_baskets();
ANALYZE;
WITH buyer AS (SELECT DISTINCT customer_id FROM held WHERE customer_id % 3 = 0),
     offered AS MATERIALIZED (SELECT b.customer_id, r.product FROM buyer b, recommend(b.customer_id, 10, false) r)
SELECT 'hits', count(DISTINCT h.customer_id) FILTER (WHERE o.product IS NOT NULL), count(DISTINCT h.customer_id) FILTER (WHERE p.product IS NOT NULL), count(DISTINCT h.customer_id)
FROM held h JOIN buyer USING (customer_id)
LEFT JOIN offered o USING (customer_id, product)
LEFT JOIN (SELECT product FROM product_count ORDER BY baskets DESC, product LIMIT 10) p ON p.product = h.product;
SELECT 'recount', count(*) FROM recount_customers();
});
my ($hits, $popular, $buyers) = $out =~ /^hits\|(\d+)\|(\d+)\|(\d+)$/m;
note(sprintf('hit rate at 10: %.2f %%, most popular %.2f %%, %d buyers', 100 * $hits / $buyers, 100 * $popular / $buyers, $buyers));
cmp_ok($hits, '>', $popular, 'recommendations hit more last orders than the most popular products');
like($out, qr/^recount\|0$/m, 'summaries are exact');

$node->stop;
done_testing();
