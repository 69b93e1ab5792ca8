/*
 * GIN over tagquery, for "which saved queries does this set match".
 *
 * A query is filed under keys one of which every matching set has: of a conjunction the member that seems rarest, of a
 * disjunction all members. A key is "=" and a tag, or "*" and the namespace, with its colon, of a prefix in a namespace.
 * All others are filed under "!": what even the empty set may match, and prefixes that may span namespaces. Behind a
 * zero byte follows the query itself, so that the index evaluates it: no row of a query that does not match is read. A
 * query too long for that is filed under "!" without itself. As every search looks at "!", that is no key more to look
 * for; what is found under it alone, the executor evaluates again.
 */
#include "tags/tagquery.h"

#include "access/gin.h"
#include "miscadmin.h"

/* How many sets are thought to have a key, against one that has a given tag. */
#define COST_TAG 1
#define COST_NAMESPACE 20
#define COST_EVERY_SET 1000000

/* The longest query that is put into a key; an index row has about 2,700 bytes at most. */
#define KEY_MAX_QUERY 2300

/* Keys one of which every set that matches has. */
typedef struct Cover
{
	int64 cost;
	int bytes; /* of the tags: among equal costs the longer words are taken to be rarer */
	int count; /* nodes that the keys come from */
	int *nodes;
} Cover;

/*
 * Length of a tag's or prefix's namespace with its colon; 0 when it has none
 */
static int
namespace_length(const Tag *tag)
{
	const char *colon = memchr(tag->data, ':', tag->length);

	return colon == NULL ? 0 : colon + 1 - tag->data;
}

/*
 * A key: a mark, bytes of a tag, a zero byte, the query if there is one
 */
