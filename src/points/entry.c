/*
 * Reading entries of a ledger.
 */
#include "points/ledger.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/probe.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Columns of the index of references after the customer: reference, program, kind, source. */
#define REFERENCE_COLUMNS 4

const char *const ledger_column_names[LEDGER_COLUMNS] = {
	"customer_id", "program",	   "seq",		  "kind",		 "points",		"source",		 "reference",
	"reverses",	   "expires_at",   "available_at", "occurred_at", "booked_at",	"balance_after", "shortfall",
	"lots",		   "detail",	   "note_hash",	  "actor",		 "hash"};

/*
 * Read a row of points_entry. given says which columns are not null.
 */
void
ledger_from_tuple(const Ledger *ledger, HeapTuple tuple, TupleDesc desc, PointsEntry *entry, bool *given)
{
	const AttrNumber *c = ledger->column;
	Datum value[LEDGER_COLUMNS];
	Datum all[MaxHeapAttributeNumber];
	bool nulls[MaxHeapAttributeNumber];

	heap_deform_tuple(tuple, desc, all, nulls);
	for (int i = 0; i < LEDGER_COLUMNS; i++)
	{
		value[i] = all[c[i] - 1];
		given[i] = !nulls[c[i] - 1];
	}
#define INT64_OR(col, missing) (given[col] ? DatumGetInt64(value[col]) : (missing))
#define TEXT_OR_NULL(col) (given[col] ? TextDatumGetCString(value[col]) : NULL)
	memset(entry, 0, sizeof(PointsEntry));
	entry->customer_id = INT64_OR(COL_CUSTOMER_ID, 0);
	entry->program = TEXT_OR_NULL(COL_PROGRAM);
	entry->seq = INT64_OR(COL_SEQ, 0);
	if (given[COL_KIND])
	{
		char *kind = TextDatumGetCString(value[COL_KIND]);

		if (!points_kind_parse(kind, &entry->kind))
			ereport(ERROR,
					(errcode(ERRCODE_POINTS_INVALID),
					 errmsg("unknown kind of points entry: \"%s\"", kind),
					 errhint("The kinds are earn, redeem, hold, capture, release, refund, restore, adjust and those "
							 "that the ledger books itself.")));
	}
	entry->points = INT64_OR(COL_POINTS, 0);
	entry->source = TEXT_OR_NULL(COL_SOURCE);
	entry->reference = TEXT_OR_NULL(COL_REFERENCE);
	entry->reverses = INT64_OR(COL_REVERSES, 0);
	entry->expires_at = INT64_OR(COL_EXPIRES_AT, POINTS_NO_TIME);
	entry->available_at = INT64_OR(COL_AVAILABLE_AT, POINTS_NO_TIME);
	entry->occurred_at = INT64_OR(COL_OCCURRED_AT, POINTS_NO_TIME);
	entry->booked_at = INT64_OR(COL_BOOKED_AT, POINTS_NO_TIME);
	entry->balance_after = INT64_OR(COL_BALANCE_AFTER, 0);
	entry->shortfall = INT64_OR(COL_SHORTFALL, 0);
	if (given[COL_LOTS])
		points_lots_read(value[COL_LOTS], &entry->lots);
	if (given[COL_DETAIL])
		entry->detail = DatumGetCString(DirectFunctionCall1(jsonb_out, value[COL_DETAIL]));
	entry->actor = TEXT_OR_NULL(COL_ACTOR);
	for (int i = 0; i < 2; i++)
	{
		int col = i == 0 ? COL_NOTE_HASH : COL_HASH;
		bytea *digest;

		if (!given[col])
			continue;
		digest = DatumGetByteaPP(value[col]);
		if (VARSIZE_ANY_EXHDR(digest) != POINTS_HASH_SIZE)
			ereport(ERROR,
					(errcode(ERRCODE_POINTS_INVALID),
					 errmsg("column %s of a points entry has 32 bytes, not %d",
							ledger_column_names[col],
							(int) VARSIZE_ANY_EXHDR(digest))));
		memcpy(i == 0 ? entry->note_hash : entry->hash, VARDATA_ANY(digest), POINTS_HASH_SIZE);
	}
	entry->has_note = given[COL_NOTE_HASH];
	entry->has_hash = given[COL_HASH];
}

