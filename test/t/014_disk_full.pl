# A disk that fills up in the middle of work: a database of its own lies in a tablespace on a small tmpfs, and a file takes what is free there but
# for some kilobytes. Whatever is at work then stops with the core's error 53100, nothing of it is half-done, and it goes on once there is room.
#
# The tmpfs is mounted in a mount namespace of the server's own, so nobody else sees it and it goes with the server, however the test ends.
use strict;
use warnings;

use Cwd qw(abs_path);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

require './test/perl/met.pl';

my @own_mounts = qw(unshare --user --map-current-user --mount --keep-caps);
my $disk = abs_path(PostgreSQL::Test::Utils::tempdir) . '/disk';
mkdir $disk or die;
plan skip_all => 'no mount namespaces of one\'s own here: no small disk'
    if system("@own_mounts mount -t tmpfs -o size=1m tmpfs $disk 2>/dev/null") != 0;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
# What statements sort goes to the large disk, so that only tables and indexes can lack room.
$node->append_conf('postgresql.conf', "fsync = off\njit = off\nautovacuum = off\ntemp_tablespaces = pg_default\n");
system_or_bail(@own_mounts, 'sh', '-c', 'mount -t tmpfs -o size=400m,mode=700 tmpfs "$1" && exec pg_ctl -w -D "$2" -l "$3" start >/dev/null', 'sh',
    $disk, $node->data_dir, $node->logfile);
$node->_update_pid(1);
sub sql { my ($db, $sql) = @_; return $node->safe_psql($db, $sql); }
sub in_server { return sql('postgres', "COPY (SELECT WHERE false) TO PROGRAM '$_[0]'"); }

in_server("mkdir -m 700 $disk/space");
sql('postgres', "CREATE TABLESPACE small LOCATION '$disk/space'");
sql('postgres', 'CREATE DATABASE origin');
sql('origin', q{
    CREATE EXTENSION crm;
    SELECT crm.create_store('shop');
    SET search_path = shop, crm, pg_temp;
    SELECT install_preset('textbook');
    INSERT INTO customer (customer_id, joined_at) SELECT i, timestamptz '2024-01-01 00:00+00' FROM generate_series(1, 4000) i;
    INSERT INTO purchase (customer_id, channel, order_no, status, amount, ordered_at, paid_at, completed_at)
    SELECT 1 + i % 4000, 'mall', 'n' || i, 'completed', 100 + i % 900, t, t, t
    FROM generate_series(1, 8000) i, LATERAL (SELECT timestamptz '2025-01-01 00:00+00' + i * interval '1 hour' AS t) t;
    SELECT count(earn(c, 100, 'gift', 'due', expires_at => now() + interval '30 days')) FROM generate_series(1, 4000) c;
    INSERT INTO tag_rule (tag, rule) VALUES ('buyer', 'order_count >= 1'), ('large', 'spend_total >= 1000'), ('odd', 'customer_id < 3000');
    ANALYZE;
});

my $clean = q{
    SELECT 'sums', r.customer_id::text FROM shop.recount_customers() r
    UNION ALL SELECT 'ledger', v.customer_id || ' ' || v.finding FROM shop.points_verify() v
    UNION ALL SELECT 'audience', t.tag FROM shop.check_tag_audience() t};
my $state = q{
    SELECT md5(string_agg(s.customer_id || ' ' || s.order_count || ' ' || s.spend_total, ',' ORDER BY s.customer_id)) FROM shop.customer_summary s;
    SELECT md5(string_agg(a.customer_id || a.program || a.available || ' ' || a.seq, ',' ORDER BY a.customer_id, a.program)) FROM shop.points_account a;
    SELECT count(*), sum(e.points) FROM shop.points_entry e;
    SELECT md5(string_agg(c.customer_id || c.tags::text, ',' ORDER BY c.customer_id)) FROM shop.customer c;
    SELECT count(*), md5(string_agg(t.customer_id || t.from_tier || t.to_tier, ',' ORDER BY t.customer_id, t.change_no)) FROM shop.tier_change t;
    SELECT count(*) FROM shop.purchase};

