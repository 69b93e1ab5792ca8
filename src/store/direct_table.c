#include "store/direct_table.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#define INSERT_CHUNK 100

void
direct_open(DirectTable *table, Oid relid)
{
	memset(table, 0, sizeof(DirectTable));
	table->rel = table_open(relid, RowExclusiveLock);
	table->context = CurrentMemoryContext;
	table->slot = MakeSingleTupleTableSlot(RelationGetDescr(table->rel), &TTSOpsVirtual);
	memset(table->slot->tts_isnull, true, RelationGetDescr(table->rel)->natts);
}

/*
 * Open the indexes
 */
static void
need_indexes(DirectTable *table)
{
	MemoryContext caller;

	if (table->info != NULL)
		return;
	caller = MemoryContextSwitchTo(table->context);
	table->estate = CreateExecutorState();
	/* InitResultRelInfo() would copy the triggers: customer has a hundred, of foreign keys. */
	table->info = makeNode(ResultRelInfo);
	table->info->ri_RelationDesc = table->rel;
	ExecOpenIndices(table->info, false);
	MemoryContextSwitchTo(caller);
}

void
direct_close(DirectTable *table)
{
	if (table->rel == NULL)
		return;
	if (table->info != NULL)
	{
		/* Locks stay until the transaction ends: letting go of each costs more than of all together. */
		for (int i = 0; i < table->info->ri_NumIndices; i++)
		{
			crm_index_insert_cleanup(table->info->ri_IndexRelationDescs[i], table->info->ri_IndexRelationInfo[i]);
			index_close(table->info->ri_IndexRelationDescs[i], NoLock);
		}
		FreeExecutorState(table->estate);
	}
	for (int i = 0; i < table->made; i++)
		ExecDropSingleTupleTableSlot(table->rows[i]);
	ExecDropSingleTupleTableSlot(table->slot);
	table_close(table->rel, NoLock);
	table->rel = NULL;
}

/*
 * Empty the slot: all columns are null again
 */
static void
clear_slot(TupleTableSlot *slot)
{
	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, slot->tts_tupleDescriptor->natts);
}

void
direct_insert(DirectTable *table, CommandId command)
{
	need_indexes(table);
	ExecStoreVirtualTuple(table->slot);
	table_tuple_insert(table->rel, table->slot, command, 0, NULL);
	list_free(crm_insert_new_index_tuples(table->info, table->slot, table->estate));
	ResetPerTupleExprContext(table->estate);
	clear_slot(table->slot);
}

bool
direct_insert_new(DirectTable *table, CommandId command)
{
	TransactionId xid = GetCurrentTransactionId();
	bool conflict = false;
	uint32 token;

	need_indexes(table);
	ExecStoreVirtualTuple(table->slot);
	/* As ON CONFLICT does it, so that a row that another transaction is about to commit is no error. */
	token = SpeculativeInsertionLockAcquire(xid);
	table_tuple_insert_speculative(table->rel, table->slot, command, 0, NULL, token);
	list_free(crm_insert_speculative_index_tuples(table->info, table->slot, table->estate, &conflict));
	table_tuple_complete_speculative(table->rel, table->slot, token, !conflict);
	SpeculativeInsertionLockRelease(xid);
	ResetPerTupleExprContext(table->estate);
	clear_slot(table->slot);
	return !conflict;
}

void
direct_put(DirectTable *table)
{
	TupleTableSlot *row;

	if (table->nrows == table->room)
	{
		MemoryContext caller = MemoryContextSwitchTo(table->context);
		int room = Max(table->room * 2, 4);

		table->rows = table->rows == NULL ? palloc(sizeof(TupleTableSlot *) * room)
										  : repalloc_huge(table->rows, sizeof(TupleTableSlot *) * (Size)room);
		table->room = room;
		MemoryContextSwitchTo(caller);
	}
	if (table->nrows == table->made)
	{
		MemoryContext caller = MemoryContextSwitchTo(table->context);

		table->rows[table->made++] = MakeSingleTupleTableSlot(RelationGetDescr(table->rel), &TTSOpsVirtual);
		MemoryContextSwitchTo(caller);
	}
	/* The slots change places, so that nothing is copied. */
	row = table->rows[table->nrows];
	ExecStoreVirtualTuple(table->slot);
	table->rows[table->nrows++] = table->slot;
	table->slot = row;
	clear_slot(row);
}

/*
 * Are two rows the same to an index?
 */
static bool
same_values(Relation index, Datum values[2][INDEX_MAX_KEYS], bool nulls[2][INDEX_MAX_KEYS])
{
	TupleDesc desc = RelationGetDescr(index);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (nulls[0][i] != nulls[1][i] ||
			(!nulls[0][i] && !datumIsEqual(values[0][i], values[1][i], attribute->attbyval, attribute->attlen)))
			return false;
	}
	return true;
}

/*
 * Put rows into one index, whose upper pages stay at hand when it is not another's turn after each
 */
