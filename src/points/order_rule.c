/*
 * The rules by which orders earn: reading them, applying them, and keeping them in the entry that they gave.
 */
#include "points/order.h"

#include "base/store.h"
#include "catalog/pg_type.h"
#include "store/money.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* What is kept of a store's rules. */
typedef struct OrderRules
{
	Oid purchase; /* key */
	bool valid;
	Oid entries;
	Oid rule_table;
	List *rules;
	MemoryContext context;
} OrderRules;

static HTAB *stores;

/*
 * A table changed
 */
static void
forget(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	OrderRules *rules;

	hash_seq_init(&status, stores);
	while ((rules = hash_seq_search(&status)) != NULL)
	{
		if (relid == InvalidOid || relid == rules->purchase || relid == rules->rule_table || relid == rules->entries)
			rules->valid = false;
	}
}

static int64
money_or_zero(HeapTuple row, TupleDesc desc, int column)
{
	bool isnull;
	Datum value = SPI_getbinval(row, desc, column, &isnull);

	return isnull ? 0 : money_from_numeric(value);
}

/*
 * Read points_rule
 */
static void
load(OrderRules *store)
{
	SPIPlanPtr plan;
	MemoryContext old;

	if (store->context == NULL)
		store->context = AllocSetContextCreate(CacheMemoryContext, "crm points rules", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(store->context);
	store->rules = NIL;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	plan = SPI_prepare(
		psprintf("SELECT rule, program, points, per_amount, minimum, on_status, wait_days, valid_from, valid_until, active FROM %s "
				 "WHERE event OPERATOR(pg_catalog.=) 'order' ORDER BY rule",
				 store_qualified_name(store->rule_table)),
		0,
		NULL);
	if (plan == NULL || SPI_execute_snapshot(plan, NULL, NULL, GetLatestSnapshot(), InvalidSnapshot, true, false, 0) < 0)
		elog(ERROR, "could not read points rules: %s", SPI_result_code_string(SPI_result));
	old = MemoryContextSwitchTo(store->context);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		OrderRule *rule = palloc0(sizeof(OrderRule));
		bool isnull;
		Datum value;

		rule->rule = DatumGetInt32(SPI_getbinval(row, desc, 1, &isnull));
		rule->program = TextDatumGetCString(SPI_getbinval(row, desc, 2, &isnull));
		rule->points = DatumGetInt64(SPI_getbinval(row, desc, 3, &isnull));
		rule->per = money_or_zero(row, desc, 4);
		rule->minimum = money_or_zero(row, desc, 5);
		rule->on_paid = strcmp(TextDatumGetCString(SPI_getbinval(row, desc, 6, &isnull)), "paid") == 0;
		rule->wait_days = DatumGetInt32(SPI_getbinval(row, desc, 7, &isnull));
		value = SPI_getbinval(row, desc, 8, &isnull);
		rule->valid_from = isnull ? DT_NOBEGIN : DatumGetTimestampTz(value);
		value = SPI_getbinval(row, desc, 9, &isnull);
		rule->valid_until = isnull ? DT_NOEND : DatumGetTimestampTz(value);
		rule->active = DatumGetBool(SPI_getbinval(row, desc, 10, &isnull));
		store->rules = lappend(store->rules, rule);
	}
	MemoryContextSwitchTo(old);
	SPI_finish();
	store->valid = true;
}

/*
 * The rules of a store
 */
