# Everything public says what it is for, and nothing privileged follows a foreign search_path.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', "fsync = off\n");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }
sql(q{CREATE EXTENSION crm; SELECT crm.create_store('shop')});

# What the server calls by itself (I/O, operators, aggregates' inner functions, opclass support, triggers) needs no comment of its own.
is( sql(q{
    SELECT p.oid::regprocedure FROM pg_proc p
    WHERE p.pronamespace IN ('crm'::regnamespace, 'shop'::regnamespace) AND obj_description(p.oid, 'pg_proc') IS NULL
      AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) t WHERE t IN ('internal'::regtype, 'cstring'::regtype))
      AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype)
      AND NOT EXISTS (SELECT FROM pg_operator o WHERE o.oprcode = p.oid)
      AND NOT EXISTS (SELECT FROM pg_amproc a WHERE a.amproc = p.oid)
      AND NOT EXISTS (SELECT FROM pg_aggregate a WHERE p.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn))
      AND NOT EXISTS (SELECT FROM pg_type t WHERE p.oid IN (t.typinput, t.typoutput, t.typreceive, t.typsend, t.typsubscript, t.typanalyze))}),
    '', 'every public function has a comment');
is( sql(q{
    SELECT c.relname FROM pg_class c
    WHERE c.relnamespace IN ('crm'::regnamespace, 'shop'::regnamespace) AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
      AND obj_description(c.oid, 'pg_class') IS NULL}),
    '', 'every table and view has a comment');
is( sql(q{
    SELECT c.relname || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace IN ('crm'::regnamespace, 'shop'::regnamespace) AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND col_description(c.oid, a.attnum) IS NULL
    ORDER BY 1}),
    '', 'every column of a table has a comment');
is( sql(q{
    SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
    WHERE p.pronamespace IN ('crm'::regnamespace, 'shop'::regnamespace) AND p.prosecdef AND l.lanname <> 'crm_points'
      AND NOT EXISTS (SELECT FROM unnest(p.proconfig) c WHERE c LIKE 'search_path=%')}),
    '', 'every SECURITY DEFINER function pins its search_path, but those whose language looks up no names');
is( sql(q{
    SELECT p.oid::regprocedure FROM pg_proc p
    WHERE p.pronamespace = 'shop'::regnamespace AND p.prosecdef AND p.prorettype = 'trigger'::regtype AND has_function_privilege('public', p.oid, 'EXECUTE')}),
    '', 'nobody but the owner can attach a privileged trigger function');

$node->stop;
done_testing();
