/*
 * Locking and writing accounts and writing entries by saved plans. Where nothing of the user's stands on the tables, direct.c
 * does the same without the executor.
 */
#include "points/ledger.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "base/store.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* Set while the ledger itself writes an account; the guard of points_account looks at it. */
bool ledger_writing;

void
ledger_run_update(Ledger *ledger, SPIPlanPtr plan, Datum *values)
{
	ledger_writing = true;
	PG_TRY();
	{
		ledger_run(ledger, plan, values, NULL, SPI_OK_UPDATE);
	}
	PG_FINALLY();
	{
		ledger_writing = false;
	}
	PG_END_TRY();
}

const char *const ledger_account_columns[ACCOUNT_COLUMNS] = {"customer_id",
															 "program",
															 "seq",
															 "available",
															 "pending",
															 "held",
															 "earned",
															 "redeemed",
															 "refunded",
															 "expired",
															 "adjusted",
															 "transferred",
															 "lots",
															 "booked_at",
															 "head",
															 "next_due",
															 "closed",
															 "archived"};

/*
 * Type of a column of points_account
 */
static Oid
account_type(const Ledger *ledger, int column)
{
	switch (column)
	{
		case ACC_PROGRAM:
			return TEXTOID;
		case ACC_LOTS:
			return ledger->lots_type;
		case ACC_BOOKED_AT:
		case ACC_NEXT_DUE:
			return TIMESTAMPTZOID;
		case ACC_HEAD:
			return BYTEAOID;
		case ACC_CLOSED:
			return BOOLOID;
		default:
			return INT8OID;
	}
}

/*
 * Read a row of points_account, its values in the order of AccountColumn; all that is read is copied
 */
void
ledger_read_state(Ledger *ledger, const Datum *values, LedgerAccount *account)
{
	PointsState *state = &account->state;
	bytea *head = DatumGetByteaPP(values[ACC_HEAD]);

	memset(state, 0, sizeof(PointsState));
	account->entries = NIL;
	account->customer_id = DatumGetInt64(values[ACC_CUSTOMER_ID]);
	account->program = TextDatumGetCString(values[ACC_PROGRAM]);
	account->rules = ledger_program(ledger, account->program);
	state->seq = DatumGetInt64(values[ACC_SEQ]);
	state->available = DatumGetInt64(values[ACC_AVAILABLE]);
	state->pending = DatumGetInt64(values[ACC_PENDING]);
	state->held = DatumGetInt64(values[ACC_HELD]);
	state->earned = DatumGetInt64(values[ACC_EARNED]);
	state->redeemed = DatumGetInt64(values[ACC_REDEEMED]);
	state->refunded = DatumGetInt64(values[ACC_REFUNDED]);
	state->expired = DatumGetInt64(values[ACC_EXPIRED]);
	state->adjusted = DatumGetInt64(values[ACC_ADJUSTED]);
	state->transferred = DatumGetInt64(values[ACC_TRANSFERRED]);
	points_lots_read(values[ACC_LOTS], &state->lots);
	state->booked_at = DatumGetTimestampTz(values[ACC_BOOKED_AT]);
	state->closed = DatumGetBool(values[ACC_CLOSED]);
	account->archived = DatumGetInt64(values[ACC_ARCHIVED]);
	if (VARSIZE_ANY_EXHDR(head) != POINTS_HASH_SIZE)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("the head of a points account has not 32 bytes")));
	memcpy(state->head, VARDATA_ANY(head), POINTS_HASH_SIZE);
	account->stored_seq = state->seq;
	ledger_read_holds(ledger, account);
}

/*
 * Values of the columns that a posting writes, the key first
 */
