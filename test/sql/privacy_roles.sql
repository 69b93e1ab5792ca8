-- Each access kind can do what its rules say, and nothing else: every verb on every object is tried by every kind.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET client_min_messages = warning;
SELECT crm.create_store('t_role');
SET search_path = t_role;
-- The objects of the matrix; the list is what another part adds to.
CREATE TEMP TABLE object (n int GENERATED ALWAYS AS IDENTITY, kind text, name name);
INSERT INTO object (kind, name) SELECT 'table', unnest('{settings,access_rule,access_grantee,job_progress,source,source_cost,currency_rate,customer,customer_summary,contact,contact_masked,contact_provenance,identity,identity_masked,note,note_masked,purchase,purchase_item,purchase_refund,privacy_policy,contact_purpose,consent,consent_state,contact_access,contact_change,reveal_limit,security_training,erasure,restriction,legal_hold,privacy_rule,retention_rule}'::name[]);
INSERT INTO object (kind, name) SELECT 'routine', unnest('{find_or_create_customer,find_or_create_customers,put_contacts,set_contact,search_contact,reveal,clear_value,count_reveal,set_reveal_limit,access_report,give_consent,withdraw_consent,may_contact,contact_refusal,contactable,export_customer,export_rows,erase_customer,erase_rows,replay_erasures,restrict_customer,retain_step,apply_retention,set_currency_rate}'::name[]);

