#include "base/crm.h"

#include <math.h>

#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/number.h"
#include "value/rfm.h"

/*
 * What rfm_fit keeps: every value, an array an axis. Their order has no meaning, so the arrays may be permuted.
 */
typedef struct RfmFit
{
	int bins;
	bool plus_one;
	int64 n;
	int64 capacity;
	double *value[RFM_AXES];
} RfmFit;

/*
 * Start a state in the memory of the aggregate
 */
static RfmFit *
fit_make(MemoryContext context, int64 capacity)
{
	RfmFit *fit = MemoryContextAllocZero(context, sizeof(RfmFit));

	fit->capacity = Max(capacity, 1024);
	for (int axis = 0; axis < RFM_AXES; axis++)
		fit->value[axis] = MemoryContextAllocHuge(context, sizeof(double) * fit->capacity);
	return fit;
}

/*
 * Make room for more values
 */
static void
fit_reserve(RfmFit *fit, int64 more)
{
	if (fit->n + more <= fit->capacity)
		return;
	fit->capacity = Max(fit->n + more, fit->capacity * 2);
	for (int axis = 0; axis < RFM_AXES; axis++)
		fit->value[axis] = repalloc_huge(fit->value[axis], sizeof(double) * fit->capacity);
}

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
 * Set bins and method from the arguments of the first row
 */
static void
read_options(FunctionCallInfo fcinfo, RfmFit *fit)
{
	fit->bins = RFM_DEFAULT_BINS;
	if (PG_NARGS() > 4)
	{
		if (PG_ARGISNULL(4) || PG_GETARG_INT32(4) < 2 || PG_GETARG_INT32(4) > RFM_MAX_BINS)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid number of bins"),
					 PG_ARGISNULL(4) ? errdetail("It is null.") : errdetail("It is %d.", PG_GETARG_INT32(4)),
					 errhint("Give 2 to %d; 5 is usual.", RFM_MAX_BINS)));
		fit->bins = PG_GETARG_INT32(4);
	}
	if (PG_NARGS() > 5)
	{
		char *method = PG_ARGISNULL(5) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(5));

		if (method != NULL && strcmp(method, "quantile_plus_one") == 0)
			fit->plus_one = true;
		else if (method == NULL || strcmp(method, "quantile") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown method of rfm_fit"),
					 method == NULL ? errdetail("It is null.") : errdetail("It is \"%s\".", method),
					 errhint("The methods are quantile and quantile_plus_one.")));
	}
}

/*
 * Add a customer; one with a null among the three values is left out
 */
static Datum
fit_add(FunctionCallInfo fcinfo, bool numeric)
{
	RfmFit *fit = PG_ARGISNULL(0) ? NULL : (RfmFit *) PG_GETARG_POINTER(0);

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3))
	{
		if (fit == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(fit);
	}
	if (fit == NULL)
	{
		fit = fit_make(aggregate_context(fcinfo), 0);
		read_options(fcinfo, fit);
	}
	fit_reserve(fit, 1);
	for (int axis = 0; axis < RFM_AXES; axis++)
	{
		double value = numeric && axis == RFM_M ? number_to_double(PG_GETARG_DATUM(3)) : PG_GETARG_FLOAT8(axis + 1);

		if (unlikely(!isfinite(value)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("rfm_fit needs finite values"),
					 errdetail("A value of %s is %s.", rfm_axis_name[axis], isnan(value) ? "NaN" : "infinite")));
		fit->value[axis][fit->n] = value;
	}
	fit->n++;
	PG_RETURN_POINTER(fit);
}

/*
 * Add a customer whose monetary value is a double
 */
PG_FUNCTION_INFO_V1(rfm_fit_add);
Datum
rfm_fit_add(PG_FUNCTION_ARGS)
{
	return fit_add(fcinfo, false);
}

/*
 * Add a customer whose monetary value is numeric
 */
PG_FUNCTION_INFO_V1(rfm_fit_add_numeric);
Datum
rfm_fit_add_numeric(PG_FUNCTION_ARGS)
{
	return fit_add(fcinfo, true);
}

/*
 * Join two states
 */
PG_FUNCTION_INFO_V1(rfm_fit_combine);
Datum
rfm_fit_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	RfmFit *to = PG_ARGISNULL(0) ? NULL : (RfmFit *) PG_GETARG_POINTER(0);
	RfmFit *from = PG_ARGISNULL(1) ? NULL : (RfmFit *) PG_GETARG_POINTER(1);

	if (from == NULL)
	{
		if (to == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(to);
	}
	if (to == NULL)
	{
		to = fit_make(context, from->n);
		to->bins = from->bins;
		to->plus_one = from->plus_one;
	}
	fit_reserve(to, from->n);
	for (int axis = 0; axis < RFM_AXES; axis++)
		memcpy(to->value[axis] + to->n, from->value[axis], sizeof(double) * from->n);
	to->n += from->n;
	PG_RETURN_POINTER(to);
}

