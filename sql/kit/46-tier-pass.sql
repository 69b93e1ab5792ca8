-- Tiers of many customers at once.

CREATE FUNCTION tiers_rise(purchase regclass, as_of timestamptz, after_id bigint, last_id bigint) RETURNS bigint[]
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tiers_rise(regclass, timestamptz, bigint, bigint) IS
'customers of a store, ids in (after_id, last_id], whom the qualify rules of the tiers lift at a moment, ascending. Reads summaries and members side by side and evaluates the rules in memory. Null when a rule names more than orders give, the tables are partitioned or distributed, or the caller does not own them: then SQL has to answer';

CREATE FUNCTION tiers_lift(purchase regclass, customer_ids bigint[], as_of timestamptz, OUT lifted bigint, OUT rest bigint[])
LANGUAGE c STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tiers_lift(regclass, bigint[], timestamptz) IS
'lifts those of these customers, ascending, who qualify at a moment: tier_member and tier_change are written without the executor. The caller has locked the customers against being deleted and their summaries against orders. lifted: how many; rest: those for whom SQL has to do it, all of them where tiers_rise gives null';

CREATE FUNCTION tiers_end(purchase regclass, customer_ids bigint[], moments timestamptz[], growth bigint[], OUT ended bigint, OUT changed bigint, OUT rest bigint[])
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tiers_end(regclass, bigint[], timestamptz[], bigint[]) IS
'ends one cycle of each of these members: moments are those of tier_member.judged_at, growth the growth value of the 12 months before them, null when no keep rule names it. Written, and locked by the caller, as in tiers_lift. ended: how many; changed: how many of them got another tier; rest: those for whom SQL has to do it';
