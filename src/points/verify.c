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
#include "storage/bufmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* What later entries may refer to: an earning, a redemption, a capture. */
typedef struct Target
{
	bool there;
	PointsKind kind;
	int64 points;
	int64 reversed;
	TimestampTz expires_at;
	TimestampTz available_at;
	PointsLots lots;
} Target;

typedef struct ReplayKey
{
	int64 customer_id;
	char program[32]; /* the check of points_program allows 31 bytes */
} ReplayKey;

/* An account that is being built up. Entries come in any order, though mostly in that of seq; those too early wait. */
typedef struct Replay
{
	ReplayKey key;
	PointsState state;
	Target *target; /* by seq */
	int64 capacity;
	List *waiting; /* HeapTuple */
	bool failed;
	bool has_account;
} Replay;

typedef struct Verification
{
	ReturnSetInfo *result;
	const Ledger *ledger;
	Relation entries;
	Relation whole; /* what entries is a partition of, or NULL */
	Relation accounts;
	AttrNumber column[ACCOUNT_COLUMNS];
	HTAB *replays;
	MemoryContext keep;		 /* what lives for a pass */
	MemoryContext per_entry; /* what lives for an entry */
} Verification;

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
 * Apply the next entry of an account
 */
static void
replay_next(Verification *v, Replay *replay, const PointsEntry *entry)
{
	PointsContext context = {.spendable = true, .allow_debt = entry->shortfall == 0};
	PointsEntry target_entry = {0};
	Target *target = NULL;
	const char *why;

	if (entry->reverses > 0 && entry->reverses <= replay->state.seq && replay->target[entry->reverses - 1].there)
	{
		target = &replay->target[entry->reverses - 1];
		target_entry.seq = entry->reverses;
		target_entry.kind = target->kind;
		target_entry.points = target->points;
		target_entry.expires_at = target->expires_at;
		target_entry.lots = target->lots;
		context.target = &target_entry;
		context.reversed = target->reversed;
		context.target_available = target->available_at;
	}
	why = points_replay(&replay->state, entry, &context);
	if (why != NULL)
	{
		report(v, replay->key.customer_id, replay->key.program, entry->seq, why);
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
		int64 capacity = Max(8, replay->capacity * 2);

		replay->target = replay->target == NULL
							 ? palloc_extended(sizeof(Target) * capacity, MCXT_ALLOC_HUGE)
							 : repalloc_huge(replay->target, sizeof(Target) * capacity);
		replay->capacity = capacity;
	}
	target = &replay->target[entry->seq - 1];
	target->there = entry->kind == POINTS_EARN || entry->kind == POINTS_REDEEM || entry->kind == POINTS_CAPTURE;
	if (target->there)
	{
		target->kind = entry->kind;
		target->points = entry->points;
		target->reversed = 0;
		target->expires_at = entry->expires_at;
		target->available_at = entry->available_at;
		target->lots = entry->kind == POINTS_EARN ? (PointsLots){0} : points_lots_copy(&entry->lots);
	}
}

/*
 * Read a row with what lives for an entry
 */
static void
read_entry(Verification *v, HeapTuple tuple, PointsEntry *entry)
{
	bool given[LEDGER_COLUMNS];
	MemoryContext old = MemoryContextSwitchTo(v->per_entry);

	ledger_from_tuple(v->ledger, tuple, RelationGetDescr(v->entries), entry, given);
	MemoryContextSwitchTo(old);
}

/*
 * Take a row of an account: apply it when it is the next, with those that waited for it
 */
static void
take_entry(Verification *v, Replay *replay, HeapTuple tuple, PointsEntry *entry)
{
	bool more = true;

	if (replay->failed)
		return;
	if (entry->seq != replay->state.seq + 1)
	{
		if (entry->seq <= replay->state.seq)
		{
			report(v, replay->key.customer_id, replay->key.program, entry->seq, "seq is there twice or below 1");
			replay->failed = true;
		}
		else
			replay->waiting = lappend(replay->waiting, heap_copytuple(tuple));
		return;
	}
	replay_next(v, replay, entry);
	while (more && !replay->failed && replay->waiting != NIL)
	{
		ListCell *cell;

		more = false;
		foreach (cell, replay->waiting)
		{
			PointsEntry waiting;

			CHECK_FOR_INTERRUPTS();
			read_entry(v, lfirst(cell), &waiting);
			if (waiting.seq != replay->state.seq + 1)
				continue;
			replay->waiting = list_delete_cell(replay->waiting, cell);
			replay_next(v, replay, &waiting);
			more = true;
			break;
		}
	}
}

/*
 * What is still missing of an account at the end
 */
