/*
 * The tables of a ledger as its C code sees them, and posting to locked accounts.
 */
#ifndef CRM_POINTS_LEDGER_H
#define CRM_POINTS_LEDGER_H

#include "points/points.h"

#include "access/htup.h"
#include "access/genam.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "nodes/pg_list.h"
#include "pgtime.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/* Columns of points_entry that the gate knows, in the order of LedgerColumn. */
typedef enum LedgerColumn
{
	COL_CUSTOMER_ID,
	COL_PROGRAM,
	COL_SEQ,
	COL_KIND,
	COL_POINTS,
	COL_SOURCE,
	COL_REFERENCE,
	COL_REVERSES,
	COL_EXPIRES_AT,
	COL_AVAILABLE_AT,
	COL_OCCURRED_AT,
	COL_BOOKED_AT,
	COL_BALANCE_AFTER,
	COL_SHORTFALL,
	COL_LOTS,
	COL_DETAIL,
	COL_NOTE_HASH,
	COL_ACTOR,
	COL_HASH,
	LEDGER_COLUMNS
} LedgerColumn;

/* Columns of points_account: the key, those that a posting writes, the rest. */
typedef enum AccountColumn
{
	ACC_CUSTOMER_ID,
	ACC_PROGRAM,
	ACC_SEQ,
	ACC_AVAILABLE,
	ACC_PENDING,
	ACC_HELD,
	ACC_EARNED,
	ACC_REDEEMED,
	ACC_REFUNDED,
	ACC_EXPIRED,
	ACC_ADJUSTED,
	ACC_TRANSFERRED,
	ACC_LOTS,
	ACC_BOOKED_AT,
	ACC_HEAD,
	ACC_NEXT_DUE,
	ACC_CLOSED,
	ACC_ARCHIVED,
	ACCOUNT_COLUMNS
} AccountColumn;
#define ACC_NUMBERS ACC_LOTS		  /* from seq to here all are counts */
#define ACCOUNT_WRITTEN ACC_CLOSED	  /* the key and what a posting writes */

/* A row of points_program. */
typedef struct LedgerProgram
{
	const char *program;
	bool redeemable;
	bool debt_allowed;
	char expiry; /* first letter of never, days, months, year_end; f for fixed_dates */
	int expiry_n;
	char expiry_round; /* first letter of none, day_end, month_end */
	int date_count;
	int *dates; /* month * 100 + day, ascending */
	int restore_grace_days;
	int hold_minutes; /* 0: holds never lapse by themselves */
	pg_tz *zone;
} LedgerProgram;

/* Statements that move entries into the archive and back. */
#define LEDGER_ARCHIVE_PLANS 10

/* Statements of the verbs. */
#define LEDGER_VERB_PLANS 4

/* What the C code keeps of a ledger from call to call. */
typedef struct Ledger
{
	Oid entries; /* key: OID of points_entry */
	bool valid;
	bool programs_valid;
	bool plain; /* no more stands on its tables than crm put there, so rows may be written without the executor */
	int busy; /* plans of it that are running */
	Oid owner;
	Oid account;
	Oid hold;
	Oid program;
	Oid settings;
	Oid primary_key;
	Oid reference_index;
	Oid reverses_index;
	Oid account_key;
	Oid account_due;
	Oid lots_type;
	AttrNumber column[LEDGER_COLUMNS];
	AttrNumber account_column[ACCOUNT_COLUMNS];
	SPIPlanPtr lock;
	SPIPlanPtr lock_due;
	SPIPlanPtr create;
	SPIPlanPtr update;
	SPIPlanPtr holds;
	SPIPlanPtr hold_insert;
	SPIPlanPtr hold_resolve;
	SPIPlanPtr hold_close;
	SPIPlanPtr insert;
	SPIPlanPtr archived; /* finds an archived entry by its reference */
	SPIPlanPtr verb[LEDGER_VERB_PLANS];
	SPIPlanPtr archive[LEDGER_ARCHIVE_PLANS];
	MemoryContext index_context;
	List *indexes; /* LedgerIndex *, of points_entry; NIL when a row of it takes more */
	MemoryContext program_context;
	List *programs;
} Ledger;

