/*
 * The rules that the order path evaluates, compiled and cached by store.
 */
#ifndef CRM_INSTANT_RULES_H
#define CRM_INSTANT_RULES_H

#include "base/change.h"
#include "value/rule_units.h"

#include "executor/spi.h"
#include "tags/tagset.h"
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
	FIGURE_ORDER_PATH, /* the order path knows those before */
	FIGURE_GROWTH = FIGURE_ORDER_PATH,
	FIGURE_COUNT
} InstantFigure;

typedef enum InstantPlan
{
	INSTANT_JUDGE_ORDER,
	INSTANT_JUDGE_REFUND,
	INSTANT_ORDERS,
	INSTANT_LIFT,
	INSTANT_UPDATE_TAGS,
	INSTANT_TAGS, /* for tables that cannot be read straight */
	INSTANT_MEMBER,
	INSTANT_PLANS
} InstantPlan;

/* Tables beside purchase. What is kept is read again when they change, the first five by any statement that writes them. */
typedef enum InstantTable
{
	INSTANT_TABLE_TIER,
	INSTANT_TABLE_TAG_RULE,
	INSTANT_TABLE_SETTINGS,
	INSTANT_TABLE_TAG,
	INSTANT_TABLE_NAMESPACE,
	INSTANT_TABLE_CUSTOMER,
	INSTANT_TABLE_MEMBER,
	INSTANT_TABLE_EXPIRY,
	INSTANT_TABLE_EVENT,
	INSTANT_TABLE_AUDIENCE,
	INSTANT_TABLE_CHANGE,
	INSTANT_TABLE_SUMMARY,
	INSTANT_TABLES
} InstantTable;

/* One of the conditions by which a tier is reached. */
typedef struct InstantCondition
{
	int32 seq;
	bool lifetime; /* lifts only by the order that crosses it */
	bool no_threshold;
	int figure; /* the one that it compares; -1 when it is no simple comparison */
	Datum threshold;
	text *tier;
	text *source;
	Datum stored; /* the same as crm.rule */
	CompiledRule *rule;
	UnitRule *units; /* the same, when comparisons say it; else NULL */
	bool names_year; /* it names a figure of the 12 months */
} InstantCondition;

typedef struct InstantTag
{
	text *tag;
	CompiledRule *rule;
	UnitRule *units;
	bool names_year;
	bool ruled; /* the dictionary has a validity for it, or its namespace holds one value */
} InstantTag;

/* The tag of a rule, as sets of tags hold it. */
static inline Tag
instant_tag(const InstantTag *rule)
{
	return (Tag){VARDATA_ANY(rule->tag), VARSIZE_ANY_EXHDR(rule->tag)};
}

typedef struct InstantTier
{
	text *name;
	int32 seq;
	bool has_keep;
	InstantCondition keep; /* what keeps the tier at the end of a cycle; not for the order path */
} InstantTier;

/* What becomes of a member whose tier is not kept. */
typedef enum TierDowngrade
{
	DOWNGRADE_NONE,
	DOWNGRADE_ONE_STEP,
	DOWNGRADE_TO_MATCH,
	DOWNGRADE_TO_BASE
} TierDowngrade;

/* The columns of the tables that hold what becomes of tags. */
typedef enum EventColumn
{
	EVENT_CUSTOMER,
	EVENT_ID,
	EVENT_TAG,
	EVENT_ADDED,
	EVENT_AT,
	EVENT_WHO,
	EVENT_WHY,
	EVENT_EXPIRES,
	EVENT_COLUMNS
} EventColumn;

typedef enum ToggleColumn
{
	TOGGLE_TAG,
	TOGGLE_CHUNK,
	TOGGLE_ID,
	TOGGLE_SET,
	TOGGLE_COLUMNS
} ToggleColumn;

/* How tags are written without the executor. */
typedef struct InstantDirect
{
	bool possible;
	AttrNumber event[EVENT_COLUMNS];
	AttrNumber toggle[TOGGLE_COLUMNS];
	AttrNumber expiry_tag;
	Oid event_sequence;
} InstantDirect;

/* The columns of the tables that hold what becomes of tiers. */
typedef enum MemberColumn
{
	MEMBER_CUSTOMER,
	MEMBER_TIER,
	MEMBER_SINCE,
	MEMBER_BASIS,
	MEMBER_PERIOD_END,
	MEMBER_JUDGED_AT,
	MEMBER_LOCK_UNTIL,
	MEMBER_PEAK,
	MEMBER_LAST_CHANGE,
	MEMBER_RESTS_ON,
	MEMBER_COLUMNS
} MemberColumn;

typedef enum ChangeColumn
{
	CHANGE_CUSTOMER,
	CHANGE_FROM,
	CHANGE_TO,
	CHANGE_VALUE,
	CHANGE_REASON,
	CHANGE_AT,
	CHANGE_THRESHOLD,
	CHANGE_CONDITION,
	CHANGE_NOTE,
	CHANGE_ACTOR,
	CHANGE_BOOKED_AT,
	CHANGE_PERIOD_END,
	CHANGE_NO,
	CHANGE_BEFORE,
	CHANGE_COLUMNS
} ChangeColumn;

/* How lifts are written without the executor. */
typedef struct InstantLift
{
	bool possible;
	bool ends; /* may ends of cycles be written, too? */
	AttrNumber member[MEMBER_COLUMNS];
	AttrNumber change[CHANGE_COLUMNS];
} InstantLift;

/* Column numbers of tier_member that are read. */
typedef struct MemberColumns
{
	AttrNumber tier;
	AttrNumber peak;
	AttrNumber judged_at;
	AttrNumber since;
} MemberColumns;

typedef struct InstantRules
{
	Kept kept; /* of purchase */
	int users; /* statements that work with it now */
	bool lifts; /* is there anything to lift to? */
	bool whole; /* is every condition of a tier here, on figures that orders up to any moment give? */
	bool keeps; /* the same of what keeps tiers, with growth beside the orders */
	bool keeps_growth; /* does one of those name growth? */
	bool keeps_orders; /* or a figure that orders give? */
	int nconditions;
	int ntags;
	int ntiers;
	InstantCondition *conditions; /* the highest tier first */
	InstantTag *tags;
	InstantTier *tiers; /* the lowest first */
	bool summary_known;
	int summary[FIGURE_COUNT]; /* columns of its row; 0 where it has none */
	int months;
	AttrNumber tags_column;
	AttrNumber rule_tags_column;
	MemberColumns member;
	InstantDirect direct;
	InstantLift lift;
	pg_tz *zone;
	text *zone_name;
	bool calendar;	/* cycles end with the year */
	int32 cycle;	/* else so many months */
	int32 grace_days;
	TierDowngrade downgrade;
	MemoryContext context;
	SPIPlanPtr plans[INSTANT_PLANS];
} InstantRules;

extern const UnitKind instant_kinds[FIGURE_COUNT];

/* The rules of the store of a purchase table. */
extern InstantRules *
instant_rules(Relation purchase);

/* A saved plan; SPI must be connected and the owner's rights be in force. */
extern SPIPlanPtr
instant_plan(InstantRules *rules, Relation purchase, InstantPlan which);

/* Find out whether and how the tags of customers may be written without the executor (instant_plain.c). */
extern void
instant_learn_direct(InstantRules *rules);

/* The same for their tiers. */
extern void
instant_learn_lift(InstantRules *rules);

#endif
