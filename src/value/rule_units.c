#include "value/rule_units.h"

#include "miscadmin.h"
#include "store/money.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

/* What clocks may be set apart, and the days by which months differ, is less than this. */
#define SPAN_MARGIN (3 * USECS_PER_DAY)

typedef enum UnitNodeKind
{
	UNIT_NODE_AND,
	UNIT_NODE_OR,
	UNIT_NODE_NOT,
	UNIT_NODE_IS_NULL,
	UNIT_NODE_RANGE, /* low <= figure <= high */
	UNIT_NODE_SPAN	 /* figure compared with now() and a span of time */
} UnitNodeKind;

struct UnitRule
{
	UnitNodeKind kind;
	int column;
	int64 low;
	int64 high;

	/* Of a span: low and high are the bounds of the moment less now(), whatever the calendar. */
	const Interval *span;
	int sign;
	char op[3];
	pg_tz *zone;

	int nargs;
	UnitRule **args;
};

static UnitRule *
make_node(const CompiledRule *rule, const RuleNode *node, const UnitKind *kinds);

/*
 * A node with room for arguments
 */
static UnitRule *
new_node(UnitNodeKind kind, int nargs)
{
	UnitRule *made = palloc0(sizeof(UnitRule));

	made->kind = kind;
	made->args = nargs > 0 ? palloc0(sizeof(UnitRule *) * nargs) : NULL;
	made->nargs = nargs;
	return made;
}

/*
 * The column that a node is, or that it converts to numeric; -1 when it is neither
 */
static int
column_of(const RuleNode *node)
{
	if (node->kind == RULE_CAST && node->type == RULE_NUMERIC)
		node = linitial(node->args);
	return node->kind == RULE_COLUMN &&
				   (node->type == RULE_INT || node->type == RULE_NUMERIC || node->type == RULE_TIMESTAMPTZ)
			   ? node->column
			   : -1;
}

/*
 * The greatest whole number of units that is not above a constant, and whether it is equal; false when there is none
 */
static bool
constant_units(const RuleNode *node, UnitKind kind, int64 *units, bool *exact)
{
	Datum scaled;
	Datum whole;
	Datum limit;

	*exact = true;
	if (node->kind != RULE_CONST)
		return false;
	if (node->type == RULE_TIMESTAMPTZ)
	{
		*units = DatumGetTimestampTz(node->value);
		return kind == UNIT_MOMENT;
	}
	if (kind == UNIT_MOMENT || (node->type != RULE_INT && node->type != RULE_NUMERIC))
		return false;
	scaled = node->type == RULE_INT ? DirectFunctionCall1(int8_numeric, node->value) : node->value;
	if (numeric_is_nan(DatumGetNumeric(scaled)) || numeric_is_inf(DatumGetNumeric(scaled)))
		return false;
	if (kind == UNIT_MONEY)
		scaled = DirectFunctionCall2(numeric_mul, scaled, DirectFunctionCall1(int8_numeric, Int64GetDatum(MONEY_UNITS)));
	limit = DirectFunctionCall1(int8_numeric, Int64GetDatum(PG_INT64_MAX / 2));
	if (!DatumGetBool(DirectFunctionCall2(numeric_lt, DirectFunctionCall1(numeric_abs, scaled), limit)))
		return false;
	whole = DirectFunctionCall1(numeric_floor, scaled);
	*exact = DatumGetBool(DirectFunctionCall2(numeric_eq, whole, scaled));
	*units = DatumGetInt64(DirectFunctionCall1(numeric_int8, whole));
	return true;
}

/*
 * figure op units, as a range
 */
static UnitRule *
make_range(int column, const char *op, int64 units, bool exact)
{
	UnitRule *range = new_node(UNIT_NODE_RANGE, 0);

	range->column = column;
	range->low = PG_INT64_MIN;
	range->high = PG_INT64_MAX;
	if (strcmp(op, ">=") == 0)
		range->low = exact ? units : units + 1;
	else if (strcmp(op, ">") == 0)
		range->low = units + 1;
	else if (strcmp(op, "<=") == 0)
		range->high = units;
	else if (strcmp(op, "<") == 0)
		range->high = exact ? units - 1 : units;
	else
	{
		range->low = units;
		range->high = exact ? units : units - 1;
	}
	if (strcmp(op, "<>") == 0)
	{
		UnitRule *not = new_node(UNIT_NODE_NOT, 1);

		not->args[0] = range;
		return not;
	}
	return range;
}

/*
 * Is a constant or a figure at the ends of what moments there are? Those have no neighbours to go to.
 */
