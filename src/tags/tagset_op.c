/*
 * Membership and algebra of tag sets, and namespaces: of channel:tmall, channel is the namespace and tmall the value.
 * What answers with a boolean never raises on valid values, so that it can be LEAKPROOF.
 */
#include "tags/tagset.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

/* A text argument as the tag it folds to. */
typedef struct FoldedArgument
{
	bool valid; /* does it fold to a tag? */
	Tag tag;
} FoldedArgument;

/*
 * Fold the text argument n; once only while it stays the same
 */
static FoldedArgument *
folded_argument(FunctionCallInfo fcinfo, int n)
{
	FoldedArgument *folded = fcinfo->flinfo ? fcinfo->flinfo->fn_extra : NULL;
	bool stable = fcinfo->flinfo != NULL && get_fn_expr_arg_stable(fcinfo->flinfo, n);
	MemoryContext old = CurrentMemoryContext;
	StringInfoData out;
	text *argument;

	if (folded != NULL)
		return folded;
	argument = PG_GETARG_TEXT_PP(n);
	if (stable)
		MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	initStringInfo(&out);
	folded = palloc(sizeof(FoldedArgument));
	folded->valid = tag_fold_quietly(VARDATA_ANY(argument), VARSIZE_ANY_EXHDR(argument), &out);
	folded->tag.data = out.data;
	folded->tag.length = out.len;
	if (stable)
		fcinfo->flinfo->fn_extra = folded;
	MemoryContextSwitchTo(old);
	return folded;
}

/*
 * The tags that the elements of a text[] fold to, sorted and unique; nulls are passed over, and *all_valid tells
 * whether every other element was a tag
 */
Tag *
folded_tags(Datum array, int *count, bool *all_valid)
{
	Datum *elements;
	bool *nulls;
	int element_count;
	int *starts;
	int unique = 0;
	StringInfoData out;
	Tag *tags;

	deconstruct_array(
		DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &element_count);
	initStringInfo(&out);
	starts = palloc(sizeof(int) * (element_count + 1));
	tags = palloc(sizeof(Tag) * Max(element_count, 1));
	*count = 0;
	*all_valid = true;
	for (int i = 0; i < element_count; i++)
	{
		text *element;
		int start = out.len;

		if (nulls[i])
			continue;
		element = DatumGetTextPP(elements[i]);
		if (!tag_fold_quietly(VARDATA_ANY(element), VARSIZE_ANY_EXHDR(element), &out))
		{
			out.len = start;
			*all_valid = false;
			continue;
		}
		starts[(*count)++] = start;
		starts[*count] = out.len;
	}
	for (int i = 0; i < *count; i++)
	{
		tags[i].data = out.data + starts[i];
		tags[i].length = starts[i + 1] - starts[i];
	}
	if (*count > 1)
		qsort(tags, *count, sizeof(Tag), tag_order);
	for (int i = 0; i < *count; i++)
	{
		if (unique == 0 || tag_compare(&tags[unique - 1], &tags[i]) != 0)
			tags[unique++] = tags[i];
	}
	*count = unique;
	return tags;
}

/*
 * How many of sorted tags are in a set? Stops when the answer is above enough or can no longer reach need
 */
static int
count_common(const struct varlena *set, const Tag *tags, int count, int need, int enough)
{
	TagScan scan;
	Tag tag;
	int at = 0;
	int common = 0;

	tag_scan_begin(&scan, set);
	while (at < count && common + count - at >= need && tag_scan_next(&scan, &tag))
	{
		int order = -1;

		while (at < count && (order = tag_compare(&tags[at], &tag)) < 0)
			at++;
		if (order == 0)
		{
			at++;
			if (++common >= enough)
				break;
		}
	}
	return common;
}

/*
 * Does set a hold every tag of set b?
 */
