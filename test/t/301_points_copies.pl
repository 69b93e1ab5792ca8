# Dumps, restores and replicas of a ledger verify clean, whichever way they were made.
use strict;
use warnings;

use File::Spec;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 'logical');
$node->start;
my $dir = File::Spec->rel2abs(PostgreSQL::Test::Utils::tempdir());

# Entries of every kind, with notes, lapses, holds of each state, a checkpoint.
$node->safe_psql('postgres', q{
	CREATE EXTENSION crm;
	SELECT crm.create_store('shop');
	SET search_path = shop, crm;
	INSERT INTO customer (customer_id) SELECT generate_series(1, 50);
	INSERT INTO points_program (program, debt_allowed, expiry, expiry_n) VALUES ('miles', true, 'months', 6);
	SELECT count(earn(c, 10 * n, 't', n::text, CASE c % 2 WHEN 0 THEN 'points' ELSE 'miles' END, as_of => '2026-01-01'::timestamptz + n * interval '20 days',
		available_at => CASE n % 3 WHEN 0 THEN 'infinity' WHEN 1 THEN '2026-09-01'::timestamptz END, note => 'note ' || n))
	FROM generate_series(1, 50) c, generate_series(1, 9) n;
	SELECT count(redeem(c, 15, 't', 'r', as_of => '2026-08-01')), count(hold(c, 7, 't', 'h1', as_of => '2026-08-01', expires_at => '2026-08-02')),
		count(hold(c, 7, 't', 'h2', as_of => '2026-08-01')), count(capture(c, 'h2', 3, as_of => '2026-08-03')), count(hold(c, 2, 't', 'h3', as_of => '2026-08-01')),
		count(refund(c, '2', 13, as_of => '2026-08-04')), count(restore(c, 'r', 5, as_of => '2026-08-05')), count(mature(c, '3', as_of => '2026-08-05')),
		count(adjust(c, -1, 't', 'a', 'because', as_of => '2026-08-06')), count(transfer(c, c % 50 + 1, 3, 't', 'x', as_of => '2026-08-06'))
	FROM generate_series(2, 48, 2) c;
	SELECT count(refund(c, '2', program => 'miles', as_of => '2026-08-04')) FROM generate_series(1, 49, 2) c;
	SELECT points_checkpoint();
	INSERT INTO purchase (customer_id, order_no, status, amount) SELECT c, 'o' || c, 'completed', 500 FROM generate_series(1, 50) c;
});
my $entries = q{SELECT md5(string_agg(e::text, ';' ORDER BY customer_id, program, seq)) FROM shop.points_entry e};
my $accounts = q{SELECT md5(string_agg(e::text, ';' ORDER BY customer_id, program)) FROM shop.points_account e};
my $verify = q{SELECT customer_id, seq, finding FROM shop.points_verify() UNION ALL SELECT customer_id, seq, finding FROM shop.points_verify_checkpoints()};
my @original = map { $node->safe_psql('postgres', $_) } $entries, $accounts;
is($node->safe_psql('postgres', $verify), '', 'the original verifies');
cmp_ok($node->safe_psql('postgres', 'SELECT count(DISTINCT kind) FROM shop.points_entry'), '==', 12, 'entries of all kinds');

sub same_as_original
{
	my ($db, $name) = @_;
	is($node->safe_psql($db, $verify), '', "$name: verifies");
	is($node->safe_psql($db, $entries), $original[0], "$name: the same entries");
	is($node->safe_psql($db, $accounts), $original[1], "$name: the same accounts");
	my $posted = $node->safe_psql($db, q{SELECT seq > 0 FROM shop.earn(1, 1, 't', 'after')});
	is($posted, 't', "$name: goes on");
	is($node->safe_psql($db, $verify), '', "$name: verifies after that");
}

$node->command_ok(['pg_dump', '-Fc', '-f', "$dir/full", $node->connstr('postgres')], 'full dump');
$node->safe_psql('postgres', "CREATE DATABASE db_$_") for qw(full data live triggers replayed subscriber archived archived_live);
$node->command_ok(['pg_restore', '-d', $node->connstr('db_full'), "$dir/full"], 'full restore');
same_as_original('db_full', 'full restore');

