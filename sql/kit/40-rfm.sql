-- Recency, frequency, monetary value.

CREATE TYPE rfm;
CREATE FUNCTION rfm_in(cstring) RETURNS rfm LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION rfm_out(rfm) RETURNS cstring LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION rfm_recv(internal) RETURNS rfm LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION rfm_send(rfm) RETURNS bytea LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE TYPE rfm (
    INPUT = rfm_in, OUTPUT = rfm_out, RECEIVE = rfm_recv, SEND = rfm_send,
    LIKE = integer
);
COMMENT ON TYPE rfm IS 'three scores, written r-f-m such as 5-4-3, the best being the highest; ordered by r, then f, then m';

CREATE FUNCTION rfm(r integer, f integer, m integer) RETURNS rfm LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION rfm(integer, integer, integer) IS 'makes a score from its three numbers, each 1 to 100. Error: 22003 out of range';
CREATE FUNCTION r(rfm) RETURNS integer LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION r(rfm) IS 'recency score, highest for those who bought last';
CREATE FUNCTION f(rfm) RETURNS integer LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION f(rfm) IS 'frequency score';
CREATE FUNCTION m(rfm) RETURNS integer LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION m(rfm) IS 'monetary score';

-- A score is stored as an integer that orders as the score does.
CREATE FUNCTION rfm_eq(rfm, rfm) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'int4eq';
CREATE FUNCTION rfm_ne(rfm, rfm) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'int4ne';
CREATE FUNCTION rfm_lt(rfm, rfm) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'int4lt';
CREATE FUNCTION rfm_le(rfm, rfm) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'int4le';
CREATE FUNCTION rfm_gt(rfm, rfm) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'int4gt';
CREATE FUNCTION rfm_ge(rfm, rfm) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'int4ge';
CREATE FUNCTION rfm_cmp(rfm, rfm) RETURNS integer LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'btint4cmp';
CREATE FUNCTION rfm_sortsupport(internal) RETURNS void LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'btint4sortsupport';
CREATE FUNCTION rfm_hash(rfm) RETURNS integer LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'hashint4';
CREATE FUNCTION rfm_hash_extended(rfm, bigint) RETURNS bigint LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'hashint4extended';

CREATE OPERATOR = (LEFTARG = rfm, RIGHTARG = rfm, FUNCTION = rfm_eq, COMMUTATOR = =, NEGATOR = <>, RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES);
CREATE OPERATOR <> (LEFTARG = rfm, RIGHTARG = rfm, FUNCTION = rfm_ne, COMMUTATOR = <>, NEGATOR = =, RESTRICT = neqsel, JOIN = neqjoinsel);
CREATE OPERATOR < (LEFTARG = rfm, RIGHTARG = rfm, FUNCTION = rfm_lt, COMMUTATOR = >, NEGATOR = >=, RESTRICT = scalarltsel, JOIN = scalarltjoinsel);
CREATE OPERATOR <= (LEFTARG = rfm, RIGHTARG = rfm, FUNCTION = rfm_le, COMMUTATOR = >=, NEGATOR = >, RESTRICT = scalarlesel, JOIN = scalarlejoinsel);
CREATE OPERATOR > (LEFTARG = rfm, RIGHTARG = rfm, FUNCTION = rfm_gt, COMMUTATOR = <, NEGATOR = <=, RESTRICT = scalargtsel, JOIN = scalargtjoinsel);
CREATE OPERATOR >= (LEFTARG = rfm, RIGHTARG = rfm, FUNCTION = rfm_ge, COMMUTATOR = <=, NEGATOR = <, RESTRICT = scalargesel, JOIN = scalargejoinsel);
COMMENT ON OPERATOR = (rfm, rfm) IS 'the same score';
COMMENT ON OPERATOR <> (rfm, rfm) IS 'different scores';
COMMENT ON OPERATOR < (rfm, rfm) IS 'before in the order by r, then f, then m';
COMMENT ON OPERATOR <= (rfm, rfm) IS 'before in the order by r, then f, then m, or the same';
COMMENT ON OPERATOR > (rfm, rfm) IS 'after in the order by r, then f, then m';
COMMENT ON OPERATOR >= (rfm, rfm) IS 'after in the order by r, then f, then m, or the same';
CREATE OPERATOR CLASS rfm_ops DEFAULT FOR TYPE rfm USING btree AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
    FUNCTION 1 rfm_cmp(rfm, rfm), FUNCTION 2 rfm_sortsupport(internal), FUNCTION 4 btequalimage(oid);
