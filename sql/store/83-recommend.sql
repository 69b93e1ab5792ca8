-- What goes with what, and what to offer next.

CREATE TABLE product (
    product text PRIMARY KEY,
    title text,
    category text,
    price numeric(16,4) CHECK (price >= 0),
    in_stock boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE product IS 'what is known of products; a product that is not here counts as in stock';

CREATE TABLE affinity_state (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    learned_until timestamptz NOT NULL DEFAULT '-infinity',
    baskets bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE affinity_state IS 'up to when orders were learned, and how many';

CREATE TABLE product_count (
    product text PRIMARY KEY,
    baskets bigint NOT NULL
);
COMMENT ON TABLE product_count IS 'in how many baskets each product was';

CREATE INDEX product_count_often ON product_count (baskets DESC, product);

CREATE TABLE product_pair (
    product text NOT NULL,
    other text NOT NULL,
    baskets bigint NOT NULL,
    PRIMARY KEY (product, other)
);
CREATE INDEX product_pair_often ON product_pair (product) INCLUDE (other, baskets) WHERE baskets > 1;
COMMENT ON TABLE product_pair IS 'in how many baskets two products were together; each pair stands both ways';

ALTER TABLE settings ADD COLUMN basket_limit integer NOT NULL DEFAULT 50 CHECK (basket_limit > 1);
COMMENT ON COLUMN settings.basket_limit IS 'an order with more products than this is no basket: bulk orders say little and cost much';

CREATE FUNCTION count_baskets(since timestamptz, until timestamptz) RETURNS TABLE (product text, other text, baskets bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH line AS MATERIALIZED (
        SELECT l.basket, l.product
        FROM (SELECT dense_rank() OVER (ORDER BY i.customer_id, i.channel, i.order_no) AS basket, i.product,
                     count(*) OVER (PARTITION BY i.customer_id, i.channel, i.order_no) AS products
              FROM purchase p JOIN purchase_item i USING (customer_id, channel, order_no)
              WHERE p.order_at > count_baskets.since AND p.order_at <= count_baskets.until
              GROUP BY i.customer_id, i.channel, i.order_no, i.product) l
        WHERE l.products <= (SELECT s.basket_limit FROM settings s)
    )
    SELECT NULL, NULL, count(DISTINCT l.basket) FROM line l
    UNION ALL
    SELECT l.product, NULL, count(*) FROM line l GROUP BY l.product
    UNION ALL
    SELECT a.product, b.product, count(*) FROM line a JOIN line b ON b.basket = a.basket AND b.product <> a.product GROUP BY a.product, b.product;
END;
COMMENT ON FUNCTION count_baskets(timestamptz, timestamptz) IS
'in how many orders of a time each product was, each with each other, and without a product how many orders there were; those of more products than settings.basket_limit are left out';

CREATE FUNCTION learn_baskets(as_of timestamptz DEFAULT now(), again boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    last timestamptz;
    learned bigint;
BEGIN
    INSERT INTO affinity_state DEFAULT VALUES ON CONFLICT DO NOTHING;
    IF again THEN
        DELETE FROM product_pair;
        DELETE FROM product_count;
        UPDATE affinity_state SET learned_until = '-infinity', baskets = 0;
    END IF;
    SELECT s.learned_until INTO last FROM affinity_state s FOR UPDATE;
    CREATE TEMP TABLE basket_count ON COMMIT DROP AS SELECT n.product, n.other, n.baskets FROM count_baskets(last, as_of) n;
    SELECT n.baskets INTO learned FROM pg_temp.basket_count n WHERE n.product IS NULL;
    INSERT INTO product_count AS c (product, baskets)
        SELECT n.product, n.baskets FROM pg_temp.basket_count n WHERE n.product IS NOT NULL AND n.other IS NULL
        ON CONFLICT (product) DO UPDATE SET baskets = c.baskets + excluded.baskets;
    INSERT INTO product_pair AS c (product, other, baskets)
        SELECT n.product, n.other, n.baskets FROM pg_temp.basket_count n WHERE n.other IS NOT NULL
        ON CONFLICT (product, other) DO UPDATE SET baskets = c.baskets + excluded.baskets;
    UPDATE affinity_state SET learned_until = as_of, baskets = affinity_state.baskets + learned;
    DROP TABLE pg_temp.basket_count;
    RETURN learned;
END
$$;
COMMENT ON FUNCTION learn_baskets(timestamptz, boolean) IS
'adds the orders since the last call to the counts of product_count and product_pair; again => true counts from the beginning, which also takes in orders that came late or changed. The number of baskets learned';

CREATE VIEW product_affinity AS
SELECT p.product, p.other, p.baskets AS together, a.baskets AS with_product, b.baskets AS with_other,
       round((p.baskets::numeric * s.baskets / (a.baskets::numeric * b.baskets)), 2) AS lift,
       log_likelihood_ratio(p.baskets, a.baskets - p.baskets, b.baskets - p.baskets, s.baskets - a.baskets - b.baskets + p.baskets) AS llr
FROM product_pair p
JOIN product_count a ON a.product = p.product
JOIN product_count b ON b.product = p.other
CROSS JOIN affinity_state s;
COMMENT ON VIEW product_affinity IS 'how surely two products are bought together: llr is the log-likelihood ratio (T. Dunning, 1993), lift how many times as often as by chance';

CREATE FUNCTION recommend(customer_id bigint, n integer DEFAULT 10, exclude_owned boolean DEFAULT true, as_of timestamptz DEFAULT now())
RETURNS TABLE (product text, score double precision, because text)
LANGUAGE sql STABLE
SET jit = off
BEGIN ATOMIC
    WITH state AS (SELECT s.baskets::double precision + 1 AS baskets FROM affinity_state s),
    owned AS MATERIALIZED (
        SELECT i.product, max(p.order_at) AS last_at, count(DISTINCT (p.channel, p.order_no))::double precision AS times
        FROM purchase p JOIN purchase_item i USING (customer_id, channel, order_no)
        WHERE p.customer_id = recommend.customer_id AND p.order_at <= recommend.as_of
        GROUP BY i.product),
    recent AS MATERIALIZED (SELECT o.product FROM owned o ORDER BY o.last_at DESC, o.times DESC, o.product LIMIT 30),
    related AS (
        -- Only pairs that go together more often than by chance, of strength above chance at 0.1 %.
        SELECT a.other AS product, sum(a.together::double precision / a.with_product) AS score, (array_agg(a.product ORDER BY a.llr DESC))[1] AS because
        FROM recent r JOIN product_affinity a ON a.product = r.product
        WHERE a.together > 1 AND a.llr > 10.83 AND a.lift > 1
        GROUP BY a.other),
    again AS (
        SELECT o.product, o.times / (5 + (SELECT count(*) FROM purchase p WHERE p.customer_id = recommend.customer_id AND p.order_at <= recommend.as_of)) AS score
        FROM owned o WHERE NOT exclude_owned),
    popular AS (
        SELECT k.product, k.baskets / state.baskets AS score FROM product_count k, state ORDER BY k.baskets DESC, k.product
        LIMIT recommend.n + (SELECT count(*) FROM owned)),
    candidate AS (
        SELECT v.product, sum(v.score) AS score, max(v.because) AS because
        FROM (SELECT r.product, r.score / (SELECT count(*) FROM recent), r.because FROM related r
              UNION ALL SELECT g.product, g.score, g.product FROM again g
              UNION ALL SELECT p.product, p.score, NULL FROM popular p) v (product, score, because)
        GROUP BY v.product)
    SELECT c.product, c.score, c.because
    FROM candidate c
    LEFT JOIN product d ON d.product = c.product
    WHERE coalesce(d.in_stock, true) AND NOT (exclude_owned AND EXISTS (SELECT FROM owned o WHERE o.product = c.product))
    ORDER BY c.score DESC, c.product
    LIMIT recommend.n;
END;
COMMENT ON FUNCTION recommend(bigint, integer, boolean, timestamptz) IS
'products to offer a customer, in stock only. The score estimates how likely the next order holds it: the mean over the last 30 products bought of the share of baskets with that product that hold this one too (pairs whose log-likelihood ratio is above chance), what the customer buys again (exclude_owned => false), and how often anybody buys it. because is the product bought that speaks for it, null for a popular one';

CREATE FUNCTION next_category(customer_id bigint, n integer DEFAULT 3, as_of timestamptz DEFAULT now())
RETURNS TABLE (category text, score double precision)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT d.category, sum(r.score) FROM recommend(next_category.customer_id, 50, true, as_of) r JOIN product d USING (product)
    WHERE d.category IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT next_category.n;
END;
COMMENT ON FUNCTION next_category(bigint, integer, timestamptz) IS 'categories of the products that recommend would offer, the best first';

-- What the columns without a word above are.
COMMENT ON COLUMN product.product IS 'the product''s number, as in purchase_item';
COMMENT ON COLUMN product.title IS 'its name';
COMMENT ON COLUMN product.category IS 'its category';
COMMENT ON COLUMN product.price IS 'its price, in the store''s currency';
COMMENT ON COLUMN product.in_stock IS 'false: not recommended';
COMMENT ON COLUMN affinity_state.singleton IS 'always true: there is one row';
COMMENT ON COLUMN affinity_state.learned_until IS 'orders up to this moment are counted';
COMMENT ON COLUMN affinity_state.baskets IS 'orders counted';
COMMENT ON COLUMN product_count.product IS 'the product';
COMMENT ON COLUMN product_count.baskets IS 'orders that it was in';
COMMENT ON COLUMN product_pair.product IS 'the product';
COMMENT ON COLUMN product_pair.other IS 'the product with it';
COMMENT ON COLUMN product_pair.baskets IS 'orders that both were in';
