-- What makes points elsewhere in the store.

-- Benefits of tiers multiply points: sessions read them again.
CREATE TRIGGER points_rules_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tier_benefit
    FOR EACH STATEMENT EXECUTE FUNCTION crm.points_rules_changed();
ALTER TABLE tier_benefit ENABLE ALWAYS TRIGGER points_rules_changed;

CREATE FUNCTION survey_answered() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM earn_for(NEW.customer_id, 'survey', left(NEW.survey || CASE NEW.reference WHEN '' THEN '' ELSE '/' || NEW.reference END, 60), NEW.answered_at);
    RETURN NULL;
EXCEPTION
    WHEN SQLSTATE 'CP005' THEN
        RETURN NULL;
END
$$;
COMMENT ON FUNCTION survey_answered() IS 'trigger of survey_invitation: an answered survey earns what points_rule says of the event survey; into a closed account nothing';
REVOKE EXECUTE ON FUNCTION survey_answered() FROM PUBLIC;
CREATE TRIGGER survey_answered AFTER UPDATE OF answered_at ON survey_invitation
    FOR EACH ROW WHEN (OLD.answered_at IS NULL AND NEW.answered_at IS NOT NULL)
    EXECUTE FUNCTION survey_answered();
