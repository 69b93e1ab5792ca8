#include "value/instant_store.h"

#include "access/genam.h"
#include "access/table.h"
#include "base/compat.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "nodes/nodeFuncs.h"
#include "nodes/value.h"
#include "optimizer/optimizer.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/*
 * May a store's tags and tiers be written without the executor? Whatever a user may have added to the tables that a statement has to
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

/* What is inserted into a table. */
typedef struct Insertion
{
	Oid relid;
	const AttrNumber *columns;
	int count;
	const Oid *parents; /* tables that foreign keys may be to: their rows are held */
	int nparents;
	bool one_unique;
	AttrNumber constant; /* a text column that always gets the same value; 0 when there is none */
	const char *value;
} Insertion;

/*
 * The columns that an expression looks at
 */
static List *
columns_of(const char *expression)
{
	Node *node = stringToNode(expression);

	return pull_var_clause(node, PVC_RECURSE_AGGREGATES | PVC_RECURSE_WINDOWFUNCS | PVC_RECURSE_PLACEHOLDERS);
}

/*
 * Do all checks hold whatever is inserted, since they look only at the column that always gets the same value?
 */
static bool
checks_hold(Relation rel, AttrNumber constant, const char *value)
{
	TupleConstr *constr = RelationGetDescr(rel)->constr;
	EState *estate;
	TupleTableSlot *slot;
	bool hold = true;

	if (constr == NULL || constr->num_check == 0)
		return true;
	if (constant == 0)
		return false;
	estate = CreateExecutorState();
	slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	memset(slot->tts_isnull, true, RelationGetDescr(rel)->natts);
	slot->tts_values[constant - 1] = CStringGetTextDatum(value);
	slot->tts_isnull[constant - 1] = false;
	ExecStoreVirtualTuple(slot);
	for (int i = 0; i < constr->num_check && hold; i++)
	{
		ListCell *cell;

		foreach (cell, columns_of(constr->check[i].ccbin))
			hold = hold && lfirst_node(Var, cell)->varattno == constant;
		if (hold)
		{
			ExprState *state = ExecPrepareExpr(stringToNode(constr->check[i].ccbin), estate);

			GetPerTupleExprContext(estate)->ecxt_scantuple = slot;
			hold = ExecCheck(state, GetPerTupleExprContext(estate));
		}
	}
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
	return hold;
}

/*
 * May such rows be inserted?
 */
static bool
insertable(const Insertion *insertion)
{
	Relation rel = table_open(insertion->relid, AccessShareLock);
	TupleDesc desc = RelationGetDescr(rel);
	bool plain = only_rows(rel) && checks_hold(rel, insertion->constant, insertion->value);

	for (int i = 0; plain && i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		bool own = attribute->attisdropped;

		for (int c = 0; c < insertion->count; c++)
			own = own || insertion->columns[c] == i + 1;
		plain = own || !(attribute->attnotnull || attribute->atthasdef || attribute->attidentity != '\0');
	}
	for (int i = 0; plain && rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger *trigger = &rel->trigdesc->triggers[i];
		bool held = false;

		if (!TRIGGER_FOR_INSERT(trigger->tgtype) || trigger->tgenabled == TRIGGER_DISABLED)
			continue;
		for (int p = 0; p < insertion->nparents; p++)
			held = held || trigger->tgconstrrelid == insertion->parents[p];
		plain = trigger->tgisinternal && held && !trigger->tgdeferrable;
	}
	if (plain && insertion->one_unique)
	{
		ListCell *cell;
		int unique = 0;

		foreach (cell, RelationGetIndexList(rel))
		{
			Relation index = index_open(lfirst_oid(cell), AccessShareLock);

			unique += index->rd_index->indisunique;
			index_close(index, AccessShareLock);
		}
		plain = unique == 1;
	}
	table_close(rel, AccessShareLock);
	return plain;
}

/*
 * Does a check look at one of two columns? One that does not cannot fail when only those change.
 */
static bool
checks_look_at(TupleConstr *constr, const AttrNumber *columns)
{
	bool looks = false;

	for (int i = 0; constr != NULL && i < constr->num_check && !looks; i++)
	{
		ListCell *cell;

		foreach (cell, columns_of(constr->check[i].ccbin))
		{
			AttrNumber varattno = lfirst_node(Var, cell)->varattno;

			looks = looks || varattno == columns[0] || varattno == columns[1] || varattno == 0;
		}
	}
	return looks;
}

/*
 * May customer.tags and rule_tags be updated? Of the triggers that would fire, tags_changed() is the only one with work to do, and it must
 * be there.
 */
