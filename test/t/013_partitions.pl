# A store whose ledger is partitioned is dumped, restored, adopted and renamed like any other.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', "fsync = off\n");
$node->start;
my $dir = PostgreSQL::Test::Utils::tempdir();

sub sql { my ($db, $sql) = @_; return $node->safe_psql($db, $sql); }

sql('postgres', 'CREATE DATABASE origin');
sql('origin', q{
    CREATE EXTENSION crm;
    SELECT crm.create_store('shop', partitions => 3);
    SELECT shop.install_preset('textbook');
    INSERT INTO shop.customer (joined_at) SELECT timestamptz '2024-01-01 00:00+00' FROM generate_series(1, 50);
    INSERT INTO shop.purchase (customer_id, order_no, amount, status, paid_at, completed_at)
        SELECT 1 + i % 50, 'n' || i, 100 + i, 'completed', timestamptz '2025-01-01 00:00+00' + i * interval '13 hours', timestamptz '2025-01-01 00:00+00' + i * interval '13 hours'
        FROM generate_series(1, 400) i;
    SELECT count(*) FROM generate_series(1, 50) c, LATERAL shop.redeem(c, 1, 'shop', 'r');
    SELECT shop.adjust(1, 5, 'shop', 'a', 'a note');
    SELECT shop.points_checkpoint();
});
my $fingerprint = q{SELECT md5(string_agg(e::text, E'\n' ORDER BY e.customer_id, e.program, e.seq)) FROM shop.points_entry e};
my $truth = sql('origin', $fingerprint);
my $clean = q{SELECT * FROM crm.store_findings('shop') UNION ALL SELECT 'verify', finding, '' FROM shop.points_verify() UNION ALL SELECT 'checkpoint', finding, '' FROM shop.points_verify_checkpoints()};
is(sql('origin', $clean), '', 'clean');

sub check_copy
{
    my ($db, $how) = @_;
    is(sql($db, $fingerprint), $truth, "$how: same entries");
    is(sql($db, $clean), '', "$how: nothing is missing, the ledger verifies");
    sql($db, q{SELECT shop.earn(7, 10, 'shop', 'after'); SELECT shop.transfer(7, 8, 5, 'shop', 'after')});
    is(sql($db, $clean), '', "$how: the ledger works on");
}

$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/custom.dump", $node->connstr('origin') ], 'dump');
sql('postgres', 'CREATE DATABASE custom');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-j', '2', '-d', $node->connstr('custom'), "$dir/custom.dump" ], 'restore with two jobs');
check_copy('custom', 'custom');

# Through the root, as a restore into another number of partitions does.
$node->command_ok([ 'pg_dump', '--data-only', '--load-via-partition-root', '-f', "$dir/data.sql", $node->connstr('origin') ], 'dump of the data by the root');
sql('postgres', 'CREATE DATABASE more');
sql('more', q{CREATE EXTENSION crm; SELECT crm.create_store('shop', seed => false, partitions => 5)});
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-c', 'SET session_replication_role = replica', '-f', "$dir/data.sql", $node->connstr('more') ], 'restore into five partitions');
check_copy('more', 'five partitions');
sql('postgres', 'CREATE DATABASE none');
sql('none', q{CREATE EXTENSION crm; SELECT crm.create_store('shop', seed => false)});
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-c', 'SET session_replication_role = replica', '-f', "$dir/data.sql", $node->connstr('none') ], 'restore into one table');
check_copy('none', 'one table');

# One store's schema, under another name, taken over.
$node->command_ok([ 'pg_dump', '-n', 'shop', '-f', "$dir/schema.sql", $node->connstr('origin') ], 'dump of the schema');
sql('postgres', 'CREATE DATABASE adopted');
sql('adopted', 'CREATE EXTENSION crm');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', "$dir/schema.sql", $node->connstr('adopted') ], 'restore of the schema');
is(sql('adopted', q{SELECT * FROM crm.adopt_store('shop')}), '', 'adopted whole');
sql('adopted', q{SELECT crm.rename_store('shop', 'mall'); SELECT mall.earn(3, 1, 'shop', 'renamed'); SELECT crm.rename_store('mall', 'shop'); SELECT shop.earn(3, 1, 'shop', 'back')});
is(sql('adopted', $clean), '', 'renamed there and back');
sql('adopted', q{SELECT crm.drop_store('shop', confirm => 'shop')});

done_testing();
