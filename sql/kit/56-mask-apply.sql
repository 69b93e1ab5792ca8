-- Putting masks into force: column privileges away, a view with the masks beside the table.

CREATE FUNCTION masked_view(tab regclass) RETURNS regclass
LANGUAGE sql STABLE
RETURN (SELECT v.oid::regclass
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_class v ON v.relnamespace OPERATOR(pg_catalog.=) c.relnamespace
             AND v.relname OPERATOR(pg_catalog.=) (c.relname OPERATOR(pg_catalog.||) '_masked')::name
             AND v.relkind OPERATOR(pg_catalog.=) 'v' AND v.relowner OPERATOR(pg_catalog.=) c.relowner
        WHERE c.oid OPERATOR(pg_catalog.=) tab);
COMMENT ON FUNCTION masked_view(regclass) IS 'the masked view of a table; null when there is none that belongs to the table''s owner';

CREATE FUNCTION table_tree(tab regclass) RETURNS SETOF regclass
LANGUAGE sql STABLE ROWS 5
BEGIN ATOMIC
    WITH RECURSIVE tree AS (
        SELECT tab::oid AS relid
        UNION
        SELECT i.inhrelid FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent OPERATOR(pg_catalog.=) t.relid)
    SELECT t.relid::regclass FROM tree t;
END;
COMMENT ON FUNCTION table_tree(regclass) IS 'a table with all its partitions and children';

