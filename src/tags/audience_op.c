/*
 * Operators of crm.audience: algebra, tests and order.
 */
#include "tags/audience.h"

#include "common/hashfn.h"

/*
 * The combination of two audiences
 */
Audience *
audience_combine(AudienceOp op, const Audience *a, const Audience *b)
{
	AudienceReader ra;
	AudienceReader rb;
	AudienceWriter w;
	bool more_a;
	bool more_b;

	audience_open(&ra, a);
	audience_open(&rb, b);
	switch (op)
	{
		case AUDIENCE_AND:
			audience_begin(&w, Min(VARSIZE(a), VARSIZE(b)), Min(audience_containers(a), audience_containers(b)));
			break;
		case AUDIENCE_MINUS:
			audience_begin(&w, VARSIZE(a), audience_containers(a));
			break;
		case AUDIENCE_OR:
		case AUDIENCE_XOR:
			/* Most pairs cover the same range. */
			audience_begin(&w, (Size) VARSIZE(a) + VARSIZE(b), Max(audience_containers(a), audience_containers(b)));
			break;
	}
	more_a = audience_next(&ra);
	more_b = audience_next(&rb);
	while (more_a || more_b)
	{
		if (more_a && more_b && ra.c.base == rb.c.base)
		{
			container_combine(&w, op, &ra.c, &rb.c);
			more_a = audience_next(&ra);
			more_b = audience_next(&rb);
		}
		else if (more_a && (!more_b || ra.c.base < rb.c.base))
		{
			if (op != AUDIENCE_AND)
				audience_put_container(&w, &ra.c);
			else if (!more_b)
				break;
			more_a = audience_next(&ra);
		}
		else
		{
			if (op == AUDIENCE_OR || op == AUDIENCE_XOR)
				audience_put_container(&w, &rb.c);
			else if (!more_a)
				break;
			more_b = audience_next(&rb);
		}
	}
	return audience_end(&w);
}

/*
 * Number of ids in both, without making the set of them
 */
int64
audience_common(const Audience *a, const Audience *b)
{
	AudienceReader ra;
	AudienceReader rb;
	bool more_a;
	bool more_b;
	int64 common = 0;

	audience_open(&ra, a);
	audience_open(&rb, b);
	more_a = audience_next(&ra);
	more_b = audience_next(&rb);
	while (more_a && more_b)
	{
		int64 a_base = ra.c.base;
		int64 b_base = rb.c.base;

		if (a_base == b_base)
			common += container_common(&ra.c, &rb.c);
		if (a_base <= b_base)
			more_a = audience_next(&ra);
		if (b_base <= a_base)
			more_b = audience_next(&rb);
	}
	return common;
}

/*
 * Ids of either
 */
PG_FUNCTION_INFO_V1(audience_or);
Datum
audience_or(PG_FUNCTION_ARGS)
{
	PG_RETURN_AUDIENCE(audience_combine(AUDIENCE_OR, PG_GETARG_AUDIENCE(0), PG_GETARG_AUDIENCE(1)));
}

/*
 * Ids of both
 */
PG_FUNCTION_INFO_V1(audience_and);
Datum
audience_and(PG_FUNCTION_ARGS)
{
	PG_RETURN_AUDIENCE(audience_combine(AUDIENCE_AND, PG_GETARG_AUDIENCE(0), PG_GETARG_AUDIENCE(1)));
}

/*
 * Ids of the first that are not of the second
 */
PG_FUNCTION_INFO_V1(audience_minus);
Datum
audience_minus(PG_FUNCTION_ARGS)
{
	PG_RETURN_AUDIENCE(audience_combine(AUDIENCE_MINUS, PG_GETARG_AUDIENCE(0), PG_GETARG_AUDIENCE(1)));
}

/*
 * Ids of one alone
 */
PG_FUNCTION_INFO_V1(audience_xor);
Datum
audience_xor(PG_FUNCTION_ARGS)
{
	PG_RETURN_AUDIENCE(audience_combine(AUDIENCE_XOR, PG_GETARG_AUDIENCE(0), PG_GETARG_AUDIENCE(1)));
}

/*
 * Number of ids of both
 */
PG_FUNCTION_INFO_V1(and_cardinality);
Datum
and_cardinality(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(audience_common(PG_GETARG_AUDIENCE(0), PG_GETARG_AUDIENCE(1)));
}

