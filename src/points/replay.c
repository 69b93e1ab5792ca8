#include "points/points.h"

/*
 * Apply a stored entry to the state before it and compare: NULL when it is what the rules give, else what is wrong
 */
const char *
points_replay(PointsState *state, const PointsEntry *stored, const PointsContext *context)
{
	PointsEntry entry = {0};
	PointsRefusal refusal;
	bool lapse = stored->reference == NULL && strcmp(stored->source, "lapse") == 0;

	for (int i = 0; i < state->hold_count; i++)
	{
		if (state->hold[i].captured > 0 && (stored->kind != POINTS_RELEASE || stored->reverses != state->hold[i].seq))
			return "the rest of a captured hold is not released";
	}
	if (lapse)
	{
		entry.customer_id = stored->customer_id;
		entry.program = stored->program;
		entry.expires_at = entry.available_at = POINTS_NO_TIME;
		entry.actor = stored->actor;
		if (!points_lapse(state, stored->booked_at, &entry))
			return "nothing was due";
	}
	else
	{
		if (points_next_due(state) <= stored->booked_at &&
			!(stored->kind == POINTS_RELEASE && stored->reference == NULL))
			return "something was due before and is not booked";
		entry = *stored;
		if (entry.kind != POINTS_TRANSFER_IN)
			memset(&entry.lots, 0, sizeof(PointsLots));
		else
			entry.lots = points_lots_copy(&stored->lots);
		if (!points_apply(state, &entry, context, &refusal))
			return refusal.message;
	}
	if (entry.seq != stored->seq)
		return "seq is not the next";
	if (entry.kind != stored->kind)
		return "kind is not what was due";
	if (entry.points != stored->points)
		return "points are not what the rules give";
	if (entry.reverses != stored->reverses)
		return "reverses is not what was due";
	if (entry.booked_at != stored->booked_at)
		return "booked_at goes backwards or is not when it was due";
	if (entry.balance_after != stored->balance_after)
		return "balance_after is not the balance before plus the movement";
	if (entry.shortfall != stored->shortfall)
		return "shortfall is not what was missing";
	if (!points_lots_equal(&entry.lots, &stored->lots))
		return "lots are not those that the rules take or give";
	if (!stored->has_hash || memcmp(entry.hash, stored->hash, POINTS_HASH_SIZE) != 0)
		return "hash is not that of this entry after the one before";
	return NULL;
}
