/*
 * The batch door: many movements applied in memory, each account written once, entries together.
 */
#include "points/ledger.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "base/store.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

/* Movements that are written together, while what was looked up is still at hand. */
#define WRITE_EVERY 100

/* Movements from which it pays to post as if none were a repeat, so many together, in so many parts at most. */
#define NEW_AT_LEAST 50
#define NEW_TOGETHER 1000
#define NEW_PARTS 16

/*
 * Read a crm.points_movement
 */
static void
read_movement(HeapTupleHeader header, PointsEntry *entry, bool *given)
{
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};
	TupleDesc desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header), HeapTupleHeaderGetTypMod(header));
	static const LedgerColumn columns[11] = {COL_CUSTOMER_ID,
											 COL_KIND,
											 COL_POINTS,
											 COL_SOURCE,
											 COL_REFERENCE,
											 COL_PROGRAM,
											 COL_EXPIRES_AT,
											 COL_AVAILABLE_AT,
											 COL_REVERSES,
											 COL_OCCURRED_AT,
											 COL_DETAIL};
	Datum value[11];

	memset(entry, 0, sizeof(PointsEntry));
	memset(given, 0, sizeof(bool) * LEDGER_COLUMNS);
	if (desc->natts != 11)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH), errmsg("a movement is not of type crm.points_movement")));
	for (int i = 0; i < 11; i++)
	{
		bool isnull;

		value[i] = heap_getattr(&tuple, i + 1, desc, &isnull);
		given[columns[i]] = !isnull;
	}
	ReleaseTupleDesc(desc);
	if (!given[COL_CUSTOMER_ID] || !given[COL_KIND])
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION), errmsg("a movement needs customer_id and kind")));
	entry->customer_id = DatumGetInt64(value[0]);
	if (!points_kind_parse(TextDatumGetCString(value[1]), &entry->kind))
		ereport(ERROR,
				(errcode(ERRCODE_POINTS_INVALID),
				 errmsg("unknown kind of points entry: \"%s\"", TextDatumGetCString(value[1]))));
	entry->points = given[COL_POINTS] ? DatumGetInt64(value[2]) : 0;
	entry->source = given[COL_SOURCE] ? TextDatumGetCString(value[3]) : NULL;
	entry->reference = given[COL_REFERENCE] ? TextDatumGetCString(value[4]) : NULL;
	entry->program = given[COL_PROGRAM] ? TextDatumGetCString(value[5]) : "points";
	entry->expires_at = given[COL_EXPIRES_AT] ? DatumGetTimestampTz(value[6]) : POINTS_NO_TIME;
	entry->available_at = given[COL_AVAILABLE_AT] ? DatumGetTimestampTz(value[7]) : POINTS_NO_TIME;
	entry->reverses = given[COL_REVERSES] ? DatumGetInt64(value[8]) : 0;
	entry->occurred_at = given[COL_OCCURRED_AT] ? DatumGetTimestampTz(value[9]) : POINTS_NO_TIME;
	entry->detail = given[COL_DETAIL] ? DatumGetCString(DirectFunctionCall1(jsonb_out, value[10])) : NULL;
	entry->detail_asked = given[COL_DETAIL];
}

static LedgerResult
refuse_unknown(PointsRefusal *refusal)
{
	memset(refusal, 0, sizeof(PointsRefusal));
	refusal->sqlstate = ERRCODE_FOREIGN_KEY_VIOLATION;
	refusal->message = "there is no such customer or program";
	return LEDGER_REFUSED;
}

/* What became of a movement. */
typedef struct Outcome
{
	LedgerResult result;
	int64 seq;
	int64 balance_after;
	PointsRefusal *refusal;
} Outcome;

/* A movement and its account. */
typedef struct Place
{
	int account;
	int ordinal;
} Place;

