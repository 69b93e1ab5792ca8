#include "store/purchase.h"

#include "base/store.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/partition.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "store/money.h"
#include "store/purchase_image.h"
#include "store/purchase_number.h"
#include "store/purchase_summary.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

/* Consumers get so many customers and, unless one customer has more, so many changes at a time: memory stays flat. */
#define PART_CUSTOMERS 16384
#define PART_CHANGES 65536

/* Where a customer's delta stands in the array. */
typedef struct DeltaEntry
{
	int64 customer_id;
	uint32 position;
	char status;
} DeltaEntry;

#define SH_PREFIX delta
#define SH_ELEMENT_TYPE DeltaEntry
#define SH_KEY_TYPE int64
#define SH_KEY customer_id
#define SH_HASH_KEY(tb, key) murmurhash32((uint32) (key) ^ (uint32) ((uint64) (key) >> 32))
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct StatementState
{
	Relation rel;
	PurchaseTable *table;
	Tuplestorestate *before; /* NULL for an INSERT */
	Tuplestorestate *after;	 /* NULL for a DELETE */
	int before_pointer;
	int after_pointer;
	TupleTableSlot *before_slot;
	TupleTableSlot *after_slot;
	PurchaseNumbers *numbers; /* NULL while purchase is one table */
	CustomerDelta *deltas;
	uint32 ndeltas;
	uint32 room;
	delta_hash *positions; /* NULL while there is one customer only */
	char *currency;		   /* the store's, once a row needed it */
} StatementState;

/*
 * Raise unless the currency of a row without a rate is the store's
 */
static void
check_currency(StatementState *state, TupleTableSlot *slot)
{
	PurchaseColumns *c = &state->table->columns;
	bool isnull;
	Datum value = slot_getattr(slot, c->currency, &isnull);
	char *currency;

	if (isnull)
		return;
	(void) slot_getattr(slot, c->currency_rate, &isnull);
	if (!isnull)
		return;
	currency = TextDatumGetCString(value);
	if (state->currency == NULL)
	{
		char *sql = psprintf("SELECT currency FROM %s", store_qualified_name(store_sibling_table(state->rel, "settings")));

		if (SPI_execute(sql, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the store has no settings"),
					 errhint("Restore the row of settings, or make the store with seed => true.")));
		state->currency = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	}
	if (strcmp(currency, state->currency) != 0)
		ereport(ERROR,
				(errcode(MAKE_SQLSTATE('C', 'O', '0', '0', '2')),
				 errmsg("order \"%s\" is in %s, but the currency of the store is %s",
						TextDatumGetCString(slot_getattr(slot, c->order_no, &isnull)),
						currency,
						state->currency),
				 errhint("set_currency_rate('%s', day, rate) lets the store convert such orders.", currency)));
}

/*
 * The delta of a customer
 */
static CustomerDelta *
delta_of(StatementState *state, int64 customer_id)
{
	CustomerDelta *delta;
	DeltaEntry *entry;
	bool found;

	if (state->ndeltas > 0 && state->deltas[state->ndeltas - 1].customer_id == customer_id)
		return &state->deltas[state->ndeltas - 1];
	if (state->ndeltas > 0)
	{
		if (state->positions == NULL)
		{
			state->positions = delta_create(CurrentMemoryContext, 256, NULL);
			entry = delta_insert(state->positions, state->deltas[0].customer_id, &found);
			entry->position = 0;
		}
		entry = delta_insert(state->positions, customer_id, &found);
		if (found)
			return &state->deltas[entry->position];
		entry->position = state->ndeltas;
	}
	if (state->ndeltas == state->room)
	{
		state->room = state->room == 0 ? 1 : state->room * 2;
		state->deltas = state->deltas == NULL
							? palloc(state->room * sizeof(CustomerDelta))
							: repalloc_huge(state->deltas, (Size) state->room * sizeof(CustomerDelta));
	}
	delta = &state->deltas[state->ndeltas++];
	memset(delta, 0, sizeof(CustomerDelta));
	delta->customer_id = customer_id;
	delta->first = delta->lost_first = DT_NOEND;
	delta->last = delta->lost_last = DT_NOBEGIN;
	return delta;
}

