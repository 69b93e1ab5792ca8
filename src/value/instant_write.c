#include "value/instant_store.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/compat.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "tags/tag_change.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/*
 * Writes tags that an order changes as UPDATE customer SET tags = … and its trigger tags_changed() would, without the
 * executor: starting it for each of six tables costs ten times what their rows cost.
 */

typedef struct Target
{
	Relation rel;
	ResultRelInfo *info;
	TupleTableSlot *slot;
} Target;

/* A customer that got or lost a tag. */
typedef struct Toggle
{
	int tag; /* number of the rule */
	int64 customer_id;
} Toggle;

typedef struct TagWriter
{
	MemoryContext context;
	EState *estate;
	CommandId command;
	Target customer;
	Target rule_tag;
	Target event;
	Target toggle;
	IndexScanDesc rule_tags; /* by customer */
	TupleTableSlot *rule_tag_found;
	Datum who;
	Toggle *toggles;
	int ntoggles;
	int room;
} TagWriter;

/*
 * Open a table that is written to
 */
static void
open_target(Target *target, Oid relid)
{
	target->rel = table_open(relid, RowExclusiveLock);
	/* InitResultRelInfo() would copy the triggers: customer has a hundred, of foreign keys. */
	target->info = makeNode(ResultRelInfo);
	target->info->ri_RelationDesc = target->rel;
	ExecOpenIndices(target->info, false);
	target->slot = MakeSingleTupleTableSlot(RelationGetDescr(target->rel), &TTSOpsVirtual);
	memset(target->slot->tts_isnull, true, RelationGetDescr(target->rel)->natts);
}

/*
 * Close it; its lock stays until the transaction ends, as for any writer
 */
static void
close_target(Target *target)
{
	if (target->rel == NULL)
		return;
	ExecCloseIndices(target->info);
	ExecDropSingleTupleTableSlot(target->slot);
	table_close(target->rel, NoLock);
}

/*
 * Open what a change of tags is written to
 */
static TagWriter *
open_writer(InstantStore *store)
{
	MemoryContext caller = MemoryContextSwitchTo(store->context);
	InstantRules *rules = store->rules;
	TagWriter *w = palloc0(sizeof(TagWriter));
	const char *who = crm_actor;

	w->context = store->context;
	w->estate = CreateExecutorState();
	open_target(&w->rule_tag, rules->tables[INSTANT_TABLE_RULE_TAG]);
	open_target(&w->customer, rules->tables[INSTANT_TABLE_CUSTOMER]);
	open_target(&w->event, rules->tables[INSTANT_TABLE_EVENT]);
	CheckCmdReplicaIdentity(w->customer.rel, CMD_UPDATE);
	w->rule_tag_found = table_slot_create(w->rule_tag.rel, NULL);
	w->rule_tags =
		crm_index_beginscan(w->rule_tag.rel, w->rule_tag.info->ri_IndexRelationDescs[0], store->snapshot, 1);
	if (who == NULL || who[0] == '\0')
		who = GetUserNameFromId(GetUserId(), false);
	w->who = CStringGetTextDatum(who);
	store->writer = w;
	MemoryContextSwitchTo(caller);
	return w;
}

/*
 * Insert the row in the slot of a target
 */
static void
insert_row(TagWriter *w, Target *target)
{
	ExecStoreVirtualTuple(target->slot);
	table_tuple_insert(target->rel, target->slot, w->command, 0, NULL);
	list_free(crm_insert_new_index_tuples(target->info, target->slot, w->estate));
	ResetPerTupleExprContext(w->estate);
	ExecClearTuple(target->slot);
}

/*
 * Set a column of the slot of a target
 */
static inline void
set_column(Target *target, AttrNumber column, Datum value)
{
	target->slot->tts_values[column - 1] = value;
	target->slot->tts_isnull[column - 1] = false;
}

/*
 * The rule among those given whose tag this is; -1 when there is none
 */
