# The bank for minutes instead of seconds.
use strict;
use warnings;

$ENV{CRM_BANK_SECONDS} ||= 120;
do './test/t/303_points_bank.pl' or die $@ || $!;
