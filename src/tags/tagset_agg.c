/*
 * Aggregates over tag sets: their union and how often each tag occurs. Both count tags in one hash table.
 */
#include "tags/tagset.h"

#include "common/hashfn.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

typedef struct TagCount
{
	Tag tag;
	int64 count;
	uint32 hash;
	char status;
} TagCount;

static inline uint32
hash_of_tag(Tag tag)
{
	return hash_bytes((const unsigned char *) tag.data, tag.length);
}

#define SH_PREFIX tagtable
#define SH_ELEMENT_TYPE TagCount
#define SH_KEY_TYPE Tag
#define SH_KEY tag
#define SH_HASH_KEY(table, key) hash_of_tag(key)
#define SH_EQUAL(table, a, b) ((a).length == (b).length && memcmp((a).data, (b).data, (a).length) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(table, entry) ((entry)->hash)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/*
 * The context that the state lives in
 */
static MemoryContext
state_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called in non-aggregate context");
	return context;
}

/*
 * Add to the count of a tag, copying the tag when it is new
 */
static void
count_tag(tagtable_hash *table, const Tag *tag, int64 count)
{
	bool found;
	TagCount *entry = tagtable_insert(table, *tag, &found);

	if (!found)
	{
		char *copy = MemoryContextAlloc(table->ctx, tag->length);

		memcpy(copy, tag->data, tag->length);
		entry->tag.data = copy;
		entry->count = 0;
	}
	entry->count += count;
}

/*
 * Count the tags of one more set
 */
PG_FUNCTION_INFO_V1(tag_counts_transition);
Datum
tag_counts_transition(PG_FUNCTION_ARGS)
{
	MemoryContext context = state_context(fcinfo);
	tagtable_hash *table = PG_ARGISNULL(0) ? NULL : (tagtable_hash *) PG_GETARG_POINTER(0);
	TagScan scan;
	Tag tag;

	if (PG_ARGISNULL(1))
	{
		if (table == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(table);
	}
	if (table == NULL)
		table = tagtable_create(context, 64, NULL);
	tag_scan_begin(&scan, PG_GETARG_TAGSET_PP(1));
	while (tag_scan_next(&scan, &tag))
		count_tag(table, &tag, 1);
	PG_RETURN_POINTER(table);
}

/*
 * Add the counts of another worker
 */
PG_FUNCTION_INFO_V1(tag_counts_combine);
Datum
tag_counts_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = state_context(fcinfo);
	tagtable_hash *table = PG_ARGISNULL(0) ? NULL : (tagtable_hash *) PG_GETARG_POINTER(0);
	tagtable_hash *other = PG_ARGISNULL(1) ? NULL : (tagtable_hash *) PG_GETARG_POINTER(1);
	tagtable_iterator iterator;
	TagCount *entry;

	if (other != NULL)
	{
		if (table == NULL)
			table = tagtable_create(context, other->members, NULL);
		tagtable_start_iterate(other, &iterator);
		while ((entry = tagtable_iterate(other, &iterator)) != NULL)
			count_tag(table, &entry->tag, entry->count);
	}
	if (table == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(table);
}

/*
 * Write the counts for another process: number of tags, then for each its count, length and bytes
 */
PG_FUNCTION_INFO_V1(tag_counts_serialize);
Datum
tag_counts_serialize(PG_FUNCTION_ARGS)
{
	tagtable_hash *table = (tagtable_hash *) PG_GETARG_POINTER(0);
	tagtable_iterator iterator;
	TagCount *entry;
	StringInfoData buf;

	(void) state_context(fcinfo);
	pq_begintypsend(&buf);
	pq_sendint32(&buf, table->members);
	tagtable_start_iterate(table, &iterator);
	while ((entry = tagtable_iterate(table, &iterator)) != NULL)
	{
		pq_sendint64(&buf, entry->count);
		pq_sendint8(&buf, entry->tag.length);
		pq_sendbytes(&buf, entry->tag.data, entry->tag.length);
	}
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/*
 * Read the counts of another process
 */
PG_FUNCTION_INFO_V1(tag_counts_deserialize);
Datum
tag_counts_deserialize(PG_FUNCTION_ARGS)
{
	bytea *state = PG_GETARG_BYTEA_PP(0);
	tagtable_hash *table;
	StringInfoData buf;
	int count;

	(void) state_context(fcinfo);
	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, VARDATA_ANY(state), VARSIZE_ANY_EXHDR(state));
	count = pq_getmsgint(&buf, 4);
	table = tagtable_create(CurrentMemoryContext, Max(count, 64), NULL);
	for (int i = 0; i < count; i++)
	{
		int64 seen = pq_getmsgint64(&buf);
		Tag tag;

		tag.length = pq_getmsgbyte(&buf);
		tag.data = pq_getmsgbytes(&buf, tag.length);
		count_tag(table, &tag, seen);
	}
	pq_getmsgend(&buf);
	pfree(buf.data);
	PG_RETURN_POINTER(table);
}

/*
 * The counts as a JSON object, {"tag": count}
 */
PG_FUNCTION_INFO_V1(tag_counts_final);
Datum
tag_counts_final(PG_FUNCTION_ARGS)
{
	tagtable_hash *table = PG_ARGISNULL(0) ? NULL : (tagtable_hash *) PG_GETARG_POINTER(0);
	JsonbParseState *state = NULL;
	JsonbValue value;
	tagtable_iterator iterator;
	TagCount *entry;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (table != NULL)
	{
		tagtable_start_iterate(table, &iterator);
		while ((entry = tagtable_iterate(table, &iterator)) != NULL)
		{
			CHECK_FOR_INTERRUPTS();
			value.type = jbvString;
			value.val.string.val = (char *) entry->tag.data;
			value.val.string.len = entry->tag.length;
			pushJsonbValue(&state, WJB_KEY, &value);
			value.type = jbvNumeric;
			value.val.numeric = int64_to_numeric(entry->count);
			pushJsonbValue(&state, WJB_VALUE, &value);
		}
	}
	PG_RETURN_POINTER(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/*
 * The tags that were counted, as a set; NULL when no set came by
 */
PG_FUNCTION_INFO_V1(tagset_union_final);
Datum
tagset_union_final(PG_FUNCTION_ARGS)
{
	tagtable_hash *table = PG_ARGISNULL(0) ? NULL : (tagtable_hash *) PG_GETARG_POINTER(0);
	tagtable_iterator iterator;
	TagCount *entry;
	Tag *tags;
	int count = 0;

	if (table == NULL)
		PG_RETURN_NULL();
	tags = palloc(sizeof(Tag) * ((Size) table->members + 1));
	tagtable_start_iterate(table, &iterator);
	while ((entry = tagtable_iterate(table, &iterator)) != NULL)
		tags[count++] = entry->tag;
	PG_RETURN_POINTER(tagset_from_tags(tags, count));
}
