/*
 * Reading the stored form of tag queries: evaluating them, writing them as text, spreading them out for the index.
 * Needs little of the server, so that test/fuzz can run it alone.
 */
#include "tags/tagquery.h"

#include "miscadmin.h"

/*
 * Report stored bytes that are no query
 */
static void
corrupt(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("a stored tagquery is damaged"),
			 errhint("Restore the row from a backup, or write it again from its source.")));
}

/*
 * Read the node at *at, leaving *at behind its head: at its first member, if it has any
 */
static void
read_node(const uint8 **at, const uint8 *end, TagqueryNode *node, const uint8 **node_end)
{
	if (*at == end)
		corrupt();
	node->kind = (TagqueryKind) * (*at)++;
	node->members = 0;
	switch (node->kind)
	{
		case QUERY_TAG:
		case QUERY_PREFIX:
			if (*at == end || end - *at <= **at)
				corrupt();
			node->tag.length = *(*at)++;
			node->tag.data = (const char *) *at;
			*at += node->tag.length;
			*node_end = *at;
			break;
		case QUERY_NOT:
			node->members = 1;
			*node_end = end;
			break;
		case QUERY_AND:
		case QUERY_OR:
			{
				uint16 members;
				uint32 bytes;

				if (end - *at < (int) (sizeof(members) + sizeof(bytes)))
					corrupt();
				memcpy(&members, *at, sizeof(members));
				memcpy(&bytes, *at + sizeof(members), sizeof(bytes));
				*at += sizeof(members) + sizeof(bytes);
				if (members < 2 || bytes > end - *at)
					corrupt();
				node->members = members;
				*node_end = *at + bytes;
				break;
			}
		default:
			corrupt();
	}
}

/*
 * Where the tree of a query begins
 */
static const uint8 *
tree_in(const uint8 *bytes, const uint8 *end)
{
	if (bytes == end || *bytes != TAGQUERY_VERSION)
		corrupt();
	return bytes + 1;
}

static const uint8 *
tree_of(const struct varlena *query, const uint8 **end)
{
	const uint8 *at = (const uint8 *) VARDATA_ANY(query);

	*end = at + VARSIZE_ANY_EXHDR(query);
	return tree_in(at, *end);
}

void
tagset_view(TagsetView *view, const struct varlena *set)
{
	view->set = set;
	view->tags = NULL;
	view->count = tagset_count(set);
	if (view->count > 32)
		view->tags = tagset_tags(set, &view->count);
}

/*
 * Has the set a tag that equals or begins with this one?
 */
static bool
view_has(const TagsetView *view, const Tag *tag, bool prefix)
{
	Tag other;

	if (view->tags == NULL)
	{
		TagScan scan;

		tag_scan_begin(&scan, view->set);
		while (tag_scan_next(&scan, &other))
		{
			int order = tag_compare(&other, tag);

			if (order >= 0)
				return order == 0 || (prefix && tag_has_prefix(&other, tag));
		}
		return false;
	}
	else
	{
		int low = 0;
		int high = view->count;

		while (low < high)
		{
			int middle = low + (high - low) / 2;

			if (tag_compare(&view->tags[middle], tag) < 0)
				low = middle + 1;
			else
				high = middle;
		}
		return low < view->count && (prefix ? tag_has_prefix(&view->tags[low], tag)
											: tag_compare(&view->tags[low], tag) == 0);
	}
}

/*
 * Does a node match? Leaves *at behind it and all below it
 */
static bool
node_matches(const uint8 **at, const uint8 *end, const TagsetView *view)
{
	TagqueryNode node;
	const uint8 *node_end;

	read_node(at, end, &node, &node_end);
	switch (node.kind)
	{
		case QUERY_TAG:
			return view_has(view, &node.tag, false);
		case QUERY_PREFIX:
			return node.tag.length == 0 ? view->count > 0 : view_has(view, &node.tag, true);
		case QUERY_NOT:
			check_stack_depth();
			return !node_matches(at, end, view);
		default:
			check_stack_depth();
			for (int i = 0; i < node.members; i++)
			{
				/* The first member that decides spares us the others. */
				if (node_matches(at, node_end, view) == (node.kind == QUERY_OR))
				{
					*at = node_end;
					return node.kind == QUERY_OR;
				}
			}
			return node.kind == QUERY_AND;
	}
}

