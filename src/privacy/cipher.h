/*
 * Ciphers and keyed hashes of OpenSSL, set up once for each key and label.
 */
#ifndef CRM_CIPHER_H
#define CRM_CIPHER_H

#include "base/crm.h"

#include <openssl/evp.h>

#include "privacy/keyring.h"

#define SEAL_MAX_LABEL 100
#define NONCE_BYTES 12

/* Ciphers set up for a key and label, and the keys of MACs; OpenSSL's memory, so they live as long as the backend. */
typedef struct CipherSlot
{
	bool used;
	KeyPurpose purpose;
	uint32 key_id;
	int label_length;
	char label[SEAL_MAX_LABEL];
	unsigned char key[KEY_BYTES];
	EVP_CIPHER_CTX *seal;
	EVP_CIPHER_CTX *open;
	EVP_MAC_CTX *mac;
} CipherSlot;

/* The slot for a key and label; it lives until the next call. */
extern CipherSlot *cipher_find(const KeyringKey *key, uint64 generation, const char *label, int label_length);
/* The key for a label, from one of the keyring and, when given, a person's. */
extern void cipher_key(const KeyringKey *key, const char *label, int label_length, const unsigned char *person,
					   unsigned char *out);
extern EVP_CIPHER_CTX *cipher_new(const unsigned char *key, bool seal);
extern void cipher_nonce(unsigned char *nonce);
extern void cipher_failed(const char *what);

#endif