CREATE FUNCTION pg_temp.may(role name, statement text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE format('SET LOCAL ROLE %I', role);
        EXECUTE statement;
        RAISE EXCEPTION 'undo' USING ERRCODE = 'XX999';
    EXCEPTION
        WHEN insufficient_privilege THEN RETURN false;
        -- A view that cannot be written to, whatever the privilege.
        WHEN object_not_in_prerequisite_state OR feature_not_supported THEN RETURN false;
        WHEN OTHERS THEN RETURN true;
    END;
END $$;
-- A column on which the kind has the privilege, else the first.
CREATE FUNCTION pg_temp.column_for(role name, tab regclass, privilege text) RETURNS text LANGUAGE sql AS $$
    SELECT quote_ident(a.attname) FROM pg_attribute a WHERE a.attrelid = tab AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY has_column_privilege(role, tab, a.attnum, privilege) DESC, a.attnum LIMIT 1 $$;
CREATE TEMP TABLE seen (kind text, object name, n int, verb text, whole boolean, part boolean);
DO $$
DECLARE
    k text;
    r name;
    o record;
    v text;
BEGIN
    FOREACH k IN ARRAY '{owner,agent,marketer,analyst,auditor,app}'::text[] LOOP
        r := 'crm_t_role_' || k;
        EXECUTE format('CREATE ROLE %I', r);
        PERFORM crm.grant_access('t_role', r, k);
        FOR o IN SELECT * FROM object LOOP
            IF o.kind = 'table' THEN
                FOREACH v IN ARRAY '{SELECT,INSERT,UPDATE,DELETE}'::text[] LOOP
                    INSERT INTO seen VALUES (k, o.name, o.n, v,
                        pg_temp.may(r, CASE v WHEN 'SELECT' THEN format('SELECT t FROM %I t LIMIT 0', o.name)
                                              WHEN 'INSERT' THEN format('INSERT INTO %I DEFAULT VALUES', o.name)
                                              WHEN 'UPDATE' THEN format('UPDATE %I SET (%s) = ROW (%s) WHERE false', o.name,
                                                  (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = o.name::text::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''),
                                                  (SELECT string_agg('NULL', ', ') FROM pg_attribute a WHERE a.attrelid = o.name::text::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''))
                                              ELSE format('DELETE FROM %I WHERE false', o.name) END),
                        pg_temp.may(r, CASE v WHEN 'SELECT' THEN format('SELECT %s FROM %I LIMIT 0', pg_temp.column_for(r, o.name::text::regclass, v), o.name)
                                              WHEN 'INSERT' THEN format('INSERT INTO %I DEFAULT VALUES', o.name)
                                              WHEN 'UPDATE' THEN format('UPDATE %I SET %s = NULL WHERE false', o.name, pg_temp.column_for(r, o.name::text::regclass, v))
                                              ELSE format('DELETE FROM %I WHERE false', o.name) END));
                END LOOP;
            ELSE
                INSERT INTO seen
                    SELECT k, o.name, o.n, 'EXECUTE', bool_and(m), bool_or(m)
                    FROM (SELECT pg_temp.may(r, format(CASE p.prokind WHEN 'p' THEN 'CALL %s(%s)' ELSE 'SELECT %s(%s)' END, p.oid::regproc,
                                     (SELECT string_agg('NULL::' || format_type(t, NULL), ', ' ORDER BY i) FROM unnest(p.proargtypes) WITH ORDINALITY a (t, i)))) AS m
                          FROM pg_proc p WHERE p.pronamespace = 't_role'::regnamespace AND p.proname = o.name) x;
            END IF;
        END LOOP;
    END LOOP;
END $$;
-- What the rules say and what is so: no difference.
SELECT s.kind, s.object, s.verb, s.whole, s.part
FROM seen s
WHERE s.part <> EXISTS (SELECT FROM access_rule a WHERE a.kind = s.kind AND a.object = s.object AND split_part(a.privilege, ' ', 1) = s.verb)
   OR s.whole <> EXISTS (SELECT FROM access_rule a WHERE a.kind = s.kind AND a.object = s.object AND a.privilege = s.verb)
ORDER BY s.n, s.kind, s.verb;
-- The matrix: r reads, a adds, w changes, d deletes, x executes; in brackets: some columns only.
SELECT object,
       string_agg(cell, '') FILTER (WHERE kind = 'owner') AS owner, string_agg(cell, '') FILTER (WHERE kind = 'agent') AS agent,
       string_agg(cell, '') FILTER (WHERE kind = 'marketer') AS marketer, string_agg(cell, '') FILTER (WHERE kind = 'analyst') AS analyst,
       string_agg(cell, '') FILTER (WHERE kind = 'auditor') AS auditor, string_agg(cell, '') FILTER (WHERE kind = 'app') AS app
FROM (SELECT kind, object, n, coalesce(string_agg(CASE WHEN whole THEN letter WHEN part THEN '(' || letter || ')' END, '' ORDER BY o), '') AS cell
      FROM seen JOIN (VALUES ('SELECT', 'r', 1), ('INSERT', 'a', 2), ('UPDATE', 'w', 3), ('DELETE', 'd', 4), ('EXECUTE', 'x', 5)) l (verb, letter, o) USING (verb)
      GROUP BY kind, object, n) c
GROUP BY n, object ORDER BY n;
-- No kind reads a masked column, has a right to hand on, or can make anything in the store.
SELECT m.relid, p.column_name, r.rolname FROM crm.masked_table m JOIN crm.mask_policy p USING (relid), pg_roles r
WHERE r.rolname LIKE 'crm\_t\_role\_%' AND p.kind <> 'clear' AND m.relid::text ~ '^(contact|note|identity)$' AND has_column_privilege(r.oid, m.relid, p.column_name, 'SELECT');
SELECT count(*) FROM pg_class c, aclexplode(c.relacl) x, pg_roles r WHERE c.relnamespace = 't_role'::regnamespace AND r.oid = x.grantee AND r.rolname LIKE 'crm\_t\_role\_%' AND x.is_grantable;
SELECT rolname FROM pg_roles WHERE rolname LIKE 'crm\_t\_role\_%' AND has_schema_privilege(oid, 't_role', 'CREATE');
SELECT DISTINCT way FROM crm.check_masks('contact') WHERE who LIKE 'crm\_t\_role\_%';
-- Indexes are reached through the masked view by every kind that may read it.
INSERT INTO customer (customer_id, tags) SELECT g, CASE WHEN g % 500 = 0 THEN '{vip}' ELSE '{new}' END::crm.tagset FROM generate_series(1, 3000) g;
INSERT INTO contact (customer_id, phone) SELECT g, '13812341234' FROM generate_series(1, 3000) g;
ANALYZE customer; ANALYZE contact;
CREATE FUNCTION pg_temp.plan_of(role name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    line text;
    plan text := '';
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role);
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP plan := plan || line || E'\n'; END LOOP;
    RESET ROLE;
    RETURN CASE WHEN plan LIKE '%Bitmap Index Scan on %tags%' THEN 'tag index, ' ELSE plan END
        || CASE WHEN plan LIKE '%contact_pkey%' THEN 'contact by key' ELSE plan END;
END $$;
SET enable_seqscan = off;
SELECT k, pg_temp.plan_of('crm_t_role_' || k, $q$SELECT m.phone FROM t_role.customer c JOIN t_role.contact_masked m USING (customer_id) WHERE c.tags OPERATOR(crm.@@) 'vip'$q$)
FROM unnest('{owner,agent,marketer,app}'::text[]) k;
RESET enable_seqscan;
SELECT subject FROM health_privacy();
-- A rule of the user's own stays within the masks too.
INSERT INTO access_rule (kind, object_type, object, privilege) VALUES ('analyst', 'table', 'contact', 'SELECT');
SELECT privilege FROM access_rule WHERE kind = 'analyst' AND object = 'contact';
RESET search_path;
SELECT crm.drop_store('t_role', 't_role');
DO $$ DECLARE r name; BEGIN
    FOR r IN SELECT rolname FROM pg_roles WHERE rolname LIKE 'crm\_t\_role\_%' LOOP EXECUTE format('DROP ROLE %I', r); END LOOP;
END $$;
