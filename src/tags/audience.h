/*
 * crm.audience: a set of 64-bit ids. A stored value is a sorted map from the high 32 bits of the ids (signed) to a Roaring
 * bitmap of the low 32 bits in Roaring's portable format:
 *
 *   version (1 byte, 1), three zero bytes, number of parts (uint32),
 *   for each part its high half (int32) and where its bitmap ends, counted from the end of this directory (uint32),
 *   the bitmaps.
 *
 * All numbers are little-endian, as the portable format has them. Reading, set algebra and counting work on these bytes
 * as they lie; CRoaring holds only the sets that change member by member (AudienceSet).
 */
#ifndef CRM_AUDIENCE_H
#define CRM_AUDIENCE_H

#include "base/crm.h"

#ifdef WORDS_BIGENDIAN
#error "crm.audience needs a little-endian machine"
#endif

#define AUDIENCE_VERSION 1

/* An audience holds at most this many ids. */
#define AUDIENCE_MAX_COUNT INT64CONST(0xFFFFFFFF)

/* What a container holds: 65536 ids, or 1024 words of a bitset; an array only up to 4096 of them. */
#define CONTAINER_IDS 65536
#define CONTAINER_WORDS 1024
#define CONTAINER_MAX_ARRAY 4096

/* Roaring's portable format. */
#define COOKIE_RUNS 12347
#define COOKIE_NO_RUNS 12346
#define OFFSETS_FROM 4 /* bitmaps with runs have offsets from this many containers on */

typedef struct Audience
{
	int32 vl_len_; /* varlena header (do not touch directly!) */
	uint8 version;
	uint8 reserved[3]; /* always zero */
	uint32 parts;
	uint8 data[FLEXIBLE_ARRAY_MEMBER];
} Audience;

#define DatumGetAudience(d) ((Audience *) PG_DETOAST_DATUM(d))
#define PG_GETARG_AUDIENCE(n) DatumGetAudience(PG_GETARG_DATUM(n))
#define PG_RETURN_AUDIENCE(a) PG_RETURN_POINTER(a)

typedef enum ContainerKind
{
	CONTAINER_ARRAY,
	CONTAINER_BITSET,
	CONTAINER_RUN
} ContainerKind;

/* The ids of a value that share all but their low 16 bits. */
typedef struct Container
{
	int64 base; /* the id whose low 16 bits are zero */
	ContainerKind kind;
	int count;		   /* ids in it, 1 to 65536 */
	int runs;		   /* of CONTAINER_RUN */
	const uint8 *data; /* uint16s, words, or pairs of first id and length - 1; not aligned */
} Container;

/* Walks the containers of a value in order. */
typedef struct AudienceReader
{
	const Audience *set;
	const uint8 *bodies;
	const uint8 *end;
	uint32 next_part;
	int32 high;
	const uint8 *run_flags; /* of the current part; NULL when it has no runs */
	const uint8 *header;
	int next;
	int containers;
	const uint8 *data;
	const uint8 *part_end;
	Container c;
} AudienceReader;

/* Collects containers in order and makes a value of them. */
typedef struct AudienceWriter
{
	char *body; /* room for a head, then the bytes of the containers, of all parts */
	Size reserved;
	Size used; /* with what is reserved */
	Size allocated;
	struct WrittenContainer *containers;
	int64 n;
	int64 n_allocated;
	uint32 parts;
	int64 count;
} AudienceWriter;

static inline uint16
load16(const uint8 *p)
{
	uint16 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32
load32(const uint8 *p)
{
	uint32 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64
load64(const uint8 *p)
{
	uint64 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void
store64(uint8 *p, uint64 v)
{
	memcpy(p, &v, sizeof(v));
}

static inline uint16
container_value(const Container *c, int i)
{
	return load16(c->data + 2 * i);
}

static inline int
run_first(const Container *c, int i)
{
	return load16(c->data + 4 * i);
}

static inline int
run_last(const Container *c, int i)
{
	return load16(c->data + 4 * i) + load16(c->data + 4 * i + 2);
}

/* audience_format.c */
extern void audience_open(AudienceReader *r, const Audience *set);
extern bool audience_next(AudienceReader *r);
extern bool audience_find(const Audience *set, int64 base, Container *c);
extern const char *audience_check(const Audience *set, Size size);
extern int64 audience_count(const Audience *set);
extern void container_expand(const Container *c, uint64 *words);
extern int container_values(const Container *c, uint16 *values);
extern int64 audience_containers(const Audience *set);

/* audience_write.c */
extern void audience_begin(AudienceWriter *w, Size expected, int64 containers);
extern void audience_put_container(AudienceWriter *w, const Container *c);
extern void audience_put_values(AudienceWriter *w, int64 base, const uint16 *values, int count);
extern void audience_put_words(AudienceWriter *w, int64 base, const uint64 *words, int count, bool runs);
extern uint8 *audience_room(AudienceWriter *w, Size size);
extern void audience_put_room(AudienceWriter *w, int64 base, int count);
extern Audience *audience_end(AudienceWriter *w);

typedef enum AudienceOp
{
	AUDIENCE_OR,
	AUDIENCE_AND,
	AUDIENCE_MINUS,
	AUDIENCE_XOR
} AudienceOp;

/* audience_arrays.c: a combination writes up to so many values more than it can keep. */
#define ARRAYS_SLACK 8
extern int arrays_common(const Container *a, const Container *b);
extern int arrays_combine(AudienceOp op, const Container *a, const Container *b, uint16 *out);

/* audience_kernel.c, of any two containers */
extern int words_count(const uint64 *words);
extern int words_runs(const uint64 *words);
extern int container_common(const Container *a, const Container *b);
extern void container_combine(AudienceWriter *w, AudienceOp op, const Container *a, const Container *b);

/* audience_op.c */
extern Audience *audience_combine(AudienceOp op, const Audience *a, const Audience *b);
extern int64 audience_common(const Audience *a, const Audience *b);

/* audience_set.c: a set under construction, in memory of CRoaring that goes with the memory context. */
typedef struct AudienceSet AudienceSet;
extern AudienceSet *audience_set_create(MemoryContext context);
extern void audience_set_add(AudienceSet *set, int64 id);
extern void audience_set_add_range(AudienceSet *set, int64 first, int64 last);
extern void audience_set_combine(AudienceSet *set, AudienceOp op, const Audience *other);
extern Audience *audience_set_value(AudienceSet *set);
extern void audience_set_free(AudienceSet *set);

#endif
