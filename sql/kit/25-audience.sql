-- crm.audience: a set of customer ids.

CREATE TYPE audience;

CREATE FUNCTION audience_in(cstring) RETURNS audience
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION audience_in(cstring) IS 'reads {1,2,5-9}: ids and ranges in any order';
CREATE FUNCTION audience_out(audience) RETURNS cstring
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION audience_out(audience) IS 'writes {1,2,5-9}: ids in order, three and more in a row as a range';
CREATE FUNCTION audience_recv(internal) RETURNS audience
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION audience_recv(internal) IS 'reads the binary form, checked to the last bit';
CREATE FUNCTION audience_send(audience) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION audience_send(audience) IS 'binary form: version, high halves, and a portable Roaring bitmap for each';

CREATE TYPE audience (
    INPUT = audience_in,
    OUTPUT = audience_out,
    RECEIVE = audience_recv,
    SEND = audience_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = int4,
    STORAGE = external
);
COMMENT ON TYPE audience IS 'a set of customer ids (bigint) as Roaring bitmaps; text form {1,2,5-9}; at most 4294967295 ids';

CREATE FUNCTION audience(ids bigint[]) RETURNS audience
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION audience(bigint[]) IS 'the set of the ids in an array; error 22004 when one is null';
CREATE FUNCTION audience_to_array(audience) RETURNS bigint[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION audience_to_array(audience) IS 'the ids in order as an array; error 54000 beyond what an array holds';
CREATE CAST (bigint[] AS audience) WITH FUNCTION audience(bigint[]);
CREATE CAST (audience AS bigint[]) WITH FUNCTION audience_to_array(audience);

-- Algebra.

CREATE FUNCTION audience_or(audience, audience) RETURNS audience
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION audience_or(audience, audience) IS 'ids of either; operator |';
CREATE FUNCTION audience_and(audience, audience) RETURNS audience
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION audience_and(audience, audience) IS 'ids of both; operator &';
CREATE FUNCTION audience_minus(audience, audience) RETURNS audience
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION audience_minus(audience, audience) IS 'ids of the first that are not of the second; operator -';
CREATE FUNCTION audience_xor(audience, audience) RETURNS audience
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION audience_xor(audience, audience) IS 'ids of one alone; operator #';

CREATE OPERATOR | (LEFTARG = audience, RIGHTARG = audience, FUNCTION = audience_or, COMMUTATOR = |);
COMMENT ON OPERATOR | (audience, audience) IS 'ids of either';
CREATE OPERATOR & (LEFTARG = audience, RIGHTARG = audience, FUNCTION = audience_and, COMMUTATOR = &);
COMMENT ON OPERATOR & (audience, audience) IS 'ids of both';
CREATE OPERATOR - (LEFTARG = audience, RIGHTARG = audience, FUNCTION = audience_minus);
COMMENT ON OPERATOR - (audience, audience) IS 'ids of the first that are not of the second';
CREATE OPERATOR # (LEFTARG = audience, RIGHTARG = audience, FUNCTION = audience_xor, COMMUTATOR = #);
COMMENT ON OPERATOR # (audience, audience) IS 'ids of one alone';

-- Tests.

CREATE FUNCTION audience_has(audience, bigint) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION audience_has(audience, bigint) IS 'is the id in the audience? operator @>';
CREATE FUNCTION audience_member_of(bigint, audience) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION audience_member_of(bigint, audience) IS 'is the id in the audience? operator <@';
CREATE FUNCTION audience_contains(audience, audience) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION audience_contains(audience, audience) IS 'has the first every id of the second? operator @>';
CREATE FUNCTION audience_contained(audience, audience) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION audience_contained(audience, audience) IS 'is every id of the first in the second? operator <@';
CREATE FUNCTION audience_overlaps(audience, audience) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION audience_overlaps(audience, audience) IS 'do they share an id? operator &&';

CREATE OPERATOR @> (LEFTARG = audience, RIGHTARG = bigint, FUNCTION = audience_has, COMMUTATOR = <@,
    RESTRICT = contsel, JOIN = contjoinsel);
COMMENT ON OPERATOR @> (audience, bigint) IS 'is the id in the audience?';
CREATE OPERATOR <@ (LEFTARG = bigint, RIGHTARG = audience, FUNCTION = audience_member_of, COMMUTATOR = @>,
    RESTRICT = contsel, JOIN = contjoinsel);
COMMENT ON OPERATOR <@ (bigint, audience) IS 'is the id in the audience?';
CREATE OPERATOR @> (LEFTARG = audience, RIGHTARG = audience, FUNCTION = audience_contains, COMMUTATOR = <@,
    RESTRICT = contsel, JOIN = contjoinsel);
COMMENT ON OPERATOR @> (audience, audience) IS 'has the first every id of the second?';
CREATE OPERATOR <@ (LEFTARG = audience, RIGHTARG = audience, FUNCTION = audience_contained, COMMUTATOR = @>,
    RESTRICT = contsel, JOIN = contjoinsel);
COMMENT ON OPERATOR <@ (audience, audience) IS 'is every id of the first in the second?';
CREATE OPERATOR && (LEFTARG = audience, RIGHTARG = audience, FUNCTION = audience_overlaps, COMMUTATOR = &&,
    RESTRICT = contsel, JOIN = contjoinsel);
COMMENT ON OPERATOR && (audience, audience) IS 'do they share an id?';

-- Sizes and members.

CREATE FUNCTION cardinality(audience) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audience_cardinality';
COMMENT ON FUNCTION cardinality(audience) IS 'number of ids';
CREATE FUNCTION is_empty(audience) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audience_is_empty';
COMMENT ON FUNCTION is_empty(audience) IS 'has it no id?';
CREATE FUNCTION and_cardinality(audience, audience) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION and_cardinality(audience, audience) IS 'cardinality(a & b) without making the set';
CREATE FUNCTION or_cardinality(audience, audience) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION or_cardinality(audience, audience) IS 'cardinality(a | b) without making the set';
CREATE FUNCTION minus_cardinality(audience, audience) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION minus_cardinality(audience, audience) IS 'cardinality(a - b) without making the set';
CREATE FUNCTION audience_jaccard(audience, audience) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION audience_jaccard(audience, audience) IS 'likeness, 0 to 1: share of the ids of either that are in both; 1 for two empty ones. Its name leaves jaccard() to tag sets, so that literals need no cast there';
CREATE FUNCTION members(audience) RETURNS SETOF bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 10000 AS 'MODULE_PATHNAME', 'audience_members';
COMMENT ON FUNCTION members(audience) IS 'the ids in order; in a select list they stream';
CREATE FUNCTION min(audience) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audience_min';
COMMENT ON FUNCTION min(audience) IS 'the least id; null when empty';
CREATE FUNCTION max(audience) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audience_max';
COMMENT ON FUNCTION max(audience) IS 'the greatest id; null when empty';
CREATE FUNCTION rank(audience, id bigint) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audience_rank';
COMMENT ON FUNCTION rank(audience, bigint) IS 'number of ids up to and with this one';
CREATE FUNCTION "select"(audience, rank bigint) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audience_select';
COMMENT ON FUNCTION "select"(audience, bigint) IS 'the id with this rank, from 1; null when there are fewer. Call it as crm.select(...)';

-- Samples and splits.

CREATE FUNCTION sample(audience, n bigint, seed bigint DEFAULT 0) RETURNS audience
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audience_sample';
COMMENT ON FUNCTION sample(audience, bigint, bigint) IS 'n ids at random, the same for the same seed; all when there are no more. Error 22003 when n is negative';
CREATE FUNCTION split(audience, fraction double precision, seed bigint DEFAULT 0) RETURNS audience
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audience_split';
COMMENT ON FUNCTION split(audience, double precision, bigint) IS
'about this fraction (0 to 1) of the ids, for hold-outs: whether an id is in depends on the id and the seed alone, so it stays when the audience grows. The rest is a - split(a, ...). Error 22003 outside 0 to 1';
CREATE FUNCTION in_split(id bigint, fraction double precision, seed bigint DEFAULT 0) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION in_split(bigint, double precision, bigint) IS 'does split() with this fraction and seed keep the id?';

-- Order: that of the lists of ids, so that a prefix comes first.

CREATE FUNCTION audience_eq(audience, audience) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
CREATE FUNCTION audience_ne(audience, audience) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
CREATE FUNCTION audience_lt(audience, audience) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
CREATE FUNCTION audience_le(audience, audience) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
CREATE FUNCTION audience_gt(audience, audience) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
CREATE FUNCTION audience_ge(audience, audience) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
CREATE FUNCTION audience_cmp(audience, audience) RETURNS integer
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
CREATE FUNCTION audience_hash(audience) RETURNS integer
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
CREATE FUNCTION audience_hash_extended(audience, bigint) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION audience_eq(audience, audience) IS 'the same ids? operator =';
COMMENT ON FUNCTION audience_ne(audience, audience) IS 'not the same ids? operator <>';
COMMENT ON FUNCTION audience_lt(audience, audience) IS 'before in the order of the lists of ids? operator <';
COMMENT ON FUNCTION audience_le(audience, audience) IS 'before or equal? operator <=';
COMMENT ON FUNCTION audience_gt(audience, audience) IS 'after? operator >';
COMMENT ON FUNCTION audience_ge(audience, audience) IS 'after or equal? operator >=';
COMMENT ON FUNCTION audience_cmp(audience, audience) IS 'order: -1, 0 or 1';
COMMENT ON FUNCTION audience_hash(audience) IS 'hash, for joins and grouping';
COMMENT ON FUNCTION audience_hash_extended(audience, bigint) IS 'hash with a seed, for partitions by hash';

CREATE OPERATOR = (LEFTARG = audience, RIGHTARG = audience, FUNCTION = audience_eq, COMMUTATOR = =, NEGATOR = <>,
    RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES);
CREATE OPERATOR <> (LEFTARG = audience, RIGHTARG = audience, FUNCTION = audience_ne, COMMUTATOR = <>, NEGATOR = =,
    RESTRICT = neqsel, JOIN = neqjoinsel);
CREATE OPERATOR < (LEFTARG = audience, RIGHTARG = audience, FUNCTION = audience_lt, COMMUTATOR = >, NEGATOR = >=,
    RESTRICT = scalarltsel, JOIN = scalarltjoinsel);
CREATE OPERATOR <= (LEFTARG = audience, RIGHTARG = audience, FUNCTION = audience_le, COMMUTATOR = >=, NEGATOR = >,
    RESTRICT = scalarlesel, JOIN = scalarlejoinsel);
CREATE OPERATOR > (LEFTARG = audience, RIGHTARG = audience, FUNCTION = audience_gt, COMMUTATOR = <, NEGATOR = <=,
    RESTRICT = scalargtsel, JOIN = scalargtjoinsel);
CREATE OPERATOR >= (LEFTARG = audience, RIGHTARG = audience, FUNCTION = audience_ge, COMMUTATOR = <=, NEGATOR = <,
    RESTRICT = scalargesel, JOIN = scalargejoinsel);
COMMENT ON OPERATOR = (audience, audience) IS 'the same ids?';
COMMENT ON OPERATOR <> (audience, audience) IS 'not the same ids?';
COMMENT ON OPERATOR < (audience, audience) IS 'before in the order of the lists of ids?';
COMMENT ON OPERATOR <= (audience, audience) IS 'before or equal?';
COMMENT ON OPERATOR > (audience, audience) IS 'after?';
COMMENT ON OPERATOR >= (audience, audience) IS 'after or equal?';

CREATE OPERATOR CLASS audience_btree_ops DEFAULT FOR TYPE audience USING btree AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
    FUNCTION 1 audience_cmp(audience, audience);
COMMENT ON OPERATOR CLASS audience_btree_ops USING btree IS 'order of the lists of ids';
CREATE OPERATOR CLASS audience_hash_ops DEFAULT FOR TYPE audience USING hash AS
    OPERATOR 1 =,
    FUNCTION 1 audience_hash(audience),
    FUNCTION 2 audience_hash_extended(audience, bigint);
COMMENT ON OPERATOR CLASS audience_hash_ops USING hash IS 'hash of a set of ids, for joins and GROUP BY';

-- Aggregates.

CREATE FUNCTION audience_agg_add(internal, bigint) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION audience_or_add(internal, audience) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION audience_or_combine(internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION audience_and_add(internal, audience) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION audience_and_combine(internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION audience_xor_add(internal, audience) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION audience_xor_combine(internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION audience_agg_final(internal) RETURNS audience
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION audience_agg_serialize(internal) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION audience_agg_deserialize(bytea, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';

COMMENT ON FUNCTION audience_agg_add(internal, bigint) IS 'transition of audience_agg';
COMMENT ON FUNCTION audience_or_add(internal, audience) IS 'transition of audience_or_agg';
COMMENT ON FUNCTION audience_or_combine(internal, internal) IS 'combines states of audience_agg and audience_or_agg';
COMMENT ON FUNCTION audience_and_add(internal, audience) IS 'transition of audience_and_agg';
COMMENT ON FUNCTION audience_and_combine(internal, internal) IS 'combines states of audience_and_agg';
COMMENT ON FUNCTION audience_xor_add(internal, audience) IS 'transition of audience_xor_agg';
COMMENT ON FUNCTION audience_xor_combine(internal, internal) IS 'combines states of audience_xor_agg';
COMMENT ON FUNCTION audience_agg_final(internal) IS 'result of the audience aggregates';
COMMENT ON FUNCTION audience_agg_serialize(internal) IS 'state of an audience aggregate as bytes, for parallel plans';
COMMENT ON FUNCTION audience_agg_deserialize(bytea, internal) IS 'state of an audience aggregate from bytes; they are checked';

CREATE AGGREGATE audience_agg(bigint) (
    SFUNC = audience_agg_add, STYPE = internal, SSPACE = 65536, FINALFUNC = audience_agg_final,
    COMBINEFUNC = audience_or_combine, SERIALFUNC = audience_agg_serialize, DESERIALFUNC = audience_agg_deserialize,
    PARALLEL = SAFE);
COMMENT ON AGGREGATE audience_agg(bigint) IS 'the set of the ids; nulls are left out; null when there are none';
CREATE AGGREGATE audience_or_agg(audience) (
    SFUNC = audience_or_add, STYPE = internal, SSPACE = 65536, FINALFUNC = audience_agg_final,
    COMBINEFUNC = audience_or_combine, SERIALFUNC = audience_agg_serialize, DESERIALFUNC = audience_agg_deserialize,
    PARALLEL = SAFE);
COMMENT ON AGGREGATE audience_or_agg(audience) IS 'ids of any; null when there are no audiences';
CREATE AGGREGATE audience_and_agg(audience) (
    SFUNC = audience_and_add, STYPE = internal, SSPACE = 65536, FINALFUNC = audience_agg_final,
    COMBINEFUNC = audience_and_combine, SERIALFUNC = audience_agg_serialize, DESERIALFUNC = audience_agg_deserialize,
    PARALLEL = SAFE);
COMMENT ON AGGREGATE audience_and_agg(audience) IS 'ids of all; null when there are no audiences';
CREATE AGGREGATE audience_xor_agg(audience) (
    SFUNC = audience_xor_add, STYPE = internal, SSPACE = 65536, FINALFUNC = audience_agg_final,
    COMBINEFUNC = audience_xor_combine, SERIALFUNC = audience_agg_serialize, DESERIALFUNC = audience_agg_deserialize,
    PARALLEL = SAFE);
COMMENT ON AGGREGATE audience_xor_agg(audience) IS 'ids of an odd number of the audiences; null when there are no audiences';
