/*
 * Orders and points of customers who were merged: customer.merged_into says into whom.
 *
 * An order that moves between customers who are one person keeps the points where they were posted. What happens to it later
 * is booked there, at its home, with points that the customer of today lends and gets back by transfers.
 */
#include "points/order.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "base/store.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* A chain of merges is never so long; a circle would be. */
#define MAX_CHAIN 1000

/*
 * The table of customers beside purchase, or NULL when it has no merges
 */
static Relation
open_customers(Relation purchase, AttrNumber *id, AttrNumber *into)
{
	Oid relid = store_sibling_if_any(purchase, "customer");
	Relation customers;

	if (!OidIsValid(relid))
		return NULL;
	*id = get_attnum(relid, "customer_id");
	*into = get_attnum(relid, "merged_into");
	if (*id == InvalidAttrNumber || *into == InvalidAttrNumber || get_atttype(relid, *into) != INT8OID)
		return NULL;
	customers = table_open(relid, AccessShareLock);
	if (customers->rd_rel->relowner != purchase->rd_rel->relowner || customers->rd_rel->relkind != RELKIND_RELATION)
	{
		table_close(customers, AccessShareLock);
		return NULL;
	}
	return customers;
}

/*
 * Look customers up by one column and collect another that is not null
 */
static List *
look_up(Relation customers, AttrNumber by, int64 value, AttrNumber wanted, List *found)
{
	Oid index = ledger_find_index(customers, 1, &by);
	Snapshot snapshot = RegisterSnapshot(IsolationUsesXactSnapshot() ? GetTransactionSnapshot() : GetLatestSnapshot());
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, by, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(value));
	scan = systable_beginscan(customers, index, OidIsValid(index), snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool isnull;
		Datum datum = heap_getattr(tuple, wanted, RelationGetDescr(customers), &isnull);

		if (!isnull)
		{
			int64 *number = palloc(sizeof(int64));

			*number = DatumGetInt64(datum);
			found = lappend(found, number);
		}
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	return found;
}

/*
 * Were two customers merged into one?
 */
bool
order_same_person(Relation purchase, int64 a, int64 b)
{
	AttrNumber id;
	AttrNumber into;
	Relation customers = open_customers(purchase, &id, &into);
	int64 both[2] = {a, b};

	if (customers == NULL)
		return false;
	for (int i = 0; i < 2; i++)
	{
		for (int step = 0; step < MAX_CHAIN; step++)
		{
			List *next = look_up(customers, id, both[i], into, NIL);

			if (next == NIL)
				break;
			both[i] = *(int64 *) linitial(next);
		}
	}
	table_close(customers, NoLock);
	return both[0] == both[1];
}

/*
 * Customers who were merged into this one, at any remove: pointers to int64
 */
List *
order_merged_into(Relation purchase, int64 customer_id)
{
	AttrNumber id;
	AttrNumber into;
	Relation customers = open_customers(purchase, &id, &into);
	List *merged;

	if (customers == NULL)
		return NIL;
	merged = look_up(customers, into, customer_id, id, NIL);
	/* The list grows while it is walked. */
	for (int i = 0; i < list_length(merged) && i < MAX_CHAIN; i++)
		merged = look_up(customers, into, *(int64 *) list_nth(merged, i), id, merged);
	table_close(customers, NoLock);
	return merged;
}

/*
 * Text of the detail of a transfer, as jsonb writes it
 */
static char *
other_side(const LedgerAccount *other)
{
	StringInfoData detail;

	initStringInfo(&detail);
	appendStringInfoString(&detail, "{\"program\": ");
	escape_json(&detail, other->program);
	appendStringInfo(&detail, ", \"customer_id\": " INT64_FORMAT "}", other->customer_id);
	return DatumGetCString(DirectFunctionCall1(jsonb_out, DirectFunctionCall1(jsonb_in, CStringGetDatum(detail.data))));
}

