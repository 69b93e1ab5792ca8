/*
 * The verbs that post one movement: the language crm_points, whose functions are verbs.
 */
#include "points/verb.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* Types of arguments, in the order of VerbArgument. */
static const Oid argument_types[] = {INT8OID,		 TEXTOID,		 INT8OID,		 TEXTOID, TEXTOID, TEXTOID,
									 TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, JSONBOID};

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

/* Verbs that were found, each where its OID says; valid until any function changes. */
#define KEPT_VERBS 16
static struct
{
	const Verb *verb;
	Oid function;
	Oid ledger;
} kept[KEPT_VERBS];

static void
forget_verbs(Datum arg, int cacheid, uint32 hashvalue)
{
	memset(kept, 0, sizeof(kept));
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
 * The same, from what was found before
 */
static const Verb *
find_kept_verb(Oid function, Oid *ledger)
{
	static bool registered;
	int at = function % KEPT_VERBS;
	const Verb *verb;

	if (!registered)
	{
		CacheRegisterSyscacheCallback(PROCOID, forget_verbs, (Datum) 0);
		registered = true;
	}
	if (kept[at].function == function && kept[at].verb != NULL)
	{
		*ledger = kept[at].ledger;
		return kept[at].verb;
	}
	kept[at].function = function;
	kept[at].verb = NULL;
	verb = find_verb(function, ledger);
	/* Not when it was forgotten meanwhile. */
	if (kept[at].function == function)
	{
		kept[at].verb = verb;
		kept[at].ledger = *ledger;
	}
	return verb;
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
				given[COL_DETAIL] = entry->detail_asked = true;
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

	movement.verb = find_kept_verb(fcinfo->flinfo->fn_oid, &ledger);
	movement.rel = open_entries(ledger);
	movement.ledger = ledger_open(movement.rel);
	movement.direct = verb_is_direct(&movement);
	read_arguments(fcinfo, &movement);
	if (movement.verb->reversed_count > 0)
	{
		verb_find_target(&movement);
		if (!movement.given[COL_REFERENCE])
			movement.entry.reference = movement.target;
		movement.given[COL_REFERENCE] = movement.given[COL_SOURCE] = movement.given[COL_REVERSES] = true;
	}
	row = verb_post(&movement);
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
