/*
 * The archive of a ledger: entries that nothing refers to any more go from points_entry into points_entry_archive, and
 * the account begins at a row of points_start, whose head a checkpoint has.
 */
#include "points/verify.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "base/store.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/*
 * What may be deleted now: rows of one account, of tables that belong together. Only the functions below set it, around
 * their own statements; the end of a transaction or subtransaction takes it back.
 */
static struct
{
	Oid tables[3]; /* entries, archive, starts */
	int64 customer_id;
	const char *program;
	int64 seq; /* the last that may go */
} opened;

static void
close_opened(void)
{
	memset(&opened, 0, sizeof(opened));
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	close_opened();
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		close_opened();
}

/*
 * The table that rows beside the ledger are found from: the one that entries are a partition of, else entries
 */
Relation
archive_root(Relation entries)
{
	return table_open(ledger_leaf_root(entries), AccessShareLock);
}

/*
 * On a subscriber, which applies what the publisher's archive did: may this row go? An entry when the account says that
 * it is archived and the archive has it with its hash, a row of the archive when the account says that it has none.
 */
static bool
replicated(Relation rel, HeapTuple row)
{
	TupleDesc desc = RelationGetDescr(rel);
	Oid archive = store_sibling_if_any(rel, "points_entry_archive");
	Oid relid = RelationGetRelid(rel);
	bool of_archive = OidIsValid(archive) && (relid == archive || relid == store_sibling_if_any(rel, "points_start"));
	Oid types[4] = {INT8OID, TEXTOID, INT8OID, BYTEAOID};
	Datum values[4];
	Relation root;
	LedgerSpi spi;
	bool isnull;
	bool may;

	if (!OidIsValid(archive) || (!of_archive && SPI_fnumber(desc, "hash") <= 0))
		return false;
	values[0] = heap_getattr(row, store_column(rel, "customer_id"), desc, &isnull);
	values[1] = heap_getattr(row, store_column(rel, "program"), desc, &isnull);
	values[2] = heap_getattr(row, store_column(rel, "seq"), desc, &isnull);
	values[3] =
		of_archive ? PointerGetDatum(cstring_to_text("")) : heap_getattr(row, store_column(rel, "hash"), desc, &isnull);
	root = archive_root(rel);
	ledger_spi_begin(&spi);
	may = SPI_execute_with_args(
			  store_query(
				  root,
				  of_archive
					  ? "SELECT 1 FROM @points_account a WHERE a.customer_id OPERATOR(pg_catalog.=) $1 AND a.program "
						"OPERATOR(pg_catalog.=) $2 AND a.archived OPERATOR(pg_catalog.=) 0"
					  : "SELECT 1 FROM @points_account a JOIN @points_entry_archived e ON e.customer_id "
						"OPERATOR(pg_catalog.=) "
						"a.customer_id AND e.program OPERATOR(pg_catalog.=) a.program WHERE a.customer_id "
						"OPERATOR(pg_catalog.=) $1 "
						"AND a.program OPERATOR(pg_catalog.=) $2 AND a.archived OPERATOR(pg_catalog.>=) $3 "
						"AND e.seq OPERATOR(pg_catalog.=) $3 AND e.hash OPERATOR(pg_catalog.=) $4"),
			  4, types, values, NULL, false, 1) == SPI_OK_SELECT &&
		  SPI_processed == 1;
	ledger_spi_end(&spi);
	table_close(root, NoLock);
	return may;
}

/*
 * Is this DELETE, of a row or as a statement, the archive's own?
 */
