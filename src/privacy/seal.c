/*
 * crm.sealed: text sealed with AES-256-GCM.
 *
 * Layout: 0xC1, version, algorithm, key number (4 bytes, high first), length of label (1), length of row (2), label, row, nonce (12),
 * ciphertext, tag (16). All up to the nonce is authenticated, so that a value opened as another column's or row's is found out.
 * Algorithm 1 derives its key from the keyring, 2 from the keyring and the data key of the person whom row names.
 */
#include "base/crm.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include "libpq/pqformat.h"
#include "privacy/cipher.h"
#include "privacy/seal.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define SEAL_MAGIC 0xC1
#define SEAL_VERSION 1
#define SEAL_SHARED 1
#define SEAL_PERSONAL 2
#define SEAL_FIXED 10
#define TAG_BYTES 16
#define MAX_ROW 200

/* A sealed value taken apart. */
typedef struct Sealed
{
	int algorithm;
	uint32 key_id;
	const char *label;
	int label_length;
	const char *row;
	int row_length;
	int header; /* bytes up to the nonce */
	const unsigned char *nonce;
	const unsigned char *text;
	int text_length;
	const unsigned char *tag;
} Sealed;

/*
 * Take a value apart: false when it is not sound
 */
static bool
parse_sealed(const unsigned char *bytes, Size size, Sealed *sealed)
{
	if (size < SEAL_FIXED + NONCE_BYTES + TAG_BYTES || bytes[0] != SEAL_MAGIC || bytes[1] != SEAL_VERSION ||
		(bytes[2] != SEAL_SHARED && bytes[2] != SEAL_PERSONAL))
		return false;
	sealed->algorithm = bytes[2];
	sealed->key_id = (uint32) bytes[3] << 24 | (uint32) bytes[4] << 16 | (uint32) bytes[5] << 8 | bytes[6];
	sealed->label_length = bytes[7];
	sealed->row_length = bytes[8] << 8 | bytes[9];
	if (sealed->key_id == 0 || sealed->label_length > SEAL_MAX_LABEL || sealed->row_length > MAX_ROW ||
		(sealed->algorithm == SEAL_PERSONAL && sealed->row_length == 0))
		return false;
	sealed->header = SEAL_FIXED + sealed->label_length + sealed->row_length;
	if (size < (Size) sealed->header + NONCE_BYTES + TAG_BYTES)
		return false;
	sealed->label = (const char *) bytes + SEAL_FIXED;
	sealed->row = sealed->label + sealed->label_length;
	sealed->nonce = bytes + sealed->header;
	sealed->text = sealed->nonce + NONCE_BYTES;
	sealed->text_length = size - sealed->header - NONCE_BYTES - TAG_BYTES;
	sealed->tag = sealed->text + sealed->text_length;
	return true;
}

/*
 * Seal a text
 */
