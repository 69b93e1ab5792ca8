# The simulation of the ledger with a million operations.
use strict;
use warnings;

# These set themselves up before a program runs: a file that do loads comes too late.
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

$ENV{CRM_OPERATIONS} ||= 1_000_000;
$ENV{CRM_CUSTOMERS} ||= 3000;
do './test/t/302_points_simulation.pl' or die $@ || $!;
