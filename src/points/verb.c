/*
 * The verbs that post one movement: earn, redeem, hold, capture, release, refund, restore, mature. They go through the same
 * code as the gate, without a statement for the row. Where a statement has to be heeded, because of what a user put on the
 * tables or may not do, they insert the row by one, and the gate does the rest.
 */
#include "points/ledger.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "base/store.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#define SALT_SIZE 16

/* Statements of the verbs. */
#define PLAN_INSERT 0
#define PLAN_REPEATED 1
#define PLAN_TARGET 2
#define PLAN_NOTE 3

/* What the arguments of verbs are. */
typedef enum VerbArgument
{
	ARG_CUSTOMER,
	ARG_TARGET, /* reference of the entry that is reversed */
	ARG_POINTS,
	ARG_SOURCE,
	ARG_REFERENCE,
	ARG_PROGRAM,
	ARG_EXPIRES_AT,
	ARG_AVAILABLE_AT,
	ARG_AS_OF,
	ARG_NOTE,
	ARG_DETAIL
} VerbArgument;

static const Oid argument_types[] = {INT8OID,		 TEXTOID,		 INT8OID,		 TEXTOID, TEXTOID, TEXTOID,
									 TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, JSONBOID};

/* A verb: its arguments in order, and the kinds of which it reverses an entry. */
typedef struct Verb
{
	PointsKind kind;
	int count;
	VerbArgument argument[10];
	int reversed_count;
	PointsKind reversed[2];
} Verb;

static const Verb verbs[] = {
	{POINTS_EARN,
	 10,
	 {ARG_CUSTOMER, ARG_POINTS, ARG_SOURCE, ARG_REFERENCE, ARG_PROGRAM, ARG_EXPIRES_AT, ARG_AVAILABLE_AT, ARG_AS_OF, ARG_NOTE, ARG_DETAIL}},
	{POINTS_REDEEM, 8, {ARG_CUSTOMER, ARG_POINTS, ARG_SOURCE, ARG_REFERENCE, ARG_PROGRAM, ARG_AS_OF, ARG_NOTE, ARG_DETAIL}},
	{POINTS_HOLD, 8, {ARG_CUSTOMER, ARG_POINTS, ARG_SOURCE, ARG_REFERENCE, ARG_PROGRAM, ARG_EXPIRES_AT, ARG_AS_OF, ARG_NOTE}},
	{POINTS_CAPTURE, 7, {ARG_CUSTOMER, ARG_TARGET, ARG_POINTS, ARG_SOURCE, ARG_PROGRAM, ARG_AS_OF, ARG_NOTE}, 1, {POINTS_HOLD}},
	{POINTS_RELEASE, 6, {ARG_CUSTOMER, ARG_TARGET, ARG_SOURCE, ARG_PROGRAM, ARG_AS_OF, ARG_NOTE}, 1, {POINTS_HOLD}},
	{POINTS_REFUND,
	 8,
	 {ARG_CUSTOMER, ARG_TARGET, ARG_POINTS, ARG_SOURCE, ARG_REFERENCE, ARG_PROGRAM, ARG_AS_OF, ARG_NOTE},
	 1,
	 {POINTS_EARN}},
	{POINTS_RESTORE,
	 8,
	 {ARG_CUSTOMER, ARG_TARGET, ARG_POINTS, ARG_SOURCE, ARG_REFERENCE, ARG_PROGRAM, ARG_AS_OF, ARG_NOTE},
	 2,
	 {POINTS_REDEEM, POINTS_CAPTURE}},
	{POINTS_MATURE,
	 8,
	 {ARG_CUSTOMER, ARG_TARGET, ARG_SOURCE, ARG_REFERENCE, ARG_PROGRAM, ARG_AVAILABLE_AT, ARG_AS_OF, ARG_NOTE},
	 1,
	 {POINTS_EARN}}};

/* What a verb posts. */
typedef struct Movement
{
	const Verb *verb;
	Relation rel;
	Ledger *ledger;
	bool direct; /* without a statement */
	PointsEntry entry;
	bool given[LEDGER_COLUMNS];
	text *note;
	const char *target; /* reference of the entry that is reversed */
	uint8 salt[SALT_SIZE];
} Movement;

/*
 * May the row be written without a statement? It asks of the caller what the statement would.
 */
static bool
may_write(const Movement *movement)
{
	Relation rel = movement->rel;
	const AclMode mode = ACL_INSERT | ACL_SELECT;

	return ledger_direct(movement->ledger) &&
		   pg_class_aclmask(RelationGetRelid(rel), GetUserId(), mode, ACLMASK_ALL) == mode &&
		   (!rel->rd_rel->relrowsecurity || check_enable_rls(RelationGetRelid(rel), InvalidOid, true) != RLS_ENABLED) &&
		   !store_is_distributed(RelationGetRelid(rel));
}

