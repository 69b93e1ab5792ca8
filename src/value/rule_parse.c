#include "value/rule.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/formatting.h"

/* An expression is no statement, so PostgreSQL's parser gets it behind these words. */
#define PREFIX "SELECT WHERE "
#define PREFIX_LENGTH ((int)sizeof(PREFIX) - 1)

typedef struct ParseState
{
	const char *text;
	int nodes;
} ParseState;

static RuleNode *
walk(ParseState *state, Node *raw);

/*
 * The beginning of a text, for messages
 */
static const char *
excerpt(const char *text)
{
	int length = pg_mbcliplen(text, strlen(text), 40);

	return text[length] ? psprintf("%.*s...", length, text) : text;
}

void
rule_error(int sqlstate, const char *text, int location, const char *message, const char *hint)
{
	int position = location >= 0 && location <= (int)strlen(text) ? pg_mbstrlen_with_len(text, location) + 1 : 0;

	ereport(ERROR, (errcode(sqlstate), errmsg_internal("%s", message),
					position > 0 ? errdetail("At character %d of the rule: %s", position, excerpt(text + location)) : 0,
					hint ? errhint("%s", hint) : 0, internalerrquery(text), internalerrposition(position)));
}

/*
 * Raise that something is not on the closed list
 */
static void
pg_attribute_noreturn() refuse(ParseState *state, int location, const char *what, const char *hint)
{
	rule_error(CRM_ERRCODE_RULE_REFUSED, state->text, location < 0 ? -1 : location - PREFIX_LENGTH,
			   psprintf("%s cannot be used in a rule", what), hint);
}

/*
 * Make a node
 */
static RuleNode *
make_node(ParseState *state, RuleNodeKind kind, const char *name, List *args, int location)
{
	RuleNode *node = palloc0(sizeof(RuleNode));

	if (++state->nodes > RULE_MAX_NODES)
		refuse(state, location, psprintf("More than %d parts", RULE_MAX_NODES),
			   "Split the rule into several segments.");
	node->kind = kind;
	node->name = name;
	node->args = args;
	node->location = location < 0 ? -1 : location - PREFIX_LENGTH;
	return node;
}

/*
 * Make a constant the number of these digits
 */
static void
set_number(RuleNode *node, const char *digits)
{
	node->type = strchr(digits, '.') == NULL && strlen(digits) <= 18 ? RULE_INT : RULE_NUMERIC;
	node->name = pstrdup(digits);
}

/*
 * A constant
 */
static RuleNode *
walk_const(ParseState *state, A_Const *constant)
{
	RuleNode *node = make_node(state, RULE_CONST, NULL, NIL, constant->location);

	if (constant->isnull)
		refuse(state, constant->location, "NULL as a value", "Write column IS NULL or column IS NOT NULL.");
	switch (nodeTag(&constant->val))
	{
		case T_Integer:
			set_number(node, psprintf("%d", intVal(&constant->val)));
			break;
		case T_Float:
		{
			/* Hexadecimal and the like, which some versions read here, get their plain form or are refused. */
			const char *digits = castNode(Float, &constant->val)->fval;

			if (strlen(digits) > 60 || strspn(digits, "0123456789.-") != strlen(digits))
				refuse(state, constant->location, "This way to write a number", "Write plain digits, at most 60.");
			set_number(node, digits);
			break;
		}
		case T_Boolean:
			node->type = RULE_BOOL;
			node->name = boolVal(&constant->val) ? "true" : "false";
			break;
		case T_String:
			node->type = RULE_UNKNOWN;
			node->name = pstrdup(strVal(&constant->val));
			break;
		default:
			refuse(state, constant->location, "A bit string", "Compare with numbers, texts or dates.");
	}
	return node;
}

/*
 * A column, by a plain name
 */
static RuleNode *
walk_column(ParseState *state, ColumnRef *column)
{
	static const char *const system_columns[] = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"};
	const char *name;

	if (list_length(column->fields) != 1)
		refuse(state, column->location, "A qualified name", "Name the column alone, such as spend_12m.");
	if (!IsA(linitial(column->fields), String))
		refuse(state, column->location, "*", "Name one column, such as spend_12m.");
	name = strVal(linitial(column->fields));
	for (int i = 0; i < lengthof(system_columns); i++)
	{
		if (strcmp(name, system_columns[i]) == 0)
			refuse(state, column->location, "A system column",
				   "describe_columns() lists the columns that rules may use.");
	}
	if (strcmp(name, "birth_date") == 0)
		refuse(
			state, column->location, "birth_date",
			"Write anniversary(birth_date), the next birthday, such as anniversary(birth_date) <= CURRENT_DATE + 7.");
	return make_node(state, RULE_COLUMN, pstrdup(name), NIL, column->location);
}

