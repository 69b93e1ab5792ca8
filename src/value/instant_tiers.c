#include "value/instant_figures.h"

#include "base/store.h"
#include "miscadmin.h"
#include "store/money.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

/* A moment at which a customer is judged: by orders that came, or grew, then. */
typedef struct Moment
{
	TimestampTz at;
	int64 orders;
	int64 spend;
} Moment;

InstantCondition *
instant_lifting_condition(Instant *in, int32 held, int32 peak, Figures *f, Figures *before)
{
	for (int i = 0; i < in->rules->nconditions; i++)
	{
		InstantCondition *condition = &in->rules->conditions[i];

		if (condition->seq <= held)
			break;
		if (instant_holds(in, f, condition->rule, condition->units, condition->names_year) &&
			(!condition->lifetime || condition->seq > peak || !instant_holds(in, before, condition->rule, condition->units, condition->names_year)))
			return condition;
	}
	return NULL;
}

Datum
instant_condition_value(Instant *in, Figures *f, const InstantCondition *condition, bool *isnull)
{
	Datum value;

	*isnull = condition->figure < 0;
	if (*isnull)
		return (Datum)0;
	if (condition->figure >= FIGURE_ORDERS_12M && condition->figure <= FIGURE_AVG_ORDER_12M)
		instant_make_exact(in, f);
	*isnull = f->units[condition->figure].isnull;
	if (*isnull)
		return (Datum)0;
	value = instant_figure_value(f, condition->figure);
	return instant_kinds[condition->figure] == UNIT_COUNT ? DirectFunctionCall1(int8_numeric, value) : value;
}

/*
 * A cycle of the customer is over: SQL does it step by step
 */
