/*
 * What one asks of a single audience: its size, members, ranks, samples.
 */
#include "tags/audience.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/*
 * Number of ids
 */
PG_FUNCTION_INFO_V1(audience_cardinality);
Datum
audience_cardinality(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(audience_count(PG_GETARG_AUDIENCE(0)));
}

/*
 * Is the audience empty?
 */
PG_FUNCTION_INFO_V1(audience_is_empty);
Datum
audience_is_empty(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_GETARG_AUDIENCE(0)->parts == 0);
}

/*
 * Number of ids in a container up to low 16 bits value
 */
static int
container_rank(const Container *c, int value)
{
	int rank = 0;

	switch (c->kind)
	{
		case CONTAINER_ARRAY:
			{
				int limit = c->count;

				while (rank < limit)
				{
					int middle = (rank + limit) / 2;

					if (container_value(c, middle) <= value)
						rank = middle + 1;
					else
						limit = middle;
				}
			}
			break;
		case CONTAINER_BITSET:
			for (int w = 0; w < value / 64; w++)
				rank += __builtin_popcountll(load64(c->data + 8 * w));
			rank += __builtin_popcountll(load64(c->data + 8 * (value / 64)) & (~UINT64CONST(0) >> (63 - value % 64)));
			break;
		case CONTAINER_RUN:
			for (int i = 0; i < c->runs && run_first(c, i) <= value; i++)
				rank += Min(value, run_last(c, i)) - run_first(c, i) + 1;
			break;
	}
	return rank;
}

/*
 * Is an id in a container of its base?
 */
static bool
container_has(const Container *c, int value)
{
	int rank;

	switch (c->kind)
	{
		case CONTAINER_ARRAY:
			rank = container_rank(c, value);
			return rank > 0 && container_value(c, rank - 1) == value;
		case CONTAINER_BITSET:
			return c->data[value / 8] >> (value % 8) & 1;
		case CONTAINER_RUN:
			{
				int low = 0;
				int limit = c->runs;

				while (low < limit)
				{
					int middle = (low + limit) / 2;

					if (run_first(c, middle) <= value)
						low = middle + 1;
					else
						limit = middle;
				}
				return low > 0 && run_last(c, low - 1) >= value;
			}
	}
	return false;
}

/*
 * The id with the given position in a container, from 0
 */
static int64
container_select(const Container *c, int position)
{
	switch (c->kind)
	{
		case CONTAINER_ARRAY:
			return c->base + container_value(c, position);
		case CONTAINER_BITSET:
			for (int w = 0; w < CONTAINER_WORDS; w++)
			{
				uint64 word = load64(c->data + 8 * w);
				int here = __builtin_popcountll(word);

				if (position < here)
				{
					while (position-- > 0)
						word &= word - 1;
					return c->base + w * 64 + __builtin_ctzll(word);
				}
				position -= here;
			}
			break;
		case CONTAINER_RUN:
			for (int i = 0; i < c->runs; i++)
			{
				int here = run_last(c, i) - run_first(c, i) + 1;

				if (position < here)
					return c->base + run_first(c, i) + position;
				position -= here;
			}
			break;
	}
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("stored audience is damaged")));
	return 0;
}

/*
 * The id whose low 16 bits are zero, and which stands for its container
 */
static inline int64
base_of(int64 id)
{
	return id & ~INT64CONST(0xFFFF);
}

/*
 * Is the id in the audience?
 */
PG_FUNCTION_INFO_V1(audience_has);
Datum
audience_has(PG_FUNCTION_ARGS)
{
	int64 id = PG_GETARG_INT64(1);
	Container c;

	PG_RETURN_BOOL(audience_find(PG_GETARG_AUDIENCE(0), base_of(id), &c) && container_has(&c, (int) (id & 0xFFFF)));
}

/*
 * The same with the arguments the other way round
 */
PG_FUNCTION_INFO_V1(audience_member_of);
Datum
audience_member_of(PG_FUNCTION_ARGS)
{
	int64 id = PG_GETARG_INT64(0);
	Container c;

	PG_RETURN_BOOL(audience_find(PG_GETARG_AUDIENCE(1), base_of(id), &c) && container_has(&c, (int) (id & 0xFFFF)));
}

/*
 * The least id; null when the audience is empty
 */
PG_FUNCTION_INFO_V1(audience_min);
Datum
audience_min(PG_FUNCTION_ARGS)
{
	AudienceReader r;

	audience_open(&r, PG_GETARG_AUDIENCE(0));
	if (!audience_next(&r))
		PG_RETURN_NULL();
	PG_RETURN_INT64(container_select(&r.c, 0));
}

/*
 * The greatest id; null when the audience is empty
 */
