-- Triggers that the store makes when they are first wanted: on all shards, where they call the functions of the part.

CREATE FUNCTION make_triggers(query text) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    unsafe text := current_setting('citus.enable_unsafe_triggers');
    held bigint[];
BEGIN
    PERFORM set_config('citus.enable_unsafe_triggers', 'on', true), set_config('citus.multi_shard_modify_mode', 'sequential', true);
    held := own_triggers();
    EXECUTE query;
    PERFORM set_config('citus.enable_unsafe_triggers', unsafe, true);
    IF own_triggers() <> held THEN
        PERFORM ask_parts(format('SELECT crm.point_triggers(%L, part_number())::text', current_schema()), NULL, true);
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION make_triggers(text) FROM PUBLIC;
COMMENT ON FUNCTION make_triggers(text) IS 'runs a query by which a function of the store may make triggers or take them away';

CREATE FUNCTION own_triggers() RETURNS bigint[]
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN ARRAY(SELECT t.oid::bigint FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class k ON k.oid = t.tgrelid
                 WHERE k.relnamespace = to_regnamespace(quote_ident(current_schema())) AND NOT t.tgisinternal ORDER BY 1);
END
$$;
REVOKE EXECUTE ON FUNCTION own_triggers() FROM PUBLIC;
COMMENT ON FUNCTION own_triggers() IS 'the triggers of the store, by which make_triggers sees whether some were made';

-- Citus sends these on by the text of the statement, which in a script is the whole script.
DO $do$
BEGIN
    ALTER FUNCTION convert_purchases() RENAME TO make_converter;
    ALTER FUNCTION tell_orders(boolean) RENAME TO tell_orders_by_triggers;
    ALTER FUNCTION watch_changes(text[]) RENAME TO watch_tables;
    ALTER FUNCTION unwatch_changes(text[]) RENAME TO unwatch_tables;
END
$do$;

CREATE FUNCTION convert_purchases() RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM make_triggers('SELECT make_converter()');
END
$$;
REVOKE EXECUTE ON FUNCTION convert_purchases() FROM PUBLIC;
COMMENT ON FUNCTION convert_purchases() IS 'makes the trigger that converts orders, unless it is there';

CREATE FUNCTION tell_orders(enabled boolean DEFAULT true) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM make_triggers(format('SELECT tell_orders_by_triggers(%L)', enabled));
END
$$;
REVOKE EXECUTE ON FUNCTION tell_orders(boolean) FROM PUBLIC;
COMMENT ON FUNCTION tell_orders(boolean) IS 'has order events told to customers by the active rows of order_message, or stops it; run by the store''s owner';

CREATE FUNCTION unwatch_changes(tables text[]) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM make_triggers(format('SELECT unwatch_tables(%L)', tables));
END
$$;
REVOKE EXECUTE ON FUNCTION unwatch_changes(text[]) FROM PUBLIC;
COMMENT ON FUNCTION unwatch_changes(text[]) IS 'the feed no longer speaks of these tables. Run by the store''s owner';

CREATE FUNCTION watch_changes(tables text[] DEFAULT '{customer,contact,purchase,tier_member,points_entry}') RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY tables LOOP
        IF name IN ('identity', 'order_claim', 'reward_code', 'part_key')
           OR crm.is_distributed(to_regclass(quote_ident(name))) AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = to_regclass(quote_ident(name)) AND a.attname = 'customer_id') THEN
            RAISE EXCEPTION 'table "%" is not split by customer, and its changes are not watched', name
                USING ERRCODE = 'feature_not_supported', HINT = 'The feed has a part on the node of each customer.';
        END IF;
    END LOOP;
    PERFORM make_triggers(format('SELECT watch_tables(%L)', tables));
END
$$;
REVOKE EXECUTE ON FUNCTION watch_changes(text[]) FROM PUBLIC;
COMMENT ON FUNCTION watch_changes(text[]) IS
'from now on changes of these tables of the store are written to change_event, on the node of each customer. Repeat it for a table whose primary key or masks changed. Run by the store''s owner. Errors: 42P01 no such table, 42P16 no primary key, 0A000 not split by customer';
