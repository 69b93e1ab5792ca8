-- What customers agreed to, under which policy, and whether they may be written to.

ALTER TABLE settings
    ADD COLUMN quiet_from time NOT NULL DEFAULT '21:00',
    ADD COLUMN quiet_until time NOT NULL DEFAULT '09:00',
    ADD COLUMN privacy_log_keep interval NOT NULL DEFAULT '3 years' CHECK (privacy_log_keep >= interval '6 months'),
    ADD COLUMN reveal_per_hour integer NOT NULL DEFAULT 30 CHECK (reveal_per_hour BETWEEN 0 AND 1000000),
    ADD COLUMN reveal_per_day integer NOT NULL DEFAULT 200 CHECK (reveal_per_day BETWEEN 0 AND 1000000),
    ADD COLUMN reveal_needs_training boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN settings.quiet_from IS 'from this time of day nothing is sent that can wait, in the store''s time zone; equal to quiet_until for no quiet hours';
COMMENT ON COLUMN settings.quiet_until IS 'until this time of day';
COMMENT ON COLUMN settings.privacy_log_keep IS 'how long contact_access, contact_change and the consents of erased customers cannot be deleted';
COMMENT ON COLUMN settings.reveal_per_hour IS 'clear values that a role may see in an hour, unless reveal_limit says otherwise';
COMMENT ON COLUMN settings.reveal_per_day IS 'clear values that a role may see in a day, unless reveal_limit says otherwise';
COMMENT ON COLUMN settings.reveal_needs_training IS 'may only persons with an unexpired row in security_training see clear values?';

CREATE TABLE privacy_policy (
    version text PRIMARY KEY CHECK (version <> ''),
    valid_from timestamptz NOT NULL DEFAULT now(),
    body text NOT NULL,
    purposes text[] NOT NULL,
    renew text[] NOT NULL DEFAULT '{}',
    CHECK (renew <@ purposes)
);
COMMENT ON TABLE privacy_policy IS 'versions of the published privacy policy; fixed once in force';
COMMENT ON COLUMN privacy_policy.purposes IS 'purposes that this version tells of; a consent under it can only be for one of them';
COMMENT ON COLUMN privacy_policy.renew IS 'purposes that changed so much that earlier consents no longer count';

CREATE TABLE contact_purpose (
    purpose text PRIMARY KEY,
    basis text NOT NULL CHECK (basis IN ('consent', 'objection', 'contract')),
    quiet boolean NOT NULL DEFAULT true,
    name_zh text,
    name_en text
);
COMMENT ON TABLE contact_purpose IS 'what a customer may be written to for';
COMMENT ON COLUMN contact_purpose.basis IS 'consent: only with consent; objection: unless the customer objected; contract: always, as an order needs it';
COMMENT ON COLUMN contact_purpose.quiet IS 'waits for the end of the quiet hours';

