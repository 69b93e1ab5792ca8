/*
 * The accounts that verification builds up. There may be millions, and entries come as they lie, so that the next account is seldom
 * in the processor's cache: what is looked up is announced before it is needed.
 */
#include "points/verify.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

#define CHUNK_BITS 10
#define CHUNK_SIZE (1 << CHUNK_BITS)

typedef struct ReplaySlot
{
	uint32 hash;
	uint32 place; /* index of the account and one; 0: free */
} ReplaySlot;

/*
 * An empty table, as large as it will probably be
 */
void
replay_table_begin(ReplayTable *table, MemoryContext context, double expected)
{
	uint64 slots = 16;

	while (slots < expected * 1.5 && slots < (UINT64CONST(1) << 30))
		slots *= 2;
	memset(table, 0, sizeof(ReplayTable));
	table->context = context;
	table->mask = slots - 1;
	table->slot = MemoryContextAllocExtended(context, sizeof(ReplaySlot) * slots, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

uint32
replay_hash(int64 customer_id, int program)
{
	return hash_combine(murmurhash32((uint32) customer_id),
						murmurhash32((uint32) (customer_id >> 32) + (uint32) program * 0x9e3779b9u));
}

/*
 * An account by the order in which they came
 */
Replay *
replay_at(const ReplayTable *table, uint32 index)
{
	return &table->chunk[index >> CHUNK_BITS][index & (CHUNK_SIZE - 1)];
}

/*
 * Announce that an account will be looked up
 */
void
replay_prefetch_slot(const ReplayTable *table, uint32 hash)
{
	prefetch(&table->slot[hash & table->mask]);
}

/*
 * Announce that an account will be read, its slot having been announced
 */
void
replay_prefetch(const ReplayTable *table, uint32 hash)
{
	for (uint64 i = hash & table->mask; table->slot[i].place != 0; i = (i + 1) & table->mask)
	{
		if (table->slot[i].hash == hash)
		{
			const char *replay = (const char *) replay_at(table, table->slot[i].place - 1);

			for (size_t line = 0; line < sizeof(Replay); line += 64)
				prefetch(replay + line);
			return;
		}
	}
}

/*
 * Twice as many slots
 */
static void
grow(ReplayTable *table)
{
	ReplaySlot *before = table->slot;
	uint64 count = table->mask + 1;

	table->mask = count * 2 - 1;
	table->slot = MemoryContextAllocExtended(
		table->context, sizeof(ReplaySlot) * count * 2, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (uint64 i = 0; i < count; i++)
	{
		uint64 to = before[i].hash & table->mask;

		if (before[i].place == 0)
			continue;
		while (table->slot[to].place != 0)
			to = (to + 1) & table->mask;
		table->slot[to] = before[i];
	}
	pfree(before);
}

/*
 * An account, made when it is new
 */
Replay *
replay_find(ReplayTable *table, uint32 hash, int64 customer_id, int program)
{
	uint64 i = hash & table->mask;
	Replay *replay;

	for (; table->slot[i].place != 0; i = (i + 1) & table->mask)
	{
		if (table->slot[i].hash != hash)
			continue;
		replay = replay_at(table, table->slot[i].place - 1);
		if (replay->customer_id == customer_id && replay->program == program)
			return replay;
	}
	if (table->count >= (UINT64CONST(1) << 31) - 1)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many points accounts to verify at once"),
				 errhint("Verify them in parts.")));
	if ((table->count & (CHUNK_SIZE - 1)) == 0)
	{
		uint32 chunk = table->count >> CHUNK_BITS;

		if (chunk == table->chunks)
		{
			table->chunks = Max(16, table->chunks * 2);
			table->chunk = table->chunk == NULL
							   ? MemoryContextAlloc(table->context, sizeof(Replay *) * table->chunks)
							   : repalloc_huge(table->chunk, sizeof(Replay *) * table->chunks);
		}
		table->chunk[chunk] = MemoryContextAlloc(table->context, sizeof(Replay) * CHUNK_SIZE);
	}
	table->slot[i].hash = hash;
	table->slot[i].place = ++table->count;
	replay = replay_at(table, table->count - 1);
	memset(replay, 0, sizeof(Replay));
	replay->customer_id = customer_id;
	replay->program = program;
	replay->state.booked_at = DT_NOBEGIN;
	if (table->count > table->mask / 4 * 3)
		grow(table);
	return replay;
}

/*
 * What an entry refers to by seq, or NULL
 */
Target *
replay_find_target(const Replay *replay, int64 seq)
{
	int low = 0;
	int high = replay->target_count;

	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (replay->target[middle].seq < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low < replay->target_count && replay->target[low].seq == seq ? &replay->target[low] : NULL;
}

/*
 * Remember what later entries may refer to
 */
void
replay_add_target(ReplayTable *table, Replay *replay, const PointsEntry *entry)
{
	Target *target;

	if (replay->target_count == replay->target_capacity)
	{
		/* What fits into a power of two, which is what is given. */
		Size size = 64;

		while (size / sizeof(Target) <= (Size) replay->target_capacity)
			size *= 2;
		if (size / sizeof(Target) > PG_INT32_MAX)
			ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many entries of one points account")));
		replay->target = replay->target == NULL
							 ? MemoryContextAllocHuge(table->context, size)
							 : repalloc_huge(replay->target, size);
		replay->target_capacity = (int) (size / sizeof(Target));
	}
	target = &replay->target[replay->target_count++];
	memset(target, 0, sizeof(Target));
	target->seq = entry->seq;
	target->kind = entry->kind;
	target->points = entry->points;
	target->available_at = entry->available_at;
	if (entry->kind == POINTS_EARN)
		target->of.expires_at = entry->expires_at;
	else if (entry->lots.count > 0)
	{
		target->of.lot = MemoryContextAllocHuge(table->context, sizeof(PointsLot) * entry->lots.count);
		memcpy(target->of.lot, entry->lots.lot, sizeof(PointsLot) * entry->lots.count);
		target->lot_count = entry->lots.count;
	}
}

/*
 * Apply the next entry of an account: NULL, or what is wrong with it
 */
const char *
replay_apply(ReplayTable *table, Replay *replay, const PointsEntry *entry)
{
	PointsContext context = {.spendable = true, .allow_debt = entry->shortfall == 0};
	PointsEntry target_entry;
	Target *target = entry->reverses > 0 ? replay_find_target(replay, entry->reverses) : NULL;
	const char *why;

	if (target != NULL)
	{
		memset(&target_entry, 0, sizeof(PointsEntry));
		target_entry.seq = target->seq;
		target_entry.kind = target->kind;
		target_entry.points = target->points;
		target_entry.expires_at = target->kind == POINTS_EARN ? target->of.expires_at : POINTS_NO_TIME;
		if (target->kind != POINTS_EARN)
			target_entry.lots = (PointsLots){target->lot_count, target->lot_count, target->of.lot};
		context.target = &target_entry;
		context.reversed = target->reversed;
		context.target_available = target->available_at;
	}
	why = points_replay(&replay->state, entry, &context);
	if (why != NULL)
		return why;
	if (target != NULL)
	{
		if (entry->kind == POINTS_REFUND || entry->kind == POINTS_RESTORE)
			target->reversed += entry->points;
		else if (entry->kind == POINTS_MATURE)
			target->available_at = entry->available_at;
	}
	if (entry->kind == POINTS_EARN || entry->kind == POINTS_REDEEM || entry->kind == POINTS_CAPTURE)
		replay_add_target(table, replay, entry);
	return NULL;
}
