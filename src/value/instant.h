/*
 * What the order path does about tiers and rule tags.
 */
#ifndef CRM_INSTANT_H
#define CRM_INSTANT_H

#include "store/purchase.h"

/* The consumer of orders: lifts, takes back, tags at once. */
extern bool
value_wants_orders(Relation purchase);
extern void
value_take_orders(PurchaseStatement *statement);

#endif
