-- The feed of changes: what it says and never says, cursors, consumers, pruning.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SELECT crm.create_store('t_feed');
SET search_path = t_feed, crm, public;

-- Other transactions of the cluster hold the feed back, so wait for their end before reading.
CREATE PROCEDURE pg_temp.settle() LANGUAGE plpgsql AS $$
DECLARE mine xid8;
BEGIN
    mine := (SELECT max(txid) FROM t_feed.change_event);
    COMMIT;
    FOR i IN 1..600 LOOP
        EXIT WHEN mine IS NULL OR mine < pg_snapshot_xmin(pg_current_snapshot());
        COMMIT;
        PERFORM pg_sleep(0.05);
    END LOOP;
END $$;

-- Who watches nothing pays nothing.
INSERT INTO customer (customer_id) VALUES (1);
SELECT count(*) FROM change_event;
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'change_feed%';
SELECT watch_changes('{nothing}');
SELECT watch_changes('{customer_360}');
SELECT watch_changes('{change_event}');
SELECT watch_changes('{customer,contact,identity,purchase,points_entry}');
SELECT * FROM watched_table ORDER BY 1;

INSERT INTO customer (customer_id, region) VALUES (2, 'x'), (3, 'y');
UPDATE customer SET region = 'z', occupation = 'q' WHERE customer_id = 2;
UPDATE customer SET region = region;
INSERT INTO contact (customer_id, name, phone) VALUES (2, '张三', '13812341234');
SELECT set_contact(2, '{"phone": "13899998888"}');
INSERT INTO identity (channel, external_id, customer_id) VALUES ('taobao', 'secret-nick', 2);
INSERT INTO purchase (customer_id, channel, order_no, amount) VALUES (2, 'mall', 'n1', 10), (3, 'mall', 'n2', 20);
UPDATE purchase SET order_no = 'n3' WHERE order_no = 'n2';
DELETE FROM purchase WHERE order_no = 'n1';
SELECT (earn(2, 5, 'test', 'a')).points;
COPY customer (customer_id) FROM stdin;
5
6
\.
BEGIN; INSERT INTO customer (customer_id) VALUES (7); ROLLBACK;
CALL pg_temp.settle();
SELECT table_name, op, customer_id, key, changed FROM change_feed();
-- No value of a person is in it.
SELECT count(*) FROM change_event e WHERE e::text ~ '张三|1381234|1389999|secret';

-- Cursors.
SELECT string_agg(table_name || ' ' || op, ', ') FROM change_feed(NULL, 3);
SELECT cursor AS third FROM change_feed(NULL, 3) OFFSET 2 \gset
SELECT count(*) + 3 = (SELECT count(*) FROM change_feed()) AS rest FROM change_feed(:'third');
SELECT count(*) FROM change_feed('x');
SELECT count(*) FROM change_feed('99999999-1');

-- Consumers.
SELECT count(*) FROM next_changes('erp', 2);
SELECT count(*) FROM next_changes('erp', 2);
SELECT cursor AS second FROM next_changes('erp', 2) OFFSET 1 \gset
SELECT ack_changes('erp', :'second'), ack_changes('erp', :'second');
SELECT table_name, op, key FROM next_changes('erp', 1);
SELECT ack_changes('erp', '999999999-1');
SELECT ack_changes('nobody', :'second');
SELECT reset_changes('late');
SELECT count(*) FROM next_changes('late');
SELECT consumer, waiting, held_back FROM change_lag ORDER BY 1;

-- Pruning keeps what somebody has not acknowledged, unless forced; who missed events is told.
CALL prune_changes('0', as_of => now() + interval '1 minute');
SELECT count(*) FROM change_feed() WHERE cursor = :'second';
SELECT consumer, waiting > 0 AS waiting FROM change_lag ORDER BY 1;
CALL prune_changes('1 day');
SELECT consumer, waiting > 0 AS waiting FROM change_lag ORDER BY 1;
SELECT state FROM health_change_feed();
CALL prune_changes('0', force => true, as_of => now() + interval '1 minute');
SELECT count(*) FROM change_event;
SELECT * FROM next_changes('erp');
SELECT * FROM health_change_feed();
SELECT reset_changes('erp');
SELECT count(*) FROM next_changes('erp');
SELECT state, detail FROM health_change_feed();
SELECT job, state FROM job_progress WHERE job = 'prune_changes';

-- In another cluster transactions count from the beginning.
INSERT INTO change_event (txid, at, table_name, op) VALUES ('900000000000', now(), 'customer', 'truncate'), ('900000000001', now(), 'customer', 'insert');
UPDATE change_consumer SET txid = '900000000000', event_id = 9223372036854775807 WHERE consumer = 'erp';
SELECT state, detail FROM health_change_feed();
SELECT renumber_changes();
INSERT INTO customer (customer_id) VALUES (8);
CALL pg_temp.settle();
SELECT op FROM change_feed();
SELECT op FROM next_changes('erp');
SELECT state FROM health_change_feed();

-- Rights: an application reads and acknowledges; nobody else writes.
CREATE ROLE crm_t_feed_app;
SELECT crm.grant_access('t_feed', 'crm_t_feed_app', 'app');
SET ROLE crm_t_feed_app;
SELECT count(*) FROM t_feed.next_changes('app');
INSERT INTO t_feed.change_event (table_name, op) VALUES ('customer', 'insert');
INSERT INTO t_feed.customer (customer_id) VALUES (9);
RESET ROLE;
SELECT unwatch_changes('{customer,contact,identity,purchase,points_entry}');
SELECT count(*) FROM watched_table;
RESET search_path;
DROP OWNED BY crm_t_feed_app;
SELECT crm.drop_store('t_feed', 't_feed');
DROP ROLE crm_t_feed_app;
