/*
 * Buy-till-you-die models: what the parts of their fit and their predictions share.
 */
#ifndef CRM_BTYD_H
#define CRM_BTYD_H

#include "base/crm.h"

/* Most parameters that a model has. */
#define BTYD_PARAMS 4

/* Customers with the same history, and how many they are. Of gamma_gamma, t_x is the mean and t is 0. */
typedef struct BtydGroup
{
	double x;
	double t_x;
	double t;
	int64 n;
} BtydGroup;

/* All groups of an aggregate, by x, t, t_x. */
typedef struct BtydGroups
{
	int64 count;
	BtydGroup *group;
	int64 customers;
	double repeats; /* sum of x */
	double mean_t;
} BtydGroups;

/* The distinct values of a column of the groups, ascending. */
typedef struct BtydValues
{
	int64 count;
	double *value;
} BtydValues;

/*
 * Log likelihood of the parameters, and its gradient where gradient isn't NULL. It must not raise.
 */
typedef double (*BtydLikelihood)(const double *params, double *gradient, void *data);

typedef struct BtydProblem
{
	int params;
	const char *const *name;
	BtydLikelihood likelihood;
	bool analytic; /* likelihood gives the gradient itself */
	void *data;
	bool time[BTYD_PARAMS]; /* the parameter is a time */
	double start[BTYD_PARAMS];
	double unit[BTYD_PARAMS]; /* a parameter is this times what likelihood sees */
	double offset; /* added to the log likelihood */
	int64 customers;
} BtydProblem;

/* btyd_state.c */
extern BtydGroups *btyd_groups(Datum state);
extern BtydValues btyd_values(const BtydGroups *groups, size_t column, size_t other_column);
extern int32 btyd_find(const BtydValues *values, double value);
#define BTYD_NO_COLUMN ((size_t) -1)

/* btyd_fit.c */
extern Datum btyd_maximize(FunctionCallInfo fcinfo, BtydProblem *problem);

/* The final function of a model of purchases; arrange makes what likelihood reads, times being divided by unit. */
typedef void *(*BtydArrange)(const BtydGroups *groups, double unit);
extern Datum btyd_fit(FunctionCallInfo fcinfo, BtydProblem *problem, BtydArrange arrange);

/* The parameters of the model in an argument, cached from call to call; raises unless they are positive. */
extern const double *btyd_params(FunctionCallInfo fcinfo, int argument, int params);
#define BTYD_MODEL_ARGUMENTS 2

/* Raise unless a prediction's arguments make sense. */
extern void btyd_check_history(double x, double t_x, double t);
extern void btyd_check_horizon(double horizon);

/* The parameters of a model by name. */
typedef struct Bgnbd
{
	double r;
	double alpha;
	double a;
	double b;
} Bgnbd;

typedef struct ParetoNbd
{
	double r;
	double alpha;
	double s;
	double beta;
} ParetoNbd;

typedef struct GammaGamma
{
	double p;
	double q;
	double v;
} GammaGamma;

/* What a model of purchases foretells, from its parameters. */
typedef struct BtydModel
{
	/* Chance that a customer with this history is still one at t. */
	double (*alive)(const double *params, double x, double t_x, double t);
	/* Purchases expected within a horizon of a customer who is one at t (of a new one: x and t are 0). */
	double (*expected)(const double *params, double horizon, double x, double t);
	/* Chance of x >= 0 repeat purchases of a new customer within a horizon > 0. */
	double (*pmf)(const double *params, double horizon, int32 x);
} BtydModel;

extern const BtydModel bgnbd_model;
extern const BtydModel pareto_nbd_model;
extern bool gamma_gamma_expected(const GammaGamma *model, double x, double mean, double *value);

/* btyd_math.c */
extern double digamma(double x);
extern double hyp2f1(double a, double b, double c, double z);
extern double log_hyp2f1(double a, double b, double c, double z);
extern double log_hyp2f1_one(double b, double c, double z);
extern double log1p_exp(double x);

#endif
