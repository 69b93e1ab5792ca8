-- Points for what customers do: daily check-in, inviting others; the leaderboard.

CREATE TABLE check_in (
    customer_id bigint NOT NULL REFERENCES customer,
    day date NOT NULL,
    streak integer NOT NULL CHECK (streak > 0),
    at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, day)
);
COMMENT ON TABLE check_in IS 'days on which a customer checked in, one a day of the store; streak counts days in a row';

ALTER TABLE settings
    ADD COLUMN check_in_points bigint NOT NULL DEFAULT 1 CHECK (check_in_points >= 0),
    ADD COLUMN check_in_streak integer NOT NULL DEFAULT 7 CHECK (check_in_streak > 1),
    ADD COLUMN check_in_bonus bigint NOT NULL DEFAULT 7 CHECK (check_in_bonus >= 0),
    ADD COLUMN invite_register_points bigint NOT NULL DEFAULT 0 CHECK (invite_register_points >= 0),
    ADD COLUMN invite_paid_points bigint NOT NULL DEFAULT 20 CHECK (invite_paid_points >= 0),
    ADD COLUMN invite_completed_points bigint NOT NULL DEFAULT 0 CHECK (invite_completed_points >= 0);
COMMENT ON COLUMN settings.invite_completed_points IS 'for the inviter, when the invited completes a first order';
COMMENT ON COLUMN settings.invite_register_points IS 'for the inviter, when the invited registers';
COMMENT ON COLUMN settings.check_in_streak IS 'the bonus comes on each so-many-th day in a row';
COMMENT ON COLUMN settings.check_in_points IS 'points of a daily check-in';
COMMENT ON COLUMN settings.check_in_bonus IS 'extra points on each check_in_streak-th day in a row';
COMMENT ON COLUMN settings.invite_paid_points IS 'for the inviter when the invited has paid a first order; taken back when no paid order of theirs is left';

CREATE FUNCTION check_in(customer_id bigint, as_of timestamptz DEFAULT now()) RETURNS check_in
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    result check_in;
    today date := shop_date(as_of);
    s settings;
BEGIN
    SELECT k.* INTO s FROM settings k;
    INSERT INTO check_in AS c (customer_id, day, streak, at)
    VALUES (check_in.customer_id, today, 1 + coalesce((SELECT y.streak FROM check_in y WHERE y.customer_id = check_in.customer_id AND y.day = today - 1), 0), as_of)
    ON CONFLICT DO NOTHING
    RETURNING c.* INTO result;
    IF NOT FOUND THEN
        SELECT c.* INTO result FROM check_in c WHERE c.customer_id = check_in.customer_id AND c.day = today;
        RETURN result;
    END IF;
    IF s.check_in_points > 0 THEN
        PERFORM earn(result.customer_id, s.check_in_points, 'check_in', today::text, as_of => check_in.as_of);
    END IF;
    IF s.check_in_bonus > 0 AND result.streak % s.check_in_streak = 0 THEN
        PERFORM earn(result.customer_id, s.check_in_bonus, 'check_in_streak', today::text, as_of => check_in.as_of);
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION check_in(bigint, timestamptz) IS 'checks a customer in for the store''s day and posts the points, with a bonus on each seventh day in a row (settings); again on the same day changes nothing';
REVOKE EXECUTE ON FUNCTION check_in(bigint, timestamptz) FROM PUBLIC;

CREATE TABLE invitation (
    customer_id bigint PRIMARY KEY REFERENCES customer,
    inviter bigint NOT NULL REFERENCES customer,
    invited_at timestamptz NOT NULL,
    CHECK (inviter <> customer_id)
);
CREATE INDEX invitation_inviter ON invitation (inviter);
COMMENT ON TABLE invitation IS 'who was invited by whom: each customer once';

CREATE TABLE invitation_turn (
    turn integer PRIMARY KEY CHECK (turn = 1),
    n bigint NOT NULL
) WITH (fillfactor = 20);
COMMENT ON TABLE invitation_turn IS 'counts invitations: whoever writes its row is the only one to walk the chain of inviters';

CREATE FUNCTION invited_by(customer_id bigint, inviter bigint, as_of timestamptz DEFAULT now()) RETURNS invitation
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    result invitation;
    at bigint := invited_by.inviter;
BEGIN
    SELECT i.* INTO result FROM invitation i WHERE i.customer_id = invited_by.customer_id;
    IF FOUND AND result.inviter = invited_by.inviter THEN
        RETURN result;
    ELSIF FOUND THEN
        RAISE EXCEPTION 'customer % was invited by customer % already', invited_by.customer_id, result.inviter USING ERRCODE = 'CP030';
    ELSIF invited_by.customer_id = invited_by.inviter THEN
        RAISE EXCEPTION 'customer % cannot invite themselves', invited_by.customer_id USING ERRCODE = 'CP031';
    ELSIF (SELECT s.order_count FROM customer_summary s WHERE s.customer_id = invited_by.customer_id) > 0 THEN
        RAISE EXCEPTION 'customer % has bought already and is not new', invited_by.customer_id USING ERRCODE = 'CP032';
    END IF;
    -- One at a time while the chain is walked, or two could close a circle between them; with an old snapshot not at all.
    INSERT INTO invitation_turn AS t (turn, n) VALUES (1, 1) ON CONFLICT (turn) DO UPDATE SET n = t.n + 1;
    WHILE at IS NOT NULL LOOP
        SELECT i.inviter INTO at FROM invitation i WHERE i.customer_id = at;
        IF at = invited_by.customer_id THEN
            RAISE EXCEPTION 'customer % and customer % would have invited each other', invited_by.customer_id, invited_by.inviter USING ERRCODE = 'CP031';
        END IF;
    END LOOP;
    INSERT INTO invitation (customer_id, inviter, invited_at) VALUES (invited_by.customer_id, invited_by.inviter, as_of) RETURNING * INTO result;
    IF (SELECT s.invite_register_points FROM settings s) > 0 THEN
        PERFORM earn(result.inviter, (SELECT s.invite_register_points FROM settings s), 'invite_register', result.customer_id::text, as_of => invited_by.as_of);
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION invited_by(bigint, bigint, timestamptz) IS
'records who invited a new customer and posts the points for registering. Errors: CP030 invited by another, CP031 oneself or a circle, CP032 not new';
REVOKE EXECUTE ON FUNCTION invited_by(bigint, bigint, timestamptz) FROM PUBLIC;

