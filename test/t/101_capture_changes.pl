# A store follows 10,000 mixed changes of an application's own table exactly, and its own copy through a dump.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{CRM_SEED} // int(rand(1000000));
note "CRM_SEED=$seed";

my $node = PostgreSQL::Test::Cluster->new('capture');
$node->init;
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
foreach my $per_row (0, 1)
{
	my $db = "follow$per_row";
	my $changes = $per_row ? 2000 : 10000;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, 'CREATE EXTENSION crm');
	my $out = '';
	my $ok = run_log([ '/usr/bin/python3', 'test/py/capture_changes.py', $node->connstr($db), $changes, $seed, $per_row ], '>', \$out, '2>&1');
	note $out;
	ok($ok, "$changes changes followed, " . ($per_row ? 'by row' : 'by statement'));
}

# A dump carries the attachment along.
$node->command_ok([ 'pg_dump', '-Fc', '-f', $node->basedir . '/follow.dump', $node->connstr('follow0') ], 'dump');
$node->safe_psql('postgres', 'CREATE DATABASE again');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('again'), $node->basedir . '/follow.dump' ], 'restore');
is($node->safe_psql('again', 'SELECT count(*) FROM follow.recount_customers()'), '0', 'the restored store adds up');
$node->safe_psql('again', q{INSERT INTO app_orders (buyer, sn, paid_fen, refund_fen, paid, st) VALUES ('after', 'after', 100, 0, '2026-01-01', '已付款')});
is($node->safe_psql('again', q{SELECT order_count FROM follow.customer_summary JOIN follow.identity USING (customer_id) WHERE external_id = 'after'}),
	'1', 'and goes on following');
is($node->safe_psql('again', q{SELECT relid FROM follow.order_source}), 'app_orders', 'its source is known by name');
$node->stop;

# A table that a subscription feeds.
my $publisher = PostgreSQL::Test::Cluster->new('publisher');
$publisher->init(allows_streaming => 'logical');
$publisher->start;
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init(allows_streaming => 'logical');
$subscriber->start;
my $table = 'CREATE TABLE orders (sn text PRIMARY KEY, buyer text, paid numeric)';
$publisher->safe_psql('postgres', "$table; INSERT INTO orders VALUES ('S1', 'zhang', 10), ('S2', 'li', 5); CREATE PUBLICATION p FOR TABLE orders");
$subscriber->safe_psql('postgres', "CREATE EXTENSION crm; SELECT crm.create_store('shop'); $table;");
$subscriber->safe_psql('postgres',
	q{SELECT crm.capture_orders('shop', 'orders', '{"customer":"buyer","order_no":"sn","amount":"paid"}', per_row => true)});
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION s CONNECTION '" . $publisher->connstr . " dbname=postgres' PUBLICATION p");
$subscriber->wait_for_subscription_sync($publisher, 's');
$publisher->safe_psql('postgres', q{UPDATE orders SET paid = 12 WHERE sn = 'S1'; DELETE FROM orders WHERE sn = 'S2'; INSERT INTO orders VALUES ('S3', 'zhang', 1)});
$publisher->wait_for_catchup('s');
is($subscriber->safe_psql('postgres', q{SELECT external_id, order_count, spend_total FROM shop.customer_summary JOIN shop.identity USING (customer_id) ORDER BY 1}),
	"li|0|0.0000\nzhang|2|13.0000", 'orders of a subscription are captured by row');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM shop.recount_customers()'), '0', 'and add up');
$subscriber->stop;
$publisher->stop;
done_testing();
