-- What ANALYZE keeps about columns of tag sets, and the estimates made from it.

CREATE FUNCTION tagset_typanalyze(internal) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tagset_typanalyze(internal) IS 'tells ANALYZE how to treat a column of tag sets';
ALTER TYPE tagset SET (ANALYZE = tagset_typanalyze);

CREATE FUNCTION tagset_contains_sel(internal, oid, internal, integer) RETURNS double precision
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_contains_joinsel(internal, oid, internal, smallint, internal) RETURNS double precision
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_contained_sel(internal, oid, internal, integer) RETURNS double precision
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_contained_joinsel(internal, oid, internal, smallint, internal) RETURNS double precision
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_overlaps_sel(internal, oid, internal, integer) RETURNS double precision
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_overlaps_joinsel(internal, oid, internal, smallint, internal) RETURNS double precision
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_has_tag_sel(internal, oid, internal, integer) RETURNS double precision
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_has_tag_joinsel(internal, oid, internal, smallint, internal) RETURNS double precision
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_has_any_sel(internal, oid, internal, integer) RETURNS double precision
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_has_any_joinsel(internal, oid, internal, smallint, internal) RETURNS double precision
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_has_all_sel(internal, oid, internal, integer) RETURNS double precision
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_has_all_joinsel(internal, oid, internal, smallint, internal) RETURNS double precision
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_matches_sel(internal, oid, internal, integer) RETURNS double precision
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION tagset_matches_joinsel(internal, oid, internal, smallint, internal) RETURNS double precision
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tagset_contains_sel(internal, oid, internal, integer) IS 'share of rows that @> finds; called by the planner';
COMMENT ON FUNCTION tagset_contains_joinsel(internal, oid, internal, smallint, internal) IS 'share of pairs that @> joins; called by the planner';
COMMENT ON FUNCTION tagset_contained_sel(internal, oid, internal, integer) IS 'share of rows that <@ finds; called by the planner';
COMMENT ON FUNCTION tagset_contained_joinsel(internal, oid, internal, smallint, internal) IS 'share of pairs that <@ joins; called by the planner';
COMMENT ON FUNCTION tagset_overlaps_sel(internal, oid, internal, integer) IS 'share of rows that && finds; called by the planner';
COMMENT ON FUNCTION tagset_overlaps_joinsel(internal, oid, internal, smallint, internal) IS 'share of pairs that && joins; called by the planner';
COMMENT ON FUNCTION tagset_has_tag_sel(internal, oid, internal, integer) IS 'share of rows that ? finds; called by the planner';
COMMENT ON FUNCTION tagset_has_tag_joinsel(internal, oid, internal, smallint, internal) IS 'share of pairs that ? joins; called by the planner';
COMMENT ON FUNCTION tagset_has_any_sel(internal, oid, internal, integer) IS 'share of rows that ?| finds; called by the planner';
COMMENT ON FUNCTION tagset_has_any_joinsel(internal, oid, internal, smallint, internal) IS 'share of pairs that ?| joins; called by the planner';
COMMENT ON FUNCTION tagset_has_all_sel(internal, oid, internal, integer) IS 'share of rows that ?& finds; called by the planner';
COMMENT ON FUNCTION tagset_has_all_joinsel(internal, oid, internal, smallint, internal) IS 'share of pairs that ?& joins; called by the planner';
COMMENT ON FUNCTION tagset_matches_sel(internal, oid, internal, integer) IS 'share of rows that @@ finds; called by the planner';
COMMENT ON FUNCTION tagset_matches_joinsel(internal, oid, internal, smallint, internal) IS 'share of pairs that @@ joins; called by the planner';

ALTER OPERATOR @> (tagset, tagset) SET (RESTRICT = tagset_contains_sel, JOIN = tagset_contains_joinsel);
ALTER OPERATOR <@ (tagset, tagset) SET (RESTRICT = tagset_contained_sel, JOIN = tagset_contained_joinsel);
ALTER OPERATOR && (tagset, tagset) SET (RESTRICT = tagset_overlaps_sel, JOIN = tagset_overlaps_joinsel);
ALTER OPERATOR ? (tagset, text) SET (RESTRICT = tagset_has_tag_sel, JOIN = tagset_has_tag_joinsel);
ALTER OPERATOR ?| (tagset, text[]) SET (RESTRICT = tagset_has_any_sel, JOIN = tagset_has_any_joinsel);
ALTER OPERATOR ?& (tagset, text[]) SET (RESTRICT = tagset_has_all_sel, JOIN = tagset_has_all_joinsel);
ALTER OPERATOR @@ (tagset, tagquery) SET (RESTRICT = tagset_matches_sel, JOIN = tagset_matches_joinsel);
ALTER OPERATOR @@ (tagquery, tagset) SET (RESTRICT = tagset_matches_sel, JOIN = tagset_matches_joinsel);

CREATE FUNCTION has_tag_support(internal) RETURNS internal
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION has_tag_support(internal) IS 'puts the operator ? in place of has_tag; called by the planner';
ALTER FUNCTION has_tag(tagset, text) SUPPORT has_tag_support;

CREATE FUNCTION estimate_rows(customers regclass, query tagquery) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    plan jsonb;
BEGIN
    -- PL/pgSQL lets only a volatile function run EXPLAIN.
    EXECUTE format('EXPLAIN (FORMAT JSON) SELECT FROM %s WHERE tags OPERATOR(crm.@@) %L::crm.tagquery', customers, query)
        INTO plan;
    RETURN (plan #>> '{0,Plan,Plan Rows}')::bigint;
END
$$;
COMMENT ON FUNCTION estimate_rows(regclass, tagquery) IS 'about how many rows of a table with a column tags, such as customer or a shard of it, match a query';

CREATE FUNCTION estimate(store text, query tagquery) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    customers regclass;
BEGIN
    PERFORM crm.require_store(store);
    customers := format('%I.customer', store)::regclass;
    IF NOT crm.is_distributed(customers) THEN
        RETURN crm.estimate_rows(customers, query);
    END IF;
    RETURN (SELECT sum((j ->> 'n')::bigint)::bigint FROM crm.on_shards(customers, format('SELECT crm.estimate_rows(''%%s'', %L) AS n', query)) j);
END
$$;
COMMENT ON FUNCTION estimate(text, tagquery) IS 'about how many customers of a store match a query, from statistics alone: no customer is read; never less than 1';
