#include "store/purchase_months.h"

#include <ctype.h>

#include "common/hashfn.h"
#include "common/int.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "store/money.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

/*
 * Bytes: a format byte (0), the number of buckets as a varint, then for each bucket three varints: the step from the month
 * before (the first: from year 0), orders and net, both zigzag. A value is canonical, so equal values are equal bytes.
 */
#define MONTHS_FORMAT 0
#define VARINT_MAX 10

/*
 * Raise for a month outside the years 1 to 9999
 */
static void
month_out_of_range(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
			 errmsg("order moment out of range"),
			 errhint("Orders lie in the years 1 to 9999.")));
}

/*
 * Month of a moment in UTC
 */
int32
month_of(TimestampTz at)
{
	int64 days = at / USECS_PER_DAY;
	int year;
	int month;
	int day;

	if (at % USECS_PER_DAY < 0)
		days--;
	/* Years 1 and 9999, with some room, before the conversion could overflow. */
	if (TIMESTAMP_NOT_FINITE(at) || days < -730485 || days > 2921940)
		month_out_of_range();
	j2date((int) days + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	if (year < 1 || year > 9999)
		month_out_of_range();
	return year * MONTHS_PER_YEAR + month - 1;
}

/*
 * First moment of a month in UTC
 */
TimestampTz
month_start(int32 month)
{
	return (TimestampTz) (date2j(month / MONTHS_PER_YEAR, month % MONTHS_PER_YEAR + 1, 1) - POSTGRES_EPOCH_JDATE) *
		   USECS_PER_DAY;
}

/*
 * Raise for bytes that are not a value
 */
static void
corrupt(int code)
{
	ereport(ERROR, (errcode(code), errmsg("invalid value of type purchase_months")));
}

static uint64
varint_get(const unsigned char **at, const unsigned char *end, int code)
{
	uint64 value = 0;
	int shift;

	for (shift = 0; shift < 64; shift += 7)
	{
		unsigned char byte;

		if (*at >= end)
			corrupt(code);
		byte = *(*at)++;
		if (shift == 63 && byte > 1)
			corrupt(code);
		value |= (uint64) (byte & 0x7F) << shift;
		if ((byte & 0x80) == 0)
		{
			/* The shortest form only, so that equal values have equal bytes. */
			if (byte == 0 && shift > 0)
				corrupt(code);
			return value;
		}
	}
	corrupt(code);
	return 0;
}

static unsigned char *
varint_put(unsigned char *at, uint64 value)
{
	while (value >= 0x80)
	{
		*at++ = (unsigned char) value | 0x80;
		value >>= 7;
	}
	*at++ = (unsigned char) value;
	return at;
}

static inline uint64
zigzag(int64 value)
{
	return ((uint64) value << 1) ^ (uint64) (value >> 63);
}

static inline int64
unzigzag(uint64 value)
{
	return (int64) (value >> 1) ^ -(int64) (value & 1);
}

static MonthBucket *
months_read(const struct varlena *value, int *count, int code)
{
	const unsigned char *at = (const unsigned char *) VARDATA_ANY(value);
	const unsigned char *end = at + VARSIZE_ANY_EXHDR(value);
	MonthBucket *buckets;
	uint64 n;
	int64 month = 0;
	int i;

	if (at >= end || *at++ != MONTHS_FORMAT)
		corrupt(code);
	n = varint_get(&at, end, code);
	/* Each bucket takes three bytes or more. */
	if (n > (uint64) (end - at) / 3)
		corrupt(code);
	buckets = palloc((n + 1) * sizeof(MonthBucket));
	for (i = 0; i < (int) n; i++)
	{
		uint64 step = varint_get(&at, end, code);

		if (step == 0 || step > MONTH_LAST)
			corrupt(code);
		month += step;
		if (month < MONTH_FIRST || month > MONTH_LAST)
			corrupt(code);
		buckets[i].month = (int32) month;
		buckets[i].orders = unzigzag(varint_get(&at, end, code));
		buckets[i].net = unzigzag(varint_get(&at, end, code));
		if (buckets[i].orders == 0 && buckets[i].net == 0)
			corrupt(code);
	}
	if (at != end)
		corrupt(code);
	*count = (int) n;
	return buckets;
}

MonthBucket *
months_unpack(const struct varlena *value, int *count)
{
	return months_read(value, count, ERRCODE_DATA_CORRUPTED);
}

struct varlena *
months_pack(const MonthBucket *buckets, int count)
{
	struct varlena *value = palloc(VARHDRSZ + 1 + VARINT_MAX + (Size) count * 3 * VARINT_MAX);
	unsigned char *at = (unsigned char *) VARDATA(value);
	int32 previous = 0;
	int n = 0;
	int i;

	for (i = 0; i < count; i++)
		n += buckets[i].orders != 0 || buckets[i].net != 0;
	*at++ = MONTHS_FORMAT;
	at = varint_put(at, n);
	for (i = 0; i < count; i++)
	{
		if (buckets[i].orders == 0 && buckets[i].net == 0)
			continue;
		at = varint_put(at, buckets[i].month - previous);
		at = varint_put(at, zigzag(buckets[i].orders));
		at = varint_put(at, zigzag(buckets[i].net));
		previous = buckets[i].month;
	}
	SET_VARSIZE(value, (char *) at - (char *) value);
	return value;
}

bool
months_put(MonthBucket *buckets, int count, int32 month, int64 orders, int64 net)
{
	int i = count;

	/* Most orders are of the last months. */
	while (i > 0 && buckets[i - 1].month > month)
		i--;
	if (i > 0 && buckets[i - 1].month == month)
	{
		buckets[i - 1].orders = money_add(buckets[i - 1].orders, orders);
		buckets[i - 1].net = money_add(buckets[i - 1].net, net);
		return false;
	}
	memmove(&buckets[i + 1], &buckets[i], (count - i) * sizeof(MonthBucket));
	buckets[i].month = month;
	buckets[i].orders = orders;
	buckets[i].net = net;
	return true;
}

/*
 * Value of a text such as {2025-01:3:299.5,2025-02:1:10}: month, orders, spend
 */
PG_FUNCTION_INFO_V1(purchase_months_in);
Datum
purchase_months_in(PG_FUNCTION_ARGS)
{
	char *text = PG_GETARG_CSTRING(0);
	char *at = text;
	MonthBucket *buckets;
	int count = 0;
	int room = 1;

	for (; *at; at++)
		room += *at == ',';
	buckets = palloc(room * sizeof(MonthBucket));
	at = text;
	while (isspace((unsigned char) *at))
		at++;
	if (*at++ != '{')
		goto invalid;
	while (isspace((unsigned char) *at))
		at++;
	while (*at != '}')
	{
		int year = 0;
		int month = 0;
		char *end;
		char *comma;
		MonthBucket *b = &buckets[count];

		CHECK_FOR_INTERRUPTS();
		if (count > 0 && *at++ != ',')
			goto invalid;
		if (strspn(at, "0123456789") != 4 || at[4] != '-' || strspn(at + 5, "0123456789") != 2 || at[7] != ':')
			goto invalid;
		year = atoi(at);
		month = (at[5] - '0') * 10 + at[6] - '0';
		if (year < 1 || month < 1 || month > 12)
			goto invalid;
		b->month = year * MONTHS_PER_YEAR + month - 1;
		at += 8;
		if (!isdigit((unsigned char) *at) && *at != '-')
			goto invalid;
		errno = 0;
		b->orders = strtoi64(at, &end, 10);
		if (errno != 0 || *end != ':')
			goto invalid;
		at = end + 1;
		comma = at + strcspn(at, ",}");
		if (*comma == '\0' || comma == at || comma - at > 30 || strspn(at, "-0123456789.") != (size_t) (comma - at))
			goto invalid;
		b->net = money_from_numeric(DirectFunctionCall3(numeric_in,
														CStringGetDatum(pnstrdup(at, comma - at)),
														ObjectIdGetDatum(InvalidOid),
														Int32GetDatum(-1)));
		if ((count > 0 && buckets[count - 1].month >= b->month) || (b->orders == 0 && b->net == 0))
			goto invalid;
		at = comma;
		count++;
	}
	at++;
	while (isspace((unsigned char) *at))
		at++;
	if (*at == '\0')
		PG_RETURN_POINTER(months_pack(buckets, count));

invalid:
	crm_ereturn(CRM_ESCONTEXT(fcinfo),
				(Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type purchase_months: \"%s\"", text),
				 errhint("Months ascend, as in {2025-01:3:299.5,2025-02:1:10}: month, orders, spend.")));
}

