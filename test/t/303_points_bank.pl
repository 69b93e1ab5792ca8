# Sixteen clients move points between accounts at random, in each isolation level, while another looks at the whole.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{CRM_SEED} || int(rand(1e9));
my $clients = $ENV{CRM_BANK_CLIENTS} || 16;
my $seconds = $ENV{CRM_BANK_SECONDS} || 3;
note "CRM_SEED=$seed";

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "max_connections = 60\nlog_min_messages = fatal\n");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION crm;
	SELECT crm.create_store('shop');
	INSERT INTO shop.customer (customer_id) SELECT generate_series(1, 30);
	SELECT count(shop.earn(c, 500, 'start', 'start')) FROM generate_series(1, 30) c;
});

for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	my $output = `/usr/bin/python3 test/py/points_bank.py "@{[$node->connstr('postgres')]}" "$level" $seed $clients $seconds 2>&1`;
	like($output, qr/^$level: \d\d+ movements, \d+ refused, \d+ retries, [1-9]\d* snapshots, 0 wrong, 0 findings$/, $output);
}
$node->stop;
done_testing();
