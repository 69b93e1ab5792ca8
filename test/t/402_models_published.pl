# Published parameters, log likelihoods and predictions of the models for CDNOW (cdnow_elog.csv, cdnow_summary.csv).
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = $ENV{CRM_DATA} || '../shared/data';
plan skip_all => 'skipped: no data' unless -r "$data/cdnow_elog.csv" && -r "$data/cdnow_summary.csv";

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', qq{
CREATE EXTENSION crm;
CREATE TABLE event (masterid int, id int, day date, cds int, sales numeric);
\\copy event FROM '$data/cdnow_elog.csv' WITH (FORMAT csv, HEADER)
CREATE TABLE published (id int, x int, t_x numeric, t numeric);
\\copy published FROM '$data/cdnow_summary.csv' WITH (FORMAT csv, HEADER)
CREATE TABLE buyer AS SELECT id, (crm.buyer_summary(day, sales, '1997-09-30', 7)).* FROM event GROUP BY id;
CREATE TABLE model AS
SELECT (SELECT crm.bgnbd_fit(x, t_x, t) FROM published) AS bg,
       (SELECT crm.pareto_nbd_fit(x, t_x, t) FROM published) AS pn,
       (SELECT crm.gamma_gamma_fit(x, mean) FROM buyer) AS gg,
       (SELECT crm.bgnbd_fit(x, t_x * 10, t * 10) FROM published) AS bg_scaled,
       (SELECT crm.pareto_nbd_fit(x, t_x * 10, t * 10) FROM published) AS pn_scaled,
       (SELECT crm.gamma_gamma_fit(x, mean * 10) FROM buyer) AS gg_scaled;
});

sub one
{
	my ($query) = @_;
	return $node->safe_psql('postgres', $query);
}

sub near
{
	my ($expression, $expected, $tolerance, $name) = @_;
	my $got = one("SELECT $expression FROM model");
	ok($got ne '' && abs($got - $expected) <= $tolerance, $name || "$expression is $expected") or diag("got $got");
	return;
}

is(one('SELECT count(*), sum(sales) FROM event'), '6919|244091.94', 'data');
is( one('SELECT count(*) FROM buyer JOIN published p USING (id) WHERE buyer.x = p.x AND abs(buyer.t_x - p.t_x) < .0051 AND abs(buyer.t - p.t) < .0051'),
	'2357', 'buyer_summary equals the published summary of 2,357 of 2,357');
is(one('SELECT sum(x), count(*) FILTER (WHERE x = 0) FROM buyer'), '2457|1411', 'repeat purchases');
is(one(q{SELECT string_agg(n::text, ' ' ORDER BY k) FROM (SELECT least(x, 7) AS k, count(*) AS n FROM buyer GROUP BY 1) q}),
	'1411 439 214 100 62 38 29 64', 'frequencies');
is(one('SELECT count(*), round(avg(mean)::numeric, 4), round(stddev(mean)::numeric, 4), min(mean), round(max(mean)::numeric, 2) FROM buyer WHERE x > 0'),
	'946|35.0778|30.2835|2.99|299.63', 'monetary values');

