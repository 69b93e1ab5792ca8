-- Customers and orders into files of other systems, masked unless the right to clear values is there; a whole store as rows.

CREATE FUNCTION export_value(value text, transform text, words text[], language text, time_zone text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    IF value IS NULL THEN
        RETURN NULL;
    END IF;
    -- A masked day is a year alone, which no format fits.
    CASE
        WHEN transform = 'date_mdy' AND value ~ '^\d{4}-\d\d-\d\d$' THEN
            RETURN to_char(value::date, 'MM/DD/YYYY');
        WHEN transform IN ('time', 'time_mdy') THEN
            RETURN to_char(value::timestamptz AT TIME ZONE time_zone, CASE transform WHEN 'time' THEN 'YYYY-MM-DD HH24:MI:SS' ELSE 'MM/DD/YYYY HH24:MI:SS' END);
        WHEN transform = 'date' AND length(value) > 10 THEN
            RETURN to_char(value::timestamptz AT TIME ZONE time_zone, 'YYYY-MM-DD');
        WHEN transform = 'money' THEN
            RETURN to_char(value::numeric, 'FM999999999999990.00');
        WHEN transform = 'money_minor' THEN
            RETURN round(value::numeric * 100)::text;
        WHEN transform = 'number' THEN
            RETURN trim_scale(value::numeric)::text;
        WHEN transform = 'gender' THEN
            RETURN CASE WHEN language = 'en' THEN initcap(value) ELSE CASE value WHEN 'male' THEN '男' WHEN 'female' THEN '女' ELSE '其他' END END;
        WHEN transform = 'no_yes' THEN
            RETURN CASE WHEN value = 'no' THEN 'true' ELSE 'false' END;
        WHEN transform = 'tags' THEN
            RETURN array_to_string(value::tagset::text[], ',');
        WHEN transform = 'words' THEN
            RETURN coalesce((SELECT split_part(w.word, '=', 1) FROM unnest(words) WITH ORDINALITY w (word, n)
                             WHERE substr(w.word, strpos(w.word, '=') + 1) = value ORDER BY w.n LIMIT 1), value);
        ELSE
            RETURN value;
    END CASE;
END
$$;
COMMENT ON FUNCTION export_value(text, text, text[], text, text) IS 'a value as a cell of a file: what import_value reads back';

CREATE FUNCTION exported_id(customer_id bigint, channel text, clear boolean) RETURNS TABLE (external_id text)
LANGUAGE sql STABLE ROWS 1
BEGIN ATOMIC
    SELECT CASE WHEN exported_id.clear THEN d.external_id ELSE crm.mask_partial(d.external_id, 2, 2) END
    FROM identity d WHERE d.customer_id = exported_id.customer_id AND d.channel = exported_id.channel AND d.external_id !~ '^(email|phone|order):'
    ORDER BY d.created_at DESC, d.external_id LIMIT 1;
END;
COMMENT ON FUNCTION exported_id(bigint, text, boolean) IS 'by which id a file of a channel names a customer, masked or clear';
REVOKE EXECUTE ON FUNCTION exported_id(bigint, text, boolean) FROM PUBLIC;

CREATE FUNCTION export_people(channel text, language text, customers audience, clear boolean)
RETURNS TABLE (customer_id bigint, content jsonb)
LANGUAGE sql STABLE ROWS 10000
SET search_path FROM CURRENT
AS $$
    SELECT c.customer_id, jsonb_strip_nulls(jsonb_build_object(
               'external_id', i.external_id, 'name', p.name, 'phone', p.phone, 'email', p.email, 'wechat', p.wechat, 'id_number', p.id_number,
               'address', p.address, 'gender', p.gender, 'birth_date', p.birth_date,
               'given_name', CASE WHEN p.name ~ '[一-鿿]' OR p.name !~ ' ' THEN NULL ELSE split_part(p.name, ' ', 1) END,
               'family_name', CASE WHEN p.name ~ '[一-鿿]' OR p.name !~ ' ' THEN p.name ELSE substr(p.name, strpos(p.name, ' ') + 1) END,
               'region', c.region, 'occupation', c.occupation, 'joined_at', c.joined_at, 'tags', nullif(c.tags::text, '{}'),
               'tier', CASE WHEN export_people.language = 'en' THEN t.name_en ELSE t.name_zh END, 'points', b.available))
           || coalesce((SELECT jsonb_object_agg('attribute.' || a.key, a.value) FROM jsonb_each_text(c.attributes -> export_people.channel) a
                        WHERE jsonb_typeof(c.attributes -> export_people.channel) = 'object'), '{}')
           || coalesce((SELECT jsonb_object_agg('consent.' || s.channel, CASE WHEN s.valid THEN 'yes' ELSE 'no' END)
                        FROM consent_state s WHERE s.customer_id = c.customer_id AND s.purpose = 'marketing'), '{}')
    FROM customer c
    LEFT JOIN LATERAL (SELECT crm.clear(k.name) AS name, crm.clear(k.phone) AS phone, crm.clear(k.email) AS email, crm.clear(k.wechat) AS wechat,
                              crm.clear(k.id_number) AS id_number, crm.clear(k.address) AS address, k.gender, k.birth_date::text AS birth_date
                       FROM contact k WHERE export_people.clear AND k.customer_id = c.customer_id
                       UNION ALL
                       SELECT k.name, k.phone, k.email, k.wechat, k.id_number, k.address, k.gender, k.birth_date::text
                       FROM contact_masked k WHERE NOT export_people.clear AND k.customer_id = c.customer_id) p ON true
    LEFT JOIN LATERAL exported_id(c.customer_id, export_people.channel, export_people.clear) i ON true
    LEFT JOIN tier_member m ON m.customer_id = c.customer_id
    LEFT JOIN tier t ON t.tier = coalesce(m.tier, (SELECT base_tier()))
    LEFT JOIN points_balance b ON b.customer_id = c.customer_id AND b.program = 'points'
    WHERE c.status = 'active' AND (export_people.customers IS NULL OR export_people.customers OPERATOR(crm.@>) c.customer_id)
$$;
COMMENT ON FUNCTION export_people(text, text, audience, boolean) IS 'active customers with what a file can hold of them, masked or clear; null: all of them';
REVOKE EXECUTE ON FUNCTION export_people(text, text, audience, boolean) FROM PUBLIC;

CREATE FUNCTION file_rows(m import_mapping, customers audience, clear boolean)
RETURNS TABLE (customer_id bigint, at timestamptz, order_no text, content jsonb)
LANGUAGE sql STABLE ROWS 10000
SET search_path FROM CURRENT
AS $$
    SELECT p.customer_id, NULL::timestamptz, NULL::text, p.content
    FROM export_people(m.channel, m.language, customers, clear) p WHERE m.kind = 'customer'
    UNION ALL
    SELECT p.customer_id, o.ordered_at, o.order_no, p.content || jsonb_strip_nulls(jsonb_build_object(
               'order_no', o.order_no, 'status', o.status, 'ordered_at', o.ordered_at, 'paid_at', o.paid_at, 'shipped_at', o.shipped_at,
               'completed_at', o.completed_at, 'amount', o.amount, 'freight', o.freight, 'discount', o.discount, 'refunded', o.refunded,
               'after_sale', CASE WHEN o.status = 'refunded' THEN 'refunded' ELSE 'none' END, 'product', i.product, 'category', i.category, 'quantity', i.quantity))
    FROM export_people(m.channel, m.language, customers, clear) p
    JOIN purchase o ON o.customer_id = p.customer_id AND o.channel = m.channel
    LEFT JOIN LATERAL (SELECT x.product, x.category, x.quantity FROM purchase_item x
                       WHERE (x.customer_id, x.channel, x.order_no) = (o.customer_id, o.channel, o.order_no) ORDER BY x.line LIMIT 1) i ON true
    WHERE m.kind = 'order'
$$;
COMMENT ON FUNCTION file_rows(import_mapping, audience, boolean) IS 'what a file by a mapping holds: its customers, or their orders';
REVOKE EXECUTE ON FUNCTION file_rows(import_mapping, audience, boolean) FROM PUBLIC;

CREATE FUNCTION export_lines(mapping text, customers audience, clear boolean) RETURNS SETOF text
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    m import_mapping;
    zone text := (SELECT s.time_zone FROM settings s);
    fields text[];
    transforms text[];
    words jsonb;
BEGIN
    SELECT * INTO m FROM import_mapping i WHERE i.mapping = export_lines.mapping;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'mapping "%" does not exist', mapping
            USING ERRCODE = 'undefined_object', HINT = 'SELECT mapping, name_zh, name_en FROM import_mapping lists them.';
    END IF;
    RETURN QUERY SELECT crm.csv_line(array_agg(c.columns[1] ORDER BY c.position)) FROM import_column c WHERE c.mapping = m.mapping;
    -- Of several columns of one field the first holds it all.
    SELECT array_agg(c.field ORDER BY c.position), array_agg(c.transform ORDER BY c.position), jsonb_agg(c.words ORDER BY c.position)
        INTO fields, transforms, words
    FROM (SELECT i.position, i.transform, i.words, CASE WHEN row_number() OVER (PARTITION BY i.field ORDER BY i.position) = 1 THEN i.field ELSE '' END AS field
          FROM import_column i WHERE i.mapping = m.mapping) c;
    RETURN QUERY
    SELECT crm.csv_line(ARRAY(SELECT export_value(r.content ->> u.field, u.transform,
                                                  CASE WHEN u.transform = 'words' THEN ARRAY(SELECT jsonb_array_elements_text(words -> (u.n - 1)::integer)) END, m.language, zone)
                              FROM unnest(fields, transforms) WITH ORDINALITY u (field, transform, n) ORDER BY u.n))
    FROM file_rows(m, customers, clear) r
    ORDER BY r.customer_id, r.at, r.order_no;
END
$$;
COMMENT ON FUNCTION export_lines(text, audience, boolean) IS 'what export_csv and export_clear give';
REVOKE EXECUTE ON FUNCTION export_lines(text, audience, boolean) FROM PUBLIC;

CREATE FUNCTION export_csv(mapping text, customers audience DEFAULT NULL) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
    SELECT export_lines(mapping, customers, false)
$$;
COMMENT ON FUNCTION export_csv(text, audience) IS
'customers as the lines of a file that another system reads, by a mapping of import_mapping: a header, then a line a customer, or an order, with personal data masked. customers: segment_members(…), audience_of(''vip & channel:tmall'') or any other audience; null: all. psql -Atq -c "SELECT shop.export_csv(…)" -o file writes it. Restricted, merged and erased customers are left out. Errors: 42704 mapping';
REVOKE EXECUTE ON FUNCTION export_csv(text, audience) FROM PUBLIC;

CREATE FUNCTION export_clear(mapping text, customers audience, purpose text) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    asker name := crm.caller();
    counted record;
    ids bigint[];
BEGIN
    IF purpose IS NULL OR char_length(btrim(purpose)) < 2 OR char_length(purpose) > 200 OR purpose ~ '[[:cntrl:]]' THEN
        RAISE EXCEPTION 'the purpose is missing or not fit to be recorded'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Say in 2 to 200 characters on one line what the file is needed for.';
    END IF;
    purpose := crm.mask_text(purpose);
    PERFORM require_training();
    SELECT array_agg(c.customer_id ORDER BY c.customer_id) INTO ids
    FROM customer c WHERE c.status = 'active' AND (customers IS NULL OR customers OPERATOR(crm.@>) c.customer_id);
    -- A customer in a file counts as one clear value.
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = 'contact'::regclass AND pg_has_role(asker, c.relowner, 'USAGE')) THEN
        FOR i IN 1..coalesce(cardinality(ids), 0) LOOP
            SELECT * INTO counted FROM count_reveal(asker);
            IF NOT counted.allowed THEN
                RAISE LOG 'crm: export refused by limit: mapping %, % customers, role %, actor %', mapping, cardinality(ids), asker, coalesce(crm.actor(), '-');
                RAISE EXCEPTION 'too many clear values for role "%"', asker
                    USING ERRCODE = 'CV001', DETAIL = format('%s customers asked for, %s clear values in this hour, %s today.', cardinality(ids), counted.this_hour, counted.this_day),
                          HINT = 'Export fewer, or let the store''s owner raise the limit with set_reveal_limit.';
            END IF;
        END LOOP;
    END IF;
    RAISE LOG 'crm: export in clear: mapping %, % customers, role %, login %, actor %, purpose "%"',
        mapping, coalesce(cardinality(ids), 0), asker, session_user, coalesce(crm.actor(), '-'), purpose;
    INSERT INTO contact_access (customer_id, field, purpose, actor, role, login, application, client)
        SELECT i, 'export', export_clear.purpose, crm.actor(), asker, session_user, nullif(current_setting('application_name'), ''), inet_client_addr()
        FROM unnest(ids) i;
    RETURN QUERY SELECT export_lines(mapping, audience(coalesce(ids, '{}')), true);
