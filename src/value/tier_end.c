#include "value/tier_pass.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "value/tier_writer.h"

#define FLUSH_EVERY 1000

/* The end of a member's cycle. */
typedef struct Ending
{
	TierPass *pass;
	Figures figures;
	MemberRow row;			 /* before */
	TimestampTz judged_at;	 /* the moment of it */
	const InstantTier *held;
	const InstantTier *next; /* the tier of the cycle that begins */
	bool earned;			 /* not granted, not paid for */
	bool waits;				 /* grace or a lock puts it off */
	NullableDatum end;		 /* of the cycle that begins */
	NullableDatum again;	 /* when it is judged next */
	bool stale;				 /* the row is not the one that was judged */
} Ending;

/*
 * Is what keeps a tier reached?
 */
static bool
reached(Ending *e, const InstantTier *tier)
{
	return instant_holds(&e->pass->in, &e->figures, tier->keep.rule, tier->keep.units, tier->keep.names_year);
}

/*
 * The highest tier, up to the one held, whose keep is reached; else the lowest
 */
static const InstantTier *
matched_tier(Ending *e)
{
	const InstantTier *tiers = e->pass->in.rules->tiers;

	for (const InstantTier *tier = e->held; tier >= tiers; tier--)
	{
		if (tier->has_keep && reached(e, tier))
			return tier;
	}
	return tiers;
}

/*
 * The later of two moments, either of which may be missing
 */
static NullableDatum
later(NullableDatum a, NullableDatum b)
{
	if (a.isnull || (!b.isnull && DatumGetTimestampTz(b.value) > DatumGetTimestampTz(a.value)))
		return b;
	return a;
}

/*
 * Judge: what becomes of the member
 */
static bool
decide(Ending *e)
{
	const InstantRules *rules = e->pass->in.rules;
	NullableDatum period_end = {e->row.values[MEMBER_PERIOD_END], e->row.nulls[MEMBER_PERIOD_END]};
	NullableDatum lock_until = {e->row.values[MEMBER_LOCK_UNTIL], e->row.nulls[MEMBER_LOCK_UNTIL]};
	NullableDatum grace = period_end;
	NullableDatum until;
	bool kept;

	e->held = instant_tier(rules, DatumGetTextPP(e->row.values[MEMBER_TIER]));
	if (e->held == NULL)
		return false;
	e->earned = VARSIZE_ANY_EXHDR(DatumGetPointer(e->row.values[MEMBER_BASIS])) == 6 &&
				memcmp(VARDATA_ANY(DatumGetPointer(e->row.values[MEMBER_BASIS])), "earned", 6) == 0;
	kept = e->earned && (!e->held->has_keep || reached(e, e->held));
	if (e->earned && !grace.isnull && rules->grace_days != 0)
	{
		Interval days = {.day = rules->grace_days};

		grace.value = DirectFunctionCall2(timestamptz_pl_interval, grace.value, IntervalPGetDatum(&days));
	}
	until = later(grace, lock_until);
	e->waits = !kept && !until.isnull && e->judged_at < DatumGetTimestampTz(until.value);
	if (kept)
		e->next = e->held;
	else if (!e->earned)
		e->next = matched_tier(e);
	else if (rules->downgrade == DOWNGRADE_NONE)
		e->next = e->held;
	else if (rules->downgrade == DOWNGRADE_TO_BASE)
		e->next = rules->tiers;
	else
	{
		if (e->held == rules->tiers)
			return false;
		e->next = e->held - 1;
		if (rules->downgrade == DOWNGRADE_TO_MATCH)
			e->next = Min(e->next, matched_tier(e));
	}
	if (e->waits)
	{
		e->end = period_end;
		e->again = later(e->earned ? grace : (NullableDatum){0, true}, lock_until);
		return true;
	}
	e->end = (NullableDatum){0, true};
	if (e->next != rules->tiers)
	{
		NullableDatum start = {TimestampTzGetDatum(e->judged_at), false};

		if (e->next == e->held && e->earned)
			start = period_end;
		if (!start.isnull)
			e->end =
				(NullableDatum){tier_writer_cycle_end(&e->pass->in.store, DatumGetTimestampTz(start.value)), false};
	}
	e->again = e->end;
	return true;
}