/* A state on its way from a worker: this, then the values of r, of f, of m. */
typedef struct RfmFitHeader
{
	int64 n;
	int32 bins;
	int32 plus_one;
	uint8 encoding[8]; /* of each axis; the rest is zero */
} RfmFitHeader;

/* Days, orders and amounts of money fit in fewer bytes than a double; every other double travels as it is. */
enum
{
	ENCODE_DOUBLE,
	ENCODE_UINT16,
	ENCODE_CENTS
};
static const Size encoded_size[] = {sizeof(double), sizeof(uint16), sizeof(int32)};
#define ENCODINGS lengthof(encoded_size)

/*
 * The smallest encoding that gives back every value exactly
 */
static int
choose_encoding(const double *value, int64 n)
{
	int64 i;

	for (i = 0; i < n && value[i] >= 0 && value[i] <= PG_UINT16_MAX && value[i] == (uint16) value[i]; i++)
		;
	if (i == n)
		return ENCODE_UINT16;
	for (i = 0; i < n && fabs(value[i]) <= 2e7 && value[i] == rint(value[i] * 100) / 100; i++)
		;
	return i == n ? ENCODE_CENTS : ENCODE_DOUBLE;
}

/*
 * Write values in an encoding
 */
static void
encode(int encoding, const double *value, int64 n, char *to)
{
	if (encoding == ENCODE_DOUBLE)
		memcpy(to, value, sizeof(double) * n);
	else
		for (int64 i = 0; i < n; i++, to += encoded_size[encoding])
		{
			uint16 whole = (uint16) value[i];
			int32 cents = (int32) rint(value[i] * 100);

			memcpy(to, encoding == ENCODE_UINT16 ? (void *) &whole : (void *) &cents, encoded_size[encoding]);
		}
}

/*
 * Read values in an encoding
 */
static void
decode(int encoding, const char *from, int64 n, double *value)
{
	if (encoding == ENCODE_DOUBLE)
		memcpy(value, from, sizeof(double) * n);
	else
		for (int64 i = 0; i < n; i++, from += encoded_size[encoding])
		{
			uint16 whole;
			int32 cents;

			if (encoding == ENCODE_UINT16)
			{
				memcpy(&whole, from, sizeof(whole));
				value[i] = whole;
			}
			else
			{
				memcpy(&cents, from, sizeof(cents));
				value[i] = cents / 100.0;
			}
		}
}

/*
 * Pack a state for its way from a worker to the leader
 */
PG_FUNCTION_INFO_V1(rfm_fit_serialize);
Datum
rfm_fit_serialize(PG_FUNCTION_ARGS)
{
	RfmFit *fit = (RfmFit *) PG_GETARG_POINTER(0);
	RfmFitHeader header = {fit->n, fit->bins, fit->plus_one, {0}};
	Size size = VARHDRSZ + sizeof(RfmFitHeader);
	bytea *out;
	char *to;

	for (int axis = 0; axis < RFM_AXES; axis++)
	{
		header.encoding[axis] = choose_encoding(fit->value[axis], fit->n);
		size += encoded_size[header.encoding[axis]] * fit->n;
	}
	if (!AllocSizeIsValid(size))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many customers for one parallel worker of rfm_fit"),
				 errdetail("It has " INT64_FORMAT ".", fit->n),
				 errhint("SET max_parallel_workers_per_gather = 0, or fit on a sample.")));
	out = palloc(size);
	SET_VARSIZE(out, size);
	to = VARDATA(out);
	memcpy(to, &header, sizeof(header));
	to += sizeof(header);
	for (int axis = 0; axis < RFM_AXES; axis++)
	{
		encode(header.encoding[axis], fit->value[axis], fit->n, to);
		to += encoded_size[header.encoding[axis]] * fit->n;
	}
	PG_RETURN_BYTEA_P(out);
}

/*
 * Unpack what rfm_fit_serialize packed
 */
PG_FUNCTION_INFO_V1(rfm_fit_deserialize);
Datum
rfm_fit_deserialize(PG_FUNCTION_ARGS)
{
	bytea *in = PG_GETARG_BYTEA_PP(0);
	Size size = VARSIZE_ANY_EXHDR(in);
	const char *from = VARDATA_ANY(in);
	Size row = 0;
	RfmFitHeader header;
	RfmFit *fit;

	aggregate_context(fcinfo);
	if (size < sizeof(header))
		elog(ERROR, "invalid state of rfm_fit");
	memcpy(&header, from, sizeof(header));
	from += sizeof(header);
	for (int axis = 0; axis < RFM_AXES; axis++)
	{
		if (header.encoding[axis] >= ENCODINGS)
			elog(ERROR, "invalid state of rfm_fit");
		row += encoded_size[header.encoding[axis]];
	}
	if (header.n < 0 || header.n > size / row || size - sizeof(header) != header.n * row)
		elog(ERROR, "invalid state of rfm_fit");
	fit = fit_make(CurrentMemoryContext, header.n);
	fit->bins = header.bins;
	fit->plus_one = header.plus_one;
	fit->n = header.n;
	for (int axis = 0; axis < RFM_AXES; axis++)
	{
		decode(header.encoding[axis], from, header.n, fit->value[axis]);
		from += encoded_size[header.encoding[axis]] * header.n;
	}
	PG_RETURN_POINTER(fit);
}

