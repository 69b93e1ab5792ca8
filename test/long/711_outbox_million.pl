# A million messages, eight workers, one killed every second.
use strict;
use warnings;

$ENV{CRM_OUTBOX_ROWS} ||= 1000000;
do './test/t/711_outbox_worker.pl' or die($@ || $!);
