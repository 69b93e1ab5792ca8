-- Who will buy again, how often, for how much: BG/NBD, Pareto/NBD, Gamma-Gamma.

CREATE TYPE bgnbd AS (
    r double precision, alpha double precision, a double precision, b double precision,
    customers bigint, log_likelihood double precision, fit jsonb
);
COMMENT ON TYPE bgnbd IS 'a BG/NBD model: purchase rate Gamma(r, alpha), chance to leave at a purchase Beta(a, b); Fader, Hardie and Lee (2005)';
CREATE TYPE pareto_nbd AS (
    r double precision, alpha double precision, s double precision, beta double precision,
    customers bigint, log_likelihood double precision, fit jsonb
);
COMMENT ON TYPE pareto_nbd IS 'a Pareto/NBD model: purchase rate Gamma(r, alpha), rate of leaving Gamma(s, beta); Schmittlein, Morrison and Colombo (1987)';
CREATE TYPE gamma_gamma AS (
    p double precision, q double precision, v double precision,
    customers bigint, log_likelihood double precision, fit jsonb
);
COMMENT ON TYPE gamma_gamma IS 'a Gamma-Gamma model of the value of a purchase; Fader and Hardie (2013)';

DO $$
DECLARE
    type text;
BEGIN
    FOREACH type IN ARRAY ARRAY['bgnbd', 'pareto_nbd', 'gamma_gamma']
    LOOP
        EXECUTE pg_catalog.format('COMMENT ON COLUMN %I.customers IS %L', type, 'how many it was fitted on');
        EXECUTE pg_catalog.format('COMMENT ON COLUMN %I.log_likelihood IS %L', type, 'at these parameters');
        EXECUTE pg_catalog.format('COMMENT ON COLUMN %I.fit IS %L', type,
            'how the fit went: version, converged, at_bound, evaluations, standard_errors by parameter, covariance; may be null. Without standard errors the likelihood has a flat direction: the predictions hold, single parameters mean little');
    END LOOP;
END
$$;

CREATE TYPE buyer AS (x bigint, t_x double precision, t double precision, mean double precision);
COMMENT ON TYPE buyer IS 'what the models know of a customer: repeat purchases (days with one, but the first), time of the last since the first, age, mean value of the repeats (0 without any)';

CREATE FUNCTION buyer_summary_add(internal, date, date) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION buyer_summary_add(internal, date, double precision, date) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION buyer_summary_add(internal, date, double precision, date, double precision) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION buyer_summary_combine(internal, internal) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION buyer_summary_serialize(internal) RETURNS bytea LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION buyer_summary_deserialize(bytea, internal) RETURNS internal LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION buyer_summary_final(internal) RETURNS buyer LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';

CREATE AGGREGATE buyer_summary(day date, until date) (
    SFUNC = buyer_summary_add, STYPE = internal, SSPACE = 128, FINALFUNC = buyer_summary_final, COMBINEFUNC = buyer_summary_combine,
    SERIALFUNC = buyer_summary_serialize, DESERIALFUNC = buyer_summary_deserialize, PARALLEL = SAFE);
CREATE AGGREGATE buyer_summary(day date, amount double precision, until date) (
    SFUNC = buyer_summary_add, STYPE = internal, SSPACE = 128, FINALFUNC = buyer_summary_final, COMBINEFUNC = buyer_summary_combine,
    SERIALFUNC = buyer_summary_serialize, DESERIALFUNC = buyer_summary_deserialize, PARALLEL = SAFE);
CREATE AGGREGATE buyer_summary(day date, amount double precision, until date, period_days double precision) (
    SFUNC = buyer_summary_add, STYPE = internal, SSPACE = 128, FINALFUNC = buyer_summary_final, COMBINEFUNC = buyer_summary_combine,
    SERIALFUNC = buyer_summary_serialize, DESERIALFUNC = buyer_summary_deserialize, PARALLEL = SAFE);
COMMENT ON AGGREGATE buyer_summary(date, date) IS 'the same without amounts, in days';
COMMENT ON AGGREGATE buyer_summary(date, double precision, date) IS 'the same in days';
COMMENT ON AGGREGATE buyer_summary(date, double precision, date, double precision) IS
'of the purchases of one customer (GROUP BY customer): x, t_x, t, mean for the models. Purchases of one day are one, those after until are left out; times are in periods of period_days days (7: weeks). Null when none is left. Until and period are those of the first row. Error: 22023';

CREATE FUNCTION btyd_fit_add(internal, double precision, double precision, double precision) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION gamma_gamma_fit_add(internal, double precision, double precision) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION btyd_fit_combine(internal, internal) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION btyd_fit_serialize(internal) RETURNS bytea LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION btyd_fit_deserialize(bytea, internal) RETURNS internal LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION bgnbd_fit_final(internal) RETURNS bgnbd LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION pareto_nbd_fit_final(internal) RETURNS pareto_nbd LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION gamma_gamma_fit_final(internal) RETURNS gamma_gamma LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';

CREATE AGGREGATE bgnbd_fit(x double precision, t_x double precision, t double precision) (
    SFUNC = btyd_fit_add, STYPE = internal, FINALFUNC = bgnbd_fit_final, COMBINEFUNC = btyd_fit_combine,
    SERIALFUNC = btyd_fit_serialize, DESERIALFUNC = btyd_fit_deserialize, PARALLEL = SAFE);
