/*
 * What happens when the tags of customers change: one statement trigger checks the rules of the dictionary, writes the
 * events, and notes for each tag whose side changed.
 */
#include "tags/tag_change.h"

#include "base/store.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#define ERRCODE_CRM_EXCLUSIVE_NAMESPACE MAKE_SQLSTATE('C', 'T', '0', '1', '1')

char *crm_tag_reason;
char *crm_tag_expires;

void
tag_change_init(void)
{
	DefineCustomStringVariable("crm.tag_reason",
							   "Why tags are being changed.",
							   "Recorded in tag_event; the verbs set it for their own statement.",
							   &crm_tag_reason,
							   "",
							   PGC_USERSET,
							   0,
							   NULL,
							   NULL,
							   NULL);
	DefineCustomStringVariable("crm.tag_expires",
							   "When the tags that are being given expire.",
							   "A timestamp with time zone; empty for the validity that the dictionary gives.",
							   &crm_tag_expires,
							   "",
							   PGC_USERSET,
							   0,
							   NULL,
							   NULL,
							   NULL);
}

/*
 * The entry of a tag
 */
static ChangedTag *
changed_tag(ChangeState *state, const Tag *tag)
{
	TagKey key = {0};
	ChangedTag *entry = state->last;
	bool found;

	/* Most statements change one tag of many customers. */
	if (entry != NULL && entry->key.length == tag->length && memcmp(entry->key.data, tag->data, tag->length) == 0)
		return entry;
	key.length = (uint8) tag->length;
	memcpy(key.data, tag->data, tag->length);
	entry = hash_search(state->tags, &key, HASH_ENTER, &found);
	if (!found)
	{
		MemoryContext old = MemoryContextSwitchTo(state->context);

		entry->known = false;
		entry->valid_for = NULL;
		entry->name = cstring_to_text_with_len(tag->data, tag->length);
		entry->toggled = audience_set_create(state->context);
		MemoryContextSwitchTo(old);
	}
	return state->last = entry;
}

/*
 * Note that a customer got or lost a tag
 */
static void
note_change(ChangeState *state, int64 id, const Tag *tag, bool added, bool event)
{
	ChangedTag *entry = changed_tag(state, tag);

	audience_set_add(entry->toggled, id);
	if (!event)
		return;
	state->ids[state->n] = Int64GetDatum(id);
	state->changed[state->n] = entry;
	state->added[state->n++] = added;
	if (state->n == PART_EVENTS)
		write_events(state);
}

/*
 * Raise when a tag that was added shares an exclusive namespace with another
 */
static void
check_namespace(ChangeState *state, const struct varlena *tags, const Tag *added)
{
	const char *colon = memchr(added->data, ':', added->length);
	Tag prefix = {added->data, 0};

	if (colon == NULL || colon == added->data)
		return;
	if (!state->namespaces_known)
		learn_namespaces(state);
	prefix.length = (int) (colon - added->data);
	for (int i = 0; i < state->n_namespaces; i++)
	{
		TagScan scan;
		Tag tag;

		if (tag_compare(&state->namespaces[i], &prefix) != 0)
			continue;
		prefix.length++;
		tag_scan_begin(&scan, tags);
		while (tag_scan_next(&scan, &tag))
			if (tag_has_prefix(&tag, &prefix) && tag_compare(&tag, added) != 0)
				ereport(ERROR,
						(errcode(ERRCODE_CRM_EXCLUSIVE_NAMESPACE),
						 errmsg("namespace \"%.*s\" holds one value", prefix.length - 1, prefix.data),
						 errdetail("The tags would have \"%.*s\" and \"%.*s\".",
								   added->length, added->data, tag.length, tag.data),
						 errhint("crm.tag_put(tags, tag) replaces the value.")));
		return;
	}
}

/*
 * Compare the tags of a row before and after; NULL where there is no row
 */
static void
compare_row(ChangeState *state, int64 id, const struct varlena *before, const struct varlena *after)
{
	TagScan old_scan = {NULL, NULL, 0};
	TagScan new_scan = {NULL, NULL, 0};
	Tag old_tag = {NULL, 0};
	Tag new_tag = {NULL, 0};
	bool old_more = false;
	bool new_more = false;

	if (before == NULL || after == NULL)
	{
		Tag everybody = {"", 0};

		note_change(state, id, &everybody, after != NULL, false);
	}
	else if (VARSIZE_ANY_EXHDR(before) == VARSIZE_ANY_EXHDR(after) &&
			 memcmp(VARDATA_ANY(before), VARDATA_ANY(after), VARSIZE_ANY_EXHDR(before)) == 0)
		return;
	if (before != NULL)
	{
		tag_scan_begin(&old_scan, before);
		old_more = tag_scan_next(&old_scan, &old_tag);
	}
	if (after != NULL)
	{
		tag_scan_begin(&new_scan, after);
		new_more = tag_scan_next(&new_scan, &new_tag);
	}
	while (old_more || new_more)
	{
		int order = !old_more ? 1 : !new_more ? -1 : tag_compare(&old_tag, &new_tag);

		if (order > 0)
		{
			check_namespace(state, after, &new_tag);
			note_change(state, id, &new_tag, true, true);
		}
		else if (order < 0)
			/* The events of a customer that is deleted go with it. */
			note_change(state, id, &old_tag, false, after != NULL);
		if (order >= 0)
			new_more = tag_scan_next(&new_scan, &new_tag);
		if (order <= 0)
			old_more = tag_scan_next(&old_scan, &old_tag);
	}
}

/*
 * Read a tuplestore from its beginning
 */
static void
rewind_store(Tuplestorestate *store)
{
	tuplestore_select_read_pointer(store, tuplestore_alloc_read_pointer(store, EXEC_FLAG_REWIND));
	tuplestore_rescan(store);
}

