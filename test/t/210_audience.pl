# crm.audience against a model in Python: algebra, stored form, hostile bytes, memory.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION crm');
my $seed = $ENV{CRM_SEED} // int(rand(1_000_000));
my $scale = $ENV{CRM_LONG} ? 60 : 1;
my ($out, $err);
my $good = IPC::Run::run(
	[ '/usr/bin/python3', 'test/py/audience_model.py', $node->connstr('postgres'), $seed, 50 * $scale, 500 * $scale, 1_000_000 ],
	'>', \$out, '2>', \$err);
note($out);
diag($out, $err) if !$good;
ok($good, "the model agrees (seed $seed)");
$node->stop;
done_testing();
