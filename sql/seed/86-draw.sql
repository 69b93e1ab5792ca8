-- The seed of an open draw is granted to nobody.
INSERT INTO access_rule (kind, object_type, object, privilege)
SELECT k.kind, v.object_type, o.object, p.privilege
FROM (VALUES
    -- terms only: steps are taken by the verbs, or who writes could publish a seed of their own
    ('owner,marketer', 'table', 'draw', 'SELECT,INSERT (draw\, name\, opens_at\, closes_at\, program\, cost\, entries_per_customer\, entries_per_day\, wins_per_customer\, condition\, beacon_source),UPDATE (name\, opens_at\, closes_at\, program\, cost\, entries_per_customer\, entries_per_day\, wins_per_customer\, condition\, beacon_source)'),
    ('owner,marketer', 'table', 'draw_prize', 'SELECT,INSERT,UPDATE,DELETE'),
    ('agent,analyst,auditor,app', 'table', 'draw,draw_prize', 'SELECT'),
    ('owner,agent,marketer,analyst,auditor,app', 'table', 'draw_entry,draw_entrant', 'SELECT'),
    ('owner,agent,marketer', 'table', 'draw_winner', 'SELECT'),
    -- codes are the customer's
    ('analyst,auditor,app', 'table', 'draw_winner', 'SELECT (customer_id\, draw\, ticket\, place\, seq\, state\, handed_at)'),
    ('owner,marketer,analyst,auditor', 'table', 'draw_report', 'SELECT'),
    ('owner,marketer', 'routine', 'open_draw,close_draw,cancel_draw,run_draw', 'EXECUTE'),
    ('owner,agent,app', 'routine', 'enter_draw', 'EXECUTE'),
    ('owner,agent', 'routine', 'hand_prize', 'EXECUTE'),
    ('owner,agent,marketer,analyst,auditor,app', 'routine', 'draw_export', 'EXECUTE')) v (kinds, object_type, objects, privileges)
CROSS JOIN LATERAL unnest(string_to_array(v.kinds, ',')) k (kind)
CROSS JOIN LATERAL unnest(string_to_array(v.objects, ',')) o (object)
CROSS JOIN LATERAL (SELECT replace(x, '\', '') AS privilege FROM regexp_split_to_table(v.privileges, '(?<!\\),') x) p;

INSERT INTO privacy_rule (table_name, column_name, erase, step, exported, why) VALUES
    ('draw_entrant', '*', 'keep', 0, true, 'a random name in a published list'),
    ('draw_entry', '*', 'keep', 0, true, 'what a published draw rests on'),
    ('draw_winner', 'code', 'null', 0, true, 'a secret of the person'),
    ('draw_winner', 'error', 'null', 0, true, 'may name the customer'),
    ('draw_winner', 'handed_by', 'keep', 0, false, 'about staff'),
    ('draw_winner', 'state', 'keep', 0, true, NULL),
    ('draw_winner', 'draw', 'keep', 0, true, NULL);
