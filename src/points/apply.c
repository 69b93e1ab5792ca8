/*
 * The rules of the ledger as a function of an account's state and a movement: no table, no clock, no setting is read here.
 * The gate, the batch door, verification and the tests all use it.
 */
#include "points/points.h"

#include "common/int.h"
#include "utils/timestamp.h"

const char *const points_kind_names[POINTS_KINDS] = {"earn",
													 "redeem",
													 "hold",
													 "capture",
													 "release",
													 "refund",
													 "restore",
													 "expire",
													 "mature",
													 "adjust",
													 "transfer_out",
													 "transfer_in"};

/*
 * Kind of a name
 */
bool
points_kind_parse(const char *name, PointsKind *kind)
{
	for (int i = 0; i < POINTS_KINDS; i++)
	{
		if (strcmp(name, points_kind_names[i]) == 0)
		{
			*kind = (PointsKind) i;
			return true;
		}
	}
	return false;
}

/*
 * The open hold of an entry
 */
PointsHold *
points_find_hold(PointsState *state, int64 seq)
{
	for (int i = 0; i < state->hold_count; i++)
	{
		if (state->hold[i].seq == seq)
			return &state->hold[i];
	}
	return NULL;
}

/*
 * A hold is resolved
 */
static void
remove_hold(PointsState *state, PointsHold *hold)
{
	if (hold->lots.lot != NULL)
		pfree(hold->lots.lot);
	*hold = state->hold[--state->hold_count];
}

/*
 * Replace the lots of an account
 */
static void
replace_lots(PointsState *state, PointsLots lots)
{
	if (state->lots.lot != NULL)
		pfree(state->lots.lot);
	state->lots = lots;
}

/*
 * Put points in that can be spent; those that are owed are paid first
 */
static void
deposit(PointsState *state, int64 points, TimestampTz expires_at)
{
	int64 paid = state->available < 0 ? Min(points, -state->available) : 0;

	points_lots_add(&state->lots, points - paid, expires_at, POINTS_NO_TIME);
	state->available += points;
}

static void
deposit_lots(PointsState *state, const PointsLots *lots)
{
	for (int i = 0; i < lots->count; i++)
		deposit(state, lots->lot[i].remaining, lots->lot[i].expires_at);
}

/*
 * Does the account have room for more points, now and over its life?
 */
static bool
has_room(const PointsState *state, int64 total, int64 points)
{
	int64 sum;

	return !pg_add_s64_overflow(Max(state->available, 0), state->pending, &sum) &&
		   !pg_add_s64_overflow(sum, state->held, &sum) && !pg_add_s64_overflow(sum, points, &sum) &&
		   !pg_add_s64_overflow(total, points, &sum);
}

static bool
apply_earn(PointsState *state, PointsEntry *entry, PointsRefusal *refusal)
{
	TimestampTz expires_at = entry->expires_at == POINTS_NO_TIME ? DT_NOEND : entry->expires_at;

	if (entry->points <= 0)
		return points_refuse_points(refusal, entry);
	if (!has_room(state, state->earned, entry->points))
		return points_refuse_overflow(refusal, entry);
	state->earned += entry->points;
	if (entry->available_at > entry->booked_at)
	{
		points_lots_add(&state->lots, entry->points, expires_at, entry->available_at);
		state->pending += entry->points;
	}
	else
		deposit(state, entry->points, expires_at);
	return true;
}

/*
 * Take points out of the lots, those that expire first
 */
