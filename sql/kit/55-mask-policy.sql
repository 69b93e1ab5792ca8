-- Which columns are masked, how, and for whom not. PostgreSQL's own privileges enforce it.

CREATE FUNCTION caller() RETURNS name
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION caller() IS 'the role that asked: what SET ROLE chose, else the session''s user, also inside a SECURITY DEFINER function';

CREATE FUNCTION owns_table(tab regclass) RETURNS boolean
LANGUAGE sql STABLE
RETURN (SELECT pg_catalog.pg_has_role(c.relowner, 'USAGE') FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) tab);
COMMENT ON FUNCTION owns_table(regclass) IS 'may the current role act as the owner of this table? Null when there is no such table';

CREATE TABLE masked_table (
    relid regclass PRIMARY KEY,
    readers name[] NOT NULL DEFAULT '{}',
    viewers name[] NOT NULL DEFAULT '{}',
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE masked_table IS 'tables whose masks are applied';
COMMENT ON COLUMN masked_table.readers IS 'roles that keep the right to read masked columns in clear, beside the owner';
COMMENT ON COLUMN masked_table.viewers IS 'roles (public for all) that could read the table before and now read its clear columns and the masked view';

CREATE TABLE mask_policy (
    relid regclass NOT NULL,
    column_name name NOT NULL,
    kind text NOT NULL,
    params jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (relid, column_name)
);
COMMENT ON TABLE mask_policy IS 'what each classified column of a masked table is: a kind of crm.mask_kinds() with its typed parameters, never SQL';

CREATE TABLE mask_accepted (
    relid regclass NOT NULL,
    object text NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    accepted_by name NOT NULL DEFAULT CURRENT_USER,
    accepted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (relid, object)
);
COMMENT ON TABLE mask_accepted IS 'ways around a mask that the table''s owner looked at and accepts; crm.check_masks() leaves them out';

-- Policies are data of the tables' owners: each writes the rows of his own tables, all may read, anybody may clear away what belonged to dropped tables.
ALTER TABLE masked_table ENABLE ROW LEVEL SECURITY;
CREATE POLICY read ON masked_table FOR SELECT USING (true);
CREATE POLICY write ON masked_table FOR INSERT WITH CHECK (crm.owns_table(relid));
CREATE POLICY change ON masked_table FOR UPDATE USING (crm.owns_table(relid)) WITH CHECK (crm.owns_table(relid));
CREATE POLICY remove ON masked_table FOR DELETE USING (coalesce(crm.owns_table(relid), true));
ALTER TABLE mask_policy ENABLE ROW LEVEL SECURITY;
CREATE POLICY read ON mask_policy FOR SELECT USING (true);
CREATE POLICY write ON mask_policy FOR INSERT WITH CHECK (crm.owns_table(relid));
CREATE POLICY change ON mask_policy FOR UPDATE USING (crm.owns_table(relid)) WITH CHECK (crm.owns_table(relid));
CREATE POLICY remove ON mask_policy FOR DELETE USING (coalesce(crm.owns_table(relid), true));
ALTER TABLE mask_accepted ENABLE ROW LEVEL SECURITY;
CREATE POLICY read ON mask_accepted FOR SELECT USING (true);
CREATE POLICY write ON mask_accepted FOR INSERT WITH CHECK (crm.owns_table(relid));
CREATE POLICY change ON mask_accepted FOR UPDATE USING (crm.owns_table(relid)) WITH CHECK (crm.owns_table(relid));
CREATE POLICY remove ON mask_accepted FOR DELETE USING (coalesce(crm.owns_table(relid), true));
GRANT SELECT, INSERT, UPDATE, DELETE ON masked_table, mask_policy, mask_accepted TO PUBLIC;

CREATE FUNCTION mask_row_replace() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A row of the same key gives way: a restore of the data meets the rows that create_store has just made.
    IF TG_RELID = 'crm.masked_table'::regclass THEN
        DELETE FROM crm.masked_table t WHERE t.relid = NEW.relid;
    ELSIF TG_RELID = 'crm.mask_policy'::regclass THEN
        DELETE FROM crm.mask_policy t WHERE t.relid = NEW.relid AND t.column_name = NEW.column_name;
    ELSE
        DELETE FROM crm.mask_accepted t WHERE t.relid = NEW.relid AND t.object = NEW.object;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION mask_row_replace() IS 'trigger: a new row of a policy table takes the place of the one with its key';
CREATE TRIGGER replace BEFORE INSERT ON masked_table FOR EACH ROW EXECUTE FUNCTION crm.mask_row_replace();
CREATE TRIGGER replace BEFORE INSERT ON mask_policy FOR EACH ROW EXECUTE FUNCTION crm.mask_row_replace();
CREATE TRIGGER replace BEFORE INSERT ON mask_accepted FOR EACH ROW EXECUTE FUNCTION crm.mask_row_replace();
ALTER TABLE masked_table ENABLE ALWAYS TRIGGER replace;
ALTER TABLE mask_policy ENABLE ALWAYS TRIGGER replace;
ALTER TABLE mask_accepted ENABLE ALWAYS TRIGGER replace;

SELECT pg_catalog.pg_extension_config_dump('crm.masked_table', 'WHERE EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = relid)');
SELECT pg_catalog.pg_extension_config_dump('crm.mask_policy', 'WHERE EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = relid)');
SELECT pg_catalog.pg_extension_config_dump('crm.mask_accepted', 'WHERE EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = relid)');

CREATE FUNCTION mask_kinds()
RETURNS TABLE (kind text, template text, params jsonb, meaning text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    -- In a template %1$s is the column, the others are parameters in the order of their names, as literals.
    SELECT v.column1, v.column2, v.column3::jsonb, v.column4 FROM (VALUES
        ('clear',     '%1$s', '{}', 'not personal: shown as it is'),
        ('hide',      'NULL', '{}', 'null, of the column''s type'),
        ('all',       'crm.mask_all(%1$s)', '{}', 'everything covered, length hidden'),
        ('name',      'crm.mask_name(%1$s, %2$s)', '{"style": ["surname", "ends"]}', 'name of a person'),
        ('phone',     'crm.mask_phone(%1$s)', '{}', 'telephone number'),
        ('email',     'crm.mask_email(%1$s)', '{}', 'e-mail address'),
        ('id_number', 'crm.mask_id_number(%1$s)', '{}', 'resident ID, permit or passport'),
        ('bank_card', 'crm.mask_bank_card(%1$s)', '{}', 'bank card'),
        ('address',   'crm.mask_address(%1$s)', '{}', 'postal address'),
        ('plate',     'crm.mask_plate(%1$s)', '{}', 'number plate'),
        ('wechat',    'crm.mask_wechat(%1$s)', '{}', 'WeChat name'),
        ('nickname',  'crm.mask_nickname(%1$s)', '{}', 'nickname on a platform'),
        ('courier',   'crm.mask_courier(%1$s)', '{}', 'courier number'),
        ('ip',        'crm.mask_ip(%1$s)', '{}', 'IP address, text or inet'),
        ('iban',      'crm.mask_iban(%1$s)', '{}', 'IBAN'),
        ('uscc',      'crm.mask_uscc(%1$s)', '{}', 'unified social credit code'),
        ('text',      'crm.mask_text(%1$s)', '{}', 'free text: phones, IDs, cards and e-mails in it are covered'),
        ('date',      'crm.mask_date(%1$s, %2$s)', '{"to": ["year", "month"]}', 'date, coarsened'),
        ('partial',   'crm.mask_partial(%1$s, %2$s, %4$s, %3$s)', '{"left": 0, "mask": "*", "right": 0}', 'keeps the first left and the last right characters')) v;
END;
COMMENT ON FUNCTION mask_kinds() IS 'the closed list of masks that a column can have; params shows each parameter with its default, or with its possible values, the default first';

CREATE FUNCTION mask_params(kind text, params jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known jsonb;
    filled jsonb := '{}';
    key text;
    given jsonb;
BEGIN
    SELECT k.params INTO known FROM crm.mask_kinds() k WHERE k.kind = mask_params.kind;
    IF known IS NULL THEN
        RAISE EXCEPTION 'unknown kind of mask "%"', kind
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = format('The kinds are %s.', (SELECT string_agg(k.kind, ', ') FROM crm.mask_kinds() k));
    END IF;
    IF params IS NULL OR jsonb_typeof(params) <> 'object' THEN
        RAISE EXCEPTION 'the parameters of a mask are a JSON object'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Write {} for none.';
    END IF;
    SELECT k INTO key FROM jsonb_object_keys(params) k WHERE NOT known ? k ORDER BY k LIMIT 1;
    IF key IS NOT NULL THEN
        RAISE EXCEPTION 'mask "%" has no parameter "%"', kind, key
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = CASE WHEN known = '{}' THEN 'It has none.'
                              ELSE format('It has %s.', (SELECT string_agg(k, ', ' ORDER BY k) FROM jsonb_object_keys(known) k)) END;
    END IF;
    FOR key IN SELECT k FROM jsonb_object_keys(known) k ORDER BY k
    LOOP
        given := params -> key;
        IF given IS NULL THEN
            given := CASE jsonb_typeof(known -> key) WHEN 'array' THEN known -> key -> 0 ELSE known -> key END;
        ELSIF (CASE jsonb_typeof(known -> key)
                  WHEN 'array' THEN NOT (known -> key) @> jsonb_build_array(given)
                  WHEN 'number' THEN jsonb_typeof(given) <> 'number' OR given::text !~ '^[0-9]{1,4}$'
                  ELSE jsonb_typeof(given) <> 'string' OR char_length(given #>> '{}') <> 1
              END) THEN
            RAISE EXCEPTION 'parameter "%" of mask "%" cannot be %', key, kind, given
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = CASE jsonb_typeof(known -> key)
                                 WHEN 'array' THEN format('It is one of %s.', known -> key)
                                 WHEN 'number' THEN 'It is a whole number from 0 to 9999.'
                                 ELSE 'It is one character.' END;
        END IF;
        filled := filled || jsonb_build_object(key, given);
    END LOOP;
    RETURN filled;
END
$$;
COMMENT ON FUNCTION mask_params(text, jsonb) IS 'the parameters of a mask, checked and with defaults filled in; raises 22023 on anything unknown';

CREATE FUNCTION mask_expression(column_name name, column_type oid, kind text, params jsonb) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    template text;
    arguments text[];
    base oid := coalesce(nullif((SELECT t.typbasetype FROM pg_type t WHERE t.oid = column_type), 0), column_type);
    as_argument text := 't.' || quote_ident(column_name);
BEGIN
    SELECT k.template INTO template FROM crm.mask_kinds() k WHERE k.kind = mask_expression.kind;
    IF kind = 'clear' THEN
        RETURN as_argument;
    ELSIF kind = 'hide' THEN
        RETURN format('NULL::%s', format_type(column_type, NULL));
    END IF;
    IF kind = 'date' AND base NOT IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype) THEN
        RAISE EXCEPTION 'column "%" of type % cannot have a mask of kind "date"', column_name, format_type(column_type, NULL)
            USING ERRCODE = 'datatype_mismatch', HINT = 'It is for date, timestamp and timestamptz; "hide" and "all" suit every type.';
    END IF;
    IF kind = 'date' THEN
        as_argument := as_argument || CASE WHEN base = 'date'::regtype THEN '' ELSE '::date' END;
    ELSIF NOT (kind = 'ip' AND base = 'inet'::regtype)
          AND base IS DISTINCT FROM to_regtype('crm.sealed') THEN
        as_argument := as_argument || CASE WHEN column_type = 'text'::regtype THEN '' ELSE '::text' END;
    END IF;
    SELECT array_agg(CASE jsonb_typeof(p.value) WHEN 'number' THEN p.value::text ELSE quote_literal(p.value #>> '{}') || '::text' END ORDER BY p.key)
        INTO arguments FROM jsonb_each(params) p;
    RETURN format(template, VARIADIC ARRAY[as_argument] || coalesce(arguments, '{}'));
END
$$;
COMMENT ON FUNCTION mask_expression(name, oid, text, jsonb) IS 'the expression that a masked view shows for a column; every name in it is qualified, every parameter a literal';

CREATE FUNCTION require_table_owner(tab regclass) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF tab IS NULL OR NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = tab AND c.relkind IN ('r', 'p')) THEN
        RAISE EXCEPTION '% is not a table', coalesce(tab::text, 'null')
            USING ERRCODE = 'wrong_object_type', HINT = 'Masks are for tables and partitioned tables.';
    END IF;
    IF NOT crm.owns_table(tab) THEN
        RAISE EXCEPTION 'must be owner of table %', tab USING ERRCODE = 'insufficient_privilege';
    END IF;
END
$$;
COMMENT ON FUNCTION require_table_owner(regclass) IS 'raises unless this is a table of the current role';

CREATE FUNCTION mask_column(tab regclass, column_name name, kind text, params jsonb DEFAULT '{}') RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    column_type oid;
BEGIN
    PERFORM crm.require_table_owner(tab);
    SELECT a.atttypid INTO column_type FROM pg_attribute a
    WHERE a.attrelid = tab AND a.attname = column_name AND a.attnum > 0 AND NOT a.attisdropped;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'table % has no column "%"', tab, column_name USING ERRCODE = 'undefined_column';
    END IF;
    IF EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = tab) THEN
        RAISE EXCEPTION '% is a partition or a child table', tab
            USING ERRCODE = 'wrong_object_type', HINT = 'Classify the columns of its parent; the masks hold for both.';
    END IF;
    params := crm.mask_params(kind, params);
    PERFORM crm.mask_expression(column_name, column_type, kind, params);
    INSERT INTO crm.mask_policy (relid, column_name, kind, params) VALUES (tab, column_name, kind, params);
    -- Of a table that is masked already, nobody should have to wait for the second step.
    IF EXISTS (SELECT FROM crm.masked_table m WHERE m.relid = tab) THEN
        PERFORM crm.apply_masks(tab);
    END IF;
END
$$;
COMMENT ON FUNCTION mask_column(regclass, name, text, jsonb) IS
'classifies a column of a table: a kind of crm.mask_kinds() with its parameters ("clear" for a column without personal data). crm.apply_masks(table) then puts it into force; on a table that is masked already it holds at once. Errors: 22023 unknown kind or parameter, 42703 no such column, 42501 not the owner';

CREATE FUNCTION unmask_column(tab regclass, column_name name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM crm.require_table_owner(tab);
    IF NOT EXISTS (SELECT FROM crm.mask_policy p WHERE p.relid = tab AND p.column_name = unmask_column.column_name) THEN
        RAISE EXCEPTION 'column "%" of % has no mask', column_name, tab
            USING ERRCODE = 'undefined_object', HINT = 'SELECT * FROM crm.mask_policy shows what is classified.';
    END IF;
    PERFORM crm.mask_column(tab, column_name, 'clear');
END
$$;
COMMENT ON FUNCTION unmask_column(regclass, name) IS 'takes the mask off a column: it counts as clear from now on; on a masked table its readers see it at once';

-- What the columns without a word above are.
COMMENT ON COLUMN masked_table.relid IS 'the table';
COMMENT ON COLUMN masked_table.applied_at IS 'when crm.apply_masks last wrote its views and privileges';
COMMENT ON COLUMN mask_policy.relid IS 'the table';
COMMENT ON COLUMN mask_policy.column_name IS 'the column';
COMMENT ON COLUMN mask_policy.kind IS 'how it is masked: a kind of crm.mask_kinds()';
COMMENT ON COLUMN mask_policy.params IS 'parameters of the kind, as crm.mask_kinds() lists them; {} for its defaults';
COMMENT ON COLUMN mask_accepted.relid IS 'the masked table';
COMMENT ON COLUMN mask_accepted.object IS 'what goes around the mask, named as crm.check_masks() names it';
COMMENT ON COLUMN mask_accepted.reason IS 'why that is accepted';
COMMENT ON COLUMN mask_accepted.accepted_by IS 'the role that accepted it';
COMMENT ON COLUMN mask_accepted.accepted_at IS 'when';
