#include "value/rule.h"

#include <math.h>

#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

typedef struct Evaluation
{
	CompiledRule *rule;
	const Datum *values;
	const bool *isnull;
	TimestampTz at;
} Evaluation;

static bool
evaluate(Evaluation *e, RuleNode *node, Datum *result);

/*
 * Look up what an operator of pg_catalog or crm calls
 */
static FmgrInfo *
find_operator(CompiledRule *rule, const char *schema, const char *name, Oid left, Oid right)
{
	Oid found = OpernameGetOprid(list_make2(makeString((char *)schema), makeString((char *)name)), left, right);
	FmgrInfo *function = palloc0(sizeof(FmgrInfo));

	if (!OidIsValid(found))
		elog(ERROR, "operator %s.%s(%u,%u) does not exist", schema, name, left, right);
	fmgr_info_cxt(get_opcode(found), function, rule->context);
	return function;
}

/*
 * Type of an argument
 */
static RuleType
argument_type(const RuleNode *node, int n)
{
	return rule_argument(node, n)->type;
}

/*
 * The same as PostgreSQL calls it
 */
static Oid
argument_oid(const RuleNode *node, int n)
{
	return rule_type_oid(argument_type(node, n));
}

/*
 * Look up operators, functions and constants of a bound tree. False when it asks for what only SQL can answer.
 */
static bool
compile(CompiledRule *rule, RuleNode *node, const char *zone)
{
	ListCell *cell;

	check_stack_depth();
	foreach (cell, node->args)
	{
		if (!compile(rule, lfirst(cell), zone))
			return false;
	}
	switch (node->kind)
	{
		case RULE_CONST:
			node->value = rule_constant(node, node->type == RULE_UNKNOWN ? RULE_TEXT : node->type, zone, node->name);
			return true;
		case RULE_COLUMN:
			return node->column_type == rule_type_oid(node->type);
		case RULE_OP:
			if (node->type == RULE_BOOL || node->type == RULE_TEXT || node->type == RULE_INTERVAL ||
				(node->type == RULE_NUMERIC && list_length(node->args) == 2))
				node->function = find_operator(rule, argument_type(node, 0) == RULE_TAGSET ? CRM_SCHEMA : "pg_catalog", node->name,
											   argument_oid(node, 0), argument_oid(node, list_length(node->args) - 1));
			return true;
		case RULE_IN:
		case RULE_DISTINCT:
			node->function =
				find_operator(rule, "pg_catalog", "=", argument_oid(node, 0), argument_oid(node, 0));
			return true;
		case RULE_BETWEEN:
			node->function =
				find_operator(rule, "pg_catalog", "<=", argument_oid(node, 0), argument_oid(node, 0));
			return true;
		case RULE_LIKE:
			node->function = find_operator(rule, "pg_catalog", node->name[0] == 'L' ? "~~" : "~~*", TEXTOID, TEXTOID);
			return true;
		case RULE_FUNC:
			if (strcmp(node->name, "greatest") == 0 || strcmp(node->name, "least") == 0)
				node->function = find_operator(rule, "pg_catalog", node->name[0] == 'g' ? ">" : "<",
											   argument_oid(node, 0), argument_oid(node, 0));
			else if (argument_type(node, 0) == RULE_TAGSET)
			{
				Oid types[2] = {rule_type_oid(RULE_TAGSET), TEXTOID};
				Oid function = LookupFuncName(list_make2(makeString(CRM_SCHEMA), makeString((char *)node->name)),
											  list_length(node->args), types, false);

				node->function = palloc0(sizeof(FmgrInfo));
				fmgr_info_cxt(function, node->function, rule->context);
			}
			return strcmp(node->name, "anniversary") != 0;
		default:
			return true;
	}
}

/*
 * Three-valued AND and OR. True when null.
 */
static bool
evaluate_boolean(Evaluation *e, RuleNode *node, Datum *result)
{
	bool decides = node->kind == RULE_OR;
	bool saw_null = false;
	ListCell *cell;

	foreach (cell, node->args)
	{
		Datum value;

		if (evaluate(e, lfirst(cell), &value))
			saw_null = true;
		else if (DatumGetBool(value) == decides)
		{
			*result = BoolGetDatum(decides);
			return false;
		}
	}
	*result = BoolGetDatum(!decides);
	return saw_null;
}

/*
 * Whole numbers, null on overflow and division by zero
 */
