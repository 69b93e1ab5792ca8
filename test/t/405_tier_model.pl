# Random changes of orders, old and new, against a model of tiers written apart in Python: the same changes of tier.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $statements = $ENV{CRM_OPERATIONS} || 1200;
my $seed = $ENV{CRM_SEED} || int(rand(1e9));
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nsynchronous_commit = off\njit = off\n");
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION crm});
# Lifts are written without the executor, but by the statement where a trigger of the user's stands on their tables.
for my $way ('plain', 'watched')
{
	$node->safe_psql('postgres', qq{
		SELECT crm.create_store('$way', time_zone => 'UTC');
		SELECT $way.install_preset('textbook');
		DELETE FROM $way.points_rule;
		UPDATE $way.tier SET keep = ('spend_12m >= ' || CASE tier WHEN 'silver' THEN 500 WHEN 'gold' THEN 1500 ELSE 3000 END)::crm.rule WHERE tier <> 'ordinary';
	});
	$node->safe_psql('postgres', q{SELECT watched.watch_changes('{tier_member,tier_change}')}) if $way eq 'watched';
	my $output = `/usr/bin/python3 test/py/tier_model.py "@{[$node->connstr('postgres')]}" $way $seed-$way $statements 2>&1`;
	my $status = $?;
	note $output;
	is($status, 0, "$way: $statements statements, the model's changes of tier and no other (CRM_SEED=$seed)") or diag $output;
	is($node->safe_psql('postgres', "SELECT count(*) FROM $way.tier_change WHERE actor <> current_user OR booked_at IS NULL OR note IS NOT NULL"), '0', "$way: who and when");
	is( $node->safe_psql('postgres', qq{
		SELECT count(*) FROM $way.tier_change c LEFT JOIN $way.tier_change p ON p.customer_id = c.customer_id AND p.change_no = c.change_no - 1
		WHERE c.from_tier <> coalesce(p.to_tier, 'ordinary') OR c.at < p.at OR c.before ->> 'tier' <> c.from_tier
		   OR (c.before ->> 'since')::timestamptz IS DISTINCT FROM p.at
		   OR (SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(c.before) k) <> '{basis,peak,period_end,rests_on,since,tier}'}),
		'0', "$way: each change goes on where the one before ended");
	is($node->safe_psql('postgres', "SELECT count(*) FROM $way.tier_member m WHERE m.tier <> $way.tier_at(m.customer_id, 'infinity')"), '0', "$way: the history ends at the tier");
}
is( $node->safe_psql('postgres', q{
	SELECT count(*) FILTER (WHERE op = 'insert' AND table_name = 'tier_change') = (SELECT count(*) FROM watched.tier_change)
	   AND count(*) FILTER (WHERE op = 'insert' AND table_name = 'tier_member') = (SELECT count(*) FROM watched.tier_member) FROM watched.change_event}),
	't', 'the feed has told of each lift');
$node->stop;
done_testing();
