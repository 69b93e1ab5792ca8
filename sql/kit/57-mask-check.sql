-- Ways around a mask that PostgreSQL's privileges leave open.

CREATE FUNCTION check_mask_roles(tab regclass)
RETURNS TABLE (way text, who text, detail text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    masked name[] := (SELECT array_agg(p.column_name) FROM crm.mask_policy p WHERE p.relid = tab AND p.kind <> 'clear');
    owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = tab);
    clear name[] := coalesce((SELECT array_agg(p.column_name) FROM crm.mask_policy p WHERE p.relid = tab AND p.kind = 'clear'), '{}');
    entitled oid[];
BEGIN
    entitled := ARRAY(SELECT r.oid FROM pg_roles r
                      WHERE r.oid = owner OR r.rolsuper OR r.rolname = ANY (SELECT unnest(m.readers) FROM crm.masked_table m WHERE m.relid = tab));
    -- Given on the table or a column, of the whole tree.
    RETURN QUERY
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'public' ELSE 'grant' END,
               CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee)::text END,
               format('%s on %s granted by %s', a.privilege_type, a.object, pg_get_userbyid(a.grantor))
        FROM (SELECT x.*, t::text AS object
              FROM crm.table_tree(tab) t JOIN pg_class c ON c.oid = t, aclexplode(c.relacl) x
              WHERE x.privilege_type IN ('SELECT', 'TRIGGER')
              UNION ALL
              SELECT x.*, format('%s.%I', t, c.attname)
              FROM crm.table_tree(tab) t JOIN pg_attribute c ON c.attrelid = t AND c.attnum > 0 AND NOT c.attisdropped, aclexplode(c.attacl) x
              WHERE x.privilege_type = 'SELECT' AND c.attname <> ALL (clear)) a
        WHERE a.grantee <> ALL (entitled);
    -- By being, or by being able to become, somebody who may.
    RETURN QUERY
        SELECT CASE WHEN g.rolname = 'pg_read_all_data' THEN 'pg_read_all_data'
                    WHEN g.rolname IN ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program') THEN 'server files'
                    ELSE 'member' END,
               r.rolname::text, format('member of %s', g.rolname)
        FROM pg_roles r
        JOIN pg_roles g ON g.oid <> r.oid AND pg_has_role(r.oid, g.oid, 'MEMBER')
                       AND (g.oid = ANY (entitled) OR g.rolname IN ('pg_read_all_data', 'pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program'))
        WHERE r.oid <> ALL (entitled) AND r.rolname !~ '^pg_';
    RETURN QUERY
        SELECT 'replication', r.rolname::text, 'may copy the database by replication'::text
        FROM pg_roles r WHERE r.rolreplication AND r.oid <> ALL (entitled);
    -- Until PostgreSQL 15, CREATEROLE gives its holder any membership.
    RETURN QUERY
        SELECT 'createrole', r.rolname::text, 'may make itself a member of the owner or a reader'::text
        FROM pg_roles r
        WHERE r.rolcreaterole AND r.oid <> ALL (entitled) AND current_setting('server_version_num')::integer < 160000;
    -- What is created later: partitions come with the owner's default privileges.
    RETURN QUERY
        SELECT 'default privileges', CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee)::text END,
               format('SELECT on tables that %s makes, such as new partitions', pg_get_userbyid(d.defaclrole))
        FROM pg_default_acl d, aclexplode(d.defaclacl) x, pg_class c
        WHERE c.oid = tab AND d.defaclrole = c.relowner AND d.defaclobjtype = 'r' AND d.defaclnamespace IN (0, c.relnamespace)
          AND x.privilege_type = 'SELECT' AND x.grantee <> ALL (entitled) AND c.relkind = 'p';
END
$$;
COMMENT ON FUNCTION check_mask_roles(regclass) IS 'roles that can read masked columns of a table without being its owner, a reader or a superuser; part of check_masks';

