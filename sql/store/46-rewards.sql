-- What points are spent on: goods, virtual goods with codes, coupons, services, privileges.

CREATE TABLE reward (
    reward text PRIMARY KEY,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('goods', 'virtual', 'coupon', 'service', 'privilege')),
    program text COLLATE "C" NOT NULL DEFAULT 'points' REFERENCES points_program,
    points bigint NOT NULL CHECK (points > 0),
    total_limit bigint CHECK (total_limit >= 0),
    customer_limit integer CHECK (customer_limit > 0),
    coupon_template text,
    valid_from timestamptz NOT NULL DEFAULT '-infinity',
    valid_until timestamptz NOT NULL DEFAULT 'infinity',
    active boolean NOT NULL DEFAULT true,
    tier text,
    benefit text CHECK (benefit IN ('free_shipping', 'free_pickup', 'priority_dispatch', 'service_agent', 'free_repair', 'trial', 'members_sale', 'custom_service')),
    privilege_days integer CHECK (privilege_days > 0),
    privilege_until timestamptz,
    CHECK ((kind = 'coupon') = (coupon_template IS NOT NULL)),
    CHECK (kind <> 'privilege' AND num_nonnulls(tier, benefit, privilege_days, privilege_until) = 0
           OR kind = 'privilege' AND num_nonnulls(tier, benefit) = 1 AND num_nonnulls(privilege_days, privilege_until) = 1)
);
COMMENT ON TABLE reward IS 'the catalogue: what points buy, how many there are, how many a customer may have';
COMMENT ON COLUMN reward.reward IS 'its code';
COMMENT ON COLUMN reward.name IS 'what customers read';
COMMENT ON COLUMN reward.kind IS 'goods, virtual (a code each), coupon, service or privilege';
COMMENT ON COLUMN reward.program IS 'points of which program';
COMMENT ON COLUMN reward.points IS 'its price';
COMMENT ON COLUMN reward.total_limit IS 'how many there are; null without limit';
COMMENT ON COLUMN reward.customer_limit IS 'how many a customer may have; null without limit';
COMMENT ON COLUMN reward.coupon_template IS 'for kind coupon';
COMMENT ON COLUMN reward.valid_from IS 'offered from';
COMMENT ON COLUMN reward.valid_until IS 'offered until, exclusive';
COMMENT ON COLUMN reward.active IS 'offered at all';
COMMENT ON COLUMN reward.tier IS 'a privilege: this tier';
COMMENT ON COLUMN reward.benefit IS 'or this benefit, of those that tiers can give';
COMMENT ON COLUMN reward.privilege_days IS 'for so many days; what the customer has of it already is prolonged';
COMMENT ON COLUMN reward.privilege_until IS 'or until this moment';

CREATE TABLE customer_benefit (
    customer_id bigint NOT NULL REFERENCES customer ON DELETE CASCADE,
    benefit text NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    source text NOT NULL,
    reference text NOT NULL,
    PRIMARY KEY (customer_id, source, reference)
);
COMMENT ON TABLE customer_benefit IS 'benefits that a customer has beside those of the tier, until a moment (exclusive); tier_benefits() and use_benefit() know them';

CREATE TABLE reward_stock (
    reward text PRIMARY KEY REFERENCES reward ON DELETE CASCADE,
    redeemed bigint NOT NULL DEFAULT 0 CHECK (redeemed >= 0)
) WITH (fillfactor = 20);
COMMENT ON TABLE reward_stock IS 'how many of a reward with a limit are gone';

CREATE TABLE reward_code (
    reward text NOT NULL REFERENCES reward,
    code text NOT NULL,
    customer_id bigint REFERENCES customer,
    PRIMARY KEY (reward, code)
);
CREATE INDEX reward_code_free ON reward_code (reward) WHERE customer_id IS NULL;
COMMENT ON TABLE reward_code IS 'codes of virtual rewards; each goes to one customer';

CREATE TABLE reward_redemption (
    customer_id bigint NOT NULL REFERENCES customer,
    reward text NOT NULL REFERENCES reward,
    reference text NOT NULL,
    points bigint NOT NULL,
    code text,
    redeemed_at timestamptz NOT NULL,
    cancelled_at timestamptz,
    PRIMARY KEY (customer_id, reward, reference)
);
COMMENT ON TABLE reward_redemption IS 'who redeemed what; the points stand in the ledger under source reward';

CREATE FUNCTION redeem_reward(customer_id bigint, reward text, reference text, as_of timestamptz DEFAULT now()) RETURNS reward_redemption
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    w reward;
    result reward_redemption;
    handed text;
    ends_at timestamptz;
    held record;
    own text;