/* A call of post_points. */
typedef struct Batch
{
	Relation rel;
	Ledger *ledger;
	bool atomic;
	int count;
	int refused; /* the first that is, when all or none is posted; else count */
	PointsEntry **entries;
	bool **given;
	bool *unknown; /* no such customer or program */
	Outcome *outcomes;
	Place *order; /* by account; -1 for those that are unknown */
	LedgerAccount *accounts;
	int account_count;
	LedgerLookup lookup;
	bool looking;
} Batch;

static int
compare_places(const void *a, const void *b)
{
	const Place *first = a;
	const Place *second = b;

	if (first->account != second->account)
		return first->account < second->account ? -1 : 1;
	return first->ordinal < second->ordinal ? -1 : 1;
}

/*
 * The movements account by account, so that neighbours in the indexes come together; in each as they were given
 */
static Place *
account_order(LedgerAccount *accounts, int count, PointsEntry **entries, const bool *unknown, int n)
{
	Place *order = palloc(sizeof(Place) * Max(n, 1));

	for (int i = 0; i < n; i++)
	{
		order[i].account =
			unknown[i]
				? -1
				: (int) (ledger_find_account(accounts, count, entries[i]->customer_id, entries[i]->program) - accounts);
		order[i].ordinal = i;
	}
	qsort(order, n, sizeof(Place), compare_places);
	return order;
}

/*
 * Return what became of a movement
 */
