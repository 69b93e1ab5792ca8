-- purchase_months: orders and spend by calendar month in one small value.

CREATE TYPE purchase_months;

CREATE FUNCTION purchase_months_in(cstring) RETURNS purchase_months
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION purchase_months_in(cstring) IS 'input of purchase_months';

CREATE FUNCTION purchase_months_out(purchase_months) RETURNS cstring
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION purchase_months_out(purchase_months) IS 'output of purchase_months';

CREATE FUNCTION purchase_months_recv(internal) RETURNS purchase_months
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION purchase_months_recv(internal) IS 'binary input of purchase_months';

CREATE FUNCTION purchase_months_send(purchase_months) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION purchase_months_send(purchase_months) IS 'binary output of purchase_months';

CREATE TYPE purchase_months (
    INPUT = purchase_months_in, OUTPUT = purchase_months_out,
    RECEIVE = purchase_months_recv, SEND = purchase_months_send,
    STORAGE = extended
);
COMMENT ON TYPE purchase_months IS
'orders and spend by calendar month (UTC), as in {2025-01:3:299.5,2025-02:1:10}: months ascending, each with orders and spend; about six bytes a month';

CREATE FUNCTION purchase_months(at timestamptz, spend numeric, orders bigint DEFAULT 1) RETURNS purchase_months
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'purchase_months_make';
COMMENT ON FUNCTION purchase_months(timestamptz, numeric, bigint) IS 'the value of one order, or of several in one month; spend has at most four decimals. Errors: 22008 outside the years 1 to 9999, 22003 amount out of range';

CREATE FUNCTION purchase_months_add(purchase_months, purchase_months) RETURNS purchase_months
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION purchase_months_add(purchase_months, purchase_months) IS 'sum, month by month; months that come to nothing are left out. Error: 22003 out of range';

CREATE OPERATOR + (LEFTARG = purchase_months, RIGHTARG = purchase_months, FUNCTION = purchase_months_add, COMMUTATOR = +);
COMMENT ON OPERATOR + (purchase_months, purchase_months) IS 'sum, month by month';

CREATE FUNCTION purchase_months_accum(purchase_months, timestamptz, numeric) RETURNS purchase_months
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION purchase_months_accum(purchase_months, timestamptz, numeric) IS 'transition of purchase_months_agg';

CREATE AGGREGATE purchase_months_agg(at timestamptz, spend numeric) (
    SFUNC = purchase_months_accum, STYPE = purchase_months, INITCOND = '{}',
    COMBINEFUNC = purchase_months_add, PARALLEL = SAFE
);
COMMENT ON AGGREGATE purchase_months_agg(timestamptz, numeric) IS 'orders and spend by month; rows without a moment or an amount count nothing';

CREATE FUNCTION months_orders(months purchase_months, after timestamptz, until timestamptz) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION months_orders(purchase_months, timestamptz, timestamptz) IS 'orders of the months (UTC) that lie wholly in (after, until]; -infinity and infinity are allowed';

CREATE FUNCTION months_spend(months purchase_months, after timestamptz, until timestamptz) RETURNS numeric
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION months_spend(purchase_months, timestamptz, timestamptz) IS 'spend of the months (UTC) that lie wholly in (after, until]; -infinity and infinity are allowed';

CREATE FUNCTION month_buckets(months purchase_months, OUT month date, OUT orders bigint, OUT spend numeric) RETURNS SETOF record
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 12 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION month_buckets(purchase_months) IS 'the months as rows: first day (UTC), orders, spend';

CREATE FUNCTION purchase_months_eq(purchase_months, purchase_months) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION purchase_months_eq(purchase_months, purchase_months) IS 'implementation of =';
CREATE FUNCTION purchase_months_ne(purchase_months, purchase_months) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION purchase_months_ne(purchase_months, purchase_months) IS 'implementation of <>';
CREATE FUNCTION purchase_months_lt(purchase_months, purchase_months) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION purchase_months_lt(purchase_months, purchase_months) IS 'implementation of <';
CREATE FUNCTION purchase_months_le(purchase_months, purchase_months) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION purchase_months_le(purchase_months, purchase_months) IS 'implementation of <=';
CREATE FUNCTION purchase_months_gt(purchase_months, purchase_months) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION purchase_months_gt(purchase_months, purchase_months) IS 'implementation of >';
CREATE FUNCTION purchase_months_ge(purchase_months, purchase_months) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION purchase_months_ge(purchase_months, purchase_months) IS 'implementation of >=';
CREATE FUNCTION purchase_months_cmp(purchase_months, purchase_months) RETURNS integer
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION purchase_months_cmp(purchase_months, purchase_months) IS 'order of the bytes, for sorting and grouping';
CREATE FUNCTION purchase_months_hash(purchase_months) RETURNS integer
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION purchase_months_hash(purchase_months) IS 'hash, for grouping and joins';

