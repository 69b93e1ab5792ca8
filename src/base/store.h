/*
 * How a C trigger finds the tables beside its own, and acts as their owner.
 */
#ifndef CRM_STORE_H
#define CRM_STORE_H

#include "base/compat.h"

#include "utils/relcache.h"

/* OID of the table that a foreign key of rel refers to and whose name begins with name (a shard's has a suffix); else InvalidOid. */
extern Oid store_referenced_table(Relation rel, const char *name);

/* OID of the table called name in the schema of rel, with the same owner as rel; raises when it isn't there or has another. */
extern Oid store_sibling_table(Relation rel, const char *name);

/* The same, whoever owns it; InvalidOid when it isn't there. Of a shard the sibling is the shard with the same customers. */
extern Oid store_sibling_if_any(Relation rel, const char *name);

/*
 * Raise when a relation that stands for a table of the store has a column of another type than C reads. The functions above look at
 * what they find; who is handed a relation asks for itself.
 */
extern void store_check_shape(Oid relid, const char *table);

/* Is rel a shard of a distributed table? */
extern bool store_is_shard(Relation rel);

/* Can functions of the store be run for the customers of rel? Of a shard, when its part of the store is there. */
extern bool store_runs_here(Relation rel);

/* Does Citus keep this table in shards, or a copy of it on every node? */
extern bool store_is_distributed(Oid relid);

/* Raise when rel is distributed: for what writes or reads it without the planner. */
extern void store_refuse_distributed(Relation rel, const char *hint);

/* A query in which @name stands for what is called name beside rel. */
extern char *store_query(Relation rel, const char *query);

/* Name of a table, quoted and qualified for use in SQL. */
extern char *store_qualified_name(Oid relid);

/* Column number of name in rel; raises when there is none. */
extern AttrNumber store_column(Relation rel, const char *name);

/* Act as the owner of rel with search_path = pg_catalog, pg_temp, as foreign-key triggers do; end restores both. */
typedef struct StoreOwner
{
	Oid user;
	int security_context;
	int guc_level;
} StoreOwner;
extern void store_owner_begin(Relation rel, StoreOwner *saved);
extern void store_owner_end(StoreOwner *saved);

/* The same without the search_path, for code that runs no SQL of its own. */
extern void store_user_begin(Relation rel, StoreOwner *saved);
extern void store_user_end(StoreOwner *saved);

#endif