static int
find_tag(InstantTag **tags, int count, const Tag *tag)
{
	for (int i = 0; i < count; i++)
	{
		Tag own = {VARDATA_ANY(tags[i]->tag), VARSIZE_ANY_EXHDR(tags[i]->tag)};

		if (tag_compare(&own, tag) == 0)
			return i;
	}
	return -1;
}

/*
 * Delete the note that a rule has set a tag; false when somebody else has
 */
static bool
delete_rule_tag(TagWriter *w, Snapshot snapshot, ItemPointerData tid)
{
	for (;;)
	{
		TM_FailureData failure;
		TM_Result result =
			table_tuple_delete(w->rule_tag.rel, &tid, w->command, snapshot, InvalidSnapshot, true, &failure, false);

		if (result == TM_Ok || result == TM_Deleted)
			return result == TM_Ok;
		if (result != TM_Updated)
			elog(ERROR, "could not delete from customer_rule_tag: status %d", (int)result);
		tid = failure.ctid;
	}
}

/*
 * Note that a rule has set a tag; false when somebody else is doing so
 */
static bool
insert_rule_tag(TagWriter *w, const InstantRules *rules, int64 customer_id, InstantTag *tag)
{
	Target *target = &w->rule_tag;
	const AttrNumber *c = rules->direct.rule_tag;
	TransactionId xid = GetCurrentTransactionId();
	bool conflict = false;
	uint32 token;

	set_column(target, c[RULE_TAG_CUSTOMER], Int64GetDatum(customer_id));
	set_column(target, c[RULE_TAG_TAG], PointerGetDatum(tag->tag));
	set_column(target, c[RULE_TAG_SINCE], TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
	ExecStoreVirtualTuple(target->slot);
	/* As ON CONFLICT does it, so that a row that another transaction is about to commit is no error. */
	token = SpeculativeInsertionLockAcquire(xid);
	table_tuple_insert_speculative(target->rel, target->slot, w->command, 0, NULL, token);
	list_free(crm_insert_speculative_index_tuples(target->info, target->slot, w->estate, &conflict));
	table_tuple_complete_speculative(target->rel, target->slot, token, !conflict);
	SpeculativeInsertionLockRelease(xid);
	ResetPerTupleExprContext(w->estate);
	ExecClearTuple(target->slot);
	return !conflict;
}

/*
 * Keep customer_rule_tag in step. Of goes those stay that a rule has set; returns false when the statement has to do it.
 */
static bool
write_rule_tags(InstantStore *store, int64 customer_id, InstantTag **comes, int ncomes, InstantTag **goes, int *ngoes)
{
	TagWriter *w = store->writer;
	TupleTableSlot *slot = w->rule_tag_found;
	bool *there = palloc0(sizeof(bool) * (ncomes + 1));
	bool *gone = palloc0(sizeof(bool) * (*ngoes + 1));
	MemoryContext caller;
	ScanKeyData key;
	int kept = 0;

	/* For tags that come alone it is cheaper to try: few are there already, such as those that a person took away. */
	if (*ngoes > 0)
	{
		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(customer_id));
		index_rescan(w->rule_tags, &key, 1, NULL, 0);
	}
	while (*ngoes > 0)
	{
		bool isnull;
		Datum stored;
		bool found;
		Tag tag;
		int i;

		caller = MemoryContextSwitchTo(w->context);
		found = index_getnext_slot(w->rule_tags, ForwardScanDirection, slot);
		MemoryContextSwitchTo(caller);
		if (!found)
			break;
		stored = slot_getattr(slot, store->rules->direct.rule_tag[RULE_TAG_TAG], &isnull);
		tag.data = VARDATA_ANY(DatumGetPointer(stored));
		tag.length = VARSIZE_ANY_EXHDR(DatumGetPointer(stored));
		if ((i = find_tag(comes, ncomes, &tag)) >= 0)
			there[i] = true;
		else if ((i = find_tag(goes, *ngoes, &tag)) >= 0)
			gone[i] = delete_rule_tag(w, store->snapshot, slot->tts_tid);
	}
	ExecClearTuple(slot);
	for (int i = 0; i < *ngoes; i++)
	{
		if (gone[i])
			goes[kept++] = goes[i];
	}
	*ngoes = kept;
	for (int i = 0; i < ncomes; i++)
	{
		if (!there[i] && !insert_rule_tag(w, store->rules, customer_id, comes[i]))
			return false;
	}
	return true;
}

