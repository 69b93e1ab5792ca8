/*
 * The share of a column's sets for which a condition holds, going by its statistics. Every condition is looked at as a
 * query over tags: @> is the conjunction of the right set's tags, && the disjunction. Tags are taken to be independent,
 * but for the values of a namespace that exclude each other.
 */
#include "tags/tagset_stats.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "tags/tagquery.h"
#include "utils/builtins.h"

static Tag
text_tag(Datum value)
{
	text *t = (text *) DatumGetPointer(value);
	Tag tag = {VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t)};

	return tag;
}

/*
 * Read a slot of texts; false when there is none or it isn't what this library writes
 */
static bool
load_texts(HeapTuple tuple, int kind, int extra, Shares *shares)
{
	if (!get_attstatsslot(&shares->slot, tuple, kind, InvalidOid, ATTSTATSSLOT_NUMBERS))
		return false;
	/* A slot without texts has no array of values, and asking for one that is null raises. */
	if (shares->slot.nnumbers == extra)
	{
		shares->count = 0;
		return true;
	}
	free_attstatsslot(&shares->slot);
	if (!get_attstatsslot(&shares->slot, tuple, kind, InvalidOid, ATTSTATSSLOT_VALUES | ATTSTATSSLOT_NUMBERS))
		return false;
	if (shares->slot.valuetype != TEXTOID || shares->slot.nnumbers != shares->slot.nvalues + extra)
	{
		free_attstatsslot(&shares->slot);
		return false;
	}
	shares->count = shares->slot.nvalues;
	return true;
}

/*
 * Read the statistics of a column of tag sets
 */
void
tag_stats_load(HeapTuple tuple, TagStats *stats)
{
	memset(stats, 0, sizeof(TagStats));
	stats->unknown = DEFAULT_TAG_SELECTIVITY;
	if (!HeapTupleIsValid(tuple))
		return;
	stats->null_share = ((Form_pg_statistic) GETSTRUCT(tuple))->stanullfrac;
	stats->has_common = load_texts(tuple, STATISTIC_KIND_MCELEM, 2, &stats->common);
	stats->has_rest = load_texts(tuple, TAGSET_STATISTIC_KIND, RARE_EXTRA, &stats->rest);
	if (stats->has_rest)
		stats->exclusive = palloc0(sizeof(Exclusive) * (stats->rest.count + 1));
	stats->has_counts =
		get_attstatsslot(&stats->counts, tuple, STATISTIC_KIND_DECHIST, InvalidOid, ATTSTATSSLOT_NUMBERS);
	if (stats->has_common)
		stats->unknown = Min(stats->unknown, stats->common.slot.numbers[stats->common.count] / 2);
	if (stats->has_rest)
	{
		float4 *extra = stats->rest.slot.numbers + stats->rest.count;

		stats->empty = extra[RARE_EMPTY];
		if (extra[RARE_AVERAGE] > 0)
			stats->unknown = Min(stats->unknown, extra[RARE_AVERAGE] / 2);
	}
}

void
tag_stats_free(TagStats *stats)
{
	if (stats->has_common)
		free_attstatsslot(&stats->common.slot);
	if (stats->has_rest)
	{
		free_attstatsslot(&stats->rest.slot);
		pfree(stats->exclusive);
	}
	if (stats->has_counts)
		free_attstatsslot(&stats->counts);
}

/*
 * Index of the first text that is not before the first letter (if any) and tag
 */