static bool
contains(const struct varlena *a, const struct varlena *b)
{
	TagScan a_scan;
	TagScan b_scan;
	Tag a_tag;
	Tag b_tag;

	tag_scan_begin(&a_scan, a);
	tag_scan_begin(&b_scan, b);
	while (tag_scan_next(&b_scan, &b_tag))
	{
		int order;

		do
		{
			if (a_scan.left <= b_scan.left || !tag_scan_next(&a_scan, &a_tag))
				return false;
			order = tag_compare(&a_tag, &b_tag);
		} while (order < 0);
		if (order > 0)
			return false;
	}
	return true;
}

PG_FUNCTION_INFO_V1(tagset_contains);
Datum
tagset_contains(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(contains(PG_GETARG_TAGSET_PP(0), PG_GETARG_TAGSET_PP(1)));
}

PG_FUNCTION_INFO_V1(tagset_contained);
Datum
tagset_contained(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(contains(PG_GETARG_TAGSET_PP(1), PG_GETARG_TAGSET_PP(0)));
}

/*
 * Number of tags that two sets share, counting up to enough
 */
static int
overlap(const struct varlena *a, const struct varlena *b, int enough)
{
	TagScan a_scan;
	TagScan b_scan;
	Tag a_tag;
	Tag b_tag;
	int common = 0;
	bool more;

	tag_scan_begin(&a_scan, a);
	tag_scan_begin(&b_scan, b);
	more = tag_scan_next(&a_scan, &a_tag) && tag_scan_next(&b_scan, &b_tag);
	while (more)
	{
		int order = tag_compare(&a_tag, &b_tag);

		if (order == 0 && ++common >= enough)
			break;
		more = (order > 0 || tag_scan_next(&a_scan, &a_tag)) && (order < 0 || tag_scan_next(&b_scan, &b_tag));
	}
	return common;
}

PG_FUNCTION_INFO_V1(tagset_overlaps);
Datum
tagset_overlaps(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(overlap(PG_GETARG_TAGSET_PP(0), PG_GETARG_TAGSET_PP(1), 1) > 0);
}

/*
 * Likeness of two sets: shared tags over all tags; 1 for two empty sets, which are equal
 */
PG_FUNCTION_INFO_V1(jaccard);
Datum
jaccard(PG_FUNCTION_ARGS)
{
	struct varlena *a = PG_GETARG_TAGSET_PP(0);
	struct varlena *b = PG_GETARG_TAGSET_PP(1);
	int common = overlap(a, b, TAGSET_MAX_TAGS);
	int all = tagset_count(a) + tagset_count(b) - common;

	PG_RETURN_FLOAT8(all == 0 ? 1.0 : (double) common / all);
}

/*
 * Is the text a tag of the set? A text that is no tag is in no set
 */
PG_FUNCTION_INFO_V1(tagset_has_tag);
Datum
tagset_has_tag(PG_FUNCTION_ARGS)
{
	FoldedArgument *folded = folded_argument(fcinfo, 1);

	PG_RETURN_BOOL(folded->valid && tagset_has(PG_GETARG_TAGSET_PP(0), &folded->tag));
}

PG_FUNCTION_INFO_V1(tagset_has_any);
Datum
tagset_has_any(PG_FUNCTION_ARGS)
{
	bool all_valid;
	int count;
	Tag *tags = folded_tags(PG_GETARG_DATUM(1), &count, &all_valid);

	PG_RETURN_BOOL(count_common(PG_GETARG_TAGSET_PP(0), tags, count, 1, 1) > 0);
}

PG_FUNCTION_INFO_V1(tagset_has_all);
Datum
tagset_has_all(PG_FUNCTION_ARGS)
{
	bool all_valid;
	int count;
	Tag *tags = folded_tags(PG_GETARG_DATUM(1), &count, &all_valid);

	PG_RETURN_BOOL(all_valid && count_common(PG_GETARG_TAGSET_PP(0), tags, count, count, count + 1) == count);
}

/*
 * What to keep of two sorted arrays of tags
 */
typedef enum MergeKind
{
	MERGE_UNION,
	MERGE_INTERSECTION,
	MERGE_DIFFERENCE
} MergeKind;

