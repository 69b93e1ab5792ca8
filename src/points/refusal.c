/*
 * What is said of movements that are refused.
 */
#include "points/points.h"

/*
 * Raise a refusal as an error
 */
void
points_raise(const PointsRefusal *refusal)
{
	ereport(ERROR,
			(errcode(refusal->sqlstate),
			 errmsg_internal("%s", refusal->message),
			 refusal->detail != NULL ? errdetail_internal("%s", refusal->detail) : 0,
			 refusal->hint != NULL ? errhint("%s", refusal->hint) : 0));
	pg_unreachable();
}

/*
 * Say why; always false, so that callers can return it
 */
bool
points_refuse(PointsRefusal *refusal, int sqlstate, const char *message, const char *detail, const char *hint)
{
	refusal->sqlstate = sqlstate;
	refusal->message = message;
	refusal->detail = detail;
	refusal->hint = hint;
	return false;
}

/*
 * Customer and program for a message
 */
char *
points_whose(const PointsEntry *entry)
{
	return psprintf("customer " INT64_FORMAT ", program %s", entry->customer_id, entry->program);
}

bool
points_refuse_points(PointsRefusal *refusal, const PointsEntry *entry)
{
	return points_refuse(refusal,
				  ERRCODE_POINTS_INVALID,
				  psprintf("invalid number of points for %s: " INT64_FORMAT, points_kind_names[entry->kind], entry->points),
				  points_whose(entry),
				  entry->kind == POINTS_ADJUST ? "An adjustment adds or takes away at least one point."
											   : "Give at least one point; the kind says whether they come or go.");
}

bool
points_refuse_overflow(PointsRefusal *refusal, const PointsEntry *entry)
{
	return points_refuse(refusal,
				  ERRCODE_POINTS_OVERFLOW,
				  "points out of range",
				  psprintf("%s, " INT64_FORMAT " points", points_whose(entry), entry->points),
				  "An account holds less than 2^63 points in all its life.");
}

bool
points_refuse_insufficient(PointsRefusal *refusal, const PointsState *state, const PointsEntry *entry, int64 points)
{
	return points_refuse(refusal,
				  ERRCODE_POINTS_INSUFFICIENT,
				  psprintf("insufficient points: " INT64_FORMAT " wanted, " INT64_FORMAT " available",
						   points,
						   state->available),
				  points_whose(entry),
				  state->pending > 0 ? psprintf("Another " INT64_FORMAT " points are pending.", state->pending)
									 : "Redeem less, or earn first.");
}

bool
points_refuse_target(PointsRefusal *refusal, const PointsEntry *entry, const char *wanted)
{
	return points_refuse(refusal,
				  ERRCODE_POINTS_NO_TARGET,
				  psprintf("there is no entry of kind %s to %s", wanted, points_kind_names[entry->kind]),
				  psprintf("%s, reverses " INT64_FORMAT ", source %s, reference %s",
						   points_whose(entry),
						   entry->reverses,
						   entry->source ? entry->source : "(none)",
						   entry->reference ? entry->reference : "(none)"),
				  "Name the reference, and where references could repeat the source, of an entry of this account.");
}

bool
points_refuse_archived(PointsRefusal *refusal, const PointsEntry *entry, int64 seq)
{
	return points_refuse(refusal,
				  ERRCODE_POINTS_ARCHIVED,
				  psprintf("entry " INT64_FORMAT " is in the archive", seq),
				  points_whose(entry),
				  "points_restore_archive(customer_id, program) brings the account's entries back; then repeat this.");
}

bool
points_refuse_reversed(PointsRefusal *refusal, const PointsEntry *entry, int64 left)
{
	return points_refuse(refusal,
				  ERRCODE_POINTS_INSUFFICIENT,
				  left == 0 ? psprintf("entry " INT64_FORMAT " has no points left to %s",
									   entry->reverses,
									   points_kind_names[entry->kind])
							: psprintf("entry " INT64_FORMAT " has " INT64_FORMAT " points left to %s, not " INT64_FORMAT,
									   entry->reverses,
									   left,
									   points_kind_names[entry->kind],
									   entry->points),
				  points_whose(entry),
				  left == 0 ? "It was reversed before; see the entries that reverse it."
							: "Leave points out to take all that is left.");
}
