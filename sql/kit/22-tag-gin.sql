-- GIN over tagset.

CREATE FUNCTION gin_tag_compare(text, text) RETURNS integer
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION gin_extract_tagset(tagset, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION gin_extract_tagset_query(tagset, internal, int2, internal, internal, internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION gin_tagset_consistent(internal, int2, tagset, integer, internal, internal, internal, internal) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION gin_tagset_triconsistent(internal, int2, tagset, integer, internal, internal, internal) RETURNS "char"
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION gin_tag_prefix(text, text, int2, internal) RETURNS integer
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION gin_tag_compare(text, text) IS 'bytewise order of two keys of a tag index; called by the index';
COMMENT ON FUNCTION gin_extract_tagset(tagset, internal) IS 'the keys of a row in a tag index; called by the index';
COMMENT ON FUNCTION gin_extract_tagset_query(tagset, internal, int2, internal, internal, internal, internal) IS 'the keys to look for in a tag index; called by the index';
COMMENT ON FUNCTION gin_tagset_consistent(internal, int2, tagset, integer, internal, internal, internal, internal) IS 'whether a row with these keys matches; called by the index';
COMMENT ON FUNCTION gin_tagset_triconsistent(internal, int2, tagset, integer, internal, internal, internal) IS 'whether a row may match when some keys are unknown; called by the index';
COMMENT ON FUNCTION gin_tag_prefix(text, text, int2, internal) IS 'whether a key begins with a prefix; called by the index';

CREATE OPERATOR CLASS gin_tagset_ops DEFAULT FOR TYPE tagset USING gin AS
    OPERATOR 1 && (tagset, tagset),
    OPERATOR 2 @> (tagset, tagset),
    OPERATOR 3 <@ (tagset, tagset),
    OPERATOR 4 = (tagset, tagset),
    OPERATOR 9 ? (tagset, text),
    OPERATOR 10 ?| (tagset, text[]),
    OPERATOR 11 ?& (tagset, text[]),
    OPERATOR 20 @@ (tagset, tagquery),
    FUNCTION 1 gin_tag_compare(text, text),
    FUNCTION 2 gin_extract_tagset(tagset, internal),
    FUNCTION 3 gin_extract_tagset_query(tagset, internal, int2, internal, internal, internal, internal),
    FUNCTION 4 gin_tagset_consistent(internal, int2, tagset, integer, internal, internal, internal, internal),
    FUNCTION 5 gin_tag_prefix(text, text, int2, internal),
    FUNCTION 6 gin_tagset_triconsistent(internal, int2, tagset, integer, internal, internal, internal),
    STORAGE text;
COMMENT ON OPERATOR CLASS gin_tagset_ops USING gin IS 'index search of tag sets by every operator; exact but for sets of 255 tags and more under = and <@';
