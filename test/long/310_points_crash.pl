# The crash test of the ledger with more rounds.
use strict;
use warnings;

# These set themselves up before a program runs: a file that do loads comes too late.
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

$ENV{CRM_CRASH_ROUNDS} ||= 20;
do './test/t/300_points_crash.pl' or die $@ || $!;
