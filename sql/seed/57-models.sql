INSERT INTO access_rule (kind, object_type, object, privilege) VALUES
    ('owner', 'table', 'value_model', 'SELECT'),
    ('analyst', 'table', 'value_model', 'SELECT'),
    ('marketer', 'table', 'value_model', 'SELECT'),
    ('agent', 'table', 'value_model', 'SELECT'),
    ('owner', 'table', 'customer_contact_event', 'SELECT'),
    ('analyst', 'table', 'customer_contact_event', 'SELECT'),
    ('marketer', 'table', 'customer_contact_event', 'SELECT'),
    ('agent', 'table', 'customer_contact_event', 'SELECT'),
    ('owner', 'table', 'customer_open_complaint', 'SELECT'),
    ('analyst', 'table', 'customer_open_complaint', 'SELECT'),
    ('marketer', 'table', 'customer_open_complaint', 'SELECT'),
    ('agent', 'table', 'customer_open_complaint', 'SELECT');
