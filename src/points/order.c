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
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* One change that concerns one program. */
typedef struct Job
{
	PointsEntry key; /* customer_id and program, for locking */
	PointsEntry home;  /* where the order's points were posted, before a merge maybe */
	PointsEntry spent; /* where those redeemed for it were */
	const OrderRule *rule;
	const PurchaseChange *change;
	bool earns;	  /* the rule holds: an order that did not earn yet may do so */
	bool restores; /* give back what was redeemed for the order */
} Job;

/*
 * Amount of an order that is kept and earns
 */
static int64
kept(const PurchaseImage *image)
{
	return image == NULL || image->history || image->order_at == DT_NOBEGIN ? 0 : image->net;
}

static bool
completed(const PurchaseImage *image)
{
	return image != NULL && image->status == PURCHASE_COMPLETED;
}

static bool
cancelled(const PurchaseImage *image)
{
	return image == NULL || image->status == PURCHASE_CANCELLED;
}

/*
 * A moment of an order, but never one to come
 */
static TimestampTz
past(TimestampTz moment)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();

	return moment == DT_NOBEGIN ? now : Min(moment, now);
}

static PointsEntry *
make_entry(const LedgerAccount *account, PointsKind kind, const char *reference, TimestampTz at, bool *given)
{
	PointsEntry *entry = palloc0(sizeof(PointsEntry));

	memset(given, 0, sizeof(bool) * LEDGER_COLUMNS);
	entry->customer_id = account->customer_id;
	entry->program = account->program;
	entry->kind = kind;
	entry->source = ORDER_SOURCE;
	entry->reference = reference;
	entry->expires_at = entry->available_at = POINTS_NO_TIME;
	entry->occurred_at = at;
	given[COL_POINTS] = given[COL_SOURCE] = given[COL_REFERENCE] = given[COL_OCCURRED_AT] = true;
	return entry;
}

/*
 * Post an entry of the order; a closed account is passed over, so that orders go on
 */
static void
post(Ledger *ledger, Relation entries, LedgerAccount *account, PointsEntry *entry, bool *given)
{
	PointsEntry found;
	PointsRefusal refusal;
	LedgerResult result;

	if (account->state.closed)
		return;
	result = ledger_post(ledger, entries, account, entry, given, &found, &refusal);
	if (result == LEDGER_REFUSED)
		points_raise(&refusal);
}

/*
 * A reference that was not used before in this account
 */
static char *
further(const LedgerAccount *account, const char *reference)
{
	return psprintf("%s#" INT64_FORMAT, reference, account->state.seq + 1);
}

/*
 * When points of an order become available: POINTS_NO_TIME at once, infinity when it is completed
 */
static TimestampTz
available_at(const OrderRule *rule, const PurchaseImage *image)
{
	TimestampTz from;

	if (!rule->on_paid && !completed(image))
		return DT_NOEND;
	if (rule->wait_days == 0)
		return POINTS_NO_TIME;
	from = past(rule->on_paid ? image->order_at : image->completed_at);
	return from + rule->wait_days * USECS_PER_DAY;
}

/*
 * Bring the points of an order in one program to what its rule gives
 */
static void
settle(Ledger *ledger, Relation entries, LedgerAccount *account, LedgerAccount *payer, const Job *job, const char *reference)
{
	const PurchaseImage *after = job->change->after;
	int64 amount = kept(after);
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	List *earns = NIL;
	OrderRule rule = *job->rule;
	int64 wanted;
	int64 have = 0;
	int64 *left;
	bool *waits;
	bool given[LEDGER_COLUMNS];
	int i = 0;
	ListCell *cell;

	if (account->state.seq > 0)
		earns = ledger_find_family(ledger, entries, account, POINTS_EARN, ORDER_SOURCE, reference);
	/* An order that earned keeps the rule it earned by. */
	if (earns != NIL)
		(void) order_rule_stored(linitial(earns), &rule);
	else if (!job->earns)
		return;
	wanted = order_rule_points(&rule, amount);

	left = palloc0(sizeof(int64) * Max(list_length(earns), 1));
	waits = palloc0(sizeof(bool) * Max(list_length(earns), 1));
	foreach (cell, earns)
	{
		PointsEntry *earn = lfirst(cell);
		int64 reversed;
		TimestampTz since;

		ledger_reversals(ledger, entries, account, earn, 0, &reversed, &since);
		left[i] = earn->points - reversed;
		waits[i] = since > now;
		have += left[i++];
	}
	if (wanted > have)
	{
		PointsEntry *earn = make_entry(
			account, POINTS_EARN, earns == NIL ? reference : further(account, reference), past(after->order_at), given);

		earn->points = wanted - have;
		earn->detail = order_rule_detail(&rule, amount);
		earn->available_at = available_at(job->rule, after);
		given[COL_AVAILABLE_AT] = earn->available_at != POINTS_NO_TIME;
		given[COL_DETAIL] = true;
		post(ledger, entries, account, earn, given);
	}
	for (i = list_length(earns) - 1; wanted < have && i >= 0; i--)
	{
		int64 part = Min(have - wanted, left[i]);
		PointsEntry *refund;

		if (part <= 0)
			continue;
		refund = make_entry(account, POINTS_REFUND, further(account, reference), now, given);
		refund->points = part;
		refund->reverses = ((PointsEntry *) list_nth(earns, i))->seq;
		given[COL_REVERSES] = true;
		have -= part;
		left[i] -= part;
		/* What the merge took away comes back to be clawed back. */
		if (payer != account && !waits[i] && part > account->state.available)
			(void) order_move_points(ledger,
									 entries,
									 payer,
									 account,
									 part - Max(account->state.available, 0),
									 MERGE_SOURCE,
									 further(account, reference));
		post(ledger, entries, account, refund, given);
	}
	if (completed(after) && !completed(job->change->before) && !job->rule->on_paid)
	{
		TimestampTz at = past(after->completed_at);

		for (i = 0; i < list_length(earns); i++)
		{
			PointsEntry *earn = list_nth(earns, i);
			PointsEntry *mature;
			int64 reversed;
			TimestampTz since;

			ledger_reversals(ledger, entries, account, earn, 0, &reversed, &since);
			if (since != DT_NOEND || reversed >= earn->points)
				continue;
			mature = make_entry(account, POINTS_MATURE, further(account, reference), at, given);
			mature->reverses = earn->seq;
			given[COL_POINTS] = false;
			given[COL_REVERSES] = true;
			mature->available_at = available_at(job->rule, after);
			post(ledger, entries, account, mature, given);
		}
	}
}

