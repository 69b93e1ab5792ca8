/*
 * Set algebra of two containers, on the stored bytes as they lie.
 */
#include "tags/audience.h"

/*
 * Counting bits is one instruction on any x86-64 processor of the last ten years, but not in the baseline that
 * distributions compile for; so the word loops exist twice and the processor is asked once.
 */
#if defined(__x86_64__) && defined(__GNUC__)
#define TWO_VERSIONS
#endif

/* Lists of runs longer than this are combined as bitsets. */
#define CONTAINER_MAX_RUNS 2048

typedef int (*WordsFunction)(AudienceOp op, const uint8 *a, const uint8 *b, uint64 *out);

/*
 * out = a op b, of bitsets that needn't be aligned: count of ids. out may be NULL when only the count of AND is asked for
 */
static pg_attribute_always_inline int
words_combine_body(AudienceOp op, const uint8 *pg_restrict a, const uint8 *pg_restrict b, uint64 *pg_restrict out)
{
	int count = 0;

	switch (op)
	{
		case AUDIENCE_OR:
			for (int i = 0; i < CONTAINER_WORDS; i++)
				out[i] = load64(a + 8 * i) | load64(b + 8 * i);
			break;
		case AUDIENCE_AND:
			if (out == NULL)
			{
				for (int i = 0; i < CONTAINER_WORDS; i++)
					count += __builtin_popcountll(load64(a + 8 * i) & load64(b + 8 * i));
				return count;
			}
			for (int i = 0; i < CONTAINER_WORDS; i++)
				out[i] = load64(a + 8 * i) & load64(b + 8 * i);
			break;
		case AUDIENCE_MINUS:
			for (int i = 0; i < CONTAINER_WORDS; i++)
				out[i] = load64(a + 8 * i) & ~load64(b + 8 * i);
			break;
		case AUDIENCE_XOR:
			for (int i = 0; i < CONTAINER_WORDS; i++)
				out[i] = load64(a + 8 * i) ^ load64(b + 8 * i);
			break;
	}
	for (int i = 0; i < CONTAINER_WORDS; i++)
		count += __builtin_popcountll(out[i]);
	return count;
}

static int
words_combine_plain(AudienceOp op, const uint8 *a, const uint8 *b, uint64 *out)
{
	return words_combine_body(op, a, b, out);
}

#ifdef TWO_VERSIONS
/* Without O3, gcc leaves the loops scalar; clang does not need to be told. */
#ifndef __clang__
__attribute__((optimize("O3")))
#endif
__attribute__((target("avx2,popcnt"))) static int
words_combine_avx2(AudienceOp op, const uint8 *a, const uint8 *b, uint64 *out)
{
	return words_combine_body(op, a, b, out);
}
#endif

/*
 * The version of the word loops that this processor runs
 */
static WordsFunction
words_combine(void)
{
	static WordsFunction chosen = NULL;

	if (chosen == NULL)
	{
		chosen = words_combine_plain;
#ifdef TWO_VERSIONS
		__builtin_cpu_init();
		if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt"))
			chosen = words_combine_avx2;
#endif
	}
	return chosen;
}

int
words_count(const uint64 *words)
{
	return words_combine()(AUDIENCE_AND, (const uint8 *) words, (const uint8 *) words, NULL);
}

/*
 * Number of runs in a bitset: of the ids whose predecessor is not in it
 */
int
words_runs(const uint64 *words)
{
	uint64 starts[CONTAINER_WORDS];
	uint64 carry = 0;

	for (int i = 0; i < CONTAINER_WORDS; i++)
	{
		starts[i] = words[i] & ~(words[i] << 1 | carry);
		carry = words[i] >> 63;
	}
	return words_count(starts);
}

/*
 * The words of a container: its own when it is a bitset, else written to room
 */
static const uint8 *
container_words(const Container *c, uint64 *room)
{
	if (c->kind == CONTAINER_BITSET)
		return c->data;
	container_expand(c, room);
	return (const uint8 *) room;
}

static inline bool
bit(const uint8 *words, int v)
{
	return words[v / 8] >> (v % 8) & 1;
}

/*
 * Size of the intersection of two arrays
 */
