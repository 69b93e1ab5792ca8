#include "base/change.h"
#include "base/store.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

/* So many customers a statement of the trigger. */
#define PART_CUSTOMERS 65536

typedef struct CustomerTable
{
	Oid relid; /* hash key */
	SPIPlanPtr plan;
} CustomerTable;

static HTAB *tables;

/*
 * The table customer_summary beside customer: the one whose foreign key put a trigger on it
 */
static Oid
summary_table(Relation customer)
{
	const char *name = "customer_summary";
	int i;

	for (i = 0; customer->trigdesc != NULL && i < customer->trigdesc->numtriggers; i++)
	{
		Oid relid = customer->trigdesc->triggers[i].tgconstrrelid;
		char *candidate = OidIsValid(relid) ? get_rel_name(relid) : NULL;

		/* A shard's name has a suffix. */
		if (candidate != NULL && strncmp(candidate, name, strlen(name)) == 0)
			return relid;
	}
	return store_sibling_table(customer, name);
}

/*
 * The plan that makes summaries, saved for the session
 */
static SPIPlanPtr
summary_plan(Relation customer)
{
	Oid relid = RelationGetRelid(customer);
	Oid types[1] = {INT8ARRAYOID};
	CustomerTable *table;
	bool found;

	if (tables == NULL)
	{
		HASHCTL control = {0};

		control.keysize = sizeof(Oid);
		control.entrysize = sizeof(CustomerTable);
		control.hcxt = TopMemoryContext;
		tables = hash_create("crm customer tables", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	table = hash_search(tables, &relid, HASH_ENTER, &found);
	if (!found)
		table->plan = NULL;
	if (table->plan == NULL || !SPI_plan_is_valid(table->plan))
	{
		char *sql = psprintf("INSERT INTO %s (customer_id) SELECT unnest($1) ON CONFLICT DO NOTHING",
							 store_qualified_name(summary_table(customer)));
		SPIPlanPtr plan = SPI_prepare(sql, 1, types);

		if (plan == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(plan);
		retire_plan(table->plan);
		table->plan = plan;
	}
	return table->plan;
}

/*
 * Statement trigger of customer: give each new customer a row of customer_summary
 */
PG_FUNCTION_INFO_V1(customer_added);
Datum
customer_added(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Relation rel;
	TupleTableSlot *slot;
	StoreOwner owner;
	AttrNumber key;
	Datum *ids;
	int64 total;
	bool more = true;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) ||
		!TRIGGER_FIRED_AFTER(trigger->tg_event) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ||
		trigger->tg_newtable == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("customer_added() must be an AFTER INSERT statement trigger with REFERENCING NEW TABLE")));
	total = tuplestore_tuple_count(trigger->tg_newtable);
	if (total == 0)
		PG_RETURN_POINTER(NULL);

	rel = trigger->tg_relation;
	store_check_shape(RelationGetRelid(rel), "customer");
	key = store_column(rel, "customer_id");
	store_owner_begin(rel, &owner);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsMinimalTuple);
	ids = palloc_array(Datum, Min(total, PART_CUSTOMERS));
	tuplestore_select_read_pointer(trigger->tg_newtable,
								   tuplestore_alloc_read_pointer(trigger->tg_newtable, EXEC_FLAG_REWIND));
	tuplestore_rescan(trigger->tg_newtable);
	while (more)
	{
		int n = 0;
		Datum array;
		bool isnull;

		CHECK_FOR_INTERRUPTS();
		while (n < PART_CUSTOMERS && (more = tuplestore_gettupleslot(trigger->tg_newtable, true, false, slot)))
			ids[n++] = slot_getattr(slot, key, &isnull);
		if (n == 0)
			break;
		array = PointerGetDatum(construct_array(ids, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
		if (SPI_execute_plan(summary_plan(rel), &array, NULL, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(SPI_result));
		pfree(DatumGetPointer(array));
	}
	ExecDropSingleTupleTableSlot(slot);
	SPI_finish();
	store_owner_end(&owner);
	PG_RETURN_POINTER(NULL);
}
