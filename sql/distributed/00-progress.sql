-- A row of job_progress is written on every node: the same moment, and who calls the job is told once.

CREATE OR REPLACE FUNCTION tell_progress() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ran interval;
BEGIN
    IF NEW.started_at = OLD.started_at AND (OLD.state <> 'running' OR NEW.done < OLD.done) THEN
        NEW.started_at := NEW.updated_at;
    END IF;
    ran := NEW.updated_at - NEW.started_at;
    IF ran >= interval '5 seconds' AND current_setting('application_name') NOT LIKE 'citus_internal%'
       AND (NEW.state <> 'running' OR floor(extract(epoch FROM ran) / 5) > floor(extract(epoch FROM OLD.updated_at - NEW.started_at) / 5)) THEN
        RAISE NOTICE '%: %', NEW.job, CASE WHEN NEW.state <> 'running' THEN format('%s, %s', NEW.state, NEW.done)
                                           WHEN NEW.total > 0 THEN format('%s of %s (%s %%)', NEW.done, NEW.total, NEW.done * 100 / NEW.total)
                                           ELSE NEW.done::text END;
    END IF;
    RETURN NEW;
END
$$;
