-- What the store holds and answers, in a form that is the same on one node and on three.
\set ON_ERROR_STOP off
\pset format unaligned
\pset tuples_only on
\set VERBOSITY terse
SET search_path = :store, crm;
\echo customer
SELECT customer_id, status, tags, region FROM customer ORDER BY 1;
\echo summary
SELECT customer_id, order_count, trim_scale(spend_total), trim_scale(refunded_total), trim_scale(discount_total), first_order_at, last_order_at, months FROM customer_summary ORDER BY 1;
\echo purchase
SELECT count(*), sum(amount), sum(refunded), sum(net), count(order_at), md5(string_agg(customer_id || order_no || status || trim_scale(net), ',' ORDER BY customer_id, channel, order_no)) FROM purchase;
\echo entry
-- A hash covers the salt of a note and the moment of posting where the statement gives none: those customers are 2, 3 and 11 to 15.
SELECT customer_id, program, seq, kind, points, source, reference, balance_after, CASE WHEN customer_id NOT IN (2, 3, 11, 12, 13, 14, 15) THEN encode(hash, 'hex') END
FROM points_entry ORDER BY 1, 2, 3;
\echo account
SELECT customer_id, program, seq, available, pending, held, earned, redeemed, refunded, expired, adjusted, next_due, lots FROM points_account ORDER BY 1, 2;
\echo hold
SELECT customer_id, program, seq, points, state, captured, resolved_seq FROM points_hold ORDER BY 1, 2, 3;
\echo tag_event
SELECT customer_id, tag, added, count(*) FROM tag_event GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
\echo tag_expiry
SELECT customer_id, tag, expires_at FROM tag_expiry ORDER BY 1, 2;
\echo tier
SELECT customer_id, tier, peak FROM tier_member ORDER BY 1;
SELECT customer_id, change_no, to_tier, reason FROM tier_change ORDER BY 1, 2;
\echo verify
SELECT count(*) FROM crm.points_verify_shards('points_entry'::regclass, NULL, NULL, 1, 1);
SELECT count(*)
FROM customer_summary s
LEFT JOIN (SELECT p.customer_id, count(p.order_at) AS orders, sum(p.net) AS spend, purchase_months_agg(p.order_at, p.net) AS months
           FROM purchase p GROUP BY 1) p USING (customer_id)
WHERE (s.order_count, s.spend_total, s.months::text) IS DISTINCT FROM (coalesce(p.orders, 0), coalesce(p.spend, 0), coalesce(p.months, '{}')::text);
\echo reports
SELECT kind, program, count(*), sum(points) FROM points_entry GROUP BY 1, 2 ORDER BY 1, 2;
SELECT tag, count(*) FROM (SELECT unnest(c.tags::text[]) AS tag FROM customer c) t GROUP BY 1 ORDER BY 1;
SELECT tag, customers FROM tag_count ORDER BY 1;
SELECT count(*) FROM customer WHERE tags @@ 'vip & !early';
SELECT region, count(*), sum(s.order_count), trim_scale(sum(s.spend_total)) FROM customer c JOIN customer_summary s USING (customer_id) GROUP BY 1 ORDER BY 1;
