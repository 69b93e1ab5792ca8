#include "value/instant_store.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "common/pg_prng.h"
#include "executor/executor.h"
#include "store/direct_table.h"
#include "tags/tag_change.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/uuid.h"

/*
 * Writes tags that an order changes as UPDATE customer SET tags = … and its trigger tags_changed() would, without the
 * executor: starting it for each of six tables costs ten times what their rows cost.
 */

/* Events are written when there are so many, and at the end. */
#define MAX_EVENTS 1000

/* A customer that got or lost a tag. */
typedef struct Toggle
{
	int tag; /* number of the rule */
	int64 customer_id;
} Toggle;

typedef struct TagWriter
{
	MemoryContext context;
	CommandId command;
	DirectTable customer;
	DirectTable rule_tag;
	DirectTable event;
	DirectTable toggle;
	CustomerTable rule_tags; /* opened when first needed */
	Datum who;
	Datum why;
	Toggle *toggles;
	int ntoggles;
	int room;
} TagWriter;

/*
 * Open what a change of tags is written to
 */
static void
open_writer(InstantStore *store)
{
	MemoryContext caller = MemoryContextSwitchTo(store->context);
	InstantRules *rules = store->rules;
	TagWriter *w = palloc0(sizeof(TagWriter));

	w->context = store->context;
	direct_open(&w->rule_tag, rules->kept.tables[INSTANT_TABLE_RULE_TAG]);
	direct_open(&w->customer, rules->kept.tables[INSTANT_TABLE_CUSTOMER]);
	direct_open(&w->event, rules->kept.tables[INSTANT_TABLE_EVENT]);
	CheckCmdReplicaIdentity(w->customer.rel, CMD_UPDATE);
	w->who = instant_who();
	w->why = crm_tag_reason != NULL && crm_tag_reason[0] != '\0' ? CStringGetTextDatum(crm_tag_reason) : (Datum)0;
	store->writer = w;
	MemoryContextSwitchTo(caller);
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
	const AttrNumber *c = rules->direct.rule_tag;

	direct_set(&w->rule_tag, c[RULE_TAG_CUSTOMER], Int64GetDatum(customer_id));
	direct_set(&w->rule_tag, c[RULE_TAG_TAG], PointerGetDatum(tag->tag));
	direct_set(&w->rule_tag, c[RULE_TAG_SINCE], TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
	return direct_insert_new(&w->rule_tag, w->command);
}

/*
 * Keep customer_rule_tag in step. Of goes those stay that a rule has set; returns false when the statement has to do it.
 */
static bool
write_rule_tags(InstantStore *store, int64 customer_id, InstantTag **comes, int ncomes, InstantTag **goes, int *ngoes)
{
	TagWriter *w = store->writer;
	CustomerTable *table = &w->rule_tags;
	bool *there = palloc0(sizeof(bool) * (ncomes + 1));
	bool *gone = palloc0(sizeof(bool) * (*ngoes + 1));
	int kept = 0;

	/* For tags that come alone it is cheaper to try: few are there already, such as those that a person took away. */
	if (*ngoes > 0 && table->rel == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(w->context);

		instant_open_by_customer(table, RelationGetRelid(w->rule_tag.rel), store->snapshot);
		MemoryContextSwitchTo(caller);
	}
	for (bool more = *ngoes > 0 && instant_find_customer(table, customer_id); more; more = instant_next_row(table))
	{
		bool isnull;
		Datum stored = slot_getattr(table->slot, store->rules->direct.rule_tag[RULE_TAG_TAG], &isnull);
		Tag tag = {VARDATA_ANY(DatumGetPointer(stored)), VARSIZE_ANY_EXHDR(DatumGetPointer(stored))};
		int i;

		if ((i = find_tag(comes, ncomes, &tag)) >= 0)
			there[i] = true;
		else if ((i = find_tag(goes, *ngoes, &tag)) >= 0)
			gone[i] = delete_rule_tag(w, store->snapshot, table->slot->tts_tid);
	}
	if (table->slot != NULL)
		ExecClearTuple(table->slot);
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

/* A change of the tags of one customer. */
typedef struct TagChange
{
	AttrNumber column;
	InstantTag **wanted_comes;
	InstantTag **wanted_goes;
	int wanted_ncomes;
	int wanted_ngoes;
	InstantTag **comes; /* what is a change indeed */
	InstantTag **goes;
	int ncomes;
	int ngoes;
} TagChange;

/*
 * The row of a customer with other tags; false when it has them already
 */
static bool
change_customer(TupleTableSlot *after, void *arg)
{
	TagChange *change = arg;
	struct varlena *present = DatumGetTagsetPP(after->tts_values[change->column - 1]);

	change->ncomes = change->wanted_ncomes;
	change->ngoes = change->wanted_ngoes;
	memcpy(change->comes, change->wanted_comes, sizeof(InstantTag *) * change->ncomes);
	memcpy(change->goes, change->wanted_goes, sizeof(InstantTag *) * change->ngoes);
	after->tts_values[change->column - 1] =
		PointerGetDatum(changed_tags(present, change->comes, &change->ncomes, change->goes, &change->ngoes));
	return change->ncomes + change->ngoes > 0;
}

/*
 * Update the row of the customer, which was read into the slot of store->customers; leaves in comes and goes what changed
 */
static void
update_customer(InstantStore *store, InstantTag **comes, int *ncomes, InstantTag **goes, int *ngoes)
{
	TagWriter *w = store->writer;
	TagChange change = {.column = store->rules->tags_column, .wanted_ncomes = *ncomes, .wanted_ngoes = *ngoes, .comes = comes, .goes = goes};

	change.wanted_comes = palloc(sizeof(InstantTag *) * (*ncomes + 1));
	change.wanted_goes = palloc(sizeof(InstantTag *) * (*ngoes + 1));
	memcpy(change.wanted_comes, comes, sizeof(InstantTag *) * *ncomes);
	memcpy(change.wanted_goes, goes, sizeof(InstantTag *) * *ngoes);
	if (direct_update(&w->customer, store->customers.slot, store->snapshot, w->command, change_customer, &change) == DIRECT_GONE)
		ereport(ERROR,
				(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
				 errmsg("the customer of an order is being deleted"),
				 errhint("Delete the orders of a customer first.")));
	ExecClearTuple(w->customer.slot);
	*ncomes = change.ncomes;
	*ngoes = change.ngoes;
}

/*
 * Write the event of a tag, and note who toggled it
 */
static void
write_event(InstantStore *store, int64 customer_id, const InstantTag *tag, bool added)
{
	TagWriter *w = store->writer;
	DirectTable *event = &w->event;
	const AttrNumber *c = store->rules->direct.event;

	direct_set(event, c[EVENT_CUSTOMER], Int64GetDatum(customer_id));
	direct_set(event, c[EVENT_ID], Int64GetDatum(nextval_internal(store->rules->direct.event_sequence, false)));
	direct_set(event, c[EVENT_TAG], PointerGetDatum(tag->tag));
	direct_set(event, c[EVENT_ADDED], BoolGetDatum(added));
	direct_set(event, c[EVENT_AT], TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
	direct_set(event, c[EVENT_WHO], w->who);
	if (w->why != (Datum)0)
		direct_set(event, c[EVENT_WHY], w->why);
	direct_put(event);
	if (event->nrows >= MAX_EVENTS)
		direct_insert_all(event, w->command);

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

		instant_open_by_customer(table, store->rules->kept.tables[INSTANT_TABLE_EXPIRY], store->snapshot);
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
	if (!rules->direct.possible || !rules->kept.valid || store->customers.index == NULL || IsolationUsesXactSnapshot() ||
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
		open_writer(store);
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
 * A number for a row, unlike any other. gen_random_uuid() costs half of what the row does, and nobody has to be kept from guessing this one.
 */
static pg_uuid_t *
new_uuid(void)
{
	static pg_prng_state state;
	static bool seeded;
	pg_uuid_t *uuid = palloc(sizeof(pg_uuid_t));
	uint64 parts[2];

	if (!seeded && !pg_prng_strong_seed(&state))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	seeded = true;
	parts[0] = pg_prng_uint64(&state);
	parts[1] = pg_prng_uint64(&state);
	memcpy(uuid->data, parts, UUID_LEN);
	/* Version 4, as gen_random_uuid() gives it. */
	uuid->data[6] = (uuid->data[6] & 0x0f) | 0x40;
	uuid->data[8] = (uuid->data[8] & 0x3f) | 0x80;
	return uuid;
}

/*
 * Write who changed sides: a row for each tag and chunk of the statement
 */
static void
write_toggles_of(InstantStore *store)
{
	TagWriter *w = store->writer;
	DirectTable *target = &w->toggle;
	const AttrNumber *c = store->rules->direct.toggle;

	if (w->ntoggles == 0)
		return;
	direct_open(target, store->rules->kept.tables[INSTANT_TABLE_AUDIENCE]);
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
			direct_set(target, c[TOGGLE_TAG], PointerGetDatum(store->rules->tags[w->toggles[first].tag].tag));
			direct_set(target, c[TOGGLE_CHUNK], Int64GetDatum(chunk));
			direct_set(target, c[TOGGLE_ID], UUIDPGetDatum(new_uuid()));
			direct_set(target, c[TOGGLE_SET], PointerGetDatum(part));
			direct_put(target);
		}
	}
	direct_insert_all(target, w->command);
}

void
instant_writer_close(InstantStore *store)
{
	TagWriter *w = store->writer;

	w->command = GetCurrentCommandId(true);
	direct_insert_all(&w->event, w->command);
	write_toggles_of(store);
	instant_close_by_customer(&w->rule_tags);
	direct_close(&w->customer);
	direct_close(&w->rule_tag);
	direct_close(&w->event);
	direct_close(&w->toggle);
	store->writer = NULL;
	/* What follows in this transaction sees the rows. */
	CommandCounterIncrement();
}
