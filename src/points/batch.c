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
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#define MAX_BATCH 1000000
#define WRITE_EVERY 100

/*
 * Open a ledger for a function that posts to it; the caller has the rights of its owner
 */
static Relation
open_entries(Oid relid)
{
	Relation rel = table_open(relid, RowExclusiveLock);

	if (!has_privs_of_role(GetUserId(), rel->rd_rel->relowner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for the points ledger \"%s\"", RelationGetRelationName(rel)),
				 errhint("Use the verbs of the store; they run as its owner.")));
	return rel;
}

/*
 * The locked account of a movement: accounts are sorted
 */
LedgerAccount *
ledger_find_account(LedgerAccount *accounts, int count, int64 customer_id, const char *program)
{
	int low = 0;
	int high = count;

	while (low < high)
	{
		int middle = low + (high - low) / 2;
		LedgerAccount *account = &accounts[middle];

		if (account->customer_id < customer_id ||
			(account->customer_id == customer_id && strcmp(account->program, program) < 0))
			low = middle + 1;
		else
			high = middle;
	}
	Assert(low < count);
	return &accounts[low];
}

static int
compare_keys(const void *a, const void *b)
{
	const PointsEntry *first = *(PointsEntry *const *) a;
	const PointsEntry *second = *(PointsEntry *const *) b;

	if (first->customer_id != second->customer_id)
		return first->customer_id < second->customer_id ? -1 : 1;
	return strcmp(first->program, second->program);
}

/*
 * Lock the accounts of some entries in order; *count says how many there are
 */
LedgerAccount *
ledger_lock_entries(Ledger *ledger, PointsEntry **entries, int n, int *count)
{
	PointsEntry **sorted = palloc(sizeof(PointsEntry *) * Max(n, 1));
	LedgerAccount *accounts;

	*count = 0;
	if (n == 0)
		return NULL;
	memcpy(sorted, entries, sizeof(PointsEntry *) * n);
	qsort(sorted, n, sizeof(PointsEntry *), compare_keys);
	for (int i = 0; i < n; i++)
	{
		if (i == 0 || compare_keys(&sorted[i - 1], &sorted[i]) != 0)
			sorted[(*count)++] = sorted[i];
	}
	accounts = palloc_extended(sizeof(LedgerAccount) * *count, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int i = 0; i < *count; i++)
	{
		accounts[i].customer_id = sorted[i]->customer_id;
		accounts[i].program = sorted[i]->program;
	}
	pfree(sorted);
	ledger_lock_many(ledger, accounts, *count);
	return accounts;
}

/*
 * Write what was posted
 */
void
ledger_write_accounts(Ledger *ledger, LedgerAccount *accounts, int count)
{
	List *entries = NIL;

	for (int i = 0; i < count; i++)
		entries = list_concat(entries, accounts[i].entries);
	if (entries == NIL)
		return;
	ledger_write(ledger, accounts, count);
	ledger_insert(ledger, entries);
}

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
 * Post many movements: see points_post in the kit
 */
