/*
 * What the type crm.tagset is to the server: text, binary and array forms, order and hash, the list of its tags.
 */
#include "tags/tagset.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "utils/array.h"
#include "utils/builtins.h"

/*
 * Read the text form
 */
PG_FUNCTION_INFO_V1(tagset_in);
Datum
tagset_in(PG_FUNCTION_ARGS)
{
	struct varlena *set = tagset_parse(PG_GETARG_CSTRING(0), CRM_ESCONTEXT(fcinfo));

	if (set == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(set);
}

/*
 * Write the text form
 */
PG_FUNCTION_INFO_V1(tagset_out);
Datum
tagset_out(PG_FUNCTION_ARGS)
{
	StringInfoData out;

	initStringInfo(&out);
	tagset_format(PG_GETARG_TAGSET_PP(0), &out);
	PG_RETURN_CSTRING(out.data);
}

/*
 * Read the binary form: version, count, then for each tag its length and text. Folds and sorts, as the text form does
 */
PG_FUNCTION_INFO_V1(tagset_recv);
Datum
tagset_recv(PG_FUNCTION_ARGS)
{
	StringInfo buf = (StringInfo) PG_GETARG_POINTER(0);
	TagsetBuilder builder;
	int version = pq_getmsgbyte(buf);
	int count = (int) pq_getmsgint(buf, 4);

	if (version != TAGSET_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("unsupported tagset version %d", version),
				 errhint("This library writes and reads version %d.", TAGSET_VERSION)));
	/* A tag takes five bytes or more, so a count cannot promise more than the message holds. */
	if (count < 0 || count > (buf->len - buf->cursor) / 5)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid number of tags in a binary tagset: %d", count)));
	tagset_builder_init(&builder);
	for (int i = 0; i < count; i++)
	{
		int length = (int) pq_getmsgint(buf, 4);
		int converted;
		char *text;

		if (length < 0 || length > buf->len - buf->cursor)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
					 errmsg("invalid length of a tag in a binary tagset: %d", length)));
		text = pq_getmsgtext(buf, length, &converted);
		(void) tagset_builder_add(&builder, text, converted, NULL);
		pfree(text);
	}
	PG_RETURN_POINTER(tagset_builder_finish(&builder));
}

/*
 * Write the binary form
 */
PG_FUNCTION_INFO_V1(tagset_send);
Datum
tagset_send(PG_FUNCTION_ARGS)
{
	StringInfoData buf;
	TagScan scan;
	Tag tag;

	tag_scan_begin(&scan, PG_GETARG_TAGSET_PP(0));
	pq_begintypsend(&buf);
	pq_sendint8(&buf, TAGSET_VERSION);
	pq_sendint32(&buf, scan.left);
	while (tag_scan_next(&scan, &tag))
		crm_send_counted_text(&buf, tag.data, tag.length);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/*
 * text[] to a set
 */
PG_FUNCTION_INFO_V1(tagset);
Datum
tagset(PG_FUNCTION_ARGS)
{
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(0);
	TagsetBuilder builder;
	Datum *elements;
	bool *nulls;
	int count;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	tagset_builder_init(&builder);
	for (int i = 0; i < count; i++)
	{
		text *element;

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a tag cannot be null"),
					 errhint("Remove nulls first, with array_remove(tags, NULL).")));
		element = DatumGetTextPP(elements[i]);
		(void) tagset_builder_add(&builder, VARDATA_ANY(element), VARSIZE_ANY_EXHDR(element), NULL);
	}
	PG_RETURN_POINTER(tagset_builder_finish(&builder));
}

/*
 * A set to text[]
 */
