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
# The ledger writes its rows itself, but by statements where a trigger of the user's stands on its tables.
for my $way ('plain', 'trigger')
{
	$node->safe_psql('postgres', "CREATE DATABASE $way");
	$node->safe_psql($way, q{CREATE EXTENSION crm; SELECT crm.create_store('shop')});
	$node->safe_psql($way, q{
		CREATE FUNCTION shop.look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
		CREATE TRIGGER look AFTER INSERT ON shop.points_entry FOR EACH ROW EXECUTE FUNCTION shop.look();
		CREATE TRIGGER look BEFORE UPDATE ON shop.points_account FOR EACH ROW EXECUTE FUNCTION shop.look();
	}) if $way eq 'trigger';
	my $n = int($operations / 2);
	my $output = `/usr/bin/python3 test/py/points_model.py "@{[$node->connstr($way)]}" $seed-$way $n $customers 2>&1`;
	my $status = $?;
	note $output;
	is($status, 0, "$way: $n operations give the same as the model (CRM_SEED=$seed)") or diag $output;
}
$node->stop;
done_testing();