static struct varlena *
merge(const Tag *a, int a_count, const Tag *b, int b_count, MergeKind kind)
{
	Tag *kept = palloc(sizeof(Tag) * Max(a_count + b_count, 1));
	int count = 0;
	int i = 0;
	int j = 0;
	struct varlena *set;

	while (i < a_count || j < b_count)
	{
		int order = i == a_count ? 1 : j == b_count ? -1 : tag_compare(&a[i], &b[j]);

		if (order < 0 && kind != MERGE_INTERSECTION)
			kept[count++] = a[i];
		else if (order == 0 && kind != MERGE_DIFFERENCE)
			kept[count++] = a[i];
		else if (order > 0 && kind == MERGE_UNION)
			kept[count++] = b[j];
		i += order <= 0;
		j += order >= 0;
	}
	set = tagset_from_sorted(kept, count);
	pfree(kept);
	return set;
}

static struct varlena *
merge_sets(struct varlena *a, struct varlena *b, MergeKind kind)
{
	int a_count;
	int b_count;
	Tag *a_tags = tagset_tags(a, &a_count);
	Tag *b_tags = tagset_tags(b, &b_count);

	return merge(a_tags, a_count, b_tags, b_count, kind);
}

PG_FUNCTION_INFO_V1(tagset_or);
Datum
tagset_or(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(merge_sets(PG_GETARG_TAGSET_PP(0), PG_GETARG_TAGSET_PP(1), MERGE_UNION));
}

PG_FUNCTION_INFO_V1(tagset_and);
Datum
tagset_and(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(merge_sets(PG_GETARG_TAGSET_PP(0), PG_GETARG_TAGSET_PP(1), MERGE_INTERSECTION));
}

/*
 * A set with one tag more; a text that is no tag is an error
 */
PG_FUNCTION_INFO_V1(tagset_add);
Datum
tagset_add(PG_FUNCTION_ARGS)
{
	struct varlena *set = PG_GETARG_TAGSET_PP(0);
	text *argument = PG_GETARG_TEXT_PP(1);
	StringInfoData out;
	Tag tag;
	Tag *tags;
	int count;

	initStringInfo(&out);
	(void) tag_fold(VARDATA_ANY(argument), VARSIZE_ANY_EXHDR(argument), &out, NULL);
	tag.data = out.data;
	tag.length = out.len;
	tags = tagset_tags(set, &count);
	PG_RETURN_POINTER(merge(tags, count, &tag, 1, MERGE_UNION));
}

/*
 * A set without a tag
 */
PG_FUNCTION_INFO_V1(tagset_remove);
Datum
tagset_remove(PG_FUNCTION_ARGS)
{
	struct varlena *set = PG_GETARG_TAGSET_PP(0);
	FoldedArgument *folded = folded_argument(fcinfo, 1);
	int count;
	Tag *tags = tagset_tags(set, &count);

	PG_RETURN_POINTER(merge(tags, count, &folded->tag, folded->valid ? 1 : 0, MERGE_DIFFERENCE));
}

/*
 * A set without the tags of an array
 */
PG_FUNCTION_INFO_V1(tagset_remove_array);
Datum
tagset_remove_array(PG_FUNCTION_ARGS)
{
	struct varlena *set = PG_GETARG_TAGSET_PP(0);
	bool all_valid;
	int removed_count;
	Tag *removed = folded_tags(PG_GETARG_DATUM(1), &removed_count, &all_valid);
	int count;
	Tag *tags = tagset_tags(set, &count);

	PG_RETURN_POINTER(merge(tags, count, removed, removed_count, MERGE_DIFFERENCE));
}

/*
 * A set without the tags that begin with a namespace and its colon, and with tag, unless that is NULL
 */
