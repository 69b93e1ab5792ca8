-- Files and copies of a store: the parts give their customers, who get their ids here, since those are split by themselves.

CREATE OR REPLACE FUNCTION file_rows(m import_mapping, customers audience, clear boolean)
RETURNS TABLE (customer_id bigint, at timestamptz, order_no text, content jsonb)
LANGUAGE plpgsql STABLE ROWS 10000
SET search_path FROM CURRENT
SET citus.allow_nested_distributed_execution = off
AS $$
BEGIN
    PERFORM let_ask();
    RETURN QUERY
    WITH r AS MATERIALIZED (
        SELECT v.* FROM ask_parts(format('SELECT to_jsonb(r)::text FROM file_rows(%L, %L, %L) r', m, customers, clear)) j
        CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (customer_id bigint, at timestamptz, order_no text, content jsonb)
    ), named AS MATERIALIZED (
        SELECT d.customer_id, d.external_id, d.created_at FROM identity d WHERE d.channel = (m).channel AND d.external_id !~ '^(email|phone|order):'
    ), i AS (
        SELECT DISTINCT ON (n.customer_id) n.customer_id, CASE WHEN clear THEN n.external_id ELSE crm.mask_partial(n.external_id, 2, 2) END AS external_id
        FROM named n ORDER BY n.customer_id, n.created_at DESC, n.external_id
    )
    SELECT r.customer_id, r.at, r.order_no, r.content || jsonb_strip_nulls(jsonb_build_object('external_id', i.external_id))
    FROM r LEFT JOIN i ON i.customer_id = r.customer_id;
END
$$;

CREATE OR REPLACE FUNCTION export_customers() RETURNS TABLE (customer_id bigint, merged boolean, content jsonb)
LANGUAGE plpgsql STABLE ROWS 10000
SET search_path FROM CURRENT
SET citus.allow_nested_distributed_execution = off
AS $$
BEGIN
    PERFORM let_ask();
    RETURN QUERY
    WITH r AS MATERIALIZED (
        SELECT v.* FROM ask_parts('SELECT to_jsonb(r)::text FROM export_customers() r') j
        CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (customer_id bigint, merged boolean, content jsonb)
    ), named AS MATERIALIZED (
        SELECT d.* FROM identity d
    ), i AS (
        SELECT n.customer_id, jsonb_agg(to_jsonb(n) ORDER BY n.channel, n.external_id) AS those FROM named n GROUP BY n.customer_id
    )
    SELECT r.customer_id, r.merged, r.content || jsonb_build_object('identity', coalesce(i.those, '[]'))
    FROM r LEFT JOIN i ON i.customer_id = r.customer_id;
END
$$;
