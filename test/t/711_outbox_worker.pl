# The reference worker over a real connection: woken by a notification, tries again, gives up; killed workers lose nothing.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

require './test/perl/met.pl';

my $long = $ENV{CRM_OUTBOX_ROWS} || 0;
my $rows = $long || 20000;
my $seed = $ENV{CRM_SEED} || 711;
note("seed $seed, $rows rows");

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', "fsync = off\nmax_connections = 50\njit = off\nshared_buffers = 256MB\nmax_wal_size = 4GB\n");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }
my $dir = PostgreSQL::Test::Utils::tempdir();
my $worker = 'test/py/outbox_worker.py';

sql(q{
    CREATE EXTENSION crm;
    SELECT crm.create_store('shop');
    INSERT INTO shop.customer (customer_id) SELECT generate_series(1, 2000);
    UPDATE shop.settings SET message_attempts = 3;
    INSERT INTO shop.message_template VALUES ('hello', 'app', 'service', NULL, 'Hello');
    INSERT INTO shop.campaign (campaign, name, channel, purpose, audience, holdout) VALUES ('c', 'c', 'app', 'service', crm.audience('{1,2,3}'), 0);
    INSERT INTO shop.campaign_variant (campaign, variant, template) VALUES ('c', 'a', 'hello');
});

# A worker that polls once in a minute has the messages at once, since it is notified.
my $journal = "$dir/notified";
my $pid = fork();
if ($pid == 0)
{
    exec('/usr/bin/python3', $worker, $node->connstr('postgres'), 'shop', 'sleeper', '--poll', '60', '--journal', $journal);
    exit 1;
}
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%claim_outbox%' AND state = 'idle' AND pid <> pg_backend_pid()}) or die;
sql(q{SELECT shop.launch_campaign('c')});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 3 FROM shop.outbox WHERE state = 'sent'}), 'a notified worker sends at once');
kill 'KILL', $pid;
waitpid($pid, 0);
is(scalar(split /\n/, slurp_file($journal)), 3, 'and handed three messages over');

# A gateway that refuses everything: put off by growing times, at last given up.
sql(q{INSERT INTO shop.outbox (customer_id, channel, purpose, idempotency_key) VALUES (4, 'app', 'service', 'refused')});
for my $attempt (1 .. 3)
{
    my $drain = fork();
    if ($drain == 0)
    {
        exec('/usr/bin/python3', $worker, $node->connstr('postgres'), 'shop', "w$attempt", '--fail', '100', '--poll', '60');
        exit 1;
    }
    $node->poll_query_until('postgres', qq{SELECT attempts = $attempt AND state <> 'claimed' FROM shop.outbox WHERE idempotency_key = 'refused'}) or die;
    kill 'KILL', $drain;
    waitpid($drain, 0);
    is(sql(q{SELECT state || ' ' || CASE state WHEN 'pending' THEN round(extract(epoch FROM due_at - now()) / 60)::text ELSE error END FROM shop.outbox WHERE idempotency_key = 'refused'}),
        ('pending 1', 'pending 4', 'dead gateway busy')[ $attempt - 1 ], "attempt $attempt refused");
    sql(q{UPDATE shop.outbox SET due_at = now() - interval '1 second' WHERE idempotency_key = 'refused' AND state = 'pending'});
}

# Eight workers, some killed with messages in hand. A lease is long against a claim, so kills alone make deliveries double.
sql(qq{
    UPDATE shop.settings SET message_attempts = 20;
    DELETE FROM shop.outbox;
    INSERT INTO shop.outbox (customer_id, channel, purpose, idempotency_key, due_at)
        SELECT 1 + i % 2000, 'app', 'service', 'k' || i, now() - interval '1 hour' FROM generate_series(1, $rows) i;
    ANALYZE shop.outbox;
});
mkdir "$dir/journals";
my ($out, $err);
my @options = $long ? ('--kill-every', '1', '--lease', '20', '--limit', '1500') : ('--kill-every', '0.2', '--lease', '2', '--batch', '100');
my $ok = IPC::Run::run([ '/usr/bin/python3', 'test/py/outbox_drain.py', $node->connstr('postgres'), 'shop', "$dir/journals", '--seed', $seed, @options ], '>', \$out, '2>', \$err);
ok($ok, 'drained') or diag($err);
note($out);
my %n = $out =~ /(\w+)=([\d.]+)/g;
is($n{rows}, $rows, 'rows to send');
is($n{sent}, $rows, 'every message was sent');
is("$n{left} $n{dead}", '0 0', 'none left, none dead');
is($n{delivered}, $rows, 'each delivered at least once');
is("$n{acknowledged} $n{twice}", "$rows 0", 'each acknowledged exactly once');
cmp_ok($n{kills}, '>', 0, "workers were killed ($n{kills})");
met('messages claimed by 8 workers', 'client lost', $n{kills}, 'every message is delivered, acknowledged once');
note(sprintf('%d deliveries, %d more than messages; %.0f rows a second', $n{deliveries}, $n{deliveries} - $rows, $rows / $n{seconds}));

$node->stop;
done_testing();