/*
 * Does a set match a query?
 */
bool
tagquery_matches(const struct varlena *query, const TagsetView *view)
{
	const uint8 *end;
	const uint8 *at = tree_of(query, &end);

	return node_matches(&at, end, view);
}

/*
 * The same for a query whose bytes stand elsewhere than in a varlena
 */
bool
tagquery_bytes_match(const uint8 *bytes, int length, const TagsetView *view)
{
	const uint8 *at = tree_in(bytes, bytes + length);

	return node_matches(&at, bytes + length, view);
}

static void
spread_node(const uint8 **at, const uint8 *end, TagqueryNode *nodes, int *count)
{
	int self = (*count)++;
	const uint8 *node_end;

	check_stack_depth();
	memset(&nodes[self], 0, sizeof(TagqueryNode));
	read_node(at, end, &nodes[self], &node_end);
	for (int i = 0; i < nodes[self].members; i++)
		spread_node(at, node_end, nodes, count);
	nodes[self].next = *count;
}

/*
 * The nodes of a query in prefix order
 */
TagqueryNode *
tagquery_nodes(const struct varlena *query, int *count)
{
	const uint8 *end;
	const uint8 *at = tree_of(query, &end);
	/* Every node takes a byte at least. */
	TagqueryNode *nodes = palloc(sizeof(TagqueryNode) * (end - at + 1));

	*count = 0;
	spread_node(&at, end, nodes, count);
	return nodes;
}

/*
 * Append a tag as a query writes it
 */
static void
format_tag(const Tag *tag, StringInfo out)
{
	bool quote = false;

	for (int i = 0; i < tag->length && !quote; i++)
		quote = strchr("&|!()*\"\\ ", tag->data[i]) != NULL;
	if (!quote)
	{
		appendBinaryStringInfo(out, tag->data, tag->length);
		return;
	}
	appendStringInfoChar(out, '"');
	for (int i = 0; i < tag->length; i++)
	{
		if (tag->data[i] == '"' || tag->data[i] == '\\')
			appendStringInfoChar(out, '\\');
		appendStringInfoChar(out, tag->data[i]);
	}
	appendStringInfoChar(out, '"');
}

static void
format_node(const uint8 **at, const uint8 *end, TagqueryKind above, StringInfo out)
{
	TagqueryNode node;
	const uint8 *node_end;
	bool parentheses;

	check_stack_depth();
	read_node(at, end, &node, &node_end);
	switch (node.kind)
	{
		case QUERY_TAG:
			format_tag(&node.tag, out);
			break;
		case QUERY_PREFIX:
			format_tag(&node.tag, out);
			appendStringInfoChar(out, '*');
			break;
		case QUERY_NOT:
			appendStringInfoChar(out, '!');
			format_node(at, end, QUERY_NOT, out);
			break;
		default:
			parentheses = above == QUERY_NOT || (above == QUERY_AND && node.kind == QUERY_OR);
			if (parentheses)
				appendStringInfoChar(out, '(');
			for (int i = 0; i < node.members; i++)
			{
				if (i > 0)
					appendStringInfoString(out, node.kind == QUERY_AND ? " & " : " | ");
				format_node(at, node_end, node.kind, out);
			}
			if (parentheses)
				appendStringInfoChar(out, ')');
			break;
	}
}

/*
 * Append the text of a query, which reads back as the same query
 */
void
tagquery_format(const struct varlena *query, StringInfo out)
{
	const uint8 *end;
	const uint8 *at = tree_of(query, &end);

	format_node(&at, end, QUERY_OR, out);
}