static bool
calculate_int(char name, int64 a, int64 b, Datum *result)
{
	int64 value = 0;
	bool bad;

	switch (name)
	{
		case '+':
			bad = pg_add_s64_overflow(a, b, &value);
			break;
		case '-':
			bad = pg_sub_s64_overflow(a, b, &value);
			break;
		case '*':
			bad = pg_mul_s64_overflow(a, b, &value);
			break;
		default:
			bad = b == 0 || (b == -1 && a == PG_INT64_MIN);
			if (!bad)
				value = name == '/' ? a / b : a % b;
	}
	*result = Int64GetDatum(value);
	return bad;
}

static bool
calculate_float(char name, double a, double b, Datum *result)
{
	double value;

	switch (name)
	{
		case '+':
			value = a + b;
			break;
		case '-':
			value = a - b;
			break;
		case '*':
			value = a * b;
			break;
		default:
			if (b == 0)
				return true;
			value = a / b;
	}
	*result = Float8GetDatum(value);
	return isinf(value) && !isinf(a) && !isinf(b);
}

/*
 * An operator. True when null.
 */
static bool
evaluate_operator(Evaluation *e, RuleNode *node, Datum *result)
{
	RuleNode *left = linitial(node->args);
	Datum a;
	Datum b;

	if (evaluate(e, left, &a))
		return true;
	if (list_length(node->args) == 1)
	{
		switch (node->type)
		{
			case RULE_INT:
				return calculate_int('-', 0, DatumGetInt64(a), result);
			case RULE_FLOAT:
				*result = Float8GetDatum(-DatumGetFloat8(a));
				return false;
			default:
				*result = DirectFunctionCall1(numeric_uminus, a);
				return false;
		}
	}
	if (evaluate(e, lsecond(node->args), &b))
		return true;
	if (node->type == RULE_TIMESTAMPTZ)
	{
		/* Many rows are asked about at the same moment. */
		bool fixed = left->kind == RULE_NOW && ((RuleNode *)lsecond(node->args))->kind == RULE_CONST;

		if (fixed && node->memo_valid && node->memo_at == e->at)
		{
			*result = node->value;
			return false;
		}
		*result = TimestampTzGetDatum(rule_add_interval(DatumGetTimestampTz(a), DatumGetIntervalP(b),
														node->name[0] == '-' ? -1 : 1, e->rule->zone));
		if (fixed)
		{
			node->memo_valid = true;
			node->memo_at = e->at;
			node->value = *result;
		}
		return false;
	}
	if (node->type == RULE_DATE)
	{
		int64 days = DatumGetInt64(b);

		*result = DATE_NOT_FINITE(DatumGetDateADT(a))
					  ? a
					  : DateADTGetDatum(DatumGetDateADT(a) + (int32)(node->name[0] == '-' ? -days : days));
		return false;
	}
	if (node->type == RULE_INT && left->type == RULE_DATE)
	{
		*result = Int64GetDatum((int64)DatumGetDateADT(a) - DatumGetDateADT(b));
		return DATE_NOT_FINITE(DatumGetDateADT(a)) || DATE_NOT_FINITE(DatumGetDateADT(b));
	}
	if (node->type == RULE_INT)
		return calculate_int(node->name[0], DatumGetInt64(a), DatumGetInt64(b), result);
	if (node->type == RULE_FLOAT)
		return calculate_float(node->name[0], DatumGetFloat8(a), DatumGetFloat8(b), result);
	if (node->type == RULE_INTERVAL && left->type == RULE_TIMESTAMPTZ &&
		(TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(a)) || TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(b))))
		return true;
	if (node->type == RULE_NUMERIC && (node->name[0] == '/' || node->name[0] == '%') &&
		DatumGetBool(DirectFunctionCall2(numeric_eq, b, DirectFunctionCall1(int8_numeric, Int64GetDatum(0)))))
		return true;
	*result = FunctionCall2Coll(node->function, DEFAULT_COLLATION_OID, a, b);
	return false;
}

/*
 * A conversion
 */
static Datum
evaluate_cast(Evaluation *e, RuleNode *node, RuleType from, Datum value)
{
	if (from == node->type)
		return value;
	switch (node->type)
	{
		case RULE_NUMERIC:
			return from == RULE_INT ? DirectFunctionCall1(int8_numeric, value)
									: DirectFunctionCall1(float8_numeric, value);
		case RULE_FLOAT:
			return from == RULE_INT ? Float8GetDatum((double)DatumGetInt64(value))
									: DirectFunctionCall1(numeric_float8, value);
		case RULE_DATE:
			return DateADTGetDatum(rule_date(DatumGetTimestampTz(value), e->rule->zone));
		case RULE_TIMESTAMPTZ:
			return TimestampTzGetDatum(rule_midnight(DatumGetDateADT(value), e->rule->zone));
		default:
			return CStringGetTextDatum(DatumGetCString(DirectFunctionCall1(int8out, value)));
	}
}

