-- Checkpoints of a distributed ledger: each part has a tree over its accounts, and the checkpoint one over the roots of the parts.

CREATE OR REPLACE FUNCTION points_checkpoint() RETURNS points_checkpoint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    last points_checkpoint;
    taken points_checkpoint;
    number bigint;
    trees jsonb;
BEGIN
    LOCK TABLE points_checkpoint IN SHARE ROW EXCLUSIVE MODE;
    SELECT * INTO last FROM points_checkpoint ORDER BY checkpoint DESC LIMIT 1;
    number := coalesce(last.checkpoint, 0) + 1;
    -- Accounts do not touch each other across parts, so each part has its own moment: of an account the checkpoint says that it was
    -- so at or after taken_at.
    taken.taken_at := clock_timestamp();
    trees := (SELECT jsonb_agg(a::jsonb) FROM ask_parts(format('SELECT to_jsonb(r)::text FROM checkpoint_part(%L) r', number), NULL, true) a);
    taken.checkpoint := number;
    SELECT sum(t.accounts), sum(t.entries), sum(t.changed), crm.merkle_root(array_agg(crm.points_part_leaf(t.place, t.changed, t.root) ORDER BY t.place))
        INTO taken.accounts, taken.entries, taken.changed, taken.tree_root
    FROM (SELECT v.*, p.place FROM jsonb_to_recordset(trees) v (part bigint, accounts bigint, entries numeric, changed bigint, root bytea)
          JOIN part_key p ON p.part = v.part) t;
    INSERT INTO points_checkpoint (checkpoint, taken_at, accounts, entries, changed, tree_root, root)
    VALUES (taken.checkpoint, taken.taken_at, taken.accounts, taken.entries, taken.changed, taken.tree_root,
            crm.points_root(last.root, taken.tree_root, taken.checkpoint, taken.taken_at, taken.accounts, taken.entries::bigint, taken.changed))
    RETURNING * INTO taken;
    INSERT INTO points_checkpoint_part (checkpoint, place, part, changed, root)
    SELECT number, p.place, v.part, v.changed, v.root
    FROM jsonb_to_recordset(trees) v (part bigint, changed bigint, root bytea) JOIN part_key p ON p.part = v.part;
    RETURN taken;
END
$$;

