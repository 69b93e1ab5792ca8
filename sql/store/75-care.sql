-- Care (关怀): birthdays, anniversaries and holidays, each greeting once a year.

CREATE TABLE care_event (
    event text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('birthday', 'first_purchase', 'joined', 'holiday')),
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
COMMENT ON TABLE care_event IS 'occasions to greet; holidays by their Gregorian or lunar month and day. gift such as {"points": 88} or {"coupon": "birthday"} goes along';
COMMENT ON COLUMN care_event.days_before IS 'greet so many days early, so that a coupon can be used on the day';

CREATE TABLE care_greeting (
    customer_id bigint NOT NULL REFERENCES customer,
    event text NOT NULL REFERENCES care_event,
    year integer NOT NULL,
    day date NOT NULL,
    greeted_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, event, year)
);
COMMENT ON TABLE care_greeting IS 'which greeting went out for which year';

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

CREATE FUNCTION care_due(day date DEFAULT shop_date(), catch_up integer DEFAULT 7, as_of timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE sql
SET jit = off
BEGIN ATOMIC
    WITH span AS (
        SELECT e.*, care_due.day + e.days_before - care_due.catch_up AS first_day, care_due.day + e.days_before AS last_day
        FROM care_event e WHERE e.active
    ), occasion AS (
        SELECT c.customer_id, e.event, y.year, CASE c.birth_calendar WHEN 'lunar' THEN crm.lunar_birthday(c.birth_date, y.year) ELSE yearly_date(c.birth_date, y.year) END AS day
        FROM span e
        JOIN contact c ON c.birth_date IS NOT NULL
        CROSS JOIN LATERAL generate_series(extract(year FROM e.first_day)::integer - 1, extract(year FROM e.last_day)::integer) AS y (year)
        WHERE e.kind = 'birthday'
        UNION ALL
        SELECT s.customer_id, e.event, y.year, yearly_date(shop_date(s.first_order_at), y.year)
        FROM span e
        JOIN customer_summary s ON s.first_order_at IS NOT NULL
        CROSS JOIN LATERAL generate_series(extract(year FROM e.first_day)::integer, extract(year FROM e.last_day)::integer) AS y (year)
        WHERE e.kind = 'first_purchase' AND y.year > extract(year FROM shop_date(s.first_order_at))
        UNION ALL
        SELECT k.customer_id, e.event, y.year, yearly_date(shop_date(k.joined_at), y.year)
        FROM span e
        JOIN customer k ON true
        CROSS JOIN LATERAL generate_series(extract(year FROM e.first_day)::integer, extract(year FROM e.last_day)::integer) AS y (year)
        WHERE e.kind = 'joined' AND y.year > extract(year FROM shop_date(k.joined_at))
        UNION ALL
        SELECT s.customer_id, e.event, y.year, holiday_date(e.event, y.year)
        FROM span e
        JOIN customer_summary s ON s.first_order_at IS NOT NULL
        CROSS JOIN LATERAL generate_series(extract(year FROM e.first_day)::integer - 1, extract(year FROM e.last_day)::integer) AS y (year)
        WHERE e.kind = 'holiday'
    ), greeted AS (
        INSERT INTO care_greeting (customer_id, event, year, day, greeted_at)
        SELECT o.customer_id, o.event, o.year, o.day, care_due.as_of
        FROM occasion o JOIN span e USING (event)
        JOIN customer k ON k.customer_id = o.customer_id AND k.status = 'active'
        WHERE o.day > e.first_day AND o.day <= e.last_day AND o.day >= shop_date(k.joined_at)
        ORDER BY o.customer_id, o.event
        ON CONFLICT DO NOTHING
        RETURNING customer_id, event, year, day
    ), made AS (
        INSERT INTO outbox (customer_id, channel, purpose, template, payload, idempotency_key, due_at)
        SELECT g.customer_id, e.channel, 'care', e.template, jsonb_build_object('event', g.event, 'day', g.day, 'gift', e.gift),
               format('care/%s/%s', g.event, g.year), care_due.as_of
        FROM greeted g JOIN care_event e USING (event)
        ON CONFLICT DO NOTHING
        RETURNING 1)
    SELECT count(*) FROM made;
END;
COMMENT ON FUNCTION care_due(date, integer, timestamptz) IS
'puts the greetings of a day, and those missed in the days before (catch_up), into the outbox: each occasion once a customer and year, however often it runs. The number made';
