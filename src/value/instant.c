#include "value/instant.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "store/money.h"
#include "store/purchase_months.h"
#include "tags/tagset.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "value/instant_store.h"

typedef struct Instant
{
	PurchaseStatement *statement;
	InstantRules *rules;
	InstantStore store;
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
	bool judged; /* has this statement changed the customer's tier? */
	MemberState member;

	/* Tags to set and to remove. */
	InstantTag **comes;
	InstantTag **goes;
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
		if (in->orders == NULL)
			in->orders = instant_orders(&in->store, in->customer->customer_id, &in->norders);
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
 * The first condition, highest tier first, that lifts a customer from held at a moment, by the figures then and before the
 * order; NULL when none does. Beyond peak a condition on lifetime figures need not be crossed.
 */
static InstantCondition *
lifting_condition(Instant *in, TimestampTz at, int32 held, int32 peak, const Datum *values, const Datum *before,
				  const bool *isnull)
{
	for (int i = 0; i < in->rules->nconditions; i++)
	{
		InstantCondition *condition = &in->rules->conditions[i];

		if (condition->seq <= held)
			break;
		if (rule_matches(condition->rule, values, isnull, at) &&
			(!condition->lifetime || condition->seq > peak || !rule_matches(condition->rule, before, isnull, at)))
			return condition;
	}
	return NULL;
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
	Datum before[FIGURE_COUNT];
	bool isnull[FIGURE_COUNT];
	InstantCondition *condition;
	Datum value = 0;
	bool known;
	int figure;

	fill_figures(in, at, recount, values, isnull);
	memcpy(before, values, sizeof(before));
	before[FIGURE_SPEND_TOTAL] =
		DirectFunctionCall2(numeric_sub, values[FIGURE_SPEND_TOTAL], money_to_numeric(delta));
	before[FIGURE_ORDER_COUNT] = Int64GetDatum(DatumGetInt64(values[FIGURE_ORDER_COUNT]) - (counted ? 0 : 1));
	known = !in->judged && !in->member.due;
	condition = lifting_condition(in, at, known ? in->member.seq : PG_INT32_MIN, PG_INT32_MAX, values, before, isnull);
	if (condition == NULL)
		return;
	if (!known)
	{
		/* A cycle is over, or the tier has changed since it was read: SQL does it step by step. */
		Datum args[4] = {Int64GetDatum(in->customer->customer_id), TimestampTzGetDatum(at), before[FIGURE_SPEND_TOTAL],
						 before[FIGURE_ORDER_COUNT]};

		if (SPI_execute_plan(instant_plan(in->rules, in->statement->purchase, INSTANT_JUDGE_ORDER), args, "    ",
							 false, 0) != SPI_OK_SELECT)
			elog(ERROR, "judging customer " INT64_FORMAT " failed", in->customer->customer_id);
		SPI_freetuptable(SPI_tuptable);
		in->judged = true;
		return;
	}
	condition = lifting_condition(in, at, in->member.seq, in->member.peak, values, before, isnull);
	if (condition == NULL)
		return;
	figure = condition->figure;
	if (figure >= 0 && !isnull[figure])
		value = figure == FIGURE_ORDER_COUNT || figure == FIGURE_ORDERS_12M ? DirectFunctionCall1(int8_numeric, values[figure])
																			: values[figure];
	instant_lift(&in->store, in->customer->customer_id, at, condition, value, figure < 0 || isnull[figure]);
	in->judged = true;
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

/*
 * Did the change take something from an order that counted?
 */
static bool
shrank(const PurchaseChange *change)
{
	return change->before != NULL && change->before->order_at != DT_NOBEGIN &&
		   (change->after == NULL || change->after->order_at == DT_NOBEGIN || change->after->net < change->before->net);
}

/*
 * Order of changes: by the moments of the orders
 */
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
		if (shrank(change))
		{
			Datum args[3] = {Int64GetDatum(customer->customer_id), PointerGetDatum(change->before->channel),
							 PointerGetDatum(change->before->order_no)};

			if (SPI_execute_plan(instant_plan(in->rules, in->statement->purchase, INSTANT_JUDGE_REFUND), args, "   ",
								 false, 0) != SPI_OK_SELECT)
				elog(ERROR, "judging customer " INT64_FORMAT " failed", customer->customer_id);
			SPI_freetuptable(SPI_tuptable);
			in->judged = true;
		}
	}
	if (in->rules->nconditions == 0 || n == 0)
		return;
	if (n > 1)
		qsort(growing, n, sizeof(PurchaseChange *), compare_changes);
	for (int i = 0; i < n; i++)
	{
		if (!in->judged)
			instant_member(&in->store, customer->customer_id, growing[i]->after->order_at, &in->member);
		judge_order_change(in, growing[i],
						   n > 1 || in->summary_null[FIGURE_LAST_ORDER_AT] ||
							   growing[i]->after->order_at < DatumGetTimestampTz(in->summary[FIGURE_LAST_ORDER_AT]));
	}
}

