/*
 * Selectivity of tag conditions for the planner.
 *
 * Anyone may make an operator that names these estimators, for any types. So the types of both arguments are checked,
 * and that of what is read from pg_statistic (CVE-2026-2004 was this mistake in intarray).
 */
#include "tags/tagset_stats.h"

#include "access/htup_details.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "tags/tagquery.h"
#include "utils/selfuncs.h"
#include "utils/syscache.h"

/*
 * OID of a type of the kit, which is in the schema of the estimator being called
 */
static Oid
kit_type(FunctionCallInfo fcinfo, const char *name)
{
	return GetSysCacheOid2(TYPENAMENSP,
						   Anum_pg_type_oid,
						   CStringGetDatum(name),
						   ObjectIdGetDatum(get_func_namespace(fcinfo->flinfo->fn_oid)));
}

/*
 * Type that the other side of a condition must have
 */
static Oid
condition_type(FunctionCallInfo fcinfo, TagCondition condition)
{
	switch (condition)
	{
		case CONDITION_MATCHES:
			return kit_type(fcinfo, "tagquery");
		case CONDITION_HAS_TAG:
			return TEXTOID;
		case CONDITION_HAS_ANY:
		case CONDITION_HAS_ALL:
			return TEXTARRAYOID;
		default:
			return kit_type(fcinfo, "tagset");
	}
}

/*
 * Average of a condition's share over the values that pg_statistic has of the other column; -1 when it has none
 */
static double
average_share(const TagStats *stats, TagCondition condition, HeapTuple other, Oid other_type)
{
	AttStatsSlot slot;
	double common = 0;
	double result = 0;
	double nulls;

	if (!HeapTupleIsValid(other))
		return -1;
	nulls = ((Form_pg_statistic) GETSTRUCT(other))->stanullfrac;
	if (get_attstatsslot(&slot, other, STATISTIC_KIND_MCV, InvalidOid, ATTSTATSSLOT_VALUES | ATTSTATSSLOT_NUMBERS))
	{
		for (int i = 0; slot.valuetype == other_type && i < Min(slot.nvalues, slot.nnumbers); i++)
		{
			result += slot.numbers[i] * condition_share(stats, condition, slot.values[i]);
			common += slot.numbers[i];
		}
		free_attstatsslot(&slot);
	}
	if (get_attstatsslot(&slot, other, STATISTIC_KIND_HISTOGRAM, InvalidOid, ATTSTATSSLOT_VALUES))
	{
		double sum = 0;
		double left = Max(1 - nulls - common, 0);

		if (slot.valuetype == other_type && slot.nvalues > 0)
		{
			for (int i = 0; i < slot.nvalues; i++)
				sum += condition_share(stats, condition, slot.values[i]);
			result += left * sum / slot.nvalues;
			common += left;
		}
		free_attstatsslot(&slot);
	}
	/* What is not among the values kept is taken to be like them. */
	return common > 0 ? result / common * (1 - nulls) : -1;
}

/*
 * Restriction selectivity: column against constant
 */
