-- Configuration that every part reads.

CREATE TABLE settings (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    store_version text NOT NULL,
    time_zone text NOT NULL DEFAULT 'Asia/Shanghai',
    currency text NOT NULL DEFAULT 'CNY' CHECK (currency ~ '^[A-Z]{3}$'),
    language text NOT NULL DEFAULT 'zh' CHECK (language IN ('zh', 'en')),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE settings IS 'one row: how this store works';
COMMENT ON COLUMN settings.language IS 'of names and reports: zh or en';
COMMENT ON COLUMN settings.created_at IS 'when the store was made';
COMMENT ON COLUMN settings.store_version IS 'version of crm that made or last upgraded the store';
COMMENT ON COLUMN settings.time_zone IS 'zone whose days, months and birthdays count';
COMMENT ON COLUMN settings.currency IS 'ISO 4217 code of every amount';

CREATE TABLE access_rule (
    kind text NOT NULL CHECK (kind IN ('owner', 'agent', 'marketer', 'analyst', 'auditor', 'app')),
    object_type text NOT NULL CHECK (object_type IN ('table', 'sequence', 'routine')),
    object name NOT NULL,
    privilege text NOT NULL CHECK (privilege ~ '^(SELECT|INSERT|UPDATE|DELETE|USAGE|EXECUTE)( \([a-z_0-9, ]+\))?$'),
    PRIMARY KEY (kind, object_type, object, privilege)
);
COMMENT ON TABLE access_rule IS 'the privileges of each access kind, given by crm.grant_access';

CREATE TABLE access_grantee (
    role name NOT NULL,
    kind text NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (role, kind)
);
COMMENT ON TABLE access_grantee IS 'which roles crm.grant_access gave which kind, so that an upgrade can give it again';

CREATE FUNCTION shop_date(at timestamptz DEFAULT now()) RETURNS date
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT (at AT TIME ZONE s.time_zone)::date FROM settings s;
END;
COMMENT ON FUNCTION shop_date(timestamptz) IS 'the day of a moment in the store''s time zone';

CREATE TABLE job_progress (
    job text PRIMARY KEY,
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'stopped')),
    done bigint NOT NULL DEFAULT 0,
    total bigint,
    cursor jsonb,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE job_progress IS 'how far the long procedures are; cursor is where a stopped one goes on. Who calls one is told the same as a notice each five seconds';
COMMENT ON COLUMN job_progress.job IS 'the procedure, or a part of it';
COMMENT ON COLUMN job_progress.state IS 'running, done or stopped';
COMMENT ON COLUMN job_progress.done IS 'rows, or what the job counts';
COMMENT ON COLUMN job_progress.total IS 'of how many; null when unknown';
COMMENT ON COLUMN job_progress.cursor IS 'where it goes on';
COMMENT ON COLUMN job_progress.started_at IS 'of this run';
COMMENT ON COLUMN job_progress.updated_at IS 'last batch';

CREATE FUNCTION tell_progress() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ran interval;
BEGIN
    IF NEW.started_at = OLD.started_at AND (OLD.state <> 'running' OR NEW.done < OLD.done) THEN
        NEW.started_at := clock_timestamp();
    END IF;
    ran := clock_timestamp() - NEW.started_at;
    IF ran >= interval '5 seconds'
       AND (NEW.state <> 'running' OR floor(extract(epoch FROM ran) / 5) > floor(extract(epoch FROM OLD.updated_at - NEW.started_at) / 5)) THEN
        RAISE NOTICE '%: %', NEW.job, CASE WHEN NEW.state <> 'running' THEN format('%s, %s', NEW.state, NEW.done)
                                           WHEN NEW.total > 0 THEN format('%s of %s (%s %%)', NEW.done, NEW.total, NEW.done * 100 / NEW.total)
                                           ELSE NEW.done::text END;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION tell_progress() IS 'trigger BEFORE UPDATE FOR EACH ROW of job_progress: says every five seconds how far a job is, and dates the start of a new run';
CREATE TRIGGER tell_progress BEFORE UPDATE ON job_progress FOR EACH ROW EXECUTE FUNCTION tell_progress();

CREATE FUNCTION note_progress(job text, done bigint, state text DEFAULT 'running') RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    -- Over several nodes all must write the same moment.
    moment timestamptz := clock_timestamp();
BEGIN
    UPDATE job_progress j SET done = note_progress.done, state = note_progress.state, updated_at = moment WHERE j.job = note_progress.job;
END
$$;
COMMENT ON FUNCTION note_progress(text, bigint, text) IS 'writes how far a job in job_progress is';
REVOKE EXECUTE ON FUNCTION note_progress(text, bigint, text) FROM PUBLIC;

-- What the columns without a word above are.
COMMENT ON COLUMN settings.singleton IS 'always true: there is one row';
COMMENT ON COLUMN access_rule.kind IS 'the access kind: owner, agent, marketer, analyst, auditor or app';
COMMENT ON COLUMN access_rule.object_type IS 'table (views too), sequence or routine';
COMMENT ON COLUMN access_rule.object IS 'its name in this store';
COMMENT ON COLUMN access_rule.privilege IS 'what is granted, with the columns in brackets where only some are: UPDATE (tags)';
COMMENT ON COLUMN access_grantee.role IS 'the role';
COMMENT ON COLUMN access_grantee.kind IS 'the access kind that it got';
COMMENT ON COLUMN access_grantee.granted_at IS 'when';
