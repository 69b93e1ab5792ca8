-- What the tags of stores need besides the types.

CREATE FUNCTION fold_tag(tag text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (crm.tag_array(crm.tagset(ARRAY[tag])))[1];
COMMENT ON FUNCTION fold_tag(text) IS 'the canonical form of a tag; errors CT001 and CT002 as for crm.tagset';

CREATE FUNCTION store_path(settings regclass) RETURNS text
LANGUAGE sql STABLE
RETURN (SELECT pg_catalog.format('%I, crm, pg_temp', n.nspname) FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace WHERE c.oid OPERATOR(pg_catalog.=) settings);
COMMENT ON FUNCTION store_path(regclass) IS
'the search_path of the store that a table belongs to. Procedures that commit can''t pin one, so they set it at the start of each transaction';
