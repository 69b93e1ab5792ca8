# What only a server log, a dump, a restore or a fresh database can show about personal data.
use strict;
use warnings;

use Cwd qw(abs_path);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('privacy');
$node->init;
$node->append_conf('postgresql.conf', "log_min_error_statement = panic\nlog_statement = none\n");
$node->start;

sub sql { return $node->safe_psql($_[0], $_[1]); }

# A schema crm made beforehand by another role, and operators planted where an unqualified name would find them.
sql('postgres', q{CREATE ROLE planter LOGIN; CREATE DATABASE planted; CREATE DATABASE shop; CREATE DATABASE restored; CREATE DATABASE alone});
sql('planted', q{GRANT CREATE ON DATABASE planted TO planter; GRANT CREATE ON SCHEMA public TO planter; SET ROLE planter; CREATE SCHEMA crm});
my ($rc, $out, $err) = $node->psql('planted', 'CREATE EXTENSION crm');
isnt($rc, 0, 'schema crm of another role: refused');
like($err, qr/schema crm belongs to another role/, 'and said why');
sql('planted', q{DROP SCHEMA crm;
    SET ROLE planter;
    CREATE FUNCTION public.trap(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
    CREATE FUNCTION public.trap_name(name, name) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
    CREATE FUNCTION public.trap_oid(oid, oid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
    CREATE FUNCTION public.trap_cat(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
    CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.trap);
    CREATE OPERATOR public.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = public.trap);
    CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = name, FUNCTION = public.trap_name);
    CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = public.trap_oid);
    CREATE OPERATOR public.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = public.trap_cat);
    CREATE FUNCTION public.format(text, VARIADIC text[]) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
    CREATE FUNCTION public.coalesce_trap() RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$;
    CREATE FUNCTION public.quote_ident(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;});
# Even with public before pg_catalog.
my $before = q{SET search_path = public, pg_catalog;};
is(sql('planted', $before . q{CREATE EXTENSION crm; SELECT 'made'}), 'made', 'planted operators and functions: CREATE EXTENSION does not touch them');
is(sql('planted', $before . q{SELECT crm.create_store('shop');
    INSERT INTO shop.customer (customer_id) VALUES (1);
    INSERT INTO shop.contact (customer_id, name, phone) VALUES (1, '张三', '13812341234');
    UPDATE shop.contact SET phone = '13812341235' WHERE customer_id OPERATOR(pg_catalog.=) 1;
    SELECT crm.mask_phone('13812341234'), crm.mask_text('13812341234');
    SELECT pg_catalog.count(*) FROM crm.check_masks();
    SELECT shop.reveal(1, 'phone', 'test');
    SELECT shop.search_contact('13812341235') IS NOT NULL;
    SELECT shop.give_consent(1, 'service') FROM shop.privacy_policy;
    SELECT shop.contact_refusal(1, 'sms', 'service');
    SELECT shop.export_customer(1) IS NOT NULL;
    SELECT shop.erase_customer(1, 'test') IS NOT NULL;
    SELECT crm.apply_masks('shop.contact')}) =~ /13812341235/ ? 'ran' : 'trapped', 'ran', 'nor does anything in a store');
# The owner runs CREATE EXTENSION with his own operators in the path? A role without rights cannot install at all.
($rc, $out, $err) = $node->psql('postgres', 'CREATE EXTENSION crm', extra_params => ['-U', 'planter']);
isnt($rc, 0, 'others may not install');

# A store of an ordinary role: it makes, masks and governs without a superuser.
sql('alone', q{CREATE EXTENSION crm; CREATE ROLE merchant LOGIN; CREATE ROLE clerk LOGIN; GRANT CREATE ON DATABASE alone TO merchant});
$node->safe_psql('alone', q{
    SELECT crm.create_store('shop');
    SELECT crm.grant_access('shop', 'clerk', 'agent');
    INSERT INTO shop.customer (customer_id) VALUES (1);
    INSERT INTO shop.contact (customer_id, name, phone) VALUES (1, '张三', '13812341234')}, extra_params => ['-U', 'merchant']);
is($node->safe_psql('alone', q{SELECT count(*) FROM crm.check_masks()}), '0', 'a store of an ordinary role is masked without gaps');
is($node->safe_psql('alone', q{SELECT phone FROM shop.contact_masked; SELECT shop.reveal(1, 'phone', 'call back')}, extra_params => ['-U', 'clerk']),
    "138****1234\n13812341234", 'its agent sees masks and reveals');
