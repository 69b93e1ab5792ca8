-- The points ledger: its tables and the triggers that keep it.

CREATE TABLE points_program (
    program text COLLATE "C" PRIMARY KEY CHECK (program ~ '^[a-z][a-z0-9_]{0,30}$'),
    code text COLLATE "C" NOT NULL GENERATED ALWAYS AS (program) STORED UNIQUE,
    name_zh text,
    name_en text,
    redeemable boolean NOT NULL DEFAULT true,
    debt_allowed boolean NOT NULL DEFAULT false,
    expiry text NOT NULL DEFAULT 'never' CHECK (expiry IN ('never', 'days', 'months', 'year_end', 'fixed_dates')),
    expiry_n integer CHECK (expiry_n BETWEEN 0 AND 100000),
    expiry_round text NOT NULL DEFAULT 'month_end' CHECK (expiry_round IN ('none', 'day_end', 'month_end')),
    expiry_dates text[] CHECK (array_to_string(expiry_dates, ',', '') ~ '^((0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(,|$))+$'),
    restore_grace_days integer NOT NULL DEFAULT 0 CHECK (restore_grace_days BETWEEN 0 AND 36500),
    hold_minutes integer CHECK (hold_minutes BETWEEN 1 AND 52560000),
    value numeric(16,4) NOT NULL DEFAULT 0.01 CHECK (value >= 0),
    redemption_rate numeric(5,4) NOT NULL DEFAULT 1 CHECK (redemption_rate BETWEEN 0 AND 1),
    CHECK (expiry NOT IN ('days', 'months') OR expiry_n > 0),
    CHECK (expiry <> 'year_end' OR expiry_n >= 0),
    CHECK (expiry <> 'fixed_dates' OR expiry_dates IS NOT NULL)
);
COMMENT ON TABLE points_program IS 'the kinds of points';
COMMENT ON COLUMN points_program.code IS 'the same as program';
COMMENT ON COLUMN points_program.redeemable IS 'false: the points only count, such as growth value';
COMMENT ON COLUMN points_program.debt_allowed IS 'a refund or an adjustment may take the balance below zero; later points pay it off';
COMMENT ON COLUMN points_program.expiry IS 'when points expire for which no expires_at is given: never; expiry_n days or months after they were earned; at the end of the year expiry_n years later; at the next of expiry_dates';
COMMENT ON COLUMN points_program.expiry_round IS 'days and months are rounded up to the end of the day or month in the store''s time zone';
COMMENT ON COLUMN points_program.expiry_dates IS 'month and day such as 06-30: points expire when that day begins in the store''s time zone';
COMMENT ON COLUMN points_program.restore_grace_days IS 'points restored after their expiry live this long; 0: they expire at once';
COMMENT ON COLUMN points_program.hold_minutes IS 'a hold without expires_at is overdue after so long; null: never';
COMMENT ON COLUMN points_program.value IS 'what a point is worth, in the store''s currency, for points_liability';
COMMENT ON COLUMN points_program.redemption_rate IS 'share of the outstanding points that is expected to be redeemed, for points_liability';

