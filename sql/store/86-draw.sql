-- Lucky draws: the seed's hash is published before anybody enters, the seed after, so that everybody can work the winners out again.

CREATE TABLE draw (
    draw text PRIMARY KEY CHECK (draw ~ '^[A-Za-z0-9_-]{1,40}$'),
    name text NOT NULL,
    opens_at timestamptz NOT NULL,
    closes_at timestamptz NOT NULL CHECK (closes_at > opens_at),
    program text COLLATE "C" NOT NULL DEFAULT 'points' REFERENCES points_program,
    cost bigint NOT NULL DEFAULT 0 CHECK (cost >= 0),
    entries_per_customer integer NOT NULL DEFAULT 1 CHECK (entries_per_customer > 0),
    entries_per_day integer CHECK (entries_per_day > 0),
    wins_per_customer integer NOT NULL DEFAULT 1 CHECK (wins_per_customer > 0),
    condition crm.rule,
    beacon_source text,
    state text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'open', 'closed', 'drawn', 'cancelled')),
    seed_hash bytea CHECK (octet_length(seed_hash) = 32),
    opened_at timestamptz,
    closed_at timestamptz,
    entries bigint,
    entries_digest bytea CHECK (octet_length(entries_digest) = 32),
    beacon text,
    seed bytea CHECK (sha256(seed) = seed_hash),
    drawn_at timestamptz,
    CHECK (state IN ('draft', 'cancelled') OR seed_hash IS NOT NULL),
    CHECK (state NOT IN ('closed', 'drawn') OR (entries IS NOT NULL AND entries_digest IS NOT NULL)),
    CHECK ((state = 'drawn') = (seed IS NOT NULL AND beacon IS NOT NULL))
);
CREATE TRIGGER rule_guard BEFORE INSERT OR UPDATE ON draw FOR EACH ROW EXECUTE FUNCTION rule_guard('customer_360');
COMMENT ON TABLE draw IS 'lucky draws (抽奖): draft → open → closed → drawn; terms are fixed once open';
COMMENT ON COLUMN draw.cost IS 'points of the programme that an entry costs, redeemed through the ledger''s gate';
COMMENT ON COLUMN draw.beacon_source IS 'a public number that nobody knows before closing, named beforehand, such as "drand round 4510000" or a closing price: with it not even who can read the seed can choose the winners';
COMMENT ON COLUMN draw.seed_hash IS 'SHA-256 of the seed, published when the draw opens';
COMMENT ON COLUMN draw.entries_digest IS 'SHA-256 over the tickets in byte order, each with a line feed: fixes who took part before the seed is known';
COMMENT ON COLUMN draw.seed IS 'null until the winners are drawn';

CREATE TABLE draw_seed (
    draw text PRIMARY KEY REFERENCES draw,
    seed bytea NOT NULL CHECK (octet_length(seed) = 32)
);
COMMENT ON TABLE draw_seed IS 'seeds of draws that are not drawn yet: granted to nobody';
REVOKE ALL ON draw_seed FROM PUBLIC;

CREATE TABLE draw_prize (
    draw text NOT NULL REFERENCES draw ON DELETE CASCADE,
    seq integer NOT NULL CHECK (seq > 0),
    prize text NOT NULL,
    stock integer NOT NULL CHECK (stock > 0),
    kind text NOT NULL DEFAULT 'goods' CHECK (kind IN ('goods', 'points', 'coupon', 'reward')),
    points bigint CHECK (points > 0),
    coupon_template text,
    reward text REFERENCES reward,
    PRIMARY KEY (draw, seq),
    UNIQUE (draw, prize),
    CHECK ((kind = 'points') = (points IS NOT NULL)),
    CHECK ((kind = 'coupon') = (coupon_template IS NOT NULL)),
    CHECK ((kind = 'reward') = (reward IS NOT NULL))
);
COMMENT ON TABLE draw_prize IS 'prizes in the order in which they are drawn, the first seq to the first places; goods are handed by staff';

