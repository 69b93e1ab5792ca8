#include "value/instant_figures.h"

#include "access/htup_details.h"
#include "store/money.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

static const char *const summary_columns[FIGURE_COUNT] = {"order_count",	"spend_total",	"refunded_total",
														  "discount_total", "cost_total",	NULL,
														  "first_order_at", "last_order_at"};

void
instant_begin(Instant *in)
{
	TupleDesc desc = in->statement->summary_desc;

	for (int i = 0; i < FIGURE_COUNT && !in->rules->summary_known; i++)
		in->rules->summary[i] = summary_columns[i] ? SPI_fnumber(desc, summary_columns[i]) : 0;
	if (!in->rules->summary_known)
		in->rules->months = SPI_fnumber(desc, "months");
	in->rules->summary_known = in->rules->kept.valid;
	in->row = palloc(sizeof(Datum) * desc->natts);
	in->row_null = palloc(sizeof(bool) * desc->natts);
	in->year_at = DT_NOBEGIN;
}

void
instant_read_summary(Instant *in)
{
	UnitFigure *summary = in->summary;

	heap_deform_tuple(in->customer->summary, in->statement->summary_desc, in->row, in->row_null);
	memset(summary, 0, sizeof(in->summary));
	for (int i = 0; i < FIGURE_COUNT; i++)
	{
		int column = in->rules->summary[i] - 1;

		summary[i].isnull = column < 0 || in->row_null[column];
		if (!summary[i].isnull)
			set_unit(&summary[i], instant_kinds[i] == UNIT_MONEY ? money_from_numeric(in->row[column])
																  : DatumGetInt64(in->row[column]));
	}
	if (!summary[FIGURE_SPEND_TOTAL].isnull && !summary[FIGURE_COST_TOTAL].isnull)
		set_unit(&summary[FIGURE_MARGIN_TOTAL], money_sub(summary[FIGURE_SPEND_TOTAL].low, summary[FIGURE_COST_TOTAL].low));
	in->nbuckets = 0;
	if (!in->row_null[in->rules->months - 1])
		in->buckets = months_unpack((struct varlena *)PG_DETOAST_DATUM_PACKED(in->row[in->rules->months - 1]), &in->nbuckets);
	in->orders = NULL;
	in->spent = NULL;
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
 * The figures of the 12 months: those that are certain, and a part that none to all of so many more orders are in, which
 * spent so much in all
 */
static void
set_year(Figures *f, int64 orders, int64 spend, int64 more_orders, int64 more_spend)
{
	UnitFigure *average_figure = &f->units[FIGURE_AVG_ORDER_12M];
	int64 all = orders + more_orders;
	int64 all_spend = money_add(spend, more_spend);

	f->exact = more_orders == 0 && more_spend == 0;
	f->units[FIGURE_ORDERS_12M] = (UnitFigure){.low = orders, .high = all};
	f->units[FIGURE_SPEND_12M] = (UnitFigure){.low = spend, .high = all_spend};
	*average_figure = (UnitFigure){.isnull = all == 0, .maybe_null = orders == 0 && all > 0};
	if (orders > 0)
	{
		int64 without = average(spend, orders);
		int64 with = average(all_spend, all);

		average_figure->low = Min(without, with);
		average_figure->high = Max(without, with);
		/* Of several, some may be in it: all but one that cost nothing, or one that cost all. */
		if (more_orders > 1)
		{
			average_figure->low = Min(average_figure->low, average(spend, all - 1));
			average_figure->high = Max(average_figure->high, average(all_spend, orders + 1));
		}
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
	set_year(f, orders, spend, cut_orders, cut_spend);
	return spend >= 0 && cut_spend >= 0;
}

/*
 * Order of orders: by their moments
 */
static int
compare_orders(const void *a, const void *b)
{
	TimestampTz x = ((const CountedOrder *)a)->at;
	TimestampTz y = ((const CountedOrder *)b)->at;

	return (x > y) - (x < y);
}

/*
 * All orders of the customer that count, in no order
 */
static void
read_orders(Instant *in)
{
	if (in->orders == NULL)
		in->orders = instant_orders(&in->store, in->customer->customer_id, &in->norders);
}

void
instant_need_orders(Instant *in)
{
	if (in->spent != NULL)
		return;
	read_orders(in);
	qsort(in->orders, in->norders, sizeof(CountedOrder), compare_orders);
	in->spent = palloc_extended(sizeof(int64) * (in->norders + 1), MCXT_ALLOC_HUGE);
	in->spent[0] = 0;
	for (int i = 0; i < in->norders; i++)
		in->spent[i + 1] = money_add(in->spent[i], in->orders[i].net);
}

int
instant_orders_until(const Instant *in, TimestampTz at)
{
	int low = 0;
	int high = in->norders;

	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (in->orders[middle].at <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void
instant_make_exact(Instant *in, Figures *f)
{
	int64 orders = 0;
	int64 spend = 0;

	if (f->exact)
		return;
	read_orders(in);
	/* One question is answered without sorting them. */
	for (int i = 0; i < in->norders && in->spent == NULL; i++)
	{
		const CountedOrder *order = &in->orders[i];

		if (order->at > f->year_start && order->at <= f->at)
		{
			orders++;
			spend = money_add(spend, order->net);
		}
	}
	if (in->spent != NULL)
	{
		int first = instant_orders_until(in, f->year_start);
		int end = Max(instant_orders_until(in, f->at), first);

		orders = end - first;
		spend = in->spent[end] - in->spent[first];
	}
	set_year(f, orders, spend, 0, 0);
	f->valued = false;
}

void
instant_add_cut(Figures *f, int64 orders, int64 spend)
{
	set_year(f, f->units[FIGURE_ORDERS_12M].low + orders, money_add(f->units[FIGURE_SPEND_12M].low, spend), 0, 0);
}

/*
 * The lifetime figures of the past, by the orders up to then
 */
static void
recount_figures(Instant *in, Figures *f)
{
	int count;

	instant_need_orders(in);
	count = instant_orders_until(in, f->at);
	set_unit(&f->units[FIGURE_ORDER_COUNT], count);
	set_unit(&f->units[FIGURE_SPEND_TOTAL], in->spent[count]);
	f->units[FIGURE_FIRST_ORDER_AT].isnull = f->units[FIGURE_LAST_ORDER_AT].isnull = count == 0;
	if (count > 0)
	{
		set_unit(&f->units[FIGURE_FIRST_ORDER_AT], in->orders[0].at);
		set_unit(&f->units[FIGURE_LAST_ORDER_AT], in->orders[count - 1].at);
	}
}

void
instant_figures(Instant *in, TimestampTz at, bool recount, Figures *f)
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
		instant_make_exact(in, f);
	}
}

Datum
instant_figure_value(const Figures *f, int figure)
{
	return instant_kinds[figure] == UNIT_MONEY ? money_to_numeric(f->units[figure].low) : Int64GetDatum(f->units[figure].low);
}

bool
instant_holds(Instant *in, Figures *f, CompiledRule *rule, UnitRule *units, bool names_year)
{
	if (units != NULL)
	{
		UnitAnswer answer = unit_rule_answer(units, f->units, f->at);

		if (answer == UNIT_UNKNOWN)
		{
			instant_make_exact(in, f);
			answer = unit_rule_answer(units, f->units, f->at);
		}
		return answer == UNIT_TRUE;
	}
	if (names_year)
		instant_make_exact(in, f);
	for (int i = 0; i < FIGURE_COUNT && !f->valued; i++)
	{
		f->isnull[i] = f->units[i].isnull;
		f->values[i] = f->isnull[i] ? (Datum)0 : instant_figure_value(f, i);
	}
	f->valued = true;
	return rule_matches(rule, f->values, f->isnull, f->at);
}
