# Faults in every long procedure and in every write: cancelled at random moments, connections lost, the server stopped at once, a full
# disk, no memory for locks. Nothing is half-done, the work is taken up again where it stopped, and it ends as it would have without the fault.
use strict;
use warnings;

use Cwd qw(abs_path);
use IPC::Run;
use MIME::Base64;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $seed = $ENV{CRM_SEED} || time() % 1_000_000;
srand($seed);
note("CRM_SEED=$seed");

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
my $keyring = abs_path(PostgreSQL::Test::Utils::tempdir) . '/keyring';
my %key = map { $_ => encode_base64(join('', map { chr(int(rand(256))) } 1 .. 32), '') } qw(1 2);
sub ring
{
    open my $file, '>', "$keyring.new" or die;
    for (@_) { my ($id, $status) = split /:/; print $file "enc $id $status $key{$id}\n"; }
    close $file;
    chmod 0600, "$keyring.new";
    rename "$keyring.new", $keyring or die;
}
ring('1:active');
$node->append_conf('postgresql.conf', "fsync = off\njit = off\nlog_statement = none\ncrm.keyring_file = '$keyring'\n");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE origin');
$node->safe_psql('origin', q{
    CREATE EXTENSION crm;
    SELECT crm.create_store('shop');
    SET search_path = shop, crm, pg_temp;
    SELECT install_preset('textbook');
    INSERT INTO customer (customer_id, joined_at) SELECT i, timestamptz '2024-01-01 00:00+00' FROM generate_series(1, 1500) i;
    INSERT INTO customer (customer_id, joined_at) SELECT i, timestamptz '2024-01-01 00:00+00' FROM generate_series(2001, 2300) i;
    INSERT INTO purchase (customer_id, channel, order_no, status, amount, ordered_at, paid_at, completed_at)
    SELECT 1 + i % 1500, 'mall', 'n' || i, 'completed', 100 + i % 900, t, t, t
    FROM generate_series(1, 3000) i, LATERAL (SELECT timestamptz '2025-01-01 00:00+00' + i * interval '3 hours' AS t) t;
    SELECT count(earn(c, 100, 'gift', 'due', expires_at => now() + interval '30 days')),
        count(earn(c, 50, 'gift', 'later', available_at => now() + interval '40 days')),
        count(hold(c, 10, 'gift', 'held', expires_at => now() + interval '20 days')) FROM generate_series(1, 1500) c;
    SELECT count(earn(c, 10 * i, 'past', 'e' || i, program => 'growth', expires_at => 'infinity', as_of => timestamptz '2021-01-01 00:00+00' + i * interval '1 day')) FROM generate_series(2001, 2300) c, generate_series(1, 8) i;
    SELECT count(*) FROM points_checkpoint();
    UPDATE customer SET tags = tags + 'old' + ('n:' || customer_id % 5);
    SELECT tag_customers((SELECT audience_agg(customer_id) FROM customer), 'short', NULL, '2027-06-01');
    INSERT INTO automation (automation, name, trigger, since, active) VALUES ('welcome', 'welcome', 'joined', '2023-12-01', true);
    INSERT INTO automation_step (automation, step, wait, action, params) VALUES ('welcome', 1, '0', 'tag', '{"tag": "journey:welcome"}'), ('welcome', 2, '0', 'points', '{"points": 20}');
    INSERT INTO tag_rule (tag, rule) VALUES ('buyer', 'order_count >= 1'), ('large', 'spend_total >= 1500'), ('odd', 'customer_id < 700');
    INSERT INTO interaction (customer_id, channel, direction, at) SELECT i, 'phone', 'in', '2025-03-01' FROM generate_series(1, 1500) i;
    INSERT INTO retention_rule (rule, action, table_name, time_column, keep, active) VALUES ('calls', 'delete', 'interaction', 'at', '1 year', true);
    SELECT watch_changes('{contact}');
    INSERT INTO contact (customer_id, name) SELECT i, 'n' || i FROM generate_series(1, 1500) i;
    CREATE TABLE public.vault (id int PRIMARY KEY, v crm.sealed);
    INSERT INTO public.vault SELECT i, seal('value ' || i, 'vault.v', i::text) FROM generate_series(1, 3000) i;
    ANALYZE;
});
ring('1:old', '2:active');
my $clean = q{
    SELECT 'sums', r.customer_id::text FROM shop.recount_customers() r
    UNION ALL SELECT 'ledger', v.customer_id || ' ' || v.finding FROM shop.points_verify() v
    UNION ALL SELECT 'audience', t.tag FROM shop.check_tag_audience() t};