bool
ledger_archive_opened(Relation rel, HeapTuple row)
{
	Oid relid = ledger_leaf_root(rel);
	bool ours = false;
	bool isnull;

	for (int i = 0; i < lengthof(opened.tables); i++)
		ours |= OidIsValid(opened.tables[i]) && opened.tables[i] == relid;
	if (!ours && row != NULL && SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		return replicated(rel, row);
	if (!ours || row == NULL)
		return ours;
	return DatumGetInt64(heap_getattr(row, store_column(rel, "customer_id"), RelationGetDescr(rel), &isnull)) ==
			   opened.customer_id &&
		   DatumGetInt64(heap_getattr(row, store_column(rel, "seq"), RelationGetDescr(rel), &isnull)) <= opened.seq &&
		   strcmp(TextDatumGetCString(heap_getattr(row, store_column(rel, "program"), RelationGetDescr(rel), &isnull)),
				  opened.program) == 0;
}

/* The statements of the archive, in the order of Ledger.archive. */
typedef enum ArchiveStatement
{
	FIND_LEFT,
	READ_START,
	READ_ENTRIES,
	WRITE_START,
	WRITE_ARCHIVE,
	DELETE_ENTRIES,
	WRITE_ACCOUNT,
	BRING_BACK,
	DELETE_ARCHIVE,
	DELETE_STARTS
} ArchiveStatement;

/*
 * The saved plan of a statement whose names begin with @
 */
static SPIPlanPtr
plan_of(Ledger *ledger, ArchiveStatement which, Relation root, const char *sql, int count, Oid *types)
{
	if (ledger->archive[which] == NULL)
		ledger->archive[which] = ledger_prepare(store_query(root, sql), count, types);
	return ledger->archive[which];
}

static void
run(Ledger *ledger, ArchiveStatement which, Relation root, const char *sql, int count, Oid *types, Datum *values,
	int expected)
{
	ledger_run(ledger, plan_of(ledger, which, root, sql, count, types), values, NULL, expected);
}

/*
 * What an archived movement found of its target, when it took all there was
 */
int64
ledger_archive_left(Relation entries, const LedgerAccount *account, const PointsEntry *found)
{
	Relation root = archive_root(entries);
	Datum values[4] = {Int64GetDatum(account->customer_id), CStringGetTextDatum(account->program),
					   Int64GetDatum(found->reverses), Int64GetDatum(found->seq)};
	Ledger *ledger = ledger_open(root);
	int64 left = found->points;
	LedgerSpi spi;

	ledger_spi_begin(&spi);
	run(ledger, FIND_LEFT, root,
		"SELECT CASE t.kind WHEN 'hold' THEN t.points ELSE (t.points OPERATOR(pg_catalog.-) coalesce((SELECT "
		"pg_catalog.sum(r.points) "
		"FROM @points_entry_archived r WHERE r.customer_id OPERATOR(pg_catalog.=) $1 AND r.program "
		"OPERATOR(pg_catalog.=) $2 "
		"AND r.reverses OPERATOR(pg_catalog.=) t.seq AND r.seq OPERATOR(pg_catalog.<) $4 AND r.kind "
		"OPERATOR(pg_catalog.=) "
		"ANY ('{refund,restore}'::pg_catalog.text[])), 0))::bigint END "
		"FROM @points_entry_archived t WHERE t.customer_id OPERATOR(pg_catalog.=) $1 AND t.program "
		"OPERATOR(pg_catalog.=) $2 "
		"AND t.seq OPERATOR(pg_catalog.=) $3",
		4, (Oid[]){INT8OID, TEXTOID, INT8OID, INT8OID}, values, SPI_OK_SELECT);
	if (SPI_processed > 0)
	{
		bool isnull;

		left = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	}
	ledger_spi_end(&spi);
	table_close(root, NoLock);
	return left;
}

/* Columns of points_start that say what the account was, in the order of read_state. */
const char *const ledger_start_columns =
	"seq, available, pending, earned, redeemed, refunded, expired, adjusted, transferred, booked_at, lots, head";
#define START_COLUMNS 12

/*
 * The state in a row that has these columns
 */
void
ledger_read_start(HeapTuple row, TupleDesc desc, PointsState *state)
{
	static const char *const names[START_COLUMNS] = {"seq",			"available", "pending", "earned",
													 "redeemed",	"refunded",	 "expired", "adjusted",
													 "transferred", "booked_at", "lots",	"head"};
	int64 *const numbers[9] = {&state->seq,		&state->available, &state->pending,
							   &state->earned,	&state->redeemed,  &state->refunded,
							   &state->expired, &state->adjusted,  &state->transferred};
	Datum value[START_COLUMNS];
	bytea *head;

	memset(state, 0, sizeof(PointsState));
	for (int i = 0; i < START_COLUMNS; i++)
	{
		int column = SPI_fnumber(desc, names[i]);
		bool isnull = true;

		if (column > 0)
			value[i] = heap_getattr(row, column, desc, &isnull);
		if (isnull)
			ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
							errmsg("column %s of points_start is missing or null", names[i])));
	}
	for (int i = 0; i < 9; i++)
		*numbers[i] = DatumGetInt64(value[i]);
	state->booked_at = DatumGetTimestampTz(value[9]);
	points_lots_read(value[10], &state->lots);
	head = DatumGetByteaPP(value[11]);
	if (VARSIZE_ANY_EXHDR(head) != POINTS_HASH_SIZE)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("the head of a points_start has not 32 bytes")));
	memcpy(state->head, VARDATA_ANY(head), POINTS_HASH_SIZE);
}

