#include "value/instant_store.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "store/direct_table.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/*
 * Lifts a customer as the statement INSTANT_LIFT does, without the executor: a row of tier_member, one of tier_change, and
 * the tier itself locked, so that it stays as long as the member's row names it.
 */

typedef struct TierWriter
{
	DirectTable member;
	DirectTable change;
	CustomerScan tiers; /* by their name, the primary key */
	Datum who;
} TierWriter;

/* A lift, and the member's row before it. */
typedef struct Lift
{
	const InstantRules *rules;
	const InstantCondition *condition;
	int64 customer_id;
	TimestampTz at;
	Datum end; /* of the cycle that begins */
	bool found;
	Datum before[MEMBER_COLUMNS];
	bool before_null[MEMBER_COLUMNS];
	int32 last_change;
} Lift;

/*
 * End of the cycle that begins on the shop day of a moment, as cycle_end() gives it
 */
static Datum
cycle_end(const InstantRules *rules, TimestampTz at)
{
	Datum zone = PointerGetDatum(rules->zone_name);
	Datum start = DirectFunctionCall2(timestamptz_zone, zone, TimestampTzGetDatum(at));
	Interval length = {.month = rules->calendar ? 12 : rules->cycle};

	if (rules->calendar)
		start = DirectFunctionCall2(timestamp_pl_interval,
									DirectFunctionCall2(timestamp_trunc, CStringGetTextDatum("year"), start),
									IntervalPGetDatum(&length));
	else
		start = DirectFunctionCall2(date_pl_interval, DirectFunctionCall1(timestamp_date, start), IntervalPGetDatum(&length));
	return DirectFunctionCall2(timestamp_zone, zone, start);
}

/*
 * The table of tiers, and the key by which one of them is found
 */
static void
open_tiers(CustomerScan *table, Oid relid, Snapshot snapshot)
{
	table->rel = table_open(relid, RowShareLock);
	list_free(RelationGetIndexList(table->rel));
	if (!OidIsValid(table->rel->rd_pkindex))
		return;
	table->index = index_open(table->rel->rd_pkindex, RowShareLock);
	if (table->index->rd_index->indnkeyatts != 1 || table->index->rd_index->indkey.values[0] != get_attnum(relid, "tier"))
	{
		index_close(table->index, RowShareLock);
		table->index = NULL;
		return;
	}
	table->slot = table_slot_create(table->rel, NULL);
	table->context = CurrentMemoryContext;
	table->scan = crm_index_beginscan(table->rel, table->index, snapshot, 1);
}

/*
 * Lock the row of a tier as the check of a foreign key does; false when it cannot be had
 */
static bool
lock_tier(InstantStore *store, text *tier)
{
	CustomerScan *table = &store->tiers->tiers;
	TM_FailureData failure;
	ScanKeyData key;
	bool held;

	if (table->index == NULL)
		return false;
	ScanKeyEntryInitialize(
		&key, 0, 1, BTEqualStrategyNumber, InvalidOid, table->index->rd_indcollation[0], F_TEXTEQ, PointerGetDatum(tier));
	index_rescan(table->scan, &key, 1, NULL, 0);
	if (!customer_scan_next(table))
		return false;
	/* One that another transaction has changed since is for the statement, which looks anew. */
	held = table_tuple_lock(table->rel,
							&table->slot->tts_tid,
							store->snapshot,
							table->slot,
							GetCurrentCommandId(false),
							LockTupleKeyShare,
							LockWaitBlock,
							0,
							&failure) == TM_Ok;
	ExecClearTuple(table->slot);
	return held;
}

/*
 * Open what lifts are written to
 */
static void
open_writer(InstantStore *store)
{
	MemoryContext caller = MemoryContextSwitchTo(store->context);
	const Oid *tables = store->rules->kept.tables;
	TierWriter *w = palloc0(sizeof(TierWriter));

	direct_open(&w->member, tables[INSTANT_TABLE_MEMBER]);
	direct_open(&w->change, tables[INSTANT_TABLE_CHANGE]);
	CheckCmdReplicaIdentity(w->member.rel, CMD_UPDATE);
	open_tiers(&w->tiers, tables[INSTANT_TABLE_TIER], store->snapshot);
	w->who = instant_who();
	store->tiers = w;
	MemoryContextSwitchTo(caller);
}

void
instant_tiers_close(InstantStore *store)
{
	TierWriter *w = store->tiers;

	direct_close(&w->member);
	direct_close(&w->change);
	if (w->tiers.index != NULL)
	{
		index_endscan(w->tiers.scan);
		ExecDropSingleTupleTableSlot(w->tiers.slot);
		index_close(w->tiers.index, NoLock);
	}
	/* The locks stay until the transaction ends, as for any that locks rows. */
	table_close(w->tiers.rel, NoLock);
	store->tiers = NULL;
}

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
		for (int i = 0; i < MEMBER_COLUMNS; i++)
		{
			lift->before[i] = after->tts_values[c[i] - 1];
			lift->before_null[i] = after->tts_isnull[c[i] - 1];
		}
		if (instant_tier_seq(lift->rules, DatumGetTextPP(lift->before[MEMBER_TIER])) >= lift->condition->seq ||
			DatumGetTimestampTz(lift->before[MEMBER_SINCE]) > lift->at)
			return false;
		lift->last_change = DatumGetInt32(lift->before[MEMBER_LAST_CHANGE]);
		peak = DatumGetInt32(lift->before[MEMBER_PEAK]);
		if (!lift->before_null[MEMBER_LOCK_UNTIL] &&
			DatumGetTimestampTz(lift->before[MEMBER_LOCK_UNTIL]) > DatumGetTimestampTz(judged_at))
			judged_at = lift->before[MEMBER_LOCK_UNTIL];
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

