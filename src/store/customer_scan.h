/*
 * Rows of a table found by customer_id, which its primary key begins with: starting the executor costs several times what such a
 * row costs.
 */
#ifndef CRM_CUSTOMER_SCAN_H
#define CRM_CUSTOMER_SCAN_H

#include "base/compat.h"

#include "executor/tuptable.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/* All zeros while it is closed. */
typedef struct CustomerScan
{
	Relation rel;
	Relation index;
	struct IndexScanDescData *scan;
	TupleTableSlot *slot;
	MemoryContext context;
} CustomerScan;

/*
 * Open a table in the current context. Without an index when it has to be read by SQL, since it is partitioned or its primary key
 * does not begin with customer_id.
 */
extern void customer_scan_open(CustomerScan *table, Oid relid, Snapshot snapshot);

/* The first row of a customer, and the next: in table->slot; false when there is none. */
extern bool customer_scan_find(CustomerScan *table, int64 customer_id);
extern bool customer_scan_next(CustomerScan *table);

extern void customer_scan_close(CustomerScan *table);

#endif
