/*
 * Changes of customers' tags.
 */
#ifndef CRM_TAG_CHANGE_H
#define CRM_TAG_CHANGE_H

#include "base/crm.h"

#include "executor/spi.h"
#include "tags/audience.h"
#include "tags/tagset.h"
#include "utils/hsearch.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* A chunk of tag_audience holds the ids that share all but this many bits. */
#define TAG_AUDIENCE_CHUNK_BITS 20

/* Events are written so many at a time. */
#define PART_EVENTS 20000

typedef enum ChangePlan
{
	PLAN_DICTIONARY,
	PLAN_NAMESPACES,
	PLAN_RESTRICTED,
	PLAN_EVENTS,
	PLAN_EXPIRY,
	PLAN_NO_EXPIRY,
	PLAN_AUDIENCE,
	PLANS
} ChangePlan;

/* The plans of a table, saved for the session. */
typedef struct ChangeTable
{
	Oid relid; /* hash key */
	SPIPlanPtr plans[PLANS];
} ChangeTable;

typedef struct TagKey
{
	uint8 length;
	char data[TAG_MAX_BYTES];
} TagKey;

/* A tag that a statement changed. */
typedef struct ChangedTag
{
	TagKey key;
	text *name;
	AudienceSet *toggled;
	bool known; /* its row of the dictionary was looked for */
	Interval *valid_for;
} ChangedTag;

typedef struct ChangeState
{
	Relation rel;
	ChangeTable *table;
	MemoryContext context; /* lives as long as the statement's work */
	HTAB *tags;
	ChangedTag *last;
	bool restricted_known;
	bool restricted; /* may not change official tags */
	Oid user;
	bool namespaces_known;
	int n_namespaces;
	Tag *namespaces;
	Datum who;
	Datum why;
	TimestampTz expires; /* DT_NOEND when none is set */
	int n;				 /* events gathered */
	Datum *ids;
	ChangedTag **changed;
	bool *added;
} ChangeState;

/* The settings; empty or NULL when unset. */
extern char *crm_tag_reason;
extern char *crm_tag_expires;

/* Define the settings crm.tag_reason and crm.tag_expires. */
extern void tag_change_init(void);

/* tag_change_write.c */
extern ChangeTable *change_table(Relation rel);
extern void learn_namespaces(ChangeState *state);
extern void write_events(ChangeState *state);
extern void write_toggles(ChangeState *state);

/* The part of an audience that belongs to its next chunk; NULL at the end. *more is what audience_next() gave. */
extern Audience *next_chunk(AudienceReader *r, bool *more, int64 *chunk);

#endif