static bool
apply_take(PointsState *state, PointsEntry *entry, const PointsContext *context, PointsRefusal *refusal)
{
	if (entry->points <= 0)
		return points_refuse_points(refusal, entry);
	if (!context->spendable)
		return points_refuse(refusal,
					  ERRCODE_POINTS_NOT_ALLOWED,
					  psprintf("points of program %s cannot be spent", entry->program),
					  points_whose(entry),
					  "A program whose points only count, such as growth, says so in points_program.redeemable.");
	if (entry->kind == POINTS_HOLD && entry->expires_at != POINTS_NO_TIME && entry->expires_at <= entry->booked_at)
		return points_refuse(refusal,
					  ERRCODE_POINTS_OVERDUE,
					  "a hold cannot be overdue when it is made",
					  points_whose(entry),
					  "Give an expires_at after the moment of booking.");
	if (state->available < entry->points)
		return points_refuse_insufficient(refusal, state, entry, entry->points);
	if (entry->kind == POINTS_REDEEM && !has_room(state, state->redeemed, entry->points))
		return points_refuse_overflow(refusal, entry);
	entry->lots.count = 0;
	(void) points_lots_take(&state->lots, entry->points, &entry->lots);
	state->available -= entry->points;
	if (entry->kind == POINTS_REDEEM)
		state->redeemed += entry->points;
	else if (entry->kind == POINTS_TRANSFER_OUT)
		state->transferred -= entry->points;
	else
	{
		PointsHold *hold;

		if (state->hold_count == state->hold_capacity)
		{
			state->hold_capacity = Max(4, state->hold_capacity * 2);
			state->hold = state->hold == NULL ? palloc(sizeof(PointsHold) * state->hold_capacity)
											  : repalloc(state->hold, sizeof(PointsHold) * state->hold_capacity);
		}
		hold = &state->hold[state->hold_count++];
		memset(hold, 0, sizeof(PointsHold));
		hold->seq = state->seq + 1;
		hold->source = entry->source;
		hold->reference = entry->reference;
		hold->points = entry->points;
		hold->due_at = entry->expires_at == POINTS_NO_TIME ? DT_NOEND : entry->expires_at;
		hold->lots = points_lots_copy(&entry->lots);
		state->held += entry->points;
	}
	return true;
}

/*
 * The hold that a capture or release names
 */
static PointsHold *
open_hold(PointsState *state, PointsEntry *entry, PointsRefusal *refusal)
{
	PointsHold *hold = points_find_hold(state, entry->reverses);

	if (hold == NULL || (hold->captured > 0 && entry->kind == POINTS_CAPTURE))
		(void) points_refuse(refusal,
					  ERRCODE_POINTS_RESOLVED,
					  psprintf("hold " INT64_FORMAT " is already resolved", entry->reverses),
					  points_whose(entry),
					  "A hold is captured or released once; see points_hold.");
	else
		return hold;
	return NULL;
}

static bool
apply_capture(PointsState *state, PointsEntry *entry, PointsRefusal *refusal)
{
	PointsHold *hold = open_hold(state, entry, refusal);

	if (hold == NULL)
		return false;
	if (entry->points == 0)
		entry->points = hold->points;
	if (entry->points <= 0)
		return points_refuse_points(refusal, entry);
	if (entry->points > hold->points)
		return points_refuse_reversed(refusal, entry, hold->points);
	if (!has_room(state, state->redeemed, entry->points))
		return points_refuse_overflow(refusal, entry);
	entry->lots.count = 0;
	(void) points_lots_take(&hold->lots, entry->points, &entry->lots);
	hold->points -= entry->points;
	hold->captured = entry->points;
	state->held -= entry->points;
	state->redeemed += entry->points;
	if (hold->points == 0)
		remove_hold(state, hold);
	return true;
}

static bool
apply_release(PointsState *state, PointsEntry *entry, PointsRefusal *refusal)
{
	PointsHold *hold = open_hold(state, entry, refusal);

	if (hold == NULL)
		return false;
	if (entry->points == 0)
		entry->points = hold->points;
	if (entry->points != hold->points)
		return points_refuse_reversed(refusal, entry, hold->points);
	entry->lots = points_lots_copy(&hold->lots);
	deposit_lots(state, &entry->lots);
	state->held -= hold->points;
	remove_hold(state, hold);
	return true;
}

