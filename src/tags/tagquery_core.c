/*
 * Parsing, writing and evaluating tag queries. Needs little of the server, so that test/fuzz can run it alone.
 */
#include "tags/tagquery.h"

#include "miscadmin.h"

/* A node while parsing. */
typedef struct ParsedNode
{
	TagqueryKind kind;
	struct ParsedNode *first; /* members of AND and OR, or what is negated */
	struct ParsedNode *last;
	struct ParsedNode *next; /* next member of the same node */
	int members;
	Tag tag;
} ParsedNode;

typedef struct Parser
{
	const char *text;
	const char *at;
	const char *end;
	int depth;
	int tags;
	struct Node *escontext;
} Parser;

static ParsedNode *parse_or(Parser *p);

/* What an operator looks like in full width, as Chinese keyboards write it; folding makes both the same. */
static const struct
{
	const char *bytes;
	char ascii;
} wide_operators[] = {
	{"\xEF\xBC\x86", '&'},
	{"\xEF\xBD\x9C", '|'},
	{"\xEF\xBC\x81", '!'},
	{"\xEF\xBC\x88", '('},
	{"\xEF\xBC\x89", ')'},
	{"\xEF\xBC\x8A", '*'},
	{"\xE3\x80\x80", ' '},
};

/*
 * The operator, quote or white space that stands here, in ASCII; 0 for any other byte or the end
 */
static char
peek(Parser *p, int *width)
{
	char c;

	*width = 1;
	if (p->at == p->end)
		return '\0';
	c = *p->at;
	if (c == '&' || c == '|' || c == '!' || c == '(' || c == ')' || c == '*' || c == '"')
		return c;
	if (c == ' ' || (c >= '\t' && c <= '\r'))
		return ' ';
	if (!IS_HIGHBIT_SET(c) || p->end - p->at < 3)
		return '\0';
	for (int i = 0; i < lengthof(wide_operators); i++)
	{
		if (memcmp(p->at, wide_operators[i].bytes, 3) == 0)
		{
			*width = 3;
			return wide_operators[i].ascii;
		}
	}
	return '\0';
}

/*
 * Pass over white space, then peek
 */
static char
peek_token(Parser *p, int *width)
{
	char c;

	while ((c = peek(p, width)) == ' ')
		p->at += *width;
	return c;
}

static ParsedNode *
new_node(TagqueryKind kind)
{
	ParsedNode *node = palloc0(sizeof(ParsedNode));

	node->kind = kind;
	return node;
}

static void
add_member(ParsedNode *node, ParsedNode *member)
{
	if (node->first == NULL)
		node->first = member;
	else
		node->last->next = member;
	node->last = member;
	node->members++;
}

/*
 * Report a query that cannot be read
 */
static ParsedNode *
malformed(Parser *p, const char *detail)
{
	int length = Min(p->end - p->text, 200);

	while (length > 0 && p->text + length < p->end && (p->text[length] & 0xC0) == 0x80)
		length--;
	crm_ereturn(p->escontext,
				NULL,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("malformed tagquery: \"%.*s\"", length, p->text),
				 errdetail_internal("%s", detail),
				 errhint("Write tags with & | ! and parentheses; quote a tag with spaces: vip & (\"new customer\" | channel:*).")));
}

static ParsedNode *
too_large(Parser *p, const char *what, int limit)
{
	crm_ereturn(p->escontext,
				NULL,
				(errcode(ERRCODE_CRM_TAGQUERY_TOO_LARGE),
				 errmsg("tagquery is too large"),
				 errdetail("It has more %s than %d.", what, limit)));
}

/*
 * A tag or a prefix, quoted or not
 */
static ParsedNode *
parse_tag(Parser *p)
{
	StringInfoData raw;
	StringInfoData folded;
	ParsedNode *node;
	int width;
	bool quoted = p->at < p->end && *p->at == '"';

	if (++p->tags > TAGQUERY_MAX_TAGS)
		return too_large(p, "tags", TAGQUERY_MAX_TAGS);
	initStringInfo(&raw);
	if (quoted)
		p->at++;
	while (p->at < p->end && (quoted ? *p->at != '"' : peek(p, &width) == '\0'))
	{
		if (*p->at == '\\' && ++p->at == p->end)
			break;
		appendStringInfoCharMacro(&raw, *p->at++);
	}
	if (quoted)
	{
		if (p->at == p->end)
			return malformed(p, "A quote is not closed.");
		p->at++;
	}
	node = new_node(peek(p, &width) == '*' ? QUERY_PREFIX : QUERY_TAG);
	if (node->kind == QUERY_PREFIX)
	{
		char c;

		p->at += width;
		c = peek(p, &width);
		if (p->at < p->end && (c == '\0' || c == '"' || c == '*'))
			return malformed(p, "A * stands only at the end of a tag.");
	}
	else if (raw.len == 0 && !quoted)
		return malformed(p, p->at == p->end ? "It ends where a tag is missing." : "An operator stands where a tag is missing.");
	initStringInfo(&folded);
	if ((raw.len > 0 || quoted) && !tag_fold(raw.data, raw.len, &folded, p->escontext))
		return NULL;
	pfree(raw.data);
	node->tag.data = folded.data;
	node->tag.length = folded.len;
	return node;
}