static Datum
marked_key(char mark, const char *data, int length, const struct varlena *query)
{
	int extra = query == NULL ? 0 : VARSIZE_ANY_EXHDR(query);
	bytea *key = palloc(VARHDRSZ + 2 + length + extra);
	SET_VARSIZE(key, VARHDRSZ + 2 + length + extra);
	VARDATA(key)[0] = mark;
	memcpy(VARDATA(key) + 1, data, length);
	VARDATA(key)[1 + length] = '\0';
	if (extra > 0)
		memcpy(VARDATA(key) + 2 + length, VARDATA_ANY(query), extra);
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
			if (negated || (node->kind == QUERY_PREFIX && namespace_length(&node->tag) == 0))
				return best;
			best.nodes = palloc(sizeof(int));
			best.nodes[0] = self;
			best.count = 1;
			best.bytes = node->tag.length;
			best.cost = node->kind == QUERY_TAG ? COST_TAG : COST_NAMESPACE;
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
		if (best.cost == COST_EVERY_SET || member.nodes == NULL)
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
	struct varlena *query = PG_GETARG_TAGQUERY_PP(0);
	int node_count;
	int at = 0;
	TagqueryNode *nodes = tagquery_nodes(query, &node_count);
	Cover cover = node_cover(nodes, &at, false);
	Datum *keys = palloc(sizeof(Datum) * (cover.count + 1));

	*key_count = 0;
	if (VARSIZE_ANY_EXHDR(query) > KEY_MAX_QUERY)
		keys[(*key_count)++] = marked_key('!', "", 0, NULL);
	else if (cover.cost >= COST_EVERY_SET)
		keys[(*key_count)++] = marked_key('!', "", 0, query);
	else
	{
		for (int i = 0; i < cover.count; i++)
		{
			const TagqueryNode *node = &nodes[cover.nodes[i]];

			keys[(*key_count)++] = node->kind == QUERY_TAG
									   ? marked_key('=', node->tag.data, node->tag.length, query)
									   : marked_key('*', node->tag.data, namespace_length(&node->tag), query);
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
	bool **partial = (bool **) PG_GETARG_POINTER(3);
	Pointer **extra = (Pointer **) PG_GETARG_POINTER(4);
	struct varlena *set = PG_GETARG_TAGSET_PP(0);
	Tag *tags = tagset_tags(set, &count);
	Datum *keys = palloc(sizeof(Datum) * ((Size) count * 2 + 1));
	TagsetView *view = palloc(sizeof(TagsetView));
	Tag space = {NULL, 0};

	/* First, where the consistent functions expect it. */
	*key_count = 0;
	keys[(*key_count)++] = marked_key('!', "", 0, NULL);
	for (int i = 0; i < count; i++)
	{
		int length = namespace_length(&tags[i]);

		keys[(*key_count)++] = marked_key('=', tags[i].data, tags[i].length, NULL);
		/* Tags of one namespace follow each other. */
		if (length > 0 && (space.data == NULL || !tag_has_prefix(&tags[i], &space)))
		{
			space.data = tags[i].data;
			space.length = length;
			keys[(*key_count)++] = marked_key('*', space.data, space.length, NULL);
		}
	}
	view->set = set;
	view->tags = tags;
	view->count = count;
	*partial = palloc(sizeof(bool) * *key_count);
	*extra = palloc(sizeof(Pointer) * *key_count);
	for (int i = 0; i < *key_count; i++)
	{
		(*partial)[i] = true;
		(*extra)[i] = (Pointer) view;
	}
	PG_RETURN_POINTER(keys);
}

/*
 * Does a key begin as wanted, and does its query match? 0 yes, -1 look further, 1 no later key will
 */
PG_FUNCTION_INFO_V1(gin_tagquery_prefix);
Datum
gin_tagquery_prefix(PG_FUNCTION_ARGS)
{
	bytea *prefix = PG_GETARG_BYTEA_PP(0);
	bytea *key = PG_GETARG_BYTEA_PP(1);
	const TagsetView *view = (const TagsetView *) PG_GETARG_POINTER(3);
	int length = VARSIZE_ANY_EXHDR(prefix);
	int rest = (int) VARSIZE_ANY_EXHDR(key) - length;
	int result = 0;

	if (rest < 0 || memcmp(VARDATA_ANY(prefix), VARDATA_ANY(key), length) != 0)
		result = 1;
	else if (rest > 0 && !tagquery_bytes_match((const uint8 *) VARDATA_ANY(key) + length, rest, view))
		result = -1;
	PG_FREE_IF_COPY(key, 1);
	PG_RETURN_INT32(result);
}

/*
 * Does a saved query match? It does with any key but the first, under which are also those not evaluated yet
 */
static GinTernaryValue
query_value(const GinTernaryValue *check, int key_count)
{
	GinTernaryValue result = check[0] == GIN_FALSE ? GIN_FALSE : GIN_MAYBE;

	for (int i = 1; i < key_count; i++)
	{
		if (check[i] == GIN_TRUE)
			return GIN_TRUE;
		if (check[i] == GIN_MAYBE)
			result = GIN_MAYBE;
	}
	return result;
}

PG_FUNCTION_INFO_V1(gin_tagquery_consistent);
Datum
gin_tagquery_consistent(PG_FUNCTION_ARGS)
{
	bool *recheck = (bool *) PG_GETARG_POINTER(5);
	/* false and true are GIN_FALSE and GIN_TRUE. */
	GinTernaryValue result = query_value((GinTernaryValue *) PG_GETARG_POINTER(0), PG_GETARG_INT32(3));

	*recheck = result == GIN_MAYBE;
	PG_RETURN_BOOL(result != GIN_FALSE);
}

/*
 * The same when of some keys it is not known yet
 */
PG_FUNCTION_INFO_V1(gin_tagquery_triconsistent);
Datum
gin_tagquery_triconsistent(PG_FUNCTION_ARGS)
{
	PG_RETURN_GIN_TERNARY_VALUE(query_value((GinTernaryValue *) PG_GETARG_POINTER(0), PG_GETARG_INT32(3)));
}
