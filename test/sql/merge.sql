-- Duplicates, merging, and the quality of contact data.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
SET client_min_messages = error;
SELECT crm.create_store('t_merge');
SET client_min_messages = warning;
SET search_path = t_merge, crm;
SELECT * FROM check_privacy();
INSERT INTO points_program (program, redeemable) VALUES ('growth_m', false);
DELETE FROM points_rule;
INSERT INTO points_rule (program, points, per_amount, on_status) VALUES ('points', 1, 1, 'paid'), ('growth_m', 1, 10, 'paid');
INSERT INTO tag_namespace (namespace, exclusive) VALUES ('size_m', true);
INSERT INTO privacy_policy (version, valid_from, body, purposes) VALUES ('1', '2021-01-01', 'We write about offers.', '{marketing}');
INSERT INTO customer (customer_id, joined_at, tags, attributes, region) VALUES
    (1, '2024-01-01', '{tea,size_m:large}', '{"a": 1}', NULL), (2, '2023-01-01', '{coffee,size_m:small}', '{"a": 2, "b": 3}', '浙江'),
    (3, '2024-01-01', '{}', '{}', NULL), (4, '2024-01-01', '{}', '{}', NULL), (5, '2024-01-01', '{}', '{}', NULL), (6, '2024-01-01', '{}', '{}', NULL);
INSERT INTO contact (customer_id, name, phone, email, address) VALUES
    (1, '张三', '13812341234', NULL, '杭州市西湖区1号'), (2, '张三', '+86 138 1234 1234', 'Zhang@Example.com', '杭州市西湖区2号'),
    (3, 'Li Si', '13900001111', 'li@example.com', NULL), (4, 'LI  SI', '139-0000-1111', 'LI@example.com', NULL),
    (5, '王五', '12', 'not an address', NULL);
INSERT INTO identity (channel, external_id, customer_id) VALUES ('wechat', 'w1', 1), ('taobao', 't2', 2);
SELECT give_consent(1, 'marketing') > 0 AS yes;
SELECT withdraw_consent(2, channel => 'sms') > 0 AS no;
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (1, 'A1', 100, now() - interval '3 days'), (2, 'B1', 80, now() - interval '2 days'), (2, 'B2', 50, now() - interval '1 day');
INSERT INTO purchase_item (customer_id, channel, order_no, line, product, amount) VALUES (2, 'mall', 'B1', 1, 'tea', 80);
INSERT INTO purchase_refund (customer_id, channel, order_no, refund_no, amount) VALUES (2, 'mall', 'B1', 'R1', 20);
SELECT kind, points FROM redeem(2, 60, 'shop', 'gift');
SELECT kind, points FROM earn(2, 7, 'game', 'g1');
SELECT ticket_id > 0 AS ticket FROM open_ticket(2, 'delivery', 'late', reference => 'c1');
SELECT ticket_id > 0 AS ticket FROM open_ticket(1, 'delivery', 'late', reference => 'c1');
SELECT ticket_id > 0 AS ticket FROM open_ticket(2, 'delivery', 'later', reference => 'c2');
INSERT INTO note (customer_id, body) VALUES (2, 'likes green');
INSERT INTO check_in (customer_id, day, streak, at) VALUES (1, '2026-01-01', 1, '2026-01-01'), (2, '2026-01-01', 1, '2026-01-01'), (2, '2026-01-02', 2, '2026-01-02');
INSERT INTO invitation (customer_id, inviter, invited_at) VALUES (2, 1, now()), (6, 2, now());
SELECT customer_id, program, available FROM points_balance ORDER BY 1, 2;
SELECT * FROM merge_points_total(1, 2) ORDER BY 1;

-- Found by keys, scored, the surest merged.
SELECT * FROM find_duplicates();
SELECT customer_id, other, score, reasons FROM duplicate_queue ORDER BY score DESC;
SELECT * FROM merge_duplicates();
SELECT customer_id, other, state FROM duplicate_candidate ORDER BY 1;
SELECT customer_id, status, merged_into FROM customer ORDER BY 1;
SELECT * FROM find_duplicates();

