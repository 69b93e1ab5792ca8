-- Where in its life a customer is: from the dates of the orders alone, so that it is never stale.

ALTER TABLE settings
    ADD COLUMN lifecycle_by text NOT NULL DEFAULT 'days' CHECK (lifecycle_by IN ('days', 'gaps')),
    ADD COLUMN new_days integer NOT NULL DEFAULT 30 CHECK (new_days >= 0),
    ADD COLUMN active_days integer NOT NULL DEFAULT 90 CHECK (active_days > 0),
    ADD COLUMN dormant_days integer NOT NULL DEFAULT 180,
    ADD COLUMN at_risk_days integer NOT NULL DEFAULT 365,
    ADD COLUMN returned_days integer NOT NULL DEFAULT 90 CHECK (returned_days >= 0),
    ADD COLUMN gap_days_p50 integer CHECK (gap_days_p50 > 0),
    ADD COLUMN gap_days_p90 integer CHECK (gap_days_p90 >= gap_days_p50),
    ADD COLUMN gap_days_p97 integer CHECK (gap_days_p97 >= gap_days_p90),
    ADD CONSTRAINT settings_lifecycle CHECK (active_days < dormant_days AND dormant_days < at_risk_days);
COMMENT ON COLUMN settings.gap_days_p97 IS '97 % of the gaps between orders are shorter; set by refit_lifecycle';
COMMENT ON COLUMN settings.gap_days_p90 IS '90 % of the gaps between orders are shorter; set by refit_lifecycle';
COMMENT ON COLUMN settings.lifecycle_by IS 'limits of the life cycle: days (the settings active_days, dormant_days, at_risk_days) or gaps (those that refit_lifecycle finds in the shop''s own purchases)';
COMMENT ON COLUMN settings.new_days IS 'with one order, and that at most so many days ago, a customer is new';
COMMENT ON COLUMN settings.active_days IS 'last order at most so many days ago: active';
COMMENT ON COLUMN settings.dormant_days IS 'last order at most so many days ago: dormant';
COMMENT ON COLUMN settings.at_risk_days IS 'last order at most so many days ago: at_risk; beyond: churned';
COMMENT ON COLUMN settings.returned_days IS 'an order after a silence that was churn makes a customer returned for so many days';
COMMENT ON COLUMN settings.gap_days_p50 IS 'half of the repeat orders come within so many days; kept by refit_lifecycle';

CREATE VIEW lifecycle_limits AS
SELECT s.time_zone, s.new_days, s.returned_days,
       CASE WHEN s.lifecycle_by = 'gaps' AND s.gap_days_p97 IS NOT NULL THEN s.gap_days_p50 ELSE s.active_days END AS active_days,
       CASE WHEN s.lifecycle_by = 'gaps' AND s.gap_days_p97 IS NOT NULL THEN s.gap_days_p90 ELSE s.dormant_days END AS dormant_days,
       CASE WHEN s.lifecycle_by = 'gaps' AND s.gap_days_p97 IS NOT NULL THEN s.gap_days_p97 ELSE s.at_risk_days END AS at_risk_days
FROM settings s;
COMMENT ON VIEW lifecycle_limits IS 'the limits in force, in days since the last order';

CREATE FUNCTION refit_lifecycle(as_of timestamptz DEFAULT now())
RETURNS TABLE (gaps bigint, p50 integer, p90 integer, p97 integer)
LANGUAGE sql
BEGIN ATOMIC
    WITH gap AS (
        SELECT (p.order_at AT TIME ZONE s.time_zone)::date
               - (lag(p.order_at) OVER (PARTITION BY p.customer_id ORDER BY p.order_at) AT TIME ZONE s.time_zone)::date AS days
        FROM purchase p CROSS JOIN settings s
        WHERE p.order_at <= refit_lifecycle.as_of
    ), found AS (
        SELECT count(*) AS gaps, percentile_disc(ARRAY[0.5, 0.9, 0.97]) WITHIN GROUP (ORDER BY g.days) AS p
        FROM gap g WHERE g.days > 0
    )
    UPDATE settings SET gap_days_p50 = f.p[1], gap_days_p90 = f.p[2], gap_days_p97 = f.p[3]
    FROM found f WHERE f.gaps > 0
    RETURNING f.gaps, f.p[1], f.p[2], f.p[3];
END;
COMMENT ON FUNCTION refit_lifecycle(timestamptz) IS
'finds the gaps in days between the shop''s orders of the same customer and keeps their 50th, 90th and 97th percentile in settings; they are in force when settings.lifecycle_by is gaps. No row when nobody has ordered twice';

