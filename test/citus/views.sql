-- What each access kind reads of views of customers, on one node and on several.  psql -v store=shop
SET search_path = :store, crm;
INSERT INTO customer (customer_id, joined_at) SELECT i, '2025-01-01' FROM generate_series(9501, 9520) i;
INSERT INTO contact (customer_id, name, phone, email, wechat, id_number, address, birth_date, updated_at, source, provenance)
SELECT i, '张三' || i, '+861370000' || i, 'buyer' || i || '@example.com', 'wx_buyer' || i, '11010519491231002X', '北京市朝阳区建国路 ' || i || ' 号', '1980-02-03', '2026-01-02', 'person',
       '{"*": {"source": "person", "at": "2026-01-02T00:00:00Z", "basis": "contract"}}' FROM generate_series(9501, 9515) i;
UPDATE contact SET phone = '123', provenance = provenance || '{"phone": {"source": "import", "at": "2026-01-03T00:00:00Z", "basis": "contract"}}', updated_at = '2020-01-01' WHERE customer_id IN (9503, 9504);
INSERT INTO identity (channel, external_id, customer_id, created_at) SELECT 'web', 'someone' || i, i, '2026-01-01' FROM generate_series(9501, 9520) i;
INSERT INTO note (customer_id, note_id, at, author, body) SELECT i, i, '2026-01-01', 'amy', 'call ' || i || ' at 13812341234, Zhang Sanfeng' FROM generate_series(9501, 9520) i;
INSERT INTO privacy_policy (version, valid_from, body, purposes) VALUES ('views', '2020-01-01', 'all', '{marketing}');
INSERT INTO consent (customer_id, consent_id, purpose, channel, given, at)
SELECT i, 10 * i + n, 'marketing', CASE n % 2 WHEN 0 THEN '*' ELSE 'sms' END, (i + n) % 3 > 0, '2026-01-01'::timestamptz + n * interval '1 day' FROM generate_series(9501, 9520) i, generate_series(1, 3) n;
INSERT INTO purchase (customer_id, channel, order_no, status, amount, ordered_at, paid_at)
SELECT i, 'mall', 'V' || i || '-' || n, 'completed', 100 * n, '2026-01-01', '2026-01-01' FROM generate_series(9501, 9518) i, generate_series(1, 3) n;
DO $$
BEGIN
    FOR i IN 9501 .. 9506 LOOP
        PERFORM earn(i, 50, 'test', 'v1', expires_at => '2026-02-01', as_of => '2026-01-02');
        PERFORM earn(i, 70, 'test', 'v2', available_at => '2026-01-10', as_of => '2026-01-02');
        PERFORM redeem(i, 20, 'test', 'v3', as_of => '2026-01-03');
    END LOOP;
END
$$;
INSERT INTO behavior_event (customer_id, at, kind) SELECT i, '2026-01-05', 'view' FROM generate_series(9501, 9510) i;
INSERT INTO interaction (customer_id, interaction_id, at, channel, direction)
SELECT i, 10 * i + n, '2026-01-05'::timestamptz + n * interval '1 hour', 'phone', CASE n % 2 WHEN 1 THEN 'in' ELSE 'out' END FROM generate_series(9505, 9520) i, generate_series(1, 4) n;
INSERT INTO ticket (customer_id, ticket_id, category, subject, state, opened_at, deadline_at, answered_at, closed_at)
SELECT i, 10 * i + n, 'delivery', 'late', CASE n WHEN 3 THEN 'new' ELSE 'closed' END, '2026-01-05'::timestamptz + n * interval '1 day', '2026-01-06'::timestamptz + n * interval '1 day',
       '2026-01-05 10:00'::timestamptz + n * interval '1 day', CASE WHEN n < 3 THEN '2026-01-08'::timestamptz + n * interval '1 day' END
