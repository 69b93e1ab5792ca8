INSERT INTO access_rule (kind, object_type, object, privilege)
SELECT k.kind, v.object_type, v.object, v.privilege
FROM (VALUES ('owner,app,auditor', 'table', 'change_event', 'SELECT'),
             ('owner,app,auditor', 'table', 'change_consumer', 'SELECT'),
             ('owner,auditor', 'table', 'change_lag', 'SELECT'),
             ('owner,app,auditor', 'table', 'watched_table', 'SELECT'),
             ('owner,app', 'routine', 'next_changes', 'EXECUTE'),
             ('owner,app', 'routine', 'ack_changes', 'EXECUTE'),
             ('owner,app', 'routine', 'reset_changes', 'EXECUTE')) v (kinds, object_type, object, privilege)
CROSS JOIN LATERAL unnest(string_to_array(v.kinds, ',')) k (kind);

INSERT INTO privacy_rule (table_name, column_name, erase, exported, why) VALUES
    ('change_event', '*', 'keep', false, 'ids, tables and names of columns');
