/*
 * Parsing of tag queries. Needs little of the server, so that test/fuzz can run it alone.
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
