-- Old entries, moved out of the ledger; see doc/scale.md.

CREATE TABLE points_start (
    customer_id bigint NOT NULL,
    program text COLLATE "C" NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    available bigint NOT NULL,
    pending bigint NOT NULL,
    earned bigint NOT NULL,
    redeemed bigint NOT NULL,
    refunded bigint NOT NULL,
    expired bigint NOT NULL,
    adjusted bigint NOT NULL,
    transferred bigint NOT NULL,
    booked_at timestamptz NOT NULL,
    lots crm.points_lots NOT NULL,
    head bytea NOT NULL,
    checkpoint bigint NOT NULL REFERENCES points_checkpoint,
    archived_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (customer_id, program, seq),
    FOREIGN KEY (customer_id, program) REFERENCES points_account
);
COMMENT ON TABLE points_start IS 'what an account was after an entry, up to which its entries stand in points_entry_archive: verification goes on from the last row of an account. Append-only, written by archive_points alone';
COMMENT ON COLUMN points_start.customer_id IS 'whose account';
COMMENT ON COLUMN points_start.program IS 'kind of points';
COMMENT ON COLUMN points_start.seq IS 'the last archived entry';
COMMENT ON COLUMN points_start.available IS 'points that could be spent after it; below zero what was owed';
COMMENT ON COLUMN points_start.pending IS 'points earned that were not available yet';
COMMENT ON COLUMN points_start.earned IS 'earned till then';
COMMENT ON COLUMN points_start.redeemed IS 'redeemed and captured till then, less what was restored';
COMMENT ON COLUMN points_start.refunded IS 'clawed back till then';
COMMENT ON COLUMN points_start.expired IS 'expired till then';
COMMENT ON COLUMN points_start.adjusted IS 'adjusted by hand till then, up less down';
COMMENT ON COLUMN points_start.transferred IS 'received less given away till then';
COMMENT ON COLUMN points_start.booked_at IS 'moment of that entry';
COMMENT ON COLUMN points_start.lots IS 'the points by expiry and availability';
COMMENT ON COLUMN points_start.head IS 'hash of that entry: the one that the checkpoint has of the account';
COMMENT ON COLUMN points_start.checkpoint IS 'the first checkpoint that has that entry as the account''s last';
COMMENT ON COLUMN points_start.archived_at IS 'when the entries were moved';

CREATE TABLE points_entry_archive (
    customer_id bigint NOT NULL,
    program text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    first_seq bigint NOT NULL CHECK (first_seq BETWEEN 1 AND seq),
    digests bytea NOT NULL,
    entries crm.points_archived[] NOT NULL,
    PRIMARY KEY (customer_id, program, seq),
    FOREIGN KEY (customer_id, program) REFERENCES points_account
);
COMMENT ON TABLE points_entry_archive IS 'archived entries, up to 1,000 of an account in a row, compressed; points_entry_archived has them as rows. Written by archive_points alone';
COMMENT ON COLUMN points_entry_archive.customer_id IS 'whose account';
COMMENT ON COLUMN points_entry_archive.program IS 'kind of points';
COMMENT ON COLUMN points_entry_archive.seq IS 'number of the last entry in the row';
COMMENT ON COLUMN points_entry_archive.first_seq IS 'number of the first';
COMMENT ON COLUMN points_entry_archive.digests IS 'crm.points_digest of each reference, one after another: whether a reference may be in the row';
COMMENT ON COLUMN points_entry_archive.entries IS 'the entries, by seq';

CREATE VIEW points_entry_archived AS
SELECT a.customer_id, e.seq, e.points, e.balance_after, e.occurred_at, e.booked_at, e.reverses, e.expires_at, e.available_at, e.shortfall,
       a.program, e.kind, e.source, e.reference, e.lots, e.detail, e.note_hash, e.actor, e.hash
FROM points_entry_archive a
CROSS JOIN LATERAL unnest(a.entries) e;
COMMENT ON VIEW points_entry_archived IS 'the archived entries, with the columns of points_entry';

CREATE VIEW points_entry_all AS
SELECT e.customer_id, e.seq, e.points, e.balance_after, e.occurred_at, e.booked_at, e.reverses, e.expires_at, e.available_at, e.shortfall,
       e.program, e.kind, e.source, e.reference, e.lots, e.detail, e.note_hash, e.actor, e.hash
FROM points_entry e
UNION ALL
SELECT a.customer_id, a.seq, a.points, a.balance_after, a.occurred_at, a.booked_at, a.reverses, a.expires_at, a.available_at, a.shortfall,
       a.program, a.kind, a.source, a.reference, a.lots, a.detail, a.note_hash, a.actor, a.hash
FROM points_entry_archived a;
COMMENT ON VIEW points_entry_all IS 'every entry, be it in points_entry or in the archive';
