-- Passages between the stages of life are recorded part by part.

CREATE OR REPLACE PROCEDURE record_lifecycle(as_of timestamptz DEFAULT now(), batch integer DEFAULT 1000000, store_settings regclass DEFAULT 'settings'::regclass)
LANGUAGE plpgsql
AS $$
DECLARE
    path pg_catalog.text := crm.store_path(store_settings);
    place pg_catalog.int8;
    done bigint := 0;
BEGIN
    PERFORM pg_catalog.set_config('search_path', path, true);
    FOR place IN SELECT k.part FROM part_key k ORDER BY k.part LOOP
        CALL batches_of_part(place, format('record_lifecycle_batch(%%L, %L, %L)', as_of, batch), path, done);
    END LOOP;
    PERFORM job_done('record_lifecycle', done);
    COMMIT;
END
$$;

CREATE OR REPLACE FUNCTION customer_lifecycle_at(as_of timestamptz DEFAULT now())
RETURNS TABLE (customer_id bigint, lifecycle text)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT v.* FROM ask_parts(format('SELECT to_jsonb(r)::text FROM customer_lifecycle_at(%L) r', as_of)) j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (customer_id bigint, lifecycle text);
END
$$;

CREATE OR REPLACE FUNCTION lifecycle_matrix(since timestamptz, until timestamptz DEFAULT now())
RETURNS TABLE (from_stage text, to_stage text, customers bigint, share numeric)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT v.from_stage, v.to_stage, sum(v.customers)::bigint, round(sum(v.customers) / sum(sum(v.customers)) OVER (PARTITION BY v.from_stage), 4)
    FROM ask_parts(format('SELECT to_jsonb(r)::text FROM lifecycle_matrix(%L, %L) r', since, until)) j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (from_stage text, to_stage text, customers bigint)
    GROUP BY v.from_stage, v.to_stage ORDER BY v.from_stage, v.to_stage;
END
$$;