/*
 * Run one of the verbs' statements, prepared at its first use, in a connection to SPI. It has the caller's search_path, as
 * triggers of the user's may expect.
 */
static void
run_plan(Movement *movement, int which, const char *sql, int count, Oid *types, Datum *values, const char *nulls, int expected)
{
	Ledger *ledger = movement->ledger;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (ledger->verb[which] == NULL)
		ledger->verb[which] = ledger_prepare(store_query(movement->rel, sql), count, types);
	ledger_run(ledger, ledger->verb[which], values, nulls, expected);
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
	if (!pg_strong_random(movement->salt, SALT_SIZE))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	salted = palloc(SALT_SIZE + length);
	memcpy(salted, movement->salt, SALT_SIZE);
	memcpy(salted + SALT_SIZE, utf8, length);
	points_sha256(salted, SALT_SIZE + length, movement->entry.note_hash);
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
					   PointerGetDatum(cstring_to_text_with_len((const char *) movement->salt, SALT_SIZE)),
					   PointerGetDatum(movement->note)};

	run_plan(movement,
			 PLAN_NOTE,
			 "INSERT INTO @points_note (customer_id, program, seq, salt, note) VALUES ($1, $2, $3, $4, $5)",
			 5,
			 (Oid[]){INT8OID, TEXTOID, INT8OID, BYTEAOID, TEXTOID},
			 values,
			 NULL,
			 SPI_OK_INSERT);
	SPI_finish();
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
	SPI_finish();
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
	StoreOwner owner;

	PreventCommandIfReadOnly("INSERT");
	PreventCommandIfParallelMode("INSERT");
	/* What the calling statement did before is seen, as a statement in a function would. */
	CommandCounterIncrement();
	ledger_check_movement(rel, entry, movement->given);
	store_user_begin(rel, &owner);
	result = ledger_move(movement->ledger, rel, &account, entry, movement->given, &found);
	if (result == LEDGER_POSTED)
		ledger_insert(movement->ledger, account.entries);
	store_user_end(&owner);
	if (result == LEDGER_REPLAYED)
		return found.has_hash ? entry_row(movement, &found) : repeated_row(movement);
	if (movement->note != NULL)
		keep_note(movement, entry->seq);
	return entry_row(movement, entry);
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
		SPI_finish();
		return repeated_row(movement);
	}
	row = PointerGetDatum(SPI_returntuple(SPI_tuptable->vals[0], SPI_tuptable->tupdesc));
	seq = DatumGetInt64(
		SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, SPI_fnumber(SPI_tuptable->tupdesc, "seq"), &isnull));
	SPI_finish();
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
			 "SELECT t.seq, t.source FROM @points_target($1, $2, $3, $4, $5) t",
			 5,
			 (Oid[]){INT8OID, TEXTOID, TEXTARRAYOID, TEXTOID, TEXTOID},
			 values,
			 nulls,
			 SPI_OK_SELECT);
	entry->reverses = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	entry->source = MemoryContextStrdup(caller, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2));
	SPI_finish();
}

/*
 * Find the entry that is reversed, which is of the first of these kinds that has one: as the store's points_target
 */
static void
find_target(Movement *movement)
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

static void
refuse_signature(Form_pg_proc proc)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
			 errmsg("function \"%s\" has not the arguments and result of its verb", NameStr(proc->proname)),
			 errhint("It has those of the function of that name in a store, and gives a row of its table points_entry.")));
}

/*
 * The verb that a function is, with the table of its ledger; raises when it is none. Whoever may make functions may try, and
 * nobody else looks at what they made.
 */
static const Verb *
find_verb(Oid function, Oid *ledger)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc proc;
	const Verb *found = NULL;
	char *name;
	bool isnull;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	name = TextDatumGetCString(SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull));
	for (int i = 0; found == NULL && i < lengthof(verbs); i++)
	{
		if (strcmp(name, points_kind_names[verbs[i].kind]) == 0)
			found = &verbs[i];
	}
	if (found == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("there is no verb \"%s\"", name),
				 errhint("The body of a function in language crm_points is one of the words earn, redeem, hold, capture, release, "
						 "refund, restore and mature.")));
	*ledger = get_typ_typrelid(proc->prorettype);
	if (proc->prokind != PROKIND_FUNCTION || proc->proretset || !OidIsValid(*ledger) || proc->pronargs != found->count)
		refuse_signature(proc);
	for (int i = 0; i < found->count; i++)
	{
		if (proc->proargtypes.values[i] != argument_types[found->argument[i]])
			refuse_signature(proc);
	}
	pfree(name);
	ReleaseSysCache(tuple);
	return found;
}

