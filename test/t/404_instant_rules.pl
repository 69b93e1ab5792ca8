# Rules in the order path: after random changes of orders, recounting by SQL finds nothing that was not set at once.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{CRM_SEED} || time ^ $$;
srand($seed);
diag("CRM_SEED=$seed");

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\njit = off");
$node->start;
my $customers = 120;
$node->safe_psql('postgres', qq{
CREATE EXTENSION crm;
SELECT crm.create_store('shop', time_zone => 'America/New_York');
SELECT crm.create_store('ladder', time_zone => 'Asia/Shanghai');
SELECT ladder.install_preset('textbook');
DELETE FROM shop.points_rule;
INSERT INTO shop.customer SELECT FROM generate_series(1, $customers);
INSERT INTO ladder.customer SELECT FROM generate_series(1, $customers);
});

sub one_of { return $_[ int rand @_ ] }

my %values = (
	order_count    => sub { one_of(int rand 12, int rand 12, 0, sprintf '%.1f', rand 9) },
	orders_12m     => sub { one_of(int rand 9, int rand 9, 0, sprintf '%.2f', rand 9) },
	spend_total    => sub { one_of(int rand 2500, sprintf('%.4f', rand 2500), sprintf('%.6f', rand 2500), 0) },
	spend_12m      => sub { one_of(int rand 1500, sprintf('%.4f', rand 1500), sprintf('%.5f', rand 1500), 0) },
	avg_order_12m  => sub { one_of(int rand 300, sprintf('%.4f', rand 300), sprintf('%.5f', rand 300)) },
	refunded_total => sub { one_of(0, int rand 300, sprintf '%.2f', rand 100) },
	discount_total => sub { one_of(0, int rand 60) },
	first_order_at => \&moment,
	last_order_at  => \&moment);

sub moment
{
	return sprintf "now() %s interval '%d %s'", one_of('-', '-', '-', '+'), one_of([ rand 700, 'days' ], [ rand 26, 'months' ], [ rand 9000, 'hours' ])->@*
		if rand() < 0.7;
	return one_of('now()', sprintf "timestamptz '202%d-%02d-%02d 12:00'", 3 + rand 3, 1 + rand 12, 1 + rand 28);
}

sub condition
{
	my ($depth) = @_;
	my $kind = $depth > 0 ? int rand 10 : 4 + int rand 6;
	return '(' . condition($depth - 1) . one_of(' AND ', ' OR ') . condition($depth - 1) . ')' if $kind < 3;
	return 'NOT (' . condition($depth - 1) . ')' if $kind == 3;
	my $column = one_of(sort keys %values);
	my $value = $values{$column};
	return "$column IS " . one_of('', 'NOT ') . 'NULL' if $kind == 4;
	return "$column " . one_of('', 'NOT ') . 'BETWEEN ' . $value->() . ' AND ' . $value->() if $kind == 5;
	return "$column " . one_of('', 'NOT ') . 'IN (' . join(', ', map { int rand 10 } 1 .. 3) . ')' if $kind == 6 && $column =~ /order(s_12m|_count)$/;
	# What comparisons of whole numbers cannot say goes another way.
	return one_of('spend_total > 2 * spend_12m', 'spend_12m / order_count > 90', 'coalesce(avg_order_12m, 0) < 120', 'last_order_at - first_order_at > interval \'200 days\'',
		'refunded_total * 10 > spend_total') if $kind == 7 && rand() < 0.4;
	return $value->() . one_of(' < ', ' > ', ' <= ', ' >= ', ' = ', ' <> ') . $column if $kind == 8;
	return "$column" . one_of(' < ', ' > ', ' <= ', ' >= ', ' = ', ' <> ') . $value->();
}

my $rules = 60;
my $sql = '';
$sql .= sprintf "INSERT INTO shop.tag_rule (tag, rule) VALUES ('r%d', \$\$%s\$\$);\n", $_, condition(2) for 1 .. $rules;
# Of some tags the dictionary says more, so that these are written by the statement.
$sql .= "INSERT INTO shop.tag (tag, kind, valid_for) VALUES ('r3', 'rule', '1 year'), ('r4', 'official', NULL);\n";
$node->safe_psql('postgres', $sql);
is($node->safe_psql('postgres', 'SELECT count(*) FROM shop.tag_rule WHERE instant'), $rules, 'rules of the order path');

my $orders = 0;
my $live;

sub order_values
{
	my ($store) = @_;
	my $at = $live ? 'now()'
		: rand() < 0.3 ? sprintf("now() - interval '12 months' + interval '%d hours'", -800 + rand 1600)
		: sprintf("now() - interval '%d minutes'", rand() < 0.5 ? rand 3000 : rand 1100000);
	return sprintf "(%d, 'o%d', %.2f, %.2f, %.2f, %s, '%s')", 1 + $customers * rand()**2, ++$orders, 5 + rand 400, rand 20, rand 100, $at,
		one_of('paid', 'paid', 'paid', 'completed', 'pending');
}

