/*
 * What the models of purchases foretell, as SQL functions: a pair of each, one for BG/NBD, one for Pareto/NBD.
 */
#include "base/crm.h"

#include <math.h>

#include "miscadmin.h"

#include "value/btyd.h"

#define MAX_MONTHS 1200

/*
 * Chance that a customer is still one
 */
static Datum
p_alive(FunctionCallInfo fcinfo, const BtydModel *model)
{
	const double *params = btyd_params(fcinfo, 0, 4);
	double x = PG_GETARG_FLOAT8(1);
	double t_x = PG_GETARG_FLOAT8(2);
	double t = PG_GETARG_FLOAT8(3);

	btyd_check_history(x, t_x, t);
	PG_RETURN_FLOAT8(model->alive(params, x, t_x, t));
}

/*
 * Purchases expected of a customer with this history
 */
static Datum
expected_purchases(FunctionCallInfo fcinfo, const BtydModel *model)
{
	const double *params = btyd_params(fcinfo, 0, 4);
	double horizon = PG_GETARG_FLOAT8(1);
	double x = PG_GETARG_FLOAT8(2);
	double t_x = PG_GETARG_FLOAT8(3);
	double t = PG_GETARG_FLOAT8(4);

	btyd_check_horizon(horizon);
	btyd_check_history(x, t_x, t);
	PG_RETURN_FLOAT8(model->expected(params, horizon, x, t) * model->alive(params, x, t_x, t));
}

/*
 * Repeat purchases expected of a new customer
 */
static Datum
expected_purchases_new(FunctionCallInfo fcinfo, const BtydModel *model)
{
	const double *params = btyd_params(fcinfo, 0, 4);

	btyd_check_horizon(PG_GETARG_FLOAT8(1));
	PG_RETURN_FLOAT8(model->expected(params, PG_GETARG_FLOAT8(1), 0, 0));
}

/*
 * Chance of exactly so many repeat purchases of a new customer
 */
static Datum
purchase_pmf(FunctionCallInfo fcinfo, const BtydModel *model)
{
	const double *params = btyd_params(fcinfo, 0, 4);
	double horizon = PG_GETARG_FLOAT8(1);
	int32 x = PG_GETARG_INT32(2);

	btyd_check_horizon(horizon);
	if (x < 0)
		PG_RETURN_FLOAT8(0);
	if (horizon == 0)
		PG_RETURN_FLOAT8(x == 0);
	PG_RETURN_FLOAT8(model->pmf(params, horizon, x));
}

/*
 * Lifetime value: discounted cash flow of the coming months, purchases falling due at the end of their month
 */
static Datum
clv(FunctionCallInfo fcinfo, const BtydModel *model)
{
	const double *params = btyd_params(fcinfo, 0, 4);
	const GammaGamma *money = (const GammaGamma *) btyd_params(fcinfo, 1, 3);
	double x = PG_GETARG_FLOAT8(2);
	double t_x = PG_GETARG_FLOAT8(3);
	double t = PG_GETARG_FLOAT8(4);
	double mean = PG_GETARG_FLOAT8(5);
	int32 months = PG_GETARG_INT32(6);
	double discount = PG_GETARG_FLOAT8(7);
	double periods = PG_GETARG_FLOAT8(8);
	double before = 0;
	double purchases = 0;
	double value;

	btyd_check_history(x, t_x, t);
	if (months < 0 || months > MAX_MONTHS || !(discount > -1) || !isfinite(discount) || !(periods > 0) ||
		!isfinite(periods) || !(mean >= 0) || !isfinite(mean))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid argument of clv"),
				 errdetail("mean is %g, months is %d, monthly_discount is %g, periods_per_month is %g.",
						   mean,
						   months,
						   discount,
						   periods),
				 errhint("Months are 0 to %d, a discount of one per cent is 0.01, and a month has 4.345 weeks.",
						 MAX_MONTHS)));
	if (!gamma_gamma_expected(money, x, mean, &value))
		PG_RETURN_NULL();
	for (int i = 1; i <= months; i++)
	{
		double until = model->expected(params, i * periods, x, t);

		CHECK_FOR_INTERRUPTS();
		purchases += (until - before) / pow(1 + discount, i);
		before = until;
	}
	PG_RETURN_FLOAT8(value * model->alive(params, x, t_x, t) * purchases);
}

/*
 * Chance that a customer is still one, by BG/NBD
 */
PG_FUNCTION_INFO_V1(bgnbd_p_alive);
Datum
bgnbd_p_alive(PG_FUNCTION_ARGS)
{
	return p_alive(fcinfo, &bgnbd_model);
}

/*
 * Purchases expected of a customer with this history, by BG/NBD
 */
PG_FUNCTION_INFO_V1(bgnbd_expected_purchases);
Datum
bgnbd_expected_purchases(PG_FUNCTION_ARGS)
{
	return expected_purchases(fcinfo, &bgnbd_model);
}

/*
 * Repeat purchases expected of a new customer, by BG/NBD
 */
PG_FUNCTION_INFO_V1(bgnbd_expected_purchases_new);
Datum
bgnbd_expected_purchases_new(PG_FUNCTION_ARGS)
{
	return expected_purchases_new(fcinfo, &bgnbd_model);
}

/*
 * Chance of exactly so many repeat purchases of a new customer, by BG/NBD
 */
PG_FUNCTION_INFO_V1(bgnbd_purchase_pmf);
Datum
bgnbd_purchase_pmf(PG_FUNCTION_ARGS)
{
	return purchase_pmf(fcinfo, &bgnbd_model);
}

/*
 * Lifetime value, by BG/NBD
 */
PG_FUNCTION_INFO_V1(bgnbd_clv);
Datum
bgnbd_clv(PG_FUNCTION_ARGS)
{
	return clv(fcinfo, &bgnbd_model);
}

/*
 * Chance that a customer is still one, by Pareto/NBD
 */
PG_FUNCTION_INFO_V1(pareto_nbd_p_alive);
Datum
pareto_nbd_p_alive(PG_FUNCTION_ARGS)
{
	return p_alive(fcinfo, &pareto_nbd_model);
}

/*
 * Purchases expected of a customer with this history, by Pareto/NBD
 */
PG_FUNCTION_INFO_V1(pareto_nbd_expected_purchases);
Datum
pareto_nbd_expected_purchases(PG_FUNCTION_ARGS)
{
	return expected_purchases(fcinfo, &pareto_nbd_model);
}

/*
 * Repeat purchases expected of a new customer, by Pareto/NBD
 */
PG_FUNCTION_INFO_V1(pareto_nbd_expected_purchases_new);
Datum
pareto_nbd_expected_purchases_new(PG_FUNCTION_ARGS)
{
	return expected_purchases_new(fcinfo, &pareto_nbd_model);
}

/*
 * Chance of exactly so many repeat purchases of a new customer, by Pareto/NBD
 */
PG_FUNCTION_INFO_V1(pareto_nbd_purchase_pmf);
Datum
pareto_nbd_purchase_pmf(PG_FUNCTION_ARGS)
{
	return purchase_pmf(fcinfo, &pareto_nbd_model);
}

/*
 * Lifetime value, by Pareto/NBD
 */
PG_FUNCTION_INFO_V1(pareto_nbd_clv);
Datum
pareto_nbd_clv(PG_FUNCTION_ARGS)
{
	return clv(fcinfo, &pareto_nbd_model);
}
