-- Points by the month in which they were earned.

CREATE TYPE points_flow AS (
    earned_in date,
    booked_in date,
    issued bigint,
    redeemed bigint,
    expired bigint,
    reversed bigint
);
COMMENT ON TYPE points_flow IS 'what became of an account''s points that were earned in one month, in another: reversed nets refunds, restorals, adjustments, transfers, and debts that points of one month paid for another''s. Rows with the same months add up';

CREATE TYPE points_part AS (
    earned_in date,
    expires_at timestamptz,
    points bigint
);
COMMENT ON TYPE points_part IS 'points that an account has left of one month (below zero: owed) with the moment at which they expire (null: never)';

CREATE FUNCTION points_cohort_add(internal, booked_in date, seq bigint, kind text, points bigint, booked_at timestamptz, shortfall bigint, reverses bigint,
                                  expires_at timestamptz, available_at timestamptz, lots points_lots) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_cohort_add(internal, date, bigint, text, bigint, timestamptz, bigint, bigint, timestamptz, timestamptz, points_lots) IS 'transition function of points_flows and points_left';

CREATE FUNCTION points_flows_final(internal) RETURNS points_flow[]
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_flows_final(internal) IS 'final function of points_flows';

CREATE FUNCTION points_left_final(internal) RETURNS points_part[]
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_left_final(internal) IS 'final function of points_left';

CREATE AGGREGATE points_flows(date, bigint, text, bigint, timestamptz, bigint, bigint, timestamptz, timestamptz, points_lots) (
    SFUNC = points_cohort_add,
    STYPE = internal,
    SSPACE = 1024,
    FINALFUNC = points_flows_final,
    FINALFUNC_MODIFY = READ_ONLY,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE points_flows(date, bigint, text, bigint, timestamptz, bigint, bigint, timestamptz, timestamptz, points_lots) IS
'the flows of one account by the month of earning and of booking: points_flows(month of booked_at, seq, kind, points, booked_at, shortfall, reverses, expires_at, available_at, lots ORDER BY seq) over all its entries. Each entry''s own lots are followed; of points with the same dates those of the oldest month go first, a refund takes those of its own earning''s month before. Restored points are of the month they were of, transferred ones of the month in which they came, debts of the month of the earning that was refunded or of the adjustment. Error: 22023 entries out of order';

CREATE AGGREGATE points_left(date, bigint, text, bigint, timestamptz, bigint, bigint, timestamptz, timestamptz, points_lots) (
    SFUNC = points_cohort_add,
    STYPE = internal,
    SSPACE = 1024,
    FINALFUNC = points_left_final,
    FINALFUNC_MODIFY = READ_ONLY,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE points_left(date, bigint, text, bigint, timestamptz, bigint, bigint, timestamptz, timestamptz, points_lots) IS
'what one account has left by the month of earning and the moment of expiry, open holds and debts too, with the arguments and by the rules of points_flows';
