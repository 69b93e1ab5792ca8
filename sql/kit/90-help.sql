-- Help at the prompt, read from the catalogs: SELECT * FROM crm.help('points').

CREATE FUNCTION help_topics() RETURNS TABLE (topic text, about text, verbs text[])
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT t.topic, t.about, string_to_array(t.verbs, ' ')
    FROM (VALUES
        ('stores', 'making, naming and looking after stores 店铺', 'create_store drop_store rename_store adopt_store upgrade_store grant_access revoke_access health repair_triggers'),
        ('customers', 'finding people and their archive 客户档案', 'find_or_create_customer find_or_create_customers search_contact set_contact timeline find_customer customer_360_at describe_columns'),
        ('orders', 'orders in, sums right 订单', 'capture_orders release_orders import_orders recount_customers set_currency_rate summary_window source_tree add_event_partition shop_date'),
        ('tags', 'tags and groups 标签', 'tag_customer untag_customer tag_customers untag_customers put_tag count_tags audience_of tag_members merge_tags rename_tag expire_tags fold_tag_audience check_tag_audience recount_tag_audience all_customers'),
        ('points', 'points and growth value 积分', 'earn redeem hold capture release refund restore mature adjust transfer convert post_points points_balance_at points_expiring expire_points mature_points check_in invited_by settle_invitations earn_for points_leaderboard redeem_reward cancel_reward'),
        ('ledger', 'proving the points ledger 积分账本', 'points_verify points_checkpoint points_proof points_verify_checkpoints points_verify_since'),
        ('tiers', 'membership tiers 会员等级', 'install_preset evaluate_tiers grant_tier lock_tier tier_at tier_progress tier_warning tier_benefits use_benefit price_for return_until'),
        ('value', 'RFM, lifetime value, churn 客户价值', 'refit_rfm customer_rfm_at refit_value_models customer_value churn_warning refit_value_classes value_ranking buyer_history model_check customer_lifecycle_at record_lifecycle lifecycle_matrix refit_lifecycle'),
        ('segments', 'segments and tags by rule 人群', 'segment_members segment_size segment_difference freeze_segment apply_tag_rules matches_rule'),
        ('privacy', 'masks, clear values, rights of the person 隐私', 'mask_column apply_masks check_masks reveal set_reveal_limit access_report export_customer erase_customer erasure_receipts replay_erasures restrict_customer apply_retention check_privacy'),
        ('consent', 'who may be written to 授权', 'give_consent withdraw_consent may_contact contact_refusal contactable'),
        ('service', 'chats, tickets, follow-ups 客服', 'record_interaction open_ticket assign_ticket move_ticket rate_ticket escalate_tickets plan_follow_ups plan_follow_up claim_follow_ups finish_follow_up release_follow_up cancel_follow_up add_working_time response_report'),
        ('surveys', 'satisfaction 满意度', 'publish_survey copy_survey submit_survey close_survey csat nps csat_by nps_by'),
        ('care', 'birthdays, holidays, communities 关怀', 'care_due care_occasions holiday_date join_community leave_community record_community_activity'),
        ('coupons', 'coupons 优惠券', 'issue_coupon claim_coupon lock_coupon redeem_coupon return_coupon expire_coupons coupon_discount'),
        ('campaigns', 'campaigns, messages, automation 营销活动', 'freeze_campaign launch_campaign cancel_campaign campaign_effect queue_message render_message tell_orders tell_order claim_outbox sent_outbox failed_outbox outbox_event start_automations run_automations'),
        ('activities', 'draws, games, courses 抽奖, 互动, 课程', 'open_draw enter_draw close_draw run_draw draw_export hand_prize cancel_draw play_game game_leaderboard join_activity attend_activity leave_activity activity_report activity_leaderboard earn_event'),
        ('recommendation', 'what to offer next 推荐', 'learn_baskets recommend next_category'),
        ('duplicates', 'one person, one customer 去重合并', 'find_duplicates decide_duplicate merge_customers undo_merge confirm_contact'),
        ('exchange', 'files in and out, the feed of changes 数据交换', 'import_file read_import import_orders export_csv export_clear export_store import_store watch_changes unwatch_changes change_feed next_changes ack_changes reset_changes renumber_changes prune_changes'),
        ('reports', 'figures and the report page 报表', 'report_html report_svg category_forecast access_report')
    ) t (topic, about, verbs);
END;
COMMENT ON FUNCTION help_topics() IS 'the topics of crm.help() and the verbs of each';

CREATE FUNCTION help_example(routine regprocedure) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p pg_proc;
    arguments text;
    call text;
