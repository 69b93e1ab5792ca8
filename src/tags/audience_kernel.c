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

typedef int (*WordsFunction)(AudienceOp op, const uint8 *a, const uint8 *b, uint8 *out);

/*
 * out = a op b, of bitsets that needn't be aligned: count of ids. out may be NULL when only the count of AND is asked for
 */
static pg_attribute_always_inline int
words_combine_body(AudienceOp op, const uint8 *pg_restrict a, const uint8 *pg_restrict b, uint8 *pg_restrict out)
{
	int count = 0;

	switch (op)
	{
		case AUDIENCE_OR:
			for (int i = 0; i < CONTAINER_WORDS; i++)
				store64(out + 8 * i, load64(a + 8 * i) | load64(b + 8 * i));
			break;
		case AUDIENCE_AND:
			if (out == NULL)
			{
				for (int i = 0; i < CONTAINER_WORDS; i++)
					count += __builtin_popcountll(load64(a + 8 * i) & load64(b + 8 * i));
				return count;
			}
			for (int i = 0; i < CONTAINER_WORDS; i++)
				store64(out + 8 * i, load64(a + 8 * i) & load64(b + 8 * i));
			break;
		case AUDIENCE_MINUS:
			for (int i = 0; i < CONTAINER_WORDS; i++)
				store64(out + 8 * i, load64(a + 8 * i) & ~load64(b + 8 * i));
			break;
		case AUDIENCE_XOR:
			for (int i = 0; i < CONTAINER_WORDS; i++)
				store64(out + 8 * i, load64(a + 8 * i) ^ load64(b + 8 * i));
			break;
	}
	for (int i = 0; i < CONTAINER_WORDS; i++)
		count += __builtin_popcountll(load64(out + 8 * i));
	return count;
}

static int
words_combine_plain(AudienceOp op, const uint8 *a, const uint8 *b, uint8 *out)
{
	return words_combine_body(op, a, b, out);
}

#ifdef TWO_VERSIONS
/* Without O3, gcc leaves the loops scalar; clang does not need to be told. */
#ifndef __clang__
__attribute__((optimize("O3")))
#endif
__attribute__((target("avx2,popcnt"))) static int
words_combine_avx2(AudienceOp op, const uint8 *a, const uint8 *b, uint8 *out)
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

/* A walk over runs, with the first and last id of the one it stands at; behind the end both are out of reach. */
typedef struct RunScan
{
	const uint8 *next;
	const uint8 *end;
	int first;
	int last;
} RunScan;

static inline void
run_next(RunScan *scan)
{
	if (scan->next == scan->end)
		scan->first = scan->last = CONTAINER_IDS * 2;
	else
	{
		uint32 run = load32(scan->next);

		scan->first = run & 0xFFFF;
		scan->last = scan->first + (run >> 16);
		scan->next += 4;
	}
}

static inline RunScan
run_scan(const Container *c)
{
	RunScan scan = {c->data, c->data + (Size) c->runs * 4, 0, 0};

	run_next(&scan);
	return scan;
}

static inline bool
run_here(const RunScan *scan)
{
	return scan->first < CONTAINER_IDS;
}

/* Runs being written. */
typedef struct RunList
{
	uint8 *out;
	int runs;
	int count; /* of ids */
} RunList;

static inline void
run_put(RunList *list, int first, int last)
{
	uint32 run = (uint32) first | (uint32) (last - first) << 16;

	memcpy(list->out + (Size) list->runs++ * 4, &run, sizeof(run));
	list->count += last - first + 1;
}

/*
 * The intersection of two lists of runs, or with out = NULL its size alone. Like the two below it writes at most one run
 * for each that it leaves behind, whatever the bytes hold
 */
static pg_attribute_always_inline void
runs_and(RunScan a, RunScan b, RunList *list, bool write)
{
	while (run_here(&a) && run_here(&b))
	{
		/* Branches, since runs of real sets follow patterns that a processor learns: faster than computing the steps. */
		if (a.last < b.first)
			run_next(&a);
		else if (b.last < a.first)
			run_next(&b);
		else
		{
			int first = Max(a.first, b.first);
			int last = Min(a.last, b.last);

			if (write)
				run_put(list, first, last);
			else
				list->count += last - first + 1;
			if (a.last == last && b.last == last)
			{
				run_next(&a);
				run_next(&b);
			}
			else if (a.last == last)
				run_next(&a);
			else
				run_next(&b);
		}
	}
}

