/*
 * What verification remembers of the accounts that it builds up again.
 */
#ifndef CRM_POINTS_VERIFY_H
#define CRM_POINTS_VERIFY_H

#include "points/ledger.h"

#include "utils/portal.h"

/* What later entries may refer to: an earning, a redemption, a capture. The latter two have lots, the first has dates. */
typedef struct Target
{
	int64 seq;
	int64 points;
	int64 reversed;
	PointsKind kind;
	int lot_count;
	union
	{
		PointsLot *lot;
		TimestampTz expires_at;
	} of;
	TimestampTz available_at;
} Target;

/* An account that is being built up. Entries come in any order, though mostly in that of seq; those too early wait. */
typedef struct Replay
{
	int64 customer_id;
	int program; /* its place among the names */
	int64 start; /* entries up to this one are archived */
	bool failed;
	bool has_account;
	int target_count;
	int target_capacity;
	Target *target; /* by seq */
	List *waiting;	/* HeapTuple */
	PointsState state;
} Replay;

/* The accounts of a pass: a table by hash of where they are kept, and what they are kept in. */
typedef struct ReplayTable
{
	MemoryContext context;
	struct ReplaySlot *slot;
	uint64 mask; /* the number of slots, a power of two, less one */
	uint32 count;
	Replay **chunk;
	uint32 chunks;
} ReplayTable;

#ifdef __GNUC__
#define prefetch(address) __builtin_prefetch(address)
#else
#define prefetch(address) ((void) (address))
#endif

/* verify_table.c */
extern void replay_table_begin(ReplayTable *table, MemoryContext context, double expected);
extern uint32 replay_hash(int64 customer_id, int program);
extern void replay_prefetch_slot(const ReplayTable *table, uint32 hash);
extern void replay_prefetch(const ReplayTable *table, uint32 hash);
extern Replay *replay_find(ReplayTable *table, uint32 hash, int64 customer_id, int program);
extern Replay *replay_at(const ReplayTable *table, uint32 index);
extern Target *replay_find_target(const Replay *replay, int64 seq);
extern const char *replay_apply(ReplayTable *table, Replay *replay, const PointsEntry *entry);
extern void replay_add_target(ReplayTable *table, Replay *replay, const PointsEntry *entry);

/* archive.c; entries that are read together, and that make a row of the archive at most */
#define ARCHIVE_FETCH 1000
extern Relation archive_root(Relation entries);
extern void archive_columns(Ledger *ledger);
extern char *archive_entry_columns(const char *alias);
extern Portal archive_cursor(Relation root, const char *sql, int count, Oid *types, Datum *values, const char *nulls);

#endif
