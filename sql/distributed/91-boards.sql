-- Leaderboards: each part gives its first n, of which the first n are taken.

CREATE OR REPLACE FUNCTION points_leaderboard(since timestamptz, until timestamptz DEFAULT now(), program text DEFAULT 'points', n integer DEFAULT 100)
RETURNS TABLE (rank bigint, customer_id bigint, points bigint, reached_at timestamptz)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT row_number() OVER (ORDER BY v.points DESC, v.reached_at, v.customer_id), v.customer_id, v.points, v.reached_at
    FROM ask_parts(format('SELECT to_jsonb(r)::text FROM points_leaderboard(%L, %L, %L, %L) r', since, until, program, n)) j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (customer_id bigint, points bigint, reached_at timestamptz)
    ORDER BY 1 LIMIT n;
END
$$;

CREATE OR REPLACE FUNCTION game_leaderboard(game text, since timestamptz DEFAULT '-infinity', until timestamptz DEFAULT 'infinity', n integer DEFAULT 100)
RETURNS TABLE (rank bigint, customer_id bigint, points numeric, plays bigint)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT row_number() OVER (ORDER BY v.points DESC, v.reached_at, v.customer_id), v.customer_id, v.points, v.plays
    FROM ask_parts(format('SELECT to_jsonb(r)::text FROM (
                              SELECT p.customer_id, sum(p.points) AS points, count(*) AS plays, max(p.at) FILTER (WHERE p.points > 0) AS reached_at
                              FROM game_play p WHERE p.game = %L AND p.at >= %L AND p.at < %L
                              GROUP BY p.customer_id HAVING sum(p.points) > 0 ORDER BY 2 DESC, 4, 1 LIMIT %L) r', game, since, until, n)) j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (customer_id bigint, points numeric, plays bigint, reached_at timestamptz)
    ORDER BY 1 LIMIT n;
END
$$;

CREATE OR REPLACE FUNCTION activity_leaderboard(activity text, n integer DEFAULT 100)
RETURNS TABLE (rank bigint, customer_id bigint, progress integer, minutes numeric, completed_at timestamptz)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT row_number() OVER (ORDER BY v.progress DESC, v.completed_at NULLS LAST, v.minutes DESC, v.attended_at, v.customer_id), v.customer_id, v.progress, v.minutes, v.completed_at
    FROM ask_parts(format('SELECT to_jsonb(m)::text FROM (
                              SELECT m.customer_id, m.progress, m.minutes, m.completed_at, m.attended_at FROM activity_member m
                              WHERE m.activity = %L AND m.attended_at IS NOT NULL
                              ORDER BY m.progress DESC, m.completed_at NULLS LAST, m.minutes DESC, m.attended_at, m.customer_id LIMIT %L) m', activity, n)) j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (customer_id bigint, progress integer, minutes numeric, completed_at timestamptz, attended_at timestamptz)
    ORDER BY 1 LIMIT n;
END
$$;

CREATE OR REPLACE FUNCTION activity_report(since timestamptz DEFAULT '-infinity', until timestamptz DEFAULT 'infinity')
RETURNS TABLE (activity text, kind text, joined bigint, attended bigint, completed bigint, completed_percent numeric, minutes numeric, points numeric, ordered_within_30_days bigint, net_30_days numeric)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT v.activity, v.kind, sum(v.joined)::bigint, sum(v.attended)::bigint, sum(v.completed)::bigint, round(100.0 * sum(v.completed) / nullif(sum(v.attended), 0), 1),
           sum(v.minutes), sum(v.points), sum(v.ordered_within_30_days)::bigint, sum(v.net_30_days)
    FROM ask_parts(format('SELECT to_jsonb(r)::text FROM activity_report(%L, %L) r', since, until)) j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (activity text, kind text, joined bigint, attended bigint, completed bigint, minutes numeric, points numeric,
                                                    ordered_within_30_days bigint, net_30_days numeric)
    GROUP BY v.activity, v.kind ORDER BY v.activity;
END
$$;