CREATE TABLE draw_entrant (
    customer_id bigint NOT NULL REFERENCES customer,
    draw text NOT NULL REFERENCES draw,
    who uuid NOT NULL DEFAULT gen_random_uuid(),
    PRIMARY KEY (customer_id, draw)
);
COMMENT ON TABLE draw_entrant IS 'by which name a customer stands in the published list of a draw';

CREATE TABLE draw_entry (
    customer_id bigint NOT NULL,
    draw text NOT NULL REFERENCES draw,
    reference text NOT NULL,
    ticket uuid NOT NULL DEFAULT gen_random_uuid(),
    who uuid NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, draw, reference),
    FOREIGN KEY (customer_id) REFERENCES customer
);
CREATE UNIQUE INDEX draw_entry_ticket ON draw_entry (draw, ticket);
COMMENT ON TABLE draw_entry IS 'entries: each has a ticket, which the customer is shown and finds in the published list';

CREATE TABLE draw_winner (
    customer_id bigint NOT NULL REFERENCES customer,
    draw text NOT NULL REFERENCES draw,
    ticket uuid NOT NULL,
    place integer NOT NULL CHECK (place > 0),
    seq integer NOT NULL,
    state text NOT NULL DEFAULT 'won' CHECK (state IN ('won', 'handed')),
    handed_at timestamptz,
    handed_by text,
    code text,
    error text,
    PRIMARY KEY (customer_id, draw, ticket),
    FOREIGN KEY (draw, seq) REFERENCES draw_prize,
    CHECK ((state = 'handed') = (handed_at IS NOT NULL))
);
CREATE UNIQUE INDEX draw_winner_place ON draw_winner (draw, place);
COMMENT ON TABLE draw_winner IS 'who won what, and whether it was handed over';

CREATE FUNCTION draw_guard() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    allowed text := CASE OLD.state WHEN 'draft' THEN 'cancelled, open' WHEN 'open' THEN 'cancelled, closed' WHEN 'closed' THEN 'drawn' ELSE 'nothing' END;
BEGIN
    IF NEW.state <> OLD.state AND NOT NEW.state = ANY (string_to_array(allowed, ', ')) THEN
        RAISE EXCEPTION 'draw "%" is % and cannot become %', OLD.draw, OLD.state, NEW.state
            USING ERRCODE = 'CM042', HINT = format('From %s it can become %s.', OLD.state, allowed);
    ELSIF OLD.state <> 'draft' AND (NEW.draw, NEW.opens_at, NEW.closes_at, NEW.program, NEW.cost, NEW.entries_per_customer, NEW.entries_per_day, NEW.wins_per_customer,
                                    NEW.condition::text, NEW.beacon_source, NEW.seed_hash)
          IS DISTINCT FROM (OLD.draw, OLD.opens_at, OLD.closes_at, OLD.program, OLD.cost, OLD.entries_per_customer, OLD.entries_per_day, OLD.wins_per_customer,
                            OLD.condition::text, OLD.beacon_source, OLD.seed_hash)
          OR OLD.state IN ('closed', 'drawn') AND (NEW.entries, NEW.entries_digest) IS DISTINCT FROM (OLD.entries, OLD.entries_digest)
          OR OLD.state = 'drawn' AND (NEW.seed, NEW.beacon) IS DISTINCT FROM (OLD.seed, OLD.beacon) THEN
        RAISE EXCEPTION 'the terms of draw "%" are published', OLD.draw USING ERRCODE = 'CM041', HINT = 'A draw is changed while it is a draft; cancel_draw() ends an open one.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION draw_guard() IS 'trigger of draw: steps in their order, terms fixed once open';
CREATE TRIGGER draw_guard BEFORE UPDATE ON draw FOR EACH ROW EXECUTE FUNCTION draw_guard();

CREATE FUNCTION draw_prize_guard() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    published text;
BEGIN
    SELECT d.draw INTO published FROM draw d
    WHERE d.state <> 'draft' AND (d.draw = (CASE WHEN TG_OP = 'INSERT' THEN NEW.draw ELSE OLD.draw END) OR (TG_OP = 'UPDATE' AND d.draw = NEW.draw));
    IF FOUND THEN
        RAISE EXCEPTION 'the prizes of draw "%" are published', published USING ERRCODE = 'CM041', HINT = 'A draw is changed while it is a draft; cancel_draw() ends an open one.';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION draw_prize_guard() IS 'trigger of draw_prize: prizes are fixed once the draw is open';
