INSERT INTO points_rule (program, event, points, per_amount, on_status) VALUES
    ('points', 'order', 1, 100, 'completed'),
    ('growth', 'order', 1, 1, 'paid');
INSERT INTO access_rule (kind, object_type, object, privilege) VALUES
    ('marketer', 'table', 'points_rule', 'SELECT'),
    ('analyst', 'table', 'points_rule', 'SELECT'),
    ('auditor', 'table', 'points_rule', 'SELECT');