CREATE FUNCTION lifecycle_stage(order_count bigint, first_order_at timestamptz, last_order_at timestamptz, previous_order_at timestamptz,
                                as_of timestamptz, time_zone text, new_days integer, active_days integer, dormant_days integer,
                                at_risk_days integer, returned_days integer)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN last_order_at IS NULL OR order_count = 0 THEN 'prospect'
    WHEN (as_of AT TIME ZONE time_zone)::date - (last_order_at AT TIME ZONE time_zone)::date > at_risk_days THEN 'churned'
    WHEN (last_order_at AT TIME ZONE time_zone)::date - (previous_order_at AT TIME ZONE time_zone)::date > at_risk_days
         AND (as_of AT TIME ZONE time_zone)::date - (last_order_at AT TIME ZONE time_zone)::date <= returned_days THEN 'returned'
    WHEN order_count = 1 AND (as_of AT TIME ZONE time_zone)::date - (first_order_at AT TIME ZONE time_zone)::date <= new_days THEN 'new'
    WHEN (as_of AT TIME ZONE time_zone)::date - (last_order_at AT TIME ZONE time_zone)::date <= active_days THEN 'active'
    WHEN (as_of AT TIME ZONE time_zone)::date - (last_order_at AT TIME ZONE time_zone)::date <= dormant_days THEN 'dormant'
    ELSE 'at_risk'
END;
COMMENT ON FUNCTION lifecycle_stage(bigint, timestamptz, timestamptz, timestamptz, timestamptz, text, integer, integer, integer, integer, integer) IS
'prospect, new, active, dormant, at_risk, churned or returned, by whole days of the time zone; previous_order_at is the order before the last, null when there is none';

