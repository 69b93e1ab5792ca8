/*
 * Set algebra of two containers that are lists of ids.
 */
#include "tags/audience.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define BY_EIGHT
#include <immintrin.h>
#endif

/*
 * Combine two lists, each given by where it begins and ends: where the result ends. op is a constant where this is called,
 * so that each gets its own loop
 */
static pg_attribute_always_inline uint16 *
lists_combine(AudienceOp op, const uint8 *a, const uint8 *a_end, const uint8 *b, const uint8 *b_end, uint16 *out)
{
	/*
	 * Which of two random ids is smaller can't be predicted, and compilers make jumps of comparisons: so the signs of the
	 * differences are what is counted. Each round writes, and keeps it or not.
	 */
	while (a < a_end && b < b_end)
	{
		int x = load16(a);
		int y = load16(b);
		int only_a = (uint32) (x - y) >> 31;
		int only_b = (uint32) (y - x) >> 31;

		switch (op)
		{
			case AUDIENCE_OR:
				*out++ = (uint16) (y + ((x - y) & -only_a));
				break;
			case AUDIENCE_XOR:
				*out = (uint16) (y + ((x - y) & -only_a));
				out += only_a + only_b;
				break;
			case AUDIENCE_AND:
				*out = (uint16) x;
				out += 1 - only_a - only_b;
				break;
			case AUDIENCE_MINUS:
				*out = (uint16) x;
				out += only_a;
				break;
		}
		a += 2 * (1 - only_b);
		b += 2 * (1 - only_a);
	}
	if (op != AUDIENCE_AND && a < a_end)
	{
		memcpy(out, a, a_end - a);
		out += (a_end - a) / 2;
	}
	if ((op == AUDIENCE_OR || op == AUDIENCE_XOR) && b < b_end)
	{
		memcpy(out, b, b_end - b);
		out += (b_end - b) / 2;
	}
	return out;
}

#ifdef BY_EIGHT
#define EIGHT_TARGET __attribute__((target("sse4.2,popcnt")))

/* Which bytes to move together, so that those of the places left out end up behind. */
typedef uint8 ByteOrder[16];

/*
 * Merge two sorted groups of eight into the smaller and the larger eight
 */
EIGHT_TARGET static inline void
merge_eights(__m128i a, __m128i b, __m128i *low, __m128i *high)
{
	__m128i smaller = _mm_min_epu16(a, b);

	*high = _mm_max_epu16(a, b);
	for (int i = 0; i < 7; i++)
	{
		__m128i turned = _mm_alignr_epi8(smaller, smaller, 2);

		smaller = _mm_min_epu16(turned, *high);
		*high = _mm_max_epu16(turned, *high);
	}
	*low = _mm_alignr_epi8(smaller, smaller, 2);
}

/*
 * Write the ids of eight that differ from the one before, the first of them from the last of those written before: how many.
 * Sixteen bytes are written always
 */
EIGHT_TARGET static inline int
put_eight(const ByteOrder *without, __m128i before, __m128i eight, uint16 *out)
{
	__m128i repeated = _mm_cmpeq_epi16(_mm_alignr_epi8(eight, before, 14), eight);
	int mask = _mm_movemask_epi8(_mm_packs_epi16(repeated, _mm_setzero_si128()));
	__m128i order = _mm_loadu_si128((const __m128i *) without[mask]);

	_mm_storeu_si128((__m128i *) (void *) out, _mm_shuffle_epi8(eight, order));
	return 8 - __builtin_popcount(mask);
}

/*
 * For each mask of eight places, the order of bytes that closes the gaps
 */
static const ByteOrder *
closing_orders(void)
{
	static ByteOrder orders[256];
	static bool made = false;

	if (!made)
	{
		memset(orders, 0xFF, sizeof(orders));
		for (int mask = 0; mask < 256; mask++)
		{
			int n = 0;

			for (int i = 0; i < 8; i++)
			{
				if (mask >> i & 1)
					continue;
				orders[mask][n++] = (uint8) (2 * i);
				orders[mask][n++] = (uint8) (2 * i + 1);
			}
		}
		made = true;
	}
	return (const ByteOrder *) orders;
}