/* An account that is locked and being posted to. */
typedef struct LedgerAccount
{
	int64 customer_id;
	const char *program;
	const LedgerProgram *rules;
	PointsState state;
	int64 stored_seq; /* as in the table */
	int64 archived;	  /* entries up to this one stand in the archive */
	List *entries;	  /* PointsEntry *, in the order of seq, not yet in the table */
	bool moving;	  /* its points go to the same person's other account: also those that only count */
	ItemPointerData tid;
	HeapTuple row;				 /* as locked, when it is to be written without the executor */
	Snapshot snapshot;			 /* nothing was posted since, when set */
	const PointsEntry *unused;	 /* whose reference is known to be new */
	struct LedgerLookup *lookup; /* how to find references, when set */
} LedgerAccount;

/* A scan of points_entry by reference that serves many accounts. */
typedef struct LedgerLookup
{
	Relation index;
	Snapshot snapshot;
	IndexScanDesc scan;
	TupleTableSlot *slot;
} LedgerLookup;

/* A scan of points_account by its key that goes on to lock and write rows. */
typedef struct LedgerAccess
{
	Ledger *ledger;
	Relation accounts;
	Relation index;
	Snapshot snapshot;
	IndexScanDesc scan;
	TupleTableSlot *slot;
} LedgerAccess;

/* A connection to SPI with the search_path and planner settings of the ledger's statements. */
typedef struct LedgerSpi
{
	MemoryContext caller;
	int guc_level;
} LedgerSpi;

typedef enum LedgerResult
{
	LEDGER_POSTED,
	LEDGER_REPLAYED,
	LEDGER_REFUSED
} LedgerResult;

/* ledger.c */
extern Ledger *ledger_open(Relation entries);
extern Oid ledger_find_index(Relation rel, int count, const AttrNumber *columns);
extern const LedgerProgram *ledger_program(Ledger *ledger, const char *program);

/* entry.c */
extern const char *const ledger_column_names[LEDGER_COLUMNS];
extern void ledger_from_tuple(const Ledger *ledger, HeapTuple tuple, TupleDesc desc, PointsEntry *entry, bool *given);
extern void ledger_to_values(const Ledger *ledger, const PointsEntry *entry, Datum *values, bool *nulls);
extern void ledger_lookup_begin(
	const Ledger *ledger, Relation entries, LedgerAccount *accounts, int count, LedgerLookup *lookup);
extern void ledger_lookup_end(LedgerLookup *lookup);
extern bool ledger_find_reference(const Ledger *ledger,
								  Relation entries,
								  const LedgerAccount *account,
								  PointsKind kind,
								  const char *source,
								  const char *reference,
								  PointsEntry *found);
extern List *ledger_find_family(const Ledger *ledger,
								Relation entries,
								const LedgerAccount *account,
								PointsKind kind,
								const char *source,
								const char *reference);
extern bool ledger_find_seq(
	const Ledger *ledger, Relation entries, const LedgerAccount *account, int64 seq, PointsEntry *found);
extern void ledger_reversals(const Ledger *ledger,
							 Relation entries,
							 const LedgerAccount *account,
							 const PointsEntry *target,
							 int64 before,
							 int64 *reversed,
							 TimestampTz *available_at);

/* archive.c */
extern bool ledger_archive_find(const Ledger *ledger,
								Relation entries,
								const LedgerAccount *account,
								PointsKind kind,
								const char *source,
								const char *reference,
								PointsEntry *found);
extern int64 ledger_archive_left(Relation entries, const LedgerAccount *account, const PointsEntry *found);
extern bool ledger_archive_any(Relation entries);
extern bool ledger_archive_opened(Relation rel, HeapTuple row);
extern void ledger_read_start(HeapTuple row, TupleDesc desc, PointsState *state);
extern const char *const ledger_start_columns;

/* leaf.c */
extern Relation ledger_leaf_open(const Ledger **ledger, Relation entries, int64 customer_id);
extern void ledger_leaf_close(Relation entries, Relation leaf);
extern Oid ledger_leaf_root(Relation entries);
extern bool ledger_leaf_keeps(Relation whole, Relation leaf, int64 customer_id);

/* plan.c */
extern void ledger_spi_begin(LedgerSpi *spi);
extern void ledger_spi_end(LedgerSpi *spi);
extern SPIPlanPtr ledger_prepare(const char *sql, int count, Oid *types);
extern SPIPlanPtr ledger_prepare_custom(const char *sql, int count, Oid *types);
extern void ledger_run(Ledger *ledger, SPIPlanPtr plan, Datum *values, const char *nulls, int expected);

