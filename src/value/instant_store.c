#include "value/instant_store.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "base/compat.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "store/money.h"
#include "tags/tagset.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/*
 * Every order asks for the tags and the tier of its customer, so both are read straight by their primary keys: starting the
 * executor costs several times what the row costs. Where they are written the same holds, as far as nothing else stands on
 * the tables: see instant_plain.c.
 */

/*
 * Run a plan that must do what it is for
 */
static void
run_plan(InstantStore *store, InstantPlan which, Datum *args, const char *nulls, int expected, const char *what)
{
	if (SPI_execute_plan(instant_plan(store->rules, store->purchase, which), args, nulls, false, 0) != expected)
		elog(ERROR, "%s failed", what);
}

/*
 * A value of the first row that a query gave; null when it gave none
 */
static Datum
result_value(uint64 row, int column, bool *isnull)
{
	*isnull = true;
	return SPI_processed > row ? SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull) : (Datum)0;
}

void
instant_store_open(InstantStore *store, InstantRules *rules, Relation purchase)
{
	memset(store, 0, sizeof(InstantStore));
	store->rules = rules;
	store->purchase = purchase;
	store->context = CurrentMemoryContext;
	/* The summaries are locked by now, so this sees what those waited for have written. */
	store->snapshot = RegisterSnapshot(GetTransactionSnapshot());
	if (rules->ntags > 0)
		customer_scan_open(&store->customers, rules->kept.tables[INSTANT_TABLE_CUSTOMER], store->snapshot);
}

void
instant_store_close(InstantStore *store)
{
	if (store->writer != NULL)
		instant_writer_close(store);
	if (store->tiers != NULL)
		instant_tiers_close(store);
	customer_scan_close(&store->customers);
	customer_scan_close(&store->members);
	customer_scan_close(&store->orders);
	customer_scan_close(&store->expiries);
	UnregisterSnapshot(store->snapshot);
}

bool
instant_tags(InstantStore *store, int64 customer_id, struct varlena **tags, struct varlena **rule_tags)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum stored[2];
	bool isnull[2];

	if (store->customers.index != NULL)
	{
		if (!customer_scan_find(&store->customers, customer_id))
			return false;
		stored[0] = slot_getattr(store->customers.slot, store->rules->tags_column, &isnull[0]);
		stored[1] = slot_getattr(store->customers.slot, store->rules->rule_tags_column, &isnull[1]);
		if (isnull[0] || isnull[1])
			return false;
		*tags = DatumGetTagsetPP(stored[0]);
		*rule_tags = DatumGetTagsetPP(stored[1]);
		return true;
	}
	stored[0] = Int64GetDatum(customer_id);
	run_plan(store, INSTANT_TAGS, stored, " ", SPI_OK_SELECT, "reading tags");
	/* SPI leaves its own context current, which lives until the statement is done. */
	MemoryContextSwitchTo(caller);
	for (int i = 0; i < 2; i++)
		stored[i] = result_value(0, i + 1, &isnull[i]);
	if (!isnull[0] && !isnull[1])
	{
		*tags = (struct varlena *)PG_DETOAST_DATUM_COPY(stored[0]);
		*rule_tags = (struct varlena *)PG_DETOAST_DATUM_COPY(stored[1]);
	}
	SPI_freetuptable(SPI_tuptable);
	return !isnull[0] && !isnull[1];
}

const InstantTier *
instant_tier(const InstantRules *rules, text *tier)
{
	for (int i = 0; i < rules->ntiers; i++)
	{
		text *name = rules->tiers[i].name;

		if (VARSIZE_ANY_EXHDR(name) == VARSIZE_ANY_EXHDR(tier) &&
			memcmp(VARDATA_ANY(name), VARDATA_ANY(tier), VARSIZE_ANY_EXHDR(name)) == 0)
			return &rules->tiers[i];
	}
	return NULL;
}

int32
instant_tier_seq(const InstantRules *rules, text *tier)
{
	const InstantTier *found = instant_tier(rules, tier);

	if (found == NULL)
		return rules->ntiers > 0 ? rules->tiers[0].seq : 0;
	return found->seq;
}

Datum
instant_who(void)
{
	if (crm_actor != NULL && crm_actor[0] != '\0')
		return CStringGetTextDatum(crm_actor);
	return CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));
}

