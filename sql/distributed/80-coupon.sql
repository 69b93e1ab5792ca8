-- Coupons are found by their codes in all parts, and used in that of their customer; campaigns are put together from what the parts answer.

CREATE FUNCTION ask_coupon(code text, query text) RETURNS coupon
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    holder bigint := (SELECT k.customer_id FROM coupon k WHERE k.code = crm.coupon_code_canonical(ask_coupon.code));
BEGIN
    IF holder IS NULL THEN
        RAISE EXCEPTION 'there is no such coupon' USING ERRCODE = 'CM006', HINT = 'The code is mistyped or was never issued.';
    END IF;
    RETURN (SELECT a::coupon FROM ask_part(part_of(holder), query, NULL, true) a);
END
$$;
REVOKE EXECUTE ON FUNCTION ask_coupon(text, text) FROM PUBLIC;
COMMENT ON FUNCTION ask_coupon(text, text) IS 'runs a query that gives a coupon in the part of the customer who has the coupon of this code. Error: CM006';

CREATE OR REPLACE FUNCTION issue_coupon(customer_id bigint, template text, reference text, as_of timestamptz DEFAULT now()) RETURNS coupon
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    known boolean;
    stock bigint := (SELECT t.total_limit FROM coupon_template t WHERE t.template = issue_coupon.template);
    result coupon;
BEGIN
    PERFORM FROM customer c WHERE c.customer_id = issue_coupon.customer_id FOR NO KEY UPDATE;
    known := EXISTS (SELECT 1 FROM coupon c WHERE c.customer_id = issue_coupon.customer_id AND c.template = issue_coupon.template AND c.reference = issue_coupon.reference);
    result := (SELECT a::coupon FROM ask_part(part_of(issue_coupon.customer_id),
                                              format('SELECT r::text FROM issue_coupon(%L, %L, %L, %L) r', customer_id, template, reference, as_of), 'stock', true) a);
    -- The stock is the same on every node, so it is taken here.
    IF NOT known AND stock IS NOT NULL AND NOT take_coupon_stock(template, stock) THEN
        RAISE EXCEPTION 'coupon "%" is out of stock', issue_coupon.template USING ERRCODE = 'CM005', HINT = format('%s were issued in all.', stock);
    END IF;
    RETURN result;
END
$$;

CREATE OR REPLACE FUNCTION lock_coupon(code text, order_channel text, order_no text, amount numeric, freight numeric DEFAULT 0,
                                       lease interval DEFAULT '30 minutes', as_of timestamptz DEFAULT now())
RETURNS coupon
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN ask_coupon(code, format('SELECT r::text FROM lock_coupon(%L, %L, %L, %L, %L, %L, %L) r', code, order_channel, order_no, amount, freight, lease, as_of));
END
$$;

CREATE OR REPLACE FUNCTION redeem_coupon(code text, order_channel text, order_no text, as_of timestamptz DEFAULT now()) RETURNS coupon
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN ask_coupon(code, format('SELECT r::text FROM redeem_coupon(%L, %L, %L, %L) r', code, order_channel, order_no, as_of));
END
$$;

CREATE OR REPLACE FUNCTION return_coupon(code text, as_of timestamptz DEFAULT now()) RETURNS coupon
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN ask_coupon(code, format('SELECT r::text FROM return_coupon(%L, %L) r', code, as_of));
END
$$;

CREATE OR REPLACE FUNCTION expire_coupons(as_of timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN (SELECT sum(a::bigint) FROM ask_parts(format('SELECT expire_coupons(%L)::text', as_of), NULL, true) a);
END
$$;

CREATE OR REPLACE FUNCTION contactable(channel text, purpose text, as_of timestamptz DEFAULT now()) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100000
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY SELECT members(a::audience) FROM ask_parts(format('SELECT audience_agg(c)::text FROM contactable(%L, %L, %s) c', channel, purpose, moment_sql(as_of))) a WHERE a IS NOT NULL;
END
$$;

CREATE OR REPLACE FUNCTION campaign_audience(campaign text, as_of timestamptz DEFAULT now()) RETURNS audience
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    -- One connection a node: who asks will write to tables of every node.
    PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
    RETURN (SELECT audience_or_agg(a::audience) FROM ask_parts(format('SELECT campaign_audience(%L, %s)::text', campaign, moment_sql(as_of)), limits_given(as_of)) a);
END
$$;

CREATE OR REPLACE FUNCTION campaign_capped(campaign campaign, as_of timestamptz) RETURNS audience
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    -- One connection a node: who asks will write to tables of every node.
    PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
    RETURN (SELECT audience_or_agg(a::audience) FROM ask_parts(format('SELECT campaign_capped(%L, %L)::text', campaign, as_of)) a);
END
$$;

CREATE OR REPLACE FUNCTION campaign_counts(campaign text, as_of timestamptz)
RETURNS TABLE (held_out boolean, variant text, customers bigint, delivered bigint, opened bigint, ordered bigint, revenue numeric)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    -- Every part knows all who were held out, and the orders of its own customers.
    RETURN QUERY
    SELECT v.held_out, v.variant, CASE WHEN v.held_out THEN max(v.customers) ELSE sum(v.customers) END::bigint,
           sum(v.delivered)::bigint, sum(v.opened)::bigint, sum(v.ordered)::bigint, sum(v.revenue)
    FROM ask_parts(format('SELECT to_jsonb(n)::text FROM campaign_counts(%L, %L) n', campaign, as_of)) j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (held_out boolean, variant text, customers bigint, delivered bigint, opened bigint, ordered bigint, revenue numeric)
    GROUP BY v.held_out, v.variant;
END
$$;

CREATE OR REPLACE FUNCTION write_campaign(c campaign, late audience, due timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    v campaign_variant;
    those audience;
    written bigint := 0;
BEGIN
    FOR v IN SELECT k.* FROM campaign_variant k WHERE k.campaign = (c).campaign ORDER BY k.variant LOOP
        those := v.members - late;
        v.members := NULL;
        c.target := NULL;
        c.held_out := NULL;
        written := written + (SELECT sum(a::bigint) FROM ask_parts(format('SELECT write_variant(%L, %L, %L, %L)::text', c, v, those, due), NULL, true) a);
    END LOOP;
    RETURN written;
END
$$;
