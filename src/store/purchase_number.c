#include "store/purchase_number.h"

#include "base/store.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplesort.h"

/* A number that went or came. Sorted so, what went makes room for what comes under the same number. */
enum
{
	CHANGE_CHANNEL,
	CHANGE_ORDER_NO,
	CHANGE_CAME, /* 0 went, 1 came */
	CHANGE_CUSTOMER,
	CHANGE_COLUMNS
};

struct PurchaseNumbers
{
	Relation rel; /* purchase_number */
	AttrNumber columns[CHANGE_COLUMNS];
	TupleDesc desc;
	TupleTableSlot *slot;
	Tuplesortstate *sort; /* NULL while there is one change only, which stands in the slot */
	bool one;
	Relation index;
	TupleTableSlot *stored;
	TupleTableSlot *written;
	IndexScanDesc scan;
	Snapshot snapshot;
	CommandId command;
	ResultRelInfo *info;
	EState *estate;
	MemoryContext row_context;
};

PurchaseNumbers *
purchase_numbers_begin(Relation purchase)
{
	PurchaseNumbers *numbers;

	if (purchase->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return NULL;
	numbers = palloc0_object(PurchaseNumbers);
	numbers->rel = table_open(store_sibling_table(purchase, "purchase_number"), RowExclusiveLock);
	numbers->columns[CHANGE_CHANNEL] = store_column(numbers->rel, "channel");
	numbers->columns[CHANGE_ORDER_NO] = store_column(numbers->rel, "order_no");
	numbers->columns[CHANGE_CUSTOMER] = store_column(numbers->rel, "customer_id");
	numbers->desc = CreateTemplateTupleDesc(CHANGE_COLUMNS);
	TupleDescInitEntry(numbers->desc, CHANGE_CHANNEL + 1, "channel", TEXTOID, -1, 0);
	TupleDescInitEntry(numbers->desc, CHANGE_ORDER_NO + 1, "order_no", TEXTOID, -1, 0);
	TupleDescInitEntry(numbers->desc, CHANGE_CAME + 1, "came", INT4OID, -1, 0);
	TupleDescInitEntry(numbers->desc, CHANGE_CUSTOMER + 1, "customer_id", INT8OID, -1, 0);
	numbers->slot = MakeSingleTupleTableSlot(numbers->desc, &TTSOpsMinimalTuple);
	return numbers;
}

/*
 * Note that a number went or came. Locks are taken in the order of the numbers, so that two statements never wait for each
 * other's in a circle.
 */
static void
note(PurchaseNumbers *numbers, const PurchaseColumns *c, TupleTableSlot *row, bool came)
{
	static AttrNumber keys[3] = {CHANGE_CHANNEL + 1, CHANGE_ORDER_NO + 1, CHANGE_CAME + 1};
	static Oid operators[3] = {TextLessOperator, TextLessOperator, Int4LessOperator};
	static Oid collations[3] = {C_COLLATION_OID, C_COLLATION_OID, InvalidOid};
	static bool nulls_first[3] = {false, false, false};
	bool isnull[CHANGE_COLUMNS] = {false};
	Datum values[CHANGE_COLUMNS];
	MinimalTuple change;

	values[CHANGE_CHANNEL] = slot_getattr(row, c->channel, &isnull[CHANGE_CHANNEL]);
	values[CHANGE_ORDER_NO] = slot_getattr(row, c->order_no, &isnull[CHANGE_ORDER_NO]);
	values[CHANGE_CAME] = Int32GetDatum(came);
	values[CHANGE_CUSTOMER] = slot_getattr(row, c->customer_id, &isnull[CHANGE_CUSTOMER]);
	if (numbers->one && numbers->sort == NULL)
	{
		numbers->sort = tuplesort_begin_heap(numbers->desc,
											 lengthof(keys),
											 keys,
											 operators,
											 collations,
											 nulls_first,
											 work_mem,
											 NULL,
											 TUPLESORT_NONE);
		tuplesort_puttupleslot(numbers->sort, numbers->slot);
	}
	change = crm_heap_form_minimal_tuple(numbers->desc, values, isnull);
	ExecStoreMinimalTuple(change, numbers->slot, true);
	if (numbers->sort != NULL)
		tuplesort_puttupleslot(numbers->sort, numbers->slot);
	numbers->one = true;
}

/*
 * Are the texts in a column of two rows the same, byte by byte?
 */
static bool
same_text(TupleTableSlot *a, TupleTableSlot *b, AttrNumber attnum)
{
	bool isnull;
	text *x = DatumGetTextPP(slot_getattr(a, attnum, &isnull));
	text *y = DatumGetTextPP(slot_getattr(b, attnum, &isnull));

	return VARSIZE_ANY_EXHDR(x) == VARSIZE_ANY_EXHDR(y) && memcmp(VARDATA_ANY(x), VARDATA_ANY(y), VARSIZE_ANY_EXHDR(x)) == 0;
}

void
purchase_numbers_add(PurchaseNumbers *numbers, const PurchaseColumns *c, TupleTableSlot *before, TupleTableSlot *after)
{
	bool isnull;

	if (before != NULL && after != NULL &&
		slot_getattr(before, c->customer_id, &isnull) == slot_getattr(after, c->customer_id, &isnull) &&
		same_text(before, after, c->channel) && same_text(before, after, c->order_no))
		return;
	if (before != NULL)
		note(numbers, c, before, false);
	if (after != NULL)
		note(numbers, c, after, true);
}

/*
 * Open what writing takes, and see to it that nothing is there that an INSERT or DELETE would have to heed
 */
static void
open_for_writing(PurchaseNumbers *numbers)
{
	Relation rel = numbers->rel;

	list_free(RelationGetIndexList(rel));
	if (rel->rd_rel->relkind == RELKIND_RELATION && OidIsValid(rel->rd_pkindex))
		numbers->index = index_open(rel->rd_pkindex, RowExclusiveLock);
	if (numbers->index == NULL || numbers->index->rd_index->indnkeyatts != 2 ||
		numbers->index->rd_index->indkey.values[0] != numbers->columns[CHANGE_CHANNEL] ||
		numbers->index->rd_index->indkey.values[1] != numbers->columns[CHANGE_ORDER_NO])
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("the primary key of table \"%s\" is not (channel, order_no)", RelationGetRelationName(rel)),
				 errhint("It is what keeps the numbers of orders unique; create it again.")));
	if (rel->trigdesc != NULL && (rel->trigdesc->trig_insert_before_row || rel->trigdesc->trig_insert_after_row ||
								  rel->trigdesc->trig_delete_before_row || rel->trigdesc->trig_delete_after_row))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" has triggers", RelationGetRelationName(rel)),
				 errhint("It is written without the executor, so they would not fire; put them on purchase.")));
	numbers->stored = table_slot_create(rel, NULL);
	numbers->written = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	/* See what this transaction did so far, and what others committed until now. */
	CommandCounterIncrement();
	numbers->snapshot = RegisterSnapshot(GetTransactionSnapshot());
	numbers->command = GetCurrentCommandId(true);
	numbers->row_context = AllocSetContextCreate(CurrentMemoryContext, "crm order number", ALLOCSET_SMALL_SIZES);
	numbers->estate = CreateExecutorState();
	numbers->info = makeNode(ResultRelInfo);
	InitResultRelInfo(numbers->info, rel, 0, NULL, 0);
	ExecOpenIndices(numbers->info, false);
}