sub change
{
	my ($store) = @_;
	my $kind = rand;
	my $some = sprintf q{(SELECT p.order_no FROM %s.purchase p WHERE p.customer_id >= %d ORDER BY p.customer_id, p.order_no LIMIT 1 OFFSET %d)}, $store, 1 + rand $customers, rand 3;
	my $many = $kind < 0.6 ? 1 : 2 + int rand 12;
	return "INSERT INTO $store.purchase (customer_id, order_no, amount, discount, cost, paid_at, status) VALUES " . join(', ', map { order_values($store) } 1 .. $many)
		if $kind < 0.72;
	return sprintf "UPDATE $store.purchase SET amount = amount + %.2f WHERE order_no = $some", rand 200 if $kind < 0.8;
	return "UPDATE $store.purchase SET status = '" . one_of('cancelled', 'paid', 'refunded') . "' WHERE order_no = $some" if $kind < 0.86;
	return "DELETE FROM $store.purchase WHERE order_no = $some AND refunded = 0" if $kind < 0.89;
	return "UPDATE $store.purchase SET customer_id = " . int(1 + rand $customers) . " WHERE order_no = $some AND refunded = 0" if $kind < 0.92;
	return sprintf q{INSERT INTO %s.purchase_refund (customer_id, channel, order_no, refund_no, amount)
        SELECT p.customer_id, p.channel, p.order_no, 'r%d', round((p.amount - p.refunded) * %s, 2) FROM %1$s.purchase p
        WHERE p.order_no = %s AND p.order_at IS NOT NULL AND p.amount - p.refunded > 1}, $store, ++$orders, one_of('0.5', '1'), $some;
}

# Tags: what the order path set is what apply_tag_rules() would set.
my ($changed, $touched) = (0, 0);
for my $round (1 .. 40)
{
	my $script = 'BEGIN' . ($round % 10 == 9 ? ' ISOLATION LEVEL REPEATABLE READ' : '') . ";\n";
	$script .= change('shop') . ";\n" for 1 .. 15;
	$script .= sprintf "UPDATE shop.customer SET tags = tags OPERATOR(crm.%s) ARRAY['r%d']%s WHERE customer_id = %d;\n",
		(rand() < 0.5 ? ('|', 1 + rand $rules, '::text[]::crm.tagset') : ('-', 1 + rand $rules, '')), 1 + rand $customers
		if $round % 7 == 0;
	# A rule that changes is applied by the procedure; from then on orders follow it.
	$script .= sprintf "UPDATE shop.tag_rule SET rule = \$\$%s\$\$ WHERE tag = 'r%d';\n", condition(2), 5 + rand 50 if $round % 5 == 0;
	$script .= "SELECT changed FROM shop.apply_tag_rules_batch(now(), 0, 1000000, 1000000);\nCOMMIT;\n" if $round % 5 == 0 || $round % 7 == 0 || $round == 1;
	if ($round % 5 == 0 || $round % 7 == 0 || $round == 1)
	{
		$node->safe_psql('postgres', $script);
		next;
	}
	$script .= "SELECT changed FROM shop.apply_tag_rules_batch(now(), 0, 1000000, 1000000);\nCOMMIT;\n";
	my $found = $node->safe_psql('postgres', $script);
	$changed += $found;
	diag("round $round: $found customers differ") if $found;
	$touched++;
}
is($changed, 0, "after $touched transactions of 15 changes no customer's tags differ from those of a recount");
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM shop.tag_event'), '>', 500, 'tags did change');
is($node->safe_psql('postgres', 'SELECT count(*) FROM shop.recount_customers()'), '0', 'summaries add up');
is( $node->safe_psql('postgres', q{
	SELECT count(*) FROM shop.customer c
	WHERE c.tags::text <> coalesce((SELECT crm.tagset(array_agg(e.tag))::text FROM (SELECT DISTINCT ON (e.tag) e.tag, e.added FROM shop.tag_event e
	                                                                  WHERE e.customer_id = c.customer_id ORDER BY e.tag, e.event_id DESC) e WHERE e.added), '{}')}),
	'0', 'the events replay to the tags');
is( $node->safe_psql('postgres', q{
	SELECT count(*) FROM shop.tag_rule t
	WHERE shop.tag_members(t.tag)::text <> coalesce((SELECT crm.audience_agg(c.customer_id)::text FROM shop.customer c WHERE crm.has_tag(c.tags, t.tag)), '{}')}),
	'0', 'the audiences are those of the tags');
is( $node->safe_psql('postgres', q{
	SELECT count(*) FROM shop.customer_rule_tag r JOIN shop.customer c USING (customer_id)
	WHERE NOT crm.has_tag(c.tags, r.tag) AND NOT EXISTS (SELECT FROM shop.tag_event e WHERE e.customer_id = r.customer_id AND e.tag = r.tag)}),
	'0', 'each note of a rule had its event');
is($node->safe_psql('postgres', q{SELECT count(*) FROM shop.tag_expiry x JOIN shop.customer c USING (customer_id) WHERE x.tag <> 'r3' OR NOT crm.has_tag(c.tags, 'r3')}),
	'0', 'tags that lapse are those of the dictionary');

# Tiers: of orders that come as they are paid, and of whatever becomes of them later, evaluate_tiers() lifts nobody more.
# 405_tier_model.pl has orders that come late, and each change of tier.
$live = 1;
my $more = 0;
for my $round (1 .. 25)
{
	my $script = "BEGIN;\n";
	$script .= change('ladder') . ";\n" for 1 .. 10;
	$script .= "SELECT ladder.judge_upgrade(ARRAY(SELECT customer_id FROM ladder.customer ORDER BY 1), ARRAY(SELECT now() FROM ladder.customer));\nROLLBACK;\n";
	$more += $node->safe_psql('postgres', $script);
	$script =~ s/SELECT ladder.judge_upgrade.*\nROLLBACK/COMMIT/;
	$node->safe_psql('postgres', $script);
}
is($more, 0, 'nobody is lifted later who could have been at once');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM ladder.tier_change WHERE reason = 'upgrade'}), '>', 30, 'orders did lift');
$node->stop;
done_testing();
