#include "base/crm.h"

#include <math.h>

#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/date.h"

#include "value/btyd.h"

/* What a customer bought on a day. */
typedef struct Event
{
	DateADT day;
	double amount;
} Event;

/* The events of a customer up to a day. */
typedef struct Buyer
{
	DateADT until;
	double period; /* days */
	int32 count;
	int32 capacity;
	Event event[FLEXIBLE_ARRAY_MEMBER];
} Buyer;

#define BUYER_SIZE(capacity) (offsetof(Buyer, event) + sizeof(Event) * (Size) (capacity))
#define MAX_EVENTS ((int32) ((MaxAllocSize - offsetof(Buyer, event)) / sizeof(Event) / 2))

/*
 * The memory that lives as long as the aggregate's state
 */
static MemoryContext
aggregate_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called in non-aggregate context");
	return context;
}

/*
 * Make a state with room for some events
 */
static Buyer *
buyer_make(MemoryContext context, DateADT until, double period, int32 capacity)
{
	Buyer *buyer = MemoryContextAlloc(context, BUYER_SIZE(capacity));

	buyer->until = until;
	buyer->period = period;
	buyer->count = 0;
	buyer->capacity = capacity;
	return buyer;
}

/*
 * Make room for more events; the state may move
 */
static Buyer *
buyer_reserve(Buyer *buyer, int32 more)
{
	int32 needed;

	if (more > MAX_EVENTS - buyer->count)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many events of one customer"),
				 errdetail("The limit is %d.", MAX_EVENTS),
				 errhint("Did you forget GROUP BY?")));
	needed = buyer->count + more;
	if (needed > buyer->capacity)
	{
		buyer->capacity = Min(Max(needed, buyer->capacity * 2), MAX_EVENTS);
		buyer = repalloc(buyer, BUYER_SIZE(buyer->capacity));
	}
	return buyer;
}

/*
 * Raise that an argument of buyer_summary is null or wrong
 */
static void
bad_argument(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid argument of buyer_summary"),
			 errdetail_internal("%s", detail)));
}

/*
 * Add an event: (day, until), (day, amount, until) or (day, amount, until, period_days)
 */
PG_FUNCTION_INFO_V1(buyer_summary_add);
Datum
buyer_summary_add(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	Buyer *buyer = PG_ARGISNULL(0) ? NULL : (Buyer *) PG_GETARG_POINTER(0);
	bool valued = PG_NARGS() > 3;
	int until = valued ? 3 : 2;
	Event event = {0};

	if (buyer == NULL)
	{
		double period = 1;

		if (PG_ARGISNULL(until) || DATE_NOT_FINITE(PG_GETARG_DATEADT(until)))
			bad_argument("until is null or infinite; it is the day up to which events count.");
		if (PG_NARGS() > 4)
		{
			period = PG_ARGISNULL(4) ? 0 : PG_GETARG_FLOAT8(4);
			if (!(period > 0) || !isfinite(period))
				bad_argument("period_days is null or not positive; 7 gives times in weeks.");
		}
		buyer = buyer_make(context, PG_GETARG_DATEADT(until), period, 4);
	}
	if (PG_ARGISNULL(1) || PG_GETARG_DATEADT(1) > buyer->until)
		PG_RETURN_POINTER(buyer);
	event.day = PG_GETARG_DATEADT(1);
	if (DATE_NOT_FINITE(event.day))
		bad_argument("A day is infinite.");
	if (valued && !PG_ARGISNULL(2))
		event.amount = PG_GETARG_FLOAT8(2);
	/* Orders mostly come in order of time: a second one of a day needs no place of its own. */
	if (buyer->count > 0 && buyer->event[buyer->count - 1].day == event.day)
		buyer->event[buyer->count - 1].amount += event.amount;
	else
	{
		buyer = buyer_reserve(buyer, 1);
		buyer->event[buyer->count++] = event;
	}
	PG_RETURN_POINTER(buyer);
}

