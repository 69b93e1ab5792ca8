-- Rights of the person: what names a customer by a key that no node checks is hers too, and statistics are those of the shards.

CREATE OR REPLACE FUNCTION customer_tables()
RETURNS TABLE (relation regclass, table_name name, key_column name)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT c.oid::regclass, c.relname, a.attname
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid = 'bigint'::regtype
    WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema())) AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND NOT crm.is_shard(c.oid) AND NOT crm.stands_for_view(c.oid)
      -- What the store is spread by.
      AND c.relname NOT IN ('store_part', 'part_key')
      AND (a.attname = 'customer_id' OR (c.relname || '.' || a.attname) = ANY (ARRAY(SELECT k.table_name || '.' || k.column_name FROM customer_key k)))
    ORDER BY c.relname <> 'customer', c.relname, a.attname <> 'customer_id', a.attname;
END
$$;

CREATE OR REPLACE FUNCTION same_person(customer_id bigint) RETURNS bigint[]
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    main bigint := (SELECT c.customer_id FROM customer c WHERE c.customer_id = same_person.customer_id);
    up bigint := main;
    found bigint[];
    more bigint[];
BEGIN
    WHILE up IS NOT NULL LOOP
        main := up;
        up := (SELECT c.merged_into FROM customer c WHERE c.customer_id = main);
    END LOOP;
    found := ARRAY[main];
    more := found;
    WHILE main IS NOT NULL AND more <> '{}' LOOP
        more := ARRAY(SELECT c.customer_id FROM customer c WHERE c.merged_into = ANY (more));
        found := found || more;
    END LOOP;
    RETURN CASE WHEN main IS NOT NULL THEN ARRAY(SELECT u.id FROM unnest(found) u (id) ORDER BY u.id) END;
END
$$;

CREATE OR REPLACE FUNCTION forget_statistics(relation regclass, column_name name, gone text[]) RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    name text := (SELECT k.relname FROM pg_catalog.pg_class k WHERE k.oid = relation);
BEGIN
    IF name = 'identity' THEN
        -- No part has it: all of it is gathered anew, since the values are all different.
        EXECUTE format('ANALYZE %s (%I)', relation, column_name);
        RETURN true;
    END IF;
    RETURN (SELECT coalesce(bool_or(a::boolean), false) FROM ask_parts(format('SELECT forget_statistics(shard_of(%L), %L, %L)::text', name, column_name, gone), NULL, true) a);
END
$$;

CREATE OR REPLACE FUNCTION retain_step(rule text, as_of timestamptz, batch integer) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    r retention_rule;
    affected bigint := 0;
    ids bigint[];
    of_customer boolean;
    moment timestamptz := clock_timestamp();
BEGIN
    SELECT * INTO STRICT r FROM retention_rule x WHERE x.rule = retain_step.rule;
    PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
    of_customer := EXISTS (SELECT 1 FROM customer_tables() c WHERE c.table_name = r.table_name AND c.key_column = 'customer_id');
    IF r.action = 'delete' AND of_customer AND crm.is_distributed(quote_ident(r.table_name)::regclass) AND r.table_name NOT IN ('identity', 'reward_code') THEN
        affected := (SELECT sum(a::bigint) FROM ask_parts(format('SELECT retain_rows(shard_of(%L), %L, %L, %L, true, %L)::text', r.table_name, r.time_column, as_of - r.keep, as_of, batch), NULL, true) a);
    ELSIF r.action = 'delete' THEN
        -- The same on every node, or nowhere but here: by no node's places of rows.
        EXECUTE format('DELETE FROM %I t WHERE t.%I < %L%s', r.table_name, r.time_column, as_of - r.keep,
                       CASE WHEN of_customer THEN
                           format(' AND t.customer_id <> ALL (%L::bigint[])',
                                  ARRAY(SELECT h.customer_id FROM legal_hold h WHERE h.released_at IS NULL AND (h.until IS NULL OR h.until > as_of))) END);
        GET DIAGNOSTICS affected = ROW_COUNT;
    ELSE
        ids := ARRAY(SELECT a::bigint FROM ask_parts(format('SELECT c::text FROM retired_in_part(%L, %L, %L) c', as_of - r.keep, as_of, batch), NULL, true) a ORDER BY 1 LIMIT batch);
        -- Of merged ones a hold may lie on another.
        ids := ARRAY(SELECT u.id FROM unnest(ids) u (id)
                     WHERE NOT EXISTS (SELECT FROM ask_parts(format('SELECT h.customer_id::text FROM legal_hold h WHERE h.customer_id = ANY (%L::bigint[]) AND h.released_at IS NULL AND (h.until IS NULL OR h.until > %L)',
                                                                    same_person(u.id), as_of))));
        affected := cardinality(ids);
        IF ids <> '{}' THEN
            PERFORM erase_persons(ids, 'retention: ' || r.rule, as_of);
        END IF;
    END IF;
    INSERT INTO job_progress AS j (job, done, updated_at) VALUES ('retention ' || r.rule, affected, moment)
    ON CONFLICT ON CONSTRAINT job_progress_pkey DO UPDATE
        SET done = j.done + excluded.done, state = CASE WHEN excluded.done > 0 THEN 'running' ELSE 'done' END, updated_at = excluded.updated_at;
    RETURN affected;
END
$$;

CREATE OR REPLACE FUNCTION lock_customers(ids bigint[]) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    id bigint;
BEGIN
    FOR id IN SELECT u.id FROM unnest(ids) u (id) ORDER BY 1 LOOP
        PERFORM FROM customer c WHERE c.customer_id = id FOR UPDATE;
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION revealed_person(customer_id bigint, OUT subject bigint, OUT state text)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    other bigint;
BEGIN
    SELECT c.customer_id, c.status, c.merged_into INTO subject, state, other FROM customer c WHERE c.customer_id = revealed_person.customer_id;
    IF other IS NOT NULL THEN
        SELECT c.customer_id, c.status INTO subject, state FROM customer c WHERE c.customer_id = other;
    END IF;
END
$$;
