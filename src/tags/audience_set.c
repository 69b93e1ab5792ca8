/*
 * Sets that change id by id, held by CRoaring. It allocates with malloc, so every set hangs on a memory context, whose
 * reset frees it: errors and early ends leak nothing.
 */
#include "tags/audience.h"
#include "tags/roaring.h"

#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

/* Up to this many parts are looked through one by one. */
#define SEARCH_BY_HASH 16

typedef struct SetPart
{
	int32 high;
	roaring_bitmap_t *bitmap;
} SetPart;

typedef struct PartEntry
{
	int32 high; /* hash key */
	int64 part;
} PartEntry;

struct AudienceSet
{
	MemoryContext context;
	MemoryContextCallback callback;
	SetPart *parts; /* in no order until they are written */
	int64 n;
	int64 allocated;
	int64 last; /* the part found last */
	HTAB *index;
};

/*
 * Free the bitmaps of a set; the set itself goes with its context
 */
static void
free_bitmaps(void *arg)
{
	AudienceSet *set = arg;

	for (int64 i = 0; i < set->n; i++)
		if (set->parts[i].bitmap != NULL)
			roaring_bitmap_free(set->parts[i].bitmap);
	set->n = 0;
}

AudienceSet *
audience_set_create(MemoryContext context)
{
	AudienceSet *set = MemoryContextAllocZero(context, sizeof(AudienceSet));

	set->context = context;
	set->allocated = 4;
	set->parts = MemoryContextAlloc(context, sizeof(SetPart) * set->allocated);
	set->callback.func = free_bitmaps;
	set->callback.arg = set;
	MemoryContextRegisterResetCallback(context, &set->callback);
	return set;
}

void
audience_set_free(AudienceSet *set)
{
	free_bitmaps(set);
	pfree(set->parts);
	if (set->index != NULL)
		hash_destroy(set->index);
	set->index = NULL;
	set->parts = NULL;
	set->allocated = 0;
}

/*
 * Raise when CRoaring got no memory
 */
static roaring_bitmap_t *
checked(roaring_bitmap_t *bitmap)
{
	if (bitmap == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"), errdetail("A bitmap of an audience could not be made.")));
	return bitmap;
}

/*
 * Number of the part with this high half, or -1
 */
static int64
find_part(AudienceSet *set, int32 high)
{
	if (set->last < set->n && set->parts[set->last].high == high)
		return set->last;
	if (set->index != NULL)
	{
		PartEntry *entry = hash_search(set->index, &high, HASH_FIND, NULL);

		return entry == NULL ? -1 : (set->last = entry->part);
	}
	for (int64 i = 0; i < set->n; i++)
		if (set->parts[i].high == high)
			return set->last = i;
	return -1;
}

/*
 * Make the hash table over the parts anew
 */
static void
index_parts(AudienceSet *set)
{
	if (set->index != NULL)
		hash_destroy(set->index);
	set->index = NULL;
	if (set->n > SEARCH_BY_HASH)
	{
		HASHCTL control = {.keysize = sizeof(int32), .entrysize = sizeof(PartEntry), .hcxt = set->context};

		set->index = hash_create("parts of an audience", set->n * 2, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		for (int64 i = 0; i < set->n; i++)
			((PartEntry *) hash_search(set->index, &set->parts[i].high, HASH_ENTER, NULL))->part = i;
	}
}

/*
 * Add a part that isn't there yet; bitmap is NULL for an empty one
 */
static SetPart *
add_part(AudienceSet *set, int32 high, roaring_bitmap_t *bitmap)
{
	SetPart *part;

	if (set->n == set->allocated)
	{
		set->allocated *= 2;
		set->parts = repalloc_huge(set->parts, mul_size(sizeof(SetPart), set->allocated));
	}
	/* Entered before anything can fail, so that the callback knows it. */
	part = &set->parts[set->n++];
	part->high = high;
	part->bitmap = bitmap;
	if (bitmap == NULL)
		part->bitmap = checked(roaring_bitmap_create_with_capacity(0));
	set->last = set->n - 1;
	if (set->index != NULL)
		((PartEntry *) hash_search(set->index, &high, HASH_ENTER, NULL))->part = set->last;
	else
		index_parts(set);
	return part;
}

/*
 * The part with this high half, made when it isn't there
 */
static inline roaring_bitmap_t *
need_part(AudienceSet *set, int32 high)
{
	int64 i = find_part(set, high);

	return i >= 0 ? set->parts[i].bitmap : add_part(set, high, NULL)->bitmap;
}

void
audience_set_add(AudienceSet *set, int64 id)
{
	roaring_bitmap_add(need_part(set, (int32) (id >> 32)), (uint32) id);
}

void
audience_set_add_range(AudienceSet *set, int64 first, int64 last)
{
	for (int64 high = first >> 32; high <= last >> 32; high++)
	{
		uint32 from = high == first >> 32 ? (uint32) first : 0;
		uint32 to = high == last >> 32 ? (uint32) last : PG_UINT32_MAX;

		roaring_bitmap_t *mine = need_part(set, (int32) high);
		roaring_bitmap_t *range;

		CHECK_FOR_INTERRUPTS();
		if (to - from < 16)
		{
			roaring_bitmap_add(mine, to);
			while (from < to)
				roaring_bitmap_add(mine, from++);
			continue;
		}
		/* Not roaring_bitmap_add_range_closed: that of 0.2 may leave a bitset where an array belongs, and writes it wrong. */
		range = checked(roaring_bitmap_from_range(from, (uint64) to + 1, 1));
		roaring_bitmap_or_inplace(mine, range);
		roaring_bitmap_free(range);
	}
}

/*
 * Drop the parts that are empty
 */
static void
drop_empty(AudienceSet *set)
{
	int64 kept = 0;

	for (int64 i = 0; i < set->n; i++)
	{
		if (roaring_bitmap_is_empty(set->parts[i].bitmap))
			roaring_bitmap_free(set->parts[i].bitmap);
		else
			set->parts[kept++] = set->parts[i];
	}
	if (kept < set->n)
	{
		set->n = kept;
		set->last = 0;
		index_parts(set);
	}
}

void
audience_set_combine(AudienceSet *set, AudienceOp op, const Audience *other)
{
	const uint8 *bodies = other->data + (Size) other->parts * 8;
	const uint8 *end = (const uint8 *) other + VARSIZE(other);
	AudienceReader r;
	uint32 offset = 0;

	/* Checks the head. */
	audience_open(&r, other);
	if (op == AUDIENCE_AND)
	{
		/* What other has no part for goes. */
		for (int64 i = 0; i < set->n; i++)
		{
			uint32 low = 0;
			uint32 limit = other->parts;

			while (low < limit)
			{
				uint32 middle = low + (limit - low) / 2;

				if ((int32) load32(other->data + (Size) middle * 8) < set->parts[i].high)
					low = middle + 1;
				else
					limit = middle;
			}
			if (low == other->parts || (int32) load32(other->data + (Size) low * 8) != set->parts[i].high)
				roaring_bitmap_clear(set->parts[i].bitmap);
		}
	}
	for (uint32 i = 0; i < other->parts; i++)
	{
		int32 high = (int32) load32(other->data + (Size) i * 8);
		uint32 limit = load32(other->data + (Size) i * 8 + 4);
		int64 part = find_part(set, high);
		roaring_bitmap_t *bitmap;

		CHECK_FOR_INTERRUPTS();
		if (limit < offset || limit > (Size) (end - bodies))
			ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("stored audience is damaged")));
		if (part >= 0 || op == AUDIENCE_OR || op == AUDIENCE_XOR)
		{
			bitmap =
				checked(roaring_bitmap_portable_deserialize_safe((const char *) bodies + offset, limit - offset));
			if (part < 0)
				add_part(set, high, bitmap);
			else
			{
				roaring_bitmap_t *mine = set->parts[part].bitmap;

				/* Nothing raises between here and the free. */
				switch (op)
				{
					case AUDIENCE_OR:
						roaring_bitmap_or_inplace(mine, bitmap);
						break;
					case AUDIENCE_AND:
						roaring_bitmap_and_inplace(mine, bitmap);
						break;
					case AUDIENCE_MINUS:
						roaring_bitmap_andnot_inplace(mine, bitmap);
						break;
					case AUDIENCE_XOR:
						roaring_bitmap_xor_inplace(mine, bitmap);
						break;
				}
				roaring_bitmap_free(bitmap);
			}
		}
		offset = limit;
	}
	if (op != AUDIENCE_OR)
		drop_empty(set);
}

