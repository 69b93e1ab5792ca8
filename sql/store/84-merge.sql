-- One person, several customers: finding them, merging them, and how good the contact data is.

ALTER TABLE settings
    ADD COLUMN duplicate_auto_score smallint NOT NULL DEFAULT 90 CHECK (duplicate_auto_score BETWEEN 0 AND 100),
    ADD COLUMN contact_confirm_days integer NOT NULL DEFAULT 365 CHECK (contact_confirm_days > 0);
COMMENT ON COLUMN settings.duplicate_auto_score IS 'merge_duplicates() merges pairs that score more than this without a person''s word; 100: none';
COMMENT ON COLUMN settings.contact_confirm_days IS 'contact data not changed nor confirmed for so many days counts as not confirmed';

CREATE TABLE merge_log (
    customer_id bigint NOT NULL REFERENCES customer,
    merge_id bigint GENERATED ALWAYS AS IDENTITY,
    lose bigint NOT NULL REFERENCES customer,
    at timestamptz NOT NULL DEFAULT now(),
    reason text NOT NULL,
    moved jsonb NOT NULL DEFAULT '{}',
    actor text DEFAULT crm.actor(),
    role name NOT NULL DEFAULT crm.caller(),
    undone_at timestamptz,
    undone jsonb,
    PRIMARY KEY (customer_id, merge_id),
    UNIQUE (merge_id)
);
CREATE INDEX merge_log_lose ON merge_log (lose);
COMMENT ON TABLE merge_log IS 'who was merged into whom, and what moved: the record to undo a merge by';
COMMENT ON COLUMN merge_log.customer_id IS 'who stays';
COMMENT ON COLUMN merge_log.lose IS 'who was merged into it';
COMMENT ON COLUMN merge_log.moved IS 'by table the keys of the rows that moved, without the column that changed; points what each program moved, tags and contact what the one who stays gained (names of fields, no values), customer the fields that changed, each as it was and as it became';
COMMENT ON COLUMN merge_log.undone IS 'why the merge was undone, and what of it stayed: rows without a primary key, points that were spent meanwhile';

CREATE TABLE duplicate_candidate (
    customer_id bigint NOT NULL REFERENCES customer ON DELETE CASCADE,
    other bigint NOT NULL REFERENCES customer ON DELETE CASCADE,
    score smallint NOT NULL CHECK (score BETWEEN 0 AND 100),
    reasons text[] NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'merged', 'rejected')),
    problem text,
    found_at timestamptz NOT NULL DEFAULT now(),
    decided_at timestamptz,
    actor text,
    PRIMARY KEY (customer_id, other),
    CHECK (customer_id < other)
);
CREATE INDEX duplicate_candidate_open ON duplicate_candidate (score DESC) WHERE state = 'open';
CREATE INDEX duplicate_candidate_other ON duplicate_candidate (other);
COMMENT ON TABLE duplicate_candidate IS 'pairs of customers who may be one person; find_duplicates() finds them, decide_duplicate() settles them. A rejected pair is not asked about again';
COMMENT ON COLUMN duplicate_candidate.reasons IS 'what the two have in common, of phone, email, id_number, address, name; birth_date or gender where they differ';
COMMENT ON COLUMN duplicate_candidate.problem IS 'SQLSTATE that the last automatic merge ended with';

CREATE TABLE contact_confirmation (
    customer_id bigint PRIMARY KEY REFERENCES customer ON DELETE CASCADE,
    confirmed_at timestamptz NOT NULL
);
COMMENT ON TABLE contact_confirmation IS 'when a customer last said that the contact data is right';

CREATE FUNCTION find_customer(customer_id bigint) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path FROM CURRENT
BEGIN ATOMIC
    WITH RECURSIVE up AS (
        SELECT c.customer_id, c.merged_into FROM customer c WHERE c.customer_id = find_customer.customer_id
        UNION
        SELECT c.customer_id, c.merged_into FROM up JOIN customer c ON c.customer_id = up.merged_into)
    SELECT u.customer_id FROM up u WHERE u.merged_into IS NULL;
END;
COMMENT ON FUNCTION find_customer(bigint) IS 'the customer that a number stands for today: itself, or who it was merged into, through any chain; null when there is no such customer';
REVOKE EXECUTE ON FUNCTION find_customer(bigint) FROM PUBLIC;

-- Merging.

CREATE FUNCTION merge_points_total(keep bigint, lose bigint)
RETURNS TABLE (program text, total numeric)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT b.program, sum(b.available::numeric + b.pending + b.held)
    FROM points_balance b WHERE b.customer_id IN (merge_points_total.keep, merge_points_total.lose) GROUP BY b.program;
END;
COMMENT ON FUNCTION merge_points_total(bigint, bigint) IS 'points of two customers together: what a merge must not change';
REVOKE EXECUTE ON FUNCTION merge_points_total(bigint, bigint) FROM PUBLIC;

CREATE FUNCTION move_orders_and_points(keep bigint, lose bigint, reference text) RETURNS jsonb
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    orders jsonb;
    moved jsonb := '{}';
    of_program text;
    n bigint;
BEGIN
    PERFORM FROM points_account a WHERE a.customer_id IN (keep, lose) ORDER BY a.customer_id, a.program FOR NO KEY UPDATE;
    -- The two are one person by now, so the order path posts nothing: the points of an order stay booked where they were earned.
    WITH gone AS (
        UPDATE purchase o SET customer_id = keep WHERE o.customer_id = lose RETURNING o.channel, o.order_no)
    SELECT jsonb_agg(jsonb_build_array(g.channel, g.order_no)) INTO orders FROM gone g;
    FOR of_program IN SELECT a.program FROM points_account a WHERE a.customer_id = lose ORDER BY a.program
    LOOP
        n := crm.points_move('points_entry'::regclass, lose, keep, of_program, 9223372036854775807, 'merge', reference);
        IF n <> 0 THEN
            moved := moved || jsonb_build_object(of_program, n);
        END IF;
    END LOOP;
    RETURN jsonb_strip_nulls(jsonb_build_object('purchase', orders, 'points', nullif(moved, '{}')));
END
$$;
COMMENT ON FUNCTION move_orders_and_points(bigint, bigint, text) IS 'moves all orders of one customer to another of the same person, without posting their points again, and all available points by transfer, with their expiry';
REVOKE EXECUTE ON FUNCTION move_orders_and_points(bigint, bigint, text) FROM PUBLIC;