/*
 * Number of ids of either
 */
PG_FUNCTION_INFO_V1(or_cardinality);
Datum
or_cardinality(PG_FUNCTION_ARGS)
{
	Audience *a = PG_GETARG_AUDIENCE(0);
	Audience *b = PG_GETARG_AUDIENCE(1);

	PG_RETURN_INT64(audience_count(a) + audience_count(b) - audience_common(a, b));
}

/*
 * Number of ids of the first that are not of the second
 */
PG_FUNCTION_INFO_V1(minus_cardinality);
Datum
minus_cardinality(PG_FUNCTION_ARGS)
{
	Audience *a = PG_GETARG_AUDIENCE(0);

	PG_RETURN_INT64(audience_count(a) - audience_common(a, PG_GETARG_AUDIENCE(1)));
}

/*
 * Share of the ids of either that are in both; two empty ones are alike
 */
PG_FUNCTION_INFO_V1(audience_jaccard);
Datum
audience_jaccard(PG_FUNCTION_ARGS)
{
	Audience *a = PG_GETARG_AUDIENCE(0);
	Audience *b = PG_GETARG_AUDIENCE(1);
	int64 common = audience_common(a, b);
	int64 either = audience_count(a) + audience_count(b) - common;

	PG_RETURN_FLOAT8(either == 0 ? 1.0 : (double) common / (double) either);
}

/*
 * Is every id of a in b? Stops at the first container that says no
 */
static bool
audience_within(const Audience *a, const Audience *b)
{
	AudienceReader ra;
	AudienceReader rb;
	bool more_b;

	audience_open(&ra, a);
	audience_open(&rb, b);
	more_b = audience_next(&rb);
	while (audience_next(&ra))
	{
		while (more_b && rb.c.base < ra.c.base)
			more_b = audience_next(&rb);
		if (!more_b || rb.c.base != ra.c.base || rb.c.count < ra.c.count ||
			container_common(&ra.c, &rb.c) != ra.c.count)
			return false;
	}
	return true;
}

/*
 * Has the audience every id of the other?
 */
PG_FUNCTION_INFO_V1(audience_contains);
Datum
audience_contains(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(audience_within(PG_GETARG_AUDIENCE(1), PG_GETARG_AUDIENCE(0)));
}

/*
 * Is every id of the audience in the other?
 */
PG_FUNCTION_INFO_V1(audience_contained);
Datum
audience_contained(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(audience_within(PG_GETARG_AUDIENCE(0), PG_GETARG_AUDIENCE(1)));
}

/*
 * Do the audiences share an id?
 */
PG_FUNCTION_INFO_V1(audience_overlaps);
Datum
audience_overlaps(PG_FUNCTION_ARGS)
{
	AudienceReader ra;
	AudienceReader rb;
	bool more_a;
	bool more_b;

	audience_open(&ra, PG_GETARG_AUDIENCE(0));
	audience_open(&rb, PG_GETARG_AUDIENCE(1));
	more_a = audience_next(&ra);
	more_b = audience_next(&rb);
	while (more_a && more_b)
	{
		int64 a_base = ra.c.base;
		int64 b_base = rb.c.base;

		if (a_base == b_base && container_common(&ra.c, &rb.c) > 0)
			PG_RETURN_BOOL(true);
		if (a_base <= b_base)
			more_a = audience_next(&ra);
		if (b_base <= a_base)
			more_b = audience_next(&rb);
	}
	PG_RETURN_BOOL(false);
}

/*
 * Compare two containers of the same base as lists of ids; more says whether ids follow in the audience of a, or of b
 */