END
$$;
COMMENT ON FUNCTION export_clear(text, audience, text) IS
'as export_csv, in clear: a right of its own, which no access kind but owner has. Each customer counts as one clear value of the role''s limits and is recorded in contact_access with the purpose. Errors: CV001 limit, CV002 no counter, CV003 training, 22023 purpose, 42704 mapping';
REVOKE EXECUTE ON FUNCTION export_clear(text, audience, text) FROM PUBLIC;

-- A whole store.

CREATE FUNCTION exported_identities(customer_id bigint) RETURNS SETOF identity
LANGUAGE sql STABLE ROWS 1
BEGIN ATOMIC
    SELECT i.* FROM identity i WHERE i.customer_id = exported_identities.customer_id;
END;
COMMENT ON FUNCTION exported_identities(bigint) IS 'the identities of a customer, for export_customers';
REVOKE EXECUTE ON FUNCTION exported_identities(bigint) FROM PUBLIC;

CREATE FUNCTION export_customers() RETURNS TABLE (customer_id bigint, merged boolean, content jsonb)
LANGUAGE sql STABLE ROWS 10000
SET search_path FROM CURRENT
AS $$
    SELECT c.customer_id, c.merged_into IS NOT NULL, (to_jsonb(c) - '{tags,rule_tags}'::text[]) || jsonb_build_object(
        'tags', c.tags::text, 'rule_tags', c.rule_tags::text,
        'tag_expiry', coalesce((SELECT jsonb_agg(to_jsonb(x) - 'customer_id') FROM tag_expiry x WHERE x.customer_id = c.customer_id), '[]'),
        'contact', (SELECT to_jsonb(k) FROM contact k WHERE k.customer_id = c.customer_id),
        'identity', coalesce((SELECT jsonb_agg(to_jsonb(i) ORDER BY i.channel, i.external_id) FROM exported_identities(c.customer_id) i), '[]'),
        'consent', coalesce((SELECT jsonb_agg(to_jsonb(s) ORDER BY s.consent_id) FROM consent s WHERE s.customer_id = c.customer_id), '[]'),
        'note', coalesce((SELECT jsonb_agg(to_jsonb(n) ORDER BY n.note_id) FROM note n WHERE n.customer_id = c.customer_id), '[]'),
        'purchase', coalesce((SELECT jsonb_agg(to_jsonb(p) - ARRAY['order_at', 'net'] ORDER BY p.ordered_at, p.channel, p.order_no) FROM purchase p WHERE p.customer_id = c.customer_id), '[]'),
        'purchase_item', coalesce((SELECT jsonb_agg(to_jsonb(i) ORDER BY i.channel, i.order_no, i.line) FROM purchase_item i WHERE i.customer_id = c.customer_id), '[]'),
        'tier_member', (SELECT to_jsonb(m) FROM tier_member m WHERE m.customer_id = c.customer_id),
        'tier_change', coalesce((SELECT jsonb_agg(to_jsonb(m) ORDER BY m.change_no) FROM tier_change m WHERE m.customer_id = c.customer_id), '[]'),
        'points', coalesce((SELECT jsonb_agg(jsonb_build_object('program', b.program, 'available', b.available,
                'lots', coalesce((SELECT jsonb_agg(jsonb_build_object('points', l.remaining, 'expires_at', l.expires_at, 'available_at', l.available_at) ORDER BY l.expires_at, l.available_at)
                                  FROM points_lot l WHERE l.customer_id = b.customer_id AND l.program = b.program), '[]'),
                'held', coalesce((SELECT jsonb_agg(jsonb_build_object('points', h.points, 'source', h.source, 'reference', h.reference, 'due_at', h.due_at,
                                     'lots', (SELECT jsonb_agg(jsonb_build_object('points', l.remaining, 'expires_at', l.expires_at, 'available_at', l.available_at))
                                              FROM crm.points_lots_unnest(h.lots) l)) ORDER BY h.seq)
                                  FROM points_hold h WHERE h.customer_id = b.customer_id AND h.program = b.program AND h.state = 'open' AND (h.due_at IS NULL OR h.due_at > now())), '[]'))
                ORDER BY b.program) FROM points_balance b WHERE b.customer_id = c.customer_id), '[]'))
    FROM customer c
