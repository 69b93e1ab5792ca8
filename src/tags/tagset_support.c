/*
 * crm.has_tag for the planner: wherever it is called, the operator ? stands in its place, with its index and estimates.
 */
#include "tags/tagset.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "utils/lsyscache.h"

/*
 * Replace has_tag(tags, tag) by tags ? tag
 */
PG_FUNCTION_INFO_V1(has_tag_support);
Datum
has_tag_support(PG_FUNCTION_ARGS)
{
	Node *request = (Node *) PG_GETARG_POINTER(0);
	FuncExpr *call;
	char *schema;
	Oid operator;

	if (!IsA(request, SupportRequestSimplify))
		PG_RETURN_POINTER(NULL);
	call = ((SupportRequestSimplify *) request)->fcall;
	/* Anyone may name this support function for one of their own. */
	if (list_length(call->args) != 2 || exprType(lsecond(call->args)) != TEXTOID)
		PG_RETURN_POINTER(NULL);
	schema = get_namespace_name(get_func_namespace(fcinfo->flinfo->fn_oid));
	if (schema == NULL)
		PG_RETURN_POINTER(NULL);
	operator= OpernameGetOprid(
		list_make2(makeString(schema), makeString("?")), exprType(linitial(call->args)), TEXTOID);
	if (!OidIsValid(operator) || get_func_namespace(call->funcid) != get_func_namespace(fcinfo->flinfo->fn_oid))
		PG_RETURN_POINTER(NULL);
	PG_RETURN_POINTER(make_opclause(operator, BOOLOID, false, linitial(call->args), lsecond(call->args), InvalidOid, InvalidOid));
}
