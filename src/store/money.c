#include "store/money.h"

#include "utils/builtins.h"
#include "utils/numeric.h"

/* The header words of a numeric, as numeric.c lays them out on disk; a format that pg_upgrade keeps for ever. */
#define SIGN_MASK 0xC000
#define SIGN_SHORT 0x8000
#define SIGN_SPECIAL 0xC000
#define SIGN_NEGATIVE 0x4000
#define SHORT_NEGATIVE 0x2000
#define SHORT_WEIGHT_SIGN 0x0040
#define SHORT_WEIGHT_MASK 0x003F
#define DIGIT_BASE 10000

/*
 * Raise for an amount that does not fit
 */
void
money_out_of_range(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("amount out of range"),
			 errhint("Amounts and their sums stay below 922 million million.")));
}

/* Whether a numeric is an amount. */
typedef enum MoneyFit
{
	MONEY_FITS,
	MONEY_TOO_LARGE,
	MONEY_TOO_FINE
} MoneyFit;

/*
 * Units of a numeric of at most four decimals; the base of numeric's own digits is our unit, so no arithmetic is needed
 */
static inline MoneyFit
money_read(Datum value, int64 *result)
{
	struct varlena *numeric = PG_DETOAST_DATUM_PACKED(value);
	const char *data = VARDATA_ANY(numeric);
	int length = VARSIZE_ANY_EXHDR(numeric);
	uint16 header;
	bool negative;
	int weight;
	int ndigits;
	int64 units = 0;
	int i;

	if (length < (int) sizeof(uint16))
		elog(ERROR, "invalid numeric");
	memcpy(&header, data, sizeof(header));
	if ((header & SIGN_MASK) == SIGN_SPECIAL)
		return MONEY_TOO_LARGE;
	data += sizeof(uint16);
	length -= sizeof(uint16);
	if ((header & SIGN_MASK) == SIGN_SHORT)
	{
		negative = (header & SHORT_NEGATIVE) != 0;
		weight = (header & SHORT_WEIGHT_SIGN ? ~SHORT_WEIGHT_MASK : 0) | (header & SHORT_WEIGHT_MASK);
	}
	else
	{
		int16 long_weight;

		if (length < (int) sizeof(int16))
			elog(ERROR, "invalid numeric");
		memcpy(&long_weight, data, sizeof(long_weight));
		data += sizeof(int16);
		length -= sizeof(int16);
		negative = (header & SIGN_MASK) == SIGN_NEGATIVE;
		weight = long_weight;
	}
	ndigits = length / sizeof(int16);
	if (ndigits > 0 && weight > 4)
		return MONEY_TOO_LARGE;
	if (ndigits > 0 && weight - ndigits + 1 < -1)
		return MONEY_TOO_FINE;
	for (i = weight; ndigits > 0 && i >= -1; i--)
	{
		int16 digit = 0;

		if (weight - i < ndigits)
			memcpy(&digit, data + (weight - i) * sizeof(int16), sizeof(digit));
		if (pg_mul_s64_overflow(units, DIGIT_BASE, &units) || pg_add_s64_overflow(units, digit, &units))
			return MONEY_TOO_LARGE;
	}
	*result = negative ? -units : units;
	return MONEY_FITS;
}

/*
 * Units of an amount, or raise
 */
int64
money_from_numeric(Datum value)
{
	int64 units = 0;
	MoneyFit fit = money_read(value, &units);

	if (fit == MONEY_TOO_LARGE)
		money_out_of_range();
	if (fit == MONEY_TOO_FINE)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), errmsg("amount has more than four decimals")));
	return units;
}

bool
money_try_numeric(Datum value, int64 *units)
{
	return money_read(value, units) == MONEY_FITS;
}

/*
 * The numeric of so many units
 */
Datum
money_to_numeric(int64 units)
{
	return NumericGetDatum(int64_div_fast_to_numeric(units, MONEY_SCALE));
}
