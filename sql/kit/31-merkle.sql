-- Merkle trees, and what keeps a ledger's owner from undoing its protection.

CREATE FUNCTION merkle_root(leaves bytea[]) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION merkle_root(bytea[]) IS 'root of the Merkle tree over leaves, with SHA-256 as in RFC 6962 section 2.1';

CREATE FUNCTION merkle_path(leaves bytea[], index bigint) RETURNS bytea[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION merkle_path(bytea[], bigint) IS 'audit path of the leaf with this index (from 0), from the leaf up, as in RFC 6962 section 2.1.1. Error: 2202E no such leaf';

CREATE FUNCTION merkle_verify(leaf bytea, index bigint, size bigint, path bytea[], root bytea) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION merkle_verify(bytea, bigint, bigint, bytea[], bytea) IS 'does path prove that leaf (its data, not its hash) stands at index of the tree of size leaves with this root? As in RFC 9162 section 2.1.3.2; false on anything malformed';

CREATE FUNCTION points_leaf(customer_id bigint, program text, seq bigint, head bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '\x01'::bytea || int8send(customer_id) || int4send(octet_length(program)) || convert_to(program, 'UTF8') || int8send(seq) || head;
COMMENT ON FUNCTION points_leaf(bigint, text, bigint, bytea) IS 'what a checkpoint''s tree holds of an account: a byte 01, customer_id (8 bytes), length (4) and bytes of program, seq (8), hash of that entry (32)';

CREATE FUNCTION points_part_leaf(place bigint, changed bigint, root bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '\x03'::bytea || int8send(place) || int8send(changed) || root;
COMMENT ON FUNCTION points_part_leaf(bigint, bigint, bytea) IS 'what the tree of a checkpoint of a distributed store holds of a part: a byte 03, its place in the order of hashes from 0 (8 bytes), how many accounts changed there (8), root of the tree over those (32)';

CREATE FUNCTION points_root(previous bytea, tree_root bytea, checkpoint bigint, taken_at timestamptz, accounts bigint, entries bigint, changed bigint) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sha256('\x02'::bytea || coalesce(previous, decode(repeat('00', 32), 'hex')) || tree_root || int8send(checkpoint)
              || int8send((extract(epoch FROM taken_at) * 1000000)::bigint - 946684800000000) || int8send(accounts) || int8send(entries) || int8send(changed));
COMMENT ON FUNCTION points_root(bytea, bytea, bigint, timestamptz, bigint, bigint, bigint) IS 'root of a checkpoint: sha256 over a byte 02, the root before (zeros at first), tree_root, and 8 bytes each of checkpoint, taken_at (microseconds since 2000), accounts, entries, changed';

CREATE FUNCTION points_ddl_guard() RETURNS event_trigger
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_ddl_guard() IS 'event trigger: on tables of a points ledger only a superuser may disable or drop triggers, change the type of columns or drop them, add rules, or drop a table with rows; a superuser is logged';

CREATE EVENT TRIGGER crm_points_ddl_guard ON ddl_command_start
    WHEN TAG IN ('ALTER TABLE', 'CREATE RULE', 'DROP TRIGGER', 'DROP TABLE')
    EXECUTE FUNCTION points_ddl_guard();
ALTER EVENT TRIGGER crm_points_ddl_guard ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER crm_points_ddl_guard IS 'keeps the owner of a points ledger from taking its protection away';
