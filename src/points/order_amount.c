/*
 * Points for an amount by a rule, and the rule as the entry keeps it.
 */
#include "points/order.h"

#include "store/money.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

/* One point in the counts of what a program carries. */
#define MICRO INT64CONST(1000000)

static void
out_of_range(const OrderRule *rule)
{
	ereport(ERROR,
			(errcode(ERRCODE_POINTS_OVERFLOW),
			 errmsg("points out of range"),
			 errdetail("rule %d", rule->rule),
			 errhint("An account holds less than 2^63 points in all its life.")));
}

/*
 * Take one more multiplier that matches: the largest holds, or the product. 0 stands for none yet.
 */
static int64
combine(const OrderRule *rule, int64 have, int64 times)
{
	int128 product;

	if (have == 0)
		return times;
	if (!rule->product)
		return Max(have, times);
	product = (int128) have * times / TIMES_ONE;
	if (product > TIMES_MAX)
		out_of_range(rule);
	return (int64) product;
}

static bool
listed(const List *words, const char *word)
{
	ListCell *cell;

	foreach (cell, words)
	{
		if (word != NULL && strcmp(lfirst(cell), word) == 0)
			return true;
	}
	return words == NIL;
}

/*
 * The amount that is kept, each line of it times its multiplier: in 1/10000 of 1/10000
 */
static int128
weighted(const OrderRule *rule, int64 amount, OrderLines *lines)
{
	int64 whole = 0;
	int128 sum = 0;
	ListCell *cell;

	if (amount <= 0 || amount < rule->minimum || rule->per <= 0)
		return 0;
	foreach (cell, rule->times)
	{
		const OrderTimes *times = lfirst(cell);

		if (amount >= times->from && amount < times->until)
			whole = combine(rule, whole, times->times);
	}
	if (rule->marks == NIL)
		return (int128) amount * (whole == 0 ? TIMES_ONE : whole);
	for (int i = 0; i < lines->count; i++)
	{
		OrderLine *line = &lines->line[i];

		line->times = whole;
		foreach (cell, rule->marks)
		{
			const OrderMark *mark = lfirst(cell);

			if (line->line != 0 && listed(mark->categories, line->category) && listed(mark->products, line->product))
				line->times = combine(rule, line->times, mark->times);
		}
		if (line->times == 0)
			line->times = TIMES_ONE;
		sum += (int128) line->kept * line->times;
	}
	return sum;
}

/*
 * Points for the amount of an order that is kept, rounded once for the order
 */
int64
order_points(const OrderRule *rule, int64 amount, OrderLines *lines)
{
	int128 product = weighted(rule, amount, lines) * rule->points;
	int128 unit = (int128) Max(rule->per, 1) * TIMES_ONE;
	int128 points = product / unit;
	int128 rest = product % unit;

	if (rest > 0 && (rule->rounding == ROUND_UP || (rule->rounding == ROUND_NEAREST && rest * 2 >= unit)))
		points++;
	if (points > PG_INT64_MAX)
		out_of_range(rule);
	return (int64) points;
}

/*
 * The same in millionths of a point, rounded down
 */
int64
order_micropoints(const OrderRule *rule, int64 amount, OrderLines *lines)
{
	int128 product = weighted(rule, amount, lines) * rule->points;
	int128 unit = (int128) Max(rule->per, 1) * TIMES_ONE;
	int128 points = product / unit;

	if (points > PG_INT64_MAX / MICRO / 4)
		out_of_range(rule);
	return (int64) (points * MICRO + product % unit * MICRO / unit);
}

static char *
money_text(int64 units)
{
	return DatumGetCString(DirectFunctionCall1(
		numeric_out, DirectFunctionCall1(numeric_trim_scale, money_to_numeric(units))));
}

static void
append_words(StringInfo json, const char *name, const List *words)
{
	ListCell *cell;

	if (words == NIL)
		return;
	appendStringInfo(json, ", \"%s\": [", name);
	foreach (cell, words)
	{
		if (cell != list_head(words))
			appendStringInfoString(json, ", ");
		escape_json(json, lfirst(cell));
	}
	appendStringInfoChar(json, ']');
}

/*
 * The points of each line: shares of the whole, the sum exact
 */