/*
 * The type named by a cast, which must be on the list
 */
static RuleType
walk_type(ParseState *state, TypeName *type, int location)
{
	RuleType result = RULE_UNKNOWN;
	int names = list_length(type->names);

	if (names == 1 || (names == 2 && strcmp(strVal(linitial(type->names)), "pg_catalog") == 0))
		result = rule_type_of_name(strVal(llast(type->names)));
	if (result == RULE_UNKNOWN || type->setof || type->pct_type)
		refuse(
			state, location, psprintf("Type %s", NameListToString(type->names)),
			"The types of rules are boolean, bigint, numeric, double precision, text, date, timestamptz and interval.");
	/* The parser gives interval without a field a modifier list of NIL, and with one, a mask. */
	if (type->typmods != NIL || type->arrayBounds != NIL)
		refuse(state, location, "A type with modifiers or an array", "Write the plain type, such as numeric.");
	return result;
}

/*
 * Check a constant of a written type: the forms that read the same under every setting of the session
 */
static void
check_typed_constant(ParseState *state, RuleNode *node)
{
	(void)rule_constant(node, node->type, NULL, state->text);
}

/*
 * A cast
 */
static RuleNode *
walk_cast(ParseState *state, TypeCast *cast)
{
	RuleType type = walk_type(state, cast->typeName, cast->location);
	RuleNode *arg = walk(state, cast->arg);
	RuleNode *node;

	if (arg->kind == RULE_CONST && arg->type == type)
		return arg;
	if (arg->kind == RULE_CONST && arg->type == RULE_UNKNOWN)
	{
		arg->type = type;
		check_typed_constant(state, arg);
		return arg;
	}
	if (type == RULE_INTERVAL)
		refuse(state, cast->location, "An interval made of a column",
			   "Write interval '90 days', or compare numbers of days.");
	node = make_node(state, RULE_CAST, NULL, list_make1(arg), cast->location);
	node->type = type;
	return node;
}

/*
 * An operator, or one of the forms that the parser keeps like operators
 */
