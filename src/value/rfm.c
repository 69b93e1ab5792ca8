#include "base/crm.h"

#include "libpq/pqformat.h"
#include "utils/builtins.h"

#include "base/number.h"
#include "value/rfm.h"

/*
 * Read one score of 1 to RFM_MAX_BINS and the character after it
 */
static bool
parse_score(const char **s, char end, int *score)
{
	const char *p = *s;
	int value = 0;

	if (*p < '1' || *p > '9')
		return false;
	while (*p >= '0' && *p <= '9')
	{
		value = value * 10 + (*p++ - '0');
		if (value > RFM_MAX_BINS)
			return false;
	}
	if (*p != end)
		return false;
	*score = value;
	*s = end == '\0' ? p : p + 1;
	return true;
}

/*
 * Convert text such as 5-4-3 to a score
 */
PG_FUNCTION_INFO_V1(rfm_in);
Datum
rfm_in(PG_FUNCTION_ARGS)
{
	const char *text = PG_GETARG_CSTRING(0);
	const char *s = text;
	int r;
	int f;
	int m;

	if (!parse_score(&s, '-', &r) || !parse_score(&s, '-', &f) || !parse_score(&s, '\0', &m))
		crm_ereturn(CRM_ESCONTEXT(fcinfo),
					(Datum) 0,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("invalid input syntax for type crm.rfm: \"%s\"", text),
					 errdetail("A score is three whole numbers from 1 to %d, such as 5-4-3.", RFM_MAX_BINS)));
	PG_RETURN_INT32(RFM_MAKE(r, f, m));
}

/*
 * Convert a score to text such as 5-4-3
 */
PG_FUNCTION_INFO_V1(rfm_out);
Datum
rfm_out(PG_FUNCTION_ARGS)
{
	int32 rfm = PG_GETARG_INT32(0);

	PG_RETURN_CSTRING(psprintf("%d-%d-%d", RFM_SCORE(rfm, RFM_R), RFM_SCORE(rfm, RFM_F), RFM_SCORE(rfm, RFM_M)));
}

/*
 * Raise unless a score of an axis is in range
 */
static void
check_score(int axis, int score)
{
	if (score < 1 || score > RFM_MAX_BINS)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("score out of range"),
				 errdetail("The %s score is %d; scores are from 1 to %d.", rfm_axis_name[axis], score, RFM_MAX_BINS)));
}

/*
 * Receive a score: one byte each
 */
PG_FUNCTION_INFO_V1(rfm_recv);
Datum
rfm_recv(PG_FUNCTION_ARGS)
{
	StringInfo buf = (StringInfo) PG_GETARG_POINTER(0);
	int score[RFM_AXES];

	for (int axis = 0; axis < RFM_AXES; axis++)
	{
		score[axis] = pq_getmsgbyte(buf);
		check_score(axis, score[axis]);
	}
	PG_RETURN_INT32(RFM_MAKE(score[RFM_R], score[RFM_F], score[RFM_M]));
}

/*
 * Send a score: one byte each
 */
PG_FUNCTION_INFO_V1(rfm_send);
Datum
rfm_send(PG_FUNCTION_ARGS)
{
	int32 rfm = PG_GETARG_INT32(0);
	StringInfoData buf;

	pq_begintypsend(&buf);
	for (int axis = 0; axis < RFM_AXES; axis++)
		pq_sendbyte(&buf, RFM_SCORE(rfm, axis));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/*
 * Make a score from its three numbers
 */
PG_FUNCTION_INFO_V1(rfm);
Datum
rfm(PG_FUNCTION_ARGS)
{
	for (int axis = 0; axis < RFM_AXES; axis++)
		check_score(axis, PG_GETARG_INT32(axis));
	PG_RETURN_INT32(RFM_MAKE(PG_GETARG_INT32(0), PG_GETARG_INT32(1), PG_GETARG_INT32(2)));
}

/*
 * The recency score
 */
PG_FUNCTION_INFO_V1(r);
Datum
r(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(RFM_SCORE(PG_GETARG_INT32(0), RFM_R));
}

/*
 * The frequency score
 */
PG_FUNCTION_INFO_V1(f);
Datum
f(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(RFM_SCORE(PG_GETARG_INT32(0), RFM_F));
}

/*
 * The monetary score
 */
PG_FUNCTION_INFO_V1(m);
Datum
m(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(RFM_SCORE(PG_GETARG_INT32(0), RFM_M));
}

/*
 * Score a customer; the smaller the recency (days since the last order), the higher its score
 */
static int32
score(Datum datum, double recency, double frequency, double monetary)
{
	RfmModel *model = rfm_model_get(datum);
	const uint8 *cuts = model->cuts;
	const double *cut = model->cut;
	int r = cuts[RFM_R] + 2 - rfm_bin(cut, cuts[RFM_R], model->right_closed, recency);
	int f = rfm_bin(cut + cuts[RFM_R], cuts[RFM_F], model->right_closed, frequency);
	int m = rfm_bin(cut + cuts[RFM_R] + cuts[RFM_F], cuts[RFM_M], model->right_closed, monetary);

	if ((Pointer) model != DatumGetPointer(datum))
		pfree(model);
	return RFM_MAKE(r, f, m);
}

/*
 * Score a customer whose monetary value is a double
 */
PG_FUNCTION_INFO_V1(rfm_score);
Datum
rfm_score(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(score(PG_GETARG_DATUM(0), PG_GETARG_FLOAT8(1), PG_GETARG_FLOAT8(2), PG_GETARG_FLOAT8(3)));
}

/*
 * Score a customer whose monetary value is numeric
 */
PG_FUNCTION_INFO_V1(rfm_score_numeric);
Datum
rfm_score_numeric(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(
		score(PG_GETARG_DATUM(0), PG_GETARG_FLOAT8(1), PG_GETARG_FLOAT8(2), number_to_double(PG_GETARG_DATUM(3))));
}
