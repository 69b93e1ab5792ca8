/*
 * Verification: every account is built up again from its entries by the same rules, and compared with what is stored.
 */
#include "points/verify.h"

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

typedef struct Verification
{
	ReturnSetInfo *result;
	const Ledger *ledger;
	Relation entries;
	Relation whole; /* what entries is a partition of, or NULL */
	Relation accounts;
	AttrNumber column[ACCOUNT_COLUMNS];
	HTAB *programs; /* names of programs */
	const char **name;
	ReplayTable table;
	MemoryContext keep;		 /* what lives for a pass */
	MemoryContext per_batch; /* what lives for some rows */
} Verification;

typedef struct ProgramName
{
	char name[32]; /* the check of points_program allows 31 bytes */
	int place;
} ProgramName;

/* Rows that are read together, so that the accounts of all are on their way while the first is worked on. */
#define BATCH 32

typedef struct Row
{
	HeapTuple tuple;
	PointsEntry entry; /* of an account only the key */
	Datum *value;
	bool *isnull;
	uint32 hash;
	int program;
} Row;

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
 * Report what is wrong with an account
 */
static void
report_replay(Verification *v, const Replay *replay, int64 seq, const char *finding)
{
	report(v, replay->customer_id, v->name[replay->program], seq, finding);
}

/*
 * Apply the next entry of an account
 */
static void
replay_next(Verification *v, Replay *replay, const PointsEntry *entry)
{
	const char *why = replay_apply(&v->table, replay, entry);

	if (why != NULL)
	{
		report_replay(v, replay, entry->seq, why);
		replay->failed = true;
	}
}

/*
 * Read a row with what lives for some rows
 */
