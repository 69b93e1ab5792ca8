/*
 * libFuzzer harness for what reads personal data: the masks, the validators and normalisers, and the readers of sealed values,
 * chosen by FUZZ_TARGET. The sources are those of the extension; server.h stands in for the server, and a keyring of one key.
 */
#include "privacy/mask.h"
#include "privacy/cipher.h"
#include "privacy/seal.h"

#define FUZZ_TEXT
#define FUZZ_KEEP
#include "server.h"

/* The calendar of the server, as far as the sources ask it. */
const int day_tab[2][13] = {{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0}, {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0}};

int
date2j(int year, int month, int day)
{
	return year * 372 + month * 31 + day;
}

void
j2date(int jd, int *year, int *month, int *day)
{
	*year = 2000;
	*month = *day = 1;
}

/* A keyring of one key, and a person whose key is there. */
static const KeyringKey key = {KEY_ENC, 7, true, "0123456789abcdef0123456789abcdef"};

const KeyringKey *
keyring_keys_now(int *count, uint64 *generation)
{
	*count = 1;
	*generation = 1;
	return &key;
}

const KeyringKey *
keyring_active(KeyPurpose purpose, uint64 *generation)
{
	*generation = 1;
	return &key;
}

const KeyringKey *
keyring_find(KeyPurpose purpose, uint32 id, uint64 *generation)
{
	*generation = 1;
	return id == key.id ? &key : NULL;
}

void
keyring_derive(const unsigned char *bytes, int key_length, const char *info, int info_length, unsigned char *out)
{
	for (int i = 0; i < KEY_BYTES; i++)
		out[i] = bytes[i % key_length] ^ (info_length ? info[i % info_length] : 0);
}

bool
person_key_get(const char *person, int length, bool create, unsigned char *out)
{
	memset(out, 'p', KEY_BYTES);
	return length > 0 && person[0] != 'x';
}

static Datum
call(PGFunction function, int count, Datum a, Datum b, Datum c, Datum d, bool *null)
{
	LOCAL_FCINFO(info, 4);
	Datum result;

	InitFunctionCallInfoData(*info, NULL, count, InvalidOid, NULL, NULL);
	info->args[0].value = a;
	info->args[1].value = b;
	info->args[2].value = c;
	info->args[3].value = d;
	for (int i = 0; i < 4; i++)
		info->args[i].isnull = false;
	result = function(info);
	*null = info->isnull;
	return result;
}

static const MaskRule rules[] = {hide_all, hide_partial, hide_nickname, hide_phone, hide_email, hide_id_number, hide_bank_card, hide_iban, hide_uscc,
								 hide_courier, hide_wechat, hide_ip, hide_date, hide_name, hide_address, hide_plate, hide_text};
static const char *const styles[] = {"", "surname", "ends", "given", "year", "month", "five_years", "decade"};

/*
 * The first bytes choose a mask and its options, the rest is the value
 */
static void
try_mask(const char *data, int size)
{
	MaskOptions options;
	text *fill;
	text *result;

	if (size < 5 || !is_text(data + 5, size - 5))
		return;
	options.left = (signed char) data[1];
	options.right = (signed char) data[2];
	options.domain = data[3] & 1;
	options.style = styles[(data[3] >> 1) & 7];
	options.style_length = strlen(options.style);
	fill = data[4] & 1 ? cstring_to_text("█") : data[4] & 2 ? cstring_to_text("") : NULL;
	result = mask_apply(rules[(unsigned char) data[0] % lengthof(rules)], data + 5, size - 5, data[4] & 4 ? MASK_MAX_SHAPE : MASK_MAX_INPUT, fill, &options);
	if (!is_text(VARDATA_ANY(result), VARSIZE_ANY_EXHDR(result)) || (size > 5) != (VARSIZE_ANY_EXHDR(result) > 0))
		abort();
}

extern Datum is_cn_mobile(PG_FUNCTION_ARGS), is_cn_id(PG_FUNCTION_ARGS), is_uscc(PG_FUNCTION_ARGS), is_bank_card(PG_FUNCTION_ARGS), is_iban(PG_FUNCTION_ARGS),
	is_email(PG_FUNCTION_ARGS), is_hk_id(PG_FUNCTION_ARGS), is_tw_id(PG_FUNCTION_ARGS), id_birth_date(PG_FUNCTION_ARGS), id_gender(PG_FUNCTION_ARGS),
	id_region(PG_FUNCTION_ARGS), id_15_to_18(PG_FUNCTION_ARGS), normalize_phone(PG_FUNCTION_ARGS), normalize_email(PG_FUNCTION_ARGS),
	normalize_name(PG_FUNCTION_ARGS), name_pinyin(PG_FUNCTION_ARGS), name_initials(PG_FUNCTION_ARGS), sealed_in(PG_FUNCTION_ARGS),
	sealed_out(PG_FUNCTION_ARGS), sealed_recv(PG_FUNCTION_ARGS), sealed_key(PG_FUNCTION_ARGS), seal(PG_FUNCTION_ARGS), unseal(PG_FUNCTION_ARGS),
	reseal(PG_FUNCTION_ARGS), mask_phone_sealed(PG_FUNCTION_ARGS);

