-- Counting and selecting by tags on bitmaps alone.

CREATE VIEW tag_chunk AS
SELECT u.tag, u.chunk, crm.audience_xor_agg(u.members) AS members
FROM (SELECT a.tag, a.chunk, a.members FROM tag_audience a
      UNION ALL
      SELECT c.tag, c.chunk, c.toggled FROM tag_audience_change c) u
GROUP BY u.tag, u.chunk;
COMMENT ON VIEW tag_chunk IS 'who has a tag now, by chunks; the empty tag stands for all customers';

CREATE VIEW tag_count AS
SELECT t.tag, sum(crm.cardinality(t.members))::bigint AS customers
FROM tag_chunk t
WHERE t.tag <> ''
GROUP BY t.tag
HAVING sum(crm.cardinality(t.members)) > 0;
COMMENT ON VIEW tag_count IS 'customers of each tag, exact as of the snapshot';

CREATE FUNCTION tag_keys(query tagquery) RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    keys text[] := tagquery_tags(query);
    prefix text;
BEGIN
    FOREACH prefix IN ARRAY tagquery_prefixes(query)
    LOOP
        -- No tag has the last code point, which nothing is assigned to.
        keys := keys || ARRAY(SELECT a.tag FROM tag_audience a WHERE a.tag >= prefix AND a.tag < prefix || U&'\+10FFFF' AND a.tag <> ''
                              UNION
                              SELECT c.tag FROM tag_audience_change c WHERE c.tag >= prefix AND c.tag < prefix || U&'\+10FFFF' AND c.tag <> '');
    END LOOP;
    -- Who has no tag matches: then the answer is all customers but some.
    IF '{}'::tagset @@ query THEN
        keys := array_append(keys, '');
    END IF;
    RETURN keys;
END
$$;
COMMENT ON FUNCTION tag_keys(tagquery) IS 'the tags whose audiences a query needs; the empty one stands for all customers';

CREATE FUNCTION count_tags(query tagquery) RETURNS bigint
LANGUAGE plpgsql STABLE STRICT
SET search_path FROM CURRENT
AS $$
DECLARE
    keys text[] := tag_keys(query);
BEGIN
    RETURN (SELECT coalesce(sum(m.customers), 0)
            FROM (SELECT count_match(query, u.tag, u.members) AS customers
                  FROM (SELECT a.tag, a.chunk, a.members FROM tag_audience a WHERE a.tag = ANY (keys)
                        UNION ALL
                        SELECT c.tag, c.chunk, c.toggled FROM tag_audience_change c WHERE c.tag = ANY (keys)) u
                  GROUP BY u.chunk) m);
END
$$;
COMMENT ON FUNCTION count_tags(tagquery) IS 'customers that match a tag query, counted on bitmaps alone; exact as of the snapshot';

CREATE FUNCTION audience_of(query tagquery) RETURNS audience
LANGUAGE plpgsql STABLE STRICT
SET search_path FROM CURRENT
AS $$
DECLARE
    keys text[] := tag_keys(query);
BEGIN
    RETURN (SELECT coalesce(audience_or_agg(m.members), '{}')
            FROM (SELECT audience_match(query, u.tag, u.members) AS members
                  FROM (SELECT a.tag, a.chunk, a.members FROM tag_audience a WHERE a.tag = ANY (keys)
                        UNION ALL
                        SELECT c.tag, c.chunk, c.toggled FROM tag_audience_change c WHERE c.tag = ANY (keys)) u
                  GROUP BY u.chunk) m);
END
$$;
COMMENT ON FUNCTION audience_of(tagquery) IS 'the customers that match a tag query, from bitmaps alone; exact as of the snapshot';

CREATE FUNCTION tag_members(tag text) RETURNS audience
LANGUAGE plpgsql STABLE STRICT
SET search_path FROM CURRENT
AS $$
DECLARE
    key text := fold_tag(tag);
BEGIN
    RETURN (SELECT coalesce(audience_xor_agg(u.members), '{}')
            FROM (SELECT a.members FROM tag_audience a WHERE a.tag = key
                  UNION ALL
                  SELECT c.toggled FROM tag_audience_change c WHERE c.tag = key) u);
END
$$;
COMMENT ON FUNCTION tag_members(text) IS 'the customers that have a tag';

CREATE FUNCTION all_customers() RETURNS audience
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN (SELECT coalesce(audience_xor_agg(t.members), '{}') FROM tag_chunk t WHERE t.tag = '');
END
$$;
COMMENT ON FUNCTION all_customers() IS 'every customer';