PG_FUNCTION_INFO_V1(audience_max);
Datum
audience_max(PG_FUNCTION_ARGS)
{
	AudienceReader r;

	audience_open(&r, PG_GETARG_AUDIENCE(0));
	if (!audience_next(&r))
		PG_RETURN_NULL();
	while (audience_next(&r))
		;
	PG_RETURN_INT64(container_select(&r.c, r.c.count - 1));
}

/*
 * Number of ids up to and with the given one
 */
PG_FUNCTION_INFO_V1(audience_rank);
Datum
audience_rank(PG_FUNCTION_ARGS)
{
	int64 id = PG_GETARG_INT64(1);
	AudienceReader r;
	int64 rank = 0;

	audience_open(&r, PG_GETARG_AUDIENCE(0));
	while (audience_next(&r) && r.c.base <= id)
		rank += r.c.base == base_of(id) ? container_rank(&r.c, (int) (id & 0xFFFF)) : r.c.count;
	PG_RETURN_INT64(rank);
}

/*
 * The id with the given rank, from 1; null when there are fewer
 */
PG_FUNCTION_INFO_V1(audience_select);
Datum
audience_select(PG_FUNCTION_ARGS)
{
	int64 rank = PG_GETARG_INT64(1);
	AudienceReader r;

	audience_open(&r, PG_GETARG_AUDIENCE(0));
	while (rank > 0 && audience_next(&r))
	{
		if (rank <= r.c.count)
			PG_RETURN_INT64(container_select(&r.c, (int) rank - 1));
		rank -= r.c.count;
	}
	PG_RETURN_NULL();
}

/* Where members() is. */
typedef struct MembersState
{
	AudienceReader r;
	int n;
	int next;
	uint16 values[CONTAINER_IDS];
} MembersState;

/*
 * The ids in order, one a row
 */
PG_FUNCTION_INFO_V1(audience_members);
Datum
audience_members(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	MembersState *state;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;

		call = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		state = palloc(sizeof(MembersState));
		state->n = state->next = 0;
		/* A copy: the argument lives only as long as this call. */
		audience_open(&state->r, (Audience *) PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(0)));
		call->user_fctx = state;
		MemoryContextSwitchTo(old);
	}
	call = SRF_PERCALL_SETUP();
	state = call->user_fctx;
	if (state->next == state->n)
	{
		if (!audience_next(&state->r))
			SRF_RETURN_DONE(call);
		state->n = container_values(&state->r.c, state->values);
		state->next = 0;
		if (state->n == 0)
			ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("stored audience is damaged")));
	}
	SRF_RETURN_NEXT(call, Int64GetDatum(state->r.c.base + state->values[state->next++]));
}

/*
 * splitmix64's finalizer: the pseudo-random number of an id. Written down in the documentation: splits must come out
 * the same for ever
 */
static inline uint64
mix(uint64 x)
{
	x += UINT64CONST(0x9E3779B97F4A7C15);
	x = (x ^ (x >> 30)) * UINT64CONST(0xBF58476D1CE4E5B9);
	x = (x ^ (x >> 27)) * UINT64CONST(0x94D049BB133111EB);
	return x ^ (x >> 31);
}

/*
 * Number of an id under a seed
 */
static inline uint64
id_number(int64 id, uint64 mixed_seed)
{
	return mix((uint64) id ^ mixed_seed);
}

/*
 * Is the number below the fraction of all numbers?
 */
typedef struct Threshold
{
	uint64 below;
	bool all;
} Threshold;

/*
 * The numbers that a fraction takes; raises outside 0 to 1
 */
static Threshold
threshold(float8 fraction)
{
	Threshold t = {0, false};

	if (!(fraction >= 0 && fraction <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("fraction %g is not between 0 and 1", fraction),
				 errhint("A tenth is 0.1.")));
	t.all = fraction == 1;
	if (!t.all)
		t.below = (uint64) (fraction * 18446744073709551616.0);
	return t;
}

/*
 * The ids whose number lies below the fraction: the same ones whoever else is in the audience
 */
