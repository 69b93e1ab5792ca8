-- Writes go on, and their sums are right: prints nothing when all is well.
SET search_path = shop, crm, pg_temp;
INSERT INTO purchase (customer_id, order_no, amount) VALUES (5, 'after', 1000);
UPDATE customer SET tags = tags + 'late' WHERE customer_id = 5;
SELECT 'earned nothing' FROM earn(5, 10, 'after', 'z') e WHERE e.points IS DISTINCT FROM 10;
SELECT 'not tagged' WHERE NOT EXISTS (SELECT FROM customer WHERE tags @@ 'late');
SELECT r.customer_id::text FROM recount_customers() r;
SELECT v.customer_id::text || v.finding FROM points_verify() v;
