#include "store/purchase_plan.h"

#include "base/change.h"
#include "base/crm.h"
#include "base/store.h"

#include "access/table.h"
#include "access/tupconvert.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

static HTAB *tables;

/*
 * Forget what is known of a table that changed
 */
static void
table_changed(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS scan;
	PurchaseTable *table;

	hash_seq_init(&scan, tables);
	while ((table = hash_seq_search(&scan)) != NULL)
	{
		if (!OidIsValid(relid) || relid == table->relid || relid == table->customer_summary)
			table->valid = false;
	}
}

/*
 * Number of a column of customer_summary
 */
static AttrNumber
summary_column(PurchaseTable *table, const char *name)
{
	AttrNumber attnum = get_attnum(table->customer_summary, name);

	if (attnum == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of customer_summary is missing", name),
				 errhint("A store's own columns must not be dropped or renamed.")));
	return attnum;
}

/*
 * Raise unless the partitions of a table have its columns in its order. Else what goes through the whole stands in transition
 * tables as it came, before generated columns are computed.
 */
static void
check_partitions(Relation purchase)
{
	ListCell *cell;

	foreach (cell, find_all_inheritors(RelationGetRelid(purchase), AccessShareLock, NULL))
	{
		Relation part = table_open(lfirst_oid(cell), NoLock);

		if (convert_tuples_by_name(RelationGetDescr(part), RelationGetDescr(purchase)) != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
					 errmsg("partition \"%s\" has its columns in another order than table \"%s\"",
							RelationGetRelationName(part),
							RelationGetRelationName(purchase)),
					 errhint("Detach it, and make it anew with CREATE TABLE ... (LIKE %s INCLUDING ALL).",
							 RelationGetRelationName(purchase))));
		table_close(part, NoLock);
	}
}

/*
 * What is known of the table purchase
 */
PurchaseTable *
purchase_table(Relation purchase)
{
	Oid relid = RelationGetRelid(purchase);
	PurchaseTable *table;
	bool found;

	if (tables == NULL)
	{
		HASHCTL control = {0};

		control.keysize = sizeof(Oid);
		control.entrysize = sizeof(PurchaseTable);
		control.hcxt = TopMemoryContext;
		tables = hash_create("crm purchase tables", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		on_relation_change(table_changed);
	}
	table = hash_search(tables, &relid, HASH_ENTER, &found);
	if (!found)
	{
		table->valid = false;
		table->customer_summary = InvalidOid;
		memset(table->plans, 0, sizeof(table->plans));
	}
	if (!table->valid)
	{
		PurchaseColumns *c = &table->columns;

		store_check_shape(relid, "purchase");
		c->customer_id = store_column(purchase, "customer_id");
		c->channel = store_column(purchase, "channel");
		c->order_no = store_column(purchase, "order_no");
		c->status = store_column(purchase, "status");
		c->history = store_column(purchase, "history");
		c->amount = store_column(purchase, "amount");
		c->net = store_column(purchase, "net");
		c->discount = store_column(purchase, "discount");
		c->cost = store_column(purchase, "cost");
		c->order_at = store_column(purchase, "order_at");
		c->ordered_at = store_column(purchase, "ordered_at");
		c->completed_at = store_column(purchase, "completed_at");
		c->currency = store_column(purchase, "currency");
		c->currency_rate = store_column(purchase, "currency_rate");
		c->points_customer = get_attnum(relid, "points_customer");
		if (purchase->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
			check_partitions(purchase);
		/* Set first: looking up the other table may read catalogs, and so see an invalidation. */
		table->valid = true;
		table->customer_summary = store_referenced_table(purchase, "customer_summary");
		if (!OidIsValid(table->customer_summary))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("table \"%s\" has no foreign key to customer_summary", RelationGetRelationName(purchase)),
					 errhint("The foreign key on customer_id is how the trigger finds the summaries; create it again.")));
		table->summary.order_count = summary_column(table, "order_count");
		table->summary.spend_total = summary_column(table, "spend_total");
		table->summary.refunded_total = summary_column(table, "refunded_total");
		table->summary.discount_total = summary_column(table, "discount_total");
		table->summary.cost_total = summary_column(table, "cost_total");
		table->summary.months = summary_column(table, "months");
		table->summary.first_order_at = summary_column(table, "first_order_at");
		table->summary.last_order_at = summary_column(table, "last_order_at");
	}
	return table;
}

