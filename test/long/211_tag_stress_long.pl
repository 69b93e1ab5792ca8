# 16 taggers for a minute.
use strict;
use warnings;

$ENV{CRM_LONG} = 1;
do './test/t/211_tag_stress.pl' or die $@ || $!;