near('(bg).r', .243, .01);
near('(bg).alpha', 4.414, .01);
near('(bg).a', .793, .01);
near('(bg).b', 2.426, .01);
near('(bg).log_likelihood', -9582.425561, 1e-5, 'log likelihood of BG/NBD');
near('(bg).r', .242593, 2e-6, 'r to six digits');
near('(bg).alpha', 4.413531, 2e-6, 'alpha to six digits');
near('(bg).a', .792887, 2e-6, 'a to six digits');
near('(bg).b', 2.425755, 3e-6, 'b to six digits');
near('(pn).r', .553, .01);
near('(pn).alpha', 10.578, .01);
near('(pn).s', .606, .01);
near('(pn).beta', 11.669, .01);
near('(pn).log_likelihood', -9594.973930, 1e-5, 'log likelihood of Pareto/NBD');
near(qq{((pn).fit #>> '{standard_errors,$_->[0]}')::float8}, $_->[1], $_->[1] / 1000, "standard error of $_->[0]")
  for ([ 'r', .0476264 ], [ 'alpha', .8427222 ], [ 's', .1872594 ], [ 'beta', 6.2105448 ]);
near('(gg).p', 6.25, .01);
near('(gg).q', 3.74, .01);
near('(gg).v', 15.44, .01);
near('(gg).log_likelihood', -4055.9177, 1e-4, 'log likelihood of Gamma-Gamma');
is(one(q{SELECT (bg).fit ->> 'converged', (pn).fit ->> 'converged', (gg).fit ->> 'converged', (bg).customers, (gg).customers FROM model}),
	'true|true|true|2357|946', 'all converged');
# The covariance is symmetric, and its diagonal is the squared standard errors.
is( one(q{SELECT bool_and(abs(((bg).fit #>> ARRAY['covariance', i::text, j::text])::float8 - ((bg).fit #>> ARRAY['covariance', j::text, i::text])::float8) < 1e-12),
                 abs(sqrt(((bg).fit #>> '{covariance,1,1}')::float8) - ((bg).fit #>> '{standard_errors,alpha}')::float8) < 1e-12
          FROM model, generate_series(0, 3) i, generate_series(0, 3) j GROUP BY bg}),
	't|t', 'covariance');

# Another unit of time or money changes nothing.
near('(bg_scaled).alpha / 10 - (bg).alpha', 0, 1e-4, 'BG/NBD scaled by 10');
near('(bg_scaled).b - (bg).b', 0, 1e-4, 'BG/NBD scaled by 10: b');
near('crm.expected_purchases(bg_scaled, 390, 2, 304.3, 388.6) - crm.expected_purchases(bg, 39, 2, 30.43, 38.86)', 0, 1e-4, 'its prediction');
near('(pn_scaled).beta / 10 - (pn).beta', 0, 1e-4, 'Pareto/NBD scaled by 10');
near('crm.p_alive(pn_scaled, 26, 308.6, 310) - crm.p_alive(pn, 26, 30.86, 31)', 0, 1e-4, 'its prediction');
near('(gg_scaled).v / 10 - (gg).v', 0, 1e-4, 'Gamma-Gamma scaled by 10');

# Predictions with the fitted parameters.
near('crm.expected_purchases(bg, 39, 2, 30.43, 38.86)', 1.226, .001);
near("round(crm.expected_purchases(bg, $_->[0])::numeric, 4)", $_->[1], .0005)
  for ([ .1429, .0078 ], [ 1, .0532 ], [ 3, .1506 ], [ 31.8571, 1.0405 ], [ 32, 1.0437 ], [ 78, 1.8576 ]);
near('crm.p_alive(pn, 26, 30.86, 31)', .9979, .001);
near('crm.expected_purchases(pn, 52, 26, 30.86, 31)', 25.46, .01);

# The holdout: 39 weeks after the calibration, customer by customer and in all.
is(one(q{SELECT count(DISTINCT (id, day)) FROM event WHERE day > '1997-09-30'}), '1882', 'repeat transactions of the holdout');
my $expected = one('SELECT sum(crm.expected_purchases(bg, 39, x, t_x, t)) FROM buyer, model');
ok(abs($expected / 1882 - 1) < .15, 'BG/NBD foretells the holdout within 15 per cent') or diag("expected $expected");
my $corr = one(q{SELECT corr(crm.expected_purchases(bg, 39, x, t_x, t), coalesce(n, 0)) FROM model, buyer
LEFT JOIN (SELECT id, count(DISTINCT day) AS n FROM event WHERE day > '1997-09-30' GROUP BY id) h USING (id)});
ok($corr > .6, 'and knows who the buyers are') or diag("correlation $corr");
# Cumulative repeat transactions foretold by Pareto/NBD, weeks 20 to 25, of customers who came week by week.
is( one(q{SELECT string_agg(round(week_total)::text, ' ' ORDER BY week)
          FROM (SELECT week, sum(crm.expected_purchases(pn, week - (first - date '1997-01-01') / 7.0)) AS week_total
                FROM model, generate_series(20, 25) week, (SELECT min(day) AS first FROM event GROUP BY id) f
                WHERE first < date '1997-01-01' + week * 7 GROUP BY week) q}),
	'1309 1385 1460 1533 1604 1674', 'the published tracking');
$node->stop;
done_testing();
