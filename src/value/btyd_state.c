#include "base/crm.h"

#include <math.h>

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "value/btyd.h"

/* Histories seen so far and how many customers have each. */
typedef struct HistoryKey
{
	double x;
	double t_x;
	double t;
} HistoryKey;

typedef struct HistoryEntry
{
	HistoryKey key;
	int64 n;
	char status;
} HistoryEntry;

#define SH_PREFIX history
#define SH_ELEMENT_TYPE HistoryEntry
#define SH_KEY_TYPE HistoryKey
#define SH_KEY key
#define SH_HASH_KEY(tb, k) ((uint32) hash_bytes((const unsigned char *) &(k), sizeof(HistoryKey)))
#define SH_EQUAL(tb, p, q) ((p).x == (q).x && (p).t_x == (q).t_x && (p).t == (q).t)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

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
 * Count customers with a history
 */
static void
count_history(history_hash *state, double x, double t_x, double t, int64 n)
{
	/* Adding 0 turns -0 to 0, which hashes otherwise. */
	HistoryKey key = {x + 0.0, t_x + 0.0, t + 0.0};
	bool found;
	HistoryEntry *entry = history_insert(state, key, &found);

	entry->n = found ? entry->n + n : n;
}

/*
 * Raise that a row of a fit is not a history
 */
static void
bad_row(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid purchase history"),
			 errdetail_internal("%s", detail)));
}

/*
 * Raise unless a row of the fit is the history of a buyer
 */
static void
check_row(double x, double t_x, double t)
{
	if (!(x >= 0) || x > 1e9 || x != floor(x))
		bad_row(psprintf("x is %g; it counts repeat purchases.", x));
	if (!isfinite(t_x) || !isfinite(t) || t_x < 0 || t_x > t)
		bad_row(psprintf("t_x is %g and t is %g; both are counted from the first purchase, t_x being at most t.", t_x, t));
	if (x == 0 && t_x != 0)
		bad_row(psprintf("x is 0 but t_x is %g; without a repeat purchase the last one is the first.", t_x));
	if (x > 0 && t_x == 0)
		bad_row(psprintf("x is %g but t_x is 0; purchases of one day count as one.", x));
}

/*
 * Add a history of repeat purchases; one with a null is left out
 */
PG_FUNCTION_INFO_V1(btyd_fit_add);
Datum
btyd_fit_add(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	history_hash *state = PG_ARGISNULL(0) ? NULL : (history_hash *) PG_GETARG_POINTER(0);

	if (state == NULL)
		state = history_create(context, 256, NULL);
	if (!PG_ARGISNULL(1) && !PG_ARGISNULL(2) && !PG_ARGISNULL(3))
	{
		double x = PG_GETARG_FLOAT8(1);
		double t_x = PG_GETARG_FLOAT8(2);
		double t = PG_GETARG_FLOAT8(3);

		check_row(x, t_x, t);
		count_history(state, x, t_x, t, 1);
	}
	PG_RETURN_POINTER(state);
}

/*
 * Add the mean value of a customer's repeat purchases; those without any, and without spend, are left out
 */
PG_FUNCTION_INFO_V1(gamma_gamma_fit_add);
Datum
gamma_gamma_fit_add(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	history_hash *state = PG_ARGISNULL(0) ? NULL : (history_hash *) PG_GETARG_POINTER(0);

	if (state == NULL)
		state = history_create(context, 256, NULL);
	if (!PG_ARGISNULL(1) && !PG_ARGISNULL(2))
	{
		double x = PG_GETARG_FLOAT8(1);
		double mean = PG_GETARG_FLOAT8(2);

		if (!(x >= 0) || x > 1e9 || x != floor(x))
			bad_row(psprintf("x is %g; it counts repeat purchases.", x));
		if (!isfinite(mean))
			bad_row(psprintf("The mean value is %g.", mean));
		if (x > 0 && mean > 0)
			count_history(state, x, mean, 0, 1);
	}
	PG_RETURN_POINTER(state);
}

/*
 * Join two states
 */
PG_FUNCTION_INFO_V1(btyd_fit_combine);
Datum
btyd_fit_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	history_hash *to = PG_ARGISNULL(0) ? NULL : (history_hash *) PG_GETARG_POINTER(0);
	history_hash *from = PG_ARGISNULL(1) ? NULL : (history_hash *) PG_GETARG_POINTER(1);

	if (to == NULL)
		to = history_create(context, 256, NULL);
	if (from != NULL)
	{
		history_iterator i;
		HistoryEntry *entry;

		history_start_iterate(from, &i);
		while ((entry = history_iterate(from, &i)) != NULL)
			count_history(to, entry->key.x, entry->key.t_x, entry->key.t, entry->n);
	}
	PG_RETURN_POINTER(to);
}

/*
 * Pack a state for its way from a worker to the leader: its groups, one after the other
 */