BEGIN
    SELECT k.* INTO w FROM reward k WHERE k.reward = redeem_reward.reward;
    IF NOT FOUND OR NOT w.active OR as_of < w.valid_from OR as_of >= w.valid_until THEN
        RAISE EXCEPTION 'reward "%" does not exist or is not offered now', redeem_reward.reward USING ERRCODE = 'CP020';
    END IF;
    -- One at a time for a customer; the row that orders lock first too, before the account.
    PERFORM FROM customer_summary s WHERE s.customer_id = redeem_reward.customer_id FOR NO KEY UPDATE;
    SELECT r.* INTO result FROM reward_redemption r
    WHERE r.customer_id = redeem_reward.customer_id AND r.reward = redeem_reward.reward AND r.reference = redeem_reward.reference;
    IF FOUND THEN
        RETURN result;
    END IF;
    IF (SELECT count(*) FROM reward_redemption r WHERE r.customer_id = redeem_reward.customer_id AND r.reward = w.reward AND r.cancelled_at IS NULL) >= w.customer_limit THEN
        RAISE EXCEPTION 'customer % has had reward "%" as often as allowed', redeem_reward.customer_id, w.reward
            USING ERRCODE = 'CP021', HINT = format('The reward allows %s a customer.', w.customer_limit);
    END IF;
    PERFORM redeem(redeem_reward.customer_id, w.points, 'reward', w.reward || '/' || redeem_reward.reference, program => w.program, as_of => redeem_reward.as_of);
    IF w.total_limit IS NOT NULL THEN
        INSERT INTO reward_stock (reward) VALUES (w.reward) ON CONFLICT DO NOTHING;
        UPDATE reward_stock s SET redeemed = s.redeemed + 1 WHERE s.reward = w.reward AND s.redeemed < w.total_limit;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'reward "%" is out of stock', w.reward USING ERRCODE = 'CP022';
        END IF;
    END IF;
    IF w.kind = 'virtual' THEN
        -- On several nodes another may have had the code of another copy meanwhile.
        LOOP
            SELECT f.code INTO handed FROM reward_code f WHERE f.reward = w.reward AND f.customer_id IS NULL LIMIT 1 FOR UPDATE SKIP LOCKED;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'reward "%" has no code left', w.reward USING ERRCODE = 'CP022', HINT = 'Insert codes into reward_code.';
            END IF;
            UPDATE reward_code k SET customer_id = redeem_reward.customer_id WHERE k.reward = w.reward AND k.code = handed AND k.customer_id IS NULL;
            EXIT WHEN FOUND;
        END LOOP;
    ELSIF w.kind = 'coupon' THEN
        handed := (issue_coupon(redeem_reward.customer_id, w.coupon_template, 'reward/' || redeem_reward.reference, as_of)).code;
    ELSIF w.tier IS NOT NULL THEN
        own := tier_at(redeem_reward.customer_id, as_of);
        SELECT t.seq, m.basis, m.period_end INTO held
        FROM tier t LEFT JOIN tier_member m ON m.customer_id = redeem_reward.customer_id AND m.tier = t.tier
        WHERE t.tier = own;
        ends_at := coalesce(w.privilege_until,
                          as_of + make_interval(days => w.privilege_days)
                          + CASE WHEN own = w.tier AND held.basis <> 'earned' AND held.period_end > as_of THEN held.period_end - as_of ELSE '0' END);
        IF held.seq > (SELECT t.seq FROM tier t WHERE t.tier = w.tier)
           OR own = w.tier AND (held.basis IS DISTINCT FROM 'granted' AND held.basis IS DISTINCT FROM 'paid' OR held.period_end IS NULL OR held.period_end >= ends_at) THEN
            RAISE EXCEPTION 'customer % has tier "%" or a higher one already', redeem_reward.customer_id, w.tier
                USING ERRCODE = 'CP025', HINT = 'tier_at(customer_id) gives the tier.';
        END IF;
        PERFORM grant_tier(redeem_reward.customer_id, w.tier, ends_at, true, 'reward ' || w.reward, as_of);
    ELSIF w.benefit IS NOT NULL THEN
        SELECT coalesce(w.privilege_until, greatest(as_of, max(g.until)) + make_interval(days => w.privilege_days)) INTO ends_at
        FROM customer_benefit g WHERE g.customer_id = redeem_reward.customer_id AND g.benefit = w.benefit AND g.until > as_of;
        IF ends_at <= as_of OR EXISTS (SELECT FROM customer_benefit g WHERE g.customer_id = redeem_reward.customer_id AND g.benefit = w.benefit AND g.since <= as_of AND g.until >= ends_at) THEN
            RAISE EXCEPTION 'customer % has benefit "%" until then already', redeem_reward.customer_id, w.benefit
                USING ERRCODE = 'CP025', HINT = 'tier_benefits(customer_id) lists what the customer has.';
        END IF;
        INSERT INTO customer_benefit (customer_id, benefit, since, until, source, reference)
        VALUES (redeem_reward.customer_id, w.benefit, as_of, ends_at, 'reward', w.reward || '/' || redeem_reward.reference);
    END IF;
    INSERT INTO reward_redemption AS r (customer_id, reward, reference, points, code, redeemed_at)
    VALUES (redeem_reward.customer_id, w.reward, redeem_reward.reference, w.points, handed, as_of)
    RETURNING r.* INTO result;
    RETURN result;
