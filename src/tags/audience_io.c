/*
 * Text and binary forms of crm.audience, and its casts.
 */
#include "tags/audience.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "parser/scansup.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/*
 * Append a run of ids: alone, as a pair, or as first-last
 */
static void
append_run(StringInfo out, int64 first, int64 last)
{
	char number[MAXINT8LEN + 1];

	if (out->len > 1)
		appendStringInfoChar(out, ',');
	appendBinaryStringInfo(out, number, pg_lltoa(first, number));
	if (last > first)
	{
		appendStringInfoChar(out, last == first + 1 ? ',' : '-');
		appendBinaryStringInfo(out, number, pg_lltoa(last, number));
	}
}

/*
 * Text form: {1,2,5-9}
 */
PG_FUNCTION_INFO_V1(audience_out);
Datum
audience_out(PG_FUNCTION_ARGS)
{
	AudienceReader r;
	StringInfoData out;
	uint16 *values = palloc(sizeof(uint16) * CONTAINER_IDS);
	bool pending = false;
	int64 first = 0;
	int64 last = 0;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	audience_open(&r, PG_GETARG_AUDIENCE(0));
	while (audience_next(&r))
	{
		int n = r.c.kind == CONTAINER_RUN ? r.c.runs : container_values(&r.c, values);

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < n; i++)
		{
			int64 from = r.c.base + (r.c.kind == CONTAINER_RUN ? run_first(&r.c, i) : values[i]);
			int64 to = r.c.kind == CONTAINER_RUN ? r.c.base + run_last(&r.c, i) : from;

			if (pending && from == last + 1)
				last = to;
			else
			{
				if (pending)
					append_run(&out, first, last);
				first = from;
				last = to;
				pending = true;
			}
		}
	}
	if (pending)
		append_run(&out, first, last);
	appendStringInfoChar(&out, '}');
	PG_RETURN_CSTRING(out.data);
}

/*
 * Skip white space
 */
static const char *
skip_space(const char *p)
{
	while (scanner_isspace(*p))
		p++;
	return p;
}

/*
 * Read an integer: where it ends, or NULL when there is none or it doesn't fit
 */
static const char *
read_id(const char *p, int64 *id)
{
	bool negative = *p == '-';
	int64 value = 0;

	p += negative;
	if (*p < '0' || *p > '9')
		return NULL;
	for (; *p >= '0' && *p <= '9'; p++)
		if (pg_mul_s64_overflow(value, 10, &value) || pg_sub_s64_overflow(value, *p - '0', &value))
			return NULL;
	/* Gathered as a negative number, since the least one has no positive counterpart. */
	if (!negative && pg_mul_s64_overflow(value, -1, &value))
		return NULL;
	*id = value;
	return p;
}

/*
 * Read a list of ids and ranges into a set: NULL, or what is wrong
 */
static const char *
read_list(const char *p, AudienceSet *set)
{
	int64 spelled = 0;

	p = skip_space(p);
	if (*p++ != '{')
		return "It must begin with \"{\".";
	p = skip_space(p);
	if (*p == '}')
		p++;
	else
	{
		for (;;)
		{
			int64 first;
			int64 last;
			int64 length;

			if ((p = read_id(skip_space(p), &first)) == NULL)
				return "An id is missing, or outside the range of bigint.";
			p = skip_space(p);
			last = first;
			if (*p == '-')
			{
				if ((p = read_id(skip_space(p + 1), &last)) == NULL)
					return "The end of a range is missing, or outside the range of bigint.";
				p = skip_space(p);
			}
			if (last < first)
				return "A range ends before it begins.";
			/* A short text must not ask for much memory. */
			if (pg_sub_s64_overflow(last, first, &length) || length >= AUDIENCE_MAX_COUNT ||
				(spelled += length + 1) > AUDIENCE_MAX_COUNT)
				return "It has more than 4294967295 ids.";
			if (length == 0)
				audience_set_add(set, first);
			else
				audience_set_add_range(set, first, last);
			CHECK_FOR_INTERRUPTS();
			if (*p == '}')
			{
				p++;
				break;
			}
			if (*p++ != ',')
				return "Ids are separated by commas, and the list ends with \"}\".";
		}
	}
	if (*skip_space(p) != '\0')
		return "Nothing may follow the closing brace.";
	return NULL;
}

