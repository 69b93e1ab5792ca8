/*
 * Tag queries on bitmaps: an aggregate gathers the audience of each tag and evaluates the query on them.
 */
#include "tags/audience.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "tags/tagquery.h"
#include "utils/array.h"
#include "utils/builtins.h"

/* What is known of a tag: the exclusive or of all rows that came for it. */
typedef struct MatchTag
{
	Tag tag;
	Audience *first;
	AudienceSet *more; /* NULL while there was one row */
} MatchTag;

typedef struct MatchState
{
	MemoryContext context;
	struct varlena *query;
	int n;
	int allocated;
	MatchTag *tags;
} MatchState;

/* A set, or all customers but a set: so everybody is needed only when a query asks for the rest. */
typedef struct Matched
{
	Audience *set;
	bool rest;
} Matched;

/*
 * The empty audience
 */
static Audience *
nobody(void)
{
	AudienceWriter w;

	audience_begin(&w, 0, 0);
	return audience_end(&w);
}

/*
 * The entry of a tag; made when wanted
 */
static MatchTag *
find_tag(MatchState *state, const Tag *tag, bool make)
{
	MatchTag *entry;

	for (int i = 0; i < state->n; i++)
		if (state->tags[i].tag.length == tag->length && memcmp(state->tags[i].tag.data, tag->data, tag->length) == 0)
			return &state->tags[i];
	if (!make)
		return NULL;
	if (state->n == state->allocated)
	{
		state->allocated = state->allocated == 0 ? 8 : state->allocated * 2;
		state->tags = state->tags == NULL
						  ? MemoryContextAlloc(state->context, sizeof(MatchTag) * state->allocated)
						  : repalloc(state->tags, sizeof(MatchTag) * state->allocated);
	}
	entry = &state->tags[state->n++];
	entry->tag.data = memcpy(MemoryContextAlloc(state->context, tag->length + 1), tag->data, tag->length);
	entry->tag.length = tag->length;
	entry->first = NULL;
	entry->more = NULL;
	return entry;
}

/*
 * Copy the argument into a context
 */
static void *
copy_datum(MemoryContext context, Datum datum)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	void *copy = PG_DETOAST_DATUM_COPY(datum);

	MemoryContextSwitchTo(old);
	return copy;
}

/*
 * Gather a row: query, tag, members (or members that changed sides); the empty tag stands for all customers
 */
PG_FUNCTION_INFO_V1(audience_match_add);
Datum
audience_match_add(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	MatchState *state = PG_ARGISNULL(0) ? NULL : (MatchState *) PG_GETARG_POINTER(0);
	MatchTag *entry;
	text *name;
	Tag tag;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called outside an aggregate");
	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("the query of audience_match must not be null")));
	if (state == NULL)
	{
		state = MemoryContextAllocZero(context, sizeof(MatchState));
		state->context = context;
		state->query = copy_datum(context, PG_GETARG_DATUM(1));
	}
	if (PG_ARGISNULL(2) || PG_ARGISNULL(3))
		PG_RETURN_POINTER(state);
	name = PG_GETARG_TEXT_PP(2);
	tag.data = VARDATA_ANY(name);
	tag.length = (int) VARSIZE_ANY_EXHDR(name);
	entry = find_tag(state, &tag, true);
	if (entry->first == NULL)
		entry->first = copy_datum(context, PG_GETARG_DATUM(3));
	else
	{
		Audience *value = PG_GETARG_AUDIENCE(3);

		if (entry->more == NULL)
			entry->more = audience_set_create(context);
		audience_set_combine(entry->more, AUDIENCE_XOR, value);
		PG_FREE_IF_COPY(value, 3);
	}
	PG_RETURN_POINTER(state);
}

/*
 * The audience of an entry
 */
static Audience *
entry_value(MatchTag *entry)
{
	if (entry == NULL)
		return nobody();
	if (entry->more != NULL)
	{
		/* Done in place: the final function may be called again, and must find the same. */
		entry->first = audience_combine(AUDIENCE_XOR, entry->first, audience_set_value(entry->more));
		audience_set_free(entry->more);
		entry->more = NULL;
	}
	return entry->first;
}

/*
 * Customers of both
 */
static Matched
match_and(Matched a, Matched b)
{
	Matched result;

	result.rest = a.rest && b.rest;
	if (a.rest && b.rest)
		result.set = audience_combine(AUDIENCE_OR, a.set, b.set);
	else if (a.rest)
		result.set = audience_combine(AUDIENCE_MINUS, b.set, a.set);
	else
		result.set = audience_combine(b.rest ? AUDIENCE_MINUS : AUDIENCE_AND, a.set, b.set);
	return result;
}

