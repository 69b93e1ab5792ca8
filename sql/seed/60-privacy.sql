INSERT INTO contact_purpose (purpose, basis, quiet, name_zh, name_en) VALUES
    ('marketing', 'consent', true, '营销推广', 'marketing'),
    ('survey', 'objection', true, '满意度调查', 'survey'),
    ('care', 'objection', true, '客户关怀', 'care'),
    ('service', 'contract', false, '订单与售后通知', 'orders and service'),
    ('security', 'contract', false, '账户安全', 'account security');

INSERT INTO privacy_rule (table_name, column_name, erase, step, exported, why) VALUES
    ('contact', '*', 'delete', 0, true, 'who the customer is'),
    ('identity', '*', 'delete', 0, true, 'who the customer is elsewhere'),
    ('note', '*', 'delete', 0, true, 'free text'),
    ('customer', 'occupation', 'null', 0, true, NULL),
    ('customer', 'region', 'null', 0, true, NULL),
    ('customer', 'influence', 'null', 0, true, NULL),
    ('customer', 'special_needs', 'null', 0, true, 'sensitive'),
    ('customer', 'attributes', 'empty', 0, true, 'of any content'),
    ('customer', 'status', 'keep', 0, true, NULL),
    ('customer_summary', '*', 'keep', 0, true, 'sums'),
    ('purchase', '*', 'keep', 0, true, 'records of transactions, which the law wants kept for three years'),
    ('purchase_item', '*', 'keep', 0, true, 'records of transactions'),
    ('purchase_number', '*', 'keep', 0, false, 'the numbers of purchase, where that is partitioned'),
    ('purchase_refund', 'reason', 'null', 0, true, 'free text'),
    ('purchase_refund', 'refund_no', 'keep', 0, true, 'record of a transaction'),
    ('consent', 'evidence', 'null', 0, true, 'may name the person'),
    ('consent', 'channel', 'keep', 0, true, 'what was agreed to stays provable'),
    ('contact_change', 'old_hash', 'null', 1, false, 'a keyed hash still points at the person'),
    ('contact_change', 'field', 'keep', 1, true, NULL),
    ('contact_change', 'source', 'keep', 1, true, NULL),
    ('contact_access', 'purpose', 'redact', 0, true, 'free text'),
    ('contact_access', 'field', 'keep', 0, true, NULL),
    ('contact_access', 'application', 'keep', 0, false, 'about staff'),
    ('contact_access', 'client', 'keep', 0, false, 'about staff'),
    ('contact_access', 'login', 'keep', 0, false, 'about staff'),
    ('erasure', '*', 'keep', 0, true, 'the receipt'),
    ('restriction', 'reason', 'redact', 0, true, 'free text'),
    ('legal_hold', 'reason', 'redact', 0, true, 'free text');

INSERT INTO privacy_rule (table_name, column_name, erase, exported, why)
SELECT 'contact', a.attname, 'keep', false, 'goes with the row; a keyed hash tells the person nothing' FROM pg_catalog.pg_attribute a
WHERE a.attrelid = 'contact'::regclass AND a.attname IN ('phone_index', 'email_index', 'name_index', 'pinyin_index') AND NOT a.attisdropped;

INSERT INTO retention_rule (rule, action, table_name, time_column, keep) VALUES
    ('silent customers', 'erase_customer', NULL, NULL, '5 years'),
    ('access log', 'delete', 'contact_access', 'at', '3 years');

