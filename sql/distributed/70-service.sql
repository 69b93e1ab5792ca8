-- The service desk and the outbox: who wrote a message or opened a ticket writes its row on its node; queues and jobs are the parts'.

CREATE FUNCTION claim_from_parts(queue text, claim text, count integer) RETURNS SETOF text
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    p record;
    answer text;
    got bigint := 0;
    before bigint;
    waiting boolean;
BEGIN
    LOOP
        before := got;
        waiting := false;
        -- The first of all parts, in their order: each part gives as many as it has of them.
        FOR p IN EXECUTE format('SELECT part_of(q.customer_id) AS part, count(*) AS n FROM (SELECT u.customer_id, row_number() OVER () AS place FROM (%s) u) q GROUP BY 1 ORDER BY min(q.place)',
                                format(queue, count - got)) LOOP
            waiting := true;
            FOR answer IN SELECT a FROM ask_part(p.part, format(claim, p.n), NULL, true) a LOOP
                got := got + 1;
                RETURN NEXT answer;
            END LOOP;
        END LOOP;
        EXIT WHEN got >= count OR got = before;
    END LOOP;
    IF waiting AND got < count THEN
        -- Others have the first ones in hand: whatever is behind them.
        FOR p IN SELECT k.part FROM part_key k ORDER BY random() LOOP
            FOR answer IN SELECT a FROM ask_part(p.part, format(claim, count - got), NULL, true) a LOOP
                got := got + 1;
                RETURN NEXT answer;
            END LOOP;
            EXIT WHEN got >= count;
        END LOOP;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION claim_from_parts(text, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION claim_from_parts(text, text, integer) IS
'claims rows of a queue over all parts, the first ones first as far as nobody else has them: queue is a query for the customers of the first rows, claim one for a part that claims and gives rows as text; each with %s for how many';

CREATE OR REPLACE FUNCTION claim_outbox(worker text, count integer DEFAULT 100, lease interval DEFAULT '1 minute', channels text[] DEFAULT NULL, as_of timestamptz DEFAULT now())
RETURNS SETOF outbox
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT (v.d).* FROM (
        SELECT j::outbox AS d
        FROM claim_from_parts(format('SELECT o.customer_id FROM outbox o WHERE (o.state = ''pending'' AND o.due_at <= %1$L OR o.state = ''claimed'' AND o.claimed_until < %1$L) AND (%2$L IS NULL OR o.channel = ANY (%2$L::text[])) ORDER BY o.state, o.due_at LIMIT %%s', as_of, channels),
                              format('SELECT r::text FROM claim_outbox(%L, %%s, %L, %L, %L) r', worker, lease, channels, as_of), count) j
        OFFSET 0) v;
END
$$;

CREATE OR REPLACE FUNCTION sent_outbox(worker text, customer_ids bigint[], outbox_ids bigint[], as_of timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    p record;
    done bigint := 0;
BEGIN
    FOR p IN SELECT o.* FROM parts_of(customer_ids) o LOOP
        done := done + (SELECT a::bigint FROM ask_part(p.part, format('SELECT sent_outbox(%L, %L, %L, %L)::text', worker, picked(customer_ids, p.numbers), picked(outbox_ids, p.numbers), as_of), NULL, true) a);
    END LOOP;
    RETURN done;
END
$$;

CREATE OR REPLACE FUNCTION submit_survey(invitation_id uuid, answers jsonb, as_of timestamptz DEFAULT now()) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    asked bigint := (SELECT i.customer_id FROM survey_invitation i WHERE i.invitation_id = submit_survey.invitation_id);
BEGIN
    -- Nobody's invitation is refused by any part.
    RETURN (SELECT a::integer FROM ask_part(part_of(coalesce(asked, 0)), format('SELECT submit_survey(%L, %L, %L)::text', invitation_id, answers, as_of), NULL, true) a);
END
$$;

CREATE OR REPLACE FUNCTION escalate_tickets(as_of timestamptz DEFAULT now()) RETURNS SETOF ticket
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    acted text := coalesce(current_setting('crm.actor', true), '');
BEGIN
    PERFORM set_config('crm.actor', coalesce(crm.actor(), crm.caller()), true);
    RETURN QUERY
    SELECT (v.d).* FROM (SELECT j::ticket AS d FROM ask_parts(format('SELECT r::text FROM escalate_tickets(%L) r', as_of), NULL, true) j OFFSET 0) v
    ORDER BY (v.d).customer_id, (v.d).ticket_id;
    PERFORM set_config('crm.actor', acted, true);
END
$$;

CREATE OR REPLACE FUNCTION tell_improvement(i improvement, as_of timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN (SELECT sum(a::bigint) FROM ask_parts(format('SELECT tell_improvement(%L, %L)::text', i, as_of), NULL, true) a);
END
$$;

CREATE OR REPLACE FUNCTION plan_follow_ups(as_of timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN (SELECT sum(a::bigint) FROM ask_parts(format('SELECT plan_follow_ups(%L)::text', as_of), NULL, true) a);
END
$$;

CREATE OR REPLACE FUNCTION claim_follow_ups(agent text, count integer DEFAULT 1, lease interval DEFAULT '30 minutes', as_of timestamptz DEFAULT now())
RETURNS SETOF follow_up
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT (v.d).* FROM (
        SELECT j::follow_up AS d
        FROM claim_from_parts(format('SELECT f.customer_id FROM follow_up f WHERE f.due_at <= %1$L AND (f.state = ''open'' OR f.state = ''claimed'' AND f.claimed_until < %1$L) ORDER BY f.priority DESC, f.due_at LIMIT %%s', as_of),
                              format('SELECT r::text FROM claim_follow_ups(%L, %%s, %L, %L) r', agent, lease, as_of), count) j
        OFFSET 0) v
    ORDER BY (v.d).priority DESC, (v.d).due_at;
END
$$;

CREATE OR REPLACE FUNCTION care_due(day date DEFAULT NULL, catch_up integer DEFAULT 7, as_of timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    today date := coalesce(day, shop_date(as_of));
    made bigint := (SELECT sum(a::bigint) FROM ask_parts(format('SELECT care_due(%L, %L, %L)::text', today, catch_up, as_of), NULL, true) a);
    present record;
BEGIN
    -- What takes of a stock goes one by one, since the stock is the same on every node.
    FOR present IN
        SELECT g.customer_id, g.event, g.year, e.gift FROM care_greeting g JOIN care_event e ON e.event = g.event
        WHERE g.gift IN ('due', 'failed') AND g.day > today - catch_up AND EXISTS (SELECT 1 FROM coupon_template t WHERE t.template = e.gift ->> 'coupon' AND t.total_limit IS NOT NULL)
        ORDER BY g.customer_id, g.event
    LOOP
        PERFORM give_care_gift(present.customer_id, present.event, present.year, present.gift, as_of);
    END LOOP;
    RETURN made;
END
$$;