void
ledger_account_values(const LedgerAccount *account, Datum *values, bool *nulls)
{
	const PointsState *state = &account->state;
	TimestampTz due = points_next_due(state);

	memset(nulls, 0, sizeof(bool) * ACCOUNT_WRITTEN);
	values[ACC_CUSTOMER_ID] = Int64GetDatum(account->customer_id);
	values[ACC_PROGRAM] = CStringGetTextDatum(account->program);
	values[ACC_SEQ] = Int64GetDatum(state->seq);
	values[ACC_AVAILABLE] = Int64GetDatum(state->available);
	values[ACC_PENDING] = Int64GetDatum(state->pending);
	values[ACC_HELD] = Int64GetDatum(state->held);
	values[ACC_EARNED] = Int64GetDatum(state->earned);
	values[ACC_REDEEMED] = Int64GetDatum(state->redeemed);
	values[ACC_REFUNDED] = Int64GetDatum(state->refunded);
	values[ACC_EXPIRED] = Int64GetDatum(state->expired);
	values[ACC_ADJUSTED] = Int64GetDatum(state->adjusted);
	values[ACC_TRANSFERRED] = Int64GetDatum(state->transferred);
	values[ACC_LOTS] = points_lots_datum(&state->lots);
	values[ACC_BOOKED_AT] = TimestampTzGetDatum(state->booked_at);
	values[ACC_HEAD] = PointerGetDatum(cstring_to_text_with_len((const char *) state->head, POINTS_HASH_SIZE));
	nulls[ACC_NEXT_DUE] = due == DT_NOEND;
	values[ACC_NEXT_DUE] = TimestampTzGetDatum(due);
}

/* Values that become an array. */
typedef struct Column
{
	Oid type;
	Datum *values;
	bool *nulls;
} Column;

static Datum
column_array(const Column *column, int count)
{
	int16 length;
	bool by_value;
	char align;
	int dims[1] = {count};
	int bounds[1] = {1};

	get_typlenbyvalalign(column->type, &length, &by_value, &align);
	return PointerGetDatum(construct_md_array(
		column->values, column->nulls, 1, dims, bounds, column->type, length, by_value, align));
}

static void
make_columns(Column *columns, int width, int count)
{
	for (int i = 0; i < width; i++)
	{
		columns[i].values = palloc(sizeof(Datum) * count);
		columns[i].nulls = palloc0(sizeof(bool) * count);
	}
}

/*
 * Append unnest($1), unnest($2), … and the types of the arrays
 */
static void
append_unnest(StringInfo sql, const Column *columns, int width, Oid *types)
{
	appendStringInfoString(sql, "ROWS FROM (");
	for (int c = 0; c < width; c++)
	{
		appendStringInfo(sql, "%spg_catalog.unnest($%d)", c > 0 ? ", " : "", c + 1);
		types[c] = get_array_type(columns[c].type);
	}
	appendStringInfoChar(sql, ')');
}

/*
 * The keys of accounts as two arrays
 */
static void
key_arrays(LedgerAccount **accounts, int count, Datum *arrays)
{
	Column columns[2] = {{.type = INT8OID}, {.type = TEXTOID}};

	make_columns(columns, 2, count);
	for (int i = 0; i < count; i++)
	{
		columns[0].values[i] = Int64GetDatum(accounts[i]->customer_id);
		columns[1].values[i] = CStringGetTextDatum(accounts[i]->program);
	}
	arrays[0] = column_array(&columns[0], count);
	arrays[1] = column_array(&columns[1], count);
}

/*
 * Make the accounts of these keys that are missing
 */
static void
create_accounts(Ledger *ledger, LedgerAccount **accounts, int count)
{
	Datum arrays[2];
	LedgerSpi spi;

	for (int i = 0; i < count; i++)
		(void) ledger_program(ledger, accounts[i]->program);
	ledger_spi_begin(&spi);
	key_arrays(accounts, count, arrays);
	if (ledger->create == NULL)
		ledger->create = ledger_prepare(
			psprintf("INSERT INTO %s (customer_id, program) SELECT * FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) "
					 "ON CONFLICT (customer_id, program) DO NOTHING",
					 store_qualified_name(ledger->account)),
			2,
			(Oid[]){INT8ARRAYOID, TEXTARRAYOID});
	ledger_run(ledger, ledger->create, arrays, NULL, SPI_OK_INSERT);
	ledger_spi_end(&spi);
}

/*
 * The values of a row that SPI gave, in the order of AccountColumn
 */
static void
read_row(Ledger *ledger, LedgerSpi *spi, HeapTuple row, TupleDesc desc, LedgerAccount *account)
{
	Datum values[ACCOUNT_COLUMNS];
	bool nulls[ACCOUNT_COLUMNS];
	MemoryContext old = MemoryContextSwitchTo(spi->caller);

	heap_deform_tuple(row, desc, values, nulls);
	ledger_read_state(ledger, values, account);
	account->row = NULL;
	MemoryContextSwitchTo(old);
}

