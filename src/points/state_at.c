#include "points/points.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/*
 * What an account is at a moment: see points_state_at in the kit
 */
PG_FUNCTION_INFO_V1(points_state_at);
Datum
points_state_at(PG_FUNCTION_ARGS)
{
	PointsState state = {0};
	Datum values[4];
	bool nulls[4] = {false};
	TupleDesc desc;
	TimestampTz at;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3) || PG_ARGISNULL(6))
		PG_RETURN_NULL();
	state.available = PG_GETARG_INT64(0);
	state.pending = PG_GETARG_INT64(1);
	state.held = PG_GETARG_INT64(2);
	points_lots_read(PG_GETARG_DATUM(3), &state.lots);
	at = PG_GETARG_TIMESTAMPTZ(6);
	state.booked_at = DT_NOBEGIN;
	if (!PG_ARGISNULL(4) && !PG_ARGISNULL(5))
	{
		ArrayType *lots = PG_GETARG_ARRAYTYPE_P(4);
		ArrayType *due = PG_GETARG_ARRAYTYPE_P(5);
		Datum *lot_values;
		Datum *due_values;
		bool *lot_nulls;
		bool *due_nulls;
		int n;
		int m;
		int16 length;
		bool by_value;
		char align;

		get_typlenbyvalalign(ARR_ELEMTYPE(lots), &length, &by_value, &align);
		deconstruct_array(lots, ARR_ELEMTYPE(lots), length, by_value, align, &lot_values, &lot_nulls, &n);
		deconstruct_array(due, TIMESTAMPTZOID, 8, true, TYPALIGN_DOUBLE, &due_values, &due_nulls, &m);
		if (n != m)
			ereport(ERROR,
					(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR), errmsg("hold_lots and hold_due differ in length")));
		state.hold = palloc0(sizeof(PointsHold) * Max(n, 1));
		for (int i = 0; i < n; i++)
		{
			PointsHold *hold = &state.hold[state.hold_count];

			if (lot_nulls[i])
				continue;
			points_lots_read(lot_values[i], &hold->lots);
			hold->seq = ++state.hold_count;
			hold->points = points_lots_sum(&hold->lots);
			hold->due_at = due_nulls[i] ? DT_NOEND : DatumGetTimestampTz(due_values[i]);
		}
	}
	for (;;)
	{
		PointsEntry entry = {.program = ""};

		CHECK_FOR_INTERRUPTS();
		entry.expires_at = entry.available_at = POINTS_NO_TIME;
		if (!points_lapse(&state, at, &entry))
			break;
	}
	values[0] = Int64GetDatum(state.available);
	values[1] = Int64GetDatum(state.pending);
	values[2] = Int64GetDatum(state.held);
	values[3] = points_lots_datum(&state.lots);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
