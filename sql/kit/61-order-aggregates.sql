-- Aggregates for passes over all orders, which keep little for each customer.

CREATE FUNCTION money_sum_add(bigint, numeric) RETURNS bigint
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION money_sum_add(bigint, numeric) IS 'transition of money_sum';

CREATE FUNCTION money_sum_combine(bigint, bigint) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION money_sum_combine(bigint, bigint) IS 'joins two states of money_sum';

CREATE FUNCTION money_sum_final(bigint) RETURNS numeric
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION money_sum_final(bigint) IS 'result of money_sum';

CREATE AGGREGATE money_sum(amount numeric) (
    SFUNC = money_sum_add, STYPE = bigint, FINALFUNC = money_sum_final, COMBINEFUNC = money_sum_combine, PARALLEL = SAFE
);
COMMENT ON AGGREGATE money_sum(numeric) IS
'sum of amounts of at most four decimals, as sum() gives it: exact, in eight bytes a group where sum(numeric) keeps some hundred. Null without any. Error: 22003 out of range, or more than four decimals';

CREATE FUNCTION latest_add(bytea, text, timestamptz, text) RETURNS bytea
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION latest_add(bytea, text, timestamptz, text) IS 'transition of latest';

CREATE FUNCTION latest_combine(bytea, bytea) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION latest_combine(bytea, bytea) IS 'joins two states of latest';

CREATE FUNCTION latest_final(bytea) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION latest_final(bytea) IS 'result of latest';

CREATE AGGREGATE latest(value text, at timestamptz, tie text) (
    SFUNC = latest_add, STYPE = bytea, SSPACE = 64, FINALFUNC = latest_final, COMBINEFUNC = latest_combine, PARALLEL = SAFE
);
COMMENT ON AGGREGATE latest(text, timestamptz, text) IS
'the value with the latest moment; of several those with the smallest tie, of these the smallest value. Rows with a null count nothing. Needs no sorting, and parallel workers can take part';
