/*
 * What the type crm.tagquery is to the server: text and binary forms, matching, order and hash.
 */
#include "tags/tagquery.h"

#include "common/hashfn.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"

/*
 * Read the text form
 */
PG_FUNCTION_INFO_V1(tagquery_in);
Datum
tagquery_in(PG_FUNCTION_ARGS)
{
	char *text = PG_GETARG_CSTRING(0);
	struct varlena *query = tagquery_parse(text, strlen(text), CRM_ESCONTEXT(fcinfo));

	if (query == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(query);
}

/*
 * Write the text form
 */
PG_FUNCTION_INFO_V1(tagquery_out);
Datum
tagquery_out(PG_FUNCTION_ARGS)
{
	StringInfoData out;

	initStringInfo(&out);
	tagquery_format(PG_GETARG_TAGQUERY_PP(0), &out);
	PG_RETURN_CSTRING(out.data);
}

/*
 * Read the binary form: version, then the text
 */
PG_FUNCTION_INFO_V1(tagquery_recv);
Datum
tagquery_recv(PG_FUNCTION_ARGS)
{
	StringInfo buf = (StringInfo) PG_GETARG_POINTER(0);
	int version = pq_getmsgbyte(buf);
	int length;
	char *text;

	if (version != TAGQUERY_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("unsupported tagquery version %d", version),
				 errhint("This library writes and reads version %d.", TAGQUERY_VERSION)));
	text = pq_getmsgtext(buf, buf->len - buf->cursor, &length);
	PG_RETURN_POINTER(tagquery_parse(text, length, NULL));
}

/*
 * Write the binary form
 */
PG_FUNCTION_INFO_V1(tagquery_send);
Datum
tagquery_send(PG_FUNCTION_ARGS)
{
	StringInfoData buf;
	StringInfoData out;

	initStringInfo(&out);
	tagquery_format(PG_GETARG_TAGQUERY_PP(0), &out);
	pq_begintypsend(&buf);
	pq_sendint8(&buf, TAGQUERY_VERSION);
	pq_sendtext(&buf, out.data, out.len);
	pfree(out.data);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

static bool
matches(struct varlena *set, struct varlena *query)
{
	TagsetView view;

	tagset_view(&view, set);
	return tagquery_matches(query, &view);
}

/*
 * Does a set match a query?
 */
PG_FUNCTION_INFO_V1(tagset_matches);
Datum
tagset_matches(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(matches(PG_GETARG_TAGSET_PP(0), PG_GETARG_TAGQUERY_PP(1)));
}

/*
 * Is a query matched by a set?
 */
PG_FUNCTION_INFO_V1(tagquery_matched_by);
Datum
tagquery_matched_by(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(matches(PG_GETARG_TAGSET_PP(1), PG_GETARG_TAGQUERY_PP(0)));
}

/*
 * Order of two queries, that of their bytes: it means nothing, but DISTINCT and GROUP BY work
 */
PG_FUNCTION_INFO_V1(tagquery_cmp);
Datum
tagquery_cmp(PG_FUNCTION_ARGS)
{
	struct varlena *a = PG_GETARG_TAGQUERY_PP(0);
	struct varlena *b = PG_GETARG_TAGQUERY_PP(1);
	int order = memcmp(VARDATA_ANY(a), VARDATA_ANY(b), Min(VARSIZE_ANY_EXHDR(a), VARSIZE_ANY_EXHDR(b)));

	if (order == 0)
		order = (VARSIZE_ANY_EXHDR(a) > VARSIZE_ANY_EXHDR(b)) - (VARSIZE_ANY_EXHDR(a) < VARSIZE_ANY_EXHDR(b));
	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	PG_RETURN_INT32(order < 0 ? -1 : order > 0);
}

#define compare_queries(fcinfo) DatumGetInt32(DirectFunctionCall2(tagquery_cmp, PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)))

PG_FUNCTION_INFO_V1(tagquery_eq);
Datum
tagquery_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_queries(fcinfo) == 0);
}

PG_FUNCTION_INFO_V1(tagquery_ne);
Datum
tagquery_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_queries(fcinfo) != 0);
}

PG_FUNCTION_INFO_V1(tagquery_lt);
Datum
tagquery_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_queries(fcinfo) < 0);
}

PG_FUNCTION_INFO_V1(tagquery_le);
Datum
tagquery_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_queries(fcinfo) <= 0);
}

PG_FUNCTION_INFO_V1(tagquery_gt);
Datum
tagquery_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_queries(fcinfo) > 0);
}

PG_FUNCTION_INFO_V1(tagquery_ge);
Datum
tagquery_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_queries(fcinfo) >= 0);
}

/*
 * Hash of a query
 */
PG_FUNCTION_INFO_V1(tagquery_hash);
Datum
tagquery_hash(PG_FUNCTION_ARGS)
{
	struct varlena *query = PG_GETARG_TAGQUERY_PP(0);
	Datum hash = hash_any((unsigned char *) VARDATA_ANY(query), VARSIZE_ANY_EXHDR(query));

	PG_FREE_IF_COPY(query, 0);
	return hash;
}