static void
post_side(Ledger *ledger,
		  Relation entries,
		  LedgerAccount *account,
		  const LedgerAccount *other,
		  PointsKind kind,
		  int64 points,
		  const PointsLots *lots,
		  const char *source,
		  const char *reference,
		  PointsEntry **posted)
{
	PointsEntry *entry = palloc0(sizeof(PointsEntry));
	PointsEntry found;
	PointsRefusal refusal;
	bool given[LEDGER_COLUMNS] = {false};
	LedgerResult result;

	entry->customer_id = account->customer_id;
	entry->program = account->program;
	entry->kind = kind;
	entry->points = points;
	entry->source = source;
	entry->reference = reference;
	entry->expires_at = entry->available_at = POINTS_NO_TIME;
	entry->occurred_at = GetCurrentTransactionStartTimestamp();
	entry->detail = other_side(other);
	given[COL_POINTS] = given[COL_SOURCE] = given[COL_REFERENCE] = given[COL_OCCURRED_AT] = given[COL_DETAIL] = true;
	if (lots != NULL)
		entry->lots = points_lots_copy(lots);
	account->moving = true;
	result = ledger_post(ledger, entries, account, entry, given, &found, &refusal);
	account->moving = false;
	if (result == LEDGER_REPLAYED)
		ledger_refuse_difference(entry, "the other account", &refusal);
	if (result != LEDGER_POSTED)
		points_raise(&refusal);
	if (posted != NULL)
		*posted = entry;
}

/*
 * Move points, at most so many, from one locked account to another of the same program, with their expiry; a debt moves as a
 * pair of adjustments. Returns how many moved: less than zero for a debt.
 */
int64
order_move_points(Ledger *ledger,
				  Relation entries,
				  LedgerAccount *from,
				  LedgerAccount *to,
				  int64 most,
				  const char *source,
				  const char *reference)
{
	int64 points;
	PointsEntry *out;

	if (from == to || from->state.closed || to->state.closed)
		return 0;
	ledger_lapse(from, Max(GetCurrentTransactionStartTimestamp(), from->state.booked_at));
	points = Min(from->state.available, most);
	if (points > 0)
	{
		post_side(ledger, entries, from, to, POINTS_TRANSFER_OUT, points, NULL, source, reference, &out);
		post_side(ledger, entries, to, from, POINTS_TRANSFER_IN, points, &out->lots, source, reference, NULL);
	}
	else if (points < 0)
	{
		post_side(ledger, entries, from, to, POINTS_ADJUST, -points, NULL, source, reference, NULL);
		post_side(ledger, entries, to, from, POINTS_ADJUST, points, NULL, source, reference, NULL);
	}
	return points;
}

/*
 * Move points of a program between two customers: see points_move in the kit
 */
PG_FUNCTION_INFO_V1(points_move);
Datum
points_move(PG_FUNCTION_ARGS)
{
	Relation rel = table_open(PG_GETARG_OID(0), RowExclusiveLock);
	PointsEntry from = {.customer_id = PG_GETARG_INT64(1), .program = text_to_cstring(PG_GETARG_TEXT_PP(3))};
	PointsEntry to = {.customer_id = PG_GETARG_INT64(2), .program = from.program};
	PointsEntry *both[2] = {&from, &to};
	int64 most = PG_GETARG_INT64(4);
	char *source = text_to_cstring(PG_GETARG_TEXT_PP(5));
	char *reference = text_to_cstring(PG_GETARG_TEXT_PP(6));
	StoreOwner owner;
	Ledger *ledger;
	LedgerAccount *accounts;
	int count;
	int64 moved;

	if (!has_privs_of_role(GetUserId(), rel->rd_rel->relowner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for the points ledger \"%s\"", RelationGetRelationName(rel)),
				 errhint("Use the verbs of the store; they run as its owner.")));
	store_refuse_distributed(rel, "Two customers may be on two nodes; doc/citus.md says what to do instead.");
	store_owner_begin(rel, &owner);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ledger = ledger_open(rel);
	accounts = ledger_lock_entries(ledger, both, 2, &count);
	moved = order_move_points(ledger,
							  rel,
							  ledger_find_account(accounts, count, from.customer_id, from.program),
							  ledger_find_account(accounts, count, to.customer_id, to.program),
							  most,
							  source,
							  reference);
	ledger_write_accounts(ledger, accounts, count);
	SPI_finish();
	store_owner_end(&owner);
	table_close(rel, NoLock);
	PG_RETURN_INT64(moved);
}