/*
 * Text of a value
 */
PG_FUNCTION_INFO_V1(purchase_months_out);
Datum
purchase_months_out(PG_FUNCTION_ARGS)
{
	int count;
	MonthBucket *buckets = months_unpack(PG_GETARG_VARLENA_PP(0), &count);
	StringInfoData out;
	int i;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	for (i = 0; i < count; i++)
	{
		Numeric net = DatumGetNumeric(
			DirectFunctionCall1(numeric_trim_scale, money_to_numeric(buckets[i].net)));

		appendStringInfo(&out,
						 "%s%04d-%02d:" INT64_FORMAT ":%s",
						 i > 0 ? "," : "",
						 buckets[i].month / MONTHS_PER_YEAR,
						 buckets[i].month % MONTHS_PER_YEAR + 1,
						 buckets[i].orders,
						 DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(net))));
	}
	appendStringInfoChar(&out, '}');
	PG_RETURN_CSTRING(out.data);
}

/*
 * Value of its binary form, which is the stored one; checked as strictly as text
 */
PG_FUNCTION_INFO_V1(purchase_months_recv);
Datum
purchase_months_recv(PG_FUNCTION_ARGS)
{
	StringInfo buf = (StringInfo) PG_GETARG_POINTER(0);
	int length = buf->len - buf->cursor;
	struct varlena *value = palloc(VARHDRSZ + length);
	MonthBucket *buckets;
	struct varlena *canonical;
	int count;

	SET_VARSIZE(value, VARHDRSZ + length);
	pq_copymsgbytes(buf, VARDATA(value), length);
	buckets = months_read(value, &count, ERRCODE_INVALID_BINARY_REPRESENTATION);
	canonical = months_pack(buckets, count);
	if (VARSIZE(canonical) != VARSIZE(value) || memcmp(canonical, value, VARSIZE(value)) != 0)
		corrupt(ERRCODE_INVALID_BINARY_REPRESENTATION);
	PG_RETURN_POINTER(value);
}