CREATE TABLE points_account (
    customer_id bigint NOT NULL REFERENCES customer,
    program text COLLATE "C" NOT NULL REFERENCES points_program,
    seq bigint NOT NULL DEFAULT 0,
    available bigint NOT NULL DEFAULT 0,
    pending bigint NOT NULL DEFAULT 0,
    held bigint NOT NULL DEFAULT 0,
    earned bigint NOT NULL DEFAULT 0,
    redeemed bigint NOT NULL DEFAULT 0,
    refunded bigint NOT NULL DEFAULT 0,
    expired bigint NOT NULL DEFAULT 0,
    adjusted bigint NOT NULL DEFAULT 0,
    transferred bigint NOT NULL DEFAULT 0,
    booked_at timestamptz NOT NULL DEFAULT '-infinity',
    next_due timestamptz,
    closed boolean NOT NULL DEFAULT false,
    lots crm.points_lots NOT NULL DEFAULT '{}',
    head bytea NOT NULL DEFAULT '\x0000000000000000000000000000000000000000000000000000000000000000',
    archived bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (customer_id, program)
) WITH (fillfactor = 70);
CREATE INDEX points_account_due ON points_account (next_due);
COMMENT ON TABLE points_account IS 'the state of a customer''s points as of the last entry, written by the ledger alone; points_balance says what it is now';
COMMENT ON COLUMN points_account.earned IS 'earned over the account''s life';
COMMENT ON COLUMN points_account.refunded IS 'clawed back';
COMMENT ON COLUMN points_account.expired IS 'expired';
COMMENT ON COLUMN points_account.adjusted IS 'adjusted by hand, up less down';
COMMENT ON COLUMN points_account.transferred IS 'received less given away';
COMMENT ON COLUMN points_account.booked_at IS 'moment of the last entry';
COMMENT ON COLUMN points_account.seq IS 'number of the last entry';
COMMENT ON COLUMN points_account.available IS 'points that can be spent; below zero what is owed';
COMMENT ON COLUMN points_account.pending IS 'points earned that are not available yet';
COMMENT ON COLUMN points_account.held IS 'points put aside by open holds';
COMMENT ON COLUMN points_account.redeemed IS 'redeemed and captured over the account''s life, less what was restored';
COMMENT ON COLUMN points_account.next_due IS 'when the next lot expires or becomes available or a hold is overdue';
COMMENT ON COLUMN points_account.closed IS 'no movement is taken; the owner may change this column alone';
COMMENT ON COLUMN points_account.lots IS 'the points by expiry and availability';
COMMENT ON COLUMN points_account.archived IS 'entries up to this one stand in points_entry_archive; 0: none';
COMMENT ON COLUMN points_account.head IS 'hash of the last entry';

CREATE TABLE points_entry (
    customer_id bigint NOT NULL,
    seq bigint NOT NULL,
    points bigint NOT NULL,
    balance_after bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    booked_at timestamptz NOT NULL,
    reverses bigint,
    expires_at timestamptz,
    available_at timestamptz,
    shortfall bigint,
    program text COLLATE "C" NOT NULL DEFAULT 'points',
    kind text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    reference text COLLATE "C",
    lots crm.points_lots,
    detail jsonb,
    note_hash bytea,
    actor text,
    hash bytea NOT NULL,
    PRIMARY KEY (customer_id, program, seq),
    -- No foreign key to points_account: the gate locks the account of every entry, or makes it, and nothing deletes accounts.
    -- What tells entries of a customer apart comes first: whoever looks for one compares little else.
    CONSTRAINT points_entry_reference UNIQUE (customer_id, reference, program, kind, source)
);
CREATE INDEX points_entry_reverses ON points_entry (customer_id, program, reverses) WHERE reverses IS NOT NULL;
COMMENT ON TABLE points_entry IS 'every movement of points, append-only, each account''s entries chained by SHA-256 as doc/points-format.md says';
COMMENT ON COLUMN points_entry.program IS 'kind of points';
COMMENT ON COLUMN points_entry.kind IS 'earn, redeem, hold, capture, release, refund, restore, expire, mature, adjust, transfer_in or transfer_out';
COMMENT ON COLUMN points_entry.source IS 'who posts: with reference and kind the name of the request';
COMMENT ON COLUMN points_entry.seq IS '1, 2, 3 … within the account; set by the ledger';
COMMENT ON COLUMN points_entry.points IS 'how many; the kind says whether they come or go, an adjustment has a sign';
COMMENT ON COLUMN points_entry.balance_after IS 'points available after this entry; set by the ledger';
COMMENT ON COLUMN points_entry.occurred_at IS 'when it happened, as the caller says; else when it was posted';
COMMENT ON COLUMN points_entry.booked_at IS 'when it counts: occurred_at, but never before the entry before; set by the ledger';
COMMENT ON COLUMN points_entry.reverses IS 'seq of the entry that this one refunds, restores, captures, releases or matures';
COMMENT ON COLUMN points_entry.expires_at IS 'when these points expire (exclusive), or when a hold is overdue; null: never';
COMMENT ON COLUMN points_entry.available_at IS 'from when these points can be spent; null: at once; infinity: when an entry of kind mature says so';
COMMENT ON COLUMN points_entry.shortfall IS 'what a refund could not take back';
COMMENT ON COLUMN points_entry.reference IS 'with source and kind unique within the account, so that a repeated request changes nothing; null on entries that the ledger books itself';
COMMENT ON COLUMN points_entry.lots IS 'the lots that this entry took or gave back';
COMMENT ON COLUMN points_entry.detail IS 'the rule and the points of each item, for earnings by rule; else what the caller gave. Never erased, as source and reference are not';
COMMENT ON COLUMN points_entry.note_hash IS 'SHA-256 over salt and text of the entry''s points_note';
COMMENT ON COLUMN points_entry.actor IS 'who adjusted; the person behind a pooled login where crm.actor is set';
COMMENT ON COLUMN points_entry.hash IS 'SHA-256 over the hash before and this entry; set by the ledger';

