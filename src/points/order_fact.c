/*
 * What the rules for orders ask: the customer's tier and month of birth, the lines of an order and what was given back of each.
 */
#include "points/order.h"

#include "base/store.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "executor/tuptable.h"
#include "pgtime.h"
#include "store/customer_scan.h"
#include "store/money.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
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
 * Run a plan about a customer; its first value is in the current context, null when there is none
 */
static Datum
look_up(SPIPlanPtr plan, Datum *values, bool *isnull)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum value = 0;

	if (SPI_execute_plan(plan, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look up customer " INT64_FORMAT " for the points rules", DatumGetInt64(values[0]));
	MemoryContextSwitchTo(caller);
	*isnull = true;
	if (SPI_processed > 0)
		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, isnull);
	if (!*isnull)
	{
		Form_pg_attribute column = TupleDescAttr(SPI_tuptable->tupdesc, 0);

		value = datumCopy(value, column->attbyval, column->attlen);
	}
	SPI_freetuptable(SPI_tuptable);
	return value;
}

/*
 * The tier that the last change before a moment led to; NULL when there was none. False when SQL has to read the changes.
 */
static bool
read_tier(const OrderRules *store, const OrderFacts *facts, const char **tier)
{
	Snapshot snapshot = RegisterSnapshot(GetTransactionSnapshot());
	CustomerScan changes = {0};
	TimestampTz last = DT_NOBEGIN;
	int32 last_number = 0;
	bool direct;

	*tier = NULL;
	customer_scan_open(&changes, store->kept.tables[TABLE_TIER_CHANGE], snapshot);
	direct = changes.index != NULL && store->change_at > 0 && store->change_no > 0 && store->change_reason > 0 && store->change_tier > 0;
	for (bool more = direct && customer_scan_find(&changes, facts->customer_id); more; more = customer_scan_next(&changes))
	{
		TupleTableSlot *slot = changes.slot;
		bool isnull;
		TimestampTz at = DatumGetTimestampTz(slot_getattr(slot, store->change_at, &isnull));
		int32 number = DatumGetInt32(slot_getattr(slot, store->change_no, &isnull));
		text *reason = DatumGetTextPP(slot_getattr(slot, store->change_reason, &isnull));

		/* A tier that the order itself lifted to begins after it. */
		if (at > facts->at || (at == facts->at && VARSIZE_ANY_EXHDR(reason) == 7 && memcmp(VARDATA_ANY(reason), "upgrade", 7) == 0) ||
			at < last || (at == last && number < last_number))
			continue;
		last = at;
		last_number = number;
		*tier = TextDatumGetCString(slot_getattr(slot, store->change_tier, &isnull));
	}
	if (changes.slot != NULL)
		ExecClearTuple(changes.slot);
	customer_scan_close(&changes);
	UnregisterSnapshot(snapshot);
	return direct;
}

/*
 * The tier that the customer had at the moment of the order
 */
static const char *
tier_then(OrderRules *store, Relation purchase, OrderFacts *facts)
{
	static const Oid types[2] = {INT8OID, TIMESTAMPTZOID};
	Datum values[2] = {Int64GetDatum(facts->customer_id), TimestampTzGetDatum(facts->at)};
	bool isnull;
	Datum value;

	if (facts->tier_known || store->zone == NULL)
		return facts->tier;
	facts->tier_known = true;
	if (!read_tier(store, facts, &facts->tier))
	{
		if (store->tier == NULL || !SPI_plan_is_valid(store->tier))
			order_plan(&store->tier,
					   store_query(purchase,
								   "SELECT c.to_tier FROM @tier_change c WHERE c.customer_id = $1 "
								   "AND (c.at < $2 OR c.at = $2 AND c.reason <> 'upgrade') ORDER BY c.at DESC, c.change_no DESC LIMIT 1"),
					   2,
					   types);
		value = look_up(store->tier, values, &isnull);
		facts->tier = isnull ? NULL : TextDatumGetCString(value);
	}
	if (facts->tier == NULL)
		facts->tier = store->base_tier;
	return facts->tier;
}

/* Is the order in the month of birth? What is not yet known, SQL knows, which knows the lunar calendar. */
typedef enum BirthdayMonth
{
	BIRTHDAY_UNKNOWN,
	BIRTHDAY_OTHER_MONTH,
	BIRTHDAY_MONTH
} BirthdayMonth;