static RuleNode *
walk_operator(ParseState *state, A_Expr *expr)
{
	static const char *const operators[] = {"=", "<>", "<",	 "<=", ">",	 ">=", "+",	 "-",  "*",	 "/",
											"%", "@@", "@>", "<@", "&&", "?",  "?|", "?&", "->>"};
	const char *name = strVal(llast(expr->name));
	RuleNode *node;

	switch (expr->kind)
	{
		case AEXPR_OP:
		{
			bool known = false;

			if (list_length(expr->name) != 1)
				refuse(state, expr->location, "OPERATOR()",
					   "Write the operator alone; rules use PostgreSQL's own and those of crm.");
			for (int i = 0; i < lengthof(operators); i++)
				known = known || strcmp(name, operators[i]) == 0;
			if (!known)
				refuse(state, expr->location, psprintf("Operator %s", name),
					   name[0] == '~' || name[0] == '!'
						   ? "Write column LIKE 'pattern'."
						   : "The operators of rules are = <> < <= > >= + - * / % @@ @> <@ && ? ?| ?& ->>.");
			if (expr->lexpr == NULL)
			{
				if (strcmp(name, "+") == 0)
					return walk(state, expr->rexpr);
				if (strcmp(name, "-") != 0)
					refuse(state, expr->location, psprintf("Operator %s with one operand", name),
						   "Give it two operands.");
				node = walk(state, expr->rexpr);
				/* Before a number it is the number's sign: so the server's parser has it, unless a plus or a cast stands between. */
				if (node->kind != RULE_CONST || (node->type != RULE_INT && node->type != RULE_NUMERIC) ||
					strspn(node->name, "0123456789.-") != strlen(node->name))
					return make_node(state, RULE_OP, "-", list_make1(node), expr->location);
				if (strcmp(node->name, "0") != 0)
					set_number(node, node->name[0] == '-' ? node->name + 1 : psprintf("-%s", node->name));
				return node;
			}
			return make_node(state, RULE_OP, pstrdup(name),
							 list_make2(walk(state, expr->lexpr), walk(state, expr->rexpr)), expr->location);
		}
		case AEXPR_LIKE:
		case AEXPR_ILIKE:
		{
			RuleNode *pattern = walk(state, expr->rexpr);
			int backslashes = 0;

			if (pattern->kind != RULE_CONST || (pattern->type != RULE_UNKNOWN && pattern->type != RULE_TEXT))
				refuse(state, expr->location, "LIKE without a constant pattern", "Write column LIKE 'pattern%'.");
			for (const char *c = pattern->name + strlen(pattern->name); c > pattern->name && c[-1] == '\\'; c--)
				backslashes++;
			if (backslashes % 2 == 1)
				refuse(state, expr->location, "A pattern that ends with \\", "Write \\\\ for a backslash.");
			node = make_node(state, RULE_LIKE, expr->kind == AEXPR_LIKE ? "LIKE" : "ILIKE",
							 list_make2(walk(state, expr->lexpr), pattern), expr->location);
			node->negated = name[0] == '!';
			return node;
		}
		case AEXPR_IN:
		{
			List *args = list_make1(walk(state, expr->lexpr));
			ListCell *cell;

			if (!IsA(expr->rexpr, List))
				refuse(state, expr->location, "IN with a query", "List the values: column IN ('a', 'b').");
			foreach (cell, (List *)expr->rexpr)
			{
				RuleNode *item = walk(state, lfirst(cell));

				if (item->kind != RULE_CONST)
					refuse(state, expr->location, "IN with anything but constants",
						   "List the values: column IN ('a', 'b').");
				args = lappend(args, item);
			}
			node = make_node(state, RULE_IN, NULL, args, expr->location);
			node->negated = strcmp(name, "<>") == 0;
			return node;
		}
		case AEXPR_BETWEEN:
		case AEXPR_NOT_BETWEEN:
		{
			List *limits = castNode(List, expr->rexpr);

			node = make_node(
				state, RULE_BETWEEN, NULL,
				list_make3(walk(state, expr->lexpr), walk(state, linitial(limits)), walk(state, lsecond(limits))),
				expr->location);
			node->negated = expr->kind == AEXPR_NOT_BETWEEN;
			return node;
		}
		case AEXPR_DISTINCT:
		case AEXPR_NOT_DISTINCT:
			node = make_node(state, RULE_DISTINCT, NULL, list_make2(walk(state, expr->lexpr), walk(state, expr->rexpr)),
							 expr->location);
			node->negated = expr->kind == AEXPR_NOT_DISTINCT;
			return node;
		case AEXPR_OP_ANY:
		case AEXPR_OP_ALL:
			refuse(state, expr->location, "ANY or ALL", "List the values: column IN ('a', 'b').");
		case AEXPR_SIMILAR:
			refuse(state, expr->location, "SIMILAR TO", "Write column LIKE 'pattern'.");
		case AEXPR_BETWEEN_SYM:
		case AEXPR_NOT_BETWEEN_SYM:
			refuse(state, expr->location, "BETWEEN SYMMETRIC", "Write column BETWEEN low AND high.");
		default:
			refuse(state, expr->location, "This operator", "The operators of rules are = <> < <= > >= + - * / %.");
	}
}

/*
 * AND, OR and NOT, the first two flat
 */
static RuleNode *
walk_boolean(ParseState *state, BoolExpr *expr)
{
	RuleNodeKind kind = expr->boolop == AND_EXPR ? RULE_AND : expr->boolop == OR_EXPR ? RULE_OR : RULE_NOT;
	List *args = NIL;
	ListCell *cell;

	foreach (cell, expr->args)
	{
		RuleNode *arg = walk(state, lfirst(cell));

		if (kind != RULE_NOT && arg->kind == kind)
			args = list_concat(args, arg->args);
		else
			args = lappend(args, arg);
	}
	return make_node(state, kind, NULL, args, expr->location);
}

/*
 * IS [NOT] NULL, TRUE, FALSE, UNKNOWN
 */
static RuleNode *
make_is(ParseState *state, Node *arg, const char *what, bool negated, int location)
{
	RuleNode *node = make_node(state, RULE_IS, what, list_make1(walk(state, arg)), location);

	node->negated = negated;
	return node;
}

static RuleNode *
walk_boolean_test(ParseState *state, BooleanTest *test)
{
	static const char *const words[] = {"TRUE", "TRUE", "FALSE", "FALSE", "UNKNOWN", "UNKNOWN"};

	return make_is(state, (Node *)test->arg, words[test->booltesttype],
				   test->booltesttype == IS_NOT_TRUE || test->booltesttype == IS_NOT_FALSE ||
					   test->booltesttype == IS_NOT_UNKNOWN,
				   test->location);
}

/*
 * Arguments of a function
 */
static List *
walk_list(ParseState *state, List *raw)
{
	List *args = NIL;
	ListCell *cell;

	foreach (cell, raw)
		args = lappend(args, walk(state, lfirst(cell)));
	return args;
}

/*
 * A function of the short list
 */