PG_FUNCTION_INFO_V1(tag_array);
Datum
tag_array(PG_FUNCTION_ARGS)
{
	int count;
	Tag *tags = tagset_tags(PG_GETARG_TAGSET_PP(0), &count);
	Datum *elements = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		elements[i] = PointerGetDatum(cstring_to_text_with_len(tags[i].data, tags[i].length));
	PG_RETURN_ARRAYTYPE_P(construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * The tags of a set, one a row
 */
PG_FUNCTION_INFO_V1(tags);
Datum
tags(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	TagScan *scan;
	Tag tag;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;

		call = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		scan = palloc(sizeof(TagScan));
		/* The argument's own memory may not last until the next call. */
		tag_scan_begin(scan, (struct varlena *) PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(0)));
		call->user_fctx = scan;
		MemoryContextSwitchTo(old);
	}
	call = SRF_PERCALL_SETUP();
	scan = call->user_fctx;
	if (!tag_scan_next(scan, &tag))
		SRF_RETURN_DONE(call);
	SRF_RETURN_NEXT(call, PointerGetDatum(cstring_to_text_with_len(tag.data, tag.length)));
}

/*
 * Number of tags of a set
 */
PG_FUNCTION_INFO_V1(tagset_cardinality);
Datum
tagset_cardinality(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(tagset_count(PG_GETARG_TAGSET_PP(0)));
}

/*
 * Order of two sets: that of their sorted tags, the shorter first when one begins the other
 */
PG_FUNCTION_INFO_V1(tagset_cmp);
Datum
tagset_cmp(PG_FUNCTION_ARGS)
{
	struct varlena *a = PG_GETARG_TAGSET_PP(0);
	struct varlena *b = PG_GETARG_TAGSET_PP(1);
	TagScan a_scan;
	TagScan b_scan;
	Tag a_tag;
	Tag b_tag;
	bool has_a;
	bool has_b;
	int order = 0;

	tag_scan_begin(&a_scan, a);
	tag_scan_begin(&b_scan, b);
	do
	{
		has_a = tag_scan_next(&a_scan, &a_tag);
		has_b = tag_scan_next(&b_scan, &b_tag);
		order = has_a && has_b ? tag_compare(&a_tag, &b_tag) : (int) has_a - (int) has_b;
	} while (order == 0 && has_a && has_b);

	/* Sorting calls this without end in one memory context. */
	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	PG_RETURN_INT32((order > 0) - (order < 0));
}

#define compare_sets(fcinfo) DatumGetInt32(DirectFunctionCall2(tagset_cmp, PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)))

PG_FUNCTION_INFO_V1(tagset_lt);
Datum
tagset_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_sets(fcinfo) < 0);
}

PG_FUNCTION_INFO_V1(tagset_le);
Datum
tagset_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_sets(fcinfo) <= 0);
}

PG_FUNCTION_INFO_V1(tagset_gt);
Datum
tagset_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_sets(fcinfo) > 0);
}

PG_FUNCTION_INFO_V1(tagset_ge);
Datum
tagset_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_sets(fcinfo) >= 0);
}

/*
 * Have two sets the same tags? They then have the same bytes
 */
static bool
same_bytes(FunctionCallInfo fcinfo)
{
	struct varlena *a = PG_GETARG_TAGSET_PP(0);
	struct varlena *b = PG_GETARG_TAGSET_PP(1);
	bool same = VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
				memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return same;
}

PG_FUNCTION_INFO_V1(tagset_eq);
Datum
tagset_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(same_bytes(fcinfo));
}

PG_FUNCTION_INFO_V1(tagset_ne);
Datum
tagset_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!same_bytes(fcinfo));
}

/*
 * Hash of a set
 */
PG_FUNCTION_INFO_V1(tagset_hash);
Datum
tagset_hash(PG_FUNCTION_ARGS)
{
	struct varlena *set = PG_GETARG_TAGSET_PP(0);
	Datum hash = hash_any((unsigned char *) VARDATA_ANY(set), VARSIZE_ANY_EXHDR(set));

	PG_FREE_IF_COPY(set, 0);
	return hash;
}

/*
 * Hash of a set with a seed, 64 bits wide: for partitioning
 */
PG_FUNCTION_INFO_V1(tagset_hash_extended);
Datum
tagset_hash_extended(PG_FUNCTION_ARGS)
{
	struct varlena *set = PG_GETARG_TAGSET_PP(0);
	Datum hash = hash_any_extended((unsigned char *) VARDATA_ANY(set), VARSIZE_ANY_EXHDR(set), PG_GETARG_INT64(1));

	PG_FREE_IF_COPY(set, 0);
	return hash;
}
