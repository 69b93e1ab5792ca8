/*
 * The open holds of an account.
 */
#include "points/ledger.h"

#include "base/store.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/*
 * Read the open holds of an account
 */
void
ledger_read_holds(Ledger *ledger, LedgerAccount *account)
{
	PointsState *state = &account->state;
	Datum values[2];
	LedgerSpi spi;
	MemoryContext old;

	if (state->held == 0)
		return;
	ledger_spi_begin(&spi);
	values[0] = Int64GetDatum(account->customer_id);
	values[1] = CStringGetTextDatum(account->program);
	if (ledger->holds == NULL)
		ledger->holds = ledger_prepare(psprintf("SELECT seq, source, reference, points, due_at, lots, captured FROM %s "
										 "WHERE customer_id OPERATOR(pg_catalog.=) $1 AND program OPERATOR(pg_catalog.=) $2 "
										 "AND state OPERATOR(pg_catalog.=) 'open' ORDER BY seq",
										 store_qualified_name(ledger->hold)),
								2,
								(Oid[]){INT8OID, TEXTOID});
	ledger_run(ledger, ledger->holds, values, NULL, SPI_OK_SELECT);
	old = MemoryContextSwitchTo(spi.caller);
	state->hold_count = (int) SPI_processed;
	state->hold_capacity = state->hold_count + 4;
	state->hold = palloc0(sizeof(PointsHold) * state->hold_capacity);
	for (int i = 0; i < state->hold_count; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		PointsHold *hold = &state->hold[i];
		bool isnull;
		Datum due_at;

		hold->seq = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
		hold->source = TextDatumGetCString(SPI_getbinval(tuple, desc, 2, &isnull));
		hold->reference = TextDatumGetCString(SPI_getbinval(tuple, desc, 3, &isnull));
		hold->points = DatumGetInt64(SPI_getbinval(tuple, desc, 4, &isnull));
		due_at = SPI_getbinval(tuple, desc, 5, &isnull);
		hold->due_at = isnull ? DT_NOEND : DatumGetTimestampTz(due_at);
		points_lots_read(SPI_getbinval(tuple, desc, 6, &isnull), &hold->lots);
		/* Captured in part, the rest not yet released: so it is between two entries of a restore. */
		hold->captured = DatumGetInt64(SPI_getbinval(tuple, desc, 7, &isnull));
		hold->points -= points_lots_take(&hold->lots, hold->captured, NULL);
	}
	MemoryContextSwitchTo(old);
	ledger_spi_end(&spi);
}

/*
 * Write the holds that new entries made or resolved
 */
void
ledger_write_holds(Ledger *ledger, LedgerAccount *account)
{
	ListCell *cell;

	foreach (cell, account->entries)
	{
		const PointsEntry *entry = lfirst(cell);
		Datum values[8];
		char nulls[9] = "        ";
		LedgerSpi spi;

		if (entry->kind != POINTS_HOLD && entry->kind != POINTS_CAPTURE && entry->kind != POINTS_RELEASE)
			continue;
		ledger_spi_begin(&spi);
		values[0] = Int64GetDatum(entry->customer_id);
		values[1] = CStringGetTextDatum(entry->program);
		if (entry->kind == POINTS_HOLD)
		{
			if (ledger->hold_insert == NULL)
				ledger->hold_insert = ledger_prepare(
					psprintf("INSERT INTO %s (customer_id, program, seq, source, reference, points, due_at, lots) "
							 "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
							 store_qualified_name(ledger->hold)),
					8,
					(Oid[]){INT8OID, TEXTOID, INT8OID, TEXTOID, TEXTOID, INT8OID, TIMESTAMPTZOID, ledger->lots_type});
			values[2] = Int64GetDatum(entry->seq);
			values[3] = CStringGetTextDatum(entry->source);
			values[4] = CStringGetTextDatum(entry->reference);
			values[5] = Int64GetDatum(entry->points);
			values[6] = TimestampTzGetDatum(entry->expires_at);
			if (entry->expires_at == POINTS_NO_TIME)
				nulls[6] = 'n';
			values[7] = points_lots_datum(&entry->lots);
			ledger_run(ledger, ledger->hold_insert, values, nulls, SPI_OK_INSERT);
		}
		else if (entry->kind == POINTS_RELEASE && entry->reference == NULL && strcmp(entry->source, "capture") == 0)
		{
			if (ledger->hold_close == NULL)
				ledger->hold_close = ledger_prepare(
					psprintf("UPDATE %s SET state = 'captured' WHERE customer_id OPERATOR(pg_catalog.=) $1 "
							 "AND program OPERATOR(pg_catalog.=) $2 AND seq OPERATOR(pg_catalog.=) $3 "
							 "AND state OPERATOR(pg_catalog.=) 'open'",
							 store_qualified_name(ledger->hold)),
					3,
					(Oid[]){INT8OID, TEXTOID, INT8OID});
			values[2] = Int64GetDatum(entry->reverses);
			ledger_run(ledger, ledger->hold_close, values, NULL, SPI_OK_UPDATE);
		}
		else
		{
			bool open = points_find_hold(&account->state, entry->reverses) != NULL;

			if (ledger->hold_resolve == NULL)
				ledger->hold_resolve = ledger_prepare(
					psprintf("UPDATE %s SET state = $4, captured = $5, resolved_seq = $6 "
							 "WHERE customer_id OPERATOR(pg_catalog.=) $1 AND program OPERATOR(pg_catalog.=) $2 "
							 "AND seq OPERATOR(pg_catalog.=) $3",
							 store_qualified_name(ledger->hold)),
					6,
					(Oid[]){INT8OID, TEXTOID, INT8OID, TEXTOID, INT8OID, INT8OID});
			values[2] = Int64GetDatum(entry->reverses);
			values[3] = CStringGetTextDatum(open							 ? "open"
											: entry->kind == POINTS_CAPTURE	 ? "captured"
											: entry->reference == NULL		 ? "overdue"
																			 : "released");
			values[4] = Int64GetDatum(entry->kind == POINTS_CAPTURE ? entry->points : 0);
			values[5] = Int64GetDatum(entry->seq);
			ledger_run(ledger, ledger->hold_resolve, values, NULL, SPI_OK_UPDATE);
		}
		ledger_spi_end(&spi);
	}
}
