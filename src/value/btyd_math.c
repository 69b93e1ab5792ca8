#include "base/crm.h"

#include <float.h>
#include <math.h>

#include "value/btyd.h"

/* More terms than any series here needs; z that close to 1 comes only from an optimizer gone astray. */
#define MAX_TERMS 200000

/*
 * Derivative of lgamma for x > 0
 */
double
digamma(double x)
{
	double result = 0;
	double y;

	/* By recurrence up to where the asymptotic series is exact to the last digits. */
	while (x < 10)
	{
		result -= 1 / x;
		x += 1;
	}
	y = 1 / (x * x);
	return result + log(x) - 0.5 / x -
		   y * (1.0 / 12 -
				y * (1.0 / 120 -
					 y * (1.0 / 252 -
						  y * (1.0 / 240 - y * (1.0 / 132 - y * (691.0 / 32760 - y * (1.0 / 12)))))));
}

/*
 * log(1 + exp(x)) without overflow
 */
double
log1p_exp(double x)
{
	return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

/*
 * Gauss's hypergeometric function for 0 <= z < 1 by its series
 */
double
hyp2f1(double a, double b, double c, double z)
{
	double term = 1;
	double sum = 1;

	for (int n = 0; n < MAX_TERMS; n++)
	{
		double ratio = (a + n) * (b + n) / ((c + n) * (n + 1)) * z;

		term *= ratio;
		sum += term;
		/* Once terms shrink for good, what is left is at most a geometric series. */
		if (fabs(term) <= DBL_EPSILON / 4 * fabs(sum) * (1 - z) && fabs(ratio) < 1)
			break;
	}
	return sum;
}

/*
 * Log of the same for positive parameters, where the sum itself may be beyond the range of a double
 */
double
log_hyp2f1(double a, double b, double c, double z)
{
	double term = 1;
	double sum = 1;
	double scale = 0;

	for (int n = 0; n < MAX_TERMS; n++)
	{
		double ratio = (a + n) * (b + n) / ((c + n) * (n + 1)) * z;

		term *= ratio;
		sum += term;
		if (term <= DBL_EPSILON / 4 * sum * (1 - z) && ratio < 1)
			break;
		if (sum > 1e250)
		{
			term *= 1e-250;
			sum *= 1e-250;
			scale += 250 * M_LN10;
		}
	}
	return scale + log(sum);
}

/*
 * Log of 2F1(1, b; c; z) for c > b > 0: its series near 0, Gauss's continued fraction elsewhere
 */
double
log_hyp2f1_one(double b, double c, double z)
{
	/* Modified Lentz: convergents' numerator and denominator as ratios of each to the one before. */
	double up = 1;
	double down = 0;
	double value = 1;

	if (z < 0.3)
		return log_hyp2f1(1, b, c, z);
	for (int n = 1; n < MAX_TERMS; n++)
	{
		int half = n / 2;
		double d = n % 2 == 1 ? (b + half) * (c - 1 + half) / ((c - 1 + n - 1) * (c - 1 + n)) :
								half * (c - 1 - b + half) / ((c - 1 + n - 1) * (c - 1 + n));
		double change;

		down = 1 / (1 - d * z * down);
		up = 1 - d * z / up;
		change = up * down;
		value *= change;
		if (fabs(change - 1) < DBL_EPSILON)
			break;
	}
	/* The fraction is that of the reciprocal. */
	return -log(value);
}