/*
 * A ledger whose columns are those of a SELECT with all of them in the order of LedgerColumn
 */
void
archive_columns(Ledger *ledger)
{
	memset(ledger, 0, sizeof(Ledger));
	for (int i = 0; i < LEDGER_COLUMNS; i++)
		ledger->column[i] = i + 1;
}

char *
archive_entry_columns(const char *alias)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < LEDGER_COLUMNS; i++)
		appendStringInfo(&sql, "%s%s%s", i > 0 ? ", " : "", alias, ledger_column_names[i]);
	return sql.data;
}

/*
 * Open a cursor over a query
 */
Portal
archive_cursor(Relation root, const char *sql, int count, Oid *types, Datum *values, const char *nulls)
{
	SPIPlanPtr plan = SPI_prepare_cursor(store_query(root, sql), count, types, CURSOR_OPT_NO_SCROLL);

	if (plan == NULL)
		elog(ERROR, "could not prepare a statement of the archive: %s", SPI_result_code_string(SPI_result));
	return SPI_cursor_open(NULL, plan, values, nulls, true);
}

/*
 * Raise that an account cannot be archived
 */
static void
refuse_archive(const LedgerAccount *account, const char *why)
{
	ereport(ERROR, (errcode(ERRCODE_POINTS_FORGED), errmsg("the entries of an account cannot be archived: %s", why),
					errdetail("customer " INT64_FORMAT ", program %s", account->customer_id, account->program),
					errhint("points_verify(customer_id, program) says what is wrong with it.")));
}

/*
 * Build the account up from its last start to an entry, in one pass over its entries
 */
