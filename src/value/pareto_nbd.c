/*
 * Pareto/NBD: Schmittlein, Morrison and Colombo (1987); its likelihood as in Fader and Hardie (2005), "A Note on
 * Deriving the Pareto/NBD Model and Related Expressions".
 */
#include "base/crm.h"

#include <math.h>

#include "value/btyd.h"

/* A number of purchases and a time for which the integral of the likelihood is needed. */
typedef struct Pair
{
	double x;
	double time;
} Pair;

/* What the likelihood reads: each distinct x, and each distinct pair of x and a time, once. */
typedef struct Data
{
	BtydValues xs;
	double *customers; /* of each x */
	int64 pairs;
	Pair *pair;
	double *integral; /* of each pair, log */
	double *exposure; /* of each pair, log */
	int64 count;
	struct Member
	{
		int32 x;
		int32 t_x; /* places among the pairs */
		int32 t;
		double n;
	} *group;
} Data;

static const char *const names[] = {"r", "alpha", "s", "beta"};

/*
 * Compare pairs by x, then time
 */
static int
compare_pairs(const void *a, const void *b)
{
	const Pair *p = a;
	const Pair *q = b;

	if (p->x != q->x)
		return p->x < q->x ? -1 : 1;
	return (p->time > q->time) - (p->time < q->time);
}

/*
 * Where a pair stands among the distinct ones
 */
static int32
find_pair(const Data *data, double x, double time)
{
	Pair key = {x, time};

	return (int32) ((Pair *) bsearch(&key, data->pair, data->pairs, sizeof(Pair), compare_pairs) - data->pair);
}

/*
 * Arrange the groups for the likelihood
 */
static Data *
arrange(const BtydGroups *groups, double unit)
{
	Data *data = palloc0(sizeof(Data));
	int64 all = groups->count * 2;

	data->xs = btyd_values(groups, offsetof(BtydGroup, x), BTYD_NO_COLUMN);
	data->customers = palloc0(sizeof(double) * data->xs.count);
	data->pair = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Pair) * all);
	for (int64 i = 0; i < groups->count; i++)
	{
		const BtydGroup *group = &groups->group[i];
		Pair at_t_x = {group->x, group->t_x / unit};
		Pair at_t = {group->x, group->t / unit};

		data->pair[2 * i] = at_t_x;
		data->pair[2 * i + 1] = at_t;
	}
	qsort(data->pair, all, sizeof(Pair), compare_pairs);
	for (int64 i = 0; i < all; i++)
		if (i == 0 || compare_pairs(&data->pair[i], &data->pair[data->pairs - 1]) != 0)
			data->pair[data->pairs++] = data->pair[i];
	data->integral = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(double) * data->pairs);
	data->exposure = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(double) * data->pairs);
	data->group = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(*data->group) * groups->count);
	for (int64 i = 0; i < groups->count; i++)
	{
		const BtydGroup *group = &groups->group[i];
		struct Member member = {btyd_find(&data->xs, group->x),
								find_pair(data, group->x, group->t_x / unit),
								find_pair(data, group->x, group->t / unit),
								group->n};

		data->customers[member.x] += group->n;
		data->group[data->count++] = member;
	}
	return data;
}

/*
 * Log of 2F1(r + s + x, s + 1 or r + x; r + s + x + 1; z) / (max(alpha, beta) + time)^(r + s + x), where
 * z = |alpha - beta| / (max(alpha, beta) + time). By Euler's transformation its terms only shrink.
 */
static double
log_integral(double r, double alpha, double s, double beta, double x, double time)
{
	double a = r + s + x;

	if (alpha >= beta)
		return -(r + x) * log(alpha + time) - s * log(beta + time) +
			   log_hyp2f1_one(r + x, a + 1, (alpha - beta) / (alpha + time));
	return -(s + 1) * log(beta + time) - (r + x - 1) * log(alpha + time) +
		   log_hyp2f1_one(s + 1, a + 1, (beta - alpha) / (beta + time));
}

/*
 * Log of the chance of this history and having left in (t_x, t], over that of it and being alive at t
 */
static double
log_odds_left(double r, double s, double x, double integral_t_x, double integral_t, double exposure_t)
{
	double difference = integral_t - integral_t_x;

	if (difference >= 0)
		return -INFINITY;
	return log(s) - log(r + s + x) + integral_t_x + log(-expm1(difference)) + exposure_t;
}

/*
 * Log likelihood of r, alpha, s, beta
 */