static char *
state_columns(const char *alias)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < ACCOUNT_COLUMNS; i++)
		appendStringInfo(&sql, "%s%s.%s", i > 0 ? ", " : "", alias, ledger_account_columns[i]);
	return sql.data;
}

/*
 * Accounts are found by their customers, which a plan made while there were none would not do by a join alone: it would read them
 * all for as long as the session lives. What is found is hashed, since a loop over a batch for each account grows with its square.
 */
#define ACCOUNTS_OF_KEYS " AND a.customer_id OPERATOR(pg_catalog.=) ANY ($1)"

static void
join_by_hash(void)
{
	(void) set_config_option("enable_nestloop", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Lock accounts by a statement; false when some are missing
 */
static bool
lock_by_plan(Ledger *ledger, LedgerAccount **accounts, int count)
{
	Datum arrays[2];
	LedgerSpi spi;
	SPITupleTable *rows;
	bool all;

	ledger_spi_begin(&spi);
	join_by_hash();
	key_arrays(accounts, count, arrays);
	if (ledger->lock == NULL)
		ledger->lock = ledger_prepare(
			psprintf("SELECT %s FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS k (customer_id, program) JOIN %s a "
					 "ON a.customer_id OPERATOR(pg_catalog.=) k.customer_id AND a.program OPERATOR(pg_catalog.=) k.program" ACCOUNTS_OF_KEYS
					 " ORDER BY a.customer_id, a.program FOR NO KEY UPDATE OF a",
					 state_columns("a"),
					 store_qualified_name(ledger->account)),
			2,
			(Oid[]){INT8ARRAYOID, TEXTARRAYOID});
	ledger_run(ledger, ledger->lock, arrays, NULL, SPI_OK_SELECT);
	rows = SPI_tuptable;
	all = (int) SPI_processed == count;
	for (int i = 0; all && i < count; i++)
		read_row(ledger, &spi, rows->vals[i], rows->tupdesc, accounts[i]);
	ledger_spi_end(&spi);
	return all;
}

/*
 * Lock accounts without the executor; false when some are missing. They are all found before the first is locked: what is
 * missing is made while nothing is locked, so that two that need the same accounts cannot wait for each other.
 */
static bool
lock_by_access(LedgerAccess *access, LedgerAccount **accounts, int count)
{
	int missing = 0;

	for (int i = 0; i < count; i++)
	{
		if (!ItemPointerIsValid(&accounts[i]->tid) && !ledger_access_find(access, accounts[i]))
			missing++;
	}
	if (missing > 0)
	{
		LedgerAccount **create = palloc(sizeof(LedgerAccount *) * missing);
		int n = 0;

		for (int i = 0; i < count; i++)
		{
			if (!ItemPointerIsValid(&accounts[i]->tid))
				create[n++] = accounts[i];
			else
				ItemPointerSetInvalid(&accounts[i]->tid);
		}
		create_accounts(access->ledger, create, n);
		return false;
	}
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!ledger_access_lock(access, accounts[i]))
			elog(ERROR, "a points account was deleted");
	}
	return true;
}

/*
 * Lock accounts in order, making those that are missing, and read them. access is one that looked for them before, or NULL.
 */
static void
lock_accounts(Ledger *ledger, LedgerAccess *access, LedgerAccount **accounts, int count)
{
	if (access != NULL && lock_by_access(access, accounts, count))
		return;
	for (int i = 0; i < count; i++)
		accounts[i]->snapshot = NULL;
	for (int attempt = 0; attempt < 3; attempt++)
	{
		if (ledger_direct(ledger))
		{
			LedgerAccess again;
			bool locked;

			ledger_access_begin(ledger, &again);
			locked = lock_by_access(&again, accounts, count);
			/* What they say of the snapshot goes with it. */
			for (int i = 0; i < count; i++)
				accounts[i]->snapshot = NULL;
			ledger_access_end(&again);
			if (locked)
				return;
		}
		else if (lock_by_plan(ledger, accounts, count))
			return;
		else
			create_accounts(ledger, accounts, count);
	}
	elog(ERROR, "could not make points accounts");
}

/*
 * Lock the account of a customer and program, making it when there is none, and read it
 */
