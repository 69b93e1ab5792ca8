/*
 * The type crm.tagquery: a boolean expression over tags, such as vip & (channel:tmall | 品类:*) & !churned.
 *
 * Layout after the varlena header: byte format version, TAGQUERY_VERSION, then the tree in prefix order:
 *   QUERY_TAG, QUERY_PREFIX   byte length, bytes (an empty prefix stands for "any tag")
 *   QUERY_NOT                 the negated node
 *   QUERY_AND, QUERY_OR       uint16 number of members (two or more), uint32 bytes they take together, the members
 * No NOT stands below a NOT, no AND below an AND, no OR below an OR.
 */
#ifndef CRM_TAGQUERY_H
#define CRM_TAGQUERY_H

#include "tags/tagset.h"

#define TAGQUERY_VERSION 1
#define TAGQUERY_MAX_TAGS 10000
#define TAGQUERY_MAX_DEPTH 500
#define TAGQUERY_MAX_BYTES (4 * 1024 * 1024)

typedef enum TagqueryKind
{
	QUERY_TAG = 1,
	QUERY_PREFIX,
	QUERY_NOT,
	QUERY_AND,
	QUERY_OR
} TagqueryKind;

/* A node of a query spread out in memory; nodes stand in prefix order. */
typedef struct TagqueryNode
{
	TagqueryKind kind;
	int members; /* of AND and OR; 1 for NOT */
	int next;	 /* index of the node behind this one and all below it */
	int key;	 /* for the index: which of its keys stands for this tag or prefix */
	Tag tag;	 /* of TAG and PREFIX; points into the query */
} TagqueryNode;

/* A set prepared for many look-ups. */
typedef struct TagsetView
{
	const struct varlena *set;
	Tag *tags; /* NULL for a small set, which is walked instead */
	int count;
} TagsetView;

#define PG_GETARG_TAGQUERY_PP(n) ((struct varlena *) PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(n)))

/* tagquery_parse.c */
extern struct varlena *tagquery_parse(const char *text, int length, struct Node *escontext);

/* tagquery_tree.c */
extern void tagquery_format(const struct varlena *query, StringInfo out);
extern TagqueryNode *tagquery_nodes(const struct varlena *query, int *count);
extern void tagset_view(TagsetView *view, const struct varlena *set);
extern bool tagquery_matches(const struct varlena *query, const TagsetView *view);
extern bool tagquery_bytes_match(const uint8 *bytes, int length, const TagsetView *view);

#endif
