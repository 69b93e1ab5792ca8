-- Tags: the reason of a change goes with the transaction to the nodes.

CREATE OR REPLACE FUNCTION say_tag_reason(why text, expires_at timestamptz DEFAULT NULL) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    -- Citus tells the nodes what SET LOCAL sets.
    SET LOCAL citus.propagate_set_commands = 'local';
    EXECUTE format('SET LOCAL crm.tag_reason = %L', coalesce(why, ''));
    EXECUTE format('SET LOCAL crm.tag_expires = %L', coalesce(expires_at::text, ''));
END
$$;

-- A batch of each part. Those that lie behind the least of the last ones are asked again, and have nothing to do by then.
CREATE OR REPLACE FUNCTION expire_some_tags(as_of timestamptz, after bigint, batch integer, OUT last bigint, OUT expired bigint)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    SELECT min(v.last), coalesce(sum(v.expired), 0) INTO last, expired
    FROM ask_parts(format('SELECT to_jsonb(r)::text FROM expire_some_tags(%L, %L, %L) r', as_of, after, batch), NULL, true) j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (last bigint, expired bigint);
END
$$;

CREATE OR REPLACE FUNCTION replace_some_tags(old_tag text, new_tag text, after bigint, batch integer, OUT last bigint, OUT changed bigint)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    SELECT min(v.last), coalesce(sum(v.changed), 0) INTO last, changed
    FROM ask_parts(format('SELECT to_jsonb(r)::text FROM replace_some_tags(%L, %L, %L, %L) r', old_tag, new_tag, after, batch), NULL, true) j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (last bigint, changed bigint);
END
$$;
