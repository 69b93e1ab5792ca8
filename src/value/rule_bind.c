#include "value/rule.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#define IS_NUMBER(type) ((type) == RULE_INT || (type) == RULE_NUMERIC || (type) == RULE_FLOAT)

static bool
bind(RuleNode *node, const RuleScope *scope);

/*
 * The type that stands for a column's type in rules; RULE_UNKNOWN when rules cannot use it
 */
static RuleType
type_of_column(Oid type)
{
	switch (getBaseType(type))
	{
		case BOOLOID:
			return RULE_BOOL;
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return RULE_INT;
		case NUMERICOID:
			return RULE_NUMERIC;
		case FLOAT4OID:
		case FLOAT8OID:
			return RULE_FLOAT;
		case TEXTOID:
		case VARCHAROID:
			return RULE_TEXT;
		case DATEOID:
			return RULE_DATE;
		case TIMESTAMPTZOID:
			return RULE_TIMESTAMPTZ;
		case INTERVALOID:
			return RULE_INTERVAL;
		case JSONBOID:
			return RULE_JSONB;
		default:
		{
			Oid tagset = rule_type_oid(RULE_TAGSET);

			if (OidIsValid(tagset) && type == tagset)
				return RULE_TAGSET;
			/* Scores compare as their text. */
			if (strcmp(format_type_be_qualified(type), CRM_SCHEMA ".rfm") == 0)
				return RULE_TEXT;
			return RULE_UNKNOWN;
		}
	}
}

/*
 * Raise that types do not fit
 */
static void
pg_attribute_noreturn() misfit(const RuleScope *scope, RuleNode *node, const char *what, const char *hint)
{
	rule_error(CRM_ERRCODE_RULE_TYPE, scope->text, node->location, what, hint);
}

/*
 * Find a column
 */
static bool
bind_column(RuleNode *node, const RuleScope *scope)
{
	node->column = -1;
	node->column_type = InvalidOid;
	for (int i = 0; i < scope->ncolumns; i++)
	{
		if (strcmp(scope->columns[i].name, node->name) == 0)
		{
			node->column = i;
			node->column_type = scope->columns[i].type;
		}
	}
	if (OidIsValid(scope->relation))
	{
		AttrNumber attnum = get_attnum(scope->relation, node->name);

		if (attnum > 0)
			node->column_type = get_atttype(scope->relation, attnum);
	}
	if (!OidIsValid(node->column_type))
	{
		if (scope->missing_ok)
			return false;
		rule_error(CRM_ERRCODE_RULE_COLUMN, scope->text, node->location,
				   psprintf("column \"%s\" cannot be used in a rule: there is no such column", node->name),
				   "describe_columns() lists the columns that rules may use. Personal data is not among them.");
	}
	node->type = type_of_column(node->column_type);
	if (node->type == RULE_UNKNOWN)
		rule_error(CRM_ERRCODE_RULE_TYPE, scope->text, node->location,
				   psprintf("column \"%s\" has type %s, which rules cannot compare", node->name,
							format_type_be(node->column_type)),
				   "Use another column; describe_columns() lists them with their types.");
	return true;
}

/*
 * Convert an argument, when its type is another
 */
static RuleNode *
convert(const RuleScope *scope, RuleNode *node, RuleType type)
{
	RuleNode *cast;

	if (node->type == type)
		return node;
	if (node->kind == RULE_CONST && node->type == RULE_UNKNOWN)
	{
		node->type = type;
		(void)rule_constant(node, type, NULL, scope->text);
		return node;
	}
	if (node->kind == RULE_CONST && IS_NUMBER(node->type) && IS_NUMBER(type))
	{
		node->type = type;
		return node;
	}
	cast = palloc0(sizeof(RuleNode));
	cast->kind = RULE_CAST;
	cast->type = type;
	cast->args = list_make1(node);
	cast->location = node->location;
	return cast;
}

/*
 * The type in which two values meet; RULE_UNKNOWN when there is none, or when both are untyped
 */
static RuleType
meet(RuleType a, RuleType b)
{
	if (a == b || b == RULE_UNKNOWN)
		return a;
	if (a == RULE_UNKNOWN)
		return b;
	if (IS_NUMBER(a) && IS_NUMBER(b))
		return a == RULE_FLOAT || b == RULE_FLOAT ? RULE_FLOAT : RULE_NUMERIC;
	if ((a == RULE_DATE && b == RULE_TIMESTAMPTZ) || (a == RULE_TIMESTAMPTZ && b == RULE_DATE))
		return RULE_TIMESTAMPTZ;
	return RULE_UNKNOWN;
}

