-- Checks: the parts answer for their customers, and their rows are put together.

CREATE OR REPLACE FUNCTION recount_customers(fix boolean DEFAULT false)
RETURNS TABLE (customer_id bigint, column_name text, stored text, actual text)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT v.* FROM ask_parts(format('SELECT to_jsonb(r)::text FROM recount_customers(%L) r', fix), NULL, fix) j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (customer_id bigint, column_name text, stored text, actual text)
    ORDER BY 1;
END
$$;

CREATE OR REPLACE FUNCTION points_verify_rows(only_customer bigint, only_program text, part integer, parts integer, archive boolean)
RETURNS TABLE (customer_id bigint, program text, seq bigint, finding text)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    query text := format('SELECT to_jsonb(r)::text FROM points_verify_rows(%L, %L, %L, %L, %L) r WHERE r.customer_id IS NOT NULL', $1, $2, $3, $4, $5);
BEGIN
    RETURN QUERY
    SELECT v.* FROM ask_part(part_of($1), query) j CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (customer_id bigint, program text, seq bigint, finding text)
    WHERE $1 IS NOT NULL;
    IF $1 IS NULL THEN
        RETURN QUERY
        SELECT v.* FROM ask_parts(query) j CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (customer_id bigint, program text, seq bigint, finding text);
        IF $2 IS NULL AND $3 = 1 THEN
            RETURN QUERY SELECT NULL::bigint, NULL::text, NULL::bigint, a FROM ask_parts('SELECT t FROM points_trigger_findings() t') a;
            -- A TRUNCATE is met before it goes to the shards.
            RETURN QUERY
            SELECT NULL::bigint, NULL::text, NULL::bigint, format('trigger %s of %s is not enabled always', w.trigger, w.name)
            FROM (VALUES ('points_account', 'points_guard_truncate'), ('points_entry', 'points_immutable_statement_truncate'), ('points_checkpoint', 'points_immutable_statement_truncate'),
                         ('points_checkpoint_leaf', 'points_immutable_statement_truncate'), ('points_start', 'points_immutable_statement_truncate'),
                         ('points_entry_archive', 'points_immutable_statement_truncate')) w (name, trigger)
            LEFT JOIN pg_catalog.pg_trigger t ON t.tgrelid = to_regclass(w.name) AND t.tgname = w.trigger
            WHERE t.tgenabled IS DISTINCT FROM 'A';
        END IF;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION check_tag_audience() RETURNS TABLE (tag text, chunk bigint, missing audience, surplus audience)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    WITH kept AS MATERIALIZED (
        SELECT k.tag, k.chunk, k.members FROM tag_chunk k
    ), counted AS MATERIALIZED (
        SELECT c.tag, c.chunk, c.members FROM count_tag_audience() c
    )
    SELECT coalesce(k.tag, r.tag), coalesce(k.chunk, r.chunk),
           coalesce(r.members, '{}') - coalesce(k.members, '{}'), coalesce(k.members, '{}') - coalesce(r.members, '{}')
    FROM kept k FULL JOIN counted r ON r.tag = k.tag AND r.chunk = k.chunk
    WHERE coalesce(k.members, '{}') <> coalesce(r.members, '{}');
END
$$;

CREATE OR REPLACE FUNCTION health_tables() RETURNS TABLE (subject text, state text, detail text)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    -- Said of the table: what is done to it is done to its shards.
    SELECT v.subject, CASE WHEN bool_or(v.state <> 'ok') THEN 'attention' ELSE 'ok' END,
           string_agg(DISTINCT regexp_replace(v.detail, '([a-z])_\d{6,}\M', '\1', 'g'), '; ') FILTER (WHERE v.state <> 'ok' OR NOT v.any_bad)
    FROM (SELECT r.*, bool_or(r.state <> 'ok') OVER (PARTITION BY r.subject) AS any_bad
          FROM ask_parts('SELECT to_jsonb(h)::text FROM health_tables() h') j
          CROSS JOIN LATERAL jsonb_to_record(j::jsonb) r (subject text, state text, detail text)) v
    GROUP BY v.subject;
END
$$;

-- Nothing of a store over several nodes is archived.
CREATE OR REPLACE FUNCTION health_archive() RETURNS TABLE (subject text, state text, detail text)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY SELECT 'archive', 'ok', 'not used';
END
$$;