/*
 * Compare doubles for qsort
 */
static int
compare_doubles(const void *a, const void *b)
{
	double x = *(const double *) a;
	double y = *(const double *) b;

	return (x > y) - (x < y);
}

/*
 * Permute value[first..last] so that value[k] is what sorting would put there, smaller ones before, greater ones after
 */
static void
select_rank(double *value, int64 first, int64 last, int64 k)
{
	/* Quickselect halves the range in the mean; input made to prevent that is sorted instead. */
	for (int depth = 0; last - first > 16 && depth < 100; depth++)
	{
		double a = value[first];
		double b = value[first + (last - first) / 2];
		double c = value[last];
		double pivot = Max(Min(a, b), Min(Max(a, b), c));
		int64 i = first - 1;
		int64 j = last + 1;

		CHECK_FOR_INTERRUPTS();
		for (;;)
		{
			double swap;

			while (value[++i] < pivot)
				;
			while (value[--j] > pivot)
				;
			if (i >= j)
				break;
			swap = value[i];
			value[i] = value[j];
			value[j] = swap;
		}
		/* Everything up to j is <= pivot, everything after is >= pivot. */
		if (j == last)
			j--;
		if (k <= j)
			last = j;
		else
			first = j + 1;
	}
	qsort(value + first, last - first + 1, sizeof(double), compare_doubles);
}

/*
 * Put in place the ranks below cut points from..to, all of which lie within value[first..last]
 */
static void
select_cuts(const RfmFit *fit, double *value, int64 first, int64 last, int from, int to)
{
	int middle = from + (to - from) / 2;
	int64 rank;

	if (from > to || first >= last)
		return;
	/* The middle one first, so that the others are sought in halves. */
	rank = (int64) floor((double) middle / fit->bins * (fit->n - 1));
	select_rank(value, first, last, rank);
	select_cuts(fit, value, first, rank, from, middle - 1);
	select_cuts(fit, value, rank, last, middle + 1, to);
}

/*
 * The cut points of one axis: what percentile_cont gives at 1/bins, 2/bins, ...
 */
static void
fit_cuts(const RfmFit *fit, double *value, double *cut)
{
	int64 settled = fit->n;
	int64 above = fit->n;

	select_cuts(fit, value, 0, fit->n - 1, 1, fit->bins - 1);
	for (int i = fit->bins - 1; i >= 1; i--)
	{
		double position = (double) i / fit->bins * (fit->n - 1);
		int64 low = (int64) floor(position);
		double next = value[low];

		if (low < settled)
		{
			above = settled;
			settled = low;
		}
		if (position > low)
		{
			/* The value of the next rank is the least of those up to the next rank in place. */
			next = value[low + 1];
			for (int64 j = low + 2; j < fit->n && j <= above; j++)
				next = Min(next, value[j]);
		}
		cut[i - 1] = value[low] + (position - low) * (next - value[low]);
		if (fit->plus_one)
			cut[i - 1] += 1;
	}
}

/*
 * Make the model
 */
PG_FUNCTION_INFO_V1(rfm_fit_final);
Datum
rfm_fit_final(PG_FUNCTION_ARGS)
{
	RfmFit *fit = PG_ARGISNULL(0) ? NULL : (RfmFit *) PG_GETARG_POINTER(0);
	int cuts[RFM_AXES];
	RfmModel *model;

	if (fit == NULL)
		PG_RETURN_NULL();
	for (int axis = 0; axis < RFM_AXES; axis++)
		cuts[axis] = fit->bins - 1;
	model = rfm_model_make(cuts);
	model->right_closed = !fit->plus_one;
	model->customers = fit->n;
	for (int axis = 0; axis < RFM_AXES; axis++)
	{
		double *value = fit->value[axis];
		double *cut = rfm_model_cuts(model, axis);
		int64 sum = 0;

		fit_cuts(fit, value, cut);
		for (int64 i = 0; i < fit->n; i++)
			sum += rfm_bin(cut, cuts[axis], model->right_closed, value[i]);
		if (axis == RFM_R)
			sum = (fit->bins + 1) * fit->n - sum;
		model->mean[axis] = (double) sum / fit->n;
	}
	PG_RETURN_POINTER(model);
}