static RuleNode *
walk_function(ParseState *state, FuncCall *call)
{
	static const struct
	{
		const char *name;
		int least;
		int most;
	} functions[] = {{"now", 0, 0},		  {"anniversary", 1, 1}, {"abs", 1, 1},		{"ceil", 1, 1},
					 {"ceiling", 1, 1},	  {"floor", 1, 1},		 {"round", 1, 2},	{"length", 1, 1},
					 {"lower", 1, 1},	  {"upper", 1, 1},		 {"extract", 2, 2}, {"has_tag", 2, 2},
					 {"tag_value", 2, 2}, {"cardinality", 1, 1}};
	static const char *const fields[] = {"year", "quarter", "month", "week", "day", "isodow", "dow", "hour"};
	const char *name = strVal(llast(call->funcname));
	int nargs = list_length(call->args);
	bool known = false;
	List *args;

	for (int i = 0; i < lengthof(functions); i++)
	{
		if (strcmp(name, functions[i].name) != 0)
			continue;
		/* extract(x FROM y) comes qualified; nothing else may be. */
		if (list_length(call->funcname) != 1 &&
			!(strcmp(name, "extract") == 0 && call->funcformat == COERCE_SQL_SYNTAX))
			break;
		known = nargs >= functions[i].least && nargs <= functions[i].most;
		if (!known)
			refuse(state, call->location, psprintf("%s with %d arguments", name, nargs),
				   functions[i].most == 0	? "Give none."
				   : functions[i].most == 1 ? "Give one."
											: "Give two.");
	}
	if (!known)
		refuse(
			state, call->location, psprintf("Function %s", NameListToString(call->funcname)),
			"The functions of rules are now, anniversary, abs, ceil, floor, round, greatest, least, coalesce, length, "
			"lower, upper, extract, has_tag, tag_value and cardinality.");
	if (call->agg_order || call->agg_filter || call->over || call->agg_within_group || call->agg_star ||
		call->agg_distinct || call->func_variadic)
		refuse(state, call->location, "An aggregate or window",
			   "Use a column that is already counted, such as orders_12m.");

	if (strcmp(name, "now") == 0)
		return make_node(state, RULE_NOW, NULL, NIL, call->location);
	if (strcmp(name, "anniversary") == 0)
	{
		ColumnRef *column = linitial(call->args);

		if (!IsA(column, ColumnRef) || list_length(column->fields) != 1 || !IsA(linitial(column->fields), String) ||
			strcmp(strVal(linitial(column->fields)), "birth_date") != 0)
			refuse(state, call->location, "anniversary of anything but birth_date", "Write anniversary(birth_date).");
		return make_node(state, RULE_FUNC, "anniversary",
						 list_make1(make_node(state, RULE_COLUMN, "birth_date", NIL, column->location)),
						 call->location);
	}
	args = walk_list(state, call->args);
	if (strcmp(name, "extract") == 0)
	{
		RuleNode *field = linitial(args);

		known = false;
		for (int i = 0; i < lengthof(fields); i++)
			known = known || (field->kind == RULE_CONST && pg_strcasecmp(field->name, fields[i]) == 0);
		if (!known)
			refuse(state, call->location, "This field of extract",
				   "The fields of rules are year, quarter, month, week, day, isodow, dow and hour.");
		field->type = RULE_TEXT;
		field->name = asc_tolower(field->name, strlen(field->name));
	}
	return make_node(state, RULE_FUNC, strcmp(name, "ceiling") == 0 ? "ceil" : pstrdup(name), args, call->location);
}

/*
 * One node of PostgreSQL's raw tree; whatever is not named here is refused
 */
