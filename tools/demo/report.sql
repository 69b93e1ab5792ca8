-- Who the customers are, in at most 40 lines. lang is zh or en.
\pset footer off
\pset border 0
\pset linestyle ascii
SELECT :'lang' = 'zh' AS zh \gset
SET lc_monetary = 'C';
SELECT max(order_at) + interval '1 day' AS as_of FROM shop.purchase \gset
SELECT 1 AS one FROM shop.refit_rfm(:'as_of') \gset
\if :zh
    \set t_customers '客户'
    \set t_buyers '成交客户'
    \set t_orders '有效订单'
    \set t_net '净销售额'
    \set t_average '客单价'
    \set t_repurchase '复购率 %'
    \set t_top '前20%客户的销售占比 %'
    \set t_risk '流失风险客户(6个月未购)'
    \set t_risk_money '其历史消费'
    \set t_segment '人群'
    \set t_count '客户数'
    \set t_spend '消费额'
    \set t_share '占比 %'
    \set t_recency '最近购买(天)'
    \set t_frequency '平均单数'
    \set t_name '客户'
    \set t_last '最近订单'
    \echo '== 店铺概况'
\else
    \set t_customers 'customers'
    \set t_buyers 'with orders'
    \set t_orders 'orders'
    \set t_net 'net sales'
    \set t_average 'average order'
    \set t_repurchase 'repurchase rate %'
    \set t_top 'revenue share of the top 20 % of customers, %'
    \set t_risk 'at risk (nothing for 6 months)'
    \set t_risk_money 'what they spent'
    \set t_segment 'segment'
    \set t_count 'customers'
    \set t_spend 'spend'
    \set t_share 'share %'
    \set t_recency 'days since'
    \set t_frequency 'orders each'
    \set t_name 'customer'
    \set t_last 'last order'
    \echo '== The shop'
\endif
CREATE TEMP TABLE buyer AS
    SELECT r.*, s.last_order_at FROM shop.customer_rfm_at(:'as_of') r JOIN shop.customer_summary s USING (customer_id);
CREATE TEMP TABLE figure AS
    WITH ranked AS (SELECT monetary, row_number() OVER (ORDER BY monetary DESC, customer_id) <= ceil(0.2 * count(*) OVER ()) AS top FROM buyer)
    SELECT (SELECT count(*) FROM shop.customer) AS customers, count(*) AS buyers, sum(frequency)::bigint AS orders, round(sum(monetary), 2) AS net,
           round(sum(monetary) / nullif(sum(frequency), 0), 2) AS average, round(100.0 * count(*) FILTER (WHERE frequency > 1) / count(*), 1) AS repurchase,
           (SELECT round(100 * sum(monetary) FILTER (WHERE top) / nullif(sum(monetary), 0), 1) FROM ranked) AS top,
           count(*) FILTER (WHERE last_order_at < timestamptz :'as_of' - interval '6 months') AS risk,
           coalesce(round(sum(monetary) FILTER (WHERE last_order_at < timestamptz :'as_of' - interval '6 months'), 2), 0) AS risk_money
    FROM buyer;
SELECT customers AS :"t_customers", buyers AS :"t_buyers", orders AS :"t_orders", net AS :"t_net", average AS :"t_average", repurchase AS :"t_repurchase" FROM figure;
SELECT top AS :"t_top", risk AS :"t_risk", risk_money AS :"t_risk_money" FROM figure;
\if :zh
    \echo '== RFM 人群'
\else
    \echo '== RFM segments'
\endif
SELECT segment AS :"t_segment", count(*) AS :"t_count", round(sum(monetary)) AS :"t_spend", round(100 * sum(monetary) / sum(sum(monetary)) OVER (), 1) AS :"t_share",
       round(avg(recency)) AS :"t_recency", round(avg(frequency), 1) AS :"t_frequency"
FROM buyer GROUP BY segment ORDER BY sum(monetary) DESC;
\if :zh
    \echo '== 消费最高的客户(已脱敏)'
\else
    \echo '== Top customers, masked'
\endif
SELECT coalesce(crm.mask_name(c.name), '#' || b.customer_id) AS :"t_name", crm.mask_phone(c.phone) AS phone, b.rfm, b.frequency AS :"t_orders", round(b.monetary, 2) AS :"t_spend", b.last_order_at::date AS :"t_last"
FROM buyer b LEFT JOIN shop.contact c USING (customer_id) ORDER BY b.monetary DESC, b.customer_id LIMIT 3;
\pset tuples_only on
\pset format unaligned
\if :zh
    \echo '== 下一步'
    SELECT format('1. 唤醒 %s 位六个月未购的客户,他们曾消费 %s:先联系消费最高的 %s 位。', risk, risk_money, ceil(risk * 0.2)) FROM figure;
    SELECT format('2. %s 位客户只买过一次:首购后 30 天内发第二单优惠券。', count(*)) FROM buyer WHERE frequency = 1;
    SELECT format('3. 前 20%% 客户贡献 %s%% 的销售:为他们设会员等级与专属服务。', top) FROM figure;
\else
    \echo '== Next'
    SELECT format('1. Win back %s customers who bought nothing for six months and had spent %s: call the best %s first.', risk, risk_money, ceil(risk * 0.2)) FROM figure;
    SELECT format('2. %s customers bought once: send a second-order coupon within 30 days of the first.', count(*)) FROM buyer WHERE frequency = 1;
    SELECT format('3. The top 20 %% bring %s %% of sales: give them tiers and a service of their own.', top) FROM figure;
\endif
