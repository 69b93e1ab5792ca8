/*
 * ANALYZE of tag sets. Tags and namespaces are counted by Lossy Counting (Manku and Motwani, 2002): whatever the number
 * of different tags, memory is bounded, and a count is never more than the number of prunings too low.
 */
#include "tags/tagset.h"
#include "tags/tagset_stats.h"

#include "access/detoast.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "commands/vacuum.h"
#include "common/hashfn.h"
#include "utils/hsearch.h"

/* Sets larger than this are not looked into, lest one of them take the memory for all. */
#define WIDTH_LIMIT 0x10000

/* Rows sampled a unit of the statistics target: enough that a tag of 100 in a million rows is seen ten times. */
#define ROWS_A_TARGET 1000

typedef struct AnalyzeState
{
	AnalyzeAttrComputeStatsFunc scalar_stats; /* what ANALYZE does with every sortable type */
	void *scalar_data;
} AnalyzeState;

typedef struct CountedTag
{
	Tag tag;
	int frequency;
	int missed; /* how often it may have been seen before it was last forgotten */
} CountedTag;

typedef struct LossyCounter
{
	HTAB *table;
	int64 seen;
	int64 width; /* tags between two prunings */
	int prunings;
} LossyCounter;

static uint32
hash_tag(const void *key, Size size)
{
	const Tag *tag = key;

	return DatumGetUInt32(hash_any((const unsigned char *) tag->data, tag->length));
}

static int
match_tag(const void *a, const void *b, Size size)
{
	return tag_compare(a, b) != 0;
}

