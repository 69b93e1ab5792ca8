#include "value/rule.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#define LONGEST_SPAN_DAYS 366000

static const struct
{
	const char *name;
	const char *const other_names[4];
	RuleType type;
	Oid oid;
} rule_types[] = {{"boolean", {"bool"}, RULE_BOOL, BOOLOID},
				  {"bigint", {"int8", "int4", "int2", "integer"}, RULE_INT, INT8OID},
				  {"bigint", {"int", "smallint"}, RULE_INT, INT8OID},
				  {"numeric", {"decimal"}, RULE_NUMERIC, NUMERICOID},
				  {"double precision", {"float8", "float4"}, RULE_FLOAT, FLOAT8OID},
				  {"text", {"varchar"}, RULE_TEXT, TEXTOID},
				  {"date", {NULL}, RULE_DATE, DATEOID},
				  {"timestamptz", {NULL}, RULE_TIMESTAMPTZ, TIMESTAMPTZOID},
				  {"interval", {NULL}, RULE_INTERVAL, INTERVALOID}};

RuleType
rule_type_of_name(const char *name)
{
	for (int i = 0; i < lengthof(rule_types); i++)
	{
		if (strcmp(name, rule_types[i].name) == 0)
			return rule_types[i].type;
		for (int j = 0; j < lengthof(rule_types[i].other_names) && rule_types[i].other_names[j] != NULL; j++)
		{
			if (strcmp(name, rule_types[i].other_names[j]) == 0)
				return rule_types[i].type;
		}
	}
	return RULE_UNKNOWN;
}

const char *
rule_type_name(RuleType type)
{
	for (int i = 0; i < lengthof(rule_types); i++)
	{
		if (rule_types[i].type == type)
			return rule_types[i].name;
	}
	return type == RULE_JSONB	   ? "jsonb"
		   : type == RULE_TAGSET   ? "crm.tagset"
		   : type == RULE_TAGQUERY ? "crm.tagquery"
		   : type == RULE_TEXTS	   ? "text[]"
								   : "text";
}

Oid
rule_type_oid(RuleType type)
{
	for (int i = 0; i < lengthof(rule_types); i++)
	{
		if (rule_types[i].type == type)
			return rule_types[i].oid;
	}
	if (type == RULE_JSONB)
		return JSONBOID;
	if (type == RULE_TEXTS)
		return TEXTARRAYOID;
	if (type == RULE_TAGSET || type == RULE_TAGQUERY)
		return GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
							   CStringGetDatum(type == RULE_TAGSET ? "tagset" : "tagquery"),
							   ObjectIdGetDatum(get_namespace_oid(CRM_SCHEMA, false)));
	return TEXTOID;
}

/*
 * Match text against a shape in which 9 stands for a digit; the number of bytes matched, or 0
 */
static int
match_shape(const char *text, const char *shape)
{
	int i;

	for (i = 0; shape[i]; i++)
	{
		if (shape[i] == '9' ? !(text[i] >= '0' && text[i] <= '9') : text[i] != shape[i])
			return 0;
	}
	return i;
}

/*
 * Is this 2026-01-31 and no other of the many ways to write a date?
 */
static bool
is_plain_date(const char *text)
{
	return match_shape(text, "9999-99-99") == 10 && text[10] == '\0';
}

/*
 * Is this 2026-01-31 08:00[:00[.000]][+08[:00]]? Tells whether a zone was given.
 */
static bool
is_plain_moment(const char *text, bool *zoned)
{
	int at;

	*zoned = false;
	if (match_shape(text, "9999-99-99") == 0 || (text[10] != ' ' && text[10] != 'T') ||
		match_shape(text + 11, "99:99") == 0)
		return false;
	at = 16;
	if (match_shape(text + at, ":99"))
		at += 3;
	if (at == 19 && text[at] == '.')
	{
		at++;
		while (text[at] >= '0' && text[at] <= '9')
			at++;
	}
	if (text[at] == '\0')
		return true;
	*zoned = true;
	if (text[at] == 'Z')
		return text[at + 1] == '\0';
	if (text[at] != '+' && text[at] != '-')
		return false;
	at++;
	if (!match_shape(text + at, "99"))
		return false;
	at += 2;
	if (text[at] == '\0')
		return true;
	at += text[at] == ':';
	return match_shape(text + at, "99") && text[at + 2] == '\0';
}

/*
 * Is this a row of whole numbers with units, such as 1 year 6 months? Other forms depend on the session's
 * intervalstyle.
 */
static bool
is_plain_interval(const char *text)
{
	static const char *const units[] = {"second", "minute", "hour", "day", "week", "month", "year"};
	int pairs = 0;

	while (*text)
	{
		int digits = strspn(text, "0123456789");
		int letters;
		bool known = false;

		if (digits < 1 || digits > 7)
			return false;
		text += digits;
		text += *text == ' ';
		letters = strspn(text, "abcdefghijklmnopqrstuvwxyz");
		for (int i = 0; i < lengthof(units); i++)
		{
			int length = strlen(units[i]);

			if (strncmp(text, units[i], length) == 0 &&
				(letters == length || (letters == length + 1 && text[length] == 's')))
				known = true;
		}
		if (!known)
			return false;
		text += letters;
		if (*text == '\0')
			return ++pairs <= 7;
		if (*text != ' ' || text[1] == '\0')
			return false;
		text++;
		if (++pairs > 7)
			return false;
	}
	return false;
}

