-- The store that the pages of doc/ speak of: shop, with sixty customers, a year of orders, tags, points, and what else its examples name.
CREATE EXTENSION crm;
SELECT crm.create_store('shop', time_zone => 'Asia/Shanghai', currency => 'CNY', language => 'en');
SET search_path = shop, crm, public;

INSERT INTO customer (region, joined_at)
SELECT ('{浙江省,广东省,江苏省,四川省}'::text[])[1 + i % 4], now() - interval '400 days' + i * interval '1 hour' FROM generate_series(1, 60) i;
INSERT INTO contact (customer_id, name, phone, email, address, birth_date, gender)
SELECT i, ('{张三,李四,王芳,赵敏,陈晨}'::text[])[1 + i % 5], '138' || lpad((12340000 + i)::text, 8, '0'), format('c%s@example.com', i), '浙江省杭州市西湖区文三路' || i || '号',
    date '1990-01-01' + i * 37, (ARRAY['female', 'male'])[1 + i % 2]
FROM generate_series(1, 60) i;
-- One person twice: 17 and 42 share a phone number, 18 and 43 an e-mail address.
UPDATE contact c SET phone = (SELECT phone FROM contact WHERE customer_id = 17), name = (SELECT name FROM contact WHERE customer_id = 17) WHERE c.customer_id = 42;
UPDATE contact c SET email = (SELECT email FROM contact WHERE customer_id = 18), name = (SELECT name FROM contact WHERE customer_id = 18) WHERE c.customer_id = 43;
INSERT INTO identity (customer_id, channel, external_id) SELECT i, 'tmall', 'tb_' || i FROM generate_series(1, 20) i;

INSERT INTO purchase (customer_id, channel, order_no, amount, status, ordered_at, paid_at, completed_at)
SELECT 1 + i % 50, CASE WHEN i % 3 = 0 THEN 'store' ELSE 'mall' END, 'SN' || i, 50 + (i * 37) % 400, 'completed', at, at, at + interval '3 days'
FROM generate_series(1, 400) i, LATERAL (SELECT now() - interval '390 days' + i * interval '23 hours' AS at) t;
INSERT INTO purchase_item (customer_id, channel, order_no, line, product, category, quantity, amount)
SELECT customer_id, channel, order_no, 1, 'P' || substr(order_no, 3)::int % 20, ('{tea,cups,gifts}'::text[])[1 + substr(order_no, 3)::int % 3], 1, amount FROM purchase;

SELECT tag_customers(audience(ARRAY[1, 2, 3, 5, 8, 42]), 'vip');
SELECT tag_customers((SELECT audience_agg(customer_id) FROM customer WHERE customer_id % 3 = 0), '高频购买');
SELECT tag_customers((SELECT audience_agg(customer_id) FROM customer WHERE customer_id % 2 = 0), 'channel:tmall');
SELECT install_preset('textbook');
CALL evaluate_tiers();
SELECT earn(i, 100 * i, 'opening', 'balance ' || i) FROM generate_series(1, 10) i;

INSERT INTO privacy_policy (version, valid_from, body, purposes) VALUES ('2025-01', now() - interval '1 year', 'What we collect, and what for.', '{marketing,survey,care}');
SELECT give_consent(customer_id, 'marketing', '*', evidence => '{"form": "signup"}') FROM customer;
INSERT INTO coupon_template (template, name, kind, value, valid_days) VALUES ('birthday', '生日礼券', 'fixed', 20, 30);
INSERT INTO source (source, name_zh, name_en) VALUES ('fair', '展会', 'Trade fair');
INSERT INTO source_cost (source, day, cost) VALUES ('fair', current_date - 30, 1000);
UPDATE settings SET model_min_buyers = 30;
SELECT refit_rfm();
VACUUM ANALYZE;
