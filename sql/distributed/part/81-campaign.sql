-- The stock of a template is taken on the coordinator: who asks the part has seen to it, or says that there is none.
CREATE OR REPLACE FUNCTION take_coupon_stock(template text, total_limit bigint) RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    CASE current_setting('crm_part.given', true)
        WHEN 'stock' THEN RETURN true;
        WHEN 'no stock' THEN RETURN false;
        ELSE RAISE EXCEPTION 'the stock of coupon "%" is not taken in a part of the store', template
            USING ERRCODE = 'feature_not_supported', HINT = 'issue_coupon() on the coordinator does.';
    END CASE;
END
$$;

-- Of the members of a variant, those who are in this part.
DO $do$
BEGIN
    ALTER FUNCTION write_variant(campaign, campaign_variant, audience, timestamptz) RENAME TO write_members;
END
$do$;
CREATE FUNCTION write_variant(c campaign, v campaign_variant, members audience, due timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN write_members(c, v, (SELECT audience_agg(k.customer_id) FROM customer k WHERE k.customer_id = ANY (write_variant.members::bigint[])), due);
END
$$;
COMMENT ON FUNCTION write_variant(campaign, campaign_variant, audience, timestamptz) IS 'writes the messages of a variant of a campaign to those of its members who are in this part';