/*
 * Bring all arguments from first on to one type
 */
static RuleType
unify(RuleNode *node, const RuleScope *scope, int first, const char *what)
{
	RuleType common = ((RuleNode *)list_nth(node->args, first))->type;

	for (int i = first + 1; i < list_length(node->args); i++)
	{
		RuleType other = ((RuleNode *)list_nth(node->args, i))->type;
		RuleType both = meet(common, other);

		if (both == RULE_UNKNOWN && (common != RULE_UNKNOWN || other != RULE_UNKNOWN))
			misfit(scope, node,
				   psprintf("%s needs values of one kind, not %s and %s", what, rule_type_name(common),
							rule_type_name(other)),
				   "Compare numbers with numbers, texts with texts and moments with moments.");
		common = both;
	}
	if (common == RULE_UNKNOWN)
		common = RULE_TEXT;
	for (int i = first; i < list_length(node->args); i++)
	{
		ListCell *cell = list_nth_cell(node->args, i);

		lfirst(cell) = convert(scope, lfirst(cell), common);
	}
	return common;
}

/*
 * Make the argument a type, or raise
 */
static void
demand(RuleNode *node, const RuleScope *scope, int which, RuleType type, const char *hint)
{
	ListCell *cell = list_nth_cell(node->args, which);
	RuleNode *arg = lfirst(cell);

	if (meet(arg->type, type) != type)
		misfit(scope, arg, psprintf("%s is needed here, not %s", rule_type_name(type), rule_type_name(arg->type)),
			   hint);
	lfirst(cell) = convert(scope, arg, type);
}

/*
 * The second argument of an operator on tags is a constant, read by the type that the operator asks for
 */
static void
bind_tags(RuleNode *node, const RuleScope *scope, RuleType right)
{
	RuleNode *constant = lsecond(node->args);

	demand(node, scope, 0, RULE_TAGSET, "This operator is for tags, such as tags @@ 'vip & !churned'.");
	if (constant->kind != RULE_CONST || (constant->type != RULE_UNKNOWN && constant->type != RULE_TEXT))
		misfit(scope, node, "tags are compared with constants", "Write for example tags ? 'vip'.");
	constant->type = right;
	(void)rule_constant(constant, right, NULL, scope->text);
}

/*
 * + and - with days, moments and spans of time
 */
static bool
bind_time_arithmetic(RuleNode *node, const RuleScope *scope, RuleType a, RuleType b)
{
	bool minus = node->name[0] == '-';

	if ((a != RULE_DATE && a != RULE_TIMESTAMPTZ && a != RULE_INTERVAL) && (minus || b != RULE_DATE))
		return false;
	if (a == RULE_INTERVAL || b == RULE_INTERVAL)
	{
		if (a == RULE_INTERVAL && b == RULE_INTERVAL)
		{
			node->type = RULE_INTERVAL;
			return true;
		}
		if (a == RULE_INTERVAL && !minus)
		{
			node->args = list_make2(lsecond(node->args), linitial(node->args));
			b = RULE_INTERVAL;
		}
		if (b != RULE_INTERVAL || ((RuleNode *)lsecond(node->args))->kind != RULE_CONST)
			misfit(scope, node, "only a constant interval is added to a moment",
				   "Write for example now() - interval '90 days'.");
		demand(node, scope, 0, RULE_TIMESTAMPTZ, "Write for example now() - interval '90 days'.");
		node->type = RULE_TIMESTAMPTZ;
		return true;
	}
	if (b == RULE_INT || a == RULE_INT)
	{
		RuleNode *days = b == RULE_INT ? lsecond(node->args) : linitial(node->args);

		if (a == RULE_INT)
			node->args = list_make2(lsecond(node->args), days);
		if (((RuleNode *)linitial(node->args))->type != RULE_DATE || days->kind != RULE_CONST || strlen(days->name) > 6)
			misfit(scope, node, "only a constant number of days is added to a date",
				   "Write for example CURRENT_DATE - 30.");
		node->type = RULE_DATE;
		return true;
	}
	if (minus && meet(a, b) == RULE_DATE)
	{
		(void)unify(node, scope, 0, "-");
		node->type = RULE_INT;
		return true;
	}
	if (minus && meet(a, b) == RULE_TIMESTAMPTZ)
	{
		(void)unify(node, scope, 0, "-");
		node->type = RULE_INTERVAL;
		return true;
	}
	return false;
}

/*
 * An operator
 */
