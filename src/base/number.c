#include "base/number.h"

#include "utils/builtins.h"
#include "utils/numeric.h"

/* The stored form of numeric, as in the server's numeric.c; the same since PostgreSQL 9.1. */
#define SIGN_MASK 0xC000
#define SIGN_NEGATIVE 0x4000
#define SIGN_SHORT 0x8000
#define SIGN_SPECIAL 0xC000
#define SHORT_NEGATIVE 0x2000
#define SHORT_WEIGHT_NEGATIVE 0x0040
#define SHORT_WEIGHT_MASK 0x003F
#define DIGIT_BASE 10000
#define DIGIT_EXPONENT 4

/* Powers of ten that a double holds exactly, and the largest range in which it holds every whole number. */
static const double power_of_ten[] = {1e0,	1e1,  1e2,	1e3,  1e4,	1e5,  1e6,	1e7,  1e8,	1e9,  1e10, 1e11,
									  1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
#define MAX_WHOLE (INT64CONST(1) << 53)

/*
 * Convert a numeric of few digits; false when it takes the long way
 */
static bool
short_way(struct varlena *numeric, double *result)
{
	const char *data = VARDATA_ANY(numeric);
	int size = VARSIZE_ANY_EXHDR(numeric);
	uint16 header;
	int16 weight;
	bool negative;
	int digits;
	int64 whole = 0;
	int exponent;

	if (size < sizeof(uint16))
		return false;
	memcpy(&header, data, sizeof(uint16));
	data += sizeof(uint16);
	size -= sizeof(uint16);
	if ((header & SIGN_MASK) == SIGN_SPECIAL)
		return false;
	if ((header & SIGN_MASK) == SIGN_SHORT)
	{
		negative = (header & SHORT_NEGATIVE) != 0;
		weight = header & SHORT_WEIGHT_MASK;
		if (header & SHORT_WEIGHT_NEGATIVE)
			weight |= ~SHORT_WEIGHT_MASK;
	}
	else
	{
		if (size < sizeof(int16))
			return false;
		negative = (header & SIGN_MASK) == SIGN_NEGATIVE;
		memcpy(&weight, data, sizeof(int16));
		data += sizeof(int16);
		size -= sizeof(int16);
	}
	digits = size / sizeof(int16);
	if (digits > 4)
		return false;
	for (int i = 0; i < digits; i++)
	{
		int16 digit;

		memcpy(&digit, data + i * sizeof(int16), sizeof(int16));
		whole = whole * DIGIT_BASE + digit;
	}
	exponent = DIGIT_EXPONENT * (weight - digits + 1);
	if (digits == 0)
		exponent = 0;
	/* Both operands are exact, so that the one division or multiplication rounds as reading the digits would. */
	if (whole < 0 || whole > MAX_WHOLE || exponent < -22 || exponent > 22)
		return false;
	*result = exponent < 0 ? whole / power_of_ten[-exponent] : whole * power_of_ten[exponent];
	if (negative)
		*result = -*result;
	return true;
}

double
number_to_double(Datum numeric)
{
	struct varlena *value = PG_DETOAST_DATUM_PACKED(numeric);
	double result;

	if (!short_way(value, &result))
		result = DatumGetFloat8(DirectFunctionCall1(numeric_float8, numeric));
	if (value != (struct varlena *) DatumGetPointer(numeric))
		pfree(value);
	return result;
}
