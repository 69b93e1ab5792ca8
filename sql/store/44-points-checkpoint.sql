-- Checkpoints and proofs of the ledger.

CREATE VIEW points_unchecked AS
-- Found in the order of the table and sorted then: mostly they are few, and reading all accounts in the order of the key costs more.
WITH u AS MATERIALIZED (
    SELECT a.customer_id, a.program, a.seq, a.head
    FROM points_account a
    WHERE a.seq > 0 AND a.seq IS DISTINCT FROM (SELECT l.seq FROM points_checkpoint_leaf l
                                                WHERE l.customer_id = a.customer_id AND l.program = a.program
                                                ORDER BY l.checkpoint DESC LIMIT 1)
)
SELECT u.customer_id, u.program, row_number() OVER (ORDER BY u.customer_id, u.program) - 1 AS leaf, u.seq, u.head
FROM u;
COMMENT ON VIEW points_unchecked IS 'accounts that changed since the last checkpoint: what the next one is made of';
COMMENT ON COLUMN points_unchecked.customer_id IS 'the customer';
COMMENT ON COLUMN points_unchecked.program IS 'the program';
COMMENT ON COLUMN points_unchecked.leaf IS 'place in the tree of a checkpoint taken now';
COMMENT ON COLUMN points_unchecked.seq IS 'number of the last entry';
COMMENT ON COLUMN points_unchecked.head IS 'its hash';

CREATE FUNCTION points_checkpoint() RETURNS points_checkpoint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $points$
DECLARE
    last points_checkpoint;
    taken points_checkpoint;
BEGIN
    -- One at a time; the statement below then sees all that is committed, in one snapshot.
    LOCK TABLE points_checkpoint IN SHARE ROW EXCLUSIVE MODE;
    SELECT * INTO last FROM points_checkpoint ORDER BY checkpoint DESC LIMIT 1;
    -- The accounts are counted apart: keeping a copy of all to be counted costs more than reading them again.
    WITH changed AS MATERIALIZED (
        SELECT u.* FROM points_unchecked u
    ), totals AS (
        SELECT coalesce(last.checkpoint, 0) + 1 AS checkpoint, clock_timestamp() AS taken_at, n.accounts, n.entries,
               (SELECT count(*) FROM changed) AS changed,
               crm.merkle_root((SELECT coalesce(array_agg(crm.points_leaf(c.customer_id, c.program, c.seq, c.head) ORDER BY c.leaf), '{}') FROM changed c)) AS tree_root
        FROM (SELECT count(*) AS accounts, coalesce(sum(a.seq), 0) AS entries FROM points_account a WHERE a.seq > 0) n
    ), made AS (
        INSERT INTO points_checkpoint (checkpoint, taken_at, accounts, entries, changed, tree_root, root)
        SELECT t.checkpoint, t.taken_at, t.accounts, t.entries, t.changed, t.tree_root,
               crm.points_root(last.root, t.tree_root, t.checkpoint, t.taken_at, t.accounts, t.entries::bigint, t.changed)
        FROM totals t
        RETURNING *
    ), leaves AS (
        INSERT INTO points_checkpoint_leaf (customer_id, program, checkpoint, leaf, seq, head)
        SELECT c.customer_id, c.program, m.checkpoint, c.leaf, c.seq, c.head FROM changed c, made m
    )
    SELECT * INTO taken FROM made;
    RETURN taken;
END
$points$;
COMMENT ON FUNCTION points_checkpoint() IS
'takes a checkpoint: a Merkle tree over the heads of the accounts that changed since the last, chained to its root. Keep root where the database cannot reach: it proves later that nothing before it was changed or cut off';
REVOKE EXECUTE ON FUNCTION points_checkpoint() FROM PUBLIC;