CREATE TABLE points_hold (
    customer_id bigint NOT NULL,
    program text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    reference text COLLATE "C" NOT NULL,
    points bigint NOT NULL,
    due_at timestamptz,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'captured', 'released', 'overdue')),
    captured bigint NOT NULL DEFAULT 0,
    resolved_seq bigint,
    lots crm.points_lots NOT NULL,
    PRIMARY KEY (customer_id, program, seq),
    FOREIGN KEY (customer_id, program) REFERENCES points_account
);
CREATE INDEX points_hold_open ON points_hold (customer_id, program) WHERE state = 'open';
COMMENT ON TABLE points_hold IS 'points put aside, and what became of them; written by the ledger alone';
COMMENT ON COLUMN points_hold.seq IS 'the entry of kind hold';
COMMENT ON COLUMN points_hold.due_at IS 'when they go back if nothing happens; null: never';
COMMENT ON COLUMN points_hold.resolved_seq IS 'the entry that captured or released them';

CREATE TABLE points_note (
    customer_id bigint NOT NULL,
    program text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    salt bytea NOT NULL,
    note text NOT NULL,
    PRIMARY KEY (customer_id, program, seq),
    FOREIGN KEY (customer_id, program) REFERENCES points_account
);
COMMENT ON TABLE points_note IS 'free text of an entry. Its row may be deleted: the entry''s hash covers only sha256(salt || note), and without the salt nothing can be guessed back';

CREATE TABLE points_checkpoint (
    checkpoint bigint PRIMARY KEY,
    taken_at timestamptz NOT NULL DEFAULT now(),
    accounts bigint NOT NULL,
    entries numeric NOT NULL,
    changed bigint NOT NULL,
    tree_root bytea NOT NULL,
    root bytea NOT NULL
);
COMMENT ON TABLE points_checkpoint IS 'what the ledger was at a moment, in 32 bytes: root = sha256(0x02 || root before || tree_root || counts). Keep root outside the database';
COMMENT ON COLUMN points_checkpoint.changed IS 'accounts that changed since the checkpoint before: the leaves of the tree';
COMMENT ON COLUMN points_checkpoint.tree_root IS 'root of the Merkle tree (RFC 6962) over the heads of the changed accounts, by customer and program';

CREATE TABLE points_checkpoint_leaf (
    customer_id bigint NOT NULL,
    program text COLLATE "C" NOT NULL,
    checkpoint bigint NOT NULL REFERENCES points_checkpoint,
    leaf bigint NOT NULL,
    seq bigint NOT NULL,
    head bytea NOT NULL,
    PRIMARY KEY (customer_id, program, checkpoint),
    UNIQUE (checkpoint, leaf)
);
COMMENT ON TABLE points_checkpoint_leaf IS 'the leaves of every checkpoint, kept so that old roots still prove';

