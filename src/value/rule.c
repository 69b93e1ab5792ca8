#include "value/rule.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#define RULE_HEADER offsetof(Rule, text)

/*
 * Canonical text of a stored rule
 */
static char *
rule_text(Rule *rule)
{
	if (VARSIZE(rule) < RULE_HEADER || rule->version != 1)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("stored rule is damaged")));
	return pnstrdup(rule->text, VARSIZE(rule) - RULE_HEADER);
}

/*
 * Check a text and make the rule that it stands for
 */
static Rule *
make_rule(const char *text)
{
	char *canonical = rule_deparse(rule_parse(text));
	int length = (int)strlen(canonical);
	Rule *rule;

	if (length > RULE_MAX_LENGTH)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("rule is too long")));
	rule = palloc(RULE_HEADER + length);
	SET_VARSIZE(rule, RULE_HEADER + length);
	rule->version = 1;
	memcpy(rule->text, canonical, length);
	return rule;
}

/*
 * Read a rule
 */
PG_FUNCTION_INFO_V1(rule_in);
Datum
rule_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(make_rule(PG_GETARG_CSTRING(0)));
}

/*
 * Write a rule
 */
PG_FUNCTION_INFO_V1(rule_out);
Datum
rule_out(PG_FUNCTION_ARGS)
{
	PG_RETURN_CSTRING(rule_text(PG_GETARG_RULE_P(0)));
}

/*
 * Read a rule from its binary form: a version byte and the text, which is checked like any other
 */
PG_FUNCTION_INFO_V1(rule_recv);
Datum
rule_recv(PG_FUNCTION_ARGS)
{
	StringInfo message = (StringInfo)PG_GETARG_POINTER(0);
	int version = pq_getmsgbyte(message);
	int length;

	if (version != 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
						errmsg("unknown version %d of the binary form of a rule", version)));
	PG_RETURN_POINTER(make_rule(pq_getmsgtext(message, message->len - message->cursor, &length)));
}

/*
 * Write the binary form of a rule
 */
PG_FUNCTION_INFO_V1(rule_send);
Datum
rule_send(PG_FUNCTION_ARGS)
{
	char *text = rule_text(PG_GETARG_RULE_P(0));
	StringInfoData message;

	pq_begintypsend(&message);
	pq_sendbyte(&message, 1);
	pq_sendtext(&message, text, strlen(text));
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

/*
 * Are two rules written the same, canonically?
 */
PG_FUNCTION_INFO_V1(rule_eq);
Datum
rule_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(strcmp(rule_text(PG_GETARG_RULE_P(0)), rule_text(PG_GETARG_RULE_P(1))) == 0);
}

/*
 * Are they written differently?
 */
PG_FUNCTION_INFO_V1(rule_ne);
Datum
rule_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(strcmp(rule_text(PG_GETARG_RULE_P(0)), rule_text(PG_GETARG_RULE_P(1))) != 0);
}

/*
 * Hash of a rule
 */
PG_FUNCTION_INFO_V1(rule_hash);
Datum
rule_hash(PG_FUNCTION_ARGS)
{
	char *text = rule_text(PG_GETARG_RULE_P(0));

	return hash_any((unsigned char *)text, strlen(text));
}

/*
 * Names of the columns that a rule uses
 */