CREATE TRIGGER draw_prize_guard BEFORE INSERT OR UPDATE OR DELETE ON draw_prize FOR EACH ROW EXECUTE FUNCTION draw_prize_guard();

CREATE FUNCTION draw_entry_guard() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    entry draw_entry := CASE WHEN TG_OP = 'INSERT' THEN NEW ELSE OLD END;
BEGIN
    IF EXISTS (SELECT FROM draw d WHERE d.draw = entry.draw AND d.state IN ('closed', 'drawn')) THEN
        RAISE EXCEPTION 'draw "%" is closed: its entries stay as they are', entry.draw USING ERRCODE = 'CM041';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION draw_entry_guard() IS 'trigger of draw_entry: after closing nothing comes and nothing goes; the customer behind a ticket may change when two are merged';
CREATE TRIGGER draw_entry_guard BEFORE INSERT OR DELETE OR UPDATE OF draw, ticket, who, reference, at ON draw_entry FOR EACH ROW EXECUTE FUNCTION draw_entry_guard();

CREATE FUNCTION lock_draw(draw text) RETURNS draw
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    result draw;
BEGIN
    SELECT k.* INTO result FROM draw k WHERE k.draw = lock_draw.draw FOR UPDATE;
    RETURN result;
END
$$;
COMMENT ON FUNCTION lock_draw(text) IS 'a draw, when whoever was just entering it is through and nobody enters any more: for its next step';
REVOKE EXECUTE ON FUNCTION lock_draw(text) FROM PUBLIC;

CREATE FUNCTION open_draw(draw text, as_of timestamptz DEFAULT now()) RETURNS bytea
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    d draw;
    secret bytea;
BEGIN
    d := lock_draw(open_draw.draw);
    IF d.draw IS NULL THEN
        RAISE EXCEPTION 'draw "%" does not exist', open_draw.draw USING ERRCODE = 'CM040';
    ELSIF d.state = 'open' THEN
        RETURN d.seed_hash;
    ELSIF as_of >= d.closes_at OR NOT EXISTS (SELECT FROM draw_prize p WHERE p.draw = d.draw) THEN
        RAISE EXCEPTION 'draw "%" has no prize or is over', d.draw USING ERRCODE = 'CM042', HINT = 'Insert its prizes into draw_prize; closes_at must lie ahead.';
    END IF;
    -- Three random uuids are 366 random bits of the server's strong source.
    secret := sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
    INSERT INTO draw_seed (draw, seed) VALUES (d.draw, secret) ON CONFLICT DO NOTHING;
    UPDATE draw k SET state = 'open', opened_at = as_of, seed_hash = sha256((SELECT s.seed FROM draw_seed s WHERE s.draw = d.draw))
    WHERE k.draw = d.draw
    RETURNING k.seed_hash INTO d.seed_hash;
    RETURN d.seed_hash;
END
$$;
COMMENT ON FUNCTION open_draw(text, timestamptz) IS
'makes the secret seed, fixes terms and prizes and opens a draw; the hash of the seed, to be published. Again changes nothing. Errors: CM040 unknown, CM042 no prize, over, or a step not allowed';
REVOKE EXECUTE ON FUNCTION open_draw(text, timestamptz) FROM PUBLIC;

CREATE FUNCTION enter_draw(customer_id bigint, draw text, reference text, as_of timestamptz DEFAULT now()) RETURNS draw_entry
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    d draw;
    result draw_entry;
    name uuid;
    held bigint;
    today bigint;
