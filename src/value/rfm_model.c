#include "base/crm.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "libpq/pqformat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "value/rfm.h"

/* What the text form, which reads it as a double, keeps exact. */
#define RFM_MAX_CUSTOMERS INT64CONST(1000000000000000)

const char *const rfm_axis_name[RFM_AXES] = {"r", "f", "m"};

/*
 * Allocate a model with room for the cut points of each axis; means are those of given cut points
 */
RfmModel *
rfm_model_make(const int *cuts)
{
	Size size = RFM_MODEL_SIZE(cuts[RFM_R] + cuts[RFM_F] + cuts[RFM_M]);
	RfmModel *model = palloc0(size);

	SET_VARSIZE(model, size);
	model->version = RFM_MODEL_VERSION;
	for (int axis = 0; axis < RFM_AXES; axis++)
	{
		model->cuts[axis] = cuts[axis];
		model->mean[axis] = (cuts[axis] + 2) / 2.0;
	}
	return model;
}

/*
 * The cut points of an axis
 */
double *
rfm_model_cuts(RfmModel *model, int axis)
{
	double *cut = model->cut;

	for (int i = 0; i < axis; i++)
		cut += model->cuts[i];
	return cut;
}

/*
 * Detoast a model and raise unless its bytes are those of a model
 */
RfmModel *
rfm_model_get(Datum datum)
{
	RfmModel *model = (RfmModel *) PG_DETOAST_DATUM(datum);
	Size size = VARSIZE(model);

	if (size < RFM_MODEL_SIZE(RFM_AXES) || model->version != RFM_MODEL_VERSION ||
		size != RFM_MODEL_SIZE(model->cuts[RFM_R] + model->cuts[RFM_F] + model->cuts[RFM_M]))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("invalid value of type crm.rfm_model")));
	return model;
}

/*
 * What is wrong with the numbers of a model, or NULL
 */
static const char *
model_problem(RfmModel *model)
{
	for (int axis = 0; axis < RFM_AXES; axis++)
	{
		const double *cut = rfm_model_cuts(model, axis);

		for (int i = 0; i < model->cuts[axis]; i++)
		{
			if (!isfinite(cut[i]))
				return psprintf("A cut point of %s is not finite.", rfm_axis_name[axis]);
			if (i > 0 && cut[i] < cut[i - 1])
				return psprintf("The cut points of %s do not ascend.", rfm_axis_name[axis]);
		}
		if (!(model->mean[axis] >= 1 && model->mean[axis] <= model->cuts[axis] + 1))
			return psprintf("The mean score of %s is not between 1 and %d.", rfm_axis_name[axis], model->cuts[axis] + 1);
	}
	if (model->customers < 0 || model->customers > RFM_MAX_CUSTOMERS)
		return "The number of customers is no count.";
	return NULL;
}

/*
 * What is wrong with the number of cut points of an axis, or NULL
 */
static const char *
count_problem(int axis, int count)
{
	if (count >= 1 && count < RFM_MAX_BINS)
		return NULL;
	return psprintf("Axis %s has %d cut points; it takes 1 to %d.", rfm_axis_name[axis], count, RFM_MAX_BINS - 1);
}

/*
 * Raise that a model is invalid
 */
static void
invalid_model(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid RFM model"), errdetail_internal("%s", detail)));
}

/*
 * Make a model from given cut points
 */
PG_FUNCTION_INFO_V1(rfm_model);
Datum
rfm_model(PG_FUNCTION_ARGS)
{
	ArrayType *array[RFM_AXES];
	int cuts[RFM_AXES];
	RfmModel *model;
	const char *problem;

	for (int axis = 0; axis < RFM_AXES; axis++)
	{
		array[axis] = PG_GETARG_ARRAYTYPE_P(axis);
		cuts[axis] = ArrayGetNItems(ARR_NDIM(array[axis]), ARR_DIMS(array[axis]));
		problem = count_problem(axis, cuts[axis]);
		if (problem == NULL && (ARR_NDIM(array[axis]) != 1 || array_contains_nulls(array[axis])))
			problem = psprintf("The cut points of %s are not a plain list without nulls.", rfm_axis_name[axis]);
		if (problem != NULL)
			invalid_model(problem);
	}
	model = rfm_model_make(cuts);
	model->right_closed = PG_GETARG_BOOL(3);
	for (int axis = 0; axis < RFM_AXES; axis++)
		memcpy(rfm_model_cuts(model, axis), ARR_DATA_PTR(array[axis]), sizeof(double) * cuts[axis]);
	problem = model_problem(model);
	if (problem != NULL)
		invalid_model(problem);
	PG_RETURN_POINTER(model);
}