($rc, $out, $err) = $node->psql('alone', q{SELECT phone FROM shop.contact}, extra_params => ['-U', 'clerk']);
like($err, qr/permission denied for table contact/, 'and no clear column');
is($node->safe_psql('alone', q{SELECT shop.erase_customer(1, 'asked') ->> 'customer_id'; SELECT count(*) FROM shop.contact}, extra_params => ['-U', 'merchant']),
    "1\n0", 'its owner erases');

# The server log: what ROLLBACK takes from the table stays there, and no value does.
sql('shop', q{CREATE EXTENSION crm; SELECT crm.create_store('shop'); CREATE ROLE anna LOGIN; SELECT crm.grant_access('shop', 'anna', 'agent');
    INSERT INTO shop.customer (customer_id, joined_at, special_needs) VALUES (1, '2024-01-01', 'needs quietmarker'), (2, '2024-01-01', NULL);
    INSERT INTO shop.contact (customer_id, name, phone, email, address) VALUES (1, '司马懿之', '13912349876', 'simayi@example.com', '河南省焦作市温县安乐寨1号'), (2, '李四', '13700001111', NULL, NULL);
    SELECT shop.set_reveal_limit('anna', 2, 100)});
my $at = -s $node->logfile;
$node->safe_psql('shop', q{BEGIN; SET LOCAL crm.actor = 'anna w.'; SELECT shop.reveal(1, 'phone', 'order 12'); ROLLBACK;}, extra_params => ['-U', 'anna']);
is(sql('shop', 'SELECT count(*) FROM shop.contact_access'), '0', 'ROLLBACK took the row');
my $log = slurp_file($node->logfile, $at);
like($log, qr/LOG:  crm: reveal: customer 1, field phone, role anna, login anna, actor anna w\., purpose "order 12"/, 'the log kept the line');
unlike($log, qr/13912349876/, 'without the value');
$node->safe_psql('shop', q{BEGIN; SELECT shop.reveal(1, 'phone', 'order 12'); ROLLBACK}, extra_params => ['-U', 'anna']);
($rc, $out, $err) = $node->psql('shop', q{SELECT shop.reveal(1, 'phone', 'order 12')}, extra_params => ['-U', 'anna']);
like($err, qr/too many clear values/, 'ROLLBACK does not give the count back');
like(slurp_file($node->logfile, $at), qr/LOG:  crm: reveal refused by limit: customer 1, field phone, role anna/, 'the refusal is in the log');
# Nor does a crash, once anything was committed after it.
sql('shop', "UPDATE shop.settings SET quiet_from = '21:00'");
$node->stop('immediate');
$node->start;
($rc, $out, $err) = $node->psql('shop', q{SELECT shop.reveal(1, 'phone', 'order 12')}, extra_params => ['-U', 'anna']);
like($err, qr/too many clear values/, 'a crash does not either');
# 30 an hour for one role over many sessions at once: no more get through.
sql('shop', q{SELECT shop.set_reveal_limit('anna', 30, 200); SELECT setval(('shop.' || counter)::regclass, 0) FROM shop.reveal_limit});
my $script = $node->basedir . '/reveal.sql';
append_to_file($script, "SELECT shop.reveal(2, 'phone', 'storm');\n");
$node->command_checks_all(['pgbench', '-n', '-h', $node->host, '-p', $node->port, '-U', 'anna', '-c', '8', '-j', '2', '-t', '20', '-f', $script, 'shop'],
    2, [qr/./], [qr/too many clear values/], 'eight sessions at once');
my $through = sql('shop', q{SELECT count(*) FROM shop.contact_access WHERE purpose = 'storm'});
ok($through <= 30, "$through of a storm got through, at most 30");

# Dump and restore keep policy, privileges and masks.
sql('shop', q{CREATE TABLE public.guest (id int PRIMARY KEY, phone text); GRANT SELECT ON public.guest TO anna;
    SELECT crm.mask_column('public.guest', 'phone', 'partial', '{"left": 3}'); SELECT crm.apply_masks('public.guest');
    SELECT crm.accept_way('public.guest', 'something', 'looked at')});