static int
container_compare(const Container *a, const Container *b, bool more_a, bool more_b)
{
	uint64 a_words[CONTAINER_WORDS];
	uint64 b_words[CONTAINER_WORDS];

	if (a->kind == CONTAINER_ARRAY && b->kind == CONTAINER_ARRAY)
	{
		int n = Min(a->count, b->count);

		for (int i = 0; i < n; i++)
			if (container_value(a, i) != container_value(b, i))
				return container_value(a, i) < container_value(b, i) ? -1 : 1;
		if (a->count == b->count)
			return 0;
		if (a->count < b->count)
			return more_a ? 1 : -1;
		return more_b ? -1 : 1;
	}
	container_expand(a, a_words);
	container_expand(b, b_words);
	for (int i = 0; i < CONTAINER_WORDS; i++)
	{
		uint64 differ = a_words[i] ^ b_words[i];
		uint64 above;
		bool in_a;
		const uint64 *other;

		if (differ == 0)
			continue;
		/* The first id that one of them lacks: the other's next id is greater, or there is none and its list ends. */
		in_a = a_words[i] & differ & -differ;
		other = in_a ? b_words : a_words;
		above = other[i] & ~(differ ^ (differ - 1));
		for (int k = i + 1; above == 0 && k < CONTAINER_WORDS; k++)
			above = other[k];
		if (in_a)
			return above != 0 || more_b ? -1 : 1;
		return above != 0 || more_a ? 1 : -1;
	}
	return 0;
}

/*
 * Compare two audiences as lists of their ids in order, so that a prefix comes first
 */
static int
audience_compare(const Audience *a, const Audience *b)
{
	AudienceReader ra;
	AudienceReader rb;
	bool more_a;
	bool more_b;

	audience_open(&ra, a);
	audience_open(&rb, b);
	more_a = audience_next(&ra);
	more_b = audience_next(&rb);
	while (more_a && more_b)
	{
		Container ca = ra.c;
		Container cb = rb.c;
		int order;

		if (ca.base != cb.base)
			return ca.base < cb.base ? -1 : 1;
		more_a = audience_next(&ra);
		more_b = audience_next(&rb);
		order = container_compare(&ca, &cb, more_a, more_b);
		if (order != 0)
			return order;
	}
	return more_a ? 1 : more_b ? -1 : 0;
}

#define AUDIENCE_COMPARISON(name, test)                                                                                \
	PG_FUNCTION_INFO_V1(name);                                                                                         \
	Datum name(PG_FUNCTION_ARGS)                                                                                       \
	{                                                                                                                  \
		int order = audience_compare(PG_GETARG_AUDIENCE(0), PG_GETARG_AUDIENCE(1));                                    \
                                                                                                                       \
		PG_RETURN_BOOL(test);                                                                                          \
	}                                                                                                                  \
	extern Datum name(PG_FUNCTION_ARGS)

AUDIENCE_COMPARISON(audience_eq, order == 0);
AUDIENCE_COMPARISON(audience_ne, order != 0);
AUDIENCE_COMPARISON(audience_lt, order < 0);
AUDIENCE_COMPARISON(audience_le, order <= 0);
AUDIENCE_COMPARISON(audience_gt, order > 0);
AUDIENCE_COMPARISON(audience_ge, order >= 0);

/*
 * Order of two audiences: -1, 0 or 1
 */
PG_FUNCTION_INFO_V1(audience_cmp);
Datum
audience_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(audience_compare(PG_GETARG_AUDIENCE(0), PG_GETARG_AUDIENCE(1)));
}

/*
 * Hash of the ids, however their containers are stored
 */
static uint64
audience_hash_value(const Audience *set, uint64 seed)
{
	AudienceReader r;
	uint64 hash = seed;

	audience_open(&r, set);
	while (audience_next(&r))
	{
		union
		{
			uint16 values[CONTAINER_MAX_ARRAY];
			uint64 words[CONTAINER_WORDS];
		} room;
		int length = CONTAINER_WORDS * 8;

		if (r.c.count <= CONTAINER_MAX_ARRAY)
			length = container_values(&r.c, room.values) * 2;
		else
			container_expand(&r.c, room.words);
		hash = hash_combine64(hash, (uint64) r.c.base);
		hash = hash_combine64(hash, DatumGetUInt64(hash_any_extended((unsigned char *) &room, length, seed)));
	}
	return hash;
}

/*
 * Hash for hash joins and grouping
 */
PG_FUNCTION_INFO_V1(audience_hash);
Datum
audience_hash(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32((int32) audience_hash_value(PG_GETARG_AUDIENCE(0), 0));
}

/*
 * Hash with a seed, for partitioning by hash
 */
PG_FUNCTION_INFO_V1(audience_hash_extended);
Datum
audience_hash_extended(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) audience_hash_value(PG_GETARG_AUDIENCE(0), (uint64) PG_GETARG_INT64(1)));
}
