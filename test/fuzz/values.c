/*
 * libFuzzer harness for what reads the small types: points_lots, rfm, rfm_model and purchase_months, by text and by message, chosen
 * by FUZZ_TARGET. The sources are those of the extension; server.h stands in for the server. What is accepted must be written and
 * read back as the same.
 */
#include "points/points.h"
#include "store/purchase_months.h"
#include "value/rfm.h"

#include <math.h>

#include "common/int.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#define FUZZ_INTERNAL_IS_BUG
#include "server.h"

#define FUNCTION(name) extern Datum name(PG_FUNCTION_ARGS)
FUNCTION(points_lots_in);
FUNCTION(points_lots_out);
FUNCTION(points_lots_recv);
FUNCTION(points_lots_send);
FUNCTION(rfm_in);
FUNCTION(rfm_out);
FUNCTION(rfm_recv);
FUNCTION(rfm_send);
FUNCTION(rfm_model_recv);
FUNCTION(rfm_model_send);
FUNCTION(purchase_months_recv);
FUNCTION(purchase_months_send);
FUNCTION(purchase_months_add);

/* The calendar of the server, as far as the sources ask it: seconds from 2000 on, in a year of 12 months of 31 days. */
const int day_tab[2][13] = {{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0}, {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0}};
#define DAY INT64CONST(86400)

int
timestamp2tm(Timestamp moment, int *zone, struct pg_tm *tm, fsec_t *fsec, const char **name, pg_tz *in)
{
	int64 seconds = moment / USECS_PER_SEC;
	int64 days;

	*fsec = (fsec_t) (moment % USECS_PER_SEC);
	if (*fsec < 0)
	{
		*fsec += USECS_PER_SEC;
		seconds--;
	}
	days = seconds / DAY - (seconds % DAY < 0);
	seconds -= days * DAY;
	days += INT64CONST(2000) * 372;
	if (days < 372 || days >= INT64CONST(294277) * 372)
		return -1;
	tm->tm_year = (int) (days / 372);
	tm->tm_mon = (int) (days % 372 / 31) + 1;
	tm->tm_mday = (int) (days % 31) + 1;
	tm->tm_hour = (int) (seconds / 3600);
	tm->tm_min = (int) (seconds / 60 % 60);
	tm->tm_sec = (int) (seconds % 60);
	/* Days that this month does not have are no days of the server's either. */
	return tm->tm_mday > day_tab[isleap(tm->tm_year)][tm->tm_mon - 1] ? -1 : 0;
}

int
tm2timestamp(struct pg_tm *tm, fsec_t fsec, int *zone, Timestamp *result)
{
	int64 seconds = (((int64) tm->tm_year - 2000) * 372 + (tm->tm_mon - 1) * 31 + tm->tm_mday - 1) * DAY + tm->tm_hour * 3600 + tm->tm_min * 60 + tm->tm_sec;

	/* Years of 372 days reach the end of an int64 before the server's own do. */
	if (tm->tm_year >= 294277 || pg_mul_s64_overflow(seconds, USECS_PER_SEC, result) || pg_add_s64_overflow(*result, fsec, result))
		return -1;
	return 0;
}

int
date2j(int year, int month, int day)
{
	return (year - 2000) * 372 + (month - 1) * 31 + day - 1 + POSTGRES_EPOCH_JDATE;
}

void
j2date(int day, int *year, int *month, int *of_month)
{
	day += 2000 * 372 - POSTGRES_EPOCH_JDATE;
	*year = day / 372;
	*month = day % 372 / 31 + 1;
	*of_month = day % 31 + 1;
}

static Datum
call(PGFunction function, Datum a, Datum b)
{
	LOCAL_FCINFO(info, 3);

	memset(info, 0, SizeForFunctionCallInfo(3));
	InitFunctionCallInfoData(*info, NULL, 2, InvalidOid, NULL, NULL);
	info->args[0].value = a;
	info->args[1].value = b;
	return function(info);
}

static void
need(bool good)
{
	if (!good)
		abort();
}

/* The same bytes when it is sent and received again. */
static void
send_again(PGFunction send, PGFunction receive, Datum value, bool by_value)
{
	bytea *sent = DatumGetByteaPP(call(send, value, 0));
	StringInfoData message;
	Datum again;

	message.data = VARDATA(sent);
	message.len = message.maxlen = VARSIZE(sent) - VARHDRSZ;
	message.cursor = 0;
	again = call(receive, PointerGetDatum(&message), 0);
	need(message.cursor == message.len);
	if (by_value)
		need(again == value);
	else
		need(VARSIZE_ANY(DatumGetPointer(again)) == VARSIZE_ANY(DatumGetPointer(value)) &&
			 memcmp(DatumGetPointer(again), DatumGetPointer(value), VARSIZE_ANY(DatumGetPointer(value))) == 0);
}

static void
check_lots(Datum value)
{
	PointsLots lots;

	points_lots_read(value, &lots);
	for (int i = 0; i < lots.count; i++)
		need(lots.lot[i].remaining > 0);
	send_again(points_lots_send, points_lots_recv, value, false);
}

/*
 * One input
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	volatile bool read = false;

	if (sigsetjmp(on_error, 0) == 0)
	{
		StringInfoData message;
		char *bytes = take_input(data, size, &message);
		Datum value;

		if (strcmp(FUZZ_TARGET, "points_lots_in") == 0)
		{
			value = call(points_lots_in, CStringGetDatum(bytes), 0);
			read = true;
			check_lots(value);
			need(strcmp(DatumGetCString(call(points_lots_out, value, 0)),
						DatumGetCString(call(points_lots_out, call(points_lots_in, call(points_lots_out, value, 0), 0), 0))) == 0);
		}
		else if (strcmp(FUZZ_TARGET, "points_lots_recv") == 0)
		{
			value = call(points_lots_recv, PointerGetDatum(&message), 0);
			read = true;
			check_lots(value);
		}
		else if (strcmp(FUZZ_TARGET, "rfm_in") == 0)
		{
			value = call(rfm_in, CStringGetDatum(bytes), 0);
			read = true;
			need(call(rfm_in, call(rfm_out, value, 0), 0) == value);
			send_again(rfm_send, rfm_recv, value, true);
		}
		else if (strcmp(FUZZ_TARGET, "rfm_recv") == 0)
		{
			value = call(rfm_recv, PointerGetDatum(&message), 0);
			read = true;
			need(call(rfm_in, call(rfm_out, value, 0), 0) == value);
		}
		else if (strcmp(FUZZ_TARGET, "rfm_model_recv") == 0)
		{
			value = call(rfm_model_recv, PointerGetDatum(&message), 0);
			read = true;
			send_again(rfm_model_send, rfm_model_recv, value, false);
		}
		else
		{
			value = call(purchase_months_recv, PointerGetDatum(&message), 0);
			read = true;
			send_again(purchase_months_send, purchase_months_recv, value, false);
		}
	}
	else if (read)
		abort(); /* what was read cannot be written or read again */
	free_pieces();
	return 0;
}
