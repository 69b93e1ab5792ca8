#include "value/instant_store.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "common/pg_prng.h"
#include "executor/executor.h"
#include "storage/bufmgr.h"
#include "store/direct_table.h"
#include "tags/tag_change.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/uuid.h"

/*
 * Writes tags that an order changes as UPDATE customer SET tags = … and its trigger tags_changed() would, without the
 * executor: starting it for each of five tables costs ten times what their rows cost.
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
	DirectTable event;
	DirectTable toggle;
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
	direct_open(&w->customer, rules->kept.tables[INSTANT_TABLE_CUSTOMER]);
	direct_open(&w->event, rules->kept.tables[INSTANT_TABLE_EVENT]);
	CheckCmdReplicaIdentity(w->customer.rel, CMD_UPDATE);
	w->who = instant_who();
	w->why = crm_tag_reason != NULL && crm_tag_reason[0] != '\0' ? CStringGetTextDatum(crm_tag_reason) : (Datum)0;
	store->writer = w;
	MemoryContextSwitchTo(caller);
}

/*
 * Keep of these tags those that are in a set, or that are not; both are in the order of bytes
 */
static int
keep_tags(InstantTag **tags, int count, const Tag *set, int size, bool in)
{
	int kept = 0;
	int s = 0;

	for (int i = 0; i < count; i++)
	{
		Tag own = instant_tag(tags[i]);
		int order = -1;

		while (s < size && (order = tag_compare(&own, &set[s])) > 0)
			s++;
		if ((s < size && order == 0) == in)
			tags[kept++] = tags[i];
	}
	return kept;
}

/*
 * A set with other tags: none of comes is in it
 */
static struct varlena *
changed_set(const Tag *set, int size, InstantTag **comes, int ncomes, InstantTag **goes, int ngoes)
{
	Tag *after = palloc(sizeof(Tag) * (size + ncomes + 1));
	int n = 0;
	int c = 0;
	int g = 0;

	for (int i = 0; i < size; i++)
	{
		for (; c < ncomes; c++)
		{
			after[n] = instant_tag(comes[c]);
			if (tag_compare(&after[n], &set[i]) > 0)
				break;
			n++;
		}
		if (g < ngoes)
		{
			Tag gone = instant_tag(goes[g]);

			if (tag_compare(&gone, &set[i]) == 0)
			{
				g++;
				continue;
			}
		}
		after[n++] = set[i];
	}
	for (; c < ncomes; c++)
		after[n++] = instant_tag(comes[c]);
	return tagset_from_sorted(after, n);
}

/* A change of the tags of one customer. */
typedef struct TagChange
{
	AttrNumber tags;
	AttrNumber rule_tags;
	InstantTag **wanted_comes;
	InstantTag **wanted_goes;
	int wanted_ncomes;
	int wanted_ngoes;
	InstantTag **comes; /* what is a change indeed */
	InstantTag **goes;
	int ncomes;
	int ngoes;
	bool again; /* another writer has changed the row since comes and goes were found */
} TagChange;

/*
 * The row of a customer with other tags; false when it has them already. Only what a rule has set goes.
 */
static bool
change_customer(TupleTableSlot *after, void *arg)
{
	TagChange *change = arg;
	Datum *tags = &after->tts_values[change->tags - 1];
	Datum *rule_tags = &after->tts_values[change->rule_tags - 1];
	int npresent;
	int nruled;
	Tag *present = tagset_tags(DatumGetTagsetPP(*tags), &npresent);
	Tag *ruled = tagset_tags(DatumGetTagsetPP(*rule_tags), &nruled);
	int ncomes;

	memcpy(change->comes, change->wanted_comes, sizeof(InstantTag *) * change->wanted_ncomes);
	memcpy(change->goes, change->wanted_goes, sizeof(InstantTag *) * change->wanted_ngoes);
	change->ncomes = change->wanted_ncomes;
	change->ngoes = change->wanted_ngoes;
	if (change->again)
	{
		change->ncomes = keep_tags(change->comes, change->ncomes, present, npresent, false);
		change->ncomes = keep_tags(change->comes, change->ncomes, ruled, nruled, false);
		change->ngoes = keep_tags(change->goes, change->ngoes, present, npresent, true);
		change->ngoes = keep_tags(change->goes, change->ngoes, ruled, nruled, true);
	}
	change->again = true;
	ncomes = change->ncomes;
	if (change->ncomes + change->ngoes == 0)
		return false;
	*tags = PointerGetDatum(changed_set(present, npresent, change->comes, ncomes, change->goes, change->ngoes));
	*rule_tags = PointerGetDatum(changed_set(ruled, nruled, change->comes, ncomes, change->goes, change->ngoes));
	return true;
}

/*
 * Update the row of the customer, which was read into the slot of store->customers; leaves in comes and goes what changed
 */
static void
update_customer(InstantStore *store, InstantTag **comes, int *ncomes, InstantTag **goes, int *ngoes)
{
	TagWriter *w = store->writer;
	TagChange change = {.tags = store->rules->tags_column,
						.rule_tags = store->rules->rule_tags_column,
						.wanted_ncomes = *ncomes,
						.wanted_ngoes = *ngoes,
						.comes = comes,
						.goes = goes};

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
 * Has a table no page?
 */
static bool
is_empty(Oid relid)
{
	Relation rel = table_open(relid, AccessShareLock);
	bool empty = rel->rd_rel->relkind == RELKIND_RELATION && RelationGetNumberOfBlocks(rel) == 0;

	table_close(rel, NoLock);
	return empty;
}

/*
 * Has one of these tags of the customer a row in tag_expiry?
 */
static bool
expires(InstantStore *store, int64 customer_id, InstantTag **tags, int count)
{
	CustomerScan *table = &store->expiries;
	bool found = false;

	if (table->rel == NULL)
	{
		MemoryContext caller;

		/* In most stores nothing expires. */
		if (is_empty(store->rules->kept.tables[INSTANT_TABLE_EXPIRY]))
			return false;
		caller = MemoryContextSwitchTo(store->context);
		customer_scan_open(table, store->rules->kept.tables[INSTANT_TABLE_EXPIRY], store->snapshot);
		MemoryContextSwitchTo(caller);
	}
	if (table->index == NULL)
		return true;
	for (bool more = customer_scan_find(table, customer_id); more && !found; more = customer_scan_next(table))
	{
		bool isnull;
		Datum stored = slot_getattr(table->slot, store->rules->direct.expiry_tag, &isnull);
		Tag tag = {VARDATA_ANY(DatumGetPointer(stored)), VARSIZE_ANY_EXHDR(DatumGetPointer(stored))};

		for (int i = 0; i < count && !found; i++)
		{
			Tag own = instant_tag(tags[i]);

			found = tag_compare(&own, &tag) == 0;
		}
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
	direct_close(&w->customer);
	direct_close(&w->event);
	direct_close(&w->toggle);
	store->writer = NULL;
	/* What follows in this transaction sees the rows. */
	CommandCounterIncrement();
}