void
ledger_lock(Ledger *ledger, LedgerAccess *access, LedgerAccount *account)
{
	lock_accounts(ledger, access, &account, 1);
}

/*
 * Lock many accounts, making those that are missing, and read them. They come with customer_id and program, sorted, no two the
 * same.
 */
void
ledger_lock_many(Ledger *ledger, LedgerAccount *accounts, int count)
{
	LedgerAccount **pointers = palloc(sizeof(LedgerAccount *) * count);

	for (int i = 0; i < count; i++)
		pointers[i] = &accounts[i];
	lock_accounts(ledger, NULL, pointers, count);
	pfree(pointers);
}

/*
 * Lock accounts on which something is due, those due first, passing over those that others have locked
 */
LedgerAccount *
ledger_lock_due(Ledger *ledger, TimestampTz as_of, int batch, int *count)
{
	Datum values[2] = {TimestampTzGetDatum(as_of), Int32GetDatum(batch)};
	LedgerAccount *accounts;
	SPITupleTable *rows;
	LedgerSpi spi;

	if (ledger_direct(ledger) && OidIsValid(ledger->account_due))
	{
		LedgerAccess access;

		ledger_access_begin(ledger, &access);
		accounts = ledger_access_lock_due(&access, as_of, batch, count);
		ledger_access_end(&access);
		return accounts;
	}
	ledger_spi_begin(&spi);
	if (ledger->lock_due == NULL)
		ledger->lock_due =
			ledger_prepare(psprintf("SELECT %s FROM %s a WHERE next_due OPERATOR(pg_catalog.<=) $1 AND NOT closed "
									"ORDER BY next_due LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED",
									state_columns("a"),
									store_qualified_name(ledger->account)),
						   2,
						   (Oid[]){TIMESTAMPTZOID, INT4OID});
	ledger_run(ledger, ledger->lock_due, values, NULL, SPI_OK_SELECT);
	*count = (int) SPI_processed;
	rows = SPI_tuptable;
	accounts = MemoryContextAllocZero(spi.caller, sizeof(LedgerAccount) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
		read_row(ledger, &spi, rows->vals[i], rows->tupdesc, &accounts[i]);
	ledger_spi_end(&spi);
	return accounts;
}

/*
 * Write accounts by a statement
 */
static void
write_by_plan(Ledger *ledger, LedgerAccount *accounts, int count)
{
	Column columns[ACCOUNT_WRITTEN];
	Datum arrays[ACCOUNT_WRITTEN];
	volatile int changed = 0;
	LedgerSpi spi;

	ledger_spi_begin(&spi);
	join_by_hash();
	make_columns(columns, ACCOUNT_WRITTEN, count);
	for (int i = 0; i < count; i++)
	{
		Datum values[ACCOUNT_WRITTEN];
		bool nulls[ACCOUNT_WRITTEN];

		if (accounts[i].entries == NIL)
			continue;
		ledger_account_values(&accounts[i], values, nulls);
		for (int c = 0; c < ACCOUNT_WRITTEN; c++)
		{
			columns[c].values[changed] = values[c];
			columns[c].nulls[changed] = nulls[c];
		}
		changed++;
	}
	for (int c = 0; c < ACCOUNT_WRITTEN; c++)
	{
		columns[c].type = account_type(ledger, c);
		arrays[c] = column_array(&columns[c], changed);
	}
	if (ledger->update == NULL)
	{
		Oid types[ACCOUNT_WRITTEN];
		StringInfoData sql;

		initStringInfo(&sql);
		appendStringInfo(&sql, "UPDATE %s a SET ", store_qualified_name(ledger->account));
		for (int c = ACC_SEQ; c < ACCOUNT_WRITTEN; c++)
			appendStringInfo(
				&sql, "%s%s = n.%s", c > ACC_SEQ ? ", " : "", ledger_account_columns[c], ledger_account_columns[c]);
		appendStringInfoString(&sql, " FROM ");
		append_unnest(&sql, columns, ACCOUNT_WRITTEN, types);
		appendStringInfoString(&sql, " AS n (");
		for (int c = 0; c < ACCOUNT_WRITTEN; c++)
			appendStringInfo(&sql, "%s%s", c > 0 ? ", " : "", ledger_account_columns[c]);
		appendStringInfoString(&sql,
							   ") WHERE a.customer_id OPERATOR(pg_catalog.=) n.customer_id "
							   "AND a.program OPERATOR(pg_catalog.=) n.program" ACCOUNTS_OF_KEYS);
		ledger->update = ledger_prepare(sql.data, ACCOUNT_WRITTEN, types);
	}
	ledger_run_update(ledger, ledger->update, arrays);
	if (SPI_processed != changed)
		ereport(ERROR,
				(errcode(ERRCODE_POINTS_BYPASSED),
				 errmsg("a points account could not be written"),
				 changed == 1 ? errdetail("customer " INT64_FORMAT ", program %s", accounts[0].customer_id, accounts[0].program)
							  : 0,
				 errhint("A trigger on points_account skips its rows.")));
	ledger_spi_end(&spi);
}

/*
 * Write the accounts that have new entries, and their holds
 */
void
ledger_write(Ledger *ledger, LedgerAccount *accounts, int count)
{
	int changed = 0;
	bool direct = true;

	for (int i = 0; i < count; i++)
	{
		if (accounts[i].entries == NIL)
			continue;
		ledger_write_holds(ledger, &accounts[i]);
		if (accounts[i].row == NULL)
			direct = false;
		changed++;
	}
	if (changed == 0)
		return;
	if (direct)
		(void) ledger_direct_write(ledger, accounts, count, true);
	else
		write_by_plan(ledger, accounts, count);
}

/*
 * Put computed entries into the table. By a statement the gate lets them pass, since they stand in its queue.
 */
void
ledger_insert(Ledger *ledger, List *entries)
{
	static const Oid types[LEDGER_COLUMNS] = {
		INT8OID,		TEXTOID,		INT8OID, TEXTOID, INT8OID,	  TEXTOID,	TEXTOID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID,
		TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, INT8OID, InvalidOid, JSONBOID, BYTEAOID, TEXTOID, BYTEAOID};
	int count = list_length(entries);
	Column columns[LEDGER_COLUMNS];
	Datum arrays[LEDGER_COLUMNS];
	LedgerSpi spi;
	int row = 0;
	ListCell *cell;

	if (count == 0)
		return;
	if (ledger_direct(ledger))
	{
		Relation rel = table_open(ledger->entries, RowExclusiveLock);

		(void) ledger_direct_insert(ledger, rel, entries, NULL);
		table_close(rel, NoLock);
		return;
	}
	ledger_spi_begin(&spi);
	make_columns(columns, LEDGER_COLUMNS, count);
	foreach (cell, entries)
	{
		Datum values[LEDGER_COLUMNS];
		bool nulls[LEDGER_COLUMNS];

		ledger_to_values(ledger, lfirst(cell), values, nulls);
		for (int c = 0; c < LEDGER_COLUMNS; c++)
		{
			columns[c].values[row] = values[c];
			columns[c].nulls[row] = nulls[c];
		}
		row++;
	}
	for (int c = 0; c < LEDGER_COLUMNS; c++)
	{
		columns[c].type = c == COL_LOTS ? ledger->lots_type : types[c];
		arrays[c] = column_array(&columns[c], count);
	}
	if (ledger->insert == NULL)
	{
		Oid array_types[LEDGER_COLUMNS];
		StringInfoData sql;

		initStringInfo(&sql);
		appendStringInfo(&sql,
						 "INSERT INTO %s (customer_id, program, seq, kind, points, source, reference, reverses, expires_at, "
						 "available_at, occurred_at, booked_at, balance_after, shortfall, lots, detail, note_hash, actor, hash) "
						 "SELECT * FROM ",
						 store_qualified_name(ledger->entries));
		append_unnest(&sql, columns, LEDGER_COLUMNS, array_types);
		ledger->insert = ledger_prepare(sql.data, LEDGER_COLUMNS, array_types);
	}
	ledger_queue_push(ledger->entries, entries);
	ledger_run(ledger, ledger->insert, arrays, NULL, SPI_OK_INSERT);
	if (SPI_processed != count || !ledger_queue_empty())
		ereport(ERROR,
				(errcode(ERRCODE_POINTS_BYPASSED),
				 errmsg("entries of the points ledger were skipped"),
				 errhint("A trigger on points_entry that fires before the gate skips its rows.")));
	ledger_spi_end(&spi);
}
