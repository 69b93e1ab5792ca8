#include "value/instant.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "base/store.h"
#include "miscadmin.h"
#include "store/money.h"
#include "store/purchase_months.h"
#include "tags/tagset.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "value/instant_store.h"

/* What rules are asked about: the figures of a customer at a moment. */
typedef struct Figures
{
	TimestampTz at;
	TimestampTz year_start; /* orders after it are those of the 12 months */
	UnitFigure units[FIGURE_COUNT];
	bool exact; /* those of the 12 months are more than bounds */

	/* The same as values, made when a rule wants them. */
	bool valued;
	Datum values[FIGURE_COUNT];
	bool isnull[FIGURE_COUNT];
} Figures;

typedef struct Instant
{
	PurchaseStatement *statement;
	InstantRules *rules;
	InstantStore store;
	int columns[FIGURE_COUNT]; /* of the summary's row; 0 where it has none */
	int months;
	Datum *row; /* room for the summary's row */
	bool *row_null;

	/* The last moment for which the start of its 12 months was asked. */
	TimestampTz year_at;
	TimestampTz year_start;

	/* Of the customer at hand. */
	PurchaseCustomer *customer;
	UnitFigure summary[FIGURE_COUNT];
	MonthBucket *buckets;
	int nbuckets;
	CountedOrder *orders; /* all of them, once they were needed */
	int norders;
	bool judged; /* has this statement changed the customer's tier? */

	/* Tags to set and to remove. */
	InstantTag **comes;
	InstantTag **goes;
} Instant;

static const char *const summary_columns[FIGURE_COUNT] = {"order_count",	"spend_total",	"refunded_total",
														  "discount_total", "cost_total",	NULL,
														  "first_order_at", "last_order_at"};

/*
 * Give a figure a value
 */
static inline void
set_unit(UnitFigure *figure, int64 value)
{
	figure->low = figure->high = value;
	figure->isnull = figure->maybe_null = false;
}

/*
 * Take the row of customer_summary apart
 */
static void
read_summary(Instant *in)
{
	UnitFigure *summary = in->summary;

	heap_deform_tuple(in->customer->summary, in->statement->summary_desc, in->row, in->row_null);
	memset(summary, 0, sizeof(in->summary));
	for (int i = 0; i < FIGURE_COUNT; i++)
	{
		int column = in->columns[i] - 1;

		summary[i].isnull = column < 0 || in->row_null[column];
		if (!summary[i].isnull)
			set_unit(&summary[i], instant_kinds[i] == UNIT_MONEY ? money_from_numeric(in->row[column])
																  : DatumGetInt64(in->row[column]));
	}
	if (!summary[FIGURE_SPEND_TOTAL].isnull && !summary[FIGURE_COST_TOTAL].isnull)
		set_unit(&summary[FIGURE_MARGIN_TOTAL], money_sub(summary[FIGURE_SPEND_TOTAL].low, summary[FIGURE_COST_TOTAL].low));
	in->nbuckets = 0;
	if (!in->row_null[in->months - 1])
		in->buckets = months_unpack((struct varlena *)PG_DETOAST_DATUM_PACKED(in->row[in->months - 1]), &in->nbuckets);
	in->orders = NULL;
	in->norders = 0;
}

/*
 * The average of spend over so many orders, as numeric rounds it
 */
static int64
average(int64 spend, int64 orders)
{
	int64 rest = spend % orders;

	return spend / orders + (rest >= orders - rest ? 1 : rest <= rest - orders ? -1 : 0);
}

/*
 * The figures of the 12 months, which lie between these bounds
 */
static void
set_year(Figures *f, int64 orders_low, int64 orders_high, int64 spend_low, int64 spend_high)
{
	UnitFigure *average_figure = &f->units[FIGURE_AVG_ORDER_12M];

	f->exact = orders_low == orders_high && spend_low == spend_high;
	f->units[FIGURE_ORDERS_12M] = (UnitFigure){.low = orders_low, .high = orders_high};
	f->units[FIGURE_SPEND_12M] = (UnitFigure){.low = spend_low, .high = spend_high};
	*average_figure = (UnitFigure){.isnull = orders_high == 0, .maybe_null = orders_low == 0 && orders_high > 0};
	if (orders_low > 0)
	{
		average_figure->low = average(spend_low, orders_high);
		average_figure->high = average(spend_high, orders_low);
	}
}

/*
 * Bounds of the figures of the 12 months up to a moment, from the buckets: of the month that the window cuts, none to all of
 * the orders are in it. False when there are orders after the moment.
 */