static void
runs_or(RunScan a, RunScan b, RunList *list)
{
	int first = Min(a.first, b.first);
	int last = first - 1;

	while (run_here(&a) || run_here(&b))
	{
		int next = Min(a.first, b.first);

		if (next > last + 1)
		{
			run_put(list, first, last);
			first = next;
		}
		if (a.first < b.first)
		{
			last = Max(last, a.last);
			run_next(&a);
		}
		else if (b.first < a.first)
		{
			last = Max(last, b.last);
			run_next(&b);
		}
		else
		{
			last = Max(last, Max(a.last, b.last));
			run_next(&a);
			run_next(&b);
		}
	}
	if (last >= first)
		run_put(list, first, last);
}

static void
runs_minus(RunScan a, RunScan b, RunList *list)
{
	while (run_here(&a))
	{
		if (b.last < a.first)
			run_next(&b);
		else if (a.last < b.first)
		{
			run_put(list, a.first, a.last);
			run_next(&a);
		}
		else
		{
			if (a.first < b.first)
				run_put(list, a.first, b.first - 1);
			if (a.last <= b.last)
				run_next(&a);
			else
			{
				a.first = b.last + 1;
				run_next(&b);
			}
		}
	}
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
	{
		RunList list = {NULL, 0, 0};

		runs_and(run_scan(a), run_scan(b), &list, false);
		return list.count;
	}
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
 * Combine two lists of runs
 */
static void
runs_combine(AudienceOp op, const Container *a, const Container *b, RunList *list)
{
	switch (op)
	{
		case AUDIENCE_OR:
			runs_or(run_scan(a), run_scan(b), list);
			break;
		case AUDIENCE_AND:
			runs_and(run_scan(a), run_scan(b), list, true);
			break;
		case AUDIENCE_MINUS:
			runs_minus(run_scan(a), run_scan(b), list);
			break;
		case AUDIENCE_XOR:
			{
				uint8 only_a[4 * CONTAINER_MAX_RUNS];
				uint8 only_b[4 * CONTAINER_MAX_RUNS];
				RunList a_list = {only_a, 0, 0};
				RunList b_list = {only_b, 0, 0};
				Container left = {.data = only_a};
				Container right = {.data = only_b};

				runs_minus(run_scan(a), run_scan(b), &a_list);
				runs_minus(run_scan(b), run_scan(a), &b_list);
				left.runs = a_list.runs;
				right.runs = b_list.runs;
				runs_or(run_scan(&left), run_scan(&right), list);
				break;
			}
	}
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
		int most = op == AUDIENCE_AND ? Min(a->count, b->count) : op == AUDIENCE_MINUS ? a->count : a->count + b->count;
		uint8 *room = audience_room(w, (Size) (most + ARRAYS_SLACK) * 2);
		int n = arrays_combine(op, a, b, (uint16 *) (void *) room);

		if (n <= CONTAINER_MAX_ARRAY)
		{
			audience_put_room(w, a->base, n);
			return;
		}
	}
	if (a->kind == CONTAINER_RUN && b->kind == CONTAINER_RUN && a->runs + b->runs <= CONTAINER_MAX_RUNS)
	{
		/* The number of runs stands before them. */
		uint8 pairs[2 + 4 * 2 * CONTAINER_MAX_RUNS];
		RunList list = {pairs + 2, 0, 0};

		runs_combine(op, a, b, &list);
		if (list.count == 0)
			return;
		if (2 + (Size) list.runs * 4 < (list.count <= CONTAINER_MAX_ARRAY ? (Size) list.count * 2 : CONTAINER_WORDS * 8))
		{
			Container c = {.base = a->base, .kind = CONTAINER_RUN, .count = list.count, .runs = list.runs};
			uint16 number = (uint16) list.runs;

			memcpy(pairs, &number, sizeof(number));
			c.data = pairs + 2;
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
	{
		uint8 *room = audience_room(w, CONTAINER_WORDS * 8);
		int n = words_combine()(op, container_words(a, a_room), container_words(b, b_room), room);

		if (n > CONTAINER_MAX_ARRAY && !runs)
		{
			audience_put_room(w, a->base, n);
			return;
		}
		memcpy(words, room, sizeof(words));
		audience_put_words(w, a->base, words, n, runs);
	}
}
