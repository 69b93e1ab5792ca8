# What a test of faults met, for the table of doc/operations.md that tools/test-faults.sh makes. Loaded by require.
use strict;
use warnings;

# met(hit, fault, cases, checked): how many times that fault met that work, and what was then found true.
sub met
{
    my ($hit, $fault, $cases, $checked) = @_;
    return unless $ENV{CRM_MET};
    my ($test) = $0 =~ /([^\/]+)\.pl$/;
    open my $file, '>>', $ENV{CRM_MET} or die "$ENV{CRM_MET}: $!";
    print $file join("\t", $hit, $fault, $cases, $test, $checked), "\n";
    close $file;
    return;
}

1;