static void
replay_to(Ledger *ledger, Relation root, const LedgerAccount *account, int64 seq, Replay *replay, ReplayTable *table)
{
	Datum values[4] = {Int64GetDatum(account->customer_id), CStringGetTextDatum(account->program),
					   Int64GetDatum(account->archived), Int64GetDatum(seq)};
	Oid types[4] = {INT8OID, TEXTOID, INT8OID, INT8OID};
	MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext, "crm archive batch", ALLOCSET_DEFAULT_SIZES);
	Ledger columns;
	SPIPlanPtr plan;
	Portal portal;
	bool more;

	replay->state.booked_at = DT_NOBEGIN;
	if (account->archived > 0)
	{
		run(ledger, READ_START, root,
			psprintf("SELECT %s FROM @points_start WHERE customer_id OPERATOR(pg_catalog.=) $1 AND program "
					 "OPERATOR(pg_catalog.=) $2 "
					 "AND seq OPERATOR(pg_catalog.=) $3",
					 ledger_start_columns),
			3, types, values, SPI_OK_SELECT);
		if (SPI_processed != 1)
			refuse_archive(account, "its start is missing");
		ledger_read_start(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, &replay->state);
	}
	archive_columns(&columns);
	plan = plan_of(ledger, READ_ENTRIES, root,
				   psprintf("SELECT %s FROM @points_entry e WHERE e.customer_id OPERATOR(pg_catalog.=) $1 "
							"AND e.program OPERATOR(pg_catalog.=) $2 AND e.seq OPERATOR(pg_catalog.>) $3 "
							"AND e.seq OPERATOR(pg_catalog.<=) $4 ORDER BY e.seq",
							archive_entry_columns("e.")),
				   4, types);
	portal = SPI_cursor_open(NULL, plan, values, NULL, true);
	do
	{
		SPI_cursor_fetch(portal, true, ARCHIVE_FETCH);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			bool given[LEDGER_COLUMNS];
			PointsEntry entry;
			const char *why;
			MemoryContext old = MemoryContextSwitchTo(batch);

			ledger_from_tuple(&columns, SPI_tuptable->vals[i], SPI_tuptable->tupdesc, &entry, given);
			MemoryContextSwitchTo(old);
			why = entry.seq != replay->state.seq + 1 ? "an entry is missing" : replay_apply(table, replay, &entry);
			if (why != NULL)
				refuse_archive(account, psprintf("entry " INT64_FORMAT ": %s", entry.seq, why));
		}
		more = SPI_processed == ARCHIVE_FETCH;
		SPI_freetuptable(SPI_tuptable);
		MemoryContextReset(batch);
	} while (more);
	SPI_cursor_close(portal);
	MemoryContextDelete(batch);
	if (replay->state.seq != seq)
		refuse_archive(account, "entries are missing");
	if (replay->state.hold_count > 0)
		refuse_archive(account, "a hold is open");
}

/*
 * Lock an account, as the owner of its ledger. The caller ends all three.
 */
static Ledger *
lock_account(Oid relid, Datum customer_id, text *program, Relation *entries, StoreOwner *owner, LedgerAccount *account)
{
	Ledger *ledger;

	*entries = ledger_open_entries(relid);
	store_owner_begin(*entries, owner);
	ledger = ledger_open(*entries);
	account->customer_id = DatumGetInt64(customer_id);
	account->program = text_to_cstring(program);
	ledger_lock_many(ledger, account, 1);
	return ledger;
}

/*
 * Allow the deletes of an account's rows up to an entry
 */
static void
open_deletes(Relation root, const LedgerAccount *account, int64 seq)
{
	static bool registered;

	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterSubXactCallback(at_subtransaction_end, NULL);
		registered = true;
	}
	opened.tables[0] = RelationGetRelid(root);
	opened.tables[1] = store_sibling_table(root, "points_entry_archive");
	opened.tables[2] = store_sibling_table(root, "points_start");
	opened.customer_id = account->customer_id;
	opened.program = MemoryContextStrdup(TopTransactionContext, account->program);
	opened.seq = seq;
}

/*
 * Say in the account to which entry it is archived
 */
static void
write_archived(Ledger *ledger, Relation root, const LedgerAccount *account, int64 seq)
{
	Datum values[3] = {Int64GetDatum(account->customer_id), CStringGetTextDatum(account->program), Int64GetDatum(seq)};

	ledger_run_update(ledger,
					  plan_of(ledger, WRITE_ACCOUNT, root,
							  "UPDATE @points_account SET archived = $3 WHERE customer_id OPERATOR(pg_catalog.=) $1 AND program "
							  "OPERATOR(pg_catalog.=) $2",
							  3, (Oid[]){INT8OID, TEXTOID, INT8OID}),
					  values);
	if (SPI_processed != 1)
		elog(ERROR, "could not write a points account");
}

/*
 * Move an account's entries up to one into the archive: see points_archive_account in the kit
 */
