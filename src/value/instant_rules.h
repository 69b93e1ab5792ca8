/*
 * The rules that the order path evaluates, compiled and cached by store.
 */
#ifndef CRM_INSTANT_RULES_H
#define CRM_INSTANT_RULES_H

#include "value/rule.h"

#include "executor/spi.h"
#include "utils/relcache.h"

/* The figures that rules may name here, in this order. */
typedef enum InstantFigure
{
	FIGURE_ORDER_COUNT,
	FIGURE_SPEND_TOTAL,
	FIGURE_REFUNDED_TOTAL,
	FIGURE_DISCOUNT_TOTAL,
	FIGURE_COST_TOTAL,
	FIGURE_MARGIN_TOTAL,
	FIGURE_FIRST_ORDER_AT,
	FIGURE_LAST_ORDER_AT,
	FIGURE_ORDERS_12M,
	FIGURE_SPEND_12M,
	FIGURE_AVG_ORDER_12M,
	FIGURE_COUNT
} InstantFigure;

typedef enum InstantPlan
{
	INSTANT_JUDGE_ORDER,
	INSTANT_JUDGE_REFUND,
	INSTANT_ORDERS,
	INSTANT_TAGS,
	INSTANT_CUSTOMER_TAGS,
	INSTANT_PLANS
} InstantPlan;

/* One of the conditions by which a tier is reached. */
typedef struct InstantCondition
{
	int32 seq;
	bool lifetime; /* lifts only by the order that crosses it */
	CompiledRule *rule;
} InstantCondition;

typedef struct InstantTag
{
	text *tag;
	CompiledRule *rule;
} InstantTag;

typedef struct InstantRules
{
	Oid relid; /* of purchase: hash key */
	bool valid;
	Oid watched[3]; /* tables whose change makes it invalid */
	bool tiers;		/* is there anything to lift to? */
	int nconditions;
	InstantCondition *conditions; /* the highest tier first */
	int ntags;
	InstantTag *tags;
	pg_tz *zone;
	MemoryContext context;
	SPIPlanPtr plans[INSTANT_PLANS];
} InstantRules;

/* The rules of the store of a purchase table. */
extern InstantRules *
instant_rules(Relation purchase);

/* A saved plan; SPI must be connected and the owner's rights be in force. */
extern SPIPlanPtr
instant_plan(InstantRules *rules, Relation purchase, InstantPlan which);

#endif
