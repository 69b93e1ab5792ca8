/*
 * Inserts entries as the executor does, without the executor; see direct.c.
 */
#include "points/ledger.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#define INSERT_CHUNK 100

/* So few entries are not worth what it takes to insert many. */
#define INSERT_SINGLY 3

/* An index of points_entry whose entries are columns as they stand in the row. */
typedef struct LedgerIndex
{
	Oid index;
	bool reverses; /* has the entries that reverse another */
	IndexInfo *info;
} LedgerIndex;

/*
 * Has an index just the rows in which a column is not null?
 */
static bool
is_not_null_index(const IndexInfo *info, AttrNumber column)
{
	const NullTest *test = list_length(info->ii_Predicate) == 1 ? linitial(info->ii_Predicate) : NULL;

	return test != NULL && IsA(test, NullTest) && test->nulltesttype == IS_NOT_NULL && IsA(test->arg, Var) &&
		   ((const Var *) test->arg)->varattno == column;
}

/*
 * Keep what the indexes of the entries are, when a single entry can be put into them without more. What a ledger with other
 * indexes needs for them is made for each statement.
 */
void
ledger_keep_indexes(Ledger *ledger, Relation entries)
{
	MemoryContext old;
	List *indexes;
	ListCell *cell;

	/* One of those may be in use further out. */
	if (ledger->index_context != NULL)
		MemoryContextSetParent(ledger->index_context, TopTransactionContext);
	ledger->index_context = AllocSetContextCreate(CacheMemoryContext, "crm points indexes", ALLOCSET_SMALL_SIZES);
	ledger->indexes = NIL;
	if (!ledger->plain)
		return;
	old = MemoryContextSwitchTo(ledger->index_context);
	indexes = RelationGetIndexList(entries);
	foreach (cell, indexes)
	{
		LedgerIndex *kept = palloc0(sizeof(LedgerIndex));
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);

		kept->index = lfirst_oid(cell);
		kept->info = BuildIndexInfo(index);
		kept->reverses = is_not_null_index(kept->info, ledger->column[COL_REVERSES]);
		if (index->rd_rel->relam != BTREE_AM_OID || !kept->info->ii_ReadyForInserts ||
			kept->info->ii_Expressions != NIL || (kept->info->ii_Predicate != NIL && !kept->reverses))
			kept = NULL;
		index_close(index, AccessShareLock);
		if (kept == NULL)
		{
			ledger->indexes = NIL;
			break;
		}
		ledger->indexes = lappend(ledger->indexes, kept);
	}
	MemoryContextSwitchTo(old);
}

/*
 * The columns of an entry as they stand in the table
 */
static HeapTuple
form_entry(Ledger *ledger, TupleDesc desc, const PointsEntry *entry, Datum *values, bool *nulls)
{
	Datum entry_values[LEDGER_COLUMNS];
	bool entry_nulls[LEDGER_COLUMNS];

	ledger_to_values(ledger, entry, entry_values, entry_nulls);
	for (int c = 0; c < LEDGER_COLUMNS; c++)
	{
		values[ledger->column[c] - 1] = entry_values[c];
		nulls[ledger->column[c] - 1] = entry_nulls[c];
	}
	return heap_form_tuple(desc, values, nulls);
}

/*
 * Put one entry into the table and its indexes; gives its row
 */
static HeapTuple
insert_one(Ledger *ledger, Relation rel, const PointsEntry *entry, CommandId command)
{
	TupleDesc desc = RelationGetDescr(rel);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);
	Datum *values = palloc0(sizeof(Datum) * desc->natts);
	bool *nulls = palloc(sizeof(bool) * desc->natts);
	HeapTuple row;
	ListCell *cell;

	memset(nulls, true, sizeof(bool) * desc->natts);
	row = form_entry(ledger, desc, entry, values, nulls);
	ExecStoreHeapTuple(row, slot, false);
	table_tuple_insert(rel, slot, command, 0, NULL);
	foreach (cell, ledger->indexes)
	{
		LedgerIndex *kept = lfirst(cell);
		Relation index;
		Datum keys[INDEX_MAX_KEYS];
		bool key_nulls[INDEX_MAX_KEYS];

		if (kept->reverses && entry->reverses == 0)
			continue;
		for (int i = 0; i < kept->info->ii_NumIndexAttrs; i++)
		{
			keys[i] = values[kept->info->ii_IndexAttrNumbers[i] - 1];
			key_nulls[i] = nulls[kept->info->ii_IndexAttrNumbers[i] - 1];
		}
		index = index_open(kept->index, RowExclusiveLock);
		index_insert(index,
					 keys,
					 key_nulls,
					 &slot->tts_tid,
					 rel,
					 kept->info->ii_Unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO,
					 false,
					 kept->info);
		index_close(index, NoLock);
	}
	ExecDropSingleTupleTableSlot(slot);
	pfree(values);
	pfree(nulls);
	return row;
}

