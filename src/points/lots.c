#include "points/points.h"

#include "common/int.h"
#include "utils/timestamp.h"

/*
 * Stored form of crm.points_lots, after the varlena header: a byte with the format's version, the count as a varint,
 * and for each lot a byte of flags, the remaining points as a varint, and the dates as said by the flags: expires_at as a
 * varint of its distance to the lot before (the first: to 2000-01-01), available_at as a varint of its distance to 2000-01-01,
 * both zigzag, in seconds when they are whole seconds, else in microseconds.
 */
#define LOTS_VERSION 1

#define LOT_NEVER 0x01		 /* expires_at is infinity */
#define LOT_PENDING 0x02	 /* available_at is there */
#define LOT_WAITING 0x04	 /* available_at is infinity */
#define LOT_EXPIRES_SEC 0x08 /* the distance of expires_at is in seconds */
#define LOT_AVAIL_SEC 0x10	 /* the distance of available_at is in seconds */
#define LOT_FLAGS 0x1f

#define LOTS_MAX 1000000

/*
 * Order of lots: the one that expires first, and of those the one available first
 */
static int
compare_dates(const PointsLot *lot, TimestampTz expires_at, TimestampTz available_at)
{
	if (lot->expires_at != expires_at)
		return lot->expires_at < expires_at ? -1 : 1;
	if (lot->available_at != available_at)
		return lot->available_at < available_at ? -1 : 1;
	return 0;
}

/*
 * First place whose lot is not before these dates
 */
static int
find_place(const PointsLots *lots, TimestampTz expires_at, TimestampTz available_at)
{
	int low = 0;
	int high = lots->count;

	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (compare_dates(&lots->lot[middle], expires_at, available_at) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * Make room for more lots
 */
static void
reserve(PointsLots *lots, int count)
{
	if (count > LOTS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("an account can have at most %d lots", LOTS_MAX),
				 errhint("Let the program round its expiry to days or months.")));
	if (count <= lots->capacity)
		return;
	lots->capacity = Max(count, Max(2, lots->capacity * 2));
	if (lots->lot == NULL)
		lots->lot = palloc(sizeof(PointsLot) * lots->capacity);
	else
		lots->lot = repalloc(lots->lot, sizeof(PointsLot) * lots->capacity);
}

/*
 * Put points with these dates in; the caller has checked that their sum does not overflow
 */
void
points_lots_add(PointsLots *lots, int64 points, TimestampTz expires_at, TimestampTz available_at)
{
	int place = find_place(lots, expires_at, available_at);

	Assert(points >= 0);
	if (points == 0)
		return;
	if (place < lots->count && compare_dates(&lots->lot[place], expires_at, available_at) == 0)
	{
		lots->lot[place].remaining += points;
		return;
	}
	reserve(lots, lots->count + 1);
	memmove(&lots->lot[place + 1], &lots->lot[place], sizeof(PointsLot) * (lots->count - place));
	lots->lot[place].remaining = points;
	lots->lot[place].expires_at = expires_at;
	lots->lot[place].available_at = available_at;
	lots->count++;
}

/*
 * Take a lot out
 */
void
points_lots_remove(PointsLots *lots, int index)
{
	Assert(index >= 0 && index < lots->count);
	memmove(&lots->lot[index], &lots->lot[index + 1], sizeof(PointsLot) * (lots->count - index - 1));
	lots->count--;
}

/*
 * Take up to so many spendable points, those that expire first; returns how many, and adds to taken from which lots
 */
int64
points_lots_take(PointsLots *lots, int64 points, PointsLots *taken)
{
	int64 left = points;
	int kept = 0;

	for (int i = 0; i < lots->count; i++)
	{
		PointsLot *lot = &lots->lot[i];

		if (left > 0 && lot->available_at == POINTS_NO_TIME)
		{
			int64 part = Min(left, lot->remaining);

			if (taken != NULL)
				points_lots_add(taken, part, lot->expires_at, lot->available_at);
			left -= part;
			lot->remaining -= part;
			if (lot->remaining == 0)
				continue;
		}
		lots->lot[kept++] = *lot;
	}
	lots->count = kept;
	return points - left;
}

/*
 * Take up to so many points of the lot with these dates; returns how many
 */
int64
points_lots_take_bucket(
	PointsLots *lots, int64 points, TimestampTz expires_at, TimestampTz available_at, PointsLots *taken)
{
	int place = find_place(lots, expires_at, available_at);
	int64 part;

	if (place == lots->count || compare_dates(&lots->lot[place], expires_at, available_at) != 0)
		return 0;
	part = Min(points, lots->lot[place].remaining);
	if (part <= 0)
		return 0;
	if (taken != NULL)
		points_lots_add(taken, part, expires_at, available_at);
	lots->lot[place].remaining -= part;
	if (lots->lot[place].remaining == 0)
		points_lots_remove(lots, place);
	return part;
}

/*
 * Sum of all lots, spendable or not
 */
int64
points_lots_sum(const PointsLots *lots)
{
	int64 sum = 0;

	for (int i = 0; i < lots->count; i++)
		sum += lots->lot[i].remaining;
	return sum;
}

/*
 * A copy in the current memory context
 */
PointsLots
points_lots_copy(const PointsLots *lots)
{
	PointsLots copy = {0};

	if (lots->count > 0)
	{
		reserve(&copy, lots->count);
		memcpy(copy.lot, lots->lot, sizeof(PointsLot) * lots->count);
		copy.count = lots->count;
	}
	return copy;
}

/*
 * Are they the same?
 */
bool
points_lots_equal(const PointsLots *a, const PointsLots *b)
{
	return a->count == b->count && (a->count == 0 || memcmp(a->lot, b->lot, sizeof(PointsLot) * a->count) == 0);
}

/*
 * Append an unsigned number, seven bits a byte, the low ones first
 */
static void
write_varint(StringInfo out, uint64 value)
{
	while (value >= 0x80)
	{
		appendStringInfoCharMacro(out, (char) (value | 0x80));
		value >>= 7;
	}
	appendStringInfoCharMacro(out, (char) value);
}

/*
 * Read such a number; raises on what write_varint cannot have written
 */
static uint64
read_varint(const uint8 **at, const uint8 *end)
{
	uint64 value = 0;

	for (int shift = 0; shift < 64; shift += 7)
	{
		uint8 byte;

		if (*at >= end)
			break;
		byte = *(*at)++;
		if (shift == 63 && byte > 1)
			break;
		value |= (uint64) (byte & 0x7f) << shift;
		if ((byte & 0x80) == 0)
		{
			if (byte == 0 && shift > 0)
				break;
			return value;
		}
	}
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("stored points_lots value is damaged")));
	return 0;
}