static bool
year_from_buckets(Instant *in, Figures *f)
{
	int32 edge = month_of(f->year_start);
	bool cut = in->summary[FIGURE_FIRST_ORDER_AT].low <= f->year_start;
	int64 orders = 0;
	int64 spend = 0;
	int64 cut_orders = 0;
	int64 cut_spend = 0;

	if (in->summary[FIGURE_LAST_ORDER_AT].isnull)
	{
		set_year(f, 0, 0, 0, 0);
		return true;
	}
	if (in->summary[FIGURE_LAST_ORDER_AT].low > f->at)
		return false;
	for (int i = in->nbuckets - 1; i >= 0 && in->buckets[i].month >= edge; i--)
	{
		if (in->buckets[i].month == edge && cut)
		{
			cut_orders = in->buckets[i].orders;
			cut_spend = in->buckets[i].net;
			continue;
		}
		orders += in->buckets[i].orders;
		spend = money_add(spend, in->buckets[i].net);
	}
	set_year(f, orders, orders + cut_orders, spend, money_add(spend, cut_spend));
	return spend >= 0 && cut_spend >= 0;
}

/*
 * All orders of the customer that count, read once
 */
static void
need_orders(Instant *in)
{
	if (in->orders == NULL)
		in->orders = instant_orders(&in->store, in->customer->customer_id, &in->norders);
}

/*
 * Make sure that the figures are more than bounds
 */
static void
make_exact(Instant *in, Figures *f)
{
	int64 orders = 0;
	int64 spend = 0;

	if (f->exact)
		return;
	need_orders(in);
	for (int i = in->norders - 1; i >= 0 && in->orders[i].at > f->year_start; i--)
	{
		if (in->orders[i].at > f->at)
			continue;
		orders++;
		spend = money_add(spend, in->orders[i].net);
	}
	set_year(f, orders, orders, spend, spend);
	f->valued = false;
}

/*
 * The lifetime figures of the past, by the orders up to then
 */
static void
recount_figures(Instant *in, Figures *f)
{
	int64 count = 0;
	int64 total = 0;

	need_orders(in);
	for (; count < in->norders && in->orders[count].at <= f->at; count++)
		total = money_add(total, in->orders[count].net);
	set_unit(&f->units[FIGURE_ORDER_COUNT], count);
	set_unit(&f->units[FIGURE_SPEND_TOTAL], total);
	f->units[FIGURE_FIRST_ORDER_AT].isnull = f->units[FIGURE_LAST_ORDER_AT].isnull = count == 0;
	if (count > 0)
	{
		set_unit(&f->units[FIGURE_FIRST_ORDER_AT], in->orders[0].at);
		set_unit(&f->units[FIGURE_LAST_ORDER_AT], in->orders[count - 1].at);
	}
}

/*
 * The figures of the customer at a moment. recount asks for those of the past, by the orders up to then.
 */
static void
fill_figures(Instant *in, TimestampTz at, bool recount, Figures *f)
{
	static const Interval year = {.month = 12};

	/* Most statements ask about one moment. */
	if (in->year_at != at)
	{
		in->year_start = rule_add_interval(at, &year, -1, in->rules->zone);
		in->year_at = at;
	}
	f->at = at;
	f->year_start = in->year_start;
	f->valued = false;
	memcpy(f->units, in->summary, sizeof(in->summary));
	if (recount)
		recount_figures(in, f);
	if (recount || !year_from_buckets(in, f))
	{
		f->exact = false;
		make_exact(in, f);
	}
}

/*
 * A figure as a value; null is for the caller to see
 */
static Datum
figure_value(const Figures *f, int figure)
{
	return instant_kinds[figure] == UNIT_MONEY ? money_to_numeric(f->units[figure].low) : Int64GetDatum(f->units[figure].low);
}

/*
 * Does a rule hold?
 */
static bool
holds(Instant *in, Figures *f, CompiledRule *rule, UnitRule *units, bool names_year)
{
	if (units != NULL)
	{
		UnitAnswer answer = unit_rule_answer(units, f->units, f->at);

		if (answer == UNIT_UNKNOWN)
		{
			make_exact(in, f);
			answer = unit_rule_answer(units, f->units, f->at);
		}
		return answer == UNIT_TRUE;
	}
	if (names_year)
		make_exact(in, f);
	for (int i = 0; i < FIGURE_COUNT && !f->valued; i++)
	{
		f->isnull[i] = f->units[i].isnull;
		f->values[i] = f->isnull[i] ? (Datum)0 : figure_value(f, i);
	}
	f->valued = true;
	return rule_matches(rule, f->values, f->isnull, f->at);
}

