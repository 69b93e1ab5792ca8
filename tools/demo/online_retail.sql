-- Invoices of an online retailer. Those that begin with C are cancellations: money given back to the same customer, which is
-- taken from the customer's latest earlier invoices. Invoices without a customer stay out.
CREATE TEMP TABLE invoice (invoice_no text, customer_id text, invoice_date text, country text, lines text, quantity text, amount numeric);
\copy invoice FROM PSTDIN WITH (FORMAT csv, HEADER)
CREATE TEMP TABLE sale AS
    SELECT invoice_no, customer_id, invoice_date::timestamp AS at, amount, 0::numeric AS refunded, row_number() OVER (PARTITION BY customer_id ORDER BY invoice_date, invoice_no) AS n
    FROM invoice WHERE customer_id IS NOT NULL AND amount >= 0 AND invoice_no !~ '^C';
CREATE INDEX ON sale (customer_id, n);
DO $$
DECLARE
    c record;
    s record;
    open numeric;
    part numeric;
    unplaced numeric := 0;
BEGIN
    FOR c IN SELECT customer_id, invoice_date::timestamp AS at, -amount AS amount FROM invoice
             WHERE invoice_no ~ '^C' AND customer_id IS NOT NULL ORDER BY invoice_date, invoice_no
    LOOP
        open := c.amount;
        FOR s IN SELECT invoice_no, amount - refunded AS rest FROM sale
                 WHERE customer_id = c.customer_id AND at <= c.at AND refunded < amount ORDER BY n DESC
        LOOP
            part := least(open, s.rest);
            UPDATE sale SET refunded = refunded + part WHERE customer_id = c.customer_id AND invoice_no = s.invoice_no;
            open := open - part;
            EXIT WHEN open = 0;
        END LOOP;
        unplaced := unplaced + open;
    END LOOP;
    PERFORM set_config('demo.unplaced', unplaced::text, false);
END
$$;
CREATE TEMP TABLE order_file AS
    SELECT customer_id AS customer, invoice_no AS order_no, at::text AS ordered_at, amount::text AS amount, refunded::text AS refunded
    FROM sale ORDER BY at, invoice_no;
-- Customers of whom only cancellations are known have no order to stand on, but they are customers.
