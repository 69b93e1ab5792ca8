-- What a customer pays: tier, reduction, coupon.

CREATE FUNCTION price_for(customer_id bigint, amount numeric, as_of timestamptz DEFAULT now(), coupon_code text DEFAULT NULL,
                          OUT list numeric, OUT tier_discount numeric, OUT reduction numeric, OUT coupon numeric, OUT payable numeric)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT p.list, p.list - p.discounted, r.reduction, k.coupon, p.discounted - r.reduction - k.coupon
    FROM (SELECT round(price_for.amount, 2) AS list, s.reduction_on, t.tier,
                 round(round(price_for.amount, 2)
                       * CASE WHEN NOT m.member THEN t.rate WHEN s.platform_stacking THEN t.rate * s.platform_discount ELSE least(t.rate, s.platform_discount) END, 2) AS discounted
          FROM settings s
          CROSS JOIN LATERAL (SELECT h.tier, coalesce((SELECT min(b.value) FROM tier_benefit b
                                                       WHERE b.tier = h.tier AND b.kind = 'discount' AND b.threshold <= price_for.amount), 1) AS rate
                              FROM (SELECT tier_at(price_for.customer_id, price_for.as_of) AS tier) h) t
          CROSS JOIN LATERAL (SELECT coalesce((SELECT has_tag(c.tags, s.platform_tag) FROM customer c WHERE c.customer_id = price_for.customer_id), false) AS member) m) p
    CROSS JOIN LATERAL (SELECT round(least(coalesce(max(b.value), 0), p.discounted), 2) AS reduction FROM tier_benefit b
                        WHERE b.tier = p.tier AND b.kind = 'full_reduction'
                          AND b.threshold <= CASE p.reduction_on WHEN 'list' THEN p.list ELSE p.discounted END) r
    CROSS JOIN LATERAL (SELECT coalesce((SELECT round(coupon_discount(c.template, p.discounted - r.reduction), 2)
                                         FROM coupon c
                                         WHERE c.code = coupon_code_canonical(price_for.coupon_code) AND c.customer_id = price_for.customer_id
                                           AND (c.state = 'issued' OR c.state = 'locked' AND c.locked_until <= price_for.as_of)
                                           AND c.valid_from <= price_for.as_of AND c.valid_until > price_for.as_of), 0.00) AS coupon) k;
END;
COMMENT ON FUNCTION price_for(bigint, numeric, timestamptz, text) IS
'what a customer pays for goods of a list price: the discount of the tier first (or the platform''s, the better of the two), then one full reduction, the largest whose threshold is reached, then a coupon on what is left; each step rounded half up to cents. tier_discount, reduction and coupon are amounts off. A coupon that is not the customer''s, not valid then, used, or below its threshold takes nothing off: lock_coupon says why';