static void
read_entry(Verification *v, HeapTuple tuple, PointsEntry *entry)
{
	bool given[LEDGER_COLUMNS];
	MemoryContext old = MemoryContextSwitchTo(v->per_batch);

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
			report_replay(v, replay, entry->seq, "seq is there twice or below 1");
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
	report_replay(v, replay, first, psprintf("entry " INT64_FORMAT " is missing", replay->state.seq + 1));
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

	if (DatumGetInt64(value[c[ACC_ARCHIVED] - 1]) != replay->start)
	{
		report_replay(v,
					  replay,
					  replay->start + 1,
					  psprintf("the account says that entries to " INT64_FORMAT " are archived, points_start " INT64_FORMAT,
							   DatumGetInt64(value[c[ACC_ARCHIVED] - 1]),
							   replay->start));
		return;
	}
	if (DatumGetInt64(value[c[2] - 1]) > state->seq)
	{
		report_replay(v,
					  replay,
					  state->seq + 1,
					  psprintf("the last entries are missing: the account says " INT64_FORMAT, DatumGetInt64(value[c[2] - 1])));
		return;
	}
	for (int i = 0; i < lengthof(numbers); i++)
	{
		int64 stored = DatumGetInt64(value[c[i + 2] - 1]);

		if (stored != numbers[i])
		{
			report_replay(v,
						  replay,
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
		report_replay(v, replay, state->seq, "the account's lots are not those of its entries");
	else if (VARSIZE_ANY_EXHDR(head) != POINTS_HASH_SIZE || memcmp(VARDATA_ANY(head), state->head, POINTS_HASH_SIZE) != 0)
		report_replay(v, replay, state->seq, "the account's head is not the hash of its last entry");
	else if (state->seq > 0 && DatumGetTimestampTz(value[c[13] - 1]) != state->booked_at)
		report_replay(v, replay, state->seq, "the account's booked_at is not that of its last entry");
	else if (isnull[c[15] - 1] ? due != DT_NOEND : due != DatumGetTimestampTz(value[c[15] - 1]))
		report_replay(v, replay, state->seq, "the account's next_due is wrong");
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

/*
 * The place of a program among the names
 */
static int
find_program(Verification *v, const char *program)
{
	ProgramName *name;
	bool found;

	name = hash_search(v->programs, program, HASH_ENTER, &found);
	if (!found)
	{
		name->place = (int) hash_get_num_entries(v->programs) - 1;
		v->name = repalloc(v->name, sizeof(char *) * (name->place + 1));
		v->name[name->place] = name->name;
	}
	return name->place;
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
 * Archived accounts go on from the last of their starts
 */
static void
read_starts(Verification *v, bool *filter_null, Datum *filter, uint32 part, uint32 parts)
{
	Oid relid = store_sibling_if_any(v->entries, "points_start");
	Relation rel;
	TupleDesc desc;
	AttrNumber customer;
	AttrNumber program;
	SysScanDesc scan;
	HeapTuple tuple;
	MemoryContext old;

	if (!OidIsValid(relid))
		return;
	rel = table_open(relid, AccessShareLock);
	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, RelationGetRelationName(rel));
	desc = RelationGetDescr(rel);
	customer = store_column(rel, "customer_id");
	program = store_column(rel, "program");
	scan = begin_scan(rel,
					  ledger_find_index(rel, 3, (AttrNumber[]){customer, program, store_column(rel, "seq")}),
					  customer,
					  program,
					  filter_null,
					  filter);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool null;
		int64 customer_id = DatumGetInt64(heap_getattr(tuple, customer, desc, &null));
		PointsState state;
		Replay *replay;
		int place;

		CHECK_FOR_INTERRUPTS();
		if (!in_part(customer_id, part, parts) || (v->whole != NULL && !ledger_leaf_keeps(v->whole, v->entries, customer_id)))
			continue;
		old = MemoryContextSwitchTo(v->keep);
		ledger_read_start(tuple, desc, &state);
		place = find_program(v, TextDatumGetCString(heap_getattr(tuple, program, desc, &null)));
		replay = replay_find(&v->table, replay_hash(customer_id, place), customer_id, place);
		if (state.seq > replay->start)
		{
			replay->start = state.seq;
			replay->state = state;
		}
		MemoryContextSwitchTo(old);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/*
 * The next rows of the part, of entries or accounts; fewer than BATCH are the last
 */
static int
read_rows(Verification *v, SysScanDesc scan, Relation rel, AttrNumber customer, uint32 part, uint32 parts, Row *rows)
{
	TupleDesc desc = RelationGetDescr(rel);
	bool entries = rel == v->entries;
	MemoryContext old;
	HeapTuple tuple;
	int64 customer_id;
	int count = 0;
	bool null;

	MemoryContextReset(v->per_batch);
	while (count < BATCH && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Row *row = &rows[count];

		CHECK_FOR_INTERRUPTS();
		customer_id = DatumGetInt64(heap_getattr(tuple, customer, desc, &null));
		if (!in_part(customer_id, part, parts) ||
			(!entries && v->whole != NULL && !ledger_leaf_keeps(v->whole, v->entries, customer_id)))
			continue;
		old = MemoryContextSwitchTo(v->per_batch);
		row->tuple = heap_copytuple(tuple);
		if (entries)
			read_entry(v, row->tuple, &row->entry);
		else
		{
			row->value = palloc(sizeof(Datum) * desc->natts);
			row->isnull = palloc(sizeof(bool) * desc->natts);
			heap_deform_tuple(row->tuple, desc, row->value, row->isnull);
			row->entry.customer_id = DatumGetInt64(row->value[v->column[ACC_CUSTOMER_ID] - 1]);
			row->entry.program = TextDatumGetCString(row->value[v->column[ACC_PROGRAM] - 1]);
		}
		MemoryContextSwitchTo(old);
		row->program = count > 0 && strcmp(row->entry.program, rows[count - 1].entry.program) == 0
						   ? rows[count - 1].program
						   : find_program(v, row->entry.program);
		row->hash = replay_hash(row->entry.customer_id, row->program);
		replay_prefetch_slot(&v->table, row->hash);
		count++;
	}
	for (int i = 0; i < count; i++)
		replay_prefetch(&v->table, rows[i].hash);
	return count;
}

/*
 * The accounts of these rows, what they point to announced
 */
static void
find_replays(Verification *v, Row *rows, int count, Replay **replays)
{
	for (int i = 0; i < count; i++)
	{
		Replay *replay = replay_find(&v->table, rows[i].hash, rows[i].entry.customer_id, rows[i].program);

		prefetch(replay->state.lots.lot);
		if (replay->target != NULL)
			prefetch(&replay->target[replay->target_count]);
		replays[i] = replay;
	}
}

/*
 * Verify a part of the accounts: their entries in one scan, then the accounts in another
 */
static void
verify_part(Verification *v, bool *filter_null, Datum *filter, uint32 part, uint32 parts, double expected, Oid account_index)
{
	Row *rows = palloc(sizeof(Row) * BATCH);
	Replay *replays[BATCH];
	MemoryContext caller = CurrentMemoryContext;
	AttrNumber customer = v->ledger->column[COL_CUSTOMER_ID];
	SysScanDesc scan;
	int count;

	replay_table_begin(&v->table, v->keep, expected);
	read_starts(v, filter_null, filter, part, parts);
	scan = begin_scan(v->entries, v->ledger->primary_key, customer, v->ledger->column[COL_PROGRAM], filter_null, filter);
	do
	{
		count = read_rows(v, scan, v->entries, customer, part, parts, rows);
		MemoryContextSwitchTo(v->keep);
		find_replays(v, rows, count, replays);
		for (int i = 0; i < count; i++)
			take_entry(v, replays[i], rows[i].tuple, &rows[i].entry);
		MemoryContextSwitchTo(caller);
	} while (count == BATCH);
	systable_endscan(scan);

	MemoryContextSwitchTo(v->keep);
	for (uint32 i = 0; i < v->table.count; i++)
		check_waiting(v, replay_at(&v->table, i));
	MemoryContextSwitchTo(caller);

	customer = v->column[ACC_CUSTOMER_ID];
	scan = begin_scan(v->accounts, account_index, customer, v->column[ACC_PROGRAM], filter_null, filter);
	do
	{
		count = read_rows(v, scan, v->accounts, customer, part, parts, rows);
		find_replays(v, rows, count, replays);
		MemoryContextSwitchTo(v->per_batch);
		for (int i = 0; i < count; i++)
		{
			replays[i]->has_account = true;
			if (!replays[i]->failed)
				compare_account(v, replays[i], rows[i].value, rows[i].isnull);
		}
		MemoryContextSwitchTo(caller);
	} while (count == BATCH);
	systable_endscan(scan);

	for (uint32 i = 0; i < v->table.count; i++)
	{
		const Replay *replay = replay_at(&v->table, i);

		if (!replay->has_account && !replay->failed)
			report_replay(v, replay, 1, "the account of this entry is missing");
	}
	MemoryContextReset(v->keep);
	pfree(rows);
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
	HASHCTL control;
	int64 passes;
	double expected;
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
	store_refuse_distributed(v.entries, "crm.on_shards() runs it on every shard.");
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
	v.per_batch = AllocSetContextCreate(CurrentMemoryContext, "crm verification of some rows", ALLOCSET_DEFAULT_SIZES);
	control.keysize = sizeof(((ProgramName *) NULL)->name);
	control.entrysize = sizeof(ProgramName);
	control.hcxt = CurrentMemoryContext;
	v.programs = hash_create("crm verification of programs", 16, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	v.name = palloc(sizeof(char *));

	/* As many passes as the memory asks for that entries and accounts, some 160 and 200 bytes on disk, take here. */
	expected = filter_null[0] ? (double) RelationGetNumberOfBlocks(v.accounts) * BLCKSZ / 200 / parts : 16;
	size = (double) RelationGetNumberOfBlocks(v.entries) * BLCKSZ / 160 * sizeof(Target) / parts +
		   expected * (sizeof(Replay) + sizeof(PointsLot) * 2 + 16);
	passes = filter_null[0] ? (int64) (size / (maintenance_work_mem * 1024.0 * 4)) + 1 : 1;
	for (int64 pass = 0; pass < passes; pass++)
		verify_part(&v,
					filter_null,
					filter,
					(uint32) (part - 1 + pass * parts),
					(uint32) (parts * passes),
					expected / passes,
					ledger_find_index(v.accounts, 2, v.column));
	table_close(v.accounts, AccessShareLock);
	table_close(v.entries, AccessShareLock);
	if (v.whole != NULL)
		table_close(v.whole, AccessShareLock);
	return (Datum) 0;
}
