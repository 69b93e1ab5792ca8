/*
 * The order path: paid orders earn, completed ones make their points available, refunds claw back by the rule that the
 * earning keeps, cancelled ones give back the points that paid for them.
 *
 * An order is always brought to what the rule gives for the amount that is kept, whatever led there; so every order of
 * inserts, updates and refunds ends with the same points.
 */
#include "points/order.h"

#include "access/table.h"
#include "access/xact.h"
#include "base/store.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "store/money.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* The jobs of a statement. */
typedef struct Orders
{
	OrderPosting posting;
	List *jobs;
	int64 merged_of; /* the account that merged is of; 0: not looked up yet */
	List *merged;	 /* int64 *: customers who were merged into it */
} Orders;

static bool
cancelled(const PurchaseImage *image)
{
	return image == NULL || image->status == PURCHASE_CANCELLED;
}

/*
 * Whose account an order posts to
 */
static int64
account_of(const PurchaseImage *image, int64 customer_id)
{
	return image->points_customer != 0 ? image->points_customer : customer_id;
}

/*
 * Find an entry of the order without a lock: whoever posts one has the order locked
 */
static bool
find_entry(Orders *orders, const OrderJob *job, int64 customer_id, PointsKind kind, PointsEntry *found)
{
	LedgerAccount account = {.customer_id = customer_id, .program = job->key.program};

	/* Which of its entries are archived the account would say; where there is an archive at all, it is looked at. */
	if (ledger_archive_any(orders->posting.entries))
		account.archived = PG_INT64_MAX;

	return ledger_find_reference(
		orders->posting.ledger, orders->posting.entries, &account, kind, ORDER_SOURCE, job->reference, found);
}

static bool
has_redeemed(Orders *orders, const OrderJob *job, int64 customer_id)
{
	PointsEntry found;

	return find_entry(orders, job, customer_id, POINTS_REDEEM, &found) ||
		   find_entry(orders, job, customer_id, POINTS_CAPTURE, &found);
}

/*
 * The customers who were merged into the one of an account
 */
static List *
merged_into(Orders *orders, int64 account)
{
	if (orders->merged_of != account || account == 0)
	{
		orders->merged = order_merged_into(orders->posting.purchase, account);
		orders->merged_of = account;
	}
	return orders->merged;
}

/*
 * The moment by which rules are chosen: when the order counts
 */
static TimestampTz
moment_of(const OrderJob *job)
{
	const PurchaseImage *image = job->after != NULL && job->after->order_at != DT_NOBEGIN ? job->after : job->before;

	return image == NULL || image->order_at == DT_NOBEGIN ? GetCurrentTransactionStartTimestamp() : image->order_at;
}

static bool
holds(const OrderRule *rule, TimestampTz at)
{
	return rule->active && at >= rule->valid_from && at < rule->valid_until;
}

/*
 * The rule of a program: the first that holds, else the first
 */
static const OrderRule *
program_rule(List *rules, const char *program, TimestampTz at)
{
	const OrderRule *first = NULL;
	ListCell *cell;

	foreach (cell, rules)
	{
		const OrderRule *rule = lfirst(cell);

		if (strcmp(rule->program, program) != 0)
			continue;
		if (holds(rule, at))
			return rule;
		if (first == NULL)
			first = rule;
	}
	return first;
}

/*
 * Would an order that has not earned yet earn now? Then the job has the rule with the multipliers that hold.
 */
static bool
would_earn(Orders *orders, OrderJob *job, OrderFacts *facts)
{
	int64 amount = order_kept(job->after);
	const OrderRule *rule = job->rule;
	OrderLines *lines;

	if (!job->earns || amount <= 0)
		return false;
	if (rule->multipliers != NIL || (rule->redeemable && orders->posting.store->benefits != NIL))
		job->rule = rule = order_judge(orders->posting.store, orders->posting.purchase, rule, facts);
	lines = rule->marks == NIL ? NULL : order_lines(&orders->posting, job);
	return rule->carry ? order_micropoints(rule, amount, lines) > 0 : order_points(rule, amount, lines) > 0;
}

/*
 * Does a change concern a program? What is not concerned makes no account.
 */
static bool
concerned(Orders *orders, OrderJob *job, bool lines_changed, OrderFacts *facts)
{
	int64 before = order_kept(job->before);
	int64 after = order_kept(job->after);
	PointsEntry earn;

	if (before == after && !lines_changed)
		return order_completed(job->after) && !order_completed(job->before) && after != 0 &&
			   find_entry(orders, job, job->home.customer_id, POINTS_EARN, &earn) && earn.available_at == DT_NOEND;
	/* What was paid before has mostly earned; what was not mostly earns now. */
	if (before == 0 && would_earn(orders, job, facts))
		return true;
	if (job->before != NULL &&
		(find_entry(orders, job, job->home.customer_id, POINTS_EARN, &earn) || (job->rule->carried && order_carries(&orders->posting, job))))
		return true;
	return before != 0 && would_earn(orders, job, facts);
}

