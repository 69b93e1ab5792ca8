CREATE FUNCTION lunar_date(date, OUT year integer, OUT month integer, OUT leap boolean, OUT day integer)
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION lunar_date(date) IS 'the Chinese lunar day of a date, by ICU''s calendar; year is the Gregorian year in which the lunar year begins. Errors: 22008 outside 1900 to 2100';

CREATE FUNCTION lunar_to_date(year integer, month integer, day integer, leap boolean DEFAULT false) RETURNS date
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION lunar_to_date(integer, integer, integer, boolean) IS 'the Gregorian date of a Chinese lunar day; null when that year has no such day (no such leap month, or a month of 29 days)';

CREATE FUNCTION lunar_birthday(birth date, year integer) RETURNS date
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    -- A leap month's birthday is kept in the plain month when the year has no such leap month, the 30th on the 29th of a short month.
    SELECT coalesce(lunar_to_date(lunar_birthday.year, b.month, b.day, b.leap),
                    CASE WHEN b.leap THEN lunar_to_date(lunar_birthday.year, b.month, b.day, false) END,
                    lunar_to_date(lunar_birthday.year, b.month, 29, b.leap),
                    lunar_to_date(lunar_birthday.year, b.month, 29, false))
    FROM lunar_date(birth) b;
END;
COMMENT ON FUNCTION lunar_birthday(date, integer) IS 'the day on which somebody born on a Gregorian date keeps the lunar birthday in a lunar year; a leap month falls to the plain month, the 30th to the 29th, where the year lacks them';
