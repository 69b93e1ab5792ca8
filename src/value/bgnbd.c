/*
 * BG/NBD: Fader, Hardie and Lee (2005), "Counting Your Customers the Easy Way", Marketing Science 24(2).
 */
#include "base/crm.h"

#include <math.h>

#include "miscadmin.h"

#include "value/btyd.h"

/* What the likelihood reads: each distinct x and time once, the groups by their places among these. */
typedef struct Data
{
	BtydValues xs;
	double *customers; /* of each x */
	BtydValues times;
	double *idle; /* of each time: customers without a repeat purchase who are that old */
	int64 count; /* groups with x > 0 */
	struct Repeater
	{
		int32 x;
		int32 t_x;
		int32 t;
		double n;
	} *group;
	/* Tables of one evaluation: by x, and by time. */
	double *rate;
	double *bias;
	double *inverse_b;
	double *log_time;
	double *inverse_time;
} Data;

static const char *const names[] = {"r", "alpha", "a", "b"};

/*
 * Arrange the groups for the likelihood
 */
static void *
arrange(const BtydGroups *groups, double unit)
{
	Data *data = palloc0(sizeof(Data));

	data->xs = btyd_values(groups, offsetof(BtydGroup, x), BTYD_NO_COLUMN);
	data->times = btyd_values(groups, offsetof(BtydGroup, t), offsetof(BtydGroup, t_x));
	data->customers = palloc0(sizeof(double) * data->xs.count);
	data->idle = MemoryContextAllocExtended(
		CurrentMemoryContext, sizeof(double) * data->times.count, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	data->group = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(*data->group) * groups->count);
	data->rate = palloc(sizeof(double) * data->xs.count);
	data->bias = palloc(sizeof(double) * data->xs.count);
	data->inverse_b = palloc(sizeof(double) * data->xs.count);
	data->log_time = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(double) * data->times.count);
	data->inverse_time = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(double) * data->times.count);
	for (int64 i = 0; i < groups->count; i++)
	{
		const BtydGroup *group = &groups->group[i];
		int32 x = btyd_find(&data->xs, group->x);
		int32 t = btyd_find(&data->times, group->t);

		data->customers[x] += group->n;
		if (group->x == 0)
			data->idle[t] += group->n;
		else
		{
			struct Repeater repeater = {x, btyd_find(&data->times, group->t_x), t, group->n};

			data->group[data->count++] = repeater;
		}
	}
	for (int64 i = 0; i < data->times.count; i++)
		data->times.value[i] /= unit;
	return data;
}

/*
 * Log likelihood of r, alpha, a, b, and its gradient
 */
static double
likelihood(const double *params, double *gradient, void *argument)
{
	Data *data = argument;
	double r = params[0];
	double alpha = params[1];
	double a = params[2];
	double b = params[3];
	double log_alpha = log(alpha);
	double value = 0;
	double by_r = 0;
	double by_alpha = 0;
	double by_a = 0;
	double by_b = 0;
	double lgamma_r = lgamma(r);
	double lgamma_b = lgamma(b) - lgamma(a + b);
	double digamma_r = digamma(r);
	double digamma_ab = digamma(a + b);
	double digamma_b = digamma(b);

	for (int64 i = 0; i < data->xs.count; i++)
	{
		double x = data->xs.value[i];
		double n = data->customers[i];

		data->rate[i] = r + x;
		data->bias[i] = log(a) - log(b + x - 1);
		data->inverse_b[i] = 1 / (b + x - 1);
		value += n * (lgamma(r + x) - lgamma_r + r * log_alpha + lgamma(b + x) - lgamma_b - lgamma(a + b + x));
		if (gradient != NULL)
		{
			double digamma_abx = digamma(a + b + x);

			by_r += n * (digamma(r + x) - digamma_r + log_alpha);
			by_alpha += n * r / alpha;
			by_a += n * (digamma_ab - digamma_abx);
			by_b += n * (digamma_ab + digamma(b + x) - digamma_b - digamma_abx);
		}
	}
	for (int64 i = 0; i < data->times.count; i++)
	{
		double n = data->idle[i];

		data->log_time[i] = log(alpha + data->times.value[i]);
		data->inverse_time[i] = 1 / (alpha + data->times.value[i]);
		value -= n * r * data->log_time[i];
		by_r -= n * data->log_time[i];
		by_alpha -= n * r * data->inverse_time[i];
	}
	for (int64 i = 0; i < data->count; i++)
	{
		const struct Repeater *group = &data->group[i];
		double rate = data->rate[group->x];
		double log_t = data->log_time[group->t];
		double log_t_x = data->log_time[group->t_x];
		/* Log odds of having left at the last purchase, and one over the odds' greater side. */
		double odds = data->bias[group->x] + rate * (log_t - log_t_x);
		double small = exp(-fabs(odds));
		double left = (odds > 0 ? 1 : small) / (1 + small);
		double n = group->n;

		value += n * (Max(odds, 0) + log1p(small) - rate * log_t);
		by_r -= n * (log_t - left * (log_t - log_t_x));
		by_alpha -= n * rate *
					((1 - left) * data->inverse_time[group->t] + left * data->inverse_time[group->t_x]);
		by_a += n * left / a;
		by_b -= n * left * data->inverse_b[group->x];
	}
	if (gradient != NULL)
	{
		gradient[0] = by_r;
		gradient[1] = by_alpha;
		gradient[2] = by_a;
		gradient[3] = by_b;
	}
	return value;
}