CREATE FUNCTION customer_orders_at(as_of timestamptz DEFAULT now())
RETURNS TABLE (customer_id bigint, order_count bigint, spend_total numeric, refunded_total numeric, discount_total numeric, cost_total numeric,
               first_order_at timestamptz, last_order_at timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- The summary is true from the last order on; before, the orders are counted.
    SELECT s.customer_id,
           CASE WHEN s.last_order_at > customer_orders_at.as_of THEN coalesce(p.order_count, 0) ELSE s.order_count END,
           CASE WHEN s.last_order_at > customer_orders_at.as_of THEN coalesce(p.spend_total, 0) ELSE s.spend_total END,
           CASE WHEN s.last_order_at > customer_orders_at.as_of THEN coalesce(p.refunded_total, 0) ELSE s.refunded_total END,
           CASE WHEN s.last_order_at > customer_orders_at.as_of THEN coalesce(p.discount_total, 0) ELSE s.discount_total END,
           CASE WHEN s.last_order_at > customer_orders_at.as_of THEN coalesce(p.cost_total, 0) ELSE s.cost_total END,
           CASE WHEN s.first_order_at <= customer_orders_at.as_of THEN s.first_order_at END,
           CASE WHEN s.last_order_at > customer_orders_at.as_of THEN p.last_order_at ELSE s.last_order_at END
    FROM customer_summary s
    LEFT JOIN LATERAL (SELECT count(*) AS order_count, sum(p.net) AS spend_total, sum(p.amount - p.net) AS refunded_total,
                              sum(p.discount) AS discount_total, sum(p.cost) AS cost_total, max(p.order_at) AS last_order_at
                       FROM purchase p
                       WHERE p.customer_id = s.customer_id AND p.order_at <= customer_orders_at.as_of
                         AND s.last_order_at > customer_orders_at.as_of) p ON true;
END;
COMMENT ON FUNCTION customer_orders_at(timestamptz) IS 'what customer_summary said at a moment, refunds as known today';

CREATE FUNCTION customer_lifecycle_at(as_of timestamptz DEFAULT now())
RETURNS TABLE (customer_id bigint, lifecycle text)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT o.customer_id,
           lifecycle_stage(o.order_count, o.first_order_at, o.last_order_at,
                           -- Who has not ordered for longer than one counts as returned, by whole days in any time zone, needs no order before.
                           CASE WHEN o.order_count > 1 AND o.last_order_at > customer_lifecycle_at.as_of - make_interval(days => l.returned_days + 2)
                                     AND o.last_order_at - o.first_order_at > make_interval(days => l.at_risk_days)
                                THEN (SELECT max(p.order_at) FILTER (WHERE p.order_at < o.last_order_at) FROM purchase p WHERE p.customer_id = o.customer_id) END,
                           customer_lifecycle_at.as_of, l.time_zone, l.new_days, l.active_days, l.dormant_days, l.at_risk_days, l.returned_days)
    FROM customer_orders_at(customer_lifecycle_at.as_of) o CROSS JOIN lifecycle_limits l;
END;
COMMENT ON FUNCTION customer_lifecycle_at(timestamptz) IS 'stage of each customer at a moment: prospect, new, active, dormant, at_risk, churned, returned';

CREATE TABLE lifecycle_state (
    customer_id bigint PRIMARY KEY REFERENCES customer ON DELETE CASCADE,
    lifecycle text NOT NULL,
    since timestamptz NOT NULL
);
COMMENT ON TABLE lifecycle_state IS 'the stage that lifecycle_change last recorded';

CREATE TABLE lifecycle_change (
    customer_id bigint NOT NULL REFERENCES customer ON DELETE CASCADE,
    at timestamptz NOT NULL,
    from_stage text,
    to_stage text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (customer_id, at, to_stage)
);
COMMENT ON TABLE lifecycle_change IS 'when customers passed from stage to stage; written by record_lifecycle';
COMMENT ON COLUMN lifecycle_change.at IS 'when the limit was passed: the order, or 00:00 in the store''s time zone of the day on which the silence became too long';

CREATE FUNCTION lifecycle_since(stage text, before text, joined_at timestamptz, first_order_at timestamptz, last_order_at timestamptz, as_of timestamptz)
RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE lifecycle_since.stage
               WHEN 'prospect' THEN least(lifecycle_since.joined_at, lifecycle_since.as_of)
               WHEN 'new' THEN lifecycle_since.first_order_at
               WHEN 'returned' THEN lifecycle_since.last_order_at
               WHEN 'active' THEN CASE
                   WHEN lifecycle_since.before = 'returned'
                       THEN ((lifecycle_since.last_order_at AT TIME ZONE l.time_zone)::date + l.returned_days + 1)::timestamp AT TIME ZONE l.time_zone
                   WHEN lifecycle_since.first_order_at = lifecycle_since.last_order_at
                       THEN ((lifecycle_since.first_order_at AT TIME ZONE l.time_zone)::date + l.new_days + 1)::timestamp AT TIME ZONE l.time_zone
                   ELSE lifecycle_since.last_order_at END
               ELSE ((lifecycle_since.last_order_at AT TIME ZONE l.time_zone)::date
                     + CASE lifecycle_since.stage WHEN 'dormant' THEN l.active_days WHEN 'at_risk' THEN l.dormant_days ELSE l.at_risk_days END
                     + 1)::timestamp AT TIME ZONE l.time_zone
           END
    FROM lifecycle_limits l;
END;
COMMENT ON FUNCTION lifecycle_since(text, text, timestamptz, timestamptz, timestamptz, timestamptz) IS 'when a customer came into a stage, by the dates of the orders';

CREATE FUNCTION record_lifecycle_batch(after_id bigint, as_of timestamptz, batch integer) RETURNS TABLE (last_id bigint, changed bigint)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET jit = off
AS $$
BEGIN
    SELECT max(b.customer_id) INTO last_id
    FROM (SELECT c.customer_id FROM customer c WHERE c.customer_id > after_id ORDER BY c.customer_id LIMIT batch) b;
    IF last_id IS NULL THEN
        RETURN;
    END IF;
    WITH stage AS (
        SELECT v.customer_id, v.lifecycle, p.lifecycle AS before,
               greatest(lifecycle_since(v.lifecycle, p.lifecycle, c.joined_at, o.first_order_at, o.last_order_at, record_lifecycle_batch.as_of), p.since) AS at
        FROM customer_lifecycle_at(record_lifecycle_batch.as_of) v
        JOIN customer c ON c.customer_id = v.customer_id
        JOIN customer_orders_at(record_lifecycle_batch.as_of) o ON o.customer_id = v.customer_id
        LEFT JOIN lifecycle_state p ON p.customer_id = v.customer_id
        WHERE v.customer_id > after_id AND v.customer_id <= record_lifecycle_batch.last_id AND v.lifecycle IS DISTINCT FROM p.lifecycle
    ), state AS (
        INSERT INTO lifecycle_state AS s (customer_id, lifecycle, since)
        SELECT g.customer_id, g.lifecycle, g.at FROM stage g ORDER BY g.customer_id
        ON CONFLICT ON CONSTRAINT lifecycle_state_pkey DO UPDATE SET lifecycle = EXCLUDED.lifecycle, since = EXCLUDED.since
        RETURNING 1
    ), history AS (
        INSERT INTO lifecycle_change (customer_id, at, from_stage, to_stage)
        SELECT g.customer_id, g.at, g.before, g.lifecycle FROM stage g
        ON CONFLICT DO NOTHING
        RETURNING 1
    )
    SELECT count(*) INTO changed FROM history;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION record_lifecycle_batch(bigint, timestamptz, integer) IS 'a batch of record_lifecycle: the customers after an id; no row when there are none';

CREATE PROCEDURE record_lifecycle(as_of timestamptz DEFAULT now(), batch integer DEFAULT 1000000, store_settings regclass DEFAULT 'settings'::regclass)
LANGUAGE plpgsql
AS $$
DECLARE
    -- A procedure that commits cannot pin its search_path: it names its store by the default of its last parameter.
    store pg_catalog.text := (SELECT c.relnamespace::pg_catalog.regnamespace::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) store_settings);
    after_id bigint := '-9223372036854775808';
    until_id bigint;
    done bigint := 0;
    b pg_catalog.record;
    progress pg_catalog.text := pg_catalog.format($job$INSERT INTO %s.job_progress AS j (job, state, done, cursor) VALUES ('record_lifecycle', $1, $2, pg_catalog.to_jsonb($3))
        ON CONFLICT (job) DO UPDATE SET state = excluded.state, done = excluded.done, cursor = excluded.cursor, updated_at = excluded.updated_at$job$, store);
