-- The feed of a part: a reader is where it is in this part.
DO $do$
BEGIN
    EXECUTE format('CREATE OR REPLACE VIEW change_consumer AS
                    SELECT c.consumer, coalesce(p.txid, ''0''::xid8) AS txid, coalesce(p.event_id, 0) AS event_id, c.made_at, c.acked_at, c.missed
                    FROM %s c LEFT JOIN %s p ON p.consumer = c.consumer AND p.part = %L', shard_of('change_consumer'), shard_of('change_position'), part_number());
END
$do$;

CREATE FUNCTION prune_part(keep interval, force boolean, as_of timestamptz, batch integer, OUT n bigint, OUT txid xid8)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    WITH old AS (
        SELECT e.txid, e.event_id FROM change_event e
        WHERE e.txid < pg_snapshot_xmin(pg_current_snapshot()) AND e.at < as_of - keep
          AND (force OR NOT EXISTS (SELECT FROM change_consumer c WHERE NOT c.missed AND (c.txid, c.event_id) < (e.txid, e.event_id)))
        ORDER BY e.txid, e.event_id LIMIT batch),
    gone AS (DELETE FROM change_event e USING old o WHERE (e.txid, e.event_id) = (o.txid, o.event_id) RETURNING e.txid)
    SELECT count(*), max(g.txid) INTO n, txid FROM gone g;
END
$$;
COMMENT ON FUNCTION prune_part(interval, boolean, timestamptz, integer) IS 'prune_some_changes in this part: how many events went, and the last of their transactions';
