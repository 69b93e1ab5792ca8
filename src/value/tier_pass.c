#include "value/tier_pass.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/store.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "store/money.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "value/tier_writer.h"

#define FLUSH_EVERY 1000
#define COUNT_AT_ONCE 5000

bool
tier_pass_open(TierPass *pass, Oid purchase)
{
	Relation rel = table_open(purchase, AccessShareLock);
	Oid summary = InvalidOid;

	memset(pass, 0, sizeof(TierPass));
	pass->result = CurrentMemoryContext;
	pass->statement.purchase = rel;
	pass->in.statement = &pass->statement;
	pass->in.customer = &pass->customer;
	if (rel->rd_rel->relkind == RELKIND_RELATION && has_privs_of_role(GetUserId(), rel->rd_rel->relowner) &&
		!store_is_distributed(purchase))
		summary = store_sibling_if_any(rel, "customer_summary");
	if (!OidIsValid(summary))
		return false;
	store_check_shape(purchase, "purchase");
	pass->statement.customer_summary = summary;
	pass->in.rules = instant_rules(rel);
	return pass->in.rules->ntiers > 0;
}

void
tier_pass_close(TierPass *pass)
{
	table_close(pass->statement.purchase, AccessShareLock);
}

void
tier_pass_run(TierPass *pass, TierWork work, void *arg)
{
	StoreOwner owner;

	store_owner_begin(pass->statement.purchase, &owner);
	SPI_connect();
	pass->in.rules->users++;
	PG_TRY();
	{
		work(pass, arg);
	}
	PG_FINALLY();
	{
		pass->in.rules->users--;
	}
	PG_END_TRY();
	SPI_finish();
	store_owner_end(&owner);
}

bool
tier_pass_begin(TierPass *pass)
{
	Instant *in = &pass->in;

	/* Rule tags are none of its business. */
	memset(&in->store, 0, sizeof(InstantStore));
	in->store.rules = in->rules;
	in->store.purchase = pass->statement.purchase;
	in->store.context = CurrentMemoryContext;
	in->store.snapshot = RegisterSnapshot(GetTransactionSnapshot());
	in->store.many = true;
	customer_scan_open(&pass->summaries, pass->statement.customer_summary, in->store.snapshot);
	pass->statement.summary_desc = RelationGetDescr(pass->summaries.rel);
	pass->id_column = store_column(pass->summaries.rel, "customer_id");
	instant_begin(in);
	customer_scan_open(&in->store.members, in->rules->kept.tables[INSTANT_TABLE_MEMBER], in->store.snapshot);
	pass->each = AllocSetContextCreate(CurrentMemoryContext, "crm tiers of a customer", ALLOCSET_DEFAULT_SIZES);
	return pass->summaries.index != NULL && in->store.members.index != NULL;
}

void
tier_pass_end(TierPass *pass)
{
	instant_store_close(&pass->in.store);
	customer_scan_close(&pass->summaries);
	MemoryContextDelete(pass->each);
}

/*
 * Order of what begins with an id
 */
static int
compare_ids(const void *a, const void *b)
{
	int64 x = *(const int64 *)a;
	int64 y = *(const int64 *)b;

	return (x > y) - (x < y);
}