PG_FUNCTION_INFO_V1(points_post);
Datum
points_post(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(1);
	bool atomic = PG_GETARG_BOOL(2);
	Relation rel = open_entries(PG_GETARG_OID(0));
	Ledger *ledger;
	Datum *elements;
	bool *element_nulls;
	int n;
	int count;
	int refused;
	int first = 0;
	int written = 0;
	PointsEntry **entries;
	PointsEntry **known;
	int known_count = 0;
	bool *unknown;
	PointsEntry found;
	PointsRefusal refusal;
	bool **given;
	LedgerAccount *accounts;
	LedgerLookup lookup;
	Outcome *outcomes;
	Place *order;
	StoreOwner owner;

	InitMaterializedSRF(fcinfo, 0);
	deconstruct_array(
		array, ARR_ELEMTYPE(array), -1, false, TYPALIGN_DOUBLE, &elements, &element_nulls, &n);
	if (n > MAX_BATCH)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a batch has at most %d movements, not %d", MAX_BATCH, n),
				 errhint("Post them in several calls.")));
	entries = palloc(sizeof(PointsEntry *) * Max(n, 1));
	given = palloc(sizeof(bool *) * Max(n, 1));
	outcomes = palloc0(sizeof(Outcome) * Max(n, 1));
	refused = n;
	for (int i = 0; i < n; i++)
	{
		if (element_nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("movement %d is null", i + 1)));
		entries[i] = palloc(sizeof(PointsEntry));
		given[i] = palloc(sizeof(bool) * LEDGER_COLUMNS);
		read_movement(DatumGetHeapTupleHeader(elements[i]), entries[i], given[i]);
	}

	store_owner_begin(rel, &owner);
	ledger = ledger_open(rel);
	known = palloc(sizeof(PointsEntry *) * Max(n, 1));
	unknown = atomic ? palloc0(sizeof(bool) * Max(n, 1)) : find_unknown(ledger, entries, n);
	for (int i = 0; i < n; i++)
	{
		if (!unknown[i])
			known[known_count++] = entries[i];
	}
	accounts = ledger_lock_entries(ledger, known, known_count, &count);
	ledger_lookup_begin(ledger, rel, accounts, count, &lookup);
	order = account_order(accounts, count, entries, unknown, n);
	for (int i = 0; i < n; i++)
	{
		int at = order[i].ordinal;
		Outcome *outcome = &outcomes[at];

		CHECK_FOR_INTERRUPTS();
		/* Write while what was looked up is still at hand. */
		if (i - first >= WRITE_EVERY && order[i].account > order[i - 1].account)
		{
			ledger_write_accounts(ledger, &accounts[written], order[i].account - written);
			written = order[i].account;
			first = i;
		}
		/* Accounts do not touch each other, so what comes after the first refusal needs no answer. */
		if (at > refused)
			continue;
		outcome->result = unknown[at] ? refuse_unknown(&refusal)
									  : ledger_post(ledger,
													rel,
													&accounts[order[i].account],
													entries[at],
													given[at],
													&found,
													&refusal);
		if (outcome->result == LEDGER_REFUSED)
		{
			outcome->refusal = palloc(sizeof(PointsRefusal));
			*outcome->refusal = refusal;
			if (atomic)
				refused = at;
		}
		else
		{
			outcome->seq = outcome->result == LEDGER_REPLAYED ? found.seq : entries[at]->seq;
			outcome->balance_after =
				outcome->result == LEDGER_REPLAYED ? found.balance_after : entries[at]->balance_after;
		}
	}
	ledger_lookup_end(&lookup);
	if (refused < n)
	{
		outcomes[refused].refusal->message =
			psprintf("movement %d: %s", refused + 1, outcomes[refused].refusal->message);
		points_raise(outcomes[refused].refusal);
	}
	for (int i = 0; i < n; i++)
		put_outcome(rsinfo, i, entries[i], &outcomes[i]);
	ledger_write_accounts(ledger, &accounts[written], count - written);
	store_owner_end(&owner);
	table_close(rel, NoLock);
	return (Datum) 0;
}

/*
 * Spread points over the lots of others in proportion, by largest remainder; the lots keep their dates
 */
static PointsLots
scale_lots(const PointsLots *from, int64 points, int64 to_points)
{
	PointsLots to = {0};
	int64 given = 0;
	int64 *part = palloc(sizeof(int64) * Max(from->count, 1));
	int128 *rest = palloc(sizeof(int128) * Max(from->count, 1));

	for (int i = 0; i < from->count; i++)
	{
		int128 product = (int128) from->lot[i].remaining * to_points;

		part[i] = (int64) (product / points);
		rest[i] = product % points;
		given += part[i];
	}
	while (given < to_points)
	{
		int largest = 0;

		for (int i = 1; i < from->count; i++)
		{
			if (rest[i] > rest[largest])
				largest = i;
		}
		part[largest]++;
		rest[largest] = -1;
		given++;
	}
	for (int i = 0; i < from->count; i++)
		points_lots_add(&to, part[i], from->lot[i].expires_at, POINTS_NO_TIME);
	return to;
}

/*
 * Move points between two accounts: see points_transfer in the kit
 */
