#include "points/points.h"

#include "access/table.h"
#include "base/store.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/event_trigger.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "storage/bufmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/*
 * Is this a table that a ledger keeps: has it a trigger of the kit that guards one? Triggers made by the kit alone have these
 * functions, whatever the table is called.
 */
static bool
is_ledger_table(Oid relid)
{
	static const char *const functions[] = {"points_gate", "points_immutable", "points_guard"};
	Relation rel;
	bool found = false;

	if (!OidIsValid(relid) || (get_rel_relkind(relid) != RELKIND_RELATION && get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE))
		return false;
	rel = table_open(relid, AccessShareLock);
	for (int i = 0; !found && rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		Oid function = rel->trigdesc->triggers[i].tgfoid;
		char *schema = get_namespace_name(get_func_namespace(function));
		char *name = get_func_name(function);

		for (int f = 0; f < lengthof(functions); f++)
			found |= schema != NULL && name != NULL && strcmp(schema, CRM_SCHEMA) == 0 && strcmp(name, functions[f]) == 0;
	}
	table_close(rel, AccessShareLock);
	return found;
}

/*
 * Has a table rows? Looked at by its size: a ledger table is never emptied. Those of a distributed table lie elsewhere.
 */
static bool
has_rows(Oid relid)
{
	Relation rel = table_open(relid, AccessShareLock);
	bool rows =
		rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE || store_is_distributed(relid) || RelationGetNumberOfBlocks(rel) > 0;

	table_close(rel, AccessShareLock);
	return rows;
}

/*
 * What an ALTER TABLE does that takes the ledger's protection away, or NULL
 */
static const char *
forbidden_alteration(AlterTableStmt *stmt)
{
	ListCell *cell;

	foreach (cell, stmt->cmds)
	{
		switch (((AlterTableCmd *) lfirst(cell))->subtype)
		{
			case AT_DisableTrig:
			case AT_DisableTrigAll:
			case AT_DisableTrigUser:
			case AT_EnableReplicaTrig:
				return "DISABLE TRIGGER";
			case AT_AlterColumnType:
				return "ALTER COLUMN TYPE";
			case AT_DropColumn:
				return "DROP COLUMN";
			default:
				break;
		}
	}
	return NULL;
}

static Oid
named_table(List *names)
{
	return RangeVarGetRelid(makeRangeVarFromNameList(names), NoLock, true);
}

/*
 * Event trigger at ddl_command_start: keeps the owner of a ledger from taking its protection away
 */
PG_FUNCTION_INFO_V1(points_ddl_guard);
Datum
points_ddl_guard(PG_FUNCTION_ARGS)
{
	EventTriggerData *data = (EventTriggerData *) fcinfo->context;
	const char *what = NULL;
	Oid relid = InvalidOid;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"points_ddl_guard\" was not called as an event trigger")));
	if (IsA(data->parsetree, AlterTableStmt))
	{
		AlterTableStmt *stmt = (AlterTableStmt *) data->parsetree;

		what = forbidden_alteration(stmt);
		if (what != NULL)
			relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	}
	else if (IsA(data->parsetree, RuleStmt))
	{
		what = "CREATE RULE";
		relid = RangeVarGetRelid(((RuleStmt *) data->parsetree)->relation, NoLock, true);
	}
	else if (IsA(data->parsetree, DropStmt))
	{
		DropStmt *stmt = (DropStmt *) data->parsetree;
		ListCell *cell;

		foreach (cell, stmt->objects)
		{
			Oid table = InvalidOid;

			if (stmt->removeType == OBJECT_TRIGGER && list_length((List *) lfirst(cell)) > 1)
				table = named_table(list_truncate(list_copy((List *) lfirst(cell)), list_length((List *) lfirst(cell)) - 1));
			else if (stmt->removeType == OBJECT_TABLE)
				table = named_table((List *) lfirst(cell));
			if (!is_ledger_table(table) || (stmt->removeType == OBJECT_TABLE && !has_rows(table)))
				continue;
			what = stmt->removeType == OBJECT_TRIGGER ? "DROP TRIGGER" : "DROP TABLE";
			relid = table;
		}
	}
	if (what == NULL || !is_ledger_table(relid))
		PG_RETURN_NULL();
	if (superuser())
		ereport(LOG,
				(errmsg("superuser \"%s\" runs %s on table \"%s\" of a points ledger",
						GetUserNameFromId(GetUserId(), false),
						what,
						get_rel_name(relid))));
	else
		ereport(ERROR,
				(errcode(ERRCODE_POINTS_IMMUTABLE),
				 errmsg("%s is refused on table \"%s\" of a points ledger", what, get_rel_name(relid)),
				 errhint("The ledger is append-only for its owner too; a superuser may do it, which is logged.")));
	PG_RETURN_NULL();
}
