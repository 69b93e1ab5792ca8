-- Files of comma-separated values.

CREATE FUNCTION csv_rows(file text, delimiter text DEFAULT NULL, OUT line bigint, OUT fields text[], OUT problem text)
RETURNS SETOF record
LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 1000 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION csv_rows(text, text) IS
'the records of a CSV file (RFC 4180): the line that each begins in, its fields (empty ones as empty text), and what is wrong with it, else null. Fields in quotes may hold delimiters, line ends and doubled quotes; lines end with LF, CR LF or CR; a byte order mark and empty lines are passed over. Without a delimiter the first record tells: comma, semicolon or tab, whichever it has most of. Errors: 22023 delimiter';

CREATE FUNCTION csv_line(fields text[], delimiter text DEFAULT ',') RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION csv_line(text[], text) IS
'the fields as a line of a CSV file, without its end; null gives an empty field. What a spreadsheet would run as a formula (=, @, or a sign before anything but a number) gets an apostrophe before it. Errors: 22023 delimiter';

CREATE FUNCTION decode_file(file bytea, encoding text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF encoding IS NOT NULL THEN
        RETURN convert_from(file, encoding);
    END IF;
    IF substr(file, 1, 2) IN ('\xfffe', '\xfeff') THEN
        RAISE EXCEPTION 'the file is UTF-16'
            USING ERRCODE = 'untranslatable_character', HINT = 'Save it as CSV UTF-8, or name what it is in encoding.';
    END IF;
    RETURN convert_from(file, 'UTF8');
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
    IF encoding IS NOT NULL OR substr(file, 1, 2) IN ('\xfffe', '\xfeff') THEN
        RAISE;
    END IF;
    -- GB18030 holds all of GBK and GB 2312.
    RETURN convert_from(file, 'GB18030');
END
$$;
COMMENT ON FUNCTION decode_file(bytea, text) IS
'the text of a file in an encoding; without one it is read as UTF-8 and, if it is none, as GB18030, which includes the GBK of Chinese spreadsheets. Errors: 22021 neither, 22P05 UTF-16';

CREATE FUNCTION is_masked(value text) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN value OPERATOR(pg_catalog.~) '[*＊●•]|[xX×]{3,}';
COMMENT ON FUNCTION is_masked(text) IS 'is it a value with parts hidden, such as 138****1234 or 张**? It has an asterisk, a bullet or three x in a row';