my $dump = $node->basedir . '/shop.dump';
$node->command_ok(['pg_dump', '-Fc', '-f', $dump, '-h', $node->host, '-p', $node->port, 'shop'], 'dump');
$node->command_ok(['pg_restore', '--exit-on-error', '-h', $node->host, '-p', $node->port, '-d', 'restored', $dump], 'restore');
my $policy = q{SELECT relid, column_name, kind, params FROM crm.mask_policy ORDER BY relid::text, column_name;
    SELECT relid, readers, viewers FROM crm.masked_table ORDER BY relid::text; SELECT relid, object, reason FROM crm.mask_accepted};
is(sql('restored', $policy), sql('shop', $policy), 'the policy came along');
is(sql('restored', 'SELECT count(*) FROM crm.check_masks()'), '0', 'no gap after the restore');
($rc, $out, $err) = $node->psql('restored', q{SELECT phone FROM shop.contact}, extra_params => ['-U', 'anna']);
like($err, qr/permission denied/, 'privileges too');
is($node->safe_psql('restored', q{SELECT phone FROM shop.contact_masked WHERE customer_id = 2}, extra_params => ['-U', 'anna']), '137****1111', 'and the view');
# Data alone, into an empty store.
sql('postgres', 'DROP DATABASE restored; CREATE DATABASE restored');
sql('restored', q{CREATE EXTENSION crm; SELECT crm.create_store('shop', seed => false); CREATE TABLE public.guest (id int PRIMARY KEY, phone text)});
{
    local $ENV{PGOPTIONS} = '-c session_replication_role=replica';
    $node->command_ok(['pg_restore', '--data-only', '--exit-on-error', '-h', $node->host, '-p', $node->port, '-d', 'restored', $dump], 'data alone');
}
is(sql('restored', q{SELECT count(*) FROM crm.mask_policy WHERE relid = 'shop.contact'::regclass}), sql('shop', q{SELECT count(*) FROM crm.mask_policy WHERE relid = 'shop.contact'::regclass}), 'the policy met itself');
# The schema alone, beside a live extension.
sql('postgres', 'DROP DATABASE restored; CREATE DATABASE restored');
sql('restored', 'CREATE EXTENSION crm');
my $part = $node->basedir . '/part.dump';
$node->command_ok(['pg_dump', '-Fc', '-n', 'shop', '-f', $part, '-h', $node->host, '-p', $node->port, 'shop'], 'a dump of the schema');
$node->command_ok(['pg_restore', '--exit-on-error', '-h', $node->host, '-p', $node->port, '-d', 'restored', $part], 'the schema alone');
sql('restored', q{SELECT count(*) FROM crm.adopt_store('shop')});
is(sql('restored', q{SELECT kind FROM crm.mask_policy WHERE relid = 'shop.contact'::regclass AND column_name = 'phone'}), 'phone', 'adopt_store takes the masks over');

# Erasure: nothing is left in a dump, and a restored backup forgets again by a file.
sql('shop', q{INSERT INTO shop.note (customer_id, body) VALUES (1, 'Sima Yi, 13912349876, notemarker');
    INSERT INTO shop.identity (channel, external_id, customer_id) VALUES ('wechat', 'openid-simayi', 1);
    UPDATE shop.contact SET phone = '13912349877' WHERE customer_id = 1;
    INSERT INTO shop.purchase (customer_id, order_no, amount, paid_at) VALUES (1, 'X1', 88, '2025-01-01');
    SELECT shop.earn(1, 30, 'manual', 'thanks-1', note => 'for Sima Yi, 13912349876');
    VACUUM ANALYZE});