FROM generate_series(9501, 9510) i, generate_series(1, 3) n;
INSERT INTO survey (survey, title) VALUES ('views', 'views');
INSERT INTO survey_question (survey, version, question, seq, kind, wording, overall) VALUES ('views', 1, 'q', 1, 'csat', 'q', true);
INSERT INTO survey_invitation (customer_id, invitation_id, survey, version, invited_at, expires_at, answered_at)
SELECT i, ('00000000-0000-0000-0000-00000000' || i)::uuid, 'views', 1, '2026-01-05', '2030-01-01', '2026-01-06' FROM generate_series(9501, 9510) i;
INSERT INTO survey_answer (customer_id, invitation_id, question, answers, score)
SELECT i, ('00000000-0000-0000-0000-00000000' || i)::uuid, 'q', '{4}', 1 + i % 5 FROM generate_series(9501, 9510) i;

SELECT count(crm.grant_access(:'store', 'crm_citus_views_' || k, k)) FROM unnest('{owner,agent,marketer,analyst,auditor,app}'::text[]) k;

-- Of each view the rows of some customers, those of one, and how many there are, by who may read it; with a table that she may read too.
SELECT format('SET ROLE %I', r.role), format('SELECT %L', r.role || ' ' || r.view),
       format('WITH x AS MATERIALIZED (SELECT %s FROM %I v WHERE customer_id BETWEEN 9501 AND 9520) SELECT count(*), md5(string_agg(%s, '';'' ORDER BY %s)) FROM x', r.columns, r.view, r.line, r.line),
       format('WITH x AS MATERIALIZED (SELECT %s FROM %I v WHERE customer_id = 9505) SELECT count(*), string_agg(%s, '';'' ORDER BY %s) FROM x', r.columns, r.view, r.line, r.line),
       format('SELECT count(*) FROM %I v WHERE v.customer_id > 9500', r.view),
       CASE WHEN r.joins THEN format('SELECT count(*), sum(s.order_count) FROM customer_summary s LEFT JOIN %I v USING (customer_id) WHERE s.customer_id BETWEEN 9501 AND 9520', r.view) END,
       CASE WHEN r.joins THEN format('WITH x AS MATERIALIZED (SELECT s.order_count, %s FROM customer_summary s JOIN %I v USING (customer_id) WHERE s.customer_id = 9504) SELECT count(*), string_agg(%s, '';'' ORDER BY %s) FROM x', r.columns, r.view, r.line, r.line) END
FROM (SELECT o.rolname AS role, k.relname AS view,
             -- Contact data says when it was told, which is now.
             format('regexp_replace(x::text, %L, ''today'', ''g'')', to_char(now(), 'YYYY-MM-DD') || '[^",)}]*') AS line, string_agg(format('v.%I', a.attname), ', ' ORDER BY a.attnum) AS columns,
             has_column_privilege(o.rolname, 'customer_summary', 'order_count', 'SELECT') AND has_column_privilege(o.rolname, 'customer_summary', 'customer_id', 'SELECT') AND k.relname NOT IN ('duplicate_queue', 'survey_score') AS joins
      FROM pg_class k JOIN pg_attribute a ON a.attrelid = k.oid AND a.attnum > 0 AND NOT a.attisdropped CROSS JOIN pg_roles o
      WHERE k.relnamespace = (SELECT c.relnamespace FROM pg_class c WHERE c.oid = 'customer'::regclass) AND k.relkind = 'v'
        AND o.rolname LIKE 'crm\_citus\_views\_%' AND has_column_privilege(o.rolname, k.oid, a.attname, 'SELECT')
        AND k.relname <> 'check_in_leaderboard'
        -- Before the first fit of a store over several nodes all values are low.
        AND a.attname NOT IN ('value_class', 'service_grade')
        AND EXISTS (SELECT FROM pg_attribute c WHERE c.attrelid = k.oid AND c.attname = 'customer_id' AND has_column_privilege(o.rolname, k.oid, c.attname, 'SELECT'))
      GROUP BY 1, 2, k.oid) r
ORDER BY 1, 2
\gexec
RESET ROLE;