static void
share_points(OrderLines *lines, int64 points)
{
	int128 sum = 0;
	int128 run = 0;
	int64 given = 0;
	int shift = 0;

	for (int i = 0; i < lines->count; i++)
		sum += (int128) lines->line[i].kept * lines->line[i].times;
	/* So that a product with points has room; the sums of great amounts lose their last digits. */
	while ((sum >> shift) >= INT64CONST(1) << 60)
		shift++;
	for (int i = 0; sum > 0 && i < lines->count; i++)
	{
		OrderLine *line = &lines->line[i];
		int64 upto;

		run += (int128) line->kept * line->times;
		upto = run == sum ? points : (int64) ((run >> shift) * points / (sum >> shift));
		line->points = upto - given;
		given = upto;
	}
}

/*
 * The rule, the amount and the points of each line, as the entry keeps them
 */
char *
order_detail(const OrderRule *rule, int64 amount, OrderLines *lines)
{
	static const char *const roundings[] = {"down", "nearest", "up"};
	StringInfoData json;
	ListCell *cell;

	initStringInfo(&json);
	appendStringInfo(&json,
					 "{\"rule\": %d, \"points\": " INT64_FORMAT ", \"per\": %s, \"amount\": %s",
					 rule->rule,
					 rule->points,
					 money_text(rule->per),
					 money_text(amount));
	if (rule->minimum != 0)
		appendStringInfo(&json,
						 ", \"minimum\": %s",
						 money_text(rule->minimum));
	if (rule->rounding != ROUND_DOWN)
		appendStringInfo(&json, ", \"rounding\": \"%s\"", roundings[rule->rounding]);
	if (rule->carry)
		appendStringInfoString(&json, ", \"carry\": true");
	if (rule->wait_days != 0)
		appendStringInfo(&json, ", \"wait\": %d", rule->wait_days);
	if (rule->product && (rule->times != NIL || rule->marks != NIL))
		appendStringInfoString(&json, ", \"product\": true");
	foreach (cell, rule->times)
	{
		const OrderTimes *times = lfirst(cell);

		/* Never why: that it was the month of birth would stay in the ledger for good. */
		appendStringInfo(&json,
						 "%s{\"times\": %s",
						 cell == list_head(rule->times) ? ", \"times\": [" : ", ",
						 money_text(times->times));
		if (times->from > 0)
			appendStringInfo(&json, ", \"from\": %s", money_text(times->from));
		if (times->until < PG_INT64_MAX)
			appendStringInfo(&json, ", \"until\": %s", money_text(times->until));
		appendStringInfoString(&json, lnext(rule->times, cell) == NULL ? "}]" : "}");
	}
	foreach (cell, rule->marks)
	{
		const OrderMark *mark = lfirst(cell);

		appendStringInfo(&json,
						 "%s{\"times\": %s",
						 cell == list_head(rule->marks) ? ", \"marks\": [" : ", ",
						 money_text(mark->times));
		append_words(&json, "category", mark->categories);
		append_words(&json, "product", mark->products);
		appendStringInfoString(&json, lnext(rule->marks, cell) == NULL ? "}]" : "}");
	}
	if (rule->marks != NIL && (lines->count > 1 || (lines->count == 1 && lines->line[0].line != 0)))
	{
		share_points(lines, order_points(rule, amount, lines));
		for (int i = 0; i < lines->count; i++)
		{
			const OrderLine *line = &lines->line[i];

			appendStringInfo(&json,
							 "%s{\"line\": %d, \"amount\": %s, \"times\": %s, \"points\": " INT64_FORMAT "}%s",
							 i == 0 ? ", \"items\": [" : ", ",
							 line->line,
							 money_text(line->kept),
							 money_text(line->times),
							 line->points,
							 i + 1 == lines->count ? "]" : "");
		}
	}
	appendStringInfoChar(&json, '}');

	/* jsonb has one text form; entries are compared and hashed by it. */
	return DatumGetCString(DirectFunctionCall1(jsonb_out, DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data))));
}

/*
 * A field of an object; NULL when it is not there or of another type
 */
static JsonbValue *
field_of(JsonbContainer *object, const char *name, enum jbvType type)
{
	JsonbValue key = {.type = jbvString};
	JsonbValue *value;

	if (!JsonContainerIsObject(object))
		return NULL;
	key.val.string.val = (char *) name;
	key.val.string.len = strlen(name);
	value = findJsonbValueFromContainer(object, JB_FOBJECT, &key);
	return value == NULL || value->type != type ? NULL : value;
}

/*
 * A number of an object in 1/10000; missing when it is not there, -1 when it is out of bounds
 */
