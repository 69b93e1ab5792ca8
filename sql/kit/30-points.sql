-- Points: the lots of an account, the triggers of a ledger.

CREATE TYPE points_lots;

CREATE FUNCTION points_lots_in(cstring) RETURNS points_lots
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_lots_in(cstring) IS 'input function of points_lots';

CREATE FUNCTION points_lots_out(points_lots) RETURNS cstring
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_lots_out(points_lots) IS 'output function of points_lots; moments are UTC whatever the session''s settings';

CREATE FUNCTION points_lots_recv(internal) RETURNS points_lots
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_lots_recv(internal) IS 'binary input of points_lots, as strict as the text form';

CREATE FUNCTION points_lots_send(points_lots) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_lots_send(points_lots) IS 'binary output of points_lots: the count (int4), then remaining, expires_at, available_at (int8 each) of every lot';

CREATE TYPE points_lots (
    INPUT = points_lots_in,
    OUTPUT = points_lots_out,
    RECEIVE = points_lots_recv,
    SEND = points_lots_send,
    INTERNALLENGTH = VARIABLE,
    STORAGE = extended
);
COMMENT ON TYPE points_lots IS
'points by the moments at which they expire and become available, ordered by expiry: {100 until 2026-12-31T00:00:00Z, 20 from 2026-05-01T00:00:00Z until 2027-01-31T16:00:00Z, 50}. Points without from can be spent; from infinity waits for an order to complete; points without until never expire. until is exclusive';

CREATE FUNCTION points_lots_eq(points_lots, points_lots) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_lots_eq(points_lots, points_lots) IS 'the same lots';

CREATE OPERATOR = (
    LEFTARG = points_lots,
    RIGHTARG = points_lots,
    FUNCTION = points_lots_eq,
    COMMUTATOR = =,
    RESTRICT = eqsel,
    JOIN = eqjoinsel
);
COMMENT ON OPERATOR = (points_lots, points_lots) IS 'the same lots';

CREATE FUNCTION points_lots_unnest(points_lots, OUT remaining bigint, OUT expires_at timestamptz, OUT available_at timestamptz)
RETURNS SETOF record
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 4 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_lots_unnest(points_lots) IS 'the lots as rows; expires_at null: never expires; available_at null: can be spent, infinity: waits for a mature entry';

CREATE FUNCTION points_state_at(available bigint, pending bigint, held bigint, lots points_lots, hold_lots points_lots[],
                                hold_due timestamptz[], at timestamptz,
                                OUT available bigint, OUT pending bigint, OUT held bigint, OUT lots points_lots)
RETURNS record
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_state_at(bigint, bigint, bigint, points_lots, points_lots[], timestamptz[], timestamptz) IS
'what an account is at a moment once everything due until then has lapsed, by the ledger''s own rules; hold_lots and hold_due are its open holds';

CREATE FUNCTION points_gate() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_gate() IS
'trigger BEFORE INSERT FOR EACH ROW of points_entry: the only code that moves points. Locks the account, books what is due, refuses what is not allowed (SQLSTATE CP001 to CP014), skips repeats, sets seq, booked_at, balance_after, lots and hash';

CREATE FUNCTION points_immutable() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_immutable() IS 'trigger that refuses what it fires on with SQLSTATE CP007: for tables that only grow';

CREATE FUNCTION points_guard() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_guard() IS 'trigger BEFORE UPDATE OR DELETE FOR EACH ROW that lets only the ledger write; its argument names a column that others may change';

CREATE FUNCTION points_check_head() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_check_head() IS 'deferred constraint trigger AFTER UPDATE of points_account: at commit its new entries are there and the last has the head''s hash';

CREATE FUNCTION points_rules_changed() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_rules_changed() IS 'trigger AFTER any statement on points_program and settings: makes backends read them again';

CREATE TYPE points_movement AS (
    customer_id bigint,
    kind text,
    points bigint,
    source text,
    reference text,
    program text,
    expires_at timestamptz,
    available_at timestamptz,
    reverses bigint,
    as_of timestamptz,
    detail jsonb
);
COMMENT ON TYPE points_movement IS 'one movement for post_points: a null program is points, a null as_of is now, null dates follow the program''s rules, null points take all (capture, release, refund, restore)';

