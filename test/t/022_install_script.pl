# What is installed follows nobody's search_path but its own: told from the text of the scripts, from the catalog, and by an attack
# in which a role plants functions, operators, types, tables and views of the same names in a schema that comes first in an
# administrator's search_path, and every function and procedure is then called by the administrator.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use InstallScript qw(tokens check_script);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $kit = [ 'pg_catalog, pg_temp' ];
my $store = [ 'from current', @$kit ];

# The check itself: what it must find, and what it must let pass.
my @bad = (
    [ 'definer', q{CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS $$BEGIN RETURN 1; END$$} ],
    [ 'definer', q{CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER BEGIN ATOMIC SELECT 1; END} ],
    [ 'definer', q{CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$BEGIN RETURN 1; END$$} ],
    [ 'definer', q{CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$BEGIN RETURN 1; END$$} ],
    [ 'path', q{CREATE FUNCTION f(a int) RETURNS bool LANGUAGE plpgsql AS $$BEGIN RETURN a = 1; END$$} ],
    [ 'path', q{CREATE FUNCTION f(a int) RETURNS bool LANGUAGE sql AS 'SELECT a OPERATOR(pg_catalog.=) lower(''x'')'} ],
    [ 'path', q{CREATE PROCEDURE f() LANGUAGE plpgsql AS $$DECLARE x text; BEGIN COMMIT; END$$} ],
    [ 'path', q{CREATE PROCEDURE f() LANGUAGE plpgsql AS $$BEGIN PERFORM pg_catalog.set_config('search_path', 'a', true); COMMIT; INSERT INTO t VALUES (1); END$$} ],
    [ 'path', q{CREATE FUNCTION f(a int) RETURNS regclass LANGUAGE sql AS $$SELECT 'x'::regclass$$} ],
    [ 'replace', q{CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END} ],
    [ 'replace', q{CREATE OR REPLACE VIEW v AS SELECT 1} ],
    [ 'exists', q{CREATE TABLE IF NOT EXISTS t (a int)} ],
    [ 'exists', q{CREATE UNIQUE INDEX IF NOT EXISTS i ON t (a)} ],
    [ 'exists', q{CREATE SCHEMA IF NOT EXISTS s} ],
    [ 'dynamic', q{CREATE FUNCTION f(n text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$BEGIN EXECUTE 'DROP TABLE ' || n; END$$} ],
    [ 'dynamic', q{CREATE FUNCTION f(n text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$BEGIN EXECUTE format('DROP TABLE %s', n); END$$} ],
    [ 'dynamic', q{CREATE FUNCTION f(n text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$BEGIN EXECUTE format('DROP TABLE %I.%2$s', 's', n); END$$} ],
    [ 'dynamic', q{CREATE FUNCTION f(n text) RETURNS SETOF int LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$BEGIN RETURN QUERY EXECUTE n USING 1; END$$} ],
    [ 'dynamic', q{CREATE FUNCTION f(n text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$DECLARE q text := 'SELECT 1'; BEGIN q := n; EXECUTE q; END$$} ],
    [ 'dynamic', q{DO $$BEGIN EXECUTE 'SELECT ' || current_setting('a.b'); END$$} ]);
my @good = (
    q{CREATE FUNCTION f(a int) RETURNS bool LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$BEGIN RETURN a = 1; END$$},
    q{CREATE FUNCTION f(a int) RETURNS bool LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN a = 1 THEN true END; SELECT lower('x') = 'x'; END},
    q{CREATE FUNCTION f(a int) RETURNS bool LANGUAGE sql AS 'SELECT a OPERATOR(pg_catalog.=) pg_catalog.length(''x'')'},
    q{CREATE FUNCTION f(a int) RETURNS bool LANGUAGE c AS 'MODULE_PATHNAME'},
    q{CREATE PROCEDURE f() LANGUAGE plpgsql AS $$DECLARE x pg_catalog.text; n bigint := -1; BEGIN PERFORM pg_catalog.set_config('search_path', 'a', true); INSERT INTO t VALUES (n = 1); COMMIT; END$$},
    q{CREATE TABLE t (a int CHECK (a > 0)); CREATE VIEW v AS SELECT 'CREATE OR REPLACE'::text; COMMENT ON VIEW v IS 'IF NOT EXISTS'},
    q{CREATE FUNCTION f(n text, r regclass) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$BEGIN EXECUTE format('DROP TABLE %I.%s', n, r); EXECUTE 'DROP TABLE ' || quote_ident(n); EXECUTE 'SELECT 1'; END$$});
is(join(',', map { my ($rule, $sql) = @$_; (grep { $_->[0] eq $rule } check_script($sql, $kit)) ? () : $sql } @bad), '', 'each of ' . @bad . ' planted mistakes is found');
is(join(',', map { my $sql = $_; map { "$sql: @$_" } check_script($sql, $kit) } @good), '', 'and nothing where there is none');

# SQL that is put together from more than quoted names and literals, and why that is right. The key is the function and how the expression begins.
my %justified = (
    'restrict_relation format'  => 'lists of quote_ident of column names',
    'make_masked_view format'   => 'format(%I.%I), mask_expression, which quotes, and words of aclexplode',
    'capture_orders crm'        => 'capture_function returns a CREATE FUNCTION whose names and literals are quoted',
    'capture_orders format'     => 'words of a constant array; expressions that captured_row quotes',
    'run_script part'           => 'its argument is a script, run with the rights of the caller',
    'grant_access case'         => 'access_rule.privilege, which a constraint keeps to a closed form',
    'revoke_access case'        => 'the same',
    'repair_triggers format'    => 'a relation of type regclass',
    'partition_triggers overlay' => 'pg_get_triggerdef, with another name of format(%I.%I)',
    'partition_triggers format' => 'a relation of type regclass',
    'import_orders format'      => 'a list of format(%I)',
    'judge_due string'          => 'rules as SQL: deparsed from the parsed rule by rule_sql and rule_expression',
    'judge_upgrade string'      => 'the same',
    'judge_refund string'       => 'the same',
    'tier_candidates string'    => 'the same',
    'segment_members string'    => 'segment_sql: rule_sql and %L',
    'segment_size string'       => 'the same',
    'tag_rule_wishes string'    => 'the same',
    'matches_rule format'       => 'rule_sql',
    'campaign_audience format'  => 'rule_sql',
    'start_automations format'  => 'constants and rule_sql',
    'export_rows format'        => 'relations of type regclass, and a list of format(%L)',
    'erase_rows format'         => 'relations of type regclass, assignments of format(%I) and quote_literal',
    'left_over format'          => 'relations of type regclass',
    'score_by format'           => 'constants and format(%I)',
    'move_rows string'          => 'statements of format(%I) and regclass',
    'undo_merge string'         => 'the same',
    'report_draw format'        => 'report_figure, a constant, and quote_literal',
    'on_shards format'          => 'its argument is a query, run with the rights of the caller',
    'make_part step'            => 'pg_get_triggerdef, with functions named by format(%I.%I)',
    'point_triggers step'       => 'the same',
    'distribute_store format'   => 'format(%I) and a relation of type regclass',
    'show_in_part format'       => 'views of type regclass, shards and columns by format(%I), pg_get_viewdef, and roles of type regrole',
    'note_places format'        => 'a view of type regclass, and pg_get_viewdef',
    'renew_in_part format'      => 'a relation of type regclass, and shards by format(%I)',
    'renew_in_part step'        => 'a definition that the server gave, run as the owner of the store',
    'make_part format'          => 'relations of type regclass, columns by format(%I)',
    'make_part replace'         => 'part_statements: definitions that the server gives, with quote_literal of a regclass',
    'on_parts format'           => 'its argument is an expression, run with the rights of the caller',
    'run_in_part query'         => 'its argument is a query, run with the rights of the caller',
    'distribute_store f'        => 'sql_to_plpgsql: the definition that the server gives, its names quoted',
    'distribute_store v'        => 'views as the server deparses them, under names of type regclass',
    'distribute_store step'     => 'statements of distribution_plan, by format(%I) and regclass, and pg_get_triggerdef');
# The store is new when its script runs: it replaces two views of its own, which later files widen.
my %replaced = map { $_ => 1 } qw(customer_contact_event customer_open_complaint);

my (%used, @found);
my $files = 0;
for my $file (sort(glob('sql/kit/*.sql'), glob('sql/store/*.sql'), glob('sql/seed/*.sql'), glob('sql/upgrade/*.sql')))
{
    $files++;
    my ($name) = $file =~ m{([^/]+)$};
    for my $f (check_script(slurp_file($file), $file =~ m{sql/kit/|/crm--} ? $kit : $store))
    {
        my ($rule, $where, $what) = @$f;
        if ($rule eq 'dynamic')
        {
            my $key = "$where " . ($what =~ /^'/ ? 'string' : $what =~ /^(?:pg_catalog \. )?(\w+)/ ? $1 : $what);
            if ($justified{$key}) { $used{$key} = 1; next; }
        }
        next if $rule eq 'replace' && $where =~ /view (\w+)/ && $replaced{$1};
        push @found, "$name: $rule: $where: $what";
    }
}
cmp_ok($files, '>', 80, 'the scripts are there');
is(join("\n", @found), '', 'nothing in them follows a foreign search_path, takes over what is there or joins SQL unquoted');
is(join(', ', grep { !$used{$_} } sort keys %justified), '', 'every exception is still needed');

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', "fsync = off\njit = off\nmax_locks_per_transaction = 256\n");
$node->start;
sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]); }

# Who made schema crm before cannot have put anything into it.
sql('CREATE DATABASE taken; CREATE ROLE mallory');
sql('CREATE SCHEMA crm AUTHORIZATION mallory', 'taken');
my ($rc, $out, $err) = $node->psql('taken', 'CREATE EXTENSION crm');
isnt($rc, 0, 'the extension does not go into a schema of another role');
sql('CREATE DATABASE filled');
sql(q{CREATE SCHEMA crm; CREATE FUNCTION crm.planted(integer, integer) RETURNS boolean LANGUAGE sql AS 'SELECT true'; CREATE OPERATOR crm.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = crm.planted)}, 'filled');
($rc, $out, $err) = $node->psql('filled', 'CREATE EXTENSION crm');
isnt($rc, 0, 'nor into one with something in it');
like($err, qr/crm/, "and says so: $err");

sql('CREATE EXTENSION crm');
# A store with something in it, so that what is called has something to read.
sql(q{
    SELECT crm.create_store('shop');
    SET search_path = shop, crm, pg_temp;
    SELECT install_preset('textbook');
    INSERT INTO customer (customer_id, joined_at) SELECT i, timestamptz '2024-01-01 00:00+00' FROM generate_series(1, 40) i;
    UPDATE customer SET tags = tags + 'old' + ('n:' || customer_id % 5);
    INSERT INTO purchase (customer_id, channel, order_no, status, amount, ordered_at, paid_at, completed_at)
    SELECT 1 + i % 40, 'mall', 'n' || i, 'completed', 100 + i, t, t, t FROM generate_series(1, 200) i, LATERAL (SELECT timestamptz '2025-01-01 00:00+00' + i * interval '3 hours' AS t) t;
    SELECT count(earn(c, 100, 'gift', 'due', expires_at => now() + interval '30 days')) FROM generate_series(1, 40) c;
    INSERT INTO contact (customer_id, name, phone) VALUES (1, '张三', '13812341234');
    SELECT refit_rfm();
});

# What the catalog says: bodies parsed when they were made, a pinned path that looks for tables of pg_temp last, or C.
is( sql(q{
    SELECT p.oid::regprocedure, c FROM pg_proc p, unnest(p.proconfig) c
    WHERE p.pronamespace IN ('crm'::regnamespace, 'shop'::regnamespace) AND c LIKE 'search_path=%' AND c NOT LIKE '%, pg_temp'}),
    '', 'every pinned search_path has pg_temp last');
my $unpinned = q{FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
    WHERE p.pronamespace IN ('crm'::regnamespace, 'shop'::regnamespace) AND l.lanname NOT IN ('c', 'internal', 'crm_points') AND p.prosqlbody IS NULL
      AND NOT EXISTS (SELECT FROM unnest(p.proconfig) c WHERE c LIKE 'search_path=%')};
is(sql("SELECT string_agg(p.oid::regprocedure::text, ', ') $unpinned AND p.prosecdef"), '', 'every SECURITY DEFINER function has a path or a parsed body');
is(sql("SELECT string_agg(DISTINCT p.proname, ' ' ORDER BY p.proname) $unpinned AND p.prokind = 'f'"), 'report_figure run_script store_manifest',
    'what has neither and is no procedure: two lists of constants, and what runs a script for its caller');

# The attack. Everything planted reports itself in the server's log.
sql(q{
    CREATE SCHEMA evil AUTHORIZATION mallory;
    SET ROLE mallory;
    CREATE FUNCTION evil.caught(what pg_catalog.text) RETURNS boolean LANGUAGE plpgsql AS $f$BEGIN RAISE LOG 'PLANTED % ran as %', what, current_user; RETURN true; END$f$;
    RESET ROLE;
    GRANT ALL ON SCHEMA evil TO PUBLIC;
    CREATE FUNCTION pg_temp.plant(command text) RETURNS boolean LANGUAGE plpgsql AS $f$
    BEGIN
        EXECUTE command;
        RETURN true;
    EXCEPTION WHEN OTHERS THEN
        RETURN false;
    END$f$;
    CREATE FUNCTION pg_temp.plant_all(like_schema text, OUT functions bigint, OUT operators bigint, OUT relations bigint, OUT types bigint) LANGUAGE plpgsql AS $f$
    BEGIN
        SELECT count(*) FILTER (WHERE pg_temp.plant(format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', p.proname,
                (SELECT string_agg(CASE WHEN p.provariadic <> 0 AND i = p.pronargs THEN 'VARIADIC ' ELSE '' END || format_type(t, NULL), ', ' ORDER BY i) FROM unnest(p.proargtypes) WITH ORDINALITY u (t, i)),
                CASE WHEN p.proretset THEN 'SETOF ' ELSE '' END || format_type(p.prorettype, NULL),
                format('BEGIN PERFORM evil.caught(%L); RETURN%s; END', 'function ' || p.oid::regprocedure, CASE WHEN p.proretset OR p.prorettype = 'void'::regtype THEN '' ELSE ' NULL' END))))
        INTO functions
        FROM pg_proc p
        WHERE p.pronamespace = like_schema::regnamespace AND p.prokind IN ('f', 'w', 'a') AND p.prorettype NOT IN ('internal'::regtype, 'trigger'::regtype, 'event_trigger'::regtype, 'cstring'::regtype)
          AND p.proname <> 'caught' AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) t WHERE t IN ('internal'::regtype, 'cstring'::regtype));
        SELECT count(*) FILTER (WHERE pg_temp.plant(format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', 'operator_' || o.oid, concat_ws(', ', l.t, r.t), format_type(o.oprresult, NULL),
                    format('BEGIN PERFORM evil.caught(%L); RETURN NULL; END', 'operator ' || o.oid::regoperator)))
                AND pg_temp.plant(format('CREATE OPERATOR evil.%s (%s, FUNCTION = evil.%I)', o.oprname, concat_ws(', ', 'LEFTARG = ' || l.t, 'RIGHTARG = ' || r.t), 'operator_' || o.oid)))
        INTO operators
        FROM pg_operator o, LATERAL (SELECT CASE WHEN o.oprleft <> 0 THEN format_type(o.oprleft, NULL) END) l (t), LATERAL (SELECT format_type(o.oprright, NULL)) r (t)
        WHERE o.oprnamespace = like_schema::regnamespace;
        SELECT count(*) FILTER (WHERE pg_temp.plant(format('CREATE VIEW evil.%I AS SELECT t.* FROM %s t WHERE evil.caught(%L)', c.relname, c.oid::regclass, 'relation ' || c.oid::regclass)))
        INTO relations
        FROM pg_class c WHERE c.relnamespace = like_schema::regnamespace AND c.relkind IN ('r', 'v', 'p', 'm') AND NOT c.relispartition;
        SELECT count(*) FILTER (WHERE pg_temp.plant(format('CREATE DOMAIN evil.%I AS %s CHECK (evil.caught(%L))', t.typname, format_type(t.oid, NULL), 'type ' || t.oid::regtype)))
        INTO types
        FROM pg_type t
        WHERE t.typnamespace = like_schema::regnamespace AND t.typtype IN ('b', 'd') AND t.typname !~ '^_'
          AND t.typname IN ('text', 'name', 'regclass', 'regnamespace', 'regprocedure', 'regrole', 'regtype', 'oid', 'json', 'jsonb', 'date', 'timestamptz', 'timestamp', 'interval', 'numeric', 'uuid', 'inet', 'bytea',
                            'int4', 'int8', 'bool', 'float8', 'varchar', 'tagset', 'tagquery', 'audience', 'rule', 'sealed', 'points_lots', 'rfm', 'rfm_model', 'purchase_months');
    END$f$;
    SELECT pg_temp.plant_all(s) FROM unnest('{pg_catalog,crm,shop}'::text[]) s;
});
my $planted = sql(q{SELECT (SELECT count(*) FROM pg_proc WHERE pronamespace = 'evil'::regnamespace) || ' functions, '
    || (SELECT count(*) FROM pg_operator WHERE oprnamespace = 'evil'::regnamespace) || ' operators, '
    || (SELECT count(*) FROM pg_class WHERE relnamespace = 'evil'::regnamespace AND relkind = 'v') || ' views, '
    || (SELECT count(*) FROM pg_type WHERE typnamespace = 'evil'::regnamespace AND typtype = 'd') || ' types'});