/*
 * Read the text form. Ids may come in any order and more than once
 */
PG_FUNCTION_INFO_V1(audience_in);
Datum
audience_in(PG_FUNCTION_ARGS)
{
	char *text = PG_GETARG_CSTRING(0);
	AudienceSet *set = audience_set_create(CurrentMemoryContext);
	const char *wrong = read_list(text, set);
	Audience *value;

	if (wrong != NULL)
	{
		audience_set_free(set);
		crm_ereturn(CRM_ESCONTEXT(fcinfo),
					(Datum) 0,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("invalid input syntax for type audience: \"%.*s\"",
							pg_mbcliplen(text, (int) strlen(text), 80),
							text),
					 errdetail("%s", wrong)));
	}
	value = audience_set_value(set);
	audience_set_free(set);
	PG_RETURN_AUDIENCE(value);
}

/*
 * Binary form: the stored bytes
 */
PG_FUNCTION_INFO_V1(audience_send);
Datum
audience_send(PG_FUNCTION_ARGS)
{
	Audience *set = PG_GETARG_AUDIENCE(0);
	StringInfoData out;

	pq_begintypsend(&out);
	pq_sendbytes(&out, (char *) set + VARHDRSZ, VARSIZE(set) - VARHDRSZ);
	PG_RETURN_BYTEA_P(pq_endtypsend(&out));
}

/*
 * Read the binary form, which is checked to the last bit
 */
PG_FUNCTION_INFO_V1(audience_recv);
Datum
audience_recv(PG_FUNCTION_ARGS)
{
	StringInfo buf = (StringInfo) PG_GETARG_POINTER(0);
	int length = buf->len - buf->cursor;
	Audience *set = palloc(VARHDRSZ + length);
	const char *wrong;

	memcpy((char *) set + VARHDRSZ, pq_getmsgbytes(buf, length), length);
	SET_VARSIZE(set, VARHDRSZ + length);
	wrong = audience_check(set, VARHDRSZ + length);
	if (wrong != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary form of type audience"),
				 errdetail("%s", wrong)));
	PG_RETURN_AUDIENCE(set);
}

/*
 * The audience of an array of ids
 */
PG_FUNCTION_INFO_V1(audience);
Datum
audience(PG_FUNCTION_ARGS)
{
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(0);
	int n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	const int64 *ids = (const int64 *) (void *) ARR_DATA_PTR(array);
	AudienceSet *set;
	Audience *value;

	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("an audience has no null ids"),
				 errhint("array_remove(ids, NULL) leaves them out.")));
	set = audience_set_create(CurrentMemoryContext);
	for (int i = 0; i < n; i++)
		audience_set_add(set, ids[i]);
	value = audience_set_value(set);
	audience_set_free(set);
	PG_RETURN_AUDIENCE(value);
}

/*
 * The ids of an audience as an array, in order
 */
PG_FUNCTION_INFO_V1(audience_to_array);
Datum
audience_to_array(PG_FUNCTION_ARGS)
{
	Audience *set = PG_GETARG_AUDIENCE(0);
	int64 count = audience_count(set);
	Size size = ARR_OVERHEAD_NONULLS(1) + (Size) count * sizeof(int64);
	uint16 *values;
	AudienceReader r;
	ArrayType *array;
	int64 *out;
	int64 written = 0;

	if (count == 0)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(INT8OID));
	if (count > MaxArraySize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("audience is too large for an array"),
				 errdetail("It has %lld ids, an array holds at most %lld.",
						   (long long) count,
						   (long long) MaxArraySize),
				 errhint("crm.members() streams them.")));
	array = palloc0(size);
	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = INT8OID;
	ARR_DIMS(array)[0] = (int) count;
	ARR_LBOUND(array)[0] = 1;
	out = (int64 *) (void *) ARR_DATA_PTR(array);
	values = palloc(sizeof(uint16) * CONTAINER_IDS);
	audience_open(&r, set);
	while (audience_next(&r))
	{
		int n = container_values(&r.c, values);

		for (int i = 0; i < n && written < count; i++)
			out[written++] = r.c.base + values[i];
	}
	PG_RETURN_ARRAYTYPE_P(array);
}
