#include "value/instant_store.h"

#include "access/genam.h"
#include "access/table.h"
#include "base/compat.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "executor/spi.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/*
 * May a store's tags be written without the executor? Whatever a user may have added to the tables that a statement has to
 * heed (triggers, policies, checks, generated columns) sends the caller to it.
 */

extern Datum tags_changed(PG_FUNCTION_ARGS);

/*
 * The numbers of named columns; false when one is missing
 */
static bool
column_numbers(Oid relid, const char *const *names, int count, AttrNumber *columns)
{
	for (int i = 0; i < count; i++)
	{
		columns[i] = get_attnum(relid, names[i]);
		if (columns[i] <= 0)
			return false;
	}
	return true;
}

/*
 * Is a row of this table nothing but its columns and entries of indexes?
 */
static bool
only_rows(Relation rel)
{
	TupleConstr *constr = RelationGetDescr(rel)->constr;
	ListCell *cell;
	List *indexes;

	if (rel->rd_rel->relkind != RELKIND_RELATION || rel->rd_rules != NULL || rel->rd_rel->relforcerowsecurity ||
		(constr != NULL && constr->has_generated_stored))
		return false;
	indexes = RelationGetIndexList(rel);
	if (!OidIsValid(rel->rd_pkindex))
		return false;
	foreach (cell, indexes)
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);
		bool plain = index->rd_index->indimmediate && !index->rd_index->indisexclusion;

		index_close(index, AccessShareLock);
		if (!plain)
			return false;
	}
	list_free(indexes);
	return true;
}

/*
 * May rows of these columns be inserted? A foreign key may only be to customer, whose row is held.
 */
static bool
insertable(Oid relid, const AttrNumber *columns, int count, Oid customer, bool one_unique)
{
	Relation rel = table_open(relid, AccessShareLock);
	TupleDesc desc = RelationGetDescr(rel);
	bool plain = only_rows(rel) && (desc->constr == NULL || desc->constr->num_check == 0);

	for (int i = 0; plain && i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		bool own = attribute->attisdropped;

		for (int c = 0; c < count; c++)
			own = own || columns[c] == i + 1;
		plain = own || !(attribute->attnotnull || attribute->atthasdef || attribute->attidentity != '\0');
	}
	for (int i = 0; plain && rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger *trigger = &rel->trigdesc->triggers[i];

		plain = trigger->tgisinternal && OidIsValid(customer) && trigger->tgconstrrelid == customer && !trigger->tgdeferrable;
	}
	if (plain && one_unique)
	{
		List *indexes = RelationGetIndexList(rel);

		plain = list_length(indexes) == 1;
		list_free(indexes);
	}
	table_close(rel, AccessShareLock);
	return plain;
}

/*
 * Does a check look at a column? One that does not cannot fail when only that column changes.
 */
static bool
checks_look_at(TupleConstr *constr, AttrNumber column)
{
	bool looks = false;

	for (int i = 0; constr != NULL && i < constr->num_check && !looks; i++)
	{
		Node *check = stringToNode(constr->check[i].ccbin);
		List *vars = pull_var_clause(check, PVC_RECURSE_AGGREGATES | PVC_RECURSE_WINDOWFUNCS | PVC_RECURSE_PLACEHOLDERS);
		ListCell *cell;

		foreach (cell, vars)
		{
			AttrNumber varattno = lfirst_node(Var, cell)->varattno;

			looks = looks || varattno == column || varattno == 0;
		}
	}
	return looks;
}

/*
 * May customer.tags be updated? Of the triggers that would fire, tags_changed() is the only one with work to do, and it must
 * be there.
 */
static bool
tags_updatable(Oid relid, AttrNumber tags)
{
	Relation rel = table_open(relid, AccessShareLock);
	bool plain = only_rows(rel) && rel->rd_rel->relreplident != REPLICA_IDENTITY_NOTHING &&
				 !checks_look_at(RelationGetDescr(rel)->constr, tags);
	bool found = false;

	for (int i = 0; plain && rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger *trigger = &rel->trigdesc->triggers[i];
		bool named = trigger->tgnattr == 0;
		FmgrInfo function;

		/* The triggers of foreign keys have nothing to do when the keys stay as they are. */
		if (!TRIGGER_FOR_UPDATE(trigger->tgtype) || trigger->tgenabled == TRIGGER_DISABLED || trigger->tgisinternal)
			continue;
		for (int a = 0; a < trigger->tgnattr; a++)
			named = named || trigger->tgattr[a] == tags;
		if (!named)
			continue;
		fmgr_info(trigger->tgfoid, &function);
		plain = function.fn_addr == tags_changed && trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN && !found &&
				trigger->tgqual == NULL && TRIGGER_FOR_AFTER(trigger->tgtype) && !TRIGGER_FOR_ROW(trigger->tgtype);
		found = true;
	}
	table_close(rel, AccessShareLock);
	return plain && found;
}

void
instant_learn_direct(InstantRules *rules)
{
	static const char *const rule_tag[] = {"customer_id", "tag", "since"};
	static const char *const event[] = {"customer_id", "event_id", "tag", "added", "at", "who", "why", "expires_at"};
	static const char *const toggle[] = {"tag", "chunk", "change_id", "toggled"};
	static const char *const expiry[] = {"tag"};
	InstantDirect *direct = &rules->direct;
	const Oid *tables = rules->tables;
	Oid customer = tables[INSTANT_TABLE_CUSTOMER];
	Datum sequence;
	bool isnull;

	direct->possible =
		column_numbers(tables[INSTANT_TABLE_RULE_TAG], rule_tag, RULE_TAG_COLUMNS, direct->rule_tag) &&
		column_numbers(tables[INSTANT_TABLE_EVENT], event, EVENT_COLUMNS, direct->event) &&
		column_numbers(tables[INSTANT_TABLE_AUDIENCE], toggle, TOGGLE_COLUMNS, direct->toggle) &&
		column_numbers(tables[INSTANT_TABLE_EXPIRY], expiry, 1, &direct->expiry_tag) &&
		tags_updatable(customer, rules->tags_column) &&
		insertable(tables[INSTANT_TABLE_RULE_TAG], direct->rule_tag, RULE_TAG_COLUMNS, customer, true) &&
		insertable(tables[INSTANT_TABLE_EVENT], direct->event, EVENT_COLUMNS, InvalidOid, false) &&
		insertable(tables[INSTANT_TABLE_AUDIENCE], direct->toggle, TOGGLE_COLUMNS, InvalidOid, false);
	if (!direct->possible)
		return;
	if (SPI_execute(psprintf("SELECT pg_get_serial_sequence(%s, 'event_id')::regclass::oid",
							 quote_literal_cstr(quote_qualified_identifier(
								 get_namespace_name(get_rel_namespace(tables[INSTANT_TABLE_EVENT])),
								 get_rel_name(tables[INSTANT_TABLE_EVENT])))),
					true,
					1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "looking for the sequence of tag_event failed");
	sequence = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	direct->possible = !isnull;
	direct->event_sequence = DatumGetObjectId(sequence);
}