CREATE TRIGGER points_gate BEFORE INSERT ON points_entry
    FOR EACH ROW EXECUTE FUNCTION crm.points_gate();

CREATE TRIGGER points_guard BEFORE UPDATE OR DELETE ON points_account
    FOR EACH ROW EXECUTE FUNCTION crm.points_guard('closed');
CREATE TRIGGER points_guard_truncate BEFORE TRUNCATE ON points_account
    FOR EACH STATEMENT EXECUTE FUNCTION crm.points_immutable();
ALTER TABLE points_account ENABLE ALWAYS TRIGGER points_guard_truncate;
CREATE CONSTRAINT TRIGGER points_check_head AFTER UPDATE ON points_account
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION crm.points_check_head();

CREATE TRIGGER points_rules_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON points_program
    FOR EACH STATEMENT EXECUTE FUNCTION crm.points_rules_changed();
ALTER TABLE points_program ENABLE ALWAYS TRIGGER points_rules_changed;
CREATE TRIGGER points_rules_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON settings
    FOR EACH STATEMENT EXECUTE FUNCTION crm.points_rules_changed();
ALTER TABLE settings ENABLE ALWAYS TRIGGER points_rules_changed;

-- What the columns without a word above are.
COMMENT ON COLUMN points_program.program IS 'the name that every verb takes';
COMMENT ON COLUMN points_program.name_zh IS 'Chinese name';
COMMENT ON COLUMN points_program.name_en IS 'English name';
COMMENT ON COLUMN points_program.expiry_n IS 'days, months or years of expiry; null for kinds without';
COMMENT ON COLUMN points_account.customer_id IS 'whose points';
COMMENT ON COLUMN points_account.program IS 'kind of points';
COMMENT ON COLUMN points_entry.customer_id IS 'whose points';
COMMENT ON COLUMN points_hold.customer_id IS 'whose points';
COMMENT ON COLUMN points_hold.program IS 'kind of points';
COMMENT ON COLUMN points_hold.source IS 'who put them aside';
COMMENT ON COLUMN points_hold.reference IS 'name of the request';
COMMENT ON COLUMN points_hold.points IS 'how many were put aside';
COMMENT ON COLUMN points_hold.state IS 'open, captured, released, or overdue when release_overdue_holds gave them back';
COMMENT ON COLUMN points_hold.captured IS 'how many of them were spent';
COMMENT ON COLUMN points_hold.lots IS 'the lots that they came from';
COMMENT ON COLUMN points_note.customer_id IS 'whose entry';
COMMENT ON COLUMN points_note.program IS 'kind of points';
COMMENT ON COLUMN points_note.seq IS 'number of the entry';
COMMENT ON COLUMN points_note.salt IS '16 random bytes that stand before the text in its hash';
COMMENT ON COLUMN points_note.note IS 'the text';
COMMENT ON COLUMN points_checkpoint.checkpoint IS 'number of the checkpoint: 1, 2, 3 …';
COMMENT ON COLUMN points_checkpoint.taken_at IS 'when';
COMMENT ON COLUMN points_checkpoint.accounts IS 'accounts with an entry';
COMMENT ON COLUMN points_checkpoint.entries IS 'entries of all accounts';
COMMENT ON COLUMN points_checkpoint.root IS 'what to keep outside: covers this checkpoint and all before it';
COMMENT ON COLUMN points_checkpoint_leaf.customer_id IS 'whose account';
COMMENT ON COLUMN points_checkpoint_leaf.program IS 'kind of points';
COMMENT ON COLUMN points_checkpoint_leaf.checkpoint IS 'the checkpoint that it changed in';
COMMENT ON COLUMN points_checkpoint_leaf.leaf IS 'place among the leaves of that checkpoint, from 0';
COMMENT ON COLUMN points_checkpoint_leaf.seq IS 'number of the account''s last entry then';
COMMENT ON COLUMN points_checkpoint_leaf.head IS 'hash of that entry';
