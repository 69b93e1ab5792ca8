/*
 * A verb that posts one movement: what it is asked and how it is posted.
 */
#ifndef CRM_POINTS_VERB_H
#define CRM_POINTS_VERB_H

#include "points/ledger.h"

#define VERB_SALT_SIZE 16

/* What the arguments of verbs are. */
typedef enum VerbArgument
{
	ARG_CUSTOMER,
	ARG_TARGET, /* reference of the entry that is reversed */
	ARG_POINTS,
	ARG_SOURCE,
	ARG_REFERENCE,
	ARG_PROGRAM,
	ARG_EXPIRES_AT,
	ARG_AVAILABLE_AT,
	ARG_AS_OF,
	ARG_NOTE,
	ARG_DETAIL
} VerbArgument;

/* A verb: its arguments in order, and the kinds of which it reverses an entry. */
typedef struct Verb
{
	PointsKind kind;
	int count;
	VerbArgument argument[10];
	int reversed_count;
	PointsKind reversed[2];
} Verb;

/* What a verb posts. */
typedef struct Movement
{
	const Verb *verb;
	Relation rel;
	Ledger *ledger;
	bool direct; /* without a statement */
	PointsEntry entry;
	bool given[LEDGER_COLUMNS];
	text *note;
	const char *target; /* reference of the entry that is reversed */
	uint8 salt[VERB_SALT_SIZE];
	int guc_level; /* of the statement that runs */
} Movement;

/* verb_post.c: may the row be written without a statement; what the movement reverses; the row that is posted, or repeated, or 0. */
extern bool verb_is_direct(const Movement *movement);
extern void verb_find_target(Movement *movement);
extern Datum verb_post(Movement *movement);

#endif
