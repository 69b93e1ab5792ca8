-- Folding: what the parts have collected goes into the base, which is the same on every node.

CREATE OR REPLACE FUNCTION fold_tag_chunks(tag text) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    g record;
    base audience;
    folded bigint := 0;
BEGIN
    FOR g IN
        SELECT v.chunk, audience_xor_agg(v.toggled) AS toggled, sum(v.n)::bigint AS n
        FROM ask_parts(format('WITH gone AS (DELETE FROM tag_audience_change c WHERE c.tag = %L RETURNING c.chunk, c.toggled)
                               SELECT to_jsonb(r)::text FROM (SELECT g.chunk, audience_xor_agg(g.toggled) AS toggled, count(*) AS n FROM gone g GROUP BY g.chunk) r', fold_tag_chunks.tag), NULL, true) j
        CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (chunk bigint, toggled audience, n bigint)
        GROUP BY v.chunk ORDER BY v.chunk
    LOOP
        folded := folded + g.n;
        SELECT a.members INTO base FROM tag_audience a WHERE a.tag = fold_tag_chunks.tag AND a.chunk = g.chunk FOR UPDATE;
        IF NOT FOUND THEN
            INSERT INTO tag_audience (tag, chunk, members) VALUES (fold_tag_chunks.tag, g.chunk, g.toggled);
            base := '{}';
        END IF;
        base := base # g.toggled;
        IF is_empty(base) THEN
            DELETE FROM tag_audience a WHERE a.tag = fold_tag_chunks.tag AND a.chunk = g.chunk;
        ELSE
            UPDATE tag_audience a SET members = base WHERE a.tag = fold_tag_chunks.tag AND a.chunk = g.chunk;
        END IF;
    END LOOP;
    RETURN folded;
END
$$;

CREATE OR REPLACE PROCEDURE fold_tag_audience(store regclass DEFAULT 'settings'::regclass)
LANGUAGE plpgsql
AS $$
DECLARE
    path pg_catalog.text := crm.store_path(store);
    folding pg_catalog.text;
    folding_all pg_catalog.text[];
    n bigint := 0;
BEGIN
    PERFORM pg_catalog.set_config('search_path', path, true);
    folding_all := ARRAY(SELECT DISTINCT a FROM ask_parts('SELECT DISTINCT c.tag FROM tag_audience_change c') a ORDER BY 1);
    FOREACH folding IN ARRAY folding_all LOOP
        PERFORM fold_tag_chunks(folding);
        n := n + 1;
        COMMIT;
        PERFORM pg_catalog.set_config('search_path', path, true);
    END LOOP;
    PERFORM job_done('fold_tag_audience', n, n);
    COMMIT;
END
$$;

CREATE FUNCTION count_tag_audience() RETURNS TABLE (tag text, chunk bigint, members audience)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT v.tag, v.chunk, audience_or_agg(v.members)
    FROM ask_parts('SELECT to_jsonb(r)::text
                    FROM (SELECT t.tag, c.customer_id >> 20 AS chunk, audience_agg(c.customer_id) AS members
                          FROM customer c CROSS JOIN LATERAL (SELECT tags(c.tags) UNION ALL SELECT '''') t (tag)
                          GROUP BY 1, 2) r') j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (tag text, chunk bigint, members audience)
    GROUP BY v.tag, v.chunk;
END
$$;
REVOKE EXECUTE ON FUNCTION count_tag_audience() FROM PUBLIC;
COMMENT ON FUNCTION count_tag_audience() IS 'the customers of each tag, from the tags of the customers of all parts';

CREATE OR REPLACE FUNCTION recount_tag_audience() RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    g record;
BEGIN
    PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
    LOCK TABLE customer IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM tag_audience;
    DELETE FROM tag_audience_change;
    FOR g IN SELECT c.* FROM count_tag_audience() c LOOP
        INSERT INTO tag_audience (tag, chunk, members) VALUES (g.tag, g.chunk, g.members);
    END LOOP;
END
$$;