static struct varlena *
seal_text(const char *s, int length, const char *label, int label_length, const char *row, int row_length, bool personal)
{
	uint64 generation;
	const KeyringKey *key = keyring_active(KEY_ENC, &generation);
	unsigned char person[KEY_BYTES];
	unsigned char derived[KEY_BYTES];
	EVP_CIPHER_CTX *ctx;
	int header = SEAL_FIXED + label_length + row_length;
	Size size = (Size) VARHDRSZ + header + NONCE_BYTES + length + TAG_BYTES;
	struct varlena *result;
	unsigned char *bytes;
	int written;
	bool ok;

	if (label_length == 0 || label_length > SEAL_MAX_LABEL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a label has 1 to %d bytes", SEAL_MAX_LABEL),
				 errdetail("This one has %d.", label_length),
				 errhint("Name the column, such as contact.phone.")));
	if (row_length > MAX_ROW || (personal && row_length == 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg(personal && row_length == 0 ? "a personal value needs the person it belongs to"
													: "a row is named by at most 200 bytes"),
				 errdetail("This one has %d.", row_length)));
	result = palloc(size);
	SET_VARSIZE(result, size);
	bytes = (unsigned char *) VARDATA(result);
	bytes[0] = SEAL_MAGIC;
	bytes[1] = SEAL_VERSION;
	bytes[2] = personal ? SEAL_PERSONAL : SEAL_SHARED;
	bytes[3] = key->id >> 24;
	bytes[4] = key->id >> 16;
	bytes[5] = key->id >> 8;
	bytes[6] = key->id;
	bytes[7] = label_length;
	bytes[8] = row_length >> 8;
	bytes[9] = row_length;
	memcpy(bytes + SEAL_FIXED, label, label_length);
	memcpy(bytes + SEAL_FIXED + label_length, row, row_length);
	cipher_nonce(bytes + header);

	if (personal)
	{
		(void) person_key_get(row, row_length, true, person);
		cipher_key(key, label, label_length, person, derived);
		explicit_bzero(person, sizeof(person));
		ctx = cipher_new(derived, true);
		explicit_bzero(derived, sizeof(derived));
	}
	else
		ctx = cipher_find(key, generation, label, label_length)->seal;
	ok = EVP_EncryptInit_ex(ctx, NULL, NULL, NULL, bytes + header) == 1 &&
		 EVP_EncryptUpdate(ctx, NULL, &written, bytes, header) == 1 &&
		 EVP_EncryptUpdate(ctx, bytes + header + NONCE_BYTES, &written, (const unsigned char *) s, length) == 1 &&
		 EVP_EncryptFinal_ex(ctx, bytes + header + NONCE_BYTES + length, &written) == 1 &&
		 EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, bytes + header + NONCE_BYTES + length) == 1;
	if (personal)
		EVP_CIPHER_CTX_free(ctx);
	if (!ok)
		cipher_failed("seal a value");
	return result;
}

/*
 * Open a value taken apart: the text, or NULL when it is not what was sealed
 */
static char *
open_parsed(const Sealed *sealed, const KeyringKey *key, uint64 generation)
{
	char *text = palloc((Size) sealed->text_length + 1);
	unsigned char person[KEY_BYTES];
	unsigned char derived[KEY_BYTES];
	EVP_CIPHER_CTX *ctx;
	int written;
	bool ok;

	if (sealed->algorithm == SEAL_PERSONAL)
	{
		if (!person_key_get(sealed->row, sealed->row_length, false, person))
			return NULL;
		cipher_key(key, sealed->label, sealed->label_length, person, derived);
		explicit_bzero(person, sizeof(person));
		ctx = cipher_new(derived, false);
		explicit_bzero(derived, sizeof(derived));
	}
	else
		ctx = cipher_find(key, generation, sealed->label, sealed->label_length)->open;
	/* Nothing is handed out before the tag has been found right. */
	ok = EVP_DecryptInit_ex(ctx, NULL, NULL, NULL, sealed->nonce) == 1 &&
		 EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, (void *) sealed->tag) == 1 &&
		 EVP_DecryptUpdate(ctx, NULL, &written, sealed->nonce - sealed->header, sealed->header) == 1 &&
		 EVP_DecryptUpdate(ctx, (unsigned char *) text, &written, sealed->text, sealed->text_length) == 1 &&
		 EVP_DecryptFinal_ex(ctx, (unsigned char *) text + sealed->text_length, &written) == 1;
	if (sealed->algorithm == SEAL_PERSONAL)
		EVP_CIPHER_CTX_free(ctx);
	if (!ok)
	{
		ERR_clear_error();
		explicit_bzero(text, sealed->text_length);
		pfree(text);
		return NULL;
	}
	text[sealed->text_length] = '\0';
	return text;
}

char *
sealed_open(const struct varlena *value, int *length)
{
	Sealed sealed;
	uint64 generation;
	const KeyringKey *key;
	int count;

	(void) keyring_keys_now(&count, &generation);
	if (!parse_sealed((const unsigned char *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), &sealed) ||
		(key = keyring_find(KEY_ENC, sealed.key_id, &generation)) == NULL)
		return NULL;
	*length = sealed.text_length;
	return open_parsed(&sealed, key, generation);
}

