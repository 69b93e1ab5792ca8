# A million messages, eight workers, one killed every second.
use strict;
use warnings;

# Loaded here, since what a file loads at run time is too late for their INIT blocks.
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

$ENV{CRM_OUTBOX_ROWS} ||= 1000000;
do './test/t/711_outbox_worker.pl' or die($@ || $!);
