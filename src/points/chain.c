#include "points/points.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "port/pg_bswap.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* The first byte of an entry's encoding, raised when the encoding changes; see doc/points-format.md. */
#define ENTRY_VERSION 1

/* Bytes of an encoding beside its texts and lots, at most. */
#define ENTRY_FIXED 256

/*
 * The same implementation without its front door, there when the server was built with OpenSSL: to look the algorithm up for each
 * hash, which the door does, takes several times what the hash of an entry takes.
 */
extern int SHA256_Init(void *context) __attribute__((weak));
extern int SHA256_Update(void *context, const void *data, size_t length) __attribute__((weak));
extern int SHA256_Final(unsigned char *digest, void *context) __attribute__((weak));

/* Its context, which has 112 bytes. */
typedef union Sha256Context
{
	uint64 aligned;
	uint8 bytes[256];
} Sha256Context;

/* An encoding is made here. */
static uint8 *buffer;
static size_t buffer_size;

/*
 * A context that serves all hashes of the backend: to make one, and to look the algorithm up in it, takes as long as an entry's
 * hash itself. It would be freed with the resource owner of the moment, so it has one of its own, which nothing releases.
 */
static pg_cryptohash_ctx *
make_context(void)
{
	ResourceOwner caller = CurrentResourceOwner;
	pg_cryptohash_ctx *made = NULL;

	CurrentResourceOwner = ResourceOwnerCreate(NULL, "crm sha256");
	PG_TRY();
	{
		made = pg_cryptohash_create(PG_SHA256);
	}
	PG_FINALLY();
	{
		CurrentResourceOwner = caller;
	}
	PG_END_TRY();
	if (made == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return made;
}

/*
 * SHA-256 of some bytes, by the server's implementation
 */
void
points_sha256(const uint8 *data, size_t length, uint8 *digest)
{
	static pg_cryptohash_ctx *sha256;

	if (SHA256_Init != NULL && SHA256_Update != NULL && SHA256_Final != NULL)
	{
		Sha256Context context;

		if (SHA256_Init(&context) == 1 && SHA256_Update(&context, data, length) == 1 && SHA256_Final(digest, &context) == 1)
			return;
	}
	if (sha256 == NULL)
		sha256 = make_context();
	if (pg_cryptohash_init(sha256) < 0 || pg_cryptohash_update(sha256, data, length) < 0 ||
		pg_cryptohash_final(sha256, digest, PG_SHA256_DIGEST_LENGTH) < 0)
		elog(ERROR, "could not compute SHA-256: %s", pg_cryptohash_error(sha256));
}

/*
 * Write eight bytes, the high one first
 */
static inline uint8 *
put_int64(uint8 *at, int64 value)
{
	uint64 network = pg_hton64((uint64) value);

	memcpy(at, &network, sizeof(network));
	return at + sizeof(network);
}

static inline uint8 *
put_bytes(uint8 *at, const void *bytes, size_t length)
{
	memcpy(at, bytes, length);
	return at + length;
}

/*
 * Write a byte that says whether a number follows, and the number
 */
static inline uint8 *
put_optional(uint8 *at, bool there, int64 value)
{
	*at++ = there ? 1 : 0;
	return there ? put_int64(at, value) : at;
}

/*
 * Write a byte that says whether a text follows, its length in four bytes, and its bytes
 */
static inline uint8 *
put_text(uint8 *at, const char *text, size_t length)
{
	uint32 network = pg_hton32((uint32) length);

	*at++ = text != NULL ? 1 : 0;
	return text != NULL ? put_bytes(put_bytes(at, &network, sizeof(network)), text, length) : at;
}

/*
 * Hash an entry over the hash of the one before it (zeros for the first) into entry->hash
 */
void
points_hash(const uint8 *previous, PointsEntry *entry)
{
	const char *const text[] = {entry->program,
								points_kind_names[entry->kind],
								entry->source,
								entry->reference,
								entry->detail,
								entry->actor};
	size_t length[lengthof(text)];
	size_t size = ENTRY_FIXED + sizeof(PointsLot) * (size_t) entry->lots.count;
	uint32 network = pg_hton32((uint32) entry->lots.count);
	uint8 *at;

	for (int i = 0; i < lengthof(text); i++)
	{
		length[i] = text[i] != NULL ? strlen(text[i]) : 0;
		size += length[i];
	}
	if (size > buffer_size)
	{
		Size wanted = Max(size, 1024);

		buffer_size = 0;
		if (buffer != NULL)
			pfree(buffer);
		buffer = NULL;
		buffer = MemoryContextAllocHuge(TopMemoryContext, wanted);
		buffer_size = wanted;
	}
	at = buffer;
	*at++ = ENTRY_VERSION;
	at = put_bytes(at, previous, POINTS_HASH_SIZE);
	at = put_int64(at, entry->customer_id);
	at = put_text(at, text[0], length[0]);
	at = put_int64(at, entry->seq);
	at = put_text(at, text[1], length[1]);
	at = put_int64(at, entry->points);
	at = put_text(at, text[2], length[2]);
	at = put_text(at, text[3], length[3]);
	at = put_optional(at, entry->reverses != 0, entry->reverses);
	at = put_optional(at, entry->expires_at != POINTS_NO_TIME, entry->expires_at);
	at = put_optional(at, entry->available_at != POINTS_NO_TIME, entry->available_at);
	at = put_int64(at, entry->occurred_at);
	at = put_int64(at, entry->booked_at);
	at = put_int64(at, entry->balance_after);
	at = put_optional(at, entry->shortfall != 0, entry->shortfall);
	at = put_bytes(at, &network, sizeof(network));
	for (int i = 0; i < entry->lots.count; i++)
	{
		at = put_int64(at, entry->lots.lot[i].remaining);
		at = put_int64(at, entry->lots.lot[i].expires_at);
		at = put_int64(at, entry->lots.lot[i].available_at);
	}
	at = put_text(at, text[4], length[4]);
	*at++ = entry->has_note ? 1 : 0;
	if (entry->has_note)
		at = put_bytes(at, entry->note_hash, POINTS_HASH_SIZE);
	at = put_text(at, text[5], length[5]);
	Assert((size_t) (at - buffer) <= size);
	points_sha256(buffer, (size_t) (at - buffer), entry->hash);
	entry->has_hash = true;
}
