/*
 * What the trigger on purchase reads of a row.
 */
#ifndef CRM_PURCHASE_IMAGE_H
#define CRM_PURCHASE_IMAGE_H

#include "base/compat.h"

#include "executor/tuptable.h"
#include "store/purchase.h"
#include "store/purchase_plan.h"

/* The part of a row that the summary needs. */
typedef struct OrderRow
{
	int64 customer_id;
	bool counts;
	TimestampTz order_at;
	int64 net;
	int64 refunded;
	int64 discount;
	int64 cost;
} OrderRow;

/* Read what the summary needs of a row. */
extern void purchase_read_row(const PurchaseColumns *c, TupleTableSlot *slot, OrderRow *row);

/* Copy of a row for the consumers. */
extern PurchaseImage *purchase_image(const PurchaseColumns *c, TupleTableSlot *slot);

#endif
