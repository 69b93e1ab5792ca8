/*
 * What a statement adds to the summary of each customer, and how it is written.
 */
#ifndef CRM_PURCHASE_SUMMARY_H
#define CRM_PURCHASE_SUMMARY_H

#include "base/compat.h"

#include "store/purchase.h"
#include "store/purchase_months.h"
#include "store/purchase_plan.h"

typedef struct CustomerDelta
{
	int64 customer_id;
	int64 orders;
	int64 spend;
	int64 refunded;
	int64 discount;
	int64 cost;
	/* Earliest and latest order that came; DT_NOEND and DT_NOBEGIN when none did. */
	TimestampTz first;
	TimestampTz last;
	/* Earliest and latest order that went. */
	TimestampTz lost_first;
	TimestampTz lost_last;
	MonthBucket *months;
	int nmonths;
	int room;
	int64 changes; /* rows of the statement */
} CustomerDelta;

/* Does it change the summary? */
extern bool delta_matters(const CustomerDelta *delta);

/* May customer_summary be written without the executor, since nothing but its key depends on the row? */
extern bool summaries_direct(Relation summary);

/*
 * Writes the deltas of written straight to the table, in their order. The rows go to kept[i]->summary when rows is set; lost
 * is set for those whose first or last order went.
 */
extern void summaries_write_direct(PurchaseTable *table,
								   Relation summary,
								   CustomerDelta **written,
								   int count,
								   PurchaseCustomer **kept,
								   bool *lost,
								   MemoryContext context);

/* Raises for a customer without a summary. */
extern void summary_missing(void) pg_attribute_noreturn();

/*
 * Adds the deltas, which ascend by customer, to customer_summary. With rows, they are those of customers[i].summary as far
 * as the summary changed, allocated in context.
 */
extern TupleDesc summaries_write(PurchaseTable *table,
								 Relation purchase,
								 CustomerDelta *deltas,
								 int count,
								 PurchaseCustomer *customers,
								 MemoryContext context);

#endif