/*
 * The columns of an entry, in the order of LedgerColumn
 */
void
ledger_to_values(const Ledger *ledger, const PointsEntry *entry, Datum *values, bool *nulls)
{
	memset(nulls, 0, sizeof(bool) * LEDGER_COLUMNS);
	values[COL_CUSTOMER_ID] = Int64GetDatum(entry->customer_id);
	values[COL_PROGRAM] = CStringGetTextDatum(entry->program);
	values[COL_SEQ] = Int64GetDatum(entry->seq);
	values[COL_KIND] = CStringGetTextDatum(points_kind_names[entry->kind]);
	values[COL_POINTS] = Int64GetDatum(entry->points);
	values[COL_SOURCE] = CStringGetTextDatum(entry->source);
	if (!(nulls[COL_REFERENCE] = entry->reference == NULL))
		values[COL_REFERENCE] = CStringGetTextDatum(entry->reference);
	values[COL_REVERSES] = Int64GetDatum(entry->reverses);
	nulls[COL_REVERSES] = entry->reverses == 0;
	values[COL_EXPIRES_AT] = TimestampTzGetDatum(entry->expires_at);
	nulls[COL_EXPIRES_AT] = entry->expires_at == POINTS_NO_TIME;
	values[COL_AVAILABLE_AT] = TimestampTzGetDatum(entry->available_at);
	nulls[COL_AVAILABLE_AT] = entry->available_at == POINTS_NO_TIME;
	values[COL_OCCURRED_AT] = TimestampTzGetDatum(entry->occurred_at);
	values[COL_BOOKED_AT] = TimestampTzGetDatum(entry->booked_at);
	values[COL_BALANCE_AFTER] = Int64GetDatum(entry->balance_after);
	values[COL_SHORTFALL] = Int64GetDatum(entry->shortfall);
	nulls[COL_SHORTFALL] = entry->shortfall == 0;
	if (!(nulls[COL_LOTS] = entry->lots.count == 0))
		values[COL_LOTS] = points_lots_datum(&entry->lots);
	if (!(nulls[COL_DETAIL] = entry->detail == NULL))
		values[COL_DETAIL] = DirectFunctionCall1(jsonb_in, CStringGetDatum(entry->detail));
	if (!(nulls[COL_NOTE_HASH] = !entry->has_note))
		values[COL_NOTE_HASH] =
			PointerGetDatum(cstring_to_text_with_len((const char *) entry->note_hash, POINTS_HASH_SIZE));
	if (!(nulls[COL_ACTOR] = entry->actor == NULL))
		values[COL_ACTOR] = CStringGetTextDatum(entry->actor);
	values[COL_HASH] = PointerGetDatum(cstring_to_text_with_len((const char *) entry->hash, POINTS_HASH_SIZE));
}

/*
 * What is committed now, or what a transaction with one snapshot may see, with our own changes
 */
static Snapshot
current_snapshot(const LedgerAccount *account)
{
	if (account->snapshot != NULL)
		return RegisterSnapshot(account->snapshot);
	return RegisterSnapshot(IsolationUsesXactSnapshot() ? GetTransactionSnapshot() : GetLatestSnapshot());
}

/*
 * Begin a scan of a customer's entries by an index whose further columns are given, in its order
 */
static SysScanDesc
begin_scan(const Ledger *ledger,
		   Relation entries,
		   const LedgerAccount *account,
		   Oid index,
		   Snapshot snapshot,
		   int count,
		   const LedgerColumn *columns,
		   const Datum *values)
{
	ScanKeyData key[5];

	Assert(count < lengthof(key));
	ScanKeyInit(&key[0],
				ledger->column[COL_CUSTOMER_ID],
				BTEqualStrategyNumber,
				F_INT8EQ,
				Int64GetDatum(account->customer_id));
	for (int i = 0; i < count; i++)
		ScanKeyInit(&key[i + 1],
					ledger->column[columns[i]],
					BTEqualStrategyNumber,
					columns[i] == COL_SEQ || columns[i] == COL_REVERSES ? F_INT8EQ : F_TEXTEQ,
					values[i]);
	return systable_beginscan(entries, index, OidIsValid(index), snapshot, count + 1, key);
}