static int
arrays_common(const Container *a, const Container *b)
{
	int i = 0;
	int j = 0;
	int common = 0;

	/* A short list looks its ids up in a long one. */
	if (b->count > 32 * a->count)
	{
		for (; i < a->count; i++)
		{
			uint16 v = container_value(a, i);
			int limit = b->count;

			while (j < limit)
			{
				int middle = (j + limit) / 2;

				if (container_value(b, middle) < v)
					j = middle + 1;
				else
					limit = middle;
			}
			common += j < b->count && container_value(b, j) == v;
		}
		return common;
	}
	while (i < a->count && j < b->count)
	{
		uint16 x = container_value(a, i);
		uint16 y = container_value(b, j);

		common += x == y;
		i += x <= y;
		j += y <= x;
	}
	return common;
}

/*
 * Size of the intersection of two lists of runs
 */
static int
runs_common(const Container *a, const Container *b)
{
	int i = 0;
	int j = 0;
	int common = 0;

	while (i < a->runs && j < b->runs)
	{
		int first = Max(run_first(a, i), run_first(b, j));
		int a_last = run_last(a, i);
		int b_last = run_last(b, j);

		if (first <= Min(a_last, b_last))
			common += Min(a_last, b_last) - first + 1;
		i += a_last <= b_last;
		j += b_last <= a_last;
	}
	return common;
}

/*
 * Number of ids that two containers of the same base share
 */
int
container_common(const Container *a, const Container *b)
{
	if (a->count > b->count)
	{
		const Container *c = a;

		a = b;
		b = c;
	}
	if (b->count == CONTAINER_IDS)
		return a->count;
	if (a->kind == CONTAINER_ARRAY && b->kind == CONTAINER_ARRAY)
		return arrays_common(a, b);
	if (a->kind == CONTAINER_RUN && b->kind == CONTAINER_RUN)
		return runs_common(a, b);
	if (a->kind == CONTAINER_ARRAY && b->kind == CONTAINER_BITSET)
	{
		int common = 0;

		for (int i = 0; i < a->count; i++)
			common += bit(b->data, container_value(a, i));
		return common;
	}
	{
		uint64 a_room[CONTAINER_WORDS];
		uint64 b_room[CONTAINER_WORDS];

		return words_combine()(AUDIENCE_AND, container_words(a, a_room), container_words(b, b_room), NULL);
	}
}

/*
 * Combine two arrays into a list of values: how many. op is a constant where this is called, so that each gets its own loop
 */
static pg_attribute_always_inline int
arrays_combine_body(AudienceOp op, const Container *a, const Container *b, uint16 *out)
{
	bool keep_a = op != AUDIENCE_AND;
	bool keep_b = op == AUDIENCE_OR || op == AUDIENCE_XOR;
	bool keep_both = op == AUDIENCE_OR || op == AUDIENCE_AND;
	int i = 0;
	int j = 0;
	int n = 0;

	/* Branchless: which of two random ids is smaller can't be predicted. Each round writes, and keeps it or not. */
	while (i < a->count && j < b->count)
	{
		uint16 x = container_value(a, i);
		uint16 y = container_value(b, j);

		out[n] = keep_b ? Min(x, y) : x;
		n += (keep_a & (x < y)) | (keep_b & (y < x)) | (keep_both & (x == y));
		i += x <= y;
		j += y <= x;
	}
	if (keep_a && i < a->count)
	{
		memcpy(out + n, a->data + 2 * i, (Size) (a->count - i) * 2);
		n += a->count - i;
	}
	if (keep_b && j < b->count)
	{
		memcpy(out + n, b->data + 2 * j, (Size) (b->count - j) * 2);
		n += b->count - j;
	}
	return n;
}

static int
arrays_combine(AudienceOp op, const Container *a, const Container *b, uint16 *out)
{
	switch (op)
	{
		case AUDIENCE_OR:
			return arrays_combine_body(AUDIENCE_OR, a, b, out);
		case AUDIENCE_AND:
			return arrays_combine_body(AUDIENCE_AND, a, b, out);
		case AUDIENCE_MINUS:
			return arrays_combine_body(AUDIENCE_MINUS, a, b, out);
		case AUDIENCE_XOR:
			return arrays_combine_body(AUDIENCE_XOR, a, b, out);
	}
	return 0;
}

/*
 * Combine two lists of runs: how many runs, and of how many ids. Goes from edge to edge of either list
 */
