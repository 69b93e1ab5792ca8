/*
 * Folding of one tag, making of sets, their text form. Needs little of the server, so that test/fuzz can run it alone.
 */
#include "tags/tagset.h"

#include "base/unicode.h"
#include "utils/memutils.h"

/*
 * Report stored bytes that are no set
 */
void
tag_scan_corrupt(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("a stored tagset is damaged"),
			 errhint("Restore the row from a backup, or write it again from its source.")));
}

/*
 * Length of what an error message shows of a tag: whole characters only
 */
static int
shown_length(const char *text, int length)
{
	if (length <= 100)
		return length;
	length = 100;
	while (length > 0 && (text[length] & 0xC0) == 0x80)
		length--;
	return length;
}

/*
 * Append the canonical form of one tag to out; what is no tag is an error naming it
 */
bool
tag_fold(const char *text, int length, StringInfo out, struct Node *escontext)
{
	int start = out->len;
	int shown = shown_length(text, length);
	UnicodeFoldResult result = UNICODE_FOLD_OK;
	const char *detail = NULL;

	if (length <= TAG_MAX_INPUT_BYTES)
		result = unicode_fold(text, length, out);
	if (length > TAG_MAX_INPUT_BYTES || (result == UNICODE_FOLD_OK && out->len - start > TAG_MAX_BYTES))
	{
		int folded = out->len - start;

		crm_ereturn(escontext,
					false,
					(errcode(ERRCODE_CRM_TAG_TOO_LONG),
					 errmsg("tag is too long: \"%.*s...\"", shown, text),
					 errdetail("It has %d bytes; a tag has at most %d.", folded > 0 ? folded : length, TAG_MAX_BYTES)));
	}
	switch (result)
	{
		case UNICODE_FOLD_OK:
			return true;
		case UNICODE_FOLD_EMPTY:
			detail = "Nothing is left of it after case folding and trimming.";
			break;
		case UNICODE_FOLD_CONTROL:
			detail = "It has a control character.";
			break;
		case UNICODE_FOLD_UNASSIGNED:
			detail = "It has a code point that the running ICU does not know.";
			break;
	}
	crm_ereturn(escontext,
				false,
				(errcode(ERRCODE_CRM_INVALID_TAG),
				 errmsg("invalid tag: \"%.*s\"", shown, text),
				 errdetail_internal("%s", detail)));
}

/*
 * As tag_fold, but only answers whether the text is a tag: for operators, which never raise
 */
bool
tag_fold_quietly(const char *text, int length, StringInfo out)
{
	int start = out->len;

	return length <= TAG_MAX_INPUT_BYTES && unicode_fold(text, length, out) == UNICODE_FOLD_OK &&
		   out->len - start <= TAG_MAX_BYTES;
}

/*
 * tag_compare for qsort
 */
int
tag_order(const void *a, const void *b)
{
	return tag_compare((const Tag *) a, (const Tag *) b);
}

/*
 * Is a tag in a set?
 */
bool
tagset_has(const struct varlena *set, const Tag *tag)
{
	TagScan scan;
	Tag other;

	tag_scan_begin(&scan, set);
	while (tag_scan_next(&scan, &other))
	{
		int order = tag_compare(&other, tag);

		if (order >= 0)
			return order == 0;
	}
	return false;
}

/*
 * The tags of a set as an array, pointing into the set
 */
Tag *
tagset_tags(const struct varlena *set, int *count)
{
	TagScan scan;
	Tag *tags;

	tag_scan_begin(&scan, set);
	/* Every tag takes two bytes or more, so a damaged count cannot make us allocate without bound. */
	if (scan.left > (scan.end - scan.at) / 2)
		tag_scan_corrupt();
	*count = 0;
	tags = palloc(sizeof(Tag) * Max(scan.left, 1));
	while (tag_scan_next(&scan, &tags[*count]))
		(*count)++;
	return tags;
}

