-- A customer's day: she joins, buys, spends points, asks for too much, sends half of it back, and wants to know what the shop knows.
\set say_en '1. A customer''s day. She joins; name and phone stand apart from the customer, and whoever reads them sees masks.'
\set say_zh '一、顾客的一天。她入会:姓名和手机号与客户档案分开存放,读到的都是脱敏后的。'
\ir say.sql
INSERT INTO shop.customer (region) VALUES ('浙江省') RETURNING customer_id AS who \gset
SELECT shop.set_contact(:who, '{"name": "欧阳小满", "phone": "13987654321", "email": "xiaoman@example.com"}', source => 'person') AS set_contact;
SELECT name, phone, email FROM shop.contact_masked WHERE customer_id = :who;

\set say_en 'She buys. One INSERT by the shop''s own program; sums, points, growth and tier are right when it returns.'
\set say_zh '她下单。店铺自己的程序插入一行订单;返回时汇总、积分、成长值、等级都已更新。'
\ir say.sql
INSERT INTO shop.tier (tier, seq, name_zh, name_en, qualify) SELECT 'gold', 50, '金卡', 'gold', 'spend_12m >= 800' WHERE NOT EXISTS (SELECT FROM shop.tier WHERE seq >= 50);
INSERT INTO shop.purchase (customer_id, channel, order_no, amount, status) VALUES (:who, 'mall', 'tour-' || :who || '-1', 880, 'completed');
SELECT order_count, spend_total FROM shop.customer_summary WHERE customer_id = :who;
SELECT program, available, pending, held FROM shop.points_balance WHERE customer_id = :who ORDER BY program;
SELECT tier, basis FROM shop.tier_member WHERE customer_id = :who;

\set say_en 'The shop gives her 500 points, she spends 200. The button was pressed twice: the second time answers with the first entry.'
\set say_zh '店铺送她 500 积分,她用掉 200。按钮被点了两次:第二次得到的是第一次那笔分录。'
\ir say.sql
SELECT kind, points, balance_after FROM shop.earn(:who, 500, 'welcome', 'tour');
SELECT seq, kind, points, balance_after FROM shop.redeem(:who, 200, 'till', 'receipt-1');
SELECT seq, kind, points, balance_after FROM shop.redeem(:who, 200, 'till', 'receipt-1');

\set say_en 'She tries to spend more than she has. Refused, whatever program asks.'
\set say_zh '她想花掉超过余额的积分。无论哪个程序来要,都被拒绝。'
\ir say.sql
SELECT shop.redeem(:who, 1000000, 'till', 'receipt-2');

\set say_en 'Half of the order comes back. The points it brought are taken back by the rule of that day, as entries of their own; nothing is overwritten.'
\set say_zh '订单退了一半。它带来的积分按当天的规则收回,另记一笔;不覆盖任何历史。'
\ir say.sql
INSERT INTO shop.purchase_refund (customer_id, channel, order_no, refund_no, amount) VALUES (:who, 'mall', 'tour-' || :who || '-1', 'r1', 440);
SELECT seq, kind, points, source, balance_after FROM shop.points_entry WHERE customer_id = :who AND program = 'points' ORDER BY seq;

\set say_en 'She asks what the shop knows of her. One call gives all of it.'
\set say_zh '她问店铺掌握了她的哪些信息。一个调用给出全部。'
\ir say.sql
SELECT string_agg(key, ', ' ORDER BY key) AS what_is_known FROM jsonb_object_keys(shop.export_customer(:who)) key;