# The schema alone, then the data with triggers silent.
$node->command_ok(['pg_restore', '-s', '-d', $node->connstr('db_data'), "$dir/full"], 'schema alone');
$node->command_ok(['pg_restore', '-a', '-f', "$dir/data.sql", "$dir/full"], 'data alone');
$node->safe_psql('db_data', "SET session_replication_role = replica;\n\\i $dir/data.sql");
same_as_original('db_data', 'data under replica role');

# The ledger's data into live triggers: accounts first, as pg_dump orders them, then entries by the gate.
my @tables = map { ('-t', "shop.$_") } qw(settings customer points_program points_account points_entry points_note points_hold points_checkpoint points_checkpoint_leaf);
$node->command_ok(['pg_restore', '-s', '-d', $node->connstr('db_live'), "$dir/full"], 'schema alone');
$node->command_ok(['pg_dump', '-a', @tables, '-f', "$dir/ledger.sql", $node->connstr('postgres')], 'the ledger alone');
$node->safe_psql('db_live', "INSERT INTO shop.customer (customer_id) SELECT 1000; DELETE FROM shop.customer; \\i $dir/ledger.sql");
same_as_original('db_live', 'data into live triggers');

# Entries alone: the gate builds the accounts up again, byte for byte.
$node->command_ok(['pg_restore', '-s', '-d', $node->connstr('db_replayed'), "$dir/full"], 'schema alone');
$node->command_ok(['pg_dump', '-a', '-t', 'shop.settings', '-t', 'shop.customer', '-t', 'shop.points_program', '-f', "$dir/base.sql", $node->connstr('postgres')], 'the base');
$node->safe_psql('db_replayed', "\\i $dir/base.sql");
$node->safe_psql('postgres', "COPY (SELECT * FROM shop.points_entry ORDER BY customer_id, program, seq) TO '$dir/entries'");
$node->safe_psql('db_replayed', "COPY shop.points_entry FROM '$dir/entries'");
is($node->safe_psql('db_replayed', $entries), $original[0], 'entries alone: the same entries');
is($node->safe_psql('db_replayed', $accounts), $original[1], 'entries alone: the same accounts');
is($node->safe_psql('db_replayed', 'SELECT customer_id, seq, finding FROM shop.points_verify()'), '', 'entries alone: verifies');

# --disable-triggers changes trigger states silently: reported, repaired.
$node->command_ok(['pg_restore', '-s', '-d', $node->connstr('db_triggers'), "$dir/full"], 'schema alone');
$node->command_ok(['pg_restore', '-a', '--disable-triggers', '-d', $node->connstr('db_triggers'), "$dir/full"], 'data with --disable-triggers');
like($node->safe_psql('db_triggers', $verify), qr/trigger points_immutable_row of points_entry is enabled for origin only/, 'changed trigger states are reported');
$node->safe_psql('db_triggers', q{SELECT crm.repair_triggers('shop')});
same_as_original('db_triggers', '--disable-triggers, repaired');

# A subscriber.
$node->command_ok(['pg_restore', '-s', '-d', $node->connstr('db_subscriber'), "$dir/full"], 'schema alone');
$node->safe_psql('postgres', 'CREATE PUBLICATION p FOR ALL TABLES');
$node->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('s', 'pgoutput')});
my $connstr = $node->connstr . ' dbname=postgres';
$node->safe_psql('db_subscriber', "CREATE SUBSCRIPTION s CONNECTION '$connstr' PUBLICATION p WITH (create_slot = false, slot_name = 's')");
$node->wait_for_subscription_sync($node, 's', 'db_subscriber');
$node->safe_psql('postgres', q{SELECT count(shop.earn(c, 5, 't', 'replicated')), count(shop.redeem(c, 5, 't', 'replicated')) FROM generate_series(1, 50) c});
$node->wait_for_catchup('s');
is($node->safe_psql('db_subscriber', $verify), '', 'subscriber: verifies');
is($node->safe_psql('db_subscriber', $entries), $node->safe_psql('postgres', $entries), 'subscriber: the same entries');
is($node->safe_psql('db_subscriber', $accounts), $node->safe_psql('postgres', $accounts), 'subscriber: the same accounts');

