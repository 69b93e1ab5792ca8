/*
 * The numbers of orders in a store whose orders are partitioned: purchase_number (channel, order_no, customer_id) keeps them
 * unique over customers, which no key of a partitioned table can, and says whose order a number is.
 */
#ifndef CRM_PURCHASE_NUMBER_H
#define CRM_PURCHASE_NUMBER_H

#include "store/purchase_plan.h"

#include "executor/tuptable.h"

typedef struct PurchaseNumbers PurchaseNumbers;

/* What a statement does to the numbers of a store; NULL when a key of purchase keeps them. */
extern PurchaseNumbers *purchase_numbers_begin(Relation purchase);

/* Note a row: before is NULL when it came, after when it went. */
extern void
purchase_numbers_add(PurchaseNumbers *numbers, const PurchaseColumns *c, TupleTableSlot *before, TupleTableSlot *after);

/* Write them, in the order of the numbers; the owner's rights must be in force. Raises 23505 when a number is another order's. */
extern void purchase_numbers_write(PurchaseNumbers *numbers);

#endif