CREATE FUNCTION fold_tag_chunks(tag text) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    folded bigint;
BEGIN
    -- One statement takes the changes out and puts them into the base, so every snapshot has each of them once. Another
    -- fold's rows are left to it; a base row is read again under its lock, and exclusive or doesn't mind the order.
    WITH picked AS (
        SELECT c.ctid FROM tag_audience_change c WHERE c.tag = fold_tag_chunks.tag FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM tag_audience_change c USING picked p WHERE c.ctid = p.ctid RETURNING c.chunk, c.toggled
    ), sums AS (
        SELECT g.chunk, audience_xor_agg(g.toggled) AS toggled, count(*) AS rows FROM gone g GROUP BY g.chunk
    ), written AS (
        INSERT INTO tag_audience AS a (tag, chunk, members)
        SELECT fold_tag_chunks.tag, s.chunk, s.toggled FROM sums s ORDER BY s.chunk
        ON CONFLICT ON CONSTRAINT tag_audience_pkey DO UPDATE SET members = a.members # EXCLUDED.members
    )
    SELECT coalesce(sum(s.rows), 0) INTO folded FROM sums s;
    DELETE FROM tag_audience a WHERE a.tag = fold_tag_chunks.tag AND is_empty(a.members);
    RETURN folded;
END
$$;
REVOKE EXECUTE ON FUNCTION fold_tag_chunks(text) FROM PUBLIC;
COMMENT ON FUNCTION fold_tag_chunks(text) IS 'folds the recent changes of one tag into its base: how many rows';

CREATE PROCEDURE fold_tag_audience(store regclass DEFAULT 'settings'::regclass)
LANGUAGE plpgsql
AS $$
DECLARE
    path pg_catalog.text := crm.store_path(store);
    tags pg_catalog.text[];
    tag pg_catalog.text;
    n bigint := 0;
BEGIN
    PERFORM pg_catalog.set_config('search_path', path, true);
    tags := ARRAY(SELECT DISTINCT c.tag FROM tag_audience_change c);
    INSERT INTO job_progress (job, state, done, total) VALUES ('fold_tag_audience', 'running', 0, cardinality(tags))
    ON CONFLICT (job) DO UPDATE SET state = 'running', done = 0, total = EXCLUDED.total, started_at = EXCLUDED.started_at, updated_at = EXCLUDED.updated_at;
    FOREACH tag IN ARRAY tags
    LOOP
        PERFORM fold_tag_chunks(tag);
        n := n + 1;
        -- A popular tag has more to fold, yet no transaction holds a base row for long.
        IF n % 20 = 0 THEN
            PERFORM note_progress('fold_tag_audience', n);
            COMMIT;
            PERFORM pg_catalog.set_config('search_path', path, true);
        END IF;
    END LOOP;
    PERFORM note_progress('fold_tag_audience', n, 'done');
    COMMIT;
END
$$;
COMMENT ON PROCEDURE fold_tag_audience(regclass) IS
'folds recent changes into tag_audience, 20 tags a transaction, so that counts read few rows. Run it every few minutes; counts are exact with or without. Several may run at once';

CREATE FUNCTION check_tag_audience() RETURNS TABLE (tag text, chunk bigint, missing audience, surplus audience)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
-- The planner cannot know that there are few tags, and would sort all of everybody's.
SET enable_sort = off
AS $$
BEGIN
    RETURN QUERY
    SELECT coalesce(k.tag, r.tag), coalesce(k.chunk, r.chunk),
           coalesce(r.members, '{}') - coalesce(k.members, '{}'), coalesce(k.members, '{}') - coalesce(r.members, '{}')
    FROM tag_chunk k
    FULL JOIN (SELECT t.tag, c.customer_id >> 20 AS chunk, audience_agg(c.customer_id) AS members
               FROM customer c CROSS JOIN LATERAL (SELECT tags(c.tags) UNION ALL SELECT '') t(tag)
               GROUP BY 1, 2) r ON r.tag = k.tag AND r.chunk = k.chunk
    WHERE coalesce(k.members, '{}') <> coalesce(r.members, '{}');
END
$$;
COMMENT ON FUNCTION check_tag_audience() IS 'recounts every tag in the caller''s snapshot: a row for each chunk that differs, so none when all is well. Reads the whole table customer';

CREATE FUNCTION recount_tag_audience() RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
-- The planner cannot know that there are few tags, and would sort all of everybody's.
SET enable_sort = off
AS $$
BEGIN
    LOCK TABLE customer IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM tag_audience;
    DELETE FROM tag_audience_change;
    INSERT INTO tag_audience (tag, chunk, members)
    SELECT t.tag, c.customer_id >> 20, audience_agg(c.customer_id)
    FROM customer c CROSS JOIN LATERAL (SELECT tags(c.tags) UNION ALL SELECT '') t(tag)
    GROUP BY 1, 2;
END
$$;
REVOKE EXECUTE ON FUNCTION recount_tag_audience() FROM PUBLIC;
COMMENT ON FUNCTION recount_tag_audience() IS 'makes tag_audience anew from customer, which it locks against writing meanwhile: a repair, for when check_tag_audience() finds differences, or after triggers were off';