my $marks = qr/司马懿|1391234987|simayi|安乐寨|Sima Yi|notemarker|quietmarker/;
my $plain = $node->basedir . '/plain.sql';
$node->command_ok(['pg_dump', '-f', $plain, '-h', $node->host, '-p', $node->port, 'shop'], 'dump before');
like(slurp_file($plain), $marks, 'the person is in the dump before');
my $receipts = abs_path($node->basedir) . '/receipts.jsonl';
sql('shop', qq{SELECT shop.erase_customer(1, 'asked by letter'); COPY (SELECT shop.erasure_receipts()) TO '$receipts'});
$node->command_ok(['pg_dump', '-f', $plain, '-h', $node->host, '-p', $node->port, 'shop'], 'dump after');
unlike(slurp_file($plain), $marks, 'no trace in the dump after');
is(sql('shop', q{SELECT count(*) FROM pg_stats WHERE concat(most_common_vals, histogram_bounds, most_common_elems) ~ '司马懿|1391234987|simayi|安乐寨|Sima|marker'}), '0', 'none in the statistics');
is(sql('shop', q{SELECT count(*) FROM shop.points_verify()}), '0', 'the ledger verifies');
is(sql('shop', q{SELECT available FROM shop.points_account WHERE customer_id = 1 AND program = 'points'}), '30', 'and the points are there');
is(sql('shop', q{SELECT order_count || '/' || spend_total FROM shop.customer_summary WHERE customer_id = 1}), '1/88.0000', 'the sums stay');
unlike(slurp_file($receipts), $marks, 'none in the receipt');
sql('postgres', 'DROP DATABASE restored; CREATE DATABASE restored');
$node->command_ok(['pg_restore', '--exit-on-error', '-h', $node->host, '-p', $node->port, '-d', 'restored', $dump], 'a backup from before comes back');
is(sql('restored', 'SELECT phone FROM shop.contact WHERE customer_id = 1'), '13912349876', 'and the person with it');
is(sql('restored', qq{SELECT shop.replay_erasures('$receipts')}), '1', 'the file erases again');
is(sql('restored', 'SELECT count(*) FROM shop.contact WHERE customer_id = 1'), '0', 'gone again');

# The masked export runs as it is printed, and holds no clear value.
my $dir = abs_path($node->basedir) . '/export';
mkdir $dir;
my $masked = $node->safe_psql('shop', q{SELECT crm.masked_dump('shop')}, extra_params => ['-U', 'anna']);
$masked =~ s/TO '/TO '$dir\//g;
$node->safe_psql('shop', $masked, extra_params => ['-U', 'anna']);
like(slurp_file("$dir/contact.csv"), qr/李\*,137\*\*\*\*1111/, 'contact is exported masked');
unlike(join('', map { slurp_file($_) } glob("$dir/*.csv")), qr/13700001111|李四/, 'nothing clear in any file');

# The whole store, all parts: privileges are what the rules say, every column that may hold personal data is classified,
# and no definer function is everybody's.
is(sql('shop', q{SELECT string_agg(format('%s.%s', table_name, column_name), ' ' ORDER BY 1) FROM shop.check_privacy()}), '', 'every per-customer column has a privacy_rule');
is(sql('shop', q{
    SELECT string_agg(p.oid::regprocedure::text, ' ' ORDER BY 1) FROM pg_proc p
    WHERE p.pronamespace = 'shop'::regnamespace AND p.prosecdef AND has_function_privilege('planter', p.oid, 'EXECUTE') AND p.prorettype <> 'trigger'::regtype
      -- Settings that views read for whoever asks.
      AND p.proname NOT IN ('value_limits_at', 'value_limits_now')}),
    '', 'no definer function of a store is executable by everybody');
is(sql('shop', q{
    SELECT string_agg(format('%s %s', c.relname, x.privilege_type), ' ' ORDER BY 1) FROM pg_class c, aclexplode(c.relacl) x
    WHERE c.relnamespace = 'shop'::regnamespace AND x.grantee = 0}), '', 'nothing of a store is readable by PUBLIC');
is(sql('shop', q{
    CREATE ROLE k_owner; CREATE ROLE k_agent; CREATE ROLE k_marketer; CREATE ROLE k_analyst; CREATE ROLE k_auditor; CREATE ROLE k_app;
    SELECT crm.grant_access('shop', ('k_' || k)::name, k) FROM unnest('{owner,agent,marketer,analyst,auditor,app}'::text[]) k \g /dev/null
    SELECT string_agg(DISTINCT format('%s: %s on %s', k, v, c.relname), ', ')
    FROM unnest('{owner,agent,marketer,analyst,auditor,app}'::text[]) k, unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) v, pg_class c
    WHERE c.relnamespace = 'shop'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p') AND NOT c.relispartition
      AND CASE v WHEN 'DELETE' THEN has_table_privilege('k_' || k, c.oid, v) ELSE has_any_column_privilege('k_' || k, c.oid, v) END
          <> EXISTS (SELECT FROM shop.access_rule a WHERE a.kind = k AND a.object = c.relname AND split_part(a.privilege, ' ', 1) = v)}),
    '', 'each kind has what its rules say on every table and view of every part');
is(sql('shop', q{SELECT string_agg(format('%s %s', way, who), ', ') FROM crm.check_masks()}), '', 'and no way around a mask');
$node->stop;
done_testing();
