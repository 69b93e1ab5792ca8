-- Duplicates: two customers may be in two parts, so the parts give what they are compared by, and the coordinator compares.

CREATE OR REPLACE FUNCTION duplicate_persons()
RETURNS TABLE (customer_id bigint, name text, phone text, email text, id_number text, address text, birth_date date, birth_calendar text, gender text)
LANGUAGE plpgsql STABLE ROWS 100000
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT v.* FROM ask_parts('SELECT to_jsonb(p)::text FROM duplicate_persons() p') j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (customer_id bigint, name text, phone text, email text, id_number text, address text, birth_date date, birth_calendar text, gender text);
END
$$;

CREATE OR REPLACE FUNCTION find_duplicates(max_block integer DEFAULT 50, OUT pairs bigint, OUT passed_over bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    found jsonb := (SELECT jsonb_object_agg(f.part, f.found)
                    FROM (SELECT CASE WHEN s.customer_id IS NULL THEN 0 ELSE part_of(s.customer_id) END AS part, jsonb_agg(to_jsonb(s)) AS found FROM score_duplicates(max_block) s GROUP BY 1) f);
    place bigint;
BEGIN
    pairs := 0;
    -- Pairs that are open and none any more may be in a part that has no other.
    FOR place IN SELECT k.part FROM part_key k ORDER BY 1 LOOP
        pairs := pairs + coalesce(jsonb_array_length(found -> place::text), 0);
        PERFORM ask_part(place, format('SELECT keep_duplicates(%L)::text', coalesce(found -> place::text, '[]')), NULL, true);
    END LOOP;
    passed_over := coalesce(jsonb_array_length(found -> '0'), 0);
END
$$;

CREATE FUNCTION duplicate_queue_rows()
RETURNS TABLE (customer_id bigint, other bigint, score smallint, reasons text[], problem text, found_at timestamptz, order_count bigint, other_order_count bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    found jsonb := (SELECT jsonb_agg(a::jsonb)
                    FROM ask_parts('SELECT to_jsonb(r)::text
                                    FROM (SELECT d.*, s.order_count FROM duplicate_candidate d JOIN customer_summary s ON s.customer_id = d.customer_id WHERE d.state = ''open'') r') a);
    others jsonb := (SELECT jsonb_object_agg(s.customer_id, s.order_count) FROM customer_summary s
                     WHERE s.customer_id = ANY (ARRAY(SELECT (r.one ->> 'other')::bigint FROM jsonb_array_elements(found) r (one))));
BEGIN
    RETURN QUERY
    SELECT v.*, (others ->> v.other::text)::bigint
    FROM jsonb_to_recordset(found) v (customer_id bigint, other bigint, score smallint, reasons text[], problem text, found_at timestamptz, order_count bigint)
    WHERE others ? v.other::text;
END
$$;
REVOKE EXECUTE ON FUNCTION duplicate_queue_rows() FROM PUBLIC;
COMMENT ON FUNCTION duplicate_queue_rows() IS 'the rows of duplicate_queue, of all parts';
DO $do$
BEGIN
    CREATE OR REPLACE VIEW duplicate_queue AS
    SELECT q.customer_id, q.other, q.score, q.reasons, q.problem, q.found_at, q.order_count, q.other_order_count FROM duplicate_queue_rows() q;
    PERFORM grant_as_view('duplicate_queue', 'duplicate_queue_rows()');
END
$do$;