CREATE FUNCTION quote_grantee(role text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN role OPERATOR(pg_catalog.=) 'public' THEN 'PUBLIC' ELSE pg_catalog.quote_ident(role) END;
COMMENT ON FUNCTION quote_grantee(text) IS 'a role for use in GRANT; no role can be called public, which stands for all';

CREATE FUNCTION clear_columns(relation regclass, root regclass) RETURNS text[]
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT array_agg(a.attname::text ORDER BY a.attnum)
    FROM pg_catalog.pg_attribute a
    JOIN crm.mask_policy p ON p.relid OPERATOR(pg_catalog.=) root AND p.column_name OPERATOR(pg_catalog.=) a.attname
         AND p.kind OPERATOR(pg_catalog.=) 'clear'
    WHERE a.attrelid OPERATOR(pg_catalog.=) relation AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped;
END;
COMMENT ON FUNCTION clear_columns(regclass, regclass) IS 'the columns of a table or partition that its root''s policy calls clear';

CREATE FUNCTION restrict_relation(relation regclass, root regclass, readers name[], INOUT viewers name[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hidden text;
    clear text;
    g record;
BEGIN
    SELECT string_agg(quote_ident(c), ', ') INTO clear FROM unnest(crm.clear_columns(relation, root)) c;
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO hidden
    FROM pg_attribute a
    WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
      AND a.attname <> ALL (coalesce(crm.clear_columns(relation, root), '{}')::name[]);

    FOR g IN
        SELECT CASE a.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(a.grantee) END AS role,
               bool_or(a.level = 'table' AND a.privilege_type = 'SELECT') AS whole,
               bool_or(a.is_grantable) AS grantable
        FROM (SELECT x.grantee, x.privilege_type, x.is_grantable, 'table' AS level
              FROM pg_class c, aclexplode(c.relacl) x WHERE c.oid = relation AND x.grantee <> c.relowner
              UNION ALL
              SELECT x.grantee, x.privilege_type, x.is_grantable, 'column'
              FROM pg_class c, pg_attribute t, aclexplode(t.attacl) x
              WHERE c.oid = relation AND t.attrelid = relation AND x.grantee <> c.relowner) a
        WHERE a.privilege_type IN ('SELECT', 'REFERENCES', 'TRIGGER')
        GROUP BY a.grantee
        ORDER BY 1
    LOOP
        IF g.role = ANY (readers) THEN
            -- A reader keeps the right but must not hand it on.
            IF g.grantable THEN
                EXECUTE format('REVOKE GRANT OPTION FOR SELECT ON %s FROM %s CASCADE', relation, crm.quote_grantee(g.role));
            END IF;
            CONTINUE;
        END IF;
        IF g.whole THEN
            -- A trigger or a foreign key of somebody else's reads what its maker may not.
            EXECUTE format('REVOKE SELECT, REFERENCES, TRIGGER ON %s FROM %s CASCADE', relation, crm.quote_grantee(g.role));
            IF clear IS NOT NULL THEN
                EXECUTE format('GRANT SELECT (%s) ON %s TO %s', clear, relation, crm.quote_grantee(g.role));
            END IF;
            IF relation = root AND g.role <> ALL (viewers) THEN
                viewers := viewers || g.role::name;
            END IF;
        ELSE
            EXECUTE format('REVOKE TRIGGER ON %s FROM %s CASCADE', relation, crm.quote_grantee(g.role));
            IF hidden IS NOT NULL THEN
                EXECUTE format('REVOKE SELECT (%1$s), REFERENCES (%1$s) ON %2$s FROM %3$s CASCADE', hidden, relation, crm.quote_grantee(g.role));
            END IF;
        END IF;
    END LOOP;

    -- What was classified as clear since.
    IF relation = root AND clear IS NOT NULL THEN
        FOR g IN SELECT v AS role FROM unnest(viewers) v WHERE v = 'public' OR EXISTS (SELECT FROM pg_roles r WHERE r.rolname = v)
        LOOP
            EXECUTE format('GRANT SELECT (%s) ON %s TO %s', clear, relation, crm.quote_grantee(g.role));
        END LOOP;
    END IF;
END
$$;
COMMENT ON FUNCTION restrict_relation(regclass, regclass, name[], name[]) IS 'takes the privileges on masked and unclassified columns of one relation from everybody but its owner and the readers; part of apply_masks';

CREATE FUNCTION make_masked_view(tab regclass) RETURNS regclass
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    view regclass := crm.masked_view(tab);
    view_name text;
    owner name;
    query text;
    acl aclitem[];
    g record;
    clash text;
BEGIN
    SELECT format('%I.%I', n.nspname, c.relname || '_masked'), pg_get_userbyid(c.relowner), c.relname || '_masked'
        INTO view_name, owner, clash
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = tab;
    IF octet_length(clash) > 63 THEN
        RAISE EXCEPTION 'the name "%" is too long for a view', clash
            USING ERRCODE = 'name_too_long', HINT = 'A masked table has a name of at most 56 bytes.';
    END IF;
    IF view IS NULL AND to_regclass(view_name) IS NOT NULL THEN
        RAISE EXCEPTION '% stands where the masked view of % belongs', view_name, tab
            USING ERRCODE = 'duplicate_table', HINT = 'Rename or drop it.';
    END IF;
    -- Columns that the view has already keep their places; new ones follow.
    SELECT 'SELECT ' || string_agg(crm.mask_expression(a.attname, a.atttypid, p.kind, p.params) || ' AS ' || quote_ident(a.attname), ', '
                                   ORDER BY old.attnum NULLS LAST, a.attnum) || ' FROM ' || tab || ' t'
        INTO query
    FROM pg_attribute a
    JOIN crm.mask_policy p ON p.relid = tab AND p.column_name = a.attname
    LEFT JOIN pg_attribute old ON old.attrelid = view AND old.attname = a.attname AND NOT old.attisdropped
    WHERE a.attrelid = tab AND a.attnum > 0 AND NOT a.attisdropped;

    BEGIN
        EXECUTE format('CREATE OR REPLACE VIEW %s AS %s', view_name, query);
    EXCEPTION WHEN invalid_table_definition THEN
        -- A column's type or name changed: the view is made anew, with its grants. What depends on it must go first.
        SELECT c.relacl INTO acl FROM pg_class c WHERE c.oid = view;
        EXECUTE format('DROP VIEW %s', view_name);
        EXECUTE format('CREATE VIEW %s AS %s', view_name, query);
        FOR g IN
            SELECT CASE x.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(x.grantee) END AS role, x.privilege_type,
                   CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END AS option
            FROM aclexplode(acl) x WHERE x.grantee <> (SELECT r.oid FROM pg_roles r WHERE r.rolname = owner)
        LOOP
            EXECUTE format('GRANT %s ON %s TO %s%s', g.privilege_type, view_name, crm.quote_grantee(g.role), g.option);
        END LOOP;
    END;
    view := view_name::regclass;
    IF (SELECT pg_get_userbyid(c.relowner) FROM pg_class c WHERE c.oid = view) <> owner THEN
        EXECUTE format('ALTER VIEW %s OWNER TO %I', view, owner);
    END IF;
    -- The comment carries the policy, so that a dump of the schema alone is whole; see crm.adopt_masks().
    EXECUTE format('COMMENT ON VIEW %s IS %L', view,
                   (SELECT format('%s with its masks: %s', (SELECT c.relname FROM pg_class c WHERE c.oid = tab),
                                  jsonb_object_agg(p.column_name, jsonb_build_object('kind', p.kind) || p.params))
                    FROM crm.mask_policy p WHERE p.relid = tab));
    PERFORM crm.renew_shown_view(view);
    RETURN view;
END
$$;
COMMENT ON FUNCTION make_masked_view(regclass) IS 'makes or renews <table>_masked: the classified columns of a table with their masks, a view of the table''s owner; part of apply_masks';

CREATE FUNCTION apply_masks(tab regclass, readers name[] DEFAULT NULL) RETURNS regclass
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known crm.masked_table;
    viewers name[];
    relation regclass;
    view regclass;
    role name;
    other text;
    unclassified text;
BEGIN
    PERFORM crm.require_table_owner(tab);
    IF crm.is_distributed(tab) THEN
        PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
    END IF;
    EXECUTE format('LOCK TABLE %s IN SHARE UPDATE EXCLUSIVE MODE', tab);
    SELECT * INTO known FROM crm.masked_table m WHERE m.relid = tab;
    readers := coalesce(readers, known.readers, '{}');
    viewers := coalesce(known.viewers, '{}');

    -- Of a column that was renamed the new name is not classified, hence denied; the old name's policy is of no more use.
    DELETE FROM crm.mask_policy p
    WHERE p.relid = tab AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = tab AND a.attname = p.column_name AND NOT a.attisdropped);
    IF NOT EXISTS (SELECT FROM crm.mask_policy p WHERE p.relid = tab AND p.kind <> 'clear') THEN
        RAISE EXCEPTION 'no column of % has a mask', tab
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Call crm.mask_column() first.';
    END IF;
    IF EXISTS (SELECT FROM pg_class c WHERE c.oid = tab AND c.relrowsecurity AND NOT c.relforcerowsecurity) THEN
        RAISE EXCEPTION 'row security of % would not hold through a view of its owner', tab
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('ALTER TABLE %s FORCE ROW LEVEL SECURITY, with policies that name no roles.', tab);
    END IF;
    SELECT c.oid::regclass::text INTO other FROM crm.table_tree(tab) t JOIN pg_class c ON c.oid = t
    WHERE c.relowner <> (SELECT o.relowner FROM pg_class o WHERE o.oid = tab) LIMIT 1;
    IF other IS NOT NULL THEN
        RAISE EXCEPTION 'table % and its child % have different owners', tab, other
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Give both to one role.';
    END IF;
    FOREACH role IN ARRAY readers
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role) THEN
            RAISE EXCEPTION 'role "%" does not exist', role USING ERRCODE = 'undefined_object';
        END IF;
    END LOOP;

    IF known.relid IS NULL THEN
        -- The first time, what has no mask counts as clear. Columns added later have to be classified.
        INSERT INTO crm.mask_policy (relid, column_name, kind)
            SELECT tab, a.attname, 'clear' FROM pg_attribute a
            WHERE a.attrelid = tab AND a.attnum > 0 AND NOT a.attisdropped
              AND NOT EXISTS (SELECT FROM crm.mask_policy p WHERE p.relid = tab AND p.column_name = a.attname);
    END IF;

    FOR relation IN SELECT t FROM crm.table_tree(tab) t
    LOOP
        viewers := crm.restrict_relation(relation, tab, readers, viewers);
    END LOOP;
    view := crm.make_masked_view(tab);
    FOREACH role IN ARRAY viewers
    LOOP
        IF role = 'public' OR EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role) THEN
            EXECUTE format('GRANT SELECT ON %s TO %s', view, crm.quote_grantee(role));
        END IF;
    END LOOP;
    FOREACH role IN ARRAY readers
    LOOP
        EXECUTE format('GRANT SELECT ON %s, %s TO %I', tab, view, role);
    END LOOP;
    INSERT INTO crm.masked_table (relid, readers, viewers) VALUES (tab, readers, viewers);

    -- A grant that its own grantor would have to take back is the one thing that REVOKE above cannot reach.
    SELECT string_agg(DISTINCT format('%s by %s', w.who, w.detail), '; ') INTO other
    FROM crm.check_masks(tab) w WHERE w.way IN ('grant', 'public');
    IF other IS NOT NULL THEN
        RAISE EXCEPTION 'could not take every privilege on the masked columns of % away: %', tab, other
            USING ERRCODE = 'insufficient_privilege', HINT = 'Let who granted it revoke it.';
    END IF;
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO unclassified FROM pg_attribute a
    WHERE a.attrelid = tab AND a.attnum > 0 AND NOT a.attisdropped
      AND NOT EXISTS (SELECT FROM crm.mask_policy p WHERE p.relid = tab AND p.column_name = a.attname);
    IF unclassified IS NOT NULL THEN
        RAISE NOTICE 'unclassified columns of % stay denied: %', tab, unclassified
            USING HINT = 'crm.mask_column(table, column, ''clear'') opens one.';
    END IF;
    RETURN view;
