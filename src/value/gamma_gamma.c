/*
 * Gamma-Gamma: Fader, Hardie and Lee (2005), "RFM and CLV"; Fader and Hardie (2013), "The Gamma-Gamma Model of Monetary
 * Value".
 */
#include "base/crm.h"

#include <math.h>

#include "value/btyd.h"

/* What the likelihood reads. */
typedef struct Data
{
	BtydValues xs;
	double *customers; /* of each x */
	double *log_means; /* of each x, their sum */
	int64 count;
	struct Spender
	{
		int32 x;
		double total; /* x times the mean */
		double n;
	} *group;
} Data;

static const char *const names[] = {"p", "q", "v"};

/*
 * Log likelihood of p, q, v, and its gradient
 */
static double
likelihood(const double *params, double *gradient, void *argument)
{
	Data *data = argument;
	double p = params[0];
	double q = params[1];
	double v = params[2];
	double value = 0;
	double by_p = 0;
	double by_q = 0;
	double by_v = 0;
	double lgamma_q = lgamma(q);
	double digamma_q = digamma(q);

	for (int64 i = 0; i < data->xs.count; i++)
	{
		double x = data->xs.value[i];
		double n = data->customers[i];

		value += n * (lgamma(p * x + q) - lgamma(p * x) - lgamma_q + q * log(v) + p * x * log(x)) +
				 (p * x - 1) * data->log_means[i];
		if (gradient != NULL)
		{
			double digamma_pxq = digamma(p * x + q);

			by_p += x * (n * (digamma_pxq - digamma(p * x) + log(x)) + data->log_means[i]);
			by_q += n * (digamma_pxq - digamma_q + log(v));
			by_v += n * q / v;
		}
	}
	for (int64 i = 0; i < data->count; i++)
	{
		const struct Spender *group = &data->group[i];
		double x = data->xs.value[group->x];
		double log_total = log(group->total + v);

		value -= group->n * (p * x + q) * log_total;
		by_p -= group->n * x * log_total;
		by_q -= group->n * log_total;
		by_v -= group->n * (p * x + q) / (group->total + v);
	}
	if (gradient != NULL)
	{
		gradient[0] = by_p;
		gradient[1] = by_q;
		gradient[2] = by_v;
	}
	return value;
}

/*
 * Make the model of a state
 */
PG_FUNCTION_INFO_V1(gamma_gamma_fit_final);
Datum
gamma_gamma_fit_final(PG_FUNCTION_ARGS)
{
	BtydGroups *groups = PG_ARGISNULL(0) ? NULL : btyd_groups(PG_GETARG_DATUM(0));
	BtydProblem problem = {3, names, likelihood, true};
	Data data = {{0}};
	double unit = 0;

	if (groups == NULL || groups->count < 3)
		PG_RETURN_NULL();
	data.xs = btyd_values(groups, offsetof(BtydGroup, x), BTYD_NO_COLUMN);
	data.customers = palloc0(sizeof(double) * data.xs.count);
	data.log_means = palloc0(sizeof(double) * data.xs.count);
	data.group = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(*data.group) * groups->count);
	for (int64 i = 0; i < groups->count; i++)
		unit += groups->group[i].t_x * groups->group[i].n;
	/* In units of the mean it is the same problem whatever the currency. */
	unit /= groups->customers;
	for (int64 i = 0; i < groups->count; i++)
	{
		const BtydGroup *group = &groups->group[i];
		struct Spender spender = {btyd_find(&data.xs, group->x), group->x * (group->t_x / unit), group->n};

		data.customers[spender.x] += group->n;
		data.log_means[spender.x] += group->n * log(group->t_x / unit);
		data.group[data.count++] = spender;
	}
	problem.data = &data;
	for (int i = 0; i < problem.params; i++)
	{
		problem.start[i] = 2;
		problem.unit[i] = i == 2 ? unit : 1;
	}
	problem.offset = -groups->customers * log(unit);
	problem.customers = groups->customers;
	return btyd_maximize(fcinfo, &problem);
}

/*
 * Value expected of each purchase of a customer; false when the model gives it no mean
 */
bool
gamma_gamma_expected(const GammaGamma *model, double x, double mean, double *value)
{
	double weight = model->p * x + model->q - 1;

	if (weight <= 0)
		return false;
	*value = model->p * (model->v + x * mean) / weight;
	return true;
}

/*
 * Value expected of each purchase of a customer
 */
PG_FUNCTION_INFO_V1(expected_value);
Datum
expected_value(PG_FUNCTION_ARGS)
{
	const GammaGamma *model = (const GammaGamma *) btyd_params(fcinfo, 0, 3);
	double x = PG_GETARG_FLOAT8(1);
	double mean = PG_GETARG_FLOAT8(2);
	double value;

	if (!(x >= 0) || !isfinite(x) || !(mean >= 0) || !isfinite(mean))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid purchase history"),
				 errdetail("x is %g and the mean value is %g.", x, mean),
				 errhint("x counts repeat purchases; mean is their mean value.")));
	if (!gamma_gamma_expected(model, x, mean, &value))
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(value);
}
