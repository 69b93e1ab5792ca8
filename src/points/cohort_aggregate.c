/*
 * The aggregates points_flows and points_left, which walk through an account's entries; see cohort.c.
 */
#include "points/cohort.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

/*
 * Transition function of points_flows and points_left: the next entry of an account
 */
PG_FUNCTION_INFO_V1(points_cohort_add);
Datum
points_cohort_add(PG_FUNCTION_ARGS)
{
	Cohorts *c = PG_ARGISNULL(0) ? NULL : (Cohorts *)PG_GETARG_POINTER(0);
	PointsEntry entry = {0};
	MemoryContext context;
	MemoryContext old;
	char *kind;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called in non-aggregate context");
	for (int i = 1; i <= 5; i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("booked_in, seq, kind, points and booked_at must not be null")));
	}
	if (c == NULL)
	{
		c = MemoryContextAllocZero(context, sizeof(Cohorts));
		c->context = context;
	}
	entry.seq = PG_GETARG_INT64(2);
	kind = text_to_cstring(PG_GETARG_TEXT_PP(3));
	if (entry.seq <= c->seq || !points_kind_parse(kind, &entry.kind))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("entries of one account are wanted in the order of seq"),
						errdetail("Entry " INT64_FORMAT " of kind %s comes after entry " INT64_FORMAT ".", entry.seq,
								  kind, c->seq),
						errhint("GROUP BY customer_id, program, and ORDER BY seq inside the aggregate.")));
	c->seq = entry.seq;
	c->month = PG_GETARG_DATEADT(1);
	entry.points = PG_GETARG_INT64(4);
	entry.booked_at = PG_GETARG_TIMESTAMPTZ(5);
	entry.shortfall = PG_ARGISNULL(6) ? 0 : PG_GETARG_INT64(6);
	entry.reverses = PG_ARGISNULL(7) ? 0 : PG_GETARG_INT64(7);
	entry.expires_at = PG_ARGISNULL(8) ? POINTS_NO_TIME : PG_GETARG_TIMESTAMPTZ(8);
	entry.available_at = PG_ARGISNULL(9) ? POINTS_NO_TIME : PG_GETARG_TIMESTAMPTZ(9);
	if (!PG_ARGISNULL(10))
		points_lots_read(PG_GETARG_DATUM(10), &entry.lots);
	old = MemoryContextSwitchTo(context);
	cohorts_walk(c, &entry);
	MemoryContextSwitchTo(old);
	PG_RETURN_POINTER(c);
}

/*
 * An array of rows as the aggregate's result
 */
static Datum
make_array(FunctionCallInfo fcinfo, int count, HeapTuple (*make)(const Cohorts *c, int index, TupleDesc desc),
		   const Cohorts *c)
{
	Oid element = get_element_type(get_fn_expr_rettype(fcinfo->flinfo));
	TupleDesc desc;
	Datum *rows = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Datum) * Max(count, 1));

	if (!OidIsValid(element))
		elog(ERROR, "could not determine the type of the result");
	desc = lookup_rowtype_tupdesc(element, -1);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		rows[i] = HeapTupleGetDatum(make(c, i, desc));
	}
	ReleaseTupleDesc(desc);
	return PointerGetDatum(construct_array(rows, count, element, -1, false, TYPALIGN_DOUBLE));
}

static HeapTuple
flow_row(const Cohorts *c, int index, TupleDesc desc)
{
	const Flow *flow = &c->flow[index];
	Datum values[2 + FLOW_KINDS] = {DateADTGetDatum(flow->earned_in), DateADTGetDatum(flow->booked_in)};
	bool nulls[2 + FLOW_KINDS] = {false};

	for (int i = 0; i < FLOW_KINDS; i++)
		values[2 + i] = Int64GetDatum(flow->points[i]);
	return heap_form_tuple(desc, values, nulls);
}

/*
 * Final function of points_flows
 */
PG_FUNCTION_INFO_V1(points_flows_final);
Datum
points_flows_final(PG_FUNCTION_ARGS)
{
	Cohorts *c = PG_ARGISNULL(0) ? NULL : (Cohorts *)PG_GETARG_POINTER(0);

	if (c == NULL)
		PG_RETURN_NULL();
	return make_array(fcinfo, c->flow_count, flow_row, c);
}

static HeapTuple
left_row(const Cohorts *c, int index, TupleDesc desc)
{
	const Layer *layer = &c->account.layer[index];
	Datum values[3] = {DateADTGetDatum(layer->month), TimestampTzGetDatum(layer->expires_at),
					   Int64GetDatum(layer->points)};
	bool nulls[3] = {false, layer->expires_at == DT_NOEND, false};

	return heap_form_tuple(desc, values, nulls);
}

/*
 * Final function of points_left: the account, its open holds, its debts below zero
 */
PG_FUNCTION_INFO_V1(points_left_final);
Datum
points_left_final(PG_FUNCTION_ARGS)
{
	Cohorts *c = PG_ARGISNULL(0) ? NULL : (Cohorts *)PG_GETARG_POINTER(0);
	Cohorts all;

	if (c == NULL)
		PG_RETURN_NULL();
	memset(&all, 0, sizeof(Cohorts));
	all.context = CurrentMemoryContext;
	for (int i = 0; i < c->account.count; i++)
		cohorts_append(&all, &all.account, c->account.layer[i]);
	for (int i = 0; i < c->debts.count; i++)
	{
		Layer debt = c->debts.layer[i];

		debt.points = -debt.points;
		debt.expires_at = DT_NOEND;
		cohorts_append(&all, &all.account, debt);
	}
	for (int i = 0; i < c->origin_count; i++)
	{
		const Origin *origin = &c->origin[i];

		if (!origin->is_hold)
			continue;
		for (int j = 0; j < origin->taken.count; j++)
			cohorts_append(&all, &all.account, origin->taken.layer[j]);
	}
	return make_array(fcinfo, all.account.count, left_row, &all);
}