/*
 * The tags of a customer after the change; comes and goes keep what is a change indeed
 */
static struct varlena *
changed_tags(struct varlena *present, InstantTag **comes, int *ncomes, InstantTag **goes, int *ngoes)
{
	int count;
	Tag *tags = tagset_tags(present, &count);
	Tag *after = palloc(sizeof(Tag) * (count + *ncomes + 1));
	bool *has_come = palloc0(sizeof(bool) * (*ncomes + 1));
	bool *has_gone = palloc0(sizeof(bool) * (*ngoes + 1));
	int n = 0;
	int kept = 0;

	for (int i = 0; i < count; i++)
	{
		int which = find_tag(goes, *ngoes, &tags[i]);

		if (which >= 0)
		{
			has_gone[which] = true;
			continue;
		}
		which = find_tag(comes, *ncomes, &tags[i]);
		if (which >= 0)
			has_come[which] = true;
		after[n++] = tags[i];
	}
	for (int i = 0; i < *ngoes; i++)
	{
		if (has_gone[i])
			goes[kept++] = goes[i];
	}
	*ngoes = kept;
	kept = 0;
	for (int i = 0; i < *ncomes; i++)
	{
		if (has_come[i])
			continue;
		after[n++] = (Tag){VARDATA_ANY(comes[i]->tag), VARSIZE_ANY_EXHDR(comes[i]->tag)};
		comes[kept++] = comes[i];
	}
	*ncomes = kept;
	return tagset_from_tags(after, n);
}

/*
 * Update the row of the customer, which was read into the slot of store->customers
 */
static void
update_customer(InstantStore *store, InstantTag **comes, int *ncomes, InstantTag **goes, int *ngoes)
{
	TagWriter *w = store->writer;
	Target *target = &w->customer;
	TupleTableSlot *before = store->customers.slot;
	TupleTableSlot *after = target->slot;
	AttrNumber column = store->rules->tags_column - 1;
	int natts = RelationGetDescr(target->rel)->natts;
	InstantTag **all_comes = palloc(sizeof(InstantTag *) * (*ncomes + 1));
	InstantTag **all_goes = palloc(sizeof(InstantTag *) * (*ngoes + 1));
	int all_ncomes = *ncomes;
	int all_ngoes = *ngoes;
	CrmUpdateIndexes indexes;
	TM_Result result;

	memcpy(all_comes, comes, sizeof(InstantTag *) * all_ncomes);
	memcpy(all_goes, goes, sizeof(InstantTag *) * all_ngoes);
	for (;;)
	{
		TM_FailureData failure;
		LockTupleMode lock;

		*ncomes = all_ncomes;
		*ngoes = all_ngoes;
		memcpy(comes, all_comes, sizeof(InstantTag *) * all_ncomes);
		memcpy(goes, all_goes, sizeof(InstantTag *) * all_ngoes);
		slot_getallattrs(before);
		ExecClearTuple(after);
		memcpy(after->tts_values, before->tts_values, natts * sizeof(Datum));
		memcpy(after->tts_isnull, before->tts_isnull, natts * sizeof(bool));
		after->tts_values[column] =
			PointerGetDatum(changed_tags(DatumGetTagsetPP(before->tts_values[column]), comes, ncomes, goes, ngoes));
		if (*ncomes + *ngoes == 0)
			return;
		ExecStoreVirtualTuple(after);
		result = table_tuple_update(
			target->rel, &before->tts_tid, after, w->command, store->snapshot, InvalidSnapshot, true, &failure, &lock, &indexes);
		if (result != TM_Updated)
			break;
		/* Another writer was first: wait for its row, and change that. */
		result = table_tuple_lock(target->rel,
								  &before->tts_tid,
								  store->snapshot,
								  before,
								  w->command,
								  lock,
								  LockWaitBlock,
								  TUPLE_LOCK_FLAG_FIND_LAST_VERSION,
								  &failure);
		if (result != TM_Ok)
			break;
	}
	if (result == TM_Deleted)
		ereport(ERROR,
				(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
				 errmsg("the customer of an order is being deleted"),
				 errhint("Delete the orders of a customer first.")));
	if (result != TM_Ok)
		elog(ERROR, "could not update tags of a customer: status %d", (int)result);
	if (indexes != CRM_UPDATE_NO_INDEXES)
	{
		list_free(crm_insert_index_tuples(target->info, after, w->estate, indexes));
		ResetPerTupleExprContext(w->estate);
	}
	ExecClearTuple(after);
}

