/*
 * Reading and checking the stored form of crm.audience.
 */
#include "tags/audience.h"

#include "miscadmin.h"

/*
 * Report bytes that no function of ours wrote
 */
static void pg_attribute_noreturn()
corrupted(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED), errmsg("stored audience is damaged"), errdetail_internal("%s", detail)));
	pg_unreachable();
}

/*
 * High half of a part's ids
 */
static inline int32
part_high(const Audience *set, uint32 part)
{
	return (int32) load32(set->data + (Size) part * 8);
}

/*
 * Where a part's bitmap ends, counted from the end of the directory
 */
static inline uint32
part_limit(const Audience *set, uint32 part)
{
	return load32(set->data + (Size) part * 8 + 4);
}

/*
 * Read the head of the next part: NULL, or what is wrong with it
 */
static const char *
open_part(AudienceReader *r)
{
	uint32 part = r->next_part++;
	uint32 from = part == 0 ? 0 : part_limit(r->set, part - 1);
	uint32 to = part_limit(r->set, part);
	const uint8 *p;
	uint32 cookie;
	bool offsets = true;

	if (from > to || to > (Size) (r->end - r->bodies))
		return "A part lies outside the value.";
	p = r->bodies + from;
	r->part_end = r->bodies + to;
	r->high = part_high(r->set, part);
	r->next = 0;
	r->run_flags = NULL;
	if (r->part_end - p < 8)
		return "A part is too short.";
	cookie = load32(p);
	p += 4;
	if ((cookie & 0xFFFF) == COOKIE_RUNS)
	{
		r->containers = (int) (cookie >> 16) + 1;
		r->run_flags = p;
		p += (r->containers + 7) / 8;
		offsets = r->containers >= OFFSETS_FROM;
	}
	else if (cookie == COOKIE_NO_RUNS)
	{
		uint32 n = load32(p);

		if (n == 0 || n > 65536)
			return "A part has no containers, or too many.";
		r->containers = (int) n;
		p += 4;
	}
	else
		return "A part has an unknown cookie.";
	if (r->part_end - p < (ptrdiff_t) r->containers * (offsets ? 8 : 4))
		return "The head of a part is cut off.";
	r->header = p;
	r->data = p + (Size) r->containers * (offsets ? 8 : 4);
	return NULL;
}

/*
 * Read the next container of the current part: NULL, or what is wrong with it
 */
static const char *
next_container(AudienceReader *r)
{
	int i = r->next++;
	Size left = r->part_end - r->data;
	Size size;

	r->c.base = (int64) (((uint64) (uint32) r->high << 32) | ((uint64) load16(r->header + 4 * i) << 16));
	r->c.count = load16(r->header + 4 * i + 2) + 1;
	r->c.data = r->data;
	r->c.runs = 0;
	if (r->run_flags != NULL && (r->run_flags[i / 8] >> (i % 8) & 1))
	{
		if (left < 2)
			return "A container is cut off.";
		r->c.kind = CONTAINER_RUN;
		r->c.runs = load16(r->data);
		r->c.data += 2;
		size = 2 + (Size) r->c.runs * 4;
	}
	else if (r->c.count <= CONTAINER_MAX_ARRAY)
	{
		r->c.kind = CONTAINER_ARRAY;
		size = (Size) r->c.count * 2;
	}
	else
	{
		r->c.kind = CONTAINER_BITSET;
		size = CONTAINER_WORDS * 8;
	}
	if (left < size)
		return "A container is cut off.";
	r->data += size;
	return NULL;
}

void
audience_open(AudienceReader *r, const Audience *set)
{
	Size size = VARSIZE(set);

	if (size < offsetof(Audience, data) || set->version != AUDIENCE_VERSION)
		corrupted("It has an unknown version.");
	if (set->parts > (size - offsetof(Audience, data)) / 8)
		corrupted("Its directory is cut off.");
	memset(r, 0, sizeof(*r));
	r->set = set;
	r->bodies = set->data + (Size) set->parts * 8;
	r->end = (const uint8 *) set + size;
}

