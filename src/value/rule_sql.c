#include "value/rule.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

typedef struct Target
{
	StringInfo out;
	Oid relation;
	const char *alias;
	TimestampTz at;
	const char *moment; /* SQL of the moment, when each row has its own */
	const char *zone; /* as a literal */
	const char *zone_name;
} Target;

static void
put(Target *target, RuleNode *node);

/*
 * Append a literal with its type
 */
static void
put_literal(Target *target, const char *text, const char *type)
{
	appendStringInfo(target->out, "%s::%s", quote_literal_cstr(text), type);
}

/*
 * SQL's qualified name of a rule's type
 */
static const char *
sql_type(RuleType type)
{
	switch (type)
	{
		case RULE_BOOL:
			return "pg_catalog.bool";
		case RULE_INT:
			return "pg_catalog.int8";
		case RULE_FLOAT:
			return "pg_catalog.float8";
		case RULE_TAGSET:
		case RULE_TAGQUERY:
			return rule_type_name(type);
		case RULE_TEXTS:
			return "pg_catalog.text[]";
		default:
			return psprintf("pg_catalog.%s", rule_type_name(type));
	}
}

/*
 * A moment in the form that reads the same under every setting
 */
static char *
moment_text(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t fsec;
	char buffer[MAXDATELEN + 1];
	int offset = 0;

	if (TIMESTAMP_IS_NOBEGIN(at))
		return "-infinity";
	if (TIMESTAMP_IS_NOEND(at))
		return "infinity";
	if (timestamp2tm(at, &offset, &tm, &fsec, NULL, pg_tzset("GMT")) != 0)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	EncodeDateTime(&tm, fsec, true, 0, NULL, USE_ISO_DATES, buffer);
	return pstrdup(buffer);
}

/*
 * now()
 */
static void
put_now(Target *target)
{
	if (target->moment)
		appendStringInfo(target->out, "%s.%s", quote_identifier(target->alias), quote_identifier(target->moment));
	else
		put_literal(target, moment_text(target->at), "pg_catalog.timestamptz");
}

