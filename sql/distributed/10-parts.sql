-- How a distributed store asks its parts.

CREATE FUNCTION let_ask() RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    -- Beside rows of a table that every node has, Citus calls a function where it was asked itself: there it asks in the transaction of whoever asked.
    -- A connection that Citus has made from another node is another transaction.
    IF current_setting('application_name') NOT LIKE 'citus_internal%' THEN
        PERFORM set_config('citus.allow_nested_distributed_execution', 'on', true);
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION let_ask() FROM PUBLIC;
COMMENT ON FUNCTION let_ask() IS 'lets a function that asks the parts be called for the rows of a table that is the same on every node';

CREATE FUNCTION ask_parts(query text, given text DEFAULT NULL, writes boolean DEFAULT false) RETURNS SETOF text
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET citus.allow_nested_distributed_execution = off
AS $$
BEGIN
    PERFORM let_ask();
    IF writes THEN
        PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
    END IF;
    RETURN QUERY EXECUTE format('SELECT crm.run_in_part(%L, p.part, %L, %L, %L, %L) FROM store_part p', current_schema(), query, given, crm.actor(), current_setting('TimeZone'));
    IF writes THEN
        -- Citus takes a SELECT for one that reads: by this it knows that every node must be asked whether it can commit.
        DELETE FROM store_part p WHERE p.part < 0;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION ask_parts(text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION ask_parts(text, text, boolean) IS 'runs a query of one text column in every part of the store and gives the rows of all; writes: what it changes commits with the transaction on all nodes';

CREATE FUNCTION part_of(customer_id bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN get_shard_id_for_distribution_column('customer', part_of.customer_id);
END
$$;
COMMENT ON FUNCTION part_of(bigint) IS 'the part of the store that a customer is in, or would be';

CREATE FUNCTION ask_part(part bigint, query text, given text DEFAULT NULL, writes boolean DEFAULT false) RETURNS SETOF text
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET citus.allow_nested_distributed_execution = off
AS $$
DECLARE
    key bigint;
BEGIN
    PERFORM let_ask();
    key := (SELECT k.customer_id FROM part_key k WHERE k.part = ask_part.part);
    RETURN QUERY EXECUTE format('SELECT crm.run_in_part(%L, p.part, %L, %L, %L, %L) FROM store_part p WHERE p.customer_id = %L', current_schema(), query, given, crm.actor(), current_setting('TimeZone'), key);
    IF writes THEN
        EXECUTE format('DELETE FROM store_part p WHERE p.customer_id = %L AND p.part < 0', key);
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION ask_part(bigint, text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION ask_part(bigint, text, text, boolean) IS 'runs a query of one text column in one part of the store; writes: what it changes commits with the transaction on all nodes';

CREATE FUNCTION parts_of(customers bigint[]) RETURNS TABLE (part bigint, numbers bigint[])
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT CASE WHEN u.id IS NULL THEN (SELECT min(k.part) FROM part_key k) ELSE part_of(u.id) END, array_agg(u.n ORDER BY u.n)
    FROM unnest(customers) WITH ORDINALITY u (id, n) GROUP BY 1 ORDER BY 1;
END
$$;
REVOKE EXECUTE ON FUNCTION parts_of(bigint[]) FROM PUBLIC;
COMMENT ON FUNCTION parts_of(bigint[]) IS 'the parts that customers are in, in an order that is always the same, each with the places of its customers in the array; those that are nobody yet may be asked about anywhere';

CREATE FUNCTION picked(list anyarray, numbers bigint[]) RETURNS anyarray
LANGUAGE plpgsql IMMUTABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN (SELECT array_agg(list[u.n] ORDER BY u.o) FROM unnest(numbers) WITH ORDINALITY u (n, o) WHERE list IS NOT NULL);
END
$$;
REVOKE EXECUTE ON FUNCTION picked(anyarray, bigint[]) FROM PUBLIC;
COMMENT ON FUNCTION picked(anyarray, bigint[]) IS 'the elements of an array at these places: of what is given by customer, the share of a part, whose places parts_of tells';

CREATE FUNCTION job_done(job text, done bigint, total bigint DEFAULT NULL) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    -- Citus takes no function in DO UPDATE.
    moment timestamptz := clock_timestamp();
BEGIN
    INSERT INTO job_progress AS j (job, state, done, total, updated_at) VALUES (job_done.job, 'done', job_done.done, job_done.total, moment)
    ON CONFLICT ON CONSTRAINT job_progress_pkey DO UPDATE SET state = excluded.state, done = excluded.done, total = excluded.total, cursor = NULL, updated_at = excluded.updated_at;
END
$$;
REVOKE EXECUTE ON FUNCTION job_done(text, bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION job_done(text, bigint, bigint) IS 'notes in job_progress that a job over the parts has ended';

CREATE PROCEDURE batches_of_part(place bigint, step text, path text, INOUT done bigint)
LANGUAGE plpgsql
AS $$
DECLARE
    after_id pg_catalog.int8 := '-9223372036854775808';
    b pg_catalog.record;
BEGIN
    LOOP
        SELECT j.* INTO b
        FROM ask_part(place, format('SELECT to_jsonb(r)::text FROM ' || step || ' r', after_id), NULL, true) a
        CROSS JOIN LATERAL jsonb_to_record(a::jsonb) j (last_id bigint, changed bigint);
        EXIT WHEN b.last_id IS NULL;
        after_id := b.last_id;
        done := done + b.changed;
        COMMIT;
        PERFORM pg_catalog.set_config('search_path', path, true);
    END LOOP;
END
$$;
REVOKE EXECUTE ON PROCEDURE batches_of_part(bigint, text, text, bigint) FROM PUBLIC;
COMMENT ON PROCEDURE batches_of_part(bigint, text, text, bigint) IS
'calls a function that gives the last customer and how many it changed (last_id, changed) in one part until it comes to no customer, and commits after each; step is its call with %L for the customer after whom it goes on, path the search_path of the store, done what is added to';

CREATE FUNCTION grant_as_view(view text, routine text) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    EXECUTE (SELECT string_agg(format('GRANT EXECUTE ON FUNCTION %s TO %s', routine, CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END), '; ')
             FROM (SELECT x.grantee FROM pg_catalog.pg_class k CROSS JOIN LATERAL aclexplode(coalesce(k.relacl, acldefault('r', k.relowner))) x
                   WHERE k.oid = view::regclass AND x.privilege_type = 'SELECT') g);
    INSERT INTO access_rule (kind, object_type, object, privilege)
    SELECT DISTINCT r.kind, 'routine', split_part(routine, '(', 1), 'EXECUTE' FROM access_rule r WHERE r.object_type = 'table' AND r.object = view AND r.privilege LIKE 'SELECT%';
END
$$;
REVOKE EXECUTE ON FUNCTION grant_as_view(text, text) FROM PUBLIC;
COMMENT ON FUNCTION grant_as_view(text, text) IS 'who may read a view may call the function that it calls, now and when the access is given later';

-- One row a customer, asked of the part that has the customer: a condition on customer_id goes to one node.
DO $do$
DECLARE
    v text;
    asked text;
    columns text;
    picked text;
BEGIN
    FOR v, asked IN VALUES ('customer_360', 'customer_360_of') LOOP
        SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum),
               string_agg(format('%s.%I%s', CASE a.attname WHEN 'customer_id' THEN 'c' ELSE 'r' END, a.attname,
                                 CASE WHEN a.attcollation <> y.typcollation THEN ' COLLATE ' || a.attcollation::regcollation END), ', ' ORDER BY a.attnum) INTO columns, picked
        FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type y ON y.oid = a.atttypid WHERE a.attrelid = v::regclass AND a.attnum > 0;
        EXECUTE format($f$
            CREATE FUNCTION %1$I(id bigint) RETURNS TABLE (%2$s)
            LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1
            SET search_path FROM CURRENT
            AS $$
            BEGIN
                RETURN QUERY EXECUTE format('SELECT v.* FROM %%I.%7$s($1) v', crm.part_schema(%3$s, get_shard_id_for_distribution_column('customer', $1))) USING $1;
            END
            $$;
            REVOKE EXECUTE ON FUNCTION %1$I(bigint) FROM PUBLIC;
            COMMENT ON FUNCTION %1$I(bigint) IS %4$L;
            CREATE OR REPLACE VIEW %5$I AS SELECT %6$s FROM customer c CROSS JOIN LATERAL %1$I(c.customer_id) r;
        $f$, v || '_row', columns, 'current_schema()', v || ' of one customer, on the node that has it', v, picked, asked);
        PERFORM grant_as_view(v, format('%I(bigint)', v || '_row'));
    END LOOP;
END
$do$;
