-- Tables that look like a store's, with columns of other types: refused, whatever is done to them, and never read as what they are not.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET client_min_messages = warning;
CREATE ROLE crm_t_shape_planter;
SELECT crm.create_store('t_shape');
CREATE TABLE public.t_shape_column AS
SELECT c.oid AS relid, c.relname AS tab, a.attname AS col, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 't_shape'::regnamespace AND c.relkind IN ('r', 'v')
  AND c.relname = ANY ('{customer,customer_summary,purchase,purchase_item,purchase_refund,purchase_number,points_account,points_entry,points_hold,points_program,points_rule,points_multiplier,points_carry,points_start,points_entry_archive,points_entry_archived,points_entry_all,settings,tier,tier_benefit,tier_member,tier_change,tier_condition,tag,tag_namespace,tag_rule,tag_event,tag_expiry,tag_audience_change,contact}'::text[]);
CREATE TABLE public.t_shape_settings AS TABLE t_shape.settings;
CREATE TABLE public.t_shape_program AS TABLE t_shape.points_program;
CREATE TABLE public.t_shape_tier AS TABLE t_shape.tier;
GRANT SELECT ON public.t_shape_column, public.t_shape_settings, public.t_shape_program, public.t_shape_tier TO crm_t_shape_planter;
GRANT CREATE ON DATABASE :"DBNAME" TO crm_t_shape_planter;
SELECT crm.drop_store('t_shape', 't_shape');
SET ROLE crm_t_shape_planter;

