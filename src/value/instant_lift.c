#include "value/tier_writer.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/*
 * Lifts a customer as the statement INSTANT_LIFT does, without the executor: a row of tier_member, one of tier_change, and
 * the tier itself locked, so that it stays as long as the member's row names it.
 */

/* A lift, and the member's row before it. */
typedef struct Lift
{
	const InstantRules *rules;
	const InstantCondition *condition;
	int64 customer_id;
	TimestampTz at;
	Datum end; /* of the cycle that begins */
	bool found;
	MemberRow before;
	int32 last_change;
} Lift;

/*
 * The member's row after the lift; false when another session has lifted the customer meanwhile
 */
static bool
lift_member(TupleTableSlot *after, void *arg)
{
	Lift *lift = arg;
	const AttrNumber *c = lift->rules->lift.member;
	int32 peak = 0;
	Datum judged_at = lift->end;

	lift->last_change = 0;
	if (lift->found)
	{
		const Datum *before = lift->before.values;

		tier_writer_read(lift->rules, after, &lift->before);
		if (instant_tier_seq(lift->rules, DatumGetTextPP(before[MEMBER_TIER])) >= lift->condition->seq ||
			DatumGetTimestampTz(before[MEMBER_SINCE]) > lift->at)
			return false;
		lift->last_change = DatumGetInt32(before[MEMBER_LAST_CHANGE]);
		peak = DatumGetInt32(before[MEMBER_PEAK]);
		if (!lift->before.nulls[MEMBER_LOCK_UNTIL] &&
			DatumGetTimestampTz(before[MEMBER_LOCK_UNTIL]) > DatumGetTimestampTz(judged_at))
			judged_at = before[MEMBER_LOCK_UNTIL];
	}
	for (int i = 0; i < MEMBER_COLUMNS; i++)
	{
		if (i != MEMBER_LOCK_UNTIL)
			after->tts_isnull[c[i] - 1] = false;
	}
	after->tts_values[c[MEMBER_CUSTOMER] - 1] = Int64GetDatum(lift->customer_id);
	after->tts_values[c[MEMBER_TIER] - 1] = PointerGetDatum(lift->condition->tier);
	after->tts_values[c[MEMBER_SINCE] - 1] = TimestampTzGetDatum(lift->at);
	after->tts_values[c[MEMBER_BASIS] - 1] = CStringGetTextDatum("earned");
	after->tts_values[c[MEMBER_PERIOD_END] - 1] = lift->end;
	after->tts_values[c[MEMBER_JUDGED_AT] - 1] = judged_at;
	after->tts_values[c[MEMBER_PEAK] - 1] = Int32GetDatum(Max(peak, lift->condition->seq));
	after->tts_values[c[MEMBER_LAST_CHANGE] - 1] = after->tts_values[c[MEMBER_RESTS_ON] - 1] =
		Int32GetDatum(lift->last_change + 1);
	return true;
}

bool
instant_lift_direct(InstantStore *store,
					int64 customer_id,
					const MemberState *member,
					TimestampTz at,
					InstantCondition *condition,
					Datum value,
					bool isnull)
{
	Lift lift = {.rules = store->rules, .condition = condition, .customer_id = customer_id, .at = at, .found = member->found};
	CommandId command;

	if (!tier_writer_possible(store))
		return false;
	(void)tier_writer(store);
	if (!tier_writer_lock(store, condition->seq, condition->tier))
		return false;
	lift.end = tier_writer_cycle_end(store, at);
	command = GetCurrentCommandId(true);
	if (member->found)
	{
		DirectTable *table = &store->tiers->member;
		DirectUpdate done = direct_update(table, store->members.slot, store->snapshot, command, lift_member, &lift);

		ExecClearTuple(table->slot);
		if (done == DIRECT_UNCHANGED)
			return true;
		if (done == DIRECT_GONE)
			return false;
	}
	else
	{
		(void)lift_member(store->tiers->member.slot, &lift);
		if (!direct_insert_new(&store->tiers->member, command))
		{
			CommandCounterIncrement();
			return false;
		}
	}
	tier_writer_put(store,
					&(TierChange){.customer_id = customer_id,
								  .to = condition->tier,
								  .reason = "upgrade",
								  .at = at,
								  .value = {value, isnull},
								  .threshold = {condition->threshold, condition->no_threshold},
								  .condition = {condition->stored, false},
								  .end = {lift.end, false},
								  .change_no = lift.last_change + 1,
								  .before = lift.found ? &lift.before : NULL},
					command);
	/* What judges the customer next sees the rows. */
	if (!store->many)
		CommandCounterIncrement();
	return true;
}
