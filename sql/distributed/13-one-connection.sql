-- What writes to tables of every node after it has read or written shards needs one connection a node from the start.
-- In a script Citus would send the text of the whole script on, so not as statements of their own.
DO $do$
DECLARE
    f record;
BEGIN
    FOR f IN
        SELECT p.oid::regprocedure AS routine FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = (SELECT k.relnamespace FROM pg_catalog.pg_class k WHERE k.oid = 'customer'::regclass)
          AND p.proname IN ('install_preset', 'cancel_campaign', 'add_event_partition', 'open_draw', 'close_draw', 'cancel_draw', 'run_draw', 'hand_prize')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET citus.multi_shard_modify_mode = ''sequential''', f.routine);
    END LOOP;
END
$do$;
