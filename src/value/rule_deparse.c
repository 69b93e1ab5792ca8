#include "value/rule.h"

#include "miscadmin.h"
#include "utils/builtins.h"

/* How tightly things bind, as PostgreSQL's grammar has it. */
enum
{
	BIND_OR = 1,
	BIND_AND,
	BIND_NOT,
	BIND_IS,
	BIND_COMPARISON,
	BIND_LIKE, /* and IN, BETWEEN */
	BIND_OTHER,
	BIND_ADD,
	BIND_MULTIPLY,
	BIND_SIGN,
	BIND_CAST,
	BIND_ATOM
};

static void
put(StringInfo out, RuleNode *node, int least);

/*
 * How tightly an operator with two operands binds
 */
static int
operator_binding(const char *name)
{
	if (strcmp(name, "+") == 0 || strcmp(name, "-") == 0)
		return BIND_ADD;
	if (strcmp(name, "*") == 0 || strcmp(name, "/") == 0 || strcmp(name, "%") == 0)
		return BIND_MULTIPLY;
	if (strspn(name, "=<>") == strlen(name))
		return BIND_COMPARISON;
	return BIND_OTHER;
}

/*
 * How tightly the outermost part of a tree binds
 */
static int
binding(RuleNode *node)
{
	switch (node->kind)
	{
		case RULE_OR:
			return BIND_OR;
		case RULE_AND:
			return BIND_AND;
		case RULE_NOT:
			return BIND_NOT;
		case RULE_IS:
		case RULE_DISTINCT:
			return BIND_IS;
		case RULE_LIKE:
		case RULE_IN:
		case RULE_BETWEEN:
			return BIND_LIKE;
		case RULE_OP:
			return list_length(node->args) == 1 ? BIND_SIGN : operator_binding(node->name);
		case RULE_CAST:
			return BIND_CAST;
		case RULE_CONST:
			return node->name[0] == '-' && (node->type == RULE_INT || node->type == RULE_NUMERIC) ? BIND_SIGN
																								  : BIND_ATOM;
		default:
			return BIND_ATOM;
	}
}

/*
 * A text as a literal that reads the same whatever standard_conforming_strings says
 */
static void
put_string(StringInfo out, const char *text)
{
	if (strchr(text, '\\') != NULL)
		appendStringInfoChar(out, 'E');
	appendStringInfoChar(out, '\'');
	for (; *text; text++)
	{
		if (*text == '\'' || *text == '\\')
			appendStringInfoChar(out, *text);
		appendStringInfoChar(out, *text);
	}
	appendStringInfoChar(out, '\'');
}

/*
 * A constant
 */
static void
put_constant(StringInfo out, RuleNode *node)
{
	switch (node->type)
	{
		case RULE_UNKNOWN:
			put_string(out, node->name);
			break;
		case RULE_INT:
		case RULE_NUMERIC:
		case RULE_BOOL:
			/* A number written as text keeps its type by being written as text again. */
			if (node->type != RULE_BOOL && strspn(node->name, "-.0123456789") == strlen(node->name))
			{
				bool plain_int = strchr(node->name, '.') == NULL && strlen(node->name) <= 18;

				if ((node->type == RULE_INT) == plain_int)
				{
					appendStringInfoString(out, node->name);
					break;
				}
			}
			else if (node->type == RULE_BOOL)
			{
				appendStringInfoString(out, node->name);
				break;
			}
			/* FALLTHROUGH */
		default:
			appendStringInfo(out, "%s ", rule_type_name(node->type));
			put_string(out, node->name);
	}
}

/*
 * Arguments with a comma between them
 */
static void
put_list(StringInfo out, List *args, int first)
{
	for (int i = first; i < list_length(args); i++)
	{
		if (i > first)
			appendStringInfoString(out, ", ");
		put(out, list_nth(args, i), BIND_OR);
	}
}

/*
 * Append a tree, in parentheses when it binds less tightly than its surroundings ask for
 */
static void
put(StringInfo out, RuleNode *node, int least)
{
	int own = binding(node);
	bool parentheses = own < least;

	check_stack_depth();
	if (parentheses)
		appendStringInfoChar(out, '(');
	switch (node->kind)
	{
		case RULE_CONST:
			put_constant(out, node);
			break;
		case RULE_COLUMN:
			appendStringInfoString(out, quote_identifier(node->name));
			break;
		case RULE_NOW:
			appendStringInfoString(out, "now()");
			break;
		case RULE_TODAY:
			appendStringInfoString(out, "CURRENT_DATE");
			break;
		case RULE_AND:
		case RULE_OR:
			for (int i = 0; i < list_length(node->args); i++)
			{
				if (i > 0)
					appendStringInfoString(out, node->kind == RULE_AND ? " AND " : " OR ");
				put(out, list_nth(node->args, i), own + 1);
			}
			break;
		case RULE_NOT:
			appendStringInfoString(out, "NOT ");
			put(out, linitial(node->args), BIND_NOT);
			break;
		case RULE_OP:
			if (list_length(node->args) == 1)
			{
				appendStringInfoChar(out, '-');
				/* A sign before a sign or a number would read as a comment or as a constant. */
				put(out, linitial(node->args),
					((RuleNode *)linitial(node->args))->kind == RULE_CONST ? BIND_ATOM + 1 : BIND_CAST);
				break;
			}
			put(out, linitial(node->args), own == BIND_COMPARISON ? own + 1 : own);
			appendStringInfo(out, " %s ", node->name);
			put(out, lsecond(node->args), own + 1);
			break;
		case RULE_LIKE:
			put(out, linitial(node->args), own + 1);
			appendStringInfo(out, "%s %s ", node->negated ? " NOT" : "", node->name);
			put(out, lsecond(node->args), own + 1);
			break;
		case RULE_IN:
			put(out, linitial(node->args), own + 1);
			appendStringInfoString(out, node->negated ? " NOT IN (" : " IN (");
			put_list(out, node->args, 1);
			appendStringInfoChar(out, ')');
			break;
		case RULE_BETWEEN:
			put(out, linitial(node->args), own + 1);
			appendStringInfoString(out, node->negated ? " NOT BETWEEN " : " BETWEEN ");
			put(out, lsecond(node->args), own + 1);
			appendStringInfoString(out, " AND ");
			put(out, lthird(node->args), own + 1);
			break;
		case RULE_DISTINCT:
			put(out, linitial(node->args), own + 1);
			appendStringInfoString(out, node->negated ? " IS NOT DISTINCT FROM " : " IS DISTINCT FROM ");
			put(out, lsecond(node->args), own + 1);
			break;
		case RULE_IS:
			put(out, linitial(node->args), own + 1);
			appendStringInfo(out, " IS %s%s", node->negated ? "NOT " : "", node->name);
			break;
		case RULE_CAST:
			put(out, linitial(node->args), BIND_CAST);
			appendStringInfo(out, "::%s", rule_type_name(node->type));
			break;
		case RULE_FUNC:
			if (strcmp(node->name, "extract") == 0)
			{
				appendStringInfo(out, "extract(%s FROM ", ((RuleNode *)linitial(node->args))->name);
				put(out, lsecond(node->args), BIND_OR);
			}
			else
			{
				appendStringInfo(out, "%s(", node->name);
				put_list(out, node->args, 0);
			}
			appendStringInfoChar(out, ')');
			break;
	}
	if (parentheses)
		appendStringInfoChar(out, ')');
}

char *
rule_deparse(RuleNode *node)
{
	StringInfoData out;

	initStringInfo(&out);
	put(&out, node, BIND_OR);
	return out.data;
}