BEGIN
    -- The draw first, shared: closing waits for those who are just entering. Then the customer, as run_draw does.
    SELECT k.* INTO d FROM draw k WHERE k.draw = enter_draw.draw FOR SHARE;
    PERFORM FROM customer c WHERE c.customer_id = enter_draw.customer_id AND c.status = 'active' FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'customer % does not exist or is not active', enter_draw.customer_id USING ERRCODE = 'CM002';
    END IF;
    SELECT e.* INTO result FROM draw_entry e
    WHERE e.customer_id = enter_draw.customer_id AND e.draw = enter_draw.draw AND e.reference = enter_draw.reference;
    IF FOUND THEN
        RETURN result;
    END IF;
    IF d.draw IS NULL OR d.state <> 'open' OR as_of < d.opens_at OR as_of >= d.closes_at THEN
        RAISE EXCEPTION 'draw "%" does not exist or is not open', enter_draw.draw USING ERRCODE = 'CM040';
    END IF;
    SELECT count(*), count(*) FILTER (WHERE shop_date(e.at) = shop_date(as_of)) INTO held, today
    FROM draw_entry e WHERE e.customer_id = enter_draw.customer_id AND e.draw = d.draw;
    IF held >= d.entries_per_customer OR today >= d.entries_per_day THEN
        RAISE EXCEPTION 'customer % has entered draw "%" as often as allowed', enter_draw.customer_id, d.draw
            USING ERRCODE = 'CM043', HINT = format('The draw allows %s in all and %s a day.', d.entries_per_customer, coalesce(d.entries_per_day::text, 'any number'));
    ELSIF d.condition IS NOT NULL AND NOT coalesce(matches_rule(enter_draw.customer_id, d.condition, as_of), false) THEN
        RAISE EXCEPTION 'customer % does not meet the condition of draw "%"', enter_draw.customer_id, d.draw USING ERRCODE = 'CM044';
    END IF;
    IF d.cost > 0 THEN
        PERFORM redeem(enter_draw.customer_id, d.cost, 'draw', d.draw || '/' || enter_draw.reference, program => d.program, as_of => enter_draw.as_of);
    END IF;
    INSERT INTO draw_entrant (customer_id, draw) VALUES (enter_draw.customer_id, d.draw) ON CONFLICT DO NOTHING;
    SELECT k.who INTO name FROM draw_entrant k WHERE k.customer_id = enter_draw.customer_id AND k.draw = d.draw;
    INSERT INTO draw_entry AS e (customer_id, draw, reference, who, at)
    VALUES (enter_draw.customer_id, d.draw, enter_draw.reference, name, as_of)
    RETURNING e.* INTO result;
    RETURN result;
