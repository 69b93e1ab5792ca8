/*
 * Finding and locking the accounts on which something is due, for the jobs that book it, and giving way to the shop meanwhile.
 */
#include "points/ledger.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#ifndef WIN32
#include <sched.h>
#endif

/* Accounts that are looked for at once, at least. */
#define FIND_AT_LEAST 4096

/* Microseconds after which a job lets others have the processor, and rows after which it looks at the time. */
#define GIVE_WAY_AFTER 100
#define LOOK_EVERY 2

/*
 * Where accounts stood that were due when they were looked for. A job takes them in batches, each a transaction, and what it wrote
 * stays in the index until it is vacuumed: to look for each batch anew would read that again and again. What stands there by
 * then is looked at before it is taken, so that nothing else depends on this list; when it comes to nothing it is made anew.
 */
static struct
{
	Oid accounts;
	TimestampTz as_of;
	int size;
	int count;
	int next;
	ItemPointerData *tid;
} due;

/* Set while a job posts; since when it has had the processor. */
static bool gives_way;
static instr_time since;

/*
 * Is this what a job does, which others at the same processor need not wait for?
 */
void
ledger_job(bool begin)
{
	gives_way = begin;
	INSTR_TIME_SET_CURRENT(since);
}

/*
 * Between two rows of a job: now and then whoever waits for the processor goes first. A shop's request takes less than a
 * scheduler's slice of time, and that slice is what it would wait for. Here the job holds no lock but on its own accounts, while
 * one that is put aside in the middle of writing WAL lets every commit wait.
 */
void
ledger_give_way(int row)
{
#ifndef WIN32
	instr_time now;

	if (!gives_way || row % LOOK_EVERY != 0)
		return;
	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, since);
	if (INSTR_TIME_GET_MICROSEC(now) < GIVE_WAY_AFTER)
		return;
	(void) sched_yield();
	INSTR_TIME_SET_CURRENT(since);
#endif
}

/*
 * Is the account in the slot due and not closed?
 */
static bool
is_due(LedgerAccess *access, TimestampTz as_of)
{
	const AttrNumber *c = access->ledger->account_column;
	bool isnull;
	TimestampTz next_due = DatumGetTimestampTz(slot_getattr(access->slot, c[ACC_NEXT_DUE], &isnull));

	return !isnull && next_due <= as_of && !DatumGetBool(slot_getattr(access->slot, c[ACC_CLOSED], &isnull));
}

/*
 * Look for accounts on which something is due, those due first
 */
static void
find_due(LedgerAccess *access, TimestampTz as_of, int batch)
{
	Relation index = index_open(access->ledger->account_due, RowExclusiveLock);
	IndexScanDesc scan = crm_index_beginscan(access->accounts, index, access->snapshot, 1);
	ScanKeyData key;
	int size = Max(batch, FIND_AT_LEAST);

	due.accounts = InvalidOid;
	due.count = due.next = 0;
	if (size != due.size)
	{
		due.size = 0;
		if (due.tid != NULL)
			pfree(due.tid);
		due.tid = NULL;
		due.tid = MemoryContextAllocHuge(TopMemoryContext, sizeof(ItemPointerData) * size);
		due.size = size;
	}
	ScanKeyInit(&key, 1, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE, TimestampTzGetDatum(as_of));
	index_rescan(scan, &key, 1, NULL, 0);
	while (due.count < size && index_getnext_slot(scan, ForwardScanDirection, access->slot))
	{
		CHECK_FOR_INTERRUPTS();
		ledger_give_way(due.count);
		if (is_due(access, as_of))
			due.tid[due.count++] = access->slot->tts_tid;
	}
	ExecClearTuple(access->slot);
	index_endscan(scan);
	index_close(index, NoLock);
	due.accounts = RelationGetRelid(access->accounts);
	due.as_of = as_of;
}

/*
 * Lock and read the account that stands at a place, if it is due; not when others have locked or changed it
 */
static bool
lock_due(LedgerAccess *access, TimestampTz as_of, BlockNumber blocks, ItemPointer tid, LedgerAccount *account)
{
	TM_FailureData failure;
	TM_Result result;

	/* A table may have been cut or written anew meanwhile. */
	if (ItemPointerGetBlockNumber(tid) >= blocks ||
		!table_tuple_fetch_row_version(access->accounts, tid, access->snapshot, access->slot) || !is_due(access, as_of))
		return false;
	result = table_tuple_lock(access->accounts,
							  tid,
							  access->snapshot,
							  access->slot,
							  GetCurrentCommandId(false),
							  LockTupleNoKeyExclusive,
							  LockWaitSkip,
							  0,
							  &failure);
	if (IsolationUsesXactSnapshot() && (result == TM_Updated || result == TM_Deleted))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE), errmsg("could not serialize access due to concurrent update")));
	if (result != TM_Ok)
		return false;
	ledger_access_read(access, account);
	return true;
}

/*
 * Lock and read accounts on which something is due, those due first, passing over those that others have locked or changed. None
 * only if there were none when all were looked for.
 */
LedgerAccount *
ledger_access_lock_due(LedgerAccess *access, TimestampTz as_of, int batch, int *count)
{
	LedgerAccount *accounts = palloc_extended(sizeof(LedgerAccount) * batch, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	BlockNumber blocks = RelationGetNumberOfBlocks(access->accounts);
	bool again = due.accounts == RelationGetRelid(access->accounts) && due.as_of == as_of;

	*count = 0;
	for (;;)
	{
		if (!again)
			find_due(access, as_of, batch);
		while (*count < batch && due.next < due.count)
		{
			CHECK_FOR_INTERRUPTS();
			ledger_give_way(*count);
			if (lock_due(access, as_of, blocks, &due.tid[due.next++], &accounts[*count]))
				(*count)++;
		}
		/* What is locked here would be found once more, so it is looked for only while nothing is. */
		if (*count > 0 || !again)
			break;
		again = false;
	}
	ExecClearTuple(access->slot);
	return accounts;
}
