# Tag sets, queries, index searches and aggregates against a model in Python; Unicode; dump and restore.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $cases = $ENV{CRM_TAG_CASES} || 4000;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION crm');
my $output = `PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 test/py/tag_property.py '@{[ $node->connstr('postgres') ]}' $cases 10000 2>&1`;
is($?, 0, 'the model agrees') or diag($output);
note($output);
like($output, qr/^$cases cases of operators$/m, 'all cases were asked');
like($output, qr/^10000 strings, \d{4} of them tags/m, 'all strings were tried');

# Dump and restore give the same sets, with their index
$node->safe_psql('postgres', 'CREATE INDEX unicode_index ON unicode_tags USING gin (tags)');
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump ], 'dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $dump ], 'restore');
my $sum = q{SELECT count(*), md5(string_agg(id || crm.tagset_send(tags)::text || crm.tagquery_send(query)::text, ',' ORDER BY id)) FROM public.unicode_tags};
is($node->safe_psql('restored', $sum), $node->safe_psql('postgres', $sum), 'dump and restore are equal');
$node->stop;
done_testing();
