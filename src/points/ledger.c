/*
 * What the code keeps of a ledger from call to call, and reading its entries.
 */
#include "points/ledger.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "base/store.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

static const char *const column_names[LEDGER_COLUMNS] = {
	"customer_id", "program",	   "seq",		  "kind",		 "points",		"source",		 "reference",
	"reverses",	   "expires_at",   "available_at", "occurred_at", "booked_at",	"balance_after", "shortfall",
	"lots",		   "detail",	   "note_hash",	  "actor",		 "hash"};

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
		if (relid == InvalidOid || relid == ledger->entries)
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
		CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, forget_schema, (Datum) 0);
	}
	ledger = hash_search(ledgers, &relid, HASH_ENTER, &found);
	if (!found)
		memset((char *) ledger + sizeof(Oid), 0, sizeof(Ledger) - sizeof(Oid));
	/* Not while one of its plans runs; whoever changed the table waits for our lock on it. */
	if (!ledger->valid && ledger->busy == 0)
	{
		AttrNumber *c = ledger->column;

		free_plan(&ledger->lock);
		free_plan(&ledger->lock_many);
		free_plan(&ledger->lock_due);
		free_plan(&ledger->create);
		free_plan(&ledger->update);
		free_plan(&ledger->update_many);
		free_plan(&ledger->holds);
		free_plan(&ledger->hold_insert);
		free_plan(&ledger->hold_resolve);
		free_plan(&ledger->hold_close);
		free_plan(&ledger->insert);
		ledger->owner = entries->rd_rel->relowner;
		ledger->account = store_referenced_table(entries, "points_account");
		if (!OidIsValid(ledger->account))
			ledger->account = store_sibling_table(entries, "points_account");
		ledger->hold = store_sibling_table(entries, "points_hold");
		ledger->program = store_sibling_table(entries, "points_program");
		ledger->settings = store_sibling_table(entries, "settings");
		for (int i = 0; i < LEDGER_COLUMNS; i++)
			c[i] = store_column(entries, column_names[i]);
		ledger->lots_type = TupleDescAttr(RelationGetDescr(entries), c[COL_LOTS] - 1)->atttypid;
		ledger->primary_key =
			ledger_find_index(entries, 3, (AttrNumber[]){c[COL_CUSTOMER_ID], c[COL_PROGRAM], c[COL_SEQ]});
		ledger->reference_index = ledger_find_index(
			entries,
			5,
			(AttrNumber[]){c[COL_CUSTOMER_ID], c[COL_PROGRAM], c[COL_KIND], c[COL_REFERENCE], c[COL_SOURCE]});
		ledger->reverses_index =
			ledger_find_index(entries, 3, (AttrNumber[]){c[COL_CUSTOMER_ID], c[COL_PROGRAM], c[COL_REVERSES]});
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
	Datum args[1] = {CStringGetTextDatum(program)};
	SPIPlanPtr plan;
	LedgerProgram *rules;
	MemoryContext old;
	HeapTuple row;
	TupleDesc desc;
	bool isnull;
	Datum value;

	if (!ledger->programs_valid)
	{
		if (ledger->program_context == NULL)
			ledger->program_context =
				AllocSetContextCreate(CacheMemoryContext, "crm points programs", ALLOCSET_SMALL_SIZES);
		MemoryContextReset(ledger->program_context);
		ledger->programs = NIL;
		ledger->programs_valid = true;
	}
	foreach (cell, ledger->programs)
	{
		rules = lfirst(cell);
		if (strcmp(rules->program, program) == 0)
			return rules;
	}

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
	return rules;
}

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
							column_names[col],
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
current_snapshot(void)
{
	return RegisterSnapshot(IsolationUsesXactSnapshot() ? GetTransactionSnapshot() : GetLatestSnapshot());
}