/*
 * Open the table of the entries, which the caller may insert into, if only some columns
 */
static Relation
open_entries(Oid relid)
{
	if (pg_class_aclcheck(relid, GetUserId(), ACL_INSERT) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(relid, GetUserId(), ACL_INSERT, ACLMASK_ANY) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(relid));
	return table_open(relid, RowExclusiveLock);
}

/*
 * Read the arguments of a verb
 */
static void
read_arguments(FunctionCallInfo fcinfo, Movement *movement)
{
	const Verb *verb = movement->verb;
	PointsEntry *entry = &movement->entry;
	bool *given = movement->given;

	entry->kind = verb->kind;
	entry->expires_at = entry->available_at = entry->occurred_at = POINTS_NO_TIME;
	given[COL_KIND] = true;
	for (int i = 0; i < verb->count; i++)
	{
		if (PG_ARGISNULL(i))
			continue;
		switch (verb->argument[i])
		{
			case ARG_CUSTOMER:
				entry->customer_id = PG_GETARG_INT64(i);
				given[COL_CUSTOMER_ID] = true;
				break;
			case ARG_TARGET:
				movement->target = text_to_cstring(PG_GETARG_TEXT_PP(i));
				break;
			case ARG_POINTS:
				entry->points = PG_GETARG_INT64(i);
				given[COL_POINTS] = true;
				break;
			case ARG_SOURCE:
				entry->source = text_to_cstring(PG_GETARG_TEXT_PP(i));
				given[COL_SOURCE] = true;
				break;
			case ARG_REFERENCE:
				entry->reference = text_to_cstring(PG_GETARG_TEXT_PP(i));
				given[COL_REFERENCE] = true;
				break;
			case ARG_PROGRAM:
				entry->program = text_to_cstring(PG_GETARG_TEXT_PP(i));
				given[COL_PROGRAM] = true;
				break;
			case ARG_EXPIRES_AT:
				entry->expires_at = PG_GETARG_TIMESTAMPTZ(i);
				given[COL_EXPIRES_AT] = true;
				break;
			case ARG_AVAILABLE_AT:
				entry->available_at = PG_GETARG_TIMESTAMPTZ(i);
				given[COL_AVAILABLE_AT] = true;
				break;
			case ARG_AS_OF:
				entry->occurred_at = PG_GETARG_TIMESTAMPTZ(i);
				given[COL_OCCURRED_AT] = true;
				break;
			case ARG_NOTE:
				movement->note = PG_GETARG_TEXT_PP(i);
				break;
			case ARG_DETAIL:
				entry->detail = DatumGetCString(DirectFunctionCall1(jsonb_out, PG_GETARG_DATUM(i)));
				given[COL_DETAIL] = true;
				break;
		}
	}
}

/*
 * Call a verb: handler of the language crm_points
 */
PG_FUNCTION_INFO_V1(points_call_verb);
Datum
points_call_verb(PG_FUNCTION_ARGS)
{
	Movement movement = {0};
	Oid ledger;
	Datum row;

	movement.verb = find_verb(fcinfo->flinfo->fn_oid, &ledger);
	movement.rel = open_entries(ledger);
	movement.ledger = ledger_open(movement.rel);
	movement.direct = may_write(&movement);
	read_arguments(fcinfo, &movement);
	if (movement.verb->reversed_count > 0)
	{
		find_target(&movement);
		if (!movement.given[COL_REFERENCE])
			movement.entry.reference = movement.target;
		movement.given[COL_REFERENCE] = movement.given[COL_SOURCE] = movement.given[COL_REVERSES] = true;
	}
	if (movement.note != NULL)
		hash_note(&movement);
	row = movement.direct ? post_direct(&movement) : post_by_statement(&movement);
	table_close(movement.rel, NoLock);
	fcinfo->isnull = row == (Datum) 0;
	return row;
}

/*
 * Refuse a function in the language crm_points that is not a verb: validator of the language
 */
PG_FUNCTION_INFO_V1(points_check_verb);
Datum
points_check_verb(PG_FUNCTION_ARGS)
{
	Oid function = PG_GETARG_OID(0);
	Oid ledger;

	if (CheckFunctionValidatorAccess(fcinfo->flinfo->fn_oid, function))
		(void) find_verb(function, &ledger);
	PG_RETURN_VOID();
}
