/*
 * Verification: every account is built up again from its entries by the same rules, and compared with what is stored.
 */
#include "points/ledger.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "base/store.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* What later entries may refer to. */
typedef struct Target
{
	PointsEntry entry;
	int64 reversed;
	TimestampTz available_at;
} Target;

/* The account that is being built up. */
typedef struct Replay
{
	int64 customer_id;
	char *program;
	PointsState state;
	Target **target; /* by seq, NULL for entries that nothing reverses */
	int64 capacity;
	bool failed;
} Replay;

typedef struct Verification
{
	ReturnSetInfo *result;
	Relation accounts;
	AttrNumber column[17];
	int64 entries;
} Verification;

static const char *const account_columns[17] = {"customer_id",
												"program",
												"seq",
												"available",
												"pending",
												"held",
												"earned",
												"redeemed",
												"refunded",
												"expired",
												"adjusted",
												"transferred",
												"lots",
												"booked_at",
												"head",
												"next_due",
												"closed"};

/*
 * Report what is wrong
 */
static void
report(Verification *v, int64 customer_id, const char *program, int64 seq, const char *finding)
{
	Datum values[4];
	bool nulls[4] = {false, false, seq == 0, false};

	values[0] = Int64GetDatum(customer_id);
	values[1] = CStringGetTextDatum(program);
	values[2] = Int64GetDatum(seq);
	values[3] = CStringGetTextDatum(finding);
	tuplestore_putvalues(v->result->setResult, v->result->setDesc, values, nulls);
}

/*
 * The entry that another names
 */
static Target *
find_target(Replay *replay, int64 seq)
{
	return seq > 0 && seq <= replay->state.seq && seq <= replay->capacity ? replay->target[seq - 1] : NULL;
}

/*
 * Take the next entry of an account
 */
static void
replay_entry(Verification *v, Replay *replay, const PointsEntry *entry)
{
	PointsContext context = {.spendable = true, .allow_debt = entry->shortfall == 0};
	Target *target = find_target(replay, entry->reverses);
	const char *why;

	if (entry->seq != replay->state.seq + 1)
		why = psprintf("entry " INT64_FORMAT " is missing", replay->state.seq + 1);
	else
	{
		if (target != NULL)
		{
			context.target = &target->entry;
			context.reversed = target->reversed;
			context.target_available = target->available_at;
		}
		why = points_replay(&replay->state, entry, &context);
	}
	if (why != NULL)
	{
		report(v, replay->customer_id, replay->program, entry->seq, why);
		replay->failed = true;
		return;
	}
	if (target != NULL)
	{
		if (entry->kind == POINTS_REFUND || entry->kind == POINTS_RESTORE)
			target->reversed += entry->points;
		else if (entry->kind == POINTS_MATURE)
			target->available_at = entry->available_at;
	}
	if (entry->seq > replay->capacity)
	{
		int64 capacity = Max(16, replay->capacity * 2);

		replay->target = replay->target == NULL
							 ? palloc0(sizeof(Target *) * capacity)
							 : repalloc_huge(replay->target, sizeof(Target *) * capacity);
		memset(replay->target + replay->capacity, 0, sizeof(Target *) * (capacity - replay->capacity));
		replay->capacity = capacity;
	}
	if (entry->kind == POINTS_EARN || entry->kind == POINTS_REDEEM || entry->kind == POINTS_CAPTURE)
	{
		Target *made = palloc0(sizeof(Target));

		made->entry = *entry;
		made->available_at = entry->available_at;
		replay->target[entry->seq - 1] = made;
	}
}

/*
 * Compare an account with what its entries give
 */