PG_FUNCTION_INFO_V1(points_transfer);
Datum
points_transfer(PG_FUNCTION_ARGS)
{
	Relation rel;
	PointsEntry out = {0};
	PointsEntry *in = palloc0(sizeof(PointsEntry));
	PointsEntry *both[2] = {&out, in};
	PointsEntry found;
	PointsRefusal refusal;
	bool given[LEDGER_COLUMNS] = {false};
	Ledger *ledger;
	LedgerAccount *accounts;
	LedgerResult result;
	PointsEntry *out_entry = palloc0(sizeof(PointsEntry));
	StoreOwner owner;
	int count;
	int64 seq;

	for (int i = 0; i < 10; i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("a transfer of points needs all its arguments")));
	}
	rel = open_entries(PG_GETARG_OID(0));
	out.customer_id = PG_GETARG_INT64(1);
	in->customer_id = PG_GETARG_INT64(2);
	out.program = text_to_cstring(PG_GETARG_TEXT_PP(3));
	in->program = text_to_cstring(PG_GETARG_TEXT_PP(4));
	out.kind = POINTS_TRANSFER_OUT;
	in->kind = POINTS_TRANSFER_IN;
	out.points = PG_GETARG_INT64(5);
	in->points = PG_GETARG_INT64(6);
	out.source = in->source = text_to_cstring(PG_GETARG_TEXT_PP(7));
	out.reference = in->reference = text_to_cstring(PG_GETARG_TEXT_PP(8));
	out.occurred_at = in->occurred_at = PG_GETARG_TIMESTAMPTZ(9);
	out.expires_at = out.available_at = in->expires_at = in->available_at = POINTS_NO_TIME;
	out.detail = psprintf("{\"program\": \"%s\", \"customer_id\": " INT64_FORMAT "}", in->program, in->customer_id);
	in->detail = psprintf("{\"program\": \"%s\", \"customer_id\": " INT64_FORMAT "}", out.program, out.customer_id);
	/* jsonb has one text form; entries are compared and hashed by it. */
	out.detail = DatumGetCString(DirectFunctionCall1(jsonb_out, DirectFunctionCall1(jsonb_in, CStringGetDatum(out.detail))));
	in->detail = DatumGetCString(DirectFunctionCall1(jsonb_out, DirectFunctionCall1(jsonb_in, CStringGetDatum(in->detail))));
	if (out.customer_id == in->customer_id && strcmp(out.program, in->program) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_POINTS_INVALID),
				 errmsg("points cannot be transferred to the account they are in"),
				 errdetail("customer " INT64_FORMAT ", program %s", out.customer_id, out.program),
				 errhint("Name another customer or another program.")));
	given[COL_POINTS] = given[COL_SOURCE] = given[COL_REFERENCE] = given[COL_OCCURRED_AT] = given[COL_DETAIL] = true;
	if (!PG_ARGISNULL(10))
	{
		bytea *digest = PG_GETARG_BYTEA_PP(10);

		if (VARSIZE_ANY_EXHDR(digest) != POINTS_HASH_SIZE)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("note_hash has 32 bytes")));
		out.has_note = true;
		memcpy(out.note_hash, VARDATA_ANY(digest), POINTS_HASH_SIZE);
	}
	*out_entry = out;
	both[0] = out_entry;

	store_owner_begin(rel, &owner);
	ledger = ledger_open(rel);
	accounts = ledger_lock_entries(ledger, both, 2, &count);
	result = ledger_post(ledger,
						 rel,
						 ledger_find_account(accounts, count, out_entry->customer_id, out_entry->program),
						 out_entry,
						 given,
						 &found,
						 &refusal);
	if (result == LEDGER_POSTED)
	{
		in->lots = scale_lots(&out_entry->lots, out_entry->points, in->points);
		seq = out_entry->seq;
		result = ledger_post(ledger,
							 rel,
							 ledger_find_account(accounts, count, in->customer_id, in->program),
							 in,
							 given,
							 &found,
							 &refusal);
		if (result == LEDGER_REPLAYED)
			ledger_refuse_difference(in, "the other account", &refusal);
	}
	else
		seq = found.seq;
	if (result == LEDGER_REFUSED || (result == LEDGER_REPLAYED && seq != found.seq))
		points_raise(&refusal);
	if (result == LEDGER_POSTED)
		ledger_write_accounts(ledger, accounts, count);
	store_owner_end(&owner);
	table_close(rel, NoLock);
	PG_RETURN_INT64(seq);
}

/*
 * Book what is due: see points_lapse_due in the kit
 */
PG_FUNCTION_INFO_V1(points_lapse_due);
Datum
points_lapse_due(PG_FUNCTION_ARGS)
{
	TimestampTz as_of = PG_GETARG_TIMESTAMPTZ(1);
	int32 batch = PG_GETARG_INT32(2);
	Relation rel = open_entries(PG_GETARG_OID(0));
	Ledger *ledger;
	LedgerAccount *accounts;
	StoreOwner owner;
	int count;

	if (batch < 1 || batch > MAX_BATCH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch must be between 1 and %d", MAX_BATCH)));
	store_owner_begin(rel, &owner);
	ledger = ledger_open(rel);
	accounts = ledger_lock_due(ledger, as_of, batch, &count);
	for (int i = 0; i < count; i++)
		ledger_lapse(&accounts[i], as_of);
	ledger_write_accounts(ledger, accounts, count);
	store_owner_end(&owner);
	table_close(rel, NoLock);
	PG_RETURN_INT64(count);
}
