/*
 * Verification of what is archived: every account is built up from its first entry, and compared with each of its
 * starts.
 */
#include "points/verify.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "base/store.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

static void
report(ReturnSetInfo *result, const PointsEntry *entry, const char *finding)
{
	Datum values[4] = {Int64GetDatum(entry->customer_id), CStringGetTextDatum(entry->program),
					   Int64GetDatum(entry->seq), CStringGetTextDatum(finding)};
	bool nulls[4] = {false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * Is a start what the entries give?
 */
static bool
same_state(const PointsState *a, const PointsState *b)
{
	return a->seq == b->seq && a->available == b->available && a->pending == b->pending && a->held == b->held &&
		   a->earned == b->earned && a->redeemed == b->redeemed && a->refunded == b->refunded &&
		   a->expired == b->expired && a->adjusted == b->adjusted && a->transferred == b->transferred &&
		   a->booked_at == b->booked_at && points_lots_equal(&a->lots, &b->lots) &&
		   memcmp(a->head, b->head, POINTS_HASH_SIZE) == 0;
}

/*
 * Compare with a row of points_start
 */
static const char *
compare_start(const Replay *replay, HeapTupleHeader header)
{
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};
	TupleDesc desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header), HeapTupleHeaderGetTypMod(header));
	PointsState start;

	ledger_read_start(&tuple, desc, &start);
	ReleaseTupleDesc(desc);
	if (replay->state.hold_count > 0)
		return "a hold is open where the account starts";
	return same_state(&replay->state, &start) ? NULL : "the start is not what the archived entries give";
}

/*
 * Verify archived entries: see points_verify_archive in the kit
 */
PG_FUNCTION_INFO_V1(points_verify_archive);
Datum
points_verify_archive(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
	Oid types[4] = {INT8OID, TEXTOID, INT4OID, INT4OID};
	Datum values[4] = {(Datum)0, (Datum)0, PG_ARGISNULL(3) ? (Datum)0 : PG_GETARG_DATUM(3),
					   PG_ARGISNULL(4) ? (Datum)0 : PG_GETARG_DATUM(4)};
	char nulls[5] = {PG_ARGISNULL(1) ? 'n' : ' ', PG_ARGISNULL(2) ? 'n' : ' ', ' ', ' ', '\0'};
	MemoryContext keep;
	MemoryContext batch;
	Relation root;
	Ledger columns;
	LedgerSpi spi;
	Portal portal;
	Replay replay;
	ReplayTable table = {0};
	char program[64] = "";

	if (PG_ARGISNULL(0) || PG_ARGISNULL(3) || PG_ARGISNULL(4))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("entries, part and parts must not be null")));
	if (PG_GETARG_INT32(4) < 1 || PG_GETARG_INT32(3) < 1 || PG_GETARG_INT32(3) > PG_GETARG_INT32(4))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("part must be between 1 and parts")));
	if (!PG_ARGISNULL(1))
		values[0] = PG_GETARG_DATUM(1);
	if (!PG_ARGISNULL(2))
		values[1] = PG_GETARG_DATUM(2);
	InitMaterializedSRF(fcinfo, 0);
	root = table_open(PG_GETARG_OID(0), AccessShareLock);
	if (pg_class_aclcheck(RelationGetRelid(root), GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, RelationGetRelationName(root));
	keep =
		AllocSetContextCreate(CurrentMemoryContext, "crm verification of an archived account", ALLOCSET_DEFAULT_SIZES);
	batch = AllocSetContextCreate(CurrentMemoryContext, "crm verification of some rows", ALLOCSET_DEFAULT_SIZES);
	memset(&replay, 0, sizeof(Replay));
	replay.failed = true;
	archive_columns(&columns);
	ledger_spi_begin(&spi);
	portal = archive_cursor(
		root,
		psprintf("SELECT %s, s FROM @points_entry_archived e LEFT JOIN @points_start s "
				 "ON s.customer_id OPERATOR(pg_catalog.=) e.customer_id AND s.program OPERATOR(pg_catalog.=) e.program "
				 "AND s.seq OPERATOR(pg_catalog.=) e.seq "
				 "WHERE ($1 IS NULL OR e.customer_id OPERATOR(pg_catalog.=) $1) AND ($2 IS NULL OR e.program "
				 "OPERATOR(pg_catalog.=) $2) "
				 "AND pg_catalog.mod(pg_catalog.mod(e.customer_id, $4) OPERATOR(pg_catalog.+) $4, $4) "
				 "OPERATOR(pg_catalog.=) ($3 OPERATOR(pg_catalog.-) 1) "
				 "ORDER BY e.customer_id, e.program, e.seq",
				 archive_entry_columns("e.")),
		4, types, values, nulls);
	{
		uint64 count;

		do
		{
			SPI_cursor_fetch(portal, true, ARCHIVE_FETCH);
			count = SPI_processed;
			for (uint64 i = 0; i < count; i++)
			{
				HeapTuple row = SPI_tuptable->vals[i];
				bool given[LEDGER_COLUMNS];
				PointsEntry entry;
				const char *why;
				MemoryContext old = MemoryContextSwitchTo(batch);
				Datum start;
				bool isnull;

				CHECK_FOR_INTERRUPTS();
				ledger_from_tuple(&columns, row, SPI_tuptable->tupdesc, &entry, given);
				if (entry.customer_id != replay.customer_id || strcmp(entry.program, program) != 0)
				{
					MemoryContextReset(keep);
					memset(&replay, 0, sizeof(Replay));
					memset(&table, 0, sizeof(ReplayTable));
					table.context = keep;
					replay.customer_id = entry.customer_id;
					replay.state.booked_at = DT_NOBEGIN;
					strlcpy(program, entry.program, sizeof(program));
				}
				if (!replay.failed)
				{
					MemoryContextSwitchTo(keep);
					why = entry.seq != replay.state.seq + 1
							  ? psprintf("archived entry " INT64_FORMAT " is missing", replay.state.seq + 1)
							  : replay_apply(&table, &replay, &entry);
					start = heap_getattr(row, LEDGER_COLUMNS + 1, SPI_tuptable->tupdesc, &isnull);
					if (why == NULL && !isnull)
						why = compare_start(&replay, DatumGetHeapTupleHeader(start));
					replay.failed = why != NULL;
					MemoryContextSwitchTo(batch);
					if (why != NULL)
						report(result, &entry, why);
				}
				MemoryContextSwitchTo(old);
			}
			SPI_freetuptable(SPI_tuptable);
			MemoryContextReset(batch);
		} while (count == ARCHIVE_FETCH);
		SPI_cursor_close(portal);
	}
	ledger_spi_end(&spi);
	table_close(root, AccessShareLock);
	return (Datum)0;
}