/*
 * Look many references up by one scan. The accounts are locked, so that one snapshot sees all there will be.
 */
void
ledger_lookup_begin(const Ledger *ledger, Relation entries, LedgerAccount *accounts, int count, LedgerLookup *lookup)
{
	LedgerAccount any = {0};

	memset(lookup, 0, sizeof(LedgerLookup));
	if (!OidIsValid(ledger->reference_index) || entries->rd_rel->relkind != RELKIND_RELATION)
		return;
	lookup->index = index_open(ledger->reference_index, AccessShareLock);
	lookup->snapshot = current_snapshot(&any);
	lookup->scan = crm_index_beginscan(entries, lookup->index, lookup->snapshot, 5);
	lookup->slot = table_slot_create(entries, NULL);
	for (int i = 0; i < count; i++)
	{
		accounts[i].snapshot = lookup->snapshot;
		accounts[i].lookup = lookup;
	}
}

void
ledger_lookup_end(LedgerLookup *lookup)
{
	if (lookup->scan == NULL)
		return;
	index_endscan(lookup->scan);
	ExecDropSingleTupleTableSlot(lookup->slot);
	UnregisterSnapshot(lookup->snapshot);
	index_close(lookup->index, NoLock);
}

/*
 * Could a reference be there? The index says no without an entry being read. values are what follows the customer in it.
 */
static bool
may_be_there(const Ledger *ledger, Relation entries, const LedgerAccount *account, const Datum *values)
{
	LedgerLookup *lookup = account->lookup;
	ScanKeyData key[REFERENCE_COLUMNS + 1];
	bool found;

	if (lookup == NULL && OidIsValid(ledger->reference_index) && entries->rd_rel->relkind == RELKIND_RELATION)
	{
		Datum probed[REFERENCE_COLUMNS + 1] = {Int64GetDatum(account->customer_id)};
		Relation index = index_open(ledger->reference_index, RowExclusiveLock);

		memcpy(&probed[1], values, sizeof(Datum) * REFERENCE_COLUMNS);
		found = crm_btree_probe(entries, index, probed, NULL, 0) != 0;
		index_close(index, NoLock);
		return found;
	}
	if (lookup == NULL || lookup->scan == NULL)
		return true;
	ScanKeyInit(&key[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(account->customer_id));
	for (int i = 0; i < REFERENCE_COLUMNS; i++)
		ScanKeyEntryInitialize(&key[i + 1],
							   0,
							   i + 2,
							   BTEqualStrategyNumber,
							   InvalidOid,
							   lookup->index->rd_indcollation[i + 1],
							   F_TEXTEQ,
							   values[i]);
	index_rescan(lookup->scan, key, REFERENCE_COLUMNS + 1, NULL, 0);
	found = index_getnext_slot(lookup->scan, ForwardScanDirection, lookup->slot);
	ExecClearTuple(lookup->slot);
	return found;
}

/*
 * The entry with this kind, source and reference, when it stands in points_entry
 */
static bool
find_live(const Ledger *ledger,
		  Relation entries,
		  const LedgerAccount *account,
		  PointsKind kind,
		  const char *source,
		  const char *reference,
		  PointsEntry *found)
{
	LedgerColumn columns[REFERENCE_COLUMNS] = {COL_REFERENCE, COL_PROGRAM, COL_KIND, COL_SOURCE};
	Datum values[REFERENCE_COLUMNS];
	Snapshot snapshot;
	SysScanDesc scan;
	HeapTuple tuple;
	ListCell *cell;
	Relation whole;
	bool any = false;

	if (reference == NULL)
		return false;
	foreach (cell, account->entries)
	{
		PointsEntry *entry = lfirst(cell);

		if (entry->kind == kind && entry->reference != NULL && strcmp(entry->reference, reference) == 0 &&
			(source == NULL || strcmp(entry->source, source) == 0))
		{
			*found = *entry;
			return true;
		}
	}
	/* A locked account without entries. */
	if (account->rules != NULL && account->stored_seq == 0)
		return false;
	values[0] = CStringGetTextDatum(reference);
	values[1] = CStringGetTextDatum(account->program);
	values[2] = CStringGetTextDatum(points_kind_names[kind]);
	if (source != NULL)
	{
		values[3] = CStringGetTextDatum(source);
		if (!may_be_there(ledger, entries, account, values))
			return false;
	}
	snapshot = current_snapshot(account);
	whole = entries;
	entries = ledger_leaf_open(&ledger, whole, account->customer_id);
	scan = begin_scan(ledger,
					  entries,
					  account,
					  ledger->reference_index,
					  snapshot,
					  source != NULL ? REFERENCE_COLUMNS : REFERENCE_COLUMNS - 1,
					  columns,
					  values);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool given[LEDGER_COLUMNS];

		if (any)
			ereport(ERROR,
					(errcode(ERRCODE_POINTS_NO_TARGET),
					 errmsg("more than one entry of kind %s has this reference", points_kind_names[kind]),
					 errdetail("customer " INT64_FORMAT ", program %s, reference %s",
							   account->customer_id,
							   account->program,
							   reference),
					 errhint("Give the source too.")));
		ledger_from_tuple(ledger, tuple, RelationGetDescr(entries), found, given);
		any = true;
	}
	systable_endscan(scan);
	ledger_leaf_close(whole, entries);
	UnregisterSnapshot(snapshot);
	return any;
}

