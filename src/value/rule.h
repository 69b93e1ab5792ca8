/*
 * crm.rule: a boolean expression over named columns, limited to a closed list of what SQL can say.
 *
 * Text goes through three steps. Parsing checks it against the closed list and gives a tree; binding gives every node a
 * type and adds the conversions; a bound tree becomes SQL, or is evaluated on values in memory.
 */
#ifndef CRM_RULE_H
#define CRM_RULE_H

#include "base/crm.h"

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "pgtime.h"
#include "utils/date.h"

#define RULE_MAX_LENGTH 8192
#define RULE_MAX_NODES 1000

#define CRM_ERRCODE_RULE_REFUSED MAKE_SQLSTATE('C', 'U', '0', '0', '1')
#define CRM_ERRCODE_RULE_COLUMN MAKE_SQLSTATE('C', 'U', '0', '0', '2')
#define CRM_ERRCODE_RULE_TYPE MAKE_SQLSTATE('C', 'U', '0', '0', '3')

/* A rule as stored: its canonical text. Whoever uses it parses it again, so that stored bytes are never trusted. */
typedef struct Rule
{
	int32 vl_len_; /* varlena header (do not touch directly!) */
	uint8 version; /* always 1 */
	char text[FLEXIBLE_ARRAY_MEMBER];
} Rule;

#define DatumGetRule(x) ((Rule *)PG_DETOAST_DATUM(x))
#define PG_GETARG_RULE_P(n) DatumGetRule(PG_GETARG_DATUM(n))

typedef enum RuleType
{
	RULE_UNKNOWN, /* a string constant whose type its neighbour decides */
	RULE_BOOL,
	RULE_INT,
	RULE_NUMERIC,
	RULE_FLOAT,
	RULE_TEXT,
	RULE_DATE,
	RULE_TIMESTAMPTZ,
	RULE_INTERVAL,
	RULE_JSONB,
	RULE_TAGSET,
	RULE_TAGQUERY,
	RULE_TEXTS,
} RuleType;

typedef enum RuleNodeKind
{
	RULE_CONST,
	RULE_COLUMN,
	RULE_NOW,
	RULE_TODAY,
	RULE_AND,
	RULE_OR,
	RULE_NOT,
	RULE_OP,	  /* name is the operator; one argument for the sign, else two */
	RULE_LIKE,	  /* name is LIKE or ILIKE */
	RULE_IN,	  /* first argument, then the list */
	RULE_BETWEEN, /* value, low, high */
	RULE_DISTINCT,
	RULE_IS,   /* name is NULL, TRUE, FALSE or UNKNOWN */
	RULE_CAST, /* to type */
	RULE_FUNC, /* name is the function; for extract the field is its first argument */
} RuleNodeKind;

typedef struct RuleNode
{
	RuleNodeKind kind;
	RuleType type;
	bool negated;
	const char *name; /* column, operator, function; of a constant its text */
	List *args;
	int location; /* byte in the rule's text, or -1 */

	/* Set by binding. */
	Oid column_type; /* the column's own type, which type stands for */
	int column;		 /* where its value is found, when evaluated */

	/* Set by compiling. */
	FmgrInfo *function;
	Datum value;

	/* Of now() and a constant interval: the moment for which value holds. */
	TimestampTz memo_at;
	bool memo_valid;
} RuleNode;

/*
 * An argument of a node
 */
static inline RuleNode *
rule_argument(const RuleNode *node, int n)
{
	if (n < 0 || n >= list_length(node->args))
		elog(ERROR, "a rule's node of kind %d has no argument %d", node->kind, n);
	return list_nth(node->args, n);
}

typedef struct RuleColumn
{
	const char *name;
	Oid type;
} RuleColumn;

/* What a rule is bound to. */
typedef struct RuleScope
{
	const char *text; /* the rule's, for errors */
	Oid relation;	  /* its columns may be named; or */
	const RuleColumn *columns;
	int ncolumns;
	bool missing_ok; /* a column that isn't there makes binding answer false rather than raise */
} RuleScope;

typedef struct CompiledRule
{
	RuleNode *root;
	pg_tz *zone;
	MemoryContext context; /* of the functions' own data */
	MemoryContext scratch; /* emptied after each evaluation */
} CompiledRule;

/* Parse and check; raises with position and advice. */
extern RuleNode *
rule_parse(const char *text);

/* The text that a tree stands for; parses back to the same tree. */
extern char *
rule_deparse(RuleNode *node);

/* Give every node its type, in place. False when a column is missing and that is allowed. */
extern bool
rule_bind(RuleNode *node, const RuleScope *scope);

/* Names of the columns that a tree uses, each once, in order of appearance. */
extern List *
rule_column_names(RuleNode *node);

/* SQL of a bound tree. Everything is qualified; columns are those of alias; now() is at or, when
 * given, the column moment. */
extern char *
rule_to_sql(RuleNode *node, Oid relation, const char *alias, TimestampTz at, const char *moment, const char *zone);

/* Names of types as rules and SQL say them; RULE_UNKNOWN when a name is not on the list. */
extern const char *
rule_type_name(RuleType type);
extern RuleType
rule_type_of_name(const char *name);
extern Oid
rule_type_oid(RuleType type);

/* Value of a constant as type; raises when it isn't one. zone may be NULL to check only. */
extern Datum
rule_constant(RuleNode *node, RuleType type, const char *zone, const char *text);

/*
 * For the order path: a rule ready to be evaluated on values in memory, or NULL when it names other columns or asks for
 * more than values in memory can say. The result lives in the current memory context, so that callers can cache it.
 */
extern CompiledRule *
rule_compile(const char *text, const RuleColumn *columns, int ncolumns, const char *zone);
extern bool
rule_matches(CompiledRule *rule, const Datum *values, const bool *isnull, TimestampTz at);

/* Day arithmetic in a zone of one's own, whatever the session's is. */
extern TimestampTz
rule_add_interval(TimestampTz at, const Interval *span, int sign, pg_tz *zone);
extern DateADT
rule_date(TimestampTz at, pg_tz *zone);
extern TimestampTz
rule_midnight(DateADT day, pg_tz *zone);
extern DateADT
rule_anniversary(DateADT day, DateADT from);

/* Raise about a place in a rule. */
extern void
rule_error(int sqlstate, const char *text, int location, const char *message, const char *hint) pg_attribute_noreturn();

#endif
