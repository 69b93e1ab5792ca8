-- Invoices of an online retailer. Those that begin with C are cancellations: money given back to the same customer, which is
-- booked as refunds of the customer's latest earlier invoices. Invoices without a customer stay out.
CREATE TEMP TABLE invoice (invoice_no text, customer_id text, invoice_date timestamp, country text, lines int, quantity int, amount numeric);
\copy invoice FROM PSTDIN WITH (FORMAT csv, HEADER)
CREATE TEMP TABLE order_file AS
    SELECT customer_id AS customer, invoice_no AS order_no, invoice_date::text AS ordered_at, amount::text AS amount
    FROM invoice WHERE customer_id IS NOT NULL AND invoice_no !~ '^C' ORDER BY invoice_date, invoice_no;
SELECT 'line ' || line || ': ' || reason FROM shop.import_orders('order_file', channel => 'retail');

-- Customers of whom only cancellations are known are customers all the same.
SELECT count(shop.find_or_create_customer('import', customer_id)) AS only_cancelled
FROM (SELECT customer_id FROM invoice WHERE customer_id IS NOT NULL GROUP BY 1 HAVING bool_and(invoice_no ~ '^C')) c \gset

CREATE TEMP TABLE sale AS
    SELECT i.external_id, p.customer_id, p.order_no, p.ordered_at, p.amount AS rest
    FROM shop.purchase p JOIN shop.identity i ON i.customer_id = p.customer_id AND i.channel = 'import';
CREATE INDEX ON sale (external_id, ordered_at DESC);
CREATE TEMP TABLE refund (customer_id bigint, order_no text, refund_no text, amount numeric, at timestamptz);
CREATE TEMP TABLE unplaced (invoice_no text, amount numeric);
DO $$
DECLARE
    c record;
    s record;
    open numeric;
    part numeric;
BEGIN
    FOR c IN SELECT i.invoice_no, i.customer_id, i.invoice_date AT TIME ZONE g.time_zone AS at, -i.amount AS amount
             FROM invoice i, shop.settings g WHERE i.invoice_no ~ '^C' AND i.customer_id IS NOT NULL ORDER BY i.invoice_date, i.invoice_no
    LOOP
        open := c.amount;
        FOR s IN SELECT customer_id, order_no, rest FROM sale
                 WHERE external_id = c.customer_id AND ordered_at <= c.at AND rest > 0 ORDER BY ordered_at DESC, order_no
        LOOP
            part := least(open, s.rest);
            UPDATE sale SET rest = rest - part WHERE external_id = c.customer_id AND order_no = s.order_no;
            INSERT INTO refund VALUES (s.customer_id, s.order_no, c.invoice_no, part, c.at);
            open := open - part;
            EXIT WHEN open = 0;
        END LOOP;
        IF open > 0 THEN
            INSERT INTO unplaced VALUES (c.invoice_no, open);
        END IF;
    END LOOP;
END
$$;
INSERT INTO shop.purchase_refund (customer_id, channel, order_no, refund_no, amount, at)
    SELECT customer_id, 'retail', order_no, refund_no, amount, at FROM refund;

\echo
\echo 'The file against the store (cancellations without an earlier invoice in the file are kept apart):'
\pset format aligned
\pset tuples_only off
\pset footer off
SELECT f.what, f.file, s.store, CASE WHEN f.file = s.store THEN 'equal' ELSE 'DIFFERENT' END AS check
FROM (SELECT 1 AS n, 'customers' AS what, count(DISTINCT customer_id)::numeric AS file FROM invoice
      UNION ALL SELECT 2, 'invoices', count(*) FROM invoice WHERE customer_id IS NOT NULL AND invoice_no !~ '^C'
      UNION ALL SELECT 3, 'cancellations', count(*) FROM invoice WHERE customer_id IS NOT NULL AND invoice_no ~ '^C'
      UNION ALL SELECT 4, 'invoiced', sum(amount) FROM invoice WHERE customer_id IS NOT NULL AND invoice_no !~ '^C'
      UNION ALL SELECT 5, 'cancelled', -sum(amount) FROM invoice WHERE customer_id IS NOT NULL AND invoice_no ~ '^C'
      UNION ALL SELECT 6, 'net', sum(amount) FROM invoice WHERE customer_id IS NOT NULL) f
JOIN (SELECT 1 AS n, count(*)::numeric AS store FROM shop.customer
      UNION ALL SELECT 2, count(*) FROM shop.purchase
      UNION ALL SELECT 3, (SELECT count(*) FROM (SELECT refund_no FROM shop.purchase_refund UNION SELECT invoice_no FROM unplaced) c)
      UNION ALL SELECT 4, sum(amount) FROM shop.purchase
      UNION ALL SELECT 5, (SELECT sum(amount) FROM shop.purchase_refund) + (SELECT coalesce(sum(amount), 0) FROM unplaced)
      UNION ALL SELECT 6, (SELECT sum(spend_total) FROM shop.customer_summary) - (SELECT coalesce(sum(amount), 0) FROM unplaced)) s USING (n)
ORDER BY n;
SELECT count(*) AS invoices_without_customer, sum(amount) AS amount, (SELECT count(*) FROM unplaced) AS cancellations_without_invoice, (SELECT sum(amount) FROM unplaced) AS of_amount
FROM invoice WHERE customer_id IS NULL;