/*
 * Is the day in the month of birth, as far as that is known without SQL?
 */
static BirthdayMonth
read_birthday(const OrderRules *store, int64 customer_id, DateADT day)
{
	Snapshot snapshot = RegisterSnapshot(GetTransactionSnapshot());
	CustomerScan contacts = {0};
	BirthdayMonth answer = BIRTHDAY_UNKNOWN;

	customer_scan_open(&contacts, store->kept.tables[TABLE_CONTACT], snapshot);
	if (contacts.index != NULL && store->birth_date > 0 && store->birth_calendar > 0)
	{
		answer = BIRTHDAY_OTHER_MONTH;
		if (customer_scan_find(&contacts, customer_id))
		{
			bool no_date;
			bool no_calendar;
			DateADT born = DatumGetDateADT(slot_getattr(contacts.slot, store->birth_date, &no_date));
			Datum calendar = slot_getattr(contacts.slot, store->birth_calendar, &no_calendar);

			if (!no_date && !no_calendar && !DATE_NOT_FINITE(born))
			{
				int year;
				int month;
				int this_month;
				int day_of_month;

				j2date(born + POSTGRES_EPOCH_JDATE, &year, &month, &day_of_month);
				j2date(day + POSTGRES_EPOCH_JDATE, &year, &this_month, &day_of_month);
				if (strcmp(TextDatumGetCString(calendar), "lunar") == 0)
					answer = BIRTHDAY_UNKNOWN;
				else if (month == this_month)
					answer = BIRTHDAY_MONTH;
			}
			ExecClearTuple(contacts.slot);
		}
	}
	customer_scan_close(&contacts);
	UnregisterSnapshot(snapshot);
	return answer;
}

/*
 * Is it certain, and cheaply known, that the order falls into another month than that of birth?
 */
static bool
other_month(OrderRules *store, OrderFacts *facts)
{
	if (!facts->birthday_known && !facts->birthday_asked && store->zone != NULL)
	{
		BirthdayMonth answer = read_birthday(store, facts->customer_id, local_day(facts->at, store->zone));

		facts->birthday_asked = true;
		facts->birthday_known = answer != BIRTHDAY_UNKNOWN;
		facts->birthday_month = answer == BIRTHDAY_MONTH;
	}
	return facts->birthday_known && !facts->birthday_month;
}

/*
 * Does the order fall into the month of birth? Who keeps the lunar birthday has it in the month into which it falls.
 */
static bool
birthday_month(OrderRules *store, Relation purchase, OrderFacts *facts)
{
	static const Oid types[2] = {INT8OID, DATEOID};
	Datum values[2] = {Int64GetDatum(facts->customer_id)};
	bool isnull;
	Datum value;

	if (other_month(store, facts) || facts->birthday_known || store->zone == NULL)
		return facts->birthday_month;
	facts->birthday_known = true;
	values[1] = DateADTGetDatum(local_day(facts->at, store->zone));
	if (store->birthday == NULL || !SPI_plan_is_valid(store->birthday))
		order_plan(
			&store->birthday,
			store_query(purchase,
					 "SELECT CASE WHEN k.birth_calendar <> 'lunar' THEN extract(month FROM k.birth_date) = extract(month FROM $2) "
					 "WHEN k.birth_date BETWEEN '1901-01-01' AND '2099-12-31' AND $2 BETWEEN '1902-01-01' AND '2099-12-31' "
					 "THEN EXISTS (SELECT FROM generate_series(-1, 0) y WHERE date_trunc('month', "
					 CRM_SCHEMA ".lunar_birthday(k.birth_date, extract(year FROM $2)::integer + y)) = date_trunc('month', $2)) END "
					 "FROM @contact k WHERE k.customer_id = $1"),
			2,
			types);
	value = look_up(store->birthday, values, &isnull);
	facts->birthday_month = !isnull && DatumGetBool(value);
	return facts->birthday_month;
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
			(m->tiers != NIL && !contains(m->tiers, tier_then(store, purchase, facts))) ||
			(m->birthday_month && !birthday_month(store, purchase, facts)))
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
		const char *tier;

		/* Eleven of twelve benefits for birthdays end here. */
		if (benefit->birthday_month && other_month(store, facts))
			continue;
		tier = tier_then(store, purchase, facts);
		if (tier == NULL || strcmp(benefit->tier, tier) != 0 || (benefit->birthday_month && !birthday_month(store, purchase, facts)))
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
