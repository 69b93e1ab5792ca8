#include "points/points.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include "port/pg_bswap.h"
#include "utils/memutils.h"

/* The first byte of an entry's encoding, raised when the encoding changes; see doc/points-format.md. */
#define ENTRY_VERSION 1

/* Bytes of an encoding beside its texts and lots, at most. */
#define ENTRY_FIXED 256

/* An encoding is made here. */
static uint8 *buffer;
static size_t buffer_size;

/*
 * SHA-256 of some bytes. Algorithm and context serve all hashes of the backend: to look the one up, as a new context of
 * the server's own does each time, takes several times what the hash of an entry takes.
 */
void
points_sha256(const uint8 *data, size_t length, uint8 *digest)
{
	static EVP_MD *sha256;
	static EVP_MD_CTX *context;

	if (sha256 == NULL)
		sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (context == NULL)
		context = EVP_MD_CTX_new();
	if (sha256 == NULL || context == NULL || EVP_DigestInit_ex(context, sha256, NULL) != 1 ||
		EVP_DigestUpdate(context, data, length) != 1 || EVP_DigestFinal_ex(context, digest, NULL) != 1)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("could not compute SHA-256: %s", ERR_reason_error_string(ERR_get_error()))));
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
