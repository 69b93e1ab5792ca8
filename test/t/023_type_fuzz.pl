# Every type that has a message form is given damaged text and damaged messages: the server stays up, raises no internal error, and what
# it accepts it can write and read again. CRM_LONG=1 does it for five minutes; SANITIZE=1 tools/test.sh with undefined behaviour caught.
use strict;
use warnings;

use Cwd qw(abs_path);
use MIME::Base64;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
my $keyring = abs_path(PostgreSQL::Test::Utils::tempdir) . '/keyring';
open my $file, '>', $keyring or die;
print $file 'enc 1 active ' . encode_base64(join('', map { chr(int(rand(256))) } 1 .. 32), '') . "\n";
close $file;
chmod 0600, $keyring;
$node->append_conf('postgresql.conf', "fsync = off\njit = off\nlog_statement = none\nlog_min_error_statement = panic\nlog_min_messages = fatal\ncrm.keyring_file = '$keyring'\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION crm');
my $seed = $ENV{CRM_SEED} // int(rand(1_000_000));
note("CRM_SEED=$seed");
my ($out, $err);
my $good = IPC::Run::run([ '/usr/bin/python3', 'test/py/type_fuzz.py', $node->connstr('postgres'), $seed, $ENV{CRM_LONG} ? 300 : 9 ], '>', \$out, '2>', \$err);
note($out);
diag($out, $err) if !$good;
ok($good, "damaged values of every type (seed $seed)");
my @types = split /\n/, $node->safe_psql('postgres', q{SELECT t.typname FROM pg_type t WHERE t.typnamespace = 'crm'::regnamespace AND t.typtype = 'b' AND t.typelem = 0 AND t.typreceive <> 0 ORDER BY 1});
is(join(' ', grep { $out !~ /^$_: [1-9]\d* texts, [1-9]\d* messages, [1-9]/m } @types), '', 'each was tried, and something of it accepted');
unlike(slurp_file($node->logfile), qr/terminated by signal|TRAP/, 'the server stayed up');
$node->stop;
done_testing();
