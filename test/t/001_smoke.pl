# The library loads into a fresh cluster, and a store survives a crash.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION crm; SELECT crm.create_store('shop')});
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', q{SELECT name FROM crm.store}), 'shop', 'store is there after a crash');
$node->stop;
done_testing();
