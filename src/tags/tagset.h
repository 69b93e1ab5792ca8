/*
 * The type crm.tagset: a sorted set of folded tags in one value.
 *
 * Layout after the varlena header:
 *   byte    format version, TAGSET_VERSION
 *   varint  number of tags, low seven bits first
 *   then for each tag, in bytewise order: one byte length (1 to 255), the bytes
 * Equal sets have equal bytes, whence equality is memcmp and the hash is that of the bytes.
 */
#ifndef CRM_TAGSET_H
#define CRM_TAGSET_H

#include "base/compat.h"

#include "lib/stringinfo.h"
#include "nodes/nodes.h"

#define TAGSET_VERSION 1
#define TAG_MAX_BYTES 255
#define TAGSET_MAX_TAGS 1000000
/* A text that folds to a tag may be longer than the tag, but not without end. */
#define TAG_MAX_INPUT_BYTES 65536

#define ERRCODE_CRM_INVALID_TAG MAKE_SQLSTATE('C', 'T', '0', '0', '1')
#define ERRCODE_CRM_TAG_TOO_LONG MAKE_SQLSTATE('C', 'T', '0', '0', '2')
#define ERRCODE_CRM_TAG_WITHOUT_NAMESPACE MAKE_SQLSTATE('C', 'T', '0', '0', '3')
#define ERRCODE_CRM_TAGSET_TOO_LARGE MAKE_SQLSTATE('C', 'T', '0', '0', '4')
#define ERRCODE_CRM_TAGQUERY_TOO_LARGE MAKE_SQLSTATE('C', 'T', '0', '0', '5')

/* A tag inside something that stays alive longer: a set, a query, a buffer. Not NUL-terminated. */
typedef struct Tag
{
	const char *data;
	int length;
} Tag;

/* Where a walk over the tags of a set stands. */
typedef struct TagScan
{
	const uint8 *at;
	const uint8 *end;
	int left;
} TagScan;

/* A set being made: tags in any order, perhaps twice. */
typedef struct TagsetBuilder
{
	StringInfoData bytes;
	int *starts; /* where each tag begins in bytes; it ends where the next begins */
	int count;
	int capacity;
} TagsetBuilder;

#define PG_GETARG_TAGSET_PP(n) ((struct varlena *) PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(n)))
#define DatumGetTagsetPP(d) ((struct varlena *) PG_DETOAST_DATUM_PACKED(d))

extern void tag_scan_corrupt(void) pg_attribute_noreturn();

/*
 * Begin a walk over the tags of a set
 */
static inline void
tag_scan_begin(TagScan *scan, const struct varlena *set)
{
	const uint8 *at = (const uint8 *) VARDATA_ANY(set);
	const uint8 *end = at + VARSIZE_ANY_EXHDR(set);
	uint32 count = 0;
	int shift = 0;

	if (at == end || *at++ != TAGSET_VERSION)
		tag_scan_corrupt();
	for (;;)
	{
		if (at == end || shift > 14)
			tag_scan_corrupt();
		count |= (uint32) (*at & 0x7F) << shift;
		if ((*at++ & 0x80) == 0)
			break;
		shift += 7;
	}
	scan->at = at;
	scan->end = end;
	scan->left = (int) count;
}

/*
 * The next tag of a walk; false at the end
 */
static inline bool
tag_scan_next(TagScan *scan, Tag *tag)
{
	if (scan->left == 0)
		return false;
	if (scan->at == scan->end)
		tag_scan_corrupt();
	/* No local variable: inlined beside a PG_TRY, gcc 15 fears for it. */
	tag->length = *scan->at;
	if (scan->end - scan->at <= tag->length)
		tag_scan_corrupt();
	tag->data = (const char *) scan->at + 1;
	scan->at += tag->length + 1;
	scan->left--;
	return true;
}

/*
 * Bytewise order of two tags
 */
static inline int
tag_compare(const Tag *a, const Tag *b)
{
	int order = memcmp(a->data, b->data, Min(a->length, b->length));

	return order != 0 ? order : a->length - b->length;
}

/*
 * Does a tag begin with prefix?
 */
static inline bool
tag_has_prefix(const Tag *tag, const Tag *prefix)
{
	return tag->length >= prefix->length && memcmp(tag->data, prefix->data, prefix->length) == 0;
}

/*
 * Number of tags of a set
 */
static inline int
tagset_count(const struct varlena *set)
{
	TagScan scan;

	tag_scan_begin(&scan, set);
	return scan.left;
}

/* tagset_core.c */
extern bool tag_fold(const char *text, int length, StringInfo out, struct Node *escontext);
extern bool tag_fold_quietly(const char *text, int length, StringInfo out);
extern int tag_order(const void *a, const void *b);
extern bool tagset_has(const struct varlena *set, const Tag *tag);
extern Tag *tagset_tags(const struct varlena *set, int *count);
extern struct varlena *tagset_from_sorted(const Tag *tags, int count);
extern struct varlena *tagset_from_tags(Tag *tags, int count);
extern void tagset_builder_init(TagsetBuilder *builder);
extern bool tagset_builder_add(TagsetBuilder *builder, const char *text, int length, struct Node *escontext);
extern struct varlena *tagset_builder_finish(TagsetBuilder *builder);
extern struct varlena *tagset_parse(const char *text, struct Node *escontext);
extern void tagset_format(const struct varlena *set, StringInfo out);

/* tagset_op.c */
extern Tag *folded_tags(Datum array, int *count, bool *all_valid);
extern struct varlena *tagset_assign_value(const struct varlena *set, StringInfo namespace_text, text *value);
extern bool tagset_find_value(const struct varlena *set, const char *namespace_text, int length, Tag *value);

#endif
