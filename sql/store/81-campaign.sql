-- Campaigns: a frozen audience, a hold-out, variants, messages in the outbox, and what came of it.

ALTER TABLE settings
    ADD COLUMN sms_per_day integer NOT NULL DEFAULT 1 CHECK (sms_per_day >= 0),
    ADD COLUMN sms_per_30_days integer NOT NULL DEFAULT 4 CHECK (sms_per_30_days >= 0),
    ADD COLUMN message_attempts integer NOT NULL DEFAULT 5 CHECK (message_attempts BETWEEN 1 AND 20);
COMMENT ON COLUMN settings.sms_per_day IS 'marketing SMS that a customer gets on a day at most, over all campaigns';
COMMENT ON COLUMN settings.sms_per_30_days IS 'and in 30 days';
COMMENT ON COLUMN settings.message_attempts IS 'how often a message is tried before it is a dead letter';

CREATE TABLE message_template (
    template text PRIMARY KEY,
    channel text NOT NULL,
    purpose text NOT NULL DEFAULT 'marketing' CHECK (purpose IN ('marketing', 'service', 'care', 'survey')),
    title text,
    body text NOT NULL
);
COMMENT ON TABLE message_template IS 'texts with placeholders in braces: {name}, {points}, {tier}, {order_no}, {coupon}, {event}, {link}, {shop}';
COMMENT ON COLUMN message_template.template IS 'its code';
COMMENT ON COLUMN message_template.channel IS 'for this channel';
COMMENT ON COLUMN message_template.purpose IS 'marketing, service, care or survey';
COMMENT ON COLUMN message_template.title IS 'subject, where the channel has one';
COMMENT ON COLUMN message_template.body IS 'text with placeholders: {name}, {points}, {tier}, {order_no}, {coupon} …';

CREATE FUNCTION check_message_template() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    odd text;
BEGIN
    SELECT m[1] INTO odd FROM regexp_matches(coalesce(NEW.title, '') || NEW.body, '\{([^{}]*)\}', 'g') m
    WHERE m[1] NOT IN ('name', 'points', 'tier', 'order_no', 'coupon', 'event', 'link', 'shop') LIMIT 1;
    IF odd IS NOT NULL THEN
        RAISE EXCEPTION 'message template "%" has the unknown placeholder {%}', NEW.template, odd
            USING ERRCODE = 'CM020', HINT = 'The placeholders are {name}, {points}, {tier}, {order_no}, {coupon}, {event}, {link}, {shop}.';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER check_message_template BEFORE INSERT OR UPDATE ON message_template FOR EACH ROW EXECUTE FUNCTION check_message_template();

CREATE TABLE campaign (
    campaign text PRIMARY KEY,
    name text NOT NULL,
    channel text NOT NULL,
    purpose text NOT NULL DEFAULT 'marketing' CHECK (purpose IN ('marketing', 'service', 'care', 'survey')),
    rule crm.rule,
    query crm.tagquery,
    segment text,
    audience crm.audience,
    holdout numeric(5,4) NOT NULL DEFAULT 0.1 CHECK (holdout >= 0 AND holdout < 1),
    seed bigint NOT NULL DEFAULT floor(random() * 1e15)::bigint,
    scheduled_at timestamptz NOT NULL DEFAULT now(),
    attribution_days integer NOT NULL DEFAULT 7 CHECK (attribution_days BETWEEN 1 AND 365),
    message_cost numeric(16,6) NOT NULL DEFAULT 0 CHECK (message_cost >= 0),
    fixed_cost numeric(16,4) NOT NULL DEFAULT 0 CHECK (fixed_cost >= 0),
    coupon_template text REFERENCES coupon_template,
    state text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'frozen', 'launched', 'cancelled')),
    frozen_at timestamptz,
    launched_at timestamptz,
    target crm.audience,
    held_out crm.audience,
    refused bigint,
    apart interval NOT NULL DEFAULT '0' CHECK (apart >= interval '0'),
    CHECK (rule IS NOT NULL OR query IS NOT NULL OR segment IS NOT NULL OR audience IS NOT NULL),
    CHECK (state = 'draft' OR state = 'cancelled' OR (target IS NOT NULL AND held_out IS NOT NULL))
);
CREATE TRIGGER rule_guard BEFORE INSERT OR UPDATE ON campaign FOR EACH ROW EXECUTE FUNCTION rule_guard('customer_360');
COMMENT ON TABLE campaign IS 'who is to get what: customers that meet all of rule, tag query, segment and audience that are given; a share held out to measure against';
COMMENT ON COLUMN campaign.campaign IS 'its code';
COMMENT ON COLUMN campaign.name IS 'what staff read';
COMMENT ON COLUMN campaign.channel IS 'channel of its messages';
COMMENT ON COLUMN campaign.purpose IS 'marketing, service, care or survey: which consent it needs';
COMMENT ON COLUMN campaign.rule IS 'audience by rule; with query, segment and audience: who is in all of them';
COMMENT ON COLUMN campaign.query IS 'audience by tags';
COMMENT ON COLUMN campaign.segment IS 'audience by segment';
COMMENT ON COLUMN campaign.audience IS 'audience given as a set of customers';
COMMENT ON COLUMN campaign.seed IS 'of the draw of hold-out and variants';
COMMENT ON COLUMN campaign.scheduled_at IS 'its messages are not due before';
COMMENT ON COLUMN campaign.attribution_days IS 'orders within so many days of sending count';
COMMENT ON COLUMN campaign.message_cost IS 'of one message';
COMMENT ON COLUMN campaign.fixed_cost IS 'of the campaign';
COMMENT ON COLUMN campaign.coupon_template IS 'coupon that each message brings';
COMMENT ON COLUMN campaign.state IS 'draft, frozen, launched or cancelled';
COMMENT ON COLUMN campaign.frozen_at IS 'when the audience was frozen';
COMMENT ON COLUMN campaign.launched_at IS 'when the messages were written';
COMMENT ON COLUMN campaign.target IS 'who is addressed';
COMMENT ON COLUMN campaign.held_out IS 'who is left out to compare with';
COMMENT ON COLUMN campaign.holdout IS 'share of the audience that gets nothing, chosen by a hash of the customer and seed: the same customers however often it is frozen';
COMMENT ON COLUMN campaign.refused IS 'members left out when it was frozen: no consent, no address, or too many messages already';

