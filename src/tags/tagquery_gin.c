/*
 * GIN over tagquery, for "which saved queries does this set match".
 *
 * A query is filed under keys one of which every matching set has: of a conjunction the member that seems rarest, of a
 * disjunction all members. A key is "=" and a tag, or "*" and the beginning of a prefix: its namespace with the colon,
 * or its first character, or nothing for "any tag"; a set then has few such keys. What even the empty set may match is
 * filed under "!". The index finds candidates, which the executor evaluates.
 */
#include "tags/tagquery.h"

#include "access/gin.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/* How many sets are thought to have a key, against one that has a given tag. */
#define COST_TAG 1
#define COST_NAMESPACE 20
#define COST_FIRST_CHARACTER 50
#define COST_ANY_TAG 1000
#define COST_EVERY_SET 1000000

/* Keys one of which every set that matches has. */
typedef struct Cover
{
	int64 cost;
	int bytes; /* of the tags: among equal costs the longer words are taken to be rarer */
	int count; /* nodes that the keys come from */
	int *nodes;
} Cover;

/*
 * How much of a prefix is in its key: the namespace with the colon, or the first character
 */
static int
prefix_key_length(const Tag *prefix)
{
	const char *colon = memchr(prefix->data, ':', prefix->length);

	if (colon != NULL)
		return colon + 1 - prefix->data;
	return prefix->length == 0 ? 0 : Min(pg_utf_mblen((const unsigned char *) prefix->data), prefix->length);
}

static Datum
marked_key(char mark, const char *data, int length)
{
	text *key = palloc(VARHDRSZ + 1 + length);

	SET_VARSIZE(key, VARHDRSZ + 1 + length);
	VARDATA(key)[0] = mark;
	memcpy(VARDATA(key) + 1, data, length);
	return PointerGetDatum(key);
}

/*
 * The best keys of the node at *at, or of its negation; leaves *at behind it
 */
static Cover
node_cover(const TagqueryNode *nodes, int *at, bool negated)
{
	int self = (*at)++;
	const TagqueryNode *node = &nodes[self];
	Cover best = {COST_EVERY_SET, 0, 0, NULL};

	check_stack_depth();
	switch (node->kind)
	{
		case QUERY_TAG:
		case QUERY_PREFIX:
			if (negated)
				return best;
			best.nodes = palloc(sizeof(int));
			best.nodes[0] = self;
			best.count = 1;
			best.bytes = node->tag.length;
			best.cost = COST_TAG;
			if (node->kind == QUERY_PREFIX)
				best.cost = node->tag.length == 0 ? COST_ANY_TAG
							: memchr(node->tag.data, ':', node->tag.length) != NULL ? COST_NAMESPACE
																					 : COST_FIRST_CHARACTER;
			return best;
		case QUERY_NOT:
			return node_cover(nodes, at, !negated);
		default:
			break;
	}
	if ((node->kind == QUERY_AND) != negated)
	{
		/* Every member must match: the best one is enough. */
		while (*at < node->next)
		{
			Cover member = node_cover(nodes, at, negated);

			if (member.cost < best.cost || (member.cost == best.cost && member.bytes > best.bytes))
				best = member;
		}
		return best;
	}
	best = node_cover(nodes, at, negated);
	while (*at < node->next)
	{
		Cover member = node_cover(nodes, at, negated);

		best.cost = Min(best.cost + member.cost, COST_EVERY_SET);
		if (best.cost == COST_EVERY_SET)
			continue;
		best.bytes = Min(best.bytes, member.bytes);
		best.nodes = repalloc(best.nodes, sizeof(int) * (best.count + member.count));
		memcpy(best.nodes + best.count, member.nodes, sizeof(int) * member.count);
		best.count += member.count;
	}
	return best;
}

/*
 * The keys of a saved query
 */
