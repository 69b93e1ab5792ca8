-- The archive of a ledger.

CREATE TYPE points_archived AS (
    seq bigint,
    kind text,
    points bigint,
    source text,
    reference text,
    reverses bigint,
    expires_at timestamptz,
    available_at timestamptz,
    occurred_at timestamptz,
    booked_at timestamptz,
    balance_after bigint,
    shortfall bigint,
    lots points_lots,
    detail jsonb,
    note_hash bytea,
    actor text,
    hash bytea
);
COMMENT ON TYPE points_archived IS 'an entry of the ledger as the archive keeps it, many to a row and so compressed together';

CREATE FUNCTION points_digest(kind text, reference text) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN substr(sha256(convert_to(kind || '/' || reference, 'UTF8')), 1, 8);
COMMENT ON FUNCTION points_digest(text, text) IS 'eight bytes by which a row of the archive says which references are in it: the first of sha256(kind/reference). What they find is compared in full';

CREATE FUNCTION points_archive_account(entries regclass, customer_id bigint, program text, seq bigint) RETURNS bigint
LANGUAGE c STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_archive_account(regclass, bigint, text, bigint) IS
'moves the entries of an account up to seq into the archive of its ledger, under the account''s lock and after building them up again; gives how many. The entry must be the one that a checkpoint has, with its hash. points_archive_cut of the store says which will do. For the owner of the table. Errors: CP010 what is there does not fit, 22023 no such entry';

CREATE FUNCTION points_unarchive_account(entries regclass, customer_id bigint, program text) RETURNS bigint
LANGUAGE c STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_unarchive_account(regclass, bigint, text) IS
'brings the archived entries of an account back through the gate, which compares hashes and neighbours; gives how many. For the owner of the table';

CREATE FUNCTION points_verify_archive(entries regclass, only_customer bigint, only_program text, part integer, parts integer)
RETURNS TABLE (customer_id bigint, program text, seq bigint, finding text)
LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_verify_archive(regclass, bigint, text, integer, integer) IS
'builds archived accounts up from their first entry and compares them with every row of points_start: a row for the first thing that is wrong in each account';
