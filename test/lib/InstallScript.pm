# What can be told of an install script from its text: names that follow a foreign search_path, definitions that take over what
# stands there already, privileged functions without a path of their own, SQL that is put together without quoting.
# check_script(text, file, pins) gives [rule, function or statement, what] for each thing found; pins names the forms of SET search_path that will do.
package InstallScript;
use strict;
use warnings;
use Exporter 'import';
our @EXPORT_OK = qw(tokens check_script);

# Words that stand before a parenthesis and are no function, and functions that the grammar itself binds to pg_catalog.
my %word = map { $_ => 1 } qw(
    all and any array as atomic begin between by call case check coalesce constraint cross cube default desc distinct do each else elsif end
    except exclude exists extract filter for from full greatest group grouping having if in inner insert intersect into is join key lateral least left
    like limit materialized natural not nullif numeric of offset on only operator or order outer over partition perform position primary
    raise references returning returns right rollup row rows select set sets similar some substring table then to trim tuple union unique until update
    using values varchar char when where while with within xmltable overlay normalize foreach return exit continue conflict execute open
    overriding decimal bit time timestamp interval float precision current_date current_timestamp copy raise explain);
my %plain_type = map { $_ => 1 } qw(bigint int integer smallint boolean bool numeric decimal real double varchar char character timestamp time interval bit float);