PG_FUNCTION_INFO_V1(gin_extract_tagquery);
Datum
gin_extract_tagquery(PG_FUNCTION_ARGS)
{
	int32 *key_count = (int32 *) PG_GETARG_POINTER(1);
	int node_count;
	int at = 0;
	TagqueryNode *nodes = tagquery_nodes(PG_GETARG_TAGQUERY_PP(0), &node_count);
	Cover cover = node_cover(nodes, &at, false);
	Datum *keys = palloc(sizeof(Datum) * (cover.count + 1));

	*key_count = 0;
	if (cover.cost >= COST_EVERY_SET)
		keys[(*key_count)++] = marked_key('!', "", 0);
	else
	{
		for (int i = 0; i < cover.count; i++)
		{
			const TagqueryNode *node = &nodes[cover.nodes[i]];

			keys[(*key_count)++] = node->kind == QUERY_TAG
									   ? marked_key('=', node->tag.data, node->tag.length)
									   : marked_key('*', node->tag.data, prefix_key_length(&node->tag));
		}
	}
	PG_RETURN_POINTER(keys);
}

/*
 * The keys that queries matched by a set may be filed under
 */
PG_FUNCTION_INFO_V1(gin_extract_tagquery_query);
Datum
gin_extract_tagquery_query(PG_FUNCTION_ARGS)
{
	int32 *key_count = (int32 *) PG_GETARG_POINTER(1);
	int count;
	Tag *tags = tagset_tags(PG_GETARG_TAGSET_PP(0), &count);
	Datum *keys = palloc(sizeof(Datum) * ((Size) count * 3 + 2));
	Tag space = {NULL, 0};
	Tag first = {NULL, 0};

	*key_count = 0;
	keys[(*key_count)++] = marked_key('!', "", 0);
	if (count > 0)
		keys[(*key_count)++] = marked_key('*', "", 0);
	for (int i = 0; i < count; i++)
	{
		int length = prefix_key_length(&tags[i]);
		int character = Min(pg_utf_mblen((const unsigned char *) tags[i].data), tags[i].length);

		keys[(*key_count)++] = marked_key('=', tags[i].data, tags[i].length);
		/* Tags that begin alike follow each other. */
		if (length != character && (space.data == NULL || !tag_has_prefix(&tags[i], &space)))
		{
			space.data = tags[i].data;
			space.length = length;
			keys[(*key_count)++] = marked_key('*', space.data, space.length);
		}
		if (first.data == NULL || !tag_has_prefix(&tags[i], &first))
		{
			first.data = tags[i].data;
			first.length = character;
			keys[(*key_count)++] = marked_key('*', first.data, first.length);
		}
	}
	PG_RETURN_POINTER(keys);
}

/*
 * May a saved query match? Each with one of the keys may, and must be evaluated
 */
PG_FUNCTION_INFO_V1(gin_tagquery_consistent);
Datum
gin_tagquery_consistent(PG_FUNCTION_ARGS)
{
	bool *check = (bool *) PG_GETARG_POINTER(0);
	int key_count = PG_GETARG_INT32(3);
	bool *recheck = (bool *) PG_GETARG_POINTER(5);

	*recheck = true;
	for (int i = 0; i < key_count; i++)
	{
		if (check[i])
			PG_RETURN_BOOL(true);
	}
	PG_RETURN_BOOL(false);
}

/*
 * The same when of some keys it is not known yet
 */
PG_FUNCTION_INFO_V1(gin_tagquery_triconsistent);
Datum
gin_tagquery_triconsistent(PG_FUNCTION_ARGS)
{
	GinTernaryValue *check = (GinTernaryValue *) PG_GETARG_POINTER(0);
	int key_count = PG_GETARG_INT32(3);

	for (int i = 0; i < key_count; i++)
	{
		if (check[i] != GIN_FALSE)
			PG_RETURN_GIN_TERNARY_VALUE(GIN_MAYBE);
	}
	PG_RETURN_GIN_TERNARY_VALUE(GIN_FALSE);
}