/*
 * A function. True when null.
 */
static bool
evaluate_function(Evaluation *e, RuleNode *node, Datum *result)
{
	const char *name = node->name;
	RuleNode *first = linitial(node->args);
	Datum a;

	if (strcmp(name, "coalesce") == 0 || strcmp(name, "greatest") == 0 || strcmp(name, "least") == 0)
	{
		bool found = false;
		ListCell *cell;

		foreach (cell, node->args)
		{
			if (evaluate(e, lfirst(cell), &a))
				continue;
			if (!found || DatumGetBool(FunctionCall2Coll(node->function, DEFAULT_COLLATION_OID, a, *result)))
				*result = a;
			found = true;
			if (name[0] == 'c')
				break;
		}
		return !found;
	}
	if (strcmp(name, "extract") == 0)
	{
		RuleNode *from = lsecond(node->args);

		if (evaluate(e, from, &a))
			return true;
		if (from->type == RULE_DATE)
			*result = DirectFunctionCall2(extract_date, first->value, a);
		else
		{
			Datum local =
				DirectFunctionCall2(timestamptz_zone, CStringGetTextDatum(pg_get_timezone_name(e->rule->zone)), a);

			*result = DirectFunctionCall2(extract_timestamp, first->value, local);
		}
		return false;
	}
	if (evaluate(e, first, &a))
		return true;
	if (node->function != NULL)
	{
		Datum b = 0;

		if (list_length(node->args) == 2 && evaluate(e, lsecond(node->args), &b))
			return true;
		if (strcmp(name, "cardinality") == 0)
		{
			Oid type = get_func_rettype(node->function->fn_oid);

			a = FunctionCall1(node->function, a);
			*result = type == INT4OID ? Int64GetDatum(DatumGetInt32(a)) : a;
			return false;
		}
		{
			LOCAL_FCINFO(call, 2);

			InitFunctionCallInfoData(*call, node->function, 2, DEFAULT_COLLATION_OID, NULL, NULL);
			call->args[0].value = a;
			call->args[0].isnull = false;
			call->args[1].value = b;
			call->args[1].isnull = false;
			*result = FunctionCallInvoke(call);
			return call->isnull;
		}
	}
	switch (name[0])
	{
		case 'a':
			if (node->type == RULE_INT)
				return DatumGetInt64(a) < 0 ? calculate_int('-', 0, DatumGetInt64(a), result) : (*result = a, false);
			*result = node->type == RULE_FLOAT ? Float8GetDatum(fabs(DatumGetFloat8(a)))
											   : DirectFunctionCall1(numeric_abs, a);
			return false;
		case 'c':
			*result = node->type == RULE_FLOAT ? Float8GetDatum(ceil(DatumGetFloat8(a)))
											   : DirectFunctionCall1(numeric_ceil, a);
			return false;
		case 'f':
			*result = node->type == RULE_FLOAT ? Float8GetDatum(floor(DatumGetFloat8(a)))
											   : DirectFunctionCall1(numeric_floor, a);
			return false;
		case 'r':
			if (node->type == RULE_FLOAT)
				*result = Float8GetDatum(rint(DatumGetFloat8(a)));
			else
				*result = DirectFunctionCall2(
					numeric_round, a,
					Int32GetDatum(list_length(node->args) == 2 ? atoi(((RuleNode *)lsecond(node->args))->name) : 0));
			return false;
		case 'l':
			if (node->type == RULE_INT)
				*result = Int64GetDatum(DatumGetInt32(DirectFunctionCall1(textlen, a)));
			else
				*result = DirectFunctionCall1Coll(lower, DEFAULT_COLLATION_OID, a);
			return false;
		default:
			*result = DirectFunctionCall1Coll(upper, DEFAULT_COLLATION_OID, a);
			return false;
	}
}

/*
 * value IN (list). True when null.
 */
static bool
evaluate_in(Evaluation *e, RuleNode *node, Datum *result)
{
	Datum value;

	if (evaluate(e, rule_argument(node, 0), &value))
		return true;
	*result = BoolGetDatum(node->negated);
	for (int i = 1; i < list_length(node->args); i++)
	{
		Datum item;

		(void)evaluate(e, list_nth(node->args, i), &item);
		if (DatumGetBool(FunctionCall2Coll(node->function, DEFAULT_COLLATION_OID, value, item)))
		{
			*result = BoolGetDatum(!node->negated);
			break;
		}
	}
	return false;
}

