-- Names as staff type them. Immutable so that columns and indexes can hold them; ICU's readings may change with its version, as
-- collations do: after an upgrade of ICU (crm.icu_version()) write generated columns anew and REINDEX.

CREATE FUNCTION name_pinyin(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION name_pinyin(text) IS 'a name in pinyin without spaces or tones, ü as v: 张三 to zhangsan, 吕布 to lvbu; Latin names lose case and accents. A search aid: heteronyms may be read wrongly';

CREATE FUNCTION name_initials(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION name_initials(text) IS 'first letters of a name''s syllables: 张三 to zs; John Smith to js';

CREATE FUNCTION name_keys(value text) RETURNS text[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION name_keys(text) IS 'all that a name is found by: the folded name, its pinyin and initials, spellings of ü (lv, lu, lyu), the words of a Latin name; for a GIN index and name_keys(name) @> ARRAY[''zs'']';

CREATE FUNCTION icu_version() RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION icu_version() IS 'version of the running ICU, on which pinyin, folding of unassigned characters and grapheme clusters depend';
