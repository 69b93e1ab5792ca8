/*
 * Rows written as the executor's INSERT and UPDATE write them, without the executor: starting it costs several times what a
 * row costs. For tables on which nothing but columns and indexes depends; who writes must have made sure of that.
 */
#ifndef CRM_DIRECT_TABLE_H
#define CRM_DIRECT_TABLE_H

#include "base/compat.h"

#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/* A table that is written to; all zeros while it is closed. */
typedef struct DirectTable
{
	Relation rel;
	TupleTableSlot *slot; /* the row to write; its columns are null until they are set */
	MemoryContext context;
	EState *estate; /* this and the indexes are opened when they are first needed */
	ResultRelInfo *info;
	TupleTableSlot **rows; /* those put aside by direct_put() */
	int nrows;
	int made; /* slots in rows */
	int room;
} DirectTable;

/* Changes the row in after, a copy of the one that was found; false when there is nothing to change. Called again with what another writer left. */
typedef bool (*DirectChange)(TupleTableSlot *after, void *arg);

typedef enum DirectUpdate
{
	DIRECT_UPDATED,
	DIRECT_UNCHANGED,
	DIRECT_GONE /* another writer deletes the row */
} DirectUpdate;

/* Open a table in the current context; its lock stays until the transaction ends, as for any writer. */
extern void direct_open(DirectTable *table, Oid relid);
extern void direct_close(DirectTable *table);

/* Set a column of table->slot. */
static inline void
direct_set(DirectTable *table, AttrNumber column, Datum value)
{
	table->slot->tts_values[column - 1] = value;
	table->slot->tts_isnull[column - 1] = false;
}

/* Insert the row in table->slot, which is empty then. */
extern void direct_insert(DirectTable *table, CommandId command);

/* The same unless there is one with its key, or another transaction is about to commit one; false then. */
extern bool direct_insert_new(DirectTable *table, CommandId command);

/* Put the row in table->slot aside, and insert all that were put aside at once. Their values must live until then. */
extern void direct_put(DirectTable *table);
extern void direct_insert_all(DirectTable *table, CommandId command);

/*
 * Update the row in before. The new one stays in table->slot, for the caller to clear. One that another transaction has
 * changed since the snapshot is waited for, and changed instead: for READ COMMITTED only.
 */
extern DirectUpdate
direct_update(DirectTable *table, TupleTableSlot *before, Snapshot snapshot, CommandId command, DirectChange change, void *arg);

#endif