note("planted: $planted");
my ($functions, $operators, $views, $types) = $planted =~ /(\d+)/g;
ok($functions > 2000 && $operators > 700 && $views > 150 && $types > 20, 'there is something to step on');

# The trap works: what is written without care does step on it.
my $trap = $node->logfile;
sub caught_since { my ($offset) = @_; my %seen; $seen{$_}++ for slurp_file($trap, $offset) =~ /PLANTED (.*) ran as/g; return sort keys %seen; }
my $start = -s $trap;
sql(q{SET search_path = evil, pg_catalog, crm, shop; SELECT pg_catalog.count(*) FROM customer c WHERE c.customer_id = 1; SELECT lower('X'::pg_catalog.text); SELECT 'x'::text;});
my @caught = caught_since($start);
is(join('; ', grep { /^(relation shop.customer|operator .*=\(bigint,integer\)|function lower\(text\)|type text)$/ } @caught), 'function lower(text); operator =(bigint,integer); relation shop.customer; type text', 'careless statements step on all four kinds');

# Every function of kit and store, with arguments of the right types.
my %value = (
    'bigint' => q{1}, 'integer' => q{2}, 'smallint' => q{1}, 'numeric' => q{3}, 'double precision' => q{0.5}, 'real' => q{0.5}, 'boolean' => q{true}, 'text' => q{'vip'}, 'name' => q{'shop'}, 'char' => q{'a'},
    'timestamp with time zone' => q{'2026-01-01 00:00+00'}, 'timestamp without time zone' => q{'2026-01-01 00:00'}, 'date' => q{'2026-01-01'}, 'interval' => q{'1 day'}, 'jsonb' => q{'{}'}, 'json' => q{'{}'},
    'uuid' => q{'00000000-0000-0000-0000-000000000001'}, 'bytea' => q{'\x00'}, 'inet' => q{'10.0.0.1'}, 'regclass' => q{'shop.customer'}, 'oid' => q{1}, 'crm.tagset' => q{'{old}'}, 'crm.tagquery' => q{'old'}, 'crm.audience' => q{'{1,2}'},
    'crm.rule' => q{'spend_12m > 10'}, 'crm.points_lots' => q{'{}'}, 'crm.rfm' => q{'5-4-3'}, 'xid8' => q{'1'}, 'pg_lsn' => q{'0/0'});