-- A schema with all those tables, one column of another type; what came of using it. No type is there twice: a number for an
-- address, an address for a number.
CREATE FUNCTION pg_temp.plant(bad_table text, bad_column text, bad_type text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    t record;
    said text := '';
    statement text;
BEGIN
    CREATE SCHEMA t_shape_planted;
    SET LOCAL search_path = t_shape_planted, crm;
    FOR t IN SELECT c.tab, string_agg(format('%I %s', c.col, CASE WHEN c.tab = bad_table AND c.col = bad_column AND bad_type <> 'null' THEN bad_type
                                                 ELSE c.type || CASE WHEN NOT c.attnotnull THEN '' ELSE format(' DEFAULT %L', CASE
                                                          WHEN c.col = 'head' THEN '\x' || repeat('00', 32) WHEN c.col = 'net' THEN '10' WHEN c.type = 'crm.rule' THEN 'spend_total > 1'
                                                          WHEN c.type ~ 'tagset|points_lots|purchase_months|\[\]|jsonb|audience' THEN '{}' WHEN c.type ~ 'bigint|integer|smallint|numeric' THEN '0'
                                                          WHEN c.type ~ '^timestamp|^date' THEN '2026-01-01' WHEN c.type ~ '^time|^interval' THEN '00:00' WHEN c.type = 'boolean' THEN 'false' WHEN c.type = 'bytea' THEN '\x' WHEN c.type = 'uuid' THEN '00000000-0000-0000-0000-000000000000'
                                                          ELSE 'x' END) || CASE WHEN (c.tab, c.col) = (bad_table, bad_column) THEN '' ELSE ' NOT NULL' END END END), ', ') AS columns
             FROM public.t_shape_column c GROUP BY c.tab LOOP
        EXECUTE format('CREATE TABLE %I (%s)', t.tab, t.columns);
    END LOOP;
    ALTER TABLE points_account ADD PRIMARY KEY (customer_id, program);
    ALTER TABLE points_entry ADD PRIMARY KEY (customer_id, program, seq);
    ALTER TABLE tier_member ADD PRIMARY KEY (customer_id);
    ALTER TABLE customer ADD PRIMARY KEY (customer_id);
    ALTER TABLE customer_summary ADD PRIMARY KEY (customer_id), ADD FOREIGN KEY (customer_id) REFERENCES customer;
    ALTER TABLE purchase ADD PRIMARY KEY (customer_id, channel, order_no), ADD FOREIGN KEY (customer_id) REFERENCES customer_summary;
    IF (bad_table, bad_column) <> ('purchase', 'order_at') THEN
        ALTER TABLE purchase ALTER order_at SET DEFAULT now();
    END IF;
    -- of a column that has the wrong type nothing is copied
    FOR t IN SELECT * FROM (VALUES ('settings', 'public.t_shape_settings'), ('points_program', 'public.t_shape_program'), ('tier', 'public.t_shape_tier')) v (tab, source) LOOP
        EXECUTE format('INSERT INTO %I (%2$s) SELECT %2$s FROM %3$s', t.tab,
                       (SELECT string_agg(quote_ident(c.col), ', ') FROM public.t_shape_column c WHERE c.tab = t.tab AND (c.tab, c.col) <> (bad_table, bad_column)), t.source);
    END LOOP;
    CREATE TRIGGER gate BEFORE INSERT ON points_entry FOR EACH ROW EXECUTE FUNCTION crm.points_gate();
    CREATE TRIGGER head AFTER UPDATE ON points_account FOR EACH ROW EXECUTE FUNCTION crm.points_check_head();
    CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON points_account FOR EACH ROW EXECUTE FUNCTION crm.points_guard('closed');
    CREATE TRIGGER added AFTER INSERT ON customer REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION crm.customer_added();
    CREATE TRIGGER tags AFTER UPDATE ON customer REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION crm.tags_changed();
    CREATE TRIGGER changed AFTER INSERT ON purchase REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION crm.purchase_changed();
    CREATE FUNCTION earn(bigint, bigint, text, text, text, timestamptz, timestamptz, timestamptz, text, jsonb) RETURNS points_entry LANGUAGE crm_points AS 'earn';
    CREATE FUNCTION restore(bigint, text, bigint, text, text, text, timestamptz, text) RETURNS points_entry LANGUAGE crm_points AS 'restore';
    CREATE FUNCTION points_target(bigint, text, text[], text, text) RETURNS TABLE (seq text, source bigint) LANGUAGE sql AS $f$ SELECT '7', 7::bigint $f$;
    FOREACH statement IN ARRAY ARRAY[
        'INSERT INTO customer (customer_id) VALUES (1)',
        'INSERT INTO customer_summary (customer_id) SELECT 1 WHERE NOT EXISTS (SELECT FROM customer_summary)',
        'INSERT INTO points_account (customer_id, program, seq) VALUES (1, ''points'', 0)',
        'INSERT INTO tier_member (customer_id, tier, since, peak, last_change) VALUES (1, ''ordinary'', now(), 1, 0)',
        'INSERT INTO points_hold (customer_id, program, seq, source, reference, points, state) VALUES (1, ''points'', 1, ''s'', ''r'', 5, ''open'')',
        'INSERT INTO points_rule (rule, program, event, per_amount, rounding, on_status, active) VALUES (1, ''points'', ''order'', 1, ''floor'', ''paid'', true)',
        'INSERT INTO tag_rule (tag, rule, enabled, instant) VALUES (''x'', ''spend_total > 1'', true, true)',
        'INSERT INTO tier_condition (tier, seq, n, condition, lifetime, column_name, threshold) VALUES (''gold'', 3, 1, ''spend_total > 1'', true, ''spend_total'', 1)',
        'INSERT INTO points_entry (customer_id, program, kind, points, source, reference) VALUES (1, ''points'', ''earn'', 5, ''s'', ''1'')',
        'INSERT INTO points_entry (customer_id, program, kind, points, source, reference) VALUES (1, ''points'', ''hold'', 1, ''s'', ''2'')',
        'SELECT earn(1, 5, ''s'', ''3'', ''points'', NULL, NULL, NULL, ''note'', ''{}'')',
        'SELECT restore(1, ''1'', 1, ''s'', ''4'', ''points'', NULL, NULL)',
        'SELECT count(*) FROM crm.points_verify(''points_entry'', NULL, NULL, 1, 1)',
        'UPDATE customer SET tags = ''{a,b}''',
        'INSERT INTO purchase (customer_id, channel, order_no, status, amount, history) VALUES (1, ''c'', ''1'', ''paid'', 10, false)',
        'SELECT crm.tiers_rise(''purchase'', now(), 0, 10)',
        'UPDATE points_account SET seq = seq + 1'] LOOP
        BEGIN
            EXECUTE statement;
        EXCEPTION
            WHEN datatype_mismatch THEN
                IF SQLERRM LIKE 'column % is not of type %' OR SQLERRM LIKE 'column % may be null' THEN
                    said := 'refused';
                END IF;
            WHEN OTHERS THEN NULL;
        END;
    END LOOP;
    RAISE EXCEPTION '%', said USING ERRCODE = 'CX999';
EXCEPTION
    WHEN SQLSTATE 'CX999' THEN RETURN SQLERRM;
    -- such a table cannot be made, say for its key
    WHEN OTHERS THEN RETURN 'not made';
END
$$;
CREATE TEMP TABLE outcome AS
SELECT p.tab, p.col, p.bad, pg_temp.plant(p.tab, p.col, p.bad) AS said
FROM (SELECT c.tab, c.col, b.bad, row_number() OVER (PARTITION BY c.tab, b.bad = 'null' ORDER BY md5(c.col)) AS place
      FROM public.t_shape_column c
      CROSS JOIN LATERAL (SELECT CASE WHEN c.type IN ('bigint', 'integer', 'smallint', 'boolean', 'timestamp with time zone', 'date', 'numeric') OR c.type LIKE 'numeric%'
                                      THEN 'text DEFAULT ''planted''' ELSE 'bigint DEFAULT 1234567890123' END AS bad
                          UNION ALL SELECT 'null' WHERE c.attnotnull) b
      WHERE c.tab IN ('points_account', 'points_entry', 'points_hold', 'points_program', 'points_rule', 'customer_summary', 'purchase', 'tier_member', 'tier_condition', 'tag_rule', 'tag_audience_change')
         OR (c.tab, c.col) IN (('settings', 'time_zone'), ('settings', 'currency'), ('customer', 'tags'), ('customer', 'rule_tags'), ('tier', 'qualify'), ('tier', 'seq'))) p
-- of each table one, and what is read as an address
WHERE p.place = 1 OR p.bad <> 'null' AND p.col IN ('lots', 'head', 'hash', 'months', 'net', 'spend_total', 'tags', 'condition', 'time_zone', 'toggled');
SELECT tab, bad = 'null' AS may_be_null, count(*) FILTER (WHERE said = 'refused') AS refused, count(*) FILTER (WHERE said = '') AS unread, count(*) FILTER (WHERE said = 'not made') AS not_made,
       string_agg(col, ', ' ORDER BY col) FILTER (WHERE said = '') AS which
FROM outcome GROUP BY 1, 2 ORDER BY 1, 2;
-- the same with the right types is used
SELECT pg_temp.plant('-', '-', '-') = '' AS used;
DROP TABLE outcome;
DROP FUNCTION pg_temp.plant(text, text, text);
RESET ROLE;
-- by the owner, after the store was used
SELECT crm.create_store('t_shape');
INSERT INTO t_shape.customer DEFAULT VALUES;
SELECT seq FROM t_shape.earn(1, 5, 't', '1');
ALTER TABLE t_shape.points_hold ALTER source TYPE varchar(40);
SELECT seq FROM t_shape.hold(1, 1, 't', '2');
ALTER TABLE t_shape.points_note ALTER seq TYPE numeric;
SELECT seq FROM t_shape.earn(1, 5, 't', '3', note => 'n');
SELECT crm.drop_store('t_shape', 't_shape');
DROP TABLE public.t_shape_column, public.t_shape_settings, public.t_shape_program, public.t_shape_tier;
REVOKE CREATE ON DATABASE :"DBNAME" FROM crm_t_shape_planter;
DROP ROLE crm_t_shape_planter;