/*
 * The jobs of one order at one account
 */
static void
add_jobs(Orders *orders,
		 int64 account,
		 int64 customer_id,
		 const PurchaseImage *before,
		 const PurchaseImage *after,
		 bool moved,
		 bool lines_changed)
{
	const PurchaseImage *image = after != NULL ? after : before;
	OrderJob probe = {.customer_id = customer_id, .before = before, .after = after};
	List *rules = orders->posting.store->rules;
	OrderFacts facts = {0};
	ListCell *cell;

	/* What changes nothing that counts is not looked at further. */
	if (!lines_changed && order_kept(before) == order_kept(after) && (cancelled(before) || !cancelled(after)) &&
		(!order_completed(after) || order_completed(before)))
		return;
	facts.customer_id = account;
	facts.at = moment_of(&probe);
	foreach (cell, rules)
	{
		const OrderRule *rule = lfirst(cell);
		OrderJob *job;
		PointsEntry found;
		bool cancels;
		ListCell *other;

		if (rule != program_rule(rules, rule->program, facts.at))
			continue;
		job = palloc(sizeof(OrderJob));
		*job = probe;
		if (probe.reference == NULL)
			job->reference = probe.reference =
				psprintf("%s/%s", text_to_cstring(image->channel), text_to_cstring(image->order_no));
		job->key.customer_id = job->home.customer_id = job->spent.customer_id = account;
		job->key.program = job->home.program = job->spent.program = rule->program;
		job->rule = rule;
		job->earns = holds(rule, facts.at);
		cancels = before != NULL && cancelled(after) && !cancelled(before) && !moved;
		job->restore = cancels && has_redeemed(orders, job, account);
		/* Before a merge it may have been another account. */
		foreach (other, before != NULL ? merged_into(orders, account) : NIL)
		{
			int64 id = *(int64 *) lfirst(other);

			if (find_entry(orders, job, id, POINTS_EARN, &found))
				job->home.customer_id = id;
			if (cancels && has_redeemed(orders, job, id))
			{
				job->spent.customer_id = id;
				job->restore = true;
			}
		}
		if (!concerned(orders, job, lines_changed, &facts) && !job->restore)
			continue;
		orders->jobs = lappend(orders->jobs, job);
	}
}

/*
 * The jobs of a change: one account's, or two when the order goes from one to another
 */
static void
add_change(Orders *orders, int64 customer_id, const PurchaseChange *change)
{
	const PurchaseImage *before = change->before;
	const PurchaseImage *after = change->after;
	int64 was = before != NULL ? account_of(before, customer_id) : 0;
	int64 is = after != NULL ? account_of(after, customer_id) : was;
	int64 other = change->moved_to + change->moved_from; /* one of them is 0 */

	/* Merged, not sold: the points stay where they are. */
	if (other != 0 && order_same_person(orders->posting.purchase, customer_id, other))
		return;
	if (change->moved_to != 0)
	{
		/* At whom it left; what stays in the account is looked at where it goes. */
		if (was != account_of(change->other, change->moved_to))
			add_jobs(orders, was, customer_id, before, NULL, true, false);
		return;
	}
	if (change->moved_from != 0 && is == account_of(change->other, change->moved_from))
		add_jobs(orders, is, customer_id, change->other, after, true, false);
	else if (before != NULL && after != NULL && was != is)
	{
		add_jobs(orders, was, customer_id, before, NULL, true, false);
		add_jobs(orders, is, customer_id, NULL, after, true, false);
	}
	else
		add_jobs(orders, is, customer_id, before, after, change->moved_from != 0, false);
}

/*
 * Do the jobs: accounts are locked in order, and each is written once
 */
static void
do_jobs(Orders *orders)
{
	OrderPosting *posting = &orders->posting;
	PointsEntry **keys;
	int n = 0;
	ListCell *cell;

	if (orders->jobs == NIL)
		return;
	keys = palloc(sizeof(PointsEntry *) * list_length(orders->jobs) * 3);
	foreach (cell, orders->jobs)
	{
		OrderJob *job = lfirst(cell);

		keys[n++] = &job->key;
		if (job->home.customer_id != job->key.customer_id)
			keys[n++] = &job->home;
		if (job->spent.customer_id != job->key.customer_id)
			keys[n++] = &job->spent;
	}
	posting->accounts = ledger_lock_entries(posting->ledger, keys, n, &posting->count);
	foreach (cell, orders->jobs)
	{
		CHECK_FOR_INTERRUPTS();
		order_do(posting, lfirst(cell));
	}
	ledger_write_accounts(posting->ledger, posting->accounts, posting->count);
}