static void
compare_account(Verification *v, Replay *replay, Datum *value, bool *isnull)
{
	const PointsState *state = &replay->state;
	const AttrNumber *c = v->column;
	const int64 numbers[] = {state->seq,
							 state->available,
							 state->pending,
							 state->held,
							 state->earned,
							 state->redeemed,
							 state->refunded,
							 state->expired,
							 state->adjusted,
							 state->transferred};
	PointsLots lots;
	TimestampTz due = points_next_due(state);
	bytea *head;

	if (DatumGetInt64(value[c[2] - 1]) > state->seq)
	{
		report(v,
			   replay->customer_id,
			   replay->program,
			   state->seq + 1,
			   psprintf("the last entries are missing: the account says " INT64_FORMAT, DatumGetInt64(value[c[2] - 1])));
		return;
	}
	for (int i = 0; i < lengthof(numbers); i++)
	{
		int64 stored = DatumGetInt64(value[c[i + 2] - 1]);

		if (stored != numbers[i])
		{
			report(v,
				   replay->customer_id,
				   replay->program,
				   state->seq,
				   psprintf("the account's %s is " INT64_FORMAT ", its entries give " INT64_FORMAT,
							account_columns[i + 2],
							stored,
							numbers[i]));
			return;
		}
	}
	points_lots_read(value[c[12] - 1], &lots);
	head = DatumGetByteaPP(value[c[14] - 1]);
	if (!points_lots_equal(&lots, &state->lots))
		report(v, replay->customer_id, replay->program, state->seq, "the account's lots are not those of its entries");
	else if (VARSIZE_ANY_EXHDR(head) != POINTS_HASH_SIZE || memcmp(VARDATA_ANY(head), state->head, POINTS_HASH_SIZE) != 0)
		report(v, replay->customer_id, replay->program, state->seq, "the account's head is not the hash of its last entry");
	else if (state->seq > 0 && DatumGetTimestampTz(value[c[13] - 1]) != state->booked_at)
		report(v, replay->customer_id, replay->program, state->seq, "the account's booked_at is not that of its last entry");
	else if (isnull[c[15] - 1] ? due != DT_NOEND : due != DatumGetTimestampTz(value[c[15] - 1]))
		report(v, replay->customer_id, replay->program, state->seq, "the account's next_due is wrong");
}

/*
 * Order of two accounts
 */
static int
compare_keys(int64 customer_a, const char *program_a, int64 customer_b, const char *program_b)
{
	if (customer_a != customer_b)
		return customer_a < customer_b ? -1 : 1;
	return strcmp(program_a, program_b);
}

/*
 * Begin an ordered scan of one account, one customer, or all
 */
static SysScanDesc
begin_scan(Relation rel, Relation index, AttrNumber customer, AttrNumber program, bool *isnull, Datum *value, Snapshot snapshot)
{
	ScanKeyData key[2];
	int count = 0;

	if (!isnull[0])
		ScanKeyInit(&key[count++], customer, BTEqualStrategyNumber, F_INT8EQ, value[0]);
	if (!isnull[1] && count > 0)
		ScanKeyInit(&key[count++], program, BTEqualStrategyNumber, F_TEXTEQ, value[1]);
	return systable_beginscan_ordered(rel, index, snapshot, count, key);
}

/*
 * The next row; what the scan keeps must outlive the account at hand
 */
static HeapTuple
next_tuple(SysScanDesc scan, MemoryContext keep)
{
	MemoryContext old = MemoryContextSwitchTo(keep);
	HeapTuple tuple = systable_getnext_ordered(scan, ForwardScanDirection);

	MemoryContextSwitchTo(old);
	return tuple;
}

/*
 * Verify accounts of the ledger whose entries stand in a table: see points_verify in the kit
 */
