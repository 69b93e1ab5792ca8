-- Automations of a part: steps that take of a stock wait for the coordinator.

CREATE FUNCTION limited_runs(as_of timestamptz, batch integer)
RETURNS TABLE (customer_id bigint, automation text, occasion text, template text, total_limit bigint, has_it boolean)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT k.customer_id, k.automation, k.occasion, t.template, t.total_limit,
           EXISTS (SELECT FROM coupon c WHERE c.customer_id = k.customer_id AND c.template = t.template
                   AND c.reference = format('automation/%s/%s/%s', k.automation, k.occasion, k.next_step))
    FROM automation_run k
    JOIN automation a ON a.automation = k.automation AND a.active
    JOIN automation_step s ON s.automation = k.automation AND s.step = k.next_step AND s.action = 'coupon'
    JOIN coupon_template t ON t.template = s.params ->> 'template' AND t.total_limit IS NOT NULL
    WHERE k.due_at <= limited_runs.as_of
    ORDER BY k.customer_id, k.automation, k.occasion LIMIT batch
    FOR NO KEY UPDATE OF k SKIP LOCKED;
END
$$;
COMMENT ON FUNCTION limited_runs(timestamptz, integer) IS 'due runs of this part whose next step issues a coupon of a limited template, and whether the customer has it already; locked';

CREATE OR REPLACE FUNCTION run_automations_batch(as_of timestamptz, batch integer DEFAULT 1000) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    r record;
    steps bigint := 0;
BEGIN
    FOR r IN
        SELECT k.customer_id, k.automation, k.occasion FROM automation_run k JOIN automation a ON a.automation = k.automation
        WHERE k.next_step IS NOT NULL AND k.due_at <= run_automations_batch.as_of AND a.active
          AND NOT EXISTS (SELECT FROM automation_step s JOIN coupon_template t ON t.template = s.params ->> 'template' AND t.total_limit IS NOT NULL
                          WHERE s.automation = k.automation AND s.step = k.next_step AND s.action = 'coupon')
        ORDER BY k.customer_id, k.automation, k.occasion LIMIT batch
        FOR NO KEY UPDATE OF k SKIP LOCKED
    LOOP
        PERFORM run_automation_step(r.customer_id, r.automation, r.occasion, as_of);
        steps := steps + 1;
    END LOOP;
    RETURN steps;
END
$$;