static void
bind_operator(RuleNode *node, const RuleScope *scope)
{
	const char *name = node->name;
	RuleType a = ((RuleNode *)linitial(node->args))->type;
	RuleType b = ((RuleNode *)llast(node->args))->type;

	node->type = RULE_BOOL;
	if (strspn(name, "=<>") == strlen(name))
	{
		RuleType common = unify(node, scope, 0, name);

		if (common >= RULE_JSONB && !(common == RULE_TAGSET && (name[0] == '=' || strcmp(name, "<>") == 0)))
			misfit(scope, node, psprintf("%s values are not compared with %s", rule_type_name(common), name),
				   "Write attributes ->> 'key' = 'value', or tags ? 'vip'.");
	}
	else if (strcmp(name, "@@") == 0)
		bind_tags(node, scope, RULE_TAGQUERY);
	else if (strcmp(name, "@>") == 0 || strcmp(name, "<@") == 0 || strcmp(name, "&&") == 0)
		bind_tags(node, scope, RULE_TAGSET);
	else if (strcmp(name, "?") == 0)
		bind_tags(node, scope, RULE_TEXT);
	else if (name[0] == '?')
		bind_tags(node, scope, RULE_TEXTS);
	else if (strcmp(name, "->>") == 0)
	{
		demand(node, scope, 0, RULE_JSONB, "Write attributes ->> 'key'.");
		demand(node, scope, 1, RULE_TEXT, "Write attributes ->> 'key'.");
		node->type = RULE_TEXT;
	}
	else if (list_length(node->args) == 2 && (name[0] == '+' || name[0] == '-') &&
			 bind_time_arithmetic(node, scope, a, b))
		;
	else
	{
		node->type = unify(node, scope, 0, name);
		if (!IS_NUMBER(node->type) || (name[0] == '%' && node->type == RULE_FLOAT))
			misfit(scope, node, psprintf("%s is for numbers, not for %s", name, rule_type_name(node->type)), NULL);
	}
}

/*
 * A cast that was written
 */
static void
bind_cast(RuleNode *node, const RuleScope *scope)
{
	RuleType from = ((RuleNode *)linitial(node->args))->type;
	RuleType to = node->type;

	if (from == to || (from == RULE_INT && (to == RULE_NUMERIC || to == RULE_FLOAT)) ||
		(from == RULE_NUMERIC && to == RULE_FLOAT) || (from == RULE_FLOAT && to == RULE_NUMERIC) ||
		(from == RULE_TIMESTAMPTZ && to == RULE_DATE) || (from == RULE_DATE && to == RULE_TIMESTAMPTZ) ||
		(from == RULE_INT && to == RULE_TEXT))
		return;
	misfit(scope, node, psprintf("%s is not cast to %s in rules", rule_type_name(from), rule_type_name(to)),
		   "Numbers are made whole by floor, ceil or round.");
}

/*
 * A function
 */
static void
bind_function(RuleNode *node, const RuleScope *scope)
{
	const char *name = node->name;
	RuleNode *first = linitial(node->args);

	if (strcmp(name, "anniversary") == 0)
		node->type = RULE_DATE;
	else if (strcmp(name, "coalesce") == 0 || strcmp(name, "greatest") == 0 || strcmp(name, "least") == 0)
	{
		node->type = unify(node, scope, 0, name);
		if (node->type >= RULE_JSONB)
			misfit(scope, node, psprintf("%s is not for %s", name, rule_type_name(node->type)), NULL);
	}
	else if (strcmp(name, "extract") == 0)
	{
		RuleType from = ((RuleNode *)lsecond(node->args))->type;

		if (from != RULE_TIMESTAMPTZ && from != RULE_DATE)
			misfit(scope, node, "extract is for dates and moments",
				   "Write for example extract(month FROM last_order_at).");
		if (from == RULE_DATE && strcmp(first->name, "hour") == 0)
			misfit(scope, node, "a date has no hour", "Take the hour of a moment, such as last_order_at.");
		node->type = RULE_NUMERIC;
	}
	else if (strcmp(name, "has_tag") == 0 || strcmp(name, "tag_value") == 0)
	{
		bind_tags(node, scope, RULE_TEXT);
		node->type = name[0] == 'h' ? RULE_BOOL : RULE_TEXT;
	}
	else if (strcmp(name, "cardinality") == 0)
	{
		demand(node, scope, 0, RULE_TAGSET, "Write cardinality(tags).");
		node->type = RULE_INT;
	}
	else if (strcmp(name, "length") == 0 || strcmp(name, "lower") == 0 || strcmp(name, "upper") == 0)
	{
		demand(node, scope, 0, RULE_TEXT, NULL);
		node->type = name[1] == 'e' ? RULE_INT : RULE_TEXT;
	}
	else
	{
		if (!IS_NUMBER(first->type))
			misfit(scope, node, psprintf("%s is for numbers, not for %s", name, rule_type_name(first->type)), NULL);
		if (first->type == RULE_INT && strcmp(name, "abs") != 0)
			demand(node, scope, 0, RULE_NUMERIC, NULL);
		node->type = ((RuleNode *)linitial(node->args))->type;
		if (list_length(node->args) == 2)
		{
			RuleNode *digits = lsecond(node->args);

			if (digits->kind != RULE_CONST || digits->type != RULE_INT || strlen(digits->name) > 2)
				misfit(scope, node, "round takes a constant number of digits",
					   "Write for example round(avg_order_12m, 2).");
			demand(node, scope, 0, RULE_NUMERIC, "Write for example round(avg_order_12m, 2).");
			node->type = RULE_NUMERIC;
		}
	}
}

