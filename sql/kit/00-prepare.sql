-- The kit's functions run with privileges, so nobody else may have planted anything in its schema.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_namespace n
               WHERE n.nspname OPERATOR(pg_catalog.=) 'crm'
                 AND (n.nspowner OPERATOR(pg_catalog.<>) (SELECT r.oid FROM pg_catalog.pg_roles r
                                                          WHERE r.rolname OPERATOR(pg_catalog.=) CURRENT_USER)
                      OR EXISTS (SELECT FROM pg_catalog.pg_depend d
                                 WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass
                                   AND d.refobjid OPERATOR(pg_catalog.=) n.oid
                                   AND d.classid OPERATOR(pg_catalog.<>) 'pg_catalog.pg_extension'::pg_catalog.regclass)
                      OR EXISTS (SELECT FROM pg_catalog.aclexplode(n.nspacl) a
                                 WHERE a.grantee OPERATOR(pg_catalog.<>) n.nspowner
                                   AND a.privilege_type OPERATOR(pg_catalog.=) 'CREATE'))) THEN
        RAISE EXCEPTION 'schema crm belongs to another role, is not empty, or others may create in it'
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Drop or rename the schema, then run CREATE EXTENSION crm again; it makes the schema itself.';
    END IF;
    IF pg_catalog.getdatabaseencoding() OPERATOR(pg_catalog.<>) 'UTF8' THEN
        RAISE EXCEPTION 'crm needs a database with encoding UTF8'
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Create a database with ENCODING ''UTF8'' TEMPLATE template0.';
    END IF;
END
$$;

GRANT USAGE ON SCHEMA crm TO PUBLIC;

CREATE FUNCTION library_version() RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION library_version() IS 'version of the loaded library; equals the extension''s version except between a package upgrade and ALTER EXTENSION crm UPDATE';

CREATE FUNCTION actor() RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION actor() IS 'the person acting behind a pooled login, as set by SET LOCAL crm.actor; null when unset';

CREATE FUNCTION actor_or_user() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(crm.actor(), CURRENT_USER::text);
COMMENT ON FUNCTION actor_or_user() IS 'crm.actor when set, else the current role: who is recorded wherever a person matters';
