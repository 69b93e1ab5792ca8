/*
 * Locking, reading and writing accounts, holds and entries, by saved plans.
 */
#include "points/ledger.h"

#include "base/store.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* Set while the ledger itself writes an account; the guard of points_account looks at it. */
bool ledger_writing;

#define STATE_COLUMNS                                                                                                  \
	"seq, available, pending, held, earned, redeemed, refunded, expired, adjusted, transferred, lots, booked_at, "     \
	"closed, head"

/* Columns that a posting changes, after the two of the key. */
static const char *const changed_columns[] = {"seq",
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
											  "next_due"};
#define CHANGED 14
#define WRITE_ARGS (CHANGED + 2)

/*
 * Make a saved plan with a generic execution plan
 */
static SPIPlanPtr
prepare(const char *sql, int count, Oid *types)
{
	SPIPlanPtr plan = SPI_prepare_cursor(sql, count, types, CURSOR_OPT_GENERIC_PLAN);

	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare a statement of the ledger: %s", SPI_result_code_string(SPI_result));
	return plan;
}

/*
 * Run a saved plan; the ledger keeps it while it runs, whatever is invalidated meanwhile
 */
static void
run(Ledger *ledger, SPIPlanPtr plan, Datum *values, const char *nulls, int expected)
{
	int result = 0;
	int level = NewGUCNestLevel();

	/* A plan made while the tables are empty would scan them whole for as long as the session lives. */
	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
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
	AtEOXact_GUC(true, level);
	if (result != expected)
		elog(ERROR, "could not run a statement of the ledger: %s", SPI_result_code_string(result));
}

/*
 * Type of a changed column
 */
static Oid
changed_type(const Ledger *ledger, int column)
{
	switch (column)
	{
		case 10:
			return ledger->lots_type;
		case 11:
		case 13:
			return TIMESTAMPTZOID;
		case 12:
			return BYTEAOID;
		default:
			return INT8OID;
	}
}

/*
 * Read the columns STATE_COLUMNS of a row, which stand after customer_id and program
 */
void
ledger_read_state(HeapTuple tuple, TupleDesc desc, LedgerAccount *account)
{
	PointsState *state = &account->state;
	int64 *const numbers[] = {&state->seq,
							  &state->available,
							  &state->pending,
							  &state->held,
							  &state->earned,
							  &state->redeemed,
							  &state->refunded,
							  &state->expired,
							  &state->adjusted,
							  &state->transferred};
	bytea *head;
	bool isnull;

	memset(state, 0, sizeof(PointsState));
	account->entries = NIL;
	account->customer_id = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
	account->program = TextDatumGetCString(SPI_getbinval(tuple, desc, 2, &isnull));
	for (int i = 0; i < lengthof(numbers); i++)
		*numbers[i] = DatumGetInt64(SPI_getbinval(tuple, desc, i + 3, &isnull));
	points_lots_read(SPI_getbinval(tuple, desc, 13, &isnull), &state->lots);
	state->booked_at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 14, &isnull));
	state->closed = DatumGetBool(SPI_getbinval(tuple, desc, 15, &isnull));
	head = DatumGetByteaPP(SPI_getbinval(tuple, desc, 16, &isnull));
	if (VARSIZE_ANY_EXHDR(head) != POINTS_HASH_SIZE)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("the head of a points account has not 32 bytes")));
	memcpy(state->head, VARDATA_ANY(head), POINTS_HASH_SIZE);
	account->stored_seq = state->seq;
}

/*
 * Read the open holds of an account
 */
