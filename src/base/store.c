#include "base/store.h"

#include <ctype.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_namespace.h"
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

		/* A key to a partitioned table has a child for each partition of that. */
		if (con->contype != CONSTRAINT_FOREIGN || OidIsValid(con->conparentid))
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
	{
		check_owner(rel, found);
		store_check_shape(found, name);
	}
	return found;
}

/*
 * Citus names a shard after its table and its number in pg_dist_shard. That catalog is read as it is, so that nothing here needs
 * Citus; and it is looked at only for a table whose name ends so.
 */
#define SHARD_RELID 1
#define SHARD_ID 2

/* A row of pg_dist_shard. */
typedef struct Shard
{
	Oid table;
	int64 id;
	char *min; /* least hash that it holds; NULL of a table that has one shard */
} Shard;

/*
 * Read the shard of this number, or the shard of a table that begins at min
 */
static bool
find_shard(Oid catalog, int64 id, Oid table, const char *min, Shard *shard)
{
	Relation shards = table_open(catalog, AccessShareLock);
	const char *index = id != 0 ? "pg_dist_shard_shardid_index" : "pg_dist_shard_logical_relid_index";
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	AttrNumber min_column = get_attnum(catalog, "shardminvalue");
	bool found = false;

	if (id != 0)
		ScanKeyInit(&key, SHARD_ID, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	else
		ScanKeyInit(&key, SHARD_RELID, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(table));
	scan = systable_beginscan(shards, get_relname_relid(index, PG_CATALOG_NAMESPACE), true, NULL, 1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool isnull;
		bool min_isnull;
		Datum min_datum = heap_getattr(tuple, min_column, RelationGetDescr(shards), &min_isnull);

		shard->table = DatumGetObjectId(heap_getattr(tuple, SHARD_RELID, RelationGetDescr(shards), &isnull));
		shard->id = DatumGetInt64(heap_getattr(tuple, SHARD_ID, RelationGetDescr(shards), &isnull));
		shard->min = min_isnull ? NULL : TextDatumGetCString(min_datum);
		found = id != 0 || shard->min == NULL || (min != NULL && strcmp(min, shard->min) == 0);
	}
	systable_endscan(scan);
	table_close(shards, AccessShareLock);
	return found;
}

/*
 * Which shard is this relation, if any? *catalog becomes pg_dist_shard.
 */
static bool
find_own_shard(Relation rel, Oid *catalog, Shard *shard)
{
	const char *name = RelationGetRelationName(rel);
	const char *digits = name + strlen(name);
	char *table;
	int64 id;

	while (digits > name && isdigit((unsigned char) digits[-1]))
		digits--;
	if (*digits == '\0' || strlen(digits) > 18 || digits < name + 2 || digits[-1] != '_')
		return false;
	*catalog = get_relname_relid("pg_dist_shard", PG_CATALOG_NAMESPACE);
	id = strtoll(digits, NULL, 10);
	if (!OidIsValid(*catalog) || id == 0 || !find_shard(*catalog, id, InvalidOid, NULL, shard))
		return false;
	table = get_rel_name(shard->table);
	return table != NULL && get_rel_namespace(shard->table) == RelationGetNamespace(rel) &&
		   strlen(table) == digits - 1 - name && strncmp(name, table, strlen(table)) == 0;
}

bool
store_is_shard(Relation rel)
{
	Oid catalog;
	Shard shard;

	return find_own_shard(rel, &catalog, &shard);
}

Oid
store_sibling_if_any(Relation rel, const char *name)
{
	Oid relid = get_relname_relid(name, RelationGetNamespace(rel));
	Oid catalog;
	Shard own;
	Shard shard;

	if (OidIsValid(relid) && find_own_shard(rel, &catalog, &own) && find_shard(catalog, 0, relid, own.min, &shard))
		relid = get_relname_relid(psprintf("%s_" INT64_FORMAT, name, shard.id), RelationGetNamespace(rel));
	if (OidIsValid(relid))
		store_check_shape(relid, name);
	return relid;
}

/*
 * The schema in which the functions beside rel stand: of a shard, the part of its store with the same customers
 */
static Oid
function_schema(Relation rel)
{
	Oid customer = get_relname_relid("customer", RelationGetNamespace(rel));
	Oid catalog;
	Shard own;
	Shard shard;
	Oid part;

	if (!OidIsValid(customer) || !find_own_shard(rel, &catalog, &own) || !find_shard(catalog, 0, customer, own.min, &shard))
		return RelationGetNamespace(rel);
	part = get_namespace_oid(
		psprintf("%s_part_" INT64_FORMAT, get_namespace_name(RelationGetNamespace(rel)), shard.id), true);
	return OidIsValid(part) ? part : RelationGetNamespace(rel);
}

bool
store_runs_here(Relation rel)
{
	return !store_is_shard(rel) || function_schema(rel) != RelationGetNamespace(rel);
}

char *
store_query(Relation rel, const char *query)
{
	StringInfoData text;

	initStringInfo(&text);
	while (*query)
	{
		const char *end = query + 1;
		char *name;
		Oid relid;

		if (*query != '@')
		{
			appendStringInfoChar(&text, *query++);
			continue;
		}
		while (isalnum((unsigned char) *end) || *end == '_')
			end++;
		name = pnstrdup(query + 1, end - query - 1);
		relid = store_sibling_if_any(rel, name);
		appendStringInfoString(&text,
							   OidIsValid(relid)
								   ? store_qualified_name(relid)
								   : quote_qualified_identifier(get_namespace_name(function_schema(rel)), name));
		query = end;
	}
	return text.data;
}

Oid
store_sibling_table(Relation rel, const char *name)
{
	Oid relid = store_sibling_if_any(rel, name);

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

bool
store_is_distributed(Oid relid)
{
	Oid catalog = get_relname_relid("pg_dist_partition", PG_CATALOG_NAMESPACE);
	Relation tables;
	ScanKeyData key;
	SysScanDesc scan;
	bool found;

	if (!OidIsValid(catalog))
		return false;
	tables = table_open(catalog, AccessShareLock);
	ScanKeyInit(&key, SHARD_RELID, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(tables, get_relname_relid("pg_dist_partition_logical_relid_index", PG_CATALOG_NAMESPACE), true, NULL, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(tables, AccessShareLock);
	return found;
}

void
store_refuse_distributed(Relation rel, const char *hint)
{
	if (store_is_distributed(RelationGetRelid(rel)))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" is distributed, and this works on one shard at a time", RelationGetRelationName(rel)),
				 errhint("%s", hint)));
}

/*
 * Is a table distributed? See is_distributed in the kit
 */
PG_FUNCTION_INFO_V1(is_distributed);
Datum
is_distributed(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(store_is_distributed(PG_GETARG_OID(0)));
}

/*
 * Is a table a shard? See is_shard in the kit
 */
PG_FUNCTION_INFO_V1(is_shard);
Datum
is_shard(PG_FUNCTION_ARGS)
{
	Relation rel = relation_open(PG_GETARG_OID(0), AccessShareLock);
	bool shard = store_is_shard(rel);

	relation_close(rel, AccessShareLock);
	PG_RETURN_BOOL(shard);
}

/*
 * The name of a table; of a shard, that of its table. See table_name in the kit
 */
PG_FUNCTION_INFO_V1(table_name);
Datum
table_name(PG_FUNCTION_ARGS)
{
	Relation rel = relation_open(PG_GETARG_OID(0), AccessShareLock);
	Oid catalog;
	Shard shard;
	char *name = find_own_shard(rel, &catalog, &shard) ? get_rel_name(shard.table) : pstrdup(RelationGetRelationName(rel));

	relation_close(rel, AccessShareLock);
	PG_RETURN_TEXT_P(cstring_to_text(name));
}

/*
 * Is a table partitioned? See is_partitioned in the kit
 */
PG_FUNCTION_INFO_V1(is_partitioned);
Datum
is_partitioned(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(get_rel_relkind(PG_GETARG_OID(0)) == RELKIND_PARTITIONED_TABLE);
}

/*
 * The shard of another table beside a shard. See shard_sibling in the kit
 */
PG_FUNCTION_INFO_V1(shard_sibling);
Datum
shard_sibling(PG_FUNCTION_ARGS)
{
	Relation rel = relation_open(PG_GETARG_OID(0), AccessShareLock);
	Oid sibling = store_sibling_if_any(rel, text_to_cstring(PG_GETARG_TEXT_PP(1)));

	relation_close(rel, AccessShareLock);
	if (!OidIsValid(sibling))
		PG_RETURN_NULL();
	PG_RETURN_OID(sibling);
}

/*
 * The sum of the numbers of the places of a table's shards on the coordinator: another one when a shard was moved or split
 */
static int64
sum_of_places(Oid relid)
{
	Oid shard_catalog = get_relname_relid("pg_dist_shard", PG_CATALOG_NAMESPACE);
	Oid place_catalog = get_relname_relid("pg_dist_placement", PG_CATALOG_NAMESPACE);
	Oid shard_index = get_relname_relid("pg_dist_shard_logical_relid_index", PG_CATALOG_NAMESPACE);
	Oid place_index = get_relname_relid("pg_dist_placement_shardid_index", PG_CATALOG_NAMESPACE);
	Relation shards;
	Relation places;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	int64 sum = 0;

	if (!OidIsValid(shard_catalog) || !OidIsValid(place_catalog))
		return 0;
	shards = table_open(shard_catalog, AccessShareLock);
	places = table_open(place_catalog, AccessShareLock);
	ScanKeyInit(&key, SHARD_RELID, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(shards, shard_index, OidIsValid(shard_index), NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool isnull;
		Datum id = heap_getattr(tuple, SHARD_ID, RelationGetDescr(shards), &isnull);
		ScanKeyData place_key;
		SysScanDesc place_scan;
		HeapTuple place;

		ScanKeyInit(&place_key, get_attnum(place_catalog, "shardid"), BTEqualStrategyNumber, F_INT8EQ, id);
		place_scan = systable_beginscan(places, place_index, OidIsValid(place_index), NULL, 1, &place_key);
		while (HeapTupleIsValid(place = systable_getnext(place_scan)))
			sum += DatumGetInt64(
				heap_getattr(place, get_attnum(place_catalog, "placementid"), RelationGetDescr(places), &isnull));
		systable_endscan(place_scan);
	}
	systable_endscan(scan);
	table_close(places, AccessShareLock);
	table_close(shards, AccessShareLock);
	return sum;
}

/*
 * Where the shards of a table are, as one number. See parts_placed in the kit
 */
PG_FUNCTION_INFO_V1(parts_placed);
Datum
parts_placed(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(sum_of_places(PG_GETARG_OID(0)));
}

/*
 * Is this the coordinator, as Citus numbers its nodes?
 */
static bool
is_coordinator(void)
{
	Oid catalog = get_relname_relid("pg_dist_local_group", PG_CATALOG_NAMESPACE);
	Relation rel;
	SysScanDesc scan;
	HeapTuple tuple;
	bool isnull;
	bool coordinator = false;

	if (!OidIsValid(catalog))
		return false;
	rel = table_open(catalog, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
		coordinator = DatumGetInt32(heap_getattr(tuple, 1, RelationGetDescr(rel), &isnull)) == 0;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return coordinator;
}

/*
 * Is there a shard of this table here that is a table itself?
 */
static bool
has_plain_shard(Oid relid)
{
	Oid catalog = get_relname_relid("pg_dist_shard", PG_CATALOG_NAMESPACE);
	Oid index = get_relname_relid("pg_dist_shard_logical_relid_index", PG_CATALOG_NAMESPACE);
	const char *name = get_rel_name(relid);
	Relation shards;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	bool found = false;

	if (!OidIsValid(catalog) || name == NULL)
		return false;
	shards = table_open(catalog, AccessShareLock);
	ScanKeyInit(&key, SHARD_RELID, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(shards, index, OidIsValid(index), NULL, 1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool isnull;
		int64 id = DatumGetInt64(heap_getattr(tuple, SHARD_ID, RelationGetDescr(shards), &isnull));
		Oid shard = get_relname_relid(psprintf("%s_" INT64_FORMAT, name, id), get_rel_namespace(relid));

		found = OidIsValid(shard) && get_rel_relkind(shard) != RELKIND_VIEW;
	}
	systable_endscan(scan);
	table_close(shards, AccessShareLock);
	return found;
}

/*
 * Are the parts that a view is read from where they were made? See shows_parts in the kit
 */
PG_FUNCTION_INFO_V1(shows_parts);
Datum
shows_parts(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);

	/*
	 * Citus moves a shard as the empty table that it was made as. The coordinator knows that one was moved, since its place has
	 * another number then, which is not so on the other nodes; those see what stands there.
	 */
	if (is_coordinator() ? sum_of_places(relid) != PG_GETARG_INT64(1) : has_plain_shard(relid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("shards of \"%s\" are no longer where they showed parts of the store", get_rel_name(relid)),
				 errhint("SELECT * FROM crm.make_parts('%s') on the coordinator makes the parts anew, after a shard was moved.",
						 get_namespace_name(get_rel_namespace(relid)))));
	PG_RETURN_BOOL(true);
}