END
$$;
COMMENT ON FUNCTION apply_masks(regclass, name[]) IS
'puts the masks of a table into force, again after any change: nobody but the owner and the readers keeps SELECT on masked columns of the table, its partitions and children; <table>_masked shows the masks; who could read the table reads its clear columns and the view. Columns added later are denied until crm.mask_column classifies them. readers null keeps those of the last call. Errors: 55000 nothing to mask, row security, mixed owners; 42501 not the owner';

CREATE FUNCTION drop_masks(tab regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    view regclass := crm.masked_view(tab);
BEGIN
    PERFORM crm.require_table_owner(tab);
    IF view IS NOT NULL AND EXISTS (SELECT FROM crm.masked_table m WHERE m.relid = tab) THEN
        EXECUTE format('DROP VIEW %s', view);
    END IF;
    DELETE FROM crm.masked_table m WHERE m.relid = tab;
    DELETE FROM crm.mask_policy p WHERE p.relid = tab;
    DELETE FROM crm.mask_accepted a WHERE a.relid = tab;
END
$$;
COMMENT ON FUNCTION drop_masks(regclass) IS 'forgets the policy of a table and drops its masked view. Privileges are not given back: GRANT what should be readable again';

CREATE FUNCTION adopt_masks(schema text) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v record;
    c record;
    adopted integer := 0;
BEGIN
    FOR v IN
        SELECT t.oid::regclass AS tab, substring(obj_description(crm.masked_view(t.oid::regclass), 'pg_class') FROM ' with its masks: (\{.*\})$')::jsonb AS policy
        FROM pg_class t
        WHERE t.relnamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = schema) AND t.relkind IN ('r', 'p')
          AND crm.masked_view(t.oid::regclass) IS NOT NULL
          AND NOT EXISTS (SELECT FROM crm.masked_table m WHERE m.relid = t.oid)
    LOOP
        CONTINUE WHEN v.policy IS NULL;
        FOR c IN SELECT p.key, p.value FROM jsonb_each(v.policy) p
        LOOP
            PERFORM crm.mask_column(v.tab, c.key::name, c.value ->> 'kind', c.value - 'kind');
        END LOOP;
        PERFORM crm.apply_masks(v.tab);
        adopted := adopted + 1;
    END LOOP;
    RETURN adopted;