/*
 * The entry with this kind, source and reference, be it archived. A source of NULL stands for any; two that match raise.
 */
bool
ledger_find_reference(const Ledger *ledger,
					  Relation entries,
					  const LedgerAccount *account,
					  PointsKind kind,
					  const char *source,
					  const char *reference,
					  PointsEntry *found)
{
	return find_live(ledger, entries, account, kind, source, reference, found) ||
		   (account->archived > 0 && reference != NULL &&
			ledger_archive_find(ledger, entries, account, kind, source, reference, found));
}

static int
compare_seq(const ListCell *a, const ListCell *b)
{
	const PointsEntry *first = lfirst(a);
	const PointsEntry *second = lfirst(b);

	return first->seq < second->seq ? -1 : first->seq > second->seq ? 1 : 0;
}

/*
 * Entries of a kind and source whose reference is this one, or this one with # and more, by seq
 */
List *
ledger_find_family(const Ledger *ledger,
				   Relation entries,
				   const LedgerAccount *account,
				   PointsKind kind,
				   const char *source,
				   const char *reference)
{
	size_t length = strlen(reference);
	char *end = psprintf("%s$", reference); /* the character after # */
	List *family = NIL;
	ScanKeyData key[5];
	Snapshot snapshot;
	SysScanDesc scan;
	HeapTuple tuple;
	ListCell *cell;
	Relation whole = entries;

	entries = ledger_leaf_open(&ledger, whole, account->customer_id);
	ScanKeyInit(
		&key[0], ledger->column[COL_CUSTOMER_ID], BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(account->customer_id));
	ScanKeyInit(
		&key[1], ledger->column[COL_REFERENCE], BTGreaterEqualStrategyNumber, F_TEXT_GE, CStringGetTextDatum(reference));
	ScanKeyInit(&key[2], ledger->column[COL_REFERENCE], BTLessStrategyNumber, F_TEXT_LT, CStringGetTextDatum(end));
	ScanKeyInit(
		&key[3], ledger->column[COL_PROGRAM], BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(account->program));
	ScanKeyInit(&key[4],
				ledger->column[COL_KIND],
				BTEqualStrategyNumber,
				F_TEXTEQ,
				CStringGetTextDatum(points_kind_names[kind]));
	if (account->stored_seq > 0)
	{
		snapshot = current_snapshot(account);
		scan = systable_beginscan(
			entries, ledger->reference_index, OidIsValid(ledger->reference_index), snapshot, 5, key);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			PointsEntry *entry = palloc(sizeof(PointsEntry));
			bool given[LEDGER_COLUMNS];

			ledger_from_tuple(ledger, tuple, RelationGetDescr(entries), entry, given);
			if (strcmp(entry->source, source) == 0 && (entry->reference[length] == '\0' || entry->reference[length] == '#'))
				family = lappend(family, entry);
		}
		systable_endscan(scan);
		UnregisterSnapshot(snapshot);
	}
	ledger_leaf_close(whole, entries);
	foreach (cell, account->entries)
	{
		PointsEntry *entry = lfirst(cell);

		if (entry->kind == kind && entry->reference != NULL && strcmp(entry->source, source) == 0 &&
			strncmp(entry->reference, reference, length) == 0 &&
			(entry->reference[length] == '\0' || entry->reference[length] == '#'))
			family = lappend(family, entry);
	}
	list_sort(family, compare_seq);
	return family;
}

