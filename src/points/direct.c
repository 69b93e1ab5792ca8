/*
 * Locks and writes accounts and inserts entries as the executor's statements do, without the executor: starting it costs
 * several times what one row costs. Whatever a user may have added to the tables that a statement has to heed (triggers,
 * policies, checks, generated columns, indexes that compute) sends the ledger to its statements instead.
 */
#include "points/ledger.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/probe.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Versions of an account that are looked at without a scan, which would also note those that nobody needs. */
#define PROBED_PLACES 4

extern Datum points_gate(PG_FUNCTION_ARGS);
extern Datum points_immutable(PG_FUNCTION_ARGS);
extern Datum points_guard(PG_FUNCTION_ARGS);
extern Datum points_check_head(PG_FUNCTION_ARGS);

/*
 * Would nothing but the ledger's own triggers fire on rows of this table? gate says whether the gate must be among them.
 */
static bool
only_own_triggers(Relation rel, bool insert, bool gate)
{
	TriggerDesc *triggers = rel->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger *trigger = &triggers->triggers[i];
		FmgrInfo function;

		if (!(insert ? TRIGGER_FOR_INSERT(trigger->tgtype) : TRIGGER_FOR_UPDATE(trigger->tgtype)))
			continue;
		if (trigger->tgenabled == TRIGGER_DISABLED)
			continue;
		if (trigger->tgisinternal)
		{
			/* The triggers of foreign keys have nothing to do when the key stays as it is. */
			if (insert || trigger->tgdeferrable)
				return false;
			continue;
		}
		fmgr_info(trigger->tgfoid, &function);
		if (function.fn_addr == points_gate && trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN)
			gate = false;
		else if (function.fn_addr != points_guard && function.fn_addr != points_immutable &&
				 function.fn_addr != points_check_head)
			return false;
	}
	return !gate;
}

/*
 * Are rows of this table nothing but their columns and entries of plain indexes?
 */
static bool
only_rows(Relation rel, bool insert, int own_count, const AttrNumber *own_columns, Oid own_partial, Oid *own_unique)
{
	TupleDesc desc = RelationGetDescr(rel);
	List *indexes;
	ListCell *cell;
	bool plain = true;

	if (rel->rd_rel->relkind != RELKIND_RELATION || rel->rd_rules != NULL || rel->rd_rel->relforcerowsecurity)
		return false;
	if (desc->constr != NULL && (desc->constr->has_generated_stored || desc->constr->num_check > 0))
		return false;
	for (int i = 0; insert && i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		bool own = attribute->attisdropped;

		for (int c = 0; c < own_count; c++)
			own = own || own_columns[c] == i + 1;
		/* A column of the user's that is not just null. */
		if (!own && (attribute->attnotnull || attribute->atthasdef || attribute->attidentity != '\0'))
			return false;
	}
	indexes = RelationGetIndexList(rel);
	foreach (cell, indexes)
	{
		Oid indexid = lfirst_oid(cell);
		Relation index = index_open(indexid, AccessShareLock);

		if (indexid != own_partial && (RelationGetIndexExpressions(index) != NIL || RelationGetIndexPredicate(index) != NIL))
			plain = false;
		if (index->rd_index->indisexclusion || !index->rd_index->indimmediate)
			plain = false;
		/* An index that makes ON CONFLICT skip an entry after the gate has taken it. */
		if (insert && index->rd_index->indisunique && indexid != own_unique[0] && indexid != own_unique[1])
			plain = false;
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return plain;
}

/*
 * Does this index refuse what is there already?
 */
static bool
is_unique(Oid indexid)
{
	Relation index = index_open(indexid, AccessShareLock);
	bool unique = index->rd_index->indisunique;

	index_close(index, AccessShareLock);
	return unique;
}

/*
 * Does no more stand on the ledger's tables than crm put there, and not less?
 */
bool
ledger_is_plain(const Ledger *ledger, Relation entries, Relation accounts)
{
	Oid unique[2] = {ledger->primary_key, ledger->reference_index};
	Oid none[2] = {InvalidOid, InvalidOid};

	return OidIsValid(ledger->primary_key) && OidIsValid(ledger->reference_index) && OidIsValid(ledger->account_key) &&
		   is_unique(ledger->primary_key) && is_unique(ledger->reference_index) &&
		   only_own_triggers(entries, true, true) && only_own_triggers(accounts, false, false) &&
		   only_rows(entries, true, LEDGER_COLUMNS, ledger->column, ledger->reverses_index, unique) &&
		   only_rows(accounts, false, 0, NULL, InvalidOid, none);
}

/*
 * May rows be written without the executor now? A replica's triggers are for the executor to choose.
 */
bool
ledger_direct(const Ledger *ledger)
{
	return ledger->plain && SessionReplicationRole != SESSION_REPLICATION_ROLE_REPLICA;
}

/*
 * Begin to look for accounts, as of what is committed now or what a transaction with one snapshot may see
 */
void
ledger_access_begin(Ledger *ledger, LedgerAccess *access)
{
	access->ledger = ledger;
	access->accounts = table_open(ledger->account, RowExclusiveLock);
	access->index = index_open(ledger->account_key, RowExclusiveLock);
	access->snapshot = RegisterSnapshot(IsolationUsesXactSnapshot() ? GetTransactionSnapshot() : GetLatestSnapshot());
	access->scan = NULL;
	access->slot = table_slot_create(access->accounts, NULL);
}

void
ledger_access_end(LedgerAccess *access)
{
	if (access->scan != NULL)
		index_endscan(access->scan);
	ExecDropSingleTupleTableSlot(access->slot);
	UnregisterSnapshot(access->snapshot);
	index_close(access->index, NoLock);
	table_close(access->accounts, NoLock);
}

/*
 * Get the row that is seen at one of these places of the key's index entries into the slot; false when there is none
 */
static bool
fetch_places(LedgerAccess *access, ItemPointer places, int count)
{
	IndexFetchTableData *fetch = table_index_fetch_begin(access->accounts);
	bool found = false;

	for (int i = 0; !found && i < count; i++)
	{
		bool again = false;

		found = table_index_fetch_tuple(fetch, &places[i], access->snapshot, access->slot, &again, NULL);
	}
	table_index_fetch_end(fetch);
	if (found)
		pgstat_count_heap_fetch(access->index);
	return found;
}

/*
 * Get the row of an account into the slot by a scan; false when there is none
 */
static bool
fetch_by_scan(LedgerAccess *access, const Datum *key)
{
	ScanKeyData keys[2];

	if (access->scan == NULL)
		access->scan = crm_index_beginscan(access->accounts, access->index, access->snapshot, 2);
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, key[0]);
	ScanKeyEntryInitialize(&keys[1], 0, 2, BTEqualStrategyNumber, InvalidOid, access->index->rd_indcollation[1], F_TEXTEQ, key[1]);
	index_rescan(access->scan, keys, 2, NULL, 0);
	return index_getnext_slot(access->scan, ForwardScanDirection, access->slot);
}