CREATE FUNCTION key_columns(relation regclass, key_column name, alias text) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(string_agg(format('%s.%I', key_columns.alias, a.attname), ', ' ORDER BY a.attnum), '')
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[])
    WHERE i.indrelid = key_columns.relation AND i.indisprimary AND a.attname <> key_columns.key_column;
END;
COMMENT ON FUNCTION key_columns(regclass, name, text) IS 'columns of a primary key beside the one that names the customer, for a query';
REVOKE EXECUTE ON FUNCTION key_columns(regclass, name, text) FROM PUBLIC;

CREATE FUNCTION move_rows(keep bigint, lose bigint) RETURNS jsonb
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    -- Logs and ledgers stay as written; the others are merged by rules of their own, or computed anew.
    stay CONSTANT name[] := '{customer,customer_summary,contact,contact_confirmation,contact_change,contact_access,consent,erasure,restriction,
        legal_hold,merge_log,duplicate_candidate,points_account,points_entry,points_hold,points_note,points_checkpoint_leaf,points_start,points_entry_archive,purchase,
        purchase_number,purchase_item,purchase_refund,order_agent,tier_member,tier_change,lifecycle_state,lifecycle_change,tag_expiry,tag_event}';
    parts text[] := '{}';
    reads text[] := '{}';
    t record;
    moved jsonb;
BEGIN
    -- One statement, so that rows and the rows that refer to them move together: foreign keys are checked at its end.
    FOR t IN
        SELECT c.relation, c.table_name, c.key_column, u.clashes, f.parents, coalesce(k.keys, 'to_jsonb(1)') AS keys, -- rows without a primary key are only counted
               row_number() OVER (ORDER BY f.parents IS NOT NULL, c.table_name, c.key_column) AS n
        FROM customer_tables() c
        JOIN pg_catalog.pg_attribute key ON key.attrelid = c.relation AND key.attname = c.key_column
        CROSS JOIN LATERAL (
            -- What the one who stays has already, stays double.
            SELECT string_agg(format(' AND NOT (%s AND EXISTS (SELECT FROM %s k WHERE k.%I = $1%s AND %1$s))', coalesce(pg_get_expr(i.indpred, i.indrelid), 'true'),
                                     c.relation, c.key_column, e.same), '') AS clashes
            FROM pg_catalog.pg_index i
            CROSS JOIN LATERAL (
                SELECT string_agg(format(' AND k.%I = o.%1$I', a.attname), '') AS same
                FROM pg_catalog.pg_attribute a
                WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]) AND a.attnum <> key.attnum) e
            WHERE i.indrelid = c.relation AND i.indisunique AND key.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
              AND 0 <> ALL (i.indkey::int2[])) u
        CROSS JOIN LATERAL (
            -- With their parent, or not at all.
            SELECT string_agg(format(' AND (%s) IN (SELECT %s FROM %I)', x.mine, x.theirs, 'moved_' || (x.parent::regclass)::oid), '') AS parents
            FROM (SELECT r.confrelid AS parent, string_agg(format('o.%I', m.attname), ', ' ORDER BY z.n) AS mine, string_agg(quote_ident(h.attname), ', ' ORDER BY z.n) AS theirs
                  FROM pg_catalog.pg_constraint r
                  CROSS JOIN LATERAL unnest(r.conkey, r.confkey) WITH ORDINALITY z (m, h, n)
                  JOIN pg_catalog.pg_attribute m ON m.attrelid = r.conrelid AND m.attnum = z.m
                  JOIN pg_catalog.pg_attribute h ON h.attrelid = r.confrelid AND h.attnum = z.h
                  JOIN customer_tables() p ON p.relation = r.confrelid AND p.key_column = 'customer_id' AND p.table_name <> ALL (stay)
                  WHERE r.contype = 'f' AND r.conrelid = c.relation AND r.confrelid <> r.conrelid
                    AND key.attnum = ANY (r.conkey) AND cardinality(r.conkey) > 1 AND m.attnum <> key.attnum
                  GROUP BY r.oid, r.confrelid) x) f
        LEFT JOIN LATERAL (
            SELECT format('jsonb_build_array(%s)', key_columns(c.relation, c.key_column, 'm')) AS keys
            WHERE EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.relation AND i.indisprimary)) k ON true
        WHERE c.table_name <> ALL (stay)
        ORDER BY n
    LOOP
        parts := parts || format('%I AS (UPDATE %s o SET %I = $1 WHERE o.%3$I = $2%s%s%s RETURNING o.*)',
                                 CASE t.key_column WHEN 'customer_id' THEN 'moved_' || t.relation::oid ELSE 'moved_' || t.relation::oid || '_' || t.n END,
                                 t.relation, t.key_column, t.clashes, t.parents,
                                 -- Nobody invites himself.
                                 CASE WHEN t.table_name = 'invitation' THEN ' AND $1 NOT IN (o.customer_id, o.inviter)' END);
        reads := reads || format('SELECT %L AS name, jsonb_agg(%s) AS keys FROM %I m',
                                 CASE t.key_column WHEN 'customer_id' THEN t.table_name ELSE t.table_name || '.' || t.key_column END, t.keys,
                                 CASE t.key_column WHEN 'customer_id' THEN 'moved_' || t.relation::oid ELSE 'moved_' || t.relation::oid || '_' || t.n END);
    END LOOP;
    EXECUTE 'WITH ' || array_to_string(parts, ', ') || ' SELECT jsonb_object_agg(r.name, r.keys) FILTER (WHERE r.keys IS NOT NULL) FROM ('
            || array_to_string(reads, ' UNION ALL ') || ') r'
        INTO moved USING keep, lose;
    RETURN coalesce(moved, '{}');
END
$$;
COMMENT ON FUNCTION move_rows(bigint, bigint) IS 'moves the rows of every table that refers to customers, those of the user''s own too, except logs, ledgers and what merge_customers merges by rule; returns their keys by table';
REVOKE EXECUTE ON FUNCTION move_rows(bigint, bigint) FROM PUBLIC;

