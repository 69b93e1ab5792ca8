-- crm.sealed: text sealed with AES-256-GCM under keys that never enter the database. doc/sealed.md tells how.

CREATE TYPE sealed;

CREATE FUNCTION sealed_in(cstring) RETURNS sealed
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION sealed_out(sealed) RETURNS cstring
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION sealed_recv(internal) RETURNS sealed
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION sealed_send(sealed) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';

CREATE TYPE sealed (
    INPUT = sealed_in,
    OUTPUT = sealed_out,
    RECEIVE = sealed_recv,
    SEND = sealed_send,
    INTERNALLENGTH = VARIABLE,
    STORAGE = external
);
COMMENT ON TYPE sealed IS 'a text sealed by crm.seal(); its text form is base64 of the sealed bytes, and it has no operators';

CREATE FUNCTION seal(value text, label text, row_id text DEFAULT '', personal boolean DEFAULT false) RETURNS sealed
LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION seal(text, text, text, boolean) IS 'seals a text under the active key, bound to a label (the column, such as contact.phone) and, when given, a row; personal adds the data key of the person whom row_id names. Errors: CV101 no keyring, CV104 key folder';

CREATE FUNCTION unseal(value sealed) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'unseal';
COMMENT ON FUNCTION unseal(sealed) IS 'the text in a sealed value. Errors: CV101 no keyring, CV102 changed or of another key, CV103 its key is not in the keyring';
REVOKE EXECUTE ON FUNCTION unseal(sealed) FROM PUBLIC;

CREATE FUNCTION unseal(value sealed, label text) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'unseal';
COMMENT ON FUNCTION unseal(sealed, text) IS 'the text in a sealed value, which must have been sealed with this label. Errors as of unseal(sealed)';
REVOKE EXECUTE ON FUNCTION unseal(sealed, text) FROM PUBLIC;

CREATE FUNCTION unseal(value sealed, label text, row_id text) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'unseal';
COMMENT ON FUNCTION unseal(sealed, text, text) IS 'the text in a sealed value, which must have been sealed for this label and row. Errors as of unseal(sealed)';
REVOKE EXECUTE ON FUNCTION unseal(sealed, text, text) FROM PUBLIC;

CREATE FUNCTION clear(value sealed) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'unseal';
COMMENT ON FUNCTION clear(sealed) IS 'unseal(sealed), under a name that text has too';
REVOKE EXECUTE ON FUNCTION clear(sealed) FROM PUBLIC;

