INSERT INTO access_rule (kind, object_type, object, privilege)
SELECT k, 'table', t, 'SELECT' FROM unnest('{owner,agent,marketer}'::text[]) k, unnest('{duplicate_queue,contact_quality}'::text[]) t
UNION ALL
SELECT k, 'table', t, 'SELECT' FROM unnest('{owner,auditor}'::text[]) k, unnest('{merge_log,duplicate_candidate,contact_confirmation}'::text[]) t
UNION ALL
SELECT k, 'table', 'contact_quality_report', 'SELECT' FROM unnest('{owner,agent,marketer,analyst,auditor}'::text[]) k
UNION ALL
SELECT 'owner', 'routine', r, 'EXECUTE' FROM unnest('{merge_customers,undo_merge,settle_merges,find_duplicates,decide_duplicate,merge_duplicates}'::text[]) r
UNION ALL
SELECT k, 'routine', 'find_customer', 'EXECUTE' FROM unnest('{owner,agent,marketer,analyst,auditor,app}'::text[]) k
UNION ALL
SELECT k, 'routine', 'confirm_contact', 'EXECUTE' FROM unnest('{owner,agent,app}'::text[]) k
UNION ALL
SELECT 'agent', 'routine', 'decide_duplicate', 'EXECUTE'
UNION ALL
SELECT k, 'routine', 'remind_contacts', 'EXECUTE' FROM unnest('{owner,marketer}'::text[]) k;

INSERT INTO message_template (template, channel, purpose, body) VALUES ('contact_confirm', 'sms', 'service', '{name},请确认您的联系方式:{link}');

INSERT INTO privacy_rule (table_name, column_name, key_column, erase, exported, why) VALUES
    ('merge_log', 'reason', 'customer_id', 'redact', true, 'free text'),
    ('merge_log', 'moved', 'customer_id', 'empty', true, 'holds ids of channels, notes on the person'),
    ('merge_log', 'reason', 'lose', 'redact', true, 'free text'),
    ('merge_log', 'undone', 'customer_id', 'empty', true, 'free text'),
    ('merge_log', 'undone', 'lose', 'empty', true, 'free text'),
    ('merge_log', 'moved', 'lose', 'empty', true, 'holds ids of channels, notes on the person'),
    ('duplicate_candidate', '*', 'customer_id', 'delete', true, 'likeness to another person'),
    ('duplicate_candidate', '*', 'other', 'delete', true, 'likeness to another person'),
    ('contact_confirmation', '*', 'customer_id', 'delete', true, 'goes with the contact');

-- They read contact with the owner's rights, for roles that may not.
SELECT crm.accept_way('contact', v, 'tells what is wrong, never a value') FROM unnest('{contact_quality,contact_quality_report}'::text[]) v;
SELECT crm.accept_way('contact', p.oid::regprocedure::text, 'returns numbers')
FROM pg_catalog.pg_proc p
WHERE p.proname IN ('merge_customers', 'undo_merge', 'remind_contacts', 'find_duplicates', 'decide_duplicate', 'merge_duplicates')
  AND p.pronamespace = (SELECT c.relnamespace FROM pg_catalog.pg_class c WHERE c.oid = 'contact'::regclass);