static int
runs_combine(AudienceOp op, const Container *a, const Container *b, uint16 *out, int *count)
{
	int i = 0;
	int j = 0;
	int n = 0;
	int position = 0;
	bool before = false;
	int start = 0;

	*count = 0;
	while (position < CONTAINER_IDS)
	{
		int a_first = i < a->runs ? run_first(a, i) : CONTAINER_IDS;
		int b_first = j < b->runs ? run_first(b, j) : CONTAINER_IDS;
		bool in_a = a_first <= position;
		bool in_b = b_first <= position;
		int a_edge = in_a ? run_last(a, i) + 1 : a_first;
		int b_edge = in_b ? run_last(b, j) + 1 : b_first;
		bool now = op == AUDIENCE_OR	  ? in_a || in_b
				   : op == AUDIENCE_AND	  ? in_a && in_b
				   : op == AUDIENCE_MINUS ? in_a && !in_b
										  : in_a != in_b;
		int edge = Min(a_edge, b_edge);

		if (edge <= position)
			ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("stored audience is damaged")));
		if (now && !before)
			start = position;
		if (before && !now)
		{
			out[2 * n] = (uint16) start;
			out[2 * n++ + 1] = (uint16) (position - 1 - start);
			*count += position - start;
		}
		before = now;
		i += in_a && a_edge == edge;
		j += in_b && b_edge == edge;
		position = edge;
	}
	if (before)
	{
		out[2 * n] = (uint16) start;
		out[2 * n++ + 1] = (uint16) (CONTAINER_IDS - 1 - start);
		*count += CONTAINER_IDS - start;
	}
	return n;
}

/*
 * Add to w what an operation makes of two containers of the same base
 */
void
container_combine(AudienceWriter *w, AudienceOp op, const Container *a, const Container *b)
{
	bool runs = a->kind == CONTAINER_RUN || b->kind == CONTAINER_RUN;
	uint64 words[CONTAINER_WORDS];
	uint64 a_room[CONTAINER_WORDS];
	uint64 b_room[CONTAINER_WORDS];

	if (a->kind == CONTAINER_ARRAY && b->kind == CONTAINER_ARRAY)
	{
		/* One place more: the last round of a merge may write without keeping. */
		uint16 values[2 * CONTAINER_MAX_ARRAY + 1];
		int n = arrays_combine(op, a, b, values);

		if (n <= CONTAINER_MAX_ARRAY)
		{
			audience_put_values(w, a->base, values, n);
			return;
		}
	}
	if (a->kind == CONTAINER_RUN && b->kind == CONTAINER_RUN && a->runs + b->runs <= CONTAINER_MAX_RUNS)
	{
		/* One more than both have: room for the number of runs, which stands before them. */
		uint16 pairs[2 * CONTAINER_MAX_RUNS + 3];
		int count;
		int n = runs_combine(op, a, b, pairs + 1, &count);

		if (count == 0)
			return;
		if (2 + (Size) n * 4 < (count <= CONTAINER_MAX_ARRAY ? (Size) count * 2 : CONTAINER_WORDS * 8))
		{
			Container c = {.base = a->base, .kind = CONTAINER_RUN, .count = count, .runs = n};

			pairs[0] = (uint16) n;
			c.data = (const uint8 *) (pairs + 1);
			audience_put_container(w, &c);
			return;
		}
	}
	if (op == AUDIENCE_AND && (a->kind == CONTAINER_ARRAY || b->kind == CONTAINER_ARRAY) && !runs)
	{
		const Container *array = a->kind == CONTAINER_ARRAY ? a : b;
		const Container *bitset = a->kind == CONTAINER_ARRAY ? b : a;
		uint16 values[CONTAINER_MAX_ARRAY + 1];
		int n = 0;

		for (int i = 0; i < array->count; i++)
		{
			values[n] = container_value(array, i);
			n += bit(bitset->data, values[n]);
		}
		audience_put_values(w, a->base, values, n);
		return;
	}
	if (op == AUDIENCE_MINUS && a->kind == CONTAINER_ARRAY && b->kind == CONTAINER_BITSET)
	{
		uint16 values[CONTAINER_MAX_ARRAY + 1];
		int n = 0;

		for (int i = 0; i < a->count; i++)
		{
			values[n] = container_value(a, i);
			n += !bit(b->data, values[n]);
		}
		audience_put_values(w, a->base, values, n);
		return;
	}
	audience_put_words(
		w,
		a->base,
		words,
		words_combine()(op, container_words(a, a_room), container_words(b, b_room), words),
		runs);
}
