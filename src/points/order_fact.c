/*
 * What the rules for orders ask: the customer's tier and month of birth, the lines of an order and what was given back of each.
 */
#include "points/order.h"

#include "base/store.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "pgtime.h"
#include "store/money.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/*
 * The day of a moment in the store's zone
 */
static DateADT
local_day(TimestampTz at, pg_tz *zone)
{
	struct pg_tm tm;
	fsec_t fsec;
	int offset;
	const char *name;

	if (timestamp2tm(at, &offset, &tm, &fsec, &name, zone) != 0)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	return date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE;
}

/*
 * Look up the tier that the customer had, and whether the order falls into the month of birth.
 *
 * A tier that the order itself lifted to begins after it. Who keeps the lunar birthday has it in the month into which it falls.
 */
static void
look_up(OrderRules *store, Relation purchase, OrderFacts *facts)
{
	static const Oid types[3] = {INT8OID, TIMESTAMPTZOID, DATEOID};
	Datum values[3] = {Int64GetDatum(facts->customer_id), TimestampTzGetDatum(facts->at)};
	MemoryContext caller = CurrentMemoryContext;
	bool isnull;
	Datum value;

	facts->known = true;
	if (store->zone == NULL)
		return;
	values[2] = DateADTGetDatum(local_day(facts->at, store->zone));
	if (store->facts == NULL || !SPI_plan_is_valid(store->facts))
	{
		order_plan(
			&store->facts,
			store_query(purchase,
					 "SELECT (SELECT c.to_tier FROM @tier_change c WHERE c.customer_id = $1 "
					 "AND (c.at < $2 OR c.at = $2 AND c.reason <> 'upgrade') ORDER BY c.at DESC, c.change_no DESC LIMIT 1), "
					 "(SELECT CASE WHEN k.birth_calendar <> 'lunar' THEN extract(month FROM k.birth_date) = extract(month FROM $3) "
					 "WHEN k.birth_date BETWEEN '1901-01-01' AND '2099-12-31' AND $3 BETWEEN '1902-01-01' AND '2099-12-31' "
					 "THEN EXISTS (SELECT FROM generate_series(-1, 0) y WHERE date_trunc('month', "
					 CRM_SCHEMA ".lunar_birthday(k.birth_date, extract(year FROM $3)::integer + y)) = date_trunc('month', $3)) END "
					 "FROM @contact k WHERE k.customer_id = $1)"),
			3,
			types);
	}
	if (SPI_execute_plan(store->facts, values, NULL, false, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not look up customer " INT64_FORMAT " for the points rules", facts->customer_id);
	MemoryContextSwitchTo(caller);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	facts->tier = isnull ? store->base_tier : TextDatumGetCString(value);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);
	facts->birthday_month = !isnull && DatumGetBool(value);
	SPI_freetuptable(SPI_tuptable);
}

static OrderFacts *
known(OrderRules *store, Relation purchase, OrderFacts *facts)
{
	if (!facts->known)
		look_up(store, purchase, facts);
	return facts;
}

static bool
contains(const List *words, const char *word)
{
	ListCell *cell;

	foreach (cell, words)
	{
		if (word != NULL && strcmp(lfirst(cell), word) == 0)
			return true;
	}
	return false;
}

/*
 * A rule as it holds for an order: with the multipliers whose conditions are met
 */
OrderRule *
order_judge(OrderRules *store, Relation purchase, const OrderRule *rule, OrderFacts *facts)
{
	OrderRule *judged = palloc(sizeof(OrderRule));
	ListCell *cell;

	*judged = *rule;
	judged->multipliers = NIL;
	foreach (cell, rule->multipliers)
	{
		const OrderMultiplier *m = lfirst(cell);

		if (facts->at < m->valid_from || facts->at >= m->valid_until ||
			(m->tiers != NIL && !contains(m->tiers, known(store, purchase, facts)->tier)) ||
			(m->birthday_month && !known(store, purchase, facts)->birthday_month))
			continue;
		if (m->mark.categories == NIL && m->mark.products == NIL)
		{
			OrderTimes *times = palloc(sizeof(OrderTimes));

			*times = (OrderTimes){.times = m->mark.times, .until = PG_INT64_MAX};
			judged->times = lappend(judged->times, times);
		}
		else
		{
			OrderMark *mark = palloc(sizeof(OrderMark));

			*mark = m->mark;
			judged->marks = lappend(judged->marks, mark);
		}
	}
	if (!rule->redeemable)
		return judged;
	foreach (cell, store->benefits)
	{
		OrderBenefit *benefit = lfirst(cell);
		const char *tier = known(store, purchase, facts)->tier;

		if (tier == NULL || strcmp(benefit->tier, tier) != 0 || (benefit->birthday_month && !facts->birthday_month))
			continue;
		judged->times = lappend(judged->times, &benefit->times);
	}
	return judged;
}

/*
 * Spread what is to be spread over the lines in proportion, the sum exact; each line's share goes to where it says
 */
static void
spread(OrderLines *lines, int64 total, int64 sum, bool of_kept)
{
	int128 run = 0;
	int64 given = 0;

	/* Lines of no worth have no shares. */
	if (sum == 0)
		return;
	for (int i = 0; i < lines->count; i++)
	{
		OrderLine *line = &lines->line[i];
		int64 *amount = of_kept ? &line->kept : &line->amount;
		int64 upto;

		run += *amount;
		upto = (int64) (run * total / sum);
		*amount = upto - given;
		given = upto;
	}
}

/*
 * The lines of an order, with what is kept of each: what was given back for the order as a whole, or taken off its sum, is
 * spread over them. A last line stands for what the lines do not tell of.
 */
void
order_read_lines(OrderRules *store, Relation purchase, int64 customer_id, const PurchaseImage *image, OrderLines *lines)
{
	static const Oid types[3] = {INT8OID, TEXTOID, TEXTOID};
	Datum values[3] = {
		Int64GetDatum(customer_id), PointerGetDatum(image->channel), PointerGetDatum(image->order_no)};
	MemoryContext caller = CurrentMemoryContext;
	int64 sum = 0;
	int64 kept = 0;
	OrderLine *rest;
	int64 *refunded;

	if (store->lines == NULL || !SPI_plan_is_valid(store->lines))
	{
		order_plan(&store->lines,
				   store_query(purchase,
							"SELECT i.line, i.amount, i.category, i.product, (SELECT sum(r.amount) FROM @purchase_refund r "
							"WHERE r.customer_id = i.customer_id AND r.channel = i.channel AND r.order_no = i.order_no "
							"AND r.line = i.line) FROM @purchase_item i "
							"WHERE i.customer_id = $1 AND i.channel = $2 AND i.order_no = $3 ORDER BY i.line"),
				   3,
				   types);
	}
	if (SPI_execute_plan(store->lines, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the lines of an order");
	MemoryContextSwitchTo(caller);
	lines->count = (int) SPI_processed;
	lines->line = palloc0(sizeof(OrderLine) * (lines->count + 1));
	refunded = palloc0(sizeof(int64) * (lines->count + 1));
	for (int i = 0; i < lines->count; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		OrderLine *line = &lines->line[i];
		bool isnull;
		Datum value;

		line->line = DatumGetInt32(SPI_getbinval(row, desc, 1, &isnull));
		line->amount = money_from_numeric(SPI_getbinval(row, desc, 2, &isnull));
		value = SPI_getbinval(row, desc, 3, &isnull);
		line->category = isnull ? NULL : TextDatumGetCString(value);
		value = SPI_getbinval(row, desc, 4, &isnull);
		line->product = isnull ? NULL : TextDatumGetCString(value);
		value = SPI_getbinval(row, desc, 5, &isnull);
		refunded[i] = isnull ? 0 : money_from_numeric(value);
		sum = money_add(sum, line->amount);
	}
	SPI_freetuptable(SPI_tuptable);
	if (sum > image->amount)
		spread(lines, image->amount, sum, false);
	rest = &lines->line[lines->count];
	rest->amount = Max(image->amount - sum, 0);
	if (rest->amount > 0)
		lines->count++;
	for (int i = 0; i < lines->count; i++)
	{
		OrderLine *line = &lines->line[i];

		line->kept = Max(line->amount - refunded[i], 0);
		kept += line->kept;
	}
	if (kept > image->net)
		spread(lines, image->net, kept, true);
	else if (kept < image->net)
	{
		if (rest->amount == 0)
			lines->count++;
		rest->kept += image->net - kept;
	}
}
