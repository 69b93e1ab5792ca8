/*
 * GIN over tagset. A row's keys are its tags and one key more that tells how many there are (a control character and
 * the number; no tag has a control character). The number makes = and <@ exact in the index: a row is contained in n
 * tags when as many of the n are present as it has, and only rows with at most n tags are looked at.
 */
#include "tags/tagquery.h"

#include "access/gin.h"
#include "access/stratnum.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/* Rows with this many tags or more share one number key. */
#define COUNT_KEY_MAX 255
#define COUNT_KEY_MARK '\x01'

#define TAGSET_OVERLAPS 1
#define TAGSET_CONTAINS 2
#define TAGSET_CONTAINED 3
#define TAGSET_EQUAL 4
#define TAGSET_HAS_TAG 9
#define TAGSET_HAS_ANY 10
#define TAGSET_HAS_ALL 11
#define TAGSET_MATCHES 20

/* What the consistent functions know about a query; stands in extra_data[0]. */
typedef struct GinQuery
{
	int count_keys;		 /* keys before the tags that stand for numbers of tags: 0, 1, 2 … for <@, one for = */
	int tag_keys;		 /* keys behind them that stand for tags */
	TagqueryNode *nodes; /* of @@ */
	/* Of @@ when it is a conjunction of tags, prefixes and their negations, which needs no walk over nodes: for each key
	 * what it is when the query does not match, GIN_TRUE for a negated one. NULL otherwise. */
	GinTernaryValue *failing;
} GinQuery;

/*
 * A key of the index
 */
static Datum
tag_key(const Tag *tag)
{
	return PointerGetDatum(cstring_to_text_with_len(tag->data, tag->length));
}

static Datum
count_key(int count)
{
	char text[16];

	return PointerGetDatum(cstring_to_text_with_len(
		text, snprintf(text, sizeof(text), "%c%d", COUNT_KEY_MARK, Min(count, COUNT_KEY_MAX))));
}

/*
 * Bytewise order of two keys, whatever the collation
 */
PG_FUNCTION_INFO_V1(gin_tag_compare);
Datum
gin_tag_compare(PG_FUNCTION_ARGS)
{
	text *a = PG_GETARG_TEXT_PP(0);
	text *b = PG_GETARG_TEXT_PP(1);
	Tag a_tag = {VARDATA_ANY(a), VARSIZE_ANY_EXHDR(a)};
	Tag b_tag = {VARDATA_ANY(b), VARSIZE_ANY_EXHDR(b)};

	PG_RETURN_INT32(tag_compare(&a_tag, &b_tag));
}

/*
 * The keys of a row
 */
PG_FUNCTION_INFO_V1(gin_extract_tagset);
Datum
gin_extract_tagset(PG_FUNCTION_ARGS)
{
	struct varlena *set = PG_GETARG_TAGSET_PP(0);
	int32 *key_count = (int32 *) PG_GETARG_POINTER(1);
	TagScan scan;
	Tag tag;
	Datum *keys;
	char *space;
	int count = 0;

	tag_scan_begin(&scan, set);
	keys = palloc(sizeof(Datum) * (scan.left + 1));
	/* One piece of memory for all keys: short varlenas need no alignment, longer ones at most three bytes of it. */
	space = palloc((Size) (scan.end - scan.at) + (Size) scan.left * (VARHDRSZ + 3) + 1);
	/* Sorted already, which spares GIN its sort: the mark is less than any byte of a tag. */
	keys[count++] = count_key(scan.left);
	while (tag_scan_next(&scan, &tag))
	{
		if (tag.length + VARHDRSZ_SHORT <= VARATT_SHORT_MAX)
		{
			SET_VARSIZE_SHORT(space, tag.length + VARHDRSZ_SHORT);
			memcpy(space + VARHDRSZ_SHORT, tag.data, tag.length);
			keys[count++] = PointerGetDatum(space);
			space += tag.length + VARHDRSZ_SHORT;
		}
		else
		{
			space = (char *) INTALIGN(space);
			SET_VARSIZE(space, tag.length + VARHDRSZ);
			memcpy(VARDATA(space), tag.data, tag.length);
			keys[count++] = PointerGetDatum(space);
			space += tag.length + VARHDRSZ;
		}
	}
	*key_count = count;
	PG_RETURN_POINTER(keys);
}

