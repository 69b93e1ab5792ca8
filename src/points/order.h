/*
 * What orders earn: the rules of points_rule as the order path sees them.
 */
#ifndef CRM_POINTS_ORDER_H
#define CRM_POINTS_ORDER_H

#include "points/ledger.h"
#include "store/purchase.h"

/* Source of every entry that an order posts; its reference is channel/order_no, with #n for further ones. */
#define ORDER_SOURCE "purchase"

/* Source of the transfers between the accounts of one person. */
#define MERGE_SOURCE "merge"

/* A row of points_rule for orders. */
typedef struct OrderRule
{
	int32 rule;
	const char *program;
	int64 points;	 /* given for each */
	int64 per;		 /* amount, in 1/10000 */
	int64 minimum;	 /* an order of less earns nothing, in 1/10000 */
	bool on_paid;	 /* available when paid, else when completed */
	int32 wait_days; /* then only after so many days */
	TimestampTz valid_from;
	TimestampTz valid_until;
	bool active; /* else only refunds of what it gave are left to it */
} OrderRule;

/* order_rule.c */
extern List *order_rules(Relation purchase, Oid *entries);
extern bool order_rules_exist(Relation purchase);
extern int64 order_rule_points(const OrderRule *rule, int64 amount);
extern char *order_rule_detail(const OrderRule *rule, int64 amount);
extern bool order_rule_stored(const PointsEntry *earn, OrderRule *rule);

/* order_merge.c */
extern bool order_same_person(Relation purchase, int64 a, int64 b);
extern List *order_merged_into(Relation purchase, int64 customer_id);
extern int64 order_move_points(Ledger *ledger,
							   Relation entries,
							   LedgerAccount *from,
							   LedgerAccount *to,
							   int64 most,
							   const char *source,
							   const char *reference);

/* order.c */
extern bool points_wants_orders(Relation purchase);
extern void points_take_orders(PurchaseStatement *statement);

#endif