PG_FUNCTION_INFO_V1(points_archive_account);
Datum
points_archive_account(PG_FUNCTION_ARGS)
{
	int64 seq = PG_GETARG_INT64(3);
	LedgerAccount account = {0};
	Replay replay = {0};
	ReplayTable table = {.context = CurrentMemoryContext};
	Relation root;
	StoreOwner owner;
	LedgerSpi spi;
	Datum values[14];
	Ledger *ledger;
	const PointsState *state = &replay.state;
	int64 before;

	ledger = lock_account(PG_GETARG_OID(0), PG_GETARG_DATUM(1), PG_GETARG_TEXT_PP(2), &root, &owner, &account);
	before = account.archived;
	if (seq <= before || seq > account.state.seq)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("entry " INT64_FORMAT " is not one that could be archived", seq),
						errdetail("The account has entries " INT64_FORMAT " to " INT64_FORMAT ".", before + 1,
								  account.state.seq)));
	ledger_spi_begin(&spi);
	replay_to(ledger, root, &account, seq, &replay, &table);

	values[0] = Int64GetDatum(account.customer_id);
	values[1] = CStringGetTextDatum(account.program);
	values[2] = Int64GetDatum(seq);
	values[3] = Int64GetDatum(state->available);
	values[4] = Int64GetDatum(state->pending);
	values[5] = Int64GetDatum(state->earned);
	values[6] = Int64GetDatum(state->redeemed);
	values[7] = Int64GetDatum(state->refunded);
	values[8] = Int64GetDatum(state->expired);
	values[9] = Int64GetDatum(state->adjusted);
	values[10] = Int64GetDatum(state->transferred);
	values[11] = TimestampTzGetDatum(state->booked_at);
	values[12] = points_lots_datum(&state->lots);
	values[13] = PointerGetDatum(cstring_to_text_with_len((const char *)state->head, POINTS_HASH_SIZE));
	/* A start is what a checkpoint has of the account, to the hash. */
	run(ledger, WRITE_START, root,
		"INSERT INTO @points_start (customer_id, program, seq, available, pending, earned, redeemed, refunded, "
		"expired, adjusted, "
		"transferred, booked_at, lots, head, checkpoint) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, "
		"$13, $14, l.checkpoint "
		"FROM @points_checkpoint_leaf l WHERE l.customer_id OPERATOR(pg_catalog.=) $1 AND l.program "
		"OPERATOR(pg_catalog.=) $2 "
		"AND l.seq OPERATOR(pg_catalog.=) $3 AND l.head OPERATOR(pg_catalog.=) $14 "
		"AND NOT EXISTS (SELECT 1 FROM @points_entry r WHERE r.customer_id OPERATOR(pg_catalog.=) $1 "
		"AND r.program OPERATOR(pg_catalog.=) $2 AND r.reverses OPERATOR(pg_catalog.<=) $3 AND r.seq OPERATOR(pg_catalog.>) $3) "
		"ORDER BY l.checkpoint LIMIT 1",
		14,
		(Oid[]){INT8OID, TEXTOID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID,
				TIMESTAMPTZOID, ledger->lots_type, BYTEAOID},
		values, SPI_OK_INSERT);
	if (SPI_processed != 1)
		refuse_archive(&account,
					   psprintf("no checkpoint has entry " INT64_FORMAT " with this hash, or what comes after it reverses what is before",
								seq));

	values[2] = Int64GetDatum(before);
	values[3] = Int64GetDatum(seq);
	values[4] = Int64GetDatum(ARCHIVE_FETCH);
	run(ledger, WRITE_ARCHIVE, root,
		"INSERT INTO @points_entry_archive (customer_id, program, first_seq, seq, entries, digests) "
		"SELECT $1, $2, pg_catalog.min(e.seq), pg_catalog.max(e.seq), pg_catalog.array_agg(ROW(e.seq, e.kind, "
		"e.points, e.source, e.reference, "
		"e.reverses, e.expires_at, e.available_at, e.occurred_at, e.booked_at, e.balance_after, e.shortfall, e.lots, "
		"e.detail, e.note_hash, "
		"e.actor, e.hash)::crm.points_archived ORDER BY e.seq), "
		"coalesce(pg_catalog.string_agg(crm.points_digest(e.kind, e.reference), ''::bytea ORDER BY e.seq), ''::bytea) "
		"FROM @points_entry e WHERE e.customer_id OPERATOR(pg_catalog.=) $1 AND e.program OPERATOR(pg_catalog.=) $2 "
		"AND e.seq OPERATOR(pg_catalog.>) $3 AND e.seq OPERATOR(pg_catalog.<=) $4 "
		"GROUP BY (e.seq OPERATOR(pg_catalog.-) $3 OPERATOR(pg_catalog.-) 1) OPERATOR(pg_catalog./) $5",
		5, (Oid[]){INT8OID, TEXTOID, INT8OID, INT8OID, INT8OID}, values, SPI_OK_INSERT);
	/* Before the entries go, so that a subscriber that follows knows that they may. */
	write_archived(ledger, root, &account, seq);
	open_deletes(root, &account, seq);
	run(ledger, DELETE_ENTRIES, root,
		"DELETE FROM @points_entry WHERE customer_id OPERATOR(pg_catalog.=) $1 AND program OPERATOR(pg_catalog.=) $2 "
		"AND seq OPERATOR(pg_catalog.>) $3 AND seq OPERATOR(pg_catalog.<=) $4",
		4, (Oid[]){INT8OID, TEXTOID, INT8OID, INT8OID}, values, SPI_OK_DELETE);
	close_opened();
	if ((int64)SPI_processed != seq - before)
		ereport(ERROR, (errcode(ERRCODE_POINTS_BYPASSED),
						errmsg("entries of the points ledger stayed when they were archived"),
						errhint("A trigger or rule on points_entry skips rows.")));
	ledger_spi_end(&spi);
	store_owner_end(&owner);
	table_close(root, NoLock);
	PG_RETURN_INT64(seq - before);
}