BEGIN
    -- Who comes while it runs is for the next run.
    EXECUTE pg_catalog.format('SELECT pg_catalog.max(customer_id) FROM %s.customer', store) INTO until_id;
    LOOP
        EXECUTE pg_catalog.format('SELECT * FROM %s.record_lifecycle_batch($1, $2, $3)', store) INTO b USING after_id, as_of, batch;
        EXIT WHEN b.last_id IS NULL;
        after_id := b.last_id;
        done := done OPERATOR(pg_catalog.+) b.changed;
        EXECUTE progress USING 'running'::pg_catalog.text, done, after_id;
        COMMIT;
        EXIT WHEN after_id OPERATOR(pg_catalog.>=) until_id;
    END LOOP;
    EXECUTE progress USING 'done'::pg_catalog.text, done, NULL::pg_catalog.int8;
    COMMIT;
END
$$;
COMMENT ON PROCEDURE record_lifecycle(timestamptz, integer, regclass) IS
'writes lifecycle_change for every customer whose stage at as_of is another than the one last recorded, dated when the limit was passed. Commits by batch; running it again adds nothing';

CREATE VIEW lifecycle_transitions AS
SELECT c.from_stage, c.to_stage, count(*) AS customers,
       round(count(*) / sum(count(*)) OVER (PARTITION BY c.from_stage), 4) AS share,
       min(c.at) AS first_at, max(c.at) AS last_at
FROM lifecycle_change c
GROUP BY c.from_stage, c.to_stage;
COMMENT ON VIEW lifecycle_transitions IS 'transition matrix: how often customers passed from a stage to another, and the share of the passages out of that stage; from_stage is null for the first record of a customer';

CREATE FUNCTION lifecycle_matrix(since timestamptz, until timestamptz DEFAULT now())
RETURNS TABLE (from_stage text, to_stage text, customers bigint, share numeric)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT a.lifecycle, b.lifecycle, count(*), round(count(*) / sum(count(*)) OVER (PARTITION BY a.lifecycle), 4)
    FROM customer_lifecycle_at(lifecycle_matrix.since) a
    JOIN customer_lifecycle_at(lifecycle_matrix.until) b ON b.customer_id = a.customer_id
    GROUP BY a.lifecycle, b.lifecycle
    ORDER BY 1, 2;
END;
COMMENT ON FUNCTION lifecycle_matrix(timestamptz, timestamptz) IS 'transition matrix between two moments, from the orders alone: where the customers of each stage are later';

-- What the columns without a word above are.
COMMENT ON COLUMN lifecycle_state.customer_id IS 'the customer';
COMMENT ON COLUMN lifecycle_state.lifecycle IS 'the stage';
COMMENT ON COLUMN lifecycle_state.since IS 'from when';
COMMENT ON COLUMN lifecycle_change.customer_id IS 'the customer';
COMMENT ON COLUMN lifecycle_change.from_stage IS 'the stage before; null: none was recorded';
COMMENT ON COLUMN lifecycle_change.to_stage IS 'the stage from then on';
COMMENT ON COLUMN lifecycle_change.recorded_at IS 'when the job wrote it';