-- Who may do what with the foundation's tables and with personal data; doc/privacy.md shows it as a matrix.
INSERT INTO access_rule (kind, object_type, object, privilege)
SELECT k.kind, v.object_type, o.object, p.privilege
FROM (VALUES
    -- settings and lists that functions read for whoever calls them
    ('owner,agent,marketer,analyst,auditor,app', 'table', 'settings,source', 'SELECT'),
    ('owner', 'table', 'settings', 'UPDATE'),
    ('owner', 'table', 'source,source_cost,currency_rate', 'SELECT,INSERT,UPDATE,DELETE'),
    ('marketer', 'table', 'source_cost', 'SELECT,INSERT,UPDATE'),
    ('analyst', 'table', 'source_cost,currency_rate', 'SELECT'),
    ('owner,auditor', 'table', 'access_rule,access_grantee,job_progress', 'SELECT'),
    ('owner', 'routine', 'set_currency_rate', 'EXECUTE'),

    -- customers and orders
    ('owner', 'table', 'customer', 'SELECT,INSERT,UPDATE'),
    ('agent', 'table', 'customer', 'SELECT,INSERT,UPDATE (occupation\, region\, influence\, special_needs\, source\, last_source\, attributes)'),
    ('marketer', 'table', 'customer', 'SELECT'),
    ('auditor', 'table', 'customer', 'SELECT'),
    ('app', 'table', 'customer', 'UPDATE (occupation\, region\, source\, last_source\, attributes)'),
    ('owner', 'table', 'purchase,purchase_item,purchase_refund', 'SELECT,INSERT,UPDATE,DELETE'),
    ('owner,agent,marketer,analyst,auditor,app', 'table', 'purchase_number', 'SELECT'),
    ('agent,marketer,auditor', 'table', 'purchase,purchase_item', 'SELECT'),
    ('analyst', 'table', 'purchase_item', 'SELECT'),
    ('agent', 'table', 'purchase_refund', 'SELECT,INSERT'),
    ('auditor', 'table', 'purchase_refund', 'SELECT'),
    ('owner,agent,marketer,auditor', 'table', 'customer_summary', 'SELECT'),
    ('owner,agent', 'routine', 'find_or_create_customer', 'EXECUTE'),

    -- personal data: nobody reads it in bulk
    ('owner,agent,marketer,app', 'table', 'contact_masked', 'SELECT'),
    ('owner,agent,app', 'table', 'contact', 'SELECT (customer_id),INSERT,UPDATE (name\, phone\, email\, wechat\, id_number\, address\, gender\, birth_date\, birth_calendar\, source\, legal_basis)'),
    ('owner', 'table', 'contact', 'DELETE'),
    ('owner,agent,app', 'table', 'contact_provenance', 'SELECT'),
    ('owner,agent', 'table', 'identity_masked,note_masked', 'SELECT'),
    ('owner,agent,app', 'table', 'identity', 'INSERT'),
    ('owner,agent', 'table', 'identity', 'SELECT (channel\, customer_id\, created_at)'),
    ('owner,agent,app', 'table', 'note', 'SELECT (customer_id\, note_id\, at\, author),INSERT'),
    ('owner,agent,app', 'routine', 'set_contact', 'EXECUTE'),
    ('owner,agent', 'routine', 'search_contact,reveal', 'EXECUTE'),
    ('owner', 'routine', 'export_customer,export_rows,erase_customer,restrict_customer,set_reveal_limit', 'EXECUTE'),

    -- consent
    ('owner,agent,marketer,auditor,app', 'table', 'consent_state,contact_purpose,privacy_policy', 'SELECT'),
    ('owner,agent,marketer,app', 'table', 'consent', 'SELECT (customer_id\, consent_id\, purpose\, channel\, given\, at\, source\, policy_version\, actor\, role\, recorded_at)'),
    ('auditor', 'table', 'consent', 'SELECT'),
    ('owner', 'table', 'contact_purpose', 'INSERT,UPDATE'),
    ('owner', 'table', 'privacy_policy', 'INSERT,UPDATE,DELETE'),
    ('owner,agent,app', 'routine', 'give_consent,withdraw_consent', 'EXECUTE'),
    ('owner,agent,marketer,app', 'routine', 'may_contact,contact_refusal', 'EXECUTE'),
    ('owner,marketer', 'routine', 'contactable', 'EXECUTE'),

    -- what is kept about all that
    ('owner,auditor', 'table', 'contact_access,contact_change,erasure,restriction,legal_hold,security_training,reveal_limit,privacy_rule,retention_rule', 'SELECT'),
    ('owner', 'table', 'legal_hold', 'INSERT,UPDATE (until\, released_at)'),
    ('owner', 'table', 'security_training', 'INSERT'),
    ('owner', 'table', 'privacy_rule,retention_rule', 'INSERT,UPDATE,DELETE'),
    ('owner,auditor', 'routine', 'access_report', 'EXECUTE')) v (kinds, object_type, objects, privileges)
CROSS JOIN LATERAL unnest(string_to_array(v.kinds, ',')) k (kind)
CROSS JOIN LATERAL unnest(string_to_array(v.objects, ',')) o (object)
-- A comma behind a backslash belongs to a list of columns.
CROSS JOIN LATERAL (SELECT replace(x, '\', '') AS privilege FROM regexp_split_to_table(v.privileges, '(?<!\\),') x) p
WHERE to_regclass(quote_ident(o.object)) IS NOT NULL OR v.object_type <> 'table'
ON CONFLICT DO NOTHING;