/*
 * A number of this customer went. When it is not there, or another's, an earlier writer was stopped from keeping it
 */
static void
number_went(PurchaseNumbers *numbers, const Datum *change)
{
	TM_FailureData failure;
	TM_Result result;
	ScanKeyData keys[2];
	bool isnull;

	if (numbers->scan == NULL)
		numbers->scan = crm_index_beginscan(numbers->rel, numbers->index, numbers->snapshot, 2);
	for (int i = 0; i < 2; i++)
		ScanKeyEntryInitialize(&keys[i],
							   0,
							   i + 1,
							   BTEqualStrategyNumber,
							   InvalidOid,
							   numbers->index->rd_indcollation[i],
							   F_TEXTEQ,
							   change[i]);
	index_rescan(numbers->scan, keys, 2, NULL, 0);
	if (!index_getnext_slot(numbers->scan, ForwardScanDirection, numbers->stored) ||
		slot_getattr(numbers->stored, numbers->columns[CHANGE_CUSTOMER], &isnull) != change[CHANGE_CUSTOMER])
		return;
	result = table_tuple_delete(numbers->rel,
								&numbers->stored->tts_tid,
								numbers->command,
								numbers->snapshot,
								InvalidSnapshot,
								true,
								&failure,
								false);
	if (result == TM_Updated || (result == TM_Deleted && IsolationUsesXactSnapshot()))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE), errmsg("could not serialize access due to concurrent update")));
	if (result != TM_Ok && result != TM_Deleted)
		elog(ERROR, "could not delete from purchase_number: status %d", (int) result);
}