-- By hand.
SELECT merge_customers(1, 1, 'x');
SELECT merge_customers(1, 4, 'x');
SELECT merge_customers(1, 99, 'x');
SELECT merge_customers(1, 2, '');
SELECT decide_duplicate(5, 6, true);
SELECT decide_duplicate(2, 1, true, 'same phone', keep => 1) > 0 AS merged;
SELECT customer_id, program, available FROM points_balance ORDER BY 1, 2;
SELECT * FROM merge_points_total(1, 2) ORDER BY 1;
SELECT * FROM recount_customers();
SELECT * FROM points_verify();
SELECT customer_id, order_count, spend_total, refunded_total FROM customer_summary WHERE customer_id < 3 ORDER BY 1;
SELECT customer_id, order_no, refunded FROM purchase ORDER BY 2;
SELECT customer_id, order_no FROM purchase_item;
SELECT status, merged_into, joined_at, region, attributes, tags FROM customer WHERE customer_id = 1;
SELECT name, phone, email, address FROM contact WHERE customer_id = 1;
SELECT channel, customer_id FROM identity ORDER BY 1;
SELECT purpose, channel, given FROM consent_state WHERE customer_id = 1 ORDER BY 2;
SELECT contact_refusal(1, 'sms', 'marketing', '2035-06-01 12:00+08') AS sms, contact_refusal(1, 'email', 'marketing', '2035-06-01 12:00+08') AS email;
-- What clashes stays, with its children.
SELECT customer_id, reference FROM ticket ORDER BY 1, 2;
SELECT t.customer_id, count(e.*) > 0 AS events FROM ticket t LEFT JOIN ticket_event e USING (customer_id, ticket_id) GROUP BY 1 ORDER BY 1;
SELECT customer_id, day FROM check_in ORDER BY 1, 2;
SELECT customer_id, inviter FROM invitation ORDER BY 1;
SELECT k, jsonb_typeof(v) FROM merge_log, jsonb_each(moved) m (k, v) WHERE lose = 2 ORDER BY 1;
-- Nothing was posted again: the points came by transfer, with their expiry.
SELECT customer_id, program, kind, count(*), sum(points) FROM points_entry WHERE customer_id < 3 AND source IN ('purchase', 'merge') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
-- A later refund takes the points where they are now; a late order follows.
INSERT INTO purchase_refund (customer_id, channel, order_no, refund_no, amount) VALUES (1, 'mall', 'B2', 'R2', 50);
SELECT program, available FROM points_balance WHERE customer_id = 1 ORDER BY 1;
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (2, 'B3', 30, now());
SELECT settle_merges(), settle_merges();
SELECT customer_id, program, available FROM points_balance ORDER BY 1, 2;
-- Chains.
SELECT merge_customers(3, 1, 'one family') > 0 AS merged;
SELECT c, find_customer(c) FROM unnest('{1,2,3,4,5,99}'::bigint[]) c;
SELECT * FROM recount_customers();
SELECT * FROM points_verify();
SELECT status FROM customer WHERE customer_id = 5 AND erase_customer(5, 'asked') IS NOT NULL;
SELECT merge_customers(3, 5, 'x');

-- A no to the question is kept; a desk's number says nothing.
INSERT INTO customer (customer_id) SELECT g FROM generate_series(10, 15) g;
INSERT INTO contact (customer_id, name, phone, birth_date) VALUES (10, 'a', '13711112222', '2000-01-01'), (11, 'a', '13711112222', '2001-01-01'),
    (12, 'b', '13733334444', NULL), (13, 'c', '13733334444', NULL), (14, 'd', '13733334444', NULL);
SELECT * FROM find_duplicates(2);
SELECT customer_id, other, score, reasons FROM duplicate_queue ORDER BY 1;
SELECT decide_duplicate(10, 11, false);
SELECT * FROM find_duplicates();
SELECT customer_id, other, score, state FROM duplicate_candidate WHERE state <> 'merged' ORDER BY 1, 2;