static bool
usable_moment(UnitKind kind, int64 units)
{
	return kind != UNIT_MOMENT || !TIMESTAMP_NOT_FINITE(units);
}

/*
 * now(), or now() and a constant span
 */
static bool
moving_moment(const RuleNode *node, const Interval **span, int *sign)
{
	static const Interval none = {0};

	*span = &none;
	*sign = 1;
	if (node->kind == RULE_NOW)
		return true;
	if (node->kind != RULE_OP || node->type != RULE_TIMESTAMPTZ || list_length(node->args) != 2 ||
		((RuleNode *)linitial(node->args))->kind != RULE_NOW || ((RuleNode *)lsecond(node->args))->kind != RULE_CONST)
		return false;
	*span = DatumGetIntervalP(((RuleNode *)lsecond(node->args))->value);
	*sign = node->name[0] == '-' ? -1 : 1;
	return true;
}

/*
 * figure op now() and a span
 */
static UnitRule *
make_span(const CompiledRule *rule, int column, const char *op, const Interval *span, int sign)
{
	UnitRule *made = new_node(UNIT_NODE_SPAN, 0);
	int64 months = (int64)sign * span->month;
	int64 fixed = sign * (span->day * USECS_PER_DAY + span->time);

	made->column = column;
	made->span = span;
	made->sign = sign;
	made->zone = rule->zone;
	strlcpy(made->op, op, sizeof(made->op));
	/* A month is 28 to 31 days. */
	made->low = fixed + (months < 0 ? 31 : 28) * months * USECS_PER_DAY - SPAN_MARGIN;
	made->high = fixed + (months < 0 ? 28 : 31) * months * USECS_PER_DAY + SPAN_MARGIN;
	return made;
}

/*
 * A comparison
 */
static UnitRule *
make_comparison(const CompiledRule *rule, const RuleNode *left, const char *op, const RuleNode *right, const UnitKind *kinds)
{
	static const char *const mirrored[][2] = {{"<", ">"}, {">", "<"}, {"<=", ">="}, {">=", "<="}, {"=", "="}, {"<>", "<>"}};
	int column = column_of(left);
	const Interval *span;
	int64 units;
	bool exact;
	int sign;

	if (column < 0)
	{
		const RuleNode *swap = left;

		column = column_of(right);
		left = right;
		right = swap;
		for (int i = 0; i < lengthof(mirrored); i++)
		{
			if (strcmp(op, mirrored[i][0]) == 0)
			{
				op = mirrored[i][1];
				break;
			}
		}
	}
	if (column < 0)
		return NULL;
	if (constant_units(right, kinds[column], &units, &exact) && usable_moment(kinds[column], units))
		return make_range(column, op, units, exact);
	if (kinds[column] == UNIT_MOMENT && moving_moment(right, &span, &sign))
		return make_span(rule, column, op, span, sign);
	return NULL;
}

/*
 * IN and BETWEEN, as comparisons joined
 */
static UnitRule *
make_list(const CompiledRule *rule, const RuleNode *node, const UnitKind *kinds)
{
	bool in = node->kind == RULE_IN;
	int count = list_length(node->args) - 1;
	UnitRule *made = new_node(in ? UNIT_NODE_OR : UNIT_NODE_AND, count);

	for (int i = 0; i < count; i++)
	{
		made->args[i] =
			make_comparison(rule, linitial(node->args), in ? "=" : i == 0 ? ">=" : "<=", list_nth(node->args, i + 1), kinds);
		if (made->args[i] == NULL)
			return NULL;
	}
	return made;
}

/*
 * The node of a rule's node; NULL when comparisons do not say it
 */
static UnitRule *
make_positive(const CompiledRule *rule, const RuleNode *node, const UnitKind *kinds)
{
	UnitRule *made;

	switch (node->kind)
	{
		case RULE_AND:
		case RULE_OR:
		case RULE_NOT:
			made = new_node(node->kind == RULE_AND  ? UNIT_NODE_AND
							: node->kind == RULE_OR ? UNIT_NODE_OR
													: UNIT_NODE_NOT,
							list_length(node->args));
			for (int i = 0; i < made->nargs; i++)
			{
				made->args[i] = make_node(rule, list_nth(node->args, i), kinds);
				if (made->args[i] == NULL)
					return NULL;
			}
			return made;
		case RULE_OP:
			if (node->type != RULE_BOOL || list_length(node->args) != 2 || strspn(node->name, "=<>") != strlen(node->name))
				return NULL;
			return make_comparison(rule, linitial(node->args), node->name, lsecond(node->args), kinds);
		case RULE_IN:
		case RULE_BETWEEN:
			return make_list(rule, node, kinds);
		case RULE_IS:
			if (node->name[0] != 'N' || column_of(linitial(node->args)) < 0)
				return NULL;
			made = new_node(UNIT_NODE_IS_NULL, 0);
			made->column = column_of(linitial(node->args));
			return made;
		default:
			return NULL;
	}
}