static Datum
restriction(FunctionCallInfo fcinfo, TagCondition condition)
{
	PlannerInfo *root = (PlannerInfo *) PG_GETARG_POINTER(0);
	List *args = (List *) PG_GETARG_POINTER(2);
	VariableStatData column;
	Node *other;
	bool on_left;
	double result = DEFAULT_TAG_SELECTIVITY;
	Oid set_type = kit_type(fcinfo, "tagset");
	Oid other_type = condition_type(fcinfo, condition);
	Oid column_type;

	if (!get_restriction_variable(root, args, PG_GETARG_INT32(3), &column, &other, &on_left))
		PG_RETURN_FLOAT8(result);
	column_type = getBaseType(column.vartype);
	/* The constant on the left of @> is contained in the column. */
	if (!on_left && condition == CONDITION_CONTAINS)
		condition = CONDITION_CONTAINED;
	else if (!on_left && condition == CONDITION_CONTAINED)
		condition = CONDITION_CONTAINS;

	if (IsA(other, Const) && ((Const *) other)->constisnull)
		result = 0;
	else if (column_type == set_type && (other_type == set_type || on_left || condition == CONDITION_MATCHES))
	{
		TagStats stats;

		tag_stats_load(column.statsTuple, &stats);
		if (IsA(other, Const) && getBaseType(((Const *) other)->consttype) == other_type)
			result = condition_share(&stats, condition, ((Const *) other)->constvalue);
		else if (stats.has_counts && stats.has_common && stats.common.count > 0)
		{
			/* A tag to be given later: as likely as the tags of this column are on average. */
			result = stats.counts.numbers[stats.counts.nnumbers - 1] / (stats.common.count + (stats.has_rest ? stats.rest.count : 0));
		}
		result *= 1 - stats.null_share;
		tag_stats_free(&stats);
	}
	else if (column_type == other_type && condition == CONDITION_MATCHES && IsA(other, Const) &&
			 getBaseType(((Const *) other)->consttype) == set_type && HeapTupleIsValid(column.statsTuple))
	{
		/* Saved queries against one set: how many of those that are known match. */
		AttStatsSlot slot;
		TagsetView view;
		double sum = 0;
		int count = 0;

		tagset_view(&view, DatumGetTagsetPP(((Const *) other)->constvalue));
		if (get_attstatsslot(&slot, column.statsTuple, STATISTIC_KIND_HISTOGRAM, InvalidOid, ATTSTATSSLOT_VALUES))
		{
			for (; slot.valuetype == other_type && count < slot.nvalues; count++)
				sum += tagquery_matches((struct varlena *) PG_DETOAST_DATUM_PACKED(slot.values[count]), &view);
			free_attstatsslot(&slot);
		}
		result = count > 0 ? (sum + 0.5) / (count + 1) : DEFAULT_JOIN_SELECTIVITY;
	}
	ReleaseVariableStats(column);
	CLAMP_PROBABILITY(result);
	PG_RETURN_FLOAT8(result);
}

/*
 * Join selectivity: column against column
 */
static Datum
join(FunctionCallInfo fcinfo, TagCondition condition)
{
	PlannerInfo *root = (PlannerInfo *) PG_GETARG_POINTER(0);
	List *args = (List *) PG_GETARG_POINTER(2);
	SpecialJoinInfo *info = (SpecialJoinInfo *) PG_GETARG_POINTER(4);
	VariableStatData left;
	VariableStatData right;
	VariableStatData *sets = &left;
	VariableStatData *others = &right;
	bool reversed;
	double result = DEFAULT_JOIN_SELECTIVITY;
	Oid set_type = kit_type(fcinfo, "tagset");
	Oid other_type = condition_type(fcinfo, condition);

	get_join_variables(root, args, info, &left, &right, &reversed);
	/* a <@ b is b @> a, of which more is known. */
	if (condition == CONDITION_CONTAINED ||
		(condition == CONDITION_MATCHES && getBaseType(left.vartype) == other_type))
	{
		sets = &right;
		others = &left;
		if (condition == CONDITION_CONTAINED)
			condition = CONDITION_CONTAINS;
	}
	if (getBaseType(sets->vartype) == set_type && getBaseType(others->vartype) == other_type)
	{
		TagStats stats;
		double share;

		tag_stats_load(sets->statsTuple, &stats);
		if (HeapTupleIsValid(sets->statsTuple))
		{
			share = average_share(&stats, condition, others->statsTuple, other_type);
			if (share >= 0)
				result = share * (1 - stats.null_share);
		}
		tag_stats_free(&stats);
	}
	ReleaseVariableStats(left);
	ReleaseVariableStats(right);
	CLAMP_PROBABILITY(result);
	PG_RETURN_FLOAT8(result);
}

#define TAG_ESTIMATOR(name, condition)                                                                                 \
	PG_FUNCTION_INFO_V1(name##_sel);                                                                                   \
	Datum name##_sel(PG_FUNCTION_ARGS)                                                                                 \
	{                                                                                                                  \
		return restriction(fcinfo, condition);                                                                         \
	}                                                                                                                  \
	PG_FUNCTION_INFO_V1(name##_joinsel);                                                                               \
	Datum name##_joinsel(PG_FUNCTION_ARGS)                                                                             \
	{                                                                                                                  \
		return join(fcinfo, condition);                                                                                \
	}

TAG_ESTIMATOR(tagset_contains, CONDITION_CONTAINS)
TAG_ESTIMATOR(tagset_contained, CONDITION_CONTAINED)
TAG_ESTIMATOR(tagset_overlaps, CONDITION_OVERLAPS)
TAG_ESTIMATOR(tagset_has_tag, CONDITION_HAS_TAG)
TAG_ESTIMATOR(tagset_has_any, CONDITION_HAS_ANY)
TAG_ESTIMATOR(tagset_has_all, CONDITION_HAS_ALL)
TAG_ESTIMATOR(tagset_matches, CONDITION_MATCHES)
