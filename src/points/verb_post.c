/*
 * Posting the movement of a verb through the same code as the gate, without a statement for the row. Where a statement has to be
 * heeded, because of what a user put on the tables or may not do, the row is inserted by one, and the gate does the rest.
 */
#include "points/verb.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "base/store.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"

/* Statements of the verbs. */
#define PLAN_INSERT 0
#define PLAN_REPEATED 1
#define PLAN_TARGET 2
#define PLAN_NOTE 3

/*
 * May the row be written without a statement? It asks of the caller what the statement would.
 */
bool
verb_is_direct(const Movement *movement)
{
	Relation rel = movement->rel;
	const AclMode mode = ACL_INSERT | ACL_SELECT;

	return ledger_direct(movement->ledger) &&
		   pg_class_aclmask(RelationGetRelid(rel), GetUserId(), mode, ACLMASK_ALL) == mode &&
		   (!rel->rd_rel->relrowsecurity || check_enable_rls(RelationGetRelid(rel), InvalidOid, true) != RLS_ENABLED) &&
		   !store_is_distributed(RelationGetRelid(rel));
}

/*
 * Run one of the verbs' statements, prepared at its first use, in a connection to SPI that end_plan ends. Triggers of the
 * user's that it fires find the store's objects by their names, as in the store's other functions.
 */
static void
run_plan(Movement *movement, int which, const char *sql, int count, Oid *types, Datum *values, const char *nulls, int expected)
{
	Ledger *ledger = movement->ledger;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	movement->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path",
							 psprintf("%s, crm, pg_temp",
									  quote_identifier(get_namespace_name(RelationGetNamespace(movement->rel)))),
							 PGC_USERSET,
							 PGC_S_SESSION,
							 GUC_ACTION_SAVE,
							 true,
							 0,
							 false);
	if (ledger->verb[which] == NULL)
	{
		const char *query = store_query(movement->rel, sql);

		/* Citus plans what is more than a row of one node by the values given. */
		ledger->verb[which] = store_is_distributed(RelationGetRelid(movement->rel)) ? ledger_prepare_custom(query, count, types)
																				   : ledger_prepare(query, count, types);
	}
	ledger_run(ledger, ledger->verb[which], values, nulls, expected);
}

static void
end_plan(Movement *movement)
{
	AtEOXact_GUC(true, movement->guc_level);
	SPI_finish();
}

/*
 * Make salt and hash of the movement's note, which is in the database's encoding and hashed as UTF-8
 */
static void
hash_note(Movement *movement)
{
	int length = VARSIZE_ANY_EXHDR(movement->note);
	char *note = VARDATA_ANY(movement->note);
	char *utf8 = (char *) pg_do_encoding_conversion((unsigned char *) note, length, GetDatabaseEncoding(), PG_UTF8);
	uint8 *salted;

	if (utf8 != note)
		length = strlen(utf8);
	if (!pg_strong_random(movement->salt, VERB_SALT_SIZE))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	salted = palloc(VERB_SALT_SIZE + length);
	memcpy(salted, movement->salt, VERB_SALT_SIZE);
	memcpy(salted + VERB_SALT_SIZE, utf8, length);
	points_sha256(salted, VERB_SALT_SIZE + length, movement->entry.note_hash);
	movement->entry.has_note = movement->given[COL_NOTE_HASH] = true;
	pfree(salted);
}

/*
 * Keep the note of an entry that was posted
 */
static void
keep_note(Movement *movement, int64 seq)
{
	Datum values[5] = {Int64GetDatum(movement->entry.customer_id),
					   CStringGetTextDatum(movement->entry.program),
					   Int64GetDatum(seq),
					   PointerGetDatum(cstring_to_text_with_len((const char *) movement->salt, VERB_SALT_SIZE)),
					   PointerGetDatum(movement->note)};

	run_plan(movement,
			 PLAN_NOTE,
			 "INSERT INTO @points_note (customer_id, program, seq, salt, note) VALUES ($1, $2, $3, $4, $5)",
			 5,
			 (Oid[]){INT8OID, TEXTOID, INT8OID, BYTEAOID, TEXTOID},
			 values,
			 NULL,
			 SPI_OK_INSERT);
	end_plan(movement);
}

/*
 * A row of points_entry with these columns, in the order of LedgerColumn
 */
static Datum
form_row(const Movement *movement, const Datum *values, const bool *nulls)
{
	TupleDesc desc = RelationGetDescr(movement->rel);
	Datum *all = palloc0(sizeof(Datum) * desc->natts);
	bool *all_nulls = palloc(sizeof(bool) * desc->natts);

	memset(all_nulls, true, sizeof(bool) * desc->natts);
	for (int i = 0; i < LEDGER_COLUMNS; i++)
	{
		all[movement->ledger->column[i] - 1] = values[i];
		all_nulls[movement->ledger->column[i] - 1] = nulls[i];
	}
	return HeapTupleGetDatum(heap_form_tuple(desc, all, all_nulls));
}