void
tier_pass_count_cut(TierPass *pass, TimestampTz at, int64 after_id, int64 last_id)
{
	static const Interval year = {.month = 12};
	TimestampTz year_start = rule_add_interval(at, &year, -1, pass->in.rules->zone);
	Datum values[5] = {TimestampTzGetDatum(year_start), TimestampTzGetDatum(at), Int64GetDatum(after_id), Int64GetDatum(last_id),
					   TimestampTzGetDatum(month_start(month_of(year_start) + 1))};
	MemoryContext caller = CurrentMemoryContext;
	bool isnull;

	PushActiveSnapshot(pass->in.store.snapshot);
	if (SPI_execute_with_args(
			store_query(pass->statement.purchase,
						"SELECT p.customer_id, pg_catalog.count(*), pg_catalog.sum(p.net) FROM @purchase p "
						"WHERE p.order_at OPERATOR(pg_catalog.>) $1 AND p.order_at OPERATOR(pg_catalog.<=) $2 "
						"AND p.order_at OPERATOR(pg_catalog.<) $5 AND p.customer_id OPERATOR(pg_catalog.>) $3 "
						"AND p.customer_id OPERATOR(pg_catalog.<=) $4 GROUP BY 1 ORDER BY 1"),
			5, (Oid[]){TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, INT8OID, TIMESTAMPTZOID}, values, "     ", true,
			0) != SPI_OK_SELECT)
		elog(ERROR, "counting the orders of a month failed");
	PopActiveSnapshot();
	MemoryContextSwitchTo(caller);
	pass->ncut = (int)SPI_processed;
	pass->cut = palloc_extended(sizeof(CutMonth) * Max(SPI_processed, 1), MCXT_ALLOC_HUGE);
	for (int i = 0; i < pass->ncut; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;

		pass->cut[i].customer_id = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
		pass->cut[i].orders = DatumGetInt64(SPI_getbinval(tuple, desc, 2, &isnull));
		pass->cut[i].spend = money_from_numeric(SPI_getbinval(tuple, desc, 3, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
	pass->cut_known = true;
}

bool
tier_pass_take(TierPass *pass, TupleTableSlot *row, TimestampTz at, Figures *f)
{
	Instant *in = &pass->in;
	bool isnull;

	pass->customer.customer_id = DatumGetInt64(slot_getattr(row, pass->id_column, &isnull));
	pass->customer.summary = ExecFetchSlotHeapTuple(row, false, NULL);
	instant_read_summary(in);
	if (in->summary[FIGURE_FIRST_ORDER_AT].isnull || in->summary[FIGURE_FIRST_ORDER_AT].low > at)
		return false;
	instant_figures(in, at, in->summary[FIGURE_LAST_ORDER_AT].low > at, f);
	if (!f->exact && pass->cut_known)
	{
		CutMonth *cut = bsearch(&pass->customer.customer_id, pass->cut, pass->ncut, sizeof(CutMonth), compare_ids);

		instant_add_cut(f, cut == NULL ? 0 : cut->orders, cut == NULL ? 0 : cut->spend);
	}
	return true;
}

/* A member, as far as a pass that only reads asks. */
typedef struct Standing
{
	int64 customer_id;
	int32 seq;
	int32 peak;
	TimestampTz since;
} Standing;

/*
 * All rows of a table with ids in (after_id, last_id], in the order in which they lie: begin, next
 */
static bool
next_in_range(TableScanDesc scan, TupleTableSlot *slot, AttrNumber id_column, int64 after_id, int64 last_id, int64 *customer_id)
{
	bool isnull;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		*customer_id = DatumGetInt64(slot_getattr(slot, id_column, &isnull));
		if (*customer_id > after_id && *customer_id <= last_id)
			return true;
	}
	return false;
}

/*
 * Read the members with ids in a range; ids ascend
 */
static Standing *
read_members(TierPass *pass, int64 after_id, int64 last_id, int *count)
{
	InstantRules *rules = pass->in.rules;
	CustomerScan *table = &pass->in.store.members;
	TupleTableSlot *slot = table->slot;
	AttrNumber id_column = store_column(table->rel, "customer_id");
	TableScanDesc scan = table_beginscan(table->rel, pass->in.store.snapshot, 0, NULL);
	int room = 1024;
	Standing *members = palloc(sizeof(Standing) * room);
	int64 customer_id;
	bool isnull;

	*count = 0;
	while (next_in_range(scan, slot, id_column, after_id, last_id, &customer_id))
	{
		Standing *member;

		if (*count == room)
			members = repalloc_huge(members, sizeof(Standing) * (Size)(room *= 2));
		member = &members[(*count)++];
		member->customer_id = customer_id;
		member->seq = instant_tier_seq(rules, DatumGetTextPP(slot_getattr(slot, rules->member.tier, &isnull)));
		member->peak = DatumGetInt32(slot_getattr(slot, rules->member.peak, &isnull));
		member->since = DatumGetTimestampTz(slot_getattr(slot, rules->member.since, &isnull));
	}
	table_endscan(scan);
	qsort(members, *count, sizeof(Standing), compare_ids);
	return members;
}

void
tier_pass_add(TierPass *pass, int64 customer_id)
{
	pass->found = accumArrayResult(pass->found, Int64GetDatum(customer_id), false, INT8OID, pass->result);
}

Datum
tier_pass_found(TierPass *pass)
{
	return pass->found == NULL ? PointerGetDatum(construct_empty_array(INT8OID))
							   : makeArrayResult(pass->found, pass->result);
}

/* What tiers_rise is asked. */
typedef struct Rising
{
	TimestampTz as_of;
	int64 after_id;
	int64 last_id;
	bool possible; /* the answer is known */
} Rising;

/*
 * Those whom a pass finds
 */
static void
find_rising(TierPass *pass, void *arg)
{
	Rising *rising = arg;
	TimestampTz as_of = rising->as_of;
	int64 after_id = rising->after_id;
	int64 last_id = rising->last_id;
	InstantRules *rules = pass->in.rules;
	Standing nobody = {.seq = rules->tiers[0].seq, .peak = rules->tiers[0].seq, .since = DT_NOBEGIN};
	Standing *members;
	int nmembers;
	int64 customer_id;
	MemoryContext caller;
	TableScanDesc scan;
	TupleTableSlot *slot;

	if (!tier_pass_begin(pass))
	{
		tier_pass_end(pass);
		return;
	}
	slot = pass->summaries.slot;
	tier_pass_count_cut(pass, as_of, after_id, last_id);
	members = read_members(pass, after_id, last_id, &nmembers);
	scan = table_beginscan(pass->summaries.rel, pass->in.store.snapshot, 0, NULL);
	caller = MemoryContextSwitchTo(pass->each);
	while (next_in_range(scan, slot, pass->id_column, after_id, last_id, &customer_id))
	{
		Figures figures;

		if (tier_pass_take(pass, slot, as_of, &figures) &&
			instant_lifting_condition(&pass->in, nobody.seq, PG_INT32_MIN, &figures, &figures) != NULL)
		{
			Standing *member = bsearch(&customer_id, members, nmembers, sizeof(Standing), compare_ids);

			if (member == NULL)
				member = &nobody;
			if (member->since <= as_of &&
				instant_lifting_condition(&pass->in, member->seq, member->peak, &figures, &figures) != NULL)
				tier_pass_add(pass, customer_id);
		}
		MemoryContextReset(pass->each);
	}
	MemoryContextSwitchTo(caller);
	table_endscan(scan);
	tier_pass_end(pass);
	if (pass->found != NULL)
		qsort(pass->found->dvalues, pass->found->nelems, sizeof(Datum), compare_ids);
	rising->possible = true;
}

/*
 * Whom the rules lift: see tiers_rise in the kit
 */
PG_FUNCTION_INFO_V1(tiers_rise);
Datum
tiers_rise(PG_FUNCTION_ARGS)
{
	TierPass pass;
	Rising rising = {
		.as_of = PG_GETARG_TIMESTAMPTZ(1), .after_id = PG_GETARG_INT64(2), .last_id = PG_GETARG_INT64(3)};

	if (tier_pass_open(&pass, PG_GETARG_OID(0)) && pass.in.rules->whole)
		tier_pass_run(&pass, find_rising, &rising);
	tier_pass_close(&pass);
	if (!rising.possible)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(tier_pass_found(&pass));
}

/*
 * Lift those who qualify; false for one whom SQL has to judge
 */
static bool
lift_one(TierPass *pass, int64 customer_id, TimestampTz as_of)
{
	InstantStore *store = &pass->in.store;
	InstantCondition *condition;
	MemberState member;
	Figures figures;
	Datum value;
	bool isnull;

	if (!customer_scan_find(&pass->summaries, customer_id))
		return true;
	if (!tier_pass_take(pass, pass->summaries.slot, as_of, &figures))
		return true;
	instant_member(store, customer_id, false, &member);
	if (member.since > as_of)
		return true;
	condition = instant_lifting_condition(&pass->in, member.seq, member.peak, &figures, &figures);
	if (condition == NULL)
		return true;
	value = instant_condition_value(&pass->in, &figures, condition, &isnull);
	if (!instant_lift_direct(store, customer_id, &member, as_of, condition, value, isnull))
		return false;
	pass->lifted++;
	return true;
}

/* What tiers_lift is asked. */
typedef struct Lifting
{
	int64 *ids;
	int count;
	TimestampTz as_of;
} Lifting;

static void
lift_all(TierPass *pass, void *arg)
{
	const Lifting *lifting = arg;
	const int64 *ids = lifting->ids;
	int count = lifting->count;
	TimestampTz as_of = lifting->as_of;
	bool possible = tier_pass_begin(pass) && tier_writer_possible(&pass->in.store);
	MemoryContext caller;

	/* Of very many it costs less to count that month at once, though for all customers. */
	if (possible && count >= COUNT_AT_ONCE)
		tier_pass_count_cut(pass, as_of, ids[0] - 1, ids[count - 1]);
	caller = MemoryContextSwitchTo(pass->each);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!possible || !lift_one(pass, ids[i], as_of))
			tier_pass_add(pass, ids[i]);
		if (i % FLUSH_EVERY == FLUSH_EVERY - 1)
		{
			instant_tiers_flush(&pass->in.store);
			MemoryContextReset(pass->each);
		}
	}
	instant_tiers_flush(&pass->in.store);
	MemoryContextSwitchTo(caller);
	tier_pass_end(pass);
	CommandCounterIncrement();
}

/*
 * Lift customers: see tiers_lift in the kit
 */
PG_FUNCTION_INFO_V1(tiers_lift);
Datum
tiers_lift(PG_FUNCTION_ARGS)
{
	ArrayType *customer_ids = PG_GETARG_ARRAYTYPE_P(1);
	Lifting lifting = {.as_of = PG_GETARG_TIMESTAMPTZ(2)};
	TierPass pass;
	TupleDesc desc;
	Datum values[2];
	bool nulls[2] = {false, false};

	if (ARR_NDIM(customer_ids) > 1 || array_contains_nulls(customer_ids))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("customer_ids must be one list of ids without nulls")));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "tiers_lift must be called for its row");
	lifting.ids = (int64 *)ARR_DATA_PTR(customer_ids);
	lifting.count = ArrayGetNItems(ARR_NDIM(customer_ids), ARR_DIMS(customer_ids));
	if (tier_pass_open(&pass, PG_GETARG_OID(0)) && pass.in.rules->whole)
	{
		tier_pass_run(&pass, lift_all, &lifting);
		values[1] = tier_pass_found(&pass);
	}
	else
		values[1] = PointerGetDatum(customer_ids);
	tier_pass_close(&pass);
	values[0] = Int64GetDatum(pass.lifted);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