static void
read_holds(Ledger *ledger, LedgerAccount *account)
{
	PointsState *state = &account->state;
	Datum values[2] = {Int64GetDatum(account->customer_id), CStringGetTextDatum(account->program)};

	if (state->held == 0)
		return;
	if (ledger->holds == NULL)
		ledger->holds = prepare(psprintf("SELECT seq, source, reference, points, due_at, lots, captured FROM %s "
										 "WHERE customer_id OPERATOR(pg_catalog.=) $1 AND program OPERATOR(pg_catalog.=) $2 "
										 "AND state OPERATOR(pg_catalog.=) 'open' ORDER BY seq",
										 store_qualified_name(ledger->hold)),
								2,
								(Oid[]){INT8OID, TEXTOID});
	run(ledger, ledger->holds, values, NULL, SPI_OK_SELECT);
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
 * Make the accounts of these keys that are missing
 */
static void
create_accounts(Ledger *ledger, Datum *arrays)
{
	if (ledger->create == NULL)
		ledger->create =
			prepare(psprintf("INSERT INTO %s (customer_id, program) SELECT * FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) "
							 "ON CONFLICT (customer_id, program) DO NOTHING",
							 store_qualified_name(ledger->account)),
					2,
					(Oid[]){INT8ARRAYOID, TEXTARRAYOID});
	run(ledger, ledger->create, arrays, NULL, SPI_OK_INSERT);
}

/*
 * Lock the account of a customer and program, making it when there is none, and read it
 */
void
ledger_lock(Ledger *ledger, LedgerAccount *account)
{
	Datum values[2] = {Int64GetDatum(account->customer_id), CStringGetTextDatum(account->program)};

	Column columns[2] = {{.type = INT8OID}, {.type = TEXTOID}};
	Datum arrays[2];

	if (ledger->lock == NULL)
		ledger->lock = prepare(psprintf("SELECT customer_id, program, " STATE_COLUMNS " FROM %s "
										"WHERE customer_id OPERATOR(pg_catalog.=) $1 AND program OPERATOR(pg_catalog.=) $2 "
										"FOR NO KEY UPDATE",
										store_qualified_name(ledger->account)),
							   2,
							   (Oid[]){INT8OID, TEXTOID});
	for (int attempt = 0; attempt < 3; attempt++)
	{
		run(ledger, ledger->lock, values, NULL, SPI_OK_SELECT);
		if (SPI_processed == 1)
		{
			ledger_read_state(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, account);
			read_holds(ledger, account);
			account->rules = ledger_program(ledger, account->program);
			return;
		}
		make_columns(columns, 2, 1);
		for (int i = 0; i < 2; i++)
		{
			columns[i].values[0] = values[i];
			arrays[i] = column_array(&columns[i], 1);
		}
		create_accounts(ledger, arrays);
	}
	elog(ERROR, "could not make a points account");
}

/*
 * Values of the columns that a posting writes, the key first
 */
static void
write_values(const LedgerAccount *account, Datum *values, bool *nulls)
{
	const PointsState *state = &account->state;
	TimestampTz due = points_next_due(state);
	int i = 0;

	memset(nulls, 0, sizeof(bool) * WRITE_ARGS);
	values[i++] = Int64GetDatum(account->customer_id);
	values[i++] = CStringGetTextDatum(account->program);
	values[i++] = Int64GetDatum(state->seq);
	values[i++] = Int64GetDatum(state->available);
	values[i++] = Int64GetDatum(state->pending);
	values[i++] = Int64GetDatum(state->held);
	values[i++] = Int64GetDatum(state->earned);
	values[i++] = Int64GetDatum(state->redeemed);
	values[i++] = Int64GetDatum(state->refunded);
	values[i++] = Int64GetDatum(state->expired);
	values[i++] = Int64GetDatum(state->adjusted);
	values[i++] = Int64GetDatum(state->transferred);
	values[i++] = points_lots_datum(&state->lots);
	values[i++] = TimestampTzGetDatum(state->booked_at);
	values[i++] = PointerGetDatum(cstring_to_text_with_len((const char *) state->head, POINTS_HASH_SIZE));
	nulls[i] = due == DT_NOEND;
	values[i] = TimestampTzGetDatum(due);
}

/*
 * Write the holds that new entries made or resolved
 */
static void
write_holds(Ledger *ledger, LedgerAccount *account)
{
	ListCell *cell;

	foreach (cell, account->entries)
	{
		const PointsEntry *entry = lfirst(cell);
		Datum values[8];
		char nulls[9] = "        ";

		values[0] = Int64GetDatum(entry->customer_id);
		values[1] = CStringGetTextDatum(entry->program);
		if (entry->kind == POINTS_HOLD)
		{
			if (ledger->hold_insert == NULL)
				ledger->hold_insert = prepare(
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
			run(ledger, ledger->hold_insert, values, nulls, SPI_OK_INSERT);
		}
		else if (entry->kind == POINTS_RELEASE && entry->reference == NULL && strcmp(entry->source, "capture") == 0)
		{
			if (ledger->hold_close == NULL)
				ledger->hold_close = prepare(
					psprintf("UPDATE %s SET state = 'captured' WHERE customer_id OPERATOR(pg_catalog.=) $1 "
							 "AND program OPERATOR(pg_catalog.=) $2 AND seq OPERATOR(pg_catalog.=) $3 "
							 "AND state OPERATOR(pg_catalog.=) 'open'",
							 store_qualified_name(ledger->hold)),
					3,
					(Oid[]){INT8OID, TEXTOID, INT8OID});
			values[2] = Int64GetDatum(entry->reverses);
			run(ledger, ledger->hold_close, values, NULL, SPI_OK_UPDATE);
		}
		else if (entry->kind == POINTS_CAPTURE || entry->kind == POINTS_RELEASE)
		{
			bool open = points_find_hold(&account->state, entry->reverses) != NULL;

			if (ledger->hold_resolve == NULL)
				ledger->hold_resolve = prepare(
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
			run(ledger, ledger->hold_resolve, values, NULL, SPI_OK_UPDATE);
		}
	}
}

/*
 * Write one account
 */
void
ledger_write(Ledger *ledger, LedgerAccount *account)
{
	Datum values[WRITE_ARGS];
	bool isnull[WRITE_ARGS];
	char nulls[WRITE_ARGS + 1];

	write_holds(ledger, account);
	if (ledger->update == NULL)
	{
		Oid types[WRITE_ARGS] = {INT8OID, TEXTOID};
		StringInfoData sql;

		initStringInfo(&sql);
		appendStringInfo(&sql, "UPDATE %s SET ", store_qualified_name(ledger->account));
		for (int i = 0; i < CHANGED; i++)
		{
			appendStringInfo(&sql, "%s%s = $%d", i > 0 ? ", " : "", changed_columns[i], i + 3);
			types[i + 2] = changed_type(ledger, i);
		}
		appendStringInfoString(&sql,
							   " WHERE customer_id OPERATOR(pg_catalog.=) $1 AND program OPERATOR(pg_catalog.=) $2");
		ledger->update = prepare(sql.data, WRITE_ARGS, types);
	}
	write_values(account, values, isnull);
	for (int i = 0; i < WRITE_ARGS; i++)
		nulls[i] = isnull[i] ? 'n' : ' ';
	nulls[WRITE_ARGS] = '\0';
	ledger_writing = true;
	PG_TRY();
	{
		run(ledger, ledger->update, values, nulls, SPI_OK_UPDATE);
	}
	PG_FINALLY();
	{
		ledger_writing = false;
	}
	PG_END_TRY();
	if (SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_POINTS_BYPASSED),
				 errmsg("a points account could not be written"),
				 errdetail("customer " INT64_FORMAT ", program %s", account->customer_id, account->program),
				 errhint("A trigger on points_account skips its rows.")));
}

/*
 * Write the accounts that have new entries, in one statement
 */
void
ledger_write_many(Ledger *ledger, LedgerAccount *accounts, int count)
{
	Column columns[WRITE_ARGS];
	Datum arrays[WRITE_ARGS];
	volatile int changed = 0;

	make_columns(columns, WRITE_ARGS, Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		Datum values[WRITE_ARGS];
		bool nulls[WRITE_ARGS];

		if (accounts[i].entries == NIL)
			continue;
		write_holds(ledger, &accounts[i]);
		write_values(&accounts[i], values, nulls);
		for (int c = 0; c < WRITE_ARGS; c++)
		{
			columns[c].values[changed] = values[c];
			columns[c].nulls[changed] = nulls[c];
		}
		changed++;
	}
	if (changed == 0)
		return;
	for (int c = 0; c < WRITE_ARGS; c++)
	{
		columns[c].type = c == 0 ? INT8OID : c == 1 ? TEXTOID : changed_type(ledger, c - 2);
		arrays[c] = column_array(&columns[c], changed);
	}
	if (ledger->update_many == NULL)
	{
		Oid types[WRITE_ARGS];
		StringInfoData sql;

		initStringInfo(&sql);
		appendStringInfo(&sql, "UPDATE %s a SET ", store_qualified_name(ledger->account));
		for (int i = 0; i < CHANGED; i++)
			appendStringInfo(&sql, "%s%s = n.%s", i > 0 ? ", " : "", changed_columns[i], changed_columns[i]);
		appendStringInfoString(&sql, " FROM ROWS FROM (");
		for (int c = 0; c < WRITE_ARGS; c++)
		{
			appendStringInfo(&sql, "%spg_catalog.unnest($%d)", c > 0 ? ", " : "", c + 1);
			types[c] = get_array_type(columns[c].type);
		}
		appendStringInfoString(&sql, ") AS n (customer_id, program");
		for (int i = 0; i < CHANGED; i++)
			appendStringInfo(&sql, ", %s", changed_columns[i]);
		appendStringInfoString(&sql,
							   ") WHERE a.customer_id OPERATOR(pg_catalog.=) n.customer_id "
							   "AND a.program OPERATOR(pg_catalog.=) n.program");
		ledger->update_many = prepare(sql.data, WRITE_ARGS, types);
	}
	ledger_writing = true;
	PG_TRY();
	{
		run(ledger, ledger->update_many, arrays, NULL, SPI_OK_UPDATE);
	}
	PG_FINALLY();
	{
		ledger_writing = false;
	}
	PG_END_TRY();
	if (SPI_processed != changed)
		ereport(ERROR,
				(errcode(ERRCODE_POINTS_BYPASSED),
				 errmsg("points accounts could not be written"),
				 errhint("A trigger on points_account skips its rows.")));
}

/*
 * Put computed entries into the table; the gate lets them pass, since they stand in its queue
 */
void
ledger_insert(Ledger *ledger, List *entries)
{
	int count = list_length(entries);
	Column columns[LEDGER_COLUMNS];
	Datum arrays[LEDGER_COLUMNS];
	int row = 0;
	ListCell *cell;
	static const Oid types[LEDGER_COLUMNS] = {
		INT8OID,		TEXTOID,		INT8OID, TEXTOID, INT8OID,	  TEXTOID,	TEXTOID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID,
		TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, INT8OID, InvalidOid, JSONBOID, BYTEAOID, TEXTOID, BYTEAOID};

	if (count == 0)
		return;
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
						 "SELECT * FROM ROWS FROM (",
						 store_qualified_name(ledger->entries));
		for (int c = 0; c < LEDGER_COLUMNS; c++)
		{
			appendStringInfo(&sql, "%spg_catalog.unnest($%d)", c > 0 ? ", " : "", c + 1);
			array_types[c] = get_array_type(columns[c].type);
		}
		appendStringInfoString(&sql, ")");
		ledger->insert = prepare(sql.data, LEDGER_COLUMNS, array_types);
	}
	ledger_queue_push(ledger->entries, entries);
	run(ledger, ledger->insert, arrays, NULL, SPI_OK_INSERT);
	if (SPI_processed != count || !ledger_queue_empty())
		ereport(ERROR,
				(errcode(ERRCODE_POINTS_BYPASSED),
				 errmsg("entries of the points ledger were skipped"),
				 errhint("A trigger on points_entry that fires before the gate skips its rows.")));
}

