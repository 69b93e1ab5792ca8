-- The tables of the ledger that only grow. Their triggers fire always, so under the replica role too.

DO $points$
DECLARE
    grows text;
BEGIN
    FOREACH grows IN ARRAY '{points_entry,points_start,points_entry_archive,points_checkpoint,points_checkpoint_leaf}'::text[]
    LOOP
        EXECUTE format('CREATE TRIGGER points_immutable_row BEFORE UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION crm.points_immutable()', grows);
        EXECUTE format('CREATE TRIGGER points_immutable_statement BEFORE UPDATE OR DELETE OR TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION crm.points_immutable()', grows);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER points_immutable_row, ENABLE ALWAYS TRIGGER points_immutable_statement', grows);
    END LOOP;
END
$points$;