COMMENT ON COLUMN campaign.apart IS 'who gets a marketing message of another campaign or flow, on any channel, within so long before or after is left out; 0: only the caps for SMS count';

CREATE TABLE campaign_variant (
    campaign text NOT NULL REFERENCES campaign ON DELETE CASCADE,
    variant text NOT NULL,
    share numeric(5,4) NOT NULL DEFAULT 1 CHECK (share > 0 AND share <= 1),
    template text NOT NULL REFERENCES message_template,
    members crm.audience,
    PRIMARY KEY (campaign, variant)
);
COMMENT ON TABLE campaign_variant IS 'variants of a campaign with their share of the target; the last one takes the rest';

ALTER TABLE outbox ADD COLUMN campaign text, ADD COLUMN variant text;
COMMENT ON COLUMN outbox.variant IS 'of the campaign';
COMMENT ON COLUMN outbox.campaign IS 'the campaign that wrote it; one with messages can be neither deleted nor renamed';
CREATE INDEX outbox_campaign ON outbox (campaign, variant) WHERE campaign IS NOT NULL;

CREATE FUNCTION guard_campaign() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    -- A node's copy of the table does not see the messages, which are on all.
    IF crm.is_shard(TG_RELID) THEN
        RAISE EXCEPTION 'campaign "%" is not deleted or renamed: the store is spread over several nodes', OLD.campaign
            USING ERRCODE = 'feature_not_supported', HINT = 'cancel_campaign() takes back what was not claimed.';
    END IF;
    IF EXISTS (SELECT FROM outbox o WHERE o.campaign = OLD.campaign) THEN
        RAISE EXCEPTION 'campaign "%" has messages in the outbox', OLD.campaign
            USING ERRCODE = 'foreign_key_violation', HINT = 'cancel_campaign() takes back what was not claimed; what was sent is needed for its effect.';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION guard_campaign() IS 'trigger of campaign: what messages refer to stays';
REVOKE EXECUTE ON FUNCTION guard_campaign() FROM PUBLIC;

CREATE FUNCTION guard_outbox_customer() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    IF EXISTS (SELECT FROM outbox o WHERE o.customer_id = OLD.customer_id) THEN
        RAISE EXCEPTION 'customer % has messages in the outbox', OLD.customer_id
            USING ERRCODE = 'foreign_key_violation', HINT = 'erase_customer() removes a person and keeps the row.';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION guard_outbox_customer() IS 'trigger of customer: who has messages stays';
REVOKE EXECUTE ON FUNCTION guard_outbox_customer() FROM PUBLIC;
CREATE TRIGGER guard_outbox BEFORE DELETE ON customer FOR EACH ROW EXECUTE FUNCTION guard_outbox_customer();
CREATE TRIGGER guard_outbox_key BEFORE UPDATE OF customer_id ON customer FOR EACH ROW WHEN (NEW.customer_id <> OLD.customer_id) EXECUTE FUNCTION guard_outbox_customer();

CREATE FUNCTION check_outbox() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    odd text;
BEGIN
    IF crm.is_shard(TG_RELID) THEN
        FOR odd IN SELECT n.customer_id FROM new_rows n LOOP
            EXIT WHEN NOT EXISTS (SELECT FROM customer c WHERE c.customer_id = odd::bigint);
            odd := NULL;
        END LOOP;
    ELSE
        SELECT n.customer_id INTO odd FROM new_rows n WHERE NOT EXISTS (SELECT FROM customer c WHERE c.customer_id = n.customer_id) LIMIT 1;
    END IF;
    IF odd IS NOT NULL THEN
        RAISE EXCEPTION 'a message in the outbox is for customer %, who does not exist', odd USING ERRCODE = 'foreign_key_violation', HINT = 'Insert the customer first.';
    END IF;
    IF crm.is_shard(TG_RELID) THEN
        FOR odd IN SELECT DISTINCT w.campaign FROM new_rows w WHERE w.campaign IS NOT NULL LOOP
            EXIT WHEN NOT EXISTS (SELECT FROM campaign c WHERE c.campaign = odd);
            odd := NULL;
        END LOOP;
    ELSE
        SELECT n.campaign INTO odd FROM (SELECT DISTINCT w.campaign FROM new_rows w WHERE w.campaign IS NOT NULL) n
        WHERE NOT EXISTS (SELECT FROM campaign c WHERE c.campaign = n.campaign) LIMIT 1;
    END IF;
    IF odd IS NOT NULL THEN
        RAISE EXCEPTION 'a message in the outbox is of campaign "%", which does not exist', odd USING ERRCODE = 'foreign_key_violation', HINT = 'launch_campaign() writes the messages of a campaign.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION check_outbox() IS 'statement trigger of outbox: customers and campaigns of new messages exist';
