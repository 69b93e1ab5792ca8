/*
 * Validators: true for the canonical form alone, so that they can guard a column. Normalisers stand in normalize.c.
 */
#include "base/crm.h"

#include "privacy/validate.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"

bool
valid_cn_mobile(const char *s, int length)
{
	if (length == 14 && memcmp(s, "+86", 3) == 0)
		s += 3, length -= 3;
	return length == 11 && s[0] == '1' && s[1] >= '3' && s[1] <= '9' && all_digits(s, 11);
}

/*
 * Are the two digits at s the code of a province?
 */
static bool
is_province(const char *s)
{
	static const char *const codes = "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 "
									 "65 71 81 82 83 91 ";
	char code[4] = {s[0], s[1], ' ', '\0'};

	return strstr(codes, code) != NULL;
}

/*
 * The date of eight digits: false when there is no such day
 */
static bool
parse_birth(const char *s, DateADT *date)
{
	int year = (s[0] - '0') * 1000 + (s[1] - '0') * 100 + (s[2] - '0') * 10 + (s[3] - '0');
	int month = (s[4] - '0') * 10 + (s[5] - '0');
	int day = (s[6] - '0') * 10 + (s[7] - '0');

	if (year < 1800 || month < 1 || month > 12 || day < 1 || day > day_tab[isleap(year)][month - 1])
		return false;
	*date = date2j(year, month, day) - POSTGRES_EPOCH_JDATE;
	return true;
}

/*
 * The check character of the first 17 digits, MOD 11-2 of GB 11643
 */
char
cn_id_check(const char *s)
{
	static const int weights[] = {7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2};
	int sum = 0;

	for (int i = 0; i < 17; i++)
		sum += (s[i] - '0') * weights[i];
	return "10X98765432"[sum % 11];
}

/*
 * Is this a resident ID of 18 characters? Foreigners' begin with 9 and the province's code.
 */
static bool
valid_cn_id(const char *s, int length)
{
	DateADT birth;

	return length == 18 && all_digits(s, 17) && (is_province(s) || (s[0] == '9' && is_province(s + 1))) &&
		   parse_birth(s + 6, &birth) && (char) pg_ascii_toupper((unsigned char) s[17]) == cn_id_check(s);
}

/*
 * Write the 18 characters of a valid resident ID of 15 or 18 to id
 */
static bool
canonical_cn_id(const char *s, int length, char *id)
{
	if (length == 15 && all_digits(s, 15))
	{
		memcpy(id, s, 6);
		id[6] = '1';
		id[7] = '9';
		memcpy(id + 8, s + 6, 9);
		id[17] = cn_id_check(id);
		return valid_cn_id(id, 18);
	}
	if (!valid_cn_id(s, length))
		return false;
	memcpy(id, s, 18);
	id[17] = pg_ascii_toupper((unsigned char) id[17]);
	return true;
}

static int
uscc_value(char c)
{
	static const char *const alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY";
	const char *at = c ? strchr(alphabet, c) : NULL;

	return at ? at - alphabet : -1;
}

/*
 * Is this a unified social credit code of GB 32100? Lenient skips the check character, which early pilot codes lack.
 */
static bool
valid_uscc(const char *s, int length, bool lenient)
{
	static const int weights[] = {1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28};
	int sum = 0;

	if (length != 18)
		return false;
	for (int i = 0; i < 18; i++)
	{
		int value = uscc_value(s[i]);

		if (value < 0 || (i >= 2 && i < 8 && !is_digit(s[i])))
			return false;
		if (i < 17)
			sum += value * weights[i];
	}
	return lenient || uscc_value(s[17]) == (31 - sum % 31) % 31;
}

/*
 * Is this the number of a bank card? 12 to 19 digits with the check digit of Luhn
 */
static bool
valid_bank_card(const char *s, int length)
{
	int sum = 0;

	if (length < 12 || length > 19 || s[0] == '0' || !all_digits(s, length))
		return false;
	for (int i = 0; i < length; i++)
	{
		int value = s[length - 1 - i] - '0';

		if (i % 2 == 1)
			value = value * 2 - (value > 4 ? 9 : 0);
		sum += value;
	}
	return sum % 10 == 0;
}

/*
 * Is this an IBAN of the length that its country has, with the right check digits?
 */
static bool
valid_iban(const char *s, int length)
{
	static const char *const countries =
		"AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 "
		"FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 "
		"LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 "
		"RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30 ";
	char country[6];
	int rest = 0;

	if (length < 15 || length > 34 || !is_upper(s[0]) || !is_upper(s[1]) || !is_digit(s[2]) || !is_digit(s[3]))
		return false;
	snprintf(country, sizeof(country), "%c%c%02d ", s[0], s[1], length);
	if (strstr(countries, country) == NULL)
		return false;
	for (int i = 0; i < length; i++)
	{
		char c = s[(i + 4) % length];

		if (is_digit(c))
			rest = (rest * 10 + c - '0') % 97;
		else if (is_upper(c))
			rest = (rest * 100 + c - 'A' + 10) % 97;
		else
			return false;
	}
	return rest == 1;
}

/*
 * Is this an e-mail address that mail servers take? A dot-atom, and a domain of at least two labels
 */