/*
 * Append a distance in the coarsest unit that holds it; returns whether that is seconds
 */
static bool
write_distance(StringInfo out, int64 distance)
{
	bool seconds = distance % USECS_PER_SEC == 0;
	int64 units = seconds ? distance / USECS_PER_SEC : distance;

	write_varint(out, ((uint64) units << 1) ^ (uint64) (units >> 63));
	return seconds;
}

/*
 * Read what write_distance wrote and add it to from
 */
static TimestampTz
read_moment(const uint8 **at, const uint8 *end, bool seconds, TimestampTz from)
{
	uint64 zigzag = read_varint(at, end);
	int64 units = (int64) (zigzag >> 1) ^ -(int64) (zigzag & 1);
	TimestampTz moment;

	if ((seconds && pg_mul_s64_overflow(units, USECS_PER_SEC, &units)) || pg_add_s64_overflow(from, units, &moment) ||
		!IS_VALID_TIMESTAMP(moment))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("stored points_lots value is damaged")));
	return moment;
}

/*
 * Append the stored form
 */
void
points_lots_write(const PointsLots *lots, StringInfo out)
{
	TimestampTz before = 0;

	appendStringInfoCharMacro(out, LOTS_VERSION);
	write_varint(out, lots->count);
	for (int i = 0; i < lots->count; i++)
	{
		const PointsLot *lot = &lots->lot[i];
		int flags_at = out->len;
		uint8 flags = 0;

		appendStringInfoCharMacro(out, 0);
		write_varint(out, lot->remaining);
		if (lot->expires_at == DT_NOEND)
			flags |= LOT_NEVER;
		else
		{
			int64 distance;

			/* Only moments some 292,000 years apart: what could not be read back is not written. */
			if (pg_sub_s64_overflow(lot->expires_at, before, &distance))
				ereport(ERROR,
						(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("the expiry of lots is too far apart")));
			if (write_distance(out, distance))
				flags |= LOT_EXPIRES_SEC;
			before = lot->expires_at;
		}
		if (lot->available_at != POINTS_NO_TIME)
		{
			flags |= LOT_PENDING;
			if (lot->available_at == DT_NOEND)
				flags |= LOT_WAITING;
			else if (write_distance(out, lot->available_at))
				flags |= LOT_AVAIL_SEC;
		}
		out->data[flags_at] = (char) flags;
	}
}

/*
 * The SQL value
 */
Datum
points_lots_datum(const PointsLots *lots)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoSpaces(&out, VARHDRSZ);
	points_lots_write(lots, &out);
	SET_VARSIZE(out.data, out.len);
	return PointerGetDatum(out.data);
}

/*
 * Read the SQL value
 */
void
points_lots_read(Datum datum, PointsLots *lots)
{
	struct varlena *value = PG_DETOAST_DATUM_PACKED(datum);
	const uint8 *at = (const uint8 *) VARDATA_ANY(value);
	const uint8 *end = at + VARSIZE_ANY_EXHDR(value);
	uint64 count;
	int64 sum = 0;
	TimestampTz before = 0;

	memset(lots, 0, sizeof(PointsLots));
	if (at >= end || *at++ != LOTS_VERSION)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("stored points_lots value is damaged")));
	count = read_varint(&at, end);
	/* Each lot takes two bytes at least, so a wrong count asks for no memory. */
	if (count > LOTS_MAX || count > (uint64) (end - at) / 2)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("stored points_lots value is damaged")));
	if (count > 0)
		reserve(lots, (int) count);
	for (uint64 i = 0; i < count; i++)
	{
		PointsLot *lot = &lots->lot[i];
		uint8 flags = at < end ? *at++ : 0xff;
		uint64 remaining;

		if ((flags & ~LOT_FLAGS) != 0)
			ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("stored points_lots value is damaged")));
		remaining = read_varint(&at, end);
		if (flags & LOT_NEVER)
			lot->expires_at = DT_NOEND;
		else
			lot->expires_at = before = read_moment(&at, end, (flags & LOT_EXPIRES_SEC) != 0, before);
		lot->available_at = POINTS_NO_TIME;
		if (flags & LOT_WAITING)
			lot->available_at = DT_NOEND;
		else if (flags & LOT_PENDING)
			lot->available_at = read_moment(&at, end, (flags & LOT_AVAIL_SEC) != 0, 0);
		if (remaining == 0 || remaining > PG_INT64_MAX || pg_add_s64_overflow(sum, (int64) remaining, &sum) ||
			(i > 0 && compare_dates(&lots->lot[i - 1], lot->expires_at, lot->available_at) >= 0))
			ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("stored points_lots value is damaged")));
		lot->remaining = (int64) remaining;
	}
	if (at != end)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("stored points_lots value is damaged")));
	lots->count = (int) count;
}
