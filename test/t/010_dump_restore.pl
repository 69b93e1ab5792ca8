# A dump of a database with a store restores whole, in each format; a store's schema alone is taken over by adopt_store.
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

$node->safe_psql('postgres', 'CREATE DATABASE origin');
sql('origin', q{
    CREATE EXTENSION crm;
    SELECT crm.create_store('shop');
    INSERT INTO shop.customer (joined_at) SELECT timestamptz '2024-01-01 00:00+00' FROM generate_series(1, 50);
    INSERT INTO shop.purchase (customer_id, channel, order_no, amount, ordered_at, paid_at)
        SELECT 1 + i % 50, 'mall', 'n' || i, i * 1.25, timestamptz '2025-01-01 00:00+00' + i * interval '13 hours', timestamptz '2025-01-01 00:00+00' + i * interval '13 hours'
        FROM generate_series(1, 400) i;
    UPDATE shop.purchase SET refunded = amount / 2 WHERE order_no LIKE '%7';
    INSERT INTO shop.contact (customer_id, name, phone) VALUES (1, '张三', '13812341234');
});

my $fingerprint = q{
    SELECT md5(string_agg(s::text, E'\n' ORDER BY s.customer_id)) FROM shop.customer_summary s
    UNION ALL SELECT md5(string_agg(p::text, E'\n' ORDER BY p.order_no)) FROM shop.purchase p
    UNION ALL SELECT count(*)::text FROM shop.access_rule
    UNION ALL SELECT count(*)::text FROM shop.customer
};
my $truth = sql('origin', $fingerprint);

sub check_copy
{
    my ($db, $how) = @_;
    is(sql($db, $fingerprint), $truth, "$how: same data");
    is(sql($db, 'SELECT * FROM shop.recount_customers()'), '', "$how: recount finds nothing");
    is(sql($db, q{SELECT * FROM crm.store_findings('shop')}), '', "$how: all objects there");
    # The next customer gets a number of its own, and the triggers work on.
    is( sql($db, q{WITH c AS (INSERT INTO shop.customer DEFAULT VALUES RETURNING customer_id) SELECT customer_id > 50 FROM c}),
        't', "$how: identity goes on");
    sql($db, q{INSERT INTO shop.purchase (customer_id, order_no, amount) VALUES (1, 'after', 10)});
    is(sql($db, 'SELECT * FROM shop.recount_customers()'), '', "$how: triggers work on");
    sql($db, q{DELETE FROM shop.purchase WHERE order_no = 'after'});
}

# Plain, custom and directory format, the last with two jobs.
$node->command_ok([ 'pg_dump', '-f', "$dir/plain.sql", $node->connstr('origin') ], 'plain dump');
sql('postgres', 'CREATE DATABASE plain');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', "$dir/plain.sql", $node->connstr('plain') ], 'plain restore');
check_copy('plain', 'plain');

$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/custom.dump", $node->connstr('origin') ], 'custom dump');
sql('postgres', 'CREATE DATABASE custom');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('custom'), "$dir/custom.dump" ], 'custom restore');
check_copy('custom', 'custom');

$node->command_ok([ 'pg_dump', '-Fd', '-j2', '-f', "$dir/directory", $node->connstr('origin') ], 'directory dump');
sql('postgres', 'CREATE DATABASE directory');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-j2', '-d', $node->connstr('directory'), "$dir/directory" ], 'directory restore with two jobs');
check_copy('directory', 'directory -j2');

# Data only, into an empty store, under replica role.
sql('postgres', 'CREATE DATABASE data_only');
sql('data_only', q{CREATE EXTENSION crm; SELECT crm.create_store('shop', seed => false)});
$node->command_ok([ 'pg_dump', '-Fc', '--data-only', '-n', 'shop', '-f', "$dir/data.dump", $node->connstr('origin') ], 'data-only dump');
{
    local $ENV{PGOPTIONS} = '-c session_replication_role=replica';
    $node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('data_only'), "$dir/data.dump" ], 'data-only restore under replica role');
}
check_copy('data_only', 'data only');

# The store's schema alone, beside a live extension and another store.
sql('postgres', 'CREATE DATABASE beside');
sql('beside', q{CREATE EXTENSION crm; SELECT crm.create_store('other')});
$node->command_ok([ 'pg_dump', '-Fc', '-n', 'shop', '-f', "$dir/schema.dump", $node->connstr('origin') ], 'dump of one schema');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('beside'), "$dir/schema.dump" ], 'restore of one schema');
is(sql('beside', q{SELECT * FROM crm.adopt_store('shop')}), '', 'adopt_store finds nothing');
check_copy('beside', 'one schema');

# --disable-triggers sets every trigger to its default state; repair_triggers sets them back.
sql('postgres', 'CREATE DATABASE disabled');
sql('disabled', q{CREATE EXTENSION crm; SELECT crm.create_store('shop', seed => false)});
$node->command_ok([ 'pg_restore', '--exit-on-error', '--disable-triggers', '--data-only', '-d', $node->connstr('disabled'), "$dir/data.dump" ], 'restore with --disable-triggers');
sql('disabled', q{SELECT crm.repair_triggers('shop')});
check_copy('disabled', 'disable-triggers');

# The extension does not go while a store stands on it.
my ($rc, $out, $err) = $node->psql('origin', 'DROP EXTENSION crm');
isnt($rc, 0, 'DROP EXTENSION is refused');
like($err, qr/cannot drop extension crm because other objects depend on it/, 'and says why');

$node->stop;
done_testing();