static bool
apply_refund(PointsState *state, PointsEntry *entry, const PointsContext *context, PointsRefusal *refusal)
{
	const PointsEntry *earn = context->target;
	TimestampTz expires_at;
	int64 left;
	int64 taken;
	int64 pending = 0;

	if (earn == NULL || earn->kind != POINTS_EARN)
		return points_refuse_target(refusal, entry, "earn");
	left = earn->points - context->reversed;
	if (entry->points == 0 && left > 0)
		entry->points = left;
	if (entry->points < 0 || (entry->points == 0 && left <= 0))
		return left <= 0 ? points_refuse_reversed(refusal, entry, left) : points_refuse_points(refusal, entry);
	if (entry->points > left)
		return points_refuse_reversed(refusal, entry, left);
	entry->lots.count = 0;
	expires_at = earn->expires_at == POINTS_NO_TIME ? DT_NOEND : earn->expires_at;
	if (context->target_available > entry->booked_at)
	{
		taken = pending =
			points_lots_take_bucket(&state->lots, entry->points, expires_at, context->target_available, &entry->lots);
		state->pending -= pending;
	}
	else
		taken = points_lots_take_bucket(&state->lots, entry->points, expires_at, POINTS_NO_TIME, &entry->lots);
	if (taken < entry->points)
		taken += points_lots_take(&state->lots, entry->points - taken, &entry->lots);
	state->available -= taken - pending;
	entry->shortfall = 0;
	if (taken < entry->points)
	{
		int64 owed;

		if (context->allow_debt && !pg_sub_s64_overflow(state->available, entry->points - taken, &owed))
		{
			state->available = owed;
			taken = entry->points;
		}
		else
			entry->shortfall = entry->points - taken;
	}
	/* What was earned bounds this sum, since no earn is refunded twice. */
	state->refunded += taken;
	return true;
}

static bool
apply_restore(PointsState *state, PointsEntry *entry, const PointsContext *context, PointsRefusal *refusal)
{
	const PointsEntry *spent = context->target;
	int64 left;
	int64 skip = context->reversed;
	int64 wanted;

	if (spent == NULL || (spent->kind != POINTS_REDEEM && spent->kind != POINTS_CAPTURE))
		return points_refuse_target(refusal, entry, "redeem or capture");
	left = spent->points - context->reversed;
	if (entry->points == 0 && left > 0)
		entry->points = left;
	if (entry->points < 0 || (entry->points == 0 && left <= 0))
		return left <= 0 ? points_refuse_reversed(refusal, entry, left) : points_refuse_points(refusal, entry);
	if (entry->points > left)
		return points_refuse_reversed(refusal, entry, left);
	if (!has_room(state, 0, entry->points))
		return points_refuse_overflow(refusal, entry);
	entry->lots.count = 0;
	wanted = entry->points;
	/* Backwards, so that a part comes back to the lots that live longest. */
	for (int i = spent->lots.count - 1; i >= 0 && wanted > 0; i--)
	{
		const PointsLot *lot = &spent->lots.lot[i];
		int64 skipped = Min(skip, lot->remaining);
		int64 part = Min(wanted, lot->remaining - skipped);
		TimestampTz expires_at = lot->expires_at;

		skip -= skipped;
		wanted -= part;
		if (expires_at <= entry->booked_at && entry->expires_at != POINTS_NO_TIME)
			expires_at = entry->expires_at;
		points_lots_add(&entry->lots, part, expires_at, POINTS_NO_TIME);
	}
	deposit_lots(state, &entry->lots);
	state->redeemed -= entry->points;
	return true;
}