my @calls = split /\n/, sql(q{
    SELECT p.prokind::text || E'\t' || p.oid || E'\t' || p.oid::regprocedure || E'\t' || coalesce((SELECT string_agg(format_type(t, NULL), '|' ORDER BY i) FROM unnest(p.proargtypes) WITH ORDINALITY u (t, i)), '')
        || E'\t' || quote_ident(n.nspname) || '.' || quote_ident(p.proname)
        || E'\t' || coalesce((SELECT string_agg(coalesce(p.proargnames[i], ''), '|' ORDER BY i) FROM unnest(p.proargtypes) WITH ORDINALITY u (t, i)), '') || E'\t' || p.pronargdefaults
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname IN ('crm', 'shop') AND p.prokind IN ('f', 'p') AND p.prorettype NOT IN ('internal'::regtype, 'trigger'::regtype, 'event_trigger'::regtype, 'cstring'::regtype)
      AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) t WHERE t IN ('internal'::regtype, 'cstring'::regtype))
      AND p.proname NOT IN ('demo', 'drop_store', 'create_store')
    ORDER BY p.prokind, n.nspname, p.proname, p.oid});
# What a word must be for the function to get far, by the name of its parameter.
my %meant = (
    program => q{'points'}, store => q{'shop'}, name => q{'shop'}, schema => q{'shop'}, time_zone => q{'UTC'}, zone => q{'UTC'}, kind => q{'analyst'}, role => q{'mallory'}, reference => q{'due'}, source => q{'gift'},
    field => q{'phone'}, figure => q{'revenue'}, dimension => q{'all'}, status => q{'completed'}, purpose => q{'service'}, language => q{'zh'}, tag => q{'old'}, old_tag => q{'old'}, bad_rows => q{'skip'},
    mapping => q{'{"customer":"customer_id","order_no":"order_no","amount":"amount","paid_at":"paid_at"}'}, format => q{'json'}, query => q{'old'}, rule => q{'spend_12m > 10'}, currency => q{'CNY'}, new_name => q{'mall'});
