# Ten thousand random rules answer like the same expressions run as SQL.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION crm');
my $output = `/usr/bin/python3 test/py/rule_random.py '@{[ $node->connstr('postgres') ]}' 10000 2>&1`;
is($?, 0, 'random rules') or diag($output);
note($output);
like($output, qr/^10000 rules on 40 rows/m, 'all of them were asked');
$node->stop;
done_testing();