static void
insert_into_index(DirectTable *table, int which, TupleTableSlot **rows, int count)
{
	Relation index = table->info->ri_IndexRelationDescs[which];
	IndexInfo *info = table->info->ri_IndexRelationInfo[which];
	ExprContext *context = GetPerTupleExprContext(table->estate);
	MemoryContext caller = MemoryContextSwitchTo(GetPerTupleMemoryContext(table->estate));
	Datum values[2][INDEX_MAX_KEYS];
	bool nulls[2][INDEX_MAX_KEYS];
	/* Rows of one page and value tell an index that sums up ranges of pages nothing new. */
	bool sums_up = index->rd_rel->relam == BRIN_AM_OID;
	BlockNumber last = InvalidBlockNumber;
	int side = 0;

	if (!info->ii_ReadyForInserts)
	{
		MemoryContextSwitchTo(caller);
		return;
	}
	if (info->ii_Predicate != NIL && info->ii_PredicateState == NULL)
		info->ii_PredicateState = ExecPrepareQual(info->ii_Predicate, table->estate);
	for (int i = 0; i < count; i++)
	{
		context->ecxt_scantuple = rows[i];
		if (info->ii_Predicate != NIL && !ExecQual(info->ii_PredicateState, context))
			continue;
		FormIndexDatum(info, rows[i], table->estate, values[side], nulls[side]);
		if (sums_up && ItemPointerGetBlockNumber(&rows[i]->tts_tid) == last && same_values(index, values, nulls))
			continue;
		last = ItemPointerGetBlockNumber(&rows[i]->tts_tid);
		index_insert(index,
					 values[side],
					 nulls[side],
					 &rows[i]->tts_tid,
					 table->rel,
					 index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO,
					 false,
					 info);
		side = 1 - side;
	}
	MemoryContextSwitchTo(caller);
	ResetPerTupleExprContext(table->estate);
}

void
direct_insert_all(DirectTable *table, CommandId command)
{
	if (table->nrows == 0)
		return;
	need_indexes(table);
	for (int done = 0; done < table->nrows; done += INSERT_CHUNK)
	{
		TupleTableSlot **rows = table->rows + done;
		int count = Min(INSERT_CHUNK, table->nrows - done);

		CHECK_FOR_INTERRUPTS();
		if (count == 1)
			table_tuple_insert(table->rel, rows[0], command, 0, NULL);
		else
			table_multi_insert(table->rel, rows, count, command, 0, NULL);
		for (int i = 0; i < table->info->ri_NumIndices; i++)
			insert_into_index(table, i, rows, count);
		for (int i = 0; i < count; i++)
			clear_slot(rows[i]);
	}
	table->nrows = 0;
}

/*
 * Is this predicate of an index known to fail for a row, without preparing it? The usual one asks whether a column is there.
 */
static bool
surely_fails(List *predicate, TupleTableSlot *row)
{
	ListCell *cell;

	foreach (cell, predicate)
	{
		NullTest *test = lfirst(cell);

		if (IsA(test, NullTest) && test->nulltesttype == IS_NOT_NULL && !test->argisrow && IsA(test->arg, Var) &&
			((Var *) test->arg)->varattno > 0 && slot_attisnull(row, ((Var *) test->arg)->varattno))
			return true;
	}
	return false;
}

/*
 * Leave out the partial indexes that take no entry for a row: what is not ready for entries gets none
 */
static void
pass_over_partial(DirectTable *table, TupleTableSlot *row)
{
	for (int i = 0; i < table->info->ri_NumIndices; i++)
	{
		IndexInfo *info = table->info->ri_IndexRelationInfo[i];

		if (info->ii_Predicate != NIL)
			info->ii_ReadyForInserts = table->info->ri_IndexRelationDescs[i]->rd_index->indisready && !surely_fails(info->ii_Predicate, row);
	}
}

DirectUpdate
direct_update(DirectTable *table, TupleTableSlot *before, Snapshot snapshot, CommandId command, DirectChange change, void *arg)
{
	TupleTableSlot *after = table->slot;
	int natts = RelationGetDescr(table->rel)->natts;

	for (;;)
	{
		TM_FailureData failure;
		LockTupleMode lock;
		CrmUpdateIndexes indexes;
		TM_Result result;

		slot_getallattrs(before);
		ExecClearTuple(after);
		memcpy(after->tts_values, before->tts_values, natts * sizeof(Datum));
		memcpy(after->tts_isnull, before->tts_isnull, natts * sizeof(bool));
		if (!change(after, arg))
			return DIRECT_UNCHANGED;
		ExecStoreVirtualTuple(after);
		result = table_tuple_update(
			table->rel, &before->tts_tid, after, command, snapshot, InvalidSnapshot, true, &failure, &lock, &indexes);
		if (result == TM_Ok)
		{
			if (indexes != CRM_UPDATE_NO_INDEXES)
			{
				need_indexes(table);
				pass_over_partial(table, after);
				list_free(crm_insert_index_tuples(table->info, after, table->estate, indexes));
				ResetPerTupleExprContext(table->estate);
			}
			return DIRECT_UPDATED;
		}
		/* Another writer was first: wait for its row, and change that. */
		if (result == TM_Updated)
			result = table_tuple_lock(table->rel,
									  &before->tts_tid,
									  snapshot,
									  before,
									  command,
									  lock,
									  LockWaitBlock,
									  TUPLE_LOCK_FLAG_FIND_LAST_VERSION,
									  &failure);
		if (result == TM_Deleted)
			return DIRECT_GONE;
		if (result != TM_Ok)
			elog(ERROR, "could not update %s: status %d", RelationGetRelationName(table->rel), (int)result);
	}
}
