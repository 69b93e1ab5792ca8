/*
 * What the trigger on purchase knows about its table: columns and saved plans, cached for the session.
 */
#ifndef CRM_PURCHASE_PLAN_H
#define CRM_PURCHASE_PLAN_H

#include "base/compat.h"

#include "executor/spi.h"
#include "utils/relcache.h"

typedef enum PurchasePlan
{
	PLAN_ONE,		/* add to one customer's summary */
	PLAN_ONE_ROW,	/* the same, returning the row */
	PLAN_MANY,		/* add to many */
	PLAN_MANY_ROWS, /* the same, returning the rows */
	PLAN_EDGES,		/* first and last order of some customers anew */
	PLAN_EDGES_ROWS,
	PLAN_COUNT
} PurchasePlan;

/* Column numbers of purchase. */
typedef struct PurchaseColumns
{
	AttrNumber customer_id;
	AttrNumber channel;
	AttrNumber order_no;
	AttrNumber status;
	AttrNumber history;
	AttrNumber amount;
	AttrNumber net;
	AttrNumber discount;
	AttrNumber cost;
	AttrNumber order_at;
	AttrNumber ordered_at;
	AttrNumber completed_at;
	AttrNumber currency;
	AttrNumber currency_rate;
	AttrNumber points_customer; /* 0 while the store has no ledger */
} PurchaseColumns;

/* Column numbers of customer_summary. */
typedef struct SummaryColumns
{
	AttrNumber order_count;
	AttrNumber spend_total;
	AttrNumber refunded_total;
	AttrNumber discount_total;
	AttrNumber cost_total;
	AttrNumber months;
	AttrNumber first_order_at;
	AttrNumber last_order_at;
} SummaryColumns;

typedef struct PurchaseTable
{
	Oid relid; /* hash key */
	bool valid;
	PurchaseColumns columns;
	Oid customer_summary;
	SummaryColumns summary;
	SPIPlanPtr plans[PLAN_COUNT];
} PurchaseTable;

extern PurchaseTable *purchase_table(Relation purchase);

/* The plan, prepared when it isn't; SPI must be connected and the owner's rights be in force. */
extern SPIPlanPtr purchase_plan(PurchaseTable *table, Relation purchase, PurchasePlan which);

#endif
