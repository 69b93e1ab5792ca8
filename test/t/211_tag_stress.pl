# Taggers, folds and counts at the same time: the counts equal a recount in the same snapshot, always.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'max_connections = 40');
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION crm; SELECT crm.create_store('shop')});
my $seed = $ENV{CRM_SEED} // int(rand(1_000_000));
my ($out, $err);
my $good = IPC::Run::run(
	[ '/usr/bin/python3', 'test/py/tag_stress.py', $node->connstr('postgres'), $seed, 16, $ENV{CRM_LONG} ? 60 : 12 ],
	'>', \$out, '2>', \$err);
note($out);
diag($out, $err) if !$good;
ok($good, "16 taggers (seed $seed)");
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM shop.check_tag_audience()'), '0', 'the counts are right after a crash');
$node->stop;
done_testing();