/*
 * The consumer: is there a rule for orders, or a program that one may have given points of?
 */
bool
points_wants_orders(Relation purchase)
{
	return order_rules(purchase)->rules != NIL;
}

/*
 * The consumer: the orders of a statement
 */
void
points_take_orders(PurchaseStatement *statement)
{
	OrderRules *store = order_rules(statement->purchase);
	Relation entries = table_open(store->entries, RowExclusiveLock);
	Orders orders = {.posting = {.store = store, .purchase = statement->purchase, .entries = entries}};

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	orders.posting.ledger = ledger_open(entries);
	for (int c = 0; c < statement->ncustomers; c++)
	{
		PurchaseCustomer *customer = &statement->customers[c];

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < customer->nchanges; i++)
			add_change(&orders, customer->customer_id, &customer->changes[i]);
	}
	do_jobs(&orders);
	SPI_finish();
	table_close(entries, NoLock);
}

/* Keys of orders: customer_id, channel, order_no. */
typedef struct OrderKeys
{
	Datum *column[3];
	int count;
	int room;
} OrderKeys;

static void
add_key(OrderKeys *keys, const AttrNumber *numbers, TupleTableSlot *slot)
{
	if (keys->count == keys->room)
	{
		keys->room = Max(keys->room * 2, 64);
		for (int i = 0; i < 3; i++)
			keys->column[i] = keys->column[i] == NULL ? palloc(sizeof(Datum) * keys->room)
													  : repalloc_huge(keys->column[i], sizeof(Datum) * keys->room);
	}
	for (int i = 0; i < 3; i++)
	{
		bool isnull;
		Datum value = slot_getattr(slot, numbers[i], &isnull);

		keys->column[i][keys->count] = i == 0 ? value : PointerGetDatum(DatumGetTextPCopy(value));
	}
	keys->count++;
}

/*
 * The orders whose rows a statement changed; those that went to another customer are left to the trigger of purchase
 */
static void
read_keys(TriggerData *trigger, OrderKeys *keys)
{
	static const char *const names[3] = {"customer_id", "channel", "order_no"};
	Relation rel = trigger->tg_relation;
	Tuplestorestate *stores[2] = {trigger->tg_oldtable, trigger->tg_newtable};
	TupleTableSlot *slots[2] = {NULL, NULL};
	AttrNumber numbers[3];
	bool more = true;

	/* What names an order, in whichever table. */
	store_check_shape(RelationGetRelid(rel), "purchase_number");
	for (int i = 0; i < 3; i++)
		numbers[i] = store_column(rel, names[i]);
	for (int i = 0; i < 2; i++)
	{
		if (stores[i] == NULL)
			continue;
		slots[i] = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsMinimalTuple);
		tuplestore_select_read_pointer(stores[i], 0);
		tuplestore_rescan(stores[i]);
	}
	for (;;)
	{
		bool isnull;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < 2; i++)
			more &= slots[i] == NULL || tuplestore_gettupleslot(stores[i], true, false, slots[i]);
		if (!more)
			break;
		if (slots[0] != NULL && slots[1] != NULL &&
			slot_getattr(slots[0], numbers[0], &isnull) != slot_getattr(slots[1], numbers[0], &isnull))
			continue;
		for (int i = 0; i < 2; i++)
		{
			if (slots[i] != NULL)
				add_key(keys, numbers, slots[i]);
		}
	}
	for (int i = 0; i < 2; i++)
	{
		if (slots[i] != NULL)
			ExecDropSingleTupleTableSlot(slots[i]);
	}
}

/*
 * The status of a word of purchase
 */
static PurchaseStatus
status_of(const char *word)
{
	static const char *const words[] = {"pending", "paid", "shipped", "completed", "cancelled", "refunded"};

	for (int i = 0; i < lengthof(words); i++)
	{
		if (strcmp(words[i], word) == 0)
			return (PurchaseStatus) i;
	}
	return PURCHASE_PENDING;
}

/*
 * The order of a row of the query below
 */
