# Every SQL example of the README and of doc/ runs, in the order of its page, and gives what the page says.
#
# A page works on a copy of the store that test/doc/prepare.sql makes, in one session of psql. In HTML comments a page says what else holds:
#   database: empty      (anywhere) the page begins in an empty database, with the extension unless it makes that itself
#   not run: REASON      (before a block) it cannot be run here
#   fails: SQLSTATE      (before a block) it ends in this error
# After a statement "-- → a | b" is its result, a line a row; a block marked text behind an example is all it prints.
use strict;
use warnings;

use Cwd qw(abs_path);
use IPC::Run qw(run);
use MIME::Base64;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# blocks(TEXT): the fenced blocks, each with language, line, text, what the comments before it say, and the text block behind it.
sub blocks
{
	my @lines = split /\n/, $_[0];
	my (@blocks, %says, $i);
	for ($i = 0; $i < @lines; $i++)
	{
		if ($lines[$i] =~ /^\s*<!-- (not run|fails): (.*?) -->\s*$/) { $says{$1} = $2; }
		elsif ($lines[$i] =~ /^(\s*)```(\w*)\s*$/)
		{
			my ($indent, $language, $start, $text) = ($1, $2, $i + 1, '');
			for ($i++; $i < @lines && $lines[$i] !~ /^\s*```\s*$/; $i++) { $text .= ($lines[$i] =~ s/^$indent//r) . "\n"; }
			if ($language eq 'text' && @blocks && !defined $blocks[-1]{prints} && $blocks[-1]{end} == $start - 2) { $blocks[-1]{prints} = $text; }
			else { push @blocks, { language => $language, line => $start, end => $i + 1, text => $text, %says }; }
			%says = ();
		}
		elsif ($lines[$i] =~ /\S/) { %says = (); }
	}
	return @blocks;
}

# script(BLOCK): its text with a mark behind each statement, and what the page says of the results: number of the statement => rows.
sub script
{
	my ($block) = @_;
	my ($out, $statement, %want) = ('', 0);
	my $rest = $block->{text};
	while ($rest =~ /\G( '(?:[^'\\]|\\.|'')*' | "[^"]*" | \$(\w*)\$.*?\$\2\$ | --[^\n]* | \/\*.*?\*\/ | \\[a-z][^\n]* | ;[ \t]*(?=\n|--) | . )/xsg)
	{
		my $token = $1;
		if ($token =~ /^-- → ?(.*?)\s*$/) { push @{ $want{$statement} }, $1; }
		elsif ($token =~ /^;/) { $statement++; $out .= ";\n\\echo @\@statement $statement\n"; }
		elsif ($token =~ /^\\(g|gset|gdesc|gx|crosstabview|watch)\b/) { $statement++; $out .= "$token\n\\echo @\@statement $statement\n"; }
		else { $out .= $token; }
	}
	return ($out, \%want);
}

# What the marks and comparisons are made of.
{
	my @b = blocks("<!-- fails: CP001 -->\n```sql\nSELECT ';' AS \"a;\"; -- → ;\n-- → x | y\n\\echo a\n```\n\n```text\nout\n```\n");
	is(scalar @b, 1, 'a text block belongs to the example before it');
	is_deeply([ @{ $b[0] }{qw(fails prints line)} ], [ 'CP001', "out\n", 2 ], 'comments before a block are about it');
	my ($script, $want) = script($b[0]);
	like($script, qr/^SELECT ';' AS "a;";\n\\echo \@\@statement 1\n/, 'quotes hide semicolons');
	is_deeply($want, { 1 => [ ';', 'x | y' ] }, 'results are read from comments');
}

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
my $outside = abs_path(PostgreSQL::Test::Utils::tempdir);
open my $ring, '>', "$outside/keyring" or die;
print $ring join('', map { "$_ " . encode_base64(join('', map { chr(int(rand(256))) } 1 .. 32), '') . "\n" } 'enc 1 active', 'index 1 active', 'pseudonym 1 active');
close $ring;
chmod 0600, "$outside/keyring";
$node->append_conf('postgresql.conf', "fsync = off\njit = off\ntimezone = 'UTC'\nwal_level = logical\nlog_min_messages = fatal\ncrm.keyring_file = '$outside/keyring'\n");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE prepared');
$node->safe_psql('prepared', slurp_file('test/doc/prepare.sql'));
# What pages load from files lies where psql runs.
my $here = "$outside/here";
mkdir $here;
for my $file (glob('test/data/*.csv test/doc/*.csv')) { my ($name) = $file =~ /([^\/]+)$/; open my $copy, '>', "$here/$name" or die; print $copy slurp_file($file); close $copy; }
link "$here/taobao_members.csv", "$here/members.csv" or die;

my ($examples, $left_out, $failing, $compared, $pages) = (0, 0, 0, 0, 0);
for my $file (grep { !$ENV{CRM_PAGES} || $_ =~ /$ENV{CRM_PAGES}/ } 'README.md', sort glob('doc/*.md'))
{
	my $text = slurp_file($file);
	my @blocks = grep { $_->{language} eq 'sql' } blocks($text);
	next if !@blocks;
	$pages++;
	my $database = lc($file =~ s/\W+/_/gr);
	my $empty = $text =~ /^<!-- database: empty -->$/m;
	$node->safe_psql('postgres', "CREATE DATABASE $database" . ($empty ? '' : ' TEMPLATE prepared STRATEGY file_copy'));
	$node->safe_psql($database, 'CREATE EXTENSION crm') if $empty && $text !~ /^CREATE EXTENSION/m;
	my $script = "\\set ON_ERROR_STOP off\n\\set VERBOSITY verbose\n\\set SHOW_CONTEXT never\n\\set QUIET on\n\\pset pager off\n\\pset fieldsep ' | '\nSET client_min_messages = warning;\n";
	my @run = grep { !defined $_->{'not run'} } @blocks;
	for my $i (0 .. $#run)
	{
		my ($body, $want) = script($run[$i]);
		$run[$i]{want} = $want;
		# Results are compared bare; what a page prints, as psql prints it.
		$script .= "\\echo @\@block $i\n\\warn @\@block $i\n";
		$script .= "\\t on\n\\pset format unaligned\n" if %$want;
		$script .= $body;
		$script .= "\n\\t off\n\\pset format aligned\n" if %$want;
	}
	my ($out, $err);
	run([ 'psql', '-X', '-d', $node->connstr($database) ], '<', \$script, '>', \$out, '2>', \$err, init => sub { chdir $here });
	my @out = split /^\@\@block \d+\n/m, $out, -1;
	my @err = split /^\@\@block \d+\n/m, $err, -1;
	for my $i (0 .. $#run)
	{
		my $block = $run[$i];
		my $name = "$file:$block->{line}";
		$examples++;
		my @errors = ($err[ $i + 1 ] // 'the session ended') =~ /^(.*(?:ERROR|FATAL|the session ended|^\\|error:|invalid).*)$/mg;
		if (defined $block->{fails})
		{
			$failing++;
			is(join(' ', map { /ERROR:  (\w{5}):/ ? $1 : $_ } @errors), $block->{fails}, "$name fails as told");
		}
		else { is(join("\n", @errors), '', "$name runs"); }
		my ($part, %got) = ($out[ $i + 1 ] // '');
		my $number = 1;
		my @pieces = split /^\@\@statement \d+\n/m, $part, -1;
		my %want = %{ $block->{want} };
		for my $n (sort { $a <=> $b } keys %want)
		{
			$compared++;
			is(($pieces[ $n - 1 ] // '') =~ s/\n+$//r, join("\n", @{ $want{$n} }), "$name gives what it says, statement $n");
		}
		if (defined $block->{prints})
		{
			$compared++;
			(my $printed = join('', @pieces)) =~ s/[ \t]+$//mg;
			(my $prints = $block->{prints}) =~ s/[ \t]+$//mg;
			s/\n+/\n/g, s/^\n|\n$//g for $printed, $prints;
			is($printed, $prints, "$name prints what it says");
		}
	}
	for my $block (grep { defined $_->{'not run'} } @blocks)
	{
		$left_out++;
		cmp_ok(length $block->{'not run'}, '>', 5, "$file:$block->{line} is not run, for a reason");
	}
	$node->safe_psql('postgres', "DROP DATABASE $database WITH (FORCE)") if !$ENV{CRM_PAGES};
}
diag("$examples examples of $pages pages run, $failing of them to fail as told; $compared results compared; $left_out not run");
cmp_ok($examples, '>', 60, 'the pages have their examples') if !$ENV{CRM_PAGES};

$node->stop;
done_testing();