/* A tag or prefix of a query and the node it stands in, for giving equal ones one key. */
typedef struct QueryTerm
{
	Tag tag;
	bool prefix;
	int node;
} QueryTerm;

static int
term_order(const void *a, const void *b)
{
	const QueryTerm *x = a;
	const QueryTerm *y = b;

	return x->prefix != y->prefix ? (int) x->prefix - (int) y->prefix : tag_compare(&x->tag, &y->tag);
}

/*
 * Can a node match, going by the keys? Leaves *at behind the node
 */
static GinTernaryValue
node_value(const TagqueryNode *nodes, int *at, const GinTernaryValue *check)
{
	const TagqueryNode *node = &nodes[(*at)++];
	GinTernaryValue result;

	switch (node->kind)
	{
		case QUERY_TAG:
			return check[node->key];
		case QUERY_PREFIX:
			/* "Any tag" has the key of the empty set, so it is the opposite of it. */
			if (node->tag.length > 0 || check[node->key] == GIN_MAYBE)
				return check[node->key];
			return !check[node->key];
		case QUERY_NOT:
			check_stack_depth();
			result = node_value(nodes, at, check);
			return result == GIN_MAYBE ? GIN_MAYBE : !result;
		default:
			check_stack_depth();
			result = node->kind == QUERY_AND ? GIN_TRUE : GIN_FALSE;
			while (*at < node->next)
			{
				GinTernaryValue member = node_value(nodes, at, check);

				if (member == (node->kind == QUERY_AND ? GIN_FALSE : GIN_TRUE))
				{
					*at = node->next;
					return member;
				}
				if (member == GIN_MAYBE)
					result = GIN_MAYBE;
			}
			return result;
	}
}

/*
 * For GinQuery.failing; NULL when the query is another
 */
static GinTernaryValue *
failing_values(const TagqueryNode *nodes, int key_count)
{
	GinTernaryValue *failing = palloc(sizeof(GinTernaryValue) * key_count);
	bool *used = palloc0(sizeof(bool) * key_count);

	if (nodes[0].kind != QUERY_AND)
		return NULL;
	for (int i = 1; i < nodes[0].next; i++)
	{
		bool negated = nodes[i].kind == QUERY_NOT;
		const TagqueryNode *literal = &nodes[negated ? ++i : i];
		bool any_tag = literal->kind == QUERY_PREFIX && literal->tag.length == 0;

		if ((literal->kind != QUERY_TAG && literal->kind != QUERY_PREFIX) || used[literal->key])
			return NULL;
		used[literal->key] = true;
		/* "Any tag" has the key of the empty set, so it is the opposite of it. */
		failing[literal->key] = negated != any_tag ? GIN_TRUE : GIN_FALSE;
	}
	return failing;
}

/*
 * The keys of a tagquery: its tags and prefixes, equal ones once
 */
static Datum *
extract_matches(struct varlena *query, GinQuery *known, int32 *key_count, bool **partial, int32 *mode)
{
	int node_count;
	int term_count = 0;
	int keys_used = 0;
	QueryTerm *terms;
	Datum *keys;
	GinTernaryValue *nothing;

	known->nodes = tagquery_nodes(query, &node_count);
	terms = palloc(sizeof(QueryTerm) * node_count);
	keys = palloc(sizeof(Datum) * node_count);
	*partial = palloc0(sizeof(bool) * node_count);
	for (int i = 0; i < node_count; i++)
	{
		TagqueryNode *node = &known->nodes[i];

		if (node->kind != QUERY_TAG && node->kind != QUERY_PREFIX)
			continue;
		terms[term_count].tag = node->tag;
		terms[term_count].prefix = node->kind == QUERY_PREFIX;
		terms[term_count++].node = i;
	}
	qsort(terms, term_count, sizeof(QueryTerm), term_order);
	for (int i = 0; i < term_count; i++)
	{
		if (i == 0 || term_order(&terms[i - 1], &terms[i]) != 0)
		{
			bool any_tag = terms[i].prefix && terms[i].tag.length == 0;

			keys[keys_used] = any_tag ? count_key(0) : tag_key(&terms[i].tag);
			(*partial)[keys_used++] = terms[i].prefix && !any_tag;
		}
		known->nodes[terms[i].node].key = keys_used - 1;
	}
	known->tag_keys = keys_used;
	known->failing = failing_values(known->nodes, keys_used);
	*key_count = keys_used;

	/* A query that a row with none of the keys can match needs every row. */
	nothing = palloc0(sizeof(GinTernaryValue) * keys_used);
	term_count = 0;
	if (node_value(known->nodes, &term_count, nothing) != GIN_FALSE)
		*mode = GIN_SEARCH_MODE_ALL;
	pfree(nothing);
	return keys;
}

