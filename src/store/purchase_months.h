/*
 * crm.purchase_months: how many orders and how much spend in each calendar month (UTC), packed into one value.
 */
#ifndef CRM_PURCHASE_MONTHS_H
#define CRM_PURCHASE_MONTHS_H

#include "base/compat.h"

#include "datatype/timestamp.h"

/* month = year * 12 + month - 1 */
typedef struct MonthBucket
{
	int32 month;
	int64 orders;
	int64 net; /* in 1/10000 */
} MonthBucket;

/* Years 1 to 9999. */
#define MONTH_FIRST 12
#define MONTH_LAST (9999 * 12 + 11)

extern int32 month_of(TimestampTz at);
extern TimestampTz month_start(int32 month);

/* Buckets of a value in ascending order, palloc'd; raises on bytes that are not a value. */
extern MonthBucket *months_unpack(const struct varlena *value, int *count);

/* The value of buckets in ascending order; empty ones are left out. */
extern struct varlena *months_pack(const MonthBucket *buckets, int count);

/* Adds to the buckets at hand, which stay sorted; room for one more is the caller's. True when a new one was made. */
extern bool months_put(MonthBucket *buckets, int count, int32 month, int64 orders, int64 net);

#endif
