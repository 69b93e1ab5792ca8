# The campaigns of the Complete Journey data in a store: households, redemptions and effect as an independent count finds them.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = $ENV{CRM_DATA} || '../shared/data';
plan skip_all => 'skipped: no data' unless -r "$data/cj_campaigns.csv" && -r "$data/cj_coupon_redemptions.csv" && -r "$data/cj_transactions_sample.csv.gz";

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', "fsync = off\njit = off\ntimezone = 'UTC'\n");
$node->start;
my $csv = PostgreSQL::Test::Utils::tempdir() . '/transactions.csv';
system_or_bail('sh', '-c', 'gzip -dc "$1" > "$2"', 'sh', "$data/cj_transactions_sample.csv.gz", $csv);

$node->safe_psql('postgres', qq{
CREATE EXTENSION crm;
SELECT crm.create_store('shop');
SET search_path = shop, crm, public;
CREATE TEMP TABLE t (household_id bigint, store_id int, basket_id text, product_id text, quantity numeric, sales_value numeric, a numeric, b numeric, c numeric, week int, at timestamptz);
\\copy t FROM '$csv' WITH (FORMAT csv, HEADER)
CREATE TEMP TABLE d (campaign text, type text, first date, last date);
\\copy d FROM '$data/cj_campaign_descriptions.csv' WITH (FORMAT csv, HEADER)
CREATE TEMP TABLE m (campaign text, household_id bigint);
\\copy m FROM '$data/cj_campaigns.csv' WITH (FORMAT csv, HEADER)
CREATE TEMP TABLE r (household_id bigint, upc text, campaign text, day date);
\\copy r FROM '$data/cj_coupon_redemptions.csv' WITH (FORMAT csv, HEADER)
INSERT INTO customer (customer_id, joined_at) SELECT household_id, '2016-01-01' FROM (SELECT household_id FROM t UNION SELECT household_id FROM m UNION SELECT household_id FROM r) h;
INSERT INTO purchase (customer_id, channel, order_no, amount, paid_at, history) SELECT household_id, 'cj', basket_id, greatest(sum(sales_value), 0), min(at), true FROM t GROUP BY 1, 2, 3;
INSERT INTO coupon_template (template, name, kind) SELECT 'cj' || campaign, type, 'freight' FROM d;
-- Chosen by the shop, not by lot: the others are who was left out, so this uplift tells whom it chose as much as what it did.
INSERT INTO campaign (campaign, name, channel, audience, holdout, seed, coupon_template, state, launched_at, target, held_out, attribution_days)
    SELECT d.campaign, d.type, 'app', x.members, 0, 1, 'cj' || d.campaign, 'launched', d.first, x.members, s.all_of_them - x.members, d.last - d.first + 1
    FROM d CROSS JOIN LATERAL (SELECT audience_agg(household_id) AS members FROM m WHERE m.campaign = d.campaign) x,
         (SELECT audience_agg(DISTINCT household_id) AS all_of_them FROM t) s;
INSERT INTO outbox (customer_id, channel, purpose, idempotency_key, due_at, state, sent_at, campaign, variant)
    SELECT m.household_id, 'app', 'marketing', 'campaign/' || d.campaign, d.first, 'sent', d.first, d.campaign, d.type FROM m JOIN d USING (campaign);
INSERT INTO coupon (customer_id, template, reference, state, issued_at, valid_from, valid_until, order_channel, order_no, redeemed_at, discount)
    SELECT household_id, 'cj' || campaign, row_number() OVER () || '/' || upc, 'redeemed', greatest(day, first), first, 'infinity', 'cj', 'unknown', greatest(day, first), 0 FROM r JOIN d USING (campaign);
ANALYZE;
});
my $ours = $node->safe_psql('postgres', q{
SET search_path = shop, crm, public;
SELECT r.campaign, r.targeted, r.coupons_redeemed, r.customers_redeeming, e.ordered, round(e.revenue, 2), e.held_out, e.held_out_ordered
FROM campaign_report r, campaign_effect(r.campaign) e WHERE e.variant = 'all' ORDER BY r.campaign::int;
});
my $theirs = `/usr/bin/python3 test/py/cj_campaigns.py '$data'`;
is($?, 0, 'counted from the files');
chomp $theirs;
is($ours, $theirs, 'campaigns, households, redemptions, buyers and revenue as counted from the files');
is(scalar(split(/\n/, $ours)), 27, '27 campaigns');
note($_) for split /\n/, $node->safe_psql('postgres', q{
SELECT format('%s: %s sent, %s %% bought, uplift %s (%s to %s), significant %s', r.campaign, e.sent, e.ordered_percent, e.uplift, e.uplift_low, e.uplift_high, e.significant)
FROM shop.campaign_report r, shop.campaign_effect(r.campaign) e WHERE e.variant = 'all' ORDER BY r.targeted DESC LIMIT 5});
is($node->safe_psql('postgres', q{SELECT count(*) FROM shop.campaign_effect('18') e WHERE e.uplift <> round(100.0 * e.ordered / e.sent - 100.0 * e.held_out_ordered / e.held_out, 2)}),
    '0', 'uplift is the difference of the shares');

$node->stop;
done_testing();