/*
 * Bring an account's archived entries back: see points_unarchive_account in the kit
 */
PG_FUNCTION_INFO_V1(points_unarchive_account);
Datum
points_unarchive_account(PG_FUNCTION_ARGS)
{
	LedgerAccount account = {0};
	Relation root;
	StoreOwner owner;
	LedgerSpi spi;
	Oid types[3] = {INT8OID, TEXTOID, INT8OID};
	Datum values[3];
	Ledger *ledger;

	ledger = lock_account(PG_GETARG_OID(0), PG_GETARG_DATUM(1), PG_GETARG_TEXT_PP(2), &root, &owner, &account);
	if (account.archived > 0)
	{
		ledger_spi_begin(&spi);
		values[0] = Int64GetDatum(account.customer_id);
		values[1] = CStringGetTextDatum(account.program);
		values[2] = Int64GetDatum(account.archived);
		/* The gate takes what comes back as rows of a restore: each by its own hash and its neighbours'. */
		write_archived(ledger, root, &account, 0);
		run(ledger, BRING_BACK, root,
			psprintf("INSERT INTO @points_entry (%s) SELECT %s FROM @points_entry_archived e WHERE e.customer_id "
					 "OPERATOR(pg_catalog.=) $1 "
					 "AND e.program OPERATOR(pg_catalog.=) $2 AND e.seq OPERATOR(pg_catalog.<=) $3 ORDER BY e.seq",
					 archive_entry_columns(""), archive_entry_columns("e.")),
			3, types, values, SPI_OK_INSERT);
		if ((int64)SPI_processed != account.archived)
			refuse_archive(&account, "archived entries are missing");
		open_deletes(root, &account, account.archived);
		run(ledger, DELETE_ARCHIVE, root,
			"DELETE FROM @points_entry_archive WHERE customer_id OPERATOR(pg_catalog.=) $1 AND program "
			"OPERATOR(pg_catalog.=) $2",
			2, types, values, SPI_OK_DELETE);
		run(ledger, DELETE_STARTS, root,
			"DELETE FROM @points_start WHERE customer_id OPERATOR(pg_catalog.=) $1 AND program OPERATOR(pg_catalog.=) "
			"$2",
			2, types, values, SPI_OK_DELETE);
		close_opened();
		ledger_spi_end(&spi);
	}
	store_owner_end(&owner);
	table_close(root, NoLock);
	PG_RETURN_INT64(account.archived);
}