static bool
apply_mature(PointsState *state, PointsEntry *entry, const PointsContext *context, PointsRefusal *refusal)
{
	const PointsEntry *earn = context->target;
	TimestampTz expires_at;
	int64 moved;

	if (earn == NULL || earn->kind != POINTS_EARN)
		return points_refuse_target(refusal, entry, "earn");
	if (context->target_available <= entry->booked_at)
		return points_refuse(refusal,
					  ERRCODE_POINTS_RESOLVED,
					  psprintf("the points of entry " INT64_FORMAT " are available already", entry->reverses),
					  points_whose(entry),
					  "Only pending points mature.");
	expires_at = earn->expires_at == POINTS_NO_TIME ? DT_NOEND : earn->expires_at;
	entry->lots.count = 0;
	moved = points_lots_take_bucket(
		&state->lots, earn->points - context->reversed, expires_at, context->target_available, &entry->lots);
	if (moved == 0)
		return points_refuse_reversed(refusal, entry, 0);
	entry->points = moved;
	if (entry->available_at > entry->booked_at)
		points_lots_add(&state->lots, moved, expires_at, entry->available_at);
	else
	{
		state->pending -= moved;
		deposit(state, moved, expires_at);
	}
	return true;
}

static bool
apply_adjust(PointsState *state, PointsEntry *entry, const PointsContext *context, PointsRefusal *refusal)
{
	int64 sum;

	if (entry->points == 0 || entry->points == PG_INT64_MIN)
		return points_refuse_points(refusal, entry);
	entry->lots.count = 0;
	if (entry->points > 0)
	{
		if (!has_room(state, state->adjusted, entry->points))
			return points_refuse_overflow(refusal, entry);
		deposit(state, entry->points, entry->expires_at == POINTS_NO_TIME ? DT_NOEND : entry->expires_at);
	}
	else
	{
		if (state->available < -entry->points && !context->allow_debt)
			return points_refuse_insufficient(refusal, state, entry, -entry->points);
		if (pg_add_s64_overflow(state->available, entry->points, &sum) ||
			pg_add_s64_overflow(state->adjusted, entry->points, &sum))
			return points_refuse_overflow(refusal, entry);
		(void) points_lots_take(&state->lots, -entry->points, &entry->lots);
		state->available += entry->points;
	}
	state->adjusted += entry->points;
	return true;
}

static bool
apply_transfer_in(PointsState *state, PointsEntry *entry, PointsRefusal *refusal)
{
	if (entry->points <= 0)
		return points_refuse_points(refusal, entry);
	if (!has_room(state, state->transferred, entry->points))
		return points_refuse_overflow(refusal, entry);
	if (entry->lots.count == 0)
		points_lots_add(&entry->lots,
						entry->points,
						entry->expires_at == POINTS_NO_TIME ? DT_NOEND : entry->expires_at,
						POINTS_NO_TIME);
	if (points_lots_sum(&entry->lots) != entry->points)
		return points_refuse_points(refusal, entry);
	deposit_lots(state, &entry->lots);
	state->transferred += entry->points;
	return true;
}

/*
 * The state has moved: number the entry and chain it
 */
static void
seal(PointsState *state, PointsEntry *entry)
{
	entry->seq = ++state->seq;
	entry->balance_after = state->available;
	state->booked_at = entry->booked_at;
	points_hash(state->head, entry);
	memcpy(state->head, entry->hash, POINTS_HASH_SIZE);
}

/*
 * Apply a movement. The entry comes with kind, points, occurred_at and what was given; it goes with seq, booked_at,
 * balance_after, shortfall, lots and hash. False, with the state as it was, when it is refused.
 */
