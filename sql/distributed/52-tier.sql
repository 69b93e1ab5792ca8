-- Tiers: cycles are ended and members lifted in each part.

CREATE FUNCTION judge_in_parts(statement text, customer_ids bigint[]) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    p record;
    done bigint := 0;
BEGIN
    FOR p IN SELECT * FROM parts_of(customer_ids) LOOP
        done := done + (SELECT a::bigint FROM ask_part(p.part, replace(statement, '@numbers', quote_literal(p.numbers)), NULL, true) a);
    END LOOP;
    RETURN done;
END
$$;
REVOKE EXECUTE ON FUNCTION judge_in_parts(text, bigint[]) FROM PUBLIC;
COMMENT ON FUNCTION judge_in_parts(text, bigint[]) IS 'judges customers in the parts they are in; @numbers in the statement are the places in the array of those of a part';

CREATE OR REPLACE FUNCTION judge_due(customer_ids bigint[], as_of timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN judge_in_parts(format('SELECT judge_due(ARRAY(SELECT (%L::bigint[])[n] FROM unnest(@numbers::bigint[]) WITH ORDINALITY u (n, o) ORDER BY o), %L)::text',
                                 customer_ids, as_of), customer_ids);
END
$$;

CREATE OR REPLACE FUNCTION judge_upgrade(customer_ids bigint[], moments timestamptz[], totals_before numeric[] DEFAULT NULL, counts_before bigint[] DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN judge_in_parts(format('SELECT judge_upgrade(array_agg((%1$L::bigint[])[n] ORDER BY o), array_agg((%2$L::timestamptz[])[n] ORDER BY o),
                                         CASE WHEN %3$L IS NOT NULL THEN array_agg((%3$L::numeric[])[n] ORDER BY o) END,
                                         CASE WHEN %4$L IS NOT NULL THEN array_agg((%4$L::bigint[])[n] ORDER BY o) END)::text
                                  FROM unnest(@numbers::bigint[]) WITH ORDINALITY u (n, o)', customer_ids, moments, totals_before, counts_before), customer_ids);
END
$$;

CREATE OR REPLACE FUNCTION judge_refund(customer_id bigint, at timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN (SELECT a::bigint FROM ask_part(part_of(judge_refund.customer_id), format('SELECT judge_refund(%L, %L)::text', judge_refund.customer_id, judge_refund.at), NULL, true) a);
END
$$;

CREATE OR REPLACE PROCEDURE evaluate_tiers(as_of timestamptz DEFAULT now(), batch integer DEFAULT 10000, store_settings regclass DEFAULT 'settings'::regclass)
LANGUAGE plpgsql
AS $$
DECLARE
    path pg_catalog.text := crm.store_path(store_settings);
    place pg_catalog.int8;
    after_id bigint;
    done bigint := 0;
    lifted bigint;
    n integer;
    b pg_catalog.record;
BEGIN
    PERFORM pg_catalog.set_config('search_path', path, true);
    FOR place IN SELECT k.part FROM part_key k ORDER BY k.part LOOP
        CALL batches_of_part(place, format('evaluate_tiers_due(%L, %%L, %L)', as_of, batch), path, done);
        after_id := '-9223372036854775808';
        LOOP
            SELECT j.* INTO b
            FROM ask_part(place, format('SELECT to_jsonb(r)::text FROM evaluate_tiers_range(%L, %L, 1000000) r', as_of, after_id)) a
            CROSS JOIN LATERAL jsonb_to_record(a::jsonb) j (last_id bigint, ids bigint[]);
            EXIT WHEN b.last_id IS NULL;
            n := 0;
            WHILE n < cardinality(b.ids) LOOP
                SELECT a::bigint INTO lifted FROM ask_part(place, format('SELECT evaluate_tiers_lift(%L, %L)::text', as_of, b.ids[n + 1 : n + batch]), NULL, true) a;
                done := done + lifted;
                n := n + batch;
                COMMIT;
                PERFORM pg_catalog.set_config('search_path', path, true);
            END LOOP;
            after_id := b.last_id;
        END LOOP;
        COMMIT;
        PERFORM pg_catalog.set_config('search_path', path, true);
    END LOOP;
    PERFORM job_done('evaluate_tiers', done);
    COMMIT;
END
$$;

CREATE OR REPLACE FUNCTION tier_warning(as_of timestamptz DEFAULT now(), days integer DEFAULT NULL)
RETURNS TABLE (customer_id bigint, tier text, tier_until timestamptz, to_stay numeric, stay_condition rule)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT v.* FROM ask_parts(format('SELECT to_jsonb(r)::text FROM tier_warning(%L, %L) r', as_of, days)) j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (customer_id bigint, tier text, tier_until timestamptz, to_stay numeric, stay_condition rule)
    ORDER BY v.tier_until, v.customer_id;
END
$$;