$$;
COMMENT ON FUNCTION export_customers() IS 'the customers of export_store, each with all that is known';
REVOKE EXECUTE ON FUNCTION export_customers() FROM PUBLIC;

CREATE FUNCTION export_store() RETURNS TABLE (part text, content jsonb)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT 'store', jsonb_build_object('version', s.store_version, 'time_zone', s.time_zone, 'currency', s.currency, 'at', now()) FROM settings s
    UNION ALL SELECT 'source', to_jsonb(s) - 'depth' FROM source_tree() s
    UNION ALL SELECT 'tag_namespace', to_jsonb(n) FROM tag_namespace n
    UNION ALL SELECT 'tag', to_jsonb(t) - 'namespace' FROM tag t
    UNION ALL SELECT 'points_program', to_jsonb(p) - 'code' FROM points_program p
    UNION ALL SELECT 'privacy_policy', to_jsonb(p) FROM privacy_policy p
    UNION ALL SELECT 'tier', to_jsonb(t) FROM (SELECT * FROM tier ORDER BY seq) t
    UNION ALL (SELECT 'customer', c.content FROM export_customers() c ORDER BY c.merged, c.customer_id)
$$;
COMMENT ON FUNCTION export_store() IS
'the whole store as rows for import_store: customers with contact, identities, tags, consents, notes, orders, tiers and balances, and the lists they need. In clear, with all that is known: run by the store''s owner. A copy with every ledger entry is what pg_dump is for';
REVOKE EXECUTE ON FUNCTION export_store() FROM PUBLIC;