PG_FUNCTION_INFO_V1(btyd_fit_serialize);
Datum
btyd_fit_serialize(PG_FUNCTION_ARGS)
{
	history_hash *state = (history_hash *) PG_GETARG_POINTER(0);
	Size size = VARHDRSZ + sizeof(BtydGroup) * state->members;
	history_iterator i;
	HistoryEntry *entry;
	bytea *out;
	char *to;

	if (!AllocSizeIsValid(size))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many different histories for one parallel worker"),
				 errdetail("It has %u.", (unsigned) state->members),
				 errhint("SET max_parallel_workers_per_gather = 0, or fit on a sample.")));
	out = palloc(size);
	SET_VARSIZE(out, size);
	to = VARDATA(out);
	history_start_iterate(state, &i);
	while ((entry = history_iterate(state, &i)) != NULL)
	{
		BtydGroup group = {entry->key.x, entry->key.t_x, entry->key.t, entry->n};

		memcpy(to, &group, sizeof(group));
		to += sizeof(group);
	}
	PG_RETURN_BYTEA_P(out);
}

/*
 * Unpack what btyd_fit_serialize packed
 */
PG_FUNCTION_INFO_V1(btyd_fit_deserialize);
Datum
btyd_fit_deserialize(PG_FUNCTION_ARGS)
{
	bytea *in = PG_GETARG_BYTEA_PP(0);
	Size size = VARSIZE_ANY_EXHDR(in);
	const char *from = VARDATA_ANY(in);
	history_hash *state;

	aggregate_context(fcinfo);
	if (size % sizeof(BtydGroup) != 0)
		elog(ERROR, "invalid state of a model fit");
	state = history_create(CurrentMemoryContext, Max(size / sizeof(BtydGroup), 16), NULL);
	for (; size > 0; size -= sizeof(BtydGroup), from += sizeof(BtydGroup))
	{
		BtydGroup group;

		memcpy(&group, from, sizeof(group));
		count_history(state, group.x, group.t_x, group.t, group.n);
	}
	PG_RETURN_POINTER(state);
}

/*
 * Compare groups by x, t, t_x
 */
static int
compare_groups(const void *a, const void *b)
{
	const BtydGroup *g = a;
	const BtydGroup *h = b;

	if (g->x != h->x)
		return g->x < h->x ? -1 : 1;
	if (g->t != h->t)
		return g->t < h->t ? -1 : 1;
	return (g->t_x > h->t_x) - (g->t_x < h->t_x);
}

/*
 * The groups of a state, in an order that makes the fit the same however the rows came
 */
BtydGroups *
btyd_groups(Datum datum)
{
	history_hash *state = (history_hash *) DatumGetPointer(datum);
	BtydGroups *groups = palloc0(sizeof(BtydGroups));
	history_iterator i;
	HistoryEntry *entry;

	groups->group =
		MemoryContextAllocHuge(CurrentMemoryContext, sizeof(BtydGroup) * Max(state->members, 1));
	history_start_iterate(state, &i);
	while ((entry = history_iterate(state, &i)) != NULL)
	{
		BtydGroup group = {entry->key.x, entry->key.t_x, entry->key.t, entry->n};

		groups->group[groups->count++] = group;
	}
	qsort(groups->group, groups->count, sizeof(BtydGroup), compare_groups);
	for (int64 k = 0; k < groups->count; k++)
	{
		groups->customers += groups->group[k].n;
		groups->repeats += groups->group[k].x * groups->group[k].n;
		groups->mean_t += groups->group[k].t * groups->group[k].n;
	}
	if (groups->customers > 0)
		groups->mean_t /= groups->customers;
	return groups;
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
 * The distinct values of one column of the groups, or of two together
 */
BtydValues
btyd_values(const BtydGroups *groups, size_t column, size_t other_column)
{
	int64 n = groups->count * (other_column == BTYD_NO_COLUMN ? 1 : 2);
	BtydValues values = {0, MemoryContextAllocHuge(CurrentMemoryContext, sizeof(double) * Max(n, 1))};
	int64 k = 0;

	for (int64 i = 0; i < groups->count; i++)
	{
		const char *group = (const char *) &groups->group[i];

		values.value[k++] = *(const double *) (group + column);
		if (other_column != BTYD_NO_COLUMN)
			values.value[k++] = *(const double *) (group + other_column);
	}
	qsort(values.value, n, sizeof(double), compare_doubles);
	for (int64 i = 0; i < n; i++)
		if (i == 0 || values.value[i] != values.value[i - 1])
			values.value[values.count++] = values.value[i];
	return values;
}

/*
 * Where a value stands among the distinct ones
 */
int32
btyd_find(const BtydValues *values, double value)
{
	int64 low = 0;
	int64 high = values->count - 1;

	while (low < high)
	{
		int64 middle = low + (high - low) / 2;

		if (values->value[middle] < value)
			low = middle + 1;
		else
			high = middle;
	}
	return (int32) low;
}
