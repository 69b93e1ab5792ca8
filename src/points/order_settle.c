/*
 * Bringing the points of one order, in one program, to what its rule gives for the amount that is kept.
 */
#include "points/order.h"

#include "access/xact.h"
#include "base/store.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#define MICRO INT64CONST(1000000)

/*
 * Amount of an order that is kept and earns
 */
int64
order_kept(const PurchaseImage *image)
{
	return image == NULL || image->history || image->order_at == DT_NOBEGIN ? 0 : image->net;
}

bool
order_completed(const PurchaseImage *image)
{
	return image != NULL && image->status == PURCHASE_COMPLETED;
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
post(OrderPosting *posting, LedgerAccount *account, PointsEntry *entry, bool *given)
{
	PointsEntry found;
	PointsRefusal refusal;

	if (account->state.closed)
		return;
	if (ledger_post(posting->ledger, posting->entries, account, entry, given, &found, &refusal) == LEDGER_REFUSED)
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
 * From when points can be spent that count from a moment: POINTS_NO_TIME for at once
 */
static TimestampTz
after_days(const OrderRule *rule, TimestampTz from)
{
	return rule->wait_days == 0 ? POINTS_NO_TIME : past(from) + rule->wait_days * USECS_PER_DAY;
}

/*
 * The lines of the order, read once
 */
OrderLines *
order_lines(OrderPosting *posting, OrderJob *job)
{
	if (!job->has_lines && job->after != NULL)
		order_read_lines(posting->store, posting->purchase, job->customer_id, job->after, &job->lines);
	job->has_lines = true;
	return &job->lines;
}

/*
 * An entry of the order is in the archive
 */
static void
raise_archived(const PointsEntry *entry, int64 seq)
{
	PointsRefusal refusal = {0};

	(void) points_refuse_archived(&refusal, entry, seq);
	points_raise(&refusal);
}

/*
 * What is left of an earning
 */
static int64
left_of(OrderPosting *posting, LedgerAccount *account, const PointsEntry *earn, TimestampTz *since)
{
	int64 reversed;

	ledger_reversals(posting->ledger, posting->entries, account, earn, 0, &reversed, since);
	return earn->points - reversed;
}

static void
earn_points(OrderPosting *posting, LedgerAccount *account, OrderJob *job, const OrderRule *rule, bool first, int64 points)
{
	bool given[LEDGER_COLUMNS];
	PointsEntry *earn = make_entry(account,
								   POINTS_EARN,
								   first ? job->reference : further(account, job->reference),
								   past(job->after->order_at),
								   given);

	earn->points = points;
	earn->detail = order_detail(rule, order_kept(job->after), &job->lines);
	if (job->rule->on_paid)
		earn->available_at = after_days(rule, job->after->order_at);
	else
		earn->available_at =
			order_completed(job->after) ? after_days(rule, job->after->completed_at) : DT_NOEND;
	given[COL_AVAILABLE_AT] = earn->available_at != POINTS_NO_TIME;
	given[COL_DETAIL] = true;
	post(posting, account, earn, given);
}

/*
 * Claw points of an earning back; gives how many were left to be clawed
 */
static int64
refund_points(OrderPosting *posting, LedgerAccount *account, OrderJob *job, const PointsEntry *earn, int64 points)
{
	bool given[LEDGER_COLUMNS];
	TimestampTz since;
	int64 part = Min(points, left_of(posting, account, earn, &since));
	LedgerAccount *payer;
	PointsEntry *refund;

	if (part <= 0 || account->state.closed)
		return Max(part, 0);
	payer = ledger_find_account(posting->accounts, posting->count, job->key.customer_id, job->key.program);
	/* What a merge took away comes back to be clawed back. */
	if (payer != account && since <= GetCurrentTransactionStartTimestamp() && part > account->state.available)
		(void) order_move_points(posting->ledger,
								 posting->entries,
								 payer,
								 account,
								 part - Max(account->state.available, 0),
								 MERGE_SOURCE,
								 further(account, job->reference));
	refund = make_entry(
		account, POINTS_REFUND, further(account, job->reference), GetCurrentTransactionStartTimestamp(), given);
	refund->points = part;
	refund->reverses = earn->seq;
	given[COL_REVERSES] = true;
	post(posting, account, refund, given);
	return part;
}

/*
 * A completed order makes its points available
 */
static void
mature(OrderPosting *posting, LedgerAccount *account, OrderJob *job, const OrderRule *rule, List *earns)
{
	ListCell *cell;

	foreach (cell, earns)
	{
		const PointsEntry *earn = lfirst(cell);
		bool given[LEDGER_COLUMNS];
		PointsEntry *entry;
		TimestampTz since;

		if (left_of(posting, account, earn, &since) <= 0 || since != DT_NOEND)
			continue;
		entry = make_entry(
			account, POINTS_MATURE, further(account, job->reference), past(job->after->completed_at), given);
		entry->reverses = earn->seq;
		given[COL_POINTS] = false;
		given[COL_REVERSES] = true;
		entry->available_at = after_days(rule, job->after->completed_at);
		post(posting, account, entry, given);
	}
}

/*
 * What an order counts, in millionths of a point, in a program that carries remainders; and all orders of the account
 */
typedef struct Carried
{
	bool found;
	int64 order;
	int64 total;
	const char *detail;
} Carried;

static void
carried_read(OrderPosting *posting, const OrderJob *job, Carried *carried)
{
	static const Oid types[3] = {INT8OID, TEXTOID, TEXTOID};
	Datum values[3] = {Int64GetDatum(job->home.customer_id),
					   CStringGetTextDatum(job->key.program),
					   CStringGetTextDatum(job->reference)};
	MemoryContext caller = CurrentMemoryContext;
	OrderRules *store = posting->store;

	memset(carried, 0, sizeof(Carried));
	if (store->carried == NULL || !SPI_plan_is_valid(store->carried))
		order_plan(&store->carried,
				   psprintf("SELECT reference, micropoints, detail::text FROM %s "
							"WHERE customer_id = $1 AND program = $2 AND reference IN ('', $3)",
							store_qualified_name(posting->store->kept.tables[TABLE_CARRY])),
				   3,
				   types);
	if (SPI_execute_plan(store->carried, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read carried points");
	MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;
		text *reference = DatumGetTextPP(SPI_getbinval(row, desc, 1, &isnull));
		int64 micro = DatumGetInt64(SPI_getbinval(row, desc, 2, &isnull));
		Datum detail = SPI_getbinval(row, desc, 3, &isnull);

		if (VARSIZE_ANY_EXHDR(reference) == 0)
			carried->total = micro;
		else
		{
			carried->found = true;
			carried->order = micro;
			carried->detail = isnull ? NULL : TextDatumGetCString(detail);
		}
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Does the order stand among those whose remainders are carried?
 */
bool
order_carries(OrderPosting *posting, const OrderJob *job)
{
	Carried carried;

	carried_read(posting, job, &carried);
	return carried.found;
}

static void
carried_write(OrderPosting *posting, const OrderJob *job, const Carried *carried)
{
	static const Oid types[6] = {INT8OID, TEXTOID, TEXTOID, INT8OID, TEXTOID, INT8OID};
	Datum values[6] = {Int64GetDatum(job->home.customer_id),
					   CStringGetTextDatum(job->key.program),
					   CStringGetTextDatum(job->reference),
					   Int64GetDatum(carried->order),
					   CStringGetTextDatum(carried->detail),
					   Int64GetDatum(carried->total)};
	OrderRules *store = posting->store;

	if (store->carry == NULL || !SPI_plan_is_valid(store->carry))
		order_plan(&store->carry,
				   psprintf("INSERT INTO %s AS c (customer_id, program, reference, micropoints, detail) "
							"VALUES ($1, $2, $3, $4, $5::jsonb), ($1, $2, '', $6, NULL) "
							"ON CONFLICT (customer_id, program, reference) DO UPDATE SET micropoints = excluded.micropoints",
							store_qualified_name(posting->store->kept.tables[TABLE_CARRY])),
				   6,
				   types);
	if (SPI_execute_plan(store->carry, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write carried points");
}

/*
 * A program that carries remainders: the whole points of all orders together
 */
static void
settle_carried(OrderPosting *posting, LedgerAccount *account, OrderJob *job, List *earns, Carried *carried)
{
	OrderRule rule = *job->rule;
	int64 before = carried->total / MICRO;
	int64 counts;
	int64 points;
	int i;

	if (carried->found)
		(void) order_stored(&(PointsEntry){.detail = carried->detail}, &rule);
	counts = order_micropoints(&rule, order_kept(job->after), rule.marks == NIL ? NULL : order_lines(posting, job));
	if (account->state.closed || counts == carried->order)
		return;
	carried->total += counts - carried->order;
	carried->order = counts;
	if (!carried->found)
		carried->detail = order_detail(&rule, order_kept(job->after), &job->lines);
	carried_write(posting, job, carried);
	points = carried->total / MICRO - before;
	if (points > 0)
		earn_points(posting, account, job, &rule, earns == NIL, points);
	points = -points;
	for (i = list_length(earns) - 1; points > 0 && i >= 0; i--)
		points -= refund_points(posting, account, job, list_nth(earns, i), points);
	/* The point that this order made whole may stand with another one, the last that earned. */
	for (int64 seq = account->state.seq; points > 0 && seq > 0; seq--)
	{
		PointsEntry earn;

		if (seq <= account->archived)
			raise_archived(&job->key, seq);
		if (ledger_find_seq(posting->ledger, posting->entries, account, seq, &earn) && earn.kind == POINTS_EARN &&
			strcmp(earn.source, ORDER_SOURCE) == 0)
			points -= refund_points(posting, account, job, &earn, points);
	}
}

/*
 * Bring the points of an order in one program to what its rule gives
 */
static void
settle(OrderPosting *posting, LedgerAccount *account, OrderJob *job)
{
	List *earns = NIL;
	OrderRule rule = *job->rule;
	Carried carried = {0};
	PointsEntry archived;
	int64 wanted;
	int64 have = 0;

	/* What an archived earning gave cannot be brought to anything else. */
	if (account->archived > 0 && ledger_archive_find(posting->ledger,
													 posting->entries,
													 account,
													 POINTS_EARN,
													 ORDER_SOURCE,
													 job->reference,
													 &archived))
		raise_archived(&archived, archived.seq);
	if (account->state.seq > 0)
		earns =
			ledger_find_family(posting->ledger, posting->entries, account, POINTS_EARN, ORDER_SOURCE, job->reference);
	if (rule.carried)
		carried_read(posting, job, &carried);
	/* An order that earned keeps the rule it earned by. */
	if (earns != NIL)
		(void) order_stored(linitial(earns), &rule);
	else if (!job->earns && !carried.found)
		return;
	if (carried.found || (rule.carry && earns == NIL))
		settle_carried(posting, account, job, earns, &carried);
	else
	{
		ListCell *cell;
		TimestampTz since;

		wanted = order_points(&rule, order_kept(job->after), rule.marks == NIL ? NULL : order_lines(posting, job));
		foreach (cell, earns)
			have += left_of(posting, account, lfirst(cell), &since);
		if (wanted > have)
			earn_points(posting, account, job, &rule, earns == NIL, wanted - have);
		for (int i = list_length(earns) - 1; wanted < have && i >= 0; i--)
			have -= refund_points(posting, account, job, list_nth(earns, i), have - wanted);
	}
	if (order_completed(job->after) && !order_completed(job->before))
		mature(posting, account, job, &rule, earns);
}

/*
 * Give back the points that were redeemed for an order
 */
static void
restore(OrderPosting *posting, LedgerAccount *account, OrderJob *job)
{
	static const PointsKind kinds[2] = {POINTS_REDEEM, POINTS_CAPTURE};

	for (int i = 0; i < 2; i++)
	{
		PointsEntry spent;
		PointsEntry *entry;
		int64 reversed;
		TimestampTz since;
		bool given[LEDGER_COLUMNS];

		if (!ledger_find_reference(
				posting->ledger, posting->entries, account, kinds[i], ORDER_SOURCE, job->reference, &spent))
			continue;
		ledger_reversals(posting->ledger, posting->entries, account, &spent, 0, &reversed, &since);
		if (reversed >= spent.points)
			continue;
		entry = make_entry(
			account, POINTS_RESTORE, further(account, job->reference), GetCurrentTransactionStartTimestamp(), given);
		entry->points = spent.points - reversed;
		entry->reverses = spent.seq;
		given[COL_REVERSES] = true;
		post(posting, account, entry, given);
	}
}

/*
 * The locked account that an entry is for
 */
static LedgerAccount *
locked_account(OrderPosting *posting, const PointsEntry *key)
{
	return ledger_find_account(posting->accounts, posting->count, key->customer_id, key->program);
}

/*
 * Do a job whose accounts are locked. Points of an account that was merged into another go there.
 */
void
order_do(OrderPosting *posting, OrderJob *job)
{
	LedgerAccount *account = locked_account(posting, &job->key);
	LedgerAccount *home = job->home.customer_id == job->key.customer_id ? account : locked_account(posting, &job->home);
	LedgerAccount *spent = job->spent.customer_id == job->key.customer_id ? account : locked_account(posting, &job->spent);

	settle(posting, home, job);
	if (job->restore)
		restore(posting, spent, job);
	if (home != account)
		(void) order_move_points(posting->ledger,
								 posting->entries,
								 home,
								 account,
								 PG_INT64_MAX,
								 MERGE_SOURCE,
								 further(home, job->reference));
	if (spent != account && spent != home)
		(void) order_move_points(posting->ledger,
								 posting->entries,
								 spent,
								 account,
								 PG_INT64_MAX,
								 MERGE_SOURCE,
								 psprintf("%s+", further(spent, job->reference)));
}
