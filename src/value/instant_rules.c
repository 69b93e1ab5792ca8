#include "value/instant_rules.h"

#include "base/store.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

static const RuleColumn figures[FIGURE_COUNT] = {
	{"order_count", INT8OID},			{"spend_total", NUMERICOID},	   {"refunded_total", NUMERICOID},
	{"discount_total", NUMERICOID},		{"cost_total", NUMERICOID},		   {"margin_total", NUMERICOID},
	{"first_order_at", TIMESTAMPTZOID}, {"last_order_at", TIMESTAMPTZOID}, {"orders_12m", INT8OID},
	{"spend_12m", NUMERICOID},			{"avg_order_12m", NUMERICOID}};

static HTAB *cache;

/*
 * A table changed: what was compiled from it is stale
 */
static void
forget(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS scan;
	InstantRules *rules;

	hash_seq_init(&scan, cache);
	while ((rules = hash_seq_search(&scan)) != NULL)
	{
		if (relid == InvalidOid || relid == rules->relid || relid == rules->watched[0] || relid == rules->watched[1] ||
			relid == rules->watched[2])
			rules->valid = false;
	}
}

/*
 * Run a query that gives the rows of a kind of rule; the number of rows
 */
static uint64
read_rules(const char *query)
{
	if (SPI_execute(query, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "reading rules failed: %s", query);
	return SPI_processed;
}

/*
 * A column of a row as text, in the caller's context
 */
static char *
text_value(uint64 row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

/*
 * Read and compile the rules of a store
 */
static void
load_rules(InstantRules *rules, Relation purchase)
{
	const char *schema = quote_identifier(get_namespace_name(RelationGetNamespace(purchase)));
	MemoryContext caller;
	StoreOwner owner;
	uint64 rows;
	char *zone;

	store_owner_begin(purchase, &owner);
	SPI_connect();
	if (read_rules(psprintf("SELECT s.time_zone FROM %s.settings s", schema)) == 1)
	{
		zone = text_value(0, 1);
		rules->zone = pg_tzset(zone);
		rows = read_rules(psprintf(
			"SELECT c.seq, c.lifetime, c.condition FROM %s.tier_condition c ORDER BY c.seq DESC, c.n", schema));
		caller = MemoryContextSwitchTo(rules->context);
		rules->conditions = palloc(sizeof(InstantCondition) * Max(rows, 1));
		for (uint64 i = 0; i < rows; i++)
		{
			InstantCondition *condition = &rules->conditions[rules->nconditions];

			condition->seq = pg_strtoint32(text_value(i, 1));
			condition->lifetime = text_value(i, 2)[0] == 't';
			condition->rule = rule_compile(text_value(i, 3), figures, FIGURE_COUNT, zone);
			/* What names other columns waits for evaluate_tiers(). */
			if (condition->rule != NULL)
				rules->nconditions++;
		}
		rules->tiers = rows > 0;
		MemoryContextSwitchTo(caller);
		rows = read_rules(psprintf(
			"SELECT t.tag, t.rule FROM %s.tag_rule t WHERE t.enabled AND t.instant ORDER BY t.tag COLLATE \"C\"",
			schema));
		caller = MemoryContextSwitchTo(rules->context);
		rules->tags = palloc(sizeof(InstantTag) * Max(rows, 1));
		for (uint64 i = 0; i < rows; i++)
		{
			InstantTag *tag = &rules->tags[rules->ntags];

			tag->tag = cstring_to_text(text_value(i, 1));
			tag->rule = rule_compile(text_value(i, 2), figures, FIGURE_COUNT, zone);
			if (tag->rule != NULL)
				rules->ntags++;
		}
		MemoryContextSwitchTo(caller);
	}
	SPI_finish();
	store_owner_end(&owner);
}

InstantRules *
instant_rules(Relation purchase)
{
	Oid relid = RelationGetRelid(purchase);
	Oid schema = RelationGetNamespace(purchase);
	InstantRules *rules;
	bool found;

	if (cache == NULL)
	{
		HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(InstantRules)};

		cache = hash_create("crm instant rules", 8, &control, HASH_ELEM | HASH_BLOBS);
		CacheRegisterRelcacheCallback(forget, (Datum)0);
	}
	rules = hash_search(cache, &relid, HASH_ENTER, &found);
	if (!found)
	{
		MemSet((char *)rules + sizeof(Oid), 0, sizeof(InstantRules) - sizeof(Oid));
		rules->context = AllocSetContextCreate(TopMemoryContext, "crm instant rules", ALLOCSET_SMALL_SIZES);
	}
	if (!rules->valid)
	{
		MemoryContextReset(rules->context);
		rules->nconditions = 0;
		rules->ntags = 0;
		rules->tiers = false;
		rules->watched[0] = get_relname_relid("tier", schema);
		rules->watched[1] = get_relname_relid("tag_rule", schema);
		rules->watched[2] = get_relname_relid("settings", schema);
		/* Valid before it is read: a change meanwhile makes it invalid again. */
		rules->valid = true;
		PG_TRY();
		{
			if (OidIsValid(rules->watched[0]) && OidIsValid(rules->watched[1]) && OidIsValid(rules->watched[2]))
				load_rules(rules, purchase);
		}
		PG_CATCH();
		{
			rules->valid = false;
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
	return rules;
}

SPIPlanPtr
instant_plan(InstantRules *rules, Relation purchase, InstantPlan which)
{
	static const char *const queries[INSTANT_PLANS] = {
		/* Nothing to do for who has such a tier already, unless the cycle is over. */
		"SELECT %1$s.judge_order($1, $2, $3, $4) WHERE NOT EXISTS (SELECT FROM %1$s.tier_member m "
		"JOIN %1$s.tier t ON t.tier OPERATOR(pg_catalog.=) m.tier WHERE m.customer_id OPERATOR(pg_catalog.=) $1 "
		"AND t.seq OPERATOR(pg_catalog.>=) $5 AND (m.judged_at IS NULL OR m.judged_at OPERATOR(pg_catalog.>) $2))",
		"SELECT %1$s.judge_refund($1, coalesce((SELECT max(r.at) FROM %1$s.purchase_refund r "
		"WHERE r.customer_id OPERATOR(pg_catalog.=) $1 AND r.channel OPERATOR(pg_catalog.=) $2 "
		"AND r.order_no OPERATOR(pg_catalog.=) $3), pg_catalog.now())) WHERE EXISTS (SELECT FROM %1$s.tier_member m "
		"WHERE m.customer_id OPERATOR(pg_catalog.=) $1 AND m.rests_on IS NOT NULL)",
		"SELECT p.order_at, p.net FROM %1$s.purchase p WHERE p.customer_id OPERATOR(pg_catalog.=) $1 "
		"AND p.order_at IS NOT NULL ORDER BY p.order_at",
		"SELECT %1$s.set_rule_tags(pg_catalog.array_agg(u.id), pg_catalog.array_agg(u.tag), "
		"pg_catalog.array_agg(u.hold), pg_catalog.now()) "
		"FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3)) u (id, tag, hold) "
		"JOIN %1$s.customer c ON c.customer_id OPERATOR(pg_catalog.=) u.id "
		"WHERE CASE WHEN u.hold THEN NOT crm.has_tag(c.tags, u.tag) ELSE crm.has_tag(c.tags, u.tag) AND EXISTS (SELECT "
		"FROM %1$s.customer_rule_tag r WHERE r.customer_id OPERATOR(pg_catalog.=) u.id AND r.tag "
		"OPERATOR(pg_catalog.=) u.tag) END "
		"HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 0",
		"SELECT c.tags FROM %1$s.customer c WHERE c.customer_id OPERATOR(pg_catalog.=) $1"};
	static const Oid types[INSTANT_PLANS][5] = {{INT8OID, TIMESTAMPTZOID, NUMERICOID, INT8OID, INT4OID},
												{INT8OID, TEXTOID, TEXTOID},
												{INT8OID},
												{INT8ARRAYOID, TEXTARRAYOID, BOOLARRAYOID},
												{INT8OID}};
	static const int counts[INSTANT_PLANS] = {5, 3, 1, 3, 1};

	if (rules->plans[which] == NULL)
	{
		const char *schema = quote_identifier(get_namespace_name(RelationGetNamespace(purchase)));
		StringInfoData query;
		SPIPlanPtr plan;

		initStringInfo(&query);
		for (const char *c = queries[which]; *c; c++)
		{
			if (strncmp(c, "%1$s", 4) == 0)
			{
				appendStringInfoString(&query, schema);
				c += 3;
			}
			else
				appendStringInfoChar(&query, *c);
		}
		plan = SPI_prepare(query.data, counts[which], (Oid *)types[which]);
		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "SPI_prepare failed: %s", query.data);
		rules->plans[which] = plan;
	}
	return rules->plans[which];
}

/*
 * Statement trigger of the tables that rules of the order path are read from: tells all sessions to read them again
 */
PG_FUNCTION_INFO_V1(value_rules_changed);
Datum
value_rules_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_STATEMENT(((TriggerData *)fcinfo->context)->tg_event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("value_rules_changed is for triggers FOR EACH STATEMENT")));
	CacheInvalidateRelcache(((TriggerData *)fcinfo->context)->tg_relation);
	return PointerGetDatum(NULL);
}