COMMENT ON AGGREGATE bgnbd_fit(double precision, double precision, double precision) IS
'fits BG/NBD by maximum likelihood to repeat purchases, time of the last since the first, and age, as buyer_summary gives them. Rows with a null are left out; null when nobody bought twice. Error: 22023 a row that is no history';
CREATE AGGREGATE pareto_nbd_fit(x double precision, t_x double precision, t double precision) (
    SFUNC = btyd_fit_add, STYPE = internal, FINALFUNC = pareto_nbd_fit_final, COMBINEFUNC = btyd_fit_combine,
    SERIALFUNC = btyd_fit_serialize, DESERIALFUNC = btyd_fit_deserialize, PARALLEL = SAFE);
COMMENT ON AGGREGATE pareto_nbd_fit(double precision, double precision, double precision) IS
'fits Pareto/NBD by maximum likelihood, as bgnbd_fit does BG/NBD';
CREATE AGGREGATE gamma_gamma_fit(x double precision, mean double precision) (
    SFUNC = gamma_gamma_fit_add, STYPE = internal, FINALFUNC = gamma_gamma_fit_final, COMBINEFUNC = btyd_fit_combine,
    SERIALFUNC = btyd_fit_serialize, DESERIALFUNC = btyd_fit_deserialize, PARALLEL = SAFE);
COMMENT ON AGGREGATE gamma_gamma_fit(double precision, double precision) IS
'fits Gamma-Gamma by maximum likelihood to repeat purchases and their mean value. Customers without either are left out; null when fewer than three different ones remain. The model assumes that frequency and value are not correlated: look at corr(x, mean). Error: 22023 a row that is no history';

CREATE FUNCTION p_alive(model bgnbd, x double precision, t_x double precision, t double precision) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'bgnbd_p_alive';
COMMENT ON FUNCTION p_alive(bgnbd, double precision, double precision, double precision) IS
'chance that a customer is still one; 1 without a repeat purchase, since BG/NBD lets customers leave only at one. Error: 22023';
CREATE FUNCTION p_alive(model pareto_nbd, x double precision, t_x double precision, t double precision) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pareto_nbd_p_alive';
COMMENT ON FUNCTION p_alive(pareto_nbd, double precision, double precision, double precision) IS 'chance that a customer is still one. Error: 22023';

CREATE FUNCTION expected_purchases(model bgnbd, horizon double precision, x double precision, t_x double precision, t double precision) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'bgnbd_expected_purchases';
COMMENT ON FUNCTION expected_purchases(bgnbd, double precision, double precision, double precision, double precision) IS
'purchases expected of a customer within a horizon from now, in the unit of time of the model. Error: 22023';
CREATE FUNCTION expected_purchases(model pareto_nbd, horizon double precision, x double precision, t_x double precision, t double precision) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pareto_nbd_expected_purchases';
COMMENT ON FUNCTION expected_purchases(pareto_nbd, double precision, double precision, double precision, double precision) IS
'purchases expected of a customer within a horizon from now, in the unit of time of the model. Error: 22023';
CREATE FUNCTION expected_purchases(model bgnbd, horizon double precision) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'bgnbd_expected_purchases_new';
COMMENT ON FUNCTION expected_purchases(bgnbd, double precision) IS 'repeat purchases expected of a new customer within a horizon. Error: 22023';
CREATE FUNCTION expected_purchases(model pareto_nbd, horizon double precision) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pareto_nbd_expected_purchases_new';
COMMENT ON FUNCTION expected_purchases(pareto_nbd, double precision) IS 'repeat purchases expected of a new customer within a horizon. Error: 22023';
CREATE FUNCTION purchase_pmf(model bgnbd, horizon double precision, x integer) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'bgnbd_purchase_pmf';
COMMENT ON FUNCTION purchase_pmf(bgnbd, double precision, integer) IS 'chance of exactly x repeat purchases of a new customer within a horizon. Error: 22023';
CREATE FUNCTION purchase_pmf(model pareto_nbd, horizon double precision, x integer) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pareto_nbd_purchase_pmf';
COMMENT ON FUNCTION purchase_pmf(pareto_nbd, double precision, integer) IS 'chance of exactly x repeat purchases of a new customer within a horizon. Error: 22023';

CREATE FUNCTION expected_value(model gamma_gamma, x double precision, mean double precision) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION expected_value(gamma_gamma, double precision, double precision) IS
'value expected of each purchase of a customer with x repeat purchases of this mean; null where the model has no mean (p x + q <= 1). Error: 22023';

CREATE FUNCTION clv(model bgnbd, money gamma_gamma, x double precision, t_x double precision, t double precision, mean double precision,
                    months integer DEFAULT 12, monthly_discount double precision DEFAULT 0.01, periods_per_month double precision DEFAULT 4.345)
RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'bgnbd_clv';
COMMENT ON FUNCTION clv(bgnbd, gamma_gamma, double precision, double precision, double precision, double precision, integer, double precision, double precision) IS
'lifetime value: the discounted value of the purchases expected in the coming months, each month''s counted at its end. periods_per_month says how many units of time of the model make a month: 4.345 weeks, 30.4 days. Null where the model of money has no mean. Error: 22023';
CREATE FUNCTION clv(model pareto_nbd, money gamma_gamma, x double precision, t_x double precision, t double precision, mean double precision,
                    months integer DEFAULT 12, monthly_discount double precision DEFAULT 0.01, periods_per_month double precision DEFAULT 4.345)
RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pareto_nbd_clv';
COMMENT ON FUNCTION clv(pareto_nbd, gamma_gamma, double precision, double precision, double precision, double precision, integer, double precision, double precision) IS
'lifetime value by Pareto/NBD, as by BG/NBD';