/*
 * Add a row's sums to its customer, or take them away
 */
static void
delta_apply(CustomerDelta *delta, const OrderRow *row, int sign)
{
	delta->refunded = money_add(delta->refunded, sign * row->refunded);
	if (!row->counts)
		return;
	delta->orders += sign;
	delta->spend = money_add(delta->spend, sign * row->net);
	delta->discount = money_add(delta->discount, sign * row->discount);
	delta->cost = money_add(delta->cost, sign * row->cost);
	if (delta->nmonths == delta->room)
	{
		delta->room = delta->room == 0 ? 2 : delta->room * 2;
		delta->months = delta->months == NULL ? palloc(delta->room * sizeof(MonthBucket))
											  : repalloc(delta->months, delta->room * sizeof(MonthBucket));
	}
	delta->nmonths += months_put(delta->months, delta->nmonths, month_of(row->order_at), sign, sign * row->net);
}

/*
 * Note that an order came
 */
static void
delta_came(CustomerDelta *delta, const OrderRow *row)
{
	if (!row->counts)
		return;
	delta->first = Min(delta->first, row->order_at);
	delta->last = Max(delta->last, row->order_at);
}

/*
 * Note that an order went
 */
static void
delta_went(CustomerDelta *delta, const OrderRow *row)
{
	if (!row->counts)
		return;
	delta->lost_first = Min(delta->lost_first, row->order_at);
	delta->lost_last = Max(delta->lost_last, row->order_at);
}

/*
 * Begin to read the transition tables
 */
static void
rows_begin(StatementState *state)
{
	if (state->before != NULL)
	{
		tuplestore_select_read_pointer(state->before, state->before_pointer);
		tuplestore_rescan(state->before);
	}
	if (state->after != NULL)
	{
		tuplestore_select_read_pointer(state->after, state->after_pointer);
		tuplestore_rescan(state->after);
	}
}

/*
 * Next row: its image before and after, which the executor stored in step
 */
static bool
rows_next(StatementState *state, TupleTableSlot **before, TupleTableSlot **after)
{
	bool more = true;

	CHECK_FOR_INTERRUPTS();
	*before = NULL;
	*after = NULL;
	if (state->before != NULL)
	{
		more = tuplestore_gettupleslot(state->before, true, false, state->before_slot);
		*before = state->before_slot;
	}
	if (state->after != NULL)
	{
		bool more_after = tuplestore_gettupleslot(state->after, true, false, state->after_slot);

		if (state->before != NULL && more != more_after)
			elog(ERROR, "transition tables of table \"%s\" differ in length", RelationGetRelationName(state->rel));
		more = more_after;
		*after = state->after_slot;
	}
	return more;
}

/*
 * Sum up the statement by customer
 */
static void
sum_up(StatementState *state)
{
	TupleTableSlot *before;
	TupleTableSlot *after;

	rows_begin(state);
	while (rows_next(state, &before, &after))
	{
		OrderRow was = {0};
		OrderRow is = {0};
		CustomerDelta *delta = NULL;
		bool same;

		if (state->numbers != NULL)
			purchase_numbers_add(state->numbers, &state->table->columns, before, after);
		if (before != NULL)
			purchase_read_row(&state->table->columns, before, &was);
		if (after != NULL)
		{
			check_currency(state, after);
			purchase_read_row(&state->table->columns, after, &is);
		}
		/* Only an order that came, went or changed its moment can move the first or last of its customer. */
		same = before != NULL && after != NULL && was.customer_id == is.customer_id && was.counts == is.counts &&
			   was.order_at == is.order_at;
		if (before != NULL)
		{
			delta = delta_of(state, was.customer_id);
			delta_apply(delta, &was, -1);
			if (!same)
				delta_went(delta, &was);
			delta->changes++;
		}
		if (after != NULL)
		{
			if (before == NULL || was.customer_id != is.customer_id)
			{
				delta = delta_of(state, is.customer_id);
				delta->changes++;
			}
			delta_apply(delta, &is, 1);
			if (!same)
				delta_came(delta, &is);
		}
	}
}