CREATE FUNCTION points_proof(customer_id bigint, program text DEFAULT 'points', checkpoint bigint DEFAULT NULL) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $points$
    SELECT jsonb_build_object(
        'customer_id', l.customer_id, 'program', l.program, 'seq', l.seq, 'head', encode(l.head, 'hex'),
        'checkpoint', l.checkpoint, 'index', l.leaf, 'size', c.changed, 'tree_root', encode(c.tree_root, 'hex'),
        'path', (SELECT coalesce(jsonb_agg(encode(p.hash, 'hex') ORDER BY p.n), '[]')
                 FROM unnest(crm.merkle_path((SELECT array_agg(crm.points_leaf(o.customer_id, o.program, o.seq, o.head) ORDER BY o.leaf)
                                              FROM points_checkpoint_leaf o WHERE o.checkpoint = l.checkpoint), l.leaf)) WITH ORDINALITY AS p (hash, n)),
        'previous_root', encode(coalesce(b.root, decode(repeat('00', 32), 'hex')), 'hex'),
        'chain', (SELECT jsonb_agg(jsonb_build_object('checkpoint', k.checkpoint, 'taken_at', (extract(epoch FROM k.taken_at) * 1000000)::bigint - 946684800000000,
                                                      'accounts', k.accounts, 'entries', k.entries, 'changed', k.changed,
                                                      'tree_root', encode(k.tree_root, 'hex'), 'root', encode(k.root, 'hex')) ORDER BY k.checkpoint)
                  FROM points_checkpoint k
                  WHERE k.checkpoint >= l.checkpoint AND ($3 IS NULL OR k.checkpoint <= $3)))
    FROM points_checkpoint_leaf l
    JOIN points_checkpoint c ON c.checkpoint = l.checkpoint
    LEFT JOIN points_checkpoint b ON b.checkpoint = l.checkpoint - 1
    WHERE l.customer_id = $1 AND l.program = $2 AND ($3 IS NULL OR l.checkpoint <= $3)
    ORDER BY l.checkpoint DESC
    LIMIT 1
$points$;
COMMENT ON FUNCTION points_proof(bigint, text, bigint) IS
'proves an account''s last entry as of a checkpoint (null: the last): inclusion in the tree of the checkpoint in which it last changed, and the chain of roots from there. test/py/verify_ledger.py checks it without the database. Null when the account was in none';

CREATE VIEW points_export AS
SELECT e.customer_id, e.program, e.seq, e.kind, e.points, e.source, e.reference, e.reverses,
       CASE WHEN e.expires_at = 'infinity' THEN 9223372036854775807 ELSE (extract(epoch FROM e.expires_at) * 1000000)::bigint - 946684800000000 END AS expires_at,
       CASE WHEN e.available_at = 'infinity' THEN 9223372036854775807 ELSE (extract(epoch FROM e.available_at) * 1000000)::bigint - 946684800000000 END AS available_at,
       (extract(epoch FROM e.occurred_at) * 1000000)::bigint - 946684800000000 AS occurred_at,
       (extract(epoch FROM e.booked_at) * 1000000)::bigint - 946684800000000 AS booked_at,
       e.balance_after, e.shortfall, encode(crm.points_lots_send(e.lots), 'hex') AS lots, e.detail::text AS detail,
       encode(e.note_hash, 'hex') AS note_hash, e.actor, encode(e.hash, 'hex') AS hash
FROM points_entry_all e;
COMMENT ON VIEW points_export IS 'all entries, archived ones too, in a form that a program outside can hash again: moments in microseconds since 2000-01-01 UTC, bytes in hex. COPY (SELECT * FROM points_export ORDER BY 1, 2, 3) TO … CSV HEADER';