static void
set_column(TupleTableSlot *slot, AttrNumber column, NullableDatum value)
{
	slot->tts_values[column - 1] = value.value;
	slot->tts_isnull[column - 1] = value.isnull;
}

/*
 * The member's row after the end of the cycle; false when it is no longer the one that was judged
 */
static bool
end_member(TupleTableSlot *after, void *arg)
{
	Ending *e = arg;
	const AttrNumber *c = e->pass->in.rules->lift.member;
	MemberRow now;
	bool falls = e->next != e->held;

	tier_writer_read(e->pass->in.rules, after, &now);
	if (now.nulls[MEMBER_JUDGED_AT] || DatumGetTimestampTz(now.values[MEMBER_JUDGED_AT]) != e->judged_at ||
		DatumGetInt32(now.values[MEMBER_LAST_CHANGE]) != DatumGetInt32(e->row.values[MEMBER_LAST_CHANGE]))
	{
		e->stale = true;
		return false;
	}
	set_column(after, c[MEMBER_PERIOD_END], e->end);
	set_column(after, c[MEMBER_JUDGED_AT], e->again);
	if (e->waits)
		return true;
	set_column(after, c[MEMBER_BASIS], (NullableDatum){CStringGetTextDatum("earned"), false});
	set_column(after, c[MEMBER_RESTS_ON], (NullableDatum){0, true});
	if (falls)
	{
		set_column(after, c[MEMBER_TIER], (NullableDatum){PointerGetDatum(e->next->name), false});
		set_column(after, c[MEMBER_SINCE], (NullableDatum){TimestampTzGetDatum(e->judged_at), false});
		set_column(after, c[MEMBER_LAST_CHANGE],
				   (NullableDatum){Int32GetDatum(DatumGetInt32(now.values[MEMBER_LAST_CHANGE]) + 1), false});
	}
	return true;
}

/*
 * Write it; false when SQL has to do it
 */
static bool
write_end(Ending *e)
{
	InstantStore *store = &e->pass->in.store;
	DirectTable *table = &tier_writer(store)->member;
	CommandId command = GetCurrentCommandId(true);
	bool falls = !e->waits && e->next != e->held;
	const InstantCondition *keep = e->held->has_keep && e->earned ? &e->held->keep : NULL;
	TierChange change = {.customer_id = e->pass->customer.customer_id,
						 .to = e->next->name,
						 .reason = e->earned ? "period_end" : "grant_ended",
						 .at = e->judged_at,
						 .value = {0, true},
						 .threshold = {keep ? keep->threshold : (Datum)0, keep == NULL || keep->no_threshold},
						 .condition = {keep ? keep->stored : (Datum)0, keep == NULL},
						 .end = e->end,
						 .change_no = DatumGetInt32(e->row.values[MEMBER_LAST_CHANGE]) + 1,
						 .before = &e->row};

	if (falls && !tier_writer_lock(store, e->next->seq, e->next->name))
		return false;
	if (falls)
	{
		if (keep != NULL)
			change.value.value = instant_condition_value(&e->pass->in, &e->figures, keep, &change.value.isnull);
		tier_writer_put(store, &change, command);
	}
	(void)direct_update(table, store->members.slot, store->snapshot, command, end_member, e);
	ExecClearTuple(table->slot);
	if (e->stale)
		elog(ERROR, "a member's row changed while its summary was locked");
	return true;
}

/*
 * End the cycle of one member; false when SQL has to do it
 */
