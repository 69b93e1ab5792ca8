#include "value/instant_rules.h"

#include "base/store.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

static const RuleColumn figures[FIGURE_COUNT] = {
	{"order_count", INT8OID},			{"spend_total", NUMERICOID},	   {"refunded_total", NUMERICOID},
	{"discount_total", NUMERICOID},		{"cost_total", NUMERICOID},		   {"margin_total", NUMERICOID},
	{"first_order_at", TIMESTAMPTZOID}, {"last_order_at", TIMESTAMPTZOID}, {"orders_12m", INT8OID},
	{"spend_12m", NUMERICOID},			{"avg_order_12m", NUMERICOID},	   {"growth", INT8OID}};

const UnitKind instant_kinds[FIGURE_COUNT] = {UNIT_COUNT,  UNIT_MONEY,	UNIT_MONEY,	 UNIT_MONEY, UNIT_MONEY, UNIT_MONEY,
											  UNIT_MOMENT, UNIT_MOMENT, UNIT_COUNT, UNIT_MONEY, UNIT_MONEY,
											  UNIT_COUNT};

static KeptCache *cache;

/*
 * Which figure a name is; -1 when none
 */
static int
figure_of(const char *name)
{
	for (int i = 0; name != NULL && i < FIGURE_COUNT; i++)
	{
		if (strcmp(figures[i].name, name) == 0)
			return i;
	}
	return -1;
}

/*
 * Does a rule name one of these figures?
 */
static bool
names_figure(const CompiledRule *rule, InstantFigure first, InstantFigure last)
{
	ListCell *cell;

	foreach (cell, rule_column_names(rule->root))
	{
		int figure = figure_of(strVal(lfirst(cell)));

		if (figure >= (int)first && figure <= (int)last)
			return true;
	}
	return false;
}

/*
 * Does a rule name a figure of the 12 months?
 */
static bool
names_year(const CompiledRule *rule)
{
	return names_figure(rule, FIGURE_ORDERS_12M, FIGURE_AVG_ORDER_12M);
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
 * Compile the condition in a row, on the first so many figures, and what it compares; the columns are those of the condition,
 * the figure and the threshold. False when it names others
 */
static bool
read_condition(InstantCondition *condition, uint64 row, const int *columns, int nfigures, const char *zone)
{
	char *source = text_value(row, columns[0]);
	char *threshold = text_value(row, columns[2]);
	bool isnull;

	condition->source = cstring_to_text(source);
	condition->stored = PointerGetDatum(
		PG_DETOAST_DATUM_COPY(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, columns[0], &isnull)));
	condition->figure = figure_of(text_value(row, columns[1]));
	condition->no_threshold = threshold == NULL;
	condition->threshold = threshold == NULL ? (Datum)0
											 : DirectFunctionCall3(numeric_in, CStringGetDatum(threshold),
																   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	condition->rule = rule_compile(source, figures, nfigures, zone);
	if (condition->rule == NULL)
		return false;
	condition->units = unit_rule_make(condition->rule, instant_kinds);
	condition->names_year = names_year(condition->rule);
	return true;
}

/*
 * Read the ladder: the tiers, and what keeps them
 */
static void
load_tiers(InstantRules *rules, Relation purchase, const char *zone)
{
	uint64 rows = read_rules(store_query(purchase,
										 "SELECT t.tier, t.seq, t.keep, h.column_name, h.threshold FROM @tier t "
										 "LEFT JOIN LATERAL crm.rule_threshold(t.keep) h ON true ORDER BY t.seq"));
	MemoryContext caller = MemoryContextSwitchTo(rules->context);

	rules->tiers = palloc0(sizeof(InstantTier) * Max(rows, 1));
	rules->keeps = true;
	for (uint64 i = 0; i < rows; i++)
	{
		InstantTier *tier = &rules->tiers[i];

		tier->name = cstring_to_text(text_value(i, 1));
		tier->seq = pg_strtoint32(text_value(i, 2));
		tier->has_keep = text_value(i, 3) != NULL;
		if (!tier->has_keep)
			continue;
		if (!read_condition(&tier->keep, i, (int[]){3, 4, 5}, FIGURE_COUNT, zone) ||
			names_figure(tier->keep.rule, FIGURE_REFUNDED_TOTAL, FIGURE_MARGIN_TOTAL))
		{
			rules->keeps = false;
			continue;
		}
		rules->keeps_growth = rules->keeps_growth || names_figure(tier->keep.rule, FIGURE_GROWTH, FIGURE_GROWTH);
		rules->keeps_orders = rules->keeps_orders || names_figure(tier->keep.rule, 0, FIGURE_ORDER_PATH - 1);
	}
	rules->ntiers = (int)rows;
	MemoryContextSwitchTo(caller);
}

/*
 * What downgrade means
 */
static TierDowngrade
downgrade_of(const char *word)
{
	static const char *const words[] = {"none", "one_step", "to_match", "to_base"};

	for (int i = 0; i < lengthof(words); i++)
	{
		if (strcmp(words[i], word) == 0)
			return (TierDowngrade)i;
	}
	return DOWNGRADE_TO_MATCH;
}

/*
 * Find the columns that the order path reads straight
 */
static void
find_columns(InstantRules *rules)
{
	rules->tags_column = get_attnum(rules->kept.tables[INSTANT_TABLE_CUSTOMER], "tags");
	rules->rule_tags_column = get_attnum(rules->kept.tables[INSTANT_TABLE_CUSTOMER], "rule_tags");
	rules->member.tier = get_attnum(rules->kept.tables[INSTANT_TABLE_MEMBER], "tier");
	rules->member.peak = get_attnum(rules->kept.tables[INSTANT_TABLE_MEMBER], "peak");
	rules->member.judged_at = get_attnum(rules->kept.tables[INSTANT_TABLE_MEMBER], "judged_at");
	rules->member.since = get_attnum(rules->kept.tables[INSTANT_TABLE_MEMBER], "since");
	if (rules->tags_column <= 0 || rules->rule_tags_column <= 0 || rules->member.tier <= 0 || rules->member.peak <= 0 || rules->member.judged_at <= 0 ||
		rules->member.since <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("a column of customer or tier_member is missing"),
				 errhint("customer needs tags and rule_tags; tier_member needs tier, peak, judged_at and since.")));
}

