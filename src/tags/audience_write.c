/*
 * Writing the stored form of crm.audience.
 */
#include "tags/audience.h"

#include <sys/mman.h>

#include "utils/memutils.h"

/* Room from this size on comes fresh from the kernel each time. */
#define LARGE_ROOM (Size) (8 * 1024 * 1024)

/* A container in a writer; its bytes follow those of the one before. */
typedef struct WrittenContainer
{
	int64 base;
	int count;
	uint32 size;
	bool run;
} WrittenContainer;

/*
 * Bytes of a part's head
 */
static Size
head_size(int64 containers, bool runs)
{
	Size size = runs ? 4 + (Size) (containers + 7) / 8 : 8;

	return size + (Size) containers * (runs && containers < OFFSETS_FROM ? 4 : 8);
}

/*
 * Ask for large pages: a page fault for each 4 kB of a new result would cost as much as the algebra that fills it. A hint
 * and no more, so what it returns doesn't matter
 */
static void
prefer_large_pages(char *room, Size size)
{
#ifdef MADV_HUGEPAGE
	if (size >= LARGE_ROOM)
	{
		uintptr_t page = 4096;
		uintptr_t first = ((uintptr_t) room + page - 1) & ~(page - 1);

		(void) madvise((void *) first, (size - page) & ~(Size) (page - 1), MADV_HUGEPAGE);
	}
#endif
}

/*
 * Begin to write a value of about so many bytes and containers
 */
void
audience_begin(AudienceWriter *w, Size expected, int64 containers)
{
	memset(w, 0, sizeof(*w));
	/* Nearly all values have one part; when the guess of its containers is right, nothing need be moved at the end. */
	w->reserved = offsetof(Audience, data) + 8 + head_size(Min(containers, 65536), false);
	w->used = w->reserved;
	w->allocated = Min(Max(expected, 256) + w->reserved, MaxAllocSize);
	w->body = palloc(w->allocated);
	prefer_large_pages(w->body, w->allocated);
	w->n_allocated = 64;
	w->containers = palloc(sizeof(WrittenContainer) * w->n_allocated);
}

/*
 * Report a value that would be too large
 */
static void pg_attribute_noreturn()
too_large(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("audience is too large"),
			 errdetail("An audience holds at most %lld ids and takes at most 1 GB.", (long long) AUDIENCE_MAX_COUNT)));
	pg_unreachable();
}

/*
 * Where the bytes of the next container go; as many as are asked for may be written
 */
static uint8 *
make_room(AudienceWriter *w, Size size)
{
	if (w->used + size > w->allocated)
	{
		w->allocated = Min(w->allocated * 2 + size, MaxAllocSize);
		if (w->used + size > w->allocated)
			too_large();
		w->body = repalloc(w->body, w->allocated);
	}
	return (uint8 *) w->body + w->used;
}

/*
 * One more container and the place for its bytes
 */
static uint8 *
put(AudienceWriter *w, int64 base, int count, Size size, bool run)
{
	WrittenContainer *c;
	uint8 *room;

	Assert(w->n == 0 || base > w->containers[w->n - 1].base);
	room = make_room(w, size);
	if (w->n == w->n_allocated)
	{
		w->n_allocated *= 2;
		w->containers = repalloc_huge(w->containers, mul_size(sizeof(WrittenContainer), w->n_allocated));
	}
	if (w->n == 0 || base >> 32 != w->containers[w->n - 1].base >> 32)
		w->parts++;
	c = &w->containers[w->n++];
	c->base = base;
	c->count = count;
	c->size = (uint32) size;
	c->run = run;
	w->count += count;
	w->used += size;
	return room;
}

/*
 * Where the bytes of a container may be written before it is known whether they will be kept; aligned for uint16
 */
uint8 *
audience_room(AudienceWriter *w, Size size)
{
	return make_room(w, size);
}

/*
 * Keep what was written there: values up to the most that an array may have, else a bitset
 */
void
audience_put_room(AudienceWriter *w, int64 base, int count)
{
	if (count > 0)
		(void) put(w, base, count, count <= CONTAINER_MAX_ARRAY ? (Size) count * 2 : CONTAINER_WORDS * 8, false);
}

void
audience_put_container(AudienceWriter *w, const Container *c)
{
	Size head = c->kind == CONTAINER_RUN ? 2 : 0;
	Size size = c->kind == CONTAINER_ARRAY	  ? (Size) c->count * 2
				: c->kind == CONTAINER_BITSET ? CONTAINER_WORDS * 8
											  : (Size) c->runs * 4;

	/* The number of runs stands right before them. */
	memcpy(put(w, c->base, c->count, head + size, head > 0), c->data - head, head + size);
}

void
audience_put_values(AudienceWriter *w, int64 base, const uint16 *values, int count)
{
	if (count > 0)
		memcpy(put(w, base, count, (Size) count * 2, false), values, (Size) count * 2);
}

/*
 * Add a bitset of count ids in the smallest form; the form as runs is tried only when asked for, since it costs a pass
 */
