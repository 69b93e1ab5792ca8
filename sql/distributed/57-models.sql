-- What is fitted to all buyers: the parts give the buyers, the fit is the coordinator's.

CREATE OR REPLACE FUNCTION buyer_rfm_values(as_of timestamptz DEFAULT now())
RETURNS TABLE (customer_id bigint, recency integer, frequency bigint, monetary numeric)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT v.* FROM ask_parts(format('SELECT to_jsonb(r)::text FROM buyer_rfm_values(%L) r', buyer_rfm_values.as_of)) j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (customer_id bigint, recency integer, frequency bigint, monetary numeric);
END
$$;

CREATE OR REPLACE FUNCTION customer_rfm_at(as_of timestamptz DEFAULT now())
RETURNS TABLE (customer_id bigint, recency integer, frequency bigint, monetary numeric, rfm rfm, segment text)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT v.* FROM ask_parts(format('SELECT to_jsonb(r)::text FROM customer_rfm_at(%L) r', customer_rfm_at.as_of)) j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (customer_id bigint, recency integer, frequency bigint, monetary numeric, rfm rfm, segment text);
END
$$;

CREATE OR REPLACE FUNCTION refit_rfm(as_of timestamptz DEFAULT now()) RETURNS rfm_model
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    bins integer;
    method text;
    fitted rfm_model;
BEGIN
    SELECT s.rfm_bins, s.rfm_method INTO bins, method FROM settings s;
    fitted := (SELECT rfm_fit(b.recency, b.frequency, b.monetary, bins, method) FROM buyer_rfm_values(refit_rfm.as_of) b);
    IF fitted IS NOT NULL THEN
        INSERT INTO rfm_fit (as_of, model) VALUES (refit_rfm.as_of, fitted);
    END IF;
    RETURN fitted;
END
$$;

CREATE OR REPLACE FUNCTION buyer_history(as_of timestamptz DEFAULT now())
RETURNS TABLE (customer_id bigint, x bigint, t_x double precision, t double precision, mean double precision)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT v.* FROM ask_parts(format('SELECT to_jsonb(r)::text FROM buyer_history(%L) r', buyer_history.as_of)) j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (customer_id bigint, x bigint, t_x double precision, t double precision, mean double precision);
END
$$;

CREATE OR REPLACE FUNCTION customer_value(as_of timestamptz DEFAULT now())
RETURNS TABLE (customer_id bigint, x bigint, t_x double precision, t double precision, mean_value double precision,
               p_alive double precision, expected_orders_12m double precision, clv numeric)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT v.* FROM ask_parts(format('SELECT to_jsonb(r)::text FROM customer_value(%L) r', customer_value.as_of)) j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (customer_id bigint, x bigint, t_x double precision, t double precision, mean_value double precision,
                                                    p_alive double precision, expected_orders_12m double precision, clv numeric);
END
$$;

CREATE OR REPLACE FUNCTION refit_lifecycle(as_of timestamptz DEFAULT now())
RETURNS TABLE (gaps bigint, p50 integer, p90 integer, p97 integer)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    -- Each part counts its gaps by length, so that a percentile of all is the first length up to which so many lie.
    WITH gap AS MATERIALIZED (
        SELECT v.days, sum(v.n)::bigint AS n
        FROM ask_parts(format('SELECT to_jsonb(g)::text
                               FROM (SELECT d.days, count(*) AS n
                                     FROM (SELECT (p.order_at AT TIME ZONE s.time_zone)::date
                                                  - (lag(p.order_at) OVER (PARTITION BY p.customer_id ORDER BY p.order_at) AT TIME ZONE s.time_zone)::date AS days
                                           FROM purchase p CROSS JOIN settings s WHERE p.order_at <= %L) d
                                     WHERE d.days > 0 GROUP BY d.days) g', refit_lifecycle.as_of)) j
        CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (days integer, n bigint)
        GROUP BY v.days
    ), up_to AS (
        SELECT g.days, sum(g.n) OVER (ORDER BY g.days) AS n, sum(g.n) OVER () AS total FROM gap g
    )
    SELECT max(u.total)::bigint, min(u.days) FILTER (WHERE u.n >= 0.5 * u.total), min(u.days) FILTER (WHERE u.n >= 0.9 * u.total), min(u.days) FILTER (WHERE u.n >= 0.97 * u.total)
        INTO gaps, p50, p90, p97
    FROM up_to u;
    IF gaps > 0 THEN
        UPDATE settings SET gap_days_p50 = p50, gap_days_p90 = p90, gap_days_p97 = p97;
        RETURN NEXT;
    END IF;
END
$$;
