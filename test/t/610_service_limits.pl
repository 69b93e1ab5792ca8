# Limits of service under 64 clients: a community's capacity, follow-up caps, greetings and notices sent once.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', "fsync = off\nmax_connections = 100\njit = off\nTimeZone = 'Asia/Shanghai'\n");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }
my $dir = PostgreSQL::Test::Utils::tempdir();
my $clients = 0;
sub clients
{
    my ($what, $n, $script) = @_;
    my $file = "$dir/" . $clients++ . '.sql';
    append_to_file($file, $script);
    $node->command_ok([ 'pgbench', '-n', '-c', '64', '-j', '2', '-t', $n, '-f', $file, $node->connstr('postgres') ], "64 clients $what");
}
sql(q{
    CREATE EXTENSION crm;
    SELECT crm.create_store('shop');
    INSERT INTO shop.customer (customer_id, joined_at) SELECT i, '2020-01-01' FROM generate_series(1, 300) i;
    INSERT INTO shop.contact (customer_id, phone, birth_date) SELECT i, '+861390000' || lpad(i::text, 4, '0'), CASE WHEN i <= 100 THEN date '1990-03-10' END FROM generate_series(1, 300) i;
    INSERT INTO shop.community (community, platform, name, capacity) VALUES ('g', 'wechat', 'g', 50);
    INSERT INTO shop.purchase (customer_id, order_no, amount, paid_at) SELECT i, 'o' || i, 10, '2026-03-01 12:00' FROM generate_series(1, 100) i;
});

clients('join and leave', 30, q{\set c random(1, 300)
\set leave random(1, 4)
DO $$ BEGIN
    IF :leave = 1 THEN PERFORM shop.leave_community(:c, 'g'); ELSE PERFORM shop.join_community(:c, 'g'); END IF;
EXCEPTION WHEN SQLSTATE 'CS021' THEN NULL; END $$;
});
is(sql(q{SELECT c.members <= 50, c.members = (SELECT count(*) FROM shop.community_member m WHERE left_at IS NULL) FROM shop.community c}), 't|t', 'never over capacity, and the count is right');
clients('join', 10, q{\set c random(1, 300)
DO $$ BEGIN PERFORM shop.join_community(:c, 'g'); EXCEPTION WHEN SQLSTATE 'CS021' THEN NULL; END $$;
});
is(sql(q{SELECT members, (SELECT count(DISTINCT customer_id) FROM shop.community_member WHERE left_at IS NULL) FROM shop.community}), '50|50', 'full to the last place');

clients('plan', 2, "SELECT shop.plan_follow_ups('2026-03-09 12:00');\n");
is(sql('SELECT count(*), count(DISTINCT customer_id) FROM shop.follow_up'), '100|100', 'planned once each');
clients('ask for more than the cap', 20, q{\set c random(1, 110)
\set r random(1, 1000000)
DO $$ BEGIN PERFORM shop.plan_follow_up(:c, '2026-03-09 12:00', 'r' || :r, plan => 'after_purchase'); EXCEPTION WHEN SQLSTATE 'CS009' THEN NULL; END $$;
});
is(sql('SELECT count(*), count(DISTINCT customer_id) FROM shop.follow_up'), '110|110', 'nobody has two');

sql(q{UPDATE shop.care_event SET active = event = 'birthday'});
clients('greet', 2, "SELECT shop.care_due(as_of => '2026-03-10 10:00');\n");
is(sql(q{SELECT count(*), count(DISTINCT customer_id) FROM shop.outbox WHERE purpose = 'care'}), '100|100', 'each greeting once');
is(sql(q{SELECT count(*), sum(points) FROM shop.points_entry WHERE source = 'care'}), '100|8800', 'each gift once');
is(sql(q{SELECT gift, count(*) FROM shop.care_greeting GROUP BY 1}), 'given|100', 'and known to be given');

sql(q{
    SELECT count(shop.open_ticket(i, 'delivery', 'late', reference => 'r', as_of => '2026-03-02 10:00')) FROM generate_series(1, 60) i;
    UPDATE shop.ticket SET root_cause = 'courier';
    INSERT INTO shop.improvement (root_cause, measure, owner) VALUES ('courier', 'another', 'amy');
});
clients('tell what came of it', 1, "SELECT shop.finish_improvement(1, '2026-03-20 10:00');\n");
is(sql(q{SELECT count(*), count(DISTINCT customer_id) FROM shop.outbox WHERE idempotency_key = 'improvement/1'}), '60|60', 'each who complained is told once');
clients('compensate one ticket', 1, "SELECT shop.compensate_ticket(1, 1, 50, '2026-03-20 10:00');\n");
is(sql(q{SELECT sum(points) FROM shop.points_entry WHERE source = 'ticket'}), '50', 'paid once');
clients('open one ticket', 1, "SELECT shop.open_ticket(7, 'x', 'x', reference => 'same');\n");
is(sql(q{SELECT count(*) FROM shop.ticket WHERE reference = 'same'}), '1', 'opened once');
$node->stop;
done_testing();
