# What the pages list is there: error codes, words of the glossary, the map of the trade, the index of pages.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', "fsync = off\n");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }
sub rows { return grep { /^\| / && !/^\|[ :-]*-/ } split /\n/, $_[0]; }
sub cells { my @c = map { s/^\s+|\s+$//gr } split /(?<!\\)\|/, $_[0]; shift @c; return @c; }
sql(q{CREATE EXTENSION crm; SELECT crm.create_store('shop')});

# Error codes of the source against the table.
my %raised;
for my $file (glob('sql/*/*.sql src/*/*.c src/*/*.h'))
{
	my $text = slurp_file($file);
	$raised{$1} = $file while $text =~ /ERRCODE\s*=\s*'(C[A-Z]\w{3})'/g;
	$raised{"$1$2$3$4$5"} = $file while $text =~ /MAKE_SQLSTATE\('(\w)', *'(\w)', *'(\w)', *'(\w)', *'(\w)'\)/g;
}
cmp_ok(scalar(keys %raised), '>', 100, scalar(keys %raised) . ' codes are raised');
ok($raised{CP001} && $raised{CU001} && $raised{CE001}, 'both languages are read');
my $errors = slurp_file('doc/errors.md');
my (%listed, @twice);
for (rows($errors)) { push @twice, $1 if /^\| (C[A-Z]\w{3}) \|/ && $listed{$1}++; }
is(join(' ', sort grep { !$listed{$_} } keys %raised), '', 'every code that is raised is in doc/errors.md');
is(join(' ', sort grep { !$raised{$_} } keys %listed), '', 'every code of doc/errors.md is raised');
is("@twice", '', 'none is listed twice');

# Names.
my %object = map { $_ => 1 } split /\n/, sql(q{
	SELECT y.o FROM pg_namespace n,
		LATERAL (SELECT proname AS o FROM pg_proc WHERE pronamespace = n.oid UNION SELECT relname FROM pg_class WHERE relnamespace = n.oid UNION SELECT typname FROM pg_type WHERE typnamespace = n.oid) x,
		LATERAL (SELECT CASE n.nspname WHEN 'crm' THEN 'crm.' || x.o ELSE x.o END UNION SELECT n.nspname || '.' || x.o) y (o)
	WHERE n.nspname IN ('crm', 'shop')
	UNION SELECT c.relname || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 WHERE c.relnamespace = 'shop'::regnamespace});
sub missing { return join ' ', grep { !$object{$_} } @_; }
is(missing('shop.earn', 'earn', 'crm.tagset', 'customer.tags', 'tagset', 'shop.nothing'), 'tagset shop.nothing', 'names are told from what is none');

my @words = map { [ cells($_) ] } grep { !/^\| 中文/ } rows(slurp_file('doc/glossary.md'));
cmp_ok(scalar @words, '>=', 120, scalar(@words) . ' words');
is(missing(map { $_->[2] =~ /`([a-z_0-9.]+)`/g } @words), '', 'the glossary names what is there');
my %seen;
is(join(' ', grep { $seen{$_}++ } map { $_->[0] } @words), '', 'each word once');

# The map of the trade.
my $map = slurp_file('doc/coverage.md');
my %test = map { $_ => 1 } (map { /(\w+)\.sql$/ } glob('test/sql/*.sql')), (map { /(\d+)_\w+\.pl$/ } glob('test/t/*.pl'));
my %segment = map { $_ => 1 } split /\n/, sql('SELECT segment FROM shop.segment');
my (@lost, @unproved);
my @map = map { [ cells($_) ] } grep { !/^\| practice/ } rows($map);
cmp_ok(scalar @map, '>=', 60, scalar(@map) . ' practices');
for my $row (@map)
{
	my ($practice, $sql, $tests) = @$row;
	my @tests = $tests =~ /(\w+)/g;
	push @unproved, $practice if !@tests || grep { !$test{$_} } @tests;
	for my $code ($sql =~ /`([^`]+)`/g)
	{
		# What stands in quotes and parentheses is an example; operators and words in capitals are SQL.
		(my $names = $code) =~ s/'[^']*'|\([^()]*\)//g;
		push @lost, "$practice: $_" for grep { !$object{$_} && !$segment{$_} && !/^(tags|growth|group)$/ } $names =~ /\b([a-z][a-z_0-9.]*)/g;
	}
}
is(join("\n", @unproved), '', 'every practice has tests, and they are there');
is(join("\n", @lost), '', 'every object of the map is there');

# Every page is found from the index.
my $readme = slurp_file('README.md');
is(join(' ', grep { $_ !~ /zh\.md$/ && index($readme, "($_)") < 0 } sort glob('doc/*.md')), '', 'the README names every page');
my $chinese = slurp_file('doc/zh.md');
is(join(' ', grep { my ($name) = m{doc/(.*)}; $_ !~ /zh\.md$/ && index($chinese, "($name)") < 0 } sort glob('doc/*.md')), '', 'so does the Chinese one');

$node->stop;
done_testing();