my $state = q{
    SELECT md5(string_agg(a.customer_id || a.program || a.available || ' ' || a.pending || ' ' || a.held, ',' ORDER BY a.customer_id, a.program)) FROM shop.points_account a;
    SELECT md5(string_agg(c.customer_id || c.tags::text, ',' ORDER BY c.customer_id)) FROM shop.customer c;
    SELECT count(*), md5(string_agg(t.customer_id || coalesce(t.from_tier, '') || t.to_tier, ',' ORDER BY t.customer_id, t.to_tier)) FROM shop.tier_change t;
    SELECT count(*) FROM shop.lifecycle_change;
    SELECT count(*), sum(archived) FROM shop.points_account;
    SELECT md5(string_agg(e::text, ',' ORDER BY e.customer_id, e.program, e.seq)) FROM shop.points_entry_all e WHERE e.customer_id > 2000;
    SELECT count(*), max(automation) FROM shop.automation_log;
    SELECT count(*) > 0 FROM shop.change_event;
    SELECT count(*) FROM shop.interaction;
    SELECT count(*) FILTER (WHERE crm.sealed_key(v) = 2), count(*) FILTER (WHERE crm.unseal(v, 'vault.v', id::text) = 'value ' || id) FROM public.vault};

my @procedures = (
    [ 'expire_points', q{CALL shop.expire_points('2028-01-01', batch => 100)} ],
    [ 'mature_points', q{CALL shop.mature_points('2028-01-01', batch => 100)} ],
    [ 'release_overdue_holds', q{CALL shop.release_overdue_holds('2028-01-01', batch => 100)} ],
    [ 'archive_points', q{CALL shop.archive_points('2023-01-01', batch => 20)} ],
    [ 'evaluate_tiers', q{CALL shop.evaluate_tiers('2028-01-01', batch => 100)} ],
    [ 'apply_tag_rules', q{CALL shop.apply_tag_rules('2028-01-01', batch => 100)} ],
    [ 'record_lifecycle', q{CALL shop.record_lifecycle('2028-01-01', batch => 100)} ],
    [ 'rename_tag', q{CALL shop.rename_tag('old', 'fresh', batch => 100)} ],
    [ 'merge_tags', q{CALL shop.merge_tags(ARRAY['old', 'n:2'], 'fresh', batch => 100)} ],
    [ 'fold_tag_audience', q{CALL shop.fold_tag_audience()} ],
    [ 'apply_retention', q{CALL shop.apply_retention('2028-01-01', batch => 100)} ],
    [ 'expire_tags', q{CALL shop.expire_tags('2028-01-01', batch => 100)} ],
    [ 'run_automations', q{CALL shop.run_automations('2024-01-15', batch => 100)} ],
    [ 'prune_changes', q{CALL shop.prune_changes(keep => '0', force => true, as_of => '2028-01-01', batch => 100)} ],
    [ 'verify_store', q{CALL shop.verify_store()} ],
    [ 'reseal_column', q{CALL crm.reseal_column('vault', 'v', batch => 100)} ]);
is( $node->safe_psql('origin', q{SELECT string_agg(p.proname, ' ' ORDER BY p.proname) FROM pg_proc p WHERE p.prokind = 'p' AND p.pronamespace IN ('crm'::regnamespace, 'shop'::regnamespace) AND p.proname <> 'lapse_points'}),
    join(' ', sort map { $_->[0] } @procedures), 'every procedure is here; lapse_points is the inner part of three');

sub fresh
{
    my ($db) = @_;
    $node->safe_psql('postgres', "DROP DATABASE IF EXISTS $db");
    $node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE origin");
}

