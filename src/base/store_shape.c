#include "base/store.h"

#include "access/htup_details.h"
#include "base/change.h"
#include "base/crm.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/*
 * C reads columns of a store's tables as values of certain types. Whoever owns a store, or makes tables that look like one's, could
 * give them others, and a number would be taken for an address: so what is found by name is looked at before it is read. A type
 * that ends in ! is that of a column that is never null.
 */
typedef struct Shape
{
	const char *table;
	const char *columns;
} Shape;

static const Shape shapes[] = {
	{"contact",
	 "customer_id int8!, birth_date date, birth_calendar text!"},
	{"customer",
	 "customer_id int8!, status text!, merged_into int8, tags crm.tagset!, "
	 "rule_tags crm.tagset!"},
	{"customer_summary",
	 "customer_id int8!, order_count int8!, spend_total numeric!, refunded_total numeric!, "
	 "discount_total numeric!, cost_total numeric!, first_order_at timestamptz, "
	 "last_order_at timestamptz, months crm.purchase_months!"},
	{"points_account",
	 "customer_id int8!, program text!, seq int8!, available int8!, pending int8!, held int8!, "
	 "earned int8!, redeemed int8!, refunded int8!, expired int8!, adjusted int8!, "
	 "transferred int8!, booked_at timestamptz!, next_due timestamptz, closed bool!, "
	 "lots crm.points_lots!, head bytea!, archived int8!"},
	{"points_carry",
	 "customer_id int8!, program text!, reference text!, micropoints int8!, detail jsonb"},
	{"points_checkpoint_leaf",
	 "customer_id int8!, program text!, checkpoint int8!, leaf int8!, seq int8!, head bytea!"},
	{"points_entry",
	 "customer_id int8!, seq int8!, points int8!, balance_after int8!, "
	 "occurred_at timestamptz!, booked_at timestamptz!, reverses int8, expires_at timestamptz, "
	 "available_at timestamptz, shortfall int8, program text!, kind text!, source text!, "
	 "reference text, lots crm.points_lots, detail jsonb, note_hash bytea, actor text, "
	 "hash bytea!"},
	{"points_entry_all",
	 "customer_id int8, seq int8, points int8, balance_after int8, occurred_at timestamptz, "
	 "booked_at timestamptz, reverses int8, expires_at timestamptz, available_at timestamptz, "
	 "shortfall int8, program text, kind text, source text, reference text, "
	 "lots crm.points_lots, detail jsonb, note_hash bytea, actor text, hash bytea"},
	{"points_entry_archive",
	 "customer_id int8!, program text!, seq int8!, first_seq int8!, digests bytea!, "
	 "entries crm._points_archived!"},
	{"points_entry_archived",
	 "customer_id int8, seq int8, points int8, balance_after int8, occurred_at timestamptz, "
	 "booked_at timestamptz, reverses int8, expires_at timestamptz, available_at timestamptz, "
	 "shortfall int8, program text, kind text, source text, reference text, "
	 "lots crm.points_lots, detail jsonb, note_hash bytea, actor text, hash bytea"},
	{"points_hold",
	 "customer_id int8!, program text!, seq int8!, source text!, reference text!, points int8!, "
	 "due_at timestamptz, state text!, captured int8!, resolved_seq int8, "
	 "lots crm.points_lots!"},
	{"points_multiplier",
	 "multiplier int4!, rule int4!, times numeric!, category _text, product _text, tier _text, "
	 "birthday_month bool!, valid_from timestamptz, valid_until timestamptz, active bool!"},
	{"points_note",
	 "customer_id int8!, program text!, seq int8!, salt bytea!, note text!"},
	{"points_program",
	 "program text!, code text!, redeemable bool!, debt_allowed bool!, expiry text!, "
	 "expiry_n int4, expiry_round text!, expiry_dates _text, restore_grace_days int4!, "
	 "hold_minutes int4, value numeric!, redemption_rate numeric!, carry_remainder bool!"},
	{"points_rule",
	 "rule int4!, program text!, event text!, points int8!, per_amount numeric, "
	 "minimum numeric!, rounding text!, on_status text!, wait_days int4!, limit_times int4, "
	 "limit_period text!, valid_from timestamptz, valid_until timestamptz, active bool!"},
	{"points_start",
	 "customer_id int8!, program text!, seq int8!, available int8!, pending int8!, "
	 "earned int8!, redeemed int8!, refunded int8!, expired int8!, adjusted int8!, "
	 "transferred int8!, booked_at timestamptz!, lots crm.points_lots!, head bytea!, "
	 "checkpoint int8!, archived_at timestamptz!"},
	{"purchase",
	 "customer_id int8!, channel text!, order_no text!, status text!, history bool!, "
	 "amount numeric!, refunded numeric!, freight numeric!, discount numeric!, cost numeric, "
	 "ordered_at timestamptz!, paid_at timestamptz, shipped_at timestamptz, "
	 "completed_at timestamptz, order_at timestamptz, net numeric, source text, currency text, "
	 "currency_rate numeric, points_customer int8"},
	{"purchase_item",
	 "customer_id int8!, channel text!, order_no text!, line int4!, product text!, "
	 "category text, quantity numeric!, amount numeric!, cost numeric"},
	{"purchase_number",
	 "channel text, order_no text, customer_id int8"},
	{"purchase_refund",
	 "customer_id int8!, channel text!, order_no text!, refund_no text!, line int4, "
	 "amount numeric!, reason text, at timestamptz!"},
	{"settings",
	 "time_zone text!, currency text!, points_multipliers text!"},
	{"tag",
	 "tag text!, namespace text, kind text!, valid_for interval"},
	{"tag_audience_change",
	 "tag text!, chunk int8!, change_id uuid!, toggled crm.audience!"},
	{"tag_event",
	 "customer_id int8!, event_id int8!, tag text!, added bool!, at timestamptz!, who text!, "
	 "why text, expires_at timestamptz"},
	{"tag_expiry",
	 "customer_id int8!, tag text!, expires_at timestamptz!"},
	{"tag_namespace",
	 "namespace text!, exclusive bool!"},
	{"tag_rule",
	 "tag text!, rule crm.rule!, enabled bool!, instant bool!"},
	{"tier",
	 "tier text!, seq int4!, qualify crm.rule, keep crm.rule"},
	{"tier_benefit",
	 "tier text!, kind text!, value numeric!, threshold numeric!, quota int4, period text!"},
	{"tier_change",
	 "customer_id int8!, from_tier text!, to_tier text!, value numeric, reason text!, "
	 "at timestamptz!, threshold numeric, condition crm.rule, note text, actor text!, "
	 "booked_at timestamptz!, period_end timestamptz, change_no int4!, before jsonb"},
	{"tier_condition",
	 "tier text, seq int4, n int4, condition crm.rule, lifetime bool, column_name text, "
	 "threshold numeric"},
	{"tier_member",
	 "customer_id int8!, tier text!, since timestamptz!, basis text!, period_end timestamptz, "
	 "judged_at timestamptz, lock_until timestamptz, peak int4!, last_change int4!, "
	 "rests_on int4"},
};

