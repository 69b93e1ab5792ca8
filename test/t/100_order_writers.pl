# Sixteen writers at once: no order is counted twice or lost, and no error goes beyond what a client retries.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{CRM_WRITER_SECONDS} // 12;
my $seed = $ENV{CRM_SEED} // int(rand(1000000));
note "CRM_SEED=$seed";

my $node = PostgreSQL::Test::Cluster->new('writers');
$node->init;
$node->append_conf('postgresql.conf', "max_connections = 60\nfsync = off");
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION crm; SELECT crm.create_store('shop')});
my $out = '';
my $ok = run_log([ '/usr/bin/python3', 'test/py/order_writers.py', $node->connstr('postgres'), 'shop', 16, $seconds, $seed ], '>', \$out, '2>&1');
note $out;
ok($ok, 'recount finds nothing after 16 writers');
like($out, qr/^differences 0, orders whose refunds differ 0$/m, 'no difference');

# Everything is as exact after a crash.
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM shop.recount_customers()'), '0', 'and nothing after a crash');

# Many sessions meet the same new customers.
$node->pgbench('--client=16 --transactions=100 --no-vacuum', 0, [qr{processed: 1600/1600}], [qr{^$}], 'customers are made once',
	{ 'new_customer' => q{\set i random(1, 300)
SELECT shop.find_or_create_customer('mall', 'c' || :i);
SELECT count(*) FROM shop.find_or_create_customers(array(SELECT 'tmall' FROM generate_series(1, 5)), array(SELECT 'c' || (random() * 300)::int FROM generate_series(1, 5)));
} });
is($node->safe_psql('postgres', q{SELECT count(*) FROM shop.customer c WHERE c.customer_id > 44 AND NOT EXISTS (SELECT FROM shop.identity i WHERE i.customer_id = c.customer_id)}),
	'0', 'no customer without an identity is left over');
is($node->safe_psql('postgres', q{SELECT count(*) FROM shop.recount_customers()}), '0', 'each has a summary');
$node->stop;
done_testing();
