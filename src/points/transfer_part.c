/*
 * The two sides of a transfer between customers who are on two nodes: each is posted where its account is.
 */
#include "points/ledger.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "base/store.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/*
 * Open the shard of a ledger; on one node both sides are posted by points_transfer
 */
static Relation
open_shard(Oid relid)
{
	Relation rel = ledger_open_entries(relid);

	if (!store_is_shard(rel))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" is no shard of a points ledger", RelationGetRelationName(rel)),
				 errhint("Use transfer(), which posts both sides.")));
	return rel;
}

/*
 * Post one entry to its account and write both; true when it is new, false when it repeats one, whose number it then has
 */
static bool
post_side(Relation rel, PointsEntry *entry)
{
	bool given[LEDGER_COLUMNS] = {false};
	PointsEntry found;
	PointsRefusal refusal;
	StoreOwner owner;
	Ledger *ledger;
	LedgerAccount *accounts;
	LedgerResult result;
	int count;

	given[COL_POINTS] = given[COL_SOURCE] = given[COL_REFERENCE] = given[COL_OCCURRED_AT] = given[COL_DETAIL] = true;
	store_owner_begin(rel, &owner);
	ledger = ledger_open(rel);
	accounts = ledger_lock_entries(ledger, &entry, 1, &count);
	result = ledger_post(ledger, rel, accounts, entry, given, &found, &refusal);
	if (result == LEDGER_REFUSED)
		points_raise(&refusal);
	if (result == LEDGER_POSTED)
		ledger_write_accounts(ledger, accounts, count);
	else
		entry->seq = found.seq;
	store_owner_end(&owner);
	return result == LEDGER_POSTED;
}

/*
 * The entry of one side: arguments are entries, customer, other customer, program, other program, points, source, reference, as_of
 */
static PointsEntry *
read_side(FunctionCallInfo fcinfo, PointsKind kind)
{
	PointsEntry *entry = palloc0(sizeof(PointsEntry));

	for (int i = 0; i < 9; i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("a transfer of points needs all its arguments")));
	}
	entry->customer_id = PG_GETARG_INT64(1);
	entry->program = text_to_cstring(PG_GETARG_TEXT_PP(3));
	entry->kind = kind;
	entry->points = PG_GETARG_INT64(5);
	entry->source = text_to_cstring(PG_GETARG_TEXT_PP(6));
	entry->reference = text_to_cstring(PG_GETARG_TEXT_PP(7));
	entry->occurred_at = PG_GETARG_TIMESTAMPTZ(8);
	entry->expires_at = entry->available_at = POINTS_NO_TIME;
	entry->detail = psprintf("{\"program\": \"%s\", \"customer_id\": " INT64_FORMAT "}",
							 text_to_cstring(PG_GETARG_TEXT_PP(4)),
							 PG_GETARG_INT64(2));
	/* jsonb has one text form; entries are compared and hashed by it. */
	entry->detail = DatumGetCString(DirectFunctionCall1(jsonb_out, DirectFunctionCall1(jsonb_in, CStringGetDatum(entry->detail))));
	return entry;
}

/*
 * Take points out for another customer: see points_transfer_out in the kit
 */
PG_FUNCTION_INFO_V1(points_transfer_out);
Datum
points_transfer_out(PG_FUNCTION_ARGS)
{
	PointsEntry *entry = read_side(fcinfo, POINTS_TRANSFER_OUT);
	Relation rel = open_shard(PG_GETARG_OID(0));
	TupleDesc desc;
	Datum values[2];
	bool isnull[2] = {false, true};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (!PG_ARGISNULL(9))
	{
		bytea *digest = PG_GETARG_BYTEA_PP(9);

		if (VARSIZE_ANY_EXHDR(digest) != POINTS_HASH_SIZE)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("note_hash has 32 bytes")));
		entry->has_note = true;
		memcpy(entry->note_hash, VARDATA_ANY(digest), POINTS_HASH_SIZE);
	}
	if (post_side(rel, entry))
	{
		PointsLots lots = ledger_scale_lots(&entry->lots, entry->points, entry->points);

		values[1] = points_lots_datum(&lots);
		isnull[1] = false;
	}
	values[0] = Int64GetDatum(entry->seq);
	table_close(rel, NoLock);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, isnull)));
}

/*
 * Put points in that another customer gave: see points_transfer_in in the kit
 */
PG_FUNCTION_INFO_V1(points_transfer_in);
Datum
points_transfer_in(PG_FUNCTION_ARGS)
{
	PointsEntry *entry = read_side(fcinfo, POINTS_TRANSFER_IN);
	Relation rel;

	if (PG_ARGISNULL(9))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("a transfer of points needs all its arguments")));
	points_lots_read(PG_GETARG_DATUM(9), &entry->lots);
	rel = open_shard(PG_GETARG_OID(0));
	if (!post_side(rel, entry))
	{
		PointsRefusal refusal;

		ledger_refuse_difference(entry, "the other account", &refusal);
		points_raise(&refusal);
	}
	table_close(rel, NoLock);
	PG_RETURN_INT64(entry->seq);
}
