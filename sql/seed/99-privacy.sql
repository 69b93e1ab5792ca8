-- Functions of the store that read contact with its owner's rights, for roles that may not: each was looked at.
SELECT crm.accept_way(v.tab::regclass, p.oid::regprocedure::text, v.reason)
FROM (VALUES
    ('contact', 'reveal', 'counts, records and logs'),
    ('contact', 'export_customer', 'records and logs'),
    ('contact', 'export_rows', 'records and logs'),
    ('contact', 'erase_customer', 'returns numbers'),
    ('contact', 'set_contact', 'writes only'),
    ('contact', 'search_contact', 'finds by whole values and shows masks'),
    ('contact', 'may_contact', 'says yes or no'),
    ('contact', 'contact_refusal', 'says why not'),
    ('contact', 'contactable', 'returns numbers'),
    ('contact', 'find_or_create_customer', 'returns a number'),
    ('contact', 'restrict_customer', 'returns nothing'),
    ('contact', 'access_report', 'counts accesses'),
    ('identity', 'export_customer', 'records and logs'),
    ('identity', 'export_rows', 'records and logs'),
    ('identity', 'search_contact', 'finds by the whole id and shows masks'),
    ('identity', 'find_or_create_customer', 'the caller names the id'),
    ('identity', 'find_or_create_customers', 'the caller names the ids')) v (tab, routine, reason)
JOIN pg_catalog.pg_proc p ON p.proname = v.routine AND p.pronamespace = (SELECT c.relnamespace FROM pg_catalog.pg_class c WHERE c.oid = 'contact'::regclass);
SELECT crm.accept_way('contact', 'contact_provenance', 'tells which fields are known and from whom, never a value');

-- What erasing a customer does to the tables of the other parts, where they do not say it themselves.
INSERT INTO privacy_rule (table_name, column_name, erase, why)
SELECT v.tab, c.name, v.erase, v.why
FROM (VALUES
    ('behavior_event', 'attributes', 'null', 'of any content'),
    ('behavior_event', 'kind,product,source', 'keep', 'about goods'),
    ('community_member', 'source', 'keep', NULL),
    ('follow_up', 'remark', 'null', 'free text'),
    ('follow_up', 'channel,claimed_by,done_by,reference', 'keep', 'about staff'),
    ('interaction', 'body', 'null', 'what was said'),
    ('interaction', 'topic,reference,agent', 'keep', 'for reports'),
    ('outbox', 'payload', 'empty', 'what was to be sent'),
    ('outbox', 'error', 'null', 'may repeat an address'),
    ('outbox', 'claimed_by,idempotency_key,template', 'keep', NULL),
    ('survey_answer', 'answers', 'empty', 'free text; the score stays'),
    ('survey_answer', 'question', 'keep', NULL),
    ('survey_invitation', 'reference', 'keep', NULL),
    ('ticket', 'subject', 'redact', 'free text'),
    ('ticket', 'body,resolution', 'null', 'free text'),
    ('ticket', 'category,channel,order_channel,order_no,product,reference,root_cause,assignee', 'keep', 'for reports'),
    ('ticket_event', 'remark', 'null', 'free text'),
    ('ticket_event', 'action,from_state,to_state', 'keep', NULL),
    ('tier_change', '*', 'keep', 'what a tier rested on'),
    ('reward_redemption', 'reference', 'keep', NULL),
    ('points_note', '*', 'delete', 'free text; the ledger holds a salted hash of it'),
    ('points_entry', '*', 'keep', 'the ledger'),
    ('points_account', '*', 'keep', 'the ledger'),
    ('points_checkpoint_leaf', '*', 'keep', 'the ledger'),
    ('points_hold', '*', 'keep', 'the ledger')) v (tab, columns, erase, why)
CROSS JOIN LATERAL unnest(string_to_array(v.columns, ',')) c (name)
JOIN pg_catalog.pg_class t ON t.relname = v.tab AND t.relnamespace = (SELECT k.relnamespace FROM pg_catalog.pg_class k WHERE k.oid = 'contact'::regclass)
WHERE c.name = '*' OR EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.oid AND a.attname = c.name AND NOT a.attisdropped)
ON CONFLICT DO NOTHING;