static void
check_waiting(Verification *v, Replay *replay)
{
	int64 first = PG_INT64_MAX;
	ListCell *cell;

	if (replay->failed || replay->waiting == NIL)
		return;
	foreach (cell, replay->waiting)
	{
		PointsEntry waiting;

		read_entry(v, lfirst(cell), &waiting);
		first = Min(first, waiting.seq);
	}
	report(v,
		   replay->key.customer_id,
		   replay->key.program,
		   first,
		   psprintf("entry " INT64_FORMAT " is missing", replay->state.seq + 1));
	replay->failed = true;
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
			   replay->key.customer_id,
			   replay->key.program,
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
				   replay->key.customer_id,
				   replay->key.program,
				   state->seq,
				   psprintf("the account's %s is " INT64_FORMAT ", its entries give " INT64_FORMAT,
							ledger_account_columns[i + 2],
							stored,
							numbers[i]));
			return;
		}
	}
	points_lots_read(value[c[12] - 1], &lots);
	head = DatumGetByteaPP(value[c[14] - 1]);
	if (!points_lots_equal(&lots, &state->lots))
		report(v, replay->key.customer_id, replay->key.program, state->seq, "the account's lots are not those of its entries");
	else if (VARSIZE_ANY_EXHDR(head) != POINTS_HASH_SIZE || memcmp(VARDATA_ANY(head), state->head, POINTS_HASH_SIZE) != 0)
		report(v, replay->key.customer_id, replay->key.program, state->seq, "the account's head is not the hash of its last entry");
	else if (state->seq > 0 && DatumGetTimestampTz(value[c[13] - 1]) != state->booked_at)
		report(v, replay->key.customer_id, replay->key.program, state->seq, "the account's booked_at is not that of its last entry");
	else if (isnull[c[15] - 1] ? due != DT_NOEND : due != DatumGetTimestampTz(value[c[15] - 1]))
		report(v, replay->key.customer_id, replay->key.program, state->seq, "the account's next_due is wrong");
}

/*
 * Scan one account, one customer by the index, or all rows as they lie
 */
static SysScanDesc
begin_scan(Relation rel, Oid index, AttrNumber customer, AttrNumber program, bool *isnull, Datum *value)
{
	ScanKeyData key[2];
	int count = 0;

	if (!isnull[0])
		ScanKeyInit(&key[count++], customer, BTEqualStrategyNumber, F_INT8EQ, value[0]);
	if (!isnull[1])
		ScanKeyInit(&key[count++], program, BTEqualStrategyNumber, F_TEXTEQ, value[1]);
	return systable_beginscan(rel, index, !isnull[0] && OidIsValid(index), GetActiveSnapshot(), count, key);
}

static Replay *
find_replay(Verification *v, int64 customer_id, const char *program)
{
	ReplayKey key;
	Replay *replay;
	bool found;

	memset(&key, 0, sizeof(key));
	key.customer_id = customer_id;
	strlcpy(key.program, program, sizeof(key.program));
	replay = hash_search(v->replays, &key, HASH_ENTER, &found);
	if (!found)
	{
		memset((char *) replay + sizeof(ReplayKey), 0, sizeof(Replay) - sizeof(ReplayKey));
		replay->state.booked_at = DT_NOBEGIN;
	}
	return replay;
}

/*
 * Is this customer one of a part's?
 */
static inline bool
in_part(int64 customer_id, uint32 part, uint32 parts)
{
	return parts == 1 || (uint64) customer_id % parts == part;
}

/*
 * Verify a part of the accounts: their entries in one scan, then the accounts in another
 */
static void
verify_part(Verification *v, bool *filter_null, Datum *filter, uint32 part, uint32 parts, Oid account_index)
{
	HASHCTL control = {.keysize = sizeof(ReplayKey), .entrysize = sizeof(Replay), .hcxt = v->keep};
	TupleDesc entry_desc = RelationGetDescr(v->entries);
	TupleDesc account_desc = RelationGetDescr(v->accounts);
	Datum *value = palloc(sizeof(Datum) * account_desc->natts);
	bool *isnull = palloc(sizeof(bool) * account_desc->natts);
	MemoryContext caller = CurrentMemoryContext;
	HASH_SEQ_STATUS status;
	SysScanDesc scan;
	HeapTuple tuple;
	Replay *replay;

	/* As large as it will be, so that it never splits. */
	v->replays = hash_create("crm verification",
							 filter_null[0] ? (long) Max(1024, v->accounts->rd_rel->reltuples / parts) : 16,
							 &control,
							 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	scan = begin_scan(v->entries,
					  v->ledger->primary_key,
					  v->ledger->column[COL_CUSTOMER_ID],
					  v->ledger->column[COL_PROGRAM],
					  filter_null,
					  filter);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		PointsEntry entry;
		bool null;

		CHECK_FOR_INTERRUPTS();
		if (!in_part(DatumGetInt64(heap_getattr(tuple, v->ledger->column[COL_CUSTOMER_ID], entry_desc, &null)), part, parts))
			continue;
		MemoryContextReset(v->per_entry);
		MemoryContextSwitchTo(v->keep);
		read_entry(v, tuple, &entry);
		take_entry(v, find_replay(v, entry.customer_id, entry.program), tuple, &entry);
		MemoryContextSwitchTo(caller);
	}
	systable_endscan(scan);

	MemoryContextSwitchTo(v->keep);
	hash_seq_init(&status, v->replays);
	while ((replay = hash_seq_search(&status)) != NULL)
		check_waiting(v, replay);
	MemoryContextSwitchTo(caller);

	scan = begin_scan(v->accounts, account_index, v->column[0], v->column[1], filter_null, filter);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		CHECK_FOR_INTERRUPTS();
		heap_deform_tuple(tuple, account_desc, value, isnull);
		if (!in_part(DatumGetInt64(value[v->column[0] - 1]), part, parts) ||
			(v->whole != NULL && !ledger_leaf_keeps(v->whole, v->entries, DatumGetInt64(value[v->column[0] - 1]))))
			continue;
		MemoryContextReset(v->per_entry);
		MemoryContextSwitchTo(v->per_entry);
		replay = find_replay(v, DatumGetInt64(value[v->column[0] - 1]), TextDatumGetCString(value[v->column[1] - 1]));
		replay->has_account = true;
		if (!replay->failed)
			compare_account(v, replay, value, isnull);
		MemoryContextSwitchTo(caller);
	}
	systable_endscan(scan);

	hash_seq_init(&status, v->replays);
	while ((replay = hash_seq_search(&status)) != NULL)
	{
		if (!replay->has_account && !replay->failed)
			report(v, replay->key.customer_id, replay->key.program, 1, "the account of this entry is missing");
	}
	hash_destroy(v->replays);
	MemoryContextReset(v->keep);
}

