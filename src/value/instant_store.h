/*
 * What the order path reads and writes of single customers: their tags and their tier.
 */
#ifndef CRM_INSTANT_STORE_H
#define CRM_INSTANT_STORE_H

#include "base/crm.h"

#include "store/customer_scan.h"
#include "value/instant_rules.h"

/* What the order path has open during a statement. */
typedef struct InstantStore
{
	InstantRules *rules;
	Relation purchase;
	Snapshot snapshot;
	CustomerScan customers;
	CustomerScan members;
	CustomerScan orders; /* this and the next two are opened when first needed */
	CustomerScan expiries;
	struct TagWriter *writer;
	struct TierWriter *tiers;
	bool many; /* lifts of many customers, each once, are put aside and written together */
	MemoryContext context;
} InstantStore;

/* An order that counts. */
typedef struct CountedOrder
{
	TimestampTz at;
	int64 net;
} CountedOrder;

/* The tier of a customer as stored. */
typedef struct MemberState
{
	int32 seq;
	int32 peak;
	TimestampTz since;	   /* DT_NOBEGIN for who has no row */
	TimestampTz judged_at; /* when its cycle is over; DT_NOEND when never */
	bool found;			   /* its row is in the slot of store->members */
} MemberState;

extern void instant_store_open(InstantStore *store, InstantRules *rules, Relation purchase);
extern void instant_store_close(InstantStore *store);

/* The tags of a customer, and those of them that rules have set; the row stays in the slot. False when the customer is gone. */
extern bool
instant_tags(InstantStore *store, int64 customer_id, struct varlena **tags, struct varlena **rule_tags);

/* The tier of a customer, the lowest one for who has no row; changed when this statement has written it. */
extern void
instant_member(InstantStore *store, int64 customer_id, bool changed, MemberState *member);

/* The tier of a name; NULL when there is none. */
extern const InstantTier *
instant_tier(const InstantRules *rules, text *tier);

/* The place of a tier on the ladder. */
extern int32
instant_tier_seq(const InstantRules *rules, text *tier);

/* The orders of a customer that count, in any order, in the current context. */
extern CountedOrder *instant_orders(InstantStore *store, int64 customer_id, int *count);

/* Set and remove tags of the customer whose tags were read last: comes and goes are rules of store->rules. */
extern void
instant_write_tags(InstantStore *store, int64 customer_id, InstantTag **comes, int ncomes, InstantTag **goes, int ngoes);

/* instant_write.c: the same without the executor; false when it has to do it. close writes what was put off. */
extern bool
instant_write_direct(
	InstantStore *store, int64 customer_id, InstantTag **comes, int ncomes, InstantTag **goes, int ngoes);
extern void
instant_writer_close(InstantStore *store);

/*
 * instant_lift.c: lift a customer whose tier was read last; false when the executor has to do it.
 */
extern bool
instant_lift_direct(InstantStore *store,
					int64 customer_id,
					const MemberState *member,
					TimestampTz at,
					InstantCondition *condition,
					Datum value,
					bool isnull);
extern void
instant_tiers_close(InstantStore *store);

/* Write what lifts have put aside, whose values must have lived until now. */
extern void
instant_tiers_flush(InstantStore *store);

/* Who changes something, as text: crm.actor, else the user. */
extern Datum
instant_who(void);

/* Lift a customer by a condition whose figure is value. */
extern void
instant_lift(InstantStore *store, int64 customer_id, TimestampTz at, InstantCondition *condition, Datum value, bool isnull);

#endif
