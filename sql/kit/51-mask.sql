-- Masks: immutable, total, and closed on what they do not recognise. doc/masks.md has the rules and their vectors.

CREATE FUNCTION mask_all(value text, mask text DEFAULT '*') RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mask_all(text, text) IS 'hides everything, in a width that tells nothing: ****';

CREATE FUNCTION mask_phone(value text, mask text DEFAULT '*') RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mask_phone(text, text) IS '13812341234 to 138****1234; landlines, Hong Kong, Macau, Taiwan, E.164 and virtual numbers with an extension; what is no phone number becomes ****';

CREATE FUNCTION mask_email(value text, mask_domain boolean DEFAULT false, mask text DEFAULT '*') RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mask_email(text, boolean, text) IS 'wang@example.com to wa****@example.com; mask_domain hides the domain too';

CREATE FUNCTION mask_id_number(value text, keep_left integer DEFAULT 1, keep_right integer DEFAULT 2, mask text DEFAULT '*') RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mask_id_number(text, integer, integer, text) IS 'identity documents to 1***************2X; keep_left up to 6 and keep_right up to 4 apply to resident IDs, whose birth date is never shown';

CREATE FUNCTION mask_bank_card(value text, mask text DEFAULT '*') RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mask_bank_card(text, text) IS '6222021234567890123 to 622202*********0123; below 15 digits only the last 4 are shown';

CREATE FUNCTION mask_name(value text, style text DEFAULT 'surname', mask text DEFAULT '*') RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mask_name(text, text, text) IS 'by style surname (张**, 欧阳*), ends (张*三), given (**三); other styles hide everything; John Smith becomes J*** S***';

CREATE FUNCTION mask_address(value text, mask text DEFAULT '*') RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mask_address(text, text) IS 'cut after the last division of province, city and district: 北京市海淀区****; an address without one becomes ****';

CREATE FUNCTION mask_plate(value text, mask text DEFAULT '*') RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mask_plate(text, text) IS 'number plates: 京A12345 to 京A****5';

CREATE FUNCTION mask_wechat(value text, mask text DEFAULT '*') RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mask_wechat(text, text) IS 'WeChat IDs to 2 + **** + 2 characters; an openid becomes ****';

CREATE FUNCTION mask_nickname(value text, mask text DEFAULT '*') RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mask_nickname(text, text) IS 'names on platforms to first and last character: t**8';

CREATE FUNCTION mask_courier(value text, mask text DEFAULT '*') RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mask_courier(text, text) IS 'numbers of parcels to the first 2 and the last 4 characters';

CREATE FUNCTION mask_iban(value text, mask text DEFAULT '*') RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mask_iban(text, text) IS 'IBAN to country, check digits and last 4';

CREATE FUNCTION mask_uscc(value text, mask text DEFAULT '*') RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mask_uscc(text, text) IS 'unified social credit codes to the first 2 and the last 4 characters';

CREATE FUNCTION mask_ip(value text, ipv4_bits integer DEFAULT 24, ipv6_bits integer DEFAULT 48) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mask_ip(text, integer, integer) IS '192.168.1.77 to 192.168.1.0; keeps so many bits of the network';

CREATE FUNCTION mask_ip(value inet, ipv4_bits integer DEFAULT 24, ipv6_bits integer DEFAULT 48) RETURNS inet
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mask_ip_inet';
COMMENT ON FUNCTION mask_ip(inet, integer, integer) IS '192.168.1.77 to 192.168.1.0; keeps so many bits of the network';

CREATE FUNCTION mask_date(value date, unit text DEFAULT 'year') RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'mask_date_date';
COMMENT ON FUNCTION mask_date(date, text) IS 'a date as text to its year, month, five_years or decade; other units hide everything';

CREATE FUNCTION mask_date(value text, unit text DEFAULT 'year') RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mask_date(text, text) IS 'a date written as 1990-05-06, 1990/5/6, 19900506 or 1990年5月6日 to its year, month, five_years or decade; anything else becomes ****';

CREATE FUNCTION age_band(birth_date date, as_of date, width integer DEFAULT 10) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION age_band(date, date, integer) IS 'the band of ages that a person is in on a day, such as 30-39; from 90 on 90+; null before birth';

CREATE FUNCTION mask_partial(value text, keep_left integer DEFAULT 1, keep_right integer DEFAULT 0, mask text DEFAULT '*') RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mask_partial(text, integer, integer, text) IS 'shows so many characters on either side, one * for each hidden one; hides all when that would show all';

CREATE FUNCTION mask_text(value text, mask text DEFAULT '*') RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mask_text(text, text) IS 'masks phone numbers, identity numbers, cards, e-mail addresses and any other 7 digits in a row inside free text; not names or addresses';
