/*
 * Subscripts of tag sets: tags['lifecycle'] is the value of that namespace; assigning to it replaces the value, and
 * assigning NULL takes it away.
 */
#include "tags/tagset.h"

#include "catalog/pg_type.h"
#include "executor/execExpr.h"
#include "nodes/nodeFuncs.h"
#include "nodes/subscripting.h"
#include "parser/parse_coerce.h"
#include "parser/parse_expr.h"
#include "utils/builtins.h"

/*
 * Check a subscript while parsing: one, no slice, of type text
 */
static void
subscript_transform(SubscriptingRef *ref, List *indirection, struct ParseState *pstate, bool is_slice, bool is_assignment)
{
	A_Indices *index = linitial_node(A_Indices, indirection);
	Node *subscript;

	if (is_slice || list_length(indirection) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("a tagset takes one subscript, the namespace"),
				 parser_errposition(pstate, exprLocation((Node *) indirection))));
	subscript = transformExpr(pstate, index->uidx, pstate->p_expr_kind);
	subscript = coerce_to_target_type(pstate,
									  subscript,
									  exprType(subscript),
									  TEXTOID,
									  -1,
									  COERCION_ASSIGNMENT,
									  COERCE_IMPLICIT_CAST,
									  -1);
	if (subscript == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the subscript of a tagset must have type text"),
				 parser_errposition(pstate, exprLocation(index->uidx))));
	ref->refupperindexpr = list_make1(subscript);
	ref->reflowerindexpr = NIL;
	ref->refrestype = TEXTOID;
	ref->reftypmod = -1;
}

/*
 * Fetch the value of a namespace. The set is not NULL
 */
static void
subscript_fetch(ExprState *state, ExprEvalStep *op, ExprContext *econtext)
{
	SubscriptingRefState *sub = op->d.sbsref.state;
	text *namespace;
	Tag value;

	/* Whether a subscript is NULL is not looked at before. */
	if (sub->upperindexnull[0])
	{
		*op->resnull = true;
		return;
	}
	namespace = DatumGetTextPP(sub->upperindex[0]);
	if (tagset_find_value(
			DatumGetTagsetPP(*op->resvalue), VARDATA_ANY(namespace), VARSIZE_ANY_EXHDR(namespace), &value))
		*op->resvalue = PointerGetDatum(cstring_to_text_with_len(value.data, value.length));
	else
		*op->resnull = true;
}

/*
 * Replace or take away the value of a namespace; a NULL set counts as empty
 */
static void
subscript_assign(ExprState *state, ExprEvalStep *op, ExprContext *econtext)
{
	SubscriptingRefState *sub = op->d.sbsref.state;
	struct varlena *set;
	text *namespace;
	text *value;
	StringInfoData raw;

	if (sub->upperindexnull[0])
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("the subscript of a tagset must not be null")));
	set = *op->resnull ? tagset_from_sorted(NULL, 0) : DatumGetTagsetPP(*op->resvalue);
	namespace = DatumGetTextPP(sub->upperindex[0]);
	initStringInfo(&raw);
	appendBinaryStringInfo(&raw, VARDATA_ANY(namespace), VARSIZE_ANY_EXHDR(namespace));
	value = sub->replacenull ? NULL : DatumGetTextPP(sub->replacevalue);
	*op->resvalue = PointerGetDatum(tagset_assign_value(set, &raw, value));
	*op->resnull = false;
}

/*
 * Choose what runs
 */
static void
subscript_setup(const SubscriptingRef *ref, SubscriptingRefState *state, SubscriptExecSteps *steps)
{
	Assert(state->numupper == 1 && state->numlower == 0);
	steps->sbs_check_subscripts = NULL;
	steps->sbs_fetch = subscript_fetch;
	steps->sbs_assign = subscript_assign;
	steps->sbs_fetch_old = NULL;
}

/*
 * Tell the server how tag sets are subscripted
 */
PG_FUNCTION_INFO_V1(tagset_subscript);
Datum
tagset_subscript(PG_FUNCTION_ARGS)
{
	static const SubscriptRoutines routines = {
		.transform = subscript_transform,
		.exec_setup = subscript_setup,
		.fetch_strict = true,	   /* a NULL set has no value in any namespace */
		.fetch_leakproof = true,   /* fetching never raises */
		.store_leakproof = false}; /* storing names a tag that is none */

	PG_RETURN_POINTER(&routines);
}