/*
 * Open a value, which must be bound to label and row when these are given; or raise
 */
static char *
open_or_raise(const struct varlena *value, const text *label, const text *row, Sealed *sealed)
{
	uint64 generation;
	const KeyringKey *key;
	char *result;

	if (!parse_sealed((const unsigned char *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), sealed))
		ereport(ERROR, (errcode(ERRCODE_CRM_SEALED), errmsg("sealed value is damaged")));
	if ((label != NULL && (VARSIZE_ANY_EXHDR(label) != sealed->label_length ||
						   memcmp(VARDATA_ANY(label), sealed->label, sealed->label_length) != 0)) ||
		(row != NULL && (VARSIZE_ANY_EXHDR(row) != sealed->row_length ||
						 memcmp(VARDATA_ANY(row), sealed->row, sealed->row_length) != 0)))
		ereport(ERROR,
				(errcode(ERRCODE_CRM_SEALED),
				 errmsg("sealed value belongs to another column or row"),
				 errdetail("It was sealed for \"%.*s\".", sealed->label_length, sealed->label)));
	key = keyring_find(KEY_ENC, sealed->key_id, &generation);
	if (key == NULL)
	{
		ereport(ERROR,
				(errcode(ERRCODE_CRM_KEY_UNKNOWN),
				 errmsg("the keyring has no key enc %u", sealed->key_id),
				 errhint("Put the key back into the keyring with status old.")));
		return NULL;
	}
	result = open_parsed(sealed, key, generation);
	if (result == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CRM_SEALED),
				 errmsg("sealed value cannot be opened"),
				 sealed->algorithm == SEAL_PERSONAL
					 ? errdetail("It was changed, another key has its number, or the person's key was destroyed.")
					 : errdetail("It was changed, or another key has its number.")));
	return result;
}

static struct varlena *
sealed_from_bytes(const unsigned char *bytes, Size size)
{
	struct varlena *result = palloc(VARHDRSZ + size);

	SET_VARSIZE(result, VARHDRSZ + size);
	memcpy(VARDATA(result), bytes, size);
	return result;
}

/*
 * Input: base64 of a sealed value, nothing else, and above all no plain text
 */
PG_FUNCTION_INFO_V1(sealed_in);
Datum
sealed_in(PG_FUNCTION_ARGS)
{
	char *input = PG_GETARG_CSTRING(0);
	Size length = strlen(input);
	unsigned char *bytes = palloc(length + 4);
	char *again = palloc(length + 8);
	int size = -1;
	Sealed sealed;

	if (length > 0 && length % 4 == 0 && length < MaxAllocSize)
		size = EVP_DecodeBlock(bytes, (unsigned char *) input, length);
	if (size > 0)
		size -= (input[length - 1] == '=') + (input[length - 2] == '=');
	/* What does not come out as it went in was no canonical base64. */
	if (size <= 0 || EVP_EncodeBlock((unsigned char *) again, bytes, size) != length ||
		memcmp(again, input, length) != 0 || !parse_sealed(bytes, size, &sealed))
		crm_ereturn(CRM_ESCONTEXT(fcinfo),
					(Datum) 0,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("invalid input syntax for type crm.sealed"),
					 errhint("Values of this type are made by crm.seal(), or by assigning a value of type text.")));
	PG_RETURN_POINTER(sealed_from_bytes(bytes, size));
}

PG_FUNCTION_INFO_V1(sealed_out);
Datum
sealed_out(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_VARLENA_PP(0);
	Size size = VARSIZE_ANY_EXHDR(value);
	char *result = palloc((size + 2) / 3 * 4 + 1);

	EVP_EncodeBlock((unsigned char *) result, (unsigned char *) VARDATA_ANY(value), size);
	PG_RETURN_CSTRING(result);
}

