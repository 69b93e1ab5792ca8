# A fit gives the same to the last digit when other sessions' words interrupt it, and ends when it is cancelled.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "max_parallel_workers_per_gather = 0\n");
$node->start;
$node->safe_psql('postgres', q{
CREATE EXTENSION crm;
CREATE TABLE history AS
SELECT n % 7 AS x, CASE WHEN n % 7 = 0 THEN 0 ELSE 1 + (n * 31 % 97) * .19 END AS t_x, 20 + n % 60 AS t FROM generate_series(1, 200000) n;
CREATE TABLE undisturbed AS SELECT crm.bgnbd_fit(x, t_x, t)::text AS fit FROM history;
});

my $count = 6;
my $script = $node->basedir . '/fits.sql';
append_to_file($script, "SET application_name = 'fits';\nSET statement_timeout = '60s';\n" . "SELECT crm.bgnbd_fit(x, t_x, t)::text = (SELECT fit FROM undisturbed) FROM history;\n" x $count);
my ($out, $err) = ('', '');
my $fits = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', $script ], '<', \undef, '>', \$out, '2>', \$err);
my $words = 0;
my $there = q{SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'fits'};
$node->poll_query_until('postgres', $there) or die 'the session of fits did not come';
while ($node->safe_psql('postgres', $there) eq 't')
{
	$words += $node->safe_psql('postgres', q{SELECT count(*) FILTER (WHERE pg_log_backend_memory_contexts(pid)) FROM pg_stat_activity WHERE application_name = 'fits'});
}
$fits->finish;
cmp_ok($words, '>', 3 * $count, "$words interruptions");
is($out, "t\n" x $count, 'fits that are interrupted are those that are not');
is($err, '', 'no errors');

my ($code, $stdout, $stderr) = $node->psql('postgres', "\\set VERBOSITY sqlstate\nSET statement_timeout = '100ms'; SELECT crm.bgnbd_fit(x, t_x, t) FROM history, generate_series(1, 3)");
isnt($code, 0, 'a fit ends');
like($stderr, qr/57014/, 'by the timeout');
is($node->safe_psql('postgres', 'SELECT crm.bgnbd_fit(x, t_x, t)::text = (SELECT fit FROM undisturbed) FROM history'), 't', 'and the next one is as ever');

done_testing();