/*
 * The union of two lists of eight ids or more, eight ids a step (Inoue et al., "Faster Set Intersection with SIMD
 * Instructions", PVLDB 2014, for the merge; Lemire et al., "Roaring Bitmaps: Implementation of an Optimized Software Library",
 * 2018, for leaving out what repeats): where it ends
 */
EIGHT_TARGET static uint16 *
union_by_eight(const uint8 *a, const uint8 *a_end, const uint8 *b, const uint8 *b_end, uint16 *out)
{
	const ByteOrder *without = closing_orders();
	__m128i low;
	__m128i high;
	__m128i before;
	uint16 held[8];
	uint16 rest[16];
	int n = 0;
	uint16 last;

	merge_eights(_mm_loadu_si128((const void *) a), _mm_loadu_si128((const void *) b), &low, &high);
	a += 16;
	b += 16;
	/* Nothing is written yet: any id but the first will do. */
	before = _mm_set1_epi16((short) ~_mm_extract_epi16(low, 0));
	for (;;)
	{
		const uint8 *next;
		uintptr_t take_a;

		out += put_eight(without, before, low, out);
		before = low;
		if (a_end - a < 16 || b_end - b < 16)
			break;
		/* By masks: a jump would be taken or not at random. */
		take_a = -(uintptr_t) ((uint32) (load16(a) - load16(b) - 1) >> 31);
		next = (const uint8 *) (((uintptr_t) a & take_a) | ((uintptr_t) b & ~take_a));
		a += 16 & take_a;
		b += 16 & ~take_a;
		merge_eights(_mm_loadu_si128((const void *) next), high, &low, &high);
	}

	/* Three lists are left: eight ids held, some of them twice, fewer than eight of one side, any number of the other. */
	last = (uint16) _mm_extract_epi16(before, 7);
	_mm_storeu_si128((__m128i *) (void *) held, high);
	for (int i = 0; i < 8; i++)
	{
		if (held[i] != last)
			last = held[n++] = held[i];
	}
	if (a_end - a > b_end - b)
	{
		const uint8 *c = a;
		const uint8 *c_end = a_end;

		a = b;
		a_end = b_end;
		b = c;
		b_end = c_end;
	}
	last = (uint16) _mm_extract_epi16(before, 7);
	if (a < a_end && load16(a) == last)
		a += 2;
	if (b < b_end && load16(b) == last)
		b += 2;
	a_end = (const uint8 *) lists_combine(AUDIENCE_OR, (const uint8 *) held, (const uint8 *) (held + n), a, a_end, rest);
	return lists_combine(AUDIENCE_OR, (const uint8 *) rest, a_end, b, b_end, out);
}

/*
 * Which of eight ids are among eight others, a bit each
 */
EIGHT_TARGET static inline unsigned
among_eight(__m128i ids, __m128i others)
{
	return (unsigned) _mm_cvtsi128_si32(
		_mm_cmpestrm(others, 8, ids, 8, _SIDD_UWORD_OPS | _SIDD_CMP_EQUAL_ANY | _SIDD_BIT_MASK));
}

/*
 * The intersection of two lists, each eight against each eight of the other that reaches into it (Schlegel et al., "Fast
 * Sorted-Set Intersection using SIMD Instructions", ADMS 2011): how many. They are written unless out is NULL
 */
EIGHT_TARGET static int
intersect_by_eight(const uint8 *a, const uint8 *a_end, const uint8 *b, const uint8 *b_end, uint16 *out)
{
	const ByteOrder *without = closing_orders();
	int n = 0;

	while (a_end - a >= 16 && b_end - b >= 16)
	{
		__m128i eight = _mm_loadu_si128((const void *) a);
		unsigned found = among_eight(eight, _mm_loadu_si128((const void *) b));
		int a_last = load16(a + 14);
		int b_last = load16(b + 14);

		if (out != NULL)
			_mm_storeu_si128((__m128i *) (void *) (out + n),
							 _mm_shuffle_epi8(eight, _mm_loadu_si128((const __m128i *) without[~found & 0xFF])));
		n += __builtin_popcount(found);
		a += a_last <= b_last ? 16 : 0;
		b += b_last <= a_last ? 16 : 0;
	}
	while (a < a_end && b < b_end)
	{
		uint16 x = load16(a);
		uint16 y = load16(b);

		if (out != NULL)
			out[n] = x;
		n += x == y;
		a += x <= y ? 2 : 0;
		b += y <= x ? 2 : 0;
	}
	return n;
}

