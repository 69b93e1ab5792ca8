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
    SET search_path = shop, crm, pg_temp;
    SELECT install_preset('textbook');
    SELECT count(earn(c, 100 + c, 'gift', 'first', expires_at => now() + interval '1 year')), count(hold(c, 10, 'gift', 'held')) FROM generate_series(1, 50) c;
    SELECT redeem(7, 20, 'gift', 'spent');
    UPDATE customer SET tags = tags + 'vip' + ('n:' || customer_id % 5);
    SELECT tag_customer(3, 'short', NULL, '2030-01-01');
    ANALYZE;
    CREATE ROLE dump_analyst;
    SELECT crm.grant_access('shop', 'dump_analyst', 'analyst');
});

my $fingerprint = q{
    SELECT md5(string_agg(s::text, E'\n' ORDER BY s.customer_id)) FROM shop.customer_summary s
    UNION ALL SELECT md5(string_agg(p::text, E'\n' ORDER BY p.order_no)) FROM shop.purchase p
    UNION ALL SELECT count(*)::text FROM shop.access_rule
    UNION ALL SELECT count(*)::text FROM shop.customer
    UNION ALL SELECT md5(string_agg(e::text, E'\n' ORDER BY e.customer_id, e.program, e.seq)) FROM shop.points_entry e
    UNION ALL SELECT md5(string_agg(a::text, E'\n' ORDER BY a.customer_id, a.program)) FROM shop.points_account a
    UNION ALL SELECT md5(string_agg(c.tags::text, E'\n' ORDER BY c.customer_id)) FROM shop.customer c
};
# What must hold of every copy, tag audiences and the masked view among it.
my $whole = q{
    SELECT 'ledger', v.customer_id || ' ' || v.finding FROM shop.points_verify() v
    UNION ALL SELECT 'audience', t.tag FROM shop.check_tag_audience() t
    UNION ALL SELECT 'sums', r.customer_id::text FROM shop.recount_customers() r
};
my $truth = sql('origin', $fingerprint);

sub check_copy
{
    my ($db, $how, $grants) = @_;
    $grants //= 1;
    is(sql($db, $fingerprint), $truth, "$how: same data");
    is(sql($db, $whole), '', "$how: sums, ledger and tag audiences are right");
    is(sql($db, q{SELECT phone FROM shop.contact_masked WHERE customer_id = 1}), '138****1234', "$how: masked");
    is(sql($db, q{SELECT has_table_privilege('dump_analyst', 'shop.contact', 'SELECT') OR has_column_privilege('dump_analyst', 'shop.contact', 'phone', 'SELECT'), has_table_privilege('dump_analyst', 'shop.customer_summary', 'SELECT')}),
        $grants ? 'f|t' : 'f|f', "$how: grants");
    sql($db, 'ANALYZE shop.customer');
    is(sql($db, q{SELECT most_common_elems IS NOT NULL FROM pg_stats WHERE schemaname = 'shop' AND tablename = 'customer' AND attname = 'tags'}), 't', "$how: tags have statistics");
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
check_copy('data_only', 'data only', 0);

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
check_copy('disabled', 'disable-triggers', 0);

# Over what is there: --clean drops the old store and brings the new one. pg_dump's own way of dropping what it finds first meets two
# errors in any such schema: the key of a partition goes with its parent's, and a view that groups by a primary key is emptied first.
sub restore_over
{
    my ($db, $how, @options) = @_;
    my ($out, $err) = run_command([ 'pg_restore', @options, '-d', $node->connstr($db), "$dir/custom.dump" ]);
    my @errors = grep { !/cannot drop inherited constraint "behavior_event_default_pkey"|schema "shop" does not exist|schema "crm" already exists/ } $err =~ /could not execute query: (ERROR:.*)/g;
    is(join("\n", @errors), '', "$how: no error but pg_dump's own");
    check_copy($db, $how);
}
sql('custom', q{INSERT INTO shop.customer (customer_id) VALUES (777); UPDATE shop.customer SET region = 'changed'; DELETE FROM shop.contact});
restore_over('custom', '--clean over a copy', '--clean', '--if-exists');
sql('postgres', 'CREATE DATABASE cleaned');
restore_over('cleaned', '--clean into nothing', '--clean', '--if-exists');

# Into a database that has the extension already: CREATE EXTENSION IF NOT EXISTS passes it by, CREATE SCHEMA crm says that it is there.
sql('postgres', 'CREATE DATABASE has_crm');
sql('has_crm', 'CREATE EXTENSION crm');
restore_over('has_crm', 'where the extension is');

# One schema out of a dump of everything.
sql('postgres', 'CREATE DATABASE one_schema');
sql('one_schema', 'CREATE EXTENSION crm; CREATE SCHEMA shop');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-n', 'shop', '-d', $node->connstr('one_schema'), "$dir/custom.dump" ], 'pg_restore -n');
sql('one_schema', q{SELECT crm.grant_access('shop', 'dump_analyst', 'analyst')});
is(sql('one_schema', q{SELECT * FROM crm.adopt_store('shop')}), '', 'pg_restore -n: adopt_store finds nothing');
check_copy('one_schema', 'pg_restore -n');

# The schema alone: an empty store, ready for the data.
sql('postgres', 'CREATE DATABASE empty');
$node->command_ok([ 'pg_restore', '--exit-on-error', '--schema-only', '-d', $node->connstr('empty'), "$dir/custom.dump" ], 'schema only');
is(sql('empty', q{SELECT count(*) FROM shop.customer}), '0', 'schema only: no rows');
{
    local $ENV{PGOPTIONS} = '-c session_replication_role=replica';
    $node->command_ok([ 'pg_restore', '--exit-on-error', '--data-only', '-d', $node->connstr('empty'), "$dir/custom.dump" ], 'then the data');
}
check_copy('empty', 'schema, then data');

# One table. A table of facts goes back into a store that lost it; its triggers count again what comes, so that sums stay right.
sql('directory', q{DELETE FROM shop.purchase});
is(sql('directory', q{SELECT coalesce(sum(order_count), 0) FROM shop.customer_summary}), '0', 'orders are lost');
$node->command_ok([ 'pg_restore', '--exit-on-error', '--data-only', '-t', 'purchase', '-d', $node->connstr('directory'), "$dir/custom.dump" ], 'pg_restore -t purchase');
is(sql('directory', q{SELECT * FROM shop.recount_customers()}), '', 'one table: sums are right again');
is(sql('directory', q{SELECT sum(order_count) FROM shop.customer_summary}), sql('origin', q{SELECT sum(order_count) FROM shop.customer_summary}), 'one table: as many orders');
is(sql('directory', $whole), '', 'one table: ledger and audiences too');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-t', 'tag', '-f', "$dir/tag.sql", "$dir/custom.dump" ], 'a table as a script');
like(slurp_file("$dir/tag.sql"), qr/COPY shop\.tag /, 'with its rows');

# The extension does not go while a store stands on it.
my ($rc, $out, $err) = $node->psql('origin', 'DROP EXTENSION crm');
isnt($rc, 0, 'DROP EXTENSION is refused');
like($err, qr/cannot drop extension crm because other objects depend on it/, 'and says why');

$node->stop;
done_testing();
