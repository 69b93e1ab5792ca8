-- Membership tiers: how they are earned, kept and lost, and what they give.

ALTER TABLE settings
    ADD COLUMN tier_period text NOT NULL DEFAULT 'upgrade' CHECK (tier_period IN ('upgrade', 'calendar')),
    ADD COLUMN tier_period_months integer NOT NULL DEFAULT 12 CHECK (tier_period_months BETWEEN 1 AND 120),
    ADD COLUMN tier_window text NOT NULL DEFAULT 'rolling' CHECK (tier_window IN ('rolling', 'calendar', 'anniversary', 'lifetime')),
    ADD COLUMN tier_window_months integer NOT NULL DEFAULT 12 CHECK (tier_window_months BETWEEN 1 AND 120),
    ADD COLUMN tier_downgrade text NOT NULL DEFAULT 'to_match' CHECK (tier_downgrade IN ('none', 'one_step', 'to_match', 'to_base')),
    ADD COLUMN tier_grace_days integer NOT NULL DEFAULT 0 CHECK (tier_grace_days BETWEEN 0 AND 366),
    ADD COLUMN tier_warning_days integer NOT NULL DEFAULT 30 CHECK (tier_warning_days BETWEEN 0 AND 366),
    ADD COLUMN reduction_on text NOT NULL DEFAULT 'discounted' CHECK (reduction_on IN ('discounted', 'list')),
    ADD COLUMN platform_tag text NOT NULL DEFAULT '88vip',
    ADD COLUMN platform_discount numeric(5,4) NOT NULL DEFAULT 0.95 CHECK (platform_discount > 0 AND platform_discount <= 1),
    ADD COLUMN platform_stacking boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN settings.tier_window_months IS 'length of the window of spend_window and orders_window';
COMMENT ON COLUMN settings.tier_period_months IS 'length of a cycle';
COMMENT ON COLUMN settings.tier_period IS 'when a tier is judged again: tier_period_months after the shop day of the upgrade, or at the end of the calendar year';
COMMENT ON COLUMN settings.tier_window IS 'what spend_window and orders_window count: the last tier_window_months, this calendar year, since the last anniversary of joining, or all';
COMMENT ON COLUMN settings.tier_downgrade IS 'who does not reach keep falls: not, one step, to the tier whose keep is reached, or to the lowest';
COMMENT ON COLUMN settings.tier_grace_days IS 'days after the end of a cycle in which keep can still be reached';
COMMENT ON COLUMN settings.tier_warning_days IS 'tier_warning lists members so many days before the end of their cycle';
COMMENT ON COLUMN settings.reduction_on IS 'amount that the threshold of a full reduction is compared with: after the tier''s discount, or the list amount';
COMMENT ON COLUMN settings.platform_tag IS 'tag of the platform''s paying members, whose discount is platform_discount';
COMMENT ON COLUMN settings.platform_stacking IS 'the platform''s discount counts beside the tier''s; else the better of the two';

CREATE TABLE tier (
    tier text PRIMARY KEY CHECK (tier ~ '^[a-z][a-z0-9_]{0,30}$'),
    seq integer NOT NULL UNIQUE DEFERRABLE INITIALLY IMMEDIATE,
    name_zh text,
    name_en text,
    qualify rule,
    keep rule,
    code text GENERATED ALWAYS AS (tier) STORED
);
COMMENT ON TABLE tier IS 'the ladder of tiers. The lowest seq is what everybody has; tiers without qualify are only granted';
COMMENT ON COLUMN tier.tier IS 'its code';
COMMENT ON COLUMN tier.seq IS 'order of the ladder';
COMMENT ON COLUMN tier.name_zh IS 'name in Chinese';
COMMENT ON COLUMN tier.name_en IS 'name in English';
COMMENT ON COLUMN tier.qualify IS 'who rises to it. Of conditions joined by OR, one on spend_total or order_count alone lifts only by the order that crosses it, or who never had the tier';
COMMENT ON COLUMN tier.keep IS 'who stays at the end of a cycle; null: everybody';
COMMENT ON COLUMN tier.code IS 'the same as tier: ordinary, silver, gold, diamond in the textbook''s ladder';

CREATE TABLE tier_benefit (
    tier text NOT NULL REFERENCES tier ON UPDATE CASCADE ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('discount', 'full_reduction', 'return_days', 'birthday_multiplier', 'points_multiplier', 'free_shipping',
                                       'free_pickup', 'priority_dispatch', 'service_agent', 'free_repair', 'trial', 'members_sale', 'custom_service')),
    value numeric NOT NULL DEFAULT 1,
    threshold numeric NOT NULL DEFAULT 0 CHECK (threshold >= 0),
    quota integer CHECK (quota > 0),
    period text NOT NULL DEFAULT 'year' CHECK (period IN ('day', 'month', 'year', 'cycle', 'lifetime')),
    PRIMARY KEY (tier, kind, threshold),
    CONSTRAINT tier_benefit_value CHECK (CASE kind WHEN 'discount' THEN value > 0 AND value <= 1
                                                   WHEN 'full_reduction' THEN value > 0 AND value <= threshold
                                                   WHEN 'return_days' THEN value >= 0 AND value = trunc(value)
                                                   WHEN 'birthday_multiplier' THEN value >= 1
                                                   WHEN 'points_multiplier' THEN value >= 1
                                                   ELSE value = 1 END)
);
COMMENT ON TABLE tier_benefit IS 'what a tier gives: a closed list of kinds';
COMMENT ON COLUMN tier_benefit.value IS 'discount: what is left to pay, such as 0.95; full_reduction: money off; return_days: days; multipliers: times the points; else 1';
COMMENT ON COLUMN tier_benefit.threshold IS 'amount from which it holds';
COMMENT ON COLUMN tier_benefit.quota IS 'uses in each period; null: no limit';

CREATE TABLE tier_member (
    customer_id bigint PRIMARY KEY REFERENCES customer ON DELETE CASCADE,
    tier text NOT NULL REFERENCES tier ON UPDATE CASCADE,
    since timestamptz NOT NULL,
    basis text NOT NULL CHECK (basis IN ('earned', 'granted', 'paid')),
    period_end timestamptz,
    judged_at timestamptz,
    lock_until timestamptz,
    peak integer NOT NULL DEFAULT 0,
    last_change integer NOT NULL DEFAULT 0,
    rests_on integer
) WITH (fillfactor = 90);
CREATE INDEX tier_member_judged ON tier_member (judged_at);
COMMENT ON TABLE tier_member IS 'customers that have, or had, more than the lowest tier';
COMMENT ON COLUMN tier_member.tier IS 'tier now';
COMMENT ON COLUMN tier_member.since IS 'since when';
COMMENT ON COLUMN tier_member.basis IS 'earned, granted or paid';
COMMENT ON COLUMN tier_member.period_end IS 'end of the cycle, exclusive; null: never judged again';
COMMENT ON COLUMN tier_member.judged_at IS 'when it is judged next: period_end, or later by grace and lock';
COMMENT ON COLUMN tier_member.lock_until IS 'no downgrade before this moment';
COMMENT ON COLUMN tier_member.peak IS 'highest seq ever reached';
COMMENT ON COLUMN tier_member.rests_on IS 'the upgrade inside the current cycle on which the tier rests: change_no of tier_change';