-- Undone: everything back to what it was, less what happened since.
INSERT INTO tag_namespace (namespace, exclusive) VALUES ('look_m', true);
UPDATE points_program SET expiry = 'days', expiry_n = 10, expiry_round = 'none' WHERE program = 'points';
INSERT INTO customer (customer_id, joined_at, tags, region, attributes) VALUES (30, '2024-01-01', '{a,look_m:red}', NULL, '{"x": 1}'), (31, '2023-01-01', '{b,look_m:blue}', 'r', '{"y": 2}');
INSERT INTO contact (customer_id, name, email) VALUES (30, 'n', NULL), (31, 'o', 'o@example.com');
INSERT INTO identity (channel, external_id, customer_id) VALUES ('wechat', 'w31', 31);
INSERT INTO purchase (customer_id, order_no, amount, paid_at) VALUES (30, 'U1', 100, now() - interval '8 days'), (31, 'U2', 60, now() - interval '6 days'), (31, 'U3', 40, now() - interval '5 days');
SELECT kind, points FROM redeem(31, 15, 'purchase', 'mall/U3');
INSERT INTO purchase (customer_id, order_no, amount, status, paid_at) VALUES (31, 'U4', 33, 'pending', NULL);
CREATE TEMP TABLE was AS
    SELECT 'balance' AS what, b.customer_id, to_jsonb(b) AS row FROM points_balance b WHERE customer_id IN (30, 31)
    UNION ALL SELECT 'customer', customer_id, to_jsonb(c) || jsonb_build_object('tags', tags::text) FROM customer c WHERE customer_id IN (30, 31)
    UNION ALL SELECT 'contact', customer_id, to_jsonb(c) - 'updated_at' - 'source' - 'provenance' FROM contact c WHERE customer_id IN (30, 31)
    UNION ALL SELECT 'summary', customer_id, to_jsonb(c) FROM customer_summary c WHERE customer_id IN (30, 31)
    UNION ALL SELECT 'identity', customer_id, to_jsonb(c) FROM identity c WHERE customer_id IN (30, 31)
    UNION ALL SELECT 'purchase', customer_id, to_jsonb(c) FROM purchase c WHERE customer_id IN (30, 31);
SELECT merge_customers(30, 31, 'mistaken') AS merge_id \gset
SELECT program, remaining, (now() + interval '1 minute' < expires_at) AS live, round(extract(epoch FROM expires_at - now()) / 86400) AS days FROM points_lot WHERE customer_id IN (30, 31) ORDER BY 1, 4, 2;
SELECT undo_merge(:merge_id, 'two persons');
SELECT undo_merge(:merge_id, 'two persons');
CREATE TEMP TABLE is_now AS
    SELECT 'balance' AS what, b.customer_id, to_jsonb(b) AS row FROM points_balance b WHERE customer_id IN (30, 31)
    UNION ALL SELECT 'customer', customer_id, to_jsonb(c) || jsonb_build_object('tags', tags::text) FROM customer c WHERE customer_id IN (30, 31)
    UNION ALL SELECT 'contact', customer_id, to_jsonb(c) - 'updated_at' - 'source' - 'provenance' FROM contact c WHERE customer_id IN (30, 31)
    UNION ALL SELECT 'summary', customer_id, to_jsonb(c) FROM customer_summary c WHERE customer_id IN (30, 31)
    UNION ALL SELECT 'identity', customer_id, to_jsonb(c) FROM identity c WHERE customer_id IN (30, 31)
    UNION ALL SELECT 'purchase', customer_id, to_jsonb(c) FROM purchase c WHERE customer_id IN (30, 31);