/*
 * Begin a scan of an account's entries by an index whose further columns are given
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

	ScanKeyInit(&key[0],
				ledger->column[COL_CUSTOMER_ID],
				BTEqualStrategyNumber,
				F_INT8EQ,
				Int64GetDatum(account->customer_id));
	ScanKeyInit(&key[1],
				ledger->column[COL_PROGRAM],
				BTEqualStrategyNumber,
				F_TEXTEQ,
				CStringGetTextDatum(account->program));
	for (int i = 0; i < count; i++)
		ScanKeyInit(&key[i + 2],
					ledger->column[columns[i]],
					BTEqualStrategyNumber,
					columns[i] == COL_SEQ || columns[i] == COL_REVERSES ? F_INT8EQ : F_TEXTEQ,
					values[i]);
	return systable_beginscan(entries, index, OidIsValid(index), snapshot, count + 2, key);
}

/*
 * The entry with this kind, source and reference. A source of NULL stands for any; two that match raise.
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
	LedgerColumn columns[3] = {COL_KIND, COL_REFERENCE, COL_SOURCE};
	Datum values[3];
	Snapshot snapshot;
	SysScanDesc scan;
	HeapTuple tuple;
	ListCell *cell;
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
	values[0] = CStringGetTextDatum(points_kind_names[kind]);
	values[1] = CStringGetTextDatum(reference);
	if (source != NULL)
		values[2] = CStringGetTextDatum(source);
	snapshot = current_snapshot();
	scan = begin_scan(
		ledger, entries, account, ledger->reference_index, snapshot, source != NULL ? 3 : 2, columns, values);
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
	UnregisterSnapshot(snapshot);
	return any;
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

	ScanKeyInit(
		&key[0], ledger->column[COL_CUSTOMER_ID], BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(account->customer_id));
	ScanKeyInit(
		&key[1], ledger->column[COL_PROGRAM], BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(account->program));
	ScanKeyInit(&key[2],
				ledger->column[COL_KIND],
				BTEqualStrategyNumber,
				F_TEXTEQ,
				CStringGetTextDatum(points_kind_names[kind]));
	ScanKeyInit(
		&key[3], ledger->column[COL_REFERENCE], BTGreaterEqualStrategyNumber, F_TEXT_GE, CStringGetTextDatum(reference));
	ScanKeyInit(&key[4], ledger->column[COL_REFERENCE], BTLessStrategyNumber, F_TEXT_LT, CStringGetTextDatum(end));
	if (account->stored_seq > 0)
	{
		snapshot = current_snapshot();
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
	LedgerColumn columns[1] = {COL_SEQ};
	Datum values[1] = {Int64GetDatum(seq)};
	Snapshot snapshot;
	SysScanDesc scan;
	HeapTuple tuple;
	ListCell *cell;

	foreach (cell, account->entries)
	{
		PointsEntry *entry = lfirst(cell);

		if (entry->seq == seq)
		{
			*found = *entry;
			return true;
		}
	}
	snapshot = current_snapshot();
	scan = begin_scan(ledger, entries, account, ledger->primary_key, snapshot, 1, columns, values);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool given[LEDGER_COLUMNS];

		ledger_from_tuple(ledger, tuple, RelationGetDescr(entries), found, given);
	}
	systable_endscan(scan);
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
	LedgerColumn columns[1] = {COL_REVERSES};
	Datum values[1] = {Int64GetDatum(target->seq)};
	Snapshot snapshot = current_snapshot();
	int64 last = 0;
	SysScanDesc scan;
	HeapTuple tuple;
	ListCell *cell;

	*reversed = 0;
	*available_at = target->available_at;
	scan = begin_scan(ledger, entries, account, ledger->reverses_index, snapshot, 1, columns, values);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		PointsEntry entry;
		bool given[LEDGER_COLUMNS];

		ledger_from_tuple(ledger, tuple, RelationGetDescr(entries), &entry, given);
		count_reversal(&entry, target, before, reversed, available_at, &last);
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	foreach (cell, account->entries)
	{
		PointsEntry *entry = lfirst(cell);

		if (entry->reverses == target->seq)
			count_reversal(entry, target, before, reversed, available_at, &last);
	}
}
