-- What asks the parts does so as the owner of the store: who may read what it is made of, or write what it writes, may call it, and nobody else.
DO $do$
DECLARE
    f record;
    role record;
BEGIN
    FOR f IN
        SELECT p.oid::regprocedure AS routine, p.proname, v.relation, v.privilege
        FROM (SELECT w.*, 'SELECT' AS privilege FROM (VALUES ('customer_360_at', 'customer_360'), ('value_ranking', 'customer_360'), ('buyer_rfm_values', 'customer_360'), ('customer_rfm_at', 'customer_360'),
                     ('buyer_history', 'customer_360'), ('customer_value', 'customer_360'), ('points_leaderboard', 'points_entry'), ('game_leaderboard', 'game_play'),
                     ('activity_leaderboard', 'activity_member'), ('points_verify_since', 'points_checkpoint_leaf'), ('points_verify_checkpoints', 'points_checkpoint_leaf'),
                     ('points_proof', 'points_checkpoint_leaf'), ('points_verify_rows', 'points_entry'), ('points_expiring', 'points_entry'), ('tier_warning', 'customer_360'), ('lifecycle_matrix', 'customer_360'),
                     ('customer_lifecycle_at', 'customer_360'), ('campaign_counts', 'campaign_report'), ('count_baskets', 'product_pair'), ('activity_report', 'activity_member'),
                     ('tier_at', 'tier_change'), ('tier_benefits', 'tier_member'), ('growth_between', 'points_entry'), ('tier_progress', 'customer_360'),
                     ('benefit_period_start', 'tier_member'), ('price_for', 'tier_member'),
                     ('change_feed', 'change_event'), ('change_lag_rows', 'change_lag')) w (name, relation)
              UNION ALL VALUES ('claim_outbox', 'outbox', 'UPDATE'), ('sent_outbox', 'outbox', 'UPDATE'), ('escalate_tickets', 'ticket', 'UPDATE'), ('plan_follow_ups', 'follow_up', 'INSERT'),
                     ('failed_outbox', 'outbox', 'UPDATE'), ('outbox_event', 'outbox', 'UPDATE'),
                     ('claim_follow_ups', 'follow_up', 'UPDATE'), ('care_due', 'care_greeting', 'INSERT'),
                     -- Citus asks for the right to write a table that the key of a changed one names.
                     ('join_community', 'community_member', 'INSERT'), ('leave_community', 'community_member', 'UPDATE'), ('record_community_activity', 'community_activity', 'INSERT')) v
        JOIN pg_catalog.pg_proc p ON p.proname = v.name AND p.pronamespace = (SELECT k.relnamespace FROM pg_catalog.pg_class k WHERE k.oid = 'customer'::regclass)
    LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER', f.routine);
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f.routine);
        FOR role IN
            SELECT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END AS name
            FROM pg_catalog.pg_class k CROSS JOIN LATERAL aclexplode(k.relacl) x
            WHERE k.oid = f.relation::regclass AND x.privilege_type = f.privilege
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', f.routine, role.name);
        END LOOP;
        INSERT INTO access_rule (kind, object_type, object, privilege)
        SELECT DISTINCT r.kind, 'routine', f.proname, 'EXECUTE' FROM access_rule r
        WHERE r.object_type = 'table' AND r.object = f.relation AND r.privilege LIKE f.privilege || '%'
        ON CONFLICT DO NOTHING;
    END LOOP;
END
$do$;
