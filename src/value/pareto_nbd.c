/*
 * Pareto/NBD: Schmittlein, Morrison and Colombo (1987); its likelihood as in Fader and Hardie (2005), "A Note on
 * Deriving the Pareto/NBD Model and Related Expressions".
 */
#include "base/crm.h"

#include <math.h>

#include "miscadmin.h"

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
static void *
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
	BtydProblem problem = {4, names, likelihood, false, .time = {false, true, false, true}};

	return btyd_fit(fcinfo, &problem, arrange);
}

/*
 * Chance that a customer with this history is alive at t
 */
static double
alive(const double *params, double x, double t_x, double t)
{
	const ParetoNbd *model = (const ParetoNbd *) params;
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
static double
expected(const double *params, double horizon, double x, double t)
{
	const ParetoNbd *model = (const ParetoNbd *) params;
	double time = log1p(horizon / (model->beta + t));
	double power = model->s - 1;

	/* (1 - (1 + horizon / (beta + t))^-power) / power, whose limit at power 0 is the log. */
	if (fabs(power) > 1e-12)
		time = -expm1(-power * time) / power;
	return (model->r + x) * (model->beta + t) / (model->alpha + t) * time;
}

/* What the integral below is made of: its integrand at w = time / (alpha + time). */
typedef struct Leaving
{
	double x;
	double power; /* of 1 - w */
	double decline; /* of 1 - w + ratio w */
	double ratio;
	double end; /* of the integral */
	double rest; /* 1 - end */
	double log_factor;
} Leaving;

/*
 * Integrand at a part of the way to the end, given with its complement, which near the end is the exact one
 */
static double
leaving_at(const Leaving *leaving, double part, double complement)
{
	double w = leaving->end * part;
	double left = leaving->rest + leaving->end * complement;

	if (w <= 0 || left <= 0)
		return 0;
	return exp(leaving->log_factor + leaving->x * log(w) + leaving->power * log(left) -
			   leaving->decline * log(left + leaving->ratio * w));
}

/*
 * Integral of a positive function by the double exponential rule, its step halved until nothing changes
 */
static double
integrate(const Leaving *leaving)
{
	double step = 0.5;
	int places = 8; /* to each side: beyond, nothing is left of the function's domain */
	double sum = 0;
	double before = -1;
	double value = 0;

	for (int level = 0; level < 10 && (level < 4 || !(fabs(value - before) <= 1e-13 * value)); level++)
	{
		CHECK_FOR_INTERRUPTS();
		before = value;
		/* Of each later level the places between those of the levels before. */
		for (int n = level == 0 ? -places : 1 - places; n <= places; n += level == 0 ? 1 : 2)
		{
			double u = M_PI * sinh(n * step);
			double part = 1 / (1 + exp(-u));
			double complement = 1 / (1 + exp(u));

			sum += M_PI * cosh(n * step) * part * complement * leaving_at(leaving, part, complement);
		}
		value = sum * step * leaving->end;
		step /= 2;
		places *= 2;
	}
	return value;
}

/*
 * Chance of x repeat purchases of a new customer within a horizon
 */
static double
pmf(const double *params, double horizon, int32 x)
{
	const ParetoNbd *model = (const ParetoNbd *) params;
	double r = model->r;
	double s = model->s;
	double z = horizon / (model->alpha + horizon);
	double rest = model->alpha / (model->alpha + horizon);
	double ratio = model->alpha / model->beta;
	double ways = lgamma(r + x) - lgamma(r) - lgamma(x + 1.0);
	Leaving leaving = {x, r + s - 1, s + 1, ratio, z, rest, ways + log(s) + log(ratio)};

	/* Alive to the end, or left on the way, when all of them had come. */
	return exp(ways + r * log(rest) + x * log(z) - s * log1p(horizon / model->beta)) + integrate(&leaving);
}

const BtydModel pareto_nbd_model = {alive, expected, pmf};