BEGIN
    SELECT * INTO p FROM pg_proc f WHERE f.oid = routine;
    -- What has to be given, each with a value of its kind.
    SELECT string_agg(format('%I => %s', a.name, coalesce(
               CASE WHEN a.type = 'bigint' AND a.name = 'to_customer_id' THEN '43'
                    WHEN a.name IN ('points', 'max_rows') THEN '100'
                    WHEN a.type IN ('bigint', 'integer', 'smallint') THEN '42'
                    WHEN a.type IN ('numeric', 'double precision') THEN '99.50' END,
               CASE a.name WHEN 'program' THEN '''points''' WHEN 'from_program' THEN '''points''' WHEN 'to_program' THEN '''growth''' WHEN 'tag' THEN '''vip''' WHEN 'old_tag' THEN '''vip'''
                           WHEN 'new_tag' THEN '''gold customer''' WHEN 'tags' THEN '''{vip}''' WHEN 'segment' THEN '''vip''' WHEN 'tier' THEN '''gold''' WHEN 'purpose' THEN '''marketing'''
                           WHEN 'channel' THEN '''sms''' WHEN 'field' THEN '''phone''' WHEN 'preset' THEN '''textbook''' WHEN 'store' THEN '''shop''' WHEN 'kind' THEN '''agent'''
                           WHEN 'source' THEN CASE a.type WHEN 'text' THEN '''till''' END WHEN 'reference' THEN '''receipt 1001''' WHEN 'earn_reference' THEN '''receipt 1001''' WHEN 'redeem_reference' THEN '''receipt 1001''' WHEN 'hold_reference' THEN '''receipt 1001''' WHEN 'mapping' THEN CASE a.type WHEN 'text' THEN '''shopify_customers''' END
                           WHEN 'query' THEN '''vip & !churned''' WHEN 'consumer' THEN '''warehouse''' WHEN 'cursor' THEN '''742-1093''' WHEN 'fields' THEN '''{"phone": "13812341234"}''' END,
               CASE a.type WHEN 'text' THEN '''…''' WHEN 'name' THEN '''…''' WHEN 'text[]' THEN '''{…}''' WHEN 'bigint[]' THEN '''{42}''' WHEN 'integer[]' THEN '''{42}''' WHEN 'boolean' THEN 'true' WHEN 'date' THEN 'current_date'
                           WHEN 'timestamp with time zone' THEN 'now()' WHEN 'interval' THEN '''1 month''' WHEN 'jsonb' THEN '''{}''' WHEN 'bytea' THEN '''\x''' WHEN 'regclass' THEN '''…''::regclass'
                           WHEN 'crm.audience' THEN '''{42,43}''' WHEN 'crm.tagquery' THEN '''vip & !churned''' WHEN 'crm.rule' THEN '''spend_12m >= 500''' END,
               'NULL')), ', ' ORDER BY a.n)
        INTO arguments
    FROM (SELECT u.n, p.proargnames[u.n] AS name, format_type(u.type, NULL) AS type
          FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY u (type, n) WHERE u.n <= p.pronargs - p.pronargdefaults) a;
    call := format('%s(%s)', p.oid::regproc, coalesce(arguments, ''));
    RETURN CASE WHEN p.prokind = 'p' THEN 'CALL ' WHEN p.proretset OR p.prorettype = 'record'::regtype
                  OR EXISTS (SELECT FROM pg_type t WHERE t.oid = p.prorettype AND t.typtype = 'c') THEN 'SELECT * FROM ' ELSE 'SELECT ' END || call || ';';
END
$$;
COMMENT ON FUNCTION help_example(regprocedure) IS 'a call of a routine with what it must be given';

CREATE FUNCTION help(topic text DEFAULT NULL, store text DEFAULT NULL)
RETURNS TABLE (name text, what text, example text, signature text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    place oid;
    t record;
BEGIN
    IF help.topic IS NULL THEN
        RETURN QUERY SELECT h.topic, h.about, format('SELECT * FROM crm.help(%L);', h.topic), format('%s verbs', cardinality(h.verbs)) FROM crm.help_topics() h;
        RETURN;
    END IF;
    -- The store named, else the first.
    SELECT n.oid INTO place
    FROM pg_namespace n JOIN crm.stores() s ON s.name = n.nspname
    WHERE n.nspname = help.store OR help.store IS NULL
    ORDER BY n.nspname::text LIMIT 1;
    IF help.store IS NOT NULL AND place IS NULL THEN
        PERFORM crm.require_store(help.store);
    END IF;
    SELECT h.* INTO t FROM crm.help_topics() h WHERE h.topic = lower(btrim(help.topic));
    IF NOT FOUND AND NOT EXISTS (SELECT FROM pg_proc p WHERE p.proname = lower(btrim(help.topic)) AND p.pronamespace IN ('crm'::regnamespace, place)) THEN
        RAISE EXCEPTION 'there is no topic or verb "%"', help.topic
            USING ERRCODE = 'undefined_object', HINT = 'SELECT * FROM crm.help() lists the topics.';
    END IF;
    RETURN QUERY
    SELECT p.proname::text, obj_description(p.oid, 'pg_proc'), crm.help_example(p.oid),
           format('%s(%s)%s', p.oid::regproc, pg_get_function_arguments(p.oid), ' returns ' || pg_get_function_result(p.oid))
    FROM unnest(coalesce(t.verbs, ARRAY[lower(btrim(help.topic))])) WITH ORDINALITY v (verb, n)
    JOIN pg_proc p ON p.proname = v.verb AND p.pronamespace IN ('crm'::regnamespace, place) AND p.prorettype <> 'trigger'::regtype
    ORDER BY v.n, p.pronargs, p.oid;
END
$$;
COMMENT ON FUNCTION help(text, text) IS
'the verbs of a topic, or one verb, with comment, example and signature, as the catalogs have them; no argument lists the topics. store is whose verbs, when there are several. Errors: 42704 neither topic nor verb';
