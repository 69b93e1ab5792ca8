/*
 * The rules by which orders earn, read once and kept until their tables change.
 */
#include "points/order.h"

#include "base/change.h"
#include "base/store.h"
#include "catalog/pg_type.h"
#include "store/money.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

static const char *const watched_names[] = {
	"points_entry", "points_rule", "points_multiplier", "points_program", "settings", "tier", "tier_benefit",
	"points_carry", "tier_change", "contact"};

static KeptCache *stores;

/*
 * Run a query of the tables as they are now, whatever the transaction's snapshot: who is told of a change may be in an old one
 */
static void
read_rows(const char *sql)
{
	SPIPlanPtr plan = SPI_prepare(sql, 0, NULL);

	if (plan == NULL || SPI_execute_snapshot(plan, NULL, NULL, GetLatestSnapshot(), InvalidSnapshot, true, false, 0) < 0)
		elog(ERROR, "could not read points rules: %s", SPI_result_code_string(SPI_result));
}

static Datum
value_of(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

static char *
text_of(uint64 row, int column)
{
	bool isnull;
	Datum value = value_of(row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static bool
bool_of(uint64 row, int column)
{
	bool isnull;
	Datum value = value_of(row, column, &isnull);

	return !isnull && DatumGetBool(value);
}

static int64
money_of(uint64 row, int column)
{
	bool isnull;
	Datum value = value_of(row, column, &isnull);

	return isnull ? 0 : money_from_numeric(value);
}

static TimestampTz
moment_of(uint64 row, int column, TimestampTz missing)
{
	bool isnull;
	Datum value = value_of(row, column, &isnull);

	return isnull ? missing : DatumGetTimestampTz(value);
}

/*
 * A column of type text[] as a list of strings
 */
static List *
texts_of(uint64 row, int column)
{
	bool isnull;
	Datum value = value_of(row, column, &isnull);
	List *list = NIL;
	Datum *elements;
	bool *nulls;
	int count;

	if (isnull)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (!nulls[i])
			list = lappend(list, TextDatumGetCString(elements[i]));
	}
	return list;
}

/*
 * Read points_rule. A program without a rule has one that gives nothing: what a rule gave that is gone is still clawed back.
 */
static void
read_rules(OrderRules *store)
{
	read_rows(psprintf(
		"SELECT r.rule, p.program, r.points, r.per_amount, r.minimum, r.rounding, r.on_status, r.wait_days, r.valid_from, "
		"r.valid_until, r.active, p.redeemable, p.carry_remainder, "
		"p.carry_remainder OR EXISTS (SELECT FROM %s c WHERE c.program = p.program) "
		"FROM %s p LEFT JOIN %s r ON r.program = p.program AND r.event = 'order' ORDER BY r.rule",
		store_qualified_name(store->kept.tables[TABLE_CARRY]),
		store_qualified_name(store->kept.tables[TABLE_PROGRAM]),
		store_qualified_name(store->kept.tables[TABLE_RULE])));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext caller = MemoryContextSwitchTo(store->context);
		OrderRule *rule = palloc0(sizeof(OrderRule));
		char *word = text_of(i, 6);
		bool isnull;
		Datum number = value_of(i, 1, &isnull);

		rule->program = text_of(i, 2);
		if (!isnull)
		{
			rule->rule = DatumGetInt32(number);
			rule->points = DatumGetInt64(value_of(i, 3, &isnull));
			rule->per = money_of(i, 4);
			rule->minimum = money_of(i, 5);
			rule->rounding = strcmp(word, "down") == 0 ? ROUND_DOWN : strcmp(word, "up") == 0 ? ROUND_UP : ROUND_NEAREST;
			rule->on_paid = strcmp(text_of(i, 7), "paid") == 0;
			rule->wait_days = DatumGetInt32(value_of(i, 8, &isnull));
			rule->active = bool_of(i, 11);
		}
		rule->valid_from = moment_of(i, 9, DT_NOBEGIN);
		rule->valid_until = moment_of(i, 10, DT_NOEND);
		rule->redeemable = bool_of(i, 12);
		rule->carry = bool_of(i, 13);
		rule->carried = bool_of(i, 14);
		store->rules = lappend(store->rules, rule);
		MemoryContextSwitchTo(caller);
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Read points_multiplier
 */
static void
read_multipliers(OrderRules *store)
{
	read_rows(psprintf("SELECT rule, times, category, product, tier, birthday_month, valid_from, valid_until FROM %s "
					   "WHERE active ORDER BY multiplier",
					   store_qualified_name(store->kept.tables[TABLE_MULTIPLIER])));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool isnull;
		int32 number = DatumGetInt32(value_of(i, 1, &isnull));
		ListCell *cell;

		foreach (cell, store->rules)
		{
			OrderRule *rule = lfirst(cell);
			MemoryContext caller = MemoryContextSwitchTo(store->context);

			if (rule->rule == number)
			{
				OrderMultiplier *multiplier = palloc0(sizeof(OrderMultiplier));

				multiplier->mark.times = money_of(i, 2);
				multiplier->mark.categories = texts_of(i, 3);
				multiplier->mark.products = texts_of(i, 4);
				multiplier->tiers = texts_of(i, 5);
				multiplier->birthday_month = bool_of(i, 6);
				multiplier->valid_from = moment_of(i, 7, DT_NOBEGIN);
				multiplier->valid_until = moment_of(i, 8, DT_NOEND);
				rule->multipliers = lappend(rule->multipliers, multiplier);
				store->marks |= multiplier->mark.categories != NIL || multiplier->mark.products != NIL;
			}
			MemoryContextSwitchTo(caller);
		}
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Read the benefits of tiers that multiply points, and the tier that everybody has
 */
static void
read_benefits(OrderRules *store)
{
	MemoryContext caller;

	read_rows(psprintf("SELECT tier, kind = 'birthday_multiplier', round(least(value, 9999), 4), least(threshold, 1000000000000), "
					   "lead(least(threshold, 1000000000000)) OVER (PARTITION BY tier, kind ORDER BY threshold) FROM %s "
					   "WHERE kind IN ('birthday_multiplier', 'points_multiplier') ORDER BY tier, kind, threshold",
					   store_qualified_name(store->kept.tables[TABLE_BENEFIT])));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		OrderBenefit *benefit;
		bool isnull;

		caller = MemoryContextSwitchTo(store->context);
		benefit = palloc0(sizeof(OrderBenefit));
		benefit->tier = text_of(i, 1);
		benefit->birthday_month = bool_of(i, 2);
		benefit->times.times = money_of(i, 3);
		benefit->times.from = money_of(i, 4);
		(void) value_of(i, 5, &isnull);
		benefit->times.until = isnull ? PG_INT64_MAX : money_of(i, 5);
		store->benefits = lappend(store->benefits, benefit);
		MemoryContextSwitchTo(caller);
	}
	SPI_freetuptable(SPI_tuptable);
	read_rows(psprintf("SELECT tier FROM %s ORDER BY seq LIMIT 1", store_qualified_name(store->kept.tables[TABLE_TIER])));
	caller = MemoryContextSwitchTo(store->context);
	store->base_tier = SPI_processed == 1 ? text_of(0, 1) : NULL;
	MemoryContextSwitchTo(caller);
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Read the setting and the zone
 */
static void
read_settings(OrderRules *store)
{
	ListCell *cell;

	read_rows(psprintf("SELECT time_zone, points_multipliers = 'product' FROM %s",
					   store_qualified_name(store->kept.tables[TABLE_SETTINGS])));
	if (SPI_processed == 1)
	{
		store->zone = pg_tzset(text_of(0, 1));
		foreach (cell, store->rules)
			((OrderRule *) lfirst(cell))->product = bool_of(0, 2);
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Number of a column; 0 when it is not there or of another type
 */
static AttrNumber
column_of_type(Oid relid, const char *name, Oid type)
{
	AttrNumber column = get_attnum(relid, name);

	return column > 0 && get_atttype(relid, column) == type ? column : 0;
}

/*
 * Read the rules of a store
 */
static void
load(OrderRules *store)
{
	if (store->context == NULL)
		store->context = AllocSetContextCreate(CacheMemoryContext, "crm points rules", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(store->context);
	store->rules = store->benefits = NIL;
	store->marks = false;
	store->base_tier = NULL;
	/* Valid before it is read: a change meanwhile makes it invalid again. */
	store->kept.valid = true;
	PG_TRY();
	{
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		read_rules(store);
		read_multipliers(store);
		read_benefits(store);
		read_settings(store);
		store->change_at = column_of_type(store->kept.tables[TABLE_TIER_CHANGE], "at", TIMESTAMPTZOID);
		store->change_no = column_of_type(store->kept.tables[TABLE_TIER_CHANGE], "change_no", INT4OID);
		store->change_reason = column_of_type(store->kept.tables[TABLE_TIER_CHANGE], "reason", TEXTOID);
		store->change_tier = column_of_type(store->kept.tables[TABLE_TIER_CHANGE], "to_tier", TEXTOID);
		store->birth_date = column_of_type(store->kept.tables[TABLE_CONTACT], "birth_date", DATEOID);
		store->birth_calendar = column_of_type(store->kept.tables[TABLE_CONTACT], "birth_calendar", TEXTOID);
		SPI_finish();
	}
	PG_CATCH();
	{
		store->kept.valid = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/*
 * The rules of a store; none when it has no ledger
 */
OrderRules *
order_rules(Relation purchase)
{
	Oid relid = RelationGetRelid(purchase);
	OrderRules *store;

	StaticAssertStmt(lengthof(watched_names) <= KEPT_TABLES, "all tables that are watched must have room");
	if (stores == NULL)
		stores = kept_cache("crm points rules", sizeof(OrderRules));
	store = kept_entry(stores, relid);
	if (store->kept.valid)
		return store;
	for (int i = 0; i < lengthof(watched_names); i++)
	{
		store->kept.tables[i] = store_sibling_if_any(purchase, watched_names[i]);
		if (!OidIsValid(store->kept.tables[i]))
		{
			/* Not yet made: nothing tells when it will be, so look again. */
			store->rules = NIL;
			return store;
		}
		(void) store_sibling_table(purchase, watched_names[i]);
	}
	store->entries = store->kept.tables[TABLE_ENTRY];
	load(store);
	return store;
}

/*
 * A saved plan, prepared when it is not
 */
SPIPlanPtr
order_plan(SPIPlanPtr *plan, const char *sql, int count, const Oid *types)
{
	/* A plan whose tables changed is made anew from today's names. */
	if (*plan == NULL || !SPI_plan_is_valid(*plan))
	{
		SPIPlanPtr made = SPI_prepare_cursor(sql, count, (Oid *) types, CURSOR_OPT_GENERIC_PLAN);

		if (made == NULL || SPI_keepplan(made) != 0)
			elog(ERROR, "could not prepare a statement of the points rules: %s", SPI_result_code_string(SPI_result));
		retire_plan(*plan);
		*plan = made;
	}
	return *plan;
}