static char *
day_text(DateADT day)
{
	struct pg_tm tm = {0};
	char buffer[MAXDATELEN + 1];

	j2date(day + POSTGRES_EPOCH_JDATE, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	EncodeDateOnly(&tm, USE_ISO_DATES, buffer);
	return pstrdup(buffer);
}

/*
 * CURRENT_DATE
 */
static void
put_today(Target *target)
{
	if (target->moment)
	{
		appendStringInfoChar(target->out, '(');
		put_now(target);
		appendStringInfo(target->out, " AT TIME ZONE %s)::pg_catalog.date", target->zone);
	}
	else
		put_literal(target, day_text(rule_date(target->at, pg_tzset(target->zone_name))), "pg_catalog.date");
}

/*
 * A column, brought to the type that rules see
 */
static void
put_column(Target *target, RuleNode *node)
{
	appendStringInfo(target->out, "%s.%s", quote_identifier(target->alias), quote_identifier(node->name));
	if (node->type != RULE_TAGSET && node->column_type != rule_type_oid(node->type))
		appendStringInfo(target->out, "::%s", sql_type(node->type));
}

/*
 * left operator right, the operator from its own schema
 */
static void
put_operation(Target *target, RuleNode *left, const char *schema, const char *name, RuleNode *right)
{
	appendStringInfoChar(target->out, '(');
	put(target, left);
	appendStringInfo(target->out, " OPERATOR(%s.%s) ", schema, name);
	put(target, right);
	appendStringInfoChar(target->out, ')');
}

/*
 * A moment and a span. Months and days are local ones of the store's zone; the rest is time that passes.
 */
static void
put_moment_and_span(Target *target, RuleNode *node)
{
	RuleNode *constant = lsecond(node->args);
	Interval *span = DatumGetIntervalP(rule_constant(constant, RULE_INTERVAL, NULL, constant->name));

	if (((RuleNode *)linitial(node->args))->kind == RULE_NOW && target->moment == NULL)
	{
		put_literal(target,
					moment_text(rule_add_interval(target->at, span, node->name[0] == '-' ? -1 : 1,
												  pg_tzset(target->zone_name))),
					"pg_catalog.timestamptz");
		return;
	}
	appendStringInfoString(target->out, "(((");
	put(target, linitial(node->args));
	appendStringInfo(
		target->out,
		" AT TIME ZONE %s) OPERATOR(pg_catalog.%s) '%d months %d days'::pg_catalog.interval) AT TIME ZONE %s",
		target->zone, node->name, span->month, span->day, target->zone);
	if (span->time != 0)
		appendStringInfo(target->out, " OPERATOR(pg_catalog.%s) '" INT64_FORMAT " microseconds'::pg_catalog.interval",
						 node->name, span->time);
	appendStringInfoChar(target->out, ')');
}

/*
 * An operator
 */
static void
put_operator(Target *target, RuleNode *node)
{
	RuleNode *left = linitial(node->args);
	RuleNode *right = llast(node->args);

	if (list_length(node->args) == 1)
	{
		appendStringInfoString(target->out, "(OPERATOR(pg_catalog.-) ");
		put(target, left);
		appendStringInfoChar(target->out, ')');
	}
	else if (node->type == RULE_TIMESTAMPTZ)
		put_moment_and_span(target, node);
	else if (node->type == RULE_DATE)
	{
		appendStringInfoChar(target->out, '(');
		put(target, left);
		appendStringInfo(target->out, " OPERATOR(pg_catalog.%s) (%s))", node->name, right->name);
	}
	else if (node->name[0] == '/' || node->name[0] == '%')
	{
		/* By zero gives null: a rule must not stop the statement that it is asked in. */
		appendStringInfoString(target->out, "(CASE WHEN ");
		put(target, right);
		appendStringInfo(target->out, " OPERATOR(pg_catalog.<>) '0'::%s THEN ", sql_type(right->type));
		put_operation(target, left, "pg_catalog", node->name, right);
		appendStringInfoString(target->out, " END)");
	}
	else if (node->type == RULE_INT && left->type == RULE_DATE)
	{
		put_operation(target, left, "pg_catalog", node->name, right);
		appendStringInfoString(target->out, "::pg_catalog.int8");
	}
	else
		put_operation(target, left, left->type == RULE_TAGSET ? CRM_SCHEMA : "pg_catalog", node->name, right);
}

/*
 * A conversion
 */
static void
put_cast(Target *target, RuleNode *node)
{
	RuleNode *arg = linitial(node->args);

	if (node->type == RULE_TIMESTAMPTZ && arg->type == RULE_DATE)
	{
		appendStringInfoString(target->out, "(");
		put(target, arg);
		appendStringInfo(target->out, "::pg_catalog.timestamp AT TIME ZONE %s)", target->zone);
	}
	else if (node->type == RULE_DATE && arg->type == RULE_TIMESTAMPTZ)
	{
		appendStringInfoString(target->out, "(");
		put(target, arg);
		appendStringInfo(target->out, " AT TIME ZONE %s)::pg_catalog.date", target->zone);
	}
	else
	{
		appendStringInfoChar(target->out, '(');
		put(target, arg);
		appendStringInfo(target->out, ")::%s", sql_type(node->type));
	}
}

/*
 * A function
 */
static void
put_function(Target *target, RuleNode *node)
{
	const char *name = node->name;
	bool syntax = strcmp(name, "coalesce") == 0 || strcmp(name, "greatest") == 0 || strcmp(name, "least") == 0;
	bool ours = strcmp(name, "has_tag") == 0 || strcmp(name, "tag_value") == 0 || strcmp(name, "cardinality") == 0;
	RuleNode *first = linitial(node->args);

	if (strcmp(name, "anniversary") == 0)
	{
		char *schema = get_namespace_name(get_rel_namespace(target->relation));

		appendStringInfo(target->out,
						 CRM_SCHEMA ".anniversary((SELECT born.birth_date FROM %s.contact born WHERE born.customer_id "
									"OPERATOR(pg_catalog.=) %s.customer_id), ",
						 quote_identifier(schema), quote_identifier(target->alias));
		put_literal(target, day_text(rule_date(target->at, pg_tzset(target->zone_name))), "pg_catalog.date");
		appendStringInfoChar(target->out, ')');
		return;
	}
	if (strcmp(name, "extract") == 0)
	{
		RuleNode *from = lsecond(node->args);

		appendStringInfo(target->out, "EXTRACT(%s FROM ", first->name);
		put(target, from);
		if (from->type == RULE_TIMESTAMPTZ)
			appendStringInfo(target->out, " AT TIME ZONE %s", target->zone);
		appendStringInfoChar(target->out, ')');
		return;
	}
	appendStringInfo(target->out, "%s%s(", syntax ? "" : ours ? CRM_SCHEMA "." : "pg_catalog.", name);
	for (int i = 0; i < list_length(node->args); i++)
	{
		if (i > 0)
			appendStringInfoString(target->out, ", ");
		/* The number of digits is an integer, not a bigint. */
		if (i == 1 && strcmp(name, "round") == 0)
			appendStringInfoString(target->out, ((RuleNode *)list_nth(node->args, i))->name);
		else
			put(target, list_nth(node->args, i));
	}
	appendStringInfoChar(target->out, ')');
	if (node->type == RULE_INT)
		appendStringInfoString(target->out, "::pg_catalog.int8");
}

/*
 * One node
 */
static void
put(Target *target, RuleNode *node)
{
	StringInfo out = target->out;

	check_stack_depth();
	switch (node->kind)
	{
		case RULE_CONST:
			if (node->type == RULE_TIMESTAMPTZ)
				put_literal(target,
							moment_text(DatumGetTimestampTz(
								rule_constant(node, RULE_TIMESTAMPTZ, target->zone_name, node->name))),
							"pg_catalog.timestamptz");
			else
				put_literal(target, node->name, sql_type(node->type));
			break;
		case RULE_COLUMN:
			put_column(target, node);
			break;
		case RULE_NOW:
			put_now(target);
			break;
		case RULE_TODAY:
			put_today(target);
			break;
		case RULE_AND:
		case RULE_OR:
			appendStringInfoChar(out, '(');
			for (int i = 0; i < list_length(node->args); i++)
			{
				if (i > 0)
					appendStringInfoString(out, node->kind == RULE_AND ? " AND " : " OR ");
				put(target, list_nth(node->args, i));
			}
			appendStringInfoChar(out, ')');
			break;
		case RULE_NOT:
			appendStringInfoString(out, "(NOT ");
			put(target, rule_argument(node, 0));
			appendStringInfoChar(out, ')');
			break;
		case RULE_OP:
			put_operator(target, node);
			break;
		case RULE_LIKE:
			put_operation(target, rule_argument(node, 0), "pg_catalog",
						  node->name[0] == 'L' ? (node->negated ? "!~~" : "~~") : (node->negated ? "!~~*" : "~~*"),
						  rule_argument(node, 1));
			break;
		case RULE_IN:
			appendStringInfoChar(out, '(');
			put(target, rule_argument(node, 0));
			appendStringInfo(out, " OPERATOR(pg_catalog.%s (ARRAY[", node->negated ? "<>) ALL" : "=) ANY");
			for (int i = 1; i < list_length(node->args); i++)
			{
				if (i > 1)
					appendStringInfoString(out, ", ");
				put(target, list_nth(node->args, i));
			}
			appendStringInfoString(out, "]))");
			break;
		case RULE_BETWEEN:
			appendStringInfoChar(out, '(');
			put_operation(target, rule_argument(node, 0), "pg_catalog", node->negated ? "<" : ">=", rule_argument(node, 1));
			appendStringInfoString(out, node->negated ? " OR " : " AND ");
			put_operation(target, rule_argument(node, 0), "pg_catalog", node->negated ? ">" : "<=", rule_argument(node, 2));
			appendStringInfoChar(out, ')');
			break;
		case RULE_DISTINCT:
			/* Not IS DISTINCT FROM, which would take = from the search_path. */
			appendStringInfoString(out, node->negated ? "(" : "(NOT (");
			put_operation(target, rule_argument(node, 0), "pg_catalog", "=", rule_argument(node, 1));
			appendStringInfoString(out, " IS TRUE OR (");
			put(target, rule_argument(node, 0));
			appendStringInfoString(out, " IS NULL AND ");
			put(target, rule_argument(node, 1));
			appendStringInfoString(out, node->negated ? " IS NULL))" : " IS NULL)))");
			break;
		case RULE_IS:
			appendStringInfoChar(out, '(');
			put(target, rule_argument(node, 0));
			appendStringInfo(out, " IS %s%s)", node->negated ? "NOT " : "", node->name);
			break;
		case RULE_CAST:
			put_cast(target, node);
			break;
		case RULE_FUNC:
			put_function(target, node);
			break;
	}
}

char *
rule_to_sql(RuleNode *node, Oid relation, const char *alias, TimestampTz at, const char *moment, const char *zone)
{
	StringInfoData out;
	Target target = {
		.out = &out, .relation = relation, .alias = alias, .at = at, .moment = moment, .zone_name = zone};

	if (pg_tzset(zone) == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown time zone \"%s\"", zone)));
	target.zone = quote_literal_cstr(zone);
	initStringInfo(&out);
	put(&target, node);
	return out.data;
}