/*
 * A number came: the index waits for whoever is about to take or leave it, and raises when it is taken
 */
static void
number_came(PurchaseNumbers *numbers, const Datum *change)
{
	TupleTableSlot *slot = numbers->written;
	MemoryContext old = MemoryContextSwitchTo(numbers->row_context);

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, slot->tts_tupleDescriptor->natts * sizeof(bool));
	for (int i = 0; i < CHANGE_COLUMNS; i++)
	{
		if (i == CHANGE_CAME)
			continue;
		slot->tts_values[numbers->columns[i] - 1] = change[i];
		slot->tts_isnull[numbers->columns[i] - 1] = false;
	}
	ExecStoreVirtualTuple(slot);
	table_tuple_insert(numbers->rel, slot, numbers->command, 0, NULL);
	list_free(crm_insert_new_index_tuples(numbers->info, slot, numbers->estate));
	ResetPerTupleExprContext(numbers->estate);
	ExecClearTuple(slot);
	MemoryContextSwitchTo(old);
	MemoryContextReset(numbers->row_context);
}

/*
 * Write the change in the slot
 */
static void
write_change(PurchaseNumbers *numbers)
{
	CHECK_FOR_INTERRUPTS();
	slot_getallattrs(numbers->slot);
	if (DatumGetInt32(numbers->slot->tts_values[CHANGE_CAME]) == 0)
		number_went(numbers, numbers->slot->tts_values);
	else
		number_came(numbers, numbers->slot->tts_values);
}

void
purchase_numbers_write(PurchaseNumbers *numbers)
{
	if (numbers->one)
	{
		open_for_writing(numbers);
		if (numbers->sort == NULL)
			write_change(numbers);
		else
		{
			tuplesort_performsort(numbers->sort);
			while (tuplesort_gettupleslot(numbers->sort, true, false, numbers->slot, NULL))
				write_change(numbers);
			ExecClearTuple(numbers->slot);
			tuplesort_end(numbers->sort);
		}
		if (numbers->scan != NULL)
			index_endscan(numbers->scan);
		UnregisterSnapshot(numbers->snapshot);
		ExecCloseIndices(numbers->info);
		FreeExecutorState(numbers->estate);
		ExecDropSingleTupleTableSlot(numbers->stored);
		ExecDropSingleTupleTableSlot(numbers->written);
		MemoryContextDelete(numbers->row_context);
		index_close(numbers->index, NoLock);
		/* What follows in this transaction sees the rows. */
		CommandCounterIncrement();
	}
	ExecDropSingleTupleTableSlot(numbers->slot);
	table_close(numbers->rel, NoLock);
}