CREATE FUNCTION clear(value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN value;
COMMENT ON FUNCTION clear(text) IS 'the text itself, so that one query serves plain and sealed columns';

CREATE FUNCTION seal_unbound(value text) RETURNS sealed
LANGUAGE sql VOLATILE STRICT
RETURN CASE WHEN value OPERATOR(pg_catalog.~) '^wQE[BC][A-Za-z0-9+/]{44,}={0,2}$' THEN crm.sealed_in(pg_catalog.textout(value))
            ELSE crm.seal(value, '-', pg_catalog.pg_current_xact_id()::pg_catalog.text) END;
COMMENT ON FUNCTION seal_unbound(text) IS 'what assigning a text to a sealed column does: seals it under the label -, for a trigger of the same transaction to bind to its column and row; the text form of a sealed value gives that value. Errors as of seal()';
CREATE CAST (text AS sealed) WITH FUNCTION seal_unbound(text) AS ASSIGNMENT;
CREATE CAST (varchar AS sealed) WITH FUNCTION seal_unbound(text) AS ASSIGNMENT;

CREATE FUNCTION contact_finding(value text, kind text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE kind
    WHEN 'name' THEN CASE WHEN crm.normalize_name(value) IS NULL THEN 'missing' END
    WHEN 'phone' THEN CASE WHEN coalesce(pg_catalog.btrim(value), '') = '' THEN 'missing' WHEN crm.normalize_phone(value) IS NULL THEN 'invalid' END
    WHEN 'email' THEN CASE WHEN coalesce(pg_catalog.btrim(value), '') = '' THEN 'missing' WHEN crm.normalize_email(value) IS NULL THEN 'invalid' END
    WHEN 'address' THEN CASE WHEN coalesce(pg_catalog.btrim(value), '') = '' THEN 'missing' END
    -- Other papers have numbers of other forms: only what looks like a resident ID is judged as one.
    WHEN 'id_number' THEN CASE WHEN value ~ '^\s*([0-9]{15}|[0-9]{17}[0-9Xx])\s*$' AND crm.id_15_to_18(pg_catalog.btrim(value)) IS NULL
                                    AND NOT crm.is_cn_id(pg_catalog.upper(pg_catalog.btrim(value))) THEN 'invalid' END
END;
COMMENT ON FUNCTION contact_finding(text, text) IS 'what is wrong with a contact value of a kind (name, phone, email, address, id_number): missing, invalid, or null';

CREATE FUNCTION contact_finding(value sealed, kind text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN crm.contact_finding(crm.unseal(value), kind);
EXCEPTION WHEN SQLSTATE 'CV102' THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION contact_finding(sealed, text) IS 'contact_finding(text, text) of a sealed value, for readers who may not open it; null for what cannot be opened. Errors: CV101 no keyring';

CREATE FUNCTION sealed_for(value sealed, label text, row_id text) RETURNS sealed
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION sealed_for(sealed, text, text) IS 'the value if it was sealed for this label and row, else null: mask_phone(sealed_for(phone, ...)) shows no value that was moved here from elsewhere';

CREATE FUNCTION sealed_key(value sealed) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION sealed_key(sealed) IS 'number of the keyring''s key that a value is sealed with';

CREATE FUNCTION reseal(value sealed) RETURNS sealed
LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION reseal(sealed) IS 'the same text sealed under the active key; the value itself when it is already. Errors as of unseal(sealed)';
REVOKE EXECUTE ON FUNCTION reseal(sealed) FROM PUBLIC;

CREATE FUNCTION blind_index(value text, label text) RETURNS bytea
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION blind_index(text, text) IS '16 bytes of HMAC-SHA-256 under the active index key, by which an index finds a sealed value; normalise the value first';
REVOKE EXECUTE ON FUNCTION blind_index(text, text) FROM PUBLIC;

CREATE FUNCTION blind_indexes(value text, label text) RETURNS bytea[]
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION blind_indexes(text, text) IS 'blind_index under every index key, active and old, for = ANY(...) while keys rotate';
REVOKE EXECUTE ON FUNCTION blind_indexes(text, text) FROM PUBLIC;

CREATE FUNCTION mask_hash(value text, label text DEFAULT '') RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mask_hash(text, text) IS 'a pseudonym of 32 hexadecimal digits: HMAC-SHA-256 under the active pseudonym key. Who may call it can try values, so it is granted to nobody';
REVOKE EXECUTE ON FUNCTION mask_hash(text, text) FROM PUBLIC;

CREATE FUNCTION keyring_keys(OUT purpose text, OUT id bigint, OUT active boolean) RETURNS SETOF record
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION keyring_keys() IS 'what the keyring holds, without the keys';
REVOKE EXECUTE ON FUNCTION keyring_keys() FROM PUBLIC;

CREATE FUNCTION has_key(person text) RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION has_key(text) IS 'is there a data key of this person? Errors: CV104 key folder';
REVOKE EXECUTE ON FUNCTION has_key(text) FROM PUBLIC;

CREATE FUNCTION shred_key(person text) RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION shred_key(text) IS 'destroys a person''s data key when the transaction commits, for good: nothing sealed for the person opens again, in backups neither; was there one? Errors: CV104 key folder';
REVOKE EXECUTE ON FUNCTION shred_key(text) FROM PUBLIC;

CREATE FUNCTION erasure_reach() RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION erasure_reach() IS 'what an erasure reaches: backups when a key folder is configured (for values sealed with personal => true, if the folder is in no backup), else database';

CREATE PROCEDURE reseal_column(target regclass, column_name name, batch integer DEFAULT 1000, INOUT resealed bigint DEFAULT 0)
LANGUAGE plpgsql
AS $$
DECLARE
    part pg_catalog.oid;
    active bigint;
    pages bigint;
    page bigint;
    step bigint;
    moved bigint;
    last_pass bigint;
    told pg_catalog.timestamptz := pg_catalog.clock_timestamp();
BEGIN
    IF batch OPERATOR(pg_catalog.<) 1 THEN
        RAISE EXCEPTION 'batch must be positive' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT k.id INTO active FROM crm.keyring_keys() k WHERE k.purpose OPERATOR(pg_catalog.=) 'enc' AND k.active;
    FOR part IN SELECT t.relid::pg_catalog.oid FROM pg_catalog.pg_partition_tree(target) t WHERE t.isleaf
                UNION SELECT target::pg_catalog.oid
                WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_partition_tree(target)) LOOP
        LOOP
            last_pass := 0;
            pages := pg_catalog.pg_relation_size(part::pg_catalog.regclass) OPERATOR(pg_catalog./)
                     pg_catalog.current_setting('block_size')::bigint;
            page := 0;
            -- A page of sealed values holds some 60 rows.
            step := greatest(1, batch OPERATOR(pg_catalog./) 60);
            WHILE page OPERATOR(pg_catalog.<=) pages LOOP
                EXECUTE pg_catalog.format(
                    'WITH stale AS (SELECT t.ctid AS at FROM ONLY %1$s t '
                    'WHERE t.ctid OPERATOR(pg_catalog.>=) %3$L::pg_catalog.tid AND t.ctid OPERATOR(pg_catalog.<) %4$L::pg_catalog.tid '
                    'AND crm.sealed_key(t.%2$I) OPERATOR(pg_catalog.<>) $1 FOR NO KEY UPDATE) '
                    'UPDATE ONLY %1$s t SET %2$I = crm.reseal(t.%2$I) FROM stale WHERE t.ctid OPERATOR(pg_catalog.=) stale.at',
                    part::pg_catalog.regclass, column_name, pg_catalog.format('(%s,0)', page),
                    pg_catalog.format('(%s,0)', page OPERATOR(pg_catalog.+) step)) USING active;
                GET DIAGNOSTICS moved = ROW_COUNT;
                resealed := resealed OPERATOR(pg_catalog.+) moved;
                last_pass := last_pass OPERATOR(pg_catalog.+) moved;
                page := page OPERATOR(pg_catalog.+) step;
                COMMIT;
                IF pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) told OPERATOR(pg_catalog.>) pg_catalog.make_interval(secs => 5) THEN
                    told := pg_catalog.clock_timestamp();
                    RAISE NOTICE 'reseal_column: % rows, page % of %', resealed, page, pages;
                END IF;
            END LOOP;
            -- A row that somebody changed meanwhile may have slipped through: pass again until nothing is left.
            EXIT WHEN last_pass OPERATOR(pg_catalog.=) 0;
        END LOOP;
    END LOOP;
END
$$;
COMMENT ON PROCEDURE reseal_column(regclass, name, integer, bigint) IS 'reseals a column of type sealed under the active key, some batch rows a transaction; can be stopped and run again; resealed counts rows. When it is done, the old key may leave the keyring. Errors as of unseal(sealed)';
REVOKE EXECUTE ON PROCEDURE reseal_column(regclass, name, integer, bigint) FROM PUBLIC;

-- Masks that open a sealed value inside: functions in a view run with the reader's rights, and no reader may unseal.

CREATE FUNCTION mask_all(value sealed, mask text DEFAULT '*') RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mask_all_sealed';
COMMENT ON FUNCTION mask_all(sealed, text) IS 'mask_all(text) of a sealed value; what cannot be opened becomes ****. Errors: CV101 no keyring';

CREATE FUNCTION mask_phone(value sealed, mask text DEFAULT '*') RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mask_phone_sealed';
COMMENT ON FUNCTION mask_phone(sealed, text) IS 'mask_phone(text) of a sealed value; what cannot be opened becomes ****. Errors: CV101 no keyring';

CREATE FUNCTION mask_email(value sealed, mask_domain boolean DEFAULT false, mask text DEFAULT '*') RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mask_email_sealed';
COMMENT ON FUNCTION mask_email(sealed, boolean, text) IS 'mask_email(text) of a sealed value; what cannot be opened becomes ****. Errors: CV101 no keyring';

CREATE FUNCTION mask_id_number(value sealed, keep_left integer DEFAULT 1, keep_right integer DEFAULT 2, mask text DEFAULT '*') RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mask_id_number_sealed';
COMMENT ON FUNCTION mask_id_number(sealed, integer, integer, text) IS 'mask_id_number(text) of a sealed value; what cannot be opened becomes ****. Errors: CV101 no keyring';

CREATE FUNCTION mask_bank_card(value sealed, mask text DEFAULT '*') RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mask_bank_card_sealed';
COMMENT ON FUNCTION mask_bank_card(sealed, text) IS 'mask_bank_card(text) of a sealed value; what cannot be opened becomes ****. Errors: CV101 no keyring';

CREATE FUNCTION mask_name(value sealed, style text DEFAULT 'surname', mask text DEFAULT '*') RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mask_name_sealed';
COMMENT ON FUNCTION mask_name(sealed, text, text) IS 'mask_name(text) of a sealed value; what cannot be opened becomes ****. Errors: CV101 no keyring';

CREATE FUNCTION mask_address(value sealed, mask text DEFAULT '*') RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mask_address_sealed';
COMMENT ON FUNCTION mask_address(sealed, text) IS 'mask_address(text) of a sealed value; what cannot be opened becomes ****. Errors: CV101 no keyring';

CREATE FUNCTION mask_plate(value sealed, mask text DEFAULT '*') RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mask_plate_sealed';
COMMENT ON FUNCTION mask_plate(sealed, text) IS 'mask_plate(text) of a sealed value; what cannot be opened becomes ****. Errors: CV101 no keyring';

CREATE FUNCTION mask_wechat(value sealed, mask text DEFAULT '*') RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mask_wechat_sealed';
COMMENT ON FUNCTION mask_wechat(sealed, text) IS 'mask_wechat(text) of a sealed value; what cannot be opened becomes ****. Errors: CV101 no keyring';

CREATE FUNCTION mask_nickname(value sealed, mask text DEFAULT '*') RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mask_nickname_sealed';
COMMENT ON FUNCTION mask_nickname(sealed, text) IS 'mask_nickname(text) of a sealed value; what cannot be opened becomes ****. Errors: CV101 no keyring';

CREATE FUNCTION mask_courier(value sealed, mask text DEFAULT '*') RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mask_courier_sealed';
COMMENT ON FUNCTION mask_courier(sealed, text) IS 'mask_courier(text) of a sealed value; what cannot be opened becomes ****. Errors: CV101 no keyring';

CREATE FUNCTION mask_iban(value sealed, mask text DEFAULT '*') RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mask_iban_sealed';
COMMENT ON FUNCTION mask_iban(sealed, text) IS 'mask_iban(text) of a sealed value; what cannot be opened becomes ****. Errors: CV101 no keyring';

CREATE FUNCTION mask_uscc(value sealed, mask text DEFAULT '*') RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mask_uscc_sealed';
COMMENT ON FUNCTION mask_uscc(sealed, text) IS 'mask_uscc(text) of a sealed value; what cannot be opened becomes ****. Errors: CV101 no keyring';

CREATE FUNCTION mask_ip(value sealed, ipv4_bits integer DEFAULT 24, ipv6_bits integer DEFAULT 48) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mask_ip_sealed';
COMMENT ON FUNCTION mask_ip(sealed, integer, integer) IS 'mask_ip(text) of a sealed value; what cannot be opened becomes ****. Errors: CV101 no keyring';

CREATE FUNCTION mask_date(value sealed, unit text DEFAULT 'year') RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mask_date_sealed';
COMMENT ON FUNCTION mask_date(sealed, text) IS 'mask_date(text) of a sealed value; what cannot be opened becomes ****. Errors: CV101 no keyring';

CREATE FUNCTION mask_partial(value sealed, keep_left integer DEFAULT 1, keep_right integer DEFAULT 0, mask text DEFAULT '*') RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mask_partial_sealed';
COMMENT ON FUNCTION mask_partial(sealed, integer, integer, text) IS 'mask_partial(text) of a sealed value; what cannot be opened becomes ****. Errors: CV101 no keyring';

CREATE FUNCTION mask_text(value sealed, mask text DEFAULT '*') RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mask_text_sealed';
COMMENT ON FUNCTION mask_text(sealed, text) IS 'mask_text(text) of a sealed value; what cannot be opened becomes ****. Errors: CV101 no keyring';
