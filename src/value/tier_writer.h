/*
 * Writes what becomes of tiers without the executor: rows of tier_member and tier_change.
 */
#ifndef CRM_TIER_WRITER_H
#define CRM_TIER_WRITER_H

#include "value/instant_store.h"

#include "store/direct_table.h"

typedef struct TierWriter
{
	DirectTable member;
	DirectTable change;
	CustomerScan tiers; /* by their name, the primary key */
	List *locked;		 /* seq of those locked so far */
	Datum who;
	TimestampTz end_of; /* the last moment for which the end of its cycle was asked */
	Datum end;
} TierWriter;

/* A row of tier_member. */
typedef struct MemberRow
{
	Datum values[MEMBER_COLUMNS];
	bool nulls[MEMBER_COLUMNS];
} MemberRow;

/* A row of tier_change to be. */
typedef struct TierChange
{
	int64 customer_id;
	text *to;
	const char *reason;
	TimestampTz at;
	NullableDatum value;
	NullableDatum threshold;
	NullableDatum condition;
	NullableDatum end; /* of the cycle that begins */
	int32 change_no;
	const MemberRow *before; /* NULL for who had none */
} TierChange;

/* May it be written so? Not under a snapshot of the whole transaction: a row that is not as that shows it is an error then. */
extern bool
tier_writer_possible(const InstantStore *store);

/* The writer, opened when it is first asked for. */
extern TierWriter *
tier_writer(InstantStore *store);

/* Lock a tier as the check of a foreign key does; false when it cannot be had. */
extern bool
tier_writer_lock(InstantStore *store, int32 seq, text *tier);

/* End of the cycle that begins on the shop day of a moment, as cycle_end() gives it. */
extern Datum
tier_writer_cycle_end(InstantStore *store, TimestampTz at);

/* The columns of a member's row. */
extern void
tier_writer_read(const InstantRules *rules, const TupleTableSlot *slot, MemberRow *row);

/* Write a change of tier; with store->many, put it aside until instant_tiers_flush(). */
extern void
tier_writer_put(InstantStore *store, const TierChange *change, CommandId command);

#endif
