-- Validators and normalisers of personal data. Validators hold for the canonical form alone; normalisers make it.

CREATE FUNCTION is_cn_mobile(value text) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION is_cn_mobile(text) IS 'mobile number of mainland China: 11 digits, or those after +86';

CREATE FUNCTION is_cn_id(value text) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION is_cn_id(text) IS 'resident ID of GB 11643: 18 characters with a province, a real date of birth and the check character';

CREATE FUNCTION is_uscc(value text, lenient boolean DEFAULT false) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION is_uscc(text, boolean) IS 'unified social credit code of GB 32100; lenient skips the check character, which early pilot codes lack';

CREATE FUNCTION is_bank_card(value text) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION is_bank_card(text) IS 'number of a bank card: 12 to 19 digits with Luhn''s check digit';

CREATE FUNCTION is_iban(value text) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION is_iban(text) IS 'IBAN without spaces: length of its country, check digits of ISO 7064';

CREATE FUNCTION is_email(value text) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION is_email(text) IS 'e-mail address in ASCII: a dot-atom, and a domain of at least two labels';

CREATE FUNCTION is_hk_id(value text) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION is_hk_id(text) IS 'identity card of Hong Kong, A123456(3) or A1234563';

CREATE FUNCTION is_tw_id(value text) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION is_tw_id(text) IS 'identity card of Taiwan, A123456789';

CREATE FUNCTION id_birth_date(value text) RETURNS date
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION id_birth_date(text) IS 'date of birth in a resident ID of 18 or 15 characters; null when the ID is not valid';

CREATE FUNCTION id_gender(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION id_gender(text) IS 'female or male by a resident ID of 18 or 15 characters; null when the ID is not valid';

CREATE FUNCTION id_region(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION id_region(text) IS 'region code of six digits (GB/T 2260) in a resident ID of 18 or 15 characters; null when the ID is not valid';

CREATE FUNCTION id_15_to_18(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION id_15_to_18(text) IS 'a resident ID of 15 digits in the form of 18 characters; null when it is not valid';

CREATE FUNCTION normalize_phone(value text, region text DEFAULT 'CN') RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION normalize_phone(text, text) IS 'E.164 of a phone number as people write it; region is the country (ISO 3166) of numbers without one; null for what is no number, has an extension or lacks its area code';

CREATE FUNCTION normalize_email(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION normalize_email(text) IS 'an e-mail address folded and in lower case; null for what is none';

CREATE FUNCTION normalize_name(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION normalize_name(text) IS 'the form for comparing names: NFKC without case, white space collapsed, dots of one kind; null when nothing is left';

CREATE DOMAIN cn_mobile AS text CONSTRAINT cn_mobile CHECK (crm.is_cn_mobile(VALUE));
COMMENT ON DOMAIN cn_mobile IS 'a mobile number of mainland China';

CREATE DOMAIN cn_id AS text CONSTRAINT cn_id CHECK (crm.is_cn_id(VALUE));
COMMENT ON DOMAIN cn_id IS 'a resident ID of GB 11643';

CREATE DOMAIN uscc AS text CONSTRAINT uscc CHECK (crm.is_uscc(VALUE));
COMMENT ON DOMAIN uscc IS 'a unified social credit code of GB 32100';

CREATE DOMAIN bank_card AS text CONSTRAINT bank_card CHECK (crm.is_bank_card(VALUE));
COMMENT ON DOMAIN bank_card IS 'the number of a bank card';

CREATE DOMAIN iban AS text CONSTRAINT iban CHECK (crm.is_iban(VALUE));
COMMENT ON DOMAIN iban IS 'an IBAN without spaces';

CREATE DOMAIN email AS text CONSTRAINT email CHECK (crm.is_email(VALUE));
COMMENT ON DOMAIN email IS 'an e-mail address in ASCII';

CREATE DOMAIN hk_id AS text CONSTRAINT hk_id CHECK (crm.is_hk_id(VALUE));
COMMENT ON DOMAIN hk_id IS 'an identity card of Hong Kong';

CREATE DOMAIN tw_id AS text CONSTRAINT tw_id CHECK (crm.is_tw_id(VALUE));
COMMENT ON DOMAIN tw_id IS 'an identity card of Taiwan';