/* A relation that had the shape of a table of the store when it was looked at. */
typedef struct Checked
{
	Kept kept;
	const Shape *shape;
} Checked;

static KeptCache *checked;

/*
 * The type of this name, of the kit or of PostgreSQL
 */
static Oid
type_named(const char *name)
{
	bool ours = strncmp(name, CRM_SCHEMA ".", strlen(CRM_SCHEMA ".")) == 0;

	return GetSysCacheOid2(TYPENAMENSP,
						   Anum_pg_type_oid,
						   CStringGetDatum(ours ? name + strlen(CRM_SCHEMA ".") : name),
						   ObjectIdGetDatum(ours ? get_namespace_oid(CRM_SCHEMA, false) : PG_CATALOG_NAMESPACE));
}

/*
 * Raise when a column has another type, or may be null where C takes it for given. One that is missing is for who asks for it.
 */
static void
check_column(Oid relid, const char *column, const char *type, bool given)
{
	HeapTuple tuple = SearchSysCacheAttName(relid, column);
	Form_pg_attribute attribute;
	Oid found;
	bool notnull;

	if (!HeapTupleIsValid(tuple))
		return;
	attribute = (Form_pg_attribute) GETSTRUCT(tuple);
	found = getBaseType(attribute->atttypid);
	notnull = attribute->attnotnull;
	ReleaseSysCache(tuple);
	if (found == VARCHAROID)
		found = TEXTOID;
	if (found != type_named(type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" is not of type %s", column, get_rel_name(relid), type),
				 errhint("A store's own columns keep their types.")));
	if (given && !notnull)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" may be null", column, get_rel_name(relid)),
				 errhint("A store's own columns keep their constraints.")));
}

/*
 * Compare with a shape
 */
static void
check_shape(Oid relid, const Shape *shape)
{
	char *columns = pstrdup(shape->columns);
	char *rest = columns;
	char *column;

	while ((column = strsep(&rest, ",")) != NULL)
	{
		char *type;
		char *given;

		column += *column == ' ';
		type = strchr(column, ' ');
		*type++ = '\0';
		given = strchr(type, '!');
		if (given != NULL)
			*given = '\0';
		check_column(relid, column, type, given != NULL && get_rel_relkind(relid) != RELKIND_VIEW);
	}
	pfree(columns);
}

void
store_check_shape(Oid relid, const char *table)
{
	Checked *entry;

	if (checked == NULL)
		checked = kept_cache("crm shapes of tables", sizeof(Checked));
	entry = kept_entry(checked, relid);
	if (entry->kept.valid && entry->shape != NULL && strcmp(entry->shape->table, table) == 0)
		return;
	entry->shape = NULL;
	for (int i = 0; entry->shape == NULL && i < lengthof(shapes); i++)
	{
		if (strcmp(shapes[i].table, table) == 0)
			entry->shape = &shapes[i];
	}
	/* Valid before it is looked at: a change meanwhile makes it invalid again. */
	entry->kept.valid = true;
	if (entry->shape == NULL)
		return;
	PG_TRY();
	{
		check_shape(relid, entry->shape);
	}
	PG_CATCH();
	{
		entry->kept.valid = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
}
