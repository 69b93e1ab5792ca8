#include "base/store.h"

#include <ctype.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/*
 * Raise unless the table has the owner of rel
 */
static void
check_owner(Relation rel, Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	if (owner != rel->rd_rel->relowner)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("table \"%s\" and table \"%s\" have different owners",
						RelationGetRelationName(rel),
						get_rel_name(relid)),
				 errhint("All tables of a store belong to one role.")));
}

Oid
store_referenced_table(Relation rel, const char *name)
{
	Oid relid = RelationGetRelid(rel);
	Oid found = InvalidOid;
	Relation constraints;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple tuple;

	/* Of a partition, the root's foreign keys are the ones that name the siblings. */
	if (rel->rd_rel->relispartition)
		relid = llast_oid(get_partition_ancestors(relid));

	constraints = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(constraints, ConstraintRelidTypidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint con = (Form_pg_constraint) GETSTRUCT(tuple);
		char *candidate;

		if (con->contype != CONSTRAINT_FOREIGN)
			continue;
		candidate = get_rel_name(con->confrelid);
		if (candidate != NULL && strncmp(candidate, name, strlen(name)) == 0 &&
			(candidate[strlen(name)] == '\0' ||
			 (candidate[strlen(name)] == '_' && isdigit((unsigned char) candidate[strlen(name) + 1]))))
		{
			found = con->confrelid;
			break;
		}
	}
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);

	if (OidIsValid(found))
		check_owner(rel, found);
	return found;
}

Oid
store_sibling_table(Relation rel, const char *name)
{
	Oid relid = get_relname_relid(name, RelationGetNamespace(rel));

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s\" is missing beside table \"%s\"", name, RelationGetRelationName(rel)),
				 errhint("All tables of a store stand in one schema; see crm.health().")));
	check_owner(rel, relid);
	return relid;
}

char *
store_qualified_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

AttrNumber
store_column(Relation rel, const char *name)
{
	AttrNumber attnum = get_attnum(RelationGetRelid(rel), name);

	if (attnum == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" is missing", name, RelationGetRelationName(rel)),
				 errhint("A store's own columns must not be dropped or renamed.")));
	return attnum;
}

void
store_user_begin(Relation rel, StoreOwner *saved)
{
	GetUserIdAndSecContext(&saved->user, &saved->security_context);
	SetUserIdAndSecContext(rel->rd_rel->relowner, saved->security_context | SECURITY_LOCAL_USERID_CHANGE);
}

void
store_user_end(StoreOwner *saved)
{
	SetUserIdAndSecContext(saved->user, saved->security_context);
}

void
store_owner_begin(Relation rel, StoreOwner *saved)
{
	store_user_begin(rel, saved);
	saved->guc_level = NewGUCNestLevel();
	(void) set_config_option(
		"search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

void
store_owner_end(StoreOwner *saved)
{
	AtEOXact_GUC(true, saved->guc_level);
	store_user_end(saved);
}