/*
 * The ids of one list that another has not, in the same way: where they end
 */
EIGHT_TARGET static uint16 *
subtract_by_eight(const uint8 *a, const uint8 *a_end, const uint8 *b, const uint8 *b_end, uint16 *out)
{
	const ByteOrder *without = closing_orders();
	unsigned found = 0; /* of the eight that a stands at */
	uint16 held[8];
	int n = 0;

	while (a_end - a >= 16 && b_end - b >= 16)
	{
		__m128i eight = _mm_loadu_si128((const void *) a);
		int a_last = load16(a + 14);
		int b_last = load16(b + 14);

		found |= among_eight(eight, _mm_loadu_si128((const void *) b));
		if (a_last <= b_last)
		{
			_mm_storeu_si128((__m128i *) (void *) out, _mm_shuffle_epi8(eight, _mm_loadu_si128((const __m128i *) without[found])));
			out += 8 - __builtin_popcount(found);
			found = 0;
			a += 16;
		}
		b += b_last <= a_last ? 16 : 0;
	}
	if (found != 0)
	{
		for (int i = 0; i < 8; i++)
		{
			if (!(found >> i & 1))
				held[n++] = load16(a + 2 * i);
		}
		a += 16;
		out = lists_combine(AUDIENCE_MINUS, (const uint8 *) held, (const uint8 *) (held + n), b, b_end, out);
	}
	return lists_combine(AUDIENCE_MINUS, a, a_end, b, b_end, out);
}

/*
 * Has this processor what the functions by eight need?
 */
static bool
can_by_eight(void)
{
	static int can = -1;

	if (can < 0)
	{
		__builtin_cpu_init();
		can = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
	}
	return can;
}
#endif

/*
 * Size of the intersection of two arrays
 */
int
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
#ifdef BY_EIGHT
	if (a->count >= 8 && can_by_eight())
		return intersect_by_eight(a->data, a->data + (Size) a->count * 2, b->data, b->data + (Size) b->count * 2, NULL);
#endif
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
 * Combine two lists: how many ids are written to out, where room for ARRAYS_SLACK more must be
 */
int
arrays_combine(AudienceOp op, const Container *a, const Container *b, uint16 *out)
{
	const uint8 *a_end = a->data + (Size) a->count * 2;
	const uint8 *b_end = b->data + (Size) b->count * 2;

#ifdef BY_EIGHT
	if (a->count >= 8 && b->count >= 8 && can_by_eight())
	{
		switch (op)
		{
			case AUDIENCE_OR:
				return (int) (union_by_eight(a->data, a_end, b->data, b_end, out) - out);
			case AUDIENCE_AND:
				return intersect_by_eight(a->data, a_end, b->data, b_end, out);
			case AUDIENCE_MINUS:
				return (int) (subtract_by_eight(a->data, a_end, b->data, b_end, out) - out);
			case AUDIENCE_XOR:
				break;
		}
	}
#endif
	switch (op)
	{
		case AUDIENCE_OR:
			return (int) (lists_combine(AUDIENCE_OR, a->data, a_end, b->data, b_end, out) - out);
		case AUDIENCE_AND:
			return (int) (lists_combine(AUDIENCE_AND, a->data, a_end, b->data, b_end, out) - out);
		case AUDIENCE_MINUS:
			return (int) (lists_combine(AUDIENCE_MINUS, a->data, a_end, b->data, b_end, out) - out);
		case AUDIENCE_XOR:
			return (int) (lists_combine(AUDIENCE_XOR, a->data, a_end, b->data, b_end, out) - out);
	}
	return 0;
}
