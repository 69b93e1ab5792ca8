-- Care (关怀): birthdays, anniversaries and holidays, each greeting once a year.

CREATE TABLE care_event (
    event text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('birthday', 'first_purchase', 'joined', 'tier', 'holiday')),
    calendar text CHECK (calendar IN ('gregorian', 'lunar')),
    month smallint CHECK (month BETWEEN 1 AND 12),
    day smallint CHECK (day BETWEEN 1 AND 31),
    days_before integer NOT NULL DEFAULT 0 CHECK (days_before BETWEEN 0 AND 60),
    channel text NOT NULL DEFAULT 'sms',
    template text NOT NULL,
    gift jsonb NOT NULL DEFAULT '{}',
    name_zh text,
    name_en text,
    active boolean NOT NULL DEFAULT true,
    CHECK (kind <> 'holiday' OR (calendar IS NOT NULL AND month IS NOT NULL AND day IS NOT NULL))
);
COMMENT ON TABLE care_event IS 'occasions to greet; holidays by their Gregorian or lunar month and day. gift such as {"points": 88} or {"coupon": "birthday"} goes along; tier is the anniversary of the present tier';
COMMENT ON COLUMN care_event.days_before IS 'greet so many days early, so that a coupon can be used on the day';

CREATE TABLE care_greeting (
    customer_id bigint NOT NULL REFERENCES customer,
    event text NOT NULL REFERENCES care_event,
    year integer NOT NULL,
    day date NOT NULL,
    greeted_at timestamptz NOT NULL,
    gift text NOT NULL DEFAULT 'none' CHECK (gift IN ('none', 'due', 'given', 'failed')),
    gift_error text,
    PRIMARY KEY (customer_id, event, year)
);
CREATE INDEX care_greeting_gift ON care_greeting (day) WHERE gift IN ('due', 'failed');
COMMENT ON TABLE care_greeting IS 'which greeting went out for which year, and whether its gift was given';
COMMENT ON COLUMN care_greeting.gift_error IS 'SQLSTATE and message of the gate that refused the gift';

CREATE FUNCTION holiday_date(event text, year integer) RETURNS date
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE e.calendar WHEN 'lunar' THEN crm.lunar_to_date(holiday_date.year, e.month, e.day)
                           ELSE make_date(holiday_date.year, e.month, e.day) END
    FROM care_event e WHERE e.event = holiday_date.event AND e.kind = 'holiday';
END;
COMMENT ON FUNCTION holiday_date(text, integer) IS 'the day of a holiday in a year; of a lunar one, in the lunar year that begins in that year';

CREATE FUNCTION yearly_date(since date, year integer) RETURNS date
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT (since + make_interval(years => yearly_date.year - extract(year FROM since)::integer))::date;
END;
COMMENT ON FUNCTION yearly_date(date, integer) IS 'the anniversary of a date in a year; of 29 February, the 28th in other years';

CREATE FUNCTION care_occasions(day date, catch_up integer)
RETURNS TABLE (customer_id bigint, event text, year integer, day date)
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH span AS (
        SELECT e.*, care_occasions.day + e.days_before - care_occasions.catch_up AS first_day, care_occasions.day + e.days_before AS last_day
        FROM care_event e WHERE e.active
    ), holiday AS MATERIALIZED (
        -- Worked out once, not for each customer.
        SELECT e.event, y.year, d.day
        FROM span e
        CROSS JOIN LATERAL generate_series(extract(year FROM e.first_day)::integer - 1, extract(year FROM e.last_day)::integer) AS y (year)
        CROSS JOIN LATERAL (SELECT holiday_date(e.event, y.year) AS day) d
        WHERE e.kind = 'holiday' AND d.day > e.first_day AND d.day <= e.last_day
    ), occasion AS (
        SELECT c.customer_id, e.event, y.year, CASE c.birth_calendar WHEN 'lunar' THEN crm.lunar_birthday(c.birth_date, y.year) ELSE yearly_date(c.birth_date, y.year) END AS day
        FROM span e
        JOIN contact c ON c.birth_date IS NOT NULL
        CROSS JOIN LATERAL generate_series(extract(year FROM e.first_day)::integer - 1, extract(year FROM e.last_day)::integer) AS y (year)
        WHERE e.kind = 'birthday'
        UNION ALL
        SELECT s.customer_id, e.event, y.year, yearly_date(s.since, y.year)
        FROM span e
        JOIN (SELECT k.customer_id, 'first_purchase', shop_date(k.first_order_at) FROM customer_summary k WHERE k.first_order_at IS NOT NULL
              UNION ALL SELECT k.customer_id, 'joined', shop_date(k.joined_at) FROM customer k
              UNION ALL SELECT m.customer_id, 'tier', shop_date(m.since) FROM tier_member m
                        WHERE m.tier <> (SELECT t.tier FROM tier t ORDER BY t.seq LIMIT 1)) s (customer_id, kind, since) ON s.kind = e.kind
        CROSS JOIN LATERAL generate_series(extract(year FROM e.first_day)::integer, extract(year FROM e.last_day)::integer) AS y (year)
        WHERE y.year > extract(year FROM s.since)
        UNION ALL
        SELECT s.customer_id, h.event, h.year, h.day
        FROM holiday h JOIN customer_summary s ON s.first_order_at IS NOT NULL
    )
    SELECT o.customer_id, o.event, o.year, o.day
    FROM occasion o JOIN span e USING (event)
    JOIN customer k ON k.customer_id = o.customer_id AND k.status = 'active'
    WHERE o.day > e.first_day AND o.day <= e.last_day AND o.day >= shop_date(k.joined_at);
