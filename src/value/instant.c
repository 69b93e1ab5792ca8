#include "value/instant.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "store/money.h"
#include "store/purchase_months.h"
#include "tags/tagset.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "value/instant_rules.h"

/* An order that counts. */
typedef struct CountedOrder
{
	TimestampTz at;
	int64 net;
} CountedOrder;

typedef struct Instant
{
	PurchaseStatement *statement;
	InstantRules *rules;
	int columns[FIGURE_COUNT]; /* of the summary's row; 0 where it has none */
	int months;

	/* Of the customer at hand. */
	PurchaseCustomer *customer;
	Datum summary[FIGURE_COUNT];
	bool summary_null[FIGURE_COUNT];
	MonthBucket *buckets;
	int nbuckets;
	CountedOrder *orders; /* all of them, once they were needed */
	int norders;

	/* Tags to set or to remove. */
	Datum *ids;
	Datum *tags;
	Datum *holds;
	int ntags;
	int tags_room;
} Instant;

static const char *const summary_columns[FIGURE_COUNT] = {"order_count",	"spend_total",	"refunded_total",
														  "discount_total", "cost_total",	NULL,
														  "first_order_at", "last_order_at"};

/*
 * Take the row of customer_summary apart
 */
static void
read_summary(Instant *in)
{
	HeapTuple row = in->customer->summary;
	TupleDesc desc = in->statement->summary_desc;
	Datum months;
	bool isnull;

	for (int i = 0; i < FIGURE_COUNT; i++)
	{
		in->summary_null[i] = true;
		in->summary[i] = 0;
		if (in->columns[i] > 0)
			in->summary[i] = heap_getattr(row, in->columns[i], desc, &in->summary_null[i]);
	}
	if (!in->summary_null[FIGURE_SPEND_TOTAL] && !in->summary_null[FIGURE_COST_TOTAL])
	{
		in->summary[FIGURE_MARGIN_TOTAL] = NumericGetDatum(numeric_sub_opt_error(
			DatumGetNumeric(in->summary[FIGURE_SPEND_TOTAL]), DatumGetNumeric(in->summary[FIGURE_COST_TOTAL]), NULL));
		in->summary_null[FIGURE_MARGIN_TOTAL] = false;
	}
	months = heap_getattr(row, in->months, desc, &isnull);
	in->nbuckets = 0;
	if (!isnull)
		in->buckets = months_unpack((struct varlena *)PG_DETOAST_DATUM_PACKED(months), &in->nbuckets);
	in->orders = NULL;
	in->norders = 0;
}

/*
 * Read the customer's orders, when the buckets cannot answer
 */