static bool
bind(RuleNode *node, const RuleScope *scope)
{
	ListCell *cell;

	check_stack_depth();
	if (node->kind == RULE_FUNC && strcmp(node->name, "anniversary") == 0)
	{
		/* Birthdays are known apart from the columns, and never in memory. */
		((RuleNode *)linitial(node->args))->type = RULE_DATE;
		if (scope->missing_ok && !OidIsValid(scope->relation))
			return false;
	}
	else
	{
		foreach (cell, node->args)
		{
			if (!bind(lfirst(cell), scope))
				return false;
		}
	}
	switch (node->kind)
	{
		case RULE_CONST:
			break;
		case RULE_COLUMN:
			return bind_column(node, scope);
		case RULE_NOW:
			node->type = RULE_TIMESTAMPTZ;
			break;
		case RULE_TODAY:
			node->type = RULE_DATE;
			break;
		case RULE_AND:
		case RULE_OR:
		case RULE_NOT:
			node->type = RULE_BOOL;
			for (int i = 0; i < list_length(node->args); i++)
				demand(node, scope, i, RULE_BOOL, "AND, OR and NOT combine conditions, such as spend_12m >= 1000.");
			break;
		case RULE_OP:
			bind_operator(node, scope);
			break;
		case RULE_LIKE:
			demand(node, scope, 0, RULE_TEXT, "LIKE is for texts.");
			demand(node, scope, 1, RULE_TEXT, "LIKE is for texts.");
			node->type = RULE_BOOL;
			break;
		case RULE_IN:
		case RULE_BETWEEN:
		case RULE_DISTINCT:
			if (unify(node, scope, 0,
					  node->kind == RULE_IN		   ? "IN"
					  : node->kind == RULE_BETWEEN ? "BETWEEN"
												   : "IS DISTINCT FROM") >= RULE_JSONB)
				misfit(scope, node, "these values are not compared in rules",
					   "Write attributes ->> 'key' = 'value', or tags ? 'vip'.");
			node->type = RULE_BOOL;
			break;
		case RULE_IS:
			if (strcmp(node->name, "NULL") != 0)
				demand(node, scope, 0, RULE_BOOL, "IS TRUE is for conditions.");
			else if (((RuleNode *)linitial(node->args))->type == RULE_UNKNOWN)
				demand(node, scope, 0, RULE_TEXT, NULL);
			node->type = RULE_BOOL;
			break;
		case RULE_CAST:
			bind_cast(node, scope);
			break;
		case RULE_FUNC:
			bind_function(node, scope);
			break;
	}
	return true;
}

bool
rule_bind(RuleNode *node, const RuleScope *scope)
{
	if (!bind(node, scope))
		return false;
	if (node->kind == RULE_CONST && node->type == RULE_UNKNOWN)
		misfit(scope, node, "a rule is a condition", "Write for example spend_12m >= 1000.");
	if (node->type != RULE_BOOL)
		misfit(scope, node, psprintf("a rule is a condition, not a value of type %s", rule_type_name(node->type)),
			   "Write for example spend_12m >= 1000.");
	return true;
}

List *
rule_column_names(RuleNode *node)
{
	List *names = NIL;
	ListCell *cell;

	check_stack_depth();
	if (node->kind == RULE_COLUMN)
		return list_make1(makeString((char *)node->name));
	foreach (cell, node->args)
		names = list_concat_unique(names, rule_column_names(lfirst(cell)));
	return names;
}
