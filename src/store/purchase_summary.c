#include "store/purchase_summary.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "store/money.h"
#include "utils/array.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define PARAMS 9

bool
delta_matters(const CustomerDelta *delta)
{
	int i;

	if (delta->orders != 0 || delta->spend != 0 || delta->refunded != 0 || delta->discount != 0 || delta->cost != 0 ||
		delta->first != DT_NOEND || delta->lost_first != DT_NOEND)
		return true;
	for (i = 0; i < delta->nmonths; i++)
	{
		if (delta->months[i].orders != 0 || delta->months[i].net != 0)
			return true;
	}
	return false;
}

/*
 * Parameters of a delta's plan
 */
static void
delta_params(const CustomerDelta *delta, Datum *values, bool *nulls)
{
	values[0] = Int64GetDatum(delta->customer_id);
	values[1] = Int64GetDatum(delta->orders);
	values[2] = money_to_numeric(delta->spend);
	values[3] = money_to_numeric(delta->refunded);
	values[4] = money_to_numeric(delta->discount);
	values[5] = money_to_numeric(delta->cost);
	values[6] = PointerGetDatum(months_pack(delta->months, delta->nmonths));
	values[7] = TimestampTzGetDatum(delta->first);
	values[8] = TimestampTzGetDatum(delta->last);
	memset(nulls, 0, PARAMS);
	nulls[7] = nulls[8] = delta->first == DT_NOEND;
}

/*
 * Parameters of many deltas' plan: an array for each column
 */
static void
deltas_params(CustomerDelta **deltas, int count, Oid months, Datum *arrays)
{
	static const bool byval[PARAMS] = {true, true, false, false, false, false, false, true, true};
	Oid types[PARAMS] = {INT8OID, INT8OID, NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID, months, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum *values = palloc_array(Datum, (Size) count * PARAMS);
	bool *nulls = palloc_array(bool, (Size) count * PARAMS);
	int lower = 1;
	int c;
	int i;

	for (i = 0; i < count; i++)
	{
		Datum row[PARAMS];
		bool row_nulls[PARAMS];

		delta_params(deltas[i], row, row_nulls);
		for (c = 0; c < PARAMS; c++)
		{
			values[(Size) c * count + i] = row[c];
			nulls[(Size) c * count + i] = row_nulls[c];
		}
	}
	for (c = 0; c < PARAMS; c++)
		arrays[c] = PointerGetDatum(construct_md_array(values + (Size) c * count,
													   nulls + (Size) c * count,
													   1,
													   &count,
													   &lower,
													   types[c],
													   byval[c] ? 8 : -1,
													   byval[c] ? FLOAT8PASSBYVAL : false,
													   byval[c] ? TYPALIGN_DOUBLE : TYPALIGN_INT));
}

void
summary_missing(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
			 errmsg("a customer has no row in customer_summary"),
			 errhint("recount_customers(fix => true) makes the missing rows.")));
}

/*
 * Run a plan that writes in the order of its array, and check that it wrote every customer
 */
