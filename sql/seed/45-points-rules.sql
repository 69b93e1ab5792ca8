INSERT INTO points_rule (program, event, points, per_amount, on_status) VALUES
    ('points', 'order', 1, 100, 'completed'),
    ('growth', 'order', 1, 1, 'paid');
INSERT INTO points_rule (program, event, points, limit_times, limit_period) VALUES
    ('growth', 'review', 50, 10, 'day');
INSERT INTO access_rule (kind, object_type, object, privilege)
SELECT k, 'table', t, 'SELECT' FROM unnest('{marketer,analyst,auditor}'::text[]) k, unnest('{points_rule,points_multiplier,points_cohort,points_cohort_flow,points_ageing}'::text[]) t
UNION ALL
SELECT k, 'routine', 'earn_for', 'EXECUTE' FROM unnest('{app,agent}'::text[]) k;
INSERT INTO privacy_rule (table_name, column_name, erase, exported, why) VALUES
    ('points_carry', '*', 'keep', true, 'part of the points of orders');