/*
 * The tags of a row; none when they are null, as on a table whose column allows it
 */
static struct varlena *
row_tags(TupleTableSlot *slot, AttrNumber column)
{
	bool isnull;
	Datum value = slot_getattr(slot, column, &isnull);

	return isnull ? tagset_from_sorted(NULL, 0) : DatumGetTagsetPP(value);
}

/*
 * Begin the work of a statement, as the user who runs it
 */
static void
begin_changes(ChangeState *state, Relation rel)
{
	HASHCTL control = {.keysize = sizeof(TagKey), .entrysize = sizeof(ChangedTag)};
	const char *who = crm_actor;

	memset(state, 0, sizeof(*state));
	state->rel = rel;
	state->table = change_table(rel);
	state->user = GetUserId();
	if (who == NULL || who[0] == '\0')
		who = GetUserNameFromId(state->user, false);
	state->context = AllocSetContextCreate(CurrentMemoryContext, "tag changes", ALLOCSET_DEFAULT_SIZES);
	control.hcxt = state->context;
	state->tags = hash_create("changed tags", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	state->who = CStringGetTextDatum(who);
	if (crm_tag_reason != NULL && crm_tag_reason[0] != '\0')
		state->why = CStringGetTextDatum(crm_tag_reason);
	state->expires = DT_NOEND;
	if (crm_tag_expires != NULL && crm_tag_expires[0] != '\0')
		state->expires = DatumGetTimestampTz(DirectFunctionCall3(
			timestamptz_in, CStringGetDatum(crm_tag_expires), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	state->ids = MemoryContextAlloc(state->context, sizeof(Datum) * PART_EVENTS);
	state->changed = MemoryContextAlloc(state->context, sizeof(ChangedTag *) * PART_EVENTS);
	state->added = MemoryContextAlloc(state->context, sizeof(bool) * PART_EVENTS);
}

/*
 * Statement trigger: what the statement changed about tags
 */
PG_FUNCTION_INFO_V1(tags_changed);
Datum
tags_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleTableSlot *old_slot;
	TupleTableSlot *new_slot;
	Tuplestorestate *old_rows;
	Tuplestorestate *new_rows;
	MemoryContext row_context;
	MemoryContext old_context;
	ChangeState state;
	StoreOwner owner;
	AttrNumber id_column;
	AttrNumber tags_column;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) ||
		!TRIGGER_FIRED_AFTER(trigger->tg_event) || TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event) ||
		(!TRIGGER_FIRED_BY_INSERT(trigger->tg_event) && trigger->tg_oldtable == NULL) ||
		(!TRIGGER_FIRED_BY_DELETE(trigger->tg_event) && trigger->tg_newtable == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("tags_changed() must be an AFTER statement trigger with REFERENCING OLD TABLE and NEW TABLE")));
	old_rows = TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? NULL : trigger->tg_oldtable;
	new_rows = TRIGGER_FIRED_BY_DELETE(trigger->tg_event) ? NULL : trigger->tg_newtable;
	if (tuplestore_tuple_count(old_rows != NULL ? old_rows : new_rows) == 0)
		PG_RETURN_POINTER(NULL);

	store_check_shape(RelationGetRelid(trigger->tg_relation), "customer");
	id_column = store_column(trigger->tg_relation, "customer_id");
	tags_column = store_column(trigger->tg_relation, "tags");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	begin_changes(&state, trigger->tg_relation);
	store_owner_begin(trigger->tg_relation, &owner);
	row_context = AllocSetContextCreate(CurrentMemoryContext, "tags of a row", ALLOCSET_SMALL_SIZES);
	old_slot = MakeSingleTupleTableSlot(RelationGetDescr(trigger->tg_relation), &TTSOpsMinimalTuple);
	new_slot = MakeSingleTupleTableSlot(RelationGetDescr(trigger->tg_relation), &TTSOpsMinimalTuple);
	if (old_rows != NULL)
		rewind_store(old_rows);
	if (new_rows != NULL)
		rewind_store(new_rows);
	for (;;)
	{
		struct varlena *before = NULL;
		struct varlena *after = NULL;
		bool old_null = true;
		bool new_null = true;
		Datum old_id = 0;
		Datum new_id = 0;

		CHECK_FOR_INTERRUPTS();
		/* An update puts the two versions of a row into the two tables at the same place. */
		if ((old_rows != NULL && !tuplestore_gettupleslot(old_rows, true, false, old_slot)) ||
			(new_rows != NULL && !tuplestore_gettupleslot(new_rows, true, false, new_slot)))
			break;
		old_context = MemoryContextSwitchTo(row_context);
		if (old_rows != NULL)
		{
			old_id = slot_getattr(old_slot, id_column, &old_null);
			before = row_tags(old_slot, tags_column);
		}
		if (new_rows != NULL)
		{
			new_id = slot_getattr(new_slot, id_column, &new_null);
			after = row_tags(new_slot, tags_column);
		}
		MemoryContextSwitchTo(old_context);
		if (!old_null && !new_null && old_id == new_id)
			compare_row(&state, DatumGetInt64(new_id), before, after);
		else
		{
			/* A changed id is one customer gone and another come. */
			if (!old_null)
				compare_row(&state, DatumGetInt64(old_id), before, NULL);
			if (!new_null)
				compare_row(&state, DatumGetInt64(new_id), NULL, after);
		}
		MemoryContextReset(row_context);
	}
	write_events(&state);
	write_toggles(&state);
	ExecDropSingleTupleTableSlot(old_slot);
	ExecDropSingleTupleTableSlot(new_slot);
	MemoryContextDelete(state.context);
	store_owner_end(&owner);
	SPI_finish();
	PG_RETURN_POINTER(NULL);
}
