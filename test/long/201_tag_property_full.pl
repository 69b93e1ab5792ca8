# The property test of tag sets with 100,000 cases.
use strict;
use warnings;

# Loaded before the test runs: they have work to do that is too late then.
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

$ENV{CRM_TAG_CASES} = 100000;
my $done = do './test/t/200_tag_property.pl';
die $@ || $! unless defined $done;
