# The pages of doc/reference are what the catalogs say today, and everything public has a comment.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', "fsync = off\n");
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION crm; SELECT crm.create_store('shop')});

# pages(): name => text, as tools/reference.sql prints them; and what it complained of.
sub pages
{
	my ($out, $err) = run_command([ 'psql', '-X', '-d', $node->connstr('postgres'), '-f', 'tools/reference.sql' ]);
	my %pages;
	my $page;
	for my $line (split /\n/, $out)
	{
		if ($line =~ /^@@ (.*)/) { $page = $1; $pages{$page} = ''; }
		else { $pages{$page} .= "$line\n"; }
	}
	return (\%pages, $err);
}

my ($pages, $err) = pages();
is($err, '', 'every public object has a comment and a page');
my %there = map { /([^\/]+)$/ => slurp_file($_) } glob('doc/reference/*.md');
is_deeply([ sort keys %there ], [ sort keys %$pages ], 'the same pages');
for my $page (sort keys %$pages)
{
	my @want = split /\n/, $pages->{$page};
	my @have = split /\n/, $there{$page} // '';
	my ($n) = grep { ($want[$_] // '') ne ($have[$_] // '') } 0 .. ($#want > $#have ? $#want : $#have);
	is(defined $n ? sprintf("line %d\nthere: %s\nnow:   %s\n(make reference)", $n + 1, $have[$n] // '', $want[$n] // '') : '', '', "doc/reference/$page is up to date");
}

# A check that cannot fail would be none.
$node->safe_psql('postgres', q{CREATE FUNCTION shop.undocumented() RETURNS int LANGUAGE sql RETURN 1});
($pages, $err) = pages();
like($err, qr/function undocumented\(\) \(no file found\)/, 'a function without comment is noticed');
$node->safe_psql('postgres', q{DROP FUNCTION shop.undocumented(); COMMENT ON FUNCTION shop.earn IS 'something else'});
($pages) = pages();
isnt($pages->{'points.md'}, $there{'points.md'}, 'so is a comment that changed');

$node->stop;
done_testing();
