/*
 * Running the ledger's own statements.
 */
#include "points/ledger.h"

#include "utils/guc.h"

/*
 * Connect to SPI for the ledger's own statements; results are to be copied into spi->caller
 */
void
ledger_spi_begin(LedgerSpi *spi)
{
	spi->caller = CurrentMemoryContext;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	spi->guc_level = NewGUCNestLevel();
	(void) set_config_option(
		"search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	/* A plan made while the tables are empty would scan them whole for as long as the session lives. */
	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

void
ledger_spi_end(LedgerSpi *spi)
{
	AtEOXact_GUC(true, spi->guc_level);
	SPI_finish();
}

static SPIPlanPtr
prepare(const char *sql, int count, Oid *types, int options)
{
	SPIPlanPtr plan = SPI_prepare_cursor(sql, count, types, options);

	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare a statement of the ledger: %s", SPI_result_code_string(SPI_result));
	return plan;
}

/*
 * Make a saved plan with a generic execution plan
 */
SPIPlanPtr
ledger_prepare(const char *sql, int count, Oid *types)
{
	return prepare(sql, count, types, CURSOR_OPT_GENERIC_PLAN);
}

/*
 * The same, planned by the values given as long as that is the cheaper
 */
SPIPlanPtr
ledger_prepare_custom(const char *sql, int count, Oid *types)
{
	return prepare(sql, count, types, 0);
}

/*
 * Run a saved plan; the ledger keeps it while it runs, whatever is invalidated meanwhile
 */
void
ledger_run(Ledger *ledger, SPIPlanPtr plan, Datum *values, const char *nulls, int expected)
{
	int result = 0;

	ledger->busy++;
	PG_TRY();
	{
		result = SPI_execute_plan(plan, values, nulls, false, 0);
	}
	PG_FINALLY();
	{
		ledger->busy--;
	}
	PG_END_TRY();
	if (result != expected)
		elog(ERROR, "could not run a statement of the ledger: %s", SPI_result_code_string(result));
}
