# Faults in every long procedure and in writes of many rows, each at a random moment of the work: see %fault. Nothing is half-done, the work is
# taken up again where it stopped, and it ends as it would have without the fault.
#   CRM_FAULT_ROUNDS=n   each fault meets each work n times (default: once)
#   CRM_FAULT_ONLY=name  one work alone, by a regular expression
#
# For the disk that fills up the database lies on a small tmpfs, mounted in a mount namespace of the server's own.
use strict;
use warnings;

use Cwd qw(abs_path);
use IPC::Run;
use MIME::Base64;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

require './test/perl/met.pl';

my $seed = $ENV{CRM_SEED} || int(time()) % 1_000_000;
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
# A lost client is noticed at once, and a session that is killed takes the others down but not the server.
$node->append_conf('postgresql.conf', "fsync = off\njit = off\nautovacuum = off\nlog_statement = none\nclient_connection_check_interval = 1\nrestart_after_crash = on\n"
    . "temp_tablespaces = pg_default\ncrm.keyring_file = '$keyring'\n");

# The server starts inside a shell that has the disk among its mounts; where nobody may have mounts of one's own there is no such disk.
my $disk = abs_path(PostgreSQL::Test::Utils::tempdir) . '/disk';
mkdir $disk or die;
my @own_mounts = qw(unshare --user --map-current-user --mount --keep-caps);
my $small_disk = system("@own_mounts mount -t tmpfs -o size=1m tmpfs $disk 2>/dev/null") == 0;
my ($order, $answer) = ('', '');
my $shell = IPC::Run::start([ $small_disk ? @own_mounts : (), 'sh' ], '<', \$order, '>', \$answer);
sub inside
{
    my ($command) = @_;
    $answer = '';
    $order .= "$command; echo done \$?\n";
    $shell->pump until $answer =~ /done (\d+)\n/;
    is($1, '0', $command) if $1;
    return;
}
sub start_server
{
    inside('pg_ctl -w -D ' . $node->data_dir . ' -l ' . $node->logfile . ' start >/dev/null');
    $node->_update_pid(1);
    return;
}
inside("mount -t tmpfs -o size=400m,mode=700 tmpfs $disk && mkdir -m 700 $disk/space") if $small_disk;
start_server();
$node->safe_psql('postgres', "CREATE TABLESPACE small LOCATION '$disk/space'") if $small_disk;
$node->safe_psql('postgres', 'CREATE DATABASE origin');
$node->safe_psql('origin', q{
    CREATE EXTENSION crm;
    SELECT crm.create_store('shop');
    SET search_path = shop, crm, pg_temp;
    SELECT install_preset('textbook');
    INSERT INTO customer (customer_id, joined_at) SELECT i, CASE WHEN i % 4 = 0 THEN timestamptz '2024-01-01 00:00+00' ELSE '2023-06-01 00:00+00' END FROM generate_series(1, 1500) i;
    INSERT INTO customer (customer_id, joined_at) SELECT i, timestamptz '2024-01-01 00:00+00' FROM generate_series(2001, 2300) i;
    INSERT INTO purchase (customer_id, channel, order_no, status, amount, ordered_at, paid_at, completed_at)
    SELECT 1 + i % 1500, 'mall', 'n' || i, 'completed', 100 + i % 900, t, t, t
    FROM generate_series(1, 3000) i, LATERAL (SELECT timestamptz '2025-01-01 00:00+00' + i * interval '3 hours' AS t) t;
    SELECT count(earn(c, 100, 'gift', 'due', expires_at => now() + interval '30 days')),
        count(earn(c, 50, 'gift', 'later', available_at => now() + interval '40 days')),
        count(hold(c, 10, 'gift', 'held', expires_at => now() + interval '20 days')) FROM generate_series(1, 1500) c;
    SELECT count(earn(c, 10 * i, 'past', 'e' || i, program => 'growth', expires_at => 'infinity', as_of => timestamptz '2021-01-01 00:00+00' + i * interval '1 day')) FROM generate_series(2001, 2300) c, generate_series(1, 8) i;
    SELECT count(*) FROM points_checkpoint();
    UPDATE customer SET tags = tags + 'old' + ('n:' || customer_id % 5) + ('t:' || customer_id % 200) + ('u:' || customer_id % 500);
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
    SELECT count(*), md5(string_agg(t.customer_id || coalesce(t.from_tier, '') || t.to_tier, ',' ORDER BY t.customer_id, t.to_tier, t.from_tier)) FROM shop.tier_change t;
    SELECT count(*) FROM shop.lifecycle_change;
    SELECT count(*), sum(archived) FROM shop.points_account;
    SELECT md5(string_agg(e::text, ',' ORDER BY e.customer_id, e.program, e.seq)) FROM shop.points_entry_all e WHERE e.customer_id > 2000;
    SELECT count(*), max(automation) FROM shop.automation_log;
    SELECT count(*) > 0 FROM shop.change_event;
    SELECT count(*) FROM shop.interaction;
    SELECT string_agg(n.nspname || ' ' || (SELECT count(*) FROM pg_class WHERE relnamespace = n.oid) || ' ' || (SELECT count(*) FROM pg_proc WHERE pronamespace = n.oid), ',' ORDER BY n.nspname)
        FROM pg_namespace n WHERE n.nspname !~ '^pg_';
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
    [ 'apply_retention', q{CALL shop.apply_retention('2028-01-01', batch => 20)} ],
    [ 'expire_tags', q{CALL shop.expire_tags('2028-01-01', batch => 20)} ],
    [ 'run_automations', q{CALL shop.run_automations('2024-01-15', batch => 100)} ],
    [ 'prune_changes', q{CALL shop.prune_changes(keep => '0', force => true, as_of => '2028-01-01', batch => 10)} ],
    [ 'verify_store', q{CALL shop.verify_store()} ],
    [ 'reseal_column', q{CALL crm.reseal_column('vault', 'v', batch => 100)} ]);
is( $node->safe_psql('origin', q{SELECT string_agg(p.proname, ' ' ORDER BY p.proname) FROM pg_proc p WHERE p.prokind = 'p' AND p.pronamespace IN ('crm'::regnamespace, 'shop'::regnamespace) AND p.proname <> 'lapse_points'}),
    join(' ', sort map { $_->[0] } @procedures), 'every procedure is here; lapse_points is the inner part of three');

# The same faults meet statements of many rows, of which nothing may be left.
my @statements = (
    [ 'orders in bulk', q{INSERT INTO shop.purchase (customer_id, order_no, status, amount, completed_at)
        SELECT 1 + i % 1500, 'batch' || i, 'completed', 500, '2026-01-01' FROM generate_series(1, 300) i} ],
    [ 'post_points', q{SELECT count(*) FROM shop.post_points((SELECT array_agg(ROW(1 + i % 1500, 'earn', 5, 'bulk', i, NULL, NULL, NULL, NULL, '2026-01-01', NULL)::crm.points_movement)
        FROM generate_series(1, 20000) i))} ],
    [ 'create_store', q{SELECT crm.create_store('second')} ]);

# What meets the work, and what its session is then told.
my %fault = (
    'kill -9' => qr/server closed the connection|terminating connection because of crash/,
    '`immediate` stop' => qr/server closed the connection|terminating connection due to immediate shutdown/,
    'disk full' => qr/No space left on device/,
    'no memory for locks' => qr/out of shared memory/,
    'statement timeout' => qr/canceling statement due to statement timeout/,
    'cancel' => qr/canceling statement due to user request/,
    'client lost' => undef,
    'session ended' => qr/terminating connection due to administrator command/);
my @faults = grep { $small_disk || $_ ne 'disk full' } sort keys %fault;
# What needs no room on the disk or no lock beyond those that a session has for itself.
my %never = map { $_ => 1 } ('apply_retention disk full', 'prune_changes disk full');

# struck(seconds): waits for the work, then so long; its process, if it is still at work.
$node->safe_psql('postgres', q{
    CREATE FUNCTION at_work() RETURNS int LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_stat_clear_snapshot();
        RETURN (SELECT pid FROM pg_stat_activity WHERE application_name = 'struck' AND state = 'active' AND query !~ 'pg_sleep');
    END $$;
    CREATE FUNCTION struck(seconds float8) RETURNS int LANGUAGE plpgsql AS $$
    DECLARE began timestamptz := clock_timestamp();
    BEGIN
        WHILE at_work() IS NULL LOOP
            IF clock_timestamp() > began + interval '2 seconds' THEN RETURN NULL; END IF;
            PERFORM pg_sleep(0.0005);
        END LOOP;
        PERFORM pg_sleep(seconds);
        RETURN at_work();
    END $$;
    -- Without seconds before the work begins, for what gives its locks back and takes them again too soon.
    CREATE PROCEDURE take_all_locks(seconds float8) LANGUAGE plpgsql AS $$
    DECLARE
        began timestamptz := clock_timestamp();
        turn int := 0;
        n int := 0;
    BEGIN
        PERFORM at_work(); -- has the locks it needs from here on
        IF seconds IS NOT NULL AND struck(seconds) IS NULL THEN RETURN; END IF;
        LOOP
            turn := turn + 1;
            BEGIN
                LOOP
                    n := n + 1;
                    PERFORM pg_advisory_lock(n);
                END LOOP;
            EXCEPTION WHEN out_of_memory THEN
                EXIT WHEN turn % 100 = 0 AND at_work() IS NULL AND (seconds IS NOT NULL OR clock_timestamp() > began + interval '0.6 seconds');
            END;
        END LOOP;
    END $$});

sub fresh
{
    my ($db, $tablespace) = @_;
    $node->safe_psql('postgres', "DROP DATABASE IF EXISTS $db WITH (FORCE)");
    $node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE origin STRATEGY = file_copy" . ($tablespace ? " TABLESPACE $tablespace" : ''));
    return;
}

# Takes all of the disk but so many kilobytes.
sub fill
{
    my ($file, $left) = @_;
    return "COPY (SELECT WHERE false) TO PROGRAM 'n=\$(( \$(df --output=avail -k $disk | tail -n 1) - $left )); [ \$n -le 0 ] || head -c \${n}k /dev/zero >$disk/$file 2>/dev/null || :'";
}

# strike(FAULT, WORK, SECONDS): the work, met by the fault so long after its beginning, or right before it. Returns whether it met it, whether the work came to its end,
# and what the session was told.
sub strike
{
    my ($fault, $work, $seconds) = @_;
    my $early = !defined $seconds;
    my $log = -s $node->logfile;
    my $before = $fault eq 'statement timeout' ? 'SET statement_timeout = ' . int(1 + 1000 * $seconds) : 'SELECT pg_sleep(' . ($early ? 0.4 : 0.03) . ')';
    $node->safe_psql('postgres', fill('most', 16384)) if $fault eq 'disk full';
    my ($out, $err, $killed) = ('', '', 0);
    my $session = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('faulty') . ' application_name=struck', '-c', $before, '-c', $work ], '<', \undef, '>', \$out, '2>', \$err);
    if ($fault eq 'cancel') { $node->safe_psql('postgres', "SELECT pg_cancel_backend(struck($seconds))"); }
    elsif ($fault eq 'session ended') { $node->safe_psql('postgres', "SELECT pg_terminate_backend(struck($seconds))"); }
    elsif ($fault eq 'no memory for locks') { $node->psql('postgres', 'CALL take_all_locks(' . ($seconds // 'NULL') . ')'); } # may itself lack them in the end
    elsif ($fault eq 'disk full') { $node->safe_psql('postgres', ($early ? 'SELECT pg_sleep(0.1); ' : "SELECT struck($seconds); ") . fill('rest', $early ? 0 : (0, 32, 128)[ int(rand(3)) ])); }
    elsif ($fault ne 'statement timeout')
    {
        my $pid = $node->safe_psql('postgres', "SELECT struck($seconds)");
        if ($pid ne '')
        {
            if ($fault eq 'kill -9') { kill 'KILL', $pid; }
            elsif ($fault eq 'client lost') { $session->signal('KILL'); $killed = 1; }
            else { $node->stop('immediate'); }
        }
    }
    eval { $session->finish; };
    my $ended = ($session->full_result(0) // 1) == 0;
    start_server() if !-e $node->data_dir . '/postmaster.pid';
    $node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'struck'}) or die;
    if ($fault eq 'client lost')
    {
        # Otherwise the work came to its end before the server noticed.
        if (slurp_file($node->logfile, $log) =~ /connection to client lost/) { $err = 'connection to client lost'; }
        elsif ($killed) { $ended = 1; }
    }
    $node->safe_psql('postgres', "COPY (SELECT WHERE false) TO PROGRAM 'rm -f $disk/most $disk/rest'") if $fault eq 'disk full';
    return (!$ended && $err =~ ($fault{$fault} // qr/connection to client lost/), $ended, $err);
}

my $total = 0;
for my $w ((map { [ @$_, 0 ] } @procedures), (map { [ @$_, 1 ] } @statements))
{
    my ($name, $work, $whole) = @$w;
    next if $ENV{CRM_FAULT_ONLY} && $name !~ $ENV{CRM_FAULT_ONLY};
    fresh('plain');
    my $began = time;
    $node->safe_psql('plain', $work);
    # Without what psql takes to begin.
    my $took = time - $began;
    $took = $took > 0.03 ? $took - 0.02 : 0.01;
    my $wanted = $node->safe_psql('plain', $state);
    my (%met, %missed, @wrong);
    my @left = map { my $n = $_; sort { rand() <=> 0.5 } @faults } 1 .. ($ENV{CRM_FAULT_ROUNDS} || 1);
    my ($copies, $ended) = (0, 1);
    my $unchanged;
    while (@left || !$ended)
    {
        if ($ended)
        {
            last if ++$copies > 16;
            fresh('faulty', $small_disk ? 'small' : undef);
            $unchanged = $node->safe_psql('faulty', $state) if $whole;
        }
        if (!@left)
        {
            $node->safe_psql('faulty', $work);
            $ended = 1;
        }
        else
        {
            my $fault = shift @left;
            my $missed = $missed{$fault} // 0;
            # A procedure has done a part of its work already; who was missed is met earlier.
            my $hit;
            ($hit, $ended, my $err) = strike($fault, $work, $missed > 2 && $fault =~ /disk|locks/ ? undef : rand($whole ? 0.5 : 0.3) * $took * 0.5**$missed);
            if ($hit) { $met{$fault}++; $total++; }
            else { $missed{$fault}++; push @left, $fault if $missed < ($never{"$name $fault"} ? 1 : 10); }
            push @wrong, "$fault: $err" unless $hit || $ended;
            push @wrong, "$fault left something" if $whole && !$ended && $node->safe_psql('faulty', $state) ne $unchanged;
            push @wrong, "$fault: not clean" if $fault =~ /kill|immediate|disk|locks/ && $node->safe_psql('faulty', $clean) ne '';
        }
        if ($ended)
        {
            push @wrong, 'not clean in the end' if $node->safe_psql('faulty', $clean) ne '';
            my $got = $node->safe_psql('faulty', $state);
            push @wrong, "ends otherwise:\n$got\nwanted:\n$wanted" if $got ne $wanted;
        }
        last if @wrong;
    }
    is(join("\n", @wrong), '', "$name: " . join(', ', map { ($met{$_} // 0) . " $_" } @faults));
    note(sprintf('%s: %.3f s undisturbed, %d copies', $name, $took, $copies));
    # A race that is always missed proves nothing against the work; the matrix is complete or is not written.
    my $unmet = join(', ', grep { !$met{$_} && !$never{"$name $_"} } @faults);
    if ($ENV{MET}) { is($unmet, '', "$name: each fault met it"); }
    elsif ($unmet ne '') { diag("$name was missed by $unmet"); }
    met($name, $_, $met{$_} // 0, $whole
        ? 'clean; nothing of it is left, and run again it ends as without'
        : 'clean; what was committed stays, and the next call ends as without') for @faults;
}
my ($matrix) = slurp_file('doc/operations.md') =~ /<!-- make fault-matrix -->\n(.*?)<!-- so far -->/s;
is(join(', ', grep { $matrix !~ /^\| \Q$_\E \|/m } map { $_->[0] } @procedures, @statements), '', 'doc/operations.md has all of them') unless $ENV{WRITE};
my $of = @faults * (@procedures + @statements) - keys %never;
cmp_ok($total, '>=', $ENV{CRM_FAULT_ONLY} ? 1 : $ENV{MET} ? $of : 0.8 * $of, "$total faults of $of were met");
# A full disk of another kind, also where no small one can be had: files may grow to a limit and no further.
fresh('faulty');
$node->safe_psql('postgres', 'DROP TABLESPACE small') if $small_disk;
$node->stop;
$order = "exit\n";
$shell->finish;
my $pgdata = $node->data_dir;
system_or_bail('sh', '-c', 'ulimit -f 40000; exec pg_ctl -w -D "$1" -l "$1/full.log" start >/dev/null', 'sh', $pgdata);
my ($rc, $out, $err) = $node->psql('faulty', q{
    INSERT INTO shop.purchase (customer_id, order_no, status, amount, completed_at) SELECT 1 + i % 1500, 'full' || i, 'completed', 500, now() FROM generate_series(1, 300000) i});
like($err, qr/could not (extend|write)/, 'disk full: the core says so');
is($node->safe_psql('faulty', q{SELECT count(*) FROM shop.purchase WHERE order_no LIKE 'full%'}), '0', 'disk full: no order is left');
is($node->safe_psql('faulty', $clean), '', 'disk full: sums, ledger and audiences are clean');
system_or_bail('pg_ctl', '-w', '-D', $pgdata, '-m', 'fast', 'stop');
$node->start;
is($node->safe_psql('faulty', q{SELECT count(*) FROM shop.purchase WHERE order_no LIKE 'full%'}), '0', 'disk full: nor after a restart');
met('orders in bulk', 'disk full', 1, 'clean; nothing of it is left, and run again it ends as without');
$node->stop;
done_testing();
