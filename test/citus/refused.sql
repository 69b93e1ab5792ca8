-- What the ledger and the order tables refuse, wherever the row is kept; each statement fails.
\set ON_ERROR_STOP off
\set VERBOSITY sqlstate
SET search_path = :store, crm;
SELECT redeem(1, 100000, 'test', 'too much', as_of => '2026-09-01');
SELECT earn(1, 501, 'test', 'e1', as_of => '2026-09-01');
SELECT capture(1, 'nothing', as_of => '2026-09-01');
UPDATE points_entry SET points = 1 WHERE customer_id = 1;
DELETE FROM points_entry WHERE customer_id = 1;
UPDATE points_account SET available = 1000 WHERE customer_id = 1;
INSERT INTO points_entry (customer_id, seq, points, balance_after, occurred_at, booked_at, program, kind, source, hash)
VALUES (1, 999, 5, 5, now(), now(), 'points', 'earn', 'forged', decode(repeat('ab', 32), 'hex'));
INSERT INTO purchase (customer_id, order_no, amount) VALUES (999999, 'nobody', 1);
INSERT INTO purchase (customer_id, order_no, amount) VALUES (1, 'S1', 1);
INSERT INTO purchase (customer_id, order_no, amount) VALUES (1, 'negative', -1);
INSERT INTO purchase_refund (customer_id, channel, order_no, refund_no, amount) VALUES (1, 'mall', 'S1', 'too much', 1000);
