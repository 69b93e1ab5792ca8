#include "points/points.h"

/*
 * Apply a stored entry to the state before it, giving what the rules make of it; NULL, or why they cannot
 */
static const char *
apply_again(PointsState *state, const PointsEntry *stored, const PointsContext *context, PointsEntry *again)
{
	PointsRefusal refusal;
	bool lapse = stored->reference == NULL && strcmp(stored->source, "lapse") == 0;

	for (int i = 0; i < state->hold_count; i++)
	{
		if (state->hold[i].captured > 0 && (stored->kind != POINTS_RELEASE || stored->reverses != state->hold[i].seq))
			return "the rest of a captured hold is not released";
	}
	if (lapse)
	{
		again->customer_id = stored->customer_id;
		again->program = stored->program;
		again->expires_at = again->available_at = POINTS_NO_TIME;
		again->actor = stored->actor;
		return points_lapse(state, stored->booked_at, again) ? NULL : "nothing was due";
	}
	if (points_next_due(state) <= stored->booked_at && !(stored->kind == POINTS_RELEASE && stored->reference == NULL))
		return "something was due before and is not booked";
	*again = *stored;
	if (again->kind == POINTS_TRANSFER_IN)
		again->lots = points_lots_copy(&stored->lots);
	else
		memset(&again->lots, 0, sizeof(PointsLots));
	return points_apply(state, again, context, &refusal) ? NULL : refusal.message;
}

/*
 * How a stored entry differs from what the rules give, or NULL
 */
static const char *
difference(const PointsEntry *again, const PointsEntry *stored)
{
	if (again->seq != stored->seq)
		return "seq is not the next";
	if (again->kind != stored->kind)
		return "kind is not what was due";
	if (again->points != stored->points)
		return "points are not what the rules give";
	if (again->reverses != stored->reverses)
		return "reverses is not what was due";
	if (again->booked_at != stored->booked_at)
		return "booked_at goes backwards or is not when it was due";
	if (again->balance_after != stored->balance_after)
		return "balance_after is not the balance before plus the movement";
	if (again->shortfall != stored->shortfall)
		return "shortfall is not what was missing";
	if (!points_lots_equal(&again->lots, &stored->lots))
		return "lots are not those that the rules take or give";
	if (!stored->has_hash || memcmp(again->hash, stored->hash, POINTS_HASH_SIZE) != 0)
		return "hash is not that of this entry after the one before";
	return NULL;
}

/*
 * Apply a stored entry to the state before it and compare: NULL when it is what the rules give, else what is wrong
 */
const char *
points_replay(PointsState *state, const PointsEntry *stored, const PointsContext *context)
{
	PointsEntry again = {0};
	const char *why = apply_again(state, stored, context, &again);

	if (why == NULL)
		why = difference(&again, stored);
	if (again.lots.lot != NULL)
		pfree(again.lots.lot);
	return why;
}
