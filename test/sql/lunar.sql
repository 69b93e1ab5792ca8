-- The Chinese calendar against published dates.
SET datestyle = 'ISO, YMD';
SELECT y, crm.lunar_to_date(y, 1, 1) AS spring_festival, crm.lunar_to_date(y, 5, 5) AS dragon_boat, crm.lunar_to_date(y, 8, 15) AS mid_autumn
FROM generate_series(2017, 2032) y;
SELECT d, l.* FROM (VALUES (date '2026-11-22'), ('2025-07-25'), ('2023-03-22'), ('2020-05-23'), ('1990-01-01')) v(d), crm.lunar_date(d) l;
-- New moons near midnight, as the observatories published them.
SELECT d, l.* FROM (VALUES (date '1954-02-03'), ('2012-08-17'), ('2018-11-07'), ('2018-11-08'), ('2018-12-06'), ('2018-12-07'), ('2027-02-05'), ('2027-02-06'), ('2027-03-07'), ('2027-03-08'),
    ('2030-02-02'), ('2030-02-03'), ('2030-03-03'), ('2030-03-04')) v(d), crm.lunar_date(d) l;
-- Leap months.
SELECT l.year, l.month FROM (SELECT date '2019-06-01' + i AS d FROM generate_series(0, 7300) i) s, crm.lunar_date(d) l WHERE l.leap AND l.day = 1 ORDER BY 1;
-- Every day of two centuries there and back.
SELECT count(*), count(*) FILTER (WHERE crm.lunar_to_date(l.year, l.month, l.day, l.leap) = d) AS same
FROM (SELECT date '1901-01-01' + i AS d FROM generate_series(0, 72000) i) s, crm.lunar_date(d) l;
-- Born in a leap month, and on a 30th.
SELECT y, crm.lunar_birthday('2023-03-22', y) AS leap_second_month, crm.lunar_birthday('2025-01-28', y) AS day_before_new_year
FROM generate_series(2023, 2028) y;
SELECT crm.lunar_to_date(2024, 2, 1, true), crm.lunar_to_date(2027, 1, 30);
SELECT crm.lunar_to_date(2024, 13, 1);
SELECT crm.lunar_to_date(2300, 1, 1);
SELECT crm.lunar_date('infinity');