/*
 * Order of deltas: by customer
 */
static int
delta_order(const void *a, const void *b)
{
	int64 ca = ((const CustomerDelta *) a)->customer_id;
	int64 cb = ((const CustomerDelta *) b)->customer_id;

	return (ca > cb) - (ca < cb);
}

/*
 * The customer of this id among those of the part; NULL when it is of another part
 */
static PurchaseCustomer *
customer_of(PurchaseStatement *part, int64 customer_id)
{
	int low = 0;
	int high = part->ncustomers - 1;

	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (part->customers[middle].customer_id < customer_id)
			low = middle + 1;
		else
			high = middle;
	}
	return part->customers[low].customer_id == customer_id ? &part->customers[low] : NULL;
}

/*
 * Next free change of a customer
 */
static PurchaseChange *
change_add(PurchaseCustomer *customer)
{
	PurchaseChange *change = &customer->changes[customer->nchanges++];

	memset(change, 0, sizeof(PurchaseChange));
	return change;
}

/*
 * Gather the changes of a part's customers
 */
static void
gather_changes(StatementState *state, PurchaseStatement *part)
{
	PurchaseColumns *c = &state->table->columns;
	TupleTableSlot *before;
	TupleTableSlot *after;

	rows_begin(state);
	while (rows_next(state, &before, &after))
	{
		bool isnull;
		int64 was = before != NULL ? DatumGetInt64(slot_getattr(before, c->customer_id, &isnull)) : 0;
		int64 is = after != NULL ? DatumGetInt64(slot_getattr(after, c->customer_id, &isnull)) : was;
		bool moved = before != NULL && was != is;
		PurchaseCustomer *customer;

		if (moved && (customer = customer_of(part, was)) != NULL)
		{
			PurchaseChange *change = change_add(customer);

			change->before = purchase_image(c, before);
			change->other = purchase_image(c, after);
			change->moved_to = is;
		}
		if ((customer = customer_of(part, is)) != NULL)
		{
			PurchaseChange *change = change_add(customer);

			if (moved)
			{
				change->moved_from = was;
				change->other = purchase_image(c, before);
			}
			else if (before != NULL)
				change->before = purchase_image(c, before);
			if (after != NULL)
				change->after = purchase_image(c, after);
		}
	}
}

/*
 * Write the summaries of a part and tell the consumers
 */
static void
do_part(StatementState *state, CustomerDelta *deltas, int count, const bool *wanted, MemoryContext context)
{
	PurchaseStatement part = {0};
	PurchaseChange *changes;
	int64 nchanges = 0;
	int i;

	if (wanted == NULL)
	{
		(void) summaries_write(state->table, state->rel, deltas, count, NULL, context);
		return;
	}
	for (i = 0; i < count; i++)
		nchanges += deltas[i].changes;
	part.purchase = state->rel;
	part.customer_summary = state->table->customer_summary;
	part.context = context;
	part.customers = palloc0_array(PurchaseCustomer, count);
	part.ncustomers = count;
	changes = MemoryContextAllocHuge(context, (Size) nchanges * sizeof(PurchaseChange));
	for (i = 0; i < count; i++)
	{
		part.customers[i].customer_id = deltas[i].customer_id;
		part.customers[i].changes = changes;
		changes += deltas[i].changes;
	}
	part.summary_desc = summaries_write(state->table, state->rel, deltas, count, part.customers, context);
	gather_changes(state, &part);
	for (i = 0; purchase_consumers[i].name != NULL; i++)
	{
		if (wanted[i])
		{
			purchase_consumers[i].orders(&part);
			MemoryContextSwitchTo(context);
		}
	}
}

/*
 * Which consumers have work; NULL when none has
 */
static bool *
consumers_wanted(Relation rel)
{
	bool *wanted;
	bool any = false;
	int n = 0;
	int i;

	while (purchase_consumers[n].name != NULL)
		n++;
	wanted = palloc0(n + 1);
	for (i = 0; i < n; i++)
		any |= wanted[i] = purchase_consumers[i].wants(rel);
	return any ? wanted : NULL;
}

