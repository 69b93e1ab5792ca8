#include "base/crm.h"

#include "access/htup_details.h"
#include "base/unicode.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/date.h"

/* Years for which the Chinese calendar of ICU is used; its astronomy is less certain far from today. */
#define LUNAR_FIRST_YEAR 1900
#define LUNAR_LAST_YEAR 2100

/* Days from PostgreSQL's epoch to Unix's. */
#define EPOCH_DAYS (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)

/*
 * First days of lunar months, from 1970-01-01, whose new moon falls within minutes of midnight, where ICU's shorter series for the
 * moon takes the neighbouring day. Computed with the full series of J. Meeus, Astronomical Algorithms, chapter 49; an ICU that
 * has them right is left alone.
 */
static const int month_starts[] = {
	-5811, /* 1954-02-03 */
	-5427, /* 1955-02-22 */
	10608, /* 1999-01-17 */
	15569, /* 2012-08-17 */
	17843, /* 2018-11-08 */
	20855, /* 2027-02-06 */
	21948, /* 2030-02-03 */
	36595, /* 2070-03-12 */
	46606, /* 2097-08-08 */
};

/*
 * The lunar day of a day counted from 1970-01-01, by ICU with month_starts put right
 */
static void
lunar_of_days(int days, UnicodeLunarDay *lunar)
{
	unicode_lunar_day(days, lunar);
	for (int i = 0; i < lengthof(month_starts); i++)
	{
		int start = month_starts[i];

		if (days < start - 1 || days > start + 30)
			continue;
		if (days == start && lunar->day != 1 && lunar->day != 2)
		{
			/* ICU begins the month a day late */
			unicode_lunar_day(days + 1, lunar);
			lunar->day = 1;
		}
		else if (days == start - 1 && lunar->day == 1)
		{
			/* ICU begins it a day early: this is still the last day of the month before */
			unicode_lunar_day(days - 1, lunar);
			lunar->day++;
		}
		else if (days >= start)
		{
			UnicodeLunarDay first;

			/* The days after the first follow the true one as far as the same month goes. */
			unicode_lunar_day(start + 2, &first);
			if (lunar->month == first.month && lunar->leap == first.leap)
				lunar->day = days - start + 1;
		}
	}
}

/*
 * The day from 1970-01-01 of a lunar day; false when that year has no such day
 */
static bool
days_of_lunar(const UnicodeLunarDay *lunar, int *days)
{
	/* ICU's own answer may be a day off, or miss the thirtieth day of a month that it thinks short. */
	UnicodeLunarDay near = *lunar;
	int guess;

	near.day = Min(lunar->day, 29);
	if (!unicode_days_of_lunar(&near, &guess))
		return false;
	guess += lunar->day - near.day;
	for (int candidate = guess - 1; candidate <= guess + 1; candidate++)
	{
		UnicodeLunarDay found;

		lunar_of_days(candidate, &found);
		if (found.year == lunar->year && found.month == lunar->month && found.leap == lunar->leap &&
			found.day == lunar->day)
		{
			*days = candidate;
			return true;
		}
	}
	return false;
}

/*
 * Raise unless the year is one the lunar calendar is offered for
 */
static void
check_lunar_year(int year)
{
	if (year < LUNAR_FIRST_YEAR || year > LUNAR_LAST_YEAR)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("lunar year %d is out of range", year),
				 errhint("The lunar calendar is offered for %d to %d.", LUNAR_FIRST_YEAR, LUNAR_LAST_YEAR)));
}

/*
 * The Chinese lunar day of a Gregorian date
 */
PG_FUNCTION_INFO_V1(lunar_date);
Datum
lunar_date(PG_FUNCTION_ARGS)
{
	DateADT date = PG_GETARG_DATEADT(0);
	UnicodeLunarDay lunar;
	TupleDesc tupdesc;
	Datum values[4];
	bool nulls[4] = {false};

	if (DATE_NOT_FINITE(date) || date < -40000 || date > 40000)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("date is out of range for the lunar calendar"),
				 errhint("The lunar calendar is offered for %d to %d.", LUNAR_FIRST_YEAR, LUNAR_LAST_YEAR)));
	lunar_of_days(date + EPOCH_DAYS, &lunar);
	check_lunar_year(lunar.year);

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int32GetDatum(lunar.year);
	values[1] = Int32GetDatum(lunar.month);
	values[2] = BoolGetDatum(lunar.leap);
	values[3] = Int32GetDatum(lunar.day);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}

/*
 * The Gregorian date of a Chinese lunar day; null when that year has no such day
 */
PG_FUNCTION_INFO_V1(lunar_to_date);
Datum
lunar_to_date(PG_FUNCTION_ARGS)
{
	UnicodeLunarDay lunar = {.year = PG_GETARG_INT32(0),
							 .month = PG_GETARG_INT32(1),
							 .day = PG_GETARG_INT32(2),
							 .leap = PG_GETARG_BOOL(3)};
	int days;

	check_lunar_year(lunar.year);
	if (lunar.month < 1 || lunar.month > 12 || lunar.day < 1 || lunar.day > 30)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_FIELD_OVERFLOW),
				 errmsg("lunar month %d day %d does not exist", lunar.month, lunar.day),
				 errhint("Months are 1 to 12, a leap month by its flag; days are 1 to 30.")));
	if (!days_of_lunar(&lunar, &days))
		PG_RETURN_NULL();
	PG_RETURN_DATEADT(days - EPOCH_DAYS);
}
