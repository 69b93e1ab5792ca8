# The published answers of the R package rfm, on its own data (rfm_orders.csv).
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = $ENV{CRM_DATA} || '../shared/data';
plan skip_all => 'skipped: no data' unless -r "$data/rfm_orders.csv";

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', qq{
CREATE EXTENSION crm;
CREATE TABLE orders (customer text, day date, revenue numeric, first_name text, last_name text, email text);
\\copy orders FROM '$data/rfm_orders.csv' WITH (FORMAT csv, HEADER)
CREATE TABLE buyer AS
SELECT customer, date '2006-12-31' - max(day) AS days, count(*) AS n, sum(revenue) AS amount FROM orders GROUP BY 1;
CREATE TABLE model AS SELECT crm.rfm_fit(days, n, amount, 5, 'quantile_plus_one') AS model FROM buyer;
CREATE TABLE score AS SELECT *, crm.rfm_score(model, days, n, amount) AS rfm FROM buyer, model;
});

sub one
{
	my ($query) = @_;
	return $node->safe_psql('postgres', $query);
}

is(one('SELECT count(*), sum(n), sum(amount) FROM buyer'), '995|4906|464158', 'data');
is(one('SELECT ARRAY(SELECT round(x::numeric, 1) FROM unnest(crm.r_cuts(model)) x) FROM model'), '{115.0,181.0,297.4,482.0}', 'cut points of recency');
is(one('SELECT crm.f_cuts(model) FROM model'), '{4,5,6,8}', 'cut points of frequency');
is(one('SELECT ARRAY(SELECT round(x::numeric, 1) FROM unnest(crm.m_cuts(model)) x) FROM model'), '{255.8,382.0,506.4,666.0}', 'cut points of monetary value');
my %counts = (r => '197 200 199 199 200', f => '268 187 176 244 120', m => '200 200 198 202 195');
for my $axis (sort keys %counts)
{
	is(one("SELECT string_agg(n::text, ' ' ORDER BY s) FROM (SELECT crm.$axis(rfm) AS s, count(*) AS n FROM score GROUP BY 1) x"),
		$counts{$axis}, "score counts of $axis");
}

my @customers = split /\n/, <<'LIST';
Abbey O'Reilly|205|6|472|3-4-3|Potential Loyalist
Add Senger|140|3|340|4-1-2|New Customers
Aden Lesch|194|4|405|3-2-3|Loyal Customers
Aden Murphy|98|7|596|5-4-4|Potential Loyalist
Admiral Senger|132|5|448|4-3-3|Potential Loyalist
Brion Stark|229|8|852|3-5-5|
Ethyl Botsford|252|8|526|3-5-4|
Hosteen Jacobi|545|4|300|1-2-2|
Edw Frami|44|10|868|5-5-5|
Josef Lemke|48|5|391|5-3-3|
Julisa Halvorson|127|12|987|4-5-5|
Judyth Lueilwitz|662|5|552|1-3-4|
Mekhi Goyette|416|4|350|2-2-2|
Hansford Moen|186|7|1004|3-4-5|
Fount Flatley|146|11|937|4-5-5|
LIST
for my $line (@customers)
{
	my ($name, $days, $n, $amount, $rfm, $segment) = split /\|/, $line, -1;
	(my $quoted = $name) =~ s/'/''/g;
	my $columns = "days, n, amount, rfm" . ($segment ? ", crm.rfm_segment(rfm, 'rfm_package', 'en')" : '');
	is(one("SELECT $columns FROM score WHERE customer = '$quoted'"),
		join('|', $days, $n, $amount, $rfm, $segment ? $segment : ()), $name);
}

is( one(q{SELECT crm.rfm_segment(rfm, 'rfm_package', 'en'), count(*), sum(n), sum(amount), round(sum(amount) / sum(n), 2)
          FROM score GROUP BY 1 ORDER BY crm.rfm_segment(rfm, 'rfm_package', 'en') COLLATE "C"}),
	"About To Sleep|102|283|23449|82.86
At Risk|28|216|22227|102.90
Can't Lose Them|47|274|32446|118.42
Champions|35|316|31646|100.15
Lost|148|393|35324|89.88
Loyal Customers|170|799|76562|95.82
Need Attention|10|57|4562|80.04
New Customers|104|329|28837|87.65
Potential Loyalist|342|2211|204856|92.65
Promising|9|28|4249|151.75", 'segments of version 0.3.0');
is( one(q{SELECT crm.rfm_segment(rfm, 'rfm_package_v02', 'en') AS s, count(*) FROM score GROUP BY 1 ORDER BY 2 DESC}),
	"Loyal Customers|278
Potential Loyalist|229
Champions|158
Lost|111
At Risk|86
About To Sleep|50
Others|48
Need Attention|35", 'segments of versions 0.2');
is( one(q{SELECT sum(n), sum(amount) FROM score WHERE crm.rfm_segment(rfm, 'rfm_package_v02', 'en') = 'Champions'}),
	'1234|120178', 'champions of versions 0.2');

# Given cut points: the same customers, scored from them.
is( one(q{SELECT sum(n), count(*) FILTER (WHERE crm.rfm_score(crm.rfm_model(ARRAY[115,181,297.4,482], ARRAY[4,5,6,8], ARRAY[255.8,382,506.4,666]), days, n, amount)::text <> rfm::text) FROM score}),
	'4906|0', 'given cut points score as the fitted ones do');

# The eight classes, with the real means.
is( one(q{SELECT bool_and(crm.rfm_segment(rfm, model, 'eight', 'zh') =
            CASE WHEN crm.m(rfm) > avg_m THEN '重要' ELSE '一般' END ||
            CASE WHEN crm.r(rfm) > avg_r THEN CASE WHEN crm.f(rfm) > avg_f THEN '价值' ELSE '发展' END
                 ELSE CASE WHEN crm.f(rfm) > avg_f THEN '保持' ELSE '挽留' END END)
          FROM score, (SELECT avg(crm.r(rfm)) AS avg_r, avg(crm.f(rfm)) AS avg_f, avg(crm.m(rfm)) AS avg_m FROM score) a}),
	't', 'eight classes by the mean of the scored customers');
$node->stop;
done_testing();
