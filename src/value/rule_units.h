/*
 * Rules over figures that are whole numbers: counts, money in 1/10000, moments. Comparing those takes no memory and no call,
 * and a figure may be known by its bounds alone.
 */
#ifndef CRM_RULE_UNITS_H
#define CRM_RULE_UNITS_H

#include "value/rule.h"

typedef enum UnitKind
{
	UNIT_COUNT,
	UNIT_MONEY,
	UNIT_MOMENT
} UnitKind;

/* A figure lies between low and high; when these differ, no more is known of it. */
typedef struct UnitFigure
{
	int64 low;
	int64 high;
	bool isnull;
	bool maybe_null; /* not even whether it is null is known */
} UnitFigure;

typedef enum UnitAnswer
{
	UNIT_FALSE,
	UNIT_TRUE,
	UNIT_NULL,
	UNIT_UNKNOWN /* the bounds do not decide it */
} UnitAnswer;

typedef struct UnitRule UnitRule;

/* The rule on figures of these kinds, one a column that it was compiled with; NULL when it asks for more than comparisons. */
extern UnitRule *
unit_rule_make(const CompiledRule *rule, const UnitKind *kinds);

extern UnitAnswer
unit_rule_answer(UnitRule *rule, const UnitFigure *figures, TimestampTz at);

#endif