/* account.c */
extern void ledger_lock(Ledger *ledger, LedgerAccess *access, LedgerAccount *account);
extern void ledger_lock_many(Ledger *ledger, LedgerAccount *accounts, int count);
extern LedgerAccount *ledger_lock_due(Ledger *ledger, TimestampTz as_of, int batch, int *count);
extern void ledger_write(Ledger *ledger, LedgerAccount *accounts, int count);
extern void ledger_insert(Ledger *ledger, List *entries);
extern void ledger_read_state(Ledger *ledger, const Datum *values, LedgerAccount *account);
extern void ledger_account_values(const LedgerAccount *account, Datum *values, bool *nulls);
extern const char *const ledger_account_columns[ACCOUNT_COLUMNS];
extern bool ledger_writing;

/* Run a plan that updates accounts; the guard lets it by, and whatever happens nothing after it. */
extern void ledger_run_update(Ledger *ledger, SPIPlanPtr plan, Datum *values);

/* hold.c */
extern void ledger_read_holds(Ledger *ledger, LedgerAccount *account);
extern void ledger_write_holds(Ledger *ledger, LedgerAccount *account);

/* direct.c */
extern bool ledger_is_plain(const Ledger *ledger, Relation entries, Relation accounts);
extern bool ledger_direct(const Ledger *ledger);
extern void ledger_access_begin(Ledger *ledger, LedgerAccess *access);
extern bool ledger_access_find(LedgerAccess *access, LedgerAccount *account);
extern bool ledger_access_lock(LedgerAccess *access, LedgerAccount *account);
extern bool ledger_access_peek(LedgerAccess *access, LedgerAccount *account);
extern void ledger_access_read(LedgerAccess *access, LedgerAccount *account);
extern void ledger_access_end(LedgerAccess *access);
extern void ledger_direct_reread(Ledger *ledger, LedgerAccount *accounts, int count);
extern bool ledger_direct_write(Ledger *ledger, LedgerAccount *accounts, int count, bool locked);

/* direct_insert.c */
extern void ledger_keep_indexes(Ledger *ledger, Relation entries);
extern HeapTuple ledger_direct_insert(Ledger *ledger, Relation rel, List *entries, const PointsEntry *asked);

/* due.c */
extern void ledger_job(bool begin);
extern void ledger_give_way(int row);
extern LedgerAccount *ledger_access_lock_due(LedgerAccess *access, TimestampTz as_of, int batch, int *count);

/* post.c */
extern void ledger_lapse(LedgerAccount *account, TimestampTz until);
extern TimestampTz ledger_expiry(const LedgerProgram *rules, TimestampTz from);
extern const char *ledger_difference(const Ledger *ledger,
									 Relation entries,
									 const LedgerAccount *account,
									 const PointsEntry *wanted,
									 const bool *given,
									 const PointsEntry *found);
extern bool looks_personal(const char *word);
extern bool detail_looks_personal(const char *detail);
extern void ledger_refuse_difference(const PointsEntry *wanted, const char *field, PointsRefusal *refusal);
extern LedgerResult ledger_post(Ledger *ledger,
								Relation entries,
								LedgerAccount *account,
								PointsEntry *entry,
								bool *given,
								PointsEntry *found,
								PointsRefusal *refusal);
extern void ledger_check_kind(Relation entries, PointsKind kind);

/* movement.c */
extern void ledger_check_movement(Relation entries, PointsEntry *entry, const bool *given);
extern LedgerResult ledger_move(
	Ledger *ledger, Relation rel, LedgerAccount *account, PointsEntry *entry, bool *given, PointsEntry *found);

/* batch.c */
#define LEDGER_MAX_BATCH 1000000
extern Relation ledger_open_entries(Oid relid);
extern LedgerAccount *ledger_find_account(LedgerAccount *accounts, int count, int64 customer_id, const char *program);
extern LedgerAccount *ledger_lock_entries(Ledger *ledger, PointsEntry **entries, int n, int *count);
extern void ledger_insert_entries(Ledger *ledger, LedgerAccount *accounts, int count);
extern void ledger_write_accounts(Ledger *ledger, LedgerAccount *accounts, int count);

/* Points spread over the lots of others in proportion; the lots keep their dates. */
extern PointsLots ledger_scale_lots(const PointsLots *from, int64 points, int64 to_points);

/* gate.c */
extern void ledger_queue_push(Oid relid, List *entries);
extern bool ledger_queue_empty(void);

#endif
