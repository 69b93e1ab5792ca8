INSERT INTO tag_namespace (namespace, name_zh, name_en, exclusive) VALUES
    ('lifecycle', '生命周期', 'life cycle', true),
    ('credit', '信用等级', 'credit level', true),
    ('group', '分组', 'group', false),
    ('channel', '渠道', 'channel', false),
    ('category', '品类偏好', 'liked category', false),
    ('interest', '兴趣', 'interest', false);

INSERT INTO tag (tag, name_zh, name_en, kind) VALUES
    ('vip', 'VIP客户', 'VIP', 'manual'),
    ('高频购买', '高频购买', 'frequent buyer', 'rule'),
    ('常购客户', '常购客户', 'regular with small orders', 'rule'),
    ('新客户', '新客户', 'new customer', 'rule'),
    ('88vip', '88VIP会员', '88VIP member', 'official'),
    ('credit:heart', '心级买家', 'heart-level buyer', 'official'),
    ('credit:diamond', '钻级买家', 'diamond-level buyer', 'official'),
    ('credit:crown', '皇冠买家', 'crown-level buyer', 'official');

INSERT INTO access_rule (kind, object_type, object, privilege) VALUES
    ('app', 'table', 'tag', 'SELECT'),
    ('app', 'table', 'tag_namespace', 'SELECT'),
    ('app', 'table', 'customer', 'UPDATE (tags)'),
    ('app', 'table', 'tag_expiry', 'SELECT'),
    ('app', 'table', 'tag_expiry', 'INSERT'),
    ('app', 'table', 'tag_expiry', 'UPDATE'),
    ('agent', 'table', 'tag', 'SELECT'),
    ('agent', 'table', 'tag', 'INSERT'),
    ('agent', 'table', 'tag_namespace', 'SELECT'),
    ('agent', 'table', 'tag_event', 'SELECT'),
    ('agent', 'table', 'tag_expiry', 'SELECT'),
    ('agent', 'table', 'tag_expiry', 'INSERT'),
    ('agent', 'table', 'tag_expiry', 'UPDATE'),
    ('agent', 'table', 'customer_group', 'SELECT'),
    ('agent', 'table', 'tag_count', 'SELECT'),
    ('marketer', 'table', 'tag', 'SELECT'),
    ('marketer', 'table', 'tag', 'INSERT'),
    ('marketer', 'table', 'tag', 'UPDATE'),
    ('marketer', 'table', 'tag_namespace', 'SELECT'),
    ('marketer', 'table', 'customer', 'UPDATE (tags)'),
    ('marketer', 'table', 'tag_event', 'SELECT'),
    ('marketer', 'table', 'tag_expiry', 'SELECT'),
    ('marketer', 'table', 'tag_expiry', 'INSERT'),
    ('marketer', 'table', 'tag_expiry', 'UPDATE'),
    ('marketer', 'table', 'tag_audience', 'SELECT'),
    ('marketer', 'table', 'tag_audience_change', 'SELECT'),
    ('marketer', 'table', 'tag_chunk', 'SELECT'),
    ('marketer', 'table', 'tag_count', 'SELECT'),
    ('marketer', 'table', 'customer_group', 'SELECT'),
    ('analyst', 'table', 'tag', 'SELECT'),
    ('analyst', 'table', 'tag_namespace', 'SELECT'),
    ('analyst', 'table', 'tag_event', 'SELECT'),
    ('analyst', 'table', 'tag_audience', 'SELECT'),
    ('analyst', 'table', 'tag_audience_change', 'SELECT'),
    ('analyst', 'table', 'tag_chunk', 'SELECT'),
    ('analyst', 'table', 'tag_count', 'SELECT'),
    ('analyst', 'table', 'customer_group', 'SELECT'),
    ('auditor', 'table', 'tag', 'SELECT'),
    ('auditor', 'table', 'tag_event', 'SELECT')
ON CONFLICT DO NOTHING;

INSERT INTO access_rule (kind, object_type, object, privilege)
SELECT 'owner', 'table', o.object, p.privilege
FROM (VALUES ('tag,tag_namespace,tag_expiry', 'SELECT,INSERT,UPDATE,DELETE'), ('tag_event,tag_audience,tag_audience_change,tag_chunk,tag_count,customer_group', 'SELECT')) v (objects, privileges)
CROSS JOIN LATERAL unnest(string_to_array(v.objects, ',')) o (object)
CROSS JOIN LATERAL unnest(string_to_array(v.privileges, ',')) p (privilege);

INSERT INTO privacy_rule (table_name, column_name, erase, step, exported, why) VALUES
    ('customer', 'tags', 'empty', 0, true, 'what is known of the customer'),
    ('tag_expiry', '*', 'delete', 1, true, 'goes with the tags'),
    ('tag_event', '*', 'delete', 1, true, 'history of the tags, with free text');