static void
try_validators(const char *data, int size)
{
	static const PGFunction functions[] = {is_cn_mobile, is_cn_id, is_uscc, is_bank_card, is_iban, is_email, is_hk_id, is_tw_id, id_birth_date, id_gender,
										   id_region, id_15_to_18, normalize_phone, normalize_email, normalize_name, name_pinyin, name_initials};
	static const char *const regions[] = {"CN", "HK", "US", "GB", "", "xyz"};
	text *value;
	bool null;

	if (size < 2 || !is_text(data + 2, size - 2))
		return;
	value = cstring_to_text_with_len(data + 2, size - 2);
	(void) call(functions[(unsigned char) data[0] % lengthof(functions)], 2, PointerGetDatum(value),
				PointerGetDatum(cstring_to_text(regions[(unsigned char) data[1] % lengthof(regions)])), 0, 0, &null);
}

/* A sealed value that was accepted must be written and read back as the same, and opening it must not go wrong. */
static void
look_at_sealed(struct varlena *value)
{
	bool null;
	char *shown = DatumGetCString(call(sealed_out, 1, PointerGetDatum(value), 0, 0, 0, &null));
	struct varlena *again = (struct varlena *) DatumGetPointer(call(sealed_in, 1, CStringGetDatum(shown), 0, 0, 0, &null));

	if (VARSIZE_ANY_EXHDR(again) != VARSIZE_ANY_EXHDR(value) || memcmp(VARDATA_ANY(again), VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)) != 0)
		abort();
	(void) call(sealed_key, 1, PointerGetDatum(value), 0, 0, 0, &null);
	(void) call(mask_phone_sealed, 2, PointerGetDatum(value), PointerGetDatum(cstring_to_text("*")), 0, 0, &null);
}

/*
 * Seal the input, cut into text, label and row; it opens again, and with a bit of it changed it does not
 */
static void
try_round(const char *data, int size)
{
	int label;
	int row;
	struct varlena *value;
	text *plain;
	bool null;

	if (size < 5)
		return;
	label = Min((unsigned char) data[0], size - 5);
	row = Min((unsigned char) data[1], size - 5 - label);
	value = (struct varlena *) DatumGetPointer(call(seal, 4, PointerGetDatum(cstring_to_text_with_len(data + 5 + label + row, size - 5 - label - row)),
													PointerGetDatum(cstring_to_text_with_len(data + 5, label)),
													PointerGetDatum(cstring_to_text_with_len(data + 5 + label, row)), BoolGetDatum(data[2] & 1), &null));
	look_at_sealed(value);
	/* The person of this name is always gone. */
	if ((data[2] & 1) && data[5 + label] == 'x')
		return;
	plain = DatumGetTextPP(call(unseal, 1, PointerGetDatum(value), 0, 0, 0, &null));
	if (VARSIZE_ANY_EXHDR(plain) != size - 5 - label - row || memcmp(VARDATA_ANY(plain), data + 5 + label + row, size - 5 - label - row) != 0)
		abort();
	(void) call(reseal, 1, PointerGetDatum(value), 0, 0, 0, &null);
	((unsigned char *) VARDATA(value))[((unsigned char) data[3] << 8 | (unsigned char) data[4]) % VARSIZE_ANY_EXHDR(value)] ^= 1 << (data[2] >> 1 & 7);
	if (sealed_open(value, &label) != NULL)
		abort();
}

/*
 * One input
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	volatile bool read = false;

	if (sigsetjmp(on_error, 0) == 0)
	{
		StringInfoData message;
		char *bytes = take_input(data, size, &message);
		bool null;

		if (strcmp(FUZZ_TARGET, "masks") == 0)
		{
			/* A mask never raises. */
			read = true;
			try_mask(bytes, size);
		}
		else if (strcmp(FUZZ_TARGET, "validators") == 0)
			try_validators(bytes, size);
		else if (strcmp(FUZZ_TARGET, "sealed_round") == 0)
			try_round(bytes, size);
		else
		{
			struct varlena *value;

			value = (struct varlena *) DatumGetPointer(strcmp(FUZZ_TARGET, "sealed_in") == 0
														   ? call(sealed_in, 1, CStringGetDatum(bytes), 0, 0, 0, &null)
														   : call(sealed_recv, 1, PointerGetDatum(&message), 0, 0, 0, &null));
			read = true;
			look_at_sealed(value);
		}
	}
	else if (read)
		abort(); /* a mask raised, or what was read cannot be written or read again */
	free_pieces();
	return 0;
}
