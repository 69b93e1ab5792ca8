#include "store/customer_scan.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

void
customer_scan_open(CustomerScan *table, Oid relid, Snapshot snapshot)
{
	AttrNumber key;

	table->rel = table_open(relid, AccessShareLock);
	if (table->rel->rd_rel->relkind != RELKIND_RELATION)
		return;
	/* What tells of the primary key is read with the list of indexes. */
	if (!table->rel->rd_indexvalid)
		list_free(RelationGetIndexList(table->rel));
	if (!OidIsValid(table->rel->rd_pkindex))
		return;
	table->index = index_open(table->rel->rd_pkindex, AccessShareLock);
	key = table->index->rd_index->indkey.values[0];
	if (key <= 0 || namestrcmp(&TupleDescAttr(RelationGetDescr(table->rel), key - 1)->attname, "customer_id") != 0)
	{
		index_close(table->index, AccessShareLock);
		table->index = NULL;
		return;
	}
	table->slot = table_slot_create(table->rel, NULL);
	table->context = CurrentMemoryContext;
	table->scan = crm_index_beginscan(table->rel, table->index, snapshot, 1);
}

void
customer_scan_close(CustomerScan *table)
{
	if (table->index != NULL)
	{
		index_endscan(table->scan);
		ExecDropSingleTupleTableSlot(table->slot);
		/* Locks stay until the transaction ends, as those of a statement: letting go of each costs more than of all together. */
		index_close(table->index, NoLock);
	}
	if (table->rel != NULL)
		table_close(table->rel, NoLock);
	memset(table, 0, sizeof(CustomerScan));
}

bool
customer_scan_next(CustomerScan *table)
{
	/* The scan keeps what it allocates. */
	MemoryContext caller = MemoryContextSwitchTo(table->context);
	bool found = index_getnext_slot(table->scan, ForwardScanDirection, table->slot);

	MemoryContextSwitchTo(caller);
	return found;
}

bool
customer_scan_find(CustomerScan *table, int64 customer_id)
{
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(customer_id));
	index_rescan(table->scan, &key, 1, NULL, 0);
	return customer_scan_next(table);
}
