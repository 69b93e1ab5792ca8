#include "base/crm.h"

#include "access/htup_details.h"
#include "base/unicode.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/date.h"
#include "utils/datetime.h"

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
 * The months of a lunar year, kept once computed: ICU's astronomy takes a good part of a millisecond a day
 */
typedef struct LunarYear
{
	int months; /* 12 or 13; 0 before it is computed */
	int starts[14];
	int16 month[13];
	bool leap[13];
} LunarYear;

/* One year beyond those offered, since the last days of a Gregorian year may need it. */
static LunarYear lunar_years[LUNAR_LAST_YEAR - LUNAR_FIRST_YEAR + 3];

/*
 * The months of a lunar year from the one before LUNAR_FIRST_YEAR on
 */
static const LunarYear *
get_lunar_year(int year)
{
	LunarYear *result = &lunar_years[year - LUNAR_FIRST_YEAR + 1];
	LunarYear found = {0};
	UnicodeLunarDay lunar = {.year = year, .month = 1, .day = 5};
	int start;

	if (result->months > 0)
		return result;

	/* From a day well inside the first month back to its first, then month by month. */
	if (!unicode_days_of_lunar(&lunar, &start))
		elog(ERROR, "lunar year %d has no first month", year);
	lunar_of_days(start, &lunar);
	start -= lunar.day - 1;
	for (;;)
	{
		lunar_of_days(start, &lunar);
		if (lunar.day != 1 || found.months > 13)
			elog(ERROR, "months of lunar year %d do not follow each other", year);
		found.starts[found.months] = start;
		if (lunar.year != year)
			break;
		if (found.months == 13)
			elog(ERROR, "lunar year %d has more than 13 months", year);
		found.month[found.months] = (int16) lunar.month;
		found.leap[found.months] = lunar.leap;
		found.months++;
		lunar_of_days(start + 29, &lunar);
		start += lunar.day == 1 ? 29 : 30;
	}
	*result = found;
	return result;
}

/*
 * The day from 1970-01-01 of a lunar day; false when that year has no such day
 */
static bool
days_of_lunar(const UnicodeLunarDay *lunar, int *days)
{
	const LunarYear *year = get_lunar_year(lunar->year);

	for (int i = 0; i < year->months; i++)
	{
		if (year->month[i] == lunar->month && year->leap[i] == lunar->leap)
		{
			*days = year->starts[i] + lunar->day - 1;
			return *days < year->starts[i + 1];
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
	UnicodeLunarDay lunar = {0};
	TupleDesc tupdesc;
	Datum values[4];
	bool nulls[4] = {false};
	const LunarYear *months;
	int days;
	int i;

	if (!DATE_NOT_FINITE(date))
		j2date(date + POSTGRES_EPOCH_JDATE, &lunar.year, &lunar.month, &lunar.day);
	if (DATE_NOT_FINITE(date) || lunar.year < LUNAR_FIRST_YEAR || lunar.year > LUNAR_LAST_YEAR)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("date is out of range for the lunar calendar"),
				 errhint("The lunar calendar is offered for %d to %d.", LUNAR_FIRST_YEAR, LUNAR_LAST_YEAR)));
	days = date + EPOCH_DAYS;
	months = get_lunar_year(lunar.year);
	if (days < months->starts[0])
		months = get_lunar_year(--lunar.year);
	for (i = 0; days >= months->starts[i + 1]; i++)
		;
	lunar.month = months->month[i];
	lunar.leap = months->leap[i];
	lunar.day = days - months->starts[i] + 1;

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
