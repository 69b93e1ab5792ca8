-- Aggregates over tag sets, their subscripts, and the search of saved queries.

CREATE FUNCTION tag_counts_transition(internal, tagset) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tag_counts_combine(internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tag_counts_serialize(internal) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tag_counts_deserialize(bytea, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tag_counts_final(internal) RETURNS jsonb
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_union_final(internal) RETURNS tagset
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tag_counts_transition(internal, tagset) IS 'counts the tags of one more set; part of the aggregates tag_counts and tagset_union';
COMMENT ON FUNCTION tag_counts_combine(internal, internal) IS 'adds the counts of two workers; part of the aggregates tag_counts and tagset_union';
COMMENT ON FUNCTION tag_counts_serialize(internal) IS 'writes counts for another process; part of the aggregates tag_counts and tagset_union';
COMMENT ON FUNCTION tag_counts_deserialize(bytea, internal) IS 'reads counts of another process; part of the aggregates tag_counts and tagset_union';
COMMENT ON FUNCTION tag_counts_final(internal) IS 'the counts as a JSON object; part of the aggregate tag_counts';
COMMENT ON FUNCTION tagset_union_final(internal) IS 'the counted tags as a set; part of the aggregate tagset_union';

CREATE AGGREGATE tag_counts(tagset) (
    SFUNC = tag_counts_transition, STYPE = internal, SSPACE = 65536, FINALFUNC = tag_counts_final,
    COMBINEFUNC = tag_counts_combine, SERIALFUNC = tag_counts_serialize, DESERIALFUNC = tag_counts_deserialize,
    PARALLEL = SAFE);
COMMENT ON AGGREGATE tag_counts(tagset) IS 'how many sets have each tag, as {"tag": count}; {} when there are none';
CREATE AGGREGATE tagset_union(tagset) (
    SFUNC = tag_counts_transition, STYPE = internal, SSPACE = 65536, FINALFUNC = tagset_union_final,
    COMBINEFUNC = tag_counts_combine, SERIALFUNC = tag_counts_serialize, DESERIALFUNC = tag_counts_deserialize,
    PARALLEL = SAFE);
COMMENT ON AGGREGATE tagset_union(tagset) IS 'the tags that any of the sets has; null when there is no set';
CREATE AGGREGATE tagset_intersect(tagset) (
    SFUNC = tagset_and, STYPE = tagset, COMBINEFUNC = tagset_and, PARALLEL = SAFE);
COMMENT ON AGGREGATE tagset_intersect(tagset) IS 'the tags that all of the sets have; null when there is no set';

CREATE FUNCTION tagset_subscript(internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tagset_subscript(internal) IS 'how tag sets are subscripted: tags[''namespace''] is the value of that namespace, assignment replaces it, NULL takes it away';
ALTER TYPE tagset SET (SUBSCRIPT = tagset_subscript);

-- GIN over tagquery: which saved queries does a set match?

CREATE FUNCTION gin_extract_tagquery(tagquery, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION gin_extract_tagquery_query(tagset, internal, int2, internal, internal, internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION gin_tagquery_consistent(internal, int2, tagset, integer, internal, internal, internal, internal) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION gin_tagquery_triconsistent(internal, int2, tagset, integer, internal, internal, internal) RETURNS "char"
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION gin_extract_tagquery(tagquery, internal) IS 'the keys of a saved query: every set that matches it has one of them; called by the index';
COMMENT ON FUNCTION gin_extract_tagquery_query(tagset, internal, int2, internal, internal, internal, internal) IS 'the keys that queries matched by a set may have; called by the index';
COMMENT ON FUNCTION gin_tagquery_consistent(internal, int2, tagset, integer, internal, internal, internal, internal) IS 'whether a saved query may match; called by the index';
COMMENT ON FUNCTION gin_tagquery_triconsistent(internal, int2, tagset, integer, internal, internal, internal) IS 'whether a saved query may match when some keys are unknown; called by the index';

CREATE FUNCTION gin_tagquery_prefix(bytea, bytea, int2, internal) RETURNS integer
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION gin_tagquery_prefix(bytea, bytea, int2, internal) IS 'whether a key is the one looked for and its query matches; called by the index';

CREATE OPERATOR CLASS gin_tagquery_ops DEFAULT FOR TYPE tagquery USING gin AS
    OPERATOR 1 @@ (tagquery, tagset),
    FUNCTION 1 pg_catalog.byteacmp(bytea, bytea),
    FUNCTION 2 gin_extract_tagquery(tagquery, internal),
    FUNCTION 3 gin_extract_tagquery_query(tagset, internal, int2, internal, internal, internal, internal),
    FUNCTION 4 gin_tagquery_consistent(internal, int2, tagset, integer, internal, internal, internal, internal),
    FUNCTION 5 gin_tagquery_prefix(bytea, bytea, int2, internal),
    FUNCTION 6 gin_tagquery_triconsistent(internal, int2, tagset, integer, internal, internal, internal),
    STORAGE bytea;
COMMENT ON OPERATOR CLASS gin_tagquery_ops USING gin IS 'index search of saved queries: WHERE query @@ tags';
