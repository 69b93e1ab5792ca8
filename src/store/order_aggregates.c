/*
 * Aggregates for passes over all orders: a state of a few bytes a customer, where sum(numeric) keeps some hundred and an
 * ordered array_agg keeps and sorts every row.
 */
#include "base/crm.h"

#include "mb/pg_wchar.h"
#include "store/money.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

/*
 * Transition of money_sum: the sum so far in units, null before the first amount
 */
PG_FUNCTION_INFO_V1(money_sum_add);
Datum
money_sum_add(PG_FUNCTION_ARGS)
{
	int64 units;

	if (PG_ARGISNULL(1))
	{
		if (PG_ARGISNULL(0))
			PG_RETURN_NULL();
		PG_RETURN_INT64(PG_GETARG_INT64(0));
	}
	units = money_from_numeric(PG_GETARG_DATUM(1));
	PG_RETURN_INT64(PG_ARGISNULL(0) ? units : money_add(PG_GETARG_INT64(0), units));
}

/*
 * Join two sums
 */
PG_FUNCTION_INFO_V1(money_sum_combine);
Datum
money_sum_combine(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(money_add(PG_GETARG_INT64(0), PG_GETARG_INT64(1)));
}

/*
 * The sum as an amount
 */
PG_FUNCTION_INFO_V1(money_sum_final);
Datum
money_sum_final(PG_FUNCTION_ARGS)
{
	return money_to_numeric(PG_GETARG_INT64(0));
}

/* What latest keeps of the row that is ahead: its moment, the length of tie, the bytes of tie, and those of value. */
#define LATEST_HEADER (sizeof(TimestampTz) + sizeof(int32))

/* A state taken apart. */
typedef struct LatestRow
{
	TimestampTz at;
	const char *tie;
	int tie_length;
	const char *value;
	int value_length;
} LatestRow;

/*
 * Whoever calls the parts of an aggregate by hand may bring anything
 */
static void
refuse_state(void)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION), errmsg("invalid state of the aggregate latest")));
}

static LatestRow
latest_unpack(bytea *state)
{
	const char *data = VARDATA_ANY(state);
	int length = VARSIZE_ANY_EXHDR(state);
	int32 tie_length;
	LatestRow row;

	if (length < (int) LATEST_HEADER)
		refuse_state();
	memcpy(&row.at, data, sizeof(row.at));
	memcpy(&tie_length, data + sizeof(row.at), sizeof(tie_length));
	if (tie_length < 0 || tie_length > length - (int) LATEST_HEADER)
		refuse_state();
	row.tie = data + LATEST_HEADER;
	row.tie_length = tie_length;
	row.value = row.tie + tie_length;
	row.value_length = length - (int) LATEST_HEADER - tie_length;
	return row;
}

static bytea *
latest_pack(const LatestRow *row)
{
	Size size = VARHDRSZ + LATEST_HEADER + row->tie_length + row->value_length;
	bytea *state = palloc(size);
	char *data = VARDATA(state);
	int32 tie_length = row->tie_length;

	SET_VARSIZE(state, size);
	memcpy(data, &row->at, sizeof(row->at));
	memcpy(data + sizeof(row->at), &tie_length, sizeof(tie_length));
	memcpy(data + LATEST_HEADER, row->tie, row->tie_length);
	memcpy(data + LATEST_HEADER + row->tie_length, row->value, row->value_length);
	return state;
}

/*
 * Is a row ahead of another: later, or of the same moment with a smaller tie, or with that too a smaller value
 */
static bool
latest_ahead(const LatestRow *a, const LatestRow *b, Oid collation)
{
	int order;

	if (a->at != b->at)
		return a->at > b->at;
	order = varstr_cmp(a->tie, a->tie_length, b->tie, b->tie_length, collation);
	if (order == 0)
		order = varstr_cmp(a->value, a->value_length, b->value, b->value_length, collation);
	return order < 0;
}

/*
 * Transition of latest: (state, value, at, tie)
 */
PG_FUNCTION_INFO_V1(latest_add);
Datum
latest_add(PG_FUNCTION_ARGS)
{
	LatestRow row;
	text *value;
	text *tie;

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3))
	{
		if (PG_ARGISNULL(0))
			PG_RETURN_NULL();
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	}
	row.at = PG_GETARG_TIMESTAMPTZ(2);
	if (!PG_ARGISNULL(0))
	{
		LatestRow ahead = latest_unpack(PG_GETARG_BYTEA_PP(0));

		/* The common case, before texts are looked at. */
		if (row.at < ahead.at)
			PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	}
	value = PG_GETARG_TEXT_PP(1);
	tie = PG_GETARG_TEXT_PP(3);
	row.value = VARDATA_ANY(value);
	row.value_length = VARSIZE_ANY_EXHDR(value);
	row.tie = VARDATA_ANY(tie);
	row.tie_length = VARSIZE_ANY_EXHDR(tie);
	if (!PG_ARGISNULL(0))
	{
		LatestRow ahead = latest_unpack(PG_GETARG_BYTEA_PP(0));

		if (!latest_ahead(&row, &ahead, PG_GET_COLLATION()))
			PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	}
	PG_RETURN_BYTEA_P(latest_pack(&row));
}

/*
 * Join two states
 */
PG_FUNCTION_INFO_V1(latest_combine);
Datum
latest_combine(PG_FUNCTION_ARGS)
{
	LatestRow a = latest_unpack(PG_GETARG_BYTEA_PP(0));
	LatestRow b = latest_unpack(PG_GETARG_BYTEA_PP(1));

	PG_RETURN_DATUM(PG_GETARG_DATUM(latest_ahead(&b, &a, PG_GET_COLLATION()) ? 1 : 0));
}

/*
 * The value of the row that is ahead
 */
PG_FUNCTION_INFO_V1(latest_final);
Datum
latest_final(PG_FUNCTION_ARGS)
{
	LatestRow row = latest_unpack(PG_GETARG_BYTEA_PP(0));

	pg_verifymbstr(row.value, row.value_length, false);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(row.value, row.value_length));
}
