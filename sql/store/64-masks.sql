-- Contact, identities and notes are masked from the start; staff find people through functions.

SELECT crm.mask_column('contact', 'name', 'name'), crm.mask_column('contact', 'phone', 'phone'), crm.mask_column('contact', 'email', 'email'),
       crm.mask_column('contact', 'wechat', 'wechat'), crm.mask_column('contact', 'id_number', 'id_number'),
       crm.mask_column('contact', 'address', 'address'), crm.mask_column('contact', 'birth_date', 'date', '{"to": "year"}'),
       crm.mask_column('contact', 'name_pinyin', 'hide'), crm.mask_column('contact', 'name_initials', 'hide');
SELECT crm.mask_column('contact', a.attname, 'hide') FROM pg_catalog.pg_attribute a
WHERE a.attrelid = 'contact'::regclass AND a.attname IN ('phone_index', 'email_index', 'name_index', 'pinyin_index') AND NOT a.attisdropped;
SELECT crm.apply_masks('contact');
SELECT crm.mask_column('identity', 'external_id', 'partial', '{"left": 2, "right": 2}');
SELECT crm.apply_masks('identity');
SELECT crm.mask_column('note', 'body', 'text');
SELECT crm.apply_masks('note');

DO $do$
BEGIN
    IF is_sealed() THEN
        EXECUTE $sql$
        CREATE FUNCTION contact_matches(query text) RETURNS TABLE (customer_id bigint, found_by text)
        LANGUAGE sql STABLE
        BEGIN ATOMIC
            SELECT c.customer_id, 'phone' FROM contact c
            WHERE c.phone_index = ANY (crm.blind_indexes(coalesce(crm.normalize_phone(query), btrim(query)), 'contact.phone'))
            UNION ALL
            SELECT c.customer_id, 'email' FROM contact c
            WHERE c.email_index = ANY (crm.blind_indexes(coalesce(crm.normalize_email(query), btrim(query)), 'contact.email'))
            UNION ALL
            SELECT i.customer_id, 'identity' FROM identity i WHERE i.external_id = btrim(query)
            UNION ALL
            SELECT c.customer_id, 'name' FROM contact c
            WHERE c.name_index = ANY (crm.blind_indexes(coalesce(crm.normalize_name(query), btrim(query)), 'contact.name'))
            UNION ALL
            SELECT c.customer_id, 'pinyin' FROM contact c
            WHERE query ~ '^[A-Za-z ]{3,}$' AND c.pinyin_index = ANY (crm.blind_indexes(lower(replace(query, ' ', '')), 'contact.pinyin'));
        END
        $sql$;
    ELSE
        EXECUTE $sql$
        CREATE FUNCTION contact_matches(query text) RETURNS TABLE (customer_id bigint, found_by text)
        LANGUAGE sql STABLE
        BEGIN ATOMIC
            SELECT c.customer_id, 'phone' AS found_by FROM contact c WHERE c.phone = btrim(query)
            UNION ALL
            SELECT c.customer_id, 'email' FROM contact c WHERE c.email = btrim(query)
            UNION ALL
            SELECT i.customer_id, 'identity' FROM identity i WHERE i.external_id = btrim(query)
            UNION ALL
            SELECT c.customer_id, 'name' FROM contact c WHERE c.name = btrim(query)
            UNION ALL
            (SELECT c.customer_id, 'pinyin' FROM contact c
            WHERE query ~ '^[A-Za-z ]{3,}$' AND c.name_pinyin LIKE lower(replace(query, ' ', '')) || '%' LIMIT 200)
            UNION ALL
            (SELECT c.customer_id, 'initials' FROM contact c
            WHERE query ~ '^[A-Za-z ]{2,4}$' AND c.name_initials = lower(replace(query, ' ', '')) LIMIT 200);
        END
        $sql$;
    END IF;
END
$do$;
COMMENT ON FUNCTION contact_matches(text) IS 'the customers that a query of search_contact finds, and by what';
REVOKE EXECUTE ON FUNCTION contact_matches(text) FROM PUBLIC;

CREATE FUNCTION search_contact(query text, max_rows integer DEFAULT 20)
RETURNS TABLE (customer_id bigint, name text, phone text, email text, found_by text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path FROM CURRENT
BEGIN ATOMIC
    SELECT m.customer_id, m.name, m.phone, m.email, min(f.found_by)
    FROM contact_matches(query) f
    JOIN contact_masked m ON m.customer_id = f.customer_id
    JOIN customer s ON s.customer_id = m.customer_id AND s.status IN ('active', 'merged')
    GROUP BY m.customer_id, m.name, m.phone, m.email
    ORDER BY min(f.found_by), m.customer_id
    LIMIT least(max_rows, 100);
END;
COMMENT ON FUNCTION search_contact(text, integer) IS 'customers by whole phone, e-mail, channel id or name, by the beginning of the name''s pinyin or by its initials (zhangs, zs); what it shows is masked';
REVOKE EXECUTE ON FUNCTION search_contact(text, integer) FROM PUBLIC;

CREATE FUNCTION rule_within_masks() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    -- A right to read a masked table is one to read its clear columns; what is beyond takes crm.apply_masks(table, readers).
    IF NEW.object_type = 'table' AND NEW.privilege = 'SELECT'
       AND EXISTS (SELECT FROM crm.masked_table m WHERE m.relid = to_regclass(quote_ident(NEW.object))) THEN
        NEW.privilege := format('SELECT (%s)', array_to_string(crm.clear_columns(quote_ident(NEW.object)::regclass, quote_ident(NEW.object)::regclass), ', '));
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rule_within_masks() IS 'trigger: no access kind reads masked columns';
CREATE TRIGGER within_masks BEFORE INSERT OR UPDATE ON access_rule FOR EACH ROW EXECUTE FUNCTION rule_within_masks();

CREATE FUNCTION health_privacy() RETURNS TABLE (subject text, state text, detail text)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    here oid := (SELECT c.relnamespace FROM pg_catalog.pg_class c WHERE c.oid = 'contact'::regclass);
    found text;
    n bigint;
BEGIN
    SELECT count(*), string_agg(format('%s: %s', w.way, w.who), '; ') INTO n, found
    FROM crm.masked_table m JOIN pg_catalog.pg_class c ON c.oid = m.relid AND c.relnamespace = here, crm.check_masks(m.relid) w;
    RETURN QUERY SELECT 'masks', CASE WHEN n = 0 THEN 'ok' ELSE 'attention' END,
        CASE WHEN n = 0 THEN 'no way around them' ELSE format('%s ways around them (crm.check_masks): %s', n, left(found, 200)) END;
    SELECT count(*), string_agg(format('%s.%s', p.table_name, p.column_name), ', ') INTO n, found FROM check_privacy() p;
    RETURN QUERY SELECT 'privacy rules', CASE WHEN n = 0 THEN 'ok' ELSE 'attention' END,
        CASE WHEN n = 0 THEN 'every column is classified' ELSE format('%s to look at (check_privacy): %s', n, left(found, 200)) END;
    IF is_sealed() THEN
        BEGIN
            PERFORM crm.require_sealing();
            RETURN QUERY SELECT 'sealing', 'ok', format('keys are there; an erasure reaches the %s', crm.erasure_reach());
        EXCEPTION WHEN OTHERS THEN
            RETURN QUERY SELECT 'sealing', 'attention', SQLERRM;
        END;
    END IF;
END
$$;
COMMENT ON FUNCTION health_privacy() IS 'for crm.health: ways around the masks, and columns without a privacy_rule';
