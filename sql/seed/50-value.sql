INSERT INTO tier (tier, seq, name_zh, name_en) VALUES ('ordinary', 1, '普通会员', 'ordinary');

INSERT INTO segment (segment, name_zh, name_en, kind, rule) VALUES
    ('new', '新客户', 'new customers', 'class', 'lifecycle = ''new'''),
    ('returning', '老客户', 'returning customers', 'class', 'order_count >= 2'),
    ('vip', 'VIP客户', 'VIP', 'class', 'value_class = ''high'' OR tags ? ''vip'''),
    ('high_frequency', '高频购买', 'high-frequency buyers', 'class', 'orders_12m >= 12'),
    ('category_lover', '喜好某类产品', 'category lovers', 'class', 'order_count >= 3 AND top_category_share >= 0.6'),
    ('potential', '潜在客户', 'potential customers', 'class', 'order_count = 0 AND (views_30d >= 3 OR carts_30d >= 1)'),
    ('price_sensitive', '价格敏感', 'price-sensitive', 'class', 'order_count >= 2 AND discount_share >= 0.2'),
    ('promotion_driven', '促销驱动', 'promotion-driven', 'class', 'order_count >= 2 AND promotion_share >= 0.8'),
    ('loyal_repurchaser', '忠诚复购', 'loyal repurchasers', 'class', 'orders_12m >= 4 AND return_rate <= 0.2 AND lifecycle IN (''active'', ''returned'')'),
    ('top', '高价值客户', 'top by contribution', 'class', 'value_class = ''high'''),
    ('at_risk', '有流失风险', 'at risk', 'class', 'last_order_at <= now() - interval ''6 months'''),
    ('regular', '常购客户', 'frequent small buyers', 'class', 'orders_12m >= 6 AND avg_order_12m < 100'),
    ('impulsive', '冲动型', 'impulsive', 'class', 'order_count >= 1 AND minutes_to_order <= 30 AND views_per_order <= 3'),
    ('comparing', '理性比较型', 'comparing', 'class', 'order_count >= 1 AND (views_per_order >= 10 OR reviews_read >= 3) AND minutes_to_order > 30'),
    ('loyal', '忠诚型', 'loyal', 'class', 'order_count >= 4 AND promotion_share < 0.5 AND return_rate < 0.1'),
    ('crowd_interested', '兴趣人群', 'interested', 'crowd', 'order_count = 0 AND (views_30d > 0 OR carts_30d > 0)'),
    ('crowd_new', '新客户人群', 'new customers', 'crowd', 'order_count = 1 AND first_order_at > now() - interval ''12 months'''),
    ('crowd_repurchase', '复购人群', 'repurchasing', 'crowd', 'orders_12m >= 2');

INSERT INTO access_rule (kind, object_type, object, privilege)
SELECT k.kind, 'table', o.object, 'SELECT'
FROM (VALUES ('owner'), ('agent'), ('marketer'), ('analyst')) AS k (kind),
     (VALUES ('customer_360'), ('customer_360_all'), ('customer_lifecycle'), ('lifecycle_change'), ('lifecycle_transitions'), ('tier'), ('tier_benefit'), ('tier_member'),
             ('tier_change'), ('tier_condition'), ('segment'), ('tag_rule'), ('value_limits')) AS o (object)
UNION ALL
SELECT k.kind, 'routine', o.object, 'EXECUTE'
FROM (VALUES ('owner'), ('marketer'), ('analyst')) AS k (kind),
     (VALUES ('segment_members'), ('segment_size'), ('segment_difference')) AS o (object)
UNION ALL
SELECT k.kind, 'routine', o.object, 'EXECUTE'
FROM (VALUES ('owner'), ('agent'), ('app')) AS k (kind),
     (VALUES ('use_benefit')) AS o (object)
UNION ALL
VALUES ('owner', 'routine', 'grant_tier', 'EXECUTE'),
       ('owner', 'routine', 'lock_tier', 'EXECUTE'),
       ('owner', 'routine', 'freeze_segment', 'EXECUTE'),
       ('marketer', 'routine', 'freeze_segment', 'EXECUTE'),
       ('marketer', 'table', 'segment', 'INSERT'),
       ('marketer', 'table', 'segment', 'UPDATE'),
       ('marketer', 'table', 'segment', 'DELETE'),
       ('marketer', 'table', 'tag_rule', 'INSERT'),
       ('marketer', 'table', 'tag_rule', 'UPDATE'),
       ('marketer', 'table', 'tag_rule', 'DELETE'),
       ('app', 'table', 'tier', 'SELECT'),
       ('app', 'table', 'tier_benefit', 'SELECT'),
       ('app', 'table', 'tier_member', 'SELECT'),
       ('auditor', 'table', 'tier_change', 'SELECT');

INSERT INTO privacy_rule (table_name, column_name, erase, exported, why) VALUES
    ('customer', 'tags', 'empty', true, 'what was thought of the person'),
    ('customer', 'rule_tags', 'empty', true, 'what was thought of the person'),
    ('lifecycle_state', '*', 'keep', true, 'dates of purchases'),
    ('lifecycle_change', '*', 'keep', true, 'dates of purchases'),
    ('tier_member', '*', 'keep', true, 'tier'),
    ('tier_change', 'note', 'null', true, 'free text'),
    ('benefit_use', '*', 'keep', true, 'use of benefits')
ON CONFLICT DO NOTHING;
