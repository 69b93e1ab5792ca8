-- Automations: the parts begin and step their runs; what takes of a stock goes one by one, since the stock is the same on every node.

CREATE OR REPLACE FUNCTION start_automations(as_of timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN (SELECT sum(a::bigint) FROM ask_parts(format('SELECT start_automations(%L)::text', as_of), NULL, true) a);
END
$$;

CREATE OR REPLACE FUNCTION run_automations_batch(as_of timestamptz, batch integer DEFAULT 1000) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    r record;
    steps bigint := (SELECT sum(a::bigint) FROM ask_parts(format('SELECT run_automations_batch(%L, %L)::text', as_of, batch), NULL, true) a);
    outcome text;
BEGIN
    IF NOT EXISTS (SELECT FROM coupon_template t WHERE t.total_limit IS NOT NULL) THEN
        RETURN steps;
    END IF;
    FOR r IN
        SELECT v.* FROM ask_parts(format('SELECT to_jsonb(r)::text FROM limited_runs(%L, %L) r', as_of, batch), NULL, true) j
        CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (customer_id bigint, automation text, occasion text, template text, total_limit bigint, has_it boolean)
        ORDER BY v.customer_id, v.automation, v.occasion LIMIT batch
    LOOP
        INSERT INTO coupon_stock (template) VALUES (r.template) ON CONFLICT DO NOTHING;
        PERFORM FROM coupon_stock s WHERE s.template = r.template AND s.issued < r.total_limit FOR UPDATE;
        outcome := (SELECT a FROM ask_part(part_of(r.customer_id), format('SELECT run_automation_step(%L, %L, %L, %L)', r.customer_id, r.automation, r.occasion, as_of),
                                           CASE WHEN FOUND THEN 'stock' ELSE 'no stock' END, true) a);
        IF outcome = 'done' AND NOT r.has_it THEN
            PERFORM take_coupon_stock(r.template, r.total_limit);
        END IF;
        steps := steps + 1;
    END LOOP;
    RETURN steps;
END
$$;

CREATE OR REPLACE PROCEDURE run_automations(as_of timestamptz DEFAULT now(), batch integer DEFAULT 1000, runs regclass DEFAULT 'automation_run'::regclass)
LANGUAGE plpgsql
AS $$
DECLARE
    path pg_catalog.text := crm.store_path(runs);
    n bigint;
    done bigint := 0;
BEGIN
    PERFORM pg_catalog.set_config('search_path', path, true);
    PERFORM start_automations(as_of);
    COMMIT;
    LOOP
        PERFORM pg_catalog.set_config('search_path', path, true);
        n := run_automations_batch(as_of, batch);
        done := done + n;
        IF n OPERATOR(pg_catalog.=) 0 THEN
            PERFORM job_done('run_automations', done);
        END IF;
        COMMIT;
        EXIT WHEN n OPERATOR(pg_catalog.=) 0;
    END LOOP;
END
$$;
