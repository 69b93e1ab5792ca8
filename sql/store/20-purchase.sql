-- Orders and what they add up to.

CREATE TABLE customer_summary (
    customer_id bigint PRIMARY KEY REFERENCES customer,
    order_count bigint NOT NULL DEFAULT 0,
    spend_total numeric NOT NULL DEFAULT 0,
    refunded_total numeric NOT NULL DEFAULT 0,
    discount_total numeric NOT NULL DEFAULT 0,
    cost_total numeric NOT NULL DEFAULT 0,
    first_order_at timestamptz,
    last_order_at timestamptz
) WITH (fillfactor = 75);
COMMENT ON TABLE customer_summary IS 'what a customer''s purchases add up to; kept exact by the triggers of purchase';

CREATE TABLE purchase (
    customer_id bigint NOT NULL REFERENCES customer_summary,
    channel text NOT NULL DEFAULT 'mall',
    order_no text NOT NULL,
    status text NOT NULL DEFAULT 'paid'
        CHECK (status IN ('pending', 'paid', 'shipped', 'completed', 'cancelled', 'refunded')),
    amount numeric(16,4) NOT NULL CHECK (amount >= 0),
    refunded numeric(16,4) NOT NULL DEFAULT 0,
    freight numeric(16,4) NOT NULL DEFAULT 0 CHECK (freight >= 0),
    discount numeric(16,4) NOT NULL DEFAULT 0 CHECK (discount >= 0),
    cost numeric(16,4) CHECK (cost >= 0),
    source text REFERENCES source,
    ordered_at timestamptz NOT NULL DEFAULT now(),
    paid_at timestamptz,
    shipped_at timestamptz,
    completed_at timestamptz,
    order_at timestamptz GENERATED ALWAYS AS (
        CASE WHEN status IN ('paid', 'shipped', 'completed') AND (refunded < amount OR amount = 0)
             THEN coalesce(paid_at, ordered_at) END) STORED,
    net numeric GENERATED ALWAYS AS (
        CASE WHEN status IN ('paid', 'shipped', 'completed') THEN amount - refunded ELSE 0 END) STORED,
    PRIMARY KEY (customer_id, channel, order_no),
    CONSTRAINT purchase_order_no UNIQUE (channel, order_no),
    CONSTRAINT purchase_refunded CHECK (refunded BETWEEN 0 AND amount)
);
COMMENT ON TABLE purchase IS 'orders. Spend is net, counted at order_at; unpaid, cancelled and fully refunded orders count nothing';
COMMENT ON COLUMN purchase.amount IS 'paid for the goods, without freight, in the store''s currency';
COMMENT ON COLUMN purchase.refunded IS 'given back of amount so far; kept by purchase_refund where that is used';
COMMENT ON COLUMN purchase.order_at IS 'the moment it counts as an order: paid_at, else ordered_at; null while it does not count';
COMMENT ON COLUMN purchase.net IS 'what it adds to spend: amount - refunded, 0 while it does not count';

CREATE TABLE purchase_item (
    customer_id bigint NOT NULL,
    channel text NOT NULL,
    order_no text NOT NULL,
    line integer NOT NULL,
    product text NOT NULL,
    category text,
    quantity numeric(16,4) NOT NULL DEFAULT 1 CHECK (quantity > 0),
    amount numeric(16,4) NOT NULL CHECK (amount >= 0),
    cost numeric(16,4) CHECK (cost >= 0),
    PRIMARY KEY (customer_id, channel, order_no, line),
    FOREIGN KEY (customer_id, channel, order_no) REFERENCES purchase ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE purchase_item IS 'lines of an order';

CREATE TABLE purchase_refund (
    customer_id bigint NOT NULL,
    channel text NOT NULL,
    order_no text NOT NULL,
    refund_no text NOT NULL,
    line integer,
    amount numeric(16,4) NOT NULL CHECK (amount > 0),
    reason text,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (customer_id, channel, order_no, refund_no),
    FOREIGN KEY (customer_id, channel, order_no) REFERENCES purchase ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE purchase_refund IS 'money given back on an order, whole or for one line: the source of purchase.refunded';
