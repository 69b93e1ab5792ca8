#include "base/crm.h"

#include <float.h>
#include <math.h>
#include <nlopt.h>

#include "access/htup_details.h"
#include "common/shortest_dec.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/typcache.h"

#include "value/btyd.h"

/* Version of the field fit of a model. */
#define FIT_VERSION 1

/* Logs of parameters stay within this; there the likelihood is flat. */
#define LOG_BOUND 9.0
#define BOUND_WIDTH 0.01
#define MAX_EVALUATIONS 1000
#define MAX_ROUNDS 5
#define MAX_NEWTON_STEPS 20

/* Steps of the numeric derivatives by the log of a parameter. */
#define GRADIENT_STEP 1e-4
#define HESSIAN_STEP 1e-3

typedef double Matrix[BTYD_PARAMS][BTYD_PARAMS];

typedef struct Search
{
	BtydProblem *problem;
	nlopt_opt opt;
	int evaluations;
	MemoryContext context;
	ErrorData *error;
} Search;

/*
 * Log likelihood at logs of parameters
 */
static double
value_at(Search *search, const double *logs, double *gradient)
{
	BtydProblem *problem = search->problem;
	double params[BTYD_PARAMS] = {0};
	double value;

	for (int i = 0; i < problem->params; i++)
		params[i] = exp(logs[i]);
	search->evaluations++;
	value = problem->likelihood(params, problem->analytic ? gradient : NULL, problem->data);
	if (gradient == NULL)
		return value;
	for (int i = 0; i < problem->params; i++)
		if (problem->analytic)
			gradient[i] *= params[i];
		else
		{
			params[i] = exp(logs[i] + GRADIENT_STEP);
			gradient[i] = problem->likelihood(params, NULL, problem->data);
			params[i] = exp(logs[i] - GRADIENT_STEP);
			gradient[i] -= problem->likelihood(params, NULL, problem->data);
			gradient[i] /= 2 * GRADIENT_STEP;
			params[i] = exp(logs[i]);
		}
	return value;
}

/*
 * What NLopt calls. It must return, so an interrupt that raises an error stops the search and is raised outside; any other, such as
 * word from sessions elsewhere, leaves it as it is: begun anew, it would end a digit beside
 */
static double
objective(unsigned n, const double *logs, double *gradient, void *data)
{
	Search *search = data;

	if (InterruptPending && search->error == NULL)
	{
		PG_TRY();
		{
			CHECK_FOR_INTERRUPTS();
		}
		PG_CATCH();
		{
			MemoryContextSwitchTo(search->context);
			search->error = CopyErrorData();
			FlushErrorState();
			nlopt_force_stop(search->opt);
		}
		PG_END_TRY();
	}
	return value_at(search, logs, gradient);
}

/*
 * Search with one algorithm, moving logs to the best point found
 */