static void
judge_ended(Instant *in, const Figures *before)
{
	Datum args[4] = {Int64GetDatum(in->customer->customer_id), TimestampTzGetDatum(before->at),
					 instant_figure_value(before, FIGURE_SPEND_TOTAL), instant_figure_value(before, FIGURE_ORDER_COUNT)};

	if (SPI_execute_plan(instant_plan(in->rules, in->statement->purchase, INSTANT_JUDGE_ORDER), args, "    ", false, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "judging customer " INT64_FORMAT " failed", in->customer->customer_id);
	SPI_freetuptable(SPI_tuptable);
	in->judged = true;
}

/*
 * The figures at a moment, and those before what came of orders and spend by it
 */
static void
figures_around(Instant *in, const Moment *moment, bool recount, Figures *figures, Figures *before)
{
	instant_figures(in, moment->at, recount, figures);
	*before = *figures;
	set_unit(&before->units[FIGURE_SPEND_TOTAL], money_sub(figures->units[FIGURE_SPEND_TOTAL].low, moment->spend));
	set_unit(&before->units[FIGURE_ORDER_COUNT], figures->units[FIGURE_ORDER_COUNT].low - moment->orders);
}

/*
 * Judge the customer at a moment, or, when the tier is of a later one, at that
 */
static void
judge_moment(Instant *in, Moment moment, bool recount)
{
	Figures figures;
	Figures before;
	MemberState member;
	InstantCondition *condition;
	Datum value;
	bool isnull;

	figures_around(in, &moment, recount, &figures, &before);
	/* Most orders qualify for nothing, whatever the tier is. */
	if (instant_lifting_condition(in, PG_INT32_MIN, PG_INT32_MIN, &figures, &before) == NULL)
		return;
	instant_member(&in->store, in->customer->customer_id, in->judged, &member);
	if (member.since > moment.at)
	{
		/* A history does not run backwards. */
		moment.at = member.since;
		figures_around(in, &moment, recount, &figures, &before);
	}
	condition = instant_lifting_condition(in, member.judged_at <= moment.at ? PG_INT32_MIN : member.seq, member.peak, &figures, &before);
	if (condition == NULL)
		return;
	if (member.judged_at <= moment.at)
	{
		/* Without the functions of its part of the store, an ended cycle waits for evaluate_tiers(). */
		if (store_runs_here(in->statement->purchase))
			judge_ended(in, &before);
		return;
	}
	value = instant_condition_value(in, &figures, condition, &isnull);
	if (in->judged || !instant_lift_direct(&in->store, in->customer->customer_id, &member, moment.at, condition, value, isnull))
		instant_lift(&in->store, in->customer->customer_id, moment.at, condition, value, isnull);
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

bool
instant_shrank(const PurchaseChange *change)
{
	return change->before != NULL && change->before->order_at != DT_NOBEGIN &&
		   (change->after == NULL || change->after->order_at == DT_NOBEGIN || change->after->net < change->before->net);
}

/*
 * Order of moments
 */
static int
compare_moments(const void *a, const void *b)
{
	TimestampTz x = ((const Moment *)a)->at;
	TimestampTz y = ((const Moment *)b)->at;

	return (x > y) - (x < y);
}

/*
 * The moments at which orders grew, the earliest first, and what came by them
 */
static Moment *
growing_moments(const PurchaseCustomer *customer, int *count)
{
	Moment *moments = palloc(sizeof(Moment) * Max(customer->nchanges, 1));
	int n = 0;
	int kept = 0;

	for (int i = 0; i < customer->nchanges; i++)
	{
		PurchaseChange *change = &customer->changes[i];
		bool counted = change->before != NULL && change->before->order_at != DT_NOBEGIN;

		if (!grew(change))
			continue;
		moments[n].at = change->after->order_at;
		moments[n].spend = money_sub(change->after->net, counted ? change->before->net : 0);
		moments[n++].orders = counted ? 0 : 1;
	}
	if (n > 1)
		qsort(moments, n, sizeof(Moment), compare_moments);
	for (int i = 1; i < n; i++)
	{
		if (moments[i].at != moments[kept].at)
			moments[++kept] = moments[i];
		else
		{
			moments[kept].spend = money_add(moments[kept].spend, moments[i].spend);
			moments[kept].orders += moments[i].orders;
		}
	}
	*count = n > 0 ? kept + 1 : 0;
	return moments;
}

/*
 * Judge orders that are not the last: each at its own moment, and the orders that came after it once more, since with it
 * they may be the ones that qualify. As if all had come in the order of their moments; but what was judged stays.
 */
static void
judge_again(Instant *in, Moment *moments, int count)
{
	MemberState member;
	Moment late = {.at = DT_NOBEGIN};
	int own = 0;

	instant_need_orders(in);
	instant_member(&in->store, in->customer->customer_id, in->judged, &member);
	/* Those of before the tier count at the moment of the tier. */
	for (; own < count && moments[own].at < member.since; own++)
	{
		late.at = member.since;
		late.spend = money_add(late.spend, moments[own].spend);
		late.orders += moments[own].orders;
	}
	if (late.at != DT_NOBEGIN)
		judge_moment(in, late, true);
	for (int i = instant_orders_until(in, late.at == DT_NOBEGIN ? moments[0].at - 1 : late.at), end; i < in->norders; i = end)
	{
		Moment moment = {.at = in->orders[i].at};

		CHECK_FOR_INTERRUPTS();
		end = instant_orders_until(in, moment.at);
		moment.spend = in->spent[end] - in->spent[i];
		moment.orders = end - i;
		while (own < count && moments[own].at < moment.at)
			own++;
		if (own < count && moments[own].at == moment.at)
			moment = moments[own];
		judge_moment(in, moment, true);
	}
}

void
instant_judge_tiers(Instant *in)
{
	PurchaseCustomer *customer = in->customer;
	Moment *moments;
	int count;

	for (int i = 0; i < customer->nchanges; i++)
	{
		PurchaseChange *change = &customer->changes[i];

		if (instant_shrank(change) && store_runs_here(in->statement->purchase))
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
	if (in->rules->nconditions == 0)
		return;
	moments = growing_moments(customer, &count);
	if (count == 1 && !in->summary[FIGURE_LAST_ORDER_AT].isnull && moments[0].at >= in->summary[FIGURE_LAST_ORDER_AT].low)
		judge_moment(in, moments[0], false);
	else if (count > 0)
		judge_again(in, moments, count);
}
