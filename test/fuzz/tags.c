/*
 * libFuzzer harness for what reads tag sets and tag queries: tagset_in, tagset_recv, tagquery_in, tagquery_recv, chosen by
 * FUZZ_TARGET. The sources are those of the extension; server.h stands in for the server. What is accepted must be written and read back as the same, and must be canonical.
 */
#include "tags/tagquery.h"

#include "common/hashfn.h"

extern Datum tagset_recv(PG_FUNCTION_ARGS);
extern Datum tagset_send(PG_FUNCTION_ARGS);
extern Datum tagquery_recv(PG_FUNCTION_ARGS);

#define FUZZ_TEXT
#include "server.h"

/*
 * What a reader gave must be canonical and survive its own text
 */
static void
check_set(struct varlena *set)
{
	StringInfoData out;
	struct varlena *again;
	int count;
	Tag *tags;

	initStringInfo(&out);
	tagset_format(set, &out);
	again = tagset_parse(out.data, NULL);
	if (VARSIZE(again) != VARSIZE(set) || memcmp(again, set, VARSIZE(set)) != 0)
		abort();
	tags = tagset_tags(set, &count);
	for (int i = 0; i < count; i++)
	{
		if (tags[i].length < 1 || tags[i].length > TAG_MAX_BYTES || !tagset_has(set, &tags[i]) ||
			(i > 0 && tag_compare(&tags[i - 1], &tags[i]) >= 0))
			abort();
	}
}

static void
check_query(struct varlena *query)
{
	StringInfoData out;
	struct varlena *again;
	TagsetView view;
	int count;
	TagqueryNode *nodes;

	initStringInfo(&out);
	tagquery_format(query, &out);
	again = tagquery_parse(out.data, out.len, NULL);
	if (VARSIZE(again) != VARSIZE(query) || memcmp(again, query, VARSIZE(query)) != 0)
		abort();
	nodes = tagquery_nodes(query, &count);
	if (nodes[0].next != count)
		abort();
	tagset_view(&view, tagset_parse("{a,b,channel:jd,vip}", NULL));
	if (tagquery_matches(query, &view) != tagquery_bytes_match((uint8 *) VARDATA(query), VARSIZE(query) - VARHDRSZ, &view))
		abort();
}

static Datum
call(PGFunction function, Datum argument)
{
	LOCAL_FCINFO(info, 1);

	InitFunctionCallInfoData(*info, NULL, 1, InvalidOid, NULL, NULL);
	info->args[0].value = argument;
	info->args[0].isnull = false;
	return function(info);
}

/*
 * One input
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	volatile bool read = false;

	if (sigsetjmp(on_error, 0) == 0)
	{
		StringInfoData message;
		char *text = take_input(data, size, &message);

		if (strcmp(FUZZ_TARGET, "tagset_in") == 0 && is_text(text, size))
		{
			struct varlena *set = tagset_parse(text, NULL);

			read = true;
			check_set(set);
		}
		else if (strcmp(FUZZ_TARGET, "tagquery_in") == 0 && is_text(text, size))
		{
			struct varlena *query = tagquery_parse(text, size, NULL);

			read = true;
			check_query(query);
		}
		else if (strcmp(FUZZ_TARGET, "tagset_recv") == 0)
		{
			Datum set = call(tagset_recv, PointerGetDatum(&message));

			read = true;
			check_set((struct varlena *) DatumGetPointer(set));
		}
		else if (strcmp(FUZZ_TARGET, "tagquery_recv") == 0)
		{
			Datum query = call(tagquery_recv, PointerGetDatum(&message));

			read = true;
			check_query((struct varlena *) DatumGetPointer(query));
		}
	}
	else if (read)
		abort(); /* what was read cannot be written or read again */
	free_pieces();
	return 0;
}