/*
 * Read and compile the rules of a store
 */
static void
load_rules(InstantRules *rules, Relation purchase)
{
	MemoryContext caller;
	StoreOwner owner;
	uint64 rows;
	char *zone;

	store_owner_begin(purchase, &owner);
	SPI_connect();
	/* Who is told of a change may be in a snapshot from before it. */
	PushActiveSnapshot(GetLatestSnapshot());
	if (read_rules(store_query(purchase, "SELECT s.time_zone, s.tier_period, s.tier_period_months, "
							   "s.tier_grace_days, s.tier_downgrade FROM @settings s")) == 1)
	{
		zone = text_value(0, 1);
		rules->zone = pg_tzset(zone);
		rules->calendar = strcmp(text_value(0, 2), "calendar") == 0;
		rules->cycle = pg_strtoint32(text_value(0, 3));
		rules->grace_days = pg_strtoint32(text_value(0, 4));
		rules->downgrade = downgrade_of(text_value(0, 5));
		caller = MemoryContextSwitchTo(rules->context);
		rules->zone_name = cstring_to_text(zone);
		MemoryContextSwitchTo(caller);
		load_tiers(rules, purchase, zone);
		rows = read_rules(store_query(purchase,
									  "SELECT c.seq, c.lifetime, c.condition, c.tier, c.column_name, c.threshold "
									  "FROM @tier_condition c ORDER BY c.seq DESC, c.n"));
		caller = MemoryContextSwitchTo(rules->context);
		rules->conditions = palloc(sizeof(InstantCondition) * Max(rows, 1));
		rules->whole = true;
		for (uint64 i = 0; i < rows; i++)
		{
			InstantCondition *condition = &rules->conditions[rules->nconditions];

			condition->seq = pg_strtoint32(text_value(i, 1));
			condition->lifetime = text_value(i, 2)[0] == 't';
			condition->tier = cstring_to_text(text_value(i, 4));
			/* What names other columns waits for evaluate_tiers(). */
			if (!read_condition(condition, i, (int[]){3, 5, 6}, FIGURE_ORDER_PATH, zone))
				continue;
			rules->nconditions++;
			rules->whole = rules->whole && !names_figure(condition->rule, FIGURE_REFUNDED_TOTAL, FIGURE_MARGIN_TOTAL);
		}
		rules->lifts = rows > 0;
		rules->whole = rules->whole && rules->nconditions == (int)rows;
		MemoryContextSwitchTo(caller);
		rows = read_rules(store_query(
			purchase,
			"SELECT t.tag, t.rule, EXISTS (SELECT FROM @tag d WHERE d.tag = t.tag COLLATE \"C\" AND d.valid_for IS NOT NULL) "
			"OR EXISTS (SELECT FROM @tag_namespace n WHERE n.exclusive AND n.namespace = split_part(t.tag, ':', 1) COLLATE \"C\") "
			"FROM @tag_rule t WHERE t.enabled AND t.instant ORDER BY t.tag COLLATE \"C\""));
		caller = MemoryContextSwitchTo(rules->context);
		rules->tags = palloc(sizeof(InstantTag) * Max(rows, 1));
		for (uint64 i = 0; i < rows; i++)
		{
			InstantTag *tag = &rules->tags[rules->ntags];

			tag->tag = cstring_to_text(text_value(i, 1));
			tag->rule = rule_compile(text_value(i, 2), figures, FIGURE_ORDER_PATH, zone);
			if (tag->rule == NULL)
				continue;
			tag->units = unit_rule_make(tag->rule, instant_kinds);
			tag->names_year = names_year(tag->rule);
			tag->ruled = text_value(i, 3)[0] == 't';
			rules->ntags++;
		}
		MemoryContextSwitchTo(caller);
		if (rules->ntags > 0)
			instant_learn_direct(rules);
		if (rules->ntiers > 0)
			instant_learn_lift(rules);
	}
	PopActiveSnapshot();
	SPI_finish();
	store_owner_end(&owner);
}

