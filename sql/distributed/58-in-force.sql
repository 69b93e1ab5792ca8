-- Each node keeps its copy of what is in force, from its copies of what was fitted.

CREATE OR REPLACE FUNCTION keep_in_force() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    copy regclass := crm.shard_sibling(TG_RELID, 'in_force');
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        RAISE EXCEPTION 'cannot truncate table "%": each node keeps what is in force of it', TG_TABLE_NAME
            USING ERRCODE = 'feature_not_supported', HINT = 'DELETE the rows.';
    END IF;
    EXECUTE format('INSERT INTO %s AS f DEFAULT VALUES ON CONFLICT DO NOTHING', copy);
    EXECUTE format('SELECT FROM %s f FOR UPDATE', copy);
    EXECUTE format('
        UPDATE %s f
        SET base_tier = (SELECT t.tier FROM %s t ORDER BY t.seq LIMIT 1),
            rfm_model = (SELECT r.model FROM %s r ORDER BY r.as_of DESC, r.rfm_fit_id DESC LIMIT 1),
            value_limits = (SELECT ROW(v.*)::value_fit FROM %s v ORDER BY v.as_of DESC, v.value_fit_id DESC LIMIT 1),
            (value_model_id, bgnbd, pareto_nbd, gamma_gamma)
                = (SELECT m.value_model_id, m.bgnbd, m.pareto_nbd, m.gamma_gamma FROM %s m WHERE m.state = ''ok'' ORDER BY m.as_of DESC, m.value_model_id DESC LIMIT 1)',
        copy, crm.shard_sibling(TG_RELID, 'tier'), crm.shard_sibling(TG_RELID, 'rfm_fit'), crm.shard_sibling(TG_RELID, 'value_fit'), crm.shard_sibling(TG_RELID, 'value_model'));
    RETURN NULL;
END
$$;
