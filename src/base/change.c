#include "base/change.h"

#include "access/xact.h"
#include "nodes/pg_list.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#define MAX_LISTENERS 8
#define MAX_CACHES 4

static RelcacheCallbackFunction listeners[MAX_LISTENERS];
static int listener_count;

struct KeptCache
{
	HTAB *entries;
	Size entry_size;
};

static KeptCache caches[MAX_CACHES];
static int cache_count;

/* Plans to free when the transaction ends. */
static List *retired;

static void
relation_changed(Datum arg, Oid relid)
{
	for (int i = 0; i < listener_count; i++)
		listeners[i](arg, relid);
}

/*
 * A server process has ten places for such callbacks, of which Citus alone takes five: all listeners of the kit share one
 */
void
on_relation_change(RelcacheCallbackFunction listener)
{
	if (listener_count == MAX_LISTENERS)
		elog(ERROR, "too many listeners for changes of relations");
	if (listener_count == 0)
		CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	listeners[listener_count++] = listener;
}

/*
 * A table changed: what was read from it is stale
 */
static void
forget_kept(Datum arg, Oid relid)
{
	for (int i = 0; i < cache_count; i++)
	{
		HASH_SEQ_STATUS scan;
		Kept *kept;

		hash_seq_init(&scan, caches[i].entries);
		while ((kept = hash_seq_search(&scan)) != NULL)
		{
			if (relid == InvalidOid || relid == kept->relid)
				kept->valid = false;
			for (int t = 0; kept->valid && t < KEPT_TABLES; t++)
				kept->valid = relid != kept->tables[t];
		}
	}
}

KeptCache *
kept_cache(const char *name, Size entry_size)
{
	HASHCTL control = {.keysize = sizeof(Oid), .entrysize = entry_size};

	if (cache_count == MAX_CACHES)
		elog(ERROR, "too many caches of what is kept of relations");
	if (cache_count == 0)
		on_relation_change(forget_kept);
	caches[cache_count].entries = hash_create(name, 8, &control, HASH_ELEM | HASH_BLOBS);
	caches[cache_count].entry_size = entry_size;
	return &caches[cache_count++];
}

void *
kept_entry(KeptCache *cache, Oid relid)
{
	bool found;
	Kept *kept = hash_search(cache->entries, &relid, HASH_ENTER, &found);

	if (!found)
		memset((char *) kept + sizeof(Oid), 0, cache->entry_size - sizeof(Oid));
	return kept;
}

static void
free_retired(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		return;
	while (retired != NIL)
	{
		SPIPlanPtr plan = linitial(retired);

		retired = list_delete_first(retired);
		SPI_freeplan(plan);
	}
}

/*
 * Every vacuum of a table makes the plans over it invalid: a session that only forgot them would grow with each
 */
void
retire_plan(SPIPlanPtr plan)
{
	static bool registered = false;
	MemoryContext before;

	if (plan == NULL)
		return;
	if (!registered)
		RegisterXactCallback(free_retired, NULL);
	registered = true;
	before = MemoryContextSwitchTo(TopMemoryContext);
	retired = lappend(retired, plan);
	MemoryContextSwitchTo(before);
}
