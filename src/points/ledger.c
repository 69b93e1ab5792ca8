/*
 * What the code keeps of a ledger from call to call.
 */
#include "points/ledger.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "base/change.h"
#include "base/store.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

static HTAB *ledgers;

/*
 * A table changed: look its ledger up anew at the next use
 */
static void
forget_relation(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	Ledger *ledger;

	hash_seq_init(&status, ledgers);
	while ((ledger = hash_seq_search(&status)) != NULL)
	{
		if (relid == InvalidOid || relid == ledger->entries || relid == ledger->account)
			ledger->valid = false;
		if (relid == InvalidOid || relid == ledger->program || relid == ledger->settings)
			ledger->programs_valid = false;
	}
}

/*
 * A schema changed, maybe its name, which stands in the plans
 */
static void
forget_schema(Datum arg, int cacheid, uint32 hashvalue)
{
	forget_relation(arg, InvalidOid);
}

/*
 * The index of a table over exactly these columns, or InvalidOid
 */
Oid
ledger_find_index(Relation rel, int count, const AttrNumber *columns)
{
	List *indexes = RelationGetIndexList(rel);
	Oid found = InvalidOid;
	ListCell *cell;

	foreach (cell, indexes)
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);
		bool same = index->rd_index->indnkeyatts == count && index->rd_index->indisvalid;

		for (int i = 0; same && i < count; i++)
			same = index->rd_index->indkey.values[i] == columns[i];
		index_close(index, AccessShareLock);
		if (same)
		{
			found = lfirst_oid(cell);
			break;
		}
	}
	list_free(indexes);
	return found;
}

static void
free_plan(SPIPlanPtr *plan)
{
	if (*plan != NULL)
		SPI_freeplan(*plan);
	*plan = NULL;
}

/*
 * Look up the columns and indexes of points_account
 */
static void
look_at_account(Ledger *ledger, Relation entries)
{
	AttrNumber *c = ledger->account_column;
	Relation accounts = table_open(ledger->account, AccessShareLock);

	for (int i = 0; i < ACCOUNT_COLUMNS; i++)
		c[i] = store_column(accounts, ledger_account_columns[i]);
	ledger->account_key = ledger_find_index(accounts, 2, (AttrNumber[]){c[ACC_CUSTOMER_ID], c[ACC_PROGRAM]});
	ledger->account_due = ledger_find_index(accounts, 1, (AttrNumber[]){c[ACC_NEXT_DUE]});
	ledger->plain = ledger_is_plain(ledger, entries, accounts);
	ledger_keep_indexes(ledger, entries);
	table_close(accounts, NoLock);
}

/*
 * The ledger whose entries stand in this table
 */
Ledger *
ledger_open(Relation entries)
{
	Oid relid = RelationGetRelid(entries);
	Ledger *ledger;
	bool found;

	if (ledgers == NULL)
	{
		HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(Ledger)};

		ledgers = hash_create("crm ledgers", 8, &control, HASH_ELEM | HASH_BLOBS);
		on_relation_change(forget_relation);
		CacheRegisterSyscacheCallback(NAMESPACEOID, forget_schema, (Datum) 0);
	}
	ledger = hash_search(ledgers, &relid, HASH_ENTER, &found);
	if (!found)
		memset((char *) ledger + sizeof(Oid), 0, sizeof(Ledger) - sizeof(Oid));
	/* Not while one of its plans runs; whoever changed the table waits for our lock on it. */
	if (!ledger->valid && ledger->busy == 0)
	{
		AttrNumber *c = ledger->column;

		store_check_shape(relid, "points_entry");
		free_plan(&ledger->lock);
		free_plan(&ledger->lock_due);
		free_plan(&ledger->create);
		free_plan(&ledger->update);
		free_plan(&ledger->holds);
		free_plan(&ledger->hold_insert);
		free_plan(&ledger->hold_resolve);
		free_plan(&ledger->hold_close);
		free_plan(&ledger->insert);
		free_plan(&ledger->archived);
		for (int i = 0; i < LEDGER_VERB_PLANS; i++)
			free_plan(&ledger->verb[i]);
		for (int i = 0; i < LEDGER_ARCHIVE_PLANS; i++)
			free_plan(&ledger->archive[i]);
		ledger->owner = entries->rd_rel->relowner;
		ledger->account = store_referenced_table(entries, "points_account");
		if (!OidIsValid(ledger->account))
			ledger->account = store_sibling_table(entries, "points_account");
		ledger->hold = store_sibling_table(entries, "points_hold");
		ledger->program = store_sibling_table(entries, "points_program");
		ledger->settings = store_sibling_table(entries, "settings");
		for (int i = 0; i < LEDGER_COLUMNS; i++)
			c[i] = store_column(entries, ledger_column_names[i]);
		ledger->lots_type = TupleDescAttr(RelationGetDescr(entries), c[COL_LOTS] - 1)->atttypid;
		ledger->primary_key =
			ledger_find_index(entries, 3, (AttrNumber[]){c[COL_CUSTOMER_ID], c[COL_PROGRAM], c[COL_SEQ]});
		ledger->reference_index = ledger_find_index(
			entries,
			5,
			(AttrNumber[]){c[COL_CUSTOMER_ID], c[COL_REFERENCE], c[COL_PROGRAM], c[COL_KIND], c[COL_SOURCE]});
		ledger->reverses_index =
			ledger_find_index(entries, 3, (AttrNumber[]){c[COL_CUSTOMER_ID], c[COL_PROGRAM], c[COL_REVERSES]});
		look_at_account(ledger, entries);
		ledger->programs_valid = false;
		ledger->valid = true;
	}
	return ledger;
}

