/*
 * The figures of a customer that rules are asked about in the order path, and what is judged by them.
 */
#ifndef CRM_INSTANT_FIGURES_H
#define CRM_INSTANT_FIGURES_H

#include "base/compat.h"

#include "store/purchase.h"
#include "store/purchase_months.h"
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

/* The work on a statement. */
typedef struct Instant
{
	PurchaseStatement *statement;
	InstantRules *rules;
	InstantStore store;
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
	int64 *spent;		  /* spend before each, and in all, once they were sorted by their moments */
	int norders;
	bool judged; /* has this statement changed the customer's tier? */

	/* Tags to set and to remove. */
	InstantTag **comes;
	InstantTag **goes;
} Instant;

/* Give a figure a value. */
static inline void
set_unit(UnitFigure *figure, int64 value)
{
	figure->low = figure->high = value;
	figure->isnull = figure->maybe_null = false;
}

/* Find the columns of the summaries, and make room for a row of them. */
extern void instant_begin(Instant *in);

/* Take the row of customer_summary apart. */
extern void instant_read_summary(Instant *in);

/* All orders of the customer that count, read once. */
extern void instant_need_orders(Instant *in);

/* How many of the orders came up to a moment. */
extern int instant_orders_until(const Instant *in, TimestampTz at);

/* Make sure that the figures are more than bounds. */
extern void instant_make_exact(Instant *in, Figures *f);

/* What of the month that the 12 months cut is in them: with it the figures are more than bounds. */
extern void instant_add_cut(Figures *f, int64 orders, int64 spend);

/* The figures of the customer at a moment. recount asks for those of the past, by the orders up to then. */
extern void instant_figures(Instant *in, TimestampTz at, bool recount, Figures *f);

/* A figure as a value; null is for the caller to see. */
extern Datum instant_figure_value(const Figures *f, int figure);

/* Does a rule hold? */
extern bool instant_holds(Instant *in, Figures *f, CompiledRule *rule, UnitRule *units, bool names_year);

/* Did the change take something from an order that counted? */
extern bool instant_shrank(const PurchaseChange *change);

/*
 * The first condition, highest tier first, that lifts a customer from held at a moment, by the figures then and before the
 * order; NULL when none does. Beyond peak a condition on lifetime figures need not be crossed.
 */
extern InstantCondition *
instant_lifting_condition(Instant *in, int32 held, int32 peak, Figures *f, Figures *before);

/* What the customer has of the figure that a condition compares. */
extern Datum
instant_condition_value(Instant *in, Figures *f, const InstantCondition *condition, bool *isnull);

/* Tiers of one customer: shrinking orders first, then the growing ones in the order of their moments. */
extern void instant_judge_tiers(Instant *in);

#endif
