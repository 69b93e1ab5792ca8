# The library loads into a fresh cluster, and a store survives a crash.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

require './test/perl/met.pl';

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION crm; SELECT crm.create_store('shop')});
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', q{SELECT name FROM crm.store}), 'shop', 'store is there after a crash');
is($node->safe_psql('postgres', q{SELECT * FROM crm.store_findings('shop')}), '', 'and whole');
met('a store just made', '`immediate` stop', 1, 'every object of it is there');
$node->stop;
done_testing();
