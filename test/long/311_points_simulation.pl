# The simulation of the ledger with a million operations.
use strict;
use warnings;

$ENV{CRM_OPERATIONS} ||= 1_000_000;
$ENV{CRM_CUSTOMERS} ||= 3000;
do './test/t/302_points_simulation.pl' or die $@ || $!;