/*
 * Text of a plan's query
 */
static char *
plan_query(PurchaseTable *table, Relation purchase, PurchasePlan which)
{
	char *summary = store_qualified_name(table->customer_summary);
	StringInfoData sql;

	initStringInfo(&sql);
	switch (which)
	{
		case PLAN_ONE:
		case PLAN_ONE_ROW:
			appendStringInfo(&sql,
							 "UPDATE %s AS s SET order_count = s.order_count + $2, spend_total = s.spend_total + $3, "
							 "refunded_total = s.refunded_total + $4, discount_total = s.discount_total + $5, "
							 "cost_total = s.cost_total + $6, months = s.months OPERATOR(%s.+) $7, "
							 "first_order_at = LEAST(s.first_order_at, $8), last_order_at = GREATEST(s.last_order_at, $9) "
							 "WHERE s.customer_id = $1",
							 summary,
							 CRM_SCHEMA);
			break;
		case PLAN_MANY:
		case PLAN_MANY_ROWS:
			appendStringInfo(&sql,
							 "UPDATE %s AS s SET order_count = s.order_count + d.orders, spend_total = s.spend_total + d.spend, "
							 "refunded_total = s.refunded_total + d.refunded, discount_total = s.discount_total + d.discount, "
							 "cost_total = s.cost_total + d.cost, months = s.months OPERATOR(%s.+) d.months, "
							 "first_order_at = LEAST(s.first_order_at, d.first), last_order_at = GREATEST(s.last_order_at, d.last) "
							 "FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) "
							 "AS d(customer_id, orders, spend, refunded, discount, cost, months, first, last) "
							 "WHERE s.customer_id = d.customer_id",
							 summary,
							 CRM_SCHEMA);
			break;
		default:
			appendStringInfo(&sql,
							 "UPDATE %s AS s SET first_order_at = e.first, last_order_at = e.last "
							 "FROM unnest($1) AS d(customer_id) CROSS JOIN LATERAL "
							 "(SELECT min(p.order_at), max(p.order_at) FROM %s AS p WHERE p.customer_id = d.customer_id) "
							 "AS e(first, last) WHERE s.customer_id = d.customer_id",
							 summary,
							 store_qualified_name(RelationGetRelid(purchase)));
			break;
	}
	if (which == PLAN_ONE_ROW || which == PLAN_MANY_ROWS || which == PLAN_EDGES_ROWS)
		appendStringInfoString(&sql, " RETURNING s.*");
	return sql.data;
}

SPIPlanPtr
purchase_plan(PurchaseTable *table, Relation purchase, PurchasePlan which)
{
	SPIPlanPtr plan = table->plans[which];
	Oid scalars[9] = {INT8OID, INT8OID, NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID, InvalidOid, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Oid arrays[9] = {INT8ARRAYOID,
					 INT8ARRAYOID,
					 NUMERICARRAYOID,
					 NUMERICARRAYOID,
					 NUMERICARRAYOID,
					 NUMERICARRAYOID,
					 InvalidOid,
					 TIMESTAMPTZARRAYOID,
					 TIMESTAMPTZARRAYOID};
	Oid months;

	/* A plan whose tables changed is made anew from today's names, as for foreign keys. */
	if (plan != NULL && SPI_plan_is_valid(plan))
		return plan;

	months = get_atttype(table->customer_summary, get_attnum(table->customer_summary, "months"));
	scalars[6] = months;
	arrays[6] = get_array_type(months);
	switch (which)
	{
		case PLAN_ONE:
		case PLAN_ONE_ROW:
			plan = SPI_prepare(plan_query(table, purchase, which), 9, scalars);
			break;
		case PLAN_MANY:
		case PLAN_MANY_ROWS:
			/* The generic plan takes the array for a short one: a nested loop, which writes in the order of the array. */
			plan = SPI_prepare_cursor(plan_query(table, purchase, which), 9, arrays, CURSOR_OPT_GENERIC_PLAN);
			break;
		default:
			plan = SPI_prepare_cursor(plan_query(table, purchase, which), 1, arrays, CURSOR_OPT_GENERIC_PLAN);
			break;
	}
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	retire_plan(table->plans[which]);
	table->plans[which] = plan;
	return plan;
}
