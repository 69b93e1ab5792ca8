# Eight writers and a reader that crashes: each change arrives once. A publication gives the same by logical decoding.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', "fsync = off\nwal_level = logical\nautovacuum_naptime = 1s\n");
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION crm; SELECT crm.create_store('shop'); SELECT shop.watch_changes('{customer}')});

my $seed = $ENV{CRM_SEED} || int(rand(1000000));
my $out;
my $ok = IPC::Run::run([ '/usr/bin/python3', 'test/py/change_feed.py', $node->connstr('postgres') . ' user=' . (getpwuid($<))[0], 6, $seed ], '>', \$out, '2>&1');
diag($out) unless $ok && $out =~ /lost 0 doubled 0 foreign 0 ordered True busy True/;
note($out);
like($out, qr/lost 0 doubled 0 foreign 0 ordered True busy True/, "seed $seed: each change once, in order");
is($node->safe_psql('postgres', 'SELECT count(*) FROM shop.change_event'), $node->safe_psql('postgres', 'SELECT count(*) FROM shop.customer'), 'an event a customer');

# By logical decoding: the publication of the feed carries ids alone.
$node->safe_psql('postgres', q{CREATE PUBLICATION shop_changes FOR TABLE shop.change_event WITH (publish = 'insert')});
$node->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('feed', 'pgoutput')});
$node->safe_psql('postgres', q{UPDATE shop.customer SET region = 'x' WHERE customer_id = (SELECT min(customer_id) FROM shop.customer)});
my $n = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_logical_slot_get_binary_changes('feed', NULL, NULL, 'proto_version', '1', 'publication_names', 'shop_changes') WHERE substr(data, 1, 1) = 'I'});
is($n, 1, 'the publication sends the event, and not the row');

$node->stop;
done_testing();