static void
put_outcome(ReturnSetInfo *rsinfo, int ordinal, const PointsEntry *entry, const Outcome *outcome)
{
	bool refused = outcome->result == LEDGER_REFUSED;
	Datum values[8] = {0};
	bool nulls[8] = {false, false, false, false, refused, refused, !refused, !refused};

	values[0] = Int32GetDatum(ordinal + 1);
	values[1] = CStringGetTextDatum(refused								  ? "refused"
									: outcome->result == LEDGER_REPLAYED ? "repeated"
																		  : "posted");
	values[2] = Int64GetDatum(entry->customer_id);
	values[3] = CStringGetTextDatum(entry->program);
	values[4] = Int64GetDatum(outcome->seq);
	values[5] = Int64GetDatum(outcome->balance_after);
	if (refused)
	{
		values[6] = CStringGetTextDatum(unpack_sql_state(outcome->refusal->sqlstate));
		values[7] = CStringGetTextDatum(outcome->refusal->message);
	}
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * Which movements name a customer or a program that is not there
 */
static bool *
find_unknown(Ledger *ledger, PointsEntry **entries, int n)
{
	bool *unknown = palloc0(sizeof(bool) * Max(n, 1));
	Datum *values[2] = {palloc(sizeof(Datum) * Max(n, 1)), palloc(sizeof(Datum) * Max(n, 1))};
	Oid types[2] = {INT8ARRAYOID, TEXTARRAYOID};
	Relation account = table_open(ledger->account, AccessShareLock);
	Datum args[2];
	SPIPlanPtr plan;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	for (int i = 0; i < n; i++)
	{
		values[0][i] = Int64GetDatum(entries[i]->customer_id);
		values[1][i] = CStringGetTextDatum(entries[i]->program);
	}
	args[0] = PointerGetDatum(construct_array(values[0], n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	args[1] = PointerGetDatum(construct_array(values[1], n, TEXTOID, -1, false, TYPALIGN_INT));
	plan = SPI_prepare(psprintf("SELECT u.n FROM ROWS FROM (unnest($1), unnest($2)) WITH ORDINALITY u (customer_id, program, n) "
								"WHERE NOT EXISTS (SELECT FROM %s a WHERE a.customer_id = u.customer_id AND a.program = u.program) "
								"AND (NOT EXISTS (SELECT FROM %s c WHERE c.customer_id = u.customer_id) "
								"OR NOT EXISTS (SELECT FROM %s p WHERE p.program = u.program))",
								store_qualified_name(ledger->account),
								store_qualified_name(store_referenced_table(account, "customer")),
								store_qualified_name(ledger->program)),
					   2,
					   types);
	if (plan == NULL || SPI_execute_plan(plan, args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look up the customers of a batch: %s", SPI_result_code_string(SPI_result));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool isnull;

		unknown[DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull)) - 1] = true;
	}
	SPI_finish();
	table_close(account, NoLock);
	return unknown;
}

/*
 * Post a movement of the batch
 */
static void
post_one(Batch *batch, int at, LedgerAccount *account)
{
	Outcome *outcome = &batch->outcomes[at];
	PointsEntry *entry = batch->entries[at];
	PointsRefusal refusal;
	PointsEntry found;

	outcome->result =
		batch->unknown[at]
			? refuse_unknown(&refusal)
			: ledger_post(batch->ledger, batch->rel, account, entry, batch->given[at], &found, &refusal);
	if (outcome->result == LEDGER_REFUSED)
	{
		outcome->refusal = palloc(sizeof(PointsRefusal));
		*outcome->refusal = refusal;
		return;
	}
	outcome->seq = outcome->result == LEDGER_REPLAYED ? found.seq : entry->seq;
	outcome->balance_after = outcome->result == LEDGER_REPLAYED ? found.balance_after : entry->balance_after;
}

/*
 * Post the movements from first to end as if none repeated an earlier one: the unique index says when one does, which saves looking
 * each up. False when it does, or when anything else is in the way; then nothing has been done.
 */
static bool
post_new(Batch *batch, int first, int end)
{
	LedgerAccount *from = &batch->accounts[batch->order[first].account];
	LedgerAccount *to = &batch->accounts[batch->order[end - 1].account];
	PointsEntry *before = palloc_extended(sizeof(PointsEntry) * (end - first), MCXT_ALLOC_HUGE);
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = true;

	for (int i = first; i < end; i++)
		before[i - first] = *batch->entries[batch->order[i].ordinal];
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		for (int i = first; done && i < end; i++)
		{
			int at = batch->order[i].ordinal;
			LedgerAccount *account = &batch->accounts[batch->order[i].account];

			CHECK_FOR_INTERRUPTS();
			account->unused = batch->entries[at];
			post_one(batch, at, account);
			done = batch->outcomes[at].result == LEDGER_POSTED;
		}
		if (done)
		{
			ledger_insert_entries(batch->ledger, from, (int) (to - from) + 1);
			ReleaseCurrentSubTransaction();
		}
		else
			RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		int code;

		MemoryContextSwitchTo(context);
		code = geterrcode();
		if (code == ERRCODE_QUERY_CANCELED || code == ERRCODE_OUT_OF_MEMORY)
			PG_RE_THROW();
		/* What is more than a repeat will come up again. */
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		done = false;
	}
	PG_END_TRY();
	if (done)
		ledger_write(batch->ledger, from, (int) (to - from) + 1);
	else
	{
		for (int i = first; i < end; i++)
			*batch->entries[batch->order[i].ordinal] = before[i - first];
		ledger_direct_reread(batch->ledger, from, (int) (to - from) + 1);
	}
	for (LedgerAccount *account = from; account <= to; account++)
		account->unused = NULL;
	pfree(before);
	return done;
}

/*
 * Post the movements from first to end, each of which may repeat an earlier one
 */
static void
post_any(Batch *batch, int first, int end)
{
	int from = batch->order[first].account;

	if (!batch->looking)
		ledger_lookup_begin(batch->ledger, batch->rel, batch->accounts, batch->account_count, &batch->lookup);
	batch->looking = true;
	for (int i = first; i < end; i++)
	{
		int at = batch->order[i].ordinal;
		int account = batch->order[i].account;

		CHECK_FOR_INTERRUPTS();
		/* Accounts do not touch each other, so what comes after the first refusal needs no answer. */
		if (at > batch->refused)
			continue;
		/* What fits into no account is refused before one is looked at. */
		post_one(batch, at, account < 0 ? NULL : &batch->accounts[account]);
		if (batch->outcomes[at].result == LEDGER_REFUSED && batch->atomic)
			batch->refused = at;
	}
	if (batch->refused == batch->count && batch->order[end - 1].account >= 0)
	{
		from = Max(from, 0);
		ledger_write_accounts(batch->ledger, &batch->accounts[from], batch->order[end - 1].account - from + 1);
	}
}

/*
 * Post all movements, some accounts at a time
 */
static void
post_all(Batch *batch)
{
	int n = batch->count;
	/* A transaction that has many others in it makes it slow for everybody to see what is there. */
	int many = Max(NEW_TOGETHER, n / NEW_PARTS);
	bool new = ledger_direct(batch->ledger) && n >= NEW_AT_LEAST;
	int first = 0;

	for (int i = 0; new && i < batch->account_count; i++)
		new = batch->accounts[i].row != NULL;
	while (first < n)
	{
		int end = Min(n, first + (new ? many : WRITE_EVERY));

		/* All of an account go together. */
		while (end < n && batch->order[end].account == batch->order[end - 1].account)
			end++;
		if (new && batch->order[first].account >= 0 && post_new(batch, first, end))
			first = end;
		else if (new)
			new = false;
		else
		{
			post_any(batch, first, end);
			first = end;
		}
	}
	if (batch->looking)
		ledger_lookup_end(&batch->lookup);
}

/*
 * Post many movements: see points_post in the kit
 */
PG_FUNCTION_INFO_V1(points_post);
Datum
points_post(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(1);
	Batch batch = {.rel = ledger_open_entries(PG_GETARG_OID(0)), .atomic = PG_GETARG_BOOL(2)};
	Datum *elements;
	bool *element_nulls;
	int n;
	PointsEntry **known;
	int known_count = 0;
	StoreOwner owner;

	InitMaterializedSRF(fcinfo, 0);
	deconstruct_array(
		array, ARR_ELEMTYPE(array), -1, false, TYPALIGN_DOUBLE, &elements, &element_nulls, &n);
	if (n > LEDGER_MAX_BATCH)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a batch has at most %d movements, not %d", LEDGER_MAX_BATCH, n),
				 errhint("Post them in several calls.")));
	batch.entries = palloc(sizeof(PointsEntry *) * Max(n, 1));
	batch.given = palloc(sizeof(bool *) * Max(n, 1));
	batch.outcomes = palloc0(sizeof(Outcome) * Max(n, 1));
	batch.count = batch.refused = n;
	for (int i = 0; i < n; i++)
	{
		if (element_nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("movement %d is null", i + 1)));
		batch.entries[i] = palloc(sizeof(PointsEntry));
		batch.given[i] = palloc(sizeof(bool) * LEDGER_COLUMNS);
		read_movement(DatumGetHeapTupleHeader(elements[i]), batch.entries[i], batch.given[i]);
	}

	store_owner_begin(batch.rel, &owner);
	batch.ledger = ledger_open(batch.rel);
	known = palloc(sizeof(PointsEntry *) * Max(n, 1));
	batch.unknown = batch.atomic ? palloc0(sizeof(bool) * Max(n, 1)) : find_unknown(batch.ledger, batch.entries, n);
	for (int i = 0; i < n; i++)
	{
		if (!batch.unknown[i])
			known[known_count++] = batch.entries[i];
	}
	batch.accounts = ledger_lock_entries(batch.ledger, known, known_count, &batch.account_count);
	batch.order = account_order(batch.accounts, batch.account_count, batch.entries, batch.unknown, n);
	post_all(&batch);
	if (batch.refused < n)
	{
		PointsRefusal *refusal = batch.outcomes[batch.refused].refusal;

		refusal->message = psprintf("movement %d: %s", batch.refused + 1, refusal->message);
		points_raise(refusal);
	}
	for (int i = 0; i < n; i++)
		put_outcome(rsinfo, i, batch.entries[i], &batch.outcomes[i]);
	store_owner_end(&owner);
	table_close(batch.rel, NoLock);
	return (Datum) 0;
}
