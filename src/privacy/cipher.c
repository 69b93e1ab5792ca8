/*
 * Keys for labels, derived from the keyring, and the ciphers and keyed hashes set up with them.
 */
#include "base/crm.h"

#include <openssl/core_names.h>
#include <openssl/err.h>

#include "miscadmin.h"
#include "privacy/cipher.h"

#define CIPHER_SLOTS 16

static CipherSlot slots[CIPHER_SLOTS];
static int next_slot = 0;
static uint64 slots_generation = 0;

/*
 * Give back what a slot holds
 */
static void
forget_slot(CipherSlot *slot)
{
	EVP_CIPHER_CTX_free(slot->seal);
	EVP_CIPHER_CTX_free(slot->open);
	EVP_MAC_CTX_free(slot->mac);
	explicit_bzero(slot, sizeof(CipherSlot));
}

/*
 * Raise, when OpenSSL could not do what it was asked for
 */
void
cipher_failed(const char *what)
{
	ERR_clear_error();
	ereport(ERROR, (errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION), errmsg("OpenSSL failed to %s", what)));
}

/*
 * The key for a purpose, key of the keyring, and label
 */
void
cipher_key(const KeyringKey *key, const char *label, int label_length, const unsigned char *person, unsigned char *out)
{
	static const char *const names[KEY_PURPOSES] = {"crm/v1/enc/", "crm/v1/index/", "crm/v1/pseudonym/"};
	unsigned char secret[2 * KEY_BYTES];
	char info[32 + SEAL_MAX_LABEL];
	int length = snprintf(info, sizeof(info), "%s%s%u/", names[key->purpose], person ? "person/" : "", key->id);

	memcpy(info + length, label, label_length);
	memcpy(secret, key->bytes, KEY_BYTES);
	if (person != NULL)
		memcpy(secret + KEY_BYTES, person, KEY_BYTES);
	keyring_derive(secret, person ? 2 * KEY_BYTES : KEY_BYTES, info, length + label_length, out);
	explicit_bzero(secret, sizeof(secret));
}

/*
 * AES-256-GCM set up with a key, to seal or to open
 */
EVP_CIPHER_CTX *
cipher_new(const unsigned char *key, bool seal)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	if (ctx == NULL || EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, NULL, seal) != 1)
	{
		EVP_CIPHER_CTX_free(ctx);
		cipher_failed("set up a cipher");
	}
	return ctx;
}

/*
 * HMAC-SHA-256 set up with a key
 */
static EVP_MAC_CTX *
new_mac(const unsigned char *key)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;

	EVP_MAC_free(mac);
	if (ctx == NULL || EVP_MAC_init(ctx, key, KEY_BYTES, params) != 1)
	{
		EVP_MAC_CTX_free(ctx);
		cipher_failed("set up a keyed hash");
	}
	return ctx;
}

/*
 * The slot for a key and label
 */
CipherSlot *
cipher_find(const KeyringKey *key, uint64 generation, const char *label, int label_length)
{
	CipherSlot *slot;

	if (generation != slots_generation)
	{
		for (int i = 0; i < CIPHER_SLOTS; i++)
			forget_slot(&slots[i]);
		slots_generation = generation;
	}
	for (int i = 0; i < CIPHER_SLOTS; i++)
	{
		slot = &slots[i];
		if (slot->used && slot->purpose == key->purpose && slot->key_id == key->id &&
			slot->label_length == label_length && memcmp(slot->label, label, label_length) == 0)
			return slot;
	}
	slot = &slots[next_slot];
	next_slot = (next_slot + 1) % CIPHER_SLOTS;
	forget_slot(slot);
	cipher_key(key, label, label_length, NULL, slot->key);
	if (key->purpose == KEY_ENC)
	{
		slot->seal = cipher_new(slot->key, true);
		slot->open = cipher_new(slot->key, false);
	}
	else
		slot->mac = new_mac(slot->key);
	explicit_bzero(slot->key, sizeof(slot->key));
	slot->purpose = key->purpose;
	slot->key_id = key->id;
	slot->label_length = label_length;
	memcpy(slot->label, label, label_length);
	slot->used = true;
	return slot;
}

/*
 * A random nonce; they are fetched by the dozen, since asking takes longer than sealing
 */
void
cipher_nonce(unsigned char *nonce)
{
	static unsigned char pool[64 * NONCE_BYTES];
	static int left = 0;
	static int owner = 0;

	/* A child process must not repeat what its parent has fetched. */
	if (left == 0 || owner != MyProcPid)
	{
		left = 0;
		if (!pg_strong_random(pool, sizeof(pool)))
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate a random nonce")));
		left = 64;
		owner = MyProcPid;
	}
	left--;
	memcpy(nonce, pool + left * NONCE_BYTES, NONCE_BYTES);
}
