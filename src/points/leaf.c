/*
 * A points_entry that is partitioned by hash of customer_id: all entries of a customer stand in one partition.
 */
#include "points/ledger.h"

#include "access/table.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/builtins.h"
#include "utils/partcache.h"
#include "utils/rel.h"

/*
 * The partition that keeps a customer's entries, not opened
 */
static Oid
leaf_of(const Ledger *ledger, Relation entries, int64 customer_id)
{
	PartitionKey key = RelationGetPartitionKey(entries);
	PartitionDesc partitions = RelationGetPartitionDesc(entries, true);
	Datum value = Int64GetDatum(customer_id);
	bool isnull = false;
	uint64 hash;
	int part;

	if (key->strategy != PARTITION_STRATEGY_HASH || key->partnatts != 1 ||
		key->partattrs[0] != ledger->column[COL_CUSTOMER_ID])
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the points ledger \"%s\" is partitioned in a way it cannot be", RelationGetRelationName(entries)),
				 errhint("Partition it by hash of customer_id alone.")));
	if (partitions->nparts == 0)
		return InvalidOid;
	hash = compute_partition_hash_value(1, key->partsupfunc, key->partcollation, &value, &isnull);
	part = partitions->boundinfo->indexes[hash % partitions->boundinfo->nindexes];
	return part < 0 ? InvalidOid : partitions->oids[part];
}

/*
 * The table that keeps a customer's entries, with the ledger as seen from it; the given one when it is not partitioned
 */
Relation
ledger_leaf_open(const Ledger **ledger, Relation entries, int64 customer_id)
{
	Oid leaf;
	Relation rel;

	if (entries->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return entries;
	leaf = leaf_of(*ledger, entries, customer_id);
	if (!OidIsValid(leaf))
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("no partition of \"%s\" takes customer " INT64_FORMAT, RelationGetRelationName(entries), customer_id),
				 errhint("Attach the partition that is missing.")));
	rel = table_open(leaf, AccessShareLock);
	if (rel->rd_rel->relkind != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("partition \"%s\" of the points ledger is not a plain table", RelationGetRelationName(rel))));
	*ledger = ledger_open(rel);
	return rel;
}

void
ledger_leaf_close(Relation entries, Relation leaf)
{
	if (leaf != entries)
		table_close(leaf, NoLock);
}

/*
 * The table whose privileges count
 */
Oid
ledger_leaf_root(Relation entries)
{
	Oid relid = RelationGetRelid(entries);

	return entries->rd_rel->relispartition ? llast_oid(get_partition_ancestors(relid)) : relid;
}

/*
 * Do a customer's entries stand in this table, a partition of a whole?
 */
bool
ledger_leaf_keeps(Relation whole, Relation leaf, int64 customer_id)
{
	return leaf_of(ledger_open(whole), whole, customer_id) == RelationGetRelid(leaf);
}
