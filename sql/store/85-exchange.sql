-- Customers and orders from the files of other systems: mappings as data, a dry run, bad rows by line.

CREATE TABLE import_mapping (
    mapping text PRIMARY KEY CHECK (mapping ~ '^[a-z][a-z0-9_]{0,62}$'),
    kind text NOT NULL CHECK (kind IN ('customer', 'order')),
    channel text NOT NULL CHECK (channel <> ''),
    language text NOT NULL DEFAULT 'zh' CHECK (language IN ('zh', 'en')),
    contact_source text NOT NULL DEFAULT 'import' CHECK (contact_source IN ('person', 'staff', 'order', 'import', 'third_party')),
    link_contact boolean NOT NULL DEFAULT false,
    encoding text,
    name_zh text,
    name_en text,
    column_source text
);
COMMENT ON TABLE import_mapping IS 'files of other systems that import_file reads and export_csv writes';
COMMENT ON COLUMN import_mapping.kind IS 'customer: a row a customer; order: a row an order';
COMMENT ON COLUMN import_mapping.channel IS 'the channel of identity and purchase that the file''s ids and order numbers belong to';
COMMENT ON COLUMN import_mapping.contact_source IS 'as whose word contact data from the file counts; it never replaces what counts for more';
COMMENT ON COLUMN import_mapping.link_contact IS 'a row whose id is new is taken for the one customer that has its phone or e-mail; else it is a new customer';
COMMENT ON COLUMN import_mapping.encoding IS 'encoding of the file; null: UTF-8, or else GB18030';
COMMENT ON COLUMN import_mapping.column_source IS 'where the column names are from';

CREATE TABLE import_column (
    mapping text NOT NULL REFERENCES import_mapping ON UPDATE CASCADE ON DELETE CASCADE,
    position integer NOT NULL,
    field text NOT NULL CHECK (field ~ '^((external_id|name|given_name|family_name|phone|email|wechat|id_number|address|gender|birth_date|region|occupation|joined_at|tags|tier|points|note|order_no|status|after_sale|ordered_at|paid_at|shipped_at|completed_at|amount|freight|discount|refunded|product|category|quantity)|(attribute|consent)\.[a-z][a-z0-9_]{0,30})$'),
    columns text[] NOT NULL CHECK (cardinality(columns) > 0),
    transform text NOT NULL DEFAULT 'text'
        CHECK (transform IN ('text', 'phone', 'email', 'date', 'date_mdy', 'time', 'time_mdy', 'money', 'money_minor', 'number', 'gender', 'yes_no', 'no_yes', 'tags', 'words')),
    words text[] CHECK (array_to_string(words, '', '') ~ '='),
    required boolean NOT NULL DEFAULT false,
    PRIMARY KEY (mapping, position),
    CHECK ((transform = 'words') = (words IS NOT NULL))
);
COMMENT ON TABLE import_column IS 'which columns of a file are which fields; several columns of one field, such as the parts of an address, are joined';
COMMENT ON COLUMN import_column.position IS 'order of the columns in a file that is written';
COMMENT ON COLUMN import_column.field IS 'attribute.x goes to customer.attributes under the channel, consent.sms is the consent to marketing by sms';
COMMENT ON COLUMN import_column.columns IS 'names that the column goes by; the first is written, the first that the file has is read';
COMMENT ON COLUMN import_column.transform IS 'money_minor: in hundredths; date_mdy and time_mdy: month before day; no_yes: a yes means no, as of an opt-out; words: by the list in words';
COMMENT ON COLUMN import_column.words IS 'word=value; the first word of a value is the one written';
COMMENT ON COLUMN import_column.required IS 'the file must have the column, and each row something in it';