/*
 * Add a key and its value to the jsonb that is being made
 */
static void
push_pair(JsonbParseState **state, char *key, JsonbValue *value)
{
	JsonbValue name = {.type = jbvString, .val.string = {.len = (int)strlen(key), .val = key}};

	pushJsonbValue(state, WJB_KEY, &name);
	pushJsonbValue(state, WJB_VALUE, value);
}

static void
push_text(JsonbParseState **state, char *key, text *value)
{
	JsonbValue v = {.type = jbvNull};

	if (value != NULL)
	{
		v.type = jbvString;
		v.val.string.val = VARDATA_ANY(value);
		v.val.string.len = (int)VARSIZE_ANY_EXHDR(value);
	}
	push_pair(state, key, &v);
}

static void
push_moment(JsonbParseState **state, char *key, Datum value, bool isnull)
{
	push_text(state, key, isnull ? NULL : cstring_to_text(JsonEncodeDateTime(NULL, value, TIMESTAMPTZOID, NULL)));
}

static void
push_number(JsonbParseState **state, char *key, Datum value, bool isnull)
{
	JsonbValue v = {.type = isnull ? jbvNull : jbvNumeric};

	if (!isnull)
		v.val.numeric = DatumGetNumeric(DirectFunctionCall1(int4_numeric, value));
	push_pair(state, key, &v);
}

/*
 * The member's row before, so that a refund can give it back
 */
static Datum
state_before(const Lift *lift, text *tier)
{
	const InstantRules *rules = lift->rules;
	const Datum *values = lift->before;
	const bool *nulls = lift->before_null;
	bool found = lift->found;
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_text(&state, "tier", tier);
	push_moment(&state, "since", values[MEMBER_SINCE], !found);
	push_text(&state, "basis", found ? DatumGetTextPP(values[MEMBER_BASIS]) : NULL);
	push_moment(&state, "period_end", values[MEMBER_PERIOD_END], !found || nulls[MEMBER_PERIOD_END]);
	push_number(&state, "peak", found ? values[MEMBER_PEAK] : Int32GetDatum(rules->tiers[0].seq), false);
	push_number(&state, "rests_on", values[MEMBER_RESTS_ON], !found || nulls[MEMBER_RESTS_ON]);
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/*
 * Write the change of tier
 */
static void
write_change(InstantStore *store, const Lift *lift, Datum value, bool isnull, CommandId command)
{
	DirectTable *change = &store->tiers->change;
	const InstantRules *rules = lift->rules;
	const InstantCondition *condition = lift->condition;
	const AttrNumber *c = rules->lift.change;
	text *tier = lift->found ? DatumGetTextPP(lift->before[MEMBER_TIER]) : rules->tiers[0].name;

	direct_set(change, c[CHANGE_CUSTOMER], Int64GetDatum(lift->customer_id));
	direct_set(change, c[CHANGE_FROM], PointerGetDatum(tier));
	direct_set(change, c[CHANGE_TO], PointerGetDatum(condition->tier));
	if (!isnull)
		direct_set(change, c[CHANGE_VALUE], value);
	direct_set(change, c[CHANGE_REASON], CStringGetTextDatum("upgrade"));
	direct_set(change, c[CHANGE_AT], TimestampTzGetDatum(lift->at));
	if (!condition->no_threshold)
		direct_set(change, c[CHANGE_THRESHOLD], condition->threshold);
	direct_set(change, c[CHANGE_CONDITION], condition->stored);
	direct_set(change, c[CHANGE_ACTOR], store->tiers->who);
	direct_set(change, c[CHANGE_BOOKED_AT], TimestampTzGetDatum(GetCurrentTimestamp()));
	direct_set(change, c[CHANGE_PERIOD_END], lift->end);
	direct_set(change, c[CHANGE_NO], Int32GetDatum(lift->last_change + 1));
	direct_set(change, c[CHANGE_BEFORE], state_before(lift, tier));
	direct_insert(change, command);
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
	InstantRules *rules = store->rules;
	Lift lift = {.rules = rules, .condition = condition, .customer_id = customer_id, .at = at, .found = member->found};
	CommandId command;

	/* A row that is not as the snapshot shows it is an error under a snapshot of the whole transaction: the executor's. */
	if (!rules->lift.possible || !rules->kept.valid || rules->ntiers == 0 || store->members.index == NULL ||
		IsolationUsesXactSnapshot() || SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		return false;
	if (store->tiers == NULL)
		open_writer(store);
	if (!lock_tier(store, condition->tier))
		return false;
	lift.end = cycle_end(rules, at);
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
	write_change(store, &lift, value, isnull, command);
	/* What judges the customer next sees the rows. */
	CommandCounterIncrement();
	return true;
}