PG_FUNCTION_INFO_V1(points_verify_entries);
Datum
points_verify_entries(PG_FUNCTION_ARGS)
{
	Verification v = {0};
	Relation entries;
	Relation entry_index;
	Relation account_index;
	Ledger *ledger;
	SysScanDesc entry_scan;
	SysScanDesc account_scan;
	Snapshot snapshot;
	HeapTuple entry_tuple;
	HeapTuple account_tuple;
	MemoryContext per_account;
	MemoryContext caller = CurrentMemoryContext;
	Datum filter[2] = {(Datum) 0, (Datum) 0};
	bool filter_null[2] = {PG_ARGISNULL(1), PG_ARGISNULL(2)};
	char *only_program = NULL;
	int32 part;
	int32 parts;
	PointsEntry entry;
	bool given[LEDGER_COLUMNS];
	bool have_entry = false;
	Datum *value;
	bool *isnull;
	Oid index;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(3) || PG_ARGISNULL(4))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("entries, part and parts must not be null")));
	part = PG_GETARG_INT32(3);
	parts = PG_GETARG_INT32(4);
	if (parts < 1 || part < 1 || part > parts)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("part must be between 1 and parts")));
	if (!filter_null[0])
		filter[0] = PG_GETARG_DATUM(1);
	if (!filter_null[1])
	{
		filter[1] = PG_GETARG_DATUM(2);
		only_program = text_to_cstring(PG_GETARG_TEXT_PP(2));
	}
	InitMaterializedSRF(fcinfo, 0);
	v.result = (ReturnSetInfo *) fcinfo->resultinfo;

	entries = table_open(PG_GETARG_OID(0), AccessShareLock);
	if (pg_class_aclcheck(RelationGetRelid(entries), GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, RelationGetRelationName(entries));
	ledger = ledger_open(entries);
	v.accounts = table_open(ledger->account, AccessShareLock);
	if (pg_class_aclcheck(ledger->account, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, RelationGetRelationName(v.accounts));
	for (int i = 0; i < lengthof(account_columns); i++)
		v.column[i] = store_column(v.accounts, account_columns[i]);
	index = ledger_find_index(v.accounts, 2, v.column);
	if (!OidIsValid(index) || !OidIsValid(ledger->primary_key))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("a primary key of the points ledger is missing"),
				 errhint("Make it again: (customer_id, program) of points_account, (customer_id, program, seq) of points_entry.")));
	entry_index = index_open(ledger->primary_key, AccessShareLock);
	account_index = index_open(index, AccessShareLock);
	snapshot = GetActiveSnapshot();
	entry_scan = begin_scan(entries,
							entry_index,
							ledger->column[COL_CUSTOMER_ID],
							ledger->column[COL_PROGRAM],
							filter_null,
							filter,
							snapshot);
	account_scan =
		begin_scan(v.accounts, account_index, v.column[0], v.column[1], filter_null, filter, snapshot);
	value = palloc(sizeof(Datum) * RelationGetDescr(v.accounts)->natts);
	isnull = palloc(sizeof(bool) * RelationGetDescr(v.accounts)->natts);
	per_account = AllocSetContextCreate(caller, "crm verification", ALLOCSET_DEFAULT_SIZES);

	entry_tuple = systable_getnext_ordered(entry_scan, ForwardScanDirection);
	account_tuple = systable_getnext_ordered(account_scan, ForwardScanDirection);
	while (HeapTupleIsValid(entry_tuple) || HeapTupleIsValid(account_tuple))
	{
		Replay replay = {0};
		bool have_account = HeapTupleIsValid(account_tuple);
		bool skip;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(per_account);
		MemoryContextSwitchTo(per_account);
		have_entry = HeapTupleIsValid(entry_tuple);
		if (have_entry)
			ledger_from_tuple(ledger, entry_tuple, RelationGetDescr(entries), &entry, given);
		if (have_account)
		{
			heap_deform_tuple(account_tuple, RelationGetDescr(v.accounts), value, isnull);
			replay.customer_id = DatumGetInt64(value[v.column[0] - 1]);
			replay.program = TextDatumGetCString(value[v.column[1] - 1]);
			if (have_entry &&
				compare_keys(entry.customer_id, entry.program, replay.customer_id, replay.program) < 0)
				have_account = false;
		}
		if (!have_account)
		{
			replay.customer_id = entry.customer_id;
			replay.program = pstrdup(entry.program);
		}
		skip = (only_program != NULL && strcmp(only_program, replay.program) != 0) ||
			   (parts > 1 && (int32) (((uint64) replay.customer_id) % (uint64) parts) != part - 1);
		if (!have_account && !skip)
		{
			report(&v, replay.customer_id, replay.program, entry.seq, "the account of this entry is missing");
			replay.failed = true;
		}
		replay.state.booked_at = DT_NOBEGIN;
		while (have_entry && entry.customer_id == replay.customer_id && strcmp(entry.program, replay.program) == 0)
		{
			if (!skip && !replay.failed)
			{
				replay_entry(&v, &replay, &entry);
				v.entries++;
			}
			entry_tuple = next_tuple(entry_scan, caller);
			have_entry = HeapTupleIsValid(entry_tuple);
			if (have_entry)
				ledger_from_tuple(ledger, entry_tuple, RelationGetDescr(entries), &entry, given);
			CHECK_FOR_INTERRUPTS();
		}
		if (have_account)
		{
			if (!skip && !replay.failed)
				compare_account(&v, &replay, value, isnull);
			account_tuple = next_tuple(account_scan, caller);
		}
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(per_account);
	systable_endscan_ordered(entry_scan);
	systable_endscan_ordered(account_scan);
	index_close(entry_index, AccessShareLock);
	index_close(account_index, AccessShareLock);
	table_close(v.accounts, AccessShareLock);
	table_close(entries, AccessShareLock);
	return (Datum) 0;
}
