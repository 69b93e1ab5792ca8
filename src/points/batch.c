/*
 * What posts to several accounts at once: locking and writing them, transfers, what is due.
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

/*
 * Open a ledger for a function that posts to it; the caller has the rights of its owner
 */
Relation
ledger_open_entries(Oid relid)
{
	Relation rel = table_open(relid, RowExclusiveLock);

	if (!has_privs_of_role(GetUserId(), rel->rd_rel->relowner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for the points ledger \"%s\"", RelationGetRelationName(rel)),
				 errhint("Use the verbs of the store; they run as its owner.")));
	store_refuse_distributed(rel, "Insert into the table, which sends each entry to its shard; doc/citus.md says what to do instead.");
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
 * Put the entries that were posted to accounts into the table
 */
void
ledger_insert_entries(Ledger *ledger, LedgerAccount *accounts, int count)
{
	List *entries = NIL;

	for (int i = 0; i < count; i++)
		entries = list_concat(entries, accounts[i].entries);
	ledger_insert(ledger, entries);
}

/*
 * Write what was posted
 */
void
ledger_write_accounts(Ledger *ledger, LedgerAccount *accounts, int count)
{
	ledger_write(ledger, accounts, count);
	ledger_insert_entries(ledger, accounts, count);
}

/*
 * Spread points over the lots of others in proportion, by largest remainder; the lots keep their dates
 */
PointsLots
ledger_scale_lots(const PointsLots *from, int64 points, int64 to_points)
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
	rel = ledger_open_entries(PG_GETARG_OID(0));
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
		in->lots = ledger_scale_lots(&out_entry->lots, out_entry->points, in->points);
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

static int
lapse_due(Ledger *ledger, TimestampTz as_of, int batch)
{
	int count;
	LedgerAccount *accounts = ledger_lock_due(ledger, as_of, batch, &count);

	for (int i = 0; i < count; i++)
	{
		ledger_give_way(i);
		ledger_lapse(&accounts[i], as_of);
	}
	ledger_write_accounts(ledger, accounts, count);
	return count;
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
	Relation rel = ledger_open_entries(PG_GETARG_OID(0));
	Ledger *ledger;
	StoreOwner owner;
	volatile int count = 0;

	if (batch < 1 || batch > LEDGER_MAX_BATCH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch must be between 1 and %d", LEDGER_MAX_BATCH)));
	store_owner_begin(rel, &owner);
	ledger = ledger_open(rel);
	ledger_job(true);
	PG_TRY();
	{
		count = lapse_due(ledger, as_of, batch);
	}
	PG_FINALLY();
	{
		ledger_job(false);
	}
	PG_END_TRY();
	store_owner_end(&owner);
	table_close(rel, NoLock);
	PG_RETURN_INT64(count);
}