/*
 * The row of an entry
 */
static Datum
entry_row(const Movement *movement, const PointsEntry *entry)
{
	Datum values[LEDGER_COLUMNS];
	bool nulls[LEDGER_COLUMNS];

	ledger_to_values(movement->ledger, entry, values, nulls);
	return form_row(movement, values, nulls);
}

/*
 * The row of the entry that the movement repeats, wherever it is. None is there when it was a trigger of the user's that skipped
 * the row; then the check of heads raises at commit.
 */
static Datum
repeated_row(Movement *movement)
{
	const PointsEntry *entry = &movement->entry;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	Datum keys[5] = {Int64GetDatum(entry->customer_id),
					 CStringGetTextDatum(entry->program),
					 CStringGetTextDatum(points_kind_names[entry->kind]),
					 CStringGetTextDatum(entry->reference),
					 CStringGetTextDatum(entry->source)};
	Datum values[LEDGER_COLUMNS];
	bool nulls[LEDGER_COLUMNS];
	StringInfoData sql;
	Datum row = (Datum) 0;

	initStringInfo(&sql);
	for (int i = 0; i < LEDGER_COLUMNS; i++)
		appendStringInfo(&sql, "%s e.%s", i == 0 ? "SELECT" : ",", ledger_column_names[i]);
	appendStringInfoString(&sql,
						   " FROM @points_entry_all e WHERE e.customer_id OPERATOR(pg_catalog.=) $1 "
						   "AND e.program OPERATOR(pg_catalog.=) $2 AND e.kind OPERATOR(pg_catalog.=) $3 "
						   "AND e.reference OPERATOR(pg_catalog.=) $4 AND e.source OPERATOR(pg_catalog.=) $5");
	run_plan(movement,
			 PLAN_REPEATED,
			 sql.data,
			 5,
			 (Oid[]){INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID},
			 keys,
			 NULL,
			 SPI_OK_SELECT);
	if (SPI_processed > 0)
	{
		heap_deform_tuple(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, values, nulls);
		old = MemoryContextSwitchTo(caller);
		row = form_row(movement, values, nulls);
		MemoryContextSwitchTo(old);
	}
	end_plan(movement);
	return row;
}

/*
 * Post without a statement
 */
static Datum
post_direct(Movement *movement)
{
	Relation rel = movement->rel;
	LedgerAccount account;
	PointsEntry *entry = &movement->entry;
	PointsEntry found;
	LedgerResult result;
	HeapTuple row = NULL;
	StoreOwner owner;

	PreventCommandIfReadOnly("INSERT");
	PreventCommandIfParallelMode("INSERT");
	/* What the calling statement did before is seen, as a statement in a function would. */
	CommandCounterIncrement();
	ledger_check_movement(rel, entry, movement->given);
	store_user_begin(rel, &owner);
	result = ledger_move(movement->ledger, rel, &account, entry, movement->given, &found);
	if (result == LEDGER_POSTED)
		row = ledger_direct_insert(movement->ledger, rel, account.entries, entry);
	store_user_end(&owner);
	if (result == LEDGER_REPLAYED)
		return found.has_hash ? entry_row(movement, &found) : repeated_row(movement);
	if (movement->note != NULL)
		keep_note(movement, entry->seq);
	return row != NULL ? heap_copy_tuple_as_datum(row, RelationGetDescr(rel)) : entry_row(movement, entry);
}

/*
 * Post by a statement: the gate does it
 */
static Datum
post_by_statement(Movement *movement)
{
	static const LedgerColumn columns[12] = {COL_CUSTOMER_ID,
											 COL_PROGRAM,
											 COL_KIND,
											 COL_POINTS,
											 COL_SOURCE,
											 COL_REFERENCE,
											 COL_OCCURRED_AT,
											 COL_NOTE_HASH,
											 COL_EXPIRES_AT,
											 COL_AVAILABLE_AT,
											 COL_REVERSES,
											 COL_DETAIL};
	PointsEntry *entry = &movement->entry;
	const bool *given = movement->given;
	Datum values[LEDGER_COLUMNS];
	bool unused[LEDGER_COLUMNS];
	Datum args[12];
	char nulls[13] = "            ";
	PointsEntry filled = *entry;
	Datum row;
	int64 seq;
	bool isnull;

	/* Values that are not given stand for null and are not looked at. */
	if (!given[COL_PROGRAM])
		filled.program = "";
	if (!given[COL_SOURCE])
		filled.source = "";
	ledger_to_values(movement->ledger, &filled, values, unused);
	for (int i = 0; i < 12; i++)
	{
		args[i] = values[columns[i]];
		nulls[i] = given[columns[i]] ? ' ' : 'n';
	}
	run_plan(movement,
			 PLAN_INSERT,
			 "INSERT INTO @points_entry (customer_id, program, kind, points, source, reference, occurred_at, note_hash, "
			 "expires_at, available_at, reverses, detail) "
			 "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING *",
			 12,
			 (Oid[]){INT8OID,
					 TEXTOID,
					 TEXTOID,
					 INT8OID,
					 TEXTOID,
					 TEXTOID,
					 TIMESTAMPTZOID,
					 BYTEAOID,
					 TIMESTAMPTZOID,
					 TIMESTAMPTZOID,
					 INT8OID,
					 JSONBOID},
			 args,
			 nulls,
			 SPI_OK_INSERT_RETURNING);
	if (SPI_processed == 0)
	{
		end_plan(movement);
		return repeated_row(movement);
	}
	row = PointerGetDatum(SPI_returntuple(SPI_tuptable->vals[0], SPI_tuptable->tupdesc));
	seq = DatumGetInt64(
		SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, SPI_fnumber(SPI_tuptable->tupdesc, "seq"), &isnull));
	end_plan(movement);
	if (movement->note != NULL)
		keep_note(movement, seq);
	return row;
}

