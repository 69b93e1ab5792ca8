# With the library preloaded, what only a stray privilege or view lets through is refused and logged; nothing else is.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('preloaded');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'crm'\nmax_parallel_workers_per_gather = 2\nmin_parallel_table_scan_size = 0\nparallel_setup_cost = 0\nparallel_tuple_cost = 0\n");
$node->start;
is($node->safe_psql('postgres', 'SELECT 1'), '1', 'a database without the extension works');
$node->safe_psql('postgres', q{
    CREATE EXTENSION crm; SELECT crm.create_store('shop');
    CREATE ROLE anna LOGIN; CREATE ROLE reads_all LOGIN IN ROLE pg_read_all_data; CREATE ROLE dpo LOGIN; CREATE ROLE merchant; CREATE ROLE partner LOGIN IN ROLE merchant;
    SELECT crm.grant_access('shop', 'anna', 'agent');
    INSERT INTO shop.customer (customer_id) SELECT generate_series(1, 500);
    INSERT INTO shop.contact (customer_id, name, phone) SELECT g, '张三', '13812341234' FROM generate_series(1, 500) g;
    SELECT crm.apply_masks('shop.contact', '{dpo}');
    GRANT USAGE ON SCHEMA shop TO dpo;
    CREATE TABLE patient (id int, seen date, phone text, ward text) PARTITION BY RANGE (seen);
    CREATE TABLE patient_1 (ward text, dropped int, id int, seen date, phone text);
    ALTER TABLE patient_1 DROP COLUMN dropped;
    ALTER TABLE patient ATTACH PARTITION patient_1 FOR VALUES FROM ('2020-01-01') TO ('2030-01-01');
    INSERT INTO patient VALUES (1, '2025-01-01', '13812341234', 'B');
    ALTER TABLE patient OWNER TO merchant; ALTER TABLE patient_1 OWNER TO merchant; GRANT CREATE ON SCHEMA public TO merchant;
    SET ROLE merchant;
    SELECT crm.mask_column('patient', 'phone', 'phone'); SELECT crm.apply_masks('patient');
    RESET ROLE;
    CREATE VIEW leak AS SELECT customer_id, phone FROM shop.contact;
    CREATE VIEW over_masked AS SELECT customer_id, phone FROM shop.contact_masked;
    CREATE VIEW harmless AS SELECT customer_id, gender FROM shop.contact;
    GRANT SELECT ON leak, over_masked, harmless TO anna;
});

sub refused
{
    my ($role, $statement, $what) = @_;
    my ($rc, $out, $err) = $node->psql('postgres', $statement, extra_params => ['-U', $role]);
    like($err, qr/masked columns of table .* are not for role "$role"/, $what);
    unlike($out . $err, qr/13812341234/, "$what: nothing shown");
}

sub shown
{
    my ($role, $statement, $expected, $what) = @_;
    is($node->safe_psql('postgres', $statement, extra_params => ['-U', $role]), $expected, $what);
}

my $at = -s $node->logfile;
refused('reads_all', 'SELECT phone FROM shop.contact LIMIT 1', 'pg_read_all_data');
refused('reads_all', 'SELECT c FROM shop.contact c LIMIT 1', 'whole row');
refused('reads_all', q{SELECT customer_id FROM shop.contact WHERE phone LIKE '138%' LIMIT 1}, 'condition');
refused('reads_all', 'COPY shop.contact TO STDOUT', 'COPY');
refused('reads_all', 'BEGIN; DECLARE c CURSOR FOR SELECT phone FROM shop.contact; FETCH c', 'cursor');
refused('reads_all', 'CREATE TEMP TABLE t AS SELECT phone FROM shop.contact', 'CREATE TABLE AS');
refused('reads_all', 'SELECT phone FROM patient', 'partitioned table');
refused('reads_all', 'SELECT phone FROM patient_1', 'partition with other column numbers');
refused('partner', 'SELECT phone FROM patient', 'member of the owner');
refused('anna', 'SELECT phone FROM leak LIMIT 1', 'view');
refused('anna', 'SELECT l.phone FROM leak l JOIN shop.contact_masked m USING (customer_id) LIMIT 1', 'view beside the masked view');
refused('anna', 'SELECT phone FROM leak WHERE EXISTS (SELECT FROM shop.contact_masked WHERE false) LIMIT 1', 'view beside a masked view that is planned away');
my $log = slurp_file($node->logfile, $at);
like($log, qr/LOG:  crm: masked columns of table "contact" refused: role "anna", login "anna", by a view/, 'logged');
unlike($log, qr/13812341234/, 'without values');

shown('reads_all', 'SELECT count(customer_id) FROM shop.contact', '500', 'clear columns stay readable, in parallel too');
shown('reads_all', 'SELECT ward FROM patient_1', 'B', 'of a partition too');
shown('reads_all', 'SELECT phone FROM shop.contact_masked LIMIT 1', '138****1234', 'the masked view works');
shown('anna', 'SELECT max(a.phone) FROM shop.contact_masked a JOIN shop.contact_masked b USING (customer_id) JOIN over_masked o USING (customer_id)', '138****1234', 'three times in a query, and through another view');
shown('anna', 'SELECT count(customer_id) FROM harmless', '500', 'a view of clear columns works');
shown('anna', q{SELECT shop.reveal(1, 'phone', 'call back')}, '13812341234', 'reveal works');
shown('anna', q{UPDATE shop.contact SET wechat = 'nanana_99' WHERE customer_id = 1 RETURNING customer_id}, '1', 'writing works');
shown('dpo', 'SELECT max(phone) FROM shop.contact', '13812341234', 'a reader reads');
shown('partner', 'SET ROLE merchant; SELECT phone FROM patient', '13812341234', 'who becomes the owner is the owner');

# A way that was accepted opens; a changed policy is seen by sessions that stand.
$node->safe_psql('postgres', q{SELECT crm.accept_way('shop.contact', 'public.leak', 'reviewed'), crm.accept_way('patient', 'partner', 'runs the shop')});
shown('anna', 'SELECT phone FROM leak LIMIT 1', '13812341234', 'an accepted view');
shown('partner', 'SELECT phone FROM patient', '13812341234', 'an accepted role');
$node->safe_psql('postgres', q{SELECT crm.mask_column('shop.contact', 'gender', 'hide')});
refused('anna', 'SELECT gender FROM harmless LIMIT 1', 'a column masked since');

# Only a superuser turns it off.
my ($rc, $out, $err) = $node->psql('postgres', 'SET crm.enforce_masks = off', extra_params => ['-U', 'reads_all']);
like($err, qr/permission denied to set parameter/, 'others cannot turn it off');
$node->safe_psql('postgres', 'ALTER ROLE reads_all SET crm.enforce_masks = off');
shown('reads_all', 'SELECT max(phone) FROM shop.contact', '13812341234', 'a superuser can');
# A dump by the superuser and its restore are not in the way.
my $dump = $node->basedir . '/dump.sql';
$node->command_ok(['pg_dump', '-f', $dump, '-h', $node->host, '-p', $node->port, 'postgres'], 'dump');
$node->stop;
done_testing();
