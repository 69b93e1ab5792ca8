-- Automations: when something happens, wait, look, act. As data, run by one procedure, each step once a customer and occasion.

CREATE TABLE automation (
    automation text PRIMARY KEY,
    name text NOT NULL,
    trigger text NOT NULL CHECK (trigger IN ('purchase', 'completed', 'joined', 'ticket_closed', 'rule')),
    rule crm.rule,
    repeat_days integer CHECK (repeat_days > 0),
    since timestamptz NOT NULL DEFAULT now(),
    active boolean NOT NULL DEFAULT false,
    CHECK ((trigger = 'rule') = (rule IS NOT NULL))
);
CREATE TRIGGER rule_guard BEFORE INSERT OR UPDATE ON automation FOR EACH ROW EXECUTE FUNCTION rule_guard('customer_360');
COMMENT ON TABLE automation IS 'flows: they begin for a customer when an event happens after since, or when a rule becomes true';
COMMENT ON COLUMN automation.automation IS 'its name';
COMMENT ON COLUMN automation.name IS 'what staff read';
COMMENT ON COLUMN automation.trigger IS 'what begins it: purchase, completed, joined, ticket_closed or rule';
COMMENT ON COLUMN automation.rule IS 'for trigger rule: begins for a customer when this becomes true';
COMMENT ON COLUMN automation.since IS 'only events after this moment begin it';
COMMENT ON COLUMN automation.active IS 'begins runs; those that run go on';
COMMENT ON COLUMN automation.repeat_days IS 'a customer may begin again after so many days; null for once (rule), or once an order or ticket';

CREATE TABLE automation_step (
    automation text NOT NULL REFERENCES automation ON DELETE CASCADE,
    step integer NOT NULL CHECK (step > 0),
    wait interval NOT NULL DEFAULT '0' CHECK (wait >= interval '0'),
    condition crm.rule,
    action text NOT NULL CHECK (action IN ('tag', 'untag', 'points', 'coupon', 'message', 'follow_up', 'end')),
    params jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (automation, step),
    CHECK (CASE action WHEN 'tag' THEN params ? 'tag' WHEN 'untag' THEN params ? 'tag' WHEN 'points' THEN params ? 'points' WHEN 'coupon' THEN params ? 'template'
                       WHEN 'message' THEN params ? 'template' AND params ? 'channel' WHEN 'follow_up' THEN true ELSE true END)
);
CREATE TRIGGER rule_guard BEFORE INSERT OR UPDATE ON automation_step FOR EACH ROW EXECUTE FUNCTION rule_guard('customer_360');
COMMENT ON TABLE automation_step IS 'steps in order: after wait since the step before, if the condition holds then (a step whose condition fails is skipped; action end ends the run where its condition holds). params: {"tag"}, {"points"}, {"template"}, {"template", "channel"}, {"channel"}';
COMMENT ON COLUMN automation_step.step IS 'order of the steps';
COMMENT ON COLUMN automation_step.wait IS 'how long after the step before';
COMMENT ON COLUMN automation_step.condition IS 'judged when the step is due: false passes it over; null always holds';
COMMENT ON COLUMN automation_step.action IS 'tag, untag, points, coupon, message, follow_up or end';
COMMENT ON COLUMN automation_step.params IS 'what the action needs: {"tag": …}, {"points": n}, {"template": …, "channel": …, "purpose": …}';

CREATE TABLE automation_run (
    customer_id bigint NOT NULL REFERENCES customer,
    automation text NOT NULL REFERENCES automation,
    occasion text NOT NULL,
    started_at timestamptz NOT NULL,
    next_step integer,
    due_at timestamptz,
    PRIMARY KEY (customer_id, automation, occasion)
);
CREATE INDEX automation_run_due ON automation_run (due_at) WHERE next_step IS NOT NULL;
COMMENT ON TABLE automation_run IS 'where each customer is in each flow; next_step is null at the end';