sub tokens
{
    my ($sql) = @_;
    my @t;
    my $line = 1;
    pos($sql) = 0;
    while (pos($sql) < length $sql)
    {
        my $at = $line;
        if ($sql =~ /\G(\s+|--[^\n]*|\/\*.*?\*\/)/gcs) { $line += () = $1 =~ /\n/g; next; }
        my ($kind, $text);
        if ($sql =~ /\G[eE]'((?:[^'\\]|''|\\.)*)'/gcs || $sql =~ /\G'((?:[^']|'')*)'/gcs)
        {
            ($kind, $text) = ('string', $1);
            $line += () = $text =~ /\n/g;
            $text =~ s/''/'/g;
        }
        elsif ($sql =~ /\G\$(\w*)\$(.*?)\$\1\$/gcs) { ($kind, $text) = ('string', $2); $line += () = $text =~ /\n/g; }
        elsif ($sql =~ /\G"((?:[^"]|"")*)"/gc) { ($kind, $text) = ('quoted', $1); }
        elsif ($sql =~ /\G([A-Za-z_\x80-\xff][\w\$\x80-\xff]*)/gc) { ($kind, $text) = ('name', lc $1); }
        elsif ($sql =~ /\G(\$?\d[\d.]*)/gc) { ($kind, $text) = ('number', $1); if ($text =~ s/\.\.$//) { pos($sql) -= 2; } }
        elsif ($sql =~ /\G(::|:=|=>|\.\.|[(){}\[\],;.:])/gc) { ($kind, $text) = ('mark', $1); }
        elsif ($sql =~ /\G([-+*\/<>=~!@#%^&|`?]+?)(?=--|\/\*|[^-+*\/<>=~!@#%^&|`?]|$)/gc) { ($kind, $text) = ('operator', $1); }
        else { $sql =~ /\G(.)/gcs; ($kind, $text) = ('odd', $1); }
        push @t, [ $kind, $text, $at ];
    }
    return @t;
}

sub is_word { my ($t, @words) = @_; return $t && $t->[0] eq 'name' && grep { $t->[1] eq $_ } @words; }
sub is_mark { my ($t, $mark) = @_; return $t && $t->[0] eq 'mark' && $t->[1] eq $mark; }

# Statements of a script; a BEGIN ATOMIC body belongs to its statement.
sub statements
{
    my (@s, @now);
    my ($atomic, $case, $depth) = (0, 0, 0);
    my $previous;
    for my $t (@_)
    {
        $depth++ if is_mark($t, '(');
        $depth-- if is_mark($t, ')');
        if (is_word($t, 'atomic') && is_word($previous, 'begin')) { $atomic = 1; }
        elsif ($atomic && is_word($t, 'case')) { $case++; }
        elsif ($atomic && is_word($t, 'end')) { if ($case) { $case--; } else { $atomic = 0; } }
        if (is_mark($t, ';') && !$atomic && $depth == 0) { push @s, [@now] if @now; @now = (); }
        else { push @now, $t; }
        $previous = $t;
    }
    push @s, [@now] if @now;
    return @s;
}

sub spell { return join ' ', map { $_->[0] eq 'string' ? "'" . substr($_->[1], 0, 40) . "'" : $_->[1] } @_; }

# The expressions between the commas of a list of tokens.
sub parts
{
    my @parts = ([]);
    my $depth = 0;
    for my $t (@_)
    {
        $depth++ if $t->[0] eq 'mark' && $t->[1] =~ /^[(\[]$/;
        $depth-- if $t->[0] eq 'mark' && $t->[1] =~ /^[)\]]$/;
        if (is_mark($t, ',') && $depth == 0) { push @parts, []; } else { push @{ $parts[-1] }, $t; }
    }
    return @parts;
}

# Is an expression, put into SQL as it is, a quoted name or a number for certain?
sub safe_piece
{
    my ($types, @e) = @_;
    # A variable that is set once, where it is declared.
    return 1 if @e == 1 && $e[0][0] eq 'name' && ref $types->{"=$e[0][1]"} && safe_piece($types, @{ $types->{"=$e[0][1]"} });
    # (SELECT a piece FROM …), a name's text, one of several pieces
    if (@e > 3 && is_mark($e[0], '(') && is_word($e[1], 'select') && is_mark($e[-1], ')'))
    {
        my ($from) = grep { is_word($e[$_], 'from') } 0 .. $#e;
        return safe_piece($types, @e[ 2 .. $from - 1 ]) if $from;
    }
    if (@e > 3 && is_word($e[-1], 'text')) { my $n = is_mark($e[-2], '.') ? 4 : 2; return 1 if safe_piece($types, @e[ 0 .. $#e - $n ]); }
    if (@e > 5 && is_word($e[0], 'case') && is_word($e[-1], 'end'))
    {
        my @results = grep { is_word($e[$_], 'then', 'else') } 0 .. $#e;
        return !grep { my $i = $_ + 1; my $j = $i; $j++ until is_word($e[$j], 'when', 'else', 'end'); !safe_piece($types, @e[ $i .. $j - 1 ]) && !safe_sql($types, @e[ $i .. $j - 1 ]) } @results;
    }
    if (@e > 3 && is_word($e[0], 'crm') && is_word($e[2], 'quote_grantee', 'store_path')) { return 1; }
    return 1 if @e == 1 && $e[0][0] =~ /^(string|number)$/;
    return 1 if @e >= 2 && $e[-1][0] eq 'name' && $e[-1][1] =~ /^(reg\w+|integer|bigint)$/ && (is_mark($e[-2], '::') || is_mark($e[-2], '.'));
    return 1 if @e == 1 && $e[0][0] eq 'name' && ($types->{ $e[0][1] } // '') =~ /^(reg\w+|integer|bigint|int|smallint|oid)$/;
    if (@e >= 3 && is_word($e[0], 'pg_catalog') && is_mark($e[1], '.')) { splice @e, 0, 2; }
    if (@e >= 3 && $e[0][0] eq 'name' && $e[0][1] =~ /^(quote_ident|quote_literal|quote_nullable|format_type|pg_get_expr|pg_get_viewdef)$/ && is_mark($e[-1], ')')) { return 1; }
    return safe_sql($types, @e) if @e >= 3 && is_word($e[0], 'format');
    return 0;
}

# Is an expression SQL whose every part is a literal or quoted?
sub safe_sql
{
    my ($types, @e) = @_;
    # a || b || c
    my (@pieces, $depth);
    @pieces = ([]);
    $depth = 0;
    for my $t (@e)
    {
        $depth++ if $t->[0] eq 'mark' && $t->[1] =~ /^[(\[]$/;
        $depth-- if $t->[0] eq 'mark' && $t->[1] =~ /^[)\]]$/;
        if ($t->[0] eq 'operator' && $t->[1] eq '||' && $depth == 0) { push @pieces, []; } else { push @{ $pieces[-1] }, $t; }
    }
    if (@pieces > 1) { safe_sql($types, @$_) || safe_piece($types, @$_) || return 0 for @pieces; return 1; }
    return 1 if @e && !grep { $_->[0] ne 'string' } @e;
    return 1 if @e == 1 && $e[0][0] eq 'name' && ref $types->{"=$e[0][1]"} && safe_sql($types, @{ $types->{"=$e[0][1]"} });
    return safe_piece($types, @e) if @e && is_word($e[0], 'case');
    if (@e >= 3 && is_word($e[0], 'pg_catalog') && is_mark($e[1], '.')) { splice @e, 0, 2; }
    return 0 unless @e >= 4 && is_word($e[0], 'format') && is_mark($e[1], '(') && is_mark($e[-1], ')');
    my ($template, @args) = parts(@e[ 2 .. $#e - 1 ]);
    return 0 if grep { $_->[0] ne 'string' } @$template;
    my ($text, $n) = (join('', map { $_->[1] } @$template), 0);
    while ($text =~ /%(?:(%)|(?:(\d+)\$)?-?\d*([sIL]))/g)
    {
        next if $1;
        $n = $2 ? $2 : $n + 1;
        return 0 if $3 eq 's' && !safe_piece($types, @{ $args[ $n - 1 ] // [] });
    }
    return 1;
}

# Names and operators of a body that no pinned search_path protects.
sub follows_path
{
    my (@t) = @_;
    my @found;
    my ($assigning, $setting, $protected) = (0, 0, 0);
    for my $i (0 .. $#t)
    {
        my ($t, $next, $before) = ($t[$i], $t[ $i + 1 ], $i ? $t[ $i - 1 ] : undef);
        my $two = $i > 1 ? $t[ $i - 2 ] : undef;
        # PERFORM set_config('search_path', …) protects what follows, up to the end of the transaction.
        $setting = 1 if is_word($t, 'set_config') && $t[ $i + 2 ][1] eq 'search_path';
        ($protected, $setting) = (1, 0) if $setting && is_mark($t, ';');
        $protected = 0 if is_word($t, 'commit', 'rollback');
        next if $protected;
        $assigning = 1 if is_word($t, 'set') || is_word($t, 'using');
        $assigning = 0 if is_mark($t, ';') || is_word($t, 'where', 'from', 'select', 'returning', 'loop');
        if ($t->[0] eq 'operator')
        {
            next if is_mark($before, '.') || is_word($before, 'operator') || ($t->[1] eq '=' && $assigning);
            # OPERATOR(pg_catalog.=), count(*), SELECT *, r.*, a sign
            next if $t->[1] eq '*' && (is_mark($before, '(') || is_word($before, 'select') || is_mark($before, '.'));
            next if $t->[1] eq '-' && $next && $next->[0] eq 'number' && ($before->[0] eq 'operator' || $before->[0] eq 'mark' && $before->[1] =~ /^(\(|,|:=|=>)$/);
            next if $t->[1] =~ /^(<<|>>)$/ || is_word($two, 'diagnostics');
            push @found, "operator $t->[1]";
        }
        elsif ($t->[0] eq 'name' && is_mark($next, '(') && !is_mark($before, '.') && !$word{ $t->[1] })
        {
            # INSERT INTO t (columns) and WITH x (columns) name relations, seen below.
            next if is_word($before, 'into', 'as', 'join', 'from') && !is_word($two, 'distinct');
            push @found, "function $t->[1]()";
        }
        elsif ($t->[0] eq 'name' && is_mark($before, '::') && !is_mark($next, '.') && !$plain_type{ $t->[1] }) { push @found, "type $t->[1]"; }
        if ($t->[0] eq 'name' && is_word($before, 'from', 'join', 'into', 'update') && !is_mark($next, '.') && !is_mark($next, '(')
            && !$word{ $t->[1] } && (is_word($two, 'insert', 'delete') || is_word($before, 'join', 'update') && !is_word($two, 'do', 'for')))
        {
            push @found, "relation $t->[1]";
        }
    }
    return @found;
}

# The types of variables and parameters, by name; and those that a search_path would look up.
sub declared
{
    my (@t) = @_;
    my (%types, @found);
    my $i = 0;
    return (\%types) unless is_word($t[0], 'declare');
    $i++;
    while ($i < @t && !is_word($t[$i], 'begin'))
    {
        my $name = $t[ $i++ ][1];
        $i++ while $i < @t && is_word($t[$i], 'constant');
        my $type = $t[$i][1];
        if (is_mark($t[ $i + 1 ], '.') && is_word($t[$i], 'pg_catalog')) { $type = $t[ $i + 2 ][1]; }
        elsif ($t[$i][0] eq 'name' && !is_mark($t[ $i + 1 ], '.') && !$plain_type{$type} && $type ne 'alias' && $type ne 'cursor') { push @found, "type $type"; }
        $types{$name} = $type;
        my ($depth, @value);
        $depth = 0;
        while ($i < @t && !(is_mark($t[$i], ';') && $depth <= 0))
        {
            $depth++ if is_mark($t[$i], '(');
            $depth-- if is_mark($t[$i], ')');
            push @value, $t[$i] if @value || is_mark($t[$i], ':=') || is_word($t[$i], 'default');
            $i++;
        }
        $i++;
        shift @value;
        my $changed = grep { $t[$_][0] eq 'name' && $t[$_][1] eq $name && (is_mark($t[ $_ + 1 ], ':=') || is_word($t[ $_ - 1 ], 'into')) } $i .. $#t;
        $types{"=$name"} = \@value if @value && !$changed;
    }
    return (\%types, @found);
}

sub check_function
{
    my ($statement, $pins) = @_;
    my @t = @$statement;
    my ($i) = grep { is_word($t[$_], 'function', 'procedure') } 1 .. 4;
    my $name = $t[ $i + 1 ][1];
    $name = $t[ $i + 3 ][1] if is_mark($t[ $i + 2 ], '.');
    my ($language, $definer, $pinned, $body, $atomic) = ('', 0, 0, undef, 0);
    my (%types, $depth, $first);
    $depth = 0;
    for my $j ($i + 2 .. $#t)
    {
        my $t = $t[$j];
        if (is_mark($t, '(')) { $depth++; }
        elsif (is_mark($t, ')')) { $depth--; }
        elsif ($depth == 1 && !defined $first && $t->[0] eq 'name' && ($t[ $j - 1 ][0] eq 'mark' || is_word($t[ $j - 1 ], 'out', 'inout', 'variadic')) && ($t[ $j + 1 ][0] // '') eq 'name')
        {
            $types{ $t->[1] } = is_mark($t[ $j + 2 ], '.') ? $t[ $j + 3 ][1] : $t[ $j + 1 ][1];
        }
        next if $depth;
        if (is_word($t, 'language')) { $first = $j; $language = $t[ $j + 1 ][1]; }
        elsif (is_word($t, 'definer') && is_word($t[ $j - 1 ], 'security')) { $definer = 1; }
        elsif (is_word($t, 'search_path') && is_word($t[ $j - 1 ], 'set'))
        {
            my $k = $j + 1;
            my @pin;
            while ($k < @t && !is_word($t[$k], 'as', 'set', 'begin', 'return', 'language', 'security', 'stable', 'immutable')) { push @pin, $t[ $k++ ]; }
            my $pin = join ' ', map { $_->[1] } @pin;
            $pin =~ s/^(=|to) //;
            $pin =~ s/ , /, /g;
            $pinned = 1 if grep { $_ eq $pin } @$pins;
        }
        elsif (is_word($t, 'as') && ($t[ $j + 1 ][0] // '') eq 'string') { $body = $t[ $j + 1 ][1]; }
        elsif (is_word($t, 'atomic') || is_word($t, 'return')) { $atomic = 1; last; }
    }
    # What runs no text of its own, so nothing that could follow a path.
    return if $language eq 'c' || $language eq 'internal' || $language eq 'crm_points';
    my @found;
    push @found, [ 'definer', $name, 'SECURITY DEFINER without a pinned search_path' ] if $definer && !$pinned;
    return @found if $atomic || !defined $body;
    my @body = tokens($body);
    my ($declared, @types) = $language eq 'plpgsql' ? declared(@body) : ({});
    %types = (%types, %$declared);
    if (!$pinned)
    {
        push @found, [ 'path', $name, "follows the caller's search_path: $_" ] for @types, follows_path(@body);
    }
    return @found if $language ne 'plpgsql';
    for my $j (0 .. $#body)
    {
        next unless is_word($body[$j], 'execute') && !is_word($body[ $j + 1 ], 'function', 'procedure', 'on');
        my $before = $j ? $body[ $j - 1 ] : undef;
        next if is_word($before, 'grant', 'revoke');
        my ($k, $d, @e) = ($j + 1, 0);
        while ($k < @body)
        {
            my $t = $body[$k];
            $d++ if is_mark($t, '(');
            $d-- if is_mark($t, ')');
            last if $d == 0 && (is_mark($t, ';') || is_word($t, 'into', 'using', 'loop'));
            push @e, $t;
            $k++;
        }
        push @found, [ 'dynamic', $name, spell(@e) ] unless safe_sql(\%types, @e);
    }
    return @found;
}

sub check_script
{
    my ($text, $pins) = @_;
    my @found;
    for my $s (statements(tokens($text)))
    {
        my @t = @$s;
        my $head = spell(@t[ 0 .. ($#t < 7 ? $#t : 7) ]);
        if (is_word($t[0], 'create'))
        {
            push @found, [ 'replace', $head, 'CREATE OR REPLACE takes over what is there' ] if is_word($t[1], 'or') && is_word($t[2], 'replace');
            push @found, [ 'exists', $head, 'IF NOT EXISTS accepts what is there' ]
                if grep { is_word($t[$_], 'if') && is_word($t[ $_ + 1 ], 'not') && is_word($t[ $_ + 2 ], 'exists') } 1 .. 4;
            push @found, check_function($s, $pins) if grep { is_word($t[$_], 'function', 'procedure') } 1 .. ($#t < 4 ? $#t : 4);
        }
        elsif (is_word($t[0], 'do'))
        {
            my ($body) = grep { $_->[0] eq 'string' } @t;
            my @body = tokens($body->[1]);
            my ($types) = declared(@body);
            for my $j (grep { is_word($body[$_], 'execute') && !is_word($body[ $_ + 1 ], 'function', 'procedure', 'on') } 0 .. $#body)
            {
                my ($k, @e) = ($j + 1);
                while ($k < @body && !is_mark($body[$k], ';') && !is_word($body[$k], 'into', 'using', 'loop')) { push @e, $body[ $k++ ]; }
                push @found, [ 'dynamic', 'DO', spell(@e) ] unless safe_sql($types, @e);
            }
        }
    }
    return @found;
}
1;
