INSERT INTO job_schedule (job, command, cron, overdue_after) VALUES
    ('fold_tag_audience', 'CALL {store}.fold_tag_audience()', '*/5 * * * *', '1 day'),
    ('expire_points', 'CALL {store}.expire_points()', '7 * * * *', '2 days'),
    ('mature_points', 'CALL {store}.mature_points()', '12 * * * *', '2 days'),
    ('release_overdue_holds', 'CALL {store}.release_overdue_holds()', '*/10 * * * *', '1 day'),
    ('expire_tags', 'CALL {store}.expire_tags()', '17 * * * *', '2 days'),
    ('run_automations', 'CALL {store}.run_automations()', '*/5 * * * *', '1 day'),
    ('apply_tag_rules', 'CALL {store}.apply_tag_rules()', '20 3 * * *', '3 days'),
    ('evaluate_tiers', 'CALL {store}.evaluate_tiers()', '40 3 * * *', '3 days'),
    ('record_lifecycle', 'CALL {store}.record_lifecycle()', '0 4 * * *', '3 days'),
    ('prune_changes', 'CALL {store}.prune_changes()', '20 4 * * *', '8 days'),
    ('verify_store', 'CALL {store}.verify_store()', '0 5 * * 0', '15 days');

INSERT INTO access_rule (kind, object_type, object, privilege)
SELECT k.kind, v.object_type, v.object, v.privilege
FROM (VALUES ('owner,auditor', 'table', 'job_schedule', 'SELECT'),
             ('owner', 'table', 'job_schedule', 'INSERT'),
             ('owner', 'table', 'job_schedule', 'UPDATE'),
             ('owner', 'table', 'job_schedule', 'DELETE')) v (kinds, object_type, object, privilege)
CROSS JOIN LATERAL unnest(string_to_array(v.kinds, ',')) k (kind);