END
$$;
COMMENT ON FUNCTION enter_draw(bigint, text, text, timestamptz) IS
'enters a customer, once a reference, for the draw''s cost in points; the entry with its ticket. Errors: CM002 no active customer, CM040 not open, CM043 limits, CM044 condition, and those of redeem';
REVOKE EXECUTE ON FUNCTION enter_draw(bigint, text, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION close_draw(draw text, as_of timestamptz DEFAULT now()) RETURNS draw
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    d draw;
    tickets uuid[];
BEGIN
    d := lock_draw(close_draw.draw);
    IF d.draw IS NULL THEN
        RAISE EXCEPTION 'draw "%" does not exist', close_draw.draw USING ERRCODE = 'CM040';
    ELSIF d.state IN ('closed', 'drawn') THEN
        RETURN d;
    ELSIF as_of < d.closes_at THEN
        RAISE EXCEPTION 'draw "%" takes entries until %', d.draw, d.closes_at USING ERRCODE = 'CM042', HINT = 'Its terms are published; cancel_draw() ends it without winners.';
    END IF;
    SELECT array_agg(e.ticket) INTO tickets FROM draw_entry e WHERE e.draw = d.draw;
    UPDATE draw k
    SET state = 'closed', closed_at = as_of, entries = coalesce(cardinality(tickets), 0),
        entries_digest = sha256(convert_to(coalesce((SELECT string_agg(t::text || E'\n', '' ORDER BY t) FROM unnest(tickets) t), ''), 'UTF8'))
    WHERE k.draw = d.draw
    RETURNING k.* INTO d;
    RETURN d;
END
$$;
COMMENT ON FUNCTION close_draw(text, timestamptz) IS 'ends the entries of a draw and fixes their digest, to be published; again changes nothing. Errors: CM040 unknown, CM042 before its time, or a step not allowed';
REVOKE EXECUTE ON FUNCTION close_draw(text, timestamptz) FROM PUBLIC;

CREATE FUNCTION cancel_draw(draw text, as_of timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    d draw;
    e draw_entry;
    given bigint := 0;
BEGIN
    d := lock_draw(cancel_draw.draw);
    IF d.draw IS NULL THEN
        RAISE EXCEPTION 'draw "%" does not exist', cancel_draw.draw USING ERRCODE = 'CM040';
    ELSIF d.state = 'cancelled' THEN
        RETURN 0;
    END IF;
    UPDATE draw k SET state = 'cancelled' WHERE k.draw = d.draw;
    IF d.cost > 0 THEN
        FOR e IN SELECT k.* FROM draw_entry k WHERE k.draw = d.draw ORDER BY k.customer_id, k.reference LOOP
            PERFORM restore(e.customer_id, e.draw || '/' || e.reference, source => 'draw', program => d.program, as_of => cancel_draw.as_of);
            given := given + 1;
        END LOOP;
    END IF;
    RETURN given;
END
$$;
COMMENT ON FUNCTION cancel_draw(text, timestamptz) IS 'ends a draft or open draw without winners and gives the points of its entries back to their lots; how many. Errors: CM040 unknown, CM042 step not allowed';
REVOKE EXECUTE ON FUNCTION cancel_draw(text, timestamptz) FROM PUBLIC;

CREATE FUNCTION draw_order(draw text, seed bytea, beacon text) RETURNS TABLE (n bigint, ticket uuid, who uuid, customer_id bigint)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    inner_key bytea := decode(repeat('36', 64), 'hex');
    outer_key bytea := decode(repeat('5c', 64), 'hex');
    prefix bytea;
BEGIN
    -- HMAC-SHA256 as in RFC 2104: the server has SHA-256 only.
    FOR i IN 0 .. 31 LOOP
        inner_key := set_byte(inner_key, i, get_byte(inner_key, i) # get_byte(draw_order.seed, i));
        outer_key := set_byte(outer_key, i, get_byte(outer_key, i) # get_byte(draw_order.seed, i));
    END LOOP;
    SELECT convert_to(format(E'crm-draw-1\n%s\n%s\n%s\n', d.draw, encode(d.entries_digest, 'hex'), draw_order.beacon), 'UTF8') INTO prefix FROM draw d WHERE d.draw = draw_order.draw;
    RETURN QUERY
        SELECT row_number() OVER (ORDER BY sha256(outer_key || sha256(inner_key || prefix || convert_to(e.ticket::text, 'UTF8'))), e.ticket), e.ticket, e.who, e.customer_id
        FROM draw_entry e WHERE e.draw = draw_order.draw;
END
$$;
COMMENT ON FUNCTION draw_order(text, bytea, text) IS 'the tickets of a closed draw in the order that seed and beacon give; doc/activities.md has it to the byte';
REVOKE EXECUTE ON FUNCTION draw_order(text, bytea, text) FROM PUBLIC;

CREATE FUNCTION run_draw(draw text, beacon text DEFAULT NULL, as_of timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    d draw;
    secret bytea;
    number text := coalesce(run_draw.beacon, '');
    prizes integer[];
    winners bigint;
    winner draw_winner;
BEGIN
    d := lock_draw(run_draw.draw);
    IF d.draw IS NULL THEN
        RAISE EXCEPTION 'draw "%" does not exist', run_draw.draw USING ERRCODE = 'CM040';
    ELSIF d.state = 'drawn' THEN
        RETURN (SELECT count(*) FROM draw_winner w WHERE w.draw = d.draw);
    ELSIF d.state <> 'closed' THEN
        RAISE EXCEPTION 'draw "%" is % and cannot become drawn', d.draw, d.state
            USING ERRCODE = 'CM042', HINT = format('From %s it can become %s.', d.state, CASE d.state WHEN 'draft' THEN 'cancelled, open' WHEN 'open' THEN 'cancelled, closed' ELSE 'nothing' END);
    ELSIF (d.beacon_source IS NULL) <> (number = '') OR number ~ '[[:cntrl:]]' THEN
        RAISE EXCEPTION 'draw "%" is drawn with the beacon that was announced, and only with that', d.draw
            USING ERRCODE = 'CM045', HINT = coalesce('Announced: ' || d.beacon_source, 'None was announced.');
    END IF;
    SELECT s.seed INTO STRICT secret FROM draw_seed s WHERE s.draw = d.draw;
    SELECT array_agg(p.seq ORDER BY p.seq, i) INTO prizes FROM draw_prize p, generate_series(1, p.stock) i WHERE p.draw = d.draw;
    -- Down the order; a ticket of somebody who has won as often as allowed is passed over.
    INSERT INTO draw_winner (customer_id, draw, ticket, place, seq)
    SELECT y.customer_id, d.draw, y.ticket, y.place, prizes[y.place]
    FROM (SELECT x.customer_id, x.ticket, row_number() OVER (ORDER BY x.n) AS place
          FROM (SELECT o.*, row_number() OVER (PARTITION BY o.who ORDER BY o.n) AS k FROM draw_order(d.draw, secret, number) o) x
          WHERE x.k <= d.wins_per_customer) y
    WHERE y.place <= cardinality(prizes);
    GET DIAGNOSTICS winners = ROW_COUNT;
    UPDATE draw k SET state = 'drawn', drawn_at = as_of, seed = secret, beacon = number WHERE k.draw = d.draw;
    -- Presents that need nobody's hands go out at once; a gate that refuses one keeps none of the others.
    FOR winner IN
        SELECT w.* FROM draw_winner w JOIN draw_prize p ON p.draw = w.draw AND p.seq = w.seq
        WHERE w.draw = d.draw AND p.kind <> 'goods' ORDER BY w.customer_id, w.place
    LOOP
        BEGIN
            PERFORM hand_prize(winner.customer_id, winner.draw, winner.ticket, as_of);
        EXCEPTION WHEN OTHERS THEN
            UPDATE draw_winner w SET error = SQLSTATE || ': ' || SQLERRM
            WHERE w.customer_id = winner.customer_id AND w.draw = winner.draw AND w.ticket = winner.ticket;
        END;
    END LOOP;
    RETURN winners;
END
$$;
COMMENT ON FUNCTION run_draw(text, text, timestamptz) IS
'draws the winners of a closed draw, publishes the seed and hands out points, coupons and rewards; the number of winners. Again changes nothing. beacon: the number that draw.beacon_source announced. Errors: CM040 unknown, CM042 not closed, CM045 beacon missing or not announced';
REVOKE EXECUTE ON FUNCTION run_draw(text, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION hand_prize(customer_id bigint, draw text, ticket uuid, as_of timestamptz DEFAULT now()) RETURNS draw_winner
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    w draw_winner;
    p draw_prize;
    handed text;
    hand text := coalesce(crm.actor(), crm.caller());
BEGIN
    SELECT k.* INTO w FROM draw_winner k WHERE k.customer_id = hand_prize.customer_id AND k.draw = hand_prize.draw AND k.ticket = hand_prize.ticket FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'customer % won nothing with this ticket of draw "%"', hand_prize.customer_id, hand_prize.draw USING ERRCODE = 'CM046';
    ELSIF w.state = 'handed' THEN
        RETURN w;
    END IF;
    SELECT k.* INTO p FROM draw_prize k WHERE k.draw = w.draw AND k.seq = w.seq;
    CASE p.kind
        WHEN 'points' THEN
            PERFORM earn(w.customer_id, p.points, 'prize', w.draw || '/' || w.place, as_of => hand_prize.as_of);
        WHEN 'coupon' THEN
            handed := (issue_coupon(w.customer_id, p.coupon_template, 'draw/' || w.draw || '/' || w.place, as_of)).code;
        WHEN 'reward' THEN
            -- A reward is bought with points: the shop pays them in first, so both gates count it.
            PERFORM earn(w.customer_id, r.points, 'prize', w.draw || '/' || w.place, program => r.program, as_of => hand_prize.as_of)
            FROM reward r WHERE r.reward = p.reward;
            handed := (redeem_reward(w.customer_id, p.reward, 'draw/' || w.draw || '/' || w.place, as_of)).code;
        ELSE NULL;
    END CASE;
    UPDATE draw_winner k SET state = 'handed', handed_at = as_of, handed_by = hand, code = handed, error = NULL
    WHERE k.customer_id = w.customer_id AND k.draw = w.draw AND k.ticket = w.ticket
    RETURNING k.* INTO w;
    RETURN w;
END
$$;
COMMENT ON FUNCTION hand_prize(bigint, text, uuid, timestamptz) IS
'hands a prize over: points and coupons through their gates, rewards by points paid in and redeemed, goods as done by staff; once. Errors: CM046 nothing won, and those of the gates';
REVOKE EXECUTE ON FUNCTION hand_prize(bigint, text, uuid, timestamptz) FROM PUBLIC;

CREATE FUNCTION draw_export(draw text) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path FROM CURRENT
BEGIN ATOMIC
    SELECT v.line FROM (
        SELECT 1 AS part, 0::bigint AS n, jsonb_build_object('kind', 'draw', 'version', 1, 'draw', d.draw, 'state', d.state, 'opens_at', d.opens_at, 'closes_at', d.closes_at,
                   'wins_per_customer', d.wins_per_customer, 'seed_hash', encode(d.seed_hash, 'hex'), 'beacon_source', d.beacon_source, 'beacon', d.beacon,
                   'entries', d.entries, 'entries_digest', encode(d.entries_digest, 'hex'), 'seed', encode(d.seed, 'hex'))::text AS line
        FROM draw d WHERE d.draw = draw_export.draw
        UNION ALL
        SELECT 2, p.seq, jsonb_build_object('kind', 'prize', 'seq', p.seq, 'prize', p.prize, 'stock', p.stock)::text
        FROM draw_prize p WHERE p.draw = draw_export.draw
        UNION ALL
        SELECT 3, row_number() OVER (ORDER BY e.ticket), jsonb_build_object('kind', 'entry', 'ticket', e.ticket, 'who', e.who)::text
        FROM draw_entry e JOIN draw d USING (draw) WHERE e.draw = draw_export.draw AND d.state IN ('closed', 'drawn')
        UNION ALL
        SELECT 4, w.place, jsonb_build_object('kind', 'winner', 'place', w.place, 'ticket', w.ticket, 'seq', w.seq)::text
        FROM draw_winner w WHERE w.draw = draw_export.draw) v
    ORDER BY v.part, v.n;
END;
COMMENT ON FUNCTION draw_export(text) IS
'what is published of a draw, a JSON object a line: its terms and seed hash while it is open, the entries (without customers) once closed, seed and winners once drawn; test/verify/verify_draw.py checks it';
REVOKE EXECUTE ON FUNCTION draw_export(text) FROM PUBLIC;

CREATE VIEW draw_report AS
SELECT d.draw, d.name, d.state, d.closes_at,
       coalesce(e.entries, 0) AS entries,
       coalesce(k.customers, 0) AS customers,
       d.cost * CASE WHEN d.state <> 'cancelled' THEN coalesce(e.entries, 0) ELSE 0 END AS points_taken,
       p.prizes,
       coalesce(w.winners, 0) AS winners,
       coalesce(w.handed, 0) AS handed,
       coalesce(w.failed, 0) AS failed
FROM draw d
LEFT JOIN (SELECT e.draw, count(*) AS entries FROM draw_entry e GROUP BY e.draw) e ON e.draw = d.draw
LEFT JOIN (SELECT k.draw, count(*) AS customers FROM draw_entrant k GROUP BY k.draw) k ON k.draw = d.draw
LEFT JOIN (SELECT p.draw, sum(p.stock) AS prizes FROM draw_prize p GROUP BY p.draw) p ON p.draw = d.draw
LEFT JOIN (SELECT w.draw, count(*) AS winners, count(*) FILTER (WHERE w.state = 'handed') AS handed,
                  count(*) FILTER (WHERE w.error IS NOT NULL AND w.state <> 'handed') AS failed FROM draw_winner w GROUP BY w.draw) w ON w.draw = d.draw;
COMMENT ON VIEW draw_report IS 'draws with their entries, what they cost and brought, and which prizes are still to be handed over';

-- What the columns without a word above are.
COMMENT ON COLUMN draw.draw IS 'name of the draw';
COMMENT ON COLUMN draw.name IS 'title that customers read';
COMMENT ON COLUMN draw.opens_at IS 'from when entries are taken';
COMMENT ON COLUMN draw.closes_at IS 'up to when (exclusive)';
COMMENT ON COLUMN draw.program IS 'the points that an entry costs';
COMMENT ON COLUMN draw.entries_per_customer IS 'entries of a customer in all';
COMMENT ON COLUMN draw.entries_per_day IS 'entries of a customer in a day of the store; null: no limit';
COMMENT ON COLUMN draw.wins_per_customer IS 'prizes of a customer';
COMMENT ON COLUMN draw.condition IS 'who may enter; null: everybody';
COMMENT ON COLUMN draw.state IS 'draft, open, closed, drawn or cancelled';
COMMENT ON COLUMN draw.opened_at IS 'when it was opened: the hash of the seed is published from then on';
COMMENT ON COLUMN draw.closed_at IS 'when the list of entries was closed';
COMMENT ON COLUMN draw.entries IS 'entries on the closed list';
COMMENT ON COLUMN draw.beacon IS 'public randomness from after the closing, which the draw mixes with the seed';
COMMENT ON COLUMN draw.drawn_at IS 'when the winners were drawn';
COMMENT ON COLUMN draw_entrant.customer_id IS 'the customer';
COMMENT ON COLUMN draw_entrant.draw IS 'the draw';
COMMENT ON COLUMN draw_entrant.who IS 'the name in the published list, of this draw alone';
COMMENT ON COLUMN draw_entry.customer_id IS 'who entered';
COMMENT ON COLUMN draw_entry.draw IS 'the draw';
COMMENT ON COLUMN draw_entry.reference IS 'name of the request';
COMMENT ON COLUMN draw_entry.ticket IS 'what the customer is shown';
COMMENT ON COLUMN draw_entry.who IS 'the customer''s name in the published list';
COMMENT ON COLUMN draw_entry.at IS 'when';
COMMENT ON COLUMN draw_prize.draw IS 'the draw';
COMMENT ON COLUMN draw_prize.seq IS 'place in the order of prizes, 1 is drawn first';
COMMENT ON COLUMN draw_prize.prize IS 'name of the prize';
COMMENT ON COLUMN draw_prize.stock IS 'how many there are';
COMMENT ON COLUMN draw_prize.kind IS 'goods, points, coupon or reward';
COMMENT ON COLUMN draw_prize.points IS 'for points: how many';
COMMENT ON COLUMN draw_prize.coupon_template IS 'for coupons: of which template';
COMMENT ON COLUMN draw_prize.reward IS 'for rewards: which';
COMMENT ON COLUMN draw_seed.draw IS 'the draw';
COMMENT ON COLUMN draw_seed.seed IS '32 random bytes whose hash draw.seed_hash publishes';
COMMENT ON COLUMN draw_winner.customer_id IS 'who won';
COMMENT ON COLUMN draw_winner.draw IS 'the draw';
COMMENT ON COLUMN draw_winner.ticket IS 'the entry that won';
COMMENT ON COLUMN draw_winner.place IS 'place in the order of the draw, from 1';
COMMENT ON COLUMN draw_winner.seq IS 'the prize';
COMMENT ON COLUMN draw_winner.state IS 'won or handed';
COMMENT ON COLUMN draw_winner.handed_at IS 'when it was handed over';
COMMENT ON COLUMN draw_winner.handed_by IS 'who did it';
COMMENT ON COLUMN draw_winner.code IS 'code of the coupon or reward';
COMMENT ON COLUMN draw_winner.error IS 'why it could not be handed over';