/*
 * Read the month and day of fixed expiry dates, such as 06-30
 */
static void
read_dates(Datum datum, LedgerProgram *rules)
{
	Datum *elements;
	int count;

	deconstruct_array(
		DatumGetArrayTypeP(datum), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	rules->dates = palloc(sizeof(int) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		char *date = TextDatumGetCString(elements[i]);
		int month;
		int day;

		if (sscanf(date, "%2d-%2d", &month, &day) != 2)
			elog(ERROR, "invalid expiry date \"%s\"", date);
		rules->dates[rules->date_count++] = month * 100 + day;
	}
}

/*
 * The rules of a program; raises when there is none of this code
 */
const LedgerProgram *
ledger_program(Ledger *ledger, const char *program)
{
	ListCell *cell;
	StringInfoData sql;
	Oid types[1] = {TEXTOID};
	Datum args[1];
	SPIPlanPtr plan;
	LedgerSpi spi;
	LedgerProgram *rules;
	MemoryContext old;
	HeapTuple row;
	TupleDesc desc;
	bool isnull;
	Datum value;

	if (!ledger->programs_valid)
	{
		/* Accounts that are locked may still point to the old ones. */
		if (ledger->program_context != NULL)
			MemoryContextSetParent(ledger->program_context, TopTransactionContext);
		ledger->program_context = AllocSetContextCreate(CacheMemoryContext, "crm points programs", ALLOCSET_SMALL_SIZES);
		ledger->programs = NIL;
		ledger->programs_valid = true;
	}
	foreach (cell, ledger->programs)
	{
		rules = lfirst(cell);
		if (strcmp(rules->program, program) == 0)
			return rules;
	}

	ledger_spi_begin(&spi);
	args[0] = CStringGetTextDatum(program);
	initStringInfo(&sql);
	appendStringInfo(&sql,
					 "SELECT p.redeemable, p.debt_allowed, p.expiry, p.expiry_n, p.expiry_round, p.expiry_dates, "
					 "p.restore_grace_days, p.hold_minutes, s.time_zone FROM %s p LEFT JOIN %s s ON true "
					 "WHERE p.program OPERATOR(pg_catalog.=) $1",
					 store_qualified_name(ledger->program),
					 store_qualified_name(ledger->settings));
	plan = SPI_prepare(sql.data, 1, types);
	/* The newest committed rules, whatever snapshot the transaction has, since they are kept beyond it. */
	if (plan == NULL || SPI_execute_snapshot(plan, args, NULL, GetLatestSnapshot(), InvalidSnapshot, true, false, 1) < 0)
		elog(ERROR, "could not read points programs: %s", SPI_result_code_string(SPI_result));
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
				 errmsg("points program \"%s\" does not exist", program),
				 errhint("The programs are the rows of points_program; the usual ones are points and growth.")));
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;

	old = MemoryContextSwitchTo(ledger->program_context);
	rules = palloc0(sizeof(LedgerProgram));
	rules->program = pstrdup(program);
	rules->redeemable = DatumGetBool(SPI_getbinval(row, desc, 1, &isnull));
	rules->debt_allowed = DatumGetBool(SPI_getbinval(row, desc, 2, &isnull));
	rules->expiry = TextDatumGetCString(SPI_getbinval(row, desc, 3, &isnull))[0];
	value = SPI_getbinval(row, desc, 4, &isnull);
	rules->expiry_n = isnull ? 0 : DatumGetInt32(value);
	rules->expiry_round = TextDatumGetCString(SPI_getbinval(row, desc, 5, &isnull))[0];
	value = SPI_getbinval(row, desc, 6, &isnull);
	if (!isnull)
		read_dates(value, rules);
	rules->restore_grace_days = DatumGetInt32(SPI_getbinval(row, desc, 7, &isnull));
	value = SPI_getbinval(row, desc, 8, &isnull);
	rules->hold_minutes = isnull ? 0 : DatumGetInt32(value);
	value = SPI_getbinval(row, desc, 9, &isnull);
	rules->zone = isnull ? NULL : pg_tzset(TextDatumGetCString(value));
	ledger->programs = lappend(ledger->programs, rules);
	MemoryContextSwitchTo(old);
	ledger_spi_end(&spi);
	return rules;
}
