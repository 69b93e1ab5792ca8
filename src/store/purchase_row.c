#include "base/compat.h"

#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

/* The words of status; the first three count. */
static const char *const status_words[] = {"paid", "completed", "shipped", "pending", "cancelled", "refunded"};
#define STATUS_COUNTING 3

/*
 * Position of a word among status_words, else -1
 */
static int
status_position(const text *status)
{
	int length = VARSIZE_ANY_EXHDR(status);
	int i;

	for (i = 0; i < (int) lengthof(status_words); i++)
	{
		if (length == (int) strlen(status_words[i]) && memcmp(VARDATA_ANY(status), status_words[i], length) == 0)
			return i;
	}
	return -1;
}

/*
 * Does an order of this status count?
 */
static bool
status_counts(const text *status)
{
	int position = status_position(status);

	return position >= 0 && position < STATUS_COUNTING;
}

/*
 * Sign of a numeric
 */
static int
sign_of(Datum value)
{
	Numeric sign = DatumGetNumeric(DirectFunctionCall1(numeric_sign, value));

	if (numeric_is_nan(sign))
		return 1;
	return DatumGetInt32(DirectFunctionCall1(numeric_int4, NumericGetDatum(sign)));
}

/*
 * Moment at which an order counts; null when it does not
 */
PG_FUNCTION_INFO_V1(purchase_order_at);
Datum
purchase_order_at(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2) || !status_counts(PG_GETARG_TEXT_PP(0)))
		PG_RETURN_NULL();
	if (!DatumGetBool(DirectFunctionCall2(numeric_lt, PG_GETARG_DATUM(2), PG_GETARG_DATUM(1))) &&
		sign_of(PG_GETARG_DATUM(1)) != 0)
		PG_RETURN_NULL();
	if (!PG_ARGISNULL(3))
		PG_RETURN_DATUM(PG_GETARG_DATUM(3));
	if (!PG_ARGISNULL(4))
		PG_RETURN_DATUM(PG_GETARG_DATUM(4));
	PG_RETURN_NULL();
}

/*
 * What an order adds to spend
 */
PG_FUNCTION_INFO_V1(purchase_net);
Datum
purchase_net(PG_FUNCTION_ARGS)
{
	if (!status_counts(PG_GETARG_TEXT_PP(0)))
		PG_RETURN_NUMERIC(int64_to_numeric(0));
	PG_RETURN_DATUM(DirectFunctionCall2(numeric_sub, PG_GETARG_DATUM(1), PG_GETARG_DATUM(2)));
}

/*
 * Order number of the row at hand
 */
static char *
order_no_of(FunctionCallInfo fcinfo)
{
	return text_to_cstring(PG_GETARG_TEXT_PP(0));
}

/*
 * Check an order, with errors that name it
 */
PG_FUNCTION_INFO_V1(purchase_check);
Datum
purchase_check(PG_FUNCTION_ARGS)
{
	static const char *const amounts[] = {"amount", "refunded amount", "freight", "discount", "cost"};
	static const char *const moments[] = {"ordered_at", "paid_at", "completed_at"};
	int i;

	/* NOT NULL constraints speak of what is missing. */
	for (i = 0; i < 6; i++)
	{
		if (PG_ARGISNULL(i))
			PG_RETURN_NULL();
	}
	if (status_position(PG_GETARG_TEXT_PP(1)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("unknown status \"%s\" of order \"%s\"", text_to_cstring(PG_GETARG_TEXT_PP(1)), order_no_of(fcinfo)),
				 errhint("The words are pending, paid, shipped, completed, cancelled, refunded.")));
	for (i = 0; i < (int) lengthof(amounts); i++)
	{
		if (!PG_ARGISNULL(i + 2) && sign_of(PG_GETARG_DATUM(i + 2)) < 0)
			ereport(ERROR,
					(errcode(ERRCODE_CHECK_VIOLATION),
					 errmsg("%s of order \"%s\" is negative", amounts[i], order_no_of(fcinfo)),
					 errdetail("It is %s.", DatumGetCString(DirectFunctionCall1(numeric_out, PG_GETARG_DATUM(i + 2)))),
					 errhint("Money given back stands in refunded, or in rows of purchase_refund, as positive amounts.")));
	}
	if (DatumGetBool(DirectFunctionCall2(numeric_gt, PG_GETARG_DATUM(3), PG_GETARG_DATUM(2))))
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("refunds of order \"%s\" exceed its amount", order_no_of(fcinfo)),
				 errdetail("The amount is %s, refunded would be %s.",
						   DatumGetCString(DirectFunctionCall1(numeric_out, PG_GETARG_DATUM(2))),
						   DatumGetCString(DirectFunctionCall1(numeric_out, PG_GETARG_DATUM(3)))),
				 errhint("At most the amount, without freight, can be given back.")));
	for (i = 0; i < (int) lengthof(moments); i++)
	{
		if (!PG_ARGISNULL(i + 7) && TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(i + 7)))
			ereport(ERROR,
					(errcode(ERRCODE_CHECK_VIOLATION),
					 errmsg("%s of order \"%s\" is infinite", moments[i], order_no_of(fcinfo)),
					 errhint("Leave it null until it happens.")));
	}
	if (!PG_ARGISNULL(10))
	{
		char *currency = text_to_cstring(PG_GETARG_TEXT_PP(10));

		if (strlen(currency) != 3 || strspn(currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 3)
			ereport(ERROR,
					(errcode(ERRCODE_CHECK_VIOLATION),
					 errmsg("invalid currency \"%s\" of order \"%s\"", currency, order_no_of(fcinfo)),
					 errhint("Give the three letters of ISO 4217, such as CNY.")));
	}
	if (!PG_ARGISNULL(11) && sign_of(PG_GETARG_DATUM(11)) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("currency rate of order \"%s\" is not positive", order_no_of(fcinfo))));
	PG_RETURN_BOOL(true);
}
