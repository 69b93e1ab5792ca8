CREATE FUNCTION demo_draw(i bigint, purpose bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (pg_catalog.hashint8extended(i, purpose) & 9007199254740991)::double precision / 9007199254740992.0;
COMMENT ON FUNCTION demo_draw(bigint, bigint) IS 'a number in [0, 1) that depends on i and purpose alone: the same at every run; for demonstration data';