/*
 * Get the row of an account into the slot; false when there is none
 */
static bool
fetch_row(LedgerAccess *access, LedgerAccount *account)
{
	Datum key[2] = {Int64GetDatum(account->customer_id), CStringGetTextDatum(account->program)};
	ItemPointerData places[PROBED_PLACES];
	int count = crm_btree_probe(access->accounts, access->index, key, places, PROBED_PLACES);
	bool found = count == CRM_PROBE_UNKNOWN ? fetch_by_scan(access, key) : fetch_places(access, places, count);

	if (found)
		account->tid = access->slot->tts_tid;
	else
		ItemPointerSetInvalid(&account->tid);
	account->snapshot = access->snapshot;
	pfree(DatumGetPointer(key[1]));
	return found;
}

/*
 * Find the row of an account; false when there is none
 */
bool
ledger_access_find(LedgerAccess *access, LedgerAccount *account)
{
	bool found = fetch_row(access, account);

	ExecClearTuple(access->slot);
	return found;
}

/*
 * Read the account in the slot
 */
void
ledger_access_read(LedgerAccess *access, LedgerAccount *account)
{
	const AttrNumber *c = access->ledger->account_column;
	Datum values[ACCOUNT_COLUMNS];

	slot_getallattrs(access->slot);
	for (int i = 0; i < ACCOUNT_COLUMNS; i++)
		values[i] = access->slot->tts_values[c[i] - 1];
	account->tid = access->slot->tts_tid;
	account->row = ExecCopySlotHeapTuple(access->slot);
	ledger_read_state(access->ledger, values, account);
}

/*
 * Read accounts that are locked once more, as they were before what was posted to them in memory
 */
void
ledger_direct_reread(Ledger *ledger, LedgerAccount *accounts, int count)
{
	Relation rel = table_open(ledger->account, NoLock);
	TupleDesc desc = RelationGetDescr(rel);
	Datum *all = palloc(sizeof(Datum) * desc->natts);
	bool *nulls = palloc(sizeof(bool) * desc->natts);

	for (int i = 0; i < count; i++)
	{
		Datum values[ACCOUNT_COLUMNS];

		heap_deform_tuple(accounts[i].row, desc, all, nulls);
		for (int c = 0; c < ACCOUNT_COLUMNS; c++)
			values[c] = all[ledger->account_column[c] - 1];
		ledger_read_state(ledger, values, &accounts[i]);
	}
	pfree(all);
	pfree(nulls);
	table_close(rel, NoLock);
}