bool
audience_next(AudienceReader *r)
{
	const char *wrong = NULL;

	if (r->next == r->containers)
	{
		if (r->next_part == r->set->parts)
			return false;
		CHECK_FOR_INTERRUPTS();
		wrong = open_part(r);
	}
	if (wrong == NULL)
		wrong = next_container(r);
	if (wrong != NULL)
		corrupted(wrong);
	return true;
}

/*
 * The container that starts at base, if there is one
 */
bool
audience_find(const Audience *set, int64 base, Container *c)
{
	AudienceReader r;
	int32 high = (int32) (base >> 32);
	int key = (int) (base >> 16 & 0xFFFF);
	uint32 low_part = 0;
	uint32 high_part = set->parts;
	const char *wrong;
	int low;
	int limit;

	audience_open(&r, set);
	while (low_part < high_part)
	{
		uint32 middle = low_part + (high_part - low_part) / 2;

		if (part_high(set, middle) < high)
			low_part = middle + 1;
		else
			high_part = middle;
	}
	if (low_part == set->parts || part_high(set, low_part) != high)
		return false;
	r.next_part = low_part;
	if ((wrong = open_part(&r)) != NULL)
		corrupted(wrong);

	low = 0;
	limit = r.containers;
	while (low < limit)
	{
		int middle = (low + limit) / 2;

		if (load16(r.header + 4 * middle) < key)
			low = middle + 1;
		else
			limit = middle;
	}
	if (low == r.containers || load16(r.header + 4 * low) != key)
		return false;
	if (r.run_flags == NULL || r.containers >= OFFSETS_FROM)
	{
		const uint8 *start = set->data + (Size) set->parts * 8 + (low_part == 0 ? 0 : part_limit(set, low_part - 1));
		uint32 offset = load32(r.header + 4 * (Size) r.containers + 4 * low);

		if (offset > (Size) (r.part_end - start))
			corrupted("A container lies outside its part.");
		r.data = start + offset;
		r.next = low;
	}
	do
	{
		if ((wrong = next_container(&r)) != NULL)
			corrupted(wrong);
	} while (r.next <= low);
	*c = r.c;
	return true;
}

/*
 * What is wrong inside a container, or NULL
 */
static const char *
check_container(const Container *c)
{
	int64 count = 0;
	int before = -1;

	switch (c->kind)
	{
		case CONTAINER_ARRAY:
			for (int i = 0; i < c->count; i++)
			{
				if (container_value(c, i) <= before)
					return "The ids of an array container are not in order.";
				before = container_value(c, i);
			}
			break;
		case CONTAINER_BITSET:
			{
				uint64 words[CONTAINER_WORDS];

				container_expand(c, words);
				if (words_count(words) != c->count)
					return "The count of a bitset container is wrong.";
			}
			break;
		case CONTAINER_RUN:
			/* Two runs that touch would be one, so the next starts at least one id after the last. */
			before = -2;
			for (int i = 0; i < c->runs; i++)
			{
				if (run_first(c, i) <= before + 1)
					return "The runs of a container are not in order.";
				before = run_last(c, i);
				if (before >= CONTAINER_IDS)
					return "A run leaves its container.";
				count += before - run_first(c, i) + 1;
			}
			if (count != c->count)
				return "The count of a run container is wrong.";
			break;
	}
	return NULL;
}

/*
 * What is wrong with bytes that claim to be an audience, or NULL. They come from outside: nothing is taken on trust.
 */