CREATE TABLE automation_log (
    customer_id bigint NOT NULL,
    automation text NOT NULL,
    occasion text NOT NULL,
    step integer NOT NULL,
    at timestamptz NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('done', 'skipped', 'refused', 'ended')),
    error text,
    PRIMARY KEY (customer_id, automation, occasion, step),
    FOREIGN KEY (customer_id, automation, occasion) REFERENCES automation_run
);
COMMENT ON TABLE automation_log IS 'what each step did, once; refused names the SQLSTATE of the verb that said no';

CREATE FUNCTION start_automations(as_of timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    a automation;
    started bigint := 0;
    n bigint;
    zone text := (SELECT s.time_zone FROM settings s);
    source text;
BEGIN
    FOR a IN SELECT k.* FROM automation k WHERE k.active ORDER BY k.automation LOOP
        -- An event that is found again has the same occasion, so it begins nothing twice.
        source := CASE a.trigger
            WHEN 'purchase' THEN 'SELECT p.customer_id, p.channel || ''/'' || p.order_no AS occasion, p.order_at AS at FROM purchase p WHERE p.order_at > $2 AND p.order_at <= $3 AND p.order_at > $3 - interval ''30 days'''
            WHEN 'completed' THEN 'SELECT p.customer_id, p.channel || ''/'' || p.order_no AS occasion, p.completed_at AS at FROM purchase p WHERE p.completed_at > $2 AND p.completed_at <= $3 AND p.status = ''completed'' AND p.completed_at > $3 - interval ''30 days'''
            WHEN 'joined' THEN 'SELECT c.customer_id, ''joined'' AS occasion, c.joined_at AS at FROM customer c WHERE c.joined_at > $2 AND c.joined_at <= $3 AND c.joined_at > $3 - interval ''30 days'''
            WHEN 'ticket_closed' THEN 'SELECT t.customer_id, t.ticket_id::text AS occasion, t.closed_at AS at FROM ticket t WHERE t.closed_at > $2 AND t.closed_at <= $3 AND t.closed_at > $3 - interval ''30 days'''
            ELSE format('SELECT c.customer_id, coalesce((SELECT to_char($3 AT TIME ZONE ''UTC'', ''YYYY-MM-DD"T"HH24:MI'') WHERE $4 IS NOT NULL), ''once'') AS occasion, $3 AS at FROM customer_360_all c WHERE %s
                         AND NOT EXISTS (SELECT FROM automation_run r WHERE r.customer_id = c.customer_id AND r.automation = $1 AND (r.next_step IS NOT NULL OR $4 IS NULL OR r.started_at > $3 - make_interval(days => $4)))',
                        rule_sql(a.rule, 'customer_360', 'c', as_of, zone)) END;
        EXECUTE format('INSERT INTO automation_run (customer_id, automation, occasion, started_at, next_step, due_at)
                        SELECT e.customer_id, $1, e.occasion, e.at, f.step, e.at + f.wait
                        FROM (%s) e
                        JOIN customer k ON k.customer_id = e.customer_id AND k.status = ''active'',
                        (SELECT s.step, s.wait FROM automation_step s WHERE s.automation = $1 ORDER BY s.step LIMIT 1) f
                        WHERE ($4 IS NULL OR NOT EXISTS (SELECT FROM automation_run r WHERE r.customer_id = e.customer_id AND r.automation = $1 AND r.started_at > e.at - make_interval(days => $4)))
                        ORDER BY e.customer_id
                        ON CONFLICT DO NOTHING', source)
            USING a.automation, a.since, as_of, a.repeat_days;
        GET DIAGNOSTICS n = ROW_COUNT;
        started := started + n;
    END LOOP;
    RETURN started;
END
$$;
COMMENT ON FUNCTION start_automations(timestamptz) IS 'begins the active flows for events of the last 30 days and for customers for whom a rule became true; the number begun';
REVOKE EXECUTE ON FUNCTION start_automations(timestamptz) FROM PUBLIC;

CREATE FUNCTION run_automation_step(customer_id bigint, automation text, occasion text, as_of timestamptz) RETURNS text
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    r automation_run;
    s automation_step;
    key text;
    result text := 'done';
    problem text;
BEGIN
    SELECT k.* INTO r FROM automation_run k
    WHERE k.customer_id = run_automation_step.customer_id AND k.automation = run_automation_step.automation AND k.occasion = run_automation_step.occasion;
    SELECT k.* INTO s FROM automation_step k WHERE k.automation = r.automation AND k.step = r.next_step;
    IF s.step IS NULL THEN
        UPDATE automation_run k SET next_step = NULL, due_at = NULL WHERE k.customer_id = r.customer_id AND k.automation = r.automation AND k.occasion = r.occasion;
        RETURN 'ended';
    END IF;
    key := format('%s/%s/%s', r.automation, r.occasion, s.step);
    IF s.condition IS NOT NULL AND NOT matches_rule(r.customer_id, s.condition, as_of) THEN
        result := 'skipped';
    ELSIF s.action = 'end' THEN
        result := 'ended';
    ELSE
        BEGIN
            CASE s.action
                WHEN 'tag' THEN UPDATE customer c SET tags = c.tags OPERATOR(crm.+) (s.params ->> 'tag') WHERE c.customer_id = r.customer_id;
                WHEN 'untag' THEN UPDATE customer c SET tags = c.tags OPERATOR(crm.-) ARRAY[s.params ->> 'tag'] WHERE c.customer_id = r.customer_id;
                WHEN 'points' THEN PERFORM earn(r.customer_id, (s.params ->> 'points')::bigint, 'automation', left(md5(key), 20), as_of => as_of);
                WHEN 'coupon' THEN PERFORM issue_coupon(r.customer_id, s.params ->> 'template', 'automation/' || key, as_of);
                WHEN 'message' THEN
                    IF contact_refusal(r.customer_id, s.params ->> 'channel', coalesce(s.params ->> 'purpose', 'marketing'),
                                       CASE WHEN is_quiet(as_of) THEN next_loud(as_of) ELSE as_of END) IS NULL
                       AND NOT (s.params ->> 'channel' = 'sms' AND coalesce(s.params ->> 'purpose', 'marketing') = 'marketing' AND NOT sms_allowed(r.customer_id, CASE WHEN is_quiet(as_of) THEN next_loud(as_of) ELSE as_of END)) THEN
                        INSERT INTO outbox (customer_id, channel, purpose, template, payload, idempotency_key, due_at)
                        VALUES (r.customer_id, s.params ->> 'channel', coalesce(s.params ->> 'purpose', 'marketing'), s.params ->> 'template', s.params - 'channel' - 'purpose' - 'template',
                                'automation/' || key, CASE WHEN is_quiet(as_of) THEN next_loud(as_of) ELSE as_of END)
                        ON CONFLICT DO NOTHING;
                    ELSE
                        result := 'refused';
                        problem := 'consent, address or cap';
                    END IF;
                WHEN 'follow_up' THEN PERFORM plan_follow_up(r.customer_id, as_of, 'automation/' || key, coalesce(s.params ->> 'channel', 'phone'));
            END CASE;
        EXCEPTION WHEN OTHERS THEN
            -- One customer whom a verb refuses must not hold up the others.
            GET STACKED DIAGNOSTICS problem = RETURNED_SQLSTATE;
            IF problem !~ '^(C[A-Z]|2[23])' THEN
                RAISE;
            END IF;
            result := 'refused';
        END;
    END IF;
    INSERT INTO automation_log (customer_id, automation, occasion, step, at, outcome, error)
    VALUES (r.customer_id, r.automation, r.occasion, s.step, as_of, result, problem);
    UPDATE automation_run k SET (next_step, due_at) = (
        SELECT n.step, as_of + n.wait FROM automation_step n WHERE n.automation = r.automation AND n.step > s.step AND result <> 'ended' ORDER BY n.step LIMIT 1)
    WHERE k.customer_id = r.customer_id AND k.automation = r.automation AND k.occasion = r.occasion;
    RETURN result;
END
$$;
COMMENT ON FUNCTION run_automation_step(bigint, text, text, timestamptz) IS 'takes one customer one step on, in the caller''s transaction; done, skipped, refused or ended';
REVOKE EXECUTE ON FUNCTION run_automation_step(bigint, text, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION run_automations_batch(as_of timestamptz, batch integer DEFAULT 1000) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    r record;
    steps bigint := 0;
BEGIN
    FOR r IN
        SELECT k.customer_id, k.automation, k.occasion FROM automation_run k JOIN automation a USING (automation)
        WHERE k.next_step IS NOT NULL AND k.due_at <= run_automations_batch.as_of AND a.active
        ORDER BY k.customer_id, k.automation, k.occasion LIMIT batch
        FOR NO KEY UPDATE OF k SKIP LOCKED
    LOOP
        PERFORM run_automation_step(r.customer_id, r.automation, r.occasion, as_of);
        steps := steps + 1;
    END LOOP;
    RETURN steps;
END
$$;
COMMENT ON FUNCTION run_automations_batch(timestamptz, integer) IS 'takes up to so many due runs a step on; two at once share the work, since each takes rows that the other does not hold';
REVOKE EXECUTE ON FUNCTION run_automations_batch(timestamptz, integer) FROM PUBLIC;

CREATE PROCEDURE run_automations(as_of timestamptz DEFAULT now(), batch integer DEFAULT 1000, runs regclass DEFAULT 'automation_run'::regclass)
LANGUAGE plpgsql
AS $automations$
DECLARE
    -- The default argument was bound when the store was made: so the procedure finds its store without a search_path, which would forbid COMMIT.
    store pg_catalog.text := (SELECT c.relnamespace::pg_catalog.regnamespace::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) runs);
    done bigint := 0;
    n bigint;
BEGIN
    EXECUTE pg_catalog.format('SELECT %s.start_automations($1)', store) USING as_of;
    COMMIT;
    LOOP
        EXECUTE pg_catalog.format('SELECT %s.run_automations_batch($1, $2)', store) INTO n USING as_of, batch;
        done := done OPERATOR(pg_catalog.+) n;
        EXECUTE pg_catalog.format('INSERT INTO %s.job_progress (job, state, done) VALUES (''run_automations'', $1, $2)
            ON CONFLICT (job) DO UPDATE SET state = excluded.state, done = excluded.done, updated_at = excluded.updated_at', store)
            USING CASE WHEN n OPERATOR(pg_catalog.=) 0 THEN 'done' ELSE 'running' END, done;
        COMMIT;
        EXIT WHEN n OPERATOR(pg_catalog.=) 0;
    END LOOP;
END
$automations$;
COMMENT ON PROCEDURE run_automations(timestamptz, integer, regclass) IS 'begins what is to begin and takes every due run its steps on, committing by batch; stop it at any time, the next call goes on. runs is for the store itself, leave it out';
REVOKE EXECUTE ON PROCEDURE run_automations(timestamptz, integer, regclass) FROM PUBLIC;

-- What the columns without a word above are.
COMMENT ON COLUMN automation_step.automation IS 'the flow';
COMMENT ON COLUMN automation_run.customer_id IS 'the customer';
COMMENT ON COLUMN automation_run.automation IS 'the flow';
COMMENT ON COLUMN automation_run.occasion IS 'what began it, so that it begins once for each';
COMMENT ON COLUMN automation_run.started_at IS 'when it began';
COMMENT ON COLUMN automation_run.next_step IS 'the step to come; null: ended';
COMMENT ON COLUMN automation_run.due_at IS 'when that step is due';
COMMENT ON COLUMN automation_log.customer_id IS 'the customer';
COMMENT ON COLUMN automation_log.automation IS 'the flow';
COMMENT ON COLUMN automation_log.occasion IS 'what began it';
COMMENT ON COLUMN automation_log.step IS 'the step';
COMMENT ON COLUMN automation_log.at IS 'when it was done';
COMMENT ON COLUMN automation_log.outcome IS 'done, skipped (the condition failed), refused (see error) or ended';
COMMENT ON COLUMN automation_log.error IS 'SQLSTATE of the verb that refused';