(TABLE was EXCEPT TABLE is_now) UNION ALL (TABLE is_now EXCEPT TABLE was);
SELECT state FROM duplicate_candidate WHERE customer_id = 30;
-- Merged again: refund, cancellation and payment of orders from before follow to the one who stays.
SELECT merge_customers(30, 31, 'one after all') AS merge_id \gset
SELECT customer_id, available FROM points_balance WHERE customer_id IN (30, 31) AND program = 'points' ORDER BY 1;
INSERT INTO purchase_refund (customer_id, channel, order_no, refund_no, amount) VALUES (30, 'mall', 'U2', 'X', 20);
SELECT customer_id, available FROM points_balance WHERE customer_id IN (30, 31) AND program = 'points' ORDER BY 1;
UPDATE purchase SET status = 'cancelled' WHERE order_no = 'U3';
SELECT customer_id, available FROM points_balance WHERE customer_id IN (30, 31) AND program = 'points' ORDER BY 1;
UPDATE purchase SET status = 'paid', paid_at = now() WHERE order_no = 'U4';
SELECT customer_id, available FROM points_balance WHERE customer_id IN (30, 31) AND program = 'points' ORDER BY 1;
SELECT kind, points FROM redeem(30, 150, 'shop', 'all');
-- More is clawed back than there is: what is missing is told, nobody owes.
UPDATE purchase SET refunded = amount WHERE order_no = 'U2';
SELECT customer_id, available FROM points_balance WHERE customer_id IN (30, 31) AND program = 'points' ORDER BY 1;
SELECT kind, points, shortfall FROM points_entry WHERE customer_id = 31 AND kind = 'refund' AND program = 'points' ORDER BY seq;
SELECT undo_merge(:merge_id, 'two persons');
SELECT customer_id, available FROM points_balance WHERE customer_id IN (30, 31) AND program = 'points' ORDER BY 1;
SELECT order_no, customer_id FROM purchase WHERE order_no LIKE 'U%' ORDER BY 1;
SELECT * FROM recount_customers();
SELECT * FROM points_verify();
-- Of a chain the last first; not what is held or gone.
SELECT merge_customers(30, 31, 'x') AS first \gset
INSERT INTO customer (customer_id) VALUES (32);
SELECT merge_customers(32, 30, 'x') AS second \gset
SELECT find_customer(31), find_customer(30);
SELECT order_no, customer_id FROM purchase WHERE order_no LIKE 'U%' ORDER BY 1;
UPDATE purchase SET refunded = 10 WHERE order_no = 'U4';
SELECT undo_merge(:first, 'x');
SELECT undo_merge(:second, 'x');
SELECT undo_merge(:first, 'x') - 'reason';
SELECT undo_merge(0, 'x');
SELECT order_no, customer_id FROM purchase WHERE order_no LIKE 'U%' ORDER BY 1;
SELECT * FROM points_verify();
SELECT * FROM recount_customers();
INSERT INTO legal_hold (customer_id, reason) VALUES (31, 'dispute');
SELECT merge_customers(30, 31, 'x');

-- Quality.
UPDATE settings SET contact_confirm_days = 365;
INSERT INTO customer (customer_id) VALUES (20), (21);
INSERT INTO contact (customer_id, name, phone, email, address, id_number, birth_date, updated_at) VALUES
    (20, 'x', '1', 'y', 'z', '110101199003070000', '2200-01-01', now()), (21, 'x', '13812345678', 'a@example.com', 'z', NULL, NULL, now() - interval '400 days');
SELECT * FROM contact_quality WHERE customer_id >= 20 ORDER BY 1, 2;
SELECT remind_contacts(link => 'https://shop.example/c'), remind_contacts();
SELECT customer_id, channel, purpose, template, payload FROM outbox WHERE template = 'contact_confirm';
SELECT confirm_contact(21);
SELECT remind_contacts();
SELECT * FROM contact_quality WHERE customer_id = 21;
SELECT * FROM contact_quality_report WHERE finding = 'invalid' ORDER BY 1;

SET client_min_messages = error;
SELECT crm.drop_store('t_merge', 't_merge');
