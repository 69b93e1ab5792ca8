#include "points/points.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "port/pg_bswap.h"
#include "utils/memutils.h"

/* The first byte of an entry's encoding, raised when the encoding changes; see doc/points-format.md. */
#define ENTRY_VERSION 1

static StringInfoData buffer;

/* Belongs to the resource owner of the moment, so it lives for one run of points_sha256_keep only. */
static pg_cryptohash_ctx *kept;

/*
 * Keep one context for many hashes, until it is called with false; an error between must call it too
 */
void
points_sha256_keep(bool keep)
{
	if (keep)
		kept = pg_cryptohash_create(PG_SHA256);
	else
	{
		pg_cryptohash_free(kept);
		kept = NULL;
	}
}

/*
 * SHA-256 of some bytes, by the server's implementation
 */
void
points_sha256(const uint8 *data, size_t length, uint8 *digest)
{
	pg_cryptohash_ctx *sha256 = kept != NULL ? kept : pg_cryptohash_create(PG_SHA256);

	if (sha256 == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	if (pg_cryptohash_init(sha256) < 0 || pg_cryptohash_update(sha256, data, length) < 0 ||
		pg_cryptohash_final(sha256, digest, PG_SHA256_DIGEST_LENGTH) < 0)
		elog(ERROR, "could not compute SHA-256: %s", pg_cryptohash_error(sha256));
	if (kept == NULL)
		pg_cryptohash_free(sha256);
}

/*
 * Append eight bytes, the high one first
 */
static void
put_int64(int64 value)
{
	uint64 network = pg_hton64((uint64) value);

	appendBinaryStringInfoNT(&buffer, (char *) &network, sizeof(network));
}

/*
 * Append a byte that says whether a number follows, and the number
 */
static void
put_optional(bool there, int64 value)
{
	appendStringInfoCharMacro(&buffer, there ? 1 : 0);
	if (there)
		put_int64(value);
}

/*
 * Append a byte that says whether a text follows, its length in four bytes, and its bytes
 */
static void
put_text(const char *text)
{
	uint32 network;
	size_t length;

	appendStringInfoCharMacro(&buffer, text != NULL ? 1 : 0);
	if (text == NULL)
		return;
	length = strlen(text);
	network = pg_hton32((uint32) length);
	appendBinaryStringInfoNT(&buffer, (char *) &network, sizeof(network));
	appendBinaryStringInfoNT(&buffer, text, (int) length);
}

/*
 * Hash an entry over the hash of the one before it (zeros for the first) into entry->hash
 */
void
points_hash(const uint8 *previous, PointsEntry *entry)
{
	uint32 network;

	if (buffer.data == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		initStringInfo(&buffer);
		MemoryContextSwitchTo(old);
	}
	resetStringInfo(&buffer);
	appendStringInfoCharMacro(&buffer, ENTRY_VERSION);
	appendBinaryStringInfoNT(&buffer, (const char *) previous, POINTS_HASH_SIZE);
	put_int64(entry->customer_id);
	put_text(entry->program);
	put_int64(entry->seq);
	put_text(points_kind_names[entry->kind]);
	put_int64(entry->points);
	put_text(entry->source);
	put_text(entry->reference);
	put_optional(entry->reverses != 0, entry->reverses);
	put_optional(entry->expires_at != POINTS_NO_TIME, entry->expires_at);
	put_optional(entry->available_at != POINTS_NO_TIME, entry->available_at);
	put_int64(entry->occurred_at);
	put_int64(entry->booked_at);
	put_int64(entry->balance_after);
	put_optional(entry->shortfall != 0, entry->shortfall);
	network = pg_hton32((uint32) entry->lots.count);
	appendBinaryStringInfoNT(&buffer, (char *) &network, sizeof(network));
	for (int i = 0; i < entry->lots.count; i++)
	{
		put_int64(entry->lots.lot[i].remaining);
		put_int64(entry->lots.lot[i].expires_at);
		put_int64(entry->lots.lot[i].available_at);
	}
	put_text(entry->detail);
	appendStringInfoCharMacro(&buffer, entry->has_note ? 1 : 0);
	if (entry->has_note)
		appendBinaryStringInfoNT(&buffer, (char *) entry->note_hash, POINTS_HASH_SIZE);
	put_text(entry->actor);
	points_sha256((uint8 *) buffer.data, buffer.len, entry->hash);
	entry->has_hash = true;
}