/*
 * Lock many accounts in order, making those that are missing. keys are LedgerAccount * with customer_id and program, sorted, no
 * two the same; so is the result.
 */
LedgerAccount *
ledger_lock_many(Ledger *ledger, List *keys)
{
	LedgerAccount *accounts = palloc0(sizeof(LedgerAccount) * Max(list_length(keys), 1));
	Column columns[2] = {{.type = INT8OID}, {.type = TEXTOID}};
	Datum arrays[2];
	int count = 0;
	ListCell *cell;

	make_columns(columns, 2, Max(list_length(keys), 1));
	foreach (cell, keys)
	{
		LedgerAccount *key = lfirst(cell);

		columns[0].values[count] = Int64GetDatum(key->customer_id);
		columns[1].values[count] = CStringGetTextDatum(key->program);
		count++;
	}
	arrays[0] = column_array(&columns[0], count);
	arrays[1] = column_array(&columns[1], count);
	if (ledger->lock_many == NULL)
		ledger->lock_many =
			prepare(psprintf("SELECT a.customer_id, a.program, " STATE_COLUMNS
							 " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS k (customer_id, program) JOIN %s a "
							 "ON a.customer_id OPERATOR(pg_catalog.=) k.customer_id AND a.program OPERATOR(pg_catalog.=) k.program "
							 "ORDER BY a.customer_id, a.program FOR NO KEY UPDATE OF a",
							 store_qualified_name(ledger->account)),
					2,
					(Oid[]){INT8ARRAYOID, TEXTARRAYOID});
	for (int attempt = 0; attempt < 3; attempt++)
	{
		SPITupleTable *rows;

		run(ledger, ledger->lock_many, arrays, NULL, SPI_OK_SELECT);
		if ((int) SPI_processed == count)
		{
			rows = SPI_tuptable;
			for (int i = 0; i < count; i++)
			{
				ledger_read_state(rows->vals[i], rows->tupdesc, &accounts[i]);
				read_holds(ledger, &accounts[i]);
				accounts[i].rules = ledger_program(ledger, accounts[i].program);
			}
			return accounts;
		}
		create_accounts(ledger, arrays);
	}
	elog(ERROR, "could not make points accounts");
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

	if (ledger->lock_due == NULL)
		ledger->lock_due =
			prepare(psprintf("SELECT customer_id, program, " STATE_COLUMNS " FROM %s "
							 "WHERE next_due OPERATOR(pg_catalog.<=) $1 AND NOT closed ORDER BY next_due LIMIT $2 "
							 "FOR NO KEY UPDATE SKIP LOCKED",
							 store_qualified_name(ledger->account)),
					2,
					(Oid[]){TIMESTAMPTZOID, INT4OID});
	run(ledger, ledger->lock_due, values, NULL, SPI_OK_SELECT);
	*count = (int) SPI_processed;
	rows = SPI_tuptable;
	accounts = palloc0(sizeof(LedgerAccount) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		ledger_read_state(rows->vals[i], rows->tupdesc, &accounts[i]);
		read_holds(ledger, &accounts[i]);
		accounts[i].rules = ledger_program(ledger, accounts[i].program);
	}
	return accounts;
}
