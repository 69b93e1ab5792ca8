# The model test of crm.audience, sixty times as long: over 100,000 cases.
use strict;
use warnings;

# Loaded before the test runs: they have work to do that is too late then.
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

$ENV{CRM_LONG} = 1;
do './test/t/210_audience.pl' or die $@ || $!;
