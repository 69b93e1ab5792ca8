# The full minute of 16 writers.
use strict;
use warnings;

$ENV{CRM_WRITER_SECONDS} = 60;
require './test/t/100_order_writers.pl';
