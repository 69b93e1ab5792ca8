# The full minute of 16 writers.
use strict;
use warnings;

# Loaded here already: at run time it would be too late for their INIT blocks.
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

$ENV{CRM_WRITER_SECONDS} = 60;
require './test/t/100_order_writers.pl';
