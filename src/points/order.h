/*
 * What orders earn: the rules of points_rule as the order path sees them.
 */
#ifndef CRM_POINTS_ORDER_H
#define CRM_POINTS_ORDER_H

#include "base/change.h"
#include "points/ledger.h"
#include "store/purchase.h"

/* Source of every entry that an order posts; its reference is channel/order_no, with #n for further ones. */
#define ORDER_SOURCE "purchase"

/* Source of the transfers between the accounts of one person. */
#define MERGE_SOURCE "merge"

/* Multipliers are counts of 1/10000. */
#define TIMES_ONE INT64CONST(10000)
#define TIMES_MAX INT64CONST(10000000000)

/* Bounds within which 128 bits are enough. */
#define RULE_POINTS_MAX INT64CONST(1000000000)

typedef enum OrderRounding
{
	ROUND_DOWN,
	ROUND_NEAREST,
	ROUND_UP
} OrderRounding;

/* A multiplier of a whole order, while from <= amount kept < until. */
typedef struct OrderTimes
{
	int64 times;
	int64 from;
	int64 until;
} OrderTimes;

/* A multiplier of the lines with one of these categories or products; either list may be empty, for any. */
typedef struct OrderMark
{
	int64 times;
	List *categories; /* char * */
	List *products;
} OrderMark;

/* A rule as an order earns by it, and as the entry keeps it: whose conditions were met stands in times and marks. */
typedef struct OrderRule
{
	int32 rule;
	const char *program;
	int64 points;	 /* given for each */
	int64 per;		 /* amount, in 1/10000 */
	int64 minimum;	 /* an order of less earns nothing, in 1/10000 */
	OrderRounding rounding;
	bool product; /* of several multipliers that match, their product holds, else the largest */
	bool carry;	  /* what is below one point counts with the customer's other orders */
	bool carried; /* it does for some orders of the program */
	List *times;  /* OrderTimes * */
	List *marks;  /* OrderMark * */
	bool on_paid; /* available when paid, else when completed */
	int32 wait_days; /* then only after so many days */
	TimestampTz valid_from;
	TimestampTz valid_until;
	bool active;		/* else only refunds of what it gave are left to it */
	bool redeemable;	/* of the program: benefits of tiers multiply its points */
	List *multipliers;	/* OrderMultiplier *, not yet judged */
} OrderRule;

/* A row of points_multiplier: conditions of the order, and what holds then. */
typedef struct OrderMultiplier
{
	List *tiers; /* char *; empty for any */
	bool birthday_month;
	TimestampTz valid_from;
	TimestampTz valid_until;
	OrderMark mark; /* without lists: of the whole order */
} OrderMultiplier;

/* A multiplier that a tier gives as a benefit. */
typedef struct OrderBenefit
{
	const char *tier;
	bool birthday_month;
	OrderTimes times;
} OrderBenefit;

/* A line of an order: what is kept of it. */
typedef struct OrderLine
{
	int32 line; /* 0 for what no line tells of */
	int64 amount;
	int64 kept;
	const char *category;
	const char *product;
	int64 times;
	int64 points;
} OrderLine;

typedef struct OrderLines
{
	int count;
	OrderLine *line;
} OrderLines;

/* What multipliers ask of the customer at the moment of an order; looked up once when one asks. */
typedef struct OrderFacts
{
	int64 customer_id;
	TimestampTz at;
	bool tier_known;
	const char *tier;
	bool birthday_asked; /* of the contact, which may leave it unknown */
	bool birthday_known;
	bool birthday_month;
} OrderFacts;

/* Tables that rules are read from; points_entry is where they post to. */
typedef enum WatchedTable
{
	TABLE_ENTRY,
	TABLE_RULE,
	TABLE_MULTIPLIER,
	TABLE_PROGRAM,
	TABLE_SETTINGS,
	TABLE_TIER,
	TABLE_BENEFIT,
	TABLE_CARRY,
	TABLE_TIER_CHANGE,
	TABLE_CONTACT,
	WATCHED_TABLES
} WatchedTable;

/* What is kept of a store's rules. */
typedef struct OrderRules
{
	Kept kept; /* of purchase */
	Oid entries;
	List *rules;	/* OrderRule *, by number */
	List *benefits; /* OrderBenefit * */
	char *base_tier;
	AttrNumber change_at; /* columns of tier_change; 0 where it has none */
	AttrNumber change_no;
	AttrNumber change_reason;
	AttrNumber change_tier;
	AttrNumber birth_date; /* of contact; 0 where SQL has to read it */
	AttrNumber birth_calendar;
	pg_tz *zone;
	bool marks; /* is there any multiplier of lines? */
	MemoryContext context;
	SPIPlanPtr tier;
	SPIPlanPtr birthday;
	SPIPlanPtr lines;
	SPIPlanPtr orders;
	SPIPlanPtr carried;
	SPIPlanPtr carry;
} OrderRules;

/* order_rule.c */
extern OrderRules *order_rules(Relation purchase);
extern SPIPlanPtr order_plan(SPIPlanPtr *plan, const char *sql, int count, const Oid *types);

/* order_fact.c */
extern OrderRule *order_judge(OrderRules *store, Relation purchase, const OrderRule *rule, OrderFacts *facts);
extern void order_read_lines(
	OrderRules *store, Relation purchase, int64 customer_id, const PurchaseImage *image, OrderLines *lines);

/* order_amount.c */
extern int64 order_points(const OrderRule *rule, int64 amount, OrderLines *lines);
extern int64 order_micropoints(const OrderRule *rule, int64 amount, OrderLines *lines);
extern char *order_detail(const OrderRule *rule, int64 amount, OrderLines *lines);
extern bool order_stored(const PointsEntry *earn, OrderRule *rule);

/* order_settle.c */
typedef struct OrderJob
{
	/* customer_id and program of accounts, for locking */
	PointsEntry key;
	PointsEntry home;  /* where the order's points were posted, before a merge maybe */
	PointsEntry spent; /* where those redeemed for it were */
	int64 customer_id; /* of the order */
	const OrderRule *rule;
	const PurchaseImage *before;
	const PurchaseImage *after;
	const char *reference;
	bool earns;	  /* the rule holds: an order that did not earn yet may do so */
	bool restore; /* give back what was redeemed for the order */
	bool has_lines;
	OrderLines lines;
} OrderJob;

typedef struct OrderPosting
{
	OrderRules *store;
	Relation purchase;
	Relation entries;
	Ledger *ledger;
	LedgerAccount *accounts;
	int count;
} OrderPosting;

extern int64 order_kept(const PurchaseImage *image);
extern bool order_completed(const PurchaseImage *image);
extern OrderLines *order_lines(OrderPosting *posting, OrderJob *job);
extern bool order_carries(OrderPosting *posting, const OrderJob *job);
extern void order_do(OrderPosting *posting, OrderJob *job);

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