/*
 * The set of tags that are sorted and unique
 */
struct varlena *
tagset_from_sorted(const Tag *tags, int count)
{
	Size size = VARHDRSZ + 1 + 3 + count;
	struct varlena *set;
	uint8 *at;

	for (int i = 0; i < count; i++)
		size += tags[i].length;
	if (count > TAGSET_MAX_TAGS || size > MaxAllocSize)
		ereport(ERROR,
				(errcode(ERRCODE_CRM_TAGSET_TOO_LARGE),
				 errmsg("tagset is too large"),
				 errdetail("It has %d tags in %zu bytes; a set has at most %d tags.", count, size, TAGSET_MAX_TAGS)));
	set = palloc(size);
	at = (uint8 *) VARDATA(set);
	*at++ = TAGSET_VERSION;
	for (uint32 rest = count;;)
	{
		*at++ = (rest & 0x7F) | (rest > 0x7F ? 0x80 : 0);
		rest >>= 7;
		if (rest == 0)
			break;
	}
	for (int i = 0; i < count; i++)
	{
		*at++ = (uint8) tags[i].length;
		memcpy(at, tags[i].data, tags[i].length);
		at += tags[i].length;
	}
	SET_VARSIZE(set, (char *) at - (char *) set);
	return set;
}

/*
 * The set of tags in any order, perhaps twice; sorts the array in place
 */
struct varlena *
tagset_from_tags(Tag *tags, int count)
{
	int unique = 0;

	if (count > 1)
		qsort(tags, count, sizeof(Tag), tag_order);
	for (int i = 0; i < count; i++)
	{
		if (unique == 0 || tag_compare(&tags[unique - 1], &tags[i]) != 0)
			tags[unique++] = tags[i];
	}
	return tagset_from_sorted(tags, unique);
}

void
tagset_builder_init(TagsetBuilder *builder)
{
	initStringInfo(&builder->bytes);
	builder->capacity = 16;
	builder->starts = palloc(sizeof(int) * builder->capacity);
	builder->count = 0;
}

/*
 * Fold a text and add it to the set being made
 */
bool
tagset_builder_add(TagsetBuilder *builder, const char *text, int length, struct Node *escontext)
{
	if (builder->count == TAGSET_MAX_TAGS)
		crm_ereturn(escontext,
					false,
					(errcode(ERRCODE_CRM_TAGSET_TOO_LARGE),
					 errmsg("tagset is too large"),
					 errdetail("A set has at most %d tags.", TAGSET_MAX_TAGS)));
	if (builder->count + 1 >= builder->capacity)
	{
		builder->capacity *= 2;
		builder->starts = repalloc(builder->starts, sizeof(int) * builder->capacity);
	}
	builder->starts[builder->count] = builder->bytes.len;
	if (!tag_fold(text, length, &builder->bytes, escontext))
		return false;
	builder->count++;
	builder->starts[builder->count] = builder->bytes.len;
	return true;
}

struct varlena *
tagset_builder_finish(TagsetBuilder *builder)
{
	Tag *tags = palloc(sizeof(Tag) * Max(builder->count, 1));
	struct varlena *set;

	for (int i = 0; i < builder->count; i++)
	{
		tags[i].data = builder->bytes.data + builder->starts[i];
		tags[i].length = builder->starts[i + 1] - builder->starts[i];
	}
	set = tagset_from_tags(tags, builder->count);
	pfree(tags);
	pfree(builder->starts);
	pfree(builder->bytes.data);
	return set;
}

/* White space that the text form of arrays knows. */
#define is_space(c) ((c) == ' ' || ((c) >= '\t' && (c) <= '\r'))

/*
 * Read one element of the text form, up to the comma or brace behind it
 */