/*
 * Binary form of a value
 */
PG_FUNCTION_INFO_V1(purchase_months_send);
Datum
purchase_months_send(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_VARLENA_PP(0);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendbytes(&buf, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/*
 * Value of one order, or of several in one month
 */
PG_FUNCTION_INFO_V1(purchase_months_make);
Datum
purchase_months_make(PG_FUNCTION_ARGS)
{
	MonthBucket bucket;

	bucket.month = month_of(PG_GETARG_TIMESTAMPTZ(0));
	bucket.net = money_from_numeric(PG_GETARG_DATUM(1));
	bucket.orders = PG_GETARG_INT64(2);
	PG_RETURN_POINTER(months_pack(&bucket, 1));
}

/*
 * Sum of two values, month by month
 */
PG_FUNCTION_INFO_V1(purchase_months_add);
Datum
purchase_months_add(PG_FUNCTION_ARGS)
{
	int na;
	int nb;
	MonthBucket *a = months_unpack(PG_GETARG_VARLENA_PP(0), &na);
	MonthBucket *b = months_unpack(PG_GETARG_VARLENA_PP(1), &nb);
	MonthBucket *sum = palloc((na + nb + 1) * sizeof(MonthBucket));
	int i = 0;
	int j = 0;
	int n = 0;

	while (i < na || j < nb)
	{
		if (j >= nb || (i < na && a[i].month < b[j].month))
			sum[n++] = a[i++];
		else if (i >= na || b[j].month < a[i].month)
			sum[n++] = b[j++];
		else
		{
			sum[n] = a[i++];
			sum[n].orders = money_add(sum[n].orders, b[j].orders);
			sum[n].net = money_add(sum[n].net, b[j].net);
			n++;
			j++;
		}
	}
	PG_RETURN_POINTER(months_pack(sum, n));
}

/*
 * Transition of purchase_months_agg: add an order
 */
PG_FUNCTION_INFO_V1(purchase_months_accum);
Datum
purchase_months_accum(PG_FUNCTION_ARGS)
{
	MonthBucket *buckets;
	int count;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	buckets = months_unpack(PG_GETARG_VARLENA_PP(0), &count);
	count += months_put(buckets, count, month_of(PG_GETARG_TIMESTAMPTZ(1)), 1, money_from_numeric(PG_GETARG_DATUM(2)));
	PG_RETURN_POINTER(months_pack(buckets, count));
}

/*
 * Sum over the months that lie wholly in (after, until]
 */
static MonthBucket
months_between(FunctionCallInfo fcinfo)
{
	TimestampTz after = PG_GETARG_TIMESTAMPTZ(1);
	TimestampTz until = PG_GETARG_TIMESTAMPTZ(2);
	MonthBucket sum = {0, 0, 0};
	int count;
	MonthBucket *buckets = months_unpack(PG_GETARG_VARLENA_PP(0), &count);
	int i;

	for (i = 0; i < count; i++)
	{
		if (month_start(buckets[i].month) > after && month_start(buckets[i].month + 1) - 1 <= until)
		{
			sum.orders = money_add(sum.orders, buckets[i].orders);
			sum.net = money_add(sum.net, buckets[i].net);
		}
	}
	return sum;
}

/*
 * Orders of the months that lie wholly in (after, until]
 */
PG_FUNCTION_INFO_V1(months_orders);
Datum
months_orders(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(months_between(fcinfo).orders);
}

/*
 * Spend of the months that lie wholly in (after, until]
 */
PG_FUNCTION_INFO_V1(months_spend);
Datum
months_spend(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(money_to_numeric(months_between(fcinfo).net));
}

/*
 * The buckets as rows: first day of the month, orders, spend
 */
PG_FUNCTION_INFO_V1(month_buckets);
Datum
month_buckets(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int count;
	MonthBucket *buckets = months_unpack(PG_GETARG_VARLENA_PP(0), &count);
	int i;

	InitMaterializedSRF(fcinfo, 0);
	for (i = 0; i < count; i++)
	{
		Datum values[3];
		bool nulls[3] = {false, false, false};

		values[0] = DateADTGetDatum((DateADT) (month_start(buckets[i].month) / USECS_PER_DAY));
		values[1] = Int64GetDatum(buckets[i].orders);
		values[2] = money_to_numeric(buckets[i].net);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * Bytewise order: of no meaning beyond equality, sorting and grouping
 */
static int
months_cmp(FunctionCallInfo fcinfo)
{
	struct varlena *a = PG_GETARG_VARLENA_PP(0);
	struct varlena *b = PG_GETARG_VARLENA_PP(1);
	int la = VARSIZE_ANY_EXHDR(a);
	int lb = VARSIZE_ANY_EXHDR(b);
	int result = memcmp(VARDATA_ANY(a), VARDATA_ANY(b), Min(la, lb));

	return result != 0 ? result : (la > lb) - (la < lb);
}

PG_FUNCTION_INFO_V1(purchase_months_cmp);
Datum
purchase_months_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(months_cmp(fcinfo));
}

PG_FUNCTION_INFO_V1(purchase_months_eq);
Datum
purchase_months_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(months_cmp(fcinfo) == 0);
}

PG_FUNCTION_INFO_V1(purchase_months_ne);
Datum
purchase_months_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(months_cmp(fcinfo) != 0);
}

PG_FUNCTION_INFO_V1(purchase_months_lt);
Datum
purchase_months_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(months_cmp(fcinfo) < 0);
}

PG_FUNCTION_INFO_V1(purchase_months_le);
Datum
purchase_months_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(months_cmp(fcinfo) <= 0);
}

PG_FUNCTION_INFO_V1(purchase_months_gt);
Datum
purchase_months_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(months_cmp(fcinfo) > 0);
}

PG_FUNCTION_INFO_V1(purchase_months_ge);
Datum
purchase_months_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(months_cmp(fcinfo) >= 0);
}

/*
 * Hash of the bytes
 */
PG_FUNCTION_INFO_V1(purchase_months_hash);
Datum
purchase_months_hash(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_VARLENA_PP(0);

	return hash_any((const unsigned char *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}