/*
 * The member of a JSON object that is an array, or NULL
 */
static JsonbContainer *
get_array(Jsonb *json, const char *key)
{
	JsonbValue found;

	if (getKeyJsonValueFromContainer(&json->root, key, strlen(key), &found) == NULL || found.type != jbvBinary ||
		!JsonContainerIsArray(found.val.binary.data))
		return NULL;
	return found.val.binary.data;
}

/*
 * Copy the numbers of a JSON array; false when one is not a number
 */
static bool
copy_numbers(JsonbContainer *array, double *to)
{
	for (uint32 i = 0; i < JsonContainerSize(array); i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(array, i);

		if (element->type != jbvNumeric)
			return false;
		to[i] =
			DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(element->val.numeric)));
	}
	return true;
}

/*
 * Read a model from JSON; sets *problem and returns NULL when it isn't one
 */
static RfmModel *
model_from_json(Jsonb *json, const char **problem)
{
	JsonbContainer *array[RFM_AXES];
	JsonbContainer *means;
	JsonbValue value;
	int cuts[RFM_AXES];
	RfmModel *model;

	*problem = "It is a JSON object such as {\"closed\": \"left\", \"r\": [30, 90], \"f\": [2, 5], \"m\": [100, 500]}.";
	if (!JB_ROOT_IS_OBJECT(json))
		return NULL;
	for (int axis = 0; axis < RFM_AXES; axis++)
	{
		const char *wrong;

		array[axis] = get_array(json, rfm_axis_name[axis]);
		if (array[axis] == NULL)
			return NULL;
		wrong = count_problem(axis, cuts[axis] = JsonContainerSize(array[axis]));
		if (wrong != NULL)
		{
			*problem = wrong;
			return NULL;
		}
	}
	model = rfm_model_make(cuts);
	for (int axis = 0; axis < RFM_AXES; axis++)
		if (!copy_numbers(array[axis], rfm_model_cuts(model, axis)))
			return NULL;

	if (getKeyJsonValueFromContainer(&json->root, "closed", strlen("closed"), &value) != NULL)
	{
		if (value.type != jbvString || value.val.string.len == 0)
			return NULL;
		if (value.val.string.len == strlen("right") && memcmp(value.val.string.val, "right", strlen("right")) == 0)
			model->right_closed = 1;
		else if (value.val.string.len != strlen("left") || memcmp(value.val.string.val, "left", strlen("left")) != 0)
		{
			*problem = "\"closed\" is neither \"left\" nor \"right\".";
			return NULL;
		}
	}
	if (getKeyJsonValueFromContainer(&json->root, "customers", strlen("customers"), &value) != NULL)
	{
		double customers;

		if (value.type != jbvNumeric)
			return NULL;
		customers = DatumGetFloat8(
			DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value.val.numeric)));
		if (!(customers >= 0 && customers <= RFM_MAX_CUSTOMERS && customers == floor(customers)))
		{
			*problem = "\"customers\" is not a count.";
			return NULL;
		}
		model->customers = (int64) customers;
	}
	if (getKeyJsonValueFromContainer(&json->root, "means", strlen("means"), &value) != NULL)
	{
		means = get_array(json, "means");
		if (means == NULL || JsonContainerSize(means) != RFM_AXES || !copy_numbers(means, model->mean))
		{
			*problem = "\"means\" is not a list of three numbers.";
			return NULL;
		}
	}
	*problem = model_problem(model);
	return *problem == NULL ? model : NULL;
}

/*
 * Convert JSON text to a model
 */
PG_FUNCTION_INFO_V1(rfm_model_in);
Datum
rfm_model_in(PG_FUNCTION_ARGS)
{
	char *text = PG_GETARG_CSTRING(0);
	const char *problem;
	Datum json;
	RfmModel *model;

	if (!crm_input_call(jsonb_in, text, CRM_ESCONTEXT(fcinfo), &json))
		PG_RETURN_NULL();
	model = model_from_json(DatumGetJsonbP(json), &problem);
	if (model == NULL)
		crm_ereturn(CRM_ESCONTEXT(fcinfo),
					(Datum) 0,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("invalid input syntax for type crm.rfm_model"),
					 errdetail_internal("%s", problem)));
	PG_RETURN_POINTER(model);
}

/*
 * Append numbers as a JSON array, in the shortest form that reads back the same
 */
static void
append_numbers(StringInfo out, const double *numbers, int n)
{
	char buf[DOUBLE_SHORTEST_DECIMAL_LEN];

	appendStringInfoChar(out, '[');
	for (int i = 0; i < n; i++)
	{
		double_to_shortest_decimal_buf(numbers[i], buf);
		appendStringInfo(out, "%s%s", i == 0 ? "" : ", ", buf);
	}
	appendStringInfoChar(out, ']');
}

