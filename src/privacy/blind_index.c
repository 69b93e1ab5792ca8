/*
 * Keyed hashes: blind indexes, by which an equal sealed value is found, and pseudonyms.
 */
#include "base/crm.h"

#include "catalog/pg_type.h"
#include "privacy/cipher.h"
#include "utils/array.h"
#include "utils/builtins.h"

#define BLIND_BYTES 16

/*
 * HMAC of a text under the key for a purpose and label
 */
static void
keyed_hash(const KeyringKey *key, uint64 generation, text *value, text *label, unsigned char *mac)
{
	size_t size = 0;
	int label_length = VARSIZE_ANY_EXHDR(label);
	EVP_MAC_CTX *ctx;

	if (label_length > SEAL_MAX_LABEL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a label has at most %d bytes", SEAL_MAX_LABEL),
				 errdetail("This one has %d.", label_length)));
	ctx = cipher_find(key, generation, VARDATA_ANY(label), label_length)->mac;
	/* Without a key, init starts again with the one it has. */
	if (EVP_MAC_init(ctx, NULL, 0, NULL) != 1 ||
		EVP_MAC_update(ctx, (unsigned char *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)) != 1 ||
		EVP_MAC_final(ctx, mac, &size, KEY_BYTES) != 1 || size != KEY_BYTES)
		cipher_failed("compute a keyed hash");
}

/*
 * The first bytes of such a hash, as bytea
 */
static Datum
blind_value(const KeyringKey *key, uint64 generation, text *value, text *label)
{
	unsigned char mac[KEY_BYTES] = {0};
	bytea *result = palloc(VARHDRSZ + BLIND_BYTES);

	keyed_hash(key, generation, value, label, mac);
	SET_VARSIZE(result, VARHDRSZ + BLIND_BYTES);
	memcpy(VARDATA(result), mac, BLIND_BYTES);
	return PointerGetDatum(result);
}

/*
 * blind_index(value, label): what an index can find a sealed value by
 */
PG_FUNCTION_INFO_V1(blind_index);
Datum
blind_index(PG_FUNCTION_ARGS)
{
	uint64 generation;
	const KeyringKey *key = keyring_active(KEY_INDEX, &generation);

	return blind_value(key, generation, PG_GETARG_TEXT_PP(0), PG_GETARG_TEXT_PP(1));
}

/*
 * blind_indexes(value, label): under every index key, active and old, for look-ups while keys rotate
 */
PG_FUNCTION_INFO_V1(blind_indexes);
Datum
blind_indexes(PG_FUNCTION_ARGS)
{
	int count;
	int found = 0;
	uint64 generation;
	const KeyringKey *now = keyring_keys_now(&count, &generation);
	Datum *values = palloc(sizeof(Datum) * (count + 1));

	for (int i = 0; i < count; i++)
		if (now[i].purpose == KEY_INDEX)
			values[found++] = blind_value(&now[i], generation, PG_GETARG_TEXT_PP(0), PG_GETARG_TEXT_PP(1));
	PG_RETURN_ARRAYTYPE_P(construct_array(values, found, BYTEAOID, -1, false, TYPALIGN_INT));
}

/*
 * mask_hash(value, label): a pseudonym, the same for the same value and label
 */
PG_FUNCTION_INFO_V1(mask_hash);
Datum
mask_hash(PG_FUNCTION_ARGS)
{
	uint64 generation;
	const KeyringKey *key = keyring_active(KEY_PSEUDONYM, &generation);
	unsigned char mac[KEY_BYTES] = {0};
	char shown[2 * BLIND_BYTES + 1];

	keyed_hash(key, generation, PG_GETARG_TEXT_PP(0), PG_GETARG_TEXT_PP(1), mac);
	for (int i = 0; i < BLIND_BYTES; i++)
		snprintf(shown + 2 * i, 3, "%02x", mac[i]);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(shown, 2 * BLIND_BYTES));
}
