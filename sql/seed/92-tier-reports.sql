INSERT INTO access_rule (kind, object_type, object, privilege) VALUES
    ('owner', 'table', 'report_tier', 'SELECT'),
    ('owner', 'table', 'report_tier_migration', 'SELECT'),
    ('owner', 'table', 'report_membership', 'SELECT'),
    ('analyst', 'table', 'report_tier', 'SELECT'),
    ('analyst', 'table', 'report_tier_migration', 'SELECT'),
    ('analyst', 'table', 'report_membership', 'SELECT'),
    ('marketer', 'table', 'report_tier', 'SELECT'),
    ('marketer', 'table', 'report_tier_migration', 'SELECT'),
    ('marketer', 'table', 'report_membership', 'SELECT')
ON CONFLICT DO NOTHING;