static bool
end_one(TierPass *pass, int64 customer_id, TimestampTz at, int64 growth)
{
	InstantStore *store = &pass->in.store;
	Ending e = {.pass = pass, .judged_at = at};

	pass->customer.customer_id = customer_id;
	e.figures.at = at;
	/* Who had never ordered by then was granted the tier: a rare case. */
	if (pass->in.rules->keeps_orders && (!customer_scan_find(&pass->summaries, customer_id) ||
										 !tier_pass_take(pass, pass->summaries.slot, at, &e.figures)))
		return false;
	set_unit(&e.figures.units[FIGURE_GROWTH], growth);
	if (!customer_scan_find(&store->members, customer_id))
		return false;
	slot_getallattrs(store->members.slot);
	tier_writer_read(pass->in.rules, store->members.slot, &e.row);
	if (e.row.nulls[MEMBER_JUDGED_AT] || DatumGetTimestampTz(e.row.values[MEMBER_JUDGED_AT]) != at)
		return false;
	(void)tier_writer(store);
	if (!decide(&e) || !write_end(&e))
		return false;
	pass->ended++;
	if (!e.waits && e.next != e.held)
		pass->changed++;
	return true;
}

/* The arguments of tiers_end, one element of each a customer. */
typedef struct Due
{
	int64 *ids;
	TimestampTz *moments;
	int64 *growth; /* NULL when no rule asks for it */
	int count;
} Due;

static void
end_all(TierPass *pass, void *arg)
{
	const Due *due = arg;
	bool possible = tier_pass_begin(pass) && tier_writer_possible(&pass->in.store) && pass->in.rules->lift.ends &&
					(due->growth != NULL || !pass->in.rules->keeps_growth);
	MemoryContext caller = MemoryContextSwitchTo(pass->each);

	for (int i = 0; i < due->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!possible || !end_one(pass, due->ids[i], due->moments[i], due->growth != NULL ? due->growth[i] : 0))
			tier_pass_add(pass, due->ids[i]);
		if (i % FLUSH_EVERY == FLUSH_EVERY - 1)
		{
			instant_tiers_flush(&pass->in.store);
			MemoryContextReset(pass->each);
		}
	}
	instant_tiers_flush(&pass->in.store);
	MemoryContextSwitchTo(caller);
	tier_pass_end(pass);
	CommandCounterIncrement();
}

/*
 * The elements of an array argument, which must be as many as the others and none null
 */
static void *
elements(FunctionCallInfo fcinfo, int argument, int count)
{
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(argument);

	if (ARR_NDIM(array) > 1 || array_contains_nulls(array) || ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) != count)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("customer_ids, moments and growth must be lists of the same length without nulls")));
	return ARR_DATA_PTR(array);
}

/*
 * End cycles: see tiers_end in the kit
 */
PG_FUNCTION_INFO_V1(tiers_end);
Datum
tiers_end(PG_FUNCTION_ARGS)
{
	Due due = {0};
	TierPass pass;
	TupleDesc desc;
	Datum values[3];
	bool nulls[3] = {false, false, false};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("purchase, customer_ids and moments must not be null")));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "tiers_end must be called for its row");
	due.count = ArrayGetNItems(ARR_NDIM(PG_GETARG_ARRAYTYPE_P(1)), ARR_DIMS(PG_GETARG_ARRAYTYPE_P(1)));
	due.ids = elements(fcinfo, 1, due.count);
	due.moments = elements(fcinfo, 2, due.count);
	if (!PG_ARGISNULL(3))
		due.growth = elements(fcinfo, 3, due.count);
	if (tier_pass_open(&pass, PG_GETARG_OID(0)) && pass.in.rules->keeps)
	{
		tier_pass_run(&pass, end_all, &due);
		values[2] = tier_pass_found(&pass);
	}
	else
		values[2] = PG_GETARG_DATUM(1);
	tier_pass_close(&pass);
	values[0] = Int64GetDatum(pass.ended);
	values[1] = Int64GetDatum(pass.changed);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
