INSERT INTO source (source, parent, name_zh, name_en, paid) VALUES
    ('free', NULL, '免费流量', 'free traffic', false),
    ('free/search', 'free', '搜索', 'search', false),
    ('free/search/exact', 'free/search', '精准词搜索', 'exact search', false),
    ('free/search/broad', 'free/search', '泛词搜索', 'broad search', false),
    ('free/recommendation', 'free', '推荐', 'recommendation', false),
    ('free/direct', 'free', '直接访问', 'direct', false),
    ('paid', NULL, '付费流量', 'paid traffic', true),
    ('paid/keyword', 'paid', '关键词广告', 'keyword ads', true),
    ('paid/display', 'paid', '展示广告', 'display ads', true),
    ('paid/affiliate', 'paid', '联盟推广', 'affiliates', true),
    ('paid/event', 'paid', '官方活动', 'official events', true),
    ('paid/live', 'paid', '直播与短视频', 'live and short video', true),
    ('offsite', NULL, '站外', 'off-site', false),
    ('offsite/social', 'offsite', '社交媒体', 'social media', false),
    ('offsite/content', 'offsite', '内容', 'content', false),
    ('referral', NULL, '老客户推荐', 'referral by customers', false);

INSERT INTO access_rule (kind, object_type, object, privilege) VALUES
    ('app', 'table', 'customer', 'SELECT'),
    ('app', 'table', 'customer', 'INSERT'),
    ('app', 'table', 'purchase', 'SELECT'),
    ('app', 'table', 'purchase', 'INSERT'),
    ('app', 'table', 'purchase', 'UPDATE'),
    ('analyst', 'table', 'customer', 'SELECT'),
    ('analyst', 'table', 'customer_summary', 'SELECT'),
    ('analyst', 'table', 'purchase', 'SELECT');