CREATE OPERATOR = (LEFTARG = purchase_months, RIGHTARG = purchase_months, FUNCTION = purchase_months_eq,
    COMMUTATOR = =, NEGATOR = <>, RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES);
COMMENT ON OPERATOR = (purchase_months, purchase_months) IS 'equal';
CREATE OPERATOR <> (LEFTARG = purchase_months, RIGHTARG = purchase_months, FUNCTION = purchase_months_ne,
    COMMUTATOR = <>, NEGATOR = =, RESTRICT = neqsel, JOIN = neqjoinsel);
COMMENT ON OPERATOR <> (purchase_months, purchase_months) IS 'not equal';
CREATE OPERATOR < (LEFTARG = purchase_months, RIGHTARG = purchase_months, FUNCTION = purchase_months_lt,
    COMMUTATOR = >, NEGATOR = >=, RESTRICT = scalarltsel, JOIN = scalarltjoinsel);
COMMENT ON OPERATOR < (purchase_months, purchase_months) IS 'before in the order of the bytes';
CREATE OPERATOR <= (LEFTARG = purchase_months, RIGHTARG = purchase_months, FUNCTION = purchase_months_le,
    COMMUTATOR = >=, NEGATOR = >, RESTRICT = scalarlesel, JOIN = scalarlejoinsel);
COMMENT ON OPERATOR <= (purchase_months, purchase_months) IS 'before in the order of the bytes, or equal';
CREATE OPERATOR > (LEFTARG = purchase_months, RIGHTARG = purchase_months, FUNCTION = purchase_months_gt,
    COMMUTATOR = <, NEGATOR = <=, RESTRICT = scalargtsel, JOIN = scalargtjoinsel);
COMMENT ON OPERATOR > (purchase_months, purchase_months) IS 'after in the order of the bytes';
CREATE OPERATOR >= (LEFTARG = purchase_months, RIGHTARG = purchase_months, FUNCTION = purchase_months_ge,
    COMMUTATOR = <=, NEGATOR = <, RESTRICT = scalargesel, JOIN = scalargejoinsel);
COMMENT ON OPERATOR >= (purchase_months, purchase_months) IS 'after in the order of the bytes, or equal';

CREATE OPERATOR CLASS purchase_months_ops DEFAULT FOR TYPE purchase_months USING btree AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
    FUNCTION 1 purchase_months_cmp(purchase_months, purchase_months);
COMMENT ON OPERATOR CLASS purchase_months_ops USING btree IS 'order of the bytes, for DISTINCT and set operations';
CREATE OPERATOR CLASS purchase_months_hash_ops DEFAULT FOR TYPE purchase_months USING hash AS
    OPERATOR 1 =, FUNCTION 1 purchase_months_hash(purchase_months);
COMMENT ON OPERATOR CLASS purchase_months_hash_ops USING hash IS 'hash of the bytes, for joins and GROUP BY';

-- The triggers of the order path.

CREATE FUNCTION purchase_changed() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION purchase_changed() IS
'statement trigger of purchase: keeps customer_summary exact and tells points and value; finds customer_summary by the foreign key of its table and acts as the table''s owner';

CREATE FUNCTION customer_added() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION customer_added() IS 'statement trigger of customer: gives each new customer a row of customer_summary';

CREATE FUNCTION purchase_check(order_no text, status text, amount numeric, refunded numeric, freight numeric, discount numeric, cost numeric,
                               ordered_at timestamptz, paid_at timestamptz, completed_at timestamptz, currency text, currency_rate numeric)
RETURNS boolean LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION purchase_check(text, text, numeric, numeric, numeric, numeric, numeric, timestamptz, timestamptz, timestamptz, text, numeric) IS
'true, or an error that names the order: 23514 for an unknown status word, a negative amount, a refund above the amount, an infinite moment, a currency that is not a code of three letters, a rate that is not positive';

CREATE FUNCTION purchase_order_at(status text, amount numeric, refunded numeric, paid_at timestamptz, ordered_at timestamptz)
RETURNS timestamptz LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION purchase_order_at(text, numeric, numeric, timestamptz, timestamptz) IS
'the moment at which an order counts: paid_at, else ordered_at, of an order that is paid, shipped or completed and not refunded in full (or cost nothing); else null';

CREATE FUNCTION purchase_net(status text, amount numeric, refunded numeric)
RETURNS numeric LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION purchase_net(text, numeric, numeric) IS 'what an order adds to spend: amount - refunded of one that is paid, shipped or completed, else 0';
