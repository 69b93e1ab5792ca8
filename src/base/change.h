/*
 * Being told of changed relations, and letting go of what was made for them.
 */
#ifndef CRM_CHANGE_H
#define CRM_CHANGE_H

#include "base/compat.h"

#include "executor/spi.h"
#include "utils/inval.h"

#define KEPT_TABLES 12

/* Call listener with the OID of each relation that changes, InvalidOid for all of them, as long as the session lives. */
extern void on_relation_change(RelcacheCallbackFunction listener);

/* How an entry begins that keeps what was read from a table and from others beside it. */
typedef struct Kept
{
	Oid relid; /* hash key */
	bool valid; /* becomes false when one of the tables changes; set it before reading: a change meanwhile shows then */
	Oid tables[KEPT_TABLES];
} Kept;

/* The entries of one kind, kept as long as the session lives. */
typedef struct KeptCache KeptCache;
extern KeptCache *kept_cache(const char *name, Size entry_size);

/* The entry of a table, all zeros when it is new. */
extern void *kept_entry(KeptCache *cache, Oid relid);

/* Free a saved plan that was replaced, at the end of the transaction: a call further out may be running it. */
extern void retire_plan(SPIPlanPtr plan);

#endif
