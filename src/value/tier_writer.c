#include "value/tier_writer.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

bool
tier_writer_possible(const InstantStore *store)
{
	const InstantRules *rules = store->rules;

	return rules->lift.possible && rules->kept.valid && rules->ntiers > 0 && store->members.index != NULL &&
		   !IsolationUsesXactSnapshot() && SessionReplicationRole != SESSION_REPLICATION_ROLE_REPLICA;
}

Datum
tier_writer_cycle_end(InstantStore *store, TimestampTz at)
{
	const InstantRules *rules = store->rules;
	TierWriter *w = store->tiers;
	Datum zone = PointerGetDatum(rules->zone_name);
	Datum start;
	Interval length = {.month = rules->calendar ? 12 : rules->cycle};

	if (w->end_of == at)
		return w->end;
	start = DirectFunctionCall2(timestamptz_zone, zone, TimestampTzGetDatum(at));
	if (rules->calendar)
		start = DirectFunctionCall2(timestamp_pl_interval,
									DirectFunctionCall2(timestamp_trunc, CStringGetTextDatum("year"), start),
									IntervalPGetDatum(&length));
	else
		start = DirectFunctionCall2(date_pl_interval, DirectFunctionCall1(timestamp_date, start), IntervalPGetDatum(&length));
	w->end_of = at;
	return w->end = DirectFunctionCall2(timestamp_zone, zone, start);
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

bool
tier_writer_lock(InstantStore *store, int32 seq, text *tier)
{
	TierWriter *w = store->tiers;
	CustomerScan *table = &w->tiers;
	MemoryContext caller;
	TM_FailureData failure;
	ScanKeyData key;
	bool held;

	if (table->index == NULL)
		return false;
	if (list_member_int(w->locked, seq))
		return true;
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
	if (held)
	{
		caller = MemoryContextSwitchTo(store->context);
		w->locked = lappend_int(w->locked, seq);
		MemoryContextSwitchTo(caller);
	}
	return held;
}

TierWriter *
tier_writer(InstantStore *store)
{
	MemoryContext caller;
	const Oid *tables = store->rules->kept.tables;
	TierWriter *w = store->tiers;

	if (w != NULL)
		return w;
	caller = MemoryContextSwitchTo(store->context);
	w = palloc0(sizeof(TierWriter));
	direct_open(&w->member, tables[INSTANT_TABLE_MEMBER]);
	direct_open(&w->change, tables[INSTANT_TABLE_CHANGE]);
	CheckCmdReplicaIdentity(w->member.rel, CMD_UPDATE);
	open_tiers(&w->tiers, tables[INSTANT_TABLE_TIER], store->snapshot);
	w->who = instant_who();
	w->end_of = DT_NOBEGIN;
	store->tiers = w;
	MemoryContextSwitchTo(caller);
	return w;
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
state_before(const InstantRules *rules, const MemberRow *before, text *tier)
{
	const Datum *values = before != NULL ? before->values : NULL;
	const bool *nulls = before != NULL ? before->nulls : NULL;
	bool found = before != NULL;
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_text(&state, "tier", tier);
	push_moment(&state, "since", found ? values[MEMBER_SINCE] : (Datum)0, !found);
	push_text(&state, "basis", found ? DatumGetTextPP(values[MEMBER_BASIS]) : NULL);
	push_moment(&state, "period_end", found ? values[MEMBER_PERIOD_END] : (Datum)0, !found || nulls[MEMBER_PERIOD_END]);
	push_number(&state, "peak", found ? values[MEMBER_PEAK] : Int32GetDatum(rules->tiers[0].seq), false);
	push_number(&state, "rests_on", found ? values[MEMBER_RESTS_ON] : (Datum)0, !found || nulls[MEMBER_RESTS_ON]);
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

void
tier_writer_read(const InstantRules *rules, const TupleTableSlot *slot, MemberRow *row)
{
	for (int i = 0; i < MEMBER_COLUMNS; i++)
	{
		row->values[i] = slot->tts_values[rules->lift.member[i] - 1];
		row->nulls[i] = slot->tts_isnull[rules->lift.member[i] - 1];
	}
}

static void
set_if(DirectTable *table, AttrNumber column, NullableDatum value)
{
	if (!value.isnull)
		direct_set(table, column, value.value);
}

void
tier_writer_put(InstantStore *store, const TierChange *change, CommandId command)
{
	DirectTable *table = &store->tiers->change;
	const InstantRules *rules = store->rules;
	const AttrNumber *c = rules->lift.change;
	/* A copy, since the page that the row lies in may be gone before what is put aside is written. */
	text *from = change->before != NULL ? DatumGetTextPCopy(change->before->values[MEMBER_TIER]) : rules->tiers[0].name;

	direct_set(table, c[CHANGE_CUSTOMER], Int64GetDatum(change->customer_id));
	direct_set(table, c[CHANGE_FROM], PointerGetDatum(from));
	direct_set(table, c[CHANGE_TO], PointerGetDatum(change->to));
	set_if(table, c[CHANGE_VALUE], change->value);
	direct_set(table, c[CHANGE_REASON], CStringGetTextDatum(change->reason));
	direct_set(table, c[CHANGE_AT], TimestampTzGetDatum(change->at));
	set_if(table, c[CHANGE_THRESHOLD], change->threshold);
	set_if(table, c[CHANGE_CONDITION], change->condition);
	direct_set(table, c[CHANGE_ACTOR], store->tiers->who);
	direct_set(table, c[CHANGE_BOOKED_AT], TimestampTzGetDatum(GetCurrentTimestamp()));
	set_if(table, c[CHANGE_PERIOD_END], change->end);
	direct_set(table, c[CHANGE_NO], Int32GetDatum(change->change_no));
	direct_set(table, c[CHANGE_BEFORE], state_before(rules, change->before, from));
	if (store->many)
		direct_put(table);
	else
		direct_insert(table, command);
}

void
instant_tiers_flush(InstantStore *store)
{
	if (store->tiers != NULL)
		direct_insert_all(&store->tiers->change, GetCurrentCommandId(true));
}