CREATE OR REPLACE FUNCTION points_proof(customer_id bigint, program text DEFAULT 'points', checkpoint bigint DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    l points_checkpoint_leaf;
    c points_checkpoint;
    b points_checkpoint;
    t points_checkpoint_part;
    path text;
BEGIN
    SELECT k.* INTO l FROM points_checkpoint_leaf k
    WHERE k.customer_id = $1 AND k.program = $2 AND ($3 IS NULL OR k.checkpoint <= $3) ORDER BY k.checkpoint DESC LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT k.* INTO c FROM points_checkpoint k WHERE k.checkpoint = l.checkpoint;
    SELECT k.* INTO b FROM points_checkpoint k WHERE k.checkpoint = l.checkpoint - 1;
    SELECT k.* INTO t FROM points_checkpoint_part k WHERE k.checkpoint = l.checkpoint AND k.part = part_of($1);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'checkpoint % was taken when this customer was in another part', l.checkpoint
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Its shard was split since. Proofs that were given before still hold; SELECT points_checkpoint() before and after a split.';
    END IF;
    SELECT a INTO path FROM ask_part(t.part, format(
        'SELECT (SELECT coalesce(jsonb_agg(encode(p.hash, ''hex'') ORDER BY p.n), ''[]'')
                 FROM unnest(crm.merkle_path((SELECT array_agg(crm.points_leaf(o.customer_id, o.program, o.seq, o.head) ORDER BY o.leaf)
                                              FROM points_checkpoint_leaf o WHERE o.checkpoint = %L), %L)) WITH ORDINALITY AS p (hash, n))::text', l.checkpoint, l.leaf)) a;
    RETURN jsonb_build_object(
        'customer_id', l.customer_id, 'program', l.program, 'seq', l.seq, 'head', encode(l.head, 'hex'),
        'checkpoint', l.checkpoint, 'index', l.leaf, 'size', t.changed, 'tree_root', encode(c.tree_root, 'hex'), 'path', path::jsonb,
        'part', jsonb_build_object(
            'place', t.place, 'parts', (SELECT count(*) FROM points_checkpoint_part k WHERE k.checkpoint = l.checkpoint), 'root', encode(t.root, 'hex'),
            'path', (SELECT coalesce(jsonb_agg(encode(p.hash, 'hex') ORDER BY p.n), '[]')
                     FROM unnest(crm.merkle_path((SELECT array_agg(crm.points_part_leaf(o.place, o.changed, o.root) ORDER BY o.place)
                                                  FROM points_checkpoint_part o WHERE o.checkpoint = l.checkpoint), t.place)) WITH ORDINALITY AS p (hash, n))),
        'previous_root', encode(coalesce(b.root, decode(repeat('00', 32), 'hex')), 'hex'),
        'chain', (SELECT jsonb_agg(jsonb_build_object('checkpoint', k.checkpoint, 'taken_at', (extract(epoch FROM k.taken_at) * 1000000)::bigint - 946684800000000,
                                                      'accounts', k.accounts, 'entries', k.entries, 'changed', k.changed,
                                                      'tree_root', encode(k.tree_root, 'hex'), 'root', encode(k.root, 'hex')) ORDER BY k.checkpoint)
                  FROM points_checkpoint k WHERE k.checkpoint >= l.checkpoint AND ($3 IS NULL OR k.checkpoint <= $3)));
END
$$;

CREATE OR REPLACE FUNCTION points_verify_since(checkpoint bigint DEFAULT NULL, part integer DEFAULT 1, parts integer DEFAULT 1)
RETURNS TABLE (customer_id bigint, program text, seq bigint, finding text)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN QUERY
    SELECT v.* FROM ask_parts(format('SELECT to_jsonb(r)::text FROM points_verify_since(%L, %L, %L) r', $1, $2, $3)) j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (customer_id bigint, program text, seq bigint, finding text);
END
$$;

CREATE OR REPLACE FUNCTION points_verify_checkpoints() RETURNS TABLE (customer_id bigint, program text, seq bigint, finding text)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    trees jsonb;
BEGIN
    RETURN QUERY
    SELECT v.* FROM ask_parts('SELECT to_jsonb(r)::text
        FROM (SELECT l.customer_id, l.program, l.seq, format(''checkpoint %s had an entry here that is gone or was changed'', l.checkpoint) AS finding
              FROM points_checkpoint_leaf l
              LEFT JOIN points_entry e ON e.customer_id = l.customer_id AND e.program = l.program AND e.seq = l.seq
              WHERE e.hash IS DISTINCT FROM l.head) r') j
    CROSS JOIN LATERAL jsonb_to_record(j::jsonb) v (customer_id bigint, program text, seq bigint, finding text);
    trees := (SELECT jsonb_agg(a::jsonb) FROM ask_parts('SELECT to_jsonb(r)::text FROM checkpoint_trees() r') a);
    RETURN QUERY
    SELECT NULL::bigint, NULL::text, NULL::bigint, format('checkpoint %s is not what its leaves in part %s give', k.checkpoint, k.part)
    FROM points_checkpoint_part k
    JOIN jsonb_to_recordset(trees) t (part bigint, checkpoint bigint, changed bigint, root bytea) ON t.part = k.part AND t.checkpoint = k.checkpoint
    WHERE t.changed <> k.changed OR t.root <> k.root
    ORDER BY k.checkpoint, k.part;
    RETURN QUERY
    SELECT NULL::bigint, NULL::text, NULL::bigint, format('checkpoint %s is not what the roots of its parts and the root before give', c.checkpoint)
    FROM (SELECT k.*, lag(k.root) OVER (ORDER BY k.checkpoint) AS previous, lag(k.checkpoint, 1, 0::bigint) OVER (ORDER BY k.checkpoint) AS before
          FROM points_checkpoint k) c
    LEFT JOIN (SELECT p.checkpoint, sum(p.changed) AS changed, crm.merkle_root(array_agg(crm.points_part_leaf(p.place, p.changed, p.root) ORDER BY p.place)) AS tree_root
               FROM points_checkpoint_part p GROUP BY p.checkpoint) t ON t.checkpoint = c.checkpoint
    WHERE t.changed IS DISTINCT FROM c.changed OR t.tree_root IS DISTINCT FROM c.tree_root OR c.checkpoint <> c.before + 1
       OR c.root <> crm.points_root(c.previous, c.tree_root, c.checkpoint, c.taken_at, c.accounts, c.entries::bigint, c.changed)
    ORDER BY c.checkpoint;
END
$$;
