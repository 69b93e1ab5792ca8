-- The type tagquery: a boolean expression over tags.

CREATE TYPE tagquery;

CREATE FUNCTION tagquery_in(cstring) RETURNS tagquery
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tagquery_in(cstring) IS 'reads a query such as vip & ("new customer" | channel:*) & !churned; raises 22P02 when malformed, CT001 or CT002 for what is no tag, CT005 over 10000 tags or 500 levels';
CREATE FUNCTION tagquery_out(tagquery) RETURNS cstring
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tagquery_out(tagquery) IS 'writes a query with folded tags and no needless parentheses';
CREATE FUNCTION tagquery_recv(internal) RETURNS tagquery
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tagquery_recv(internal) IS 'reads the binary form: byte 1, then the text';
CREATE FUNCTION tagquery_send(tagquery) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tagquery_send(tagquery) IS 'writes the binary form that tagquery_recv reads';

CREATE TYPE tagquery (
    INPUT = tagquery_in,
    OUTPUT = tagquery_out,
    RECEIVE = tagquery_recv,
    SEND = tagquery_send,
    STORAGE = extended
);
COMMENT ON TYPE tagquery IS 'a boolean expression over tags: & | ! ( ), "quotes" for odd tags, * at the end of a tag for a prefix';
CREATE CAST (text AS tagquery) WITH INOUT;

CREATE FUNCTION tagset_matches(tagset, tagquery) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE COST 2 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tagset_matches(tagset, tagquery) IS 'the set matches the query; implementation of @@';
CREATE FUNCTION tagquery_matched_by(tagquery, tagset) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE COST 2 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tagquery_matched_by(tagquery, tagset) IS 'the query is matched by the set; implementation of @@';

CREATE OPERATOR @@ (LEFTARG = tagset, RIGHTARG = tagquery, FUNCTION = tagset_matches, COMMUTATOR = @@);
CREATE OPERATOR @@ (LEFTARG = tagquery, RIGHTARG = tagset, FUNCTION = tagquery_matched_by, COMMUTATOR = @@);

-- Order and hash, so that saved queries can be told apart; the order itself means nothing.

CREATE FUNCTION tagquery_cmp(tagquery, tagquery) RETURNS integer
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagquery_eq(tagquery, tagquery) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagquery_ne(tagquery, tagquery) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagquery_lt(tagquery, tagquery) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagquery_le(tagquery, tagquery) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagquery_gt(tagquery, tagquery) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagquery_ge(tagquery, tagquery) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagquery_hash(tagquery) RETURNS integer
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tagquery_cmp(tagquery, tagquery) IS 'order of two queries: -1, 0 or 1';
COMMENT ON FUNCTION tagquery_eq(tagquery, tagquery) IS 'written the same but for spaces, folding and parentheses; implementation of =';
COMMENT ON FUNCTION tagquery_ne(tagquery, tagquery) IS 'not written the same; implementation of <>';
COMMENT ON FUNCTION tagquery_lt(tagquery, tagquery) IS 'before in order; implementation of <';
COMMENT ON FUNCTION tagquery_le(tagquery, tagquery) IS 'before in order or equal; implementation of <=';
COMMENT ON FUNCTION tagquery_gt(tagquery, tagquery) IS 'behind in order; implementation of >';
COMMENT ON FUNCTION tagquery_ge(tagquery, tagquery) IS 'behind in order or equal; implementation of >=';
COMMENT ON FUNCTION tagquery_hash(tagquery) IS 'hash of a query';

CREATE OPERATOR = (
    LEFTARG = tagquery, RIGHTARG = tagquery, FUNCTION = tagquery_eq, COMMUTATOR = =, NEGATOR = <>,
    RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES);
CREATE OPERATOR <> (
    LEFTARG = tagquery, RIGHTARG = tagquery, FUNCTION = tagquery_ne, COMMUTATOR = <>, NEGATOR = =,
    RESTRICT = neqsel, JOIN = neqjoinsel);
CREATE OPERATOR < (
    LEFTARG = tagquery, RIGHTARG = tagquery, FUNCTION = tagquery_lt, COMMUTATOR = >, NEGATOR = >=,
    RESTRICT = scalarltsel, JOIN = scalarltjoinsel);
CREATE OPERATOR <= (
    LEFTARG = tagquery, RIGHTARG = tagquery, FUNCTION = tagquery_le, COMMUTATOR = >=, NEGATOR = >,
    RESTRICT = scalarlesel, JOIN = scalarlejoinsel);
CREATE OPERATOR > (
    LEFTARG = tagquery, RIGHTARG = tagquery, FUNCTION = tagquery_gt, COMMUTATOR = <, NEGATOR = <=,
    RESTRICT = scalargtsel, JOIN = scalargtjoinsel);
CREATE OPERATOR >= (
    LEFTARG = tagquery, RIGHTARG = tagquery, FUNCTION = tagquery_ge, COMMUTATOR = <=, NEGATOR = <,
    RESTRICT = scalargesel, JOIN = scalargejoinsel);

CREATE OPERATOR CLASS tagquery_btree_ops DEFAULT FOR TYPE tagquery USING btree AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
    FUNCTION 1 tagquery_cmp(tagquery, tagquery);
COMMENT ON OPERATOR CLASS tagquery_btree_ops USING btree IS 'order of the canonical forms';
CREATE OPERATOR CLASS tagquery_hash_ops DEFAULT FOR TYPE tagquery USING hash AS
    OPERATOR 1 =, FUNCTION 1 tagquery_hash(tagquery);
COMMENT ON OPERATOR CLASS tagquery_hash_ops USING hash IS 'hash of the canonical form, for joins and GROUP BY';