/*
 * The keys to look for
 */
PG_FUNCTION_INFO_V1(gin_extract_tagset_query);
Datum
gin_extract_tagset_query(PG_FUNCTION_ARGS)
{
	int32 *key_count = (int32 *) PG_GETARG_POINTER(1);
	StrategyNumber strategy = PG_GETARG_UINT16(2);
	bool **partial = (bool **) PG_GETARG_POINTER(3);
	Pointer **extra = (Pointer **) PG_GETARG_POINTER(4);
	int32 *mode = (int32 *) PG_GETARG_POINTER(6);
	GinQuery *known = palloc0(sizeof(GinQuery));
	Tag *tags = NULL;
	Tag one;
	int count = 0;
	bool all_valid = true;
	Datum *keys;

	*key_count = 0;
	switch (strategy)
	{
		case TAGSET_HAS_TAG:
			{
				text *argument = PG_GETARG_TEXT_PP(0);
				StringInfoData out;

				initStringInfo(&out);
				if (!tag_fold_quietly(VARDATA_ANY(argument), VARSIZE_ANY_EXHDR(argument), &out))
					PG_RETURN_POINTER(NULL);
				one.data = out.data;
				one.length = out.len;
				tags = &one;
				count = 1;
				break;
			}
		case TAGSET_HAS_ANY:
		case TAGSET_HAS_ALL:
			tags = folded_tags(PG_GETARG_DATUM(0), &count, &all_valid);
			if (strategy == TAGSET_HAS_ALL && !all_valid)
				PG_RETURN_POINTER(NULL);
			break;
		case TAGSET_MATCHES:
			keys = extract_matches(PG_GETARG_TAGQUERY_PP(0), known, key_count, partial, mode);
			goto extracted;
		default:
			tags = tagset_tags(PG_GETARG_TAGSET_PP(0), &count);
			break;
	}
	/* Every row has no tag less than none of them. */
	if (count == 0 && (strategy == TAGSET_CONTAINS || strategy == TAGSET_HAS_ALL))
		*mode = GIN_SEARCH_MODE_ALL;
	if (strategy == TAGSET_CONTAINED)
		known->count_keys = Min(count, COUNT_KEY_MAX) + 1;
	else if (strategy == TAGSET_EQUAL)
		known->count_keys = 1;
	known->tag_keys = count;
	keys = palloc(sizeof(Datum) * (known->count_keys + count + 1));
	for (int i = 0; i < known->count_keys; i++)
		keys[(*key_count)++] = count_key(strategy == TAGSET_EQUAL ? count : i);
	for (int i = 0; i < count; i++)
		keys[(*key_count)++] = tag_key(&tags[i]);
extracted:
	*extra = palloc(sizeof(Pointer) * (*key_count + 1));
	for (int i = 0; i <= *key_count; i++)
		(*extra)[i] = (Pointer) known;
	PG_RETURN_POINTER(keys);
}

/*
 * <@ by the keys: the row has as many tags as there are of the query's in it
 */
static GinTernaryValue
contained_value(const GinQuery *known, const GinTernaryValue *check)
{
	int sure = 0;
	int possible = 0;
	GinTernaryValue result = GIN_FALSE;

	for (int i = 0; i < known->tag_keys; i++)
	{
		sure += check[known->count_keys + i] == GIN_TRUE;
		possible += check[known->count_keys + i] != GIN_FALSE;
	}
	for (int i = 0; i < known->count_keys; i++)
	{
		if (check[i] == GIN_FALSE)
			continue;
		/* The last number may stand for any larger one. */
		if (i == COUNT_KEY_MAX)
			result = possible >= i ? GIN_MAYBE : result;
		else if (possible >= i && sure <= i)
		{
			if (check[i] == GIN_TRUE && sure == possible)
				return GIN_TRUE;
			result = GIN_MAYBE;
		}
	}
	return result;
}

