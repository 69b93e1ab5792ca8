/*
 * The points of an account by the month in which they were earned: the state in which its entries are walked through.
 */
#ifndef CRM_POINTS_COHORT_H
#define CRM_POINTS_COHORT_H

#include "points/points.h"

#include "utils/date.h"

/* Points of one month with the same dates. */
typedef struct Layer
{
	int64 points;
	TimestampTz expires_at;
	TimestampTz available_at;
	DateADT month;
} Layer;

typedef struct Layers
{
	int count;
	int capacity;
	Layer *layer;
} Layers;

/* What later entries refer to: an earning by its month and end, a hold, redemption or capture by what it took, in
 * order. */
typedef struct Origin
{
	int64 seq;
	DateADT month;
	TimestampTz expires_at;
	bool is_hold;
	Layers taken; /* what came back since is no longer there */
} Origin;

typedef enum FlowKind
{
	FLOW_ISSUED,
	FLOW_REDEEMED,
	FLOW_EXPIRED,
	FLOW_REVERSED,
	FLOW_KINDS
} FlowKind;

/* What became of the points of a month in another. */
typedef struct Flow
{
	DateADT earned_in;
	DateADT booked_in;
	int64 points[FLOW_KINDS];
} Flow;

/* The state of the aggregates. */
typedef struct Cohorts
{
	MemoryContext context;
	int64 seq;
	DateADT month;	/* of the entry at hand */
	Layers account; /* by expires_at, available_at, month */
	Layers debts;	/* in the order in which they arose */
	Origin *origin; /* by seq */
	int origin_count;
	int origin_capacity;
	Flow *flow; /* by booked_in */
	int flow_count;
	int flow_capacity;
} Cohorts;

/* cohort.c: a layer behind the last, and an entry after the last. */
extern void cohorts_append(Cohorts *c, Layers *layers, Layer layer);
extern void cohorts_walk(Cohorts *c, const PointsEntry *entry);

#endif