/*
 * Refuse TRUNCATE, which shows no rows
 */
static void
refuse_truncate(Relation rel)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot truncate table \"%s\"", RelationGetRelationName(rel)),
			 errdetail("customer_summary would no longer add up to its orders."),
			 errhint("DELETE the rows; or disable the trigger, truncate, enable it and run recount_customers(fix => true).")));
}

/*
 * Statement trigger of purchase: bring customer_summary up to date and tell points and value
 */
PG_FUNCTION_INFO_V1(purchase_changed);
Datum
purchase_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	StatementState state = {0};
	Tuplestorestate *rows;
	MemoryContext context;
	MemoryContext part_context;
	MemoryContext old;
	StoreOwner owner;
	bool *wanted;
	uint32 start;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("purchase_changed() must be a statement trigger")));
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		refuse_truncate(trigger->tg_relation);
	state.before = trigger->tg_oldtable;
	state.after = trigger->tg_newtable;
	if (!TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		(state.before == NULL) != (TRIGGER_FIRED_BY_INSERT(trigger->tg_event) != 0) ||
		(state.after == NULL) != (TRIGGER_FIRED_BY_DELETE(trigger->tg_event) != 0))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" needs its transition tables", trigger->tg_trigger->tgname),
				 errhint("Create it AFTER the statement, with REFERENCING OLD TABLE and NEW TABLE as they apply.")));

	rows = state.after != NULL ? state.after : state.before;
	if (tuplestore_tuple_count(rows) == 0)
		PG_RETURN_POINTER(NULL);

	/* A statement that names a partition is one on the whole; purchase_table() sees to it that their columns are the same. */
	state.rel = trigger->tg_relation;
	if (state.rel->rd_rel->relispartition)
		state.rel = table_open(llast_oid(get_partition_ancestors(RelationGetRelid(state.rel))), AccessShareLock);
	store_owner_begin(state.rel, &owner);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	context = AllocSetContextCreate(CurrentMemoryContext, "crm purchase statement", ALLOCSET_DEFAULT_SIZES);
	part_context = AllocSetContextCreate(context, "crm purchase part", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);

	state.table = purchase_table(state.rel);
	state.numbers = purchase_numbers_begin(state.rel);
	if (state.before != NULL)
	{
		state.before_pointer = tuplestore_alloc_read_pointer(state.before, EXEC_FLAG_REWIND);
		state.before_slot = MakeSingleTupleTableSlot(RelationGetDescr(state.rel), &TTSOpsMinimalTuple);
	}
	if (state.after != NULL)
	{
		state.after_pointer = tuplestore_alloc_read_pointer(state.after, EXEC_FLAG_REWIND);
		state.after_slot = MakeSingleTupleTableSlot(RelationGetDescr(state.rel), &TTSOpsMinimalTuple);
	}
	sum_up(&state);
	if (state.numbers != NULL)
		purchase_numbers_write(state.numbers);
	/* By customer, so that two statements never wait for each other's customers in a circle. */
	if (state.ndeltas > 1)
		qsort(state.deltas, state.ndeltas, sizeof(CustomerDelta), delta_order);
	wanted = consumers_wanted(state.rel);

	for (start = 0; start < state.ndeltas;)
	{
		uint32 end = start;
		int64 changes = 0;

		do
			changes += state.deltas[end++].changes;
		while (end < state.ndeltas && end - start < PART_CUSTOMERS &&
			   (wanted == NULL || changes + state.deltas[end].changes <= PART_CHANGES));
		MemoryContextSwitchTo(part_context);
		do_part(&state, state.deltas + start, (int) (end - start), wanted, part_context);
		MemoryContextSwitchTo(context);
		MemoryContextReset(part_context);
		start = end;
	}

	if (state.before_slot != NULL)
		ExecDropSingleTupleTableSlot(state.before_slot);
	if (state.after_slot != NULL)
		ExecDropSingleTupleTableSlot(state.after_slot);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	SPI_finish();
	store_owner_end(&owner);
	if (state.rel != trigger->tg_relation)
		table_close(state.rel, NoLock);
	PG_RETURN_POINTER(NULL);
}
