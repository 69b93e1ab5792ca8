-- Conditions on customers, as data.

CREATE TYPE rule;

CREATE FUNCTION rule_in(cstring) RETURNS rule
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION rule_in(cstring) IS 'reads and checks a rule. Errors: 42601 syntax, CU001 not on the closed list, CU003 a constant that is no date, number or interval, 54000 too long';

CREATE FUNCTION rule_out(rule) RETURNS cstring
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION rule_out(rule) IS 'writes a rule in canonical form, which reads back as the same rule';

CREATE FUNCTION rule_recv(internal) RETURNS rule
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION rule_recv(internal) IS 'reads the binary form: a byte 1 and the text, checked as on input';

CREATE FUNCTION rule_send(rule) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION rule_send(rule) IS 'writes the binary form';

CREATE TYPE rule (
    INPUT = rule_in,
    OUTPUT = rule_out,
    RECEIVE = rule_recv,
    SEND = rule_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = int4,
    STORAGE = extended
);
COMMENT ON TYPE rule IS 'a condition over named columns, such as spend_12m >= 1500 AND last_order_at > now() - interval ''90 days''. Columns, constants, comparison, AND OR NOT, IN, BETWEEN, LIKE, IS, arithmetic, tag operators and a short list of functions; nothing else';

CREATE FUNCTION rule_eq(rule, rule) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION rule_eq(rule, rule) IS 'are two rules the same in canonical form?';

CREATE FUNCTION rule_ne(rule, rule) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION rule_ne(rule, rule) IS 'do two rules differ in canonical form?';

CREATE FUNCTION rule_hash(rule) RETURNS integer
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION rule_hash(rule) IS 'hash of a rule, for DISTINCT and hash joins';

CREATE OPERATOR = (LEFTARG = rule, RIGHTARG = rule, FUNCTION = rule_eq, COMMUTATOR = =, NEGATOR = <>,
                   RESTRICT = eqsel, JOIN = eqjoinsel, HASHES);
CREATE OPERATOR <> (LEFTARG = rule, RIGHTARG = rule, FUNCTION = rule_ne, COMMUTATOR = <>, NEGATOR = =,
                    RESTRICT = neqsel, JOIN = neqjoinsel);
COMMENT ON OPERATOR = (rule, rule) IS 'the same in canonical form';
COMMENT ON OPERATOR <> (rule, rule) IS 'different in canonical form';

CREATE OPERATOR CLASS rule_hash_ops DEFAULT FOR TYPE rule USING hash AS
    OPERATOR 1 =,
    FUNCTION 1 rule_hash(rule);
COMMENT ON OPERATOR CLASS rule_hash_ops USING hash IS 'hash of the canonical form, for joins and GROUP BY';

CREATE FUNCTION rule_columns(rule rule) RETURNS text[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION rule_columns(rule) IS 'names of the columns that a rule uses, each once, in order of appearance';

CREATE FUNCTION rule_check(rule rule, relation regclass) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION rule_check(rule, regclass) IS 'true when every column of a rule is there and every comparison fits their types; else raises CU002 or CU003 with the place in the rule';

CREATE FUNCTION rule_sql(rule rule, relation regclass, alias text, as_of timestamptz DEFAULT now(), time_zone text DEFAULT 'Asia/Shanghai')
RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION rule_sql(rule, regclass, text, timestamptz, text) IS
'a rule as SQL for a table or view that stands in a query under an alias: columns quoted, operators and types qualified, now() and CURRENT_DATE replaced by as_of in the time zone, so that the result depends on no setting of the session. Division by zero gives null. anniversary(birth_date) reads contact in the schema of the relation';

CREATE FUNCTION rule_sql_each(rule rule, relation regclass, alias text, moment text, time_zone text DEFAULT 'Asia/Shanghai')
RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION rule_sql_each(rule, regclass, text, text, text) IS
'like rule_sql, but each row has a moment of its own: now() becomes the column of the alias that moment names';

CREATE FUNCTION rule_branches(rule rule) RETURNS text[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION rule_branches(rule) IS 'the conditions that a rule joins by OR, each a rule by itself; of another rule, the rule alone';

CREATE FUNCTION rule_threshold(rule rule, OUT column_name text, OUT threshold numeric) RETURNS record
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION rule_threshold(rule) IS 'column and limit of a rule such as spend_12m >= 500; null for any other';

CREATE FUNCTION rule_test(rule rule, columns record, as_of timestamptz DEFAULT now(), time_zone text DEFAULT 'Asia/Shanghai')
RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION rule_test(rule, record, timestamptz, text) IS
'does a row satisfy a rule? By the evaluator of the order path, without SQL. False when the rule says null; null when the rule needs more than the row holds. The row''s columns must be of types boolean, bigint, numeric, double precision, text, date, timestamptz, interval or crm.tagset';

CREATE FUNCTION rule_guard() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION rule_guard() IS 'BEFORE INSERT OR UPDATE trigger, for each row, of tables that hold rules: checks all columns of type crm.rule against the columns of the table or view that its argument names in the same schema';

CREATE FUNCTION anniversary(day date, as_of date) RETURNS date
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION anniversary(date, date) IS 'the first day on or after as_of on which a date comes round again; 29 February comes round on 28 February in common years';

CREATE FUNCTION value_rules_changed() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION value_rules_changed() IS 'statement trigger of tables whose rules the order path keeps compiled (tier, tag_rule, settings, tag, tag_namespace): makes every session read them again';