static RuleNode *
walk(ParseState *state, Node *raw)
{
	check_stack_depth();
	switch (nodeTag(raw))
	{
		case T_A_Const:
			return walk_const(state, (A_Const *)raw);
		case T_ColumnRef:
			return walk_column(state, (ColumnRef *)raw);
		case T_TypeCast:
			return walk_cast(state, (TypeCast *)raw);
		case T_A_Expr:
			return walk_operator(state, (A_Expr *)raw);
		case T_BoolExpr:
			return walk_boolean(state, (BoolExpr *)raw);
		case T_NullTest:
		{
			NullTest *test = (NullTest *)raw;

			return make_is(state, (Node *)test->arg, "NULL", test->nulltesttype == IS_NOT_NULL, test->location);
		}
		case T_BooleanTest:
			return walk_boolean_test(state, (BooleanTest *)raw);
		case T_FuncCall:
			return walk_function(state, (FuncCall *)raw);
		case T_CoalesceExpr:
		{
			CoalesceExpr *expr = (CoalesceExpr *)raw;

			return make_node(state, RULE_FUNC, "coalesce", walk_list(state, expr->args), expr->location);
		}
		case T_MinMaxExpr:
		{
			MinMaxExpr *expr = (MinMaxExpr *)raw;

			return make_node(state, RULE_FUNC, expr->op == IS_GREATEST ? "greatest" : "least",
							 walk_list(state, expr->args), expr->location);
		}
		case T_SQLValueFunction:
		{
			SQLValueFunction *value = (SQLValueFunction *)raw;

			if (value->op == SVFOP_CURRENT_DATE)
				return make_node(state, RULE_TODAY, NULL, NIL, value->location);
			if (value->op == SVFOP_CURRENT_TIMESTAMP)
				return make_node(state, RULE_NOW, NULL, NIL, value->location);
			refuse(state, value->location, "This session value", "Rules know now() and CURRENT_DATE.");
		}
		case T_SubLink:
			refuse(state, ((SubLink *)raw)->location, "A query", "Use a column; describe_columns() lists them.");
		case T_CaseExpr:
			refuse(state, ((CaseExpr *)raw)->location, "CASE", "Combine conditions with AND, OR and parentheses.");
		case T_ParamRef:
			refuse(state, ((ParamRef *)raw)->location, "A parameter", "Write the value itself.");
		case T_CollateClause:
			refuse(state, ((CollateClause *)raw)->location, "COLLATE", "Compare texts with = or LIKE.");
		case T_A_ArrayExpr:
			refuse(state, ((A_ArrayExpr *)raw)->location, "ARRAY", "Write tags ?| '{a,b}', or column IN ('a', 'b').");
		case T_RowExpr:
			refuse(state, ((RowExpr *)raw)->location, "A row", "Compare one column at a time.");
		default:
			refuse(state, -1, "This kind of expression",
				   "Rules compare columns with values and combine that with AND, OR, NOT.");
	}
}

/*
 * Show places of syntax errors in the rule, not in the statement around it
 */
static void
place_syntax_error(void *arg)
{
	int position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(Max(position - PREFIX_LENGTH, 1));
		internalerrquery((const char *)arg);
		errdetail("At character %d of the rule.", Max(position - PREFIX_LENGTH, 1));
		errhint("A rule is a condition such as spend_12m >= 1000 AND tier IN ('gold', 'diamond').");
	}
}

/*
 * Run PostgreSQL's parser with the settings pinned that change what a text means
 */
static List *
parse_pinned(const char *text)
{
	bool saved_strings = standard_conforming_strings;
	bool saved_warning = escape_string_warning;
	int saved_quote = backslash_quote;
	ErrorContextCallback callback = {
		.previous = error_context_stack, .callback = place_syntax_error, .arg = (void *)text};
	List *volatile parsed = NIL;

	error_context_stack = &callback;
	PG_TRY();
	{
		standard_conforming_strings = true;
		escape_string_warning = false;
		backslash_quote = BACKSLASH_QUOTE_SAFE_ENCODING;
		parsed = raw_parser(psprintf(PREFIX "%s", text), RAW_PARSE_DEFAULT);
	}
	PG_FINALLY();
	{
		standard_conforming_strings = saved_strings;
		escape_string_warning = saved_warning;
		backslash_quote = saved_quote;
	}
	PG_END_TRY();
	error_context_stack = callback.previous;
	return parsed;
}

RuleNode *
rule_parse(const char *text)
{
	ParseState state = {.text = text};
	List *parsed;
	SelectStmt *select;
	RuleNode *node;

	if (strlen(text) > RULE_MAX_LENGTH)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("rule is too long"),
						errdetail("It has %zu bytes; the limit is %d.", strlen(text), RULE_MAX_LENGTH),
						errhint("Split the rule into several segments.")));
	parsed = parse_pinned(text);
	if (list_length(parsed) != 1 || !IsA(((RawStmt *)linitial(parsed))->stmt, SelectStmt))
		refuse(&state, -1, "More than one statement", "Write one condition, such as spend_12m >= 1000.");
	select = (SelectStmt *)((RawStmt *)linitial(parsed))->stmt;
	if (select->op != SETOP_NONE || select->whereClause == NULL || select->distinctClause || select->intoClause ||
		select->targetList || select->fromClause || select->groupClause || select->havingClause ||
		select->windowClause || select->valuesLists || select->sortClause || select->limitOffset ||
		select->limitCount || select->lockingClause || select->withClause)
		refuse(&state, -1, "A query or a clause after the condition",
			   "Write one condition, such as spend_12m >= 1000.");
	node = walk(&state, select->whereClause);
	return node;
}