CREATE TABLE tier_change (
    customer_id bigint NOT NULL REFERENCES customer ON DELETE CASCADE,
    from_tier text NOT NULL,
    to_tier text NOT NULL,
    value numeric,
    reason text NOT NULL CHECK (reason IN ('upgrade', 'period_end', 'refund', 'granted', 'paid', 'grant_ended', 'withdrawn')),
    at timestamptz NOT NULL,
    threshold numeric,
    condition rule,
    note text,
    actor text NOT NULL DEFAULT actor_or_user(),
    booked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    period_end timestamptz,
    change_no integer NOT NULL,
    before jsonb,
    PRIMARY KEY (customer_id, change_no)
);
COMMENT ON TABLE tier_change IS 'every change of a tier, append-only';
COMMENT ON COLUMN tier_change.from_tier IS 'tier before';
COMMENT ON COLUMN tier_change.to_tier IS 'tier after';
COMMENT ON COLUMN tier_change.reason IS 'upgrade, period_end, refund, granted, paid, grant_ended or withdrawn';
COMMENT ON COLUMN tier_change.at IS 'when it holds from';
COMMENT ON COLUMN tier_change.note IS 'why, by hand';
COMMENT ON COLUMN tier_change.actor IS 'who, by hand';
COMMENT ON COLUMN tier_change.booked_at IS 'when it was written';
COMMENT ON COLUMN tier_change.period_end IS 'end of the cycle that begins, exclusive';
COMMENT ON COLUMN tier_change.value IS 'what the customer had of the column in condition';
COMMENT ON COLUMN tier_change.threshold IS 'what condition asks for';
COMMENT ON COLUMN tier_change.condition IS 'the condition that lifted, or that was not reached';
COMMENT ON COLUMN tier_change.before IS 'the member''s row before, so that a refund can give it back';

CREATE FUNCTION tier_change_immutable() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    -- Rows of an erased customer go with the customer.
    IF TG_OP = 'DELETE' AND pg_trigger_depth() > 1 THEN
        RETURN OLD;
    END IF;
    -- A note is free text, which the erasure of a person takes away.
    IF TG_OP = 'UPDATE' AND NEW.note IS NULL AND to_jsonb(NEW) - 'note' = to_jsonb(OLD) - 'note' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'tier_change is append-only' USING ERRCODE = 'CU004', HINT = 'A later change corrects an earlier one.';
END
$$;
COMMENT ON FUNCTION tier_change_immutable() IS 'refuses to change history';
CREATE TRIGGER tier_change_immutable BEFORE UPDATE OR DELETE ON tier_change FOR EACH ROW EXECUTE FUNCTION tier_change_immutable();
CREATE TRIGGER tier_change_untruncated BEFORE TRUNCATE ON tier_change FOR EACH STATEMENT EXECUTE FUNCTION tier_change_immutable();
ALTER TABLE tier_change ENABLE ALWAYS TRIGGER tier_change_immutable, ENABLE ALWAYS TRIGGER tier_change_untruncated;

CREATE TRIGGER rule_guard BEFORE INSERT OR UPDATE ON tier FOR EACH ROW EXECUTE FUNCTION rule_guard('customer_360');

CREATE FUNCTION base_tier() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT t.tier FROM tier t ORDER BY t.seq LIMIT 1;
END;
COMMENT ON FUNCTION base_tier() IS 'the lowest tier';

CREATE FUNCTION tier_at(customer_id bigint, at timestamptz DEFAULT now()) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce((SELECT c.to_tier FROM tier_change c
                     WHERE c.customer_id = tier_at.customer_id AND c.at <= tier_at.at
                     ORDER BY c.at DESC, c.change_no DESC LIMIT 1),
                    base_tier());
END;
COMMENT ON FUNCTION tier_at(bigint, timestamptz) IS 'the tier of a customer at a moment';