InstantRules *
instant_rules(Relation purchase)
{
	Oid relid = RelationGetRelid(purchase);
	InstantRules *rules;

	StaticAssertStmt(INSTANT_TABLES <= KEPT_TABLES, "all tables that are watched must have room");
	if (cache == NULL)
		cache = kept_cache("crm instant rules", sizeof(InstantRules));
	rules = kept_entry(cache, relid);
	if (rules->context == NULL)
		rules->context = AllocSetContextCreate(TopMemoryContext, "crm instant rules", ALLOCSET_SMALL_SIZES);
	/* A statement that works with the rules, and whose triggers write orders, keeps those it began with. */
	if (!rules->kept.valid && rules->users == 0)
	{
		bool complete = true;

		MemoryContextReset(rules->context);
		rules->nconditions = 0;
		rules->ntags = 0;
		rules->ntiers = 0;
		rules->lifts = rules->whole = rules->keeps = rules->keeps_growth = rules->keeps_orders = false;
		rules->summary_known = false;
		rules->direct.possible = rules->lift.possible = false;
		for (int i = 0; i < INSTANT_TABLES; i++)
		{
			static const char *const names[INSTANT_TABLES] = {
				"tier", "tag_rule", "settings", "tag", "tag_namespace", "customer", "tier_member",
				"tag_expiry", "tag_event", "tag_audience_change", "tier_change",
				"customer_summary"};

			rules->kept.tables[i] = store_sibling_if_any(purchase, names[i]);
			complete = complete && OidIsValid(rules->kept.tables[i]);
		}
		/* Valid before it is read: a change meanwhile makes it invalid again. */
		rules->kept.valid = true;
		PG_TRY();
		{
			if (complete)
			{
				find_columns(rules);
				load_rules(rules, purchase);
			}
		}
		PG_CATCH();
		{
			rules->kept.valid = false;
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
		"SELECT @judge_order($1, $2, $3, $4)",
		"SELECT @judge_refund($1, coalesce((SELECT max(r.at) FROM @purchase_refund r "
		"WHERE r.customer_id OPERATOR(pg_catalog.=) $1 AND r.channel OPERATOR(pg_catalog.=) $2 "
		"AND r.order_no OPERATOR(pg_catalog.=) $3), pg_catalog.now())) WHERE EXISTS (SELECT FROM @tier_member m "
		"WHERE m.customer_id OPERATOR(pg_catalog.=) $1 AND m.rests_on IS NOT NULL)",
		"SELECT p.order_at, p.net FROM @purchase p WHERE p.customer_id OPERATOR(pg_catalog.=) $1 "
		"AND p.order_at IS NOT NULL",
		/* No cycle of the customer is over by then. cycle_end() in place: its call costs more than the rows. */
		"WITH c AS MATERIALIZED (SELECT coalesce(m.tier, b.tier) AS tier, m.since, m.basis, m.period_end, m.rests_on, "
		"coalesce(m.peak, b.seq) AS peak, coalesce(m.last_change, 0) AS last_change, t.seq, "
		"CASE s.tier_period WHEN 'calendar' THEN date_trunc('year', $2 AT TIME ZONE s.time_zone) + interval '1 year' "
		"ELSE ($2 AT TIME ZONE s.time_zone)::date + make_interval(months => s.tier_period_months) END AT TIME ZONE s.time_zone AS new_end "
		"FROM @settings s CROSS JOIN (SELECT l.tier, l.seq FROM @tier l ORDER BY l.seq LIMIT 1) b JOIN @tier t ON t.tier = $3 "
		"LEFT JOIN @tier_member m ON m.customer_id = $1), "
		"history AS (INSERT INTO @tier_change (customer_id, from_tier, to_tier, value, reason, at, threshold, condition, period_end, change_no, before) "
		"SELECT $1, c.tier, $3, $4, 'upgrade', $2, $5, $6::crm.rule, c.new_end, c.last_change + 1, "
		"jsonb_build_object('tier', c.tier, 'since', c.since, 'basis', c.basis, 'period_end', c.period_end, 'peak', c.peak, 'rests_on', c.rests_on) FROM c) "
		"INSERT INTO @tier_member AS w (customer_id, tier, since, basis, period_end, judged_at, peak, last_change, rests_on) "
		"SELECT $1, $3, $2, 'earned', c.new_end, c.new_end, greatest(c.peak, c.seq), c.last_change + 1, c.last_change + 1 FROM c "
		"ON CONFLICT (customer_id) DO UPDATE SET tier = EXCLUDED.tier, since = EXCLUDED.since, basis = EXCLUDED.basis, "
		"period_end = EXCLUDED.period_end, judged_at = greatest(EXCLUDED.period_end, w.lock_until), peak = EXCLUDED.peak, "
		"last_change = EXCLUDED.last_change, rests_on = EXCLUDED.rests_on",
		/* Of what is to go, that goes which a rule has set; of what is to come, what a person took away does not. */
		"UPDATE @customer c SET tags = (c.tags OPERATOR(crm.-) (c.rule_tags OPERATOR(crm.&) crm.tagset($3))::pg_catalog.text[]) "
		"OPERATOR(crm.|) (crm.tagset($2) OPERATOR(crm.-) c.rule_tags::pg_catalog.text[]), "
		"rule_tags = (c.rule_tags OPERATOR(crm.-) $3) OPERATOR(crm.|) (crm.tagset($2) OPERATOR(crm.-) c.tags::pg_catalog.text[]) "
		"WHERE c.customer_id OPERATOR(pg_catalog.=) $1 AND "
		"((c.tags OPERATOR(crm.|) (crm.tagset($2) OPERATOR(crm.-) c.rule_tags::pg_catalog.text[])) OPERATOR(crm.<>) c.tags "
		"OR (c.rule_tags OPERATOR(crm.&) crm.tagset($3)) OPERATOR(crm.&&) c.tags)",
		"SELECT c.tags, c.rule_tags FROM @customer c WHERE c.customer_id OPERATOR(pg_catalog.=) $1",
		"SELECT m.tier, m.peak, m.judged_at, m.since FROM @tier_member m WHERE m.customer_id OPERATOR(pg_catalog.=) $1"};
	static const Oid types[INSTANT_PLANS][6] = {{INT8OID, TIMESTAMPTZOID, NUMERICOID, INT8OID},
												{INT8OID, TEXTOID, TEXTOID},
												{INT8OID},
												{INT8OID, TIMESTAMPTZOID, TEXTOID, NUMERICOID, NUMERICOID, TEXTOID},
												{INT8OID, TEXTARRAYOID, TEXTARRAYOID},
												{INT8OID},
												{INT8OID}};
	static const int counts[INSTANT_PLANS] = {4, 3, 1, 6, 3, 1, 1};

	if (rules->plans[which] == NULL)
	{
		char *query = store_query(purchase, queries[which]);
		/* One customer, by key: a plan for these values would be the same. */
		SPIPlanPtr plan = SPI_prepare_cursor(query, counts[which], (Oid *)types[which], CURSOR_OPT_GENERIC_PLAN);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "SPI_prepare failed: %s", query);
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