PG_FUNCTION_INFO_V1(audience_split);
Datum
audience_split(PG_FUNCTION_ARGS)
{
	Audience *set = PG_GETARG_AUDIENCE(0);
	Threshold t = threshold(PG_GETARG_FLOAT8(1));
	uint64 seed = mix((uint64) PG_GETARG_INT64(2));
	uint16 *values;
	AudienceReader r;
	AudienceWriter w;

	if (t.all)
		PG_RETURN_AUDIENCE(set);
	values = palloc(sizeof(uint16) * CONTAINER_IDS);
	audience_open(&r, set);
	audience_begin(&w, VARSIZE(set) / 2, audience_containers(set));
	while (audience_next(&r))
	{
		int n = container_values(&r.c, values);
		int kept = 0;

		for (int i = 0; i < n; i++)
		{
			values[kept] = values[i];
			kept += id_number(r.c.base + values[i], seed) < t.below;
		}
		if (kept <= CONTAINER_MAX_ARRAY)
			audience_put_values(&w, r.c.base, values, kept);
		else
		{
			uint64 words[CONTAINER_WORDS] = {0};

			for (int i = 0; i < kept; i++)
				words[values[i] / 64] |= UINT64CONST(1) << (values[i] % 64);
			audience_put_words(&w, r.c.base, words, kept, false);
		}
	}
	pfree(values);
	PG_RETURN_AUDIENCE(audience_end(&w));
}

/*
 * Would split() keep this id?
 */
PG_FUNCTION_INFO_V1(in_split);
Datum
in_split(PG_FUNCTION_ARGS)
{
	Threshold t = threshold(PG_GETARG_FLOAT8(1));

	PG_RETURN_BOOL(t.all || id_number(PG_GETARG_INT64(0), mix((uint64) PG_GETARG_INT64(2))) < t.below);
}

typedef struct Candidate
{
	uint64 number;
	int64 id;
} Candidate;

/*
 * Order by number; ties by id, so that a sample is one and the same always
 */
static inline bool
candidate_less(const Candidate *a, const Candidate *b)
{
	return a->number != b->number ? a->number < b->number : a->id < b->id;
}

/*
 * Bring the n least candidates to the front (quickselect; the numbers are random, so any pivot does)
 */
static void
keep_least(Candidate *c, int64 count, int64 n)
{
	int64 low = 0;
	int64 high = count - 1;

	while (low < high)
	{
		Candidate pivot = c[low + (high - low) / 2];
		int64 i = low;
		int64 j = high;

		CHECK_FOR_INTERRUPTS();
		while (i <= j)
		{
			while (candidate_less(&c[i], &pivot))
				i++;
			while (candidate_less(&pivot, &c[j]))
				j--;
			if (i <= j)
			{
				Candidate swap = c[i];

				c[i++] = c[j];
				c[j--] = swap;
			}
		}
		if (n - 1 <= j)
			high = j;
		else if (n - 1 >= i)
			low = i;
		else
			break;
	}
}

/*
 * n ids at random: those with the least numbers under the seed
 */
PG_FUNCTION_INFO_V1(audience_sample);
Datum
audience_sample(PG_FUNCTION_ARGS)
{
	Audience *set = PG_GETARG_AUDIENCE(0);
	int64 n = PG_GETARG_INT64(1);
	uint64 seed = mix((uint64) PG_GETARG_INT64(2));
	int64 count = audience_count(set);
	int64 found = 0;
	int64 allocated;
	uint16 *values;
	uint64 below;
	Candidate *candidates;
	AudienceSet *sample;
	Audience *value;

	if (n < 0)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("a sample can't have %lld ids", (long long) n)));
	if (n >= count)
		PG_RETURN_AUDIENCE(set);

	values = palloc(sizeof(uint16) * CONTAINER_IDS);
	allocated = n + n / 8 + 1024;
	candidates = MemoryContextAllocHuge(CurrentMemoryContext, mul_size(sizeof(Candidate), allocated));
	/* Only numbers below a limit that n ids nearly surely pass are looked at; when they don't, all are. */
	below = (uint64) (Min(1.0, ((double) n + 6 * sqrt((double) n) + 64) / (double) count) * 18446744073709549568.0);
	for (;;)
	{
		AudienceReader r;

		audience_open(&r, set);
		while (audience_next(&r))
		{
			int in = container_values(&r.c, values);

			CHECK_FOR_INTERRUPTS();
			for (int i = 0; i < in; i++)
			{
				int64 id = r.c.base + values[i];
				uint64 number = id_number(id, seed);

				if (number > below)
					continue;
				if (found == allocated)
				{
					allocated *= 2;
					candidates = repalloc_huge(candidates, mul_size(sizeof(Candidate), allocated));
				}
				candidates[found].number = number;
				candidates[found++].id = id;
			}
		}
		if (found >= n || below == PG_UINT64_MAX)
			break;
		found = 0;
		below = PG_UINT64_MAX;
	}
	keep_least(candidates, found, n);
	sample = audience_set_create(CurrentMemoryContext);
	for (int64 i = 0; i < n; i++)
		audience_set_add(sample, candidates[i].id);
	value = audience_set_value(sample);
	audience_set_free(sample);
	pfree(candidates);
	pfree(values);
	PG_RETURN_AUDIENCE(value);
}