CREATE FUNCTION invitations_met(as_of timestamptz) RETURNS TABLE (customer_id bigint, inviter bigint, source text, points bigint, met boolean)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
BEGIN ATOMIC
    SELECT v.customer_id, v.inviter, r.source, r.points, r.met
    FROM invitation v
    CROSS JOIN settings s
    CROSS JOIN LATERAL (VALUES
        ('invite_paid', s.invite_paid_points, EXISTS (SELECT FROM purchase p WHERE p.customer_id = v.customer_id AND p.order_at <= invitations_met.as_of)),
        ('invite_completed', s.invite_completed_points, EXISTS (SELECT FROM purchase p WHERE p.customer_id = v.customer_id AND p.order_at IS NOT NULL AND p.status = 'completed'
                                                                AND coalesce(p.completed_at, p.order_at) <= invitations_met.as_of))) AS r (source, points, met)
    WHERE r.points > 0;
END;
COMMENT ON FUNCTION invitations_met(timestamptz) IS 'what each invitation would bring its inviter, and whether the orders of who was invited meet it';
REVOKE EXECUTE ON FUNCTION invitations_met(timestamptz) FROM PUBLIC;

CREATE FUNCTION settle_invitations(as_of timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    i record;
    held bigint;
    settled bigint := 0;
BEGIN
    FOR i IN SELECT m.* FROM invitations_met(settle_invitations.as_of) m ORDER BY m.inviter, m.customer_id LOOP
        SELECT sum(CASE e.kind WHEN 'earn' THEN e.points ELSE -abs(e.points) END) INTO held
        FROM points_entry_all e
        WHERE e.customer_id = i.inviter AND e.program = 'points' AND e.source = i.source AND e.kind IN ('earn', 'refund')
          AND (e.reference = i.customer_id::text OR e.reference LIKE i.customer_id || '/%');
        IF i.met AND held IS NULL THEN
            PERFORM earn(i.inviter, i.points, i.source, i.customer_id::text, as_of => settle_invitations.as_of);
            settled := settled + 1;
        ELSIF NOT i.met AND held > 0 THEN
            PERFORM refund(i.inviter, i.customer_id::text, source => i.source, reference => i.customer_id || '/back', as_of => settle_invitations.as_of);
            settled := settled + 1;
        END IF;
    END LOOP;
    RETURN settled;
END
$$;
COMMENT ON FUNCTION settle_invitations(timestamptz) IS 'posts what inviters earned since (first paid, first completed order of the invited) and takes back what rested on orders that are gone; the number posted. Run it often, it posts each once';
REVOKE EXECUTE ON FUNCTION settle_invitations(timestamptz) FROM PUBLIC;

CREATE FUNCTION points_leaderboard(since timestamptz, until timestamptz DEFAULT now(), program text DEFAULT 'points', n integer DEFAULT 100)
RETURNS TABLE (rank bigint, customer_id bigint, points bigint, reached_at timestamptz)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT row_number() OVER (ORDER BY t.points DESC, t.reached_at, t.customer_id), t.customer_id, t.points, t.reached_at
    FROM (SELECT e.customer_id, sum(CASE e.kind WHEN 'earn' THEN e.points ELSE -abs(e.points) END)::bigint AS points,
                 max(e.booked_at) FILTER (WHERE e.kind = 'earn') AS reached_at
          FROM points_entry_all e
          WHERE e.program = points_leaderboard.program AND e.kind IN ('earn', 'refund') AND e.booked_at >= since AND e.booked_at < until
          GROUP BY e.customer_id) t
    WHERE t.points > 0
    ORDER BY 1 LIMIT points_leaderboard.n;
END;
COMMENT ON FUNCTION points_leaderboard(timestamptz, timestamptz, text, integer) IS 'who earned most in a period, net of claw-backs; of equals, who got there first';

-- What the columns without a word above are.
COMMENT ON COLUMN check_in.customer_id IS 'who checked in';
COMMENT ON COLUMN check_in.day IS 'day in the store''s time zone';
COMMENT ON COLUMN check_in.streak IS 'days in a row up to this one';
COMMENT ON COLUMN check_in.at IS 'when';
COMMENT ON COLUMN invitation.customer_id IS 'who was invited';
COMMENT ON COLUMN invitation.inviter IS 'who invited';
COMMENT ON COLUMN invitation.invited_at IS 'when';
COMMENT ON COLUMN invitation_turn.turn IS 'always 1: there is one row';
COMMENT ON COLUMN invitation_turn.n IS 'invitations so far';
