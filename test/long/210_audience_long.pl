# The model test of crm.audience, sixty times as long: over 100,000 cases.
use strict;
use warnings;

$ENV{CRM_LONG} = 1;
do './test/t/210_audience.pl' or die $@ || $!;