PG_FUNCTION_INFO_V1(sealed_recv);
Datum
sealed_recv(PG_FUNCTION_ARGS)
{
	StringInfo message = (StringInfo) PG_GETARG_POINTER(0);
	int size = message->len - message->cursor;
	const unsigned char *bytes = (const unsigned char *) pq_getmsgbytes(message, size);
	Sealed sealed;

	if (!parse_sealed(bytes, size, &sealed))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION), errmsg("invalid binary input for type crm.sealed")));
	PG_RETURN_POINTER(sealed_from_bytes(bytes, size));
}

PG_FUNCTION_INFO_V1(sealed_send);
Datum
sealed_send(PG_FUNCTION_ARGS)
{
	PG_RETURN_BYTEA_P(PG_GETARG_BYTEA_P_COPY(0));
}

/*
 * seal(value, label, row_id, personal)
 */
PG_FUNCTION_INFO_V1(seal);
Datum
seal(PG_FUNCTION_ARGS)
{
	text *value = PG_GETARG_TEXT_PP(0);
	text *label = PG_GETARG_TEXT_PP(1);
	text *row = PG_GETARG_TEXT_PP(2);

	PG_RETURN_POINTER(seal_text(VARDATA_ANY(value),
								VARSIZE_ANY_EXHDR(value),
								VARDATA_ANY(label),
								VARSIZE_ANY_EXHDR(label),
								VARDATA_ANY(row),
								VARSIZE_ANY_EXHDR(row),
								PG_GETARG_BOOL(3)));
}

/*
 * unseal(value), unseal(value, label) and unseal(value, label, row_id)
 */
PG_FUNCTION_INFO_V1(unseal);
Datum
unseal(PG_FUNCTION_ARGS)
{
	Sealed sealed;
	char *plain = open_or_raise(PG_GETARG_VARLENA_PP(0),
								PG_NARGS() > 1 ? PG_GETARG_TEXT_PP(1) : NULL,
								PG_NARGS() > 2 ? PG_GETARG_TEXT_PP(2) : NULL,
								&sealed);

	PG_RETURN_TEXT_P(cstring_to_text_with_len(plain, sealed.text_length));
}

/*
 * sealed_for(value, label, row_id): the value if it was sealed for these, else null
 */
PG_FUNCTION_INFO_V1(sealed_for);
Datum
sealed_for(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_VARLENA_PP(0);
	text *label = PG_GETARG_TEXT_PP(1);
	text *row = PG_GETARG_TEXT_PP(2);
	Sealed sealed;

	if (!parse_sealed((const unsigned char *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), &sealed) ||
		VARSIZE_ANY_EXHDR(label) != sealed.label_length || VARSIZE_ANY_EXHDR(row) != sealed.row_length ||
		memcmp(VARDATA_ANY(label), sealed.label, sealed.label_length) != 0 ||
		memcmp(VARDATA_ANY(row), sealed.row, sealed.row_length) != 0)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(value);
}

/*
 * sealed_key(value): number of the keyring's key that a value is sealed with
 */
PG_FUNCTION_INFO_V1(sealed_key);
Datum
sealed_key(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_VARLENA_PP(0);
	Sealed sealed;

	if (!parse_sealed((const unsigned char *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), &sealed))
		PG_RETURN_NULL();
	PG_RETURN_INT64(sealed.key_id);
}

/*
 * reseal(value): the same text under the active key; the value itself when it is under that already
 */
PG_FUNCTION_INFO_V1(reseal);
Datum
reseal(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_VARLENA_PP(0);
	struct varlena *result;
	uint64 generation;
	Sealed sealed;
	char *plain;

	if (parse_sealed((const unsigned char *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), &sealed) &&
		sealed.key_id == keyring_active(KEY_ENC, &generation)->id)
		PG_RETURN_POINTER(value);
	plain = open_or_raise(value, NULL, NULL, &sealed);
	result = seal_text(plain,
					   sealed.text_length,
					   sealed.label,
					   sealed.label_length,
					   sealed.row,
					   sealed.row_length,
					   sealed.algorithm == SEAL_PERSONAL);
	explicit_bzero(plain, sealed.text_length);
	PG_RETURN_POINTER(result);
}