/*
 * Give back the points that were redeemed for an order
 */
static void
restore(Ledger *ledger, Relation entries, LedgerAccount *account, const char *reference)
{
	static const PointsKind kinds[2] = {POINTS_REDEEM, POINTS_CAPTURE};

	for (int i = 0; i < 2; i++)
	{
		PointsEntry spent;
		PointsEntry *entry;
		int64 reversed;
		TimestampTz since;
		bool given[LEDGER_COLUMNS];

		if (!ledger_find_reference(ledger, entries, account, kinds[i], ORDER_SOURCE, reference, &spent))
			continue;
		ledger_reversals(ledger, entries, account, &spent, 0, &reversed, &since);
		if (reversed >= spent.points)
			continue;
		entry = make_entry(
			account, POINTS_RESTORE, further(account, reference), GetCurrentTransactionStartTimestamp(), given);
		entry->points = spent.points - reversed;
		entry->reverses = spent.seq;
		given[COL_REVERSES] = true;
		post(ledger, entries, account, entry, given);
	}
}

/*
 * Did an order of this customer earn? Looked up without a lock: it earned before it changes.
 */
static bool
has_earned(Ledger *ledger, Relation entries, int64 customer_id, const char *program, const char *reference)
{
	LedgerAccount account = {.customer_id = customer_id, .program = program};
	PointsEntry found;

	return ledger_find_reference(ledger, entries, &account, POINTS_EARN, ORDER_SOURCE, reference, &found);
}

/*
 * Was anything redeemed for an order of this customer? Looked up without a lock: it was redeemed before it is cancelled.
 */
static bool
has_redeemed(Ledger *ledger, Relation entries, int64 customer_id, const char *program, const char *reference)
{
	LedgerAccount account = {.customer_id = customer_id, .program = program};
	PointsEntry found;

	return ledger_find_reference(ledger, entries, &account, POINTS_REDEEM, ORDER_SOURCE, reference, &found) ||
		   ledger_find_reference(ledger, entries, &account, POINTS_CAPTURE, ORDER_SOURCE, reference, &found);
}

static char *
order_reference(const PurchaseChange *change)
{
	const PurchaseImage *image = change->after != NULL ? change->after : change->before;

	return psprintf("%s/%s", text_to_cstring(image->channel), text_to_cstring(image->order_no));
}

/*
 * Does a change concern a rule?
 */
static bool
concerns(const PurchaseChange *change, const OrderRule *rule, bool earns)
{
	int64 before = kept(change->before);
	int64 after = kept(change->after);

	if (before != after)
		/* A new order that earns nothing makes no account. */
		return before != 0 || (earns && order_rule_points(rule, after) > 0);
	return !rule->on_paid && completed(change->after) && !completed(change->before) && after != 0;
}

/*
 * May an order earn by a rule? By the moment at which it counts.
 */
static bool
holds(const OrderRule *rule, const PurchaseChange *change)
{
	const PurchaseImage *image = change->after != NULL && change->after->order_at != DT_NOBEGIN ? change->after : change->before;
	TimestampTz at = image == NULL || image->order_at == DT_NOBEGIN ? GetCurrentTransactionStartTimestamp() : image->order_at;

	return rule->active && at >= rule->valid_from && at < rule->valid_until;
}

/*
 * The rule of a program for a change: the first that holds, else the first
 */