CREATE FUNCTION points_verify_since(checkpoint bigint DEFAULT NULL, part integer DEFAULT 1, parts integer DEFAULT 1)
RETURNS TABLE (customer_id bigint, program text, seq bigint, finding text)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $points$
    WITH account AS MATERIALIZED (
        SELECT a.customer_id, a.program, a.seq, a.head, a.available, a.booked_at, l.seq IS NOT NULL AND l.seq = a.seq AND l.head = a.head AS same
        FROM points_account a
        LEFT JOIN LATERAL (SELECT k.seq, k.head FROM points_checkpoint_leaf k
                           WHERE k.customer_id = a.customer_id AND k.program = a.program AND ($1 IS NULL OR k.checkpoint <= $1)
                           ORDER BY k.checkpoint DESC LIMIT 1) l ON true
        WHERE mod(mod(a.customer_id, $3) + $3, $3) = $2 - 1
    )
    SELECT v.customer_id, v.program, v.seq, v.finding
    FROM account a
    CROSS JOIN LATERAL crm.points_verify_entries('points_entry'::regclass, a.customer_id, a.program, 1, 1) v
    WHERE NOT a.same
    UNION ALL
    SELECT a.customer_id, a.program, a.seq,
           CASE WHEN n.seq IS NOT NULL THEN 'an entry stands after the account''s last'
                WHEN e.seq IS NULL THEN 'the last entry is missing'
                ELSE 'the account is not what its last entry says' END
    FROM account a
    LEFT JOIN (SELECT x.customer_id, x.program, x.seq, x.hash, x.balance_after, x.booked_at FROM points_entry x
               UNION ALL SELECT s.customer_id, s.program, s.seq, s.head, s.available, s.booked_at FROM points_start s) e
        ON e.customer_id = a.customer_id AND e.program = a.program AND e.seq = a.seq
    LEFT JOIN LATERAL (SELECT x.seq FROM points_entry x
                       WHERE x.customer_id = a.customer_id AND x.program = a.program AND x.seq > a.seq LIMIT 1) n ON true
    WHERE a.same AND (n.seq IS NOT NULL OR e.hash IS DISTINCT FROM a.head OR e.balance_after IS DISTINCT FROM a.available
                      OR e.booked_at IS DISTINCT FROM a.booked_at)
    UNION ALL
    SELECT DISTINCT l.customer_id, l.program, NULL::bigint, 'the account is gone'
    FROM points_checkpoint_leaf l
    WHERE mod(mod(l.customer_id, $3) + $3, $3) = $2 - 1 AND ($1 IS NULL OR l.checkpoint <= $1)
      AND NOT EXISTS (SELECT FROM points_account a WHERE a.customer_id = l.customer_id AND a.program = l.program)
$points$;
COMMENT ON FUNCTION points_verify_since(bigint, integer, integer) IS
'checks what changed since a checkpoint (null: the last): accounts that moved are built up again from all their entries (an archived account from its start), of the others the last entry and the balance are compared. What was changed inside an account that stands still is for points_verify to find. Sessions that each take one of parts check in parallel';

CREATE FUNCTION points_verify_checkpoints() RETURNS TABLE (customer_id bigint, program text, seq bigint, finding text)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $points$
    SELECT l.customer_id, l.program, l.seq, format('checkpoint %s had an entry here that is gone or was changed', l.checkpoint)
    FROM points_checkpoint_leaf l
    LEFT JOIN points_entry_all e ON e.customer_id = l.customer_id AND e.program = l.program AND e.seq = l.seq
    WHERE e.hash IS DISTINCT FROM l.head
    UNION ALL
    SELECT NULL, NULL, NULL, format('checkpoint %s is not what its leaves and the root before give', c.checkpoint)
    FROM (SELECT k.*, lag(k.root) OVER (ORDER BY k.checkpoint) AS previous, lag(k.checkpoint, 1, 0::bigint) OVER (ORDER BY k.checkpoint) AS before
          FROM points_checkpoint k) c
    CROSS JOIN LATERAL (SELECT count(*) AS n, crm.merkle_root(coalesce(array_agg(crm.points_leaf(l.customer_id, l.program, l.seq, l.head) ORDER BY l.leaf), '{}')) AS tree_root
                        FROM points_checkpoint_leaf l WHERE l.checkpoint = c.checkpoint) t
    WHERE t.n <> c.changed OR t.tree_root <> c.tree_root OR c.checkpoint <> c.before + 1
       OR c.root <> crm.points_root(c.previous, c.tree_root, c.checkpoint, c.taken_at, c.accounts, c.entries::bigint, c.changed)
$points$;
COMMENT ON FUNCTION points_verify_checkpoints() IS
'compares the ledger with every checkpoint, and the checkpoints with their leaves: finds accounts that are gone and chains that were forged whole since. Then compare the last root with the one kept outside';