COMMENT ON OPERATOR CLASS rfm_ops USING btree IS 'order by r, then f, then m';
CREATE OPERATOR CLASS rfm_hash_ops DEFAULT FOR TYPE rfm USING hash AS
    OPERATOR 1 =, FUNCTION 1 rfm_hash(rfm), FUNCTION 2 rfm_hash_extended(rfm, bigint);
COMMENT ON OPERATOR CLASS rfm_hash_ops USING hash IS 'hash of a score, for joins and GROUP BY';

CREATE TYPE rfm_model;
CREATE FUNCTION rfm_model_in(cstring) RETURNS rfm_model LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION rfm_model_out(rfm_model) RETURNS cstring LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION rfm_model_recv(internal) RETURNS rfm_model LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION rfm_model_send(rfm_model) RETURNS bytea LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE TYPE rfm_model (
    INPUT = rfm_model_in, OUTPUT = rfm_model_out, RECEIVE = rfm_model_recv, SEND = rfm_model_send,
    INTERNALLENGTH = VARIABLE, ALIGNMENT = double, STORAGE = extended
);
COMMENT ON TYPE rfm_model IS
'ascending cut points of recency, frequency and monetary value; written as JSON: closed (right: a value equal to a cut point falls in the lower bin; left: in the upper), r, f, m, and, when fitted, customers and their mean scores';

CREATE FUNCTION rfm_model(r double precision[], f double precision[], m double precision[], right_closed boolean DEFAULT false) RETURNS rfm_model
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION rfm_model(double precision[], double precision[], double precision[], boolean) IS
'a model of given cut points, n of them making n + 1 scores. A value equal to a cut point falls in the upper bin, so that {2,5} says "from 2" and "from 5"; in the lower one when right_closed. Error: 22023 when they do not ascend, are not finite, or are not 1 to 99';
CREATE FUNCTION r_cuts(rfm_model) RETURNS double precision[] LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION r_cuts(rfm_model) IS 'cut points of recency, ascending in days';
CREATE FUNCTION f_cuts(rfm_model) RETURNS double precision[] LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION f_cuts(rfm_model) IS 'cut points of frequency, ascending';
CREATE FUNCTION m_cuts(rfm_model) RETURNS double precision[] LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION m_cuts(rfm_model) IS 'cut points of monetary value, ascending';
CREATE CAST (rfm_model AS jsonb) WITH INOUT;
COMMENT ON CAST (rfm_model AS jsonb) IS 'the text form is JSON';

CREATE FUNCTION rfm_score(model rfm_model, recency double precision, frequency double precision, monetary double precision) RETURNS rfm
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION rfm_score(rfm_model, double precision, double precision, double precision) IS
'scores a customer: recency is days since the last order (the fewer, the higher the score), frequency orders, monetary spend; null when one is null';

CREATE FUNCTION rfm_score(model rfm_model, recency double precision, frequency double precision, monetary numeric) RETURNS rfm
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'rfm_score_numeric';
COMMENT ON FUNCTION rfm_score(rfm_model, double precision, double precision, numeric) IS 'the same of an amount that is numeric, without the cost of the cast';

CREATE FUNCTION rfm_fit_add(internal, double precision, double precision, double precision) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION rfm_fit_add(internal, double precision, double precision, double precision, integer) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION rfm_fit_add(internal, double precision, double precision, double precision, integer, text) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION rfm_fit_add_numeric(internal, double precision, double precision, numeric) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION rfm_fit_add_numeric(internal, double precision, double precision, numeric, integer) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION rfm_fit_add_numeric(internal, double precision, double precision, numeric, integer, text) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION rfm_fit_combine(internal, internal) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION rfm_fit_serialize(internal) RETURNS bytea LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION rfm_fit_deserialize(bytea, internal) RETURNS internal LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION rfm_fit_final(internal) RETURNS rfm_model LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';

