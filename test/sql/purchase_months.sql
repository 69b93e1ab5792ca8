-- The type purchase_months.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
SELECT '{}'::crm.purchase_months, ' { } '::crm.purchase_months, '{2025-01:3:299.5000,2025-12:-1:-0.0001,9999-12:9223372036854775807:922337203685477.5807}'::crm.purchase_months;
-- What is not a value.
SELECT ''::crm.purchase_months;
SELECT '{2025-02:1:1,2025-01:1:1}'::crm.purchase_months;
SELECT '{2025-01:1:1,2025-01:1:1}'::crm.purchase_months;
SELECT '{2025-13:1:1}'::crm.purchase_months;
SELECT '{0000-01:1:1}'::crm.purchase_months;
SELECT '{2025-01:0:0}'::crm.purchase_months;
SELECT '{2025-01:1}'::crm.purchase_months;
SELECT '{2025-01:1:1}x'::crm.purchase_months;
SELECT '{2025-01:1:NaN}'::crm.purchase_months;
SELECT '{2025-01:1:1.00001}'::crm.purchase_months;
SELECT '{2025-01:99999999999999999999:1}'::crm.purchase_months;
SELECT '{2025-01:1:99999999999999999}'::crm.purchase_months;
-- Sums.
SELECT '{2025-01:1:10,2025-03:2:5}'::crm.purchase_months OPERATOR(crm.+) '{2025-02:1:1,2025-03:-2:-5,2025-04:1:7}' AS sum;
SELECT '{2025-01:1:922337203685477.5807}'::crm.purchase_months OPERATOR(crm.+) '{2025-01:1:0.0001}';
SELECT crm.purchase_months('2025-02-28 23:59:59.999999+00', 12.34), crm.purchase_months('0001-01-01 00:00+00', 0), crm.purchase_months('1999-12-31 23:59+00', -5, -1);
SELECT crm.purchase_months('infinity', 1);
SELECT crm.purchase_months('0001-12-31 BC', 1);
SELECT crm.purchase_months('10000-01-01', 1);
SELECT crm.purchase_months_agg(at, spend) FROM (VALUES ('2025-03-01 00:00+00'::timestamptz, 5.5), ('2025-01-31 23:00+00', 1), (NULL, 3), ('2025-03-31 23:59+00', 2), ('2025-02-01+00', NULL)) v (at, spend);
SELECT crm.purchase_months_agg(at, 1) FROM (VALUES (NULL::timestamptz)) v (at);
-- Whole months in a window: (after, until].
SELECT a, u, crm.months_orders(m, a, u), crm.months_spend(m, a, u)
FROM (SELECT '{2025-01:1:1,2025-02:2:20,2025-03:4:300}'::crm.purchase_months AS m) x,
     (VALUES ('-infinity'::timestamptz, 'infinity'::timestamptz), ('2024-12-31 23:59:59.999999+00', '2025-03-31 23:59:59.999999+00'),
             ('2025-01-01+00', '2025-03-31 23:59:59.999998+00'), ('2025-02-01+00', '2025-02-28+00')) w (a, u);
SELECT * FROM crm.month_buckets('{2025-01:1:1,2025-02:2:20.25}');
-- Every month of the calendar goes through and back.
SELECT count(*), count(*) FILTER (WHERE b.month = date_trunc('month', m)::date) AS same
FROM generate_series('0001-01-15 00:00+00'::timestamptz, '9999-12-15 00:00+00', '1 month') m, crm.month_buckets(crm.purchase_months(m, 1)) b;
SET search_path = public, crm;
-- Order, equality, hashing, binary form.
SELECT m, count(*) FROM (VALUES ('{2025-01:1:1}'::crm.purchase_months), ('{2025-01:1:1.0}'), ('{}')) v (m) GROUP BY m ORDER BY m;
SELECT '{2025-01:1:1}'::crm.purchase_months = '{2025-01:1:1.00}' AS eq, '{}'::crm.purchase_months <> '{2025-01:1:1}' AS ne, '{}'::crm.purchase_months < '{2025-01:1:1}' AS lt;
SELECT encode(crm.purchase_months_send('{2025-01:3:299.5,2025-02:-1:0}'), 'hex');
CREATE TEMP TABLE t (m crm.purchase_months);
INSERT INTO t SELECT crm.purchase_months_agg('2020-01-01 00:00+00'::timestamptz + i * interval '17 days', i * 1.0001) FROM generate_series(1, 400) i;
-- Binary COPY through a file, and bytes that are not a value.
COPY t TO PROGRAM 'cat > crm_purchase_months.bin' (FORMAT binary);
CREATE TEMP TABLE u (LIKE t);
COPY u FROM PROGRAM 'cat crm_purchase_months.bin; rm crm_purchase_months.bin' (FORMAT binary);
SELECT t.m = u.m AS same, cardinality(array(SELECT crm.month_buckets(u.m))) FROM t, u;
COPY u FROM PROGRAM $$printf 'PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\1\0\0\0\3\0\1\0\377\377'$$ (FORMAT binary);
COPY u FROM PROGRAM $$printf 'PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\1\0\0\0\6\0\1\1\2\2\0\377\377'$$ (FORMAT binary);
COPY u FROM PROGRAM $$printf 'PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\1\0\0\0\6\0\1\220\3\0\0\377\377'$$ (FORMAT binary);
COPY u FROM PROGRAM $$printf 'PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\1\0\0\0\2\1\0\377\377'$$ (FORMAT binary);
COPY u FROM PROGRAM $$printf 'PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\1\0\0\0\3\0\200\0\377\377'$$ (FORMAT binary);
SELECT count(*) FROM u;