/*
 * Convert a model to JSON text
 */
PG_FUNCTION_INFO_V1(rfm_model_out);
Datum
rfm_model_out(PG_FUNCTION_ARGS)
{
	RfmModel *model = rfm_model_get(PG_GETARG_DATUM(0));
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(&out, "{\"closed\": \"%s\"", model->right_closed ? "right" : "left");
	for (int axis = 0; axis < RFM_AXES; axis++)
	{
		appendStringInfo(&out, ", \"%s\": ", rfm_axis_name[axis]);
		append_numbers(&out, rfm_model_cuts(model, axis), model->cuts[axis]);
	}
	if (model->customers > 0)
	{
		appendStringInfo(&out, ", \"customers\": " INT64_FORMAT ", \"means\": ", model->customers);
		append_numbers(&out, model->mean, RFM_AXES);
	}
	appendStringInfoChar(&out, '}');
	PG_RETURN_CSTRING(out.data);
}

/*
 * Receive a model: version, closed side, counts, customers, means, cut points
 */
PG_FUNCTION_INFO_V1(rfm_model_recv);
Datum
rfm_model_recv(PG_FUNCTION_ARGS)
{
	StringInfo buf = (StringInfo) PG_GETARG_POINTER(0);
	int cuts[RFM_AXES];
	int version = pq_getmsgbyte(buf);
	int right_closed = pq_getmsgbyte(buf);
	RfmModel *model;
	const char *problem = NULL;

	if (version != RFM_MODEL_VERSION || right_closed > 1)
		problem = psprintf("Unknown version %d or side %d.", version, right_closed);
	for (int axis = 0; axis < RFM_AXES && problem == NULL; axis++)
		problem = count_problem(axis, cuts[axis] = pq_getmsgbyte(buf));
	if (problem == NULL)
	{
		model = rfm_model_make(cuts);
		model->right_closed = right_closed;
		model->customers = pq_getmsgint64(buf);
		for (int axis = 0; axis < RFM_AXES; axis++)
			model->mean[axis] = pq_getmsgfloat8(buf);
		for (int i = 0; i < cuts[RFM_R] + cuts[RFM_F] + cuts[RFM_M]; i++)
			model->cut[i] = pq_getmsgfloat8(buf);
		problem = model_problem(model);
	}
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary value of type crm.rfm_model"),
				 errdetail_internal("%s", problem)));
	PG_RETURN_POINTER(model);
}

/*
 * Send a model, as rfm_model_recv reads it
 */
PG_FUNCTION_INFO_V1(rfm_model_send);
Datum
rfm_model_send(PG_FUNCTION_ARGS)
{
	RfmModel *model = rfm_model_get(PG_GETARG_DATUM(0));
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendbyte(&buf, model->version);
	pq_sendbyte(&buf, model->right_closed);
	for (int axis = 0; axis < RFM_AXES; axis++)
		pq_sendbyte(&buf, model->cuts[axis]);
	pq_sendint64(&buf, model->customers);
	for (int axis = 0; axis < RFM_AXES; axis++)
		pq_sendfloat8(&buf, model->mean[axis]);
	for (int i = 0; i < model->cuts[RFM_R] + model->cuts[RFM_F] + model->cuts[RFM_M]; i++)
		pq_sendfloat8(&buf, model->cut[i]);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/*
 * The cut points of an axis as an array
 */
static Datum
cuts_array(Datum datum, int axis)
{
	RfmModel *model = rfm_model_get(datum);
	Datum elements[RFM_MAX_BINS];
	const double *cut = rfm_model_cuts(model, axis);

	for (int i = 0; i < model->cuts[axis]; i++)
		elements[i] = Float8GetDatum(cut[i]);
	return PointerGetDatum(
		construct_array(elements, model->cuts[axis], FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * The cut points of recency
 */
PG_FUNCTION_INFO_V1(r_cuts);
Datum
r_cuts(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(cuts_array(PG_GETARG_DATUM(0), RFM_R));
}

/*
 * The cut points of frequency
 */
PG_FUNCTION_INFO_V1(f_cuts);
Datum
f_cuts(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(cuts_array(PG_GETARG_DATUM(0), RFM_F));
}

/*
 * The cut points of monetary value
 */
PG_FUNCTION_INFO_V1(m_cuts);
Datum
m_cuts(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(cuts_array(PG_GETARG_DATUM(0), RFM_M));
}
