-- What was fitted last, in one row: customer_360 reads it for each customer it is asked about.

CREATE TABLE in_force (
    row_no integer PRIMARY KEY DEFAULT 1 CHECK (row_no = 1),
    base_tier text,
    rfm_model rfm_model,
    value_limits value_fit,
    value_model_id bigint,
    bgnbd bgnbd,
    pareto_nbd pareto_nbd,
    gamma_gamma gamma_gamma
);
ALTER TABLE in_force ALTER COLUMN bgnbd SET STORAGE PLAIN, ALTER COLUMN pareto_nbd SET STORAGE PLAIN, ALTER COLUMN gamma_gamma SET STORAGE PLAIN;
COMMENT ON TABLE in_force IS 'the lowest tier and the models in force, of tier, rfm_fit, value_fit and value_model; kept by triggers on them, never written by hand';
COMMENT ON COLUMN in_force.row_no IS 'always 1: by its key the planner knows that there is one row';
COMMENT ON COLUMN in_force.base_tier IS 'tier that everybody has: that of the lowest seq';
COMMENT ON COLUMN in_force.rfm_model IS 'model of the latest row of rfm_fit';
COMMENT ON COLUMN in_force.value_limits IS 'latest row of value_fit; null before the first refit_value_classes';
COMMENT ON COLUMN in_force.value_model_id IS 'latest row of value_model whose state is ok, to which the three models belong';

CREATE FUNCTION keep_in_force() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    INSERT INTO in_force DEFAULT VALUES ON CONFLICT DO NOTHING;
    -- Two refits at once: the later one waits here, and then reads what the earlier one has committed.
    PERFORM FROM in_force FOR UPDATE;
    UPDATE in_force
    SET base_tier = (SELECT t.tier FROM tier t ORDER BY t.seq LIMIT 1),
        rfm_model = (SELECT r.model FROM rfm_fit r ORDER BY r.as_of DESC, r.rfm_fit_id DESC LIMIT 1),
        value_limits = (SELECT f FROM value_fit f ORDER BY f.as_of DESC, f.value_fit_id DESC LIMIT 1),
        (value_model_id, bgnbd, pareto_nbd, gamma_gamma)
            = (SELECT m.value_model_id, m.bgnbd, m.pareto_nbd, m.gamma_gamma FROM value_model m WHERE m.state = 'ok' ORDER BY m.as_of DESC, m.value_model_id DESC LIMIT 1);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION keep_in_force() IS 'brings in_force up to date';
REVOKE EXECUTE ON FUNCTION keep_in_force() FROM PUBLIC;
CREATE TRIGGER keep_in_force AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tier FOR EACH STATEMENT EXECUTE FUNCTION keep_in_force();
CREATE TRIGGER keep_in_force AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON rfm_fit FOR EACH STATEMENT EXECUTE FUNCTION keep_in_force();
CREATE TRIGGER keep_in_force AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON value_fit FOR EACH STATEMENT EXECUTE FUNCTION keep_in_force();
CREATE TRIGGER keep_in_force AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON value_model FOR EACH STATEMENT EXECUTE FUNCTION keep_in_force();

CREATE FUNCTION in_force_once() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    -- A restore of data alone brings the row after the tables that it is made of: by then it is there, and right.
    IF EXISTS (SELECT FROM in_force) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION in_force_once() IS 'in_force has one row: a second one is left out';
CREATE TRIGGER in_force_once BEFORE INSERT ON in_force FOR EACH ROW EXECUTE FUNCTION in_force_once();

CREATE FUNCTION value_limits_now() RETURNS value_fit
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER COST 10000
SET search_path FROM CURRENT
BEGIN ATOMIC
    SELECT CASE WHEN (SELECT count(*) FROM (SELECT FROM customer c LIMIT 1001) c) <= 1000 THEN (SELECT l FROM value_limits_at(now()) l) END;
END;
COMMENT ON FUNCTION value_limits_now() IS 'the limits of the value classes of this moment in a store of at most 1,000 customers; in others null';

-- What the columns without a word above are.
COMMENT ON COLUMN in_force.bgnbd IS 'parameters of BG/NBD of the model in force';
COMMENT ON COLUMN in_force.pareto_nbd IS 'parameters of Pareto/NBD of the model in force';
COMMENT ON COLUMN in_force.gamma_gamma IS 'parameters of Gamma-Gamma of the model in force';