/*
 * Join two states
 */
PG_FUNCTION_INFO_V1(buyer_summary_combine);
Datum
buyer_summary_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	Buyer *to = PG_ARGISNULL(0) ? NULL : (Buyer *) PG_GETARG_POINTER(0);
	Buyer *from = PG_ARGISNULL(1) ? NULL : (Buyer *) PG_GETARG_POINTER(1);

	if (from == NULL)
	{
		if (to == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(to);
	}
	if (to == NULL)
		to = buyer_make(context, from->until, from->period, Max(from->count, 4));
	to = buyer_reserve(to, from->count);
	memcpy(to->event + to->count, from->event, sizeof(Event) * from->count);
	to->count += from->count;
	PG_RETURN_POINTER(to);
}

/*
 * Pack a state for its way from a worker to the leader
 */
PG_FUNCTION_INFO_V1(buyer_summary_serialize);
Datum
buyer_summary_serialize(PG_FUNCTION_ARGS)
{
	Buyer *buyer = (Buyer *) PG_GETARG_POINTER(0);
	Size size = BUYER_SIZE(buyer->count);
	bytea *out = palloc(VARHDRSZ + size);

	SET_VARSIZE(out, VARHDRSZ + size);
	memcpy(VARDATA(out), buyer, size);
	PG_RETURN_BYTEA_P(out);
}

/*
 * Unpack what buyer_summary_serialize packed
 */
PG_FUNCTION_INFO_V1(buyer_summary_deserialize);
Datum
buyer_summary_deserialize(PG_FUNCTION_ARGS)
{
	bytea *in = PG_GETARG_BYTEA_PP(0);
	Size size = VARSIZE_ANY_EXHDR(in);
	Buyer *buyer;

	aggregate_context(fcinfo);
	if (size < BUYER_SIZE(0))
		elog(ERROR, "invalid state of buyer_summary");
	buyer = palloc(size);
	memcpy(buyer, VARDATA_ANY(in), size);
	if (buyer->count < 0 || size != BUYER_SIZE(buyer->count))
		elog(ERROR, "invalid state of buyer_summary");
	buyer->capacity = buyer->count;
	PG_RETURN_POINTER(buyer);
}

/*
 * Compare events by day
 */
static int
compare_events(const void *a, const void *b)
{
	DateADT x = ((const Event *) a)->day;
	DateADT y = ((const Event *) b)->day;

	return (x > y) - (x < y);
}

/*
 * Make the summary: repeat purchase days, time of the last since the first, age, mean value of the repeats
 */
PG_FUNCTION_INFO_V1(buyer_summary_final);
Datum
buyer_summary_final(PG_FUNCTION_ARGS)
{
	Buyer *buyer = PG_ARGISNULL(0) ? NULL : (Buyer *) PG_GETARG_POINTER(0);
	Event *event;
	TupleDesc desc;
	Datum values[4];
	bool nulls[4] = {false};
	int64 repeats = 0;
	double total = 0;
	DateADT first;
	DateADT last;

	if (buyer == NULL || buyer->count == 0)
		PG_RETURN_NULL();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != 4)
		elog(ERROR, "unexpected result type of buyer_summary");
	event = palloc(sizeof(Event) * buyer->count);
	memcpy(event, buyer->event, sizeof(Event) * buyer->count);
	qsort(event, buyer->count, sizeof(Event), compare_events);
	first = last = event[0].day;
	for (int32 i = 0; i < buyer->count; i++)
	{
		if (event[i].day == first)
			continue;
		repeats += event[i].day != last;
		last = event[i].day;
		total += event[i].amount;
	}
	values[0] = Int64GetDatum(repeats);
	values[1] = Float8GetDatum(((int64) last - first) / buyer->period);
	values[2] = Float8GetDatum(((int64) buyer->until - first) / buyer->period);
	values[3] = Float8GetDatum(repeats == 0 ? 0 : total / repeats);
	pfree(event);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