TimestampTz
rule_midnight(DateADT day, pg_tz *zone)
{
	Timestamp local = date2timestamp_opt_overflow(day, NULL);
	struct pg_tm tm;
	fsec_t fsec;
	TimestampTz result;

	if (DATE_NOT_FINITE(day))
		return DATE_IS_NOBEGIN(day) ? DT_NOBEGIN : DT_NOEND;
	if (timestamp2tm(local, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("date out of range for timestamp")));
	if (tm2timestamp(&tm, fsec, (int[]){DetermineTimeZoneOffset(&tm, zone)}, &result) != 0)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("date out of range for timestamp")));
	return result;
}

DateADT
rule_date(TimestampTz at, pg_tz *zone)
{
	struct pg_tm tm;
	fsec_t fsec;
	int offset;

	if (TIMESTAMP_NOT_FINITE(at))
		return TIMESTAMP_IS_NOBEGIN(at) ? DATEVAL_NOBEGIN : DATEVAL_NOEND;
	if (timestamp2tm(at, &offset, &tm, &fsec, NULL, zone) != 0)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	return date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE;
}

TimestampTz
rule_add_interval(TimestampTz at, const Interval *span, int sign, pg_tz *zone)
{
	pg_tz *volatile saved = session_timezone;
	volatile Datum result = 0;

	/* PostgreSQL's own arithmetic knows only the session's zone. */
	PG_TRY();
	{
		session_timezone = zone;
		result = sign > 0
					 ? DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(at), IntervalPGetDatum(span))
					 : DirectFunctionCall2(timestamptz_mi_interval, TimestampTzGetDatum(at), IntervalPGetDatum(span));
	}
	PG_FINALLY();
	{
		session_timezone = saved;
	}
	PG_END_TRY();
	return DatumGetTimestampTz(result);
}

DateADT
rule_anniversary(DateADT day, DateADT from)
{
	int year;
	int month;
	int mday;
	int from_year;
	int from_month;
	int from_mday;
	DateADT result;

	if (DATE_NOT_FINITE(day) || DATE_NOT_FINITE(from))
		return day;
	j2date(day + POSTGRES_EPOCH_JDATE, &year, &month, &mday);
	j2date(from + POSTGRES_EPOCH_JDATE, &from_year, &from_month, &from_mday);
	for (int ahead = 0;; ahead++)
	{
		int in = from_year + ahead;
		int last = month == 2 && mday == 29 && !isleap(in) ? 28 : mday;

		result = date2j(in, month, last) - POSTGRES_EPOCH_JDATE;
		if (result >= from)
			return result;
	}
}

Datum
rule_constant(RuleNode *node, RuleType type, const char *zone, const char *text)
{
	const char *literal = node->name;
	Oid input;
	Oid io_param;
	Oid type_oid;
	bool zoned = true;
	const char *hint = NULL;

	if (type == RULE_DATE && !is_plain_date(literal))
		hint = "Write dates as '2026-01-31', and days relative to now as CURRENT_DATE - 30.";
	else if (type == RULE_TIMESTAMPTZ && !is_plain_date(literal) && !is_plain_moment(literal, &zoned))
		hint = "Write moments as '2026-01-31 08:00', and those relative to now as now() - interval '90 days'.";
	else if (type == RULE_INTERVAL && !is_plain_interval(literal))
		hint = "Write whole numbers with their units, such as '90 days' or '1 year 6 months', and a minus before "
			   "interval.";
	else if ((type == RULE_INT || type == RULE_NUMERIC || type == RULE_FLOAT) &&
			 (strspn(literal, "-.0123456789") != strlen(literal) || strlen(literal) > 60))
		hint = "Write plain digits.";
	if (hint)
		rule_error(CRM_ERRCODE_RULE_TYPE, text, node->location,
				   psprintf("\"%s\" is no %s that rules understand", literal, rule_type_name(type)), hint);
	if (type == RULE_TIMESTAMPTZ && (is_plain_date(literal) || !zoned))
	{
		Datum local = DirectFunctionCall3(timestamp_in, CStringGetDatum(literal), ObjectIdGetDatum(InvalidOid),
										  Int32GetDatum(-1));

		if (zone == NULL)
			return local;
		return DirectFunctionCall2(timestamp_zone, CStringGetTextDatum(zone), local);
	}
	type_oid = rule_type_oid(type);
	if (!OidIsValid(type_oid))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("type %s does not exist", rule_type_name(type))));
	getTypeInputInfo(type_oid, &input, &io_param);
	{
		Datum value = OidInputFunctionCall(input, (char *)literal, io_param, -1);

		if (type == RULE_INTERVAL)
		{
			Interval *span = DatumGetIntervalP(value);

			if (span->month / 12.0 * 366 + span->day + span->time / (double)USECS_PER_DAY > LONGEST_SPAN_DAYS)
				rule_error(CRM_ERRCODE_RULE_TYPE, text, node->location, "interval is too long for a rule",
						   "The limit is 1000 years.");
		}
		return value;
	}
}