static int64
units_of(JsonbContainer *object, const char *name, int64 missing)
{
	JsonbValue *value = field_of(object, name, jbvNumeric);
	Numeric limit;

	if (value == NULL)
		return missing;
	limit = DatumGetNumeric(money_to_numeric(INT64CONST(1000000000000) * MONEY_UNITS));
	if (DatumGetBool(DirectFunctionCall2(numeric_gt, NumericGetDatum(value->val.numeric), NumericGetDatum(limit))) ||
		DatumGetBool(DirectFunctionCall2(
			numeric_lt, NumericGetDatum(value->val.numeric), NumericGetDatum(int64_to_numeric(0)))))
		return -1;
	return money_from_numeric(DirectFunctionCall2(numeric_trunc, NumericGetDatum(value->val.numeric), Int32GetDatum(4)));
}

/*
 * An array of strings
 */
static List *
words_of(JsonbContainer *object, const char *name)
{
	JsonbValue *array = field_of(object, name, jbvBinary);
	List *words = NIL;

	if (array == NULL || !JsonContainerIsArray(array->val.binary.data))
		return NIL;
	for (int i = 0; i < JsonContainerSize(array->val.binary.data); i++)
	{
		JsonbValue *word = getIthJsonbValueFromContainer(array->val.binary.data, i);

		if (word != NULL && word->type == jbvString)
			words = lappend(words, pnstrdup(word->val.string.val, word->val.string.len));
	}
	return words;
}

/*
 * The multipliers of one kind; false when one is out of bounds
 */
static bool
read_times(JsonbContainer *detail, const char *name, OrderRule *rule)
{
	JsonbValue *array = field_of(detail, name, jbvBinary);

	if (array == NULL || !JsonContainerIsArray(array->val.binary.data))
		return true;
	for (int i = 0; i < JsonContainerSize(array->val.binary.data); i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(array->val.binary.data, i);
		JsonbContainer *object;
		int64 factor;

		if (element == NULL || element->type != jbvBinary)
			return false;
		object = element->val.binary.data;
		factor = units_of(object, "times", -1);
		if (factor <= 0 || factor > TIMES_MAX)
			return false;
		if (strcmp(name, "marks") == 0)
		{
			OrderMark *mark = palloc(sizeof(OrderMark));

			mark->times = factor;
			mark->categories = words_of(object, "category");
			mark->products = words_of(object, "product");
			rule->marks = lappend(rule->marks, mark);
		}
		else
		{
			OrderTimes *times = palloc(sizeof(OrderTimes));

			times->times = factor;
			times->from = units_of(object, "from", 0);
			times->until = units_of(object, "until", PG_INT64_MAX);
			rule->times = lappend(rule->times, times);
		}
	}
	return true;
}

/*
 * The rule that an earning was given by; false when it says none, and rule is left alone.
 *
 * Whoever may post entries can write any detail, so nothing of it is trusted to be within bounds.
 */
bool
order_stored(const PointsEntry *earn, OrderRule *rule)
{
	OrderRule stored = *rule;
	JsonbContainer *detail;
	JsonbValue *word;
	int64 points;
	int64 number;
	int64 wait;

	if (earn->detail == NULL)
		return false;
	detail = &DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(earn->detail)))->root;
	stored.times = stored.marks = NIL;
	points = units_of(detail, "points", -1);
	stored.per = units_of(detail, "per", -1);
	stored.minimum = units_of(detail, "minimum", 0);
	number = units_of(detail, "rule", 0);
	wait = units_of(detail, "wait", 0);
	if (points <= 0 || points % MONEY_UNITS != 0 || points / MONEY_UNITS > RULE_POINTS_MAX || stored.per <= 0 ||
		stored.minimum < 0 || number < 0 || number / MONEY_UNITS > PG_INT32_MAX || wait < 0 || wait / MONEY_UNITS > 36500)
		return false;
	stored.points = points / MONEY_UNITS;
	stored.rule = number / MONEY_UNITS;
	stored.wait_days = wait / MONEY_UNITS;
	word = field_of(detail, "rounding", jbvString);
	stored.rounding = word == NULL									 ? ROUND_DOWN
					  : word->val.string.len > 0 && word->val.string.val[0] == 'u' ? ROUND_UP
																		 : ROUND_NEAREST;
	stored.product = (word = field_of(detail, "product", jbvBool)) != NULL && word->val.boolean;
	stored.carry = (word = field_of(detail, "carry", jbvBool)) != NULL && word->val.boolean;
	if (!read_times(detail, "times", &stored) || !read_times(detail, "marks", &stored))
		return false;
	*rule = stored;
	return true;
}