CREATE FUNCTION mention_of(schema name, relation name) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN pg_catalog.replace(pg_catalog.replace('(\m(from|join|into|update|using|table|only)\M|\mfrom\M[^;()]*,|\mSCHEMA"?\.)\s*"?NAME"?(?![[:alnum:]_])',
                                             'SCHEMA', pg_catalog.regexp_replace(schema::text, '([^[:alnum:]_])', '\\\1', 'g')),
                          'NAME', pg_catalog.regexp_replace(relation::text, '([^[:alnum:]_])', '\\\1', 'g'));
COMMENT ON FUNCTION mention_of(name, name) IS 'a regular expression that finds where SQL text reads or writes a relation of this name';

CREATE FUNCTION check_mask_objects(tab regclass)
RETURNS TABLE (way text, who text, detail text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    root pg_class;
    tree oid[] := ARRAY(SELECT t::oid FROM crm.table_tree(tab) t);
    entitled oid[];
    -- Relations that show masked columns in clear: the tree itself, and views over it.
    tainted oid[];
    masked_views oid[] := ARRAY(SELECT crm.masked_view(m.relid)::oid FROM crm.masked_table m WHERE crm.masked_view(m.relid) IS NOT NULL);
    clear name[] := coalesce((SELECT array_agg(p.column_name) FROM crm.mask_policy p WHERE p.relid = tab AND p.kind = 'clear'), '{}');
BEGIN
    SELECT * INTO root FROM pg_class c WHERE c.oid = tab;
    entitled := ARRAY(SELECT r.oid FROM pg_roles r
                      WHERE r.oid = root.relowner OR r.rolsuper OR r.rolname = ANY (SELECT unnest(m.readers) FROM crm.masked_table m WHERE m.relid = tab));
    WITH RECURSIVE hidden AS (
        SELECT a.attrelid, a.attnum::integer FROM pg_attribute a
        WHERE a.attrelid = ANY (tree) AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL (clear)),
    views AS (
        -- A whole-row reference leaves no dependency on a column; the stored tree shows it.
        SELECT r.ev_class
        FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
        WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (tree)
          AND (EXISTS (SELECT FROM hidden h WHERE h.attrelid = d.refobjid AND h.attnum = d.refobjsubid)
               OR r.ev_action::text LIKE '%:varattno 0 %')
          AND r.ev_class <> ALL (masked_views)
        UNION
        SELECT r.ev_class
        FROM views v JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = v.ev_class
        JOIN pg_rewrite r ON r.oid = d.objid
        WHERE r.ev_class <> v.ev_class AND r.ev_class <> ALL (masked_views))
    SELECT array_agg(DISTINCT v.ev_class) INTO tainted FROM views v;
    tainted := coalesce(tainted, '{}');

    -- Views run with their owner's rights, unless they are security_invoker; materialized views hold the values themselves.
    RETURN QUERY
        SELECT CASE c.relkind WHEN 'm' THEN 'materialized view' WHEN 'v' THEN 'view' ELSE 'rule' END, c.oid::regclass::text,
               format('readable by %s', string_agg(DISTINCT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee)::text END, ', '))
        FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) x
        WHERE c.oid = ANY (tainted) AND c.oid <> ALL (tree) AND x.grantee <> ALL (entitled)
          AND (x.privilege_type = 'SELECT' OR c.relkind NOT IN ('v', 'm'))
          AND NOT (c.relkind = 'v' AND coalesce(c.reloptions, '{}') && ARRAY['security_invoker=true', 'security_invoker=on', 'security_invoker=1', 'security_invoker=yes'])
        GROUP BY c.oid, c.relkind;
    RETURN QUERY
        SELECT 'view', c.oid::regclass::text, format('columns readable by %s', string_agg(DISTINCT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee)::text END, ', '))
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid, aclexplode(a.attacl) x
        WHERE c.oid = ANY (tainted) AND c.oid <> ALL (tree) AND x.grantee <> ALL (entitled) AND x.privilege_type = 'SELECT'
          AND NOT (c.relkind = 'v' AND coalesce(c.reloptions, '{}') && ARRAY['security_invoker=true', 'security_invoker=on', 'security_invoker=1', 'security_invoker=yes'])
        GROUP BY c.oid;

    -- Functions that run with an entitled role's rights. BEGIN ATOMIC bodies leave dependencies; others are searched for the names.
    RETURN QUERY
        SELECT 'security definer function', p.oid::regprocedure::text,
               format('executable by %s', string_agg(DISTINCT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee)::text END, ', '))
        FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x
        WHERE p.prosecdef AND p.proowner = ANY (entitled) AND x.grantee <> ALL (entitled) AND p.prorettype <> 'trigger'::regtype
          AND p.pronamespace NOT IN (SELECT n.oid FROM pg_namespace n WHERE n.nspname IN ('pg_catalog', 'crm'))
          AND (EXISTS (SELECT FROM pg_depend d
                       WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_class'::regclass
                         AND (d.refobjid = ANY (tainted)
                              OR d.refobjid = ANY (tree)
                                 AND (p.prosqlbody::text LIKE '%:varattno 0 %'
                                      OR EXISTS (SELECT FROM pg_attribute a
                                                 WHERE a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND a.attname <> ALL (clear)))))
               OR l.lanname NOT IN ('c', 'internal') AND p.prosqlbody IS NULL
                  AND EXISTS (SELECT FROM pg_class c
                              WHERE (c.oid = ANY (tree) OR c.oid = ANY (tainted))
                                AND p.prosrc ~* crm.mention_of((SELECT n.nspname FROM pg_namespace n WHERE n.oid = c.relnamespace), c.relname)))
        GROUP BY p.oid;

    RETURN QUERY
        SELECT 'trigger function', format('%s on %s', t.tgname, t.tgrelid::regclass), format('function of %s sees every row', pg_get_userbyid(p.proowner))
        FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
        WHERE t.tgrelid = ANY (tree) AND NOT t.tgisinternal AND p.proowner <> ALL (entitled);
    RETURN QUERY
        SELECT DISTINCT 'publication', pt.pubname::text, format('publishes %I.%I', pt.schemaname, pt.tablename)
        FROM pg_publication_tables pt JOIN pg_class c ON c.relname = pt.tablename
             AND c.relnamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = pt.schemaname)
        WHERE c.oid = ANY (tree) AND EXISTS (SELECT FROM unnest(pt.attnames) n WHERE n <> ALL (clear));
    RETURN QUERY
        SELECT 'foreign key', format('%s on %s', k.conname, k.conrelid::regclass),
               CASE WHEN k.confrelid = ANY (tree) THEN 'its table repeats masked values and tells which exist' ELSE 'masked values stand in the table it refers to' END
        FROM pg_constraint k
        WHERE k.contype = 'f'
          AND (k.confrelid = ANY (tree) AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = k.confrelid AND a.attnum = ANY (k.confkey) AND a.attname <> ALL (clear))
               OR k.conrelid = ANY (tree) AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey) AND a.attname <> ALL (clear)));
    RETURN QUERY
        SELECT 'statistics', format('%I.%I', n.nspname, s.stxname), 'extended statistics keep common values of masked columns'::text
        FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
        WHERE s.stxrelid = ANY (tree)
          AND (s.stxexprs IS NOT NULL
               OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys::int2[]) AND a.attname <> ALL (clear)));
    RETURN QUERY
        SELECT 'generated column', format('%s.%I', g.attrelid::regclass, g.attname), format('is clear and made from %I', a.attname)
        FROM pg_attribute g
        JOIN pg_attrdef f ON f.adrelid = g.attrelid AND f.adnum = g.attnum
        JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = g.attrelid AND d.refobjsubid > 0
             AND (d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid
                  OR d.classid = 'pg_class'::regclass AND d.objid = g.attrelid AND d.objsubid = g.attnum)
        JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND a.attname <> ALL (clear)
        WHERE g.attrelid = ANY (tree) AND g.attgenerated <> '' AND g.attname = ANY (clear) AND a.attnum <> g.attnum;
    RETURN QUERY
        SELECT 'inherited', p.inhparent::regclass::text, 'shows the columns it shares, by its own privileges'::text
        FROM pg_inherits p
        WHERE p.inhrelid = tab
          AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = p.inhparent AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL (clear));
