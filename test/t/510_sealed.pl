# Sealed values: what is refused, where keys may lie, rotation under load, and destroying a person's key.
use strict;
use warnings;

use Cwd qw(abs_path);
use MIME::Base64;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
my $outside = abs_path(PostgreSQL::Test::Utils::tempdir);
my $keyring = "$outside/keyring";
my $folder = "$outside/people";
mkdir $folder, 0700;
my %key = map { $_ => encode_base64(join('', map { chr(int(rand(256))) } 1 .. 32), '') } qw(enc1 enc2 enc3 index1 index2 pseudonym1);

sub write_file
{
	my ($path, $text, $mode) = @_;
	open my $file, '>', "$path.new" or die;
	print $file $text;
	close $file;
	chmod $mode // 0600, "$path.new";
	rename "$path.new", $path or die;
	# Statements that began before would not look again.
	return;
}

sub ring
{
	return join '', map { my ($name, $status) = split /:/; my ($purpose, $id) = $name =~ /^([a-z]+)(\d+)$/; "$purpose $id $status $key{$name}\n" } @_;
}

# sql(QUERY): result, or the message of the error
sub sql
{
	my ($query, %options) = @_;
	my ($rc, $out, $err) = $node->psql($options{db} // 'postgres', "\\set VERBOSITY verbose\n$query", extra_params => [ $options{role} ? ('-U', $options{role}) : () ]);
	$err =~ s/^psql:<stdin>:\d+: //mg;
	return $rc == 0 && $err !~ /ERROR/ ? $out : $err;
}

write_file($keyring, "# the first ring\n" . ring('enc1:active', 'index1:active', 'pseudonym1:active'));
$node->append_conf('postgresql.conf', "crm.keyring_file = '$keyring'\nlog_statement = none\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION crm; CREATE ROLE reader LOGIN; CREATE ROLE writer LOGIN SUPERUSER');

# Round trip, and what the text form tells.
is(sql(q{SELECT crm.unseal(crm.seal('13812341234', 'contact.phone', '42'), 'contact.phone', '42')}), '13812341234', 'what is sealed opens again');
is(sql(q{SELECT crm.unseal(crm.seal('', 'l')) || '|' || crm.unseal(crm.seal('张三', 'l')) || '|' || length(crm.unseal(crm.seal(repeat('x', 1000000), 'l')))}), '|张三|1000000', 'empty, Chinese and long texts');
is(sql(q{SELECT crm.seal('a', 'l')::text = crm.seal('a', 'l')::text}), 'f', 'no two seals are alike');
is(sql(q{SELECT crm.unseal(crm.seal('a', 'l')::text::crm.sealed)}), 'a', 'text form round trip');
my $sealed = sql(q{SELECT crm.seal('13812341234', 'contact.phone', '42')});
unlike(decode_base64($sealed), qr/13812341234/, 'the clear text is not in it');
$node->safe_psql('postgres', qq{CREATE TABLE t (id int, v crm.sealed); INSERT INTO t VALUES (42, '$sealed'), (43, crm.seal('13900000000', 'contact.phone', '43')), (44, NULL); ANALYZE t});
is(sql(q{COPY t TO '} . "$outside/t.bin" . q{' (FORMAT binary); CREATE TABLE u (LIKE t); COPY u FROM '} . "$outside/t.bin" . q{' (FORMAT binary); SELECT crm.unseal(v) FROM u WHERE id = 42}), '13812341234', 'binary round trip');
is(sql(q{SELECT count(*) FROM pg_stats WHERE tablename = 't' AND attname = 'v' AND (most_common_vals IS NOT NULL OR histogram_bounds IS NOT NULL)}), '0', 'no statistics of values');
unlike(sql(q{EXPLAIN (ANALYZE, VERBOSE) SELECT crm.unseal(v) FROM t WHERE crm.unseal(v) = crm.unseal('} . $sealed . q{'::crm.sealed)}), qr/13812341234/, 'EXPLAIN shows no clear text');
like(sql(q{SELECT '13812341234'::crm.sealed}), qr/ERROR:  22P02: invalid input syntax for type crm.sealed/, 'plain text is no sealed value');
unlike(sql(q{SELECT '13812341234'::crm.sealed}), qr/ERROR.*13812341234/, 'and is not repeated in the message');
like(sql(qq{SELECT '$sealed'::crm.sealed = '$sealed'::crm.sealed}), qr/ERROR:  42883/, 'there is no operator');

is(sql(q{CREATE TABLE plain (id int, phone text); INSERT INTO plain VALUES (1, '13812341234'); ALTER TABLE plain ALTER phone TYPE crm.sealed USING crm.seal(phone, 'plain.phone', id::text);
	SELECT crm.unseal(phone, 'plain.phone', '1') FROM plain}), '13812341234', 'a column is sealed in place');

# Changed values: every byte and every length.
my $bytes = decode_base64($sealed);
my ($opened, $leaked) = (0, 0);
my @broken;
for my $i (0 .. length($bytes) - 1)
{
	for my $bit (0 .. 7)
	{
		my $flipped = $bytes;
		substr($flipped, $i, 1) = chr(ord(substr($bytes, $i, 1)) ^ (1 << $bit));
		push @broken, encode_base64($flipped, '');
	}
	push @broken, encode_base64(substr($bytes, 0, $i), '') if $i;
}
push @broken, encode_base64("$bytes\0", '');
my $script = join '', map { "SELECT crm.unseal('$_'::crm.sealed);\n" } @broken;
my ($rc, $out, $err) = $node->psql('postgres', $script, on_error_stop => 0);
is($out, '', 'no value with a flipped bit, and no truncated one, opens');
my $refused = () = $err =~ /ERROR: /g;
is($refused, scalar(@broken), 'each is refused');
unlike($err, qr/13812341234/, 'and no message tells the text');
$script = join '', map { "SELECT crm.mask_phone('$_'::crm.sealed);\n" } @broken;
($rc, $out, $err) = $node->psql('postgres', $script, on_error_stop => 0);
is(join('', grep { $_ ne '****' } split /\n/, $out), '', 'masks of them show nothing');

# Swapped values.
like(sql(q{SELECT crm.unseal(v, 'contact.phone', id::text) FROM (SELECT a.id, b.v FROM t a, t b WHERE a.id = 42 AND b.id = 43) s}), qr/CV102: sealed value belongs to another column or row/, 'a value moved to another row is found out');
like(sql(qq{SELECT crm.unseal('$sealed', 'contact.email')}), qr/CV102/, 'and to another column');
is(sql(q{SELECT crm.mask_phone(crm.sealed_for(b.v, 'contact.phone', a.id::text)) IS NULL FROM t a, t b WHERE a.id = 42 AND b.id = 43}), 't', 'sealed_for shows no moved value');
is(sql(q{SELECT crm.mask_phone(crm.sealed_for(v, 'contact.phone', id::text)) FROM t WHERE id = 42}), '138****1234', 'and shows what is in its place');

# Masks and who may do what.
is(sql(q{SELECT crm.mask_phone(v), crm.mask_partial(v, 1, 1), crm.mask_all(v), crm.mask_name(crm.seal('欧阳锋', 'n')), crm.mask_email(crm.seal('wang@x.cn', 'e')) FROM t WHERE id = 42}), '138****1234|1*********4|****|欧阳*|wa****@x.cn', 'masks open the value inside');
sql(q{GRANT SELECT ON t TO reader});
is(sql(q{SELECT crm.mask_phone(v) FROM t WHERE id = 42}, role => 'reader'), '138****1234', 'a reader sees the mask');
for my $call (q{unseal(v)}, q{unseal(v, 'contact.phone')}, q{unseal(v, 'contact.phone', '42')}, q{reseal(v)}, q{blind_index('a', 'b')}, q{blind_indexes('a', 'b')}, q{mask_hash('a')}, q{keyring_keys()}, q{shred_key('42')}, q{has_key('42')})
{
	like(sql("SELECT crm.$call FROM t", role => 'reader'), qr/42501: permission denied for function/, "a reader may not call $call");
}
like(sql(q{SELECT crm.library_version(); SHOW crm.keyring_file}, role => 'reader'), qr/ERROR:  42501/, 'nor see where the keys are');
like(sql(q{SET crm.keyring_file = '/tmp/mine'; SELECT crm.library_version(); SHOW crm.keyring_file}, role => 'writer'), qr/cannot be changed|\Q$keyring\E/, 'nobody sets the keyring in a session');
like(sql(q{SET crm.keyring_file = '/tmp/mine'; SELECT crm.mask_phone('} . $sealed . q{'::crm.sealed)}, role => 'reader'), qr/^138\*\*\*\*1234$/, 'what was set before the library was loaded is dropped');
like(sql(q{SELECT crm.library_version(); ALTER DATABASE postgres SET crm.keyring_file = '/tmp/mine'}), qr/cannot be changed/, 'nor for a database');
is(sql(q{SELECT string_agg(purpose || id || active, ' ' ORDER BY purpose) FROM crm.keyring_keys()}), 'enc1true index1true pseudonym1true', 'the ring is listed without keys');

# Blind index and pseudonym.
my $blind = sql(q{SELECT crm.blind_index('+8613812341234', 'contact.phone')});
like($blind, qr/^\\x[0-9a-f]{32}$/, 'blind index of 16 bytes');
is(sql(q{SELECT crm.blind_index('+8613812341234', 'contact.phone')}), $blind, 'is the same each time');
isnt(sql(q{SELECT crm.blind_index('+8613812341234', 'contact.other')}), $blind, 'another label, another index');
like(sql(q{SELECT crm.mask_hash('13812341234')}), qr/^[0-9a-f]{32}$/, 'pseudonym');
isnt(sql(q{SELECT crm.mask_hash('13812341234', 'contact.phone')}), substr($blind, 2), 'purposes are apart');

# The keyring's own rules.
my $good = ring('enc1:active', 'index1:active', 'pseudonym1:active');
sub refused
{
	my ($text, $like, $name, $mode) = @_;
	write_file($keyring, $text, $mode);
	my $message = sql(q{SELECT crm.unseal(v) FROM t WHERE id = 42});
	like($message, $like, $name);
	unlike($message, qr/\Q$key{enc1}\E/, 'and tells no key');
}
refused($good, qr/CV101: the keyring can be read by others/, 'a keyring readable by others is refused', $_) for 0604, 0640, 0644, 0660;
refused('', qr/CV101.*holds no key/s, 'an empty keyring');
refused("$good\nenc 9 active", qr/CV101.*Line 5 is wrong/s, 'a line too short');
refused($good . "enc 1 old $key{enc2}\n", qr/Line 4 is wrong/, 'a number twice');
refused($good . "enc 2 active $key{enc2}\n", qr/Line 4 is wrong/, 'two active keys');
refused($good . "enc 2 old $key{index1}\n", qr/Line 4 is wrong/, 'one key for two things');
refused($good . "enc 0 old $key{enc2}\n", qr/Line 4 is wrong/, 'number 0');
refused($good . "what 2 old $key{enc2}\n", qr/Line 4 is wrong/, 'an unknown purpose');
refused($good . "enc 2 old c2hvcnQ=\n", qr/Line 4 is wrong/, 'a short key');
write_file($keyring, "enc 1 active $key{enc2}\n");
like(sql(q{SELECT crm.unseal(v) FROM t WHERE id = 42}), qr/CV102: sealed value cannot be opened/, 'a wrong key under the right number');
is(sql(q{SELECT crm.mask_phone(v) FROM t WHERE id = 42}), '****', 'its mask shows nothing');
write_file($keyring, "enc 2 active $key{enc2}\n");
like(sql(q{SELECT crm.unseal(v) FROM t WHERE id = 42}), qr/CV103: the keyring has no key enc 1/, 'a key that is gone');
like(sql(q{SELECT crm.blind_index('a', 'b')}), qr/CV101: the keyring has no active key for the purpose "index"/, 'no key for a purpose');
unlink $keyring;
like(sql(q{SELECT crm.unseal(v) FROM t WHERE id = 42}), qr/CV101: could not open what crm.keyring_file names/, 'no file');
write_file($keyring, $good);
is(sql(q{SELECT crm.unseal(v) FROM t WHERE id = 42}), '13812341234', 'and all is well again');

# Rotation under load: two writers while the column is resealed.
write_file($keyring, ring('enc1:old', 'enc2:active', 'index1:old', 'index2:active', 'pseudonym1:active'));
is(sql(qq{SELECT '$blind' = ANY(crm.blind_indexes('+8613812341234', 'contact.phone')) AND crm.blind_index('+8613812341234', 'contact.phone') <> '$blind'}), 't', 'old blind indexes are still found');
write_file($keyring, ring('enc1:active', 'index1:active', 'pseudonym1:active'));
$node->safe_psql('postgres', q{CREATE TABLE r (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, v crm.sealed) WITH (fillfactor = 80);
	INSERT INTO r SELECT i, 0, crm.seal('value ' || i, 'r.v', i::text) FROM generate_series(1, 5000) i});
write_file($keyring, ring('enc1:old', 'enc2:active', 'index1:active', 'pseudonym1:active'));
write_file("$outside/load.sql", q{\set id random(1, 5000)
UPDATE r SET n = n + 1 WHERE id = :id;
\set id random(1, 5000)
UPDATE r SET n = n + 1, v = crm.seal('value ' || id, 'r.v', id::text) WHERE id = :id;
}, 0644);
my $load = IPC::Run::start([ 'pgbench', '-n', '-c', '2', '-T', '4', '-h', $node->host, '-p', $node->port, '-f', "$outside/load.sql", 'postgres' ], '>', \my $load_out, '2>', \my $load_err);
my $count = sql(q{CALL crm.reseal_column('r', 'v', 300)});
IPC::Run::finish($load);
like($load_out, qr/number of failed transactions: 0/, 'no writer failed');
cmp_ok($count, '>', 4000, "rows were resealed ($count)");
is(sql(q{SELECT count(*), count(*) FILTER (WHERE crm.sealed_key(v) = 2) FROM r}), '5000|5000', 'all are under the new key');
write_file($keyring, ring('enc2:active', 'index1:active', 'pseudonym1:active'));
is(sql(q{SELECT count(*) FROM r WHERE crm.unseal(v, 'r.v', id::text) = 'value ' || id}), '5000', 'nothing was lost, without the old key');
is(sql(q{CALL crm.reseal_column('r', 'v')}), '0', 'a second run has nothing to do');
$node->safe_psql('postgres', q{CREATE TABLE p (id int, v crm.sealed) PARTITION BY HASH (id); CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (modulus 2, remainder 0);
	CREATE TABLE p1 PARTITION OF p FOR VALUES WITH (modulus 2, remainder 1); INSERT INTO p SELECT i, crm.seal('x', 'p.v') FROM generate_series(1, 10) i});
write_file($keyring, ring('enc2:old', 'enc3:active', 'index1:active', 'pseudonym1:active'));
is(sql(q{CALL crm.reseal_column('p', 'v')}), '10', 'partitions');

# The keyring by a command.
write_file($keyring, ring('enc1:active', 'index1:active', 'pseudonym1:active'));
$node->append_conf('postgresql.conf', "crm.keyring_command = 'cat $keyring'\n");
$node->reload;
sleep 1;
like(sql(q{SELECT crm.unseal(v) FROM t WHERE id = 42}), qr/CV101: both/, 'file and command at once are refused');
$node->append_conf('postgresql.conf', "crm.keyring_file = ''\n");
$node->reload;
sleep 1;
is(sql(q{SELECT crm.unseal(v) FROM t WHERE id = 42}), '13812341234', 'a command prints the keyring');
$node->append_conf('postgresql.conf', "crm.keyring_command = 'exit 3'\n");
$node->reload;
sleep 1;
like(sql(q{SELECT crm.unseal(v) FROM t WHERE id = 42}), qr/CV101: crm.keyring_command failed.*status was 3/s, 'a command that fails');
$node->append_conf('postgresql.conf', "crm.keyring_command = ''\n");
$node->reload;
sleep 1;
like(sql(q{SELECT crm.unseal(v) FROM t WHERE id = 42}), qr/CV101: no keyring is configured/, 'no keyring');
my $inside = abs_path($node->data_dir) . '/keyring';
write_file($inside, ring('enc1:active'));
$node->append_conf('postgresql.conf', "crm.keyring_file = '$inside'\n");
$node->reload;
sleep 1;
like(sql(q{SELECT crm.unseal(v) FROM t WHERE id = 42}), qr/CV101: crm.keyring_file lies inside the data directory/, 'a keyring in the data directory is refused');
unlink $inside;

# Data keys of persons.
$node->append_conf('postgresql.conf', "crm.keyring_file = '$keyring'\n");
$node->reload;
sleep 1;
is(sql(q{SELECT crm.erasure_reach()}), 'database', 'without a key folder an erasure stays in the database');
like(sql(q{SELECT crm.seal('x', 'l', 'shop/1', true)}), qr/CV104: no key folder/, 'no folder, no personal key');
$node->append_conf('postgresql.conf', "crm.key_folder = '$folder'\n");
$node->reload;
sleep 1;
is(sql(q{SELECT crm.erasure_reach()}), 'backups', 'with one it reaches backups');
chmod 0750, $folder;
like(sql(q{SELECT crm.seal('x', 'l', 'shop/1', true)}), qr/CV104: the key folder can be read by others/, 'a folder that others read is refused');
chmod 0700, $folder;
like(sql(q{SELECT crm.seal('x', 'l', '', true)}), qr/22023/, 'a personal value needs a person');
$node->safe_psql('postgres', q{CREATE TABLE c (id int, v crm.sealed); INSERT INTO c SELECT i, crm.seal('name ' || i, 'c.v', 'shop/' || i, true) FROM generate_series(1, 3) i});
is(sql(q{SELECT crm.unseal(v, 'c.v', 'shop/' || id) FROM c WHERE id = 1}), 'name 1', 'a personal value opens');
is(sql(q{SELECT crm.has_key('shop/1'), crm.has_key('shop/9')}), 't|f', 'has_key');
is(sql(q{SELECT crm.reseal(v)::text = v::text FROM c WHERE id = 1}), 't', 'reseal leaves what is under the active key');
# A backup from before the erasure: the table as it is now.
$node->safe_psql('postgres', q{CREATE TABLE backup AS TABLE c});
is(sql(q{BEGIN; SELECT crm.shred_key('shop/1'); ROLLBACK; SELECT crm.unseal(v) FROM c WHERE id = 1}), "t\nname 1", 'a shredding rolled back destroys nothing');
is(sql(q{BEGIN; SAVEPOINT s; SELECT crm.shred_key('shop/1'); ROLLBACK TO s; COMMIT; SELECT crm.unseal(v) FROM c WHERE id = 1}), "t\nname 1", 'nor one rolled back to a savepoint');
is(sql(q{BEGIN; SAVEPOINT s; SELECT crm.shred_key('shop/2'); RELEASE s; SELECT crm.shred_key('shop/1'); COMMIT; SELECT crm.has_key('shop/1'), crm.has_key('shop/2'), crm.has_key('shop/3')}), "t\nt\nf|f|t", 'a commit destroys both');
like(sql(q{SELECT crm.unseal(v) FROM backup WHERE id = 1}), qr/CV102: sealed value cannot be opened/, 'the value in the backup is dead too');
is(sql(q{SELECT string_agg(crm.mask_name(v), ' ' ORDER BY id) FROM backup}), '**** **** ****', 'masks of names with digits, dead or not, show nothing');
is(sql(q{SELECT crm.unseal(v) FROM backup WHERE id = 3}), 'name 3', 'others are untouched');
like(sql(q{SELECT crm.seal('x', 'l', 'shop/1', true)}), qr/CV104: the data key of this person was destroyed/, 'and nobody makes the key anew');
is(sql(q{SELECT crm.shred_key('shop/1')}), 'f', 'shredding again is harmless');

# The log and the catalog hold no key.
my $log = slurp_file($node->logfile);
my $dump = join '', map { sql(qq{SELECT string_agg(x::text, '') FROM $_ x}) } qw(pg_settings pg_db_role_setting pg_proc);
for my $name (keys %key)
{
	ok(index($log, $key{$name}) < 0 && index($dump, $key{$name}) < 0, "key $name is nowhere in log and catalog");
}
$node->stop;
done_testing();
