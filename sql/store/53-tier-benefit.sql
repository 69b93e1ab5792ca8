-- What tiers give, what is missing to rise or stay, tiers that are granted or paid for, and the textbook's ladder.

CREATE TABLE benefit_use (
    customer_id bigint NOT NULL REFERENCES customer ON DELETE CASCADE,
    kind text NOT NULL,
    reference text NOT NULL,
    tier text NOT NULL,
    at timestamptz NOT NULL,
    used_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL DEFAULT actor_or_user(),
    PRIMARY KEY (customer_id, kind, reference)
);
COMMENT ON TABLE benefit_use IS 'uses of benefits; reference makes a repeat the same use';

CREATE FUNCTION benefit_period_start(period text, customer_id bigint, as_of timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE benefit_period_start.period
               WHEN 'lifetime' THEN '-infinity'
               WHEN 'cycle' THEN (SELECT h.at FROM tier_change h WHERE h.customer_id = benefit_period_start.customer_id AND h.at <= benefit_period_start.as_of
                                  ORDER BY h.at DESC, h.change_no DESC LIMIT 1)
               ELSE date_trunc(benefit_period_start.period, benefit_period_start.as_of AT TIME ZONE s.time_zone) AT TIME ZONE s.time_zone
           END
    FROM settings s;
END;
COMMENT ON FUNCTION benefit_period_start(text, bigint, timestamptz) IS 'when the period of a quota began: day, month or year of the store''s time zone, the customer''s cycle, or ever';

CREATE FUNCTION tier_benefits(customer_id bigint, as_of timestamptz DEFAULT now())
RETURNS TABLE (tier text, kind text, value numeric, threshold numeric, quota integer, period text, used bigint, remaining bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT b.tier, b.kind, b.value, b.threshold, b.quota, b.period, u.used, b.quota - u.used
    FROM tier_benefit b
    CROSS JOIN LATERAL (SELECT count(*) AS used FROM benefit_use u
                        WHERE u.customer_id = tier_benefits.customer_id AND u.kind = b.kind AND u.at <= tier_benefits.as_of
                          AND u.at >= coalesce(benefit_period_start(b.period, tier_benefits.customer_id, tier_benefits.as_of), '-infinity')) u
    WHERE b.tier = tier_at(tier_benefits.customer_id, tier_benefits.as_of)
    UNION ALL
    SELECT DISTINCT NULL, g.benefit, 1.0, 0.0, NULL::integer, NULL, 0::bigint, NULL::bigint
    FROM customer_benefit g
    WHERE g.customer_id = tier_benefits.customer_id AND g.since <= tier_benefits.as_of AND g.until > tier_benefits.as_of
    ORDER BY 2, 4;
END;
COMMENT ON FUNCTION tier_benefits(bigint, timestamptz) IS 'the benefits of a customer at a moment, with what is used and left of those that have a quota; tier is null for what was granted beside it';

CREATE FUNCTION use_benefit(customer_id bigint, kind text, reference text, as_of timestamptz DEFAULT now()) RETURNS benefit_use
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    done benefit_use;
    b record;
BEGIN
    -- One use of a customer after the other, so that a quota holds.
    PERFORM FROM customer_summary s WHERE s.customer_id = use_benefit.customer_id FOR NO KEY UPDATE;
    SELECT * INTO done FROM benefit_use u
    WHERE u.customer_id = use_benefit.customer_id AND u.kind = use_benefit.kind AND u.reference = use_benefit.reference;
    IF FOUND THEN
        RETURN done;
    END IF;
    SELECT * INTO b FROM tier_benefits(use_benefit.customer_id, use_benefit.as_of) t WHERE t.kind = use_benefit.kind ORDER BY t.quota NULLS FIRST, t.threshold LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'customer % has no benefit "%"', customer_id, kind USING ERRCODE = 'CU005',
            DETAIL = format('The tier is %s.', tier_at(use_benefit.customer_id, use_benefit.as_of)), HINT = 'tier_benefits(customer_id) lists the benefits of a customer.';
    ELSIF b.remaining <= 0 THEN
        RAISE EXCEPTION 'customer % has used up benefit "%"', customer_id, kind USING ERRCODE = 'CU006',
            DETAIL = format('%s of %s uses in the %s.', b.used, b.quota, b.period), HINT = 'tier_benefits(customer_id) shows what is left.';
    END IF;
    INSERT INTO benefit_use (customer_id, kind, reference, tier, at)
    VALUES (use_benefit.customer_id, use_benefit.kind, use_benefit.reference, coalesce(b.tier, tier_at(use_benefit.customer_id, use_benefit.as_of)), use_benefit.as_of)
    RETURNING * INTO done;
    RETURN done;
END
$$;
COMMENT ON FUNCTION use_benefit(bigint, text, text, timestamptz) IS
'uses a benefit once for a reference: a repeat gives the first use. Errors: CU005 the tier does not give it, CU006 the quota of the period is used up';
REVOKE EXECUTE ON FUNCTION use_benefit(bigint, text, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION return_until(bought purchase) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- The tier at the purchase is the one before what the purchase itself lifted.
    SELECT ((coalesce((bought).completed_at, (bought).shipped_at, (bought).paid_at, (bought).ordered_at) AT TIME ZONE s.time_zone)::date
            + b.value::integer + 1)::timestamp AT TIME ZONE s.time_zone
    FROM settings s
    JOIN tier_benefit b ON b.kind = 'return_days'
        AND b.tier = coalesce((SELECT h.to_tier FROM tier_change h
                               WHERE h.customer_id = (bought).customer_id AND h.at < coalesce((bought).order_at, (bought).paid_at, (bought).ordered_at)
                               ORDER BY h.at DESC, h.change_no DESC LIMIT 1), base_tier());
END;
COMMENT ON FUNCTION return_until(purchase) IS
'until when an order can be returned, exclusive: the days of the tier that the customer had when buying, counted in shop days from completion (else shipping, else payment); null when that tier has no return_days';

CREATE FUNCTION tier_progress(customer_id bigint, as_of timestamptz DEFAULT now(),
                              OUT tier text, OUT tier_until timestamptz, OUT next_tier text, OUT to_rise numeric, OUT rise_condition rule, OUT rise_by timestamptz,
                              OUT to_stay numeric, OUT stay_condition rule, OUT stay_by timestamptz)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    member record;
    f jsonb;
    year_start timestamptz := year_before(as_of);
    oldest timestamptz;
    keep_column text;
    keep_threshold numeric;
    figure numeric;
BEGIN
    tier := tier_at(tier_progress.customer_id, as_of);
    SELECT t.seq, t.keep, m.peak, h.period_end INTO member
    FROM tier t
    LEFT JOIN tier_member m ON m.customer_id = tier_progress.customer_id
    LEFT JOIN LATERAL (SELECT coalesce(CASE WHEN m.tier = t.tier AND m.since <= as_of THEN m.period_end END, c.period_end) AS period_end
                       FROM tier_change c WHERE c.customer_id = tier_progress.customer_id AND c.at <= as_of
                       ORDER BY c.at DESC, c.change_no DESC LIMIT 1) h ON true
    WHERE t.tier = tier_progress.tier;
    tier_until := member.period_end;
    SELECT to_jsonb(g) || jsonb_build_object('growth', growth_between(tier_progress.customer_id, year_start, as_of)) INTO f
    FROM tier_figures(ARRAY[tier_progress.customer_id], ARRAY[as_of]) g;
    -- The smallest amount by any condition. A lifetime limit that is crossed already lifts nobody who had the tier.
    SELECT t.tier INTO next_tier FROM tier t WHERE t.seq > member.seq AND t.qualify IS NOT NULL ORDER BY t.seq LIMIT 1;
    SELECT greatest(c.threshold - (f ->> c.column_name)::numeric, 0), c.condition, c.column_name INTO to_rise, rise_condition, keep_column
    FROM tier_condition c
    WHERE c.tier = next_tier AND f ? c.column_name
      AND (NOT c.lifetime OR c.seq > coalesce(member.peak, 0) OR (f ->> c.column_name)::numeric < c.threshold)
    ORDER BY c.column_name ~ '^(spend|growth|margin)' DESC, greatest(c.threshold - (f ->> c.column_name)::numeric, 0), c.lifetime DESC, c.n
    LIMIT 1;
    IF keep_column IN ('spend_12m', 'orders_12m', 'growth') AND to_rise > 0 THEN
        SELECT (min(p.order_at) AT TIME ZONE s.time_zone + interval '12 months') AT TIME ZONE s.time_zone INTO rise_by
        FROM settings s JOIN purchase p ON p.customer_id = tier_progress.customer_id AND p.order_at > year_start AND p.order_at <= as_of
        GROUP BY s.time_zone;
    END IF;
    -- To stay: what of today's figures still counts at the end of the cycle.
    SELECT k.column_name, k.threshold INTO keep_column, keep_threshold FROM rule_threshold(member.keep) k;
    IF tier_until IS NOT NULL AND keep_column IS NOT NULL THEN
        oldest := year_before(tier_until);
        SELECT CASE keep_column WHEN 'growth' THEN growth_between(tier_progress.customer_id, oldest, as_of)::numeric
                                WHEN 'orders_12m' THEN count(*)::numeric WHEN 'spend_12m' THEN coalesce(sum(p.net), 0)
                                ELSE (f ->> keep_column)::numeric END INTO figure
        FROM purchase p WHERE p.customer_id = tier_progress.customer_id AND p.order_at > oldest AND p.order_at <= as_of;
        to_stay := greatest(keep_threshold - figure, 0);
        stay_condition := member.keep;
        stay_by := tier_until;
    END IF;
END
$$;
COMMENT ON FUNCTION tier_progress(bigint, timestamptz) IS
'how far a customer is: the smallest amount that lifts to the next tier by any condition, and until when it is enough (null: for ever; then the oldest order leaves the 12 months), and what is missing to stay at the end of the cycle. In the unit of the condition''s column: money, growth, or orders';

CREATE FUNCTION tier_warning(as_of timestamptz DEFAULT now(), days integer DEFAULT NULL)
RETURNS TABLE (customer_id bigint, tier text, tier_until timestamptz, to_stay numeric, stay_condition rule)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT m.customer_id, m.tier, m.period_end, p.to_stay, p.stay_condition
    FROM settings s
    JOIN tier_member m ON m.period_end > tier_warning.as_of
        AND m.period_end <= tier_warning.as_of + make_interval(days => coalesce(tier_warning.days, s.tier_warning_days))
    CROSS JOIN LATERAL tier_progress(m.customer_id, tier_warning.as_of) p
    WHERE p.to_stay > 0
    ORDER BY m.period_end, m.customer_id;
END;
COMMENT ON FUNCTION tier_warning(timestamptz, integer) IS 'members whose cycle ends within so many days (settings.tier_warning_days) and who would not stay yet';

CREATE FUNCTION grant_tier(customer_id bigint, tier text, until timestamptz DEFAULT NULL, paid boolean DEFAULT false, note text DEFAULT NULL,
                           as_of timestamptz DEFAULT now())
RETURNS tier_change
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    member tier_member;
    change tier_change;
    held text;
    moment timestamptz;
    target integer := (SELECT t.seq FROM tier t WHERE t.tier = grant_tier.tier);
BEGIN
    IF target IS NULL THEN
        RAISE EXCEPTION 'tier "%" does not exist', tier USING ERRCODE = 'undefined_object', HINT = 'SELECT tier FROM tier ORDER BY seq lists them.';
    END IF;
    PERFORM tier_hold(ARRAY[grant_tier.customer_id]);
    PERFORM judge_due(ARRAY[grant_tier.customer_id], grant_tier.as_of);
    SELECT * INTO member FROM tier_member m WHERE m.customer_id = grant_tier.customer_id FOR UPDATE;
    held := coalesce(member.tier, base_tier());
    -- It follows what is booked already, also when this transaction began before that was.
    moment := greatest(grant_tier.as_of, (SELECT max(c.at) FROM tier_change c WHERE c.customer_id = grant_tier.customer_id));
    INSERT INTO tier_change (customer_id, from_tier, to_tier, reason, at, note, period_end, change_no, before)
    VALUES (grant_tier.customer_id, held, grant_tier.tier, CASE WHEN paid THEN 'paid' ELSE 'granted' END, moment, grant_tier.note, until,
            coalesce(member.last_change, 0) + 1,
            jsonb_build_object('tier', held, 'since', member.since, 'basis', member.basis, 'period_end', member.period_end, 'peak', member.peak, 'rests_on', member.rests_on))
    RETURNING * INTO change;
    INSERT INTO tier_member AS m (customer_id, tier, since, basis, period_end, judged_at, peak, last_change)
    VALUES (grant_tier.customer_id, grant_tier.tier, moment, CASE WHEN paid THEN 'paid' ELSE 'granted' END, until, until,
            coalesce(member.peak, (SELECT min(t.seq) FROM tier t)), change.change_no)
    ON CONFLICT ON CONSTRAINT tier_member_pkey DO UPDATE
    SET tier = EXCLUDED.tier, since = EXCLUDED.since, basis = EXCLUDED.basis, period_end = EXCLUDED.period_end, judged_at = EXCLUDED.judged_at,
        rests_on = NULL, last_change = EXCLUDED.last_change;
    RETURN change;
END
$$;
COMMENT ON FUNCTION grant_tier(bigint, text, timestamptz, boolean, text, timestamptz) IS
'gives a customer a tier until a moment (null: for good), as a favour or because it was paid for. At its end the customer falls to the tier whose keep is reached; a higher one can be earned meanwhile';
REVOKE EXECUTE ON FUNCTION grant_tier(bigint, text, timestamptz, boolean, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION lock_tier(customer_id bigint, until timestamptz) RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
    UPDATE tier_member m SET lock_until = lock_tier.until, judged_at = greatest(m.judged_at, lock_tier.until)
    WHERE m.customer_id = lock_tier.customer_id AND m.judged_at IS NOT NULL
$$;
COMMENT ON FUNCTION lock_tier(bigint, timestamptz) IS 'no downgrade of a member before this moment';
REVOKE EXECUTE ON FUNCTION lock_tier(bigint, timestamptz) FROM PUBLIC;

CREATE FUNCTION install_preset(preset text) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF preset IS DISTINCT FROM 'textbook' THEN
        RAISE EXCEPTION 'unknown preset "%"', preset USING ERRCODE = 'undefined_object', HINT = 'The presets are: textbook.';
    END IF;
    -- Members first, by themselves: over several nodes they are not beside the tiers.
    DELETE FROM tier t WHERE t.tier <> ALL (ARRAY(SELECT DISTINCT m.tier FROM tier_member m) || '{ordinary,silver,gold,diamond}'::text[]);
    INSERT INTO tier (tier, seq, name_zh, name_en, qualify, keep) VALUES
        ('ordinary', 1, '普通会员', 'ordinary', NULL, NULL),
        ('silver', 2, '银卡会员', 'silver', 'spend_12m >= 500 OR spend_total >= 800', 'growth >= 500'),
        ('gold', 3, '金卡会员', 'gold', 'spend_12m >= 1500 OR spend_total >= 2500', 'growth >= 1500'),
        ('diamond', 4, '钻石会员', 'diamond', 'spend_12m >= 3000 OR spend_total >= 5000', 'growth >= 3000')
    ON CONFLICT ON CONSTRAINT tier_pkey DO UPDATE
    SET seq = EXCLUDED.seq, name_zh = EXCLUDED.name_zh, name_en = EXCLUDED.name_en, qualify = EXCLUDED.qualify, keep = EXCLUDED.keep;
    DELETE FROM tier_benefit b WHERE b.tier IN ('ordinary', 'silver', 'gold', 'diamond');
    INSERT INTO tier_benefit (tier, kind, value, threshold) VALUES
        ('ordinary', 'discount', 0.98, 0), ('silver', 'discount', 0.95, 0), ('gold', 'discount', 0.90, 0), ('diamond', 'discount', 0.85, 0),
        ('silver', 'full_reduction', 50, 300), ('silver', 'full_reduction', 120, 500), ('silver', 'full_reduction', 300, 1000),
        ('gold', 'full_reduction', 50, 300), ('gold', 'full_reduction', 120, 500), ('gold', 'full_reduction', 300, 1000),
        ('diamond', 'full_reduction', 50, 300), ('diamond', 'full_reduction', 120, 500), ('diamond', 'full_reduction', 300, 1000),
        ('ordinary', 'return_days', 7, 0), ('silver', 'return_days', 7, 0), ('gold', 'return_days', 15, 0), ('diamond', 'return_days', 30, 0),
        ('diamond', 'birthday_multiplier', 2, 0),
        ('gold', 'free_pickup', 1, 0), ('diamond', 'free_pickup', 1, 0), ('gold', 'priority_dispatch', 1, 0), ('diamond', 'priority_dispatch', 1, 0),
        ('diamond', 'service_agent', 1, 0);
    INSERT INTO tier_benefit (tier, kind, quota, period) VALUES
        ('diamond', 'free_repair', 2, 'year'), ('gold', 'trial', 2, 'year'), ('diamond', 'trial', 4, 'year');
    UPDATE settings SET tier_period = 'upgrade', tier_period_months = 12, tier_window = 'rolling', tier_window_months = 12,
                        tier_downgrade = 'to_match', tier_grace_days = 0, reduction_on = 'discounted', platform_stacking = false;
END
$$;
COMMENT ON FUNCTION install_preset(text) IS
'textbook: tiers ordinary, silver (500 in 12 months or 800 in all), gold (1,500 or 2,500), diamond (3,000 or 5,000), kept by the growth of the last 12 months, with their benefits. Run by the store''s owner';
REVOKE EXECUTE ON FUNCTION install_preset(text) FROM PUBLIC;

-- What the columns without a word above are.
COMMENT ON COLUMN benefit_use.customer_id IS 'who used it';
COMMENT ON COLUMN benefit_use.kind IS 'which benefit';
COMMENT ON COLUMN benefit_use.reference IS 'name of the request, such as an order';
COMMENT ON COLUMN benefit_use.tier IS 'tier of the customer at the time';
COMMENT ON COLUMN benefit_use.at IS 'when it counts';
COMMENT ON COLUMN benefit_use.used_at IS 'when it was written';
COMMENT ON COLUMN benefit_use.actor IS 'who recorded it: crm.actor, or else the role';
