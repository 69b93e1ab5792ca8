-- Who was invited and who invited are in two parts.

CREATE OR REPLACE FUNCTION invitations_met(as_of timestamptz) RETURNS TABLE (customer_id bigint, inviter bigint, source text, points bigint, met boolean)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT v.* FROM ask_parts(format('SELECT to_jsonb(r)::text FROM invitations_met(%L) r', invitations_met.as_of)) j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (customer_id bigint, inviter bigint, source text, points bigint, met boolean);
END
$$;
