/*
 * What one statement did to the orders of a store, for the parts that act on orders.
 *
 * The trigger on purchase first brings customer_summary up to date and then hands the changes to the consumers listed in
 * purchase_consumers.c (points, value). A consumer runs as the owner of the store, with search_path = pg_catalog, pg_temp,
 * after the summaries were written, in the same transaction; it may use SPI (SPI_connect itself) and may raise.
 */
#ifndef CRM_PURCHASE_H
#define CRM_PURCHASE_H

#include "base/compat.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "utils/palloc.h"
#include "utils/relcache.h"

typedef enum PurchaseStatus
{
	PURCHASE_PENDING,
	PURCHASE_PAID,
	PURCHASE_SHIPPED,
	PURCHASE_COMPLETED,
	PURCHASE_CANCELLED,
	PURCHASE_REFUNDED
} PurchaseStatus;

/* An order as it was or as it is; money in 1/10000 of the currency's unit. */
typedef struct PurchaseImage
{
	text *channel;
	text *order_no;
	PurchaseStatus status;
	bool history; /* imported history: counts in summaries, earns nothing */
	int64 amount;
	int64 refunded; /* given back: amount - net of an order that was paid, else 0 */
	int64 net;		/* what it adds to spend */
	int64 discount;
	int64 cost; /* 0 when unknown */
	TimestampTz order_at; /* when it counts as an order; DT_NOBEGIN while it does not */
	TimestampTz ordered_at;
	TimestampTz completed_at; /* DT_NOBEGIN when null */
	int64 points_customer;	  /* whose account its points are posted to; 0: the customer's own */
} PurchaseImage;

/*
 * One row inserted (before is NULL), updated or deleted (after is NULL). An order moved to another customer is two changes:
 * deleted at the old customer (moved_to set), inserted at the new (moved_from set). moved_* are 0 otherwise.
 */
typedef struct PurchaseChange
{
	PurchaseImage *before;
	PurchaseImage *after;
	int64 moved_from;
	int64 moved_to;
	PurchaseImage *other; /* of a move: the order at the other customer */
} PurchaseChange;

/* The changes of one customer, in the order in which they were made. */
typedef struct PurchaseCustomer
{
	int64 customer_id;
	PurchaseChange *changes;
	int nchanges;
	HeapTuple summary; /* row of customer_summary after the statement; NULL when the statement left it alone */
} PurchaseCustomer;

/* A statement, or, when it touched very many orders, a part of it; each customer is in one part. */
typedef struct PurchaseStatement
{
	Relation purchase;
	Oid customer_summary;
	TupleDesc summary_desc;		 /* of PurchaseCustomer.summary; NULL when no summary changed */
	PurchaseCustomer *customers; /* by customer_id, ascending */
	int ncustomers;
	MemoryContext context; /* lives until the consumers are done; current when they are called */
} PurchaseStatement;

typedef struct PurchaseConsumer
{
	const char *name;
	/* Is there work for this consumer in the store of purchase? Called once a statement: must be cheap (cache by relid). */
	bool (*wants)(Relation purchase);
	void (*orders)(PurchaseStatement *statement);
} PurchaseConsumer;

/* Ends with an entry whose name is NULL; called in this order. */
extern const PurchaseConsumer purchase_consumers[];

#endif
