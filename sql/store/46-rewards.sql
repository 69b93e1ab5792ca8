-- What points are spent on: goods, virtual goods with codes, coupons, services.

CREATE TABLE reward (
    reward text PRIMARY KEY,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('goods', 'virtual', 'coupon', 'service')),
    program text COLLATE "C" NOT NULL DEFAULT 'points' REFERENCES points_program,
    points bigint NOT NULL CHECK (points > 0),
    total_limit bigint CHECK (total_limit >= 0),
    customer_limit integer CHECK (customer_limit > 0),
    coupon_template text,
    valid_from timestamptz NOT NULL DEFAULT '-infinity',
    valid_until timestamptz NOT NULL DEFAULT 'infinity',
    active boolean NOT NULL DEFAULT true,
    CHECK ((kind = 'coupon') = (coupon_template IS NOT NULL))
);
COMMENT ON TABLE reward IS 'the catalogue: what points buy, how many there are, how many a customer may have';

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
BEGIN
    SELECT k.* INTO w FROM reward k WHERE k.reward = redeem_reward.reward;
    IF NOT FOUND OR NOT w.active OR as_of < w.valid_from OR as_of >= w.valid_until THEN
        RAISE EXCEPTION 'reward "%" does not exist or is not offered now', redeem_reward.reward USING ERRCODE = 'CP020';
    END IF;
    -- Points first: the account's lock is the one that every other movement of this customer takes first too.
    PERFORM FROM customer c WHERE c.customer_id = redeem_reward.customer_id FOR NO KEY UPDATE;
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
        UPDATE reward_code k SET customer_id = redeem_reward.customer_id
        WHERE (k.reward, k.code) = (SELECT f.reward, f.code FROM reward_code f WHERE f.reward = w.reward AND f.customer_id IS NULL LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING k.code INTO handed;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'reward "%" has no code left', w.reward USING ERRCODE = 'CP022', HINT = 'Insert codes into reward_code.';
        END IF;
    ELSIF w.kind = 'coupon' THEN
        handed := (issue_coupon(redeem_reward.customer_id, w.coupon_template, 'reward/' || redeem_reward.reference, as_of)).code;
    END IF;
    INSERT INTO reward_redemption AS r (customer_id, reward, reference, points, code, redeemed_at)
    VALUES (redeem_reward.customer_id, w.reward, redeem_reward.reference, w.points, handed, as_of)
    RETURNING r.* INTO result;
    RETURN result;
END
$$;
COMMENT ON FUNCTION redeem_reward(bigint, text, text, timestamptz) IS
'spends points on a reward, whole or not at all: points, stock, code. Again with the same reference changes nothing. Errors: CP020 not offered, CP021 limit of the customer, CP022 out of stock, and those of redeem';
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
    END IF;
    IF result.cancelled_at IS NOT NULL THEN
        RETURN result;
    END IF;
    PERFORM restore(result.customer_id, result.reward || '/' || result.reference, source => 'reward', program => w.program, as_of => cancel_reward.as_of);
    UPDATE reward_stock s SET redeemed = s.redeemed - 1 WHERE s.reward = result.reward;
    UPDATE coupon c SET state = 'cancelled' WHERE c.customer_id = result.customer_id AND c.code = result.code AND c.state = 'issued';
    UPDATE reward_redemption r SET cancelled_at = as_of
    WHERE r.customer_id = result.customer_id AND r.reward = result.reward AND r.reference = result.reference
    RETURNING r.* INTO result;
    RETURN result;
END
$$;
COMMENT ON FUNCTION cancel_reward(bigint, text, text, timestamptz) IS 'gives the points of a redemption back to their lots and the reward to the stock. Errors: CP023 unknown, CP024 a code was handed out';
REVOKE EXECUTE ON FUNCTION cancel_reward(bigint, text, text, timestamptz) FROM PUBLIC;
