# The crash test of the ledger with more rounds.
use strict;
use warnings;

$ENV{CRM_CRASH_ROUNDS} ||= 20;
do './test/t/300_points_crash.pl' or die $@ || $!;