static OrderRules *
find(Relation purchase)
{
	Oid relid = RelationGetRelid(purchase);
	OrderRules *store;
	bool found;

	if (stores == NULL)
	{
		HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(OrderRules)};

		stores = hash_create("crm points rules", 8, &control, HASH_ELEM | HASH_BLOBS);
		CacheRegisterRelcacheCallback(forget, (Datum) 0);
	}
	store = hash_search(stores, &relid, HASH_ENTER, &found);
	if (!found)
		memset((char *) store + sizeof(Oid), 0, sizeof(OrderRules) - sizeof(Oid));
	if (!store->valid)
	{
		Oid schema = RelationGetNamespace(purchase);

		store->entries = get_relname_relid("points_entry", schema);
		store->rule_table = get_relname_relid("points_rule", schema);
		if (!OidIsValid(store->entries) || !OidIsValid(store->rule_table))
		{
			/* Not yet made: nothing tells when it will be, so look again. */
			store->rules = NIL;
			return store;
		}
		(void) store_sibling_table(purchase, "points_entry");
		(void) store_sibling_table(purchase, "points_rule");
		load(store);
	}
	return store;
}

/*
 * The rules, and the table of entries
 */
List *
order_rules(Relation purchase, Oid *entries)
{
	OrderRules *store = find(purchase);

	*entries = store->entries;
	return store->rules;
}

/*
 * Is there a rule for orders?
 */
bool
order_rules_exist(Relation purchase)
{
	return find(purchase)->rules != NIL;
}

/*
 * Points for an amount: whole ones, rounded down
 */
int64
order_rule_points(const OrderRule *rule, int64 amount)
{
	int128 points;

	if (amount <= 0 || amount < rule->minimum || rule->per <= 0)
		return 0;
	points = (int128) amount * rule->points / rule->per;
	if (points > PG_INT64_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_POINTS_OVERFLOW),
				 errmsg("points out of range"),
				 errdetail("rule %d", rule->rule),
				 errhint("An account holds less than 2^63 points in all its life.")));
	return (int64) points;
}

static char *
money_text(int64 units)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out, money_to_numeric(units)));
}

/*
 * The rule and the amount, as the entry keeps them
 */
char *
order_rule_detail(const OrderRule *rule, int64 amount)
{
	char *minimum = rule->minimum == 0 ? "" : psprintf(", \"minimum\": %s", money_text(rule->minimum));
	char *json = psprintf("{\"rule\": %d, \"points\": " INT64_FORMAT ", \"per\": %s, \"amount\": %s%s}",
						  rule->rule,
						  rule->points,
						  money_text(rule->per),
						  money_text(amount),
						  minimum);

	/* jsonb has one text form; entries are compared and hashed by it. */
	return DatumGetCString(DirectFunctionCall1(jsonb_out, DirectFunctionCall1(jsonb_in, CStringGetDatum(json))));
}

/*
 * A field of an entry's detail as text, or NULL
 */
static char *
detail_field(Datum detail, const char *name)
{
	JsonbValue key = {.type = jbvString};
	JsonbValue *value;

	key.val.string.val = (char *) name;
	key.val.string.len = strlen(name);
	value = findJsonbValueFromContainer(&DatumGetJsonbP(detail)->root, JB_FOBJECT, &key);
	if (value == NULL || value->type != jbvNumeric)
		return NULL;
	return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
}

static int64
money_field(Datum detail, const char *name)
{
	char *field = detail_field(detail, name);

	return field == NULL ? 0
						 : money_from_numeric(DirectFunctionCall3(numeric_in,
																  CStringGetDatum(field),
																  ObjectIdGetDatum(InvalidOid),
																  Int32GetDatum(-1)));
}

/*
 * The rule that an earning was given by; false when it says none
 */
bool
order_rule_stored(const PointsEntry *earn, OrderRule *rule)
{
	Datum detail;
	char *field;

	if (earn->detail == NULL)
		return false;
	detail = DirectFunctionCall1(jsonb_in, CStringGetDatum(earn->detail));
	field = detail_field(detail, "points");
	if (field == NULL)
		return false;
	rule->points = DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(field)));
	rule->per = money_field(detail, "per");
	rule->minimum = money_field(detail, "minimum");
	field = detail_field(detail, "rule");
	rule->rule = field == NULL ? 0 : DatumGetInt32(DirectFunctionCall1(int4in, CStringGetDatum(field)));
	return rule->per > 0;
}
