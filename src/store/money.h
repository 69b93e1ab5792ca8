/*
 * Money as a 64-bit count of 1/10000 of the currency's unit: exact, overflow-checked, and cheap to add up.
 */
#ifndef CRM_MONEY_H
#define CRM_MONEY_H

#include "base/compat.h"

#include "common/int.h"

#define MONEY_SCALE 4
#define MONEY_UNITS INT64CONST(10000)

extern int64 money_from_numeric(Datum value);

/* The same without raising: false when it is no amount. */
extern bool money_try_numeric(Datum value, int64 *units);

extern Datum money_to_numeric(int64 units);
extern void money_out_of_range(void) pg_attribute_noreturn();

/*
 * Add, or raise
 */
static inline int64
money_add(int64 a, int64 b)
{
	int64 sum;

	if (pg_add_s64_overflow(a, b, &sum))
		money_out_of_range();
	return sum;
}

/*
 * Subtract, or raise
 */
static inline int64
money_sub(int64 a, int64 b)
{
	int64 difference;

	if (pg_sub_s64_overflow(a, b, &difference))
		money_out_of_range();
	return difference;
}

#endif
