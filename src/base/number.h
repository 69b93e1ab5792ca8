/*
 * Numbers between SQL and C.
 */
#ifndef CRM_NUMBER_H
#define CRM_NUMBER_H

#include "base/compat.h"

/* The double that the cast of a numeric to double precision gives, several times faster for amounts of money. */
extern double number_to_double(Datum numeric);

#endif
