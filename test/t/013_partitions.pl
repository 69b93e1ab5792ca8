# A store whose ledger and orders are partitioned is dumped, restored, adopted and renamed like any other.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 'logical', extra => [ '--encoding=UTF8', '--no-locale' ]);
# A store in partitions is made and dropped in one transaction, with more objects than ten connections have locks for.
$node->append_conf('postgresql.conf', "fsync = off\nmax_locks_per_transaction = 256\n");
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
    INSERT INTO shop.purchase_item (customer_id, channel, order_no, line, product, amount) SELECT customer_id, channel, order_no, 1, 'p', amount FROM shop.purchase;
    INSERT INTO shop.purchase_refund (customer_id, channel, order_no, refund_no, amount) SELECT customer_id, channel, order_no, 'r', 5 FROM shop.purchase WHERE order_no LIKE 'n1_';
    UPDATE shop.purchase SET customer_id = 30 WHERE order_no = 'n11';
    SELECT count(*) FROM generate_series(1, 50) c, LATERAL shop.redeem(c, 1, 'shop', 'r');
    SELECT shop.adjust(1, 5, 'shop', 'a', 'a note');
    SELECT shop.points_checkpoint();
});
my $fingerprint = q{SELECT (SELECT md5(string_agg(e::text, E'\n' ORDER BY e.customer_id, e.program, e.seq)) FROM shop.points_entry e),
    (SELECT md5(string_agg(p::text, E'\n' ORDER BY p.customer_id, p.channel, p.order_no)) FROM shop.purchase p),
    (SELECT md5(string_agg(i::text, E'\n' ORDER BY i.customer_id, i.channel, i.order_no, i.line)) FROM shop.purchase_item i),
    (SELECT md5(string_agg(r::text, E'\n' ORDER BY r.customer_id, r.channel, r.order_no, r.refund_no)) FROM shop.purchase_refund r),
    (SELECT md5(string_agg(n::text, E'\n' ORDER BY n.channel, n.order_no)) FROM shop.purchase_number n),
    (SELECT md5(string_agg(s::text, E'\n' ORDER BY s.customer_id)) FROM shop.customer_summary s)};
my $truth = sql('origin', $fingerprint);
my $clean = q{SELECT * FROM crm.store_findings('shop') UNION ALL SELECT 'verify', finding, '' FROM shop.points_verify() UNION ALL SELECT 'checkpoint', finding, '' FROM shop.points_verify_checkpoints()
    UNION ALL SELECT 'recount', column_name, actual FROM shop.recount_customers()};
is(sql('origin', $clean), '', 'clean');

sub check_copy
{
    my ($db, $how) = @_;
    is(sql($db, $fingerprint), $truth, "$how: same entries");
    is(sql($db, $clean), '', "$how: nothing is missing, the ledger verifies");
    my ($rc, $out, $err) = $node->psql($db, q{INSERT INTO shop.purchase (customer_id, order_no, amount) VALUES (2, 'n11', 1)});
    like($err, qr/duplicate key value violates unique constraint "purchase_(number_pkey|order_no)"/, "$how: numbers are unique over customers");
    sql($db, q{INSERT INTO shop.purchase (customer_id, order_no, amount) VALUES (2, 'after', 1); UPDATE shop.purchase SET customer_id = 3 WHERE order_no = 'after'});
    is(sql($db, q{SELECT customer_id FROM shop.purchase_number WHERE order_no = 'after'}), '3', "$how: and lead to the order");
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
# Where purchase is one table, a key of it keeps the numbers.
$node->command_ok([ 'pg_dump', '--data-only', '--load-via-partition-root', '-T', 'shop.purchase_number', '-f', "$dir/orders.sql", $node->connstr('origin') ], 'dump without the numbers');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-c', 'SET session_replication_role = replica', '-f', "$dir/orders.sql", $node->connstr('none') ], 'restore into one table');

# From one table into partitions: the numbers are made from the orders.
$node->command_ok([ 'pg_dump', '--data-only', '-f', "$dir/whole.sql", $node->connstr('none') ], 'dump of a store without partitions');
sql('postgres', 'CREATE DATABASE back');
sql('back', q{CREATE EXTENSION crm; SELECT crm.create_store('shop', seed => false, partitions => 2)});
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-c', 'SET session_replication_role = replica', '-f', "$dir/whole.sql", $node->connstr('back') ], 'restore into two partitions');
is(sql('back', q{SELECT count(*) FROM shop.recount_customers() WHERE column_name <> 'purchase_number'}), '0', 'every sum is right');
is(sql('back', q{SELECT (SELECT count(*) FROM shop.recount_customers()) = (SELECT count(*) FROM shop.purchase)}), 't', 'every number is missed');
is(sql('back', q{SELECT state FROM crm.health('shop') WHERE subject = 'order numbers'}), 'attention', 'and health says so');
sql('back', q{SELECT count(*) FROM shop.recount_customers(fix => true)});
check_copy('none', 'one table');
check_copy('back', 'back in partitions');

# Data alone with its triggers disabled, which changes their states.
sql('postgres', 'CREATE DATABASE disabled');
sql('disabled', q{CREATE EXTENSION crm; SELECT crm.create_store('shop', seed => false, partitions => 3)});
$node->command_ok([ 'pg_restore', '--exit-on-error', '--data-only', '--disable-triggers', '-n', 'shop', '-d', $node->connstr('disabled'), "$dir/custom.dump" ], 'restore of the data with triggers disabled');
cmp_ok(sql('disabled', q{SELECT crm.repair_triggers('shop')}), '>', 0, 'the states of triggers are set back');
check_copy('disabled', 'triggers disabled');

# A subscriber with another number of partitions follows, and takes over.
sql('postgres', 'CREATE DATABASE follower');
sql('follower', q{CREATE EXTENSION crm; SELECT crm.create_store('shop', seed => false, partitions => 2)});
sql('origin', 'CREATE PUBLICATION shop_all FOR TABLES IN SCHEMA shop WITH (publish_via_partition_root = true)');
sql('origin', q{SELECT pg_create_logical_replication_slot('shop_all', 'pgoutput')});
my $connstr = $node->connstr('origin');
sql('follower', "CREATE SUBSCRIPTION shop_all CONNECTION \$\$$connstr\$\$ PUBLICATION shop_all WITH (create_slot = false, slot_name = shop_all)");
$node->wait_for_subscription_sync($node, 'shop_all', 'follower');
sql('origin', q{
    INSERT INTO shop.purchase (customer_id, order_no, status, amount, completed_at) SELECT c, 'later' || c, 'completed', 300, now() FROM generate_series(1, 50) c;
    UPDATE shop.purchase SET customer_id = customer_id % 50 + 1 WHERE order_no LIKE 'later_';
    UPDATE shop.purchase SET order_no = order_no || 'x' WHERE order_no LIKE 'later1_';
    DELETE FROM shop.purchase WHERE order_no LIKE 'later2_';
});
$node->wait_for_catchup('shop_all');
$truth = sql('origin', $fingerprint);
sql('follower', 'DROP SUBSCRIPTION shop_all');
sql('origin', 'DROP PUBLICATION shop_all');
check_copy('follower', 'subscriber');
$truth = sql('origin', $fingerprint);

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
