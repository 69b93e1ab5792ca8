-- Points of many customers at once, and of two.

CREATE OR REPLACE FUNCTION post_points(movements crm.points_movement[], atomic boolean DEFAULT true)
RETURNS SETOF crm.points_result
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    p record;
    results crm.points_result[] := '{}';
    refusal text;
    detail text;
    hint text;
BEGIN
    -- Parts in the order of their numbers, so that two batches wait for each other in one order.
    FOR p IN
        SELECT coalesce(part_of(m.customer_id), 0) AS part, array_agg(u.n ORDER BY u.n) AS numbers, array_agg(movements[u.n] ORDER BY u.n) AS moved
        FROM generate_subscripts(movements, 1) u (n) CROSS JOIN LATERAL (SELECT (movements[u.n]).customer_id) m
        GROUP BY 1 ORDER BY 1
    LOOP
        BEGIN
            results := results || ARRAY(
                SELECT ROW(p.numbers[(r.one).ordinal], (r.one).status, (r.one).customer_id, (r.one).program, (r.one).seq, (r.one).balance_after, (r.one).sqlstate, (r.one).message)::crm.points_result
                FROM (SELECT a::crm.points_result AS one
                      FROM ask_part(CASE p.part WHEN 0 THEN (SELECT min(k.part) FROM part_key k) ELSE p.part END,
                                    format('SELECT r::text FROM post_points(%L::crm.points_movement[], %L) r', p.moved, atomic), NULL, true) a OFFSET 0) r);
        EXCEPTION WHEN OTHERS THEN
            -- A refusal names the movement by its place in the part's share.
            GET STACKED DIAGNOSTICS refusal = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
            IF refusal ~ '^movement [0-9]+:' THEN
                refusal := regexp_replace(refusal, '[0-9]+', p.numbers[substring(refusal FROM '[0-9]+')::integer]::text);
            END IF;
            -- An empty hint would be one.
            IF hint = '' THEN
                RAISE EXCEPTION '%', refusal USING ERRCODE = SQLSTATE, DETAIL = detail;
            END IF;
            RAISE EXCEPTION '%', refusal USING ERRCODE = SQLSTATE, DETAIL = detail, HINT = hint;
        END;
    END LOOP;
    RETURN QUERY SELECT u.* FROM unnest(results) u ORDER BY u.ordinal;
END
$$;

CREATE OR REPLACE FUNCTION transfer(customer_id bigint, to_customer_id bigint, points bigint, source text, reference text,
                                    program text DEFAULT 'points', as_of timestamptz DEFAULT now(), note text DEFAULT NULL)
RETURNS points_entry
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    posted points_entry;
    salt bytea := uuid_send(gen_random_uuid());
    hash bytea := sha256(salt || convert_to(note, 'UTF8'));
    gone record;
BEGIN
    IF part_of(customer_id) = part_of(to_customer_id) THEN
        SELECT a::bigint AS seq, NULL::crm.points_lots AS lots INTO gone
        FROM ask_part(part_of(customer_id), format('SELECT crm.points_transfer(shard_of(%L), %L, %L, %L, %L, %L, %L, %L, %L, %L, %L)::text', 'points_entry',
                                                   customer_id, to_customer_id, program, program, points, points, source, reference, as_of, hash), NULL, true) a;
    ELSE
        -- In the order of their numbers, so that two transfers do not wait for each other.
        PERFORM FROM points_account a WHERE a.customer_id = least(transfer.customer_id, to_customer_id) AND a.program = transfer.program FOR UPDATE;
        PERFORM FROM points_account a WHERE a.customer_id = greatest(transfer.customer_id, to_customer_id) AND a.program = transfer.program FOR UPDATE;
        SELECT j.* INTO gone
        FROM ask_part(part_of(customer_id), format('SELECT to_jsonb(t)::text FROM crm.points_transfer_out(shard_of(%L), %L, %L, %L, %L, %L, %L, %L, %L, %L) t', 'points_entry',
                                                   customer_id, to_customer_id, program, program, points, source, reference, as_of, hash), NULL, true) a
        CROSS JOIN LATERAL jsonb_to_record(a::jsonb) j (seq bigint, lots crm.points_lots);
        IF gone.lots IS NOT NULL THEN
            PERFORM ask_part(part_of(to_customer_id), format('SELECT crm.points_transfer_in(shard_of(%L), %L, %L, %L, %L, %L, %L, %L, %L, %L)::text', 'points_entry',
                                                             to_customer_id, customer_id, program, program, points, source, reference, as_of, gone.lots), NULL, true);
        END IF;
    END IF;
    SELECT e.* INTO posted FROM points_entry e
    WHERE e.customer_id = transfer.customer_id AND e.program = transfer.program AND e.seq = gone.seq;
    IF posted.note_hash = hash THEN
        INSERT INTO points_note VALUES (posted.customer_id, posted.program, posted.seq, salt, note);
    END IF;
    RETURN posted;
END
$$;

CREATE OR REPLACE FUNCTION convert(customer_id bigint, points bigint, source text, reference text, from_program text, to_program text,
                                   rate numeric DEFAULT 1, as_of timestamptz DEFAULT now(), note text DEFAULT NULL)
RETURNS points_entry
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN (SELECT a::points_entry
            FROM ask_part(part_of(convert.customer_id), format('SELECT r::text FROM convert(%L, %L, %L, %L, %L, %L, %L, %L, %L) r', convert.customer_id, convert.points, convert.source,
                          convert.reference, convert.from_program, convert.to_program, convert.rate, convert.as_of, convert.note), NULL, true) a);
END
$$;