CREATE TYPE points_result AS (
    ordinal integer,
    status text,
    customer_id bigint,
    program text,
    seq bigint,
    balance_after bigint,
    sqlstate text,
    message text
);
COMMENT ON TYPE points_result IS 'what became of a movement: posted, repeated (seq is the first entry''s) or refused with its SQLSTATE and message';

CREATE FUNCTION points_post(entries regclass, movements points_movement[], atomic boolean) RETURNS SETOF points_result
LANGUAGE c STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_post(regclass, points_movement[], boolean) IS
'posts movements to the ledger whose entries stand in a table: accounts are locked in order, entries written together. atomic: the first refusal raises; else each has its own result. For the owner of the table';

CREATE FUNCTION points_call_verb() RETURNS language_handler
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_call_verb() IS 'handler of the language crm_points';

CREATE FUNCTION points_check_verb(oid) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_check_verb(oid) IS 'validator of the language crm_points: the function has the arguments of its verb';

CREATE TRUSTED LANGUAGE crm_points HANDLER points_call_verb VALIDATOR points_check_verb;
COMMENT ON LANGUAGE crm_points IS
'the language of a store''s verbs that post one movement, earn, redeem, hold, capture, release, refund, restore and mature: the body is that word, the result a row of the ledger''s points_entry. It asks of the role that it runs as what an INSERT into that table asks, and comes to the same. Errors: those of points_gate';

CREATE FUNCTION points_transfer(entries regclass, customer_id bigint, to_customer_id bigint, program text, to_program text,
                                points bigint, to_points bigint, source text, reference text, as_of timestamptz, note_hash bytea)
RETURNS bigint
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_transfer(regclass, bigint, bigint, text, text, bigint, bigint, text, text, timestamptz, bytea) IS
'moves points between two accounts of a ledger, keeping the expiry of their lots (to_points are spread over them by largest remainder); note_hash, which may be null, goes into the transfer_out, whose seq is given. For the owner of the table';

CREATE FUNCTION points_transfer_out(entries regclass, customer_id bigint, to_customer_id bigint, program text, to_program text,
                                    points bigint, source text, reference text, as_of timestamptz, note_hash bytea,
                                    OUT seq bigint, OUT lots points_lots)
RETURNS record
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_transfer_out(regclass, bigint, bigint, text, text, bigint, text, text, timestamptz, bytea) IS
'one side of a transfer in a distributed store: posts the transfer_out on the shard of the giver and gives its number and what the other side gets; lots is null when the entry was there. For the owner of the table';

CREATE FUNCTION points_transfer_in(entries regclass, customer_id bigint, from_customer_id bigint, program text, from_program text,
                                   points bigint, source text, reference text, as_of timestamptz, lots points_lots)
RETURNS bigint
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_transfer_in(regclass, bigint, bigint, text, text, bigint, text, text, timestamptz, points_lots) IS
'the other side: posts the transfer_in on the shard of the receiver, in the same transaction. For the owner of the table';

CREATE FUNCTION points_move(entries regclass, customer_id bigint, to_customer_id bigint, program text, most bigint, source text, reference text)
RETURNS bigint
LANGUAGE c STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_move(regclass, bigint, bigint, text, bigint, text, text) IS
'moves available points, at most so many, between the accounts of two customers who are one person, keeping the expiry of their lots: also points that cannot be spent, and a debt (as a pair of adjustments). Gives how many, below zero for a debt; nothing moves from or to a closed account. For the owner of the table';

CREATE FUNCTION points_lapse_due(entries regclass, as_of timestamptz, batch integer) RETURNS bigint
LANGUAGE c STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_lapse_due(regclass, timestamptz, integer) IS
'books what is due until a moment on at most batch accounts, passing over locked ones; gives how many accounts. For the owner of the table';

CREATE FUNCTION points_verify_entries(entries regclass, only_customer bigint, only_program text, part integer, parts integer)
RETURNS TABLE (customer_id bigint, program text, seq bigint, finding text)
LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_verify_entries(regclass, bigint, text, integer, integer) IS
'builds the accounts of a ledger up again from their entries (all, those of a customer, of a program; of parts parts the part-th by customer_id) and gives a row for the first thing that is wrong in each: hash, arithmetic, lots, numbering, head';
