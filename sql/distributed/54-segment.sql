-- Segments and what ranks all customers: each part answers for its customers.

CREATE OR REPLACE FUNCTION value_ranking(as_of timestamptz DEFAULT now())
RETURNS TABLE (customer_id bigint, rank bigint, buyers bigint, spend_12m numeric, orders_12m bigint, margin_total numeric, cumulated_share numeric)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT v.customer_id, row_number() OVER w, count(*) OVER (), v.spend_12m, v.orders_12m, v.margin_total,
           round(sum(v.spend_12m) OVER w / nullif(sum(v.spend_12m) OVER (), 0), 4)
    FROM ask_parts(format('SELECT to_jsonb(r)::text FROM value_ranking(%L) r', value_ranking.as_of)) j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (customer_id bigint, spend_12m numeric, orders_12m bigint, margin_total numeric)
    WINDOW w AS (ORDER BY v.spend_12m DESC, v.orders_12m DESC, v.margin_total DESC, v.customer_id);
END
$$;

CREATE OR REPLACE FUNCTION value_limits_at(as_of timestamptz) RETURNS value_fit
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    s settings;
    found value_fit;
BEGIN
    SELECT * INTO s FROM settings;
    WITH r AS MATERIALIZED (SELECT * FROM value_ranking(value_limits_at.as_of))
    SELECT NULL::bigint, value_limits_at.as_of, h.buyers, h.rank, h.spend_12m, h.orders_12m, h.margin_total, h.customer_id,
           m.spend_12m, m.orders_12m, m.margin_total, m.customer_id, h.cumulated_share INTO found
    FROM r h JOIN r m ON m.rank = ceil(s.value_middle_share * m.buyers)
    WHERE h.rank = ceil(s.value_high_share * h.buyers);
    RETURN CASE WHEN found.buyers IS NOT NULL THEN found END;
END
$$;

CREATE OR REPLACE FUNCTION refit_value_classes(as_of timestamptz DEFAULT now()) RETURNS value_fit
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    l value_fit := value_limits_at(refit_value_classes.as_of);
BEGIN
    IF l.buyers IS NOT NULL THEN
        INSERT INTO value_fit (as_of, buyers, high_buyers, high_spend, high_orders, high_margin, high_customer_id,
                               middle_spend, middle_orders, middle_margin, middle_customer_id, high_revenue_share)
        VALUES (l.as_of, l.buyers, l.high_buyers, l.high_spend, l.high_orders, l.high_margin, l.high_customer_id,
                l.middle_spend, l.middle_orders, l.middle_margin, l.middle_customer_id, l.high_revenue_share)
        RETURNING value_fit.* INTO l;
    END IF;
    RETURN l;
END
$$;

CREATE FUNCTION limits_given(as_of timestamptz) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    -- The fit in force answers for this moment.
    IF as_of = now() THEN
        RETURN NULL;
    END IF;
    RETURN value_limits_at(as_of)::text;