CREATE FUNCTION lock_pair(a bigint, b bigint) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    -- As the order path does, orders before summaries before customers, each by their keys: so nobody waits in a circle.
    PERFORM FROM purchase p WHERE p.customer_id IN (a, b) ORDER BY p.customer_id, p.channel, p.order_no FOR NO KEY UPDATE;
    PERFORM FROM customer_summary x WHERE x.customer_id IN (a, b) ORDER BY x.customer_id FOR NO KEY UPDATE;
    PERFORM FROM customer x WHERE x.customer_id IN (a, b) ORDER BY x.customer_id FOR NO KEY UPDATE;
END
$$;
COMMENT ON FUNCTION lock_pair(bigint, bigint) IS 'keeps orders, points and merges of two customers waiting until the end of the transaction';
REVOKE EXECUTE ON FUNCTION lock_pair(bigint, bigint) FROM PUBLIC;

CREATE FUNCTION merge_customers(keep bigint, lose bigint, reason text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    k customer;
    l customer;
    c customer;
    gained text[];
    tag text;
    number bigint;
    done jsonb;
    held bigint;
    filled text[];
BEGIN
    IF keep = lose THEN
        RAISE EXCEPTION 'customer % cannot be merged with itself', keep USING ERRCODE = 'CM030', HINT = 'Name two customers.';
    ELSIF reason IS NULL OR btrim(reason) = '' THEN
        RAISE EXCEPTION 'a merge needs a reason' USING ERRCODE = 'invalid_parameter_value', HINT = 'Say why in reason.';
    END IF;
    PERFORM lock_pair(keep, lose);
    SELECT x.* INTO k FROM customer x WHERE x.customer_id = keep;
    SELECT x.* INTO l FROM customer x WHERE x.customer_id = lose;
    IF k.customer_id IS NULL OR l.customer_id IS NULL THEN
        RAISE EXCEPTION 'there is no such customer' USING ERRCODE = 'no_data_found',
            DETAIL = format('Customer %s.', CASE WHEN k.customer_id IS NULL THEN keep ELSE lose END);
    END IF;
    FOREACH c IN ARRAY ARRAY[k, l]
    LOOP
        IF c.status = 'merged' THEN
            RAISE EXCEPTION 'customer % is merged already', c.customer_id USING ERRCODE = 'CM031', HINT = format('It is customer %s now.', find_customer(c.customer_id));
        ELSIF c.status = 'erased' THEN
            RAISE EXCEPTION 'customer % is erased', c.customer_id USING ERRCODE = 'CM032', HINT = 'Nothing is merged with an erased customer.';
        ELSIF c.status <> 'active' THEN
            RAISE EXCEPTION 'customer % is restricted', c.customer_id USING ERRCODE = 'CM033', HINT = 'restrict_customer(customer_id, reason, false) lifts a restriction.';
        END IF;
    END LOOP;
    SELECT h.customer_id INTO held FROM legal_hold h
    WHERE h.customer_id IN (keep, lose) AND h.released_at IS NULL AND (h.until IS NULL OR h.until > now()) ORDER BY 1 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'data of customer % must be kept as it is', held USING ERRCODE = 'CM036', HINT = 'A legal_hold stands; release it first.';
    END IF;
    IF EXISTS (SELECT FROM points_account a WHERE a.customer_id IN (keep, lose) AND a.closed) THEN
        RAISE EXCEPTION 'a points account of customer % or % is closed', keep, lose USING ERRCODE = 'CM034', HINT = 'The owner opens it with UPDATE points_account SET closed = false.';
    END IF;

    INSERT INTO merge_log (customer_id, lose, reason) VALUES (keep, lose, reason) RETURNING merge_log.merge_id INTO number;
    UPDATE customer x SET status = 'merged', merged_into = keep WHERE x.customer_id = lose;
    done := move_orders_and_points(keep, lose, 'merge/' || number) || move_rows(keep, lose);

    -- Tags: all of both; where only one of a namespace may be, that of who stays.
    SELECT array_agg(g.tag ORDER BY g.tag) INTO gained
    FROM unnest(l.tags::text[]) g (tag)
    WHERE NOT crm.has_tag(k.tags, g.tag)
      AND NOT EXISTS (SELECT FROM tag_namespace n JOIN unnest(k.tags::text[]) h (tag) ON split_part(h.tag, ':', 1) = n.namespace AND strpos(h.tag, ':') > 1
                      WHERE n.exclusive AND n.namespace = split_part(g.tag, ':', 1) AND strpos(g.tag, ':') > 1);
    FOREACH tag IN ARRAY coalesce(gained, '{}')
    LOOP
        k.tags := k.tags + tag;
    END LOOP;
    PERFORM set_config('crm.tag_reason', 'merge of customer ' || lose, true);
    UPDATE customer x
    SET tags = k.tags, rule_tags = x.rule_tags OPERATOR(crm.|) (l.rule_tags OPERATOR(crm.&) crm.tagset(coalesce(gained, '{}'))), joined_at = least(x.joined_at, l.joined_at), occupation = coalesce(x.occupation, l.occupation), region = coalesce(x.region, l.region),
        influence = coalesce(x.influence, l.influence), special_needs = coalesce(x.special_needs, l.special_needs),
        source = CASE WHEN l.joined_at < x.joined_at THEN coalesce(l.source, x.source) ELSE coalesce(x.source, l.source) END,
        last_source = coalesce(x.last_source, l.last_source), attributes = l.attributes || x.attributes
    WHERE x.customer_id = keep;
    PERFORM set_config('crm.tag_reason', '', true);
    -- What changed in the row, as it was and as it became.
    SELECT done || jsonb_build_object('tags', to_jsonb(coalesce(gained, '{}')), 'customer', coalesce(jsonb_object_agg(w.key, jsonb_build_array(w.value, n.value)), '{}'))
    INTO done
    FROM customer x, jsonb_each(to_jsonb(k) - '{tags,rule_tags}'::text[]) w (key, value), jsonb_each(to_jsonb(x) - '{tags,rule_tags}'::text[]) n (key, value)
    WHERE x.customer_id = keep AND n.key = w.key AND n.value <> w.value;
    INSERT INTO tag_expiry AS e (customer_id, tag, expires_at)
    SELECT keep, x.tag, x.expires_at FROM tag_expiry x WHERE x.customer_id = lose AND x.tag = ANY (gained)
    ON CONFLICT ON CONSTRAINT tag_expiry_pkey DO UPDATE SET expires_at = EXCLUDED.expires_at;

    -- Contact: gaps alone. That of who is merged stays there, as the record.
    IF EXISTS (SELECT FROM contact x WHERE x.customer_id = lose) THEN
        INSERT INTO contact (customer_id, source) VALUES (keep, 'import') ON CONFLICT DO NOTHING;
        SELECT array_agg(o.key ORDER BY o.key) INTO filled
        FROM contact x, contact y, jsonb_each(to_jsonb(x)) n (key, value), jsonb_each(to_jsonb(y)) o (key, value)
        WHERE x.customer_id = keep AND y.customer_id = lose AND n.key = o.key AND n.value = 'null' AND o.value <> 'null'
          AND o.key IN ('name', 'phone', 'email', 'wechat', 'id_number', 'address', 'gender', 'birth_date');
        done := done || jsonb_build_object('contact', to_jsonb(coalesce(filled, '{}')));
        UPDATE contact x
        SET name = coalesce(x.name, o.name), phone = coalesce(x.phone, o.phone), email = coalesce(x.email, o.email), wechat = coalesce(x.wechat, o.wechat),
            id_number = coalesce(x.id_number, o.id_number), address = coalesce(x.address, o.address), gender = coalesce(x.gender, o.gender),
            birth_calendar = CASE WHEN x.birth_date IS NULL THEN o.birth_calendar ELSE x.birth_calendar END,
            birth_date = coalesce(x.birth_date, o.birth_date), source = 'import'
        FROM contact o
        WHERE x.customer_id = keep AND o.customer_id = lose;
    END IF;

    -- Consent: a no of either stays a no; a yes does not pass over.
    INSERT INTO consent (customer_id, purpose, channel, given, source, evidence)
    SELECT keep, s.purpose, s.channel, false, 'staff', jsonb_build_object('merge', number)
    FROM (SELECT x.* FROM consent_state x WHERE x.customer_id = lose) s
    WHERE NOT s.given
      AND NOT EXISTS (SELECT FROM consent_state y WHERE y.customer_id = lose AND y.purpose = s.purpose AND y.channel = '*' AND y.given AND y.at > s.at)
      AND NOT (EXISTS (SELECT FROM consent_state y WHERE y.customer_id = keep AND y.purpose = s.purpose AND y.channel IN (s.channel, '*') AND NOT y.given)
               AND NOT EXISTS (SELECT FROM consent_state y WHERE y.customer_id = keep AND y.purpose = s.purpose AND y.given))
    ORDER BY s.purpose, s.channel;

    UPDATE duplicate_candidate d SET state = 'merged', decided_at = now(), actor = crm.actor()
    WHERE d.customer_id = least(keep, lose) AND d.other = greatest(keep, lose);
    DELETE FROM duplicate_candidate d WHERE lose IN (d.customer_id, d.other) AND d.state = 'open';
    UPDATE merge_log g SET moved = done WHERE g.customer_id = keep AND g.merge_id = number;
    RETURN number;
END
$$;
COMMENT ON FUNCTION merge_customers(bigint, bigint, text) IS
'makes two customers one: all that lose has goes to keep, and lose points to it (find_customer). Gives the number in merge_log. Errors: CM030 with itself, CM031 merged already, CM032 erased, CM033 restricted, CM034 a points account is closed, CM036 a legal hold stands, P0002 no such customer, 22023 no reason';
REVOKE EXECUTE ON FUNCTION merge_customers(bigint, bigint, text) FROM PUBLIC;

CREATE FUNCTION undo_merge(merge_id bigint, reason text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    g merge_log;
    m merge_log;
    l customer;
    t record;
    parts text[] := '{}';
    remains jsonb := '{}';
    orders jsonb := '[]';
    p record;
    n bigint;
    changed jsonb := '{}';
BEGIN
    SELECT x.* INTO g FROM merge_log x WHERE x.merge_id = undo_merge.merge_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no merge %', undo_merge.merge_id USING ERRCODE = 'no_data_found', HINT = 'merge_log lists them.';
    ELSIF undo_merge.reason IS NULL OR btrim(undo_merge.reason) = '' THEN
        RAISE EXCEPTION 'undoing a merge needs a reason' USING ERRCODE = 'invalid_parameter_value', HINT = 'Say why in reason.';
    END IF;
    PERFORM lock_pair(g.customer_id, g.lose);
    SELECT x.* INTO g FROM merge_log x WHERE x.merge_id = undo_merge.merge_id FOR UPDATE;
    IF g.undone_at IS NOT NULL THEN
        RETURN g.undone;
    END IF;
    SELECT x.* INTO l FROM customer x WHERE x.customer_id = g.lose;
    IF l.status <> 'merged' OR l.merged_into <> g.customer_id OR NOT EXISTS (SELECT FROM customer x WHERE x.customer_id = g.customer_id AND x.status = 'active') THEN
        RAISE EXCEPTION 'merge % can no longer be undone', undo_merge.merge_id
            USING ERRCODE = 'CM037', DETAIL = format('Customer %s is %s, customer %s is %s.', g.lose, l.status, g.customer_id, (SELECT x.status FROM customer x WHERE x.customer_id = g.customer_id)),
                  HINT = 'Of a chain, undo the last merge first; after an erasure nothing comes back.';
    END IF;
    IF EXISTS (SELECT FROM points_account a WHERE a.customer_id IN (g.customer_id, g.lose) AND a.closed) THEN
        RAISE EXCEPTION 'a points account of customer % or % is closed', g.customer_id, g.lose USING ERRCODE = 'CM034', HINT = 'The owner opens it with UPDATE points_account SET closed = false.';
    END IF;
    PERFORM FROM points_account a WHERE a.customer_id IN (g.customer_id, g.lose) ORDER BY a.customer_id, a.program FOR NO KEY UPDATE;

    -- With what settle_merges() brought later.
    FOR m IN SELECT x.* FROM merge_log x WHERE x.customer_id = g.customer_id AND x.lose = g.lose AND x.merge_id >= g.merge_id AND x.undone_at IS NULL ORDER BY x.merge_id
    LOOP
        orders := orders || coalesce(m.moved -> 'purchase', '[]');
        parts := '{}';
        FOR t IN
            SELECT c.relation, c.key_column, c.table_name, v.value, key_columns(c.relation, c.key_column, 'o') AS keys, row_number() OVER () AS n
            FROM jsonb_each(m.moved) v
            JOIN customer_tables() c ON v.key = CASE c.key_column WHEN 'customer_id' THEN c.table_name::text ELSE c.table_name || '.' || c.key_column END
            WHERE v.key NOT IN ('purchase', 'points', 'tags', 'customer', 'contact')
        LOOP
            IF jsonb_typeof(t.value -> 0) = 'array' THEN
                parts := parts || format('p%s AS (UPDATE %s o SET %I = $2 WHERE o.%3$I = $1 AND $3 -> %L @> jsonb_build_array(jsonb_build_array(%s)))', t.n, t.relation, t.key_column,
                                         CASE t.key_column WHEN 'customer_id' THEN t.table_name::text ELSE t.table_name || '.' || t.key_column END, t.keys);
            ELSE
                remains := remains || jsonb_build_object(t.table_name, jsonb_array_length(t.value));
            END IF;
        END LOOP;
        IF parts <> '{}' THEN
            EXECUTE 'WITH ' || array_to_string(parts, ', ') || ' SELECT 1' USING g.customer_id, g.lose, m.moved;
        END IF;
        UPDATE merge_log x SET undone_at = now(), undone = jsonb_build_object('reason', undo_merge.reason) WHERE x.customer_id = m.customer_id AND x.merge_id = m.merge_id;
    END LOOP;

    -- While the two still are one person, so the order path posts nothing: their points stand where they go.
    UPDATE purchase o SET customer_id = g.lose
    FROM jsonb_array_elements(orders) AS w (key)
    WHERE o.customer_id = g.customer_id AND o.channel = w.key ->> 0 AND o.order_no = w.key ->> 1
      AND NOT EXISTS (SELECT FROM points_entry_all e WHERE e.customer_id = g.customer_id AND e.kind = 'earn' AND e.source = 'purchase'
                      AND e.reference = o.channel || '/' || o.order_no);

    -- What went over since, less what came back for refunds.
    FOR p IN
        SELECT e.program, sum(CASE e.kind WHEN 'transfer_out' THEN e.points ELSE -e.points END) AS net
        FROM points_entry_all e
        WHERE e.customer_id = g.lose AND e.source = 'merge' AND e.booked_at >= g.at AND e.kind IN ('transfer_out', 'transfer_in', 'adjust')
        GROUP BY e.program ORDER BY e.program
    LOOP
        IF p.net > 0 THEN
            n := 0;
            IF (SELECT b.available FROM points_balance b WHERE b.customer_id = g.customer_id AND b.program = p.program) > 0 THEN
                n := crm.points_move('points_entry'::regclass, g.customer_id, g.lose, p.program, p.net::bigint, 'merge', 'undo/' || g.merge_id);
            END IF;
            IF n < p.net THEN
                remains := remains || jsonb_build_object('points', coalesce(remains -> 'points', '{}') || jsonb_build_object(p.program, p.net - n));
            END IF;
        ELSIF p.net < 0 THEN
            PERFORM adjust(g.customer_id, -p.net::bigint, 'merge', 'undo/' || g.merge_id, 'merge undone', p.program);
            PERFORM adjust(g.lose, p.net::bigint, 'merge', 'undo/' || g.merge_id, 'merge undone', p.program);
        END IF;
    END LOOP;

    -- Of the row and the contact, what nobody changed since.
    SELECT coalesce(jsonb_object_agg(v.key, v.value -> 0), '{}') INTO changed
    FROM customer x, jsonb_each(g.moved -> 'customer') v
    WHERE x.customer_id = g.customer_id AND to_jsonb(x) -> v.key = v.value -> 1;
    PERFORM set_config('crm.tag_reason', 'merge of customer ' || g.lose || ' undone', true);
    UPDATE customer x
    SET tags = x.tags OPERATOR(crm.-) ARRAY(SELECT jsonb_array_elements_text(g.moved -> 'tags')),
        rule_tags = x.rule_tags OPERATOR(crm.-) ARRAY(SELECT jsonb_array_elements_text(g.moved -> 'tags')), joined_at = w.joined_at, occupation = w.occupation, region = w.region,
        influence = w.influence, special_needs = w.special_needs, source = w.source, last_source = w.last_source, attributes = w.attributes
    FROM customer y, jsonb_populate_record(y, changed) w
    WHERE x.customer_id = g.customer_id AND y.customer_id = x.customer_id;
    PERFORM set_config('crm.tag_reason', '', true);
    DELETE FROM tag_expiry e WHERE e.customer_id = g.customer_id AND g.moved -> 'tags' ? e.tag;
    UPDATE contact x
    SET name = CASE WHEN g.moved -> 'contact' ? 'name' AND x.name = o.name THEN NULL ELSE x.name END,
        phone = CASE WHEN g.moved -> 'contact' ? 'phone' AND x.phone = o.phone THEN NULL ELSE x.phone END,
        email = CASE WHEN g.moved -> 'contact' ? 'email' AND x.email = o.email THEN NULL ELSE x.email END,
        wechat = CASE WHEN g.moved -> 'contact' ? 'wechat' AND x.wechat = o.wechat THEN NULL ELSE x.wechat END,
        id_number = CASE WHEN g.moved -> 'contact' ? 'id_number' AND x.id_number = o.id_number THEN NULL ELSE x.id_number END,
        address = CASE WHEN g.moved -> 'contact' ? 'address' AND x.address = o.address THEN NULL ELSE x.address END,
        gender = CASE WHEN g.moved -> 'contact' ? 'gender' AND x.gender = o.gender THEN NULL ELSE x.gender END,
        birth_date = CASE WHEN g.moved -> 'contact' ? 'birth_date' AND x.birth_date = o.birth_date THEN NULL ELSE x.birth_date END,
        source = 'import'
    FROM contact o
    WHERE x.customer_id = g.customer_id AND o.customer_id = g.lose AND jsonb_array_length(g.moved -> 'contact') > 0;
    UPDATE customer x SET status = 'active', merged_into = NULL WHERE x.customer_id = g.lose;
    -- Those that were paid after the merge take their points along, by the order path.
    UPDATE purchase o SET customer_id = g.lose
    FROM jsonb_array_elements(orders) AS w (key)
    WHERE o.customer_id = g.customer_id AND o.channel = w.key ->> 0 AND o.order_no = w.key ->> 1;

    INSERT INTO duplicate_candidate AS d (customer_id, other, score, reasons, state, decided_at, actor)
    VALUES (least(g.customer_id, g.lose), greatest(g.customer_id, g.lose), 0, '{}', 'rejected', now(), crm.actor())
    ON CONFLICT (customer_id, other) DO UPDATE SET state = 'rejected', decided_at = EXCLUDED.decided_at, actor = EXCLUDED.actor;
    remains := jsonb_strip_nulls(jsonb_build_object('reason', undo_merge.reason, 'remains', nullif(remains, '{}')));
    UPDATE merge_log x SET undone = remains WHERE x.customer_id = g.customer_id AND x.merge_id = g.merge_id;
    RETURN remains;
END
$$;
COMMENT ON FUNCTION undo_merge(bigint, text) IS
'takes a merge back by its record: orders, points, rows, tags and fields that nobody changed since; the pair is never merged by itself again. What came to the one who stays after the merge stays there, as does a no to being written to. Gives the reason and, under remains, what could not come back: points that were spent, rows of tables without a primary key. Again changes nothing. Errors: P0002 no such merge, 22023 no reason, CM034 a points account is closed, CM037 erased or merged further meanwhile';
REVOKE EXECUTE ON FUNCTION undo_merge(bigint, text) FROM PUBLIC;

CREATE FUNCTION settle_merges(batch integer DEFAULT 1000) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    lose bigint;
    keep bigint;
    number bigint;
    what jsonb;
    done bigint := 0;
BEGIN
    FOR lose IN
        SELECT c.customer_id FROM customer c
        WHERE c.status = 'merged'
          AND (EXISTS (SELECT FROM purchase p WHERE p.customer_id = c.customer_id)
               OR EXISTS (SELECT FROM points_balance b WHERE b.customer_id = c.customer_id AND b.available <> 0))
        ORDER BY c.customer_id LIMIT batch
    LOOP
        keep := find_customer(lose);
        CONTINUE WHEN NOT EXISTS (SELECT FROM customer c WHERE c.customer_id = keep AND c.status = 'active')
                      OR EXISTS (SELECT FROM points_account a WHERE a.customer_id IN (keep, lose) AND a.closed);
        PERFORM lock_pair(keep, lose);
        -- Undone meanwhile, or merged further.
        CONTINUE WHEN find_customer(lose) <> keep OR keep = lose;
        INSERT INTO merge_log (customer_id, lose, reason) VALUES (keep, lose, 'came after the merge') RETURNING merge_log.merge_id INTO number;
        what := move_orders_and_points(keep, lose, 'merge/' || number);
        UPDATE merge_log g SET moved = what WHERE g.customer_id = keep AND g.merge_id = number;
        done := done + 1;
    END LOOP;
    RETURN done;
END
$$;
COMMENT ON FUNCTION settle_merges(integer) IS 'brings orders and points that came to a merged customer after the merge (a late order, pending points, a released hold) to who it was merged into; the number of customers concerned. Run it daily';
REVOKE EXECUTE ON FUNCTION settle_merges(integer) FROM PUBLIC;

-- Finding.

CREATE FUNCTION duplicate_persons()
RETURNS TABLE (customer_id bigint, name text, phone text, email text, id_number text, address text, birth_date date, birth_calendar text, gender text)
LANGUAGE sql STABLE ROWS 100000
SET search_path FROM CURRENT
BEGIN ATOMIC
    SELECT k.customer_id, crm.normalize_name(crm.clear(k.name)), crm.normalize_phone(crm.clear(k.phone)), crm.normalize_email(crm.clear(k.email)),
           upper(coalesce(crm.id_15_to_18(btrim(crm.clear(k.id_number))), nullif(btrim(crm.clear(k.id_number)), ''))), crm.normalize_name(crm.clear(k.address)),
           k.birth_date, k.birth_calendar, k.gender
    FROM contact k JOIN customer c ON c.customer_id = k.customer_id AND c.status = 'active';
END;
COMMENT ON FUNCTION duplicate_persons() IS 'what duplicates are found by: contact data of the active customers, normalised, in clear. Reads with the rights of the caller';
REVOKE EXECUTE ON FUNCTION duplicate_persons() FROM PUBLIC;

CREATE FUNCTION score_duplicates(max_block integer) RETURNS TABLE (customer_id bigint, other bigint, score smallint, reasons text[])
LANGUAGE sql STABLE
SET search_path FROM CURRENT
BEGIN ATOMIC
    WITH person AS MATERIALIZED (
        SELECT * FROM duplicate_persons()),
    key AS MATERIALIZED (
        SELECT p.customer_id, v.kind, v.value
        FROM person p
        CROSS JOIN LATERAL (VALUES ('phone', p.phone), ('email', p.email), ('id_number', p.id_number), ('address', p.name || '|' || p.address)) v (kind, value)
        WHERE v.value IS NOT NULL),
    block AS MATERIALIZED (
        SELECT y.kind, array_agg(y.customer_id ORDER BY y.customer_id) AS members FROM key y GROUP BY y.kind, y.value HAVING count(*) > 1),
    pair AS MATERIALIZED (
        SELECT a.customer_id, z.other, array_agg(DISTINCT b.kind) AS kinds
        FROM block b
        CROSS JOIN LATERAL unnest(b.members) a (customer_id)
        CROSS JOIN LATERAL unnest(b.members) z (other)
        WHERE cardinality(b.members) <= max_block AND a.customer_id < z.other
        GROUP BY a.customer_id, z.other),
    judged AS (
        SELECT q.customer_id, q.other, q.kinds, a.name = z.name AS name,
               a.birth_calendar = z.birth_calendar AND a.birth_date <> z.birth_date AS birth, a.gender <> z.gender AS gender
        FROM pair q
        JOIN person a ON a.customer_id = q.customer_id
        JOIN person z ON z.customer_id = q.other
        -- Two numbers are two persons.
        WHERE (a.id_number = z.id_number) IS NOT FALSE)
    SELECT j.customer_id, j.other,
           greatest(0, least(100, CASE WHEN 'phone' = ANY (j.kinds) THEN 60 ELSE 0 END + CASE WHEN 'email' = ANY (j.kinds) THEN 60 ELSE 0 END
                                  + CASE WHEN 'id_number' = ANY (j.kinds) THEN 90 ELSE 0 END + CASE WHEN 'address' = ANY (j.kinds) THEN 35 ELSE 0 END
                                  + CASE WHEN j.name THEN 25 ELSE 0 END)
                    - CASE WHEN j.birth THEN 30 ELSE 0 END - CASE WHEN j.gender THEN 20 ELSE 0 END)::smallint,
           j.kinds || CASE WHEN j.name THEN '{name}'::text[] ELSE '{}' END || CASE WHEN j.birth THEN '{"not birth_date"}'::text[] ELSE '{}' END
           || CASE WHEN j.gender THEN '{"not gender"}'::text[] ELSE '{}' END
    FROM judged j
    UNION ALL
    SELECT NULL, NULL, NULL, ARRAY[b.kind] FROM block b WHERE cardinality(b.members) > max_block;
END;
COMMENT ON FUNCTION score_duplicates(integer) IS 'the pairs that find_duplicates keeps, and a row without customers for each value that is passed over';
REVOKE EXECUTE ON FUNCTION score_duplicates(integer) FROM PUBLIC;

CREATE FUNCTION find_duplicates(max_block integer DEFAULT 50, OUT pairs bigint, OUT passed_over bigint)
LANGUAGE sql SECURITY DEFINER
SET search_path FROM CURRENT
BEGIN ATOMIC
    WITH found AS MATERIALIZED (
        SELECT * FROM score_duplicates(max_block)),
    scored AS MATERIALIZED (
        SELECT * FROM found f WHERE f.customer_id IS NOT NULL),
    gone AS (
        DELETE FROM duplicate_candidate d
        WHERE d.state = 'open' AND NOT EXISTS (SELECT FROM scored s WHERE s.customer_id = d.customer_id AND s.other = d.other)),
    kept AS (
        INSERT INTO duplicate_candidate AS d (customer_id, other, score, reasons)
        SELECT s.customer_id, s.other, s.score, s.reasons FROM scored s ORDER BY s.customer_id, s.other
        ON CONFLICT (customer_id, other) DO UPDATE SET score = EXCLUDED.score, reasons = EXCLUDED.reasons, problem = NULL
            WHERE d.state = 'open' AND (d.score, d.reasons, d.problem IS NULL) IS DISTINCT FROM (EXCLUDED.score, EXCLUDED.reasons, true))
    SELECT (SELECT count(*) FROM scored), (SELECT count(*) FROM found f WHERE f.customer_id IS NULL);
END;
COMMENT ON FUNCTION find_duplicates(integer) IS
'fills duplicate_candidate: pairs of active customers that share a phone number, e-mail address, ID number, or name and address, as the kit normalises them. Shared by more than max_block customers, a value tells of a desk rather than a person and is passed over; how many were is told. Score: ID 90, phone 60, e-mail 60, address 35, the same name 25, other birthday -30, other gender -20, within 0 to 100; two ID numbers are two persons';
REVOKE EXECUTE ON FUNCTION find_duplicates(integer) FROM PUBLIC;

CREATE VIEW duplicate_queue AS
SELECT d.customer_id, d.other, d.score, d.reasons, d.problem, d.found_at, s.order_count, o.order_count AS other_order_count
FROM duplicate_candidate d
JOIN customer_summary s ON s.customer_id = d.customer_id
JOIN customer_summary o ON o.customer_id = d.other
WHERE d.state = 'open';
COMMENT ON VIEW duplicate_queue IS 'pairs to be looked at; ORDER BY score DESC. decide_duplicate() settles one';

CREATE FUNCTION decide_duplicate(customer_id bigint, other bigint, same boolean, reason text DEFAULT 'reviewed', keep bigint DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    a bigint := least(customer_id, other);
    b bigint := greatest(customer_id, other);
    d duplicate_candidate;
    stays bigint := keep;
BEGIN
    SELECT x.* INTO d FROM duplicate_candidate x WHERE x.customer_id = a AND x.other = b;
    IF NOT FOUND OR d.state <> 'open' THEN
        RAISE EXCEPTION 'customers % and % are no open pair', a, b
            USING ERRCODE = 'CM035', DETAIL = format('State: %s.', coalesce(d.state, 'none')), HINT = 'duplicate_queue lists the open ones; merge_customers() needs none.';
    ELSIF keep NOT IN (a, b) THEN
        RAISE EXCEPTION 'customer % is not of the pair', keep USING ERRCODE = 'CM035', DETAIL = format('The pair is %s and %s.', a, b), HINT = 'keep is one of the two.';
    END IF;
    IF same THEN
        -- Who has bought more stays, of equals the older number.
        IF stays IS NULL THEN
            SELECT s.customer_id INTO stays FROM customer_summary s WHERE s.customer_id IN (a, b) ORDER BY s.order_count DESC, s.customer_id LIMIT 1;
        END IF;
        RETURN merge_customers(stays, CASE stays WHEN a THEN b ELSE a END, reason);
    END IF;
    UPDATE duplicate_candidate x SET state = 'rejected', decided_at = now(), actor = crm.actor() WHERE x.customer_id = a AND x.other = b;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION decide_duplicate(bigint, bigint, boolean, text, bigint) IS
'settles a pair of duplicate_queue: one person (they are merged; keep stays, by default who has more orders) or not (never asked again). Gives the number in merge_log. Errors: CM035 no open pair, else as merge_customers';
REVOKE EXECUTE ON FUNCTION decide_duplicate(bigint, bigint, boolean, text, bigint) FROM PUBLIC;

CREATE FUNCTION merge_duplicates(batch integer DEFAULT 1000, OUT merged bigint, OUT failed bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    d record;
BEGIN
    merged := 0;
    failed := 0;
    FOR d IN
        SELECT x.customer_id, x.other, x.score FROM duplicate_candidate x
        WHERE x.state = 'open' AND x.problem IS NULL AND x.score > (SELECT s.duplicate_auto_score FROM settings s)
        ORDER BY x.score DESC, x.customer_id, x.other LIMIT batch
    LOOP
        -- A merge before this one may have settled it.
        CONTINUE WHEN NOT EXISTS (SELECT FROM duplicate_candidate x WHERE x.customer_id = d.customer_id AND x.other = d.other AND x.state = 'open');
        BEGIN
            PERFORM decide_duplicate(d.customer_id, d.other, true, 'score ' || d.score);
            merged := merged + 1;
        EXCEPTION
            WHEN transaction_rollback OR query_canceled THEN
                RAISE;
            WHEN OTHERS THEN
                UPDATE duplicate_candidate x SET problem = SQLSTATE WHERE x.customer_id = d.customer_id AND x.other = d.other;
                failed := failed + 1;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION merge_duplicates(integer) IS 'merges open pairs that score more than settings.duplicate_auto_score, the surest first, up to batch; what fails stays in the queue with its problem. Run find_duplicates() again after it';
REVOKE EXECUTE ON FUNCTION merge_duplicates(integer) FROM PUBLIC;

-- How good the data is.

CREATE FUNCTION confirm_contact(customer_id bigint, as_of timestamptz DEFAULT now()) RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path FROM CURRENT
BEGIN ATOMIC
    INSERT INTO contact_confirmation AS c (customer_id, confirmed_at) VALUES (confirm_contact.customer_id, confirm_contact.as_of)
    ON CONFLICT (customer_id) DO UPDATE SET confirmed_at = greatest(c.confirmed_at, EXCLUDED.confirmed_at);
END;
COMMENT ON FUNCTION confirm_contact(bigint, timestamptz) IS 'notes that the customer said the contact data is right';
REVOKE EXECUTE ON FUNCTION confirm_contact(bigint, timestamptz) FROM PUBLIC;

CREATE VIEW contact_quality AS
SELECT c.customer_id, v.field, v.finding
FROM customer c
LEFT JOIN contact k ON k.customer_id = c.customer_id
LEFT JOIN contact_confirmation f ON f.customer_id = c.customer_id
CROSS JOIN settings s
CROSS JOIN LATERAL (VALUES
    ('name', crm.contact_finding(k.name, 'name')), ('phone', crm.contact_finding(k.phone, 'phone')), ('email', crm.contact_finding(k.email, 'email')),
    ('address', crm.contact_finding(k.address, 'address')), ('id_number', crm.contact_finding(k.id_number, 'id_number')),
    ('birth_date', CASE WHEN k.birth_date > (now() AT TIME ZONE s.time_zone)::date OR k.birth_date < '1900-01-01' THEN 'invalid' END),
    ('*', CASE WHEN greatest(k.updated_at, f.confirmed_at) < now() - make_interval(days => s.contact_confirm_days) THEN 'not confirmed' END)) v (field, finding)
WHERE c.status IN ('active', 'restricted') AND v.finding IS NOT NULL;
COMMENT ON VIEW contact_quality IS 'what is wrong with each customer''s contact data: missing, invalid, or (field *) not changed nor confirmed for settings.contact_confirm_days; never a value';

CREATE VIEW contact_quality_report AS
SELECT q.field, q.finding, count(*) AS customers FROM contact_quality q GROUP BY q.field, q.finding;
COMMENT ON VIEW contact_quality_report IS 'contact_quality counted';

CREATE FUNCTION remind_contacts(channel text DEFAULT 'sms', link text DEFAULT NULL, batch integer DEFAULT 10000, as_of timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path FROM CURRENT
BEGIN ATOMIC
    WITH made AS (
        INSERT INTO outbox (customer_id, channel, purpose, template, payload, idempotency_key, due_at)
        SELECT k.customer_id, remind_contacts.channel, 'service', 'contact_confirm', jsonb_strip_nulls(jsonb_build_object('link', remind_contacts.link)),
               'confirm/' || shop_date(greatest(k.updated_at, f.confirmed_at)), next_loud(remind_contacts.as_of)
        FROM contact k
        JOIN contactable(remind_contacts.channel, 'service', remind_contacts.as_of) a (customer_id) ON a.customer_id = k.customer_id
        LEFT JOIN contact_confirmation f ON f.customer_id = k.customer_id
        CROSS JOIN settings s
        WHERE greatest(k.updated_at, f.confirmed_at) < remind_contacts.as_of - make_interval(days => s.contact_confirm_days)
          AND NOT EXISTS (SELECT FROM outbox o WHERE o.customer_id = k.customer_id AND o.idempotency_key = 'confirm/' || shop_date(greatest(k.updated_at, f.confirmed_at)))
        ORDER BY k.customer_id LIMIT remind_contacts.batch
        ON CONFLICT DO NOTHING
        RETURNING 1)
    SELECT count(*) FROM made;
END;
COMMENT ON FUNCTION remind_contacts(text, text, integer, timestamptz) IS
'asks customers whose contact data was not changed nor confirmed for settings.contact_confirm_days to confirm it: a message of the template contact_confirm in the outbox, once until they do, never in quiet hours, up to batch. confirm_contact() notes the answer. The number asked';
REVOKE EXECUTE ON FUNCTION remind_contacts(text, text, integer, timestamptz) FROM PUBLIC;

-- What the columns without a word above are.
COMMENT ON COLUMN merge_log.merge_id IS 'number of the merge';
COMMENT ON COLUMN merge_log.at IS 'when';
COMMENT ON COLUMN merge_log.reason IS 'why';
COMMENT ON COLUMN merge_log.actor IS 'who did it: crm.actor';
COMMENT ON COLUMN merge_log.role IS 'role that did it';
COMMENT ON COLUMN merge_log.undone_at IS 'when it was undone; null: it stands';
COMMENT ON COLUMN duplicate_candidate.customer_id IS 'the one with the lower number';
COMMENT ON COLUMN duplicate_candidate.other IS 'the other';
COMMENT ON COLUMN duplicate_candidate.score IS 'how sure it is, 0 to 100';
COMMENT ON COLUMN duplicate_candidate.state IS 'open, merged or rejected';
COMMENT ON COLUMN duplicate_candidate.found_at IS 'when it was found';
COMMENT ON COLUMN duplicate_candidate.decided_at IS 'when it was settled';
COMMENT ON COLUMN duplicate_candidate.actor IS 'who settled it: crm.actor';
COMMENT ON COLUMN contact_confirmation.customer_id IS 'the customer';
COMMENT ON COLUMN contact_confirmation.confirmed_at IS 'when';