END
$$;
COMMENT ON FUNCTION adopt_masks(text) IS 'takes over the masks of a schema that was restored from a dump of its own, from the comments of its masked views; the number of tables';

CREATE FUNCTION masked_dump(schema text) RETURNS SETOF text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    t record;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = schema) THEN
        RAISE EXCEPTION 'schema "%" does not exist', schema USING ERRCODE = 'invalid_schema_name';
    END IF;
    RETURN NEXT '-- Run by psql in an empty folder; masked tables come from their masked views.';
    RETURN NEXT 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;';
    FOR t IN
        SELECT c.relname, CASE WHEN m.relid IS NULL THEN c.oid::regclass ELSE crm.masked_view(m.relid) END AS relation, m.relid IS NOT NULL AS masked
        FROM pg_class c
        LEFT JOIN crm.masked_table m ON m.relid = c.oid
        WHERE c.relnamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = schema)
          AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND NOT crm.stands_for_view(c.oid)
          AND CASE WHEN m.relid IS NULL THEN has_table_privilege(c.oid, 'SELECT')
                   ELSE has_table_privilege(crm.masked_view(m.relid), 'SELECT') END
        ORDER BY c.relname
    LOOP
        RETURN NEXT format('\copy (SELECT * FROM %s) TO %L WITH (FORMAT csv, HEADER)', t.relation, t.relname || '.csv');
    END LOOP;
    RETURN NEXT 'COMMIT;';
END
$$;
COMMENT ON FUNCTION masked_dump(text) IS 'a psql script, line by line, that exports what the caller may read of a schema to a CSV file a table, masked tables through their masked views: psql -XAtc "SELECT crm.masked_dump(''shop'')" | psql';
