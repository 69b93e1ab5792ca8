-- Points and coupons for what went wrong, each through its own gate.

ALTER TABLE settings ADD COLUMN compensation_points bigint NOT NULL DEFAULT 1000 CHECK (compensation_points >= 0);
COMMENT ON COLUMN settings.compensation_points IS 'points that a ticket can bring at most';

CREATE TABLE compensation_coupon (
    template text PRIMARY KEY,
    severity smallint NOT NULL DEFAULT 1 CHECK (severity BETWEEN 1 AND 4)
);
COMMENT ON TABLE compensation_coupon IS 'coupon templates that agents may give for a ticket, from a severity on';

CREATE FUNCTION compensate_ticket(customer_id bigint, ticket_id bigint, points bigint, as_of timestamptz DEFAULT now()) RETURNS points_entry
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    entry points_entry;
    allowed bigint := (SELECT s.compensation_points FROM settings s);
BEGIN
    PERFORM FROM ticket t WHERE t.customer_id = compensate_ticket.customer_id AND t.ticket_id = compensate_ticket.ticket_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'ticket % of customer % does not exist', compensate_ticket.ticket_id, compensate_ticket.customer_id USING ERRCODE = 'CS004';
    ELSIF compensate_ticket.points > allowed THEN
        RAISE EXCEPTION '% points are more than a ticket may bring', compensate_ticket.points
            USING ERRCODE = 'CS023', HINT = format('settings.compensation_points allows %s.', allowed);
    END IF;
    SELECT e.* INTO entry
    FROM earn(compensate_ticket.customer_id, compensate_ticket.points, 'ticket', compensate_ticket.ticket_id::text, as_of => compensate_ticket.as_of) e;
    INSERT INTO ticket_event (customer_id, ticket_id, at, action, remark)
    SELECT compensate_ticket.customer_id, compensate_ticket.ticket_id, as_of, 'compensate', format('%s points', compensate_ticket.points)
    WHERE NOT EXISTS (SELECT FROM ticket_event e WHERE e.customer_id = compensate_ticket.customer_id AND e.ticket_id = compensate_ticket.ticket_id AND e.action = 'compensate');
    RETURN entry;
END
$$;
COMMENT ON FUNCTION compensate_ticket(bigint, bigint, bigint, timestamptz) IS
'gives points for a ticket through the ledger''s gate, once a ticket; the entry. Errors: CS004 unknown, CS023 more than settings allow, and those of earn (a second time with other points)';
REVOKE EXECUTE ON FUNCTION compensate_ticket(bigint, bigint, bigint, timestamptz) FROM PUBLIC;

CREATE FUNCTION compensate_ticket_coupon(customer_id bigint, ticket_id bigint, template text, as_of timestamptz DEFAULT now()) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    t ticket;
    given text;
BEGIN
    SELECT k.* INTO t FROM ticket k WHERE k.customer_id = compensate_ticket_coupon.customer_id AND k.ticket_id = compensate_ticket_coupon.ticket_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'ticket % of customer % does not exist', compensate_ticket_coupon.ticket_id, compensate_ticket_coupon.customer_id USING ERRCODE = 'CS004';
    END IF;
    SELECT e.remark INTO given FROM ticket_event e WHERE e.customer_id = t.customer_id AND e.ticket_id = t.ticket_id AND e.action = 'coupon';
    IF given <> compensate_ticket_coupon.template THEN
        RAISE EXCEPTION 'ticket % of customer % brought coupon "%" already', t.ticket_id, t.customer_id, given USING ERRCODE = 'CS024', HINT = 'One coupon a ticket.';
    ELSIF given IS NULL AND NOT EXISTS (SELECT FROM compensation_coupon c WHERE c.template = compensate_ticket_coupon.template AND c.severity <= t.severity) THEN
        RAISE EXCEPTION 'coupon "%" is not given for a ticket of severity %', compensate_ticket_coupon.template, t.severity
            USING ERRCODE = 'CS023', HINT = 'compensation_coupon says which are.';
    END IF;
    IF given IS NULL THEN
        INSERT INTO ticket_event (customer_id, ticket_id, at, action, remark) VALUES (t.customer_id, t.ticket_id, as_of, 'coupon', compensate_ticket_coupon.template);
    END IF;
    RETURN (issue_coupon(t.customer_id, compensate_ticket_coupon.template, 'ticket/' || t.ticket_id, as_of)).code;
END
$$;
COMMENT ON FUNCTION compensate_ticket_coupon(bigint, bigint, text, timestamptz) IS
'gives a coupon for a ticket through the gate of coupons, once a ticket; its code. Errors: CS004 unknown, CS023 not allowed for this ticket, CS024 brought another coupon, and those of issue_coupon';
REVOKE EXECUTE ON FUNCTION compensate_ticket_coupon(bigint, bigint, text, timestamptz) FROM PUBLIC;

-- What the columns without a word above are.
COMMENT ON COLUMN compensation_coupon.template IS 'the coupon template';
COMMENT ON COLUMN compensation_coupon.severity IS 'severity of a ticket from which it may be given, 1 to 4';
