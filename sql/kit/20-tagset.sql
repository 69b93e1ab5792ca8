-- The type tagset: a canonical set of text tags in one value.

CREATE TYPE tagset;

CREATE FUNCTION tagset_in(cstring) RETURNS tagset
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tagset_in(cstring) IS 'reads a tagset written like an array, {vip,"a, b"}; raises 22P02 when malformed, CT001 for what is no tag, CT002 for a tag over 255 bytes, 22004 for NULL';
CREATE FUNCTION tagset_out(tagset) RETURNS cstring
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tagset_out(tagset) IS 'writes a tagset like an array, sorted bytewise';
CREATE FUNCTION tagset_recv(internal) RETURNS tagset
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tagset_recv(internal) IS 'reads the binary form: byte 1, int32 count, then for each tag int32 length and text; folds and checks as the text form does';
CREATE FUNCTION tagset_send(tagset) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tagset_send(tagset) IS 'writes the binary form that tagset_recv reads';

CREATE TYPE tagset (
    INPUT = tagset_in,
    OUTPUT = tagset_out,
    RECEIVE = tagset_recv,
    SEND = tagset_send,
    STORAGE = extended
);
COMMENT ON TYPE tagset IS 'a set of text tags: NFKC case-folded by ICU, white space trimmed and collapsed, sorted bytewise, unique';

-- Casts and elements

