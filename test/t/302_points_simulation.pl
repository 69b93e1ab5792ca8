# Random operations on a ledger and on a model of it, written apart in Python: the same results, entries, balances, lots.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $operations = $ENV{CRM_OPERATIONS} || 1500;
my $customers = $ENV{CRM_CUSTOMERS} || 6;
my $seed = $ENV{CRM_SEED} || int(rand(1e9));
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nsynchronous_commit = off\nlog_min_messages = fatal\n");
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION crm; SELECT crm.create_store('shop')});
my $output = `/usr/bin/python3 test/py/points_model.py "@{[$node->connstr('postgres')]}" $seed $operations $customers 2>&1`;
my $status = $?;
note $output;
is($status, 0, "$operations operations give the same as the model (CRM_SEED=$seed)") or diag $output;
$node->stop;
done_testing();