/*
 * Ask for the entry that is reversed by a statement: in a distributed ledger, or when it may be in the archive
 */
static void
target_by_statement(Movement *movement)
{
	const Verb *verb = movement->verb;
	const char *reference = movement->target;
	PointsEntry *entry = &movement->entry;
	MemoryContext caller = CurrentMemoryContext;
	Datum names[2];
	Datum values[5];
	char nulls[6] = "     ";
	bool isnull;

	for (int i = 0; i < verb->reversed_count; i++)
		names[i] = CStringGetTextDatum(points_kind_names[verb->reversed[i]]);
	values[0] = Int64GetDatum(entry->customer_id);
	values[1] = movement->given[COL_PROGRAM] ? CStringGetTextDatum(entry->program) : (Datum) 0;
	values[2] = PointerGetDatum(construct_array(names, verb->reversed_count, TEXTOID, -1, false, TYPALIGN_INT));
	values[3] = movement->given[COL_SOURCE] ? CStringGetTextDatum(entry->source) : (Datum) 0;
	values[4] = reference != NULL ? CStringGetTextDatum(reference) : (Datum) 0;
	nulls[0] = movement->given[COL_CUSTOMER_ID] ? ' ' : 'n';
	nulls[1] = movement->given[COL_PROGRAM] ? ' ' : 'n';
	nulls[3] = movement->given[COL_SOURCE] ? ' ' : 'n';
	nulls[4] = reference != NULL ? ' ' : 'n';
	run_plan(movement,
			 PLAN_TARGET,
			 "SELECT t.seq::pg_catalog.int8, t.source FROM @points_target($1, $2, $3, $4, $5) t",
			 5,
			 (Oid[]){INT8OID, TEXTOID, TEXTARRAYOID, TEXTOID, TEXTOID},
			 values,
			 nulls,
			 SPI_OK_SELECT);
	entry->reverses = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	entry->source = MemoryContextStrdup(caller, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2));
	end_plan(movement);
}

/*
 * Find the entry that is reversed, which is of the first of these kinds that has one: as the store's points_target
 */
void
verb_find_target(Movement *movement)
{
	const Verb *verb = movement->verb;
	const char *reference = movement->target;
	PointsEntry *entry = &movement->entry;
	const bool *given = movement->given;
	LedgerAccount account = {.customer_id = entry->customer_id, .program = entry->program};
	PointsEntry found;
	bool any = false;

	if (!movement->direct || ledger_archive_any(movement->rel))
	{
		target_by_statement(movement);
		return;
	}
	if (given[COL_CUSTOMER_ID] && given[COL_PROGRAM] && reference != NULL)
	{
		for (int i = 0; !any && i < verb->reversed_count; i++)
			any = ledger_find_reference(
				movement->ledger, movement->rel, &account, verb->reversed[i], entry->source, reference, &found);
	}
	if (!any)
		ereport(ERROR,
				(errcode(ERRCODE_POINTS_NO_TARGET),
				 errmsg("there is no entry of kind %s%s%s with this reference",
						points_kind_names[verb->reversed[0]],
						verb->reversed_count > 1 ? " or " : "",
						verb->reversed_count > 1 ? points_kind_names[verb->reversed[1]] : ""),
				 errdetail("customer %s, program %s, source %s, reference %s",
						   given[COL_CUSTOMER_ID] ? psprintf(INT64_FORMAT, entry->customer_id) : "",
						   given[COL_PROGRAM] ? entry->program : "",
						   given[COL_SOURCE] ? entry->source : "(any)",
						   reference != NULL ? reference : ""),
				 errhint("Give the customer, program and reference that the points were posted with.")));
	entry->reverses = found.seq;
	entry->source = found.source;
}

/*
 * Post a movement, and give its row
 */
Datum
verb_post(Movement *movement)
{
	if (movement->note != NULL)
		hash_note(movement);
	return movement->direct ? post_direct(movement) : post_by_statement(movement);
}
