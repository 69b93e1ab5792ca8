/*
 * Cohorts: an account's entries walked through in order, each point with the month in which it was earned. What the
 * entries say of the lots that they took and gave is followed; of points with the same dates those of the oldest month
 * go first.
 */
#include "points/cohort.h"

#include "common/int.h"
#include "utils/memutils.h"

/*
 * Room for one more element in an array that lives as long as the state
 */
static void *
reserve(MemoryContext context, void *array, int count, int *capacity, Size size)
{
	if (count < *capacity)
		return array;
	if (*capacity > PG_INT32_MAX / 2)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many entries of one points account")));
	*capacity = Max(4, *capacity * 2);
	return array == NULL ? MemoryContextAllocHuge(context, size * *capacity) : repalloc_huge(array, size * *capacity);
}

/*
 * Count points of a month. What would overflow gets a row of its own: whoever reads adds the rows up.
 */
static void
add_flow(Cohorts *c, DateADT earned_in, FlowKind kind, int64 points)
{
	Flow *flow;

	for (int i = c->flow_count - 1; i >= 0 && c->flow[i].booked_in == c->month; i--)
	{
		int64 sum;

		flow = &c->flow[i];
		if (flow->earned_in != earned_in || pg_add_s64_overflow(flow->points[kind], points, &sum))
			continue;
		flow->points[kind] = sum;
		return;
	}
	c->flow = reserve(c->context, c->flow, c->flow_count, &c->flow_capacity, sizeof(Flow));
	flow = &c->flow[c->flow_count++];
	memset(flow, 0, sizeof(Flow));
	flow->earned_in = earned_in;
	flow->booked_in = c->month;
	flow->points[kind] = points;
}

/*
 * Put a layer at the end
 */
void
cohorts_append(Cohorts *c, Layers *layers, Layer layer)
{
	if (layer.points == 0)
		return;
	layers->layer = reserve(c->context, layers->layer, layers->count, &layers->capacity, sizeof(Layer));
	layers->layer[layers->count++] = layer;
}

static void
remove_layer(Layers *layers, int index)
{
	memmove(&layers->layer[index], &layers->layer[index + 1], sizeof(Layer) * (layers->count - index - 1));
	layers->count--;
}

static int
compare_layers(const Layer *a, const Layer *b)
{
	if (a->expires_at != b->expires_at)
		return a->expires_at < b->expires_at ? -1 : 1;
	if (a->available_at != b->available_at)
		return a->available_at < b->available_at ? -1 : 1;
	return a->month < b->month ? -1 : a->month > b->month ? 1 : 0;
}

/*
 * First place of the account whose layer is not before this one
 */