END
$$;
COMMENT ON FUNCTION check_mask_objects(regclass) IS 'objects that show masked columns of a table to roles without the right; part of check_masks';

CREATE FUNCTION check_masks(tab regclass DEFAULT NULL)
RETURNS TABLE (relation regclass, way text, who text, detail text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m record;
BEGIN
    FOR m IN
        SELECT t.relid FROM crm.masked_table t
        WHERE (tab IS NULL OR t.relid = tab) AND EXISTS (SELECT FROM pg_class c WHERE c.oid = t.relid)
        ORDER BY t.relid::text
    LOOP
        RETURN QUERY
            SELECT m.relid, f.way, f.who, f.detail
            FROM (SELECT r.way, r.who, r.detail FROM crm.check_mask_roles(m.relid) r
                  UNION ALL
                  SELECT o.way, o.who, o.detail FROM crm.check_mask_objects(m.relid) o
                  UNION ALL
                  SELECT 'masked view', 'missing', 'SELECT crm.apply_masks(table) makes it' WHERE crm.masked_view(m.relid) IS NULL
                  UNION ALL
                  SELECT 'unclassified column', a.attname::text, 'denied until crm.mask_column classifies it'
                  FROM pg_attribute a
                  WHERE a.attrelid = m.relid AND a.attnum > 0 AND NOT a.attisdropped
                    AND NOT EXISTS (SELECT FROM crm.mask_policy p WHERE p.relid = m.relid AND p.column_name = a.attname)) f
            WHERE f.way IN ('grant', 'public')
               OR NOT EXISTS (SELECT FROM crm.mask_accepted e WHERE e.relid = m.relid AND e.object = crm.mask_way_name(m.relid, f.who))
            ORDER BY 1, 2, 3;
    END LOOP;
END
$$;
COMMENT ON FUNCTION check_masks(regclass) IS
'every way around the masks of a table (null: of all masked tables) that still stands: grants, PUBLIC, memberships, pg_read_all_data, server files, replication, views, materialized views, definer functions, triggers, publications, foreign keys, statistics, generated columns, parents. Superusers, the owner and the readers may read and are not listed';

CREATE FUNCTION mask_way_name(tab regclass, who text) RETURNS text
LANGUAGE sql STABLE
RETURN (SELECT CASE WHEN pg_catalog.starts_with(who, pg_catalog.quote_ident(n.nspname) OPERATOR(pg_catalog.||) '.')
                    THEN pg_catalog.substr(who, pg_catalog.length(pg_catalog.quote_ident(n.nspname)) OPERATOR(pg_catalog.+) 2) ELSE who END
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
        WHERE c.oid OPERATOR(pg_catalog.=) tab);
COMMENT ON FUNCTION mask_way_name(regclass, text) IS 'how check_masks names an object, without the schema when it is the table''s own, so that a renamed store keeps what was accepted';

CREATE FUNCTION accept_way(tab regclass, who text, reason text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM crm.require_table_owner(tab);
    IF reason IS NULL OR reason = '' THEN
        RAISE EXCEPTION 'a reason is missing' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO crm.mask_accepted (relid, object, reason) VALUES (tab, crm.mask_way_name(tab, who), reason);
END
$$;
COMMENT ON FUNCTION accept_way(regclass, text, text) IS 'marks a way around a mask (who, as check_masks shows it) as looked at and accepted';
