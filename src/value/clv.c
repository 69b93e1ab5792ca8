#include "base/crm.h"

#include <math.h>

#include "access/htup_details.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/date.h"

#include "value/btyd.h"

#define MAX_MONTHS 1200

/* Purchases expected by a horizon of a customer who is alive. */
typedef double (*Expected)(const double *params, double horizon, double x, double t);

/*
 * Purchases expected by BG/NBD
 */
static double
expected_bgnbd(const double *params, double horizon, double x, double t)
{
	return bgnbd_expected((const Bgnbd *) params, horizon, x, t);
}

/*
 * Purchases expected by Pareto/NBD
 */
static double
expected_pareto_nbd(const double *params, double horizon, double x, double t)
{
	return pareto_nbd_expected((const ParetoNbd *) params, horizon, x, t);
}

/*
 * Discounted cash flow of the coming months, purchases falling due at the end of their month
 */
static Datum
clv(FunctionCallInfo fcinfo, const double *params, Expected expected, double alive)
{
	const GammaGamma *money = (const GammaGamma *) btyd_params(fcinfo, 1, 3);
	double x = PG_GETARG_FLOAT8(2);
	double t = PG_GETARG_FLOAT8(4);
	double mean = PG_GETARG_FLOAT8(5);
	int32 months = PG_GETARG_INT32(6);
	double discount = PG_GETARG_FLOAT8(7);
	double periods = PG_GETARG_FLOAT8(8);
	double before = 0;
	double purchases = 0;
	double value;

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
		double until = expected(params, i * periods, x, t);

		CHECK_FOR_INTERRUPTS();
		purchases += (until - before) / pow(1 + discount, i);
		before = until;
	}
	PG_RETURN_FLOAT8(value * alive * purchases);
}

/*
 * Lifetime value by BG/NBD and Gamma-Gamma
 */
PG_FUNCTION_INFO_V1(bgnbd_clv);
Datum
bgnbd_clv(PG_FUNCTION_ARGS)
{
	const double *params = btyd_params(fcinfo, 0, 4);

	btyd_check_history(PG_GETARG_FLOAT8(2), PG_GETARG_FLOAT8(3), PG_GETARG_FLOAT8(4));
	return clv(
		fcinfo,
		params,
		expected_bgnbd,
		bgnbd_alive((const Bgnbd *) params, PG_GETARG_FLOAT8(2), PG_GETARG_FLOAT8(3), PG_GETARG_FLOAT8(4)));
}

/*
 * Lifetime value by Pareto/NBD and Gamma-Gamma
 */
PG_FUNCTION_INFO_V1(pareto_nbd_clv);
Datum
pareto_nbd_clv(PG_FUNCTION_ARGS)
{
	const double *params = btyd_params(fcinfo, 0, 4);

	btyd_check_history(PG_GETARG_FLOAT8(2), PG_GETARG_FLOAT8(3), PG_GETARG_FLOAT8(4));
	return clv(
		fcinfo,
		params,
		expected_pareto_nbd,
		pareto_nbd_alive((const ParetoNbd *) params, PG_GETARG_FLOAT8(2), PG_GETARG_FLOAT8(3), PG_GETARG_FLOAT8(4)));
}
