-- Which customers recount_customers() has to look at.

CREATE FUNCTION customers_to_recount(customer regclass, summary regclass, purchase regclass) RETURNS SETOF bigint
LANGUAGE c STABLE STRICT ROWS 10 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION customers_to_recount(regclass, regclass, regclass) IS
'customers without a row of customer_summary, or whose row differs from their orders, in no order; reads the three tables with the rights of the caller. Temporary files take some 250 bytes a customer with three orders; a customer costs the same in a large store as in a small one';
