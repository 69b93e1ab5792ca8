INSERT INTO access_rule (kind, object_type, object, privilege)
SELECT k.kind, v.object_type, o.object, p.privilege
FROM (VALUES
    ('owner,marketer', 'table', 'game,game_outcome,activity', 'SELECT,INSERT,UPDATE'),
    ('agent,analyst,app', 'table', 'game,activity', 'SELECT'),
    ('owner,agent,marketer', 'table', 'game_play', 'SELECT'),
    -- codes are the customer's
    ('analyst,app', 'table', 'game_play', 'SELECT (customer_id\, game\, reference\, at\, outcome\, points)'),
    ('owner,agent,marketer,analyst,app', 'table', 'activity_member,check_in_leaderboard', 'SELECT'),
    ('owner,marketer,analyst', 'table', 'game_report,game_spent', 'SELECT'),
    ('owner,app', 'routine', 'play_game', 'EXECUTE'),
    ('owner,agent,app', 'routine', 'join_activity,leave_activity,attend_activity', 'EXECUTE'),
    ('owner', 'routine', 'earn_event', 'EXECUTE')) v (kinds, object_type, objects, privileges)
CROSS JOIN LATERAL unnest(string_to_array(v.kinds, ',')) k (kind)
CROSS JOIN LATERAL unnest(string_to_array(v.objects, ',')) o (object)
CROSS JOIN LATERAL (SELECT replace(x, '\', '') AS privilege FROM regexp_split_to_table(v.privileges, '(?<!\\),') x) p
ON CONFLICT DO NOTHING;

INSERT INTO privacy_rule (table_name, column_name, erase, step, exported, why) VALUES
    ('game_play', 'code', 'null', 0, true, 'a secret of the person'),
    ('game_play', 'game', 'keep', 0, true, 'what points rest on'),
    ('game_play', 'reference', 'keep', 0, true, 'what points rest on'),
    ('game_play', 'outcome', 'keep', 0, true, 'what points rest on'),
    ('activity_member', '*', 'keep', 0, true, 'what points rest on');