/*
 * Make the model of a state
 */
PG_FUNCTION_INFO_V1(bgnbd_fit_final);
Datum
bgnbd_fit_final(PG_FUNCTION_ARGS)
{
	BtydProblem problem = {4, names, likelihood, true, .time = {false, true, false, false}};

	return btyd_fit(fcinfo, &problem, arrange);
}

/*
 * Chance that a customer with this history will buy again
 */
static double
alive(const double *params, double x, double t_x, double t)
{
	const Bgnbd *model = (const Bgnbd *) params;
	double odds;

	/* The model lets customers leave only at a repeat purchase. */
	if (x == 0)
		return 1;
	odds = log(model->a) - log(model->b + x - 1) + (model->r + x) * log((model->alpha + t) / (model->alpha + t_x));
	return exp(-log1p_exp(odds));
}

/*
 * 1 - what the integral over the rate leaves, times (a + b + x - 1) / (a - 1), away from its poles
 */
static double
expected_alive(double r, double a, double b, double x, double z)
{
	double c = a + b + x - 1;
	double rest;

	/*
	 * rest is (1 - z)^(r + x) 2F1(r + x, b + x; c; z), which has few terms when x is small against a, or, by Euler's
	 * transformation, (1 - z)^(a - 1) 2F1(a + b - 1 - r, a - 1; c; z), which has few when a is small against x.
	 */
	if (c > 0 && (a - 1 > r + x || a + b - r < 0))
		rest = exp((r + x) * log1p(-z) + log_hyp2f1(r + x, b + x, c, z));
	else if (a > 1 && a + b - 1 - r > 0)
		rest = exp((a - 1) * log1p(-z) + log_hyp2f1(a + b - 1 - r, a - 1, c, z));
	else
		rest = exp((a - 1) * log1p(-z)) * hyp2f1(a + b - 1 - r, a - 1, c, z);
	return c / (a - 1) * (1 - rest);
}

/*
 * A point of the straight line from low to high
 */
static double
between(double low, double high, double part)
{
	return low + part * (high - low);
}

/*
 * Purchases expected within a horizon of a customer who is alive at t (of a new one: x and t are 0)
 */
static double
expected(const double *params, double horizon, double x, double t)
{
	const Bgnbd *model = (const Bgnbd *) params;
	const double pole = 1e-5;
	double z = horizon / (model->alpha + t + horizon);
	double a = model->a;
	double b = model->b;
	double c = a + b + x - 1;

	/* Around a = 1 and c = 0 the limit exists, and the straight line between both sides is within 1e-9 of it. */
	if (fabs(a - 1) < pole)
		return between(expected_alive(model->r, 1 - pole, b, x, z),
					   expected_alive(model->r, 1 + pole, b, x, z),
					   (a - 1 + pole) / (2 * pole));
	if (fabs(c) < pole)
		return between(expected_alive(model->r, a, b - c - pole, x, z),
					   expected_alive(model->r, a, b - c + pole, x, z),
					   (c + pole) / (2 * pole));
	return expected_alive(model->r, a, b, x, z);
}

/*
 * Chance of x repeat purchases of a new customer within a horizon
 */
static double
pmf(const double *params, double horizon, int32 x)
{
	const Bgnbd *model = (const Bgnbd *) params;
	double r = model->r;
	double a = model->a;
	double b = model->b;
	double log_z = log(horizon) - log(model->alpha + horizon);
	double log_rest = log(model->alpha) - log(model->alpha + horizon);
	double log_beta = lgamma(a) + lgamma(b) - lgamma(a + b);
	double result;

	/* Still alive after x purchases. */
	result = exp(lgamma(a) + lgamma(b + x) - lgamma(a + b + x) - log_beta + lgamma(r + x) - lgamma(r) -
				 lgamma(x + 1.0) + r * log_rest + x * log_z);
	if (x > 0)
	{
		/* Left at the x-th: x or more would have come. The sum below x is exact unless it takes nearly all. */
		double below = 0;
		double above = 0;
		double term = exp(r * log_rest);
		double z = exp(log_z);
		int j = 0;

		for (; j < x; j++)
		{
			CHECK_FOR_INTERRUPTS();
			below += term;
			term *= (r + j) / (j + 1) * z;
		}
		above = 1 - below;
		if (above < 0.5)
			for (above = 0; term > above * 1e-17 || (r + j) / (j + 1) * z >= 1; j++)
			{
				CHECK_FOR_INTERRUPTS();
				above += term;
				term *= (r + j) / (j + 1) * z;
			}
		result += above * exp(lgamma(a + 1) + lgamma(b + x - 1) - lgamma(a + b + x) - log_beta);
	}
	return result;
}

const BtydModel bgnbd_model = {alive, expected, pmf};