END
$$;
COMMENT ON FUNCTION redeem_reward(bigint, text, text, timestamptz) IS
'spends points on a reward, whole or not at all: points, stock, code. Again with the same reference changes nothing. Errors: CP020 not offered, CP021 limit of the customer, CP022 out of stock, CP025 has that privilege or more already, and those of redeem';
REVOKE EXECUTE ON FUNCTION redeem_reward(bigint, text, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION cancel_reward(customer_id bigint, reward text, reference text, as_of timestamptz DEFAULT now()) RETURNS reward_redemption
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    result reward_redemption;
    w reward;
BEGIN
    SELECT r.* INTO result FROM reward_redemption r
    WHERE r.customer_id = cancel_reward.customer_id AND r.reward = cancel_reward.reward AND r.reference = cancel_reward.reference FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'customer % has no redemption "%" of reward "%"', cancel_reward.customer_id, cancel_reward.reference, cancel_reward.reward USING ERRCODE = 'CP023';
    END IF;
    SELECT k.* INTO w FROM reward k WHERE k.reward = result.reward;
    IF w.kind = 'virtual' THEN
        RAISE EXCEPTION 'a code that was handed out cannot be taken back' USING ERRCODE = 'CP024', HINT = 'Use adjust when it did not work.';
    ELSIF w.tier IS NOT NULL THEN
        RAISE EXCEPTION 'a tier that was granted cannot be taken back' USING ERRCODE = 'CP024', HINT = 'Grant the tier before with grant_tier, and use adjust.';
    END IF;
    IF result.cancelled_at IS NOT NULL THEN
        RETURN result;
    END IF;
    PERFORM restore(result.customer_id, result.reward || '/' || result.reference, source => 'reward', program => w.program, as_of => cancel_reward.as_of);
    UPDATE reward_stock s SET redeemed = s.redeemed - 1 WHERE s.reward = result.reward;
    UPDATE customer_benefit g SET until = greatest(g.since, cancel_reward.as_of)
    WHERE g.customer_id = result.customer_id AND g.source = 'reward' AND g.reference = result.reward || '/' || result.reference AND g.until > cancel_reward.as_of;
    UPDATE coupon c SET state = 'cancelled' WHERE c.customer_id = result.customer_id AND c.code = result.code AND c.state = 'issued';
    UPDATE reward_redemption r SET cancelled_at = as_of
    WHERE r.customer_id = result.customer_id AND r.reward = result.reward AND r.reference = result.reference
    RETURNING r.* INTO result;
    RETURN result;
END
$$;
COMMENT ON FUNCTION cancel_reward(bigint, text, text, timestamptz) IS 'gives the points of a redemption back to their lots and the reward to the stock. Errors: CP023 unknown, CP024 a code was handed out or a tier granted';
REVOKE EXECUTE ON FUNCTION cancel_reward(bigint, text, text, timestamptz) FROM PUBLIC;

-- What the columns without a word above are.
COMMENT ON COLUMN customer_benefit.customer_id IS 'who has it';
COMMENT ON COLUMN customer_benefit.benefit IS 'a kind of tier_benefit';
COMMENT ON COLUMN customer_benefit.since IS 'from when';
COMMENT ON COLUMN customer_benefit.until IS 'up to when (exclusive)';
COMMENT ON COLUMN customer_benefit.source IS 'what gave it, such as reward';
COMMENT ON COLUMN customer_benefit.reference IS 'name of the request';
COMMENT ON COLUMN reward_stock.reward IS 'the reward';
COMMENT ON COLUMN reward_stock.redeemed IS 'how many are gone, cancelled ones given back';
COMMENT ON COLUMN reward_code.reward IS 'the reward';
COMMENT ON COLUMN reward_code.code IS 'the code that its owner is told';
COMMENT ON COLUMN reward_code.customer_id IS 'who has it; null: still to be given';
COMMENT ON COLUMN reward_redemption.customer_id IS 'who redeemed';
COMMENT ON COLUMN reward_redemption.reward IS 'the reward';
COMMENT ON COLUMN reward_redemption.reference IS 'name of the request';
COMMENT ON COLUMN reward_redemption.points IS 'what it cost';
COMMENT ON COLUMN reward_redemption.code IS 'the code given, for rewards that have codes';
COMMENT ON COLUMN reward_redemption.redeemed_at IS 'when';
COMMENT ON COLUMN reward_redemption.cancelled_at IS 'when it was taken back and the points restored; null: it stands';
