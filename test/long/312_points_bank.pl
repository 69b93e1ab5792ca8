# The bank for minutes instead of seconds.
use strict;
use warnings;

# These set themselves up before a program runs: a file that do loads comes too late.
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

$ENV{CRM_BANK_SECONDS} ||= 120;
do './test/t/303_points_bank.pl' or die $@ || $!;