CREATE FUNCTION tagset(text[]) RETURNS tagset
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tagset(text[]) IS 'the set of an array''s elements; raises CT001 for what is no tag, CT002 for a tag over 255 bytes, 22004 for a null element';
CREATE FUNCTION tag_array(tagset) RETURNS text[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tag_array(tagset) IS 'the tags as an array, sorted bytewise';
CREATE CAST (text[] AS tagset) WITH FUNCTION tagset(text[]) AS ASSIGNMENT;
CREATE CAST (tagset AS text[]) WITH FUNCTION tag_array(tagset) AS ASSIGNMENT;

CREATE FUNCTION tags(tagset) RETURNS SETOF text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 10 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tags(tagset) IS 'the tags, one a row, sorted bytewise';
CREATE FUNCTION cardinality(tagset) RETURNS integer
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'tagset_cardinality';
COMMENT ON FUNCTION cardinality(tagset) IS 'number of tags';

-- Order and hash

CREATE FUNCTION tagset_cmp(tagset, tagset) RETURNS integer
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tagset_cmp(tagset, tagset) IS 'order of two sets as lists of sorted tags: -1, 0 or 1';
CREATE FUNCTION tagset_eq(tagset, tagset) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_ne(tagset, tagset) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_lt(tagset, tagset) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_le(tagset, tagset) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_gt(tagset, tagset) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_ge(tagset, tagset) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_hash(tagset) RETURNS integer
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_hash_extended(tagset, bigint) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tagset_eq(tagset, tagset) IS 'the same tags; implementation of =';
COMMENT ON FUNCTION tagset_ne(tagset, tagset) IS 'not the same tags; implementation of <>';
COMMENT ON FUNCTION tagset_lt(tagset, tagset) IS 'before in order; implementation of <';
COMMENT ON FUNCTION tagset_le(tagset, tagset) IS 'before in order or equal; implementation of <=';
COMMENT ON FUNCTION tagset_gt(tagset, tagset) IS 'behind in order; implementation of >';
COMMENT ON FUNCTION tagset_ge(tagset, tagset) IS 'behind in order or equal; implementation of >=';
COMMENT ON FUNCTION tagset_hash(tagset) IS 'hash of a set';
COMMENT ON FUNCTION tagset_hash_extended(tagset, bigint) IS '64-bit hash of a set with a seed';

CREATE OPERATOR = (
    LEFTARG = tagset, RIGHTARG = tagset, FUNCTION = tagset_eq, COMMUTATOR = =, NEGATOR = <>,
    RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES);
CREATE OPERATOR <> (
    LEFTARG = tagset, RIGHTARG = tagset, FUNCTION = tagset_ne, COMMUTATOR = <>, NEGATOR = =,
    RESTRICT = neqsel, JOIN = neqjoinsel);
CREATE OPERATOR < (
    LEFTARG = tagset, RIGHTARG = tagset, FUNCTION = tagset_lt, COMMUTATOR = >, NEGATOR = >=,
    RESTRICT = scalarltsel, JOIN = scalarltjoinsel);
CREATE OPERATOR <= (
    LEFTARG = tagset, RIGHTARG = tagset, FUNCTION = tagset_le, COMMUTATOR = >=, NEGATOR = >,
    RESTRICT = scalarlesel, JOIN = scalarlejoinsel);
CREATE OPERATOR > (
    LEFTARG = tagset, RIGHTARG = tagset, FUNCTION = tagset_gt, COMMUTATOR = <, NEGATOR = <=,
    RESTRICT = scalargtsel, JOIN = scalargtjoinsel);
CREATE OPERATOR >= (
    LEFTARG = tagset, RIGHTARG = tagset, FUNCTION = tagset_ge, COMMUTATOR = <=, NEGATOR = <,
    RESTRICT = scalargesel, JOIN = scalargejoinsel);

CREATE OPERATOR CLASS tagset_btree_ops DEFAULT FOR TYPE tagset USING btree AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
    FUNCTION 1 tagset_cmp(tagset, tagset);
COMMENT ON OPERATOR CLASS tagset_btree_ops USING btree IS 'order of the lists of sorted tags';
CREATE OPERATOR CLASS tagset_hash_ops DEFAULT FOR TYPE tagset USING hash AS
    OPERATOR 1 =,
    FUNCTION 1 tagset_hash(tagset), FUNCTION 2 tagset_hash_extended(tagset, bigint);
COMMENT ON OPERATOR CLASS tagset_hash_ops USING hash IS 'hash of a set of tags, for joins and GROUP BY';

-- Membership. What these answer never depends on more than their arguments and never raises, hence LEAKPROOF.

CREATE FUNCTION tagset_contains(tagset, tagset) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_contained(tagset, tagset) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_overlaps(tagset, tagset) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_has_tag(tagset, text) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_has_any(tagset, text[]) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_has_all(tagset, text[]) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION has_tag(tags tagset, tag text) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE
AS 'MODULE_PATHNAME', 'tagset_has_tag';
COMMENT ON FUNCTION tagset_contains(tagset, tagset) IS 'every tag of the right set; implementation of @>';
COMMENT ON FUNCTION tagset_contained(tagset, tagset) IS 'no tag but those of the right set; implementation of <@';
COMMENT ON FUNCTION tagset_overlaps(tagset, tagset) IS 'a tag in common; implementation of &&';
COMMENT ON FUNCTION tagset_has_tag(tagset, text) IS 'the tag; the text is folded, and one that is no tag is in no set; implementation of ?';
COMMENT ON FUNCTION tagset_has_any(tagset, text[]) IS 'one of the tags; nulls are passed over; implementation of ?|';
COMMENT ON FUNCTION tagset_has_all(tagset, text[]) IS 'all of the tags; nulls are passed over; implementation of ?&';
COMMENT ON FUNCTION has_tag(tagset, text) IS 'the same as tags ? tag, index and all, for drivers whose placeholder is ?';

CREATE OPERATOR @> (LEFTARG = tagset, RIGHTARG = tagset, FUNCTION = tagset_contains, COMMUTATOR = <@);
CREATE OPERATOR <@ (LEFTARG = tagset, RIGHTARG = tagset, FUNCTION = tagset_contained, COMMUTATOR = @>);
CREATE OPERATOR && (LEFTARG = tagset, RIGHTARG = tagset, FUNCTION = tagset_overlaps, COMMUTATOR = &&);
CREATE OPERATOR ? (LEFTARG = tagset, RIGHTARG = text, FUNCTION = tagset_has_tag);
CREATE OPERATOR ?| (LEFTARG = tagset, RIGHTARG = text[], FUNCTION = tagset_has_any);
CREATE OPERATOR ?& (LEFTARG = tagset, RIGHTARG = text[], FUNCTION = tagset_has_all);

-- Algebra. There is no - (tagset, tagset): an untyped literal would be taken for a set where a tag is meant.

CREATE FUNCTION tagset_or(tagset, tagset) RETURNS tagset
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_and(tagset, tagset) RETURNS tagset
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_add(tagset, text) RETURNS tagset
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_remove(tagset, text) RETURNS tagset
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_remove(tagset, text[]) RETURNS tagset
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tagset_remove_array';
COMMENT ON FUNCTION tagset_or(tagset, tagset) IS 'the tags of either set; implementation of |';
COMMENT ON FUNCTION tagset_and(tagset, tagset) IS 'the tags of both sets; implementation of &';
COMMENT ON FUNCTION tagset_add(tagset, text) IS 'the set with one tag more; raises CT001 or CT002 for what is no tag; implementation of +';
COMMENT ON FUNCTION tagset_remove(tagset, text) IS 'the set without a tag; implementation of -';
COMMENT ON FUNCTION tagset_remove(tagset, text[]) IS 'the set without the tags of an array; implementation of -';

CREATE OPERATOR | (LEFTARG = tagset, RIGHTARG = tagset, FUNCTION = tagset_or, COMMUTATOR = |);
CREATE OPERATOR & (LEFTARG = tagset, RIGHTARG = tagset, FUNCTION = tagset_and, COMMUTATOR = &);
CREATE OPERATOR + (LEFTARG = tagset, RIGHTARG = text, FUNCTION = tagset_add);
CREATE OPERATOR - (LEFTARG = tagset, RIGHTARG = text, FUNCTION = tagset_remove);
CREATE OPERATOR - (LEFTARG = tagset, RIGHTARG = text[], FUNCTION = tagset_remove);

CREATE FUNCTION jaccard(tagset, tagset) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION jaccard(tagset, tagset) IS 'likeness of two sets, 0 to 1: shared tags over all tags; 1 for two empty sets';

-- Namespaces: of channel:tmall, channel is the namespace and tmall the value.

CREATE FUNCTION tag_put(tags tagset, tag text) RETURNS tagset
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tag_put(tagset, text) IS 'the set with namespace:value in place of every other tag of that namespace; raises CT003 for a tag without namespace or value, CT001 or CT002 for what is no tag';
CREATE FUNCTION tag_value(tags tagset, namespace text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tag_value(tagset, text) IS 'the value that the set has in a namespace, without the namespace; the first bytewise when there are several; null when there is none';
