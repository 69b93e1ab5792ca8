#include "value/instant.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "tags/tagset.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "value/instant_figures.h"

/* A set of tags, walked along with the rules: both are in the order of bytes. */
typedef struct TagCursor
{
	TagScan scan;
	Tag tag;
	bool more;
} TagCursor;

static void
cursor_begin(TagCursor *cursor, struct varlena *set)
{
	tag_scan_begin(&cursor->scan, set);
	cursor->more = tag_scan_next(&cursor->scan, &cursor->tag);
}

/*
 * Is the tag in the set? It must not come before one asked for earlier.
 */
static bool
cursor_has(TagCursor *cursor, const Tag *tag)
{
	int order = -1;

	while (cursor->more && (order = tag_compare(tag, &cursor->tag)) > 0)
		cursor->more = tag_scan_next(&cursor->scan, &cursor->tag);
	return cursor->more && order == 0;
}

/*
 * Rule tags of one customer, as of now
 */
static void
tag_customer(Instant *in)
{
	struct varlena *tags;
	struct varlena *rule_tags;
	Figures figures;
	TagCursor present;
	TagCursor ruled;
	int ncomes = 0;
	int ngoes = 0;

	if (!instant_tags(&in->store, in->customer->customer_id, &tags, &rule_tags))
		return;
	instant_figures(in, GetCurrentTransactionStartTimestamp(), false, &figures);
	cursor_begin(&present, tags);
	cursor_begin(&ruled, rule_tags);
	for (int i = 0; i < in->rules->ntags; i++)
	{
		InstantTag *rule = &in->rules->tags[i];
		Tag own = instant_tag(rule);
		bool hold = instant_holds(in, &figures, rule->rule, rule->units, rule->names_year);
		bool noted;

		if (hold == cursor_has(&present, &own))
			continue;
		noted = cursor_has(&ruled, &own);
		/* What a rule has set and a person took away stays away; what no rule has set was set by a person, and stays. */
		if (hold && !noted)
			in->comes[ncomes++] = rule;
		else if (!hold && noted)
			in->goes[ngoes++] = rule;
	}
	/* Most orders change no tag. */
	if (ncomes + ngoes > 0)
		instant_write_tags(&in->store, in->customer->customer_id, in->comes, ncomes, in->goes, ngoes);
}

bool
value_wants_orders(Relation purchase)
{
	InstantRules *rules = instant_rules(purchase);

	return rules->lifts || rules->ntags > 0;
}

/*
 * Is there more than imported history among the changes of a customer? History that shrinks is a refund of today.
 */
static bool
is_live(const PurchaseCustomer *customer)
{
	for (int i = 0; i < customer->nchanges; i++)
	{
		PurchaseChange *change = &customer->changes[i];

		if (instant_shrank(change) || !(change->after ? change->after : change->before)->history)
			return true;
	}
	return false;
}

/*
 * Judge the customers of a statement
 */
static void
take_orders(Instant *in)
{
	PurchaseStatement *statement = in->statement;
	MemoryContext per_customer = NULL;

	for (int i = 0; i < statement->ncustomers; i++)
	{
		MemoryContext caller;

		in->customer = &statement->customers[i];
		/* Imported history waits for evaluate_tiers() and apply_tag_rules(). */
		if (in->customer->summary == NULL || !is_live(in->customer))
			continue;
		CHECK_FOR_INTERRUPTS();
		if (per_customer == NULL)
		{
			instant_begin(in);
			in->comes = palloc(sizeof(InstantTag *) * Max(in->rules->ntags, 1));
			in->goes = palloc(sizeof(InstantTag *) * Max(in->rules->ntags, 1));
			instant_store_open(&in->store, in->rules, statement->purchase);
			per_customer = AllocSetContextCreate(CurrentMemoryContext, "crm instant", ALLOCSET_SMALL_SIZES);
		}
		caller = MemoryContextSwitchTo(per_customer);
		instant_read_summary(in);
		in->judged = false;
		if (in->rules->lifts)
			instant_judge_tiers(in);
		if (in->rules->ntags > 0)
			tag_customer(in);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(per_customer);
	}
	if (per_customer != NULL)
		instant_store_close(&in->store);
}

void
value_take_orders(PurchaseStatement *statement)
{
	Instant in = {.statement = statement, .rules = instant_rules(statement->purchase)};

	if (statement->summary_desc == NULL)
		return;
	SPI_connect();
	in.rules->users++;
	PG_TRY();
	{
		take_orders(&in);
	}
	PG_FINALLY();
	{
		in.rules->users--;
	}
	PG_END_TRY();
	SPI_finish();
}