/*
 * The same, heeding NOT IN and the like
 */
static UnitRule *
make_node(const CompiledRule *rule, const RuleNode *node, const UnitKind *kinds)
{
	UnitRule *made;
	UnitRule *not;

	check_stack_depth();
	made = make_positive(rule, node, kinds);
	if (made == NULL || !node->negated)
		return made;
	not = new_node(UNIT_NODE_NOT, 1);
	not->args[0] = made;
	return not;
}

UnitRule *
unit_rule_make(const CompiledRule *rule, const UnitKind *kinds)
{
	return make_node(rule, rule->root, kinds);
}

/*
 * Does a figure lie in a range?
 */
static UnitAnswer
in_range(const UnitFigure *figure, int64 low, int64 high)
{
	if (figure->low >= low && figure->high <= high)
		return UNIT_TRUE;
	return figure->high < low || figure->low > high ? UNIT_FALSE : UNIT_UNKNOWN;
}

/*
 * figure op limit
 */
static UnitAnswer
compare_figure(const UnitFigure *figure, const char *op, int64 limit)
{
	UnitAnswer answer;

	switch (op[0])
	{
		case '<':
			if (op[1] == '>')
			{
				answer = in_range(figure, limit, limit);
				return answer == UNIT_UNKNOWN ? answer : answer == UNIT_TRUE ? UNIT_FALSE : UNIT_TRUE;
			}
			return in_range(figure, PG_INT64_MIN, op[1] == '=' ? limit : limit - 1);
		case '>':
			return in_range(figure, op[1] == '=' ? limit : limit + 1, PG_INT64_MAX);
		default:
			return in_range(figure, limit, limit);
	}
}

/*
 * A figure compared with a moment that moves with the clock
 */
static UnitAnswer
answer_span(UnitRule *rule, const UnitFigure *figure, TimestampTz at)
{
	/* Most figures lie so far from the moment that the calendar need not be asked where exactly it is. */
	if (figure->low > at + rule->high)
		return rule->op[0] == '>' || rule->op[1] == '>' ? UNIT_TRUE : UNIT_FALSE;
	if (figure->high < at + rule->low)
		return rule->op[0] == '<' ? UNIT_TRUE : UNIT_FALSE;
	return compare_figure(figure, rule->op, rule_add_interval(at, rule->span, rule->sign, rule->zone));
}

/*
 * AND and OR
 */
static UnitAnswer
answer_all(UnitRule *rule, const UnitFigure *figures, TimestampTz at)
{
	UnitAnswer decides = rule->kind == UNIT_NODE_OR ? UNIT_TRUE : UNIT_FALSE;
	UnitAnswer answer = decides == UNIT_TRUE ? UNIT_FALSE : UNIT_TRUE;

	for (int i = 0; i < rule->nargs; i++)
	{
		UnitAnswer one = unit_rule_answer(rule->args[i], figures, at);

		if (one == decides)
			return decides;
		if (one == UNIT_UNKNOWN || (one == UNIT_NULL && answer != UNIT_UNKNOWN))
			answer = one;
	}
	return answer;
}

UnitAnswer
unit_rule_answer(UnitRule *rule, const UnitFigure *figures, TimestampTz at)
{
	const UnitFigure *figure = &figures[rule->column];
	UnitAnswer answer;

	switch (rule->kind)
	{
		case UNIT_NODE_AND:
		case UNIT_NODE_OR:
			return answer_all(rule, figures, at);
		case UNIT_NODE_NOT:
			answer = unit_rule_answer(rule->args[0], figures, at);
			return answer == UNIT_TRUE ? UNIT_FALSE : answer == UNIT_FALSE ? UNIT_TRUE : answer;
		case UNIT_NODE_IS_NULL:
			return figure->maybe_null ? UNIT_UNKNOWN : figure->isnull ? UNIT_TRUE : UNIT_FALSE;
		default:
			break;
	}
	if (figure->maybe_null)
		return UNIT_UNKNOWN;
	if (figure->isnull)
		return UNIT_NULL;
	if (rule->kind == UNIT_NODE_RANGE)
		return in_range(figure, rule->low, rule->high);
	return answer_span(rule, figure, at);
}