static void
counter_init(LossyCounter *counter, int64 width)
{
	HASHCTL control = {0};

	control.keysize = sizeof(Tag);
	control.entrysize = sizeof(CountedTag);
	control.hash = hash_tag;
	control.match = match_tag;
	control.hcxt = CurrentMemoryContext;
	counter->table = hash_create("counted tags", 1024, &control, HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	counter->seen = 0;
	counter->width = width;
	counter->prunings = 0;
}

/*
 * Count one tag
 */
static void
counter_add(LossyCounter *counter, const Tag *tag)
{
	bool found;
	CountedTag *counted = hash_search(counter->table, tag, HASH_ENTER, &found);

	if (found)
		counted->frequency++;
	else
	{
		char *copy = palloc(tag->length);

		memcpy(copy, tag->data, tag->length);
		counted->tag.data = copy;
		counted->frequency = 1;
		counted->missed = counter->prunings;
	}
	if (++counter->seen % counter->width == 0)
	{
		HASH_SEQ_STATUS status;

		counter->prunings++;
		hash_seq_init(&status, counter->table);
		while ((counted = hash_seq_search(&status)) != NULL)
		{
			char *copy = (char *) counted->tag.data;

			if (counted->frequency + counted->missed <= counter->prunings)
			{
				hash_search(counter->table, &counted->tag, HASH_REMOVE, NULL);
				pfree(copy);
			}
		}
	}
}

static int
by_frequency(const void *a, const void *b)
{
	const CountedTag *x = *(const CountedTag *const *) a;
	const CountedTag *y = *(const CountedTag *const *) b;

	if (x->frequency != y->frequency)
		return x->frequency > y->frequency ? -1 : 1;
	return tag_compare(&x->tag, &y->tag);
}

static int
by_tag(const void *a, const void *b)
{
	return tag_compare(&(*(const CountedTag *const *) a)->tag, &(*(const CountedTag *const *) b)->tag);
}

static int
by_value(const void *a, const void *b)
{
	int x = *(const int *) a;
	int y = *(const int *) b;

	return (x > y) - (x < y);
}

/*
 * What was counted, the most frequent first
 */
static CountedTag **
counter_result(LossyCounter *counter, int *count)
{
	HASH_SEQ_STATUS status;
	CountedTag *counted;
	CountedTag **result = palloc(sizeof(CountedTag *) * (hash_get_num_entries(counter->table) + 1));

	*count = 0;
	hash_seq_init(&status, counter->table);
	while ((counted = hash_seq_search(&status)) != NULL)
		result[(*count)++] = counted;
	qsort(result, *count, sizeof(CountedTag *), by_frequency);
	return result;
}

/*
 * A slot of the statistics row that is still free; -1 when there is none
 */
static int
free_slot(const VacAttrStats *stats)
{
	for (int i = 0; i < STATISTIC_NUM_SLOTS; i++)
	{
		if (stats->stakind[i] == 0)
			return i;
	}
	return -1;
}

/*
 * Fill a slot with numbers and texts. Both must live in anl_context
 */
static void
fill_slot(VacAttrStats *stats, int kind, float4 *numbers, int number_count, Datum *values, int value_count)
{
	int slot = free_slot(stats);

	if (slot < 0)
		return;
	stats->stakind[slot] = kind;
	stats->staop[slot] = TextEqualOperator;
	stats->stacoll[slot] = C_COLLATION_OID;
	stats->stanumbers[slot] = numbers;
	stats->numnumbers[slot] = number_count;
	stats->stavalues[slot] = values;
	stats->numvalues[slot] = value_count;
	stats->statypid[slot] = TEXTOID;
	stats->statyplen[slot] = -1;
	stats->statypbyval[slot] = false;
	stats->statypalign[slot] = TYPALIGN_INT;
}

/*
 * A text of an optional first letter and a tag, in anl_context
 */
static Datum
kept_text(char first, const Tag *tag)
{
	int extra = first != '\0';
	text *result = palloc(VARHDRSZ + extra + tag->length);

	SET_VARSIZE(result, VARHDRSZ + extra + tag->length);
	if (extra)
		VARDATA(result)[0] = first;
	memcpy(VARDATA(result) + extra, tag->data, tag->length);
	return PointerGetDatum(result);
}

/*
 * Keep the most common tags; they end up sorted bytewise at the head of counted
 */
static void
keep_common(VacAttrStats *stats, CountedTag **counted, int count, int rows)
{
	Datum *values = palloc(sizeof(Datum) * count);
	float4 *numbers = palloc(sizeof(float4) * (count + 2));
	float4 most = (float4) counted[0]->frequency / rows;
	float4 least = (float4) counted[count - 1]->frequency / rows;

	qsort(counted, count, sizeof(CountedTag *), by_tag);
	for (int i = 0; i < count; i++)
	{
		values[i] = kept_text('\0', &counted[i]->tag);
		numbers[i] = (float4) counted[i]->frequency / rows;
	}
	numbers[count] = least;
	numbers[count + 1] = most;
	fill_slot(stats, STATISTIC_KIND_MCELEM, numbers, count + 2, values, count);
}

/*
 * Keep the histogram of numbers of tags
 */
static void
keep_counts(VacAttrStats *stats, int *counts, int rows, double total, int target)
{
	int bounds = Min(rows, target + 1);
	float4 *numbers = palloc(sizeof(float4) * (bounds + 1));

	qsort(counts, rows, sizeof(int), by_value);
	for (int i = 0; i < bounds; i++)
		numbers[i] = counts[bounds == 1 ? 0 : (int64) i * (rows - 1) / (bounds - 1)];
	numbers[bounds] = total / rows;
	fill_slot(stats, STATISTIC_KIND_DECHIST, numbers, bounds + 1, NULL, 0);
}

/*
 * Keep namespaces and the less common tags, no more than limit together
 */
static void
keep_rest(VacAttrStats *stats, LossyCounter *spaces, CountedTag **rest, int rest_count, double rest_seen, int prunings,
		  int rows, int empty, int limit)
{
	int space_count;
	CountedTag **space = counter_result(spaces, &space_count);
	Datum *values;
	float4 *numbers;
	int used = 0;
	int points;
	double tracked = 0;
	double rare = 0;
	double weight = 0;
	double part;

	space_count = Min(space_count, limit / 4);
	points = Min(rest_count, limit - space_count);
	values = palloc(sizeof(Datum) * (space_count + points + 1));
	numbers = palloc(sizeof(float4) * (space_count + points + 1 + RARE_EXTRA));
	qsort(space, space_count, sizeof(CountedTag *), by_tag);
	qsort(rest, rest_count, sizeof(CountedTag *), by_tag);
	for (; used < space_count; used++)
	{
		values[used] = kept_text('n', &space[used]->tag);
		numbers[used] = (float4) space[used]->frequency / rows;
	}

	/* What was forgotten was rare: it goes to the rare ones that are left, which are a sample of all of them. */
	for (int i = 0; i < rest_count; i++)
	{
		tracked += rest[i]->frequency;
		if (rest[i]->frequency <= prunings + 1)
			rare += rest[i]->frequency;
	}
	part = points > 0 ? Max(rest_seen, tracked) / points : 0;
	for (int i = 0, begun = 0; i < rest_count; i++)
	{
		double one = rest[i]->frequency;

		if (one <= prunings + 1 && rare > 0)
			one *= 1 + Max(rest_seen - tracked, 0) / rare;
		/* With more tags than room, one stands for its neighbours up to the next. */
		if (rest_count <= points || (weight >= begun * part && begun < points))
		{
			values[used] = kept_text('r', &rest[i]->tag);
			numbers[used++] = 0;
			begun++;
		}
		numbers[used - 1] += one / rows;
		weight += one;
	}
	numbers[used + RARE_AVERAGE] = rest_count > 0 ? tracked / rest_count / rows : 0;
	numbers[used + RARE_EMPTY] = (float4) empty / rows;
	fill_slot(stats, TAGSET_STATISTIC_KIND, numbers, used + RARE_EXTRA, values, used);
}

/*
 * Compute the statistics of a column
 */
static void
compute_tagset_stats(VacAttrStatsP stats, AnalyzeAttrFetchFunc fetch, int sample_rows, double total_rows)
{
	AnalyzeState *state = stats->extra_data;
	int target = CRM_STATTARGET(stats);
	int limit = target * 10;
	LossyCounter tags;
	LossyCounter spaces;
	int *counts = palloc(sizeof(int) * Max(sample_rows, 1));
	int rows = 0;
	int empty = 0;
	int counted_count;
	int common;
	double rest_seen;
	CountedTag **counted;
	MemoryContext old;

	stats->extra_data = state->scalar_data;
	state->scalar_stats(stats, fetch, sample_rows, total_rows);
	stats->extra_data = state;
	/* The correlation with physical order helps nobody; its place is needed. */
	for (int i = 0; i < STATISTIC_NUM_SLOTS; i++)
	{
		if (stats->stakind[i] == STATISTIC_KIND_CORRELATION)
			stats->stakind[i] = 0;
	}

	counter_init(&tags, ((int64) limit + 10) * 3000 / 7);
	counter_init(&spaces, ((int64) limit + 10) * 3000 / 7);
	for (int i = 0; i < sample_rows; i++)
	{
		bool is_null;
		Datum value = fetch(stats, i, &is_null);
		struct varlena *set;
		TagScan scan;
		Tag tag;
		Tag space = {NULL, 0};

		crm_vacuum_delay_point();
		if (is_null || toast_raw_datum_size(value) > WIDTH_LIMIT)
			continue;
		set = DatumGetTagsetPP(value);
		tag_scan_begin(&scan, set);
		empty += scan.left == 0;
		counts[rows++] = scan.left;
		while (tag_scan_next(&scan, &tag))
		{
			const char *colon = memchr(tag.data, ':', tag.length);

			counter_add(&tags, &tag);
			/* Tags of one namespace follow each other. */
			if (colon != NULL && (space.data == NULL || !tag_has_prefix(&tag, &space)))
			{
				space.data = tag.data;
				space.length = colon + 1 - tag.data;
				counter_add(&spaces, &space);
			}
		}
		if ((Pointer) set != DatumGetPointer(value))
			pfree(set);
	}
	if (rows == 0)
		return;

	counted = counter_result(&tags, &counted_count);
	rest_seen = tags.seen;
	for (common = 0; common < Min(counted_count, limit); common++)
	{
		/* Counts that may be off by more than a ninth are not common enough. */
		if (counted[common]->frequency < 9 * tags.prunings)
			break;
		rest_seen -= counted[common]->frequency;
	}
	old = MemoryContextSwitchTo(stats->anl_context);
	if (common > 0)
		keep_common(stats, counted, common, rows);
	keep_counts(stats, counts, rows, tags.seen, target);
	keep_rest(stats, &spaces, counted + common, counted_count - common, rest_seen, tags.prunings, rows, empty, limit);
	MemoryContextSwitchTo(old);
	stats->stats_valid = true;
}

/*
 * Tell ANALYZE how to treat a column of tag sets
 */
PG_FUNCTION_INFO_V1(tagset_typanalyze);
Datum
tagset_typanalyze(PG_FUNCTION_ARGS)
{
	VacAttrStats *stats = (VacAttrStats *) PG_GETARG_POINTER(0);
	AnalyzeState *state;

	if (!std_typanalyze(stats))
		PG_RETURN_BOOL(false);
	state = palloc(sizeof(AnalyzeState));
	state->scalar_stats = stats->compute_stats;
	state->scalar_data = stats->extra_data;
	stats->compute_stats = compute_tagset_stats;
	stats->extra_data = state;
	stats->minrows = Max(stats->minrows, ROWS_A_TARGET * CRM_STATTARGET(stats));
	PG_RETURN_BOOL(true);
}