static void
climb(Search *search, nlopt_algorithm algorithm, double *logs)
{
	nlopt_result result;
	double at[BTYD_PARAMS] = {0};
	double value;

	memcpy(at, logs, sizeof(double) * search->problem->params);
	search->context = CurrentMemoryContext;
	search->opt = nlopt_create(algorithm, search->problem->params);
	if (search->opt == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	nlopt_set_max_objective(search->opt, objective, search);
	nlopt_set_lower_bounds1(search->opt, -LOG_BOUND);
	nlopt_set_upper_bounds1(search->opt, LOG_BOUND);
	nlopt_set_ftol_rel(search->opt, 1e-13);
	nlopt_set_xtol_rel(search->opt, 1e-9);
	nlopt_set_maxeval(search->opt, MAX_EVALUATIONS);
	result = nlopt_optimize(search->opt, at, &value);
	nlopt_destroy(search->opt);
	if (search->error != NULL)
		ReThrowError(search->error);
	if (result == NLOPT_OUT_OF_MEMORY)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	/* After a failure it may stand anywhere. */
	if (value_at(search, at, NULL) >= value_at(search, logs, NULL))
		memcpy(logs, at, sizeof(double) * search->problem->params);
}

/*
 * Second derivatives by the logs of the parameters, from differences of the gradient
 */
static void
hessian_at(Search *search, const double *logs, Matrix hessian)
{
	int n = search->problem->params;
	double step = search->problem->analytic ? GRADIENT_STEP : HESSIAN_STEP;
	Matrix raw = {{0}};

	for (int i = 0; i < n; i++)
	{
		double at[BTYD_PARAMS] = {0};
		double above[BTYD_PARAMS] = {0};
		double below[BTYD_PARAMS] = {0};

		CHECK_FOR_INTERRUPTS();
		memcpy(at, logs, sizeof(double) * n);
		at[i] = logs[i] + step;
		value_at(search, at, above);
		at[i] = logs[i] - step;
		value_at(search, at, below);
		for (int j = 0; j < n; j++)
			raw[i][j] = (above[j] - below[j]) / (2 * step);
	}
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
			hessian[i][j] = (raw[i][j] + raw[j][i]) / 2;
}

/*
 * Invert minus the Hessian by Cholesky; false when it isn't positive definite, so the point no maximum
 */
static bool
invert_information(int n, const Matrix hessian, Matrix inverse)
{
	Matrix l = {{0}};

	for (int i = 0; i < n; i++)
		for (int j = 0; j <= i; j++)
		{
			double sum = -hessian[i][j];

			for (int k = 0; k < j; k++)
				sum -= l[i][k] * l[j][k];
			if (i == j)
			{
				if (!(sum > 1e-10 * fabs(hessian[i][i])) || !isfinite(sum))
					return false;
				l[i][i] = sqrt(sum);
			}
			else
				l[i][j] = sum / l[j][j];
		}
	for (int column = 0; column < n; column++)
	{
		double y[BTYD_PARAMS] = {0};

		for (int i = 0; i < n; i++)
		{
			y[i] = i == column;
			for (int k = 0; k < i; k++)
				y[i] -= l[i][k] * y[k];
			y[i] /= l[i][i];
		}
		for (int i = n - 1; i >= 0; i--)
		{
			for (int k = i + 1; k < n; k++)
				y[i] -= l[k][i] * inverse[k][column];
			inverse[i][column] = y[i] / l[i][i];
		}
	}
	return true;
}

/*
 * Newton steps from a point near the maximum; true when they settle on it, with the covariance of the logs there
 */
static bool
settle(Search *search, double *logs, Matrix covariance)
{
	int n = search->problem->params;

	for (int step = 0; step < MAX_NEWTON_STEPS; step++)
	{
		Matrix hessian = {{0}};
		double gradient[BTYD_PARAMS] = {0};
		double next[BTYD_PARAMS] = {0};
		double value = value_at(search, logs, gradient);
		double gain = 0;
		double reach = 0;

		hessian_at(search, logs, hessian);
		if (!isfinite(value) || !invert_information(n, hessian, covariance))
			return false;
		for (int i = 0; i < n; i++)
		{
			double move = 0;

			for (int j = 0; j < n; j++)
				move += covariance[i][j] * gradient[j];
			next[i] = logs[i] + move;
			gain += move * gradient[i] / 2;
			reach = Max(reach, fabs(move));
			if (fabs(next[i]) >= LOG_BOUND - BOUND_WIDTH)
				return false;
		}
		/* The rest of the way to the maximum is far below what a double of the log likelihood shows. */
		if (gain <= 1e-12 * Max(fabs(value), 1) && reach < 1e-5)
			return true;
		if (reach > 1 || value_at(search, next, NULL) < value - 1e-12 * fabs(value))
			return false;
		memcpy(logs, next, sizeof(double) * n);
	}
	return false;
}

/*
 * Append a number to JSON; what is not finite has no place there
 */
static void
append_number(StringInfo json, double number)
{
	char buf[DOUBLE_SHORTEST_DECIMAL_LEN];

	if (!isfinite(number))
	{
		appendStringInfoString(json, "null");
		return;
	}
	double_to_shortest_decimal_buf(number, buf);
	appendStringInfoString(json, buf);
}

/*
 * Maximize the likelihood and make the model of it, as the composite type that the calling function returns
 */
Datum
btyd_maximize(FunctionCallInfo fcinfo, BtydProblem *problem)
{
	Search search = {.problem = problem};
	int n = problem->params;
	double logs[BTYD_PARAMS] = {0};
	double params[BTYD_PARAMS] = {0};
	double value;
	Matrix covariance = {{0}};
	bool converged = false;
	bool identified = false;
	bool bound = false;
	TupleDesc desc;
	Datum values[BTYD_PARAMS + 3];
	bool nulls[BTYD_PARAMS + 3] = {false};
	StringInfoData json;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != n + 3)
		elog(ERROR, "unexpected result type of a model fit");

	for (int i = 0; i < n; i++)
		logs[i] = log(problem->start[i]);
	value = value_at(&search, logs, NULL);
	for (int round = 0; round < MAX_ROUNDS && !converged; round++)
	{
		double before = value;

		climb(&search, NLOPT_LD_LBFGS, logs);
		identified = settle(&search, logs, covariance);
		if (!identified)
		{
			/* A method without derivatives goes on where the landscape is too flat or too rough for one with. */
			climb(&search, NLOPT_LN_SBPLX, logs);
			identified = settle(&search, logs, covariance);
		}
		value = value_at(&search, logs, NULL);
		converged = identified || value - before <= 1e-8 * fabs(value);
	}
	for (int i = 0; i < n; i++)
	{
		params[i] = exp(logs[i]) * problem->unit[i];
		values[i] = Float8GetDatum(params[i]);
		bound |= fabs(logs[i]) > LOG_BOUND - BOUND_WIDTH;
	}

	initStringInfo(&json);
	appendStringInfo(&json,
					 "{\"version\": %d, \"converged\": %s, \"at_bound\": %s, \"evaluations\": %d, \"standard_errors\": ",
					 FIT_VERSION,
					 converged ? "true" : "false",
					 bound ? "true" : "false",
					 search.evaluations);
	if (identified)
	{
		appendStringInfoChar(&json, '{');
		for (int i = 0; i < n; i++)
		{
			appendStringInfo(&json, "%s\"%s\": ", i == 0 ? "" : ", ", problem->name[i]);
			append_number(&json, params[i] * sqrt(covariance[i][i]));
		}
		appendStringInfoString(&json, "}, \"covariance\": [");
		for (int i = 0; i < n; i++)
			for (int j = 0; j < n; j++)
			{
				appendStringInfoString(&json, j > 0 ? ", " : i > 0 ? ", [" : "[");
				append_number(&json, params[i] * params[j] * covariance[i][j]);
				if (j == n - 1)
					appendStringInfoChar(&json, ']');
			}
		appendStringInfoString(&json, "]}");
	}
	else
		appendStringInfoString(&json, "null, \"covariance\": null}");

	values[n] = Int64GetDatum(problem->customers);
	values[n + 1] = Float8GetDatum(value + problem->offset);
	values[n + 2] = DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

Datum
btyd_fit(FunctionCallInfo fcinfo, BtydProblem *problem, BtydArrange arrange)
{
	BtydGroups *groups = PG_ARGISNULL(0) ? NULL : btyd_groups(PG_GETARG_DATUM(0));
	double unit;

	if (groups == NULL || groups->repeats == 0)
		PG_RETURN_NULL();
	/* In units of a fortieth of the mean age it is the same problem whatever the unit of time. */
	unit = groups->mean_t / 40;
	problem->data = arrange(groups, unit);
	for (int i = 0; i < problem->params; i++)
	{
		problem->start[i] = 1;
		problem->unit[i] = problem->time[i] ? unit : 1;
	}
	problem->offset = -groups->repeats * log(unit);
	problem->customers = groups->customers;
	return btyd_maximize(fcinfo, problem);
}

/* Parameters of the model arguments of a function, and the bytes they were read from. */
typedef struct ParamsCache
{
	Size size[BTYD_MODEL_ARGUMENTS];
	char *bytes[BTYD_MODEL_ARGUMENTS];
	double params[BTYD_MODEL_ARGUMENTS][BTYD_PARAMS];
} ParamsCache;

const double *
btyd_params(FunctionCallInfo fcinfo, int argument, int params)
{
	FmgrInfo *flinfo = fcinfo->flinfo;
	ParamsCache *cache = flinfo->fn_extra;
	HeapTupleHeader header = PG_GETARG_HEAPTUPLEHEADER(argument);
	Size size = HeapTupleHeaderGetDatumLength(header);
	HeapTupleData tuple = {0};
	TupleDesc desc;
	Datum values[BTYD_PARAMS + 3];
	bool nulls[BTYD_PARAMS + 3];

	if (cache == NULL)
		flinfo->fn_extra = cache = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(ParamsCache));
	/* A model is mostly the same from row to row. */
	if (cache->size[argument] == size && memcmp(cache->bytes[argument], header, size) == 0)
		return cache->params[argument];

	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header), HeapTupleHeaderGetTypMod(header));
	if (desc->natts != params + 3)
		elog(ERROR, "unexpected type of a model");
	tuple.t_len = size;
	tuple.t_data = header;
	heap_deform_tuple(&tuple, desc, values, nulls);
	cache->size[argument] = 0;
	for (int i = 0; i < params; i++)
	{
		double value = nulls[i] ? 0 : DatumGetFloat8(values[i]);

		if (!(value > 0) || !isfinite(value))
		{
			char *name = pstrdup(NameStr(TupleDescAttr(desc, i)->attname));

			ReleaseTupleDesc(desc);
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid model"),
					 nulls[i] ? errdetail("Its parameter %s is null.", name) :
								errdetail("Its parameter %s is %g.", name, value),
					 errhint("Parameters are positive.")));
		}
		cache->params[argument][i] = value;
	}
	ReleaseTupleDesc(desc);
	if (cache->bytes[argument] != NULL)
		pfree(cache->bytes[argument]);
	cache->bytes[argument] = MemoryContextAlloc(flinfo->fn_mcxt, size);
	memcpy(cache->bytes[argument], header, size);
	cache->size[argument] = size;
	return cache->params[argument];
}

void
btyd_check_history(double x, double t_x, double t)
{
	if (!(x >= 0 && t_x >= 0 && t_x <= t) || !isfinite(x) || !isfinite(t))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid purchase history"),
				 errdetail("x is %g, t_x is %g, t is %g.", x, t_x, t),
				 errhint("x counts repeat purchases; t_x and t are counted from the first purchase, t_x being at most t.")));
}

void
btyd_check_horizon(double horizon)
{
	if (!(horizon >= 0) || !isfinite(horizon))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid horizon"),
				 errdetail("It is %g.", horizon),
				 errhint("Give a time from 0, in the unit that the model was fitted in.")));
}