static const char *
read_element(const char *at, StringInfo element, bool *quoted)
{
	int used = 0;

	resetStringInfo(element);
	*quoted = false;
	while (is_space(*at))
		at++;
	if (*at == '"')
	{
		*quoted = true;
		for (at++; *at != '"'; at++)
		{
			if (*at == '\\')
				at++;
			if (*at == '\0')
				return NULL;
			appendStringInfoCharMacro(element, *at);
		}
		for (at++; is_space(*at); at++)
			;
		return *at == ',' || *at == '}' ? at : NULL;
	}
	for (; *at != ',' && *at != '}'; at++)
	{
		bool escaped = *at == '\\';

		if (escaped)
			at++;
		if (*at == '\0' || (!escaped && (*at == '{' || *at == '"')))
			return NULL;
		appendStringInfoCharMacro(element, *at);
		if (escaped || !is_space(*at))
			used = element->len;
		/* An escaped word is never NULL. */
		*quoted |= escaped;
	}
	element->len = used;
	element->data[used] = '\0';
	return used > 0 ? at : NULL;
}

/*
 * A set from its text form, that of a one-dimensional array
 */
struct varlena *
tagset_parse(const char *text, struct Node *escontext)
{
	TagsetBuilder builder;
	StringInfoData element;
	const char *at = text;
	const char *detail = "It must begin with \"{\".";
	bool quoted;

	tagset_builder_init(&builder);
	initStringInfo(&element);
	while (is_space(*at))
		at++;
	if (*at != '{')
		goto malformed;
	for (at++; is_space(*at); at++)
		;
	if (*at == '}')
		at++;
	else
	{
		detail = "Tags stand between commas and braces; a tag with one of {}\",\\ is quoted.";
		for (;;)
		{
			at = read_element(at, &element, &quoted);
			if (at == NULL)
				goto malformed;
			if (!quoted && pg_strcasecmp(element.data, "null") == 0)
				crm_ereturn(escontext,
							NULL,
							(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							 errmsg("a tag cannot be null"),
							 errhint("For a tag of that name write \"null\" in double quotes.")));
			if (!tagset_builder_add(&builder, element.data, element.len, escontext))
				return NULL;
			if (*at++ == '}')
				break;
		}
	}
	while (is_space(*at))
		at++;
	detail = "There is something behind the closing brace.";
	if (*at == '\0')
		return tagset_builder_finish(&builder);
malformed:
	crm_ereturn(escontext,
				NULL,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("malformed tagset literal: \"%.*s\"", shown_length(text, strlen(text)), text),
				 errdetail_internal("%s", detail),
				 errhint("A tagset is written like an array: {vip,\"a, b\",channel:tmall}.")));
}

/*
 * Must a tag be quoted in the text form?
 */
static bool
needs_quotes(const Tag *tag)
{
	if (tag->length == 4 && pg_strncasecmp(tag->data, "null", 4) == 0)
		return true;
	for (int i = 0; i < tag->length; i++)
	{
		char c = tag->data[i];

		if (c == '"' || c == '\\' || c == '{' || c == '}' || c == ',' || is_space(c))
			return true;
	}
	return false;
}

/*
 * Append the text form of a set to out
 */
void
tagset_format(const struct varlena *set, StringInfo out)
{
	TagScan scan;
	Tag tag;
	bool first = true;

	appendStringInfoChar(out, '{');
	tag_scan_begin(&scan, set);
	while (tag_scan_next(&scan, &tag))
	{
		if (!first)
			appendStringInfoChar(out, ',');
		first = false;
		if (!needs_quotes(&tag))
		{
			appendBinaryStringInfo(out, tag.data, tag.length);
			continue;
		}
		appendStringInfoChar(out, '"');
		for (int i = 0; i < tag.length; i++)
		{
			if (tag.data[i] == '"' || tag.data[i] == '\\')
				appendStringInfoChar(out, '\\');
			appendStringInfoChar(out, tag.data[i]);
		}
		appendStringInfoChar(out, '"');
	}
	appendStringInfoChar(out, '}');
}