/*
 * Rule tags of one customer, as of now
 */
static void
tag_customer(Instant *in)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	Datum values[FIGURE_COUNT];
	bool isnull[FIGURE_COUNT];
	int ncomes = 0;
	int ngoes = 0;
	struct varlena *present = instant_tags(&in->store, in->customer->customer_id);

	if (present == NULL)
		return;
	fill_figures(in, now, false, values, isnull);
	for (int i = 0; i < in->rules->ntags; i++)
	{
		InstantTag *rule = &in->rules->tags[i];
		Tag tag = {VARDATA_ANY(rule->tag), VARSIZE_ANY_EXHDR(rule->tag)};
		bool hold = rule_matches(rule->rule, values, isnull, now);

		if (hold == tagset_has(present, &tag))
			continue;
		if (hold)
			in->comes[ncomes++] = rule;
		else
			in->goes[ngoes++] = rule;
	}
	/* Most orders change no tag. */
	if (ncomes + ngoes > 0)
		instant_write_tags(&in->store, in->customer->customer_id, in->comes, ncomes, in->goes, ngoes);
}

bool
value_wants_orders(Relation purchase)
{
	InstantRules *rules = instant_rules(purchase);

	return rules->lifts || rules->ntags > 0;
}

/*
 * Is there more than imported history among the changes of a customer? History that shrinks is a refund of today.
 */
static bool
is_live(const PurchaseCustomer *customer)
{
	for (int i = 0; i < customer->nchanges; i++)
	{
		PurchaseChange *change = &customer->changes[i];

		if (shrank(change) || !(change->after ? change->after : change->before)->history)
			return true;
	}
	return false;
}

/*
 * Judge the customers of a statement
 */
static void
take_orders(Instant *in)
{
	PurchaseStatement *statement = in->statement;
	MemoryContext per_customer = NULL;

	for (int i = 0; i < statement->ncustomers; i++)
	{
		MemoryContext caller;

		in->customer = &statement->customers[i];
		/* Imported history waits for evaluate_tiers() and apply_tag_rules(). */
		if (in->customer->summary == NULL || !is_live(in->customer))
			continue;
		CHECK_FOR_INTERRUPTS();
		if (per_customer == NULL)
		{
			for (int j = 0; j < FIGURE_COUNT; j++)
				in->columns[j] = summary_columns[j] ? SPI_fnumber(statement->summary_desc, summary_columns[j]) : 0;
			in->months = SPI_fnumber(statement->summary_desc, "months");
			in->comes = palloc(sizeof(InstantTag *) * Max(in->rules->ntags, 1));
			in->goes = palloc(sizeof(InstantTag *) * Max(in->rules->ntags, 1));
			instant_store_open(&in->store, in->rules, statement->purchase);
			per_customer = AllocSetContextCreate(CurrentMemoryContext, "crm instant", ALLOCSET_SMALL_SIZES);
		}
		caller = MemoryContextSwitchTo(per_customer);
		read_summary(in);
		in->judged = false;
		if (in->rules->lifts)
			judge_customer(in);
		if (in->rules->ntags > 0)
			tag_customer(in);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(per_customer);
	}
	if (per_customer != NULL)
		instant_store_close(&in->store);
}

void
value_take_orders(PurchaseStatement *statement)
{
	Instant in = {.statement = statement, .rules = instant_rules(statement->purchase)};

	if (statement->summary_desc == NULL)
		return;
	SPI_connect();
	in.rules->users++;
	PG_TRY();
	{
		take_orders(&in);
	}
	PG_FINALLY();
	{
		in.rules->users--;
	}
	PG_END_TRY();
	SPI_finish();
}