/*
 * Write the event of a tag, and note who toggled it
 */
static void
write_event(InstantStore *store, int64 customer_id, const InstantTag *tag, bool added)
{
	TagWriter *w = store->writer;
	Target *target = &w->event;
	const AttrNumber *c = store->rules->direct.event;

	set_column(target, c[EVENT_CUSTOMER], Int64GetDatum(customer_id));
	set_column(target, c[EVENT_ID], Int64GetDatum(nextval_internal(store->rules->direct.event_sequence, false)));
	set_column(target, c[EVENT_TAG], PointerGetDatum(tag->tag));
	set_column(target, c[EVENT_ADDED], BoolGetDatum(added));
	set_column(target, c[EVENT_AT], TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
	set_column(target, c[EVENT_WHO], w->who);
	if (crm_tag_reason != NULL && crm_tag_reason[0] != '\0')
		set_column(target, c[EVENT_WHY], CStringGetTextDatum(crm_tag_reason));
	insert_row(w, target);

	if (w->ntoggles == w->room)
	{
		w->room = Max(w->room * 2, 16);
		w->toggles = w->toggles == NULL ? MemoryContextAlloc(w->context, sizeof(Toggle) * w->room)
										: repalloc_huge(w->toggles, sizeof(Toggle) * (Size)w->room);
	}
	w->toggles[w->ntoggles].tag = (int)(tag - store->rules->tags);
	w->toggles[w->ntoggles++].customer_id = customer_id;
}

/*
 * Has one of these tags of the customer a row in tag_expiry?
 */
static bool
expires(InstantStore *store, int64 customer_id, InstantTag **tags, int count)
{
	CustomerTable *table = &store->expiries;
	bool found = false;

	if (table->rel == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(store->context);

		instant_open_by_customer(table, store->rules->tables[INSTANT_TABLE_EXPIRY], store->snapshot);
		MemoryContextSwitchTo(caller);
	}
	if (table->index == NULL)
		return true;
	for (bool more = instant_find_customer(table, customer_id); more && !found; more = instant_next_row(table))
	{
		bool isnull;
		Datum stored = slot_getattr(table->slot, store->rules->direct.expiry_tag, &isnull);
		Tag tag = {VARDATA_ANY(DatumGetPointer(stored)), VARSIZE_ANY_EXHDR(DatumGetPointer(stored))};

		found = find_tag(tags, count, &tag) >= 0;
	}
	ExecClearTuple(table->slot);
	return found;
}

bool
instant_write_direct(InstantStore *store, int64 customer_id, InstantTag **comes, int ncomes, InstantTag **goes, int ngoes)
{
	InstantRules *rules = store->rules;

	/* A row that is not as the snapshot shows it is an error under a snapshot of the whole transaction: the executor's. */
	if (!rules->direct.possible || !rules->valid || store->customers.index == NULL || IsolationUsesXactSnapshot() ||
		SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA || (crm_tag_expires != NULL && crm_tag_expires[0] != '\0'))
		return false;
	for (int i = 0; i < ncomes; i++)
	{
		if (comes[i]->ruled)
			return false;
	}
	if (ngoes > 0 && expires(store, customer_id, goes, ngoes))
		return false;
	if (store->writer == NULL)
		(void)open_writer(store);
	store->writer->command = GetCurrentCommandId(true);
	if (!write_rule_tags(store, customer_id, comes, ncomes, goes, &ngoes))
	{
		CommandCounterIncrement();
		return false;
	}
	if (ncomes + ngoes > 0)
		update_customer(store, comes, &ncomes, goes, &ngoes);
	for (int i = 0; i < ncomes; i++)
		write_event(store, customer_id, comes[i], true);
	for (int i = 0; i < ngoes; i++)
		write_event(store, customer_id, goes[i], false);
	return true;
}

/*
 * Order of toggles: by tag, then customer
 */
static int
compare_toggles(const void *a, const void *b)
{
	const Toggle *x = a;
	const Toggle *y = b;

	if (x->tag != y->tag)
		return x->tag - y->tag;
	return (x->customer_id > y->customer_id) - (x->customer_id < y->customer_id);
}

/*
 * The toggles of one tag, as an audience
 */
static Audience *
toggled_audience(const Toggle *toggles, int count)
{
	AudienceSet *set;
	Audience *value;

	if (count == 1)
	{
		AudienceWriter writer;
		uint16 low = (uint16)(toggles->customer_id & 0xFFFF);

		audience_begin(&writer, 0, 1);
		audience_put_values(&writer, toggles->customer_id - low, &low, 1);
		return audience_end(&writer);
	}
	set = audience_set_create(CurrentMemoryContext);
	for (int i = 0; i < count; i++)
		audience_set_add(set, toggles[i].customer_id);
	value = audience_set_value(set);
	audience_set_free(set);
	return value;
}

/*
 * Write who changed sides: a row for each tag and chunk of the statement
 */
static void
write_toggles_of(InstantStore *store)
{
	TagWriter *w = store->writer;
	Target *target = &w->toggle;
	const AttrNumber *c = store->rules->direct.toggle;

	if (w->ntoggles == 0)
		return;
	open_target(target, store->rules->tables[INSTANT_TABLE_AUDIENCE]);
	w->command = GetCurrentCommandId(true);
	qsort(w->toggles, w->ntoggles, sizeof(Toggle), compare_toggles);
	for (int first = 0, count; first < w->ntoggles; first += count)
	{
		AudienceReader r;
		Audience *part;
		int64 chunk;
		bool more;

		for (count = 1; first + count < w->ntoggles && w->toggles[first + count].tag == w->toggles[first].tag; count++)
			;
		audience_open(&r, toggled_audience(&w->toggles[first], count));
		more = audience_next(&r);
		while ((part = next_chunk(&r, &more, &chunk)) != NULL)
		{
			set_column(target, c[TOGGLE_TAG], PointerGetDatum(store->rules->tags[w->toggles[first].tag].tag));
			set_column(target, c[TOGGLE_CHUNK], Int64GetDatum(chunk));
			set_column(target, c[TOGGLE_ID], OidFunctionCall0(F_GEN_RANDOM_UUID));
			set_column(target, c[TOGGLE_SET], PointerGetDatum(part));
			insert_row(w, target);
		}
	}
}

void
instant_writer_close(InstantStore *store)
{
	TagWriter *w = store->writer;

	write_toggles_of(store);
	index_endscan(w->rule_tags);
	ExecDropSingleTupleTableSlot(w->rule_tag_found);
	close_target(&w->customer);
	close_target(&w->rule_tag);
	close_target(&w->event);
	close_target(&w->toggle);
	FreeExecutorState(w->estate);
	store->writer = NULL;
	/* What follows in this transaction sees the rows. */
	CommandCounterIncrement();
}
