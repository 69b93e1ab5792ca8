/*
 * What ANALYZE keeps about a column of tag sets, beside what it keeps about every column:
 *
 * most common elements     the tags most sets have, bytewise; numbers: the share of rows with each, then least and most
 * element count histogram  as of arrays: bounds of equal parts, then the average
 * TAGSET_STATISTIC_KIND    values, bytewise: "n" and a namespace with its colon, "r" and a tag that is not among the
 *                          most common ones; numbers: the share of rows with a tag of the namespace, the number of such
 *                          tags a row has between this tag and the next; then the RARE_ numbers
 */
#ifndef CRM_TAGSET_STATS_H
#define CRM_TAGSET_STATS_H

#include "base/compat.h"

#include "access/htup.h"
#include "utils/lsyscache.h"

/* Of the range that PostgreSQL leaves for private use, 10000 to 30000. */
#define TAGSET_STATISTIC_KIND 21857

/* What stands behind the numbers of TAGSET_STATISTIC_KIND. */
#define RARE_AVERAGE 0 /* average share of rows that has one tag not among the most common */
#define RARE_EMPTY 1   /* share of sets without a tag */
#define RARE_EXTRA 2

/* What is assumed where nothing is known; as of text search. */
#define DEFAULT_TAG_SELECTIVITY 0.001
#define DEFAULT_JOIN_SELECTIVITY 0.005

typedef enum TagCondition
{
	CONDITION_CONTAINS,	 /* tagset @> tagset */
	CONDITION_CONTAINED, /* tagset <@ tagset */
	CONDITION_OVERLAPS,	 /* tagset && tagset */
	CONDITION_HAS_TAG,	 /* tagset ? text */
	CONDITION_HAS_ANY,	 /* tagset ?| text[] */
	CONDITION_HAS_ALL,	 /* tagset ?& text[] */
	CONDITION_MATCHES	 /* tagset @@ tagquery */
} TagCondition;

/* Sorted texts of a slot and a number for each. */
typedef struct Shares
{
	AttStatsSlot slot;
	int count;
} Shares;

/* Do the values of a namespace exclude each other? */
typedef enum Exclusive
{
	EXCLUSIVE_UNKNOWN, /* not looked yet */
	EXCLUSIVE_NO,
	EXCLUSIVE_YES
} Exclusive;

typedef struct TagStats
{
	Shares common;
	Shares rest;
	Exclusive *exclusive; /* of each namespace in rest */
	AttStatsSlot counts;
	bool has_common;
	bool has_rest;
	bool has_counts;
	double null_share;
	double unknown; /* the share that a tag has of which nothing is known */
	double empty;	/* share of empty sets among those that are not null */
} TagStats;

/* tagset_shares.c */
extern void tag_stats_load(HeapTuple tuple, TagStats *stats);
extern void tag_stats_free(TagStats *stats);
extern double condition_share(const TagStats *stats, TagCondition condition, Datum value);

#endif