const char *
audience_check(const Audience *set, Size size)
{
	AudienceReader r;
	const char *wrong;
	int64 count = 0;

	if (size < offsetof(Audience, data))
		return "The head is cut off.";
	if (set->version != AUDIENCE_VERSION)
		return "The version is unknown.";
	if (set->reserved[0] != 0 || set->reserved[1] != 0 || set->reserved[2] != 0)
		return "Reserved bytes are not zero.";
	if (set->parts > (size - offsetof(Audience, data)) / 8)
		return "The directory is cut off.";
	audience_open(&r, set);
	while (r.next_part < set->parts)
	{
		uint32 part = r.next_part;
		const uint8 *start = r.bodies + (part == 0 ? 0 : part_limit(set, part - 1));
		bool offsets;
		int key = -1;

		CHECK_FOR_INTERRUPTS();
		if (part > 0 && part_high(set, part) <= part_high(set, part - 1))
			return "The parts are not in order.";
		if ((wrong = open_part(&r)) != NULL)
			return wrong;
		offsets = r.run_flags == NULL || r.containers >= OFFSETS_FROM;
		if (r.run_flags != NULL && r.containers % 8 != 0 && r.run_flags[r.containers / 8] >> (r.containers % 8) != 0)
			return "Flags stand beyond the last container.";
		while (r.next < r.containers)
		{
			int i = r.next;

			if (load16(r.header + 4 * i) <= key)
				return "The containers are not in order.";
			key = load16(r.header + 4 * i);
			if (offsets && load32(r.header + 4 * (Size) r.containers + 4 * i) != r.data - start)
				return "The offset of a container is wrong.";
			if ((wrong = next_container(&r)) != NULL || (wrong = check_container(&r.c)) != NULL)
				return wrong;
			count += r.c.count;
		}
		if (r.data != r.part_end)
			return "Bytes follow the last container of a part.";
	}
	if (r.bodies + (set->parts == 0 ? 0 : part_limit(set, set->parts - 1)) != r.end)
		return "Bytes follow the last part.";
	if (count > AUDIENCE_MAX_COUNT)
		return "It has more than 4294967295 ids.";
	return NULL;
}

/*
 * Number of ids, from the heads of the containers alone
 */
int64
audience_count(const Audience *set)
{
	AudienceReader r;
	int64 count = 0;
	const char *wrong;

	audience_open(&r, set);
	while (r.next_part < set->parts)
	{
		if ((wrong = open_part(&r)) != NULL)
			corrupted(wrong);
		for (int i = 0; i < r.containers; i++)
			count += load16(r.header + 4 * i + 2) + 1;
	}
	return count;
}

/*
 * Number of containers
 */
int64
audience_containers(const Audience *set)
{
	AudienceReader r;
	int64 containers = 0;
	const char *wrong;

	audience_open(&r, set);
	while (r.next_part < set->parts)
	{
		if ((wrong = open_part(&r)) != NULL)
			corrupted(wrong);
		containers += r.containers;
	}
	return containers;
}

/*
 * Write the ids of a container as a bitset
 */
void
container_expand(const Container *c, uint64 *words)
{
	if (c->kind == CONTAINER_BITSET)
	{
		memcpy(words, c->data, CONTAINER_WORDS * 8);
		return;
	}
	memset(words, 0, CONTAINER_WORDS * 8);
	if (c->kind == CONTAINER_ARRAY)
	{
		for (int i = 0; i < c->count; i++)
			words[container_value(c, i) / 64] |= UINT64CONST(1) << (container_value(c, i) % 64);
		return;
	}
	for (int i = 0; i < c->runs; i++)
	{
		int first = run_first(c, i);
		int last = Min(run_last(c, i), CONTAINER_IDS - 1);
		uint64 first_mask = ~UINT64CONST(0) << (first % 64);
		uint64 last_mask = ~UINT64CONST(0) >> (63 - last % 64);

		if (first / 64 == last / 64)
			words[first / 64] |= first_mask & last_mask;
		else
		{
			words[first / 64] |= first_mask;
			for (int w = first / 64 + 1; w < last / 64; w++)
				words[w] = ~UINT64CONST(0);
			words[last / 64] |= last_mask;
		}
	}
}

/*
 * Write the ids of a container in order: how many
 */
int
container_values(const Container *c, uint16 *values)
{
	int n = 0;

	switch (c->kind)
	{
		case CONTAINER_ARRAY:
			memcpy(values, c->data, (Size) c->count * 2);
			return c->count;
		case CONTAINER_BITSET:
			for (int w = 0; w < CONTAINER_WORDS; w++)
			{
				uint64 word = load64(c->data + 8 * w);

				while (word != 0 && n < c->count)
				{
					values[n++] = (uint16) (w * 64 + __builtin_ctzll(word));
					word &= word - 1;
				}
			}
			return n;
		case CONTAINER_RUN:
			for (int i = 0; i < c->runs; i++)
				for (int v = run_first(c, i); v <= run_last(c, i) && n < c->count; v++)
					values[n++] = (uint16) v;
			return n;
	}
	return 0;
}
