/*
 * Tiers of many customers at a moment, without the executor: what evaluate_tiers() does when the rules let it.
 */
#ifndef CRM_TIER_PASS_H
#define CRM_TIER_PASS_H

#include "value/instant_figures.h"

#include "utils/array.h"

/* What a customer ordered in the part of a month that is in the 12 months. */
typedef struct CutMonth
{
	int64 customer_id;
	int64 orders;
	int64 spend;
} CutMonth;

/* A pass over customers of one store. */
typedef struct TierPass
{
	Instant in;
	PurchaseStatement statement;
	PurchaseCustomer customer;
	CustomerScan summaries;
	AttrNumber id_column; /* of customer_summary */
	bool cut_known;		  /* what follows has all who have ordered in the month that the 12 months cut */
	CutMonth *cut;		  /* ids ascend */
	int ncut;
	MemoryContext each;	  /* current while a customer is at hand */

	/* Of its caller: what it finds, made in result. */
	MemoryContext result;
	ArrayBuildState *found;
	int64 lifted;
	int64 ended;
	int64 changed; /* of those that ended, how many got another tier */
} TierPass;

/*
 * Begin a pass for the owner of the store; false when SQL has to do it: the tables are partitioned or distributed, there are no
 * tiers, or the caller does not own them. Closed in any case.
 */
extern bool tier_pass_open(TierPass *pass, Oid purchase);
extern void tier_pass_close(TierPass *pass);

/* Do the work of a pass that was opened, as the owner of the store and connected to SPI, with rules that stay as they are. */
typedef void (*TierWork)(TierPass *pass, void *arg);
extern void tier_pass_run(TierPass *pass, TierWork work, void *arg);

/* Open what is read; false when the summaries or the members cannot be read by their keys. Ended in any case. */
extern bool tier_pass_begin(TierPass *pass);
extern void tier_pass_end(TierPass *pass);

/*
 * Count what customers, ids in (after_id, last_id], ordered in the month that the 12 months before a moment cut. Once for all
 * of them by the moment of orders, where each would have all its orders read.
 */
extern void tier_pass_count_cut(TierPass *pass, TimestampTz at, int64 after_id, int64 last_id);

/* The customer whose summary is in the slot, and the figures at a moment; false for who had not ordered by then. */
extern bool tier_pass_take(TierPass *pass, TupleTableSlot *row, TimestampTz at, Figures *f);

/* Note a customer for the caller; those noted, as bigint[]. */
extern void tier_pass_add(TierPass *pass, int64 customer_id);
extern Datum tier_pass_found(TierPass *pass);

#endif