my $script = "SET statement_timeout = '20s';\nSET search_path = evil, pg_catalog, crm, shop;\n\\set ON_ERROR_STOP 0\n\\set VERBOSITY verbose\n";
my ($called, $skipped) = (0, 0);
my $procedures = '';
for my $call (@calls)
{
    my ($kind, $oid, $signature, $types, $name, $names, $defaults) = split /\t/, $call;
    my @names = split /\|/, $names;
    my @arguments;
    for my $type (split /\|/, $types // '')
    {
        my $array = $type =~ s/\[\]$//;
        my $v = $value{$type};
        my $meant = $meant{ $names[ scalar @arguments ] // '' };
        $v = $meant if $meant && $v && $v =~ /^'/ && $type !~ /^(reg|time|inet|date)/;
        my $shown = $type =~ /^(crm|shop)\./ ? $type : $type =~ / / || $type =~ /^(bigint|integer|smallint|numeric|boolean|real|interval)$/ ? $type : "pg_catalog.$type";
        push @arguments, !defined $v ? "NULL::$shown" . ($array ? '[]' : '') : $array ? "ARRAY[$v]::$shown" . '[]' : "($v)::$shown";
    }
    my $list = join(', ', @arguments);
    # Procedures commit; functions leave nothing behind.
    if ($kind eq 'p') { $procedures .= "CALL $name($list);\n"; }
    else { $script .= "BEGIN; SELECT FROM $name($list); ROLLBACK;\n"; }
    # Without its arguments, and without each of them: nothing may take a null for a value.
    for my $null ('all', 0 .. $#arguments)
    {
        my @some = map { $null eq 'all' || $null eq $_ ? 'NULL::' . (split /::(?!.*::)/, $arguments[$_])[-1] : $arguments[$_] } 0 .. $#arguments;
        $script .= "BEGIN; SELECT FROM $name(" . join(', ', @some) . "); ROLLBACK;\n" if $kind eq 'f' && @arguments;
    }
    # With its defaults.
    if ($defaults)
    {
        my $short = join(', ', @arguments[ 0 .. $#arguments - $defaults ]);
        if ($kind eq 'p') { $procedures .= "CALL $name($short);\n"; }
        else { $script .= "BEGIN; SELECT FROM $name($short); ROLLBACK;\n"; }
    }
    $called++;
}
# Writes, whose triggers are written in C and PL/pgSQL.
my $writes = q{
    BEGIN;
    INSERT INTO shop.customer (customer_id) VALUES (900);
    UPDATE shop.customer SET tags = '{a,b}'::crm.tagset;
    INSERT INTO shop.purchase (customer_id, channel, order_no, status, amount, paid_at, completed_at) VALUES (900, 'mall', 'evil1', 'completed', 5000, pg_catalog.now(), pg_catalog.now()), (1, 'mall', 'evil2', 'completed', 9000, pg_catalog.now(), pg_catalog.now());
    UPDATE shop.purchase SET refunded = 10;
    SELECT FROM shop.redeem(1, 5, 'gift', 'evil');
    SELECT FROM shop.adjust(1, 5, 'gift', 'evil3');
    INSERT INTO shop.points_entry (customer_id, program, kind, points, source, reference) VALUES (2, 'points', 'earn', 7, 'gift', 'evil4');
    UPDATE shop.contact SET phone = '13912341234' RETURNING customer_id;
    UPDATE shop.tier_change SET note = 'x';
    ROLLBACK;
    BEGIN; DELETE FROM shop.purchase; ROLLBACK;
    BEGIN; DELETE FROM shop.tier_change; ROLLBACK;
    BEGIN; INSERT INTO shop.ticket (customer_id, kind, subject) VALUES (1, 'complaint', 'x'); ROLLBACK;
    BEGIN; INSERT INTO shop.interaction (customer_id, channel, direction) VALUES (1, 'phone', 'in'); ROLLBACK;
    BEGIN; TABLE shop.customer_360; ROLLBACK;
    BEGIN; TABLE shop.points_trial_balance; ROLLBACK;
    SELECT crm.create_store('second');
    SELECT crm.rename_store('second', 'third');
    SELECT crm.drop_store('third', confirm => 'third');
    SELECT FROM crm.health('shop');
    SELECT crm.apply_masks('shop.contact'::pg_catalog.regclass);
    SELECT FROM crm.check_masks();
};
$start = -s $trap;
my ($stdout, $stderr);
$node->psql('postgres', $script . $writes . $procedures, stdout => \$stdout, stderr => \$stderr, on_error_stop => 0);
my %errors;
$errors{$1}++ while $stderr =~ /ERROR:  (\w{5}: .*)/g;
my $failed = 0;
$failed += $_ for values %errors;
my $calls = () = "$script$procedures" =~ /^(?:BEGIN; SELECT|CALL)/mg;
note("$called functions and procedures, called $calls times; $failed calls ended with an error");
cmp_ok($failed, '<', $calls * 0.35, 'most calls do their work');
is(join("\n", grep { /^XX/ } sort keys %errors), '', 'no internal error');
note(join("\n", map { "$errors{$_} x $_" } (sort { $errors{$b} <=> $errors{$a} } keys %errors)[ 0 .. 30 ])) if $ENV{CRM_SHOW_ERRORS};
cmp_ok($called, '>', 500, 'all are called');
is(join("\n", caught_since($start)), '', 'nothing that was planted ran');
is(sql('SELECT count(*) FROM shop.recount_customers()'), '0', 'and the sums are right');
is(sql('SELECT count(*) FROM shop.points_verify()'), '0', 'and the ledger');

$node->stop;
done_testing();