/*
 * The first condition, highest tier first, that lifts a customer from held at a moment, by the figures then and before the
 * order; NULL when none does. Beyond peak a condition on lifetime figures need not be crossed.
 */
static InstantCondition *
lifting_condition(Instant *in, int32 held, int32 peak, Figures *f, Figures *before)
{
	for (int i = 0; i < in->rules->nconditions; i++)
	{
		InstantCondition *condition = &in->rules->conditions[i];

		if (condition->seq <= held)
			break;
		if (holds(in, f, condition->rule, condition->units, condition->names_year) &&
			(!condition->lifetime || condition->seq > peak || !holds(in, before, condition->rule, condition->units, condition->names_year)))
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
	Figures figures;
	Figures before;
	MemberState member;
	InstantCondition *condition;
	Datum value = 0;
	bool isnull;

	fill_figures(in, at, recount, &figures);
	before = figures;
	set_unit(&before.units[FIGURE_SPEND_TOTAL], money_sub(figures.units[FIGURE_SPEND_TOTAL].low, delta));
	set_unit(&before.units[FIGURE_ORDER_COUNT], figures.units[FIGURE_ORDER_COUNT].low - (counted ? 0 : 1));
	/* Most orders qualify for nothing, whatever the tier is. */
	if (lifting_condition(in, PG_INT32_MIN, PG_INT32_MIN, &figures, &before) == NULL)
		return;
	instant_member(&in->store, in->customer->customer_id, at, in->judged, &member);
	condition = lifting_condition(in, member.due ? PG_INT32_MIN : member.seq, member.peak, &figures, &before);
	if (condition == NULL)
		return;
	/* That SQL reads many customers at once, which Citus refuses on a shard: an ended cycle waits for evaluate_tiers(). */
	if (member.due && store_is_shard(in->statement->purchase))
		return;
	if (member.due)
	{
		/* A cycle is over: SQL does it step by step. */
		Datum args[4] = {Int64GetDatum(in->customer->customer_id), TimestampTzGetDatum(at),
						 figure_value(&before, FIGURE_SPEND_TOTAL), figure_value(&before, FIGURE_ORDER_COUNT)};

		if (SPI_execute_plan(instant_plan(in->rules, in->statement->purchase, INSTANT_JUDGE_ORDER), args, "    ",
							 false, 0) != SPI_OK_SELECT)
			elog(ERROR, "judging customer " INT64_FORMAT " failed", in->customer->customer_id);
		SPI_freetuptable(SPI_tuptable);
		in->judged = true;
		return;
	}
	isnull = condition->figure < 0;
	if (!isnull)
	{
		make_exact(in, &figures);
		isnull = figures.units[condition->figure].isnull;
	}
	if (!isnull)
		value = instant_kinds[condition->figure] == UNIT_COUNT
					? DirectFunctionCall1(int8_numeric, figure_value(&figures, condition->figure))
					: figure_value(&figures, condition->figure);
	instant_lift(&in->store, in->customer->customer_id, at, condition, value, isnull);
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
		if (shrank(change) && !store_is_shard(in->statement->purchase))
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
		judge_order_change(in, growing[i],
						   n > 1 || in->summary[FIGURE_LAST_ORDER_AT].isnull ||
							   growing[i]->after->order_at < in->summary[FIGURE_LAST_ORDER_AT].low);
}

/*
 * Rule tags of one customer, as of now
 */
static void
tag_customer(Instant *in)
{
	struct varlena *present = instant_tags(&in->store, in->customer->customer_id);
	Figures figures;
	TagScan scan;
	Tag tag;
	bool more;
	int ncomes = 0;
	int ngoes = 0;

	if (present == NULL)
		return;
	fill_figures(in, GetCurrentTransactionStartTimestamp(), false, &figures);
	/* Both the tags and the rules are in the order of bytes. */
	tag_scan_begin(&scan, present);
	more = tag_scan_next(&scan, &tag);
	for (int i = 0; i < in->rules->ntags; i++)
	{
		InstantTag *rule = &in->rules->tags[i];
		Tag own = {VARDATA_ANY(rule->tag), VARSIZE_ANY_EXHDR(rule->tag)};
		bool hold = holds(in, &figures, rule->rule, rule->units, rule->names_year);
		int order = -1;

		while (more && (order = tag_compare(&own, &tag)) > 0)
			more = tag_scan_next(&scan, &tag);
		if (hold == (more && order == 0))
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
			in->row = palloc(sizeof(Datum) * statement->summary_desc->natts);
			in->row_null = palloc(sizeof(bool) * statement->summary_desc->natts);
			in->year_at = DT_NOBEGIN;
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