REVOKE EXECUTE ON FUNCTION check_outbox() FROM PUBLIC;
CREATE TRIGGER check_outbox AFTER INSERT ON outbox REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION check_outbox();

CREATE TRIGGER guard BEFORE DELETE ON campaign FOR EACH ROW EXECUTE FUNCTION guard_campaign();
CREATE TRIGGER guard_name BEFORE UPDATE OF campaign ON campaign FOR EACH ROW WHEN (NEW.campaign <> OLD.campaign) EXECUTE FUNCTION guard_campaign();

CREATE FUNCTION campaign_audience(campaign text, as_of timestamptz DEFAULT now()) RETURNS crm.audience
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    c campaign;
    members crm.audience;
    part crm.audience;
    zone text := (SELECT s.time_zone FROM settings s);
BEGIN
    SELECT k.* INTO c FROM campaign k WHERE k.campaign = campaign_audience.campaign;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'campaign "%" does not exist', campaign_audience.campaign USING ERRCODE = 'CM021';
    END IF;
    members := c.audience;
    IF c.segment IS NOT NULL THEN
        part := segment_members(c.segment, as_of);
        members := CASE WHEN members IS NULL THEN part ELSE members OPERATOR(crm.&) part END;
    END IF;
    IF c.rule IS NOT NULL THEN
        EXECUTE format('SELECT crm.audience_agg(c.customer_id) FROM customer_360_all c WHERE %s', rule_sql(c.rule, 'customer_360', 'c', as_of, zone)) INTO part;
        part := coalesce(part, crm.audience('{}'::bigint[]));
        members := CASE WHEN members IS NULL THEN part ELSE members OPERATOR(crm.&) part END;
    END IF;
    IF c.query IS NOT NULL THEN
        SELECT crm.audience_agg(k.customer_id) INTO part FROM customer k WHERE k.tags OPERATOR(crm.@@) c.query AND k.status = 'active';
        part := coalesce(part, crm.audience('{}'::bigint[]));
        members := CASE WHEN members IS NULL THEN part ELSE members OPERATOR(crm.&) part END;
    END IF;
    RETURN members;
END
$$;
COMMENT ON FUNCTION campaign_audience(text, timestamptz) IS 'the customers that a campaign is for, before consent and caps. Errors: CM021 unknown';

CREATE FUNCTION sms_capped(as_of timestamptz DEFAULT now()) RETURNS SETOF bigint
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT o.customer_id
    FROM outbox o, settings s
    WHERE o.channel = 'sms' AND o.purpose = 'marketing' AND o.state IN ('pending', 'claimed', 'sent') AND o.due_at > sms_capped.as_of - interval '30 days'
    GROUP BY o.customer_id, s.sms_per_day, s.sms_per_30_days
    HAVING count(*) >= s.sms_per_30_days
        OR count(*) FILTER (WHERE shop_date(coalesce(o.sent_at, o.due_at)) >= shop_date(sms_capped.as_of)) >= s.sms_per_day;
END;
COMMENT ON FUNCTION sms_capped(timestamptz) IS 'customers who had as many marketing SMS as settings allow on the day or in 30 days, over all campaigns';