# name, work, what must have happened before it, and whether it is all or nothing
my @work = (
    [ 'orders in bulk', q{INSERT INTO shop.purchase (customer_id, order_no, status, amount, completed_at)
        SELECT 1 + i % 4000, 'new' || i, 'completed', 500, '2026-01-01' FROM generate_series(1, 2000) i}, '', 1 ],
    [ 'post_points', q{SELECT count(*) FROM shop.post_points((SELECT array_agg(ROW(1 + i % 4000, 'earn', 5, 'bulk', i, NULL, NULL, NULL, NULL, '2026-01-01', NULL)::crm.points_movement)
        FROM generate_series(1, 20000) i))}, '', 1 ],
    [ 'expire_points', q{CALL shop.expire_points('2028-01-01', batch => 100)}, '', 0 ],
    [ 'apply_tag_rules', q{CALL shop.apply_tag_rules('2028-01-01', batch => 100)}, '', 0 ],
    [ 'evaluate_tiers', q{CALL shop.evaluate_tiers('2025-06-01', batch => 100)}, '', 0 ],
    [ 'fold_tag_audience', q{CALL shop.fold_tag_audience()},
        q{SET search_path = shop, crm; UPDATE customer SET tags = tags + ('t:' || customer_id % 200) + ('u:' || customer_id % 500) + ('v:' || customer_id % 900)}, 0 ]);
for my $w (@work)
{
    my ($name, $work, $before, $whole) = @$w;
    sql('postgres', "DROP DATABASE IF EXISTS $_") for qw(plain tight);
    sql('postgres', 'CREATE DATABASE plain TEMPLATE origin');
    sql('postgres', 'CREATE DATABASE tight TEMPLATE origin TABLESPACE small');
    for my $db (qw(plain tight)) { sql($db, $before) if $before; }
    my $unchanged = sql('tight', $state);
    sql('plain', $work);
    my $wanted = sql('plain', $state);

    # What is free is taken but for ever less, until the work lacks room. One session does it all: a new one could not write its own file of the catalog.
    my ($err, $on_full, $after, $met) = ('', '', '', 0);
    for my $left (512, 128, 32, 0)
    {
        my $all = join(";\n", q{SET client_min_messages = error; SELECT 1 FROM pg_class LIMIT 0},
            "COPY (SELECT WHERE false) TO PROGRAM 'head -c \$(( \$(df --output=avail -k $disk | tail -n 1) - $left ))k /dev/zero >$disk/filler'",
            $work, "\\echo =full\n$clean", "\\echo =state\n$state", "\\echo =end\nCOPY (SELECT WHERE false) TO PROGRAM 'rm $disk/filler'") . ";\n";
        my $out;
        $node->psql('tight', $all, stdout => \$out, stderr => \$err, on_error_stop => 0);
        ($on_full, $after) = $out =~ /=full\n(.*)=state\n(.*)\n=end/s or die $out;
        $met = $left;
        last if $err;
        # Done in what was left: once more from the start, with less.
        sql('postgres', 'DROP DATABASE tight');
        sql('postgres', 'CREATE DATABASE tight TEMPLATE origin TABLESPACE small');
        sql('tight', $before) if $before;
    }
    like($err, qr/No space left on device/, "$name, $met kB left: the core says that the disk is full");
    is($on_full, '', "$name: sums, ledger and audiences are clean on the full disk");
    is($after, $unchanged, "$name: all or nothing") if $whole;
    sql('tight', $work);
    is(sql('tight', $state), $wanted, "$name: with room again, it ends as without the fault");
    is(sql('tight', $clean), '', "$name: and is clean");
    met($name, 'disk full', 1, $whole ? 'clean; nothing of it is left, and run again it ends as without'
        : 'clean; what was committed stays, and the next call ends as without');
}
is(sql('postgres', q{SELECT count(*) FROM pg_stat_database WHERE checksum_failures > 0}), '0', 'no page was damaged');
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal|TRAP:/, 'the server never went down');
ok(!-e "$disk/space", 'the disk went with the server');
done_testing();
