#include "store/purchase_summary.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "common/int.h"
#include "executor/executor.h"
#include "miscadmin.h"
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

/*
 * The row with a delta added; true when the first or last order of the customer went
 */
static bool
add_delta(const SummaryColumns *c, TupleTableSlot *before, TupleTableSlot *after, const CustomerDelta *delta)
{
	int natts = before->tts_tupleDescriptor->natts;
	int64 orders;
	Datum *values = after->tts_values;
	bool *nulls = after->tts_isnull;
	bool lost = false;

	slot_getallattrs(before);
	ExecClearTuple(after);
	memcpy(values, before->tts_values, natts * sizeof(Datum));
	memcpy(nulls, before->tts_isnull, natts * sizeof(bool));

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
	if (delta->lost_first != DT_NOEND)
		lost = nulls[c->first_order_at - 1] || nulls[c->last_order_at - 1] ||
			   delta->lost_first <= DatumGetTimestampTz(values[c->first_order_at - 1]) ||
			   delta->lost_last >= DatumGetTimestampTz(values[c->last_order_at - 1]);
	ExecStoreVirtualTuple(after);
	return lost;
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
	Relation index = index_open(summary->rd_pkindex, RowExclusiveLock);
	TupleTableSlot *before = table_slot_create(summary, NULL);
	TupleTableSlot *after = MakeSingleTupleTableSlot(RelationGetDescr(summary), &TTSOpsVirtual);
	MemoryContext row_context =
		AllocSetContextCreate(CurrentMemoryContext, "crm summary row", ALLOCSET_SMALL_SIZES);
	ResultRelInfo *info = NULL;
	EState *estate = NULL;
	Snapshot snapshot;
	IndexScanDesc scan;
	CommandId command;
	int i;

	/* See what this transaction did so far, and what others committed until now. */
	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	command = GetCurrentCommandId(true);
	scan = crm_index_beginscan(summary, index, snapshot, 1);

	for (i = 0; i < count; i++)
	{
		MemoryContext old;
		ScanKeyData key;
		TM_Result result;
		CrmUpdateIndexes indexes;

		CHECK_FOR_INTERRUPTS();
		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(written[i]->customer_id));
		index_rescan(scan, &key, 1, NULL, 0);
		if (!index_getnext_slot(scan, ForwardScanDirection, before))
			summary_missing();
		/* Only now: the scan keeps what it allocates. */
		old = MemoryContextSwitchTo(row_context);
		for (;;)
		{
			TM_FailureData failure;
			LockTupleMode lock;

			lost[i] = add_delta(&table->summary, before, after, written[i]);
			result = table_tuple_update(
				summary, &before->tts_tid, after, command, snapshot, InvalidSnapshot, true, &failure, &lock, &indexes);
			if (result != TM_Updated)
				break;
			/* Another writer was first: wait for its row, and add to that. */
			result = table_tuple_lock(summary,
									  &before->tts_tid,
									  snapshot,
									  before,
									  command,
									  lock,
									  LockWaitBlock,
									  TUPLE_LOCK_FLAG_FIND_LAST_VERSION,
									  &failure);
			if (result != TM_Ok)
				break;
		}
		if (result == TM_Deleted)
			summary_missing();
		if (result != TM_Ok)
			elog(ERROR, "could not update customer_summary: status %d", (int) result);
		if (indexes != CRM_UPDATE_NO_INDEXES)
		{
			if (estate == NULL)
			{
				MemoryContextSwitchTo(old);
				estate = CreateExecutorState();
				info = makeNode(ResultRelInfo);
				InitResultRelInfo(info, summary, 0, NULL, 0);
				ExecOpenIndices(info, false);
				MemoryContextSwitchTo(row_context);
			}
			list_free(crm_insert_index_tuples(info, after, estate, indexes));
			ResetPerTupleExprContext(estate);
		}
		if (kept != NULL)
		{
			MemoryContextSwitchTo(context);
			kept[i]->summary = ExecCopySlotHeapTuple(after);
		}
		MemoryContextSwitchTo(old);
		ExecClearTuple(after);
		MemoryContextReset(row_context);
	}

	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(before);
	ExecDropSingleTupleTableSlot(after);
	if (estate != NULL)
	{
		ExecCloseIndices(info);
		FreeExecutorState(estate);
	}
	index_close(index, NoLock);
	MemoryContextDelete(row_context);
	/* What follows in this transaction sees the rows. */
	CommandCounterIncrement();
}
