# Kill -9 of the server under load: what was acknowledged is there exactly once, and the ledger verifies.
use strict;
use warnings;

use IPC::Run qw(start);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

require './test/perl/met.pl';

my $rounds = $ENV{CRM_CRASH_ROUNDS} || 3;
my $seed = $ENV{CRM_SEED} || int(rand(1e9));
note "CRM_SEED=$seed";

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
# Acknowledged means flushed: the tests of other parts may run without fsync, this one may not skip the WAL.
$node->append_conf('postgresql.conf', "synchronous_commit = on\nmax_connections = 50\nlog_min_messages = fatal\n");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION crm;
	SELECT crm.create_store('shop');
	INSERT INTO shop.customer (customer_id) SELECT generate_series(1, 40);
});
my $file = PostgreSQL::Test::Utils::tempdir() . '/acknowledged';
my $script = 'test/py/points_load.py';
my $total = 0;

# Kill the postmaster and come back, as soon as its children have gone. Where nobody reaps it, its process stays as a zombie,
# which the lock file takes for alive.
sub crash
{
	my $pid = slurp_file($node->data_dir . '/postmaster.pid');
	$pid =~ s/\n.*//s;
	$node->kill9;
	for my $try (1 .. 100)
	{
		# The process may go between two looks at it.
		my $stat = eval { slurp_file("/proc/$pid/stat") } // '';
		unlink $node->data_dir . '/postmaster.pid' if $stat =~ /\) Z /;
		$node->{_pid} = undef;
		return if $node->start(fail_ok => 1);
		select undef, undef, undef, 0.1;
	}
	BAIL_OUT('the server does not start again');
}

for my $round (1 .. $rounds)
{
	my $output = '';
	my $load = start ['/usr/bin/python3', $script, 'load', $node->connstr('postgres'), $file, "$seed-$round", 8, 20],
		'>', \$output, '2>&1';
	my $until = time + 1 + $round % 2;
	sleep 1 while time < $until;
	crash();
	$load->finish;
	is($output, '', "round $round: no error but the lost connection");
	my $checked = `/usr/bin/python3 $script check "@{[$node->connstr('postgres')]}" $file 2>&1`;
	like($checked, qr/^\d+ acknowledged, 0 wrong$/, "round $round: every acknowledged movement is there once");
	($total) = $checked =~ /(\d+) acknowledged/;
}
cmp_ok($total, '>', 0, "$total movements were acknowledged");
met('points of 8 sessions: earn, redeem, hold, transfer', 'kill -9', $rounds, 'every acknowledged movement is there once, repeating it changes nothing; the ledger verifies');
$node->stop;
done_testing();