PG_FUNCTION_INFO_V1(rule_columns);
Datum
rule_columns(PG_FUNCTION_ARGS)
{
	List *names = rule_column_names(rule_parse(rule_text(PG_GETARG_RULE_P(0))));
	Datum *values = palloc(sizeof(Datum) * Max(list_length(names), 1));
	int count = 0;
	ListCell *cell;

	foreach (cell, names)
		values[count++] = CStringGetTextDatum(strVal(lfirst(cell)));
	PG_RETURN_ARRAYTYPE_P(construct_array(values, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Bind a rule to a relation's columns, or raise
 */
static RuleNode *
bind_to_relation(const char *text, Oid relation)
{
	RuleNode *node = rule_parse(text);
	RuleScope scope = {.text = text, .relation = relation};

	(void)rule_bind(node, &scope);
	return node;
}

/*
 * Check a rule against the columns of a table or view
 */
PG_FUNCTION_INFO_V1(rule_check);
Datum
rule_check(PG_FUNCTION_ARGS)
{
	Oid relation = PG_GETARG_OID(1);

	if (get_rel_name(relation) == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", relation)));
	(void)bind_to_relation(rule_text(PG_GETARG_RULE_P(0)), relation);
	PG_RETURN_BOOL(true);
}

/*
 * SQL of a rule for a table or view
 */
static text *
relation_sql(Rule *rule, Oid relation, const char *alias, TimestampTz at, const char *moment, const char *zone)
{
	if (get_rel_name(relation) == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", relation)));
	return cstring_to_text(
		rule_to_sql(bind_to_relation(rule_text(rule), relation), relation, alias, at, moment, zone));
}

/*
 * SQL of a rule as of one moment
 */
PG_FUNCTION_INFO_V1(rule_sql);
Datum
rule_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(relation_sql(PG_GETARG_RULE_P(0),
								  PG_GETARG_OID(1),
								  text_to_cstring(PG_GETARG_TEXT_PP(2)),
								  PG_GETARG_TIMESTAMPTZ(3),
								  NULL,
								  text_to_cstring(PG_GETARG_TEXT_PP(4))));
}

/*
 * SQL of a rule as of a moment that each row brings along
 */
PG_FUNCTION_INFO_V1(rule_sql_each);
Datum
rule_sql_each(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(relation_sql(PG_GETARG_RULE_P(0),
								  PG_GETARG_OID(1),
								  text_to_cstring(PG_GETARG_TEXT_PP(2)),
								  0,
								  text_to_cstring(PG_GETARG_TEXT_PP(3)),
								  text_to_cstring(PG_GETARG_TEXT_PP(4))));
}

/*
 * The conditions of which one suffices: what a rule joins by OR
 */
PG_FUNCTION_INFO_V1(rule_branches);
Datum
rule_branches(PG_FUNCTION_ARGS)
{
	RuleNode *node = rule_parse(rule_text(PG_GETARG_RULE_P(0)));
	List *branches = node->kind == RULE_OR ? node->args : list_make1(node);
	Datum *values = palloc(sizeof(Datum) * list_length(branches));

	for (int i = 0; i < list_length(branches); i++)
		values[i] = CStringGetTextDatum(rule_deparse(list_nth(branches, i)));
	PG_RETURN_ARRAYTYPE_P(construct_array(values, list_length(branches), TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * The column and the limit of a condition such as spend_12m >= 500, else NULL
 */
PG_FUNCTION_INFO_V1(rule_threshold);
Datum
rule_threshold(PG_FUNCTION_ARGS)
{
	RuleNode *node = rule_parse(rule_text(PG_GETARG_RULE_P(0)));
	RuleNode *column = NULL;
	RuleNode *limit = NULL;
	TupleDesc desc;
	Datum values[2];
	bool isnull[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (node->kind == RULE_OP && list_length(node->args) == 2 && (node->name[0] == '>' || node->name[0] == '<') &&
		strspn(node->name, "<>=") == strlen(node->name) && strcmp(node->name, "<>") != 0)
	{
		column = node->name[0] == '>' ? linitial(node->args) : lsecond(node->args);
		limit = node->name[0] == '>' ? lsecond(node->args) : linitial(node->args);
	}
	if (column == NULL || column->kind != RULE_COLUMN || limit->kind != RULE_CONST ||
		(limit->type != RULE_INT && limit->type != RULE_NUMERIC))
		PG_RETURN_NULL();
	values[0] = CStringGetTextDatum(column->name);
	values[1] = DirectFunctionCall3(
		numeric_in, CStringGetDatum(limit->name), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, isnull)));
}

/*
 * The row of a record argument that rule_test evaluates a rule on
 */
typedef struct TestState
{
	Rule *rule;
	Oid type;
	int32 typmod;
	TupleDesc desc;
	CompiledRule *compiled;
	char *zone;
} TestState;

/*
 * Evaluate a rule on one row by the evaluator of the order path
 */
PG_FUNCTION_INFO_V1(rule_test);
Datum
rule_test(PG_FUNCTION_ARGS)
{
	Rule *rule = PG_GETARG_RULE_P(0);
	HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(1);
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(2);
	char *zone = text_to_cstring(PG_GETARG_TEXT_PP(3));
	TestState *state = fcinfo->flinfo->fn_extra;
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(row), .t_data = row};
	Datum *values;
	bool *isnull;

	if (state == NULL || VARSIZE(state->rule) != VARSIZE(rule) || memcmp(state->rule, rule, VARSIZE(rule)) != 0 ||
		state->type != HeapTupleHeaderGetTypeId(row) || state->typmod != HeapTupleHeaderGetTypMod(row) ||
		strcmp(state->zone, zone) != 0)
	{
		MemoryContext caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
		TupleDesc desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(row), HeapTupleHeaderGetTypMod(row));
		RuleColumn *columns;
		int count = 0;

		state = palloc0(sizeof(TestState));
		state->rule = (Rule *)datumCopy(PointerGetDatum(rule), false, -1);
		state->type = HeapTupleHeaderGetTypeId(row);
		state->typmod = HeapTupleHeaderGetTypMod(row);
		state->zone = pstrdup(zone);
		state->desc = CreateTupleDescCopy(desc);
		ReleaseTupleDesc(desc);
		columns = palloc(sizeof(RuleColumn) * Max(state->desc->natts, 1));
		for (int i = 0; i < state->desc->natts; i++)
		{
			Form_pg_attribute attribute = TupleDescAttr(state->desc, i);

			columns[count].name = attribute->attisdropped ? "" : pstrdup(NameStr(attribute->attname));
			columns[count++].type = attribute->atttypid;
		}
		state->compiled = rule_compile(rule_text(rule), columns, count, zone);
		MemoryContextSwitchTo(caller);
		fcinfo->flinfo->fn_extra = state;
	}
	if (state->compiled == NULL)
		PG_RETURN_NULL();
	values = palloc(sizeof(Datum) * Max(state->desc->natts, 1));
	isnull = palloc(sizeof(bool) * Max(state->desc->natts, 1));
	heap_deform_tuple(&tuple, state->desc, values, isnull);
	PG_RETURN_BOOL(rule_matches(state->compiled, values, isnull, at));
}

/*
 * Trigger of tables that hold rules: checks their columns against the table or view named by its argument, which stands
 * in the same schema
 */
PG_FUNCTION_INFO_V1(rule_guard);
Datum
rule_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *)fcinfo->context;
	HeapTuple row;
	TupleDesc desc;
	Oid relation;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_BEFORE(trigger->tg_event) || TRIGGER_FIRED_BY_DELETE(trigger->tg_event) ||
		trigger->tg_trigger->tgnargs != 1)
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("rule_guard is for BEFORE INSERT OR UPDATE triggers FOR EACH ROW"),
						errhint("Its one argument is the view whose columns rules may name.")));
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	desc = RelationGetDescr(trigger->tg_relation);
	relation = get_relname_relid(trigger->tg_trigger->tgargs[0], RelationGetNamespace(trigger->tg_relation));
	if (!OidIsValid(relation))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation \"%s\" is missing beside table \"%s\"", trigger->tg_trigger->tgargs[0],
							   RelationGetRelationName(trigger->tg_relation))));
	for (int i = 0; i < desc->natts; i++)
	{
		Datum value;
		bool isnull;

		if (TupleDescAttr(desc, i)->attisdropped ||
			strcmp(format_type_be_qualified(TupleDescAttr(desc, i)->atttypid), CRM_SCHEMA ".rule") != 0)
			continue;
		value = heap_getattr(row, i + 1, desc, &isnull);
		if (!isnull)
			(void)bind_to_relation(rule_text(DatumGetRule(value)), relation);
	}
	return PointerGetDatum(row);
}

/*
 * The day on or after a day on which a date comes round again
 */
PG_FUNCTION_INFO_V1(anniversary);
Datum
anniversary(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATEADT(rule_anniversary(PG_GETARG_DATEADT(0), PG_GETARG_DATEADT(1)));
}