static int
lower_bound(const Shares *shares, char first, const Tag *tag)
{
	int low = 0;
	int high = shares->count;

	while (low < high)
	{
		int middle = low + (high - low) / 2;
		Tag other = text_tag(shares->slot.values[middle]);
		bool before;

		if (first != '\0')
		{
			before = other.length == 0 || other.data[0] < first;
			if (!before && other.data[0] == first)
			{
				other.data++;
				other.length--;
				before = tag_compare(&other, tag) < 0;
			}
		}
		else
			before = tag_compare(&other, tag) < 0;
		if (before)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * The text at i, without its first letter, when it has that letter; false otherwise and at the end
 */
static bool
tag_at(const Shares *shares, int i, char first, Tag *tag)
{
	if (i >= shares->count)
		return false;
	*tag = text_tag(shares->slot.values[i]);
	if (first == '\0')
		return true;
	if (tag->length == 0 || tag->data[0] != first)
		return false;
	tag->data++;
	tag->length--;
	return true;
}

/*
 * Number of a tag; -1 when it isn't there
 */
static double
share_of(const Shares *shares, char first, const Tag *tag)
{
	int i = lower_bound(shares, first, tag);
	Tag other;

	return tag_at(shares, i, first, &other) && tag_compare(&other, tag) == 0 ? shares->slot.numbers[i] : -1;
}

/*
 * Share of sets with a tag
 */
static double
tag_share(const TagStats *stats, const Tag *tag)
{
	double share = -1;

	if (stats->has_common)
		share = share_of(&stats->common, '\0', tag);
	if (share < 0 && stats->has_rest)
		share = share_of(&stats->rest, 'r', tag);
	return share < 0 ? stats->unknown : Min(share, 1.0);
}

/* Tags of a prefix together. */
typedef struct PrefixShares
{
	double sum;		/* of their shares: how many of them a set has on average */
	double without; /* share of sets without any, were they independent */
} PrefixShares;

static PrefixShares
prefix_shares(const TagStats *stats, const Tag *prefix)
{
	PrefixShares result = {0, 1};
	Tag tag;

	if (stats->has_common)
	{
		for (int i = lower_bound(&stats->common, '\0', prefix);
			 tag_at(&stats->common, i, '\0', &tag) && tag_has_prefix(&tag, prefix);
			 i++)
		{
			result.sum += stats->common.slot.numbers[i];
			result.without *= 1 - stats->common.slot.numbers[i];
		}
	}
	if (stats->has_rest)
	{
		for (int i = lower_bound(&stats->rest, 'r', prefix);
			 tag_at(&stats->rest, i, 'r', &tag) && tag_has_prefix(&tag, prefix);
			 i++)
		{
			result.sum += stats->rest.slot.numbers[i];
			result.without *= exp(-stats->rest.slot.numbers[i]);
		}
	}
	return result;
}

/*
 * Do the shares of a namespace's tags make no more than limit? Stops at the first tag that shows they do
 */
static bool
sum_is_within(const Shares *shares, char first, const Tag *space, double limit, double *sum)
{
	Tag tag;

	for (int i = lower_bound(shares, first, space); tag_at(shares, i, first, &tag) && tag_has_prefix(&tag, space); i++)
	{
		*sum += shares->slot.numbers[i];
		if (*sum > limit)
			return false;
	}
	return true;
}

/*
 * The namespace of a tag, with its colon, when its values exclude each other: then share is that of sets with any
 */
static bool
exclusive_namespace(const TagStats *stats, const Tag *tag, Tag *space, double *share)
{
	const char *colon = memchr(tag->data, ':', tag->length);
	Tag known;
	int at;

	if (colon == NULL || !stats->has_rest)
		return false;
	space->data = tag->data;
	space->length = colon + 1 - tag->data;
	at = lower_bound(&stats->rest, 'n', space);
	if (!tag_at(&stats->rest, at, 'n', &known) || tag_compare(&known, space) != 0)
		return false;
	*share = stats->rest.slot.numbers[at];
	/* A query may name many tags of a namespace, and a join has many queries. */
	if (stats->exclusive[at] == EXCLUSIVE_UNKNOWN)
	{
		double limit = *share * 1.02;
		double sum = 0;
		bool within = (!stats->has_common || sum_is_within(&stats->common, '\0', space, limit, &sum)) &&
					  sum_is_within(&stats->rest, 'r', space, limit, &sum);

		stats->exclusive[at] = within ? EXCLUSIVE_YES : EXCLUSIVE_NO;
	}
	return stats->exclusive[at] == EXCLUSIVE_YES;
}

/*
 * Share of sets with a tag that begins with prefix
 */
static double
prefix_share(const TagStats *stats, const Tag *prefix)
{
	PrefixShares shares;
	double share;
	Tag space;

	if (prefix->length == 0)
		return 1 - stats->empty;
	if (stats->has_rest)
	{
		share = share_of(&stats->rest, 'n', prefix);
		if (share >= 0)
			return Min(share, 1.0);
	}
	shares = prefix_shares(stats, prefix);
	if (shares.sum == 0)
		return stats->unknown;
	if (exclusive_namespace(stats, prefix, &space, &share))
		return Min(shares.sum, share);
	return 1 - shares.without;
}

/* Values of one exclusive namespace that stand in the same disjunction. */
typedef struct ExclusiveSum
{
	Tag space;
	double sum;
	double limit;
} ExclusiveSum;

/*
 * Is the tag at member, of the node at first - 1, one that stood in that node before? Only so far back is looked
 */
static bool
seen_before(const TagqueryNode *nodes, int first, int member)
{
	if (nodes[member].kind != QUERY_TAG && nodes[member].kind != QUERY_PREFIX)
		return false;
	for (int i = first, looked = 0; i < member && looked < 32; i = nodes[i].next, looked++)
	{
		if (nodes[i].kind == nodes[member].kind && tag_compare(&nodes[i].tag, &nodes[member].tag) == 0)
			return true;
	}
	return false;
}

/*
 * Share of sets that match a node; leaves *at behind it
 */
static double
node_share(const TagStats *stats, const TagqueryNode *nodes, int *at)
{
	const TagqueryNode *node = &nodes[(*at)++];
	int first = *at;
	double result = 1;
	ExclusiveSum *sums;
	int sum_count = 0;

	switch (node->kind)
	{
		case QUERY_TAG:
			return tag_share(stats, &node->tag);
		case QUERY_PREFIX:
			return prefix_share(stats, &node->tag);
		case QUERY_NOT:
			check_stack_depth();
			return 1 - node_share(stats, nodes, at);
		case QUERY_AND:
			check_stack_depth();
			while (*at < node->next)
			{
				if (seen_before(nodes, first, *at))
					*at = nodes[*at].next;
				else
					result *= node_share(stats, nodes, at);
			}
			return result;
		default:
			break;
	}

	/* A disjunction: the share of sets that match none, but values that exclude each other are added up first. */
	check_stack_depth();
	sums = palloc(sizeof(ExclusiveSum) * 8);
	while (*at < node->next)
	{
		const TagqueryNode *member = &nodes[*at];
		bool again = seen_before(nodes, first, *at);
		double share = node_share(stats, nodes, at);
		Tag space;
		double limit;
		int i = sum_count;

		if (again)
			continue;
		if (member->kind == QUERY_TAG && exclusive_namespace(stats, &member->tag, &space, &limit))
		{
			for (i = 0; i < sum_count; i++)
			{
				if (tag_compare(&sums[i].space, &space) == 0)
					break;
			}
			if (i == sum_count && sum_count < 8)
				sums[sum_count++] = (ExclusiveSum){space, 0, limit};
		}
		if (i < sum_count)
			sums[i].sum += share;
		else
			result *= 1 - share;
	}
	for (int i = 0; i < sum_count; i++)
		result *= 1 - Min(sums[i].sum, sums[i].limit);
	pfree(sums);
	return 1 - result;
}

/*
 * Share of sets that have no tags but these, which are sorted
 */
static double
contained_share(const TagStats *stats, const Tag *tags, int count)
{
	double result = 1;
	double few = 1;
	int j = 0;
	Tag tag;

	if (!stats->has_common && !stats->has_rest)
		return DEFAULT_TAG_SELECTIVITY;
	for (int i = 0; stats->has_common && i < stats->common.count; i++)
	{
		tag = text_tag(stats->common.slot.values[i]);
		while (j < count && tag_compare(&tags[j], &tag) < 0)
			j++;
		if (j == count || tag_compare(&tags[j], &tag) != 0)
			result *= 1 - stats->common.slot.numbers[i];
	}
	for (int i = 0; stats->has_rest && i < stats->rest.count; i++)
	{
		if (tag_at(&stats->rest, i, 'r', &tag) && bsearch(&tag, tags, count, sizeof(Tag), tag_order) == NULL)
			result *= exp(-stats->rest.slot.numbers[i]);
	}
	/* No more sets than have so few tags; empty ones are among them always. */
	if (stats->has_counts && stats->counts.nnumbers > 2)
	{
		int bounds = stats->counts.nnumbers - 1;
		int within = 0;

		while (within < bounds && stats->counts.numbers[within] <= count)
			within++;
		few = (double) within / bounds;
	}
	return Max(Min(result, few), stats->empty);
}

/*
 * Share of the sets of a column that a condition with this right side holds for. NULL stands for no statistics
 */
double
condition_share(const TagStats *stats, TagCondition condition, Datum value)
{
	bool all_valid = true;
	double none = 1;
	double all = 1;
	int count = 0;
	int at = 0;
	Tag one;
	Tag *tags = NULL;

	switch (condition)
	{
		case CONDITION_MATCHES:
			return node_share(stats, tagquery_nodes((struct varlena *) PG_DETOAST_DATUM_PACKED(value), &count), &at);
		case CONDITION_HAS_TAG:
			{
				text *argument = DatumGetTextPP(value);
				StringInfoData out;

				initStringInfo(&out);
				all_valid = tag_fold_quietly(VARDATA_ANY(argument), VARSIZE_ANY_EXHDR(argument), &out);
				one.data = out.data;
				one.length = out.len;
				tags = &one;
				count = all_valid ? 1 : 0;
				break;
			}
		case CONDITION_HAS_ANY:
		case CONDITION_HAS_ALL:
			tags = folded_tags(value, &count, &all_valid);
			break;
		default:
			tags = tagset_tags(DatumGetTagsetPP(value), &count);
			break;
	}
	if (condition == CONDITION_CONTAINED)
		return contained_share(stats, tags, count);
	for (int i = 0; i < count; i++)
	{
		double share = tag_share(stats, &tags[i]);

		all *= share;
		none *= 1 - share;
	}
	if (condition == CONDITION_OVERLAPS || condition == CONDITION_HAS_ANY)
		return 1 - none;
	return all_valid ? all : 0;
}
