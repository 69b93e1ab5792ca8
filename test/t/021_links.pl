# Every link of the README and of doc/ leads somewhere, anchors too; help() at the prompt names what is there.
use strict;
use warnings;

use Encode qw(decode);
use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

sub page { my $text = decode('UTF-8', slurp_file($_[0])); return $text; }

# Code blocks hold no links and no headings.
sub prose
{
    my $text = page($_[0]);
    $text =~ s/^```.*?^```//msg;
    $text =~ s/^    .*$//mg;
    $text =~ s/`[^`\n]*`/code/g;
    return $text;
}

# The anchor of a heading, as it is made on the web: lower case, punctuation gone, hyphens for spaces.
sub anchors
{
    my $text = page($_[0]);
    $text =~ s/^```.*?^```//msg;
    my (%seen, %names);
    for my $heading ($text =~ /^#+\s+(.*?)\s*$/mg)
    {
        my $name = lc $heading;
        $name =~ s/\[([^\]]*)\]\([^)]*\)/$1/g;
        $name =~ s/[^\w\- ]//g;
        $name =~ s/ /-/g;
        my $n = $seen{$name}++;
        $names{ $n ? "$name-$n" : $name } = 1;
    }
    return \%names;
}

my $links = 0;
my @broken;
for my $file ('README.md', sort glob('doc/*.md doc/reference/*.md'))
{
    my $text = prose($file);
    while ($text =~ /\[[^\]]*\]\(([^)\s]+)(?:\s+"[^"]*")?\)/g)
    {
        my $link = $1;
        next if $link =~ /^(?:https?|mailto):/;
        $links++;
        my ($target, $anchor) = $link =~ /^([^#]*)(?:#(.*))?$/;
        my $path = $target eq '' ? $file : dirname($file) . "/$target";
        if (!-e $path) { push @broken, "$file: $link"; }
        elsif (defined $anchor && $path =~ /\.md$/ && !anchors($path)->{$anchor}) { push @broken, "$file: $link (no such heading)"; }
    }
}
cmp_ok($links, '>', 20, "$links links");
is(join("\n", @broken), '', 'every link leads somewhere');

# What the check is made of.
is_deeply([ sort keys %{ anchors('doc/exchange.md') } ]->[0], 'a-whole-store', 'headings become anchors');

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', "fsync = off\n");
$node->start;
# Every verb that help() names is there, and each example is a call that the parser takes.
$node->safe_psql('postgres', q{CREATE EXTENSION crm; SELECT crm.create_store('shop')});
is($node->safe_psql('postgres', q{
    SELECT t.topic, v FROM crm.help_topics() t, unnest(t.verbs) v
    WHERE NOT EXISTS (SELECT FROM crm.help(t.topic) h WHERE h.name = v AND h.what <> '')}), '', 'help() names what is there');
my @examples = split /\n/, $node->safe_psql('postgres', q{SELECT DISTINCT h.example FROM crm.help_topics() t, crm.help(t.topic) h WHERE h.example LIKE 'SELECT%'});
cmp_ok(scalar @examples, '>', 100, scalar(@examples) . ' examples');
my @wrong;
for my $example (@examples)
{
    $example =~ s/;$//;
    $example =~ s/'…'::regclass/'shop.customer'::regclass/g;
    my ($rc, $out, $err) = $node->psql('postgres', "PREPARE e AS $example");
    push @wrong, "$example: $err" if $rc != 0 || $err ne '';
}
is(join("\n", @wrong), '', 'every example is a call that the parser takes');
is($node->safe_psql('postgres', q{SELECT count(*) > 15 FROM crm.help()}), 't', 'no argument lists the topics');
my ($rc, $out, $err) = $node->psql('postgres', q{SELECT * FROM crm.help('nonsense')});
like($err, qr/there is no topic or verb "nonsense"/, 'what is not there is said');

$node->stop;
done_testing();