/*
 * Put entries into one index, whose upper pages stay at hand when it is not another's turn after each
 */
static void
insert_into_index(ResultRelInfo *info, int which, TupleTableSlot **slots, int count, EState *estate)
{
	Relation index = info->ri_IndexRelationDescs[which];
	IndexInfo *index_info = info->ri_IndexRelationInfo[which];
	ExprContext *context = GetPerTupleExprContext(estate);
	Datum values[INDEX_MAX_KEYS];
	bool nulls[INDEX_MAX_KEYS];

	if (!index_info->ii_ReadyForInserts)
		return;
	if (index_info->ii_Predicate != NIL && index_info->ii_PredicateState == NULL)
		index_info->ii_PredicateState = ExecPrepareQual(index_info->ii_Predicate, estate);
	for (int i = 0; i < count; i++)
	{
		ledger_give_way(i);
		context->ecxt_scantuple = slots[i];
		if (index_info->ii_Predicate != NIL && !ExecQual(index_info->ii_PredicateState, context))
			continue;
		FormIndexDatum(index_info, slots[i], estate, values, nulls);
		index_insert(index,
					 values,
					 nulls,
					 &slots[i]->tts_tid,
					 info->ri_RelationDesc,
					 index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO,
					 false,
					 index_info);
	}
	ResetPerTupleExprContext(estate);
}

/*
 * Put many entries into the table, and into each index in turn
 */
static void
insert_many(Ledger *ledger, Relation rel, List *entries, CommandId command)
{
	TupleDesc desc = RelationGetDescr(rel);
	int chunk = Min(list_length(entries), INSERT_CHUNK);
	TupleTableSlot **slots = palloc(sizeof(TupleTableSlot *) * chunk);
	Datum *values = palloc0(sizeof(Datum) * desc->natts);
	bool *nulls = palloc(sizeof(bool) * desc->natts);
	MemoryContext rows_context = AllocSetContextCreate(CurrentMemoryContext, "crm points entries", ALLOCSET_DEFAULT_SIZES);
	EState *estate = CreateExecutorState();
	ResultRelInfo *info = makeNode(ResultRelInfo);

	InitResultRelInfo(info, rel, 0, NULL, 0);
	ExecOpenIndices(info, false);
	memset(nulls, true, sizeof(bool) * desc->natts);
	for (int i = 0; i < chunk; i++)
		slots[i] = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);
	for (int done = 0; done < list_length(entries); done += chunk)
	{
		int count = Min(chunk, list_length(entries) - done);
		MemoryContext old = MemoryContextSwitchTo(rows_context);

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < count; i++)
		{
			ExecStoreHeapTuple(form_entry(ledger, desc, list_nth(entries, done + i), values, nulls), slots[i], false);
			slots[i]->tts_tableOid = RelationGetRelid(rel);
		}
		table_multi_insert(rel, slots, count, command, 0, NULL);
		for (int i = 0; i < info->ri_NumIndices; i++)
			insert_into_index(info, i, slots, count, estate);
		for (int i = 0; i < count; i++)
			ExecClearTuple(slots[i]);
		MemoryContextSwitchTo(old);
		MemoryContextReset(rows_context);
	}
	for (int i = 0; i < chunk; i++)
		ExecDropSingleTupleTableSlot(slots[i]);
	ExecCloseIndices(info);
	FreeExecutorState(estate);
	MemoryContextDelete(rows_context);
}

/*
 * Put computed entries into the table, which is open for it. Gives the row of one of them, when it was made by itself and is
 * asked for; else NULL.
 */
HeapTuple
ledger_direct_insert(Ledger *ledger, Relation rel, List *entries, const PointsEntry *asked)
{
	CommandId command = GetCurrentCommandId(true);
	HeapTuple found = NULL;

	if (ledger->indexes != NIL && list_length(entries) <= INSERT_SINGLY)
	{
		ListCell *cell;

		foreach (cell, entries)
		{
			HeapTuple row = insert_one(ledger, rel, lfirst(cell), command);

			if (lfirst(cell) == asked)
				found = row;
		}
	}
	else
		insert_many(ledger, rel, entries, command);
	CommandCounterIncrement();
	return found;
}
