/*
 * Aggregates of crm.audience. Their state is a set held by CRoaring; between parallel workers it travels as a value.
 */
#include "tags/audience.h"

/*
 * The context that a state lives in
 */
static MemoryContext
aggregate_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called outside an aggregate");
	return context;
}

#define STATE(n) (PG_ARGISNULL(n) ? NULL : (AudienceSet *) PG_GETARG_POINTER(n))

/*
 * Return a state that may not be there
 */
#define RETURN_STATE(state)                                                                                            \
	do                                                                                                                 \
	{                                                                                                                  \
		if ((state) == NULL)                                                                                           \
			PG_RETURN_NULL();                                                                                          \
		PG_RETURN_POINTER(state);                                                                                      \
	} while (0)

/*
 * audience_agg(bigint): add an id
 */
PG_FUNCTION_INFO_V1(audience_agg_add);
Datum
audience_agg_add(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	AudienceSet *state = STATE(0);

	if (!PG_ARGISNULL(1))
	{
		if (state == NULL)
			state = audience_set_create(context);
		audience_set_add(state, PG_GETARG_INT64(1));
	}
	RETURN_STATE(state);
}

/*
 * Fold a value into a state; the first one is taken as it is
 */
static Datum
fold_value(FunctionCallInfo fcinfo, AudienceOp op)
{
	MemoryContext context = aggregate_context(fcinfo);
	AudienceSet *state = STATE(0);

	if (!PG_ARGISNULL(1))
	{
		Audience *value = PG_GETARG_AUDIENCE(1);

		if (state == NULL)
		{
			state = audience_set_create(context);
			op = AUDIENCE_OR;
		}
		audience_set_combine(state, op, value);
		PG_FREE_IF_COPY(value, 1);
	}
	RETURN_STATE(state);
}

/*
 * Fold a state into another. The second stays as it is
 */
static Datum
fold_state(FunctionCallInfo fcinfo, AudienceOp op)
{
	MemoryContext context = aggregate_context(fcinfo);
	AudienceSet *state = STATE(0);
	AudienceSet *other = STATE(1);

	if (other != NULL)
	{
		Audience *value = audience_set_value(other);

		if (state == NULL)
		{
			state = audience_set_create(context);
			op = AUDIENCE_OR;
		}
		audience_set_combine(state, op, value);
		pfree(value);
	}
	RETURN_STATE(state);
}

/*
 * audience_or_agg: union with one more
 */
PG_FUNCTION_INFO_V1(audience_or_add);
Datum
audience_or_add(PG_FUNCTION_ARGS)
{
	return fold_value(fcinfo, AUDIENCE_OR);
}

/*
 * audience_agg and audience_or_agg: union of two states
 */
PG_FUNCTION_INFO_V1(audience_or_combine);
Datum
audience_or_combine(PG_FUNCTION_ARGS)
{
	return fold_state(fcinfo, AUDIENCE_OR);
}

/*
 * audience_and_agg: intersection with one more
 */
PG_FUNCTION_INFO_V1(audience_and_add);
Datum
audience_and_add(PG_FUNCTION_ARGS)
{
	return fold_value(fcinfo, AUDIENCE_AND);
}

/*
 * audience_and_agg: intersection of two states
 */
PG_FUNCTION_INFO_V1(audience_and_combine);
Datum
audience_and_combine(PG_FUNCTION_ARGS)
{
	return fold_state(fcinfo, AUDIENCE_AND);
}

/*
 * audience_xor_agg: symmetric difference with one more
 */
PG_FUNCTION_INFO_V1(audience_xor_add);
Datum
audience_xor_add(PG_FUNCTION_ARGS)
{
	return fold_value(fcinfo, AUDIENCE_XOR);
}

/*
 * audience_xor_agg: symmetric difference of two states
 */
PG_FUNCTION_INFO_V1(audience_xor_combine);
Datum
audience_xor_combine(PG_FUNCTION_ARGS)
{
	return fold_state(fcinfo, AUDIENCE_XOR);
}

/*
 * The value of a state; null when nothing was aggregated
 */
PG_FUNCTION_INFO_V1(audience_agg_final);
Datum
audience_agg_final(PG_FUNCTION_ARGS)
{
	AudienceSet *state = STATE(0);

	aggregate_context(fcinfo);
	if (state == NULL)
		PG_RETURN_NULL();
	PG_RETURN_AUDIENCE(audience_set_value(state));
}

/*
 * A state as bytes, for another process
 */
PG_FUNCTION_INFO_V1(audience_agg_serialize);
Datum
audience_agg_serialize(PG_FUNCTION_ARGS)
{
	aggregate_context(fcinfo);
	PG_RETURN_BYTEA_P(audience_set_value((AudienceSet *) PG_GETARG_POINTER(0)));
}

/*
 * A state from another process's bytes
 */
PG_FUNCTION_INFO_V1(audience_agg_deserialize);
Datum
audience_agg_deserialize(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	AudienceSet *state = audience_set_create(context);

	/* The bytes come from a worker of this query, yet damaged ones must not reach CRoaring. */
	Audience *value = PG_GETARG_AUDIENCE(0);
	const char *wrong = audience_check(value, VARSIZE(value));

	if (wrong != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid state of an audience aggregate"),
				 errdetail("%s", wrong)));
	audience_set_combine(state, AUDIENCE_OR, value);
	PG_RETURN_POINTER(state);
}