/*
 * Evaluate the node at index i
 */
static Matched
evaluate(MatchState *state, const TagqueryNode *nodes, int i)
{
	const TagqueryNode *node = &nodes[i];
	Matched result = {NULL, false};
	bool flip = node->kind == QUERY_OR;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	switch (node->kind)
	{
		case QUERY_TAG:
			result.set = entry_value(find_tag(state, &node->tag, false));
			break;
		case QUERY_PREFIX:
			result.set = nobody();
			for (int k = 0; k < state->n; k++)
				if (state->tags[k].tag.length > 0 && tag_has_prefix(&state->tags[k].tag, &node->tag))
					result.set = audience_combine(AUDIENCE_OR, result.set, entry_value(&state->tags[k]));
			break;
		case QUERY_NOT:
			result = evaluate(state, nodes, i + 1);
			result.rest = !result.rest;
			break;
		case QUERY_AND:
		case QUERY_OR:
			/* a | b is !(!a & !b). */
			for (int member = i + 1; member < node->next; member = nodes[member].next)
			{
				Matched next = evaluate(state, nodes, member);

				next.rest ^= flip;
				result = result.set == NULL ? next : match_and(result, next);
			}
			result.rest ^= flip;
			break;
	}
	return result;
}

/*
 * What the query makes of the rows gathered
 */
static Matched
match_all(MatchState *state)
{
	MemoryContext old = MemoryContextSwitchTo(state->context);
	int count;
	TagqueryNode *nodes = tagquery_nodes(state->query, &count);
	Matched result = evaluate(state, nodes, 0);

	MemoryContextSwitchTo(old);
	return result;
}

/*
 * All customers, as the rows of the empty tag say
 */
static Audience *
everybody(MatchState *state)
{
	Tag none = {"", 0};
	MemoryContext old = MemoryContextSwitchTo(state->context);
	Audience *all = entry_value(find_tag(state, &none, false));

	MemoryContextSwitchTo(old);
	return all;
}

/*
 * audience_match: who matches
 */
PG_FUNCTION_INFO_V1(audience_match_final);
Datum
audience_match_final(PG_FUNCTION_ARGS)
{
	MatchState *state = PG_ARGISNULL(0) ? NULL : (MatchState *) PG_GETARG_POINTER(0);
	Matched matched;

	if (!AggCheckCallContext(fcinfo, NULL))
		elog(ERROR, "aggregate function called outside an aggregate");
	if (state == NULL)
		PG_RETURN_NULL();
	matched = match_all(state);
	if (!matched.rest)
		PG_RETURN_AUDIENCE(matched.set);
	PG_RETURN_AUDIENCE(audience_combine(AUDIENCE_MINUS, everybody(state), matched.set));
}

/*
 * count_match: how many match
 */
PG_FUNCTION_INFO_V1(count_match_final);
Datum
count_match_final(PG_FUNCTION_ARGS)
{
	MatchState *state = PG_ARGISNULL(0) ? NULL : (MatchState *) PG_GETARG_POINTER(0);
	Matched matched;
	Audience *all;

	if (!AggCheckCallContext(fcinfo, NULL))
		elog(ERROR, "aggregate function called outside an aggregate");
	if (state == NULL)
		PG_RETURN_INT64(0);
	matched = match_all(state);
	if (!matched.rest)
		PG_RETURN_INT64(audience_count(matched.set));
	all = everybody(state);
	PG_RETURN_INT64(audience_count(all) - audience_common(all, matched.set));
}

/*
 * Array of the tags of the nodes of a kind
 */
static Datum
node_tags(struct varlena *query, TagqueryKind kind)
{
	int count;
	TagqueryNode *nodes = tagquery_nodes(query, &count);
	Datum *tags = palloc(sizeof(Datum) * count);
	int n = 0;

	for (int i = 0; i < count; i++)
		if (nodes[i].kind == kind)
			tags[n++] = PointerGetDatum(cstring_to_text_with_len(nodes[i].tag.data, nodes[i].tag.length));
	return PointerGetDatum(construct_array(tags, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * The tags that a query names in full
 */
PG_FUNCTION_INFO_V1(tagquery_tags);
Datum
tagquery_tags(PG_FUNCTION_ARGS)
{
	return node_tags(PG_GETARG_TAGQUERY_PP(0), QUERY_TAG);
}

/*
 * The prefixes that a query asks for
 */
PG_FUNCTION_INFO_V1(tagquery_prefixes);
Datum
tagquery_prefixes(PG_FUNCTION_ARGS)
{
	return node_tags(PG_GETARG_TAGQUERY_PP(0), QUERY_PREFIX);
}