CREATE FUNCTION sms_allowed(customer_id bigint, as_of timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT count(o.*) < s.sms_per_30_days
           AND count(o.*) FILTER (WHERE shop_date(coalesce(o.sent_at, o.due_at)) >= shop_date(sms_allowed.as_of)) < s.sms_per_day
    FROM settings s
    LEFT JOIN outbox o ON o.customer_id = sms_allowed.customer_id AND o.channel = 'sms' AND o.purpose = 'marketing' AND o.state IN ('pending', 'claimed', 'sent')
         AND o.due_at > sms_allowed.as_of - interval '30 days'
    GROUP BY s.sms_per_30_days, s.sms_per_day;
END;
COMMENT ON FUNCTION sms_allowed(bigint, timestamptz) IS 'may a customer get one more marketing SMS, by the caps of settings? sms_capped() for all at once';

CREATE FUNCTION campaign_capped(campaign campaign, as_of timestamptz) RETURNS crm.audience
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(crm.audience_agg(x.customer_id), crm.audience('{}'::bigint[]))
    FROM (SELECT a.customer_id FROM sms_capped(campaign_capped.as_of) a (customer_id)
          WHERE (campaign_capped.campaign).channel = 'sms' AND (campaign_capped.campaign).purpose = 'marketing'
          UNION ALL
          SELECT o.customer_id FROM outbox o
          WHERE (campaign_capped.campaign).apart > interval '0' AND o.purpose = 'marketing' AND o.campaign IS DISTINCT FROM (campaign_capped.campaign).campaign
            AND o.state IN ('pending', 'claimed', 'sent')
            AND coalesce(o.sent_at, o.due_at) > campaign_capped.as_of - (campaign_capped.campaign).apart
            AND coalesce(o.sent_at, o.due_at) < campaign_capped.as_of + (campaign_capped.campaign).apart) x;
END;
COMMENT ON FUNCTION campaign_capped(campaign, timestamptz) IS 'who gets no message of a campaign that is due then: by the caps for SMS, or for another message near by';

CREATE FUNCTION freeze_campaign(campaign text, as_of timestamptz DEFAULT now()) RETURNS campaign
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    c campaign;
    members crm.audience;
    allowed crm.audience;
    v campaign_variant;
    rest crm.audience;
    part crm.audience;
    left_share numeric := 1;
BEGIN
    SELECT k.* INTO c FROM campaign k WHERE k.campaign = freeze_campaign.campaign FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'campaign "%" does not exist', freeze_campaign.campaign USING ERRCODE = 'CM021';
    ELSIF c.state NOT IN ('draft', 'frozen') THEN
        RAISE EXCEPTION 'campaign "%" is %', c.campaign, c.state USING ERRCODE = 'CM022', HINT = 'A draft or frozen campaign can be frozen.';
    ELSIF NOT EXISTS (SELECT FROM campaign_variant k WHERE k.campaign = c.campaign) THEN
        RAISE EXCEPTION 'campaign "%" has no variant', c.campaign USING ERRCODE = 'CM023', HINT = 'Insert one into campaign_variant, with its template.';
    END IF;
    members := campaign_audience(c.campaign, as_of);
    SELECT coalesce(crm.audience_agg(a), crm.audience('{}'::bigint[])) INTO allowed FROM contactable(c.channel, c.purpose, as_of) a;
    allowed := allowed OPERATOR(crm.-) campaign_capped(c, greatest(as_of, c.scheduled_at)) OPERATOR(crm.&) members;
    -- The hold-out is taken from those who would have got the message: only so the two can be compared.
    UPDATE campaign k
    SET state = 'frozen', frozen_at = as_of, held_out = crm.split(allowed, c.holdout, c.seed),
        target = allowed OPERATOR(crm.-) crm.split(allowed, c.holdout, c.seed), refused = crm.cardinality(members) - crm.cardinality(allowed)
    WHERE k.campaign = c.campaign
    RETURNING k.* INTO c;
    rest := c.target;
    FOR v IN SELECT k.* FROM campaign_variant k WHERE k.campaign = c.campaign ORDER BY k.variant LOOP
        IF v.share >= left_share OR NOT EXISTS (SELECT FROM campaign_variant k WHERE k.campaign = c.campaign AND k.variant > v.variant) THEN
            part := rest;
        ELSE
            part := crm.split(rest, (v.share / left_share)::double precision, c.seed + 1 + hashtext(v.variant));
        END IF;
        UPDATE campaign_variant k SET members = part WHERE k.campaign = v.campaign AND k.variant = v.variant;
        rest := rest OPERATOR(crm.-) part;
        left_share := left_share - v.share;
    END LOOP;
    RETURN c;
END
$$;
COMMENT ON FUNCTION freeze_campaign(text, timestamptz) IS
'fixes who gets a campaign: the audience, less those without consent or address and those over the caps; then the hold-out by stable split, then the variants. Errors: CM021 unknown, CM022 launched, CM023 no variant';

CREATE FUNCTION write_variant(c campaign, v campaign_variant, members crm.audience, due timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    written bigint;
BEGIN
    INSERT INTO outbox (customer_id, channel, purpose, template, payload, idempotency_key, due_at, campaign, variant)
    SELECT m, (c).channel, (c).purpose, (v).template, CASE WHEN (c).coupon_template IS NULL THEN '{}' ELSE jsonb_build_object('coupon',
               (SELECT k.code FROM coupon k WHERE k.customer_id = m AND k.template = (c).coupon_template AND k.reference = 'campaign/' || (c).campaign)) END,
           'campaign/' || (c).campaign, due, (c).campaign, (v).variant
    FROM crm.members(members) m
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;
COMMENT ON FUNCTION write_variant(campaign, campaign_variant, crm.audience, timestamptz) IS 'writes the messages of a variant of a campaign to the outbox; the number written';
REVOKE EXECUTE ON FUNCTION write_variant(campaign, campaign_variant, crm.audience, timestamptz) FROM PUBLIC;

CREATE FUNCTION write_campaign(c campaign, late crm.audience, due timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN (SELECT coalesce(sum(write_variant(c, v, v.members OPERATOR(crm.-) late, due)), 0) FROM campaign_variant v WHERE v.campaign = (c).campaign);
END
$$;
COMMENT ON FUNCTION write_campaign(campaign, crm.audience, timestamptz) IS 'writes the messages of all variants of a campaign, except to those it comes too late for';
REVOKE EXECUTE ON FUNCTION write_campaign(campaign, crm.audience, timestamptz) FROM PUBLIC;

CREATE FUNCTION launch_campaign(campaign text, as_of timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    c campaign;
    written bigint;
    due timestamptz;
    late crm.audience;
    member bigint;
BEGIN
    SELECT k.* INTO c FROM campaign k WHERE k.campaign = launch_campaign.campaign FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'campaign "%" does not exist', launch_campaign.campaign USING ERRCODE = 'CM021';
    ELSIF c.state = 'launched' THEN
        RETURN 0;
    ELSIF c.state = 'draft' THEN
        c := freeze_campaign(c.campaign, as_of);
    ELSIF c.state = 'cancelled' THEN
        RAISE EXCEPTION 'campaign "%" is cancelled', c.campaign USING ERRCODE = 'CM022', HINT = 'A draft or frozen campaign can be launched.';
    END IF;
    due := greatest(as_of, c.scheduled_at);
    IF (SELECT p.quiet FROM contact_purpose p WHERE p.purpose = c.purpose) THEN
        due := next_loud(due);
    END IF;
    -- What other campaigns wrote since it was frozen counts too; one launch after the other, so that each sees what those before it wrote.
    PERFORM pg_advisory_xact_lock(hashtextextended('crm launch_campaign', 'outbox'::regclass::oid::bigint));
    late := campaign_capped(c, due);
    -- Each gets a coupon of his own, good from the day of sending; who may not have one is not written to.
    IF c.coupon_template IS NOT NULL THEN
        FOR member IN SELECT crm.members(v.members OPERATOR(crm.-) late) FROM campaign_variant v WHERE v.campaign = c.campaign LOOP
            BEGIN
                PERFORM issue_coupon(member, c.coupon_template, 'campaign/' || c.campaign, due);
            EXCEPTION WHEN SQLSTATE 'CM002' OR SQLSTATE 'CM003' OR SQLSTATE 'CM004' THEN
                late := late OPERATOR(crm.|) crm.audience(ARRAY[member]);
            END;
        END LOOP;
    END IF;
    written := write_campaign(c, late, due);
    UPDATE campaign k SET state = 'launched', launched_at = due, refused = k.refused + crm.cardinality(c.target OPERATOR(crm.&) late) WHERE k.campaign = c.campaign;
    PERFORM pg_notify('crm_outbox', c.channel);
    RETURN written;
END
$$;
COMMENT ON FUNCTION launch_campaign(text, timestamptz) IS 'writes the messages of a campaign to the outbox, due at its schedule or at the end of the quiet hours; again changes nothing. With a coupon_template each gets a coupon. The number written. Errors: CM021, CM022, CM023, and CM001 and CM005 of issue_coupon';

CREATE FUNCTION cancel_campaign(campaign text) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    stopped bigint;
BEGIN
    UPDATE outbox o SET state = 'cancelled' WHERE o.campaign = cancel_campaign.campaign AND o.state = 'pending';
    GET DIAGNOSTICS stopped = ROW_COUNT;
    UPDATE campaign c SET state = 'cancelled' WHERE c.campaign = cancel_campaign.campaign AND c.state IN ('draft', 'frozen');
    RETURN stopped;
END
$$;
COMMENT ON FUNCTION cancel_campaign(text) IS 'takes back the messages of a campaign that nobody has claimed; the number';

CREATE FUNCTION claim_outbox(worker text, count integer DEFAULT 100, lease interval DEFAULT '1 minute', channels text[] DEFAULT NULL, as_of timestamptz DEFAULT now())
RETURNS SETOF outbox
LANGUAGE sql
-- However stale the statistics of a queue are: by its indexes, never sorting what waits.
SET enable_seqscan = off
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
BEGIN ATOMIC
    -- A message that takes its worker down each time is given up too.
    WITH given_up AS (
        UPDATE outbox o SET state = 'dead', claimed_by = NULL, claimed_until = NULL, error = 'lease ended'
        WHERE o.state = 'claimed' AND o.claimed_until < claim_outbox.as_of AND o.attempts >= (SELECT s.message_attempts FROM settings s)
          AND (o.customer_id, o.outbox_id) IN (
              SELECT x.customer_id, x.outbox_id FROM outbox x
              WHERE x.state = 'claimed' AND x.claimed_until < claim_outbox.as_of AND x.attempts >= (SELECT s.message_attempts FROM settings s)
              LIMIT claim_outbox.count FOR NO KEY UPDATE SKIP LOCKED)),
    expired AS MATERIALIZED (
        SELECT o.customer_id, o.outbox_id FROM outbox o
        WHERE o.state = 'claimed' AND o.claimed_until < claim_outbox.as_of AND o.attempts < (SELECT s.message_attempts FROM settings s) AND (claim_outbox.channels IS NULL OR o.channel = ANY (claim_outbox.channels))
        ORDER BY o.claimed_until
        LIMIT claim_outbox.count
        FOR NO KEY UPDATE SKIP LOCKED),
    due AS MATERIALIZED (
        SELECT o.customer_id, o.outbox_id FROM outbox o
        WHERE o.state = 'pending' AND o.due_at <= claim_outbox.as_of AND (claim_outbox.channels IS NULL OR o.channel = ANY (claim_outbox.channels))
        ORDER BY o.due_at
        LIMIT claim_outbox.count - (SELECT count(*) FROM expired)
        FOR NO KEY UPDATE SKIP LOCKED),
    picked AS (
        SELECT e.customer_id, e.outbox_id FROM expired e UNION ALL SELECT d.customer_id, d.outbox_id FROM due d)
    UPDATE outbox o
    SET state = 'claimed', claimed_by = claim_outbox.worker, claimed_until = claim_outbox.as_of + claim_outbox.lease, attempts = o.attempts + 1
    FROM picked p
    WHERE o.customer_id = p.customer_id AND o.outbox_id = p.outbox_id
    RETURNING o.*;
END;
COMMENT ON FUNCTION claim_outbox(text, integer, interval, text[], timestamptz) IS
'gives a worker the next due messages for the time of the lease; those of a worker that vanished come back when it ends, up to settings.message_attempts times, so each is sent at least once: pass the idempotency_key on to the gateway';

CREATE FUNCTION sent_outbox(worker text, customer_ids bigint[], outbox_ids bigint[], as_of timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE sql
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
BEGIN ATOMIC
    -- CASE hides the state from the planner, which would else read all that is claimed for each.
    WITH done AS (
        UPDATE outbox o SET state = 'sent', sent_at = sent_outbox.as_of, claimed_by = NULL, claimed_until = NULL, error = NULL
        FROM unnest(sent_outbox.customer_ids, sent_outbox.outbox_ids) AS d (customer_id, outbox_id)
        WHERE o.customer_id = d.customer_id AND o.outbox_id = d.outbox_id AND CASE o.state WHEN 'claimed' THEN o.claimed_by = sent_outbox.worker END
        RETURNING 1)
    SELECT count(*) FROM done;
END;
COMMENT ON FUNCTION sent_outbox(text, bigint[], bigint[], timestamptz) IS 'acknowledges messages that a worker sent; counts only those it still held, so each is acknowledged once';

CREATE FUNCTION failed_outbox(worker text, customer_id bigint, outbox_id bigint, error text, as_of timestamptz DEFAULT now()) RETURNS text
LANGUAGE sql
BEGIN ATOMIC
    UPDATE outbox o
    SET state = CASE WHEN o.attempts >= s.message_attempts THEN 'dead' ELSE 'pending' END,
        due_at = CASE WHEN o.attempts >= s.message_attempts THEN o.due_at ELSE failed_outbox.as_of + interval '1 minute' * power(4, o.attempts - 1) END,
        error = left(failed_outbox.error, 500), claimed_by = NULL, claimed_until = NULL
    FROM settings s
    WHERE o.customer_id = failed_outbox.customer_id AND o.outbox_id = failed_outbox.outbox_id AND o.state = 'claimed' AND o.claimed_by = failed_outbox.worker
    RETURNING o.state;
END;
COMMENT ON FUNCTION failed_outbox(text, bigint, bigint, text, timestamptz) IS 'says that a message could not be sent: it is tried again after 1, 4, 16 … minutes, and after settings.message_attempts it is dead; the state it has then. error must not hold personal data';

CREATE FUNCTION outbox_event(customer_id bigint, outbox_id bigint, event text, as_of timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE sql
BEGIN ATOMIC
    WITH done AS (
        UPDATE outbox o
        SET delivered_at = coalesce(o.delivered_at, outbox_event.as_of), opened_at = CASE outbox_event.event WHEN 'opened' THEN coalesce(o.opened_at, outbox_event.as_of) ELSE o.opened_at END
        WHERE o.customer_id = outbox_event.customer_id AND o.outbox_id = outbox_event.outbox_id AND o.state = 'sent' AND outbox_event.event IN ('delivered', 'opened')
        RETURNING 1)
    SELECT EXISTS (SELECT FROM done);
END;
COMMENT ON FUNCTION outbox_event(bigint, bigint, text, timestamptz) IS 'what the gateway tells of a sent message: delivered or opened; false when there is none such';

CREATE FUNCTION render_message(customer_id bigint, outbox_id bigint) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path FROM CURRENT
BEGIN ATOMIC
    SELECT replace(replace(replace(replace(replace(replace(replace(replace(t.body,
               '{name}', coalesce(crm.clear(k.name), '')), '{points}', coalesce((SELECT b.available FROM points_balance b WHERE b.customer_id = o.customer_id AND b.program = 'points')::text, '0')),
               '{tier}', coalesce(o.payload ->> 'tier', '')), '{order_no}', coalesce(o.payload ->> 'order_no', '')), '{coupon}', coalesce(o.payload ->> 'coupon', '')),
               '{event}', coalesce(o.payload ->> 'event', '')), '{link}', coalesce(o.payload ->> 'link', '')), '{shop}', coalesce(o.payload ->> 'shop', ''))
    FROM outbox o
    JOIN message_template t ON t.template = o.template
    LEFT JOIN contact k ON k.customer_id = o.customer_id
    WHERE o.customer_id = render_message.customer_id AND o.outbox_id = render_message.outbox_id AND o.state = 'claimed';
END;
COMMENT ON FUNCTION render_message(bigint, bigint) IS 'the text of a claimed message with its placeholders filled, for the worker that sends it; granted by itself, since it holds the name';
REVOKE EXECUTE ON FUNCTION render_message(bigint, bigint) FROM PUBLIC;

CREATE FUNCTION campaign_counts(campaign text, as_of timestamptz)
RETURNS TABLE (held_out boolean, variant text, customers bigint, delivered bigint, opened bigint, ordered bigint, revenue numeric)
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH c AS (SELECT k.* FROM campaign k WHERE k.campaign = campaign_counts.campaign AND k.launched_at IS NOT NULL),
    member AS (
        SELECT false AS held_out, o.variant, o.customer_id, o.delivered_at, o.opened_at, coalesce(o.sent_at, c.launched_at) AS since
        FROM c JOIN outbox o ON o.campaign = c.campaign WHERE o.state = 'sent'
        UNION ALL
        SELECT true, NULL, h.customer_id, NULL, NULL, c.launched_at FROM c CROSS JOIN LATERAL crm.members(c.held_out) h (customer_id))
    SELECT m.held_out, m.variant, count(*), count(m.delivered_at), count(m.opened_at), count(p.net), coalesce(sum(p.net), 0)
    FROM member m CROSS JOIN c
    LEFT JOIN LATERAL (SELECT sum(p.net) AS net FROM purchase p WHERE p.customer_id = m.customer_id AND p.order_at >= m.since
                       AND p.order_at < m.since + make_interval(days => c.attribution_days) AND p.order_at <= campaign_counts.as_of) p ON true
    GROUP BY m.held_out, m.variant;
END;
COMMENT ON FUNCTION campaign_counts(text, timestamptz) IS
'what campaign_effect() compares: by variant, and of the hold-out, how many customers there are, how many of them ordered within attribution_days, and for how much';

CREATE FUNCTION campaign_effect(campaign text, as_of timestamptz DEFAULT now())
RETURNS TABLE (variant text, sent bigint, delivered bigint, opened bigint, ordered bigint, ordered_percent numeric, revenue numeric,
               held_out bigint, held_out_ordered bigint, uplift numeric, uplift_low numeric, uplift_high numeric, significant boolean,
               extra_revenue numeric, cost numeric, roi numeric)
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH c AS (SELECT k.* FROM campaign k WHERE k.campaign = campaign_effect.campaign AND k.launched_at IS NOT NULL),
    counted AS MATERIALIZED (SELECT n.* FROM campaign_counts(campaign_effect.campaign, campaign_effect.as_of) n),
    held AS (
        SELECT coalesce(sum(n.customers), 0)::bigint AS n, coalesce(sum(n.ordered), 0)::bigint AS ordered, coalesce(sum(n.revenue), 0) AS revenue
        FROM counted n WHERE n.held_out),
    treated AS (
        SELECT coalesce(n.variant, 'all') AS variant, sum(n.customers)::bigint AS sent, sum(n.delivered)::bigint AS delivered, sum(n.opened)::bigint AS opened,
               sum(n.ordered)::bigint AS ordered, sum(n.revenue) AS revenue
        FROM counted n WHERE NOT n.held_out GROUP BY GROUPING SETS ((n.variant), ())
        HAVING count(*) > 0)
    SELECT t.variant, t.sent, t.delivered, t.opened, t.ordered, round(100.0 * t.ordered / t.sent, 2), t.revenue, h.n, h.ordered,
           u.points, u.low, u.high, u.significant,
           CASE WHEN h.n > 0 THEN round(t.revenue - h.revenue * t.sent / h.n, 2) END,
           k.cost,
           CASE WHEN h.n > 0 THEN round((t.revenue - h.revenue * t.sent / h.n - k.cost) / nullif(k.cost, 0), 2) END
    FROM treated t CROSS JOIN held h CROSS JOIN c
    CROSS JOIN LATERAL (SELECT t.sent * c.message_cost + CASE t.variant WHEN 'all' THEN c.fixed_cost ELSE 0 END AS cost) k
    LEFT JOIN LATERAL crm.uplift(t.sent, t.ordered, h.n, h.ordered) u ON h.n > 0
    ORDER BY t.variant = 'all', t.variant;
END;
COMMENT ON FUNCTION campaign_effect(text, timestamptz) IS
'what came of a campaign, by variant and in all: orders within attribution_days of sending, against the hold-out over the same days from the launch. uplift is in percentage points with its 95 % interval by Newcombe''s method (crm.uplift); extra_revenue is what the hold-out did not bring, scaled; roi is (extra revenue - cost) / cost, the fixed cost counting only in all';

CREATE VIEW campaign_report AS
SELECT c.campaign, c.name, c.channel, c.state, c.launched_at, crm.cardinality(c.target) AS targeted, crm.cardinality(c.held_out) AS held_out, c.refused,
       o.written, o.waiting, o.sent, o.delivered, o.opened, o.dead, k.redeemed AS coupons_redeemed, k.redeemers AS customers_redeeming, k.discount AS coupon_discount
FROM campaign c
CROSS JOIN LATERAL (
    SELECT count(*) AS written, count(*) FILTER (WHERE x.state IN ('pending', 'claimed')) AS waiting, count(*) FILTER (WHERE x.state = 'sent') AS sent,
           count(x.delivered_at) AS delivered, count(x.opened_at) AS opened, count(*) FILTER (WHERE x.state = 'dead') AS dead
    FROM outbox x WHERE x.campaign = c.campaign) o
CROSS JOIN LATERAL (
    SELECT count(*) AS redeemed, count(DISTINCT x.customer_id) AS redeemers, coalesce(sum(x.discount), 0) AS discount
    FROM coupon x
    WHERE x.template = c.coupon_template AND x.state = 'redeemed' AND c.target OPERATOR(crm.@>) x.customer_id AND x.redeemed_at >= c.launched_at) k;
COMMENT ON VIEW campaign_report IS 'each campaign: who it was for, how far its messages are, and the coupons of its template that its customers redeemed since it began; campaign_effect() tells what it brought';

CREATE TABLE order_message (
    event text PRIMARY KEY CHECK (event IN ('confirmed', 'in_production', 'shipped', 'received')),
    channel text NOT NULL DEFAULT 'sms',
    template text NOT NULL REFERENCES message_template,
    survey text,
    active boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE order_message IS 'which order events are told to the customer; received may invite to a survey, once an order';

CREATE FUNCTION tell_order(customer_id bigint, channel text, order_no text, event text, as_of timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    m order_message;
    link text;
BEGIN
    SELECT o.* INTO m FROM order_message o WHERE o.event = tell_order.event AND o.active;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF contact_refusal(tell_order.customer_id, m.channel, 'service', as_of) IS NOT NULL THEN
        RETURN false;
    END IF;
    IF m.survey IS NOT NULL THEN
        link := invite(tell_order.customer_id, m.survey, tell_order.channel || '/' || tell_order.order_no, as_of);
    END IF;
    INSERT INTO outbox (customer_id, channel, purpose, template, payload, idempotency_key, due_at)
    VALUES (tell_order.customer_id, m.channel, 'service', m.template,
            jsonb_build_object('order_no', tell_order.order_no, 'event', tell_order.event, 'link', link),
            format('order/%s/%s/%s', tell_order.channel, tell_order.order_no, tell_order.event), as_of)
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION tell_order(bigint, text, text, text, timestamptz) IS 'puts the message of an order event (confirmed, in_production, shipped, received) into the outbox, once an order and event; false when nothing is to be said';

CREATE FUNCTION order_told() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM tell_order(n.customer_id, n.channel, n.order_no, CASE n.status WHEN 'paid' THEN 'confirmed' WHEN 'shipped' THEN 'shipped' ELSE 'received' END)
    FROM new_rows n WHERE n.status IN ('paid', 'shipped', 'completed');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION order_told() IS 'statement trigger of purchase, made by tell_orders: puts the messages of order events into the outbox';
REVOKE EXECUTE ON FUNCTION order_told() FROM PUBLIC;

CREATE FUNCTION tell_orders(enabled boolean DEFAULT true) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET client_min_messages = warning
AS $$
DECLARE
    part regclass;
BEGIN
    -- Made only where it is wanted, so that it costs the order path of other shops nothing.
    FOR part IN SELECT t FROM crm.table_tree('purchase') t LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS order_told_insert ON %s', part);
        EXECUTE format('DROP TRIGGER IF EXISTS order_told_update ON %s', part);
    END LOOP;
    IF enabled THEN
        CREATE TRIGGER order_told_insert AFTER INSERT ON purchase REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION order_told();
        CREATE TRIGGER order_told_update AFTER UPDATE ON purchase REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION order_told();
        PERFORM crm.partition_triggers('purchase');
    END IF;
END
$$;
COMMENT ON FUNCTION tell_orders(boolean) IS 'has order events told to customers by the active rows of order_message, or stops it; run by the store''s owner';
REVOKE EXECUTE ON FUNCTION tell_orders(boolean) FROM PUBLIC;

CREATE VIEW outbox_backlog AS
SELECT channel, purpose, count(*) FILTER (WHERE state = 'pending' AND due_at <= now()) AS due, count(*) FILTER (WHERE state = 'pending' AND due_at > now()) AS later,
       count(*) FILTER (WHERE state = 'claimed') AS claimed, count(*) FILTER (WHERE state = 'dead') AS dead, min(due_at) FILTER (WHERE state = 'pending') AS oldest
FROM outbox WHERE state IN ('pending', 'claimed', 'dead') GROUP BY 1, 2;
COMMENT ON VIEW outbox_backlog IS 'what waits to be sent, and dead letters';

-- What the columns without a word above are.
COMMENT ON COLUMN campaign_variant.campaign IS 'the campaign';
COMMENT ON COLUMN campaign_variant.variant IS 'name of the variant';
COMMENT ON COLUMN campaign_variant.share IS 'share of the target, 0 to 1';
COMMENT ON COLUMN campaign_variant.template IS 'the message that it sends';
COMMENT ON COLUMN campaign_variant.members IS 'who got it; null until the campaign is frozen';
COMMENT ON COLUMN order_message.event IS 'confirmed, in_production, shipped or received';
COMMENT ON COLUMN order_message.channel IS 'by which it is sent';
COMMENT ON COLUMN order_message.template IS 'the message';
COMMENT ON COLUMN order_message.survey IS 'for received: the survey that the customer is invited to; null: none';
COMMENT ON COLUMN order_message.active IS 'false: not told';
