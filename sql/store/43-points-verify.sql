-- Verification of the ledger.

CREATE FUNCTION points_tables() RETURNS SETOF regclass
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $points$
    SELECT t.relid FROM pg_partition_tree('points_entry') t WHERE t.isleaf
    UNION ALL
    SELECT c.oid FROM pg_class c WHERE c.oid = 'points_entry'::regclass AND c.relkind = 'r'
$points$;
COMMENT ON FUNCTION points_tables() IS 'the tables that the entries stand in: points_entry, or its partitions';

CREATE FUNCTION points_verify_rows(only_customer bigint, only_program text, part integer, parts integer, archive boolean)
RETURNS TABLE (customer_id bigint, program text, seq bigint, finding text)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET plan_cache_mode = force_custom_plan
AS $points$
#variable_conflict use_column
BEGIN
    -- Planned with its arguments: for one customer it reads that customer's rows alone.
    RETURN QUERY
    SELECT v.customer_id, v.program, v.seq, v.finding
    FROM (SELECT t.relation FROM points_tables() t (relation) WHERE $1 IS NULL
          UNION ALL SELECT 'points_entry'::regclass WHERE $1 IS NOT NULL) p
    CROSS JOIN LATERAL crm.points_verify_shards(p.relation, $1, $2, $3, $4) v
    UNION ALL
    SELECT v.customer_id, v.program, v.seq, v.finding
    FROM crm.points_verify_archive('points_entry'::regclass, $1, $2, $3, $4) v
    WHERE $5 AND EXISTS (SELECT FROM points_entry_archive)
    UNION ALL
    -- What is archived begins where a checkpoint says, and ends there.
    SELECT s.customer_id, s.program, s.seq, CASE WHEN l.seq IS NULL THEN format('checkpoint %s does not have the start of the account', s.checkpoint)
                                                 ELSE 'archived entries before the start of the account are missing' END
    FROM points_start s
    LEFT JOIN points_checkpoint_leaf l ON l.customer_id = s.customer_id AND l.program = s.program AND l.checkpoint = s.checkpoint
        AND l.seq = s.seq AND l.head = s.head
    LEFT JOIN points_entry_archive c ON c.customer_id = s.customer_id AND c.program = s.program AND c.seq = s.seq
    WHERE ($1 IS NULL OR s.customer_id = $1) AND ($2 IS NULL OR s.program = $2) AND mod(mod(s.customer_id, $4) + $4, $4) = $3 - 1
      AND (l.seq IS NULL OR c.seq IS NULL)
    UNION ALL
    SELECT c.customer_id, c.program, c.seq, CASE WHEN s.seq IS NULL THEN 'archived entries stand after the last start of the account'
                                                 ELSE 'the digests of archived references are not theirs' END
    FROM points_entry_archive c
    LEFT JOIN LATERAL (SELECT s.seq FROM points_start s WHERE s.customer_id = c.customer_id AND s.program = c.program AND s.seq >= c.seq LIMIT 1) s ON true
    WHERE $5 AND ($1 IS NULL OR c.customer_id = $1) AND ($2 IS NULL OR c.program = $2) AND mod(mod(c.customer_id, $4) + $4, $4) = $3 - 1
      AND (s.seq IS NULL OR c.digests <> (SELECT coalesce(string_agg(crm.points_digest(e.kind, e.reference), ''::bytea ORDER BY e.seq), ''::bytea)
                                          FROM unnest(c.entries) e))
    UNION ALL
    SELECT h.customer_id, h.program, h.seq, 'points_hold differs from the archived entries'
    FROM points_hold h
    JOIN points_account a ON a.customer_id = h.customer_id AND a.program = h.program AND a.archived >= h.seq
    LEFT JOIN points_entry_archived e ON e.customer_id = h.customer_id AND e.program = h.program AND e.seq = h.seq AND e.kind = 'hold'
    WHERE $5 AND $3 = 1 AND ($1 IS NULL OR h.customer_id = $1) AND ($2 IS NULL OR h.program = $2)
      AND (e.seq IS NULL OR h.state = 'open' OR (h.source, h.reference, h.points) IS DISTINCT FROM (e.source, e.reference, e.points)
           OR h.due_at IS DISTINCT FROM e.expires_at OR NOT h.lots = e.lots)
    UNION ALL
    SELECT coalesce(h.customer_id, e.customer_id), coalesce(h.program, e.program), coalesce(h.seq, e.seq),
           CASE WHEN h.seq IS NULL THEN 'the hold of this entry is missing in points_hold'
                WHEN e.seq IS NULL THEN 'points_hold has a hold without an entry'
                ELSE 'points_hold differs from the entries' END
    FROM (SELECT p.* FROM points_hold p JOIN points_account a ON a.customer_id = p.customer_id AND a.program = p.program AND a.archived < p.seq
          WHERE ($1 IS NULL OR p.customer_id = $1) AND ($2 IS NULL OR p.program = $2)) h
    FULL JOIN (SELECT p.customer_id, p.program, p.seq, p.source, p.reference, p.points, p.expires_at, p.lots,
                      coalesce(c.state, r.state, 'open') AS state, coalesce(c.points, 0) AS captured, coalesce(c.seq, r.seq) AS resolved_seq
               FROM points_entry p
               LEFT JOIN LATERAL (SELECT 'captured' AS state, x.points, x.seq FROM points_entry x
                                  WHERE x.customer_id = p.customer_id AND x.program = p.program AND x.reverses = p.seq
                                    AND x.kind = 'capture') c ON true
               LEFT JOIN LATERAL (SELECT CASE WHEN x.reference IS NULL THEN 'overdue' ELSE 'released' END AS state, x.seq FROM points_entry x
                                  WHERE x.customer_id = p.customer_id AND x.program = p.program AND x.reverses = p.seq
                                    AND x.kind = 'release' AND NOT (x.reference IS NULL AND x.source = 'capture')) r ON true
               WHERE p.kind = 'hold' AND ($1 IS NULL OR p.customer_id = $1) AND ($2 IS NULL OR p.program = $2)) e
        ON h.customer_id = e.customer_id AND h.program = e.program AND h.seq = e.seq
    WHERE $3 = 1 AND (h.seq IS NULL OR e.seq IS NULL
          OR (h.source, h.reference, h.points, h.state, h.captured) IS DISTINCT FROM (e.source, e.reference, e.points, e.state, e.captured)
          OR h.due_at IS DISTINCT FROM e.expires_at OR NOT h.lots = e.lots OR h.resolved_seq IS DISTINCT FROM e.resolved_seq)
    UNION ALL
    SELECT e.customer_id, e.program, max(e.seq), format('reference is used %s times: %s, %s, %s', count(*), e.kind, e.source, e.reference)
    FROM points_entry e
    WHERE $3 = 1 AND NOT EXISTS (SELECT FROM pg_constraint c JOIN pg_index i ON i.indexrelid = c.conindid
                                 WHERE c.conrelid = 'points_entry'::regclass AND c.conname = 'points_entry_reference'
                                   AND i.indisvalid AND i.indisunique)
      AND ($1 IS NULL OR e.customer_id = $1) AND ($2 IS NULL OR e.program = $2) AND e.reference IS NOT NULL
    GROUP BY e.customer_id, e.program, e.kind, e.source, e.reference
    HAVING count(*) > 1
    UNION ALL
    SELECT e.customer_id, e.program, e.seq, 'the note of this entry was changed'
    FROM points_note n
    JOIN points_entry_all e USING (customer_id, program, seq)
    WHERE $3 = 1 AND ($1 IS NULL OR n.customer_id = $1) AND ($2 IS NULL OR n.program = $2)
      AND e.note_hash IS DISTINCT FROM sha256(n.salt || convert_to(n.note, 'UTF8'))
    UNION ALL
    SELECT NULL, NULL, NULL, format('trigger %s of %s is %s', w.trigger, w.relation,
           CASE WHEN t.oid IS NULL THEN 'missing'
                ELSE CASE t.tgenabled WHEN 'O' THEN 'enabled for origin only' WHEN 'D' THEN 'disabled'
                                      WHEN 'R' THEN 'enabled for replica only' ELSE 'enabled always' END END)
    FROM (SELECT e.relation, x.trigger, x.state
          FROM (SELECT 'points_entry'::regclass UNION SELECT t.relation FROM points_tables() t (relation)) e (relation)
          CROSS JOIN (VALUES ('points_gate', 'O'::"char"), ('points_immutable_row', 'A'), ('points_immutable_statement', 'A')) x (trigger, state)
          UNION ALL
          VALUES ('points_account'::regclass, 'points_guard', 'O'::"char"),
                 ('points_account', 'points_guard_truncate', 'A'),
                 ('points_account', 'points_check_head', 'O'),
                 ('points_checkpoint', 'points_immutable_row', 'A'),
                 ('points_checkpoint', 'points_immutable_statement', 'A'),
                 ('points_checkpoint_leaf', 'points_immutable_row', 'A'),
                 ('points_checkpoint_leaf', 'points_immutable_statement', 'A'),
                 ('points_start', 'points_immutable_row', 'A'),
                 ('points_start', 'points_immutable_statement', 'A'),
                 ('points_entry_archive', 'points_immutable_row', 'A'),
                 ('points_entry_archive', 'points_immutable_statement', 'A')) AS w (relation, trigger, state)
    LEFT JOIN pg_trigger t ON t.tgrelid = w.relation AND t.tgname = w.trigger
    WHERE $1 IS NULL AND $2 IS NULL AND $3 = 1 AND t.tgenabled IS DISTINCT FROM w.state;
END
$points$;
COMMENT ON FUNCTION points_verify_rows(bigint, text, integer, integer, boolean) IS 'the rows of points_verify';

CREATE FUNCTION points_verify(customer_id bigint DEFAULT NULL, program text DEFAULT NULL, part integer DEFAULT 1, parts integer DEFAULT 1, archive boolean DEFAULT true)
RETURNS TABLE (customer_id bigint, program text, seq bigint, finding text)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $points$
    SELECT v.customer_id, v.program, v.seq, v.finding FROM points_verify_rows($1, $2, $3, $4, $5) v
$points$;
COMMENT ON FUNCTION points_verify(bigint, text, integer, integer, boolean) IS
'checks the whole ledger, a customer or a program, and gives a row for each account that is wrong with its first bad entry, none when all is well: hashes, arithmetic, lots, numbering, heads, holds, references, notes, and the states of the triggers. An archived account is built up from its start, which a checkpoint must have, and, unless archive is false, the start from the archived entries. Sessions that each take one of parts check in parallel';