static PurchaseImage *
image_of(HeapTuple row, TupleDesc desc)
{
	PurchaseImage *image = palloc0(sizeof(PurchaseImage));
	bool isnull;
	Datum value;

	image->channel = DatumGetTextPCopy(SPI_getbinval(row, desc, 2, &isnull));
	image->order_no = DatumGetTextPCopy(SPI_getbinval(row, desc, 3, &isnull));
	image->status = status_of(TextDatumGetCString(SPI_getbinval(row, desc, 4, &isnull)));
	image->history = DatumGetBool(SPI_getbinval(row, desc, 5, &isnull));
	image->amount = money_from_numeric(SPI_getbinval(row, desc, 6, &isnull));
	image->net = money_from_numeric(SPI_getbinval(row, desc, 7, &isnull));
	value = SPI_getbinval(row, desc, 8, &isnull);
	image->order_at = isnull ? DT_NOBEGIN : DatumGetTimestampTz(value);
	value = SPI_getbinval(row, desc, 9, &isnull);
	image->completed_at = isnull ? DT_NOBEGIN : DatumGetTimestampTz(value);
	value = SPI_getbinval(row, desc, 10, &isnull);
	image->points_customer = isnull ? 0 : DatumGetInt64(value);
	return image;
}

/*
 * Settle the orders whose lines, or refunds of lines, changed
 */
static void
take_lines(Relation purchase, OrderRules *store, const OrderKeys *keys)
{
	static const Oid types[3] = {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID};
	Relation entries = table_open(store->entries, RowExclusiveLock);
	Orders orders = {.posting = {.store = store, .purchase = purchase, .entries = entries}};
	MemoryContext caller = CurrentMemoryContext;
	Datum arrays[3];
	SPITupleTable *rows;
	uint64 n;

	arrays[0] = PointerGetDatum(construct_array(keys->column[0], keys->count, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	for (int i = 1; i < 3; i++)
		arrays[i] = PointerGetDatum(construct_array(keys->column[i], keys->count, TEXTOID, -1, false, TYPALIGN_INT));
	if (store->orders == NULL || !SPI_plan_is_valid(store->orders))
		/* The summaries first, as orders do, so that the two never wait for each other in a circle. */
		order_plan(&store->orders,
				   psprintf("SELECT p.customer_id, p.channel, p.order_no, p.status, p.history, p.amount, p.net, p.order_at, "
							"p.completed_at, p.points_customer FROM %s s JOIN %s p ON p.customer_id = s.customer_id "
							"JOIN (SELECT DISTINCT * FROM ROWS FROM (unnest($1), unnest($2), unnest($3)) "
							"u (customer_id, channel, order_no)) k ON k.customer_id = p.customer_id AND k.channel = p.channel "
							"AND k.order_no = p.order_no ORDER BY p.customer_id FOR NO KEY UPDATE OF s",
							store_qualified_name(store_referenced_table(purchase, "customer_summary")),
							store_qualified_name(RelationGetRelid(purchase))),
				   3,
				   types);
	if (SPI_execute_plan(store->orders, arrays, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the orders of lines");
	MemoryContextSwitchTo(caller);
	rows = SPI_tuptable;
	n = SPI_processed;
	orders.posting.ledger = ledger_open(entries);
	for (uint64 i = 0; i < n; i++)
	{
		bool isnull;
		PurchaseImage *image = image_of(rows->vals[i], rows->tupdesc);
		int64 customer_id = DatumGetInt64(SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull));

		CHECK_FOR_INTERRUPTS();
		if (order_kept(image) > 0)
			add_jobs(&orders, account_of(image, customer_id), customer_id, image, image, false, true);
	}
	do_jobs(&orders);
	table_close(entries, NoLock);
}

/*
 * Statement trigger of purchase_item and purchase_refund: see points_lines_changed in the kit
 */
PG_FUNCTION_INFO_V1(points_lines_changed);
Datum
points_lines_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Relation purchase;
	OrderRules *store;
	StoreOwner owner;
	MemoryContext caller = CurrentMemoryContext;
	OrderKeys keys = {0};
	Oid relid;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) ||
		!TRIGGER_FIRED_AFTER(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("points_lines_changed() must be a trigger AFTER a statement")));
	relid = store_referenced_table(trigger->tg_relation, "purchase");
	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s\" has no foreign key to purchase", RelationGetRelationName(trigger->tg_relation))));
	purchase = table_open(relid, AccessShareLock);
	store_owner_begin(trigger->tg_relation, &owner);
	store = order_rules(purchase);
	/* Where no rule asks for lines, they change nothing. */
	if (store->rules != NIL && store->marks)
	{
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		read_keys(trigger, &keys);
		if (keys.count > 0)
			take_lines(purchase, store, &keys);
		SPI_finish();
	}
	store_owner_end(&owner);
	table_close(purchase, NoLock);
	MemoryContextSwitchTo(caller);
	return PointerGetDatum(NULL);
}
