-- Who earned most: net of claw-backs, ties by who was first.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
SELECT crm.create_store('t_leaderboard');
SET search_path = t_leaderboard, crm, pg_temp;
INSERT INTO customer (customer_id) SELECT generate_series(1, 5);
SELECT earn(1, 10, 't', 'a', as_of => '2026-03-02'), earn(2, 10, 't', 'a', as_of => '2026-03-01'), earn(3, 30, 't', 'a', as_of => '2026-03-03'),
       refund(3, 'a', 25, as_of => '2026-03-04'), earn(4, 30, 't', 'a', as_of => '2026-02-03'), earn(5, 7, 't', 'a', as_of => '2026-02-28 16:00+00') \g /dev/null
SELECT * FROM points_leaderboard('month', as_of => '2026-03-20');
SELECT * FROM points_leaderboard('month', top => 1, as_of => '2026-03-20');
SELECT place, customer_id, points FROM points_leaderboard('year', as_of => '2026-03-20');
SELECT place, customer_id, points FROM points_leaderboard(tstzrange('2026-01-01', '2026-02-28'));
SELECT crm.drop_store('t_leaderboard', 't_leaderboard');
