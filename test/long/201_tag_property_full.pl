# The property test of tag sets with 100,000 cases.
use strict;
use warnings;

$ENV{CRM_TAG_CASES} = 100000;
my $done = do './test/t/200_tag_property.pl';
die $@ || $! unless defined $done;