/*
 * value BETWEEN low AND high: null only when what is known does not decide. True when null.
 */
static bool
evaluate_between(Evaluation *e, RuleNode *node, Datum *result)
{
	Datum value;
	Datum low;
	Datum high;
	bool no_low = evaluate(e, rule_argument(node, 1), &low);
	bool no_high = evaluate(e, rule_argument(node, 2), &high);
	bool below;
	bool above;

	if (evaluate(e, rule_argument(node, 0), &value))
		return true;
	below = !no_low && !DatumGetBool(FunctionCall2Coll(node->function, DEFAULT_COLLATION_OID, low, value));
	above = !no_high && !DatumGetBool(FunctionCall2Coll(node->function, DEFAULT_COLLATION_OID, value, high));
	*result = BoolGetDatum((below || above) == node->negated);
	return (no_low || no_high) && !below && !above;
}

/*
 * Value of a node. True when null.
 */
static bool
evaluate(Evaluation *e, RuleNode *node, Datum *result)
{
	Datum value = 0;
	bool isnull;

	*result = 0;
	switch (node->kind)
	{
		case RULE_CONST:
			*result = node->value;
			return false;
		case RULE_COLUMN:
			*result = e->values[node->column];
			return e->isnull[node->column];
		case RULE_NOW:
			*result = TimestampTzGetDatum(e->at);
			return false;
		case RULE_TODAY:
			*result = DateADTGetDatum(rule_date(e->at, e->rule->zone));
			return false;
		case RULE_AND:
		case RULE_OR:
			return evaluate_boolean(e, node, result);
		case RULE_NOT:
			isnull = evaluate(e, rule_argument(node, 0), &value);
			*result = BoolGetDatum(!DatumGetBool(value));
			return isnull;
		case RULE_OP:
			return evaluate_operator(e, node, result);
		case RULE_LIKE:
			if (evaluate(e, rule_argument(node, 0), &value))
				return true;
			*result = BoolGetDatum(DatumGetBool(FunctionCall2Coll(node->function, DEFAULT_COLLATION_OID, value,
																  rule_argument(node, 1)->value)) !=
								   node->negated);
			return false;
		case RULE_IN:
			return evaluate_in(e, node, result);
		case RULE_BETWEEN:
			return evaluate_between(e, node, result);
		case RULE_DISTINCT:
		{
			Datum other;
			bool a = evaluate(e, rule_argument(node, 0), &value);
			bool b = evaluate(e, rule_argument(node, 1), &other);
			bool same =
				a || b ? a && b : DatumGetBool(FunctionCall2Coll(node->function, DEFAULT_COLLATION_OID, value, other));

			*result = BoolGetDatum(same == node->negated);
			return false;
		}
		case RULE_IS:
			isnull = evaluate(e, rule_argument(node, 0), &value);
			if (node->name[0] == 'N' || node->name[0] == 'U')
				*result = BoolGetDatum(isnull != node->negated);
			else
				*result = BoolGetDatum((!isnull && DatumGetBool(value) == (node->name[0] == 'T')) != node->negated);
			return false;
		case RULE_CAST:
			if (evaluate(e, rule_argument(node, 0), &value))
				return true;
			*result = evaluate_cast(e, node, argument_type(node, 0), value);
			return false;
		case RULE_FUNC:
			return evaluate_function(e, node, result);
	}
	return true;
}

CompiledRule *
rule_compile(const char *text, const RuleColumn *columns, int ncolumns, const char *zone)
{
	CompiledRule *rule = palloc0(sizeof(CompiledRule));
	RuleScope scope = {.text = text, .columns = columns, .ncolumns = ncolumns, .missing_ok = true};

	rule->context = CurrentMemoryContext;
	rule->zone = pg_tzset(zone);
	if (rule->zone == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown time zone \"%s\"", zone)));
	rule->root = rule_parse(text);
	if (!rule_bind(rule->root, &scope) || !compile(rule, rule->root, zone))
		return NULL;
	rule->scratch = AllocSetContextCreate(rule->context, "crm rule", ALLOCSET_SMALL_SIZES);
	return rule;
}

bool
rule_matches(CompiledRule *rule, const Datum *values, const bool *isnull, TimestampTz at)
{
	Evaluation e = {.rule = rule, .values = values, .isnull = isnull, .at = at};
	MemoryContext caller = MemoryContextSwitchTo(rule->scratch);
	Datum result;
	bool matches = !evaluate(&e, rule->root, &result) && DatumGetBool(result);

	MemoryContextSwitchTo(caller);
	MemoryContextReset(rule->scratch);
	return matches;
}