CREATE AGGREGATE rfm_fit(recency double precision, frequency double precision, monetary double precision) (
    SFUNC = rfm_fit_add, STYPE = internal, FINALFUNC = rfm_fit_final, COMBINEFUNC = rfm_fit_combine,
    SERIALFUNC = rfm_fit_serialize, DESERIALFUNC = rfm_fit_deserialize, PARALLEL = SAFE);
CREATE AGGREGATE rfm_fit(recency double precision, frequency double precision, monetary double precision, bins integer) (
    SFUNC = rfm_fit_add, STYPE = internal, FINALFUNC = rfm_fit_final, COMBINEFUNC = rfm_fit_combine,
    SERIALFUNC = rfm_fit_serialize, DESERIALFUNC = rfm_fit_deserialize, PARALLEL = SAFE);
CREATE AGGREGATE rfm_fit(recency double precision, frequency double precision, monetary double precision, bins integer, method text) (
    SFUNC = rfm_fit_add, STYPE = internal, FINALFUNC = rfm_fit_final, COMBINEFUNC = rfm_fit_combine,
    SERIALFUNC = rfm_fit_serialize, DESERIALFUNC = rfm_fit_deserialize, PARALLEL = SAFE);
COMMENT ON AGGREGATE rfm_fit(double precision, double precision, double precision) IS
'fits a model of 5 bins with the method quantile';
COMMENT ON AGGREGATE rfm_fit(double precision, double precision, double precision, integer) IS
'fits a model with the method quantile';
COMMENT ON AGGREGATE rfm_fit(double precision, double precision, double precision, integer, text) IS
'fits a model to customers: cut points are those of percentile_cont at 1/bins, 2/bins ... Method quantile: bins (a, b]. Method quantile_plus_one: cut points + 1, bins [a, b), as the R package rfm does. Customers with a null are left out; null when none is left. Bins and method are those of the first row. Errors: 22023 bins not 2 to 100, unknown method, value not finite';
CREATE AGGREGATE rfm_fit(recency double precision, frequency double precision, monetary numeric) (
    SFUNC = rfm_fit_add_numeric, STYPE = internal, FINALFUNC = rfm_fit_final, COMBINEFUNC = rfm_fit_combine,
    SERIALFUNC = rfm_fit_serialize, DESERIALFUNC = rfm_fit_deserialize, PARALLEL = SAFE);
COMMENT ON AGGREGATE rfm_fit(double precision, double precision, numeric) IS 'the same of amounts that are numeric, without the cost of the cast';
CREATE AGGREGATE rfm_fit(recency double precision, frequency double precision, monetary numeric, bins integer) (
    SFUNC = rfm_fit_add_numeric, STYPE = internal, FINALFUNC = rfm_fit_final, COMBINEFUNC = rfm_fit_combine,
    SERIALFUNC = rfm_fit_serialize, DESERIALFUNC = rfm_fit_deserialize, PARALLEL = SAFE);
COMMENT ON AGGREGATE rfm_fit(double precision, double precision, numeric, integer) IS 'the same of amounts that are numeric';
CREATE AGGREGATE rfm_fit(recency double precision, frequency double precision, monetary numeric, bins integer, method text) (
    SFUNC = rfm_fit_add_numeric, STYPE = internal, FINALFUNC = rfm_fit_final, COMBINEFUNC = rfm_fit_combine,
    SERIALFUNC = rfm_fit_serialize, DESERIALFUNC = rfm_fit_deserialize, PARALLEL = SAFE);
COMMENT ON AGGREGATE rfm_fit(double precision, double precision, numeric, integer, text) IS 'the same of amounts that are numeric';

CREATE FUNCTION rfm_segment(rfm, scheme text DEFAULT 'rfm_package', lang text DEFAULT 'en') RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION rfm_segment(rfm, text, text) IS
'names the segment of a score from 1 to 5. Schemes: rfm_package and rfm_package_v02 (the tables of the R package rfm 0.3.0 and 0.2; the first match wins), eight (each axis high when above the mean score, here 3, the middle of five bins). Languages: zh, en. Error: 22023 unknown scheme or language';
CREATE FUNCTION rfm_segment(rfm, model rfm_model, scheme text, lang text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'rfm_segment_of_model';
COMMENT ON FUNCTION rfm_segment(rfm, rfm_model, text, text) IS
'names the segment of a score given by this model: as the form without it, but the scheme eight compares with the mean scores of the customers that the model was fitted on';