void
audience_put_words(AudienceWriter *w, int64 base, const uint64 *words, int count, bool runs)
{
	Size plain = count <= CONTAINER_MAX_ARRAY ? (Size) count * 2 : CONTAINER_WORDS * 8;
	Container c = {.base = base, .kind = CONTAINER_BITSET, .count = count, .data = (const uint8 *) words};

	if (count == 0)
		return;
	if (runs)
	{
		int n = words_runs(words);

		if (2 + (Size) n * 4 < plain)
		{
			uint8 *out = put(w, base, count, 2 + (Size) n * 4, true);
			uint16 number = (uint16) n;
			int position = 0;

			memcpy(out, &number, 2);
			out += 2;
			while (n-- > 0)
			{
				uint16 run[2];
				int word = position / 64;
				uint64 rest = words[word] & (~UINT64CONST(0) << (position % 64));

				while (rest == 0)
					rest = words[++word];
				position = word * 64 + __builtin_ctzll(rest);
				run[0] = (uint16) position;
				rest = ~words[word] & (~UINT64CONST(0) << (position % 64));
				while (rest == 0 && word + 1 < CONTAINER_WORDS)
					rest = ~words[++word];
				position = rest == 0 ? CONTAINER_IDS : word * 64 + __builtin_ctzll(rest);
				run[1] = (uint16) (position - 1 - run[0]);
				memcpy(out, run, 4);
				out += 4;
			}
			return;
		}
	}
	if (count > CONTAINER_MAX_ARRAY)
		memcpy(put(w, base, count, plain, false), words, plain);
	else
	{
		uint16 values[CONTAINER_MAX_ARRAY];

		audience_put_values(w, base, values, container_values(&c, values));
	}
}

/*
 * Write the head of a part of n containers: where it ends
 */
static uint8 *
write_head(uint8 *out, const WrittenContainer *c, int n, bool runs)
{
	uint32 number;
	uint32 offset = (uint32) head_size(n, runs);

	if (runs)
	{
		number = COOKIE_RUNS | (uint32) (n - 1) << 16;
		memcpy(out, &number, 4);
		out += 4;
		memset(out, 0, (n + 7) / 8);
		for (int k = 0; k < n; k++)
			out[k / 8] |= (uint8) (c[k].run << (k % 8));
		out += (n + 7) / 8;
	}
	else
	{
		number = COOKIE_NO_RUNS;
		memcpy(out, &number, 4);
		number = (uint32) n;
		memcpy(out + 4, &number, 4);
		out += 8;
	}
	for (int k = 0; k < n; k++)
	{
		uint16 pair[2] = {(uint16) (c[k].base >> 16 & 0xFFFF), (uint16) (c[k].count - 1)};

		memcpy(out, pair, 4);
		out += 4;
	}
	if (!runs || n >= OFFSETS_FROM)
	{
		for (int k = 0; k < n; k++)
		{
			memcpy(out, &offset, 4);
			offset += c[k].size;
			out += 4;
		}
	}
	return out;
}

/*
 * Write the entry of a part in the directory
 */
static void
write_entry(uint8 *directory, uint32 part, int64 base, Size end)
{
	uint32 entry[2] = {(uint32) (base >> 32), (uint32) end};

	memcpy(directory + (Size) part * 8, entry, 8);
}

/*
 * Make the value in the writer's own memory: it has one part
 */
static Audience *
end_one_part(AudienceWriter *w)
{
	Size fixed = offsetof(Audience, data) + 8;
	Size size;
	Size head;
	bool runs = false;
	Audience *set;

	for (int64 i = 0; i < w->n; i++)
		runs |= w->containers[i].run;
	head = fixed + head_size(w->n, runs);
	size = head + w->used - w->reserved;
	if (size > w->allocated)
	{
		if (size > MaxAllocSize)
			too_large();
		w->body = repalloc(w->body, size);
	}
	if (head != w->reserved)
		memmove(w->body + head, w->body + w->reserved, w->used - w->reserved);
	set = (Audience *) (void *) w->body;
	write_entry(set->data, 0, w->containers[0].base, size - fixed);
	write_head(set->data + 8, w->containers, (int) w->n, runs);
	SET_VARSIZE(set, size);
	return set;
}

/*
 * Make the value in new memory: it has no part, or several
 */
static Audience *
end_parts(AudienceWriter *w)
{
	/* Heads take up to 8 bytes a container and 16 a part. */
	Size size = offsetof(Audience, data) + (Size) w->parts * 24 + (w->used - w->reserved) + (Size) w->n * 9;
	const char *body = w->body + w->reserved;
	Audience *set;
	uint8 *bodies;
	uint8 *out;
	uint32 part = 0;

	if (size > MaxAllocSize)
		too_large();
	set = palloc(size);
	bodies = set->data + (Size) w->parts * 8;
	out = bodies;
	for (int64 i = 0; i < w->n;)
	{
		WrittenContainer *c = w->containers + i;
		Size part_size = 0;
		bool runs = false;
		int n = 0;

		while (i + n < w->n && c[n].base >> 32 == c->base >> 32)
		{
			runs |= c[n].run;
			part_size += c[n++].size;
		}
		out = write_head(out, c, n, runs);
		memcpy(out, body, part_size);
		out += part_size;
		body += part_size;
		write_entry(set->data, part++, c->base, out - bodies);
		i += n;
	}
	SET_VARSIZE(set, out - (uint8 *) set);
	pfree(w->body);
	return set;
}

Audience *
audience_end(AudienceWriter *w)
{
	Audience *set;

	if (w->count > AUDIENCE_MAX_COUNT)
		too_large();
	set = w->parts == 1 ? end_one_part(w) : end_parts(w);
	set->version = AUDIENCE_VERSION;
	memset(set->reserved, 0, sizeof(set->reserved));
	set->parts = w->parts;
	pfree(w->containers);
#ifdef USE_ASSERT_CHECKING
	{
		const char *wrong = audience_check(set, VARSIZE(set));

		if (wrong != NULL)
			elog(ERROR, "wrote a wrong audience: %s", wrong);
	}
#endif
	return set;
}