static void
read_orders(Instant *in)
{
	Datum values[1] = {Int64GetDatum(in->customer->customer_id)};

	if (in->orders != NULL)
		return;
	if (SPI_execute_plan(instant_plan(in->rules, in->statement->purchase, INSTANT_ORDERS), values, " ", false, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "reading the orders of customer " INT64_FORMAT " failed", in->customer->customer_id);
	in->norders = (int)SPI_processed;
	in->orders = palloc(sizeof(CountedOrder) * Max(in->norders, 1));
	for (int i = 0; i < in->norders; i++)
	{
		bool isnull;

		in->orders[i].at = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
		in->orders[i].net = money_from_numeric(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Orders and spend of the 12 months up to a moment from the buckets; false when a month that the window cuts has
 * orders, or when there are orders after the moment
 */
static bool
window_from_buckets(Instant *in, TimestampTz at, TimestampTz start, int64 *orders, int64 *spend)
{
	int32 edge = month_of(start);

	if (in->summary_null[FIGURE_LAST_ORDER_AT] || DatumGetTimestampTz(in->summary[FIGURE_LAST_ORDER_AT]) > at)
		return in->summary_null[FIGURE_LAST_ORDER_AT];
	for (int i = 0; i < in->nbuckets; i++)
	{
		if (in->buckets[i].month < edge)
			continue;
		if (in->buckets[i].month == edge && DatumGetTimestampTz(in->summary[FIGURE_FIRST_ORDER_AT]) <= start)
			return false;
		*orders += in->buckets[i].orders;
		*spend = money_add(*spend, in->buckets[i].net);
	}
	return true;
}

/*
 * The figures of the customer at a moment. recount asks for those of the past, by the orders up to then.
 */
static void
fill_figures(Instant *in, TimestampTz at, bool recount, Datum *values, bool *isnull)
{
	static const Interval year = {.month = 12};
	TimestampTz start = rule_add_interval(at, &year, -1, in->rules->zone);
	int64 orders = 0;
	int64 spend = 0;

	memcpy(values, in->summary, sizeof(in->summary));
	memcpy(isnull, in->summary_null, sizeof(in->summary_null));
	if (recount || !window_from_buckets(in, at, start, &orders, &spend))
	{
		int64 count = 0;
		int64 total = 0;

		orders = 0;
		spend = 0;
		read_orders(in);
		for (int i = 0; i < in->norders && in->orders[i].at <= at; i++)
		{
			count++;
			total = money_add(total, in->orders[i].net);
			if (in->orders[i].at > start)
			{
				orders++;
				spend = money_add(spend, in->orders[i].net);
			}
		}
		if (recount)
		{
			values[FIGURE_ORDER_COUNT] = Int64GetDatum(count);
			values[FIGURE_SPEND_TOTAL] = money_to_numeric(total);
			isnull[FIGURE_FIRST_ORDER_AT] = isnull[FIGURE_LAST_ORDER_AT] = count == 0;
			if (count > 0)
			{
				values[FIGURE_FIRST_ORDER_AT] = TimestampTzGetDatum(in->orders[0].at);
				values[FIGURE_LAST_ORDER_AT] = TimestampTzGetDatum(in->orders[count - 1].at);
			}
		}
	}
	values[FIGURE_ORDERS_12M] = Int64GetDatum(orders);
	values[FIGURE_SPEND_12M] = money_to_numeric(spend);
	isnull[FIGURE_ORDERS_12M] = isnull[FIGURE_SPEND_12M] = false;
	isnull[FIGURE_AVG_ORDER_12M] = orders == 0;
	if (orders > 0)
		values[FIGURE_AVG_ORDER_12M] =
			DirectFunctionCall2(numeric_round,
								DirectFunctionCall2(numeric_div, values[FIGURE_SPEND_12M],
													DirectFunctionCall1(int8_numeric, Int64GetDatum(orders))),
								Int32GetDatum(4));
}

/*
 * The highest tier that an order may lift to; 0 when none. delta is what the order added.
 */
static int32
best_tier(Instant *in, TimestampTz at, Datum *values, bool *isnull, int64 delta, bool counts, Datum *total_before,
		  int64 *count_before)
{
	Datum before[FIGURE_COUNT];

	memcpy(before, values, sizeof(before));
	*total_before = DirectFunctionCall2(numeric_sub, values[FIGURE_SPEND_TOTAL], money_to_numeric(delta));
	*count_before = DatumGetInt64(values[FIGURE_ORDER_COUNT]) - (counts ? 1 : 0);
	before[FIGURE_SPEND_TOTAL] = *total_before;
	before[FIGURE_ORDER_COUNT] = Int64GetDatum(*count_before);
	for (int i = 0; i < in->rules->nconditions; i++)
	{
		InstantCondition *condition = &in->rules->conditions[i];

		if (rule_matches(condition->rule, values, isnull, at) &&
			!(condition->lifetime && rule_matches(condition->rule, before, isnull, at)))
			return condition->seq;
	}
	return 0;
}

/*
 * Judge one order that grew
 */
static void
judge_order_change(Instant *in, PurchaseChange *change, bool recount)
{
	TimestampTz at = change->after->order_at;
	bool counted = change->before != NULL && change->before->order_at != DT_NOBEGIN;
	int64 delta = money_sub(change->after->net, counted ? change->before->net : 0);
	Datum values[FIGURE_COUNT];
	bool isnull[FIGURE_COUNT];
	Datum total_before;
	int64 count_before;
	int32 seq;

	fill_figures(in, at, recount, values, isnull);
	seq = best_tier(in, at, values, isnull, delta, !counted, &total_before, &count_before);
	if (seq > 0)
	{
		Datum args[5] = {Int64GetDatum(in->customer->customer_id), TimestampTzGetDatum(at), total_before,
						 Int64GetDatum(count_before), Int32GetDatum(seq)};

		if (SPI_execute_plan(instant_plan(in->rules, in->statement->purchase, INSTANT_JUDGE_ORDER), args, "     ",
							 false, 0) != SPI_OK_SELECT)
			elog(ERROR, "judging customer " INT64_FORMAT " failed", in->customer->customer_id);
		SPI_freetuptable(SPI_tuptable);
	}
}

/*
 * Did the change make the order count for more?
 */
static bool
grew(PurchaseChange *change)
{
	return change->after != NULL && !change->after->history && change->after->order_at != DT_NOBEGIN &&
		   (change->before == NULL || change->before->order_at == DT_NOBEGIN ||
			change->before->net < change->after->net || change->before->order_at != change->after->order_at);
}

static int
compare_changes(const void *a, const void *b)
{
	TimestampTz x = (*(PurchaseChange *const *)a)->after->order_at;
	TimestampTz y = (*(PurchaseChange *const *)b)->after->order_at;

	return (x > y) - (x < y);
}

/*
 * Tiers of one customer: shrinking orders first, then the growing ones in the order of their moments
 */
static void
judge_customer(Instant *in)
{
	PurchaseCustomer *customer = in->customer;
	PurchaseChange **growing = palloc(sizeof(PurchaseChange *) * Max(customer->nchanges, 1));
	int n = 0;

	for (int i = 0; i < customer->nchanges; i++)
	{
		PurchaseChange *change = &customer->changes[i];

		if (grew(change))
			growing[n++] = change;
		if (change->before != NULL && change->before->order_at != DT_NOBEGIN &&
			(change->after == NULL || change->after->order_at == DT_NOBEGIN ||
			 change->after->net < change->before->net))
		{
			Datum args[3] = {Int64GetDatum(customer->customer_id), PointerGetDatum(change->before->channel),
							 PointerGetDatum(change->before->order_no)};

			if (SPI_execute_plan(instant_plan(in->rules, in->statement->purchase, INSTANT_JUDGE_REFUND), args, "   ",
								 false, 0) != SPI_OK_SELECT)
				elog(ERROR, "judging customer " INT64_FORMAT " failed", customer->customer_id);
			SPI_freetuptable(SPI_tuptable);
		}
	}
	if (in->rules->nconditions == 0)
		return;
	if (n > 1)
		qsort(growing, n, sizeof(PurchaseChange *), compare_changes);
	for (int i = 0; i < n; i++)
		judge_order_change(in, growing[i],
						   n > 1 || in->summary_null[FIGURE_LAST_ORDER_AT] ||
							   growing[i]->after->order_at < DatumGetTimestampTz(in->summary[FIGURE_LAST_ORDER_AT]));
}

/*
 * The tags that the customer has; NULL when the customer is gone
 */
static struct varlena *
customer_tags(Instant *in)
{
	Datum values[1] = {Int64GetDatum(in->customer->customer_id)};
	MemoryContext caller = CurrentMemoryContext;
	struct varlena *tags = NULL;

	if (SPI_execute_plan(instant_plan(in->rules, in->statement->purchase, INSTANT_CUSTOMER_TAGS), values, " ", false,
						 1) != SPI_OK_SELECT)
		elog(ERROR, "reading the tags of customer " INT64_FORMAT " failed", in->customer->customer_id);
	/* SPI leaves its own context current, which lives until the statement is done. */
	MemoryContextSwitchTo(caller);
	if (SPI_processed == 1)
	{
		bool isnull;
		Datum stored = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);

		if (!isnull)
			tags = (struct varlena *)PG_DETOAST_DATUM_COPY(stored);
	}
	SPI_freetuptable(SPI_tuptable);
	return tags;
}

/*
 * Rule tags of one customer, as of now
 */
static void
tag_customer(Instant *in, MemoryContext keep)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	Datum values[FIGURE_COUNT];
	bool isnull[FIGURE_COUNT];
	struct varlena *present = customer_tags(in);

	if (present == NULL)
		return;
	fill_figures(in, now, false, values, isnull);
	if (in->ntags + in->rules->ntags > in->tags_room)
	{
		MemoryContext caller = MemoryContextSwitchTo(keep);
		int room = Max(in->tags_room * 2, in->ntags + in->rules->ntags);

		in->ids = in->ids ? repalloc_huge(in->ids, sizeof(Datum) * room) : palloc(sizeof(Datum) * room);
		in->tags = in->tags ? repalloc_huge(in->tags, sizeof(Datum) * room) : palloc(sizeof(Datum) * room);
		in->holds = in->holds ? repalloc_huge(in->holds, sizeof(Datum) * room) : palloc(sizeof(Datum) * room);
		in->tags_room = room;
		MemoryContextSwitchTo(caller);
	}
	/* Most orders change no tag: what already is as it should be is left out here, before any query over many tags. */
	for (int i = 0; i < in->rules->ntags; i++)
	{
		text *name = in->rules->tags[i].tag;
		Tag tag = {VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)};
		bool hold = rule_matches(in->rules->tags[i].rule, values, isnull, now);

		if (hold == tagset_has(present, &tag))
			continue;
		in->ids[in->ntags] = Int64GetDatum(in->customer->customer_id);
		in->tags[in->ntags] = PointerGetDatum(name);
		in->holds[in->ntags++] = BoolGetDatum(hold);
	}
}

/*
 * Write the tags of the statement's customers: one query that passes over those that are as they should be
 */
static void
write_tags(Instant *in)
{
	Datum args[3];

	if (in->ntags == 0)
		return;
	args[0] = PointerGetDatum(construct_array(in->ids, in->ntags, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	args[1] = PointerGetDatum(construct_array(in->tags, in->ntags, TEXTOID, -1, false, TYPALIGN_INT));
	args[2] = PointerGetDatum(construct_array(in->holds, in->ntags, BOOLOID, 1, true, TYPALIGN_CHAR));
	if (SPI_execute_plan(instant_plan(in->rules, in->statement->purchase, INSTANT_TAGS), args, "   ", false, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "writing rule tags failed");
	SPI_freetuptable(SPI_tuptable);
}

bool
value_wants_orders(Relation purchase)
{
	InstantRules *rules = instant_rules(purchase);

	return rules->tiers || rules->ntags > 0;
}

void
value_take_orders(PurchaseStatement *statement)
{
	Instant in = {.statement = statement, .rules = instant_rules(statement->purchase)};
	MemoryContext per_customer;
	MemoryContext caller;
	MemoryContext connected;

	if (statement->summary_desc == NULL)
		return;
	SPI_connect();
	connected = CurrentMemoryContext;
	for (int i = 0; i < FIGURE_COUNT; i++)
		in.columns[i] = summary_columns[i] ? SPI_fnumber(statement->summary_desc, summary_columns[i]) : 0;
	in.months = SPI_fnumber(statement->summary_desc, "months");
	per_customer = AllocSetContextCreate(connected, "crm instant", ALLOCSET_SMALL_SIZES);
	for (int i = 0; i < statement->ncustomers; i++)
	{
		bool live = false;

		in.customer = &statement->customers[i];
		for (int j = 0; j < in.customer->nchanges; j++)
		{
			PurchaseImage *image =
				in.customer->changes[j].after ? in.customer->changes[j].after : in.customer->changes[j].before;

			live = live || !image->history;
		}
		/* Imported history waits for evaluate_tiers() and apply_tag_rules(). */
		if (!live || in.customer->summary == NULL)
			continue;
		CHECK_FOR_INTERRUPTS();
		caller = MemoryContextSwitchTo(per_customer);
		read_summary(&in);
		if (in.rules->tiers)
			judge_customer(&in);
		if (in.rules->ntags > 0)
			tag_customer(&in, connected);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(per_customer);
	}
	write_tags(&in);
	SPI_finish();
}
