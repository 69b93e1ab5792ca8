# Coupon stock at 64 clients, and an outbox drained by workers that are killed in mid-lease.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', "fsync = off\nmax_connections = 100\njit = off\n");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{
    CREATE EXTENSION crm;
    SELECT crm.create_store('shop');
    INSERT INTO shop.customer (customer_id) SELECT generate_series(1, 2000);
    INSERT INTO shop.coupon_template (template, name, kind, value, total_limit, customer_limit) VALUES ('t', 't', 'fixed', 5, 500, 1);
    UPDATE shop.settings SET message_attempts = 20;
});

# 64 clients ask for far more than there are; what is refused says CM003 or CM005.
my $dir = PostgreSQL::Test::Utils::tempdir();
append_to_file("$dir/claim.sql", q{\set c random(1, 2000)
DO $$ BEGIN PERFORM shop.issue_coupon(:c, 't', 'x' || pg_backend_pid() || clock_timestamp()); EXCEPTION WHEN SQLSTATE 'CM003' OR SQLSTATE 'CM005' THEN NULL; END $$;
});
$node->command_ok([ 'pgbench', '-n', '-c', '64', '-j', '2', '-t', '60', '-f', "$dir/claim.sql", $node->connstr('postgres') ], '64 clients claim');
is(sql('SELECT count(*) FROM shop.coupon'), '500', 'exactly the stock was issued');
is(sql('SELECT issued FROM shop.coupon_stock'), '500', 'and counted');
is(sql('SELECT count(*) FROM (SELECT FROM shop.coupon GROUP BY customer_id HAVING count(*) > 1) c'), '0', 'no customer has two');

# Workers claim, some vanish with messages in hand; each message is acknowledged exactly once.
sql(q{
    INSERT INTO shop.outbox (customer_id, channel, purpose, idempotency_key, due_at)
        SELECT 1 + i % 2000, 'app', 'service', 'k' || i, now() - interval '1 hour' FROM generate_series(1, 20000) i;
    CREATE TABLE delivery (worker text, idempotency_key text, customer_id bigint);
    CREATE TABLE acknowledged (n bigint);
});
append_to_file("$dir/work.sql", q{\set vanish random(1, 10)
BEGIN;
CREATE TEMP TABLE IF NOT EXISTS hand (customer_id bigint, outbox_id bigint);
DELETE FROM hand;
WITH c AS (SELECT * FROM shop.claim_outbox('w' || pg_backend_pid(), 200, '1 second', as_of => clock_timestamp())),
     d AS (INSERT INTO delivery SELECT 'w' || pg_backend_pid(), idempotency_key, customer_id FROM c)
INSERT INTO hand SELECT customer_id, outbox_id FROM c;
COMMIT;
INSERT INTO acknowledged SELECT shop.sent_outbox('w' || pg_backend_pid(), array_agg(customer_id), array_agg(outbox_id), clock_timestamp()) FROM hand WHERE :vanish > 1 HAVING count(*) > 0;
});
for my $round (1 .. 30)
{
    $node->command_ok([ 'pgbench', '-n', '-c', '8', '-j', '2', '-t', '20', '-f', "$dir/work.sql", $node->connstr('postgres') ], "workers, round $round");
    last if sql(q{SELECT count(*) FROM shop.outbox WHERE state <> 'sent'}) eq '0';
    select(undef, undef, undef, 1.1);
}
is(sql(q{SELECT count(*) FROM shop.outbox WHERE state <> 'sent'}), '0', 'every message was sent');
is(sql('SELECT sum(n) FROM acknowledged'), '20000', 'each acknowledged exactly once');
is(sql('SELECT count(DISTINCT (customer_id, idempotency_key)) FROM delivery'), '20000', 'each delivered at least once');
cmp_ok(sql('SELECT count(*) FROM delivery'), '>', 20000, 'some twice, after a worker had vanished: the run did test that');

$node->stop;
done_testing();
