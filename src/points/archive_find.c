/*
 * Looking entries up in the archive of a ledger.
 */
#include "points/verify.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "base/store.h"
#include "catalog/pg_type.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/*
 * Has this ledger an archive with anything in it? Asked by its size, which costs next to nothing.
 */
bool
ledger_archive_any(Relation entries)
{
	Oid relid = store_sibling_if_any(entries, "points_entry_archive");
	Relation rel;
	bool any;

	if (!OidIsValid(relid))
		return false;
	rel = table_open(relid, AccessShareLock);
	any = RelationGetNumberOfBlocks(rel) > 0;
	table_close(rel, AccessShareLock);
	return any;
}

/*
 * Find an archived entry by its reference: a row of the archive says by eight bytes of a digest whether it may be in it
 */
bool
ledger_archive_find(const Ledger *ledger, Relation entries, const LedgerAccount *account, PointsKind kind,
					const char *source, const char *reference, PointsEntry *found)
{
	char *name = psprintf("%s/%s", points_kind_names[kind], reference);
	uint8 digest[POINTS_HASH_SIZE];
	Datum values[6];
	char nulls[7] = "      ";
	Relation root = archive_root(entries);
	Ledger *keeper = ledger_open(root);
	LedgerSpi spi;
	bool any;

	points_sha256((const uint8 *)name, strlen(name), digest);
	ledger_spi_begin(&spi);
	if (keeper->archived == NULL)
		keeper->archived = ledger_prepare(
			store_query(
				root,
				"SELECT e.seq, e.points, e.source, e.reverses, e.expires_at, e.available_at, e.occurred_at, "
				"e.booked_at, "
				"e.balance_after, e.detail, e.lots FROM @points_entry_archive c CROSS JOIN LATERAL "
				"pg_catalog.unnest(c.entries) e "
				"WHERE c.customer_id OPERATOR(pg_catalog.=) $1 AND c.program OPERATOR(pg_catalog.=) $2 "
				"AND pg_catalog.\"position\"(c.digests, $3) OPERATOR(pg_catalog.>) 0 AND e.kind OPERATOR(pg_catalog.=) "
				"$4 "
				"AND e.reference OPERATOR(pg_catalog.=) $5 AND ($6 IS NULL OR e.source OPERATOR(pg_catalog.=) $6)"),
			6, (Oid[]){INT8OID, TEXTOID, BYTEAOID, TEXTOID, TEXTOID, TEXTOID});
	values[0] = Int64GetDatum(account->customer_id);
	values[1] = CStringGetTextDatum(account->program);
	values[2] = PointerGetDatum(cstring_to_text_with_len((const char *)digest, 8));
	values[3] = CStringGetTextDatum(points_kind_names[kind]);
	values[4] = CStringGetTextDatum(reference);
	values[5] = source == NULL ? (Datum)0 : CStringGetTextDatum(source);
	if (source == NULL)
		nulls[5] = 'n';
	ledger_run(keeper, keeper->archived, values, nulls, SPI_OK_SELECT);
	any = SPI_processed > 0;
	if (any)
	{
		HeapTuple row = SPI_tuptable->vals[0];
		TupleDesc desc = SPI_tuptable->tupdesc;
		MemoryContext old = MemoryContextSwitchTo(spi.caller);
		Datum value[11];
		bool isnull[11];

		heap_deform_tuple(row, desc, value, isnull);
		memset(found, 0, sizeof(PointsEntry));
		found->customer_id = account->customer_id;
		found->program = account->program;
		found->kind = kind;
		found->reference = pstrdup(reference);
		found->seq = DatumGetInt64(value[0]);
		found->points = DatumGetInt64(value[1]);
		found->source = TextDatumGetCString(value[2]);
		found->reverses = isnull[3] ? 0 : DatumGetInt64(value[3]);
		found->expires_at = isnull[4] ? POINTS_NO_TIME : DatumGetTimestampTz(value[4]);
		found->available_at = isnull[5] ? POINTS_NO_TIME : DatumGetTimestampTz(value[5]);
		found->occurred_at = DatumGetTimestampTz(value[6]);
		found->booked_at = DatumGetTimestampTz(value[7]);
		found->balance_after = DatumGetInt64(value[8]);
		if (!isnull[9])
			found->detail = DatumGetCString(DirectFunctionCall1(jsonb_out, value[9]));
		if (!isnull[10])
			points_lots_read(value[10], &found->lots);
		MemoryContextSwitchTo(old);
	}
	ledger_spi_end(&spi);
	table_close(root, NoLock);
	return any;
}