my $faults = 0;
for my $p (@procedures)
{
    my ($name, $call) = @$p;
    fresh('plain');
    $node->safe_psql('plain', $call);
    my $wanted = $node->safe_psql('plain', $state);

    fresh('faulty');
    my ($cancelled, $lost, $stopped, $done) = (0, 0, 0, 0);
    for my $try (1 .. 60)
    {
        # Each try gets a little more time, so that it is stopped at ever later moments and ends at last.
        my $ms = 1 + int(rand(5 + $try * $try));
        my ($rc, $out, $err);
        if ($try == 4)
        {
            # The server stops at once and recovers.
            my $session = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres') =~ s{dbname='postgres'}{dbname=faulty}r, '-c', $call ],
                '<', \undef, '>', \$out, '2>', \$err);
            usleep(1000 * (20 + int(rand(60))));
            $node->stop('immediate');
            $session->finish;
            $rc = $session->result(0);
            $node->start;
            $stopped++ if $rc;
        }
        elsif ($try % 3)
        {
            ($rc, $out, $err) = $node->psql('faulty', "SET statement_timeout = $ms; $call");
        }
        else
        {
            my $session = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres') =~ s{dbname='postgres'}{dbname=faulty}r, '-c', $call ],
                '<', \undef, '>', \$out, '2>', \$err);
            usleep(1000 * (20 + $ms));
            $node->safe_psql('postgres', q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'faulty' AND query LIKE 'CALL%'});
            $session->finish;
            $rc = $session->result(0);
        }
        if ($rc == 0) { $done = 1; last; }
        if ($err =~ /canceling statement due to statement timeout/) { $cancelled++; }
        elsif ($err =~ /terminating connection due to administrator command|server closed the connection/) { $lost++ unless $try == 4; }
        elsif ($try == 4) { }
        else { fail("$name: $err"); last; }
    }
    $faults += $cancelled + $lost + $stopped;
    $node->safe_psql('faulty', $call) unless $done;
    is($node->safe_psql('faulty', $clean), '', "$name: sums, ledger and audiences are clean after $cancelled cancellations, $lost lost connections and $stopped stops of the server");
    is($node->safe_psql('faulty', $state), $wanted, "$name: ends as without them");
}

cmp_ok($faults, '>', 30, "$faults faults were met");

# A write that is cancelled in the middle of a batch leaves nothing of it.
fresh('faulty');
my $before = $node->safe_psql('faulty', $state);
my $stopped = 0;
for my $try (1 .. 10)
{
    my ($rc, $out, $err) = $node->psql('faulty', 'SET statement_timeout = ' . int(5 + rand(30)) . q{;
        INSERT INTO shop.purchase (customer_id, order_no, status, amount, completed_at) SELECT 1 + i % 1500, 'batch' || i, 'completed', 500, now() FROM generate_series(1, 20000) i});
    $stopped++ if $rc && $err =~ /statement timeout/;
}
cmp_ok($stopped, '==', 10, 'orders in bulk, cancelled');
is($node->safe_psql('faulty', q{SELECT count(*) FROM shop.purchase WHERE order_no LIKE 'batch%'}), '0', 'leave no order');
is($node->safe_psql('faulty', "$clean"), '', 'sums, ledger and audiences are clean');
is($node->safe_psql('faulty', $state), $before, 'and nothing has changed');
$node->stop;

# A full disk: files may grow to a limit and no further.
my $pgdata = $node->data_dir;
system_or_bail('sh', '-c', 'ulimit -f 40000; exec pg_ctl -w -D "$1" -l "$1/full.log" start >/dev/null', 'sh', $pgdata);
my ($rc, $out, $err) = $node->psql('faulty', q{
    INSERT INTO shop.purchase (customer_id, order_no, status, amount, completed_at) SELECT 1 + i % 1500, 'full' || i, 'completed', 500, now() FROM generate_series(1, 300000) i});
like($err, qr/could not (extend|write)/, 'disk full: the core says so');
is($node->safe_psql('faulty', q{SELECT count(*) FROM shop.purchase WHERE order_no LIKE 'full%'}), '0', 'disk full: no order is left');
is($node->safe_psql('faulty', $clean), '', 'disk full: sums, ledger and audiences are clean');
system_or_bail('pg_ctl', '-w', '-D', $pgdata, '-m', 'fast', 'stop');

# No memory for locks: a store is made whole or not at all.
$node->append_conf('postgresql.conf', "max_connections = 10\nmax_locks_per_transaction = 10\nmax_prepared_transactions = 0\nmax_wal_senders = 0\n");
$node->start;
is($node->safe_psql('faulty', q{SELECT count(*) FROM shop.purchase WHERE order_no LIKE 'full%'}), '0', 'disk full: nor after a restart');
($rc, $out, $err) = $node->psql('faulty', q{SELECT crm.create_store('second')});
like($err, qr/out of shared memory/, 'no memory for locks: the core says so');
is($node->safe_psql('faulty', q{SELECT count(*) FROM pg_namespace WHERE nspname = 'second'}), '0', 'no memory for locks: nothing is half made');
is($node->safe_psql('faulty', $clean), '', 'no memory for locks: the other store is clean');
$node->stop;
done_testing();