static void
write_in_order(SPIPlanPtr plan, Datum *params, const char *nulls, int expected, bool many)
{
	int level = 0;
	int result;

	/* Rows are locked in the order of the plan's output: a nested loop over the array, so by customer_id. */
	if (many)
	{
		static const char *const others[] = {"enable_hashjoin", "enable_mergejoin", "enable_seqscan", "enable_bitmapscan"};
		int i;

		level = NewGUCNestLevel();
		for (i = 0; i < (int) lengthof(others); i++)
			(void) set_config_option(others[i], "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	}
	result = SPI_execute_plan(plan, params, nulls, false, 0);
	if (many)
		AtEOXact_GUC(true, level);
	if (result != SPI_OK_UPDATE && result != SPI_OK_UPDATE_RETURNING)
		elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(result));
	if (SPI_processed != (uint64) expected)
		summary_missing();
}

/*
 * Take the rows that a plan returned
 */
static void
keep_rows(CustomerDelta **written, int nwritten, PurchaseCustomer **customers, TupleDesc *desc, MemoryContext context)
{
	SPITupleTable *rows = SPI_tuptable;
	int key = SPI_fnumber(rows->tupdesc, "customer_id");
	uint64 i;
	MemoryContext old = MemoryContextSwitchTo(context);

	if (*desc == NULL)
		*desc = CreateTupleDescCopy(rows->tupdesc);
	for (i = 0; i < rows->numvals; i++)
	{
		bool isnull;
		int64 id = DatumGetInt64(SPI_getbinval(rows->vals[i], rows->tupdesc, key, &isnull));
		int low = 0;
		int high = nwritten - 1;

		while (low < high)
		{
			int middle = (low + high) / 2;

			if (written[middle]->customer_id < id)
				low = middle + 1;
			else
				high = middle;
		}
		if (written[low]->customer_id == id)
			customers[low]->summary = heap_copytuple(rows->vals[i]);
	}
	MemoryContextSwitchTo(old);
}

/*
 * Did an order go that was the first or last of its customer?
 */
static bool
edge_lost(const CustomerDelta *delta, HeapTuple summary, TupleDesc desc)
{
	bool isnull;
	Datum at;

	if (delta->lost_first == DT_NOEND)
		return false;
	at = SPI_getbinval(summary, desc, SPI_fnumber(desc, "first_order_at"), &isnull);
	if (isnull || delta->lost_first <= DatumGetTimestampTz(at))
		return true;
	at = SPI_getbinval(summary, desc, SPI_fnumber(desc, "last_order_at"), &isnull);
	return isnull || delta->lost_last >= DatumGetTimestampTz(at);
}

/*
 * Write the deltas by the executor; lost is set for those whose first or last order went
 */
static TupleDesc
write_by_plan(PurchaseTable *table,
			  Relation purchase,
			  CustomerDelta **written,
			  int count,
			  PurchaseCustomer **kept,
			  bool *lost,
			  MemoryContext context)
{
	TupleDesc desc = NULL;
	int i;

	if (count == 1)
	{
		Datum values[PARAMS];
		bool nulls[PARAMS];
		char spi_nulls[PARAMS];

		delta_params(written[0], values, nulls);
		for (i = 0; i < PARAMS; i++)
			spi_nulls[i] = nulls[i] ? 'n' : ' ';
		write_in_order(purchase_plan(table, purchase, kept != NULL ? PLAN_ONE_ROW : PLAN_ONE), values, spi_nulls, 1, false);
	}
	else
	{
		Datum arrays[PARAMS];
		Oid months = get_atttype(table->customer_summary, table->summary.months);

		deltas_params(written, count, months, arrays);
		write_in_order(
			purchase_plan(table, purchase, kept != NULL ? PLAN_MANY_ROWS : PLAN_MANY), arrays, NULL, count, true);
	}
	if (kept == NULL)
		return NULL;
	keep_rows(written, count, kept, &desc, context);
	SPI_freetuptable(SPI_tuptable);
	for (i = 0; i < count; i++)
		lost[i] = edge_lost(written[i], kept[i]->summary, desc);
	return desc;
}

TupleDesc
summaries_write(PurchaseTable *table,
				Relation purchase,
				CustomerDelta *deltas,
				int count,
				PurchaseCustomer *customers,
				MemoryContext context)
{
	CustomerDelta **written = palloc_array(CustomerDelta *, count);
	PurchaseCustomer **kept = NULL;
	bool *lost = palloc0_array(bool, count);
	TupleDesc desc = NULL;
	Relation summary;
	bool any_lost = false;
	bool rows = customers != NULL;
	int nwritten = 0;
	int nlost = 0;
	int i;

	for (i = 0; i < count; i++)
	{
		if (!delta_matters(&deltas[i]))
			continue;
		any_lost |= deltas[i].lost_first != DT_NOEND;
		written[nwritten++] = &deltas[i];
	}
	if (nwritten == 0)
		return NULL;

	summary = table_open(table->customer_summary, RowExclusiveLock);
	if (rows || any_lost)
	{
		kept = palloc_array(PurchaseCustomer *, count);
		if (!rows)
			customers = palloc0_array(PurchaseCustomer, count);
		nwritten = 0;
		for (i = 0; i < count; i++)
		{
			if (delta_matters(&deltas[i]))
				kept[nwritten++] = &customers[i];
		}
	}
	if (summaries_direct(summary))
	{
		summaries_write_direct(table, summary, written, nwritten, rows ? kept : NULL, lost, context);
		if (rows)
		{
			MemoryContext old = MemoryContextSwitchTo(context);

			desc = CreateTupleDescCopy(RelationGetDescr(summary));
			MemoryContextSwitchTo(old);
		}
	}
	else
		desc = write_by_plan(table, purchase, written, nwritten, kept, lost, context);
	/* The lock stays until the transaction ends, as for any writer. */
	table_close(summary, NoLock);

	for (i = 0; i < nwritten; i++)
		nlost += lost[i];
	if (nlost > 0)
	{
		/* Under the locks now held, a query with a snapshot of its own sees every order that counts. */
		Datum *ids = palloc_array(Datum, nlost);
		Datum array;

		nlost = 0;
		for (i = 0; i < nwritten; i++)
		{
			if (lost[i])
				ids[nlost++] = Int64GetDatum(written[i]->customer_id);
		}
		array = PointerGetDatum(construct_array(ids, nlost, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
		write_in_order(purchase_plan(table, purchase, rows ? PLAN_EDGES_ROWS : PLAN_EDGES), &array, NULL, nlost, true);
		if (rows)
		{
			keep_rows(written, nwritten, kept, &desc, context);
			SPI_freetuptable(SPI_tuptable);
		}
	}
	return rows ? desc : NULL;
}