/*
 * May a row match, going by which keys it has? One function for both forms of the question
 */
static GinTernaryValue
row_value(const GinTernaryValue *check, StrategyNumber strategy, int key_count, const GinQuery *known)
{
	GinTernaryValue result;
	int at = 0;

	switch (strategy)
	{
		case TAGSET_OVERLAPS:
		case TAGSET_HAS_ANY:
		case TAGSET_HAS_TAG:
			result = GIN_FALSE;
			for (int i = 0; i < key_count; i++)
			{
				if (check[i] == GIN_TRUE)
					return GIN_TRUE;
				if (check[i] == GIN_MAYBE)
					result = GIN_MAYBE;
			}
			return result;
		case TAGSET_CONTAINS:
		case TAGSET_HAS_ALL:
		case TAGSET_EQUAL:
			result = GIN_TRUE;
			for (int i = 0; i < key_count; i++)
			{
				if (check[i] == GIN_FALSE)
					return GIN_FALSE;
				if (check[i] == GIN_MAYBE)
					result = GIN_MAYBE;
			}
			/* Above the largest number the index cannot tell whether there are more tags. */
			if (strategy == TAGSET_EQUAL && known->tag_keys >= COUNT_KEY_MAX)
				result = GIN_MAYBE;
			return result;
		case TAGSET_CONTAINED:
			return contained_value(known, check);
		case TAGSET_MATCHES:
			if (known->failing == NULL)
				return node_value(known->nodes, &at, check);
			result = GIN_TRUE;
			for (int i = 0; i < key_count; i++)
			{
				if (check[i] == known->failing[i])
					return GIN_FALSE;
				if (check[i] == GIN_MAYBE)
					result = GIN_MAYBE;
			}
			return result;
		default:
			elog(ERROR, "unknown strategy %d of gin_tagset_ops", strategy);
			return GIN_FALSE;
	}
}

/*
 * Does a row match, going by which keys it has?
 */
PG_FUNCTION_INFO_V1(gin_tagset_consistent);
Datum
gin_tagset_consistent(PG_FUNCTION_ARGS)
{
	bool *check = (bool *) PG_GETARG_POINTER(0);
	Pointer *extra = (Pointer *) PG_GETARG_POINTER(4);
	bool *recheck = (bool *) PG_GETARG_POINTER(5);
	int key_count = PG_GETARG_INT32(3);
	GinTernaryValue result;

	/* false and true are GIN_FALSE and GIN_TRUE. */
	result = row_value((GinTernaryValue *) check, PG_GETARG_UINT16(1), key_count, (GinQuery *) extra[0]);
	*recheck = result == GIN_MAYBE;
	PG_RETURN_BOOL(result != GIN_FALSE);
}

/*
 * The same when of some keys it is not known yet: lets GIN skip long lists
 */
PG_FUNCTION_INFO_V1(gin_tagset_triconsistent);
Datum
gin_tagset_triconsistent(PG_FUNCTION_ARGS)
{
	GinTernaryValue *check = (GinTernaryValue *) PG_GETARG_POINTER(0);
	Pointer *extra = (Pointer *) PG_GETARG_POINTER(4);

	PG_RETURN_GIN_TERNARY_VALUE(row_value(check, PG_GETARG_UINT16(1), PG_GETARG_INT32(3), (GinQuery *) extra[0]));
}

/*
 * Does a key begin with a prefix? 0 yes, 1 no and no later key will
 */
PG_FUNCTION_INFO_V1(gin_tag_prefix);
Datum
gin_tag_prefix(PG_FUNCTION_ARGS)
{
	text *prefix_text = PG_GETARG_TEXT_PP(0);
	text *key_text = PG_GETARG_TEXT_PP(1);
	Tag prefix = {VARDATA_ANY(prefix_text), VARSIZE_ANY_EXHDR(prefix_text)};
	Tag key = {VARDATA_ANY(key_text), VARSIZE_ANY_EXHDR(key_text)};

	PG_RETURN_INT32(tag_has_prefix(&key, &prefix) ? 0 : 1);
}