/*
 * Read an account without locking it; false when it has to be locked first: it is not there, or its holds must be read too
 */
bool
ledger_access_peek(LedgerAccess *access, LedgerAccount *account)
{
	bool found = fetch_row(access, account);
	bool isnull;

	if (found && DatumGetInt64(slot_getattr(access->slot, access->ledger->account_column[ACC_HELD], &isnull)) == 0)
		ledger_access_read(access, account);
	else
		found = false;
	ExecClearTuple(access->slot);
	return found;
}

/*
 * Lock the row of an account that was found, and read it; false when it is gone
 */
bool
ledger_access_lock(LedgerAccess *access, LedgerAccount *account)
{
	bool fixed = IsolationUsesXactSnapshot();
	TM_FailureData failure;
	TM_Result result = table_tuple_lock(access->accounts,
										&account->tid,
										access->snapshot,
										access->slot,
										GetCurrentCommandId(false),
										LockTupleNoKeyExclusive,
										LockWaitBlock,
										fixed ? 0 : TUPLE_LOCK_FLAG_FIND_LAST_VERSION,
										&failure);

	if (fixed && (result == TM_Updated || result == TM_Deleted))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE), errmsg("could not serialize access due to concurrent update")));
	if (result == TM_Deleted)
		return false;
	if (result != TM_Ok)
		elog(ERROR, "could not lock a points account: status %d", (int) result);
	account->snapshot = failure.traversed ? NULL : access->snapshot;
	ledger_access_read(access, account);
	ExecClearTuple(access->slot);
	return true;
}

/*
 * Write the accounts that have new entries over the rows that were read. False when one of them was not locked and has changed
 * since, which is known once whoever changed it is done.
 */
bool
ledger_direct_write(Ledger *ledger, LedgerAccount *accounts, int count, bool locked)
{
	/* Locked since its rows were read. */
	Relation rel = table_open(ledger->account, NoLock);
	TupleDesc desc = RelationGetDescr(rel);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	/* What one row takes is not worth a context. */
	MemoryContext row_context = count > 1 ? AllocSetContextCreate(CurrentMemoryContext, "crm points account", ALLOCSET_SMALL_SIZES)
										  : CurrentMemoryContext;
	MemoryContext old = MemoryContextSwitchTo(row_context);
	CommandId command = GetCurrentCommandId(true);
	ResultRelInfo *info = NULL;
	EState *estate = NULL;
	bool written = true;

	CheckCmdReplicaIdentity(rel, CMD_UPDATE);
	for (int i = 0; written && i < count; i++)
	{
		LedgerAccount *account = &accounts[i];
		Datum values[ACCOUNT_WRITTEN];
		bool nulls[ACCOUNT_WRITTEN];
		TM_FailureData failure;
		LockTupleMode lock;
		CrmUpdateIndexes indexes;
		TM_Result result;

		if (account->entries == NIL)
			continue;
		CHECK_FOR_INTERRUPTS();
		ledger_give_way(i);
		ledger_account_values(account, values, nulls);
		ExecClearTuple(slot);
		heap_deform_tuple(account->row, desc, slot->tts_values, slot->tts_isnull);
		for (int c = ACC_SEQ; c < ACCOUNT_WRITTEN; c++)
		{
			AttrNumber column = ledger->account_column[c] - 1;

			slot->tts_values[column] = values[c];
			slot->tts_isnull[column] = nulls[c];
		}
		ExecStoreVirtualTuple(slot);
		result = table_tuple_update(
			rel, &account->tid, slot, command, InvalidSnapshot, InvalidSnapshot, true, &failure, &lock, &indexes);
		if (result != TM_Ok && locked)
			elog(ERROR, "could not write a points account: status %d", (int) result);
		if (result != TM_Ok)
		{
			written = false;
			break;
		}
		if (indexes != CRM_UPDATE_NO_INDEXES)
		{
			if (estate == NULL)
			{
				MemoryContextSwitchTo(old);
				estate = CreateExecutorState();
				info = makeNode(ResultRelInfo);
				InitResultRelInfo(info, rel, 0, NULL, 0);
				ExecOpenIndices(info, false);
				MemoryContextSwitchTo(row_context);
			}
			list_free(crm_insert_index_tuples(info, slot, estate, indexes));
			ResetPerTupleExprContext(estate);
		}
		account->tid = slot->tts_tid;
		account->row = NULL;
		if (count > 1)
			MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(old);
	ExecDropSingleTupleTableSlot(slot);
	if (estate != NULL)
	{
		ExecCloseIndices(info);
		FreeExecutorState(estate);
	}
	if (count > 1)
		MemoryContextDelete(row_context);
	table_close(rel, NoLock);
	/* What follows in this transaction sees the rows. */
	CommandCounterIncrement();
	return written;
}