bool
valid_email(const char *s, int length)
{
	const char *at = memchr(s, '@', length);
	int local = at ? at - s : 0;
	int label = 0;
	int labels = 0;
	bool letters = false;

	if (local < 1 || local > 64 || length > 254 || length - local < 4)
		return false;
	for (int i = 0; i < local; i++)
	{
		char c = s[i];

		if (c == '.' ? (i == 0 || i == local - 1 || s[i - 1] == '.')
					 : !(isalnum((unsigned char) c) && !IS_HIGHBIT_SET(c)) && (c == '\0' || strchr("!#$%&'*+-/=?^_`{|}~", c) == NULL))
			return false;
	}
	for (int i = local + 1; i <= length; i++)
	{
		char c = i < length ? s[i] : '.';

		if (c == '.')
		{
			if (label == 0 || label > 63 || s[i - 1] == '-')
				return false;
			labels++;
			if (i == length)
				return labels > 1 && letters && label > 1;
			label = 0;
			letters = false;
			continue;
		}
		if (IS_HIGHBIT_SET(c) || !(isalnum((unsigned char) c) || (c == '-' && label > 0)))
			return false;
		letters |= isalpha((unsigned char) c) != 0;
		label++;
	}
	return false;
}

/*
 * Hong Kong's identity card, A123456(3) with or without the brackets
 */
static bool
valid_hk_id(const char *s, int length)
{
	char id[9];
	int letters;
	int sum;

	if (length >= 10 && s[length - 3] == '(' && s[length - 1] == ')' && length <= 11)
	{
		memcpy(id, s, length - 3);
		id[length - 3] = s[length - 2];
		length -= 2;
	}
	else if (length == 8 || length == 9)
		memcpy(id, s, length);
	else
		return false;
	letters = length - 7;
	for (int i = 0; i < letters; i++)
		if (!is_upper(id[i]))
			return false;
	if (!all_digits(id + letters, 6) || (!is_digit(id[length - 1]) && id[length - 1] != 'A'))
		return false;
	sum = letters == 2 ? (id[0] - 'A' + 10) * 9 : 36 * 9;
	sum += (id[letters - 1] - 'A' + 10) * 8;
	for (int i = 0; i < 6; i++)
		sum += (id[letters + i] - '0') * (7 - i);
	sum += is_digit(id[length - 1]) ? id[length - 1] - '0' : 10;
	return sum % 11 == 0;
}

/*
 * Taiwan's identity card, A123456789
 */
static bool
valid_tw_id(const char *s, int length)
{
	static const char *const order = "ABCDEFGHJKLMNPQRSTUVXYWZIO";
	int value;
	int sum;

	if (length != 10 || !is_upper(s[0]) || (s[1] != '1' && s[1] != '2' && s[1] != '8' && s[1] != '9') || !all_digits(s + 1, 9))
		return false;
	value = strchr(order, s[0]) - order + 10;
	sum = value / 10 + value % 10 * 9 + s[9] - '0';
	for (int i = 1; i < 9; i++)
		sum += (s[i] - '0') * (9 - i);
	return sum % 10 == 0;
}

/* The bytes and length of a text argument */
#define BYTES(n) VARDATA_ANY(PG_GETARG_TEXT_PP(n)), VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(n))

PG_FUNCTION_INFO_V1(is_cn_mobile);
Datum
is_cn_mobile(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(valid_cn_mobile(BYTES(0)));
}

PG_FUNCTION_INFO_V1(is_cn_id);
Datum
is_cn_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(valid_cn_id(BYTES(0)));
}

PG_FUNCTION_INFO_V1(is_uscc);
Datum
is_uscc(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(valid_uscc(BYTES(0), PG_GETARG_BOOL(1)));
}

PG_FUNCTION_INFO_V1(is_bank_card);
Datum
is_bank_card(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(valid_bank_card(BYTES(0)));
}

PG_FUNCTION_INFO_V1(is_iban);
Datum
is_iban(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(valid_iban(BYTES(0)));
}

PG_FUNCTION_INFO_V1(is_email);
Datum
is_email(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(valid_email(BYTES(0)));
}

PG_FUNCTION_INFO_V1(is_hk_id);
Datum
is_hk_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(valid_hk_id(BYTES(0)));
}

PG_FUNCTION_INFO_V1(is_tw_id);
Datum
is_tw_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(valid_tw_id(BYTES(0)));
}

/*
 * Date of birth in a resident ID, null when the ID is not valid
 */
PG_FUNCTION_INFO_V1(id_birth_date);
Datum
id_birth_date(PG_FUNCTION_ARGS)
{
	char id[18];
	DateADT birth;

	if (!canonical_cn_id(BYTES(0), id) || !parse_birth(id + 6, &birth))
		PG_RETURN_NULL();
	PG_RETURN_DATEADT(birth);
}

/*
 * Gender in a resident ID, null when the ID is not valid
 */
PG_FUNCTION_INFO_V1(id_gender);
Datum
id_gender(PG_FUNCTION_ARGS)
{
	char id[18];

	if (!canonical_cn_id(BYTES(0), id))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text((id[16] - '0') % 2 ? "male" : "female"));
}

/*
 * Region code in a resident ID, null when the ID is not valid
 */
PG_FUNCTION_INFO_V1(id_region);
Datum
id_region(PG_FUNCTION_ARGS)
{
	char id[18];

	if (!canonical_cn_id(BYTES(0), id))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(id, 6));
}

/*
 * Resident ID of 15 digits in the form of 18, null when it is not valid
 */
PG_FUNCTION_INFO_V1(id_15_to_18);
Datum
id_15_to_18(PG_FUNCTION_ARGS)
{
	char id[18];

	if (!canonical_cn_id(BYTES(0), id))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(id, 18));
}