CREATE FUNCTION cycle_end(start timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE s.tier_period
               WHEN 'calendar' THEN date_trunc('year', cycle_end.start AT TIME ZONE s.time_zone) + interval '1 year'
               ELSE (cycle_end.start AT TIME ZONE s.time_zone)::date + make_interval(months => s.tier_period_months)
           END AT TIME ZONE s.time_zone
    FROM settings s;
END;
COMMENT ON FUNCTION cycle_end(timestamptz) IS 'end of the cycle that begins on the shop day of a moment: 00:00 in the store''s time zone';

-- What rules of tiers are asked about: a customer's figures at a moment.

CREATE FUNCTION last_anniversary(since timestamptz, at timestamptz, time_zone text) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN ((since AT TIME ZONE time_zone)::date
        + make_interval(years => greatest(0, extract(year FROM age((at AT TIME ZONE time_zone)::date, (since AT TIME ZONE time_zone)::date))::integer)))
       AT TIME ZONE time_zone;
COMMENT ON FUNCTION last_anniversary(timestamptz, timestamptz, text) IS '00:00 of the last day on which the day of since came round, in a time zone';

CREATE FUNCTION window_start(at timestamptz, joined_at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE s.tier_window
               WHEN 'rolling' THEN (window_start.at AT TIME ZONE s.time_zone - make_interval(months => s.tier_window_months)) AT TIME ZONE s.time_zone
               WHEN 'calendar' THEN date_trunc('year', window_start.at AT TIME ZONE s.time_zone) AT TIME ZONE s.time_zone - interval '1 microsecond'
               WHEN 'anniversary' THEN
                   last_anniversary(window_start.joined_at, window_start.at, s.time_zone) - interval '1 microsecond'
               ELSE '-infinity'
           END
    FROM settings s;
END;
COMMENT ON FUNCTION window_start(timestamptz, timestamptz) IS 'after which moment orders count in spend_window and orders_window at a moment';

CREATE FUNCTION year_before(at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT (year_before.at AT TIME ZONE s.time_zone - interval '12 months') AT TIME ZONE s.time_zone FROM settings s;
END;
COMMENT ON FUNCTION year_before(timestamptz) IS 'the moment 12 months earlier, in the store''s time zone';

CREATE FUNCTION growth_between(customer_id bigint, after timestamptz, until timestamptz) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(sum(CASE WHEN e.kind IN ('refund', 'transfer_out') THEN -e.points ELSE e.points END), 0)::bigint
    FROM points_entry_all e
    LEFT JOIN points_entry_all o ON o.customer_id = e.customer_id AND o.program = e.program AND o.seq = e.reverses
    WHERE e.customer_id = growth_between.customer_id AND e.program = 'growth'
      AND e.kind IN ('earn', 'refund', 'adjust', 'transfer_in', 'transfer_out')
      AND coalesce(o.occurred_at, e.occurred_at) > growth_between.after
      AND coalesce(o.occurred_at, e.occurred_at) <= growth_between.until;
END;
COMMENT ON FUNCTION growth_between(bigint, timestamptz, timestamptz) IS
'growth value that a customer earned in (after, until], net of what refunds took back later: a refund counts where the earning did';

CREATE FUNCTION tier_figures(customer_ids bigint[], moments timestamptz[])
RETURNS TABLE (customer_id bigint, at timestamptz, order_count bigint, spend_total numeric, margin_total numeric, first_order_at timestamptz,
               last_order_at timestamptz, orders_12m bigint, spend_12m numeric, avg_order_12m numeric, orders_window bigint,
               spend_window numeric, growth bigint)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- The summary answers for who has ordered nothing since; of the 12 months, only the month that they cut needs its orders.
    -- Moments stand in FILTER, not in WHERE, so that a customer's orders are always found by the customer.
    SELECT i.customer_id, i.at, CASE WHEN i.past THEN p.order_count ELSE i.order_count END,
           CASE WHEN i.past THEN coalesce(p.spend_total, 0) ELSE i.spend_total END,
           CASE WHEN i.past THEN coalesce(p.spend_total - p.cost_total, 0) ELSE i.spend_total - i.cost_total END,
           CASE WHEN i.past THEN p.first_order_at ELSE i.first_order_at END, CASE WHEN i.past THEN p.last_order_at ELSE i.last_order_at END,
           w.orders, w.spend, round(w.spend / nullif(w.orders, 0), 4), x.orders, coalesce(x.spend, 0), coalesce(v.growth, 0)
    FROM (SELECT s.*, u.at, coalesce(s.last_order_at > u.at, false) AS past, y.year_start, s.first_order_at <= y.year_start AS cut,
                 date_trunc('month', y.year_start, 'UTC') - interval '1 microsecond' AS cut_start,
                 (date_trunc('month', y.year_start AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC' AS cut_end,
                 -- window_start() in place where it is simple: a call for each customer costs more than counting the orders.
                 CASE g.tier_window
                     WHEN 'rolling' THEN (u.at AT TIME ZONE g.time_zone - make_interval(months => g.tier_window_months)) AT TIME ZONE g.time_zone
                     WHEN 'lifetime' THEN timestamptz '-infinity'
                     ELSE window_start(u.at, (SELECT c.joined_at FROM customer c WHERE c.customer_id = u.id))
                 END AS window_start
          FROM unnest(tier_figures.customer_ids, tier_figures.moments) u (id, at)
          JOIN customer_summary s ON s.customer_id = u.id AND s.customer_id >= tier_figures.customer_ids[1]
                                     AND s.customer_id <= tier_figures.customer_ids[cardinality(tier_figures.customer_ids)]
          CROSS JOIN settings g
          CROSS JOIN LATERAL (SELECT (u.at AT TIME ZONE g.time_zone - interval '12 months') AT TIME ZONE g.time_zone AS year_start) y
          OFFSET 0) i
    LEFT JOIN LATERAL (SELECT count(*) FILTER (WHERE p.order_at <= i.at) AS order_count, sum(p.net) FILTER (WHERE p.order_at <= i.at) AS spend_total,
                              sum(coalesce(p.cost, 0)) FILTER (WHERE p.order_at <= i.at) AS cost_total,
                              min(p.order_at) FILTER (WHERE p.order_at <= i.at) AS first_order_at, max(p.order_at) FILTER (WHERE p.order_at <= i.at) AS last_order_at,
                              count(*) FILTER (WHERE p.order_at > i.year_start AND p.order_at <= i.at) AS orders_12m,
                              sum(p.net) FILTER (WHERE p.order_at > i.year_start AND p.order_at <= i.at) AS spend_12m
                       FROM purchase p
                       WHERE p.customer_id = i.customer_id AND i.past) p ON true
    LEFT JOIN LATERAL (SELECT count(*) FILTER (WHERE p.order_at > i.year_start AND p.order_at < i.cut_end) AS orders,
                              sum(p.net) FILTER (WHERE p.order_at > i.year_start AND p.order_at < i.cut_end) AS spend
                       FROM purchase p
                       WHERE p.customer_id = i.customer_id AND i.cut AND NOT i.past AND months_orders(i.months, i.cut_start, i.cut_end) > 0) e ON true
    CROSS JOIN LATERAL (SELECT CASE WHEN i.past THEN p.orders_12m
                                    ELSE months_orders(i.months, CASE WHEN i.cut THEN i.year_start ELSE '-infinity' END, 'infinity') + e.orders END AS orders,
                               CASE WHEN i.past THEN coalesce(p.spend_12m, 0)
                                    ELSE months_spend(i.months, CASE WHEN i.cut THEN i.year_start ELSE '-infinity' END, 'infinity') + coalesce(e.spend, 0) END AS spend) w
    LEFT JOIN LATERAL (SELECT count(*) FILTER (WHERE p.order_at > i.window_start AND p.order_at <= i.at) AS orders,
                              sum(p.net) FILTER (WHERE p.order_at > i.window_start AND p.order_at <= i.at) AS spend
                       FROM purchase p
                       WHERE p.customer_id = i.customer_id) x ON true
    -- growth_between() in place, for the same reason.
    LEFT JOIN LATERAL (SELECT sum(CASE WHEN e.kind IN ('refund', 'transfer_out') THEN -e.points ELSE e.points END)::bigint AS growth
                       FROM points_entry e
                       LEFT JOIN points_entry o ON o.customer_id = e.customer_id AND o.program = e.program AND o.seq = e.reverses
                       WHERE e.customer_id = i.customer_id AND e.program = 'growth' AND e.kind IN ('earn', 'refund', 'adjust', 'transfer_in', 'transfer_out')
                         AND coalesce(o.occurred_at, e.occurred_at) > i.year_start AND coalesce(o.occurred_at, e.occurred_at) <= i.at) v ON true;
END;
COMMENT ON FUNCTION tier_figures(bigint[], timestamptz[]) IS 'figures of customers, whose ids ascend, each at a moment of its own; refunds as known today';

CREATE FUNCTION tier_figures_at(as_of timestamptz, after_id bigint, last_id bigint)
RETURNS TABLE (customer_id bigint, at timestamptz, order_count bigint, spend_total numeric, margin_total numeric, first_order_at timestamptz,
               last_order_at timestamptz, orders_12m bigint, spend_12m numeric, avg_order_12m numeric, orders_window bigint,
               spend_window numeric, growth bigint)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- Each left join gives at most one row a customer, so the planner drops those whose columns the rules do not name.
    SELECT i.customer_id, tier_figures_at.as_of, CASE WHEN i.past THEN p.order_count ELSE i.order_count END,
           CASE WHEN i.past THEN coalesce(p.spend_total, 0) ELSE i.spend_total END,
           CASE WHEN i.past THEN coalesce(p.spend_total - p.cost_total, 0) ELSE i.spend_total - i.cost_total END,
           i.first_order_at, CASE WHEN i.past THEN p.last_order_at ELSE i.last_order_at END,
           CASE WHEN i.past THEN p.orders_12m ELSE months_orders(i.months, i.months_start, 'infinity') + CASE WHEN i.cut THEN coalesce(e.orders, 0) ELSE 0 END END,
           i.base_spend_12m + CASE WHEN i.past THEN coalesce(p.spend_12m, 0) WHEN i.cut THEN coalesce(e.spend, 0) ELSE 0 END,
           CASE WHEN i.past THEN round(p.spend_12m / nullif(p.orders_12m, 0), 4)
                ELSE round((i.base_spend_12m + CASE WHEN i.cut THEN coalesce(e.spend, 0) ELSE 0 END)
                           / nullif(months_orders(i.months, i.months_start, 'infinity') + CASE WHEN i.cut THEN coalesce(e.orders, 0) ELSE 0 END, 0), 4) END,
           coalesce(x.orders, 0), coalesce(x.spend, 0), coalesce(g.growth, 0)
    FROM (SELECT s.*, s.last_order_at > tier_figures_at.as_of AS past, s.first_order_at <= y.year_start AS cut, y.year_start,
                 CASE WHEN s.first_order_at <= y.year_start THEN y.year_start ELSE '-infinity' END AS months_start,
                 CASE WHEN s.last_order_at > tier_figures_at.as_of THEN 0
                      ELSE months_spend(s.months, CASE WHEN s.first_order_at <= y.year_start THEN y.year_start ELSE '-infinity' END, 'infinity') END AS base_spend_12m
          FROM customer_summary s CROSS JOIN (SELECT year_before(tier_figures_at.as_of) AS year_start OFFSET 0) y
          WHERE s.customer_id > tier_figures_at.after_id AND s.customer_id <= tier_figures_at.last_id AND s.first_order_at <= tier_figures_at.as_of
          OFFSET 0) i
    LEFT JOIN LATERAL (SELECT count(*) AS order_count, money_sum(p.net) AS spend_total, money_sum(coalesce(p.cost, 0)) AS cost_total, max(p.order_at) AS last_order_at,
                              count(*) FILTER (WHERE p.order_at > i.year_start) AS orders_12m,
                              money_sum(p.net) FILTER (WHERE p.order_at > i.year_start) AS spend_12m
                       FROM purchase p
                       WHERE p.customer_id = i.customer_id AND p.order_at <= tier_figures_at.as_of AND i.past) p ON true
    LEFT JOIN (SELECT p.customer_id, count(*) AS orders, money_sum(p.net) AS spend
               FROM purchase p
               WHERE p.customer_id > tier_figures_at.after_id AND p.customer_id <= tier_figures_at.last_id
                 AND p.order_at > (SELECT year_before(tier_figures_at.as_of)) AND p.order_at <= tier_figures_at.as_of
                 AND p.order_at < (SELECT (date_trunc('month', year_before(tier_figures_at.as_of) AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC')
               GROUP BY p.customer_id) e ON e.customer_id = i.customer_id
    LEFT JOIN (SELECT c.customer_id, count(*) AS orders, money_sum(p.net) AS spend
               FROM (SELECT c.customer_id,
                            CASE s.tier_window WHEN 'anniversary' THEN window_start(tier_figures_at.as_of, c.joined_at)
                                               ELSE (SELECT window_start(tier_figures_at.as_of, NULL)) END AS start
                     FROM customer c CROSS JOIN settings s
                     WHERE c.customer_id > tier_figures_at.after_id AND c.customer_id <= tier_figures_at.last_id
                     OFFSET 0) c
               JOIN purchase p ON p.customer_id = c.customer_id AND p.order_at <= tier_figures_at.as_of AND p.order_at > c.start
               WHERE p.customer_id > tier_figures_at.after_id AND p.customer_id <= tier_figures_at.last_id
               GROUP BY c.customer_id) x ON x.customer_id = i.customer_id
    LEFT JOIN (SELECT e.customer_id, sum(CASE WHEN e.kind IN ('refund', 'transfer_out') THEN -e.points ELSE e.points END)::bigint AS growth
               FROM points_entry e
               LEFT JOIN points_entry o ON o.customer_id = e.customer_id AND o.program = e.program AND o.seq = e.reverses
               WHERE e.customer_id > tier_figures_at.after_id AND e.customer_id <= tier_figures_at.last_id AND e.program = 'growth'
                 AND e.kind IN ('earn', 'refund', 'adjust', 'transfer_in', 'transfer_out')
                 AND coalesce(o.occurred_at, e.occurred_at) > (SELECT year_before(tier_figures_at.as_of))
                 AND coalesce(o.occurred_at, e.occurred_at) <= tier_figures_at.as_of
               GROUP BY e.customer_id) g ON g.customer_id = i.customer_id;
END;
COMMENT ON FUNCTION tier_figures_at(timestamptz, bigint, bigint) IS 'tier_figures of the customers with orders in a range of ids, all at one moment';

-- The engine: SQL made of the rules of all tiers, for many customers at a time.

CREATE FUNCTION tier_source(columns text[], figures text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    always text[] := ARRAY['customer_id', 'at', 'order_count', 'spend_total'];
    own text[] := ARRAY['margin_total', 'first_order_at', 'last_order_at', 'orders_12m', 'spend_12m', 'avg_order_12m', 'orders_window',
                        'spend_window', 'growth'];
    named text;
    others text;
BEGIN
    SELECT string_agg(format(', f.%I', u.c), '') FILTER (WHERE u.c = ANY (own)), string_agg(format(', x.%I', u.c), '') FILTER (WHERE u.c <> ALL (own))
        INTO named, others
    FROM unnest(columns) u (c) WHERE u.c <> ALL (always) AND u.c <> 'birth_date';
    RETURN 'SELECT f.customer_id, f.at, f.order_count, f.spend_total' || coalesce(named, '') || coalesce(others, '') || ' FROM ' || figures || ' f'
        || CASE WHEN others IS NOT NULL THEN ' LEFT JOIN customer_360 x ON x.customer_id = f.customer_id' ELSE '' END;
END
$$;
COMMENT ON FUNCTION tier_source(text[], text) IS 'SQL that gives the columns that rules of tiers name: figures at the moment, others as they are now';

CREATE FUNCTION tier_columns(keep boolean) RETURNS text[]
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(array_agg(DISTINCT c.name), '{}')
    FROM tier t CROSS JOIN LATERAL unnest(rule_columns(CASE WHEN tier_columns.keep THEN t.keep ELSE t.qualify END)) c (name);
END;
COMMENT ON FUNCTION tier_columns(boolean) IS 'columns that the rules of the tiers name: keep, or qualify';

CREATE VIEW tier_condition AS
SELECT t.tier, t.seq, b.n::integer AS n, b.condition::rule AS condition,
       rule_columns(b.condition::rule) <@ ARRAY['spend_total', 'order_count'] AND rule_columns(b.condition::rule) <> '{}' AS lifetime,
       (rule_threshold(b.condition::rule)).column_name AS column_name,
       (rule_threshold(b.condition::rule)).threshold AS threshold
FROM tier t CROSS JOIN LATERAL unnest(rule_branches(t.qualify)) WITH ORDINALITY b (condition, n);
COMMENT ON VIEW tier_condition IS 'the conditions of which one suffices to rise to a tier; lifetime: it lifts only by the order that crosses it, or who never had the tier';

CREATE FUNCTION tier_figure(column_name text, alias text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN column_name IS NULL THEN 'NULL::numeric' ELSE format('%I.%I::numeric', alias, column_name) END;
COMMENT ON FUNCTION tier_figure(text, text) IS 'SQL of the figure that a condition compares';

CREATE FUNCTION tier_growth(customer_ids bigint[], moments timestamptz[]) RETURNS bigint[]
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- growth_between() in place: a call for each customer costs more than counting.
    SELECT array_agg(coalesce(v.growth, 0) ORDER BY u.n)
    FROM unnest(tier_growth.customer_ids, tier_growth.moments) WITH ORDINALITY u (id, at, n)
    CROSS JOIN settings s
    LEFT JOIN LATERAL (SELECT sum(CASE WHEN e.kind IN ('refund', 'transfer_out') THEN -e.points ELSE e.points END)::bigint AS growth
                       FROM points_entry e
                       LEFT JOIN points_entry o ON o.customer_id = e.customer_id AND o.program = e.program AND o.seq = e.reverses
                       WHERE e.customer_id = u.id AND e.program = 'growth' AND e.kind IN ('earn', 'refund', 'adjust', 'transfer_in', 'transfer_out')
                         AND coalesce(o.occurred_at, e.occurred_at) > (u.at AT TIME ZONE s.time_zone - interval '12 months') AT TIME ZONE s.time_zone
                         AND coalesce(o.occurred_at, e.occurred_at) <= u.at) v ON true;
END;
COMMENT ON FUNCTION tier_growth(bigint[], timestamptz[]) IS 'growth value of each customer in the 12 months before a moment of its own';

CREATE FUNCTION tier_hold(customer_ids bigint[]) RETURNS bigint[]
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    held bigint[];
BEGIN
    -- First the customers, as who deletes one does it.
    SELECT array_agg(h.customer_id ORDER BY h.customer_id) INTO held
    FROM (SELECT c.customer_id FROM customer c
          WHERE c.customer_id >= customer_ids[1] AND c.customer_id <= customer_ids[cardinality(customer_ids)] AND c.customer_id = ANY (customer_ids)
          ORDER BY c.customer_id FOR KEY SHARE) h;
    -- The order path holds the summary's row when it judges a customer, so nobody is judged twice at once.
    PERFORM FROM customer_summary s
    WHERE s.customer_id >= customer_ids[1] AND s.customer_id <= customer_ids[cardinality(customer_ids)] AND s.customer_id = ANY (customer_ids)
    ORDER BY s.customer_id FOR NO KEY UPDATE;
    RETURN coalesce(held, '{}');
END
$$;
COMMENT ON FUNCTION tier_hold(bigint[]) IS 'locks customers, ids ascending, against being deleted and judged by others; those who are still there';

CREATE FUNCTION judge_due(customer_ids bigint[], as_of timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    s settings;
    kept text;
    matched text;
    value text;
    base_seq integer;
    changed bigint;
    n bigint;
    done bigint := 0;
    due bigint[];
    moments timestamptz[];
    by_growth boolean;
    rest bigint[];
BEGIN
    LOOP
        -- A cycle of each customer at a time, until nothing is due: an evaluation that comes years late gives what timely ones would have.
        SELECT array_agg(m.customer_id ORDER BY m.customer_id), array_agg(m.judged_at ORDER BY m.customer_id) INTO due, moments
        FROM tier_member m
        WHERE m.customer_id >= customer_ids[1] AND m.customer_id <= customer_ids[cardinality(customer_ids)] AND m.customer_id = ANY (customer_ids)
          AND m.judged_at <= as_of;
        EXIT WHEN due IS NULL;
        by_growth := coalesce(by_growth, 'growth' = ANY (tier_columns(keep => true)));
        SELECT e.ended, e.changed, e.rest INTO n, changed, rest
        FROM crm.tiers_end('purchase'::regclass, due, moments, CASE WHEN by_growth THEN tier_growth(due, moments) END) e;
        done := done + changed;
        CONTINUE WHEN n > 0;
        IF s IS NULL THEN
            SELECT * INTO s FROM settings;
            SELECT min(t.seq) INTO base_seq FROM tier t;
            SELECT coalesce(string_agg(format('WHEN %L THEN coalesce(%s, false) ', t.tier, rule_sql_each(t.keep, 'customer_360', 'c', 'at', s.time_zone)), ''), ''),
                   coalesce(string_agg(format('WHEN m.seq >= %s AND coalesce(%s, false) THEN %1$s ', t.seq, rule_sql_each(t.keep, 'customer_360', 'c', 'at', s.time_zone)),
                                       '' ORDER BY t.seq DESC), ''),
                   coalesce(string_agg(format('WHEN %L THEN %s ', t.tier, tier_figure((rule_threshold(t.keep)).column_name, 'c')), ''), '')
                INTO kept, matched, value
            FROM tier t WHERE t.keep IS NOT NULL;
        END IF;
        EXECUTE 'WITH m AS MATERIALIZED (
                SELECT m.*, t.seq, t.keep, t.limit_value, t.lower_seq
                FROM (SELECT u.id FROM unnest($1) u (id) OFFSET 0) u
                JOIN tier_member m ON m.customer_id = u.id AND m.customer_id >= $1[1] AND m.customer_id <= $1[cardinality($1)]
                JOIN (SELECT t.tier, t.seq, t.keep, (rule_threshold(t.keep)).threshold AS limit_value, lag(t.seq) OVER (ORDER BY t.seq) AS lower_seq
                      FROM tier t OFFSET 0) t ON t.tier = m.tier
            ), c AS MATERIALIZED ('
            || tier_source(tier_columns(keep => true), 'tier_figures($1, $2)')
            || '), j AS (
                SELECT m.*, CASE m.tier WHEN '''' THEN NULL::numeric ' || value || ' END AS value,
                       m.basis = ''earned'' AND CASE m.tier WHEN '''' THEN true ' || kept || ' ELSE true END AS kept,
                       CASE WHEN false THEN 0 ' || matched || ' ELSE $3 END AS matched
                FROM m JOIN c ON c.customer_id = m.customer_id
            ), k AS (
                SELECT j.*, NOT j.kept AND j.judged_at < greatest(CASE WHEN j.basis = ''earned'' THEN j.period_end + make_interval(days => $4) ELSE j.period_end END, j.lock_until) AS waits,
                       CASE WHEN j.kept THEN j.seq
                            WHEN j.basis <> ''earned'' THEN j.matched
                            WHEN $5 = ''none'' THEN j.seq
                            WHEN $5 = ''to_base'' THEN $3
                            WHEN $5 = ''one_step'' THEN j.lower_seq
                            ELSE least(j.matched, j.lower_seq) END AS new_seq
                FROM j
            ), l AS (
                SELECT k.*, t.tier AS new_tier,
                       CASE WHEN k.waits THEN k.period_end WHEN k.new_seq = $3 THEN NULL
                            -- cycle_end() in place: a call for each customer costs more than the row it is for.
                            ELSE CASE s.tier_period WHEN ''calendar'' THEN date_trunc(''year'', y.start AT TIME ZONE s.time_zone) + interval ''1 year''
                                                    ELSE (y.start AT TIME ZONE s.time_zone)::date + make_interval(months => s.tier_period_months) END AT TIME ZONE s.time_zone
                       END AS new_end
                FROM k
                CROSS JOIN LATERAL (SELECT CASE WHEN k.new_seq = k.seq AND k.basis = ''earned'' THEN k.period_end ELSE k.judged_at END AS start) y
                JOIN tier t ON t.seq = k.new_seq
                CROSS JOIN settings s
            ), history AS (
                INSERT INTO tier_change (customer_id, from_tier, to_tier, value, reason, at, threshold, condition, period_end, change_no, before)
                SELECT l.customer_id, l.tier, l.new_tier, CASE WHEN l.basis = ''earned'' THEN l.value END, CASE WHEN l.basis = ''earned'' THEN ''period_end'' ELSE ''grant_ended'' END, l.judged_at,
                       CASE WHEN l.basis = ''earned'' THEN l.limit_value END, CASE WHEN l.basis = ''earned'' THEN l.keep END, l.new_end, l.last_change + 1,
                       jsonb_build_object(''tier'', l.tier, ''since'', l.since, ''basis'', l.basis, ''period_end'', l.period_end, ''peak'', l.peak, ''rests_on'', l.rests_on)
                FROM l WHERE NOT l.waits AND l.new_tier <> l.tier
            ), written AS (
                UPDATE tier_member m
                SET tier = CASE WHEN l.waits THEN m.tier ELSE l.new_tier END,
                    since = CASE WHEN l.waits OR l.new_tier = l.tier THEN m.since ELSE l.judged_at END,
                    basis = CASE WHEN l.waits THEN m.basis ELSE ''earned'' END,
                    period_end = l.new_end,
                    judged_at = CASE WHEN l.waits THEN greatest(CASE WHEN m.basis = ''earned'' THEN m.period_end + make_interval(days => $4) END, m.lock_until) ELSE l.new_end END,
                    rests_on = CASE WHEN l.waits THEN m.rests_on END,
                    last_change = m.last_change + CASE WHEN NOT l.waits AND l.new_tier <> l.tier THEN 1 ELSE 0 END
                FROM l WHERE m.customer_id = l.customer_id
                RETURNING l.waits OR l.new_tier = l.tier AS same
            )
            SELECT count(*), count(*) FILTER (WHERE NOT w.same) FROM written w'
            INTO n, changed USING due, moments, base_seq, s.tier_grace_days, s.tier_downgrade;
        done := done + changed;
        EXIT WHEN n = 0;
    END LOOP;
    RETURN done;
END
$$;
COMMENT ON FUNCTION judge_due(bigint[], timestamptz) IS 'ends the cycles of these members that are over at as_of, one after the other, each by the figures at its end; the number of changes of tier';

CREATE FUNCTION judge_upgrade(customer_ids bigint[], moments timestamptz[], totals_before numeric[] DEFAULT NULL, counts_before bigint[] DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    zone text := (SELECT s.time_zone FROM settings s);
    n integer := cardinality(customer_ids);
    figures text := 'tier_figures($1, $2)';
    best text;
    value text;
    changed bigint;
BEGIN
    -- Of each condition its SQL; one on lifetime figures also asks that it did not hold before, unless the tier was never had.
    SELECT string_agg(format('WHEN c.held_seq < %s AND %s THEN %s ', t.seq,
                             CASE WHEN t.lifetime THEN format('%s AND (%s > c.peak OR NOT coalesce(%s, true))', t.sql, t.seq, t.sql_before)
                                  ELSE t.sql END, t.seq::bigint * 1000 + t.n), '' ORDER BY t.seq DESC, t.n),
           string_agg(format('WHEN %s THEN %s ', t.seq::bigint * 1000 + t.n, tier_figure(t.column_name, 'c')), '')
        INTO best, value
    FROM (SELECT c.seq, c.n, c.lifetime, c.column_name, rule_sql_each(c.condition, 'customer_360', 'c', 'at', zone) AS sql,
                 rule_sql_each(c.condition, 'customer_360', 'b', 'at', zone) AS sql_before
          FROM tier_condition c) t;
    IF best IS NULL OR n IS NULL THEN
        RETURN 0;
    END IF;
    -- Many at one moment, close together: it costs less to count all between the first and the last at once.
    IF n >= 500 AND customer_ids[1] > customer_ids[n] - 5::bigint * n AND moments[1] = ALL (moments) THEN
        figures := 'tier_figures_at(($2)[1], $1[1] - 1, $1[cardinality($1)])';
    END IF;
    EXECUTE 'WITH c AS MATERIALIZED (
            SELECT f.*, u.before_total, u.before_count, coalesce(m.tier, base.tier) AS held_tier, coalesce(m.seq, base.seq) AS held_seq, m.basis AS held_basis,
                   m.since AS held_since, m.period_end AS held_end, m.rests_on AS held_rests_on, m.lock_until, coalesce(m.peak, base.seq) AS peak,
                   coalesce(m.last_change, 0) AS last_change
            FROM unnest($1, $3, $4) u (id, before_total, before_count)
            JOIN (' || tier_source(tier_columns(keep => false), figures) || ') f ON f.customer_id = u.id
            CROSS JOIN (SELECT t.tier, t.seq FROM tier t ORDER BY t.seq LIMIT 1) base
            LEFT JOIN (SELECT m.*, t.seq FROM tier_member m JOIN tier t ON t.tier = m.tier
                       WHERE m.customer_id >= $1[1] AND m.customer_id <= $1[cardinality($1)]) m ON m.customer_id = f.customer_id
        ), l AS MATERIALIZED (
            -- cycle_end() in place: a call for each customer costs more than the row it is for.
            SELECT c.*, CASE v.best ' || value || ' END AS value, t.tier AS new_tier, t.seq AS new_seq, t.condition, t.threshold,
                   CASE s.tier_period WHEN ''calendar'' THEN date_trunc(''year'', c.at AT TIME ZONE s.time_zone) + interval ''1 year''
                                      ELSE (c.at AT TIME ZONE s.time_zone)::date + make_interval(months => s.tier_period_months) END AT TIME ZONE s.time_zone AS new_end
            FROM c
            CROSS JOIN LATERAL (SELECT coalesce(c.before_total, c.spend_total) AS spend_total, coalesce(c.before_count, c.order_count) AS order_count, c.at) b
            CROSS JOIN LATERAL (SELECT CASE ' || best || ' END AS best OFFSET 0) v
            JOIN (SELECT * FROM tier_condition OFFSET 0) t ON t.seq::bigint * 1000 + t.n = v.best
            CROSS JOIN settings s
        ), history AS (
            INSERT INTO tier_change (customer_id, from_tier, to_tier, value, reason, at, threshold, condition, period_end, change_no, before)
            SELECT l.customer_id, l.held_tier, l.new_tier, l.value, ''upgrade'', l.at, l.threshold, l.condition, l.new_end, l.last_change + 1,
                   jsonb_build_object(''tier'', l.held_tier, ''since'', l.held_since, ''basis'', l.held_basis, ''period_end'', l.held_end, ''peak'', l.peak, ''rests_on'', l.held_rests_on)
            FROM l
        ), written AS (
            INSERT INTO tier_member AS w (customer_id, tier, since, basis, period_end, judged_at, lock_until, peak, last_change, rests_on)
            SELECT l.customer_id, l.new_tier, l.at, ''earned'', l.new_end, greatest(l.new_end, l.lock_until), l.lock_until, greatest(l.peak, l.new_seq), l.last_change + 1, l.last_change + 1
            FROM l ORDER BY l.customer_id
            ON CONFLICT (customer_id) DO UPDATE
            SET tier = EXCLUDED.tier, since = EXCLUDED.since, basis = EXCLUDED.basis, period_end = EXCLUDED.period_end, judged_at = EXCLUDED.judged_at,
                peak = EXCLUDED.peak, last_change = EXCLUDED.last_change, rests_on = EXCLUDED.rests_on
            RETURNING 1
        )
        SELECT count(*) FROM written'
        INTO changed USING customer_ids, moments, totals_before, counts_before;
    RETURN changed;
END
$$;
COMMENT ON FUNCTION judge_upgrade(bigint[], timestamptz[], numeric[], bigint[]) IS
'lifts these customers, each once, to the highest tier whose qualify holds at its moment; the figures before the order decide whether the order crossed a lifetime limit. The number lifted';

CREATE FUNCTION judge_order(customer_id bigint, at timestamptz, total_before numeric, count_before bigint) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM judge_due(ARRAY[judge_order.customer_id], judge_order.at);
    RETURN judge_upgrade(ARRAY[judge_order.customer_id], ARRAY[judge_order.at], ARRAY[total_before], ARRAY[count_before]);
END
$$;
COMMENT ON FUNCTION judge_order(bigint, timestamptz, numeric, bigint) IS 'what the order path calls when an order may lift a customer: ends cycles that were over by then, then lifts';

CREATE FUNCTION judge_refund(customer_id bigint, at timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    zone text := (SELECT s.time_zone FROM settings s);
    member tier_member;
    rest tier_change;
    moments timestamptz[];
    conditions text;
    best integer;
    target tier;
    value text;
    figure numeric;
    ends timestamptz;
    done bigint := 0;
BEGIN
    -- What rose in a cycle that is over stands or fell at its end.
    IF EXISTS (SELECT FROM tier_member m WHERE m.customer_id = judge_refund.customer_id AND m.judged_at <= judge_refund.at) THEN
        done := judge_due(ARRAY[judge_refund.customer_id], judge_refund.at);
    END IF;
    LOOP
        SELECT * INTO member FROM tier_member m WHERE m.customer_id = judge_refund.customer_id FOR UPDATE;
        -- A history never runs backwards, even when the refund's transaction began before the rise.
        at := greatest(judge_refund.at, member.since);
        EXIT WHEN member.rests_on IS NULL OR member.basis <> 'earned' OR member.lock_until > judge_refund.at;
        SELECT * INTO rest FROM tier_change h WHERE h.customer_id = judge_refund.customer_id AND h.change_no = member.rests_on;
        -- When it rose, at its last order since, and now: where one of them qualifies, the tier stands.
        moments := ARRAY[rest.at, greatest(rest.at, judge_refund.at),
                         (SELECT max(p.order_at) FROM purchase p
                          WHERE p.customer_id = judge_refund.customer_id AND p.order_at > rest.at AND p.order_at < member.period_end)];
        SELECT string_agg(format('WHEN coalesce(bool_or(%s), false) THEN %s ', rule_sql_each(c.condition, 'customer_360', 'c', 'at', zone), c.seq), '' ORDER BY c.seq DESC)
            INTO conditions
        FROM tier_condition c
        WHERE c.seq > (SELECT t.seq FROM tier t WHERE t.tier = rest.from_tier) AND c.seq <= (SELECT t.seq FROM tier t WHERE t.tier = member.tier)
          AND (NOT c.lifetime OR c.condition OPERATOR(crm.=) rest.condition OR c.seq > coalesce((rest.before ->> 'peak')::integer, 0));
        SELECT tier_figure(c.column_name, 'c') INTO value FROM tier_condition c WHERE c.tier = rest.to_tier AND c.condition OPERATOR(crm.=) rest.condition;
        EXECUTE 'SELECT CASE ' || coalesce(conditions, 'WHEN false THEN 0') || ' END, (array_agg(' || coalesce(value, 'NULL::numeric') || ' ORDER BY c.at))[1] FROM ('
            || tier_source(tier_columns(keep => false), 'tier_figures($1, $2)') || ') c'
            INTO best, figure
            USING array_fill(judge_refund.customer_id, ARRAY[cardinality(array_remove(moments, NULL))]), array_remove(moments, NULL);
        EXIT WHEN best >= (SELECT t.seq FROM tier t WHERE t.tier = member.tier);
        SELECT * INTO target FROM tier t WHERE t.seq = best OR best IS NULL AND t.tier = rest.from_tier;
        -- A cycle that is given back, and is over meanwhile, ends now.
        ends := CASE WHEN best IS NOT NULL THEN member.period_end
                     WHEN rest.before ->> 'period_end' IS NOT NULL THEN greatest((rest.before ->> 'period_end')::timestamptz, judge_refund.at) END;
        INSERT INTO tier_change (customer_id, from_tier, to_tier, value, reason, at, threshold, condition, period_end, change_no, before)
        VALUES (judge_refund.customer_id, member.tier, target.tier, figure, 'refund', judge_refund.at, rest.threshold, rest.condition, ends, member.last_change + 1,
                jsonb_build_object('tier', member.tier, 'since', member.since, 'basis', member.basis, 'period_end', member.period_end, 'peak', member.peak, 'rests_on', member.rests_on));
        UPDATE tier_member m
        SET tier = target.tier, since = judge_refund.at, last_change = member.last_change + 1,
            basis = CASE WHEN best IS NULL THEN coalesce(rest.before ->> 'basis', 'earned') ELSE 'earned' END,
            period_end = ends,
            judged_at = CASE WHEN best IS NULL THEN ends ELSE m.judged_at END,
            peak = greatest((rest.before ->> 'peak')::integer, target.seq),
            rests_on = CASE WHEN best IS NULL THEN (rest.before ->> 'rests_on')::integer ELSE m.rests_on END
        WHERE m.customer_id = judge_refund.customer_id;
        done := done + 1;
    END LOOP;
    RETURN done;
END
$$;
COMMENT ON FUNCTION judge_refund(bigint, timestamptz) IS
'what the order path calls when orders of a member shrink: takes the tier back when the upgrade inside the current cycle has lost what it rested on, and gives back the tier and the cycle before';

CREATE FUNCTION tier_candidates(as_of timestamptz, after_id bigint, last_id bigint) RETURNS bigint[]
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET jit = off
AS $$
DECLARE
    zone text := (SELECT s.time_zone FROM settings s);
    conditions text;
    found bigint[] := crm.tiers_rise('purchase'::regclass, as_of, after_id, last_id);
BEGIN
    IF found IS NOT NULL THEN
        RETURN found;
    END IF;
    SELECT string_agg(format('coalesce(m.seq, base.seq) < %s AND %s%s', c.seq, CASE WHEN c.lifetime THEN format('coalesce(m.peak, base.seq) < %s AND ', c.seq) ELSE '' END,
                             rule_sql_each(c.condition, 'customer_360', 'c', 'at', zone)), ' OR ' ORDER BY c.seq)
        INTO conditions FROM tier_condition c;
    IF conditions IS NULL THEN
        RETURN '{}';
    END IF;
    EXECUTE 'SELECT array_agg(c.customer_id ORDER BY c.customer_id) FROM (' || tier_source(tier_columns(keep => false), 'tier_figures_at($1, $2, $3)') || ') c
        CROSS JOIN (SELECT min(t.seq) AS seq FROM tier t) base
        LEFT JOIN (SELECT m.customer_id, m.peak, t.seq FROM tier_member m JOIN tier t ON t.tier = m.tier) m ON m.customer_id = c.customer_id
        WHERE ' || conditions
        INTO found USING as_of, after_id, last_id;
    RETURN coalesce(found, '{}');
END
$$;
COMMENT ON FUNCTION tier_candidates(timestamptz, bigint, bigint) IS 'customers of a range of ids whom evaluate_tiers lifts at a moment';

CREATE FUNCTION evaluate_tiers_due(as_of timestamptz, after_id bigint, batch integer) RETURNS TABLE (last_id bigint, changed bigint)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET jit = off
AS $$
DECLARE
    ids bigint[];
BEGIN
    SELECT array_agg(d.customer_id ORDER BY d.customer_id), max(d.customer_id) INTO ids, last_id
    FROM (SELECT m.customer_id FROM tier_member m WHERE m.judged_at <= as_of AND m.customer_id > after_id ORDER BY m.customer_id LIMIT batch) d;
    IF last_id IS NULL THEN
        RETURN;
    END IF;
    ids := tier_hold(ids);
    changed := judge_due(ids, as_of);
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION evaluate_tiers_due(timestamptz, bigint, integer) IS 'a batch of evaluate_tiers: ends the cycles of members after an id that are over; no row when there are none';

CREATE FUNCTION evaluate_tiers_range(as_of timestamptz, after_id bigint, size integer) RETURNS TABLE (last_id bigint, ids bigint[])
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET jit = off
AS $$
BEGIN
    SELECT max(b.customer_id) INTO last_id
    FROM (SELECT s.customer_id FROM customer_summary s WHERE s.customer_id > after_id ORDER BY s.customer_id LIMIT size) b;
    IF last_id IS NOT NULL THEN
        ids := tier_candidates(as_of, after_id, last_id);
        RETURN NEXT;
    END IF;
END
$$;
COMMENT ON FUNCTION evaluate_tiers_range(timestamptz, bigint, integer) IS 'whom evaluate_tiers lifts among so many customers after an id; no row when there are none';

CREATE FUNCTION evaluate_tiers_lift(as_of timestamptz, ids bigint[]) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET jit = off
AS $$
DECLARE
    done bigint;
    rest bigint[];
    held bigint[];
BEGIN
    -- They were found without a lock: under it, each is judged anew.
    held := tier_hold(ids);
    SELECT l.lifted, l.rest INTO done, rest FROM crm.tiers_lift('purchase'::regclass, held, as_of) l;
    IF rest <> '{}' THEN
        done := done + judge_upgrade(rest, array_fill(as_of, ARRAY[cardinality(rest)]));
    END IF;
    RETURN done;
END
$$;
COMMENT ON FUNCTION evaluate_tiers_lift(timestamptz, bigint[]) IS 'a batch of evaluate_tiers: lifts those of these customers who qualify';

CREATE PROCEDURE evaluate_tiers(as_of timestamptz DEFAULT now(), batch integer DEFAULT 10000, store_settings regclass DEFAULT 'settings'::regclass)
LANGUAGE plpgsql
AS $$
DECLARE
    -- A procedure that commits cannot pin its search_path: it names its store by the default of its last parameter.
    store pg_catalog.text := (SELECT c.relnamespace::pg_catalog.regnamespace::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) store_settings);
    first_id CONSTANT bigint := '-9223372036854775808';
    after_id bigint := first_id;
    until_id bigint;
    done bigint := 0;
    lifted bigint;
    n integer;
    b pg_catalog.record;
    progress pg_catalog.text := pg_catalog.format($job$INSERT INTO %s.job_progress AS j (job, state, done, cursor) VALUES ('evaluate_tiers', $1, $2, pg_catalog.to_jsonb($3))
        ON CONFLICT (job) DO UPDATE SET state = excluded.state, done = excluded.done, cursor = excluded.cursor, updated_at = excluded.updated_at$job$, store);
BEGIN
    LOOP
        EXECUTE pg_catalog.format('SELECT * FROM %s.evaluate_tiers_due($1, $2, $3)', store) INTO b USING as_of, after_id, batch;
        EXIT WHEN b.last_id IS NULL;
        after_id := b.last_id;
        done := done OPERATOR(pg_catalog.+) b.changed;
        EXECUTE progress USING 'running'::pg_catalog.text, done, after_id;
        COMMIT;
    END LOOP;
    -- One pass that only reads finds who rises; only those are locked and judged. Who comes meanwhile is for the next run.
    after_id := first_id;
    EXECUTE pg_catalog.format('SELECT pg_catalog.max(customer_id) FROM %s.customer_summary', store) INTO until_id;
    LOOP
        EXECUTE pg_catalog.format('SELECT * FROM %s.evaluate_tiers_range($1, $2, 1000000)', store) INTO b USING as_of, after_id;
        EXIT WHEN b.last_id IS NULL;
        n := 0;
        WHILE n OPERATOR(pg_catalog.<) pg_catalog.cardinality(b.ids) LOOP
            EXECUTE pg_catalog.format('SELECT %s.evaluate_tiers_lift($1, $2)', store) INTO lifted
                USING as_of, b.ids[n OPERATOR(pg_catalog.+) 1 : n OPERATOR(pg_catalog.+) batch];
            done := done OPERATOR(pg_catalog.+) lifted;
            n := n OPERATOR(pg_catalog.+) batch;
            EXECUTE progress USING 'running'::pg_catalog.text, done, after_id;
            COMMIT;
        END LOOP;
        after_id := b.last_id;
        EXIT WHEN after_id OPERATOR(pg_catalog.>=) until_id;
    END LOOP;
    EXECUTE progress USING 'done'::pg_catalog.text, done, after_id;
    COMMIT;
END
$$;
COMMENT ON PROCEDURE evaluate_tiers(timestamptz, integer, regclass) IS
'judges all customers at a moment: ends cycles that are over, each by the figures at its own end, then lifts who qualifies. Commits by batch; stopped half-way, running it again does the rest; running it twice adds nothing';

-- What the columns without a word above are.
COMMENT ON COLUMN settings.platform_discount IS 'share of the price that the platform''s paying members pay';
COMMENT ON COLUMN tier_benefit.tier IS 'the tier that gives it';
COMMENT ON COLUMN tier_benefit.kind IS 'what it gives: discount, full_reduction, return_days …';
COMMENT ON COLUMN tier_benefit.period IS 'the period that quota counts in; cycle is the customer''s tier period';
COMMENT ON COLUMN tier_member.customer_id IS 'the customer';
COMMENT ON COLUMN tier_member.last_change IS 'number of the customer''s last row in tier_change; 0: none';
COMMENT ON COLUMN tier_change.customer_id IS 'the customer';
COMMENT ON COLUMN tier_change.change_no IS '1, 2, 3 … of the customer';