static int
find_place(const Layers *layers, const Layer *layer)
{
	int low = 0;
	int high = layers->count;

	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (compare_layers(&layers->layer[middle], layer) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * Put points into the account, where their dates and month belong
 */
static void
keep(Cohorts *c, Layer layer)
{
	int place = find_place(&c->account, &layer);
	Layers *layers = &c->account;
	int64 sum;

	if (layer.points == 0)
		return;
	if (place < layers->count && compare_layers(&layers->layer[place], &layer) == 0 &&
		!pg_add_s64_overflow(layers->layer[place].points, layer.points, &sum))
	{
		layers->layer[place].points = sum;
		return;
	}
	layers->layer = reserve(c->context, layers->layer, layers->count, &layers->capacity, sizeof(Layer));
	memmove(&layers->layer[place + 1], &layers->layer[place], sizeof(Layer) * (layers->count - place));
	layers->layer[place] = layer;
	layers->count++;
}

/*
 * Points that can be spent: debts are paid first, those of the oldest entry before others
 */
static void
deposit(Cohorts *c, Layer layer)
{
	while (layer.points > 0 && c->debts.count > 0)
	{
		Layer *debt = &c->debts.layer[0];
		int64 paid = Min(layer.points, debt->points);

		add_flow(c, debt->month, FLOW_REVERSED, paid);
		add_flow(c, layer.month, FLOW_REVERSED, -paid);
		layer.points -= paid;
		debt->points -= paid;
		if (debt->points == 0)
			remove_layer(&c->debts, 0);
	}
	layer.available_at = POINTS_NO_TIME;
	keep(c, layer);
}

/*
 * Take up to so many points of one lot out of the account, those of one month first when it is named, and add them to
 * taken
 */
static int64
take_lot(Cohorts *c, const PointsLot *lot, const DateADT *first, Layers *taken)
{
	Layer from = {0, lot->expires_at, lot->available_at, DATEVAL_NOBEGIN};
	int64 left = lot->remaining;

	for (int round = first == NULL ? 1 : 0; round < 2; round++)
	{
		int i = find_place(&c->account, &from);

		while (left > 0 && i < c->account.count)
		{
			Layer *layer = &c->account.layer[i];
			Layer part = *layer;

			if (layer->expires_at != lot->expires_at || layer->available_at != lot->available_at)
				break;
			if (round == 0 && layer->month != *first)
			{
				i++;
				continue;
			}
			part.points = Min(left, layer->points);
			cohorts_append(c, taken, part);
			left -= part.points;
			layer->points -= part.points;
			if (layer->points == 0)
				remove_layer(&c->account, i);
		}
	}
	return lot->remaining - left;
}

/*
 * Take the lots that an entry names; what it took
 */
static Layers
take_lots(Cohorts *c, const PointsLots *lots, const Origin *own)
{
	Layers taken = {0};

	for (int i = 0; i < lots->count; i++)
	{
		const PointsLot *lot = &lots->lot[i];

		(void)take_lot(c, lot, own != NULL && own->expires_at == lot->expires_at ? &own->month : NULL, &taken);
	}
	return taken;
}

/*
 * Count what an entry took; what its lots did not say, in a ledger that verification would not pass, is of the entry's
 * month
 */
static void
count_taken(Cohorts *c, const Layers *taken, FlowKind kind, int sign, int64 points)
{
	for (int i = 0; i < taken->count; i++)
	{
		add_flow(c, taken->layer[i].month, kind, sign * taken->layer[i].points);
		points -= taken->layer[i].points;
	}
	if (points != 0)
		add_flow(c, c->month, kind, sign * points);
}

static int64
layers_sum(const Layers *layers)
{
	int64 sum = 0;

	for (int i = 0; i < layers->count; i++)
		sum += layers->layer[i].points;
	return sum;
}

/*
 * What an entry may be referred to by
 */
static Origin *
add_origin(Cohorts *c, int64 seq, TimestampTz expires_at)
{
	Origin *origin;

	c->origin = reserve(c->context, c->origin, c->origin_count, &c->origin_capacity, sizeof(Origin));
	origin = &c->origin[c->origin_count++];
	memset(origin, 0, sizeof(Origin));
	origin->seq = seq;
	origin->month = c->month;
	origin->expires_at = expires_at;
	return origin;
}

static Origin *
find_origin(const Cohorts *c, int64 seq)
{
	int low = 0;
	int high = c->origin_count;

	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (c->origin[middle].seq < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low < c->origin_count && c->origin[low].seq == seq ? &c->origin[low] : NULL;
}

/*
 * A refund, or an adjustment downwards: what the lots did not cover is owed by the month that it concerns
 */
static void
take_back(Cohorts *c, const PointsEntry *entry, int64 points, const Origin *own)
{
	Layers taken = take_lots(c, &entry->lots, own);
	Layer debt = {0};

	debt.month = own != NULL ? own->month : c->month;
	debt.points = points - layers_sum(&taken);
	count_taken(c, &taken, FLOW_REVERSED, -1, layers_sum(&taken));
	if (debt.points > 0)
	{
		add_flow(c, debt.month, FLOW_REVERSED, -debt.points);
		cohorts_append(c, &c->debts, debt);
	}
	if (taken.layer != NULL)
		pfree(taken.layer);
}

/*
 * A capture: from the hold's layers, the first ones first
 */
static void
capture(Cohorts *c, const PointsEntry *entry, Origin *hold)
{
	Origin *own;
	int64 left = entry->points;
	int index = hold == NULL ? 0 : (int)(hold - c->origin);

	own = add_origin(c, entry->seq, POINTS_NO_TIME);
	for (Layers *held = hold == NULL ? NULL : &c->origin[index].taken; held != NULL && left > 0 && held->count > 0;)
	{
		Layer part = held->layer[0];

		part.points = Min(left, part.points);
		cohorts_append(c, &own->taken, part);
		left -= part.points;
		held->layer[0].points -= part.points;
		if (held->layer[0].points == 0)
			remove_layer(held, 0);
	}
	count_taken(c, &own->taken, FLOW_REDEEMED, 1, entry->points);
}

/*
 * What is left of a hold goes back to the account
 */
static void
release(Cohorts *c, Origin *hold)
{
	if (hold == NULL)
		return;
	for (int i = 0; i < hold->taken.count; i++)
		deposit(c, hold->taken.layer[i]);
	hold->taken.count = 0;
}

/*
 * A redemption is given back, from its end, to the months from which it came
 */
static void
restore(Cohorts *c, const PointsEntry *entry, Origin *spent)
{
	Layers back = {0};
	int64 left = entry->points;

	while (spent != NULL && left > 0 && spent->taken.count > 0)
	{
		Layer *last = &spent->taken.layer[spent->taken.count - 1];
		Layer part = *last;
		int place = 0;

		part.points = Min(left, last->points);
		left -= part.points;
		last->points -= part.points;
		if (last->points == 0)
			spent->taken.count--;
		if (part.expires_at <= entry->booked_at && entry->expires_at != POINTS_NO_TIME)
			part.expires_at = entry->expires_at;
		cohorts_append(c, &back, part);
		/* Debts are paid from what expires first. */
		for (place = back.count; place > 1 && back.layer[place - 2].expires_at > part.expires_at; place--)
			back.layer[place - 1] = back.layer[place - 2];
		if (place > 0)
			back.layer[place - 1] = part;
	}
	count_taken(c, &back, FLOW_REVERSED, 1, entry->points);
	for (int i = 0; i < back.count; i++)
		deposit(c, back.layer[i]);
	if (back.layer != NULL)
		pfree(back.layer);
}

/*
 * Pending points become available, or are to become so at another moment
 */
static void
mature(Cohorts *c, const PointsEntry *entry, const Origin *own)
{
	Layers taken = take_lots(c, &entry->lots, own);

	for (int i = 0; i < taken.count; i++)
	{
		taken.layer[i].available_at = entry->available_at;
		if (entry->reverses != 0 && entry->available_at > entry->booked_at)
			keep(c, taken.layer[i]);
		else
			deposit(c, taken.layer[i]);
	}
	if (taken.layer != NULL)
		pfree(taken.layer);
}

/*
 * Walk on by one entry
 */
void
cohorts_walk(Cohorts *c, const PointsEntry *entry)
{
	Origin *own = entry->reverses > 0 ? find_origin(c, entry->reverses) : NULL;
	Layer layer = {entry->points, entry->expires_at, POINTS_NO_TIME, c->month};
	Layers taken;

	if (entry->expires_at == POINTS_NO_TIME)
		layer.expires_at = DT_NOEND;
	if (c->flow_count == 0 || c->flow[c->flow_count - 1].booked_in != c->month)
		add_flow(c, c->month, FLOW_ISSUED, 0);
	switch (entry->kind)
	{
		case POINTS_EARN:
			add_flow(c, c->month, FLOW_ISSUED, entry->points);
			(void)add_origin(c, entry->seq, layer.expires_at);
			layer.available_at = entry->available_at;
			if (entry->available_at > entry->booked_at)
				keep(c, layer);
			else
				deposit(c, layer);
			break;
		case POINTS_REDEEM:
		case POINTS_HOLD:
			own = add_origin(c, entry->seq, POINTS_NO_TIME);
			own->is_hold = entry->kind == POINTS_HOLD;
			own->taken = take_lots(c, &entry->lots, NULL);
			if (entry->kind == POINTS_REDEEM)
				count_taken(c, &own->taken, FLOW_REDEEMED, 1, entry->points);
			break;
		case POINTS_CAPTURE:
			capture(c, entry, own);
			break;
		case POINTS_RELEASE:
			release(c, own);
			break;
		case POINTS_REFUND:
			take_back(c, entry, entry->points - entry->shortfall, own);
			break;
		case POINTS_RESTORE:
			restore(c, entry, own);
			break;
		case POINTS_EXPIRE:
		case POINTS_TRANSFER_OUT:
			taken = take_lots(c, &entry->lots, NULL);
			count_taken(c, &taken, entry->kind == POINTS_EXPIRE ? FLOW_EXPIRED : FLOW_REVERSED,
						entry->kind == POINTS_EXPIRE ? 1 : -1, entry->points);
			if (taken.layer != NULL)
				pfree(taken.layer);
			break;
		case POINTS_MATURE:
			mature(c, entry, own);
			break;
		case POINTS_ADJUST:
			if (entry->points < 0)
				take_back(c, entry, -entry->points, NULL);
			else
			{
				add_flow(c, c->month, FLOW_REVERSED, entry->points);
				deposit(c, layer);
			}
			break;
		case POINTS_TRANSFER_IN:
			add_flow(c, c->month, FLOW_REVERSED, entry->points);
			for (int i = 0; i < entry->lots.count; i++)
			{
				layer.points = entry->lots.lot[i].remaining;
				layer.expires_at = entry->lots.lot[i].expires_at;
				deposit(c, layer);
			}
			break;
		default:
			break;
	}
}