/*
 * The entry with this number
 */
bool
ledger_find_seq(const Ledger *ledger, Relation entries, const LedgerAccount *account, int64 seq, PointsEntry *found)
{
	LedgerColumn columns[2] = {COL_PROGRAM, COL_SEQ};
	Datum values[2] = {CStringGetTextDatum(account->program), Int64GetDatum(seq)};
	Snapshot snapshot;
	SysScanDesc scan;
	HeapTuple tuple;
	ListCell *cell;
	Relation whole = entries;

	foreach (cell, account->entries)
	{
		PointsEntry *entry = lfirst(cell);

		if (entry->seq == seq)
		{
			*found = *entry;
			return true;
		}
	}
	snapshot = current_snapshot(account);
	entries = ledger_leaf_open(&ledger, whole, account->customer_id);
	scan = begin_scan(ledger, entries, account, ledger->primary_key, snapshot, 2, columns, values);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool given[LEDGER_COLUMNS];

		ledger_from_tuple(ledger, tuple, RelationGetDescr(entries), found, given);
	}
	systable_endscan(scan);
	ledger_leaf_close(whole, entries);
	UnregisterSnapshot(snapshot);
	return HeapTupleIsValid(tuple);
}

/*
 * Count one entry that reverses target
 */
static void
count_reversal(
	const PointsEntry *entry, const PointsEntry *target, int64 before, int64 *reversed, TimestampTz *available_at, int64 *last)
{
	if (before != 0 && entry->seq >= before)
		return;
	if (entry->kind == (target->kind == POINTS_EARN ? POINTS_REFUND : POINTS_RESTORE))
		*reversed += entry->points;
	else if (entry->kind == POINTS_MATURE && entry->seq > *last)
	{
		*last = entry->seq;
		*available_at = entry->available_at;
	}
}

/*
 * How much of an entry is reversed, and since when it is available; only by entries before one, when before is not 0
 */
void
ledger_reversals(const Ledger *ledger,
				 Relation entries,
				 const LedgerAccount *account,
				 const PointsEntry *target,
				 int64 before,
				 int64 *reversed,
				 TimestampTz *available_at)
{
	LedgerColumn columns[2] = {COL_PROGRAM, COL_REVERSES};
	Datum values[2] = {CStringGetTextDatum(account->program), Int64GetDatum(target->seq)};
	Snapshot snapshot = current_snapshot(account);
	int64 last = 0;
	SysScanDesc scan;
	HeapTuple tuple;
	ListCell *cell;
	Relation whole = entries;

	*reversed = 0;
	*available_at = target->available_at;
	entries = ledger_leaf_open(&ledger, whole, account->customer_id);
	scan = begin_scan(ledger, entries, account, ledger->reverses_index, snapshot, 2, columns, values);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		PointsEntry entry;
		bool given[LEDGER_COLUMNS];

		ledger_from_tuple(ledger, tuple, RelationGetDescr(entries), &entry, given);
		count_reversal(&entry, target, before, reversed, available_at, &last);
	}
	systable_endscan(scan);
	ledger_leaf_close(whole, entries);
	UnregisterSnapshot(snapshot);
	foreach (cell, account->entries)
	{
		PointsEntry *entry = lfirst(cell);

		if (entry->reverses == target->seq)
			count_reversal(entry, target, before, reversed, available_at, &last);
	}
}