CREATE FUNCTION import_store(source regclass) RETURNS TABLE (part text, rows bigint, added bigint)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    odd record;
    c record;
    g record;
    l record;
    n bigint;
BEGIN
    PERFORM set_config('client_min_messages', 'warning', true);
    DROP TABLE IF EXISTS pg_temp.import_store;
    EXECUTE format('CREATE TEMP TABLE import_store ON COMMIT DROP AS SELECT s.part::text AS part, s.content::jsonb AS content, false AS added FROM %s s', source);
    SELECT s.content ->> 'currency' AS theirs, t.currency AS ours INTO odd
    FROM pg_temp.import_store s CROSS JOIN settings t WHERE s.part = 'store' AND s.content ->> 'currency' <> t.currency;
    IF FOUND THEN
        RAISE EXCEPTION 'the currencies differ' USING ERRCODE = 'CE001', DETAIL = format('%s in the file, %s here.', odd.theirs, odd.ours),
            HINT = 'Make the store with the currency of the file.';
    END IF;
    SELECT (s.content ->> 'customer_id')::bigint AS id INTO odd
    FROM pg_temp.import_store s JOIN customer k ON k.customer_id = (s.content ->> 'customer_id')::bigint
    WHERE s.part = 'customer' AND k.joined_at <> (s.content ->> 'joined_at')::timestamptz LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'customer % is somebody else here', odd.id
            USING ERRCODE = 'CE002', HINT = 'A store goes into an empty one, or again into the one that it went into before.';
    END IF;

    INSERT INTO source SELECT r.* FROM pg_temp.import_store s, jsonb_populate_record(NULL::source, s.content) r WHERE s.part = 'source' ON CONFLICT DO NOTHING;
    INSERT INTO tag_namespace SELECT r.* FROM pg_temp.import_store s, jsonb_populate_record(NULL::tag_namespace, s.content) r WHERE s.part = 'tag_namespace' ON CONFLICT DO NOTHING;
    INSERT INTO tag (tag, name_zh, name_en, description, kind, valid_for, created_at, created_by)
        SELECT r.tag, r.name_zh, r.name_en, r.description, r.kind, r.valid_for, r.created_at, r.created_by
        FROM pg_temp.import_store s, jsonb_populate_record(NULL::tag, s.content) r WHERE s.part = 'tag' ON CONFLICT DO NOTHING;
    INSERT INTO points_program (program, name_zh, name_en, redeemable, debt_allowed, expiry, expiry_n, expiry_round, expiry_dates, restore_grace_days, hold_minutes, value, redemption_rate)
        SELECT r.program, r.name_zh, r.name_en, r.redeemable, r.debt_allowed, r.expiry, r.expiry_n, r.expiry_round, r.expiry_dates, r.restore_grace_days, r.hold_minutes, r.value, r.redemption_rate
        FROM pg_temp.import_store s, jsonb_populate_record(NULL::points_program, s.content) r WHERE s.part = 'points_program'
        ON CONFLICT ON CONSTRAINT points_program_pkey DO UPDATE SET redeemable = excluded.redeemable, debt_allowed = excluded.debt_allowed, expiry = excluded.expiry,
            expiry_n = excluded.expiry_n, expiry_round = excluded.expiry_round, expiry_dates = excluded.expiry_dates, restore_grace_days = excluded.restore_grace_days,
            hold_minutes = excluded.hold_minutes, value = excluded.value, redemption_rate = excluded.redemption_rate
        -- The rules of a program that is in use here stay.
        WHERE NOT EXISTS (SELECT FROM points_account a WHERE a.program = points_program.program);
    INSERT INTO privacy_policy SELECT r.* FROM pg_temp.import_store s, jsonb_populate_record(NULL::privacy_policy, s.content) r WHERE s.part = 'privacy_policy' ON CONFLICT DO NOTHING;

    UPDATE pg_temp.import_store s SET added = true
    WHERE s.part = 'customer' AND NOT EXISTS (SELECT FROM customer k WHERE k.customer_id = (s.content ->> 'customer_id')::bigint);
    INSERT INTO customer (customer_id, status, merged_into, joined_at, occupation, region, influence, special_needs, source, last_source, attributes, tags, rule_tags)
        SELECT r.customer_id, r.status, r.merged_into, r.joined_at, r.occupation, r.region, r.influence, r.special_needs, r.source, r.last_source, r.attributes, r.tags, coalesce(r.rule_tags, '{}')
        FROM pg_temp.import_store s, jsonb_populate_record(NULL::customer, s.content) r WHERE s.added ORDER BY r.customer_id;
    PERFORM setval(pg_get_serial_sequence('customer', 'customer_id'), greatest(max(k.customer_id), nextval(pg_get_serial_sequence('customer', 'customer_id')) - 1)) FROM customer k;
    INSERT INTO tag_expiry (customer_id, tag, expires_at)
        SELECT (s.content ->> 'customer_id')::bigint, x ->> 'tag', (x ->> 'expires_at')::timestamptz
        FROM pg_temp.import_store s, jsonb_array_elements(s.content -> 'tag_expiry') x WHERE s.added
        ON CONFLICT ON CONSTRAINT tag_expiry_pkey DO UPDATE SET expires_at = excluded.expires_at;
    INSERT INTO contact (customer_id, name, phone, email, wechat, id_number, address, gender, birth_date, birth_calendar, source, legal_basis)
        SELECT r.customer_id, r.name, r.phone, r.email, r.wechat, r.id_number, r.address, r.gender, r.birth_date, r.birth_calendar,
               r.provenance #>> '{*,source}', r.provenance #>> '{*,basis}'
        FROM pg_temp.import_store s, jsonb_populate_record(NULL::contact, nullif(s.content -> 'contact', 'null') - ARRAY(SELECT jsonb_object_keys(s.content #> '{contact,provenance}'))) r
        WHERE s.added AND r.customer_id IS NOT NULL;
    -- Fields said by others come after, each with its source.
    FOR c IN SELECT (s.content ->> 'customer_id')::bigint AS id, v.value ->> 'source' AS source, v.value ->> 'basis' AS basis,
                    jsonb_object_agg(v.key, s.content -> 'contact' -> v.key) AS fields
             FROM pg_temp.import_store s, jsonb_each(s.content #> '{contact,provenance}') v
             WHERE s.added AND v.key <> '*' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LOOP
        UPDATE contact k
        SET (name, phone, email, wechat, id_number, address, gender, birth_date)
            = (SELECT x.name, x.phone, x.email, x.wechat, x.id_number, x.address, x.gender, x.birth_date FROM jsonb_populate_record(k, c.fields) x),
            source = c.source, legal_basis = c.basis
        WHERE k.customer_id = c.id;
    END LOOP;
    INSERT INTO identity SELECT r.* FROM pg_temp.import_store s, jsonb_populate_recordset(NULL::identity, s.content -> 'identity') r WHERE s.added;
    INSERT INTO consent (customer_id, purpose, channel, given, at, source, evidence, policy_version, actor, role)
        SELECT r.customer_id, r.purpose, r.channel, r.given, r.at, r.source, r.evidence, r.policy_version, r.actor, r.role
        FROM pg_temp.import_store s, jsonb_populate_recordset(NULL::consent, s.content -> 'consent') r WHERE s.added ORDER BY r.consent_id;
    INSERT INTO note (customer_id, at, author, body)
        SELECT r.customer_id, r.at, r.author, r.body FROM pg_temp.import_store s, jsonb_populate_recordset(NULL::note, s.content -> 'note') r WHERE s.added;
    -- Orders before the ladder: the tiers come as they were, and the points as opening entries.
    INSERT INTO purchase (customer_id, channel, order_no, status, history, amount, refunded, freight, discount, cost, ordered_at, paid_at, shipped_at, completed_at, source, currency, currency_rate)
        SELECT r.customer_id, r.channel, r.order_no, r.status, true, r.amount, r.refunded, r.freight, r.discount, r.cost, r.ordered_at, r.paid_at, r.shipped_at, r.completed_at, r.source, r.currency, r.currency_rate
        FROM pg_temp.import_store s, jsonb_populate_recordset(NULL::purchase, s.content -> 'purchase') r WHERE s.added ORDER BY r.customer_id, r.ordered_at;
    INSERT INTO purchase_item SELECT r.* FROM pg_temp.import_store s, jsonb_populate_recordset(NULL::purchase_item, s.content -> 'purchase_item') r WHERE s.added;
    INSERT INTO tier (tier, seq, name_zh, name_en, qualify, keep) SELECT r.tier, r.seq, r.name_zh, r.name_en, r.qualify, r.keep FROM pg_temp.import_store s, jsonb_populate_record(NULL::tier, s.content) r
        WHERE s.part = 'tier' AND NOT EXISTS (SELECT FROM tier t WHERE t.tier = r.tier);
    INSERT INTO tier_change SELECT r.* FROM pg_temp.import_store s, jsonb_populate_recordset(NULL::tier_change, s.content -> 'tier_change') r WHERE s.added ON CONFLICT DO NOTHING;
    INSERT INTO tier_member SELECT r.* FROM pg_temp.import_store s, jsonb_populate_record(NULL::tier_member, nullif(s.content -> 'tier_member', 'null')) r WHERE s.added AND r.customer_id IS NOT NULL
        ON CONFLICT ON CONSTRAINT tier_member_pkey DO UPDATE SET tier = excluded.tier, since = excluded.since, basis = excluded.basis, period_end = excluded.period_end,
            judged_at = excluded.judged_at, lock_until = excluded.lock_until, peak = excluded.peak, rests_on = excluded.rests_on;
    FOR c IN SELECT (s.content ->> 'customer_id')::bigint AS id, s.content -> 'points' AS points
             FROM pg_temp.import_store s WHERE s.added AND s.content -> 'points' <> '[]' ORDER BY 1 LOOP
        FOR g IN SELECT p ->> 'program' AS program, (p ->> 'available')::bigint AS available, p -> 'lots' AS lots, p -> 'held' AS held FROM jsonb_array_elements(c.points) p LOOP
            IF g.available < 0 THEN
                PERFORM adjust(c.id, g.available, 'import', 'opening debt', 'opening balance', g.program);
            END IF;
            n := 0;
            FOR l IN SELECT (x ->> 'points')::bigint AS points, (x ->> 'expires_at')::timestamptz AS expires_at, (x ->> 'available_at')::timestamptz AS available_at
                     FROM jsonb_array_elements(g.lots || coalesce(jsonb_path_query_array(g.held, '$[*].lots[*]'), '[]')) WITH ORDINALITY u (x, i) ORDER BY i LOOP
                n := n + 1;
                PERFORM earn(c.id, l.points, 'import', 'opening ' || n, g.program, coalesce(l.expires_at, 'infinity'), l.available_at);
            END LOOP;
            FOR l IN SELECT (x ->> 'points')::bigint AS points, x ->> 'source' AS source, x ->> 'reference' AS reference, (x ->> 'due_at')::timestamptz AS due_at
                     FROM jsonb_array_elements(g.held) x LOOP
                PERFORM hold(c.id, l.points, l.source, l.reference, g.program, l.due_at);
            END LOOP;
        END LOOP;
    END LOOP;
    RETURN QUERY SELECT s.part, count(*), count(*) FILTER (WHERE s.added) FROM pg_temp.import_store s GROUP BY s.part ORDER BY s.part;
    DROP TABLE pg_temp.import_store;
END
$$;
COMMENT ON FUNCTION import_store(regclass) IS
'takes what export_store gave, from a table with its columns part and content, into an empty store: customers keep their numbers, orders count as history, balances become opening entries by lot with their expiry. Again it adds nothing but customers that came since. added counts customers. Run by the store''s owner. Errors: CE001 other currency, CE002 another customer has the number';
REVOKE EXECUTE ON FUNCTION import_store(regclass) FROM PUBLIC;
