#include "points/points.h"

#include "common/int.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

/*
 * Append a moment as 2026-12-31T00:00:00Z, whatever DateStyle and TimeZone are
 */
static void
write_moment(StringInfo out, TimestampTz moment)
{
	struct pg_tm tm;
	fsec_t fsec;

	if (moment == DT_NOEND)
	{
		appendStringInfoString(out, "infinity");
		return;
	}
	if (timestamp2tm(moment, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	appendStringInfo(out,
					 "%04d-%02d-%02dT%02d:%02d:%02d",
					 tm.tm_year,
					 tm.tm_mon,
					 tm.tm_mday,
					 tm.tm_hour,
					 tm.tm_min,
					 tm.tm_sec);
	if (fsec != 0)
		appendStringInfo(out, ".%06d", (int) fsec);
	appendStringInfoChar(out, 'Z');
}

/*
 * Text form: {100 until 2026-12-31T00:00:00Z, 20 from 2026-05-01T00:00:00Z until 2027-01-31T16:00:00Z, 50}
 */
PG_FUNCTION_INFO_V1(points_lots_out);
Datum
points_lots_out(PG_FUNCTION_ARGS)
{
	PointsLots lots;
	StringInfoData out;

	points_lots_read(PG_GETARG_DATUM(0), &lots);
	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	for (int i = 0; i < lots.count; i++)
	{
		const PointsLot *lot = &lots.lot[i];

		appendStringInfo(&out, "%s" INT64_FORMAT, i > 0 ? ", " : "", lot->remaining);
		if (lot->available_at != POINTS_NO_TIME)
		{
			appendStringInfoString(&out, " from ");
			write_moment(&out, lot->available_at);
		}
		if (lot->expires_at != DT_NOEND)
		{
			appendStringInfoString(&out, " until ");
			write_moment(&out, lot->expires_at);
		}
	}
	appendStringInfoChar(&out, '}');
	PG_RETURN_CSTRING(out.data);
}

/*
 * Skip white space
 */
static const char *
skip_space(const char *at)
{
	while (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')
		at++;
	return at;
}

/*
 * Read so many digits; -1 when there are fewer
 */
static int
read_digits(const char **at, int count)
{
	int value = 0;

	for (int i = 0; i < count; i++)
	{
		if (**at < '0' || **at > '9')
			return -1;
		value = value * 10 + (*(*at)++ - '0');
	}
	return value;
}

/*
 * Read a moment as write_moment gives it
 */
static bool
read_moment(const char **at, TimestampTz *moment)
{
	struct pg_tm tm = {0};
	fsec_t fsec = 0;
	int utc = 0;

	if (strncmp(*at, "infinity", 8) == 0)
	{
		*at += 8;
		*moment = DT_NOEND;
		return true;
	}
	tm.tm_year = read_digits(at, 4);
	while (tm.tm_year > 0 && **at >= '0' && **at <= '9' && tm.tm_year < 100000)
		tm.tm_year = tm.tm_year * 10 + (*(*at)++ - '0');
	if (tm.tm_year < 1 || *(*at)++ != '-')
		return false;
	tm.tm_mon = read_digits(at, 2);
	if (*(*at)++ != '-')
		return false;
	tm.tm_mday = read_digits(at, 2);
	if (*(*at)++ != 'T')
		return false;
	tm.tm_hour = read_digits(at, 2);
	if (*(*at)++ != ':')
		return false;
	tm.tm_min = read_digits(at, 2);
	if (*(*at)++ != ':')
		return false;
	tm.tm_sec = read_digits(at, 2);
	if (**at == '.')
	{
		int scale = 100000;

		for ((*at)++; **at >= '0' && **at <= '9' && scale > 0; scale /= 10)
			fsec += (*(*at)++ - '0') * scale;
	}
	if (*(*at)++ != 'Z')
		return false;
	if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > day_tab[isleap(tm.tm_year)][tm.tm_mon - 1] ||
		tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 59 || fsec < 0)
		return false;
	return tm2timestamp(&tm, fsec, &utc, moment) == 0;
}

/*
 * Read one lot of the text form
 */
static bool
read_lot(const char **at, PointsLot *lot)
{
	lot->remaining = 0;
	lot->available_at = POINTS_NO_TIME;
	lot->expires_at = DT_NOEND;
	if (**at < '0' || **at > '9')
		return false;
	for (; **at >= '0' && **at <= '9'; (*at)++)
	{
		if (pg_mul_s64_overflow(lot->remaining, 10, &lot->remaining) ||
			pg_add_s64_overflow(lot->remaining, **at - '0', &lot->remaining))
			return false;
	}
	*at = skip_space(*at);
	if (strncmp(*at, "from ", 5) == 0)
	{
		*at = skip_space(*at + 5);
		if (!read_moment(at, &lot->available_at))
			return false;
		*at = skip_space(*at);
	}
	if (strncmp(*at, "until ", 6) == 0)
	{
		*at = skip_space(*at + 6);
		if (!read_moment(at, &lot->expires_at))
			return false;
		*at = skip_space(*at);
	}
	return lot->remaining > 0;
}

/*
 * Add a lot that came from outside, unless the sum overflows
 */
static bool
add_lot(PointsLots *lots, int64 *sum, const PointsLot *lot)
{
	if (pg_add_s64_overflow(*sum, lot->remaining, sum))
		return false;
	points_lots_add(lots, lot->remaining, lot->expires_at, lot->available_at);
	return true;
}

/*
 * Read the text form; lots may come in any order
 */
PG_FUNCTION_INFO_V1(points_lots_in);
Datum
points_lots_in(PG_FUNCTION_ARGS)
{
	char *input = PG_GETARG_CSTRING(0);
	const char *at = skip_space(input);
	PointsLots lots = {0};
	int64 sum = 0;

	if (*at++ != '{')
		goto invalid;
	at = skip_space(at);
	while (*at != '}')
	{
		PointsLot lot;

		if (!read_lot(&at, &lot) || !add_lot(&lots, &sum, &lot))
			goto invalid;
		if (*at == ',')
		{
			at = skip_space(at + 1);
			if (*at == '}')
				goto invalid;
		}
		else if (*at != '}')
			goto invalid;
	}
	if (*skip_space(at + 1) != '\0')
		goto invalid;
	PG_RETURN_DATUM(points_lots_datum(&lots));

invalid:
	crm_ereturn(CRM_ESCONTEXT(fcinfo),
				(Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type points_lots: \"%s\"", input),
				 errhint("Write lots as {100 until 2026-12-31T00:00:00Z, 50}; pending ones have from before until.")));
}

/*
 * Binary form: the count, then remaining, expires_at and available_at of each lot
 */
PG_FUNCTION_INFO_V1(points_lots_send);
Datum
points_lots_send(PG_FUNCTION_ARGS)
{
	PointsLots lots;
	StringInfoData out;

	points_lots_read(PG_GETARG_DATUM(0), &lots);
	pq_begintypsend(&out);
	pq_sendint32(&out, lots.count);
	for (int i = 0; i < lots.count; i++)
	{
		pq_sendint64(&out, lots.lot[i].remaining);
		pq_sendint64(&out, lots.lot[i].expires_at);
		pq_sendint64(&out, lots.lot[i].available_at);
	}
	PG_RETURN_BYTEA_P(pq_endtypsend(&out));
}

/*
 * Is a moment one that the text form can say: none before year 1
 */
static bool
is_writable(TimestampTz moment)
{
	return IS_VALID_TIMESTAMP(moment) && moment >= (date2j(1, 1, 1) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY;
}

/*
 * Read the binary form, as strictly as the text
 */
PG_FUNCTION_INFO_V1(points_lots_recv);
Datum
points_lots_recv(PG_FUNCTION_ARGS)
{
	StringInfo in = (StringInfo) PG_GETARG_POINTER(0);
	PointsLots lots = {0};
	int64 sum = 0;
	uint32 count = (uint32) pq_getmsgint(in, 4);

	if (count != (uint32) (in->len - in->cursor) / 24 || (in->len - in->cursor) % 24 != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary value of type points_lots: %u lots in %d bytes", count, in->len - in->cursor)));
	for (uint32 i = 0; i < count; i++)
	{
		PointsLot lot;

		lot.remaining = pq_getmsgint64(in);
		lot.expires_at = pq_getmsgint64(in);
		lot.available_at = pq_getmsgint64(in);
		if (lot.remaining <= 0 || lot.expires_at == DT_NOBEGIN ||
			(lot.expires_at != DT_NOEND && !is_writable(lot.expires_at)) ||
			(!TIMESTAMP_NOT_FINITE(lot.available_at) && !is_writable(lot.available_at)) ||
			!add_lot(&lots, &sum, &lot))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
					 errmsg("invalid binary value of type points_lots: lot %u", i + 1)));
	}
	PG_RETURN_DATUM(points_lots_datum(&lots));
}

/*
 * Two values with the same lots are equal: the stored form is canonical
 */
PG_FUNCTION_INFO_V1(points_lots_eq);
Datum
points_lots_eq(PG_FUNCTION_ARGS)
{
	struct varlena *a = PG_GETARG_VARLENA_PP(0);
	struct varlena *b = PG_GETARG_VARLENA_PP(1);

	PG_RETURN_BOOL(VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
				   memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0);
}

/*
 * The lots as rows: remaining, expires_at (null: never), available_at (null: now)
 */
PG_FUNCTION_INFO_V1(points_lots_unnest);
Datum
points_lots_unnest(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	PointsLots lots;

	InitMaterializedSRF(fcinfo, 0);
	points_lots_read(PG_GETARG_DATUM(0), &lots);
	for (int i = 0; i < lots.count; i++)
	{
		const PointsLot *lot = &lots.lot[i];
		Datum values[3];
		bool nulls[3] = {false, false, false};

		values[0] = Int64GetDatum(lot->remaining);
		values[1] = TimestampTzGetDatum(lot->expires_at);
		nulls[1] = lot->expires_at == DT_NOEND;
		values[2] = TimestampTzGetDatum(lot->available_at);
		nulls[2] = lot->available_at == POINTS_NO_TIME;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * Points that can be spent, wait, or have lapsed at a moment: what lapses from the stored lots until then
 */
PG_FUNCTION_INFO_V1(points_lots_at);
Datum
points_lots_at(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(1);
	PointsLots lots;
	int64 open = 0;
	int64 waiting = 0;
	Datum values[2];
	bool nulls[2] = {false, false};
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	points_lots_read(PG_GETARG_DATUM(0), &lots);
	for (int i = 0; i < lots.count; i++)
	{
		const PointsLot *lot = &lots.lot[i];

		if (lot->expires_at <= at)
			continue;
		if (lot->available_at == POINTS_NO_TIME || lot->available_at <= at)
			open += lot->remaining;
		else
			waiting += lot->remaining;
	}
	values[0] = Int64GetDatum(open);
	values[1] = Int64GetDatum(waiting);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
