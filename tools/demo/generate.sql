-- A Chinese shop of two years, the same at every run: 3,000 customers, about 17,000 orders, four channels, refunds.
CREATE TEMP TABLE order_file AS
WITH const AS (
    SELECT string_to_array('王,李,张,刘,陈,杨,赵,黄,周,吴,徐,孙,胡,朱,高,林,何,郭,马,罗,欧阳,司马,诸葛,上官', ',') AS surname,
           string_to_array('伟,芳,娜,秀英,敏,静,丽,强,磊,军,洋,勇,艳,杰,娟,涛,明,超,秀兰,霞,平,刚,桂英,子涵,梓萱,浩然,雨桐', ',') AS given,
           string_to_array('taobao,tmall,mall,douyin,pos', ',') AS channel
), person AS (
    SELECT i, crm.demo_draw(i, 1) AS loyal, crm.demo_draw(i, 2) AS worth, crm.demo_draw(i, 3) AS since
    FROM generate_series(1, 3000) i
), visit AS (
    -- Loyal people come often; a third stops for good at a day of their own.
    SELECT p.i, n, p.worth,
           (timestamptz '2024-01-01 00:00+08' + (p.since ^ 2 * 640 + (n - 1) * (20 + 200 * (1 - p.loyal)) * (0.5 + crm.demo_draw(p.i, 100 + n))) * interval '1 day') AS at
    FROM person p, generate_series(1, 1 + floor(24 * p.loyal ^ 3)::int) n
), sale AS (
    SELECT v.*, row_number() OVER (ORDER BY v.at, v.i, v.n) AS no,
           round((30 + 900 * v.worth ^ 4 * (0.4 + crm.demo_draw(v.i, 200 + v.n)))::numeric, 2) AS amount,
           crm.demo_draw(v.i, 300 + v.n) AS fate
    FROM visit v WHERE v.at < timestamptz '2026-01-01 00:00+08' AND v.at::date < date '2024-03-01' + (700 * crm.demo_draw(v.i, 4) * 3)::int
)
SELECT 'C' || lpad(s.i::text, 5, '0') AS customer,
       'SN' || to_char(s.at, 'YYYYMMDD') || lpad(s.no::text, 6, '0') AS order_no,
       to_char(s.at, 'YYYY-MM-DD HH24:MI:SSOF') AS ordered_at,
       s.amount::text AS amount,
       CASE WHEN s.fate > 0.97 THEN s.amount WHEN s.fate > 0.93 THEN round(s.amount * 0.4, 2) ELSE 0 END::text AS refunded,
       c.channel[1 + floor(5 * crm.demo_draw(s.i, 5 + s.n % 2))::int] AS channel,
       CASE WHEN s.fate < 0.02 THEN 'cancelled' WHEN s.fate < 0.03 THEN 'pending' ELSE 'completed' END AS status,
       c.surname[1 + floor(24 * crm.demo_draw(s.i, 8))::int] || c.given[1 + floor(27 * crm.demo_draw(s.i, 9))::int] AS name,
       '1' || (ARRAY['38', '39', '50', '86', '88', '77'])[1 + floor(6 * crm.demo_draw(s.i, 10))::int]
           || lpad(floor(1e8 * crm.demo_draw(s.i, 11))::bigint::text, 8, '0') AS phone,
       NULL::text AS email
FROM sale s, const c
ORDER BY s.at, s.i;
