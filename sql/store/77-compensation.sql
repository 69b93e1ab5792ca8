-- Points for what went wrong, through the ledger's own gate.

CREATE FUNCTION compensate_ticket(customer_id bigint, ticket_id bigint, points bigint, as_of timestamptz DEFAULT now()) RETURNS points_entry
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    entry points_entry;
BEGIN
    IF NOT EXISTS (SELECT FROM ticket t WHERE t.customer_id = compensate_ticket.customer_id AND t.ticket_id = compensate_ticket.ticket_id) THEN
        RAISE EXCEPTION 'ticket % of customer % does not exist', compensate_ticket.ticket_id, compensate_ticket.customer_id USING ERRCODE = 'CS004';
    END IF;
    SELECT e.* INTO entry
    FROM earn(compensate_ticket.customer_id, compensate_ticket.points, 'ticket', compensate_ticket.ticket_id::text, as_of => compensate_ticket.as_of) e;
    INSERT INTO ticket_event (customer_id, ticket_id, at, action, remark)
    SELECT compensate_ticket.customer_id, compensate_ticket.ticket_id, as_of, 'compensate', format('%s points', compensate_ticket.points)
    WHERE NOT EXISTS (SELECT FROM ticket_event e WHERE e.customer_id = compensate_ticket.customer_id AND e.ticket_id = compensate_ticket.ticket_id AND e.action = 'compensate');
    RETURN entry;
END
$$;
COMMENT ON FUNCTION compensate_ticket(bigint, bigint, bigint, timestamptz) IS 'gives points for a ticket through the ledger''s gate, once a ticket; the entry. Errors: CS004 unknown, and those of earn';