/*
 * A tag, a negation or an expression in parentheses
 */
static ParsedNode *
parse_unary(Parser *p)
{
	bool negated = false;
	ParsedNode *node;
	int width;
	char c;

	while ((c = peek_token(p, &width)) == '!')
	{
		negated = !negated;
		p->at += width;
	}
	if (c == '(')
	{
		if (++p->depth > TAGQUERY_MAX_DEPTH)
			return too_large(p, "levels", TAGQUERY_MAX_DEPTH);
		check_stack_depth();
		p->at += width;
		node = parse_or(p);
		if (node == NULL)
			return NULL;
		if (peek_token(p, &width) != ')')
			return malformed(p, "A parenthesis is not closed, or an operator is missing between two tags.");
		p->at += width;
		p->depth--;
	}
	else
		node = parse_tag(p);
	if (node == NULL || !negated)
		return node;
	if (node->kind == QUERY_NOT)
		return node->first;
	else
	{
		ParsedNode *not = new_node(QUERY_NOT);

		add_member(not, node);
		return not;
	}
}

/*
 * Members joined by one operator; members of the same kind are taken in, so that trees stay flat
 */
static ParsedNode *
parse_joined(Parser *p, TagqueryKind kind, char operator, ParsedNode *(*parse_member)(Parser *) )
{
	ParsedNode *node = parse_member(p);
	int width;

	if (node == NULL || peek_token(p, &width) != operator)
		return node;
	if (node->kind != kind)
	{
		ParsedNode *joined = new_node(kind);

		add_member(joined, node);
		node = joined;
	}
	do
	{
		ParsedNode *member;

		p->at += width;
		member = parse_member(p);
		if (member == NULL)
			return NULL;
		if (member->kind == kind)
		{
			node->last->next = member->first;
			node->last = member->last;
			node->members += member->members;
		}
		else
			add_member(node, member);
	} while (peek_token(p, &width) == operator);
	return node;
}

static ParsedNode *
parse_and(Parser *p)
{
	return parse_joined(p, QUERY_AND, '&', parse_unary);
}

static ParsedNode *
parse_or(Parser *p)
{
	return parse_joined(p, QUERY_OR, '|', parse_and);
}

/*
 * Append the stored form of a node
 */
static void
write_node(StringInfo out, const ParsedNode *node)
{
	check_stack_depth();
	appendStringInfoCharMacro(out, (char) node->kind);
	if (node->kind == QUERY_TAG || node->kind == QUERY_PREFIX)
	{
		appendStringInfoCharMacro(out, (char) (uint8) node->tag.length);
		appendBinaryStringInfo(out, node->tag.data, node->tag.length);
	}
	else if (node->kind == QUERY_NOT)
		write_node(out, node->first);
	else
	{
		uint16 members = (uint16) node->members;
		uint32 bytes = 0;
		int bytes_at;

		appendBinaryStringInfo(out, (char *) &members, sizeof(members));
		bytes_at = out->len;
		appendBinaryStringInfo(out, (char *) &bytes, sizeof(bytes));
		for (const ParsedNode *member = node->first; member != NULL; member = member->next)
			write_node(out, member);
		bytes = out->len - bytes_at - sizeof(bytes);
		memcpy(out->data + bytes_at, &bytes, sizeof(bytes));
	}
}

/*
 * A query from its text
 */
struct varlena *
tagquery_parse(const char *text, int length, struct Node *escontext)
{
	Parser parser = {text, text, text + length, 0, 0, escontext};
	StringInfoData out;
	ParsedNode *root;
	int width;

	if (length > TAGQUERY_MAX_BYTES)
		return (struct varlena *) too_large(&parser, "bytes", TAGQUERY_MAX_BYTES);
	if (peek_token(&parser, &width) == '\0' && parser.at == parser.end)
		return (struct varlena *) malformed(&parser, "It is empty; a query that every set with a tag matches is *.");
	root = parse_or(&parser);
	if (root == NULL)
		return NULL;
	if (parser.at < parser.end)
		return (struct varlena *) malformed(&parser,
											peek(&parser, &width) == ')' ? "There is a parenthesis too many."
																		 : "An operator is missing between two tags.");
	initStringInfo(&out);
	appendStringInfoSpaces(&out, VARHDRSZ);
	appendStringInfoChar(&out, TAGQUERY_VERSION);
	write_node(&out, root);
	SET_VARSIZE(out.data, out.len);
	return (struct varlena *) out.data;
}

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
 * Where the tree of a query begins and ends
 */
static const uint8 *
tree_of(const struct varlena *query, const uint8 **end)
{
	const uint8 *at = (const uint8 *) VARDATA_ANY(query);

	*end = at + VARSIZE_ANY_EXHDR(query);
	if (at == *end || *at != TAGQUERY_VERSION)
		corrupt();
	return at + 1;
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
