# A standby answers every question and refuses every write with the core's error; promoted under load it has each order that
# was acknowledged; the archive brings a database back to a moment; a subscriber's ledger verifies.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

require './test/perl/met.pl';

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 'logical', has_archiving => 1, extra => [ '--encoding=UTF8', '--no-locale' ]);
$primary->append_conf('postgresql.conf', "max_connections = 40\n");
$primary->start;
$primary->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', 'test/upgrade/store.sql', $primary->connstr('postgres') ],
    'a store with something of each part');
my $fingerprint = slurp_file('test/upgrade/fingerprint.sql');
my $clean = q{SELECT count(*) FROM shop.recount_customers() UNION ALL SELECT count(*) FROM shop.points_verify() UNION ALL SELECT count(*) FROM shop.points_verify_checkpoints()};

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);

# Reads: the same answers, and the functions that a shop's pages call.
is($standby->safe_psql('shopdb', $fingerprint), $primary->safe_psql('shopdb', $fingerprint), 'standby: same data, the ledger verifies there');
for my $read (
    'SELECT count(*) FROM shop.customer_360',
    'SELECT count(*) FROM shop.timeline(5)',
    q{SELECT count(*) FROM shop.points_expiring('1 year')},
    q{SELECT length(shop.report_html()) > 1000},
    q{SELECT * FROM crm.health('shop')},
    q{SELECT * FROM shop.tier_progress(5)})
{
    my ($rc, $out, $err) = $standby->psql('shopdb', $read);
    is($rc, 0, "standby answers: $read") or diag($err);
}
for my $write (
    q{INSERT INTO shop.purchase (customer_id, order_no, amount) VALUES (5, 'standby', 10)},
    q{SELECT shop.earn(5, 10, 'standby', '1')},
    q{UPDATE shop.customer SET tags = '{a}' WHERE customer_id = 5},
    q{CALL shop.expire_points(now())},
    q{SELECT shop.export_customer(5)}, # it is recorded who took them
    q{SELECT crm.create_store('other')})
{
    my ($rc, $out, $err) = $standby->psql('shopdb', "\\set VERBOSITY verbose\n$write");
    like($err, qr/ERROR:  25006: cannot execute .* in a read-only transaction|ERROR:  25006|cannot .* during recovery/, "standby refuses: $write");
}

# A moment to which the archive will bring another server.
my $moment = $primary->safe_psql('shopdb', $fingerprint);
$primary->safe_psql('shopdb', q{SELECT pg_create_restore_point('before_mistake')});
$primary->safe_psql('shopdb', q{UPDATE shop.purchase SET refunded = amount; SELECT count(shop.earn(c, 1, 'mistake', 'm')) FROM generate_series(1, 50) c});
isnt($primary->safe_psql('shopdb', $fingerprint), $moment, 'a mistake is made');
$primary->safe_psql('shopdb', 'SELECT pg_switch_wal()');
my $restored = PostgreSQL::Test::Cluster->new('restored');
$restored->init_from_backup($primary, 'base', has_restoring => 1);
$restored->append_conf('postgresql.conf', "recovery_target_name = 'before_mistake'\nrecovery_target_action = 'promote'\narchive_mode = off\n");
$restored->start;
$restored->poll_query_until('shopdb', 'SELECT NOT pg_is_in_recovery()') or die 'no end of recovery';
is($restored->safe_psql('shopdb', $fingerprint), $moment, 'point in time: the data of the moment before');
is($restored->safe_psql('shopdb', slurp_file('test/upgrade/after.sql')), '', 'point in time: writes go on');
$restored->stop;

# A subscriber gets the store's tables; its own triggers stay quiet, since the changes arrive as a replica's.
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$subscriber->start;
$subscriber->safe_psql('postgres', 'CREATE DATABASE shopdb');
$subscriber->safe_psql('shopdb', q{CREATE EXTENSION crm; SELECT crm.create_store('shop', seed => false)});
$primary->safe_psql('shopdb', 'CREATE PUBLICATION shop_all FOR TABLES IN SCHEMA shop');
my $connstr = $primary->connstr('postgres') =~ s{dbname='postgres'}{dbname=shopdb}r;
$subscriber->safe_psql('shopdb', "CREATE SUBSCRIPTION shop_all CONNECTION '$connstr' PUBLICATION shop_all");
$subscriber->wait_for_subscription_sync($primary, 'shop_all', 'shopdb');
$primary->safe_psql('shopdb', q{
    INSERT INTO shop.purchase (customer_id, order_no, status, amount, completed_at) SELECT c, 'later' || c, 'completed', 300, now() FROM generate_series(1, 50) c;
    SELECT count(shop.redeem(c, 1, 'later', 'r')) FROM generate_series(1, 50) c;
    UPDATE shop.customer SET tags = crm.tagset(ARRAY['later']) WHERE customer_id <= 20;
});
$primary->wait_for_catchup('shop_all');
is($subscriber->safe_psql('shopdb', $fingerprint), $primary->safe_psql('shopdb', $fingerprint), 'subscriber: same data, sums, tags; its ledger verifies');
$subscriber->safe_psql('shopdb', 'DROP SUBSCRIPTION shop_all');
is($subscriber->safe_psql('shopdb', q{SELECT count(*) FROM crm.store_findings('shop')}), '0', 'subscriber: every object is there');
$subscriber->stop;

# The primary dies under load; what it acknowledged with synchronous replication is on the standby.
$primary->append_conf('postgresql.conf', "synchronous_standby_names = '*'\n");
$primary->reload;
my $log = PostgreSQL::Test::Utils::tempdir() . '/acknowledged';
my @writers;
for my $w (1 .. 4)
{
    append_to_file("$log.$w.sql", join('', map { "INSERT INTO shop.purchase (customer_id, order_no, status, amount, completed_at) VALUES ("
            . (1 + ($w * 37 + $_) % 200) . ", 'w$w-$_', 'completed', 200, now()) RETURNING order_no;\n" } 1 .. 20000));
    push @writers, IPC::Run::start([ 'psql', '-X', '-q', '-At', '-d', $primary->connstr('shopdb'), '-f', "$log.$w.sql" ], '<', \'', '>', "$log.$w", '2>', '/dev/null');
}
sleep 3;
$primary->stop('immediate');
$_->finish for @writers;
$standby->promote;
my @acknowledged = map { split /\n/, slurp_file("$log.$_") } 1 .. 4;
cmp_ok(scalar(@acknowledged), '>', 50, 'orders were acknowledged before the crash: ' . scalar(@acknowledged));
my %there = map { $_ => 1 } split /\n/, $standby->safe_psql('shopdb', q{SELECT order_no FROM shop.purchase WHERE order_no LIKE 'w%'});
is(scalar(grep { !$there{$_} } @acknowledged), 0, 'promotion: each of them is there');
is($standby->safe_psql('shopdb', $clean), "0\n0\n0", 'promotion: recount and ledger are clean');
met('orders of four sessions, the standby promoted', '`immediate` stop', 1, 'clean; every acknowledged order is there, and writes go on');
is($standby->safe_psql('shopdb', slurp_file('test/upgrade/after.sql')), '', 'promotion: writes go on');
$standby->stop;
done_testing();