END
$$;
REVOKE EXECUTE ON FUNCTION limits_given(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION limits_given(timestamptz) IS 'the limits of the value classes that a question about a moment takes to the parts';

CREATE OR REPLACE FUNCTION customer_360_at(as_of timestamptz) RETURNS SETOF customer_360
LANGUAGE plpgsql STABLE ROWS 100000
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT (t.r).*
    FROM (SELECT a::customer_360 AS r
          FROM ask_parts(format('SELECT v::text FROM %s v', CASE WHEN as_of = now() THEN 'customer_360_all' ELSE format('customer_360_at(%L)', as_of) END),
                         limits_given(as_of)) a OFFSET 0) t;
END
$$;

CREATE OR REPLACE FUNCTION customer_360_of(customer_id bigint) RETURNS SETOF customer_360
LANGUAGE plpgsql STABLE ROWS 1
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY SELECT v.* FROM customer_360 v WHERE v.customer_id = customer_360_of.customer_id;
END
$$;

-- A moment that is now is now in each part.
CREATE FUNCTION moment_sql(as_of timestamptz) RETURNS text
LANGUAGE sql STABLE
RETURN CASE WHEN as_of = now() THEN 'now()' ELSE quote_literal(as_of) || '::timestamptz' END;
COMMENT ON FUNCTION moment_sql(timestamptz) IS 'SQL of a moment as a part is asked about it';

CREATE OR REPLACE FUNCTION segment_members(segment text, as_of timestamptz DEFAULT now()) RETURNS audience
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    found audience;
BEGIN
    SELECT t.members INTO found FROM segment t WHERE t.segment = segment_members.segment AND t.frozen_at IS NOT NULL;
    IF found IS NULL THEN
        PERFORM segment_sql(segment, as_of);
        SELECT audience_or_agg(a::audience) INTO found
        FROM ask_parts(format('SELECT segment_members(%L, %s)::text', segment, moment_sql(as_of)), limits_given(as_of)) a;
    END IF;
    RETURN coalesce(found, audience('{}'::bigint[]));
END
$$;

CREATE OR REPLACE FUNCTION segment_size(segment text, as_of timestamptz DEFAULT now(), estimate boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    IF NOT estimate OR EXISTS (SELECT FROM segment t WHERE t.segment = segment_size.segment AND t.frozen_at IS NOT NULL) THEN
        RETURN cardinality(segment_members(segment, as_of));
    END IF;
    PERFORM segment_sql(segment, as_of);
    RETURN (SELECT sum(a::bigint) FROM ask_parts(format('SELECT segment_size(%L, %s, true)::text', segment, moment_sql(as_of)), limits_given(as_of)) a);
END
$$;

CREATE OR REPLACE FUNCTION segment_difference(segment text, since timestamptz, until timestamptz DEFAULT now(), OUT came audience, OUT went audience, OUT stayed audience)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    a audience := segment_members(segment, since);
    b audience := segment_members(segment, until);
BEGIN
    came := b - a;
    went := a - b;
    stayed := a & b;
END
$$;

CREATE OR REPLACE FUNCTION freeze_segment(segment text, as_of timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    who audience;
BEGIN
    PERFORM FROM segment t WHERE t.segment = freeze_segment.segment AND t.frozen_at IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    who := segment_members(segment, as_of);
    UPDATE segment t SET members = who, frozen_at = freeze_segment.as_of WHERE t.segment = freeze_segment.segment AND t.frozen_at IS NULL;
    RETURN cardinality(who);
END
$$;

CREATE OR REPLACE PROCEDURE apply_tag_rules(as_of timestamptz DEFAULT now(), batch integer DEFAULT 50000, store_settings regclass DEFAULT 'settings'::regclass)
LANGUAGE plpgsql
AS $$
DECLARE
    path pg_catalog.text := crm.store_path(store_settings);
    place pg_catalog.int8;
    given pg_catalog.text;
    moment pg_catalog.text;
    after_id bigint;
    done bigint := 0;
    changed bigint;
    n integer;
    b pg_catalog.record;
BEGIN
    PERFORM pg_catalog.set_config('search_path', path, true);
    moment := moment_sql(as_of);
    given := limits_given(as_of);
    FOR place IN SELECT k.part FROM part_key k ORDER BY k.part LOOP
        after_id := '-9223372036854775808';
        LOOP
            PERFORM pg_catalog.set_config('search_path', path, true);
            SELECT j.* INTO b
            FROM ask_part(place, format('SELECT to_jsonb(r)::text FROM apply_tag_rules_batch(%s, %L, 1000000, %L) r', moment, after_id, batch), given, true) a
            CROSS JOIN LATERAL jsonb_to_record(a::jsonb) j (last_id bigint, changed bigint, ids bigint[], which text[], holds boolean[], seen pg_snapshot);
            EXIT WHEN b.last_id IS NULL;
            done := done + b.changed;
            n := 0;
            WHILE n < cardinality(b.ids) LOOP
                SELECT a::bigint INTO changed
                FROM ask_part(place, format('SELECT set_rule_tags(%L, %L, %L, %s, %L)::text', b.ids[n + 1 : n + batch], b.which[n + 1 : n + batch],
                                            b.holds[n + 1 : n + batch], moment, b.seen), given, true) a;
                done := done + changed;
                n := n + batch;
                COMMIT;
                PERFORM pg_catalog.set_config('search_path', path, true);
            END LOOP;
            after_id := b.last_id;
            COMMIT;
            PERFORM pg_catalog.set_config('search_path', path, true);
        END LOOP;
        LOOP
            SELECT a::bigint INTO changed FROM ask_part(place, format('SELECT forget_rule_tags(%L)::text', batch), NULL, true) a;
            COMMIT;
            PERFORM pg_catalog.set_config('search_path', path, true);
            EXIT WHEN changed = 0;
        END LOOP;
    END LOOP;
    PERFORM job_done('apply_tag_rules', done);
    COMMIT;
END
$$;

-- Before the first fit there are no limits: the parts do not rank each other's customers.
CREATE OR REPLACE FUNCTION value_limits_now() RETURNS value_fit
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN NULL;
END
$$;
DO $do$
BEGIN
    CREATE OR REPLACE VIEW value_limits AS
    SELECT l.* FROM value_fit l WHERE l.value_fit_id = (SELECT f.value_fit_id FROM value_fit f ORDER BY f.as_of DESC, f.value_fit_id DESC LIMIT 1);
    -- By a function that gives columns: Citus would go in a circle from one that gives rows of a view.
    EXECUTE (SELECT format($f$
                 CREATE FUNCTION customer_360_all_rows() RETURNS TABLE (%s)
                 LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100000
                 SET search_path FROM CURRENT
                 AS $$
                 BEGIN
                     RETURN QUERY SELECT c.* FROM customer_360_at(now()) c;
                 END
                 $$;
                 REVOKE EXECUTE ON FUNCTION customer_360_all_rows() FROM PUBLIC;
                 COMMENT ON FUNCTION customer_360_all_rows() IS 'the rows of customer_360 of all parts, a query a part';
                 CREATE OR REPLACE VIEW customer_360_all AS SELECT %s FROM customer_360_all_rows() r;
             $f$, string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum),
                  string_agg(format('r.%I%s', a.attname, CASE WHEN a.attcollation <> y.typcollation THEN ' COLLATE ' || a.attcollation::regcollation END), ', ' ORDER BY a.attnum))
             FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type y ON y.oid = a.atttypid WHERE a.attrelid = 'customer_360_all'::regclass AND a.attnum > 0);
    PERFORM grant_as_view('customer_360_all', 'customer_360_all_rows()');
END
$do$;