CREATE FUNCTION import_header(name text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN lower(regexp_replace(translate(name, '（），：', '(),:'), '[\s\u3000\ufeff\u00a0*]|\(必填\)|\(required\)', '', 'gi'));
COMMENT ON FUNCTION import_header(text) IS 'a column name or word as it is compared: without case, white space, asterisks and marks of what is required, full-width punctuation as plain';

CREATE FUNCTION import_moment(value text, month_first boolean, time_zone text) RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    plain text := btrim(replace(value, '：', ':'));
    p text[];
    moment timestamp;
BEGIN
    IF plain ~ '^\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d)?)?$' THEN
        RETURN plain::timestamp AT TIME ZONE time_zone;
    END IF;
    -- A number of five digits is a day as spreadsheets count them.
    IF plain ~ '^[2-7]\d{4}$' THEN
        RETURN (date '1899-12-30' + plain::integer)::timestamp AT TIME ZONE time_zone;
    END IF;
    plain := regexp_replace(regexp_replace(plain, '[年月/.](?=\d{1,4}(\D|$))', '-', 'g'), '日\s*|T(?=\d)', ' ');
    plain := btrim(regexp_replace(plain, '\s+', ' ', 'g'));
    IF plain ~ '^\d{8}(\d{6})?$' THEN
        plain := regexp_replace(plain, '^(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d))?$', CASE length(plain) WHEN 8 THEN '\1-\2-\3' ELSE '\1-\2-\3 \4:\5:\6' END);
    END IF;
    p := regexp_match(plain, CASE WHEN month_first AND plain !~ '^\d{4}' THEN '^(\d{1,2})-(\d{1,2})-(\d{4})' ELSE '^(\d{4})-(\d{1,2})-(\d{1,2})' END
                             || '(?: (\d{1,2}):(\d{1,2})(?::(\d{1,2}(?:[.-]\d+)?))?(?: ?([AaPp])[Mm])?)? ?(Z|UTC|[+-]\d\d:?\d\d)?$');
    IF p IS NULL THEN
        RETURN NULL;
    END IF;
    IF month_first AND plain !~ '^\d{4}' THEN
        p := ARRAY[p[3], p[1], p[2]] || p[4:8];
    END IF;
    IF p[7] IS NOT NULL THEN
        p[4] := (p[4]::integer % 12 + CASE WHEN p[7] IN ('P', 'p') THEN 12 ELSE 0 END)::text;
    END IF;
    moment := make_timestamp(p[1]::integer, p[2]::integer, p[3]::integer, coalesce(p[4], '0')::integer, coalesce(p[5], '0')::integer,
                             coalesce(replace(p[6], '-', '.'), '0')::double precision);
    IF p[8] IS NULL THEN
        RETURN moment AT TIME ZONE time_zone;
    END IF;
    RETURN (moment::text || CASE WHEN p[8] IN ('Z', 'UTC') THEN '+00' ELSE p[8] END)::timestamptz;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION import_moment(text, boolean, text) IS
'a day or moment as files have it: 2026-01-05 10:00:00, 2026/1/5, 2026年1月5日, 20260105, with Z or an offset, days as spreadsheets count them (45000), and 1/5/2026 1:02 PM where the month comes first; null for what is none';

CREATE FUNCTION import_value(value text, transform text, words text[] DEFAULT NULL, time_zone text DEFAULT 'Asia/Shanghai') RETURNS text
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    v text := btrim(value, E' \t\r\n\u3000\u00a0\ufeff');
    found text;
    moment timestamptz;
BEGIN
    -- Spreadsheets keep long numbers by ="123" or an apostrophe.
    IF v ~ '^[='']' THEN
        v := btrim(regexp_replace(regexp_replace(v, '^="(.*)"$', '\1'), '^''(?=[=@+0-9-])', ''));
    END IF;
    IF v = '' OR lower(v) IN ('-', '--', 'null', 'none', 'n/a', '无', '\n') THEN
        RETURN '';
    END IF;
    CASE transform
        WHEN 'text' THEN
            RETURN v;
        WHEN 'phone' THEN
            found := normalize_phone(v);
            RETURN CASE WHEN found ~ '^\+861\d{10}$' THEN substr(found, 4) ELSE found END;
        WHEN 'email' THEN
            RETURN normalize_email(v);
        WHEN 'date', 'date_mdy' THEN
            RETURN to_char(import_moment(v, transform = 'date_mdy', time_zone) AT TIME ZONE time_zone, 'YYYY-MM-DD');
        WHEN 'time', 'time_mdy' THEN
            RETURN to_char(import_moment(v, transform = 'time_mdy', time_zone) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US"+00"');
        WHEN 'money', 'money_minor' THEN
            v := regexp_replace(translate(v, '，．－', ',.-'), '[¥￥$€£元,\s]|CNY|RMB|USD|EUR|HK', '', 'gi');
            IF transform = 'money_minor' THEN
                RETURN CASE WHEN v ~ '^[+-]?\d{1,14}$' THEN trim_scale(v::numeric / 100)::text END;
            END IF;
            RETURN CASE WHEN v ~ '^[+-]?\d{1,12}(\.\d{1,4}0*)?$' THEN trim_scale(v::numeric)::text END;
        WHEN 'number' THEN
            v := regexp_replace(v, ',|\.0+$', '', 'g');
            RETURN CASE WHEN v ~ '^[+-]?\d{1,18}$' THEN v::bigint::text END;
        WHEN 'gender' THEN
            v := import_header(v);
            RETURN CASE WHEN v IN ('男', '男性', '男士', '先生', 'm', 'male', 'man', 'mr', 'mr.') THEN 'male'
                        WHEN v IN ('女', '女性', '女士', '小姐', 'f', 'female', 'woman', 'ms', 'ms.', 'mrs', 'mrs.') THEN 'female'
                        WHEN v IN ('其他', '其它', 'other', 'x') THEN 'other'
                        WHEN v IN ('未知', '保密', '不详', 'unknown', 'u', '0') THEN '' END;
        WHEN 'yes_no', 'no_yes' THEN
            v := import_header(v);
            found := CASE WHEN v IN ('yes', 'y', 'true', 't', '1', '是', 'on', 'subscribed') THEN 'yes'
                          WHEN v IN ('no', 'n', 'false', 'f', '0', '否', 'off', 'unsubscribed', 'not_subscribed') THEN 'no' END;
            RETURN CASE WHEN transform = 'no_yes' THEN CASE found WHEN 'yes' THEN 'no' WHEN 'no' THEN 'yes' END ELSE found END;
        WHEN 'tags' THEN
            BEGIN
                RETURN coalesce(nullif(tagset(ARRAY(SELECT t FROM regexp_split_to_table(v, '\s*[,;，；、|]\s*') t WHERE t <> ''))::text, '{}'), '');
            EXCEPTION WHEN OTHERS THEN
                RETURN NULL;
            END;
        WHEN 'words' THEN
            RETURN (SELECT substr(w.word, strpos(w.word, '=') + 1) FROM unnest(words) WITH ORDINALITY w (word, n)
                    WHERE import_header(split_part(w.word, '=', 1)) = import_header(v) ORDER BY w.n LIMIT 1);
    END CASE;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION import_value(text, text, text[], text) IS 'a cell of a file by a transform of import_column: the value in the store''s form, empty when the cell says nothing, null when it cannot be read';

CREATE FUNCTION read_import(mapping text, file text)
RETURNS TABLE (line bigint, reason text, content jsonb, left_out text[])
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    m import_mapping;
    header text[];
    width integer;
    header_line bigint;
    zone text := (SELECT s.time_zone FROM settings s);
    sought record;
BEGIN
    SELECT * INTO m FROM import_mapping i WHERE i.mapping = read_import.mapping;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'mapping "%" does not exist', mapping
            USING ERRCODE = 'undefined_object', HINT = 'SELECT mapping, name_zh, name_en FROM import_mapping lists them.';
    END IF;
    SELECT r.line, ARRAY(SELECT import_header(f) FROM unnest(r.fields) WITH ORDINALITY u (f, n) ORDER BY n), cardinality(r.fields)
        INTO header_line, header, width
    FROM csv_rows(file) r LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the file is empty' USING ERRCODE = 'no_data_found', HINT = 'Its first line names the columns.';
    END IF;
    SELECT c.columns[1] AS name, array_to_string(c.columns, ', ') AS names INTO sought
    FROM import_column c
    WHERE c.mapping = m.mapping AND c.required AND NOT EXISTS (SELECT FROM unnest(c.columns) n WHERE import_header(n) = ANY (header))
    ORDER BY c.position LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the file has no column "%"', sought.name
            USING ERRCODE = 'undefined_column', DETAIL = format('Names known for it: %s.', sought.names),
                  HINT = 'UPDATE import_column SET columns = array_append(columns, ''the name in the file'') teaches another name.';
    END IF;
    RETURN QUERY
    WITH sought AS MATERIALIZED (
        SELECT c.position, c.field, c.transform, c.words, c.required,
               (SELECT array_position(header, import_header(s.name)) FROM unnest(c.columns) WITH ORDINALITY s (name, n)
                WHERE import_header(s.name) = ANY (header) ORDER BY s.n LIMIT 1) AS ord
        FROM import_column c WHERE c.mapping = m.mapping
    ), rows AS MATERIALIZED (
        SELECT r.line, r.fields,
               CASE WHEN r.problem IS NOT NULL THEN r.problem
                    WHEN cardinality(r.fields) < width THEN format('%s fields where the header has %s', cardinality(r.fields), width)
                    WHEN array_to_string(r.fields[width + 1:], '') <> '' THEN format('%s fields where the header has %s', cardinality(r.fields), width) END AS problem
        FROM csv_rows(file) r WHERE r.line > header_line
    ), cells AS (
        SELECT r.line, s.position, s.field, s.required, s.transform, r.fields[s.ord] AS raw,
               s.field IN ('name', 'given_name', 'family_name', 'phone', 'email', 'wechat', 'id_number', 'address', 'birth_date') AS personal
        FROM rows r JOIN sought s ON s.ord IS NOT NULL
        WHERE r.problem IS NULL
    -- Materialized, since the planner would compute a value again for each aggregate over it.
    ), valued AS MATERIALIZED (
        SELECT c.*, c.personal AND crm.is_masked(c.raw) AS hidden,
               CASE WHEN c.personal AND crm.is_masked(c.raw) THEN '' ELSE import_value(c.raw, c.transform, s.words, zone) END AS value
        FROM cells c JOIN sought s USING (position)
    ), fields AS (
        SELECT v.line, v.field, min(v.position) AS position,
               string_agg(v.value, CASE m.language WHEN 'zh' THEN '' ELSE ', ' END ORDER BY v.position) FILTER (WHERE v.value <> '') AS value,
               CASE WHEN bool_or(v.hidden) THEN format('%s (masked)', v.field)
                    WHEN m.kind = 'order' AND bool_or(v.personal AND v.value IS NULL) THEN format('%s (unreadable)', v.field) END AS left_out,
               -- An order counts even if its buyer's number is a virtual one with an extension.
               min(CASE WHEN v.value IS NULL AND v.personal THEN CASE m.kind WHEN 'customer' THEN format('%s cannot be read', v.field) END
                        WHEN v.value IS NULL THEN format('%s "%s" cannot be read as %s', v.field, left(v.raw, 40), v.transform)
                        WHEN v.required AND v.value = '' THEN format('%s is empty', v.field) END) AS problem
        FROM valued v GROUP BY v.line, v.field
    )
    SELECT r.line, coalesce(r.problem, f.problem), coalesce(f.content, '{}'), coalesce(f.left_out, '{}')
    FROM rows r
    LEFT JOIN (SELECT x.line, (array_agg(x.problem ORDER BY x.position) FILTER (WHERE x.problem IS NOT NULL))[1] AS problem,
                      jsonb_object_agg(x.field, x.value) FILTER (WHERE x.value IS NOT NULL) AS content,
                      array_agg(x.left_out ORDER BY x.position) FILTER (WHERE x.left_out IS NOT NULL) AS left_out
               FROM fields x GROUP BY x.line) f USING (line)
    ORDER BY r.line;
END
$$;
COMMENT ON FUNCTION read_import(text, text) IS
'a file by a mapping: each row''s line, what is wrong with it, its fields, and which of them are left out because they came masked or, of an order, unreadable. Errors: 42704 mapping, 42703 a required column is missing, P0002 empty file';
REVOKE EXECUTE ON FUNCTION read_import(text, text) FROM PUBLIC;

CREATE TYPE imported_person AS (key text, customer_id bigint, made boolean, v jsonb, contact jsonb, kept text[], changed text[], remarks text[]);
COMMENT ON TYPE imported_person IS 'a person of a file: fields as the last of its rows has them, the customer, and what import_differences found out';
CREATE TYPE imported_order AS (customer_id bigint, did text, v jsonb);
COMMENT ON TYPE imported_order IS 'an order of a file, whose it is, and whether it is new or changed';

CREATE FUNCTION import_differences(m import_mapping, as_of timestamptz, people imported_person[]) RETURNS SETOF imported_person
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    -- Contact data that somebody with more to say has said stays.
    RETURN QUERY
    WITH told AS MATERIALIZED (
        SELECT x.key, coalesce(jsonb_object_agg(f.field, f.value) FILTER (WHERE f.old IS NULL OR f.may), '{}') AS contact,
                 coalesce(array_agg(f.field ORDER BY f.field) FILTER (WHERE NOT (f.old IS NULL OR f.may)), '{}') AS kept
          FROM unnest(people) x
          LEFT JOIN contact c ON c.customer_id = x.customer_id
          CROSS JOIN LATERAL (SELECT e.key AS field, e.value, to_jsonb(c) ->> e.key AS old,
                                     source_rank(m.contact_source) >= source_rank(coalesce(c.provenance #>> ARRAY[e.key, 'source'], c.provenance #>> '{*,source}', 'staff')) AS may
                              FROM jsonb_each_text(x.v) e
                              WHERE e.key IN ('name', 'phone', 'email', 'wechat', 'id_number', 'address', 'gender', 'birth_date')) f
          WHERE f.old IS DISTINCT FROM f.value
            AND NOT (f.field = 'phone' AND f.old IS NOT NULL AND normalize_phone(f.old) IS NOT DISTINCT FROM normalize_phone(f.value))
            AND NOT (f.field = 'email' AND f.old IS NOT NULL AND normalize_email(f.old) = f.value)
          GROUP BY x.key
    ), found AS MATERIALIZED (
        SELECT x.key,
                 array_remove(ARRAY[CASE WHEN c.region IS NULL AND x.v ? 'region' THEN 'region' END,
                                    CASE WHEN c.occupation IS NULL AND x.v ? 'occupation' THEN 'occupation' END,
                                    CASE WHEN EXISTS (SELECT FROM jsonb_each_text(x.v) e WHERE e.key LIKE 'attribute.%'
                                                      AND c.attributes #>> ARRAY[m.channel, substr(e.key, 11)] IS DISTINCT FROM e.value) THEN 'attributes' END,
                                    CASE WHEN NOT coalesce((x.v ->> 'tags')::tagset <@ c.tags, NOT x.v ? 'tags') THEN 'tags' END,
                                    CASE WHEN x.v ? 'note' AND NOT EXISTS (SELECT FROM note n WHERE n.customer_id = x.customer_id AND n.body = x.v ->> 'note') THEN 'note' END,
                                    CASE WHEN (x.v ->> 'points')::numeric <> 0 AND g.n IS NULL THEN 'points' END,
                                    CASE WHEN l.tier IS NOT NULL AND tm.tier IS NULL AND l.tier <> base_tier() THEN 'tier' END], NULL)
                 || ARRAY(SELECT e.key FROM jsonb_each_text(x.v) e
                          LEFT JOIN LATERAL (SELECT s.given FROM consent s WHERE s.customer_id = x.customer_id AND s.purpose = 'marketing'
                                             AND s.channel IN (substr(e.key, 9), '*') ORDER BY s.at DESC, s.consent_id DESC LIMIT 1) s ON true
                          WHERE e.key LIKE 'consent.%'
                            AND CASE e.value WHEN 'no' THEN coalesce(s.given, true)
                                             ELSE s.given IS NULL AND EXISTS (SELECT FROM privacy_policy y WHERE y.version =
                                                  (SELECT z.version FROM privacy_policy z WHERE z.valid_from <= as_of ORDER BY z.valid_from DESC, z.version DESC LIMIT 1)
                                                  AND 'marketing' = ANY (y.purposes)) END
                          ORDER BY 1) AS changed,
                 array_remove(ARRAY[CASE WHEN x.v ? 'points' AND g.n > 0 AND (x.v ->> 'points')::numeric <> g.available
                                             THEN format('points %s in the file, %s here', x.v ->> 'points', g.available) END,
                                    CASE WHEN x.v ? 'tier' AND l.tier IS NULL THEN format('tier "%s" is unknown', left(x.v ->> 'tier', 40))
                                         WHEN tm.tier <> l.tier THEN format('tier %s in the file, %s here', l.tier, tm.tier) END], NULL) AS remarks
          FROM unnest(people) x
          LEFT JOIN customer c ON c.customer_id = x.customer_id
          LEFT JOIN LATERAL (SELECT a.seq AS n, a.available FROM points_account a
                             WHERE a.customer_id = x.customer_id AND a.program = 'points' AND a.seq > 0) g ON true
          LEFT JOIN LATERAL (SELECT i.tier FROM tier i WHERE lower(x.v ->> 'tier') IN (i.tier, lower(i.name_zh), lower(i.name_en)) ORDER BY i.seq LIMIT 1) l ON true
          LEFT JOIN tier_member tm ON tm.customer_id = x.customer_id
    )
    SELECT t.key, t.customer_id, t.made, t.v, coalesce(d.contact, '{}'), coalesce(d.kept, '{}'),
           ARRAY(SELECT k FROM jsonb_object_keys(d.contact) k ORDER BY k) || f.changed,
           CASE WHEN d.kept <> '{}' THEN ARRAY['kept ' || array_to_string(d.kept, ', ')] ELSE '{}' END || f.remarks
    FROM unnest(people) t JOIN found f ON f.key = t.key LEFT JOIN told d ON d.key = t.key;
END
$$;
COMMENT ON FUNCTION import_differences(import_mapping, timestamptz, imported_person[]) IS 'what a file would change of these persons, and what it says but does not change';
REVOKE EXECUTE ON FUNCTION import_differences(import_mapping, timestamptz, imported_person[]) FROM PUBLIC;

CREATE FUNCTION import_people(m import_mapping, as_of timestamptz, why text, opening text, people imported_person[]) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    p record;
BEGIN
    UPDATE customer c SET
        joined_at = CASE WHEN t.made THEN least(coalesce((t.v ->> 'joined_at')::timestamptz, (t.v ->> 'ordered_at')::timestamptz, c.joined_at), c.joined_at) ELSE c.joined_at END,
        region = coalesce(c.region, t.v ->> 'region'), occupation = coalesce(c.occupation, t.v ->> 'occupation'),
        attributes = CASE WHEN a.found IS NULL THEN c.attributes
                          ELSE jsonb_set(c.attributes, ARRAY[m.channel], coalesce(c.attributes -> m.channel, '{}') || a.found) END
    FROM unnest(people) t
    LEFT JOIN LATERAL (SELECT jsonb_object_agg(substr(e.key, 11), e.value) AS found FROM jsonb_each_text(t.v) e WHERE e.key LIKE 'attribute.%') a ON true
    WHERE c.customer_id = t.customer_id AND (t.made OR t.changed && '{region,occupation,attributes}');
    INSERT INTO contact (customer_id, name, phone, email, wechat, id_number, address, gender, birth_date, source)
        SELECT t.customer_id, n.name, n.phone, n.email, n.wechat, n.id_number, n.address, n.gender, n.birth_date, m.contact_source
        FROM unnest(people) t CROSS JOIN LATERAL jsonb_populate_record(NULL::contact, t.contact) n
        WHERE t.contact <> '{}' AND NOT EXISTS (SELECT FROM contact c WHERE c.customer_id = t.customer_id)
        ORDER BY t.customer_id;
    -- A row just made is the same already, and writing it again changes nothing.
    FOR p IN SELECT t.customer_id, t.contact FROM unnest(people) t WHERE t.contact <> '{}' AND NOT t.made ORDER BY t.customer_id LOOP
        PERFORM set_contact(p.customer_id, p.contact, m.contact_source);
    END LOOP;
    FOR p IN SELECT g.tag, audience_agg(t.customer_id) AS who
             FROM unnest(people) t CROSS JOIN LATERAL unnest((t.v ->> 'tags')::tagset::text[]) g (tag)
             WHERE 'tags' = ANY (t.changed) GROUP BY g.tag ORDER BY g.tag LOOP
        PERFORM tag_customers(p.who, p.tag, why);
    END LOOP;
    INSERT INTO note (customer_id, at, author, body)
        SELECT t.customer_id, as_of, why, t.v ->> 'note' FROM unnest(people) t WHERE 'note' = ANY (t.changed) ORDER BY t.customer_id;
    FOR p IN SELECT t.customer_id, (t.v ->> 'points')::bigint AS points FROM unnest(people) t WHERE 'points' = ANY (t.changed) ORDER BY t.customer_id LOOP
        IF p.points > 0 THEN
            PERFORM earn(p.customer_id, p.points, 'import', opening, as_of => as_of);
        ELSE
            PERFORM adjust(p.customer_id, p.points, 'import', opening, why, as_of => as_of);
        END IF;
    END LOOP;
    FOR p IN SELECT t.customer_id, l.tier FROM unnest(people) t
             CROSS JOIN LATERAL (SELECT i.tier FROM tier i WHERE lower(t.v ->> 'tier') IN (i.tier, lower(i.name_zh), lower(i.name_en)) ORDER BY i.seq LIMIT 1) l
             WHERE 'tier' = ANY (t.changed) ORDER BY t.customer_id LOOP
        PERFORM grant_tier(p.customer_id, p.tier, cycle_end(as_of), false, why, as_of);
    END LOOP;
    FOR p IN SELECT t.customer_id, substr(k.field, 9) AS channel, t.v ->> k.field AS answer
             FROM unnest(people) t CROSS JOIN LATERAL unnest(t.changed) k (field)
             WHERE k.field LIKE 'consent.%' ORDER BY t.customer_id, k.field LOOP
        IF p.answer = 'no' THEN
            PERFORM withdraw_consent(p.customer_id, 'marketing', p.channel, 'import', jsonb_build_object('import', m.mapping), as_of);
        ELSE
            PERFORM give_consent(p.customer_id, 'marketing', p.channel, 'import', jsonb_build_object('import', m.mapping), NULL, as_of);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION import_people(import_mapping, timestamptz, text, text, imported_person[]) IS 'writes what import_file has found out about customers';
REVOKE EXECUTE ON FUNCTION import_people(import_mapping, timestamptz, text, text, imported_person[]) FROM PUBLIC;

CREATE FUNCTION import_purchases(m import_mapping, history boolean, orders imported_order[]) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    UPDATE purchase q SET
        status = coalesce(r.v ->> 'status', q.status), amount = coalesce((r.v ->> 'amount')::numeric, q.amount), freight = coalesce((r.v ->> 'freight')::numeric, q.freight),
        discount = coalesce((r.v ->> 'discount')::numeric, q.discount), refunded = coalesce((r.v ->> 'refunded')::numeric, q.refunded),
        paid_at = coalesce((r.v ->> 'paid_at')::timestamptz, q.paid_at), shipped_at = coalesce((r.v ->> 'shipped_at')::timestamptz, q.shipped_at),
        completed_at = coalesce((r.v ->> 'completed_at')::timestamptz, q.completed_at)
    FROM unnest(orders) r
    WHERE r.did = 'changed' AND q.customer_id = r.customer_id AND q.channel = m.channel AND q.order_no = r.v ->> 'order_no';
    INSERT INTO purchase (customer_id, channel, order_no, status, history, amount, freight, discount, refunded, ordered_at, paid_at, shipped_at, completed_at)
        SELECT r.customer_id, m.channel, x.order_no, x.status, import_purchases.history, x.amount, coalesce(x.freight, 0), coalesce(x.discount, 0), coalesce(x.refunded, 0),
               coalesce(x.ordered_at, x.paid_at),
               CASE WHEN x.status NOT IN ('pending', 'cancelled') THEN coalesce(x.paid_at, x.ordered_at) ELSE x.paid_at END, x.shipped_at,
               CASE WHEN x.status = 'completed' THEN coalesce(x.completed_at, x.paid_at, x.ordered_at) ELSE x.completed_at END
        FROM unnest(orders) r
        CROSS JOIN LATERAL (SELECT r.v ->> 'order_no' AS order_no, coalesce(r.v ->> 'status', 'completed') AS status, (r.v ->> 'amount')::numeric AS amount,
                                   (r.v ->> 'freight')::numeric AS freight, (r.v ->> 'discount')::numeric AS discount, (r.v ->> 'refunded')::numeric AS refunded,
                                   (r.v ->> 'ordered_at')::timestamptz AS ordered_at, (r.v ->> 'paid_at')::timestamptz AS paid_at,
                                   (r.v ->> 'shipped_at')::timestamptz AS shipped_at, (r.v ->> 'completed_at')::timestamptz AS completed_at) x
        WHERE r.did = 'new' ORDER BY r.customer_id, x.ordered_at;
    INSERT INTO purchase_item (customer_id, channel, order_no, line, product, category, quantity, amount)
        SELECT r.customer_id, m.channel, r.v ->> 'order_no', 1, r.v ->> 'product', r.v ->> 'category', coalesce((r.v ->> 'quantity')::numeric, 1), (r.v ->> 'amount')::numeric
        FROM unnest(orders) r
        WHERE r.did = 'new' AND r.v ? 'product';
END
$$;
COMMENT ON FUNCTION import_purchases(import_mapping, boolean, imported_order[]) IS 'writes the orders that import_file has found out about';
REVOKE EXECUTE ON FUNCTION import_purchases(import_mapping, boolean, imported_order[]) FROM PUBLIC;

CREATE FUNCTION customers_named(customer_ids bigint[]) RETURNS TABLE (customer_id bigint, status text, merged_into bigint)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT c.customer_id, c.status, c.merged_into FROM customer c JOIN unnest(customer_ids) w (customer_id) ON w.customer_id = c.customer_id;
END
$$;
COMMENT ON FUNCTION customers_named(bigint[]) IS 'how these customers stand';
REVOKE EXECUTE ON FUNCTION customers_named(bigint[]) FROM PUBLIC;

CREATE FUNCTION customers_reached(phones text[], emails text[]) RETURNS TABLE (customer_id bigint, phone text, email text)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT c.customer_id, c.phone, c.email
    FROM contact c JOIN customer s ON s.customer_id = c.customer_id AND s.status = 'active'
    WHERE c.phone = ANY (phones) OR c.email = ANY (emails);
END
$$;
COMMENT ON FUNCTION customers_reached(text[], text[]) IS 'active customers that have one of these phone numbers or e-mail addresses';
REVOKE EXECUTE ON FUNCTION customers_reached(text[], text[]) FROM PUBLIC;

CREATE FUNCTION known_purchases(channel text, order_nos text[]) RETURNS SETOF purchase
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT q.* FROM purchase_number n
    JOIN unnest(order_nos) w (order_no) ON w.order_no = n.order_no
    JOIN purchase q ON q.customer_id = n.customer_id AND q.channel = n.channel AND q.order_no = n.order_no
    WHERE n.channel = known_purchases.channel;
END
$$;
COMMENT ON FUNCTION known_purchases(text, text[]) IS 'the orders of a channel that have these numbers';
REVOKE EXECUTE ON FUNCTION known_purchases(text, text[]) FROM PUBLIC;

CREATE FUNCTION import_file(mapping text, file text, apply boolean DEFAULT false, bad_rows text DEFAULT 'refuse', history boolean DEFAULT false,
                            as_of timestamptz DEFAULT now())
RETURNS TABLE (line bigint, action text, customer_id bigint, changed text[], reason text)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    m import_mapping;
    why text := 'import ' || mapping;
    zone text := (SELECT s.time_zone FROM settings s);
    opening text;
    people imported_person[];
    orders imported_order[];
BEGIN
    IF bad_rows IS NULL OR bad_rows NOT IN ('refuse', 'skip') THEN
        RAISE EXCEPTION 'bad_rows is "%"', bad_rows
            USING ERRCODE = 'invalid_parameter_value', HINT = 'refuse takes nothing when a row is bad; skip takes the good rows.';
    END IF;
    IF EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = 'contact'::regclass AND a.atttypid = 'crm.sealed'::regtype AND NOT a.attisdropped) THEN
        RAISE EXCEPTION 'contact has sealed columns, which files cannot be compared with'
            USING ERRCODE = 'feature_not_supported', HINT = 'read_import(mapping, file) gives the rows; seal and write them by a statement of your own.';
    END IF;
    PERFORM set_config('client_min_messages', 'warning', true);
    DROP TABLE IF EXISTS pg_temp.import_row, pg_temp.import_person, pg_temp.import_reached, pg_temp.import_known;
    CREATE TEMP TABLE import_row ON COMMIT DROP AS
        SELECT r.line, r.reason, r.content AS v, r.left_out, NULL::text AS key, NULL::text AS did, '{}'::text[] AS changed, NULL::bigint AS customer_id, NULL::bigint AS holder
        FROM read_import(mapping, file) r;
    SELECT * INTO STRICT m FROM import_mapping i WHERE i.mapping = import_file.mapping;
    opening := 'opening ' || m.channel;

    -- What a row cannot say alone.
    UPDATE pg_temp.import_row r SET
        v = CASE WHEN r.v ? 'name' OR NOT r.v ?| ARRAY['given_name', 'family_name'] THEN r.v - ARRAY['given_name', 'family_name']
                 ELSE r.v - ARRAY['given_name', 'family_name'] || jsonb_build_object('name',
                     CASE WHEN concat(r.v ->> 'family_name', r.v ->> 'given_name') ~ '[一-鿿]' THEN concat(r.v ->> 'family_name', r.v ->> 'given_name')
                          ELSE concat_ws(' ', r.v ->> 'given_name', r.v ->> 'family_name') END) END;
    UPDATE pg_temp.import_row r SET
        v = r.v || CASE WHEN r.v ->> 'after_sale' = 'refunded' THEN jsonb_build_object('status', 'refunded', 'refunded', r.v ->> 'amount')
                        WHEN r.v ->> 'status' = 'refunded' AND NOT r.v ? 'refunded' THEN jsonb_build_object('refunded', r.v ->> 'amount') ELSE '{}' END,
        key = coalesce(r.v ->> 'external_id', 'email:' || (r.v ->> 'email'), 'phone:' || (r.v ->> 'phone'), 'order:' || (r.v ->> 'order_no')),
        reason = coalesce(r.reason,
            CASE WHEN m.kind = 'customer' AND NOT r.v ?| ARRAY['external_id', 'email', 'phone']
                     THEN 'nothing tells who the customer is'
                 WHEN (r.v ->> 'birth_date')::date NOT BETWEEN date '1900-01-01' AND (as_of AT TIME ZONE zone)::date
                     THEN 'birth_date lies before 1900 or ahead'
                 WHEN r.v ->> 'status' NOT IN ('pending', 'paid', 'shipped', 'completed', 'cancelled', 'refunded')
                     THEN format('status "%s" is not one of pending, paid, shipped, completed, cancelled, refunded', r.v ->> 'status')
                 WHEN (r.v ->> 'points')::numeric NOT BETWEEN -1e15 AND 1e15 THEN format('points %s are too many', r.v ->> 'points')
                 WHEN (r.v ->> 'quantity')::numeric <= 0 THEN format('quantity %s is not above zero', r.v ->> 'quantity')
                 WHEN m.kind = 'order' AND NOT r.v ? 'order_no' THEN 'order_no is empty'
                 WHEN m.kind = 'order' AND NOT r.v ? 'amount' THEN 'amount is empty'
                 WHEN m.kind = 'order' AND NOT r.v ?| ARRAY['ordered_at', 'paid_at'] THEN 'ordered_at is empty'
                 WHEN n.field IS NOT NULL THEN format('%s %s is negative', n.field, n.value)
                 WHEN (r.v ->> 'refunded')::numeric > (r.v ->> 'amount')::numeric
                     THEN format('refunded %s is above the amount %s', r.v ->> 'refunded', r.v ->> 'amount') END)
    FROM pg_temp.import_row o
    LEFT JOIN LATERAL (SELECT e.key AS field, e.value FROM jsonb_each_text(o.v) e
                       WHERE e.key IN ('amount', 'freight', 'discount', 'refunded') AND e.value LIKE '-%' ORDER BY 1 LIMIT 1) n ON true
    WHERE o.line = r.line;
    UPDATE pg_temp.import_row r SET reason = format('%s stands in line %s already', CASE m.kind WHEN 'order' THEN format('order_no "%s"', r.v ->> 'order_no') ELSE 'the same customer' END, f.line)
    FROM (SELECT CASE m.kind WHEN 'order' THEN i.v ->> 'order_no' ELSE i.key END AS id, min(i.line) AS line
          FROM pg_temp.import_row i WHERE i.reason IS NULL GROUP BY 1 HAVING count(*) > 1) f
    WHERE r.reason IS NULL AND f.id = CASE m.kind WHEN 'order' THEN r.v ->> 'order_no' ELSE r.key END AND r.line > f.line;

    -- Each person once, as the last row has it.
    CREATE TEMP TABLE import_person ON COMMIT DROP AS
        SELECT k.key, k.v, NULL::bigint AS customer_id, false AS made, k.first_line, '{}'::jsonb AS contact, '{}'::text[] AS kept, '{}'::text[] AS changed, '{}'::text[] AS remarks
        FROM (SELECT x.key, min(x.line) AS first_line, jsonb_object_agg(x.field, x.value) AS v
              FROM (SELECT DISTINCT ON (r.key, e.key) r.key, r.line, e.key AS field, e.value
                    FROM pg_temp.import_row r CROSS JOIN LATERAL jsonb_each_text(r.v || jsonb_build_object('_', '')) e
                    WHERE r.reason IS NULL ORDER BY r.key, e.key, r.line DESC) x GROUP BY x.key) k;
    UPDATE pg_temp.import_person t SET customer_id = k.customer_id
    FROM (SELECT array_agg(x.key) AS ids FROM pg_temp.import_person x) g CROSS JOIN LATERAL known_identities(m.channel, g.ids) k
    WHERE k.external_id = t.key;
    UPDATE pg_temp.import_person t SET customer_id = k.merged_into
    FROM (SELECT array_agg(x.customer_id) AS ids FROM pg_temp.import_person x) g CROSS JOIN LATERAL customers_named(g.ids) k
    WHERE k.customer_id = t.customer_id AND k.merged_into IS NOT NULL;
    IF m.link_contact THEN
        CREATE TEMP TABLE import_reached ON COMMIT DROP AS
            SELECT f.* FROM (SELECT array_agg(h.phone) AS phones, array_agg(x.v ->> 'email') AS emails
                             FROM pg_temp.import_person x CROSS JOIN LATERAL (VALUES (x.v ->> 'phone'), ('+86' || (x.v ->> 'phone'))) h (phone)
                             WHERE x.customer_id IS NULL) g
            CROSS JOIN LATERAL customers_reached(g.phones, g.emails) f;
        UPDATE pg_temp.import_person t SET customer_id = f.customer_id
        FROM (SELECT u.key, min(u.customer_id) AS customer_id
              FROM (SELECT x.key, c.customer_id FROM pg_temp.import_person x JOIN pg_temp.import_reached c ON c.phone IN (x.v ->> 'phone', '+86' || (x.v ->> 'phone')) WHERE x.customer_id IS NULL
                    UNION
                    SELECT x.key, c.customer_id FROM pg_temp.import_person x JOIN pg_temp.import_reached c ON c.email = x.v ->> 'email' WHERE x.customer_id IS NULL) u
              GROUP BY u.key HAVING count(*) = 1) f
        WHERE f.key = t.key;
        DROP TABLE pg_temp.import_reached;
    END IF;
    UPDATE pg_temp.import_row r SET reason = format('the data of customer %s must not be changed (%s)', c.customer_id, c.status)
    FROM (SELECT array_agg(x.customer_id) AS ids FROM pg_temp.import_person x) g CROSS JOIN LATERAL customers_named(g.ids) c
    JOIN pg_temp.import_person t ON t.customer_id = c.customer_id
    WHERE c.status IN ('restricted', 'erased') AND t.key = r.key AND r.reason IS NULL;

    -- What would change.
    FOR people IN
        SELECT array_agg(ROW(x.key, x.customer_id, false, x.v, NULL, NULL, NULL, NULL)::imported_person ORDER BY x.first_line)
        FROM (SELECT p.*, (row_number() OVER (ORDER BY p.first_line) - 1) / 5000 AS chunk FROM pg_temp.import_person p) x GROUP BY x.chunk ORDER BY x.chunk
    LOOP
        UPDATE pg_temp.import_person t SET contact = d.contact, kept = d.kept, changed = d.changed, remarks = d.remarks
        FROM import_differences(m, as_of, people) d WHERE d.key = t.key;
    END LOOP;
    CREATE TEMP TABLE import_known ON COMMIT DROP AS
        SELECT q.* FROM (SELECT array_agg(DISTINCT x.v ->> 'order_no') AS order_nos FROM pg_temp.import_row x WHERE m.kind = 'order') g
        CROSS JOIN LATERAL known_purchases(m.channel, g.order_nos) q;
    CREATE INDEX ON pg_temp.import_known (order_no);
    ANALYZE pg_temp.import_known;
    UPDATE pg_temp.import_row r SET customer_id = t.customer_id, holder = o.customer_id,
        did = CASE WHEN r.reason IS NOT NULL THEN 'bad' WHEN m.kind = 'order' THEN CASE WHEN o.order_no IS NULL THEN 'new' WHEN o.diff <> '{}' THEN 'changed' ELSE 'unchanged' END
                   WHEN t.customer_id IS NULL THEN 'new' WHEN t.changed <> '{}' THEN 'changed' ELSE 'unchanged' END,
        changed = CASE WHEN r.reason IS NOT NULL THEN '{}'
                       ELSE coalesce(o.diff, '{}') || CASE WHEN m.kind = 'customer' OR w.line = t.first_line THEN t.changed ELSE '{}' END END
    FROM pg_temp.import_row w
    LEFT JOIN pg_temp.import_person t ON t.key = w.key
    LEFT JOIN LATERAL (
        SELECT q.order_no, q.customer_id, ARRAY(SELECT e.field FROM (VALUES ('status', q.status, w.v ->> 'status'), ('amount', trim_scale(q.amount)::text, w.v ->> 'amount'),
                                  ('freight', trim_scale(q.freight)::text, w.v ->> 'freight'), ('discount', trim_scale(q.discount)::text, w.v ->> 'discount'),
                                  ('refunded', trim_scale(q.refunded)::text, w.v ->> 'refunded')) e (field, old, new)
                                 WHERE e.new IS DISTINCT FROM e.old AND e.new IS NOT NULL
                                 UNION ALL
                                 SELECT e.field FROM (VALUES ('paid_at', q.paid_at, w.v ->> 'paid_at'), ('shipped_at', q.shipped_at, w.v ->> 'shipped_at'),
                                  ('completed_at', q.completed_at, w.v ->> 'completed_at')) e (field, old, new)
                                 WHERE e.new::timestamptz IS DISTINCT FROM e.old AND e.new IS NOT NULL) AS diff
        FROM pg_temp.import_known q WHERE q.order_no = w.v ->> 'order_no') o ON true
    WHERE w.line = r.line;

    IF apply AND NOT (bad_rows = 'refuse' AND EXISTS (SELECT FROM pg_temp.import_row r WHERE r.did = 'bad')) THEN
        -- Linked ones get the identity first; the others are made by who makes customers for orders, too.
        INSERT INTO identity (channel, external_id, customer_id)
            SELECT m.channel, t.key, t.customer_id FROM pg_temp.import_person t WHERE t.customer_id IS NOT NULL ORDER BY t.key
            ON CONFLICT DO NOTHING;
        UPDATE pg_temp.import_person t SET customer_id = f.customer_id, made = true
        FROM find_or_create_customers((SELECT array_agg(m.channel ORDER BY x.first_line) FROM pg_temp.import_person x WHERE x.customer_id IS NULL),
                                      (SELECT array_agg(x.key ORDER BY x.first_line) FROM pg_temp.import_person x WHERE x.customer_id IS NULL)) f
        WHERE t.customer_id IS NULL AND f.external_id = t.key;
        FOR people IN
            SELECT array_agg(ROW(x.key, x.customer_id, x.made, x.v, x.contact, x.kept, x.changed, x.remarks)::imported_person ORDER BY x.customer_id)
            FROM (SELECT p.*, (row_number() OVER (ORDER BY p.customer_id) - 1) / 5000 AS chunk FROM pg_temp.import_person p) x GROUP BY x.chunk ORDER BY x.chunk
        LOOP
            PERFORM import_people(m, as_of, why, opening, people);
        END LOOP;
        IF m.kind = 'order' AND crm.is_distributed('purchase'::regclass) THEN
            -- No node alone could keep their numbers unique.
            PERFORM claim_orders(array_agg(m.channel), array_agg(r.v ->> 'order_no'), array_agg(t.customer_id))
            FROM pg_temp.import_row r JOIN pg_temp.import_person t ON t.key = r.key WHERE r.did = 'new';
        END IF;
        FOR orders IN
            SELECT array_agg(ROW(CASE x.did WHEN 'new' THEN x.person ELSE x.holder END, x.did, x.v)::imported_order ORDER BY x.person, x.line)
            FROM (SELECT r.*, t.customer_id AS person, (row_number() OVER (ORDER BY t.customer_id, r.line) - 1) / 5000 AS chunk
                  FROM pg_temp.import_row r JOIN pg_temp.import_person t ON t.key = r.key
                  WHERE m.kind = 'order' AND r.did IN ('new', 'changed')) x
            GROUP BY x.chunk ORDER BY x.chunk
        LOOP
            PERFORM import_purchases(m, history, orders);
        END LOOP;
        UPDATE pg_temp.import_row r SET customer_id = t.customer_id FROM pg_temp.import_person t WHERE t.key = r.key AND r.did <> 'bad';
    END IF;
    RETURN QUERY
    SELECT r.line, r.did, r.customer_id, r.changed,
           CASE WHEN r.did = 'bad' THEN r.reason
                ELSE nullif(concat_ws('; ', CASE WHEN r.left_out <> '{}' THEN 'left out ' || array_to_string(r.left_out, ', ') END, nullif(array_to_string(t.remarks, '; '), '')), '') END
    FROM pg_temp.import_row r LEFT JOIN pg_temp.import_person t ON t.key = r.key
    ORDER BY r.line;
    DROP TABLE pg_temp.import_row, pg_temp.import_person, pg_temp.import_known;
END
$$;
COMMENT ON FUNCTION import_file(text, text, boolean, text, boolean, timestamptz) IS
'a file of another system by a mapping of import_mapping: a row for each line with what would be done, or with apply => true was done: new, changed (changed names the fields), unchanged or bad (reason says why). Nothing is done with bad_rows => refuse when a row is bad; skip takes the good ones. Contact data never replaces what the person, staff or an order said, masked values replace nothing, points open an empty account alone, a no to marketing always counts and a yes only where nothing was said. history => true: orders earn no points. Doing it again changes nothing. Run by the store''s owner. Errors: as read_import, 22023 bad_rows, 0A000 sealed contact data';
REVOKE EXECUTE ON FUNCTION import_file(text, text, boolean, text, boolean, timestamptz) FROM PUBLIC;

CREATE FUNCTION import_file(mapping text, file bytea, apply boolean DEFAULT false, bad_rows text DEFAULT 'refuse', history boolean DEFAULT false,
                            as_of timestamptz DEFAULT now())
RETURNS TABLE (line bigint, action text, customer_id bigint, changed text[], reason text)
LANGUAGE sql
SET search_path FROM CURRENT
AS $$
    SELECT * FROM import_file(mapping, decode_file(file, (SELECT m.encoding FROM import_mapping m WHERE m.mapping = import_file.mapping)), apply, bad_rows, history, as_of)
$$;
COMMENT ON FUNCTION import_file(text, bytea, boolean, text, boolean, timestamptz) IS 'the same with the bytes of the file, which are read as UTF-8 or else GB18030 unless the mapping names an encoding';
REVOKE EXECUTE ON FUNCTION import_file(text, bytea, boolean, text, boolean, timestamptz) FROM PUBLIC;

-- What the columns without a word above are.
COMMENT ON COLUMN import_mapping.mapping IS 'name of the mapping';
COMMENT ON COLUMN import_mapping.language IS 'language of errors and words, zh or en';
COMMENT ON COLUMN import_mapping.name_zh IS 'Chinese name';
COMMENT ON COLUMN import_mapping.name_en IS 'English name';
COMMENT ON COLUMN import_column.mapping IS 'the mapping';
