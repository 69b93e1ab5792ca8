INSERT INTO access_rule (kind, object_type, object, privilege) VALUES
    ('owner', 'table', 'customer_rfm', 'SELECT'),
    ('agent', 'table', 'customer_rfm', 'SELECT'),
    ('marketer', 'table', 'customer_rfm', 'SELECT'),
    ('analyst', 'table', 'customer_rfm', 'SELECT'),
    ('owner', 'table', 'rfm_fit', 'SELECT'),
    ('analyst', 'table', 'rfm_fit', 'SELECT');
