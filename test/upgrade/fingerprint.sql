-- What must be the same before and after: the data, sums, tags, masks, and the ledger's own check.
SELECT 'summary', md5(string_agg(s::text, E'\n' ORDER BY s.customer_id)) FROM shop.customer_summary s;
SELECT 'purchase', md5(string_agg(p::text, E'\n' ORDER BY p.order_no)) FROM shop.purchase p;
SELECT 'entries', count(*), md5(string_agg(e::text, E'\n' ORDER BY e.customer_id, e.program, e.seq)) FROM shop.points_entry e;
SELECT 'accounts', md5(string_agg(a::text, E'\n' ORDER BY a.customer_id, a.program)) FROM shop.points_account a;
SELECT 'tags', md5(string_agg(c.customer_id || c.tags::text, E'\n' ORDER BY c.customer_id)) FROM shop.customer c;
SET search_path = shop, crm, pg_temp;
SELECT 'tagged', count(*) FROM customer WHERE tags @@ 'channel:mall & !区域:3';
SET search_path = DEFAULT;
SELECT 'contact', name, phone FROM shop.contact_masked ORDER BY customer_id;
SELECT 'recount', count(*) FROM shop.recount_customers();
SELECT 'ledger', count(*) FROM shop.points_verify();
SELECT 'checkpoint', count(*) FROM shop.points_verify_checkpoints();
