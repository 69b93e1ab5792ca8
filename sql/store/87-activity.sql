-- Games that give points at once, and activities to take part in: tutorials, courses, live streams.

CREATE TABLE game (
    game text PRIMARY KEY CHECK (game ~ '^[A-Za-z0-9_-]{1,40}$'),
    name text NOT NULL,
    program text COLLATE "C" NOT NULL DEFAULT 'points' REFERENCES points_program,
    cost bigint NOT NULL DEFAULT 0 CHECK (cost >= 0),
    plays_per_day integer NOT NULL DEFAULT 1 CHECK (plays_per_day > 0),
    points_per_day bigint NOT NULL DEFAULT 100 CHECK (points_per_day >= 0),
    budget bigint NOT NULL CHECK (budget >= 0),
    valid_from timestamptz NOT NULL DEFAULT '-infinity',
    valid_until timestamptz NOT NULL DEFAULT 'infinity' CHECK (valid_until > valid_from),
    active boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE game IS 'games that are decided at once: wheel, scratch card, quiz';
COMMENT ON COLUMN game.points_per_day IS 'points that a customer can win on a day of the store; what goes beyond is cut off';
COMMENT ON COLUMN game.budget IS 'points that the game gives in all; a win that it no longer holds is no win';

CREATE TABLE game_outcome (
    game text NOT NULL REFERENCES game ON DELETE CASCADE,
    outcome text NOT NULL,
    chance numeric(9,8) NOT NULL CHECK (chance > 0 AND chance <= 1),
    points bigint NOT NULL DEFAULT 0 CHECK (points >= 0),
    coupon_template text,
    stock bigint CHECK (stock >= 0),
    PRIMARY KEY (game, outcome)
);
COMMENT ON TABLE game_outcome IS 'what a play can bring, with its chance; the chances of a game add up to 1 at most, the rest wins nothing';
COMMENT ON COLUMN game_outcome.stock IS 'how often it can be won in all; null: no limit but the budget';

CREATE TABLE game_spent (
    game text NOT NULL REFERENCES game ON DELETE CASCADE,
    outcome text NOT NULL DEFAULT '',
    spent bigint NOT NULL DEFAULT 0 CHECK (spent >= 0),
    PRIMARY KEY (game, outcome)
) WITH (fillfactor = 20);
COMMENT ON TABLE game_spent IS 'points given by a game (outcome empty), and how often an outcome with a stock was won';

CREATE TABLE game_play (
    customer_id bigint NOT NULL REFERENCES customer,
    game text NOT NULL REFERENCES game,
    reference text NOT NULL,
    at timestamptz NOT NULL,
    outcome text,
    points bigint NOT NULL DEFAULT 0 CHECK (points >= 0),
    code text,
    PRIMARY KEY (customer_id, game, reference)
);
CREATE INDEX game_play_at ON game_play (customer_id, game, at);
COMMENT ON TABLE game_play IS 'plays with what they brought; outcome is null when nothing was won';

CREATE FUNCTION game_chance_guard() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    over text;
BEGIN
    SELECT o.game INTO over FROM game_outcome o GROUP BY o.game HAVING sum(o.chance) > 1 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the chances of game "%" add up to more than 1', over USING ERRCODE = 'CM051';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION game_chance_guard() IS 'trigger of game_outcome: chances add up to 1 at most';
CREATE TRIGGER game_chance_guard AFTER INSERT OR UPDATE ON game_outcome FOR EACH STATEMENT EXECUTE FUNCTION game_chance_guard();

CREATE FUNCTION play_game(customer_id bigint, game text, reference text, as_of timestamptz DEFAULT now()) RETURNS game_play
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    g game;
    o game_outcome;
    result game_play;
    plays bigint;
    won bigint;
    points bigint := 0;
    handed text;
    lot numeric;
    zone text := (SELECT s.time_zone FROM settings s);
    today timestamptz := shop_date(as_of)::timestamp AT TIME ZONE zone;
    tomorrow timestamptz := (shop_date(as_of) + 1)::timestamp AT TIME ZONE zone;
BEGIN
    PERFORM FROM customer c WHERE c.customer_id = play_game.customer_id AND c.status = 'active' FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'customer % does not exist or is not active', play_game.customer_id USING ERRCODE = 'CM002';
    END IF;
    SELECT p.* INTO result FROM game_play p WHERE p.customer_id = play_game.customer_id AND p.game = play_game.game AND p.reference = play_game.reference;
    IF FOUND THEN
        RETURN result;
    END IF;
    SELECT k.* INTO g FROM game k WHERE k.game = play_game.game;
    IF NOT FOUND OR NOT g.active OR as_of < g.valid_from OR as_of >= g.valid_until THEN
        RAISE EXCEPTION 'game "%" does not exist or is not played now', play_game.game USING ERRCODE = 'CM050';
    END IF;
    SELECT count(*), coalesce(sum(p.points), 0) INTO plays, won
    FROM game_play p WHERE p.customer_id = play_game.customer_id AND p.game = g.game AND p.at >= today AND p.at < tomorrow;
    IF plays >= g.plays_per_day THEN
        RAISE EXCEPTION 'customer % has played "%" as often as a day allows', play_game.customer_id, g.game
            USING ERRCODE = 'CM043', HINT = format('The game allows %s plays a day.', g.plays_per_day);
    END IF;
    IF g.cost > 0 THEN
        PERFORM redeem(play_game.customer_id, g.cost, 'game', g.game || '/' || play_game.reference, program => g.program, as_of => play_game.as_of);
    END IF;
    -- 60 random bits of a version 4 uuid, none of the fixed ones among them.
    SELECT ('x' || left(translate(u, '-', ''), 12) || right(u, 3))::bit(60)::bigint / 1152921504606846976.0 INTO lot FROM (SELECT gen_random_uuid()::text AS u) r;
    SELECT k.* INTO o
    FROM (SELECT c.*, sum(c.chance) OVER (ORDER BY c.outcome COLLATE "C") AS upto FROM game_outcome c WHERE c.game = g.game) r
    JOIN game_outcome k ON k.game = r.game AND k.outcome = r.outcome
    WHERE lot < r.upto ORDER BY r.upto LIMIT 1;
    points := least(coalesce(o.points, 0), greatest(g.points_per_day - won, 0));
    IF points = 0 AND o.points > 0 AND o.coupon_template IS NULL THEN
        o := NULL;
    END IF;
    -- One at a time where something runs out: first the stock, then the budget; what they do not hold is no win.
    IF o.outcome IS NOT NULL AND o.stock IS NOT NULL THEN
        INSERT INTO game_spent (game, outcome) VALUES (g.game, o.outcome) ON CONFLICT DO NOTHING;
        UPDATE game_spent s SET spent = s.spent + 1 WHERE s.game = g.game AND s.outcome = o.outcome AND s.spent < o.stock;
        IF NOT FOUND THEN
            o := NULL;
            points := 0;
        END IF;
    END IF;
    IF points > 0 THEN
        INSERT INTO game_spent (game) VALUES (g.game) ON CONFLICT DO NOTHING;
        UPDATE game_spent s SET spent = s.spent + points WHERE s.game = g.game AND s.outcome = '' AND s.spent + points <= g.budget;
        IF FOUND THEN
            PERFORM earn(play_game.customer_id, points, 'game_win', g.game || '/' || play_game.reference, program => g.program, as_of => play_game.as_of);
        ELSE
            IF o.stock IS NOT NULL THEN
                UPDATE game_spent s SET spent = s.spent - 1 WHERE s.game = g.game AND s.outcome = o.outcome;
            END IF;
            points := 0;
            o := NULL;
        END IF;
    END IF;
    IF o.coupon_template IS NOT NULL THEN
        handed := (issue_coupon(play_game.customer_id, o.coupon_template, 'game/' || g.game || '/' || play_game.reference, as_of)).code;
    END IF;
    INSERT INTO game_play AS p (customer_id, game, reference, at, outcome, points, code)
    VALUES (play_game.customer_id, g.game, play_game.reference, as_of, o.outcome, points, handed)
    RETURNING p.* INTO result;
    RETURN result;
END
$$;
COMMENT ON FUNCTION play_game(bigint, text, text, timestamptz) IS
'plays once a reference: takes the cost, decides by chance, stock, the customer''s cap of the day and the budget, and posts what was won. Errors: CM002 no active customer, CM050 not played now, CM043 plays of the day, and those of redeem and issue_coupon';
REVOKE EXECUTE ON FUNCTION play_game(bigint, text, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION game_leaderboard(game text, since timestamptz DEFAULT '-infinity', until timestamptz DEFAULT 'infinity', n integer DEFAULT 100)
RETURNS TABLE (rank bigint, customer_id bigint, points numeric, plays bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT row_number() OVER (ORDER BY sum(p.points) DESC, max(p.at) FILTER (WHERE p.points > 0), p.customer_id), p.customer_id, sum(p.points), count(*)
    FROM game_play p
    WHERE p.game = game_leaderboard.game AND p.at >= since AND p.at < until
    GROUP BY p.customer_id HAVING sum(p.points) > 0
    ORDER BY 1 LIMIT game_leaderboard.n;
END;
COMMENT ON FUNCTION game_leaderboard(text, timestamptz, timestamptz, integer) IS 'who won most points in a game; of equals, who got there first';

CREATE VIEW game_report AS
SELECT g.game, g.name, g.budget, coalesce(s.spent, 0) AS spent, count(p.*) AS plays, count(DISTINCT p.customer_id) AS customers,
       count(p.outcome) AS wins, count(p.*) * g.cost AS points_taken
FROM game g
LEFT JOIN game_spent s ON s.game = g.game AND s.outcome = ''
LEFT JOIN game_play p ON p.game = g.game
GROUP BY g.game, s.spent;
COMMENT ON VIEW game_report IS 'games with their plays, wins and what is left of the budget';

CREATE FUNCTION earn_event(customer_id bigint, events text[], reference text, as_of timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    r record;
    posted bigint := 0;
BEGIN
    -- A rule of the particular event goes before one of the general; of several of one event the first counts, as with orders.
    FOR r IN
        SELECT DISTINCT ON (p.program) p.program, p.event, p.points
        FROM points_rule p JOIN unnest(events) WITH ORDINALITY e (event, place) ON e.event = p.event
        WHERE p.active AND p.per_amount IS NULL AND coalesce(p.valid_from, '-infinity') <= as_of AND coalesce(p.valid_until, 'infinity') > as_of
        ORDER BY p.program, e.place, p.rule
    LOOP
        -- Under the general event, so that a rule changed later does not post it a second time.
        IF NOT EXISTS (SELECT FROM points_entry_all k WHERE k.customer_id = earn_event.customer_id AND k.program = r.program AND k.kind = 'earn'
                       AND k.source = events[cardinality(events)] AND k.reference = earn_event.reference) THEN
            PERFORM earn(earn_event.customer_id, r.points, events[cardinality(events)], earn_event.reference, program => r.program, as_of => earn_event.as_of);
            posted := posted + 1;
        END IF;
    END LOOP;
    RETURN posted;
END
$$;
COMMENT ON FUNCTION earn_event(bigint, text[], text, timestamptz) IS
'posts what points_rule gives for a behaviour, in each programme by the first event of the list that has a rule; once a reference. The number of entries';
REVOKE EXECUTE ON FUNCTION earn_event(bigint, text[], text, timestamptz) FROM PUBLIC;

CREATE TABLE activity (
    activity text PRIMARY KEY CHECK (activity ~ '^[A-Za-z0-9_-]{1,40}$'),
    kind text NOT NULL CHECK (kind IN ('tutorial', 'course', 'live', 'event')),
    title text NOT NULL,
    starts_at timestamptz NOT NULL DEFAULT '-infinity',
    ends_at timestamptz NOT NULL DEFAULT 'infinity' CHECK (ends_at > starts_at),
    lessons integer NOT NULL DEFAULT 1 CHECK (lessons > 0),
    capacity integer CHECK (capacity > 0),
    members integer NOT NULL DEFAULT 0,
    link text,
    state text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'open', 'closed', 'cancelled')),
    CONSTRAINT activity_capacity CHECK (members >= 0 AND (capacity IS NULL OR members <= capacity))
) WITH (fillfactor = 50);
COMMENT ON TABLE activity IS 'what customers learn from and take part in: tutorials, online courses of several lessons, live streams, events';
COMMENT ON COLUMN activity.members IS 'places taken, counted only where there is a capacity';

CREATE TABLE activity_member (
    customer_id bigint NOT NULL REFERENCES customer,
    activity text NOT NULL REFERENCES activity,
    joined_at timestamptz NOT NULL,
    attended_at timestamptz,
    progress integer NOT NULL DEFAULT 0 CHECK (progress >= 0),
    minutes numeric(10,2) NOT NULL DEFAULT 0 CHECK (minutes >= 0),
    last_at timestamptz,
    completed_at timestamptz,
    PRIMARY KEY (customer_id, activity)
);
CREATE INDEX activity_member_activity ON activity_member (activity, completed_at);
COMMENT ON TABLE activity_member IS 'who takes part, how far they came and when they finished';

CREATE FUNCTION activity_guard() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    allowed text := CASE OLD.state WHEN 'draft' THEN 'cancelled, open' WHEN 'open' THEN 'cancelled, closed' WHEN 'closed' THEN 'open' ELSE 'nothing' END;
BEGIN
    IF NOT NEW.state = ANY (string_to_array(allowed, ', ')) THEN
        RAISE EXCEPTION 'activity "%" is % and cannot become %', OLD.activity, OLD.state, NEW.state
            USING ERRCODE = 'CM055', HINT = format('From %s it can become %s.', OLD.state, allowed);
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION activity_guard() IS 'trigger of activity: draft → open ⇄ closed; draft and open → cancelled';
CREATE TRIGGER activity_guard BEFORE UPDATE ON activity FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION activity_guard();

CREATE FUNCTION join_activity(customer_id bigint, activity text, as_of timestamptz DEFAULT now()) RETURNS activity_member
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    a activity;
    result activity_member;
BEGIN
    SELECT m.* INTO result FROM activity_member m WHERE m.customer_id = join_activity.customer_id AND m.activity = join_activity.activity;
    IF FOUND THEN
        RETURN result;
    END IF;
    SELECT k.* INTO a FROM activity k WHERE k.activity = join_activity.activity;
    IF NOT FOUND OR a.state <> 'open' OR as_of >= a.ends_at THEN
        RAISE EXCEPTION 'activity "%" does not exist or is not open', join_activity.activity USING ERRCODE = 'CM052';
    ELSIF NOT EXISTS (SELECT FROM customer c WHERE c.customer_id = join_activity.customer_id AND c.status = 'active') THEN
        RAISE EXCEPTION 'customer % does not exist or is not active', join_activity.customer_id USING ERRCODE = 'CM002';
    END IF;
    INSERT INTO activity_member AS m (customer_id, activity, joined_at) VALUES (join_activity.customer_id, a.activity, as_of)
    ON CONFLICT DO NOTHING RETURNING m.* INTO result;
    IF NOT FOUND THEN
        SELECT m.* INTO result FROM activity_member m WHERE m.customer_id = join_activity.customer_id AND m.activity = join_activity.activity;
        RETURN result;
    END IF;
    -- Only where places are few do customers wait for each other.
    IF a.capacity IS NOT NULL THEN
        UPDATE activity k SET members = k.members + 1 WHERE k.activity = a.activity AND k.state = 'open' AND k.members < k.capacity;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'activity "%" is full', a.activity USING ERRCODE = 'CM053', HINT = format('It has %s places.', a.capacity);
        END IF;
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION join_activity(bigint, text, timestamptz) IS 'enrols a customer, once. Errors: CM002 no active customer, CM052 not open, CM053 full';
REVOKE EXECUTE ON FUNCTION join_activity(bigint, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION leave_activity(customer_id bigint, activity text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    DELETE FROM activity_member m WHERE m.customer_id = leave_activity.customer_id AND m.activity = leave_activity.activity AND m.attended_at IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE activity k SET members = k.members - 1 WHERE k.activity = leave_activity.activity AND k.capacity IS NOT NULL AND k.members > 0;
    RETURN true;
END
$$;
COMMENT ON FUNCTION leave_activity(bigint, text) IS 'gives a place back; false when the customer has none or has attended already';
REVOKE EXECUTE ON FUNCTION leave_activity(bigint, text) FROM PUBLIC;

CREATE FUNCTION attend_activity(customer_id bigint, activity text, progress integer DEFAULT NULL, minutes numeric DEFAULT 0, as_of timestamptz DEFAULT now())
RETURNS activity_member
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    a activity;
    before activity_member;
    result activity_member;
BEGIN
    SELECT k.* INTO a FROM activity k WHERE k.activity = attend_activity.activity;
    SELECT m.* INTO before FROM activity_member m WHERE m.customer_id = attend_activity.customer_id AND m.activity = a.activity FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'customer % takes no part in activity "%"', attend_activity.customer_id, attend_activity.activity
            USING ERRCODE = 'CM054', HINT = 'join_activity() enrols a customer.';
    ELSIF a.state NOT IN ('open', 'closed') OR as_of < a.starts_at OR attend_activity.progress > a.lessons THEN
        RAISE EXCEPTION 'activity "%" is %, starts at % and has % lessons', a.activity, a.state, a.starts_at, a.lessons
            USING ERRCODE = 'CM055', HINT = 'It is attended from its start on, at most to its last lesson.';
    END IF;
    -- Progress only grows: a report that comes late or twice takes nothing back.
    UPDATE activity_member m
    SET attended_at = coalesce(m.attended_at, as_of),
        progress = greatest(m.progress, coalesce(attend_activity.progress, 0)),
        minutes = greatest(m.minutes, attend_activity.minutes),
        last_at = greatest(m.last_at, as_of),
        completed_at = coalesce(m.completed_at, CASE WHEN attend_activity.progress >= a.lessons THEN as_of END)
    WHERE m.customer_id = before.customer_id AND m.activity = before.activity
    RETURNING m.* INTO result;
    IF before.attended_at IS NULL THEN
        PERFORM earn_event(result.customer_id, ARRAY[a.kind || '_attend', 'activity_attend'], a.activity, as_of);
    END IF;
    IF before.completed_at IS NULL AND result.completed_at IS NOT NULL THEN
        PERFORM earn_event(result.customer_id, ARRAY[a.kind || '_complete', 'activity_complete'], a.activity, as_of);
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION attend_activity(bigint, text, integer, numeric, timestamptz) IS
'records that a customer is there, the lessons done so far and the minutes in all (both only grow); the last lesson completes it. First attendance and completion earn by points_rule: events tutorial_attend, course_complete … or activity_attend, activity_complete. Again changes nothing. Errors: CM054 not enrolled, CM055 not attended now, or more lessons than there are';
REVOKE EXECUTE ON FUNCTION attend_activity(bigint, text, integer, numeric, timestamptz) FROM PUBLIC;

CREATE FUNCTION activity_leaderboard(activity text, n integer DEFAULT 100)
RETURNS TABLE (rank bigint, customer_id bigint, progress integer, minutes numeric, completed_at timestamptz)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT row_number() OVER (ORDER BY m.progress DESC, m.completed_at NULLS LAST, m.minutes DESC, m.attended_at, m.customer_id), m.customer_id, m.progress, m.minutes, m.completed_at
    FROM activity_member m
    WHERE m.activity = activity_leaderboard.activity AND m.attended_at IS NOT NULL
    ORDER BY 1 LIMIT activity_leaderboard.n;
END;
COMMENT ON FUNCTION activity_leaderboard(text, integer) IS 'who came furthest: by lessons, then who finished first, then minutes';

CREATE FUNCTION activity_report(since timestamptz DEFAULT '-infinity', until timestamptz DEFAULT 'infinity')
RETURNS TABLE (activity text, kind text, joined bigint, attended bigint, completed bigint, completed_percent numeric, minutes numeric, points numeric, ordered_within_30_days bigint, net_30_days numeric)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT a.activity, a.kind, count(m.*), count(m.attended_at), count(m.completed_at), round(100.0 * count(m.completed_at) / nullif(count(m.attended_at), 0), 1),
           coalesce(sum(m.minutes), 0),
           coalesce(sum((SELECT sum(e.points) FROM points_entry_all e WHERE e.customer_id = m.customer_id AND e.kind = 'earn' AND e.program = 'points'
                         AND e.source IN ('activity_attend', 'activity_complete') AND e.reference = a.activity)), 0),
           count(*) FILTER (WHERE b.net IS NOT NULL), coalesce(sum(b.net), 0)
    FROM activity a
    LEFT JOIN activity_member m ON m.activity = a.activity AND m.joined_at >= since AND m.joined_at < until
    LEFT JOIN LATERAL (SELECT sum(p.net) AS net FROM purchase p WHERE p.customer_id = m.customer_id AND p.order_at >= m.attended_at
                       AND p.order_at < m.attended_at + interval '30 days') b ON true
    GROUP BY a.activity, a.kind ORDER BY a.activity;
END;
COMMENT ON FUNCTION activity_report(timestamptz, timestamptz) IS 'who took part of those enrolled in a period, who finished, what points it gave, and what the participants ordered in the 30 days after';

CREATE VIEW check_in_leaderboard AS
SELECT row_number() OVER (ORDER BY c.streak DESC, c.at, c.customer_id) AS rank, c.customer_id, c.streak, c.at
FROM check_in c
WHERE c.day >= shop_date() - 1
  AND NOT EXISTS (SELECT FROM check_in l WHERE l.customer_id = c.customer_id AND l.day = c.day + 1);
COMMENT ON VIEW check_in_leaderboard IS 'the longest streaks of daily check-ins that are not broken today';

-- What the columns without a word above are.
COMMENT ON COLUMN game.game IS 'name of the game';
COMMENT ON COLUMN game.name IS 'title that customers read';
COMMENT ON COLUMN game.program IS 'the points that it costs and gives';
COMMENT ON COLUMN game.cost IS 'points a play';
COMMENT ON COLUMN game.plays_per_day IS 'plays of a customer in a day of the store';
COMMENT ON COLUMN game.valid_from IS 'from when it is played';
COMMENT ON COLUMN game.valid_until IS 'up to when (exclusive)';
COMMENT ON COLUMN game.active IS 'false: closed';
COMMENT ON COLUMN game_outcome.game IS 'the game';
COMMENT ON COLUMN game_outcome.outcome IS 'name of the outcome';
COMMENT ON COLUMN game_outcome.chance IS 'probability, 0 to 1';
COMMENT ON COLUMN game_outcome.points IS 'points that it brings';
COMMENT ON COLUMN game_outcome.coupon_template IS 'coupon that it brings; null: none';
COMMENT ON COLUMN game_spent.game IS 'the game';
COMMENT ON COLUMN game_spent.outcome IS 'the outcome; empty: the points of the whole game';
COMMENT ON COLUMN game_spent.spent IS 'points given, or how often it was won';
COMMENT ON COLUMN game_play.customer_id IS 'who played';
COMMENT ON COLUMN game_play.game IS 'the game';
COMMENT ON COLUMN game_play.reference IS 'name of the request';
COMMENT ON COLUMN game_play.at IS 'when';
COMMENT ON COLUMN game_play.outcome IS 'what was won; null: nothing';
COMMENT ON COLUMN game_play.points IS 'points that it brought';
COMMENT ON COLUMN game_play.code IS 'code of the coupon that it brought';
COMMENT ON COLUMN activity.activity IS 'name of the activity';
COMMENT ON COLUMN activity.kind IS 'tutorial, course, live or event';
COMMENT ON COLUMN activity.title IS 'title that customers read';
COMMENT ON COLUMN activity.starts_at IS 'from when';
COMMENT ON COLUMN activity.ends_at IS 'up to when (exclusive)';
COMMENT ON COLUMN activity.lessons IS 'how many lessons it has';
COMMENT ON COLUMN activity.capacity IS 'members at most; null: no limit';
COMMENT ON COLUMN activity.link IS 'where it is';
COMMENT ON COLUMN activity.state IS 'draft, open, closed or cancelled';
COMMENT ON COLUMN activity_member.customer_id IS 'the member';
COMMENT ON COLUMN activity_member.activity IS 'the activity';
COMMENT ON COLUMN activity_member.joined_at IS 'when the customer joined';
COMMENT ON COLUMN activity_member.attended_at IS 'when the member first took part; null: not yet';
COMMENT ON COLUMN activity_member.progress IS 'the furthest lesson reached';
COMMENT ON COLUMN activity_member.minutes IS 'time spent, in minutes';
COMMENT ON COLUMN activity_member.last_at IS 'when the member last took part';
COMMENT ON COLUMN activity_member.completed_at IS 'when the last lesson was finished; null: not yet';