# Old entries that go to the archive, here and at the subscriber, and come along in dumps.
$node->safe_psql('postgres', q{
	SET search_path = shop, crm;
	INSERT INTO customer (customer_id) SELECT generate_series(101, 120);
	SELECT count(earn(c, 10 * n, 'old', n::text, as_of => now() - interval '600 days' + n * interval '1 day')) FROM generate_series(101, 120) c, generate_series(1, 5) n;
	SELECT points_checkpoint();
	SELECT count(redeem(c, 25, 'old', 'r')) FROM generate_series(101, 120) c;
	CALL archive_points(now() - interval '500 days');
});
is($node->safe_psql('postgres', 'SELECT count(*), min(archived) FROM shop.points_account WHERE archived > 0'), '20|5', 'old entries are archived');
is($node->safe_psql('postgres', $verify), '', 'archived: verifies');
$node->wait_for_catchup('s');
my $archive = q{SELECT md5(string_agg(e::text, ';' ORDER BY customer_id, program, seq)) FROM shop.points_entry_all e};
my $archived = $node->safe_psql('postgres', $archive);
is($node->safe_psql('db_subscriber', $verify), '', 'subscriber of an archive: verifies');
is($node->safe_psql('db_subscriber', $entries), $node->safe_psql('postgres', $entries), 'subscriber of an archive: the same entries');
is($node->safe_psql('db_subscriber', $archive), $archived, 'subscriber of an archive: the same archive');
$node->safe_psql('db_subscriber', 'DROP SUBSCRIPTION s');
@original = map { $node->safe_psql('postgres', $_) } $entries, $accounts;
$node->command_ok(['pg_dump', '-Fc', '-f', "$dir/archived", $node->connstr('postgres')], 'full dump with an archive');
$node->command_ok(['pg_restore', '-d', $node->connstr('db_archived'), "$dir/archived"], 'full restore with an archive');
is($node->safe_psql('db_archived', $archive), $archived, 'full restore: the same archive');
same_as_original('db_archived', 'full restore with an archive');
$node->command_ok(['pg_restore', '-s', '-d', $node->connstr('db_archived_live'), "$dir/archived"], 'schema alone');
$node->command_ok(['pg_dump', '-a', @tables, '-t', 'shop.points_start', '-t', 'shop.points_entry_archive', '-f', "$dir/archived.sql", $node->connstr('postgres')], 'the ledger alone, with its archive');
$node->safe_psql('db_archived_live', "\\i $dir/archived.sql");
is($node->safe_psql('db_archived_live', $archive), $archived, 'data into live triggers: the same archive');
same_as_original('db_archived_live', 'data into live triggers, with an archive');
is($node->safe_psql('db_archived_live', "SELECT shop.points_restore_archive(101); SELECT count(*) FROM shop.points_entry WHERE customer_id = 101") =~ s/.*\n//sr, '6', 'the archive comes back from a copy');

# The verifier that does not trust the database.
$node->safe_psql('postgres', "COPY (SELECT * FROM shop.points_export ORDER BY 1, 2, 3) TO '$dir/export.csv' CSV HEADER");
my $root = $node->safe_psql('postgres', q{SELECT points_checkpoint(); SELECT root FROM shop.points_checkpoint ORDER BY checkpoint DESC LIMIT 1} =~ s/points_checkpoint\(\)/shop.points_checkpoint()/r);
$root = (split /\n/, $root)[-1];
append_to_file("$dir/proof.json", $node->safe_psql('postgres', 'SELECT shop.points_proof(2)'));
my $py = 'test/py/verify_ledger.py';
is(`/usr/bin/python3 $py entries $dir/export.csv`, "ok\n", 'the export verifies outside');
is(`/usr/bin/python3 $py proof $dir/proof.json '$root'`, "ok\n", 'the proof verifies outside');
my $csv = slurp_file("$dir/export.csv");
$csv =~ s/^(2,points,3,earn,)30/${1}31/m or die 'no entry to forge';
append_to_file("$dir/forged.csv", $csv);
like(`/usr/bin/python3 $py entries $dir/forged.csv`, qr/customer 2, program points, entry 3: hash/, 'a forged export does not');
my $proof = slurp_file("$dir/proof.json");
$proof =~ s/"entries": (\d+)/'"entries": ' . ($1 + 1)/e;
append_to_file("$dir/forged.json", $proof);
like(`/usr/bin/python3 $py proof $dir/forged.json '$root'`, qr/does not follow/, 'a forged proof does not');
$node->stop;
done_testing();
