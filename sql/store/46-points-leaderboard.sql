-- Who earned most.

CREATE FUNCTION points_leaderboard(during tstzrange, program text DEFAULT 'points', top integer DEFAULT 100)
RETURNS TABLE (place bigint, customer_id bigint, points numeric, reached_at timestamptz)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $points$
    SELECT row_number() OVER (ORDER BY t.points DESC, t.reached_at, t.customer_id), t.customer_id, t.points, t.reached_at
    FROM (SELECT e.customer_id, sum(CASE e.kind WHEN 'earn' THEN e.points ELSE -e.points END) AS points, max(e.booked_at) AS reached_at
          FROM points_entry e
          WHERE e.program = points_leaderboard.program AND e.kind IN ('earn', 'refund') AND e.booked_at <@ during
          GROUP BY e.customer_id) t
    WHERE t.points > 0
    ORDER BY 1
    LIMIT top
$points$;
COMMENT ON FUNCTION points_leaderboard(tstzrange, text, integer) IS 'who earned most in a span of time, net of claw-backs; of equals the one who had the points first comes first';

CREATE FUNCTION points_leaderboard(period text DEFAULT 'month', program text DEFAULT 'points', top integer DEFAULT 100, as_of timestamptz DEFAULT now())
RETURNS TABLE (place bigint, customer_id bigint, points numeric, reached_at timestamptz)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $points$
    SELECT l.place, l.customer_id, l.points, l.reached_at
    FROM settings s
    CROSS JOIN LATERAL points_leaderboard(tstzrange(date_trunc(period, as_of AT TIME ZONE s.time_zone) AT TIME ZONE s.time_zone, as_of, '[]'), $2, $3) l
$points$;
COMMENT ON FUNCTION points_leaderboard(text, text, integer, timestamptz) IS 'who earned most in the day, week, month, quarter or year (of the store''s time zone) that as_of is in, net of claw-backs; of equals the one who had the points first comes first';
