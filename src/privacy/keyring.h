/*
 * Keys, which live outside the database: in a file or behind a command, and one a person in a key folder.
 */
#ifndef CRM_KEYRING_H
#define CRM_KEYRING_H

#include "base/crm.h"

#define KEY_BYTES 32

#define ERRCODE_CRM_KEYRING MAKE_SQLSTATE('C', 'V', '1', '0', '1')
#define ERRCODE_CRM_SEALED MAKE_SQLSTATE('C', 'V', '1', '0', '2')
#define ERRCODE_CRM_KEY_UNKNOWN MAKE_SQLSTATE('C', 'V', '1', '0', '3')
#define ERRCODE_CRM_PERSON_KEY MAKE_SQLSTATE('C', 'V', '1', '0', '4')

typedef enum KeyPurpose
{
	KEY_ENC,
	KEY_INDEX,
	KEY_PSEUDONYM,
} KeyPurpose;
#define KEY_PURPOSES 3

typedef struct KeyringKey
{
	KeyPurpose purpose;
	uint32 id;
	bool active;
	unsigned char bytes[KEY_BYTES];
} KeyringKey;

/* The setting crm.key_folder. */
extern char *crm_key_folder;

extern void keyring_define_settings(void);

/* Keys as of now; *generation changes with them. The array lives until the next call. */
extern const KeyringKey *keyring_keys_now(int *count, uint64 *generation);
/* The active key of a purpose; raises when there is no keyring. */
extern const KeyringKey *keyring_active(KeyPurpose purpose, uint64 *generation);
/* A key by its number, or NULL. */
extern const KeyringKey *keyring_find(KeyPurpose purpose, uint32 id, uint64 *generation);
/* HKDF-SHA256 with 32 bytes of output. */
extern void keyring_derive(const unsigned char *key, int key_length, const char *info, int info_length,
						   unsigned char *out);

/* Data keys of persons. */
extern bool person_key_get(const char *person, int length, bool create, unsigned char *key);
extern const char *person_key_folder(void);
/* Raise unless path lies outside the data directory. */
extern void keyring_check_outside(const char *path, const char *setting);

#endif