static struct varlena *
replace_namespace(const struct varlena *set, const Tag *space, const Tag *tag)
{
	int count;
	Tag *tags = tagset_tags(set, &count);
	int kept = 0;

	for (int i = 0; i < count; i++)
	{
		if (!tag_has_prefix(&tags[i], space))
			tags[kept++] = tags[i];
	}
	return merge(tags, kept, tag, tag == NULL ? 0 : 1, MERGE_UNION);
}

/*
 * A set with a tag, of any spelling, in place of the others of its namespace
 */
static struct varlena *
put_tag(const struct varlena *set, const char *raw, int length)
{
	StringInfoData out;
	Tag tag;
	Tag space;
	const char *colon;

	initStringInfo(&out);
	(void) tag_fold(raw, length, &out, NULL);
	tag.data = out.data;
	tag.length = out.len;
	colon = memchr(tag.data, ':', tag.length);
	if (colon == NULL || colon == tag.data || colon == tag.data + tag.length - 1)
		ereport(ERROR,
				(errcode(ERRCODE_CRM_TAG_WITHOUT_NAMESPACE),
				 errmsg("tag has no namespace and value: \"%s\"", out.data),
				 errdetail("A tag that replaces the others of its namespace is written namespace:value."),
				 errhint("To add a plain tag use tags + 'tag'.")));
	space.data = tag.data;
	space.length = colon + 1 - tag.data;
	return replace_namespace(set, &space, &tag);
}

/*
 * Put a tag in place of the others of its namespace
 */
PG_FUNCTION_INFO_V1(tag_put);
Datum
tag_put(PG_FUNCTION_ARGS)
{
	text *tag = PG_GETARG_TEXT_PP(1);

	PG_RETURN_POINTER(put_tag(PG_GETARG_TAGSET_PP(0), VARDATA_ANY(tag), VARSIZE_ANY_EXHDR(tag)));
}

/*
 * A set with value in place of others in a namespace; NULL leaves none
 */
struct varlena *
tagset_assign_value(const struct varlena *set, StringInfo namespace_text, text *value)
{
	StringInfoData folded;
	Tag space;

	initStringInfo(&folded);
	(void) tag_fold(namespace_text->data, namespace_text->len, &folded, NULL);
	if (memchr(folded.data, ':', folded.len) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CRM_TAG_WITHOUT_NAMESPACE),
				 errmsg("a namespace has no colon: \"%s\"", folded.data),
				 errdetail("What stands before the first colon of a tag is its namespace.")));
	appendStringInfoChar(&folded, ':');
	if (value != NULL)
	{
		appendBinaryStringInfo(&folded, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
		return put_tag(set, folded.data, folded.len);
	}
	space.data = folded.data;
	space.length = folded.len;
	return replace_namespace(set, &space, NULL);
}

/*
 * The value that a set has in a namespace, the first in bytewise order; false when it has none
 */
bool
tagset_find_value(const struct varlena *set, const char *namespace_text, int length, Tag *value)
{
	StringInfoData out;
	TagScan scan;
	Tag tag;
	Tag prefix;

	initStringInfo(&out);
	if (!tag_fold_quietly(namespace_text, length, &out) || memchr(out.data, ':', out.len) != NULL)
		return false;
	appendStringInfoChar(&out, ':');
	prefix.data = out.data;
	prefix.length = out.len;
	tag_scan_begin(&scan, set);
	while (tag_scan_next(&scan, &tag))
	{
		if (tag.length > prefix.length && tag_has_prefix(&tag, &prefix))
		{
			value->data = tag.data + prefix.length;
			value->length = tag.length - prefix.length;
			return true;
		}
	}
	return false;
}

/*
 * The value of a namespace, without the namespace
 */
PG_FUNCTION_INFO_V1(tag_value);
Datum
tag_value(PG_FUNCTION_ARGS)
{
	text *namespace = PG_GETARG_TEXT_PP(1);
	Tag value;

	if (!tagset_find_value(PG_GETARG_TAGSET_PP(0), VARDATA_ANY(namespace), VARSIZE_ANY_EXHDR(namespace), &value))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(value.data, value.length));
}