void
instant_member(InstantStore *store, int64 customer_id, bool changed, MemberState *member)
{
	InstantRules *rules = store->rules;
	MemoryContext caller = CurrentMemoryContext;
	MemberColumns *c = &rules->member;
	TupleTableSlot *slot = store->members.slot;
	Datum values[4];
	bool nulls[4];

	if (store->members.rel == NULL)
	{
		MemoryContextSwitchTo(store->context);
		customer_scan_open(&store->members, rules->kept.tables[INSTANT_TABLE_MEMBER], store->snapshot);
		MemoryContextSwitchTo(caller);
		slot = store->members.slot;
	}
	member->seq = member->peak = rules->ntiers > 0 ? rules->tiers[0].seq : 0;
	member->since = DT_NOBEGIN;
	member->judged_at = DT_NOEND;
	member->found = false;
	if (store->members.index != NULL && !changed)
	{
		if (!customer_scan_find(&store->members, customer_id))
			return;
		member->found = true;
		slot_getallattrs(slot);
		values[0] = slot_getattr(slot, c->tier, &nulls[0]);
		values[1] = slot_getattr(slot, c->peak, &nulls[1]);
		values[2] = slot_getattr(slot, c->judged_at, &nulls[2]);
		values[3] = slot_getattr(slot, c->since, &nulls[3]);
	}
	else
	{
		Datum arg = Int64GetDatum(customer_id);

		run_plan(store, INSTANT_MEMBER, &arg, " ", SPI_OK_SELECT, "reading a tier");
		MemoryContextSwitchTo(caller);
		if (SPI_processed == 0)
			return;
		for (int i = 0; i < 4; i++)
			values[i] = result_value(0, i + 1, &nulls[i]);
	}
	member->seq = instant_tier_seq(rules, DatumGetTextPP(values[0]));
	member->peak = DatumGetInt32(values[1]);
	if (!nulls[2])
		member->judged_at = DatumGetTimestampTz(values[2]);
	member->since = DatumGetTimestampTz(values[3]);
}

CountedOrder *
instant_orders(InstantStore *store, int64 customer_id, int *count)
{
	MemoryContext caller = CurrentMemoryContext;
	CountedOrder *orders;
	int room = 32;
	bool isnull;

	*count = 0;
	if (store->orders.rel == NULL)
	{
		MemoryContextSwitchTo(store->context);
		customer_scan_open(&store->orders, RelationGetRelid(store->purchase), store->snapshot);
		MemoryContextSwitchTo(caller);
	}
	if (store->orders.index == NULL)
	{
		Datum arg = Int64GetDatum(customer_id);

		run_plan(store, INSTANT_ORDERS, &arg, " ", SPI_OK_SELECT, "reading orders");
		MemoryContextSwitchTo(caller);
		orders = palloc(sizeof(CountedOrder) * Max(SPI_processed, 1));
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			orders[i].at = DatumGetTimestampTz(result_value(i, 1, &isnull));
			orders[i].net = money_from_numeric(result_value(i, 2, &isnull));
			(*count)++;
		}
		SPI_freetuptable(SPI_tuptable);
	}
	else
	{
		AttrNumber order_at = get_attnum(RelationGetRelid(store->purchase), "order_at");
		AttrNumber net = get_attnum(RelationGetRelid(store->purchase), "net");

		orders = palloc(sizeof(CountedOrder) * room);
		for (bool more = customer_scan_find(&store->orders, customer_id); more; more = customer_scan_next(&store->orders))
		{
			bool no_net;
			Datum spent = slot_getattr(store->orders.slot, net, &no_net);
			Datum at = slot_getattr(store->orders.slot, order_at, &isnull);

			if (isnull)
				continue;
			if (*count == room)
				orders = repalloc_huge(orders, sizeof(CountedOrder) * (room *= 2));
			orders[*count].at = DatumGetTimestampTz(at);
			orders[(*count)++].net = money_from_numeric(spent);
		}
		ExecClearTuple(store->orders.slot);
	}
	return orders;
}

/*
 * Tags as an array of text
 */
static Datum
tag_array(InstantTag **tags, int count)
{
	Datum *values = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		values[i] = PointerGetDatum(tags[i]->tag);
	return PointerGetDatum(construct_array(values, count, TEXTOID, -1, false, TYPALIGN_INT));
}

void
instant_write_tags(InstantStore *store, int64 customer_id, InstantTag **comes, int ncomes, InstantTag **goes, int ngoes)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum args[3];

	if (instant_write_direct(store, customer_id, comes, ncomes, goes, ngoes))
		return;
	args[0] = Int64GetDatum(customer_id);
	args[1] = tag_array(comes, ncomes);
	args[2] = tag_array(goes, ngoes);
	run_plan(store, INSTANT_UPDATE_TAGS, args, "   ", SPI_OK_UPDATE, "writing rule tags");
	/* SPI leaves its own context current, which lives until the statement is done. */
	MemoryContextSwitchTo(caller);
}

void
instant_lift(InstantStore *store, int64 customer_id, TimestampTz at, InstantCondition *condition, Datum value, bool isnull)
{
	MemoryContext caller = CurrentMemoryContext;
	char nulls[7] = "      ";
	Datum args[6] = {Int64GetDatum(customer_id), TimestampTzGetDatum(at), PointerGetDatum(condition->tier),
					 value,						 condition->threshold,	  PointerGetDatum(condition->source)};

	nulls[3] = isnull ? 'n' : ' ';
	nulls[4] = condition->no_threshold ? 'n' : ' ';
	run_plan(store, INSTANT_LIFT, args, nulls, SPI_OK_INSERT, "lifting a customer");
	MemoryContextSwitchTo(caller);
}