bool
points_apply(PointsState *state, PointsEntry *entry, const PointsContext *context, PointsRefusal *refusal)
{
	bool applied;

	if (state->closed)
		return points_refuse(refusal,
					  ERRCODE_POINTS_CLOSED,
					  "the points account is closed",
					  points_whose(entry),
					  "Set points_account.closed to false to open it again.");
	entry->booked_at = Max(entry->occurred_at, state->booked_at);
	switch (entry->kind)
	{
		case POINTS_EARN:
			entry->lots.count = 0;
			applied = apply_earn(state, entry, refusal);
			break;
		case POINTS_REDEEM:
		case POINTS_HOLD:
		case POINTS_TRANSFER_OUT:
			applied = apply_take(state, entry, context, refusal);
			break;
		case POINTS_CAPTURE:
			applied = apply_capture(state, entry, refusal);
			break;
		case POINTS_RELEASE:
			applied = apply_release(state, entry, refusal);
			break;
		case POINTS_REFUND:
			applied = apply_refund(state, entry, context, refusal);
			break;
		case POINTS_RESTORE:
			applied = apply_restore(state, entry, context, refusal);
			break;
		case POINTS_MATURE:
			applied = apply_mature(state, entry, context, refusal);
			break;
		case POINTS_ADJUST:
			applied = apply_adjust(state, entry, context, refusal);
			break;
		case POINTS_TRANSFER_IN:
			applied = apply_transfer_in(state, entry, refusal);
			break;
		default:
			return points_refuse(refusal,
						  ERRCODE_POINTS_NOT_ALLOWED,
						  psprintf("entries of kind %s are booked by the ledger itself", points_kind_names[entry->kind]),
						  points_whose(entry),
						  "Points expire by the expires_at of their lot.");
	}
	if (applied)
		seal(state, entry);
	return applied;
}

/*
 * When the next lot expires or becomes available, or the next hold is overdue; infinity when nothing is due
 */
TimestampTz
points_next_due(const PointsState *state)
{
	TimestampTz due = DT_NOEND;

	for (int i = 0; i < state->lots.count; i++)
	{
		due = Min(due, state->lots.lot[i].expires_at);
		if (state->lots.lot[i].available_at != POINTS_NO_TIME)
			due = Min(due, state->lots.lot[i].available_at);
	}
	for (int i = 0; i < state->hold_count; i++)
		due = Min(due, state->hold[i].due_at);
	return due;
}

/*
 * Book the first thing that is due until a moment, as an entry of its own: lots that become available, then a hold that is
 * overdue, then lots that expire. The entry comes with customer and program. False when nothing is due.
 */
bool
points_lapse(PointsState *state, TimestampTz until, PointsEntry *entry)
{
	TimestampTz due = points_next_due(state);
	PointsLots kept = {0};

	if (due > until || due == DT_NOEND)
		return false;
	entry->source = "lapse";
	entry->occurred_at = due;
	entry->booked_at = Max(due, state->booked_at);

	for (int i = 0; i < state->lots.count; i++)
	{
		PointsLot *lot = &state->lots.lot[i];

		if (lot->available_at != POINTS_NO_TIME && lot->available_at <= due)
		{
			entry->points += lot->remaining;
			points_lots_add(&entry->lots, lot->remaining, lot->expires_at, lot->available_at);
		}
		else
			points_lots_add(&kept, lot->remaining, lot->expires_at, lot->available_at);
	}
	if (entry->points > 0)
	{
		entry->kind = POINTS_MATURE;
		entry->available_at = due;
		replace_lots(state, kept);
		state->pending -= entry->points;
		deposit_lots(state, &entry->lots);
		seal(state, entry);
		return true;
	}

	for (int i = 0; i < state->hold_count; i++)
	{
		if (state->hold[i].due_at <= due)
		{
			PointsRefusal refusal;

			entry->kind = POINTS_RELEASE;
			entry->reverses = state->hold[i].seq;
			if (!apply_release(state, entry, &refusal))
				elog(ERROR, "could not release an overdue hold");
			seal(state, entry);
			return true;
		}
	}

	entry->kind = POINTS_EXPIRE;
	kept.count = 0;
	for (int i = 0; i < state->lots.count; i++)
	{
		PointsLot *lot = &state->lots.lot[i];

		if (lot->expires_at <= due)
		{
			entry->points += lot->remaining;
			points_lots_add(&entry->lots, lot->remaining, lot->expires_at, lot->available_at);
			if (lot->available_at == POINTS_NO_TIME)
				state->available -= lot->remaining;
			else
				state->pending -= lot->remaining;
		}
		else
			points_lots_add(&kept, lot->remaining, lot->expires_at, lot->available_at);
	}
	replace_lots(state, kept);
	state->expired += entry->points;
	seal(state, entry);
	return true;
}
