# A worker is killed with claimed follow-ups in hand: its tasks come back when the lease ends, nothing is done twice, nothing is lost.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

require './test/perl/met.pl';

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', "fsync = off\nmax_connections = 100\njit = off\nTimeZone = 'Asia/Shanghai'\n");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }
my $at = '2026-03-02 10:00';
sql(qq{
    CREATE EXTENSION crm;
    SELECT crm.create_store('shop');
    INSERT INTO shop.customer (customer_id) SELECT generate_series(1, 40);
    INSERT INTO shop.contact (customer_id, phone) SELECT i, '+861390000' || lpad(i::text, 4, '0') FROM generate_series(1, 40) i;
    INSERT INTO shop.follow_up (customer_id, plan, reference, channel, due_at) SELECT i, 'manual', 'x', 'phone', '$at' FROM generate_series(1, 40) i;
    CREATE TABLE job (n integer);
});

# One worker commits its claim, the other is in the middle of its transaction; both are killed.
my @worker = map { $node->background_psql('postgres') } 1 .. 2;
my @pid = map { scalar $_->query('SELECT pg_backend_pid()') } @worker;
$worker[0]->query("SELECT count(*) FROM shop.claim_follow_ups('gone', 10, as_of => '$at')");
$worker[1]->query('BEGIN');
is($worker[1]->query("SELECT count(*) FROM shop.claim_follow_ups('going', 10, as_of => '$at')"), '10', 'the second worker has ten others');
is(sql("SELECT count(*) FROM shop.claim_follow_ups('third', 40, as_of => '$at')"), '20', 'a third one gets what is left, without waiting');
is(sql('SELECT pg_terminate_backend(' . join(', 5000), pg_terminate_backend(', @pid) . ', 5000)'), 't|t', 'both are killed');
is(sql("SELECT claimed_by, count(*) FROM shop.follow_up WHERE state = 'claimed' GROUP BY 1 ORDER BY 1"), "gone|10\nthird|20", 'the claim that was committed stays, the other never was');
is(sql("SELECT count(*) FROM shop.claim_follow_ups('fourth', 40, as_of => '2026-03-02 10:29')"), '10', 'at once the open ones go to the next');
is(sql("SELECT count(*) FROM shop.claim_follow_ups('fifth', 40, as_of => '2026-03-02 10:29')"), '0', 'a lease holds as long as it says');
is(sql("SELECT count(*), min(attempts), max(attempts) FROM shop.claim_follow_ups('fifth', 10, as_of => '2026-03-02 10:31')"), '10|2|2', 'and then they come back');
my ($rc, $out, $err) = $node->psql('postgres', qq{\\set VERBOSITY verbose
    SELECT shop.finish_follow_up(customer_id, follow_up_id, 'gone', 'reached', as_of => '2026-03-02 10:32') FROM shop.follow_up WHERE claimed_by = 'fifth' LIMIT 1});
like($err, qr/CS003/, 'who lost a task cannot finish it any more');
$_->{run}->finish for @worker;

# A server that dies in between keeps what was committed.
sql("SELECT shop.finish_follow_up(customer_id, follow_up_id, 'fifth', 'reached', as_of => '2026-03-02 10:33') FROM shop.follow_up WHERE claimed_by = 'fifth' ORDER BY customer_id LIMIT 5");
$node->stop('immediate');
$node->start;
is(sql("SELECT state, count(*) FROM shop.follow_up GROUP BY 1 ORDER BY 1"), "claimed|35\ndone|5", 'after a crash: done what was done, claimed what was claimed');
my $tasks = 'a claim that was committed stays until its lease ends, any other never was; each task is finished once';
met('follow-ups claimed by workers', 'session ended', 2, $tasks);
met('follow-ups claimed by workers', '`immediate` stop', 1, $tasks);

# Eight workers, each vanishing now and then between claim and outcome, until all is done: each task finished once.
my $dir = PostgreSQL::Test::Utils::tempdir();
sql(q{
    CREATE SEQUENCE tick;
    CREATE TABLE finished (customer_id bigint, worker text);
    CREATE FUNCTION work(worker text, vanish boolean) RETURNS integer LANGUAGE plpgsql AS $$
    DECLARE t record; n integer := 0;
    BEGIN
        FOR t IN SELECT * FROM shop.claim_follow_ups(worker, 3, '0 s', as_of => '2026-03-02 12:00'::timestamptz + nextval('tick') * interval '1 ms') LOOP
            CONTINUE WHEN vanish;
            PERFORM shop.finish_follow_up(t.customer_id, t.follow_up_id, worker, 'reached', as_of => '2026-03-02 13:00');
            INSERT INTO finished VALUES (t.customer_id, worker);
            n := n + 1;
        END LOOP;
        RETURN n;
    END $$;
    UPDATE shop.follow_up SET claimed_until = '2026-03-02 11:00' WHERE state = 'claimed';
});
append_to_file("$dir/work.sql", "\\set v random(1, 3)\nSELECT work('w' || :client_id, :v = 1);\n");
$node->command_ok([ 'pgbench', '-n', '-c', '8', '-t', '20', '-f', "$dir/work.sql", $node->connstr('postgres') ], 'eight workers, a third of whose claims vanish');
is(sql('SELECT count(*), count(DISTINCT customer_id) FROM finished'), '35|35', 'each task was finished, once');
is(sql("SELECT count(*) FROM shop.follow_up WHERE state = 'done'"), '40', 'and all are done');

# Escalation is run by many at once: each level once.
sql(q{SELECT count(shop.open_ticket(i, 'delivery', 'late', as_of => '2026-03-02 10:00')) FROM generate_series(1, 20) i});
append_to_file("$dir/escalate.sql", "SELECT count(*) FROM shop.escalate_tickets('2026-03-02 14:00');\n");
$node->command_ok([ 'pgbench', '-n', '-c', '16', '-t', '5', '-f', "$dir/escalate.sql", $node->connstr('postgres') ], 'sixteen escalate');
is(sql("SELECT escalation, count(*) FROM shop.ticket GROUP BY 1"), '1|20', 'one level up');
is(sql("SELECT count(*) FROM shop.ticket_event WHERE action = 'escalate'"), '20', 'told once');
$node->stop;
done_testing();