-- Erased customers; the table comes first because the guards of the logs below ask it.
CREATE TABLE erasure (
    customer_id bigint PRIMARY KEY REFERENCES customer,
    receipt uuid NOT NULL DEFAULT gen_random_uuid(),
    erased_at timestamptz NOT NULL,
    reason text NOT NULL,
    joined_at timestamptz NOT NULL,
    actor text,
    role name NOT NULL,
    done jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE erasure IS 'receipts of erased customers, without personal data';
COMMENT ON COLUMN erasure.joined_at IS 'with customer_id, tells that a receipt is about this customer when a restored backup erases again';
COMMENT ON COLUMN erasure.done IS 'rows per table, and what was left because no rule says what to do with it';

CREATE FUNCTION guard_log() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    was jsonb;
    becomes jsonb;
BEGIN
    -- Arguments: the columns that erasing a customer may empty.
    IF TG_OP = 'UPDATE' THEN
        was := to_jsonb(OLD);
        becomes := to_jsonb(NEW);
        IF NOT EXISTS (SELECT FROM jsonb_each(becomes) n
                       WHERE n.value IS DISTINCT FROM was -> n.key
                         AND NOT (n.key = ANY (coalesce(TG_ARGV, '{}')) AND n.value IN ('null', '"[erased]"', '{}')))
           AND EXISTS (SELECT FROM erasure e WHERE e.customer_id = (was ->> 'customer_id')::bigint) THEN
            RETURN NEW;
        END IF;
    ELSIF TG_OP = 'DELETE' THEN
        was := to_jsonb(OLD);
        IF (was ->> 'at')::timestamptz < now() - (SELECT s.privacy_log_keep FROM settings s)
           AND (crm.table_name(TG_RELID) <> 'consent' OR EXISTS (SELECT FROM erasure e WHERE e.customer_id = (was ->> 'customer_id')::bigint)) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'rows of % are not changed, only added', crm.table_name(TG_RELID)
        USING ERRCODE = 'CV007',
              HINT = 'A new row corrects an old one. After settings.privacy_log_keep rows may be deleted, of consent only those of erased customers.';
END
$$;
COMMENT ON FUNCTION guard_log() IS 'trigger: keeps a log append-only, except for erasure and for what is older than settings.privacy_log_keep';
REVOKE EXECUTE ON FUNCTION guard_log() FROM PUBLIC;

CREATE FUNCTION guard_policy() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF TG_OP IN ('UPDATE', 'DELETE') AND OLD.valid_from > now() THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    RAISE EXCEPTION 'a privacy policy in force is not changed' USING ERRCODE = 'CV007', HINT = 'Add a new version.';
END
$$;
COMMENT ON FUNCTION guard_policy() IS 'trigger: a version of the privacy policy is fixed once it is in force';
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON privacy_policy FOR EACH ROW EXECUTE FUNCTION guard_policy();
CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON privacy_policy EXECUTE FUNCTION guard_policy();
ALTER TABLE privacy_policy ENABLE ALWAYS TRIGGER guard, ENABLE ALWAYS TRIGGER guard_truncate;

CREATE TRIGGER guard BEFORE UPDATE ON erasure FOR EACH ROW
    WHEN (OLD.done <> '{}' OR (OLD.customer_id, OLD.receipt, OLD.erased_at, OLD.reason) IS DISTINCT FROM (NEW.customer_id, NEW.receipt, NEW.erased_at, NEW.reason))
    EXECUTE FUNCTION guard_log();
CREATE TRIGGER guard_delete BEFORE DELETE ON erasure FOR EACH ROW EXECUTE FUNCTION guard_log();
CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON erasure EXECUTE FUNCTION guard_log();
ALTER TABLE erasure ENABLE ALWAYS TRIGGER guard, ENABLE ALWAYS TRIGGER guard_delete, ENABLE ALWAYS TRIGGER guard_truncate;

CREATE TABLE consent (
    customer_id bigint NOT NULL REFERENCES customer,
    consent_id bigint GENERATED BY DEFAULT AS IDENTITY,
    purpose text NOT NULL REFERENCES contact_purpose,
    channel text NOT NULL DEFAULT '*' CHECK (channel <> ''),
    given boolean NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    source text NOT NULL DEFAULT 'person' CHECK (source IN ('person', 'staff', 'guardian', 'import')),
    evidence jsonb,
    policy_version text REFERENCES privacy_policy,
    actor text DEFAULT crm.actor(),
    role name NOT NULL DEFAULT crm.caller(),
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (customer_id, consent_id)
);
CREATE INDEX consent_latest ON consent (customer_id, purpose, at DESC, consent_id DESC);
COMMENT ON TABLE consent IS 'every yes and no, added only: the latest of a purpose and channel counts';
COMMENT ON COLUMN consent.purpose IS 'purpose of contact_purpose';
COMMENT ON COLUMN consent.given IS 'true: yes; false: no, or withdrawn';
COMMENT ON COLUMN consent.at IS 'when the person said so';
COMMENT ON COLUMN consent.source IS 'person, staff, guardian or import';
COMMENT ON COLUMN consent.policy_version IS 'the privacy policy it rests on';
COMMENT ON COLUMN consent.actor IS 'crm.actor of who recorded it';
COMMENT ON COLUMN consent.role IS 'role that recorded it';
COMMENT ON COLUMN consent.recorded_at IS 'when it was recorded';
COMMENT ON COLUMN consent.channel IS 'sms, phone, email, wechat, app …; * for all';
COMMENT ON COLUMN consent.evidence IS 'how it can be shown: form, call, checkbox, address; emptied when the customer is erased';
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON consent FOR EACH ROW EXECUTE FUNCTION guard_log('evidence');
CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON consent EXECUTE FUNCTION guard_log();
ALTER TABLE consent ENABLE ALWAYS TRIGGER guard, ENABLE ALWAYS TRIGGER guard_truncate;

CREATE FUNCTION check_consent() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    IF NEW.given AND NEW.policy_version IS NULL THEN
        SELECT p.version INTO NEW.policy_version FROM privacy_policy p
        WHERE p.valid_from <= NEW.at ORDER BY p.valid_from DESC, p.version DESC LIMIT 1;
    END IF;
    IF NEW.given AND NOT EXISTS (SELECT FROM privacy_policy p WHERE p.version = NEW.policy_version AND NEW.purpose = ANY (p.purposes) AND p.valid_from <= NEW.at) THEN
        RAISE EXCEPTION 'no privacy policy in force tells of purpose "%"', NEW.purpose
            USING ERRCODE = 'CV006', DETAIL = format('Version asked: %s.', coalesce(NEW.policy_version, 'none')),
                  HINT = 'INSERT INTO privacy_policy a version whose purposes name it.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION check_consent() IS 'trigger: a consent rests on a version of the privacy policy that tells of its purpose';
REVOKE EXECUTE ON FUNCTION check_consent() FROM PUBLIC;
CREATE TRIGGER check_consent BEFORE INSERT ON consent FOR EACH ROW EXECUTE FUNCTION check_consent();

CREATE FUNCTION consent_at(as_of timestamptz DEFAULT now())
RETURNS TABLE (customer_id bigint, purpose text, channel text, given boolean, valid boolean, at timestamptz, source text, policy_version text)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT DISTINCT ON (c.customer_id, c.purpose, c.channel) c.customer_id, c.purpose, c.channel, c.given,
           c.given AND NOT EXISTS (
               SELECT FROM privacy_policy n JOIN privacy_policy o ON o.version = c.policy_version
               WHERE c.purpose = ANY (n.renew) AND n.valid_from <= as_of AND n.valid_from > o.valid_from),
           c.at, c.source, c.policy_version
    FROM consent c
    WHERE c.at <= as_of
    ORDER BY c.customer_id, c.purpose, c.channel, c.at DESC, c.consent_id DESC;
END;
COMMENT ON FUNCTION consent_at(timestamptz) IS 'the consents as of a moment: the last word per customer, purpose and channel';

CREATE VIEW consent_state AS
    SELECT s.customer_id, s.purpose, s.channel, s.given, s.valid, s.at, s.source, s.policy_version FROM consent_at(now()) s;
COMMENT ON VIEW consent_state IS 'what each customer said last, per purpose and channel; valid is false for a no and for a yes that a newer privacy policy outdated';

CREATE FUNCTION is_quiet(as_of timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN s.quiet_from <= s.quiet_until THEN t.time >= s.quiet_from AND t.time < s.quiet_until
                ELSE t.time >= s.quiet_from OR t.time < s.quiet_until END
    FROM settings s, LATERAL (SELECT (as_of AT TIME ZONE s.time_zone)::time AS time) t;
END;
COMMENT ON FUNCTION is_quiet(timestamptz) IS 'is this moment within the quiet hours of the store?';

CREATE FUNCTION next_loud(as_of timestamptz DEFAULT now()) RETURNS timestamptz
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN NOT is_quiet(as_of) THEN as_of
                ELSE (d.day + s.quiet_until + CASE WHEN d.time < s.quiet_until THEN interval '0' ELSE interval '1 day' END) AT TIME ZONE s.time_zone END
    FROM settings s, LATERAL (SELECT (as_of AT TIME ZONE s.time_zone)::date AS day, (as_of AT TIME ZONE s.time_zone)::time AS time) d;
END;
COMMENT ON FUNCTION next_loud(timestamptz) IS 'the first moment from as_of on that is not within the quiet hours';

CREATE FUNCTION contact_refusal(customer_id bigint, channel text, purpose text, as_of timestamptz DEFAULT now()) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path FROM CURRENT
BEGIN ATOMIC
    SELECT CASE
               WHEN c.customer_id IS NULL THEN 'unknown customer'
               WHEN c.status <> 'active' THEN c.status
               WHEN p.purpose IS NULL THEN 'unknown purpose'
               WHEN p.basis = 'consent' AND s.given IS NULL THEN 'no consent'
               WHEN p.basis <> 'contract' AND NOT s.given THEN 'opted out'
               WHEN p.basis = 'consent' AND s.outdated THEN 'consent outdated'
               WHEN contact_refusal.channel IN ('sms', 'phone') AND k.phone IS NULL OR contact_refusal.channel = 'email' AND k.email IS NULL THEN 'no address'
               WHEN p.quiet AND is_quiet(as_of) THEN 'quiet hours'
           END
    FROM (SELECT 1) one
    LEFT JOIN customer c ON c.customer_id = contact_refusal.customer_id
    LEFT JOIN contact k ON k.customer_id = c.customer_id
    LEFT JOIN contact_purpose p ON p.purpose = contact_refusal.purpose
    LEFT JOIN LATERAL (
        SELECT l.given,
               EXISTS (SELECT FROM privacy_policy n JOIN privacy_policy o ON o.version = l.policy_version
                       WHERE l.purpose = ANY (n.renew) AND n.valid_from <= as_of AND n.valid_from > o.valid_from) AS outdated
        FROM consent l
        WHERE l.customer_id = c.customer_id AND l.purpose = contact_refusal.purpose AND l.channel IN (contact_refusal.channel, '*') AND l.at <= as_of
        ORDER BY l.at DESC, l.consent_id DESC LIMIT 1) s ON true;
END;
COMMENT ON FUNCTION contact_refusal(bigint, text, text, timestamptz) IS
'why a customer may not be written to on a channel (sms, phone, email, wechat, app …) for a purpose now: unknown customer, merged, restricted, erased, unknown purpose, no consent, opted out, consent outdated, no address, quiet hours; null when allowed. Everything that sends asks this';
REVOKE EXECUTE ON FUNCTION contact_refusal(bigint, text, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION may_contact(customer_id bigint, channel text, purpose text, as_of timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path FROM CURRENT
BEGIN ATOMIC
    SELECT contact_refusal(may_contact.customer_id, may_contact.channel, may_contact.purpose, as_of) IS NULL;
END;
COMMENT ON FUNCTION may_contact(bigint, text, text, timestamptz) IS 'may a customer be written to on this channel for this purpose at this moment? contact_refusal says why not, next_loud when the quiet hours end';
REVOKE EXECUTE ON FUNCTION may_contact(bigint, text, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION contactable(channel text, purpose text, as_of timestamptz DEFAULT now()) RETURNS SETOF bigint
LANGUAGE sql STABLE SECURITY DEFINER ROWS 100000
SET search_path FROM CURRENT
BEGIN ATOMIC
    SELECT c.customer_id
    FROM contact_purpose p
    CROSS JOIN customer c
    LEFT JOIN contact k ON k.customer_id = c.customer_id
    LEFT JOIN (SELECT DISTINCT ON (l.customer_id) l.customer_id, l.given,
                      EXISTS (SELECT FROM privacy_policy n JOIN privacy_policy o ON o.version = l.policy_version
                              WHERE l.purpose = ANY (n.renew) AND n.valid_from <= as_of AND n.valid_from > o.valid_from) AS outdated
               FROM consent l
               WHERE l.purpose = contactable.purpose AND l.channel IN (contactable.channel, '*') AND l.at <= as_of
               ORDER BY l.customer_id, l.at DESC, l.consent_id DESC) s ON s.customer_id = c.customer_id
    WHERE p.purpose = contactable.purpose AND c.status = 'active'
      AND CASE p.basis WHEN 'consent' THEN coalesce(s.given AND NOT s.outdated, false) WHEN 'objection' THEN coalesce(s.given, true) ELSE true END
      AND CASE WHEN contactable.channel IN ('sms', 'phone') THEN k.phone IS NOT NULL WHEN contactable.channel = 'email' THEN k.email IS NOT NULL ELSE true END;
END;
COMMENT ON FUNCTION contactable(text, text, timestamptz) IS 'all customers who may be written to on a channel for a purpose, quiet hours aside: what a campaign freezes, in one pass';
REVOKE EXECUTE ON FUNCTION contactable(text, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION give_consent(customer_id bigint, purpose text, channel text DEFAULT '*', source text DEFAULT 'person', evidence jsonb DEFAULT NULL,
                             policy_version text DEFAULT NULL, at timestamptz DEFAULT now())
RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path FROM CURRENT
BEGIN ATOMIC
    INSERT INTO consent (customer_id, purpose, channel, given, source, evidence, policy_version, at)
    VALUES (give_consent.customer_id, give_consent.purpose, give_consent.channel, true, give_consent.source, give_consent.evidence,
            give_consent.policy_version, give_consent.at)
    RETURNING consent_id;
END;
COMMENT ON FUNCTION give_consent(bigint, text, text, text, jsonb, text, timestamptz) IS 'records a yes, under the privacy policy then in force unless a version is named; the consent''s number. Errors: CV006 no policy tells of the purpose';
REVOKE EXECUTE ON FUNCTION give_consent(bigint, text, text, text, jsonb, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION withdraw_consent(customer_id bigint, purpose text DEFAULT 'marketing', channel text DEFAULT '*', source text DEFAULT 'person',
                                 evidence jsonb DEFAULT NULL, at timestamptz DEFAULT now())
RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path FROM CURRENT
BEGIN ATOMIC
    INSERT INTO consent (customer_id, purpose, channel, given, source, evidence, at)
    VALUES (withdraw_consent.customer_id, withdraw_consent.purpose, withdraw_consent.channel, false, withdraw_consent.source,
            withdraw_consent.evidence, withdraw_consent.at)
    RETURNING consent_id;
END;
COMMENT ON FUNCTION withdraw_consent(bigint, text, text, text, jsonb, timestamptz) IS 'records a no: an opt-out from marketing unless another purpose is named, on all channels unless one is';
REVOKE EXECUTE ON FUNCTION withdraw_consent(bigint, text, text, text, jsonb, timestamptz) FROM PUBLIC;

-- What the columns without a word above are.
COMMENT ON COLUMN privacy_policy.version IS 'name of the version';
COMMENT ON COLUMN privacy_policy.valid_from IS 'from when it is in force';
COMMENT ON COLUMN privacy_policy.body IS 'its text';
COMMENT ON COLUMN contact_purpose.purpose IS 'name of the purpose';
COMMENT ON COLUMN contact_purpose.name_zh IS 'Chinese name';
COMMENT ON COLUMN contact_purpose.name_en IS 'English name';
COMMENT ON COLUMN erasure.customer_id IS 'the customer that was';
COMMENT ON COLUMN erasure.receipt IS 'number of the receipt';
COMMENT ON COLUMN erasure.erased_at IS 'when';
COMMENT ON COLUMN erasure.reason IS 'why, with personal data masked';
COMMENT ON COLUMN erasure.actor IS 'who did it: crm.actor';
COMMENT ON COLUMN erasure.role IS 'role that did it';
COMMENT ON COLUMN consent.customer_id IS 'whose yes or no';
COMMENT ON COLUMN consent.consent_id IS 'number of the record';