static const OrderRule *
program_rule(List *rules, const char *program, const PurchaseChange *change)
{
	const OrderRule *first = NULL;
	ListCell *cell;

	foreach (cell, rules)
	{
		const OrderRule *rule = lfirst(cell);

		if (strcmp(rule->program, program) != 0)
			continue;
		if (holds(rule, change))
			return rule;
		if (first == NULL)
			first = rule;
	}
	return first;
}

/*
 * The consumer: is there a rule for orders?
 */
bool
points_wants_orders(Relation purchase)
{
	return order_rules_exist(purchase);
}

/*
 * The consumer: the orders of a statement
 */
void
points_take_orders(PurchaseStatement *statement)
{
	Oid relid;
	List *rules = order_rules(statement->purchase, &relid);
	Relation entries = table_open(relid, RowExclusiveLock);
	Ledger *ledger;
	List *jobs = NIL;
	PointsEntry **keys;
	LedgerAccount *accounts;
	int count;
	int n = 0;
	ListCell *cell;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ledger = ledger_open(entries);
	for (int c = 0; c < statement->ncustomers; c++)
	{
		PurchaseCustomer *customer = &statement->customers[c];

		List *merged = NIL;
		bool looked = false;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < customer->nchanges; i++)
		{
			PurchaseChange *change = &customer->changes[i];
			int64 other = change->moved_to + change->moved_from; /* one of them is 0 */

			/* Merged, not sold: the points stay where they are. */
			if (other != 0 && order_same_person(statement->purchase, customer->customer_id, other))
				continue;
			if (change->before != NULL && !looked)
			{
				merged = order_merged_into(statement->purchase, customer->customer_id);
				looked = true;
			}
			foreach (cell, rules)
			{
				OrderRule *rule = lfirst(cell);
				bool earns = holds(rule, change);
				bool restores;
				int64 home = customer->customer_id;
				int64 spent = customer->customer_id;
				ListCell *other_cell;
				Job *job;

				if (rule != program_rule(rules, rule->program, change))
					continue;
				restores = change->before != NULL && cancelled(change->after) && !cancelled(change->before) &&
						   change->moved_to == 0 &&
						   has_redeemed(
							   ledger, entries, customer->customer_id, rule->program, order_reference(change));
				foreach (other_cell, change->before != NULL ? merged : NIL)
				{
					int64 id = *(int64 *) lfirst(other_cell);
					char *reference = order_reference(change);

					if (has_earned(ledger, entries, id, rule->program, reference))
						home = id;
					if (cancelled(change->after) && !cancelled(change->before) && change->moved_to == 0 &&
						has_redeemed(ledger, entries, id, rule->program, reference))
					{
						spent = id;
						restores = true;
					}
				}
				if (!concerns(change, rule, earns) && !restores)
					continue;
				job = palloc0(sizeof(Job));
				job->key.customer_id = customer->customer_id;
				job->home.customer_id = home;
				job->spent.customer_id = spent;
				job->key.program = job->home.program = job->spent.program = rule->program;
				job->rule = rule;
				job->change = change;
				job->earns = earns;
				job->restores = restores;
				jobs = lappend(jobs, job);
			}
		}
	}
	if (jobs != NIL)
	{
		keys = palloc(sizeof(PointsEntry *) * list_length(jobs) * 3);
		foreach (cell, jobs)
		{
			Job *job = lfirst(cell);

			keys[n++] = &job->key;
			if (job->home.customer_id != job->key.customer_id)
				keys[n++] = &job->home;
			if (job->spent.customer_id != job->key.customer_id)
				keys[n++] = &job->spent;
		}
		accounts = ledger_lock_entries(ledger, keys, n, &count);
		foreach (cell, jobs)
		{
			Job *job = lfirst(cell);
			LedgerAccount *account =
				ledger_find_account(accounts, count, job->key.customer_id, job->key.program);
			LedgerAccount *home = account;
			LedgerAccount *spent = account;
			char *reference = order_reference(job->change);

			CHECK_FOR_INTERRUPTS();
			if (job->home.customer_id != job->key.customer_id)
				home = ledger_find_account(accounts, count, job->home.customer_id, job->home.program);
			if (job->spent.customer_id != job->key.customer_id)
				spent = ledger_find_account(accounts, count, job->spent.customer_id, job->spent.program);
			settle(ledger, entries, home, account, job, reference);
			if (job->restores)
				restore(ledger, entries, spent, reference);
			if (home != account)
				(void) order_move_points(
					ledger, entries, home, account, PG_INT64_MAX, MERGE_SOURCE, further(home, reference));
			if (spent != account && spent != home)
				(void) order_move_points(
					ledger, entries, spent, account, PG_INT64_MAX, MERGE_SOURCE, psprintf("%s+", further(spent, reference)));
		}
		ledger_write_accounts(ledger, accounts, count);
	}
	SPI_finish();
	table_close(entries, NoLock);
}