END;
COMMENT ON FUNCTION care_occasions(date, integer) IS
'whose occasion falls on a day (days_before counted) or in the catch_up days before: customers, events and the year that the occasion belongs to; consent and what was sent already aside';

CREATE FUNCTION give_care_gift(customer_id bigint, event text, year integer, gift jsonb, as_of timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    -- A gate that refuses one gift (coupon out of stock, account frozen) must not keep the others from theirs; the next run tries it again.
    BEGIN
        IF give_care_gift.gift ? 'points' THEN
            PERFORM earn(give_care_gift.customer_id, (give_care_gift.gift ->> 'points')::bigint, 'care', give_care_gift.event || '/' || give_care_gift.year,
                         as_of => give_care_gift.as_of);
        END IF;
        IF give_care_gift.gift ? 'coupon' THEN
            PERFORM issue_coupon(give_care_gift.customer_id, give_care_gift.gift ->> 'coupon', 'care/' || give_care_gift.event || '/' || give_care_gift.year,
                                 give_care_gift.as_of);
        END IF;
        UPDATE care_greeting g SET gift = 'given', gift_error = NULL
        WHERE g.customer_id = give_care_gift.customer_id AND g.event = give_care_gift.event AND g.year = give_care_gift.year;
    EXCEPTION WHEN OTHERS THEN
        UPDATE care_greeting g SET gift = 'failed', gift_error = SQLSTATE || ': ' || SQLERRM
        WHERE g.customer_id = give_care_gift.customer_id AND g.event = give_care_gift.event AND g.year = give_care_gift.year;
    END;
END
$$;
COMMENT ON FUNCTION give_care_gift(bigint, text, integer, jsonb, timestamptz) IS 'gives what comes with a greeting, each gift through its own gate, and notes in care_greeting that it is given or why not; part of care_due';
REVOKE EXECUTE ON FUNCTION give_care_gift(bigint, text, integer, jsonb, timestamptz) FROM PUBLIC;

CREATE FUNCTION gives_care_gift(gift jsonb) RETURNS boolean
LANGUAGE sql STABLE
RETURN true;
COMMENT ON FUNCTION gives_care_gift(jsonb) IS 'whether care_due gives this gift itself: in a part of a distributed store not those that take of a coupon''s stock';

CREATE FUNCTION care_due(day date DEFAULT NULL, catch_up integer DEFAULT 7, as_of timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    made bigint;
    loud timestamptz := as_of;
    present record;
BEGIN
    day := coalesce(day, shop_date(as_of));
    IF (SELECT p.quiet FROM contact_purpose p WHERE p.purpose = 'care') THEN
        loud := next_loud(as_of);
    END IF;
    WITH allowed AS MATERIALIZED (
        SELECT k.channel, a AS customer_id
        FROM (SELECT DISTINCT e.channel FROM care_event e WHERE e.active) k, contactable(k.channel, 'care', care_due.as_of) a
    ), greeted AS (
        INSERT INTO care_greeting (customer_id, event, year, day, greeted_at, gift)
        SELECT o.customer_id, o.event, o.year, o.day, care_due.as_of, CASE WHEN e.gift = '{}' THEN 'none' ELSE 'due' END
        FROM care_occasions(care_due.day, care_due.catch_up) o
        JOIN care_event e USING (event)
        JOIN allowed a ON a.customer_id = o.customer_id AND a.channel = e.channel
        ORDER BY o.customer_id, o.event
        ON CONFLICT DO NOTHING
        RETURNING customer_id, event, year, day
    ), told AS (
        INSERT INTO outbox (customer_id, channel, purpose, template, payload, idempotency_key, due_at)
        SELECT g.customer_id, e.channel, 'care', e.template,
               jsonb_build_object('event', coalesce(e.name_zh, e.name_en, e.event), 'day', g.day, 'gift', e.gift),
               format('care/%s/%s', g.event, g.year), loud
        FROM greeted g JOIN care_event e USING (event)
        ON CONFLICT DO NOTHING
        RETURNING 1)
    SELECT count(*) INTO made FROM told;
    FOR present IN
        SELECT g.customer_id, g.event, g.year, e.gift FROM care_greeting g JOIN care_event e USING (event)
        WHERE g.gift IN ('due', 'failed') AND g.day > care_due.day - care_due.catch_up AND gives_care_gift(e.gift)
        ORDER BY g.customer_id, g.event FOR UPDATE OF g SKIP LOCKED
    LOOP
        PERFORM give_care_gift(present.customer_id, present.event, present.year, present.gift, care_due.as_of);
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION care_due(date, integer, timestamptz) IS
'puts the greetings of a day (the store''s day of as_of), and those missed in the days before (catch_up), into the outbox and gives their gifts: each occasion once a customer and year, however often it runs. Only customers who may be contacted for care on the event''s channel; due at the end of the quiet hours. The number of greetings made';

CREATE VIEW care_report AS
SELECT g.event, g.year, count(*) AS greeted, count(*) FILTER (WHERE o.state = 'sent') AS sent,
       count(*) FILTER (WHERE g.gift = 'given') AS gifts, count(*) FILTER (WHERE g.gift = 'failed') AS gifts_failed,
       count(*) FILTER (WHERE EXISTS (SELECT FROM purchase p WHERE p.customer_id = g.customer_id AND p.order_at >= g.greeted_at
                                      AND p.order_at < g.greeted_at + interval '30 days')) AS ordered_within_30_days
FROM care_greeting g
LEFT JOIN outbox o ON o.customer_id = g.customer_id AND o.idempotency_key = format('care/%s/%s', g.event, g.year)
GROUP BY 1, 2;
COMMENT ON VIEW care_report IS 'greetings and gifts by occasion and year, and how many of those greeted ordered within 30 days';

-- What the columns without a word above are.
COMMENT ON COLUMN care_event.event IS 'name of the occasion';
COMMENT ON COLUMN care_event.kind IS 'birthday, first_purchase, joined, tier or holiday';
COMMENT ON COLUMN care_event.calendar IS 'for holidays: gregorian or lunar';
COMMENT ON COLUMN care_event.month IS 'for holidays: the month of that calendar';
COMMENT ON COLUMN care_event.day IS 'for holidays: the day of that month';
COMMENT ON COLUMN care_event.channel IS 'by which it is sent';
COMMENT ON COLUMN care_event.template IS 'the message';
COMMENT ON COLUMN care_event.gift IS 'what goes along: {"points": 88} or {"coupon": "birthday"}; {}: nothing';
COMMENT ON COLUMN care_event.name_zh IS 'Chinese name';
COMMENT ON COLUMN care_event.name_en IS 'English name';
COMMENT ON COLUMN care_event.active IS 'false: nobody is greeted';
COMMENT ON COLUMN care_greeting.customer_id IS 'who was greeted';
COMMENT ON COLUMN care_greeting.event IS 'for what';
COMMENT ON COLUMN care_greeting.year IS 'the year that the occasion belongs to';
COMMENT ON COLUMN care_greeting.day IS 'the day of the occasion';
COMMENT ON COLUMN care_greeting.greeted_at IS 'when the greeting was made';
COMMENT ON COLUMN care_greeting.gift IS 'none, due, given, or failed (see gift_error)';
