# A draw with 64 clients, verified from its export alone by a program that knows nothing of the database; a forged one is found; games keep to their budget.
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
    INSERT INTO shop.customer (customer_id, joined_at) SELECT i, '2020-01-01' FROM generate_series(1, 500) i;
    SELECT count(shop.earn(i, 50, 'gift', 'x', as_of => '2026-03-01')) FROM generate_series(1, 500) i;
    INSERT INTO shop.draw (draw, name, opens_at, closes_at, cost, entries_per_customer, wins_per_customer, beacon_source)
        VALUES ('spring', '春', '2026-03-01', '2026-03-05', 10, 3, 2, 'closing price of 2026-03-05');
    INSERT INTO shop.draw_prize (draw, seq, prize, stock, kind, points) VALUES ('spring', 1, 'car', 1, 'goods', NULL), ('spring', 2, '100', 20, 'points', 100), ('spring', 3, '10', 60, 'points', 10);
});
my $seed_hash = sql(q{SELECT encode(shop.open_draw('spring', '2026-03-01'), 'hex')});
like($seed_hash, qr/^[0-9a-f]{64}$/, 'the hash is published first');
unlike(sql(q{SELECT * FROM shop.draw_export('spring')}), qr/"seed": "/, 'the seed is not');

clients('enter', 20, q{\set c random(1, 500)
\set r random(1, 4)
DO $$ BEGIN PERFORM shop.enter_draw(:c, 'spring', 'r' || :r, '2026-03-02 12:00'); EXCEPTION WHEN SQLSTATE 'CM043' THEN NULL; END $$;
});
is(sql(q{SELECT count(*) FROM (SELECT FROM shop.draw_entry GROUP BY customer_id HAVING count(*) > 3) x}), '0', 'nobody entered more often than allowed');
is(sql(q{SELECT (SELECT count(*) * 10 FROM shop.draw_entry) = (SELECT sum(points) FROM shop.points_entry WHERE kind = 'redeem')}), 't', 'each entry was paid, once');
my $digest = sql(q{SELECT encode((shop.close_draw('spring', '2026-03-05')).entries_digest, 'hex')});
clients('draw', 1, "SELECT shop.run_draw('spring', '3210.55', '2026-03-05 15:00');\n");
is(sql(q{SELECT count(*), count(DISTINCT place), max(place) FROM shop.draw_winner}), '81|81|81', 'the stock of prizes went out, none twice');
is(sql(q{SELECT sum(points) FROM shop.points_entry WHERE source = 'prize'}), '2600', 'through the gate');
is(sql(q{SELECT max(n) <= 2 FROM (SELECT count(*) AS n FROM shop.draw_winner GROUP BY customer_id) x}), 't', 'nobody won more often than allowed');

my $file = "$dir/spring.jsonl";
append_to_file($file, sql(q{SELECT * FROM shop.draw_export('spring')}) . "\n");
sub verify { return run_command([ '/usr/bin/python3', 'test/verify/verify_draw.py', @_ ]); }
like((verify($file, $seed_hash, $digest))[0], qr/^TRUE: \d+ entries, 81 winners$/, 'worked out again from the export');
sub forged
{
    my ($what, $why, $change) = @_;
    my $text = slurp_file($file);
    $change->($text) for $text;
    my $other = "$dir/forged" . $clients++;
    append_to_file($other, $text);
    like((verify($other, $seed_hash, $digest))[0], $why, $what);
}
forged('a winner who is another is found', qr/^FALSE: the winners/, sub { $_[0] =~ s/("kind": "winner".*?"ticket": ")[0-9a-f]{8}/${1}00000000/ });
forged('an entry left out is found', qr/^FALSE: a ticket stands twice/, sub { $_[0] =~ s/^\{[^\n]*"kind": "entry"[^\n]*\n//m });
forged('an entry put in another\'s place is found', qr/^FALSE: the entries/, sub { $_[0] =~ s/("kind": "entry".*?"ticket": ")[0-9a-f]{8}/${1}00000000/ });
forged('another seed is found', qr/^FALSE: the seed/, sub { $_[0] =~ s/("seed": ")[0-9a-f]{8}/${1}00000000/ });
forged('another beacon is found', qr/^FALSE: the winners/, sub { $_[0] =~ s/3210\.55/3210.56/ });
like((verify($file, '0' x 64))[0], qr/^FALSE: another seed hash/, 'and a hash that is not the one published');

# 64 clients play for a budget of 1000 points, at most 30 a day each, and ten gifts.
sql(q{
    INSERT INTO shop.coupon_template (template, name, kind, value) VALUES ('c', 'c', 'fixed', 5);
    INSERT INTO shop.game (game, name, plays_per_day, points_per_day, budget) VALUES ('wheel', 'w', 10, 30, 1000);
    INSERT INTO shop.game_outcome (game, outcome, chance, points, coupon_template, stock) VALUES ('wheel', 'points', 0.8, 20, NULL, NULL), ('wheel', 'gift', 0.2, 0, 'c', 10);
});
clients('play', 15, q{\set c random(1, 60)
\set r random(1, 1000000)
DO $$ BEGIN PERFORM shop.play_game(:c, 'wheel', 'r' || :r, '2026-03-02 12:00'); EXCEPTION WHEN SQLSTATE 'CM043' THEN NULL; END $$;
});
is(sql(q{SELECT sum(points) <= 1000, sum(points) > 900, sum(points) = (SELECT spent FROM shop.game_spent WHERE outcome = '') FROM shop.game_play}), 't|t|t', 'the budget holds, and is used');
is(sql(q{SELECT sum(points) = (SELECT sum(points) FROM shop.game_play) FROM shop.points_entry WHERE source = 'game_win'}), 't', 'all of it through the gate');
is(sql(q{SELECT max(p) <= 30, max(n) <= 10 FROM (SELECT sum(points) AS p, count(*) AS n FROM shop.game_play GROUP BY customer_id) x}), 't|t', 'the caps of the day hold');
is(sql(q{SELECT count(*) FROM shop.coupon WHERE reference LIKE 'game/%'}), '10', 'ten gifts, no more');

sql(q{INSERT INTO shop.activity (activity, kind, title, capacity, state) VALUES ('class', 'course', 'c', 40, 'open')});
clients('enrol', 5, q{\set c random(1, 500)
DO $$ BEGIN PERFORM shop.join_activity(:c, 'class', '2026-03-02'); EXCEPTION WHEN SQLSTATE 'CM053' THEN NULL; END $$;
});
is(sql(q{SELECT members, (SELECT count(*) FROM shop.activity_member) FROM shop.activity}), '40|40', 'forty places, forty members');
is(sql('SELECT count(*) FROM shop.points_verify()'), '0', 'the ledger is whole');
$node->stop;
done_testing();