static double
likelihood(const double *params, double *gradient, void *argument)
{
	Data *data = argument;
	double r = params[0];
	double alpha = params[1];
	double s = params[2];
	double beta = params[3];
	double value = 0;

	for (int64 i = 0; i < data->xs.count; i++)
		value += data->customers[i] * (lgamma(r + data->xs.value[i]) - lgamma(r) + r * log(alpha) + s * log(beta));
	for (int64 i = 0; i < data->pairs; i++)
	{
		const Pair *pair = &data->pair[i];

		data->integral[i] = log_integral(r, alpha, s, beta, pair->x, pair->time);
		data->exposure[i] = (r + pair->x) * log(alpha + pair->time) + s * log(beta + pair->time);
	}
	for (int64 i = 0; i < data->count; i++)
	{
		const struct Member *group = &data->group[i];
		double exposure = data->exposure[group->t];
		double odds = log_odds_left(
			r, s, data->xs.value[group->x], data->integral[group->t_x], data->integral[group->t], exposure);

		value += group->n * (log1p_exp(odds) - exposure);
	}
	return value;
}

/*
 * Make the model of a state
 */
PG_FUNCTION_INFO_V1(pareto_nbd_fit_final);
Datum
pareto_nbd_fit_final(PG_FUNCTION_ARGS)
{
	BtydGroups *groups = PG_ARGISNULL(0) ? NULL : btyd_groups(PG_GETARG_DATUM(0));
	BtydProblem problem = {4, names, likelihood, false};
	double unit;

	if (groups == NULL || groups->repeats == 0)
		PG_RETURN_NULL();
	/* In units of a fortieth of the mean age it is the same problem whatever the unit of time. */
	unit = groups->mean_t / 40;
	problem.data = arrange(groups, unit);
	for (int i = 0; i < problem.params; i++)
	{
		problem.start[i] = 1;
		problem.unit[i] = i == 1 || i == 3 ? unit : 1;
	}
	problem.offset = -groups->repeats * log(unit);
	problem.customers = groups->customers;
	return btyd_maximize(fcinfo, &problem);
}

/*
 * Chance that a customer with this history is alive at t
 */
double
pareto_nbd_alive(const ParetoNbd *model, double x, double t_x, double t)
{
	double r = model->r;
	double s = model->s;
	double exposure = (r + x) * log(model->alpha + t) + s * log(model->beta + t);

	return exp(-log1p_exp(log_odds_left(r,
										s,
										x,
										log_integral(r, model->alpha, s, model->beta, x, t_x),
										log_integral(r, model->alpha, s, model->beta, x, t),
										exposure)));
}

/*
 * Purchases expected within a horizon of a customer who is alive at t (of a new one: x and t are 0)
 */
double
pareto_nbd_expected(const ParetoNbd *model, double horizon, double x, double t)
{
	double time = log1p(horizon / (model->beta + t));
	double power = model->s - 1;

	/* (1 - (1 + horizon / (beta + t))^-power) / power, whose limit at power 0 is the log. */
	if (fabs(power) > 1e-12)
		time = -expm1(-power * time) / power;
	return (model->r + x) * (model->beta + t) / (model->alpha + t) * time;
}

/*
 * Chance that a customer is alive
 */
PG_FUNCTION_INFO_V1(pareto_nbd_p_alive);
Datum
pareto_nbd_p_alive(PG_FUNCTION_ARGS)
{
	const ParetoNbd *model = (const ParetoNbd *) btyd_params(fcinfo, 0, 4);
	double x = PG_GETARG_FLOAT8(1);
	double t_x = PG_GETARG_FLOAT8(2);
	double t = PG_GETARG_FLOAT8(3);

	btyd_check_history(x, t_x, t);
	PG_RETURN_FLOAT8(pareto_nbd_alive(model, x, t_x, t));
}

/*
 * Purchases expected of a customer with this history
 */
PG_FUNCTION_INFO_V1(pareto_nbd_expected_purchases);
Datum
pareto_nbd_expected_purchases(PG_FUNCTION_ARGS)
{
	const ParetoNbd *model = (const ParetoNbd *) btyd_params(fcinfo, 0, 4);
	double horizon = PG_GETARG_FLOAT8(1);
	double x = PG_GETARG_FLOAT8(2);
	double t_x = PG_GETARG_FLOAT8(3);
	double t = PG_GETARG_FLOAT8(4);

	btyd_check_horizon(horizon);
	btyd_check_history(x, t_x, t);
	PG_RETURN_FLOAT8(pareto_nbd_expected(model, horizon, x, t) * pareto_nbd_alive(model, x, t_x, t));
}

/*
 * Repeat purchases expected of a new customer
 */
PG_FUNCTION_INFO_V1(pareto_nbd_expected_purchases_new);
Datum
pareto_nbd_expected_purchases_new(PG_FUNCTION_ARGS)
{
	const ParetoNbd *model = (const ParetoNbd *) btyd_params(fcinfo, 0, 4);

	btyd_check_horizon(PG_GETARG_FLOAT8(1));
	PG_RETURN_FLOAT8(pareto_nbd_expected(model, PG_GETARG_FLOAT8(1), 0, 0));
}
