# 16 taggers for a minute.
use strict;
use warnings;

# Loaded before the test runs: they have work to do that is too late then.
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

$ENV{CRM_LONG} = 1;
do './test/t/211_tag_stress.pl' or die $@ || $!;
