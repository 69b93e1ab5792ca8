-- Tag queries evaluated on the audiences of tags.

CREATE FUNCTION tagquery_tags(tagquery) RETURNS text[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tagquery_tags(tagquery) IS 'the tags that a query names in full, in the order of its text';
CREATE FUNCTION tagquery_prefixes(tagquery) RETURNS text[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tagquery_prefixes(tagquery) IS 'the prefixes that a query asks for, without their *; an empty one stands for any tag';

CREATE FUNCTION audience_match_add(internal, tagquery, text, audience) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION audience_match_final(internal) RETURNS audience
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION count_match_final(internal) RETURNS bigint
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';

COMMENT ON FUNCTION audience_match_add(internal, tagquery, text, audience) IS 'transition of audience_match and count_match';
COMMENT ON FUNCTION audience_match_final(internal) IS 'result of audience_match';
COMMENT ON FUNCTION count_match_final(internal) IS 'result of count_match';

CREATE AGGREGATE audience_match(query tagquery, tag text, members audience) (
    SFUNC = audience_match_add, STYPE = internal, SSPACE = 262144,
    FINALFUNC = audience_match_final, FINALFUNC_MODIFY = SHAREABLE);
COMMENT ON AGGREGATE audience_match(tagquery, text, audience) IS
'who matches the query, from rows of tag and members. Several rows of one tag toggle: who is in an odd number of them has it. Rows of the empty tag hold all customers, and are needed when the query matches a customer without tags';
CREATE AGGREGATE count_match(query tagquery, tag text, members audience) (
    SFUNC = audience_match_add, STYPE = internal, SSPACE = 262144,
    FINALFUNC = count_match_final, FINALFUNC_MODIFY = SHAREABLE);
COMMENT ON AGGREGATE count_match(tagquery, text, audience) IS 'how many match the query, from rows as for audience_match';

CREATE FUNCTION tags_changed() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tags_changed() IS
'statement trigger of a table with columns customer_id and tags: checks the rules of the tables tag and tag_namespace beside it, writes tag_event, tag_expiry and tag_audience_change there. Acts as the table''s owner. Errors: CT010 official tag, CT011 two values in an exclusive namespace';