/*
 * Verify accounts of the ledger whose entries stand in a table: see points_verify_entries in the kit
 */
PG_FUNCTION_INFO_V1(points_verify_entries);
Datum
points_verify_entries(PG_FUNCTION_ARGS)
{
	Verification v = {0};
	Datum filter[2] = {(Datum) 0, (Datum) 0};
	bool filter_null[2] = {PG_ARGISNULL(1), PG_ARGISNULL(2)};
	int32 part;
	int32 parts;
	int64 passes;
	double size;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(3) || PG_ARGISNULL(4))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("entries, part and parts must not be null")));
	part = PG_GETARG_INT32(3);
	parts = PG_GETARG_INT32(4);
	if (parts < 1 || parts > 1000 || part < 1 || part > parts)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("parts must be between 1 and 1000, and part between 1 and parts")));
	for (int i = 0; i < 2; i++)
	{
		if (!filter_null[i])
			filter[i] = PG_GETARG_DATUM(i + 1);
	}
	InitMaterializedSRF(fcinfo, 0);
	v.result = (ReturnSetInfo *) fcinfo->resultinfo;

	v.entries = table_open(PG_GETARG_OID(0), AccessShareLock);
	if (pg_class_aclcheck(ledger_leaf_root(v.entries), GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, RelationGetRelationName(v.entries));
	v.ledger = ledger_open(v.entries);
	if (v.entries->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
	{
		if (filter_null[0])
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("\"%s\" is partitioned", RelationGetRelationName(v.entries)),
					 errhint("Verify its partitions, as points_verify() of the store does.")));
		v.whole = v.entries;
		v.entries = ledger_leaf_open(&v.ledger, v.whole, DatumGetInt64(filter[0]));
	}
	else if (v.entries->rd_rel->relispartition)
		v.whole = table_open(ledger_leaf_root(v.entries), AccessShareLock);
	v.accounts = table_open(v.ledger->account, AccessShareLock);
	if (pg_class_aclcheck(v.ledger->account, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, RelationGetRelationName(v.accounts));
	for (int i = 0; i < ACCOUNT_COLUMNS; i++)
		v.column[i] = store_column(v.accounts, ledger_account_columns[i]);
	v.keep = AllocSetContextCreate(CurrentMemoryContext, "crm verification", ALLOCSET_DEFAULT_SIZES);
	v.per_entry = AllocSetContextCreate(CurrentMemoryContext, "crm verification of an entry", ALLOCSET_DEFAULT_SIZES);

	/* As many passes as memory for what is remembered of the entries asks for, some 120 bytes each. */
	size = (double) RelationGetNumberOfBlocks(v.entries) * BLCKSZ / 160 * 120 / parts;
	passes = filter_null[0] ? (int64) (size / (maintenance_work_mem * 1024.0 * 4)) + 1 : 1;
	points_sha256_keep(true);
	PG_TRY();
	{
		for (int64 pass = 0; pass < passes; pass++)
			verify_part(&v,
						filter_null,
						filter,
						(uint32) (part - 1 + pass * parts),
						(uint32) (parts * passes),
						ledger_find_index(v.accounts, 2, v.column));
	}
	PG_FINALLY();
	{
		points_sha256_keep(false);
	}
	PG_END_TRY();
	table_close(v.accounts, AccessShareLock);
	table_close(v.entries, AccessShareLock);
	if (v.whole != NULL)
		table_close(v.whole, AccessShareLock);
	return (Datum) 0;
}
