# The tour of `make demo KEEP=1`: each step runs, alone and in turn, again as well; errors are those that are meant; what it shows holds.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', "fsync = off\njit = off\n");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }
sql(q{CREATE EXTENSION crm});
sql(q{SELECT crm.create_store('shop', language => 'en')});
my ($out, $err);

sub psql_file
{
    my ($file) = @_;
    IPC::Run::run([ 'psql', '-X', '-d', $node->connstr('postgres'), '-f', $file ], '<', \undef, '>', \$out, '2>', \$err) or die $err;
    return join "\n", map { s/.*ERROR:  //r } grep { /ERROR|FATAL/ } split /\n/, $err;
}
IPC::Run::run([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', 'tools/demo/generate.sql', '-c', q{SELECT * FROM shop.import_orders('order_file')} ],
    '<', \undef, '>', \$out, '2>', \$err) or die $err;

# What each step must refuse, in this order.
my %refused = (
    customer => [ qr/^insufficient points: 1000000 wanted, \d+ available$/ ],
    merchant => [],
    auditor => [],
    attacker => [
        (qr/^permission denied for table contact$/) x 3, qr/^permission denied for table points_account$/, qr/^permission denied for function adjust$/,
        qr/^permission denied to post points entries of kind adjust$/, qr/^seq, booked_at, balance_after and hash of a points entry are set by the ledger$/,
        qr/^permission denied for table points_entry$/, qr/is append-only: UPDATE is refused$/, qr/is append-only: TRUNCATE is refused$/,
        qr/^syntax error at or near "\)"/, qr/^Function pg_sleep cannot be used in a rule/, qr/^too many clear values for role/ ]);
my @steps = qw(customer merchant auditor attacker);
sub refusals_are
{
    my ($name, $got, @expected) = @_;
    my @got = split /\n/, $got;
    my $same = @got == @expected && !grep { $got[$_] !~ $expected[$_] } 0 .. $#expected;
    ok($same, "$name refuses what it should, nothing else fails") or diag($got);
}
for my $step (@steps)
{
    refusals_are($step, psql_file("tools/demo/tour/$step.sql"), @{ $refused{$step} });
}

# What the steps said of themselves holds.
is(sql(q{SELECT tier FROM shop.tier_member WHERE customer_id = (SELECT customer_id FROM shop.purchase WHERE order_no LIKE 'tour-%')}), 'ordinary', 'gold for an order, gone with half of it');
is(sql(q{SELECT count(*) FROM shop.tier_change WHERE to_tier = 'gold'}), '1', 'the day she rose is kept');
my $campaign = sql(q{SELECT crm.cardinality(target) || '|' || crm.cardinality(held_out) || '|' || refused || '|' || state FROM shop.campaign});
my ($target, $held, $left_out) = split /\|/, $campaign;
cmp_ok($target, '>', 50, "written to: $campaign");
cmp_ok(abs($held / ($target + $held) - 0.1), '<', 0.05, 'a tenth is held out');
cmp_ok($left_out, '>', 20, 'who never agreed is left out');
is(sql(q{SELECT count(*) FROM shop.outbox WHERE state = 'sent'}), '2', 'two are sent');
is(sql(q{SELECT count(*) FROM shop.outbox o JOIN shop.coupon c ON c.customer_id = o.customer_id AND c.code = o.payload ->> 'coupon' AND c.valid_from = o.due_at WHERE o.campaign = 'tour-0'}),
    $target, 'each message has a coupon of its customer, good from the day of sending');
is(sql(q{SELECT count(*) FROM shop.points_verify()}), '0', 'the ledger is whole');
is(sql(q{SELECT count(*) FROM shop.contact_access WHERE role LIKE 'tour\_agent\_%'}), '2', 'two clear values, each recorded');
is(sql(q{SELECT count(*) FROM shop.points_entry WHERE source = 'gift'}), '0', 'no points made of nothing');

# Whole, a second time, and in Chinese.
sql(q{UPDATE shop.settings SET language = 'zh'});
refusals_are('the tour', psql_file('tools/demo/tour.sql'), map { @{ $refused{$_} } } @steps);
like($out, qr/^-- 一、顾客的一天/m, 'in Chinese');
unlike($out, qr/^-- [A-Z1-9]/m, 'throughout');
is(sql(q{SELECT max(n) FROM (SELECT count(*) AS n FROM shop.coupon GROUP BY customer_id) s}), '1', 'the second campaign with the same coupon gives nobody a second one');
$node->stop;
done_testing();