/*
 * Order parts by their high halves
 */
static int
compare_parts(const void *a, const void *b)
{
	int32 x = ((const SetPart *) a)->high;
	int32 y = ((const SetPart *) b)->high;

	return x < y ? -1 : x > y;
}

Audience *
audience_set_value(AudienceSet *set)
{
	Size size = offsetof(Audience, data) + (Size) set->n * 8;
	int64 count = 0;
	Audience *value;
	const char *wrong;
	char *out;
	char *bodies;

	qsort(set->parts, set->n, sizeof(SetPart), compare_parts);
	set->last = 0;
	if (set->index != NULL)
		index_parts(set);
	for (int64 i = 0; i < set->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		roaring_bitmap_run_optimize(set->parts[i].bitmap);
		size += roaring_bitmap_portable_size_in_bytes(set->parts[i].bitmap);
		count += (int64) roaring_bitmap_get_cardinality(set->parts[i].bitmap);
		if (size > MaxAllocSize || count > AUDIENCE_MAX_COUNT)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("audience is too large"),
					 errdetail("An audience holds at most %lld ids and takes at most 1 GB.",
							   (long long) AUDIENCE_MAX_COUNT)));
	}
	value = palloc(size);
	SET_VARSIZE(value, size);
	value->version = AUDIENCE_VERSION;
	memset(value->reserved, 0, sizeof(value->reserved));
	value->parts = (uint32) set->n;
	bodies = (char *) value->data + (Size) set->n * 8;
	out = bodies;
	for (int64 i = 0; i < set->n; i++)
	{
		uint32 entry[2];

		out += roaring_bitmap_portable_serialize(set->parts[i].bitmap, out);
		entry[0] = (uint32) set->parts[i].high;
		entry[1] = (uint32) (out - bodies);
		memcpy(value->data + (Size) i * 8, entry, 8);
	}
	/* Cheap beside building the set, and what a bug of the library made must not be stored. */
	wrong = out == (char *) value + size ? audience_check(value, size) : "The size is wrong.";
	if (wrong != NULL)
		elog(ERROR, "CRoaring wrote a wrong bitmap: %s", wrong);
	return value;
}
