-- Gifts that take of a coupon's stock are given on the coordinator.
CREATE OR REPLACE FUNCTION gives_care_gift(gift jsonb) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN NOT EXISTS (SELECT FROM coupon_template t WHERE t.template = gives_care_gift.gift ->> 'coupon' AND t.total_limit IS NOT NULL);
END
$$;
