#include "store/purchase_summary.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "common/int.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "store/direct_table.h"
#include "store/money.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/*
 * Writes customer_summary as the executor's UPDATE does, without the executor: starting it costs several times what one
 * row costs, and the order path writes one row a statement. Whatever a user may have added to the table that an UPDATE has
 * to heed (triggers, policies, checks, generated columns) sends the caller to the executor instead.
 */

bool
summaries_direct(Relation summary)
{
	TupleConstr *constr = RelationGetDescr(summary)->constr;
	TriggerDesc *triggers = summary->trigdesc;
	int i;

	/* Under a snapshot of the whole transaction a row that changed meanwhile is an error, which the executor raises. */
	if (IsolationUsesXactSnapshot())
		return false;
	if (summary->rd_rel->relkind != RELKIND_RELATION || summary->rd_rel->relforcerowsecurity || summary->rd_rules != NULL)
		return false;
	if (constr != NULL && (constr->has_generated_stored || constr->num_check > 0))
		return false;
	for (i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger *trigger = &triggers->triggers[i];

		/* The triggers of foreign keys have nothing to do when the key stays as it is. */
		if (TRIGGER_FOR_UPDATE(trigger->tgtype) && (!trigger->tgisinternal || trigger->tgdeferrable))
			return false;
	}
	list_free(RelationGetIndexList(summary));
	return OidIsValid(summary->rd_pkindex);
}

/*
 * Add to a numeric column
 */
static void
add_money(TupleTableSlot *slot, AttrNumber attnum, int64 units)
{
	slot->tts_values[attnum - 1] =
		DirectFunctionCall2(numeric_add, slot->tts_values[attnum - 1], money_to_numeric(units));
}

/*
 * Add the months of a delta to those of the row
 */
static Datum
add_months(Datum stored, const CustomerDelta *delta)
{
	int count;
	MonthBucket *buckets = months_unpack(PG_DETOAST_DATUM_PACKED(stored), &count);
	int i;

	buckets = repalloc(buckets, (count + delta->nmonths + 1) * sizeof(MonthBucket));
	for (i = 0; i < delta->nmonths; i++)
		count += months_put(buckets, count, delta->months[i].month, delta->months[i].orders, delta->months[i].net);
	return PointerGetDatum(months_pack(buckets, count));
}

/* What is added to a row. */
typedef struct Addition
{
	const SummaryColumns *columns;
	const CustomerDelta *delta;
	bool lost; /* did the first or last order of the customer go? */
} Addition;

/*
 * The row with a delta added
 */
static bool
add_delta(TupleTableSlot *after, void *arg)
{
	Addition *addition = arg;
	const SummaryColumns *c = addition->columns;
	const CustomerDelta *delta = addition->delta;
	int64 orders;
	Datum *values = after->tts_values;
	bool *nulls = after->tts_isnull;

	if (pg_add_s64_overflow(DatumGetInt64(values[c->order_count - 1]), delta->orders, &orders))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), errmsg("bigint out of range")));
	values[c->order_count - 1] = Int64GetDatum(orders);
	add_money(after, c->spend_total, delta->spend);
	add_money(after, c->refunded_total, delta->refunded);
	add_money(after, c->discount_total, delta->discount);
	add_money(after, c->cost_total, delta->cost);
	if (delta->nmonths > 0)
		values[c->months - 1] = add_months(values[c->months - 1], delta);
	if (delta->first != DT_NOEND)
	{
		AttrNumber first = c->first_order_at - 1;
		AttrNumber last = c->last_order_at - 1;

		if (nulls[first] || delta->first < DatumGetTimestampTz(values[first]))
			values[first] = TimestampTzGetDatum(delta->first);
		if (nulls[last] || delta->last > DatumGetTimestampTz(values[last]))
			values[last] = TimestampTzGetDatum(delta->last);
		nulls[first] = nulls[last] = false;
	}
	addition->lost = delta->lost_first != DT_NOEND &&
					 (nulls[c->first_order_at - 1] || nulls[c->last_order_at - 1] ||
					  delta->lost_first <= DatumGetTimestampTz(values[c->first_order_at - 1]) ||
					  delta->lost_last >= DatumGetTimestampTz(values[c->last_order_at - 1]));
	return true;
}

void
summaries_write_direct(PurchaseTable *table,
					   Relation summary,
					   CustomerDelta **written,
					   int count,
					   PurchaseCustomer **kept,
					   bool *lost,
					   MemoryContext context)
{
	DirectTable rows;
	Relation index = index_open(summary->rd_pkindex, RowExclusiveLock);
	TupleTableSlot *before = table_slot_create(summary, NULL);
	MemoryContext row_context =
		AllocSetContextCreate(CurrentMemoryContext, "crm summary row", ALLOCSET_SMALL_SIZES);
	Snapshot snapshot;
	IndexScanDesc scan;
	CommandId command;
	int i;

	/* See what this transaction did so far, and what others committed until now. */
	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	command = GetCurrentCommandId(true);
	scan = crm_index_beginscan(summary, index, snapshot, 1);
	direct_open(&rows, RelationGetRelid(summary));

	for (i = 0; i < count; i++)
	{
		Addition addition = {.columns = &table->summary, .delta = written[i]};
		MemoryContext old;
		ScanKeyData key;

		CHECK_FOR_INTERRUPTS();
		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(written[i]->customer_id));
		index_rescan(scan, &key, 1, NULL, 0);
		if (!index_getnext_slot(scan, ForwardScanDirection, before))
			summary_missing();
		/* Only now: the scan keeps what it allocates. */
		old = MemoryContextSwitchTo(row_context);
		if (direct_update(&rows, before, snapshot, command, add_delta, &addition) == DIRECT_GONE)
			summary_missing();
		lost[i] = addition.lost;
		if (kept != NULL)
		{
			MemoryContextSwitchTo(context);
			kept[i]->summary = ExecCopySlotHeapTuple(rows.slot);
		}
		MemoryContextSwitchTo(old);
		ExecClearTuple(rows.slot);
		MemoryContextReset(row_context);
	}

	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(before);
	direct_close(&rows);
	index_close(index, NoLock);
	MemoryContextDelete(row_context);
	/* What follows in this transaction sees the rows. */
	CommandCounterIncrement();
}
