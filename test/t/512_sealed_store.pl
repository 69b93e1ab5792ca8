# A store whose contact is sealed: written, found, masked, revealed, exported, dumped, restored and erased, and what happens without keys.
use strict;
use warnings;

use Cwd qw(abs_path);
use MIME::Base64;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
my $outside = abs_path(PostgreSQL::Test::Utils::tempdir);
my $keyring = "$outside/keyring";
mkdir "$outside/people", 0700;
my %key = map { $_ => encode_base64(join('', map { chr(int(rand(256))) } 1 .. 32), '') } qw(enc1 enc2 index1 index2 pseudonym1);

sub ring
{
	open my $file, '>', "$keyring.new" or die;
	for (@_) { my ($name, $status) = split /:/; my ($purpose, $id) = $name =~ /^([a-z]+)(\d+)$/; print $file "$purpose $id $status $key{$name}\n"; }
	close $file;
	chmod 0600, "$keyring.new";
	rename "$keyring.new", $keyring or die;
	return;
}

# sql(QUERY): result, or the message of the error
sub sql
{
	my ($query, %options) = @_;
	my ($rc, $out, $err) = $node->psql($options{db} // 'postgres', "\\set VERBOSITY verbose\nSET client_min_messages = error;\n$query", extra_params => [ $options{role} ? ('-U', $options{role}) : () ]);
	$err =~ s/^psql:<stdin>:\d+: //mg;
	return $rc == 0 && $err !~ /ERROR/ ? $out : $err;
}

$node->append_conf('postgresql.conf', "log_statement = none\nlog_parameter_max_length = 0\nlog_min_error_statement = panic\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION crm; CREATE ROLE t_owner LOGIN; CREATE ROLE t_agent LOGIN; CREATE ROLE t_app LOGIN; GRANT CREATE ON DATABASE postgres TO t_owner');

# What a sealed store takes.
like(sql(q{SELECT crm.create_store('shop', sealed => true)}), qr/CV101: no keyring is configured/, 'without a keyring no sealed store is made');
ring('enc1:active', 'pseudonym1:active');
$node->append_conf('postgresql.conf', "crm.keyring_file = '$keyring'\n");
$node->reload;
sleep 1;
like(sql(q{SELECT crm.create_store('shop', sealed => true)}), qr/CV101: the keyring has no active key for the purpose "index"/, 'nor without a key for look-ups');
ring('enc1:active', 'index1:active', 'pseudonym1:active');
sleep 1;
like(sql(q{SELECT crm.create_store('shop', sealed => true)}, role => 't_owner'), qr/42501: the owner of a sealed store must be able to open what it keeps.*HINT:  GRANT EXECUTE ON FUNCTION/s, 'nor by who may not unseal');
is(sql(q{SELECT count(*) FROM crm.store}), '0', 'nothing is left of the tries');
$node->safe_psql('postgres', q{GRANT EXECUTE ON FUNCTION crm.unseal(crm.sealed), crm.unseal(crm.sealed,text), crm.unseal(crm.sealed,text,text), crm.clear(crm.sealed), crm.reseal(crm.sealed), crm.blind_index(text,text),
	crm.blind_indexes(text,text), crm.keyring_keys(), crm.shred_key(text), crm.has_key(text), crm.mask_hash(text,text) TO t_owner; GRANT EXECUTE ON PROCEDURE crm.reseal_column(regclass,name,integer,bigint) TO t_owner});
is(sql(q{SELECT crm.create_store('shop', sealed => true); SELECT shop.is_sealed()}, role => 't_owner'), "\nt", 'with the grants an ordinary owner makes one');
sql(q{SELECT crm.grant_access('shop', 't_agent', 'agent'); SELECT crm.grant_access('shop', 't_app', 'app'); INSERT INTO shop.customer (customer_id) SELECT i FROM generate_series(1, 20) i;
	SELECT setval(pg_get_serial_sequence('shop.customer', 'customer_id'), 100)}, role => 't_owner');

# Every way in.
is(sql(q{SELECT shop.set_contact(1, '{"name": "张三", "phone": "138-1234-1234", "email": "San@Example.com", "wechat": "wxid_abc123456", "id_number": "11010519491231002X",
	"address": "北京市海淀区马连洼街道289号", "birth_date": "1949-12-31"}')}, role => 't_agent'), '', 'set_contact');
is(sql(q{INSERT INTO shop.contact (customer_id, name, phone, source) VALUES (2, '李四'::text, '13912345678'::varchar, 'import')}, role => 't_app'), '', 'INSERT of typed values, as parameters are');
like(sql(q{INSERT INTO shop.contact (customer_id, phone) VALUES (3, '13912345679')}, role => 't_app'), qr/22P02: invalid input syntax for type crm.sealed/, 'a bare literal is refused');
unlike(sql(q{INSERT INTO shop.contact (customer_id, phone) VALUES (3, '13912345679')}, role => 't_app'), qr/ERROR[^\n]*13912345679/, 'and the message does not repeat it');
is(sql(q{SELECT shop.find_or_create_customer('tmall', 'u1', '王五', '13600000001', 'wu@x.cn', '上海市徐汇区1号') > 100}, role => 't_app'), 't', 'find_or_create_customer');
is(sql(q{SELECT shop.find_or_create_customer('tmall', 'u1', '王五', '13600000001', 'wu@x.cn', '上海市徐汇区1号') > 100; SELECT count(*) FROM shop.contact_change}, role => 't_owner'), "t\n7", 'again: no change is noted');
is(sql(q{CREATE TEMP TABLE staging (line int GENERATED ALWAYS AS IDENTITY, customer text, order_no text, ordered_at text, amount text, name text, phone text, email text);
	INSERT INTO staging (customer, order_no, ordered_at, amount, name, phone, email) VALUES ('c9', 'o9', '2026-01-02', '10', '赵六', '13500000009', 'liu@x.cn');
	SELECT count(*) FROM shop.import_orders('staging'::regclass); SELECT name, phone FROM shop.contact_masked WHERE phone = '135****0009'}, role => 't_owner'), "0\n赵*|135****0009", 'import_orders');
is(sql(q{UPDATE shop.contact SET phone = '13700000007'::text, source = 'third_party' WHERE customer_id = 1; SELECT shop.reveal(1, 'phone', 'test of source')}, role => 't_owner'), '138-1234-1234', 'a third party replaces nothing here either');
is(sql(q{SELECT shop.set_contact(1, '{"email": null}'); SELECT shop.set_contact(1, '{"email": "san@example.com"}');
	SELECT field || ' ' || action || ' ' || (old_hash IS NOT NULL) FROM shop.contact_change WHERE customer_id = 1 AND field IN ('phone', 'email') ORDER BY change_id}, role => 't_owner'),
	"\n\nphone added false\nemail added false\nphone refused true\nemail cleared true\nemail added false", 'changes are noted as ever, with keyed hashes of what was before');

# What is seen.
is(sql(q{SELECT name, phone, email, wechat, id_number, address, phone_index IS NULL FROM shop.contact_masked WHERE customer_id = 1}, role => 't_agent'),
	'张*|138****1234|s****@example.com|wx****56|1***************2X|北京市海淀区****|t', 'masks open the values inside');
like(sql(q{SELECT phone FROM shop.contact}, role => 't_agent'), qr/42501/, 'the sealed values themselves are not for readers');
like(sql(q{SELECT crm.unseal(phone) FROM shop.contact_masked}, role => 't_agent'), qr/42883/, 'nor does the view hold any');
my $raw = sql(q{SELECT string_agg(concat(c, encode(phone_index, 'escape')), '') FROM shop.contact c}, role => 't_owner');
unlike($raw, qr/1234|张三|example|zhangsan|海淀/, 'nothing is clear in the rows');
is(sql(q{SELECT count(*) FROM shop.contact WHERE name_pinyin IS NOT NULL OR name_initials IS NOT NULL}, role => 't_owner'), '0', 'nor pinyin');
is(sql(qq{SELECT DISTINCT customer_id || ' ' || found_by FROM shop.search_contact('$_->[0]')}, role => 't_agent'), "1 $_->[1]", "found by $_->[1] $_->[0]")
	for ([ '13812341234', 'phone' ], [ '+86 138 1234 1234', 'phone' ], [ 'SAN@example.com', 'email' ], [ '张三', 'name' ], [ 'Zhang San', 'pinyin' ]);
is(sql(q{SELECT count(*) FROM shop.search_contact('zhangs'); SELECT count(*) FROM shop.search_contact('zs')}, role => 't_agent'), "0\n0", 'the beginning of a name and initials find nothing: that is given up');
is(sql(q{SET enable_seqscan = off; EXPLAIN (COSTS OFF) SELECT customer_id FROM shop.contact WHERE phone_index = ANY (crm.blind_indexes('+8613812341234', 'contact.phone'))}, role => 't_owner') =~ /Index/ ? 1 : 0, 1, 'by an index');
is(sql(q{SELECT shop.reveal(1, 'id_number', 'check the passport'), shop.reveal(1, 'birth_date', 'birthday')}, role => 't_agent'), '11010519491231002X|1949-12-31', 'reveal opens it');
is(sql(q{SELECT shop.export_customer(1) #>> '{contact,0,phone}', shop.export_customer(1) #>> '{contact,0,address}', (shop.export_customer(1) #> '{contact,0}') ? 'phone_index'}, role => 't_owner'), '138-1234-1234|北京市海淀区马连洼街道289号|f', 'so does the export');
is(sql(q{SELECT string_agg(field || ' ' || finding, ', ' ORDER BY field) FROM shop.contact_quality WHERE customer_id = 2}, role => 't_owner'), 'address missing, email missing', 'data quality is told');
is(sql(q{SELECT shop.set_contact(5, '{"name": "张三", "phone": "13812341234", "address": "天津市1号"}'); SELECT pairs FROM shop.find_duplicates(); SELECT shop.merge_customers(1, 5, 'same') > 0; SELECT shop.reveal(1, 'address', 'after merge')}, role => 't_owner'),
	"\n1\nt\n北京市海淀区马连洼街道289号", 'duplicates are found and merged');
is(sql(q{SELECT shop.set_contact(6, '{"wechat": "wxid_keep00"}'); SELECT shop.set_contact(7, '{"name": "钱七", "wechat": "wxid_lose00"}'); SELECT shop.merge_customers(6, 7, 'same') > 0; SELECT shop.reveal(6, 'name', 'after merge'), shop.reveal(6, 'wechat', 'after merge')}, role => 't_owner'),
	"\n\nt\n钱七|wxid_keep00", 'a value that a merge moves is bound to whom it comes to');
is(sql(q{SELECT count(*) FROM crm.check_masks(); SELECT count(*) FROM shop.check_privacy(); SELECT count(*) FROM crm.store_findings('shop')}, role => 't_owner'), "0\n0\n0", 'no way around, nothing unclassified, nothing missing');

# Values moved by hand.
like(sql(q{UPDATE shop.contact SET phone = (SELECT c.email FROM shop.contact c WHERE c.customer_id = 1) WHERE customer_id = 2}, role => 't_owner'), qr/CV102: sealed value belongs to another column or row/, 'the value of another column is not taken over');
$node->safe_psql('postgres', q{CREATE TABLE stolen AS SELECT crm.seal_unbound('13811112222') AS v; GRANT SELECT ON stolen TO t_app});
like(sql(q{UPDATE shop.contact SET phone = (SELECT v FROM stolen) WHERE customer_id = 2}, role => 't_app'), qr/CV102/, 'nor one that another transaction sealed');
$node->safe_psql('postgres', q{ALTER TABLE shop.contact DISABLE TRIGGER USER; UPDATE shop.contact a SET phone = b.phone FROM shop.contact b WHERE a.customer_id = 2 AND b.customer_id = 1; ALTER TABLE shop.contact ENABLE TRIGGER USER});
like(sql(q{SELECT shop.reveal(2, 'phone', 'moved value')}, role => 't_owner'), qr/CV102/, 'reveal opens no value that was moved behind the triggers');
sql(q{UPDATE shop.contact SET phone = '13912345678'::text WHERE customer_id = 2}, role => 't_owner');

# Dump and restore, with the keys and without.
my $dump = "$outside/store.sql";
command_ok([ 'pg_dump', '-h', $node->host, '-p', $node->port, '-n', 'shop', '-f', $dump, 'postgres' ], 'the store is dumped');
unlike(slurp_file($dump), qr/138-1234-1234|13912345678|马连洼|san\@example\.com|wxid_abc|赵六/, 'no clear value is in the dump');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
my $grants = q{GRANT EXECUTE ON FUNCTION crm.unseal(crm.sealed), crm.unseal(crm.sealed,text), crm.unseal(crm.sealed,text,text), crm.clear(crm.sealed), crm.reseal(crm.sealed), crm.blind_index(text,text),
	crm.blind_indexes(text,text), crm.keyring_keys(), crm.shred_key(text), crm.has_key(text), crm.mask_hash(text,text) TO t_owner};
$node->safe_psql('copy', 'CREATE EXTENSION crm');
$node->safe_psql('copy', $grants);
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', $node->host, '-p', $node->port, '-f', $dump, 'copy' ], 'and restored');
is(sql(q{SELECT state FROM crm.health('shop') WHERE subject = 'sealing'}, db => 'copy'), 'ok', 'its health is told');
is(sql(q{SET crm.actor = 'dba'; SELECT count(*) FROM crm.adopt_store('shop'); SELECT shop.reveal(1, 'phone', 'restored'); SELECT count(*) FROM shop.search_contact('13812341234'); SELECT phone FROM shop.contact_masked WHERE customer_id = 1}, db => 'copy'), "0\n138-1234-1234\n2\n138****1234", 'the restored store is whole');
is(sql(q{SET crm.actor = 'dba'; SELECT crm.rename_store('shop', 'shop2'); SELECT shop2.reveal(1, 'phone', 'renamed'); SELECT shop2.set_contact(1, '{"phone": "13700000001"}'); SELECT shop2.reveal(1, 'phone', 'renamed'); SELECT crm.drop_store('shop2', 'shop2')}, db => 'copy'), "\n138-1234-1234\n\n13700000001\n", 'renamed and dropped');
rename $keyring, "$keyring.away";
sleep 1;
like(sql(q{SELECT phone FROM shop.contact_masked}, role => 't_agent'), qr/CV101: could not open what crm.keyring_file names/, 'without the keyring: masks say so');
like(sql(q{SELECT shop.reveal(1, 'phone', 'no keys')}, role => 't_agent'), qr/CV101/, 'reveal too');
like(sql(q{SELECT shop.set_contact(1, '{"phone": "13700000001"}')}, role => 't_agent'), qr/CV101/, 'and nothing is stored in clear instead');
is(sql(q{SELECT state || ' ' || detail FROM crm.health('shop') WHERE subject = 'sealing'}, role => 't_owner'), 'attention could not open what crm.keyring_file names', 'health tells');
is(sql(q{SELECT count(*) FROM shop.customer_360}, role => 't_owner') > 0, 1, 'the rest of the store works');
rename "$keyring.away", $keyring;
sleep 1;

# Rotation.
ring('enc1:old', 'enc2:active', 'index1:old', 'index2:active', 'pseudonym1:active');
sleep 1;
is(sql(q{SELECT count(*) FROM shop.search_contact('13812341234')}, role => 't_agent'), '2', 'look-ups go on under the old index key');
my $changes = sql(q{SELECT count(*) FROM shop.contact_change}, role => 't_owner');
sql("CALL crm.reseal_column('shop.contact', '$_')", role => 't_owner') for qw(name phone email wechat id_number address);
is(sql(q{UPDATE shop.contact SET phone_index = NULL, email_index = NULL, name_index = NULL; SELECT count(*) FROM shop.contact_change}, role => 't_owner'), $changes, 'keys rotate without a change to the data');
ring('enc2:active', 'index2:active', 'pseudonym1:active');
sleep 1;
is(sql(q{SELECT shop.reveal(1, 'phone', 'rotated'); SELECT count(*) FROM shop.search_contact('13812341234'); SELECT count(*) FROM shop.search_contact('zhangsan')}, role => 't_owner'), "138-1234-1234\n2\n2", 'and all opens and is found without the old keys');

# Erasing, first as far as the database reaches.
is(sql(q{SELECT crm.erasure_reach(); SELECT shop.set_contact(10, '{"name": "周十", "phone": "13810101010"}')}, role => 't_owner'), "database\n", 'no key folder');
$node->safe_psql('postgres', 'CREATE TABLE old10 AS SELECT * FROM shop.contact WHERE customer_id = 10');
is(sql(q{SELECT (shop.erase_customer(10, 'asked') -> 'done') ? 'keys_destroyed'; SELECT crm.unseal(phone) FROM old10}, db => 'postgres'), "f\n13810101010", 'without a key folder an old copy still opens, and the receipt claims nothing else');
$node->append_conf('postgresql.conf', "crm.key_folder = '$outside/people'\n");
$node->reload;
sleep 1;
is(sql(q{SELECT crm.erasure_reach(); SELECT shop.set_contact(11, '{"name": "吴十一", "phone": "13811111111"}'); SELECT shop.set_contact(12, '{"name": "郑十二", "phone": "13812121212"}'); SELECT crm.has_key(shop.person_of(11)), crm.has_key(shop.person_of(1))}, role => 't_owner'), "backups\n\n\nt|f", 'with one, what is written from now on has a key a person');
# A table of the shop's own, sealed for the person as well.
$node->safe_psql('postgres', q{CREATE TABLE public.letter (customer_id bigint, body crm.sealed); INSERT INTO public.letter SELECT i, crm.seal('letter of ' || i, 'letter.body', shop.person_of(i), true) FROM unnest('{11,12}'::bigint[]) i});
my $old = "$outside/old.dump";
command_ok([ 'pg_dump', '-h', $node->host, '-p', $node->port, '-Fc', '-f', $old, 'postgres' ], 'a backup from before');
is(sql(q{BEGIN; SELECT shop.erase_customer(11, 'tried') -> 'done' ->> 'keys_destroyed'; ROLLBACK; SELECT shop.reveal(11, 'phone', 'still there')}, role => 't_owner'), "1\n13811111111", 'rolled back, nothing is destroyed');
is(sql(q{SELECT shop.erase_customer(11, 'asked') -> 'done' ->> 'keys_destroyed'; SELECT crm.has_key(shop.person_of(11))}, role => 't_owner'), "1\nf", 'erased: the receipt tells of the key');
like(sql(q{SELECT crm.unseal(body) FROM public.letter WHERE customer_id = 11}), qr/CV102/, 'what other tables sealed for the person is dead');
is(sql(q{SELECT crm.unseal(body) FROM public.letter WHERE customer_id = 12}), 'letter of 12', 'of others not');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
command_ok([ 'pg_restore', '-h', $node->host, '-p', $node->port, '-d', 'restored', $old ], 'the backup is restored');
is(sql(q{SELECT name, phone FROM shop.contact_masked WHERE customer_id = 11; SELECT phone FROM shop.contact_masked WHERE customer_id = 12}, db => 'restored'), "****|****\n138****1212", 'in it the erased person cannot be read, others can');
like(sql(q{SET crm.actor = 'dba'; SELECT shop.reveal(11, 'phone', 'from the backup')}, db => 'restored'), qr/CV102: sealed value cannot be opened/, 'by nobody');
like(sql(q{SELECT crm.unseal(body) FROM public.letter WHERE customer_id = 11}, db => 'restored'), qr/CV102/, 'nor elsewhere in it');
my $receipt = sql(q{SELECT jsonb_agg(r) FROM shop.erasure_receipts() r}, role => 't_owner');
is(sql(qq{SELECT shop.replay_erasures('$receipt'::jsonb); SELECT count(*) FROM shop.contact WHERE customer_id IN (10, 11)}, db => 'restored'), "1\n0", 'and the receipts erase again what the backup brought back');
# A plain store destroys keys, too.
is(sql(q{SELECT crm.create_store('plain'); INSERT INTO plain.customer (customer_id) VALUES (1); CREATE TABLE public.memo AS SELECT crm.seal('memo', 'memo.body', plain.person_of(1), true) AS body;
	SELECT plain.erase_customer(1, 'asked') -> 'done' ->> 'keys_destroyed'; SELECT crm.has_key(plain.person_of(1))}), "\n1\nf", 'a plain store destroys the key of a person as well');
like(sql(q{SELECT crm.unseal(body) FROM public.memo}), qr/CV102/, 'so that a value sealed for the person is gone');
is(sql(q{SELECT shop.person_of(1) <> plain.person_of(1)}), 't', 'stores do not share persons');

my $log = slurp_file($node->logfile);
unlike($log, qr/13812341234|138-1234-1234|13811111111|11010519491231002X/, 'no clear value is in the server log');
$node->stop;
done_testing();