static bool
tags_updatable(Oid relid, const AttrNumber *columns)
{
	Relation rel = table_open(relid, AccessShareLock);
	bool plain = only_rows(rel) && rel->rd_rel->relreplident != REPLICA_IDENTITY_NOTHING &&
				 !checks_look_at(RelationGetDescr(rel)->constr, columns);
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
			named = named || trigger->tgattr[a] == columns[0] || trigger->tgattr[a] == columns[1];
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
	static const char *const event[] = {"customer_id", "event_id", "tag", "added", "at", "who", "why", "expires_at"};
	static const char *const toggle[] = {"tag", "chunk", "change_id", "toggled"};
	static const char *const expiry[] = {"tag"};
	InstantDirect *direct = &rules->direct;
	const Oid *tables = rules->kept.tables;
	Datum sequence;
	bool isnull;

	direct->possible =
		column_numbers(tables[INSTANT_TABLE_EVENT], event, EVENT_COLUMNS, direct->event) &&
		column_numbers(tables[INSTANT_TABLE_AUDIENCE], toggle, TOGGLE_COLUMNS, direct->toggle) &&
		column_numbers(tables[INSTANT_TABLE_EXPIRY], expiry, 1, &direct->expiry_tag) &&
		tags_updatable(tables[INSTANT_TABLE_CUSTOMER], (AttrNumber[]){rules->tags_column, rules->rule_tags_column}) &&
		insertable(&(Insertion){
			.relid = tables[INSTANT_TABLE_EVENT], .columns = direct->event, .count = EVENT_COLUMNS}) &&
		insertable(&(Insertion){
			.relid = tables[INSTANT_TABLE_AUDIENCE], .columns = direct->toggle, .count = TOGGLE_COLUMNS});
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

/*
 * Is this the default of a column? Named by the function that it calls
 */
static bool
has_default(Oid relid, AttrNumber column, Oid function)
{
	Relation rel = table_open(relid, AccessShareLock);
	TupleConstr *constr = RelationGetDescr(rel)->constr;
	bool found = false;

	for (int i = 0; constr != NULL && i < constr->num_defval; i++)
	{
		Node *value = constr->defval[i].adnum == column ? stringToNode(constr->defval[i].adbin) : NULL;

		found = found || (value != NULL && IsA(value, FuncExpr) && ((FuncExpr *)value)->funcid == function);
	}
	table_close(rel, AccessShareLock);
	return found;
}

/*
 * May the tier of a member be updated? Of the triggers of foreign keys, that of the tier is the only one with work to do.
 */
static bool
member_updatable(Oid relid)
{
	Relation rel = table_open(relid, AccessShareLock);
	bool plain = rel->rd_rel->relreplident != REPLICA_IDENTITY_NOTHING;

	for (int i = 0; plain && rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger *trigger = &rel->trigdesc->triggers[i];

		if (TRIGGER_FOR_UPDATE(trigger->tgtype) && trigger->tgenabled != TRIGGER_DISABLED)
			plain = trigger->tgisinternal && !trigger->tgdeferrable;
	}
	table_close(rel, AccessShareLock);
	return plain;
}

void
instant_learn_lift(InstantRules *rules)
{
	static const char *const member[] = {
		"customer_id", "tier", "since", "basis", "period_end", "judged_at", "lock_until", "peak", "last_change", "rests_on"};
	static const char *const change[] = {"customer_id", "from_tier", "to_tier",	 "value",		"reason",	 "at",	 "threshold",
										 "condition",	"note",		 "actor",	 "booked_at",	"period_end", "change_no", "before"};
	static const char *const end_reasons[] = {"period_end", "grant_ended"};
	InstantLift *lift = &rules->lift;
	const Oid *tables = rules->kept.tables;
	Oid parents[2] = {tables[INSTANT_TABLE_CUSTOMER], tables[INSTANT_TABLE_TIER]};
	Oid actor = LookupFuncName(list_make2(makeString(CRM_SCHEMA), makeString("actor_or_user")), 0, NULL, true);

	Insertion change_row = {.relid = tables[INSTANT_TABLE_CHANGE],
							.columns = lift->change,
							.count = CHANGE_COLUMNS,
							.parents = parents,
							.nparents = 1,
							.value = "upgrade"};

	lift->possible =
		column_numbers(tables[INSTANT_TABLE_MEMBER], member, MEMBER_COLUMNS, lift->member) &&
		column_numbers(tables[INSTANT_TABLE_CHANGE], change, CHANGE_COLUMNS, lift->change) &&
		member_updatable(tables[INSTANT_TABLE_MEMBER]) &&
		has_default(tables[INSTANT_TABLE_CHANGE], lift->change[CHANGE_ACTOR], actor) &&
		has_default(tables[INSTANT_TABLE_CHANGE], lift->change[CHANGE_BOOKED_AT], F_CLOCK_TIMESTAMP) &&
		insertable(&(Insertion){.relid = tables[INSTANT_TABLE_MEMBER],
								.columns = lift->member,
								.count = MEMBER_COLUMNS,
								.parents = parents,
								.nparents = 2,
								.one_unique = true,
								.constant = lift->member[MEMBER_BASIS],
								.value = "earned"});
	change_row.constant = lift->change[CHANGE_REASON];
	lift->possible = lift->possible && insertable(&change_row);
	lift->ends = lift->possible;
	for (int i = 0; i < lengthof(end_reasons); i++)
	{
		change_row.value = end_reasons[i];
		lift->ends = lift->ends && insertable(&change_row);
	}
}
