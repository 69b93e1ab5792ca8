-- Giving and taking tags. The verbs run as their caller: the table's own privileges decide.

CREATE FUNCTION say_tag_reason(why text, expires_at timestamptz DEFAULT NULL) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM set_config('crm.tag_reason', coalesce(why, ''), true), set_config('crm.tag_expires', coalesce(expires_at::text, ''), true);
END
$$;
COMMENT ON FUNCTION say_tag_reason(text, timestamptz) IS 'tells the triggers of customer why tags change from here on, and when those that are given lapse';

CREATE FUNCTION give_tag(customers audience, tag text, why text, expires_at timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    -- An index scan takes them in the order of the ids, so two verbs never wait for each other in a circle.
    ids bigint[] := customers::bigint[];
    folded text := fold_tag(tag);
    exclusive boolean := EXISTS (SELECT FROM tag_namespace n WHERE n.exclusive AND strpos(folded, ':') > 1
                                                               AND n.namespace = split_part(folded, ':', 1));
    changed bigint;
BEGIN
    PERFORM say_tag_reason(why, expires_at);
    IF exclusive THEN
        UPDATE customer c SET tags = tag_put(c.tags, folded)
        WHERE c.customer_id = ANY (ids) AND NOT has_tag(c.tags, folded);
    ELSE
        UPDATE customer c SET tags = c.tags + folded
        WHERE c.customer_id = ANY (ids) AND NOT has_tag(c.tags, folded);
    END IF;
    GET DIAGNOSTICS changed = ROW_COUNT;
    -- Who had it already keeps it until the new day.
    IF expires_at IS NOT NULL THEN
        INSERT INTO tag_expiry AS x (customer_id, tag, expires_at)
        SELECT c.customer_id, folded, give_tag.expires_at
        FROM customer c WHERE c.customer_id = ANY (ids) AND has_tag(c.tags, folded)
        ORDER BY c.customer_id
        ON CONFLICT ON CONSTRAINT tag_expiry_pkey DO UPDATE SET expires_at = EXCLUDED.expires_at WHERE x.expires_at <> EXCLUDED.expires_at;
    END IF;
    PERFORM say_tag_reason(NULL);
    RETURN changed;
END
$$;
COMMENT ON FUNCTION give_tag(audience, text, text, timestamptz) IS 'what tag_customer and tag_customers share';

CREATE FUNCTION tag_customer(customer_id bigint, tag text, why text DEFAULT NULL, expires_at timestamptz DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM customer c WHERE c.customer_id = tag_customer.customer_id) THEN
        RAISE EXCEPTION 'customer % does not exist', customer_id USING ERRCODE = 'no_data_found';
    END IF;
    RETURN give_tag(audience(ARRAY[customer_id]), tag, why, expires_at) > 0;
END
$$;
COMMENT ON FUNCTION tag_customer(bigint, text, text, timestamptz) IS
'gives a customer a tag: true when it is new. In an exclusive namespace it takes the place of the other value. expires_at overrides the dictionary''s valid_for, also for a tag that the customer has. Errors: CT001 and CT002 no tag, CT010 official tag, P0002 no such customer';

CREATE FUNCTION tag_customers(customers audience, tag text, why text DEFAULT NULL, expires_at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN give_tag(customers, tag, why, expires_at);
END
$$;
COMMENT ON FUNCTION tag_customers(audience, text, text, timestamptz) IS 'gives all customers of an audience a tag, as tag_customer does: how many did not have it. Ids that are no customers are passed over';

CREATE FUNCTION untag_customers(customers audience, tag text, why text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    ids bigint[] := customers::bigint[];
    folded text := fold_tag(tag);
    changed bigint;
BEGIN
    PERFORM say_tag_reason(why);
    UPDATE customer c SET tags = c.tags - folded
    WHERE c.customer_id = ANY (ids) AND has_tag(c.tags, folded);
    GET DIAGNOSTICS changed = ROW_COUNT;
    PERFORM say_tag_reason(NULL);
    RETURN changed;
END
$$;
COMMENT ON FUNCTION untag_customers(audience, text, text) IS 'takes a tag from all customers of an audience: how many had it. Errors as for tag_customer';

CREATE FUNCTION untag_customer(customer_id bigint, tag text, why text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN untag_customers(audience(ARRAY[customer_id]), tag, why) > 0;
END
$$;
COMMENT ON FUNCTION untag_customer(bigint, text, text) IS 'takes a tag from a customer: true when the customer had it. Errors as for tag_customer';

CREATE FUNCTION put_tag(customer_id bigint, tag text, why text DEFAULT NULL, expires_at timestamptz DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    folded text := fold_tag(tag);
    space text := CASE WHEN strpos(folded, ':') > 1 THEN split_part(folded, ':', 1) END;
BEGIN
    IF space IS NULL OR NOT EXISTS (SELECT FROM tag_namespace n WHERE n.namespace = space AND n.exclusive) THEN
        RAISE EXCEPTION 'tag "%" is not of an exclusive namespace', folded
            USING ERRCODE = 'CT012', DETAIL = 'A customer may have several values there, so there is none to replace.',
                  HINT = 'Add the tag with tag_customer(), or with tags + tag.';
    END IF;
    RETURN tag_customer(customer_id, folded, why, expires_at);
END
$$;
COMMENT ON FUNCTION put_tag(bigint, text, text, timestamptz) IS
'sets the one value that a customer has in an exclusive namespace: true when it changed. Errors: CT012 when the namespace holds several, else as for tag_customer';

CREATE FUNCTION expire_some_tags(as_of timestamptz, after bigint, batch integer, OUT last bigint, OUT expired bigint)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    ids bigint[];
    locked bigint[];
BEGIN
    ids := ARRAY(SELECT DISTINCT x.customer_id FROM tag_expiry x WHERE x.expires_at <= as_of AND x.customer_id > after ORDER BY 1 LIMIT batch);
    last := ids[cardinality(ids)];
    -- The customer first, as every other change of tags does; whoever is busy is for the next run.
    locked := ARRAY(SELECT c.customer_id FROM customer c WHERE c.customer_id = ANY (ids) ORDER BY 1 FOR NO KEY UPDATE SKIP LOCKED);
    PERFORM say_tag_reason('expired');
    SELECT count(*) INTO expired FROM tag_expiry x WHERE x.customer_id = ANY (locked) AND x.expires_at <= as_of;
    UPDATE customer c SET tags = c.tags - d.tags
    FROM (SELECT x.customer_id, array_agg(x.tag) AS tags FROM tag_expiry x
          WHERE x.customer_id = ANY (locked) AND x.expires_at <= as_of GROUP BY 1) d
    WHERE c.customer_id = d.customer_id;
    DELETE FROM tag_expiry x WHERE x.customer_id = ANY (locked) AND x.expires_at <= as_of;
    PERFORM say_tag_reason(NULL);
END
$$;
REVOKE EXECUTE ON FUNCTION expire_some_tags(timestamptz, bigint, integer) FROM PUBLIC;
COMMENT ON FUNCTION expire_some_tags(timestamptz, bigint, integer) IS 'takes expired tags from the next customers by id; last is null when there are none left';

CREATE PROCEDURE expire_tags(as_of timestamptz DEFAULT now(), batch integer DEFAULT 5000, store regclass DEFAULT 'settings'::regclass)
LANGUAGE plpgsql
AS $$
DECLARE
    path pg_catalog.text := crm.store_path(store);
    step pg_catalog.record;
    after bigint := -9223372036854775808;
    n bigint := 0;
BEGIN
    PERFORM pg_catalog.set_config('search_path', path, true);
    INSERT INTO job_progress (job, state, done, total)
    SELECT 'expire_tags', 'running', 0, count(*) FROM tag_expiry x WHERE x.expires_at <= as_of
    ON CONFLICT (job) DO UPDATE SET state = 'running', done = 0, total = EXCLUDED.total, started_at = EXCLUDED.started_at, updated_at = EXCLUDED.updated_at;
    LOOP
        SELECT * INTO step FROM expire_some_tags(as_of, after, batch);
        EXIT WHEN step.last IS NULL;
        after := step.last;
        n := n + step.expired;
        PERFORM note_progress('expire_tags', n);
        COMMIT;
        PERFORM pg_catalog.set_config('search_path', path, true);
    END LOOP;
    PERFORM note_progress('expire_tags', n, 'done');
    COMMIT;
END
$$;
COMMENT ON PROCEDURE expire_tags(timestamptz, integer, regclass) IS
'takes the tags that expired by as_of, batch customers a transaction. Customers that somebody is changing are left for the next run';

CREATE FUNCTION replace_some_tags(old_tag text, new_tag text, after bigint, batch integer, OUT last bigint, OUT changed bigint)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    ids bigint[];
    kept bigint[];
    expiries timestamptz[];
BEGIN
    ids := ARRAY(SELECT c.customer_id FROM customer c WHERE has_tag(c.tags, old_tag) AND c.customer_id > after ORDER BY 1 LIMIT batch FOR NO KEY UPDATE);
    last := ids[cardinality(ids)];
    -- A tag lapses when the later of the two would have; never, when one of them stays.
    SELECT array_agg(c.customer_id), array_agg(CASE WHEN NOT has_tag(c.tags, new_tag) THEN o.expires_at
                                                    WHEN o.expires_at IS NOT NULL AND n.expires_at IS NOT NULL THEN greatest(o.expires_at, n.expires_at) END)
    INTO kept, expiries
    FROM customer c
    LEFT JOIN tag_expiry o ON o.customer_id = c.customer_id AND o.tag = old_tag
    LEFT JOIN tag_expiry n ON n.customer_id = c.customer_id AND n.tag = new_tag
    WHERE c.customer_id = ANY (ids) AND has_tag(c.tags, old_tag);
    PERFORM say_tag_reason(format('%s is now %s', old_tag, new_tag));
    UPDATE customer c SET tags = c.tags - old_tag + new_tag WHERE c.customer_id = ANY (ids) AND has_tag(c.tags, old_tag);
    GET DIAGNOSTICS changed = ROW_COUNT;
    PERFORM say_tag_reason(NULL);
    DELETE FROM tag_expiry x WHERE x.customer_id = ANY (ids) AND x.tag = new_tag;
    INSERT INTO tag_expiry (customer_id, tag, expires_at)
    SELECT k.customer_id, new_tag, k.expires_at FROM unnest(kept, expiries) k(customer_id, expires_at) WHERE k.expires_at IS NOT NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION replace_some_tags(text, text, bigint, integer) FROM PUBLIC;
COMMENT ON FUNCTION replace_some_tags(text, text, bigint, integer) IS 'gives the next customers by id one tag for another; last is null when there are none left';

CREATE PROCEDURE merge_tags(old_tags text[], new_tag text, batch integer DEFAULT 5000, store regclass DEFAULT 'settings'::regclass)
LANGUAGE plpgsql
AS $$
DECLARE
    path pg_catalog.text := crm.store_path(store);
    step pg_catalog.record;
    after bigint;
    old_tag pg_catalog.text;
    target pg_catalog.text := crm.fold_tag(new_tag);
    n bigint := 0;
BEGIN
    FOREACH old_tag IN ARRAY old_tags
    LOOP
        old_tag := crm.fold_tag(old_tag);
        CONTINUE WHEN old_tag OPERATOR(pg_catalog.=) target;
        PERFORM pg_catalog.set_config('search_path', path, true);
        INSERT INTO job_progress (job, state, done) VALUES ('merge_tags', 'running', n)
        ON CONFLICT (job) DO UPDATE SET state = 'running', done = EXCLUDED.done, total = NULL, started_at = EXCLUDED.started_at, updated_at = EXCLUDED.updated_at;
        INSERT INTO tag (tag, name_zh, name_en, description, kind, valid_for, created_at, created_by)
        SELECT target, t.name_zh, t.name_en, t.description, t.kind, t.valid_for, t.created_at, t.created_by FROM tag t WHERE t.tag = old_tag
        ON CONFLICT DO NOTHING;
        -- Until a pass over all customers finds none: some may get the old tag meanwhile.
        <<passes>>
        LOOP
            after := -9223372036854775808;
            LOOP
                SELECT * INTO step FROM replace_some_tags(old_tag, target, after, batch);
                EXIT passes WHEN step.last IS NULL AND after = -9223372036854775808;
                EXIT WHEN step.last IS NULL;
                after := step.last;
                n := n + step.changed;
                PERFORM note_progress('merge_tags', n);
                COMMIT;
                PERFORM pg_catalog.set_config('search_path', path, true);
            END LOOP;
        END LOOP;
        DELETE FROM tag t WHERE t.tag = old_tag;
        PERFORM note_progress('merge_tags', n, 'done');
        COMMIT;
    END LOOP;
END
$$;
COMMENT ON PROCEDURE merge_tags(text[], text, integer, regclass) IS
'gives every customer with one of the old tags the new one instead, batch customers a transaction, and takes the old ones out of the dictionary; a new tag without a row there gets the first one''s. Can be stopped and called again. Past events keep the old names';

CREATE PROCEDURE rename_tag(old_tag text, new_tag text, batch integer DEFAULT 5000, store regclass DEFAULT 'settings'::regclass)
LANGUAGE plpgsql
AS $$
DECLARE
    path pg_catalog.text := crm.store_path(store);
BEGIN
    PERFORM pg_catalog.set_config('search_path', path, true);
    IF (SELECT count(*) FROM tag t WHERE t.tag IN (crm.fold_tag(old_tag), crm.fold_tag(new_tag))) = 2 THEN
        RAISE EXCEPTION 'tag "%" already exists', crm.fold_tag(new_tag)
            USING ERRCODE = 'unique_violation', HINT = 'merge_tags() makes one tag of several.';
    END IF;
    CALL merge_tags(ARRAY[old_tag], new_tag, batch, store);
END
$$;
COMMENT ON PROCEDURE rename_tag(text, text, integer, regclass) IS 'gives a tag another name, in the dictionary and on every customer; see merge_tags. Error 23505 when the dictionary has the new name';

CREATE VIEW customer_group AS
SELECT substr(t.tag, 7) AS "group", t.name_zh, t.name_en, t.description, coalesce(n.customers, 0) AS customers
FROM tag t
LEFT JOIN (SELECT c.tag, sum(crm.cardinality(c.members))::bigint AS customers FROM tag_chunk c
           WHERE c.tag >= 'group:' AND c.tag < 'group;' GROUP BY c.tag) n ON n.tag = t.tag
WHERE t.namespace = 'group';
COMMENT ON VIEW customer_group IS 'the groups that staff put customers in: the tags of namespace group, with how many customers each has. tag_customers(who, ''group:name'') adds to one';
